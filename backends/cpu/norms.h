/* Norms, rows a multiple of 16 long: body of norms_<isa>.c. */
#ifndef CPU_NORMS_H
#define CPU_NORMS_H

#include "backends/cpu/put.h"

/* ---- root of the mean square ---- */

INLINE float rms_scale(const float *x, int64_t n, float eps) {
    V16 lanes = v_zero();
    for (int64_t i = 0; i < n; i += LANES) lanes = v_fma(v_load(x + i), v_load(x + i), lanes);
    return 1 / sqrtf(v_fold(lanes) / (float)n + eps);
}

typedef struct RmsRow {
    const float *x;
    const char *w;
    Dtype t; /* of w */
    V16 s, plus;
} RmsRow;

INLINE V16 rms_values(const void *row, int64_t i, int64_t n) {
    const RmsRow *r = row;
    (void)n;
    return v_mul(v_mul(v_load(r->x + i), r->s), v_add(decode16(r->t, r->w, i), r->plus));
}

INLINE void rms_norm_rows(Dtype t, const OpArgs *a, int64_t u0, int64_t u1) {
    for (int64_t r = u0, n = inner(a); r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r);
        const RmsRow row = {x, a->in[1].data, t, v_set1(rms_scale(x, n, a->params.norm.eps)),
                            v_set1(a->params.norm.plus)};
        put_row(a->out.dtype, tensor_row(&a->out, r), n, &row, rms_values);
    }
}

static void rms_norm_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    switch (a->in[1].dtype) {
    case DT_f32: rms_norm_rows(DT_f32, a, u0, u1); break;
    case DT_f16: rms_norm_rows(DT_f16, a, u0, u1); break;
    default: rms_norm_rows(DT_bf16, a, u0, u1); break;
    }
}

/* Weights of f32. */
static void rms_norm_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const float *w = a->in[2].data;
    const V16 plus = v_set1(a->params.norm.plus);
    for (int64_t r = u0, n = inner(a); r < u1; r++) {
        const float *dy = tensor_row(&a->in[0], r), *x = tensor_row(&a->in[1], r);
        float *dx = tensor_row(&a->out, r), s = rms_scale(x, n, a->params.norm.eps);
        V16 lanes = v_zero();
        for (int64_t i = 0; i < n; i += LANES)
            lanes = v_fma(v_mul(v_load(dy + i), v_add(v_load(w + i), plus)), v_load(x + i), lanes);
        const V16 k = v_neg(v_set1(s * s * s * (v_fold(lanes) / (float)n)));
        for (int64_t i = 0; i < n; i += LANES) {
            V16 scaled = v_mul(v_load(dy + i), v_add(v_load(w + i), plus));
            v_store(dx + i, v_fma(k, v_load(x + i), v_mul(v_set1(s), scaled)));
        }
    }
}

/* ---- layers ---- */

typedef struct LayerScale {
    V16 mean, s;
} LayerScale;

INLINE LayerScale layer_scale(const float *x, int64_t n, float eps) {
    V16 lanes = v_zero(), squares = v_zero();
    for (int64_t i = 0; i < n; i += LANES) lanes = v_add(lanes, v_load(x + i));
    const V16 mean = v_set1(v_fold(lanes) / (float)n);
    for (int64_t i = 0; i < n; i += LANES) {
        V16 h = v_sub(v_load(x + i), mean);
        squares = v_fma(h, h, squares);
    }
    return (LayerScale){mean, v_set1(1 / sqrtf(v_fold(squares) / (float)n + eps))};
}

INLINE V16 layer_normal(LayerScale l, const float *x) { return v_mul(v_sub(v_load(x), l.mean), l.s); }

typedef struct LayerRow {
    const float *x, *w, *b;
    LayerScale l;
} LayerRow;

INLINE V16 layer_values(const void *row, int64_t i, int64_t n) {
    const LayerRow *r = row;
    (void)n;
    return v_fma(layer_normal(r->l, r->x + i), v_load(r->w + i), v_load(r->b + i));
}

/* Weights of f32, here and below. */
static void layer_norm_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t r = u0, n = inner(a); r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r);
        const LayerRow row = {x, a->in[1].data, a->in[2].data, layer_scale(x, n, a->params.norm.eps)};
        put_row(a->out.dtype, tensor_row(&a->out, r), n, &row, layer_values);
    }
}

static void layer_norm_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const float *w = a->in[2].data;
    for (int64_t r = u0, n = inner(a); r < u1; r++) {
        const float *dy = tensor_row(&a->in[0], r), *x = tensor_row(&a->in[1], r);
        float *dx = tensor_row(&a->out, r);
        const LayerScale l = layer_scale(x, n, a->params.norm.eps);
        V16 sum = v_zero(), dot = v_zero();
        for (int64_t i = 0; i < n; i += LANES) {
            V16 scaled = v_mul(v_load(dy + i), v_load(w + i));
            sum = v_add(sum, scaled), dot = v_fma(scaled, layer_normal(l, x + i), dot);
        }
        const V16 mean = v_set1(v_fold(sum) / (float)n), along = v_set1(v_fold(dot) / (float)n);
        for (int64_t i = 0; i < n; i += LANES) {
            V16 scaled = v_mul(v_load(dy + i), v_load(w + i)), h = layer_normal(l, x + i);
            v_store(dx + i, v_mul(l.s, v_sub(v_sub(scaled, mean), v_mul(h, along))));
        }
    }
}

/* ---- gradients of weights: a unit is 16 columns, every one needs the scale of every row ---- */

INLINE int64_t column_units(const OpArgs *a) { return inner(a) / LANES; }
static size_t rms_dw_scratch(const OpArgs *a) { return (size_t)tensor_rows(&a->in[1]) * sizeof(float); }
static size_t layer_dw_scratch(const OpArgs *a) { return (size_t)tensor_rows(&a->in[1]) * sizeof(LayerScale); }

static void rms_norm_dw_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    float *scale = scratch, *dw = a->out.data;
    const int64_t n_rows = tensor_rows(&a->in[1]), n = inner(a);
    for (int64_t r = 0; r < n_rows && u0 < u1; r++)
        scale[r] = rms_scale(tensor_row(&a->in[1], r), n, a->params.norm.eps);
    for (int64_t i = u0 * LANES; i < u1 * LANES; i += LANES) {
        V16 sum = begin16(a, 2, i);
        for (int64_t r = 0; r < n_rows; r++) {
            const float *dy = tensor_row(&a->in[0], r), *x = tensor_row(&a->in[1], r);
            sum = v_fma(v_load(dy + i), v_mul(v_load(x + i), v_set1(scale[r])), sum);
        }
        v_store(dw + i, sum);
    }
}

static void layer_norm_dw_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    LayerScale *scale = scratch;
    float *dw = a->out.data;
    const int64_t n_rows = tensor_rows(&a->in[1]), n = inner(a);
    for (int64_t r = 0; r < n_rows && u0 < u1; r++)
        scale[r] = layer_scale(tensor_row(&a->in[1], r), n, a->params.norm.eps);
    for (int64_t i = u0 * LANES; i < u1 * LANES; i += LANES) {
        V16 sum = begin16(a, 2, i);
        for (int64_t r = 0; r < n_rows; r++) {
            const float *dy = tensor_row(&a->in[0], r), *x = tensor_row(&a->in[1], r);
            sum = v_fma(v_load(dy + i), layer_normal(scale[r], x + i), sum);
        }
        v_store(dw + i, sum);
    }
}

#endif
