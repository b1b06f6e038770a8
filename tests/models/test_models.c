/* Every oracle model against transformers: logits at every position, hidden states, greedy tokens, the 300-token case;
 * from the Hugging Face directory, from a GGUF file that llmws wrote, and from a directory made of that file. */
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
    const char *first, *blocks,
        *norm; /* modules, llama's unless said: input of the first block, all blocks, last norm */
} Family;

/* Returns the hash of the logits, and whether the file orders rows its own way. */
static uint64_t check_logits(const Family *f, const char *path, bool *interleaved) {
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
    uint64_t hash = hash_bytes(exec_data(&r.s.x, r.s.io.logits), (size_t)tensor_count(want) * sizeof(float), 0);
    for (size_t i = 0; i < r.m.n; i++) *interleaved = *interleaved || r.m.weights[i].interleaved;
    assert_int_equal(r.s.g.taps.n, r.m.cfg.layers + 2);
    for (int i = 0; i < r.s.g.taps.n; i++) {
        const char *array = i <= r.m.cfg.layers ? arena_printf(&r.o.arena, "short.hidden.%d", i) : "short.hidden.final";
        const Tensor *hidden = oracle_array(&r.o, array);
        double h = max_diff(exec_data(&r.s.x, r.s.g.taps.items[i].id), hidden->data, tensor_count(hidden));
        if (!(h <= LOGIT_TOL)) fail_msg("%s: '%s' differs by %g from %s", path, r.s.g.taps.items[i].name, h, array);
    }
    run_close(&r);
    return hash;
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

/* A long prompt in chunks of 64, and one that comes 64 tokens at a time. */
static void check_pieces(const char *name, const char *path) {
    Run r;
    Err e = {0};
    int32_t ids[400];
    SessionSpec spec = exact;
    spec.chunk = 64, spec.all_logits = true;
    run_open(&r, name, path, spec);
    size_t n = oracle_ids(&r.o, "cases.long.ids", ids, COUNT_OF(ids));
    const Tensor *at = oracle_array(&r.o, "long.positions"), *want = oracle_array(&r.o, "long.logits");
    for (int piecewise = 0; piecewise < 2; piecewise++) {
        int checked = 0;
        OK(cache_seq_truncate(r.s.cache, r.seq, 0, &e), e);
        for (size_t i = 0; i < n; i += piecewise ? 64 : n)
            OK(session_eval(&r.s, r.seq, ids + i, piecewise ? MIN(n - i, 64) : n, &e), e);
        for (int64_t i = 0; i < at->ne[0]; i++) {
            int64_t row = ((const int64_t *)at->data)[i] - (int64_t)(n / 64 * 64); /* of the last chunk */
            if (row < 0) continue;
            const float *got = (const float *)exec_data(&r.s.x, r.s.io.logits) + row * r.m.cfg.vocab;
            assert_true(max_diff(got, tensor_row(want, i), r.m.cfg.vocab) <= LOGIT_TOL);
            checked++;
        }
        assert_true(checked > 0);
    }
    run_close(&r);
}

/* A sequence that grows past the original context by and by ends in the logits of one that was long at once; and cut
 * back, in those of a short one. */
static void check_crossing(const char *path) {
    Run r;
    Err e = {0};
    int32_t ids[400];
    const int64_t steps[][2] = {{0, 60}, {60, 95}, {95, 96}, {96, 97}, {97, 98}};
    run_open(&r, "phi3_longrope", path, exact);
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

/* Says stop at the so-many-th question. */
static bool stop_at(void *ctx, int phase, int64_t done, int64_t total) {
    int *left = ctx;
    (void)phase, (void)done, (void)total;
    return --*left != 0;
}

/* Stopped while it is computed anew, a sequence has its tokens still, and goes on as if nothing had been. */
static void longrope_interrupted(void **state) {
    (void)state;
    Run r;
    Err e = {0};
    int32_t ids[400];
    int left = 0;
    SessionSpec spec = exact;
    spec.chunk = 32, spec.progress = stop_at, spec.progress_ctx = &left;
    run_open(&r, "phi3_longrope", TEST_DATA "/phi3_longrope", spec);
    oracle_ids(&r.o, "cases.long.ids", ids, COUNT_OF(ids));
    const int64_t bytes = r.m.cfg.vocab * (int64_t)sizeof(float);
    float *want = mem_alloc((size_t)r.m.cfg.vocab, sizeof(float));
    OK(session_eval(&r.s, r.seq, ids, 98, &e), e);
    memcpy(want, session_logits(&r.s, r.seq), (size_t)bytes);
    for (int at = 1; at <= 40; at += 13) { /* in the first chunk, the second, the third */
        OK(session_truncate(&r.s, r.seq, 0, &e), e);
        OK(session_eval(&r.s, r.seq, ids, 95, &e), e);
        left = at;
        assert_false(session_eval(&r.s, r.seq, ids + 95, 3, &e));
        assert_int_equal(e.code, ERR_INTERRUPT);
        assert_int_equal(session_len(&r.s, r.seq), 95);
        assert_null(session_logits(&r.s, r.seq));
        assert_memory_equal(r.s.history + r.seq * r.s.spec.ctx, ids, 95 * sizeof *ids);
        if (at > 20) OK(session_truncate(&r.s, r.seq, 94, &e), e);
        int64_t len = session_len(&r.s, r.seq);
        left = 0;
        OK(session_eval(&r.s, r.seq, ids + len, (size_t)(98 - len), &e), e);
        assert_memory_equal(session_logits(&r.s, r.seq), want, (size_t)bytes);
    }
    free(want);
    run_close(&r);
}

/* Dynamic scaling is none up to the trained length, which is the longest context then. */
static void dynamic_is_bounded(void **state) {
    (void)state;
    Model m;
    Session s;
    Backend *b;
    Err e = {0};
    SessionSpec spec = exact;
    model_load(&m, TEST_DATA "/qwen3");
    m.cfg.rope.kind = ROPE_DYNAMIC, m.cfg.rope.factor = 4;
    OK(cpu_backend_open(&(BackendOptions){.threads = 1}, &b, &e), e);
    spec.ctx = m.cfg.ctx + 1;
    assert_false(session_prepare(&s, &m, b, &spec, &e));
    assert_int_equal(e.code, ERR_FIT);
    assert_non_null(strstr(e.msg, "rope scaling dynamic"));
    spec.ctx = m.cfg.ctx;
    OK(session_prepare(&s, &m, b, &spec, &e), e);
    session_release(&s);
    b->close(b);
    model_release(&m);
}

/* The GGUF file as a Hugging Face directory. */
static void write_back(const char *gguf, const char *dir) {
    Model m;
    Export x;
    Buf config = {0};
    Err e = {0};
    model_load(&m, gguf);
    OK(export_hf(&m, &x, &e), e);
    OutTensor *out = oracle_outputs(&x);
    json_put_value(&config, &x.meta, 0);
    OK(safetensors_write_dir(dir, 0, out, x.n, &e), e);
    OK(write_text_file(arena_printf(&x.arena, "%s/config.json", dir), buf_view(&config), &e), e);
    buf_release(&config);
    arena_release(&x.arena);
    model_release(&m);
}

static void remove_dir(const char *dir) {
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char path[300];
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        remove(path);
    }
    remove(dir);
}

static void check_all(const Family *f) {
    const char *name = f->name;
    char dir[256], gguf[256], back[256];
    uint64_t hash[3];
    bool interleaved = false;
    Err e = {0};
    snprintf(dir, sizeof dir, TEST_DATA "/%s", name);
    snprintf(gguf, sizeof gguf, TEST_TMP "/%s.test.gguf", name);
    snprintf(back, sizeof back, TEST_TMP "/%s.back", name);
    LlmwsModel *m = llmws_model_open(dir, NULL, &e);
    if (!m) fail_msg("%s", e.msg);
    OK(llmws_model_save_gguf(m, gguf, &e), e);
    llmws_model_close(m);
    write_back(gguf, back);
    const char *paths[] = {dir, gguf, back};
    for (int i = 0; i < 3; i++) {
        hash[i] = check_logits(f, paths[i], &interleaved);
        if (i == 2) break; /* the same tensors and configuration as the first */
        check_greedy(name, paths[i]);
        check_long(name, paths[i]);
        if (strcmp(name, "phi3_longrope") == 0) check_pieces(name, paths[i]), check_crossing(paths[i]);
    }
    assert_true(hash[2] == hash[0]);
    if (!interleaved) assert_true(hash[1] == hash[0]); /* else sums over a head run in another order */
    remove(gguf);
    remove_dir(back);
}

static const Family families[] = {
    {"llama2"},
    {"llama3"},
    {"mistral"},
    {"mistral_nemo"},
    {"qwen2"},
    {"qwen3"},
    {"smollm3"},
    {"mixtral"},
    {"qwen3_moe"},
    {"qwen3_moe_mixed"},
    {"phi3"},
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
    struct CMUnitTest tests[COUNT_OF(families) + 2] = {[COUNT_OF(families)] = cmocka_unit_test(dynamic_is_bounded),
                                                       cmocka_unit_test(longrope_interrupted)};
    for (size_t i = 0; i < COUNT_OF(families); i++)
        tests[i] = (struct CMUnitTest){families[i].name, check, NULL, NULL, (void *)(uintptr_t)&families[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
