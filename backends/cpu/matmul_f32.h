/* matmul of f32 activations with weights of any dtype: body of matmul_<isa>.c. */
#ifndef CPU_MATMUL_F32_H
#define CPU_MATMUL_F32_H

#include "backends/cpu/experts.h"

/* Columns unpacked at a time: 144 KiB of panel, inside any L2; whole blocks of any dtype. */
enum { F32_CHUNK = 768, F32_CHUNK_PART = 256 };

typedef struct PanelF32 {
    float w[GROUPS][F32_CHUNK][LANES];
} PanelF32;

static UnpackF32 *const unpack_f32[DT_COUNT] = {
#define REAL(t) [DT_##t] = unpack_f32_##t,
#include "core/dtypes_real.def"
};

/* Chunks about as long as each other: sums that wait cost as much for a short one. */
INLINE int64_t f32_chunk(int64_t n) {
    const int64_t chunks = MAX(div_up(n, F32_CHUNK), 1);
    return MAX(div_up(div_up(n, chunks), F32_CHUNK_PART), 1) * F32_CHUNK_PART;
}

/* M tokens x G groups, both constants; w is the panel from group g0 on, n columns of it. */
INLINE void f32_tile_mg(int M, int G, const Tile *c, const float (*w)[F32_CHUNK][LANES], int64_t n) {
    V16 y[F32_M][F32_G];
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) y[m][g] = tile_load(c, m, g);
    for (int64_t k = 0; k < n; k++) {
        V16 wk[F32_G];
        UNROLL for (int g = 0; g < G; g++) wk[g] = v_load(w[g][k]);
        UNROLL for (int m = 0; m < M; m++) {
            V16 x = v_set1(tile_f32(c, m)[k]);
            UNROLL for (int g = 0; g < G; g++) y[m][g] = v_fma(x, wk[g], y[m][g]);
        }
    }
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) tile_store(c, m, g, y[m][g]);
}

#define F32_TILE(m, g)                                                                                                 \
    case 4 * (m) + (g): f32_tile_mg(m, g, c, w, n); break;
static void f32_tile(int64_t tokens, int64_t groups, const Tile *c, const float (*w)[F32_CHUNK][LANES], int64_t n) {
    switch (4 * tokens + groups) {
        F32_TILE(1, 1)
        F32_TILE(2, 1)
        F32_TILE(3, 1)
        F32_TILE(4, 1)
        F32_TILE(5, 1)
        F32_TILE(6, 1)
#if defined __AVX512F__
        F32_TILE(7, 1)
        F32_TILE(8, 1)
        F32_TILE(1, 3)
        F32_TILE(2, 3)
        F32_TILE(3, 3)
        F32_TILE(4, 3)
        F32_TILE(5, 3)
        F32_TILE(6, 3)
        F32_TILE(7, 3)
        F32_TILE(8, 3)
#endif
    }
}

/* Columns [k, k + n) of the 16 rows from n0 on. */
static void f32_unpack(const Mm *mm, int64_t n0, int64_t k, int64_t n, float *panel) {
    const char *row[16], *group = mm->w + n0 * mm->w_stride;
    if (!mm->packed) {
        rows_at(mm->w, mm->w_stride, n0, mm->N, row);
        unpack_f32[mm->w_dtype](row, k, n, panel);
    } else if (mm->w_dtype == DT_f16)
        unpack_group(DT_f16, group, k, n, panel);
    else if (mm->w_dtype == DT_bf16)
        unpack_group(DT_bf16, group, k, n, panel);
    else
        unpack_group(DT_f32, group, k, n, panel);
}

static void f32_panel(const Mm *mm, int64_t n0, int64_t groups, void *scratch) {
    PanelF32 *p = scratch;
    const int64_t chunk = f32_chunk(mm->K);
    for (int64_t k = 0; k == 0 || k < mm->K; k += chunk) {
        int64_t n = MIN(chunk, mm->K - k);
        for (int64_t g = 0; g < groups; g++) f32_unpack(mm, n0 + g * LANES, k, n, p->w[g][0]);
        for (int64_t g = 0, width; g < groups; g += width) {
            width = groups - g >= F32_G ? F32_G : 1;
            for (int64_t m = 0; m < mm->T; m += F32_M) {
                Tile c = mm_tile(mm, m, n0 + g * LANES, 4 * k, k == 0);
                f32_tile(MIN(F32_M, mm->T - m), width, &c, p->w + g, n);
            }
        }
    }
}

/* One to four tokens straight from the rows. */
INLINE void f32_small_m(Dtype t, int M, const Mm *mm, int64_t n0) {
    const char *row[16];
    Tile c = mm_tile(mm, 0, n0, 0, true);
    V16 y[SMALL_T], w[16];
    int64_t k = 0, bytes = t == DT_f32 ? 4 : 2;
    rows_at(mm->w, mm->w_stride, n0, mm->N, row);
    UNROLL for (int m = 0; m < M; m++) y[m] = v_zero();
    for (; k + 16 <= mm->K; k += 16) {
        mm_prefetch(false, mm, n0, k * bytes * LANES, 16 * bytes * LANES);
        rows_decode16(t, row, k, w);
        UNROLL for (int m = 0; m < M; m++) {
            const float *x = tile_f32(&c, m) + k;
            UNROLL for (int i = 0; i < 16; i++) y[m] = v_fma(v_set1(x[i]), w[i], y[m]);
        }
    }
    float tail[16][LANES];
    unpack_f32[t](row, k, mm->K - k, tail[0]);
    for (int64_t i = 0; k + i < mm->K; i++)
        UNROLL for (int m = 0; m < M; m++) y[m] = v_fma(v_set1(tile_f32(&c, m)[k + i]), v_load(tail[i]), y[m]);
    UNROLL for (int m = 0; m < M; m++) tile_store(&c, m, 0, y[m]);
}

/* The same of a group that was repacked. */
INLINE void f32_small_packed(Dtype t, int M, const Mm *mm, int64_t n0) {
    enum { STEP = 8 };
    const Tile c = mm_tile(mm, 0, n0, 0, true);
    const char *group = mm->w + n0 * mm->w_stride;
    const int64_t bytes = LANES * (t == DT_f32 ? 4 : 2);
    V16 y[SMALL_T];
    int64_t k = 0;
    UNROLL for (int m = 0; m < M; m++) y[m] = v_zero();
    for (; k + STEP <= mm->K; k += STEP) {
        mm_prefetch(true, mm, n0, k * bytes, STEP * bytes);
        UNROLL for (int i = 0; i < STEP; i++) UNROLL for (int m = 0; m < M; m++) y[m] =
            v_fma(v_set1(tile_f32(&c, m)[k + i]), group16(t, group, k + i), y[m]);
    }
    for (; k < mm->K; k++)
        UNROLL for (int m = 0; m < M; m++) y[m] = v_fma(v_set1(tile_f32(&c, m)[k]), group16(t, group, k), y[m]);
    UNROLL for (int m = 0; m < M; m++) tile_store(&c, m, 0, y[m]);
}

#define F32_SMALL(t, m)                                                                                                \
    case 8 * DT_##t + (m):                                                                                             \
        if (mm->packed)                                                                                                \
            f32_small_packed(DT_##t, m, mm, n0);                                                                       \
        else                                                                                                           \
            f32_small_m(DT_##t, m, mm, n0);                                                                            \
        break;
#define F32_SMALL_ALL(t) F32_SMALL(t, 1) F32_SMALL(t, 2) F32_SMALL(t, 3) F32_SMALL(t, 4)

static void f32_small(const Mm *mm, int64_t n0, void *scratch) {
    switch (8 * (int64_t)mm->w_dtype + mm->T) {
        F32_SMALL_ALL(f32)
        F32_SMALL_ALL(f16)
        F32_SMALL_ALL(bf16)
    default: f32_panel(mm, n0, 1, scratch); /* quants meet f32 only in training and checks */
    }
}

static inline size_t matmul_f32_scratch(const OpArgs *a) { return mm_scratch(a, sizeof(PanelF32)); }

static inline void matmul_f32_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    static const MmBody body = {f32_small, f32_panel};
    mm_run(a, &body, u0, u1, scratch);
}

#endif
