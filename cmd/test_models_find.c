/* Which models a machine has: named, found in folders, or listed in its machine file. */
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cmd/test_models.h"
#include "formats/builtin.h"
#include "formats/json.h"

static const char machine_file[] = ".llmws-test.json";

static void add_model(TestPlan *p, const char *path, TestBounds bounds) {
    p->models = mem_grow(p->models, p->n + 1, sizeof *p->models);
    p->models[p->n++] = (TestModel){path, bounds};
}

static bool is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static const char *joined(TestPlan *p, const char *dir, const char *name) {
    return arena_printf(&p->arena, "%s%s%s", dir, str_ends(str_of(dir), "/") ? "" : "/", name);
}

/* Later parts of a model in several GGUF files come with the first: name-00002-of-00003.gguf. */
static bool later_part(const char *name) {
    size_t n = strlen(name), tail = strlen("-00001-of-00001.gguf");
    if (n < tail) return false;
    const char *t = name + n - tail;
    return t[0] == '-' && memcmp(t + 6, "-of-", 4) == 0 && strspn(t + 1, "0123456789") == 5 &&
           memcmp(t + 1, "00001", 5) != 0;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static OptList sorted_names(TestPlan *p, const char *dir) {
    OptList names = {0};
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        if (entry->d_name[0] == '.') continue;
        names.items = mem_grow(names.items, names.n + 1, sizeof *names.items);
        names.items[names.n++] = arena_strn(&p->arena, entry->d_name, strlen(entry->d_name));
    }
    if (d) closedir(d);
    if (names.n) qsort(names.items, names.n, sizeof *names.items, by_name);
    return names;
}

/* A folder with config.json and weights is a model, and nothing is looked for below it. */
static void search(TestPlan *p, const char *dir, int depth) {
    enum { DEEPEST = 8 };
    bool config = false, weights = false;
    OptList names = sorted_names(p, dir);
    for (size_t i = 0; i < names.n; i++) {
        config = config || strcmp(names.items[i], "config.json") == 0;
        weights = weights || str_ends(str_of(names.items[i]), ".safetensors");
    }
    if (config && weights) {
        add_model(p, dir, (TestBounds){0});
        names.n = 0;
    }
    for (size_t i = 0; i < names.n; i++) {
        const char *path = joined(p, dir, names.items[i]);
        if (is_dir(path)) {
            if (depth < DEEPEST) search(p, path, depth + 1);
        } else if (str_ends(str_of(path), ".gguf") && !later_part(names.items[i])) {
            add_model(p, path, (TestBounds){0});
        }
    }
    free(names.items);
}

/* ---- the machine file ---- */

static bool known_keys(const Value *v, const char *const *keys, size_t n, Err *e) {
    for (size_t i = 0; i < v->object.n; i++) {
        Buf key = {0};
        bool known = false;
        buf_put(&key, v->object.keys[i].s, v->object.keys[i].n);
        for (size_t k = 0; k < n; k++) known = known || strcmp(keys[k], key.s) == 0;
        const char *near = known ? NULL : nearest_word(key.s, keys, n);
        if (!known)
            err_set(e, ERR_INPUT, near ? "unknown key '%s' (did you mean '%s'?)" : "unknown key '%s'", key.s, near);
        buf_release(&key);
        if (!known) return false;
    }
    return true;
}

static bool read_bounds(const Value *v, TestBounds *b, Err *e) {
    return value_as_float(value_get(v, "max_ppl"), "max_ppl", &b->max_ppl, e) &&
           value_as_float(value_get(v, "min_prompt_tok_s"), "min_prompt_tok_s", &b->min_prompt_tok_s, e) &&
           value_as_float(value_get(v, "min_decode_tok_s"), "min_decode_tok_s", &b->min_decode_tok_s, e);
}

/* Paths of the file are relative to its folder. */
static const char *placed(TestPlan *p, const char *dir, Str path) {
    const char *z = arena_strn(&p->arena, path.s, path.n);
    return z[0] == '/' || builtin_is(z) ? z : joined(p, dir, z);
}

static bool machine_model(TestPlan *p, const char *dir, const Value *v, Err *e) {
    static const char *const keys[] = {"path", "max_ppl", "min_prompt_tok_s", "min_decode_tok_s"};
    TestBounds bounds = {0};
    const Value *named = v;
    Str path = {0};
    if (v->kind == VALUE_OBJECT) {
        TRY(known_keys(v, keys, COUNT_OF(keys), e) && read_bounds(v, &bounds, e));
        named = value_get(v, "path");
    }
    TRY(value_as_str(named, "path", &path, e));
    if (!path.n) return err_set(e, ERR_INPUT, "a model without a path");
    add_model(p, placed(p, dir, path), bounds);
    return true;
}

static bool machine_backends(TestPlan *p, const Value *list, Err *e) {
    Value item;
    size_t cursor = 0;
    if (!list) return true;
    p->cpu = p->cuda = false;
    while (value_next(list, &cursor, &item)) {
        Str name = {0};
        TRY(value_as_str(&item, "backends", &name, e));
        if (str_is(name, "cpu"))
            p->cpu = true;
        else if (str_is(name, "cuda"))
            p->cuda = true;
        else
            return err_set(e, ERR_INPUT, "backend '%.*s' is unknown; known: cpu, cuda", STR_ARG(name));
    }
    return true;
}

static bool machine_take(TestPlan *p, const char *dir, const Value *v, Err *e) {
    static const char *const keys[] = {"models",  "backends",         "threads",         "record",
                                       "max_ppl", "min_prompt_tok_s", "min_decode_tok_s"};
    const Value *models = value_get(v, "models");
    Value item;
    size_t cursor = 0;
    int64_t threads = p->threads;
    Str record = {0};
    if (v->kind != VALUE_OBJECT) return err_set(e, ERR_INPUT, "no JSON object");
    TRY(known_keys(v, keys, COUNT_OF(keys), e) && read_bounds(v, &p->bounds, e));
    TRY(machine_backends(p, value_get(v, "backends"), e));
    TRY(value_as_int(value_get(v, "threads"), "threads", &threads, e));
    if (threads < 0 || threads > 1024) return err_set(e, ERR_INPUT, "%lld threads", (long long)threads);
    p->threads = (int)threads;
    TRY(value_as_str(value_get(v, "record"), "record", &record, e));
    if (record.n) p->record = placed(p, dir, record);
    while (models && value_next(models, &cursor, &item)) TRY(machine_model(p, dir, &item, e));
    if (!models) search(p, dir, 0);
    return true;
}

static bool machine_read(TestPlan *p, const char *dir, const char *path, Err *e) {
    Buf text = {0};
    Value v;
    bool ok = read_text(path, &text, e);
    if (ok && !(json_parse(buf_view(&text), path, &p->arena, &v, e) && machine_take(p, dir, &v, e))) {
        ok = false;
        err_prefix(e, "machine file '%s'", path);
    }
    buf_release(&text);
    return ok;
}

/* Of the folder we are in, or of the user. */
static bool machine_find(TestPlan *p, Err *e) {
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (path_exists(machine_file)) return machine_read(p, ".", machine_file, e);
    if (!(config && *config) && !(home && *home)) return true;
    const char *dir = config && *config ? arena_printf(&p->arena, "%s/llmws", config)
                                        : arena_printf(&p->arena, "%s/.config/llmws", home);
    const char *path = joined(p, dir, "test.json");
    return !path_exists(path) || machine_read(p, dir, path, e);
}

static bool take_word(TestPlan *p, const char *a, const char **record, Err *e) {
    const char *file = joined(p, a, machine_file);
    if (is_dir(a) && path_exists(file)) return machine_read(p, a, file, e);
    if (is_dir(a))
        search(p, a, 0);
    else if (str_ends(str_of(a), ".json"))
        *record = a;
    else
        add_model(p, a, (TestBounds){0});
    return true;
}

/* Where nobody names a model: $LLMWS_MODEL, or those that are part of the program. */
static void add_own(TestPlan *p) {
    const char *env = getenv("LLMWS_MODEL");
    if (env && *env) return add_model(p, env, (TestBounds){0});
    for (size_t i = 0; i < builtin_count; i++) add_model(p, builtin_models[i].name, (TestBounds){0});
}

bool test_plan_make(TestPlan *p, const RunOpts *o, Err *e) {
    const char *record = NULL;
    *p = (TestPlan){.cpu = true, .cuda = true, .bounds.max_ppl = 200};
    if (o->model) TRY(take_word(p, o->model, &record, e));
    for (size_t i = 0; i < o->args.n; i++) TRY(take_word(p, o->args.items[i], &record, e));
    if (!o->model && o->args.n == (record != NULL)) {
        TRY(machine_find(p, e));
        if (!p->n) add_own(p);
    }
    if (record) p->record = record;
    return true;
}

void test_plan_release(TestPlan *p) {
    free(p->models);
    arena_release(&p->arena);
}
