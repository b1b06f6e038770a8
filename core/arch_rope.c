/* Rotary positions: what files say of them, and their frequencies and tables. */
#include "core/arch.h"

#include <math.h>
#include <stdio.h>

static bool rope_kind(Str name, RopeKind *kind, Err *e) {
    if (!name.n || str_is(name, "default") || str_is(name, "none")) return *kind = ROPE_DEFAULT, true;
    if (str_is(name, "linear")) return *kind = ROPE_LINEAR, true;
    if (str_is(name, "llama3")) return *kind = ROPE_LLAMA3, true;
    return err_set(e, ERR_INPUT, "rope scaling '%.*s' is not supported; supported: default, linear, llama3",
                   STR_ARG(name));
}

/* Both forms of config.json: rope_theta beside rope_scaling {rope_type or type, ...}, and transformers 5's
 * rope_parameters. */
static bool read_hf(const Value *meta, RopeConfig *r, Err *e) {
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

static bool read_gguf(const TensorFile *f, const ArchRow *a, const Config *c, RopeConfig *r, Err *e) {
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

bool hf_rope(const Value *meta, const Config *c, RopeConfig *r, Err *e) {
    return read_hf(meta, r, e) && check_rope(r, c, e);
}

bool gguf_rope(const TensorFile *f, const ArchRow *a, const Config *c, RopeConfig *r, Err *e) {
    return read_gguf(f, a, c, r, e) && check_rope(r, c, e);
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
