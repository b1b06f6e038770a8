/* Files as mappings and as streams. */
#include "formats/builtin.h"
#include "formats/formats.h"
#include "formats/synthetic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool path_exists(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG);
}

bool path_is_dir(const char *path) {
    struct stat st;
    return !builtin_is(path) && !synthetic_is(path) && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A regular file, opened for reading; its size in *bytes. O_NONBLOCK keeps a FIFO from waiting for a writer. */
static bool open_regular(const char *path, int *fd, size_t *bytes, Err *e) {
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return err_set(e, ERR_INPUT, "cannot open '%s': %s", path, strerror(errno));
    if (fstat(*fd, &st) != 0) {
        err_set(e, ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        err_set(e, ERR_INPUT, "cannot open '%s': it is %s, not a regular file", path,
                S_ISDIR(st.st_mode)    ? "a directory"
                : S_ISFIFO(st.st_mode) ? "a FIFO"
                                       : "a device or socket");
    } else {
        *bytes = (size_t)st.st_size;
        return true;
    }
    close(*fd);
    return false;
}

/* A file that another process truncates while it is mapped raises SIGBUS where the lost pages are touched. Writers of
 * ours never do that: they replace a file by rename, and the old one lives on under the mapping. */
bool map_file(const char *path, Mapping *m, Err *e) {
    int fd;
    *m = (Mapping){.bytes = ""};
    TRY(open_regular(path, &fd, &m->n, e));
    void *p = m->n ? mmap(NULL, m->n, PROT_READ, MAP_PRIVATE, fd, 0) : (void *)(uintptr_t)m->bytes;
    int why = errno;
    close(fd);
    if (p == MAP_FAILED) {
        *m = (Mapping){.bytes = ""};
        return err_set(e, ERR_IO, "cannot map '%s': %s", path, strerror(why));
    }
    m->bytes = p;
    return true;
}

bool map_model(const char *path, Mapping *m, Err *e) {
    Str inside;
    if (synthetic_is(path)) return synthetic_map(path, m, e);
    if (!builtin_is(path)) return map_file(path, m, e);
    *m = (Mapping){.bytes = ""};
    TRY(builtin_find(path, &inside, e));
    return *m = (Mapping){inside.s, inside.n, .builtin = true}, true;
}

bool model_exists(const char *path) {
    Str inside;
    return builtin_is(path) ? builtin_find(path, &inside, NULL) : synthetic_is(path) || path_exists(path);
}

void unmap_file(Mapping *m) {
    if (m->n && !m->builtin) munmap((void *)(uintptr_t)m->bytes, m->n);
    *m = (Mapping){.bytes = ""};
}

/* ---- a file as a stream ---- */

enum { SOURCE_BUFFER = 64 << 10 };

struct FileSource {
    int fd;
    size_t from, to; /* buffer[from..to) is read and not yet taken */
    int64_t taken;
    char *path;
    char buffer[SOURCE_BUFFER];
};

bool file_source_open(const char *path, FileSource **out, Err *e) {
    int fd;
    size_t bytes;
    *out = NULL;
    TRY(open_regular(path, &fd, &bytes, e));
    FileSource *f = mem_alloc(1, sizeof *f);
    f->fd = fd;
    f->path = mem_alloc(strlen(path) + 1, 1);
    memcpy(f->path, path, strlen(path));
    *out = f;
    return true;
}

/* At least one byte to dst, at most n; false at the end of the file or on an error. */
static bool read_some(FileSource *f, char *dst, size_t n, size_t *got, Err *e) {
    ssize_t r;
    do {
        r = read(f->fd, dst, n);
    } while (r < 0 && errno == EINTR);
    if (r < 0) return err_set(e, ERR_IO, "cannot read '%s': %s", f->path, strerror(errno));
    if (r == 0)
        return err_set(e, ERR_INPUT, "cannot read '%s': it ends after %lld bytes, more were expected", f->path,
                       (long long)f->taken);
    *got = (size_t)r;
    return true;
}

static bool source_read(void *ctx, void *bytes, size_t n, Err *e) {
    FileSource *f = ctx;
    char *dst = bytes;
    while (n) {
        size_t got = MIN(n, f->to - f->from);
        if (got) {
            memcpy(dst, f->buffer + f->from, got);
            f->from += got;
        } else if (n >= sizeof f->buffer) { /* long reads go past the buffer */
            TRY(read_some(f, dst, n, &got, e));
        } else {
            f->from = f->to = 0;
            TRY(read_some(f, f->buffer, sizeof f->buffer, &f->to, e));
            continue;
        }
        dst += got;
        n -= got;
        f->taken += (int64_t)got;
    }
    return true;
}

Source file_source(FileSource *f) { return (Source){source_read, f}; }

void file_source_close(FileSource *f) {
    if (!f) return;
    close(f->fd);
    free(f->path);
    free(f);
}
