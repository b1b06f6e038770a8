/* Template text to tokens: where tags begin and end, and which white space around them goes. Source of the rules:
 * jinja2.lexer, with trim_blocks and lstrip_blocks. */
#include <stdlib.h>

#include "tokenizer/jinja_impl.h"
#include "tokenizer/text.h"

typedef struct Lexer {
    Jinja *j;
    Str s;
    size_t at;
    bool line_starting; /* the last thing taken ended with a newline */
    JToks *out;
    char open[256]; /* brackets that are open inside the tag */
    size_t n_open;
} Lexer;

static JTok *push(Lexer *x, JTokKind kind, size_t at) {
    JToks *t = x->out;
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 64;
        JTok *v = JINJA_NEW(x->j, JTok, cap);
        if (t->n) memcpy(v, t->v, t->n * sizeof *v);
        t->v = v;
        t->cap = cap;
    }
    jinja_step(x->j, 0);
    t->v[t->n] = (JTok){.kind = kind, .at = at};
    return &t->v[t->n++];
}

_Noreturn static void fail(Lexer *x, size_t at, const char *what) {
    x->j->at = at;
    jinja_fail(x->j, "%s", what);
}

static bool here(const Lexer *x, size_t at, const char *text) {
    size_t n = strlen(text);
    return at + n <= x->s.n && memcmp(x->s.s + at, text, n) == 0;
}

static size_t skip_space(const Lexer *x, size_t at) { return at + py_strip_start((Str){x->s.s + at, x->s.n - at}); }

/* Moves to `to`, behind something that was taken. */
static void advance(Lexer *x, size_t to) {
    x->line_starting = to > 0 && x->s.s[to - 1] == '\n';
    x->at = to;
}

static void put_data(Lexer *x, size_t from, size_t to) {
    if (to > from) push(x, TOK_DATA, from)->text = (Str){x->s.s + from, to - from};
}

/* Text up to a tag with the sign behind its opening; `block` where lstrip_blocks counts. */
static void data_before(Lexer *x, size_t from, size_t to, char sign, bool block) {
    Str text = {x->s.s + from, to - from};
    if (sign == '-') {
        to = from + py_strip_end(text);
    } else if (sign != '+' && block) {
        size_t line = text.n;
        while (line > 0 && text.s[line - 1] != '\n') line--;
        Str rest = {text.s + line, text.n - line};
        if ((line > 0 || x->line_starting) && rest.n && py_strip_start(rest) == rest.n) to = from + line;
    }
    put_data(x, from, to);
}

static char sign_at(const Lexer *x, size_t at) {
    return at < x->s.n && (x->s.s[at] == '-' || x->s.s[at] == '+') ? x->s.s[at] : 0;
}

/* Behind a closing tag that is written at `at` with an optional sign; 0: there is none. */
static size_t close_at(const Lexer *x, size_t at, const char *close, bool plus, bool trim_line) {
    char sign = sign_at(x, at);
    if (sign == '+' && !plus) return 0;
    at += sign != 0;
    if (!here(x, at, close)) return 0;
    at += strlen(close);
    if (sign == '-') return skip_space(x, at);
    return at + (!sign && trim_line && at < x->s.n && x->s.s[at] == '\n');
}

static void skip_comment(Lexer *x, size_t begin, size_t body) {
    for (size_t k = body; k + 1 < x->s.n; k++) {
        if (x->s.s[k] != '#' || x->s.s[k + 1] != '}') continue;
        size_t from = k > body && sign_at(x, k - 1) ? k - 1 : k;
        advance(x, close_at(x, from, "#}", true, true));
        return;
    }
    if (body < x->s.n) fail(x, begin, "the comment has no end");
    x->at = body; /* jinja2 lets the very end of the template pass */
}

/* Behind `{% raw %}` when it stands at `at`; 0: it does not. */
static size_t raw_open(const Lexer *x, size_t at) {
    size_t to = skip_space(x, at + 2 + (sign_at(x, at + 2) != 0));
    return here(x, to, "raw") ? close_at(x, skip_space(x, to + 3), "%}", false, false) : 0;
}

static void raw_block(Lexer *x, size_t begin) {
    size_t body = x->at;
    for (size_t k = body; k + 1 < x->s.n; k++) {
        if (!here(x, k, "{%")) continue;
        char sign = sign_at(x, k + 2);
        size_t to = skip_space(x, k + 2 + (sign != 0));
        size_t end = here(x, to, "endraw") ? close_at(x, skip_space(x, to + 6), "%}", true, true) : 0;
        if (!end) continue;
        data_before(x, body, k, sign, true);
        advance(x, end);
        return;
    }
    if (body < x->s.n) fail(x, begin, "the raw block has no end");
}

/* ---- inside a tag ---- */

static bool digit(char c) { return c >= '0' && c <= '9'; }

/* Digits with single underscores between, of a base up to 16; n == 0 for none. */
static size_t digits(Str s, size_t at, int base) {
    size_t begin = at;
    for (;; at++) {
        char c = at < s.n ? s.s[at] : 0;
        if (c == '_' && at > begin) c = at + 1 < s.n ? s.s[++at] : 0;
        int v = digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
        if (v >= base) break;
    }
    return at > begin && s.s[at - 1] == '_' ? at - 1 - begin : at - begin;
}

static void copy_number(Lexer *x, size_t from, size_t to, char *out, size_t cap) {
    size_t n = 0;
    for (; from < to; from++) {
        if (x->s.s[from] == '_') continue;
        if (n + 1 >= cap) fail(x, from, "the number is too long");
        out[n++] = x->s.s[from];
    }
    out[n] = 0;
}

static bool lex_float(Lexer *x) {
    size_t at = x->at, n = digits(x->s, at, 10), frac = 0;
    char text[64];
    if (!n || (at > 0 && x->s.s[at - 1] == '.')) return false;
    size_t end = at + n;
    if (end < x->s.n && x->s.s[end] == '.') frac = digits(x->s, end + 1, 10);
    if (frac) end += 1 + frac;
    size_t exp = end;
    if (exp < x->s.n && (x->s.s[exp] | 32) == 'e') {
        exp++;
        if (exp < x->s.n && (x->s.s[exp] == '+' || x->s.s[exp] == '-')) exp++;
        size_t e = digits(x->s, exp, 10);
        if (e)
            end = exp + e;
        else
            exp = end;
    }
    if (!frac && exp == end) return false;
    copy_number(x, at, end, text, sizeof text);
    push(x, TOK_FLOAT, at)->f = strtod(text, NULL);
    advance(x, end);
    return true;
}

static bool lex_int(Lexer *x) {
    size_t at = x->at, end;
    char text[80];
    if (!digit(x->s.s[at])) return false;
    char kind = x->s.s[at] == '0' && at + 1 < x->s.n ? (char)(x->s.s[at + 1] | 32) : 0;
    int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    size_t skip = base != 10 && at + 2 < x->s.n && x->s.s[at + 2] == '_' ? 3 : 2;
    size_t n = base != 10 ? digits(x->s, at + skip, base) : 0;
    if (n) {
        copy_number(x, at + skip, end = at + skip + n, text, sizeof text);
    } else { /* a number that begins with 0 is zeros alone */
        n = digits(x->s, at, x->s.s[at] == '0' ? 1 : 10);
        copy_number(x, at, end = at + n, text, sizeof text);
        base = 10;
    }
    int64_t v = 0;
    for (const char *c = text; *c; c++) {
        int d = digit(*c) ? *c - '0' : (*c | 32) - 'a' + 10;
        if (!mul_i64(v, base, &v) || !add_i64(v, d, &v)) fail(x, at, "the number does not fit in 64 bits");
    }
    push(x, TOK_INT, at)->i = v;
    advance(x, end);
    return true;
}

static size_t name_length(const Lexer *x, size_t at) {
    size_t begin = at;
    for (int len; at < x->s.n; at += (size_t)len) {
        uint32_t c = utf8_decode(x->s.s + at, &len);
        if (c != '_' && !py_alpha(c) && !py_numeric(c)) break;
    }
    return at - begin;
}

static uint32_t hex(Lexer *x, size_t at, size_t n) {
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++) {
        char c = at + i < x->s.n ? x->s.s[at + i] : 0;
        uint32_t d = digit(c)                             ? (uint32_t)(c - '0')
                     : (c | 32) >= 'a' && (c | 32) <= 'f' ? (uint32_t)((c | 32) - 'a' + 10)
                                                          : 99;
        if (d > 15) fail(x, at, "the escape sequence is cut short");
        v = v << 4 | d;
    }
    return v;
}

/* The escape sequence whose backslash is at `at`; returns where it ends. */
static size_t unescape(Lexer *x, size_t at, JTail *to) {
    static const char plain[][2] = {{'n', '\n'}, {'t', '\t'}, {'r', '\r'},  {'a', 7},     {'b', 8},
                                    {'f', 12},   {'v', 11},   {'\\', '\\'}, {'\'', '\''}, {'"', '"'}};
    char c = x->s.s[at + 1];
    uint32_t cp = 0;
    size_t end = at + 2;
    if (c == '\n') return end;
    for (size_t i = 0; i < COUNT_OF(plain); i++)
        if (plain[i][0] == c) return jtail_put(x->j, to, &plain[i][1], 1, true), end;
    size_t n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (n) {
        cp = hex(x, end, n);
        end += n;
    } else if (c >= '0' && c <= '7') {
        for (end--; end < at + 4 && end < x->s.n && x->s.s[end] >= '0' && x->s.s[end] <= '7'; end++)
            cp = cp * 8 + (uint32_t)(x->s.s[end] - '0');
    } else if (c == 'N') {
        fail(x, at, "\\N{...} is not supported in a string");
    } else {
        return jtail_put(x->j, to, "\\", 1, true), at + 1;
    }
    if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)) fail(x, at, "the escape sequence names no character");
    jtail_char(x->j, to, cp, true);
    return end;
}

static bool lex_string(Lexer *x) {
    size_t begin = x->at, at = begin + 1;
    char quote = x->s.s[begin];
    if (quote != '\'' && quote != '"') return false;
    JTail *text = jtail_new(x->j);
    for (size_t from = at;; from = at) {
        while (at < x->s.n && x->s.s[at] != quote && x->s.s[at] != '\\') at++;
        jtail_put(x->j, text, x->s.s + from, at - from, true);
        if (at >= x->s.n || (x->s.s[at] == '\\' && at + 1 >= x->s.n)) fail(x, begin, "the string has no end");
        if (x->s.s[at] == quote) break;
        at = unescape(x, at, text);
    }
    push(x, TOK_STR, begin)->text = (Str){text->s ? text->s : "", text->n};
    advance(x, at + 1);
    return true;
}

static void balance(Lexer *x, char c) {
    char close = c == '(' ? ')' : c == '[' ? ']' : c == '{' ? '}' : 0;
    if (close) {
        if (x->n_open == sizeof x->open) fail(x, x->at, "brackets are nested too deeply");
        x->open[x->n_open++] = close;
    } else if (c == ')' || c == ']' || c == '}') {
        if (!x->n_open || x->open[--x->n_open] != c) fail(x, x->at, "the bracket closes none that is open");
    }
}

static void lex_operator(Lexer *x) {
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(two); i++)
        if (here(x, x->at, two[i])) n = 2;
    if (!n && strchr("+-/*%~[](){}><=.:|,;", x->s.s[x->at])) n = 1;
    if (!n || !x->s.s[x->at]) fail(x, x->at, "a character that has no meaning here");
    if (n == 1) balance(x, x->s.s[x->at]);
    push(x, TOK_OP, x->at)->text = (Str){x->s.s + x->at, n};
    advance(x, x->at + n);
}

static void lex_tag(Lexer *x, size_t begin, bool block) {
    x->n_open = 0;
    push(x, block ? TOK_BLOCK_BEGIN : TOK_VAR_BEGIN, begin);
    while (x->at < x->s.n) {
        size_t end = x->n_open ? 0 : close_at(x, x->at, block ? "%}" : "}}", block, block), n;
        if (end) {
            push(x, block ? TOK_BLOCK_END : TOK_VAR_END, x->at);
            advance(x, end);
            return;
        }
        if ((n = skip_space(x, x->at)) > x->at) {
            advance(x, n);
        } else if (!lex_float(x) && !lex_int(x)) {
            if ((n = name_length(x, x->at))) {
                push(x, TOK_NAME, x->at)->text = (Str){x->s.s + x->at, n};
                advance(x, x->at + n);
            } else if (!lex_string(x)) {
                lex_operator(x);
            }
        }
    }
    fail(x, begin, "the tag has no end");
}

/* The next place where a tag opens. */
static size_t find_open(const Lexer *x) {
    for (size_t k = x->at; k + 1 < x->s.n; k++)
        if (x->s.s[k] == '{' && (x->s.s[k + 1] == '{' || x->s.s[k + 1] == '%' || x->s.s[k + 1] == '#')) return k;
    return x->s.n;
}

void jinja_lex(Jinja *j, JToks *out) {
    Lexer x = {.j = j, .s = j->source, .line_starting = true, .out = out};
    while (x.at < x.s.n) {
        size_t k = find_open(&x), raw;
        jinja_step(j, k - x.at);
        if (k == x.s.n) {
            put_data(&x, x.at, k);
            break;
        }
        char sign = sign_at(&x, k + 2), kind = x.s.s[k + 1];
        data_before(&x, x.at, k, sign, kind != '{');
        size_t inside = k + 2 + (sign != 0);
        if (kind == '#') {
            skip_comment(&x, k, inside);
        } else if (kind == '%' && (raw = raw_open(&x, k))) {
            advance(&x, raw);
            raw_block(&x, k);
        } else {
            advance(&x, inside);
            lex_tag(&x, k, kind == '%');
        }
    }
    push(&x, TOK_END, x.s.n);
}
