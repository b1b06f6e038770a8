/* Random schemas, whose random answers a validator of its own must accept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/rng.h"
#include "formats/json.h"
#include "formats/json_schema.h"

/* ---- a validator: values against the schema itself ---- */

typedef struct Check {
    const Value *root;
    const char *why;
} Check;

static bool valid(Check *c, const Value *schema, const Value *v);
static bool no(Check *c, const char *why) { return c->why = why, false; }

static bool same(const Value *a, const Value *b) {
    if (a->kind == VALUE_INT && b->kind == VALUE_FLOAT) return (double)a->i == b->f;
    if (a->kind == VALUE_FLOAT && b->kind == VALUE_INT) return a->f == (double)b->i;
    if (a->kind != b->kind) return false;
    if (a->kind == VALUE_STR) return str_eq(a->s, b->s);
    if (a->kind == VALUE_INT) return a->i == b->i;
    if (a->kind == VALUE_BOOL) return a->b == b->b;
    if (a->kind == VALUE_FLOAT) return a->f == b->f;
    return a->kind == VALUE_NULL || (a->kind == VALUE_ARRAY && a->array.n == 0 && b->array.n == 0);
}

static bool has_type(const char *name, const Value *v) {
    static const char *const names[] = {
        [VALUE_NULL] = "null",  [VALUE_BOOL] = "boolean", [VALUE_INT] = "integer",   [VALUE_FLOAT] = "number",
        [VALUE_STR] = "string", [VALUE_ARRAY] = "array",  [VALUE_OBJECT] = "object", [VALUE_BLOB] = ""};
    return strcmp(name, names[v->kind]) == 0 || (v->kind == VALUE_INT && strcmp(name, "number") == 0) ||
           (v->kind == VALUE_FLOAT && strcmp(name, "integer") == 0 && v->f == floor(v->f));
}

static bool type_fits(const Value *type, const Value *v) {
    size_t i = 0;
    Value t = *type;
    if (type->kind == VALUE_STR) return has_type(type->s.s, v);
    while (value_next(type, &i, &t))
        if (has_type(t.s.s, v)) return true;
    return false;
}

static double number(const Value *v) { return v->kind == VALUE_INT ? (double)v->i : v->f; }

static bool bounded(Check *c, const Value *s, const char *least, const char *most, double x) {
    const Value *lo = value_get(s, least), *hi = value_get(s, most);
    return (!lo || x >= number(lo)) && (!hi || x <= number(hi)) ? true : no(c, least);
}

static bool matches(const char *pattern, Str s) {
    int code;
    size_t at;
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
    assert_non_null(re);
    pcre2_match_data *m = pcre2_match_data_create_from_pattern(re, NULL);
    bool yes = pcre2_match(re, (PCRE2_SPTR)s.s, s.n, 0, 0, m, NULL) >= 0;
    pcre2_match_data_free(m);
    pcre2_code_free(re);
    return yes;
}

static bool valid_string(Check *c, const Value *s, Str v) {
    static const char *const formats[][2] = {
        {"date", "^\\d{4}-\\d\\d-\\d\\d$"},
        {"uuid", "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"},
        {"ipv4", "^((25[0-5]|2[0-4]\\d|1?\\d?\\d)(\\.|$)){4}"},
        {"email", "^[^@]+@[^@.]+(\\.[^@.]+)+$"},
    };
    int64_t n = 0;
    const Value *pattern = value_get(s, "pattern"), *format = value_get(s, "format");
    for (size_t i = 0; i < v.n; i++) n += ((unsigned char)v.s[i] & 0xc0) != 0x80;
    if (!bounded(c, s, "minLength", "maxLength", (double)n)) return false;
    if (pattern && !matches(pattern->s.s, v)) return no(c, "pattern");
    for (size_t i = 0; format && i < COUNT_OF(formats); i++)
        if (str_is(format->s, formats[i][0]) && !matches(formats[i][1], v)) return no(c, "format");
    return true;
}

static bool valid_array(Check *c, const Value *s, const Value *v) {
    const Value *prefix = value_get(s, "prefixItems"), *items = value_get(s, "items");
    if (!bounded(c, s, "minItems", "maxItems", (double)v->array.n)) return false;
    for (size_t i = 0; i < v->array.n; i++) {
        const Value *of = i < value_count(prefix) ? &prefix->array.items[i] : items;
        if (of && !valid(c, of, &v->array.items[i])) return false;
        for (size_t k = 0; k < i && value_get(s, "uniqueItems"); k++)
            if (same(&v->array.items[k], &v->array.items[i])) return no(c, "uniqueItems");
    }
    return true;
}

static bool valid_object(Check *c, const Value *s, const Value *v) {
    const Value *props = value_get(s, "properties"), *more = value_get(s, "additionalProperties");
    const Value *needs = value_get(s, "dependentRequired"), *names = value_get(s, "propertyNames");
    size_t i = 0;
    Value name;
    if (!bounded(c, s, "minProperties", "maxProperties", (double)v->object.n)) return false;
    while (value_get(s, "required") && value_next(value_get(s, "required"), &i, &name))
        if (!value_get(v, name.s.s)) return no(c, "required");
    for (i = 0; needs && i < needs->object.n; i++)
        for (size_t k = 0; value_get(v, needs->object.keys[i].s) && value_next(&needs->object.items[i], &k, &name);)
            if (!value_get(v, name.s.s)) return no(c, "dependentRequired");
    for (i = 0; i < v->object.n; i++) {
        const Value *of = props ? value_get(props, v->object.keys[i].s) : NULL;
        if (names && !valid(c, names, &(Value){.kind = VALUE_STR, .s = v->object.keys[i]})) return false;
        if (!of) of = more;
        if (of && !valid(c, of, &v->object.items[i])) return false;
    }
    return true;
}

static bool valid_combined(Check *c, const Value *s, const Value *v) {
    static const char *const keys[] = {"anyOf", "oneOf", "allOf"};
    for (int k = 0; k < 3; k++) {
        const Value *list = value_get(s, keys[k]);
        size_t n = 0;
        for (size_t i = 0; i < value_count(list); i++) n += valid(c, &list->array.items[i], v);
        if (list && (k == 0 ? n == 0 : k == 1 ? n != 1 : n != list->array.n)) return no(c, keys[k]);
    }
    return true;
}

static bool valid(Check *c, const Value *s, const Value *v) {
    const Value *x;
    size_t i = 0;
    Value item;
    if (s->kind == VALUE_BOOL) return s->b || no(c, "false");
    if ((x = value_get(s, "$ref"))) {
        const Value *defs = value_get(c->root, "$defs");
        const Value *to = x->s.n == 1 ? c->root : value_get(defs, x->s.s + strlen("#/$defs/"));
        if (!valid(c, to, v)) return false;
    }
    if ((x = value_get(s, "type")) && !type_fits(x, v)) return no(c, "type");
    if ((x = value_get(s, "const")) && !same(x, v)) return no(c, "const");
    if ((x = value_get(s, "enum"))) {
        bool any = false;
        while (value_next(x, &i, &item)) any = any || same(&item, v);
        if (!any) return no(c, "enum");
    }
    if (v->kind == VALUE_INT || v->kind == VALUE_FLOAT) {
        if ((x = value_get(s, "multipleOf")) && fmod(number(v), number(x)) != 0) return no(c, "multipleOf");
        const Value *above = value_get(s, "exclusiveMinimum"), *below = value_get(s, "exclusiveMaximum");
        if (!bounded(c, s, "minimum", "maximum", number(v))) return false;
        if ((above && number(v) <= number(above)) || (below && number(v) >= number(below))) return no(c, "exclusive");
    }
    if (v->kind == VALUE_STR && !valid_string(c, s, v->s)) return false;
    if (v->kind == VALUE_ARRAY && !valid_array(c, s, v)) return false;
    if (v->kind == VALUE_OBJECT && !valid_object(c, s, v)) return false;
    return valid_combined(c, s, v);
}

/* ---- random schemas ---- */

typedef struct Dice {
    uint64_t seed, at;
} Dice;
static uint32_t roll(Dice *d, uint32_t below) { return (uint32_t)(rng_u64(d->seed, 2, d->at++, RNG_SAMPLE) % below); }

static void put_schema(Buf *b, Dice *d, int depth);

static void put_object(Buf *b, Dice *d, int depth) {
    static const char *const names[] = {"name", "na", "id", "value x", "\\u00e9t\\u00e9", "quote\\\"d"};
    uint32_t used = roll(d, 64);
    bool first = true;
    buf_str(b, "{\"type\":\"object\",\"properties\":{");
    for (uint32_t i = 0; i < 6; i++) {
        if (!(used >> i & 1)) continue;
        buf_printf(b, "%s\"%s\":", first ? "" : ",", names[i]);
        first = false;
        put_schema(b, d, depth - 1);
    }
    buf_str(b, "},\"required\":[");
    first = true;
    for (uint32_t i = 0; i < 6; i++)
        if ((used >> i & 1) && roll(d, 2)) buf_printf(b, "%s\"%s\"", first ? "" : ",", names[i]), first = false;
    buf_char(b, ']');
    uint32_t more = roll(d, 4);
    if (more == 0) buf_str(b, ",\"additionalProperties\":false");
    if (more == 1) buf_str(b, ",\"additionalProperties\":"), put_schema(b, d, 0);
    if (more == 2 && used) buf_str(b, ",\"minProperties\":1");
    buf_char(b, '}');
}

static void put_array(Buf *b, Dice *d, int depth) {
    uint32_t min = roll(d, 3), prefix = roll(d, 3) ? 0 : 1 + roll(d, 2);
    buf_printf(b, "{\"type\":\"array\",\"minItems\":%u", min);
    if (roll(d, 4)) buf_printf(b, ",\"maxItems\":%u", min + roll(d, 3));
    if (prefix) buf_str(b, ",\"prefixItems\":[");
    for (uint32_t i = 0; i < prefix; i++) {
        if (i) buf_char(b, ',');
        put_schema(b, d, depth - 1);
    }
    if (prefix) buf_char(b, ']');
    if (roll(d, 4)) buf_str(b, ",\"items\":"), put_schema(b, d, depth - 1);
    buf_char(b, '}');
}

static void put_scalar(Buf *b, Dice *d) {
    static const char *const fixed[] = {
        "{\"type\":\"string\"}",
        "{\"type\":\"boolean\"}",
        "{\"type\":[\"null\",\"integer\"]}",
        "{\"type\":\"number\"}",
        "{\"enum\":[\"red\",\"green\",3,-2.5,null,true]}",
        "{\"const\":\"fix\\\"ed\\n\"}",
        "{\"type\":\"string\",\"pattern\":\"^[A-Z]{2}-[0-9]+$\"}",
        "{\"type\":\"string\",\"pattern\":\"(ab|c[^\\\"\\\\s])+\\\\\\\\?\"}",
        "{\"type\":\"string\",\"format\":\"date\"}",
        "{\"type\":\"string\",\"format\":\"uuid\"}",
        "{\"type\":\"string\",\"format\":\"ipv4\"}",
        "{\"type\":\"string\",\"format\":\"email\"}",
        "{\"type\":\"number\",\"minimum\":-3,\"exclusiveMaximum\":12}",
        "{\"type\":\"number\",\"exclusiveMinimum\":-2,\"maximum\":0}",
        "{\"allOf\":[{\"type\":[\"integer\",\"string\"]},{\"type\":\"integer\",\"minimum\":4}],\"maximum\":44}",
        "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":2},{\"type\":\"null\"}]}",
        "{\"maxLength\":3}",
        "{\"type\":\"integer\",\"multipleOf\":13}",
        "{\"type\":\"number\",\"multipleOf\":1000,\"minimum\":-5e6}",
        "{\"items\":{\"enum\":[\"x\",\"y\",0,1.5]},\"uniqueItems\":true,\"minItems\":1}",
        "{\"propertyNames\":{\"minLength\":1,\"maxLength\":4},\"additionalProperties\":{\"type\":\"boolean\"}}",
        "{\"properties\":{\"p\":{},\"q\":{\"const\":1}},\"dependentRequired\":{\"q\":[\"p\",\"z\"]}}",
        "true",
        "{\"$ref\":\"#/$defs/leaf\"}",
    };
    uint32_t kind = roll(d, COUNT_OF(fixed) + 6);
    if (kind < COUNT_OF(fixed)) {
        buf_str(b, fixed[kind]);
    } else if (kind < COUNT_OF(fixed) + 2) {
        int lo = (int)roll(d, 3000) - 1500;
        buf_printf(b, "{\"type\":\"integer\",\"minimum\":%d,\"maximum\":%d}", lo, lo + (int)roll(d, 2500));
    } else if (kind < COUNT_OF(fixed) + 4) {
        static const char *const least[] = {"minimum", "exclusiveMinimum"}, *const most[] = {"maximum",
                                                                                             "exclusiveMaximum"};
        int places = (int)roll(d, 4);
        double unit = pow(10, -places), lo = (roll(d, 4000) - 2000.0) * unit, hi = lo + (2 + roll(d, 3000)) * unit;
        buf_str(b, "{\"type\":\"number\"");
        if (roll(d, 4)) buf_printf(b, ",\"%s\":%.*f", least[roll(d, 2)], places, lo);
        if (roll(d, 4)) buf_printf(b, ",\"%s\":%.*f", most[roll(d, 2)], places, hi);
        buf_char(b, '}');
    } else {
        uint32_t lo = roll(d, 5);
        buf_printf(b, "{\"type\":\"string\",\"minLength\":%u,\"maxLength\":%u}", lo, lo + roll(d, 30));
    }
}

static void put_schema(Buf *b, Dice *d, int depth) {
    uint32_t kind = depth > 0 ? roll(d, 8) : 7;
    if (kind < 3)
        put_object(b, d, depth);
    else if (kind < 5)
        put_array(b, d, depth);
    else if (kind == 5) {
        buf_str(b, "{\"anyOf\":[");
        put_schema(b, d, depth - 1);
        buf_char(b, ',');
        put_schema(b, d, depth - 1);
        buf_str(b, "]}");
    } else
        put_scalar(b, d);
}

static bool has(const uint64_t *mask, int32_t id) { return mask[id >> 6] >> (id & 63) & 1; }

/* A token that may come; closing ones more often, so that answers end. -1: the end. */
static int32_t pick(const LlmwsModel *m, LlmwsTokenizer *t, const uint64_t *mask, Dice *d) {
    bool may_end = false;
    int32_t n = llmws_token_count(t), from = (int32_t)roll(d, (uint32_t)n);
    for (int32_t id = 0; id < n; id++) may_end = may_end || (has(mask, id) && llmws_token_ends(m, id));
    if (may_end && roll(d, 2)) return -1;
    for (int round = roll(d, 3) ? 1 : 0; round < 2; round++)
        for (int32_t i = 0; i < n; i++) {
            int32_t id = (from + i) % n;
            size_t len;
            if (!has(mask, id) || llmws_token_ends(m, id)) continue;
            if (round) return id;
            char *text = llmws_detokenize(t, &id, 1, false, &len, NULL);
            bool closes = len && strchr("\"}],", text[0]);
            free(text);
            if (closes) return id;
        }
    return may_end ? -1 : -2;
}

static void random_answers(void **state) {
    enum { SCHEMAS = 300, TRIES = 3, TOKENS = 1500 };
    Err e = {0};
    (void)state;
    LlmwsModel *model = llmws_model_open(TEST_DATA "/llama3", NULL, &e);
    assert_non_null(model);
    LlmwsTokenizer *t = llmws_model_tokenizer(model, &e);
    int ended = 0;
    for (uint64_t seed = 0; seed < SCHEMAS; seed++) {
        Buf schema = {0}, text = {0};
        Arena arena = {0};
        Value root, v;
        Dice d = {seed, 0};
        buf_str(&schema, "{\"$defs\":{\"leaf\":{\"type\":\"object\",\"properties\":{\"l\":{\"$ref\":\"#/$defs/"
                         "leaf\"}}}},\"allOf\":[");
        put_schema(&schema, &d, 3);
        buf_str(&schema, "]}");
        assert_true(json_parse(buf_view(&schema), "schema", &arena, &root, &e));
        char *gbnf = llmws_schema_grammar(schema.s, schema.n, "schema", &e);
        if (!gbnf) fail_msg("%s: %s", schema.s, e.msg);
        LlmwsConstraint *c = llmws_constraint_open(model, gbnf, strlen(gbnf), &e);
        if (!c) fail_msg("%s: %s\n%s", schema.s, e.msg, gbnf);
        for (int i = 0; i < TRIES; i++) {
            bool done = false;
            buf_clear(&text);
            assert_true(llmws_constraint_rewind(c, 0, &e));
            for (int k = 0; k < TOKENS && !done; k++) {
                const uint64_t *mask = llmws_constraint_allowed(c, &e);
                if (!mask) fail_msg("%s: after %s: %s", schema.s, text.s, e.msg);
                int32_t id = pick(model, t, mask, &d);
                assert_true(id >= -1);
                done = id < 0;
                if (done) break;
                size_t len;
                char *piece = llmws_detokenize(t, &id, 1, false, &len, &e);
                assert_true(len > 0); /* special tokens are no text */
                buf_put(&text, piece, len);
                free(piece);
                if (!llmws_constraint_accept(c, id, &e)) fail_msg("%s: %s", schema.s, e.msg);
            }
            if (!done) continue;
            ended++;
            Json j;
            Check check = {.root = &root};
            json_begin(&j, buf_view(&text));
            bool ok = json_value(&j, &arena, &v, &e) && json_next(&j) == JSON_DONE;
            json_end(&j);
            if (!ok && strstr(e.msg, "stands twice")) continue; /* of members that are not listed */
            if (!ok) fail_msg("%s: %s: %s", schema.s, text.s, e.msg);
            if (!valid(&check, &root, &v)) fail_msg("%s refuses %s: %s", schema.s, text.s, check.why);
        }
        llmws_constraint_close(c);
        free(gbnf);
        arena_release(&arena);
        buf_release(&schema);
        buf_release(&text);
    }
    llmws_model_close(model);
    printf("%d of %d answers ended by themselves\n", ended, SCHEMAS * TRIES);
    assert_true(ended > SCHEMAS * TRIES / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
