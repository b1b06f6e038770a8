/* Oniguruma's Ruby syntax -> PCRE2: the subset that pre-tokenisers are written in. Sources: Oniguruma's doc/RE,
 * pcre2pattern(3). Not covered: case folding of several letters to one (German sharp s and ligatures) under (?i:). */
#include "formats/hf_tok.h"

typedef struct Scan {
    Str in;
    size_t at;
    bool in_set; /* between [ and ] */
    Buf out;
    Err *e;
} Scan;

static int look(const Scan *s, size_t ahead) {
    return s->at + ahead < s->in.n ? (unsigned char)s->in.s[s->at + ahead] : -1;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }
static bool is_alnum(int c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static void copy(Scan *s, size_t n) {
    n = MIN(n, s->in.n - s->at);
    buf_put(&s->out, s->in.s + s->at, n);
    s->at += n;
}

static bool refuse(const Scan *s, size_t n, const char *what) {
    return err_set(s->e, ERR_INPUT, "%s '%.*s' in the pattern '%.*s' is not supported", what,
                   (int)MIN(n, s->in.n - s->at), s->in.s + s->at, (int)MIN(s->in.n, (size_t)120), s->in.s);
}

static void put_instead(Scan *s, size_t n, const char *text) {
    buf_str(&s->out, text);
    s->at += n;
}

static bool scan_escape(Scan *s) {
    int c = look(s, 1);
    if (c < 0) return refuse(s, 1, "the lone escape");
    if (!is_alnum(c)) return copy(s, 2), true;
    if (strchr("rntfaex", c)) return copy(s, 2), true;
    switch (c) {
    case 'd': return put_instead(s, 2, "\\p{Nd}"), true;
    case 'D': return put_instead(s, 2, "\\P{Nd}"), true;
    case 's': return put_instead(s, 2, SPLIT_WS), true;
    case 'S': return put_instead(s, 2, "\\P{White_Space}"), true;
    case 'v': return put_instead(s, 2, "\\x{b}"), true;
    case 'u':
        buf_printf(&s->out, "\\x{%.4s}", s->in.n - s->at >= 6 ? s->in.s + s->at + 2 : "");
        s->at = MIN(s->at + 6, s->in.n);
        return true;
    case 'p':
    case 'P': {
        size_t n = 2;
        if (look(s, n) != '{') return refuse(s, 3, "the escape");
        while (look(s, n) >= 0 && look(s, n) != '}') n++;
        return copy(s, n + 1), true;
    }
    default: return refuse(s, 2, "the escape");
    }
}

/* {n}, {n,} or {n,m}; what follows it means something else in Ruby than in Perl. */
static bool scan_interval(Scan *s) {
    size_t n = 1;
    bool comma = false;
    if (look(s, 1) == ',') return refuse(s, 2, "the interval");
    while (is_digit(look(s, n)) || (look(s, n) == ',' && !comma)) comma |= look(s, n++) == ',';
    if (n > 1 && look(s, n) == '}') {
        n++;
        if (look(s, n) == '+' || (look(s, n) == '?' && !comma)) return refuse(s, n + 1, "the interval");
    }
    return copy(s, n), true;
}

static bool scan_group(Scan *s) {
    static const char *const known[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:", "(?-i:"};
    if (look(s, 1) == '*') return refuse(s, 2, "the group");
    if (look(s, 1) != '?') return copy(s, 1), true;
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_starts((Str){s->in.s + s->at, s->in.n - s->at}, known[i])) return copy(s, strlen(known[i])), true;
    return refuse(s, 4, "the group");
}

static bool scan_set(Scan *s, int c) {
    if (c == '[') return refuse(s, 2, "the nested set");
    if (c == '&' && look(s, 1) == '&') return refuse(s, 2, "the intersection");
    s->in_set = c != ']';
    return copy(s, 1), true;
}

static bool scan_one(Scan *s) {
    int c = look(s, 0);
    if (c == 0) return refuse(s, 0, "a NUL byte");
    if (c == '\\') return scan_escape(s);
    if (s->in_set) return scan_set(s, c);
    if (c == '^' || c == '$') return put_instead(s, 1, c == '^' ? "(?m:^)" : "(?m:$)"), true; /* of lines, in Ruby */
    if (c == '{') return scan_interval(s);
    if (c == '(') return scan_group(s);
    if (c == '[') {
        size_t n = look(s, 1) == '^' ? 2 : 1;
        if (look(s, n) == ']') return refuse(s, n + 1, "the empty set");
        s->in_set = true;
        return copy(s, n), true;
    }
    return copy(s, 1), true;
}

bool hf_pattern(Str onig, Arena *a, const char **pcre, Err *e) {
    Scan s = {.in = onig, .e = e};
    bool ok = true;
    while (ok && s.at < s.in.n) ok = scan_one(&s);
    if (ok) *pcre = arena_strn(a, buf_view(&s.out).s, s.out.n);
    buf_release(&s.out);
    return ok;
}
