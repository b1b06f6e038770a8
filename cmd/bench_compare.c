/* llmws bench --compare: which of two results is faster, and whether that is more than noise. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "cmd/bench.h"
#include "cmd/json_out.h"
#include "formats/json.h"

typedef struct Result { /* what a bench event says */
    char test[16], compute[16], model[128];
    int64_t n, depth, batch, repeat;
    double tok_s, sd, roof_share; /* NAN: not known */
    const struct Result *with;    /* beside which of the other file it stands */
} Result;

typedef struct Results {
    Result *v;
    size_t n;
} Results;

/* A text that a result may have, as far as there is room. */
static bool take_text(const Value *line, const char *key, char *out, size_t size, Err *e) {
    Str text = {"", 0};
    TRY(value_as_str(value_get(line, key), key, &text, e));
    memcpy(out, text.s, MIN(text.n, size - 1));
    return true;
}

/* One line of a file; other events are passed over. */
static bool result_take(Results *into, const Value *line, Err *e) {
    Str event = {0};
    Result r = {.batch = 1, .repeat = 1, .roof_share = (double)NAN};
    TRY(value_as_str(value_get(line, "event"), "event", &event, e));
    if (!str_is(event, "bench")) return true;
    TRY(take_text(line, "test", r.test, sizeof r.test, e) &&
        take_text(line, "compute", r.compute, sizeof r.compute, e) &&
        take_text(line, "model", r.model, sizeof r.model, e));
    TRY(value_as_int(value_get(line, "n"), "n", &r.n, e) &&
        value_as_int(value_get(line, "depth"), "depth", &r.depth, e));
    TRY(value_as_int(value_get(line, "batch"), "batch", &r.batch, e) &&
        value_as_int(value_get(line, "repeat"), "repeat", &r.repeat, e));
    TRY(value_as_float(value_get(line, "tok_s"), "tok_s", &r.tok_s, e) &&
        value_as_float(value_get(line, "sd"), "sd", &r.sd, e) &&
        value_as_float(value_get(line, "roof_share"), "roof_share", &r.roof_share, e));
    if (!*r.test || !(r.tok_s > 0) || !(r.sd >= 0))
        return err_set(e, ERR_INPUT, "a bench event without a test, or with a rate that is none");
    into->v = mem_grow(into->v, into->n + 1, sizeof *into->v);
    into->v[into->n++] = r;
    return true;
}

static bool results_read(const char *path, Results *into, Err *e) {
    Buf text = {0};
    bool ok = read_text(path, &text, e);
    int64_t number = 0;
    for (size_t at = 0; ok && at < text.n;) {
        const char *end = memchr(text.s + at, '\n', text.n - at);
        size_t n = end ? (size_t)(end - text.s) - at : text.n - at;
        number++;
        if (n) {
            Arena a = {0};
            Value line;
            ok = json_parse((Str){text.s + at, n}, path, &a, &line, e) && result_take(into, &line, e);
            arena_release(&a);
            if (!ok) err_prefix(e, "'%s' line %" PRId64, path, number);
        }
        at += n + 1;
    }
    buf_release(&text);
    return ok &&
           (into->n || err_set(e, ERR_INPUT, "cannot compare '%s': it holds no result of llmws bench --json", path));
}

typedef enum Alike { ANY, SAME_COMPUTE, SAME_MODEL } Alike; /* SAME_MODEL: the same arithmetic, too */

/* Rows of the same test meet in the order in which the files hold them. */
static size_t pair_up(Results *of_a, Results *of_b, Alike alike) {
    size_t pairs = 0;
    for (Result *a = of_a->v; a < of_a->v + of_a->n; a++)
        for (Result *b = of_b->v; !a->with && b < of_b->v + of_b->n; b++) {
            if (b->with || strcmp(a->test, b->test) != 0 || a->n != b->n || a->depth != b->depth ||
                a->batch != b->batch)
                continue;
            if (alike >= SAME_COMPUTE && strcmp(a->compute, b->compute) != 0) continue;
            if (alike >= SAME_MODEL && strcmp(a->model, b->model) != 0) continue;
            a->with = b, b->with = a, pairs++;
        }
    return pairs;
}

/* Twice the standard error of the difference of the means. */
static bool beyond_noise(const Result *a, const Result *b) {
    double error = sqrt(a->sd * a->sd / (double)MAX(a->repeat, 1) + b->sd * b->sd / (double)MAX(b->repeat, 1));
    return a->repeat > 1 && b->repeat > 1 && fabs(b->tok_s - a->tok_s) > 2 * error;
}

/* What both rows have, once where it is the same. */
static void put_texts(Buf *line, bool csv, const char *a, const char *b) {
    if (csv) return bench_put_csv(line, str_of(a)), bench_put_csv(line, str_of(b));
    buf_printf(line, strcmp(a, b) ? "  %s, %s" : "  %s", a, b);
}

/* A rate that changed as its roof did is the machine's affair. */
static void put_shares(Buf *line, bool csv, const Result *a, const Result *b) {
    for (const Result *r = a;; r = b) {
        if (csv)
            buf_printf(line, isnan(r->roof_share) ? "," : ",%.3f", r->roof_share);
        else
            buf_printf(line, isnan(r->roof_share) ? "     -" : " %3.0f %%", 100 * r->roof_share);
        if (r == b) break;
    }
}

static void put_pair(Buf *out, const Ui *ui, bool csv, const Result *a, const Result *b) {
    double ratio = b->tok_s / a->tok_s;
    const char *verdict = !beyond_noise(a, b) ? "" : ratio > 1 ? "faster" : "slower";
    if (ui->json) {
        event_begin(out, "compare");
        json_str(out, "test", str_of(a->test));
        json_int(out, "n", a->n);
        json_int(out, "depth", a->depth);
        json_int(out, "batch", a->batch);
        json_str(out, "compute_a", str_of(a->compute));
        json_str(out, "compute_b", str_of(b->compute));
        json_str(out, "model_a", str_of(a->model));
        json_str(out, "model_b", str_of(b->model));
        json_num(out, "tok_s_a", a->tok_s);
        json_num(out, "tok_s_b", b->tok_s);
        json_num(out, "ratio", round(ratio * 1e4) / 1e4);
        json_bool(out, "beyond_noise", *verdict != 0);
        if (!isnan(a->roof_share)) json_num(out, "roof_share_a", a->roof_share);
        if (!isnan(b->roof_share)) json_num(out, "roof_share_b", b->roof_share);
        event_end(out);
        return;
    }
    Buf line = {0};
    const char *fmt = csv ? "%s,%" PRId64 ",%" PRId64 ",%" PRId64 ",%.3f,%.3f,%.3f,%.3f,%.4f,%s"
                          : "%-6s %6" PRId64 " %6" PRId64 " %6" PRId64 " %10.1f ± %-7.1f %10.1f ± %-7.1f %7.3fx %-6s";
    buf_printf(&line, fmt, a->test, a->n, a->depth, a->batch, a->tok_s, a->sd, b->tok_s, b->sd, ratio, verdict);
    put_shares(&line, csv, a, b);
    put_texts(&line, csv, a->compute, b->compute);
    put_texts(&line, csv, a->model, b->model);
    while (!csv && line.s[line.n - 1] == ' ') line.n--;
    put_inert(out, buf_view(&line), false);
    buf_char(out, '\n');
    buf_release(&line);
}

bool bench_compare(const Ui *ui, bool csv, const char *path_a, const char *path_b, Err *e) {
    Results a = {0}, b = {0};
    Buf out = {0};
    bool ok = results_read(path_a, &a, e) && results_read(path_b, &b, e);
    size_t pairs = 0;
    for (int alike = SAME_MODEL; ok && alike >= ANY; alike--) pairs += pair_up(&a, &b, (Alike)alike);
    if (csv)
        buf_str(&out, "test,n,depth,batch,tok_s_a,sd_a,tok_s_b,sd_b,ratio,verdict,roof_share_a,roof_share_b,compute_a,"
                      "compute_b,model_a,model_b\n");
    else if (!ui->json)
        buf_printf(&out, ui->out_color ? "\033[1m%s\033[0m\n" : "%s\n",
                   "test        n  depth  batch    A tok/s ± sd         B tok/s ± sd           B/A        roof A,B   "
                   "compute  model");
    for (size_t i = 0; ok && i < a.n; i++) {
        if (a.v[i].with) put_pair(&out, ui, csv, &a.v[i], a.v[i].with);
    }
    if (ok && !pairs) ok = err_set(e, ERR_INPUT, "cannot compare '%s' with '%s': no test is in both", path_a, path_b);
    if (ok && (pairs < a.n || pairs < b.n))
        ui_warn(ui, "%zu of %zu and %zu results have no partner", a.n + b.n - 2 * pairs, a.n, b.n);
    ok = ok && out_flush(&out, e);
    buf_release(&out);
    free(a.v);
    free(b.v);
    return ok;
}
