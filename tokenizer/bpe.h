/* BPE: a piece of text becomes tokens by joining neighbours, the best pair first, the leftmost of equals first. Symbols
 * are bytes (Radford et al. 2019) or characters (Sennrich, Haddow, Birch 2016); which pairs join says a list of merges,
 * or the vocabulary itself: SentencePiece (Kudo, Richardson 2018) and tiktoken join whatever is spelled like a token.
 */
#ifndef TOKENIZER_BPE_H
#define TOKENIZER_BPE_H

#include "tokenizer/trie.h"
#include "tokenizer/vocab.h"

typedef struct Bpe {
    TokSymbols symbols;
    int32_t byte_id[256];  /* the token of a byte; with characters: of <0x41>, where byte_fallback; -1: none */
    int32_t ascii_id[128]; /* characters: the token of a letter */
    bool fallback;         /* all of byte_id are there */
    bool by_text;
    uint16_t *cuts;      /* [n_merges] bytes of the left part, where all merges that make a token stand together; ... */
    uint32_t *first_cut; /* ... [n_vocab] the rank of the first one ... */
    uint16_t *n_cuts;    /* ... [n_vocab] and how many they are. NULL: merges are in `pairs` */
    uint64_t *pairs;     /* open addressing: both ids + 1, 0 is free */
    uint32_t *ranks;     /* [slots] of the pair in the same slot */
    int shift;           /* 64 - log2(slots) */
    int32_t *joined;     /* [n_merges] what the pair of a rank becomes */
    uint32_t *better;    /* by_text: [n_vocab] rank of a token from its score, or NULL: its id */
    const uint8_t *types; /* as TokSpec.types */
    const Trie *user;     /* by_text: pieces that are one symbol and join with nothing */
    int32_t unk;          /* -1: unknown symbols are left out */
    bool fuse_unk;
    bool whole_first;     /* a piece that is a token is that token, whatever the merges say */
    bool cut_at_mark;     /* pieces can be cut before a U+2581, ... */
    bool mark_joins[256]; /* ... but not where a byte stands before it that this is set for: a token spans the two */
    Vocab texts;          /* where tokens are looked up by text */
} Bpe;

typedef struct BpeToken {
    int32_t id;
    uint32_t begin, end; /* bytes of the piece */
    bool frozen;         /* joins with nothing */
} BpeToken;

typedef struct BpeScratch { /* of one text */
    BpeToken *tokens;
    size_t cap;
    BpeToken *spread; /* tokens with their bytes put in */
    size_t spread_cap;
    struct BpeNode *nodes;
    uint64_t *heap;
    size_t nodes_cap, heap_n, heap_cap;
    struct BpeSplit *splits; /* how unused pieces were joined */
    size_t splits_n, splits_cap;
    struct PairMemo *memo;
    int memo_bits;
    Buf spelled;
} BpeScratch;

/* Where the pair of two tokens stands in the table of pairs, or is free. */
static inline uint64_t pair_key(int32_t a, int32_t b) { return ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) + 1; }

static inline size_t pair_slot(const Bpe *b, uint64_t key) {
    size_t mask = ((size_t)1 << (64 - b->shift)) - 1;
    for (size_t i = key_mix(key) >> b->shift;; i = (i + 1) & mask)
        if (!b->pairs[i] || b->pairs[i] == key) return i;
}

/* Tables from the spec's vocabulary and merges, in the arena. Tokens of `outside` (by id) are never found in text: they
 * are only found as added tokens. A merge whose parts or result are no tokens is an error. */
bool bpe_build(const TokSpec *spec, const bool *outside, const Trie *user, Arena *a, Bpe *out, Err *e);
void bpe_scratch_begin(const Bpe *b, size_t text_bytes, BpeScratch *s);
/* The tokens of piece[0..n), n < 2^31, in s->tokens; returns their number. O(n log n). */
size_t bpe_encode(const Bpe *b, const char *piece, size_t n, BpeScratch *s);
void bpe_scratch_release(BpeScratch *s);

/* The ids of <0x00> .. <0xFF>, -1 where there is none. */
void byte_tokens(const Vocab *texts, int32_t id[256]);

#endif
