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

/* What has one scale: 32 elements, or each half of them. */
static float dot_a8(const BlockA8 *x, const QuantPart *w, int64_t n) {
    float y = 0;
    for (int64_t b = 0; b < n / 32; b++) {
        const int len = w[b].halves ? 16 : 32;
        for (int j0 = 0; j0 < 32; j0 += len) {
            int32_t isum = 0, sum = 0;
            for (int j = j0; j < j0 + len; j++) isum += x[b].q[j] * w[b].q[j], sum += x[b].q[j];
            y = fmaf(w[b].d[j0 / 16] * x[b].d, (float)isum, y);
            if (w[b].has_min) y = fmaf(w[b].m[j0 / 16], x[b].d * (float)sum, y);
        }
    }
    return y;
}

/* A unit is one row of w, that is one column of y. */
static int64_t matmul_units(const OpArgs *a) { return a->in[1].ne[0]; }
static size_t matmul_scratch(const OpArgs *a) { /* of one row: f32, or integers */
    size_t K = (size_t)ref_inner(&a->in[1]);
    return MAX(K * 4, K / 32 * sizeof(QuantPart));
}

/* Row n of w in bf16: as it is, or rounded. buf has room for the row in f32. */
static const uint16_t *bf16_row(const Tensor *w, int64_t n, void *buf) {
    if (w->dtype == DT_bf16) return tensor_row(w, n);
    uint16_t *out = buf;
    const float *row = ref_row(w, n, buf);
    for (int64_t k = 0; k < ref_inner(w); k++) out[k] = f32_to_bf16(row[k]); /* never ahead of what it reads */
    return out;
}

/* Row n of w as the dtype of x wants it. */
static const void *matmul_row(const Tensor *x, const Tensor *w, int64_t n, void *scratch) {
    if (x->dtype == DT_f32) return ref_row(w, n, scratch);
    if (x->dtype == DT_bf16) return bf16_row(w, n, scratch);
    QuantPart *p = scratch;
    for (int64_t b = 0; b < ref_inner(w) / 32; b++) dtype_info[w->dtype].part(tensor_row(w, n), b, &p[b]);
    return p;
}

/* Row r of x times what matmul_row gave. */
static float matmul_dot(const Tensor *x, int64_t r, const Tensor *w, const void *w_row) {
    const void *xr = tensor_row(x, r);
    if (x->dtype == DT_f32) return dot_f32(xr, w_row, ref_inner(w));
    if (x->dtype == DT_bf16) return dot_bf16(xr, w_row, ref_inner(w));
    return dot_a8(xr, w_row, ref_inner(w));
}

static void matmul_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const Tensor *x = &a->in[0], *w = &a->in[1];
    int64_t n_rows = tensor_rows(x);
    for (int64_t n = u0; n < u1; n++) {
        const void *wr = matmul_row(x, w, n, scratch);
        for (int64_t r = 0; r < n_rows; r++) ((float *)tensor_row(&a->out, r))[n] = matmul_dot(x, r, w, wr);
    }
}

const char takes_matmul[] = "fr>f br>f aq>f";
const Kernel ref_matmul = {"ref", matmul_units, matmul_run, matmul_scratch};

/* A unit of matmul_dx is DX_COLUMNS columns of dx, a multiple of every block, so that each part of w is decoded once.
 */
enum { DX_COLUMNS = 256 };

static int64_t matmul_dx_units(const OpArgs *a) { return div_up(a->in[1].ne[1], DX_COLUMNS); }

/* Columns [k0, k0 + width) of row n of w; 0 past the last row. */
static void dx_part(const Tensor *w, int64_t n, int64_t k0, int64_t width, float *out) {
    if (n < w->ne[0])
        dtype_info[w->dtype].decode((const char *)tensor_row(w, n) + dtype_row_bytes(w->dtype, k0), out, width);
    else
        memset(out, 0, (size_t)width * 4);
}

/* bf16: rows n and n + 1 of w at a time. */
static void dx_pairs(const OpArgs *a, int64_t k0, int64_t width) {
    const Tensor *dy = &a->in[0], *w = &a->in[1];
    float two[2][DX_COLUMNS];
    for (int64_t n = 0; n < w->ne[0]; n += 2) {
        for (int64_t i = 0; i < 2; i++) dx_part(w, n + i, k0, width, two[i]);
        for (int64_t r = 0; r < tensor_rows(dy); r++) {
            const uint16_t *g = (const uint16_t *)tensor_row(dy, r) + n, next = n + 1 < w->ne[0] ? g[1] : 0;
            float *dx = (float *)tensor_row(&a->out, r) + k0;
            for (int64_t k = 0; k < width; k++)
                dx[k] = flush_fma(g[0], f32_to_bf16(two[0][k]), flush_fma(next, f32_to_bf16(two[1][k]), dx[k]));
        }
    }
}

static void matmul_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const Tensor *dy = &a->in[0], *w = &a->in[1];
    int64_t n_rows = tensor_rows(dy);
    float panel[DX_COLUMNS];
    for (int64_t u = u0; u < u1; u++) {
        int64_t k0 = u * DX_COLUMNS, width = MIN(DX_COLUMNS, w->ne[1] - k0);
        for (int64_t r = 0; r < n_rows; r++) memset((float *)tensor_row(&a->out, r) + k0, 0, (size_t)width * 4);
        if (dy->dtype == DT_bf16) dx_pairs(a, k0, width);
        for (int64_t n = 0; n < w->ne[0] && dy->dtype != DT_bf16; n++) {
            dx_part(w, n, k0, width, panel);
            for (int64_t r = 0; r < n_rows; r++) {
                float *dx = (float *)tensor_row(&a->out, r) + k0, g = ((const float *)tensor_row(dy, r))[n];
                for (int64_t k = 0; k < width; k++) dx[k] = fmaf(g, panel[k], dx[k]);
            }
        }
    }
}

const char takes_matmul_dx[] = "fr>f br>f";
const Kernel ref_matmul_dx = {"ref", matmul_dx_units, matmul_dx_run, NULL};

static const uint16_t zeros[1];

/* Row n of dw over bf16: tokens t and t + 1 at a time. */
static void dw_pairs(const OpArgs *a, int64_t n, float *dw) {
    const Tensor *dy = &a->in[0], *x = &a->in[1];
    const int64_t T = tensor_rows(dy);
    for (int64_t k = 0; k < a->out.ne[1]; k++) {
        dw[k] = flush(dw[k]);
        for (int64_t t = 0; t < T; t += 2) {
            bool odd = t + 1 == T;
            const uint16_t *g = (const uint16_t *)tensor_row(dy, t) + n, *v = (const uint16_t *)tensor_row(x, t) + k;
            const uint16_t *g1 = odd ? zeros : (const uint16_t *)tensor_row(dy, t + 1) + n;
            const uint16_t *v1 = odd ? zeros : (const uint16_t *)tensor_row(x, t + 1) + k;
            dw[k] = flush_fma(*g, *v, flush_fma(*g1, *v1, dw[k]));
        }
    }
}

static void matmul_dw_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const Tensor *dy = &a->in[0], *x = &a->in[1];
    int64_t n_rows = tensor_rows(dy), K = a->out.ne[1];
    for (int64_t n = u0; n < u1; n++) {
        float *dw = ref_begin_row(a, 2, n);
        if (dy->dtype == DT_bf16) dw_pairs(a, n, dw);
        for (int64_t t = 0; t < n_rows && dy->dtype != DT_bf16; t++) {
            const float *xr = tensor_row(x, t), g = ((const float *)tensor_row(dy, t))[n];
            for (int64_t k = 0; k < K; k++) dw[k] = fmaf(g, xr[k], dw[k]);
        }
    }
}

const char takes_matmul_dw[] = "fff>f bbf>f";
const Kernel ref_matmul_dw = {"ref", ref_out_rows, matmul_dw_run, NULL};

/* ---- experts: a slot is a row of y, of a token and one of its experts ---- */

static float real_at(const Tensor *t, int64_t r, int64_t i) {
    float v;
    dtype_info[t->dtype].decode((const char *)tensor_row(t, r) + i * dtype_info[t->dtype].block_bytes, &v, 1);
    return v;
}

/* The row that slot r multiplies: x has a row per token, or one per slot. */
static int64_t slot_row(const Tensor *x, const Tensor *ids, int64_t r) { return x->ndim == 2 ? r / ids->ne[1] : r; }
static int64_t slot_expert(const Tensor *ids, int64_t r) {
    return ((const int32_t *)tensor_row(ids, r / ids->ne[1]))[r % ids->ne[1]];
}

static void matmul_experts_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const Tensor *x = &a->in[0], *w = &a->in[1], *ids = &a->in[2];
    for (int64_t r = u0; r < u1; r++) {
        float *y = tensor_row(&a->out, r);
        for (int64_t n = 0, first = slot_expert(ids, r) * w->ne[1]; n < w->ne[1]; n++)
            y[n] = matmul_dot(x, slot_row(x, ids, r), w, matmul_row(x, w, first + n, scratch));
    }
}

const char takes_matmul_experts[] = "fri>f bri>f aqi>f";
const Kernel ref_matmul_experts = {"ref", ref_out_rows, matmul_experts_run, matmul_scratch};

/* dx = fma of dy[n] and the rows of the slot's expert. */
static void slot_dx(const OpArgs *a, int64_t slot, float *dx, void *scratch) {
    const Tensor *dy = &a->in[0], *w = &a->in[1];
    for (int64_t n = 0, first = slot_expert(&a->in[2], slot) * w->ne[1]; n < w->ne[1]; n++) {
        const float *wr = ref_row(w, first + n, scratch);
        float g = real_at(dy, slot, n);
        for (int64_t i = 0; i < w->ne[2]; i++) dx[i] = fmaf(g, wr[i], dx[i]);
    }
}

/* Over bf16: rows n and n + 1 at a time, an odd last one beside 0. */
static void slot_dx_pairs(const OpArgs *a, int64_t slot, float *dx, float *scratch) {
    const Tensor *dy = &a->in[0], *w = &a->in[1];
    const uint16_t *g = tensor_row(dy, slot);
    const int64_t N = w->ne[1], K = w->ne[2], first = slot_expert(&a->in[2], slot) * N;
    for (int64_t n = 0; n < N; n += 2) {
        const bool odd = n + 1 == N;
        const float *low = ref_row(w, first + n, scratch), *high = odd ? low : ref_row(w, first + n + 1, scratch + K);
        for (int64_t i = 0; i < K; i++) {
            float next = flush_fma(odd ? 0 : g[n + 1], odd ? 0 : f32_to_bf16(high[i]), flush(dx[i]));
            dx[i] = flush_fma(g[n], f32_to_bf16(low[i]), next);
        }
    }
}

static size_t experts_dx_scratch(const OpArgs *a) { return (size_t)ref_inner(&a->in[1]) * 8; }

static void matmul_experts_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    int64_t slots = a->out.ndim == 2 ? a->in[2].ne[1] : 1; /* of a row of dx */
    for (int64_t r = u0; r < u1; r++) {
        float *dx = tensor_row(&a->out, r);
        memset(dx, 0, (size_t)ref_inner(&a->out) * 4);
        for (int64_t s = r * slots; s < (r + 1) * slots; s++)
            if (a->in[0].dtype == DT_bf16)
                slot_dx_pairs(a, s, dx, scratch);
            else
                slot_dx(a, s, dx, scratch);
    }
}

const char takes_matmul_experts_dx[] = "frif>f brif>f";
const Kernel ref_matmul_experts_dx = {"ref", ref_out_rows, matmul_experts_dx_run, experts_dx_scratch};

static size_t expert_dw_scratch(const OpArgs *a) { return (size_t)ref_inner(&a->in[1]) * 4; }

/* A unit is an expert. */
static int64_t experts(const OpArgs *a) { return a->out.ne[0]; }

/* Over bf16: slots r and s of expert u, s < 0: none. */
static void expert_dw_pair(const OpArgs *a, int64_t u, int64_t r, int64_t s) {
    const Tensor *dy = &a->in[0], *x = &a->in[1], *ids = &a->in[2];
    const int64_t N = a->out.ne[1], K = a->out.ne[2];
    const uint16_t *x0 = tensor_row(x, slot_row(x, ids, r)), *x1 = s < 0 ? NULL : tensor_row(x, slot_row(x, ids, s));
    for (int64_t n = 0; n < N; n++) {
        const uint16_t g0 = ((const uint16_t *)tensor_row(dy, r))[n];
        const uint16_t g1 = s < 0 ? 0 : ((const uint16_t *)tensor_row(dy, s))[n];
        float *dw = tensor_row(&a->out, u * N + n);
        for (int64_t i = 0; i < K; i++) dw[i] = flush_fma(g0, x0[i], flush_fma(g1, x1 ? x1[i] : 0, flush(dw[i])));
    }
}

static void expert_dw_pairs(const OpArgs *a, int64_t u) {
    int64_t first = -1;
    for (int64_t r = 0; r < tensor_rows(&a->in[0]); r++) {
        if (slot_expert(&a->in[2], r) != u) continue;
        if (first >= 0) expert_dw_pair(a, u, first, r);
        first = first < 0 ? r : -1;
    }
    if (first >= 0) expert_dw_pair(a, u, first, -1);
}

static void matmul_experts_dw_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const Tensor *dy = &a->in[0], *x = &a->in[1], *ids = &a->in[2];
    int64_t N = a->out.ne[1], K = a->out.ne[2];
    for (int64_t u = u0; u < u1; u++) {
        for (int64_t n = 0; n < N; n++) ref_begin_row(a, 3, u * N + n);
        if (dy->dtype == DT_bf16) expert_dw_pairs(a, u);
        for (int64_t r = 0; r < tensor_rows(dy) && dy->dtype != DT_bf16; r++) {
            if (slot_expert(ids, r) != u) continue;
            const float *xr = ref_row(x, slot_row(x, ids, r), scratch);
            for (int64_t n = 0; n < N; n++) {
                float *dw = tensor_row(&a->out, u * N + n), g = real_at(dy, r, n);
                for (int64_t i = 0; i < K; i++) dw[i] = fmaf(g, xr[i], dw[i]);
            }
        }
    }
}

const char takes_matmul_experts_dw[] = "ffif>f bbif>f";
const Kernel ref_matmul_experts_dw = {"ref", experts, matmul_experts_dw_run, expert_dw_scratch};
