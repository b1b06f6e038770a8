/* llmws train: data to weights, in a directory that a killed run goes on from. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "cmd/training.h"
#include "formats/formats.h"
#include "formats/store.h"

/* ---- options ---- */

static bool fresh_options(Training *t, Err *e) {
    if (t->o.steps != OPT_UNSET && !isnan(t->o.epochs))
        return err_set(e, ERR_USAGE, "--steps and --epochs are both given; give one");
    TRY(train_opts_resolve(&t->o, NULL, &t->arena, e) && base_resolve(t, e));
    return true;
}

/* ---- without a run ---- */

static bool dry_run(Training *t, Err *e) {
    TRY(base_open(t, e));
    return train_plan_show(&t->ui, t->model, &t->how, t->o.gpu_mem, e);
}

static bool preview(Training *t, Err *e) {
    char *text;
    TRY(base_open(t, e) && llmws_train_preview(t->model, &t->how, t->o.preview, t->ui.json, &text, e));
    if (t->ui.json)
        buf_str(&t->line, text);
    else
        put_inert(&t->line, str_of(text), true);
    free(text);
    return out_flush(&t->line, e);
}

/* ---- the run ---- */

/* Nothing is cut without a word. */
static void warn_samples(const Training *t) {
    LlmwsTrainSamples s;
    llmws_train_samples(t->train, &s);
    if (s.truncated || s.unlearned || s.bad)
        ui_warn(&t->ui,
                "of %" PRId64 " samples %" PRId64 " lost their end; %" PRId64 " had nothing to learn within %" PRId64
                " tokens and %" PRId64 " lines were bad: these are left out",
                s.used + s.unlearned + s.bad, s.truncated, s.unlearned, t->how.seq_len, s.bad);
}

static bool report(Training *t, Err *e) {
    progress_clear();
    warn_samples(t);
    if (t->ui.json) return true;
    buf_printf(&t->line, "step %" PRId64, llmws_train_at(t->train));
    if (llmws_train_at(t->train) > t->start) buf_printf(&t->line, ", loss %.4f", t->last_loss);
    buf_str(&t->line, ": ");
    put_inert(&t->line, str_of(run_checkpoint(&t->arena, t->run.dir, t->saved)), false);
    buf_char(&t->line, '\n');
    return out_flush(&t->line, e);
}

static bool begun(Training *t) { return path_exists(store_join(&t->arena, t->o.out, "run.json")); }

/* Before anything is made: a word that is wrong leaves no directory behind. */
static bool check_start(Training *t, Err *e) {
    if (!t->o.out) return err_set(e, ERR_USAGE, "no directory for the run: give -o RUN");
    if (begun(t))
        return t->o.resume ||
               err_set(e, ERR_USAGE, "'%s' holds a run: go on with --resume, or give another -o", t->o.out);
    if (!t->data.n && t->o.resume)
        return err_set(e, ERR_INPUT, "'%s' holds no run to go on with; name data and a model to begin one", t->o.out);
    if (!t->data.n) return err_set(e, ERR_USAGE, "no data: name .jsonl or .txt files, or folders");
    return fresh_options(t, e) && train_how(&t->o, &t->data, &t->how, e);
}

static bool in_run(Training *t, Err *e) {
    TRY(check_start(t, e) && run_open(&t->run, t->o.out, e));
    if (t->run.begun) TRY(run_json_read(t, e) && train_how(&t->o, &t->data, &t->how, e));
    stop_remember(true);
    TRY(t->run.begun ? training_go_on(t, e) : training_begin(t, e));
    plan_rows_note(&t->ui, &t->plan);
    return training_run(t, e) && report(t, e);
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
    {"A new model of a family, with a tokenizer of its own:",
     "llmws train stories.txt --arch llama --config hidden_size=128,num_hidden_layers=4 --train-tokenizer 400 "
     "-o small --lr 1e-3 --steps 20 --batch-size 4"},
    {"Go on after a crash, a kill or Ctrl-C:", "llmws train --resume -o tuned"},
    {"An adapter beside the model, which may be quantised, and a part of the data to measure by:",
     "llmws train chats.jsonl -m model -o adapted --lora r=8,alpha=16 --lr 2e-4 --eval 0.2 --steps 20 --batch-size 4 "
     "--seq-len 512"},
    {"The adapter at work:", "llmws generate -m model --lora adapted/checkpoints/step-20 -p Hello -n 16"},
    {"With what was learned:", "llmws generate -m tuned/checkpoints/step-20 -p Hello -n 16"},
    {NULL, NULL},
};

const Cmd cmd_train = {
    .name = "train",
    .summary = "teach a model from text and conversations",
    .usage = "DATA... -m MODEL|--arch FAMILY -o RUN [OPTION]...",
    .about =
        "Trains a model on JSONL files, texts or folders of them, of which every 64 KiB of text are a sample. Lines "
        "are {\"text\"}, "
        "{\"prompt\",\"completion\"}, {\"messages\"} or {\"ids\",\"labels\"}; the loss is on completions and answers. "
        "With --lora an adapter is trained and the weights stay as they are. With --eval the loss of data that are not "
        "learned is measured on the way, and the checkpoint where it was lowest stays as checkpoints/best. "
        "RUN holds run.json, events.jsonl and checkpoints/step-N, each a Hugging Face directory that every command "
        "reads, or a PEFT directory for --lora. A run that was killed at any moment goes on with --resume and ends "
        "with the very weights of one that "
        "was not. Ctrl-C saves a checkpoint and ends; a second one ends at once. A loss that is no number stops the "
        "run before it reaches the weights, and names the lines. --arch begins with a new model of a family instead, "
        "its weights drawn by --seed: --config has the keys of a Hugging Face config.json, and what they leave out is "
        "derived: hidden_size 512, a layer and a head for 64 of it (smaller models have at least 4 heads), keys and "
        "values for every head, mlps of 8/3 of the width (4 times the width where there is no gate), 8 experts of "
        "which a token meets 2, vocab_size from the tokenizer, max_position_embeddings from --seq-len.",
    .tables = train_tables,
    .examples = examples,
    .opts_size = sizeof(TrainOpts),
    .max_args = 1 << 20,
    .run = train_run,
};
