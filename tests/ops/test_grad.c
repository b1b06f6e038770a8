/* Gradient rules and their kernels against finite differences: for each case of an op that has a gradient, a graph of
 * that one op, its output's gradient a random leaf, L = sum(output * that leaf) in double.
 *
 * dL/dx is taken by the five-point formula with step H: its own error is of order H^4, and the rounding of outputs
 * enters with eps/H, so a part in a thousand of the largest gradient is a bound both respect. */
#include "backends/cpu/cpu.h"
#include "core/exec.h"
#include "core/grad.h"
#include "tests/ops/harness.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SEED = 5, SAMPLES = 6, MAX_TOKENS = 64 };
static const double H = 0.02, TOLERANCE = 1e-3;

/* Bit i: the gradient rule gives one for input i. Every other op refuses. */
static const unsigned differentiable[OP_COUNT] = {
    [OP_embed] = 1,       [OP_rows] = 1,       [OP_view] = 1,          [OP_matmul] = 3,     [OP_rms_norm] = 3,
    [OP_rope] = 1,        [OP_rope_order] = 1, [OP_attention] = 7,     [OP_add] = 3,        [OP_mul] = 3,
    [OP_bias] = 3,        [OP_layer_norm] = 7, [OP_gelu] = 1,          [OP_scale] = 1,      [OP_softcap] = 1,
    [OP_silu] = 1,        [OP_patch] = 1,      [OP_cross_entropy] = 1, [OP_route] = 1,      [OP_matmul_experts] = 3,
    [OP_experts_sum] = 3, [OP_dropout] = 1,    [OP_attn_scores] = 3,   [OP_attn_probs] = 1, [OP_attn_mix] = 3,
};

typedef struct Net {
    Instance data;
    Graph g;
    Exec x;
    int in[MAX_IN], n_in, out, seed, grads[MAX_IN];
} Net;

static const Tensor *no_weight(void *ctx, const Node *leaf) { return (void)ctx, (void)leaf, NULL; }

/* patch is for values with a row per token alone. */
static int leaf_of(Net *n, const Tensor *t, bool tokens, const char *name) {
    Dim dims[MAX_DIMS];
    for (int d = 0; d < t->ndim; d++) dims[d] = d == 0 && tokens ? DIM_T : DIM(t->ne[d]);
    return graph_leaf(&n->g, NODE_INPUT, t->dtype, t->ndim, dims, name);
}

static bool wanted(const Case *c, int i) {
    return (differentiable[c->op] >> i & 1) && dtype_info[c->in[i].dtype].class == DTC_FLOAT &&
           c->in[i].dtype == DT_f32;
}

static void put(Net *n, int id, const Tensor *from) {
    int64_t bytes = dtype_row_bytes(from->dtype, from->ne[from->ndim - 1]);
    for (int64_t r = 0; r < tensor_rows(from); r++)
        memcpy((char *)exec_data(&n->x, id) + r * bytes, tensor_row(from, r), (size_t)bytes);
}

/* False with *e when the rules refuse. */
static bool net_open(Net *n, const Case *c, Backend *b, Err *e) {
    *n = (Net){0};
    instance_make(&n->data, c, SEED, false);
    n->n_in = n->data.a.n_in;
    bool tokens = c->op == OP_patch;
    graph_init(&n->g, n->data.step.n, 1);
    int leaves[MAX_IN], n_leaves = 0, grads[MAX_IN];
    for (int i = 0; i < n->n_in; i++) {
        char name[8] = {'i', 'n', (char)('0' + i)};
        n->in[i] = leaf_of(n, &n->data.a.in[i], tokens && i == 0, name);
        n->g.nodes[n->in[i]].trainable = wanted(c, i);
        if (wanted(c, i)) leaves[n_leaves++] = n->in[i];
    }
    n->out = graph_op(&n->g, c->op, &c->params, n->n_in, n->in);
    n->seed = leaf_of(n, &n->data.a.out, tokens, "seed");
    n->g.nodes[n->out].keep = true;
    TRY(grad_build(&n->g, n->out, n->seed, leaves, n_leaves, grads, e));
    for (int i = 0, k = 0; i < n->n_in; i++) {
        n->grads[i] = wanted(c, i) ? grads[k++] : -1;
        if (n->grads[i] >= 0) n->g.nodes[n->grads[i]].keep = true;
    }
    Plan plan;
    TRY(plan_make(&plan, &n->g, b, e) && plan_verify(&plan, e));
    TRY(exec_open(&n->x, &plan, b, (WeightSource){no_weight, NULL}, &n->data.step, e));
    exec_bind(&n->x, n->data.step.n, 1);
    for (int i = 0; i < n->n_in; i++) put(n, n->in[i], &n->data.a.in[i]);
    Rng r = {SEED};
    float *seed = exec_data(&n->x, n->seed);
    for (int64_t i = 0; i < tensor_count(&n->data.a.out); i++) seed[i] = rng_normal(&r);
    return true;
}

static void net_close(Net *n) {
    exec_close(&n->x);
    graph_release(&n->g);
    instance_release(&n->data);
}

static double loss(Net *n) {
    exec_run(&n->x);
    const float *seed = exec_data(&n->x, n->seed);
    const Tensor *out = &n->x.values[n->out];
    double sum = 0;
    int64_t inner = out->ne[out->ndim - 1];
    for (int64_t i = 0; i < tensor_count(&n->data.a.out); i++)
        sum += (double)seed[i] * (double)((float *)tensor_row(out, i / inner))[i % inner];
    return sum;
}

static double loss_at(Net *n, float *x, float value) {
    float old = *x;
    *x = value;
    double l = loss(n);
    *x = old;
    return l;
}

static double difference(Net *n, float *x) {
    float at[4] = {*x - 2 * (float)H, *x - (float)H, *x + (float)H, *x + 2 * (float)H};
    double l[4];
    for (int i = 0; i < 4; i++) l[i] = loss_at(n, x, at[i]);
    return (8 * (l[2] - l[1]) - (l[3] - l[0])) / (6 * ((double)at[2] - (double)at[1]));
}

static float *flat(Net *n, int id, int64_t i) {
    const Tensor *t = &n->x.values[id];
    int64_t inner = t->ne[t->ndim - 1];
    return (float *)tensor_row(t, i / inner) + i % inner;
}

/* Worst error of gradients times `factor`, in units of the tolerance; the largest gradient and some others. */
static double grad_error(const Case *c, Backend *b, double factor) {
    Net n;
    Err e = {0};
    double worst = 0;
    char name[160];
    if (!net_open(&n, c, b, &e)) fail_msg("%s: %s", case_name(c, name), e.msg);
    Rng r = {SEED};
    for (int i = 0; i < n.n_in; i++) {
        if (n.grads[i] < 0) continue;
        loss(&n);
        int64_t count = tensor_count(&n.data.a.in[i]), top = 0;
        float *grad = mem_alloc((size_t)count, sizeof *grad); /* as they were before anything is moved */
        for (int64_t k = 0; k < count; k++) grad[k] = *flat(&n, n.grads[i], k);
        for (int64_t k = 0; k < count; k++) top = fabsf(grad[k]) > fabsf(grad[top]) ? k : top;
        for (int s = 0; s < SAMPLES; s++) {
            int64_t k = s ? rng_below(&r, count) : top;
            double want = difference(&n, flat(&n, n.in[i], k)), got = factor * (double)grad[k];
            double error = fabs(got - want) / (TOLERANCE * (fabs((double)grad[top]) + 1e-3));
            worst = error <= worst ? worst : isnan(error) ? (double)INFINITY : error;
        }
        free(grad);
    }
    net_close(&n);
    return worst;
}

/* Views compute nothing and have no case in the table. */
static const Case view_cases[] = {
    {OP_view, .params.view = {.slice = true, .begin = 3, .ne = {0, 4}}, .in = {{.ne = {5, 9}}}, .out = {.ne = {5, 4}}},
    {OP_view, .params.view = {.slice = true, .begin = 1, .ne = {0, 2}}, .in = {{.ne = {3, 4, 5}}},
     .out = {.ne = {3, 2, 5}}},
    {OP_view, .params.view = {.ndim = 3, .ne = {3, 4, 5}}, .in = {{.ne = {3, 20}}}, .out = {.ne = {3, 4, 5}}},
};

static bool checked(const Case *c) {
    bool any = false;
    if (c->op == OP_rms_norm && c->in[0].ne[1] == 1)
        return false; /* of one value: x/|x|, its slope is rounding alone */
    if ((c->op == OP_matmul && c->in[0].dtype != DT_f32) || c->out.dtype != DT_f32)
        return false; /* casts come after gradients */
    for (int i = 0; i < case_n_in(c); i++) any = any || wanted(c, i);
    return any && !c->bench && c->in[0].fill == FILL_normal && c->in[0].ne[0] <= MAX_TOKENS;
}

static void check_backend(const char *isa) {
    Err e = {0};
    Backend *b;
    bool has[OP_COUNT] = {0};
    int bad = 0;
    if (!cpu_backend_open(&(BackendOptions){.threads = 1, .isa = isa}, &b, &e)) fail_msg("%s", e.msg);
    for (size_t i = 0; i < n_cases + COUNT_OF(view_cases); i++) {
        const Case *c = i < n_cases ? &cases[i] : &view_cases[i - n_cases];
        char name[160];
        if (!checked(c)) continue;
        has[c->op] = true;
        double error = grad_error(c, b, 1);
        if (error <= 1) continue;
        print_error("%s, %s: gradient is %g times its bound off\n", case_name(c, name), b->isa, error);
        bad++;
    }
    b->close(b);
    assert_int_equal(bad, 0);
    for (int op = 0; op < OP_COUNT; op++)
        if (differentiable[op] && !has[op]) fail_msg("no gradient of %s was checked", op_info[op].name);
}

static void test_reference(void **state) {
    (void)state;
    check_backend("ref");
}

static void test_best(void **state) {
    (void)state;
    check_backend(NULL);
}

/* Gradients 1 % too large or small, or missing, are refused in every case. */
static void test_refuses_wrong_gradients(void **state) {
    (void)state;
    Backend *b;
    assert_true(cpu_backend_open(&(BackendOptions){.threads = 1, .isa = "ref"}, &b, NULL));
    for (const Case *c = cases; c < cases + n_cases; c++) {
        char name[160];
        if (!checked(c)) continue;
        bool one_key = c->op == OP_attn_probs && c->out.ne[0] == 1;                         /* its weight is 1 */
        if (one_key || (c->op == OP_cross_entropy && c->in[1].fill == FILL_none)) continue; /* all gradients are 0 */
        if (grad_error(c, b, 1.01) <= 1 || grad_error(c, b, 0) <= 1)
            fail_msg("%s: a wrong gradient passes", case_name(c, name));
    }
    b->close(b);
}

static bool reads_cache(Op op) {
    return op == OP_attention_kv || op == OP_attention_strands || op == OP_attn_scores_kv || op == OP_attn_mix_kv;
}

/* An op without a gradient says so by name when one is wanted. None is left out: an op has a gradient that is checked,
 * or refuses. */
static void test_others_refuse(void **state) {
    (void)state;
    Backend *b;
    assert_true(cpu_backend_open(&(BackendOptions){.threads = 1, .isa = "ref"}, &b, NULL));
    bool seen[OP_COUNT] = {0};
    for (const Case *c = cases; c < cases + n_cases; c++) {
        const bool has = differentiable[c->op] && c->out.dtype == DT_f32;
        if (has || seen[c->op] || reads_cache(c->op)) continue; /* wants a kv_store node */
        seen[c->op] = true;
        Graph g;
        Err e = {0};
        int in[MAX_IN], grads[MAX_IN];
        graph_init(&g, 4, 1);
        for (int i = 0; i < case_n_in(c); i++) {
            Dim dims[MAX_DIMS];
            char name[8] = {'i', 'n', (char)('0' + i)};
            for (int d = 0; d < shape_ndim(&c->in[i]); d++) dims[d] = DIM(c->in[i].ne[d]);
            in[i] = graph_leaf(&g, NODE_INPUT, c->in[i].dtype, shape_ndim(&c->in[i]), dims, name);
            g.nodes[in[i]].trainable = true;
        }
        int out = graph_op(&g, c->op, &c->params, case_n_in(c), in);
        int seed = graph_leaf(&g, NODE_INPUT, DT_f32, 1, (Dim[]){DIM(1)}, "seed");
        if (g.failed) fail_msg("%s: %s", op_info[c->op].name, g.err.msg);
        assert_false(grad_build(&g, out, seed, in, 1, grads, &e));
        assert_non_null(strstr(e.msg, op_info[c->op].name));
        graph_release(&g);
    }
    for (int op = 0; op < OP_COUNT; op++)
        if (!differentiable[op] && !seen[op] && !reads_cache((Op)op))
            fail_msg("%s: neither a gradient that is checked nor a refusal", op_info[op].name);
    b->close(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_best),
        cmocka_unit_test(test_refuses_wrong_gradients),
        cmocka_unit_test(test_others_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
