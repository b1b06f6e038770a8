#include "core/export.h"

#include <stdio.h>

enum { FIXED_KEYS = 12 };

static Str owned(Arena *a, const char *fmt, const char *x, const char *y) {
    char text[256];
    snprintf(text, sizeof text, fmt, x, y);
    size_t n = strlen(text);
    return (Str){arena_strn(a, text, n), n};
}

static void put(Export *x, Str key, Value v) {
    Value *o = &x->meta;
    o->object.keys[o->object.n] = key;
    o->object.items[o->object.n++] = v;
}

static Value str_value(Str s) { return (Value){.kind = VALUE_STR, .s = s}; }
static Value int_value(int64_t i) { return (Value){.kind = VALUE_INT, .i = i}; }
static Value float_value(double f) { return (Value){.kind = VALUE_FLOAT, .f = f}; }

static void put_keys(Export *x, const Model *m) {
    for (const KeyRow *k = m->arch->keys; k->hf || k->gguf; k++) {
        const char *field = (const char *)&m->cfg + k->field;
        if (!k->gguf || k->kind == KEY_MUST) continue;
        Str key = owned(&x->arena, "%s.%s", m->arch->gguf, k->gguf);
        if (k->kind == KEY_INT) put(x, key, int_value(*(const int64_t *)field));
        if (k->kind == KEY_FLOAT) put(x, key, float_value(*(const double *)field));
        if (k->kind == KEY_BOOL) put(x, key, (Value){.kind = VALUE_BOOL, .b = *(const bool *)field});
    }
}

static void put_rope(Export *x, const Model *m) {
    const RopeConfig *r = &m->cfg.rope;
    put(x, owned(&x->arena, "%s.%s", m->arch->gguf, "rope.freq_base"), float_value(r->theta));
    put(x, owned(&x->arena, "%s.%s", m->arch->gguf, "rope.dimension_count"), int_value(r->dims));
    if (r->kind != ROPE_LINEAR && r->kind != ROPE_YARN) return;
    Str type = r->kind == ROPE_YARN ? STR("yarn") : STR("linear");
    put(x, owned(&x->arena, "%s.%s", m->arch->gguf, "rope.scaling.type"), str_value(type));
    put(x, owned(&x->arena, "%s.%s", m->arch->gguf, "rope.scaling.factor"), float_value(r->factor));
    if (r->kind != ROPE_YARN) return;
    RopeConfig usual = *r; /* the reader multiplies what the kind says */
    usual.attention = 0;
    put(x, owned(&x->arena, "%s.%s", m->arch->gguf, "rope.scaling.original_context_length"),
        int_value(r->original_ctx));
    put(x, owned(&x->arena, "%s.%s", m->arch->gguf, "rope.scaling.yarn_beta_fast"), float_value(r->beta_fast));
    put(x, owned(&x->arena, "%s.%s", m->arch->gguf, "rope.scaling.yarn_beta_slow"), float_value(r->beta_slow));
    put(x, owned(&x->arena, "%s.%s", m->arch->gguf, "rope.scaling.attn_factor"),
        float_value((double)rope_attention(r) / (double)rope_attention(&usual)));
}

/* A file that says all of the model is read as the same model. */
static bool says_all(const Model *m, const Export *x, Err *e) {
    TensorFile f = {.format = STORE_GGUF, .path = m->file.path, .meta = x->meta};
    Config c;
    const ArchRow *a = arch_find(&f, e);
    bool ok = a && arch_config(a, &f, &c, e);
    arena_release(&f.arena);
    if (!ok) return err_prefix(e, "writing GGUF");
    for (int64_t i = 0; i < m->cfg.layers; i++) {
        LayerConfig mine = arch_layer(&m->cfg, i), read = arch_layer(&c, i);
        if (mine.window != read.window)
            return err_set(e, ERR_INPUT, "GGUF has no form for the window of '%s' in layer %lld", m->file.path,
                           (long long)i);
        if (mine.rotated != read.rotated)
            return err_set(e, ERR_INPUT, "GGUF has no form for '%s' without rotary positions in layer %lld",
                           m->file.path, (long long)i);
        if (mine.experts != read.experts)
            return err_set(e, ERR_INPUT, "GGUF has no form for '%s' without experts in layer %lld", m->file.path,
                           (long long)i);
    }
    if (m->cfg.experts && m->cfg.experts_normalised != c.experts_normalised)
        return err_set(e, ERR_INPUT, "GGUF has no form for '%s' with weights of experts that are not normalised",
                       m->file.path);
    bool fractional = m->cfg.rope.fractional;
    return fractional
               ? err_set(e, ERR_INPUT, "GGUF has no form for 'truncate' of rope scaling yarn in '%s'", m->file.path)
               : true;
}

/* GGUF says llama3 scaling as the divisor of each frequency. */
static void add_rope_factors(Export *x, const Model *m) {
    RopeConfig plain = m->cfg.rope;
    int64_t n = plain.dims / 2;
    if (plain.kind != ROPE_LLAMA3 && plain.kind != ROPE_FACTORS) return;
    float *scaled = ARENA_NEW(&x->arena, float, n), *base = ARENA_NEW(&x->arena, float, n);
    rope_frequencies(&m->cfg.rope, scaled);
    plain.kind = ROPE_DEFAULT;
    rope_frequencies(&plain, base);
    for (int64_t i = 0; i < n; i++) base[i] = plain.factors ? plain.factors[i] : base[i] / scaled[i];
    x->tensors[x->n++] = (ExportTensor){.name = "rope_freqs.weight", .data = base, .n = n};
}

/* Whatever a GGUF file said about itself that is no setting of the family goes along: tokenizer, name, licence. Not how
 * it was laid out. */
static void put_rest(Export *x, const Model *m) {
    const Value *old = &m->file.meta;
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s.", m->arch->gguf);
    for (size_t i = 0; i < old->object.n; i++) {
        Str key = old->object.keys[i];
        bool ours = str_starts(key, prefix) || str_is(key, "general.architecture") ||
                    str_is(key, "general.alignment") || str_starts(key, "split.");
        if (!ours) put(x, key, old->object.items[i]);
    }
}

static const char *gguf_name(Arena *a, const Weight *w) {
    const char *gap = strstr(w->row->gguf, "{}"), *at = strstr(w->row->hf, "{}");
    if (!gap) return w->row->gguf;
    const char *digits = w->name + (at - w->row->hf);
    int n = (int)strspn(digits, "0123456789");
    return arena_printf(a, "%.*s%.*s%s", (int)(gap - w->row->gguf), w->row->gguf, n, digits, gap + 2);
}

bool export_gguf(const Model *m, Export *x, Err *e) {
    *x = (Export){.meta = {.kind = VALUE_OBJECT}};
    if (!m->arch->gguf)
        return err_set(e, ERR_INPUT, "family '%s' has no form in GGUF that llmws writes", m->arch->name);
    if (m->cfg.rope.kind == ROPE_LONG)
        return err_set(e, ERR_INPUT, "'%s': rope scaling longrope has no form in GGUF that llmws writes", m->file.path);
    size_t keys = FIXED_KEYS, old = m->file.format == STORE_GGUF ? m->file.meta.object.n : 0;
    for (const KeyRow *k = m->arch->keys; k->hf || k->gguf; k++) keys++;
    x->meta.object.keys = ARENA_NEW(&x->arena, Str, keys + old);
    x->meta.object.items = ARENA_NEW(&x->arena, Value, keys + old);
    x->tensors = ARENA_NEW(&x->arena, ExportTensor, m->n + 1);
    put(x, STR("general.architecture"), str_value(str_of(m->arch->gguf)));
    put_keys(x, m);
    put_rope(x, m);
    if (old) put_rest(x, m);
    for (size_t i = 0; i < m->n; i++) {
        const Weight *w = &m->weights[i];
        if (dtype_info[w->t.dtype].gguf_type < 0)
            return err_set(e, ERR_INPUT, "GGUF has no form for '%s' in %s", w->name, dtype_info[w->t.dtype].name);
        x->tensors[x->n++] = (ExportTensor){.name = gguf_name(&x->arena, w), .w = w};
    }
    add_rope_factors(x, m);
    return says_all(m, x, e);
}
