/* llmws bench --ppl: how well a model foretells a text, and with --against how far it is from another one.
 *
 * The text is cut into windows of the context that do not overlap; what is left over at the end is not scored. Each
 * window begins with the model's BOS where it has one. Its second half is scored, with everything before in the window
 * as context: llama-perplexity does the same, so the figures compare. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "cmd/bench.h"
#include "cmd/json_out.h"
#include "core/score.h"

typedef struct Side { /* a model at work on the text */
    const char *path;
    LlmwsModel *model;
    LlmwsSession *session;
    LlmwsTokenizer *tok;
    LlmwsModelInfo info;
    LlmwsPlan plan;
    int seq;
    Mean nll;
} Side;

typedef struct Ppl {
    const PplOpts *o;
    Side own, ref; /* ref.path NULL: none */
    Ids ids;
    size_t text_bytes;
    int32_t bos; /* -1: none */
    int64_t window, windows, chunk;
    /* of the scored tokens */
    Mean kl, more; /* more: what the model pays above the reference, nats */
    double *kls, n_same;
    size_t n_kls;
    double tok_s;
} Ppl;

/* ---- opening ---- */

static bool side_open(Side *s, const Ui *ui, Err *e) {
    TRY(model_open(s->path, ui, &s->model, e));
    llmws_model_info(s->model, &s->info);
    s->tok = llmws_model_tokenizer(s->model, e);
    return s->tok != NULL;
}

/* A step's logits stand in memory together: as many tokens as 32 MiB hold, and at least 16. */
static bool side_reserve(Side *s, const Ppl *p, LlmwsSessionOptions so, Err *e) {
    so.ctx = p->window;
    so.chunk = p->chunk;
    so.all_logits = true;
    s->session = llmws_session_open(s->model, &so, e);
    if (!s->session) return false;
    llmws_session_plan(s->session, &s->plan);
    plan_note(p->o->ui, &s->plan);
    s->seq = llmws_seq_open(s->session, e);
    return s->seq >= 0;
}

static void side_close(Side *s) {
    llmws_session_close(s->session);
    llmws_model_close(s->model);
}

/* Ids of the text alone; what the model puts before one is put before every window. */
static bool read_ids(Ppl *p, Err *e) {
    Buf text = {0};
    LlmwsTokens got = {0};
    bool ok = read_text(p->o->file, &text, e) &&
              llmws_tokenize(p->own.tok, buf_view(&text).s, text.n, LLMWS_TOK_ADD_SPECIAL, &got, e);
    p->text_bytes = text.n;
    size_t from = 0, to = got.n;
    while (from < to && got.offsets[from][0] == got.offsets[from][1]) from++;
    while (to > from && got.offsets[to - 1][0] == got.offsets[to - 1][1]) to--;
    p->bos = from ? got.ids[0] : -1;
    if (from) ids_put(&p->ids, p->bos);
    for (size_t i = from; i < to; i++) ids_put(&p->ids, got.ids[i]);
    llmws_tokens_free(&got);
    buf_release(&text);
    if (!ok) return false;
    if (p->ids.n < 4) return err_set(e, ERR_INPUT, "'%s': a text of %zu tokens is too short", p->o->file, p->ids.n);
    return true;
}

/* Divergences say something only of two models that mean the same by an id. */
static bool same_vocabulary(const Ppl *p, Err *e) {
    const Side *a = &p->own, *b = &p->ref;
    Buf piece = {0};
    bool same = llmws_token_count(a->tok) == llmws_token_count(b->tok) && a->info.vocab == b->info.vocab;
    if (!same)
        return err_set(e, ERR_INPUT, "'%s' and '%s' have vocabularies of %" PRId64 " and %" PRId64 " tokens", a->path,
                       b->path, a->info.vocab, b->info.vocab);
    for (int32_t id = 0; same && id < llmws_token_count(a->tok); id++) {
        buf_clear(&piece);
        buf_str(&piece, llmws_token_piece(a->tok, id));
        same = strcmp(piece.s, llmws_token_piece(b->tok, id)) == 0;
        if (!same) err_set(e, ERR_INPUT, "'%s' and '%s' differ in token %d of the vocabulary", a->path, b->path, id);
    }
    buf_release(&piece);
    return same;
}

static bool ppl_open(Ppl *p, Err *e) {
    enum { LOGITS_BYTES = 32 << 20, WINDOW = 512 };
    const RunOpts *run = p->o->run;
    LlmwsSessionOptions so = session_options(run);
    TRY(backend_check(run, e) && model_path(run, &p->own.path, e) && side_open(&p->own, p->o->ui, e) && read_ids(p, e));
    if (p->ref.path) TRY(side_open(&p->ref, p->o->ui, e) && same_vocabulary(p, e));
    p->window = MIN(so.ctx ? so.ctx : MIN(WINDOW, p->own.info.ctx), (int64_t)p->ids.n);
    if (p->window < 4)
        return err_set(e, ERR_USAGE, "--ppl: windows of %" PRId64 " tokens; give -c 4 or more", p->window);
    p->windows = (int64_t)p->ids.n / p->window;
    p->chunk = MIN(so.chunk, MAX(LOGITS_BYTES / (int64_t)sizeof(float) / p->own.info.vocab, 16));
    TRY(side_reserve(&p->own, p, so, e));
    so.compute = so.kv_type = "f32";
    return !p->ref.path || side_reserve(&p->ref, p, so, e);
}

/* ---- scoring ---- */

static double score_row(Side *s, int64_t row, int32_t target) {
    double nll = score_nll(llmws_logits_row(s->session, (size_t)row), s->info.vocab, target);
    mean_add(&s->nll, nll);
    return nll;
}

static void score(Ppl *p, int64_t row, int32_t target) {
    double own = score_row(&p->own, row, target);
    if (!p->ref.path) return;
    const int64_t vocab = p->own.info.vocab;
    const float *mine = llmws_logits_row(p->own.session, (size_t)row),
                *other = llmws_logits_row(p->ref.session, (size_t)row);
    double kl = score_kl(other, mine, vocab);
    mean_add(&p->more, own - score_row(&p->ref, row, target));
    mean_add(&p->kl, kl);
    p->kls[p->n_kls++] = kl;
    p->n_same += score_top(mine, vocab, NULL) == score_top(other, vocab, NULL);
}

static bool side_eval(Side *s, int64_t at, const int32_t *ids, int64_t n, Err *e) {
    if (!s->path) return true;
    if (!at) TRY(llmws_seq_truncate(s->session, s->seq, 0, e));
    return llmws_eval(s->session, s->seq, ids, (size_t)n, e);
}

static bool score_window(Ppl *p, int64_t w, Progress *progress, int64_t *ns, Err *e) {
    int32_t *ids = p->ids.v + w * p->window;
    if (p->bos >= 0) ids[0] = p->bos;
    for (int64_t at = 0; at < p->window; at += p->chunk) {
        int64_t n = MIN(p->chunk, p->window - at), start = now_ns();
        TRY(side_eval(&p->own, at, ids + at, n, e));
        *ns += now_ns() - start;
        TRY(side_eval(&p->ref, at, ids + at, n, e));
        for (int64_t i = MAX(at, p->window / 2); i < MIN(at + n, p->window - 1); i++) score(p, i - at, ids[i + 1]);
        progress_show(progress, LLMWS_PHASE_PROMPT, w * p->window + at + n, p->windows * p->window);
    }
    return true;
}

static bool score_all(Ppl *p, Err *e) {
    Progress progress = {.ui = p->o->ui};
    int64_t ns = 0;
    bool ok = true;
    p->kls = mem_alloc((size_t)(p->windows * p->window), sizeof *p->kls);
    progress_show(&progress, LLMWS_PHASE_PROMPT, 0, p->windows * p->window);
    stop_watch(p->own.session);
    for (int64_t w = 0; ok && w < p->windows; w++) ok = score_window(p, w, &progress, &ns, e);
    stop_watch(NULL);
    progress_clear();
    p->tok_s = (double)(p->windows * p->window) * 1e9 / (double)MAX(ns, 1);
    return ok;
}

/* ---- results ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const Ppl *p, double at) {
    double i = at * (double)(p->n_kls - 1), below = floor(i);
    size_t k = (size_t)below, next = MIN(k + 1, p->n_kls - 1);
    return p->kls[k] + (i - below) * (p->kls[next] - p->kls[k]);
}

static double ppl_of(const Mean *nll) { return exp(mean_of(nll)); }

static double share_error(double share, double n) { return n > 1 ? sqrt(share * (1 - share) / (n - 1)) : 0; }

static void put_json(const Ppl *p, Buf *l) {
    const Side *a = &p->own;
    event_begin(l, "bench");
    json_str(l, "test", STR("ppl"));
    json_int(l, "n", p->windows * p->window);
    json_int(l, "depth", 0);
    json_int(l, "batch", 1);
    json_int(l, "repeat", 1);
    json_num(l, "tok_s", round(p->tok_s * 1000) / 1000);
    json_num(l, "sd", 0);
    json_num(l, "ppl", ppl_of(&a->nll));
    json_num(l, "ppl_error", ppl_of(&a->nll) * mean_error(&a->nll));
    json_num(l, "nll", mean_of(&a->nll));
    json_int(l, "scored", (int64_t)a->nll.n);
    json_int(l, "windows", p->windows);
    json_int(l, "window", p->window);
    json_int(l, "text_bytes", (int64_t)p->text_bytes);
    if (p->ref.path) {
        json_str(l, "against", str_of(p->ref.path));
        json_num(l, "against_ppl", ppl_of(&p->ref.nll));
        json_num(l, "against_ppl_error", ppl_of(&p->ref.nll) * mean_error(&p->ref.nll));
        json_num(l, "ppl_ratio", exp(mean_of(&p->more)));
        json_num(l, "ppl_ratio_error", exp(mean_of(&p->more)) * mean_error(&p->more));
        json_num(l, "kl_mean", mean_of(&p->kl));
        json_num(l, "kl_error", mean_error(&p->kl));
        json_num(l, "kl_median", quantile(p, 0.5));
        json_num(l, "kl_p99", quantile(p, 0.99));
        json_num(l, "kl_max", p->kls[p->n_kls - 1]);
        json_num(l, "same_top", p->n_same / p->kl.n);
        json_num(l, "same_top_error", share_error(p->n_same / p->kl.n, p->kl.n));
    }
    bench_put_setting(l, bench_name(&a->info, a->path), &a->info, &a->plan);
    event_end(l);
}

static void put_side(Buf *l, const char *what, const Side *s) {
    buf_printf(l, "%-16s %.4f ± %.4f  ", what, ppl_of(&s->nll), ppl_of(&s->nll) * mean_error(&s->nll));
    put_inert(l, str_of(s->path), false);
    buf_printf(l, " (compute %s, kv-type %s)\n", s->plan.compute, s->plan.kv_type);
}

static void put_text(const Ppl *p, Buf *l) {
    put_inert(l, str_of(p->o->file), false);
    buf_printf(l, ": %zu bytes, %zu tokens, %" PRId64 " window%s of %" PRId64 "; the second half of each is scored\n\n",
               p->text_bytes, p->ids.n, p->windows, p->windows == 1 ? "" : "s", p->window);
    put_side(l, "perplexity", &p->own);
    if (!p->ref.path) return;
    double same = p->n_same / p->kl.n, ratio = exp(mean_of(&p->more));
    put_side(l, "reference", &p->ref);
    buf_printf(l, "%-16s %.5f ± %.5f\n", "ratio", ratio, ratio * mean_error(&p->more));
    buf_printf(l, "%-16s mean %.6f ± %.6f, median %.6f, 99 %% below %.6f, largest %.6f nats\n", "KL divergence",
               mean_of(&p->kl), mean_error(&p->kl), quantile(p, 0.5), quantile(p, 0.99), p->kls[p->n_kls - 1]);
    buf_printf(l, "%-16s %.2f ± %.2f %%\n", "same likeliest", 100 * same, 100 * share_error(same, p->kl.n));
}

bool bench_ppl(const PplOpts *o, Err *e) {
    Ppl p = {.o = o, .ref.path = o->against};
    Buf line = {0};
    bool ok = ppl_open(&p, e) && score_all(&p, e);
    if (ok) {
        qsort(p.kls, p.n_kls, sizeof *p.kls, by_value);
        if (o->ui->json)
            put_json(&p, &line);
        else
            put_text(&p, &line);
        ok = out_flush(&line, e);
    }
    side_close(&p.own);
    side_close(&p.ref);
    ids_release(&p.ids);
    free(p.kls);
    buf_release(&line);
    return ok;
}
