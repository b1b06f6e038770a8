/* matmul of bf16 activations with weights of bf16, or of f32 that are rounded, even K: body of matmul_<isa>.c. */
#ifndef CPU_MATMUL_BF16_H
#define CPU_MATMUL_BF16_H

#include "backends/cpu/experts.h"

enum { BF16_CHUNK = 512 }; /* pairs of columns unpacked at a time: 96 KiB of panel */

typedef struct PanelBf16 {
    uint32_t w[GROUPS][BF16_CHUNK][LANES];
} PanelBf16;

INLINE I16 bf16_pair(const Tile *c, int m, int64_t pair) { return i_set1(i32_at(tile_x(c, m) + 4 * pair)); }

/* M tokens x G groups, both constants; w is the panel from group g0 on, n pairs of it. */
INLINE void bf16_tile_mg(int M, int G, const Tile *c, const uint32_t (*w)[BF16_CHUNK][LANES], int64_t n) {
    V16 y[F32_M][F32_G];
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) y[m][g] = tile_load(c, m, g);
    for (int64_t k = 0; k < n; k++) {
        I16 wk[F32_G];
        UNROLL for (int g = 0; g < G; g++) wk[g] = i_load(w[g][k]);
        UNROLL for (int m = 0; m < M; m++) {
            I16 x = bf16_pair(c, m, k);
            UNROLL for (int g = 0; g < G; g++) y[m][g] = v_dpbf16(y[m][g], x, wk[g]);
        }
    }
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) tile_store(c, m, g, y[m][g]);
}

#define BF16_TILE(m, g)                                                                                                \
    case 4 * (m) + (g): bf16_tile_mg(m, g, c, w, n); break;
static void bf16_tile(int64_t tokens, int64_t groups, const Tile *c, const uint32_t (*w)[BF16_CHUNK][LANES],
                      int64_t n) {
    switch (4 * tokens + groups) {
        BF16_TILE(1, 1)
        BF16_TILE(2, 1)
        BF16_TILE(3, 1)
        BF16_TILE(4, 1)
        BF16_TILE(5, 1)
        BF16_TILE(6, 1)
#if defined __AVX512F__
        BF16_TILE(7, 1)
        BF16_TILE(8, 1)
        BF16_TILE(1, 3)
        BF16_TILE(2, 3)
        BF16_TILE(3, 3)
        BF16_TILE(4, 3)
        BF16_TILE(5, 3)
        BF16_TILE(6, 3)
        BF16_TILE(7, 3)
        BF16_TILE(8, 3)
#endif
    }
}

/* The upper halves are a in bf16. */
INLINE I16 bf16_high(V16 a) {
    I16 u = i_bits(a), odd = i_and(i_shr16(u), i_set1(1));
    return i_if_nan(a, i_or(u, i_set1(0x400000)), i_add(i_add(u, i_set1(0x7fff)), odd));
}

/* Lanes of bf16: low in the lower half, high in the upper. */
INLINE I16 bf16_pairs(V16 low, V16 high) {
    return i_or(i_shr16(bf16_high(low)), i_and(bf16_high(high), i_set1((int32_t)0xffff0000)));
}

/* unpack_pairs of f32 rows, each element rounded. */
INLINE void unpack_rounded(const char *const row[16], int64_t k0, int64_t n, uint32_t *panel) {
    for (int64_t k = 0; k < n; k += 16) {
        float z[16][LANES];
        unpack_f32_f32(row, k0 + k, MIN(16, n - k), z[0]);
        for (int64_t i = 0; i < MIN(16, n - k); i += 2)
            i_store(panel + (k + i) / 2 * LANES, bf16_pairs(v_load(z[i]), v_load(z[i + 1])));
    }
}

/* Pairs [k, k + n) of the 16 rows from n0 on. */
static void bf16_unpack(const Mm *mm, int64_t n0, int64_t k, int64_t n, uint32_t *panel) {
    const char *row[16];
    if (mm->packed) {
        memcpy(panel, mm->w + n0 * mm->w_stride + k * 4 * LANES, (size_t)n * 4 * LANES);
        return;
    }
    rows_at(mm->w, mm->w_stride, n0, mm->N, row);
    if (mm->w_dtype == DT_f32)
        unpack_rounded(row, 2 * k, 2 * n, panel);
    else
        unpack_pairs(row, 2 * k, 2 * n, panel);
}

static void bf16_panel(const Mm *mm, int64_t n0, int64_t groups, void *scratch) {
    PanelBf16 *p = scratch;
    int64_t pairs = mm->K / 2;
    for (int64_t k = 0; k == 0 || k < pairs; k += BF16_CHUNK) {
        int64_t n = MIN(BF16_CHUNK, pairs - k);
        for (int64_t g = 0; g < groups; g++) bf16_unpack(mm, n0 + g * LANES, k, n, p->w[g][0]);
        for (int64_t g = 0, width; g < groups; g += width) {
            width = groups - g >= F32_G ? F32_G : 1;
            for (int64_t m = 0; m < mm->T; m += F32_M) {
                Tile c = mm_tile(mm, m, n0 + g * LANES, 4 * k, k == 0);
                bf16_tile(MIN(F32_M, mm->T - m), width, &c, p->w + g, n);
            }
        }
    }
}

/* One to four tokens: 32 columns at a time straight from the rows. */
INLINE void bf16_small_m(int M, const Mm *mm, int64_t n0) {
    const char *row[16];
    Tile c = mm_tile(mm, 0, n0, 0, true);
    V16 y[SMALL_T];
    int64_t k = 0, pairs = mm->K / 2;
    rows_at(mm->w, mm->w_stride, n0, mm->N, row);
    UNROLL for (int m = 0; m < M; m++) y[m] = v_zero();
    for (; k + 16 <= pairs; k += 16) {
        I16 w[16];
        mm_prefetch(false, mm, n0, k * 4 * LANES, 64 * LANES);
        UNROLL for (int r = 0; r < 16; r++) w[r] = i_load(row[r] + 4 * k);
        rows_transpose16(w);
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int i = 0; i < 16; i++) y[m] =
            v_dpbf16(y[m], bf16_pair(&c, m, k + i), w[i]);
    }
    uint32_t tail[16][LANES];
    unpack_pairs(row, 2 * k, 2 * (pairs - k), tail[0]);
    for (int64_t i = 0; k + i < pairs; i++)
        UNROLL for (int m = 0; m < M; m++) y[m] = v_dpbf16(y[m], bf16_pair(&c, m, k + i), i_load(tail[i]));
    UNROLL for (int m = 0; m < M; m++) tile_store(&c, m, 0, y[m]);
}

/* The same of a group that was repacked, a pair of columns at a time. */
INLINE void bf16_small_packed(int M, const Mm *mm, int64_t n0) {
    const Tile c = mm_tile(mm, 0, n0, 0, true);
    const char *group = mm->w + n0 * mm->w_stride;
    V16 y[SMALL_T];
    UNROLL for (int m = 0; m < M; m++) y[m] = v_zero();
    for (int64_t k = 0; k < mm->K / 2; k++) {
        mm_prefetch(true, mm, n0, k * 4 * LANES, 4 * LANES);
        I16 w = i_load(group + k * 4 * LANES);
        UNROLL for (int m = 0; m < M; m++) y[m] = v_dpbf16(y[m], bf16_pair(&c, m, k), w);
    }
    UNROLL for (int m = 0; m < M; m++) tile_store(&c, m, 0, y[m]);
}

INLINE void bf16_small_any(int M, const Mm *mm, int64_t n0) {
    if (mm->packed)
        bf16_small_packed(M, mm, n0);
    else
        bf16_small_m(M, mm, n0);
}

static void bf16_small(const Mm *mm, int64_t n0, void *scratch) {
    switch (mm->w_dtype == DT_bf16 ? mm->T : 0) {
    case 1: bf16_small_any(1, mm, n0); break;
    case 2: bf16_small_any(2, mm, n0); break;
    case 3: bf16_small_any(3, mm, n0); break;
    case 4: bf16_small_any(4, mm, n0); break;
    default: bf16_panel(mm, n0, 1, scratch); /* f32 weights are met in training */
    }
}

static size_t matmul_bf16_scratch(const OpArgs *a) { return mm_scratch(a, sizeof(PanelBf16)); }

static inline void matmul_bf16_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    static const MmBody body = {bf16_small, bf16_panel};
#if defined __AVX512BF16__
    mm_run(a, &body, u0, u1, scratch);
#else /* what the instruction does by itself: subnormal operands and results are 0 */
    uint64_t mode = mode_flush();
    mm_run(a, &body, u0, u1, scratch);
    mode_restore(mode);
#endif
}

#endif
