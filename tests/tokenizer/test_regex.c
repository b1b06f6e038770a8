/* The matcher of character sets against PCRE2: the same parts of any text, for every pattern that the program knows by
 * itself, with characters that are younger than PCRE2's own tables among them. */
#include "tokenizer/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "formats/hf_tok.h"

static Err err;

static bool note_part(void *ctx, size_t begin, size_t end, bool match, Err *e) {
    (void)e;
    buf_printf(ctx, "%zu-%zu%s ", begin, end, match ? "!" : "");
    return true;
}

static void parts_of(const char *pattern, bool library, Str text, Buf *out) {
    Regex r;
    RegexRun run = {.text_bytes = text.n};
    if (!regex_compile(pattern, library, &r, &err)) fail_msg("%s", err.msg);
    if (!library && !r.scan) fail_msg("not matched by sets: %s", pattern);
    if (!regex_parts(&r, &run, text, note_part, out, &err)) fail_msg("%s: %s", pattern, err.msg);
    regex_run_release(&run);
    regex_release(&r);
}

static void check(const char *pattern, Str text) {
    Buf own = {0}, library = {0};
    parts_of(pattern, false, text, &own);
    parts_of(pattern, true, text, &library);
    if (!str_eq(buf_view(&own), buf_view(&library)))
        fail_msg("%s\n'%.*s'\nsets:  %s\nPCRE2: %s", pattern, STR_ARG(text), own.s, library.s);
    buf_release(&own);
    buf_release(&library);
}

/* Stretches of a script, then what matters to the patterns. */
static void put_random(Buf *b, uint64_t seed) {
    static const char *const glue[] = {
        " ",         "  ",           "\n", "\r\n",     "\t",           "'s",           "'S",
        "'\xc5\xbf", "'ll",          "12", "1234567",  "\xc2\xa0",     "...",          "!/\n",
        "\xc2\x85",  "\xe2\x80\xa8", "Ab", "aB",       "\xe3\x80\x80", "\xe2\x84\xaa", "_",
        "'",         "\x7f",         "/",  "\xcc\x81", "\xe1\xa0\x8e"};
    static const uint32_t starts[] = {0x21,   0x61,   0x41,   0xc0,    0x180,   0x300,   0x370,   0x400,   0x5d0,
                                      0x660,  0x900,  0xe00,  0x10a0,  0x1f00,  0x2000,  0x2070,  0x2150,  0x2200,
                                      0x3040, 0x4e00, 0xac00, 0xa640,  0xff00,  0x10400, 0x1d400, 0x1f600, 0x20000,
                                      0x24b6, 0x1c5,  0x2b0,  0x1e4d0, 0x10d40, 0x1e030, 0x31350, 0x16d70, 0x1c80};
    for (uint64_t i = 0; i < 4 + seed % 30; i++) {
        uint64_t r = hash_bytes(&i, sizeof i, seed);
        uint32_t cp = starts[r % COUNT_OF(starts)] + (uint32_t)(r >> 8) % 26;
        char out[4];
        for (uint64_t k = 0; k < (r >> 20) % 5; k++) buf_put(b, out, (size_t)utf8_encode(cp + (uint32_t)k, out));
        buf_str(b, glue[(r >> 32) % COUNT_OF(glue)]);
    }
}

static const char *const patterns[] = {
    SPLIT_GPT2,
    SPLIT_LLAMA3,
    SPLIT_QWEN2,
    SPLIT_TEKKEN,
    SPLIT_GPT4O,
    "\\p{N}",
    "\\p{N}{1,3}",
    SPLIT_WS,
    "[!-/:-@\\[-`{-~\\p{P}]",
    "[\\p{P}\\$\\+<=>\\^~\\|]+",
    "[0-9][0-9][0-9]",
    "\\P{L}+|\\p{^Lu}",
};

static void test_same(void **state) {
    (void)state;
    for (size_t p = 0; p < COUNT_OF(patterns); p++)
        for (uint64_t seed = 0; seed < 200; seed++) {
            Buf text = {0};
            put_random(&text, seed);
            check(patterns[p], buf_view(&text));
            buf_release(&text);
        }
}

static void test_groups(void **state) {
    (void)state;
    static const char *const texts[] = {
        "d", "abd cd bcd acd", "abbbc abbb", "xxxx x xx", "yyz yz yyyz", "", "aa", "ks KS \xe2\x84\xaas k\xc5\xbf"};
    static const char *const more[] = {"(?:a|b?c)?d|ab*+c|x{2,}|y{2}z", "(?i:ks)", "a(?!b)|b(?=c)",
                                       "(?:ab|a)(?:bc|c)?"};
    for (size_t p = 0; p < COUNT_OF(more); p++)
        for (size_t i = 0; i < COUNT_OF(texts); i++) check(more[p], str_of(texts[i]));
}

/* What the sets cannot say is PCRE2's; so is what may match nothing. */
static void test_others(void **state) {
    (void)state;
    static const char *const others[] = {"(a)\\1",     "a*",         "\\ba",          "[a-z]+?",
                                         "a|",         "(?:ab)+",    "\\p{Han}",      "(?<=a)b",
                                         "[^\\W\\d_]", "(?i:[a-f])", "(?i:\xc3\xa9)", "\\d+"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        Regex r;
        assert_true(regex_compile(others[i], false, &r, &err));
        if (r.scan) fail_msg("matched by sets: %s", others[i]);
        assert_true(r.bytes > 0);
        regex_release(&r);
    }
}

/* Letters that are younger than PCRE2's tables are letters all the same. */
static void test_young(void **state) {
    (void)state;
    Buf out = {0};
    parts_of("\\p{L}+", false, STR("\xf0\x9e\x93\x90\xf0\x9e\x93\x91 \xf0\xb1\x8d\x90"), &out); /* Nag Mundari; CJK H */
    assert_string_equal(out.s, "0-8! 8-9 9-13! ");
    buf_clear(&out);
    parts_of("(?<=x)[\\p{Nd}a]|\\P{L}", true, STR("x\xf0\x90\xb5\x80\xf0\x9e\x93\x90 "), &out); /* a digit of Garay */
    assert_string_equal(out.s, "0-1 1-5! 5-9 9-10! ");
    buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_young),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
