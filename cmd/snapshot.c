/* llmws snapshot: a checkpoint of a run, or any model's directory, as one that is handed on. */
#include "cmd/run_opts.h"
#include "cmd/train_run.h"

typedef struct SnapshotOpts {
    RunOpts run;
    const char *out, *dtype, *max_shard;
} SnapshotOpts;

#define AT(field) .at = offsetof(SnapshotOpts, field)

static const OptRow rows[] = {
    {.name = "out", .letter = 'o', .kind = OPT_TEXT, .arg = "DIR", AT(out), .help = "directory to make"},
    {.name = "dtype",
     .kind = OPT_ENUM,
     .arg = "f32|f16|bf16",
     AT(dtype),
     .help = "of all weights; default: as they are, f32 in checkpoints"},
    {.name = "max-shard",
     .kind = OPT_TEXT,
     .arg = "SIZE",
     AT(max_shard),
     .init = "5G",
     .help = "largest file of weights, such as 500M; more are cut into several, with an index"},
};

static const OptTable opts_snapshot = {"Snapshot", rows, COUNT_OF(rows)};
static const OptTable *const tables[] = {&opts_snapshot, &opts_output, NULL};

static bool snapshot_run(const void *opts, Err *e) {
    const SnapshotOpts *o = opts;
    Ui ui = ui_of(&o->run);
    Arena a = {0};
    const char *path = NULL;
    LlmwsModel *m = NULL;
    size_t max_shard;
    if (!o->run.args.n) return err_set(e, ERR_USAGE, "nothing to make a snapshot of: name a run, RUN@STEP or a model");
    if (!o->out) return err_set(e, ERR_USAGE, "no directory for the snapshot: give -o DIR");
    TRY(parse_bytes(o->max_shard, "--max-shard", &max_shard, e));
    bool ok =
        run_find(o->run.args.items[0], &a, &path, e) && model_open(path ? path : o->run.args.items[0], &ui, &m, e);
    stop_remember(true);
    ok = ok && llmws_model_save_hf(m, o->out, o->dtype, (int64_t)max_shard, e);
    if (ok && path) ui_detail(&ui, "[snapshot] of %s", path);
    llmws_model_close(m);
    arena_release(&a);
    return ok;
}

static const Example examples[] = {
    {"The last checkpoint of a run, to be handed on in bf16:", "llmws snapshot run -o model-bf16 --dtype bf16"},
    {"An earlier one:", "llmws snapshot run@2 -o earlier"},
    {NULL, NULL},
};

const Cmd cmd_snapshot = {
    .name = "snapshot",
    .summary = "make a model's directory of a run's checkpoint",
    .usage = "RUN[@STEP]|MODEL -o DIR [OPTION]...",
    .about =
        "Writes model.safetensors (or shards with an index), config.json, and the tokenizer's and template's files, as "
        "transformers and every llmws command read them. DIR must not exist; it appears whole or not at all. A "
        "GGUF file becomes a directory by 'llmws convert'.",
    .tables = tables,
    .examples = examples,
    .opts_size = sizeof(SnapshotOpts),
    .max_args = 1,
    .run = snapshot_run,
};
