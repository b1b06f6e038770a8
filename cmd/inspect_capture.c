#include <math.h>
#include <stdlib.h>

#include "cmd/inspect.h"
#include "cmd/json_out.h"

typedef struct Pass {
    const InspectOpts *o;
    const Ui *ui;
    LlmwsModel *model;
    Ids ids;
    const char **taps; /* NULL-terminated */
    Rule *rules;
    LlmwsPatch *patches;
    size_t n_rules;
    LlmwsSession *session;
    LlmwsArray *arrays;
    size_t n_arrays;
    float *logits; /* [T,V], where lm_head is asked for and is no tap of its own */
} Pass;

static bool pass_ids(Pass *p, Err *e) {
    const InspectOpts *o = p->o;
    LlmwsModelInfo info;
    llmws_model_info(p->model, &info);
    if (o->ids) return ids_parse(o->ids, &p->ids, e) && ids_check(&p->ids, info.vocab, e);
    LlmwsTokenizer *t = llmws_model_tokenizer(p->model, e);
    return t && ids_of_text(t, str_of(o->prompt), tokenize_flags(o), &p->ids, e);
}

/* One step holds all rows: chunk and context are the number of tokens (context more, if asked for). */
static bool pass_run(Pass *p, Err *e) {
    int64_t T = (int64_t)p->ids.n;
    LlmwsSessionOptions so = session_options(&p->o->run);
    so.chunk = T;
    so.ctx = MAX(so.ctx, T);
    so.all_logits = true;
    so.taps = p->taps;
    so.patches = p->patches;
    so.n_patches = p->n_rules;
    p->session = llmws_session_open(p->model, &so, e);
    if (!p->session) return false;
    int seq = llmws_seq_open(p->session, e);
    if (seq < 0) return false;
    stop_watch(p->session);
    bool ok = llmws_eval(p->session, seq, p->ids.v, p->ids.n, e);
    stop_watch(NULL);
    return ok;
}

static bool wants(const Pass *p, const char *name) {
    for (const char **t = p->taps; *t; t++)
        if (name_match(*t, name)) return true;
    return false;
}

static bool pass_arrays(Pass *p, Err *e) {
    LlmwsModelInfo info;
    bool logits = wants(p, "lm_head");
    size_t n = llmws_tap_count(p->session), T = p->ids.n;
    llmws_model_info(p->model, &info);
    p->arrays = mem_alloc(n + 1, sizeof *p->arrays);
    for (size_t i = 0; i < n; i++) {
        LlmwsTap t;
        TRY(llmws_tap(p->session, i, &t) || err_set(e, ERR_FAIL, "captured value %zu is missing", i));
        LlmwsArray *a = &p->arrays[p->n_arrays++];
        *a = (LlmwsArray){.name = t.name, .data = t.data, .ndim = t.ndim};
        memcpy(a->dims, t.dims, sizeof a->dims);
        if (strcmp(t.name, "lm_head") == 0) logits = false;
    }
    if (logits) {
        size_t V = (size_t)info.vocab;
        p->logits = mem_alloc(T * V, sizeof *p->logits);
        for (size_t i = 0; i < T; i++)
            memcpy(p->logits + i * V, llmws_logits_row(p->session, i), V * sizeof *p->logits);
        p->arrays[p->n_arrays++] =
            (LlmwsArray){.name = "lm_head", .data = p->logits, .ndim = 2, .dims = {(int64_t)T, info.vocab}};
    }
    if (p->n_arrays) return true;
    return err_set(e, ERR_USAGE, "nothing matches --capture '%s'; 'llmws inspect MODEL --modules' lists the names",
                   p->taps[0]);
}

typedef struct Stats {
    double min, max, mean, rms;
    int64_t n, not_finite;
} Stats;

static Stats stats_of(const LlmwsArray *a) {
    Stats s = {.min = (double)INFINITY, .max = -(double)INFINITY, .n = 1};
    double sum = 0, squares = 0;
    for (int d = 0; d < a->ndim; d++) s.n *= a->dims[d];
    for (int64_t i = 0; i < s.n; i++) {
        double x = (double)a->data[i] + 0.0; /* no minus zero */
        s.not_finite += !isfinite(x);
        s.min = MIN(s.min, x);
        s.max = MAX(s.max, x);
        sum += x;
        squares += x * x;
    }
    s.mean = sum / (double)MAX(s.n, 1);
    s.rms = sqrt(squares / (double)MAX(s.n, 1));
    return s;
}

static void array_line(Buf *b, const LlmwsArray *a, int width, bool json) {
    Stats s = stats_of(a);
    if (json) {
        event_begin(b, "capture");
        json_str(b, "name", str_of(a->name));
        json_dims(b, "shape", a->dims, a->ndim);
        json_num(b, "min", s.min);
        json_num(b, "max", s.max);
        json_num(b, "mean", s.mean);
        json_num(b, "rms", s.rms);
        json_int(b, "not_finite", s.not_finite);
        event_end(b);
        return;
    }
    char shape[96];
    shape_text(shape, a->dims, a->ndim);
    buf_printf(b, "%-*s  %-12s %11.5g %11.5g %11.5g %11.5g", width, a->name, shape, s.min, s.max, s.mean, s.rms);
    if (s.not_finite) buf_printf(b, "  %lld not finite", (long long)s.not_finite);
    buf_char(b, '\n');
}

static bool pass_show(Pass *p, Err *e) {
    Buf b = {0};
    int width = 4;
    for (size_t i = 0; i < p->n_arrays; i++) width = MAX(width, (int)strlen(p->arrays[i].name));
    if (!p->ui->json)
        buf_printf(&b, "%-*s  %-12s %11s %11s %11s %11s\n", width, "name", "shape", "min", "max", "mean", "rms");
    for (size_t i = 0; i < p->n_arrays; i++) array_line(&b, &p->arrays[i], width, p->ui->json);
    bool ok = out_flush(&b, e);
    buf_release(&b);
    return ok;
}

static bool pass_all(Pass *p, Err *e) {
    const InspectOpts *o = p->o;
    TRY(backend_check(&o->run, e) && pass_ids(p, e));
    p->taps = mem_alloc(o->capture.n + 1, sizeof *p->taps);
    for (size_t i = 0; i < o->capture.n; i++) p->taps[i] = o->capture.items[i];
    p->rules = mem_alloc(o->intervene.n, sizeof *p->rules);
    p->patches = mem_alloc(o->intervene.n, sizeof *p->patches);
    for (; p->n_rules < o->intervene.n; p->n_rules++) {
        TRY(rule_parse(o->intervene.items[p->n_rules], (int64_t)p->ids.n, &p->rules[p->n_rules], e));
        p->patches[p->n_rules] = p->rules[p->n_rules].patch;
    }
    TRY(pass_run(p, e) && pass_arrays(p, e));
    if (o->out) TRY(llmws_save_arrays(o->out, p->arrays, p->n_arrays, e));
    return pass_show(p, e);
}

bool inspect_capture(const InspectOpts *o, const Ui *ui, LlmwsModel *m, Err *e) {
    Pass p = {.o = o, .ui = ui, .model = m};
    bool ok = pass_all(&p, e);
    llmws_session_close(p.session);
    for (size_t i = 0; i < p.n_rules; i++) rule_release(&p.rules[i]);
    free(p.rules);
    free(p.patches);
    free(p.taps);
    free(p.arrays);
    free(p.logits);
    ids_release(&p.ids);
    return ok;
}
