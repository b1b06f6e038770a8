/* Loss and optimiser. */
#include "backends/cpu/expf32.h"
#include "backends/cpu/lanes16.h"
#include "backends/cpu/ref.h"

static int64_t one_unit(const OpArgs *a) { return (void)a, 1; }

/* Sum of e^(x - m) in 16 lanes of f64, folded as lanes16. */
static double exp_sum(const float *x, int64_t n, float m) {
    double l[16] = {0};
    for (int64_t i = 0; i < n; i++) l[i % 16] += (double)exp_f32(x[i] - m);
    for (int half = 8; half; half /= 2)
        for (int j = 0; j < half; j++) l[j] += l[j + half];
    return l[0];
}

static float row_max(const float *x, int64_t n) {
    float m = x[0];
    for (int64_t i = 1; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

static void cross_entropy_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const int32_t *labels = a->in[1].data;
    int64_t V = a->in[0].ne[1];
    for (int64_t o = u0; o < u1; o++) {
        const float *x = tensor_row(&a->in[0], o);
        float m = labels[o] < 0 ? 0 : row_max(x, V), *loss = (float *)a->out.data + o;
        *loss = labels[o] < 0 ? 0 : (float)(log(exp_sum(x, V, m)) + (double)m - (double)x[labels[o]]);
    }
}

static int64_t row_units(const OpArgs *a) { return tensor_rows(&a->in[0]); }
const char takes_cross_entropy[] = "fi>f";
const Kernel ref_cross_entropy = {"ref", row_units, cross_entropy_run, NULL};

static void cross_entropy_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const int32_t *labels = a->in[2].data;
    int64_t V = a->out.ne[1];
    for (int64_t o = u0; o < u1; o++) {
        const float *x = tensor_row(&a->in[1], o);
        float *dx = tensor_row(&a->out, o);
        if (labels[o] < 0) {
            memset(dx, 0, (size_t)V * 4);
            continue;
        }
        float m = row_max(x, V), hit = x[labels[o]];
        double g = (double)((const float *)a->in[0].data)[o], per = g / exp_sum(x, V, m);
        for (int64_t i = 0; i < V; i++) dx[i] = (float)(per * (double)exp_f32(x[i] - m));
        dx[labels[o]] = (float)(per * (double)exp_f32(hit - m) - g);
    }
}

const char takes_cross_entropy_dx[] = "ffi>f";
const Kernel ref_cross_entropy_dx = {"ref", ref_out_rows, cross_entropy_dx_run, NULL};

static void sum_squares_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    for (int64_t r = u0; r < u1; r++) {
        const float *x = ref_row(&a->in[0], r, scratch);
        ((float *)a->out.data)[r] = lanes16_dot(x, x, ref_inner(&a->in[0]));
    }
}

static size_t one_row(const OpArgs *a) { return (size_t)ref_inner(&a->in[0]) * 4; }
const char takes_sum_squares[] = "f>f b>f";
const Kernel ref_sum_squares = {"ref", row_units, sum_squares_run, one_row};

static void sum_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    if (u0 >= u1) return;
    double sum = 0;
    for (int64_t i = 0; i < a->in[0].ne[0]; i++) sum += (double)((const float *)a->in[0].data)[i];
    *(float *)a->out.data = (float)sum;
}

const char takes_sum[] = "f>f";
const Kernel ref_sum = {"ref", one_unit, sum_run, NULL};

static void clip_scale_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    if (u0 >= u1) return;
    float most = *(const float *)a->in[1].data, scale = most / (sqrtf(*(const float *)a->in[0].data) + 1e-6f);
    *(float *)a->out.data = most > 0 && scale < 1 ? scale : 1;
}

const char takes_clip_scale[] = "ff>f";
const Kernel ref_clip_scale = {"ref", one_unit, clip_scale_run, NULL};

static void clear_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t r = u0; r < u1; r++) memset(tensor_row(&a->out, r), 0, (size_t)ref_inner(&a->out) * 4);
}

const char takes_clear[] = "f>f";
const Kernel ref_clear = {"ref", ref_out_rows, clear_run, NULL};

/* Loshchilov & Hutter 2019, algorithm 2, with eps outside the root as torch.optim.AdamW has it. */
static void adamw_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const float *hyper = a->in[4].data, scale = *(const float *)a->in[5].data;
    float lr = hyper[0], b1 = hyper[1], b2 = hyper[2], eps = hyper[3];
    float keep = 1 - lr * hyper[4], step = lr / hyper[5], root = sqrtf(hyper[6]);
    for (int64_t r = u0; r < u1; r++) {
        const float *w = tensor_row(&a->in[0], r), *g = tensor_row(&a->in[1], r);
        float *m = tensor_row(&a->in[2], r), *v = tensor_row(&a->in[3], r), *out = tensor_row(&a->out, r);
        for (int64_t i = 0; i < ref_inner(&a->out); i++) {
            float gi = g[i] * scale;
            m[i] = fmaf(b1, m[i], (1 - b1) * gi);
            v[i] = fmaf(b2, v[i], (1 - b2) * gi * gi);
            out[i] = w[i] * keep - step * m[i] / (sqrtf(v[i]) / root + eps);
        }
    }
}

const char takes_adamw[] = "ffffff>f";
const Kernel ref_adamw = {"ref", ref_out_rows, adamw_run, NULL};

/* As torch.optim.SGD without dampening: its first momentum is the gradient, which is what one of 0 becomes. */
static void sgd_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const float *hyper = a->in[2].data, scale = *(const float *)a->in[3].data;
    for (int64_t r = u0; r < u1; r++) {
        const float *w = tensor_row(&a->in[0], r), *g = tensor_row(&a->in[1], r);
        float *m = a->n_in > 4 ? tensor_row(&a->in[4], r) : NULL, *out = tensor_row(&a->out, r);
        for (int64_t i = 0; i < ref_inner(&a->out); i++) {
            float step = fmaf(hyper[4], w[i], g[i] * scale);
            if (m) m[i] = step = fmaf(hyper[7], m[i], step);
            out[i] = fmaf(-hyper[0], step, w[i]);
        }
    }
}

const char takes_sgd[] = "ffff>f fffff>f";
const Kernel ref_sgd = {"ref", ref_out_rows, sgd_run, NULL};

/* ---- muon ---- */

static void muon_momentum_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const float rest = 1 - ((const float *)a->in[2].data)[7], scale = *(const float *)a->in[3].data;
    for (int64_t r = u0; r < u1; r++) {
        const float *g = tensor_row(&a->in[0], r);
        float *m = tensor_row(&a->in[1], r), *out = tensor_row(&a->out, r);
        for (int64_t i = 0; i < ref_inner(&a->out); i++) {
            const float gi = g[i] * scale;
            m[i] = fmaf(rest, gi - m[i], m[i]);
            out[i] = fmaf(rest, gi - m[i], m[i]);
        }
    }
}

const char takes_muon_momentum[] = "ffff>f";
const Kernel ref_muon_momentum = {"ref", ref_out_rows, muon_momentum_run, NULL};

static void muon_unit_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const float norm = bf16_to_f32(f32_to_bf16(sqrtf(*(const float *)a->in[1].data))), by = norm > 1e-7f ? norm : 1e-7f;
    for (int64_t r = u0; r < u1; r++) {
        const uint16_t *x = tensor_row(&a->in[0], r);
        float *y = tensor_row(&a->out, r);
        for (int64_t i = 0; i < ref_inner(&a->out); i++) y[i] = bf16_to_f32(x[i]) / by;
    }
}

const char takes_muon_unit[] = "bf>f";
const Kernel ref_muon_unit = {"ref", ref_out_rows, muon_unit_run, NULL};

static void mix_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const MixParams by = a->params.mix;
    for (int64_t r = u0; r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r), *y = ref_row(&a->in[1], r, scratch);
        float *z = tensor_row(&a->out, r);
        for (int64_t i = 0; i < ref_inner(&a->out); i++) z[i] = fmaf(by.a, x[i], by.b * y[i]);
    }
}

const char takes_mix[] = "ff>f fb>f";
const Kernel ref_mix = {"ref", ref_out_rows, mix_run, one_row};

static void muon_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const float *hyper = a->in[2].data, keep = 1 - hyper[0] * hyper[4], lr = hyper[0] * a->params.muon.adjust;
    for (int64_t r = u0; r < u1; r++) {
        const float *w = tensor_row(&a->in[0], r);
        const uint16_t *x = tensor_row(&a->in[1], r);
        float *out = tensor_row(&a->out, r);
        for (int64_t i = 0; i < ref_inner(&a->out); i++) out[i] = fmaf(-lr, bf16_to_f32(x[i]), w[i] * keep);
    }
}

const char takes_muon[] = "fbf>f";
const Kernel ref_muon = {"ref", ref_out_rows, muon_run, NULL};
