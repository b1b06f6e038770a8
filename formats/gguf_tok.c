/* GGUF's tokenizer.ggml.* -> TokSpec: byte-level BPE ("gpt2"), SentencePiece BPE ("llama") and unigram ("t5"). Key
 * names and token types: ggml's docs/gguf.md and gguf-py. What a file leaves out is what llama.cpp takes for granted.
 */
#include "formats/formats.h"
#include "formats/hf_tok.h"

#define SPACE_MARK "\xe2\x96\x81" /* U+2581 */
#define RE(text)                                                                                                       \
    { .kind = SPLIT_REGEX, .pattern = (text) }

/* What a value of tokenizer.ggml.pre stands for: the pre-tokenizer of the family that the tag is named after, as its
 * own tokenizer.json has it. A new one is a row. */
typedef struct PreRow {
    const char *tag;
    SplitSpec splits[4];
    bool ignore_merges, add_bos, nfc;
} PreRow;

#define GPT2                                                                                                           \
    { RE(SPLIT_GPT2) }
#define DIGITS                                                                                                         \
    { RE("\\p{N}"), RE(SPLIT_GPT2) }
#define LLAMA3                                                                                                         \
    { RE(SPLIT_LLAMA3) }
#define PUNCT_DEFAULT                                                                                                  \
    {                                                                                                                  \
        RE("[\\p{P}\\$\\+<=>\\^~\\|]+"),                                                                               \
            RE("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPLIT_WS "\\p{L}\\p{N}]+|" SPLIT_WS                  \
               "+(?!\\P{White_Space})"),                                                                               \
            RE("\\p{N}+"), RE("[0-9][0-9][0-9]")                                                                       \
    }

static const PreRow pre_rows[] = {
    {"gpt-2", GPT2},
    {"phi-2", GPT2},
    {"olmo", GPT2},
    {"mpt", GPT2},
    {"jina-en", GPT2},
    {"smollm", DIGITS},
    {"starcoder", DIGITS},
    {"refact", DIGITS},
    {"command-r", DIGITS, .nfc = true},
    {"llama-bpe", LLAMA3, .ignore_merges = true, .add_bos = true},
    {"llama3", LLAMA3, .ignore_merges = true, .add_bos = true},
    {"llama-v3", LLAMA3, .ignore_merges = true, .add_bos = true},
    {"dbrx", LLAMA3},
    {"smaug-bpe", LLAMA3},
    {"qwen2", {RE(SPLIT_QWEN2)}, .nfc = true},
    {"stablelm2", {RE(SPLIT_QWEN2)}, .nfc = true},
    {"deepseek-r1-qwen", {RE(SPLIT_QWEN2)}},
    {"tekken", {RE(SPLIT_TEKKEN)}, .ignore_merges = true},
    {"gpt-4o", {RE(SPLIT_GPT4O)}},
    {"llama4", {RE(SPLIT_GPT4O)}},
    {"default", PUNCT_DEFAULT},
};

static const Value *key_of(const TensorFile *f, const char *name) {
    char key[80] = "tokenizer.ggml.";
    memcpy(key + 15, name, MIN(strlen(name) + 1, sizeof key - 16));
    return value_get(&f->meta, key);
}

static bool same_pre(const PreRow *row, const TokSpec *spec) {
    int n = 0;
    for (; n < (int)COUNT_OF(row->splits) && row->splits[n].pattern; n++) {
        const SplitSpec *s = &spec->splits[n];
        if (n == spec->n_splits || s->kind != SPLIT_REGEX || s->behavior != SPLIT_ISOLATED || s->invert ||
            strcmp(s->pattern, row->splits[n].pattern) != 0)
            return false;
    }
    bool nfc = spec->n_norms == 1 && spec->norms[0].kind == NORM_NFC;
    return n == spec->n_splits && (nfc || !spec->n_norms) && nfc == row->nfc &&
           spec->ignore_merges == row->ignore_merges;
}

const char *gguf_pre_of(const TokSpec *spec) {
    for (size_t i = 0; i < COUNT_OF(pre_rows); i++)
        if (same_pre(&pre_rows[i], spec)) return pre_rows[i].tag;
    return NULL;
}

void gguf_pre_names(Buf *out) {
    for (size_t i = 0; i < COUNT_OF(pre_rows); i++) buf_printf(out, "%s%s", i ? ", " : "", pre_rows[i].tag);
}

static bool read_pre(const TensorFile *f, TokSpec *spec, const PreRow **row, Err *e) {
    Str pre = {"", 0};
    Buf known = {0};
    TRY(value_as_str(key_of(f, "pre"), "tokenizer.ggml.pre", &pre, e));
    *row = NULL;
    for (size_t i = 0; i < COUNT_OF(pre_rows); i++)
        if (str_is(pre, pre_rows[i].tag)) *row = &pre_rows[i];
    gguf_pre_names(&known);
    if (!*row) err_set(e, ERR_INPUT, "tokenizer.ggml.pre '%.*s' is not known (known: %s)", STR_ARG(pre), known.s);
    buf_release(&known);
    if (!*row) return false;
    while (spec->n_splits < (int)COUNT_OF((*row)->splits) && (*row)->splits[spec->n_splits].pattern) {
        spec->splits[spec->n_splits] = (*row)->splits[spec->n_splits];
        spec->n_splits++;
    }
    spec->ignore_merges = (*row)->ignore_merges;
    if ((*row)->nfc) spec->norms[spec->n_norms++].kind = NORM_NFC;
    return true;
}

static bool is_texts(const Value *v) { return v && v->kind == VALUE_BLOB && v->blob.kind == BLOB_STR; }

/* The strings of a list that is_texts, one after the other. */
static Str next_text(const uint8_t **at) {
    uint64_t n;
    memcpy(&n, *at, sizeof n);
    Str text = {(const char *)*at + sizeof n, (size_t)n};
    *at += sizeof n + n;
    return text;
}

static bool read_texts(const TensorFile *f, TokSpec *spec, Err *e) {
    const Value *tokens = key_of(f, "tokens");
    size_t n = value_count(tokens);
    if (!n || n > INT32_MAX) return err_set(e, ERR_INPUT, "tokenizer.ggml.tokens holds %zu tokens", n);
    if (!is_texts(tokens)) return err_set(e, ERR_INPUT, "tokenizer.ggml.tokens is no list of strings");
    const uint8_t *at = tokens->blob.bytes;
    spec->n_vocab = (int32_t)n;
    spec->vocab = arena_alloc(&spec->arena, n, sizeof *spec->vocab);
    for (size_t id = 0; id < n; id++) spec->vocab[id] = next_text(&at);
    return true;
}

static bool read_merges(const TensorFile *f, TokSpec *spec, Err *e) {
    const Value *merges = key_of(f, "merges");
    size_t n = value_count(merges);
    if (!merges) return err_set(e, ERR_INPUT, "the tokenizer has no tokenizer.ggml.merges");
    if (n > INT32_MAX) return err_set(e, ERR_INPUT, "tokenizer.ggml.merges holds %zu merges", n);
    if (n && !is_texts(merges)) return err_set(e, ERR_INPUT, "tokenizer.ggml.merges is no list of strings");
    spec->n_merges = (int32_t)n;
    if (n) spec->late_merges = merges;
    return true;
}

/* Entry i of a list of integers; 0, which is no type, where it is none. */
static int64_t type_at(const Value *types, size_t i) {
    int32_t type;
    if (types->kind == VALUE_BLOB && types->blob.kind == BLOB_I32)
        return memcpy(&type, types->blob.bytes + 4 * i, sizeof type), type;
    Value item = value_item(types, i);
    return item.kind == VALUE_INT ? item.i : 0;
}

/* The first id from `id` on that is no ordinary token: nearly all are. */
static int32_t skip_normal(const Value *types, int32_t id, int32_t n) {
    int32_t type;
    if (types->kind != VALUE_BLOB || types->blob.kind != BLOB_I32) return id;
    for (; id < n; id++)
        if (memcpy(&type, types->blob.bytes + 4 * (size_t)id, sizeof type), type != TOK_NORMAL) break;
    return id;
}

/* token_type of every id; a SentencePiece model works with the types, byte-level BPE with the added tokens alone. */
static bool read_types(const TensorFile *f, TokSpec *spec, Err *e) {
    const Value *types = key_of(f, "token_type");
    size_t n = value_count(types);
    Buf added = {0};
    bool bpe = spec->symbols == SYM_ALPHABET;
    if (n != (size_t)spec->n_vocab)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.token_type has %zu entries for %d tokens", n, spec->n_vocab);
    if (is_texts(types) || value_item(types, 0).kind != VALUE_INT)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.token_type is no list of integers");
    if (!bpe) spec->types = arena_alloc(&spec->arena, n, 1);
    for (int32_t id = 0; id < spec->n_vocab; id++) {
        if (bpe && (id = skip_normal(types, id, spec->n_vocab)) == spec->n_vocab) break;
        int64_t type = type_at(types, (size_t)id);
        if (!bpe) {
            if (type < TOK_NORMAL || type > TOK_BYTE) {
                buf_release(&added);
                return err_set(e, ERR_INPUT, "tokenizer.ggml.token_type holds an unknown type");
            }
            spec->types[id] = (uint8_t)type;
        }
        bool special = type == TOK_CONTROL || type == TOK_UNKNOWN;
        if ((!special && type != TOK_USER) || !spec->vocab[id].n) continue;
        AddedToken token = {.text = spec->vocab[id], .id = id, .special = special, .outside = bpe || special};
        buf_put(&added, &token, sizeof token);
    }
    spec->n_added = (int32_t)(added.n / sizeof *spec->added);
    spec->added = ARENA_NEW(&spec->arena, AddedToken, spec->n_added);
    if (spec->n_added) memcpy(spec->added, added.s, added.n);
    buf_release(&added);
    return true;
}

/* What llmws remembers of added tokens beside GGUF's own keys: lists of ids. */
static bool read_added(const TensorFile *f, TokSpec *spec, Err *e) {
    for (size_t k = 0; k < ADDED_FLAGS; k++) {
        const Value *ids = value_get(&f->meta, added_flags[k].key);
        size_t cursor = 0;
        Value id;
        while (ids && value_next(ids, &cursor, &id)) {
            int32_t i = 0;
            while (i < spec->n_added && (id.kind != VALUE_INT || spec->added[i].id != id.i)) i++;
            if (i == spec->n_added)
                return err_set(e, ERR_INPUT, "%s names an id without an added token", added_flags[k].key);
            *(bool *)((char *)&spec->added[i] + added_flags[k].at) = true;
        }
    }
    return true;
}

static bool read_scores(const TensorFile *f, TokSpec *spec, Err *e) {
    const Value *scores = key_of(f, "scores");
    size_t cursor = 0, n = value_count(scores);
    Value item;
    if (n != (size_t)spec->n_vocab)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.scores has %zu entries for %d tokens", n, spec->n_vocab);
    spec->scores = ARENA_NEW(&spec->arena, double, n);
    for (size_t id = 0; value_next(scores, &cursor, &item); id++) {
        if (item.kind != VALUE_FLOAT) return err_set(e, ERR_INPUT, "tokenizer.ggml.scores is no list of numbers");
        spec->scores[id] = item.f;
    }
    return true;
}

static bool read_id(const TensorFile *f, const TokSpec *spec, const char *name, int32_t *out, Err *e) {
    int64_t id = *out;
    TRY(value_as_int(key_of(f, name), name, &id, e));
    if (id >= spec->n_vocab && !key_of(f, name)) id = -1; /* a default that this vocabulary has not */
    if (id == UINT32_MAX) id = -1;                        /* how a u32 says "none" */
    if (id < -1 || id >= spec->n_vocab)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.%s is %lld, outside the vocabulary of %d tokens", name,
                       (long long)id, spec->n_vocab);
    *out = (int32_t)id;
    return true;
}

typedef struct Flags { /* what the file says, or else what its kind of tokenizer does */
    bool add_bos, add_eos, space_prefix, remove_spaces;
} Flags;

static bool read_flags(const TensorFile *f, Flags *out, Err *e) {
    return value_as_bool(key_of(f, "add_bos_token"), "tokenizer.ggml.add_bos_token", &out->add_bos, e) &&
           value_as_bool(key_of(f, "add_eos_token"), "tokenizer.ggml.add_eos_token", &out->add_eos, e) &&
           value_as_bool(key_of(f, "add_space_prefix"), "tokenizer.ggml.add_space_prefix", &out->space_prefix, e) &&
           value_as_bool(key_of(f, "remove_extra_whitespaces"), "tokenizer.ggml.remove_extra_whitespaces",
                         &out->remove_spaces, e);
}

static bool read_ids(const TensorFile *f, TokSpec *spec, const Flags *flags, Err *e) {
    static const char *const others[] = {"eot_token_id", "eom_token_id"};
    TRY(read_id(f, spec, "bos_token_id", &spec->bos, e) && read_id(f, spec, "eos_token_id", &spec->eos, e) &&
        read_id(f, spec, "padding_token_id", &spec->pad, e) && read_id(f, spec, "unknown_token_id", &spec->unk, e));
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        int32_t id = -1;
        TRY(read_id(f, spec, others[i], &id, e));
    }
    /* a byte without a token is left out, as llama.cpp does whatever the file calls unknown */
    if (spec->symbols == SYM_ALPHABET) spec->unk = -1;
    if (flags->add_bos && spec->bos >= 0) spec->prefix[spec->n_prefix++] = spec->bos;
    if (flags->add_eos && spec->eos >= 0) spec->suffix[spec->n_suffix++] = spec->eos;
    return true;
}

static bool read_bpe(const TensorFile *f, TokSpec *spec, Err *e) {
    const PreRow *row;
    Flags flags = {0};
    spec->symbols = SYM_ALPHABET;
    spec->decodes[spec->n_decodes++] = (DecodeSpec){.kind = DECODE_ALPHABET};
    TRY(read_pre(f, spec, &row, e));
    flags.add_bos = row->add_bos;
    TRY(read_texts(f, spec, e) && read_merges(f, spec, e) && read_types(f, spec, e) && read_added(f, spec, e) &&
        read_flags(f, &flags, e) && read_ids(f, spec, &flags, e));
    if (flags.space_prefix)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.add_space_prefix is not supported for byte-level BPE");
    spec->kind = arena_printf(&spec->arena, "%s, pre-tokenizer %s", tok_spec_kind(spec), row->tag);
    return true;
}

/* The texts of SentencePiece: U+2581 for a space, <0x41> for a byte, a space before the text. */
static void spm_decode(TokSpec *spec, bool space_prefix) {
    spec->decodes[spec->n_decodes++] = (DecodeSpec){.kind = DECODE_REPLACE, .from = STR(SPACE_MARK), .text = STR(" ")};
    spec->decodes[spec->n_decodes++] = (DecodeSpec){.kind = DECODE_BYTE_FALLBACK};
    spec->decodes[spec->n_decodes++] = (DecodeSpec){.kind = DECODE_FUSE};
    if (space_prefix)
        spec->decodes[spec->n_decodes++] = (DecodeSpec){.kind = DECODE_STRIP, .from = STR(" "), .start = 1};
}

/* What GGUF cannot say of Phi-3: its added tokens take the white space behind them, as in its tokenizer.json. */
static void strip_phi3(const TensorFile *f, TokSpec *spec) {
    const Value *arch = value_get(&f->meta, "general.architecture");
    if (!arch || arch->kind != VALUE_STR || !str_is(arch->s, "phi3")) return;
    for (int32_t i = 0; i < spec->n_added; i++) {
        AddedToken *a = &spec->added[i];
        a->rstrip = !str_is(a->text, "<unk>") && !str_is(a->text, "<s>") && !str_is(a->text, "<|endoftext|>");
    }
}

static bool read_spm(const TensorFile *f, TokSpec *spec, Err *e) {
    Flags flags = {.add_bos = true, .space_prefix = true};
    spec->merge_by_text = spec->byte_fallback = spec->fuse_unk = true;
    spec->bos = 1;
    spec->eos = 2;
    spec->unk = 0;
    TRY(read_texts(f, spec, e) && read_scores(f, spec, e) && read_types(f, spec, e) && read_added(f, spec, e) &&
        read_flags(f, &flags, e) && read_ids(f, spec, &flags, e));
    strip_phi3(f, spec);
    if (flags.space_prefix) spec->norms[spec->n_norms++] = (NormSpec){.kind = NORM_PREPEND, .text = STR(SPACE_MARK)};
    spec->norms[spec->n_norms++] = (NormSpec){.kind = NORM_REPLACE, .from = STR(" "), .text = STR(SPACE_MARK)};
    spm_decode(spec, flags.space_prefix);
    spec->kind = tok_spec_kind(spec);
    return true;
}

static bool read_unigram(const TensorFile *f, TokSpec *spec, Err *e) {
    Flags flags = {.add_eos = true, .space_prefix = true, .remove_spaces = true};
    const Value *map = key_of(f, "precompiled_charsmap");
    NormSpec norm = {.kind = NORM_SPM, .space = {.escape = true}};
    spec->model = TOK_UNIGRAM;
    spec->fuse_unk = true;
    spec->eos = 1;
    spec->unk = 2;
    TRY(read_texts(f, spec, e) && read_scores(f, spec, e) && read_types(f, spec, e) && read_added(f, spec, e) &&
        read_flags(f, &flags, e) && read_ids(f, spec, &flags, e));
    if (map && (map->kind != VALUE_BLOB || map->blob.n_bytes != map->blob.n))
        return err_set(e, ERR_INPUT, "tokenizer.ggml.precompiled_charsmap is no list of bytes");
    if (map) norm.charsmap = (Str){(const char *)map->blob.bytes, map->blob.n_bytes};
    norm.space.dummy_prefix = flags.space_prefix;
    norm.space.remove_extra = flags.remove_spaces;
    spec->norms[spec->n_norms++] = norm;
    spm_decode(spec, flags.space_prefix);
    spec->kind = tok_spec_kind(spec);
    return true;
}

static bool read_spec(const TensorFile *f, TokSpec *spec, Err *e) {
    static const struct {
        const char *model;
        bool (*read)(const TensorFile *f, TokSpec *spec, Err *e);
    } rows[] = {{"gpt2", read_bpe}, {"llama", read_spm}, {"t5", read_unigram}};
    Str model = {"", 0};
    TRY(value_as_str(key_of(f, "model"), "tokenizer.ggml.model", &model, e));
    if (!model.n) return err_set(e, ERR_INPUT, "the file holds no tokenizer (tokenizer.ggml.model)");
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (str_is(model, rows[i].model)) return rows[i].read(f, spec, e) && chat_texts_gguf(&f->meta, spec, e);
    return err_set(e, ERR_INPUT, "tokenizer.ggml.model '%.*s' is not supported (known: gpt2, llama, t5)",
                   STR_ARG(model));
}

bool gguf_tok_spec(const TensorFile *f, TokSpec *spec, Err *e) {
    *spec = (TokSpec){.symbols = SYM_CHARS, .bos = -1, .eos = -1, .unk = -1, .pad = -1};
    if (read_spec(f, spec, e)) return true;
    tok_spec_release(spec);
    return err_prefix(e, "cannot use the tokenizer of '%s'", f->path ? f->path : "the model");
}
