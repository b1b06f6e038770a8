#include "formats/dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/adapter.h"
#include "formats/store.h"

static const char temp_prefix[] = ".llmws-", temp_suffix[] = ".tmp";

const char *dir_of(Arena *a, const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    while (n && path[n - 1] != '/') n--;
    while (n > 1 && path[n - 1] == '/') n--;
    return n ? arena_strn(a, path, n) : ".";
}

Str path_last(Str path) {
    while (path.n > 1 && path.s[path.n - 1] == '/') path.n--;
    const char *slash = path.n > 1 ? memrchr(path.s, '/', path.n - 1) : NULL;
    return slash ? (Str){slash + 1, (size_t)(path.s + path.n - slash) - 1} : path;
}

bool dir_stage(const char *target, Arena *a, const char **stage, Err *e) {
    enum { TRIES = 100 };
    const char *folder = dir_of(a, target);
    for (int i = 0; i < TRIES; i++) {
        const char *path =
            store_join(a, folder, arena_printf(a, "%s%ld-%d%s", temp_prefix, (long)getpid(), i, temp_suffix));
        if (mkdir(path, 0777) == 0) return *stage = path, true;
        if (errno != EEXIST) break;
    }
    return err_set(e, ERR_IO, "cannot write '%s': %s", target, strerror(errno));
}

bool dir_begin(const char *target, Arena *a, const char **stage, Err *e) {
    struct stat st;
    if (lstat(target, &st) == 0) return err_set(e, ERR_IO, "cannot write '%s': it exists", target);
    return dir_stage(target, a, stage, e);
}

/* ---- what a folder holds ---- */

typedef struct Entry {
    const char *name, *path;
    bool dir; /* links are none */
} Entry;

typedef struct Folder {
    Entry *items;
    size_t n;
} Folder;

static int is_inner(const struct dirent *x) { return strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0; }

/* In the arena. What goes away meanwhile is left out. */
static bool folder_read(const char *path, Arena *a, Folder *out, Err *e) {
    struct dirent **list = NULL;
    const int n = scandir(path, &list, is_inner, NULL);
    bool ok = n >= 0 || err_set(e, ERR_IO, "cannot read '%s': %s", path, strerror(errno));
    *out = (Folder){ARENA_NEW(a, Entry, MAX(n, 0) + 1), 0};
    for (int i = 0; i < n; i++) {
        struct stat st;
        const char *name = arena_strn(a, list[i]->d_name, strlen(list[i]->d_name)), *inner = store_join(a, path, name);
        if (ok && lstat(inner, &st) == 0)
            out->items[out->n++] = (Entry){name, inner, S_ISDIR(st.st_mode)};
        else if (ok && errno != ENOENT)
            ok = err_set(e, ERR_IO, "cannot read '%s': %s", inner, strerror(errno));
        free(list[i]);
    }
    free(list);
    return ok;
}

/* ---- away ---- */

/* depth bounds what a broken file system can do to us. */
static bool remove_tree(const char *path, int depth) {
    Arena a = {0};
    Folder f = {0};
    if (depth) folder_read(path, &a, &f, NULL);
    for (size_t i = 0; i < f.n; i++)
        if (f.items[i].dir)
            remove_tree(f.items[i].path, depth - 1);
        else
            unlink(f.items[i].path);
    arena_release(&a);
    return rmdir(path) == 0;
}

bool dir_remove(const char *path) {
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) return remove_tree(path, 8);
    return unlink(path) == 0; /* a link alone, not what it leads to */
}

void dir_sweep(const char *folder) {
    Arena a = {0};
    Folder f = {0};
    folder_read(folder, &a, &f, NULL);
    for (size_t i = 0; i < f.n; i++) {
        const Str name = str_of(f.items[i].name);
        if (str_starts(name, temp_prefix) && str_ends(name, temp_suffix)) dir_remove(f.items[i].path);
    }
    arena_release(&a);
}

/* ---- in its place ---- */

/* File systems that cannot sync a folder are no failure. */
static bool sync_folder(const char *path, Err *e) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return true;
    bool ok = fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS ||
              err_set(e, ERR_IO, "cannot sync '%s': %s", path, strerror(errno));
    close(fd);
    return ok;
}

static bool sync_folder_of(const char *path, Err *e) {
    Arena a = {0};
    bool ok = sync_folder(dir_of(&a, path), e);
    arena_release(&a);
    return ok;
}

/* With the folders in it. */
static bool sync_stage(const char *stage, Err *e) {
    Arena a = {0};
    Folder f;
    bool ok = folder_read(stage, &a, &f, e);
    for (size_t i = 0; ok && i < f.n; i++) ok = !f.items[i].dir || sync_folder(f.items[i].path, e);
    arena_release(&a);
    return ok && sync_folder(stage, e);
}

static bool ended(bool ok, const char *stage) {
    if (!ok) dir_remove(stage);
    return ok;
}

bool dir_commit(bool filled, const char *stage, const char *target, Err *e) {
    bool ok = filled && sync_stage(stage, e);
    if (ok && rename(stage, target) != 0) ok = err_set(e, ERR_IO, "cannot write '%s': %s", target, strerror(errno));
    return ended(ok, stage) && sync_folder_of(target, e);
}

/* ---- over a model that stands ---- */

static const char *const tokenizer_files[] = {
    "tokenizer.json", "tokenizer.model",         "tekken.json",       "tokenizer_config.json", "vocab.json",
    "merges.txt",     "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",   "chat_template.json"};
static const char templates[] = "additional_chat_templates", generation[] = "generation_config.json";

/* What makes a directory a model or an adapter: without it the rest is neither. */
static bool is_head(const char *name) {
    return strcmp(name, "config.json") == 0 || strcmp(name, "model.safetensors.index.json") == 0 ||
           strcmp(name, ADAPTER_CONFIG) == 0;
}

/* Files of an older model that would be read instead of the new ones, or with them. */
static bool is_stale(const Entry *x) {
    const Str s = str_of(x->name);
    bool stale = strcmp(x->name, generation) == 0 || (str_starts(s, "model") && str_ends(s, ".safetensors"));
    for (size_t i = 0; i < COUNT_OF(tokenizer_files); i++) stale |= strcmp(x->name, tokenizer_files[i]) == 0;
    return strcmp(x->name, templates) == 0 || (stale && !x->dir);
}

typedef struct Swap {
    const char *stage, *target;
    bool begun; /* the target is no longer what it was */
} Swap;

/* What of the target goes first, or (rest) after that. An adapter that only stands beside a new model stays. */
static bool goes(const Swap *s, const Entry *x, bool rest, Arena *a) {
    if (strcmp(x->name, ADAPTER_CONFIG) == 0 && !path_exists(store_join(a, s->stage, x->name))) return false;
    return rest ? is_stale(x) : is_head(x->name) && !x->dir;
}

static bool remove_old(Swap *s, bool rest, Err *e) {
    Arena a = {0};
    Folder f;
    bool ok = folder_read(s->target, &a, &f, e);
    for (size_t i = 0; ok && i < f.n; i++) {
        const Entry *x = &f.items[i];
        if (!goes(s, x, rest, &a)) continue;
        ok = dir_remove(x->path) || err_set(e, ERR_IO, "cannot remove '%s': %s", x->path, strerror(errno));
        s->begun |= ok || x->dir;
    }
    arena_release(&a);
    return ok && sync_folder(s->target, e);
}

static bool move_new(Swap *s, bool heads, Err *e) {
    Arena a = {0};
    Folder f;
    bool ok = folder_read(s->stage, &a, &f, e);
    for (size_t i = 0; ok && i < f.n; i++) {
        const Entry *x = &f.items[i];
        if (is_head(x->name) != heads) continue;
        ok = rename(x->path, store_join(&a, s->target, x->name)) == 0 ||
             err_set(e, ERR_IO, "cannot move '%s' to '%s': %s", x->path, s->target, strerror(errno));
        s->begun |= ok;
    }
    arena_release(&a);
    return ok && sync_folder(s->target, e);
}

static bool move_over(const char *stage, const char *target, Err *e) {
    Swap s = {.stage = stage, .target = target};
    Err why = {0};
    if (remove_old(&s, false, &why) && remove_old(&s, true, &why) && move_new(&s, false, &why) &&
        move_new(&s, true, &why))
        return rmdir(stage), true;
    if (!s.begun) return ended(err_set(e, ERR_IO, "%s", why.msg), stage);
    return err_set(e, ERR_IO, "%s; '%s' is no model now: what is missing of the new one is in '%s', move it there",
                   why.msg, target, stage);
}

bool dir_replace(bool filled, const char *stage, const char *target, Err *e) {
    if (!filled || !sync_stage(stage, e)) return ended(false, stage);
    if (rename(stage, target) == 0) return sync_folder_of(target, e);
    if (errno == ENOTEMPTY || errno == EEXIST) return move_over(stage, target, e);
    return ended(err_set(e, ERR_IO, "cannot write '%s': %s", target, strerror(errno)), stage);
}

/* ---- what stands beside the weights ---- */

static bool is_weights(const char *name) {
    static const char *const ends[] = {
        ".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".gguf", ".pt", ".pth", ".h5", ".msgpack",
        ".onnx"};
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        if (str_ends(str_of(name), ends[i])) return true;
    return strcmp(name, "config.json") == 0 || strcmp(name, "trainer_state") == 0;
}

static bool copy_file(const char *from, const char *to, Err *e) {
    Mapping m;
    TRY(map_file(from, &m, e));
    bool ok = write_text_file(to, (Str){m.bytes, m.n}, e);
    unmap_file(&m);
    return ok;
}

static bool copy_files(const char *from, const char *to, Err *e) {
    Arena a = {0};
    Folder f;
    bool ok = folder_read(from, &a, &f, e);
    for (size_t i = 0; ok && i < f.n; i++) {
        const Entry *x = &f.items[i];
        struct stat st;
        if (x->name[0] == '.' || is_weights(x->name)) continue;
        if (stat(x->path, &st) == 0)
            ok = !S_ISREG(st.st_mode) || copy_file(x->path, store_join(&a, to, x->name), e);
        else if (errno != ENOENT) /* a link that leads nowhere */
            ok = err_set(e, ERR_IO, "cannot read '%s': %s", x->path, strerror(errno));
    }
    arena_release(&a);
    return ok;
}

static bool copy_templates(const char *from, const char *to, Err *e) {
    Arena a = {0};
    struct stat st;
    const char *more = store_join(&a, from, templates), *there = store_join(&a, to, templates);
    bool ok = true;
    if (stat(more, &st) == 0 && S_ISDIR(st.st_mode))
        ok = (mkdir(there, 0777) == 0 || err_set(e, ERR_IO, "cannot make '%s': %s", there, strerror(errno))) &&
             copy_files(more, there, e);
    arena_release(&a);
    return ok;
}

bool dir_copy_beside(const char *from, const char *to, Err *e) {
    return copy_files(from, to, e) && copy_templates(from, to, e);
}

bool dir_copy_tokenizer(const char *from, const char *to, Err *e) {
    Arena a = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < COUNT_OF(tokenizer_files); i++) {
        const char *path = store_join(&a, from, tokenizer_files[i]);
        if (path_exists(path)) ok = copy_file(path, store_join(&a, to, tokenizer_files[i]), e);
    }
    arena_release(&a);
    return ok && copy_templates(from, to, e);
}
