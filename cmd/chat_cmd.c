/* What follows a slash. */
#include <stdlib.h>

#include "cmd/chat.h"

typedef struct Command {
    const char *name, *arg, *help; /* arg: NULL takes none, "[...]" may be left out */
    bool (*run)(Chat *c, const char *arg, Err *e);
} Command;

static bool help(Chat *c, const char *arg, Err *e);

static bool clear(Chat *c, const char *arg, Err *e) {
    (void)arg;
    conversation_cut(&c->talk, 0);
    c->changed = true;
    return chat_rewind(c, e);
}

static bool undo(Chat *c, const char *arg, Err *e) {
    (void)arg;
    if (!c->talk.n) return err_set(e, ERR_USAGE, "/undo: there is no turn to take back");
    conversation_cut(&c->talk, c->talk.n - 2);
    c->changed = true;
    chat_note(c, "(%zu turn%s left)", c->talk.n / 2, c->talk.n == 2 ? "" : "s");
    return chat_rewind(c, e);
}

/* Another answer: with the same seed the same would come, so this one draws from a sequence of its own. */
static bool retry(Chat *c, const char *arg, Err *e) {
    (void)arg;
    if (!c->talk.n) return err_set(e, ERR_USAGE, "/retry: there is no answer to replace");
    conversation_cut(&c->talk, c->talk.n - 1);
    c->answer.sampling.how.sequence = ++c->retries;
    return chat_reply(c, e);
}

static bool save(Chat *c, const char *path, Err *e) {
    if (!c->talk.n) return err_set(e, ERR_USAGE, "/save: there is nothing to save");
    TRY(chat_save(c, path, e));
    chat_note(c, "(saved %zu messages to '%s', the cache beside it)", c->talk.n, path);
    return true;
}

static bool load(Chat *c, const char *path, Err *e) {
    TRY(chat_load(c, path, e));
    c->changed = true;
    chat_note(c, "(loaded %zu messages from '%s')", c->talk.n, path);
    return true;
}

static void system_put(Chat *c, const char *text) {
    buf_clear(&c->talk.system);
    buf_str(&c->talk.system, text);
    c->changed = true;
}

static bool system_cmd(Chat *c, const char *text, Err *e) {
    (void)e;
    if (!*text && c->talk.system.n)
        chat_note(c, "%s", c->talk.system.s);
    else if (!*text)
        chat_note(c, "(no system text; what the template says by itself counts)");
    else
        system_put(c, text);
    return true;
}

static const OptTable *const settable[] = {&opts_answer, &opts_sampling, NULL};

/* After a setting was refused: everything as before, but for the room of lists. */
static void settings_back(AnswerOpts *now, AnswerOpts was) {
    was.stop.items = now->stop.items;
    was.sample.logit_bias.items = now->sample.logit_bias.items;
    was.sample.dry_breakers.items = now->sample.dry_breakers.items;
    *now = was;
}

static bool set_apply(Chat *c, Err *e) {
    const AnswerOpts *o = &c->o.answer;
    TRY(answer_check(o, e));
    if (o->system) system_put(c, o->system);
    c->o.answer.system = NULL;
    return chat_sampling(c, e);
}

static bool set(Chat *c, const char *arg, Err *e) {
    size_t name = strcspn(arg, " =");
    const char *value = arg + name + strspn(arg + name, " =");
    AnswerOpts was = c->o.answer;
    OptList rest = {0};
    if (!*arg) {
        Ui all = c->ui;
        all.verbose = true;
        sampling_show(&c->answer.sampling, &c->o.answer.sample, c->model, &all);
        return true;
    }
    if (strcmp(value, "default") == 0) {
        char *plain = arena_strn(&c->kept, arg, name);
        TRY(opt_reset(settable, plain, &c->o, e));
    } else {
        char *word = arena_printf(&c->kept, *value ? "--%.*s=%s" : "--%.*s", (int)name, arg, value);
        bool ok = opt_parse(settable, (char *[]){word, NULL}, &c->o, &rest, e);
        free(rest.items);
        TRY(ok);
    }
    if (set_apply(c, e)) return true;
    settings_back(&c->o.answer, was);
    Err again;
    chat_sampling(c, &again);
    return false;
}

static bool image(Chat *c, const char *path, Err *e) {
    LlmwsModelInfo info;
    llmws_model_info(c->model, &info);
    return err_set(e, ERR_INPUT, "/image: '%s' cannot be shown to the model: family %s takes no images", path,
                   info.family);
}

static bool edit(Chat *c, const char *arg, Err *e) {
    Buf text = {0};
    buf_str(&text, arg);
    bool ok = chat_edit(&text, e);
    if (ok && text.n) {
        line_remember(c->line, buf_view(&text));
        ok = chat_say(c, buf_view(&text), e);
    }
    buf_release(&text);
    return ok;
}

static bool stats(Chat *c, const char *arg, Err *e) {
    (void)arg, (void)e;
    const Answer *a = &c->answer;
    int64_t used = llmws_seq_len(c->session, a->seq);
    chat_note(c, "context: %lld of %lld tokens (%.0f %%); messages: %zu; answers since the start: %lld",
              (long long)used, (long long)a->ctx, 100 * (double)used / (double)a->ctx, c->talk.n,
              (long long)c->answers);
    if (!a->stop_reason) return true;
    chat_note(c, "last answer: %zu tokens at %.1f tok/s, ended by %s; prompt: %zu tokens, %zu of them from the cache",
              a->ids.n, answer_decode_rate(a), a->stop_reason, a->n_prompt, a->cached);
    return true;
}

static bool leave(Chat *c, const char *arg, Err *e) {
    (void)arg, (void)e;
    c->leave = true;
    return true;
}

static const Command commands[] = {
    {"help", NULL, "show this", help},
    {"clear", NULL, "forget the conversation; the system text stays", clear},
    {"undo", NULL, "take the last question and its answer back", undo},
    {"retry", NULL, "another answer to the last question", retry},
    {"edit", "[TEXT]", "write the next message in $VISUAL or $EDITOR", edit},
    {"save", "FILE", "keep the conversation in FILE, and what was computed in FILE.kv", save},
    {"load", "FILE", "go on with a conversation that was kept", load},
    {"system", "[TEXT]", "what the model is told before the conversation", system_cmd},
    {"set", "[OPTION VALUE]", "change a sampling option, as in /set temp 0.2; the value 'default' undoes it", set},
    {"image", "PATH", "show a picture, to models that take any", image},
    {"stats", NULL, "tokens in the context, speed", stats},
    {"exit", NULL, "leave; so does Ctrl-D", leave},
    {"quit", NULL, "the same", leave},
};

static bool help(Chat *c, const char *arg, Err *e) {
    (void)arg, (void)e;
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        chat_note(c, "/%s%s%-*s %s", commands[i].name, commands[i].arg ? " " : "",
                  MAX(0, 20 - (int)strlen(commands[i].name) - (commands[i].arg != NULL)),
                  commands[i].arg ? commands[i].arg : "", commands[i].help);
    chat_note(c, "\"\"\" begins and ends a message of several lines, a backslash at the end of a line goes on, //"
                 " begins a message with a slash. Ctrl-C stops an answer.");
    return true;
}

bool chat_is_command(Str line) {
    return line.n > 0 && line.s[0] == '/' && !str_starts(line, "//") && !memchr(line.s, '\n', line.n);
}

static bool unknown(const char *name, Err *e) {
    const char *names[COUNT_OF(commands)];
    for (size_t i = 0; i < COUNT_OF(commands); i++) names[i] = commands[i].name;
    const char *near = nearest_word(name, names, COUNT_OF(names));
    return near ? err_set(e, ERR_USAGE, "unknown command '/%s' (did you mean '/%s'?)", name, near)
                : err_set(e, ERR_USAGE, "unknown command '/%s'; /help lists them", name);
}

static bool run(Chat *c, char *word, Err *e) {
    size_t n = strcspn(word, " \t");
    char *arg = word + n + strspn(word + n, " \t");
    for (size_t len = strlen(arg); len && (arg[len - 1] == ' ' || arg[len - 1] == '\t');) arg[--len] = 0;
    word[n] = 0;
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        const Command *k = &commands[i];
        if (strcmp(k->name, word) != 0) continue;
        if (!k->arg && *arg) return err_set(e, ERR_USAGE, "/%s takes nothing, but '%s' follows", word, arg);
        if (k->arg && k->arg[0] != '[' && !*arg) return err_set(e, ERR_USAGE, "/%s needs %s", word, k->arg);
        return k->run(c, arg, e);
    }
    return unknown(word, e);
}

bool chat_command(Chat *c, Str line, Err *e) {
    Buf word = {0};
    buf_put(&word, line.s + 1, line.n - 1);
    buf_put(&word, "", 0);
    bool ok = run(c, word.s, e);
    buf_release(&word);
    return ok;
}
