#include "core/arch.h"

#include "core/op_params.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- finding the row ---- */

/* Whether the file has what this row alone reads. */
static bool gguf_says(const ArchRow *a, const TensorFile *f) {
    char key[128];
    int64_t n = 0;
    snprintf(key, sizeof key, "%s.%s", a->gguf, a->gguf_when);
    return value_as_int(value_get(&f->meta, key), key, &n, NULL) && n > 0;
}

static bool row_is(const ArchRow *a, const TensorFile *f, Str name) {
    if (f->format == STORE_GGUF) return a->gguf && str_is(name, a->gguf) && (!a->gguf_when || gguf_says(a, f));
    for (const char *const *m = a->hf_models; *m; m++)
        if (str_is(name, *m)) return true;
    return false;
}

const ArchRow *arch_find(const TensorFile *f, Err *e) {
    const char *key = f->format == STORE_GGUF ? "general.architecture" : "model_type";
    Str name = {0};
    if (!value_as_str(value_get(&f->meta, key), key, &name, e)) return err_prefix(e, "'%s'", f->path), NULL;
    if (!name.n) return err_set(e, ERR_INPUT, "'%s': '%s' is missing, so the family is unknown", f->path, key), NULL;
    const ArchRow *found = NULL;
    Buf known = {0};
    for (size_t i = 0; i < arch_count; i++) {
        const ArchRow *a = &arch_table[i];
        if (row_is(a, f, name) && (!found || a->gguf_when)) found = a;
        buf_printf(&known, "%s%s", i ? ", " : "", a->name);
    }
    if (found) return buf_release(&known), found;
    err_set(e, ERR_INPUT, "'%s': model family '%.*s' is not supported; supported: %s", f->path, STR_ARG(name), known.s);
    buf_release(&known);
    return NULL;
}

/* ---- reading the configuration ---- */

static const Value *key_value(const TensorFile *f, const ArchRow *a, const KeyRow *k) {
    if (f->format == STORE_HF) return k->hf ? value_path(&f->meta, k->hf) : NULL;
    if (!k->gguf) return NULL;
    char key[128];
    snprintf(key, sizeof key, "%s.%s", a->gguf, k->gguf);
    return value_get(&f->meta, key);
}

static bool must_hold(const KeyRow *k, const char *what, const Value *v, Err *e) {
    char have[64] = "a composite value";
    if (!v || v->kind == VALUE_NULL) return true;
    if (v->kind == VALUE_STR) snprintf(have, sizeof have, "%.*s", STR_ARG(v->s));
    if (v->kind == VALUE_BOOL) snprintf(have, sizeof have, "%s", v->b ? "true" : "false");
    if (v->kind == VALUE_INT) snprintf(have, sizeof have, "%lld", (long long)v->i);
    if (v->kind == VALUE_FLOAT) snprintf(have, sizeof have, "%g", v->f);
    if (strcmp(have, k->must) == 0) return true;
    return err_set(e, ERR_INPUT, "'%s' is %s, which would change the maths; only %s is supported", what, have, k->must);
}

static bool read_key(const KeyRow *k, const char *what, const Value *v, Config *c, Err *e) {
    void *field = (char *)c + k->field;
    if (k->required && (!v || v->kind == VALUE_NULL)) return err_set(e, ERR_INPUT, "'%s' is missing", what);
    switch (k->kind) {
    case KEY_INT:
        if (k->none && v && v->kind == VALUE_NULL) return *(int64_t *)field = 0, true;
        return value_as_int(v, what, field, e);
    case KEY_FLOAT:
        if (k->none && v && v->kind == VALUE_NULL) return *(double *)field = 0, true;
        return value_as_float(v, what, field, e);
    case KEY_BOOL: return value_as_bool(v, what, field, e);
    case KEY_LIST:
        if (!v || v->kind == VALUE_NULL) return true;
        if (v->kind != VALUE_ARRAY) return err_set(e, ERR_INPUT, "'%s' must be a list", what);
        return *(const Value **)field = v, true;
    case KEY_MUST_ALL:
        for (size_t i = 0; v && i < value_count(v); i++) {
            Value item = value_item(v, i);
            TRY(must_hold(k, what, &item, e));
        }
        return true;
    default: return must_hold(k, what, v, e);
    }
}

static bool check_list(const Value *list, const char *what, int64_t layers, Err *e) {
    if (!list || (int64_t)value_count(list) >= layers) return true;
    return err_set(e, ERR_INPUT, "'%s' lists %zu layers of %lld", what, value_count(list), (long long)layers);
}

static bool check_layers(const Config *c, Err *e) {
    TRY(check_list(c->kinds, "layer_types", c->layers, e) && check_list(c->rotated, "no_rope_layers", c->layers, e));
    for (size_t i = 0; c->kinds && i < (size_t)c->layers; i++) {
        Str kind = {0};
        Value v = value_item(c->kinds, i);
        TRY(value_as_str(&v, "layer_types", &kind, e));
        if (!str_is(kind, "full_attention") && !str_is(kind, "sliding_attention"))
            return err_set(e, ERR_INPUT, "'layer_types' has '%.*s'; supported: full_attention, sliding_attention",
                           STR_ARG(kind));
    }
    for (size_t i = 0; c->rotated && i < (size_t)c->layers; i++) {
        Value v = value_item(c->rotated, i);
        if (v.kind != VALUE_INT) return err_set(e, ERR_INPUT, "'no_rope_layers' must be a list of 0 and 1");
    }
    for (size_t i = 0; c->dense && i < value_count(c->dense); i++)
        if (value_item(c->dense, i).kind != VALUE_INT)
            return err_set(e, ERR_INPUT, "'mlp_only_layers' must be a list of layers");
    if (c->window < 0 || c->window > INT32_MAX || c->window_from < 0 || c->window_period < 0 || c->nope_period < 0)
        return err_set(e, ERR_INPUT, "a window of %lld from layer %lld is out of range", (long long)c->window,
                       (long long)c->window_from);
    return true;
}

static bool has_part(const ArchRow *a, Part part) {
    for (const TensorRow *r = a->tensors; r->hf; r++)
        if (r->part == part) return true;
    return false;
}

static bool check_experts(const ArchRow *a, const Config *c, Err *e) {
    if (!has_part(a, PART_ROUTER)) return true;
    if (c->experts < 1 || c->experts > MAX_EXPERTS || c->experts_used < 1 || c->experts_used > c->experts)
        return err_set(e, ERR_INPUT, "%lld of %lld experts are out of range", (long long)c->experts_used,
                       (long long)c->experts);
    return c->experts_period >= 0
               ? true
               : err_set(e, ERR_INPUT, "experts in every %lldth layer are out of range", (long long)c->experts_period);
}

static bool check_sizes(const Config *c, Err *e) {
    struct {
        const char *name;
        int64_t v;
    } rows[] = {{"layers", c->layers},     {"width", c->width},       {"heads", c->heads},
                {"kv heads", c->kv_heads}, {"head dim", c->head_dim}, {"ffn width", c->ffn},
                {"vocabulary", c->vocab},  {"context", c->ctx},       {"width of experts", c->expert_ffn}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].v < 1 || rows[i].v > INT32_MAX)
            return err_set(e, ERR_INPUT, "%s of %lld is out of range", rows[i].name, (long long)rows[i].v);
    if (c->heads % c->kv_heads)
        return err_set(e, ERR_INPUT, "%lld heads are no multiple of %lld kv heads", (long long)c->heads,
                       (long long)c->kv_heads);
    if (c->head_dim % 2) return err_set(e, ERR_INPUT, "head dim %lld is odd", (long long)c->head_dim);
    if (!((float)c->norm_eps > 0 && c->norm_eps < 1)) /* kernels have it in f32 */
        return err_set(e, ERR_INPUT, "norm epsilon %g is out of range", c->norm_eps);
    return true;
}

static bool read_config(const ArchRow *a, TensorFile *f, Config *c, Err *e) {
    *c = a->defaults;
    c->name = "";
    if (!c->ctx) c->ctx = 2048;
    for (const KeyRow *k = a->keys; k->hf || k->gguf; k++) {
        const char *what = f->format == STORE_HF ? k->hf : k->gguf;
        if (what) TRY(read_key(k, what, key_value(f, a, k), c, e));
    }
    const NamedTensor *embed =
        tensor_file_find(f, str_of(f->format == STORE_HF ? a->tensors[0].hf : a->tensors[0].gguf));
    if (f->format == STORE_GGUF) {
        Str name = {0};
        TRY(value_as_str(value_get(&f->meta, "general.name"), "general.name", &name, e));
        c->name = arena_strn(&f->arena, name.s, name.n);
        c->tied = !tensor_file_find(f, STR("output.weight"));
        if (embed && embed->t.ndim == 2) c->vocab = embed->t.ne[0];
    }
    if (!c->kv_heads) c->kv_heads = c->heads;
    if (!c->ffn) c->ffn = c->width <= INT32_MAX ? 4 * c->width : 0;
    if (!c->expert_ffn) c->expert_ffn = c->ffn;
    if (!c->head_dim && c->heads > 0) {
        if (c->width % c->heads)
            return err_set(e, ERR_INPUT, "width %lld is no multiple of %lld heads", (long long)c->width,
                           (long long)c->heads);
        c->head_dim = c->width / c->heads;
    }
    TRY(check_sizes(c, e) && check_layers(c, e) && check_experts(a, c, e));
    c->rope.dims = c->local.dims = c->head_dim;
    if (!(c->query_scalar >= 0 && c->attn_softcap >= 0 && c->logit_softcap >= 0 && c->local.theta >= 0))
        return err_set(e, ERR_INPUT, "a soft cap, scale of queries or local rope base is below 0");
    return f->format == STORE_HF ? hf_rope(f, a, c, &c->rope, e) : gguf_rope(f, a, c, &c->rope, e);
}

bool arch_config(const ArchRow *a, TensorFile *f, Config *c, Err *e) {
    return read_config(a, f, c, e) || err_prefix(e, "reading the configuration of '%s'", f->path);
}

/* Read beside the row's keys: by arch_find, the rope readers, and who asks for the ids that end an answer. */
static const char *const other_hf[] = {"model_type",
                                       "rope_theta",
                                       "rope_scaling",
                                       "rope_parameters",
                                       "partial_rotary_factor",
                                       "original_max_position_embeddings",
                                       "eos_token_id",
                                       NULL};
static const char *const other_gguf[] = {"rope.freq_base",
                                         "rope.dimension_count",
                                         "rope.scaling.type",
                                         "rope.scaling.factor",
                                         "rope.scaling.original_context_length",
                                         "rope.scaling.attn_factor",
                                         "rope.scaling.yarn_beta_fast",
                                         "rope.scaling.yarn_beta_slow",
                                         NULL};

static bool is_read(const ArchRow *a, StoreFormat format, Str key) {
    for (const char *const *o = format == STORE_HF ? other_hf : other_gguf; *o; o++)
        if (str_is(key, *o)) return true;
    for (const KeyRow *k = a->keys; k->hf || k->gguf; k++) {
        const char *name = format == STORE_HF ? k->hf : k->gguf;
        if (name && str_is(key, name)) return true;
    }
    return false;
}

void arch_unused(const ArchRow *a, const TensorFile *f, Buf *out) {
    size_t prefix =
        f->format == STORE_HF ? 0 : strlen(a->gguf) + 1; /* "llama."; other sections of GGUF are no settings */
    for (size_t i = 0; i < f->meta.object.n; i++) {
        Str key = f->meta.object.keys[i];
        if (prefix && (key.n <= prefix || memcmp(key.s, a->gguf, prefix - 1) || key.s[prefix - 1] != '.')) continue;
        key = (Str){key.s + prefix, key.n - prefix};
        if (!is_read(a, f->format, key)) buf_printf(out, "%s%.*s", out->n ? ", " : "", STR_ARG(key));
    }
}

int64_t arch_dim(const Config *c, DimName d) {
    switch (d) {
    case DIM_WIDTH: return c->width;
    case DIM_Q: return c->heads * c->head_dim;
    case DIM_KV: return c->kv_heads * c->head_dim;
    case DIM_HEAD: return c->head_dim;
    case DIM_QKV: return (c->heads + 2 * c->kv_heads) * c->head_dim;
    case DIM_FFN: return c->ffn;
    case DIM_FFN2: return 2 * c->ffn;
    case DIM_VOCAB: return c->vocab;
    case DIM_CTX: return c->ctx;
    case DIM_EXPERTS: return c->experts;
    case DIM_EXPERT_FFN: return c->expert_ffn;
    default: return 0;
    }
}

LayerConfig arch_layer(const Config *c, int64_t layer) {
    LayerConfig l = {.rotated = !c->nope_period || (layer + 1) % c->nope_period};
    bool windowed = c->windows && layer >= c->window_from && (!c->window_period || (layer + 1) % c->window_period);
    if (c->kinds) windowed = str_is(value_item(c->kinds, (size_t)layer).s, "sliding_attention");
    if (c->rotated) l.rotated = value_item(c->rotated, (size_t)layer).i != 0;
    if (windowed) l.window = c->window, l.local = c->local.theta > 0;
    l.experts = c->experts > 0 && (!c->experts_period || (layer + 1) % c->experts_period == 0);
    for (size_t i = 0; c->dense && i < value_count(c->dense); i++)
        l.experts = l.experts && value_item(c->dense, i).i != layer;
    return l;
}
