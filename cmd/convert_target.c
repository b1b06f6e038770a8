/* The place that a conversion writes to. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cmd/convert.h"

const char *path_join(Arena *a, const char *dir, const char *name) {
    return arena_printf(a, str_ends(str_of(dir), "/") ? "%s%s" : "%s/%s", dir, name);
}

const char *path_folder(Arena *a, const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    while (n && path[n - 1] != '/') n--;
    while (n > 1 && path[n - 1] == '/') n--;
    return n ? arena_strn(a, path, n) : ".";
}

static bool same_file(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool is_empty_dir(const char *path) {
    DIR *d = opendir(path);
    bool empty = d != NULL;
    for (struct dirent *x; empty && (x = readdir(d));)
        empty = strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0;
    if (d) closedir(d);
    return empty;
}

static bool check_dir(const Job *j, const struct stat *st, Err *e) {
    if (!S_ISDIR(st->st_mode))
        return err_set(e, ERR_IO, "cannot write '%s': it is no directory; for a GGUF file end the name in .gguf",
                       j->out);
    return j->o->force || is_empty_dir(j->out) ||
           err_set(e, ERR_IO, "cannot write '%s': the directory is not empty; --force replaces its model", j->out);
}

bool target_check(const Job *j, Err *e) {
    struct stat st;
    Arena a = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < j->m.file.n_files; i++)
        if (same_file(j->out, j->m.file.files[i]) ||
            (!j->to_gguf && same_file(j->out, path_folder(&a, j->m.file.files[i]))))
            ok = err_set(e, ERR_USAGE, "'%s' is what is read; write to another place", j->out);
    if (ok && stat(j->out, &st) == 0) {
        if (!j->to_gguf)
            ok = check_dir(j, &st, e);
        else if (S_ISDIR(st.st_mode))
            ok = err_set(e, ERR_IO, "cannot write '%s': it is a directory", j->out);
    }
    const char *folder = path_folder(&a, j->out);
    if (ok && access(folder, W_OK | X_OK) != 0)
        ok = err_set(e, ERR_IO, "cannot write '%s': '%s': %s", j->out, folder, strerror(errno));
    arena_release(&a);
    return ok;
}

bool target_fits(const Job *j, int64_t bytes, Err *e) {
    Arena a = {0};
    struct statvfs fs;
    bool known = statvfs(path_folder(&a, j->out), &fs) == 0 && fs.f_blocks;
    arena_release(&a);
    if (!known || (double)fs.f_bavail * (double)fs.f_frsize >= (double)bytes) return true;
    Buf need = {0}, have = {0};
    put_bytes(&need, bytes);
    put_bytes(&have, (int64_t)(fs.f_bavail * fs.f_frsize));
    err_set(e, ERR_IO, "'%s' does not fit: %s are needed, its disk has %s free", j->out, need.s, have.s);
    buf_release(&need);
    buf_release(&have);
    return false;
}

/* ---- a directory that appears whole ---- */

/* Hidden, beside the target: a rename within one file system. */
bool stage_begin(const char *out, Arena *a, const char **stage, Err *e) {
    enum { TRIES = 100 };
    const char *folder = path_folder(a, out), *path = NULL;
    for (int i = 0; i < TRIES; i++) {
        path = path_join(a, folder, arena_printf(a, ".llmws-%ld-%d.tmp", (long)getpid(), i));
        if (mkdir(path, 0777) == 0) return *stage = path, true;
        if (errno != EEXIST) break;
    }
    return err_set(e, ERR_IO, "cannot write '%s': %s", out, strerror(errno));
}

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
        const char *path = path_join(&a, from, x->d_name);
        struct stat st;
        if (lstat(path, &st) != 0 || !is_among(x->d_name, S_ISDIR(st.st_mode), which)) continue;
        ok = move_one(path, to ? path_join(&a, to, x->d_name) : NULL, S_ISDIR(st.st_mode), e);
    }
    if (d) closedir(d);
    arena_release(&a);
    return ok;
}

/* That a rename lasts; file systems that cannot sync a folder are no failure. */
static void sync_folder(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!fsync(fd);
    close(fd);
}

bool stage_commit(const char *stage, const char *out, Err *e) {
    Arena a = {0};
    bool renamed = rename(stage, out) == 0;
    int why = errno;
    sync_folder(renamed ? path_folder(&a, out) : stage);
    arena_release(&a);
    if (renamed) return true;
    errno = why;
    if (errno != ENOTEMPTY && errno != EEXIST) return err_set(e, ERR_IO, "cannot write '%s': %s", out, strerror(errno));
    /* weights, then what names them: until then there is no model, not half of one */
    TRY(move_files(out, NULL, STALE, e) && move_files(stage, out, BUT_NAMES, e) && move_files(stage, out, NAMES, e));
    rmdir(stage);
    sync_folder(out);
    return true;
}

void stage_abort(const char *stage) {
    if (!stage) return;
    move_files(stage, NULL, ALL, NULL);
    rmdir(stage);
}
