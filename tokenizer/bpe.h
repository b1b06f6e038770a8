/* Byte-level BPE: a piece of text becomes tokens by joining neighbours, the pair of lowest rank first, the leftmost of
 * equals first. Source: Sennrich, Haddow, Birch 2016, with bytes as the first symbols (Radford et al. 2019). */
#ifndef TOKENIZER_BPE_H
#define TOKENIZER_BPE_H

#include "tokenizer/vocab.h"

typedef struct Bpe {
    int32_t byte_id[256]; /* -1: the vocabulary lacks this byte */
    uint64_t *pairs;      /* open addressing: both ids + 1, 0 is free */
    uint32_t *ranks;      /* [slots] of the pair in the same slot */
    int shift;            /* 64 - log2(slots) */
    int32_t *joined;      /* [n_merges] what the pair of a rank becomes */
    int32_t unk;          /* -1: unknown bytes are left out */
    bool fuse_unk;
    bool whole_first; /* a piece that is a token is that token, whatever the merges say */
    Vocab whole;
    size_t whole_max; /* bytes of the longest token text */
} Bpe;

typedef struct BpeToken {
    int32_t id;
    uint32_t begin, end; /* bytes of the piece */
} BpeToken;

typedef struct BpeScratch { /* all-zero at first; reusable */
    BpeToken *tokens;
    size_t cap;
    struct BpeNode *nodes;
    uint64_t *heap;
    size_t nodes_cap, heap_n, heap_cap;
    Buf spelled;
} BpeScratch;

/* Tables from the spec's vocabulary and merges, in the arena. Tokens of `added` are never a piece's whole-word answer:
 * they are only found as added tokens. A merge whose parts or result are no tokens is an error. */
bool bpe_build(const TokSpec *spec, const bool *added, Arena *a, Bpe *out, Err *e);
/* The tokens of piece[0..n), n < 2^31, in s->tokens; returns their number. O(n log n). */
size_t bpe_encode(const Bpe *b, const char *piece, size_t n, BpeScratch *s);
void bpe_scratch_release(BpeScratch *s);

#endif
