/* llmws snapshot: a checkpoint of a run, or any model's directory, as one that is handed on. */
#include "cmd/convert.h"
#include "cmd/json_out.h"
#include "cmd/train_run.h"
#include "formats/adapter.h"
#include "formats/dirs.h"
#include "formats/json.h"
#include "formats/store.h"

typedef struct SnapshotOpts {
    RunOpts run;
    const char *out, *dtype, *max_shard, *base;
    bool merge;
} SnapshotOpts;

#define AT(field) .at = offsetof(SnapshotOpts, field)

static const OptRow rows[] = {
    {.name = "out", .letter = 'o', .kind = OPT_TEXT, .arg = "DIR", AT(out), .help = "directory to make"},
    {.name = "merge-lora",
     .kind = OPT_FLAG,
     AT(merge),
     .help = "of an adapter: the whole model with the adapter added to its weights"},
    {.name = "base",
     .kind = OPT_TEXT,
     .arg = "MODEL",
     AT(base),
     .help = "with --merge-lora: where the model is that the adapter was trained on; default: where it was then"},
    {.name = "dtype",
     .kind = OPT_ENUM,
     .arg = "f32|f16|bf16",
     AT(dtype),
     .help =
         "of all weights; default: as they are, f32 in checkpoints, and with --merge-lora as in the base, f16 where "
         "that is quantised"},
    {.name = "max-shard",
     .kind = OPT_TEXT,
     .arg = "SIZE",
     AT(max_shard),
     .init = "5G",
     .help = "largest file of weights, such as 500M; more are cut into several, with an index"},
};

static const OptTable opts_snapshot = {"Snapshot", rows, COUNT_OF(rows)};
static const OptTable *const tables[] = {&opts_snapshot, &opts_output, NULL};

/* ---- adapters ---- */

/* Dense values of another type; in the arena. */
static const void *as_type(Arena *a, const Tensor *t, Dtype type) {
    const int64_t n = tensor_count(t), width = t->ne[1];
    float *wide = ARENA_NEW(a, float, n);
    for (int64_t r = 0; r < t->ne[0]; r++) dtype_info[t->dtype].decode(tensor_row(t, r), wide + r * width, width);
    void *data = arena_alloc(a, (size_t)n, (size_t)dtype_info[type].block_bytes);
    dtype_info[type].encode(wide, data, n);
    return data;
}

static bool write_adapter(const Adapter *x, const char *dir, const char *dtype, Arena *a, Err *e) {
    OutTensor *out = ARENA_NEW(a, OutTensor, x->file.n);
    for (size_t i = 0; i < x->file.n; i++) {
        const NamedTensor *from = &x->file.tensors[i];
        OutTensor *to = &out[i];
        *to = (OutTensor){.name = from->name.s, .dtype = from->t.dtype, .ndim = 2, .data = from->t.data};
        memcpy(to->ne, from->t.ne, sizeof to->ne);
        if (dtype) dtype_from_name(dtype, &to->dtype);
        if (to->dtype != from->t.dtype) to->data = as_type(a, &from->t, to->dtype);
    }
    return dir_copy_beside(x->path, dir, e) && adapter_write(dir, x->config_text, out, x->file.n, e);
}

static bool adapter_alone(const SnapshotOpts *o, const Adapter *x, Err *e) {
    Arena a = {0};
    const char *stage = NULL;
    const bool ok =
        dir_begin(o->out, &a, &stage, e) && dir_commit(write_adapter(x, stage, o->dtype, &a, e), stage, o->out, e);
    arena_release(&a);
    return ok;
}

/* The run that a checkpoint stands in knows which model it was: the same path may hold another one now. */
static bool check_base(const char *checkpoint, const char *base, const Ui *ui, Err *e) {
    Arena a = {0};
    Buf text = {0};
    Value v;
    Str want = {"", 0};
    char have[17];
    LlmwsModel *m = NULL;
    const char *path = store_join(&a, checkpoint, "../../run.json");
    bool ok = read_text(path, &text, e) && json_parse(buf_view(&text), path, &a, &v, e) &&
              value_as_str(value_get(&v, "fingerprint"), "fingerprint", &want, e) && model_open(base, ui, &m, e);
    if (ok) {
        model_print(m, have);
        ok = str_is(want, have) ||
             err_set(e, ERR_INPUT, "the model '%s' is not the one that '%s' was trained on", base, checkpoint);
    }
    llmws_model_close(m);
    buf_release(&text);
    arena_release(&a);
    return ok;
}

/* What llmws convert does with --lora. */
static bool merged(const SnapshotOpts *o, const Adapter *x, bool in_run, const Ui *ui, Err *e) {
    Arena a = {0};
    Str name = {"", 0};
    TRY(value_as_str(value_get(&x->config, "base_model_name_or_path"), "base_model_name_or_path", &name, e));
    const char *base = o->base ? o->base : arena_strn(&a, name.s, name.n);
    const char *adapters[] = {x->path}, *in[] = {base};
    ConvertOpts c = {
        .run = o->run, .output = o->out, .type = o->dtype, .max_shard = o->max_shard, .lora = {adapters, 1}};
    c.run.args = (OptList){in, 1};
    c.run.threads = OPT_UNSET;
    c.run.quiet = true, c.run.json = false; /* it has no result but the directory */
    bool ok = (model_exists(base) || err_set(e, ERR_INPUT,
                                             "the model '%s', to which the adapter '%s' belongs, is not "
                                             "here; give --base MODEL",
                                             base, x->path)) &&
              (!in_run || check_base(x->path, base, ui, e)) && cmd_convert.run(&c, e);
    arena_release(&a);
    return ok;
}

static bool snapshot_adapter(const SnapshotOpts *o, const char *path, bool in_run, const Ui *ui, Err *e) {
    Adapter x;
    TRY(adapter_open(path, &x, e));
    bool ok = x.format == STORE_HF ||
              err_set(e, ERR_INPUT, "'%s' is no PEFT directory; 'llmws convert' makes one of it", path);
    ok = ok && (o->merge ? merged(o, &x, in_run, ui, e) : adapter_alone(o, &x, e));
    adapter_close(&x);
    return ok;
}

/* ---- models ---- */

static bool snapshot_model(const SnapshotOpts *o, const char *path, size_t max_shard, const Ui *ui, Err *e) {
    LlmwsModel *m;
    if (o->merge) return err_set(e, ERR_USAGE, "--merge-lora: '%s' is no adapter", path);
    TRY(model_open(path, ui, &m, e));
    bool ok = llmws_model_save_hf(m, o->out, o->dtype, (int64_t)max_shard, e);
    llmws_model_close(m);
    return ok;
}

static bool tell(const SnapshotOpts *o, const char *from, Err *e) {
    Buf b = {0};
    event_begin(&b, "snapshot");
    json_str(&b, "path", str_of(o->out));
    json_str(&b, "from", str_of(from));
    json_str(&b, "kind", o->merge ? STR("merged") : adapter_is(from) ? STR("adapter") : STR("model"));
    event_end(&b);
    bool ok = out_flush(&b, e);
    buf_release(&b);
    return ok;
}

static bool snapshot_run(const void *opts, Err *e) {
    const SnapshotOpts *o = opts;
    Ui ui = ui_of(&o->run);
    Arena a = {0};
    const char *found = NULL;
    size_t max_shard;
    if (!o->run.args.n) return err_set(e, ERR_USAGE, "nothing to make a snapshot of: name a run, RUN@STEP or a model");
    if (!o->out) return err_set(e, ERR_USAGE, "no directory for the snapshot: give -o DIR");
    if (o->base && !o->merge) return err_set(e, ERR_USAGE, "--base goes with --merge-lora");
    TRY(parse_bytes(o->max_shard, "--max-shard", &max_shard, e));
    bool ok = run_find(o->run.args.items[0], &a, &found, e);
    const char *path = found ? found : o->run.args.items[0];
    stop_remember(true);
    ok = ok &&
         (adapter_is(path) ? snapshot_adapter(o, path, found, &ui, e) : snapshot_model(o, path, max_shard, &ui, e));
    if (ok && found) ui_detail(&ui, "[snapshot] of %s", found);
    ok = ok && (!ui.json || tell(o, path, e));
    arena_release(&a);
    return ok;
}

static const Example examples[] = {
    {"The last checkpoint of a run, to be handed on in bf16:", "llmws snapshot run -o model-bf16 --dtype bf16"},
    {"An earlier one, or the best by --eval:", "llmws snapshot run@2 -o earlier"},
    {"Of a run with --lora the adapter alone:", "llmws snapshot lora-run -o adapter-alone"},
    {"Or added to the model:", "llmws snapshot lora-run -o tuned-model --merge-lora"},
    {NULL, NULL},
};

const Cmd cmd_snapshot = {
    .name = "snapshot",
    .summary = "make a model's directory of a run's checkpoint",
    .usage = "RUN[@STEP|@best]|MODEL -o DIR [OPTION]...",
    .about =
        "Writes model.safetensors (or shards with an index), config.json, and the tokenizer's and template's files, as "
        "transformers and every llmws command read them. Of a run with --lora it writes adapter_model.safetensors and "
        "adapter_config.json, as PEFT and --lora read them, or with --merge-lora the model with the adapter in its "
        "weights. DIR must not exist; it appears whole or not at all. A GGUF file becomes a directory by 'llmws "
        "convert'.",
    .tables = tables,
    .examples = examples,
    .opts_size = sizeof(SnapshotOpts),
    .max_args = 1,
    .run = snapshot_run,
};
