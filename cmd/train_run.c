#include "cmd/train_run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/dirs.h"
#include "formats/formats.h"
#include "formats/store.h"

static bool make_dir(const char *path, Err *e) {
    struct stat st;
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))) return true;
    return err_set(e, ERR_IO, "cannot make the directory '%s': %s", path, strerror(errno));
}

static bool open_file(int *fd, const char *path, int flags, Err *e) {
    *fd = open(path, flags | O_CREAT | O_CLOEXEC, 0666);
    return *fd >= 0 || err_set(e, ERR_IO, "cannot write '%s': %s", path, strerror(errno));
}

static bool take_lock(Run *r, Err *e) {
    enum { TRIES = 5, PAUSE_MS = 10 };
    TRY(open_file(&r->lock, store_join(&r->arena, r->dir, "lock"), O_RDWR, e));
    for (int i = 0; i < TRIES; i++) { /* `inspect --status` shares it for an instant */
        if (flock(r->lock, LOCK_EX | LOCK_NB) == 0) return true;
        if (errno != EWOULDBLOCK) break;
        if (i + 1 < TRIES) poll(NULL, 0, PAUSE_MS);
    }
    return errno == EWOULDBLOCK
               ? err_set(e, ERR_IO, "cannot train in '%s': another process is at it; wait for it or stop it", r->dir)
               : err_set(e, ERR_IO, "cannot lock '%s': %s", r->dir, strerror(errno));
}

bool run_open(Run *r, const char *dir, Err *e) {
    *r = (Run){.dir = dir, .lock = -1, .events = -1};
    r->checkpoints = store_join(&r->arena, dir, "checkpoints");
    r->json = store_join(&r->arena, dir, "run.json");
    r->made = mkdir(dir, 0777) == 0;
    TRY((r->made || make_dir(dir, e)) && take_lock(r, e));
    r->held = true;
    TRY(make_dir(r->checkpoints, e));
    const char *events = store_join(&r->arena, dir, "events.jsonl");
    TRY(open_file(&r->events, events, O_RDWR | O_APPEND, e));
    dir_sweep(r->checkpoints);
    r->begun = path_exists(r->json);
    r->length = lseek(r->events, 0, SEEK_END);
    return r->length >= 0 || err_set(e, ERR_IO, "cannot read '%s': %s", events, strerror(errno));
}

/* ---- checkpoints ---- */

/* Under a hidden name first: what stands as a checkpoint is a whole one. */
void run_drop(Run *r, int64_t step) {
    Arena a = {0};
    const char *from = run_checkpoint(&a, r->dir, step), *to = store_join(&a, r->checkpoints, ".llmws-old.tmp");
    if (rename(from, to) == 0) dir_remove(to);
    arena_release(&a);
}

static void drop_unbegun(Run *r) {
    if (!r->held || path_exists(r->json)) return;
    run_drop(r, 0);
    if (!r->made) return;
    unlink(store_join(&r->arena, r->dir, "events.jsonl"));
    rmdir(r->checkpoints);
    unlink(store_join(&r->arena, r->dir, "lock"));
    rmdir(r->dir);
}

void run_close(Run *r) {
    drop_unbegun(r);
    if (r->events >= 0) close(r->events);
    if (r->lock >= 0) close(r->lock);
    arena_release(&r->arena);
}

void run_prune(Run *r, int64_t keep, int64_t best) {
    int64_t *steps;
    size_t n = run_steps(r->dir, &steps);
    for (size_t i = (size_t)keep; keep && i < n; i++)
        if (steps[i] != best) run_drop(r, steps[i]);
    free(steps);
}

bool run_link_best(Run *r, int64_t step, Err *e) {
    Arena a = {0};
    const char *name = strrchr(run_checkpoint(&a, r->dir, step), '/') + 1,
               *link = store_join(&a, r->checkpoints, "best"),
               *temp = store_join(&a, r->checkpoints, ".llmws-best.tmp");
    unlink(temp);
    bool ok = (symlink(name, temp) == 0 && rename(temp, link) == 0) ||
              err_set(e, ERR_IO, "cannot make the link '%s' to %s: %s", link, name, strerror(errno));
    if (!ok) unlink(temp);
    arena_release(&a);
    return ok;
}

void model_print(const LlmwsModel *m, char out[17]) { snprintf(out, 17, "%016" PRIx64, llmws_model_fingerprint(m)); }

/* ---- events ---- */

bool run_truncate(Run *r, int64_t length, Err *e) {
    if (length > r->length)
        return err_set(e, ERR_INPUT, "'%s/events.jsonl' has %" PRId64 " bytes, its checkpoint knows of %" PRId64,
                       r->dir, r->length, length);
    if (ftruncate(r->events, length) != 0)
        return err_set(e, ERR_IO, "cannot write '%s/events.jsonl': %s", r->dir, strerror(errno));
    r->length = length;
    return true;
}

/* A failed write leaves whole lines alone. */
bool run_event(Run *r, const Buf *lines, Err *e) {
    for (size_t done = 0; done < lines->n;) {
        ssize_t w = write(r->events, lines->s + done, lines->n - done);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) {
            int why = w ? errno : ENOSPC;
            (void)!ftruncate(r->events, r->length);
            return err_set(e, ERR_IO, "cannot write '%s/events.jsonl': %s", r->dir, strerror(why));
        }
        done += (size_t)w;
    }
    r->length += (int64_t)lines->n;
    return true;
}

bool run_sync(Run *r, Err *e) {
    return fsync(r->events) == 0 || err_set(e, ERR_IO, "cannot write '%s/events.jsonl': %s", r->dir, strerror(errno));
}
