/* Unigram: of all ways to spell a piece with tokens, the one whose scores have the greatest sum.
 * Source: Kudo 2018; Viterbi as SentencePiece's EncodeOptimized does it, forward over the characters. */
#ifndef TOKENIZER_UNIGRAM_H
#define TOKENIZER_UNIGRAM_H

#include "tokenizer/bpe.h"

typedef struct Unigram {
    Trie trie;
    const double *scores; /* [n_vocab], borrowed */
    const uint8_t *types; /* may be NULL */
    double unk_score, max_score;
    int32_t unk;
    int32_t byte_id[256];
    bool fallback, fuse_unk, f32;
    size_t text_max; /* bytes of the longest token */
} Unigram;

/* Tokens of `outside` (by id) are not found in text. Without scores or unk it is an error. */
bool unigram_build(const TokSpec *spec, const bool *outside, Arena *a, Unigram *out, Err *e);

typedef struct UnigramScratch { /* all-zero at first; reusable */
    struct UnigramBest *best;
    BpeToken *tokens;
    size_t best_cap, cap;
} UnigramScratch;

/* As bpe_encode. O(n) times the length of the longest token. */
size_t unigram_encode(const Unigram *u, const char *piece, size_t n, UnigramScratch *s);
void unigram_scratch_release(UnigramScratch *s);

#endif
