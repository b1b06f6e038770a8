/* The steps of a run, from its beginning or its last checkpoint.
 *
 * A run begins by writing its weights, as f32 under Hugging Face's names, as checkpoints/step-0, and trains what it
 * reads from there: so does a run that goes on, from its last checkpoint. Where the weights once came from, and how
 * that file laid them out, makes no difference later. */
#include <inttypes.h>

#include "cmd/training.h"
#include "formats/formats.h"

static const char *checkpoint(Training *t, int64_t step) { return run_checkpoint(&t->arena, t->run.dir, step); }

/* The weights that a run begins with, and the model that it trains. */
bool training_begin(Training *t, Err *e) {
    const char *first = checkpoint(t, 0);
    if (!path_exists(first)) {
        TRY(model_open(t->base, &t->ui, &t->model, e));
        bool ok = llmws_model_save_hf(t->model, first, "f32", 0, e);
        llmws_model_close(t->model);
        t->model = NULL;
        if (!ok) return false;
    }
    TRY(model_open(first, &t->ui, &t->model, e));
    t->train = llmws_train_open(t->model, &t->how, e);
    if (!t->train) return false;
    llmws_train_plan(t->train, &t->plan);
    return run_json_write(t, e) && run_truncate(&t->run, 0, e) && tell_started(t, e) && tell_saved(t, 0, e);
}

bool training_go_on(Training *t, Err *e) {
    int64_t mark = 0;
    t->start = t->saved = run_last(t->run.dir);
    if (t->start <= 0) return t->start = t->saved = 0, training_begin(t, e);
    const char *last = checkpoint(t, t->start);
    TRY(model_open(last, &t->ui, &t->model, e));
    t->train = llmws_train_open(t->model, &t->how, e);
    if (!t->train) return false;
    llmws_train_plan(t->train, &t->plan);
    TRY(llmws_train_load(t->train, last, &mark, e) && run_truncate(&t->run, mark, e) && tell_saved(t, t->start, e));
    return llmws_train_at(t->train) == llmws_train_steps(t->train) || tell_started(t, e);
}

static bool save(Training *t, Err *e) {
    int64_t step = llmws_train_at(t->train);
    if (step == t->saved) return true;
    TRY(run_sync(&t->run, e) && llmws_train_save(t->train, checkpoint(t, step), t->run.length, e));
    t->saved = step;
    run_prune(&t->run, t->o.keep);
    return tell_saved(t, step, e);
}

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

static bool update(Training *t, Err *e) {
    LlmwsTrainStep s;
    if (!llmws_train_step(t->train, &s, e)) {
        if (e->code != ERR_CHECK) return false;
        Err was = *e;
        return err_set(e, ERR_CHECK, "%s; the last checkpoint is '%s'", was.msg, checkpoint(t, t->saved));
    }
    t->tokens += s.tokens;
    t->last_loss = s.loss;
    show(t, &s);
    ui_detail(&t->ui, "[train] step %" PRId64 ", loss %.6g, lr %.4g, norm %.4g, %" PRId64 " labels", s.step, s.loss,
              s.lr, s.grad_norm, s.labels);
    bool end = s.step == llmws_train_steps(t->train);
    if (s.step % t->o.log_every == 0 || end) TRY(tell_progress(t, &s, e));
    return (end || (t->o.save_every && s.step % t->o.save_every == 0)) ? save(t, e) : true;
}

bool training_run(Training *t, Err *e) {
    t->start_ns = t->logged_ns = now_ns();
    t->progress = (Progress){.ui = &t->ui};
    while (llmws_train_at(t->train) < llmws_train_steps(t->train)) {
        if (stop_signal()) return save(t, e) && err_set(e, ERR_INTERRUPT, "interrupted");
        TRY(update(t, e));
    }
    return save(t, e) && tell_done(t, e);
}
