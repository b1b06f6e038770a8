#include "cmd/generate_prompt.h"

#include "cmd/conversation.h"
#include "formats/json.h"

static void put_system(Buf *json, Str system) {
    buf_str(json, "{\"role\":\"system\",\"content\":");
    json_put_str(json, system);
    buf_char(json, '}');
}

static bool has_system(const Value *messages) {
    Str role = {"", 0};
    const Value *first = messages->array.n ? &messages->array.items[0] : NULL;
    return value_as_str(value_get(first, "role"), "role", &role, NULL) && str_is(role, "system");
}

/* What the template is given, as JSON. */
static void put_messages(Buf *json, const PromptFrom *from) {
    buf_str(json, "{\"messages\":[");
    bool more = from->system.n && !has_system(from->messages);
    if (more) put_system(json, from->system);
    for (size_t i = 0; i < from->messages->array.n; i++) {
        if (more || i) buf_char(json, ',');
        json_put_value(json, &from->messages->array.items[i], -1);
    }
    buf_char(json, ']');
    if (from->tools) {
        buf_str(json, ",\"tools\":");
        json_put_value(json, from->tools, -1);
    }
    buf_char(json, '}');
}

static void put_turn(Buf *json, const PromptFrom *from) {
    Conversation c = {0};
    buf_put(&c.system, from->system.s, from->system.n);
    conversation_add(&c, ROLE_USER, from->text);
    conversation_write(&c, json);
    conversation_release(&c);
}

static bool by_template(const PromptFrom *from, LlmwsTokenizer *tok, Ids *ids, Buf *text, Err *e) {
    Buf json = {0};
    LlmwsPrompt p;
    if (from->messages)
        put_messages(&json, from);
    else
        put_turn(&json, from);
    bool ok = llmws_chat_render(tok, json.s, "{\"add_generation_prompt\":true}", 0, &p, e);
    buf_release(&json);
    TRY(ok);
    for (size_t i = 0; i < p.n; i++) ids_put(ids, p.ids[i]);
    buf_put(text, p.text, p.len);
    llmws_prompt_free(&p);
    return ids->n || err_set(e, ERR_USAGE, "the prompt is empty; the chat template made nothing of it");
}

bool prompt_make(const PromptFrom *from, LlmwsTokenizer *tok, Ids *ids, Buf *text, Err *e) {
    if (from->messages || from->chat) return by_template(from, tok, ids, text, e);
    buf_put(text, from->text.s, from->text.n);
    return ids_of_text(tok, from->text, LLMWS_TOK_ADD_SPECIAL | LLMWS_TOK_PARSE_SPECIAL, ids, e);
}

bool prompt_fits(size_t n, int64_t ctx, Err *e) {
    return (int64_t)n <= ctx ||
           err_set(e, ERR_FIT, "the prompt does not fit: %zu tokens, the context holds %lld; give -c %zu or more", n,
                   (long long)ctx, n);
}
