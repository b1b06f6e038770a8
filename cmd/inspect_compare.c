/* llmws inspect --compare: what runs were told differently, what came of it, and their curves over each other. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "cmd/inspect_runs.h"
#include "cmd/json_out.h"
#include "formats/json.h"

typedef struct Compared {
    RunRecord r;
    RunFacts f;
    Trace loss, eval;
    double at_step, at_tokens; /* losses where all have come */
} Compared;

typedef struct Comparison {
    Compared *runs;
    size_t n;
    double step, tokens; /* that all have come to; tokens NAN: not known of all */
    Str *keys;           /* of settings that differ */
    size_t n_keys, n_equal;
    bool data_differ;
    Arena arena;
} Comparison;

/* ---- settings ---- */

/* What stands beside the options and is as telling. */
static const char *const outer_keys[] = {"model", "data", "isa", "threads", "llmws"};

static const Value *setting_of(const RunRecord *r, const char *key) {
    const Value *v = value_get(value_get(&r->json, "options"), key);
    for (size_t i = 0; !v && i < COUNT_OF(outer_keys); i++)
        if (strcmp(key, outer_keys[i]) == 0) v = value_get(&r->json, key);
    return v;
}

/* As it is shown; empty: not set. */
static void put_value(Buf *b, const Value *v) {
    if (v && v->kind == VALUE_STR)
        buf_put(b, v->s.s, v->s.n);
    else if (v)
        json_put_value(b, v, -1);
}

typedef void Put(Buf *b, const RunRecord *r, const char *key);

static void put_setting(Buf *b, const RunRecord *r, const char *key) { put_value(b, setting_of(r, key)); }

/* The hashes of a run's data, one after another. */
static void put_hashes(Buf *b, const RunRecord *r, const char *key) {
    const Value *files = value_get(&r->json, "files");
    for (size_t i = 0; files && i < value_count(files); i++) {
        Value f = value_item(files, i);
        put_value(b, value_get(&f, key));
        buf_char(b, ' ');
    }
}

/* Whether the runs do not all put the same. */
static bool differs(const Comparison *c, Put *put, const char *key) {
    Buf first = {0}, other = {0};
    bool differ = false;
    put(&first, &c->runs[0].r, key);
    for (size_t i = 1; i < c->n && !differ; i++) {
        buf_clear(&other);
        put(&other, &c->runs[i].r, key);
        differ = !str_eq(buf_view(&first), buf_view(&other));
    }
    buf_release(&first);
    buf_release(&other);
    return differ;
}

static void take_key(Comparison *c, StrMap *seen, Str name) {
    Str key = {arena_strn(&c->arena, name.s, name.n), name.n};
    if (!strmap_put(seen, &c->arena, key, 0)) return;
    if (!differs(c, put_setting, key.s)) {
        c->n_equal++;
        return;
    }
    c->keys = mem_grow(c->keys, c->n_keys + 1, sizeof *c->keys);
    c->keys[c->n_keys++] = key;
}

static void take_keys(Comparison *c) {
    StrMap seen = {0};
    for (size_t i = 0; i < COUNT_OF(outer_keys); i++) take_key(c, &seen, str_of(outer_keys[i]));
    for (size_t i = 0; i < c->n; i++) {
        const Value *options = value_get(&c->runs[i].r.json, "options");
        for (size_t k = 0; options && options->kind == VALUE_OBJECT && k < options->object.n; k++)
            take_key(c, &seen, options->object.keys[k]);
    }
}

/* ---- results ---- */

/* Where the shortest run ends; of tokens too, where it is known how many a step takes. */
static void meet(Comparison *c) {
    c->step = c->tokens = (double)INFINITY;
    for (size_t i = 0; i < c->n; i++) {
        const Trace *t = &c->runs[i].loss;
        double tokens = (double)c->runs[i].r.log.step_tokens, end = t->n ? t->x[t->n - 1] : (double)NAN;
        c->step = end < c->step || isnan(end) ? end : c->step; /* NAN stays: nothing is less */
        c->tokens = !(tokens > 0) || isnan(end) ? (double)NAN : end * tokens < c->tokens ? end * tokens : c->tokens;
        if (isnan(c->tokens)) break;
    }
    for (size_t i = 0; i < c->n; i++) {
        Compared *x = &c->runs[i];
        x->at_step = trace_at(&x->loss, c->step);
        x->at_tokens = trace_at(&x->loss, c->tokens / (double)x->r.log.step_tokens);
    }
}

static void result_row(Table *t, const Comparison *c, const char *name, double (*of)(const Compared *)) {
    bool any = false;
    for (size_t i = 0; i < c->n; i++) any |= !isnan(of(&c->runs[i]));
    if (!any) return;
    table_cell(t, "%s", name);
    for (size_t i = 0; i < c->n; i++) table_cell(t, "%s", figure(&t->arena, of(&c->runs[i])));
    table_end_row(t);
}

static double last_loss(const Compared *x) { return x->r.log.of[RUN_LOSS].last; }
static double best_loss(const Compared *x) { return x->r.log.of[RUN_LOSS].min; }
static double last_eval(const Compared *x) { return x->r.log.of[RUN_EVAL].last; }
static double best_eval(const Compared *x) { return x->r.log.of[RUN_EVAL].min; }
static double loss_at_step(const Compared *x) { return x->at_step; }
static double loss_at_tokens(const Compared *x) { return x->at_tokens; }

static void result_rows(Table *t, const Comparison *c) {
    Buf b = {0};
    table_cell(t, "state");
    for (size_t i = 0; i < c->n; i++)
        table_color(t, run_state_colors[c->runs[i].r.state], run_state_names[c->runs[i].r.state]);
    table_end_row(t);
    table_cell(t, "step");
    for (size_t i = 0; i < c->n; i++) table_cell(t, "%" PRId64, MAX(c->runs[i].r.log.step, 0));
    table_end_row(t);
    result_row(t, c, "last loss", last_loss);
    result_row(t, c, "lowest loss", best_loss);
    result_row(t, c, "last eval", last_eval);
    result_row(t, c, "best eval", best_eval);
    result_row(t, c, arena_printf(&t->arena, "at step %.0f", c->step), loss_at_step);
    if (c->tokens > 0) put_count(&b, (int64_t)c->tokens);
    result_row(t, c, arena_printf(&t->arena, "at %s tokens", buf_view(&b).s), loss_at_tokens);
    table_cell(t, "tok/s");
    for (size_t i = 0; i < c->n; i++) table_cell(t, "%.0f", run_series_median(&c->runs[i].r.log.of[RUN_TOK_S], 0));
    table_end_row(t);
    table_cell(t, "time");
    for (size_t i = 0; i < c->n; i++) {
        buf_clear(&b);
        put_seconds(&b, c->runs[i].f.seconds);
        table_cell(t, "%s", b.s);
    }
    table_end_row(t);
    buf_release(&b);
}

static void put_tables(Buf *b, const Ui *ui, const Comparison *c) {
    Table t = {.align = "lr"};
    Buf text = {0};
    table_cell(&t, "setting");
    for (size_t i = 0; i < c->n; i++) table_cell(&t, "%s", c->runs[i].r.dir);
    table_end_row(&t);
    for (size_t k = 0; k < c->n_keys; k++) {
        table_cell(&t, "%.*s", STR_ARG(c->keys[k]));
        for (size_t i = 0; i < c->n; i++) {
            buf_clear(&text);
            put_value(&text, setting_of(&c->runs[i].r, c->keys[k].s));
            table_cell(&t, "%s", buf_view(&text).s);
        }
        table_end_row(&t);
    }
    table_cell(&t, "%zu equal", c->n_equal), table_end_row(&t);
    result_rows(&t, c);
    table_put(&t, ui->out_tty ? term_width() : 0, term_utf8(), ui->out_color, b);
    if (c->data_differ) buf_str(b, "the data are not the same: losses are of different texts\n");
    table_release(&t);
    buf_release(&text);
}

/* ---- JSON ---- */

static void put_json(Buf *b, const Comparison *c) {
    for (size_t i = 0; i < c->n; i++) {
        const Compared *x = &c->runs[i];
        event_begin(b, "compared_run");
        run_json_members(b, &x->r, &x->f);
        json_num(b, "loss_at_step", x->at_step);
        json_num(b, "loss_at_tokens", x->at_tokens);
        json_key(b, "differs");
        buf_char(b, '{');
        for (size_t k = 0; k < c->n_keys; k++) {
            const Value *v = setting_of(&x->r, c->keys[k].s);
            json_key(b, c->keys[k].s);
            json_put_value(b, v ? v : &(Value){0}, -1);
        }
        buf_char(b, '}');
        event_end(b);
    }
    event_begin(b, "comparison");
    json_num(b, "step", c->step);
    json_num(b, "tokens", c->tokens);
    json_int(b, "equal", (int64_t)c->n_equal);
    json_bool(b, "data_equal", !c->data_differ);
    event_end(b);
}

/* ---- the command ---- */

static bool put(const InspectOpts *o, const Ui *ui, const Comparison *c, Err *e) {
    Curve *curves = mem_alloc(2 * c->n, sizeof *curves);
    Chart chart = {.title = "loss", .x_name = "step", .y_name = "loss", .second_name = "", .curves = curves};
    Buf b = {0};
    for (size_t i = 0; i < c->n; i++) {
        const Trace *t = &c->runs[i].loss, *eval = &c->runs[i].eval;
        curves[i] = (Curve){c->runs[i].r.dir, CURVE_LINE, (int)i, t->x, t->smooth, t->n};
        curves[c->n + i] = (Curve){NULL, CURVE_POINTS, (int)i, eval->x, eval->raw, eval->n};
    }
    if (ui->json) {
        put_json(&b, c);
    } else {
        CurveStyle style = curve_style(ui);
        chart.n = c->n; /* the points of all would hide the lines */
        put_tables(&b, ui, c);
        buf_char(&b, '\n');
        curve_put(&chart, &style, &b);
    }
    chart.n = 2 * c->n;
    bool ok = (!o->svg || write_chart(o->svg, &chart, e)) && out_flush(&b, e);
    buf_release(&b);
    free(curves);
    return ok;
}

static bool open_run(Compared *x, const char *dir, Err *e) {
    enum { POINTS = 1000 };
    TRY(run_read(dir, &x->r, e));
    x->f = run_facts(&x->r);
    x->loss = trace_of(&x->r.log, RUN_LOSS, POINTS);
    x->eval = trace_of(&x->r.log, RUN_EVAL, POINTS);
    return true;
}

bool inspect_compare(const InspectOpts *o, const Ui *ui, Err *e) {
    Comparison c = {.n = o->compare.n + o->run.args.n};
    if (c.n < 2) return err_set(e, ERR_USAGE, "--compare needs two runs or more");
    if (c.n >= TABLE_COLUMNS)
        return err_set(e, ERR_USAGE, "--compare: %zu runs; give at most %d", c.n, TABLE_COLUMNS - 1);
    c.runs = mem_alloc(c.n, sizeof *c.runs);
    bool ok = true;
    for (size_t i = 0; ok && i < c.n; i++)
        ok = open_run(&c.runs[i], i < o->compare.n ? o->compare.items[i] : o->run.args.items[i - o->compare.n], e);
    if (ok) {
        take_keys(&c);
        c.data_differ = differs(&c, put_hashes, "sha256");
        meet(&c);
        ok = put(o, ui, &c, e);
    }
    for (size_t i = 0; i < c.n; i++) {
        trace_release(&c.runs[i].loss);
        trace_release(&c.runs[i].eval);
        run_record_release(&c.runs[i].r);
    }
    free(c.keys);
    free(c.runs);
    arena_release(&c.arena);
    return ok;
}
