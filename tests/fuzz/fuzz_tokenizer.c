/* Input that begins with '{' is a tokenizer.json or a tekken.json, one that begins with a line break a tokenizer.model:
 * it is compiled and used on a text. Anything else is a text for two tokenizers that are built here. */
#include <stdlib.h>

#include "formats/formats.h"
#include "formats/hf_tok.h"
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool holds, const char *what) {
    if (!holds) BUG("%s", what);
}

static void encode(const Tokenizer *t, Str text, int flags, bool whole) {
    TokenList out = {0};
    Buf bytes = {0}, decoded = {0}, want = {0};
    Utf8Hold hold = {0}, other = {0};
    Err e = {0};
    if (tokenizer_encode(t, text, flags, &out, &e)) {
        int32_t vocab = tokenizer_spec(t)->n_vocab;
        for (size_t i = 0; i < out.n; i++) {
            expect(out.ids[i] >= 0 && out.ids[i] < vocab, "an id lies outside the vocabulary");
            expect(out.offsets[i][0] >= 0 && out.offsets[i][0] <= out.offsets[i][1], "offsets run backwards");
            buf_clear(&bytes);
            expect(tokenizer_token_bytes(t, out.ids[i], true, &bytes), "an id cannot be decoded");
            size_t from = decoded.n;
            utf8_hold_push(&hold, buf_view(&bytes).s, bytes.n, &decoded);
            expect(utf8_valid((Str){buf_view(&decoded).s + from, decoded.n - from}), "half a character");
        }
        utf8_hold_flush(&hold, &decoded);
        utf8_hold_push(&other, text.s, text.n, &want);
        utf8_hold_flush(&other, &want);
        expect(!whole || str_eq(buf_view(&decoded), buf_view(&want)), "the text did not come back");
    } else {
        expect(e.code == ERR_INPUT && e.msg[0] && !strchr(e.msg, '\n'), "an error without a line");
    }
    token_list_release(&out);
    buf_release(&bytes);
    buf_release(&decoded);
    buf_release(&want);
}

/* All bytes, some joins of them, and added tokens of every kind. */
static void make_spec(TokSpec *spec, bool llama3) {
    static const char *const merges[][2] = {
        {"h", "e"}, {"t", "he"}, {"a", "a"}, {"aa", "aa"}, {"\xc3\xa6", "\xc4\xb9"}};
    static const char *const added[] = {"<s>", "[M]", "word", "ww", "www"};
    enum { N = 256 + COUNT_OF(merges) + COUNT_OF(added) };
    *spec = (TokSpec){.ignore_merges = llama3, .bos = -1, .eos = -1, .unk = -1, .pad = -1};
    spec->decodes[spec->n_decodes++] = (DecodeSpec){.kind = DECODE_ALPHABET};
    spec->vocab = ARENA_NEW(&spec->arena, Str, N);
    spec->merges = arena_alloc(&spec->arena, COUNT_OF(merges), sizeof *spec->merges);
    spec->added = ARENA_NEW(&spec->arena, AddedToken, COUNT_OF(added));
    for (int32_t b = 0; b < 256; b++) { /* GPT-2's byte alphabet */
        bool plain = (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad);
        uint32_t cp = plain       ? (uint32_t)b
                      : b <= 0x20 ? 0x100u + (uint32_t)b
                      : b == 0xad ? 0x143
                                  : 0x121u + (uint32_t)b - 0x7f;
        char text[4];
        int n = utf8_encode(cp, text);
        spec->vocab[spec->n_vocab++] = (Str){arena_strn(&spec->arena, text, (size_t)n), (size_t)n};
    }
    for (size_t i = 0; i < COUNT_OF(merges); i++) {
        spec->merges[spec->n_merges][0] = str_of(merges[i][0]);
        spec->merges[spec->n_merges++][1] = str_of(merges[i][1]);
        spec->vocab[spec->n_vocab++] = str_of(arena_printf(&spec->arena, "%s%s", merges[i][0], merges[i][1]));
    }
    for (size_t i = 0; i < COUNT_OF(added); i++) {
        spec->added[spec->n_added++] = (AddedToken){.text = str_of(added[i]),
                                                    .id = spec->n_vocab,
                                                    .special = i < 2,
                                                    .single_word = i == 2,
                                                    .normalized = i == 4};
        spec->vocab[spec->n_vocab++] = str_of(added[i]);
    }
    if (!llama3) spec->splits[spec->n_splits++] = (SplitSpec){.pattern = "\\p{N}"};
    spec->splits[spec->n_splits++] = (SplitSpec){.pattern = llama3 ? SPLIT_LLAMA3 : SPLIT_GPT2};
}

static void fuzz_text(Str text) {
    static TokSpec spec[2]; /* made once: the text is what changes */
    static Tokenizer *t[2];
    Err e;
    for (int k = 0; k < 2; k++) {
        if (!t[k]) {
            make_spec(&spec[k], k);
            expect(tokenizer_new(&spec[k], &t[k], &e), "the built-in tokenizer is refused");
        }
        encode(t[k], text, 0, true);
        encode(t[k], text, LLMWS_TOK_PARSE_SPECIAL, true);
    }
}

typedef bool Parse(Str file, TokSpec *spec, Err *e);

static void fuzz_document(Str file, Parse *parse) {
    TokSpec spec;
    Tokenizer *t;
    Err e = {0};
    if (parse(file, &spec, &e) && tokenizer_new(&spec, &t, &e)) {
        encode(t, STR("ab <x>a b12\xff the\t\n \xe6\x97\xa5 x"), LLMWS_TOK_PARSE_SPECIAL | LLMWS_TOK_ADD_SPECIAL,
               false);
        tokenizer_free(t);
    } else {
        expect(e.code == ERR_INPUT && e.msg[0] && !strchr(e.msg, '\n'), "an error without a line");
    }
    tok_spec_release(&spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    Str input = {(const char *)data, n};
    if (n && data[0] == '{')
        fuzz_document(input,
                      memmem(data, n, "default_num_special_tokens", 26) ? tekken_tok_spec_parse : hf_tok_spec_parse);
    else if (n && data[0] == '\n')
        fuzz_document(input, spm_tok_spec_parse);
    else
        fuzz_text(input);
    return 0;
}
