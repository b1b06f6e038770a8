/* PEFT directories as llmws writes them. */
#include <errno.h>
#include <sys/stat.h>

#include "formats/adapter.h"
#include "formats/json.h"
#include "formats/store.h"

static const char PREFIX[] = "base_model.model.";

/* The module of a tensor, "a.b" of "base_model.model.a.b.lora_A.weight". */
static Str module_of(const OutTensor *t) {
    const char *name = t->name + strlen(PREFIX), *end = strstr(name, ".lora_");
    return (Str){name, (size_t)(end - name)};
}

static bool is_a(const OutTensor *t) { return strstr(t->name, ".lora_A") != NULL; }

/* Last words of the modules, each once. */
static Value target_modules(Arena *a, const OutTensor *t, size_t n) {
    Value list = {.kind = VALUE_ARRAY, .array = {ARENA_NEW(a, Value, n + 1), 0}};
    for (size_t i = 0; i < n; i++) {
        Str module = module_of(&t[i]);
        const char *end = module.s + module.n, *at = end;
        while (at > module.s && at[-1] != '.') at--;
        Str word = {at, (size_t)(end - at)};
        bool known = false;
        for (size_t k = 0; k < list.array.n; k++) known |= str_eq(list.array.items[k].s, word);
        if (!known) list.array.items[list.array.n++] = value_str(word);
    }
    return list;
}

/* Of "q_proj+v_proj" both. */
static Value split_targets(Arena *a, const char *targets) {
    Value list = {.kind = VALUE_ARRAY, .array = {ARENA_NEW(a, Value, strlen(targets) + 1), 0}};
    Str rest = str_of(targets);
    for (Str word; str_word(&rest, '+', &word);) list.array.items[list.array.n++] = value_str(word);
    return list;
}

static Value rank_pattern(Arena *a, int64_t rank, const OutTensor *t, size_t n) {
    Value ranks = {.kind = VALUE_OBJECT};
    for (size_t i = 0; i < n; i++)
        if (is_a(&t[i]) && t[i].ne[0] != rank) value_put(a, &ranks, module_of(&t[i]), value_int(t[i].ne[0]));
    return ranks;
}

Value adapter_config(Arena *a, const AdapterConfig *c, const OutTensor *tensors, size_t n) {
    Value config = {.kind = VALUE_OBJECT};
    value_put(a, &config, STR("peft_type"), value_str(STR("LORA")));
    value_put(a, &config, STR("task_type"), value_str(STR("CAUSAL_LM")));
    value_put(a, &config, STR("base_model_name_or_path"), value_str(str_of(c->base ? c->base : "")));
    value_put(a, &config, STR("r"), value_int(c->rank));
    value_put(a, &config, STR("lora_alpha"), value_float(c->alpha));
    value_put(a, &config, STR("rank_pattern"), rank_pattern(a, c->rank, tensors, n));
    value_put(a, &config, STR("use_rslora"), value_bool(c->root));
    value_put(a, &config, STR("lora_dropout"), value_float(c->dropout));
    value_put(a, &config, STR("fan_in_fan_out"), value_bool(c->transposed));
    value_put(a, &config, STR("bias"), value_str(STR("none")));
    value_put(a, &config, STR("target_modules"),
              c->targets ? split_targets(a, c->targets) : target_modules(a, tensors, n));
    value_put(a, &config, STR("inference_mode"), value_bool(true));
    return config;
}

bool adapter_write(const char *dir, Str config, const OutTensor *tensors, size_t n, Err *e) {
    Arena a = {0};
    Str key = STR("format");
    Value pt = value_str(STR("pt")), metadata = {.kind = VALUE_OBJECT, .object = {&key, &pt, 1}};
    bool ok = mkdir(dir, 0777) == 0 || errno == EEXIST ||
              err_set(e, ERR_IO, "cannot make the folder '%s': %s", dir, strerror(errno));
    ok = ok && safetensors_write(store_join(&a, dir, ADAPTER_WEIGHTS), &metadata, tensors, n, e) &&
         write_text_file(store_join(&a, dir, ADAPTER_CONFIG), config, e);
    arena_release(&a);
    return ok;
}

bool adapter_save(const char *dir, const Trainer *t, const LoraSpec *spec, const char *base, Err *e) {
    Arena a = {0};
    Buf text = {0};
    OutTensor *out = ARENA_NEW(&a, OutTensor, t->n_params);
    const char *targets = spec->targets ? spec->targets : t->m->arch->lora_targets;
    AdapterConfig c = {.base = base,
                       .rank = spec->rank,
                       .alpha = spec->alpha,
                       .dropout = spec->dropout,
                       .root = spec->root,
                       .targets = strcmp(targets, "all-linear") ? targets : NULL};
    for (size_t i = 0; i < t->n_params; i++) {
        const Tensor *w = &t->x.values[t->params[i].weight];
        out[i] = (OutTensor){.name = t->params[i].name, .dtype = DT_f32, .ndim = 2, .data = w->data};
        memcpy(out[i].ne, w->ne, sizeof out[i].ne);
    }
    for (size_t i = 0; i < t->spec.lora->n; i++) c.transposed |= t->spec.lora->maps[i].w->row->hf_transposed;
    const Value config = adapter_config(&a, &c, out, t->n_params);
    json_put_value(&text, &config, 0);
    bool ok = adapter_write(dir, buf_view(&text), out, t->n_params, e);
    buf_release(&text);
    arena_release(&a);
    return ok;
}
