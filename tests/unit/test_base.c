/* The ground: errors that cannot steer a terminal, patterns of names, UTF-8, maps, arenas, dtypes' codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "core/dtype.h"

static void errors_are_inert(void **state) {
    (void)state;
    Err e = {0};
    assert_false(err_set(&e, ERR_INPUT, "'%s'", "a\x1b[2Jb\n\xff\xc3\xa9\xe2\x80\xae"));
    assert_string_equal(e.msg,
                        "'a\\x1b[2Jb\\x0a\\xff\xc3\xa9\\xe2\\x80\\xae'"); /* bidi override spelled out, letters kept */
    err_prefix(&e, "reading");
    assert_true(strncmp(e.msg, "reading: 'a", 11) == 0);
    assert_int_equal(err_exit_status(e.code), 3);
    char big[2000];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = 0;
    err_set(&e, ERR_FIT, "%s", big);
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
    assert_int_equal(err_exit_status(ERR_FIT), 4);
    assert_int_equal(err_exit_status(ERR_INTERRUPT), 130);
}

static void patterns(void **state) {
    (void)state;
    const struct {
        const char *pattern, *name;
        bool match;
    } rows[] = {
        {"model.layers.8", "model.layers.8", true},
        {"model.layers.8", "model.layers.80", false},
        {"model.layers.*", "model.layers.12", true},
        {"model.layers.*", "model.layers.12.mlp", false},
        {"model.**", "model.layers.12.mlp", true},
        {"*.mlp", "model.mlp", true},
        {"model.layers.{8,12}.mlp", "model.layers.12.mlp", true},
        {"model.layers.{8,12}.mlp", "model.layers.1.mlp", false},
        {"model.layers.8..16", "model.layers.16", true},
        {"model.layers.8..16", "model.layers.17", false},
        {"model.layers.8..16.mlp", "model.layers.9.mlp", true},
        {"model.layers.{8", "model.layers.8", false},
        {"", "", true},
        {"*", "", true},
        {"**", "a.b.c", true},
        {"a*c*e", "abcde", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (name_match(rows[i].pattern, rows[i].name) != rows[i].match)
            fail_msg("'%s' on '%s'", rows[i].pattern, rows[i].name);
}

static void utf8(void **state) {
    (void)state;
    char out[4];
    for (uint32_t cp = 1; cp < 0x110000; cp++) {
        if (cp >= 0xd800 && cp < 0xe000) continue;
        int n = utf8_encode(cp, out), len = 0;
        assert_int_equal(utf8_len(out, (size_t)n), n);
        assert_int_equal(utf8_decode(out, &len), cp);
        if (n > 1) assert_int_equal(utf8_len(out, (size_t)n - 1), -1);
    }
    const char *bad[] = {"\xc0\x80",         "\xc1\xbf",         "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                         "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\x80",         "\xff"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) assert_int_equal(utf8_len(bad[i], strlen(bad[i])), 0);
}

static void maps_and_arenas(void **state) {
    (void)state;
    Arena a = {0};
    StrMap m = {0};
    for (int i = 0; i < 5000; i++) assert_true(strmap_put(&m, &a, str_of(arena_printf(&a, "key %d", i)), i));
    for (int i = 0; i < 5000; i++) {
        char key[32];
        snprintf(key, sizeof key, "key %d", i);
        assert_int_equal(strmap_get(&m, str_of(key)), i);
        assert_false(strmap_put(&m, &a, str_of(key), -5));
    }
    assert_int_equal(strmap_get(&m, STR("nothing")), -1);
    char *big = arena_alloc(&a, 1, 1 << 20);
    for (int i = 0; i < 1 << 20; i += 4096) assert_int_equal(big[i], 0);
    assert_int_equal((uintptr_t)big % 16, 0);
    arena_release(&a);
    assert_true(hash_bytes("abc", 3, 0) != hash_bytes("abd", 3, 0) &&
                hash_bytes("abc", 3, 0) != hash_bytes("abc", 3, 1));
}

/* Every f16 there and back; rounding of f32 to f16 and bf16 to the nearest, ties to even, checked against exhaustive
 * neighbours. */
static void half_floats(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = f16_to_f32((uint16_t)h);
        if (isnan(f))
            assert_true(isnan(f16_to_f32(f32_to_f16(f))));
        else
            assert_int_equal(f32_to_f16(f), h);
    }
    for (uint32_t h = 0; h < 0x7c00; h++) { /* between neighbours: below, at and above the middle */
        float lo = f16_to_f32((uint16_t)h), hi = h == 0x7bff ? 65536.0f : f16_to_f32((uint16_t)(h + 1)),
              mid = (lo + hi) / 2;
        assert_int_equal(f32_to_f16(nextafterf(mid, 0)), h);
        assert_int_equal(f32_to_f16(nextafterf(mid, 1e9f)), h + 1);
        assert_int_equal(f32_to_f16(mid), h % 2 ? h + 1 : h);
        assert_int_equal(f32_to_f16(-mid), 0x8000 | (h % 2 ? h + 1 : h));
    }
    assert_int_equal(f32_to_bf16(1.00390625f), 0x3f80); /* 1 + 2^-8: a tie, to even */
    assert_int_equal(f32_to_bf16(1.01171875f), 0x3f82); /* 1 + 3 * 2^-8: a tie, to even */
    assert_true(isnan(bf16_to_f32(f32_to_bf16(NAN))) && isinf(bf16_to_f32(f32_to_bf16(INFINITY))));
}

/* What encode loses is at most half a step of the format. */
static void quantisation(void **state) {
    (void)state;
    const Dtype types[] = {DT_q8_0, DT_q4_1, DT_a8};
    float x[64], y[64];
    char bytes[128];
    for (int round = 0; round < 200; round++) {
        float lo = 0, hi = 0, most = 0;
        for (int i = 0; i < 64; i++) {
            x[i] = (float)((i * 37 + round * 101) % 997) / 100 - 4.5f;
            if (i < 32)
                lo = fminf(i ? lo : x[0], x[i]), hi = fmaxf(i ? hi : x[0], x[i]), most = fmaxf(most, fabsf(x[i]));
        }
        for (size_t t = 0; t < COUNT_OF(types); t++) {
            dtype_info[types[t]].encode(x, bytes, 64);
            dtype_info[types[t]].decode(bytes, y, 64);
            float step = types[t] == DT_q4_1 ? (hi - lo) / 15 : most / 127,
                  slack = fmaxf(most, hi - lo) * 0x1p-10f; /* f16 scale */
            for (int i = 0; i < 32; i++)
                if (fabsf(x[i] - y[i]) > step / 2 + slack)
                    fail_msg("%s: %g became %g", dtype_info[types[t]].name, (double)x[i], (double)y[i]);
        }
    }
    memset(x, 0, sizeof x); /* all zeros stay zeros */
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        dtype_info[types[t]].encode(x, bytes, 64);
        dtype_info[types[t]].decode(bytes, y, 64);
        for (int i = 0; i < 64; i++) assert_true(y[i] == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_inert), cmocka_unit_test(patterns),    cmocka_unit_test(utf8),
        cmocka_unit_test(maps_and_arenas),  cmocka_unit_test(half_floats), cmocka_unit_test(quantisation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
