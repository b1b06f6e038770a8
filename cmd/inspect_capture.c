#include <math.h>
#include <stdlib.h>

#include "cmd/inspect.h"
#include "cmd/json_out.h"

typedef struct Pass {
    const InspectOpts *o;
    const Ui *ui;
    LlmwsModel *model;
    Ids ids;
    Rules rules;
    Capture capture;
    Progress progress;
    LlmwsSession *session;
} Pass;

static bool pass_ids(Pass *p, Err *e) {
    const GenerateOpts *o = &p->o->generate;
    LlmwsModelInfo info;
    llmws_model_info(p->model, &info);
    if (o->ids) return ids_parse(o->ids, &p->ids, e) && ids_check(&p->ids, info.vocab, e);
    LlmwsTokenizer *t = llmws_model_tokenizer(p->model, e);
    return t && ids_of_text(t, str_of(o->prompt), tokenize_flags(p->o), &p->ids, e);
}

/* The context is the number of tokens, or more if asked for. */
static bool pass_open(Pass *p, Err *e) {
    int64_t T = (int64_t)p->ids.n;
    LlmwsSessionOptions so = session_options(&p->o->run);
    TRY(capture_plan(&p->capture, &p->o->generate.capture, &so, e) &&
        rules_parse(&p->o->generate.capture.rules, T, T, &p->rules, e));
    so.ctx = MAX(so.ctx, T);
    so.patches = p->rules.patches;
    so.n_patches = p->rules.n;
    so.progress = progress_show;
    so.progress_ctx = &p->progress;
    p->session = llmws_session_open(p->model, &so, e);
    return p->session && capture_open(&p->capture, p->session, e);
}

static bool pass_steps(Pass *p, Err *e) {
    LlmwsPlan plan;
    int seq = llmws_seq_open(p->session, e);
    if (seq < 0) return false;
    llmws_session_plan(p->session, &plan);
    p->progress.total = (int64_t)p->ids.n;
    for (size_t at = 0; at < p->ids.n;) {
        size_t n = MIN((size_t)plan.chunk, p->ids.n - at);
        p->progress.before = (int64_t)at;
        TRY(llmws_eval(p->session, seq, p->ids.v + at, n, e) && capture_step(&p->capture, n, e));
        at += n;
    }
    return true;
}

typedef struct Stats {
    double min, max, sum, squares;
    int64_t n, not_finite;
    Dtype dtype;
} Stats;

static bool add_stats(void *ctx, const void *bytes, size_t n, Err *e) {
    enum { BLOCK = 1024 };
    Stats *s = ctx;
    float block[BLOCK];
    int64_t size = dtype_row_bytes(s->dtype, 1), left = (int64_t)n / size;
    (void)e;
    for (const char *at = bytes; left;) {
        int64_t some = MIN(left, (int64_t)BLOCK);
        dtype_info[s->dtype].decode(at, block, some);
        for (int64_t i = 0; i < some; i++) {
            double x = (double)block[i] + 0.0; /* no minus zero */
            s->not_finite += !isfinite(x);
            s->min = MIN(s->min, x);
            s->max = MAX(s->max, x);
            s->sum += x;
            s->squares += x * x;
        }
        s->n += some, left -= some, at += some * size;
    }
    return true;
}

static bool value_line(const Pass *p, size_t i, int width, Buf *b, Err *e) {
    Stats s = {.min = (double)INFINITY, .max = -(double)INFINITY, .dtype = p->capture.dtype};
    TRY(capture_read(&p->capture, i, (Sink){add_stats, &s}, e));
    const Captured *v = &p->capture.values[i];
    double n = (double)MAX(s.n, 1), mean = s.sum / n, rms = sqrt(s.squares / n);
    int64_t dims[4] = {capture_rows(&p->capture), v->dims[1], v->dims[2], v->dims[3]};
    if (p->ui->json) {
        event_begin(b, "capture");
        json_str(b, "name", str_of(v->name));
        json_dims(b, "shape", dims, v->ndim);
        json_num(b, "min", s.min);
        json_num(b, "max", s.max);
        json_num(b, "mean", mean);
        json_num(b, "rms", rms);
        json_int(b, "not_finite", s.not_finite);
        event_end(b);
        return true;
    }
    char shape[96];
    shape_text(shape, dims, v->ndim);
    buf_printf(b, "%-*s  %-12s %11.5g %11.5g %11.5g %11.5g", width, v->name, shape, s.min, s.max, mean, rms);
    if (s.not_finite) buf_printf(b, "  %lld not finite", (long long)s.not_finite);
    buf_char(b, '\n');
    return true;
}

static bool pass_show(Pass *p, Err *e) {
    Buf b = {0};
    int width = 4;
    bool ok = true;
    for (size_t i = 0; i < p->capture.n; i++) width = MAX(width, (int)strlen(p->capture.values[i].name));
    if (!p->ui->json)
        buf_printf(&b, "%-*s  %-12s %11s %11s %11s %11s\n", width, "name", "shape", "min", "max", "mean", "rms");
    for (size_t i = 0; i < p->capture.n && ok; i++) ok = value_line(p, i, width, &b, e);
    ok = ok && out_flush(&b, e);
    buf_release(&b);
    return ok;
}

static bool pass_all(Pass *p, Err *e) {
    TRY(backend_check(&p->o->run, e) && pass_ids(p, e));
    TRY(pass_open(p, e));
    stop_watch(p->session);
    bool ok = pass_steps(p, e);
    stop_watch(NULL);
    return ok && capture_save(&p->capture, e) && pass_show(p, e);
}

bool inspect_capture(const InspectOpts *o, const Ui *ui, LlmwsModel *m, Err *e) {
    Pass p = {.o = o, .ui = ui, .model = m, .progress = {.ui = ui}};
    int64_t memory = memory_now();
    bool ok = pass_all(&p, e);
    memory_phase_end(ui, "inspect", memory);
    capture_release(&p.capture);
    rules_release(&p.rules);
    llmws_session_close(p.session);
    ids_release(&p.ids);
    return ok;
}
