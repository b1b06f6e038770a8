/* matmul of a8 activations with q8_0 and q4_1 weights: body of matmul_<isa>.c. Inside a block the sum is an exact
 * integer, so any order will do; blocks follow each other in one chain of fma. */
#ifndef CPU_MATMUL_A8_H
#define CPU_MATMUL_A8_H

#include "backends/cpu/matmul.h"

enum { A8_CHUNK = 32 }; /* blocks unpacked at a time: 60 KiB of panel */

typedef struct PanelA8 {
    char q[GROUPS][A8_CHUNK][8][64]; /* as load_blocks gives them */
    float d[GROUPS][A8_CHUNK][LANES], m[GROUPS][A8_CHUNK][LANES];
} PanelA8;

INLINE const BlockA8 *a8_at(const char *x, int64_t b) { return (const BlockA8 *)(const void *)x + b; }

/* The fma chain of one block: sum is its integer sum of products. */
INLINE V16 a8_join(bool q4, V16 y, I16 sum, const BlockA8 *x, V16 d, V16 m) {
    y = v_fma(v_mul(d, v_set1(x->d)), v_from_int(sum), y);
    return q4 ? v_fma(m, v_set1(x->d * (float)x->sum), y) : y;
}

INLINE I16 a8_dot4(bool q4, I16 sum, I16 w, const BlockA8 *x, int j) {
    I16 xj = i_set1(i32_at((const char *)x->q + 4 * j));
    return q4 ? i_dot4_u4(sum, w, xj) : i_dot4_i8(sum, w, xj);
}

/* M tokens x G groups from group g0 on, n blocks; q4, M, G constants. */
INLINE void a8_tile_mg(bool q4, int M, int G, const Tile *c, const PanelA8 *p, int64_t g0, int64_t n) {
    V16 y[A8_M][A8_G];
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) y[m][g] = tile_load(c, m, g);
    for (int64_t b = 0; b < n; b++) {
        I16 sum[A8_M][A8_G];
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) sum[m][g] =
            q4 ? i_zero() : w8_bias(a8_at(tile_x(c, m), b)->sum);
        UNROLL for (int j = 0; j < 8; j++) {
            I16 w[A8_G];
            UNROLL for (int g = 0; g < G; g++) w[g] = i_load(p->q[g0 + g][b][j]);
            UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) sum[m][g] =
                a8_dot4(q4, sum[m][g], w[g], a8_at(tile_x(c, m), b), j);
        }
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) y[m][g] =
            a8_join(q4, y[m][g], sum[m][g], a8_at(tile_x(c, m), b), v_load(p->d[g0 + g][b]),
                    q4 ? v_load(p->m[g0 + g][b]) : v_zero());
    }
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) tile_store(c, m, g, y[m][g]);
}

#define A8_TILE(m, g)                                                                                                  \
    case 4 * (m) + (g): a8_tile_mg(q4, m, g, c, p, g0, n); break;
INLINE void a8_tile(bool q4, int64_t tokens, int64_t groups, const Tile *c, const PanelA8 *p, int64_t g0, int64_t n) {
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

/* n = 1 or 2 blocks from b0 + b on, into place b of group g. */
INLINE void a8_unpack_n(bool q4, int n, const char *const row[16], int64_t b0, int64_t b, PanelA8 *p, int64_t g) {
    RowBlock w[2];
    load_blocks(q4, n, row, b0 + b, w);
    UNROLL for (int i = 0; i < n; i++) {
        UNROLL for (int j = 0; j < 8; j++) i_store(p->q[g][b + i][j], w[i].q[j]);
        v_store(p->d[g][b + i], w[i].d);
        v_store(p->m[g][b + i], w[i].m);
    }
}

INLINE void a8_unpack(bool q4, const char *const row[16], int64_t b0, int64_t n, PanelA8 *p, int64_t g) {
    int64_t b = 0;
    for (; b + 2 <= n; b += 2) a8_unpack_n(q4, 2, row, b0, b, p, g);
    if (b < n) a8_unpack_n(q4, 1, row, b0, b, p, g);
}

INLINE void a8_panel(bool q4, const Mm *mm, int64_t n0, int64_t groups, PanelA8 *p) {
    int64_t blocks = mm->K / 32;
    for (int64_t b = 0; b == 0 || b < blocks; b += A8_CHUNK) {
        int64_t n = MIN(A8_CHUNK, blocks - b);
        for (int64_t g = 0; g < groups; g++) {
            const char *row[16];
            rows_at(mm->w, mm->w_stride, n0 + g * LANES, mm->N, row);
            a8_unpack(q4, row, b, n, p, g);
        }
        for (int64_t g = 0, width; g < groups; g += width) {
            width = groups - g >= A8_G ? A8_G : 1;
            for (int64_t m = 0; m < mm->T; m += A8_M) {
                Tile c = mm_tile(mm, m, n0 + g * LANES, b * (int64_t)sizeof(BlockA8), b == 0);
                a8_tile(q4, MIN(A8_M, mm->T - m), width, &c, p, g, n);
            }
        }
    }
}

/* y of M tokens += n = 1 or 2 blocks from b on. */
INLINE void a8_small_n(bool q4, int M, int n, const char *const row[16], const Tile *c, int64_t b, V16 y[SMALL_T]) {
    RowBlock w[2];
    load_blocks(q4, n, row, b, w);
    UNROLL for (int i = 0; i < n; i++) UNROLL for (int m = 0; m < M; m++) {
        const BlockA8 *x = a8_at(tile_x(c, m), b + i);
        I16 sum = q4 ? i_zero() : w8_bias(x->sum);
        UNROLL for (int j = 0; j < 8; j++) sum = a8_dot4(q4, sum, w[i].q[j], x, j);
        y[m] = a8_join(q4, y[m], sum, x, w[i].d, w[i].m);
    }
}

/* One to four tokens straight from the blocks. */
INLINE void a8_small_m(bool q4, int M, const Mm *mm, int64_t n0) {
    const char *row[16];
    const int64_t bytes = LANES * (int64_t)(q4 ? sizeof(BlockQ4_1) : sizeof(BlockQ8_0));
    const Tile c = mm_tile(mm, 0, n0, 0, true);
    V16 y[SMALL_T];
    int64_t b = 0, blocks = mm->K / 32;
    rows_at(mm->w, mm->w_stride, n0, mm->N, row);
    UNROLL for (int m = 0; m < M; m++) y[m] = v_zero();
    for (; b + 2 <= blocks; b += 2) {
        mm_prefetch(mm, n0, b * bytes, 2 * bytes);
        a8_small_n(q4, M, 2, row, &c, b, y);
    }
    if (b < blocks) a8_small_n(q4, M, 1, row, &c, b, y);
    UNROLL for (int m = 0; m < M; m++) tile_store(&c, m, 0, y[m]);
}

INLINE void a8_small(bool q4, const Mm *mm, int64_t n0) {
    switch (mm->T) {
    case 1: a8_small_m(q4, 1, mm, n0); break;
    case 2: a8_small_m(q4, 2, mm, n0); break;
    case 3: a8_small_m(q4, 3, mm, n0); break;
    case 4: a8_small_m(q4, 4, mm, n0); break;
    default: break;
    }
}

static void a8_panel_q8_0(const Mm *mm, int64_t n0, int64_t groups, void *p) { a8_panel(false, mm, n0, groups, p); }
static void a8_panel_q4_1(const Mm *mm, int64_t n0, int64_t groups, void *p) { a8_panel(true, mm, n0, groups, p); }
static void a8_small_q8_0(const Mm *mm, int64_t n0, void *p) { (void)p, a8_small(false, mm, n0); }
static void a8_small_q4_1(const Mm *mm, int64_t n0, void *p) { (void)p, a8_small(true, mm, n0); }

static size_t matmul_a8_scratch(const OpArgs *a) { return (void)a, sizeof(PanelA8); }

static void matmul_a8_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    static const MmBody q8_0 = {a8_small_q8_0, a8_panel_q8_0}, q4_1 = {a8_small_q4_1, a8_panel_q4_1};
    mm_run(a, a->in[1].dtype == DT_q8_0 ? &q8_0 : &q4_1, u0, u1, scratch);
}

#endif
