/* Schemas as grammars: golden texts and refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "core/grammar_sets.h"
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_texts),
        cmocka_unit_test(refusals_name_the_place),
        cmocka_unit_test(impossible_schemas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
