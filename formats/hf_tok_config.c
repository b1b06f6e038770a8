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

/* Arrays of the vocabulary with room for `n` ids. */
static void grow_vocab(TokSpec *spec, int32_t n) {
    Str *vocab = ARENA_NEW(&spec->arena, Str, n);
    double *scores = ARENA_NEW(&spec->arena, double, n);
    uint8_t *types = ARENA_NEW(&spec->arena, uint8_t, n);
    memcpy(vocab, spec->vocab, (size_t)spec->n_vocab * sizeof *vocab);
    memcpy(scores, spec->scores, (size_t)spec->n_vocab * sizeof *scores);
    memcpy(types, spec->types, (size_t)spec->n_vocab * sizeof *types);
    memset(types + spec->n_vocab, TOK_CONTROL, (size_t)(n - spec->n_vocab));
    spec->vocab = vocab;
    spec->scores = scores;
    spec->types = types;
    spec->n_vocab = n;
}

static bool take_added(const Value *v, int32_t id, TokSpec *spec, AddedToken *a, Err *e) {
    const struct {
        const char *key;
        bool *to;
    } flags[] = {{"special", &a->special},
                 {"lstrip", &a->lstrip},
                 {"rstrip", &a->rstrip},
                 {"single_word", &a->single_word},
                 {"normalized", &a->normalized}};
    a->id = id;
    TRY(value_as_str(value_get(v, "content"), "content", &a->text, e));
    for (size_t i = 0; i < COUNT_OF(flags); i++)
        TRY(value_as_bool(value_get(v, flags[i].key), flags[i].key, flags[i].to, e));
    a->text = (Str){arena_strn(&spec->arena, a->text.s, a->text.n), a->text.n};
    a->outside = !spec->vocab[id].n;
    if (a->outside) spec->vocab[id] = a->text;
    return str_eq(spec->vocab[id], a->text) || err_set(e, ERR_INPUT, "id %d has two tokens, '%.*s' and '%.*s'", id,
                                                       STR_ARG(spec->vocab[id]), STR_ARG(a->text));
}

/* Beside a tokenizer.model: the tokens that were added to it, by id. */
static bool config_added(const Value *config, TokSpec *spec, Err *e) {
    const Value *list = value_get(config, "added_tokens_decoder");
    size_t n = list && list->kind == VALUE_OBJECT ? list->object.n : 0;
    AddedToken *all = ARENA_NEW(&spec->arena, AddedToken, (size_t)spec->n_added + n);
    int32_t old = spec->n_added;
    if (!n || !spec->types) return true;
    if (old) memcpy(all, spec->added, (size_t)old * sizeof *all);
    spec->added = all;
    for (size_t i = 0; i < n; i++) {
        char *end, *key = arena_strn(&spec->arena, list->object.keys[i].s, list->object.keys[i].n);
        long id = strtol(key, &end, 10);
        if (!*key || *end || id < 0 || (size_t)id > (size_t)spec->n_vocab + n)
            return err_set(e, ERR_INPUT, "'%s' in added_tokens_decoder is no id", key);
        if (id >= spec->n_vocab) grow_vocab(spec, (int32_t)id + 1);
        AddedToken a = {.text = {"", 0}};
        int32_t at = 0;
        TRY(take_added(&list->object.items[i], (int32_t)id, spec, &a, e));
        while (at < spec->n_added && all[at].id != a.id) at++;
        a.outside |= at < old && all[at].outside;
        if (a.text.n) all[at] = a;
        if (a.text.n && at == spec->n_added) spec->n_added++;
    }
    return true;
}

bool hf_tok_config(const Value *config, Str jinja, TokSpec *spec, Err *e) {
    bool add_bos = false, add_eos = false;
    TRY(config_added(config, spec, e));
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

/* Of the file in a directory, or beside one file of weights. What has another name is the tokenizer itself. */
static const char *const names[] = {"tokenizer.json", "tokenizer.model", "tekken.json"};

static const char *tokenizer_path(const char *given, Arena *a) {
    const char *slash = strrchr(given, '/'), *dot = strrchr(given, '.');
    const char *dir = given;
    if (!path_is_dir(given)) {
        if (!dot || strcmp(dot, ".safetensors") != 0) return given;
        dir = slash ? arena_strn(a, given, (size_t)(slash - given)) : ".";
    }
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *path = arena_printf(a, "%s/%s", dir, names[i]);
        struct stat st;
        if (stat(path, &st) == 0) return path;
    }
    return arena_printf(a, "%s/%s", dir, names[0]);
}

/* What a file is shows its beginning: JSON, with a member that only tekken.json has, or a SentencePiece model. */
static bool parse_any(Str file, TokSpec *spec, Err *e) {
    size_t i = 0;
    while (i < file.n && strchr(" \t\r\n", file.s[i]) && file.s[i]) i++;
    if (i < file.n && file.s[i] == '{') {
        bool tekken = memmem(file.s, MIN(file.n, 2048), "\"default_num_special_tokens\"", 28);
        return tekken ? tekken_tok_spec_parse(file, spec, e) : hf_tok_spec_parse(file, spec, e);
    }
    if (file.n && file.s[0] == '\n') return spm_tok_spec_parse(file, spec, e); /* field 1, bytes: the first piece */
    return hf_tok_spec_parse(file, spec, e);
}

bool hf_tok_spec(const char *dir_or_file, TokSpec *spec, Err *e) {
    Arena a = {0};
    Mapping m;
    const char *path = tokenizer_path(dir_or_file, &a);
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dir = arena_strn(&a, path, (size_t)(base - path));
    *spec = (TokSpec){0};
    bool ok = map_file(path, &m, e);
    if (ok) {
        ok = parse_any((Str){m.bytes, m.n}, spec, e) || err_prefix(e, "cannot read '%s'", path);
        unmap_file(&m);
    }
    /* A file of another name stands for itself: what lies beside it need not belong to it. */
    for (size_t i = 0; i < COUNT_OF(names) && ok; i++)
        if (strcmp(base, names[i]) == 0) ok = add_neighbours(dir, spec, e);
    if (!ok) tok_spec_release(spec);
    arena_release(&a);
    return ok;
}
