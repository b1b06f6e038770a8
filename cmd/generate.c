/* llmws generate: text goes on from a prompt. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/generate.h"
#include "cmd/json_out.h"
#include "cmd/prompt_cache.h"
#include "tokenizer/stop.h"

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
    {.name = "raw", .kind = OPT_FLAG, AT(raw), .help = "the prompt as it is, without a chat template (the default)"},
    {.name = "max-tokens",
     .letter = 'n',
     .also = "n-predict,predict",
     .kind = OPT_INT,
     .arg = "N",
     .lo = -1,
     .hi = OPT_MAX,
     AT(max_tokens),
     .init = "-1",
     .help = "stop after N tokens; -1: when the model ends or the context is full"},
    {.name = "stop",
     .also = "reverse-prompt",
     .kind = OPT_LIST,
     .arg = "TEXT",
     AT(stop),
     .help = "end the answer before TEXT, which is not printed"},
    {.name = "logprobs",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 0,
     .hi = 1000,
     AT(logprobs),
     .init = "0",
     .help = "with --json: the N likeliest tokens at each place (of those that a grammar allows), before sampling "
             "changed anything"},
    {.name = "prompt-cache",
     .kind = OPT_TEXT,
     .arg = "FILE",
     AT(cache),
     .help = "keep the computed prompt in FILE; a later prompt that begins alike goes on from it"},
    {.name = "echo", .kind = OPT_FLAG, AT(echo), .help = "print the prompt before the answer"},
};

const OptTable opts_prompt = {"Prompt and answer", prompt_rows, COUNT_OF(prompt_rows)};
static const OptTable *const tables[] = {&opts_model,  &opts_prompt, &opts_sampling, &opts_capture, &opts_session,
                                         &opts_output, NULL};

typedef struct Generation { /* one run */
    const GenerateOpts *o;
    Ui ui;
    LlmwsModel *model;
    LlmwsTokenizer *tok; /* NULL: the model has none that is known; ids are printed instead of text */
    LlmwsSession *session;
    LlmwsDecoder *decoder;
    Sampling sampling;
    Capture capture;
    Rules rules;
    Progress progress;
    int seq;
    int64_t ctx, chunk, vocab;
    Ids prompt, answer;
    Buf text, all, line; /* the prompt's text; the answer's; one piece of output */
    PromptCache cache;
    StopHold stop;
    Buf piece;       /* what a token let through it */
    int32_t *likely; /* [logprobs] */
    float *masked;   /* [vocab] logits where a grammar bounds the answer */
    int64_t start_ns, prompt_ns, decode_ns, ttft_ns;
    int64_t decode_steps;
    const char *stop_reason;
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
    if (g->o->ids) return ids_check(&g->prompt, g->vocab, e);
    if (!utf8_valid(buf_view(&g->text))) ui_warn(&g->ui, "the prompt is not valid UTF-8; broken parts become U+FFFD");
    return ids_of_text(g->tok, buf_view(&g->text), LLMWS_TOK_ADD_SPECIAL | LLMWS_TOK_PARSE_SPECIAL, &g->prompt, e);
}

/* ---- what comes out ---- */

/* Text of the answer to stdout at once; a terminal gets no control characters but newline and tab. */
static bool show_text(Generation *g, Str text, Err *e) {
    if (g->ui.out_tty)
        put_inert(&g->line, text, true);
    else
        buf_put(&g->line, text.s, text.n);
    return out_flush(&g->line, e);
}

/* Of one token: log softmax. */
typedef struct LogProbs {
    const float *logits;
    double top, log_sum;
} LogProbs;

static LogProbs logprobs_of(const float *logits, int64_t n) {
    float top = logits[0];
    double sum = 0;
    for (int64_t i = 1; i < n; i++) top = MAX(top, logits[i]);
    for (int64_t i = 0; i < n; i++) sum += (double)expf(logits[i] - top);
    return (LogProbs){logits, (double)top, log(sum)};
}

/* The logits behind the last token; those that the grammar forbids are -inf. */
static const float *logits_now(Generation *g) {
    const float *logits = llmws_logits(g->session, g->seq);
    const uint64_t *allowed = g->sampling.how.allowed;
    if (!allowed) return logits;
    if (!g->masked) g->masked = mem_alloc((size_t)g->vocab, sizeof *g->masked);
    for (int64_t i = 0; i < g->vocab; i++) g->masked[i] = allowed[i >> 6] >> (i & 63) & 1 ? logits[i] : -INFINITY;
    return g->masked;
}

static double logprob(const LogProbs *p, int32_t id) {
    return round(((double)p->logits[id] - p->top - p->log_sum) * 1e6) / 1e6 + 0.0; /* no minus zero */
}

/* The n largest of all logits, best first, the lower id first among equals; fewer where fewer are possible. */
static int64_t likeliest(const float *logits, int64_t vocab, int32_t *ids, int64_t n) {
    int64_t found = 0;
    for (int32_t id = 0; id < vocab; id++) {
        int64_t at = found;
        if (logits[id] == -INFINITY) continue;
        if (found == n && logits[id] <= logits[ids[n - 1]]) continue;
        if (found == n) at--;
        for (; at > 0 && logits[ids[at - 1]] < logits[id]; at--) ids[at] = ids[at - 1];
        ids[at] = id;
        found = MIN(found + 1, n);
    }
    return found;
}

static bool put_likeliest(Generation *g, const LogProbs *p, Err *e) {
    int64_t n = MIN(g->o->logprobs, g->vocab);
    if (!n) return true;
    n = likeliest(p->logits, g->vocab, g->likely, n);
    json_key(&g->line, "top_logprobs");
    buf_char(&g->line, '[');
    for (int64_t i = 0; i < n; i++) {
        int32_t id = g->likely[i];
        size_t len = 0;
        char *text = g->tok && id < llmws_token_count(g->tok)
                         ? llmws_detokenize(g->tok, &id, 1, LLMWS_TEXT_SPECIAL, &len, e)
                         : NULL;
        buf_str(&g->line, i ? ",{" : "{");
        json_int(&g->line, "id", id);
        json_str(&g->line, "text", (Str){text ? text : "", len});
        json_num(&g->line, "logprob", logprob(p, id));
        buf_char(&g->line, '}');
        free(text);
    }
    buf_char(&g->line, ']');
    return true;
}

/* The text of the answer grows by what its decoder gave; returns the part that is no stop text. */
static Str take_text(Generation *g, Str text) {
    if (g->stop.n) {
        buf_clear(&g->piece);
        stop_push(&g->stop, text, &g->piece);
        text = buf_view(&g->piece);
    }
    buf_put(&g->all, text.s, text.n);
    return text;
}

static bool show_token(Generation *g, int32_t id, Err *e) {
    Str text = {"", 0};
    char number[16];
    if (g->tok) {
        text.s = llmws_decoder_push(g->decoder, id, &text.n);
        text = take_text(g, text);
    }
    if (g->ui.json) {
        LogProbs p = logprobs_of(logits_now(g), g->vocab);
        event_begin(&g->line, "token");
        json_int(&g->line, "id", id);
        json_str(&g->line, "text", text);
        json_num(&g->line, "logprob", logprob(&p, id));
        TRY(put_likeliest(g, &p, e));
        event_end(&g->line);
        return out_flush(&g->line, e);
    }
    if (!g->tok) {
        int n = snprintf(number, sizeof number, g->answer.n > 1 ? " %d" : "%d", (int)id);
        text = (Str){number, (size_t)n};
    }
    return text.n ? show_text(g, text, e) : true;
}

static bool show_prompt(Generation *g, Err *e) {
    if (!g->o->echo) return true;
    if (g->o->ids && g->tok) {
        size_t n;
        char *text = llmws_detokenize(g->tok, g->prompt.v, g->prompt.n, LLMWS_TEXT_SPECIAL | LLMWS_TEXT_BEGINS, &n, e);
        if (!text) return false;
        buf_put(&g->text, text, n);
        free(text);
    }
    if (!g->ui.json) return show_text(g, buf_view(&g->text), e);
    event_begin(&g->line, "prompt");
    json_str(&g->line, "text", buf_view(&g->text));
    json_ids(&g->line, "ids", g->prompt.v, g->prompt.n);
    event_end(&g->line);
    return out_flush(&g->line, e);
}

static double rounded(double x) { return round(x * 1000) / 1000; }

static double per_second(int64_t n, int64_t ns) {
    return n > 0 && ns > 0 ? rounded((double)n * 1e9 / (double)ns) : (double)NAN;
}

/* Tokens of the prompt that were computed: not those of the prompt cache, nor those after a signal. */
static int64_t prompt_done(const Generation *g) {
    return MIN((int64_t)g->prompt.n, llmws_seq_len(g->session, g->seq)) - (int64_t)g->cache.reused;
}

static double prompt_rate(const Generation *g) { return per_second(prompt_done(g), g->prompt_ns); }

/* What the decoder and the stop texts held back. */
static Str last_text(Generation *g) {
    Str rest = {"", 0};
    if (!g->tok || g->stop.hit) return rest;
    rest.s = llmws_decoder_flush(g->decoder, &rest.n);
    rest = take_text(g, rest);
    if (g->stop.hit) g->stop_reason = "stop";
    size_t shown = g->all.n - rest.n;
    if (!rest.n && !g->stop.held.n) return rest;
    stop_flush(&g->stop, &g->all);
    return (Str){g->all.s + shown, g->all.n - shown};
}

/* The rest of the text, then the end: a newline for a terminal, or the done event. */
static bool show_end(Generation *g, Err *e) {
    Str rest = last_text(g);
    if (!g->ui.json) {
        if (rest.n) TRY(show_text(g, rest, e));
        bool open_line = !g->all.n || g->all.s[g->all.n - 1] != '\n';
        return open_line && (g->ui.out_tty || !g->tok) ? out_write(STR("\n"), e) : true;
    }
    Buf *b = &g->line;
    event_begin(b, "done");
    json_str(b, "text", buf_view(&g->all));
    json_ids(b, "ids", g->answer.v, g->answer.n);
    json_int(b, "prompt_tokens", (int64_t)g->prompt.n);
    json_int(b, "completion_tokens", (int64_t)g->answer.n);
    json_str(b, "stop_reason", str_of(g->stop_reason));
    json_num(b, "prompt_tok_s", prompt_rate(g));
    json_num(b, "decode_tok_s", per_second(g->decode_steps, g->decode_ns));
    json_num(b, "ttft_ms", g->ttft_ns ? rounded((double)g->ttft_ns * 1e-6) : (double)NAN);
    if (g->cache.path) json_int(b, "cached_tokens", (int64_t)g->cache.reused);
    event_end(b);
    return out_flush(b, e);
}

static void put_rate(Buf *b, const char *what, size_t n, double rate) {
    buf_printf(b, "%s %zu token%s", what, n, n == 1 ? "" : "s");
    if (!isnan(rate)) buf_printf(b, " at %.1f tok/s", rate);
}

static void show_times(const Generation *g) {
    Buf b = {0};
    if (g->cache.reused) buf_printf(&b, "prompt cache %zu tokens, ", g->cache.reused);
    put_rate(&b, "prompt", (size_t)prompt_done(g), prompt_rate(g));
    put_rate(&b, ", answer", g->answer.n, per_second(g->decode_steps, g->decode_ns));
    if (g->ttft_ns) buf_printf(&b, ", first token after %.1f ms", (double)g->ttft_ns * 1e-6);
    ui_note(&g->ui, "[time] %s, ended by %s", b.s, g->stop_reason);
    buf_release(&b);
}

/* ---- the loop ---- */

/* Tokens through the model; where values are captured, in steps of which each is seen. */
static bool eval(Generation *g, const int32_t *ids, size_t n, Err *e) {
    size_t most = g->capture.patterns ? (size_t)g->chunk : n;
    g->progress.total = (int64_t)n;
    for (size_t at = 0; at < n; at += most) {
        size_t now = MIN(most, n - at);
        g->progress.before = (int64_t)at;
        TRY(llmws_eval(g->session, g->seq, ids + at, now, e) && capture_step(&g->capture, now, e));
    }
    return true;
}

/* A signal that cuts it short is no failure: ended() sees it. */
static bool step(Generation *g, const int32_t *ids, size_t n, Err *e) {
    return eval(g, ids, n, e) || (e->code == ERR_INTERRUPT && stop_signal());
}

/* Why there is no further token to draw; NULL: there is one. */
static const char *ended(const Generation *g) {
    if (stop_signal()) return "interrupt";
    if (g->sampling.bound && llmws_constraint_must_end(g->sampling.bound))
        return "eos"; /* it would be the only token */
    if (g->o->max_tokens >= 0 && (int64_t)g->answer.n >= g->o->max_tokens) return "length";
    if (g->answer.n && llmws_seq_len(g->session, g->seq) >= g->ctx) return "context";
    return NULL;
}

/* The id that ends an answer is no part of it. Times of output do not count as the model's. */
static bool decode(Generation *g, Err *e) {
    g->start_ns = now_ns();
    TRY(prompt_cache_load(&g->cache, &g->ui, g->session, g->seq, &g->prompt, e));
    TRY(step(g, g->prompt.v + g->cache.reused, g->prompt.n - g->cache.reused, e));
    g->prompt_ns = now_ns() - g->start_ns;
    if (!stop_signal()) TRY(prompt_cache_save(&g->cache, g->session, g->seq, e));
    while (!(g->stop_reason = ended(g))) {
        int32_t id;
        int64_t t = now_ns();
        if (g->answer.n) TRY(step(g, &g->answer.v[g->answer.n - 1], 1, e));
        if (stop_signal()) continue;
        TRY(sampling_allow(&g->sampling, e) && llmws_sample(g->session, g->seq, &g->sampling.how, &id, e));
        if (g->answer.n) {
            g->decode_ns += now_ns() - t;
            g->decode_steps++;
        } else {
            g->ttft_ns = g->prompt_ns + now_ns() - t;
        }
        if (!g->sampling.how.ignore_eos && llmws_token_ends(g->model, id)) {
            g->stop_reason = "eos";
            break;
        }
        ids_put(&g->answer, id);
        TRY(show_token(g, id, e) && sampling_accept(&g->sampling, id, e));
        if (g->stop.hit) {
            g->stop_reason = "stop";
            break;
        }
    }
    return true;
}

static bool output_check(Generation *g, Err *e) {
    const GenerateOpts *o = g->o;
    for (size_t i = 0; i < o->stop.n; i++)
        if (!o->stop.items[i][0] || !utf8_valid(str_of(o->stop.items[i])))
            return err_set(e, ERR_USAGE, "--stop: '%s' must be text, at least one character of UTF-8",
                           o->stop.items[i]);
    if (o->logprobs && !g->ui.json)
        return err_set(e, ERR_USAGE, "--logprobs belongs to the token events; give --json too");
    const CaptureOpts *c = &o->capture;
    if (!c->patterns.n != !c->out)
        return err_set(e, ERR_USAGE,
                       c->out ? "-o is where --capture writes; give --capture PATTERN too"
                              : "--capture needs a file to write; give -o OUT.safetensors too");
    if (c->patterns.n && o->cache)
        return err_set(e, ERR_USAGE, "--capture sees only what is computed; leave --prompt-cache out");
    g->stop = (StopHold){.texts = o->stop.items, .n = o->stop.n};
    g->cache.path = o->cache;
    g->likely = mem_alloc((size_t)o->logprobs + 1, sizeof *g->likely);
    return true;
}

static bool session_open(Generation *g, LlmwsSessionOptions *so, Err *e) {
    LlmwsPlan plan;
    TRY(rules_parse(&g->o->capture.rules, (int64_t)g->prompt.n, INT32_MAX, &g->rules, e));
    so->patches = g->rules.patches;
    so->n_patches = g->rules.n;
    if (!(g->o->echo && g->ui.out_tty)) so->progress = progress_show; /* the prompt's line stays as it is */
    so->progress_ctx = &g->progress;
    g->session = llmws_session_open(g->model, so, e);
    if (!g->session) return false;
    TRY(capture_open(&g->capture, g->session, e));
    llmws_session_plan(g->session, &plan);
    capture_plan_row(&g->capture, &plan);
    g->ctx = plan.ctx;
    g->chunk = plan.chunk;
    plan_note(&g->ui, &plan);
    return true;
}

static bool generation_open(Generation *g, Err *e) {
    const char *path;
    LlmwsModelInfo info;
    LlmwsSessionOptions so = session_options(&g->o->sample.run);
    TRY(output_check(g, e) && backend_check(&g->o->sample.run, e));
    TRY(capture_plan(&g->capture, &g->o->capture, &so, e));
    TRY(model_path(&g->o->sample.run, &path, e));
    TRY(prompt_text(g, e));
    int64_t memory = memory_now();
    TRY(model_open(path, &g->ui, &g->model, e));
    llmws_model_info(g->model, &info);
    g->vocab = info.vocab;
    g->tok = llmws_model_tokenizer(g->model, e);
    if (!g->tok) {
        if (!g->o->ids || g->o->stop.n) return false;
        ui_warn(&g->ui, "%s; token ids are printed instead of text", e->msg);
    }
    TRY(sampling_take(&g->sampling, &g->o->sample, &(SamplingFor){&g->ui, g->model, g->tok}, e));
    TRY(prompt_ids(g, e));
    memory_phase_end(&g->ui, "load", memory);
    memory = memory_now();
    TRY(session_open(g, &so, e));
    sampling_show(&g->sampling, &g->o->sample, g->model, &g->ui);
    memory_phase_end(&g->ui, "session", memory);
    if ((int64_t)g->prompt.n > g->ctx)
        return err_set(e, ERR_FIT, "the prompt does not fit: %zu tokens, the context holds %lld; give -c %zu or more",
                       g->prompt.n, (long long)g->ctx, g->prompt.n);
    g->seq = llmws_seq_open(g->session, e);
    return g->seq >= 0;
}

static bool generation_run(Generation *g, Err *e) {
    TRY(generation_open(g, e));
    TRY(show_prompt(g, e));
    if (g->tok) g->decoder = llmws_decoder_open(g->tok, 0);
    int64_t memory = memory_now();
    stop_watch(g->session);
    bool ok = decode(g, e) && show_end(g, e);
    stop_watch(NULL);
    progress_clear();
    memory_phase_end(&g->ui, "generate", memory);
    ok = ok && capture_save(&g->capture, e);
    if (ok) show_times(g);
    if (!ok && g->all.n && g->ui.out_tty) out_write(STR("\n"), NULL); /* the error gets a line of its own */
    return ok;
}

static bool generate_run(const void *opts, Err *e) {
    Generation g = {.o = opts, .ui = ui_of(opts)};
    g.progress.ui = &g.ui;
    bool ok = generation_run(&g, e);
    llmws_decoder_close(g.decoder);
    llmws_session_close(g.session);
    sampling_release(&g.sampling);
    capture_release(&g.capture);
    rules_release(&g.rules);
    llmws_model_close(g.model);
    ids_release(&g.prompt);
    ids_release(&g.answer);
    buf_release(&g.text);
    buf_release(&g.all);
    buf_release(&g.line);
    buf_release(&g.piece);
    stop_release(&g.stop);
    free(g.likely);
    free(g.masked);
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
    {"JSON of a given form:",
     "llmws generate -m model.gguf -p 'A person as JSON: ' -n 80 "
     "--json-schema '{\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":20},\"age\":{\"type\":\"integer\"}},"
     "\"required\":[\"name\",\"age\"]}'"},
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
        "force and where it came from.",
    .tables = tables,
    .examples = examples,
    .opts_size = sizeof(GenerateOpts),
    .run = generate_run,
};
