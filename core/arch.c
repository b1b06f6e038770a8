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

static bool has_model(const ArchRow *a, Str name) {
    for (const char *const *m = a->hf_models; *m; m++)
        if (str_is(name, *m)) return true;
    return false;
}

static bool row_is(const ArchRow *a, const TensorFile *f, Str name) {
    if (f->format == STORE_HF) return has_model(a, name);
    return a->gguf && str_is(name, a->gguf) && (!a->gguf_when || gguf_says(a, f));
}

const Value *arch_hf_config(const TensorFile *f) {
    const Value *v = f->format == STORE_HF ? &f->meta : value_get(&f->meta, "llmws.config");
    return v && v->kind == VALUE_OBJECT ? v : NULL;
}

/* Of the rows that share a name in GGUF the one of the model_type that the file keeps, else the first. */
static bool row_fits(const ArchRow *a, const TensorFile *f) {
    const Value *type = f->format == STORE_GGUF ? value_get(arch_hf_config(f), "model_type") : NULL;
    return !type || type->kind != VALUE_STR || has_model(a, type->s);
}

/* Kin is named alike from the beginning; else about a third of the letters may be wrong. */
const char *arch_nearest(const char *word, const char *const *names, size_t n) {
    const char *best = NULL;
    size_t most = 0, least = strlen(word) / 3 + 2;
    for (size_t i = 0; i < n; i++) {
        size_t common = 0, d = edit_distance(word, names[i]);
        while (word[common] && word[common] == names[i][common]) common++;
        if (common < 3) common = 0;
        if (common > most || (common == most && d < least)) best = names[i], most = common, least = d;
    }
    return best;
}

static const ArchRow *unknown(const TensorFile *f, Str name, Err *e) {
    char word[WORD_MAX + 1];
    const char *names[64];
    size_t n = 0;
    Buf known = {0};
    snprintf(word, sizeof word, "%.*s", (int)MIN(name.n, (size_t)WORD_MAX), name.s);
    for (size_t i = 0; i < arch_count; i++) {
        const ArchRow *a = &arch_table[i];
        buf_printf(&known, "%s%s", i ? ", " : "", a->name);
        if (n < COUNT_OF(names)) names[n++] = a->name;
    }
    const char *near = arch_nearest(word, names, n);
    err_set(e, ERR_INPUT, "'%s': model family '%s' is not supported; %s%s%ssupported: %s", f->path, word,
            near ? "nearest: " : "", near ? near : "", near ? "; " : "", known.s);
    buf_release(&known);
    return NULL;
}

const ArchRow *arch_find(const TensorFile *f, Err *e) {
    const char *key = f->format == STORE_GGUF ? "general.architecture" : "model_type";
    const ArchRow *found = NULL;
    Str name = {0};
    if (!value_as_str(value_get(&f->meta, key), key, &name, e)) return err_prefix(e, "'%s'", f->path), NULL;
    if (!name.n) return err_set(e, ERR_INPUT, "'%s': '%s' is missing, so the family is unknown", f->path, key), NULL;
    for (const ArchRow *a = arch_table; a < arch_table + arch_count; a++)
        if (row_is(a, f, name) && (!found || a->gguf_when || (!row_fits(found, f) && row_fits(a, f)))) found = a;
    return found ? found : unknown(f, name, e);
}

const ArchRow *arch_named(const char *name, Err *e) {
    for (const ArchRow *a = arch_table; a < arch_table + arch_count; a++)
        if (strcmp(a->name, name) == 0) return a;
    Arena a = {0};
    TensorFile f = {.format = STORE_HF, .path = "a new model", .meta = {.kind = VALUE_OBJECT}};
    value_put(&a, &f.meta, STR("model_type"), value_str(str_of(name)));
    const ArchRow *found = arch_find(&f, e);
    arena_release(&a);
    return found;
}

/* ---- reading the configuration ---- */

static const Value *key_value(const TensorFile *f, const ArchRow *a, const KeyRow *k) {
    const Value *v = NULL;
    char key[128];
    if (f->format == STORE_GGUF && k->gguf) {
        snprintf(key, sizeof key, "%s.%s", a->gguf, k->gguf);
        v = value_get(&f->meta, key);
    }
    return v || !k->hf ? v : value_path(arch_hf_config(f), k->hf);
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

/* Weights that another program quantised: what of GGUF has as many bits. */
static bool unknown_scheme(const char *what, const Value *v, Err *e) {
    static const char *const kin[][2] = {{"gptq", "q4_0"},
                                         {"awq", "q4_1"},
                                         {"bitsandbytes", "iq4_nl"},
                                         {"mxfp4", "iq4_nl"},
                                         {"hqq", "q4_1"},
                                         {"fp8", "q8_0"},
                                         {"fbgemm_fp8", "q8_0"},
                                         {"eetq", "q8_0"},
                                         {"quanto", "q8_0"},
                                         {"compressed-tensors", "q8_0"}};
    char word[WORD_MAX + 1];
    const char *names[COUNT_OF(kin)], *near = "q8_0";
    Str name = STR("?");
    TRY(value_as_str(value_get(v, "quant_method"), "quant_method", &name, e));
    snprintf(word, sizeof word, "%.*s", (int)MIN(name.n, (size_t)WORD_MAX), name.s);
    for (size_t i = 0; i < COUNT_OF(kin); i++) names[i] = kin[i][0];
    const char *method = arch_nearest(word, names, COUNT_OF(names));
    for (size_t i = 0; i < COUNT_OF(kin); i++)
        if (method == kin[i][0]) near = kin[i][1];
    return err_set(e, ERR_INPUT,
                   "'%s' says that the weights are quantised by '%s', which is not supported; nearest: the same model "
                   "as GGUF in %s",
                   what, word, near);
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
    case KEY_PATTERN:
        if (!v || (v->kind != VALUE_ARRAY && v->kind != VALUE_BLOB)) return value_as_int(v, what, &c->window_period, e);
        return c->windowed = v, true;
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
    case KEY_SCHEME: return !v || v->kind == VALUE_NULL || unknown_scheme(what, v, e);
    default: return must_hold(k, what, v, e);
    }
}

static bool check_list(const Value *list, const char *what, int64_t layers, Err *e) {
    if (!list || (int64_t)value_count(list) >= layers) return true;
    return err_set(e, ERR_INPUT, "'%s' lists %zu layers of %lld", what, value_count(list), (long long)layers);
}

static bool check_layers(const Config *c, Err *e) {
    TRY(check_list(c->kinds, "layer_types", c->layers, e) && check_list(c->rotated, "no_rope_layers", c->layers, e) &&
        check_list(c->windowed, "sliding_window_pattern", c->layers, e));
    for (size_t i = 0; c->windowed && i < (size_t)c->layers; i++)
        if (value_item(c->windowed, i).kind != VALUE_BOOL)
            return err_set(e, ERR_INPUT, "'sliding_window_pattern' must be a number or a list of true and false");
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

bool arch_has_part(const ArchRow *a, Part part) {
    for (const TensorRow *r = a->tensors; r->hf; r++)
        if (r->part == part) return true;
    return false;
}

static bool check_experts(const ArchRow *a, const Config *c, Err *e) {
    if (!arch_has_part(a, PART_ROUTER)) return true;
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

/* What GGUF's readers take for granted is not what transformers does. */
static void gguf_defaults(const ArchRow *a, Config *c) {
    c->head_dim = c->kv_heads = 0;
    c->query_scalar = 0;
    c->window = a->gguf_window;
    c->rope.theta = 10000;
}

/* GGUF's readers know by the number of layers what the scores are divided by. */
static void gguf_scale(const ArchRow *a, const TensorFile *f, Config *c) {
    if (a->wide_scale && c->layers == a->wide_scale && !arch_hf_config(f))
        c->query_scalar = (double)(c->width / c->heads);
}

static bool read_rope(const ArchRow *a, TensorFile *f, Config *c, Err *e) {
    const Value *config = arch_hf_config(f);
    RopeConfig own = a->defaults.rope;
    own.dims = c->rope.dims = c->local.dims = c->head_dim;
    if (f->format == STORE_HF) return hf_rope(&f->meta, &f->arena, a, c, &c->rope, e);
    const Value *scaling = value_get(config, "rope_parameters");
    if (!scaling || scaling->kind != VALUE_OBJECT) scaling = value_get(config, "rope_scaling");
    const Value *truncate = value_get(scaling, "truncate");
    c->rope.fractional = truncate && truncate->kind == VALUE_BOOL && !truncate->b;
    TRY(gguf_rope(f, a, c, &c->rope, e));
    /* GGUF rounds what config.json says: where they agree, it is exact */
    if (config && hf_rope(config, &f->arena, a, c, &own, NULL) && rope_same(&own, &c->rope)) c->rope = own;
    return true;
}

static bool read_config(const ArchRow *a, TensorFile *f, Config *c, Err *e) {
    *c = a->defaults;
    c->name = "";
    if (!c->ctx) c->ctx = 2048;
    if (f->format == STORE_GGUF) gguf_defaults(a, c);
    for (const KeyRow *k = a->keys; k->hf || k->gguf; k++) {
        const char *what = (f->format == STORE_GGUF && k->gguf) || !k->hf ? k->gguf : k->hf;
        const Value *v = key_value(f, a, k);
        if (v || k->gguf || f->format == STORE_HF) TRY(read_key(k, what, v, c, e)); /* GGUF may not be able to say it */
    }
    const NamedTensor *embed =
        tensor_file_find(f, str_of(f->format == STORE_HF ? a->tensors[0].hf : a->tensors[0].gguf));
    if (f->format == STORE_GGUF) {
        Str name = {0};
        TRY(value_as_str(value_get(&f->meta, "general.name"), "general.name", &name, e));
        c->name = arena_strn(&f->arena, name.s, name.n);
        c->tied = !tensor_file_find(f, STR("output.weight"));
        c->windows = c->windows && c->window > 0;
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
    if (f->format == STORE_GGUF) gguf_scale(a, f, c);
    if (!(c->query_scalar >= 0 && c->attn_softcap >= 0 && c->logit_softcap >= 0 && c->local.theta >= 0))
        return err_set(e, ERR_INPUT, "a soft cap, scale of queries or local rope base is below 0");
    return read_rope(a, f, c, e);
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

bool arch_reads(const ArchRow *a, StoreFormat format, Str key) {
    for (const char *const *o = format == STORE_HF ? other_hf : other_gguf; *o; o++)
        if (str_is(key, *o)) return true;
    for (const KeyRow *k = a->keys; k->hf || k->gguf; k++) {
        const char *name = format == STORE_HF ? k->hf : k->gguf;
        if (name && str_is(key, name)) return true;
    }
    return false;
}

/* What nearly every config.json has and no forward pass or training here looks at. */
static bool is_usual(Str key, const Value *v) {
    static const char *const names[] = {"_name_or_path", "architectures",        "bos_token_id",
                                        "dtype",         "initializer_range",    "pad_token_id",
                                        "torch_dtype",   "transformers_version", "use_cache"};
    double part = 1;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_is(key, names[i])) return true;
    return (str_ends(key, "dropout") || str_ends(key, "_pdrop")) && value_as_float(v, "", &part, NULL) && part == 0;
}

void arch_unused(const ArchRow *a, const TensorFile *f, Buf *out) {
    size_t prefix =
        f->format == STORE_HF ? 0 : strlen(a->gguf) + 1; /* "llama."; other sections of GGUF are no settings */
    for (size_t i = 0; i < f->meta.object.n; i++) {
        Str key = f->meta.object.keys[i];
        if (prefix && (key.n <= prefix || memcmp(key.s, a->gguf, prefix - 1) || key.s[prefix - 1] != '.')) continue;
        key = (Str){key.s + prefix, key.n - prefix};
        if (f->format == STORE_HF && is_usual(key, &f->meta.object.items[i])) continue;
        if (!arch_reads(a, f->format, key)) buf_printf(out, "%s%.*s", out->n ? ", " : "", STR_ARG(key));
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
    if (c->windowed) windowed = value_item(c->windowed, (size_t)layer).b;
    if (c->kinds) windowed = str_is(value_item(c->kinds, (size_t)layer).s, "sliding_attention");
    if (c->rotated) l.rotated = value_item(c->rotated, (size_t)layer).i != 0;
    if (windowed) l.window = c->window, l.local = c->local.theta > 0;
    l.experts = c->experts > 0 && (!c->experts_period || (layer + 1) % c->experts_period == 0);
    for (size_t i = 0; c->dense && i < value_count(c->dense); i++)
        l.experts = l.experts && value_item(c->dense, i).i != layer;
    return l;
}

bool arch_has(const Config *c, const TensorRow *row, int64_t layer) {
    switch (row->when) {
    case WHEN_UNTIED: return !c->tied;
    case WHEN_DENSE: return !arch_layer(c, layer).experts;
    case WHEN_EXPERTS: return arch_layer(c, layer).experts;
    default: return true;
    }
}

/* ---- comparing ---- */

static bool same_layers(const Config *a, const Config *b, Err *e) {
    bool rotated = false, local = false;
    for (int64_t i = 0; i < a->layers; i++) {
        LayerConfig x = arch_layer(a, i), y = arch_layer(b, i);
        if (x.window != y.window || x.rotated != y.rotated || x.local != y.local)
            return err_set(e, ERR_INPUT, "the window or the rotary positions of layer %lld differ", (long long)i);
        if (x.experts != y.experts) return err_set(e, ERR_INPUT, "the experts of layer %lld differ", (long long)i);
        rotated = rotated || (x.rotated && !x.local), local = local || (x.rotated && x.local);
    }
    if (rotated && !rope_same(&a->rope, &b->rope)) return err_set(e, ERR_INPUT, "the rotary positions differ");
    if (local && !rope_same(&a->local, &b->local)) return err_set(e, ERR_INPUT, "the local rotary positions differ");
    return true;
}

bool arch_same(const Config *a, const Config *b, Err *e) {
    const double scale_a = a->query_scalar > 0 ? a->query_scalar : (double)a->head_dim,
                 scale_b = b->query_scalar > 0 ? b->query_scalar : (double)b->head_dim;
    struct {
        const char *name;
        double a, b;
    } rows[] = {{"layers", (double)a->layers, (double)b->layers},
                {"width", (double)a->width, (double)b->width},
                {"heads", (double)a->heads, (double)b->heads},
                {"kv heads", (double)a->kv_heads, (double)b->kv_heads},
                {"head dim", (double)a->head_dim, (double)b->head_dim},
                {"ffn width", (double)a->ffn, (double)b->ffn},
                {"vocabulary", (double)a->vocab, (double)b->vocab},
                {"context", (double)a->ctx, (double)b->ctx},
                {"norm epsilon", a->norm_eps, b->norm_eps},
                {"scale of queries", scale_a, scale_b},
                {"soft cap of scores", a->attn_softcap, b->attn_softcap},
                {"soft cap of logits", a->logit_softcap, b->logit_softcap},
                {"tied head", a->tied, b->tied},
                {"experts", (double)a->experts, (double)b->experts},
                {"experts of a token", (double)a->experts_used, (double)b->experts_used},
                {"width of experts", (double)a->expert_ffn, (double)b->expert_ffn},
                {"normalised experts", a->experts_normalised, b->experts_normalised}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if ((float)rows[i].a < (float)rows[i].b || (float)rows[i].a > (float)rows[i].b)
            return err_set(e, ERR_INPUT, "%s: %g is not %g", rows[i].name, rows[i].a, rows[i].b);
    return same_layers(a, b, e);
}
