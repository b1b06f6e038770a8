/* Every oracle model against transformers: logits at every position, hidden states, greedy tokens, the 300-token case;
 * from the Hugging Face directory and from a GGUF file that llmws wrote. */
#include "oracle.h"

/* The bound. f32 sums of this depth differ by about 1e-6; a wrong detail of the maths (rope base, scaling, head
 * grouping) moves logits by 0.2 or more. */
static const double LOGIT_TOL = 2e-4;

typedef struct Run {
    Oracle o;
    Model m;
    Backend *b;
    Session s;
    int seq;
} Run;

static void run_open(Run *r, const char *name, const char *path, SessionSpec spec) {
    Err e = {0};
    oracle_open(&r->o, name);
    model_load(&r->m, path);
    OK(cpu_backend_open(&(BackendOptions){.threads = 2}, &r->b, &e), e);
    OK(session_prepare(&r->s, &r->m, r->b, &spec, &e), e);
    OK(plan_verify(&r->s.plan, &e), e);
    OK(session_reserve(&r->s, &e), e);
    r->seq = cache_seq_open(r->s.cache, &e);
}

static void run_close(Run *r) {
    session_release(&r->s);
    r->b->close(r->b);
    model_release(&r->m);
    oracle_close(&r->o);
}

static const SessionSpec exact = {.ctx = 320, .chunk = 320, .parallel = 1, .kv_type = DT_f32, .compute = COMPUTE_F32};

typedef struct Family {
    const char *name;
    bool gguf; /* which can say all of it */
    const char *first, *blocks,
        *norm; /* modules, llama's unless said: input of the first block, all blocks, last norm */
} Family;

static void check_logits(const Family *f, const char *path) {
    Run r;
    Err e = {0};
    int32_t ids[64];
    SessionSpec spec = exact;
    spec.all_logits = true;
    spec.taps = (const char *const[]){f->first ? f->first : "model.layers.0.input",
                                      f->blocks ? f->blocks : "model.layers.*", f->norm ? f->norm : "model.norm", NULL};
    run_open(&r, f->name, path, spec);
    size_t n = oracle_ids(&r.o, "cases.short.ids", ids, COUNT_OF(ids));
    OK(session_eval(&r.s, r.seq, ids, n, &e), e);
    const Tensor *want = oracle_array(&r.o, "short.logits");
    double d = max_diff(exec_data(&r.s.x, r.s.io.logits), want->data, tensor_count(want));
    printf("%s logits differ by %.1e\n", path, d);
    assert_true(d <= LOGIT_TOL);
    assert_int_equal(r.s.g.taps.n, r.m.cfg.layers + 2);
    for (int i = 0; i < r.s.g.taps.n; i++) {
        const char *array = i <= r.m.cfg.layers ? arena_printf(&r.o.arena, "short.hidden.%d", i) : "short.hidden.final";
        const Tensor *hidden = oracle_array(&r.o, array);
        double h = max_diff(exec_data(&r.s.x, r.s.g.taps.items[i].id), hidden->data, tensor_count(hidden));
        if (!(h <= LOGIT_TOL)) fail_msg("%s: '%s' differs by %g from %s", path, r.s.g.taps.items[i].name, h, array);
    }
    run_close(&r);
}

static void check_greedy(const char *name, const char *path) {
    Run r;
    Err e = {0};
    int32_t ids[64], want[32], id;
    LlmwsSampling greedy = {.top_p = 1, .repeat_penalty = 1};
    run_open(&r, name, path, exact);
    size_t n = oracle_ids(&r.o, "cases.short.ids", ids, COUNT_OF(ids)),
           m = oracle_ids(&r.o, "cases.short.greedy", want, COUNT_OF(want));
    OK(session_eval(&r.s, r.seq, ids, n, &e), e);
    for (size_t i = 0; i < m; i++) {
        OK(session_sample(&r.s, r.seq, &greedy, NULL, 0, &id, &e), e);
        assert_int_equal(id, want[i]);
        OK(session_eval(&r.s, r.seq, &id, 1, &e), e);
    }
    run_close(&r);
}

static void check_long(const char *name, const char *path) {
    Run r;
    Err e = {0};
    int32_t ids[400];
    SessionSpec spec = exact;
    spec.all_logits = true;
    run_open(&r, name, path, spec);
    size_t n = oracle_ids(&r.o, "cases.long.ids", ids, COUNT_OF(ids));
    OK(session_eval(&r.s, r.seq, ids, n, &e), e);
    const Tensor *at = oracle_array(&r.o, "long.positions"), *want = oracle_array(&r.o, "long.logits");
    for (int64_t i = 0; i < at->ne[0]; i++) {
        const float *row =
            (const float *)exec_data(&r.s.x, r.s.io.logits) + ((const int64_t *)at->data)[i] * r.m.cfg.vocab;
        assert_true(max_diff(row, tensor_row(want, i), r.m.cfg.vocab) <= LOGIT_TOL);
    }
    run_close(&r);
}

/* A sequence that grows past the original context by and by ends in the logits of one that was long at once; and cut
 * back, in those of a short one. */
static void longrope_crossing(void **state) {
    (void)state;
    Run r;
    Err e = {0};
    int32_t ids[400];
    const int64_t steps[][2] = {{0, 60}, {60, 95}, {95, 96}, {96, 97}, {97, 98}};
    run_open(&r, "phi3_longrope", TEST_DATA "/phi3_longrope", exact);
    oracle_ids(&r.o, "cases.long.ids", ids, COUNT_OF(ids));
    int64_t bytes = r.m.cfg.vocab * (int64_t)sizeof(float);
    float *at_once[2];
    for (int i = 0; i < 2; i++) {
        at_once[i] = mem_alloc((size_t)r.m.cfg.vocab, sizeof(float));
        OK(cache_seq_truncate(r.s.cache, r.seq, 0, &e), e);
        OK(session_eval(&r.s, r.seq, ids, i ? 98 : 60, &e), e);
        memcpy(at_once[i], session_logits(&r.s, r.seq), (size_t)bytes);
    }
    OK(cache_seq_truncate(r.s.cache, r.seq, 0, &e), e);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        OK(session_eval(&r.s, r.seq, ids + steps[i][0], (size_t)(steps[i][1] - steps[i][0]), &e), e);
        if (i == 0) assert_memory_equal(session_logits(&r.s, r.seq), at_once[0], (size_t)bytes);
    }
    assert_memory_equal(session_logits(&r.s, r.seq), at_once[1], (size_t)bytes);
    OK(cache_seq_truncate(r.s.cache, r.seq, 59, &e), e);
    OK(session_eval(&r.s, r.seq, ids + 59, 1, &e), e);
    assert_memory_equal(session_logits(&r.s, r.seq), at_once[0], (size_t)bytes);
    for (int i = 0; i < 2; i++) free(at_once[i]);
    run_close(&r);
}

static void check_all(const Family *f) {
    const char *name = f->name;
    char dir[256], gguf[256];
    Err e = {0};
    snprintf(dir, sizeof dir, TEST_DATA "/%s", name);
    snprintf(gguf, sizeof gguf, TEST_TMP "/%s.test.gguf", name);
    LlmwsModel *m = llmws_model_open(dir, NULL, &e);
    if (!m) fail_msg("%s", e.msg);
    if (f->gguf)
        OK(llmws_model_save_gguf(m, gguf, &e), e);
    else if (llmws_model_save_gguf(m, gguf, &e))
        fail_msg("%s: written as GGUF, which cannot say all of it", name);
    llmws_model_close(m);
    const char *paths[] = {dir, gguf};
    for (int i = 0; i < 1 + f->gguf; i++) {
        check_logits(f, paths[i]);
        check_greedy(name, paths[i]);
        check_long(name, paths[i]);
    }
    remove(gguf);
}

static const Family families[] = {
    {"llama2", true},
    {"llama3", true},
    {"mistral", true},
    {"mistral_nemo", true},
    {"qwen2", true},
    {"qwen3", true},
    {"smollm3", true},
    {"mixtral", true},
    {"qwen3_moe", true},
    {"qwen3_moe_mixed"},
    {"phi3", true},
    {"qwen2_yarn"},
    {"phi3_longrope"},
    {"gemma2"},
    {"gemma3"},
    {"phi2", .norm = "model.final_layernorm"},
    {"gpt2", .first = "transformer.h.0.input", .blocks = "transformer.h.*", .norm = "transformer.ln_f"},
};

static void check(void **state) {
    const Family *f = *state;
    check_all(f);
}

int main(void) {
    struct CMUnitTest tests[COUNT_OF(families) + 1] = {[COUNT_OF(families)] = cmocka_unit_test(longrope_crossing)};
    for (size_t i = 0; i < COUNT_OF(families); i++)
        tests[i] = (struct CMUnitTest){families[i].name, check, NULL, NULL, (void *)(uintptr_t)&families[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
