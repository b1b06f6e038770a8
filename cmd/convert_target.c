/* The place that a conversion writes to. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cmd/convert.h"

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
        if (same_file(j->out, j->m.file.files[i]) || (!j->to_gguf && same_file(j->out, dir_of(&a, j->m.file.files[i]))))
            ok = err_set(e, ERR_USAGE, "'%s' is what is read; write to another place", j->out);
    if (ok && stat(j->out, &st) == 0) {
        if (!j->to_gguf)
            ok = check_dir(j, &st, e);
        else if (S_ISDIR(st.st_mode))
            ok = err_set(e, ERR_IO, "cannot write '%s': it is a directory", j->out);
    }
    const char *folder = dir_of(&a, j->out);
    if (ok && access(folder, W_OK | X_OK) != 0)
        ok = err_set(e, ERR_IO, "cannot write '%s': '%s': %s", j->out, folder, strerror(errno));
    arena_release(&a);
    return ok;
}

bool target_fits(const Job *j, int64_t bytes, Err *e) {
    Arena a = {0};
    struct statvfs fs;
    bool known = statvfs(dir_of(&a, j->out), &fs) == 0 && fs.f_blocks;
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
