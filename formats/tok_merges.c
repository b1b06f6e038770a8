/* Merges for a vocabulary that has none of its own: SentencePiece joins whichever two neighbours are spelled like a
 * token, the best token first. The same written as a list: every way to cut a token into two others, in the order of
 * the tokens. */
#include "formats/formats.h"
#include "formats/hf_tok.h"

#include <stdlib.h>

typedef struct Cut {
    double rank; /* the lower the sooner */
    int32_t token, left, right;
} Cut;

static int compare_cut(const void *a, const void *b) {
    const Cut *x = a, *y = b;
    if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
    if (x->token != y->token) return x->token < y->token ? -1 : 1;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    return (x->right > y->right) - (x->right < y->right);
}

/* Added tokens and bytes are never parts. */
static bool joins(const TokSpec *spec, int32_t id) {
    uint8_t type = spec->types ? spec->types[id] : TOK_NORMAL;
    return spec->vocab[id].n && (type == TOK_NORMAL || type == TOK_UNUSED);
}

static void cut_token(const TokSpec *spec, const StrMap *ids, int32_t token, Buf *out) {
    Str text = spec->vocab[token];
    double rank = spec->scores ? -spec->scores[token] : token;
    for (size_t i = 1; i < text.n; i++) {
        Str left = {text.s, i}, right = {text.s + i, text.n - i};
        Cut c = {rank, token, strmap_get(ids, left), strmap_get(ids, right)};
        if (c.left >= 0 && c.right >= 0) buf_put(out, &c, sizeof c);
    }
}

void tok_merges(TokSpec *spec) {
    StrMap ids = {0};
    Arena names = {0};
    Buf found = {0};
    for (int32_t id = 0; id < spec->n_vocab; id++)
        if (joins(spec, id)) strmap_put(&ids, &names, spec->vocab[id], id);
    for (int32_t id = 0; id < spec->n_vocab; id++)
        if (joins(spec, id)) cut_token(spec, &ids, id, &found);
    size_t n = found.n / sizeof(Cut);
    Cut *cuts = (Cut *)(void *)found.s;
    if (n) qsort(cuts, n, sizeof *cuts, compare_cut);
    spec->n_merges = (int32_t)n;
    spec->merges = arena_alloc(&spec->arena, n, sizeof *spec->merges);
    for (size_t i = 0; i < n; i++) {
        spec->merges[i][0] = spec->vocab[cuts[i].left];
        spec->merges[i][1] = spec->vocab[cuts[i].right];
    }
    spec->merge_by_text = false;
    buf_release(&found);
    arena_release(&names);
}

void tok_scores(TokSpec *spec) {
    StrMap ranks = {0};
    Arena names = {0};
    Buf text = {0};
    spec->scores = ARENA_NEW(&spec->arena, double, spec->n_vocab);
    for (int32_t i = 0; i < spec->n_merges; i++) {
        buf_clear(&text);
        buf_put(&text, spec->merges[i][0].s, spec->merges[i][0].n);
        buf_put(&text, spec->merges[i][1].s, spec->merges[i][1].n);
        Str key = {arena_strn(&names, text.s, text.n), text.n};
        strmap_put(&ranks, &names, key, i);
    }
    for (int32_t id = 0; id < spec->n_vocab; id++) {
        int32_t rank = spec->vocab[id].n ? strmap_get(&ranks, spec->vocab[id]) : -1;
        spec->scores[id] = rank >= 0 ? -(double)rank : -(double)spec->n_merges;
    }
    buf_release(&text);
    arena_release(&names);
}
