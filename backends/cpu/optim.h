/* What training alone does row by row: loss, optimisers, dropout. Body of optim_<isa>.c. A unit is a row. */
#ifndef CPU_OPTIM_H
#define CPU_OPTIM_H

#include "backends/cpu/drop.h"
#include "backends/cpu/rows.h"

/* ---- cross-entropy, rows a multiple of 16 ---- */

INLINE float row_max(const float *x, int64_t n) {
    V16 m = v_load(x);
    for (int64_t i = LANES; i < n; i += LANES) m = v_max(v_load(x + i), m);
    return v_hmax(m);
}

/* Sum of e^(x - m) in 16 lanes of f64, folded as lanes16. */
INLINE double exp_sum(const float *x, int64_t n, float m) {
    double l[LANES] = {0};
    for (int64_t i = 0; i < n; i += LANES) {
        float e[LANES];
        v_store(e, v_exp(v_sub(v_load(x + i), v_set1(m))));
        for (int j = 0; j < LANES; j++) l[j] += (double)e[j];
    }
    for (int half = LANES / 2; half; half /= 2)
        for (int j = 0; j < half; j++) l[j] += l[j + half];
    return l[0];
}

static int64_t loss_units(const OpArgs *a) { return tensor_rows(&a->in[0]); }

static void cross_entropy_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const int32_t *labels = a->in[1].data;
    const int64_t V = a->in[0].ne[1];
    for (int64_t o = u0; o < u1; o++) {
        const float *x = tensor_row(&a->in[0], o);
        float m = labels[o] < 0 ? 0 : row_max(x, V), *loss = (float *)a->out.data + o;
        *loss = labels[o] < 0 ? 0 : (float)(log(exp_sum(x, V, m)) + (double)m - (double)x[labels[o]]);
    }
}

static void cross_entropy_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const int32_t *labels = a->in[2].data;
    const int64_t V = a->out.ne[1];
    for (int64_t o = u0; o < u1; o++) {
        const float *x = tensor_row(&a->in[1], o);
        float *dx = tensor_row(&a->out, o);
        if (labels[o] < 0) {
            memset(dx, 0, (size_t)V * 4);
            continue;
        }
        const float m = row_max(x, V), hit = x[labels[o]];
        const double g = (double)((const float *)a->in[0].data)[o], per = g / exp_sum(x, V, m);
        for (int64_t i = 0; i < V; i += LANES) {
            float e[LANES];
            v_store(e, v_exp(v_sub(v_load(x + i), v_set1(m))));
            for (int j = 0; j < LANES; j++) dx[i + j] = (float)(per * (double)e[j]);
        }
        dx[labels[o]] = (float)(per * (double)exp_f32(hit - m) - g);
    }
}

/* ---- norm and update ---- */

static void sum_squares_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const int64_t n = a->in[0].ne[a->in[0].ndim - 1];
    for (int64_t r = u0; r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r);
        V16 lanes = v_zero();
        for (int64_t i = 0; i < n; i += LANES) {
            V16 v = v_load_n(x + i, n - i);
            lanes = v_fma(v, v, lanes);
        }
        ((float *)a->out.data)[r] = v_fold(lanes);
    }
}

static void adamw_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const float *hyper = a->in[4].data;
    const V16 scale = v_set1(*(const float *)a->in[5].data), b1 = v_set1(hyper[1]), b2 = v_set1(hyper[2]);
    const V16 rest1 = v_set1(1 - hyper[1]), rest2 = v_set1(1 - hyper[2]), eps = v_set1(hyper[3]);
    const V16 keep = v_set1(1 - hyper[0] * hyper[4]), step = v_set1(hyper[0] / hyper[5]);
    const V16 root = v_set1(sqrtf(hyper[6]));
    for (int64_t r = u0, n = inner(a); r < u1; r++) {
        const float *w = tensor_row(&a->in[0], r), *g = tensor_row(&a->in[1], r);
        float *m = tensor_row(&a->in[2], r), *v = tensor_row(&a->in[3], r), *out = tensor_row(&a->out, r);
        for (int64_t i = 0; i < n; i += LANES) {
            const int64_t k = n - i;
            V16 gi = v_mul(v_load_n(g + i, k), scale);
            V16 mi = v_fma(b1, v_load_n(m + i, k), v_mul(rest1, gi));
            V16 vi = v_fma(b2, v_load_n(v + i, k), v_mul(v_mul(rest2, gi), gi));
            V16 by = v_add(v_div(v_sqrt(vi), root), eps);
            v_store_n(m + i, mi, k), v_store_n(v + i, vi, k);
            v_store_n(out + i, v_sub(v_mul(v_load_n(w + i, k), keep), v_div(v_mul(step, mi), by)), k);
        }
    }
}

/* ---- dropout ---- */

/* A draw serves four values that follow each other, over the ends of rows: 16 values need five draws at most. */
static void dropout_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const Drop d = drop_begin(a->params.dropout, a->in[1].data);
    const V16 kept = v_set1(d.kept), below = v_set1((float)d.below);
    for (int64_t r = u0, n = inner(a); r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r);
        float *y = tensor_row(&a->out, r);
        for (int64_t i = 0; i < n; i += LANES) {
            uint64_t bits[LANES / 4 + 1];
            const uint64_t at = (uint64_t)(r * n + i);
            for (size_t k = 0; k < COUNT_OF(bits); k++) bits[k] = rng_u64(d.key, d.stream, at / 4 + k, RNG_DROPOUT);
            V16 drawn = v_from_int(i_shr16(i_bits(v_from_bf16(h_load((const uint16_t *)bits + at % 4)))));
            v_store_n(y + i, v_if_less(drawn, below, v_zero(), v_mul(v_load_n(x + i, n - i), kept)), n - i);
        }
    }
}

#endif
