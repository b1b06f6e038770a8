/* Every model against transformers (tests/data/expected/gradients.json, made by make_grad_data.py): loss and gradients
 * with both ways of attention, with and without checkpointing; five steps of AdamW; weights of attention.
 *
 * A gradient is known by its products with vectors of random signs: of an error of norm d each is off by about d, and
 * the root of the mean square of eight is above 0.4 d but once in a thousand times. */
#include "core/rng.h"
#include "training.h"

enum { VECTORS = 8 };

static const char *const names[] = {"llama2", "llama3",  "mistral", "mistral_nemo", "qwen2",          "qwen2_yarn",
                                    "qwen3",  "smollm3", "phi2",    "phi3",         "gemma2",         "phi3_longrope",
                                    "gemma3", "gpt2",    "mixtral", "qwen3_moe",    "qwen3_moe_mixed"};

typedef struct Numbers {
    Arena arena;
    Value all;
} Numbers;

static void numbers_open(Numbers *n) {
    Err e = {0};
    Mapping m;
    *n = (Numbers){0};
    OK(map_file(TEST_DATA "/expected/gradients.json", &m, &e), e);
    OK(json_parse((Str){m.bytes, m.n}, "gradients.json", &n->arena, &n->all, &e), e);
    unmap_file(&m);
}

static double at(const Value *list, size_t i) {
    double f = 0;
    Err e = {0};
    Value item = value_item(list, i);
    OK(value_as_float(&item, "number", &f, &e), e);
    return f;
}

static size_t ids_of(const Value *list, int32_t *out) {
    for (size_t i = 0; i < value_count(list); i++) out[i] = (int32_t)value_item(list, i).i;
    return value_count(list);
}

static double product(const float *x, int64_t n, uint64_t vector) {
    double sum = 0;
    uint64_t bits = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i % 64 == 0) bits = rng_u64(vector, 0, (uint64_t)i / 64, RNG_SAMPLE);
        sum += bits >> i % 64 & 1 ? -(double)x[i] : (double)x[i];
    }
    return sum;
}

/* About the norm of x - r, where r is known by its norm and products. */
static double error_of(const float *x, int64_t n, const Value *r) {
    double sum = 0;
    for (size_t k = 0; k < VECTORS; k++) {
        double d = product(x, n, k) - at(r, k + 1);
        sum += d * d;
    }
    return sqrt(sum / VECTORS);
}

static double check_gradients(Bench *x, const Value *want) {
    double global = 0, worst = 0;
    const Value *g = value_get(want, "gradients");
    assert_int_equal(g->object.n, x->t.n_params);
    for (size_t i = 0; i < g->object.n; i++) global += at(&g->object.items[i], 0) * at(&g->object.items[i], 0);
    for (size_t i = 0; i < g->object.n; i++) {
        const char *name = arena_printf(&x->o.arena, "%.*s", STR_ARG(g->object.keys[i]));
        const TrainParam *p = train_param(&x->t, name);
        if (!p) fail_msg("%s: no parameter '%s'", x->o.name, name);
        double d = error_of(exec_data(&x->t.x, p->grad), train_count(&x->t, p), &g->object.items[i]);
        double most = 1e-4 * at(&g->object.items[i], 0) + 1e-6 * sqrt(global);
        if (!(d <= most)) fail_msg("%s: gradient of %s is off by %g, %g is allowed", x->o.name, name, d, most);
        worst = fmax(worst, d / most);
    }
    return worst;
}

static void check_model(const Numbers *n, const char *name, Attention attention, bool checkpoint) {
    Bench x;
    int32_t ids[64];
    const Value *want = value_get(&n->all, name);
    bench_open(&x, name, 2,
               (TrainSpec){.tokens = 64, .head_tokens = 20, .attention = attention, .checkpoint = checkpoint});
    int64_t len = (int64_t)oracle_ids(&x.o, "cases.short.ids", ids, COUNT_OF(ids));
    double r = value_get(want, "loss")->f, loss = bench_micro(&x, ids, &len, 1, 1 / (double)(len - 1));
    double worst = check_gradients(&x, want);
    printf("%s, %s%s: loss off by %.1e, gradients by %.3f of what is allowed\n", name,
           attention == ATTENTION_MANUAL ? "manual" : "sdpa", checkpoint ? ", checkpoints" : "", fabs(loss - r) / r,
           worst);
    assert_true(fabs(loss - r) <= 1e-5 * r);
    bench_close(&x);
}

static void gradients(void **state) {
    (void)state;
    Numbers n;
    numbers_open(&n);
    assert_int_equal(n.all.object.n, COUNT_OF(names));
    for (size_t i = 0; i < COUNT_OF(names); i++)
        for (int k = 0; k < 4; k++) check_model(&n, names[i], k % 2 ? ATTENTION_MANUAL : ATTENTION_SDPA, k / 2);
    arena_release(&n.arena);
}

static void check_steps(const Numbers *n, const char *name, TrainSpec spec) {
    Bench x;
    int32_t ids[BENCH_TOKENS];
    const Value *want = value_get(&n->all, name), *rows = value_get(want, "rows"), *losses = value_get(want, "adamw");
    const Hyper how = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01};
    int64_t lens[2], tokens = 0;
    for (size_t i = 0; i < 2; i++) tokens += lens[i] = (int64_t)ids_of(&rows->array.items[i], ids + tokens);
    spec.tokens = tokens, spec.longest = lens[0], spec.optimizer = OPTIMIZER_ADAMW;
    bench_open(&x, name, 2, spec);
    for (size_t i = 0; i < value_count(losses); i++) {
        double loss = bench_micro(&x, ids, lens, 2, 1 / (double)(tokens - 2));
        train_norm(&x.t);
        train_update(&x.t, &how);
        if (!(fabs(loss - at(losses, i)) <= 1e-4))
            fail_msg("%s: loss %zu is %.7f, expected %.7f", name, i, loss, at(losses, i));
    }
    bench_close(&x);
}

static void steps(void **state) {
    (void)state;
    Numbers n;
    numbers_open(&n);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        check_steps(&n, names[i], (TrainSpec){.attention = ATTENTION_SDPA});
        check_steps(&n, names[i], (TrainSpec){.attention = ATTENTION_MANUAL, .checkpoint = true});
    }
    arena_release(&n.arena);
}

/* ---- what can be captured ---- */

static void open_session(Session *s, const Bench *x, Backend *b, int64_t chunk, const char *const *taps) {
    Err e = {0};
    SessionSpec spec = {.ctx = 48, .chunk = chunk, .parallel = 1, .kv_type = DT_f32, .compute = COMPUTE_F32};
    spec.taps = taps;
    OK(session_prepare(s, &x->m, b, &spec, &e) && session_reserve(s, &e), e);
    assert_int_equal(session_seq_open(s, &e), 0);
}

/* The weights of attention of all layers, [layer][T][heads][48], of ids that come in chunks; free() them. */
static float *weights_of(const Bench *x, Backend *b, const int32_t *ids, int64_t n, int64_t chunk) {
    Session s;
    Err e = {0};
    open_session(&s, x, b, chunk, (const char *const[]){"**.probs", NULL});
    const int64_t L = x->m.cfg.layers, row = x->m.cfg.heads * 48;
    float *all = mem_alloc((size_t)(L * n * row), sizeof *all);
    assert_int_equal(s.g.taps.n, L);
    for (int64_t t = 0; t < n; t += chunk) {
        OK(session_eval(&s, 0, ids + t, (size_t)MIN(chunk, n - t), &e), e);
        for (int64_t l = 0; l < L; l++)
            memcpy(all + (l * n + t) * row, exec_data(&s.x, s.g.taps.items[l].id),
                   (size_t)(MIN(chunk, n - t) * row) * sizeof *all);
    }
    session_release(&s);
    return all;
}

/* They are those of transformers, and the same however the prompt is cut. What the softmax rounds is about 1e-7 of a
 * weight; what comes before it moves scores by 1e-6. */
static void captured(void **state) {
    (void)state;
    Numbers n;
    numbers_open(&n);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        Bench x = {0};
        int32_t ids[64];
        char dir[256];
        Err e = {0};
        snprintf(dir, sizeof dir, TEST_DATA "/%s", names[i]);
        oracle_open(&x.o, names[i]);
        model_load(&x.m, dir);
        OK(cpu_backend_open(&(BackendOptions){.threads = 2}, &x.b, &e), e);
        int64_t T = (int64_t)oracle_ids(&x.o, "cases.short.ids", ids, COUNT_OF(ids)), size = T * x.m.cfg.heads * 48;
        assert_int_equal(T, 48);
        float *whole = weights_of(&x, x.b, ids, T, 48), *cut = weights_of(&x, x.b, ids, T, 7);
        const Value *want = value_get(value_get(&n.all, names[i]), "probs");
        for (int64_t l = 0; l < x.m.cfg.layers; l++) {
            const Value *r = &want->array.items[l];
            double d = error_of(whole + l * size, size, r);
            if (!(d <= 1e-5 * at(r, 0))) fail_msg("%s: weights of layer %d are off by %g", names[i], (int)l, d);
        }
        assert_memory_equal(whole, cut, (size_t)(x.m.cfg.layers * size) * sizeof *whole);
        free(whole), free(cut);
        x.b->close(x.b);
        model_release(&x.m);
        oracle_close(&x.o);
    }
    arena_release(&n.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients), cmocka_unit_test(steps),
                                       cmocka_unit_test(captured)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
