/* Every kernel of the CPU against the table of cases: the same as the reference, nothing touched that is not its own,
 * the same however its units are cut, however many tokens come together, in place, and on threads.
 *
 * test_ops --bench [op]: time of each case and kernel. */
#include "backends/cpu/cpuid.h"
#include "backends/cpu/pool.h"
#include "backends/cpu/ref.h"
#include "backends/cpu/repack.h"
#include "backends/cpu/tuned.h"
#include "tests/ops/harness.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const Kernel *ref;
    const char *takes;
} ops[OP_COUNT] = {
#define OP(name, params, min_in, max_in, flags) [OP_##name] = {&ref_##name, takes_##name},
#include "core/ops.def"
#undef OP
};

/* Ops whose rows follow tokens: bit i is set when input i has a row per token. */
static const unsigned token_inputs[OP_COUNT] = {
    [OP_embed] = 2,
    [OP_cast] = 1,
    [OP_matmul] = 1,
    [OP_matmul_dx] = 1,
    [OP_rms_norm] = 1,
    [OP_rope] = 3,
    [OP_attention_kv] = 5,
    [OP_attn_probs] = 1,
    [OP_attn_probs_dx] = 3,
    [OP_attn_scores_kv] = 1,
    [OP_attn_mix_kv] = 1,
    [OP_add] = 3,
    [OP_mul] = 3,
    [OP_silu] = 1,
    [OP_gated] = 3,
    [OP_bias] = 1,
    [OP_gelu] = 1,
    [OP_layer_norm] = 1,
    [OP_layer_norm_dx] = 3,
    [OP_gelu_dx] = 3,
    [OP_scale] = 1,
    [OP_softcap] = 1,
    [OP_softcap_dx] = 3,
    [OP_patch] = 1,
    [OP_rms_norm_dx] = 3,
    [OP_silu_dx] = 3,
    [OP_rope_order] = 1,
    [OP_view_dx] = 3,
    [OP_route] = 1,
    [OP_route_dx] = 3,
    [OP_route_ids] = 1,
    [OP_matmul_experts] = 5,
    [OP_matmul_experts_dx] = 13,
    [OP_experts_sum] = 7,
    [OP_experts_sum_dy] = 7,
    [OP_experts_sum_dw] = 15,
};

/* bf16 products are exact in f32, so only the sums round, in an order that is the CPU's: each of K steps is off by at
 * most eps/2 of a partial sum, which the sum of magnitudes bounds; they add up like a random walk. */
static double bf16_bound(const Instance *x, int64_t row, int64_t col) {
    double sum = 0;
    const Tensor *in = x->a.in;
    int64_t K = in[1].ne[in[1].ndim - 1];
    if (x->c->op == OP_matmul_experts) {
        int64_t k = in[2].ne[1];
        col += ((const int32_t *)tensor_row(&in[2], row / k))[row % k] * in[1].ne[1];
        if (in[0].ndim == 2) row /= k;
    }
    for (int64_t i = 0; i < K; i++) sum += fabs((double)tensor_at(&in[0], row, i) * (double)tensor_at(&in[1], col, i));
    return (double)FLT_EPSILON * sqrt((double)K) * sum;
}

static Bound *bound_of(const Case *c) {
    bool product = c->op == OP_matmul || c->op == OP_matmul_experts;
    return product && c->in[0].dtype == DT_bf16 ? bf16_bound : NULL;
}

/* ---- the checks; each returns false with why ---- */

enum { SEED = 20 };

static bool check_same(const Case *c, const Kernel *k, char *why) {
    Instance want, got;
    instance_make(&want, c, SEED, false);
    instance_make(&got, c, SEED, false);
    instance_run(&want, ops[c->op].ref, 0);
    instance_run(&got, k, 0);
    bool ok = instance_same(&want, &got, bound_of(c), why) && instance_intact(&got, why);
    instance_release(&want);
    instance_release(&got);
    return ok;
}

static bool check_units(const Case *c, const Kernel *k, char *why) {
    Instance whole, cut;
    bool ok = true;
    for (uint64_t seed = 1; seed <= 2 && ok; seed++) {
        instance_make(&whole, c, SEED + seed, false);
        instance_make(&cut, c, SEED + seed, false);
        instance_run(&whole, k, 0);
        instance_run(&cut, k, seed);
        ok = instance_same(&whole, &cut, NULL, why) && instance_intact(&cut, why);
        instance_release(&whole);
        instance_release(&cut);
    }
    return ok;
}

/* Tokens in parts of `step` give what they give together. */
static bool check_parts(const Case *c, const Kernel *k, int64_t step, char *why) {
    Instance whole, parts;
    instance_make(&whole, c, SEED, false);
    instance_make(&parts, c, SEED, false);
    instance_run(&whole, k, 0);
    int64_t T = parts.a.out.ne[0];
    for (int64_t t = 0; t < T; t += step) {
        Part p;
        part_make(&p, &parts, token_inputs[c->op], t, MIN(t + step, T));
        args_run(&p.a, k, 0);
        part_release(&p);
    }
    bool ok = instance_same(&whole, &parts, NULL, why) && instance_intact(&parts, why);
    instance_release(&whole);
    instance_release(&parts);
    return ok;
}

static bool check_tokens(const Case *c, const Kernel *k, char *why) {
    int64_t T = c->out.ne[0];
    if (!token_inputs[c->op] || c->out.ne[1] == 0 || T == 1) return true;
    return check_parts(c, k, 1, why) && check_parts(c, k, T > 5 ? 5 : 2, why);
}

static bool check_in_place(const Case *c, const Kernel *k, char *why) {
    int at = case_in_place(c);
    if (at < 0 || c->in[at].strided) return true;
    Instance apart, placed;
    instance_make(&apart, c, SEED, false);
    instance_make(&placed, c, SEED, true);
    instance_run(&apart, k, 0);
    instance_run(&placed, k, 3);
    bool ok = instance_same(&apart, &placed, NULL, why) && instance_intact(&placed, why);
    instance_release(&apart);
    instance_release(&placed);
    return ok;
}

static bool check_threads(const Case *c, const Kernel *k, Pool *pool, int threads, char *why) {
    Instance one, many;
    instance_make(&one, c, SEED, false);
    instance_make(&many, c, SEED, false);
    instance_run(&one, k, 0);
    size_t bytes = align_up(k->scratch ? k->scratch(&many.a) : 0, 64);
    size_t staged = align_up((size_t)(many.a.out.ne[0] * many.a.out.stride[0]), 64);
    RunMemory m = {.scratch_bytes = bytes, .stage_bytes = staged};
    m.scratch = aligned_alloc(64, bytes * (size_t)(pool_scratch_areas(threads) + pool_stage_areas(threads)) + 64);
    m.stage = aligned_alloc(64, staged * (size_t)pool_stage_areas(threads) + 64);
    ExecOp op = {.run = k->run, .units = k->units, .copy = k->copy, .n_units = k->units(&many.a), .args = many.a};
    pool_run(pool, &op, 1, &m);
    pool_settle(pool);
    free(m.scratch);
    free(m.stage);
    bool ok = instance_same(&one, &many, NULL, why) && instance_intact(&many, why);
    instance_release(&one);
    instance_release(&many);
    return ok;
}

/* What a kernel puts into memory beside the output, unit by unit and amid rubbish, its copy brings home. */
static bool check_copy(const Case *c, const Kernel *k, char *why) {
    if (!k->copy) return true;
    Instance direct, staged;
    instance_make(&direct, c, SEED, false);
    instance_make(&staged, c, SEED, false);
    instance_run(&direct, k, 0);
    size_t bytes = align_up((size_t)(staged.a.out.ne[0] * staged.a.out.stride[0]), 64);
    size_t scratch_bytes = align_up(k->scratch ? k->scratch(&staged.a) : 0, 64);
    char *stage = aligned_alloc(64, bytes + scratch_bytes);
    OpArgs aside = staged.a;
    aside.out.data = stage;
    for (int64_t u = 0, n = k->units(&staged.a), u1; u < n; u = u1) {
        u1 = MIN(n, u + 1 + u % 4);
        memset(stage, 0x5a, bytes + scratch_bytes);
        k->run(&aside, u, u1, stage + bytes);
        k->copy(&staged.a, stage, u, u1);
    }
    free(stage);
    bool ok = instance_same(&direct, &staged, NULL, why) && instance_intact(&staged, why);
    instance_release(&direct);
    instance_release(&staged);
    return ok;
}

/* A weight whose experts stand each somewhere else gives the bits of one in a piece. */
static bool check_apart(const Case *c, const Kernel *k, char *why) {
    if (c->op != OP_matmul_experts && c->op != OP_matmul_experts_dx) return true;
    Instance whole, apart;
    instance_make(&whole, c, SEED, false);
    instance_make(&apart, c, SEED, false);
    instance_run(&whole, k, 0);
    Tensor *w = &apart.a.in[1];
    size_t X = (size_t)w->ne[0], bytes = (size_t)w->stride[0];
    char **parts = mem_alloc(X, sizeof *parts);
    for (size_t i = 0; i < X; i++) {
        parts[i] = aligned_alloc(64, align_up(bytes, 64));
        memcpy(parts[i], (char *)w->data + i * bytes, bytes);
    }
    w->data = NULL;
    w->parts = (const void *const *)parts;
    instance_run(&apart, k, 0);
    bool ok = instance_same(&whole, &apart, NULL, why);
    for (size_t i = 0; i < X; i++) free(parts[i]);
    free(parts);
    instance_release(&whole);
    instance_release(&apart);
    return ok;
}

/* A weight that was repacked gives the bits of one as it lies, all at once and in pieces. The heap's guards stand right
 * behind it under the address sanitizer. */
static bool check_packed(const Case *c, const Kernel *k, char *why) {
    Instance plain, packed;
    OpArgs pack = {.n_in = 1};
    bool ok = true;
    if (!k->takes_packed || c->bench) return true;
    for (uint64_t seed = 0; seed < 2 && ok; seed++) {
        instance_make(&plain, c, SEED, false);
        instance_make(&packed, c, SEED, false);
        Tensor *w = &packed.a.in[1];
        const bool fits = repack_fits(&packed.a);
        pack.in[0] = *w;
        pack.out.data = fits ? mem_alloc((size_t)repack_bytes(w), 1) : NULL;
        if (fits) {
            args_run(&pack, &repack_kernel, seed);
            instance_run(&plain, k, 0);
            w->data = pack.out.data, w->packed = true;
            instance_run(&packed, k, seed);
            ok = instance_same(&plain, &packed, NULL, why) && instance_intact(&packed, why);
        }
        free(pack.out.data);
        instance_release(&plain);
        instance_release(&packed);
    }
    return ok;
}

/* What a helper that comes late may find in operand i: round 0: one value; 1: any in range; 2: any bytes at all. */
static void scribble(Instance *x, int i, int round, Rng *r) {
    const int64_t X = x->a.in[1].ne[0];
    for (size_t at = 0; at + 4 <= x->in[i].bytes; at += 4) {
        int32_t v = (int32_t)(round == 0 ? X - 1 : round == 1 ? rng_below(r, X) : (int64_t)(rng_next(r) & 0xffffffff));
        memcpy(x->in[i].data + at, &v, 4);
    }
}

/* It reads what others write meanwhile: whatever stands in activations and ids, it stays inside its operands, and its
 * sums are defined: they wrap. */
static bool check_late(const Case *c, const Kernel *k, char *why) {
    const bool ids = c->op == OP_matmul_experts;
    if (!k->copy || c->in[0].dtype == DT_i32) return true;
    Instance x;
    Rng r = {SEED};
    instance_make(&x, c, SEED, false);
    bool ok = true;
    for (int round = ids ? 0 : 2; round < 3 && ok; round++) {
        if (ids) scribble(&x, 2, round, &r);
        if (round == 2) scribble(&x, 0, round, &r);
        instance_run(&x, k, 0);
        for (int i = 0; i < 3; i += 2)
            if (x.in[i].before) memcpy(x.in[i].map, x.in[i].before, x.in[i].map_bytes);
        ok = instance_intact(&x, why);
    }
    instance_release(&x);
    return ok;
}

/* ---- all cases, all kernels ---- */

typedef bool Check(const Case *c, const Kernel *k, char *why);

static OpArgs planned(const Case *c) {
    OpArgs a = {.params = c->params, .n_in = case_n_in(c)};
    for (int i = 0; i < a.n_in; i++) a.in[i] = tensor_dense(c->in[i].dtype, shape_ndim(&c->in[i]), c->in[i].ne, NULL);
    a.out = tensor_dense(c->out.dtype, shape_ndim(&c->out), c->out.ne, NULL);
    return a;
}

/* Whether row i of the tuned kernels is one for this case and this CPU. */
static bool row_serves(size_t i, const Case *c, Isa best) {
    Isa isa;
    OpArgs a = planned(c);
    const TunedRow *row = &tuned_rows[i];
    return row->op == c->op && isa_from_name(row->isa, &isa) && isa <= best && (!row->fits || row->fits(&a));
}

static int check_one(const Case *c, const Kernel *k, const char *isa, Check *check) {
    char why[160] = "", name[160];
    if (check(c, k, why)) return 0;
    print_error("%s, %s: %s\n", case_name(c, name), isa, why);
    return 1;
}

/* Large cases are for timing; an emulator would take minutes to check them as well. */
static bool too_large(const Case *c) { return c->bench && getenv("LLMWS_EMULATOR"); }

static void check_all(Check *check, bool with_ref) {
    int bad = 0;
    Isa best = isa_best();
    for (const Case *c = cases; c < cases + n_cases; c++) {
        if (too_large(c)) continue;
        if (with_ref && !c->bench) bad += check_one(c, ops[c->op].ref, "ref", check);
        for (size_t i = 0; i < n_tuned_rows; i++)
            if (row_serves(i, c, best)) bad += check_one(c, tuned_rows[i].kernel, tuned_rows[i].isa, check);
    }
    assert_int_equal(bad, 0);
}

static void test_same(void **state) {
    (void)state;
    check_all(check_same, true);
}
static void test_units(void **state) {
    (void)state;
    check_all(check_units, true);
}
static void test_tokens(void **state) {
    (void)state;
    check_all(check_tokens, true);
}
static void test_in_place(void **state) {
    (void)state;
    check_all(check_in_place, true);
}

static void test_copy(void **state) {
    (void)state;
    check_all(check_copy, true);
}

static void test_late(void **state) {
    (void)state;
    check_all(check_late, false);
}

static void test_apart(void **state) {
    (void)state;
    check_all(check_apart, true);
}

static void test_packed(void **state) {
    (void)state;
    check_all(check_packed, false);
}

/* Every dtype that can be repacked is, in some case. */
static void test_packed_dtypes(void **state) {
    (void)state;
    bool seen[DT_COUNT] = {0};
    for (const Case *c = cases; c < cases + n_cases; c++) {
        OpArgs a = planned(c);
        if (c->op == OP_matmul && !c->bench && repack_fits(&a)) seen[a.in[1].dtype] = true;
    }
    for (Dtype t = 0; t < DT_COUNT; t++)
        if (dtype_info[t].class == DTC_QUANT || t == DT_f32 || t == DT_f16 || t == DT_bf16)
            if (!seen[t]) fail_msg("no case packs %s", dtype_info[t].name);
}

static void test_threads(void **state) {
    (void)state;
    enum { THREADS = 3 };
    int bad = 0;
    Isa best = isa_best();
    Pool *pool = pool_open(THREADS, NULL);
    char why[160], name[160];
    for (const Case *c = cases; c < cases + n_cases; c++)
        for (size_t i = 0; i <= n_tuned_rows; i++) {
            const Kernel *k = i == n_tuned_rows ? ops[c->op].ref : tuned_rows[i].kernel;
            if (too_large(c) || (i < n_tuned_rows ? !row_serves(i, c, best) : c->bench)) continue;
            if (check_threads(c, k, pool, THREADS, why)) continue;
            print_error("%s, %s on threads: %s\n", case_name(c, name), k->name, why);
            bad++;
        }
    pool_close(pool);
    assert_int_equal(bad, 0);
}

/* No op and no tuned kernel that this CPU can run is without a case. */
static void test_table_is_whole(void **state) {
    (void)state;
    bool has[OP_COUNT] = {0};
    for (const Case *c = cases; c < cases + n_cases; c++) {
        OpArgs a = planned(c);
        char name[160];
        has[c->op] = true;
        if (!ref_takes(ops[c->op].takes, &a)) fail_msg("%s: the reference does not take it", case_name(c, name));
    }
    for (int op = 0; op < OP_COUNT; op++) {
        if (op_info[op].flags & OPF_VIEW) continue;
        if (!has[op]) fail_msg("no case of %s", op_info[op].name);
        if (op_info[op].flags & OPF_ROWS && !token_inputs[op]) fail_msg("%s: no check of its rows", op_info[op].name);
    }
    for (size_t i = 0; i < n_tuned_rows; i++) {
        Isa isa;
        bool used = !isa_from_name(tuned_rows[i].isa, &isa) || isa > isa_best();
        for (const Case *c = cases; c < cases + n_cases; c++) used = used || row_serves(i, c, isa_best());
        if (!used) fail_msg("no case for row %zu, %s %s", i, tuned_rows[i].isa, op_info[tuned_rows[i].op].name);
    }
}

/* ---- the checks must be able to fail: wrong kernels, each with the check that has to refuse it ---- */

static void flip(const Tensor *t, int64_t row) { /* the lowest bit of the first element that is not NaN */
    uint32_t *bits = tensor_row(t, row);
    int64_t i = 0, n = t->dtype == DT_f32 ? t->ne[t->ndim - 1] : 1;
    while (i + 1 < n && (bits[i] & 0x7fffffff) > 0x7f800000) i++;
    if (t->dtype == DT_f32)
        bits[i] ^= 1;
    else
        *(unsigned char *)bits ^= 1;
}

#define OP(name, params, min_in, max_in, flags)                                                                        \
    static void flipped_##name(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {                               \
        ref_##name.run(a, u0, u1, scratch);                                                                            \
        flip(&a->out, tensor_rows(&a->out) / 2);                                                                       \
    }
#include "core/ops.def"
#undef OP

static void test_refuses_one_bit(void **state) {
    (void)state;
    static void (*const flipped[OP_COUNT])(const OpArgs *, int64_t, int64_t, void *) = {
#define OP(name, params, min_in, max_in, flags) [OP_##name] = flipped_##name,
#include "core/ops.def"
#undef OP
    };
    for (const Case *c = cases; c < cases + n_cases; c++) {
        Kernel k = *ops[c->op].ref;
        char why[160], name[160];
        k.run = flipped[c->op];
        if (c->bench || bound_of(c)) continue;
        bool odd = c->in[0].fill == FILL_odd && c->out.dtype == DT_f32;
        const bool empty =
            c->op == OP_attention_strands && (c->in[0].ne[0] < 3 || c->in[0].ne[0] > 4); /* nothing of that row */
        bool nan_row = odd || empty || c->in[0].fill == FILL_edge;                       /* all of the row may be NaN */
        if (!nan_row && check_same(c, &k, why)) fail_msg("%s: a flipped bit passes", case_name(c, name));
    }
}

static void without_last_pair(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    OpArgs b = *a;
    b.in[0].ne[1] -= 2, b.in[1].ne[1] -= 2;
    ref_matmul.run(&b, u0, u1, scratch);
}
static void scaled(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    ref_matmul.run(a, u0, u1, scratch);
    for (int64_t r = 0; r < tensor_rows(&a->out); r++)
        for (int64_t n = u0; n < u1; n++) ((float *)tensor_row(&a->out, r))[n] *= 1.002f;
}
static void writes_in_front(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    ref_matmul.run(a, u0, u1, scratch);
    ((char *)a->out.data)[-1] = 0;
}
static void writes_input(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    ref_matmul.run(a, u0, u1, scratch);
    ((char *)a->in[1].data)[3] ^= 1;
}
static void knows_its_range(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    ref_matmul.run(a, u0, u1, scratch);
    ((float *)a->out.data)[u0] += 1;
}
static void knows_its_tokens(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    ref_matmul.run(a, u0, u1, scratch);
    if (tensor_rows(&a->out) > 3) flip(&a->out, 1);
}
static void reads_what_it_wrote(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t r = u0; r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r);
        float *y = tensor_row(&a->out, r);
        for (int64_t i = 0; i < a->out.ne[1]; i++) y[i] = 0;
        for (int64_t i = 0; i < a->out.ne[1]; i++) y[i] += x[i] * 2;
    }
}
static void forgets_a_key(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    int32_t last[64];
    Step s = *a->step;
    OpArgs b = *a;
    for (int64_t t = 0; t < s.n; t++) last[t] = MAX(s.index[t] - 1, 0);
    s.index = last, b.step = &s;
    ref_attention_kv.run(&b, u0, u1, scratch);
}

/* The first case of op with these inputs. */
static const Case *find(Op op, Dtype in0, int64_t least_rows) {
    for (const Case *c = cases; c < cases + n_cases; c++)
        if (c->op == op && c->in[0].dtype == in0 && c->out.ne[0] >= least_rows && !c->bench) return c;
    return NULL;
}

static void test_refuses(void **state) {
    (void)state;
    const struct {
        const char *what;
        Op op;
        Dtype in0;
        void (*run)(const OpArgs *, int64_t, int64_t, void *);
        Check *check;
    } wrong[] = {
        {"a lost pair within the bf16 bound", OP_matmul, DT_bf16, without_last_pair, check_same},
        {"a wrong scale within the bf16 bound", OP_matmul, DT_bf16, scaled, check_same},
        {"a byte in front of the output", OP_matmul, DT_f32, writes_in_front, check_same},
        {"a changed input", OP_matmul, DT_f32, writes_input, check_same},
        {"units that know their range", OP_matmul, DT_f32, knows_its_range, check_units},
        {"tokens that know each other", OP_matmul, DT_f32, knows_its_tokens, check_tokens},
        {"reading the overwritten input", OP_silu, DT_f32, reads_what_it_wrote, check_in_place},
        {"a forgotten key", OP_attention_kv, DT_f32, forgets_a_key, check_same},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        const Case *c = find(wrong[i].op, wrong[i].in0, 5);
        Kernel k = *ops[wrong[i].op].ref;
        char why[160] = "";
        assert_non_null(c);
        k.run = wrong[i].run;
        if (wrong[i].check(c, &k, why)) fail_msg("%s passes", wrong[i].what);
    }
}

/* ---- bench ---- */

static void bench_one(const Case *c, const Kernel *k, const char *isa) {
    Instance x;
    char name[160];
    instance_make(&x, c, SEED, false);
    char *scratch = aligned_alloc(64, align_up(k->scratch ? k->scratch(&x.a) : 0, 64) + 64);
    int64_t n = k->units(&x.a), best = INT64_MAX, began = now_ns();
    for (int i = 0; i < 5 || (i < 1000 && now_ns() - began < 50000000); i++) {
        int64_t t0 = now_ns();
        k->run(&x.a, 0, n, scratch);
        best = MIN(best, now_ns() - t0);
    }
    size_t bytes = x.out.bytes;
    for (int i = 0; i < x.a.n_in; i++) bytes += x.in[i].bytes;
    printf("%-10s %12lld ns %8.2f GB/s", isa, (long long)best, (double)bytes / (double)best);
    const Tensor *w = &x.a.in[1], *dw = &x.a.out; /* what has both N and K */
    double rows = (double)tensor_rows(&x.a.in[0]);
    double sums = c->op == OP_matmul_dw                         ? rows * (double)tensor_count(dw)
                  : c->op == OP_matmul || c->op == OP_matmul_dx ? rows * (double)tensor_count(w)
                  : c->op == OP_matmul_experts                  ? (double)tensor_count(dw) * (double)w->ne[2]
                  : c->op == OP_matmul_experts_dx               ? rows * (double)(w->ne[1] * w->ne[2])
                  : c->op == OP_matmul_experts_dw               ? rows * (double)(dw->ne[1] * dw->ne[2])
                                                                : 0;
    if (sums > 0) printf(" %8.2f GFLOP/s", 2 * sums / (double)best);
    printf("  %s\n", case_name(c, name));
    free(scratch);
    instance_release(&x);
}

static int bench(const char *only) {
    Isa best = isa_best();
    for (const Case *c = cases; c < cases + n_cases; c++) {
        if (only ? strcmp(only, op_info[c->op].name) != 0 : !c->bench) continue;
        bench_one(c, ops[c->op].ref, "ref");
        for (size_t i = 0; i < n_tuned_rows; i++)
            if (row_serves(i, c, best)) bench_one(c, tuned_rows[i].kernel, tuned_rows[i].isa);
    }
    return 0;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_whole), cmocka_unit_test(test_same),     cmocka_unit_test(test_units),
        cmocka_unit_test(test_tokens),         cmocka_unit_test(test_in_place), cmocka_unit_test(test_copy),
        cmocka_unit_test(test_apart),          cmocka_unit_test(test_packed),   cmocka_unit_test(test_packed_dtypes),
        cmocka_unit_test(test_late),           cmocka_unit_test(test_threads),  cmocka_unit_test(test_refuses_one_bit),
        cmocka_unit_test(test_refuses),
    };
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) return bench(argv[2]);
#if defined __SANITIZE_THREAD__
    cmocka_set_test_filter("test_threads"); /* races are all it can find, and it is ten times slower */
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
