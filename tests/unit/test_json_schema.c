/* Schemas as grammars: golden texts, refusals, and random schemas whose random answers a validator of its own must
 * accept. */
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

#include "core/grammar_sets.h"
#include "core/rng.h"
#include "formats/json.h"
#include "formats/json_schema.h"

/* ---- golden texts ---- */

static bool takes(Sets *s, const char *text) {
    int32_t set = sets_start(s);
    for (; *text; text++) set = sets_step(s, set, (uint8_t)*text);
    return s->sets[set].flags & SET_ENDS;
}

#define OBJ "\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"const\":1},\"ac\":true}"

static const struct Golden {
    const char *schema, *yes[8], *no[8];
} goldens[] = {
    {"{}",
     {"1", "\"x\"", "{\"a\": [1, {}]}", "[\n  true,\n  null\n]", "-0.5e-10", "[]", "{ }"},
     {"", "[1,]", "01", "{a:1}", "  1", "[ ", "\"\x01\"", "1."}},
    {"true", {"1"}, {"x"}},
    {"{\"type\":\"null\"}", {"null"}, {"0"}},
    {"{\"type\":[\"boolean\",\"null\"]}", {"true", "false", "null"}, {"0"}},
    {"{\"type\":\"integer\"}", {"0", "-1", "1234567890123456"}, {"1.0", "01", "12345678901234567", "+1"}},
    {"{\"type\":\"number\"}", {"0", "-1.5", "1e5", "2.5E-07"}, {"1.", ".5", "00"}},
    {"{\"type\":\"integer\",\"minimum\":-12,\"maximum\":105}",
     {"-12", "-9", "-1", "0", "9", "99", "100", "105"},
     {"-13", "-0", "106", "110", "00", "1000", "-20"}},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":7,\"exclusiveMaximum\":2000}",
     {"8", "10", "1999"},
     {"7", "2000", "07"}},
    {"{\"type\":\"integer\",\"minimum\":0.5,\"maximum\":3.5}", {"1", "3"}, {"0", "4"}},
    {"{\"minimum\":3,\"type\":\"integer\"}", {"3", "9999999999999999"}, {"2", "-3"}},
    {"{\"type\":\"integer\",\"maximum\":-5}", {"-5", "-5000"}, {"-4", "5", "0"}},
    {"{\"type\":\"number\",\"minimum\":0,\"maximum\":1}", {"0", "0.25", "1", "1.00"}, {"1.01", "-0.1", "2", "1e-1"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":0}", {"0.001", "3", "99.5"}, {"0", "0.0", "-1"}},
    {"{\"type\":\"number\",\"minimum\":-2,\"exclusiveMaximum\":-1}",
     {"-2", "-1.5", "-1.001"},
     {"-1", "-2.1", "0", "-1.0"}},
    {"{\"type\":\"number\",\"minimum\":0.01,\"maximum\":12.5}",
     {"0.01", "0.010", "0.2", "1", "9.99", "12.5", "12.500", "12.4999"},
     {"0", "0.0", "0.009", "12.51", "12.5001", "13", "-1", "012"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":-0.75,\"exclusiveMaximum\":0.25}",
     {"-0.74999", "-0.7", "0", "-0.0", "0.2", "0.249", "0.2499999"},
     {"-0.75", "-0.750", "0.25", "-1", "0.3", "1", "-0.8", "0.250"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":99.5}",
     {"99.51", "99.6", "100", "12345678.25", "99.500001"},
     {"99.5", "99.50", "99", "-100", "9.9"}},
    {"{\"type\":\"number\",\"minimum\":2.5,\"maximum\":2.5}", {"2.5", "2.50"}, {"2", "3", "2.51", "2.4"}},
    {"{\"type\":\"number\",\"maximum\":1e-5}", {"0.00001", "0", "-3.5", "0.000009"}, {"0.00002", "0.000011", "1"}},
    {"{\"type\":\"integer\",\"multipleOf\":7}",
     {"0", "7", "-14", "700000", "100000005"},
     {"1", "-7.0", "07", "-0", "71"}},
    {"{\"type\":\"number\",\"multipleOf\":5,\"exclusiveMinimum\":0}", {"5", "100", "35"}, {"0", "-5", "7", "50.5"}},
    {"{\"multipleOf\":30,\"minimum\":-65,\"maximum\":91}",
     {"-60", "-30", "0", "30", "60", "90"},
     {"-90", "120", "5", "3"}},
    {"{\"type\":\"integer\",\"multipleOf\":100,\"minimum\":-12345678,\"maximum\":87654321}",
     {"-12345600", "-100", "0", "100", "87654300"},
     {"-12345700", "87654400", "10", "00", "150"}},
    {"{\"type\":\"integer\",\"multipleOf\":10,\"minimum\":11}", {"20", "12340"}, {"10", "0", "-20", "25"}},
    {"{\"items\":{\"enum\":[\"a\",2,null]},\"uniqueItems\":true,\"maxItems\":2}",
     {"[]", "[\"a\"]", "[null,2]", "[2, \"a\"]"},
     {"[\"a\",\"a\"]", "[2,null,\"a\"]", "[3]", "[2,]"}},
    {"{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
     "k\"},\"uniqueItems\":true,\"minItems\":2,\"$defs\":{\"k\":{\"enum\":[1,2,3]}}}",
     {"[1,2]", "[3,1,2]"},
     {"[]", "[1]", "[1,1]", "[1,2,1]"}},
    {"{\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":2},\"c\":{\"const\":3}},\"dependentRequired\":{\"a\":["
     "\"b\"],\"b\":[\"c\"]}}",
     {"{}", "{\"c\":3}", "{\"b\":2,\"c\":3}", "{\"a\":1,\"b\":2,\"c\":3}"},
     {"{\"a\":1}", "{\"a\":1,\"b\":2}", "{\"b\":2}", "{\"a\":1,\"c\":3}"}},
    {"{\"type\":\"object\",\"dependentRequired\":{\"a\":[\"b\"]}}",
     {"{}", "{\"b\":1}", "{\"a\":1,\"b\":2}", "{\"x\":1}"},
     {"{\"a\":1}", "{\"a\":1,\"x\":2}"}},
    {"{\"propertyNames\":{\"pattern\":\"^[a-z]{2}$\"},\"additionalProperties\":{\"type\":\"integer\"}}",
     {"{}", "{\"ab\":1,\"cd\":2}"},
     {"{\"a\":1}", "{\"ab\":true}", "{\"abc\":1}"}},
    {"{\"propertyNames\":{\"enum\":[\"x\",\"q\\\"\",3]},\"minProperties\":1}",
     {"{\"x\":1}", "{\"q\\\"\":null}"},
     {"{}", "{3:1}", "{\"y\":1}"}},
    {"{\"format\":\"duration\"}", {"\"P1Y2M\"", "\"PT3H\"", "\"P4W\"", "\"P1DT2M\""}, {"\"P\"", "\"PT\"", "\"P1H\""}},
    {"{\"format\":\"ipv6\"}", {"\"1:2:3:4:5:6:7:abcd\""}, {"\"1:2\"", "\"1:2:3:4:5:6:7:8:9\""}},
    {"{\"type\":\"string\"}",
     {"\"\"", "\"a\\n\\u00e9\\ud83d\\ude00\xc3\xa9\""},
     {"\"\\ud83d\"", "\"\n\"", "\"\\x\"", "\"\\ude00\"", "a"}},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
     {"\"ab\"", "\"a\xf0\x9f\x98\x80\\n\"", "\"\\ud83d\\ude00x\""},
     {"\"a\"", "\"abcd\"", "\"\\ud83d\\ude00\""}},
    {"{\"type\":\"string\",\"pattern\":\"^[a-c]+(-\\\\d{2})?$\"}",
     {"\"a\"", "\"abc-12\""},
     {"\"\"", "\"d\"", "\"a-1\"", "\"xa\""}},
    {"{\"type\":\"string\",\"pattern\":\"b\"}", {"\"b\"", "\"abc\""}, {"\"\"", "\"ac\""}},
    {"{\"type\":\"string\",\"pattern\":\"^a|b$\"}", {"\"a\"", "\"axx\"", "\"xxb\""}, {"\"xa\"", "\"bx\""}},
    {"{\"type\":\"string\",\"pattern\":\"^(?:x|\\\"|\\\\\\\\|[^\\\\w]){2}$\"}",
     {"\"x\\\"\"", "\"\\\\-\""},
     {"\"\"\"", "\"x\"", "\"xa\""}},
    {"{\"type\":\"string\",\"pattern\":\"^.\\\\S\\\\/*?$\"}", {"\" a/\"", "\"ab\""}, {"\"a \"", "\"\\nb\""}},
    {"{\"format\":\"date\"}",
     {"\"2024-02-29\"", "\"2000-02-29\"", "\"1999-12-31\"", "\"2023-04-30\""},
     {"\"2023-02-29\"", "\"1900-02-29\"", "\"2023-04-31\"", "\"2023-13-01\"", "\"23-01-01\""}},
    {"{\"format\":\"date-time\"}",
     {"\"2024-02-29T23:59:59Z\"", "\"2024-01-01T00:00:00.5+02:00\""},
     {"\"2024-01-01\"", "\"2024-01-01T24:00:00Z\""}},
    {"{\"format\":\"ipv4\"}", {"\"255.0.10.199\""}, {"\"256.1.1.1\"", "\"1.1.1\"", "\"01.1.1.1\""}},
    {"{\"format\":\"uuid\"}", {"\"123e4567-e89b-12d3-a456-426614174000\""}, {"\"123e4567\""}},
    {"{\"format\":\"email\"}", {"\"a.b@example.org\""}, {"\"a@\"", "\"@b.c\""}},
    {"{\"enum\":[1,\"a\\\"b\",null,[1,2]]}", {"1", "\"a\\\"b\"", "null", "[1,2]"}, {"2", "\"a\""}},
    {"{\"enum\":[1,\"a\",2.5],\"type\":\"integer\"}", {"1"}, {"\"a\"", "2.5"}},
    {"{\"const\":{\"k\":[true]}}", {"{\"k\":[true]}"}, {"{}"}},
    {"{" OBJ ",\"required\":[\"b\"]}",
     {"{\"b\":1}", "{\"a\": 2, \"b\": 1}", "{\n  \"a\": 2,\n  \"b\": 1,\n  \"ac\": []\n}"},
     {"{}", "{\"b\":1,\"a\":2}", "{\"a\":2}", "{\"b\":1,}", "{\"b\":1,\"b\":1}", "{\"x\":1}"}},
    {"{" OBJ ",\"additionalProperties\":{\"type\":\"null\"}}",
     {"{}", "{\"x\":null}", "{\"a\":1,\"abc\":null,\"\":null}", "{\"b\":1,\"aa\": null}"},
     {"{\"a\":null}", "{\"ac\":1,\"b\":1}", "{\"x\":1}", "{\"\\u0061\":null}"}},
    {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"},\"minProperties\":1,\"maxProperties\":2}",
     {"{\"x\":1}", "{\"x\":1,\"y\":2}"},
     {"{}", "{\"x\":1,\"y\":2,\"z\":3}"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":true},\"minProperties\":1}", {"{\"a\":1}"}, {"{}"}},
    {"{\"type\":\"object\",\"additionalProperties\":false}", {"{}"}, {"{\"a\":1}"}},
    {"{\"type\":\"object\",\"required\":[\"z\"]}", {"{\"z\":1}", "{\"z\":1, \"y\":2}"}, {"{}", "{\"y\":2}"}},
    {"{\"patternProperties\":{\"^x[0-9]$\":{\"type\":\"integer\"}},\"additionalProperties\":false}",
     {"{}", "{\"x1\":2}"},
     {"{\"x\":1}", "{\"x1\":true}"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":3}",
     {"[1]", "[1,2,3]", "[\n 1,\n 2\n]"},
     {"[]", "[1,2,3,4]", "[1,]", "[true]"}},
    {"{\"type\":\"array\",\"maxItems\":0}", {"[]"}, {"[1]"}},
    {"{\"prefixItems\":[{\"const\":1},{\"const\":2}],\"items\":{\"const\":3},\"minItems\":1,\"maxItems\":4}",
     {"[1]", "[1,2]", "[1,2,3,3]"},
     {"[]", "[2]", "[1,3]", "[1,2,3,3,3]"}},
    {"{\"prefixItems\":[{\"const\":1}],\"items\":false}", {"[]", "[1]"}, {"[1,1]", "[2]"}},
    {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":1}]}", {"1", "\"a\""}, {"\"ab\"", "null"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":2}},\"anyOf\":[{\"required\":[\"a\"]},{"
     "\"required\":[\"b\"]}]}",
     {"{\"a\":1}", "{\"b\":2}", "{\"a\":1,\"b\":2}"},
     {"{}"}},
    {"{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"x\"},\"v\":{\"type\":\"integer\"}},"
     "\"required\":[\"k\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"enum\":[\"y\",\"z\"]}},\"required\":[\"k\"]}]"
     "}",
     {"{\"k\":\"x\",\"v\":1}", "{\"k\":\"z\"}"},
     {"{\"k\":\"y\",\"v\":1}", "{}"}},
    {"{\"allOf\":[{\"$ref\":\"#/$defs/"
     "p\"},{\"properties\":{\"y\":{\"const\":2}},\"required\":[\"y\"]}],\"$defs\":{\"p\":{\"type\":\"object\","
     "\"properties\":{\"x\":{\"const\":1}},\"required\":[\"x\"]}}}",
     {"{\"x\":1,\"y\":2}"},
     {"{\"x\":1}", "{\"y\":2}"}},
    {"{\"allOf\":[{\"minimum\":3},{\"type\":\"integer\",\"minimum\":5}],\"maximum\":7}", {"5", "7"}, {"4", "8"}},
    {"{\"type\":\"object\",\"properties\":{\"n\":{\"$ref\":\"#\"},\"v\":{\"$ref\":\"#/definitions/"
     "a~1b\"}},\"required\":[\"v\"],\"definitions\":{\"a/b\":{\"type\":\"boolean\"}}}",
     {"{\"v\":true}", "{\"n\":{\"n\":{\"v\":false},\"v\":true},\"v\":true}"},
     {"{\"n\":{}}", "{\"n\":{\"v\":1},\"v\":true}"}},
    {"{\"type\":\"string\",\"maxLength\":1,\"nullable\":true,\"title\":\"t\",\"default\":5,\"$schema\":\"s\"}",
     {"null", "\"x\""},
     {"\"xy\""}},
    {"{\"type\":\"object\",\"properties\":{\"gone\":false,\"a\":{\"const\":1}}}",
     {"{}", "{\"a\":1}"},
     {"{\"gone\":1}"}},
};

static void open_grammar(const char *schema, Grammar *g) {
    Buf gbnf = {0};
    Err e = {0};
    if (!json_schema_to_gbnf(str_of(schema), "test", &gbnf, &e)) fail_msg("%s: %s", schema, e.msg);
    if (!grammar_parse(buf_view(&gbnf), g, &e)) fail_msg("%s: %s\n%s", schema, e.msg, gbnf.s);
    buf_release(&gbnf);
}

static void golden_texts(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(goldens); i++) {
        const struct Golden *x = &goldens[i];
        Grammar g;
        Sets s;
        open_grammar(x->schema, &g);
        sets_init(&s, &g);
        for (size_t k = 0; k < COUNT_OF(x->yes) && x->yes[k]; k++)
            if (!takes(&s, x->yes[k])) fail_msg("%s: does not take %s", x->schema, x->yes[k]);
        for (size_t k = 0; k < COUNT_OF(x->no) && x->no[k]; k++)
            if (takes(&s, x->no[k])) fail_msg("%s: takes %s", x->schema, x->no[k]);
        sets_release(&s);
        grammar_release(&g);
    }
}

static void refusals_name_the_place(void **state) {
    static const char *const cases[][2] = {
        {"{\"type\":\"array\",\"uniqueItems\":true}", "'#/uniqueItems': it is only supported where items are an enum"},
        {"{\"uniqueItems\":true,\"items\":{\"enum\":[1,1.0]}}", "'#/uniqueItems': it is only supported"},
        {"{\"uniqueItems\":true,\"items\":{\"enum\":[1,2,3,4,5,6,7,8,9,10,11]}}", "'#/uniqueItems': it is only"},
        {"{\"properties\":{\"a/b\":{\"contains\":2}}}", "'#/properties/a~1b/contains': this keyword"},
        {"{\"multipleOf\":0.01}", "'#/multipleOf': only whole numbers"},
        {"{\"multipleOf\":0}", "'#/multipleOf': only whole numbers"},
        {"{\"multipleOf\":7,\"minimum\":8}", "'#/multipleOf': it is supported up to 100 without other bounds"},
        {"{\"multipleOf\":700}", "'#/multipleOf': it is supported up to 100"},
        {"{\"unevaluatedProperties\":false}", "'#/unevaluatedProperties': this keyword"},
        {"{\"dependentSchemas\":{\"a\":true}}", "'#/dependentSchemas': this keyword"},
        {"{\"dependentRequired\":{\"a\":\"b\"}}", "'#/dependentRequired': must be an object of lists"},
        {"{\"propertyNames\":{\"maxLength\":3},\"required\":[\"a\"]}", "'#/propertyNames': beside members"},
        {"{\"propertyNames\":{\"not\":true}}", "'#/propertyNames/not': this keyword"},
        {"{\"not\":{}}", "'#/not': this keyword"},
        {"{\"if\":{}}", "'#/if': this keyword"},
        {"{\"items\":{\"contains\":1}}", "'#/items/contains': this keyword"},
        {"{\"$defs\":{\"x\":{\"not\":{}}},\"items\":{\"$ref\":\"#/$defs/x\"}}", "'#/$defs/x/not': this keyword"},
        {"{\"type\":\"text\"}", "'#/type': must be object, array"},
        {"{\"$ref\":\"#/$defs/x\"}", "'#/$ref': what it refers to does not exist"},
        {"{\"$ref\":\"http://x/y\"}", "'#/$ref': only references inside this schema"},
        {"{\"anyOf\":[{\"$ref\":\"other.json\"}]}", "'#/anyOf/0/$ref': only references"},
        {"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", "'#/oneOf/1': nothing tells it apart"},
        {"{\"oneOf\":[{\"type\":\"object\"},{\"type\":\"object\"}]}", "'#/oneOf/1': nothing tells it apart"},
        {"{\"oneOf\":[{\"type\":\"null\"},{\"type\":\"string\",\"nullable\":true}]}", "'#/oneOf/1': nothing tells"},
        {"{\"type\":\"string\",\"pattern\":\"(?=a)\"}", "'#/pattern': pattern '(?=a)': looking ahead"},
        {"{\"type\":\"string\",\"pattern\":\"(a)\\\\1\"}", "this escape (a back reference"},
        {"{\"type\":\"string\",\"pattern\":\"a^\"}", "an anchor is only supported at an end"},
        {"{\"type\":\"string\",\"pattern\":\"a)\"}", "misplaced parenthesis"},
        {"{\"type\":\"string\",\"pattern\":\"a{,3}\"}", "expected a number of repetitions"},
        {"{\"type\":\"string\",\"pattern\":\"a{4,3}\"}", "at most is less than at least"},
        {"{\"type\":\"string\",\"pattern\":\"a\",\"maxLength\":3}", "only one of pattern, format and a length"},
        {"{\"type\":\"string\",\"format\":\"iri\"}", "'#/format': known are date"},
        {"{\"type\":\"string\",\"maxLength\":-1}", "'#/maxLength': must be a whole number"},
        {"{\"type\":\"number\",\"minimum\":0.1234567891}", "'#': bounds of a number with more than 8 decimals"},
        {"{\"type\":\"number\",\"minimum\":0.12345678,\"maximum\":1e15}", "'#': these bounds have too many digits"},
        {"{\"type\":\"integer\",\"minimum\":\"3\"}", "'#/minimum': must be a number"},
        {"{\"enum\":[1],\"minimum\":3}", "'#/minimum': beside enum or const"},
        {"{\"enum\":5}", "'#/enum': must be a list"},
        {"{\"properties\":{\"a\":{}},\"maxProperties\":0}", "'#/maxProperties'"},
        {"{\"minProperties\":2,\"type\":\"object\"}", "'#/minProperties'"},
        {"{\"patternProperties\":{\"a\":{},\"b\":{}}}", "'#/patternProperties'"},
        {"{\"allOf\":[{\"properties\":{\"a\":{}},\"additionalProperties\":false},{\"properties\":{\"b\":{}}}]}",
         "additionalProperties"},
        {"{\"allOf\":[{\"properties\":{\"a\":{\"const\":1}}},{\"properties\":{\"a\":{\"const\":2}}}]}",
         "two joined schemas describe"},
        {"{\"allOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}]}", "/pattern': two joined schemas that differ"},
        {"{\"items\":[{}]}", "'#/items': a list of schemas belongs into prefixItems"},
        {"{\"properties\":3}", "'#/properties': must be an object"},
        {"[1]", "a schema must be an object"},
        {"{\"allOf\":[{\"$ref\":\"#\"}]}", "one that is only itself"},
        {"{\"type\":", "cannot read 'test'"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Buf gbnf = {0};
        Err e = {0};
        if (json_schema_to_gbnf(str_of(cases[i][0]), "test", &gbnf, &e)) fail_msg("taken: %s", cases[i][0]);
        if (!strstr(e.msg, cases[i][1])) fail_msg("%s: '%s', not '%s'", cases[i][0], e.msg, cases[i][1]);
        assert_int_equal(e.code, ERR_INPUT);
        buf_release(&gbnf);
    }
}

/* What no value can satisfy gives a grammar without texts, which is refused. */
static void impossible_schemas(void **state) {
    static const char *const cases[] = {"false",
                                        "{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}",
                                        "{\"enum\":[]}",
                                        "{\"minItems\":2,\"maxItems\":1}",
                                        "{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}",
                                        "{\"type\":\"object\",\"required\":[\"a\"],\"additionalProperties\":false}"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Buf gbnf = {0};
        Grammar g;
        Err e = {0};
        if (!json_schema_to_gbnf(str_of(cases[i]), "test", &gbnf, &e)) fail_msg("%s: %s", cases[i], e.msg);
        assert_false(grammar_parse(buf_view(&gbnf), &g, &e));
        if (!strstr(e.msg, "ever complete")) fail_msg("%s: %s", cases[i], e.msg);
        buf_release(&gbnf);
    }
}

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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_texts),
        cmocka_unit_test(refusals_name_the_place),
        cmocka_unit_test(impossible_schemas),
        cmocka_unit_test(random_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
