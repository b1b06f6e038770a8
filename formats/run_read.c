#include "formats/run_read.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/json.h"
#include "formats/store.h"

/* ---- lines of a file, the last one first ---- */

enum { BLOCK = 64 << 10 }; /* also the longest line */

typedef struct Lines {
    int fd;
    int64_t at; /* where in the file buf begins */
    size_t n;   /* buf[0..n) is not given yet and ends where a line does */
    bool broken, done, cut;
    char buf[2 * BLOCK];
} Lines;

static bool lines_fill(Lines *l, Err *e) {
    size_t want = (size_t)MIN((int64_t)BLOCK, l->at), got = 0;
    if (l->n > BLOCK) l->n = 0, l->broken = true;
    memmove(l->buf + want, l->buf, l->n);
    while (got < want) {
        ssize_t r = pread(l->fd, l->buf + got, want - got, l->at - (int64_t)(want - got));
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return err_set(e, ERR_IO, "cannot read a run's events: %s", strerror(errno));
        if (r == 0) return l->cut = true;
        got += (size_t)r;
    }
    l->at -= (int64_t)want;
    l->n += want;
    return true;
}

/* *line.s is NULL for one that is too long, and behind the first. */
static bool lines_prev(Lines *l, Str *line, Err *e) {
    *line = (Str){0};
    for (;;) {
        const char *end = l->n ? memrchr(l->buf, '\n', l->n) : NULL;
        if (!end && l->at) {
            TRY(lines_fill(l, e));
            if (l->cut) return true;
            continue;
        }
        size_t from = end ? (size_t)(end - l->buf) + 1 : 0;
        if (!l->broken) *line = (Str){l->buf + from, l->n - from};
        l->n = end ? from - 1 : 0;
        l->broken = false;
        l->done = !end;
        return true;
    }
}

/* ---- an event ---- */

typedef enum Field {
    F_LOSS, /* as RunMetric, up to F_MEM */
    F_LR,
    F_GRAD_NORM,
    F_TOK_S,
    F_MEM,
    F_STEP,
    F_STEPS,
    F_EPOCH,
    F_BATCH,
    F_ACCUM,
    F_SEQ,
    F_PARAMS,
    F_PLANNED,
    F_TIME,
    FIELDS
} Field;

static const char *const field_names[FIELDS] = {"loss",    "lr",     "grad_norm",     "tok_s",      "mem_bytes",
                                                "step",    "steps",  "epoch",         "batch_size", "grad_accum",
                                                "seq_len", "params", "planned_bytes", "time"};

typedef enum EventKind {
    EVENT_OTHER,
    EVENT_STARTED,
    EVENT_RESUMED,
    EVENT_PROGRESS,
    EVENT_EVAL,
    EVENT_SAVED,
    EVENT_STOPPED,
    EVENT_DONE
} EventKind;

static const char *const event_names[] = {"",           "train_started",    "train_resumed", "train_progress",
                                          "train_eval", "checkpoint_saved", "train_stopped", "train_done"};

typedef struct Event {
    EventKind kind;
    double of[FIELDS]; /* NAN: not there, INFINITY: no number */
    char family[32];
} Event;

static int name_at(const char *const *names, size_t n, Str name) {
    for (size_t i = 0; i < n; i++)
        if (str_is(name, names[i])) return (int)i;
    return -1;
}

/* The value of a member that has been named. */
static bool take_member(Json *j, Str key, Event *ev) {
    int field = name_at(field_names, FIELDS, key);
    bool event = str_is(key, "event"), family = str_is(key, "family");
    if (field < 0 && !event && !family) return json_skip(j);
    switch (json_next(j)) {
    case JSON_STR:
        if (event) ev->kind = (EventKind)MAX(name_at(event_names, COUNT_OF(event_names), j->str), 0);
        if (family) memcpy(ev->family, j->str.s, MIN(j->str.n, sizeof ev->family - 1));
        return true;
    case JSON_INT: return field < 0 || (ev->of[field] = (double)j->i, true);
    case JSON_FLOAT: return field < 0 || (ev->of[field] = j->f, true);
    case JSON_NULL: return field < 0 || (ev->of[field] = (double)INFINITY, true);
    case JSON_BOOL: return true;
    default: return false;
    }
}

static bool event_parse(Str line, Event *ev) {
    Json j;
    JsonEvent next;
    *ev = (Event){0};
    for (int f = 0; f < FIELDS; f++) ev->of[f] = (double)NAN;
    json_begin(&j, line);
    bool ok = json_next(&j) == JSON_OBJECT;
    while (ok && (next = json_next(&j)) == JSON_KEY) {
        char key[16]; /* longer ones are none of ours */
        size_t n = MIN(j.str.n, sizeof key);
        memcpy(key, j.str.s, n);
        ok = take_member(&j, (Str){key, n}, ev);
    }
    ok = ok && next == JSON_OBJECT_END && json_next(&j) == JSON_DONE;
    json_end(&j);
    if (!(ev->of[F_TIME] > 0 && ev->of[F_TIME] < 1e12)) ev->of[F_TIME] = (double)NAN; /* no time of a day */
    return ok;
}

/* A count that a file may name; -1 where it names none. */
static int64_t whole(double v) { return v >= 0 && v <= 0x1p53 ? (int64_t)v : -1; }

/* ---- what the events come to ---- */

enum { LATELY = 64 }; /* events over which the time of a step is taken */

typedef struct Reading {
    RunLog *log;
    int64_t below[EVENT_DONE + 1]; /* steps that still count */
    bool begun, last_run;          /* the grid stands; no resume was met */
    int64_t recent, near_step;
    double near_time, later_time;
    EventKind later;
} Reading;

static void series_put(RunSeries *s, const RunLog *log, int64_t step, double v) {
    if (isnan(v)) return;
    if (!(fabs(v) <= 1e30)) {
        s->missing++;
        return;
    }
    if (!s->buckets) s->buckets = mem_alloc(RUN_BUCKETS, sizeof *s->buckets);
    if (!s->n++)
        *s = (RunSeries){.n = 1,
                         .missing = s->missing,
                         .last = v,
                         .min = v,
                         .max = v,
                         .min_step = step,
                         .max_step = step,
                         .buckets = s->buckets};
    RunBucket *b = &s->buckets[step / log->width];
    s->first = v;
    s->first_step = step;
    if (v <= s->min) s->min = v, s->min_step = step; /* the first of equals */
    if (v >= s->max) s->max = v, s->max_step = step;
    b->min = b->n ? MIN(b->min, v) : v;
    b->max = b->n ? MAX(b->max, v) : v;
    b->n++;
    b->mean += (v - b->mean) / (double)b->n;
}

static void take_progress(Reading *r, const Event *ev, int64_t step) {
    RunLog *log = r->log;
    if (log->epoch < 0) log->epoch = whole(ev->of[F_EPOCH]);
    for (int m = RUN_LOSS; m <= RUN_MEM; m++) series_put(&log->of[m], log, step, ev->of[m]);
    if (!r->last_run || isnan(ev->of[F_TIME]) || r->recent++ > LATELY) return;
    if (isnan(r->near_time)) r->near_time = ev->of[F_TIME], r->near_step = step;
    if (step < r->near_step && r->near_time >= ev->of[F_TIME])
        log->step_s = (r->near_time - ev->of[F_TIME]) / (double)(r->near_step - step);
}

static void take_start(Reading *r, const Event *ev, int64_t step) {
    RunLog *log = r->log;
    int64_t row = whole(ev->of[F_SEQ]), batch = whole(ev->of[F_BATCH]), accum = whole(ev->of[F_ACCUM]), all;
    if (log->steps < 0) log->steps = whole(ev->of[F_STEPS]);
    if (log->params < 0) log->params = whole(ev->of[F_PARAMS]);
    log->planned_bytes = MAX(log->planned_bytes, whole(ev->of[F_PLANNED]));
    if (!log->step_tokens && row > 0 && batch > 0 && accum > 0 && mul_i64(row, batch, &all) &&
        mul_i64(all, accum, &all))
        log->step_tokens = all;
    if (!log->family.n && ev->family[0]) log->family = str_of(arena_strn(&log->arena, ev->family, strlen(ev->family)));
    for (int k = 0; k <= EVENT_DONE; k++) r->below[k] = MIN(r->below[k], step + 1);
    r->last_run = false;
    log->resumed += ev->kind == EVENT_RESUMED;
    if (ev->kind == EVENT_STARTED) log->started = ev->of[F_TIME];
}

/* Time between an event and the one that followed it in the same process. A run that goes on tells its last checkpoint
 * again first; what was told while it trained is followed by an update. */
static void take_time(Reading *r, const Event *ev) {
    double time = ev->of[F_TIME];
    if (isnan(time)) return;
    if (isnan(r->log->seconds)) r->log->seconds = 0;
    if (r->later_time >= time) r->log->seconds += r->later_time - time;
    bool first = ev->kind == EVENT_RESUMED || ev->kind == EVENT_STARTED ||
                 (ev->kind == EVENT_SAVED && r->later != EVENT_PROGRESS);
    r->later = ev->kind;
    r->later_time = first ? (double)NAN : time;
}

static void begin(Reading *r, const Event *ev, int64_t step) {
    r->begun = r->last_run = true;
    r->log->step = step;
    r->log->width = step / RUN_BUCKETS + 1;
    r->log->done = ev->kind == EVENT_DONE;
    r->log->stopped = ev->kind == EVENT_STOPPED;
    for (int k = 0; k <= EVENT_DONE; k++) r->below[k] = step + 1;
}

/* False: what stands before is of no run that this one goes on with. */
static bool take(Reading *r, const Event *ev) {
    int64_t step = whole(ev->of[F_STEP]);
    if (ev->kind == EVENT_OTHER || step < 0) return true;
    if (!r->begun) begin(r, ev, step);
    if (step >= r->below[ev->kind]) return true;
    r->below[ev->kind] = ev->kind == EVENT_PROGRESS || ev->kind == EVENT_EVAL ? step : step + 1;
    take_time(r, ev);
    switch (ev->kind) {
    case EVENT_STARTED: return take_start(r, ev, step), false;
    case EVENT_RESUMED: return take_start(r, ev, step), true;
    case EVENT_PROGRESS: return take_progress(r, ev, step), true;
    case EVENT_EVAL: return series_put(&r->log->of[RUN_EVAL], r->log, step, ev->of[F_LOSS]), true;
    case EVENT_SAVED: return r->log->saved = MAX(r->log->saved, step), true;
    default: return true;
    }
}

static void log_clear(RunLog *log) {
    run_log_release(log);
    *log = (RunLog){.width = 1, .step = -1, .steps = -1, .epoch = -1, .saved = -1, .params = -1, .planned_bytes = -1};
    log->step_s = log->seconds = log->started = (double)NAN;
    for (int m = 0; m < RUN_METRICS; m++) {
        RunSeries *s = &log->of[m];
        s->first = s->last = s->min = s->max = (double)NAN;
    }
}

static bool read_once(Lines *l, RunLog *log, Err *e) {
    Reading r = {.log = log, .near_time = (double)NAN, .later_time = (double)NAN};
    struct stat st;
    Str line;
    Event ev;
    log_clear(log);
    *l = (Lines){.fd = l->fd};
    if (fstat(l->fd, &st) != 0) return err_set(e, ERR_IO, "cannot read a run's events: %s", strerror(errno));
    l->at = st.st_size;
    if (!l->at) return true;
    TRY(lines_prev(l, &line, e)); /* behind the last line break: nothing, or what is being written */
    while (!l->done && !l->cut) {
        TRY(lines_prev(l, &line, e));
        if (l->cut || (line.s && !line.n)) continue;
        if (!line.s || !event_parse(line, &ev))
            log->bad++;
        else if (!take(&r, &ev))
            break;
    }
    return true;
}

bool run_log_read(int fd, RunLog *log, Err *e) {
    enum { TRIES = 3 };
    Lines *l = mem_alloc(1, sizeof *l);
    bool ok = true;
    l->fd = fd;
    for (int i = 0; ok && (i == 0 || l->cut) && i < TRIES; i++) ok = read_once(l, log, e);
    if (ok && l->cut) ok = err_set(e, ERR_IO, "cannot read a run's events: they are cut again and again; try later");
    free(l);
    return ok;
}

void run_log_release(RunLog *log) {
    for (int m = 0; m < RUN_METRICS; m++) free(log->of[m].buckets);
    arena_release(&log->arena);
    *log = (RunLog){0};
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double run_series_median(const RunSeries *s, int64_t n) {
    double *v = mem_alloc(RUN_BUCKETS, sizeof *v), median = (double)NAN;
    int64_t k = 0;
    for (int i = RUN_BUCKETS - 1; s->buckets && i >= 0 && (!n || k < n); i--)
        if (s->buckets[i].n) v[k++] = s->buckets[i].mean;
    if (k) {
        qsort(v, (size_t)k, sizeof *v, by_value);
        median = (v[(k - 1) / 2] + v[k / 2]) / 2;
    }
    free(v);
    return median;
}

/* ---- a run ---- */

static double stat_time(const struct stat *st) {
    return (double)st->st_mtim.tv_sec + (double)st->st_mtim.tv_nsec * 1e-9;
}

bool run_is(const char *dir) {
    Arena a = {0};
    struct stat st;
    bool is = stat(store_join(&a, dir, "run.json"), &st) == 0 && S_ISREG(st.st_mode);
    arena_release(&a);
    return is;
}

static bool read_json(RunRecord *r, const char *path, Err *e) {
    Mapping m;
    TRY(map_file(path, &m, e));
    bool ok = json_parse((Str){m.bytes, m.n}, path, &r->arena, &r->json, e);
    unmap_file(&m);
    if (ok && !value_get(&r->json, "llmws"))
        ok = err_set(e, ERR_INPUT, "cannot use '%s': it is no run's description", path);
    return ok;
}

static bool read_events(RunRecord *r, const char *path, Err *e) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    log_clear(&r->log);
    if (fd < 0 && errno == ENOENT) return true;
    if (fd < 0) return err_set(e, ERR_INPUT, "cannot open '%s': %s", path, strerror(errno));
    bool ok = (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) ||
              err_set(e, ERR_INPUT, "cannot read '%s': it is not a regular file", path);
    if (ok) r->last_event = stat_time(&st);
    ok = ok && run_log_read(fd, &r->log, e);
    close(fd);
    return ok;
}

/* A shared lock that is given back at once; several may look at the same time. */
static bool is_locked(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    bool locked = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return locked;
}

bool run_read(const char *dir, RunRecord *r, Err *e) {
    struct stat st;
    const char *path = store_join(&r->arena, dir, "run.json");
    r->dir = dir;
    if (!run_is(dir)) return err_set(e, ERR_INPUT, "'%s' is no run: it has no run.json", dir);
    TRY(read_json(r, path, e));
    r->started = r->last_event = stat(path, &st) == 0 ? stat_time(&st) : 0;
    bool locked = is_locked(store_join(&r->arena, dir, "lock")); /* before the events: one that ends now is done */
    TRY(read_events(r, store_join(&r->arena, dir, "events.jsonl"), e));
    if (r->log.started > 0) r->started = r->log.started;
    r->state = r->log.done ? RUN_DONE : locked ? RUN_RUNNING : r->log.stopped ? RUN_STOPPED : RUN_DEAD;
    return true;
}

void run_record_release(RunRecord *r) {
    run_log_release(&r->log);
    arena_release(&r->arena);
    *r = (RunRecord){0};
}
