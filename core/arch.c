#include "core/arch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- finding the row ---- */

static bool row_is(const ArchRow *a, StoreFormat format, Str name) {
    if (format == STORE_GGUF) return str_is(name, a->gguf);
    for (const char *const *m = a->hf_models; *m; m++)
        if (str_is(name, *m)) return true;
    return false;
}

const ArchRow *arch_find(const TensorFile *f, Err *e) {
    const char *key = f->format == STORE_GGUF ? "general.architecture" : "model_type";
    Str name = {0};
    if (!value_as_str(value_get(&f->meta, key), key, &name, e)) return err_prefix(e, "'%s'", f->path), NULL;
    if (!name.n) return err_set(e, ERR_INPUT, "'%s': '%s' is missing, so the family is unknown", f->path, key), NULL;
    Buf known = {0};
    for (size_t i = 0; i < arch_count; i++) {
        if (row_is(&arch_table[i], f->format, name)) return buf_release(&known), &arch_table[i];
        buf_printf(&known, "%s%s", i ? ", " : "", arch_table[i].name);
    }
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
    case KEY_INT: return value_as_int(v, what, field, e);
    case KEY_FLOAT: return value_as_float(v, what, field, e);
    case KEY_BOOL: return value_as_bool(v, what, field, e);
    default: return must_hold(k, what, v, e);
    }
}

/* ---- rotary positions ---- */

static bool rope_kind(Str name, RopeKind *kind, Err *e) {
    if (!name.n || str_is(name, "default") || str_is(name, "none")) return *kind = ROPE_DEFAULT, true;
    if (str_is(name, "linear")) return *kind = ROPE_LINEAR, true;
    if (str_is(name, "llama3")) return *kind = ROPE_LLAMA3, true;
    return err_set(e, ERR_INPUT, "rope scaling '%.*s' is not supported; supported: default, linear, llama3",
                   STR_ARG(name));
}

/* Both forms of config.json: rope_theta beside rope_scaling {rope_type or type, ...}, and transformers 5's
 * rope_parameters. */
static bool hf_rope(const Value *meta, RopeConfig *r, Err *e) {
    const Value *now = value_get(meta, "rope_parameters"),
                *s = now && now->kind == VALUE_OBJECT ? now : value_get(meta, "rope_scaling");
    Str name = {0};
    if (s && s->kind != VALUE_OBJECT && s->kind != VALUE_NULL)
        return err_set(e, ERR_INPUT, "'rope_scaling' must be an object or null");
    const Value *type = value_get(s, "rope_type");
    TRY(value_as_str(type ? type : value_get(s, "type"), "rope_type", &name, e) && rope_kind(name, &r->kind, e));
    TRY(value_as_float(value_get(meta, "rope_theta"), "rope_theta", &r->theta, e));
    TRY(value_as_float(value_get(s, "rope_theta"), "rope_theta", &r->theta, e));
    TRY(value_as_float(value_get(s, "factor"), "rope factor", &r->factor, e));
    TRY(value_as_float(value_get(s, "low_freq_factor"), "low_freq_factor", &r->low_freq, e));
    TRY(value_as_float(value_get(s, "high_freq_factor"), "high_freq_factor", &r->high_freq, e));
    TRY(value_as_int(value_get(s, "original_max_position_embeddings"), "original_max_position_embeddings",
                     &r->original_ctx, e));
    double partial = 1;
    TRY(value_as_float(value_get(meta, "partial_rotary_factor"), "partial_rotary_factor", &partial, e));
    TRY(value_as_float(value_get(s, "partial_rotary_factor"), "partial_rotary_factor", &partial, e));
    if (partial != 1) return err_set(e, ERR_INPUT, "'partial_rotary_factor' is %g; only 1 is supported", partial);
    return true;
}

static const Value *gguf_key(const Value *meta, const ArchRow *a, const char *name) {
    char key[128];
    snprintf(key, sizeof key, "%s.%s", a->gguf, name);
    return value_get(meta, key);
}

static bool gguf_rope(const TensorFile *f, const ArchRow *a, const Config *c, RopeConfig *r, Err *e) {
    Str name = {0};
    TRY(value_as_float(gguf_key(&f->meta, a, "rope.freq_base"), "rope.freq_base", &r->theta, e));
    TRY(value_as_int(gguf_key(&f->meta, a, "rope.dimension_count"), "rope.dimension_count", &r->dims, e));
    TRY(value_as_str(gguf_key(&f->meta, a, "rope.scaling.type"), "rope.scaling.type", &name, e) &&
        rope_kind(name, &r->kind, e));
    TRY(value_as_float(gguf_key(&f->meta, a, "rope.scaling.factor"), "rope.scaling.factor", &r->factor, e));
    if (r->kind == ROPE_LLAMA3)
        return err_set(e, ERR_INPUT, "rope scaling 'llama3' comes as the tensor 'rope_freqs.weight' in GGUF");
    const NamedTensor *t = tensor_file_find(f, STR("rope_freqs.weight"));
    if (!t) return true;
    if (r->kind != ROPE_DEFAULT)
        return err_set(e, ERR_INPUT, "both 'rope_freqs.weight' and another rope scaling are given");
    if (t->t.dtype != DT_f32 || t->t.ndim != 1 || t->t.ne[0] * 2 != c->head_dim)
        return err_set(e, ERR_INPUT, "tensor 'rope_freqs.weight' must be f32 [%lld]", (long long)c->head_dim / 2);
    r->kind = ROPE_FACTORS;
    r->factors = t->t.data;
    return true;
}

static bool check_rope(const RopeConfig *r, const Config *c, Err *e) {
    if (!(r->theta > 0) || !isfinite(r->theta)) return err_set(e, ERR_INPUT, "rope base %g must be positive", r->theta);
    if (r->dims != c->head_dim)
        return err_set(e, ERR_INPUT, "%lld rotated dims of %lld are not supported by this family", (long long)r->dims,
                       (long long)c->head_dim);
    bool scaled = r->kind == ROPE_LINEAR || r->kind == ROPE_LLAMA3;
    if (scaled && !(r->factor >= 1 && isfinite(r->factor)))
        return err_set(e, ERR_INPUT, "rope factor %g must be 1 or more", r->factor);
    if (r->kind == ROPE_LLAMA3 && !(r->low_freq > 0 && r->high_freq > r->low_freq && r->original_ctx > 0))
        return err_set(
            e, ERR_INPUT,
            "rope scaling llama3 needs 0 < low_freq_factor < high_freq_factor and original_max_position_embeddings");
    for (int64_t i = 0; r->factors && i < r->dims / 2; i++)
        if (!(r->factors[i] > 0) || !isfinite(r->factors[i]))
            return err_set(e, ERR_INPUT, "rope_freqs.weight[%lld] is %g", (long long)i, (double)r->factors[i]);
    return true;
}

static bool check_sizes(const Config *c, Err *e) {
    struct {
        const char *name;
        int64_t v;
    } rows[] = {{"layers", c->layers},     {"width", c->width},   {"heads", c->heads},      {"kv heads", c->kv_heads},
                {"head dim", c->head_dim}, {"ffn width", c->ffn}, {"vocabulary", c->vocab}, {"context", c->ctx}};
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
    *c = (Config){.norm_eps = 1e-6, .ctx = 2048, .name = "", .rope = {.theta = 10000, .factor = 1}};
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
    if (!c->head_dim && c->heads > 0) {
        if (c->width % c->heads)
            return err_set(e, ERR_INPUT, "width %lld is no multiple of %lld heads", (long long)c->width,
                           (long long)c->heads);
        c->head_dim = c->width / c->heads;
    }
    TRY(check_sizes(c, e));
    c->rope.dims = c->head_dim;
    TRY(f->format == STORE_HF ? hf_rope(&f->meta, &c->rope, e) : gguf_rope(f, a, c, &c->rope, e));
    return check_rope(&c->rope, c, e);
}

bool arch_config(const ArchRow *a, TensorFile *f, Config *c, Err *e) {
    return read_config(a, f, c, e) || err_prefix(e, "reading the configuration of '%s'", f->path);
}

/* Read beside the row's keys: by arch_find, the rope readers, and who asks for the ids that end an answer. */
static const char *const other_hf[] = {
    "model_type", "rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor", "eos_token_id", NULL};
static const char *const other_gguf[] = {"rope.freq_base", "rope.dimension_count", "rope.scaling.type",
                                         "rope.scaling.factor", NULL};

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
    case DIM_FFN: return c->ffn;
    case DIM_VOCAB: return c->vocab;
    default: return 0;
    }
}

void rope_frequencies(const RopeConfig *r, float *out) {
    for (int64_t i = 0; i < r->dims / 2; i++) {
        float f = (float)(1.0 / pow(r->theta, (double)(2 * i) / (double)r->dims));
        if (r->kind == ROPE_LINEAR) f = f / (float)r->factor;
        if (r->kind == ROPE_FACTORS) f = f / r->factors[i];
        if (r->kind == ROPE_LLAMA3) {
            /* waves longer than original/low are slowed by the factor, shorter than original/high kept, between them
             * blended */
            double wave = 2 * M_PI / (double)f, original = (double)r->original_ctx;
            double blend = (original / wave - r->low_freq) / (r->high_freq - r->low_freq);
            blend = fmin(fmax(blend, 0), 1);
            f = (float)((1 - blend) * (double)f / r->factor + blend * (double)f);
        }
        out[i] = f;
    }
}

void rope_table(const float *freq, int64_t half, const int32_t *index, int64_t n, float *out) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < half; i++, out += 2) {
            float angle = (float)index[t] * freq[i];
            out[0] = cosf(angle);
            out[1] = sinf(angle);
        }
}

const char *rope_text(const RopeConfig *r, Arena *a) {
    switch (r->kind) {
    case ROPE_LINEAR: return arena_printf(a, "theta %g, linear x%g", r->theta, r->factor);
    case ROPE_LLAMA3:
        return arena_printf(a, "theta %g, llama3 x%g from %lld", r->theta, r->factor, (long long)r->original_ctx);
    case ROPE_FACTORS: return arena_printf(a, "theta %g, frequency factors", r->theta);
    default: return arena_printf(a, "theta %g", r->theta);
    }
}
