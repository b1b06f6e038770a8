/* What is kept of models for later days: hashes of their files, and what the reference gave. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/json_out.h"
#include "cmd/test_models.h"
#include "formats/json.h"

const char *path_end(const char *path) {
    const char *end = path;
    for (const char *c = path; *c; c++)
        if (*c == '/' && c[1] && c[1] != '/') end = c + 1;
    return end;
}

static Str name_of(const char *path) {
    Str s = str_of(path_end(path));
    while (s.n > 1 && s.s[s.n - 1] == '/') s.n--;
    return s;
}

/* ---- hashes ---- */

static bool hash_file(const char *path, FileHash *h, Err *e) {
    enum { PIECE = 1 << 22 };
    Mapping m;
    Sha256 s;
    TRY(map_model(path, &m, e));
    sha256_begin(&s);
    for (size_t at = 0; at < m.n; at += PIECE) sha256_add(&s, m.bytes + at, MIN((size_t)PIECE, m.n - at));
    sha256_end(&s, h->sha256);
    h->bytes = (int64_t)m.n;
    unmap_file(&m);
    return true;
}

/* Files of a Hugging Face directory that say something of the model. */
static bool model_file(const char *name) {
    static const char *const ends[] = {".safetensors", ".json", ".model", ".jinja", ".txt"};
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        if (name[0] != '.' && str_ends(str_of(name), ends[i])) return true;
    return false;
}

static int by_path(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

bool hash_files(const TensorFile *f, Arena *a, FileHash **out, size_t *n, Err *e) {
    OptList paths = {0};
    DIR *d = f->format == STORE_HF ? opendir(f->path) : NULL;
    for (struct dirent *entry; d && (entry = readdir(d));) {
        if (!model_file(entry->d_name)) continue;
        paths.items = mem_grow(paths.items, paths.n + 1, sizeof *paths.items);
        paths.items[paths.n++] = arena_printf(a, "%s/%s", f->path, entry->d_name);
    }
    for (size_t i = 0; !d && i < f->n_files; i++) {
        paths.items = mem_grow(paths.items, paths.n + 1, sizeof *paths.items);
        paths.items[paths.n++] = arena_strn(a, f->files[i], strlen(f->files[i]));
    }
    if (d) closedir(d);
    if (paths.n) qsort(paths.items, paths.n, sizeof *paths.items, by_path);
    bool ok = true;
    *out = ARENA_NEW(a, FileHash, paths.n + 1);
    for (*n = 0; ok && *n < paths.n; ++*n) {
        (*out)[*n].name = path_end(paths.items[*n]);
        ok = hash_file(paths.items[*n], &(*out)[*n], e);
    }
    free(paths.items);
    return ok;
}

/* ---- records ---- */

const ModelRecord *records_find(const Records *r, const char *model_path) {
    for (size_t i = 0; i < r->n; i++)
        if (str_is(name_of(model_path), r->models[i].model)) return &r->models[i];
    return NULL;
}

bool records_add(Records *r, const char *model_path, ModelRecord **out, Err *e) {
    Str name = name_of(model_path);
    if (records_find(r, model_path))
        return err_set(e, ERR_USAGE, "two models are named '%.*s'; record them in two files", STR_ARG(name));
    r->models = mem_grow(r->models, r->n + 1, sizeof *r->models);
    *out = &r->models[r->n++];
    **out = (ModelRecord){.model = arena_strn(&r->arena, name.s, name.n)};
    return true;
}

void records_release(Records *r) {
    free(r->models);
    arena_release(&r->arena);
}

static void put_model(Buf *b, const ModelRecord *m) {
    const CheckRecord *c = &m->check;
    buf_char(b, '{');
    json_str(b, "model", str_of(m->model));
    json_key(b, "files");
    buf_char(b, '[');
    for (size_t i = 0; i < m->n_files; i++) {
        buf_str(b, i ? ",{" : "{");
        json_str(b, "name", str_of(m->files[i].name));
        json_int(b, "bytes", m->files[i].bytes);
        json_str(b, "sha256", str_of(m->files[i].sha256));
        buf_char(b, '}');
    }
    buf_char(b, ']');
    json_str(b, "templates", str_of(c->templates));
    json_num(b, "ppl", c->ppl);
    json_ids(b, "ids", c->ids, (size_t)c->n_ids);
    json_key(b, "logits");
    buf_char(b, '[');
    for (size_t i = 0; i < COUNT_OF(c->logits); i++) buf_printf(b, i ? ",%.9g" : "%.9g", (double)c->logits[i]);
    buf_str(b, "]}");
}

bool records_write(const Records *r, const char *path, Err *e) {
    Buf b = {0};
    buf_str(&b, "{\"llmws_record\":1,\"models\":[\n");
    for (size_t i = 0; i < r->n; i++) {
        put_model(&b, &r->models[i]);
        buf_str(&b, i + 1 < r->n ? ",\n" : "\n");
    }
    buf_str(&b, "]}\n");
    bool ok = write_text_file(path, buf_view(&b), e);
    buf_release(&b);
    return ok;
}

static bool read_hash(const Value *v, const char *what, char out[SHA256_TEXT], Err *e) {
    Str s = {0};
    TRY(value_as_str(v, what, &s, e));
    if (s.n && s.n != SHA256_TEXT - 1) return err_set(e, ERR_INPUT, "'%s' is no SHA-256", what);
    memcpy(out, s.s ? s.s : "", s.n);
    out[s.n] = 0;
    return true;
}

static bool read_file_hash(Records *r, const Value *v, FileHash *h, Err *e) {
    Str name = {0};
    TRY(value_as_str(value_get(v, "name"), "name", &name, e) &&
        value_as_int(value_get(v, "bytes"), "bytes", &h->bytes, e) &&
        read_hash(value_get(v, "sha256"), "sha256", h->sha256, e));
    h->name = arena_strn(&r->arena, name.s ? name.s : "", name.n);
    return true;
}

static bool read_numbers(const Value *m, CheckRecord *c, Err *e) {
    const Value *ids = value_get(m, "ids"), *logits = value_get(m, "logits");
    Value item;
    size_t cursor = 0, n = 0;
    if (value_count(ids) > COUNT_OF(c->ids) || value_count(logits) != COUNT_OF(c->logits))
        return err_set(e, ERR_INPUT, "%zu ids and %zu logits, where %zu and %zu belong", value_count(ids),
                       value_count(logits), COUNT_OF(c->ids), COUNT_OF(c->logits));
    while (ids && value_next(ids, &cursor, &item)) {
        int64_t id = 0;
        TRY(value_as_int(&item, "ids", &id, e));
        c->ids[c->n_ids++] = (int32_t)id;
    }
    for (cursor = 0; value_next(logits, &cursor, &item); n++) {
        double x = 0;
        TRY(value_as_float(&item, "logits", &x, e));
        c->logits[n] = (float)x;
    }
    return value_as_float(value_get(m, "ppl"), "ppl", &c->ppl, e) &&
           read_hash(value_get(m, "templates"), "templates", c->templates, e);
}

static bool read_model(Records *r, const Value *v, Err *e) {
    const Value *files = value_get(v, "files");
    ModelRecord *m;
    Value item;
    size_t cursor = 0;
    Str name = {0};
    TRY(value_as_str(value_get(v, "model"), "model", &name, e));
    if (!name.n) return err_set(e, ERR_INPUT, "a model without a name");
    TRY(records_add(r, arena_strn(&r->arena, name.s, name.n), &m, e));
    m->files = ARENA_NEW(&r->arena, FileHash, value_count(files) + 1);
    while (files && value_next(files, &cursor, &item)) TRY(read_file_hash(r, &item, &m->files[m->n_files++], e));
    return read_numbers(v, &m->check, e);
}

bool records_read(Records *r, const char *path, Err *e) {
    Buf text = {0};
    Value v = {0}, item;
    size_t cursor = 0;
    int64_t version = 0;
    bool ok = read_text(path, &text, e);
    if (ok) {
        ok = json_parse(buf_view(&text), path, &r->arena, &v, e) &&
             value_as_int(value_get(&v, "llmws_record"), "llmws_record", &version, e);
        if (ok && version != 1) ok = err_set(e, ERR_INPUT, "it is no record of llmws test-models --record");
        const Value *models = value_get(&v, "models");
        while (ok && models && value_next(models, &cursor, &item)) ok = read_model(r, &item, e);
        if (!ok) e->code = ERR_INPUT, err_prefix(e, "cannot use the record '%s'", path);
    }
    buf_release(&text);
    return ok;
}
