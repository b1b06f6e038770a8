#include "cmd/answer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/json_out.h"

#define AT(field) .at = offsetof(AnswerOpts, field)

static const OptRow answer_rows[] = {
    {.name = "system",
     .kind = OPT_TEXT,
     .arg = "TEXT|@FILE",
     AT(system),
     .help = "what the model is told before the conversation, through its chat template"},
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
    {.name = "reasoning",
     .kind = OPT_ENUM,
     .arg = "show|hide|stderr",
     AT(reasoning),
     .init = "show",
     .help = "in a conversation, what happens to the thinking before an answer (<think> ... </think>); with --json it "
             "is a field of its own"},
    {.name = "logprobs",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 0,
     .hi = 1000,
     AT(logprobs),
     .init = "0",
     .help = "with --json: the N likeliest tokens at each place (of those that a grammar allows), before sampling "
             "changed anything"},
};

const OptTable opts_answer = {"Answer", answer_rows, COUNT_OF(answer_rows)};

bool answer_check(const AnswerOpts *o, Err *e) {
    for (size_t i = 0; i < o->stop.n; i++)
        if (!o->stop.items[i][0] || !utf8_valid(str_of(o->stop.items[i])))
            return err_set(e, ERR_USAGE, "--stop: '%s' must be text, at least one character of UTF-8",
                           o->stop.items[i]);
    if (o->logprobs && !o->sample.run.json)
        return err_set(e, ERR_USAGE, "--logprobs belongs to the token events; give --json too");
    return true;
}

bool answer_system(const AnswerOpts *o, Buf *out, Err *e) {
    if (!o->system) return true;
    TRY(read_text_or_file(o->system, out, e));
    while (o->system[0] == '@' && out->n && out->s[out->n - 1] == '\n') out->n--;
    return true;
}

/* ---- what comes out ---- */

bool answer_show_text(Answer *a, Str text, Err *e) {
    if (!text.n) return true;
    if (a->ui->out_tty)
        put_inert(&a->line, text, true);
    else
        buf_put(&a->line, text.s, text.n);
    return out_flush(&a->line, e);
}

/* On a terminal thinking is dim, elsewhere it stands between the usual tags. */
static bool show_thought(Answer *a, Str text, bool first, Err *e) {
    Buf *b = &a->line;
    if (strcmp(a->o->reasoning, "hide") == 0 || !text.n) return true;
    if (strcmp(a->o->reasoning, "stderr") == 0) {
        err_text(a->ui, text);
        return true;
    }
    buf_str(b, a->ui->out_color ? "\033[2m" : first ? "<think>\n" : "");
    if (a->ui->out_tty)
        put_inert(b, text, true);
    else
        buf_put(b, text.s, text.n);
    if (a->ui->out_color) buf_str(b, "\033[0m");
    return out_flush(b, e);
}

static bool show_thought_end(Answer *a, Err *e) {
    if (strcmp(a->o->reasoning, "hide") == 0) return true;
    if (strcmp(a->o->reasoning, "stderr") == 0) {
        err_text(a->ui, STR("\n"));
        return true;
    }
    return out_write(a->ui->out_color ? STR("\n\n") : STR("\n</think>\n\n"), e);
}

/* What the last text gave, as text: thinking, its end, the answer. */
static bool show_pieces(Answer *a, Err *e) {
    size_t thought = a->thought.n, text = a->piece.n;
    bool first = a->reasoning.n == thought, begins = text && a->all.n == text;
    TRY(show_thought(a, buf_view(&a->thought), first, e));
    if (begins && a->reasoning.n) TRY(show_thought_end(a, e));
    return answer_show_text(a, buf_view(&a->piece), e);
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
static const float *logits_now(Answer *a) {
    const float *logits = llmws_logits(a->session, a->seq);
    const uint64_t *allowed = a->sampling.how.allowed;
    if (!allowed) return logits;
    if (!a->masked) a->masked = mem_alloc((size_t)a->vocab, sizeof *a->masked);
    for (int64_t i = 0; i < a->vocab; i++) a->masked[i] = allowed[i >> 6] >> (i & 63) & 1 ? logits[i] : -INFINITY;
    return a->masked;
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

static bool put_likeliest(Answer *a, Buf *b, const LogProbs *p, Err *e) {
    int64_t n = MIN(a->o->logprobs, a->vocab);
    if (!n) return true;
    n = likeliest(p->logits, a->vocab, a->likely, n);
    json_key(b, "top_logprobs");
    buf_char(b, '[');
    for (int64_t i = 0; i < n; i++) {
        int32_t id = a->likely[i];
        size_t len = 0;
        char *text = a->tok && id < llmws_token_count(a->tok)
                         ? llmws_detokenize(a->tok, &id, 1, LLMWS_TEXT_SPECIAL, &len, e)
                         : NULL;
        buf_str(b, i ? ",{" : "{");
        json_int(b, "id", id);
        json_str(b, "text", (Str){text ? text : "", len});
        json_num(b, "logprob", logprob(p, id));
        buf_char(b, '}');
        free(text);
    }
    buf_char(b, ']');
    return true;
}

/* Text of the model, without a stop text, into thinking and answer; the pieces replace the last ones. */
static void take_text(Answer *a, Str text, bool last) {
    buf_clear(&a->piece);
    buf_clear(&a->thought);
    buf_clear(&a->line);
    if (text.n) stop_push(&a->stop, text, &a->line);
    if (last && !a->stop.hit) stop_flush(&a->stop, &a->line);
    if (a->think) {
        think_push(&a->split, buf_view(&a->line), &a->thought, &a->piece);
        if (last || a->stop.hit) think_flush(&a->split, &a->thought, &a->piece);
    } else {
        buf_put(&a->piece, a->line.s, a->line.n);
    }
    buf_clear(&a->line);
    buf_put(&a->all, a->piece.s, a->piece.n);
    buf_put(&a->reasoning, a->thought.s, a->thought.n);
}

/* The members of a token's event. */
static bool put_token(Answer *a, Buf *b, int32_t id, Err *e) {
    LogProbs p = logprobs_of(logits_now(a), a->vocab);
    json_int(b, "id", id);
    json_str(b, "text", buf_view(&a->piece));
    if (a->thought.n) json_str(b, "reasoning", buf_view(&a->thought));
    json_num(b, "logprob", logprob(&p, id));
    return put_likeliest(a, b, &p, e);
}

static bool show_token(Answer *a, int32_t id, Err *e) {
    char number[16];
    if (a->tok) {
        Str text;
        text.s = llmws_decoder_push(a->decoder, id, &text.n);
        take_text(a, text, false);
    }
    if (a->event) {
        if (!a->o->logprobs) return true;
        buf_str(&a->tokens, a->ids.n > 1 ? ",{" : "{");
        TRY(put_token(a, &a->tokens, id, e));
        return buf_char(&a->tokens, '}'), true;
    }
    if (a->ui->json) {
        event_begin(&a->line, "token");
        TRY(put_token(a, &a->line, id, e));
        event_end(&a->line);
        return out_flush(&a->line, e);
    }
    if (a->tok) return show_pieces(a, e);
    int n = snprintf(number, sizeof number, a->ids.n > 1 ? " %d" : "%d", (int)id);
    return answer_show_text(a, (Str){number, (size_t)n}, e);
}

static double rounded(double x) { return round(x * 1000) / 1000; }

static double per_second(int64_t n, int64_t ns) {
    return n > 0 && ns > 0 ? rounded((double)n * 1e9 / (double)ns) : (double)NAN;
}

double answer_decode_rate(const Answer *a) { return per_second(a->decode_steps, a->decode_ns); }

/* Tokens of the prompt that were computed: not those that stood in the cache, nor those after a signal. */
static int64_t prompt_done(const Answer *a) {
    return MIN((int64_t)a->n_prompt, llmws_seq_len(a->session, a->seq)) - (int64_t)a->cached;
}

static double prompt_rate(const Answer *a) { return per_second(prompt_done(a), a->prompt_ns); }

/* What the decoder, the stop texts and the search for thinking held back. */
static void last_text(Answer *a) {
    Str rest = {"", 0};
    buf_clear(&a->piece);
    buf_clear(&a->thought);
    if (!a->tok || a->stop.hit) return;
    rest.s = llmws_decoder_flush(a->decoder, &rest.n);
    take_text(a, rest, true);
    if (a->stop.hit) a->stop_reason = "stop";
}

static void put_done(const Answer *a, Buf *b) {
    event_begin(b, "done");
    if (a->labels) buf_printf(b, ",%s", a->labels);
    json_str(b, "text", buf_view(&a->all));
    if (a->reasoning.n) json_str(b, "reasoning", buf_view(&a->reasoning));
    json_ids(b, "ids", a->ids.v, a->ids.n);
    if (a->tokens.n) buf_printf(b, ",\"tokens\":[%s]", a->tokens.s);
    json_int(b, "prompt_tokens", (int64_t)a->n_prompt);
    json_int(b, "completion_tokens", (int64_t)a->ids.n);
    json_str(b, "stop_reason", str_of(a->stop_reason));
    json_num(b, "prompt_tok_s", prompt_rate(a));
    json_num(b, "decode_tok_s", answer_decode_rate(a));
    json_num(b, "ttft_ms", a->ttft_ns ? rounded((double)a->ttft_ns * 1e-6) : (double)NAN);
    if (a->count_cached) json_int(b, "cached_tokens", (int64_t)a->cached);
    event_end(b);
}

bool answer_end(Answer *a, Err *e) {
    last_text(a);
    if (a->event) return put_done(a, a->event), true;
    if (!a->ui->json) {
        TRY(show_pieces(a, e));
        if (a->reasoning.n && !a->all.n) TRY(show_thought_end(a, e));
        bool open_line = !a->all.n || a->all.s[a->all.n - 1] != '\n';
        return open_line && (a->ui->out_tty || !a->tok || a->end_line) ? out_write(STR("\n"), e) : true;
    }
    put_done(a, &a->line);
    return out_flush(&a->line, e);
}

static void put_rate(Buf *b, const char *what, size_t n, double rate) {
    buf_printf(b, "%s %zu token%s", what, n, n == 1 ? "" : "s");
    if (!isnan(rate)) buf_printf(b, " at %.1f tok/s", rate);
}

void answer_show_times(const Answer *a) {
    Buf b = {0};
    if (a->cached) buf_printf(&b, "from the cache %zu tokens, ", a->cached);
    put_rate(&b, "prompt", (size_t)prompt_done(a), prompt_rate(a));
    put_rate(&b, ", answer", a->ids.n, answer_decode_rate(a));
    if (a->ttft_ns) buf_printf(&b, ", first token after %.1f ms", (double)a->ttft_ns * 1e-6);
    ui_note(a->ui, "[time] %s, ended by %s", b.s, a->stop_reason);
    buf_release(&b);
}

/* ---- the loop ---- */

bool answer_begin(Answer *a, Err *e) {
    a->ids.n = 0;
    buf_clear(&a->all);
    buf_clear(&a->reasoning);
    buf_clear(&a->piece);
    buf_clear(&a->thought);
    buf_clear(&a->tokens);
    stop_release(&a->stop);
    a->stop = (StopHold){.texts = a->o->stop.items, .n = a->o->stop.n};
    think_release(&a->split);
    a->n_prompt = a->cached = 0;
    a->prompt_ns = a->decode_ns = a->ttft_ns = a->decode_steps = 0;
    a->stop_reason = NULL;
    a->start_ns = now_ns();
    free(a->likely);
    a->likely = mem_alloc((size_t)a->o->logprobs + 1, sizeof *a->likely);
    llmws_decoder_close(a->decoder);
    /* a template puts the space before an answer there itself; a text just goes on */
    a->decoder = a->tok ? llmws_decoder_open(a->tok, a->think ? LLMWS_TEXT_BEGINS : 0) : NULL;
    return !a->sampling.bound || llmws_constraint_rewind(a->sampling.bound, 0, e);
}

/* Where values are captured, in steps of which each is seen. */
static bool eval(Answer *a, const int32_t *ids, size_t n, Err *e) {
    size_t most = a->capture && a->capture->patterns ? (size_t)a->chunk : n;
    a->progress.total = (int64_t)n;
    for (size_t at = 0; at < n; at += most) {
        size_t now = MIN(most, n - at);
        a->progress.before = (int64_t)at;
        TRY(llmws_eval(a->session, a->seq, ids + at, now, e));
        if (a->capture) TRY(capture_step(a->capture, now, e));
    }
    return true;
}

/* A signal that cuts it short is no failure: ended() sees it. */
static bool step(Answer *a, const int32_t *ids, size_t n, Err *e) {
    return eval(a, ids, n, e) || e->code == ERR_INTERRUPT;
}

void answer_prompted(Answer *a) {
    a->step_ns = now_ns();
    a->prompt_ns = a->step_ns - a->start_ns;
}

bool answer_prompt(Answer *a, const int32_t *ids, size_t n, Err *e) {
    TRY(step(a, ids, n, e));
    answer_prompted(a);
    return true;
}

/* Why there is no further token to draw; NULL: there is one. */
static const char *ended(const Answer *a) {
    if (stop_signal()) return "interrupt";
    if (a->sampling.bound && llmws_constraint_must_end(a->sampling.bound))
        return "eos"; /* it would be the only token */
    if (a->o->max_tokens >= 0 && (int64_t)a->ids.n >= a->o->max_tokens) return "length";
    if (a->ids.n && llmws_seq_len(a->session, a->seq) >= a->ctx) return "context";
    return NULL;
}

static void count_time(Answer *a) {
    int64_t ns = now_ns() - a->step_ns;
    if (a->ids.n) {
        a->decode_ns += ns;
        a->decode_steps++;
    } else {
        a->ttft_ns = a->prompt_ns + ns;
    }
}

/* The id that ends an answer is no part of it. Times of output do not count as the model's. */
bool answer_next(Answer *a, Err *e) {
    int32_t id;
    if (!a->ids.n || stop_signal()) a->stop_reason = ended(a);
    if (a->stop_reason) return true;
    TRY(sampling_allow(&a->sampling, e) && llmws_sample(a->session, a->seq, &a->sampling.how, &id, e));
    count_time(a);
    if (!a->sampling.how.ignore_eos && llmws_token_ends(a->model, id)) {
        a->stop_reason = "eos";
        return true;
    }
    ids_put(&a->ids, id);
    TRY(show_token(a, id, e) && sampling_accept(&a->sampling, id, e));
    a->stop_reason = a->stop.hit ? "stop" : ended(a);
    a->step_ns = now_ns();
    return true;
}

bool answer_run(Answer *a, Err *e) {
    a->step_ns = now_ns();
    TRY(answer_next(a, e));
    while (!a->stop_reason) TRY(step(a, &a->ids.v[a->ids.n - 1], 1, e) && answer_next(a, e));
    return answer_end(a, e);
}

void answer_release(Answer *a) {
    llmws_decoder_close(a->decoder);
    sampling_release(&a->sampling);
    ids_release(&a->ids);
    buf_release(&a->all);
    buf_release(&a->reasoning);
    buf_release(&a->line);
    buf_release(&a->piece);
    buf_release(&a->thought);
    buf_release(&a->tokens);
    stop_release(&a->stop);
    think_release(&a->split);
    free(a->likely);
    free(a->masked);
}
