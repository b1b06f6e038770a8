/* New models: a family, settings and a tokenizer become a Hugging Face directory with random weights. */
#include <stdio.h>
#include <stdlib.h>

#include "core/init.h"
#include "core/llmws_save.h"
#include "core/llmws_tok_data.h"
#include "formats/beside.h"
#include "formats/dirs.h"
#include "formats/hf_tok.h"
#include "formats/json.h"

static const char model_type[] = "model_type";

/* ---- settings ---- */

static bool read_settings(LlmwsModel *m, const LlmwsNewModel *how, Value *given, const ArchRow **arch, Err *e) {
    char word[WORD_MAX + 1];
    const char *name = how->family;
    *given = (Value){.kind = VALUE_OBJECT};
    if (how->config) TRY(json_parse(str_of(how->config), "the settings of a new model", &m->arena, given, e));
    if (given->kind != VALUE_OBJECT) return err_set(e, ERR_USAGE, "the settings of a new model must be a JSON object");
    const Value *type = value_get(given, model_type);
    if (!name && type && type->kind == VALUE_STR) {
        snprintf(word, sizeof word, "%.*s", (int)MIN(type->s.n, (size_t)WORD_MAX), type->s.s);
        name = word;
    }
    if (!name) return err_set(e, ERR_USAGE, "a new model needs a family, or settings with a 'model_type'");
    *arch = arch_named(name, e);
    return *arch != NULL;
}

/* Null where there is none: else it would be what transformers gives the family. */
static void put_id(Arena *a, Value *given, const char *key, int32_t id) {
    if (!value_get(given, key)) value_put(a, given, str_of(key), id >= 0 ? value_int(id) : (Value){.kind = VALUE_NULL});
}

static void put_ids(Arena *a, Value *given, const TokSpec *spec, int32_t turn_end) {
    put_id(a, given, "bos_token_id", spec->bos);
    if (turn_end >= 0 && !value_get(given, "eos_token_id")) {
        Value ends = {.kind = VALUE_ARRAY, .array = {ARENA_NEW(a, Value, 2), 2}};
        ends.array.items[0] = value_int(spec->eos);
        ends.array.items[1] = value_int(turn_end);
        value_put(a, given, STR("eos_token_id"), ends);
    }
    put_id(a, given, "eos_token_id", spec->eos);
    put_id(a, given, "pad_token_id", spec->pad);
}

/* ---- the tokenizer ---- */

/* None where neither an old one nor data are named: then there is a plan and nothing else. */
static bool has_tokenizer(const LlmwsNewModel *how) { return how->tokenizer || how->n_data; }

static LlmwsTokenizer *make_tokenizer(const LlmwsNewModel *how, const Log *log, int32_t *turn_end, Err *e) {
    *turn_end = -1;
    if (how->tokenizer) return llmws_tokenizer_open(how->tokenizer, e);
    if (!how->train_tokenizer)
        return err_set(e, ERR_USAGE, "a new model needs a tokenizer: that of another one, or one that is trained"),
               NULL;
    LlmwsTokenizer *t = mem_alloc(1, sizeof *t);
    if (tok_from_data(how, log, &t->spec, turn_end, e)) return llmws_tokenizer_finish(t, "the data", e);
    free(t);
    return NULL;
}

static const char tokenizer_names[][16] = {"tokenizer.json", "tokenizer.model", "tekken.json"};

/* The directory whose files make the tokenizer; NULL: it is one file of another name, or none. */
static const char *tokenizer_dir(const char *path, Arena *a) {
    if (!path || path_is_dir(path)) return path;
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    for (size_t i = 0; i < COUNT_OF(tokenizer_names); i++)
        if (strcmp(base, tokenizer_names[i]) == 0) return dir_of(a, path);
    return NULL;
}

/* Files as they are where there are some, the others from what was read of them. */
static bool write_tokenizer(LlmwsModel *m, const LlmwsNewModel *how, const char *dir, Err *e) {
    TokSpec *spec = &m->tok->spec;
    const char *from = tokenizer_dir(how->tokenizer, &m->arena);
    if (from) TRY(dir_copy_tokenizer(from, dir, e));
    if (from && spec->symbols == SYM_BYTES) return true; /* tekken.json is all that there is */
    return beside_tokenizer(spec, m->m.cfg.ctx, dir, e);
}

static bool write_generation(const LlmwsModel *m, const char *dir, Err *e) {
    Arena a = {0};
    const TokSpec *spec = &m->tok->spec;
    const struct {
        const char *key;
        int32_t id;
    } ids[] = {{"bos_token_id", spec->bos}, {"eos_token_id", spec->eos}, {"pad_token_id", spec->pad}};
    Value g = {.kind = VALUE_OBJECT};
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        if (ids[i].id >= 0) value_put(&a, &g, str_of(ids[i].key), value_int(ids[i].id));
    if (m->n_ends > 1) {
        Value ends = {.kind = VALUE_ARRAY, .array = {ARENA_NEW(&a, Value, m->n_ends), m->n_ends}};
        for (size_t i = 0; i < m->n_ends; i++) ends.array.items[i] = value_int(m->ends[i]);
        value_put(&a, &g, STR("eos_token_id"), ends);
    }
    bool ok = beside_json(dir, "generation_config.json", &g, e);
    arena_release(&a);
    return ok;
}

/* ---- the model ---- */

static bool make_model(LlmwsModel *m, const LlmwsNewModel *how, Log log, Err *e) {
    const ArchRow *arch = NULL;
    Value given;
    int32_t turn_end;
    InitDefaults d = {.vocab = how->train_tokenizer, .ctx = how->ctx ? how->ctx : 2048, .tied = how->tied};
    if (how->tokenizer && how->train_tokenizer)
        return err_set(e, ERR_USAGE, "a new model has one tokenizer: an old one, or one that is trained");
    TRY(read_settings(m, how, &given, &arch, e));
    if (has_tokenizer(how)) {
        m->tok = make_tokenizer(how, &log, &turn_end, e);
        if (!m->tok) return false;
        put_ids(&m->arena, &given, &m->tok->spec, turn_end);
        d.vocab = m->tok->spec.n_vocab;
    }
    TRY(init_model(&m->m, arch, &given, &d, log, e) && llmws_model_ready(m, e));
    if (m->tok && m->tok->spec.eos < 0)
        log_put(&log, LOG_WARN, "the tokenizer has no token that ends a text: the model will not learn to end one");
    return true;
}

LlmwsModel *llmws_model_new(const LlmwsNewModel *how, const LlmwsModelOptions *opt, LlmwsErr *e) {
    LlmwsModel *m = llmws_model_begin();
    if (make_model(m, how, opt ? (Log){opt->log, opt->log_ctx} : (Log){0}, e)) return m;
    llmws_model_close(m);
    return NULL;
}

typedef struct Drawn { /* a tensor of the directory */
    InitRule rule;
    uint64_t seed;
} Drawn;

static bool emit_drawn(void *ctx, const OutTensor *t, Sink to, Err *e) {
    enum { PART = 1 << 16 };
    const Drawn *d = ctx;
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++) n *= t->ne[i];
    float *part = mem_alloc((size_t)MIN(n, PART), sizeof *part);
    bool ok = true;
    for (int64_t at = 0; ok && at < n; at += PART) {
        const int64_t k = MIN(n - at, PART);
        init_values(d->rule, d->seed, t->name, at, k, part);
        ok = to.write(to.ctx, part, (size_t)k * sizeof *part, e);
    }
    free(part);
    return ok;
}

static bool write_weights(const LlmwsModel *m, uint64_t seed, const char *dir, Err *e) {
    Export x;
    bool ok = export_hf(&m->m, &x, e) && export_hf_config(&m->m, &x, e);
    OutTensor *out = mem_alloc(x.n + 1, sizeof *out);
    Drawn *drawn = mem_alloc(x.n + 1, sizeof *drawn);
    for (size_t i = 0; ok && i < x.n; i++) {
        const ExportTensor *t = &x.tensors[i];
        drawn[i] = (Drawn){init_rule(&m->m, t->w->row), seed};
        out[i] = (OutTensor){.name = t->name, .dtype = DT_f32, .ndim = t->ndim, .emit = emit_drawn, .ctx = &drawn[i]};
        memcpy(out[i].ne, t->ne, sizeof out[i].ne);
    }
    if (ok) export_hf_dtype(&x, DT_f32);
    ok = ok && safetensors_write_dir(dir, 0, out, x.n, e) && beside_json(dir, "config.json", &x.meta, e);
    free(out);
    free(drawn);
    arena_release(&x.arena);
    return ok;
}

bool llmws_model_create(LlmwsModel *m, const LlmwsNewModel *how, const char *dir, LlmwsErr *e) {
    Arena a = {0};
    const char *stage = NULL;
    if (!m->tok) return err_set(e, ERR_USAGE, "cannot make '%s': a new model needs a tokenizer", dir);
    const bool ok = dir_begin(dir, &a, &stage, e) &&
                    dir_commit(write_weights(m, how->seed, stage, e) && write_tokenizer(m, how, stage, e) &&
                                   write_generation(m, stage, e),
                               stage, dir, e);
    arena_release(&a);
    return ok;
}
