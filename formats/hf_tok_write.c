/* A TokSpec -> tokenizer.json, as the tokenizers package reads it: byte-level BPE, SentencePiece BPE, unigram. */
#include "formats/formats.h"
#include "formats/hf_tok.h"
#include "formats/json.h"

#include <stdio.h>

#define SPACE_MARK "\xe2\x96\x81" /* U+2581 */

static void put_key(Buf *b, const char *key) {
    if (b->n && b->s[b->n - 1] != '{') buf_char(b, ',');
    json_put_str(b, str_of(key));
    buf_char(b, ':');
}

static void put_added(Buf *b, const TokSpec *spec) {
    put_key(b, "added_tokens");
    buf_char(b, '[');
    for (int32_t i = 0; i < spec->n_added; i++) {
        const AddedToken *a = &spec->added[i];
        const struct {
            const char *name;
            bool on;
        } flags[] = {{"single_word", a->single_word},
                     {"lstrip", a->lstrip},
                     {"rstrip", a->rstrip},
                     {"normalized", a->normalized},
                     {"special", a->special}};
        buf_printf(b, "%s{\"id\":%d,\"content\":", i ? "," : "", a->id);
        json_put_str(b, a->text);
        for (size_t k = 0; k < COUNT_OF(flags); k++)
            buf_printf(b, ",\"%s\":%s", flags[k].name, flags[k].on ? "true" : "false");
        buf_char(b, '}');
    }
    buf_char(b, ']');
}

/* ---- what happens before the model ---- */

typedef struct Items { /* of a "Sequence" */
    Buf *b;
    int n;
} Items;

static void put_item(Items *x, const char *type) { buf_printf(x->b, "%s{\"type\":\"%s\"", x->n++ ? "," : "", type); }
static void item_str(Items *x, const char *key, Str s) {
    put_key(x->b, key);
    json_put_str(x->b, s);
}
static void item_bool(Items *x, const char *key, bool on) {
    put_key(x->b, key);
    buf_str(x->b, on ? "true" : "false");
}
static void item_pattern(Items *x, const char *pattern, Str text) {
    put_key(x->b, "pattern");
    buf_str(x->b, pattern ? "{\"Regex\":" : "{\"String\":");
    json_put_str(x->b, pattern ? str_of(pattern) : text);
    buf_char(x->b, '}');
}
static void item_end(Items *x) { buf_char(x->b, '}'); }

static Items put_sequence(Buf *b, const char *part, const char *list) {
    put_key(b, part);
    buf_printf(b, "{\"type\":\"Sequence\",\"%s\":[", list);
    return (Items){b, 0};
}

static void put_replace(Items *x, const char *pattern, Str from, Str to) {
    put_item(x, "Replace");
    item_pattern(x, pattern, from);
    item_str(x, "content", to);
    item_end(x);
}

static void put_prepend(Items *x, Str text) {
    put_item(x, "Prepend");
    item_str(x, "prepend", text);
    item_end(x);
}

static void put_charsmap(Items *x, Str map) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = (const uint8_t *)map.s;
    if (!map.n) return;
    put_item(x, "Precompiled");
    put_key(x->b, "precompiled_charsmap");
    buf_char(x->b, '"');
    for (size_t i = 0; i < map.n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)(i + 1 < map.n ? p[i + 1] : 0) << 8 |
                     (uint32_t)(i + 2 < map.n ? p[i + 2] : 0);
        for (size_t k = 0; k < 4; k++) buf_char(x->b, i + k <= map.n ? digits[v >> (18 - 6 * k) & 63] : '=');
    }
    buf_char(x->b, '"');
    item_end(x);
}

/* SentencePiece's own normalizer, as steps of the tokenizers package. */
static void put_spm(Items *x, const NormSpec *n) {
    put_charsmap(x, n->charsmap);
    if (n->space.remove_extra) {
        put_item(x, "Strip");
        item_bool(x, "strip_left", true);
        item_bool(x, "strip_right", true);
        item_end(x);
        put_replace(x, " {2,}", STR(""), STR(" "));
    }
    if (n->space.dummy_prefix) put_prepend(x, n->space.escape ? STR(SPACE_MARK) : STR(" "));
    if (n->space.escape) put_replace(x, NULL, STR(" "), STR(SPACE_MARK));
}

static bool put_norm(Items *x, const NormSpec *n) {
    static const char *const plain[] = {[NORM_NFC] = "NFC",
                                        [NORM_NFD] = "NFD",
                                        [NORM_NFKC] = "NFKC",
                                        [NORM_NFKD] = "NFKD",
                                        [NORM_LOWERCASE] = "Lowercase",
                                        [NORM_STRIP] = NULL,
                                        [NORM_STRIP_ACCENTS] = "StripAccents",
                                        [NORM_NMT] = "Nmt",
                                        [NORM_SPM] = NULL};
    if (n->kind == NORM_PREPEND) return put_prepend(x, n->text), true;
    if (n->kind == NORM_REPLACE) return put_replace(x, n->pattern, n->from, n->text), true;
    if (n->kind == NORM_CHARSMAP) return put_charsmap(x, n->charsmap), true;
    if (n->kind == NORM_SPM && !n->space.suffix) return put_spm(x, n), true;
    if (n->kind != NORM_STRIP && !plain[n->kind]) return false;
    put_item(x, n->kind == NORM_STRIP ? "Strip" : plain[n->kind]);
    if (n->kind == NORM_STRIP) item_bool(x, "strip_left", n->left), item_bool(x, "strip_right", n->right);
    item_end(x);
    return true;
}

static bool put_normalizer(Buf *b, const TokSpec *spec, Err *e) {
    if (!spec->n_norms) {
        put_key(b, "normalizer");
        buf_str(b, "null");
        return true;
    }
    Items x = put_sequence(b, "normalizer", "normalizers");
    for (int i = 0; i < spec->n_norms; i++)
        if (!put_norm(&x, &spec->norms[i]))
            return err_set(e, ERR_INPUT, "normalizer %d of this tokenizer cannot be written", i);
    buf_str(b, "]}");
    return true;
}

static bool put_split(Items *x, const SplitSpec *s) {
    static const char *const behaviors[] = {[SPLIT_ISOLATED] = "Isolated",
                                            [SPLIT_REMOVED] = "Removed",
                                            [SPLIT_WITH_PREVIOUS] = "MergedWithPrevious",
                                            [SPLIT_WITH_NEXT] = "MergedWithNext",
                                            [SPLIT_CONTIGUOUS] = "Contiguous"};
    if (s->kind != SPLIT_REGEX && s->kind != SPLIT_TEXT) return false;
    put_item(x, "Split");
    item_pattern(x, s->kind == SPLIT_REGEX ? s->pattern : NULL, s->text);
    item_str(x, "behavior", str_of(behaviors[s->behavior]));
    item_bool(x, "invert", s->invert);
    item_end(x);
    return true;
}

static bool put_pre_tokenizer(Buf *b, const TokSpec *spec, Err *e) {
    bool bytes = spec->symbols == SYM_ALPHABET;
    if (!spec->n_splits && !bytes) {
        put_key(b, "pre_tokenizer");
        buf_str(b, "null");
        return true;
    }
    Items x = put_sequence(b, "pre_tokenizer", "pretokenizers");
    for (int i = 0; i < spec->n_splits; i++)
        if (!put_split(&x, &spec->splits[i]))
            return err_set(e, ERR_INPUT, "pre-tokenizer %d of this tokenizer cannot be written", i);
    if (bytes) {
        put_item(&x, "ByteLevel");
        item_bool(&x, "add_prefix_space", false);
        item_bool(&x, "trim_offsets", true);
        item_bool(&x, "use_regex", false);
        item_end(&x);
    }
    buf_str(b, "]}");
    return true;
}

/* ---- what happens after it ---- */

static void put_post(Buf *b, const TokSpec *spec) {
    int n = spec->n_prefix + spec->n_suffix;
    put_key(b, "post_processor");
    if (!n) {
        buf_str(b, spec->symbols == SYM_ALPHABET ? "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,"
                                                   "\"trim_offsets\":false,\"use_regex\":true}"
                                                 : "null");
        return;
    }
    buf_str(b, "{\"type\":\"TemplateProcessing\",\"single\":[");
    for (int i = 0; i <= n; i++) {
        int32_t id = i < spec->n_prefix   ? spec->prefix[i]
                     : i > spec->n_prefix ? spec->suffix[i - spec->n_prefix - 1]
                                          : -1;
        buf_str(b, i ? "," : "");
        if (id < 0)
            buf_str(b, "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}");
        else
            buf_printf(b, "{\"SpecialToken\":{\"id\":\"%d\",\"type_id\":0}}", id);
    }
    buf_str(b, "],\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],"
               "\"special_tokens\":{");
    for (int i = 0, put = 0; i < n; i++) {
        int32_t id = i < spec->n_prefix ? spec->prefix[i] : spec->suffix[i - spec->n_prefix];
        bool again = false;
        for (int k = 0; k < i; k++)
            again |= id == (k < spec->n_prefix ? spec->prefix[k] : spec->suffix[k - spec->n_prefix]);
        if (again) continue;
        buf_printf(b, "%s\"%d\":{\"id\":\"%d\",\"ids\":[%d],\"tokens\":[", put++ ? "," : "", id, id, id);
        json_put_str(b, spec->vocab[id]);
        buf_str(b, "]}");
    }
    buf_str(b, "}}");
}

static void put_decode(Items *x, const DecodeSpec *d) {
    static const char *const names[] = {[DECODE_ALPHABET] = "ByteLevel", [DECODE_BYTE_FALLBACK] = "ByteFallback",
                                        [DECODE_REPLACE] = "Replace",    [DECODE_FUSE] = "Fuse",
                                        [DECODE_STRIP] = "Strip",        [DECODE_METASPACE] = "Metaspace"};
    if (d->kind == DECODE_JOIN) return; /* what no decoder at all does */
    put_item(x, names[d->kind]);
    switch (d->kind) {
    case DECODE_ALPHABET:
        item_bool(x, "add_prefix_space", true);
        item_bool(x, "trim_offsets", true);
        item_bool(x, "use_regex", true);
        break;
    case DECODE_REPLACE:
        item_pattern(x, NULL, d->from);
        item_str(x, "content", d->text);
        break;
    case DECODE_STRIP:
        item_str(x, "content", d->from);
        put_key(x->b, "start");
        buf_printf(x->b, "%d", d->start);
        put_key(x->b, "stop");
        buf_printf(x->b, "%d", d->stop);
        break;
    case DECODE_METASPACE:
        item_str(x, "replacement", d->from);
        item_str(x, "prepend_scheme", d->start ? STR("always") : STR("never"));
        item_bool(x, "split", true);
        break;
    default: break;
    }
    item_end(x);
}

static void put_decoder(Buf *b, const TokSpec *spec) {
    if (!spec->n_decodes || spec->decodes[0].kind == DECODE_JOIN) {
        put_key(b, "decoder");
        buf_str(b, "null");
        return;
    }
    Items x = put_sequence(b, "decoder", "decoders");
    for (int i = 0; i < spec->n_decodes; i++) put_decode(&x, &spec->decodes[i]);
    buf_str(b, "]}");
}

/* ---- the model ---- */

/* An id without a token, as GGUF files call it. */
static bool is_filler(Str text, int32_t id) {
    char name[32];
    return str_starts(text, "[PAD") && snprintf(name, sizeof name, "[PAD%d]", id) > 0 && str_is(text, name);
}

static void put_bpe(Buf *b, const TokSpec *spec) {
    bool first = true;
    buf_str(b, "{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    if (spec->unk >= 0)
        json_put_str(b, spec->vocab[spec->unk]);
    else
        buf_str(b, "null");
    buf_printf(b,
               ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":%s,"
               "\"byte_fallback\":%s,\"ignore_merges\":%s,\"vocab\":{",
               spec->fuse_unk ? "true" : "false", spec->byte_fallback ? "true" : "false",
               spec->ignore_merges ? "true" : "false");
    for (int32_t id = 0; id < spec->n_vocab; id++) {
        if (!spec->vocab[id].n || is_filler(spec->vocab[id], id)) continue;
        buf_str(b, first ? "" : ",");
        json_put_str(b, spec->vocab[id]);
        buf_printf(b, ":%d", id);
        first = false;
    }
    buf_str(b, "},\"merges\":[");
    size_t cursor = 0;
    Value line;
    for (int32_t i = 0; value_next(spec->late_merges, &cursor, &line); i++) {
        if (i) buf_char(b, ',');
        json_put_str(b, line.s);
    }
    for (int32_t i = 0; i < spec->n_merges && !spec->late_merges; i++) {
        buf_str(b, i ? ",[" : "[");
        json_put_str(b, spec->merges[i][0]);
        buf_char(b, ',');
        json_put_str(b, spec->merges[i][1]);
        buf_char(b, ']');
    }
    buf_str(b, "]}");
}

/* Ids are places in the list: one that is left out would move the others. */
static void put_unigram(Buf *b, const TokSpec *spec) {
    int32_t n = spec->n_vocab;
    while (n && (!spec->vocab[n - 1].n || is_filler(spec->vocab[n - 1], n - 1))) n--;
    buf_printf(b, "{\"type\":\"Unigram\",\"unk_id\":");
    buf_printf(b, spec->unk >= 0 ? "%d" : "null", spec->unk);
    buf_printf(b, ",\"byte_fallback\":%s,\"vocab\":[", spec->byte_fallback ? "true" : "false");
    for (int32_t id = 0; id < n; id++) {
        buf_str(b, id ? ",[" : "[");
        json_put_str(b, spec->vocab[id]);
        buf_char(b, ',');
        json_put_float(b, spec->scores[id]);
        buf_char(b, ']');
    }
    buf_str(b, "]}");
}

bool hf_tok_write(TokSpec *spec, Buf *b, Err *e) {
    bool alphabet = spec->symbols == SYM_ALPHABET, unigram = spec->model == TOK_UNIGRAM;
    if (spec->symbols == SYM_BYTES || (alphabet && (unigram || spec->merge_by_text || spec->unk >= 0)) ||
        (unigram && !spec->scores))
        return err_set(e, ERR_INPUT, "a tokenizer of this kind cannot be written as tokenizer.json: '%s'", spec->kind);
    if (!unigram && spec->merge_by_text) tok_merges(spec);
    buf_str(b, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null");
    put_added(b, spec);
    TRY(put_normalizer(b, spec, e) && put_pre_tokenizer(b, spec, e));
    put_post(b, spec);
    put_decoder(b, spec);
    put_key(b, "model");
    if (unigram)
        put_unigram(b, spec);
    else
        put_bpe(b, spec);
    buf_str(b, "}\n");
    return true;
}

/* ---- the files beside it ---- */

static void put_token(Buf *b, const TokSpec *spec, const char *key, int32_t id) {
    if (id < 0) return;
    put_key(b, key);
    json_put_str(b, spec->vocab[id]);
}

static void put_tokens(Buf *b, const TokSpec *spec) {
    put_token(b, spec, "bos_token", spec->bos);
    put_token(b, spec, "eos_token", spec->eos);
    put_token(b, spec, "unk_token", spec->unk);
    put_token(b, spec, "pad_token", spec->pad);
}

void hf_tok_config_write(const TokSpec *spec, int64_t ctx, Buf *config, Buf *special) {
    buf_char(config, '{');
    put_tokens(config, spec);
    put_key(config, "add_bos_token");
    buf_str(config, spec->n_prefix ? "true" : "false");
    put_key(config, "add_eos_token");
    buf_str(config, spec->n_suffix ? "true" : "false");
    put_key(config, "clean_up_tokenization_spaces");
    buf_str(config, "false");
    put_key(config, "model_max_length");
    buf_printf(config, "%lld", (long long)ctx);
    put_key(config, "tokenizer_class");
    buf_str(config, "\"PreTrainedTokenizerFast\"}\n");
    buf_char(special, '{');
    put_tokens(special, spec);
    buf_str(special, "}\n");
}
