/* GGUF's tokenizer.ggml.* -> TokSpec, for byte-level BPE. Key names and token types: ggml's docs/gguf.md and gguf-py.
 */
#include "formats/formats.h"
#include "formats/hf_tok.h"

enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4 };

/* What a value of tokenizer.ggml.pre stands for. A new one is a row. */
static const struct PreRow {
    const char *tag;
    SplitSpec splits[2];
    int n;
    bool ignore_merges, add_bos;
} pre_rows[] = {
    {"gpt-2", {{SPLIT_REGEX, SPLIT_GPT2, false}}, 1, false, false},
    {"smollm", {{SPLIT_DIGITS, NULL, true}, {SPLIT_REGEX, SPLIT_GPT2, false}}, 2, false, false},
    {"llama-bpe", {{SPLIT_REGEX, SPLIT_LLAMA3, false}}, 1, true, true},
    {"llama3", {{SPLIT_REGEX, SPLIT_LLAMA3, false}}, 1, true, true},
    {"llama-v3", {{SPLIT_REGEX, SPLIT_LLAMA3, false}}, 1, true, true},
};

static const Value *key_of(const TensorFile *f, const char *name) {
    char key[80] = "tokenizer.ggml.";
    memcpy(key + 15, name, MIN(strlen(name) + 1, sizeof key - 16));
    return value_get(&f->meta, key);
}

static bool read_pre(const TensorFile *f, TokSpec *spec, const struct PreRow **row, Err *e) {
    Str model = {"", 0}, pre = {"", 0};
    Buf known = {0};
    TRY(value_as_str(key_of(f, "model"), "tokenizer.ggml.model", &model, e) &&
        value_as_str(key_of(f, "pre"), "tokenizer.ggml.pre", &pre, e));
    if (!model.n) return err_set(e, ERR_INPUT, "the file holds no tokenizer (tokenizer.ggml.model)");
    if (!str_is(model, "gpt2"))
        return err_set(e, ERR_INPUT, "tokenizer.ggml.model '%.*s' is not supported, only byte-level BPE ('gpt2')",
                       STR_ARG(model));
    *row = NULL;
    for (size_t i = 0; i < COUNT_OF(pre_rows); i++) {
        if (str_is(pre, pre_rows[i].tag)) *row = &pre_rows[i];
        buf_printf(&known, "%s%s", i ? ", " : "", pre_rows[i].tag);
    }
    if (!*row) err_set(e, ERR_INPUT, "tokenizer.ggml.pre '%.*s' is not known (known: %s)", STR_ARG(pre), known.s);
    buf_release(&known);
    if (!*row) return false;
    spec->n_splits = (*row)->n;
    memcpy(spec->splits, (*row)->splits, (size_t)spec->n_splits * sizeof *spec->splits);
    spec->ignore_merges = (*row)->ignore_merges;
    return true;
}

static bool read_texts(const TensorFile *f, TokSpec *spec, Err *e) {
    const Value *tokens = key_of(f, "tokens");
    size_t n = value_count(tokens), cursor = 0;
    Value item;
    if (!n || n > INT32_MAX) return err_set(e, ERR_INPUT, "tokenizer.ggml.tokens holds %zu tokens", n);
    spec->n_vocab = (int32_t)n;
    spec->vocab = ARENA_NEW(&spec->arena, Str, n);
    for (size_t id = 0; value_next(tokens, &cursor, &item); id++) {
        if (item.kind != VALUE_STR) return err_set(e, ERR_INPUT, "tokenizer.ggml.tokens is no list of strings");
        spec->vocab[id] = item.s;
    }
    return true;
}

static bool read_merges(const TensorFile *f, TokSpec *spec, Err *e) {
    const Value *merges = key_of(f, "merges");
    size_t n = value_count(merges), cursor = 0;
    Value item;
    if (!merges) return err_set(e, ERR_INPUT, "the tokenizer has no tokenizer.ggml.merges");
    if (n > INT32_MAX) return err_set(e, ERR_INPUT, "tokenizer.ggml.merges holds %zu merges", n);
    spec->n_merges = (int32_t)n;
    spec->merges = arena_alloc(&spec->arena, n, sizeof *spec->merges);
    for (size_t i = 0; value_next(merges, &cursor, &item); i++) {
        if (item.kind != VALUE_STR) return err_set(e, ERR_INPUT, "tokenizer.ggml.merges is no list of strings");
        const char *space = item.s.n > 1 ? memchr(item.s.s + 1, ' ', item.s.n - 1) : NULL;
        size_t head = space ? (size_t)(space - item.s.s) : 0;
        if (!space || head + 1 == item.s.n)
            return err_set(e, ERR_INPUT, "merge %zu, '%.*s', is not two texts with a space between", i,
                           STR_ARG(item.s));
        spec->merges[i][0] = (Str){item.s.s, head};
        spec->merges[i][1] = (Str){space + 1, item.s.n - head - 1};
    }
    return true;
}

static bool read_types(const TensorFile *f, TokSpec *spec, Err *e) {
    const Value *types = key_of(f, "token_type");
    size_t cursor = 0, n = value_count(types);
    Buf added = {0};
    Value item;
    if (n != (size_t)spec->n_vocab)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.token_type has %zu entries for %d tokens", n, spec->n_vocab);
    for (int32_t id = 0; value_next(types, &cursor, &item); id++) {
        bool special = item.i == TYPE_CONTROL || item.i == TYPE_UNKNOWN;
        AddedToken token = {.text = spec->vocab[id], .id = id, .special = special};
        if (item.kind != VALUE_INT) {
            buf_release(&added);
            return err_set(e, ERR_INPUT, "tokenizer.ggml.token_type is no list of integers");
        }
        if ((special || item.i == TYPE_USER) && token.text.n) buf_put(&added, &token, sizeof token);
    }
    spec->n_added = (int32_t)(added.n / sizeof *spec->added);
    spec->added = ARENA_NEW(&spec->arena, AddedToken, spec->n_added);
    if (added.n) memcpy(spec->added, added.s, added.n);
    buf_release(&added);
    return true;
}

static bool read_id(const TensorFile *f, const TokSpec *spec, const char *name, int32_t *out, Err *e) {
    int64_t id = -1;
    TRY(value_as_int(key_of(f, name), name, &id, e));
    if (id == UINT32_MAX) id = -1; /* how a u32 says "none" */
    if (id < -1 || id >= spec->n_vocab)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.%s is %lld, outside the vocabulary of %d tokens", name,
                       (long long)id, spec->n_vocab);
    *out = (int32_t)id;
    return true;
}

static bool read_ids(const TensorFile *f, TokSpec *spec, const struct PreRow *row, Err *e) {
    static const char *const others[] = {"unknown_token_id", "eot_token_id", "eom_token_id"};
    bool add_bos = row->add_bos, add_eos = false, prefix_space = false;
    int32_t id;
    TRY(read_id(f, spec, "bos_token_id", &spec->bos, e) && read_id(f, spec, "eos_token_id", &spec->eos, e) &&
        read_id(f, spec, "padding_token_id", &spec->pad, e));
    /* unk stays -1: a byte without a token is left out here, as llama.cpp does whatever the file calls unknown */
    for (size_t i = 0; i < COUNT_OF(others); i++) TRY(read_id(f, spec, others[i], &id, e));
    TRY(value_as_bool(key_of(f, "add_bos_token"), "tokenizer.ggml.add_bos_token", &add_bos, e) &&
        value_as_bool(key_of(f, "add_eos_token"), "tokenizer.ggml.add_eos_token", &add_eos, e) &&
        value_as_bool(key_of(f, "add_space_prefix"), "tokenizer.ggml.add_space_prefix", &prefix_space, e));
    if (prefix_space)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.add_space_prefix is not supported for byte-level BPE");
    if (add_bos && spec->bos >= 0) spec->prefix[spec->n_prefix++] = spec->bos;
    if (add_eos && spec->eos >= 0) spec->suffix[spec->n_suffix++] = spec->eos;
    return true;
}

static bool read_spec(const TensorFile *f, TokSpec *spec, Err *e) {
    const struct PreRow *row = NULL;
    TRY(read_pre(f, spec, &row, e) && read_texts(f, spec, e) && read_merges(f, spec, e) && read_types(f, spec, e) &&
        read_ids(f, spec, row, e));
    TRY(chat_texts_gguf(&f->meta, spec, e));
    spec->kind = arena_printf(&spec->arena, "byte-level BPE, %d tokens, pre-tokenizer %s", spec->n_vocab, row->tag);
    return true;
}

bool gguf_tok_spec(const TensorFile *f, TokSpec *spec, Err *e) {
    *spec = (TokSpec){.model = TOK_BPE, .byte_level = true, .bos = -1, .eos = -1, .unk = -1, .pad = -1};
    if (read_spec(f, spec, e)) return true;
    tok_spec_release(spec);
    return err_prefix(e, "cannot use the tokenizer of '%s'", f->path ? f->path : "the model");
}
