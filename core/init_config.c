/* The settings of a new model. */
#include <stdlib.h>

#include "core/init.h"

#define FIELD(name) offsetof(Config, name)

/* Members of published config.json files that say nothing of the forward pass. */
static const char *const neutral[] = {"_*",
                                      "*dropout*",
                                      "*_pdrop",
                                      "*_token_id",
                                      "architectures",
                                      "attn_implementation",
                                      "auto_map",
                                      "cache_implementation",
                                      "chunk_size_feed_forward",
                                      "dtype",
                                      "gradient_checkpointing",
                                      "initializer_range",
                                      "n_ctx",
                                      "output_*",
                                      "pretraining_tp",
                                      "reorder_and_upcast_attn",
                                      "return_dict*",
                                      "router_*",
                                      "sliding_window_size",
                                      "summary_*",
                                      "task_specific_params",
                                      "torch_dtype",
                                      "transformers_version",
                                      "use_cache"};

/* ---- names of settings ---- */

static bool is_plain(const KeyRow *k) { return k->hf && !strchr(k->hf, '.') && k->kind < KEY_SCHEME; }

/* The family's own name of a setting; NULL: it has none. */
static const char *name_of(const ArchRow *a, size_t field, KeyKind kind) {
    for (const KeyRow *k = a->keys; k->hf || k->gguf; k++)
        if (is_plain(k) && k->kind == kind && k->field == field) return k->hf;
    return NULL;
}

/* What the family calls a setting that most others call `key`. */
static const char *own_name(const ArchRow *a, Str key) {
    for (const KeyRow *k = arch_table[0].keys; k->hf || k->gguf; k++)
        if (is_plain(k) && str_is(key, k->hf)) return name_of(a, k->field, k->kind);
    return NULL;
}

static bool unknown(const ArchRow *a, const char *word, Err *e) {
    const char *names[64];
    size_t n = 0;
    for (const KeyRow *k = a->keys; n < COUNT_OF(names) && (k->hf || k->gguf); k++)
        if (k->hf) names[n++] = k->hf;
    const char *near = arch_nearest(word, names, n);
    return err_set(e, ERR_USAGE, "'%s' is no setting of family '%s'%s%s", word, a->name, near ? "; nearest: " : "",
                   near ? near : "");
}

static bool take_key(const ArchRow *a, Str key, Value v, Arena *arena, Value *out, Err *e) {
    char *word = arena_strn(arena, key.s, key.n);
    const char *own = arch_reads(a, STORE_HF, key) ? word : own_name(a, key);
    for (size_t i = 0; !own && i < COUNT_OF(neutral); i++)
        if (name_match(neutral[i], word)) own = word;
    if (!own) return unknown(a, word, e);
    if (value_get(out, own)) return err_set(e, ERR_USAGE, "'%s' is given twice, as '%s' too", own, word);
    value_put(arena, out, str_of(own), v);
    return true;
}

static bool is_type(const ArchRow *a, const Value *type) {
    for (const char *const *m = a->hf_models; type->kind == VALUE_STR && *m; m++)
        if (str_is(type->s, *m)) return true;
    return false;
}

/* ---- what is left out ---- */

typedef struct Making {
    const ArchRow *a;
    Arena *arena;
    Value *out;
} Making;

/* The value of a setting, by any of the names that the family has for it; NULL: not given. */
static const Value *given_value(const Making *m, size_t field) {
    for (const KeyRow *k = m->a->keys; k->hf || k->gguf; k++) {
        const Value *v = is_plain(k) && k->field == field ? value_get(m->out, k->hf) : NULL;
        if (v && v->kind != VALUE_NULL) return v;
    }
    return NULL;
}

/* A number that is out of range is refused where the configuration is read; until then it must not overflow. */
static int64_t number(const Making *m, size_t field, int64_t otherwise) {
    const Value *v = given_value(m, field);
    int64_t i = v && v->kind == VALUE_INT ? v->i : otherwise;
    return i < 1 || i > INT32_MAX ? 1 : i;
}

static int64_t put_int(const Making *m, size_t field, int64_t otherwise) {
    const char *name = name_of(m->a, field, KEY_INT);
    if (name && !given_value(m, field)) value_put(m->arena, m->out, str_of(name), value_int(otherwise));
    return number(m, field, otherwise);
}

/* Heads as wide as those of most models, narrower where the model is. */
static int64_t head_width(int64_t width) {
    for (int64_t e = 64; e > 1; e /= 2)
        if (width % e == 0 && width / e >= 4) return e;
    return width;
}

static int64_t round_up(int64_t n) { return div_up(n, 64) * 64; }

static bool put_sizes(const Making *m, const InitDefaults *d, Err *e) {
    const bool gated =
        arch_has_part(m->a, PART_GATE) || arch_has_part(m->a, PART_GATE_UP) || arch_has_part(m->a, PART_EXPERTS_GATE);
    const int64_t width = put_int(m, FIELD(width), 512), each = number(m, FIELD(head_dim), head_width(width));
    put_int(m, FIELD(layers), MAX(width / 64, 2));
    const int64_t heads = put_int(m, FIELD(heads), MAX(width / each, 1));
    put_int(m, FIELD(kv_heads), heads);
    if (!given_value(m, FIELD(head_dim)) && width % heads == 0) put_int(m, FIELD(head_dim), width / heads);
    const int64_t ffn = put_int(m, FIELD(ffn), gated ? round_up(width * 8 / 3) : 4 * width);
    if (arch_has_part(m->a, PART_ROUTER)) {
        const int64_t experts = put_int(m, FIELD(experts), 8), used = put_int(m, FIELD(experts_used), MIN(2, experts));
        put_int(m, FIELD(expert_ffn), round_up(ffn / used));
    }
    put_int(m, FIELD(ctx), d->ctx);
    if (!d->vocab && !given_value(m, FIELD(vocab)))
        return err_set(e, ERR_USAGE, "a new model without a tokenizer needs a vocab_size in its settings");
    if (put_int(m, FIELD(vocab), d->vocab) < d->vocab)
        return err_set(e, ERR_USAGE, "vocab_size %lld is below the %lld tokens of the tokenizer",
                       (long long)number(m, FIELD(vocab), 1), (long long)d->vocab);
    return true;
}

static bool put_rest(const Making *m, const InitDefaults *d, Err *e) {
    const char *tie = name_of(m->a, FIELD(tied), KEY_BOOL),
               *normalised = name_of(m->a, FIELD(experts_normalised), KEY_BOOL),
               *scale = name_of(m->a, FIELD(query_scalar), KEY_FLOAT);
    const Value *tied = given_value(m, FIELD(tied));
    double std = 0.02;
    if (d->tied && tied && tied->kind == VALUE_BOOL && !tied->b)
        return err_set(e, ERR_USAGE, "tie_word_embeddings is false, and a tied head is asked for");
    if (d->tied && tie) value_put(m->arena, m->out, str_of(tie), value_bool(true));
    if (normalised && !given_value(m, FIELD(experts_normalised)))
        value_put(m->arena, m->out, str_of(normalised), value_bool(true));
    if (scale && !given_value(m, FIELD(query_scalar)))
        value_put(m->arena, m->out, str_of(scale), value_int(number(m, FIELD(head_dim), 1)));
    TRY(value_as_float(value_get(m->out, "initializer_range"), "initializer_range", &std, e));
    if (!(std > 0 && std < 10)) return err_set(e, ERR_USAGE, "initializer_range %g is out of range", std);
    value_put(m->arena, m->out, STR("initializer_range"), value_float(std));
    return true;
}

bool init_config(const ArchRow *arch, const Value *given, const InitDefaults *d, Arena *a, Value *out, Err *e) {
    const Making m = {arch, a, out};
    *out = (Value){.kind = VALUE_OBJECT};
    const Value *type = value_get(given, "model_type");
    if (type && !is_type(arch, type))
        return err_set(e, ERR_USAGE, "the settings are of another model_type than family '%s' has", arch->name);
    value_put(a, out, STR("model_type"), value_str(str_of(arch->hf_models[0])));
    for (size_t i = 0; i < given->object.n; i++)
        if (&given->object.items[i] != type)
            TRY(take_key(arch, given->object.keys[i], given->object.items[i], a, out, e));
    return put_sizes(&m, d, e) && put_rest(&m, d, e);
}
