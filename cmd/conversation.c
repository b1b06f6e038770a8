#include "cmd/conversation.h"

#include <stdlib.h>

#include "formats/json.h"

static const char *const roles[] = {[ROLE_USER] = "user", [ROLE_MODEL] = "assistant"};

/* JSON's readers here take no NUL, and a template could do nothing with one. */
static void put_text(Buf *out, Str text) {
    for (const char *nul; text.n && (nul = memchr(text.s, 0, text.n));) {
        size_t n = (size_t)(nul - text.s);
        buf_put(out, text.s, n);
        buf_str(out, "\xef\xbf\xbd");
        text = (Str){nul + 1, text.n - n - 1};
    }
    buf_put(out, text.s, text.n);
}

Message *conversation_add(Conversation *c, Role role, Str content) {
    c->items = mem_grow(c->items, c->n + 1, sizeof *c->items);
    Message *m = &c->items[c->n++];
    *m = (Message){.role = role};
    put_text(&m->content, content);
    return m;
}

void conversation_reasoning(Message *m, Str text) { put_text(&m->reasoning, text); }

void conversation_cut(Conversation *c, size_t n) {
    for (; c->n > n; c->n--) {
        buf_release(&c->items[c->n - 1].content);
        buf_release(&c->items[c->n - 1].reasoning);
    }
}

static void put_message(Buf *out, const char *role, const Buf *content, const Buf *reasoning) {
    buf_str(out, out->s[out->n - 1] == '[' ? "\n{\"role\": " : ",\n{\"role\": ");
    json_put_str(out, str_of(role));
    buf_str(out, ", \"content\": ");
    json_put_str(out, buf_view(content));
    if (reasoning && reasoning->n) {
        buf_str(out, ", \"reasoning_content\": ");
        json_put_str(out, buf_view(reasoning));
    }
    buf_char(out, '}');
}

void conversation_write(const Conversation *c, Buf *out) {
    buf_str(out, "{\"messages\": [");
    if (c->system.n) put_message(out, "system", &c->system, NULL);
    for (size_t i = 0; i < c->n; i++)
        put_message(out, roles[c->items[i].role], &c->items[i].content, &c->items[i].reasoning);
    buf_str(out, "\n]}\n");
}

/* Message i of a file. Where "system" stands it is the first, then user and model take turns. */
static bool read_message(Conversation *c, const Value *v, size_t i, Err *e) {
    Str role = {0}, content = {0}, reasoning = {"", 0};
    if (!value_get(v, "role") || !value_get(v, "content"))
        return err_set(e, ERR_INPUT, "message %zu: needs \"role\" and \"content\"", i + 1);
    TRY(value_as_str(value_get(v, "role"), "role", &role, e) &&
        value_as_str(value_get(v, "content"), "content", &content, e));
    TRY(value_as_str(value_get(v, "reasoning_content"), "reasoning_content", &reasoning, e));
    if (i == 0 && str_is(role, "system")) {
        buf_put(&c->system, content.s, content.n);
        return true;
    }
    Role want = c->n % 2 ? ROLE_MODEL : ROLE_USER;
    if (!str_is(role, roles[want]))
        return err_set(e, ERR_INPUT, "message %zu: role '%.*s', not '%s': user and assistant take turns", i + 1,
                       STR_ARG(role), roles[want]);
    Message *m = conversation_add(c, want, content);
    conversation_reasoning(m, reasoning);
    return true;
}

static bool read_messages(Conversation *c, Str json, const char *what, Arena *a, Err *e) {
    Value doc;
    TRY(json_parse(json, what, a, &doc, e));
    const Value *list = doc.kind == VALUE_ARRAY ? &doc : value_get(&doc, "messages");
    if (!list || list->kind != VALUE_ARRAY)
        return err_set(e, ERR_INPUT, "'%s' is no conversation: no list \"messages\"", what);
    for (size_t i = 0; i < list->array.n; i++)
        if (!read_message(c, &list->array.items[i], i, e)) return err_prefix(e, "'%s'", what);
    return c->n % 2 == 0 || err_set(e, ERR_INPUT, "'%s': the last message has no answer", what);
}

bool conversation_read(Conversation *c, Str json, const char *what, Err *e) {
    Conversation got = {0};
    Arena a = {0};
    bool ok = read_messages(&got, json, what, &a, e);
    arena_release(&a);
    if (ok) {
        Conversation old = *c;
        *c = got;
        got = old;
    }
    conversation_release(&got);
    return ok;
}

bool conversation_render(const Conversation *c, LlmwsTokenizer *t, bool reply, LlmwsPrompt *out, Err *e) {
    Buf json = {0};
    conversation_write(c, &json);
    bool ok = llmws_chat_render(t, json.s, reply ? "{\"add_generation_prompt\":true}" : NULL, 0, out, e);
    buf_release(&json);
    return ok;
}

void conversation_release(Conversation *c) {
    conversation_cut(c, 0);
    free(c->items);
    buf_release(&c->system);
    *c = (Conversation){0};
}
