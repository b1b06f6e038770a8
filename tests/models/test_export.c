/* There and back: a Hugging Face directory as GGUF and as a directory again, and GGUF files that llmws did not write.
 */
#include "oracle.h"

static const char *const names[] = {
    "llama2",  "llama3", "mixtral",    "qwen3_moe", "qwen3_moe_mixed", "mistral", "mistral_nemo", "qwen2", "qwen3",
    "smollm3", "phi3",   "qwen2_yarn", "phi2",      "phi3_longrope",   "gemma2",  "gemma3",       "gpt2"};

/* ---- helpers ---- */

static bool same_value(const Value *a, const Value *b) {
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case VALUE_NULL: return true;
    case VALUE_BOOL: return a->b == b->b;
    case VALUE_INT: return a->i == b->i;
    case VALUE_FLOAT: return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case VALUE_STR: return str_eq(a->s, b->s);
    case VALUE_ARRAY:
        for (size_t i = 0; a->array.n == b->array.n && i < a->array.n; i++)
            if (!same_value(&a->array.items[i], &b->array.items[i])) return false;
        return a->array.n == b->array.n;
    case VALUE_OBJECT:
        for (size_t i = 0; a->object.n == b->object.n && i < a->object.n; i++)
            if (!str_eq(a->object.keys[i], b->object.keys[i]) || !same_value(&a->object.items[i], &b->object.items[i]))
                return false;
        return a->object.n == b->object.n;
    default: return false;
    }
}

/* Writes what the model is as GGUF; `plain`: as another program would, without llmws.config. */
static void save(const Model *m, const char *path, bool plain) {
    Export x;
    Err e = {0};
    OK(export_gguf(m, &x, &e), e);
    OutTensor *out = oracle_outputs(&x);
    for (size_t i = 0; plain && i < x.meta.object.n; i++)
        if (str_is(x.meta.object.keys[i], "llmws.config")) x.meta.object.keys[i] = STR("general.note");
    OK(gguf_write(path, &x.meta, out, x.n, &e), e);
    arena_release(&x.arena);
}

/* Every tensor of the directory is there again, bit by bit; Gemma's norms, of which GGUF has 1 + w, within 2^-23. */
static void check_tensors(const Model *hf, const Model *back) {
    Export x;
    TensorFile original; /* some models read theirs once only */
    Err e = {0};
    OK(tensor_file_open(hf->file.path, &original, &e), e);
    OK(export_hf(back, &x, &e), e);
    for (size_t i = 0; i < x.n; i++) {
        const ExportTensor *t = &x.tensors[i];
        const NamedTensor *want = tensor_file_find(&original, str_of(t->name));
        size_t prefix = hf->arch->hf_prefix ? strlen(hf->arch->hf_prefix) : 0; /* that the hub's gpt2 leaves out */
        if (!want) want = tensor_file_find(&original, str_of(t->name + prefix));
        if (!want) fail_msg("no tensor '%s' in the directory", t->name);
        assert_int_equal(t->ndim, want->t.ndim);
        assert_memory_equal(t->ne, want->t.ne, (size_t)t->ndim * sizeof *t->ne);
        int64_t rows = export_row_count(t), columns = t->ne[t->ndim - 1];
        float *got = mem_alloc((size_t)(2 * columns), sizeof *got), *was = got + columns;
        for (int64_t r = 0; r < rows; r++) {
            export_rows_f32(t, r, 1, got);
            dtype_info[want->t.dtype].decode(tensor_row(&want->t, r), was, columns);
            for (int64_t c = 0; c < columns; c++) {
                float bound = t->w->row->gguf_transform == TRANSFORM_PLUS_ONE ? 0x1p-23f : 0;
                if (!(fabsf(got[c] - was[c]) <= bound))
                    fail_msg("'%s' [%lld, %lld]: %g was %g", t->name, (long long)r, (long long)c, (double)got[c],
                             (double)was[c]);
            }
        }
        free(got);
    }
    arena_release(&x.arena);
    original.close(&original);
}

/* ---- tests ---- */

static void there_and_back(void **state) {
    const char *name = *state;
    char dir[256], path[256];
    Model hf, back;
    Export x;
    Err e = {0};
    snprintf(dir, sizeof dir, TEST_DATA "/%s", name);
    snprintf(path, sizeof path, TEST_TMP "/%s.back.gguf", name);
    model_load(&hf, dir);
    save(&hf, path, false);
    model_load(&back, path);
    assert_ptr_equal(back.arch, hf.arch);
    OK(arch_same(&hf.cfg, &back.cfg, &e), e);
    check_tensors(&hf, &back);
    OK(export_hf(&back, &x, &e), e);
    if (!same_value(&x.meta, &hf.file.meta)) {
        Buf text = {0};
        json_put_value(&text, &x.meta, 0);
        fail_msg("%s: config.json came back as %s", name, text.s);
    }
    arena_release(&x.arena);
    model_release(&back);
    model_release(&hf);
    remove(path);
}

/* As llama.cpp's converter writes it, without what only llmws says. What the family's readers know by themselves is
 * right, and a config.json is made that says the same model; `lost` is what no key of GGUF has. */
static const struct {
    const char *name, *lost;
} losses[] = {{"qwen2_yarn", "the window or the rotary positions of layer 1 differ"},
              {"gemma2", "scale of queries: 20 is not 32"},
              {"gemma3", "scale of queries: 20 is not 32"}};

static void from_others(void **state) {
    const char *name = *state, *lost = NULL;
    char dir[256], path[256];
    Model hf, plain;
    Export x;
    Config c;
    Err e = {0};
    snprintf(dir, sizeof dir, TEST_DATA "/%s", name);
    snprintf(path, sizeof path, TEST_TMP "/%s.plain.gguf", name);
    if (strcmp(name, "qwen3_moe_mixed") == 0) skip(); /* GGUF alone knows no layers without experts in that family */
    model_load(&hf, dir);
    save(&hf, path, true);
    model_load(&plain, path);
    for (size_t i = 0; i < COUNT_OF(losses); i++)
        if (strcmp(losses[i].name, name) == 0) lost = losses[i].lost;
    if (arch_same(&hf.cfg, &plain.cfg, &e) != !lost || (lost && strcmp(lost, e.msg) != 0))
        fail_msg("%s: '%s', expected '%s'", name, e.msg, lost ? lost : "nothing lost");
    check_tensors(&hf, &plain);
    OK(export_hf(&plain, &x, &e), e);
    TensorFile again = {.format = STORE_HF, .path = "again", .meta = x.meta};
    const ArchRow *a = arch_find(&again, &e);
    if (!a || !arch_config(a, &again, &c, &e) || !arch_same(&plain.cfg, &c, &e)) fail_msg("%s", e.msg);
    arena_release(&again.arena);
    arena_release(&x.arena);
    model_release(&plain);
    model_release(&hf);
    remove(path);
}

/* Llama 3's rule is in GGUF only as the factors it gives; the published ones are known again, others become lists. */
static void rule_of_llama3(void **state) {
    (void)state;
    for (int published = 0; published < 2; published++) {
        Model m, plain;
        Export x;
        Str kind = {0};
        Err e = {0};
        double factor = 0;
        model_load(&m, TEST_DATA "/llama3");
        m.cfg.rope.original_ctx = published ? 8192 : 100;
        save(&m, TEST_TMP "/rule.gguf", true);
        model_load(&plain, TEST_TMP "/rule.gguf");
        OK(export_hf(&plain, &x, &e), e);
        OK(value_as_str(value_path(&x.meta, "rope_scaling.rope_type"), "", &kind, &e), e);
        OK(value_as_float(value_path(&x.meta, "rope_scaling.factor"), "", &factor, &e), e);
        assert_true(str_is(kind, published ? "llama3" : "longrope"));
        assert_true(factor == (published ? m.cfg.rope.factor : 0));
        arena_release(&x.arena);
        model_release(&plain);
        model_release(&m);
    }
    remove(TEST_TMP "/rule.gguf");
}

/* q, k and v of phi2 as one tensor, as llama.cpp's converter wrote them at first. */
static void fused(void **state) {
    (void)state;
    Model hf, back;
    Export x;
    Err e = {0};
    model_load(&hf, TEST_DATA "/phi2");
    OK(export_gguf(&hf, &x, &e), e);
    OutTensor *out = ARENA_NEW(&x.arena, OutTensor, x.n);
    size_t n = 0;
    for (size_t i = 0; i < x.n; i++) {
        const ExportTensor *t = &x.tensors[i];
        bool q = strstr(t->name, "attn_q.") != NULL, kv = strstr(t->name, "attn_k.") || strstr(t->name, "attn_v.");
        int64_t bytes;
        assert_true(tensor_bytes(t->dtype, t->ndim, t->ne, &bytes));
        if (kv) continue; /* they follow q, weights and biases each in the order of the row */
        char *data = arena_alloc(&x.arena, (size_t)bytes, 3);
        out[n] = (OutTensor){.name = t->name, .dtype = t->dtype, .ndim = t->ndim, .data = data};
        memcpy(out[n].ne, t->ne, sizeof out[n].ne);
        for (size_t part = 0; part < (q ? 3 : 1); part++)
            export_rows(t + part, 0, export_row_count(t), data + part * (size_t)bytes);
        if (q) {
            const char *name = strstr(t->name, "attn_q.");
            out[n].name = arena_printf(&x.arena, "%.*sattn_qkv.%s", (int)(name - t->name), t->name, name + 7);
            out[n].ne[0] *= 3;
        }
        n++;
    }
    OK(gguf_write(TEST_TMP "/fused.gguf", &x.meta, out, n, &e), e);
    arena_release(&x.arena);
    model_load(&back, TEST_TMP "/fused.gguf");
    check_tensors(&hf, &back);
    model_release(&back);
    model_release(&hf);
    remove(TEST_TMP "/fused.gguf");
}

/* The same bits from a part of the rows as from all of them, as stored and as f32. */
static void rows_in_parts(void **state) {
    (void)state;
    Model m;
    TensorFile file;
    Export x;
    Err e = {0};
    model_load(&m, TEST_DATA "/gpt2");
    OK(safetensors_open(TEST_DATA "/gpt2/model.safetensors", &file, &e), e);
    OK(export_hf(&m, &x, &e), e);
    for (size_t i = 0; i < x.n; i++) {
        const ExportTensor *t = &x.tensors[i];
        const NamedTensor *want = tensor_file_find(&file, str_of(t->name));
        int64_t rows = export_row_count(t), columns = t->ne[t->ndim - 1], first = rows / 3, n = div_up(rows, 2);
        float *part = mem_alloc((size_t)(n * columns), sizeof *part);
        assert_int_equal(t->dtype, want->t.dtype);
        export_rows(t, first, n, part);
        assert_memory_equal(part, (const float *)want->t.data + first * columns, (size_t)(n * columns) * sizeof *part);
        free(part);
    }
    arena_release(&x.arena);
    file.close(&file);
    model_release(&m);
}

int main(void) {
    enum { N = 2 * COUNT_OF(names) };
    struct CMUnitTest tests[N + 3] = {
        [N] = cmocka_unit_test(rows_in_parts), cmocka_unit_test(rule_of_llama3), cmocka_unit_test(fused)};
    for (size_t i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){names[i / 2], i % 2 ? from_others : there_and_back, NULL, NULL,
                                       (void *)(uintptr_t)names[i / 2]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
