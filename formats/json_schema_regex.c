/* ECMA 262 patterns -> GBNF over the text of a JSON string. Where Unicode and ASCII readings of \d \w \s differ, what
 * both take is generated. */
#include <stdio.h>

#include "formats/json_schema.h"

enum { RANGES_MAX = 512, NESTED_MAX = 40 };

typedef struct CharSet { /* code points */
    uint32_t r[RANGES_MAX][2];
    int n;
    bool ascii; /* its complement is known in ASCII only */
} CharSet;

typedef struct Regex {
    Str text;
    size_t at;
    int nested;
    Buf *out;
    Err *e;
} Regex;

static bool refuse(const Regex *r, const char *why) {
    return err_set(r->e, ERR_INPUT, "pattern '%.*s': %s at character %zu", (int)MIN(r->text.n, 100), r->text.s, why,
                   r->at + 1);
}

static int peek(const Regex *r) { return r->at < r->text.n ? (unsigned char)r->text.s[r->at] : -1; }

static uint32_t take_char(Regex *r) {
    int len;
    uint32_t cp = utf8_decode(r->text.s + r->at, &len);
    r->at += (size_t)len;
    return cp;
}

/* ---- sets of characters ---- */

static bool set_add(Regex *r, CharSet *s, uint32_t lo, uint32_t hi) {
    if (s->n == RANGES_MAX) return refuse(r, "too many ranges");
    s->r[s->n][0] = lo;
    s->r[s->n++][1] = hi;
    return true;
}

/* The characters of `of` that are not in s, to the ranges of *s. */
static bool set_complement(Regex *r, CharSet *s) {
    CharSet was = *s;
    uint32_t top = was.ascii ? 0x7f : 0x10ffff;
    s->n = 0;
    for (uint32_t from = 0; from <= top;) {
        uint32_t to = top; /* the run of characters outside that begins at `from` */
        bool inside = false;
        for (int i = 0; i < was.n; i++) {
            if (was.r[i][0] <= from && from <= was.r[i][1]) {
                from = was.r[i][1] + 1;
                inside = true;
                break;
            }
            if (was.r[i][0] > from) to = MIN(to, was.r[i][0] - 1);
        }
        if (inside) continue;
        TRY(set_add(r, s, from, to));
        from = to + 1;
    }
    return true;
}

static bool set_add_all(Regex *r, CharSet *s, const CharSet *more) {
    for (int i = 0; i < more->n; i++) TRY(set_add(r, s, more->r[i][0], more->r[i][1]));
    return true;
}

/* \d \w \s and their opposites. */
static bool add_shorthand(Regex *r, CharSet *s, int c) {
    static const uint32_t space[][2] = {{9, 13},          {32, 32},         {0xa0, 0xa0},     {0x1680, 0x1680},
                                        {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f},
                                        {0x3000, 0x3000}, {0xfeff, 0xfeff}};
    CharSet one = {.n = 0};
    bool negated = c < 'a', ok = true;
    c |= 32;
    if (c == 's') /* what only one of the readings calls white space is left out on both sides */
        for (size_t i = 0; ok && i < (negated ? COUNT_OF(space) : 2); i++)
            ok = set_add(r, &one, space[i][0], space[i][1]);
    if (c == 's' && negated) ok = ok && set_add(r, &one, 0x1c, 0x1f) && set_add(r, &one, 0x85, 0x85);
    if (c == 'd' || c == 'w') ok = set_add(r, &one, '0', '9');
    if (c == 'w') ok = ok && set_add(r, &one, 'a', 'z') && set_add(r, &one, 'A', 'Z') && set_add(r, &one, '_', '_');
    if (negated) {
        one.ascii = c != 's';
        ok = ok && set_complement(r, &one);
    }
    s->ascii = true;
    return ok && set_add_all(r, s, &one);
}

static bool take_hex(Regex *r, int digits, uint32_t *cp) {
    *cp = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        int c = peek(r), low = c | 32;
        int d = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
        if (d < 0) return refuse(r, "an escape needs hexadecimal digits");
        *cp = *cp << 4 | (uint32_t)d;
    }
    return (*cp < 0xd800 || *cp > 0xdfff) || refuse(r, "half of a surrogate pair is not supported");
}

/* After a backslash: a character to *cp, or a set to *s and *cp = UINT32_MAX. */
static bool take_escape(Regex *r, CharSet *s, uint32_t *cp, bool in_class) {
    static const char from[] = "tnrfv", to[] = "\t\n\r\f\v";
    int c = peek(r);
    *cp = UINT32_MAX;
    if (c < 0) return refuse(r, "nothing follows the backslash");
    r->at++;
    if (strchr("dDwWsS", c)) return add_shorthand(r, s, c);
    const char *simple = strchr(from, c);
    if (simple) return *cp = (unsigned char)to[simple - from], true;
    if (c == 'x') return take_hex(r, 2, cp);
    if (c == 'u') return take_hex(r, 4, cp);
    if (c == 'b' && in_class) return *cp = '\b', true;
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80)
        return r->at--, refuse(r, "this escape (a back reference, a boundary, a property) is not supported");
    return *cp = (uint32_t)c, true;
}

static bool take_class(Regex *r, CharSet *s) {
    size_t from = r->at++;
    bool negated = peek(r) == '^';
    r->at += negated;
    while (peek(r) != ']') {
        uint32_t lo, hi;
        if (peek(r) < 0) return r->at = from, refuse(r, "this class has no closing bracket");
        lo = take_char(r);
        if (lo == '\\') TRY(take_escape(r, s, &lo, true));
        if (lo == UINT32_MAX) continue;
        hi = lo;
        if (peek(r) == '-' && r->at + 1 < r->text.n && r->text.s[r->at + 1] != ']') {
            r->at++;
            hi = take_char(r);
            if (hi == '\\') TRY(take_escape(r, s, &hi, true));
            if (hi == UINT32_MAX || hi < lo) return refuse(r, "this range ends before it begins");
        }
        TRY(set_add(r, s, lo, hi));
    }
    r->at++;
    return !negated || set_complement(r, s);
}

/* One character of the set, as a JSON string spells it. */
static bool put_set(Regex *r, const CharSet *s) {
    static const char escaped[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    CharSet plain = {.n = 0};
    Buf *out = r->out;
    bool any = false;
    buf_char(out, '(');
    for (int i = 0; i < s->n; i++) {
        uint32_t cut[][2] = {{0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, 0xd7ff}, {0xe000, 0x10ffff}};
        for (size_t k = 0; k < COUNT_OF(cut); k++) {
            uint32_t lo = MAX(s->r[i][0], cut[k][0]), hi = MIN(s->r[i][1], cut[k][1]);
            if (lo <= hi) TRY(set_add(r, &plain, lo, hi));
        }
    }
    if (plain.n) {
        buf_char(out, '[');
        for (int i = 0; i < plain.n; i++) buf_printf(out, "\\U%08X-\\U%08X", plain.r[i][0], plain.r[i][1]);
        buf_char(out, ']');
        any = true;
    }
    for (size_t k = 0; escaped[k]; k++)
        for (int i = 0; i < s->n; i++) {
            uint32_t c = (unsigned char)escaped[k];
            if (c < s->r[i][0] || c > s->r[i][1]) continue;
            buf_str(out, any ? " | " : "");
            gbnf_literal(out, (Str){(char[]){'\\', letter[k]}, 2});
            any = true;
            break;
        }
    buf_char(out, ')');
    return any || refuse(r, "no character that can be written is in this class");
}

/* ---- structure ---- */

static bool take_alternatives(Regex *r);

static bool take_group(Regex *r) {
    size_t from = r->at++;
    if (peek(r) == '?') {
        r->at++;
        int c = peek(r), next = r->at + 1 < r->text.n ? r->text.s[r->at + 1] : -1;
        if (c == '<' && next != '=' && next != '!') /* a name */
            while (peek(r) >= 0 && peek(r) != '>') r->at++;
        else if (c != ':')
            return refuse(r, "looking ahead or behind is not supported");
        r->at++;
    }
    if (++r->nested > NESTED_MAX) return refuse(r, "groups nested too deeply");
    buf_char(r->out, '(');
    TRY(take_alternatives(r));
    if (peek(r) != ')') return r->at = from, refuse(r, "this group has no closing parenthesis");
    buf_char(r->out, ')');
    r->at++;
    r->nested--;
    return true;
}

static bool take_atom(Regex *r) {
    CharSet s = {.n = 0};
    int c = peek(r);
    uint32_t cp;
    if (c == '(') return take_group(r);
    if (c == '[') return take_class(r, &s) && put_set(r, &s);
    if (c == '.') {
        r->at++;
        TRY(set_add(r, &s, '\n', '\n') && set_add(r, &s, '\r', '\r') && set_add(r, &s, 0x2028, 0x2029));
        return set_complement(r, &s) && put_set(r, &s);
    }
    if (strchr("*+?{}^$", c))
        return refuse(r, c == '^' || c == '$' ? "an anchor is only supported at an end" : "misplaced");
    cp = take_char(r);
    if (cp == '\\') TRY(take_escape(r, &s, &cp, false));
    return (cp == UINT32_MAX || set_add(r, &s, cp, cp)) && put_set(r, &s);
}

static bool take_number(Regex *r, int64_t *n) {
    size_t from = r->at;
    for (*n = 0; peek(r) >= '0' && peek(r) <= '9' && *n < INT32_MAX; r->at++) *n = *n * 10 + (peek(r) - '0');
    return r->at > from || refuse(r, "expected a number of repetitions");
}

static bool take_braces(Regex *r) {
    int64_t min, max;
    size_t from = r->at++;
    TRY(take_number(r, &min));
    max = min;
    if (peek(r) == ',') {
        r->at++;
        max = INT64_MAX;
        if (peek(r) != '}') TRY(take_number(r, &max));
    }
    if (peek(r) != '}') return refuse(r, "expected the closing brace");
    if (min > max) return r->at = from, refuse(r, "at most is less than at least");
    r->at++;
    buf_put(r->out, r->text.s + from, r->at - from);
    return true;
}

static bool take_quantifier(Regex *r) {
    int c = peek(r);
    if (c == '{') {
        TRY(take_braces(r));
    } else if (c == '*' || c == '+' || c == '?') {
        buf_char(r->out, (char)c);
        r->at++;
    } else {
        return true;
    }
    if (peek(r) == '?') r->at++; /* lazy: the same texts */
    return true;
}

static bool take_sequence(Regex *r) {
    bool any = false, ends = false;
    int c;
    if (!r->nested && peek(r) == '^')
        r->at++;
    else if (!r->nested)
        buf_str(r->out, "char* "), any = true;
    while ((c = peek(r)) >= 0 && c != '|' && c != ')') {
        bool last = r->at + 1 == r->text.n || r->text.s[r->at + 1] == '|';
        if (c == '$' && last && !r->nested) {
            r->at++;
            ends = true;
            break;
        }
        TRY(take_atom(r) && take_quantifier(r));
        buf_char(r->out, ' ');
        any = true;
    }
    if (!r->nested && !ends) buf_str(r->out, "char*"), any = true;
    if (!any) buf_str(r->out, "\"\"");
    return true;
}

static bool take_alternatives(Regex *r) {
    TRY(take_sequence(r));
    while (peek(r) == '|') {
        r->at++;
        buf_str(r->out, " | ");
        TRY(take_sequence(r));
    }
    return true;
}

bool gbnf_of_regex(Str pattern, Buf *out, Err *e) {
    Regex r = {.text = pattern, .out = out, .e = e};
    buf_char(out, '(');
    TRY(take_alternatives(&r));
    buf_char(out, ')');
    return r.at == pattern.n || refuse(&r, "misplaced parenthesis");
}
