#include "tokenizer/vocab.h"

enum {
    SHORT = 7,  /* bytes that fit in a key beside the length */
    AHEAD = 16, /* texts whose place is fetched before it is needed */
};

/* Texts of up to 7 bytes are their own key, longer ones a hash that is marked as such. */
uint64_t vocab_key(Str s) {
    uint32_t head = 0, tail = 0;
    if (!s.n) return 0;
    if (s.n > SHORT) return hash_bytes(s.s, s.n, 0) | (uint64_t)0xff << 56;
    if (s.n < 4) {
        memcpy(&head, s.s, s.n);
    } else { /* two loads that overlap; what both hold is shifted out */
        memcpy(&head, s.s, 4);
        memcpy(&tail, s.s + s.n - 4, 4);
    }
    return (uint64_t)s.n << 56 | ((uint64_t)tail >> 8 * (8 - s.n)) << 32 | head;
}

/* The slot that holds text, or the free one where it belongs. */
static struct VocabSlot *slot_of(const Vocab *v, uint64_t key, Str text) {
    for (size_t i = key_mix(key) >> v->shift;; i = (i + 1) & v->mask) {
        struct VocabSlot *slot = &v->slots[i];
        if (!slot->id_1) return slot;
        if (slot->key == key && (text.n <= SHORT || str_eq(v->text[slot->id_1 - 1], text))) return slot;
    }
}

bool vocab_build(const Str *text, int32_t n, const bool *skip, Arena *a, Vocab *out, Err *e) {
    uint64_t keys[AHEAD];
    int bits = 4;
    while ((int64_t)1 << bits < (int64_t)n * 4 / 3)
        bits++; /* memory that is touched first costs more than a longer way */
    *out = (Vocab){ARENA_NEW(a, struct VocabSlot, (size_t)1 << bits), ((size_t)1 << bits) - 1, 64 - bits, text};
    for (int32_t from = 0; from < n; from += AHEAD) {
        for (int32_t i = 0; i < MIN(AHEAD, n - from); i++) {
            keys[i] = vocab_key(text[from + i]);
            vocab_prefetch(out, keys[i]);
        }
        for (int32_t i = 0; i < MIN(AHEAD, n - from); i++) {
            int32_t id = from + i;
            if (!text[id].n || (skip && skip[id])) continue;
            struct VocabSlot *slot = slot_of(out, keys[i], text[id]);
            if (slot->id_1)
                return err_set(e, ERR_INPUT, "token '%.*s' has two ids, %d and %d", STR_ARG(text[id]), slot->id_1 - 1,
                               id);
            *slot = (struct VocabSlot){keys[i], id + 1};
        }
    }
    return true;
}

int32_t vocab_find_key(const Vocab *v, uint64_t key, Str text) { return text.n ? slot_of(v, key, text)->id_1 - 1 : -1; }
int32_t vocab_find(const Vocab *v, Str text) { return vocab_find_key(v, vocab_key(text), text); }
