/* Conversations: the prompt that a chat template makes. */
#include <stdlib.h>

#include "core/llmws_objects.h"
#include "formats/json.h"
#include "tokenizer/chat_template.h"

/* One object of both documents; `over` may be NULL, its members count first. */
static bool chat_request(const char *messages, const char *over, Arena *a, Value *out, Err *e) {
    Value more = {.kind = VALUE_OBJECT}, list;
    TRY(json_parse(str_of(messages), "the messages", a, out, e));
    TRY(!over || json_parse(str_of(over), "the options of the chat template", a, &more, e));
    if (more.kind != VALUE_OBJECT) return err_set(e, ERR_INPUT, "the options of the chat template are no JSON object");
    if (out->kind != VALUE_OBJECT) {
        list = *out;
        *out = (Value){.kind = VALUE_OBJECT};
        out->object.keys = ARENA_NEW(a, Str, 1);
        out->object.items = ARENA_NEW(a, Value, 1);
        out->object.keys[out->object.n] = STR("messages");
        out->object.items[out->object.n++] = list;
    }
    Value both = {.kind = VALUE_OBJECT};
    both.object.keys = ARENA_NEW(a, Str, out->object.n + more.object.n);
    both.object.items = ARENA_NEW(a, Value, out->object.n + more.object.n);
    const Value *from[] = {&more, out};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < from[k]->object.n; i++) {
            if (k && value_get(&more, arena_strn(a, from[k]->object.keys[i].s, from[k]->object.keys[i].n))) continue;
            both.object.keys[both.object.n] = from[k]->object.keys[i];
            both.object.items[both.object.n++] = from[k]->object.items[i];
        }
    *out = both;
    return true;
}

/* Of a text of len bytes: jinja2 counts answers inside of macros from where the macro is not yet written. */
static LlmwsTextSpan *text_spans(const JinjaSpan *spans, size_t n, size_t len) {
    LlmwsTextSpan *out = mem_alloc(n, sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i] = (LlmwsTextSpan){MIN(spans[i].begin, len), MIN(spans[i].end, len), spans[i].trusted};
    return out;
}

static bool chat_prompt(LlmwsTokenizer *t, const JinjaResult *r, int flags, LlmwsPrompt *out, Err *e) {
    TokenList ids = {0};
    if (!chat_encode(t->tok, r, flags & LLMWS_CHAT_TRUST_TEXT, &ids, &out->marks, e)) {
        token_list_release(&ids);
        return false;
    }
    out->ids = ids.ids;
    out->offsets = ids.offsets;
    out->n = ids.n;
    out->len = r->text.n;
    out->text = mem_alloc(r->text.n + 1, 1);
    memcpy(out->text, r->text.s, r->text.n);
    out->n_spans = r->n_spans;
    out->spans = text_spans(r->spans, r->n_spans, out->len);
    out->n_answers = r->n_answers;
    out->answers = text_spans(r->answers, r->n_answers, out->len);
    return true;
}

bool llmws_chat_render(LlmwsTokenizer *t, const char *messages, const char *options, int flags, LlmwsPrompt *out,
                       LlmwsErr *e) {
    Arena a = {0};
    Value request;
    JinjaResult r = {0};
    *out = (LlmwsPrompt){0};
    bool ok = chat_request(messages, options, &a, &request, e) && chat_render(&t->spec, &request, NULL, &r, e) &&
              chat_prompt(t, &r, flags, out, e);
    jinja_result_release(&r);
    arena_release(&a);
    return ok;
}

void llmws_prompt_free(LlmwsPrompt *p) {
    free(p->text);
    free(p->spans);
    free(p->answers);
    free(p->ids);
    free(p->offsets);
    free(p->marks);
    *p = (LlmwsPrompt){0};
}
