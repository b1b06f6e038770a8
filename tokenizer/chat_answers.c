#include "tokenizer/chat_answers.h"

#include <stdlib.h>

/* Noon of 1 January 2025: what templates write of the day must not change from one run to the next. */
static const JinjaOptions that_day = {.now = 1735732800};

typedef struct Conversation {
    const TokSpec *spec;
    const Value *messages, *tools;
} Conversation;

/* The first n messages as the template writes them; prompt: and what stands before an answer to them. */
static bool render(const Conversation *c, size_t n, bool prompt, JinjaResult *out, Err *e) {
    Arena a = {0};
    Value request = {.kind = VALUE_OBJECT}, messages = *c->messages;
    messages.array.n = n;
    value_put(&a, &request, STR("messages"), messages);
    value_put(&a, &request, STR("add_generation_prompt"), value_bool(prompt));
    if (c->tools) value_put(&a, &request, STR("tools"), *c->tools);
    bool ok = chat_render(c->spec, &request, &that_day, out, e);
    arena_release(&a);
    return ok;
}

/* Bytes of the first n messages, with which `all` begins. */
static bool prefix_bytes(const Conversation *c, size_t n, bool prompt, const JinjaResult *all, size_t *bytes, Err *e) {
    JinjaResult r;
    *bytes = 0;
    if (!n) return true;
    TRY(render(c, n, prompt, &r, e));
    *bytes = r.text.n;
    bool ok = r.text.n <= all->text.n && memcmp(all->text.s, buf_view(&r.text).s, r.text.n) == 0;
    jinja_result_release(&r);
    return ok || err_set(e, ERR_INPUT,
                         "where the answers of the conversation are cannot be told: the chat template writes the first "
                         "%zu messages differently when more follow; it needs {%% generation %%} blocks",
                         n);
}

/* Without the white space that the template put at the end. */
static size_t trim_end(const JinjaResult *r, size_t begin, size_t end) {
    for (size_t i = r->n_spans; i-- > 0;)
        while (r->spans[i].trusted && end > begin && end > r->spans[i].begin && end <= r->spans[i].end &&
               strchr(" \t\r\n", r->text.s[end - 1]))
            end--;
    return end;
}

static bool find_answers(const Conversation *c, JinjaResult *all, Err *e) {
    const size_t n = c->messages->array.n;
    free(all->answers);
    all->answers = mem_alloc(n, sizeof *all->answers);
    all->n_answers = 0;
    for (size_t i = 0; i < n; i++) {
        const Value *role = value_get(&c->messages->array.items[i], "role");
        size_t begin, end;
        if (!role || role->kind != VALUE_STR || !str_is(role->s, "assistant")) continue;
        TRY(prefix_bytes(c, i, true, all, &begin, e) && prefix_bytes(c, i + 1, false, all, &end, e));
        if (begin < end) all->answers[all->n_answers++] = (JinjaSpan){begin, trim_end(all, begin, end), true};
    }
    return true;
}

static bool put_ids(const Tokenizer *t, const JinjaResult *r, IdList *out, IdRanges *answers, Err *e) {
    TokenList ids = {0};
    uint8_t *marks = NULL;
    const size_t from = out->n;
    bool ok = chat_encode(t, r, false, &ids, &marks, e);
    if (ok) id_list_put(out, ids.ids, ids.n);
    for (size_t i = 0; ok && i < ids.n; i++)
        if (marks[i] & CHAT_ID_ANSWER) id_ranges_put(answers, from + i, from + i + 1);
    free(marks);
    token_list_release(&ids);
    return ok;
}

bool chat_answers(const Tokenizer *t, const Value *messages, const Value *tools, IdList *out, IdRanges *answers,
                  Err *e) {
    const Conversation c = {tokenizer_spec(t), messages, tools};
    JinjaResult all;
    if (messages->kind != VALUE_ARRAY || !messages->array.n)
        return err_set(e, ERR_INPUT, "the messages are no list of objects");
    TRY(render(&c, messages->array.n, false, &all, e));
    bool ok = (all.n_answers || find_answers(&c, &all, e)) && put_ids(t, &all, out, answers, e);
    jinja_result_release(&all);
    return ok;
}
