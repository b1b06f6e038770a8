/* Token text -> id: one open-addressing table, built once. */
#ifndef TOKENIZER_VOCAB_H
#define TOKENIZER_VOCAB_H

#include "core/tok_spec.h"

/* Top bits good enough for a table index: both halves of key reach them (a single product would cluster). */
static inline uint64_t key_mix(uint64_t key) {
    key *= 0x9e3779b97f4a7c15u;
    return (key ^ key >> 32) * 0xd6e8feb86659fd93u;
}

typedef struct Vocab {
    uint32_t *slots; /* id + 1 in the low id_bits, above them that many bits of the text's key; 0: free */
    size_t mask;
    int shift, id_bits; /* shift: 64 - log2(slots) */
    const Str *text;    /* [n], borrowed */
    size_t text_max;    /* bytes of the longest */
} Vocab;

/* Indexes the non-empty texts; an id whose `skip` is set is left out (skip may be NULL). Two ids of the same text are
 * an error. */
bool vocab_build(const Str *text, int32_t n, const bool *skip, Arena *a, Vocab *out, Err *e);
int32_t vocab_find(const Vocab *v, Str text); /* -1: no token is spelled so */

/* vocab_find in two steps, so that many lookups can wait for memory together: the key of a text, whose place in the
 * table may be fetched ahead; then the id. */
uint64_t vocab_key(Str text);
static inline void vocab_prefetch(const Vocab *v, uint64_t key) { __builtin_prefetch(&v->slots[key >> v->shift], 1); }
int32_t vocab_find_key(const Vocab *v, uint64_t key, Str text);
bool vocab_may_have(const Vocab *v, uint64_t key); /* false: no text has that key */

#endif
