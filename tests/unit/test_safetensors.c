/* safetensors: round trips, the published example files, and damaged headers. */
#include "formats/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_NAME TEST_TMP "/test_safetensors.safetensors"

static void write_bytes(const char *path, Str bytes) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.s, 1, bytes.n, f), bytes.n);
    assert_int_equal(fclose(f), 0);
}

/* Length, header, then n bytes 0, 1, 2 ... */
static void build(Buf *b, Str header, size_t n) {
    uint64_t length = header.n;
    buf_put(b, &length, 8);
    buf_put(b, header.s, header.n);
    for (size_t i = 0; i < n; i++) buf_char(b, (char)i);
}

/* Parses a copy that ends where its memory ends, and touches every byte that it promises. */
static bool parse(Str bytes, Err *e) {
    TensorFile f;
    Buf list = {0};
    char *copy = malloc(bytes.n ? bytes.n : 1);
    if (bytes.n) memcpy(copy, bytes.s, bytes.n);
    store_begin(&f, STORE_HF, "memory");
    bool ok = safetensors_parse(&f, (Str){copy, bytes.n}, 0, &list, &f.meta, e);
    if (ok) store_take_list(&f, &list);
    for (size_t i = 0; i < f.n; i++) {
        int64_t n = 0;
        assert_true(tensor_bytes(f.tensors[i].t.dtype, f.tensors[i].t.ndim, f.tensors[i].t.ne, &n));
        hash_bytes(f.tensors[i].t.data, (size_t)n, 0);
        assert_int_equal((uintptr_t)f.tensors[i].t.data % (size_t)dtype_info[f.tensors[i].t.dtype].block_bytes, 0);
    }
    buf_release(&list);
    f.close(&f);
    free(copy);
    return ok;
}

#define ENTRY(name, dtype, shape, offsets)                                                                             \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_read(void **state) {
    (void)state;
    Buf b = {0};
    TensorFile f;
    Err e = {0};
    build(&b,
          str_of(
              "{\"__metadata__\":{\"format\":\"pt\",\"k\":\"\\u00e9\"}," ENTRY("w", "F32", "[2,3]", "[4,28]") "," ENTRY(
                  "h", "BF16", "[2]",
                  "[0,4]") "," ENTRY("s", "I64", "[]",
                                     "[28,36]") ","
                                                "\"none\":{\"shape\":[0,5],\"data_offsets\":[36,36],\"dtype\":\"F16\","
                                                "\"more\":[{}]}," ENTRY("u", "U8", "[1,1,1,2]", "[36,38]") "}   "),
          38);
    write_bytes(FILE_NAME, buf_view(&b));
    if (!safetensors_open(FILE_NAME, &f, &e)) fail_msg("%s", e.msg);
    assert_int_equal(f.n, 5);
    assert_int_equal(f.format, STORE_HF);
    assert_true(str_is(value_get(&f.meta, "format")->s, "pt"));
    assert_true(str_is(value_get(&f.meta, "k")->s, "\xc3\xa9"));
    const NamedTensor *t = tensor_file_find(&f, STR("w"));
    assert_int_equal(t->t.ne[0], 2);
    assert_int_equal(t->t.ne[1], 3);
    assert_int_equal(*(unsigned char *)t->t.data, 4);
    assert_int_equal((uintptr_t)t->t.data % 4, 0); /* whatever the length of the header */
    t = tensor_file_find(&f, STR("s"));
    assert_int_equal(t->t.ndim, 1);
    assert_int_equal(t->t.ne[0], 1);
    assert_int_equal(((unsigned char *)t->t.data)[7], 35);
    assert_int_equal(tensor_count(&tensor_file_find(&f, STR("none"))->t), 0);
    assert_int_equal(tensor_file_find(&f, STR("u"))->t.ndim, 4);
    f.close(&f);
    buf_release(&b);
    unlink(FILE_NAME);
}

#define GOOD ENTRY("a", "F32", "[2]", "[0,8]")

static const struct {
    Str header;
    size_t n_data;
    const char *says;
} damages[] = {
#define ROW(header, n, says)                                                                                           \
    { {header, sizeof(header) - 1}, n, says }
    ROW("", 0, "begin with"),
    ROW("[]", 0, "begin with"),
    ROW(" {}", 0, "begin with"),
    ROW("{", 0, "ends"),
    ROW("{} x", 0, "follows"),
    ROW("{" GOOD "}{}", 8, "follows"),
    ROW("{}\0", 0, "follows"),
    ROW("{}", 1, "file has 1 bytes"),
    ROW("{" GOOD "}", 7, "cut off"),
    ROW("{" GOOD "}", 0, "cut off"),
    ROW("{" GOOD "}", 9, "file has 9 bytes"),
    ROW("{" GOOD "," GOOD "}", 8, "stands twice"),
    ROW("{" GOOD "," ENTRY("\\u0061", "F32", "[2]", "[8,16]") "}", 16, "stands twice"),
    ROW("{" ENTRY("", "F32", "[2]", "[0,8]") "}", 8, "name"),
    ROW("{" ENTRY("a\\u0000b", "F32", "[2]", "[0,8]") "}", 8, "NUL"),
    ROW("{" ENTRY("\xff", "F32", "[2]", "[0,8]") "}", 8, "UTF-8"),
    ROW("{" ENTRY("a", "F64", "[1]", "[0,8]") "}", 8, "'F64', which is not supported"),
    ROW("{" ENTRY("a", "BOOL", "[8]", "[0,8]") "}", 8, "'BOOL', which is not supported"),
    ROW("{" ENTRY("a", "I16", "[4]", "[0,8]") "}", 8, "'I16'"),
    ROW("{" ENTRY("a", "F8_E4M3", "[8]", "[0,8]") "}", 8, "'F8_E4M3'"),
    ROW("{" ENTRY("a", "f32", "[2]", "[0,8]") "}", 8, "'f32'"),
    ROW("{" ENTRY("a", "\\u001b[2J", "[2]", "[0,8]") "}", 8, "not supported"),
    ROW("{" ENTRY("a", "F32", "[3]", "[0,8]") "}", 8, "need 12 bytes"),
    ROW("{" ENTRY("a", "F32", "[]", "[0,8]") "}", 8, "need 4 bytes"),
    ROW("{" ENTRY("a", "F32", "[-2]", "[0,8]") "}", 8, "not negative"),
    ROW("{" ENTRY("a", "F32", "[2.0]", "[0,8]") "}", 8, "whole number"),
    ROW("{" ENTRY("a", "F32", "[1e0]", "[0,8]") "}", 8, "whole number"),
    ROW("{" ENTRY("a", "F32", "\"2\"", "[0,8]") "}", 8, "array"),
    ROW("{" ENTRY("a", "F32", "[[2]]", "[0,8]") "}", 8, "whole number"),
    ROW("{" ENTRY("a", "F32", "[1,1,1,1,2]", "[0,8]") "}", 8, "5 dimensions"),
    ROW("{" ENTRY("a", "F32", "[4611686018427387904,4]", "[0,0]") "}", 0, "too large"),
    ROW("{" ENTRY("a", "F32", "[4294967296,4294967296]", "[0,0]") "}", 0, "too large"),
    ROW("{" ENTRY("a", "F32", "[4611686018427387904]", "[0,0]") "}", 0, "too large"),
    ROW("{" ENTRY("a", "F32", "[9223372036854775808]", "[0,8]") "}", 8, "whole number"),
    ROW("{" ENTRY("a", "F32", "[2]", "[8,0]") "}", 8, "[begin, end]"),
    ROW("{" ENTRY("a", "F32", "[2]", "[-8,0]") "}", 8, "not negative"),
    ROW("{" ENTRY("a", "F32", "[2]", "[0]") "}", 8, "[begin, end]"),
    ROW("{" ENTRY("a", "F32", "[2]", "[0,8,8]") "}", 8, "[begin, end]"),
    ROW("{" ENTRY("a", "F32", "[2]", "[9223372036854775800,9223372036854775808]") "}", 8, "whole number"),
    ROW("{" ENTRY("a", "F32", "[1]", "[9223372036854775803,9223372036854775807]") "}", 8, "cut off"),
    ROW("{" ENTRY("a", "F32", "[2]", "[1,9]") "}", 9, "hole"),
    ROW("{" GOOD "," ENTRY("b", "F32", "[1]", "[4,8]") "}", 8, "overlap"),
    ROW("{" GOOD "," ENTRY("b", "F32", "[2]", "[0,8]") "}", 8, "overlap"),
    ROW("{" GOOD "," ENTRY("b", "F32", "[1]", "[12,16]") "}", 16, "hole"),
    ROW("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "lacks"),
    ROW("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "lacks"),
    ROW("{\"a\":{}}", 8, "lacks"),
    ROW("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "twice"),
    ROW("{\"a\":{\"dtype\":4,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "string"),
    ROW("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":[1,}}", 8, "value"),
    ROW("{\"a\":[]}", 0, "object"),
    ROW("{\"a\":null}", 0, "object"),
    ROW("{\"__metadata__\":[]}", 0, "__metadata__"),
    ROW("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__"),
    ROW("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "twice"),
    ROW("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice"),
    ROW("{\"a\":{\"x\":NaN}}", 0, "NaN"),
#undef ROW
};

static void assert_bad(Str bytes, const char *says) {
    TensorFile f;
    Err e = {0};
    if (parse(bytes, &e)) fail_msg("taken: %.*s", STR_ARG(bytes));
    write_bytes(FILE_NAME, bytes);
    int64_t from = now_ns();
    assert_false(safetensors_open(FILE_NAME, &f, &e));
    assert_true(now_ns() - from < INT64_C(1000000000));
    assert_int_equal(e.code, ERR_INPUT);
    assert_null(f.close);
    assert_null(strchr(e.msg, '\n'));
    assert_null(strchr(e.msg, '\x1b'));
    if (!strstr(e.msg, FILE_NAME)) fail_msg("'%s' does not name the file", e.msg);
    if (!strstr(e.msg, says)) fail_msg("'%s' does not say '%s'", e.msg, says);
}

static void test_damaged(void **state) {
    (void)state;
    Err e;
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        Buf b = {0};
        build(&b, damages[i].header, damages[i].n_data);
        assert_bad(buf_view(&b), damages[i].says);
        buf_release(&b);
    }
    static const uint64_t lengths[] = {0, 1, (100 << 20) + 1, 1ull << 32, 1ull << 63, ~0ull, ~0ull - 7};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        Buf b = {0};
        build(&b, str_of("{" GOOD "}"), 8);
        memcpy(b.s, &lengths[i], 8);
        assert_bad(buf_view(&b), "header");
        buf_release(&b);
    }
    Buf b = {0}; /* every cut, and every bit flipped */
    build(&b, str_of("{\"__metadata__\":{\"k\":\"v\"}," GOOD "," ENTRY("b", "I32", "[1]", "[8,12]") "}"), 12);
    assert_true(parse(buf_view(&b), &e));
    for (size_t n = 0; n < b.n; n++) assert_false(parse((Str){b.s, n}, &e));
    for (size_t i = 0; i < b.n * 8; i++) {
        b.s[i / 8] = (char)(b.s[i / 8] ^ 1 << i % 8);
        e = (Err){0};
        if (!parse(buf_view(&b), &e)) assert_int_equal(e.code, ERR_INPUT);
        b.s[i / 8] = (char)(b.s[i / 8] ^ 1 << i % 8);
    }
    buf_release(&b);
    for (int i = 0; i < 100000; i++) buf_str(&b, i ? "[" : "{\"a\":{\"x\":");
    Buf deep = {0};
    build(&deep, buf_view(&b), 0);
    assert_bad(buf_view(&deep), "nested");
    buf_release(&deep);
    buf_release(&b);
    unlink(FILE_NAME);
}

static void test_write(void **state) {
    (void)state;
    static const float a[6] = {1, -2, 0.5f, 3, 4, 5};
    static const uint8_t u[3] = {7, 8, 9};
    static const int64_t i64[1] = {INT64_MIN};
    OutTensor out[] = {
        {.name = "model.a", .dtype = DT_f32, .ndim = 2, .ne = {3, 2}, .data = a},
        {.name = "u\"\\\n", .dtype = DT_u8, .ndim = 1, .ne = {3}, .data = u},
        {.name = "i", .dtype = DT_i64, .ndim = 1, .ne = {1}, .data = i64}, /* lies unaligned behind u */
        {.name = "empty", .dtype = DT_f16, .ndim = 2, .ne = {0, 4}},
    };
    Str keys[] = {STR("format"), STR("note")};
    Value items[] = {{.kind = VALUE_STR, .s = STR("pt")}, {.kind = VALUE_STR, .s = STR("line\n\"quoted\"")}};
    Value meta = {.kind = VALUE_OBJECT, .object = {keys, items, 2}}, wrong = {.kind = VALUE_INT};
    TensorFile f;
    Mapping m;
    Err e = {0};
    if (!safetensors_write(FILE_NAME, &meta, out, COUNT_OF(out), &e)) fail_msg("%s", e.msg);
    assert_true(map_file(FILE_NAME, &m, &e));
    uint64_t length;
    memcpy(&length, m.bytes, 8);
    assert_int_equal(length % 8, 0);
    assert_int_equal(m.n, 8 + length + sizeof a + sizeof u + sizeof i64);
    unmap_file(&m);
    if (!safetensors_open(FILE_NAME, &f, &e)) fail_msg("%s", e.msg);
    assert_int_equal(f.n, 4);
    for (size_t i = 0; i < f.n; i++) {
        assert_string_equal(f.tensors[i].name.s, out[i].name);
        assert_int_equal(f.tensors[i].t.ndim, out[i].ndim);
        assert_int_equal(f.tensors[i].t.ne[0], out[i].ne[0]);
    }
    assert_memory_equal(f.tensors[0].t.data, a, sizeof a);
    assert_memory_equal(f.tensors[1].t.data, u, sizeof u);
    assert_true(*(const int64_t *)f.tensors[2].t.data == INT64_MIN);
    assert_true(str_is(value_get(&f.meta, "note")->s, "line\n\"quoted\""));
    f.close(&f);

    assert_true(safetensors_write(FILE_NAME, NULL, NULL, 0, &e));
    assert_true(safetensors_open(FILE_NAME, &f, &e));
    assert_int_equal(f.n, 0);
    f.close(&f);
    unlink(FILE_NAME);
    OutTensor quantised = {.name = "q", .dtype = DT_q8_0, .ndim = 1, .ne = {32}, .data = a};
    OutTensor reserved = {.name = "__metadata__", .dtype = DT_f32, .ndim = 1, .ne = {1}, .data = a};
    OutTensor twins[] = {out[0], out[0]};
    assert_false(safetensors_write(FILE_NAME, NULL, &quantised, 1, &e));
    assert_non_null(strstr(e.msg, "q8_0"));
    assert_false(safetensors_write(FILE_NAME, NULL, &reserved, 1, &e));
    assert_false(safetensors_write(FILE_NAME, NULL, twins, 2, &e));
    assert_non_null(strstr(e.msg, "two tensors"));
    assert_false(safetensors_write(FILE_NAME, &wrong, out, 1, &e));
    assert_int_equal(access(FILE_NAME, F_OK), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
