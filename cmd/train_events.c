/* What a training tells: lines of events.jsonl, and of stdout with --json. */
#include <math.h>
#include <time.h>

#include "cmd/json_out.h"
#include "cmd/training.h"

/* Ends the line with when it was, in seconds since 1970. */
static bool emit(Training *t, Err *e) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    json_num(&t->line, "time", (double)now.tv_sec + (double)(now.tv_nsec / 1000000) / 1e3);
    event_end(&t->line);
    bool ok = run_event(&t->run, &t->line, e) && (!t->ui.json || out_write(buf_view(&t->line), e));
    buf_clear(&t->line);
    return ok;
}

bool tell_started(Training *t, Err *e) {
    LlmwsModelInfo info;
    llmws_model_info(t->model, &info);
    event_begin(&t->line, t->start ? "train_resumed" : "train_started");
    json_int(&t->line, "step", t->start);
    json_int(&t->line, "steps", llmws_train_steps(t->train));
    json_str(&t->line, "family", str_of(info.family));
    json_int(&t->line, "params", info.params);
    if (t->how.lora.rank) json_int(&t->line, "trained", llmws_train_params(t->train));
    json_int(&t->line, "batch_size", t->how.batch_size);
    json_int(&t->line, "grad_accum", t->how.grad_accum);
    json_int(&t->line, "seq_len", t->how.seq_len);
    json_int(&t->line, "planned_bytes", t->plan.total_bytes);
    return emit(t, e);
}

bool tell_progress(Training *t, const LlmwsTrainStep *s, Err *e) {
    int64_t now = now_ns();
    event_begin(&t->line, "train_progress");
    json_int(&t->line, "step", s->step);
    json_int(&t->line, "epoch", s->epoch);
    json_num(&t->line, "loss", s->loss);
    json_num(&t->line, "lr", s->lr);
    json_num(&t->line, "grad_norm", s->grad_norm);
    json_int(&t->line, "labels", s->labels);
    json_num(&t->line, "tok_s", round((double)t->tokens * 1e10 / (double)MAX(now - t->logged_ns, 1)) / 10);
    json_int(&t->line, "mem_bytes", memory_now());
    t->logged_ns = now;
    t->tokens = 0;
    return emit(t, e);
}

bool tell_eval(Training *t, const LlmwsTrainEval *v, double seconds, Err *e) {
    event_begin(&t->line, "train_eval");
    json_int(&t->line, "step", v->step);
    json_num(&t->line, "loss", v->loss);
    json_num(&t->line, "perplexity", exp(v->loss));
    json_int(&t->line, "tokens", v->tokens);
    json_int(&t->line, "labels", v->labels);
    json_bool(&t->line, "best", v->best);
    json_num(&t->line, "seconds", round(seconds * 1e3) / 1e3);
    return emit(t, e);
}

bool tell_saved(Training *t, int64_t step, Err *e) {
    event_begin(&t->line, "checkpoint_saved");
    json_int(&t->line, "step", step);
    if (llmws_train_best(t->train) >= 0) json_bool(&t->line, "best", step == llmws_train_best(t->train));
    json_str(&t->line, "path", str_of(run_checkpoint(&t->arena, t->run.dir, step)));
    return emit(t, e);
}

/* Behind what the last checkpoint knows of: going on cuts it off. */
bool tell_stopped(Training *t, const char *why, Err *e) {
    event_begin(&t->line, "train_stopped");
    json_int(&t->line, "step", llmws_train_at(t->train));
    json_str(&t->line, "why", str_of(why));
    return emit(t, e);
}

static void put_samples(Training *t) {
    LlmwsTrainSamples s;
    llmws_train_samples(t->train, &s);
    json_int(&t->line, "samples", s.used);
    json_int(&t->line, "truncated", s.truncated);
    json_int(&t->line, "unlearned", s.unlearned);
    json_int(&t->line, "bad_lines", s.bad);
}

bool tell_done(Training *t, Err *e) {
    event_begin(&t->line, "train_done");
    json_int(&t->line, "step", llmws_train_at(t->train));
    if (llmws_train_best(t->train) >= 0) json_int(&t->line, "best", llmws_train_best(t->train));
    put_samples(t);
    json_num(&t->line, "seconds", round((double)(now_ns() - t->start_ns) / 1e6) / 1e3);
    return emit(t, e);
}
