/* The steps of a run, from its beginning or its last checkpoint.
 *
 * A run begins by writing its weights, as f32 under Hugging Face's names, as checkpoints/step-0, and trains what it
 * reads from there: so does a run that goes on, from its last checkpoint. Where the weights once came from, and how
 * that file laid them out, makes no difference later. */
#include <inttypes.h>
#include <math.h>

#include "cmd/training.h"
#include "formats/formats.h"

static const char *checkpoint(Training *t, int64_t step) { return run_checkpoint(&t->arena, t->run.dir, step); }

/* Positions that a model never saw are allowed, and told. */
static void warn_length(Training *t) {
    LlmwsModelInfo info;
    llmws_model_info(t->model, &info);
    if (info.ctx && t->how.seq_len > info.ctx)
        ui_warn(&t->ui,
                "rows of %" PRId64 " tokens are longer than the context of %" PRId64 " that the model is made for",
                t->how.seq_len, info.ctx);
}

static bool open_training(Training *t, const char *model, Err *e) {
    char print[sizeof t->print];
    TRY(model_open(model, &t->ui, &t->model, e));
    model_print(t->model, print);
    if (t->how.lora.rank && t->print[0] && strcmp(t->print, print))
        return err_set(e, ERR_INPUT, "the model '%s' is not the one that the run '%s' began with", model, t->o.out);
    memcpy(t->print, print, sizeof print);
    TRY(train_plan_check(&t->ui, t->model, &t->how, e));
    if (!t->start) warn_length(t);
    t->train = llmws_train_open(t->model, &t->how, e);
    if (!t->train) return false;
    llmws_train_plan(t->train, &t->plan);
    return true;
}

/* The weights that a run begins with, and the model that it trains. */
static bool begin_weights(Training *t, const char *first, Err *e) {
    TRY(path_exists(first) || base_write(t, first, e));
    return open_training(t, first, e);
}

static bool begin_adapter(Training *t, const char *first, Err *e) {
    return open_training(t, t->base, e) && (path_exists(first) || llmws_train_save(t->train, first, 0, e));
}

bool training_begin(Training *t, Err *e) {
    const char *first = checkpoint(t, 0);
    if (!t->run.begun) run_drop(&t->run, 0); /* of other options, perhaps */
    TRY(t->how.lora.rank ? begin_adapter(t, first, e) : begin_weights(t, first, e));
    return run_json_write(t, e) && run_truncate(&t->run, 0, e) && tell_started(t, e) && tell_saved(t, 0, e);
}

/* The best checkpoint, if there is one, under that name. Without links it is known by the events alone. */
static void link_best(Training *t) {
    Err e = {0};
    int64_t best = llmws_train_best(t->train);
    if (best >= 0 && !run_link_best(&t->run, best, &e)) ui_warn(&t->ui, "%s", e.msg);
    run_prune(&t->run, t->o.keep, best);
}

static bool done(const Training *t) { return llmws_train_at(t->train) == llmws_train_steps(t->train); }

bool training_go_on(Training *t, Err *e) {
    int64_t mark = 0;
    t->start = t->saved = run_last(t->run.dir);
    if (t->start <= 0) return t->start = t->saved = 0, training_begin(t, e);
    const char *last = checkpoint(t, t->start);
    TRY(open_training(t, t->how.lora.rank ? t->base : last, e));
    TRY(llmws_train_load(t->train, last, &mark, e) && run_truncate(&t->run, mark, e));
    link_best(t);
    TRY(tell_saved(t, t->start, e));
    return done(t) || tell_started(t, e);
}

static bool save(Training *t, Err *e) {
    int64_t step = llmws_train_at(t->train);
    if (step != t->saved) {
        TRY(run_sync(&t->run, e) && llmws_train_save(t->train, checkpoint(t, step), t->run.length, e));
        t->saved = step;
        TRY(tell_saved(t, step, e));
    }
    link_best(t);
    return true;
}

/* ---- evaluation ---- */

static bool eval_is_due(const Training *t) {
    const int64_t step = llmws_train_at(t->train), every = t->o.eval_every;
    return t->o.eval && step && step != llmws_train_evaluated(t->train) && (done(t) || (every && step % every == 0));
}

static bool eval_goes_on(void *ctx, int64_t tokens) {
    Training *t = ctx;
    progress_tell(&t->progress, "evaluating at step %" PRId64 ", %" PRId64 " tokens", llmws_train_at(t->train), tokens);
    return !stop_signal();
}

static bool evaluate(Training *t, Err *e) {
    LlmwsTrainEval v;
    const int64_t from = now_ns();
    TRY(llmws_train_eval(t->train, &v, eval_goes_on, t, e));
    const double seconds = (double)(now_ns() - from) / 1e9;
    t->logged_ns += now_ns() - from; /* tokens per second are the training's */
    ui_detail(&t->ui, "[eval] step %" PRId64 ", loss %.6g, perplexity %.4g%s", v.step, v.loss, exp(v.loss),
              v.best ? ", the best so far" : "");
    return tell_eval(t, &v, seconds, e);
}

/* What comes after an update: an evaluation, and a checkpoint where one is due or the evaluation was the best. */
static bool finish_step(Training *t, Err *e) {
    const int64_t step = llmws_train_at(t->train), every = t->o.save_every;
    if (eval_is_due(t)) TRY(evaluate(t, e));
    const bool due = done(t) || (every && step % every == 0) || step == llmws_train_best(t->train);
    return !due || save(t, e);
}

/* ---- updates ---- */

static void show(Training *t, const LlmwsTrainStep *s) {
    int64_t all = llmws_train_steps(t->train),
            left_ns = (now_ns() - t->start_ns) / (s->step - t->start) * (all - s->step);
    enum { WIDTH = 24 };
    int full = (int)(s->step * WIDTH / all);
    int64_t sec = left_ns / 1000000000;
    progress_tell(&t->progress,
                  "training [%.*s%.*s] %" PRId64 "/%" PRId64 ", loss %.4f, %.0f tok/s, %" PRId64 ":%02d:%02d left",
                  full, "########################", WIDTH - full, "                        ", s->step, all, s->loss,
                  (double)s->tokens * (double)(s->step - t->start) * 1e9 / (double)MAX(now_ns() - t->start_ns, 1),
                  sec / 3600, (int)(sec / 60 % 60), (int)(sec % 60));
}

/* The first sample of each kind is told when it comes; how many there were, at the end. */
static void watch_samples(Training *t) {
    LlmwsTrainSamples s;
    llmws_train_samples(t->train, &s);
    if (s.truncated && !t->seen.truncated)
        ui_warn(&t->ui, "a sample is longer than a row of %" PRId64 " tokens and loses its end", t->how.seq_len);
    if (s.unlearned && !t->seen.unlearned)
        ui_warn(&t->ui, "a sample is left out: within a row of %" PRId64 " tokens nothing of it is learned",
                t->how.seq_len);
    t->seen = s;
}

static bool update(Training *t, Err *e) {
    LlmwsTrainStep s;
    TRY(llmws_train_step(t->train, &s, e));
    t->tokens += s.tokens;
    t->last_loss = s.loss;
    watch_samples(t);
    show(t, &s);
    ui_detail(&t->ui, "[train] step %" PRId64 ", loss %.6g, lr %.4g, norm %.4g, %" PRId64 " labels", s.step, s.loss,
              s.lr, s.grad_norm, s.labels);
    return (s.step % t->o.log_every && !done(t)) || tell_progress(t, &s, e);
}

/* What stopped it, and what there is to go on from. Data that cannot be read leave what was learned as it is. */
static bool stopped(Training *t, Err *e) {
    const Err was = *e;
    Err late;
    if (was.code == ERR_INPUT) save(t, &late);
    tell_stopped(t, was.msg, &late);
    return err_set(e, (ErrCode)was.code, "%s; the last checkpoint is '%s'%s", was.msg, checkpoint(t, t->saved),
                   was.code == ERR_INPUT && !t->o.skip_bad ? ", --resume --skip-bad passes over such lines" : "");
}

/* A signal leaves a checkpoint of what is done, and what follows a step is done when the run goes on. */
static bool interrupted(Training *t, Err *e) {
    if (!save(t, e) || !tell_stopped(t, "interrupted", e)) return stopped(t, e);
    progress_clear();
    ui_note(&t->ui, "stopped at step %" PRId64 "; llmws train --resume -o %s goes on", t->saved, t->run.dir);
    return err_set(e, ERR_INTERRUPT, "interrupted");
}

bool training_run(Training *t, Err *e) {
    t->start_ns = t->logged_ns = now_ns();
    t->progress = (Progress){.ui = &t->ui};
    bool ok = !t->start || finish_step(t, e); /* what an interrupt left out */
    while (ok && !done(t)) {
        if (stop_signal()) return interrupted(t, e);
        ok = update(t, e) && finish_step(t, e);
    }
    if (!ok && e->code == ERR_INTERRUPT) return interrupted(t, e);
    return (ok && tell_done(t, e)) || stopped(t, e);
}
