/* Files that appear whole or not at all: written beside the target, fsynced, renamed over it, and the folder fsynced.
 *
 * Invariants: the target is never opened for writing; after a failed write or fsync nothing is renamed (the kernel may
 * have dropped the pages, a second fsync would lie); the temporary file is gone after commit and abort. */
#include "formats/formats.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 64 << 10, TRIES = 100 };

struct AtomicFile {
    int fd;
    bool failed;
    Err err;          /* of the first failure */
    Arena arena;      /* the names */
    char *target;     /* where it will stand; a symbolic link is followed to what it names */
    char *dir;        /* folder of the target */
    char *temp;       /* where it is written */
    const char *path; /* as the caller spelled it */
    size_t n;
    char buffer[BUFFER];
};

static bool failed(AtomicFile *f, const char *what, Err *e) {
    if (!f->failed) err_set(&f->err, ERR_IO, "cannot %s '%s': %s", what, f->path, strerror(errno));
    f->failed = true;
    if (e) *e = f->err;
    return false;
}

/* The target's real name, and its mode where it exists (-1 where not). Anything but a regular file is refused: a
 * rename would replace a device or a FIFO. */
static bool find_target(AtomicFile *f, int *mode, Err *e) {
    struct stat st;
    char real[PATH_MAX];
    *mode = -1;
    if (!f->path[0]) return errno = ENOENT, failed(f, "write", e);
    if (realpath(f->path, real)) {
        if (stat(real, &st) != 0) return failed(f, "write", e);
        if (!S_ISREG(st.st_mode))
            return err_set(e, ERR_IO, "cannot write '%s': it is %s, not a regular file", f->path,
                           S_ISDIR(st.st_mode) ? "a directory" : "a device, FIFO or socket");
        *mode = (int)(st.st_mode & 0777);
        f->target = arena_strn(&f->arena, real, strlen(real));
    } else if (errno != ENOENT) {
        return failed(f, "write", e);
    } else {
        if (lstat(f->path, &st) == 0)
            return err_set(e, ERR_IO, "cannot write '%s': it is a symbolic link to a file that does not exist",
                           f->path);
        f->target = arena_strn(&f->arena, f->path, strlen(f->path));
    }
    const char *slash = strrchr(f->target, '/');
    f->dir = !slash               ? arena_strn(&f->arena, ".", 1)
             : slash == f->target ? arena_strn(&f->arena, "/", 1)
                                  : arena_strn(&f->arena, f->target, (size_t)(slash - f->target));
    return true;
}

static bool open_temp(AtomicFile *f, int mode, Err *e) {
    for (int i = 0; i < TRIES; i++) {
        f->temp = arena_printf(&f->arena, "%s/.llmws-%ld-%d.tmp", f->dir, (long)getpid(), i);
        f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode < 0 ? 0666 : mode);
        if (f->fd >= 0 || errno != EEXIST) break;
    }
    if (f->fd < 0) return f->temp = NULL, failed(f, "write", e);
    /* The umask may have narrowed the mode of an existing file; where it cannot be set again (some file systems have
     * no modes) the narrower one stays. */
    if (mode >= 0) (void)!fchmod(f->fd, (mode_t)mode);
    return true;
}

bool atomic_open(const char *path, AtomicFile **out, Err *e) {
    AtomicFile *f = mem_alloc(1, sizeof *f);
    int mode;
    f->fd = -1;
    f->path = arena_strn(&f->arena, path, strlen(path));
    *out = f;
    if (find_target(f, &mode, e) && open_temp(f, mode, e)) return true;
    atomic_abort(f);
    *out = NULL;
    return false;
}

static bool write_all(AtomicFile *f, const char *bytes, size_t n, Err *e) {
    while (n) {
        ssize_t w = write(f->fd, bytes, n);
        if (w < 0 && errno == EINTR) continue;
        if (w == 0) errno = ENOSPC;
        if (w <= 0) return failed(f, "write", e);
        bytes += w;
        n -= (size_t)w;
    }
    return true;
}

static bool flush(AtomicFile *f, Err *e) {
    size_t n = f->n;
    f->n = 0;
    return write_all(f, f->buffer, n, e);
}

static bool sink_write(void *ctx, const void *bytes, size_t n, Err *e) {
    AtomicFile *f = ctx;
    if (f->failed) return failed(f, "write", e);
    if (n > sizeof f->buffer - f->n) TRY(flush(f, e));
    if (n >= sizeof f->buffer) return write_all(f, bytes, n, e); /* long writes go past the buffer */
    if (n) memcpy(f->buffer + f->n, bytes, n);
    f->n += n;
    return true;
}

Sink atomic_sink(AtomicFile *f) { return (Sink){sink_write, f}; }

static bool sync_dir(AtomicFile *f, Err *e) {
    int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Folders that may be written but not read, and file systems that cannot sync one, are no failure of the write. */
    if (fd < 0) return true;
    bool ok = fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
    if (!ok) failed(f, "sync the folder of", e);
    close(fd);
    return ok;
}

static bool commit(AtomicFile *f, Err *e) {
    if (f->failed) return failed(f, "write", e);
    TRY(flush(f, e));
    if (fsync(f->fd) != 0) return failed(f, "write", e);
    int fd = f->fd;
    f->fd = -1; /* closed even when close fails */
    if (close(fd) != 0) return failed(f, "write", e);
    if (rename(f->temp, f->target) != 0) return failed(f, "write", e);
    f->temp = NULL;
    return sync_dir(f, e);
}

bool atomic_commit(AtomicFile *f, Err *e) {
    bool ok = commit(f, e);
    atomic_abort(f);
    return ok;
}

void atomic_abort(AtomicFile *f) {
    if (!f) return;
    if (f->fd >= 0) close(f->fd);
    if (f->temp) unlink(f->temp);
    arena_release(&f->arena);
    free(f);
}

bool write_text_file(const char *path, Str text, Err *e) {
    AtomicFile *f;
    TRY(atomic_open(path, &f, e));
    if (sink_write(f, text.s, text.n, e)) return atomic_commit(f, e);
    atomic_abort(f);
    return false;
}
