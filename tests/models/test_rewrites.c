/* What rewrites of the graph save changes no bit: every family with them and without, in each kind of products, however
 * its tokens come, and with taps and patches in their way. */
#include "oracle.h"
#include "random_model.h"

enum { CHUNK = 16, PROMPT = 37, MORE = 3, SEQS = 2 };

/* ---- one run ---- */

typedef struct Seen {
    uint64_t bits;     /* hash of the logits and taps of every step */
    int ops[OP_COUNT]; /* that run */
    int by_token;      /* of these, with a row for each token of the step */
} Seen;

static uint64_t hash_value(const Session *s, int id, uint64_t h) {
    const Tensor *t = &s->x.values[id];
    for (int64_t r = 0; r < tensor_rows(t); r++)
        h = hash_bytes(tensor_row(t, r), (size_t)dtype_row_bytes(t->dtype, t->ne[t->ndim - 1]), h);
    return h;
}

static uint64_t hash_step(const Session *s, uint64_t h) {
    for (int i = 0; i < s->g.taps.n; i++) h = hash_value(s, s->g.taps.items[i].id, h);
    return hash_value(s, s->io.logits, h);
}

static void count_ops(const Session *s, Seen *seen) {
    for (int i = 0; i < s->g.n; i++) {
        if (!s->plan.kernels[i].run) continue;
        seen->ops[s->g.nodes[i].op]++;
        seen->by_token += s->g.nodes[i].sym[0] == SYM_T;
    }
}

/* A prompt in chunks, of which all but the last give no logits; a step of parts of two sequences; single tokens. */
static Seen seen_by(const Model *m, SessionSpec spec, bool plain) {
    Backend *b;
    Session s;
    Seen seen = {0};
    Err e = {0};
    int32_t ids[PROMPT + MORE];
    int seq[SEQS], seqs[CHUNK];
    for (int i = 0; i < PROMPT + MORE; i++) ids[i] = (int32_t)(7 * i * i + 3 * i + 1) % (int32_t)m->cfg.vocab;
    for (int i = 0; i < CHUNK; i++) seqs[i] = i >= CHUNK - 5;
    spec.ctx = 64, spec.chunk = CHUNK, spec.parallel = SEQS, spec.plain = plain;
    OK(cpu_backend_open(&(BackendOptions){.threads = 2}, &b, &e), e);
    OK(session_prepare(&s, m, b, &spec, &e) && plan_verify(&s.plan, &e), e);
    count_ops(&s, &seen);
    OK(session_reserve(&s, &e), e);
    for (int i = 0; i < SEQS; i++) assert_int_equal(seq[i] = cache_seq_open(s.cache, &e), i);
    OK(session_eval(&s, seq[0], ids, PROMPT, &e), e);
    seen.bits = hash_step(&s, seen.bits);
    OK(session_eval_batch(&s, seqs, ids, CHUNK, &e), e);
    seen.bits = hash_step(&s, seen.bits);
    for (int i = 0; i < MORE; i++) {
        OK(session_eval(&s, seq[i % SEQS], ids + PROMPT + i, 1, &e), e);
        seen.bits = hash_step(&s, seen.bits);
    }
    session_release(&s);
    b->close(b);
    return seen;
}

typedef struct Pair {
    Seen plain, less;
} Pair;

static Pair check_same(const Model *m, SessionSpec spec) {
    Pair p = {seen_by(m, spec, true), seen_by(m, spec, false)};
    assert_true(p.plain.bits == p.less.bits);
    return p;
}

/* ---- families ---- */

typedef struct Kind {
    Dtype weights;
    Compute compute;
} Kind;
static const Kind kinds[] = {
    {DT_f32, COMPUTE_F32}, {DT_f16, COMPUTE_AUTO}, {DT_bf16, COMPUTE_AUTO}, {DT_q8_0, COMPUTE_AUTO}};

static void load_as(Model *m, const char *path, Dtype weights) {
    TensorFile f = {0};
    Err e = {0};
    OK(tensor_file_open(path, &f, &e), e);
    if (weights != DT_f32) cast_weights(&f, weights);
    OK(model_init(m, &f, (Log){0}, &e), e);
}

/* From GGUF, where no family's weights stand turned, so that all of them can be blocks. */
static void family(void **state) {
    char path[256], dir[256];
    Err e = {0};
    snprintf(dir, sizeof dir, TEST_DATA "/%s", (const char *)*state);
    snprintf(path, sizeof path, TEST_TMP "/%s.rewrites.gguf", (const char *)*state);
    LlmwsModel *file = llmws_model_open(dir, NULL, &e);
    if (!file) fail_msg("%s", e.msg);
    OK(llmws_model_save_gguf(file, path, &e), e);
    llmws_model_close(file);
    for (const Kind *k = kinds; k < kinds + COUNT_OF(kinds); k++) {
        Model m;
        load_as(&m, path, k->weights);
        Pair p = check_same(&m, (SessionSpec){.kv_type = DT_f16, .compute = k->compute});
        const int *plain = p.plain.ops, *less = p.less.ops, layers = (int)m.cfg.layers;
        printf("%s, weights %s: of all tokens %d ops, %d before\n", (const char *)*state, dtype_info[k->weights].name,
               p.less.by_token, p.plain.by_token);
        assert_true(less[OP_rows] > plain[OP_rows] && p.less.by_token < p.plain.by_token);
        assert_true(less[OP_mul] == 0 && less[OP_gated] >= plain[OP_mul]);
        assert_true(!plain[OP_cast] ||
                    less[OP_cast] <= plain[OP_cast] - (2 * layers - 1)); /* phi2's last norm is read twice */
        model_release(&m);
    }
    remove(path);
}

/* Blocks of 256 fit no model of the tests' data. */
static void blocks_of_256(void **state) {
    (void)state;
    const char *dir = TEST_TMP "/rewrites";
    const RandomModel shape = {
        .layers = 2, .width = 256, .heads = 4, .kv_heads = 2, .ffn = 512, .vocab = 384, .ctx = 64, .tied = true};
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"};
    Model m;
    random_model_write(&shape, dir);
    load_as(&m, dir, DT_q4_k);
    Pair p = check_same(&m, (SessionSpec){.kv_type = DT_q8_0});
    assert_true(p.less.ops[OP_gated] == 2 && p.less.ops[OP_cast] < p.plain.ops[OP_cast]);
    model_release(&m);
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        remove(path);
    }
    remove(dir);
}

/* ---- what must stay ---- */

/* Every value that has a name, as it is for every token. */
static void all_tapped(void **state) {
    (void)state;
    static const char *const models[] = {"llama3", "phi2", "gemma2", "qwen3_moe_mixed", "gpt2"};
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        Model m;
        char path[256];
        snprintf(path, sizeof path, TEST_DATA "/%s", models[i]);
        load_as(&m, path, DT_f32);
        static const char *const all[] = {"**", NULL};
        Pair p = check_same(&m, (SessionSpec){.kv_type = DT_f32, .taps = all});
        assert_memory_equal(p.plain.ops, p.less.ops, sizeof p.less.ops);
        model_release(&m);
    }
}

/* A value that is kept is made as such, and nothing else is undone for it. */
static void one_tapped(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int silu, cast; /* that run besides */
    } taps[] = {{"model.layers.1", 0, 0},
                {"model.layers.1.input_layernorm", 0, 1},
                {"model.layers.1.self_attn", 0, 0},
                {"model.layers.1.resid_mid", 0, 0},
                {"model.layers.1.post_attention_layernorm", 0, 1},
                {"model.layers.1.mlp.act_fn", 1, 1}, /* no longer one with what gates, nor that with its cast */
                {"model.layers.1.mlp.up_proj", 0, 0},
                {"model.layers.1.mlp.down_proj.input", 0, 1},
                {"model.norm", 0, 1},
                {"lm_head", 0, 0}};
    Model m;
    load_as(&m, TEST_DATA "/llama3", DT_q8_0);
    const Seen none = check_same(&m, (SessionSpec){.kv_type = DT_f16}).less;
    for (size_t i = 0; i < COUNT_OF(taps); i++) {
        const char *const names[] = {taps[i].name, NULL};
        Pair p = check_same(&m, (SessionSpec){.kv_type = DT_f16, .taps = names});
        int silu = p.less.ops[OP_silu] - none.ops[OP_silu], cast = p.less.ops[OP_cast] - none.ops[OP_cast];
        if (silu != taps[i].silu || cast != taps[i].cast)
            fail_msg("'%s' is kept: %d silu and %d cast more", taps[i].name, silu, cast);
    }
    model_release(&m);
}

/* Of the last block some are picked rows and some are whole, wherever the border is. */
static void last_block_tapped(void **state) {
    (void)state;
    static const char *const names[] = {"input_layernorm",          "self_attn",  "resid_mid",
                                        "post_attention_layernorm", "mlp.act_fn", "mlp.up_proj",
                                        "mlp.down_proj.input",      "mlp"};
    Model m;
    load_as(&m, TEST_DATA "/llama3", DT_q8_0);
    assert_int_equal(m.cfg.layers, 3);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char name[64];
        snprintf(name, sizeof name, "model.layers.2.%s", names[i]);
        check_same(&m, (SessionSpec){.kv_type = DT_f16, .taps = (const char *const[]){name, NULL}});
    }
    model_release(&m);
}

/* A patch acts on tokens by their place, which rows that were picked no longer have. */
static void patched(void **state) {
    (void)state;
    static const char *const names[] = {"model.layers.2", "model.layers.2.mlp.act_fn", "model.layers.2.mlp.up_proj",
                                        "model.layers.2.self_attn", "model.layers.2.post_attention_layernorm"};
    Model m;
    load_as(&m, TEST_DATA "/llama3", DT_q8_0);
    const SessionSpec spec = {.kv_type = DT_f16};
    const uint64_t without = seen_by(&m, spec, true).bits;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const LlmwsPatch patch = {.name = names[i], .from = 5, .to = 37, .mul = 1.5f};
        SessionSpec with = spec;
        with.patches = &patch, with.n_patches = 1;
        check_same(&m, with);
        assert_true(seen_by(&m, with, false).bits != without);
    }
    model_release(&m);
}

/* Where every row is wanted, nothing is picked. */
static void all_logits(void **state) {
    (void)state;
    Model m;
    load_as(&m, TEST_DATA "/llama3", DT_f32);
    Pair p = check_same(&m, (SessionSpec){.kv_type = DT_f16, .all_logits = true});
    assert_int_equal(p.less.ops[OP_rows], p.plain.ops[OP_rows]);
    model_release(&m);
}

int main(void) {
    static const char *const families[] = {"llama2", "llama3",       "mistral", "mistral_nemo", "qwen2",
                                           "qwen3",  "smollm3",      "mixtral", "qwen3_moe",    "qwen3_moe_mixed",
                                           "phi3",   "qwen2_yarn",   "phi2",    "gemma2",       "gemma3",
                                           "gpt2",   "phi3_longrope"};
    struct CMUnitTest tests[COUNT_OF(families) + 6] = {[COUNT_OF(families)] = cmocka_unit_test(blocks_of_256),
                                                       cmocka_unit_test(all_tapped),
                                                       cmocka_unit_test(one_tapped),
                                                       cmocka_unit_test(last_block_tapped),
                                                       cmocka_unit_test(patched),
                                                       cmocka_unit_test(all_logits)};
    for (size_t i = 0; i < COUNT_OF(families); i++)
        tests[i] = (struct CMUnitTest){families[i], family, NULL, NULL, (void *)(uintptr_t)families[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
