/* Operators, subscripts and attributes. */
#include <math.h>

#include "tokenizer/jinja_impl.h"

/* ---- arithmetic ---- */

static const char *const op_names[] = {[OP_ADD] = "+",       [OP_SUB] = "-", [OP_MUL] = "*", [OP_DIV] = "/",
                                       [OP_FLOORDIV] = "//", [OP_MOD] = "%", [OP_POW] = "**"};

_Noreturn static void too_large(Jinja *j) { jinja_fail(j, "the result does not fit in 64 bits"); }

static int64_t int_pow(Jinja *j, int64_t base, int64_t exp) {
    int64_t out = 1;
    for (;; exp >>= 1) {
        if (exp & 1 && !mul_i64(out, base, &out)) too_large(j);
        if (exp <= 1) return out;
        if (!mul_i64(base, base, &base)) too_large(j);
    }
}

static double float_pow(Jinja *j, double a, double b) {
    if (a == 0 && b < 0) jinja_fail(j, "zero cannot be raised to a negative power");
    if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b)) jinja_fail(j, "the result is a complex number");
    double out = pow(a, b);
    if (isinf(out) && isfinite(a) && isfinite(b)) jinja_fail(j, "the result is too large");
    return out;
}

static JValue int_op(Jinja *j, JOp op, int64_t a, int64_t b) {
    int64_t out;
    if ((op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD) && b == 0) jinja_fail(j, "division by zero");
    switch (op) {
    case OP_ADD: return add_i64(a, b, &out) ? jint(out) : (too_large(j), J_NONE_VALUE);
    case OP_SUB:
        if (__builtin_sub_overflow(a, b, &out)) too_large(j);
        return jint(out);
    case OP_MUL: return mul_i64(a, b, &out) ? jint(out) : (too_large(j), J_NONE_VALUE);
    case OP_DIV: return jfloat((double)((long double)a / (long double)b));
    case OP_FLOORDIV:
        if (b == -1 && a == INT64_MIN) too_large(j);
        return jint(a / b - (a % b != 0 && (a < 0) != (b < 0)));
    case OP_MOD: return jint(b == -1 ? 0 : a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0));
    case OP_POW:
        if (b < 0) return jfloat(float_pow(j, (double)a, (double)b));
        return jint(int_pow(j, a, b));
    }
    return J_NONE_VALUE;
}

static double float_mod(double a, double b, double *div) {
    double mod = fmod(a, b);
    *div = (a - mod) / b;
    if (mod != 0 && (b < 0) != (mod < 0)) {
        mod += b;
        *div -= 1;
    }
    if (mod == 0) mod = copysign(0, b);
    double whole = floor(*div);
    if (*div == 0)
        *div = copysign(0, a / b);
    else
        *div = *div - whole > 0.5 ? whole + 1 : whole;
    return mod;
}

static JValue float_op(Jinja *j, JOp op, double a, double b) {
    double div;
    if ((op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD) && b == 0) jinja_fail(j, "division by zero");
    switch (op) {
    case OP_ADD: return jfloat(a + b);
    case OP_SUB: return jfloat(a - b);
    case OP_MUL: return jfloat(a * b);
    case OP_DIV: return jfloat(a / b);
    case OP_FLOORDIV: return float_mod(a, b, &div), jfloat(div);
    case OP_MOD: return jfloat(float_mod(a, b, &div));
    case OP_POW: return jfloat(float_pow(j, a, b));
    }
    return J_NONE_VALUE;
}

static JValue repeat(Jinja *j, JValue v, int64_t times) {
    if (v.kind == J_STR) {
        JTail *out = jtail_new(j);
        jtail_repeat(j, out, v.s, times);
        return jstr(jtail_done(j, out));
    }
    size_t n = 0;
    if (times > 0 && !mul_size(v.seq->n, (size_t)times, &n)) jinja_fail(j, "the list grows beyond the memory allowed");
    JSeq *out = jseq_new(j, n);
    for (; times > 0 && v.seq->n; times--)
        for (size_t i = 0; i < v.seq->n; i++) jseq_push(j, out, v.seq->v[i]);
    return (JValue){.kind = v.kind, .seq = out};
}

static JValue join_lists(Jinja *j, JValue a, JValue b) {
    JSeq *out = jseq_new(j, a.seq->n + b.seq->n);
    for (size_t i = 0; i < a.seq->n; i++) jseq_push(j, out, a.seq->v[i]);
    for (size_t i = 0; i < b.seq->n; i++) jseq_push(j, out, b.seq->v[i]);
    return (JValue){.kind = a.kind, .seq = out};
}

static JValue add_texts(Jinja *j, JText *a, JText *b) {
    if (!a->markup && !b->markup) return jstr(jtext_concat(j, a, b));
    JText *both = jtext_concat(j, a->markup ? a : jtext_escape(j, a), b->markup ? b : jtext_escape(j, b));
    JText *out = jtext_slice(j, both, 0, both->n);
    out->markup = true;
    return jstr(out);
}

static bool repeatable(JValue v) { return v.kind == J_STR || v.kind == J_LIST || v.kind == J_TUPLE; }

JValue jarith(Jinja *j, JOp op, JValue a, JValue b) {
    if (jis_int(a) && jis_int(b)) return int_op(j, op, jas_int(a), jas_int(b));
    if (jis_number(a) && jis_number(b)) return float_op(j, op, jas_float(a), jas_float(b));
    if (op == OP_MOD && a.kind == J_STR) {
        if (a.s->markup) jinja_fail(j, "to put text into text that was marked safe is not supported");
        return jstr(jpercent(j, a.s, b));
    }
    if (a.kind == J_UNDEFINED) jinja_fail_undefined(j, a);
    if (b.kind == J_UNDEFINED) jinja_fail_undefined(j, b);
    if (op == OP_ADD && a.kind == b.kind && a.kind == J_STR) return add_texts(j, a.s, b.s);
    if (op == OP_ADD && a.kind == b.kind && repeatable(a)) return join_lists(j, a, b);
    if (op == OP_MUL && repeatable(a) && jis_int(b)) return repeat(j, a, jas_int(b));
    if (op == OP_MUL && repeatable(b) && jis_int(a)) return repeat(j, b, jas_int(a));
    jinja_fail(j, "'%s' has no meaning between '%s' and '%s'", op_names[op], jtype_name(a), jtype_name(b));
}

JValue jnegate(Jinja *j, JValue v, bool negative) {
    if (v.kind == J_UNDEFINED) jinja_fail_undefined(j, v);
    if (v.kind == J_FLOAT) return jfloat(negative ? -v.f : v.f);
    if (!jis_int(v)) jinja_fail(j, "a '%s' has no sign", jtype_name(v));
    if (negative && jas_int(v) == INT64_MIN) too_large(j);
    return jint(negative ? -jas_int(v) : jas_int(v));
}

/* ---- slices ---- */

typedef struct Slice {
    int64_t start, step, n;
} Slice;

static int64_t slice_part(Jinja *j, JValue v, int64_t len, int64_t step, int64_t missing) {
    if (v.kind == J_NONE) return missing;
    if (!jis_int(v)) jinja_fail(j, "the parts of a slice must be integers or none, not '%s'", jtype_name(v));
    int64_t i = jas_int(v);
    if (i < 0) i += len;
    int64_t lo = step < 0 ? -1 : 0, hi = step < 0 ? len - 1 : len;
    return i < lo ? lo : i > hi ? hi : i;
}

static Slice slice_of(Jinja *j, int64_t len, JValue start, JValue stop, JValue step) {
    int64_t by = 1;
    if (step.kind != J_NONE) {
        if (!jis_int(step)) jinja_fail(j, "the step of a slice must be an integer, not '%s'", jtype_name(step));
        by = MAX(jas_int(step), -INT64_MAX);
    }
    if (by == 0) jinja_fail(j, "the step of a slice cannot be zero");
    int64_t from = slice_part(j, start, len, by, by < 0 ? len - 1 : 0);
    int64_t to = slice_part(j, stop, len, by, by < 0 ? -1 : len);
    int64_t n = by > 0 ? (to > from ? (to - from - 1) / by + 1 : 0) : (from > to ? (from - to - 1) / -by + 1 : 0);
    return (Slice){from, by, n};
}

static JValue slice_text(Jinja *j, JText *t, Slice s) {
    if (s.n == 0) return jstr_of(j, "");
    if (s.step == 1) {
        size_t from = jtext_at(j, t, s.start);
        JText rest = {.s = t->s + from, .n = t->n - from, .chars = t->chars - s.start};
        return jstr(jtext_slice(j, t, from, from + jtext_at(j, &rest, s.n)));
    }
    size_t *starts = JINJA_NEW(j, size_t, t->chars + 1), k = 0;
    JTail *out = jtail_new(j);
    for (size_t at = 0; at < t->n; k++) {
        int len;
        utf8_decode(t->s + at, &len);
        starts[k] = at;
        at += (size_t)len;
    }
    starts[k] = t->n;
    for (int64_t i = 0, c = s.start; i < s.n; i++, c += i < s.n ? s.step : 0)
        jtail_text(j, out, t, starts[c], starts[c + 1]);
    return jstr(jtail_done(j, out));
}

JValue jslice(Jinja *j, JValue obj, JValue start, JValue stop, JValue step) {
    if (obj.kind == J_UNDEFINED) jinja_fail_undefined(j, obj);
    if (!repeatable(obj) && obj.kind != J_RANGE) jinja_fail(j, "a '%s' cannot be sliced", jtype_name(obj));
    Slice s = slice_of(j, jlength(j, obj), start, stop, step);
    if (obj.kind == J_STR) return obj.s->markup ? jkeep_markup(j, slice_text(j, obj.s, s)) : slice_text(j, obj.s, s);
    if (obj.kind == J_RANGE) {
        JRange *r = JINJA_NEW(j, JRange, 1);
        int64_t by = obj.range->step * s.step, from = obj.range->start + s.start * obj.range->step;
        *r = (JRange){from, from + s.n * by, by, s.n};
        return (JValue){.kind = J_RANGE, .range = r};
    }
    JSeq *out = jseq_new(j, (size_t)s.n);
    for (int64_t i = 0, c = s.start; i < s.n; i++, c += i < s.n ? s.step : 0) jseq_push(j, out, obj.seq->v[c]);
    return (JValue){.kind = obj.kind, .seq = out};
}

/* ---- attributes and items ---- */

static JValue bound(Jinja *j, const JRow *row, JValue self) {
    JFunc *f = JINJA_NEW(j, JFunc, 1);
    *f = (JFunc){row, self};
    return (JValue){.kind = J_FUNC, .func = f};
}

/* What Python's getattr finds; J_UNSET: nothing. */
static JValue attribute(Jinja *j, JValue obj, Str name) {
    bool refused = false;
    if (obj.kind == J_UNDEFINED) jinja_fail_undefined(j, obj);
    if (obj.kind == J_LOOP) return jloop_attr(j, obj.loop, name);
    if (obj.kind == J_NAMESPACE) {
        const JValue *v = str_starts(name, "_") ? NULL : jdict_find(j, obj.dict, name);
        return v ? *v : J_UNSET_VALUE;
    }
    if (str_starts(name, "_")) return J_UNSET_VALUE;
    if (obj.kind == J_TUPLE && obj.seq->group && str_is(name, "grouper")) return obj.seq->v[0];
    if (obj.kind == J_TUPLE && obj.seq->group && str_is(name, "list")) return obj.seq->v[1];
    if (obj.kind == J_MACRO && str_is(name, "name")) return jstr(jtext_of(j, obj.macro->node->name, true));
    if (obj.kind == J_RANGE && str_is(name, "start")) return jint(obj.range->start);
    if (obj.kind == J_RANGE && str_is(name, "stop")) return jint(obj.range->stop);
    if (obj.kind == J_RANGE && str_is(name, "step")) return jint(obj.range->step);
    if (obj.kind == J_CYCLER && str_is(name, "current")) return obj.cycler->items.seq->v[obj.cycler->at];
    const JRow *row = jmethod_find(obj, name, &refused);
    if (refused)
        return jundefined(j, jinja_printf(j, "'%.*s' would change a value, which is not allowed", STR_ARG(name)));
    return row ? bound(j, row, obj) : J_UNSET_VALUE;
}

static bool is_internal(Str name) { return str_starts(name, "__") && str_ends(name, "__"); }

static JValue no_member(Jinja *j, JValue obj, Str name) { return jundefined_name(j, name, jtype_name(obj)); }

JValue jget_attr(Jinja *j, JValue obj, Str name) {
    JValue v = attribute(j, obj, name);
    if (jgiven(v)) return v;
    const JValue *item = obj.kind == J_DICT && !is_internal(name) ? jdict_find(j, obj.dict, name) : NULL;
    return item ? *item : no_member(j, obj, name);
}

JValue jget_item(Jinja *j, JValue obj, JValue key) {
    if (obj.kind == J_UNDEFINED) jinja_fail_undefined(j, obj);
    if (obj.kind == J_DICT && jhashable(key)) {
        const JValue *item = jdict_get(j, obj.dict, key);
        if (item) return *item;
    }
    if ((repeatable(obj) || obj.kind == J_RANGE) && jis_int(key)) {
        int64_t n = jlength(j, obj), i = jas_int(key);
        if (i < 0) i += n;
        if (i >= 0 && i < n) {
            JValue v = jindex_value(j, obj, i);
            return obj.kind == J_STR && obj.s->markup ? jkeep_markup(j, v) : v;
        }
    }
    if (key.kind == J_STR) {
        JValue v = attribute(j, obj, jtext_view(key.s));
        return jgiven(v) ? v : no_member(j, obj, jtext_view(key.s));
    }
    return no_member(j, obj, jtext_view(jto_str(j, key.kind == J_ITER || key.kind == J_FUNC ? J_NONE_VALUE : key)));
}
