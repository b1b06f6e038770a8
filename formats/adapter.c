/* LoRA adapters: a PEFT directory (adapter_config.json, adapter_model.safetensors), or a GGUF file as llama.cpp's
 * convert_lora_to_gguf writes it. What would change the result and is not known is an error. */
#include <math.h>
#include <stdlib.h>

#include "formats/adapter.h"
#include "formats/json.h"
#include "formats/run_find.h"
#include "formats/store.h"

typedef struct Ends { /* of the names of the two tensors of a pair */
    const char *a, *b;
} Ends;
static const Ends peft_ends[] = {{".lora_A.weight", ".lora_B.weight"},
                                 {".lora_A.default.weight", ".lora_B.default.weight"}};
static const Ends gguf_ends[] = {{".weight.lora_a", ".weight.lora_b"}};

static bool check_pair(const AdapterPair *p, Err *e) {
    bool fine = p->a && p->b && p->a->ndim == 2 && p->b->ndim == 2 && p->a->ne[0] == p->b->ne[1] &&
                dtype_info[p->a->dtype].class <= DTC_QUANT && dtype_info[p->b->dtype].class <= DTC_QUANT;
    return fine || err_set(e, ERR_INPUT, "module '%s' has no lora_A [r, in] and lora_B [out, r] that belong together",
                           p->module);
}

/* Every tensor is half of a pair. */
static bool add_pairs(Adapter *x, const Ends *ends, size_t n_ends, Err *e) {
    TensorFile *f = &x->file;
    StrMap index = {0};
    x->pairs = ARENA_NEW(&x->arena, AdapterPair, f->n + 1);
    for (size_t i = 0; i < f->n; i++) {
        const NamedTensor *t = &f->tensors[i];
        Str name = t->name;
        const char *end = NULL;
        bool is_a = false;
        for (size_t k = 0; k < n_ends && !end; k++) {
            is_a = str_ends(name, ends[k].a);
            end = is_a ? ends[k].a : str_ends(name, ends[k].b) ? ends[k].b : NULL;
        }
        if (!end)
            return err_set(e, ERR_INPUT, "tensor '%s' is neither A nor B of a low-rank pair; only those are supported",
                           name.s);
        name.n -= strlen(end);
        if (x->format == STORE_HF && str_starts(name, "base_model.model.")) name.s += 17, name.n -= 17;
        int32_t at = strmap_get(&index, name);
        if (at < 0) {
            at = (int32_t)x->n++;
            x->pairs[at].alpha = x->alpha;
            x->pairs[at].module = arena_strn(&x->arena, name.s, name.n);
            strmap_put(&index, &x->arena, str_of(x->pairs[at].module), at);
        }
        *(is_a ? &x->pairs[at].a : &x->pairs[at].b) = &t->t;
    }
    for (size_t i = 0; i < x->n; i++) TRY(check_pair(&x->pairs[i], e));
    return x->n || err_set(e, ERR_INPUT, "it holds no low-rank pairs");
}

/* ---- PEFT ---- */

/* A setting that changes what the pairs mean: only the value that changes nothing is supported. */
static bool must_be_off(const Value *config, const char *key, Err *e) {
    const Value *v = value_get(config, key);
    bool off = !v || v->kind == VALUE_NULL || (v->kind == VALUE_BOOL && !v->b) ||
               (v->kind == VALUE_OBJECT && !v->object.n) || (v->kind == VALUE_ARRAY && !v->array.n) ||
               (v->kind == VALUE_STR && str_is(v->s, "none"));
    return off || err_set(e, ERR_INPUT, "'%s' of " ADAPTER_CONFIG " is set, which is not supported", key);
}

static bool read_config(Adapter *x, Err *e) {
    static const char *const off[] = {"use_dora",
                                      "use_qalora",
                                      "lora_bias",
                                      "bias",
                                      "modules_to_save",
                                      "use_bdlora",
                                      "layer_replication",
                                      "target_parameters",
                                      "trainable_token_indices"};
    const Value *config = &x->config;
    Str type = STR("LORA");
    int64_t r = 0;
    TRY(value_as_str(value_get(config, "peft_type"), "peft_type", &type, e) &&
        value_as_int(value_get(config, "r"), "r", &r, e) &&
        value_as_float(value_get(config, "lora_alpha"), "lora_alpha", &x->alpha, e) &&
        value_as_bool(value_get(config, "use_rslora"), "use_rslora", &x->root, e));
    if (!str_is(type, "LORA"))
        return err_set(e, ERR_INPUT, "peft_type '%.*s' is not supported, only LORA", STR_ARG(type));
    for (size_t i = 0; i < COUNT_OF(off); i++) TRY(must_be_off(config, off[i], e));
    return r > 0 || err_set(e, ERR_INPUT, "'r' of " ADAPTER_CONFIG " must be above 0");
}

/* A key of alpha_pattern stands for the end of a module's name, words whole; with ^ for the whole name. As regular
 * expressions, which they may be, they are not supported. */
static bool key_is_of(Str key, const char *module) {
    Str name = str_of(module);
    const bool whole = key.n && key.s[0] == '^';
    if (whole) key.s++, key.n--;
    if (key.n > name.n || memcmp(name.s + name.n - key.n, key.s, key.n) != 0) return false;
    return key.n == name.n || (!whole && name.s[name.n - key.n - 1] == '.');
}

static bool read_alphas(Adapter *x, Err *e) {
    const Value *pattern = value_get(&x->config, "alpha_pattern");
    if (!pattern || pattern->kind == VALUE_NULL) return true;
    if (pattern->kind != VALUE_OBJECT)
        return err_set(e, ERR_INPUT, "'alpha_pattern' of " ADAPTER_CONFIG " is no object");
    for (size_t k = pattern->object.n; k-- > 0;) { /* the first that matches counts */
        Str key = pattern->object.keys[k];
        double alpha = 0;
        for (size_t i = 0; i < key.n; i++)
            if (strchr("*+?()[]{}|$\\", key.s[i]))
                return err_set(e, ERR_INPUT, "alpha_pattern '%.*s': regular expressions are not supported, only names",
                               STR_ARG(key));
        if (pattern->object.items[k].kind == VALUE_NULL)
            return err_set(e, ERR_INPUT, "alpha_pattern '%.*s' is null, must be a number", STR_ARG(key));
        TRY(value_as_float(&pattern->object.items[k], "alpha_pattern", &alpha, e));
        for (size_t i = 0; i < x->n; i++)
            if (key_is_of(key, x->pairs[i].module)) x->pairs[i].alpha = alpha;
    }
    return true;
}

static bool open_peft(const char *dir, Adapter *x, Err *e) {
    Mapping m;
    const char *path = store_join(&x->arena, dir, ADAPTER_CONFIG);
    TRY(map_file(path, &m, e));
    x->config_text = (Str){arena_strn(&x->arena, m.bytes, m.n), m.n};
    unmap_file(&m);
    TRY(json_parse(x->config_text, path, &x->arena, &x->config, e) && read_config(x, e));
    return safetensors_open(store_join(&x->arena, dir, ADAPTER_WEIGHTS), &x->file, e) &&
           add_pairs(x, peft_ends, COUNT_OF(peft_ends), e) && read_alphas(x, e);
}

/* ---- GGUF ---- */

static bool open_gguf(const char *path, Adapter *x, Err *e) {
    Str type = {"", 0}, kind = {"", 0};
    TRY(gguf_open(path, &x->file, e));
    const Value *meta = &x->file.meta, *text = value_get(meta, "llmws.adapter_config");
    TRY(value_as_str(value_get(meta, "general.type"), "general.type", &type, e) &&
        value_as_str(value_get(meta, "adapter.type"), "adapter.type", &kind, e) &&
        value_as_float(value_get(meta, "adapter.lora.alpha"), "adapter.lora.alpha", &x->alpha, e));
    if (!str_is(type, "adapter") || !str_is(kind, "lora"))
        return err_set(e, ERR_INPUT, "adapter.type '%.*s' is not supported, only lora", STR_ARG(kind));
    x->plain = !(x->alpha > 0 || x->alpha < 0); /* as llama.cpp takes 0 */
    if (text && text->kind == VALUE_STR) {
        x->config_text = text->s;
        TRY(json_parse(text->s, "llmws.adapter_config", &x->arena, &x->config, e));
    }
    return add_pairs(x, gguf_ends, COUNT_OF(gguf_ends), e);
}

/* ---- both ---- */

static bool is_folder(const char *path) {
    Arena a = {0};
    bool yes = path_is_dir(path) && path_exists(store_join(&a, path, ADAPTER_CONFIG));
    arena_release(&a);
    return yes;
}

/* Of a run the checkpoint. */
static bool open_any(const char *path, Adapter *x, Err *e) {
    const char *found;
    TRY(run_find(path, &x->arena, &found, e));
    x->path = found ? found : arena_strn(&x->arena, path, strlen(path));
    x->format = is_folder(x->path) ? STORE_HF : STORE_GGUF;
    if (found && x->format != STORE_HF) return err_set(e, ERR_INPUT, "the run trains a model's own weights");
    return x->format == STORE_HF ? open_peft(x->path, x, e) : open_gguf(x->path, x, e);
}

bool adapter_open(const char *path, Adapter *x, Err *e) {
    *x = (Adapter){0};
    if (open_any(path, x, e)) return true;
    adapter_close(x);
    return err_prefix(e, "cannot use the adapter '%s'", path);
}

bool adapter_open_scaled(const char *arg, Adapter *x, double *scale, Err *e) {
    const char *colon = path_exists(arg) ? NULL : strrchr(arg, ':');
    char *end;
    Arena a = {0};
    *scale = 1;
    if (colon) {
        *scale = strtod(colon + 1, &end);
        if (end == colon + 1 || *end || !(fabs(*scale) <= 1e6))
            return err_set(e, ERR_USAGE, "adapter '%s': its scale '%s' must be a number from -1e6 to 1e6", arg,
                           colon + 1);
        arg = arena_strn(&a, arg, (size_t)(colon - arg));
    }
    bool ok = adapter_open(arg, x, e);
    arena_release(&a);
    return ok;
}

void adapter_close(Adapter *x) {
    if (x->file.close) x->file.close(&x->file);
    arena_release(&x->arena);
    *x = (Adapter){0};
}

bool adapter_is(const char *path) {
    Mapping m;
    TensorFile f;
    if (is_folder(path)) return true;
    if (!map_file(path, &m, NULL)) return false;
    bool gguf = m.n >= 4 && memcmp(m.bytes, "GGUF", 4) == 0;
    unmap_file(&m);
    if (!gguf || !gguf_open(path, &f, NULL)) return false;
    const Value *type = value_get(&f.meta, "general.type");
    bool yes = type && type->kind == VALUE_STR && str_is(type->s, "adapter");
    f.close(&f);
    return yes;
}

double adapter_scale(const Adapter *x, const AdapterPair *p) {
    double r = (double)p->a->ne[0];
    return x->plain ? 1 : p->alpha / (x->root ? sqrt(r) : r);
}

bool adapter_lora(const Adapter *x, const Model *m, double scale, Lora *l, Err *e) {
    lora_begin(l);
    for (size_t i = 0; i < x->n; i++) {
        const AdapterPair *p = &x->pairs[i];
        LoraPair pair = {p->module, x->format, p->a, p->b, scale * adapter_scale(x, p)};
        if (!lora_add(l, m, &pair, e)) return err_prefix(e, "cannot use the adapter '%s'", x->path);
    }
    return true;
}
