/* Tests: what stands behind `is`. a[0] is what is tested. */
#include "tokenizer/jinja_impl.h"

#define TEST(name, yes)                                                                                                \
    static JValue t_##name(Jinja *j, JValue *a, const JArgs *r) { return (void)j, (void)r, jbool(yes); }

static bool remainder_is(Jinja *j, JValue v, JValue by, int64_t rest) {
    return jequal(j, jarith(j, OP_MOD, v, by), jint(rest));
}

static bool is_callable(JValue v) {
    return v.kind == J_FUNC || v.kind == J_MACRO || v.kind == J_LOOP || v.kind == J_JOINER || v.kind == J_UNDEFINED;
}

static bool is_sequence(JValue v) {
    return v.kind == J_UNDEFINED || v.kind == J_STR || v.kind == J_LIST || v.kind == J_TUPLE || v.kind == J_DICT ||
           v.kind == J_RANGE;
}

static bool names_row(Jinja *j, JValue v, const JRow *(*find)(Str)) {
    if (!jhashable(v)) jinja_fail(j, "a '%s' is no name", jtype_name(v));
    return v.kind == J_STR && find(jtext_view(v.s));
}

TEST(boolean, a[0].kind == J_BOOL)
TEST(callable, is_callable(a[0]))
TEST(defined, a[0].kind != J_UNDEFINED)
TEST(divisibleby, remainder_is(j, a[0], a[1], 0))
TEST(eq, jequal(j, a[0], a[1]))
TEST(escaped, a[0].kind == J_STR && a[0].s->markup)
TEST(even, remainder_is(j, a[0], jint(2), 0))
TEST(false, a[0].kind == J_BOOL && !a[0].b)
TEST(filter, names_row(j, a[0], jfilter_find))
TEST(float, a[0].kind == J_FLOAT)
TEST(ge, jorder(j, a[0], a[1], ORDER_GE))
TEST(gt, jorder(j, a[0], a[1], ORDER_GT))
TEST(in, jcontains(j, a[1], a[0]))
TEST(integer, a[0].kind == J_INT)
TEST(iterable, jiterable(a[0]))
TEST(le, jorder(j, a[0], a[1], ORDER_LE))
TEST(lower, jtext_cased(jto_str(j, a[0]), false))
TEST(lt, jorder(j, a[0], a[1], ORDER_LT))
TEST(mapping, a[0].kind == J_DICT)
TEST(ne, !jequal(j, a[0], a[1]))
TEST(none, a[0].kind == J_NONE)
TEST(number, jis_number(a[0]))
TEST(odd, remainder_is(j, a[0], jint(2), 1))
TEST(sameas, jsame(a[0], a[1]))
TEST(sequence, is_sequence(a[0]))
TEST(string, a[0].kind == J_STR)
TEST(test, names_row(j, a[0], jtest_find))
TEST(true, a[0].kind == J_BOOL && a[0].b)
TEST(undefined, a[0].kind == J_UNDEFINED)
TEST(upper, jtext_cased(jto_str(j, a[0]), true))

static const JRow rows[] = {
    {"!=", t_ne, 1, false, {""}},
    {"<", t_lt, 1, false, {""}},
    {"<=", t_le, 1, false, {""}},
    {"==", t_eq, 1, false, {""}},
    {">", t_gt, 1, false, {""}},
    {">=", t_ge, 1, false, {""}},
    {"boolean", t_boolean, 0, false, {NULL}},
    {"callable", t_callable, 0, false, {NULL}},
    {"defined", t_defined, 0, false, {NULL}},
    {"divisibleby", t_divisibleby, 1, false, {"num"}},
    {"eq", t_eq, 1, false, {""}},
    {"equalto", t_eq, 1, false, {""}},
    {"escaped", t_escaped, 0, false, {NULL}},
    {"even", t_even, 0, false, {NULL}},
    {"false", t_false, 0, false, {NULL}},
    {"filter", t_filter, 0, false, {NULL}},
    {"float", t_float, 0, false, {NULL}},
    {"ge", t_ge, 1, false, {""}},
    {"greaterthan", t_gt, 1, false, {""}},
    {"gt", t_gt, 1, false, {""}},
    {"in", t_in, 1, false, {"seq"}},
    {"integer", t_integer, 0, false, {NULL}},
    {"iterable", t_iterable, 0, false, {NULL}},
    {"le", t_le, 1, false, {""}},
    {"lessthan", t_lt, 1, false, {""}},
    {"lower", t_lower, 0, false, {NULL}},
    {"lt", t_lt, 1, false, {""}},
    {"mapping", t_mapping, 0, false, {NULL}},
    {"ne", t_ne, 1, false, {""}},
    {"none", t_none, 0, false, {NULL}},
    {"number", t_number, 0, false, {NULL}},
    {"odd", t_odd, 0, false, {NULL}},
    {"sameas", t_sameas, 1, false, {"other"}},
    {"sequence", t_sequence, 0, false, {NULL}},
    {"string", t_string, 0, false, {NULL}},
    {"test", t_test, 0, false, {NULL}},
    {"true", t_true, 0, false, {NULL}},
    {"undefined", t_undefined, 0, false, {NULL}},
    {"upper", t_upper, 0, false, {NULL}},
};

const JRow *jtest_find(Str name) { return jrow_find(rows, COUNT_OF(rows), name); }
