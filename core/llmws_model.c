/* Models: opening, what is inside, defaults of sampling, saving. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/export.h"
#include "core/llmws_objects.h"

int llmws_exit_status(int code) { return err_exit_status(code); }
const char *llmws_version(void) { return LLMWS_VERSION; }
void llmws_set_oom_hook(void (*hook)(size_t bytes)) { oom_set_hook(hook); }

static bool add_ends(LlmwsModel *m, const Value *v, const char *what, Err *e) {
    if (!v || v->kind == VALUE_NULL) return true;
    Value item = *v;
    size_t cursor = 0;
    bool list = v->kind == VALUE_ARRAY || v->kind == VALUE_BLOB;
    while (list ? value_next(v, &cursor, &item) : !cursor++) {
        int64_t id = -1;
        TRY(value_as_int(&item, what, &id, e));
        if (id < 0 || id >= m->m.cfg.vocab)
            return err_set(e, ERR_INPUT, "'%s' %lld is outside the vocabulary", what, (long long)id);
        if (m->n_ends < MAX_ENDS) m->ends[m->n_ends++] = (int32_t)id;
    }
    return true;
}

static bool read_ends(LlmwsModel *m, Err *e) {
    const Value *meta = &m->m.file.meta, *gen = &m->m.file.generation;
    if (m->m.file.format == STORE_HF)
        return add_ends(m, value_get(meta, "eos_token_id"), "eos_token_id", e) &&
               add_ends(m, value_get(gen, "eos_token_id"), "eos_token_id", e);
    const char *keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < COUNT_OF(keys); i++) TRY(add_ends(m, value_get(meta, keys[i]), keys[i], e));
    return true;
}

static void describe(LlmwsModel *m) {
    int count[DT_COUNT] = {0};
    Buf text = {0};
    for (size_t i = 0; i < m->m.n; i++) count[m->m.weights[i].t.dtype]++;
    for (int t = 0; t < DT_COUNT; t++)
        if (count[t]) buf_printf(&text, "%s%s %d", text.n ? ", " : "", dtype_info[t].name, count[t]);
    m->dtypes = arena_strn(&m->arena, text.s, text.n);
    m->rope = rope_text(&m->m.cfg.rope, &m->arena);
    buf_release(&text);
}

/* What the process holds already: its code, libraries, stacks. 0 where the system does not tell. */
static int64_t resident_bytes(void) {
    long total, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    if (fscanf(f, "%ld %ld", &total, &resident) != 2) resident = 0;
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

bool llmws_model_ready(LlmwsModel *m, Err *e) {
    if (!read_ends(m, e) || !sample_defaults_read(&m->defaults, &m->m.file, &m->m.log, e))
        return err_prefix(e, "'%s'", m->m.file.path);
    describe(m);
    m->packed = packed_new(&m->m);
    return true;
}

static bool model_open(LlmwsModel *m, const char *path, Log log, Err *e) {
    TensorFile file = {0};
    return tensor_file_open(path, &file, e) && model_init(&m->m, &file, log, e) && llmws_model_ready(m, e);
}

LlmwsModel *llmws_model_begin(void) {
    LlmwsModel *m = mem_alloc(1, sizeof *m);
    m->program_bytes = resident_bytes();
    return m;
}

LlmwsModel *llmws_model_open(const char *path, const LlmwsModelOptions *opt, LlmwsErr *e) {
    LlmwsModel *m = llmws_model_begin();
    Log log = opt ? (Log){opt->log, opt->log_ctx} : (Log){0};
    if (model_open(m, path, log, e)) return m;
    llmws_model_close(m);
    return NULL;
}

void llmws_model_close(LlmwsModel *m) {
    if (!m) return;
    llmws_tokenizer_close(m->tok); /* borrows from the file */
    token_tries_release(&m->tries);
    graph_release(&m->graph);
    free(m->modules.items);
    packed_free(m->packed);
    model_release(&m->m);
    arena_release(&m->arena);
    free(m);
}

LlmwsTokenizer *llmws_model_tokenizer(LlmwsModel *m, LlmwsErr *e) {
    if (m->tok) return m->tok;
    if (!m->m.file.n_files) return err_set(e, ERR_INPUT, "'%s' has no tokenizer", m->m.file.path), NULL;
    LlmwsTokenizer *t = mem_alloc(1, sizeof *t);
    bool ok = m->m.file.format == STORE_GGUF ? gguf_tok_spec(&m->m.file, &t->spec, e)
                                             : hf_tok_spec(m->m.file.path, &t->spec, e);
    if (!ok) return free(t), NULL;
    return m->tok = llmws_tokenizer_finish(t, m->m.file.path, e);
}

bool llmws_model_tie(LlmwsModel *m) { return model_tie(&m->m); }

bool llmws_token_ends(const LlmwsModel *m, int32_t id) {
    for (size_t i = 0; i < m->n_ends; i++)
        if (m->ends[i] == id) return true;
    return m->tok && m->tok->spec.eos == id;
}

void llmws_model_info(const LlmwsModel *m, LlmwsModelInfo *info) {
    const Config *c = &m->m.cfg;
    *info = (LlmwsModelInfo){.family = m->m.arch->name,
                             .name = c->name,
                             .format = m->m.file.format == STORE_GGUF ? "gguf" : "safetensors",
                             .dtypes = m->dtypes,
                             .rope = m->rope,
                             .params = m->m.params,
                             .bytes = m->m.bytes,
                             .layers = c->layers,
                             .width = c->width,
                             .heads = c->heads,
                             .kv_heads = c->kv_heads,
                             .head_dim = c->head_dim,
                             .ffn = c->ffn,
                             .vocab = c->vocab,
                             .ctx = c->ctx,
                             .experts = c->experts,
                             .experts_used = c->experts_used,
                             .expert_ffn = c->experts ? c->expert_ffn : 0,
                             .files = (int64_t)m->m.file.n_files,
                             .tied = c->tied};
    for (int64_t i = 0; i < c->layers; i++) {
        const int64_t window = arch_layer(c, i).window;
        if (window) info->window = window, info->windowed++;
    }
}

size_t llmws_tensor_count(const LlmwsModel *m) { return m->m.n; }

void llmws_tensor_info(const LlmwsModel *m, size_t i, LlmwsTensorInfo *info) {
    const Weight *w = &m->m.weights[i];
    *info = (LlmwsTensorInfo){
        .name = w->name, .file_name = w->file_name, .dtype = dtype_info[w->t.dtype].name, .ndim = w->t.ndim};
    memcpy(info->shape, w->t.ne, sizeof info->shape);
    tensor_bytes(w->t.dtype, w->t.ndim, w->t.ne, &info->bytes);
}

static bool row_finite(const Tensor *t, int64_t r, float *row, const char *name, Err *e) {
    const int64_t n = t->ne[t->ndim - 1];
    dtype_info[t->dtype].decode(tensor_row(t, r), row, n);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(row[i]))
            return err_set(e, ERR_CHECK, "weight '%s' holds %g at row %lld, column %lld", name, (double)row[i],
                           (long long)r, (long long)i);
    return true;
}

bool llmws_weights_finite(const LlmwsModel *m, LlmwsErr *e) {
    float *row = NULL;
    bool ok = true;
    for (size_t i = 0; ok && i < m->m.n; i++) {
        const Weight *w = &m->m.weights[i];
        const int64_t rows = tensor_rows(&w->t);
        row = mem_grow(row, (size_t)w->t.ne[w->t.ndim - 1], sizeof *row);
        for (int64_t r = 0; ok && r < rows; r++) ok = row_finite(&w->t, r, row, w->name, e);
    }
    free(row);
    return ok;
}

uint64_t llmws_model_fingerprint(const LlmwsModel *m) { return model_fingerprint(&m->m); }

size_t llmws_family_count(void) { return arch_count; }

void llmws_family_info(size_t i, LlmwsFamilyInfo *info) {
    const ArchRow *a = &arch_table[i];
    *info = (LlmwsFamilyInfo){a->name, a->hf_models, a->gguf, a->lora_targets};
}

/* Every value with a name, in graph order; a module's ".input" is another's output and not listed again. */
static void list_modules(LlmwsModel *m) {
    ModelGraph io;
    Graph *g = &m->graph;
    const BuildSpec spec = {1, 1, .keys = m->m.cfg.ctx, .visible = (const char *const[]){"**.scores", NULL}};
    if (g->n || !build_model(&m->m, &spec, g, &io, NULL)) return;
    for (int i = 0; i < g->n; i++) {
        if (g->nodes[i].kind == NODE_OP && g->nodes[i].name) name_list_add(&m->modules, g->nodes[i].name, i);
        for (int k = 0; k < g->aliases.n; k++) {
            const NameRef *a = &g->aliases.items[k];
            if (a->id == i && !str_ends(str_of(a->name), ".input")) name_list_add(&m->modules, a->name, i);
        }
    }
}

size_t llmws_module_count(LlmwsModel *m) {
    list_modules(m);
    return (size_t)m->modules.n;
}

void llmws_module_info(LlmwsModel *m, size_t i, LlmwsModuleInfo *info) {
    char shape[64];
    const NameRef *r = &m->modules.items[i];
    graph_shape_text(&m->graph, r->id, shape);
    *info = (LlmwsModuleInfo){.name = r->name, .op = op_info[m->graph.nodes[r->id].op].name};
    info->shape = arena_strn(&m->arena, shape, strlen(shape));
}

void llmws_sampling_defaults(const LlmwsModel *m, LlmwsSampling *s) { *s = m->defaults.s; }

const char *llmws_sampling_origin(const LlmwsModel *m, const char *name) {
    return sample_defaults_origin(&m->defaults, name);
}

const char *llmws_step_name(int step) { return sampler_step_name(step); }

bool llmws_sampling_order(LlmwsSampling *s, const char *list, LlmwsErr *e) {
    return sampler_order_parse(str_of(list), s, e);
}

/* The tensor a few rows at a time. */
static bool emit_rows(void *ctx, const OutTensor *t, Sink to, Err *e) {
    enum { ROWS = 64 };
    const ExportTensor *x = ctx;
    const int64_t rows = export_row_count(x);
    const size_t bytes = (size_t)dtype_row_bytes(t->dtype, t->ne[t->ndim - 1]);
    char *part = mem_alloc((size_t)MIN(rows, ROWS), bytes);
    bool ok = true;
    for (int64_t r = 0; ok && r < rows; r += ROWS) {
        int64_t n = MIN(rows - r, ROWS);
        export_rows(x, r, n, part);
        ok = to.write(to.ctx, part, (size_t)n * bytes, e);
    }
    free(part);
    return ok;
}

bool llmws_model_save_gguf(const LlmwsModel *m, const char *path, LlmwsErr *e) {
    Export x;
    bool ok = export_gguf(&m->m, &x, e);
    OutTensor *out = mem_alloc(x.n + 1, sizeof *out);
    for (size_t i = 0; ok && i < x.n; i++) {
        ExportTensor *t = &x.tensors[i];
        out[i] = (OutTensor){.name = t->name, .dtype = t->dtype, .ndim = t->ndim, .emit = emit_rows, .ctx = t};
        memcpy(out[i].ne, t->ne, sizeof out[i].ne);
    }
    ok = ok && gguf_write(path, &x.meta, out, x.n, e);
    free(out);
    arena_release(&x.arena);
    return ok;
}

bool llmws_save_arrays(const char *path, const LlmwsArray *arrays, size_t n, LlmwsErr *e) {
    OutTensor *out = mem_alloc(n + 1, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        out[i] = (OutTensor){.name = arrays[i].name, .dtype = DT_f32, .ndim = arrays[i].ndim, .data = arrays[i].data};
        memcpy(out[i].ne, arrays[i].dims, sizeof out[i].ne);
    }
    bool ok = safetensors_write(path, NULL, out, n, e);
    free(out);
    return ok;
}
