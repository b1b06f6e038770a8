#include "formats/dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/formats.h"
#include "formats/store.h"

static const char temp_prefix[] = ".llmws-", temp_suffix[] = ".tmp";

const char *dir_of(Arena *a, const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    while (n && path[n - 1] != '/') n--;
    while (n > 1 && path[n - 1] == '/') n--;
    return n ? arena_strn(a, path, n) : ".";
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

static bool ended(bool ok, const char *stage) {
    if (!ok) dir_remove(stage);
    return ok;
}

bool dir_commit(bool filled, const char *stage, const char *target, Err *e) {
    bool ok = filled && sync_folder(stage, e);
    if (ok && rename(stage, target) != 0) ok = err_set(e, ERR_IO, "cannot write '%s': %s", target, strerror(errno));
    return ended(ok, stage) && sync_folder_of(target, e);
}

/* ---- over a model that stands ---- */

typedef enum Which {
    ALL,
    STALE,     /* weights of an older model, which would be read instead of the new ones */
    NAMES,     /* what makes a directory a model: to be moved last */
    BUT_NAMES, /* all others */
} Which;

static bool is_among(const char *name, bool dir, Which which) {
    Str s = str_of(name);
    bool names = strcmp(name, "model.safetensors.index.json") == 0 || strcmp(name, "config.json") == 0;
    bool weights = str_starts(s, "model") && (str_ends(s, ".safetensors") || str_ends(s, ".safetensors.index.json"));
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return false;
    return which == ALL || (which == STALE ? weights && !dir : names == (which == NAMES));
}

static bool move_files(const char *from, const char *to, Which which, Err *e);

static bool move_one(const char *path, const char *there, bool dir, Err *e) {
    if (dir && there && mkdir(there, 0777) != 0 && errno != EEXIST)
        return err_set(e, ERR_IO, "cannot make '%s': %s", there, strerror(errno));
    if (dir) return move_files(path, there, ALL, e) && (rmdir(path), true);
    return (there ? rename(path, there) : unlink(path)) == 0 ||
           err_set(e, ERR_IO, "cannot %s '%s': %s", there ? "move" : "remove", path, strerror(errno));
}

/* Files of `from` to `to`, or where that is NULL away. */
static bool move_files(const char *from, const char *to, Which which, Err *e) {
    Arena a = {0};
    DIR *d = opendir(from);
    bool ok = d || err_set(e, ERR_IO, "cannot open '%s': %s", from, strerror(errno));
    for (struct dirent *x; ok && (x = readdir(d));) {
        const char *path = store_join(&a, from, x->d_name);
        struct stat st;
        if (lstat(path, &st) != 0 || !is_among(x->d_name, S_ISDIR(st.st_mode), which)) continue;
        ok = move_one(path, to ? store_join(&a, to, x->d_name) : NULL, S_ISDIR(st.st_mode), e);
    }
    if (d) closedir(d);
    arena_release(&a);
    return ok;
}

static bool move_over(const char *stage, const char *target, Err *e) {
    TRY(move_files(target, NULL, STALE, e) && move_files(stage, target, BUT_NAMES, e) && sync_folder(target, e) &&
        move_files(stage, target, NAMES, e));
    rmdir(stage);
    return sync_folder(target, e);
}

bool dir_replace(bool filled, const char *stage, const char *target, Err *e) {
    if (!filled) return ended(false, stage);
    if (rename(stage, target) == 0) return sync_folder_of(target, e);
    if (errno == ENOTEMPTY || errno == EEXIST) return ended(move_over(stage, target, e), stage);
    return ended(err_set(e, ERR_IO, "cannot write '%s': %s", target, strerror(errno)), stage);
}

/* ---- away ---- */

/* depth bounds what a broken file system can do to us. */
static void remove_tree(const char *path, int depth) {
    Arena a = {0};
    DIR *d = opendir(path);
    for (struct dirent *x; d && depth && (x = readdir(d));) {
        struct stat st;
        const char *inner = store_join(&a, path, x->d_name);
        if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0 || lstat(inner, &st) != 0) continue;
        if (S_ISDIR(st.st_mode))
            remove_tree(inner, depth - 1);
        else
            unlink(inner);
    }
    if (d) closedir(d);
    rmdir(path);
    arena_release(&a);
}

void dir_remove(const char *path) {
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
        remove_tree(path, 8);
    else
        unlink(path); /* a link alone, not what it leads to */
}

void dir_sweep(const char *folder) {
    Arena a = {0};
    DIR *d = opendir(folder);
    for (struct dirent *x; d && (x = readdir(d));) {
        Str name = str_of(x->d_name);
        if (!str_starts(name, temp_prefix) || !str_ends(name, temp_suffix)) continue;
        const char *path = store_join(&a, folder, x->d_name);
        dir_remove(path);
    }
    if (d) closedir(d);
    arena_release(&a);
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
    DIR *d = opendir(from);
    bool ok = d || err_set(e, ERR_INPUT, "cannot open '%s': %s", from, strerror(errno));
    for (struct dirent *x; ok && (x = readdir(d));) {
        struct stat st;
        const char *path = store_join(&a, from, x->d_name);
        if (x->d_name[0] == '.' || is_weights(x->d_name) || stat(path, &st) != 0 || !S_ISREG(st.st_mode)) continue;
        ok = copy_file(path, store_join(&a, to, x->d_name), e);
    }
    if (d) closedir(d);
    arena_release(&a);
    return ok;
}

static bool copy_templates(const char *from, const char *to, Err *e) {
    static const char templates[] = "additional_chat_templates";
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
    static const char *const names[] = {"tokenizer.json",          "tokenizer.model",   "tekken.json",
                                        "tokenizer_config.json",   "vocab.json",        "merges.txt",
                                        "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
                                        "chat_template.json"};
    Arena a = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < COUNT_OF(names); i++) {
        const char *path = store_join(&a, from, names[i]);
        if (path_exists(path)) ok = copy_file(path, store_join(&a, to, names[i]), e);
    }
    arena_release(&a);
    return ok && copy_templates(from, to, e);
}
