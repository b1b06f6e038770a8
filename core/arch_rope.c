/* Rotary positions: what files say of them, and their frequencies and tables. */
#include "core/arch.h"

#include <math.h>
#include <stdio.h>

static bool rope_kind(Str name, RopeKind *kind, Err *e) {
    static const char *const names[] = {"default", "linear", "dynamic", "llama3", "yarn", "longrope", "none", "su"};
    static const RopeKind kinds[] = {ROPE_DEFAULT, ROPE_LINEAR, ROPE_DYNAMIC, ROPE_LLAMA3,
                                     ROPE_YARN,    ROPE_LONG,   ROPE_DEFAULT, ROPE_LONG};
    char word[WORD_MAX + 1];
    if (!name.n) return *kind = ROPE_DEFAULT, true;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_is(name, names[i])) return *kind = kinds[i], true;
    snprintf(word, sizeof word, "%.*s", (int)MIN(name.n, (size_t)WORD_MAX), name.s);
    const char *near = arch_nearest(word, names, COUNT_OF(names));
    return err_set(e, ERR_INPUT,
                   "rope scaling '%s' is not supported; %s%s%ssupported: default, linear, dynamic, llama3, yarn, "
                   "longrope",
                   word, near ? "nearest: " : "", near ? near : "", near ? "; " : "");
}

static double mscale(double factor, double m) { return factor <= 1 ? 1 : 0.1 * m * log(factor) + 1; }

static bool hf_yarn(const Value *s, const Config *c, RopeConfig *r, Err *e) {
    double m = 0, all = 0;
    bool truncate = true;
    if (!r->original_ctx) r->original_ctx = c->ctx;
    if (!value_get(s, "factor") && r->original_ctx > 0) r->factor = (double)c->ctx / (double)r->original_ctx;
    TRY(value_as_float(value_get(s, "beta_fast"), "beta_fast", &r->beta_fast, e));
    TRY(value_as_float(value_get(s, "beta_slow"), "beta_slow", &r->beta_slow, e));
    TRY(value_as_float(value_get(s, "attention_factor"), "attention_factor", &r->attention, e));
    TRY(value_as_float(value_get(s, "mscale"), "mscale", &m, e));
    TRY(value_as_float(value_get(s, "mscale_all_dim"), "mscale_all_dim", &all, e));
    TRY(value_as_bool(value_get(s, "truncate"), "truncate", &truncate, e));
    r->fractional = !truncate;
    if (!value_get(s, "attention_factor") && m > 0 && all > 0)
        r->attention = mscale(r->factor, m) / mscale(r->factor, all);
    return true;
}

static bool factor_list(Arena *arena, const Value *s, const char *name, const float **out, Err *e) {
    const Value *list = value_get(s, name);
    if (!list || list->kind != VALUE_ARRAY) return err_set(e, ERR_INPUT, "rope scaling longrope needs '%s'", name);
    float *factors = ARENA_NEW(arena, float, value_count(list) + 1);
    for (size_t i = 0; i < value_count(list); i++) {
        double x = 0;
        Value v = value_item(list, i);
        TRY(value_as_float(&v, name, &x, e));
        factors[i] = (float)x;
    }
    *out = factors;
    return true;
}

/* Once dims is known. */
static bool hf_long(const Value *meta, Arena *arena, const Value *s, const Config *c, RopeConfig *r, Err *e) {
    const char *lists[] = {"short_factor", "long_factor"};
    if (!r->original_ctx)
        TRY(value_as_int(value_get(meta, "original_max_position_embeddings"), "original_max_position_embeddings",
                         &r->original_ctx, e));
    if (r->original_ctx < 1 || r->original_ctx > INT32_MAX)
        return err_set(e, ERR_INPUT, "rope scaling longrope needs original_max_position_embeddings");
    for (int i = 0; i < 2; i++) {
        TRY(factor_list(arena, s, lists[i], i ? &r->far_factors : &r->factors, e));
        if ((int64_t)value_count(value_get(s, lists[i])) != r->dims / 2)
            return err_set(e, ERR_INPUT, "'%s' lists %zu factors of %lld", lists[i],
                           value_count(value_get(s, lists[i])), (long long)r->dims / 2);
    }
    if (!value_get(s, "factor")) r->factor = (double)c->ctx / (double)r->original_ctx;
    TRY(value_as_float(value_get(s, "attention_factor"), "attention_factor", &r->attention, e));
    if (!value_get(s, "attention_factor"))
        r->attention = r->factor <= 1 ? 1 : sqrt(1 + log(r->factor) / log((double)r->original_ctx));
    return true;
}

/* Both forms of config.json: rope_theta beside rope_scaling {rope_type or type, ...}, and transformers 5's
 * rope_parameters. */
static bool read_hf(const Value *meta, Arena *arena, const ArchRow *a, const Config *c, RopeConfig *r, Err *e) {
    const Value *now = value_get(meta, "rope_parameters"), *full = value_get(now, "full_attention"),
                *s = full && full->kind == VALUE_OBJECT ? full
                     : now && now->kind == VALUE_OBJECT ? now
                                                        : value_get(meta, "rope_scaling");
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
    if (r->kind == ROPE_YARN) TRY(hf_yarn(s, c, r, e));
    double partial = a->partial_rope > 0 ? a->partial_rope : 1;
    TRY(value_as_float(value_get(meta, "partial_rotary_factor"), "partial_rotary_factor", &partial, e));
    TRY(value_as_float(value_get(s, "partial_rotary_factor"), "partial_rotary_factor", &partial, e));
    if (partial != 1 && !(a->partial_rope > 0))
        return err_set(e, ERR_INPUT, "'partial_rotary_factor' is %g; only 1 is supported", partial);
    if (!(partial > 0 && partial <= 1))
        return err_set(e, ERR_INPUT, "'partial_rotary_factor' is %g; it must be above 0 and at most 1", partial);
    r->dims = (int64_t)((double)c->head_dim * partial);
    return r->kind != ROPE_LONG || hf_long(meta, arena, s, c, r, e);
}

static const Value *gguf_key(const Value *meta, const ArchRow *a, const char *name) {
    char key[128];
    snprintf(key, sizeof key, "%s.%s", a->gguf, name);
    return value_get(meta, key);
}

/* Divisors of the frequencies, which GGUF has as a tensor; *out stays as it is where there is none. */
static bool factor_tensor(const TensorFile *f, const char *name, int64_t half, const float **out, Err *e) {
    const NamedTensor *t = tensor_file_find(f, str_of(name));
    if (!t) return true;
    if (t->t.dtype != DT_f32 || t->t.ndim != 1 || t->t.ne[0] != half)
        return err_set(e, ERR_INPUT, "tensor '%s' must be f32 [%lld]", name, (long long)half);
    *out = t->t.data;
    return true;
}

/* The tensors say more than rope.scaling.type, which files of longrope leave out. */
static bool gguf_factors(const TensorFile *f, RopeConfig *r, Err *e) {
    const float *factors = NULL;
    TRY(factor_tensor(f, "rope_freqs.weight", r->dims / 2, &factors, e));
    TRY(factor_tensor(f, "rope_factors_short.weight", r->dims / 2, &r->factors, e));
    TRY(factor_tensor(f, "rope_factors_long.weight", r->dims / 2, &r->far_factors, e));
    if (r->factors && r->kind == ROPE_DEFAULT) r->kind = ROPE_LONG;
    if (!r->factors != (r->kind != ROPE_LONG) || !r->factors != !r->far_factors)
        return err_set(e, ERR_INPUT,
                       "rope scaling longrope needs the tensors 'rope_factors_short.weight' and "
                       "'rope_factors_long.weight'; no other kind has them");
    if (!factors) return true;
    if (r->kind != ROPE_DEFAULT)
        return err_set(e, ERR_INPUT, "both 'rope_freqs.weight' and another rope scaling are given");
    r->kind = ROPE_FACTORS;
    r->factors = factors;
    return true;
}

static bool read_gguf(const TensorFile *f, const ArchRow *a, RopeConfig *r, Err *e) {
    Str name = {0};
    double attention = 1;
    TRY(value_as_float(gguf_key(&f->meta, a, "rope.freq_base"), "rope.freq_base", &r->theta, e));
    TRY(value_as_int(gguf_key(&f->meta, a, "rope.dimension_count"), "rope.dimension_count", &r->dims, e));
    TRY(value_as_str(gguf_key(&f->meta, a, "rope.scaling.type"), "rope.scaling.type", &name, e) &&
        rope_kind(name, &r->kind, e));
    TRY(value_as_float(gguf_key(&f->meta, a, "rope.scaling.factor"), "rope.scaling.factor", &r->factor, e));
    TRY(value_as_int(gguf_key(&f->meta, a, "rope.scaling.original_context_length"),
                     "rope.scaling.original_context_length", &r->original_ctx, e));
    TRY(value_as_float(gguf_key(&f->meta, a, "rope.scaling.attn_factor"), "attn_factor", &attention, e));
    TRY(value_as_float(gguf_key(&f->meta, a, "rope.scaling.yarn_beta_fast"), "yarn_beta_fast", &r->beta_fast, e));
    TRY(value_as_float(gguf_key(&f->meta, a, "rope.scaling.yarn_beta_slow"), "yarn_beta_slow", &r->beta_slow, e));
    if (r->kind == ROPE_LLAMA3)
        return err_set(e, ERR_INPUT, "rope scaling 'llama3' comes as the tensor 'rope_freqs.weight' in GGUF");
    TRY(gguf_factors(f, r, e));
    if (r->kind == ROPE_YARN) r->attention = attention * mscale(r->factor, 1);
    if (r->kind == ROPE_LONG) r->attention = attention;
    return true;
}

static bool check_rope(const RopeConfig *r, const ArchRow *a, const Config *c, Err *e) {
    if (!(r->theta > 0) || !isfinite(r->theta)) return err_set(e, ERR_INPUT, "rope base %g must be positive", r->theta);
    bool part = r->dims >= 2 && r->dims <= c->head_dim && r->dims % 2 == 0;
    if (!part || (r->dims != c->head_dim && !(a->partial_rope > 0)))
        return err_set(e, ERR_INPUT, "%lld rotated dims of %lld are not supported by this family", (long long)r->dims,
                       (long long)c->head_dim);
    bool scaled = r->kind == ROPE_LINEAR || r->kind == ROPE_DYNAMIC || r->kind == ROPE_LLAMA3 || r->kind == ROPE_YARN;
    if (scaled && !(r->factor >= 1 && isfinite(r->factor)))
        return err_set(e, ERR_INPUT, "rope factor %g must be 1 or more", r->factor);
    if (r->kind == ROPE_LLAMA3 && !(r->low_freq > 0 && r->high_freq > r->low_freq && r->original_ctx > 0))
        return err_set(
            e, ERR_INPUT,
            "rope scaling llama3 needs 0 < low_freq_factor < high_freq_factor and original_max_position_embeddings");
    if (r->kind == ROPE_YARN && !(r->theta > 1 && r->beta_slow > 0 && r->beta_fast >= r->beta_slow &&
                                  r->original_ctx > 0 && r->attention >= 0 && isfinite(r->attention)))
        return err_set(e, ERR_INPUT,
                       "rope scaling yarn needs 0 < beta_slow <= beta_fast and original_max_position_embeddings");
    if (r->kind == ROPE_LONG &&
        !(r->original_ctx > 0 && r->original_ctx <= INT32_MAX && r->attention > 0 && isfinite(r->attention)))
        return err_set(e, ERR_INPUT,
                       "rope scaling longrope needs original_max_position_embeddings and an attention factor above 0");
    for (int64_t i = 0; r->factors && i < r->dims; i++) { /* both lists, which are as long as that */
        const float *list = i < r->dims / 2 ? r->factors : r->far_factors;
        if (list && (!(list[i % (r->dims / 2)] > 0) || !isfinite(list[i % (r->dims / 2)])))
            return err_set(e, ERR_INPUT, "rope factor %lld (rope_freqs.weight) is %g", (long long)(i % (r->dims / 2)),
                           (double)list[i % (r->dims / 2)]);
    }
    return true;
}

bool hf_rope(const Value *config, Arena *arena, const ArchRow *a, const Config *c, RopeConfig *r, Err *e) {
    return read_hf(config, arena, a, c, r, e) && check_rope(r, a, c, e);
}

bool gguf_rope(const TensorFile *f, const ArchRow *a, const Config *c, RopeConfig *r, Err *e) {
    return read_gguf(f, a, r, e) && check_rope(r, a, c, e);
}

static float frequency(const RopeConfig *r, int64_t i);

static bool close_to(float a, float b) { return fabsf(a - b) <= 1e-6f * fabsf(a); }

bool rope_same(const RopeConfig *a, const RopeConfig *b) {
    bool far = false;
    if (a->dims != b->dims || !close_to(rope_attention(a), rope_attention(b))) return false;
    for (int64_t i = 0; i < a->dims / 2; i++) {
        RopeConfig fa = rope_for(a, INT64_MAX), fb = rope_for(b, INT64_MAX);
        if (!close_to(frequency(a, i), frequency(b, i)) || !close_to(frequency(&fa, i), frequency(&fb, i)))
            return false;
        far = far || !close_to(frequency(a, i), frequency(&fa, i));
    }
    return !far || a->original_ctx == b->original_ctx;
}

RopeConfig rope_for(const RopeConfig *r, int64_t tokens) {
    RopeConfig its = *r;
    if (r->kind == ROPE_LONG && tokens > r->original_ctx) its.factors = r->far_factors;
    return its;
}

float rope_attention(const RopeConfig *r) {
    if (r->attention > 0) return (float)r->attention;
    return r->kind == ROPE_YARN ? (float)mscale(r->factor, 1) : 1;
}

/* The dim whose wave turns so often within original_ctx. */
static double yarn_dim(const RopeConfig *r, double turns) {
    return (double)r->dims * log((double)r->original_ctx / (turns * 2 * M_PI)) / (2 * log(r->theta));
}

/* Fast waves are kept, slow ones slowed by the factor, between them blended by dim. */
static float yarn(const RopeConfig *r, int64_t i) {
    double low = yarn_dim(r, r->beta_fast), high = yarn_dim(r, r->beta_slow);
    if (!r->fractional) low = floor(low), high = ceil(high);
    low = fmax(low, 0), high = fmin(high, (double)(r->dims - 1));
    if (low == high) high += 0.001;
    float wave = powf((float)r->theta, (float)(2 * i) / (float)r->dims);
    float keep = 1 - fminf(fmaxf(((float)i - (float)low) / (float)(high - low), 0), 1);
    return 1 / ((float)r->factor * wave) * (1 - keep) + 1 / wave * keep;
}

static float frequency(const RopeConfig *r, int64_t i) {
    float f = (float)(1.0 / pow(r->theta, (double)(2 * i) / (double)r->dims));
    if (r->kind == ROPE_YARN) return yarn(r, i);
    if (r->kind == ROPE_LINEAR) return f / (float)r->factor;
    if (r->kind == ROPE_FACTORS || r->kind == ROPE_LONG) return f / r->factors[i];
    if (r->kind != ROPE_LLAMA3) return f;
    /* waves longer than original/low are slowed by the factor, shorter than original/high kept, between them blended */
    double wave = 2 * M_PI / (double)f, original = (double)r->original_ctx;
    double blend = (original / wave - r->low_freq) / (r->high_freq - r->low_freq);
    blend = fmin(fmax(blend, 0), 1);
    return (float)((1 - blend) * (double)f / r->factor + blend * (double)f);
}

void rope_frequencies(const RopeConfig *r, float *out) {
    for (int64_t i = 0; i < r->dims / 2; i++) out[i] = frequency(r, i);
}

void rope_table(const float *freq, int64_t half, float scale, const int32_t *index, int64_t n, float *out) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < half; i++, out += 2) {
            float angle = (float)index[t] * freq[i];
            out[0] = cosf(angle) * scale;
            out[1] = sinf(angle) * scale;
        }
}

const char *rope_text(const RopeConfig *r, Arena *a) {
    switch (r->kind) {
    case ROPE_LINEAR: return arena_printf(a, "theta %g, linear x%g", r->theta, r->factor);
    case ROPE_DYNAMIC: return arena_printf(a, "theta %g, dynamic x%g", r->theta, r->factor);
    case ROPE_LLAMA3:
        return arena_printf(a, "theta %g, llama3 x%g from %lld", r->theta, r->factor, (long long)r->original_ctx);
    case ROPE_YARN:
        return arena_printf(a, "theta %g, yarn x%g from %lld", r->theta, r->factor, (long long)r->original_ctx);
    case ROPE_LONG: return arena_printf(a, "theta %g, longrope from %lld", r->theta, (long long)r->original_ctx);
    case ROPE_FACTORS: return arena_printf(a, "theta %g, frequency factors", r->theta);
    default: return arena_printf(a, "theta %g", r->theta);
    }
}
