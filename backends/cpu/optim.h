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

INLINE V16 bf16_load_n(const uint16_t *x, int64_t n) {
    uint16_t part[LANES] = {0};
    if (n >= LANES) return v_from_bf16(h_load(x));
    memcpy(part, x, (size_t)n * sizeof *x);
    return v_from_bf16(h_load(part));
}

/* Columns i ... of a row of n. t is f32 or bf16, a constant. */
INLINE V16 load16(Dtype t, const void *row, int64_t i, int64_t n) {
    return t == DT_bf16 ? bf16_load_n((const uint16_t *)row + i, n - i) : v_load_n((const float *)row + i, n - i);
}

INLINE void sum_squares_of(Dtype t, const OpArgs *a, int64_t u0, int64_t u1) {
    const int64_t n = a->in[0].ne[a->in[0].ndim - 1];
    for (int64_t r = u0; r < u1; r++) {
        const void *x = tensor_row(&a->in[0], r);
        V16 lanes = v_zero();
        for (int64_t i = 0; i < n; i += LANES) {
            V16 v = load16(t, x, i, n);
            lanes = v_fma(v, v, lanes);
        }
        ((float *)a->out.data)[r] = v_fold(lanes);
    }
}

static void sum_squares_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    if (a->in[0].dtype == DT_bf16)
        sum_squares_of(DT_bf16, a, u0, u1);
    else
        sum_squares_of(DT_f32, a, u0, u1);
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

static void sgd_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const float *hyper = a->in[2].data;
    const V16 scale = v_set1(*(const float *)a->in[3].data), lr = v_set1(-hyper[0]);
    const V16 decay = v_set1(hyper[4]), momentum = v_set1(hyper[7]);
    for (int64_t r = u0, n = inner(a); r < u1; r++) {
        const float *w = tensor_row(&a->in[0], r), *g = tensor_row(&a->in[1], r);
        float *m = a->n_in > 4 ? tensor_row(&a->in[4], r) : NULL, *out = tensor_row(&a->out, r);
        for (int64_t i = 0; i < n; i += LANES) {
            const int64_t k = n - i;
            V16 wi = v_load_n(w + i, k), step = v_fma(decay, wi, v_mul(v_load_n(g + i, k), scale));
            if (m) {
                step = v_fma(momentum, v_load_n(m + i, k), step);
                v_store_n(m + i, step, k);
            }
            v_store_n(out + i, v_fma(lr, step, wi), k);
        }
    }
}

/* ---- muon ---- */

static void muon_momentum_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const V16 rest = v_set1(1 - ((const float *)a->in[2].data)[7]), scale = v_set1(*(const float *)a->in[3].data);
    for (int64_t r = u0, n = inner(a); r < u1; r++) {
        const float *g = tensor_row(&a->in[0], r);
        float *m = tensor_row(&a->in[1], r), *out = tensor_row(&a->out, r);
        for (int64_t i = 0; i < n; i += LANES) {
            V16 gi = v_mul(v_load_n(g + i, n - i), scale), mi = v_load_n(m + i, n - i);
            mi = v_fma(rest, v_sub(gi, mi), mi);
            v_store_n(m + i, mi, n - i);
            v_store_n(out + i, v_fma(rest, v_sub(gi, mi), mi), n - i);
        }
    }
}

static void muon_unit_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const float norm = bf16_to_f32(f32_to_bf16(sqrtf(*(const float *)a->in[1].data)));
    const V16 by = v_set1(norm > 1e-7f ? norm : 1e-7f);
    for (int64_t r = u0, n = inner(a); r < u1; r++) {
        const uint16_t *x = tensor_row(&a->in[0], r);
        float *y = tensor_row(&a->out, r);
        for (int64_t i = 0; i < n; i += LANES) v_store_n(y + i, v_div(bf16_load_n(x + i, n - i), by), n - i);
    }
}

INLINE void mix_of(Dtype t, const OpArgs *a, int64_t u0, int64_t u1) {
    const V16 by_x = v_set1(a->params.mix.a), by_y = v_set1(a->params.mix.b);
    for (int64_t r = u0, n = inner(a); r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r);
        const void *y = tensor_row(&a->in[1], r);
        float *z = tensor_row(&a->out, r);
        for (int64_t i = 0; i < n; i += LANES)
            v_store_n(z + i, v_fma(by_x, v_load_n(x + i, n - i), v_mul(by_y, load16(t, y, i, n))), n - i);
    }
}

static void mix_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    if (a->in[1].dtype == DT_bf16)
        mix_of(DT_bf16, a, u0, u1);
    else
        mix_of(DT_f32, a, u0, u1);
}

static void muon_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const float *hyper = a->in[2].data;
    const V16 keep = v_set1(1 - hyper[0] * hyper[4]), lr = v_set1(-(hyper[0] * a->params.muon.adjust));
    for (int64_t r = u0, n = inner(a); r < u1; r++) {
        const float *w = tensor_row(&a->in[0], r);
        const uint16_t *x = tensor_row(&a->in[1], r);
        float *out = tensor_row(&a->out, r);
        for (int64_t i = 0; i < n; i += LANES)
            v_store_n(out + i, v_fma(lr, bf16_load_n(x + i, n - i), v_mul(v_load_n(w + i, n - i), keep)), n - i);
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
