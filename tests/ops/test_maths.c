/* The reference kernels against the mathematics, computed plainly in double: bounds come from the dtype and the number
 * of terms. Wrong formulas are shown to break them. */
#include "backends/cpu/expf32.h"
#include "backends/cpu/ref.h"
#include "core/rng.h"
#include "tests/ops/harness.h"

#include <float.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SEED = 77 };

/* n roundings of sums whose terms have magnitudes adding up to `magnitude`; c = 4 standard deviations. */
/* Under an emulator, where a case takes twenty times as long, every fourth. */
static int64_t every = 1;

static double rounding(double n, double magnitude) { return 4 * (double)FLT_EPSILON * sqrt(n) * magnitude + 1e-37; }

/* The larger of two errors; NaN is the largest. */
static double worse(double a, double b) { return a >= b ? a : isnan(b) ? (double)INFINITY : b; }

/* ---- exponential ---- */

static double ulp_of(double y) { /* distance of floats around y */
    int e;
    frexp(y, &e);
    return ldexp(1, MAX(e - 24, -149));
}

static float float_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static double worst_ulp(float (*f)(float)) {
    double worst = 0;
    for (int side = 0; side < 2; side++) /* both signs, all exponents, every 997th float */
        for (uint32_t b = 0; b < 0x43000000; b += 997) {
            float x = float_of(b | (uint32_t)side << 31);
            if (x < -104 || x > 88.72f) continue;
            double want = exp((double)x);
            worst = worse(worst, fabs((double)f(x) - want) / ulp_of(want));
        }
    return worst;
}

static float exp_short(float x) { return exp_f32(x) * (1 + 0x1.8p-23f); } /* a little off */

static void test_exp(void **state) {
    (void)state;
    double worst = worst_ulp(exp_f32);
    print_message("exp_f32: at most %.3f ulp off\n", worst);
    assert_true(worst <= 1);
    assert_true(worst_ulp(exp_short) > 1);
    assert_true(exp_f32(0) == 1 && exp_f32(-0.0f) == 1);
    assert_true(exp_f32(-105) == 0 && exp_f32(-1e30f) == 0 && exp_f32(-INFINITY) == 0);
    assert_true(isinf(exp_f32(88.8f)) && isinf(exp_f32(1e30f)) && isinf(exp_f32(INFINITY)));
    assert_true(isnan(exp_f32(NAN)) && isnan(exp_f32(-NAN)));
    assert_true(exp_f32(-103) > 0 && exp_f32(-103) < FLT_MIN);
}

/* ---- products ---- */

static int64_t expert_at(const Instance *x, int64_t slot) {
    const Tensor *ids = &x->a.in[2];
    return ((const int32_t *)tensor_row(ids, slot / ids->ne[1]))[slot % ids->ne[1]];
}

/* Largest error of a case's product in units of its bound, when f32-decoded operands are multiplied in double. */
static double matmul_error(const Case *c, const Kernel *k) {
    Instance x;
    double worst = 0;
    instance_make(&x, c, SEED, false);
    instance_run(&x, k, 0);
    const Tensor *in = x.a.in;
    bool experts = c->op == OP_matmul_experts;
    int64_t K = in[1].ne[in[1].ndim - 1], N = x.a.out.ne[x.a.out.ndim - 1];
    for (int64_t r = 0; r < tensor_rows(&x.a.out); r++)
        for (int64_t n = 0; n < N; n++) {
            double sum = 0, size = 0;
            int64_t xr = experts && in[0].ndim == 2 ? r / in[2].ne[1] : r, wr = experts ? expert_at(&x, r) * N + n : n;
            for (int64_t i = 0; i < K; i++) {
                float w = tensor_at(&in[1], wr, i);
                if (in[0].dtype == DT_bf16) w = bf16_to_f32(f32_to_bf16(w));
                double p = (double)tensor_at(&in[0], xr, i) * (double)w;
                sum += p, size += fabs(p);
            }
            worst = worse(worst, fabs((double)((float *)tensor_row(&x.a.out, r))[n] - sum) / rounding((double)K, size));
        }
    instance_release(&x);
    return worst;
}

static bool plain_matmul(const Case *c) {
    return c->op == OP_matmul && !c->bench && c->in[0].fill != FILL_edge && c->in[0].ne[0] <= 7;
}

static void test_matmul(void **state) {
    (void)state;
    for (const Case *c = cases; c < cases + n_cases; c += every) {
        char name[160];
        bool experts = c->op == OP_matmul_experts && !c->bench && c->in[0].fill != FILL_edge;
        double off = plain_matmul(c) ? matmul_error(c, &ref_matmul)
                     : experts       ? matmul_error(c, &ref_matmul_experts)
                                     : 0;
        if (off > 1) fail_msg("%s: %g times its bound off", case_name(c, name), off);
    }
}

/* Scaled by a part in 500; without the last 2 (blocks: 32) terms; with the scales of weights a bit off. */
static void scaled(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    ref_matmul.run(a, u0, u1, scratch);
    for (int64_t r = 0; r < tensor_rows(&a->out); r++)
        for (int64_t n = u0; n < u1; n++) ((float *)tensor_row(&a->out, r))[n] *= 1.002f;
}
static void shortened(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    OpArgs b = *a;
    int64_t less = MAX(2, MAX(dtype_info[a->in[0].dtype].block, dtype_info[a->in[1].dtype].block));
    b.in[0].ne[1] -= less, b.in[1].ne[1] -= less;
    ref_matmul.run(&b, u0, u1, scratch);
}
/* A q4_1 kernel that swaps the halves of a block, and one that forgets the sum of x. */
static void swapped(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t n = u0; n < u1; n++)
        for (int64_t r = 0; r < tensor_rows(&a->out); r++) {
            float y = 0;
            for (int64_t k = 0; k < a->in[1].ne[1]; k++)
                y += tensor_at(&a->in[0], r, k) * tensor_at(&a->in[1], n, k ^ 16);
            ((float *)tensor_row(&a->out, r))[n] = y;
        }
}
static void without_min(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    ref_matmul.run(a, u0, u1, scratch);
    for (int64_t n = u0; n < u1; n++)
        for (int64_t r = 0; r < tensor_rows(&a->out); r++) {
            const BlockA8 *x = tensor_row(&a->in[0], r);
            const BlockQ4_1 *w = tensor_row(&a->in[1], n);
            for (int64_t b = 0; b < 1; b++) /* the first block's alone */
                ((float *)tensor_row(&a->out, r))[n] -= f16_to_f32(w[b].m) * x[b].d * (float)x[b].sum;
        }
}

static void test_matmul_bound_refuses(void **state) {
    (void)state;
    void (*const wrong[])(const OpArgs *, int64_t, int64_t, void *) = {scaled, shortened, swapped, without_min};
    for (const Case *c = cases; c < cases + n_cases; c += every)
        for (size_t i = 0; i < COUNT_OF(wrong); i++) {
            Kernel k = ref_matmul;
            char name[160];
            k.run = wrong[i];
            bool q4 = c->in[1].dtype == DT_q4_1 && c->in[0].dtype == DT_a8;
            if (!plain_matmul(c) || (i >= 2 && !q4) || c->in[1].ne[1] < 64 || c->in[0].ne[0] < 5 ||
                shape_ndim(&c->in[0]) > 2)
                continue;
            if (matmul_error(c, &k) <= 1) fail_msg("%s: wrong kernel %zu passes", case_name(c, name), i);
        }
}

/* ---- dropout ---- */

/* What value i is multiplied with, as core/ops.def has it. */
static double drop_factor(DropoutParams p, const void *draw, int64_t i) {
    uint32_t half[2];
    memcpy(half, draw, sizeof half);
    const uint64_t key = half[0] + ((uint64_t)half[1] << 32),
                   bits = rng_u64(key, p.stream, (uint64_t)i / 4, RNG_DROPOUT);
    const double part = floor((double)p.p * 65536) / 65536;
    if (!key) return 1;
    return (double)(bits >> 16 * (i % 4) & 0xffff) < part * 65536 ? 0 : 1 / (1 - part);
}

/* Whether the kernel leaves of x what the definition does, bit by bit, and drops the share p. */
static bool drops_right(const Kernel *k, DropoutParams p, uint32_t low, uint32_t high) {
    enum { R = 64, N = 1031 };
    static float x[R * N], y[R * N];
    uint32_t draw[2] = {low, high};
    double share = low || high ? (double)p.p : 0, dropped = 0;
    OpArgs a = {.params.dropout = p, .n_in = 2};
    for (int64_t i = 0; i < R * N; i++) x[i] = 0.5f + (float)(i % 7);
    a.in[0] = tensor_dense(DT_f32, 2, (int64_t[]){R, N}, x);
    a.in[1] = tensor_dense(DT_i32, 1, (int64_t[]){2}, draw);
    a.out = tensor_dense(DT_f32, 2, (int64_t[]){R, N}, y);
    args_run(&a, k, 1);
    for (int64_t i = 0; i < R * N; i++) {
        if (y[i] != x[i] * (float)drop_factor(p, draw, i)) return false;
        dropped += y[i] == 0;
    }
    return fabs(dropped / (R * N) - share) <= 5 * sqrt(share * (1 - share) / (R * N));
}

/* One of the same kind that takes the halves of the key the wrong way round, and one that keeps what it should not. */
static void draws_turned(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    OpArgs b = *a;
    uint32_t draw[2];
    memcpy(draw, a->in[1].data, sizeof draw);
    b.in[1].data = (uint32_t[]){draw[1], draw[0]};
    ref_dropout.run(&b, u0, u1, scratch);
}
static void drops_less(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    OpArgs b = *a;
    b.params.dropout.p *= 0.98f;
    ref_dropout.run(&b, u0, u1, scratch);
}

static void test_dropout(void **state) {
    (void)state;
    const float parts[] = {0, 0.05f, 0.1f, 0.5f, 0.9f};
    Kernel turned = ref_dropout, less = ref_dropout;
    turned.run = draws_turned, less.run = drops_less;
    for (uint32_t i = 0; i < COUNT_OF(parts); i++) {
        const DropoutParams p = {parts[i], 3 + i};
        assert_true(drops_right(&ref_dropout, p, 12345, 678));
        assert_true(drops_right(&ref_dropout, p, 0, 0)); /* key 0: nothing */
        assert_true(drops_right(&ref_dropout, p, 0, UINT32_MAX));
        assert_true(!i || !drops_right(&turned, p, 12345, 678));
        assert_true(!i || !drops_right(&less, p, 12345, 678));
    }
}

/* ---- attention ---- */

/* The rows of an attention case stored as kv and read from the cache; frees nothing of *cached, which *x refers to. */
static void run_cached(const Case *c, Dtype kv, Case *cached, Instance *x) {
    static int32_t token;
    *cached = *c;
    cached->op = OP_kv_store, cached->kv_heads = c->in[1].ne[1], cached->kv_dtype = kv, cached->params.kv.layer = 1;
    instance_make(x, cached, SEED, false);
    OpArgs store = {.params.kv = {1}, .n_in = 2, .in = {x->a.in[1], x->a.in[2]}, .step = &x->step};
    store.out = tensor_dense(DT_i32, 1, (int64_t[]){1}, &token);
    token = 1;
    args_run(&store, &ref_kv_store, 0);
    assert_int_equal(token, 0);
    OpArgs read = x->a;
    read.params = c->params, read.in[1] = store.out, read.n_in = 2;
    args_run(&read, &ref_attention_kv, 5);
}

/* The most that storing changes element e of a row of E by. q8_0: half a step of 127 to the largest, and the step's own
 * rounding to f16. */
static double stored_error(Dtype kv, const Tensor *t, int64_t row, int64_t e) {
    double x = fabs((double)tensor_at(t, row, e)), most = 0;
    if (kv == DT_f16) return x * 0x1p-11 + 0x1p-25;
    if (kv == DT_bf16) return x * 0x1p-9;
    if (kv != DT_q8_0) return 0;
    for (int64_t i = e / 32 * 32; i < MIN(e / 32 * 32 + 32, t->ne[2]); i++)
        most = fmax(most, fabs((double)tensor_at(t, row, i)));
    return most / 254 + most * 0x1p-11;
}

static double squared(double x) { return x * x; }

/* Rows of the step in double, against the op over rows (kv NULL) or over a cache; returns the worst error in units of
 * the bound. Errors of storing are taken as even over their range: 5 standard deviations of their sum. Queries and
 * weights over q8_0 are in steps of 1/32767 of the largest. */
static double attention_error(const Case *c, const Dtype *kv, int64_t drop) {
    const double sigmas = 5 / sqrt(3), step = kv && *kv == DT_q8_0 ? 0x1p-16 : 0;
    Instance x, cache;
    Case cached;
    double worst = 0;
    instance_make(&x, c, SEED, false);
    if (kv)
        run_cached(c, *kv, &cached, &cache);
    else
        instance_run(&x, &ref_attention, 0);
    const DropoutParams *drops = &c->params.attn.dropout;
    const Tensor *q = &x.a.in[0], *k = &x.a.in[1], *v = &x.a.in[2], *out = kv ? &cache.a.out : &x.a.out;
    int64_t H = q->ne[1], K = k->ne[1], E = q->ne[2];
    double *p = mem_alloc((size_t)x.step.n, sizeof *p), scale = (double)c->params.attn.scale;
    for (int64_t u = 0; u < x.step.n * H; u++) {
        int64_t t = u / H, kh = u % H / (H / K), lo, hi, row0 = x.step.first_row[t];
        double most = -1e300, sum = 0, spread = 0, moved = 0;
        mask_range(c->params.attn.mask, x.step.index[t], x.step.reach[t], &lo, &hi);
        lo += drop;
        for (int64_t j = lo; j < hi; j++) {
            p[j] = 0;
            double size = 0, off = 0;
            for (int64_t e = 0; e < E; e++) {
                double qe = (double)tensor_at(q, u, e), ke = (double)tensor_at(k, (row0 + j) * K + kh, e);
                p[j] += scale * qe * ke, size += scale * fabs(qe * ke);
                if (kv) off += squared(qe * stored_error(*kv, k, (row0 + j) * K + kh, e)) + squared(4 * step * ke);
            }
            double cap = (double)c->params.attn.softcap; /* its slope is at most 1: bounds before it hold behind it */
            if (cap > 0) p[j] = cap * tanh(p[j] / cap), size += cap;
            most = fmax(most, p[j]), spread = fmax(spread, size), moved = fmax(moved, sigmas * scale * sqrt(off));
        }
        for (int64_t j = lo; j < hi; j++) sum += p[j] = exp(p[j] - most);
        for (int64_t e = 0; e < E; e++) {
            double o = 0, size = 0, off = 0;
            for (int64_t j = lo; j < hi; j++) {
                double ve = (double)tensor_at(v, (row0 + j) * K + kh, e), term = p[j] / sum * ve;
                if (drops->p > 0) term *= drop_factor(*drops, x.a.in[3].data, u * c->params.attn.keys + j);
                o += term, size += fabs(term);
                if (kv)
                    off += squared(p[j] / sum * stored_error(*kv, v, (row0 + j) * K + kh, e)) + squared(step / sum * 4);
            }
            /* what moves the scores moves every weight by a factor */
            double bound = rounding((double)(hi - lo), size) +
                           size * (rounding((double)E, spread) + exp(2 * moved) - 1) + sigmas * sqrt(off);
            worst = worse(worst, fabs((double)tensor_at(out, u, e) - o) / bound);
        }
    }
    free(p);
    instance_release(&x);
    if (kv) instance_release(&cache);
    return worst;
}

static const Dtype kv_types[] = {DT_f32, DT_f16, DT_bf16, DT_q8_0};

static void test_attention(void **state) {
    (void)state;
    for (const Case *c = cases; c < cases + n_cases; c += every) {
        char name[160];
        if (c->op != OP_attention || c->in[0].fill == FILL_big) continue;
        double off = attention_error(c, NULL, 0);
        if (off > 1) fail_msg("%s: %g times its bound off", case_name(c, name), off);
        for (size_t i = 0; i < COUNT_OF(kv_types) && !(c->params.attn.dropout.p > 0); i++) { /* that is for training */
            off = attention_error(c, &kv_types[i], 0);
            if (off > 1)
                fail_msg("%s, kv %s: %g times its bound off", case_name(c, name), dtype_info[kv_types[i]].name, off);
        }
    }
    const Case one = {.op = OP_attention,
                      .params.attn = {.scale = 0.2f, .layer = 1},
                      .in = {{.ne = {9, 2, 16}}, {.ne = {9, 1, 16}}, {.ne = {9, 1, 16}}},
                      .out = {.ne = {9, 2, 16}}};
    assert_true(attention_error(&one, NULL, 0) <= 1);
    assert_true(attention_error(&one, NULL, 1) > 1); /* one key less */
    for (size_t i = 0; i < COUNT_OF(kv_types); i++) {
        assert_true(attention_error(&one, &kv_types[i], 0) <= 1);
        assert_true(attention_error(&one, &kv_types[i], 1) > 1);
        if (i) assert_true(attention_error(&one, &kv_types[i], 0) > 0.02); /* and the bound is not far off */
    }
}

/* Keys and values stored as f32 and read from pages give the bits of attention over the same rows. */
static void check_cache(int64_t T, int64_t window) {
    enum { H = 4, K = 2, E = 24 };
    Case c = {.op = OP_attention,
              .params.attn = {.scale = 0.2f, .mask = {window}, .layer = 1},
              .in = {{.ne = {T, H, E}}, {.ne = {T, K, E}}, {.ne = {T, K, E}}},
              .out = {.ne = {T, H, E}}};
    Case cached;
    Instance rows, pages;
    char why[160];
    instance_make(&rows, &c, SEED, false);
    instance_run(&rows, &ref_attention, 0);
    run_cached(&c, DT_f32, &cached, &pages);
    if (!instance_same(&rows, &pages, NULL, why)) fail_msg("T %lld: %s", (long long)T, why);
    instance_release(&rows);
    instance_release(&pages);
}

static void test_cache_is_attention(void **state) {
    (void)state;
    check_cache(1, 0);
    check_cache(70, 0);
    check_cache(300, 0);
    check_cache(300, 70);
}

/* ---- the rest: each formula once, element by element ---- */

typedef double Formula(const Instance *x, int64_t row, int64_t col);

static double in_at(const Instance *x, int i, int64_t row, int64_t col) {
    return (double)tensor_at(&x->a.in[i], row, col);
}

static double rms_of(const Instance *x, int64_t row) {
    double sum = 0, D = (double)x->a.out.ne[x->a.out.ndim - 1];
    for (int64_t d = 0; d < x->a.out.ne[x->a.out.ndim - 1]; d++) sum += in_at(x, 0, row, d) * in_at(x, 0, row, d);
    return 1 / sqrt(sum / D + (double)x->c->params.norm.eps);
}
static double f_rms_norm(const Instance *x, int64_t r, int64_t i) {
    return in_at(x, 0, r, i) * rms_of(x, r) * (in_at(x, 1, 0, i) + (double)x->c->params.norm.plus);
}
static double f_silu(const Instance *x, int64_t r, int64_t i) {
    return in_at(x, 0, r, i) / (1 + exp(-in_at(x, 0, r, i)));
}
static double f_silu_dx(const Instance *x, int64_t r, int64_t i) {
    double v = in_at(x, 1, r, i), s = 1 / (1 + exp(-v));
    return in_at(x, 0, r, i) * (s + v * s * (1 - s));
}
static double f_layer_norm(const Instance *x, int64_t r, int64_t i) {
    double mean = 0, var = 0;
    int64_t D = x->a.out.ne[x->a.out.ndim - 1];
    for (int64_t d = 0; d < D; d++) mean += in_at(x, 0, r, d) / (double)D;
    for (int64_t d = 0; d < D; d++) var += pow(in_at(x, 0, r, d) - mean, 2) / (double)D;
    return (in_at(x, 0, r, i) - mean) / sqrt(var + (double)x->c->params.norm.eps) * in_at(x, 1, 0, i) +
           in_at(x, 2, 0, i);
}
static double f_bias(const Instance *x, int64_t r, int64_t i) { return in_at(x, 0, r, i) + in_at(x, 1, 0, i); }
static double f_gelu(const Instance *x, int64_t r, int64_t i) {
    double v = in_at(x, 0, r, i);
    return 0.5 * v * (1 + tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
}
static double f_scale(const Instance *x, int64_t r, int64_t i) {
    return in_at(x, 0, r, i) * (double)x->c->params.scale.by;
}
static double f_softcap(const Instance *x, int64_t r, int64_t i) {
    double cap = (double)x->c->params.cap.cap;
    return cap * tanh(in_at(x, 0, r, i) / cap);
}
static double f_add(const Instance *x, int64_t r, int64_t i) { return in_at(x, 0, r, i) + in_at(x, 1, r, i); }
static double f_mul(const Instance *x, int64_t r, int64_t i) { return in_at(x, 0, r, i) * in_at(x, 1, r, i); }

static double f_rope(const Instance *x, int64_t r, int64_t i) {
    int64_t H = x->a.out.ne[1], half = x->a.in[1].ne[1];
    bool inter = x->c->params.rope.interleaved;
    if (i >= 2 * half) return in_at(x, 0, r, i);
    int64_t pair = inter ? i / 2 : i % half, second = inter ? i % 2 : i >= half;
    double c = in_at(x, 1, r / H * half + pair, 0), s = in_at(x, 1, r / H * half + pair, 1);
    if (x->c->params.rope.inverse) s = -s;
    double a = in_at(x, 0, r, inter ? 2 * pair : pair), b = in_at(x, 0, r, inter ? 2 * pair + 1 : pair + half);
    return second ? a * s + b * c : a * c - b * s;
}

static double softmax_part(const Instance *x, int logits, int64_t r, int64_t i, double *lse) {
    int64_t V = x->a.in[logits].ne[1];
    double m = -1e300, sum = 0;
    for (int64_t v = 0; v < V; v++) m = fmax(m, in_at(x, logits, r, v));
    for (int64_t v = 0; v < V; v++) sum += exp(in_at(x, logits, r, v) - m);
    *lse = m + log(sum);
    return exp(in_at(x, logits, r, i) - *lse);
}
static double f_cross_entropy(const Instance *x, int64_t r, int64_t i) {
    (void)r;
    int32_t label = ((const int32_t *)x->a.in[1].data)[i];
    double lse = 0;
    if (label >= 0) softmax_part(x, 0, i, 0, &lse);
    return label >= 0 ? lse - in_at(x, 0, i, label) : 0;
}
static double f_cross_entropy_dx(const Instance *x, int64_t r, int64_t i) {
    int32_t label = ((const int32_t *)x->a.in[2].data)[r];
    double lse, p = softmax_part(x, 1, r, i, &lse);
    return label < 0 ? 0 : in_at(x, 0, 0, r) * (p - (label == i));
}

/* The states were overwritten by the run: their first values are in the regions' copies. */
static double before(const Instance *x, int i, int64_t r, int64_t col) {
    Tensor t = x->a.in[i];
    t.data = x->in[i].before + (x->in[i].data - x->in[i].map);
    return (double)tensor_at(&t, r, col);
}
static double f_adamw(const Instance *x, int64_t r, int64_t i) {
    double h[7];
    for (int k = 0; k < 7; k++) h[k] = in_at(x, 4, 0, k);
    double g = before(x, 1, r, i) * in_at(x, 5, 0, 0), m = h[1] * before(x, 2, r, i) + (1 - h[1]) * g;
    double v = h[2] * before(x, 3, r, i) + (1 - h[2]) * g * g;
    double w = before(x, 0, r, i) * (1 - h[0] * h[4]);
    return w - h[0] * (m / h[5]) / (sqrt(v / h[6]) + h[3]);
}

static double f_sgd(const Instance *x, int64_t r, int64_t i) {
    double w = before(x, 0, r, i), step = before(x, 1, r, i) * in_at(x, 3, 0, 0) + in_at(x, 2, 0, 4) * w;
    if (x->a.n_in > 4) step += in_at(x, 2, 0, 7) * before(x, 4, r, i);
    return w - in_at(x, 2, 0, 0) * step;
}
static double f_muon_momentum(const Instance *x, int64_t r, int64_t i) {
    double mu = in_at(x, 2, 0, 7), g = in_at(x, 0, r, i) * in_at(x, 3, 0, 0),
           m = mu * before(x, 1, r, i) + (1 - mu) * g;
    return mu * m + (1 - mu) * g;
}
static double f_mix(const Instance *x, int64_t r, int64_t i) {
    return (double)x->c->params.mix.a * in_at(x, 0, r, i) + (double)x->c->params.mix.b * in_at(x, 1, r, i);
}
static double f_muon(const Instance *x, int64_t r, int64_t i) {
    double lr = in_at(x, 2, 0, 0), w = before(x, 0, r, i) * (1 - lr * in_at(x, 2, 0, 4));
    return w - lr * (double)x->c->params.muon.adjust * in_at(x, 1, r, i);
}

/* The weight of expert i; which are the k largest is decided in double, on cases where none are close. */
static double f_route(const Instance *x, int64_t r, int64_t i) {
    int64_t above = 0, X = x->a.out.ne[1];
    double lse, p = softmax_part(x, 0, r, i, &lse), sum = 0;
    for (int64_t j = 0; j < X; j++) {
        double q = in_at(x, 0, r, j);
        int64_t before = 0; /* of j */
        for (int64_t l = 0; l < X; l++) before += in_at(x, 0, r, l) > q;
        if (before < x->c->params.route.k) sum += exp(q - lse);
        above += q > in_at(x, 0, r, i);
    }
    return above >= x->c->params.route.k ? 0 : x->c->params.route.normalise ? p / sum : p;
}

static double f_experts_sum(const Instance *x, int64_t r, int64_t i) {
    int64_t k = x->a.in[2].ne[1];
    double sum = 0;
    for (int64_t s = r * k; s < (r + 1) * k; s++) sum += in_at(x, 1, r, expert_at(x, s)) * in_at(x, 0, s, i);
    return sum;
}

/* Error in units of a few eps of the value or of 1 (what the values are made of). f32 hypers cost adamw's v a part in
 * 1e4. */
static double formula_error(const Case *c, const Kernel *k, Formula *f) {
    Instance x;
    double worst = 0;
    instance_make(&x, c, SEED, false);
    instance_run(&x, k, 0);
    for (int64_t r = 0; r < tensor_rows(&x.a.out); r++)
        for (int64_t i = 0; i < x.a.out.ne[x.a.out.ndim - 1]; i++) {
            double want = f(&x, r, i), got = (double)tensor_at(&x.a.out, r, i);
            double terms = 16 + sqrt((double)x.a.in[0].ne[x.a.in[0].ndim - 1]);
            worst = worse(worst, fabs(got - want) / ((double)FLT_EPSILON * terms * fmax(1, fabs(want))));
        }
    instance_release(&x);
    return worst;
}

static const struct {
    Op op;
    const Kernel *k;
    Formula *f;
} formulas[] = {
    {OP_rms_norm, &ref_rms_norm, f_rms_norm},
    {OP_bias, &ref_bias, f_bias},
    {OP_gelu, &ref_gelu, f_gelu},
    {OP_scale, &ref_scale, f_scale},
    {OP_softcap, &ref_softcap, f_softcap},
    {OP_layer_norm, &ref_layer_norm, f_layer_norm},
    {OP_silu, &ref_silu, f_silu},
    {OP_silu_dx, &ref_silu_dx, f_silu_dx},
    {OP_add, &ref_add, f_add},
    {OP_mul, &ref_mul, f_mul},
    {OP_rope, &ref_rope, f_rope},
    {OP_cross_entropy, &ref_cross_entropy, f_cross_entropy},
    {OP_cross_entropy_dx, &ref_cross_entropy_dx, f_cross_entropy_dx},
    {OP_adamw, &ref_adamw, f_adamw},
    {OP_sgd, &ref_sgd, f_sgd},
    {OP_muon_momentum, &ref_muon_momentum, f_muon_momentum},
    {OP_mix, &ref_mix, f_mix},
    {OP_muon, &ref_muon, f_muon},
    {OP_route, &ref_route, f_route},
    {OP_experts_sum, &ref_experts_sum, f_experts_sum},
};

static void test_formulas(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(formulas); i++)
        for (const Case *c = cases; c < cases + n_cases; c += every) {
            char name[160];
            if (c->op != formulas[i].op || c->out.dtype != DT_f32 || c->in[0].fill == FILL_edge ||
                c->in[0].fill == FILL_odd || c->bench)
                continue;
            double off = formula_error(c, formulas[i].k, formulas[i].f);
            if (off > 1) fail_msg("%s: %g times its bound off", case_name(c, name), off);
        }
}

/* What the ops that a case's op stands for make one after the other, of dtype f32 still. */
static Instance before_cast(const Case *c) {
    Case f32 = *c;
    Instance x;
    f32.out.dtype = DT_f32, f32.params.norm.to = DT_f32;
    if (c->op == OP_gated) f32.op = c->params.gated.gelu ? OP_gelu : OP_silu, f32.params = (OpParams){0};
    instance_make(&x, &f32, SEED, false);
    const Kernel *k = c->op == OP_rms_norm ? &ref_rms_norm : c->op == OP_layer_norm ? &ref_layer_norm : NULL;
    instance_run(&x, k ? k : c->params.gated.gelu ? &ref_gelu : &ref_silu, 0);
    x.c = c;
    if (k || case_n_in(c) == 1) return x;
    OpArgs mul = {.n_in = 2, .in = {x.a.out, x.a.in[1]}, .out = x.a.out};
    ref_mul.run(&mul, 0, tensor_rows(&mul.out), NULL);
    return x;
}

static bool is_its_parts(const Case *c, const Kernel *k) {
    Instance one, parts = before_cast(c);
    instance_make(&one, c, SEED, false);
    instance_run(&one, k, 0);
    const int64_t n = c->out.ne[shape_ndim(&c->out) - 1];
    const size_t bytes = (size_t)dtype_row_bytes(c->out.dtype, n);
    bool same = true;
    void *row = mem_alloc(bytes, 1);
    for (int64_t r = 0; r < tensor_rows(&one.a.out); r++) {
        dtype_info[c->out.dtype].encode(tensor_row(&parts.a.out, r), row, n);
        same = same && memcmp(row, tensor_row(&one.a.out, r), bytes) == 0;
    }
    free(row);
    instance_release(&one);
    instance_release(&parts);
    return same;
}

static void gated_otherwise(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    OpArgs b = *a;
    b.params.gated.gelu = !b.params.gated.gelu;
    ref_gated.run(&b, u0, u1, scratch);
}

static void test_parts(void **state) {
    (void)state;
    int checked = 0;
    Kernel otherwise = ref_gated;
    otherwise.run = gated_otherwise;
    for (const Case *c = cases; c < cases + n_cases; c++) {
        char name[160];
        const bool norm = c->op == OP_rms_norm || c->op == OP_layer_norm;
        if (c->op != OP_gated && !(norm && c->out.dtype != DT_f32)) continue;
        const Kernel *k = c->op == OP_gated ? &ref_gated : c->op == OP_rms_norm ? &ref_rms_norm : &ref_layer_norm;
        if (!is_its_parts(c, k)) fail_msg("%s: not what its parts make", case_name(c, name));
        if (c->op == OP_gated && c->in[0].fill == FILL_normal && is_its_parts(c, &otherwise))
            fail_msg("%s: gelu is silu", case_name(c, name));
        checked++;
    }
    assert_true(checked > 20);
}

static void off_by_little(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    ref_silu.run(a, u0, u1, scratch);
    for (int64_t r = u0; r < u1; r++) ((float *)tensor_row(&a->out, r))[0] += 1e-4f;
}

static void test_formulas_refuse(void **state) {
    (void)state;
    const Case c = {.op = OP_silu, .in = {{.ne = {3, 40}}}, .out = {.ne = {3, 40}}};
    Kernel k = ref_silu;
    k.run = off_by_little;
    assert_true(formula_error(&c, &ref_silu, f_silu) <= 1);
    assert_true(formula_error(&c, &k, f_silu) > 1);
}

/* Which experts a token meets where their weights do not tell them apart. */
static void test_route_edges(void **state) {
    (void)state;
    enum { X = 5, K = 3 };
    const struct {
        float logits[X], routes[X];
        int32_t ids[K];
    } rows[] = {
        {{0, -200, 0, -300, -250}, {0.5f, 0, 0.5f, 0, 0}, {0, 1, 2}},    /* the third underflows to 0 */
        {{-300, -300, -300, -300, 0}, {0, 0, 0, 0, 1}, {0, 1, 4}},       /* so do all but one */
        {{1, 1, 1, 1, 1}, {1 / 3.f, 1 / 3.f, 1 / 3.f, 0, 0}, {0, 1, 2}}, /* ties */
        {{2, NAN, 2, 2, 2}, {NAN, NAN, NAN, 0, 0}, {0, 1, 2}},           /* as softmax has it */
        {{INFINITY, 0, 0, 0, 0}, {NAN, NAN, NAN, 0, 0}, {0, 1, 2}},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        float routes[X], scratch[2 * X + K];
        int32_t ids[K];
        OpArgs a = {.params.route = {K, true}, .n_in = 1};
        a.in[0] = tensor_dense(DT_f32, 2, (int64_t[]){1, X}, (void *)(uintptr_t)rows[i].logits);
        a.out = tensor_dense(DT_f32, 2, (int64_t[]){1, X}, routes);
        ref_route.run(&a, 0, 1, scratch);
        a.in[0] = a.out;
        a.out = tensor_dense(DT_i32, 2, (int64_t[]){1, K}, ids);
        ref_route_ids.run(&a, 0, 1, NULL);
        for (int k = 0; k < X; k++)
            assert_true(isnan(rows[i].routes[k]) ? isnan(routes[k]) : fabsf(routes[k] - rows[i].routes[k]) < 1e-6f);
        assert_memory_equal(ids, rows[i].ids, sizeof ids);
    }
}

int main(void) {
    if (getenv("LLMWS_EMULATOR")) every = 4;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),
        cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_matmul_bound_refuses),
        cmocka_unit_test(test_formulas),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_formulas_refuse),
        cmocka_unit_test(test_cache_is_attention),
        cmocka_unit_test(test_route_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
