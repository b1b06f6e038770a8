/* The program with memory that runs out: at the n-th request for every n, then with less and less address space. It
 * ends with a status and one line, or goes on as if nothing had been; never by a signal, never with half an answer.
 *
 * This program is llmws under another main; it forks for every run. Its malloc and mmap stand before those of the C
 * library, for the libraries too, and hand on to them. */
#include <sys/resource.h>

#include "child.h"

/* ---- requests that fail ---- */

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *block, size_t n);
void *__libc_memalign(size_t align, size_t n);

static long asked, fail_at; /* 0: none fails */
static bool fail_rest;      /* all after it fail too */

#if !SANITIZED /* sanitizers bring their own */
static bool refused(void) {
    long now = __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);
    bool yes = fail_at && (now == fail_at || (fail_rest && now > fail_at));
    if (yes) errno = ENOMEM;
    return yes;
}

#define VISIBLE __attribute__((visibility("default")))
VISIBLE void *malloc(size_t n) { return refused() ? NULL : __libc_malloc(n); }
VISIBLE void *calloc(size_t count, size_t n) { return refused() ? NULL : __libc_calloc(count, n); }
VISIBLE void *realloc(void *block, size_t n) { return refused() ? NULL : __libc_realloc(block, n); }
VISIBLE void *aligned_alloc(size_t align, size_t n) { return refused() ? NULL : __libc_memalign(align, n); }
VISIBLE void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset) {
    if (refused()) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
}

#endif

/* ---- one run ---- */

/* Bytes of address space that this process has. */
static rlim_t space(void) {
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    must(f && fscanf(f, "%ld", &pages) == 1, "/proc/self/statm");
    fclose(f);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

typedef struct Limit {
    size_t command;
    long fail_at;
    bool fail_on;
    rlim_t more_space; /* beyond what the process has; RLIM_INFINITY: no limit */
} Limit;

#define GGUF TEST_TMP "/test_oom.gguf"

/* Text through the tokenizer of a folder; ids through a GGUF file and the saved prompt. */
static const char *const commands[][20] = {
    {"llmws", "generate", "-m", TEST_DATA "/llama3", "-p", "Hello, world", "-n", "1", "--temp", "0", "--ignore-eos",
     "--json", "-t", "2", "-c", "64"},
    {"llmws", "generate", "-m", GGUF, "--ids", "1,2,3", "-n", "1", "--temp", "0", "--ignore-eos", "--json", "-t", "1",
     "-c", "64", "--prompt-cache", TEST_TMP "/test_oom.kv"},
    {"llmws", "inspect", TEST_DATA "/llama3", "--json"},
};

static int body(const void *ctx, long *count) {
    const Limit *limit = ctx;
    char *argv[COUNT_OF(commands[0]) + 1] = {0};
    int argc = 0;
    for (; commands[limit->command][argc]; argc++) argv[argc] = (char *)(uintptr_t)commands[limit->command][argc];
    if (limit->more_space != RLIM_INFINITY) {
        struct rlimit r = {space() + limit->more_space, RLIM_INFINITY};
        must(setrlimit(RLIMIT_AS, &r) == 0, "setrlimit");
    }
    alarm(100);
    asked = 0, fail_at = limit->fail_at, fail_rest = limit->fail_on;
    int status = llmws_main(argc, argv);
    *count = asked;
    return status;
}

static Run run(const Limit *limit) { return child_run(body, limit); }

/* ---- judging ---- */

static int failed;

/* What a line says apart from times. */
static bool same_answer(const Run *a, const Run *b) {
    static const char part[] = "\"ids\":[";
    const char *x = strstr(a->out, part), *y = strstr(b->out, part);
    if (!x || !y) return a->n_out == b->n_out && memcmp(a->out, b->out, a->n_out) == 0;
    return strcspn(x, "]") == strcspn(y, "]") && strncmp(x, y, strcspn(x, "]")) == 0;
}

/* The same answer as ever, or one line and the whole lines that came before. */
static bool judge(const char *what, long n, const Run *r, const Run *good) {
    int status = child_status(r);
    bool line = child_one_line(r);
    bool whole = r->n_out == 0 || r->out[r->n_out - 1] == '\n';
    const char *fault = status < 0                                           ? "it was ended by a signal"
                        : status == 0 && (r->n_err || !same_answer(r, good)) ? "status 0 without the answer"
                        : status != 0 && status != 1 && status != 4          ? "wrong exit status"
                        : status != 0 && !line                               ? "not one line on stderr"
                        : !whole                                             ? "half a line on stdout"
                                                                             : NULL;
    if (!fault) return status == 0;
    failed++;
    printf("FAIL %s %ld: %s (status %d, signal %d)\n  stderr: %s  stdout: %s\n", what, n, fault, status,
           WIFSIGNALED(r->status) ? WTERMSIG(r->status) : 0, r->err, r->out);
    return false;
}

enum { EVERY = 2000, SPACE_STEPS = 96 };

/* Every request up to EVERY, then a few hundred more; cut to a stride where all of them would take too long. */
static void requests(size_t command, bool fail_on, int64_t seconds) {
    const char *what = fail_on ? "all requests from" : "request";
    Run good = run(&(Limit){command, .more_space = RLIM_INFINITY});
    int runs = 0, taken = 0;
    must(judge("a good run", 0, &good, &good) && good.n_out, "a good run");
    int64_t from = now_ns();
    long step = 1;
    for (long n = 1; n <= good.asked; n += step) {
        Run r = run(&(Limit){command, n, fail_on, RLIM_INFINITY});
        taken += judge(what, n, &r, &good);
        runs++;
        step = child_stride(n, good.asked, runs, from, seconds, EVERY);
    }
    printf("%s: %s %d of %ld failed in turn, %d runs went on without it\n", commands[command][1], what, runs,
           good.asked, taken);
}

static void spaces(void) {
    int taken = 0, runs = 0;
    Run good = run(&(Limit){.more_space = RLIM_INFINITY});
    for (int i = 0; i < SPACE_STEPS && taken < 3; i++, runs++) {
        rlim_t more = (rlim_t)i * (512 << 10);
        Run r = run(&(Limit){.more_space = more});
        taken += judge("address space of KiB more:", (long)(more >> 10), &r, &good);
    }
    if (!taken) failed++, printf("FAIL %d MiB of address space are not enough\n", SPACE_STEPS / 2);
    printf("address space: %d steps, enough from the %dth on\n", runs, runs - taken + 1);
}

static void make_gguf(void) {
    LlmwsErr e;
    LlmwsModel *m = llmws_model_open(TEST_DATA "/llama3", NULL, &e);
    must(m && llmws_model_save_gguf(m, GGUF, &e), "a GGUF file");
    llmws_model_close(m);
}

int main(void) {
    if (SANITIZED) return 77;
    if (getenv("LLMWS_EMULATOR")) return puts("skipped: limits of memory would bound the emulator"), 77;
    setenv("LC_ALL", "C", 1);
    unsetenv("LLMWS_MODEL");
    make_gguf();
    for (size_t c = 0; c < COUNT_OF(commands); c++) {
        requests(c, false, 4);
        requests(c, true, 2);
    }
    spaces();
    unlink(GGUF);
    unlink(TEST_TMP "/test_oom.kv");
    printf("%d failed\n", failed);
    return failed > 0;
}
