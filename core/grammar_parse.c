/* GBNF text -> rules. */
#include <stdio.h>
#include <stdlib.h>

#include "core/grammar_ast.h"

typedef struct Parser {
    Str text;
    size_t at;
    GrammarAst *ast;
    StrMap names;
    int groups; /* open */
    Err *e;
} Parser;

static bool fail_at(const Parser *p, size_t at, const char *fmt, ...) PRINTF(3, 4);
static bool fail_at(const Parser *p, size_t at, const char *fmt, ...) {
    char what[200];
    va_list ap;
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < p->text.n; i++) {
        if (p->text.s[i] == '\n') line++, column = 0;
        column += ((unsigned char)p->text.s[i] & 0xc0) != 0x80;
    }
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return err_set(p->e, ERR_INPUT, "grammar, line %zu, column %zu: %s", line, column, what);
}

static int peek(const Parser *p) { return p->at < p->text.n ? (unsigned char)p->text.s[p->at] : -1; }

/* White space and comments; over the ends of lines only where `lines`. */
static void skip_space(Parser *p, bool lines) {
    for (;;) {
        int c = peek(p);
        if (c == '#')
            while (peek(p) != '\n' && peek(p) >= 0) p->at++;
        else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r')))
            p->at++;
        else
            return;
    }
}

static bool is_name(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static Ast *ast_new(Parser *p, AstKind kind) {
    Ast *a = ARENA_NEW(p->ast->arena, Ast, 1);
    a->kind = kind;
    return a;
}

static bool rule_of(Parser *p, int32_t *rule) {
    GrammarAst *g = p->ast;
    size_t from = p->at;
    while (is_name(peek(p))) p->at++;
    Str name = {p->text.s + from, p->at - from};
    if (!name.n) return fail_at(p, from, "expected the name of a rule");
    *rule = strmap_get(&p->names, name);
    if (*rule >= 0) return true;
    if (g->n_rules == GRAMMAR_RULES_MAX) return fail_at(p, from, "more than %d rules", GRAMMAR_RULES_MAX);
    if (g->n_rules == g->cap_rules) {
        g->cap_rules = g->cap_rules ? g->cap_rules * 2 : 64;
        g->rules = mem_grow(g->rules, (size_t)g->cap_rules, sizeof *g->rules);
    }
    *rule = g->n_rules++;
    g->rules[*rule] = (AstRule){.name = name, .used = from};
    return strmap_put(&p->names, g->arena, name, *rule);
}

/* ---- characters ---- */

static bool read_hex(Parser *p, size_t from, int digits, uint32_t *cp) {
    *cp = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        int c = peek(p), low = c | 32;
        int d = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
        if (d < 0) return fail_at(p, from, "this escape needs %d hexadecimal digits", digits);
        *cp = *cp << 4 | (uint32_t)d;
    }
    if (*cp > 0x10ffff || (*cp >= 0xd800 && *cp <= 0xdfff)) return fail_at(p, from, "U+%04X is no character", *cp);
    return true;
}

/* One character of a literal or class, escapes undone. */
static bool read_char(Parser *p, uint32_t *cp) {
    static const char from[] = "nrt\"\\[]-^", to[] = "\n\r\t\"\\[]-^";
    size_t at = p->at;
    int len;
    if (peek(p) != '\\') {
        *cp = utf8_decode(p->text.s + p->at, &len);
        p->at += (size_t)len;
        return true;
    }
    p->at++;
    int c = peek(p);
    p->at += c >= 0;
    const char *simple = c > 0 ? strchr(from, c) : NULL;
    if (simple) return *cp = (unsigned char)to[simple - from], true;
    if (c == 'x') return read_hex(p, at, 2, cp);
    if (c == 'u') return read_hex(p, at, 4, cp);
    if (c == 'U') return read_hex(p, at, 8, cp);
    return fail_at(p, at, "unknown escape");
}

static bool read_literal(Parser *p, Ast **out) {
    Buf text = {0};
    size_t from = p->at++;
    uint32_t cp;
    char utf8[4];
    bool ok = true;
    while (ok && peek(p) != '"') {
        if (peek(p) < 0)
            ok = fail_at(p, from, "this literal has no closing quote");
        else if ((ok = read_char(p, &cp)))
            buf_put(&text, utf8, (size_t)utf8_encode(cp, utf8));
    }
    p->at++;
    *out = ast_new(p, AST_TEXT);
    (*out)->text = (Str){arena_strn(p->ast->arena, text.n ? text.s : "", text.n), text.n};
    buf_release(&text);
    return ok;
}

static int by_start(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    return x[0] < y[0] ? -1 : x[0] > y[0];
}

/* Without surrogates, which are no characters; neither end is one that was written. */
static void keep_range(Ast *a, uint32_t lo, uint32_t hi) {
    uint32_t parts[2][2] = {{lo, MIN(hi, 0xd7ff)}, {MAX(lo, 0xe000), hi}};
    for (int i = 0; i < 2; i++)
        if (parts[i][0] <= parts[i][1]) memcpy(a->ranges[a->n_ranges++], parts[i], sizeof *parts);
}

/* Ranges in any order -> ascending and apart, or what lies between them. */
static void class_finish(Parser *p, Ast *a, uint32_t (*r)[2], size_t n, bool negated) {
    size_t kept = 0;
    uint32_t from = 0;
    if (n) qsort(r, n, sizeof *r, by_start);
    for (size_t i = 0; i < n; i++) {
        if (kept && r[i][0] <= r[kept - 1][1] + 1)
            r[kept - 1][1] = MAX(r[kept - 1][1], r[i][1]);
        else
            memmove(r[kept++], r[i], sizeof *r);
    }
    a->ranges = arena_alloc(p->ast->arena, kept + 2, sizeof *a->ranges);
    for (size_t i = 0; i < kept; i++) {
        if (!negated)
            keep_range(a, r[i][0], r[i][1]);
        else if (r[i][0] > from)
            keep_range(a, from, r[i][0] - 1);
        from = r[i][1] + 1;
    }
    if (negated && from <= 0x10ffff) keep_range(a, from, 0x10ffff);
}

static bool read_class(Parser *p, Ast **out) {
    Buf ranges = {0};
    size_t from = p->at++;
    bool negated = peek(p) == '^', ok = true;
    p->at += negated;
    while (ok && peek(p) != ']') {
        uint32_t r[2];
        size_t at = p->at;
        if (peek(p) < 0) {
            ok = fail_at(p, from, "this class has no closing bracket");
            break;
        }
        ok = read_char(p, &r[0]);
        r[1] = r[0];
        if (ok && peek(p) == '-' && p->at + 1 < p->text.n && p->text.s[p->at + 1] != ']') {
            p->at++;
            ok = read_char(p, &r[1]) && (r[0] <= r[1] || fail_at(p, at, "this range ends before it begins"));
        }
        buf_put(&ranges, r, sizeof r);
    }
    p->at++;
    *out = ast_new(p, AST_CLASS);
    if (ok && !ranges.n && !negated) ok = fail_at(p, from, "this class is empty");
    if (ok) class_finish(p, *out, (uint32_t(*)[2])(void *)ranges.s, ranges.n / 8, negated);
    buf_release(&ranges);
    return ok;
}

/* ---- structure ---- */

static bool read_alt(Parser *p, Ast **out);

static bool read_group(Parser *p, Ast **out) {
    size_t from = p->at++;
    if (p->groups == GRAMMAR_GROUPS_MAX) return fail_at(p, from, "groups nested deeper than %d", GRAMMAR_GROUPS_MAX);
    p->groups++;
    skip_space(p, true);
    TRY(read_alt(p, out));
    if (peek(p) != ')') return fail_at(p, from, "this group has no closing parenthesis");
    p->at++;
    p->groups--;
    return true;
}

static bool read_count(Parser *p, int32_t *n) {
    size_t from = p->at;
    for (*n = 0; peek(p) >= '0' && peek(p) <= '9'; p->at++) {
        *n = *n * 10 + (peek(p) - '0');
        if (*n > GRAMMAR_REPEAT_MAX) return fail_at(p, from, "more than %d repetitions", GRAMMAR_REPEAT_MAX);
    }
    if (p->at == from) return fail_at(p, from, "expected a number of repetitions");
    skip_space(p, true);
    return true;
}

static bool read_bounds(Parser *p, int32_t *min, int32_t *max) {
    size_t from = p->at++;
    skip_space(p, true);
    TRY(read_count(p, min));
    *max = *min;
    if (peek(p) == ',') {
        p->at++;
        skip_space(p, true);
        *max = -1;
        if (peek(p) != '}') TRY(read_count(p, max));
    }
    if (peek(p) != '}') return fail_at(p, from, "these repetitions have no closing brace");
    p->at++;
    if (*max >= 0 && *max < *min) return fail_at(p, from, "at most %d is less than at least %d", *max, *min);
    return true;
}

/* Wraps *a, whatever it is, as often as quantifiers follow. */
static bool read_quantifiers(Parser *p, Ast **a) {
    for (int wraps = 0;; wraps++) {
        size_t at = p->at;
        int32_t min = 0, max = -1;
        skip_space(p, p->groups > 0);
        int c = peek(p);
        if (c == '{') {
            TRY(read_bounds(p, &min, &max));
        } else if (c == '*' || c == '+' || c == '?') {
            min = c == '+';
            max = c == '?' ? 1 : -1;
            p->at++;
        } else {
            p->at = at;
            return true;
        }
        if (wraps == GRAMMAR_GROUPS_MAX) return fail_at(p, at, "too many repetitions of one thing");
        Ast *r = ast_new(p, AST_REPEAT);
        *r = (Ast){.kind = AST_REPEAT, .first = *a, .min = min, .max = max};
        *a = r;
    }
}

/* *out NULL: nothing more that belongs to a sequence stands here. */
static bool read_item(Parser *p, Ast **out) {
    int c = peek(p);
    *out = NULL;
    if (c == '"') return read_literal(p, out);
    if (c == '[') return read_class(p, out);
    if (c == '(') return read_group(p, out);
    if (c == '<' || c == '!')
        return fail_at(p, p->at, "references to tokens are not supported; write the text that is meant");
    if (c == '.') {
        p->at++;
        *out = ast_new(p, AST_CLASS);
        class_finish(p, *out, NULL, 0, true);
        return true;
    }
    if (!is_name(c)) return true;
    *out = ast_new(p, AST_RULE);
    return rule_of(p, &(*out)->rule);
}

static bool read_seq(Parser *p, Ast **out) {
    Ast *seq = *out = ast_new(p, AST_SEQ), **end = &seq->first, *item;
    for (;;) {
        TRY(read_item(p, &item));
        if (!item) return true;
        TRY(read_quantifiers(p, &item));
        *end = item;
        end = &item->sibling;
        skip_space(p, p->groups > 0);
    }
}

/* At a '|', which may also begin the next line. */
static bool at_bar(Parser *p) {
    size_t at = p->at;
    skip_space(p, true);
    if (peek(p) == '|') return true;
    p->at = at;
    return false;
}

static bool read_alt(Parser *p, Ast **out) {
    Ast *seq;
    TRY(read_seq(p, &seq));
    *out = seq;
    if (!at_bar(p)) return true;
    *out = ast_new(p, AST_ALT);
    (*out)->first = seq;
    while (at_bar(p)) {
        p->at++;
        skip_space(p, true);
        TRY(read_seq(p, &seq->sibling));
        seq = seq->sibling;
    }
    return true;
}

static bool read_rule(Parser *p) {
    size_t from = p->at;
    int32_t rule;
    Ast *body;
    TRY(rule_of(p, &rule));
    Str name = p->ast->rules[rule].name;
    if (p->ast->rules[rule].body) return fail_at(p, from, "rule '%.*s' is defined twice", (int)MIN(name.n, 60), name.s);
    skip_space(p, false);
    if (p->text.n - p->at < 3 || memcmp(p->text.s + p->at, "::=", 3) != 0)
        return fail_at(p, p->at, "expected ::= after the name of a rule");
    p->at += 3;
    skip_space(p, true);
    TRY(read_alt(p, &body));
    skip_space(p, false);
    int c = peek(p);
    if (c >= 0 && c != '\n' && c != '\r') return fail_at(p, p->at, "expected the end of the rule");
    p->ast->rules[rule].body = body;
    skip_space(p, true);
    return true;
}

bool grammar_read(Str gbnf, GrammarAst *ast, Err *e) {
    Parser p = {.text = gbnf, .ast = ast, .e = e};
    size_t valid = 0;
    for (int len = 1; valid < gbnf.n && len > 0; valid += (size_t)MAX(len, 0)) {
        len = gbnf.s[valid] ? utf8_len(gbnf.s + valid, gbnf.n - valid) : 0;
        if (len <= 0) return fail_at(&p, valid, "this is not UTF-8 text");
    }
    skip_space(&p, true);
    while (p.at < gbnf.n) TRY(read_rule(&p));
    for (int32_t i = 0; i < ast->n_rules; i++) {
        const AstRule *r = &ast->rules[i];
        if (!r->body) return fail_at(&p, r->used, "rule '%.*s' is not defined", (int)MIN(r->name.n, 60), r->name.s);
    }
    ast->root = strmap_get(&p.names, STR("root"));
    return ast->root >= 0 || err_set(e, ERR_INPUT, "grammar: it has no rule 'root', from which all text comes");
}
