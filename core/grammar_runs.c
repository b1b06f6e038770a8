#include "core/grammar_runs.h"

#include <stdlib.h>

enum { RUN_UNKNOWN = 0, RUN_NONE = -1 }; /* else a state + 1 */
enum { KEPT = 4096, RUN_MAX = GRAMMAR_REACH, RUN_ENDLESS = CHARS_BROKEN - 1 };

void runs_init(Runs *r, const Grammar *g) {
    *r = (Runs){.g = g};
    r->to = mem_alloc((size_t)g->n_states, sizeof *r->to);
    r->kept = mem_alloc(KEPT, sizeof *r->kept);
}

void runs_release(Runs *r) {
    free(r->to);
    free(r->kept);
    *r = (Runs){0};
}

size_t runs_bytes(const Runs *r) { return (size_t)r->g->n_states * sizeof *r->to + KEPT * sizeof *r->kept; }

/* The one state that every byte from lo to hi leads to, or -1. */
static int32_t by_bytes(const Grammar *g, int32_t state, int lo, int hi) {
    if (state < 0) return -1;
    const int32_t *next = g->next + (int64_t)state * g->n_cls;
    int32_t to = next[g->cls[lo]];
    for (int c = g->cls[lo] + 1; c <= g->cls[hi]; c++) /* classes ascend with the bytes */
        if (next[c] != to) return -1;
    return to;
}

/* The one state that all well-formed sequences of two bytes and more lead to (RFC 3629, section 4), or -1. */
static int32_t by_wide(const Grammar *g, int32_t state) {
    static const struct {
        uint8_t lead[2], second[2], more;
    } rows[] = {{{0xc2, 0xdf}, {0x80, 0xbf}, 0}, {{0xe0, 0xe0}, {0xa0, 0xbf}, 1}, {{0xe1, 0xec}, {0x80, 0xbf}, 1},
                {{0xed, 0xed}, {0x80, 0x9f}, 1}, {{0xee, 0xef}, {0x80, 0xbf}, 1}, {{0xf0, 0xf0}, {0x90, 0xbf}, 2},
                {{0xf1, 0xf3}, {0x80, 0xbf}, 2}, {{0xf4, 0xf4}, {0x80, 0x8f}, 2}};
    int32_t all = -1;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int32_t to = by_bytes(g, state, rows[i].lead[0], rows[i].lead[1]);
        to = by_bytes(g, to, rows[i].second[0], rows[i].second[1]);
        for (int k = 0; k < rows[i].more; k++) to = by_bytes(g, to, 0x80, 0xbf);
        if (to < 0 || (i && to != all)) return -1;
        all = to;
    }
    return all;
}

static int32_t by_kind(const Grammar *g, int32_t state, CharKind kind) {
    int32_t all = -1;
    if (kind == CHAR_WIDE) return by_wide(g, state);
    for (int c = 0, first = true; c < 0x80; c++) {
        if (char_kind((unsigned char)c) != kind) continue;
        int32_t to = by_bytes(g, state, c, c);
        if (to < 0 || (!first && to != all)) return -1;
        all = to;
        first = false;
    }
    return all;
}

/* The one state that a character of any of the kinds leads to, or -1. */
static int32_t by_kinds(Runs *r, int32_t state, uint8_t kinds) {
    int32_t to = RUN_UNKNOWN;
    for (int kind = 0; kind < CHAR_KINDS; kind++) {
        if (!(kinds >> kind & 1)) continue;
        int32_t *one = &r->to[state][kind];
        if (*one == RUN_UNKNOWN) *one = by_kind(r->g, state, (CharKind)kind) + 1;
        if (*one == RUN_UNKNOWN) *one = RUN_NONE;
        if (*one == RUN_NONE || (to != RUN_UNKNOWN && *one != to)) return -1;
        to = *one;
    }
    return to - 1;
}

static uint8_t run_chars(Runs *r, int32_t state, uint8_t kinds) {
    uint8_t n = 0;
    for (int32_t to; n < RUN_MAX && (to = by_kinds(r, state, kinds)) >= 0; n++, state = to)
        if (to == state) return RUN_ENDLESS;
    return n;
}

bool runs_all(Runs *r, int32_t state, const TrieNode *x) {
    Run *run = &r->kept[((uint32_t)state * 0x9E3779B1u ^ x->kinds * 0x9E37u) % KEPT];
    if (run->state != state + 1 || run->kinds != x->kinds)
        *run = (Run){state + 1, x->kinds, run_chars(r, state, x->kinds)};
    return x->chars <= run->chars;
}
