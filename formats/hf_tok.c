/* tokenizer.json -> TokSpec. The vocabulary and the merges are streamed, the small rest becomes a tree. Format: the
 * serialisation of the tokenizers package; a part of it that would change ids or text and is not known is an error. */
#include "formats/hf_tok.h"

#include <stdlib.h>

#include "formats/formats.h"
#include "formats/json.h"

typedef struct Entry {
    Str text;
    int64_t id;
    double score; /* of Unigram */
} Entry;

typedef struct Reader {
    Json json;
    TokSpec *spec;
    Err *e;
    char *pool; /* the spec's copy of all texts of the vocabulary and merges: never longer than the document */
    size_t pooled;
    Buf vocab, merges; /* of Entry, of Str[2] */
    bool vocab_seen, scores_seen, merges_seen;
    Value added, normalizer, pre, post, decoder;
    Value type, dropout, unk, unk_id, prefix, suffix, fallback, fuse, ignore; /* of the model */
} Reader;

static bool json_failed(Reader *r) {
    if (r->e) *r->e = r->json.err;
    return false;
}

static Str keep(Reader *r, Str s) {
    char *to = r->pool + r->pooled;
    if (s.n) memcpy(to, s.s, s.n);
    r->pooled += s.n;
    return (Str){to, s.n};
}

/* The rest of the value whose first event was ev. */
static bool skip_rest(Reader *r, JsonEvent ev) {
    int depth = r->json.depth - 1;
    if (ev == JSON_FAIL) return json_failed(r);
    if (ev != JSON_ARRAY && ev != JSON_OBJECT) return true;
    while (r->json.depth > depth)
        if (json_next(&r->json) == JSON_FAIL) return json_failed(r);
    return true;
}

/* ---- the stream ---- */

static bool bad_piece(Reader *r, int64_t id) {
    return err_set(r->e, ERR_INPUT, "piece %lld of the vocabulary is not a text and a number", (long long)id);
}

/* Unigram: [["text", score], ...], in the order of the ids. */
static bool read_pieces(Reader *r) {
    JsonEvent ev;
    int64_t id = 0;
    r->scores_seen = true;
    for (; (ev = json_next(&r->json)) == JSON_ARRAY; id++) {
        Entry entry = {.id = id};
        if ((ev = json_next(&r->json)) != JSON_STR) return ev == JSON_FAIL ? json_failed(r) : bad_piece(r, id);
        entry.text = keep(r, r->json.str);
        ev = json_next(&r->json);
        if (ev != JSON_INT && ev != JSON_FLOAT) return ev == JSON_FAIL ? json_failed(r) : bad_piece(r, id);
        entry.score = ev == JSON_INT ? (double)r->json.i : r->json.f;
        if ((ev = json_next(&r->json)) != JSON_ARRAY_END) return ev == JSON_FAIL ? json_failed(r) : bad_piece(r, id);
        buf_put(&r->vocab, &entry, sizeof entry);
    }
    return ev == JSON_ARRAY_END || (ev == JSON_FAIL ? json_failed(r) : bad_piece(r, id));
}

static bool read_vocab(Reader *r) {
    JsonEvent ev = json_next(&r->json);
    r->vocab_seen = true;
    if (ev == JSON_ARRAY) return read_pieces(r);
    if (ev != JSON_OBJECT) return ev == JSON_FAIL ? json_failed(r) : err_set(r->e, ERR_INPUT, "'vocab' is no object");
    while ((ev = json_next(&r->json)) == JSON_KEY) {
        Entry entry = {.text = keep(r, r->json.str)};
        ev = json_next(&r->json);
        if (ev == JSON_FAIL) return json_failed(r);
        if (ev != JSON_INT)
            return err_set(r->e, ERR_INPUT, "the id of token '%.*s' is not a whole number", STR_ARG(entry.text));
        entry.id = r->json.i;
        buf_put(&r->vocab, &entry, sizeof entry);
    }
    return ev == JSON_OBJECT_END || json_failed(r);
}

static bool bad_merge(Reader *r) {
    return err_set(r->e, ERR_INPUT, "merge %zu is not two texts", r->merges.n / sizeof(Str[2]));
}

/* "a b" or ["a", "b"]. */
static bool read_merge(Reader *r, JsonEvent ev) {
    Str both[2];
    if (ev == JSON_STR) {
        if (str_starts(r->json.str, "#version")) return true;
        const char *space = r->json.str.n ? memchr(r->json.str.s, ' ', r->json.str.n) : NULL;
        if (!space) return bad_merge(r);
        size_t n = (size_t)(space - r->json.str.s);
        both[0] = keep(r, (Str){r->json.str.s, n});
        both[1] = keep(r, (Str){space + 1, r->json.str.n - n - 1});
        if (both[1].n && memchr(both[1].s, ' ', both[1].n)) return bad_merge(r);
    } else if (ev == JSON_ARRAY) {
        for (int i = 0; i < 2; i++) {
            if ((ev = json_next(&r->json)) == JSON_FAIL) return json_failed(r);
            if (ev != JSON_STR) return bad_merge(r);
            both[i] = keep(r, r->json.str);
        }
        if ((ev = json_next(&r->json)) == JSON_FAIL) return json_failed(r);
        if (ev != JSON_ARRAY_END) return bad_merge(r);
    } else {
        return ev == JSON_FAIL ? json_failed(r) : bad_merge(r);
    }
    buf_put(&r->merges, both, sizeof both);
    return true;
}

static bool read_merges(Reader *r) {
    JsonEvent ev = json_next(&r->json);
    if (ev != JSON_ARRAY) return skip_rest(r, ev);
    r->merges_seen = true;
    while ((ev = json_next(&r->json)) != JSON_ARRAY_END) TRY(read_merge(r, ev));
    return true;
}

/* A member of the document or of the model that is kept as a tree, or passed over where `to` is NULL. */
static bool read_small(Reader *r, Value *to) {
    if (!to) return json_skip(&r->json) || json_failed(r);
    return json_value(&r->json, &r->spec->arena, to, r->e);
}

static bool twice(Reader *r, const char *key) { return err_set(r->e, ERR_INPUT, "key '%s' stands twice", key); }

static bool read_model(Reader *r) {
    const struct {
        const char *key;
        Value *to;
    } rows[] = {
        {"type", &r->type},
        {"dropout", &r->dropout},
        {"unk_token", &r->unk},
        {"unk_id", &r->unk_id},
        {"continuing_subword_prefix", &r->prefix},
        {"end_of_word_suffix", &r->suffix},
        {"byte_fallback", &r->fallback},
        {"fuse_unk", &r->fuse},
        {"ignore_merges", &r->ignore},
    };
    JsonEvent ev = json_next(&r->json);
    if (ev != JSON_OBJECT) return ev == JSON_FAIL ? json_failed(r) : err_set(r->e, ERR_INPUT, "'model' is no object");
    while ((ev = json_next(&r->json)) == JSON_KEY) {
        Value *to = NULL;
        if (str_is(r->json.str, "vocab")) {
            if (r->vocab_seen) return twice(r, "vocab");
            TRY(read_vocab(r));
            continue;
        }
        if (str_is(r->json.str, "merges")) {
            if (r->merges_seen) return twice(r, "merges");
            TRY(read_merges(r));
            continue;
        }
        for (size_t i = 0; i < COUNT_OF(rows); i++)
            if (str_is(r->json.str, rows[i].key)) to = rows[i].to;
        TRY(read_small(r, to));
    }
    return ev == JSON_OBJECT_END || json_failed(r);
}

static bool read_document(Reader *r) {
    JsonEvent ev = json_next(&r->json);
    bool model = false;
    if (ev != JSON_OBJECT) return ev == JSON_FAIL ? json_failed(r) : err_set(r->e, ERR_INPUT, "this is no JSON object");
    while ((ev = json_next(&r->json)) == JSON_KEY) {
        Str key = r->json.str;
        if (str_is(key, "model")) {
            if (model) return twice(r, "model");
            model = true;
            TRY(read_model(r));
        } else { /* truncation and padding are for batches of the package's user: not part of the model */
            TRY(read_small(r, str_is(key, "added_tokens")     ? &r->added
                              : str_is(key, "normalizer")     ? &r->normalizer
                              : str_is(key, "pre_tokenizer")  ? &r->pre
                              : str_is(key, "post_processor") ? &r->post
                              : str_is(key, "decoder")        ? &r->decoder
                                                              : NULL));
        }
    }
    if (ev == JSON_FAIL || json_next(&r->json) != JSON_DONE) return json_failed(r);
    return model || err_set(r->e, ERR_INPUT, "it has no 'model'");
}

static bool unsupported(Reader *r, const char *part, Str type, const char *known) {
    return err_set(r->e, ERR_INPUT, "%s type '%.*s' is not supported, only %s", part, STR_ARG(type), known);
}

static bool get_str(const Value *v, const char *key, Str *out, Err *e) {
    return value_as_str(value_get(v, key), key, out, e);
}
static bool get_bool(const Value *v, const char *key, bool *out, Err *e) {
    return value_as_bool(value_get(v, key), key, out, e);
}

/* ---- the tables ---- */

static bool take_bpe(Reader *r) {
    TokSpec *spec = r->spec;
    Str text[2] = {{"", 0}, {"", 0}};
    double dropout = 0;
    Err *e = r->e;
    TRY(value_as_float(&r->dropout, "dropout", &dropout, e) &&
        value_as_str(&r->prefix, "continuing_subword_prefix", &text[0], e) &&
        value_as_str(&r->suffix, "end_of_word_suffix", &text[1], e) &&
        value_as_bool(&r->fuse, "fuse_unk", &spec->fuse_unk, e) &&
        value_as_bool(&r->ignore, "ignore_merges", &spec->ignore_merges, e));
    if (dropout != 0)
        return err_set(e, ERR_INPUT, "a model with dropout is not supported: it gives other ids each time");
    for (int i = 0; i < 2; i++)
        if (text[i].n)
            return err_set(e, ERR_INPUT, "a model with the %s '%.*s' is not supported",
                           i ? "end_of_word_suffix" : "continuing_subword_prefix", STR_ARG(text[i]));
    if (!r->vocab_seen || r->scores_seen) return err_set(e, ERR_INPUT, "the model has no 'vocab' object");
    return r->merges_seen || err_set(e, ERR_INPUT, "the model has no list 'merges'");
}

static bool take_model(Reader *r) {
    TokSpec *spec = r->spec;
    Str type = {"", 0};
    TRY(value_as_str(&r->type, "type", &type, r->e) &&
        value_as_bool(&r->fallback, "byte_fallback", &spec->byte_fallback, r->e));
    if (!type.n) type = r->scores_seen ? STR("Unigram") : STR("BPE"); /* old files name no type */
    if (str_is(type, "BPE")) return take_bpe(r);
    if (!str_is(type, "Unigram")) return unsupported(r, "model", type, "BPE and Unigram");
    spec->model = TOK_UNIGRAM;
    spec->fuse_unk = true;
    return r->scores_seen || err_set(r->e, ERR_INPUT, "the model has no list 'vocab'");
}

static bool take_added_token(Reader *r, const Value *v, AddedToken *out) {
    int64_t id = -1;
    *out = (AddedToken){.text = {"", 0}};
    TRY(value_as_int(value_get(v, "id"), "id", &id, r->e) && get_str(v, "content", &out->text, r->e) &&
        get_bool(v, "special", &out->special, r->e) && get_bool(v, "lstrip", &out->lstrip, r->e) &&
        get_bool(v, "rstrip", &out->rstrip, r->e) && get_bool(v, "normalized", &out->normalized, r->e) &&
        get_bool(v, "single_word", &out->single_word, r->e));
    /* Every entry takes bytes of the file: an id far beyond them would only make tables for nothing. */
    if (id < 0 || (uint64_t)id > r->json.text.n)
        return err_set(r->e, ERR_INPUT, "added token '%.*s' has the id %lld, out of range in a file of %zu bytes",
                       STR_ARG(out->text), (long long)id, r->json.text.n);
    out->id = (int32_t)id;
    return true;
}

static bool take_added(Reader *r) {
    TokSpec *spec = r->spec;
    size_t n = value_count(&r->added);
    if (r->added.kind != VALUE_NULL && r->added.kind != VALUE_ARRAY)
        return err_set(r->e, ERR_INPUT, "'added_tokens' is no list");
    spec->added = ARENA_NEW(&spec->arena, AddedToken, n);
    for (size_t i = 0; i < n; i++) {
        TRY(take_added_token(r, &r->added.array.items[i], &spec->added[spec->n_added]));
        spec->n_added += spec->added[spec->n_added].text.n > 0; /* the package passes over empty ones too */
    }
    return true;
}

static bool put_token(Reader *r, Str text, int64_t id) {
    Str *slot = &r->spec->vocab[id];
    if (!slot->n) return *slot = text, true;
    return str_eq(*slot, text) || err_set(r->e, ERR_INPUT, "id %lld has two tokens, '%.*s' and '%.*s'", (long long)id,
                                          STR_ARG(*slot), STR_ARG(text));
}

static bool take_tables(Reader *r) {
    TokSpec *spec = r->spec;
    const Entry *entries = (const Entry *)(void *)r->vocab.s;
    size_t n = r->vocab.n / sizeof *entries;
    int64_t top = -1;
    TRY(take_added(r));
    for (size_t i = 0; i < n; i++) {
        if (entries[i].id < 0 || (uint64_t)entries[i].id > r->json.text.n)
            return err_set(r->e, ERR_INPUT, "token '%.*s' has the id %lld, out of range in a file of %zu bytes",
                           STR_ARG(entries[i].text), (long long)entries[i].id, r->json.text.n);
        top = MAX(top, entries[i].id);
    }
    for (int32_t i = 0; i < spec->n_added; i++) top = MAX(top, spec->added[i].id);
    if (top < 0) return err_set(r->e, ERR_INPUT, "the vocabulary is empty");
    spec->n_vocab = (int32_t)top + 1;
    spec->vocab = ARENA_NEW(&spec->arena, Str, spec->n_vocab);
    if (r->scores_seen) spec->scores = ARENA_NEW(&spec->arena, double, spec->n_vocab);
    for (size_t i = 0; i < n; i++) {
        TRY(put_token(r, entries[i].text, entries[i].id));
        if (spec->scores) spec->scores[entries[i].id] = entries[i].score;
    }
    for (int32_t i = 0; i < spec->n_added; i++) {
        AddedToken *a = &spec->added[i];
        a->outside = !spec->vocab[a->id].n;
        TRY(put_token(r, a->text, a->id));
    }
    spec->n_merges = (int32_t)(r->merges.n / sizeof(Str[2]));
    spec->merges = arena_alloc(&spec->arena, (size_t)spec->n_merges, sizeof *spec->merges);
    if (r->merges.n) memcpy(spec->merges, r->merges.s, r->merges.n);
    return true;
}

static bool take_unk(Reader *r) {
    TokSpec *spec = r->spec;
    Str text = {"", 0};
    int64_t id = -1;
    if (spec->model == TOK_UNIGRAM) {
        TRY(value_as_int(&r->unk_id, "unk_id", &id, r->e));
        if (id < -1 || id >= spec->n_vocab)
            return err_set(r->e, ERR_INPUT, "the unk_id %lld is outside the vocabulary of %d", (long long)id,
                           spec->n_vocab);
        spec->unk = (int32_t)id;
        return true;
    }
    TRY(value_as_str(&r->unk, "unk_token", &text, r->e));
    spec->unk = text.n ? tok_spec_find(spec, text) : -1;
    return !text.n || spec->unk >= 0 ||
           err_set(r->e, ERR_INPUT, "the unk_token '%.*s' is not in the vocabulary", STR_ARG(text));
}

static bool read_spec(Reader *r) {
    TokSpec *spec = r->spec;
    const HfTokParts parts = {&r->normalizer, &r->pre, &r->post, &r->decoder};
    TRY(read_document(r) && take_model(r) && take_tables(r) && take_unk(r) && hf_tok_parts(&parts, spec, r->e));
    spec->kind = tok_spec_kind(spec);
    return true;
}

bool hf_tok_spec_parse(Str json, TokSpec *spec, Err *e) {
    *spec = (TokSpec){.symbols = SYM_CHARS, .bos = -1, .eos = -1, .unk = -1, .pad = -1};
    if (json.n > INT32_MAX) return err_set(e, ERR_INPUT, "%zu bytes are too large for a tokenizer.json", json.n);
    Reader r = {.spec = spec, .e = e};
    r.pool = arena_alloc(&spec->arena, json.n, 1);
    json_begin(&r.json, json);
    bool ok = read_spec(&r);
    json_end(&r.json);
    buf_release(&r.vocab);
    buf_release(&r.merges);
    if (!ok) tok_spec_release(spec);
    return ok;
}
