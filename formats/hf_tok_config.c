/* The files beside a tokenizer.json, and all of them together. */
#include <stdlib.h>
#include <sys/stat.h>

#include "formats/formats.h"
#include "formats/hf_tok.h"
#include "formats/json.h"

/* A token of tokenizer_config.json: its text, or an object with "content". */
static bool config_token(const Value *config, const char *key, bool needed, const TokSpec *spec, int32_t *out, Err *e) {
    const Value *v = value_get(config, key);
    Str text = {"", 0};
    if (v && v->kind == VALUE_OBJECT) v = value_get(v, "content");
    TRY(value_as_str(v, key, &text, e));
    if (!text.n) return true;
    *out = tok_spec_find(spec, text);
    return *out >= 0 || !needed || err_set(e, ERR_INPUT, "the %s '%.*s' is not in the vocabulary", key, STR_ARG(text));
}

bool hf_tok_config(const Value *config, Str jinja, TokSpec *spec, Err *e) {
    bool add_bos = false, add_eos = false;
    TRY(config_token(config, "bos_token", true, spec, &spec->bos, e) &&
        config_token(config, "eos_token", true, spec, &spec->eos, e) &&
        config_token(config, "pad_token", false, spec, &spec->pad, e));
    TRY(value_as_bool(value_get(config, "add_bos_token"), "add_bos_token", &add_bos, e) &&
        value_as_bool(value_get(config, "add_eos_token"), "add_eos_token", &add_eos, e));
    if (add_bos && spec->bos >= 0 && !spec->n_prefix) spec->prefix[spec->n_prefix++] = spec->bos;
    if (add_eos && spec->eos >= 0 && !spec->n_suffix) spec->suffix[spec->n_suffix++] = spec->eos;
    return jinja.n ? chat_texts_put(spec, STR("default"), jinja, e)
                   : chat_texts_config(value_get(config, "chat_template"), spec, e);
}

bool path_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* As map_file; *m stays empty where there is no such file. */
static bool map_optional(const char *path, Mapping *m, Err *e) {
    *m = (Mapping){0};
    return !path_exists(path) || map_file(path, m, e);
}

static bool read_optional_json(const char *path, Arena *a, Value *out, Err *e) {
    Mapping m;
    *out = (Value){.kind = VALUE_NULL};
    TRY(map_optional(path, &m, e));
    bool ok = !m.bytes || json_parse((Str){m.bytes, m.n}, path, a, out, e);
    unmap_file(&m);
    return ok;
}

/* dir ends in a slash or is empty. */
static bool add_neighbours(const char *dir, TokSpec *spec, Err *e) {
    Arena a = {0};
    Value config;
    Mapping jinja = {0};
    bool ok = read_optional_json(arena_printf(&a, "%stokenizer_config.json", dir), &a, &config, e) &&
              map_optional(arena_printf(&a, "%schat_template.jinja", dir), &jinja, e);
    if (ok && !hf_tok_config(&config, (Str){jinja.bytes, jinja.n}, spec, e))
        ok = err_prefix(e, "cannot use '%stokenizer_config.json'", dir);
    ok = ok && chat_texts_dir(arena_printf(&a, "%sadditional_chat_templates", dir), jinja.n, spec, e);
    unmap_file(&jinja);
    arena_release(&a);
    return ok;
}

/* In a directory, or beside one file of weights, it has a fixed name. */
static const char *tokenizer_path(const char *given, const char *name, Arena *a) {
    const char *slash = strrchr(given, '/'), *dot = strrchr(given, '.');
    if (path_is_dir(given)) return arena_printf(a, "%s/%s", given, name);
    if (!dot || strcmp(dot, ".safetensors") != 0) return given;
    return slash ? arena_printf(a, "%.*s/%s", (int)(slash - given), given, name) : name;
}

bool hf_tok_spec(const char *dir_or_file, TokSpec *spec, Err *e) {
    static const char name[] = "tokenizer.json";
    Arena a = {0};
    Mapping m;
    const char *path = tokenizer_path(dir_or_file, name, &a);
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dir = arena_strn(&a, path, (size_t)(base - path));
    *spec = (TokSpec){0};
    bool ok = map_file(path, &m, e);
    if (ok) {
        ok = hf_tok_spec_parse((Str){m.bytes, m.n}, spec, e) || err_prefix(e, "cannot read '%s'", path);
        unmap_file(&m);
    }
    /* A file of another name stands for itself: what lies beside it need not belong to it. */
    if (ok && strcmp(base, name) == 0) ok = add_neighbours(dir, spec, e);
    if (!ok) tok_spec_release(spec);
    arena_release(&a);
    return ok;
}
