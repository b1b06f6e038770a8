/* Ops on each element by itself: body of elementwise_<isa>.c. A unit is a row; a tail of lanes is masked. */
#ifndef CPU_ELEMENTWISE_H
#define CPU_ELEMENTWISE_H

#include "backends/cpu/put.h"

/* f of 16 elements x of input 0 and y of input 1; an op of one input gets it twice. */
typedef V16 Each(const OpArgs *a, V16 x, V16 y);

/* Row r of input 1 is its row y_step * r. */
INLINE void each_rows(const OpArgs *a, int64_t u0, int64_t u1, int64_t y_step, Each *f) {
    const Tensor *second = &a->in[a->n_in > 1];
    for (int64_t r = u0, n = inner(a); r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r), *y = tensor_row(second, y_step * r);
        float *z = tensor_row(&a->out, r);
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) v_store(z + i, f(a, v_load(x + i), v_load(y + i)));
        if (i < n) v_store_n(z + i, f(a, v_load_n(x + i, n - i), v_load_n(y + i, n - i)), n - i);
    }
}
INLINE void each(const OpArgs *a, int64_t u0, int64_t u1, Each *f) { each_rows(a, u0, u1, 1, f); }

INLINE V16 add16(const OpArgs *a, V16 x, V16 y) { return (void)a, v_add(x, y); }
INLINE V16 mul16(const OpArgs *a, V16 x, V16 y) { return (void)a, v_mul(x, y); }
INLINE V16 scale16(const OpArgs *a, V16 x, V16 y) { return (void)y, v_mul(x, v_set1(a->params.scale.by)); }

INLINE V16 sigmoid16(V16 x) { return v_div(v_set1(1), v_add(v_set1(1), v_exp(v_neg(x)))); }
INLINE V16 silu16(const OpArgs *a, V16 x, V16 y) {
    return (void)a, (void)y, v_div(x, v_add(v_set1(1), v_exp(v_neg(x))));
}
INLINE V16 silu_dx16(const OpArgs *a, V16 dy, V16 x) {
    (void)a;
    V16 s = sigmoid16(x);
    return v_mul(dy, v_mul(s, v_fma(x, v_sub(v_set1(1), s), v_set1(1))));
}

/* tanh of what gelu is made of, in the steps of ref_act.c. */
static const float GELU_SCALE = 0.7978845608f, GELU_CUBE = 0.044715f; /* sqrt(2/pi) */
INLINE V16 gelu_tanh(V16 x) {
    V16 cube = v_mul(v_mul(v_set1(GELU_CUBE), x), x);
    return v_tanh(v_mul(v_set1(GELU_SCALE), v_fma(cube, x, x)));
}
INLINE V16 gelu16(const OpArgs *a, V16 x, V16 y) {
    (void)a, (void)y;
    return v_mul(v_mul(v_set1(0.5f), x), v_add(v_set1(1), gelu_tanh(x)));
}
INLINE V16 gelu_dx16(const OpArgs *a, V16 dy, V16 x) {
    (void)a;
    const V16 half = v_set1(0.5f), one = v_set1(1), t = gelu_tanh(x), rest = v_fma(v_neg(t), t, one);
    V16 plain = v_mul(half, v_add(one, t));
    V16 inner_slope = v_mul(v_set1(GELU_SCALE), v_fma(v_mul(v_set1(3 * GELU_CUBE), x), x, one));
    V16 full = v_fma(v_mul(v_mul(half, x), rest), inner_slope, plain); /* x * x may be infinite where rest is 0 */
    return v_mul(dy, v_bits(i_if_nan(v_div(v_zero(), rest), i_bits(plain), i_bits(full))));
}

INLINE V16 softcap16(const OpArgs *a, V16 x, V16 y) {
    (void)y;
    const V16 cap = v_set1(a->params.cap.cap);
    return v_mul(cap, v_tanh(v_div(x, cap)));
}
INLINE V16 softcap_dx16(const OpArgs *a, V16 dy, V16 x) {
    V16 t = v_tanh(v_div(x, v_set1(a->params.cap.cap)));
    return v_mul(dy, v_fma(v_neg(t), t, v_set1(1)));
}

#define EACH(op)                                                                                                       \
    static void op##_run(const OpArgs *a, int64_t u0, int64_t u1, void *s) { (void)s, each(a, u0, u1, op##16); }
EACH(add)
EACH(mul)
EACH(scale)
EACH(silu)
EACH(silu_dx)
EACH(gelu)
EACH(gelu_dx)
EACH(softcap)
EACH(softcap_dx)
#undef EACH

/* ---- gated ---- */

typedef struct GatedRow {
    const float *gate, *up;
} GatedRow;

INLINE V16 silu_values(const void *row, int64_t i, int64_t n) {
    V16 x = values_at(((const GatedRow *)row)->gate, i, n);
    return silu16(NULL, x, x);
}
INLINE V16 gelu_values(const void *row, int64_t i, int64_t n) {
    V16 x = values_at(((const GatedRow *)row)->gate, i, n);
    return gelu16(NULL, x, x);
}
INLINE V16 silu_up_values(const void *row, int64_t i, int64_t n) {
    return v_mul(silu_values(row, i, n), values_at(((const GatedRow *)row)->up, i, n));
}
INLINE V16 gelu_up_values(const void *row, int64_t i, int64_t n) {
    return v_mul(gelu_values(row, i, n), values_at(((const GatedRow *)row)->up, i, n));
}

INLINE void gated_rows(const OpArgs *a, int64_t u0, int64_t u1, Values *values) {
    for (int64_t r = u0; r < u1; r++) {
        const GatedRow row = {tensor_row(&a->in[0], r), a->n_in > 1 ? tensor_row(&a->in[1], r) : NULL};
        put_row(a->out.dtype, tensor_row(&a->out, r), inner(a), &row, values);
    }
}

static void gated_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    if (a->params.gated.gelu)
        a->n_in > 1 ? gated_rows(a, u0, u1, gelu_up_values) : gated_rows(a, u0, u1, gelu_values);
    else
        a->n_in > 1 ? gated_rows(a, u0, u1, silu_up_values) : gated_rows(a, u0, u1, silu_values);
}

static void bias_run(const OpArgs *a, int64_t u0, int64_t u1, void *s) { (void)s, each_rows(a, u0, u1, 0, add16); }

/* A unit is 16 columns, the last one may be less. */
static int64_t bias_db_units(const OpArgs *a) { return div_up(inner(a), LANES); }
static void bias_db_run(const OpArgs *a, int64_t u0, int64_t u1, void *s) {
    (void)s;
    float *db = a->out.data;
    for (int64_t u = u0; u < u1; u++) {
        const int64_t i = u * LANES, n = MIN(inner(a) - i, LANES);
        V16 sum = begin16(a, 1, i);
        for (int64_t r = 0; r < tensor_rows(&a->in[0]); r++)
            sum = v_add(sum, v_load_n((const float *)tensor_row(&a->in[0], r) + i, n));
        v_store_n(db + i, sum, n);
    }
}

#endif
