/* The two products of a gradient: body of matmul_grad_<isa>.c. Sums wait in the output between chunks, as in matmul.h.
 *
 * matmul_dx reads rows of dy as matmul reads rows of x, a unit is 16 columns of every row of the output and GROUPS
 * units are one panel; only that is filled with rows of w as they lie. matmul_dw sums over tokens: both its operands
 * lie with the tokens outside, so that many columns of x are copied to a panel, and 16 columns of dy at a time to a
 * strip that the registers then broadcast from. Over bf16 a lane holds two neighbours of what is summed over, an odd
 * last one beside 0. */
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
    const int64_t K = pairs ? mm->K / 2 * 2 : mm->K, chunk = pairs ? 2 * BF16_CHUNK : f32_chunk(K);
    const int64_t line = pairs ? 2 : 1, bytes = pairs ? 2 : 4, room = pairs ? BF16_CHUNK : F32_CHUNK;
    for (int64_t r = 0; r < K; r += chunk) {
        int64_t n = MIN(chunk, K - r);
        for (int64_t g = 0; g < groups; g++)
            fills[w->dtype][pairs](w, r, n, n0 + g * LANES, (float *)scratch + g * room * LANES);
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

/* Lines of a panel: tokens, or pairs of them; groups of 16 columns of x in it: 288 KiB, inside most L2. */
enum { DW_CHUNK = 128, DW_GROUPS = 36, DW_LEAST = 128, DW_FEW = 512 };

typedef struct DwPanel {
    uint32_t x[DW_GROUPS / F32_G][DW_CHUNK][F32_G][LANES], dy[DW_CHUNK][LANES];
} DwPanel;

/* A unit is some rows of dw in a block of its columns; those of one block follow each other. */
typedef struct DwCut {
    int64_t rows, units, groups; /* rows of a unit, units of a block; groups of 16 columns in one */
} DwCut;

/* What is copied is least where a share is wide and high; few rows are work for several threads only if the blocks are
 * small. */
static DwCut dw_cut(const OpArgs *a) {
    const int64_t N = a->out.ne[0], wide = div_up(a->out.ne[1], LANES), rows = N < DW_FEW ? 4 * LANES : LANES;
    const int64_t most = N < DW_LEAST ? F32_G : N < DW_FEW ? DW_GROUPS / 4 : DW_GROUPS;
    return (DwCut){rows, div_up(N, rows), div_up(div_up(wide, div_up(wide, most)), F32_G) * F32_G};
}

static size_t dw_scratch(const OpArgs *a) { return (void)a, sizeof(DwPanel); }
static int64_t dw_units(const OpArgs *a) {
    const DwCut c = dw_cut(a);
    return c.units * div_up(div_up(a->out.ne[1], LANES), c.groups);
}

/* Columns from col on of token t of x; of bf16 beside token t + 1, or beside 0 where n is 1. */
INLINE I16 token16(bool pairs, const Tensor *x, int64_t t, int64_t n, int64_t col) {
    const int64_t width = x->ne[x->ndim - 1] - col, stride = row_stride(x);
    const char *at = (const char *)x->data + t * stride + col * (pairs ? 2 : 4);
    if (!pairs) return i_bits(v_load_n(at, width));
    uint16_t two[2][LANES] = {{0}};
    const char *row[2] = {at, at + stride};
    for (int k = 0; k < 2 && width < LANES; k++) {
        if (k < n) memcpy(two[k], row[k], (size_t)width * 2);
        row[k] = (const char *)two[k];
    }
    if (n < 2) row[1] = (const char *)two[1];
    I16 low = i_bits(v_from_bf16(h_load(row[0]))), high = i_bits(v_from_bf16(h_load(row[1])));
    return i_or(i_shr16(low), high);
}

/* `groups` times 16 columns from col on of tokens [t, t + n) of x; a line of the panel has room for `line` of them. */
INLINE void strips(bool pairs, const Tensor *x, int64_t t, int64_t n, int64_t col, int64_t groups, int64_t line,
                   uint32_t *out) {
    for (int64_t i = 0, step = pairs ? 2 : 1; i < n; i += step, out += line * LANES) {
        __builtin_prefetch((const char *)x->data + (t + i) * row_stride(x) + col * (pairs ? 2 : 4) + 64, 0, 2);
        for (int64_t g = 0; g < groups; g++) i_store(out + g * LANES, token16(pairs, x, t + i, n - i, col + g * LANES));
    }
}

/* M columns of dy x G groups of columns of x, both constants. */
INLINE void dw_tile_mg(bool pairs, int M, int G, const Tile *c, const uint32_t (*dy)[LANES],
                       const uint32_t (*x)[F32_G][LANES], int64_t n) {
    V16 y[F32_M][F32_G];
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) y[m][g] = tile_load(c, m, g);
    for (int64_t t = 0; t < n; t++) {
        I16 xt[F32_G];
        UNROLL for (int g = 0; g < G; g++) xt[g] = i_load(x[t][g]);
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
                    const uint32_t (*x)[F32_G][LANES], int64_t n) {
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

typedef struct DwBlock { /* columns of dw, and the lines of the panel at hand */
    const OpArgs *a;
    int64_t col, groups, n;
    bool first;
    DwPanel *p;
} DwBlock;

/* The sums of the tile behind this one: there are many, and each is soon done. */
INLINE void prefetch_sums(const Tile *c, int64_t rows, int64_t groups) {
    for (int m = 0; m < rows; m++)
        UNROLL for (int g = 0; g < F32_G; g++) __builtin_prefetch(tile_y(c, m, (int)groups + g), 1, 3);
}

/* Rows [r, r + 16) of dw go on; p->dy holds these columns of dy. */
INLINE void dw_rows(bool pairs, const DwBlock *b, int64_t r) {
    const Tensor *out = &b->a->out;
    for (int64_t at = 0, rows; at < MIN(LANES, out->ne[0] - r); at += rows) {
        rows = MIN(MIN(F32_M, LANES - at), out->ne[0] - r - at);
        for (int64_t g = 0, w; g < b->groups; g += w) {
            w = b->groups - g >= F32_G ? F32_G : 1;
            Tile c = {.y = (float *)tensor_row(out, r + at) + b->col + g * LANES,
                      .y_stride = out->stride[0],
                      .width = out->ne[1] - b->col - g * LANES,
                      .first = b->first};
            prefetch_sums(&c, rows, w);
            dw_tile(pairs, rows, w, &c, (const uint32_t(*)[LANES])(b->p->dy[0] + at),
                    (const uint32_t(*)[F32_G][LANES])b->p->x[g / F32_G][0][g % F32_G], b->n);
        }
    }
}

/* Rows [r0, r1) of a block. */
INLINE void dw_block(bool pairs, DwBlock *b, int64_t r0, int64_t r1) {
    const OpArgs *a = b->a;
    const Tensor *dy = &a->in[0], *x = &a->in[1], *sum = a->n_in > 2 ? &a->in[2] : NULL;
    const int64_t T = tensor_rows(dy), width = MIN(b->groups * LANES, a->out.ne[1] - b->col), step = pairs ? 2 : 1;
    for (int64_t r = r0; sum && sum->data != a->out.data && r < r1; r++)
        memcpy((float *)tensor_row(&a->out, r) + b->col, (const float *)tensor_row(sum, r) + b->col, (size_t)width * 4);
    for (int64_t t = 0; t == 0 || t < T; t += DW_CHUNK * step) {
        const int64_t n = MIN(DW_CHUNK * step, T - t);
        b->first = t == 0 && !sum, b->n = div_up(n, step);
        for (int64_t g = 0; g < b->groups; g += F32_G)
            strips(pairs, x, t, n, b->col + g * LANES, MIN(F32_G, b->groups - g), F32_G, b->p->x[g / F32_G][0][0]);
        for (int64_t r = r0; r < r1; r += LANES) {
            strips(pairs, dy, t, n, r, 1, 1, b->p->dy[0]);
            dw_rows(pairs, b, r);
        }
    }
}

INLINE void dw_run(bool pairs, const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const DwCut cut = dw_cut(a);
    for (int64_t u = u0, end; u < u1; u = end) {
        const int64_t block = u / cut.units, group = block * cut.groups;
        end = MIN(u1, (block + 1) * cut.units);
        DwBlock b = {
            .a = a, .col = group * LANES, .groups = MIN(cut.groups, div_up(a->out.ne[1], LANES) - group), .p = scratch};
        dw_block(pairs, &b, u % cut.units * cut.rows, MIN((end - block * cut.units) * cut.rows, a->out.ne[0]));
    }
}

static inline void matmul_dw_f32_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    dw_run(false, a, u0, u1, scratch);
}

static void matmul_dw_bf16_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    uint64_t mode = mode_flush();
    dw_run(true, a, u0, u1, scratch);
    mode_restore(mode);
}

#endif
