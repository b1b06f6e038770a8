#include "cmd/rule.h"

#include <stdio.h>
#include <stdlib.h>

#include "formats/formats.h"

static bool rule_error(const char *text, const char *why, Err *e) {
    return err_set(
        e, ERR_USAGE,
        "--intervene '%s': %s; a rule is 'NAME += A*FILE.safetensors:KEY @ WHERE', 'NAME = 0' or 'NAME *= 0.5'", text,
        why);
}

static Str trim(Str s) {
    while (s.n && (*s.s == ' ' || *s.s == '\t')) s = (Str){s.s + 1, s.n - 1};
    while (s.n && (s.s[s.n - 1] == ' ' || s.s[s.n - 1] == '\t')) s.n--;
    return s;
}

/* Whole slice as a number. */
static bool slice_number(Str s, double *out) {
    char text[40];
    Err ignored;
    if (!s.n || s.n >= sizeof text) return false;
    memcpy(text, s.s, s.n);
    text[s.n] = 0;
    return parse_float(text, "", -1e9, 1e9, out, &ignored);
}

typedef struct Span { /* positions that a rule may speak of */
    int64_t prompt, end;
} Span;

/* "all", "last", "prompt", "5", "3..7" (both ends count) as positions [from, to). */
static bool where_parse(Str w, Span span, LlmwsPatch *p) {
    double first, last;
    p->from = 0;
    p->to = -1;
    if (!w.n || str_is(w, "all")) return true;
    if (!span.prompt && (str_is(w, "prompt") || str_is(w, "last"))) return false;
    p->to = span.prompt;
    if (str_is(w, "prompt")) return true;
    p->from = span.prompt - 1;
    if (str_is(w, "last")) return true;
    size_t dots = 0;
    while (dots + 1 < w.n && !(w.s[dots] == '.' && w.s[dots + 1] == '.')) dots++;
    bool range = dots + 1 < w.n;
    if (!slice_number((Str){w.s, range ? dots : w.n}, &first)) return false;
    last = first;
    if (range && !slice_number((Str){w.s + dots + 2, w.n - dots - 2}, &last)) return false;
    if (first < 0 || last < first || last >= (double)span.end) return false;
    p->from = (int64_t)first;
    p->to = (int64_t)last + 1;
    return true;
}

/* The vector KEY of a safetensors file, as f32; owned by the patch. */
static bool vector_load(const char *file, Str key, LlmwsPatch *p, Err *e) {
    TensorFile f;
    TRY(safetensors_open(file, &f, e));
    const NamedTensor *t = tensor_file_find(&f, key);
    int64_t n = t ? tensor_count(&t->t) : 0;
    bool ok = true;
    if (!t)
        ok = err_set(e, ERR_INPUT, "cannot use '%s': it has no array '%.*s'", file, STR_ARG(key));
    else if (n == 0 || t->t.ne[t->t.ndim - 1] != n || !dtype_info[t->t.dtype].decode)
        ok = err_set(e, ERR_INPUT, "cannot use '%s': '%.*s' is no vector of floats", file, STR_ARG(key));
    if (ok) {
        float *vec = mem_alloc((size_t)n, sizeof *vec);
        dtype_info[t->t.dtype].decode(t->t.data, vec, n);
        p->vec = vec;
        p->n = (size_t)n;
    }
    f.close(&f);
    return ok;
}

/* "A*FILE:KEY" or "FILE:KEY". */
static bool vector_parse(const char *text, Str v, LlmwsPatch *p, Err *e) {
    double scale = 1;
    const char *star = memchr(v.s, '*', v.n);
    if (star && slice_number(trim((Str){v.s, (size_t)(star - v.s)}), &scale))
        v = trim((Str){star + 1, v.n - (size_t)(star + 1 - v.s)});
    size_t colon = v.n;
    while (colon && v.s[colon - 1] != ':') colon--;
    if (colon < 2 || colon == v.n) return rule_error(text, "what is added must be a vector, A*FILE:KEY", e);
    char *file = mem_alloc(colon, 1);
    memcpy(file, v.s, colon - 1);
    p->add = (float)scale;
    bool ok = vector_load(file, (Str){v.s + colon, v.n - colon}, p, e);
    free(file);
    return ok;
}

typedef struct RuleParts { /* slices of a rule's text */
    const char *text;
    Str name, value, where;
    char op; /* '=', '+' or '*' */
} RuleParts;

static bool rule_split(const char *text, RuleParts *r, Err *e) {
    const char *eq = strchr(text, '='), *at = strrchr(text, '@');
    if (!eq || eq == text || (at && at < eq)) return rule_error(text, "no operator", e);
    r->text = text;
    r->op = eq[-1] == '+' || (eq[-1] == '*' && eq - 1 > text && eq[-2] == ' ') ? eq[-1] : '=';
    r->name = trim((Str){text, (size_t)(eq - text) - (r->op != '=')});
    r->value = trim((Str){eq + 1, at ? (size_t)(at - eq - 1) : strlen(eq + 1)});
    r->where = at ? trim(str_of(at + 1)) : STR("");
    return (r->name.n && r->value.n) || rule_error(text, r->name.n ? "no value" : "no name", e);
}

static bool rule_parse(const char *text, Span span, LlmwsPatch *p, Err *e) {
    RuleParts r = {0};
    double number;
    TRY(rule_split(text, &r, e));
    char *name = mem_alloc(r.name.n + 1, 1);
    memcpy(name, r.name.s, r.name.n);
    p->name = name;
    if (!where_parse(r.where, span, p)) {
        char why[120];
        snprintf(why, sizeof why, "WHERE must be all%s, or positions from 0 to %lld",
                 span.prompt ? ", last, prompt" : "", (long long)span.end - 1);
        return rule_error(text, why, e);
    }
    bool is_number = slice_number(r.value, &number);
    if (r.op == '*') {
        if (!is_number) return rule_error(text, "*= needs a number", e);
        p->mul = (float)number;
        return true;
    }
    p->mul = r.op == '+' ? 1 : 0;
    if (r.op == '=' && is_number && number == 0) return true;
    return vector_parse(text, r.value, p, e);
}

bool rules_parse(const OptList *texts, int64_t prompt, int64_t end, Rules *out, Err *e) {
    *out = (Rules){.patches = mem_alloc(texts->n + 1, sizeof *out->patches)};
    while (out->n < texts->n) {
        size_t i = out->n++; /* a rule that failed half-way is released too */
        TRY(rule_parse(texts->items[i], (Span){prompt, end}, &out->patches[i], e));
    }
    return true;
}

void rules_release(Rules *r) {
    for (size_t i = 0; i < r->n; i++) {
        free((void *)(uintptr_t)r->patches[i].name);
        free((void *)(uintptr_t)r->patches[i].vec);
    }
    free(r->patches);
    *r = (Rules){0};
}
