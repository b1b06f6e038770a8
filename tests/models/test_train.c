/* Training numbers of the oracle: loss, gradients, AdamW. */
#include "core/train.h"
#include "oracle.h"

static double norm2(const float *x, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)x[i] * (double)x[i];
    return sqrt(s);
}

static void shifted(const int32_t *ids, int32_t *labels, int64_t n_seq, int64_t len) {
    for (int64_t i = 0; i < n_seq * len; i++) labels[i] = i % len + 1 < len ? ids[i + 1] : -100;
}

typedef struct Bench {
    Oracle o;
    Model m;
    Backend *b;
    Trainer t;
} Bench;

static void bench_open(Bench *x, const char *name, int threads, TrainSpec spec) {
    char dir[256];
    Err e = {0};
    snprintf(dir, sizeof dir, TEST_DATA "/%s", name);
    oracle_open(&x->o, name);
    model_load(&x->m, dir);
    OK(cpu_backend_open(&(BackendOptions){.threads = threads}, &x->b, &e), e);
    OK(train_open(&x->t, &x->m, &spec, x->b, &e), e);
    OK(plan_verify(&x->t.x.plan, &e), e);
}

/* n_seq sequences of len tokens in one micro-step; returns the mean loss. */
static double micro(Bench *x, const int32_t *ids, int64_t n_seq, int64_t len) {
    Err e = {0};
    int32_t labels[128], index[128];
    double loss;
    shifted(ids, labels, n_seq, len);
    for (int64_t i = 0; i < n_seq * len; i++) index[i] = (int32_t)(i % len);
    double n = (double)(n_seq * (len - 1));
    OK(train_micro(&x->t, &(TrainBatch){ids, labels, index, n_seq * len}, 1 / n, &loss, &e), e);
    return loss / n;
}

static const float *grad_of_weight(const Bench *x, const char *name, int64_t *count) {
    const TrainParam *p = train_param(&x->t, name);
    if (!p) fail_msg("no parameter '%s'", name);
    *count = train_count(&x->t, p);
    return exec_data(&x->t.x, p->grad);
}

static void bench_close(Bench *x) {
    train_close(&x->t);
    x->b->close(x->b);
    model_release(&x->m);
    oracle_close(&x->o);
}

/* One step: its loss, and the norm of every gradient. Returns the norm of all. */
static double check_norms(Bench *x) {
    int32_t ids[64];
    int64_t n = (int64_t)oracle_ids(&x->o, "cases.short.ids", ids, COUNT_OF(ids)), count;
    double want = oracle_number(&x->o, "cases.short.loss"), loss = micro(x, ids, 1, n);
    printf("%s: loss %.7f, expected %.7f\n", x->o.name, loss, want);
    assert_true(fabs(loss - want) <= 1e-5 * want); /* expected.json has 6 digits */

    const Value *norms = oracle_value(&x->o, "train.grad_norms");
    const char *prefix = x->m.arch->hf_prefix ? x->m.arch->hf_prefix : "";
    double global = 0;
    for (size_t i = 0; i < norms->object.n; i++) global += norms->object.items[i].f * norms->object.items[i].f;
    global = sqrt(global);
    assert_true(fabs(train_norm(&x->t) - global) <= 1e-4 * global);
    assert_int_equal(norms->object.n, x->t.n_params);
    for (size_t i = 0; i < norms->object.n; i++) {
        const char *name = arena_printf(&x->o.arena, "%s%.*s", prefix, STR_ARG(norms->object.keys[i]));
        const float *g = grad_of_weight(x, name, &count);
        double r = norms->object.items[i].f, d = fabs(norm2(g, count) - r);
        if (!(d <= 1e-4 * r + 1e-6 * global)) fail_msg("|grad %s| is off by %g of %g", name, d, r);
    }
    return global;
}

static void families(void **state) {
    (void)state;
    const char *names[] = {"qwen2", "qwen3", "gemma3", "phi2", "gpt2", "mixtral", "qwen3_moe", "qwen3_moe_mixed"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        Bench x;
        for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
            bench_open(&x, names[i], 2, (TrainSpec){.tokens = 64, .head_tokens = 20, .checkpoint = checkpoint});
            check_norms(&x);
            bench_close(&x);
        }
    }
}

static void gradients(void **state) {
    (void)state;
    Bench x;
    int64_t count;
    bench_open(&x, "llama3", 2, (TrainSpec){.tokens = 64});
    double global = check_norms(&x);
    const char *full[] = {"model.layers.0.self_attn.q_proj.weight", "model.embed_tokens.weight"};
    for (size_t i = 0; i < COUNT_OF(full); i++) {
        const float *g = grad_of_weight(&x, full[i], &count),
                    *r = oracle_array(&x.o, arena_printf(&x.o.arena, "grad.%s", full[i]))->data;
        double d = 0;
        for (int64_t k = 0; k < count; k++) d += ((double)g[k] - (double)r[k]) * ((double)g[k] - (double)r[k]);
        printf("grad %s: relative error %.1e\n", full[i], sqrt(d) / norm2(r, count));
        assert_true(sqrt(d) <= 1e-4 * norm2(r, count) + 1e-6 * global);
    }
    bench_close(&x);
}

/* Five steps; returns the sixth loss and leaves the trainer open. */
static void five_steps(Bench *x, double *losses) {
    int32_t ids[96];
    const Value *rows = oracle_value(&x->o, "train.adamw.batch_ids");
    int64_t n = 0, len = (int64_t)value_count(&rows->array.items[0]);
    for (size_t r = 0; r < rows->array.n; r++)
        for (size_t i = 0; i < (size_t)len; i++) ids[n++] = (int32_t)rows->array.items[r].array.items[i].i;
    const Hyper how = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01};
    for (int i = 0; i < 6; i++) {
        losses[i] = micro(x, ids, 2, len);
        train_norm(&x->t);
        if (i < 5) train_update(&x->t, &how);
    }
}

static void adamw(void **state) {
    (void)state;
    Bench x;
    double losses[6];
    bench_open(&x, "llama3", 2, (TrainSpec){.tokens = 96, .optimizer = OPTIMIZER_ADAMW});
    five_steps(&x, losses);
    const Value *want = oracle_value(&x.o, "train.adamw.losses");
    for (size_t i = 0; i < 6; i++) {
        printf("step %zu: loss %.7f, expected %.7f\n", i, losses[i], want->array.items[i].f);
        assert_true(fabs(losses[i] - want->array.items[i].f) <= 1e-4);
    }
    bench_close(&x);
}

/* Law 5: the same bits on 1, 2 and 7 threads, after five updates of every weight. */
static void same_bits(void **state) {
    (void)state;
    double losses[6];
    uint64_t hash[3];
    const int threads[] = {1, 2, 7};
    for (int k = 0; k < 3; k++) {
        Bench x;
        bench_open(&x, "llama3", threads[k], (TrainSpec){.tokens = 96, .optimizer = OPTIMIZER_ADAMW});
        five_steps(&x, losses);
        hash[k] = 0;
        for (size_t i = 0; i < x.t.n_params; i++) {
            const TrainParam *p = &x.t.params[i];
            hash[k] = hash_bytes(exec_data(&x.t.x, p->weight), (size_t)train_count(&x.t, p) * sizeof(float), hash[k]);
        }
        bench_close(&x);
    }
    assert_true(hash[0] == hash[1] && hash[0] == hash[2]);
}

static double mean_of_steps(Precision precision, int steps, int last) {
    int32_t ids[96];
    Bench x;
    const Hyper how = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01, .clip = 1};
    double sum = 0;
    bench_open(&x, "llama3", 2, (TrainSpec){.tokens = 96, .optimizer = OPTIMIZER_ADAMW, .precision = precision});
    const Value *rows = oracle_value(&x.o, "train.adamw.batch_ids");
    int64_t n = 0, len = (int64_t)value_count(&rows->array.items[0]);
    for (size_t r = 0; r < rows->array.n; r++)
        for (size_t i = 0; i < (size_t)len; i++) ids[n++] = (int32_t)rows->array.items[r].array.items[i].i;
    for (int i = 0; i < steps; i++) {
        double loss = micro(&x, ids, 2, len);
        if (i >= steps - last) sum += loss / last;
        train_norm(&x.t);
        train_update(&x.t, &how);
    }
    bench_close(&x);
    return sum;
}

/* Products in bf16 learn as those in f32 do: eps of bf16 is 2^-8, and errors of single products are independent. */
static void bf16(void **state) {
    (void)state;
    double fp32 = mean_of_steps(PRECISION_FP32, 30, 10), half = mean_of_steps(PRECISION_BF16, 30, 10);
    printf("mean loss of the last 10 of 30 steps: fp32 %.6f, bf16 %.6f\n", fp32, half);
    assert_true(fabs(half - fp32) <= 0.01 * fp32);
    assert_true(half != fp32);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients), cmocka_unit_test(families), cmocka_unit_test(adamw),
                                       cmocka_unit_test(same_bits), cmocka_unit_test(bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
