/* Elementwise ops. A unit is a row. */
#include "backends/cpu/drop.h"
#include "backends/cpu/expf32.h"
#include "backends/cpu/ref.h"

static void add_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t r = u0; r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r), *y = tensor_row(&a->in[1], r);
        float *z = tensor_row(&a->out, r);
        for (int64_t i = 0; i < ref_inner(&a->out); i++) z[i] = x[i] + y[i];
    }
}

const char takes_add[] = "ff>f";
const Kernel ref_add = {"ref", ref_out_rows, add_run, NULL};

static void mul_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t r = u0; r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r), *y = tensor_row(&a->in[1], r);
        float *z = tensor_row(&a->out, r);
        for (int64_t i = 0; i < ref_inner(&a->out); i++) z[i] = x[i] * y[i];
    }
}

const char takes_mul[] = "ff>f";
const Kernel ref_mul = {"ref", ref_out_rows, mul_run, NULL};

static size_t one_row(const OpArgs *a) { return (size_t)ref_inner(&a->out) * 4; }

static void bias_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const float *b = ref_row(&a->in[1], 0, scratch);
    for (int64_t r = u0; r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r);
        float *y = tensor_row(&a->out, r);
        for (int64_t i = 0; i < ref_inner(&a->out); i++) y[i] = x[i] + b[i];
    }
}

const char takes_bias[] = "fd>f";
const Kernel ref_bias = {"ref", ref_out_rows, bias_run, one_row};

/* A unit is a column. */
static int64_t columns(const OpArgs *a) { return ref_inner(&a->out); }

static void bias_db_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    float *db = tensor_row(&a->out, 0);
    for (int64_t i = u0; i < u1; i++) db[i] = a->n_in > 1 ? ((const float *)a->in[1].data)[i] : 0;
    for (int64_t r = 0; r < tensor_rows(&a->in[0]); r++) {
        const float *dy = tensor_row(&a->in[0], r);
        for (int64_t i = u0; i < u1; i++) db[i] += dy[i];
    }
}

const char takes_bias_db[] = "ff>f";
const Kernel ref_bias_db = {"ref", columns, bias_db_run, NULL};

static void silu_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t r = u0; r < u1; r++) {
        const float *dy = tensor_row(&a->in[0], r), *x = tensor_row(&a->in[1], r);
        float *dx = tensor_row(&a->out, r);
        for (int64_t i = 0; i < ref_inner(&a->out); i++) {
            float s = 1 / (1 + exp_f32(-x[i]));
            dx[i] = dy[i] * (s * fmaf(x[i], 1 - s, 1));
        }
    }
}

const char takes_silu_dx[] = "ff>f";
const Kernel ref_silu_dx = {"ref", ref_out_rows, silu_dx_run, NULL};

/* y = f(x), elementwise. */
static void each(const OpArgs *a, int64_t u0, int64_t u1, float (*f)(const OpArgs *, float)) {
    for (int64_t r = u0; r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r);
        float *y = tensor_row(&a->out, r);
        for (int64_t i = 0; i < ref_inner(&a->out); i++) y[i] = f(a, x[i]);
    }
}

/* dx = dy * f'(x), elementwise. */
static void each_dx(const OpArgs *a, int64_t u0, int64_t u1, float (*slope)(const OpArgs *, float)) {
    for (int64_t r = u0; r < u1; r++) {
        const float *dy = tensor_row(&a->in[0], r), *x = tensor_row(&a->in[1], r);
        float *dx = tensor_row(&a->out, r);
        for (int64_t i = 0; i < ref_inner(&a->out); i++) dx[i] = dy[i] * slope(a, x[i]);
    }
}

static const float GELU_SCALE = 0.7978845608f, GELU_CUBE = 0.044715f; /* sqrt(2/pi) */

static float gelu(const OpArgs *a, float x) {
    (void)a;
    float t = tanh_f32(GELU_SCALE * fmaf(GELU_CUBE * x * x, x, x));
    return 0.5f * x * (1 + t);
}

static float gelu_slope(const OpArgs *a, float x) {
    (void)a;
    float t = tanh_f32(GELU_SCALE * fmaf(GELU_CUBE * x * x, x, x)), rest = fmaf(-t, t, 1);
    if (rest == 0) return 0.5f * (1 + t); /* x * x may be infinite */
    return fmaf(0.5f * x * rest, GELU_SCALE * fmaf(3 * GELU_CUBE * x, x, 1), 0.5f * (1 + t));
}

static float silu(const OpArgs *a, float x) { return (void)a, x / (1 + exp_f32(-x)); }
static float scale(const OpArgs *a, float x) { return x * a->params.scale.by; }
static float softcap(const OpArgs *a, float x) { return a->params.cap.cap * tanh_f32(x / a->params.cap.cap); }

static float softcap_slope(const OpArgs *a, float x) {
    float t = tanh_f32(x / a->params.cap.cap);
    return fmaf(-t, t, 1);
}

static void silu_run(const OpArgs *a, int64_t u0, int64_t u1, void *s) { (void)s, each(a, u0, u1, silu); }
static void gelu_run(const OpArgs *a, int64_t u0, int64_t u1, void *s) { (void)s, each(a, u0, u1, gelu); }
static void gelu_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *s) { (void)s, each_dx(a, u0, u1, gelu_slope); }
static void scale_run(const OpArgs *a, int64_t u0, int64_t u1, void *s) { (void)s, each(a, u0, u1, scale); }
static void softcap_run(const OpArgs *a, int64_t u0, int64_t u1, void *s) { (void)s, each(a, u0, u1, softcap); }
static void softcap_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *s) {
    (void)s, each_dx(a, u0, u1, softcap_slope);
}

const char takes_silu[] = "f>f", takes_gelu[] = "f>f", takes_gelu_dx[] = "ff>f", takes_scale[] = "f>f",
           takes_softcap[] = "f>f", takes_softcap_dx[] = "ff>f";
const Kernel ref_silu = {"ref", ref_out_rows, silu_run, NULL};
const Kernel ref_gelu = {"ref", ref_out_rows, gelu_run, NULL};
const Kernel ref_gelu_dx = {"ref", ref_out_rows, gelu_dx_run, NULL};
const Kernel ref_scale = {"ref", ref_out_rows, scale_run, NULL};
const Kernel ref_softcap = {"ref", ref_out_rows, softcap_run, NULL};
const Kernel ref_softcap_dx = {"ref", ref_out_rows, softcap_dx_run, NULL};

static void gated_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    for (int64_t r = u0; r < u1; r++) {
        const float *gate = tensor_row(&a->in[0], r), *up = a->n_in > 1 ? tensor_row(&a->in[1], r) : NULL;
        float *y = ref_make_row(a, r, scratch);
        for (int64_t i = 0; i < ref_inner(&a->out); i++) {
            float act = a->params.gated.gelu ? gelu(a, gate[i]) : silu(a, gate[i]);
            y[i] = up ? act * up[i] : act;
        }
        ref_put_row(a, r, y);
    }
}

const char takes_gated[] = "ff>v";
const Kernel ref_gated = {"ref", ref_out_rows, gated_run, one_row};

static void dropout_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const int64_t width = ref_inner(&a->out);
    for (int64_t r = u0; r < u1; r++) {
        float *y = tensor_row(&a->out, r);
        memmove(y, tensor_row(&a->in[0], r), (size_t)width * sizeof *y);
        drop_values(a->params.dropout, a->in[1].data, r * width, y, width);
    }
}

const char takes_dropout[] = "fi>f";
const Kernel ref_dropout = {"ref", ref_out_rows, dropout_run, NULL};

static int64_t patch_units(const OpArgs *a) { return a->out.ne[0]; }
static size_t patch_scratch(const OpArgs *a) { return a->n_in > 1 ? (size_t)ref_inner(&a->in[1]) * 4 : 0; }

/* A unit is a token, which may be several rows; vec covers one row or the whole token. */
static void patch_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const PatchParams *p = &a->params.patch;
    int64_t inner = ref_inner(&a->out), per = tensor_rows(&a->out) / a->out.ne[0];
    bool has_vec = a->n_in > 1 && a->in[1].ndim > 0;
    const float *vec = has_vec ? ref_row(&a->in[1], 0, scratch) : NULL;
    int64_t vec_n = has_vec ? ref_inner(&a->in[1]) : inner;
    for (int64_t r = u0 * per; r < u1 * per; r++) {
        int64_t index = a->step->index[r / per], base = r % per * inner % vec_n;
        bool on = index >= p->from && (p->to < 0 || index < p->to);
        const float *x = tensor_row(&a->in[0], r);
        float *y = tensor_row(&a->out, r);
        for (int64_t i = 0; i < inner; i++) {
            float scaled = p->mul * x[i];
            y[i] = !on ? x[i] : vec ? fmaf(p->add, vec[base + i], scaled) : scaled;
        }
    }
}

const char takes_patch[] = "fd>f";
const Kernel ref_patch = {"ref", patch_units, patch_run, patch_scratch};
