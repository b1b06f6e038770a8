#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "core/check.h"

static int64_t status_bytes(const char *key) {
    char line[256];
    long long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%lld", &kib) == 1) break;
    if (f) fclose(f);
    return (int64_t)kib * 1024;
}

static int64_t entries(const char *dir) {
    int64_t n = 0;
    DIR *d = opendir(dir);
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

static int64_t heap_in_use(void) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    struct mallinfo2 m = mallinfo2();
    return (int64_t)(m.uordblks + m.hblkhd);
#else
    return 0;
#endif
}

ProcessUse process_use(void) {
    ProcessUse u = {.resident = status_bytes("VmRSS:"), .heap = heap_in_use()};
    u.files = entries("/proc/self/fd");
    u.threads = entries("/proc/self/task");
    return u;
}

bool process_peak_reset(void) {
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool ok = write(fd, "5", 1) == 1;
    return close(fd) == 0 && ok;
}

int64_t process_peak(void) { return status_bytes("VmHWM:"); }

typedef struct Opening {
    const char *path;
    const CheckOptions *o;
    bool ok;
    Err e;
} Opening;

static void *open_and_close(void *opening) {
    const int32_t ids[] = {0, 1, 2, 3};
    Opening *a = opening;
    LlmwsModel *m = llmws_model_open(a->path, NULL, &a->e);
    LlmwsSessionOptions so = {
        .backend = a->o->backend, .isa = a->o->isa, .compute = a->o->compute, .kv_type = a->o->kv_type};
    LlmwsErr none;
    LlmwsSession *s = NULL;
    int seq = -1;
    so.threads = a->o->threads;
    so.ctx = so.chunk = (int64_t)COUNT_OF(ids);
    if (m) llmws_model_tokenizer(m, &none);
    if (m) s = llmws_session_open(m, &so, &a->e);
    if (s) seq = llmws_seq_open(s, &a->e);
    a->ok = seq >= 0 && llmws_eval(s, seq, ids, COUNT_OF(ids), &a->e);
    llmws_session_close(s);
    llmws_model_close(m);
    return NULL;
}

/* Each opening has a thread of its own: what the allocator holds back for a thread comes back when it ends, so that the
 * bytes in use are exact. The first openings also make what stays for good (arenas of the allocator). */
void check_leaks(const char *path, const CheckOptions *o, CheckReport *r) {
    enum { WARM = 3, MORE = 3, NOISE = 100 };
    ProcessUse first = {0}, last;
    for (int i = 0; i < WARM + MORE; i++) {
        Opening a = {.path = path, .o = o};
        pthread_t thread;
        if (i == WARM) first = process_use();
        if (pthread_create(&thread, NULL, open_and_close, &a) != 0)
            err_set(&a.e, ERR_FAIL, "cannot start a thread");
        else
            pthread_join(thread, NULL);
        if (!a.ok) {
            check_note(r, "leaks", CHECK_FAILED, "%s", a.e.msg);
            return;
        }
    }
    last = process_use();
    if (last.heap > first.heap + NOISE || last.files > first.files || last.threads > first.threads)
        check_note(r, "leaks", CHECK_FAILED, "%d more openings left %lld bytes, %lld files, %lld threads", MORE,
                   (long long)(last.heap - first.heap), (long long)(last.files - first.files),
                   (long long)(last.threads - first.threads));
    else
        check_note(r, "leaks", CHECK_PASSED, "%s", "");
}
