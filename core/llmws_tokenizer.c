/* Tokenizers: text to ids and back, incrementally too; training one. */
#include <stdlib.h>

#include "core/llmws_objects.h"
#include "formats/json.h"
#include "tokenizer/trainer.h"

struct LlmwsDecoder {
    TokDecoder tokens;
    Utf8Hold hold;
    Buf bytes, text;
};
LlmwsTokenizer *llmws_tokenizer_finish(LlmwsTokenizer *t, const char *path, Err *e) {
    if (tokenizer_new(&t->spec, &t->tok, e)) return t;
    llmws_tokenizer_close(t);
    err_prefix(e, "cannot use the tokenizer of '%s'", path);
    return NULL;
}

LlmwsTokenizer *llmws_tokenizer_open(const char *path, LlmwsErr *e) {
    LlmwsTokenizer *t = mem_alloc(1, sizeof *t);
    if (tok_spec_open(path, &t->spec, &t->file, e)) return llmws_tokenizer_finish(t, path, e);
    free(t);
    return NULL;
}

void llmws_tokenizer_close(LlmwsTokenizer *t) {
    if (!t) return;
    tokenizer_free(t->tok);
    tok_spec_release(&t->spec);
    if (t->file.close) t->file.close(&t->file);
    buf_release(&t->piece);
    free(t);
}

bool llmws_tokenize(LlmwsTokenizer *t, const char *text, size_t n, int flags, LlmwsTokens *out, LlmwsErr *e) {
    TokenList list = {0};
    if (!tokenizer_encode(t->tok, (Str){text, n}, flags, &list, e)) return token_list_release(&list), false;
    *out = (LlmwsTokens){list.ids, list.offsets, list.n};
    return true;
}

void llmws_tokens_free(LlmwsTokens *tokens) {
    free(tokens->ids);
    free(tokens->offsets);
    *tokens = (LlmwsTokens){0};
}

char *llmws_detokenize(LlmwsTokenizer *t, const int32_t *ids, size_t n, int flags, size_t *len, LlmwsErr *e) {
    TokDecoder d = tokenizer_decoder(t->tok, flags & LLMWS_TEXT_SPECIAL, flags & LLMWS_TEXT_BEGINS);
    Buf out = {0};
    buf_put(&out, "", 0);
    for (size_t i = 0; i < n; i++)
        if (!tokenizer_decode(&d, ids[i], &out)) {
            buf_release(&out);
            err_set(e, ERR_USAGE, "token id %d is outside the vocabulary of %d", ids[i], t->spec.n_vocab);
            return NULL;
        }
    *len = out.n;
    return out.s;
}

int32_t llmws_token_count(const LlmwsTokenizer *t) { return t->spec.n_vocab; }
const char *llmws_tokenizer_kind(const LlmwsTokenizer *t) { return t->spec.kind; }
bool llmws_tokenizer_has_template(const LlmwsTokenizer *t) { return t->spec.n_templates > 0; }

const char *llmws_tokenizer_template(const LlmwsTokenizer *t, size_t i, const char **name) {
    if (i >= (size_t)t->spec.n_templates) return NULL;
    *name = t->spec.templates[i].name;
    return t->spec.templates[i].text;
}

const char *llmws_token_piece(LlmwsTokenizer *t, int32_t id) {
    buf_clear(&t->piece);
    if (id >= 0 && id < t->spec.n_vocab) buf_put(&t->piece, t->spec.vocab[id].s, t->spec.vocab[id].n);
    return t->piece.s ? t->piece.s : "";
}

static bool train_texts(Trainer *t, const LlmwsTrainTokenizer *opt, const char *path, Err *e) {
    TokSpec spec;
    Buf json = {0};
    for (size_t i = 0; i < opt->n; i++) TRY(trainer_feed(t, (Str){opt->texts[i], opt->lengths[i]}, e));
    TRY(trainer_finish(t, &spec, e));
    bool ok = hf_tok_write(&spec, &json, e) && write_text_file(path, buf_view(&json), e);
    buf_release(&json);
    tok_spec_release(&spec);
    return ok;
}

bool llmws_train_tokenizer(const LlmwsTrainTokenizer *opt, const char *path, LlmwsErr *e) {
    TokSpec how = {.n_splits = 1, .splits = {{.kind = SPLIT_REGEX, .pattern = tok_default_split}}};
    Trainer *t;
    if (opt->vocab < 1 || opt->vocab > INT32_MAX / 2 || opt->n_special > (size_t)opt->vocab)
        return err_set(e, ERR_USAGE, "cannot train a tokenizer of %lld tokens", (long long)opt->vocab);
    Str *special = mem_alloc(opt->n_special + 1, sizeof *special);
    for (size_t i = 0; i < opt->n_special; i++) special[i] = str_of(opt->special[i]);
    TrainerOptions to = {.how = &how,
                         .special = special,
                         .n_special = (int32_t)opt->n_special,
                         .vocab = (int32_t)opt->vocab,
                         .min_count = opt->min_count ? opt->min_count : 2};
    bool ok = trainer_new(&to, &t, e);
    if (ok) ok = train_texts(t, opt, path, e);
    trainer_free(t);
    free(special);
    return ok;
}

int64_t llmws_dry_breaker(LlmwsTokenizer *t, const char *text, unsigned char *breaks, int64_t vocab) {
    int64_t found = 0;
    for (int32_t id = 0; id < MIN(vocab, t->spec.n_vocab); id++) {
        buf_clear(&t->piece);
        if (!*text || !tokenizer_token_bytes(t->tok, id, true, &t->piece) || !t->piece.n) continue;
        if (memmem(t->piece.s, t->piece.n, text, strlen(text))) breaks[id] = 1, found++;
    }
    return found;
}

LlmwsDecoder *llmws_decoder_open(LlmwsTokenizer *t, int flags) {
    LlmwsDecoder *d = mem_alloc(1, sizeof *d);
    d->tokens = tokenizer_decoder(t->tok, flags & LLMWS_TEXT_SPECIAL, flags & LLMWS_TEXT_BEGINS);
    return d;
}

const char *llmws_decoder_push(LlmwsDecoder *d, int32_t id, size_t *len) {
    buf_clear(&d->bytes);
    buf_clear(&d->text);
    tokenizer_decode(&d->tokens, id, &d->bytes);
    utf8_hold_push(&d->hold, d->bytes.s, d->bytes.n, &d->text);
    *len = d->text.n;
    return d->text.s ? d->text.s : "";
}

const char *llmws_decoder_flush(LlmwsDecoder *d, size_t *len) {
    buf_clear(&d->text);
    utf8_hold_flush(&d->hold, &d->text);
    *len = d->text.n;
    return d->text.s ? d->text.s : "";
}

void llmws_decoder_close(LlmwsDecoder *d) {
    if (!d) return;
    buf_release(&d->bytes);
    buf_release(&d->text);
    free(d);
}
