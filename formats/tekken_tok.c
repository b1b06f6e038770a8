/* Mistral's tekken.json -> TokSpec: byte-level BPE whose vocabulary is a list of byte strings in the order of their
 * merges, behind the special tokens. Source: mistral-common, tokens/tokenizers/tekken.py; tiktoken for what it does
 * with them. */
#include "formats/hf_tok.h"

#include "formats/formats.h"
#include "formats/json.h"

typedef struct Tekken {
    TokSpec *spec;
    Err *e;
    int64_t n_vocab, n_special;
    const Value *vocab, *special;
} Tekken;

static bool bad(const Tekken *t, const char *what, int64_t i) {
    return err_set(t->e, ERR_INPUT, "%s %lld is not as tekken.json has it", what, (long long)i);
}

static bool take_vocab(const Tekken *t) {
    TokSpec *spec = t->spec;
    int64_t n = t->n_vocab - t->n_special;
    if ((size_t)n > value_count(t->vocab))
        return err_set(t->e, ERR_INPUT, "the vocabulary has %zu entries, %lld are named", value_count(t->vocab),
                       (long long)n);
    for (int64_t i = 0; i < n; i++) {
        const Value *entry = &t->vocab->array.items[i];
        Str text = {"", 0};
        int64_t rank = -1;
        TRY(value_as_str(value_get(entry, "token_bytes"), "token_bytes", &text, t->e) &&
            value_as_int(value_get(entry, "rank"), "rank", &rank, t->e));
        if (rank != i || !text.n || !base64_decode(text, &spec->arena, &spec->vocab[t->n_special + i]))
            return bad(t, "entry", i);
    }
    return true;
}

/* Files of the first version name none: those of mistral-common's table stand for them. */
static Str old_special(int64_t i) {
    static const char *const names[] = {"<unk>",
                                        "<s>",
                                        "</s>",
                                        "[INST]",
                                        "[/INST]",
                                        "[AVAILABLE_TOOLS]",
                                        "[/AVAILABLE_TOOLS]",
                                        "[TOOL_RESULTS]",
                                        "[/TOOL_RESULTS]",
                                        "[TOOL_CALLS]",
                                        "[IMG]",
                                        "<pad>",
                                        "[IMG_BREAK]",
                                        "[IMG_END]",
                                        "[PREFIX]",
                                        "[MIDDLE]",
                                        "[SUFFIX]",
                                        "[SYSTEM_PROMPT]",
                                        "[/SYSTEM_PROMPT]",
                                        "[TOOL_CONTENT]"};
    return i < (int64_t)COUNT_OF(names) ? str_of(names[i]) : (Str){"", 0};
}

static bool take_special(const Tekken *t) {
    TokSpec *spec = t->spec;
    size_t named = value_count(t->special);
    for (size_t i = 0; i < named; i++) {
        const Value *entry = &t->special->array.items[i];
        Str text = {"", 0};
        int64_t rank = -1;
        TRY(value_as_str(value_get(entry, "token_str"), "token_str", &text, t->e) &&
            value_as_int(value_get(entry, "rank"), "rank", &rank, t->e));
        if (rank < 0 || rank >= t->n_special || !text.n) return bad(t, "special token", (int64_t)i);
        spec->vocab[rank] = (Str){arena_strn(&spec->arena, text.s, text.n), text.n};
    }
    spec->added = ARENA_NEW(&spec->arena, AddedToken, t->n_special);
    for (int64_t i = 0; i < t->n_special; i++) {
        Str *text = &spec->vocab[i];
        if (!text->n && !named) *text = old_special(i);
        if (!text->n) *text = str_of(arena_printf(&spec->arena, "<SPECIAL_%lld>", (long long)i));
        spec->added[i] = (AddedToken){.text = *text, .id = (int32_t)i, .special = true, .outside = true};
        if (str_is(*text, "<s>")) spec->bos = (int32_t)i;
        if (str_is(*text, "</s>")) spec->eos = (int32_t)i;
        if (str_is(*text, "<pad>")) spec->pad = (int32_t)i;
    }
    spec->n_added = (int32_t)t->n_special;
    return true;
}

static bool take(Tekken *t, const Value *root) {
    TokSpec *spec = t->spec;
    const Value *config = value_get(root, "config");
    Str pattern = {"", 0};
    TRY(value_as_str(value_get(config, "pattern"), "pattern", &pattern, t->e) &&
        value_as_int(value_get(config, "default_vocab_size"), "default_vocab_size", &t->n_vocab, t->e) &&
        value_as_int(value_get(config, "default_num_special_tokens"), "default_num_special_tokens", &t->n_special,
                     t->e));
    t->vocab = value_get(root, "vocab");
    t->special = value_get(root, "special_tokens");
    if (t->special && t->special->kind == VALUE_NULL) t->special = NULL;
    if (!t->vocab || t->vocab->kind != VALUE_ARRAY || (t->special && t->special->kind != VALUE_ARRAY) || !pattern.n)
        return err_set(t->e, ERR_INPUT, "it lacks 'config.pattern' or the list 'vocab'");
    if (t->n_special < 0 || t->n_special > 1 << 16 || t->n_vocab <= t->n_special || t->n_vocab > INT32_MAX ||
        (size_t)(t->n_vocab - t->n_special) > value_count(t->vocab))
        return err_set(t->e, ERR_INPUT, "a vocabulary of %lld tokens, %lld of them special, in a file that lists %zu",
                       (long long)t->n_vocab, (long long)t->n_special, value_count(t->vocab));
    spec->n_vocab = (int32_t)t->n_vocab;
    spec->vocab = ARENA_NEW(&spec->arena, Str, spec->n_vocab);
    spec->n_splits = 1;
    spec->splits[0].kind = SPLIT_REGEX;
    TRY(take_vocab(t) && take_special(t) && hf_pattern(pattern, &spec->arena, &spec->splits[0].pattern, t->e));
    if (spec->bos >= 0) spec->prefix[spec->n_prefix++] = spec->bos;
    spec->kind = arena_printf(&spec->arena, "tekken, %d tokens", spec->n_vocab);
    return true;
}

bool tekken_tok_spec_parse(Str file, TokSpec *spec, Err *e) {
    *spec = (TokSpec){
        .symbols = SYM_BYTES, .merge_by_text = true, .ignore_merges = true, .bos = -1, .eos = -1, .unk = -1, .pad = -1};
    Arena a = {0};
    Json json;
    Value root;
    Tekken t = {.spec = spec, .e = e};
    json_begin(&json, file);
    bool ok = json_value(&json, &a, &root, e) && take(&t, &root);
    json_end(&json);
    arena_release(&a);
    if (!ok) tok_spec_release(spec);
    return ok;
}
