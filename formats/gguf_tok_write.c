/* TokSpec -> GGUF's tokenizer.ggml.*: byte-level BPE ("gpt2"), SentencePiece BPE ("llama") and unigram ("t5"), with the
 * keys and token types of ggml's docs/gguf.md. What GGUF cannot say of a tokenizer is an error. */
#include "formats/formats.h"
#include "formats/hf_tok.h"

#include <stdlib.h>

#define SPACE_MARK "\xe2\x96\x81" /* U+2581 */

typedef struct Writer {
    TokSpec *spec;
    Arena *a;
    Value *meta;
    int64_t rows;
    uint8_t *types; /* [rows] */
    Err *e;
} Writer;

static void put(Writer *w, const char *key, Value v) {
    char name[64] = "tokenizer.ggml.";
    memcpy(name + 15, key, MIN(strlen(key) + 1, sizeof name - 16));
    value_put(w->a, w->meta, str_of(arena_strn(w->a, name, strlen(name))), v);
}

static Value array_new(Writer *w, int64_t n) {
    return (Value){.kind = VALUE_ARRAY, .array = {ARENA_NEW(w->a, Value, n), (size_t)n}};
}

/* <0x41> */
static bool is_byte(Str s) {
    return s.n == 6 && memcmp(s.s, "<0x", 3) == 0 && s.s[5] == '>' && strspn(s.s + 3, "0123456789ABCDEFabcdef") >= 2;
}

static void find_types(Writer *w) {
    const TokSpec *spec = w->spec;
    bool chars = spec->symbols == SYM_CHARS;
    w->types = ARENA_NEW(w->a, uint8_t, w->rows);
    for (int64_t id = 0; id < w->rows; id++) {
        bool there = id < spec->n_vocab && spec->vocab[id].n;
        uint8_t type = there && spec->types ? spec->types[id] : TOK_NORMAL;
        if (there && chars && spec->byte_fallback && is_byte(spec->vocab[id])) type = TOK_BYTE;
        w->types[id] = there ? type : TOK_UNUSED;
    }
    for (int32_t i = 0; i < spec->n_added; i++) {
        uint8_t *type = &w->types[spec->added[i].id];
        if (*type != TOK_UNKNOWN) *type = spec->added[i].special ? TOK_CONTROL : TOK_USER;
    }
    if (chars && spec->unk >= 0) w->types[spec->unk] = TOK_UNKNOWN;
}

static void put_texts(Writer *w) {
    Value tokens = array_new(w, w->rows), types = array_new(w, w->rows);
    for (int64_t id = 0; id < w->rows; id++) {
        Str text = id < w->spec->n_vocab ? w->spec->vocab[id] : STR("");
        if (!text.n) text = str_of(arena_printf(w->a, "[PAD%lld]", (long long)id));
        tokens.array.items[id] = value_str(text);
        types.array.items[id] = value_int(w->types[id]);
    }
    put(w, "tokens", tokens);
    put(w, "token_type", types);
}

static void put_scores(Writer *w) {
    Value scores = array_new(w, w->rows);
    for (int64_t id = 0; id < w->rows; id++) {
        bool there = id < w->spec->n_vocab && w->spec->vocab[id].n;
        bool scored = there && (w->types[id] == TOK_NORMAL || w->types[id] == TOK_BYTE);
        scores.array.items[id] = value_float(scored ? w->spec->scores[id] : -1000);
    }
    put(w, "scores", scores);
}

static void put_merges(Writer *w) {
    const TokSpec *spec = w->spec;
    Value merges = array_new(w, spec->n_merges);
    for (int32_t i = 0; i < spec->n_merges; i++) {
        const char *text = arena_printf(w->a, "%.*s %.*s", STR_ARG(spec->merges[i][0]), STR_ARG(spec->merges[i][1]));
        merges.array.items[i] = value_str(str_of(text));
    }
    put(w, "merges", merges);
}

static void put_id(Writer *w, const char *key, int32_t id) {
    if (id >= 0) put(w, key, value_int(id));
}

const struct AddedFlag added_flags[ADDED_FLAGS] = {
    {"llmws.added_tokens.lstrip", offsetof(AddedToken, lstrip)},
    {"llmws.added_tokens.rstrip", offsetof(AddedToken, rstrip)},
    {"llmws.added_tokens.single_word", offsetof(AddedToken, single_word)},
    {"llmws.added_tokens.normalized", offsetof(AddedToken, normalized)}};

static void put_added(Writer *w) {
    const TokSpec *spec = w->spec;
    for (size_t k = 0; k < ADDED_FLAGS; k++) {
        Value ids = array_new(w, spec->n_added);
        ids.array.n = 0;
        for (int32_t i = 0; i < spec->n_added; i++)
            if (*(const bool *)((const char *)&spec->added[i] + added_flags[k].at))
                ids.array.items[ids.array.n++] = value_int(spec->added[i].id);
        if (ids.array.n) value_put(w->a, w->meta, str_of(added_flags[k].key), ids);
    }
}

/* GGUF knows what stands around a text as BOS and EOS alone; a tokenizer.json alone does not call it that. */
static bool put_around(Writer *w) {
    TokSpec *spec = w->spec;
    if (spec->bos < 0 && spec->n_prefix == 1) spec->bos = spec->prefix[0];
    if (spec->eos < 0 && spec->n_suffix == 1) spec->eos = spec->suffix[0];
    bool bos = spec->n_prefix == 1 && spec->prefix[0] == spec->bos;
    bool eos = spec->n_suffix == 1 && spec->suffix[0] == spec->eos;
    if (spec->n_prefix > bos || spec->n_suffix > eos)
        return err_set(w->e, ERR_INPUT,
                       "GGUF has no form for a tokenizer that puts other tokens around a text than BOS and EOS");
    put_id(w, "bos_token_id", spec->bos);
    put_id(w, "eos_token_id", spec->eos);
    put_id(w, "unknown_token_id", spec->unk);
    put_id(w, "padding_token_id", spec->pad);
    put(w, "add_bos_token", value_bool(bos));
    put(w, "add_eos_token", value_bool(eos));
    return true;
}

static void put_templates(Writer *w) {
    const TokSpec *spec = w->spec;
    for (int32_t i = 0; i < spec->n_templates; i++) {
        const ChatText *t = &spec->templates[i];
        bool plain = strcmp(t->name, "default") == 0;
        const char *key = plain ? "tokenizer.chat_template" : arena_printf(w->a, "tokenizer.chat_template.%s", t->name);
        value_put(w->a, w->meta, str_of(key), value_str(str_of(t->text)));
    }
}

/* ---- kinds ---- */

static bool put_bpe(Writer *w, const char *pre) {
    const char *known = gguf_pre_of(w->spec);
    Buf names = {0};
    if (!pre && !known) {
        gguf_pre_names(&names);
        err_set(w->e, ERR_INPUT,
                "the way this tokenizer splits text has no name in GGUF that llmws knows; name one with --pre "
                "(%s)",
                names.s);
        buf_release(&names);
        return false;
    }
    if (w->spec->unk >= 0) return err_set(w->e, ERR_INPUT, "GGUF has no form for byte-level BPE with an unknown token");
    put(w, "model", value_str(STR("gpt2")));
    put(w, "pre", value_str(str_of(pre ? pre : known)));
    put_texts(w);
    put_merges(w);
    return true;
}

/* White space as SentencePiece treats it: what the normalizers (or a Metaspace pre-tokenizer) come to. */
typedef struct Spaces {
    bool prefix, escape, remove_extra;
    Str charsmap;
} Spaces;

static bool is_mark(Str s) { return str_is(s, SPACE_MARK); }
static bool is_space(Str s) { return str_is(s, " "); }

static bool read_spaces(Writer *w, Spaces *out) {
    const TokSpec *spec = w->spec;
    *out = (Spaces){.charsmap = {"", 0}};
    for (int i = 0; i < spec->n_norms; i++) {
        const NormSpec *n = &spec->norms[i];
        if (n->kind == NORM_PREPEND && is_mark(n->text))
            out->prefix = true;
        else if (n->kind == NORM_REPLACE && !n->pattern && is_space(n->from) && is_mark(n->text))
            out->escape = true;
        else if (n->kind == NORM_CHARSMAP)
            out->charsmap = n->charsmap;
        else if (n->kind == NORM_REPLACE && n->pattern && strcmp(n->pattern, " {2,}") == 0)
            out->remove_extra = true;
        else if (n->kind == NORM_SPM && !n->space.suffix)
            *out = (Spaces){n->space.dummy_prefix, n->space.escape, n->space.remove_extra, n->charsmap};
        else
            return err_set(w->e, ERR_INPUT, "GGUF has no form for normalizer %d of this tokenizer", i);
    }
    for (int i = 0; i < spec->n_splits; i++) {
        const SplitSpec *s = &spec->splits[i];
        bool none_left = s->kind == SPLIT_TEXT && out->escape && is_space(s->text);
        bool words = s->kind == SPLIT_TEXT && is_mark(s->text) && spec->model == TOK_UNIGRAM;
        if (s->kind == SPLIT_REPLACE && is_space(s->text) && is_mark(s->with))
            out->escape = true;
        else if (s->kind == SPLIT_PREPEND && is_mark(s->text))
            out->prefix = true;
        else if (!none_left && !words)
            return err_set(w->e, ERR_INPUT, "GGUF has no form for pre-tokenizer %d of this tokenizer", i);
    }
    return out->escape ||
           err_set(w->e, ERR_INPUT, "GGUF has no form for a SentencePiece tokenizer that leaves spaces as they are");
}

static bool put_spm(Writer *w) {
    Spaces spaces;
    TRY(read_spaces(w, &spaces));
    bool unigram = w->spec->model == TOK_UNIGRAM;
    if (!unigram && (spaces.charsmap.n || spaces.remove_extra))
        return err_set(w->e, ERR_INPUT, "GGUF has no form for the character map of a SentencePiece BPE tokenizer");
    put(w, "model", value_str(unigram ? STR("t5") : STR("llama")));
    put(w, "pre", value_str(STR("default")));
    if (!w->spec->scores) tok_scores(w->spec);
    put_texts(w);
    put_scores(w);
    put(w, "add_space_prefix", value_bool(spaces.prefix));
    if (!unigram) return true;
    put(w, "remove_extra_whitespaces", value_bool(spaces.remove_extra));
    if (spaces.charsmap.n)
        put(w, "precompiled_charsmap",
            (Value){.kind = VALUE_BLOB,
                    .blob = {(const uint8_t *)spaces.charsmap.s, spaces.charsmap.n, spaces.charsmap.n, BLOB_U8}});
    return true;
}

bool gguf_tok_write(TokSpec *spec, int64_t rows, const char *pre, Arena *a, Value *meta, Err *e) {
    Writer w = {.spec = spec, .a = a, .meta = meta, .rows = MAX(rows, spec->n_vocab), .e = e};
    if (spec->n_vocab > rows)
        return err_set(e, ERR_INPUT, "the tokenizer has %d tokens, the embedding only %lld rows", spec->n_vocab,
                       (long long)rows);
    if (spec->symbols == SYM_BYTES)
        return err_set(e, ERR_INPUT,
                       "a tekken.json cannot be written to GGUF; put the tokenizer.json of the model beside it");
    find_types(&w);
    TRY(spec->model == TOK_BPE && spec->symbols == SYM_ALPHABET ? put_bpe(&w, pre) : put_spm(&w));
    put_added(&w);
    put_templates(&w);
    return put_around(&w);
}
