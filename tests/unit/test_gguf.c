/* GGUF: round trips, and a file damaged in one place after the other. */
#include "formats/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_NAME TEST_TMP "/test_gguf.gguf"

/* ---- a small whole file, each number of which can be replaced ---- */

typedef enum Place {
    NOTHING,
    MAGIC,
    VERSION,
    TENSORS,
    PAIRS,
    KEY_LEN,  /* of the first key */
    KEY_BYTE, /* its first byte */
    STR_LEN,  /* of its value */
    STR_BYTE, /* the value's first byte */
    ALIGN_TYPE,
    ALIGN,
    BOOL_BYTE,
    U64_VALUE,
    ARRAY_TYPE,
    ARRAY_COUNT,
    STRS_TYPE,
    STRS_COUNT,
    STRS_LEN, /* of the second string */
    NESTED_TYPE,
    NESTED_COUNT,
    SECOND_KEY, /* 1: the same as the first */
    SPLITS,
    NAME_LEN, /* of the first tensor */
    NAME_BYTE,
    NDIMS,
    DIM0, /* innermost */
    DIM1,
    TYPE,
    OFFSET,
    SECOND_NAME, /* 1: the same as the first */
    SECOND_TYPE,
    SECOND_DIM,
    SECOND_OFFSET,
    DATA_BYTES,
} Place;

typedef struct Damage {
    Place place;
    uint64_t value;
    const char *says; /* part of the message */
} Damage;

static uint64_t pick(const Damage *d, Place place, uint64_t normal) { return d->place == place ? d->value : normal; }
static void u32(Buf *b, uint64_t v) { buf_put(b, &v, 4); }
static void u64(Buf *b, uint64_t v) { buf_put(b, &v, 8); }

static void text(Buf *b, const char *s, uint64_t len, uint64_t first) {
    u64(b, len);
    buf_char(b, (char)first);
    buf_str(b, s + 1);
}

static void key(Buf *b, const char *s, GgufType type) {
    text(b, s, strlen(s), (unsigned char)s[0]);
    u32(b, type);
}

/* What a shape needs: a.weight f32 [2,3] at 0 and b.weight q8_0 [32] at 64 (rounded up to 32). */
static void build(Buf *b, const Damage *d) {
    static const GgufType plain[] = {GGUF_U8,  GGUF_I8,  GGUF_U16, GGUF_I16, GGUF_U32,
                                     GGUF_I32, GGUF_F32, GGUF_I64, GGUF_F64};
    static const int width[] = {1, 1, 2, 2, 4, 4, 4, 8, 8};
    const char *second = pick(d, SECOND_KEY, 0) ? "general.name" : "general.date";
    u32(b, pick(d, MAGIC, 0x46554747));
    u32(b, pick(d, VERSION, 3));
    u64(b, pick(d, TENSORS, 2));
    u64(b, pick(d, PAIRS, 18));
    text(b, "general.name", pick(d, KEY_LEN, 12), pick(d, KEY_BYTE, 'g'));
    u32(b, GGUF_STR);
    text(b, "tiny", pick(d, STR_LEN, 4), pick(d, STR_BYTE, 't'));
    key(b, "general.alignment", (GgufType)pick(d, ALIGN_TYPE, GGUF_U32));
    u32(b, pick(d, ALIGN, 32));
    key(b, "flag", GGUF_BOOL);
    buf_char(b, (char)pick(d, BOOL_BYTE, 1));
    key(b, "large", GGUF_U64);
    u64(b, pick(d, U64_VALUE, 1ull << 40));
    for (size_t i = 0; i < COUNT_OF(plain); i++) {
        char name[3] = {'p', (char)('0' + i), 0};
        uint64_t minus_one = plain[i] == GGUF_F32 ? 0xbf800000u : plain[i] == GGUF_F64 ? 0xbff0000000000000u : ~0ull;
        key(b, name, plain[i]);
        buf_put(b, &minus_one, (size_t)width[i]);
    }
    key(b, "numbers", GGUF_ARRAY);
    u32(b, pick(d, ARRAY_TYPE, GGUF_I32));
    u64(b, pick(d, ARRAY_COUNT, 3));
    for (uint64_t i = 0; i < 3; i++) u32(b, 10 * i);
    key(b, "strings", GGUF_ARRAY);
    u32(b, pick(d, STRS_TYPE, GGUF_STR));
    u64(b, pick(d, STRS_COUNT, 2));
    text(b, "ab", 2, 'a');
    text(b, "\xff\xfe", pick(d, STRS_LEN, 2), 0xff); /* vocabularies may hold broken UTF-8 */
    key(b, "nested", GGUF_ARRAY);
    u32(b, GGUF_ARRAY);
    u64(b, pick(d, NESTED_COUNT, 1));
    u32(b, pick(d, NESTED_TYPE, GGUF_U8));
    u64(b, 2);
    buf_put(b, "\1\2", 2);
    key(b, second, GGUF_U32);
    u32(b, 2026);
    key(b, "split.count", GGUF_U32);
    u32(b, pick(d, SPLITS, 1));

    text(b, "a.weight", pick(d, NAME_LEN, 8), pick(d, NAME_BYTE, 'a'));
    u32(b, pick(d, NDIMS, 2));
    u64(b, pick(d, DIM0, 3));
    u64(b, pick(d, DIM1, 2));
    u32(b, pick(d, TYPE, 0));
    u64(b, pick(d, OFFSET, 0));
    text(b, pick(d, SECOND_NAME, 0) ? "a.weight" : "b.weight", 8, pick(d, SECOND_NAME, 0) ? 'a' : 'b');
    u32(b, 1);
    u64(b, pick(d, SECOND_DIM, 32));
    u32(b, pick(d, SECOND_TYPE, 8));
    u64(b, pick(d, SECOND_OFFSET, 64));
    while (b->n % 32) buf_char(b, 0);
    for (uint64_t i = 0; i < pick(d, DATA_BYTES, 98); i++) buf_char(b, (char)i);
}

static void write_bytes(const char *path, Str bytes) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.s, 1, bytes.n, f), bytes.n);
    assert_int_equal(fclose(f), 0);
}

/* Parses a copy that ends where its memory ends. */
static bool parse(Str bytes, Err *e) {
    TensorFile f;
    Buf list = {0};
    GgufSplit split;
    char *copy = malloc(bytes.n ? bytes.n : 1);
    if (bytes.n) memcpy(copy, bytes.s, bytes.n);
    store_begin(&f, STORE_GGUF, "memory");
    bool ok = gguf_parse(&f, (Str){copy, bytes.n}, &list, &split, e);
    f.close(&f);
    buf_release(&list);
    free(copy);
    return ok;
}

/* ---- reading ---- */

static void test_read(void **state) {
    (void)state;
    for (uint64_t version = 2; version <= 3; version++) {
        Buf b = {0};
        TensorFile f;
        Err e = {0};
        build(&b, &(Damage){VERSION, version, ""});
        write_bytes(FILE_NAME, buf_view(&b));
        if (!tensor_file_open(FILE_NAME, &f, &e)) fail_msg("%s", e.msg);
        assert_int_equal(f.format, STORE_GGUF);
        assert_string_equal(f.path, FILE_NAME);
        assert_int_equal(f.n_files, 1);
        assert_string_equal(f.files[0], FILE_NAME);
        assert_true(str_is(value_get(&f.meta, "general.name")->s, "tiny"));
        assert_int_equal(value_get(&f.meta, "large")->i, 1ll << 40);
        assert_true(value_get(&f.meta, "flag")->b);
        static const int64_t want[] = {255, -1, 65535, -1, 4294967295, -1, 0, -1};
        for (int i = 0; i < 8; i++) {
            char name[3] = {'p', (char)('0' + i), 0};
            if (i != 6) assert_int_equal(value_get(&f.meta, name)->i, want[i]);
        }
        assert_true(value_get(&f.meta, "p6")->f == -1.0 && value_get(&f.meta, "p8")->f == -1.0);
        const Value *numbers = value_get(&f.meta, "numbers"), *strings = value_get(&f.meta, "strings");
        assert_int_equal(value_count(numbers), 3);
        assert_int_equal(value_item(numbers, 2).i, 20);
        assert_int_equal(value_count(strings), 2);
        assert_true(str_is(value_item(strings, 1).s, "\xff\xfe"));
        const Value *nested = value_get(&f.meta, "nested");
        assert_int_equal(nested->kind, VALUE_ARRAY);
        assert_int_equal(value_item(&nested->array.items[0], 1).i, 2);

        assert_int_equal(f.n, 2);
        const NamedTensor *t = tensor_file_find(&f, STR("a.weight"));
        assert_non_null(t);
        assert_string_equal(t->name.s, "a.weight");
        assert_int_equal(t->t.ndim, 2);
        assert_int_equal(t->t.ne[0], 2); /* outermost first */
        assert_int_equal(t->t.ne[1], 3);
        assert_int_equal(t->t.stride[0], 12);
        assert_int_equal(t->t.dtype, DT_f32);
        for (int i = 0; i < 24; i++) assert_int_equal(((unsigned char *)t->t.data)[i], i);
        t = tensor_file_find(&f, STR("b.weight"));
        assert_int_equal(t->t.dtype, DT_q8_0);
        assert_int_equal(*(unsigned char *)t->t.data, 64);
        assert_null(tensor_file_find(&f, STR("c.weight")));
        f.close(&f);
        buf_release(&b);
    }
    unlink(FILE_NAME);
}

static const Damage damages[] = {
    {MAGIC, 0x46554746, "neither a GGUF file"},
    {VERSION, 0, "version 0"},
    {VERSION, 1, "version 1"},
    {VERSION, 4, "version 4"},
    {VERSION, 0xffffffff, "version"},
    {VERSION, 0x03000000, "big-endian"},
    {TENSORS, 1ull << 60, "tensors"},
    {TENSORS, ~0ull, "tensors"},
    {TENSORS, 3, "cut off"},
    {PAIRS, 1ull << 60, "key/value pairs"},
    {PAIRS, ~0ull, "key/value pairs"},
    {PAIRS, 19, "cut off"},
    {KEY_LEN, 0, "empty"},
    {KEY_LEN, ~0ull, "cut off"},
    {KEY_LEN, 1ull << 32, "cut off"},
    {KEY_LEN, 13, "unknown"},
    {KEY_BYTE, 0xff, "UTF-8"},
    {KEY_BYTE, 0, "UTF-8"},
    {STR_LEN, ~0ull, "cut off"},
    {STR_LEN, 1ull << 63, "cut off"},
    {STR_LEN, ~0ull - 7, "cut off"},
    {STR_BYTE, 0x80, "UTF-8"},
    {ALIGN_TYPE, 13, "type 13"},
    {ALIGN_TYPE, ~0u, "unknown"},
    {ALIGN_TYPE, GGUF_F32, "general.alignment"},
    {ALIGN, 0, "general.alignment"},
    {ALIGN, 1, "general.alignment"},
    {ALIGN, 3, "general.alignment"},
    {ALIGN, 48, "general.alignment"},
    {ALIGN, 1 << 17, "general.alignment"},
    {ALIGN, 1u << 31, "general.alignment"},
    {ALIGN, 128, "no multiple of 128"},
    {BOOL_BYTE, 2, "truth value"},
    {U64_VALUE, 1ull << 63, "larger than"},
    {ARRAY_TYPE, 13, "unknown type"},
    {ARRAY_TYPE, GGUF_ARRAY, ""},
    {ARRAY_COUNT, ~0ull, "cannot lie"},
    {ARRAY_COUNT, 1ull << 62, "cannot lie"},
    {ARRAY_COUNT, 1ull << 63, "cannot lie"},
    {STRS_COUNT, 1ull << 61, "cannot lie"},
    {STRS_COUNT, 3, "cut off"},
    {STRS_LEN, ~0ull, "cut off"},
    {STRS_LEN, ~0ull - 8, "cut off"},
    {NESTED_COUNT, 1ull << 60, "cannot lie"},
    {NESTED_TYPE, GGUF_STR, "cut off"},
    {NESTED_TYPE, GGUF_U64, ""},
    {NESTED_TYPE, 99, "unknown type"},
    {SECOND_KEY, 1, "stands twice"},
    {SPLITS, 2, "name does not end in -00001-of-00002.gguf"},
    {SPLITS, 100000, "split.count 100000"},
    {SPLITS, 0xffffffff, "split.count"},
    {NAME_LEN, 0, "empty"},
    {NAME_LEN, 1ull << 40, "cut off"},
    {NAME_BYTE, 0xc0, "UTF-8"},
    {NDIMS, 5, "5 dimensions"},
    {NDIMS, 0xffffffff, "dimensions"},
    {DIM0, 0, "dimension"},
    {DIM1, 0, "dimension"},
    {DIM0, 1ull << 63, "dimension"},
    {DIM0, 1ull << 62, "too large"},
    {DIM1, 1ull << 62, "too large"},
    {DIM0, 1ull << 40, "cut off or damaged"},
    {DIM0, 9, "overlap"},
    {TYPE, 16, "type 16 (IQ2_XXS)"},
    {TYPE, 1000, "type 1000 (unknown)"},
    {TYPE, 8, "whole blocks"},
    {OFFSET, 1, "no multiple of 32"},
    {OFFSET, 64, "overlap"},
    {OFFSET, 1ull << 40, "cut off or damaged"},
    {OFFSET, ~0ull - 31, "offset is too large"},
    {OFFSET, 1ull << 63, "offset is too large"},
    {SECOND_NAME, 1, "stands twice"},
    {SECOND_DIM, 33, "whole blocks"},
    {SECOND_DIM, 64, "cut off or damaged"},
    {SECOND_OFFSET, 0, "overlap"},
    {DATA_BYTES, 97, "cut off or damaged"},
    {DATA_BYTES, 0, "cut off or damaged"},
};

static void test_damaged(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        const Damage *d = &damages[i];
        Buf b = {0};
        TensorFile f;
        Err e = {0};
        build(&b, d);
        bool parts = d->place == SPLITS && d->value == 2; /* a part is whole in itself */
        if (parse(buf_view(&b), &e) && !parts)
            fail_msg("taken: place %d = %llx", d->place, (unsigned long long)d->value);
        write_bytes(FILE_NAME, buf_view(&b));
        int64_t from = now_ns();
        assert_false(tensor_file_open(FILE_NAME, &f, &e));
        assert_true(now_ns() - from < INT64_C(1000000000));
        assert_int_equal(e.code, ERR_INPUT);
        assert_null(f.close); /* nothing left to close */
        assert_null(strchr(e.msg, '\n'));
        if (!strstr(e.msg, FILE_NAME)) fail_msg("'%s' does not name the file", e.msg);
        if (!strstr(e.msg, d->says)) fail_msg("place %d: '%s' does not say '%s'", d->place, e.msg, d->says);
        buf_release(&b);
    }
    unlink(FILE_NAME);
}

static void test_cut(void **state) {
    (void)state;
    Buf b = {0};
    Err e;
    build(&b, &(Damage){0});
    assert_true(parse(buf_view(&b), &e));
    for (size_t n = 0; n < b.n; n++) {
        e = (Err){0};
        if (parse((Str){b.s, n}, &e)) fail_msg("taken: the first %zu of %zu bytes", n, b.n);
        assert_int_equal(e.code, ERR_INPUT);
        assert_non_null(strstr(e.msg, "bytes"));
    }
    buf_release(&b);
}

static void test_flipped(void **state) {
    (void)state;
    Buf b = {0};
    Err e;
    build(&b, &(Damage){0});
    for (size_t i = 0; i < b.n; i++)
        for (int bit = 0; bit < 8; bit++) { /* taken or refused, but never read out of bounds */
            b.s[i] = (char)(b.s[i] ^ 1 << bit);
            e = (Err){0};
            if (!parse(buf_view(&b), &e)) assert_int_equal(e.code, ERR_INPUT);
            b.s[i] = (char)(b.s[i] ^ 1 << bit);
        }
    buf_release(&b);
}

static void test_deep_nesting(void **state) {
    (void)state;
    for (int depth = 4; depth <= 100000; depth = depth == 4 ? 5 : depth + 99995) {
        Buf b = {0};
        Err e = {0};
        buf_str(&b, "GGUF");
        u32(&b, 3);
        u64(&b, 0);
        u64(&b, 1);
        key(&b, "deep", GGUF_ARRAY);
        for (int i = 1; i < depth; i++) {
            u32(&b, GGUF_ARRAY);
            u64(&b, 1);
        }
        u32(&b, GGUF_U8);
        u64(&b, 1);
        buf_char(&b, 7);
        assert_int_equal(parse(buf_view(&b), &e), depth == 4);
        if (depth > 4) assert_non_null(strstr(e.msg, "nested"));
        buf_release(&b);
    }
}

/* ---- a model in parts ---- */

typedef struct Part { /* what one part says of itself */
    int64_t no, count, tensors;
    const char *tensor, *name; /* its one tensor; name of the file, NULL: as it should be */
} Part;

static const char *part_file(int no) {
    static char path[3][300];
    snprintf(path[no], sizeof path[no], TEST_TMP "/test_split-%05d-of-00003.gguf", no + 1);
    return path[no];
}

static void write_part(int no, const Part *p) {
    static const float data[3] = {1, 2, 3};
    Str keys[] = {STR("split.no"), STR("split.count"), STR("split.tensors.count"), STR("general.name")};
    Value items[] = {{.kind = VALUE_INT, .i = p->no},
                     {.kind = VALUE_INT, .i = p->count},
                     {.kind = VALUE_INT, .i = p->tensors},
                     {.kind = VALUE_STR, .s = STR("in parts")}};
    Value meta = {.kind = VALUE_OBJECT, .object = {keys, items, no == 0 ? 4 : 3}};
    OutTensor t = {.name = p->tensor, .dtype = DT_f32, .ndim = 1, .ne = {1}, .data = &data[no]};
    Err e = {0};
    if (!gguf_write(p->name ? p->name : part_file(no), &meta, &t, p->tensor ? 1 : 0, &e)) fail_msg("%s", e.msg);
}

static void clean_parts(void) {
    for (int i = 0; i < 3; i++) unlink(part_file(i));
}

static void test_parts(void **state) {
    (void)state;
    const Part good[] = {{0, 3, 2, "a", NULL}, {1, 3, 2, NULL, NULL}, {2, 3, 2, "b", NULL}};
    TensorFile f;
    Err e = {0};
    for (int i = 0; i < 3; i++) write_part(i, &good[i]);
    if (!tensor_file_open(part_file(0), &f, &e)) fail_msg("%s", e.msg);
    assert_int_equal(f.n_files, 3);
    assert_int_equal(f.n, 2);
    assert_true(str_is(value_get(&f.meta, "general.name")->s, "in parts"));
    const NamedTensor *t = tensor_file_find(&f, STR("b"));
    assert_true(*(float *)t->t.data == 3);
    assert_string_equal(f.files[t->file], part_file(2));
    int64_t bytes = 0;
    for (int i = 0; i < 3; i++) {
        FILE *x = fopen(part_file(i), "rb");
        assert_int_equal(fseek(x, 0, SEEK_END), 0);
        bytes += ftell(x);
        fclose(x);
    }
    assert_int_equal(f.mapped_bytes, bytes); /* the headers of all parts are counted */
    f.close(&f);
    for (int i = 1; i < 3; i++) { /* another part than the first */
        assert_false(tensor_file_open(part_file(i), &f, &e));
        assert_int_equal(e.code, ERR_INPUT);
        if (!strstr(e.msg, part_file(i)) || !strstr(e.msg, part_file(0))) fail_msg("'%s' does not name both", e.msg);
        assert_null(f.close);
    }
    clean_parts();
}

static void test_parts_refused(void **state) {
    (void)state;
    static const struct {
        Part parts[3];
        int names; /* the part that the message names */
        const char *says;
    } rows[] = {
        {{{0, 3, 2, "a", NULL}, {1, 3, 2, NULL, NULL}, {1, 3, 2, "b", NULL}}, 2, "not part 3 of 3"},
        {{{0, 3, 2, "a", NULL}, {1, 4, 2, NULL, NULL}, {2, 3, 2, "b", NULL}}, 1, "part 2 of 4"},
        {{{0, 3, 2, "a", NULL}, {0, 1, 2, NULL, NULL}, {2, 3, 2, "b", NULL}}, 1, "part 1 of 1"},
        {{{0, 3, 2, "a", NULL}, {1, 3, 3, NULL, NULL}, {2, 3, 2, "b", NULL}}, 1, "3 tensors"},
        {{{0, 3, 3, "a", NULL}, {1, 3, 3, NULL, NULL}, {2, 3, 3, "b", NULL}}, 0, "hold 2 tensors"},
        {{{0, 3, 1, "a", NULL}, {1, 3, 1, NULL, NULL}, {2, 3, 1, "b", NULL}}, 0, "hold 2 tensors"},
        {{{0, 3, 3, "a", NULL}, {1, 3, 3, "b", NULL}, {2, 3, 3, "a", NULL}}, 2, "'a': it stands twice"},
        {{{0, 2, 2, "a", NULL}, {1, 2, 2, NULL, NULL}, {2, 3, 2, "b", NULL}}, 0, "-00001-of-00002.gguf"},
        {{{-1, 3, 2, "a", NULL}, {1, 3, 2, NULL, NULL}, {2, 3, 2, "b", NULL}}, 0, "split.no -1"},
        {{{3, 3, 2, "a", NULL}, {1, 3, 2, NULL, NULL}, {2, 3, 2, "b", NULL}}, 0, "split.no 3"},
        {{{0, -3, 2, "a", NULL}, {1, 3, 2, NULL, NULL}, {2, 3, 2, "b", NULL}}, 0, "split.count -3"},
        {{{0, 3, 2, "a", NULL}, {1, 3, 2, NULL, NULL}, {2, 3, 2, "b", TEST_TMP "/elsewhere.gguf"}}, 2, "No such file"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        TensorFile f;
        Err e = {0};
        for (int k = 0; k < 3; k++) write_part(k, &rows[i].parts[k]);
        assert_false(tensor_file_open(part_file(0), &f, &e));
        assert_int_equal(e.code, ERR_INPUT);
        assert_null(f.close);
        if (!strstr(e.msg, part_file(rows[i].names))) fail_msg("row %zu: '%s' names another file", i, e.msg);
        if (!strstr(e.msg, rows[i].says)) fail_msg("row %zu: '%s' does not say '%s'", i, e.msg, rows[i].says);
        clean_parts();
    }
    unlink(TEST_TMP "/elsewhere.gguf");
}

/* ---- writing ---- */

static bool emit_bytes(void *ctx, const OutTensor *t, Sink to, Err *e) {
    (void)t;
    Str *s = ctx;
    size_t half = s->n / 2;
    return to.write(to.ctx, s->s, half, e) && to.write(to.ctx, s->s + half, s->n - half, e);
}

static void test_write(void **state) {
    (void)state;
    static float a[2 * 3 * 5];
    static uint16_t h[7];
    static BlockQ4_1 q[4];
    static const uint8_t blob[] = {1, 0, 2, 0}, strs[] = {1, 0, 0, 0, 0, 0, 0, 0, 'x', 0, 0, 0, 0, 0, 0, 0, 0};
    for (size_t i = 0; i < COUNT_OF(a); i++) a[i] = (float)i * 0.37f;
    for (size_t i = 0; i < COUNT_OF(h); i++) h[i] = (uint16_t)(i * 1111);
    memset(q, 0x5a, sizeof q);
    Str half = {(char *)h, sizeof h};
    OutTensor out[] = {
        {.name = "a", .dtype = DT_f32, .ndim = 3, .ne = {2, 3, 5}, .data = a},
        {.name = "h", .dtype = DT_bf16, .ndim = 1, .ne = {7}, .emit = emit_bytes, .ctx = &half},
        {.name = "q", .dtype = DT_q4_1, .ndim = 2, .ne = {2, 64}, .data = q},
    };
    Value ints[] = {{.kind = VALUE_INT, .i = 1}, {.kind = VALUE_INT, .i = -2}};
    Value words[] = {{.kind = VALUE_STR, .s = STR("x")}, {.kind = VALUE_STR, .s = STR("")}};
    Str keys[] = {STR("b"),    STR("u"),     STR("n"),    STR("f"),
                  STR("s"),    STR("blob"),  STR("strs"), STR("general.alignment"),
                  STR("ints"), STR("words"), STR("none")};
    Value items[] = {
        {.kind = VALUE_BOOL, .b = true},
        {.kind = VALUE_INT, .i = UINT32_MAX},
        {.kind = VALUE_INT, .i = -5},
        {.kind = VALUE_FLOAT, .f = 0.25},
        {.kind = VALUE_STR, .s = STR("text")},
        {.kind = VALUE_BLOB, .blob = {blob, 2, 4, BLOB_U16}},
        {.kind = VALUE_BLOB, .blob = {strs, 2, sizeof strs, BLOB_STR}},
        {.kind = VALUE_INT, .i = 4096},
        {.kind = VALUE_ARRAY, .array = {ints, 2}},
        {.kind = VALUE_ARRAY, .array = {words, 2}},
        {.kind = VALUE_ARRAY, .array = {NULL, 0}},
    };
    Value meta = {.kind = VALUE_OBJECT, .object = {keys, items, COUNT_OF(keys)}};
    TensorFile f;
    Err e = {0};
    if (!gguf_write(FILE_NAME, &meta, out, COUNT_OF(out), &e)) fail_msg("%s", e.msg);
    if (!gguf_open(FILE_NAME, &f, &e)) fail_msg("%s", e.msg);
    assert_int_equal(f.n, 3);
    assert_int_equal(f.tensors[0].t.ne[0], 2);
    assert_int_equal(f.tensors[0].t.ne[2], 5);
    assert_memory_equal(f.tensors[0].t.data, a, sizeof a);
    assert_memory_equal(f.tensors[1].t.data, h, sizeof h);
    assert_memory_equal(f.tensors[2].t.data, q, sizeof q);
    for (size_t i = 0; i < 3; i++) assert_int_equal((uintptr_t)f.tensors[i].t.data % 32, 0);
    assert_int_equal(f.meta.object.n, COUNT_OF(keys) - 1);
    assert_true(value_get(&f.meta, "b")->b);
    assert_int_equal(value_get(&f.meta, "u")->i, UINT32_MAX);
    assert_int_equal(value_get(&f.meta, "n")->i, -5);
    assert_true(value_get(&f.meta, "f")->f == 0.25);
    assert_true(str_is(value_get(&f.meta, "s")->s, "text"));
    assert_null(value_get(&f.meta, "general.alignment"));
    assert_int_equal(value_item(value_get(&f.meta, "blob"), 1).i, 2);
    assert_int_equal(value_item(value_get(&f.meta, "ints"), 1).i, -2);
    assert_true(str_is(value_item(value_get(&f.meta, "strs"), 0).s, "x"));
    assert_int_equal(value_count(value_get(&f.meta, "words")), 2);
    assert_int_equal(value_count(value_get(&f.meta, "none")), 0);
    f.close(&f);
    unlink(FILE_NAME);
}

static void test_write_refused(void **state) {
    (void)state;
    static const float a[32];
    Str three = {(const char *)a, 12};
    Value null = {.kind = VALUE_NULL};
    const struct {
        OutTensor t;
        const char *says;
    } rows[] = {
        {{.name = "t", .dtype = DT_u8, .ndim = 1, .ne = {3}, .data = a}, "no such type"},
        {{.name = "t", .dtype = DT_a8, .ndim = 1, .ne = {32}, .data = a}, "no such type"},
        {{.name = "t", .dtype = DT_q8_0, .ndim = 1, .ne = {31}, .data = a}, "shape"},
        {{.name = "t", .dtype = DT_f32, .ndim = 2, .ne = {0, 2}, .data = a}, "empty"},
        {{.name = "t", .dtype = DT_f32, .ndim = 5, .ne = {1}, .data = a}, "dimensions"},
        {{.name = "", .dtype = DT_f32, .ndim = 1, .ne = {1}, .data = a}, "name"},
        {{.name = "first", .dtype = DT_f32, .ndim = 1, .ne = {1}, .data = a}, "two tensors"},
        {{.name = "t", .dtype = DT_f32, .ndim = 1, .ne = {4}, .emit = emit_bytes, .ctx = &three}, "not given"},
        {{.name = "t", .dtype = DT_f32, .ndim = 1, .ne = {2}, .emit = emit_bytes, .ctx = &three}, "more bytes"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        OutTensor out[] = {{.name = "first", .dtype = DT_f32, .ndim = 1, .ne = {1}, .data = a}, rows[i].t};
        Err e = {0};
        assert_false(gguf_write(FILE_NAME, &null, out, 2, &e));
        if (!strstr(e.msg, rows[i].says)) fail_msg("'%s' does not say '%s'", e.msg, rows[i].says);
        assert_int_equal(access(FILE_NAME, F_OK), -1);
    }
    Str k = STR("k");
    Value mixed[] = {{.kind = VALUE_INT, .i = 1}, {.kind = VALUE_STR, .s = STR("x")}};
    Value nested[] = {{.kind = VALUE_OBJECT}};
    Value bad[] = {null, {.kind = VALUE_ARRAY, .array = {nested, 1}}, {.kind = VALUE_ARRAY, .array = {mixed, 2}}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Value meta = {.kind = VALUE_OBJECT, .object = {&k, &bad[i], 1}};
        Err e = {0};
        assert_false(gguf_write(FILE_NAME, &meta, NULL, 0, &e));
        assert_non_null(strstr(e.msg, "'k'"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),          cmocka_unit_test(test_damaged),      cmocka_unit_test(test_cut),
        cmocka_unit_test(test_flipped),       cmocka_unit_test(test_deep_nesting), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_parts_refused), cmocka_unit_test(test_write),        cmocka_unit_test(test_write_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
