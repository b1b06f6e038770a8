/* A training whose disk fails: at the n-th call that writes for every n, once or from there on. It ends with status 1
 * and one line; nothing half done stays; and going on from what is left, on a disk that works, ends in the bits and
 * events of the training that never failed.
 *
 * This program is llmws under another main; it forks for every run. Its write, fsync, rename, ... stand before those of
 * the C library. */
#include "child.h"

#include <dirent.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "formats/dirs.h"
#include "formats/formats.h"

/* ---- calls that fail ---- */

static long asked, fail_at; /* 0: none fails */
static bool fail_rest;      /* all after it fail too */

static bool refused(void) {
    long now = __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);
    bool yes = fail_at && (now == fail_at || (fail_rest && now > fail_at));
    if (yes) errno = fail_rest ? ENOSPC : EIO;
    return yes;
}

#define VISIBLE __attribute__((visibility("default")))
VISIBLE ssize_t write(int fd, const void *bytes, size_t n) {
    if (fd > 2 && refused()) return -1;
    return syscall(SYS_write, fd, bytes, n);
}
VISIBLE int fsync(int fd) { return refused() ? -1 : (int)syscall(SYS_fsync, fd); }
VISIBLE int ftruncate(int fd, off_t n) { return refused() ? -1 : (int)syscall(SYS_ftruncate, fd, n); }
VISIBLE int rename(const char *from, const char *to) {
    return refused() ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
VISIBLE int mkdir(const char *path, mode_t mode) {
    return refused() ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
VISIBLE int symlink(const char *target, const char *path) {
    return refused() ? -1 : (int)syscall(SYS_symlinkat, target, AT_FDCWD, path);
}
VISIBLE int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (flags & O_CREAT && refused()) return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* ---- one run ---- */

#define DATA TEST_TMP "/test_train_io.jsonl"
#define GOOD TEST_TMP "/test_train_io.good"
#define RUN  TEST_TMP "/test_train_io.run"
enum { STEPS = 3 };

typedef struct Case {
    const char *what, *weights; /* file that holds what was trained */
    const char *more[6];        /* options */
} Case;
static const Case cases[] = {
    {"weights", "model.safetensors", {"--save-every=1"}},
    {"adapter", "adapter_model.safetensors", {"--save-every=2", "--lora=r=2", "--eval=0.3", "--eval-every=1"}},
};

typedef struct Limit {
    const Case *of;
    const char *run;
    long fail_at;
    bool fail_on;
} Limit;

static int body(const void *ctx, long *count) {
    const Limit *limit = ctx;
    const char *argv[32] = {"llmws", "train", DATA,       "-m",        TEST_DATA "/llama3", "-o",
                            NULL,    "-t1",   "--resume", "--steps=3", "--batch-size=1",    "--seq-len=32"};
    int argc = 12;
    argv[6] = limit->run;
    for (size_t i = 0; i < COUNT_OF(limit->of->more) && limit->of->more[i]; i++) argv[argc++] = limit->of->more[i];
    alarm(100);
    asked = 0, fail_at = limit->fail_at, fail_rest = limit->fail_on;
    int status = llmws_main(argc, (char **)(uintptr_t)argv);
    *count = asked;
    return status;
}

/* ---- judging ---- */

static int failed;

static bool same_file(const char *name) {
    Arena a = {0};
    Mapping x, y;
    bool ok = map_file(arena_printf(&a, GOOD "/checkpoints/step-%d/%s", STEPS, name), &x, NULL);
    ok = ok && map_file(arena_printf(&a, RUN "/checkpoints/step-%d/%s", STEPS, name), &y, NULL);
    bool same = ok && x.n == y.n && memcmp(x.bytes, y.bytes, x.n) == 0;
    if (ok) unmap_file(&x), unmap_file(&y);
    arena_release(&a);
    return same;
}

/* Every update is told once. */
static bool events_whole(void) {
    Mapping m;
    int n = 0;
    if (!map_file(RUN "/events.jsonl", &m, NULL)) return false;
    const char *end = m.bytes + m.n;
    static const char part[] = "\"event\":\"train_progress\"";
    for (const char *at = m.bytes; (at = memmem(at, (size_t)(end - at), part, strlen(part))); at++) n++;
    bool whole = n == STEPS && end[-1] == '\n';
    unmap_file(&m);
    return whole;
}

/* Names of stages in the folders of the run. */
static bool anything_half(void) {
    static const char *const folders[] = {RUN, RUN "/checkpoints"};
    bool half = false;
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        DIR *d = opendir(folders[i]);
        for (struct dirent *x; d && (x = readdir(d));) half |= str_ends(str_of(x->d_name), ".tmp");
        if (d) closedir(d);
    }
    return half;
}

static bool judge(const Limit *limit, const Run *r) {
    const int status = child_status(r);
    const char *fault = status < 0   ? "it was ended by a signal"
                        : status > 1 ? "wrong exit status"
                        : status     ? child_one_line(r) ? NULL : "not one line on stderr"
                                     : NULL;
    if (!fault && anything_half()) fault = "half a file stays";
    const Run again = child_run(body, &(Limit){limit->of, RUN, 0, false});
    if (!fault && child_status(&again)) fault = "it does not go on";
    if (!fault && !same_file(limit->of->weights)) fault = "gone on with, it ends with other weights";
    if (!fault && !events_whole()) fault = "gone on with, its events are not whole";
    if (!fault) return status == 0;
    failed++;
    printf("FAIL %s, %s %ld: %s (status %d)\n  stderr: %s  and then: %s\n", limit->of->what,
           limit->fail_on ? "all calls from" : "call", limit->fail_at, fault, status, r->err, again.err);
    return false;
}

enum { EVERY = 400 };

/* For each of the loops; LLMWS_SECONDS gives more. */
static int64_t seconds(void) {
    const char *text = getenv("LLMWS_SECONDS");
    return text ? atol(text) : 3;
}

static void calls(const Case *of, bool fail_on) {
    dir_remove(GOOD);
    const Run good = child_run(body, &(Limit){of, GOOD, 0, false});
    must(child_status(&good) == 0 && good.asked > 20, good.err);
    int runs = 0, taken = 0;
    const int64_t from = now_ns();
    for (long n = 1, step; n <= good.asked; n += step) {
        const Limit limit = {of, RUN, n, fail_on};
        dir_remove(RUN);
        Run r = child_run(body, &limit);
        taken += judge(&limit, &r);
        step = child_stride(n, good.asked, ++runs, from, seconds(), EVERY);
    }
    printf("%s: %s %d of %ld failed in turn, %d runs went on without it\n", of->what,
           fail_on ? "all calls from" : "calls", runs, good.asked, taken);
}

int main(void) {
    if (SANITIZED) return 77;
    if (getenv("LLMWS_EMULATOR")) return puts("skipped: the emulator makes other calls"), 77;
    Buf text = {0};
    Err e = {0};
    setenv("LC_ALL", "C", 1);
    for (int i = 0; i < 20; i++) buf_printf(&text, "{\"text\":\"Number %d comes before %d.\"}\n", i, i + 1);
    must(write_text_file(DATA, buf_view(&text), &e), e.msg);
    buf_release(&text);
    for (size_t i = 0; i < COUNT_OF(cases); i++) calls(&cases[i], false), calls(&cases[i], true);
    dir_remove(GOOD);
    dir_remove(RUN);
    unlink(DATA);
    printf("%d failed\n", failed);
    return failed > 0;
}
