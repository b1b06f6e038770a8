/* llmws train: data to weights, in a directory that a killed run goes on from.
 *
 * A run begins by writing its weights, as f32 under Hugging Face's names, as checkpoints/step-0, and trains what it
 * reads from there: so does a run that goes on, from its last checkpoint. Where the weights once came from, and how
 * that file laid them out, makes no difference later. */
#include "cmd/train.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "cmd/json_out.h"
#include "cmd/train_run.h"
#include "formats/formats.h"
#include "formats/json.h"

typedef struct Training {
    TrainOpts o;
    Ui ui;
    const char *base; /* the model that a run begins with */
    OptList data;
    LlmwsTrainOptions how;
    LlmwsModel *model;
    LlmwsTrain *train;
    LlmwsPlan plan;
    Run run;
    int64_t start, saved;                        /* steps: where this process began, the last checkpoint */
    int64_t start_ns, logged_ns, tokens, logged; /* since the last event */
    double last_loss;
    Buf line;
    Progress progress;
    Arena arena;
} Training;

/* ---- events ---- */

static bool emit(Training *t, Err *e) {
    bool ok = run_event(&t->run, &t->line, e) && (!t->ui.json || out_write(buf_view(&t->line), e));
    buf_clear(&t->line);
    return ok;
}

static bool event_started(Training *t, Err *e) {
    LlmwsModelInfo info;
    llmws_model_info(t->model, &info);
    event_begin(&t->line, t->start ? "train_resumed" : "train_started");
    json_int(&t->line, "step", t->start);
    json_int(&t->line, "steps", llmws_train_steps(t->train));
    json_str(&t->line, "family", str_of(info.family));
    json_int(&t->line, "params", info.params);
    json_int(&t->line, "batch_size", t->how.batch_size);
    json_int(&t->line, "grad_accum", t->how.grad_accum);
    json_int(&t->line, "seq_len", t->how.seq_len);
    json_int(&t->line, "planned_bytes", t->plan.total_bytes);
    event_end(&t->line);
    return emit(t, e);
}

static bool event_progress(Training *t, const LlmwsTrainStep *s, Err *e) {
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
    event_end(&t->line);
    t->logged_ns = now;
    t->tokens = 0;
    return emit(t, e);
}

static bool event_saved(Training *t, int64_t step, Err *e) {
    event_begin(&t->line, "checkpoint_saved");
    json_int(&t->line, "step", step);
    json_str(&t->line, "path", str_of(run_checkpoint(&t->arena, t->run.dir, step)));
    event_end(&t->line);
    return emit(t, e);
}

static bool event_done(Training *t, Err *e) {
    event_begin(&t->line, "train_done");
    json_int(&t->line, "step", llmws_train_at(t->train));
    json_num(&t->line, "seconds", round((double)(now_ns() - t->start_ns) / 1e6) / 1e3);
    event_end(&t->line);
    return emit(t, e);
}

/* ---- run.json ---- */

static void put_machine(Buf *b) {
    struct utsname u;
    json_key(b, "machine");
    buf_char(b, '{');
    if (uname(&u) == 0) {
        json_str(b, "system", str_of(u.sysname));
        json_str(b, "release", str_of(u.release));
        json_str(b, "cpu", str_of(u.machine));
    }
    buf_char(b, '}');
}

static bool put_files(Training *t, Buf *b, Err *e) {
    json_key(b, "files");
    buf_char(b, '[');
    LlmwsTrainFile f;
    for (size_t i = 0;; i++) {
        TRY(llmws_train_file(t->train, i, &f, e));
        if (!f.path) break;
        if (i) buf_char(b, ',');
        buf_char(b, '{');
        json_str(b, "path", str_of(f.path));
        json_int(b, "bytes", f.bytes);
        json_str(b, "sha256", str_of(f.sha256));
        buf_char(b, '}');
    }
    buf_char(b, ']');
    return true;
}

static bool write_run(Training *t, Err *e) {
    Buf b = {0};
    buf_char(&b, '{');
    json_str(&b, "llmws", str_of(llmws_version()));
    json_str(&b, "model", str_of(t->base));
    json_key(&b, "data");
    buf_char(&b, '[');
    for (size_t i = 0; i < t->data.n; i++) {
        if (i) buf_char(&b, ',');
        json_put_str(&b, str_of(t->data.items[i]));
    }
    buf_char(&b, ']');
    json_key(&b, "options");
    buf_char(&b, '{');
    t->o.steps = llmws_train_steps(t->train);
    train_opts_put(&t->o, &b);
    buf_char(&b, '}');
    bool ok = put_files(t, &b, e);
    json_str(&b, "isa", str_of(t->plan.isa));
    json_int(&b, "threads", t->plan.threads);
    put_machine(&b);
    buf_str(&b, "}\n");
    ok = ok && write_text_file(t->run.json, buf_view(&b), e);
    buf_release(&b);
    return ok;
}

static bool same_data(const Training *t, const Value *stored) {
    bool same = stored->array.n == t->data.n;
    for (size_t i = 0; same && i < t->data.n; i++)
        same = stored->array.items[i].kind == VALUE_STR && str_is(stored->array.items[i].s, t->data.items[i]);
    return same;
}

/* What run.json says, over what the command line does not; what both say must be the same. */
static bool read_run(Training *t, Err *e) {
    Buf text = {0};
    Value v;
    bool ok = read_text(t->run.json, &text, e) && json_parse(buf_view(&text), t->run.json, &t->arena, &v, e);
    buf_release(&text);
    if (!ok) return false;
    const Value *model = value_get(&v, "model"), *data = value_get(&v, "data"), *options = value_get(&v, "options"),
                *isa = value_get(&v, "isa");
    if (!model || model->kind != VALUE_STR || !data || data->kind != VALUE_ARRAY || !options ||
        options->kind != VALUE_OBJECT || !isa || isa->kind != VALUE_STR)
        return err_set(e, ERR_INPUT, "cannot use '%s': it is no run's description", t->run.json);
    TRY(train_opts_resolve(&t->o, options, &t->arena, e));
    if (t->o.run.model && !str_is(model->s, t->o.run.model))
        return err_set(e, ERR_USAGE, "--model: the run '%s' began with '%.*s'; leave it out with --resume", t->o.out,
                       STR_ARG(model->s));
    if (t->data.n && !same_data(t, data))
        return err_set(e, ERR_USAGE, "the run '%s' began with other data; leave them out with --resume", t->o.out);
    t->base = arena_strn(&t->arena, model->s.s, model->s.n);
    t->data = (OptList){ARENA_NEW(&t->arena, const char *, data->array.n), data->array.n};
    for (size_t i = 0; i < data->array.n; i++) {
        Value item = value_item(data, i);
        if (item.kind != VALUE_STR) return err_set(e, ERR_INPUT, "cannot use '%s': data", t->run.json);
        t->data.items[i] = arena_strn(&t->arena, item.s.s, item.s.n);
    }
    return true;
}

/* ---- options ---- */

static bool fresh_options(Training *t, Err *e) {
    if (t->o.steps != OPT_UNSET && !isnan(t->o.epochs))
        return err_set(e, ERR_USAGE, "--steps and --epochs are both given; give one");
    TRY(train_opts_resolve(&t->o, NULL, &t->arena, e) && model_path(&t->o.run, &t->base, e));
    return true;
}

/* ---- without a run ---- */

static bool dry_run(Training *t, Err *e) {
    TRY(model_open(t->base, &t->ui, &t->model, e));
    return train_plan_show(&t->ui, t->model, &t->how, t->o.gpu_mem, e);
}

static bool preview(Training *t, Err *e) {
    char *text;
    TRY(model_open(t->base, &t->ui, &t->model, e) && llmws_train_preview(t->model, &t->how, t->o.preview, &text, e));
    put_inert(&t->line, str_of(text), true);
    free(text);
    return out_flush(&t->line, e);
}

/* ---- the run ---- */

static const char *checkpoint(Training *t, int64_t step) { return run_checkpoint(&t->arena, t->run.dir, step); }

/* The weights that a run begins with, and the model that it trains. */
static bool begin(Training *t, Err *e) {
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
    return write_run(t, e) && run_truncate(&t->run, 0, e) && event_started(t, e) && event_saved(t, 0, e);
}

static bool go_on(Training *t, Err *e) {
    int64_t mark = 0;
    t->start = t->saved = run_last(t->run.dir);
    if (t->start <= 0) return t->start = t->saved = 0, begin(t, e);
    const char *last = checkpoint(t, t->start);
    TRY(model_open(last, &t->ui, &t->model, e));
    t->train = llmws_train_open(t->model, &t->how, e);
    if (!t->train) return false;
    llmws_train_plan(t->train, &t->plan);
    TRY(llmws_train_load(t->train, last, &mark, e) && run_truncate(&t->run, mark, e) && event_saved(t, t->start, e));
    return llmws_train_at(t->train) == llmws_train_steps(t->train) || event_started(t, e);
}

static bool save(Training *t, Err *e) {
    int64_t step = llmws_train_at(t->train);
    if (step == t->saved) return true;
    TRY(run_sync(&t->run, e) && llmws_train_save(t->train, checkpoint(t, step), t->run.length, e));
    t->saved = step;
    run_prune(&t->run, t->o.keep);
    return event_saved(t, step, e);
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
    if (s.step % t->o.log_every == 0 || end) TRY(event_progress(t, &s, e));
    return (end || (t->o.save_every && s.step % t->o.save_every == 0)) ? save(t, e) : true;
}

static bool run_all(Training *t, Err *e) {
    t->start_ns = t->logged_ns = now_ns();
    t->progress = (Progress){.ui = &t->ui};
    while (llmws_train_at(t->train) < llmws_train_steps(t->train)) {
        if (stop_signal()) return save(t, e) && err_set(e, ERR_INTERRUPT, "interrupted");
        TRY(update(t, e));
    }
    return save(t, e) && event_done(t, e);
}

static bool report(Training *t, Err *e) {
    progress_clear();
    if (t->ui.json) return true;
    buf_printf(&t->line, "step %" PRId64, llmws_train_at(t->train));
    if (llmws_train_at(t->train) > t->start) buf_printf(&t->line, ", loss %.4f", t->last_loss);
    buf_str(&t->line, ": ");
    put_inert(&t->line, str_of(checkpoint(t, t->saved)), false);
    buf_char(&t->line, '\n');
    return out_flush(&t->line, e);
}

static bool in_run(Training *t, Err *e) {
    if (!t->o.out) return err_set(e, ERR_USAGE, "no directory for the run: give -o RUN");
    TRY(run_open(&t->run, t->o.out, e));
    if (!t->run.begun && t->o.resume && !t->data.n)
        return err_set(e, ERR_INPUT, "'%s' holds no run to go on with; name data and a model to begin one", t->o.out);
    if (t->run.begun && !t->o.resume)
        return err_set(e, ERR_USAGE, "'%s' holds a run: go on with --resume, or give another -o", t->o.out);
    TRY((t->run.begun ? read_run(t, e) : fresh_options(t, e)) && train_how(&t->o, &t->data, &t->how, e));
    if (!t->data.n) return err_set(e, ERR_USAGE, "no data: name .jsonl or .txt files, or folders");
    stop_remember(true);
    TRY(t->run.begun ? go_on(t, e) : begin(t, e));
    plan_rows_note(&t->ui, &t->plan);
    return run_all(t, e) && report(t, e);
}

static bool train_run(const void *opts, Err *e) {
    Training t = {.o = *(const TrainOpts *)opts, .run = {.lock = -1, .events = -1}};
    bool ok, plain = t.o.dry_run || t.o.preview != OPT_UNSET;
    t.ui = ui_of(&t.o.run);
    t.data = t.o.run.args;
    if (t.o.gpu_mem && !t.o.dry_run) return err_set(e, ERR_USAGE, "--gpu-mem goes with --dry-run");
    if (plain && t.o.resume)
        return err_set(e, ERR_USAGE, "--resume goes on with a run; leave out --dry-run and --preview");
    if (!plain)
        ok = in_run(&t, e);
    else
        ok = fresh_options(&t, e) && train_how(&t.o, &t.data, &t.how, e) &&
             (t.o.dry_run ? dry_run(&t, e) : preview(&t, e));
    progress_clear();
    llmws_train_close(t.train);
    llmws_model_close(t.model);
    run_close(&t.run);
    buf_release(&t.line);
    arena_release(&t.arena);
    return ok;
}

static const Example examples[] = {
    {"Teach a model conversations or texts:",
     "llmws train chats.jsonl -m model -o tuned --lr 1e-4 --steps 20 --batch-size 4 --seq-len 512"},
    {"What that would take:", "llmws train chats.jsonl -m model --batch-size 4 --seq-len 512 --dry-run"},
    {"What the model will see:", "llmws train chats.jsonl -m model --preview 3"},
    {"Go on after a crash, a kill or Ctrl-C:", "llmws train --resume -o tuned"},
    {"With what was learned:", "llmws generate -m tuned/checkpoints/step-20 -p Hello -n 16"},
    {NULL, NULL},
};

const Cmd cmd_train = {
    .name = "train",
    .summary = "teach a model from text and conversations",
    .usage = "DATA... -m MODEL -o RUN [OPTION]...",
    .about =
        "Trains all weights of a model on JSONL files, texts or folders of them. Lines are {\"text\"}, "
        "{\"prompt\",\"completion\"}, {\"messages\"} or {\"ids\",\"labels\"}; the loss is on completions and answers. "
        "RUN holds run.json, events.jsonl and checkpoints/step-N, each a Hugging Face directory that every command "
        "reads. A run that was killed at any moment goes on with --resume and ends with the very weights of one that "
        "was not. Ctrl-C saves a checkpoint and ends; a second one ends at once. A loss that is no number stops the "
        "run before it reaches the weights, and names the lines.",
    .tables = train_tables,
    .examples = examples,
    .opts_size = sizeof(TrainOpts),
    .max_args = 1 << 20,
    .run = train_run,
};
