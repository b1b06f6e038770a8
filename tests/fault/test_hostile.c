#include "tests/fault/hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* All cases; a case that is lost by accident fails the test. */
enum { CASES = 570 };
enum { WALL_SECONDS = 100, CPU_MS = 1000, RESIDENT_KIB = 256 << 10 };

static int n_judged, n_failed, program_fd = -1;
static bool as_nobody;

void judge_as_nobody(bool yes) { as_nobody = yes; }

void must(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "the test itself failed: %s: %s\n", what, strerror(errno));
    exit(2);
}

void put_file(const char *path, Str bytes) {
    FILE *f = fopen(path, "wb");
    must(f && fwrite(bytes.s, 1, bytes.n, f) == bytes.n && fclose(f) == 0, path);
}

void get_file(const char *path, Buf *out) {
    char block[4096];
    size_t n;
    FILE *f = fopen(path, "rb");
    must(f != NULL, path);
    buf_clear(out);
    while ((n = fread(block, 1, sizeof block, f)) > 0) buf_put(out, block, n);
    fclose(f);
}

/* ---- one run ---- */

typedef struct Run {
    int status; /* of wait */
    struct rusage used;
    Buf out, err;
} Run;

static void run_child(const char *const *args) {
    char *argv[24] = {(char[]){"llmws"}};
    int none = open("/dev/null", O_RDONLY), out = open("out", O_WRONLY | O_CREAT | O_TRUNC, 0600),
        err = open("err", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; args[i]; i++) argv[i + 1] = (char *)(uintptr_t)args[i];
    if (dup2(none, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(99);
    if (as_nobody && geteuid() == 0 && (setgroups(0, NULL) || setgid(65534) || setuid(65534))) _exit(98);
    alarm(WALL_SECONDS);
    fexecve(program_fd, argv, environ);
    _exit(97);
}

static void run(const char *const *args, Run *r) {
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) run_child(args);
    while (wait4(pid, &r->status, 0, &r->used) < 0) must(errno == EINTR, "wait4");
    get_file("out", &r->out);
    get_file("err", &r->err);
}

/* ---- judging ---- */

static bool is_clean(const Buf *b) {
    for (size_t i = 0; i < b->n;) {
        int len = utf8_len(b->s + i, b->n - i);
        if (len <= 0) return false;
        uint32_t cp = utf8_decode(b->s + i, &len);
        if ((cp < 0x20 && cp != '\n') || (cp >= 0x7f && cp < 0xa0)) return false;
        i += (size_t)len;
    }
    return true;
}

static bool is_one_line(const Buf *b) {
    return b->n > 8 && memcmp(b->s, "llmws: ", 7) == 0 && memchr(b->s, '\n', b->n) == b->s + b->n - 1;
}

static bool holds(const Buf *b, const char *part) { return !part || (b->n && memmem(b->s, b->n, part, strlen(part))); }

static const char *fault_of(const Run *r, const Want *w) {
    long ms = (r->used.ru_utime.tv_sec + r->used.ru_stime.tv_sec) * 1000 +
              (r->used.ru_utime.tv_usec + r->used.ru_stime.tv_usec) / 1000;
    if (WIFSIGNALED(r->status)) return WTERMSIG(r->status) == SIGALRM ? "it hangs" : "it was ended by a signal";
    if (WEXITSTATUS(r->status) != w->status) return "wrong exit status";
    if (!is_clean(&r->out) || !is_clean(&r->err)) return "a control character or broken UTF-8 is shown";
    if (w->status == 0 && (r->err.n || !r->out.n)) return "it is not taken silently";
    if (w->status != 0 && r->out.n) return "something on stdout";
    if (w->status != 0 && !is_one_line(&r->err)) return "not one line on stderr";
    if (w->status != 0 && !holds(&r->err, w->names)) return "the file is not named";
    if (w->status != 0 && !holds(&r->err, w->says)) return "the line does not say why";
    if (!SANITIZED && ms > CPU_MS) return "more than a second of work";
    if (!SANITIZED && r->used.ru_maxrss > RESIDENT_KIB) return "more than 256 MB resident";
    return NULL;
}

void judge(const char *name, Want want, const char *const *args) {
    static Run r;
    run(args, &r);
    const char *fault = fault_of(&r, &want);
    n_judged++;
    if (!fault) return;
    n_failed++;
    printf("FAIL %s: %s (status %d, wanted %d '%s' '%s', %ld KiB)\n  stderr: %.600s  stdout: %.200s\n", name, fault,
           WIFEXITED(r.status) ? WEXITSTATUS(r.status) : -WTERMSIG(r.status), want.status, want.names ? want.names : "",
           want.says ? want.says : "", r.used.ru_maxrss, r.err.s ? r.err.s : "", r.out.s ? r.out.s : "");
}

void judge_model(const char *name, Want want, const char *model) {
    judge(name, want,
          (const char *const[]){"generate", "-m", model, "-p", "ab", "-n", "1", "--ignore-eos", "--json", "-t", "1",
                                "-c", "32", NULL});
}

/* ---- the folder ---- */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

int main(int argc, char **argv) {
    char dir[] = TEST_TMP "/hostile.XXXXXX";
    if (getenv("LLMWS_EMULATOR")) return puts("skipped: the processes it judges would be emulators"), 77;
    must(argc == 2, "usage: test_hostile PROGRAM");
    program_fd = open(argv[1], O_RDONLY);
    must(program_fd >= 0 && mkdtemp(dir) && chdir(dir) == 0 && chmod(dir, 0755) == 0, "the folder of the test");
    unsetenv("LLMWS_MODEL");
    gguf_cases();
    hf_cases();
    path_cases();
    option_cases();
    must(chdir("/") == 0 && nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, "cleaning up");
    printf("%d cases of %d, %d failed\n", n_judged, CASES, n_failed);
    return n_failed || n_judged != CASES;
}
