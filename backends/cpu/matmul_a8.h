/* matmul of a8 activations with quantised weights: body of matmul_<isa>.c. Inside a block the sum is an exact
 * integer, so any order will do; blocks follow each other in one chain of fma. */
#ifndef CPU_MATMUL_A8_H
#define CPU_MATMUL_A8_H

#include "backends/cpu/experts.h"

enum { A8_CHUNK = 32 }; /* blocks unpacked at a time: 60 KiB of panel, where it has no halves */

typedef struct PanelA8 {
    char q[GROUPS][A8_CHUNK][8][64];                                    /* as a8_arrange leaves them */
    float d[2][GROUPS][A8_CHUNK][LANES], m[2][GROUPS][A8_CHUNK][LANES]; /* second ones: of halves */
} PanelA8;

INLINE const BlockA8 *a8_at(const char *x, int64_t b) { return (const BlockA8 *)(const void *)x + b; }

/* The sum of the first 16 of x. */
INLINE int32_t a8_first_sum(const BlockA8 *x) { return b_hsum(b_load(x->q)); }

/* A part is what has one scale: 32 elements, of halves 16. */
INLINE int a8_parts(A8Form f) { return f == A8_HALVES || f == A8_HALVES_MIN ? 2 : 1; }
INLINE bool a8_has_min(A8Form f) { return f == A8_MIN || f == A8_HALVES_MIN; }

/* The sum of x over a part. A helper that comes late may read any sum of a block that others write: it wraps. */
INLINE int32_t a8_sum(A8Form f, const BlockA8 *x, int part) {
    if (a8_parts(f) == 1) return x->sum;
    return part ? (int32_t)((uint32_t)x->sum - (uint32_t)a8_first_sum(x)) : a8_first_sum(x);
}

/* The integer sum that products are added to: what the stored integers are too high by. */
INLINE I16 a8_begin(A8Form f, int32_t offset, const BlockA8 *x, int part) {
    if (f == A8_SIGNED) return w8_bias(x->sum);
    return a8_has_min(f) ? i_zero() : i_set1((int32_t)(0u - (uint32_t)offset * (uint32_t)a8_sum(f, x, part)));
}

/* The fma chain of one part: sum is its integer sum of products; m only where there are minima. */
INLINE V16 a8_join(A8Form f, int part, V16 y, I16 sum, const BlockA8 *x, V16 d, V16 m) {
    y = v_fma(v_mul(d, v_set1(x->d)), v_from_int(sum), y);
    return a8_has_min(f) ? v_fma(m, v_set1(x->d * (float)a8_sum(f, x, part)), y) : y;
}

INLINE I16 a8_dot4(A8Form f, I16 sum, I16 w, const BlockA8 *x, int j) {
    I16 xj = i_set1(i32_at((const char *)x->q + 4 * j));
    return f == A8_SIGNED ? i_dot4_i8(sum, w, xj) : i_dot4_u7(sum, w, xj);
}

/* What a tile multiplies: n blocks of the panel from group g0 on. */
typedef struct PartA8 {
    const PanelA8 *p;
    int64_t g0, n;
    int32_t offset;
} PartA8;

#if defined __ARM_FEATURE_MATMUL_INT8
/* SMMLA multiplies 8 bytes of two rows with 8 bytes of two tokens: dwords of the panel go in pairs, row by row. */
INLINE void a8_arrange(I16 q[8]) { UNROLL for (int j = 0; j < 8; j += 2) i_pair_rows(&q[j], &q[j + 1]); }

/* An odd last token goes with itself. */
INLINE void a8_sums(A8Form f, int M, int G, const Tile *c, const PartA8 *w, int64_t b, int part, I16 sum[][A8_G]) {
    const int js = 8 / a8_parts(f), j0 = part * js;
    UNROLL for (int m = 0; m < M; m += 2) UNROLL for (int g = 0; g < G; g++) {
        const int m1 = MIN(m + 1, M - 1);
        const BlockA8 *x0 = a8_at(tile_x(c, m), b), *x1 = a8_at(tile_x(c, m1), b);
        I16 low = i_alternate(a8_begin(f, w->offset, x0, part), a8_begin(f, w->offset, x1, part)), high = low;
        UNROLL for (int j = j0; j < j0 + js; j += 2) {
            B16 x = b_join8(x0->q + 4 * j, x1->q + 4 * j);
            low = i_mmla(low, i_load(w->p->q[w->g0 + g][b][j]), x);
            high = i_mmla(high, i_load(w->p->q[w->g0 + g][b][j + 1]), x);
        }
        i_split(low, high, &sum[m][g], &sum[m1][g]);
    }
}
#else
INLINE void a8_arrange(I16 q[8]) { (void)q; }

/* The integer sums of one part of block b; f, M, G, part constants. */
INLINE void a8_sums(A8Form f, int M, int G, const Tile *c, const PartA8 *w, int64_t b, int part, I16 sum[][A8_G]) {
    const int js = 8 / a8_parts(f), j0 = part * js;
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) sum[m][g] =
        a8_begin(f, w->offset, a8_at(tile_x(c, m), b), part);
    UNROLL for (int j = j0; j < j0 + js; j++) {
        I16 q[A8_G];
        UNROLL for (int g = 0; g < G; g++) q[g] = i_load(w->p->q[w->g0 + g][b][j]);
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) sum[m][g] =
            a8_dot4(f, sum[m][g], q[g], a8_at(tile_x(c, m), b), j);
    }
}
#endif

/* M tokens x G groups; f, M, G constants. */
INLINE void a8_tile_mg(A8Form f, int M, int G, const Tile *c, const PartA8 *w) {
    const PanelA8 *p = w->p;
    V16 y[A8_M][A8_G];
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) y[m][g] = tile_load(c, m, g);
    for (int64_t b = 0, g0 = w->g0; b < w->n; b++) UNROLL for (int part = 0; part < a8_parts(f); part++) {
            I16 sum[A8_M][A8_G];
            a8_sums(f, M, G, c, w, b, part, sum);
            UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) y[m][g] =
                a8_join(f, part, y[m][g], sum[m][g], a8_at(tile_x(c, m), b), v_load(p->d[part][g0 + g][b]),
                        a8_has_min(f) ? v_load(p->m[part][g0 + g][b]) : v_zero());
        }
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) tile_store(c, m, g, y[m][g]);
}

#define A8_TILE(m, g)                                                                                                  \
    case 4 * (m) + (g): a8_tile_mg(f, m, g, c, w); break;
INLINE void a8_tile_any(A8Form f, int64_t tokens, int64_t groups, const Tile *c, const PartA8 *w) {
    switch (4 * tokens + groups) {
        A8_TILE(1, 1)
        A8_TILE(2, 1)
#if defined __AVX512F__
        A8_TILE(3, 1)
        A8_TILE(4, 1)
        A8_TILE(1, 3)
        A8_TILE(2, 3)
        A8_TILE(3, 3)
        A8_TILE(4, 3)
#endif
    }
}

static void a8_tile(A8Form f, int64_t tokens, int64_t groups, const Tile *c, const PartA8 *w) {
    switch (f) {
    case A8_SIGNED: a8_tile_any(A8_SIGNED, tokens, groups, c, w); break;
    case A8_OFFSET: a8_tile_any(A8_OFFSET, tokens, groups, c, w); break;
    case A8_MIN: a8_tile_any(A8_MIN, tokens, groups, c, w); break;
    case A8_HALVES: a8_tile_any(A8_HALVES, tokens, groups, c, w); break;
    case A8_HALVES_MIN: a8_tile_any(A8_HALVES_MIN, tokens, groups, c, w); break;
    }
}

/* n = 1 or 2 blocks from b0 + b on, into place b of group g. */
INLINE void a8_unpack_n(Dtype t, int n, const Rows *row, int64_t b0, int64_t b, PanelA8 *p, int64_t g) {
    RowBlock w[2];
    load_blocks(t, n, row, b0 + b, w);
    UNROLL for (int i = 0; i < n; i++) {
        a8_arrange(w[i].q);
        UNROLL for (int j = 0; j < 8; j++) i_store(p->q[g][b + i][j], w[i].q[j]);
        UNROLL for (int part = 0; part < a8_parts(a8_form(t)); part++) {
            v_store(p->d[part][g][b + i], w[i].d[part]);
            if (a8_has_min(a8_form(t))) v_store(p->m[part][g][b + i], w[i].m[part]);
        }
    }
}

/* n blocks from b0 on, of the 16 rows from n0 on, into group g. Sixteen rows at a time are more streams than the
 * prefetchers of a core follow, and with few tokens the tiles do not hide what the first touch of a row costs. */
INLINE void a8_unpack(Dtype t, bool packed, const Mm *mm, int64_t n0, int64_t b0, int64_t n, PanelA8 *p, int64_t g) {
    Rows row;
    const int64_t bytes = LANES * part_bytes(t);
    int64_t b = 0;
    rows_open(packed, mm->w, mm->w_stride, n0, mm->N, &row);
    for (; b + 2 <= n; b += 2) {
        mm_prefetch(packed, mm, n0, (b0 + b) * bytes, 2 * bytes);
        a8_unpack_n(t, 2, &row, b0, b, p, g);
    }
    if (b < n && !in_pairs(t)) a8_unpack_n(t, 1, &row, b0, b, p, g);
}

INLINE void a8_panel(Dtype t, bool packed, const Mm *mm, int64_t n0, int64_t groups, PanelA8 *p) {
    int64_t blocks = mm->K / 32;
    for (int64_t b = 0; b == 0 || b < blocks; b += A8_CHUNK) {
        int64_t n = MIN(A8_CHUNK, blocks - b);
        for (int64_t g = 0; g < groups; g++) a8_unpack(t, packed, mm, n0 + g * LANES, b, n, p, g);
        for (int64_t g = 0, width; g < groups; g += width) {
            width = groups - g >= A8_G ? A8_G : 1;
            for (int64_t m = 0; m < mm->T; m += A8_M) {
                Tile c = mm_tile(mm, m, n0 + g * LANES, b * (int64_t)sizeof(BlockA8), b == 0);
                a8_tile(a8_form(t), MIN(A8_M, mm->T - m), width, &c, &(PartA8){p, g, n, a8_offset(t)});
            }
        }
    }
}

/* y of M tokens += n = 1 or 2 blocks from b on. */
INLINE void a8_small_n(Dtype t, int M, int n, const Rows *row, const Tile *c, int64_t b, V16 y[SMALL_T]) {
    RowBlock w[2];
    load_blocks(t, n, row, b, w);
    UNROLL for (int i = 0; i < n; i++) UNROLL for (int m = 0; m < M; m++) {
        const BlockA8 *x = a8_at(tile_x(c, m), b + i);
        UNROLL for (int part = 0; part < a8_parts(a8_form(t)); part++) {
            const int js = 8 / a8_parts(a8_form(t)), j0 = part * js;
            I16 sum = a8_begin(a8_form(t), a8_offset(t), x, part);
            UNROLL for (int j = j0; j < j0 + js; j++) sum = a8_dot4(a8_form(t), sum, w[i].q[j], x, j);
            y[m] =
                a8_join(a8_form(t), part, y[m], sum, x, w[i].d[part], a8_has_min(a8_form(t)) ? w[i].m[part] : v_zero());
        }
    }
}

/* One to four tokens straight from the blocks. */
INLINE void a8_small_m(Dtype t, bool packed, int M, const Mm *mm, int64_t n0) {
    Rows row;
    const int64_t bytes = LANES * part_bytes(t);
    const Tile c = mm_tile(mm, 0, n0, 0, true);
    V16 y[SMALL_T];
    int64_t b = 0, blocks = mm->K / 32;
    rows_open(packed, mm->w, mm->w_stride, n0, mm->N, &row);
    UNROLL for (int m = 0; m < M; m++) y[m] = v_zero();
    for (; b + 2 <= blocks; b += 2) {
        mm_prefetch(packed, mm, n0, b * bytes, 2 * bytes);
        a8_small_n(t, M, 2, &row, &c, b, y);
    }
    if (b < blocks && !in_pairs(t)) a8_small_n(t, M, 1, &row, &c, b, y);
    UNROLL for (int m = 0; m < M; m++) tile_store(&c, m, 0, y[m]);
}

INLINE void a8_small(Dtype t, bool packed, const Mm *mm, int64_t n0) {
    switch (mm->T) {
    case 1: a8_small_m(t, packed, 1, mm, n0); break;
    case 2: a8_small_m(t, packed, 2, mm, n0); break;
    case 3: a8_small_m(t, packed, 3, mm, n0); break;
    case 4: a8_small_m(t, packed, 4, mm, n0); break;
    default: break;
    }
}

#define A8_BODY(t)                                                                                                     \
    static void a8_panel_##t(const Mm *mm, int64_t n0, int64_t groups, void *p) {                                      \
        if (mm->packed)                                                                                                \
            a8_panel(DT_##t, true, mm, n0, groups, p);                                                                 \
        else                                                                                                           \
            a8_panel(DT_##t, false, mm, n0, groups, p);                                                                \
    }                                                                                                                  \
    static void a8_small_##t(const Mm *mm, int64_t n0, void *p) {                                                      \
        (void)p;                                                                                                       \
        if (mm->packed)                                                                                                \
            a8_small(DT_##t, true, mm, n0);                                                                            \
        else                                                                                                           \
            a8_small(DT_##t, false, mm, n0);                                                                           \
    }
A8_BODY(q8_0)
A8_BODY(q4_0)
A8_BODY(q4_1)
A8_BODY(q5_0)
A8_BODY(q5_1)
A8_BODY(q2_k)
A8_BODY(q3_k)
A8_BODY(q4_k)
A8_BODY(q5_k)
A8_BODY(q6_k)
A8_BODY(iq4_nl)
A8_BODY(iq4_xs)
A8_BODY(mxfp4)

static size_t matmul_a8_scratch(const OpArgs *a) { return mm_scratch(a, sizeof(PanelA8)); }

static void matmul_a8_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    static const MmBody body[DT_COUNT] = {
        [DT_q8_0] = {a8_small_q8_0, a8_panel_q8_0},       [DT_q4_0] = {a8_small_q4_0, a8_panel_q4_0},
        [DT_q4_1] = {a8_small_q4_1, a8_panel_q4_1},       [DT_q5_0] = {a8_small_q5_0, a8_panel_q5_0},
        [DT_q5_1] = {a8_small_q5_1, a8_panel_q5_1},       [DT_q4_k] = {a8_small_q4_k, a8_panel_q4_k},
        [DT_q5_k] = {a8_small_q5_k, a8_panel_q5_k},       [DT_q6_k] = {a8_small_q6_k, a8_panel_q6_k},
        [DT_iq4_nl] = {a8_small_iq4_nl, a8_panel_iq4_nl}, [DT_iq4_xs] = {a8_small_iq4_xs, a8_panel_iq4_xs},
        [DT_q2_k] = {a8_small_q2_k, a8_panel_q2_k},       [DT_q3_k] = {a8_small_q3_k, a8_panel_q3_k},
        [DT_mxfp4] = {a8_small_mxfp4, a8_panel_mxfp4},
    };
    mm_run(a, &body[a->in[1].dtype], u0, u1, scratch);
}

#endif
