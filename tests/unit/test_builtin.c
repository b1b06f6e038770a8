/* Builtin models: found by name, read where they lie in the program, and still there after whoever read them is done.
 */
#include "formats/builtin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "formats/formats.h"

static void names(void **state) {
    Str bytes;
    Err e = {0};
    (void)state;
    assert_true(builtin_is("builtin") && builtin_is("builtin:llama") && builtin_is("builtin:") &&
                builtin_is("builtin:x"));
    assert_false(builtin_is("builtins") || builtin_is("./builtin") || builtin_is("Builtin") || builtin_is(""));
    assert_false(builtin_find("builtin:", &bytes, &e) || builtin_find("builtin:none", &bytes, &e));
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.msg, "'builtin:none'"));
    assert_false(path_is_dir("builtin") || model_exists("builtin:none"));
    for (size_t i = 0; i < builtin_count; i++) {
        const Builtin *b = &builtin_models[i];
        const bool has = builtin_has(b);
        assert_true(model_exists(b->name) == has);
        assert_true((strstr(e.msg, b->name) != NULL) == has);
        Err absent = {0};
        assert_true(builtin_find(b->name, &bytes, &absent) == has);
        assert_true((absent.code == ERR_INPUT && strstr(absent.msg, b->name)) == !has);
    }
}

/* "builtin" is the first that is there. */
static void first(void **state) {
    Str bytes = {0};
    const Builtin *b = builtin_models;
    (void)state;
    while (b < builtin_models + builtin_count && !builtin_has(b)) b++;
    if (b == builtin_models + builtin_count) {
        assert_false(builtin_find("builtin", &bytes, NULL) || model_exists("builtin"));
        return;
    }
    assert_true(builtin_find("builtin", &bytes, NULL));
    assert_true(bytes.s == b->bytes && bytes.n == *b->size);
}

static uint32_t sum_of(Str s) {
    uint32_t sum = 0;
    for (size_t i = 0; i < s.n; i++) sum = sum * 31 + (uint8_t)s.s[i];
    return sum;
}

static void read_in_place(const Builtin *b) {
    TensorFile f;
    TokSpec spec;
    Err e = {0};
    if (!tensor_file_open(b->name, &f, &e)) fail_msg("%s", e.msg);
    assert_string_equal(f.path, b->name);
    assert_true(f.format == STORE_GGUF && f.n_files == 1 && f.n > 0);
    assert_int_equal(f.mapped_bytes, *b->size);
    for (size_t i = 0; i < f.n; i++) {
        const char *data = f.tensors[i].t.data;
        int64_t n;
        assert_true(tensor_bytes(f.tensors[i].t.dtype, f.tensors[i].t.ndim, f.tensors[i].t.ne, &n));
        assert_true(data >= b->bytes && data + n <= b->bytes + *b->size);
        assert_int_equal((uintptr_t)data % 32, 0);
        assert_true(tensor_file_forget(&f, data, (size_t)n));
    }
    assert_true(gguf_tok_spec(&f, &spec, &e));
    tok_spec_release(&spec);
    f.close(&f);
    assert_true(tok_spec_open(b->name, &spec, &f, &e));
    tok_spec_release(&spec);
    f.close(&f);
}

static void in_place(void **state) {
    Mapping m;
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < builtin_count; i++) {
        const Builtin *b = &builtin_models[i];
        const Str all = {b->bytes, *b->size};
        if (!builtin_has(b)) continue;
        assert_int_equal((uintptr_t)b->bytes % 4096, 0);
        const uint32_t before = sum_of(all);
        for (int times = 0; times < 2; times++) read_in_place(b);
        assert_false(map_file(b->name, &m, NULL));
        assert_true(map_model(b->name, &m, NULL) && m.bytes == b->bytes && m.n == *b->size);
        unmap_file(&m);
        assert_int_equal(sum_of(all), before);
        n++;
    }
    if (!n) skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(first), cmocka_unit_test(in_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
