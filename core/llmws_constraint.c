/* Constraints: a grammar, or a JSON schema, over a model's vocabulary. */
#include <stdlib.h>

#include "core/llmws_objects.h"
#include "formats/json_schema.h"

struct LlmwsConstraint {
    LlmwsModel *m;
    Matcher *at;
    LlmwsConstraint *next, **link; /* link: what points here */
};

static LlmwsConstraint *constraint_new(LlmwsModel *m, Matcher *at) {
    LlmwsConstraint *c = mem_alloc(1, sizeof *c);
    *c = (LlmwsConstraint){m, at, m->open, &m->open};
    if (c->next) c->next->link = &c->next;
    return m->open = c;
}

size_t constraints_bytes(const LlmwsModel *m) {
    size_t bytes = m->open ? token_tries_bytes(&m->tries) : 0;
    for (const LlmwsConstraint *c = m->open; c; c = c->next) {
        const LlmwsConstraint *one = m->open;
        while (matcher_masker(one->at) != matcher_masker(c->at)) one = one->next;
        if (one == c) bytes += masker_bytes(matcher_masker(c->at));
    }
    return bytes;
}

/* The bytes of all tokens that are text: not special ones, nor those that end an answer or stand for unknown text. */
static bool vocabulary(LlmwsModel *m, Err *e) {
    if (m->tries.vocab) return true;
    LlmwsTokenizer *t = llmws_model_tokenizer(m, e);
    if (!t) return false;
    int32_t vocab = (int32_t)m->m.cfg.vocab, known = MIN(vocab, t->spec.n_vocab);
    Str *pieces = mem_alloc((size_t)vocab, sizeof *pieces);
    Buf all = {0};
    buf_put(&all, "", 0);
    for (int32_t id = 0; id < known; id++) {
        size_t before = all.n;
        if (id != t->spec.unk && !llmws_token_ends(m, id)) tokenizer_token_bytes(t->tok, id, false, &all);
        pieces[id].n = all.n - before;
    }
    const char *s = all.s;
    for (int32_t id = 0; id < vocab; s += pieces[id++].n) pieces[id].s = s;
    token_tries_make(&m->tries, pieces, vocab);
    buf_release(&all);
    free(pieces);
    return true;
}

LlmwsConstraint *llmws_constraint_open(LlmwsModel *m, const char *gbnf, size_t n, LlmwsErr *e) {
    Grammar g;
    int32_t ends[MAX_ENDS + 1];
    if (!vocabulary(m, e) || !grammar_parse((Str){gbnf, n}, &g, e)) return NULL;
    memcpy(ends, m->ends, m->n_ends * sizeof *ends);
    ends[m->n_ends] = m->tok->spec.eos;
    Masker *k = masker_make(&g, &m->tries, ends, m->n_ends + 1);
    Matcher *at = matcher_new(k, e);
    if (!at) return masker_free(k), NULL;
    return constraint_new(m, at);
}

char *llmws_schema_grammar(const char *json, size_t n, const char *what, LlmwsErr *e) {
    Buf out = {0};
    if (json_schema_to_gbnf((Str){json, n}, what, &out, e)) return out.s;
    buf_release(&out);
    return NULL;
}

LlmwsConstraint *llmws_constraint_fork(const LlmwsConstraint *c) { return constraint_new(c->m, matcher_fork(c->at)); }

void llmws_constraint_close(LlmwsConstraint *c) {
    if (!c) return;
    Masker *k = matcher_masker(c->at);
    matcher_free(c->at);
    if (!matchers_of(k)) masker_free(k);
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    free(c);
}

const uint64_t *llmws_constraint_allowed(LlmwsConstraint *c, LlmwsErr *e) { return matcher_mask(c->at, e); }
bool llmws_constraint_accept(LlmwsConstraint *c, int32_t id, LlmwsErr *e) { return matcher_accept(c->at, id, e); }
bool llmws_constraint_rewind(LlmwsConstraint *c, size_t n, LlmwsErr *e) { return matcher_rewind(c->at, n, e); }
size_t llmws_constraint_len(const LlmwsConstraint *c) { return matcher_len(c->at); }
bool llmws_constraint_must_end(const LlmwsConstraint *c) { return matcher_must_end(c->at); }

size_t llmws_constraint_bytes(const LlmwsConstraint *c) {
    return masker_bytes(matcher_masker(c->at)) + token_tries_bytes(&c->m->tries);
}
