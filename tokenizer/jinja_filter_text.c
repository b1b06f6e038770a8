/* Filters that make text or numbers. a[0] is what the filter is applied to. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tokenizer/jinja_impl.h"
#include "tokenizer/text.h"

#define FILTER(name) static JValue f_##name(Jinja *j, JValue *a, const JArgs *r)

static bool flag(Jinja *j, JValue v) { return jgiven(v) && jtruth(j, v); }
static bool absent(JValue v) { return !jgiven(v) || v.kind == J_NONE; }

/* ---- plain text ---- */

static JValue keep(Jinja *j, JValue *a, JText *t) { /* markup stays markup */
    return a[0].kind == J_STR && a[0].s->markup ? jkeep_markup(j, jstr(t)) : jstr(t);
}

FILTER(upper) { return (void)r, keep(j, a, jtext_case(j, jto_str(j, a[0]), RULE_UPPER)); }
FILTER(lower) { return (void)r, keep(j, a, jtext_case(j, jto_str(j, a[0]), RULE_LOWER)); }
FILTER(title) { return (void)r, jstr(jtext_case(j, jto_str(j, a[0]), RULE_TITLE_FILTER)); }
FILTER(capitalize) { return (void)r, keep(j, a, jtext_case(j, jto_str(j, a[0]), RULE_CAPITALIZE)); }
FILTER(string) { return (void)r, jstr(jto_str(j, a[0])); }
FILTER(trim) { return (void)r, keep(j, a, jtext_strip(j, jto_str(j, a[0]), a[1], STRIP_LEFT | STRIP_RIGHT)); }
FILTER(escape) { return (void)r, jstr(jtext_escape(j, jto_str(j, a[0]))); }

FILTER(forceescape) {
    JText *t = jto_str(j, a[0]);
    JText plain = *t;
    (void)r;
    plain.markup = false;
    return jstr(jtext_escape(j, &plain));
}

FILTER(safe) {
    JText *t = jto_str(j, a[0]), *out = jtext_slice(j, t, 0, t->n);
    (void)r;
    out->markup = true;
    return jstr(out);
}

FILTER(replace) {
    int64_t count = absent(a[3]) ? -1 : jarg_int(j, a[3], "the number of replacements");
    (void)r;
    return jstr(jtext_replace(j, jto_str(j, a[0]), jto_str(j, a[1]), jto_str(j, a[2]), MAX(count, -1)));
}

FILTER(center) {
    JArgs width = {.v = (JValue[]){jgiven(a[1]) ? a[1] : jint(80)}, .n = 1};
    (void)r;
    return jcall_row(j, jrow_find(jinja_str_methods, jinja_n_str_methods, STR("center")), jstr(jto_str(j, a[0])),
                     &width);
}

FILTER(format) {
    if (r->n && r->n_named) jinja_fail(j, "'format' takes arguments by position or by name, not both");
    if (r->n_named) {
        JDict *d = jdict_new(j);
        for (size_t i = 0; i < r->n_named; i++) jdict_put(j, d, jstr(jtext_of(j, r->names[i], true)), r->named[i]);
        return jstr(jpercent(j, jto_str(j, a[0]), jdict(d)));
    }
    JSeq *s = jseq_new(j, r->n);
    for (size_t i = 0; i < r->n; i++) jseq_push(j, s, r->v[i]);
    return jstr(jpercent(j, jto_str(j, a[0]), jtuple(s)));
}

FILTER(indent) {
    JTail *out = jtail_new(j);
    JText *by = !jgiven(a[1]) || a[1].kind != J_STR ? NULL : a[1].s,
          space = {.s = " ", .n = 1, .chars = 1, .trusted = true};
    int64_t width = by ? 1 : jgiven(a[1]) ? jarg_int(j, a[1], "the width") : 4;
    bool blank = flag(j, a[3]);
    const JText *unit = by ? by : &space;
    (void)r;
    JText *t = jarg_str(j, a[0], "what is indented");
    /* One newline is put behind the text before it is cut into lines. */
    JSeq *lines = jtext_lines(j, jtext_concat(j, jtext_slice(j, t, 0, t->n), jstr_of(j, "\n").s), false);
    if (flag(j, a[2])) jtail_repeat(j, out, unit, width);
    for (size_t i = 0; i < lines->n; i++) {
        if (i) jtail_put(j, out, "\n", 1, true);
        if (i && (blank || lines->v[i].s->n)) jtail_repeat(j, out, unit, width);
        jtail_all(j, out, lines->v[i].s);
    }
    return keep(j, a, jtail_done(j, out));
}

FILTER(truncate) {
    int64_t length = jgiven(a[1]) ? jarg_int(j, a[1], "the length") : 255;
    JText *end = jgiven(a[3]) ? jarg_str(j, a[3], "the end") : jstr_of(j, "...").s;
    int64_t leeway = absent(a[4]) ? 5 : jarg_int(j, a[4], "the leeway");
    (void)r;
    if (length < jtext_chars(j, end)) jinja_fail(j, "the length is less than that of the end put there");
    if (leeway < 0) jinja_fail(j, "the leeway is negative");
    if (jlength(j, a[0]) <= (leeway > INT64_MAX - length ? INT64_MAX : length + leeway)) return a[0];
    JText *t = jarg_str(j, a[0], "what is truncated");
    JText *head = jtext_slice(j, t, 0, jtext_at(j, t, length - jtext_chars(j, end)));
    if (!flag(j, a[2])) {
        const char *space = memrchr(head->s, ' ', head->n);
        if (space) head = jtext_slice(j, head, 0, (size_t)(space - head->s));
    }
    JTail *out = jtail_new(j);
    jtail_all(j, out, head);
    jtail_all(j, out, end);
    return jstr(jtail_done(j, out));
}

FILTER(wordcount) {
    const JText *t = jto_str(j, a[0]);
    int64_t n = 0;
    bool inside = false;
    int len;
    (void)r;
    for (size_t at = 0; at < t->n; at += (size_t)len) {
        uint32_t c = utf8_decode(t->s + at, &len);
        bool word = c == '_' || py_alnum(c);
        n += word && !inside;
        inside = word;
    }
    return jint(n);
}

/* ---- for HTML ---- */

static size_t tag_end(const JText *t, size_t at) { /* behind the tag or comment that begins at `at`; 0: none does */
    static const char close[] = "-->";
    if (at + 4 <= t->n && memcmp(t->s + at, "<!--", 4) == 0) {
        const char *p = memmem(t->s + at + 4, t->n - at - 4, close, 3);
        if (p) return (size_t)(p - t->s) + 3;
    }
    const char *p = memchr(t->s + at, '>', t->n - at);
    return p ? (size_t)(p - t->s) + 1 : 0;
}

static size_t unescape(Jinja *j, JTail *out, const JText *t, size_t at) {
    static const struct {
        const char *name, *text;
    } rows[] = {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&#39;", "'"}, {"&#34;", "\""}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t n = strlen(rows[i].name);
        if (at + n > t->n || memcmp(t->s + at, rows[i].name, n) != 0) continue;
        jtail_put(j, out, rows[i].text, 1, jtext_trusted(t, at));
        return at + n;
    }
    if (at + 1 < t->n && (t->s[at + 1] == '#' || py_alpha((unsigned char)t->s[at + 1])))
        jinja_fail(j, "'striptags' does not know this HTML entity");
    jtail_text(j, out, t, at, at + 1);
    return at + 1;
}

FILTER(striptags) {
    JText *t = jto_str(j, a[0]);
    JTail *bare = jtail_new(j), *out = jtail_new(j);
    (void)r;
    for (size_t at = 0, end; at < t->n; at = end) {
        end = t->s[at] == '<' ? tag_end(t, at) : 0;
        if (end) continue;
        for (end = at + 1; end < t->n && t->s[end] != '<';) end++;
        jtail_text(j, bare, t, at, end);
    }
    JValue args[J_PARAMS + 1] = {jstr(jtail_done(j, bare))};
    JSeq *words = jrow_find(jinja_str_methods, jinja_n_str_methods, STR("split"))->fn(j, args, NULL).seq;
    for (size_t i = 0; i < words->n; i++) {
        const JText *w = words->v[i].s;
        if (i) jtail_put(j, out, " ", 1, true);
        for (size_t at = 0, from = 0; at <= w->n;) {
            if (at < w->n && w->s[at] != '&') {
                at++;
                continue;
            }
            jtail_text(j, out, w, from, at);
            if (at == w->n) break;
            from = at = unescape(j, out, w, at);
        }
    }
    return jstr(jtail_done(j, out));
}

FILTER(xmlattr) {
    JTail *out = jtail_new(j);
    (void)r;
    if (a[0].kind == J_UNDEFINED) jinja_fail_undefined(j, a[0]);
    if (a[0].kind != J_DICT) jinja_fail(j, "'xmlattr' needs a dict, not '%s'", jtype_name(a[0]));
    for (size_t i = 0; i < a[0].dict->n; i++) {
        const JPair *p = &a[0].dict->pairs[i];
        if (p->value.kind == J_NONE || p->value.kind == J_UNDEFINED) continue;
        const JText *key = jarg_str(j, p->key, "the name of an attribute");
        for (size_t k = 0; k < key->n; k++)
            if (key->s[k] && strchr(" \t\n\r\f\v/>=", key->s[k]))
                jinja_fail(j, "an attribute's name holds a character it may not");
        if (out->n || !jgiven(a[1]) || jtruth(j, a[1])) jtail_put(j, out, " ", 1, true);
        jtail_all(j, out, jtext_escape(j, key));
        jtail_put(j, out, "=\"", 2, true);
        jtail_all(j, out, jtext_escape(j, jto_str(j, p->value)));
        jtail_put(j, out, "\"", 1, true);
    }
    return jstr(jtail_done(j, out));
}

static void quote(Jinja *j, JTail *out, const JText *t, bool query) {
    char code[4];
    for (size_t at = 0; at < t->n; at++) {
        unsigned char c = (unsigned char)t->s[at];
        bool plain = c < 0x80 && (py_alnum(c) || (c && strchr("_.-~", c)) || (!query && c == '/'));
        snprintf(code, sizeof code, plain ? "%c" : query && c == ' ' ? "+" : "%%%02X", c);
        jtail_put(j, out, code, strlen(code), jtext_trusted(t, at));
    }
}

FILTER(urlencode) {
    JTail *out = jtail_new(j);
    bool first = true;
    (void)r;
    if (a[0].kind == J_STR || !jiterable(a[0])) {
        quote(j, out, jto_str(j, a[0]), false);
        return jstr(jtail_done(j, out));
    }
    JView pairs = {.dict = a[0].dict, .what = VIEW_ITEMS};
    JIter *it = jiter_of(j, a[0].kind == J_DICT ? (JValue){.kind = J_VIEW, .view = &pairs} : a[0]);
    for (JValue item; jiter_next(j, it, &item); first = false) {
        JSeq *pair = jcollect(j, item);
        if (pair->n != 2) jinja_fail(j, "'urlencode' needs pairs, not %zu values", pair->n);
        if (!first) jtail_put(j, out, "&", 1, true);
        quote(j, out, jto_str(j, pair->v[0]), true);
        jtail_put(j, out, "=", 1, true);
        quote(j, out, jto_str(j, pair->v[1]), true);
    }
    return jstr(jtail_done(j, out));
}

FILTER(tojson) {
    JTail *out = jtail_new(j);
    bool lines = !absent(a[2]);
    JsonStyle s = {.ascii = flag(j, a[1]), .sorted = flag(j, a[4])};
    (void)r;
    if (lines && a[2].kind == J_STR) {
        s.indent = a[2].s;
    } else if (lines) {
        JTail *unit = jtail_new(j);
        jtail_repeat(j, unit, jstr_of(j, " ").s, jarg_int(j, a[2], "the indent"));
        s.indent = jtail_done(j, unit);
    }
    s.comma = jstr_of(j, lines ? "," : ", ").s;
    s.colon = jstr_of(j, ": ").s;
    if (!absent(a[3])) {
        JSeq *pair = jcollect(j, a[3]);
        if (pair->n != 2) jinja_fail(j, "the separators are two, not %zu", pair->n);
        s.comma = jarg_str(j, pair->v[0], "a separator");
        s.colon = jarg_str(j, pair->v[1], "a separator");
    }
    jto_json(j, out, a[0], &s, 0);
    return jstr(jtail_done(j, out));
}

FILTER(pprint) { return (void)r, jstr(jpretty(j, a[0])); }

/* ---- numbers ---- */

static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
}

static Str bare(const JText *t) { /* without the white space around it */
    Str s = jtext_view(t);
    s.n = py_strip_end(s);
    size_t lead = py_strip_start(s);
    return (Str){s.s + lead, s.n - lead};
}

bool jtext_to_int(Jinja *j, const JText *t, int64_t base, int64_t *out) {
    Str s = bare(t);
    size_t at = s.n && (s.s[0] == '-' || s.s[0] == '+');
    bool negative = at && s.s[0] == '-', digits = false, fits = true;
    int64_t v = 0;
    char kind = at + 1 < s.n && s.s[at] == '0' ? (char)(s.s[at + 1] | 32) : 0;
    int64_t written = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (written && (base == 0 || base == written)) {
        base = written;
        at += 2;
        if (at < s.n && s.s[at] == '_') at++;
    } else if (base == 0) {
        base = 10;
        if (s.n - at > 1 && s.s[at] == '0' && strspn(s.s + at, "0_") < s.n - at) return false;
    }
    if (base < 2 || base > 36) return false;
    for (; at < s.n; at++) {
        if (s.s[at] == '_' && digits && at + 1 < s.n && s.s[at - 1] != '_') continue;
        int d = digit_of(s.s[at]);
        if (d >= base) return false;
        digits = true;
        fits = fits && mul_i64(v, base, &v) && add_i64(v, negative ? -d : d, &v);
    }
    if (digits && !fits) jinja_fail(j, "the number does not fit in 64 bits");
    *out = v;
    return digits;
}

bool jtext_to_float(const JText *t, double *out) {
    Str s = bare(t);
    char text[128];
    size_t n = 0, at = s.n && (s.s[0] == '-' || s.s[0] == '+');
    double sign = at && s.s[0] == '-' ? -1 : 1;
    Str word = {s.s + at, s.n - at};
    if ((word.n == 3 || word.n == 8) && word.n) {
        char lower[9] = {0};
        for (size_t i = 0; i < word.n; i++) lower[i] = (char)(word.s[i] | 32);
        if (strcmp(lower, "inf") == 0 || strcmp(lower, "infinity") == 0) return *out = sign * INFINITY, true;
        if (strcmp(lower, "nan") == 0) return *out = NAN, true;
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.s[i];
        bool digit = c >= '0' && c <= '9',
             between = i > 0 && i + 1 < s.n && digit_of(s.s[i - 1]) < 10 && digit_of(s.s[i + 1]) < 10;
        if (c == '_' && between) continue;
        if ((!digit && (!c || !strchr("+-.eE", c))) || n + 1 >= sizeof text) return false;
        text[n++] = c;
    }
    char *end;
    text[n] = 0;
    *out = strtod(text, &end);
    return n && end == text + n;
}

static bool to_int(Jinja *j, JValue v, double f, int64_t *out) {
    if (isnan(f)) return false;
    if (fabs(f) >= 0x1p63) jinja_fail(j, "a %s does not fit in 64 bits", jtype_name(v));
    *out = (int64_t)f;
    return true;
}

FILTER(int) {
    int64_t base = jgiven(a[2]) ? jarg_int(j, a[2], "the base") : 10, out = 0;
    JValue missing = jgiven(a[1]) ? a[1] : jint(0);
    double f;
    (void)r;
    if (a[0].kind == J_UNDEFINED) jinja_fail_undefined(j, a[0]);
    if (jis_int(a[0])) return jint(jas_int(a[0]));
    if (a[0].kind == J_FLOAT) return to_int(j, a[0], a[0].f, &out) ? jint(out) : missing;
    if (a[0].kind != J_STR) return missing;
    if (jtext_to_int(j, a[0].s, base, &out)) return jint(out);
    if (!jtext_to_float(a[0].s, &f) || isinf(f)) return missing;
    return to_int(j, a[0], f, &out) ? jint(out) : missing;
}

FILTER(float) {
    double f;
    (void)r;
    if (a[0].kind == J_UNDEFINED) jinja_fail_undefined(j, a[0]);
    if (jis_number(a[0])) return jfloat(jas_float(a[0]));
    if (a[0].kind == J_STR && jtext_to_float(a[0].s, &f)) return jfloat(f);
    return jgiven(a[1]) ? a[1] : jfloat(0);
}

FILTER(abs) {
    (void)r;
    if (a[0].kind == J_FLOAT) return jfloat(fabs(a[0].f));
    int64_t i = jarg_int(j, a[0], "the number");
    return i < 0 ? jnegate(j, jint(i), true) : jint(i);
}

static double round_float(double v, int64_t digits) { /* half to even, as the exact decimal value has it */
    char text[400];
    if (!isfinite(v) || digits > 300) return v;
    if (digits < -300) return copysign(0, v);
    if (digits < 0) {
        double unit = pow(10, (double)-digits);
        return nearbyint(v / unit) * unit;
    }
    if (fabs(v) >= 0x1p53) return v;
    snprintf(text, sizeof text, "%.*f", (int)digits, v);
    return strtod(text, NULL);
}

static JValue round_int(Jinja *j, int64_t v, int64_t digits) {
    int64_t unit = 1, rest;
    if (digits >= 0) return jint(v);
    for (; digits < 0; digits++)
        if (!mul_i64(unit, 10, &unit)) return jint(0);
    rest = v % unit + (v % unit < 0 ? unit : 0);
    v -= rest;
    bool up = rest > unit / 2 || (rest == unit / 2 && (v / unit) % 2 != 0);
    if (up && !add_i64(v, unit, &v)) jinja_fail(j, "the result does not fit in 64 bits");
    return jint(v);
}

FILTER(round) {
    int64_t digits = jgiven(a[1]) ? jarg_int(j, a[1], "the precision") : 0;
    JText *method = jgiven(a[2]) ? jarg_str(j, a[2], "the method") : jstr_of(j, "common").s;
    bool up = str_is(jtext_view(method), "ceil");
    (void)r;
    if (!up && !str_is(jtext_view(method), "common") && !str_is(jtext_view(method), "floor"))
        jinja_fail(j, "the method of rounding is 'common', 'ceil' or 'floor'");
    if (!jis_number(a[0])) jinja_fail(j, "a '%s' cannot be rounded", jtype_name(a[0]));
    if (str_is(jtext_view(method), "common"))
        return jis_int(a[0]) ? round_int(j, jas_int(a[0]), digits) : jfloat(round_float(a[0].f, digits));
    JValue unit = jarith(j, OP_POW, jint(10), jint(digits)), scaled = jarith(j, OP_MUL, a[0], unit);
    double whole = up ? ceil(jas_float(scaled)) : floor(jas_float(scaled));
    if (!(fabs(whole) < 0x1p63)) jinja_fail(j, "the number is too large to be rounded");
    return jarith(j, OP_DIV, jint((int64_t)whole), unit);
}

FILTER(filesizeformat) {
    static const char *const prefixes[] = {"k", "M", "G", "T", "P", "E", "Z", "Y"};
    bool binary = flag(j, a[1]);
    JValue args[3] = {a[0], J_UNSET_VALUE};
    double base = binary ? 1024 : 1000, bytes, unit = base;
    if (a[0].kind == J_STR && !jtext_to_float(a[0].s, &bytes)) jinja_fail(j, "the size is no number");
    bytes = a[0].kind == J_STR ? bytes : f_float(j, args, r).f;
    if (!jis_number(a[0]) && a[0].kind != J_STR) jinja_fail(j, "the size is no number");
    if (bytes == 1) return jstr_of(j, "1 Byte");
    if (bytes < base) return jstr_printf(j, "%" PRId64 " Bytes", (int64_t)MAX(bytes, -0x1p62));
    size_t i = 0;
    for (unit *= base; i + 1 < COUNT_OF(prefixes) && bytes >= unit; i++) unit *= base;
    const char *prefix = binary && i == 0 ? "K" : prefixes[i];
    return jstr_printf(j, "%.1f %s%sB", base * bytes / unit, prefix, binary ? "i" : "");
}

const JRow jinja_text_filters[] = {
    {"abs", f_abs, 0, false, {NULL}},
    {"capitalize", f_capitalize, 0, false, {NULL}},
    {"center", f_center, 0, false, {"width"}},
    {"e", f_escape, 0, false, {NULL}},
    {"escape", f_escape, 0, false, {NULL}},
    {"filesizeformat", f_filesizeformat, 0, false, {"binary"}},
    {"float", f_float, 0, false, {"default"}},
    {"forceescape", f_forceescape, 0, false, {NULL}},
    {"format", f_format, 0, true, {NULL}},
    {"indent", f_indent, 0, false, {"width", "first", "blank"}},
    {"int", f_int, 0, false, {"default", "base"}},
    {"lower", f_lower, 0, false, {NULL}},
    {"pprint", f_pprint, 0, false, {NULL}},
    {"replace", f_replace, 2, false, {"old", "new", "count"}},
    {"round", f_round, 0, false, {"precision", "method"}},
    {"safe", f_safe, 0, false, {NULL}},
    {"string", f_string, 0, false, {NULL}},
    {"striptags", f_striptags, 0, false, {NULL}},
    {"title", f_title, 0, false, {NULL}},
    {"tojson", f_tojson, 0, false, {"ensure_ascii", "indent", "separators", "sort_keys"}},
    {"trim", f_trim, 0, false, {"chars"}},
    {"truncate", f_truncate, 0, false, {"length", "killwords", "end", "leeway"}},
    {"upper", f_upper, 0, false, {NULL}},
    {"urlencode", f_urlencode, 0, false, {NULL}},
    {"urlize", NULL, 0, true, {NULL}},
    {"wordcount", f_wordcount, 0, false, {NULL}},
    {"wordwrap", NULL, 0, true, {NULL}},
    {"xmlattr", f_xmlattr, 0, false, {"autospace"}},
};
const size_t jinja_n_text_filters = COUNT_OF(jinja_text_filters);
