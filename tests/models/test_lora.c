/* Adapters against PEFT's: logits and greedy tokens of a session, from both formats of the base; loss, gradients and
 * AdamW of training them. And what is refused. */
#include "core/train.h"
#include "formats/adapter.h"
#include "oracle.h"

static const double LOGIT_TOL = 2e-4; /* the bound; f32 sums of this depth differ by about 1e-6 */

static const char *const names[] = {"llama3", "mistral", "phi2", "phi3", "qwen2", "qwen3", "gemma3", "gpt2"};

static const SessionSpec exact = {.ctx = 80, .chunk = 64, .parallel = 1, .kv_type = DT_f32, .compute = COMPUTE_F32};

typedef struct Run {
    Oracle o;
    Model m;
    Backend *b;
    Adapter adapter;
    Lora lora;
} Run;

static void run_open(Run *r, const char *name, const char *path) {
    Err e = {0};
    *r = (Run){.b = NULL};
    oracle_open(&r->o, name);
    model_load(&r->m, path);
    OK(cpu_backend_open(&(BackendOptions){.threads = 2}, &r->b, &e), e);
    OK(adapter_open(arena_printf(&r->o.arena, TEST_DATA "/adapters/%s", name), &r->adapter, &e), e);
}

static void run_close(Run *r) {
    lora_release(&r->lora);
    adapter_close(&r->adapter);
    r->b->close(r->b);
    model_release(&r->m);
    oracle_close(&r->o);
}

/* The weights in another dtype first, and then as f32 where that is asked for. */
static void run_open_cast(Run *r, const char *name, Dtype first, bool then_f32) {
    Err e = {0};
    TensorFile f = {0};
    char dir[256];
    snprintf(dir, sizeof dir, TEST_DATA "/%s", name);
    run_open(r, name, dir);
    model_release(&r->m);
    OK(tensor_file_open(dir, &f, &e), e);
    cast_weights(&f, first);
    if (then_f32) cast_weights(&f, DT_f32);
    OK(model_init(&r->m, &f, (Log){0}, &e), e);
}

/* A GGUF file of the model, which orders rows of queries and keys its own way where the family has it so. */
static const char *as_gguf(const char *name, char path[64]) {
    char dir[256];
    Model m;
    Err e = {0};
    Export x;
    snprintf(dir, sizeof dir, TEST_DATA "/%s", name);
    snprintf(path, 64, "lora-%s.gguf", name);
    model_load(&m, dir);
    OK(export_gguf(&m, &x, &e), e);
    OK(gguf_write(path, &x.meta, oracle_outputs(&x), x.n, &e), e);
    arena_release(&x.arena);
    model_release(&m);
    return path;
}

/* ---- inference ---- */

static void session_with(Run *r, Session *s, SessionSpec spec) {
    Err e = {0};
    spec.lora = r->lora.n ? &r->lora : NULL;
    OK(session_prepare(s, &r->m, r->b, &spec, &e), e);
    OK(plan_verify(&s->plan, &e), e);
    OK(session_reserve(s, &e), e);
    assert_int_equal(session_seq_open(s, &e), 0);
}

static void check_logits(Run *r, const char *want_name) {
    Session s;
    Err e = {0};
    int32_t ids[64];
    SessionSpec spec = exact;
    spec.all_logits = true;
    session_with(r, &s, spec);
    size_t n = oracle_ids(&r->o, "cases.short.ids", ids, COUNT_OF(ids));
    OK(session_eval(&s, 0, ids, n, &e), e);
    const Tensor *want = oracle_array(&r->o, want_name);
    double d = max_diff(exec_data(&s.x, s.io.logits), want->data, tensor_count(want));
    printf("%s: %s differ by %.1e\n", r->m.file.path, want_name, d);
    assert_true(d <= LOGIT_TOL);
    session_release(&s);
}

static void check_greedy(Run *r) {
    Session s;
    Err e = {0};
    int32_t ids[64], want[32], id;
    LlmwsSampling greedy = {.top_p = 1, .repeat_penalty = 1};
    session_with(r, &s, exact);
    size_t n = oracle_ids(&r->o, "cases.short.ids", ids, COUNT_OF(ids)),
           m = oracle_ids(&r->o, "lora.greedy", want, COUNT_OF(want));
    OK(session_eval(&s, 0, ids, n, &e), e);
    for (size_t i = 0; i < m; i++) {
        OK(session_sample(&s, 0, &greedy, NULL, 0, &id, &e), e);
        assert_int_equal(id, want[i]);
        OK(session_eval(&s, 0, &id, 1, &e), e);
    }
    session_release(&s);
}

static void inference(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        for (int gguf = 0; gguf < 2; gguf++) {
            Run r;
            Err e = {0};
            char path[64], dir[256];
            snprintf(dir, sizeof dir, TEST_DATA "/%s", names[i]);
            run_open(&r, names[i], gguf ? as_gguf(names[i], path) : dir);
            OK(adapter_lora(&r.adapter, &r.m, 1, &r.lora, &e), e);
            check_logits(&r, "lora.logits");
            check_greedy(&r);
            run_close(&r);
        }
}

/* Twice half an adapter is the adapter; one and its opposite are none. */
static void several(void **state) {
    (void)state;
    Run r;
    Err e = {0};
    char path[64];
    for (int opposite = 0; opposite < 2; opposite++) {
        run_open(&r, "llama3", as_gguf("llama3", path));
        OK(adapter_lora(&r.adapter, &r.m, opposite ? 1 : 0.5, &r.lora, &e), e);
        OK(adapter_lora(&r.adapter, &r.m, opposite ? -1 : 0.5, &r.lora, &e), e);
        check_logits(&r, opposite ? "short.logits" : "lora.logits");
        run_close(&r);
    }
}

/* A module's value is that with the adapter, in Hugging Face's order from either format. */
static void taps(void **state) {
    (void)state;
    float *got[2];
    int64_t count = 0;
    for (int gguf = 0; gguf < 2; gguf++) {
        Run r;
        Session s;
        Err e = {0};
        char path[64];
        int32_t ids[64];
        SessionSpec spec = exact;
        spec.taps = (const char *const[]){"model.layers.1.self_attn.q_proj", NULL};
        run_open(&r, "llama3", gguf ? as_gguf("llama3", path) : TEST_DATA "/llama3");
        OK(adapter_lora(&r.adapter, &r.m, 1, &r.lora, &e), e);
        session_with(&r, &s, spec);
        size_t n = oracle_ids(&r.o, "cases.short.ids", ids, COUNT_OF(ids));
        OK(session_eval(&s, 0, ids, n, &e), e);
        const int id = s.g.taps.items[0].id;
        count = tensor_count(&s.x.values[id]);
        got[gguf] = mem_alloc((size_t)count, sizeof(float));
        memcpy(got[gguf], exec_data(&s.x, id), (size_t)count * sizeof(float));
        session_release(&s);
        run_close(&r);
    }
    assert_true(max_diff(got[0], got[1], count) <= LOGIT_TOL);
    for (int i = 0; i < 2; i++) free(got[i]);
}

/* Added to the weights, an adapter does what it does beside them. */
static void merged(void **state) {
    (void)state;
    for (int gguf = 0; gguf < 2; gguf++) {
        Run r;
        Err e = {0};
        char path[64];
        run_open(&r, "llama3", gguf ? as_gguf("llama3", path) : TEST_DATA "/llama3");
        TensorFile f = {0};
        model_release(&r.m);
        OK(tensor_file_open(gguf ? path : TEST_DATA "/llama3", &f, &e), e);
        cast_weights(&f, DT_f32); /* copies */
        OK(model_init(&r.m, &f, (Log){0}, &e), e);
        OK(adapter_lora(&r.adapter, &r.m, 1, &r.lora, &e), e);
        for (size_t i = 0; i < r.m.n; i++)
            if (r.m.weights[i].t.ndim == 2)
                lora_merge_rows(&r.lora, &r.m.weights[i], 0, r.m.weights[i].t.ne[0], r.m.weights[i].t.data);
        lora_release(&r.lora);
        check_logits(&r, "lora.logits");
        run_close(&r);
    }
}

static bool to_buf(void *ctx, const void *bytes, size_t n, Err *e) {
    (void)e;
    buf_put(ctx, bytes, n);
    return true;
}

static bool of_buf(void *ctx, void *bytes, size_t n, Err *e) {
    Str *at = ctx;
    if (n > at->n) return err_set(e, ERR_INPUT, "it ends early");
    memcpy(bytes, at->s, n);
    *at = (Str){at->s + n, at->n - n};
    return true;
}

/* What one adapter has cached no other takes, nor the model alone; the same one does. */
static void saved_caches(void **state) {
    (void)state;
    const double scales[] = {1, 1, 0.5, 0};
    Buf saved = {0};
    for (int i = 0; i < 4; i++) {
        Run r;
        Session s;
        Err e = {0};
        int32_t ids[] = {5, 6, 7};
        run_open(&r, "llama3", TEST_DATA "/llama3");
        if (scales[i] > 0) OK(adapter_lora(&r.adapter, &r.m, scales[i], &r.lora, &e), e);
        session_with(&r, &s, exact);
        Str from = buf_view(&saved);
        if (i == 0) {
            OK(session_eval(&s, 0, ids, COUNT_OF(ids), &e), e);
            OK(session_save(&s, 0, (Sink){to_buf, &saved}, &e), e);
        } else if (i == 1) {
            OK(session_load(&s, 0, (Source){of_buf, &from}, &e), e);
        } else {
            assert_false(session_load(&s, 0, (Source){of_buf, &from}, &e));
        }
        session_release(&s);
        run_close(&r);
    }
    buf_release(&saved);
}

/* ---- training ---- */

static double norm2(const float *x, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)x[i] * (double)x[i];
    return sqrt(s);
}

/* n_seq sequences of len tokens in one micro-step; returns the mean loss. */
static double micro(Trainer *t, const int32_t *ids, int64_t n_seq, int64_t len) {
    Err e = {0};
    int32_t labels[128], index[128];
    double loss, n = (double)(n_seq * (len - 1));
    for (int64_t i = 0; i < n_seq * len; i++)
        labels[i] = i % len + 1 < len ? ids[i + 1] : -100, index[i] = (int32_t)(i % len);
    OK(train_micro(t, &(TrainBatch){ids, labels, index, n_seq * len}, 1 / n, &loss, &e), e);
    return loss / n;
}

static void check_gradients(Run *r, TrainSpec spec) {
    Trainer t;
    Err e = {0};
    int32_t ids[64];
    spec.tokens = 64, spec.head_tokens = 20, spec.lora = &r->lora;
    OK(train_open(&t, &r->m, &spec, r->b, &e), e);
    OK(plan_verify(&t.x.plan, &e), e);
    int64_t n = (int64_t)oracle_ids(&r->o, "cases.short.ids", ids, COUNT_OF(ids));
    double want = oracle_number(&r->o, "lora.loss"), loss = micro(&t, ids, 1, n), global = 0;
    printf("%s: loss %.7f, expected %.7f\n", r->o.name, loss, want);
    assert_true(fabs(loss - want) <= 1e-5 * want);

    const Value *norms = oracle_value(&r->o, "lora.grad_norms");
    for (size_t i = 0; i < norms->object.n; i++) global += norms->object.items[i].f * norms->object.items[i].f;
    global = sqrt(global);
    assert_true(fabs(train_norm(&t) - global) <= 1e-4 * global);
    assert_int_equal(norms->object.n, t.n_params);
    for (size_t i = 0; i < norms->object.n; i++) {
        const char *name = arena_printf(&r->o.arena, "%.*s", STR_ARG(norms->object.keys[i]));
        const TrainParam *p = train_param(&t, name);
        if (!p) fail_msg("no parameter '%s'", name);
        double w = norms->object.items[i].f, d = fabs(norm2(exec_data(&t.x, p->grad), train_count(&t, p)) - w);
        if (!(d <= 1e-4 * w + 1e-6 * global)) fail_msg("|grad %s| is off by %g of %g", name, d, w);
    }
    train_close(&t);
}

static void check_adamw(Run *r) {
    Trainer t;
    Err e = {0};
    int32_t ids[400];
    const Hyper how = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01};
    const TrainSpec spec = {.tokens = 96, .optimizer = OPTIMIZER_ADAMW, .lora = &r->lora};
    OK(train_open(&t, &r->m, &spec, r->b, &e), e);
    int64_t n = (int64_t)oracle_ids(&r->o, "cases.short.ids", ids, COUNT_OF(ids));
    oracle_ids(&r->o, "cases.long.ids", ids + n,
               COUNT_OF(ids) - (size_t)n); /* the batch: both, cut to the same length */
    const Value *want = oracle_value(&r->o, "lora.adamw_losses");
    for (size_t i = 0; i < want->array.n; i++) {
        double loss = micro(&t, ids, 2, n);
        train_norm(&t);
        train_update(&t, &how);
        if (!(fabs(loss - want->array.items[i].f) <= 1e-4))
            fail_msg("%s: loss %zu is %.7f, expected %.7f", r->o.name, i, loss, want->array.items[i].f);
    }
    train_close(&t);
}

static void training(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        Run r;
        Err e = {0};
        char dir[256];
        snprintf(dir, sizeof dir, TEST_DATA "/%s", names[i]);
        run_open(&r, names[i], dir);
        OK(adapter_lora(&r.adapter, &r.m, 1, &r.lora, &e), e);
        check_gradients(&r, (TrainSpec){.checkpoint = false});
        check_gradients(&r, (TrainSpec){.checkpoint = true});
        check_adamw(&r);
        run_close(&r);
    }
}

/* One step; the hash of its loss and of all gradients. */
static uint64_t step_bits(Run *r, TrainSpec spec, int nth) {
    Trainer t;
    Err e = {0};
    int32_t ids[64];
    uint64_t h = 0;
    spec.tokens = 64, spec.lora = &r->lora;
    OK(train_open(&t, &r->m, &spec, r->b, &e), e);
    int64_t n = (int64_t)oracle_ids(&r->o, "cases.short.ids", ids, COUNT_OF(ids));
    for (int i = 0; i < nth; i++) micro(&t, ids, 1, n), train_clear(&t), t.updates++;
    double loss = micro(&t, ids, 1, n);
    h = hash_bytes(&loss, sizeof loss, h);
    for (size_t i = 0; i < t.n_params; i++)
        h = hash_bytes(exec_data(&t.x, t.params[i].grad), (size_t)train_count(&t, &t.params[i]) * sizeof(float), h);
    train_close(&t);
    return h;
}

/* How far the gradients of two sequences that are alike are from twice those of one, relatively: each is one run of the
 * head. */
static double unlike(Run *r) {
    enum { LEN = 7 };
    int32_t ids[2 * LEN];
    float *g[2];
    int64_t count[2];
    for (int i = 0; i < 2 * LEN; i++) ids[i] = 5 + i % LEN;
    for (int k = 0; k < 2; k++) {
        Trainer t;
        Err e = {0};
        const TrainSpec spec = {.tokens = 2 * LEN, .head_tokens = LEN - 1, .lora = &r->lora, .seed = 1};
        OK(train_open(&t, &r->m, &spec, r->b, &e), e);
        micro(&t, ids, 1 + k, LEN); /* means: the same size for one and for two */
        const TrainParam *p = &t.params[1];
        count[k] = train_count(&t, p);
        g[k] = mem_alloc((size_t)count[k], sizeof *g[k]);
        memcpy(g[k], exec_data(&t.x, p->grad), (size_t)count[k] * sizeof *g[k]);
        train_close(&t);
    }
    const double all = norm2(g[0], count[0]);
    assert_true(all > 0);
    for (int64_t i = 0; i < count[0]; i++) g[1][i] -= g[0][i];
    const double off = norm2(g[1], count[1]) / all;
    free(g[0]), free(g[1]);
    return off;
}

/* An adapter of the head alone: the body has no gradients, and yet its output stays as it was while the head runs for a
 * few rows after the other. Of each of these something else falls out. */
static void head_alone(void **state) {
    (void)state;
    Run r;
    Err e = {0};
    run_open(&r, "phi2", TEST_DATA "/phi2");
    OK(lora_new(&r.lora, &r.m, &(LoraSpec){.rank = 3, .alpha = 6, .root = true, .targets = "lm_head"}, &e), e);
    assert_int_equal(r.lora.n, 1);
    const uint64_t at_once = step_bits(&r, (TrainSpec){.seed = 1}, 0);
    assert_true(at_once == step_bits(&r, (TrainSpec){.seed = 1, .head_tokens = 7}, 0));
    assert_true(unlike(&r) < 1e-5);
    r.lora.dropout = 0.5f;
    assert_true(unlike(&r) > 0.1);
    run_close(&r);
}

/* Over a base of any dtype: what it would be over the same weights as f32, to the bit. */
static void bases(void **state) {
    (void)state;
    const Dtype types[] = {DT_f16, DT_bf16, DT_q8_0, DT_q4_1};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        uint64_t bits[2];
        for (int plain = 0; plain < 2; plain++) {
            Run r;
            Err e = {0};
            run_open_cast(&r, "llama3", types[i], plain);
            OK(adapter_lora(&r.adapter, &r.m, 1, &r.lora, &e), e);
            bits[plain] = step_bits(&r, (TrainSpec){.checkpoint = true}, 0);
            run_close(&r);
        }
        if (bits[0] != bits[1]) fail_msg("over %s gradients are not those over f32", dtype_info[types[i]].name);
    }
}

/* The loss without gradients. */
static double held_out(Run *r) {
    Trainer t;
    Err e = {0};
    int32_t ids[64], labels[64], index[64];
    double loss;
    OK(train_open(&t, &r->m, &(TrainSpec){.tokens = 64, .lora = &r->lora}, r->b, &e), e);
    int64_t n = (int64_t)oracle_ids(&r->o, "cases.short.ids", ids, COUNT_OF(ids));
    for (int64_t i = 0; i < n; i++) index[i] = (int32_t)i, labels[i] = i + 1 < n ? ids[i + 1] : -100;
    OK(train_loss(&t, &(TrainBatch){ids, labels, index, n}, &loss, &e), e);
    train_close(&t);
    return loss;
}

/* What falls out is the same however gradients are computed, another with another seed or step, and nothing where there
 * is no dropout or nothing is learned. */
static void dropout(void **state) {
    (void)state;
    Run r;
    Err e = {0};
    run_open(&r, "phi3", TEST_DATA "/phi3");
    OK(adapter_lora(&r.adapter, &r.m, 1, &r.lora, &e), e);
    const uint64_t without = step_bits(&r, (TrainSpec){.seed = 1}, 0);
    assert_true(without == step_bits(&r, (TrainSpec){.seed = 2}, 1));
    const double whole = held_out(&r);
    r.lora.dropout = 0.25f;
    const double also = held_out(&r);
    assert_true(also >= whole && also <= whole);
    const uint64_t with = step_bits(&r, (TrainSpec){.seed = 1}, 0);
    assert_true(with != without);
    assert_true(with == step_bits(&r, (TrainSpec){.seed = 1, .checkpoint = true}, 0));
    assert_true(with != step_bits(&r, (TrainSpec){.seed = 1}, 1));
    assert_true(with != step_bits(&r, (TrainSpec){.seed = 2}, 0));
    run_close(&r);
}

/* Of n ids, each told by the row of logits before it. */
static double mean_loss(const float *logits, int64_t vocab, const int32_t *ids, int64_t n) {
    double loss = 0;
    for (int64_t k = 0; k + 1 < n; k++) {
        const float *row = logits + k * vocab;
        double z = 0;
        for (int64_t v = 0; v < vocab; v++) z += exp((double)row[v]);
        loss += (log(z) - (double)row[ids[k + 1]]) / (double)(n - 1);
    }
    return loss;
}

/* A new adapter changes nothing until it is trained; trained and saved, it does in a session what it did in training.
 */
static void from_new(void **state) {
    (void)state;
    const struct {
        const char *name, *targets;
        size_t maps;
    } cases[] = {
        {"llama3", NULL, 0}, {"qwen3", "all-linear", 0}, {"gpt2", "c_attn+mlp.c_proj", 2}, {"phi2", "lm_head", 0}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Run r;
        Trainer t;
        Err e = {0};
        int32_t ids[64];
        char dir[256];
        snprintf(dir, sizeof dir, TEST_DATA "/%s", cases[i].name);
        run_open(&r, cases[i].name, dir);
        const LoraSpec made = {.rank = 3, .alpha = 6, .root = true, .targets = cases[i].targets};
        OK(lora_new(&r.lora, &r.m, &made, &e), e);
        if (cases[i].maps) assert_int_equal(r.lora.n, cases[i].maps * (size_t)r.m.cfg.layers);
        if (!cases[i].targets) assert_int_equal(r.lora.n, 7 * r.m.cfg.layers);
        const TrainSpec spec = {
            .tokens = 64, .head_tokens = 20, .optimizer = OPTIMIZER_ADAMW, .lora = &r.lora, .seed = 3};
        OK(train_open(&t, &r.m, &spec, r.b, &e), e);
        assert_int_equal(t.n_params, 2 * r.lora.n);
        const float *a = exec_data(&t.x, t.params[0].weight), *b = exec_data(&t.x, t.params[1].weight);
        const double bound = 1 / sqrt((double)r.lora.maps[0].w->t.ne[1]);
        const int64_t n_a = train_count(&t, &t.params[0]);
        assert_true(norm2(b, train_count(&t, &t.params[1])) == 0);
        for (int64_t k = 0; k < n_a; k++) assert_true(fabs((double)a[k]) <= bound);
        /* variance of a uniform value: bound^2 / 3; 5 standard deviations of the mean of n squares, 0.9 of it */
        assert_true(fabs(norm2(a, n_a) * norm2(a, n_a) / (double)n_a / (bound * bound / 3) - 1) <
                    5 * 0.9 / sqrt((double)n_a));

        int64_t n = (int64_t)oracle_ids(&r.o, "cases.short.ids", ids, COUNT_OF(ids));
        const Hyper how = {.lr = 1e-2, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
        double first = 0, last = 0;
        for (int step = 0; step < 6; step++) {
            last = micro(&t, ids, 1, n);
            if (!step) first = last;
            train_norm(&t);
            if (step < 5) train_update(&t, &how);
        }
        const double base = mean_loss(oracle_array(&r.o, "short.logits")->data, r.m.cfg.vocab, ids, n);
        printf("%s: loss %.6f without, %.6f with a new adapter, %.6f trained\n", r.o.name, base, first, last);
        assert_true(fabs(first - base) <= 1e-5 * base && last < first - 0.05);

        char path[64];
        snprintf(path, sizeof path, "lora-%s", r.o.name);
        OK(adapter_save(path, &t, &made, dir, &e), e);
        train_close(&t);
        lora_release(&r.lora);
        adapter_close(&r.adapter);
        OK(adapter_open(path, &r.adapter, &e), e);
        for (const char *word = "c_attn\0mlp.c_proj\0"; *word && cases[i].maps == 2; word += strlen(word) + 1)
            assert_non_null(strstr(r.adapter.config_text.s, word)); /* not c_proj alone: attention has one too */
        OK(adapter_lora(&r.adapter, &r.m, 1, &r.lora, &e), e);
        Session s;
        SessionSpec all = exact;
        all.all_logits = true;
        session_with(&r, &s, all);
        OK(session_eval(&s, 0, ids, (size_t)n, &e), e);
        const double loss = mean_loss(exec_data(&s.x, s.io.logits), r.m.cfg.vocab, ids, n);
        assert_true(fabs(loss - last) <= 1e-5 * last);
        session_release(&s);
        run_close(&r);
    }
}

static void refused(void **state) {
    (void)state;
    Run r;
    Err e = {0};
    run_open(&r, "llama3", TEST_DATA "/gpt2");
    assert_false(adapter_lora(&r.adapter, &r.m, 1, &r.lora, &e));
    assert_non_null(strstr(e.msg, "model.layers.0.self_attn.q_proj"));
    lora_release(&r.lora);
    run_close(&r);
    run_open(&r, "llama3", TEST_DATA "/qwen3"); /* the same names, other sizes */
    assert_false(adapter_lora(&r.adapter, &r.m, 1, &r.lora, &e));
    assert_non_null(strstr(e.msg, "B [64,4], and the model a weight [128,64]"));
    lora_release(&r.lora);
    const LoraSpec bad[] = {{.rank = 0, .alpha = 1},
                            {.rank = 1, .alpha = 1, .dropout = 1},
                            {.rank = 1, .alpha = 1, .targets = "q_proj+nothing"},
                            {.rank = 1, .alpha = 1, .targets = "embed_tokens"},
                            {.rank = 1, .alpha = 1, .targets = "proj"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_false(lora_new(&r.lora, &r.m, &bad[i], &e));
        assert_int_equal(e.code, ERR_USAGE);
        lora_release(&r.lora);
    }
    run_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inference), cmocka_unit_test(several),      cmocka_unit_test(taps),
        cmocka_unit_test(merged),    cmocka_unit_test(saved_caches), cmocka_unit_test(training),
        cmocka_unit_test(bases),     cmocka_unit_test(head_alone),   cmocka_unit_test(dropout),
        cmocka_unit_test(from_new),  cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
