/* NFC, NFD, NFKC and NFKD with places. Only the stretches that are not in the form already are worked on: from a
 * character that moves nothing to the next one. */
#include <stdlib.h>

#include "tokenizer/normal.h"
#include "tokenizer/text.h"
#include "tokenizer/unicode.h"

#include <utf8proc.h>

typedef struct Unit { /* a character of the result and its change, as remake_put takes it */
    uint32_t cp;
    int change, class;
} Unit;

typedef struct Units {
    Unit *v;
    size_t n, cap;
} Units;

static void put(Units *u, Unit x) {
    if (u->n == u->cap) u->v = mem_grow(u->v, u->cap = u->cap * 2 + 32, sizeof *u->v);
    u->v[u->n++] = x;
}

/* What it decomposes to composes to it again. */
static bool is_composed(uint32_t cp) {
    uint32_t parts[DECOMPOSED_MAX];
    int n = cp_decompose(cp, false, parts);
    for (int i = 1; i < n && parts[0]; i++) parts[0] = cp_compose(parts[0], parts[i]);
    return parts[0] == cp;
}

/* A character that is in the form and neither joins nor passes the one before it. */
static bool is_settled(NormKind kind, uint32_t cp) {
    bool compose = kind == NORM_NFC || kind == NORM_NFKC, compat = kind == NORM_NFKC || kind == NORM_NFKD;
    if (cp < 0x80) return true;
    bool hangul = cp >= 0xac00 && cp <= 0xd7a3;
    if (compose && hangul) return true;
    if (compose && cp >= 0x1160 && cp <= 0x11ff) return false; /* may complete a Hangul syllable */
    const utf8proc_property_t *p = utf8proc_get_property((utf8proc_int32_t)cp);
    if (p->combining_class) return false;
    if (compose && p->comb_index != UINT16_MAX && p->comb_index & 0x8000) return false;
    if (hangul || p->decomp_seqindex == UINT16_MAX) return !hangul;
    if (p->decomp_type) return !compat;
    return kind == NORM_NFC && is_composed(cp);
}

static void decompose(Piece p, size_t begin, size_t end, bool compat, Units *out) {
    uint32_t parts[DECOMPOSED_MAX];
    out->n = 0;
    for (size_t i = begin; i < end;) {
        int len, n = cp_decompose(utf8_decode(p.s + i, &len), compat, parts);
        for (int k = 0; k < n; k++) put(out, (Unit){parts[k], k > 0, cp_combining(parts[k])});
        i += (size_t)len;
    }
}

/* A stable sort of each run of marks: by insertion, or where it is long by counting. */
static void sort_marks(Unit *v, size_t n) {
    if (n < 2) return;
    if (n <= 32) {
        for (size_t i = 1; i < n; i++) {
            Unit x = v[i];
            size_t k = i;
            for (; k > 0 && v[k - 1].class > x.class; k--) v[k] = v[k - 1];
            v[k] = x;
        }
        return;
    }
    size_t count[256] = {0};
    Unit *sorted = mem_alloc(n, sizeof *sorted);
    for (size_t i = 0; i < n; i++) count[v[i].class & 255]++;
    for (size_t c = 0, at = 0; c < 256; c++) {
        size_t here = count[c];
        count[c] = at;
        at += here;
    }
    for (size_t i = 0; i < n; i++) sorted[count[v[i].class & 255]++] = v[i];
    memcpy(v, sorted, n * sizeof *v);
    free(sorted);
}

static void order(Units *u) {
    for (size_t i = 0; i < u->n;) {
        size_t end = i + 1;
        while (u->v[i].class && end < u->n && u->v[end].class) end++;
        sort_marks(u->v + i, end - i);
        i = end;
    }
}

/* Joins what composes, in place (Unicode 15, section 3.11, D117). */
static void compose(Units *u) {
    size_t out = 0, starter = SIZE_MAX;
    int last = -1; /* class of what stands last behind the starter; -1: nothing does */
    for (size_t i = 0; i < u->n; i++) {
        Unit x = u->v[i];
        uint32_t joined = 0;
        if (starter != SIZE_MAX && (last < 0 || last < x.class)) joined = cp_compose(u->v[starter].cp, x.cp);
        if (joined) {
            u->v[starter].cp = joined;
            u->v[starter].change += x.change - 1;
            continue;
        }
        if (!x.class)
            starter = out, last = -1;
        else
            last = x.class;
        u->v[out++] = x;
    }
    u->n = out;
}

static size_t char_before(Piece p, size_t at) {
    while (at > 0 && utf8_continues(p.s[--at])) {}
    return at;
}

bool normal_form(NormKind kind, Piece in, int64_t cp, Aligned *to) {
    bool compat = kind == NORM_NFKC || kind == NORM_NFKD;
    Units u = {0};
    Remake m = {.to = NULL};
    for (size_t i = 0; i < in.n;) {
        int len;
        uint64_t w;
        if (in.n - i >= 8 && (memcpy(&w, in.s + i, 8), (w & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        if (is_settled(kind, utf8_decode(in.s + i, &len))) {
            i += (size_t)len;
            continue;
        }
        size_t begin = i ? char_before(in, i) : 0, end = i + (size_t)len;
        while (end < in.n && !is_settled(kind, utf8_decode(in.s + end, &len))) end += (size_t)len;
        if (!m.to) remake_begin(&m, in, cp, to);
        begin = MAX(begin, m.idx);
        remake_keep(&m, begin - m.idx);
        decompose(in, begin, end, compat, &u);
        order(&u);
        if (kind == NORM_NFC || kind == NORM_NFKC) compose(&u);
        for (size_t k = 0; k < u.n; k++) remake_put(&m, u.v[k].cp, u.v[k].change);
        i = end;
    }
    free(u.v);
    if (m.to) remake_keep(&m, in.n - m.idx);
    return m.to;
}
