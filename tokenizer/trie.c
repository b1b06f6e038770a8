#include "tokenizer/trie.h"

bool trie_begin(Trie *t, size_t bytes, Arena *a) {
    size_t cap = 16;
    *t = (Trie){0};
    if (bytes > INT32_MAX / 4) return false;
    while (cap < bytes * 2) cap *= 2;
    t->edges = ARENA_NEW(a, struct TrieEdge, cap);
    t->mask = cap - 1;
    return true;
}

static struct TrieEdge *slot_of(Trie *t, uint64_t key) {
    size_t i = (key * 0x9e3779b97f4a7c15u) >> 32 & t->mask;
    while (t->edges[i].key && t->edges[i].key != key) i = (i + 1) & t->mask;
    return &t->edges[i];
}

int32_t trie_put(Trie *t, Str text, int32_t value) {
    struct TrieEdge *edge = NULL;
    int32_t node = 0;
    for (size_t i = 0; i < text.n; i++) {
        uint64_t key = ((uint64_t)(uint32_t)node << 8 | (unsigned char)text.s[i]) + 1;
        edge = slot_of(t, key);
        if (!edge->key) *edge = (struct TrieEdge){key, ++t->nodes, 0};
        node = edge->node;
    }
    if (!edge) return value;
    if (edge->value_1) return edge->value_1 - 1;
    edge->value_1 = value + 1;
    t->starts[(unsigned char)text.s[0]] = true;
    t->n++;
    return value;
}

int32_t trie_longest(const Trie *t, Str s, size_t at, size_t *end) {
    int32_t node = 0, value_1 = 0;
    if (!t->n || at >= s.n || !t->starts[(unsigned char)s.s[at]]) return -1;
    for (size_t i = at; i < s.n; i++) {
        const struct TrieEdge *edge = trie_edge(t, node, (unsigned char)s.s[i]);
        if (!edge) break;
        node = edge->node;
        if (edge->value_1) value_1 = edge->value_1, *end = i + 1;
    }
    return value_1 - 1;
}
