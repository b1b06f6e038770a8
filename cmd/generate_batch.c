#include "cmd/generate_batch.h"

#include <stdlib.h>

#include "cmd/generate_line.h"
#include "cmd/generate_prompt.h"
#include "cmd/json_out.h"
#include "formats/json.h"

enum {
    SHARE_MIN = 16,         /* tokens that two prompts have in common before they are worth sharing */
    WAITING_MAX = 32 << 20, /* bytes of results behind one that is not ready, before no new lines are taken */
};

typedef struct Result Result;
struct Result { /* of a line, until it is written */
    Result *next;
    int64_t line; /* of the input, from 1 */
    Buf labels;   /* "id":..,"line":.. */
    Buf text;
    bool done;
};

typedef struct Slot { /* a sequence, and the line that it works at */
    Arena arena;      /* of the line */
    LineOpts line;
    Answer answer; /* its seq keeps the tokens of the line before, so that the next ones can share them; -1: none */
    Ids prompt;
    Buf text;       /* of the prompt */
    size_t fed;     /* tokens of the prompt that are computed */
    Result *result; /* NULL: free */
    bool stepped;   /* takes part in the step at hand */
} Slot;

typedef struct Batch {
    const BatchOf *of;
    const Answer *like;
    AnswerOpts over; /* the command line's */
    Buf system;      /* of the command line */
    Slot *slots;     /* [parallel] */
    Slot **busy;     /* [n_busy] in the order of the input */
    size_t n_busy;
    Result *first, **last; /* in the order of the input */
    size_t waiting;        /* bytes of what is done and not written */
    int *seqs;             /* [chunk] */
    int32_t *ids;          /* [chunk] */
    Buf input;
    bool more, in_failed; /* of the input */
    Err in_error;
    int64_t lines, written, failed, first_failed, tokens, prompt_tokens, start_ns;
    Progress progress;
} Batch;

/* ---- results ---- */

static Result *result_new(Batch *b) {
    Result *r = mem_alloc(1, sizeof *r);
    r->line = b->lines;
    *b->last = r;
    b->last = &r->next;
    return r;
}

static void result_done(Batch *b, Result *r) {
    r->done = true;
    b->waiting += r->text.n;
}

static void result_failed(Batch *b, Result *r, const Err *why) {
    buf_clear(&r->text);
    event_begin(&r->text, "error");
    buf_printf(&r->text, ",%s", r->labels.s);
    json_str(&r->text, "error", str_of(why->msg));
    event_end(&r->text);
    if (!b->failed++) b->first_failed = r->line;
    result_done(b, r);
}

static void result_drop_first(Batch *b) {
    Result *r = b->first;
    b->first = r->next;
    if (!b->first) b->last = &b->first;
    buf_release(&r->labels);
    buf_release(&r->text);
    free(r);
}

/* Writes what is done; at the end that is also what stands behind something that is not. */
static bool write_done(Batch *b, bool end, Err *e) {
    while (b->first && (b->first->done || end)) {
        if (b->first->done) {
            b->waiting -= b->first->text.n;
            b->written++;
            TRY(out_flush(&b->first->text, e));
        }
        result_drop_first(b);
    }
    return true;
}

/* ---- lines ---- */

static void put_labels(const LineOpts *o, Result *r) {
    json_key(&r->labels, "id");
    if (o->id)
        json_put_value(&r->labels, o->id, -1);
    else
        buf_str(&r->labels, "null");
    json_int(&r->labels, "line", r->line);
}

static bool ids_take(const Value *list, int64_t vocab, Ids *ids, Err *e) {
    for (size_t i = 0; i < list->array.n; i++) {
        const Value *v = &list->array.items[i];
        if (v->kind != VALUE_INT || v->i < 0 || v->i > INT32_MAX)
            return err_set(e, ERR_INPUT, "key 'ids' must be a list of token ids");
        ids_put(ids, (int32_t)v->i);
    }
    if (!ids->n) return err_set(e, ERR_INPUT, "key 'ids' holds none");
    return ids_check(ids, vocab, e);
}

static bool prompt_take(const Batch *b, Slot *s, Err *e) {
    const LineOpts *o = &s->line;
    const Answer *a = b->like;
    PromptFrom from = {.system = o->system ? str_of(o->answer.system) : buf_view(&b->system),
                       .messages = o->messages,
                       .tools = o->tools,
                       .chat = b->of->chat};
    if (o->prompt) from.text = str_of(o->prompt);
    if (from.system.n && (o->ids || (o->prompt && !from.chat)))
        return err_set(e, ERR_INPUT, "a system text goes through the chat template: with 'messages', or with --chat");
    if (!a->tok && (!o->ids || o->answer.stop.n))
        return err_set(e, ERR_INPUT, "the model has no tokenizer that is known; 'ids' can be given, no texts");
    TRY(o->ids ? ids_take(o->ids, a->vocab, &s->prompt, e) : prompt_make(&from, a->tok, &s->prompt, &s->text, e));
    return prompt_fits(s->prompt.n, a->ctx, e);
}

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

static bool same_bound(const SampleOpts *a, const SampleOpts *b) {
    return same_text(a->grammar, b->grammar) && same_text(a->schema, b->schema);
}

/* The tables of a grammar are made once, as long as a line with it was the last of a slot. */
static const LlmwsConstraint *bound_like(const Batch *b, const SampleOpts *o) {
    if (same_bound(o, &b->over.sample)) return b->like->sampling.bound;
    for (size_t i = 0; i < b->of->parallel; i++)
        if (b->slots[i].answer.sampling.bound && same_bound(o, &b->slots[i].line.answer.sample))
            return b->slots[i].answer.sampling.bound;
    return NULL;
}

/* Puts a line into the slot, in place of the one before. */
static bool slot_take(Batch *b, Slot *s, Str json, Result *r, Err *e) {
    Arena arena = {0};
    LineOpts line;
    Sampling sampling = {0};
    Answer *a = &s->answer;
    bool ok = line_opts_read(&line, &b->over, json, &arena, e);
    put_labels(&line, r);
    ok = ok && answer_check(&line.answer, e) &&
         sampling_take(&sampling, &line.answer.sample,
                       &(SamplingFor){a->ui, a->model, a->tok, bound_like(b, &line.answer.sample)}, e);
    sampling_release(&a->sampling);
    line_opts_release(&s->line);
    arena_release(&s->arena);
    s->arena = arena;
    s->line = line;
    a->sampling = sampling;
    s->prompt.n = s->fed = 0;
    buf_clear(&s->text);
    a->think = b->of->chat || line.messages;
    TRY(ok && prompt_take(b, s, e));
    a->event = &r->text;
    a->labels = r->labels.s;
    s->result = r;
    b->busy[b->n_busy++] = s;
    return true;
}

static Slot *free_slot(const Batch *b) {
    Slot *s = b->slots;
    while (s->result) s++;
    return s;
}

static bool is_blank(Str s) {
    while (s.n && (*s.s == ' ' || *s.s == '\t')) s.s++, s.n--;
    return !s.n;
}

/* The next line of the input that is not blank; waits for one only where there is nothing else to do. */
static LineGot next_line(Batch *b, Err *e) {
    LineGot got;
    stop_ask(true);
    do {
        buf_clear(&b->input);
        got = line_file_next(b->of->in, b->n_busy ? 0 : -1, &b->input, e);
        b->lines += got == LINE_TEXT;
    } while (got == LINE_TEXT && is_blank(buf_view(&b->input)));
    stop_ask(false);
    return got;
}

/* Gives free slots the next lines, as far as there are any now. An input that cannot be read on ends there. */
static bool fill(Batch *b, Err *e) {
    while (b->more && b->n_busy < b->of->parallel && b->waiting < WAITING_MAX) {
        Err why;
        TRY(write_done(b, false, e));
        LineGot got = next_line(b, &b->in_error);
        b->in_failed = got == LINE_FAIL;
        b->more = got != LINE_END && got != LINE_FAIL;
        if (got != LINE_TEXT) return true;
        Result *r = result_new(b);
        Str text = buf_view(&b->input);
        if (r->line == 1 && str_starts(text, "\xef\xbb\xbf")) text.s += 3, text.n -= 3;
        if (!slot_take(b, free_slot(b), text, r, &why)) result_failed(b, r, &why);
    }
    return true;
}

/* ---- sequences ---- */

static size_t common(const Ids *prompt, const int32_t *ids, size_t n) {
    size_t same = 0;
    while (same < n && same < prompt->n && ids[same] == prompt->v[same]) same++;
    return MIN(same, prompt->n - 1); /* the last one's logits are wanted */
}

/* The slot whose sequence begins like the prompt for the longest; its own counts, too. */
static Slot *best_donor(const Batch *b, Slot *s, size_t *shared) {
    Slot *best = s;
    *shared = 0;
    for (size_t i = 0; i < b->of->parallel; i++) {
        Slot *k = &b->slots[i];
        if (k->answer.seq < 0) continue;
        size_t n;
        const int32_t *ids = llmws_seq_tokens(k->answer.session, k->answer.seq, &n);
        size_t same = common(&s->prompt, ids, n);
        if (same > *shared && (k == s || same >= SHARE_MIN)) best = k, *shared = same;
    }
    return best;
}

/* Another line is about to compute more of the beginning than can be shared by now. */
static bool worth_waiting(const Batch *b, const Slot *s, size_t shared) {
    for (size_t i = 0; i < b->n_busy; i++) {
        const Ids *other = &b->busy[i]->prompt;
        if (b->busy[i]->fed && common(&s->prompt, other->v, other->n) >= shared + SHARE_MIN) return true;
    }
    return false;
}

/* Makes the slot's sequence ready for its prompt, of which it may hold a part already. */
static bool seq_place(Slot *s, const Slot *donor, size_t shared, Err *e) {
    Answer *a = &s->answer;
    if (a->seq >= 0 && donor != s) {
        llmws_seq_close(a->session, a->seq);
        a->seq = -1;
    }
    if (a->seq < 0)
        a->seq = donor != s ? llmws_seq_fork(a->session, donor->answer.seq, e) : llmws_seq_open(a->session, e);
    TRY(a->seq >= 0 && llmws_seq_truncate(a->session, a->seq, (int64_t)shared, e) && answer_begin(a, e));
    think_prompt(&a->split, buf_view(&s->text));
    a->n_prompt = s->prompt.n;
    a->cached = s->fed = shared;
    return true;
}

/* ---- steps ---- */

static void slot_free(Batch *b, Slot *s) {
    size_t i = 0;
    while (b->busy[i] != s) i++;
    b->n_busy--;
    memmove(b->busy + i, b->busy + i + 1, (b->n_busy - i) * sizeof *b->busy);
    s->result = NULL;
}

static void step_put(Batch *b, Slot *s, const int32_t *ids, size_t n, size_t *at) {
    for (size_t i = 0; i < n; i++) {
        b->seqs[*at + i] = s->answer.seq;
        b->ids[*at + i] = ids[i];
    }
    *at += n;
    s->stepped = true;
}

/* The next step: a token of every answer, and what is left of a chunk for prompts, in the order of the lines. */
static bool plan_step(Batch *b, size_t *n, Err *e) {
    const size_t chunk = (size_t)b->like->chunk;
    *n = 0;
    for (size_t i = 0; i < b->n_busy; i++) {
        Slot *s = b->busy[i];
        s->stepped = false;
        if (s->answer.ids.n && s->fed == s->prompt.n && *n < chunk)
            step_put(b, s, &s->answer.ids.v[s->answer.ids.n - 1], 1, n);
    }
    for (size_t i = 0; i < b->n_busy && *n < chunk; i++) {
        Slot *s = b->busy[i];
        if (s->fed == s->prompt.n) continue;
        if (!s->fed) {
            size_t shared;
            Slot *donor = best_donor(b, s, &shared);
            if (worth_waiting(b, s, shared)) continue;
            TRY(seq_place(s, donor, shared, e));
        }
        size_t now = MIN(s->prompt.n - s->fed, chunk - *n);
        step_put(b, s, s->prompt.v + s->fed, now, n);
        s->fed += now;
        b->prompt_tokens += (int64_t)now;
    }
    return true;
}

/* Behind the step: the next token of an answer. What fails here fails this line alone. */
static void slot_next(Batch *b, Slot *s) {
    Answer *a = &s->answer;
    Err why;
    if (!a->ids.n) answer_prompted(a);
    size_t had = a->ids.n;
    bool ok = answer_next(a, &why);
    b->tokens += (int64_t)(a->ids.n - had);
    if (ok && !a->stop_reason) return;
    if (ok && strcmp(a->stop_reason, "interrupt") == 0) return;
    ok = ok && answer_end(a, &why);
    if (ok)
        result_done(b, s->result);
    else
        result_failed(b, s->result, &why);
    slot_free(b, s);
}

static bool step(Batch *b, Err *e) {
    size_t n;
    TRY(plan_step(b, &n, e));
    if (!llmws_eval_batch(b->like->session, b->seqs, b->ids, n, e)) return e->code == ERR_INTERRUPT;
    for (size_t i = b->n_busy; i-- > 0;) { /* backwards: those that end leave the list */
        Slot *s = b->busy[i];
        if (s->stepped && s->fed == s->prompt.n) slot_next(b, s);
    }
    return true;
}

/* ---- the run ---- */

static bool loop(Batch *b, Err *e) {
    while (!stop_signal()) {
        TRY(fill(b, e));
        if (!b->n_busy && !b->more) break;
        if (b->n_busy && !stop_signal()) TRY(step(b, e));
        TRY(write_done(b, false, e));
        progress_tell(&b->progress, "lines answered: %lld, at work: %zu, %.0f tok/s", (long long)b->written, b->n_busy,
                      (double)(b->tokens + b->prompt_tokens) * 1e9 / (double)(now_ns() - b->start_ns));
    }
    TRY(write_done(b, true, e));
    if (b->in_failed) *e = b->in_error;
    return !b->in_failed;
}

static void show_times(const Batch *b) {
    double s = (double)(now_ns() - b->start_ns) * 1e-9;
    ui_note(b->like->ui, "[time] %lld lines in %.1f s: prompts %lld tokens, answers %lld tokens, %.1f tok/s",
            (long long)b->written, s, (long long)b->prompt_tokens, (long long)b->tokens,
            (double)(b->prompt_tokens + b->tokens) / s);
}

static void batch_release(Batch *b) {
    while (b->first) result_drop_first(b);
    for (size_t i = 0; i < b->of->parallel; i++) {
        Slot *s = &b->slots[i];
        answer_release(&s->answer);
        line_opts_release(&s->line);
        arena_release(&s->arena);
        ids_release(&s->prompt);
        buf_release(&s->text);
    }
    free(b->slots);
    free(b->busy);
    free(b->seqs);
    free(b->ids);
    buf_release(&b->input);
    buf_release(&b->system);
}

bool batch_run(const BatchOf *of, Err *e) {
    Batch b = {.of = of,
               .like = of->like,
               .over = *of->like->o,
               .more = true,
               .start_ns = now_ns(),
               .progress.ui = of->like->ui};
    b.last = &b.first;
    b.over.sample.run.json = true;
    b.slots = mem_alloc(of->parallel, sizeof *b.slots);
    b.busy = mem_alloc(of->parallel, sizeof(Slot *));
    b.seqs = mem_alloc((size_t)of->like->chunk, sizeof *b.seqs);
    b.ids = mem_alloc((size_t)of->like->chunk, sizeof *b.ids);
    for (size_t i = 0; i < of->parallel; i++) {
        Slot *s = &b.slots[i];
        s->answer = *of->like;
        s->answer.sampling = (Sampling){0};
        s->answer.o = &s->line.answer;
        s->answer.seq = -1;
    }
    bool ok = answer_system(&b.over, &b.system, e) && loop(&b, e);
    progress_clear();
    show_times(&b);
    if (ok && b.failed && !stop_signal())
        ok = err_set(e, ERR_INPUT,
                     "'%s': %lld of %lld lines were not answered, the first is line %lld; their places "
                     "on standard output say why",
                     of->in->name, (long long)b.failed, (long long)b.written, (long long)b.first_failed);
    batch_release(&b);
    return ok;
}
