/* SHA-256 against the examples of FIPS 180-4 (NIST's SHA256.pdf and SHA_All). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdlib.h>

#include "core/sha256.h"

static void holds(const char *text, size_t n, size_t piece, const char *want) {
    Sha256 s;
    char got[SHA256_TEXT];
    sha256_begin(&s);
    for (size_t at = 0; at < n; at += piece) sha256_add(&s, text + at, MIN(piece, n - at));
    sha256_end(&s, got);
    assert_string_equal(got, want);
}

static void test_vectors(void **state) {
    (void)state;
    const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    holds("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    holds("abc", 3, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (size_t piece = 1; piece <= 64; piece++)
        holds(two, strlen(two), piece, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_long(void **state) {
    (void)state;
    enum { MILLION = 1000000 };
    const size_t pieces[] = {MILLION, 63, 64, 65, 1000};
    char *a = mem_alloc(MILLION, 1);
    memset(a, 'a', MILLION);
    for (size_t i = 0; i < COUNT_OF(pieces); i++)
        holds(a, MILLION, pieces[i], "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(a);
}

/* Every length around the ends of a block, whole and byte by byte. */
static void test_ends(void **state) {
    (void)state;
    char text[200];
    for (size_t n = 0; n < sizeof text; n++) {
        Sha256 s;
        char whole[SHA256_TEXT];
        text[n] = (char)(n * 37);
        sha256_begin(&s);
        sha256_add(&s, text, n);
        sha256_end(&s, whole);
        holds(text, n, 1, whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_long),
                                       cmocka_unit_test(test_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
