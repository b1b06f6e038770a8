/* The plan is what a process really uses: peak resident memory of a run that fills its context, of one that uses a
 * tenth of it, and over many generated tokens. Each run is a process of its own. LLMWS_TEST_MODEL names another model
 * than the tiny one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/llmws.h"

#define MIB 1048576.0

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHADOWED 1 /* shadow memory is resident too: the figures mean nothing */
#else
#define SHADOWED 0
#endif

typedef struct Figures {
    double plan, cache, peak, early, late; /* bytes */
    bool ok;
} Figures;

static double proc_bytes(const char *path, const char *key) {
    char line[256];
    long v = 0;
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0) v = atol(line + strlen(key));
    if (f) fclose(f);
    return (double)v * 1024;
}

/* What a leak would grow: pages of files (code, weights) come and go with the machine's page cache. The rollup counts
 * pages; VmRSS may be off by a batch per core. */
static double own_bytes(void) { return proc_bytes("/proc/self/smaps_rollup", "Anonymous:"); }

static bool evaluate(LlmwsSession *s, int64_t prompt, int64_t decode, Figures *out) {
    LlmwsErr e;
    int seq = llmws_seq_open(s, &e);
    int32_t ids[512];
    for (int64_t at = 0; at < prompt; at += 512) {
        size_t n = (size_t)(prompt - at < 512 ? prompt - at : 512);
        for (size_t i = 0; i < n; i++) ids[i] = (int32_t)((at + (int64_t)i) * 7919 % 300);
        if (!llmws_eval(s, seq, ids, n, &e)) return fprintf(stderr, "%s\n", e.msg), false;
    }
    LlmwsSampling how = {.temp = 0.8f, .top_k = 40, .top_p = 0.95f, .repeat_penalty = 1, .seed = 1};
    for (int64_t i = 0; i < decode; i++) {
        int32_t id;
        if (!llmws_sample(s, seq, &how, &id, &e) || !llmws_eval(s, seq, &id, 1, &e))
            return fprintf(stderr, "%s\n", e.msg), false;
        if (i == decode / 5) out->early = own_bytes();
    }
    out->late = own_bytes();
    return true;
}

static void child(int64_t ctx, int64_t prompt, int64_t decode, const char *repack, int fd) {
    LlmwsErr e;
    LlmwsPlan plan;
    Figures out = {0};
    const char *path = getenv("LLMWS_TEST_MODEL");
    LlmwsModel *m = llmws_model_open(path ? path : TEST_DATA "/llama3", NULL, &e);
    if (m && llmws_model_tokenizer(m, &e)) {
        LlmwsSessionOptions opt = {.ctx = ctx, .threads = 2, .repack = repack};
        LlmwsSession *s = llmws_session_open(m, &opt, &e);
        if (s) {
            llmws_session_plan(s, &plan);
            out.plan = (double)plan.total_bytes;
            for (size_t i = 0; i < plan.n; i++)
                if (strcmp(plan.rows[i].name, "cache") == 0) out.cache = (double)plan.rows[i].bytes;
            out.ok = evaluate(s, prompt, decode, &out);
            out.peak = proc_bytes("/proc/self/status", "VmHWM:");
            llmws_session_close(s);
        }
    }
    llmws_model_close(m);
    if (write(fd, &out, sizeof out) != (ssize_t)sizeof out) _exit(1);
    _exit(0);
}

static Figures run(int64_t ctx, int64_t prompt, int64_t decode, const char *repack) {
    int fd[2];
    Figures out = {0};
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) child(ctx, prompt, decode, repack, fd[1]);
    close(fd[1]);
    assert_int_equal(read(fd[0], &out, sizeof out), sizeof out);
    close(fd[0]);
    waitpid(pid, NULL, 0);
    assert_true(out.ok);
    return out;
}

static void brief_run(void **state) {
    (void)state;
    run(512, 300, 20, "auto");
}

static void filled(void **state) {
    (void)state;
    for (int64_t ctx = 4096; ctx <= 16384; ctx *= 4) {
        Figures f = run(ctx, ctx, 0, "off");
        double off = f.peak - f.plan, bound = f.plan * 0.02 > 4 * MIB ? f.plan * 0.02 : 4 * MIB;
        printf("context %ld filled: planned %.1f MiB, peak %.1f MiB, off by %.1f, allowed %.1f\n", (long)ctx,
               f.plan / MIB, f.peak / MIB, off / MIB, bound / MIB);
        assert_true(off <= bound && -off <= bound);
    }
}

static void a_tenth(void **state) {
    (void)state;
    Figures f = run(16384, 1638, 0, "off");
    double most = f.plan - 0.9 * f.cache + 4 * MIB;
    printf("a tenth of context 16384: peak %.1f MiB, planned without the untouched cache %.1f MiB\n", f.peak / MIB,
           most / MIB - 4);
    assert_true(f.peak <= most);
}

/* While weights are laid out anew there is one copy of them and one tensor. */
static void repacked(void **state) {
    (void)state;
    Figures off = run(1024, 64, 100, "off"), on = run(1024, 64, 100, "auto");
    printf("repacking: peak %.1f MiB, planned %.1f MiB; without %.1f MiB, planned %.1f MiB\n", on.peak / MIB,
           on.plan / MIB, off.peak / MIB, off.plan / MIB);
    assert_true(on.plan > off.plan);
    assert_true(on.peak - off.peak <= on.plan - off.plan + 0.5 * MIB);
}

static void flat(void **state) {
    (void)state;
    Figures f = run(16384, 64, 10000, "auto");
    double pages = f.cache * (10000 * 0.8 + 64) / 16384, grown = f.late - f.early;
    printf("10,000 tokens: resident grew by %.2f MiB after the first 2,000, the cache pages they filled are %.2f MiB\n",
           grown / MIB, pages / MIB);
    assert_true(grown <= pages + 0.25 * MIB);
}

int main(void) {
    /* One short run where other memory is resident too: for the sanitizer's own eyes, or with an emulator's own. */
    if (SHADOWED || getenv("LLMWS_EMULATOR")) {
        print_message("peaks and growth are not looked at here: not all that is resident is this program's\n");
        const struct CMUnitTest brief[] = {cmocka_unit_test(brief_run)};
        return cmocka_run_group_tests(brief, NULL, NULL);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(filled), cmocka_unit_test(a_tenth), cmocka_unit_test(repacked),
                                       cmocka_unit_test(flat)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
