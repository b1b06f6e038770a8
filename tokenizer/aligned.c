#include "tokenizer/aligned.h"

#include <stdlib.h>

#include "tokenizer/text.h"

void aligned_release(Aligned *a) {
    buf_release(&a->text);
    free(a->at);
    *a = (Aligned){0};
}

void remake_begin(Remake *r, Piece in, int64_t cp, Aligned *to) {
    *r = (Remake){.in = in, .cp = (uint32_t)cp, .cp0 = (uint32_t)cp, .to = to};
    buf_clear(&to->text);
}

/* Room for the places of n bytes more; where they begin. */
static uint32_t *room(Aligned *a, size_t n) {
    if (a->cap < a->text.n + n) {
        a->cap = MAX(a->text.n + n, a->cap * 2);
        a->at = mem_grow(a->at, a->cap, sizeof *a->at);
    }
    return a->at + a->text.n;
}

static void put(Remake *r, const char *s, size_t n, uint32_t place) {
    uint32_t *at = room(r->to, n);
    for (size_t i = 0; i < n; i++) at[i] = place;
    buf_put(&r->to->text, s, n);
}

static uint32_t place_before(const Remake *r) {
    if (!r->idx) return (r->in.at && r->in.n ? r->in.at[0] : r->cp0) | PLACE_EMPTY;
    return r->in.at ? r->in.at[r->idx - 1] : r->cp - 1;
}

static uint32_t place_here(const Remake *r) {
    if (r->idx >= r->in.n) return place_before(r);
    return r->in.at ? r->in.at[r->idx] : r->cp;
}

void remake_drop(Remake *r, size_t n) {
    if (!r->in.at) r->cp += (uint32_t)utf8_count(r->in.s + r->idx, n);
    r->idx += n;
}

void remake_keep(Remake *r, size_t n) {
    uint32_t *at = room(r->to, n);
    const char *s = r->in.s + r->idx;
    if (r->in.at) {
        if (n) memcpy(at, r->in.at + r->idx, n * sizeof *at);
    } else {
        uint32_t cp = r->cp - 1;
        for (size_t i = 0; i < n; i++) at[i] = cp += !utf8_continues(s[i]);
        r->cp = cp + 1;
    }
    buf_put(&r->to->text, s, n);
    r->idx += n;
}

void remake_put(Remake *r, uint32_t c, int change) {
    char s[4];
    put(r, s, (size_t)utf8_encode(c, s), change > 0 ? place_before(r) : place_here(r));
    for (int n = 1 - change; n > 0 && r->idx < r->in.n; n--) {
        size_t len = 1;
        while (r->idx + len < r->in.n && utf8_continues(r->in.s[r->idx + len])) len++;
        r->idx += len;
        r->cp++;
    }
}

void remake_insert(Remake *r, Str text) { put(r, text.s, text.n, place_before(r)); }

void remake_before(Remake *r, Str text, bool empty) {
    put(r, text.s, text.n, place_here(r) | (empty ? PLACE_EMPTY : 0));
}
