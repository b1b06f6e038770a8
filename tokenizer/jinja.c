/* The entries of the interpreter: budget, errors, what goes in and what comes out. */
#include "tokenizer/jinja.h"

#include <stdio.h>
#include <stdlib.h>

#include "tokenizer/jinja_impl.h"

enum {
    MAX_SOURCE = 1 << 20,
    DEFAULT_DEPTH = 400,
    STEP_BYTES = 32,      /* of text for one step */
    BYTES_PER_INPUT = 24, /* what the input may be multiplied by beyond the plain budget */
    STEPS_PER_INPUT = 32,
};
static const int64_t default_steps = 8000000;
static const size_t default_bytes = (size_t)40 << 20;

/* ---- errors ---- */

static void place_of(Str source, size_t at, size_t *line, size_t *column) {
    *line = *column = 1;
    for (size_t i = 0; i < at && i < source.n; i++) {
        bool newline = source.s[i] == '\n';
        *line += newline;
        *column = newline ? 1 : *column + (((unsigned char)source.s[i] & 0xc0) != 0x80);
    }
}

void jinja_fail(Jinja *j, const char *fmt, ...) {
    char what[420];
    size_t line, column;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    place_of(j->source, j->at, &line, &column);
    err_set(j->e, ERR_INPUT, "cannot %s the chat template: line %zu, column %zu: %s", j->doing, line, column, what);
    longjmp(j->exit, 1);
}

void jinja_fail_undefined(Jinja *j, JValue v) {
    const JUndefined *u = v.undefined;
    int n = (int)MIN(u->name.n, (size_t)100);
    if (u->hint) jinja_fail(j, "%s", u->hint);
    if (!u->of) jinja_fail(j, "'%.*s' is undefined", n, u->name.s);
    jinja_fail(j, "a '%s' has no '%.*s'", u->of, n, u->name.s);
}

/* ---- budget ---- */

void jinja_step(Jinja *j, size_t bytes) {
    j->steps -= 1 + (int64_t)(bytes / STEP_BYTES);
    if (j->steps < 0) jinja_fail(j, "it takes too many steps; does a loop never end?");
}

void jinja_enter(Jinja *j) {
    if (--j->depth < 0) jinja_fail(j, "it is nested too deeply");
}

void *jinja_alloc(Jinja *j, size_t count, size_t size) {
    size_t n;
    if (!mul_size(count, size, &n) || n > j->bytes_max || j->arena->bytes + n > j->bytes_max)
        jinja_fail(j, "it takes more memory than the %zu MiB allowed", j->bytes_max >> 20);
    return arena_alloc(j->arena, count, size);
}

const char *jinja_printf(Jinja *j, const char *fmt, ...) {
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t len = MIN((size_t)MAX(n, 0), sizeof text - 1);
    char *out = jinja_alloc(j, len + 1, 1);
    memcpy(out, text, len);
    return out;
}

static void begin(Jinja *j, const JinjaOptions *opt, Arena *arena, size_t input, Err *e) {
    static const JinjaOptions none;
    const JinjaLimits *l = opt ? &opt->limits : &none.limits;
    *j = (Jinja){.e = e, .arena = arena, .doing = "compile", .now = opt ? opt->now : 0};
    j->steps = l->steps ? l->steps : default_steps + STEPS_PER_INPUT * (int64_t)input;
    j->bytes_max = l->bytes ? l->bytes : default_bytes + BYTES_PER_INPUT * input;
    j->depth = l->depth ? l->depth : DEFAULT_DEPTH;
}

/* ---- compiling ---- */

/* Newlines are \n, and one at the end goes, as jinja2 has it. */
static Str normalize(Arena *a, Str source) {
    char *s = arena_alloc(a, source.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < source.n; i++) {
        bool cr = source.s[i] == '\r';
        s[n++] = cr ? '\n' : source.s[i];
        if (cr && i + 1 < source.n && source.s[i + 1] == '\n') i++;
    }
    if (n && s[n - 1] == '\n') n--;
    return (Str){s, n};
}

static bool compile(Jinja *j, JinjaTemplate *t) {
    if (setjmp(j->exit)) return false;
    jinja_parse(j, t);
    jinja_resolve(j, t);
    return true;
}

bool jinja_compile(Str source, const JinjaOptions *opt, JinjaTemplate **out, Err *e) {
    Jinja j;
    *out = NULL;
    if (source.n > MAX_SOURCE)
        return err_set(e, ERR_INPUT, "the chat template has %zu bytes, more than %d", source.n, MAX_SOURCE);
    if (!utf8_valid(source)) return err_set(e, ERR_INPUT, "the chat template is not valid UTF-8 text");
    JinjaTemplate *t = mem_alloc(1, sizeof *t);
    begin(&j, opt, &t->arena, 0, e);
    j.source = t->source = normalize(&t->arena, source);
    if (compile(&j, t)) return *out = t, true;
    jinja_free(t);
    return false;
}

void jinja_free(JinjaTemplate *t) {
    if (!t) return;
    arena_release(&t->arena);
    free(t);
}

Str jinja_source(const JinjaTemplate *t) { return t->source; }

/* ---- the context ---- */

static size_t value_bytes(const Value *v) { /* a measure of the input, for the budget */
    size_t n = sizeof *v;
    if (v->kind == VALUE_STR) n += v->s.n;
    if (v->kind == VALUE_ARRAY)
        for (size_t i = 0; i < v->array.n; i++) n += value_bytes(&v->array.items[i]);
    if (v->kind == VALUE_OBJECT)
        for (size_t i = 0; i < v->object.n; i++) n += v->object.keys[i].n + value_bytes(&v->object.items[i]);
    return n;
}

static JText *input_text(Jinja *j, Str s, bool trusted) {
    jinja_step(j, s.n);
    if (!utf8_valid(s)) jinja_fail(j, "a value that was given is not valid UTF-8 text");
    JText *t = jtext_of(j, s, trusted);
    jtext_chars(j, t);
    return t;
}

static bool is_word(Str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.s[i];
        if (!((c | 32) >= 'a' && (c | 32) <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-') return false;
    }
    return true;
}

static JValue input(Jinja *j, const Value *v, const JinjaVar *var);

static JValue input_object(Jinja *j, const Value *v, const JinjaVar *var) {
    JDict *d = jdict_new(j);
    JinjaVar word = *var;
    word.trusted = true;
    for (size_t i = 0; i < v->object.n; i++) {
        const Value *item = &v->object.items[i];
        Str key = v->object.keys[i];
        bool trust = var->word_key && str_is(key, var->word_key) && item->kind == VALUE_STR && is_word(item->s);
        jdict_put(j, d, jstr(input_text(j, key, var->trusted)), input(j, item, trust ? &word : var));
    }
    return jdict(d);
}

static JValue input(Jinja *j, const Value *v, const JinjaVar *var) {
    jinja_step(j, 0);
    switch (v->kind) {
    case VALUE_NULL: return J_NONE_VALUE;
    case VALUE_BOOL: return jbool(v->b);
    case VALUE_INT: return jint(v->i);
    case VALUE_FLOAT: return jfloat(v->f);
    case VALUE_STR: return jstr(input_text(j, v->s, var->trusted));
    default: break;
    }
    JValue out;
    jinja_enter(j);
    if (v->kind == VALUE_OBJECT) {
        out = input_object(j, v, var);
    } else {
        JSeq *s = jseq_new(j, value_count(v));
        size_t cursor = 0;
        for (Value item; value_next(v, &cursor, &item);) jseq_push(j, s, input(j, &item, var));
        out = jlist(s);
    }
    j->depth++;
    return out;
}

static void put_name(Jinja *j, Str name, JValue v) {
    int32_t at = strmap_get(&j->names, name);
    if (at < 0) {
        at = (int32_t)j->names.n;
        strmap_put(&j->names, j->arena, name, at);
    }
    j->values[at] = v;
}

static void put_names(Jinja *j, const JinjaVar *vars, size_t n) {
    j->values = JINJA_NEW(j, JValue, n + jinja_n_globals);
    for (size_t i = 0; i < jinja_n_globals; i++) {
        JFunc *f = JINJA_NEW(j, JFunc, 1);
        f->row = &jinja_globals[i];
        put_name(j, str_of(f->row->name), (JValue){.kind = J_FUNC, .func = f});
    }
    for (size_t i = 0; i < n; i++) put_name(j, str_of(vars[i].name), input(j, vars[i].value, &vars[i]));
}

static bool render(Jinja *j, const JinjaTemplate *t, const JinjaVar *vars, size_t n) {
    if (setjmp(j->exit)) return false;
    put_names(j, vars, n);
    j->out = j->root_out = jtail_new(j);
    j->answers = jtail_new(j);
    jexec(j, t);
    return true;
}

/* ---- what comes out ---- */

static void take_spans(const JTail *text, JinjaResult *out) {
    size_t cap = 0;
    for (size_t begin = 0, end; begin < text->n; begin = end) {
        bool trusted = text->marks ? text->marks[begin] : text->trusted;
        for (end = begin + 1; end < text->n && text->marks && text->marks[end] == trusted;) end++;
        if (!text->marks) end = text->n;
        if (out->n_spans == cap) out->spans = mem_grow(out->spans, cap = cap ? 2 * cap : 16, sizeof *out->spans);
        out->spans[out->n_spans++] = (JinjaSpan){begin, end, trusted};
    }
}

bool jinja_render(const JinjaTemplate *t, const JinjaVar *vars, size_t n, const JinjaOptions *opt, JinjaResult *out,
                  Err *e) {
    Jinja j;
    Arena arena = {0};
    size_t given = 0;
    *out = (JinjaResult){0};
    for (size_t i = 0; i < n; i++) given += value_bytes(vars[i].value);
    begin(&j, opt, &arena, given, e);
    j.doing = "render";
    j.source = t->source;
    bool ok = render(&j, t, vars, n);
    if (ok) {
        buf_put(&out->text, j.out->n ? j.out->s : "", j.out->n);
        take_spans(j.out, out);
        out->n_answers = j.answers->n / sizeof *out->answers;
        out->answers = mem_alloc(out->n_answers, sizeof *out->answers);
        if (j.answers->n) memcpy(out->answers, j.answers->s, j.answers->n);
    }
    arena_release(&arena);
    return ok;
}

void jinja_result_release(JinjaResult *r) {
    buf_release(&r->text);
    free(r->spans);
    free(r->answers);
    *r = (JinjaResult){0};
}
