/* Training numbers of the oracle: loss, gradients, AdamW; what training must not depend on. */
#include "core/rng.h"
#include "training.h"

/* n_seq sequences of len tokens in one micro-step; returns the mean loss. */
static double micro(Bench *x, const int32_t *ids, int64_t n_seq, int64_t len) {
    const int64_t lens[2] = {len, len};
    return bench_micro(x, ids, lens, n_seq, 1 / (double)(n_seq * (len - 1)));
}

static const float *grad_of_weight(const Bench *x, const char *name, int64_t *count) {
    const TrainParam *p = train_param(&x->t, name);
    if (!p) fail_msg("no parameter '%s'", name);
    *count = train_count(&x->t, p);
    return exec_data(&x->t.x, p->grad);
}

typedef struct Wanted { /* of a step, and how far off it may be: the loss, a gradient, and that as part of the norm of
                           all */
    const char *loss, *norms;
    double loss_off, off, all_off;
} Wanted;
/* expected.json has 6 digits. bf16 has an eps of 2^-8; about ten products follow each other, in torch and here. */
static const Wanted in_f32 = {"cases.short.loss", "train.grad_norms", 1e-5, 1e-4, 1e-6},
                    in_bf16 = {"train.bf16.loss", "train.bf16.grad_norms", 1e-3, 0x1p-5, 0x1p-8};

/* One step: its loss, and the norm of every gradient. Returns the norm of all. */
static double check_norms(Bench *x, const Wanted *how) {
    int32_t ids[64];
    int64_t n = (int64_t)oracle_ids(&x->o, "cases.short.ids", ids, COUNT_OF(ids)), count;
    double want = oracle_number(&x->o, how->loss), loss = micro(x, ids, 1, n);
    printf("%s: loss %.7f, expected %.7f\n", x->o.name, loss, want);
    assert_true(fabs(loss - want) <= how->loss_off * want);

    const Value *norms = oracle_value(&x->o, how->norms);
    const char *prefix = x->m.arch->hf_prefix ? x->m.arch->hf_prefix : "";
    double global = 0;
    for (size_t i = 0; i < norms->object.n; i++) global += norms->object.items[i].f * norms->object.items[i].f;
    global = sqrt(global);
    assert_true(fabs(train_norm(&x->t) - global) <= how->off * global);
    assert_int_equal(norms->object.n, x->t.n_params);
    for (size_t i = 0; i < norms->object.n; i++) {
        const char *name = arena_printf(&x->o.arena, "%s%.*s", prefix, STR_ARG(norms->object.keys[i]));
        const float *g = grad_of_weight(x, name, &count);
        double r = norms->object.items[i].f, d = fabs(norm2(g, count) - r);
        if (!(d <= how->off * r + how->all_off * global)) fail_msg("|grad %s| is off by %g of %g", name, d, r);
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
            check_norms(&x, &in_f32);
            bench_close(&x);
        }
    }
}

/* Experts in bf16, as torch.autocast has them. */
static void experts_bf16(void **state) {
    (void)state;
    const char *names[] = {"mixtral", "qwen3_moe", "qwen3_moe_mixed"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        Bench x;
        bench_open(&x, names[i], 2, (TrainSpec){.tokens = 64, .precision = PRECISION_BF16, .checkpoint = i % 2});
        check_norms(&x, &in_bf16);
        for (int k = 0; k < x.t.g.n; k++) {
            const Node *n = &x.t.g.nodes[k];
            bool product = n->kind == NODE_OP && n->op >= OP_matmul_experts && n->op <= OP_matmul_experts_dw;
            if (product) assert_int_equal(x.t.g.nodes[n->in[0]].dtype, DT_bf16);
        }
        bench_close(&x);
    }
}

static void gradients(void **state) {
    (void)state;
    Bench x;
    int64_t count;
    bench_open(&x, "llama3", 2, (TrainSpec){.tokens = 64});
    double global = check_norms(&x, &in_f32);
    const char *full[] = {"model.layers.0.self_attn.q_proj.weight", "model.embed_tokens.weight"};
    for (size_t i = 0; i < COUNT_OF(full); i++) {
        const float *g = grad_of_weight(&x, full[i], &count),
                    *r = oracle_array(&x.o, arena_printf(&x.o.arena, "grad.%s", full[i]))->data;
        double d = distance(g, r, count);
        printf("grad %s: relative error %.1e\n", full[i], d / norm2(r, count));
        assert_true(d <= 1e-4 * norm2(r, count) + 1e-6 * global);
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

/* An evaluation between the gradients and the update changes nothing, and its loss is the micro-step's to the bit. */
static void evaluation(void **state) {
    (void)state;
    int32_t ids[64], labels[64], index[64];
    uint64_t hash[2] = {0};
    for (int asks = 0; asks < 2; asks++) {
        Bench x;
        Err e = {0};
        bench_open(&x, "llama3", 2, (TrainSpec){.tokens = 64, .head_tokens = 20, .optimizer = OPTIMIZER_ADAMW});
        int64_t n = (int64_t)oracle_ids(&x.o, "cases.short.ids", ids, COUNT_OF(ids));
        for (int64_t i = 0; i < n; i++) index[i] = (int32_t)i, labels[i] = i + 1 < n ? ids[i + 1] : -100;
        const TrainBatch batch = {ids, labels, index, n}, none = {ids, labels, index, 0};
        for (int i = 0; i < 3; i++) {
            double loss, again;
            OK(train_micro(&x.t, &batch, 1.0 / (double)n, &loss, &e), e);
            if (asks) OK(train_loss(&x.t, &batch, &again, &e), e);
            if (asks) assert_true(again >= loss && again <= loss);
            assert_false(train_micro(&x.t, &none, 1, &again, &e)); /* counts for nothing */
            assert_int_equal(x.t.micros, 1);
            train_norm(&x.t);
            train_update(&x.t, &(Hyper){.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8});
        }
        for (size_t i = 0; i < x.t.n_params; i++) {
            const TrainParam *p = &x.t.params[i];
            hash[asks] = hash_bytes(exec_data(&x.t.x, p->weight), (size_t)train_count(&x.t, p) * 4, hash[asks]);
        }
        bench_close(&x);
    }
    assert_true(hash[0] == hash[1]);
}

/* A text that can be learned down to chance among four: after id p comes 3p + 0..3. */
static void learnable(int64_t step, int64_t vocab, int32_t *ids, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = rng_u64(1, (uint64_t)step, (uint64_t)i, RNG_SHUFFLE) % 4;
        ids[i] = i ? (int32_t)((3 * ids[i - 1] + (int64_t)r) % vocab) : (int32_t)r;
    }
}

/* Mean loss of the last 50 of 200 updates, each on two rows of its own. */
static double mean_of_steps(TrainSpec spec) {
    enum { STEPS = 200, LAST = 50, ROWS = 2, LEN = 48 };
    const Hyper how = {.lr = 2e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01, .clip = 1};
    int32_t ids[ROWS * LEN];
    Bench x;
    double sum = 0;
    spec.tokens = ROWS * LEN, spec.longest = LEN, spec.optimizer = OPTIMIZER_ADAMW;
    bench_open(&x, "llama3", 2, spec);
    for (int64_t i = 0; i < STEPS; i++) {
        for (int64_t k = 0; k < ROWS; k++) learnable(ROWS * i + k, 64, ids + k * LEN, LEN);
        double loss = micro(&x, ids, ROWS, LEN);
        if (i >= STEPS - LAST) sum += loss / LAST;
        train_norm(&x.t);
        train_update(&x.t, &how);
    }
    bench_close(&x);
    return sum;
}

/* Products in bf16 learn as those in f32 do: eps of bf16 is 2^-8, and errors of single products are independent. */
static void bf16(void **state) {
    (void)state;
    double fp32 = mean_of_steps((TrainSpec){.precision = PRECISION_FP32}),
           half = mean_of_steps((TrainSpec){.precision = PRECISION_BF16});
    printf("mean loss of the last 50 of 200 steps: fp32 %.6f, bf16 %.6f\n", fp32, half);
    assert_true(fabs(half - fp32) <= 0.01 * fp32);
    assert_true(half != fp32);
}

/* ---- however the same sequences come ---- */

static const char *const some[] = {"llama3", "gemma2", "mistral", "qwen3_moe", "gpt2"};

/* One update's gradients of `n` sequences, `per` at a time; free() them. */
static float *in_parts(const char *name, TrainSpec spec, const int64_t *lens, int64_t n, int64_t per, double *loss) {
    Bench x;
    int32_t ids[BENCH_TOKENS];
    int64_t total = 0, labels = 0, most = 0, at = 0;
    for (int64_t k = 0; k < n; k++) total += lens[k], labels += lens[k] - 1, spec.longest = MAX(spec.longest, lens[k]);
    for (int64_t k = 0; k < n; k += per) {
        int64_t tokens = 0;
        for (int64_t i = k; i < MIN(n, k + per); i++) tokens += lens[i];
        most = MAX(most, tokens);
    }
    spec.tokens = most;
    bench_open(&x, name, 2, spec);
    learnable(7, x.m.cfg.vocab, ids, total);
    *loss = 0;
    for (int64_t k = 0; k < n; k += per) {
        *loss += bench_micro(&x, ids + at, lens + k, MIN(per, n - k), 1 / (double)labels);
        for (int64_t i = k; i < MIN(n, k + per); i++) at += lens[i];
    }
    float *g = bench_gradients(&x);
    bench_close(&x);
    return g;
}

static void check_parts(const char *name, TrainSpec spec, const int64_t *lens, int64_t n) {
    Bench x;
    double whole, apart;
    float *want = in_parts(name, spec, lens, n, n, &whole), *got = in_parts(name, spec, lens, n, 1, &apart);
    if (!(fabs(whole - apart) <= 1e-6 * whole)) fail_msg("%s: loss %.9g, in parts %.9g", name, whole, apart);
    spec.tokens = 16;
    bench_open(&x, name, 1, spec); /* for the sizes */
    same_gradients(&x, got, want, 1e-5, "in parts");
    bench_close(&x);
    free(want), free(got);
}

/* Eight sequences at once or one after the other; several in one row or each alone. */
static void parts(void **state) {
    (void)state;
    const int64_t even[] = {12, 12, 12, 12, 12, 12, 12, 12}, uneven[] = {5, 40, 2, 17};
    for (size_t i = 0; i < COUNT_OF(some); i++)
        for (int k = 0; k < 2; k++) {
            TrainSpec spec = {.attention = k ? ATTENTION_MANUAL : ATTENTION_SDPA, .head_tokens = 20};
            check_parts(some[i], spec, even, COUNT_OF(even));
            check_parts(some[i], spec, uneven, COUNT_OF(uneven));
        }
}

/* How many rows meet the head at once changes no bit: sums go on from where they were, and the head finds what it reads
 * of the body as it was. (An even number, as bf16 adds pairs.) */
static void head_again(void **state) {
    (void)state;
    const int64_t lens[] = {30, 18, 15}, rows[] = {64, 20, 6};
    for (size_t i = 0; i < COUNT_OF(some) * 2; i++) {
        double loss[COUNT_OF(rows)];
        float *g[COUNT_OF(rows)];
        Bench x;
        const TrainSpec spec = {.precision = i & 1 ? PRECISION_BF16 : PRECISION_FP32, .checkpoint = i & 2};
        for (size_t k = 0; k < COUNT_OF(rows); k++) {
            TrainSpec how = spec;
            how.head_tokens = rows[k];
            g[k] = in_parts(some[i / 2], how, lens, COUNT_OF(lens), COUNT_OF(lens), &loss[k]);
        }
        bench_open(&x, some[i / 2], 1, (TrainSpec){.tokens = 16});
        int64_t n = 0;
        for (size_t k = 0; k < x.t.n_params; k++) n += train_count(&x.t, &x.t.params[k]);
        for (size_t k = 1; k < COUNT_OF(rows); k++) {
            assert_true(loss[k] == loss[0]);
            assert_memory_equal(g[k], g[0], (size_t)n * sizeof *g[k]);
        }
        for (size_t k = 0; k < COUNT_OF(rows); k++) free(g[k]);
        bench_close(&x);
    }
}

/* A graph does not grow with the tokens. */
static void any_number_of_tokens(void **state) {
    (void)state;
    Model m;
    Backend *b;
    Err e = {0};
    int nodes[2];
    model_load(&m, TEST_DATA "/llama3");
    OK(cpu_backend_open(&(BackendOptions){.threads = 1}, &b, &e), e);
    for (int k = 0; k < 2; k++) {
        Trainer t;
        Plan plan;
        OK(train_prepare(&t, &m, &(TrainSpec){.tokens = k ? 1 << 29 : 96, .longest = 96}, b, &plan, &e), e);
        nodes[k] = t.g.n;
        plan_release(&plan);
        train_close(&t);
    }
    assert_int_equal(nodes[0], nodes[1]);
    b->close(b);
    model_release(&m);
}

/* ---- dropout ---- */

typedef struct Drawn { /* the second micro-step of an update */
    double loss;
    float *g;
} Drawn;

static Drawn draw(const char *name, TrainSpec spec) {
    const int64_t lens[] = {30, 18};
    Bench x;
    int32_t ids[BENCH_TOKENS];
    Drawn d;
    spec.tokens = 64, spec.longest = 30, spec.seed = 3;
    bench_open(&x, name, 2, spec);
    learnable(8, x.m.cfg.vocab, ids, 48);
    double first = bench_micro(&x, ids, lens, 2, 1 / 46.0);
    d.loss = bench_micro(&x, ids, lens, 2, 1 / 46.0);
    assert_true(spec.dropout > 0 ? first != d.loss : first == d.loss);
    train_clear(&x.t);
    assert_true(bench_micro(&x, ids, lens, 2, 1 / 46.0) == first); /* micro-steps are counted from 0 again */
    d.g = bench_gradients(&x);
    bench_close(&x);
    return d;
}

/* Both ways of attention leave out the same weights, and so does a block that is computed again. */
static void dropout(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(some); i++) {
        Bench x;
        Drawn d[4], none = draw(some[i], (TrainSpec){.dropout = 0});
        for (int k = 0; k < 4; k++)
            d[k] = draw(some[i], (TrainSpec){.dropout = 0.1,
                                             .attention = k % 2 ? ATTENTION_MANUAL : ATTENTION_SDPA,
                                             .checkpoint = k / 2});
        bench_open(&x, some[i], 1, (TrainSpec){.tokens = 16});
        printf("%s: loss %.6f, with dropout sdpa %.6f, manual %.6f\n", some[i], none.loss, d[0].loss, d[1].loss);
        assert_true(fabs(none.loss - d[0].loss) > 1e-3);
        assert_true(fabs(d[1].loss - d[0].loss) <= 1e-6 * d[0].loss);
        same_gradients(&x, d[1].g, d[0].g, 1e-4, "manual with dropout");
        int64_t n = 0;
        for (size_t k = 0; k < x.t.n_params; k++) n += train_count(&x.t, &x.t.params[k]);
        for (int k = 0; k < 2; k++) {
            assert_true(d[k].loss == d[2 + k].loss);
            assert_memory_equal(d[k].g, d[2 + k].g, (size_t)n * sizeof *d[k].g);
        }
        for (int k = 0; k < 4; k++) free(d[k].g);
        free(none.g);
        bench_close(&x);
    }
}

/* ---- memory ---- */

static int64_t score_bytes(TrainSpec spec) {
    Bench x;
    spec.tokens = 96, spec.longest = 48;
    bench_open(&x, "llama3", 1, spec);
    int64_t bytes = x.t.x.plan.bytes[CLASS_SCORES] / (96 * x.m.cfg.heads * 48 * (int64_t)sizeof(float));
    assert_int_equal(x.m.cfg.layers, 3);
    bench_close(&x);
    return bytes;
}

/* In units of one layer's scores: in one pass none stand in memory; op by op the weights of each layer stay, and
 * another of them while gradients pass; blocks that are computed again need theirs one after the other. */
static void scores_are_planned(void **state) {
    (void)state;
    assert_int_equal(score_bytes((TrainSpec){.attention = ATTENTION_SDPA}), 0);
    int64_t manual = score_bytes((TrainSpec){.attention = ATTENTION_MANUAL});
    int64_t again = score_bytes((TrainSpec){.attention = ATTENTION_MANUAL, .checkpoint = true});
    printf("scores of %lld layers, with checkpoints of %lld\n", (long long)manual, (long long)again);
    assert_true(manual >= 4 && manual <= 5 && again >= 2 && again < manual);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients),  cmocka_unit_test(families),
                                       cmocka_unit_test(adamw),      cmocka_unit_test(same_bits),
                                       cmocka_unit_test(bf16),       cmocka_unit_test(parts),
                                       cmocka_unit_test(dropout),    cmocka_unit_test(scores_are_planned),
                                       cmocka_unit_test(evaluation), cmocka_unit_test(experts_bf16),
                                       cmocka_unit_test(head_again), cmocka_unit_test(any_number_of_tokens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
