/* Products, and the casts of activations that decide how they are computed. */
#include "backends/cpu/ref.h"

#include <math.h>

static void cast_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t r = u0; r < u1; r++)
        dtype_info[a->out.dtype].encode(tensor_row(&a->in[0], r), tensor_row(&a->out, r), ref_inner(&a->out));
}

const char takes_cast[] = "f>v";
const Kernel ref_cast = {"ref", ref_out_rows, cast_run, NULL};

static float dot_f32(const float *x, const float *w, int64_t n) {
    float y = 0;
    for (int64_t k = 0; k < n; k++) y = fmaf(x[k], w[k], y);
    return y;
}

/* Of the bf16 product, as the instruction does it: subnormals count as 0. */
static float flush(float f) { return fabsf(f) < 0x1p-126f ? copysignf(0, f) : f; }
static float flush_fma(uint16_t x, uint16_t w, float y) {
    return flush(fmaf(flush(bf16_to_f32(x)), flush(bf16_to_f32(w)), y));
}

static float dot_bf16(const uint16_t *x, const uint16_t *w, int64_t n) {
    float y = 0;
    for (int64_t k = 0; k < n; k += 2) {
        if (k + 1 < n) y = flush_fma(x[k + 1], w[k + 1], y);
        y = flush_fma(x[k], w[k], y);
    }
    return y;
}

static float dot_a8(const BlockA8 *x, const QuantPart *w, bool halves, int64_t n) {
    float y = 0;
    for (int64_t b = 0; b < n / 32; b++) {
        const QuantPart *p = &w[b];
        int32_t isum[2] = {0, 0};
        for (int j = 0; j < 16; j++) isum[0] += x[b].q[j] * p->q[j], isum[1] += x[b].q[j + 16] * p->q[j + 16];
        if (halves) {
            for (int h = 0; h < 2; h++) y = fmaf(p->d[h] * x[b].d, (float)isum[h], y);
            continue;
        }
        y = fmaf(p->d[0] * x[b].d, (float)(isum[0] + isum[1]), y);
        if (p->has_min) y = fmaf(p->m, x[b].d * (float)x[b].sum, y);
    }
    return y;
}

/* A unit is one row of w, that is one column of y. */
static int64_t matmul_units(const OpArgs *a) { return a->in[1].ne[0]; }
static size_t matmul_scratch(const OpArgs *a) { /* of one row: f32, or integers */
    return MAX((size_t)a->in[1].ne[1] * 4, (size_t)a->in[1].ne[1] / 32 * sizeof(QuantPart));
}

/* Row n of w as the dtype of x wants it. */
static const void *matmul_row(const Tensor *x, const Tensor *w, int64_t n, void *scratch) {
    if (x->dtype == DT_f32) return ref_row(w, n, scratch);
    if (x->dtype == DT_bf16) return tensor_row(w, n);
    QuantPart *p = scratch;
    for (int64_t b = 0; b < w->ne[1] / 32; b++) dtype_info[w->dtype].part(tensor_row(w, n), b, &p[b]);
    return p;
}

static void matmul_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const Tensor *x = &a->in[0], *w = &a->in[1];
    int64_t n_rows = tensor_rows(x), K = w->ne[1];
    for (int64_t n = u0; n < u1; n++) {
        const void *wr = matmul_row(x, w, n, scratch);
        for (int64_t r = 0; r < n_rows; r++) {
            const void *xr = tensor_row(x, r);
            float *y = (float *)tensor_row(&a->out, r) + n;
            if (x->dtype == DT_f32)
                *y = dot_f32(xr, wr, K);
            else if (x->dtype == DT_bf16)
                *y = dot_bf16(xr, wr, K);
            else
                *y = dot_a8(xr, wr, w->dtype == DT_q6_k, K);
        }
    }
}

const char takes_matmul[] = "fr>f bb>f aq>f";
const Kernel ref_matmul = {"ref", matmul_units, matmul_run, matmul_scratch};

/* A unit of matmul_dx is DX_COLUMNS columns of dx, a multiple of every block, so that each part of w is decoded once.
 */
enum { DX_COLUMNS = 256 };

static int64_t matmul_dx_units(const OpArgs *a) { return div_up(a->in[1].ne[1], DX_COLUMNS); }

static float real_at(const Tensor *t, int64_t r, int64_t i) {
    float v;
    dtype_info[t->dtype].decode((const char *)tensor_row(t, r) + i * dtype_info[t->dtype].block_bytes, &v, 1);
    return v;
}

static void matmul_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const Tensor *dy = &a->in[0], *w = &a->in[1];
    int64_t n_rows = tensor_rows(dy);
    float panel[DX_COLUMNS];
    for (int64_t u = u0; u < u1; u++) {
        int64_t k0 = u * DX_COLUMNS, width = MIN(DX_COLUMNS, w->ne[1] - k0);
        for (int64_t r = 0; r < n_rows; r++) memset((float *)tensor_row(&a->out, r) + k0, 0, (size_t)width * 4);
        for (int64_t n = 0; n < w->ne[0]; n++) {
            dtype_info[w->dtype].decode((const char *)tensor_row(w, n) + dtype_row_bytes(w->dtype, k0), panel, width);
            for (int64_t r = 0; r < n_rows; r++) {
                float *dx = (float *)tensor_row(&a->out, r) + k0, g = real_at(dy, r, n);
                for (int64_t k = 0; k < width; k++) dx[k] = fmaf(g, panel[k], dx[k]);
            }
        }
    }
}

const char takes_matmul_dx[] = "dr>f";
const Kernel ref_matmul_dx = {"ref", matmul_dx_units, matmul_dx_run, NULL};

static size_t matmul_dw_scratch(const OpArgs *a) { return (size_t)ref_inner(&a->in[1]) * 4; }

static void matmul_dw_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const Tensor *dy = &a->in[0], *x = &a->in[1];
    int64_t n_rows = tensor_rows(dy), K = a->out.ne[1];
    for (int64_t n = u0; n < u1; n++) {
        float *dw = ref_begin_row(a, 2, n);
        for (int64_t t = 0; t < n_rows; t++) {
            const float *xr = ref_row(x, t, scratch);
            float g = real_at(dy, t, n);
            for (int64_t k = 0; k < K; k++) dw[k] = fmaf(g, xr[k], dw[k]);
        }
    }
}

const char takes_matmul_dw[] = "ddf>f";
const Kernel ref_matmul_dw = {"ref", ref_out_rows, matmul_dw_run, matmul_dw_scratch};
