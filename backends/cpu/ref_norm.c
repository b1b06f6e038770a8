/* Norms. */
#include "backends/cpu/lanes16.h"
#include "backends/cpu/ref.h"

#include <math.h>

static float rms_scale(const float *x, int64_t n, float eps) {
    return 1 / sqrtf(lanes16_dot(x, x, n) / (float)n + eps);
}

static size_t weight_scratch(const OpArgs *a) { return (size_t)ref_inner(&a->out) * 4; }
static size_t two_rows(const OpArgs *a) { return 2 * weight_scratch(a); }

static void rms_norm_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    int64_t D = ref_inner(&a->out);
    const float *w = ref_row(&a->in[1], 0, scratch);
    for (int64_t r = u0; r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r);
        float *y = ref_make_row(a, r, (float *)scratch + D), s = rms_scale(x, D, a->params.norm.eps);
        for (int64_t d = 0; d < D; d++) y[d] = (x[d] * s) * (w[d] + a->params.norm.plus);
        ref_put_row(a, r, y);
    }
}

const char takes_rms_norm[] = "fd>v";
const Kernel ref_rms_norm = {"ref", ref_out_rows, rms_norm_run, two_rows};

static void rms_norm_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    int64_t D = ref_inner(&a->out);
    float *scaled = (float *)scratch + D; /* dy * w */
    const float *w = ref_row(&a->in[2], 0, scratch);
    for (int64_t r = u0; r < u1; r++) {
        const float *dy = tensor_row(&a->in[0], r), *x = tensor_row(&a->in[1], r);
        float *dx = tensor_row(&a->out, r), s = rms_scale(x, D, a->params.norm.eps);
        for (int64_t d = 0; d < D; d++) scaled[d] = dy[d] * (w[d] + a->params.norm.plus);
        float k = s * s * s * (lanes16_dot(scaled, x, D) / (float)D);
        for (int64_t d = 0; d < D; d++) dx[d] = fmaf(-k, x[d], s * scaled[d]);
    }
}

const char takes_rms_norm_dx[] = "ffd>f";
const Kernel ref_rms_norm_dx = {"ref", ref_out_rows, rms_norm_dx_run, two_rows};

/* One unit: every column needs the scale of every row. */
static int64_t one_unit(const OpArgs *a) { return (void)a, 1; }

static void rms_norm_dw_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    if (u0 >= u1) return;
    const Tensor *x = &a->in[1];
    int64_t D = ref_inner(&a->out), n_rows = tensor_rows(x);
    float *dw = ref_begin_row(a, 2, 0);
    for (int64_t r = 0; r < n_rows; r++) {
        const float *dy = tensor_row(&a->in[0], r), *xr = tensor_row(x, r);
        float s = rms_scale(xr, D, a->params.norm.eps);
        for (int64_t d = 0; d < D; d++) dw[d] = fmaf(dy[d], xr[d] * s, dw[d]);
    }
}

const char takes_rms_norm_dw[] = "fff>f";
const Kernel ref_rms_norm_dw = {"ref", one_unit, rms_norm_dw_run, NULL};

/* ---- layer norm ---- */

/* h = (x - mean) * s; returns s. */
static float normalised(const float *x, int64_t n, float eps, float *h) {
    float mean = lanes16_sum(x, n) / (float)n;
    for (int64_t i = 0; i < n; i++) h[i] = x[i] - mean;
    float s = rms_scale(h, n, eps);
    for (int64_t i = 0; i < n; i++) h[i] *= s;
    return s;
}

static size_t layer_norm_scratch(const OpArgs *a) { return 3 * weight_scratch(a); }

static void layer_norm_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    int64_t D = ref_inner(&a->out);
    float *h = (float *)scratch + 2 * D;
    const float *w = ref_row(&a->in[1], 0, scratch), *b = ref_row(&a->in[2], 0, (float *)scratch + D);
    for (int64_t r = u0; r < u1; r++) {
        float *y = ref_make_row(a, r, h);
        normalised(tensor_row(&a->in[0], r), D, a->params.norm.eps, h);
        for (int64_t d = 0; d < D; d++) y[d] = fmaf(h[d], w[d], b[d]);
        ref_put_row(a, r, y);
    }
}

const char takes_layer_norm[] = "fdd>v";
const Kernel ref_layer_norm = {"ref", ref_out_rows, layer_norm_run, layer_norm_scratch};

static void layer_norm_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    int64_t D = ref_inner(&a->out);
    float *h = (float *)scratch + D, *scaled = h + D; /* dy * w */
    const float *w = ref_row(&a->in[2], 0, scratch);
    for (int64_t r = u0; r < u1; r++) {
        const float *dy = tensor_row(&a->in[0], r);
        float *dx = tensor_row(&a->out, r), s = normalised(tensor_row(&a->in[1], r), D, a->params.norm.eps, h);
        for (int64_t d = 0; d < D; d++) scaled[d] = dy[d] * w[d];
        float mean = lanes16_sum(scaled, D) / (float)D, along = lanes16_dot(scaled, h, D) / (float)D;
        for (int64_t d = 0; d < D; d++) dx[d] = s * (scaled[d] - mean - h[d] * along);
    }
}

const char takes_layer_norm_dx[] = "ffd>f";
const Kernel ref_layer_norm_dx = {"ref", ref_out_rows, layer_norm_dx_run, layer_norm_scratch};

static void layer_norm_dw_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    if (u0 >= u1) return;
    int64_t D = ref_inner(&a->out), n_rows = tensor_rows(&a->in[1]);
    float *dw = ref_begin_row(a, 2, 0), *h = scratch;
    for (int64_t r = 0; r < n_rows; r++) {
        const float *dy = tensor_row(&a->in[0], r);
        normalised(tensor_row(&a->in[1], r), D, a->params.norm.eps, h);
        for (int64_t d = 0; d < D; d++) dw[d] = fmaf(dy[d], h[d], dw[d]);
    }
}

const char takes_layer_norm_dw[] = "fff>f";
const Kernel ref_layer_norm_dw = {"ref", one_unit, layer_norm_dw_run, weight_scratch};
