/* The ground: errors that cannot steer a terminal, patterns of names, UTF-8, maps, arenas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>

#include "core/base.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_inert),
        cmocka_unit_test(patterns),
        cmocka_unit_test(utf8),
        cmocka_unit_test(maps_and_arenas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
