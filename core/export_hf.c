/* A model as a Hugging Face directory would hold it. */
#include "core/export.h"

#include <stdio.h>
#include <stdlib.h>

/* The shortest decimal number that is the same f32: what a config says, where GGUF has it rounded. */
static Value tidy(double f) {
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, f);
        double short_form = strtod(text, NULL);
        if (!((float)short_form < (float)f || (float)short_form > (float)f)) return value_float(short_form);
    }
    return value_float(f);
}

static Value list_of(Arena *a, size_t n) { return (Value){.kind = VALUE_ARRAY, .array = {ARENA_NEW(a, Value, n), n}}; }

/* ---- settings of the row ---- */

static Value layer_list(Arena *a, const Config *c, size_t field) {
    const bool kinds = field == offsetof(Config, kinds);
    Value list = list_of(a, (size_t)c->layers);
    if (field == offsetof(Config, dense)) return c->dense ? *c->dense : list_of(a, 0);
    for (int64_t i = 0; i < c->layers; i++) {
        LayerConfig l = arch_layer(c, i);
        list.array.items[i] =
            kinds ? value_str(l.window ? STR("sliding_attention") : STR("full_attention")) : value_int(l.rotated);
    }
    return list;
}

/* The one value that is supported, where it is a name or a switch. */
static Value must_value(const KeyRow *k) {
    if (strcmp(k->must, "true") == 0 || strcmp(k->must, "false") == 0) return value_bool(k->must[0] == 't');
    bool text = strcmp(k->must, "null") != 0 && strspn(k->must, "0123456789") == 0;
    return text ? value_str(str_of(k->must)) : (Value){.kind = VALUE_NULL};
}

static Value key_value(Arena *a, const Config *c, const KeyRow *k) {
    const void *field = (const char *)c + k->field;
    const Value none = {.kind = VALUE_NULL};
    switch (k->kind) {
    case KEY_INT:
    case KEY_PATTERN: return k->none && !*(const int64_t *)field ? none : value_int(*(const int64_t *)field);
    case KEY_FLOAT:
        if (k->field == offsetof(Config, query_scalar)) return value_int(llround(c->query_scalar)); /* whole there */
        return k->none && !(*(const double *)field > 0) ? none : tidy(*(const double *)field);
    case KEY_BOOL: return value_bool(*(const bool *)field);
    case KEY_LIST: return layer_list(a, c, k->field);
    case KEY_MUST: return must_value(k);
    default: return none;
    }
}

static void put_keys(Export *x, const ArchRow *row, Config c) {
    if (!(c.query_scalar > 0)) c.query_scalar = (double)c.head_dim;
    for (const KeyRow *k = row->keys; k->hf || k->gguf; k++) {
        if (!k->hf || strchr(k->hf, '.')) continue; /* a second name of what another key says */
        Value v = key_value(&x->arena, &c, k);
        if (v.kind != VALUE_NULL || k->none) value_put(&x->arena, &x->meta, str_of(k->hf), v);
    }
}

/* ---- rotary positions ---- */

/* Llama 3's rule is known by its factors: all that was ever published has these ends. */
static bool is_llama3(const RopeConfig *r, RopeConfig *out) {
    *out = *r;
    out->kind = ROPE_LLAMA3;
    out->factors = NULL;
    out->low_freq = 1, out->high_freq = 4, out->original_ctx = 8192, out->factor = 1;
    for (int64_t i = 0; i < r->dims / 2; i++) out->factor = fmax(out->factor, (double)r->factors[i]);
    return rope_same(r, out);
}

static Value number_list(Arena *a, const float *x, int64_t n) {
    Value list = list_of(a, (size_t)n);
    for (int64_t i = 0; i < n; i++) list.array.items[i] = tidy((double)x[i]);
    return list;
}

static void put_long(Export *x, Value *s, const Config *c, const RopeConfig *r) {
    Arena *a = &x->arena;
    value_put(a, s, STR("short_factor"), number_list(a, r->factors, r->dims / 2));
    value_put(a, s, STR("long_factor"), number_list(a, r->far_factors ? r->far_factors : r->factors, r->dims / 2));
    value_put(a, s, STR("attention_factor"), tidy((double)rope_attention(r)));
    value_put(a, &x->meta, STR("original_max_position_embeddings"),
              value_int(r->kind == ROPE_LONG ? r->original_ctx : c->ctx));
}

static void put_scaling(Export *x, const Config *c, const RopeConfig *r) {
    static const char *const names[] = {
        [ROPE_LINEAR] = "linear", [ROPE_DYNAMIC] = "dynamic",  [ROPE_LLAMA3] = "llama3", [ROPE_YARN] = "yarn",
        [ROPE_LONG] = "longrope", [ROPE_FACTORS] = "longrope", [ROPE_DEFAULT] = NULL};
    Arena *a = &x->arena;
    Value s = {.kind = VALUE_OBJECT};
    if (!names[r->kind]) return;
    value_put(a, &s, STR("rope_type"), value_str(str_of(names[r->kind])));
    if (r->kind == ROPE_LONG || r->kind == ROPE_FACTORS) put_long(x, &s, c, r);
    if (r->kind == ROPE_LINEAR || r->kind == ROPE_DYNAMIC || r->kind == ROPE_YARN || r->kind == ROPE_LLAMA3)
        value_put(a, &s, STR("factor"), tidy(r->factor));
    if (r->kind == ROPE_LLAMA3) {
        value_put(a, &s, STR("low_freq_factor"), tidy(r->low_freq));
        value_put(a, &s, STR("high_freq_factor"), tidy(r->high_freq));
    }
    if (r->kind == ROPE_LLAMA3 || r->kind == ROPE_YARN)
        value_put(a, &s, STR("original_max_position_embeddings"), value_int(r->original_ctx));
    if (r->kind == ROPE_YARN) {
        value_put(a, &s, STR("beta_fast"), tidy(r->beta_fast));
        value_put(a, &s, STR("beta_slow"), tidy(r->beta_slow));
        value_put(a, &s, STR("attention_factor"), tidy((double)rope_attention(r)));
        if (r->fractional) value_put(a, &s, STR("truncate"), value_bool(false));
    }
    value_put(a, &x->meta, STR("rope_scaling"), s);
}

static void put_rope(Export *x, const ArchRow *row, const Config *c) {
    RopeConfig r = c->rope;
    bool rotated = false;
    for (int64_t i = 0; i < c->layers; i++) rotated = rotated || arch_layer(c, i).rotated;
    if (!rotated) return;
    if (c->rope.kind == ROPE_FACTORS && !is_llama3(&c->rope, &r)) r = c->rope;
    value_put(&x->arena, &x->meta, STR("rope_theta"), tidy(r.theta));
    if (row->partial_rope > 0)
        value_put(&x->arena, &x->meta, STR("partial_rotary_factor"), tidy((double)r.dims / (double)c->head_dim));
    put_scaling(x, c, &r);
}

/* ---- the config ---- */

static Str dtype_name(Dtype t) {
    return t == DT_f16 ? STR("float16") : t == DT_bf16 ? STR("bfloat16") : STR("float32");
}

void export_hf_dtype(Export *x, Dtype t) {
    const char *key = value_get(&x->meta, "dtype") ? "dtype" : "torch_dtype";
    value_put(&x->arena, &x->meta, str_of(key), value_str(dtype_name(t)));
}

/* Members of `from` that x has not. */
static void merge(Export *x, const Value *from) {
    for (size_t i = 0; from && i < from->object.n; i++) {
        char key[256];
        snprintf(key, sizeof key, "%.*s", STR_ARG(from->object.keys[i]));
        if (!value_get(&x->meta, key)) value_put(&x->arena, &x->meta, from->object.keys[i], from->object.items[i]);
    }
}

/* Ids that GGUF has with the tokenizer. */
static void put_ids(Export *x, const Model *m) {
    static const char *const names[][2] = {{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                           {"eos_token_id", "tokenizer.ggml.eos_token_id"},
                                           {"pad_token_id", "tokenizer.ggml.padding_token_id"}};
    for (size_t i = 0; m->file.format == STORE_GGUF && i < COUNT_OF(names); i++) {
        const Value *v = value_get(&m->file.meta, names[i][1]);
        if (v) value_put(&x->arena, &x->meta, str_of(names[i][0]), *v);
    }
}

/* Whether x->meta, read back, is the model. */
static bool says_all(const Model *m, Export *x, Err *e) {
    TensorFile f = {.format = STORE_HF, .path = m->file.path, .meta = x->meta};
    Config c;
    const ArchRow *a = arch_find(&f, e);
    bool ok = a && a->tensors == m->arch->tensors && arch_config(a, &f, &c, e) && arch_same(&m->cfg, &c, e);
    arena_release(&f.arena);
    return ok;
}

static bool is_rope_key(Str key) {
    return str_is(key, "rope_scaling") || str_is(key, "rope_parameters") || str_is(key, "rope_theta");
}

static void make_config(Export *x, const Model *m, const ArchRow *row, const Value *old) {
    Arena *a = &x->arena;
    Value names = list_of(a, 1), rest = {.kind = VALUE_OBJECT};
    names.array.items[0] = value_str(str_of(row->hf_class));
    x->meta = (Value){.kind = VALUE_OBJECT};
    value_put(a, &x->meta, STR("architectures"), names);
    value_put(a, &x->meta, STR("model_type"), value_str(str_of(row->hf_models[0])));
    put_keys(x, row, m->cfg);
    put_rope(x, row, &m->cfg);
    put_ids(x, m);
    for (size_t i = 0; old && i < old->object.n; i++)
        if (!is_rope_key(old->object.keys[i])) value_put(a, &rest, old->object.keys[i], old->object.items[i]);
    merge(x, &rest);
}

/* The family's own row, or else another that has the same weights in GGUF but can say more. */
static bool new_config(Export *x, const Model *m, const Value *old, Err *e) {
    make_config(x, m, m->arch, old);
    if (says_all(m, x, e)) return true;
    for (size_t i = 0; i < arch_count; i++) {
        const ArchRow *row = &arch_table[i];
        if (row == m->arch || row->tensors != m->arch->tensors || !row->gguf || !m->arch->gguf ||
            strcmp(row->gguf, m->arch->gguf) != 0)
            continue;
        make_config(x, m, row, NULL);
        if (says_all(m, x, NULL)) return true;
    }
    return err_prefix(e, "a config.json cannot say all of '%s'", m->file.path);
}

bool export_hf_config(const Model *m, Export *x, Err *e) { return new_config(x, m, arch_hf_config(&m->file), e); }

/* ---- tensors ---- */

static Dtype stored_dtype(const Model *m, const Weight *w) {
    const NamedTensor *t = tensor_file_find(&m->file, str_of(w->file_name));
    Dtype d = t ? t->t.dtype : w->t.dtype; /* vectors became f32 when the model was opened */
    return dtype_info[d].class == DTC_FLOAT ? d : DT_f32;
}

static ExportTensor *add_tensor(Export *x, const Model *m, const Weight *w) {
    ExportTensor *t = &x->tensors[x->n++];
    *t = (ExportTensor){.name = m->file.format == STORE_HF ? w->file_name : w->name,
                        .dtype = stored_dtype(m, w),
                        .ndim = w->t.ndim,
                        .w = w,
                        .format = STORE_HF,
                        .turned = w->row->hf_transposed};
    if (w->row->gguf_transform == TRANSFORM_PLUS_ONE && m->file.format == STORE_GGUF) t->plus = -1;
    memcpy(t->ne, w->t.ne, sizeof t->ne);
    if (t->turned) t->ne[0] = w->t.ne[1], t->ne[1] = w->t.ne[0];
    return t;
}

/* A name with two gaps is that of a tensor for each expert. */
static const char *name_of_each(Export *x, const Weight *w) {
    const char *name = weight_name(&x->arena, w->row->hf, w->layer);
    return strstr(name, "{}") ? name : NULL;
}

static void add_weight(Export *x, const Model *m, const Weight *w) {
    const char *each = name_of_each(x, w);
    for (int64_t i = 0; i < (each ? w->t.ne[0] : 1); i++) {
        ExportTensor *t = add_tensor(x, m, w);
        if (!each) continue;
        t->name = weight_name(&x->arena, each, i);
        t->ndim = 2, t->ne[0] = w->t.ne[1], t->ne[1] = w->t.ne[2], t->ne[2] = 1;
        t->first = i * t->ne[0];
    }
}

bool export_hf(const Model *m, Export *x, Err *e) {
    const Value *old = arch_hf_config(&m->file);
    size_t n = m->n;
    *x = (Export){.meta = {.kind = VALUE_OBJECT}};
    for (size_t i = 0; i < m->n; i++)
        if (name_of_each(x, &m->weights[i])) n += (size_t)m->weights[i].t.ne[0];
    x->tensors = ARENA_NEW(&x->arena, ExportTensor, n);
    merge(x, old);
    if (!old || !says_all(m, x, NULL)) {
        TRY(new_config(x, m, old, e));
        export_hf_dtype(x, stored_dtype(m, &m->weights[0]));
    }
    for (size_t i = 0; i < m->n; i++) add_weight(x, m, &m->weights[i]);
    return true;
}
