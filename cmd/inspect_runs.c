/* llmws inspect --status and --runs: whether a run lives and how far it is, for one and for all below a folder. */
#include "cmd/inspect_runs.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "cmd/json_out.h"
#include "cmd/train_run.h"
#include "formats/dirs.h"
#include "formats/json.h"
#include "formats/store.h"

const char *const run_state_names[] = {"running", "dead", "stopped", "done"};
const char *const run_state_colors[] = {"32", "31", "33", NULL};

/* ---- facts ---- */

/* Bytes on the disk of all below; links are not followed. */
static int64_t disk_bytes(const char *path, int depth) {
    Arena a = {0};
    struct stat st;
    const bool there = lstat(path, &st) == 0;
    int64_t sum = there ? (int64_t)st.st_blocks * 512 : 0; /* of a directory itself 0 on many file systems */
    DIR *d = there && depth && S_ISDIR(st.st_mode) ? opendir(path) : NULL;
    for (struct dirent *x; d && (x = readdir(d));)
        if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0)
            sum += disk_bytes(store_join(&a, path, x->d_name), depth - 1);
    if (d) closedir(d);
    arena_release(&a);
    return sum;
}

RunFacts run_facts(const RunRecord *r) {
    enum { DEEP = 8, LATELY = 20 };
    const RunLog *log = &r->log;
    RunFacts f = {.percent = (double)NAN, .eta_s = (double)NAN, .seconds = log->seconds};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double step_s = log->step_s;
    f.tok_s = run_series_median(&log->of[RUN_TOK_S], LATELY);
    if (isnan(step_s) && log->step_tokens && f.tok_s > 0) step_s = (double)log->step_tokens / f.tok_s;
    if (log->steps > 0 && log->step >= 0) f.percent = 100 * (double)log->step / (double)log->steps;
    if (log->steps > log->step && log->step >= 0) f.eta_s = (double)(log->steps - log->step) * step_s;
    if (isnan(f.seconds)) f.seconds = r->last_event - r->started;
    f.age_s = MAX(0, (double)now.tv_sec + (double)now.tv_nsec * 1e-9 - r->last_event);
    f.checkpoint = run_last(r->dir);
    f.bytes = disk_bytes(r->dir, DEEP);
    return f;
}

void put_seconds(Buf *b, double seconds) {
    if (!(seconds >= 0 && seconds < 1e12)) {
        buf_char(b, '-');
        return;
    }
    static const struct {
        int64_t unit, less;
        const char *fmt;
    } forms[] = {{86400, 3600, "%" PRId64 "d%02" PRId64 "h"},
                 {3600, 60, "%" PRId64 "h%02" PRId64 "m"},
                 {60, 1, "%" PRId64 "m%02" PRId64 "s"}};
    int64_t s = (int64_t)seconds;
    for (size_t i = 0; i < COUNT_OF(forms); i++)
        if (s >= forms[i].unit)
            return buf_printf(b, forms[i].fmt, s / forms[i].unit, s % forms[i].unit / forms[i].less);
    buf_printf(b, "%" PRId64 "s", s);
}

void put_figure(Buf *b, double v) {
    if (isnan(v))
        buf_char(b, '-');
    else
        buf_printf(b, v != 0 && (fabs(v) < 1e-3 || fabs(v) >= 1e6) ? "%.4g" : "%.4f", v);
}

const char *figure(Arena *a, double v) {
    Buf b = {0};
    put_figure(&b, v);
    const char *text = arena_strn(a, b.s, b.n);
    buf_release(&b);
    return text;
}

Str run_text(const RunRecord *r, const char *key) {
    const Value *v = value_get(&r->json, key);
    return v && v->kind == VALUE_STR ? v->s : STR("");
}

void put_data_names(Buf *b, const RunRecord *r) {
    const Value *data = value_get(&r->json, "data");
    for (size_t i = 0; data && i < value_count(data); i++) {
        Value item = value_item(data, i);
        Str name = item.kind == VALUE_STR ? path_last(item.s) : STR("");
        buf_str(b, i ? "+" : "");
        buf_put(b, name.s, name.n);
    }
}

/* ---- JSON ---- */

static void json_count(Buf *b, const char *key, int64_t n) { /* null: unknown */
    if (n >= 0) return json_int(b, key, n);
    json_key(b, key);
    buf_str(b, "null");
}

static void json_member(Buf *b, const RunRecord *r, const char *key) {
    const Value *v = value_get(&r->json, key);
    json_key(b, key);
    if (v)
        json_put_value(b, v, -1);
    else
        buf_str(b, "null");
}

static double rounded(double v) { return round(v * 1e3) / 1e3; }

void run_json_members(Buf *b, const RunRecord *r, const RunFacts *f) {
    const RunLog *log = &r->log;
    const RunSeries *loss = &log->of[RUN_LOSS], *eval = &log->of[RUN_EVAL];
    json_str(b, "run", str_of(r->dir));
    json_str(b, "state", str_of(run_state_names[r->state]));
    json_member(b, r, "model");
    json_str(b, "family", log->family);
    json_member(b, r, "data");
    json_count(b, "step", log->step);
    json_count(b, "steps", log->steps);
    json_num(b, "percent", rounded(f->percent));
    json_count(b, "epoch", log->epoch);
    json_num(b, "loss", loss->last);
    json_num(b, "best_loss", loss->min);
    json_count(b, "best_loss_step", loss->n ? loss->min_step : -1);
    json_num(b, "eval", eval->last);
    json_num(b, "best_eval", eval->min);
    json_count(b, "best_eval_step", eval->n ? eval->min_step : -1);
    json_num(b, "tok_s", rounded(f->tok_s));
    json_num(b, "eta_s", r->state == RUN_RUNNING ? rounded(f->eta_s) : (double)NAN);
    json_num(b, "age_s", rounded(f->age_s));
    json_num(b, "started", rounded(r->started));
    json_num(b, "seconds", rounded(f->seconds));
    json_count(b, "checkpoint", f->checkpoint);
    json_int(b, "bytes", f->bytes);
    json_int(b, "bad_lines", log->bad);
}

/* ---- one ---- */

/* A word as a shell takes it. */
static void put_word(Buf *b, const char *word) {
    if (*word != '-' &&
        word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+@:")] == 0)
        return buf_str(b, word);
    buf_char(b, '\'');
    for (; *word; word++) buf_printf(b, *word == '\'' ? "'\\''" : "%c", *word);
    buf_char(b, '\'');
}

static void status_rows(const RunRecord *r, const RunFacts *f, Table *t) {
    const RunLog *log = &r->log;
    const RunSeries *loss = &log->of[RUN_LOSS], *eval = &log->of[RUN_EVAL];
    Arena *a = &t->arena;
    Buf b = {0};
    if (log->step < 0) buf_str(&b, "none yet");
    if (log->step >= 0) buf_printf(&b, "%" PRId64, log->step);
    if (log->steps >= 0) buf_printf(&b, " of %" PRId64, log->steps);
    if (!isnan(f->percent)) buf_printf(&b, ", %.1f %%", f->percent);
    if (log->epoch >= 0) buf_printf(&b, ", epoch %" PRId64, log->epoch);
    table_cell(t, "step"), table_cell(t, "%s", b.s), table_end_row(t);
    if (loss->n) {
        table_cell(t, "loss");
        table_cell(t, "%s, lowest %s at step %" PRId64, figure(a, loss->last), figure(a, loss->min), loss->min_step);
        table_end_row(t);
    }
    if (eval->n) {
        table_cell(t, "eval");
        table_cell(t, "%s, best %s at step %" PRId64, figure(a, eval->last), figure(a, eval->min), eval->min_step);
        table_end_row(t);
    }
    if (!isnan(f->tok_s)) table_cell(t, "speed"), table_cell(t, "%.0f tok/s", f->tok_s), table_end_row(t);
    buf_clear(&b);
    if (r->state == RUN_RUNNING && !isnan(f->eta_s)) {
        put_seconds(&b, f->eta_s);
        table_cell(t, "left"), table_cell(t, "%s", b.s), table_end_row(t);
        buf_clear(&b);
    }
    put_seconds(&b, f->age_s);
    table_cell(t, "last event"), table_cell(t, "%s ago", b.s), table_end_row(t);
    table_cell(t, "checkpoint");
    table_cell(t, "%s", f->checkpoint < 0 ? "none" : run_checkpoint(a, r->dir, f->checkpoint)), table_end_row(t);
    buf_clear(&b);
    put_bytes(&b, f->bytes);
    table_cell(t, "on disk"), table_cell(t, "%s", b.s), table_end_row(t);
    if (log->bad) {
        table_cell(t, "unread");
        table_cell(t, "%" PRId64 " lines of events.jsonl are no JSON", log->bad), table_end_row(t);
    }
    buf_release(&b);
}

static void status_text(Buf *b, const Ui *ui, const RunRecord *r, const RunFacts *f) {
    Table t = {.align = "l"};
    Buf dead = {0};
    const char *state = run_state_names[r->state];
    if (r->state == RUN_DEAD || r->state == RUN_STOPPED) {
        buf_printf(&dead, "%s; go on with: llmws train --resume -o ", state);
        put_word(&dead, r->dir);
        state = dead.s;
    }
    table_cell(&t, "run"), table_cell(&t, "%s", r->dir), table_end_row(&t);
    table_cell(&t, "state"), table_color(&t, run_state_colors[r->state], state), table_end_row(&t);
    status_rows(r, f, &t);
    table_put(&t, 0, true, ui->out_color, b);
    table_release(&t);
    buf_release(&dead);
}

bool inspect_status(const InspectOpts *o, const Ui *ui, Err *e) {
    RunRecord r = {0};
    Buf b = {0};
    bool ok = run_read(o->status, &r, e);
    if (ok) {
        RunFacts f = run_facts(&r);
        if (ui->json) {
            event_begin(&b, "run_status");
            run_json_members(&b, &r, &f);
            event_end(&b);
        } else {
            status_text(&b, ui, &r, &f);
        }
        ok = out_flush(&b, e);
    }
    buf_release(&b);
    run_record_release(&r);
    return ok;
}

/* ---- all below a folder ---- */

typedef struct Listed {
    RunRecord r;
    RunFacts f;
} Listed;

typedef struct List {
    Listed *runs;
    size_t n;
    const Ui *ui;
    Arena arena;
} List;

/* One that cannot be read is told and passed over. */
static void list_add(List *l, const char *dir) {
    RunRecord r = {0};
    Err e = {0};
    if (!run_read(dir, &r, &e)) {
        ui_warn(l->ui, "%s", e.msg);
        run_record_release(&r);
        return;
    }
    l->runs = mem_grow(l->runs, l->n + 1, sizeof *l->runs);
    l->runs[l->n++] = (Listed){r, run_facts(&r)};
    for (int m = 0; m < RUN_METRICS; m++) { /* of many runs the curves are not kept */
        free(l->runs[l->n - 1].r.log.of[m].buckets);
        l->runs[l->n - 1].r.log.of[m].buckets = NULL;
    }
}

/* Links are not followed: there are no loops. */
static void list_below(List *l, const char *dir, int depth) {
    struct stat st;
    if (run_is(dir)) return list_add(l, dir);
    DIR *d = depth ? opendir(dir) : NULL;
    for (struct dirent *x; d && (x = readdir(d));) {
        if (x->d_name[0] == '.') continue;
        const char *path =
            strcmp(dir, ".") == 0 ? arena_printf(&l->arena, "%s", x->d_name) : store_join(&l->arena, dir, x->d_name);
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) list_below(l, path, depth - 1);
    }
    if (d) closedir(d);
}

static int newest_first(const void *a, const void *b) {
    const Listed *x = a, *y = b;
    int by_time = (x->r.started < y->r.started) - (x->r.started > y->r.started);
    return by_time ? by_time : strcmp(x->r.dir, y->r.dir);
}

static void list_row(Table *t, const RunRecord *r, const RunFacts *f) {
    const RunLog *log = &r->log;
    const RunSeries *loss = &log->of[RUN_LOSS], *eval = &log->of[RUN_EVAL];
    Buf b = {0};
    char started[24] = "";
    time_t at = (time_t)r->started;
    struct tm tm;
    Str model = path_last(run_text(r, "model"));
    if (localtime_r(&at, &tm)) strftime(started, sizeof started, "%Y-%m-%d %H:%M", &tm);
    put_data_names(&b, r);
    table_cell(t, "%s", r->dir);
    table_color(t, run_state_colors[r->state], run_state_names[r->state]);
    table_cell(t, "%.*s%s%.*s", STR_ARG(model), model.n && log->family.n ? ", " : "", STR_ARG(log->family));
    table_cell(t, "%s", buf_view(&b).s);
    buf_clear(&b);
    if (log->step >= 0) buf_printf(&b, "%" PRId64, log->step);
    if (log->steps >= 0 && r->state != RUN_DONE) buf_printf(&b, "/%" PRId64, log->steps);
    table_cell(t, "%s", buf_view(&b).s);
    buf_clear(&b);
    table_cell(t, "%s", figure(&t->arena, loss->last));
    table_cell(t, "%s", figure(&t->arena, loss->min));
    table_cell(t, "%s", figure(&t->arena, eval->min));
    if (!isnan(f->tok_s)) buf_printf(&b, "%.0f", f->tok_s);
    table_cell(t, "%s", buf_view(&b).s);
    buf_clear(&b);
    table_cell(t, "%s", started);
    put_seconds(&b, f->seconds);
    table_cell(t, "%s", b.s);
    table_end_row(t);
    buf_release(&b);
}

static void list_put(const List *l, Buf *b) {
    static const char *const head[] = {"run",  "state", "model", "data",    "step", "loss",
                                       "best", "eval",  "tok/s", "started", "time"};
    Table t = {.align = "llllrrrrrlr"};
    for (size_t i = 0; i < COUNT_OF(head); i++) table_cell(&t, "%s", head[i]);
    table_end_row(&t);
    for (size_t i = 0; i < l->n; i++) list_row(&t, &l->runs[i].r, &l->runs[i].f);
    table_put(&t, l->ui->out_tty ? term_width() : 0, term_utf8(), l->ui->out_color, b);
    table_release(&t);
}

bool inspect_runs(const InspectOpts *o, const Ui *ui, Err *e) {
    enum { DEEP = 8 };
    List l = {.ui = ui};
    Buf b = {0};
    const char *dir = o->run.args.n ? o->run.args.items[0] : ".";
    DIR *d = opendir(dir);
    if (!d) return err_set(e, ERR_INPUT, "cannot open '%s': %s", dir, strerror(errno));
    closedir(d);
    list_below(&l, dir, DEEP);
    if (l.n) qsort(l.runs, l.n, sizeof *l.runs, newest_first);
    for (size_t i = 0; ui->json && i < l.n; i++) {
        event_begin(&b, "run");
        run_json_members(&b, &l.runs[i].r, &l.runs[i].f);
        event_end(&b);
    }
    if (!ui->json && l.n) list_put(&l, &b);
    if (!l.n) ui_note(ui, "no runs below '%s'", dir);
    bool ok = out_flush(&b, e);
    for (size_t i = 0; i < l.n; i++) run_record_release(&l.runs[i].r);
    free(l.runs);
    arena_release(&l.arena);
    buf_release(&b);
    return ok;
}
