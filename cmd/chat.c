/* llmws chat: a conversation. Every turn is the whole conversation through the model's template; what of its tokens
 * stands in the cache is not computed again. */
#include "cmd/chat.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define AT(field) .at = offsetof(ChatOpts, field)

static const OptRow chat_rows[] = {
    {.name = "session",
     .kind = OPT_TEXT,
     .arg = "FILE",
     AT(session),
     .help = "keep the conversation in FILE after every turn, what was computed in FILE.kv, and go on from there the "
             "next time"},
};

static const OptTable opts_chat = {"Conversation", chat_rows, COUNT_OF(chat_rows)};
static const OptTable *const tables[] = {&opts_model,   &opts_chat,   &opts_answer, &opts_sampling,
                                         &opts_session, &opts_output, NULL};

void chat_note(const Chat *c, const char *fmt, ...) {
    Buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    buf_char(&b, '\n');
    err_text(&c->ui, buf_view(&b));
    buf_release(&b);
}

/* ---- turns ---- */

/* How many of the ids stand in the cache already, from the first one on. */
static size_t in_cache(const Chat *c, const int32_t *ids, size_t n) {
    size_t have, same = 0;
    const int32_t *old = llmws_seq_tokens(c->session, c->answer.seq, &have);
    while (same < n && same < have && old[same] == ids[same]) same++;
    return same;
}

bool chat_rewind(Chat *c, Err *e) {
    LlmwsPrompt p;
    size_t same = 0;
    Err why; /* a template that refuses an empty conversation leaves nothing to keep */
    if (conversation_render(&c->talk, c->tok, false, &p, &why)) {
        same = in_cache(c, p.ids, p.n);
        llmws_prompt_free(&p);
    }
    return llmws_seq_truncate(c->session, c->answer.seq, (int64_t)same, e);
}

/* The last token of the prompt is computed in any case: its logits are wanted. */
static bool answer(Chat *c, const LlmwsPrompt *p, Err *e) {
    Answer *a = &c->answer;
    if ((int64_t)p->n > a->ctx)
        return err_set(e, ERR_FIT,
                       "the conversation does not fit: %zu tokens, the context holds %lld; %s, or start with -c %zu or "
                       "more",
                       p->n, (long long)a->ctx,
                       c->interactive ? "/clear begins anew, /undo takes a turn back" : "shorten it", p->n);
    TRY(answer_begin(a, e));
    a->n_prompt = p->n;
    a->cached = in_cache(c, p->ids, p->n);
    if (a->cached == p->n) a->cached--;
    think_prompt(&a->split, (Str){p->text, p->len});
    TRY(llmws_seq_truncate(c->session, a->seq, (int64_t)a->cached, e));
    stop_watch(c->session);
    bool ok = answer_prompt(a, p->ids + a->cached, p->n - a->cached, e) && answer_run(a, e);
    stop_watch(NULL);
    progress_clear();
    return ok;
}

static bool nothing_said(Chat *c, Err *e) {
    conversation_cut(&c->talk, c->talk.n - 1);
    if (c->interactive) chat_note(c, "(stopped before anything was said; the question is taken back)");
    return chat_rewind(c, e);
}

bool chat_reply(Chat *c, Err *e) {
    const Answer *a = &c->answer;
    LlmwsPrompt p;
    bool ok = conversation_render(&c->talk, c->tok, true, &p, e);
    if (ok) {
        ok = answer(c, &p, e);
        llmws_prompt_free(&p);
    }
    c->changed = true;
    if (!ok) {
        conversation_cut(&c->talk, c->talk.n - 1);
        return false;
    }
    c->answers++;
    if (c->ui.verbose) answer_show_times(a);
    bool stopped = strcmp(a->stop_reason, "interrupt") == 0;
    if (stopped) c->stopped_ns = now_ns();
    if (stopped && stop_signal() != SIGINT) c->leave = true;
    if (stopped && !c->interactive) c->leave = true;
    if (stopped && !c->leave) stop_forget();
    if (stopped && !a->ids.n) return nothing_said(c, e);
    conversation_reasoning(conversation_add(&c->talk, ROLE_MODEL, buf_view(&a->all)), buf_view(&a->reasoning));
    if (c->interactive && strcmp(a->stop_reason, "context") == 0)
        chat_note(c, "(the context is full; /clear begins anew, /undo takes this turn back)");
    if (c->interactive) chat_note(c, "%s", ""); /* the prompt stands apart */
    return true;
}

bool chat_say(Chat *c, Str text, Err *e) {
    conversation_add(&c->talk, ROLE_USER, text);
    return chat_reply(c, e);
}

static bool line_run(Chat *c, Err *e) {
    Str s = buf_view(&c->input);
    if (chat_is_command(s)) return chat_command(c, s, e);
    if (str_starts(s, "//")) s.s++, s.n--;
    return chat_say(c, s, e);
}

/* What fails is told, and whoever types goes on; lines of a pipe end there. */
static bool loop(Chat *c, Err *e) {
    while (chat_input(c, e)) {
        bool ok = line_run(c, e);
        if (c->changed && c->o.session && !chat_save(c, c->o.session, ok ? e : &(Err){0})) ok = false;
        c->changed = false;
        if (!ok && !c->interactive) return false;
        if (!ok) ui_error(c->ui.err_color, e->msg);
        if (!ok) *e = (Err){0};
        if (c->leave) return true;
    }
    return c->leave;
}

/* ---- opening ---- */

/* As sampling_take, which leaves nothing usable when it fails. */
bool chat_sampling(Chat *c, Err *e) {
    sampling_release(&c->answer.sampling);
    TRY(sampling_take(&c->answer.sampling, &c->o.answer.sample, &(SamplingFor){&c->ui, c->model, c->tok}, e));
    c->answer.sampling.how.sequence = c->retries;
    return true;
}

/* Worker threads leave signals to this one, which waits for them at the prompt. */
static bool session_open(Chat *c, Err *e) {
    LlmwsPlan plan;
    LlmwsSessionOptions so = session_options(&c->o.answer.sample.run);
    so.progress = progress_show;
    so.progress_ctx = &c->answer.progress;
    stop_block(true);
    c->session = llmws_session_open(c->model, &so, e);
    stop_block(false);
    if (!c->session) return false;
    llmws_session_plan(c->session, &plan);
    plan_note(&c->ui, &plan);
    c->answer.ctx = plan.ctx;
    c->answer.chunk = plan.chunk;
    c->answer.session = c->session;
    c->answer.seq = llmws_seq_open(c->session, e);
    return c->answer.seq >= 0;
}

static bool chat_open(Chat *c, Err *e) {
    const AnswerOpts *o = &c->o.answer;
    const char *path;
    LlmwsModelInfo info;
    TRY(answer_check(o, e) && backend_check(&o->sample.run, e) && model_path(&o->sample.run, &path, e));
    TRY(model_open(path, &c->ui, &c->model, e));
    c->tok = llmws_model_tokenizer(c->model, e);
    if (!c->tok) return false;
    if (!llmws_tokenizer_has_template(c->tok))
        return err_set(e, ERR_INPUT, "'%s' has no chat template; llmws generate goes on from plain text", path);
    llmws_model_info(c->model, &info);
    c->answer.model = c->model;
    c->answer.tok = c->tok;
    c->answer.vocab = info.vocab;
    TRY(chat_sampling(c, e) && session_open(c, e));
    sampling_show(&c->answer.sampling, &o->sample, c->model, &c->ui);
    if (c->o.session && access(c->o.session, F_OK) == 0) TRY(chat_load(c, c->o.session, e));
    if (o->system) buf_clear(&c->talk.system);
    return answer_system(o, &c->talk.system, e);
}

static void greet(const Chat *c) {
    LlmwsModelInfo info;
    llmws_model_info(c->model, &info);
    if (!c->interactive || c->ui.quiet) return;
    chat_note(c, "%s; /help lists the commands, Ctrl-D leaves.", *info.name ? info.name : info.family);
    if (c->talk.n) chat_note(c, "(going on after %zu messages)", c->talk.n);
}

static bool chat_run(const void *opts, Err *e) {
    Chat *c = mem_alloc(1, sizeof *c);
    c->o = *(const ChatOpts *)opts;
    c->ui = ui_of(opts);
    opt_own_lists(tables, &c->o);
    c->interactive = isatty(STDIN_FILENO) && c->ui.err_tty;
    c->answer = (Answer){
        .o = &c->o.answer, .ui = &c->ui, .think = true, .end_line = true, .count_cached = true, .progress.ui = &c->ui};
    bool ok = chat_open(c, e);
    if (ok) {
        c->line = line_open(&c->ui, c->interactive);
        greet(c);
        ok = loop(c, e);
    }
    line_close(c->line);
    llmws_session_close(c->session);
    answer_release(&c->answer);
    llmws_model_close(c->model);
    conversation_release(&c->talk);
    arena_release(&c->kept);
    buf_release(&c->input);
    opt_release(tables, &c->o);
    free(c);
    return ok;
}

static const Example examples[] = {
    {"Talk to a model:", "llmws chat -m model.gguf"},
    {"Told how to answer, in a conversation that goes on the next time:",
     "llmws chat -m model.gguf --system 'Answer in one sentence.' --session talk.json -n 40"},
    {"One question and a second one from a pipe:",
     "printf 'Hello\\nAnd in French?\\n' | llmws chat -m model.gguf -n 40"},
    {NULL, NULL},
};

const Cmd cmd_chat = {
    .name = "chat",
    .summary = "talk to a model",
    .usage = "[-m MODEL] [OPTION]...",
    .about =
        "A conversation, through the model's own chat template. Lines are edited and kept in a history; a paste of "
        "several lines is one message, \"\"\" begins and ends one, a backslash at the end of a line goes on. Ctrl-C "
        "stops the answer, which stays in the conversation as far as it came; twice leaves. /help lists what else "
        "can be done. Where stdin is no terminal, every line is a turn, and stdout gets the answers alone.",
    .tables = tables,
    .examples = examples,
    .opts_size = sizeof(ChatOpts),
    .run = chat_run,
};
