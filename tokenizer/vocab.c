#include "tokenizer/vocab.h"

#include <sys/mman.h>

enum { AHEAD = 64 /* texts whose place is fetched before it is needed */ };

static inline uint64_t load8(const char *s) {
    uint64_t w;
    memcpy(&w, s, 8);
    return w;
}

/* Up to 8 bytes as a number: loads that overlap, as a loop over so few would cost more. */
static inline uint64_t load_short(const char *s, size_t n) {
    uint32_t head, tail;
    if (n < 4)
        return n ? (uint64_t)(uint8_t)s[0] | (uint64_t)(uint8_t)s[n / 2] << 8 | (uint64_t)(uint8_t)s[n - 1] << 16 : 0;
    memcpy(&head, s, 4);
    memcpy(&tail, s + n - 4, 4);
    return head | (uint64_t)tail << 32;
}

static inline uint64_t mix(uint64_t h, uint64_t w) {
    h = (h ^ w) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

/* Its high bits are a place in the table, its low half the tag there. */
uint64_t vocab_key(Str s) {
    uint64_t h = s.n * 0xd6e8feb86659fd93u;
    size_t i = 0;
    if (s.n > 8) {
        for (; i + 8 < s.n; i += 8) h = mix(h, load8(s.s + i));
        h = mix(h, load8(s.s + s.n - 8));
    } else {
        h = mix(h, load_short(s.s, s.n));
    }
    return mix(h, 0) * 0xd6e8feb86659fd93u;
}

/* What the slot of a text with that key holds above its id. */
static inline uint32_t tag_of(const Vocab *v, uint64_t key) { return (uint32_t)key << v->id_bits; }
static inline bool has_tag(const Vocab *v, uint32_t slot, uint32_t tag) { return !((slot ^ tag) >> v->id_bits); }
static inline int32_t id_of(const Vocab *v, uint32_t slot) { return (int32_t)(slot & ((1u << v->id_bits) - 1)) - 1; }

/* The slot that holds text, or the free one where it belongs. */
static inline uint32_t *slot_of(const Vocab *v, uint64_t key, Str text) {
    uint32_t tag = tag_of(v, key);
    for (size_t i = key >> v->shift;; i = (i + 1) & v->mask) {
        uint32_t *slot = &v->slots[i];
        if (!*slot || (has_tag(v, *slot, tag) && str_eq(v->text[id_of(v, *slot)], text))) return slot;
    }
}

/* Memory that is about to be written all over: asked for at once where the system can, as a page at a time costs more
 * than the writing. */
static void touch_ahead(void *p, size_t n) {
#ifdef MADV_POPULATE_WRITE
    const uintptr_t page = 4096, begin = ((uintptr_t)p + page - 1) & ~(page - 1),
                    end = ((uintptr_t)p + n) & ~(page - 1);
    if (end > begin + 16 * page) (void)madvise((void *)begin, end - begin, MADV_POPULATE_WRITE);
#else
    (void)p, (void)n;
#endif
}

bool vocab_build(const Str *text, int32_t n, const bool *skip, Arena *a, Vocab *out, Err *e) {
    uint64_t keys[AHEAD];
    int bits = 4, id_bits = 1;
    while ((int64_t)1 << bits < (int64_t)n * 4 / 3)
        bits++; /* memory that is touched first costs more than a longer way */
    while (n >> id_bits) id_bits++;
    *out = (Vocab){ARENA_NEW(a, uint32_t, (size_t)1 << bits), ((size_t)1 << bits) - 1, 64 - bits, id_bits, text, 0};
    touch_ahead(out->slots, sizeof *out->slots << bits);
    for (int32_t from = 0; from < n; from += AHEAD) {
        for (int32_t i = 0; i < MIN(AHEAD, n - from); i++) {
            keys[i] = vocab_key(text[from + i]);
            vocab_prefetch(out, keys[i]);
        }
        for (int32_t i = 0; i < MIN(AHEAD, n - from); i++) {
            int32_t id = from + i;
            out->text_max = MAX(out->text_max, text[id].n);
            if (!text[id].n || (skip && skip[id])) continue;
            uint32_t *slot = slot_of(out, keys[i], text[id]);
            if (*slot)
                return err_set(e, ERR_INPUT, "token '%.*s' has two ids, %d and %d", STR_ARG(text[id]),
                               id_of(out, *slot), id);
            *slot = tag_of(out, keys[i]) | (uint32_t)(id + 1);
        }
    }
    return true;
}

bool vocab_may_have(const Vocab *v, uint64_t key) {
    for (size_t i = key >> v->shift;; i = (i + 1) & v->mask)
        if (!v->slots[i] || has_tag(v, v->slots[i], tag_of(v, key))) return v->slots[i];
}

int32_t vocab_find_key(const Vocab *v, uint64_t key, Str text) {
    return text.n ? id_of(v, *slot_of(v, key, text)) : -1;
}
int32_t vocab_find(const Vocab *v, Str text) { return vocab_find_key(v, vocab_key(text), text); }
