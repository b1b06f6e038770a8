/* Attention whose scores can be seen: one op after the other. */
#include "backends/cpu/expf32.h"
#include "backends/cpu/lanes16.h"
#include "backends/cpu/ref_keys.h"

/* ---- scores: a unit is one head of one token ---- */

static void scores_row(const Keys *k, int64_t u, float *buf) {
    const float *q = tensor_row(&k->a->in[0], u);
    float *s = tensor_row(&k->a->out, u);
    int64_t lo, hi;
    keys_range(k, &lo, &hi);
    memset(s, 0, (size_t)ref_inner(&k->a->out) * 4);
    for (int64_t j = lo; j < hi; j++) s[j] = k->a->params.attn.scale * key_dot(q, key_row(k, j, buf), k->E);
}

static void attn_scores_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const int64_t H = a->out.ne[1], group = H / a->in[1].ne[1];
    for (int64_t u = u0; u < u1; u++) {
        Keys k = keys_in_rows(a, &a->in[1], NULL, u / H, u % H / group);
        scores_row(&k, u, NULL);
    }
}

const char takes_attn_scores[] = "ff>f";
const Kernel ref_attn_scores = {"ref", ref_out_rows, attn_scores_run, NULL};

static size_t attn_scores_kv_scratch(const OpArgs *a) { return (size_t)a->in[0].ne[2] * 4; }

static void attn_scores_kv_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const int64_t H = a->out.ne[1];
    for (int64_t u = u0; u < u1; u++) {
        Keys k = keys_in_cache(a, u / H, u % H, H, a->in[0].ne[2]);
        scores_row(&k, u, scratch);
    }
}

const char takes_attn_scores_kv[] = "fi>f";
const Kernel ref_attn_scores_kv = {"ref", ref_out_rows, attn_scores_kv_run, attn_scores_kv_scratch};

/* ---- weights ---- */

static void range_of_row(const OpArgs *a, int64_t u, int64_t *lo, int64_t *hi) {
    step_keys(a->step, u / a->out.ne[1], a->params.attn.mask, lo, hi);
}

/* Columns [lo, hi) of y stay, others become 0. */
static void clear_masked(float *y, int64_t lo, int64_t hi, int64_t n) {
    memset(y, 0, (size_t)lo * 4);
    memset(y + hi, 0, (size_t)(n - hi) * 4);
}

static void attn_probs_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t u = u0, lo, hi; u < u1; u++) {
        const float *s = tensor_row(&a->in[0], u);
        float *p = tensor_row(&a->out, u), M = -INFINITY, lane[16] = {0};
        range_of_row(a, u, &lo, &hi);
        for (int64_t j = lo; j < hi; j++) M = s[j] > M ? s[j] : M;
        for (int64_t j = lo; j < hi; j++) lane[j % 16] += p[j] = exp_f32(s[j] - M);
        const float L = lanes16_fold(lane);
        for (int64_t j = lo; j < hi; j++) p[j] /= L;
        clear_masked(p, lo, hi, ref_inner(&a->out));
    }
}

const char takes_attn_probs[] = "f>f";
const Kernel ref_attn_probs = {"ref", ref_out_rows, attn_probs_run, NULL};

static void attn_probs_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t u = u0, lo, hi; u < u1; u++) {
        const float *g = tensor_row(&a->in[0], u), *p = tensor_row(&a->in[1], u);
        float *d = tensor_row(&a->out, u), lane[16] = {0};
        range_of_row(a, u, &lo, &hi);
        for (int64_t j = lo; j < hi; j++) lane[j % 16] = fmaf(p[j], g[j], lane[j % 16]);
        const float D = lanes16_fold(lane);
        for (int64_t j = lo; j < hi; j++) d[j] = p[j] * (g[j] - D);
        clear_masked(d, lo, hi, ref_inner(&a->out));
    }
}

const char takes_attn_probs_dx[] = "ff>f";
const Kernel ref_attn_probs_dx = {"ref", ref_out_rows, attn_probs_dx_run, NULL};

/* ---- mixing values ---- */

static void mix_row(const Keys *k, int64_t u, float *buf) {
    const float *p = tensor_row(&k->a->in[0], u);
    float *o = tensor_row(&k->a->out, u);
    int64_t lo, hi;
    keys_range(k, &lo, &hi);
    memset(o, 0, (size_t)k->E * 4);
    for (int64_t j = lo; j < hi; j++) {
        const float *v = value_row(k, j, buf);
        for (int64_t e = 0; e < k->E; e++) o[e] = fmaf(p[j], v[e], o[e]);
    }
}

static void attn_mix_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const int64_t H = a->out.ne[1], group = H / a->in[1].ne[1];
    for (int64_t u = u0; u < u1; u++) {
        Keys k = keys_in_rows(a, &a->in[1], &a->in[1], u / H, u % H / group);
        mix_row(&k, u, NULL);
    }
}

const char takes_attn_mix[] = "ff>f";
const Kernel ref_attn_mix = {"ref", ref_out_rows, attn_mix_run, NULL};

static size_t attn_mix_kv_scratch(const OpArgs *a) { return (size_t)a->out.ne[2] * 4; }

static void attn_mix_kv_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const int64_t H = a->out.ne[1];
    for (int64_t u = u0; u < u1; u++) {
        Keys k = keys_in_cache(a, u / H, u % H, H, a->out.ne[2]);
        mix_row(&k, u, scratch);
    }
}

const char takes_attn_mix_kv[] = "fi>f";
const Kernel ref_attn_mix_kv = {"ref", ref_out_rows, attn_mix_kv_run, attn_mix_kv_scratch};

/* A unit is a kv head: its values sum over query heads and tokens. */
static int64_t mix_dv_units(const OpArgs *a) { return a->out.ne[1]; }

static void attn_mix_dv_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const int64_t T = a->out.ne[0], K = a->out.ne[1], E = a->out.ne[2], H = a->in[1].ne[1];
    for (int64_t u = u0; u < u1; u++) {
        for (int64_t t = 0; t < T; t++) memset(tensor_row(&a->out, t * K + u), 0, (size_t)E * 4);
        for (int64_t i = 0; i < H / K * T; i++) {
            const int64_t t = i % T, row = t * H + u * (H / K) + i / T;
            const float *p = tensor_row(&a->in[0], row), *x = tensor_row(&a->in[1], row);
            Keys k = keys_in_rows(a, &a->out, &a->out, t, u);
            int64_t lo, hi;
            keys_range(&k, &lo, &hi);
            for (int64_t j = lo; j < hi; j++) {
                float *dv = tensor_row(&a->out, (k.row0 + j) * K + u);
                for (int64_t e = 0; e < E; e++) dv[e] = fmaf(p[j], x[e], dv[e]);
            }
        }
    }
}

const char takes_attn_mix_dv[] = "fff>f";
const Kernel ref_attn_mix_dv = {"ref", mix_dv_units, attn_mix_dv_run, NULL};
