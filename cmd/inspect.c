/* llmws inspect: what a model is, what it would need, what its tokenizer and its graph do. */
#include "cmd/inspect.h"

#include <inttypes.h>
#include <stdio.h>

#include "cmd/json_out.h"
#include "formats/json.h"

#define AT(field) .at = offsetof(InspectOpts, field)

static const OptRow list_rows[] = {
    {.name = "tensors", .kind = OPT_FLAG, AT(tensors), .help = "every weight: name, dtype, shape, bytes"},
    {.name = "modules",
     .kind = OPT_FLAG,
     AT(modules),
     .help = "every named value of the graph, as --capture and --intervene know it"},
    {.name = "families",
     .kind = OPT_FLAG,
     AT(families),
     .help =
         "every family that is known: its names in files, formats, backends, its builtin model, what a LoRA adapter "
         "changes; no model needed"},
    {.name = "estimate",
     .kind = OPT_FLAG,
     AT(estimate),
     .help = "the memory that a run with these options reserves, to the byte"},
    {.name = "parallel",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 1,
     .hi = 1 << 16,
     AT(parallel),
     .init = "1",
     .help = "sequences at once, for --estimate"},
};

static const OptRow token_rows[] = {
    {.name = "tokenize",
     .kind = OPT_TEXT,
     .arg = "TEXT|@FILE",
     AT(tokenize),
     .help = "the ids of a text and where in it they stand; a directory or file that holds only a tokenizer is enough"},
    {.name = "no-special",
     .kind = OPT_FLAG,
     AT(no_special),
     .help = "text without the tokens that the model adds around it"},
    {.name = "detokenize", .kind = OPT_TEXT, .arg = "1,2,3|@FILE", AT(detokenize), .help = "the text of ids"},
    {.name = "template",
     .kind = OPT_TEXT,
     .arg = "MESSAGES.json|-",
     AT(template),
     .help = "the prompt that the model's chat template makes of a list of messages, or of an object {messages, tools, "
             "add_generation_prompt, ...}; special tokens are marked"},
};

static const OptRow pass_rows[] = {
    {.name = "ids",
     .kind = OPT_TEXT,
     .arg = "1,2,3|@FILE",
     AT(generate.ids),
     .help = "token ids to run once through the model"},
    {.name = "prompt",
     .letter = 'p',
     .kind = OPT_TEXT,
     .arg = "TEXT",
     AT(generate.prompt),
     .help = "text instead of ids"},
};

static const OptRow training_rows[] = {
    {.name = "runs",
     .kind = OPT_FLAG,
     AT(runs),
     .help = "the runs of training below a folder (default: .), newest first"},
    {.name = "status",
     .kind = OPT_TEXT,
     .arg = "RUN",
     AT(status),
     .help = "whether a run is running, dead or done, how far it is, and when it will end"},
    {.name = "run",
     .kind = OPT_TEXT,
     .arg = "RUN",
     AT(of_run),
     .help = "settings, data, results and the loss curve of a run; one that is running too"},
    {.name = "compare",
     .kind = OPT_LIST,
     .arg = "RUN",
     AT(compare),
     .help = "with further runs behind it: what differs in their settings, their results, their curves in one"},
    {.name = "svg", .kind = OPT_TEXT, .arg = "FILE", AT(svg), .help = "the curves of --run or --compare as a picture"},
};

static const OptTable opts_list = {"Lists", list_rows, COUNT_OF(list_rows)};
static const OptTable opts_token = {"Text and tokens", token_rows, COUNT_OF(token_rows)};
static const OptTable opts_pass = {"One forward pass", pass_rows, COUNT_OF(pass_rows)};
static const OptTable opts_training = {"Runs of training", training_rows, COUNT_OF(training_rows)};
const OptTable *const inspect_tables[] = {&opts_model,   &opts_list,    &opts_token,  &opts_pass, &opts_training,
                                          &opts_capture, &opts_session, &opts_output, NULL};
static const OptTable *const of_generate[] = {&opts_prompt, &opts_answer, &opts_sampling, NULL};

bool inspect_path(const RunOpts *o, const char **path, Err *e) {
    if (!o->args.n) return model_path(o, path, e);
    *path = o->args.items[0];
    return !o->model || err_set(e, ERR_USAGE, "two models: '%s' and -m '%s'; give one", *path, o->model);
}

/* ---- summary ---- */

typedef struct TokenizerFacts { /* `why` where there is none that can be read: shown, and no failure */
    const char *kind;
    bool template;
    Err why;
} TokenizerFacts;

static TokenizerFacts tokenizer_facts(LlmwsModel *m) {
    TokenizerFacts f = {0};
    const LlmwsTokenizer *t = llmws_model_tokenizer(m, &f.why);
    if (!t) return f;
    f.kind = llmws_tokenizer_kind(t);
    f.template = llmws_tokenizer_has_template(t);
    return f;
}

static void row(Buf *b, const char *label, const char *fmt, ...) PRINTF(3, 4);
static void row(Buf *b, const char *label, const char *fmt, ...) {
    Buf text = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    buf_printf(b, "  %-12s ", label);
    put_inert(b, buf_view(&text), false);
    buf_char(b, '\n');
    buf_release(&text);
}

static void summary_json(Buf *b, const LlmwsModelInfo *m, const TokenizerFacts *t) {
    event_begin(b, "model");
    json_str(b, "name", str_of(m->name ? m->name : ""));
    json_str(b, "family", str_of(m->family));
    json_str(b, "format", str_of(m->format));
    json_int(b, "files", m->files);
    json_str(b, "dtypes", str_of(m->dtypes));
    json_int(b, "params", m->params);
    json_int(b, "bytes", m->bytes);
    json_int(b, "layers", m->layers);
    json_int(b, "width", m->width);
    json_int(b, "ffn", m->ffn);
    if (m->experts) {
        json_int(b, "experts", m->experts);
        json_int(b, "experts_used", m->experts_used);
        json_int(b, "expert_ffn", m->expert_ffn);
    }
    json_int(b, "heads", m->heads);
    json_int(b, "kv_heads", m->kv_heads);
    json_int(b, "head_dim", m->head_dim);
    json_int(b, "vocab", m->vocab);
    json_int(b, "ctx", m->ctx);
    json_str(b, "rope", str_of(m->rope ? m->rope : ""));
    json_bool(b, "tied", m->tied);
    json_key(b, "tokenizer");
    if (t->kind)
        json_put_str(b, str_of(t->kind));
    else
        buf_str(b, "null");
    json_bool(b, "chat_template", t->template);
    event_end(b);
}

static void summary_text(Buf *b, const char *title, const LlmwsModelInfo *m, const TokenizerFacts *t, bool bold) {
    Buf size = {0}, count = {0};
    put_bytes(&size, m->bytes);
    put_count(&count, m->params);
    buf_str(b, bold ? "\033[1m" : "");
    put_inert(b, str_of(title), false);
    buf_str(b, bold ? "\033[0m\n" : "\n");
    row(b, "family", "%s", m->family);
    if (m->files > 1)
        row(b, "format", "%s, %" PRId64 " files", m->format, m->files);
    else
        row(b, "format", "%s", m->format);
    row(b, "parameters", "%s", count.s);
    row(b, "weights", "%s (%s)", size.s, m->dtypes);
    row(b, "layers", "%" PRId64, m->layers);
    row(b, "width", "%" PRId64 ", feed-forward %" PRId64, m->width, m->ffn);
    if (m->experts)
        row(b, "experts", "%" PRId64 ", of which a token meets %" PRId64 ", feed-forward %" PRId64 " each", m->experts,
            m->experts_used, m->expert_ffn);
    row(b, "heads", "%" PRId64 " of %" PRId64 ", %" PRId64 " for keys and values", m->heads, m->head_dim, m->kv_heads);
    row(b, "vocabulary", "%" PRId64, m->vocab);
    row(b, "context", "%" PRId64, m->ctx);
    row(b, "rope", "%s", m->rope ? m->rope : "none");
    row(b, "head", "%s", m->tied ? "tied to the embedding" : "its own weights");
    row(b, "tokenizer", "%s%s", t->kind ? t->kind : "none: ", t->why.msg);
    row(b, "template", "%s", t->template ? "yes" : "no");
    buf_release(&size);
    buf_release(&count);
}

static bool summary(Buf *b, const Ui *ui, const char *path, LlmwsModel *m, Err *e) {
    LlmwsModelInfo info;
    llmws_model_info(m, &info);
    TokenizerFacts tok = tokenizer_facts(m);
    if (!tok.kind && tok.why.code != ERR_INPUT) return *e = tok.why, false; /* nothing that the file is to blame for */
    if (ui->json)
        summary_json(b, &info, &tok);
    else
        summary_text(b, info.name && *info.name ? info.name : path, &info, &tok, ui->out_color);
    return true;
}

/* ---- lists ---- */

void shape_text(char out[96], const int64_t *dims, int n) {
    size_t at = (size_t)snprintf(out, 96, "[");
    for (int i = 0; i < n && at < 96; i++)
        at += (size_t)snprintf(out + at, 96 - at, i ? ",%" PRId64 : "%" PRId64, dims[i]);
    if (at < 96) snprintf(out + at, 96 - at, "]");
}

static void tensors(Buf *b, const Ui *ui, const LlmwsModel *m) {
    LlmwsTensorInfo t;
    int width = 0;
    size_t n = llmws_tensor_count(m);
    for (size_t i = 0; i < n; i++) {
        llmws_tensor_info(m, i, &t);
        width = MAX(width, (int)strlen(t.name));
    }
    for (size_t i = 0; i < n; i++) {
        char shape[96];
        llmws_tensor_info(m, i, &t);
        shape_text(shape, t.shape, t.ndim);
        if (ui->json) {
            event_begin(b, "tensor");
            json_str(b, "name", str_of(t.name));
            json_str(b, "file_name", str_of(t.file_name));
            json_str(b, "dtype", str_of(t.dtype));
            json_dims(b, "shape", t.shape, t.ndim);
            json_int(b, "bytes", t.bytes);
            event_end(b);
            continue;
        }
        Buf line = {0};
        buf_printf(&line, "%-*s  %-5s %-16s %12" PRId64, width, t.name, t.dtype, shape, t.bytes);
        if (strcmp(t.name, t.file_name) != 0) buf_printf(&line, "  %s", t.file_name);
        put_inert(b, buf_view(&line), false);
        buf_char(b, '\n');
        buf_release(&line);
    }
}

static void modules(Buf *b, const Ui *ui, LlmwsModel *m) {
    LlmwsModuleInfo x;
    int width = 0;
    size_t n = llmws_module_count(m);
    for (size_t i = 0; i < n; i++) {
        llmws_module_info(m, i, &x);
        width = MAX(width, (int)strlen(x.name));
    }
    for (size_t i = 0; i < n; i++) {
        llmws_module_info(m, i, &x);
        if (ui->json) {
            event_begin(b, "module");
            json_str(b, "name", str_of(x.name));
            json_str(b, "shape", str_of(x.shape));
            json_str(b, "op", str_of(x.op));
            event_end(b);
        } else {
            buf_printf(b, "%-*s  %-14s %s\n", width, x.name, x.shape, x.op);
        }
    }
}

/* ---- memory ---- */

static bool estimate(Buf *b, const InspectOpts *o, const Ui *ui, LlmwsModel *m, Err *e) {
    LlmwsSessionOptions so = session_options(&o->run);
    LlmwsPlan p;
    Err none;
    Capture c = {0};
    Rules rules = {0};
    Sampling sampling = {0};
    so.parallel = o->parallel;
    SamplingFor of = {ui, m, llmws_model_tokenizer(m, &none)}; /* their tables are part of what a run reserves */
    bool ok = backend_check(&o->run, e) && capture_plan(&c, &o->generate.capture, &so, e) &&
              sampling_take(&sampling, &o->generate.answer.sample, &of, e);
    if (ok) {
        ok = rules_parse(&o->generate.capture.rules, 1, INT32_MAX, &rules, e);
        so.patches = rules.patches;
        so.n_patches = rules.n;
        ok = ok && llmws_estimate(m, &so, &p, e);
        if (ok) capture_plan_row(&c, &p);
    }
    rules_release(&rules);
    capture_release(&c);
    sampling_release(&sampling);
    TRY(ok);
    if (ui->json) {
        event_begin(b, "estimate");
        json_key(b, "rows");
        buf_char(b, '{');
        for (size_t i = 0; i < p.n; i++) json_int(b, p.rows[i].name, p.rows[i].bytes);
        buf_char(b, '}');
        json_key(b, "devices");
        buf_char(b, '{');
        for (size_t i = 0; i < p.n; i++) json_str(b, p.rows[i].name, str_of(p.rows[i].device));
        buf_char(b, '}');
        json_int(b, "total_bytes", p.total_bytes);
        json_int(b, "ctx", p.ctx);
        json_int(b, "chunk", p.chunk);
        json_int(b, "parallel", p.parallel);
        json_int(b, "threads", p.threads);
        json_str(b, "isa", str_of(p.isa));
        json_str(b, "compute", str_of(p.compute));
        json_str(b, "kv_type", str_of(p.kv_type));
        event_end(b);
        return true;
    }
    buf_printf(b,
               "context %" PRId64 ", chunk %" PRId64 ", %" PRId64 " at once, %d threads, %s, compute %s, kv-type %s\n",
               p.ctx, p.chunk, p.parallel, p.threads, p.isa, p.compute, p.kv_type);
    for (size_t i = 0; i <= p.n; i++) {
        Buf size = {0};
        int64_t bytes = i < p.n ? p.rows[i].bytes : p.total_bytes;
        put_bytes(&size, bytes);
        buf_printf(b, "  %-12s %10s %16" PRId64 "\n", i < p.n ? p.rows[i].name : "total", size.s, bytes);
        buf_release(&size);
    }
    return true;
}

/* ---- the command ---- */

static bool is_pass(const InspectOpts *o) { return !o->estimate && (o->generate.ids || o->generate.prompt); }

static bool inspect_model(const InspectOpts *o, const Ui *ui, const char *path, LlmwsModel *m, Err *e) {
    bool pass = is_pass(o);
    Buf b = {0};
    if (o->tensors) tensors(&b, ui, m);
    if (o->modules) modules(&b, ui, m);
    bool list = o->tensors || o->modules || o->estimate || pass;
    bool ok = (list || summary(&b, ui, path, m, e)) && (!o->estimate || estimate(&b, o, ui, m, e)) && out_flush(&b, e);
    buf_release(&b);
    return ok && (!pass || inspect_capture(o, ui, m, e));
}

static bool inspect_check(const InspectOpts *o, Err *e) {
    const CaptureOpts *c = &o->generate.capture;
    const char *guest = opt_given(of_generate, inspect_tables, o);
    bool pass = is_pass(o);
    if (guest && !o->estimate)
        return err_set(e, ERR_USAGE, "--%s is an option of generate; here it goes with --estimate", guest);
    if (!pass && !o->estimate && (c->patterns.n || c->rules.n || c->out))
        return err_set(e, ERR_USAGE, "--capture, --intervene and -o belong to a forward pass: give --ids or -p too");
    if (pass && !c->patterns.n)
        return err_set(e, ERR_USAGE, "nothing to keep: give --capture PATTERN beside --ids or -p");
    if (o->generate.ids && o->generate.prompt)
        return err_set(e, ERR_USAGE, "--ids and -p are both given; a prompt is one or the other");
    return true;
}

/* *done: it was one of them. */
static bool inspect_training(const InspectOpts *o, const Ui *ui, bool *done, Err *e) {
    size_t views = (size_t)o->runs + (o->status != NULL) + (o->of_run != NULL) + (o->compare.n > 0);
    size_t words = o->compare.n ? SIZE_MAX : o->status || o->of_run ? 0 : 1;
    *done = views > 0;
    if (views > 1)
        return err_set(e, ERR_USAGE, "--runs, --status, --run and --compare are views of their own; give one");
    if (o->svg && !o->of_run && !o->compare.n) return err_set(e, ERR_USAGE, "--svg goes with --run or --compare");
    if (o->run.args.n > words)
        return err_set(e, ERR_USAGE, "unexpected argument '%s'; quote values that hold spaces",
                       o->run.args.items[words]);
    return o->compare.n ? inspect_compare(o, ui, e)
           : o->status  ? inspect_status(o, ui, e)
           : o->of_run  ? inspect_run_report(o, ui, e)
                        : !o->runs || inspect_runs(o, ui, e);
}

static bool inspect_run(const void *opts, Err *e) {
    const InspectOpts *o = opts;
    Ui ui = ui_of(&o->run);
    LlmwsModel *m;
    const char *path;
    bool done;
    TRY(inspect_training(o, &ui, &done, e));
    if (done) return true;
    if (o->families) return inspect_families(&ui, e);
    TRY(inspect_check(o, e));
    TRY(inspect_path(&o->run, &path, e));
    if (o->tokenize) return inspect_tokenize(o, path, e);
    if (o->detokenize) return inspect_detokenize(o, path, e);
    if (o->template) return inspect_template(o, &ui, path, e);
    TRY(model_open(path, &ui, &m, e));
    bool ok = inspect_model(o, &ui, path, m, e);
    llmws_model_close(m);
    return ok;
}

static const Example examples[] = {
    {"What is this model?", "llmws inspect model.gguf"},
    {"Will it fit with 32768 tokens of context?", "llmws inspect model.gguf --estimate -c 32768"},
    {"Will training it fit into a GPU's memory, and what would help?",
     "llmws inspect model --estimate --batch-size 8 --seq-len 1024 --gpu-mem 16G"},
    {"How is this text split?", "llmws inspect model.gguf --tokenize 'Hello, world'"},
    {"The prompt that the chat template makes of a conversation:", "llmws inspect model.gguf --template messages.json"},
    {"The logits of a prompt, for NumPy or PyTorch:",
     "llmws inspect model.gguf -p 'Hello' --capture lm_head -o logits.safetensors"},
    {"Which models can be read at all?", "llmws inspect --families"},
    {"How far is a training, and when will it end?", "llmws inspect --status run"},
    {"All runs below this folder:", "llmws inspect --runs"},
    {"What a run was told and what came of it, with its loss curve:", "llmws inspect --run run --svg loss.svg"},
    {"What a change of settings brought:", "llmws inspect --compare run run2"},
    {NULL, NULL},
};

const Cmd cmd_inspect = {
    .name = "inspect",
    .summary = "show what a model is, needs and computes",
    .usage = "MODEL [OPTION]... | --runs [DIR] | --status RUN | --run RUN | --compare RUN RUN...",
    .about =
        "Without options: family, sizes, dtypes, context and tokenizer of a model. --estimate takes every option of "
        "generate and speaks of that run; with any of train, it speaks of that training, with --arch that of a new "
        "model, whose vocab_size --config or --train-tokenizer says.",
    .tables = inspect_tables,
    .more = of_generate,
    .other = &inspect_estimate,
    .examples = examples,
    .opts_size = sizeof(InspectOpts),
    .max_args = 1 << 20,
    .run = inspect_run,
};
