/* Stop texts: against a plain search over the whole text, whatever pieces it comes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "core/rng.h"
#include "tokenizer/stop.h"

static const char *const texts[] = {"aab", "ab", "baba", "éa", "bbé"};

/* Length of text before the stop text that is complete first. */
static size_t plain(Str text, size_t n_texts, bool *hit) {
    *hit = true;
    for (size_t end = 1; end <= text.n; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < n_texts; i++) {
            size_t n = strlen(texts[i]);
            if (n <= end && memcmp(text.s + end - n, texts[i], n) == 0) longest = MAX(longest, n);
        }
        if (longest) return end - longest;
    }
    *hit = false;
    return text.n;
}

static void any_pieces(void **state) {
    (void)state;
    static const char *const symbols[] = {"a", "b", "\xc3\xa9", "c", "\xe2\x82\xac"};
    int hits = 0, held = 0;
    for (uint64_t round = 0; round < 4000; round++) {
        Buf text = {0}, out = {0};
        size_t n_texts = round % (COUNT_OF(texts) + 1), symbols_used = 2 + round % 4;
        StopHold h = {.texts = texts, .n = n_texts};
        bool want_hit, hit = false;
        for (uint64_t i = 0; i < round % 17; i++)
            buf_str(&text, symbols[rng_u64(1, round, i, RNG_INIT) % symbols_used]);
        size_t want = plain(buf_view(&text), n_texts, &want_hit);
        for (size_t at = 0, piece = 0; at < text.n; piece++) { /* pieces of whole characters, empty ones too */
            size_t n = rng_u64(2, round, piece, RNG_INIT) % 6;
            while (at + n < text.n && (text.s[at + n] & 0xc0) == 0x80) n++;
            n = MIN(n, text.n - at);
            hit = stop_push(&h, (Str){text.s + at, n}, &out);
            at += n;
            assert_true(utf8_valid(buf_view(&out)));
            assert_true(out.n <= want); /* nothing of a stop text, at any moment */
            assert_true(hit || out.n + h.held.n == at);
        }
        held += h.held.n > 0;
        if (!hit) stop_flush(&h, &out);
        assert_int_equal(hit, want_hit);
        assert_int_equal(out.n, want);
        if (want) assert_memory_equal(out.s, text.s, want);
        hits += hit;
        stop_release(&h);
        buf_release(&text);
        buf_release(&out);
    }
    assert_true(hits > 500 && held > 100);
}

/* Held back no longer than needed, and nothing follows a stop. */
static void holds_little(void **state) {
    (void)state;
    static const char *const end[] = {"User:"};
    StopHold h = {.texts = end, .n = 1};
    Buf out = {0};
    assert_false(stop_push(&h, STR("Hi Us"), &out));
    assert_string_equal(out.s, "Hi ");
    assert_false(stop_push(&h, STR("es U"), &out));
    assert_string_equal(out.s, "Hi Uses ");
    assert_true(stop_push(&h, STR("ser: more"), &out));
    assert_string_equal(out.s, "Hi Uses ");
    assert_true(stop_push(&h, STR("more"), &out));
    assert_string_equal(out.s, "Hi Uses ");
    stop_release(&h);
    buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_pieces), cmocka_unit_test(holds_little)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
