/* Mistral's tekken.json -> TokSpec: byte-level BPE whose vocabulary is a list of byte strings in the order of their
 * merges, behind the special tokens. Source: mistral-common, tokens/tokenizers/tekken.py; tiktoken for what it does
 * with them. */
#include "formats/hf_tok.h"

#include "formats/formats.h"
#include "formats/json.h"

typedef struct Tekken {
    TokSpec *spec;
    Err *e;
    int64_t n_vocab, n_special, n_entries, bad_entry; /* the first one out of order; -1: none */
    Buf bytes;                                        /* of Str: the entries' */
    bool has_vocab;
    Value config, special;
} Tekken;

static bool bad(const Tekken *t, const char *what, int64_t i) {
    return err_set(t->e, ERR_INPUT, "%s %lld is not as tekken.json has it", what, (long long)i);
}

/* The next entry of the list: its rank and bytes. */
static bool next_entry(Tekken *t, Json *json, int64_t *rank, Str *bytes) {
    JsonEvent ev;
    bool base64 = true;
    *rank = -1;
    *bytes = (Str){"", 0};
    while ((ev = json_next(json)) == JSON_KEY) {
        bool is_rank = str_is(json->str, "rank");
        if (!is_rank && !str_is(json->str, "token_bytes")) {
            if (!json_skip(json)) break;
            continue;
        }
        if ((ev = json_next(json)) == JSON_FAIL) break;
        if (is_rank && ev == JSON_INT) *rank = json->i;
        if (!is_rank) base64 &= ev == JSON_STR && base64_decode(json->str, &t->spec->arena, bytes);
    }
    if (ev != JSON_OBJECT_END) return *t->e = json->err, false;
    return base64 || bad(t, "entry", t->n_entries);
}

/* "vocab": [{"rank": 0, "token_bytes": "AA==", ..}, ..], in the order of the ranks. */
static bool read_vocab(Tekken *t, Json *json) {
    JsonEvent ev = json_next(json);
    if (ev != JSON_ARRAY)
        return ev == JSON_FAIL ? (*t->e = json->err, false) : err_set(t->e, ERR_INPUT, "'vocab' is no list");
    for (; (ev = json_next(json)) == JSON_OBJECT; t->n_entries++) {
        Str bytes;
        int64_t rank;
        TRY(next_entry(t, json, &rank, &bytes));
        if (rank != t->n_entries && t->bad_entry < 0) t->bad_entry = t->n_entries; /* it may be one that is not used */
        buf_put(&t->bytes, &bytes, sizeof bytes);
    }
    if (ev == JSON_FAIL) return *t->e = json->err, false;
    return ev == JSON_ARRAY_END || bad(t, "entry", t->n_entries);
}

static bool take_vocab(const Tekken *t) {
    int64_t n = t->n_vocab - t->n_special;
    const Str *bytes = (const Str *)(const void *)t->bytes.s;
    if (t->bad_entry >= 0 && t->bad_entry < n) return bad(t, "entry", t->bad_entry);
    for (int64_t i = 0; i < n; i++) {
        if (!bytes[i].n) return bad(t, "entry", i);
        t->spec->vocab[t->n_special + i] = bytes[i];
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
    size_t named = value_count(&t->special);
    for (size_t i = 0; i < named; i++) {
        const Value *entry = &t->special.array.items[i];
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

static bool take(Tekken *t) {
    TokSpec *spec = t->spec;
    Str pattern = {"", 0};
    TRY(value_as_str(value_get(&t->config, "pattern"), "pattern", &pattern, t->e) &&
        value_as_int(value_get(&t->config, "default_vocab_size"), "default_vocab_size", &t->n_vocab, t->e) &&
        value_as_int(value_get(&t->config, "default_num_special_tokens"), "default_num_special_tokens", &t->n_special,
                     t->e));
    if (!t->has_vocab || (t->special.kind != VALUE_NULL && t->special.kind != VALUE_ARRAY) || !pattern.n)
        return err_set(t->e, ERR_INPUT, "it lacks 'config.pattern' or the list 'vocab'");
    if (t->n_special < 0 || t->n_special > 1 << 16 || t->n_vocab <= t->n_special || t->n_vocab > INT32_MAX ||
        t->n_vocab - t->n_special > t->n_entries)
        return err_set(t->e, ERR_INPUT, "a vocabulary of %lld tokens, %lld of them special, in a file that lists %lld",
                       (long long)t->n_vocab, (long long)t->n_special, (long long)t->n_entries);
    spec->n_vocab = (int32_t)t->n_vocab;
    spec->vocab = ARENA_NEW(&spec->arena, Str, spec->n_vocab);
    spec->n_splits = 1;
    spec->splits[0].kind = SPLIT_REGEX;
    TRY(take_vocab(t) && take_special(t) && hf_pattern(pattern, &spec->arena, &spec->splits[0].pattern, t->e));
    if (spec->bos >= 0) spec->prefix[spec->n_prefix++] = spec->bos;
    spec->kind = arena_printf(&spec->arena, "tekken, %d tokens", spec->n_vocab);
    return true;
}

/* The vocabulary is streamed, the small rest becomes a tree. */
static bool read_document(Tekken *t, Json *json, Arena *a) {
    JsonEvent ev = json_next(json);
    if (ev != JSON_OBJECT)
        return ev == JSON_FAIL ? (*t->e = json->err, false) : err_set(t->e, ERR_INPUT, "this is no JSON object");
    while ((ev = json_next(json)) == JSON_KEY) {
        bool vocab = str_is(json->str, "vocab");
        Value *to = str_is(json->str, "config") ? &t->config : str_is(json->str, "special_tokens") ? &t->special : NULL;
        if ((vocab && t->has_vocab) || (to && to->kind != VALUE_NULL))
            return err_set(t->e, ERR_INPUT, "key '%.*s' stands twice", STR_ARG(json->str));
        t->has_vocab |= vocab;
        if (vocab)
            TRY(read_vocab(t, json));
        else if (to)
            TRY(json_value(json, a, to, t->e));
        else if (!json_skip(json))
            break;
    }
    if (ev != JSON_OBJECT_END || json_next(json) != JSON_DONE) return *t->e = json->err, false;
    return true;
}

bool tekken_tok_spec_parse(Str file, TokSpec *spec, Err *e) {
    *spec = (TokSpec){
        .symbols = SYM_BYTES, .merge_by_text = true, .ignore_merges = true, .bos = -1, .eos = -1, .unk = -1, .pad = -1};
    Arena a = {0};
    Json json;
    Tekken t = {.spec = spec, .e = e, .bad_entry = -1};
    json_begin(&json, file);
    bool ok = read_document(&t, &json, &a) && take(&t);
    json_end(&json);
    arena_release(&a);
    buf_release(&t.bytes);
    if (!ok) tok_spec_release(spec);
    return ok;
}
