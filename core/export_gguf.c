/* A model as GGUF would hold it. What GGUF has no name for is in "llmws.config". */
#include "core/export.h"

static Str key_of(Export *x, const Model *m, const char *name) {
    return str_of(arena_printf(&x->arena, "%s.%s", m->arch->gguf, name));
}

static void put(Export *x, const Model *m, const char *name, Value v) {
    value_put(&x->arena, &x->meta, key_of(x, m, name), v);
}

static bool same_pattern(const Config *a, const Config *b) {
    for (int64_t i = 0; i < a->layers; i++)
        if (!arch_layer(a, i).window != !arch_layer(b, i).window) return false;
    return true;
}

/* Which layers have a window: nothing where the family's readers know it, else a period, else a list. */
static void put_pattern(Export *x, const Model *m, const char *name) {
    Config c = m->cfg, usual = c;
    usual.windowed = usual.kinds = NULL;
    usual.window_period = m->arch->defaults.window_period;
    if (!c.window || same_pattern(&c, &usual)) return;
    usual.window_period = c.window_period;
    if (same_pattern(&c, &usual)) {
        put(x, m, name, value_int(c.window_period));
        return;
    }
    Value list = {.kind = VALUE_ARRAY, .array = {ARENA_NEW(&x->arena, Value, c.layers), (size_t)c.layers}};
    for (int64_t i = 0; i < c.layers; i++) list.array.items[i] = value_bool(arch_layer(&c, i).window != 0);
    put(x, m, name, list);
}

static void put_keys(Export *x, const Model *m) {
    for (const KeyRow *k = m->arch->keys; k->hf || k->gguf; k++) {
        const void *field = (const char *)&m->cfg + k->field, *usual = (const char *)&m->arch->defaults + k->field;
        if (!k->gguf) continue;
        /* none is said only where the readers of the family would take something for granted */
        if (k->kind == KEY_INT && (*(const int64_t *)field || *(const int64_t *)usual))
            put(x, m, k->gguf, value_int(*(const int64_t *)field));
        if (k->kind == KEY_FLOAT && (*(const double *)field > 0 || *(const double *)usual > 0))
            put(x, m, k->gguf, value_float(*(const double *)field));
        if (k->kind == KEY_BOOL) put(x, m, k->gguf, value_bool(*(const bool *)field));
        if (k->kind == KEY_PATTERN) put_pattern(x, m, k->gguf);
    }
}

static void put_scaling(Export *x, const Model *m, const char *type) {
    const RopeConfig *r = &m->cfg.rope;
    put(x, m, "rope.scaling.type", value_str(str_of(type)));
    if (r->kind != ROPE_LONG) put(x, m, "rope.scaling.factor", value_float(r->factor));
    if (r->kind == ROPE_LINEAR) return;
    RopeConfig usual = *r; /* the reader multiplies what the kind says */
    usual.attention = 0;
    put(x, m, "rope.scaling.original_context_length", value_int(r->original_ctx));
    put(x, m, "rope.scaling.attn_factor", value_float((double)rope_attention(r) / (double)rope_attention(&usual)));
    if (r->kind != ROPE_YARN) return;
    put(x, m, "rope.scaling.yarn_beta_fast", value_float(r->beta_fast));
    put(x, m, "rope.scaling.yarn_beta_slow", value_float(r->beta_slow));
}

static void put_rope(Export *x, const Model *m) {
    bool rotated = false;
    for (int64_t i = 0; i < m->cfg.layers; i++) rotated = rotated || arch_layer(&m->cfg, i).rotated;
    if (!rotated) return;
    put(x, m, "rope.freq_base", value_float(m->cfg.rope.theta));
    put(x, m, "rope.dimension_count", value_int(m->cfg.rope.dims));
    switch (m->cfg.rope.kind) {
    case ROPE_LINEAR: put_scaling(x, m, "linear"); return;
    case ROPE_YARN: put_scaling(x, m, "yarn"); return;
    case ROPE_LONG: put_scaling(x, m, "longrope"); return;
    default: return;
    }
}

static void add_factors(Export *x, const char *name, const float *factors, int64_t n) {
    x->tensors[x->n++] = (ExportTensor){
        .name = name, .dtype = DT_f32, .ndim = 1, .ne = {n, 1, 1, 1}, .data = factors, .format = STORE_GGUF};
}

/* GGUF says some scalings as the divisor of each frequency. */
static void add_rope_factors(Export *x, const Model *m) {
    RopeConfig plain = m->cfg.rope;
    const int64_t n = plain.dims / 2;
    if (plain.kind == ROPE_LONG) {
        add_factors(x, "rope_factors_short.weight", plain.factors, n);
        add_factors(x, "rope_factors_long.weight", plain.far_factors, n);
    }
    if (plain.kind == ROPE_FACTORS) add_factors(x, "rope_freqs.weight", plain.factors, n);
    if (plain.kind != ROPE_LLAMA3) return;
    float *scaled = ARENA_NEW(&x->arena, float, n), *base = ARENA_NEW(&x->arena, float, n);
    rope_frequencies(&m->cfg.rope, scaled);
    plain.kind = ROPE_DEFAULT;
    rope_frequencies(&plain, base);
    for (int64_t i = 0; i < n; i++) base[i] /= scaled[i];
    add_factors(x, "rope_freqs.weight", base, n);
}

/* Whatever a GGUF file said about itself that is no setting of the family goes along: tokenizer, name, licence. Not how
 * it was laid out. */
static void put_rest(Export *x, const Model *m) {
    const Value *old = &m->file.meta;
    const char *prefix = arena_printf(&x->arena, "%s.", m->arch->gguf);
    if (m->file.format == STORE_HF) {
        value_put(&x->arena, &x->meta, STR("llmws.config"), *old);
        return;
    }
    for (size_t i = 0; i < old->object.n; i++) {
        Str key = old->object.keys[i];
        bool ours = str_starts(key, prefix) || str_is(key, "general.architecture") ||
                    str_is(key, "general.alignment") || str_starts(key, "split.");
        if (!ours) value_put(&x->arena, &x->meta, key, old->object.items[i]);
    }
}

static bool add_weight(Export *x, const Weight *w, Err *e) {
    if (dtype_info[w->t.dtype].gguf_type < 0)
        return err_set(e, ERR_INPUT, "GGUF has no form for '%s' in %s", w->name, dtype_info[w->t.dtype].name);
    ExportTensor *t = &x->tensors[x->n++];
    *t = (ExportTensor){.name = weight_name(&x->arena, w->row->gguf, w->layer),
                        .dtype = w->t.dtype,
                        .ndim = w->t.ndim,
                        .w = w,
                        .format = STORE_GGUF,
                        .plus = w->plus};
    memcpy(t->ne, w->t.ne, sizeof t->ne);
    return true;
}

bool export_gguf(const Model *m, Export *x, Err *e) {
    enum { FACTORS = 2 };
    *x = (Export){.meta = {.kind = VALUE_OBJECT}};
    if (!m->arch->gguf) return err_set(e, ERR_INPUT, "family '%s' has no name in GGUF", m->arch->name);
    x->tensors = ARENA_NEW(&x->arena, ExportTensor, m->n + FACTORS);
    value_put(&x->arena, &x->meta, STR("general.architecture"), value_str(str_of(m->arch->gguf)));
    put_keys(x, m);
    put_rope(x, m);
    put_rest(x, m);
    for (size_t i = 0; i < m->n; i++) TRY(add_weight(x, &m->weights[i], e));
    add_rope_factors(x, m);
    return true;
}

Dtype export_mixed(const Model *m, const ExportTensor *t, const Mix *mix, bool importance) {
    const QuantModel model = {.layers = m->cfg.layers,
                              .heads = m->cfg.heads,
                              .kv_heads = m->cfg.kv_heads,
                              .experts = m->cfg.experts,
                              .tied = m->cfg.tied,
                              .importance = importance};
    if (!t->w) return t->dtype;
    const QuantTensor q = {t->w->row->part, t->w->layer, t->ne[t->ndim - 1], t->ndim};
    return mix_dtype(mix, &model, &q);
}
