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

static bool cannot_tell(size_t i, Err *e) {
    return err_set(e, ERR_INPUT,
                   "message %zu: where the answer is cannot be told, since the chat template writes what came before "
                   "differently when more follows; it needs {%% generation %%} blocks",
                   i);
}

static bool begins_with(Str all, Str head) { return head.n <= all.n && memcmp(all.s, head.s, head.n) == 0; }

/* Where answer i begins: the prompt for it ends there. */
static bool answer_begin(const Conversation *c, size_t i, Str all, size_t *begin, Err *e) {
    JinjaResult r;
    *begin = 0;
    if (!i) return true;
    TRY(render(c, i, true, &r, e));
    *begin = r.text.n;
    bool ok = begins_with(all, buf_view(&r.text));
    jinja_result_release(&r);
    return ok || cannot_tell(i, e);
}

static Str trim(Str s) {
    while (s.n && strchr(" \t\r\n", s.s[s.n - 1])) s.n--;
    while (s.n && strchr(" \t\r\n", *s.s)) s.s++, s.n--;
    return s;
}

/* What stands behind a text, from byte `from` on; NULL: it does not stand there. */
static const char *behind(Str all, size_t from, Str text) {
    const char *at = from <= all.n ? memmem(all.s + from, all.n - from, text.s, text.n) : NULL;
    return at ? at + text.n : NULL;
}

/* Where it ends. Some templates write the last answer otherwise than those before, with its reasoning for one: what
 * they put behind the content is the same. */
static bool answer_end(const Conversation *c, size_t i, Str all, size_t begin, size_t *end, Err *e) {
    JinjaResult r;
    TRY(render(c, i + 1, false, &r, e));
    Str last = buf_view(&r.text);
    bool ok = begins_with(all, last);
    *end = last.n;
    const Value *content = value_get(&c->messages->array.items[i], "content");
    if (!ok && content && content->kind == VALUE_STR) {
        const char *a = behind(all, begin, trim(content->s)), *b = behind(last, begin, trim(content->s));
        if ((ok = a && b)) {
            while (a < all.s + all.n && b < last.s + last.n && *a == *b) a++, b++;
            *end = (size_t)(a - all.s);
        }
    }
    jinja_result_release(&r);
    return ok || cannot_tell(i, e);
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
    const Str text = buf_view(&all->text);
    free(all->answers);
    all->answers = mem_alloc(n, sizeof *all->answers);
    all->n_answers = 0;
    for (size_t i = 0; i < n; i++) {
        const Value *role = value_get(&c->messages->array.items[i], "role");
        size_t begin, end;
        if (!role || role->kind != VALUE_STR || !str_is(role->s, "assistant")) continue;
        TRY(answer_begin(c, i, text, &begin, e) && answer_end(c, i, text, begin, &end, e));
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
