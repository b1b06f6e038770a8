/* A TokSpec of byte-level BPE -> tokenizer.json, as the tokenizers package reads it. */
#include "formats/formats.h"
#include "formats/hf_tok.h"
#include "formats/json.h"

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

static bool put_normalizer(Buf *b, const TokSpec *spec, Err *e) {
    static const char *const names[] = {[NORM_NFC] = "NFC",
                                        [NORM_NFD] = "NFD",
                                        [NORM_NFKC] = "NFKC",
                                        [NORM_NFKD] = "NFKD",
                                        [NORM_LOWERCASE] = "Lowercase"};
    put_key(b, "normalizer");
    buf_str(b, spec->n_norms ? "{\"type\":\"Sequence\",\"normalizers\":[" : "null");
    for (int i = 0; i < spec->n_norms; i++) {
        if ((size_t)spec->norms[i].kind >= COUNT_OF(names))
            return err_set(e, ERR_INPUT, "normalizer %d of this tokenizer cannot be written", i);
        buf_printf(b, "%s{\"type\":\"%s\"}", i ? "," : "", names[spec->norms[i].kind]);
    }
    buf_str(b, spec->n_norms ? "]}" : "");
    return true;
}

static bool put_pre_tokenizer(Buf *b, const TokSpec *spec, Err *e) {
    static const char *const behaviors[] = {[SPLIT_ISOLATED] = "Isolated",
                                            [SPLIT_REMOVED] = "Removed",
                                            [SPLIT_WITH_PREVIOUS] = "MergedWithPrevious",
                                            [SPLIT_WITH_NEXT] = "MergedWithNext",
                                            [SPLIT_CONTIGUOUS] = "Contiguous"};
    put_key(b, "pre_tokenizer");
    buf_str(b, "{\"type\":\"Sequence\",\"pretokenizers\":[");
    for (int i = 0; i < spec->n_splits; i++) {
        const SplitSpec *s = &spec->splits[i];
        if (s->kind != SPLIT_REGEX && s->kind != SPLIT_TEXT)
            return err_set(e, ERR_INPUT, "pre-tokenizer %d of this tokenizer cannot be written", i);
        buf_printf(b, "{\"type\":\"Split\",\"pattern\":{\"%s\":", s->kind == SPLIT_REGEX ? "Regex" : "String");
        json_put_str(b, s->kind == SPLIT_REGEX ? str_of(s->pattern) : s->text);
        buf_printf(b, "},\"behavior\":\"%s\",\"invert\":%s},", behaviors[s->behavior], s->invert ? "true" : "false");
    }
    buf_str(b, "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}]}");
    return true;
}

static void put_post(Buf *b, const TokSpec *spec) {
    int n = spec->n_prefix + spec->n_suffix;
    put_key(b, "post_processor");
    if (!n) {
        buf_str(b, "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":false,\"use_regex\":true}");
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

static void put_model(Buf *b, const TokSpec *spec) {
    bool first = true;
    put_key(b, "model");
    buf_printf(
        b,
        "{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,"
        "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":%s,\"vocab\":{",
        spec->ignore_merges ? "true" : "false");
    for (int32_t id = 0; id < spec->n_vocab; id++) {
        if (!spec->vocab[id].n) continue;
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

bool hf_tok_write(const TokSpec *spec, Buf *b, Err *e) {
    if (spec->model != TOK_BPE || spec->symbols != SYM_ALPHABET || spec->merge_by_text || spec->unk >= 0)
        return err_set(e, ERR_INPUT, "a tokenizer of this kind cannot be written, only byte-level BPE: '%s'",
                       spec->kind);
    buf_str(b, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null");
    put_added(b, spec);
    TRY(put_normalizer(b, spec, e) && put_pre_tokenizer(b, spec, e));
    put_post(b, spec);
    put_key(b, "decoder");
    buf_str(b, "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true}");
    put_model(b, spec);
    buf_str(b, "}\n");
    return true;
}
