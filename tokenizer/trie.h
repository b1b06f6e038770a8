/* Texts and what begins with them: a trie whose edges are one hash table. */
#ifndef TOKENIZER_TRIE_H
#define TOKENIZER_TRIE_H

#include "core/base.h"

typedef struct Trie { /* all-zero is empty */
    struct TrieEdge {
        uint64_t key;    /* node << 8 | byte, + 1; 0: free */
        int32_t node;    /* where the edge leads */
        int32_t value_1; /* of the text that ends there, + 1 */
    } * edges;
    size_t mask;
    int32_t nodes, n; /* n: texts */
    bool starts[256]; /* bytes that a text begins with */
} Trie;

/* Room for texts of `bytes` bytes together; false when that is too much. */
bool trie_begin(Trie *t, size_t bytes, Arena *a);
/* The value that stands for text from now on, or the one that does already. An empty text is never found. */
int32_t trie_put(Trie *t, Str text, int32_t value);
/* The edge from node (0 is the root) by byte; NULL: none. */
static inline const struct TrieEdge *trie_edge(const Trie *t, int32_t node, unsigned char byte) {
    uint64_t key = ((uint64_t)(uint32_t)node << 8 | byte) + 1;
    for (size_t i = (key * 0x9e3779b97f4a7c15u) >> 32 & t->mask;; i = (i + 1) & t->mask) {
        if (!t->edges[i].key) return NULL;
        if (t->edges[i].key == key) return &t->edges[i];
    }
}
/* The value of the longest text that s[at..) begins with, its end in *end; -1: none. */
int32_t trie_longest(const Trie *t, Str s, size_t at, size_t *end);

#endif
