/* Files of models with experts: every form in which they come is the same model, and what is wrong with one is said. */
#include "oracle.h"

#define GGUF TEST_TMP "/experts.gguf"

static void open_file(const char *path, TensorFile *f) {
    Err e = {0};
    OK(tensor_file_open(path, f, &e), e);
}

static void open_model(Model *m, TensorFile *f) {
    Err e = {0};
    OK(model_init(m, f, (Log){0}, &e), e);
}

/* Hash of the logits of a prompt in pieces and of a few tokens after it. */
static uint64_t logits_hash(const Model *m, int threads, int piece, const char *isa) {
    enum { N = 70, PROMPT = 64 };
    Err e = {0};
    Backend *b;
    Session s;
    uint64_t h = 0;
    int32_t ids[N];
    SessionSpec spec = {.ctx = 128, .chunk = 64, .parallel = 1, .kv_type = DT_f16, .all_logits = true};
    for (int i = 0; i < N; i++) ids[i] = (int32_t)(i * i * 31 + i * 7) % (int32_t)m->cfg.vocab;
    OK(cpu_backend_open(&(BackendOptions){.threads = threads, .isa = isa}, &b, &e), e);
    OK(session_prepare(&s, m, b, &spec, &e) && session_reserve(&s, &e), e);
    int seq = cache_seq_open(s.cache, &e);
    for (int at = 0, n; at < N; at += n) {
        n = at < PROMPT ? MIN(piece, PROMPT - at) : 1;
        OK(session_eval(&s, seq, ids + at, (size_t)n, &e), e);
        for (int i = 0; i < n; i++)
            h = hash_bytes((float *)exec_data(&s.x, s.io.logits) + i * m->cfg.vocab,
                           (size_t)m->cfg.vocab * sizeof(float), h);
    }
    session_release(&s);
    b->close(b);
    return h;
}

static uint64_t file_hash(const char *path) {
    Model m;
    model_load(&m, path);
    uint64_t h = logits_hash(&m, 2, 64, NULL);
    model_release(&m);
    return h;
}

static void save_gguf(const char *name) {
    char dir[256];
    Err e = {0};
    snprintf(dir, sizeof dir, TEST_DATA "/%s", name);
    LlmwsModel *m = llmws_model_open(dir, NULL, &e);
    OK(m && llmws_model_save_gguf(m, GGUF, &e), e);
    llmws_model_close(m);
}

/* Older files have a tensor for each expert: "blk.0.ffn_gate_exps.weight" apart, as "blk.0.ffn_gate.<x>.weight". */
static void save_apart(const char *path) {
    TensorFile f;
    Err e = {0};
    open_file(GGUF, &f);
    OutTensor *out = mem_alloc(f.n * 4, sizeof *out);
    size_t n = 0;
    for (size_t i = 0; i < f.n; i++) {
        const Tensor *t = &f.tensors[i].t;
        const char *name = f.tensors[i].name.s, *end = strstr(name, "_exps.weight");
        OutTensor whole = {.name = name, .dtype = t->dtype, .ndim = t->ndim, .data = t->data};
        memcpy(whole.ne, t->ne, sizeof whole.ne);
        if (!end) out[n++] = whole;
        for (int64_t x = 0; end && x < t->ne[0]; x++)
            out[n++] = (OutTensor){.name = arena_printf(&f.arena, "%.*s.%d.weight", (int)(end - name), name, (int)x),
                                   .dtype = t->dtype,
                                   .ndim = 2,
                                   .ne = {t->ne[1], t->ne[2]},
                                   .data = tensor_place(t, x)};
    }
    OK(gguf_write(path, &f.meta, out, n, &e), e);
    free(out);
    f.close(&f);
}

static void forms(void **state) {
    (void)state;
    const char *names[] = {"mixtral", "qwen3_moe"}, *apart = TEST_TMP "/experts_apart.gguf";
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char dir[256];
        Model hf, gguf;
        snprintf(dir, sizeof dir, TEST_DATA "/%s", names[i]);
        save_gguf(names[i]);
        save_apart(apart);
        model_load(&hf, dir);
        model_load(&gguf, GGUF);
        assert_string_equal(gguf.arch->name, names[i]);
        assert_true(hf.params == gguf.params && hf.bytes == gguf.bytes && hf.n == gguf.n);
        if (hf.arch->tensors[2].gguf_transform == TRANSFORM_NONE) { /* the same bytes in the same order */
            assert_true(model_fingerprint(&hf) == model_fingerprint(&gguf));
            assert_true(logits_hash(&hf, 2, 64, NULL) == logits_hash(&gguf, 2, 64, NULL));
        }
        assert_true(file_hash(GGUF) == file_hash(apart));
        const Weight *w = model_part(&hf, PART_EXPERTS_DOWN, 1);
        assert_non_null(w->t.parts);
        assert_non_null(strstr(w->file_name, ".experts.*."));
        for (int64_t r = 0; r < tensor_rows(&w->t); r++)
            assert_memory_equal(tensor_row(&w->t, r), tensor_row(&model_part(&gguf, PART_EXPERTS_DOWN, 1)->t, r),
                                (size_t)dtype_row_bytes(w->t.dtype, w->t.ne[2]));
        model_release(&hf);
        model_release(&gguf);
    }
    remove(GGUF);
    remove(apart);
}

/* Quantised experts: the same bits with any number of threads, in any pieces, on any instruction set. */
static void quantised(void **state) {
    (void)state;
    const Dtype to[] = {DT_q8_0, DT_q4_0, DT_bf16};
    for (size_t i = 0; i < COUNT_OF(to); i++) {
        TensorFile f;
        Model m;
        open_file(TEST_DATA "/qwen3_moe", &f);
        cast_weights(&f, to[i]);
        open_model(&m, &f);
        assert_int_equal(model_part(&m, PART_EXPERTS_UP, 0)->t.dtype, to[i]);
        uint64_t want = logits_hash(&m, 1, 64, NULL);
        assert_true(logits_hash(&m, 2, 64, NULL) == want);
        assert_true(logits_hash(&m, 7, 13, NULL) == want);
        assert_true(logits_hash(&m, 2, 1, NULL) == want);
        if (to[i] != DT_bf16) assert_true(logits_hash(&m, 1, 64, "ref") == want);
        model_release(&m);
    }
}

/* ---- what is refused ---- */

static NamedTensor *tensor_of(TensorFile *f, const char *name) {
    int32_t i = strmap_get(&f->index, str_of(name));
    assert_true(i >= 0);
    return &f->tensors[i];
}

static void rename_tensor(TensorFile *f, const char *name, const char *now) {
    tensor_of(f, name)->name = str_of(now);
    f->index = (StrMap){0};
    for (size_t i = 0; i < f->n; i++) strmap_put(&f->index, &f->arena, f->tensors[i].name, (int32_t)i);
}

static void refused(TensorFile *f, const char *says) {
    Model m;
    Err e = {0};
    if (model_init(&m, f, (Log){0}, &e)) fail_msg("accepted, but '%s' was expected", says);
    if (e.code != ERR_INPUT || !strstr(e.msg, says)) fail_msg("'%s' does not say '%s'", e.msg, says);
}

#define UP_2 "model.layers.1.mlp.experts.2.up_proj.weight"

static void refusals(void **state) {
    (void)state;
    for (int wrong = 0; wrong < 4; wrong++) {
        TensorFile f;
        open_file(TEST_DATA "/qwen3_moe", &f);
        NamedTensor *t = tensor_of(&f, UP_2);
        switch (wrong) {
        case 0:
            rename_tensor(&f, UP_2, "model.layers.1.mlp.experts.2.other.weight");
            refused(&f, "tensor '" UP_2 "' is missing");
            break;
        case 1:
            t->t.dtype = DT_f16;
            refused(&f, "tensor '" UP_2 "' is f16, but that of the first expert is f32");
            break;
        case 2:
            t->t.ne[0]--;
            refused(&f, "tensor '" UP_2 "' is f32 [63,64], expected [64,64]");
            break;
        default: /* fewer than there are */
            ((Value *)(uintptr_t)value_get(&f.meta, "num_experts"))->i = 3;
            refused(&f, "mlp.gate.weight' is f32 [4,64], expected [3,64]");
            break;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms), cmocka_unit_test(quantised),
                                       cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
