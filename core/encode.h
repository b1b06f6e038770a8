/* How the integers of quantised weights are chosen: sixteen parts at a time, one to a lane, in words whose lanes do not
 * feel each other, so that any instruction set gives the same bytes. This is the body of quantize_rows and is included
 * where the words are: core/vec16_plain.h, or backends/cpu/vec16.h.
 *
 * A part is what has a scale of its own. Its scale (and minimum) is to make the weighted sum of squared errors
 * smallest: some steps around the widest are tried, each replaced by the scale that suits its integers best (least
 * squares), and the best goes on as long as it gets better. In formats of 256 these scales then become integers
 * themselves. */
#ifndef CORE_ENCODE_H
#define CORE_ENCODE_H

#include "core/quant.h"

enum { MOST_LEN = 32 };

typedef struct Batch {
    V16 x[MOST_LEN], w[MOST_LEN], wx[MOST_LEN]; /* lane r: values of part r, what their errors cost, the product */
    I16 code[MOST_LEN];                         /* the integers chosen, as stored */
    V16 unfit;                                  /* above 0: a value was NaN or too large */
} Batch;

/* a / b, 0 where b is about 0: nothing that small can be a scale. */
INLINE V16 v_quot(V16 a, V16 b) { return v_if_less(v_abs(b), v_set1(0x1p-120f), v_zero(), v_div(a, b)); }
INLINE V16 v_rounded_f16(V16 a) { return v_from_f16(v_to_f16(a)); }

/* ---- what integers stand for ---- */

typedef enum Spread { SPREAD_EVEN, SPREAD_UNEVEN } Spread;
typedef struct Grid {
    Spread spread;
    int lo, hi; /* the smallest and the largest value */
} Grid;

/* Which value of the uneven table is next to y: how many of the middles between neighbours are below it. Of 16
 * stretches of 16, `below` says how many middles are below the stretch, and no stretch has more than two inside. */
INLINE V16 uneven_index(V16 y) {
    static const float below[16] = {0, 1, 1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 14, 15};
    static const float middle[16] = {-115.5f, -93.5f, -74,   -57,   -42, -28.5f, -16, -4.5f,
                                     7,       19,     31.5f, 45.5f, 61,  79,     101, 1e9f};
    const V16 one = v_set1(1), t = v_load(middle);
    y = v_min(v_max(y, v_set1(-128)), v_set1(127));
    V16 k = v_pick(v_load(below), i_trunc(v_mul(v_add(y, v_set1(128)), v_set1(1.0f / 16))));
    for (int twice = 0; twice < 2; twice++) k = v_if_less(v_pick(t, i_trunc(k)), y, v_add(k, one), k);
    return k;
}
INLINE V16 uneven_value(V16 index) {
    static const float table[16] = {UNEVEN};
    return v_pick(v_load(table), i_trunc(index));
}

INLINE V16 even_near(V16 y, int lo, int hi) {
    return v_from_int(i_round(v_min(v_max(y, v_set1((float)lo)), v_set1((float)hi))));
}

/* The value next to y; the integer that is stored for it. */
INLINE V16 grid_near(Grid g, V16 y) {
    return g.spread == SPREAD_UNEVEN ? uneven_value(uneven_index(y)) : even_near(y, g.lo, g.hi);
}
INLINE I16 grid_code(Grid g, V16 y) {
    V16 k = g.spread == SPREAD_UNEVEN ? uneven_index(y) : v_sub(even_near(y, g.lo, g.hi), v_set1((float)g.lo));
    return i_trunc(k);
}

/* ---- x = d*q ---- */

typedef struct Fit {
    V16 d, m, kept; /* kept: how much of the squares of x it explains */
} Fit;

static void fit_take(Fit *best, Fit f) {
    const V16 old = best->kept;
    best->d = v_if_less(old, f.kept, f.d, best->d);
    best->m = v_if_less(old, f.kept, f.m, best->m);
    best->kept = v_if_less(old, f.kept, f.kept, old);
}

static void try_scale(const Batch *b, int len, Grid g, V16 inv, Fit *best) {
    V16 sxq = v_zero(), sqq = v_zero();
    for (int j = 0; j < len; j++) {
        V16 q = grid_near(g, v_mul(b->x[j], inv));
        sxq = v_add(sxq, v_mul(b->wx[j], q));
        sqq = v_add(sqq, v_mul(v_mul(b->w[j], q), q));
    }
    V16 d = v_quot(sxq, sqq);
    fit_take(best, (Fit){d, v_zero(), v_mul(d, sxq)});
}

static V16 largest(const Batch *b, int len) { /* with its sign */
    V16 most = b->x[0];
    for (int j = 1; j < len; j++) most = v_if_less(v_abs(most), v_abs(b->x[j]), b->x[j], most);
    return most;
}

/* The largest value is put at `steps` places, `apart` from each other, around either end of the grid. */
static V16 fit_scale(const Batch *b, int len, Grid g, int steps, float apart) {
    const V16 most = largest(b, len);
    Fit best = {v_quot(most, v_set1((float)g.lo)), v_zero(), v_zero()};
    for (int k = 0; k < 2 * steps; k++) {
        float end = (float)(k % 2 ? g.hi : g.lo) + ((float)(k / 2) - (float)(steps - 1) / 2) * apart;
        try_scale(b, len, g, v_quot(v_set1(end), most), &best);
    }
    for (int twice = 0; twice < 2; twice++) try_scale(b, len, g, v_quot(v_set1(1), best.d), &best);
    return best.d;
}

static void choose_codes(Batch *b, int len, Grid g, V16 d, V16 m) {
    const V16 inv = v_quot(v_set1(1), d);
    for (int j = 0; j < len; j++) b->code[j] = grid_code(g, v_mul(v_sub(b->x[j], m), inv));
}

/* ---- x = d*q + m ---- */

typedef struct Whole { /* sums that do not depend on q */
    V16 w, x;
} Whole;

/* `free`: m may be of any sign, else it is not above 0. */
static void try_affine(const Batch *b, int len, int most, bool free, Whole s, V16 inv, V16 m, Fit *best) {
    V16 sq = v_zero(), sqq = v_zero(), sxq = v_zero();
    for (int j = 0; j < len; j++) {
        V16 q = even_near(v_mul(v_sub(b->x[j], m), inv), 0, most), wq = v_mul(b->w[j], q);
        sq = v_add(sq, wq), sqq = v_add(sqq, v_mul(wq, q)), sxq = v_add(sxq, v_mul(b->wx[j], q));
    }
    const V16 zero = v_zero(), det = v_sub(v_mul(s.w, sqq), v_mul(sq, sq));
    V16 d = v_quot(v_sub(v_mul(s.w, sxq), v_mul(sq, s.x)), det);
    m = v_quot(v_sub(v_mul(sqq, s.x), v_mul(sq, sxq)), det);
    if (!free) {
        d = v_if_less(zero, m, v_quot(sxq, sqq), d);
        m = v_if_less(zero, m, zero, m);
    }
    /* 2*(d*sxq + m*sx) - (d*d*sqq + 2*d*m*sq + m*m*sw), true for any d and m, however det was rounded */
    V16 once = v_add(v_mul(d, sxq), v_mul(m, s.x)), cross = v_mul(v_mul(d, m), sq);
    V16 square = v_add(v_mul(v_mul(d, d), sqq), v_mul(v_mul(m, m), s.w));
    V16 kept = v_sub(v_add(once, once), v_add(square, v_add(cross, cross)));
    fit_take(best, (Fit){d, m, v_if_less(zero, d, kept, zero)});
}

/* Steps somewhat narrower than the whole range clip an outlier and serve the others. */
static Fit fit_affine(const Batch *b, int len, int most, bool free, int steps, float apart) {
    Whole s = {v_zero(), v_zero()};
    V16 lo = free ? b->x[0] : v_zero(), hi = b->x[0];
    for (int j = 0; j < len; j++) {
        lo = v_if_less(b->x[j], lo, b->x[j], lo), hi = v_if_less(hi, b->x[j], b->x[j], hi);
        s.w = v_add(s.w, b->w[j]), s.x = v_add(s.x, b->wx[j]);
    }
    const V16 range = v_sub(hi, lo);
    Fit best = {v_div(range, v_set1((float)most)), lo, v_zero()};
    for (int k = 0; k < steps; k++) {
        V16 inv = v_quot(v_set1((float)most - 1 + (float)k * apart), range);
        try_affine(b, len, most, free, s, inv, lo, &best);
    }
    for (int twice = 0; twice < 2; twice++) try_affine(b, len, most, free, s, v_quot(v_set1(1), best.d), best.m, &best);
    return best;
}

/* ---- formats of 32: a scale is an f16 ---- */

typedef struct Chosen { /* of a batch */
    QuantScales scales[LANES];
    uint8_t q[LANES * MOST_LEN]; /* part after part */
} Chosen;

static void keep_f16(V16 d, V16 m, Chosen *out) {
    uint16_t hd[LANES], hm[LANES];
    h_store(hd, v_to_f16(d)), h_store(hm, v_to_f16(m));
    for (int r = 0; r < LANES; r++) out->scales[r].d = hd[r], out->scales[r].m = hm[r];
}

static void choose_scaled(Batch *b, Grid g, int steps, float apart, Chosen *out) {
    V16 d = v_rounded_f16(fit_scale(b, 32, g, steps, apart));
    keep_f16(d, v_zero(), out);
    choose_codes(b, 32, g, d, v_zero());
}

static void choose_affine(Batch *b, int most, Chosen *out) {
    Fit f = fit_affine(b, 32, most, true, 8, 0.3f);
    V16 d = v_rounded_f16(f.d), m = v_rounded_f16(f.m);
    keep_f16(d, m, out);
    choose_codes(b, 32, (Grid){SPREAD_EVEN, 0, most}, d, m);
}

/* q8_0 is what the cache makes, too (q8_0_encode): the step is a 127th of the largest value, halves go away from 0. */
static void choose_q8_0(Batch *b, Chosen *out) {
    const V16 zero = v_zero(), half = v_set1(0x1.fffffep-2f), one = v_set1(1);
    const V16 d = v_div(v_abs(largest(b, 32)), v_set1(127)), inv = v_quot(one, d);
    keep_f16(d, zero, out);
    for (int j = 0; j < 32; j++) {
        V16 y = v_mul(b->x[j], inv), q = v_from_int(i_round(y)), off = v_sub(y, q);
        V16 up = v_if_less(half, off, v_if_less(zero, y, one, zero), zero);
        V16 down = v_if_less(off, v_sub(zero, half), v_if_less(y, zero, one, zero), zero);
        b->code[j] = i_round(v_sub(v_add(q, up), down));
    }
}

/* ---- formats of 256: scales are integers ---- */

/* The integer of lo..hi next to x. */
INLINE int near_in(float x, int lo, int hi) { return x <= (float)lo ? lo : x >= (float)hi ? hi : (int)nearbyintf(x); }
INLINE float quot(float a, float b) { return fabsf(b) >= 0x1p-120f ? a / b : 0; }
INLINE float as_f16(float x) { return f16_to_f32(f32_to_f16(x)); }

/* The parts of block k of a batch. */
INLINE int first_part(int k, int len) { return k * (256 / len); }
INLINE int end_part(int k, int len) { return (k + 1) * (256 / len); }

/* Scales that are integers of lo..hi of f16 units: ints [16] and what they are worth. The largest scale of a block is
 * worth lo, or hi where lo is 0. */
static V16 choose_units(V16 scales, int len, int lo, int hi, float unit[], int ints[LANES]) {
    float s[LANES];
    v_store(s, scales);
    for (int k = 0; k < 16 * len / 256; k++) {
        float most = 0;
        for (int r = first_part(k, len); r < end_part(k, len); r++)
            if (fabsf(s[r]) > fabsf(most)) most = s[r];
        unit[k] = as_f16(most / (float)(lo ? lo : hi));
        for (int r = first_part(k, len); r < end_part(k, len); r++) {
            ints[r] = near_in(quot(s[r], unit[k]), lo, hi);
            s[r] = unit[k] * (float)ints[r];
        }
    }
    return v_load(s);
}

/* The units that suit integers and scales best. */
static V16 improve_units(const Batch *b, int len, Grid g, V16 d, float unit[], const int ints[LANES]) {
    V16 sxq = v_zero(), sqq = v_zero();
    const V16 inv = v_quot(v_set1(1), d);
    for (int j = 0; j < len; j++) {
        V16 q = grid_near(g, v_mul(b->x[j], inv));
        sxq = v_add(sxq, v_mul(b->wx[j], q));
        sqq = v_add(sqq, v_mul(v_mul(b->w[j], q), q));
    }
    float xq[LANES], qq[LANES], s[LANES];
    v_store(xq, sxq), v_store(qq, sqq);
    for (int k = 0; k < 16 * len / 256; k++) {
        float a = 0, c = 0;
        for (int r = first_part(k, len); r < end_part(k, len); r++)
            a += xq[r] * (float)ints[r], c += qq[r] * (float)(ints[r] * ints[r]);
        if (c > 0) unit[k] = as_f16(a / c);
        for (int r = first_part(k, len); r < end_part(k, len); r++) s[r] = unit[k] * (float)ints[r];
    }
    return v_load(s);
}

/* q3_k, q6_k, iq4_xs: integers lo..-lo-1, stored `bias` higher. */
static void choose_scaled_k(Batch *b, int len, Grid g, int lo, int bias, Chosen *out) {
    int ints[LANES];
    float unit[2];
    V16 d = choose_units(fit_scale(b, len, g, 8, 0.025f * (float)-g.lo), len, lo, -lo - 1, unit, ints);
    d = improve_units(b, len, g, d, unit, ints);
    choose_codes(b, len, g, d, v_zero());
    for (int k = 0; k < 16 * len / 256; k++) {
        out->scales[k].d = f32_to_f16(unit[k]);
        for (int r = first_part(k, len); r < end_part(k, len); r++)
            out->scales[k].scale[r - first_part(k, len)] = (uint8_t)(ints[r] + bias);
    }
}

/* q2_k, q4_k, q5_k: q of 0..most, scales and minima of 0..units. */
static void choose_affine_k(Batch *b, int len, int most, int units, Chosen *out) {
    int scale[LANES], min[LANES];
    float d_unit[2], m_unit[2];
    Fit f = fit_affine(b, len, most, false, 9, 0.28f);
    V16 d = choose_units(f.d, len, 0, units, d_unit, scale);
    V16 m = choose_units(v_sub(v_zero(), f.m), len, 0, units, m_unit, min);
    choose_codes(b, len, (Grid){SPREAD_EVEN, 0, most}, d, v_sub(v_zero(), m));
    for (int k = 0; k < 16 * len / 256; k++) {
        out->scales[k].d = f32_to_f16(d_unit[k]), out->scales[k].m = f32_to_f16(m_unit[k]);
        for (int r = first_part(k, len), i = 0; r < end_part(k, len); r++, i++)
            out->scales[k].scale[i] = (uint8_t)scale[r], out->scales[k].min[i] = (uint8_t)min[r];
    }
}

/* ---- mxfp4: a scale is a power of two ---- */

static V16 fp4_index(V16 y) { /* of |y|, in twice the values */
    static const float middle[7] = {0.5f, 1.5f, 2.5f, 3.5f, 5, 7, 10};
    V16 k = v_zero();
    for (int i = 0; i < 7; i++) k = v_if_less(v_set1(middle[i]), y, v_set1((float)(i + 1)), k);
    return k;
}

static void choose_mxfp4(Batch *b, Chosen *out) {
    static const float table[16] = {FP4_TWICE};
    float most[LANES], d[LANES];
    int e[LANES];
    Fit best = {v_zero(), v_zero(), v_zero()};
    v_store(most, v_abs(largest(b, 32)));
    for (int up = -1; up <= 1; up++) {
        for (int r = 0; r < LANES; r++) frexpf(most[r], &e[r]), d[r] = ldexpf(1, MAX(e[r] - 4 + up, -128));
        V16 scale = v_load(d), kept = v_zero();
        for (int j = 0; j < 32; j++) {
            V16 q = v_pick(v_load(table), i_trunc(fp4_index(v_div(v_abs(b->x[j]), scale)))), y = v_mul(q, scale);
            kept = v_add(kept, v_mul(v_mul(b->w[j], y), v_sub(v_mul(v_set1(2), v_abs(b->x[j])), y)));
        }
        fit_take(&best, (Fit){scale, v_zero(), kept});
    }
    v_store(d, best.d);
    for (int r = 0; r < LANES; r++) {
        frexpf(d[r], &e[r]);
        out->scales[r].scale[0] = (uint8_t)(d[r] > 0 ? e[r] + 127 : 0);
    }
    for (int j = 0; j < 32; j++) {
        V16 k = fp4_index(v_quot(v_abs(b->x[j]), best.d));
        b->code[j] = i_trunc(v_if_less(b->x[j], v_zero(), v_add(k, v_set1(8)), k));
    }
}

/* ---- rows ---- */

typedef struct EncodeRows {
    const float *src, *importance;
    int64_t n, parts; /* of a row, of all rows */
    float even;       /* what importance is multiplied with to be 1 on average */
} EncodeRows;

/* Columns j..j+15 of sixteen rows. */
static void load_columns(const float *const row[LANES], int j, V16 out[16]) {
    I16 z[16];
    UNROLL for (int r = 0; r < 16; r++) z[r] = i_bits(v_load(row[r] + j));
    rows_transpose16(z);
    UNROLL for (int i = 0; i < 16; i++) out[i] = v_bits(z[i]);
}

INLINE V16 cleaned(V16 x, V16 *unfit) {
    const V16 most = v_set1(65504), zero = v_zero();
    V16 edge = v_if_less(x, zero, v_sub(zero, most), v_if_less(zero, x, most, zero)), size = v_abs(x);
    *unfit = v_if_less(size, v_set1(65520), *unfit, v_set1(1));
    return v_if_less(size, most, x, edge);
}

/* Parts p0..p0+15; past the last one, zeros. */
static void batch_load(Batch *b, int len, const EncodeRows *e, int64_t p0) {
    static const float nothing[MOST_LEN];
    const float *x[LANES], *w[LANES];
    for (int r = 0; r < LANES; r++) {
        bool there = p0 + r < e->parts;
        x[r] = there ? e->src + (p0 + r) * len : nothing;
        w[r] = there && e->importance ? e->importance + (p0 + r) * len % e->n : nothing;
    }
    for (int j = 0; j < len; j += 16) {
        load_columns(x, j, b->x + j);
        if (e->importance) load_columns(w, j, b->w + j);
    }
    for (int j = 0; j < len; j++) {
        b->x[j] = cleaned(b->x[j], &b->unfit);
        b->w[j] = e->importance ? v_mul(b->w[j], v_set1(e->even)) : v_set1(1);
        b->wx[j] = v_mul(b->w[j], b->x[j]);
    }
}

static void store_codes(const Batch *b, int len, uint8_t *q) {
    for (int j = 0; j < len; j += 16) {
        I16 z[16];
        UNROLL for (int i = 0; i < 16; i++) z[i] = b->code[j + i];
        rows_transpose16(z);
        UNROLL for (int r = 0; r < 16; r++) b_store(q + r * len + j, i_to_i8(z[r]));
    }
}

static void choose(Dtype t, Batch *b, Chosen *out) {
    switch (t) {
    case DT_q8_0: choose_q8_0(b, out); break;
    case DT_q4_0: choose_scaled(b, (Grid){SPREAD_EVEN, -8, 7}, 3, 0.6f, out); break;
    case DT_q5_0: choose_scaled(b, (Grid){SPREAD_EVEN, -16, 15}, 3, 0.6f, out); break;
    case DT_q4_1: choose_affine(b, 15, out); break;
    case DT_q5_1: choose_affine(b, 31, out); break;
    case DT_iq4_nl: choose_scaled(b, (Grid){SPREAD_UNEVEN, -127, 113}, 7, 3.5f, out); break;
    case DT_mxfp4: choose_mxfp4(b, out); break;
    case DT_q2_k: choose_affine_k(b, 16, 3, 15, out); break;
    case DT_q3_k: choose_scaled_k(b, 16, (Grid){SPREAD_EVEN, -4, 3}, -32, 32, out); break;
    case DT_q4_k: choose_affine_k(b, 32, 15, 63, out); break;
    case DT_q5_k: choose_affine_k(b, 32, 31, 63, out); break;
    case DT_q6_k: choose_scaled_k(b, 16, (Grid){SPREAD_EVEN, -32, 31}, -128, 0, out); break;
    case DT_iq4_xs: choose_scaled_k(b, 32, (Grid){SPREAD_UNEVEN, -127, 113}, -32, 32, out); break;
    default: break;
    }
}

typedef void PackBlock(const QuantScales *s, const uint8_t *q, void *block);

/* Returns whether all values fit. */
static bool encode_parts(Dtype t, PackBlock *pack, int block, int len, const EncodeRows *e, char *dst) {
    Batch b = {.unfit = v_zero()};
    Chosen c;
    const int per = block / len;
    memset(&c, 0, sizeof c);
    for (int64_t p = 0; p < e->parts; p += LANES) {
        batch_load(&b, len, e, p);
        choose(t, &b, &c);
        store_codes(&b, len, c.q);
        for (int64_t k = 0; k < LANES / per && p + k * per < e->parts; k++)
            pack(&c.scales[k], c.q + k * block, dst + (p / per + k) * dtype_info[t].block_bytes);
    }
    return !(v_hmax(b.unfit) > 0);
}

static inline float importance_scale(const float *importance, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)importance[i];
    return sum > 0 && sum < 1e30 ? (float)((double)n / sum) : 0;
}

static inline bool encode_rows(Dtype t, const float *src, int64_t rows, int64_t n, const float *importance, void *dst) {
    EncodeRows e = {src, importance, n, 0, 1};
    if (importance) e.even = importance_scale(importance, n);
    if (e.even <= 0) e.importance = NULL;
    switch (t) {
#define ENCODE(name, block, len)                                                                                       \
    case DT_##name: e.parts = rows * n / (len); return encode_parts(DT_##name, name##_pack, block, len, &e, dst);
        ENCODE(q8_0, 32, 32)
        ENCODE(q4_0, 32, 32)
        ENCODE(q4_1, 32, 32)
        ENCODE(q5_0, 32, 32)
        ENCODE(q5_1, 32, 32)
        ENCODE(iq4_nl, 32, 32)
        ENCODE(mxfp4, 32, 32)
        ENCODE(q2_k, 256, 16)
        ENCODE(q3_k, 256, 16)
        ENCODE(q4_k, 256, 32)
        ENCODE(q5_k, 256, 32)
        ENCODE(q6_k, 256, 16)
        ENCODE(iq4_xs, 256, 32)
#undef ENCODE
    default: /* floats */
        for (int64_t r = 0; r < rows; r++)
            dtype_info[t].encode(src + r * n, (char *)dst + r * dtype_row_bytes(t, n), n);
        return true;
    }
}

#endif
