/* llmws inspect --run: what a run was told to do, on which data, and what came of it, with its curve. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "cmd/inspect_runs.h"
#include "cmd/json_out.h"
#include "cmd/train.h"
#include "formats/formats.h"
#include "formats/json.h"

/* ---- curves ---- */

Trace trace_of(const RunLog *log, RunMetric metric, size_t points) {
    const RunSeries *s = &log->of[metric];
    size_t used = 0;
    Trace t = {0};
    for (int i = 0; s->buckets && i < RUN_BUCKETS; i++) used += s->buckets[i].n > 0;
    if (!used) return t;
    const size_t join = (used + points - 1) / points; /* buckets that become a point */
    t.x = mem_alloc(used, sizeof *t.x);
    t.raw = mem_alloc(used, sizeof *t.raw);
    t.smooth = mem_alloc(used, sizeof *t.smooth);
    t.faint_x = mem_alloc(2 * used, sizeof *t.faint_x);
    t.faint = mem_alloc(2 * used, sizeof *t.faint);
    RunBucket sum = {0};
    double at = 0;
    size_t joined = 0, left = used;
    for (int i = 0; i < RUN_BUCKETS; i++) {
        const RunBucket *b = &s->buckets[i];
        if (!b->n) continue;
        double middle = (double)i * (double)log->width + (double)(log->width - 1) / 2;
        sum.min = joined ? MIN(sum.min, b->min) : b->min;
        sum.max = joined ? MAX(sum.max, b->max) : b->max;
        joined++;
        sum.n += b->n;
        sum.mean = joined == 1 ? b->mean : sum.mean + (b->mean - sum.mean) * (double)b->n / (double)sum.n;
        at += (middle - at) / (double)joined;
        left--;
        if (joined < join && left) continue;
        t.x[t.n] = at;
        t.raw[t.n++] = sum.mean;
        for (int high = sum.min == sum.max; high < 2; high++) {
            t.faint_x[t.n_faint] = at;
            t.faint[t.n_faint++] = high ? sum.max : sum.min;
        }
        joined = 0, at = 0;
        sum = (RunBucket){0};
    }
    enum { WINDOW = 50 }; /* a point leans on the fiftieth part of the curve on each side */
    t.smoothed = t.n >= WINDOW;
    chart_smooth(t.raw, t.n, t.n / WINDOW, t.smooth);
    return t;
}

void trace_release(Trace *t) {
    free(t->x);
    free(t->raw);
    free(t->smooth);
    free(t->faint_x);
    free(t->faint);
    *t = (Trace){0};
}

double trace_at(const Trace *t, double step) {
    size_t i = 0;
    while (i < t->n && t->x[i] < step) i++;
    if (i < t->n && t->x[i] <= step) return t->smooth[i];
    if (i == 0 || i == t->n) return (double)NAN;
    double part = (step - t->x[i - 1]) / (t->x[i] - t->x[i - 1]);
    return t->smooth[i - 1] + part * (t->smooth[i] - t->smooth[i - 1]);
}

CurveStyle curve_style(const Ui *ui) { return (CurveStyle){term_width(), term_utf8(), ui->out_color}; }

typedef struct Traces {
    Trace loss, eval, lr;
} Traces;

static Traces traces_of(const RunLog *log) {
    enum { POINTS = 1000 };
    return (Traces){trace_of(log, RUN_LOSS, POINTS), trace_of(log, RUN_EVAL, POINTS), trace_of(log, RUN_LR, POINTS)};
}

static void traces_release(Traces *t) {
    trace_release(&t->loss);
    trace_release(&t->eval);
    trace_release(&t->lr);
}

static size_t curves_of(const Traces *t, Curve out[4]) {
    size_t n = 0;
    if (t->lr.n) out[n++] = (Curve){"learning rate", CURVE_SECOND, 0, t->lr.x, t->lr.raw, t->lr.n};
    if (t->loss.smoothed) out[n++] = (Curve){"loss", CURVE_FAINT, 0, t->loss.faint_x, t->loss.faint, t->loss.n_faint};
    if (t->loss.n)
        out[n++] =
            (Curve){t->loss.smoothed ? "loss, smoothed" : "loss", CURVE_LINE, 0, t->loss.x, t->loss.smooth, t->loss.n};
    if (t->eval.n) out[n++] = (Curve){"eval", CURVE_POINTS, 1, t->eval.x, t->eval.raw, t->eval.n};
    return n;
}

/* ---- settings ---- */

/* What a run that was told nothing is told, an object. */
static bool default_options(Arena *a, Value *out, Err *e) {
    TrainOpts *o = ARENA_NEW(a, TrainOpts, 1);
    Buf json = {0};
    opt_init(train_tables, o);
    o->epochs = 1;
    bool ok = train_opts_resolve(o, NULL, a, e);
    buf_char(&json, '{');
    if (ok) train_opts_put(o, &json);
    buf_char(&json, '}');
    ok = ok && json_parse(buf_view(&json), "the defaults of train", a, out, e);
    buf_release(&json);
    opt_release(train_tables, o);
    return ok;
}

static void put_setting(Buf *b, Str key, const Value *v) {
    Buf text = {0};
    if (v->kind == VALUE_STR)
        buf_put(&text, v->s.s, v->s.n);
    else if (v->kind != VALUE_BOOL || !v->b)
        json_put_value(&text, v, -1);
    buf_str(b, b->n ? " --" : "--");
    buf_put(b, key.s, key.n);
    if (text.n) buf_printf(b, "=%s", text.s);
    buf_release(&text);
}

/* Words in as many rows as they take. */
static void wrapped_row(Table *t, const char *label, const char *text) {
    enum { LABELS = 11 }; /* columns of "grad norm" and what parts it from the text */
    const size_t room = (size_t)term_width() - LABELS;
    do {
        size_t n = strlen(text);
        const char *space = n > room ? memrchr(text, ' ', room + 1) : NULL;
        if (n > room && !space) space = strchr(text, ' ');
        if (space) n = (size_t)(space - text);
        table_cell(t, "%s", label), table_cell(t, "%.*s", (int)n, text), table_end_row(t);
        text += n + (space != NULL);
        label = " ";
    } while (*text);
}

/* Rows of what the command line said, and of what it left as it was. Steps that came of --epochs are neither. */
static bool setting_rows(const RunRecord *r, Table *t, Err *e) {
    Value defaults;
    const Value *options = value_get(&r->json, "options");
    Buf told = {0}, left = {0};
    TRY(default_options(&t->arena, &defaults, e));
    for (size_t i = 0; options && options->kind == VALUE_OBJECT && i < options->object.n; i++) {
        char key[WORD_MAX + 1] = "";
        Str name = options->object.keys[i];
        memcpy(key, name.s, MIN(name.n, sizeof key - 1));
        const Value *usual = value_get(&defaults, key), *v = &options->object.items[i];
        if (strcmp(key, "steps") == 0 && value_get(options, "epochs")) continue;
        put_setting(usual && json_same(usual, v) ? &left : &told, name, v);
    }
    wrapped_row(t, "settings", buf_view(&told).s);
    if (left.n) wrapped_row(t, "defaults", left.s);
    buf_release(&told);
    buf_release(&left);
    return true;
}

static void data_rows(const RunRecord *r, Table *t) {
    const Value *files = value_get(&r->json, "files");
    for (size_t i = 0; files && i < value_count(files); i++) {
        Value f = value_item(files, i);
        Str path = {0}, sha = {0};
        int64_t bytes = 0;
        Err none;
        Buf size = {0};
        if (f.kind != VALUE_OBJECT || !value_as_str(value_get(&f, "path"), "path", &path, &none)) continue;
        (void)(value_as_str(value_get(&f, "sha256"), "sha256", &sha, &none) &&
               value_as_int(value_get(&f, "bytes"), "bytes", &bytes, &none));
        put_bytes(&size, MAX(bytes, 0));
        table_cell(t, "data");
        table_cell(t, "%.*s, %s, sha256 %.*s", STR_ARG(path), size.s, (int)MIN(sha.n, 16), sha.n ? sha.s : "");
        table_end_row(t);
        buf_release(&size);
    }
}

static void machine_row(const RunRecord *r, Table *t) {
    const Value *m = value_get(&r->json, "machine"), *threads = value_get(&r->json, "threads");
    Str isa = run_text(r, "isa"), version = run_text(r, "llmws");
    Buf b = {0};
    for (size_t i = 0; m && m->kind == VALUE_OBJECT && i < m->object.n; i++)
        if (m->object.items[i].kind == VALUE_STR) buf_printf(&b, "%.*s ", STR_ARG(m->object.items[i].s));
    if (isa.n) buf_printf(&b, "%.*s ", STR_ARG(isa));
    if (threads && threads->kind == VALUE_INT)
        buf_printf(&b, "%" PRId64 " thread%s ", threads->i, threads->i == 1 ? "" : "s");
    if (version.n) buf_printf(&b, "llmws %.*s", STR_ARG(version));
    table_cell(t, "machine"), table_cell(t, "%s", buf_view(&b).s), table_end_row(t);
    buf_release(&b);
}

/* ---- results ---- */

static void loss_rows(const RunLog *log, Table *t) {
    const RunSeries *loss = &log->of[RUN_LOSS], *eval = &log->of[RUN_EVAL];
    Arena *a = &t->arena;
    if (loss->n) {
        table_cell(t, "loss");
        table_cell(t, "%s at step %" PRId64 ", last %s, lowest %s at step %" PRId64, figure(a, loss->first),
                   loss->first_step, figure(a, loss->last), figure(a, loss->min), loss->min_step);
        table_end_row(t);
    }
    if (loss->missing) {
        table_cell(t, "no number");
        table_cell(t, "the loss of %" PRId64 " steps", loss->missing), table_end_row(t);
    }
    if (eval->n) {
        table_cell(t, "eval");
        table_cell(t, "%s at step %" PRId64 ", last %s, best %s (perplexity %s) at step %" PRId64 ", %" PRId64 " times",
                   figure(a, eval->first), eval->first_step, figure(a, eval->last), figure(a, eval->min),
                   figure(a, exp(eval->min)), eval->min_step, eval->n);
        table_end_row(t);
    }
}

static void result_rows(const RunRecord *r, const RunFacts *f, Table *t) {
    const RunLog *log = &r->log;
    const RunSeries *norm = &log->of[RUN_GRAD_NORM], *lr = &log->of[RUN_LR], *mem = &log->of[RUN_MEM];
    Arena *a = &t->arena;
    Buf b = {0}, planned = {0};
    loss_rows(log, t);
    if (norm->n) {
        table_cell(t, "grad norm");
        table_cell(t, "median %s, largest %s at step %" PRId64, figure(a, run_series_median(norm, 0)),
                   figure(a, norm->max), norm->max_step);
        table_end_row(t);
    }
    if (lr->n) {
        table_cell(t, "lr");
        table_cell(t, "%.4g to %.4g, last %.4g", lr->min, lr->max, lr->last), table_end_row(t);
    }
    double speed = run_series_median(&log->of[RUN_TOK_S], 0);
    put_seconds(&b, f->seconds);
    table_cell(t, "speed");
    if (isnan(speed))
        table_cell(t, "%s in all", b.s);
    else
        table_cell(t, "median %.0f tok/s, %s in all", speed, b.s);
    table_end_row(t);
    buf_clear(&b);
    if (mem->n) {
        put_bytes(&b, (int64_t)mem->max);
        if (log->planned_bytes >= 0) buf_str(&planned, ", planned "), put_bytes(&planned, log->planned_bytes);
        table_cell(t, "memory"), table_cell(t, "peak %s%s", b.s, buf_view(&planned).s), table_end_row(t);
    }
    buf_release(&b);
    buf_release(&planned);
}

static bool report_text(Buf *b, const Ui *ui, const RunRecord *r, const RunFacts *f, Err *e) {
    const RunLog *log = &r->log;
    Table t = {.align = "l"};
    Str model = run_text(r, "model");
    Buf size = {0};
    table_cell(&t, "run"), table_cell(&t, "%s", r->dir), table_end_row(&t);
    table_cell(&t, "state"), table_color(&t, run_state_colors[r->state], run_state_names[r->state]), table_end_row(&t);
    buf_printf(&size, "%" PRId64, MAX(log->step, 0));
    if (log->steps >= 0) buf_printf(&size, " of %" PRId64, log->steps);
    table_cell(&t, "step"), table_cell(&t, "%s", size.s), table_end_row(&t);
    buf_clear(&size);
    if (log->params >= 0) put_count(&size, log->params);
    table_cell(&t, "model");
    table_cell(&t, "%.*s%s%.*s%s%s", STR_ARG(model), log->family.n ? ", " : "", STR_ARG(log->family),
               size.n ? ", parameters: " : "", buf_view(&size).s);
    table_end_row(&t);
    bool ok = setting_rows(r, &t, e);
    data_rows(r, &t);
    machine_row(r, &t);
    result_rows(r, f, &t);
    if (ok) table_put(&t, 0, true, ui->out_color, b);
    table_release(&t);
    buf_release(&size);
    return ok;
}

static void put_points(Buf *b, const char *key, const Trace *t) {
    json_key(b, key);
    buf_char(b, '[');
    for (size_t i = 0; i < t->n; i++) {
        buf_str(b, i ? ",[" : "[");
        json_put_float(b, t->x[i]);
        buf_char(b, ',');
        json_put_float(b, t->raw[i]);
        buf_char(b, ']');
    }
    buf_char(b, ']');
}

static void report_json(Buf *b, const RunRecord *r, const RunFacts *f, const Traces *t) {
    static const char *const members[] = {"options", "files", "isa", "threads", "machine", "llmws"};
    const RunLog *log = &r->log;
    const RunSeries *loss = &log->of[RUN_LOSS], *norm = &log->of[RUN_GRAD_NORM], *lr = &log->of[RUN_LR];
    event_begin(b, "run_report");
    run_json_members(b, r, f);
    json_num(b, "first_loss", loss->first);
    json_int(b, "no_number", loss->missing);
    json_num(b, "grad_norm_median", run_series_median(norm, 0));
    json_num(b, "grad_norm_max", norm->max);
    json_num(b, "lr_min", lr->min);
    json_num(b, "lr_max", lr->max);
    json_num(b, "tok_s_median", run_series_median(&log->of[RUN_TOK_S], 0));
    json_num(b, "mem_bytes_max", log->of[RUN_MEM].max);
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        const Value *v = value_get(&r->json, members[i]);
        if (!v) continue;
        json_key(b, members[i]);
        json_put_value(b, v, -1);
    }
    put_points(b, "loss_curve", &t->loss);
    put_points(b, "eval_curve", &t->eval);
    event_end(b);
}

/* ---- the command ---- */

bool write_chart(const char *path, const Chart *c, Err *e) {
    Buf svg = {0};
    size_t points = 0;
    for (size_t i = 0; i < c->n; i++) points += c->curves[i].n;
    if (!points) return err_set(e, ERR_INPUT, "nothing to draw: '%s' has no value yet", c->title);
    chart_svg(c, &svg);
    bool ok = write_text_file(path, buf_view(&svg), e);
    buf_release(&svg);
    return ok;
}

static bool report(const InspectOpts *o, const Ui *ui, const RunRecord *r, Err *e) {
    RunFacts f = run_facts(r);
    Traces t = traces_of(&r->log);
    Curve curves[4];
    Chart c = {.title = r->dir, .x_name = "step", .y_name = "loss", .second_name = "lr", .curves = curves};
    Buf b = {0};
    bool ok = true;
    c.n = curves_of(&t, curves);
    if (ui->json) {
        report_json(&b, r, &f, &t);
    } else {
        ok = report_text(&b, ui, r, &f, e);
        CurveStyle style = curve_style(ui);
        if (ok && t.loss.n) buf_char(&b, '\n'), curve_put(&c, &style, &b);
    }
    ok = ok && (!o->svg || write_chart(o->svg, &c, e)) && out_flush(&b, e);
    traces_release(&t);
    buf_release(&b);
    return ok;
}

bool inspect_run_report(const InspectOpts *o, const Ui *ui, Err *e) {
    RunRecord r = {0};
    bool ok = run_read(o->of_run, &r, e) && report(o, ui, &r, e);
    run_record_release(&r);
    return ok;
}
