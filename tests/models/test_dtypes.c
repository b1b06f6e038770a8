/* Weights, activations and caches in 16 bits and fewer, for every family: as near to the f32 run as the dtype allows.
 *
 * The bound. Rounding to a dtype of unit roundoff u moves a value by at most u of itself, by u/sqrt(3) in the mean
 * square, each value its own way; so a product of many rounded values moves by that part of itself too, and what passes
 * n such roundings by sqrt(n) times as much. A layer has 4 products in a row and a cache 2 values per layer; beside the
 * layers stand the embedding and the head. The logits of a position have a standard deviation s of 1.3 to 1.9 and move
 * like noise: the largest of 20,000 is 4 times their mean square. What is left, GAIN, is how much layers amplify: a
 * gate is a product of two moved values, a score moves its probability by a factor. It is below 3 here, and scores that
 * are a tenth too small break every bound, the widest by half. */
#include "oracle.h"

static const double NOISE = 4, GAIN = 4;

typedef struct Precision {
    const char *what;
    Dtype weights, kv; /* weights f32: as in the file */
    Compute compute;
    double roundoff;
    int in_layer, beside; /* roundings */
} Precision;

static const Precision precisions[] = {
    {"weights f16", DT_f16, DT_f32, COMPUTE_F32, 0x1p-11, 4, 2},
    {"weights and activations bf16", DT_bf16, DT_f32, COMPUTE_BF16, 0x1p-8, 8, 3},
    {"kv f16", DT_f32, DT_f16, COMPUTE_F32, 0x1p-11, 2, 0},
    {"kv bf16", DT_f32, DT_bf16, COMPUTE_F32, 0x1p-8, 2, 0},
    {"kv q8_0", DT_f32, DT_q8_0, COMPUTE_F32, 2.1 / 254, 2, 0}, /* of the largest of 32, 2.1 times their mean square */
};

static const char *const families[] = {"llama2", "llama3",       "mistral", "mistral_nemo", "qwen2",
                                       "qwen3",  "smollm3",      "mixtral", "qwen3_moe",    "qwen3_moe_mixed",
                                       "phi3",   "qwen2_yarn",   "phi2",    "gemma2",       "gemma3",
                                       "gpt2",   "phi3_longrope"};

enum { TOKENS = 48 };

typedef struct Pass {
    int64_t V, layers, n_routes; /* n_routes: of each token, in all layers */
    float *logits, *routes;
} Pass;

/* One pass over the ids; `bug` makes attention scores a tenth too small. */
static void pass(const char *name, const Precision *p, bool bug, Pass *out) {
    static const char *const routes[] = {"model.layers.*.{mlp,block_sparse_moe}.routes", NULL};
    Oracle o;
    TensorFile f;
    Model m;
    Backend *b;
    Session s;
    Err e = {0};
    int32_t ids[TOKENS];
    char dir[256];
    snprintf(dir, sizeof dir, TEST_DATA "/%s", name);
    oracle_open(&o, name);
    assert_int_equal(oracle_ids(&o, "cases.short.ids", ids, TOKENS), TOKENS);
    OK(tensor_file_open(dir, &f, &e), e);
    if (p && p->weights != DT_f32) cast_weights(&f, p->weights);
    OK(model_init(&m, &f, (Log){0}, &e), e);
    double scalar = m.cfg.query_scalar > 0 ? m.cfg.query_scalar : (double)m.cfg.head_dim;
    if (bug) m.cfg.query_scalar = scalar * 1.23;
    SessionSpec spec = {.ctx = TOKENS, .chunk = TOKENS, .parallel = 1, .all_logits = true};
    spec.kv_type = p ? p->kv : DT_f32, spec.compute = p ? p->compute : COMPUTE_F32;
    spec.taps = m.cfg.experts ? routes : NULL;
    OK(cpu_backend_open(&(BackendOptions){.threads = 2}, &b, &e), e);
    OK(session_prepare(&s, &m, b, &spec, &e) && session_reserve(&s, &e), e);
    OK(session_eval(&s, cache_seq_open(s.cache, &e), ids, TOKENS, &e), e);
    *out = (Pass){.V = m.cfg.vocab, .layers = m.cfg.layers, .n_routes = s.g.taps.n * m.cfg.experts};
    out->logits = mem_alloc((size_t)(TOKENS * out->V), sizeof(float));
    memcpy(out->logits, exec_data(&s.x, s.io.logits), (size_t)(TOKENS * out->V) * sizeof(float));
    out->routes = mem_alloc((size_t)(TOKENS * out->n_routes + 1), sizeof(float));
    for (int i = 0; i < s.g.taps.n; i++)
        for (int64_t t = 0; t < TOKENS; t++)
            memcpy(out->routes + t * out->n_routes + i * m.cfg.experts,
                   (float *)exec_data(&s.x, s.g.taps.items[i].id) + t * m.cfg.experts,
                   (size_t)m.cfg.experts * sizeof(float));
    session_release(&s);
    b->close(b);
    model_release(&m);
    oracle_close(&o);
}

static void pass_free(Pass *p) {
    free(p->logits);
    free(p->routes);
}

/* A router may choose another expert where two are about equal: another sum, which no bound of rounding holds.
 * Positions up to the first that has one. */
static int64_t until_flip(const Pass *a, const Pass *b) {
    for (int64_t i = 0; i < TOKENS * a->n_routes; i++)
        if ((a->routes[i] > 0) != (b->routes[i] > 0)) return i / a->n_routes;
    return TOKENS;
}

static double deviation(const float *x, int64_t n) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i], squares += (double)x[i] * (double)x[i];
    return sqrt(squares / (double)n - sum / (double)n * (sum / (double)n));
}

/* The largest error of logits in units of the bound without GAIN. */
static double error_of(const Pass *want, const Pass *got, const Precision *p) {
    int64_t n = until_flip(want, got) * want->V;
    double roundings = (double)(p->in_layer * want->layers + p->beside);
    double bound = NOISE * p->roundoff / sqrt(3) * sqrt(roundings) * deviation(want->logits, TOKENS * want->V);
    return max_diff(want->logits, got->logits, n) / bound;
}

static void check(void **state) {
    const char *name = *state;
    Pass want;
    pass(name, NULL, false, &want);
    for (const Precision *p = precisions; p < precisions + COUNT_OF(precisions); p++) {
        Pass got, wrong;
        pass(name, p, false, &got);
        pass(name, p, true, &wrong);
        double off = error_of(&want, &got, p), bug = error_of(&want, &wrong, p);
        printf("%s, %s: %.2f of the bound, with a bug %.1f; %d positions\n", name, p->what, off / GAIN, bug / GAIN,
               (int)until_flip(&want, &got));
        assert_true(off <= GAIN && bug > GAIN);
        assert_true(until_flip(&want, &got) >= TOKENS / 2);
        pass_free(&got);
        pass_free(&wrong);
    }
    pass_free(&want);
}

int main(void) {
    struct CMUnitTest tests[COUNT_OF(families)];
    for (size_t i = 0; i < COUNT_OF(families); i++)
        tests[i] = (struct CMUnitTest){families[i], check, NULL, NULL, (void *)(uintptr_t)families[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
