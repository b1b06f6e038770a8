/* The program in a process of its own, what it said, and how it ended; for tests that are llmws under another main. */
#ifndef TESTS_FAULT_CHILD_H
#define TESTS_FAULT_CHILD_H

#include "core/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int llmws_main(int argc, char **argv); /* of cmd/main.c */

typedef struct Run {
    int status;
    long asked; /* what the child counted */
    char out[4096], err[4096];
    size_t n_out, n_err;
} Run;

static inline void must(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "the test itself failed: %s: %s\n", what, strerror(errno));
    _exit(2);
}

static inline size_t child_read(int fd, char *out, size_t cap) {
    ssize_t n = pread(fd, out, cap - 1, 0);
    must(n >= 0, "reading what the program wrote");
    out[n] = 0;
    return (size_t)n;
}

/* Runs body in a child with empty stdin and its streams caught; body returns an exit status and fills *count. */
static inline Run child_run(int (*body)(const void *ctx, long *count), const void *ctx) {
    Run r = {0};
    int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
    long *count = (long *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    must(out >= 0 && err >= 0 && pid >= 0, "fork");
    if (pid == 0) {
        must(dup2(open("/dev/null", O_RDONLY), 0) >= 0 && dup2(out, 1) >= 0 && dup2(err, 2) >= 0, "dup2");
        exit(body(ctx, count));
    }
    must(waitpid(pid, &r.status, 0) == pid, "waitpid");
    r.asked = *count;
    r.n_out = child_read(out, r.out, sizeof r.out);
    r.n_err = child_read(err, r.err, sizeof r.err);
    munmap(count, 4096);
    close(out);
    close(err);
    return r;
}

/* Exit status, -1: ended by a signal. */
static inline int child_status(const Run *r) { return WIFEXITED(r->status) ? WEXITSTATUS(r->status) : -1; }

/* One line on stderr that begins as errors do. */
static inline bool child_one_line(const Run *r) {
    const char *newline = memchr(r->err, '\n', r->n_err);
    return r->n_err > 8 && memcmp(r->err, "llmws: ", 7) == 0 && newline == r->err + r->n_err - 1;
}

/* Of `asked` places to fail those up to `every` in turn, then few; fewer still where there is no time for them. */
static inline long child_stride(long n, long asked, int runs, int64_t from, int64_t seconds, long every) {
    int64_t each = (now_ns() - from) / runs, left = MAX(seconds * 1000000000 - (now_ns() - from), 1);
    long needed = (long)((asked - n) * each / left) + 1;
    return MAX(needed, n > every ? 1 + (asked - every) / 300 : 1);
}

#endif
