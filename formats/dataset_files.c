/* The files of a dataset: found once, mapped only while they are read. */
#include "formats/dataset_impl.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "formats/formats.h"
#include "formats/store.h"

enum { FOLDERS_DEEP = 32, LOOK_BYTES = 8 << 10 };

static bool ends_with_any(const char *name, const char *const *ends, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_ends(str_of(name), ends[i])) return true;
    return false;
}

/* By name, else by how it begins. */
static bool file_kind(const char *path, bool *text, Err *e) {
    static const char *const lines[] = {".jsonl", ".ndjson", ".json"};
    Mapping m;
    *text = str_ends(str_of(path), ".txt");
    TRY(map_file(path, &m, e));
    bool named = *text || ends_with_any(path, lines, COUNT_OF(lines));
    size_t look = MIN(m.n, LOOK_BYTES), i = m.n >= 3 && memcmp(m.bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    bool binary = !named && memchr(m.bytes, 0, look);
    while (i < look && strchr(" \t\r\n", m.bytes[i]) && m.bytes[i]) i++;
    if (!named) *text = !(i < look && m.bytes[i] == '{');
    unmap_file(&m);
    return !binary ||
           err_set(e, ERR_INPUT, "cannot train on '%s': it is neither text nor JSON lines; leave it out", path);
}

static bool add_file(Corpus *c, const char *path, int64_t bytes, Err *e) {
    DataFile f = {.path = path, .bytes = bytes};
    TRY(file_kind(path, &f.text, e));
    if ((c->n_files & (c->n_files - 1)) == 0) /* full: the capacity is the next power of two */
        c->files = mem_grow(c->files, c->n_files ? 2 * c->n_files : 1, sizeof f);
    c->files[c->n_files++] = f;
    if (c->n_files > INT32_MAX) return err_set(e, ERR_INPUT, "cannot train on '%s': too many files", path);
    return true;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static int is_shown(const struct dirent *x) { return x->d_name[0] != '.'; }

/* What trainings wrote is no text to learn: also of the run that is about to begin, which may lie among its data. */
static bool is_run(const char *dir) {
    Arena a = {0};
    bool is = path_is_dir(store_join(&a, dir, "checkpoints")) && path_exists(store_join(&a, dir, "events.jsonl"));
    arena_release(&a);
    return is;
}

static bool add_path(Corpus *c, const char *path, int depth, Err *e);

static bool add_folder(Corpus *c, const char *dir, int depth, Err *e) {
    struct dirent **list = NULL;
    if (depth > FOLDERS_DEEP) return err_set(e, ERR_INPUT, "cannot read '%s': folders are nested too deeply", dir);
    int n = scandir(dir, &list, is_shown, by_name);
    if (n < 0) return err_set(e, ERR_INPUT, "cannot read '%s': %s", dir, strerror(errno));
    bool ok = true;
    size_t len = strlen(dir);
    for (int i = 0; i < n; i++) {
        if (ok)
            ok = add_path(
                c, arena_printf(&c->arena, "%s%s%s", dir, len && dir[len - 1] == '/' ? "" : "/", list[i]->d_name),
                depth + 1, e);
        free(list[i]);
    }
    free(list);
    return ok;
}

static bool add_path(Corpus *c, const char *path, int depth, Err *e) {
    struct stat st;
    if (stat(path, &st) != 0) return err_set(e, ERR_INPUT, "cannot open '%s': %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) return (depth && is_run(path)) || add_folder(c, path, depth, e);
    return add_file(c, path, (int64_t)st.st_size, e);
}

bool corpus_open(Corpus *c, const char *const *paths, size_t n, Err *e) {
    *c = (Corpus){0};
    if (!n) return err_set(e, ERR_USAGE, "nothing to train on: no file is named");
    for (size_t i = 0; i < n; i++) {
        size_t from = c->n_files;
        int64_t bytes = 0;
        TRY(add_path(c, arena_strn(&c->arena, paths[i], strlen(paths[i])), 0, e));
        for (size_t k = from; k < c->n_files; k++) bytes += c->files[k].bytes;
        if (c->n_files == from)
            return err_set(e, ERR_INPUT, "cannot train on '%s': the folder holds no file", paths[i]);
        if (!bytes) return err_set(e, ERR_INPUT, "cannot train on '%s': it is empty", paths[i]);
    }
    return true;
}

void corpus_close(Corpus *c) {
    arena_release(&c->arena);
    free(c->files);
    *c = (Corpus){0};
}
