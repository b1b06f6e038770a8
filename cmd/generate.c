/* llmws generate: text goes on from a prompt. */
#include <stdlib.h>
#include <unistd.h>

#include "cmd/generate.h"
#include "cmd/generate_batch.h"
#include "cmd/generate_prompt.h"
#include "cmd/json_out.h"
#include "cmd/prompt_cache.h"

#define AT(field) .at = offsetof(GenerateOpts, field)

static const OptRow prompt_rows[] = {
    {.name = "prompt", .letter = 'p', .kind = OPT_TEXT, .arg = "TEXT", AT(prompt), .help = "the text to go on from"},
    {.name = "file",
     .letter = 'f',
     .kind = OPT_TEXT,
     .arg = "FILE",
     AT(file),
     .help = "the prompt stands in FILE, to the last byte; - is stdin; follows -p where both are given. "
             "Without -p, -f and --ids a piped stdin is the prompt"},
    {.name = "ids",
     .kind = OPT_TEXT,
     .arg = "1,2,3|@FILE",
     AT(ids),
     .help = "token ids instead of text; nothing is added to them"},
    {.name = "chat",
     .kind = OPT_FLAG,
     AT(chat),
     .help = "the prompt is what a user says, the answer what the model replies: through its chat template"},
    {.name = "raw", .kind = OPT_FLAG, AT(raw), .help = "the prompt as it is, without a chat template (the default)"},
    {.name = "prompt-cache",
     .kind = OPT_TEXT,
     .arg = "FILE",
     AT(cache),
     .help = "keep the computed prompt in FILE; a later prompt that begins alike goes on from it"},
    {.name = "echo", .kind = OPT_FLAG, AT(echo), .help = "print the prompt before the answer"},
};

static const OptRow batch_rows[] = {
    {.name = "batch",
     .kind = OPT_TEXT,
     .arg = "FILE.jsonl",
     AT(batch),
     .help = "many prompts: every line of FILE (- is stdin) is an object with \"prompt\", \"messages\" or \"ids\", and "
             "\"id\", \"tools\" and options of answers and sampling by their names (a grammar or schema is the thing "
             "itself, not a file). Each gives a line of JSON, in the order of the input, with the very text that it "
             "gives alone; a line that cannot be answered gives {\"event\":\"error\",...}, and exit status 3 in the "
             "end"},
    {.name = "parallel",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 1,
     .hi = 4096,
     AT(parallel),
     .init = "16",
     .help = "lines of --batch at work at once; each has room for a whole context"},
};

const OptTable opts_prompt = {"Prompt", prompt_rows, COUNT_OF(prompt_rows)};
static const OptTable opts_batch = {"Batch", batch_rows, COUNT_OF(batch_rows)};
static const OptTable *const tables[] = {&opts_model,   &opts_prompt,  &opts_batch,  &opts_answer, &opts_sampling,
                                         &opts_capture, &opts_session, &opts_output, NULL};

typedef struct Generation { /* one run */
    const GenerateOpts *o;
    const AnswerOpts *how;
    Ui ui;
    LlmwsModel *model;
    LlmwsTokenizer *tok;
    LlmwsSession *session;
    Answer answer;
    Capture capture;
    Rules rules;
    int64_t vocab;
    Ids prompt;
    Buf text; /* the prompt's */
    PromptCache cache;
    LineFile lines; /* of --batch */
} Generation;

/* ---- what to start from ---- */

static bool prompt_text(Generation *g, Err *e) {
    const GenerateOpts *o = g->o;
    if (o->ids && (o->prompt || o->file))
        return err_set(e, ERR_USAGE, "--ids and a text are both given; a prompt is one or the other");
    if (o->ids) return ids_parse(o->ids, &g->prompt, e);
    if (o->prompt) buf_str(&g->text, o->prompt);
    if (o->file) return read_text(o->file, &g->text, e);
    if (o->prompt) return true;
    if (isatty(STDIN_FILENO)) return err_set(e, ERR_USAGE, "no prompt: give -p TEXT or -f FILE, or pipe text in");
    TRY(read_text("-", &g->text, e));
    return g->text.n || err_set(e, ERR_USAGE, "no prompt: standard input is empty; give -p TEXT or -f FILE");
}

static bool prompt_ids(Generation *g, Err *e) {
    Buf said = g->text, system = {0};
    if (g->o->ids) return ids_check(&g->prompt, g->vocab, e);
    if (!utf8_valid(buf_view(&said))) ui_warn(&g->ui, "the prompt is not valid UTF-8; broken parts become U+FFFD");
    g->text = (Buf){0}; /* becomes what the template makes of it */
    bool ok = answer_system(g->how, &system, e) &&
              prompt_make(&(PromptFrom){.text = buf_view(&said), .system = buf_view(&system), .chat = g->o->chat},
                          g->tok, &g->prompt, &g->text, e);
    buf_release(&said);
    buf_release(&system);
    return ok;
}

/* ---- the run ---- */

static bool show_prompt(Generation *g, Err *e) {
    if (!g->o->echo) return true;
    if (g->o->ids && g->tok) {
        size_t n;
        char *text = llmws_detokenize(g->tok, g->prompt.v, g->prompt.n, LLMWS_TEXT_SPECIAL | LLMWS_TEXT_BEGINS, &n, e);
        if (!text) return false;
        buf_put(&g->text, text, n);
        free(text);
    }
    if (!g->ui.json) return answer_show_text(&g->answer, buf_view(&g->text), e);
    Buf line = {0};
    event_begin(&line, "prompt");
    json_str(&line, "text", buf_view(&g->text));
    json_ids(&line, "ids", g->prompt.v, g->prompt.n);
    event_end(&line);
    bool ok = out_flush(&line, e);
    buf_release(&line);
    return ok;
}

/* The lines are the prompts, and their results the output. */
static bool batch_check(const GenerateOpts *o, Err *e) {
    const char *other = o->prompt               ? "prompt"
                        : o->file               ? "file"
                        : o->ids                ? "ids"
                        : o->echo               ? "echo"
                        : o->cache              ? "prompt-cache"
                        : o->capture.patterns.n ? "capture"
                                                : NULL;
    return !o->batch || !other ||
           err_set(e, ERR_USAGE, "--batch and --%s are both given; leave --%s out", other, other);
}

static bool options_check(Generation *g, Err *e) {
    const GenerateOpts *o = g->o;
    const CaptureOpts *c = &o->capture;
    TRY(answer_check(g->how, e) && batch_check(o, e));
    if (o->chat && (o->raw || o->ids))
        return err_set(e, ERR_USAGE, "--chat and --%s are both given; a prompt is one or the other",
                       o->raw ? "raw" : "ids");
    if (g->how->system && !o->chat && !o->batch)
        return err_set(e, ERR_USAGE, "--system goes through the chat template; give --chat too");
    if (!c->patterns.n != !c->out)
        return err_set(e, ERR_USAGE,
                       c->out ? "-o is where --capture writes; give --capture PATTERN too"
                              : "--capture needs a file to write; give -o OUT.safetensors too");
    if (c->patterns.n && o->cache)
        return err_set(e, ERR_USAGE, "--capture sees only what is computed; leave --prompt-cache out");
    g->cache.path = o->cache;
    return true;
}

static bool session_open(Generation *g, LlmwsSessionOptions *so, Err *e) {
    LlmwsPlan plan;
    TRY(rules_parse(&g->o->capture.rules, (int64_t)g->prompt.n, INT32_MAX, &g->rules, e));
    so->patches = g->rules.patches;
    so->n_patches = g->rules.n;
    if (!(g->o->echo && g->ui.out_tty)) so->progress = progress_show; /* the prompt's line stays as it is */
    so->progress_ctx = &g->answer.progress;
    stop_block(true); /* signals come to this thread, which may wait for lines */
    g->session = llmws_session_open(g->model, so, e);
    stop_block(false);
    if (!g->session) return false;
    TRY(capture_open(&g->capture, g->session, e));
    llmws_session_plan(g->session, &plan);
    capture_plan_row(&g->capture, &plan);
    g->answer.ctx = plan.ctx;
    g->answer.chunk = plan.chunk;
    plan_note(&g->ui, &plan);
    return true;
}

static bool generation_open(Generation *g, Err *e) {
    const char *path;
    LlmwsModelInfo info;
    LlmwsSessionOptions so = session_options(&g->how->sample.run);
    so.parallel = g->o->batch ? g->o->parallel : 0;
    TRY(options_check(g, e) && backend_check(&g->how->sample.run, e));
    TRY(capture_plan(&g->capture, &g->o->capture, &so, e));
    TRY(model_path(&g->how->sample.run, &path, e));
    TRY(g->o->batch ? line_file_open(&g->lines, g->o->batch, e) : prompt_text(g, e));
    int64_t memory = memory_now();
    TRY(model_open(path, &g->ui, &g->model, e));
    llmws_model_info(g->model, &info);
    g->vocab = info.vocab;
    g->tok = llmws_model_tokenizer(g->model, e);
    if (!g->tok) {
        if (!(g->o->ids || g->o->batch) || g->how->stop.n) return false;
        ui_warn(&g->ui, "%s; token ids are printed instead of text", e->msg);
    }
    TRY(sampling_take(&g->answer.sampling, &g->how->sample, &(SamplingFor){&g->ui, g->model, g->tok}, e));
    TRY(g->o->batch || prompt_ids(g, e));
    memory_phase_end(&g->ui, "load", memory);
    memory = memory_now();
    TRY(session_open(g, &so, e));
    sampling_show(&g->answer.sampling, &g->how->sample, g->model, &g->ui);
    memory_phase_end(&g->ui, "session", memory);
    g->answer.session = g->session;
    g->answer.model = g->model;
    g->answer.tok = g->tok;
    g->answer.vocab = g->vocab;
    if (g->o->batch) return true;
    TRY(prompt_fits(g->prompt.n, g->answer.ctx, e));
    g->answer.seq = llmws_seq_open(g->session, e);
    return g->answer.seq >= 0;
}

/* The prompt, of which the cache's file may hold a part, and the answer. */
static bool generate(Generation *g, Err *e) {
    Answer *a = &g->answer;
    TRY(answer_begin(a, e));
    TRY(prompt_cache_load(&g->cache, &g->ui, g->session, a->seq, &g->prompt, e));
    a->n_prompt = g->prompt.n;
    a->cached = g->cache.reused;
    if (a->think) think_prompt(&a->split, buf_view(&g->text));
    TRY(answer_prompt(a, g->prompt.v + a->cached, g->prompt.n - a->cached, e));
    if (!stop_signal()) TRY(prompt_cache_save(&g->cache, g->session, a->seq, e));
    return answer_run(a, e);
}

static bool generation_run(Generation *g, Err *e) {
    Answer *a = &g->answer;
    TRY(generation_open(g, e));
    TRY(show_prompt(g, e));
    int64_t memory = memory_now();
    stop_watch(g->session);
    bool ok = g->o->batch ? batch_run(&(BatchOf){a, &g->lines, (size_t)g->o->parallel, g->o->chat}, e) : generate(g, e);
    stop_watch(NULL);
    progress_clear();
    memory_phase_end(&g->ui, "generate", memory);
    ok = ok && capture_save(&g->capture, e);
    if (ok && !g->o->batch) answer_show_times(a);
    if (!ok && a->all.n && g->ui.out_tty) out_write(STR("\n"), NULL); /* the error gets a line of its own */
    return ok;
}

static bool generate_run(const void *opts, Err *e) {
    const GenerateOpts *o = opts;
    Generation g = {.o = o, .how = &o->answer, .ui = ui_of(opts)};
    g.answer = (Answer){.o = g.how,
                        .ui = &g.ui,
                        .capture = &g.capture,
                        .think = o->chat,
                        .count_cached = o->cache != NULL,
                        .progress.ui = &g.ui};
    bool ok = generation_run(&g, e);
    llmws_session_close(g.session);
    answer_release(&g.answer);
    capture_release(&g.capture);
    rules_release(&g.rules);
    llmws_model_close(g.model);
    ids_release(&g.prompt);
    buf_release(&g.text);
    line_file_release(&g.lines);
    return ok;
}

static const Example examples[] = {
    {"Go on from a sentence, always with the likeliest token:",
     "llmws generate -m model.gguf -p 'The capital of France is' -n 32 --temp 0"},
    {"A prompt from a pipe, the answer to a file:",
     "printf 'Once upon a time' | llmws generate -m model.gguf > story.txt"},
    {"Without the feed-forward part of one layer, and with what another one gives kept:",
     "llmws generate -m model.gguf -p Hello -n 16 --intervene 'model.layers.2.mlp = 0' --capture model.layers.1 "
     "-o layer.safetensors"},
    {"With a LoRA adapter beside the weights, its effect halved:",
     "llmws generate -m model.gguf -p Hello -n 16 --lora adapter:0.5"},
    {"JSON of a given form:",
     "llmws generate -m model.gguf -p 'A person as JSON: ' -n 80 "
     "--json-schema '{\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":20},\"age\":{\"type\":\"integer\"}},"
     "\"required\":[\"name\",\"age\"]}'"},
    {"A question to a model that was made for conversations:",
     "llmws generate -m model.gguf --chat -p 'Why is the sky blue?' --system 'Answer in one sentence.' -n 60"},
    {"Two prompts at once, each as a line of JSON, with what differs from the command line:",
     "printf '{\"id\":1,\"prompt\":\"Once\"}\\n{\"id\":2,\"prompt\":\"Twice\",\"seed\":3,\"max_tokens\":8}\\n' "
     "| llmws generate -m model.gguf --batch - -n 16 --temp 0.7 --seed 1"},
    {"Events for a program, reproducible:", "llmws generate -m model.gguf -f prompt.txt --seed 7 --json"},
    {NULL, NULL},
};

const Cmd cmd_generate = {
    .name = "generate",
    .summary = "go on from a prompt",
    .usage = "[-m MODEL] [-p TEXT | -f FILE | --ids 1,2,3] [OPTION]...",
    .about =
        "Writes what the model says after a prompt to stdout as it comes. Ctrl-C stops it cleanly. What the command "
        "line does not say "
        "about sampling comes from the model (generation_config.json, general.sampling.* in GGUF); -v shows what is in "
        "force and where it came from. With --batch every line is a prompt of its own, drawn from its own seed (that "
        "of "
        "the command line where it has none), so that neither its place nor the other lines change its answer.",
    .tables = tables,
    .examples = examples,
    .opts_size = sizeof(GenerateOpts),
    .run = generate_run,
};
