/* The JSON readers and writers: what they take, what they refuse, and that what is written comes back. */
#include "formats/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* Bytes of a literal that may hold NULs. */
#define DOC(literal)                                                                                                   \
    { literal, sizeof(literal) - 1 }

static bool pull_all(Str text, Err *e) {
    Json j;
    JsonEvent ev;
    json_begin(&j, text);
    do {
        ev = json_next(&j);
    } while (ev != JSON_FAIL && ev != JSON_DONE);
    *e = j.err;
    json_end(&j);
    return ev == JSON_DONE;
}

static bool build_all(Str text, Err *e) {
    Json j;
    Value v;
    Arena a = {0};
    json_begin(&j, text);
    bool ok = json_value(&j, &a, &v, e) && json_next(&j) == JSON_DONE;
    if (!ok) *e = j.err;
    json_end(&j);
    arena_release(&a);
    return ok;
}

static void test_events(void **state) {
    (void)state;
    static const JsonEvent want[] = {JSON_OBJECT, JSON_KEY,        JSON_ARRAY,      JSON_INT,  JSON_FLOAT, JSON_BOOL,
                                     JSON_BOOL,   JSON_NULL,       JSON_ARRAY_END,  JSON_KEY,  JSON_STR,   JSON_KEY,
                                     JSON_OBJECT, JSON_OBJECT_END, JSON_OBJECT_END, JSON_DONE, JSON_DONE};
    Json j;
    json_begin(&j, STR(" {\"a\": [1, -2.5e1, true, false, null],\n\t\"b\": \"x\\u00e9\", \"\": {} }\r\n"));
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        JsonEvent got = json_next(&j);
        assert_int_equal(got, want[i]);
        if (i == 3) assert_int_equal(j.i, 1);
        if (i == 4) assert_true(j.f == -25.0);
        if (i == 5) assert_true(j.b);
        if (i == 6) assert_false(j.b);
        if (i == 10) assert_true(str_is(j.str, "x\xc3\xa9"));
        if (i == 11) assert_int_equal(j.str.n, 0);
    }
    json_end(&j);
}

static void test_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool whole;
        int64_t i;
        double f;
    } rows[] = {
        {"0", true, 0, 0},
        {"-0", true, 0, 0},
        {"9223372036854775807", true, INT64_MAX, 0},
        {"-9223372036854775808", true, INT64_MIN, 0},
        {"9223372036854775808", false, 0, 9223372036854775808.0},
        {"-9223372036854775809", false, 0, -9223372036854775808.0},
        {"9007199254740993", true, 9007199254740993, 0},
        {"1000000000000000019884624838656", false, 0, 1e30},
        {"1.0", false, 0, 1.0},
        {"1e3", false, 0, 1000},
        {"1E+3", false, 0, 1000},
        {"5e-324", false, 0, 5e-324},
        {"1e-999", false, 0, 0},
        {"1.7976931348623157e308", false, 0, 1.7976931348623157e308},
        {"0.1", false, 0, 0.1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        Arena a = {0};
        Value v;
        Err e = {0};
        assert_true(json_parse(str_of(rows[i].text), "number", &a, &v, &e));
        assert_int_equal(v.kind, rows[i].whole ? VALUE_INT : VALUE_FLOAT);
        if (rows[i].whole)
            assert_int_equal(v.i, rows[i].i);
        else
            assert_true(v.f == rows[i].f);
        arena_release(&a);
    }
}

static void test_escapes(void **state) {
    (void)state;
    Json j;
    json_begin(&j, STR("[\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\", \"\\ud83d\\ude00\\u20AC\", \"a\\u0000b\", \"plain\"]"));
    assert_int_equal(json_next(&j), JSON_ARRAY);
    assert_int_equal(json_next(&j), JSON_STR);
    assert_true(str_is(j.str, "a\"\\/\b\f\n\r\tz"));
    assert_int_equal(json_next(&j), JSON_STR);
    assert_true(str_is(j.str, "\xf0\x9f\x98\x80\xe2\x82\xac"));
    assert_int_equal(json_next(&j), JSON_STR);
    assert_true(str_eq(j.str, STR("a\0b")));
    assert_int_equal(json_next(&j), JSON_STR);
    assert_true(str_is(j.str, "plain"));
    json_end(&j);
}

/* All three readers refuse these. */
static void test_refused(void **state) {
    (void)state;
    static const Str docs[] = {
        DOC(""),
        DOC("  "),
        DOC("{"),
        DOC("}"),
        DOC("]"),
        DOC("[1"),
        DOC("[1,"),
        DOC("[1,]"),
        DOC("[,1]"),
        DOC("[1 2]"),
        DOC("[1}"),
        DOC("{\"a\"}"),
        DOC("{\"a\":}"),
        DOC("{\"a\":1,}"),
        DOC("{\"a\" 1}"),
        DOC("{a:1}"),
        DOC("{1:1}"),
        DOC("{\"a\":1]"),
        DOC("{,}"),
        DOC("1 2"),
        DOC("{} x"),
        DOC("{}\0"),
        DOC("nul"),
        DOC("True"),
        DOC("NaN"),
        DOC("[Infinity]"),
        DOC("-Infinity"),
        DOC("nan"),
        DOC("+1"),
        DOC("01"),
        DOC("-01"),
        DOC("-"),
        DOC("1."),
        DOC(".5"),
        DOC("1e"),
        DOC("1e+"),
        DOC("0x10"),
        DOC("1e999"),
        DOC("-1e999"),
        DOC("\"abc"),
        DOC("\"a\\"),
        DOC("\"\\x\""),
        DOC("\"\\\0\""),
        DOC("\"\\u12\""),
        DOC("\"\\u12g4\""),
        DOC("\"\\ud800\""),
        DOC("\"\\ud800\\u0041\""),
        DOC("\"\\udc00\""),
        DOC("\"\\ud800\\"),
        DOC("\"a\nb\""),
        DOC("\"a\0b\""),
        DOC("\"\x1b[2J\""),
        DOC("\"\xff\""),
        DOC("\"\xc0\xaf\""),
        DOC("\"\xed\xa0\x80\""),
        DOC("\"\xe2\x82\""),
        DOC("\"\xf4\x90\x80\x80\""),
        DOC("\xef\xbb\xbf{}"),
        DOC("'a'"),
        DOC("/* c */ 1"),
        DOC("[1] // c"),
    };
    for (size_t i = 0; i < COUNT_OF(docs); i++) {
        Err e = {0};
        Value v;
        Arena a = {0};
        if (pull_all(docs[i], &e)) fail_msg("the pull reader took: %.*s", STR_ARG(docs[i]));
        assert_int_equal(e.code, ERR_INPUT);
        assert_non_null(strstr(e.msg, "byte"));
        if (build_all(docs[i], &e)) fail_msg("json_value took: %.*s", STR_ARG(docs[i]));
        e = (Err){0};
        if (json_parse(docs[i], "dir/some.json", &a, &v, &e)) fail_msg("json_parse took: %.*s", STR_ARG(docs[i]));
        assert_int_equal(e.code, ERR_INPUT);
        assert_non_null(strstr(e.msg, "dir/some.json"));
        assert_null(strchr(e.msg, '\n'));
        assert_null(strchr(e.msg, '\x1b'));
        arena_release(&a);
    }
}

static void test_stricter_trees(void **state) {
    (void)state;
    static const Str twice[] = {DOC("{\"a\":1,\"a\":2}"), DOC("[{\"x\":{\"b\":1,\"c\":2,\"\\u0062\":3}}]")};
    static const Str nuls[] = {DOC("\"a\\u0000b\""), DOC("{\"a\\u0000\":1}")};
    Value v;
    Err e;
    Arena a = {0};
    for (size_t i = 0; i < 2; i++) {
        assert_true(pull_all(twice[i], &e));
        assert_false(build_all(twice[i], &e));
        assert_non_null(strstr(e.msg, "twice"));
        assert_false(json_parse(twice[i], "f", &a, &v, &e));
        assert_non_null(strstr(e.msg, "twice"));
        assert_true(pull_all(nuls[i], &e));
        assert_true(build_all(nuls[i], &e));
        assert_false(json_parse(nuls[i], "f", &a, &v, &e));
    }
    arena_release(&a);
}

static void test_nesting(void **state) {
    (void)state;
    for (int object = 0; object < 2; object++)
        for (int depth = 64; depth <= 200000; depth = depth == 64 ? 65 : depth + 199935) {
            Buf b = {0};
            Err e = {0};
            Value v;
            Arena a = {0};
            for (int i = 0; i < depth; i++) buf_str(&b, object ? "{\"k\":" : "[");
            buf_char(&b, '1');
            for (int i = 0; i < depth; i++) buf_char(&b, object ? '}' : ']');
            assert_int_equal(pull_all(buf_view(&b), &e), depth == 64);
            assert_int_equal(build_all(buf_view(&b), &e), depth == 64);
            assert_int_equal(json_parse(buf_view(&b), "deep", &a, &v, &e), depth == 64);
            if (depth > 64) assert_non_null(strstr(e.msg, "deeper than 64"));
            arena_release(&a);
            buf_release(&b);
        }
}

static void test_skip(void **state) {
    (void)state;
    Json j;
    json_begin(&j, STR("{\"a\":{\"x\":[1,[2,{}]]},\"b\":\"s\",\"c\":7}"));
    assert_int_equal(json_next(&j), JSON_OBJECT);
    assert_int_equal(json_next(&j), JSON_KEY);
    assert_true(json_skip(&j));
    assert_int_equal(json_next(&j), JSON_KEY);
    assert_true(str_is(j.str, "b"));
    assert_true(json_skip(&j));
    assert_int_equal(json_next(&j), JSON_KEY);
    assert_int_equal(json_next(&j), JSON_INT);
    assert_int_equal(j.i, 7);
    assert_int_equal(json_next(&j), JSON_OBJECT_END);
    assert_int_equal(json_next(&j), JSON_DONE);
    json_end(&j);
    json_begin(&j, STR("[]"));
    assert_true(json_skip(&j));
    assert_false(json_skip(&j));
    json_end(&j);
    json_begin(&j, STR("[[1,2]"));
    assert_false(json_skip(&j));
    assert_int_equal(j.err.code, ERR_INPUT);
    json_end(&j);
}

static void test_big_document_refused(void **state) {
    (void)state;
    Buf b = {0};
    Err e = {0};
    Value v;
    Arena a = {0};
    buf_char(&b, '[');
    for (int i = 0; i < 5 << 20; i++) buf_str(&b, "0,");
    buf_str(&b, "0]");
    assert_false(json_parse(buf_view(&b), "big", &a, &v, &e));
    assert_true(a.bytes < 1 << 20);
    arena_release(&a);
    buf_release(&b);
}

static void test_many_keys(void **state) {
    (void)state;
    Buf b = {0};
    Err e = {0};
    Value v;
    Arena a = {0};
    buf_char(&b, '{');
    for (int i = 0; i < 50000; i++) buf_printf(&b, "\"key%d\":%d,", i, i);
    size_t n = b.n;
    buf_str(&b, "\"last\":1}");
    if (!json_parse(buf_view(&b), "keys", &a, &v, &e)) fail_msg("%s", e.msg);
    assert_int_equal(v.object.n, 50001);
    assert_int_equal(value_get(&v, "key49999")->i, 49999);
    b.n = n;
    buf_str(&b, "\"key25000\":1}");
    assert_false(json_parse(buf_view(&b), "keys", &a, &v, &e));
    arena_release(&a);
    buf_release(&b);
}

/* Members put into an object that was read: there is no room behind its own. */
static void test_put_behind(void **state) {
    (void)state;
    Arena a = {0};
    Value v;
    Err e;
    assert_true(json_parse(STR("{\"a\": 1, \"b\": 2, \"c\": 3}"), "a test", &a, &v, &e));
    for (int i = 0; i < 40; i++) value_put(&a, &v, str_of(arena_printf(&a, "k%d", i)), value_int(i));
    value_put(&a, &v, STR("b"), value_int(-2));
    assert_int_equal(v.object.n, 43);
    assert_int_equal(value_get(&v, "a")->i, 1);
    assert_int_equal(value_get(&v, "b")->i, -2);
    for (int i = 0; i < 40; i++) assert_int_equal(value_get(&v, arena_printf(&a, "k%d", i))->i, i);
    arena_release(&a);
}

static void test_put_str(void **state) {
    (void)state;
    static const struct {
        Str in;
        const char *out;
    } rows[] = {
        {DOC("a\"\\\n\t\r\b\f"), "\"a\\\"\\\\\\n\\t\\r\\b\\f\""},
        {DOC("\x1b[1m\x7f\0"), "\"\\u001b[1m\\u007f\\u0000\""},
        {DOC("\xc2\x9b\xc3\xa9"), "\"\\u009b\xc3\xa9\""},
        {DOC("a\xffz"), "\"a\xef\xbf\xbdz\""},
        {DOC("\xe2\x82z\xf0\x9f"), "\"\xef\xbf\xbdz\xef\xbf\xbd\""},
        {DOC("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {DOC(""), "\"\""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        Buf b = {0};
        json_put_str(&b, rows[i].in);
        assert_string_equal(b.s, rows[i].out);
        buf_release(&b);
    }
}

static void test_put_float(void **state) {
    (void)state;
    static const struct {
        double f;
        const char *out;
    } rows[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {0.1, "0.1"},
        {1e21, "1e+21"},
        {5e-324, "5e-324"},
        {1.0 / 3, "0.3333333333333333"},
        {NAN, "null"},
        {INFINITY, "null"},
        {-1e-7, "-1e-07"},
        {123456.5, "123456.5"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        Buf b = {0};
        json_put_float(&b, rows[i].f);
        assert_string_equal(b.s, rows[i].out);
        buf_release(&b);
    }
    uint64_t bits = 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 20000; i++) { /* every finite double comes back bit by bit */
        double f, back;
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        uint64_t mixed = bits ^ bits >> 29;
        memcpy(&f, &mixed, 8);
        if (!isfinite(f)) continue;
        Buf b = {0};
        json_put_float(&b, f);
        back = strtod(b.s, NULL);
        assert_memory_equal(&back, &f, 8);
        buf_release(&b);
    }
}

static void test_put_value(void **state) {
    (void)state;
    static const char doc[] = "{\"a\":[1,2.5,{}],\"b\":{\"c\":null,\"d\":[]},\"e\":\"x\\n\",\"f\":true}";
    static const char pretty[] =
        "{\n  \"a\": [\n    1,\n    2.5,\n    {}\n  ],\n  \"b\": {\n    \"c\": null,\n    \"d\": "
        "[]\n  },\n  \"e\": \"x\\n\",\n  \"f\": true\n}";
    static const uint8_t numbers[] = {1, 0, 0xff, 0xff};
    Arena a = {0};
    Buf b = {0};
    Value v, blob = {.kind = VALUE_BLOB, .blob = {numbers, 2, 4, BLOB_I16}};
    Err e = {0};
    assert_true(json_parse(str_of(doc), "doc", &a, &v, &e));
    json_put_value(&b, &v, -1);
    assert_string_equal(b.s, doc);
    buf_clear(&b);
    json_put_value(&b, &v, 0);
    assert_string_equal(b.s, pretty);
    buf_clear(&b);
    json_put_value(&b, &blob, -1);
    assert_string_equal(b.s, "[1,-1]");
    buf_release(&b);
    arena_release(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),         cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_escapes),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_stricter_trees), cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_skip),           cmocka_unit_test(test_big_document_refused),
        cmocka_unit_test(test_many_keys),      cmocka_unit_test(test_put_behind),
        cmocka_unit_test(test_put_str),        cmocka_unit_test(test_put_float),
        cmocka_unit_test(test_put_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
