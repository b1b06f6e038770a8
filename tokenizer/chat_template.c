#include "tokenizer/chat_template.h"

#include <stdlib.h>

#include "tokenizer/jinja_impl.h"

/* ---- which template ---- */

static const char *find_template(const TokSpec *spec, const char *name) {
    for (int32_t i = 0; i < spec->n_templates; i++)
        if (strcmp(spec->templates[i].name, name) == 0) return spec->templates[i].text;
    return NULL;
}

static bool no_template(const TokSpec *spec, Str wanted, Err *e) {
    Buf names = {0};
    for (int32_t i = 0; i < spec->n_templates; i++)
        buf_printf(&names, "%s'%s'", i ? ", " : "", spec->templates[i].name);
    if (!spec->n_templates)
        err_set(e, ERR_INPUT, "the model has no chat template; give the prompt as it is");
    else
        err_set(e, ERR_INPUT, "the model has no chat template '%.*s' (it has %s); name one of them", STR_ARG(wanted),
                names.s);
    buf_release(&names);
    return false;
}

bool chat_template_pick(const TokSpec *spec, const Value *request, Str *out, Err *e) {
    const Value *tools = value_get(request, "tools");
    Str name = {"", 0};
    TRY(value_as_str(value_get(request, "chat_template"), "chat_template", &name, e));
    for (int32_t i = 0; i < spec->n_templates && name.n; i++)
        if (str_is(name, spec->templates[i].name)) return *out = str_of(spec->templates[i].text), true;
    if (name.n) return no_template(spec, name, e);
    const char *text = tools && tools->kind != VALUE_NULL ? find_template(spec, "tool_use") : NULL;
    if (!text) text = spec->chat_template;
    if (!text) return no_template(spec, STR("default"), e);
    *out = str_of(text);
    return true;
}

/* ---- the context ---- */

typedef struct Context {
    Arena arena;
    JinjaVar *vars;
    size_t n;
    Str open; /* the text of the last message that shall go on; s NULL: none */
} Context;

static void put_var(Context *c, const char *name, const Value *v, bool trusted) {
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->vars[i].name, name) != 0) continue;
        c->vars[i].value = v;
        c->vars[i].trusted = trusted;
        return;
    }
    c->vars[c->n++] = (JinjaVar){.name = name, .value = v, .trusted = trusted};
}

static Value *new_value(Context *c, Value v) {
    Value *p = ARENA_NEW(&c->arena, Value, 1);
    *p = v;
    return p;
}

static Str token_text(const TokSpec *spec, int32_t id) {
    for (int32_t i = 0; i < spec->n_added; i++)
        if (spec->added[i].id == id) return spec->added[i].text;
    return id >= 0 && id < spec->n_vocab ? spec->vocab[id] : (Str){"", 0};
}

static void put_token(Context *c, const TokSpec *spec, const char *name, int32_t id) {
    Str text = token_text(spec, id);
    if (text.n) put_var(c, name, new_value(c, (Value){.kind = VALUE_STR, .s = text}), true);
}

static const char *const reasoning[] = {"reasoning_content", "thinking", "reasoning"};

static void put_member(Value *message, const char *key, const Value *v) {
    for (size_t i = 0; i < message->object.n; i++) {
        if (!str_is(message->object.keys[i], key)) continue;
        message->object.items[i] = *v;
        return;
    }
    message->object.keys[message->object.n] = str_of(key);
    message->object.items[message->object.n++] = *v;
}

static bool is_null(const Value *v) { return !v || v->kind == VALUE_NULL; }

/* Without null members, and with the reasoning under the names that templates read. */
static Value message_of(Context *c, const Value *m) {
    size_t room = m->object.n + 2;
    Value out = {.kind = VALUE_OBJECT};
    const Value *thought = NULL;
    out.object.keys = ARENA_NEW(&c->arena, Str, room);
    out.object.items = ARENA_NEW(&c->arena, Value, room);
    for (size_t i = 0; i < COUNT_OF(reasoning) && is_null(thought); i++) thought = value_get(m, reasoning[i]);
    if (!is_null(thought)) put_member(&out, "thinking", thought);
    for (size_t i = 0; i < m->object.n; i++) {
        const Value *item = &m->object.items[i];
        bool thinking = !is_null(thought) && str_is(m->object.keys[i], "thinking");
        if (is_null(item)) continue;
        if (thinking) {
            put_member(&out, "thinking", item);
            continue;
        }
        out.object.keys[out.object.n] = m->object.keys[i];
        out.object.items[out.object.n++] = *item;
    }
    if (!is_null(thought)) put_member(&out, "reasoning_content", thought);
    return out;
}

/* ---- a last message that goes on ---- */

/* Put behind the text, to be found again in the prompt: the prompt ends there. The space tells whether the template
 * trims. As transformers writes it, since a template could look at what it is given. */
static const char open_mark[] = "CONTINUE_FINAL_MESSAGE_TAG ";

static Value marked(Context *c, Str text) {
    char *s = arena_printf(&c->arena, "%.*s%s", (int)text.n, text.s, open_mark);
    c->open = text;
    return (Value){.kind = VALUE_STR, .s = str_of(s)};
}

/* Marks the last part that has a text; parts are the request's own, so they are copied. */
static bool mark_parts(Context *c, Value *parts, Err *e) {
    Value *items = ARENA_NEW(&c->arena, Value, parts->array.n);
    if (parts->array.n) memcpy(items, parts->array.items, parts->array.n * sizeof *items);
    parts->array.items = items;
    for (size_t i = parts->array.n; i-- > 0;) {
        const Value *text = value_get(&items[i], "text");
        if (!text || text->kind != VALUE_STR) continue;
        Value part = {.kind = VALUE_OBJECT};
        part.object.keys = items[i].object.keys;
        part.object.n = items[i].object.n;
        part.object.items = ARENA_NEW(&c->arena, Value, part.object.n);
        memcpy(part.object.items, items[i].object.items, part.object.n * sizeof *part.object.items);
        put_member(&part, "text", &(Value){.kind = VALUE_STR, .s = marked(c, text->s).s});
        items[i] = part;
        return true;
    }
    return err_set(e, ERR_INPUT, "continue_final_message: the last message has no text that could go on");
}

/* Which member goes on: true means "content". One that is reasoning goes on under all its names. */
static bool mark_message(Context *c, Str source, const Value *which, Value *message, Err *e) {
    const char *names[COUNT_OF(reasoning)] = {"content"};
    size_t n = 1;
    bool read = false;
    Str field = which->kind == VALUE_STR ? which->s : STR("content");
    names[0] = arena_strn(&c->arena, field.s, field.n);
    const Value *was = value_get(message, names[0]);
    if (is_null(was) || (was->kind != VALUE_STR && was->kind != VALUE_ARRAY))
        return err_set(e, ERR_INPUT, "continue_final_message: the last message has no '%s' that could go on", names[0]);
    Value text = *was;
    for (size_t i = 0; i < COUNT_OF(reasoning); i++)
        if (str_is(field, reasoning[i])) memcpy(names, reasoning, sizeof names), n = COUNT_OF(reasoning);
    for (size_t i = 0; i < n; i++) {
        const Value *same = value_get(message, names[i]);
        if (!same || same->kind != text.kind || (text.kind == VALUE_STR && !str_eq(same->s, text.s))) continue;
        read = read || memmem(source.s, source.n, names[i], strlen(names[i]));
        Value v = text.kind == VALUE_STR ? marked(c, text.s) : text;
        if (v.kind == VALUE_ARRAY) TRY(mark_parts(c, &v, e));
        put_member(message, names[i], &v);
    }
    return read ||
           err_set(e, ERR_INPUT, "continue_final_message: the chat template does not read '%.*s'", STR_ARG(field));
}

/* Ends the prompt where the mark stands; where the template trimmed the text, without white space too. */
static bool cut_open(JinjaResult *r, Str open, Err *e) {
    Str text = buf_view(&r->text), mark = {open_mark, sizeof open_mark - 2}; /* without its space */
    size_t at = text.n < mark.n ? SIZE_MAX : text.n - mark.n;
    while (at != SIZE_MAX && memcmp(text.s + at, mark.s, mark.n) != 0) at--; /* below 0 comes SIZE_MAX */
    open.n = py_strip_end(open);
    size_t lead = py_strip_start(open);
    if (at == SIZE_MAX || (open.n > lead && !memmem(text.s, text.n, open.s + lead, open.n - lead)))
        return err_set(e, ERR_INPUT,
                       "continue_final_message: the last message does not stand in the prompt; the chat template "
                       "leaves parts of it out");
    bool kept = at + mark.n < text.n && text.s[at + mark.n] == ' ';
    r->text.n = kept ? at : py_strip_end((Str){text.s, at});
    r->text.s[r->text.n] = 0;
    for (size_t i = 0; i < r->n_spans; i++) r->spans[i].end = MIN(r->spans[i].end, r->text.n);
    while (r->n_spans && r->spans[r->n_spans - 1].begin >= r->text.n) r->n_spans--;
    for (size_t i = 0; i < r->n_answers; i++) r->answers[i].end = MIN(r->answers[i].end, r->text.n);
    while (r->n_answers && r->answers[r->n_answers - 1].begin >= r->text.n) r->n_answers--;
    return true;
}

/* ---- what a template sees ---- */

static bool put_messages(Context *c, const Value *messages, Err *e) {
    if (!messages || messages->kind != VALUE_ARRAY) return err_set(e, ERR_INPUT, "the messages are no list of objects");
    if (!messages->array.n) return err_set(e, ERR_INPUT, "there are no messages; give at least one");
    Value *list = new_value(c, (Value){.kind = VALUE_ARRAY});
    list->array.n = messages->array.n;
    list->array.items = ARENA_NEW(&c->arena, Value, messages->array.n);
    for (size_t i = 0; i < messages->array.n; i++) {
        if (messages->array.items[i].kind != VALUE_OBJECT)
            return err_set(e, ERR_INPUT, "message %zu is no object with a role and content", i);
        list->array.items[i] = message_of(c, &messages->array.items[i]);
    }
    put_var(c, "messages", list, false);
    c->vars[c->n - 1].word_key = "role";
    return true;
}

static bool is_true(const Value *v) {
    return v && ((v->kind == VALUE_BOOL && v->b) || (v->kind == VALUE_STR && v->s.n));
}

static bool put_open(Context *c, Str source, const Value *request, Err *e) {
    const Value *which = value_get(request, "continue_final_message");
    if (!is_true(which)) return true;
    if (is_true(value_get(request, "add_generation_prompt")))
        return err_set(
            e, ERR_INPUT,
            "continue_final_message and add_generation_prompt are both given; the model goes on with the last "
            "message or begins a new one");
    Value *list = (Value *)(uintptr_t)c->vars[0].value;
    return mark_message(c, source, which, &list->array.items[list->array.n - 1], e);
}

static bool put_all(Context *c, const TokSpec *spec, const Value *request, Err *e) {
    static const Value none = {.kind = VALUE_NULL}, no = {.kind = VALUE_BOOL};
    if (request->kind != VALUE_OBJECT) return err_set(e, ERR_INPUT, "the request is no object with messages");
    c->vars = ARENA_NEW(&c->arena, JinjaVar, request->object.n + 16);
    TRY(put_messages(c, value_get(request, "messages"), e));
    put_token(c, spec, "bos_token", spec->bos);
    put_token(c, spec, "eos_token", spec->eos);
    put_token(c, spec, "unk_token", spec->unk);
    put_token(c, spec, "pad_token", spec->pad);
    put_var(c, "tools", &none, false);
    put_var(c, "documents", &none, false);
    put_var(c, "add_generation_prompt", &no, false);
    for (size_t i = 0; i < request->object.n; i++) {
        Str key = request->object.keys[i];
        if (str_is(key, "messages") || str_is(key, "chat_template") || str_is(key, "continue_final_message")) continue;
        put_var(c, arena_strn(&c->arena, key.s, key.n), &request->object.items[i], false);
    }
    return true;
}

bool chat_render(const TokSpec *spec, const Value *request, const JinjaOptions *opt, JinjaResult *out, Err *e) {
    Context c = {0};
    JinjaTemplate *t = NULL;
    Str text;
    *out = (JinjaResult){0};
    bool ok = chat_template_pick(spec, request, &text, e) && put_all(&c, spec, request, e) &&
              put_open(&c, text, request, e) && jinja_compile(text, opt, &t, e) &&
              jinja_render(t, c.vars, c.n, opt, out, e);
    if (ok && c.open.s && !(ok = cut_open(out, c.open, e))) jinja_result_release(out);
    jinja_free(t);
    arena_release(&c.arena);
    return ok;
}

/* ---- tokens ---- */

typedef struct Marked { /* the rendered text by code points */
    Str text;
    size_t *at;    /* [n + 1] byte at which each begins */
    uint8_t *mark; /* [n] CHAR_* */
    int64_t n;
} Marked;
enum { CHAR_TRUSTED = 1, CHAR_ANSWER = 2 };

static Marked mark_text(const JinjaResult *r) {
    Marked m = {.text = buf_view(&r->text)};
    uint8_t *byte = mem_alloc(m.text.n + 1, 1);
    m.at = mem_alloc(m.text.n + 1, sizeof *m.at);
    m.mark = mem_alloc(m.text.n + 1, 1);
    for (size_t i = 0; i < r->n_spans; i++)
        if (r->spans[i].trusted) memset(byte + r->spans[i].begin, CHAR_TRUSTED, r->spans[i].end - r->spans[i].begin);
    for (size_t i = 0; i < r->n_answers; i++)
        for (size_t k = r->answers[i].begin; k < MIN(r->answers[i].end, m.text.n); k++) byte[k] |= CHAR_ANSWER;
    for (size_t i = 0; i < m.text.n; i++) {
        if (((unsigned char)m.text.s[i] & 0xc0) == 0x80) continue;
        m.mark[m.n] = byte[i];
        m.at[m.n++] = i;
    }
    m.at[m.n] = m.text.n;
    free(byte);
    return m;
}

static bool is_special(const TokSpec *spec, const uint8_t *special, int32_t id) {
    return id >= 0 && id < spec->n_vocab && special[id];
}

/* Whether a user wrote a part of it: white space that a token takes with it does not count. */
static bool is_users(const Marked *m, const int64_t range[2]) {
    int64_t a = range[0], b = range[1];
    while (a < b && strchr(" \t\r\n", m->text.s[m->at[a]])) a++;
    while (b > a && strchr(" \t\r\n", m->text.s[m->at[b - 1]])) b--;
    for (; a < b; a++)
        if (!(m->mark[a] & CHAR_TRUSTED)) return true;
    return false;
}

static void put_id(TokenList *out, int32_t id, int64_t begin, int64_t end) {
    if (out->n == out->cap) {
        out->cap = MAX(64, out->cap * 2);
        out->ids = mem_grow(out->ids, out->cap, sizeof *out->ids);
        out->offsets = mem_grow(out->offsets, out->cap, sizeof *out->offsets);
    }
    out->ids[out->n] = id;
    out->offsets[out->n][0] = begin;
    out->offsets[out->n++][1] = end;
}

/* The ids of characters [range) as plain text that stands inside a text: behind a newline, which is taken off again, so
 * that no tokenizer puts before it what it puts before a text. */
static bool encode_plain(const Tokenizer *t, const Marked *m, const int64_t range[2], int32_t special, TokenList *out,
                         Err *e) {
    Str piece = {m->text.s + m->at[range[0]], m->at[range[1]] - m->at[range[0]]};
    TokenList newline = {0}, ids = {0};
    Buf text = {0};
    buf_char(&text, '\n');
    buf_put(&text, piece.s, piece.n);
    bool ok = tokenizer_encode(t, STR("\n"), 0, &newline, e) && tokenizer_encode(t, buf_view(&text), 0, &ids, e);
    size_t skip = newline.n;
    if (ok && (ids.n < skip || memcmp(ids.ids, newline.ids, skip * sizeof *ids.ids) != 0)) {
        skip = 0;
        ids.n = 0;
        ok = tokenizer_encode(t, piece, 0, &ids, e);
    }
    for (size_t i = skip; ok && i < ids.n; i++) {
        if (ids.ids[i] == special)
            ok = err_set(e, ERR_INPUT, "a message holds '%.*s', which has no ids but those of the special token",
                         STR_ARG(piece));
        put_id(out, ids.ids[i], range[0], range[1]);
    }
    token_list_release(&newline);
    token_list_release(&ids);
    buf_release(&text);
    return ok;
}

static bool encode_marked(const Tokenizer *t, const Marked *m, const uint8_t *special, bool trust_all, TokenList *out,
                          Err *e) {
    TokenList all = {0};
    bool ok = tokenizer_encode(t, m->text, LLMWS_TOK_PARSE_SPECIAL, &all, e);
    for (size_t i = 0; ok && i < all.n; i++) {
        const int64_t *range = all.offsets[i];
        if (!trust_all && is_special(tokenizer_spec(t), special, all.ids[i]) && is_users(m, range))
            ok = encode_plain(t, m, range, all.ids[i], out, e);
        else
            put_id(out, all.ids[i], range[0], range[1]);
    }
    token_list_release(&all);
    return ok;
}

bool chat_encode(const Tokenizer *t, const JinjaResult *r, bool trust_all, TokenList *out, uint8_t **marks, Err *e) {
    const TokSpec *spec = tokenizer_spec(t);
    uint8_t *special = mem_alloc((size_t)MAX(spec->n_vocab, 1), 1);
    size_t first = out->n;
    for (int32_t i = 0; i < spec->n_added; i++)
        if (spec->added[i].special && spec->added[i].id < spec->n_vocab) special[spec->added[i].id] = 1;
    Marked m = mark_text(r);
    *marks = NULL;
    bool ok = encode_marked(t, &m, special, trust_all, out, e);
    if (ok) {
        uint8_t *mark = *marks = mem_alloc(out->n - first + 1, 1);
        for (size_t i = first; i < out->n; i++, mark++) {
            if (is_special(spec, special, out->ids[i])) *mark |= CHAT_ID_SPECIAL;
            for (int64_t k = out->offsets[i][0]; k < MIN(out->offsets[i][1], m.n); k++)
                if (m.mark[k] & CHAR_ANSWER) *mark |= CHAT_ID_ANSWER;
        }
    }
    free(special);
    free(m.at);
    free(m.mark);
    return ok;
}
