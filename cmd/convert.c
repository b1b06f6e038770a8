/* llmws convert: a model in the other format, or in other dtypes. */
#include "cmd/convert.h"

#include <stdlib.h>

#include "backends/cpu/cpu.h"
#include "cmd/json_out.h"
#include "core/host.h"

#define AT(field) .at = offsetof(ConvertOpts, field)

static const OptRow convert_rows[] = {
    {.name = "output",
     .letter = 'o',
     .also = "out",
     .kind = OPT_TEXT,
     .arg = "FILE.gguf|DIR",
     AT(output),
     .help = "what to write: a GGUF file where the name ends in .gguf, else a Hugging Face directory"},
    {.name = "type",
     .also = "dtype",
     .kind = OPT_TEXT,
     .arg = "TYPE",
     AT(type),
     .help = "what the weights become: f32, f16, bf16; in GGUF also q8_0, q6_k, q5_k_m, q4_k_m, q4_0, ... as llama.cpp "
             "names its mixes; default: as they are"},
    {.name = "imatrix",
     .kind = OPT_TEXT,
     .arg = "FILE",
     AT(imatrix),
     .help =
         "importance matrix of llama.cpp's llama-imatrix (.dat or .gguf): quantising spares the columns that matter"},
    {.name = "lora",
     .kind = OPT_LIST,
     .arg = "DIR[:SCALE]",
     AT(lora),
     .help = "add an adapter to the weights (a PEFT directory or a GGUF adapter)"},
    {.name = "base",
     .kind = OPT_TEXT,
     .arg = "MODEL",
     AT(base),
     .help = "the model that an adapter given as IN belongs to; default: the path in its adapter_config.json"},
    {.name = "max-shard",
     .also = "max-shard-size",
     .kind = OPT_TEXT,
     .arg = "SIZE",
     AT(max_shard),
     .help = "most bytes of one .safetensors file of a directory; default: 5GB"},
    {.name = "pre",
     .kind = OPT_TEXT,
     .arg = "NAME",
     AT(pre),
     .help = "write this tokenizer.ggml.pre, for a tokenizer whose way to split text llmws has no name for"},
    {.name = "force", .letter = 'f', .kind = OPT_FLAG, AT(force), .help = "write into a directory that is not empty"},
    {.name = "allow-nan",
     .kind = OPT_FLAG,
     AT(allow_nan),
     .help = "take weights that are NaN, infinite or too large for the type; without it they are an error"},
};

static const OptTable opts_convert = {"Conversion", convert_rows, COUNT_OF(convert_rows)};
static const OptTable *const tables[] = {&opts_model, &opts_convert, &opts_threads, &opts_output, NULL};

/* ---- writing ---- */

static bool on_progress(void *ctx, int64_t done, int64_t total) {
    Job *j = ctx;
    progress_show(&j->progress, PHASE_CONVERT, done, total);
    return !stop_signal();
}

static void on_used(void *ctx, const void *bytes, size_t n) { tensor_file_forget(&((Job *)ctx)->m.file, bytes, n); }

static bool emit(void *ctx, const OutTensor *t, Sink to, Err *e) {
    Job *j = ctx;
    return convert_write(j->converter, (size_t)(t - j->outs), to, e);
}

/* The weights, and for a directory all that stands beside them first. */
static bool write_out(Job *j, Err *e) {
    const char *stage = NULL;
    if (j->to_gguf) return gguf_write(j->out, &j->x.meta, j->outs, j->x.n, e);
    TRY(dir_stage(j->out, &j->arena, &stage, e));
    const bool filled = hf_rest(j, stage, e) &&
                        safetensors_write_dir(stage, (int64_t)j->max_shard, j->outs, j->x.n, e) &&
                        (!stop_signal() || err_set(e, ERR_INTERRUPT, "interrupted"));
    return dir_replace(filled, stage, j->out, e);
}

static bool convert_all(Job *j, Err *e) {
    const ConvertSpec spec = {.threads = j->o->run.threads == OPT_UNSET ? host_cores() : (int)j->o->run.threads,
                              .allow_nonfinite = j->o->allow_nan,
                              .quantize = cpu_quantize_rows(NULL),
                              .used = on_used,
                              .progress = on_progress,
                              .ctx = j};
    for (size_t i = 0; i < j->x.n; i++) j->outs[i].emit = emit, j->outs[i].ctx = j;
    stop_block(true); /* signals are for this thread */
    bool ok = convert_open(j->tensors, j->x.n, &spec, &j->converter, e);
    stop_block(false);
    if (!ok) return false;
    j->progress = (Progress){.ui = &j->ui};
    on_progress(j, 0, j->bytes_after);
    ok = write_out(j, e);
    progress_clear();
    convert_close(j->converter);
    return ok;
}

/* ---- the report ---- */

static void count_types(const Job *j, size_t count[DT_COUNT]) {
    for (size_t i = 0; i < j->x.n; i++) count[j->outs[i].dtype]++;
}

static void report_json(const Job *j, Buf *b, double bits, double seconds) {
    size_t count[DT_COUNT] = {0};
    count_types(j, count);
    event_begin(b, "converted");
    json_str(b, "from", str_of(j->in));
    json_str(b, "path", str_of(j->out));
    json_int(b, "tensors", (int64_t)j->x.n);
    json_key(b, "types");
    buf_char(b, '{');
    for (int t = 0; t < DT_COUNT; t++)
        if (count[t]) json_int(b, dtype_info[t].name, (int64_t)count[t]);
    buf_char(b, '}');
    json_int(b, "params", j->m.params);
    json_int(b, "bytes_before", j->bytes_before);
    json_int(b, "bytes_after", j->bytes_after);
    json_num(b, "bits_per_weight", bits);
    if (j->imatrix.n) json_int(b, "without_importance", j->unimportant);
    json_num(b, "seconds", seconds);
    event_end(b);
}

static void report_text(const Job *j, Buf *b, double bits, double seconds) {
    size_t count[DT_COUNT] = {0};
    count_types(j, count);
    put_inert(b, str_of(j->out), false);
    buf_printf(b, ": %zu tensors, ", j->x.n);
    put_bytes(b, j->bytes_before);
    buf_str(b, " -> ");
    put_bytes(b, j->bytes_after);
    buf_printf(b, ", %.2f bits per weight, %.1f s\n", bits, seconds);
    for (int t = 0, first = 1; t < DT_COUNT; t++)
        if (count[t]) buf_printf(b, "%s%s %zu", first ? "  " : ", ", dtype_info[t].name, count[t]), first = 0;
    buf_char(b, '\n');
}

bool convert_report(const Job *j, Err *e) {
    Buf b = {0};
    double seconds = (double)(now_ns() - j->start_ns) * 1e-9;
    double bits = 8 * (double)j->bytes_after / (double)MAX(j->m.params, 1);
    if (j->ui.json)
        report_json(j, &b, bits, seconds);
    else if (!j->ui.quiet)
        report_text(j, &b, bits, seconds);
    bool ok = out_flush(&b, e);
    buf_release(&b);
    return ok;
}

/* ---- the command ---- */

static bool read_options(Job *j, Err *e) {
    const ConvertOpts *o = j->o;
    size_t n = o->output ? strlen(o->output) : 0;
    Buf names = {0};
    if (o->run.args.n > 1)
        return err_set(e, ERR_USAGE, "unexpected argument '%s'; what to write is given as -o %s", o->run.args.items[1],
                       o->run.args.items[1]);
    if (o->run.args.n && o->run.model)
        return err_set(e, ERR_USAGE, "two models: '%s' and -m '%s'; give one", o->run.args.items[0], o->run.model);
    if (o->run.args.n)
        j->in = o->run.args.items[0];
    else
        TRY(model_path(&o->run, &j->in, e));
    if (!n) return err_set(e, ERR_USAGE, "where to? name a .gguf file or a directory with -o");
    j->out = o->output;
    j->to_gguf = n > 5 && str_ends(str_of(j->out), ".gguf");
    j->mix = o->type ? mix_find(o->type) : NULL;
    if (o->type && !j->mix) {
        mix_names(&names);
        err_set(e, ERR_USAGE, "--type: '%s' is not known; known: %s", o->type, names.s);
        buf_release(&names);
        return false;
    }
    if (o->imatrix && (!j->mix || dtype_info[j->mix->base].class != DTC_QUANT))
        return err_set(e, ERR_USAGE, "--imatrix is for quantising: add a --type such as q4_k_m");
    if (o->max_shard && j->to_gguf) return err_set(e, ERR_USAGE, "--max-shard is for directories; a GGUF file is one");
    if (str_ends(str_of(j->out), ".safetensors"))
        return err_set(e, ERR_USAGE, "'%s': name a directory; its weights will be in model.safetensors", j->out);
    return parse_bytes(o->max_shard ? o->max_shard : "5GB", "--max-shard", &j->max_shard, e);
}

static bool open_model(Job *j, Err *e) {
    TensorFile f = {0};
    bool ok = tensor_file_open(j->in, &f, e) && model_init(&j->m, &f, (Log){ui_log, &j->ui}, e);
    if (!ok && e->code == ERR_INPUT) suggest_model(j->in, e);
    if (ok) j->bytes_before = j->m.bytes;
    return ok;
}

static bool convert_model(Job *j, Err *e) {
    if (j->o->base) return err_set(e, ERR_USAGE, "--base is for adapters, and '%s' is a model", j->in);
    TRY(open_model(j, e) && target_check(j, e));
    TRY(!j->o->imatrix || imatrix_open(j->o->imatrix, &j->imatrix, e));
    TRY(j->to_gguf ? export_gguf(&j->m, &j->x, e) : export_hf(&j->m, &j->x, e));
    TRY(plan_tensors(j, e) && plan_merges(j, e) && (!j->to_gguf || gguf_rest(j, e)));
    TRY(target_fits(j, j->bytes_after, e) && convert_all(j, e));
    return convert_report(j, e);
}

static bool convert_run(const void *opts, Err *e) {
    Job j = {.o = opts, .ui = ui_of(opts), .start_ns = now_ns()};
    int64_t memory = memory_now();
    stop_remember(true);
    bool ok = read_options(&j, e) && (adapter_is(j.in) ? convert_adapter(&j, e) : convert_model(&j, e));
    stop_remember(false);
    memory_phase_end(&j.ui, "convert", memory);
    arena_release(&j.x.arena);
    tok_spec_release(&j.tok);
    imatrix_release(&j.imatrix);
    model_release(&j.m);
    arena_release(&j.arena);
    return ok;
}

static const Example examples[] = {
    {"A directory from the hub as one quantised GGUF file:", "llmws convert model/ -o q4.gguf --type q4_k_m"},
    {"And back:", "llmws convert q4.gguf -o back/ --type bf16"},
    {"Quantised with what matters in mind:", "llmws convert model/ -o small.gguf --type iq4_nl --imatrix imatrix.dat"},
    {"With an adapter merged in, its effect halved:", "llmws convert model/ -o merged/ --lora adapter:0.5"},
    {"Random values in a family's shape, to measure speed with:",
     "llmws convert synthetic:qwen3:5M:q4_0 -o random.gguf"},
    {"An adapter for llama.cpp:", "llmws convert adapter/ -o adapter.gguf --base model/"},
    {NULL, NULL},
};

const Cmd cmd_convert = {
    .name = "convert",
    .summary = "write a model in another format or type",
    .usage = "IN -o OUT.gguf|DIR [OPTION]...",
    .about = "Turns Hugging Face directories into GGUF files and back, with tokenizer, chat templates and generation "
             "settings, and quantises on the way. Weights are read, converted by all threads and written a few rows at "
             "a time: memory does not grow with the model. Nothing appears under its final name before it is whole. "
             "What GGUF has no name for is kept under llmws.*, so that the way back gives the same files; norms of "
             "Gemma, of which GGUF holds 1 + w, come back rounded to 2^-23 of that.",
    .tables = tables,
    .examples = examples,
    .opts_size = sizeof(ConvertOpts),
    .max_args = 2,
    .run = convert_run,
};
