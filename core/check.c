#include "core/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/rng.h"
#include "core/score.h"

enum { PROMPT = 48, QUICK_PROMPT = 16, QUICK_NEW = 8, TEXT = 512, QUICK_TEXT = 128, SPEED = 256, QUICK_SPEED = 64 };

typedef struct Check {
    LlmwsModel *m;
    LlmwsTokenizer *tok; /* NULL: none that can be read */
    const CheckOptions *o;
    CheckReport *r;
    LlmwsModelInfo info;
    int32_t *ids;        /* the prompt, then what the reference adds */
    int64_t n_prompt, n; /* of the prompt, of both */
    int32_t *text;       /* ids of the fixed text */
    int64_t n_text;
    float *own, *ref; /* [n, V] logits after each token: as the user would get them, of the reference */
} Check;

void check_note(CheckReport *r, const char *name, CheckState state, const char *fmt, ...) {
    if (r->n == CHECK_RESULTS) BUG("more than %d checks", CHECK_RESULTS);
    CheckResult *c = &r->results[r->n++];
    va_list ap;
    *c = (CheckResult){.name = name, .state = state};
    if (state == CHECK_PASSED) return;
    va_start(ap, fmt);
    vsnprintf(c->why, sizeof c->why, fmt, ap);
    va_end(ap);
}

bool check_failed(const CheckReport *r) {
    for (size_t i = 0; i < r->n; i++)
        if (r->results[i].state == CHECK_FAILED) return true;
    return false;
}

/* e: why, where it is not ok. Returns ok. */
static bool told(const Check *c, const char *name, bool ok, const Err *e) {
    check_note(c->r, name, ok ? CHECK_PASSED : CHECK_FAILED, "%s", e->msg);
    return ok;
}
static bool judged(const Check *c) { return c->tok && c->info.params >= CHECK_JUDGED_PARAMS; }
static const float *row(const Check *c, const float *rows, int64_t i) { return rows + i * c->info.vocab; }

/* ---- bounds ---- */

static double deviation(const float *x, int64_t n) {
    Mean m = {0};
    for (int64_t i = 0; i < n; i++) mean_add(&m, (double)x[i]);
    return sqrt(MAX(m.squares / m.n - mean_of(&m) * mean_of(&m), 0));
}

/* How far logits may be from the reference's, in standard deviations of a row: sums in another order for f32, keys and
 * values of 11 bits for f16, numbers of 8 bits for the rest. Of some millions of logits of SmolLM2-135M the furthest
 * were 1e-4, 0.0025 and 0.32 away; logits that have nothing to do with each other are 5 and more apart. */
static double bound_of(const Check *c, const LlmwsPlan *p) {
    bool kv = strcmp(p->kv_type, "f32") != 0, exact = strcmp(p->compute, "f32") == 0;
    const double f32 = 1e-3, f16_kv = 2e-2, narrow = 1;
    if (strcmp(p->compute, "auto") == 0) {
        LlmwsTensorInfo t;
        exact = true;
        for (size_t i = 0; exact && i < llmws_tensor_count(c->m); i++) {
            llmws_tensor_info(c->m, i, &t);
            exact = t.ndim < 2 || strcmp(t.dtype, "f32") == 0 || strcmp(t.dtype, "f16") == 0;
        }
    }
    if (!exact || strcmp(p->kv_type, "q8_0") == 0 || strcmp(p->kv_type, "bf16") == 0) return narrow;
    return kv ? f16_kv : f32;
}

/* ---- sessions ---- */

typedef struct Run { /* one sequence of a session that tells the logits of every token */
    LlmwsSession *s;
    LlmwsPlan plan;
    int seq;
} Run;

static LlmwsSessionOptions own_options(const Check *c, int64_t ctx) {
    const CheckOptions *o = c->o;
    return (LlmwsSessionOptions){.backend = o->backend,
                                 .isa = o->isa,
                                 .compute = o->compute,
                                 .kv_type = o->kv_type,
                                 .threads = o->threads,
                                 .ctx = ctx,
                                 .chunk = ctx,
                                 .all_logits = true};
}

static LlmwsSessionOptions reference_options(const Check *c, int64_t ctx) {
    return (LlmwsSessionOptions){.backend = "cpu",
                                 .compute = "f32",
                                 .kv_type = "f32",
                                 .threads = c->o->threads,
                                 .ctx = ctx,
                                 .chunk = ctx,
                                 .all_logits = true};
}

static bool run_open(Run *r, LlmwsModel *m, const LlmwsSessionOptions *so, Err *e) {
    *r = (Run){.s = llmws_session_open(m, so, e), .seq = -1};
    if (!r->s) return false;
    llmws_session_plan(r->s, &r->plan);
    r->seq = llmws_seq_open(r->s, e);
    return r->seq >= 0;
}

static void run_close(Run *r) { llmws_session_close(r->s); }

/* The next n tokens in one step; their logits to rows, NULL: not wanted. */
static bool step(const Check *c, Run *r, const int32_t *ids, int64_t n, float *rows, Err *e) {
    TRY(llmws_eval(r->s, r->seq, ids, (size_t)n, e));
    for (int64_t i = 0; rows && i < n; i++)
        memcpy(rows + i * c->info.vocab, llmws_logits_row(r->s, (size_t)i), (size_t)c->info.vocab * sizeof(float));
    return true;
}

/* ---- the reference ---- */

static bool finite_rows(const Check *c, const float *rows, int64_t n, Err *e) {
    for (int64_t i = 0; i < n * c->info.vocab; i++)
        if (!isfinite(rows[i]))
            return err_set(e, ERR_CHECK, "the logit of token %lld after %lld tokens is %g",
                           (long long)(i % c->info.vocab), (long long)(i / c->info.vocab + 1), (double)rows[i]);
    return true;
}

static bool reference_answer(Check *c, Run *r, Err *e) {
    const int64_t V = c->info.vocab;
    TRY(step(c, r, c->ids, c->n_prompt, c->ref, e));
    for (int64_t i = c->n_prompt; i < c->n; i++) {
        c->ids[i] = score_top(row(c, c->ref, i - 1), V, NULL);
        TRY(step(c, r, c->ids + i, 1, c->ref + i * V, e));
    }
    return finite_rows(c, c->ref, c->n, e);
}

static bool rows_near(const Check *c, const float *a, const float *b, int64_t n, double bound, double *worst, Err *e) {
    const int64_t V = c->info.vocab;
    for (int64_t i = 0; i < n; i++) {
        double unit = deviation(b + i * V, V);
        for (int64_t k = 0; k < V; k++) {
            double d = fabs((double)a[i * V + k] - (double)b[i * V + k]) / unit;
            *worst = MAX(*worst, d);
            if (!(d <= bound))
                return err_set(e, ERR_CHECK,
                               "after %lld tokens the logit of token %lld is %g, the reference's %g: %.2g standard "
                               "deviations apart, at most %.2g are",
                               (long long)i + 1, (long long)k, (double)a[i * V + k], (double)b[i * V + k], d, bound);
        }
    }
    return true;
}

/* The first tokens in plain C, as many as it does in seconds. */
static void check_kernels(Check *c) {
    const double budget = c->o->quick ? 3e8 : 3e9;
    const int64_t n = MIN(c->n_prompt, (int64_t)(budget / (2 * (double)c->info.params)));
    LlmwsSessionOptions so = reference_options(c, c->n_prompt);
    Run r = {0};
    Err e = {0};
    double worst = 0;
    if (n < 1) {
        check_note(c->r, "kernels", CHECK_SKIPPED, "plain C would take minutes for a model of this size");
        return;
    }
    float *rows = mem_alloc((size_t)(n * c->info.vocab), sizeof *rows);
    so.isa = "ref";
    bool ok = run_open(&r, c->m, &so, &e) && step(c, &r, c->ids, n, rows, &e) &&
              rows_near(c, rows, c->ref, n, 1e-3, &worst, &e);
    run_close(&r);
    free(rows);
    told(c, "kernels", ok, &e);
}

static bool check_reference(Check *c) {
    LlmwsSessionOptions so = reference_options(c, c->n);
    Run r = {0};
    Err e = {0};
    bool ok = run_open(&r, c->m, &so, &e) && reference_answer(c, &r, &e);
    run_close(&r);
    return told(c, "runs", ok, &e);
}

/* ---- the answer as the user would get it ---- */

static bool same_rows(const Check *c, const float *a, const float *b, int64_t from, int64_t to, const char *what,
                      Err *e) {
    const int64_t V = c->info.vocab;
    for (int64_t i = from; i < to; i++)
        for (int64_t k = 0; k < V; k++)
            if (memcmp(&a[i * V + k], &b[i * V + k], sizeof *a) != 0)
                return err_set(e, ERR_CHECK, "%s: after %lld tokens the logit of token %lld is %.9g, not %.9g", what,
                               (long long)i + 1, (long long)k, (double)a[i * V + k], (double)b[i * V + k]);
    return true;
}

/* The prompt at once and then token by token; everything at once: the same bits. */
static bool decode_then_prefill(Check *c, Run *r, float *again, Err *e) {
    const int64_t V = c->info.vocab;
    TRY(step(c, r, c->ids, c->n_prompt, c->own, e));
    for (int64_t i = c->n_prompt; i < c->n; i++) TRY(step(c, r, c->ids + i, 1, c->own + i * V, e));
    TRY(finite_rows(c, c->own, c->n, e));
    TRY(llmws_seq_truncate(r->s, r->seq, 0, e) && step(c, r, c->ids, c->n, again, e));
    return same_rows(c, again, c->own, 0, c->n, "taken as a prompt, not token by token", e);
}

/* In pieces that fit nothing, on another number of threads. */
static bool in_pieces(Check *c, int threads, float *again, Err *e) {
    enum { PIECE = 7 };
    LlmwsSessionOptions so = own_options(c, c->n);
    Run r = {0};
    so.threads = threads == 1 ? 2 : 1;
    so.chunk = PIECE;
    bool ok = run_open(&r, c->m, &so, e);
    for (int64_t at = 0; ok && at < c->n; at += PIECE)
        ok = step(c, &r, c->ids + at, MIN(PIECE, c->n - at), again + at * c->info.vocab, e);
    run_close(&r);
    return ok && same_rows(c, again, c->own, 0, c->n, "in pieces of 7, on another number of threads", e);
}

/* Where the reference prefers its token by more than the arithmetic moves most of them, both must take the same. */
static bool same_tokens(const Check *c, double bound, Err *e) {
    for (int64_t i = c->n_prompt - 1; i < c->n; i++) {
        float gap;
        const float *ref = row(c, c->ref, i);
        int32_t want = score_top(ref, c->info.vocab, &gap), got = score_top(row(c, c->own, i), c->info.vocab, NULL);
        if (want != got && (double)gap > bound / 2 * deviation(ref, c->info.vocab))
            return err_set(e, ERR_CHECK, "after %lld tokens comes %d, where the reference prefers %d by %g",
                           (long long)i + 1, got, want, (double)gap);
    }
    return true;
}

static void check_answer(Check *c) {
    LlmwsSessionOptions so = own_options(c, c->n);
    Run r = {0};
    Err e = {0};
    float *again = mem_alloc((size_t)(c->n * c->info.vocab), sizeof *again);
    bool opened = run_open(&r, c->m, &so, &e), ok = opened && decode_then_prefill(c, &r, again, &e);
    const LlmwsPlan plan = r.plan;
    run_close(&r);
    told(c, "prefill", ok, &e);
    if (opened && ok) {
        told(c, "pieces", in_pieces(c, plan.threads, again, &e), &e);
        double bound = bound_of(c, &plan);
        ok = rows_near(c, c->own, c->ref, c->n, bound, &c->r->apart, &e) && same_tokens(c, bound, &e);
        told(c, "reference", ok, &e);
    }
    free(again);
}

/* ---- what was recorded ---- */

/* Token indices of the prompt at which logits are kept; a quick test reaches the first two. */
static const int64_t places[CHECK_PLACES] = {7, 15, 31, 47};

static float probe(const Check *c, int64_t p, int64_t k) {
    return row(c, c->ref, places[p])[k * c->info.vocab / CHECK_PROBES];
}

static void fill_record(Check *c) {
    CheckRecord *r = &c->r->record;
    r->n_ids = c->n - c->n_prompt;
    memcpy(r->ids, c->ids + c->n_prompt, (size_t)r->n_ids * sizeof *r->ids);
    for (int64_t p = 0; p < CHECK_PLACES && places[p] < c->n_prompt; p++)
        for (int64_t k = 0; k < CHECK_PROBES; k++) r->logits[p * CHECK_PROBES + k] = probe(c, p, k);
}

static bool logits_as_recorded(const Check *c, const CheckRecord *known, Err *e) {
    for (int64_t p = 0; p < CHECK_PLACES && places[p] < c->n_prompt; p++) {
        double unit = deviation(row(c, c->ref, places[p]), c->info.vocab);
        for (int64_t k = 0; k < CHECK_PROBES; k++) {
            double got = (double)probe(c, p, k), want = (double)known->logits[p * CHECK_PROBES + k];
            if (!(fabs(got - want) <= 1e-3 * unit))
                return err_set(e, ERR_CHECK, "after %lld tokens the logit of token %lld is %g; recorded was %g",
                               (long long)places[p] + 1, (long long)(k * c->info.vocab / CHECK_PROBES), got, want);
        }
    }
    return true;
}

static bool ids_as_recorded(const Check *c, const CheckRecord *known, Err *e) {
    for (int64_t i = 0; i < MIN(known->n_ids, c->n - c->n_prompt); i++) {
        float gap;
        const float *ref = row(c, c->ref, c->n_prompt + i - 1);
        score_top(ref, c->info.vocab, &gap);
        if (c->ids[c->n_prompt + i] == known->ids[i]) continue;
        if ((double)gap <= 1e-3 * deviation(ref, c->info.vocab)) return true; /* either; other texts from here on */
        return err_set(e, ERR_CHECK, "token %lld of the answer is %d; recorded was %d", (long long)i + 1,
                       c->ids[c->n_prompt + i], known->ids[i]);
    }
    return true;
}

static void check_record(Check *c) {
    const CheckRecord *known = c->o->known;
    Err e = {0};
    if (!known || !known->n_ids) return;
    told(c, "record", logits_as_recorded(c, known, &e) && (c->o->quick || ids_as_recorded(c, known, &e)), &e);
}

/* ---- language ---- */

static bool score_text(Check *c, Mean *nll, Err *e) {
    enum { LOGITS_BYTES = 32 << 20 };
    const int64_t V = c->info.vocab, n = c->n_text;
    LlmwsSessionOptions so = own_options(c, n);
    Run r = {0};
    so.chunk = MIN(n, MAX(LOGITS_BYTES / (int64_t)sizeof(float) / V, 16));
    bool ok = run_open(&r, c->m, &so, e);
    for (int64_t at = 0; ok && at < n; at += so.chunk) {
        int64_t end = MIN(at + so.chunk, n);
        ok = step(c, &r, c->text + at, end - at, NULL, e);
        for (int64_t i = MAX(at, n / 4); ok && i < MIN(end, n - 1); i++)
            mean_add(nll, score_nll(llmws_logits_row(r.s, (size_t)(i - at)), V, c->text[i + 1]));
    }
    run_close(&r);
    return ok;
}

static void judge_text(Check *c, double ppl) {
    const CheckRecord *known = c->o->known;
    const double near = 0.02;
    if (known && known->ppl > 0 && !c->o->quick) {
        bool ok = fabs(ppl / known->ppl - 1) <= near;
        check_note(c->r, "perplexity", ok ? CHECK_PASSED : CHECK_FAILED, "%.4g; recorded was %.4g", ppl, known->ppl);
    } else if (!judged(c)) {
        check_note(c->r, "perplexity", CHECK_SKIPPED, "a model this small is judged by what was recorded of it alone");
    } else {
        bool ok = ppl <= c->o->max_ppl;
        check_note(c->r, "perplexity", ok ? CHECK_PASSED : CHECK_FAILED,
                   "%.4g of plain English, at most %.4g is expected: broken, or not trained for it", ppl,
                   c->o->max_ppl);
    }
}

static void check_language(Check *c) {
    Mean nll = {0};
    Err e = {0};
    if (!c->tok || c->n_text < 8) {
        check_note(c->r, "perplexity", CHECK_SKIPPED, "no tokenizer");
    } else if (!score_text(c, &nll, &e)) {
        told(c, "perplexity", false, &e);
    } else {
        c->r->ppl = exp(mean_of(&nll));
        if (!c->o->quick) c->r->record.ppl = c->r->ppl;
        judge_text(c, c->r->ppl);
    }
}

/* The model's own answer: surely foretold by itself, and no stutter. */
static void check_coherence(Check *c) {
    const double max_own = 20;
    const int64_t answer = c->n - c->n_prompt;
    Mean nll = {0};
    int64_t run = 1, longest = 1;
    for (int64_t i = c->n_prompt; i < c->n; i++) {
        mean_add(&nll, score_nll(row(c, c->own, i - 1), c->info.vocab, c->ids[i]));
        run = i > c->n_prompt && c->ids[i] == c->ids[i - 1] ? run + 1 : 1;
        longest = MAX(longest, run);
    }
    c->r->own_ppl = exp(mean_of(&nll));
    if (!judged(c))
        check_note(c->r, "coherence", CHECK_SKIPPED, "a model this small is judged by what was recorded of it alone");
    else if (!(c->r->own_ppl <= max_own))
        check_note(c->r, "coherence", CHECK_FAILED, "its own answer has a perplexity of %.4g, at most %g is expected",
                   c->r->own_ppl, max_own);
    else if (longest > answer / 2)
        check_note(c->r, "coherence", CHECK_FAILED, "its answer repeats one token %lld times", (long long)longest);
    else
        check_note(c->r, "coherence", CHECK_PASSED, "%s", "");
}

/* ---- the template ---- */

static void hash_templates(Check *c) {
    const char *name, *text;
    Sha256 s;
    sha256_begin(&s);
    for (size_t i = 0; (text = llmws_tokenizer_template(c->tok, i, &name)); i++) {
        sha256_add(&s, name, strlen(name) + 1);
        sha256_add(&s, text, strlen(text) + 1);
    }
    sha256_end(&s, c->r->record.templates);
}

static void check_template(Check *c) {
    const char *ask = "[{\"role\":\"user\",\"content\":\"How far can a lighthouse be seen?\"}]";
    const char *known = c->o->known ? c->o->known->templates : "";
    LlmwsPrompt p = {0};
    Err e = {0};
    if (!c->tok || !llmws_tokenizer_has_template(c->tok)) {
        check_note(c->r, "template", *known ? CHECK_FAILED : CHECK_SKIPPED,
                   *known ? "there is none any more" : "the model has none");
        return;
    }
    hash_templates(c);
    bool ok = llmws_chat_render(c->tok, ask, "{\"add_generation_prompt\":true}", 0, &p, &e);
    if (ok && !strstr(p.text, "How far can a lighthouse be seen?"))
        ok = err_set(&e, ERR_CHECK, "the prompt does not hold the user's message");
    if (ok && *known && strcmp(known, c->r->record.templates) != 0)
        ok = err_set(&e, ERR_CHECK, "it is not the one that was recorded");
    llmws_prompt_free(&p);
    told(c, "template", ok, &e);
}

/* ---- speed and memory ---- */

/* As generate would run: logits of the last token only. Comes first, so that weights which only this run has read
 * count. */
static bool time_run(Check *c, Run *r, int64_t n, int64_t more, Err *e) {
    const int32_t *ids = c->text;
    TRY(llmws_eval(r->s, r->seq, ids, (size_t)n, e) && llmws_seq_truncate(r->s, r->seq, 0, e));
    int64_t start = now_ns();
    TRY(llmws_eval(r->s, r->seq, ids, (size_t)n, e));
    int64_t middle = now_ns();
    for (int64_t i = 0; i < more; i++) TRY(llmws_eval(r->s, r->seq, ids + i, 1, e));
    c->r->prompt_tok_s = (double)n * 1e9 / (double)MAX(middle - start, 1);
    c->r->decode_tok_s = (double)more * 1e9 / (double)MAX(now_ns() - middle, 1);
    return true;
}

static void check_speed(Check *c) {
    const int64_t slack = 64 << 20, more = c->o->quick ? QUICK_NEW : CHECK_NEW;
    const int64_t n = MIN(c->n_text - more, c->o->quick ? QUICK_SPEED : SPEED);
    LlmwsSessionOptions so = own_options(c, n + more);
    Run r = {0};
    Err e = {0};
    so.all_logits = false;
    const int64_t before = process_use().resident;
    const bool exact = process_peak_reset();
    bool ok = n > 0 && run_open(&r, c->m, &so, &e) && time_run(c, &r, n, more, &e);
    c->r->plan_bytes = r.plan.total_bytes;
    c->r->peak_bytes = MAX((exact ? process_peak() : process_use().resident) - before, 0);
    run_close(&r);
    if (n <= 0)
        check_note(c->r, "memory", CHECK_SKIPPED, "the context is too short");
    else if (!ok)
        told(c, "memory", false, &e);
    else if (c->r->peak_bytes > c->r->plan_bytes / 10 * 11 + slack)
        check_note(c->r, "memory", CHECK_FAILED, "%lld bytes were taken, the plan said %lld",
                   (long long)c->r->peak_bytes, (long long)c->r->plan_bytes);
    else
        check_note(c->r, "memory", CHECK_PASSED, "%s", "");
}

/* ---- all of it ---- */

/* Of the fixed text, or numbers that look random where there is no tokenizer. */
static void take_text(Check *c) {
    const int64_t n = MIN(c->o->quick ? QUICK_TEXT : TEXT, c->info.ctx);
    LlmwsTokens got = {0};
    Err e;
    c->text = mem_alloc((size_t)n, sizeof *c->text);
    c->tok = llmws_model_tokenizer(c->m, &e);
    if (c->tok && llmws_tokenize(c->tok, check_text, strlen(check_text), LLMWS_TOK_ADD_SPECIAL, &got, &e)) {
        c->n_text = MIN(n, (int64_t)got.n);
        memcpy(c->text, got.ids, (size_t)c->n_text * sizeof *c->text);
        llmws_tokens_free(&got);
        return;
    }
    c->n_text = n;
    for (int64_t i = 0; i < n; i++)
        c->text[i] = (int32_t)(rng_u64(0, 0, (uint64_t)i, RNG_SAMPLE) % (uint64_t)c->info.vocab);
}

/* The prompt is how the text begins; the rest of ids comes from the reference. */
static void take_prompt(Check *c) {
    const int64_t more = c->o->quick ? QUICK_NEW : CHECK_NEW;
    c->n_prompt = MIN(c->o->quick ? QUICK_PROMPT : PROMPT, c->n_text / 2);
    c->n = c->n_prompt + MIN(more, c->info.ctx - c->n_prompt);
    c->ids = mem_alloc((size_t)c->n, sizeof *c->ids);
    memcpy(c->ids, c->text, (size_t)c->n_prompt * sizeof *c->ids);
    c->own = mem_alloc((size_t)(c->n * c->info.vocab), sizeof *c->own);
    c->ref = mem_alloc((size_t)(c->n * c->info.vocab), sizeof *c->ref);
}

void check_model(LlmwsModel *m, const CheckOptions *o, CheckReport *r) {
    Check c = {.m = m, .o = o, .r = r};
    llmws_model_info(m, &c.info);
    take_text(&c);
    check_speed(&c);
    take_prompt(&c);
    check_template(&c);
    if (c.n_prompt <= places[0]) {
        check_note(r, "runs", CHECK_FAILED, "a context of %lld tokens is too short to test", (long long)c.info.ctx);
    } else if (check_reference(&c)) {
        fill_record(&c);
        check_kernels(&c);
        check_record(&c);
        check_answer(&c);
        if (!check_failed(r)) check_coherence(&c);
        check_language(&c);
    }
    free(c.ids);
    free(c.text);
    free(c.own);
    free(c.ref);
}
