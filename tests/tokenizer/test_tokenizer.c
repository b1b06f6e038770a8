/* Ids, offsets and decoded bytes against the tokenizers package (make_goldens.py), and what must hold for any text. */
#include "tokenizer/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "formats/formats.h"
#include "formats/json.h"

static Err err;

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        if (!(call)) fail_msg("%s", err.msg);                                                                          \
    } while (0)

typedef struct Fixture {
    TokSpec spec;
    Tokenizer *t;
} Fixture;

static void open_fixture(const char *name, Fixture *f) {
    TensorFile keep;
    Arena a = {0};
    OK(tok_spec_open(arena_printf(&a, "%s/%s", TEST_DATA, name), &f->spec, &keep, &err));
    OK(tokenizer_new(&f->spec, &f->t, &err));
    arena_release(&a);
}

static void close_fixture(Fixture *f) {
    tokenizer_free(f->t);
    tok_spec_release(&f->spec);
}

static Value read_json(const char *name, Arena *a) {
    Mapping m;
    Value v;
    const char *path = arena_printf(a, "%s/%s", TEST_DATA, name);
    OK(map_file(path, &m, &err));
    OK(json_parse((Str){m.bytes, m.n}, path, a, &v, &err));
    unmap_file(&m);
    return v;
}

static Str unhex(const Value *v, Arena *a) {
    char *out = arena_alloc(a, v->s.n / 2 + 1, 1);
    for (size_t i = 0; i < v->s.n / 2; i++) {
        char two[3] = {v->s.s[2 * i], v->s.s[2 * i + 1], 0};
        out[i] = (char)strtoul(two, NULL, 16);
    }
    return (Str){out, v->s.n / 2};
}

static void decode(const Tokenizer *t, const int32_t *ids, size_t n, Buf *out) {
    TokDecoder d = tokenizer_decoder(t, true, true);
    Utf8Hold hold = {0};
    Buf bytes = {0};
    for (size_t i = 0; i < n; i++) {
        buf_clear(&bytes);
        assert_true(tokenizer_decode(&d, ids[i], &bytes));
        utf8_hold_push(&hold, buf_view(&bytes).s, bytes.n, out);
        assert_true(utf8_valid(buf_view(out))); /* never half a character */
    }
    utf8_hold_flush(&hold, out);
    buf_release(&bytes);
}

static void check_ids(const Tokenizer *t, Str text, int flags, const Value *want, const char *what) {
    TokenList got = {0};
    OK(tokenizer_encode(t, text, flags, &got, &err));
    if (got.n != value_count(want))
        fail_msg("%s: '%.*s': %zu ids, %zu expected", what, STR_ARG(text), got.n, value_count(want));
    for (size_t i = 0; i < got.n; i++)
        if (got.ids[i] != value_item(want, i).i)
            fail_msg("%s: '%.*s': id %zu is %d, %d expected", what, STR_ARG(text), i, got.ids[i],
                     (int)value_item(want, i).i);
    token_list_release(&got);
}

static void check_offsets(const Tokenizer *t, Str text, const Value *want) {
    TokenList got = {0};
    OK(tokenizer_encode(t, text, LLMWS_TOK_PARSE_SPECIAL, &got, &err));
    for (size_t i = 0; i < got.n; i++)
        for (size_t k = 0; k < 2; k++)
            if (got.offsets[i][k] != value_item(want, 2 * i + k).i)
                fail_msg("'%.*s': offset %zu of token %zu is %d, %d expected", STR_ARG(text), k, i,
                         (int)got.offsets[i][k], (int)value_item(want, 2 * i + k).i);
    token_list_release(&got);
}

static void check_case(const Tokenizer *t, const Value *c) {
    Arena a = {0};
    Str text = unhex(value_get(c, "hex"), &a);
    TokenList got = {0};
    Buf decoded = {0}, whole = {0};
    Utf8Hold hold = {0};
    const Value *plain = value_get(c, "plain"), *spm = value_get(c, "spm");
    if (spm) { /* SentencePiece never finds special tokens in text */
        check_ids(t, text, 0, spm, "ids");
    } else {
        check_ids(t, text, LLMWS_TOK_PARSE_SPECIAL, value_get(c, "ids"), "ids");
        check_ids(t, text, LLMWS_TOK_PARSE_SPECIAL | LLMWS_TOK_ADD_SPECIAL, value_get(c, "added"), "added");
        check_ids(t, text, 0, plain ? plain : value_get(c, "ids"), "plain");
        check_offsets(t, text, value_get(c, "offsets"));
    }
    OK(tokenizer_encode(t, text, spm ? 0 : LLMWS_TOK_PARSE_SPECIAL, &got, &err));
    decode(t, got.ids, got.n, &decoded);
    if (value_get(c, "text_hex")) {
        text = unhex(value_get(c, "text_hex"), &a);
        buf_put(&whole, text.s, text.n);
    } else {
        utf8_hold_push(&hold, text.s, text.n, &whole);
        utf8_hold_flush(&hold, &whole);
    }
    assert_int_equal(decoded.n, whole.n);
    assert_memory_equal(buf_view(&decoded).s, buf_view(&whole).s, whole.n);
    token_list_release(&got);
    buf_release(&decoded);
    buf_release(&whole);
    arena_release(&a);
}

static void check_golden(const char *name) {
    Fixture f;
    Arena a = {0};
    open_fixture(arena_printf(&a, "tokenizer/%s", name), &f);
    Value golden = read_json(arena_printf(&a, "tokenizer/%s/golden.json", name), &a);
    const Value *cases = value_get(&golden, "cases");
    assert_true(value_count(cases) > 150);
    for (size_t i = 0; i < cases->array.n; i++) check_case(f.t, &cases->array.items[i]);
    arena_release(&a);
    close_fixture(&f);
}

static void test_smollm(void **state) { (void)state, check_golden("smollm_2k"); }
static void test_llama3(void **state) { (void)state, check_golden("llama3_2k"); }
static void test_gpt2(void **state) { (void)state, check_golden("gpt2_600"); }
static void test_unk(void **state) { (void)state, check_golden("unk_120"); }

static void test_metaspace(void **state) { (void)state, check_golden("metaspace_650"); }
static void test_gemma(void **state) { (void)state, check_golden("gemma_200"); }
static void test_gemma3(void **state) { (void)state, check_golden("gemma3_600"); }
static void test_gemma3_apart(void **state) { (void)state, check_golden("gemma3_apart"); }
static void test_splits(void **state) { (void)state, check_golden("splits_250"); }
static void test_unigram(void **state) { (void)state, check_golden("unigram_700"); }
static void test_spm_unigram(void **state) { (void)state, check_golden("spm_unigram"); }
static void test_spm_bpe(void **state) { (void)state, check_golden("spm_bpe"); }

/* The cases that came with the tiny llama3 model. */
static void test_llama3_model(void **state) {
    (void)state;
    Fixture f;
    Arena a = {0};
    open_fixture("llama3", &f);
    Value golden = read_json("expected/expected.json", &a);
    const Value *cases = value_path(&golden, "llama3.tokenizer.encode"),
                *chat = value_path(&golden, "llama3.tokenizer.chat");
    assert_true(value_count(cases) > 5);
    for (size_t i = 0; i < cases->array.n; i++) {
        const Value *c = &cases->array.items[i];
        Str text = value_get(c, "text")->s, decoded = value_get(c, "decoded")->s;
        TokenList got = {0};
        Buf out = {0};
        check_ids(f.t, text, LLMWS_TOK_PARSE_SPECIAL, value_get(c, "ids"), "ids");
        check_ids(f.t, text, LLMWS_TOK_PARSE_SPECIAL | LLMWS_TOK_ADD_SPECIAL, value_get(c, "ids_special"),
                  "ids_special");
        OK(tokenizer_encode(f.t, text, LLMWS_TOK_PARSE_SPECIAL, &got, &err));
        decode(f.t, got.ids, got.n, &out);
        assert_true(str_eq(buf_view(&out), decoded));
        buf_release(&out);
        token_list_release(&got);
    }
    check_ids(f.t, value_get(chat, "rendered")->s, LLMWS_TOK_PARSE_SPECIAL, value_get(chat, "ids"), "chat");
    assert_int_equal(f.spec.bos, 336);
    assert_int_equal(f.spec.eos, 340);
    assert_int_equal(f.spec.pad, -1);
    assert_true(f.spec.chat_template && str_starts(str_of(f.spec.chat_template), "{% for message in messages %}"));
    arena_release(&a);
    close_fixture(&f);
}

static void test_special_left_out(void **state) {
    (void)state;
    Fixture f;
    Buf out = {0};
    open_fixture("llama3", &f);
    assert_true(tokenizer_token_bytes(f.t, 336, false, &out));
    assert_int_equal(out.n, 0);
    assert_true(tokenizer_token_bytes(f.t, 336, true, &out));
    assert_true(str_is(buf_view(&out), "<|begin_of_text|>"));
    assert_false(tokenizer_token_bytes(f.t, -1, true, &out));
    assert_false(tokenizer_token_bytes(f.t, f.spec.n_vocab, true, &out));
    buf_release(&out);
    close_fixture(&f);
}

/* Appending keeps what is there, and a text in pieces of a list is the same as alone. */
static void test_appends(void **state) {
    (void)state;
    Fixture f;
    TokenList l = {0}, alone = {0};
    open_fixture("tokenizer/gpt2_600", &f);
    OK(tokenizer_encode(f.t, STR("the tensor"), 0, &alone, &err));
    OK(tokenizer_encode(f.t, STR("first"), 0, &l, &err));
    size_t before = l.n;
    OK(tokenizer_encode(f.t, STR("the tensor"), 0, &l, &err));
    assert_int_equal(l.n - before, alone.n);
    assert_memory_equal(l.ids + before, alone.ids, alone.n * sizeof *l.ids);
    assert_memory_equal(l.offsets + before, alone.offsets, alone.n * sizeof *l.offsets);
    token_list_release(&l);
    token_list_release(&alone);
    close_fixture(&f);
}

/* Any bytes come back, their broken parts replaced; offsets cover every code point in order. */
static void test_round_trip(void **state) {
    (void)state;
    static const char *const names[] = {"tokenizer/smollm_2k", "tokenizer/llama3_2k", "llama3"};
    static const char *const parts[] = {"the ",     "\xe6\x97\xa5", "\xf0\x9f\x99\x82",
                                        "\xc3\xa9", "\xff",         "\xe6\x97",
                                        " ",        "\r\n",         "1234",
                                        "'s",       "<|eot_id|>",   "\t",
                                        "struct ",  "\xf0\x9f",     "\xe2\x80\x8d",
                                        "x"};
    for (size_t k = 0; k < COUNT_OF(names); k++) {
        Fixture f;
        open_fixture(names[k], &f);
        for (uint64_t seed = 0; seed < 300; seed++) {
            Buf text = {0}, whole = {0}, decoded = {0};
            TokenList got = {0};
            Utf8Hold hold = {0};
            int64_t chars = 0, reached = 0;
            for (uint64_t i = 0; i < seed % 40; i++) {
                uint64_t r = hash_bytes(&i, sizeof i, seed);
                if (r % 4)
                    buf_str(&text, parts[(r >> 8) % COUNT_OF(parts)]);
                else
                    buf_char(&text, (char)(r >> 16));
            }
            utf8_hold_push(&hold, buf_view(&text).s, text.n, &whole);
            utf8_hold_flush(&hold, &whole);
            for (size_t i = 0; i < whole.n; i++) chars += ((unsigned char)whole.s[i] & 0xc0) != 0x80;
            OK(tokenizer_encode(f.t, buf_view(&text), (int)(seed % 2) * LLMWS_TOK_PARSE_SPECIAL, &got, &err));
            decode(f.t, got.ids, got.n, &decoded);
            assert_true(str_eq(buf_view(&decoded), buf_view(&whole)));
            for (size_t i = 0; i < got.n; i++) {
                assert_true(got.offsets[i][0] <= reached && got.offsets[i][0] < got.offsets[i][1]);
                assert_true(got.offsets[i][1] >= reached);
                reached = got.offsets[i][1];
            }
            assert_int_equal(reached, chars);
            buf_release(&text);
            buf_release(&whole);
            buf_release(&decoded);
            token_list_release(&got);
        }
        close_fixture(&f);
    }
}

/* Long runs are one piece each: the joins must not take quadratic time. The bound is generous because the machine may
 * be busy and a sanitizer slow; quadratic would be minutes. */
static void test_hostile_sizes(void **state) {
    (void)state;
    static const char *const units[] = {"a",    " ", "\n", "ab",  "!", "\xc3\xa9", "\xf0\x9f\x99\x82",
                                        "\xff", "1", " a", "\t x"};
    static const char *const names[] = {"tokenizer/smollm_2k",    "tokenizer/llama3_2k", "tokenizer/gemma_200",
                                        "tokenizer/gemma3_apart", "tokenizer/spm_bpe",   "tokenizer/spm_unigram"};
    for (size_t k = 0; k < COUNT_OF(names); k++) {
        Fixture f;
        open_fixture(names[k], &f);
        for (size_t u = 0; u < COUNT_OF(units); u++) {
            Buf text = {0};
            TokenList got = {0};
            while (text.n < 1 << 20) buf_str(&text, units[u]);
            clock_t from = clock();
            OK(tokenizer_encode(f.t, buf_view(&text), 0, &got, &err));
            assert_true((double)(clock() - from) < 20.0 * CLOCKS_PER_SEC);
            assert_true(got.n > 0 || k > 3); /* SentencePiece may drop white space */
            buf_release(&text);
            token_list_release(&got);
        }
        close_fixture(&f);
    }
}

/* The same bytes in pieces of one, two, three and all: the same text, whole characters at every step. */
static void test_hold(void **state) {
    (void)state;
    static const char bytes[] = "a\xc3\xa9\xe6\x97\xa5\xf0\x9f\x99\x82\xff\xe6\x97z\xf0\x9f\x99\xc3\x28\xed\xa0\x80\xf4"
                                "\x90\x80\x80\x80\xe2\x82";
    static const char want[] =
        "a\xc3\xa9\xe6\x97\xa5\xf0\x9f\x99\x82\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd(" /* ... */
        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"                                                    /* ed a0 80 */
        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"                            /* f4 90 80 80 80 */
        "\xef\xbf\xbd";
    size_t n = sizeof bytes - 1;
    for (size_t step = 1; step <= n; step++) {
        Utf8Hold h = {0};
        Buf out = {0};
        for (size_t i = 0; i < n; i += step) {
            utf8_hold_push(&h, bytes + i, MIN(step, n - i), &out);
            assert_true(utf8_valid(buf_view(&out)));
            assert_true(h.n >= 0 && h.n <= 3);
        }
        utf8_hold_flush(&h, &out);
        assert_true(str_is(buf_view(&out), want));
        assert_int_equal(h.n, 0);
        buf_release(&out);
    }
}

/* A character comes out with the push of its last byte, not later. */
/* A token without text changes nothing, in the middle of a character either. */
static void test_hold_nothing(void **state) {
    (void)state;
    Utf8Hold h = {0};
    Buf out = {0};
    utf8_hold_push(&h, NULL, 0, &out);
    utf8_hold_push(&h, "a\xc3", 2, &out);
    utf8_hold_push(&h, NULL, 0, &out);
    utf8_hold_push(&h, "\xa9", 1, &out);
    assert_string_equal(out.s, "a\xc3\xa9");
    assert_int_equal(h.n, 0);
    buf_release(&out);
}

static void test_hold_is_prompt(void **state) {
    (void)state;
    Utf8Hold h = {0};
    Buf out = {0};
    static const char smile[] = "\xf0\x9f\x99\x82";
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(out.n, 0);
        utf8_hold_push(&h, smile + i, 1, &out);
    }
    assert_true(str_is(buf_view(&out), smile));
    utf8_hold_flush(&h, &out);
    assert_int_equal(out.n, 4);
    buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smollm),       cmocka_unit_test(test_llama3),           cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_unk),          cmocka_unit_test(test_metaspace),        cmocka_unit_test(test_gemma),
        cmocka_unit_test(test_gemma3),       cmocka_unit_test(test_gemma3_apart),     cmocka_unit_test(test_splits),
        cmocka_unit_test(test_unigram),      cmocka_unit_test(test_spm_unigram),      cmocka_unit_test(test_spm_bpe),
        cmocka_unit_test(test_llama3_model), cmocka_unit_test(test_special_left_out), cmocka_unit_test(test_appends),
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_hostile_sizes),    cmocka_unit_test(test_hold),
        cmocka_unit_test(test_hold_nothing), cmocka_unit_test(test_hold_is_prompt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
