/* Hugging Face directories: config.json, generation_config.json, and model.safetensors or the shards that
 * model.safetensors.index.json lists. */
#include "formats/json.h"
#include "formats/store.h"

#include <stdlib.h>

#define SINGLE "model.safetensors"
#define INDEX  "model.safetensors.index.json"

/* A small JSON file as a tree whose strings lie in f's arena. */
static bool read_json(TensorFile *f, const char *path, Value *out, Err *e) {
    Mapping m;
    TRY(map_file(path, &m, e));
    bool ok = json_parse((Str){m.bytes, m.n}, path, &f->arena, out, e);
    unmap_file(&m);
    if (ok && out->kind != VALUE_OBJECT) return err_set(e, ERR_INPUT, "cannot read '%s': not a JSON object", path);
    return ok;
}

static bool read_configs(TensorFile *f, const char *dir, Err *e) {
    const char *config = store_join(&f->arena, dir, "config.json");
    const char *generation = store_join(&f->arena, dir, "generation_config.json");
    if (!path_exists(config))
        return err_set(e, ERR_INPUT, "cannot open '%s': no model directory, it has no config.json", dir);
    TRY(read_json(f, config, &f->meta, e));
    return !path_exists(generation) || read_json(f, generation, &f->generation, e);
}

static bool read_file(TensorFile *f, const char *path, Buf *list, Err *e) {
    Mapping m;
    Value metadata;
    TRY(store_map(f, path, &m, e));
    if (safetensors_parse(f, (Str){m.bytes, m.n}, (int)f->n_files - 1, list, &metadata, e)) return true;
    return err_prefix(e, "cannot read '%s'", path);
}

/* ---- shards ---- */

typedef struct Index { /* of model.safetensors.index.json; names lie in the arena */
    Buf tensors, of;   /* Str each, int32_t each: tensor i stands in shard of[i] */
    Buf shards;        /* Str each */
    StrMap shard_map;
} Index;

/* A plain file name: nothing that leads out of the directory. */
static bool is_plain(Str name) {
    return name.n && name.n < 256 && !memchr(name.s, '/', name.n) && !memchr(name.s, 0, name.n) && !str_is(name, ".") &&
           !str_is(name, "..");
}

static bool index_add(Index *x, TensorFile *f, Json *j, Err *e) {
    Str name = {arena_strn(&f->arena, j->str.s, j->str.n), j->str.n};
    JsonEvent ev = json_next(j);
    if (ev != JSON_STR || !is_plain(j->str))
        return err_set(e, ERR_INPUT, "weight_map: '%.100s' does not name a file of the directory", name.s);
    int32_t shard = strmap_get(&x->shard_map, j->str);
    if (shard < 0) {
        Str file = {arena_strn(&f->arena, j->str.s, j->str.n), j->str.n};
        shard = (int32_t)(x->shards.n / sizeof file);
        strmap_put(&x->shard_map, &f->arena, file, shard);
        buf_put(&x->shards, &file, sizeof file);
    }
    buf_put(&x->tensors, &name, sizeof name);
    buf_put(&x->of, &shard, sizeof shard);
    return true;
}

static bool index_read_map(Index *x, TensorFile *f, Json *j, Err *e) {
    JsonEvent ev = json_next(j);
    if (x->tensors.n || ev != JSON_OBJECT) return err_set(e, ERR_INPUT, "weight_map must be one object");
    while ((ev = json_next(j)) == JSON_KEY) TRY(index_add(x, f, j, e));
    return ev == JSON_OBJECT_END;
}

static bool index_read(Index *x, TensorFile *f, Str text, Err *e) {
    Json j;
    json_begin(&j, text);
    JsonEvent ev = json_next(&j);
    bool ok = ev == JSON_OBJECT || (ev != JSON_FAIL && err_set(e, ERR_INPUT, "not a JSON object"));
    while (ok && (ev = json_next(&j)) == JSON_KEY)
        ok = str_is(j.str, "weight_map") ? index_read_map(x, f, &j, e) : json_skip(&j);
    if (ok) ok = ev == JSON_OBJECT_END && json_next(&j) == JSON_DONE;
    if (ok && !x->tensors.n) ok = err_set(e, ERR_INPUT, "it has no weight_map");
    if (j.err.code && e) *e = j.err;
    json_end(&j);
    return ok;
}

/* Every tensor stands where the index says, and the index names every tensor. */
static bool index_check(const Index *x, const TensorFile *f, bool *named, Err *e) {
    const Str *names = (const Str *)(void *)x->tensors.s, *shards = (const Str *)(void *)x->shards.s;
    const int32_t *of = (const int32_t *)(void *)x->of.s;
    for (size_t i = 0; i < x->tensors.n / sizeof *names; i++) {
        const NamedTensor *t = tensor_file_find(f, names[i]);
        if (!t || t->file != of[i])
            return err_set(e, ERR_INPUT, "weight_map: tensor '%.100s' is not in '%.100s'", names[i].s, shards[of[i]].s);
        if (named[t - f->tensors]) return err_set(e, ERR_INPUT, "weight_map: '%.100s' stands twice", names[i].s);
        named[t - f->tensors] = true;
    }
    for (size_t i = 0; i < f->n; i++)
        if (!named[i])
            return err_set(e, ERR_INPUT, "weight_map does not name tensor '%.100s' of '%.100s'", f->tensors[i].name.s,
                           f->files[f->tensors[i].file]);
    return true;
}

static bool read_shards(TensorFile *f, const char *dir, const char *path, Buf *list, Err *e) {
    Mapping m;
    Index x = {0};
    TRY(map_file(path, &m, e));
    bool ok = index_read(&x, f, (Str){m.bytes, m.n}, e) || err_prefix(e, "cannot read '%s'", path);
    unmap_file(&m);
    const Str *shards = (const Str *)(void *)x.shards.s;
    for (size_t i = 0; ok && i < x.shards.n / sizeof *shards; i++)
        ok = read_file(f, store_join(&f->arena, dir, shards[i].s), list, e);
    if (ok) {
        store_take_list(f, list);
        bool *named = mem_alloc(f->n, sizeof *named);
        ok = index_check(&x, f, named, e) || err_prefix(e, "cannot read '%s'", path);
        free(named);
    }
    buf_release(&x.tensors);
    buf_release(&x.of);
    buf_release(&x.shards);
    return ok;
}

/* ---- opening ---- */

/* A single file comes first, as in transformers. */
static bool read_weights(TensorFile *f, const char *dir, Err *e) {
    Buf list = {0};
    const char *single = store_join(&f->arena, dir, SINGLE), *index = store_join(&f->arena, dir, INDEX);
    bool ok;
    if (path_exists(single)) {
        ok = read_file(f, single, &list, e);
        if (ok) store_take_list(f, &list);
    } else if (path_exists(index)) {
        ok = read_shards(f, dir, index, &list, e);
    } else {
        bool pickle = path_exists(store_join(&f->arena, dir, "pytorch_model.bin"));
        ok = err_set(e, ERR_INPUT, "cannot open '%s': it has neither " SINGLE " nor " INDEX "%s", dir,
                     pickle ? "; pytorch_model.bin is not read, save the model as safetensors" : "");
    }
    buf_release(&list);
    return ok;
}

bool hf_open(const char *dir, TensorFile *f, Err *e) {
    store_begin(f, STORE_HF, dir);
    return store_end(f, read_configs(f, dir, e) && read_weights(f, dir, e));
}

bool hf_open_file(const char *path, TensorFile *f, Err *e) {
    Buf list = {0};
    const char *slash = strrchr(path, '/');
    store_begin(f, STORE_HF, path);
    const char *dir = slash ? arena_strn(&f->arena, path, (size_t)(slash - path) + 1) : ".";
    bool ok = read_configs(f, dir, e) && read_file(f, path, &list, e);
    if (ok) store_take_list(f, &list);
    buf_release(&list);
    return store_end(f, ok);
}
