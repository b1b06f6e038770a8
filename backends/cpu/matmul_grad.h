/* The two products of a gradient: body of matmul_grad_<isa>.c. A unit is 16 columns of every row of the output, GROUPS
 * units are one panel, and sums wait in the output between chunks, as in matmul.h.
 *
 * matmul_dx reads rows of dy as matmul reads rows of x; only its panel is filled with rows of w as they lie. matmul_dw
 * sums over tokens: both its operands lie with the tokens outside, so that 16 columns of dy are copied to a strip that
 * the registers then broadcast from. Over bf16 a lane holds two neighbours of what is summed over, an odd last one
 * beside 0. */
#ifndef CPU_MATMUL_GRAD_H
#define CPU_MATMUL_GRAD_H

#include "backends/cpu/matmul_bf16.h"
#include "backends/cpu/matmul_f32.h"

/* ---- 16 columns of a row ---- */

/* Columns of f32 rows beyond the last are 0; other dtypes have whole lanes. t is a constant. */
INLINE V16 columns16(Dtype t, const char *row, int64_t col, int64_t n_cols) {
    return t == DT_f32 ? v_load_n((const float *)(const void *)row + col, n_cols - col) : decode16(t, row, col);
}

/* ---- dx = dy w ---- */

/* Rows [r, r + n) of w, columns from col on: one row to a line of the panel, or two. t, pairs constants. */
INLINE void fill_rows(Dtype t, bool pairs, const Tensor *w, int64_t r, int64_t n, int64_t col, void *panel) {
    for (int64_t i = 0, step = pairs ? 2 : 1; i < n; i += step) {
        V16 low = columns16(t, tensor_row(w, r + i), col, w->ne[1]);
        V16 high = pairs && i + 1 < n ? columns16(t, tensor_row(w, r + i + 1), col, w->ne[1]) : v_zero();
        if (pairs)
            i_store((uint32_t *)panel + i / 2 * LANES, bf16_pairs(low, high));
        else
            v_store((float *)panel + i * LANES, low);
    }
}

typedef void FillRows(const Tensor *w, int64_t r, int64_t n, int64_t col, void *panel);
#define REAL(t)                                                                                                        \
    static void fill_##t(const Tensor *w, int64_t r, int64_t n, int64_t col, void *panel) {                            \
        fill_rows(DT_##t, false, w, r, n, col, panel);                                                                 \
    }                                                                                                                  \
    static void fill_pairs_##t(const Tensor *w, int64_t r, int64_t n, int64_t col, void *panel) {                      \
        fill_rows(DT_##t, true, w, r, n, col, panel);                                                                  \
    }
#include "core/dtypes_real.def"

static FillRows *const fills[DT_COUNT][2] = {
#define REAL(t) [DT_##t] = {fill_##t, fill_pairs_##t},
#include "core/dtypes_real.def"
};

static int64_t dx_units(const OpArgs *a) { return div_up(a->in[1].ne[1], LANES); }

/* The last row of an odd number of them, over bf16. */
static void dx_odd(const Mm *mm, const Tensor *w, int64_t n0, int64_t groups) {
    uint32_t panel[LANES];
    for (int64_t g = 0; g < groups; g++) {
        fills[w->dtype][true](w, mm->K - 1, 1, n0 + g * LANES, panel);
        for (int64_t t = 0; t < mm->T; t++) {
            Tile c = mm_tile(mm, t, n0 + g * LANES, 2 * (mm->K - 1), mm->K == 1);
            tile_store(&c, 0, 0, v_dpbf16(tile_load(&c, 0, 0), i_set1(u16_at(c.x)), i_load(panel)));
        }
    }
}

/* Columns of dx from n0 on. */
static void dx_panel(const Mm *mm, const Tensor *w, bool pairs, int64_t n0, int64_t groups, void *scratch) {
    const int64_t chunk = pairs ? 2 * BF16_CHUNK : F32_CHUNK, line = pairs ? 2 : 1, bytes = pairs ? 2 : 4;
    const int64_t K = pairs ? mm->K / 2 * 2 : mm->K;
    for (int64_t r = 0; r < K; r += chunk) {
        int64_t n = MIN(chunk, K - r);
        for (int64_t g = 0; g < groups; g++)
            fills[w->dtype][pairs](w, r, n, n0 + g * LANES, (float *)scratch + g * F32_CHUNK * LANES);
        for (int64_t g = 0, width; g < groups; g += width) {
            width = groups - g >= F32_G ? F32_G : 1;
            for (int64_t m = 0; m < mm->T; m += F32_M) {
                Tile c = mm_tile(mm, m, n0 + g * LANES, bytes * r, r == 0);
                if (pairs)
                    bf16_tile(MIN(F32_M, mm->T - m), width, &c, ((PanelBf16 *)scratch)->w + g, n / line);
                else
                    f32_tile(MIN(F32_M, mm->T - m), width, &c, ((PanelF32 *)scratch)->w + g, n);
            }
        }
    }
    if (K < mm->K) dx_odd(mm, w, n0, groups);
}

/* A third input is what stands in the output: sums go on from there (backends/cpu/experts_grad.h). */
static void dx_run(const OpArgs *a, bool pairs, int64_t u0, int64_t u1, void *scratch) {
    const Tensor *dy = &a->in[0], *w = &a->in[1];
    const Mm mm = {tensor_rows(dy), w->ne[1],    w->ne[0],       w->dtype, dy->data,
                   w->data,         a->out.data, row_stride(dy), 0,        row_stride(&a->out),
                   a->n_in > 2};
    for (int64_t u = u0; u < u1; u += GROUPS) dx_panel(&mm, w, pairs, u * LANES, MIN(GROUPS, u1 - u), scratch);
}

static inline void matmul_dx_f32_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    dx_run(a, false, u0, u1, scratch);
}

static void matmul_dx_bf16_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    uint64_t mode = mode_flush();
    dx_run(a, true, u0, u1, scratch);
    mode_restore(mode);
}

/* ---- dw = dy^T x ---- */

enum { DW_CHUNK = F32_CHUNK }; /* lines at a time: tokens, or pairs of them */

typedef struct DwPanel {
    uint32_t x[GROUPS][DW_CHUNK][LANES], dy[DW_CHUNK][LANES];
} DwPanel;

/* Columns from col on of tokens [t, t + n) of x, f32 or bf16. */
INLINE void strip(const Tensor *x, int64_t t, int64_t n, int64_t col, uint32_t (*out)[LANES]) {
    if (x->dtype == DT_f32)
        for (int64_t i = 0; i < n; i++)
            v_store(out[i], v_load_n((const float *)tensor_row(x, t + i) + col, x->ne[x->ndim - 1] - col));
    else
        for (int64_t i = 0; i < n; i += 2) {
            uint16_t two[2][LANES] = {{0}};
            const int64_t width = MIN(LANES, x->ne[x->ndim - 1] - col);
            for (int64_t k = 0; k < MIN(2, n - i); k++)
                memcpy(two[k], (const uint16_t *)tensor_row(x, t + i + k) + col, (size_t)width * 2);
            I16 low = i_bits(v_from_bf16(h_load(two[0]))), high = i_bits(v_from_bf16(h_load(two[1])));
            i_store(out[i / 2], i_or(i_shr16(low), high));
        }
}

/* M columns of dy x G groups of columns of x, both constants. */
INLINE void dw_tile_mg(bool pairs, int M, int G, const Tile *c, const uint32_t (*dy)[LANES],
                       const uint32_t (*x)[DW_CHUNK][LANES], int64_t n) {
    V16 y[F32_M][F32_G];
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) y[m][g] = tile_load(c, m, g);
    for (int64_t t = 0; t < n; t++) {
        I16 xt[F32_G];
        UNROLL for (int g = 0; g < G; g++) xt[g] = i_load(x[g][t]);
        UNROLL for (int m = 0; m < M; m++) {
            I16 d = i_set1((int32_t)dy[t][m]);
            UNROLL for (int g = 0; g < G; g++) y[m][g] =
                pairs ? v_dpbf16(y[m][g], d, xt[g]) : v_fma(v_bits(d), v_bits(xt[g]), y[m][g]);
        }
    }
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) tile_store(c, m, g, y[m][g]);
}

#define DW_TILE(m, g)                                                                                                  \
    case 4 * (m) + (g): dw_tile_mg(pairs, m, g, c, dy, x, n); break;
INLINE void dw_tile(bool pairs, int64_t rows, int64_t groups, const Tile *c, const uint32_t (*dy)[LANES],
                    const uint32_t (*x)[DW_CHUNK][LANES], int64_t n) {
    switch (4 * rows + groups) {
        DW_TILE(1, 1)
        DW_TILE(2, 1)
        DW_TILE(3, 1)
        DW_TILE(4, 1)
        DW_TILE(5, 1)
        DW_TILE(6, 1)
#if defined __AVX512F__
        DW_TILE(7, 1)
        DW_TILE(8, 1)
        DW_TILE(1, 3)
        DW_TILE(2, 3)
        DW_TILE(3, 3)
        DW_TILE(4, 3)
        DW_TILE(5, 3)
        DW_TILE(6, 3)
        DW_TILE(7, 3)
        DW_TILE(8, 3)
#endif
    }
}

/* Columns from n0 on of every row of dw. */
INLINE void dw_panel(const OpArgs *a, bool pairs, int64_t n0, int64_t groups, DwPanel *p) {
    const Tensor *dy = &a->in[0], *x = &a->in[1];
    const int64_t T = tensor_rows(dy), N = a->out.ne[0], width = a->out.ne[1] - n0, lines = pairs ? 2 : 1;
    const Tensor *sum = a->n_in > 2 ? &a->in[2] : NULL;
    for (int64_t r = 0; sum && sum->data != a->out.data && r < N; r++)
        memcpy((float *)tensor_row(&a->out, r) + n0, (const float *)tensor_row(sum, r) + n0,
               (size_t)MIN(width, groups * LANES) * 4);
    for (int64_t t = 0; t == 0 || t < T; t += DW_CHUNK * lines) {
        const int64_t tokens = MIN(DW_CHUNK * lines, T - t), n = div_up(tokens, lines);
        for (int64_t g = 0; g < groups; g++) strip(x, t, tokens, n0 + g * LANES, p->x[g]);
        for (int64_t r = 0; r < N; r++) {
            const int64_t at = r % LANES, rows = MIN(MIN(F32_M, LANES - at), N - r);
            if (at == 0) strip(dy, t, tokens, r, p->dy);
            for (int64_t g = 0, w; g < groups; g += w) {
                w = groups - g >= F32_G ? F32_G : 1;
                Tile c = {.y = (float *)tensor_row(&a->out, r) + n0 + g * LANES,
                          .y_stride = a->out.stride[0],
                          .width = width - g * LANES,
                          .first = t == 0 && !sum};
                dw_tile(pairs, rows, w, &c, (const uint32_t(*)[LANES])(p->dy[0] + at), p->x + g, n);
            }
            r += rows - 1;
        }
    }
}

static size_t dw_scratch(const OpArgs *a) { return (void)a, sizeof(DwPanel); }
static int64_t dw_units(const OpArgs *a) { return div_up(a->out.ne[1], LANES); }

static inline void matmul_dw_f32_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    for (int64_t u = u0; u < u1; u += GROUPS) dw_panel(a, false, u * LANES, MIN(GROUPS, u1 - u), scratch);
}

static void matmul_dw_bf16_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    uint64_t mode = mode_flush();
    for (int64_t u = u0; u < u1; u += GROUPS) dw_panel(a, true, u * LANES, MIN(GROUPS, u1 - u), scratch);
    mode_restore(mode);
}

#endif
