/* Methods of str. Pieces of a text keep the provenance of their bytes; a changed character has that of the one it came
 * from. */
#include <stdlib.h>

#include "tokenizer/jinja_impl.h"
#include "tokenizer/text.h"

/* ---- characters ---- */

bool py_alnum(uint32_t c) { return py_alpha(c) || py_numeric(c) || py_digit(c); }
static bool is_ascii(uint32_t c) { return c < 0x80; }
static bool is_cased(uint32_t c) { return py_upper(c) || py_lower(c); }

bool jtext_is(const JText *t, bool (*test)(uint32_t)) {
    int len;
    for (size_t at = 0; at < t->n; at += (size_t)len)
        if (!test(utf8_decode(t->s + at, &len))) return false;
    return t->n > 0;
}

bool jtext_cased(const JText *t, bool upper) {
    bool any = false;
    int len;
    for (size_t at = 0; at < t->n; at += (size_t)len) {
        uint32_t c = utf8_decode(t->s + at, &len);
        if (upper ? py_lower(c) : py_upper(c)) return false;
        any |= upper ? py_upper(c) : py_lower(c);
    }
    return any;
}

/* A capital sigma at the end of a word has a form of its own. */
static bool final_sigma(const JText *t, size_t at, bool after_letter) {
    int len;
    if (!after_letter) return false;
    return at + 2 >= t->n || !py_alpha(utf8_decode(t->s + at + 2, &len));
}

static bool ends_word(uint32_t c) { return py_space(c) || (c < 0x80 && c && strchr("-({[<", (int)c)); }

JText *jtext_case(Jinja *j, const JText *t, CaseRule rule) {
    JTail *out = jtail_new(j);
    bool letter = false, inside = false; /* the character before is a letter; inside a word */
    int len;
    for (size_t at = 0; at < t->n; at += (size_t)len) {
        uint32_t c = utf8_decode(t->s + at, &len), to[3];
        CaseMap map = CASE_LOWER;
        if (rule == RULE_UPPER || (rule == RULE_SWAP && py_lower(c)) || (rule == RULE_TITLE_FILTER && !inside))
            map = CASE_UPPER;
        if ((rule == RULE_TITLE && !inside) || (rule == RULE_CAPITALIZE && at == 0)) map = CASE_TITLE;
        int n = c == 0x3a3 && map == CASE_LOWER ? (to[0] = final_sigma(t, at, letter) ? 0x3c2 : 0x3c3, 1)
                                                : py_case(c, map, to);
        for (int i = 0; i < n; i++) jtail_char(j, out, to[i], jtext_trusted(t, at));
        letter = py_alpha(c);
        inside = rule == RULE_TITLE ? is_cased(c) : !ends_word(c);
    }
    return jtail_done(j, out);
}

JText *jtext_reverse(Jinja *j, const JText *t) {
    JTail *out = jtail_new(j);
    for (size_t end = t->n, at; end > 0; end = at) {
        for (at = end - 1; at > 0 && utf8_continues(t->s[at]);) at--;
        jtail_text(j, out, t, at, end);
    }
    return jtail_done(j, out);
}

JText *jtext_escape(Jinja *j, const JText *t) {
    static const struct {
        char c;
        const char *to;
    } rows[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'\'', "&#39;"}, {'"', "&#34;"}};
    JTail *out = jtail_new(j);
    size_t from = 0;
    for (size_t at = 0; at < t->n && !t->markup; at++) {
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            if (rows[i].c != t->s[at]) continue;
            jtail_text(j, out, t, from, at);
            jtail_put(j, out, rows[i].to, strlen(rows[i].to), jtext_trusted(t, at));
            from = at + 1;
        }
    }
    jtail_text(j, out, t, from, t->n);
    JText *done = jtail_done(j, out);
    done->markup = true;
    return done;
}

JValue jkeep_markup(Jinja *j, JValue v) {
    if (v.kind == J_STR) {
        JText *t = jtext_slice(j, v.s, 0, v.s->n);
        t->markup = true;
        return jstr(t);
    }
    for (size_t i = 0; (v.kind == J_LIST || v.kind == J_TUPLE) && i < v.seq->n; i++)
        v.seq->v[i] = jkeep_markup(j, v.seq->v[i]);
    return v;
}

/* ---- searching ---- */

static size_t find_bytes(Jinja *j, Str in, size_t from, Str what) { /* in.n + 1: nowhere */
    if (from + what.n > in.n) return in.n + 1;
    if (!what.n) return from;
    const char *p = memmem(in.s + from, in.n - from, what.s, what.n);
    jinja_step(j, p ? (size_t)(p - in.s) - from : in.n - from);
    return p ? (size_t)(p - in.s) : in.n + 1;
}

static size_t find_bytes_last(Jinja *j, Str in, size_t end, Str what) { /* the last that ends by `end` */
    jinja_step(j, end);
    for (size_t at = end >= what.n ? end - what.n + 1 : 0; at > 0; at--)
        if (memcmp(in.s + at - 1, what.s, what.n) == 0) return at - 1;
    return in.n + 1;
}

/* Bytes that [start:end] stands for; false: it begins past the end. */
static bool part_of(Jinja *j, JText *t, JValue start, JValue end, size_t *from, size_t *to) {
    int64_t n = jtext_chars(j, t), a = 0, b = n;
    if (jgiven(start) && start.kind != J_NONE) a = jarg_int(j, start, "a position");
    if (jgiven(end) && end.kind != J_NONE) b = jarg_int(j, end, "a position");
    a = a < 0 ? MAX(a + n, 0) : a;
    b = b < 0 ? MAX(b + n, 0) : MIN(b, n);
    if (a > b) return false;
    *from = jtext_at(j, t, a);
    *to = jtext_at(j, t, b);
    return true;
}

static int64_t find(Jinja *j, JValue *a, bool last) { /* -1: nowhere; in code points */
    JText *t = a[0].s;
    Str what = jtext_view(jarg_str(j, a[1], "what is looked for"));
    size_t from, to;
    if (!part_of(j, t, a[2], a[3], &from, &to)) return -1;
    Str in = {t->s, to};
    size_t at = last ? find_bytes_last(j, in, to, what) : find_bytes(j, in, from, what);
    if (at > to || at < from) return -1;
    return utf8_count(t->s, at);
}

static JValue found(Jinja *j, JValue *a, bool last, bool must) {
    int64_t at = find(j, a, last);
    if (at < 0 && must) jinja_fail(j, "the text does not hold what is looked for");
    return jint(at);
}
static JValue m_find(Jinja *j, JValue *a, const JArgs *r) { return (void)r, found(j, a, false, false); }
static JValue m_rfind(Jinja *j, JValue *a, const JArgs *r) { return (void)r, found(j, a, true, false); }
static JValue m_index(Jinja *j, JValue *a, const JArgs *r) { return (void)r, found(j, a, false, true); }
static JValue m_rindex(Jinja *j, JValue *a, const JArgs *r) { return (void)r, found(j, a, true, true); }

static JValue m_count(Jinja *j, JValue *a, const JArgs *r) {
    JText *t = a[0].s;
    Str what = jtext_view(jarg_str(j, a[1], "what is counted"));
    size_t from, to;
    int64_t n = 0;
    (void)r;
    if (!part_of(j, t, a[2], a[3], &from, &to)) return jint(0);
    if (!what.n) return jint(utf8_count(t->s + from, to - from) + 1);
    Str in = {t->s, to};
    for (size_t at = find_bytes(j, in, from, what); at <= to; at = find_bytes(j, in, at + what.n, what)) n++;
    return jint(n);
}

static bool edge(Jinja *j, const JText *t, size_t from, size_t to, JValue what, bool at_end) {
    if (what.kind == J_TUPLE) {
        for (size_t i = 0; i < what.seq->n; i++)
            if (edge(j, t, from, to, what.seq->v[i], at_end)) return true;
        return false;
    }
    Str s = jtext_view(jarg_str(j, what, "what a text begins or ends with"));
    return s.n <= to - from && memcmp(t->s + (at_end ? to - s.n : from), s.s, s.n) == 0;
}

static JValue edges(Jinja *j, JValue *a, bool at_end) {
    size_t from, to;
    for (size_t i = 0; a[1].kind == J_TUPLE && i < a[1].seq->n; i++) jarg_str(j, a[1].seq->v[i], "what is looked for");
    if (a[1].kind != J_TUPLE) jarg_str(j, a[1], "what is looked for");
    return jbool(part_of(j, a[0].s, a[2], a[3], &from, &to) && edge(j, a[0].s, from, to, a[1], at_end));
}
static JValue m_startswith(Jinja *j, JValue *a, const JArgs *r) { return (void)r, edges(j, a, false); }
static JValue m_endswith(Jinja *j, JValue *a, const JArgs *r) { return (void)r, edges(j, a, true); }

static JValue remove_edge(Jinja *j, JValue *a, bool at_end) {
    JText *t = a[0].s;
    Str s = jtext_view(jarg_str(j, a[1], "what is removed"));
    if (!edge(j, t, 0, t->n, a[1], at_end)) return a[0];
    return jstr(jtext_slice(j, t, at_end ? 0 : s.n, at_end ? t->n - s.n : t->n));
}
static JValue m_removeprefix(Jinja *j, JValue *a, const JArgs *r) { return (void)r, remove_edge(j, a, false); }
static JValue m_removesuffix(Jinja *j, JValue *a, const JArgs *r) { return (void)r, remove_edge(j, a, true); }

/* ---- cutting ---- */

static bool char_in(const char *at, int len, const JText *chars) {
    if (!chars) return py_space(utf8_decode(at, &len));
    return memmem(chars->s, chars->n, at, (size_t)len) != NULL;
}

JText *jtext_strip(Jinja *j, JText *t, JValue chars, int ends) {
    const JText *set = jgiven(chars) && chars.kind != J_NONE ? jarg_str(j, chars, "what is stripped") : NULL;
    size_t from = 0, to = t->n;
    jinja_step(j, t->n);
    while (ends & STRIP_LEFT && from < to) {
        int len = utf8_len(t->s + from, to - from);
        if (!char_in(t->s + from, len, set)) break;
        from += (size_t)len;
    }
    while (ends & STRIP_RIGHT && to > from) {
        size_t at = to - 1;
        while (at > from && utf8_continues(t->s[at])) at--;
        if (!char_in(t->s + at, (int)(to - at), set)) break;
        to = at;
    }
    return jtext_slice(j, t, from, to);
}
static JValue m_strip(Jinja *j, JValue *a, const JArgs *r) {
    return (void)r, jstr(jtext_strip(j, a[0].s, a[1], STRIP_LEFT | STRIP_RIGHT));
}
static JValue m_lstrip(Jinja *j, JValue *a, const JArgs *r) {
    return (void)r, jstr(jtext_strip(j, a[0].s, a[1], STRIP_LEFT));
}
static JValue m_rstrip(Jinja *j, JValue *a, const JArgs *r) {
    return (void)r, jstr(jtext_strip(j, a[0].s, a[1], STRIP_RIGHT));
}

JSeq *jtext_lines(Jinja *j, const JText *t, bool keep_ends) {
    JSeq *out = jseq_new(j, 0);
    jinja_step(j, t->n);
    for (size_t at = 0, next; at < t->n; at = next) {
        size_t end = py_line_end(jtext_view(t), at, &next);
        jseq_push(j, out, jstr(jtext_slice(j, t, at, keep_ends ? next : end)));
    }
    return out;
}
static JValue m_splitlines(Jinja *j, JValue *a, const JArgs *r) {
    return (void)r, jlist(jtext_lines(j, a[0].s, jgiven(a[1]) && jtruth(j, a[1])));
}

static void split_space(Jinja *j, const JText *t, int64_t max, JSeq *out) {
    Str s = jtext_view(t);
    for (size_t at = py_strip_start(s); at < s.n;) {
        size_t end = at;
        int len;
        while (end < s.n && !py_space(utf8_decode(s.s + end, &len))) end += (size_t)len;
        if (max == 0) end = s.n;
        jseq_push(j, out, jstr(jtext_slice(j, t, at, max == 0 ? py_strip_end(s) > at ? s.n : end : end)));
        at = end + py_strip_start((Str){s.s + end, s.n - end});
        max -= max > 0;
    }
}

static void rsplit_space(Jinja *j, const JText *t, int64_t max, JSeq *out) { /* pieces from the last to the first */
    size_t end = py_strip_end(jtext_view(t));
    for (; end > 0; max -= max > 0) {
        size_t at = max == 0 ? 0 : end;
        while (at > 0) {
            size_t back = at - 1;
            int len;
            while (back > 0 && utf8_continues(t->s[back])) back--;
            if (py_space(utf8_decode(t->s + back, &len))) break;
            at = back;
        }
        jseq_push(j, out, jstr(jtext_slice(j, t, at, end)));
        end = py_strip_end((Str){t->s, at});
    }
}

static void reverse_items(JSeq *s) {
    for (size_t i = 0; i < s->n / 2; i++) {
        JValue v = s->v[i];
        s->v[i] = s->v[s->n - 1 - i];
        s->v[s->n - 1 - i] = v;
    }
}

static JValue split(Jinja *j, JValue *a, bool from_right) {
    JText *t = a[0].s;
    int64_t max = jgiven(a[2]) ? jarg_int(j, a[2], "the number of splits") : -1;
    JSeq *out = jseq_new(j, 0);
    if (max < 0) max = -1;
    jinja_step(j, t->n);
    if (!jgiven(a[1]) || a[1].kind == J_NONE) {
        if (from_right)
            rsplit_space(j, t, max, out), reverse_items(out);
        else
            split_space(j, t, max, out);
        return jlist(out);
    }
    Str sep = jtext_view(jarg_str(j, a[1], "the separator")), s = jtext_view(t);
    size_t begin = 0, end = s.n;
    if (!sep.n) jinja_fail(j, "the separator is empty");
    for (size_t at; max != 0; max -= max > 0) {
        at = from_right ? find_bytes_last(j, s, end, sep) : find_bytes(j, s, begin, sep);
        if (at > s.n) break;
        jseq_push(j, out, jstr(from_right ? jtext_slice(j, t, at + sep.n, end) : jtext_slice(j, t, begin, at)));
        if (from_right)
            end = at;
        else
            begin = at + sep.n;
    }
    jseq_push(j, out, jstr(jtext_slice(j, t, begin, end)));
    if (from_right) reverse_items(out);
    return jlist(out);
}
static JValue m_split(Jinja *j, JValue *a, const JArgs *r) { return (void)r, split(j, a, false); }
static JValue m_rsplit(Jinja *j, JValue *a, const JArgs *r) { return (void)r, split(j, a, true); }

static JValue partition(Jinja *j, JValue *a, bool last) {
    JText *t = a[0].s, *sep = jarg_str(j, a[1], "the separator");
    JSeq *out = jseq_new(j, 3);
    if (!sep->n) jinja_fail(j, "the separator is empty");
    size_t at = last ? find_bytes_last(j, jtext_view(t), t->n, jtext_view(sep))
                     : find_bytes(j, jtext_view(t), 0, jtext_view(sep));
    if (at > t->n) {
        jseq_push(j, out, last ? jstr_of(j, "") : a[0]);
        jseq_push(j, out, jstr_of(j, ""));
        jseq_push(j, out, last ? a[0] : jstr_of(j, ""));
    } else {
        jseq_push(j, out, jstr(jtext_slice(j, t, 0, at)));
        jseq_push(j, out, jstr(jtext_slice(j, t, at, at + sep->n)));
        jseq_push(j, out, jstr(jtext_slice(j, t, at + sep->n, t->n)));
    }
    return jtuple(out);
}
static JValue m_partition(Jinja *j, JValue *a, const JArgs *r) { return (void)r, partition(j, a, false); }
static JValue m_rpartition(Jinja *j, JValue *a, const JArgs *r) { return (void)r, partition(j, a, true); }

/* ---- building ---- */

/* These escape what they are given when the text is markup. */
static const JText *plain(Jinja *j, const JText *t) {
    if (t->markup) jinja_fail(j, "to put text into text that was marked safe is not supported");
    return t;
}

static void replace_nothing(Jinja *j, JTail *out, const JText *t, const JText *to, int64_t count) {
    size_t at = 0;
    for (; count != 0; count -= count > 0) {
        jtail_all(j, out, to);
        if (at == t->n) return;
        size_t len = (size_t)utf8_len(t->s + at, t->n - at);
        jtail_text(j, out, t, at, at + len);
        at += len;
    }
    jtail_text(j, out, t, at, t->n);
}

JText *jtext_replace(Jinja *j, JText *t, const JText *from, const JText *to, int64_t count) {
    JTail *out = jtail_new(j);
    size_t begin = 0;
    if (!from->n) {
        replace_nothing(j, out, t, to, count);
        return jtail_done(j, out);
    }
    for (; count != 0; count -= count > 0) {
        size_t at = find_bytes(j, jtext_view(t), begin, jtext_view(from));
        if (at > t->n) break;
        jtail_text(j, out, t, begin, at);
        jtail_all(j, out, to);
        begin = at + from->n;
    }
    if (!begin) return t;
    jtail_text(j, out, t, begin, t->n);
    return jtail_done(j, out);
}
static JValue m_replace(Jinja *j, JValue *a, const JArgs *r) {
    int64_t count = jgiven(a[3]) ? jarg_int(j, a[3], "the number of replacements") : -1;
    (void)r;
    plain(j, a[0].s);
    return jstr(jtext_replace(j, a[0].s, jarg_str(j, a[1], "what is replaced"), jarg_str(j, a[2], "the replacement"),
                              MAX(count, -1)));
}

static JValue m_join(Jinja *j, JValue *a, const JArgs *r) {
    JTail *out = jtail_new(j);
    JIter *it = jiter_of(j, a[1]);
    bool first = true;
    (void)r;
    plain(j, a[0].s);
    for (JValue v; jiter_next(j, it, &v); first = false) {
        if (!first) jtail_all(j, out, a[0].s);
        jtail_all(j, out, jarg_str(j, v, "what is joined"));
    }
    return jstr(jtail_done(j, out));
}

static JValue justify(Jinja *j, JValue *a, char align) {
    JText *fill = jgiven(a[2]) ? jarg_str(j, a[2], "the fill character") : NULL, *t = a[0].s;
    int64_t width = jarg_int(j, a[1], "the width");
    if (fill && jtext_chars(j, fill) != 1) jinja_fail(j, "the fill character must be one character");
    JTail *out = jtail_new(j);
    int64_t lack = width - jtext_chars(j, t);
    if (align == '^' && lack > 0 && lack & 1 && width & 1) { /* Python puts the odd one left here */
        JText *space = fill ? fill : jstr_of(j, " ").s;
        jtail_repeat(j, out, space, lack / 2 + 1);
        jtail_all(j, out, t);
        jtail_repeat(j, out, space, lack / 2);
    } else {
        jpad(j, out, t, width, fill, align);
    }
    return jstr(jtail_done(j, out));
}
static JValue m_center(Jinja *j, JValue *a, const JArgs *r) { return (void)r, justify(j, a, '^'); }
static JValue m_ljust(Jinja *j, JValue *a, const JArgs *r) { return (void)r, justify(j, a, '<'); }
static JValue m_rjust(Jinja *j, JValue *a, const JArgs *r) { return (void)r, justify(j, a, '>'); }

static JValue m_zfill(Jinja *j, JValue *a, const JArgs *r) {
    JText *t = a[0].s, zero = {.s = "0", .n = 1, .chars = 1, .trusted = true};
    size_t sign = t->n && (t->s[0] == '-' || t->s[0] == '+');
    JTail *out = jtail_new(j);
    (void)r;
    jtail_text(j, out, t, 0, sign);
    jtail_repeat(j, out, &zero, jarg_int(j, a[1], "the width") - jtext_chars(j, t));
    jtail_text(j, out, t, sign, t->n);
    return jstr(jtail_done(j, out));
}

static JValue m_format(Jinja *j, JValue *a, const JArgs *r) { return jstr(jformat(j, plain(j, a[0].s), r)); }

#define CASE_METHOD(name, rule)                                                                                        \
    static JValue m_##name(Jinja *j, JValue *a, const JArgs *r) { return (void)r, jstr(jtext_case(j, a[0].s, rule)); }
CASE_METHOD(upper, RULE_UPPER)
CASE_METHOD(lower, RULE_LOWER)
CASE_METHOD(title, RULE_TITLE)
CASE_METHOD(capitalize, RULE_CAPITALIZE)
CASE_METHOD(swapcase, RULE_SWAP)

#define TEST_METHOD(name, test)                                                                                        \
    static JValue m_##name(Jinja *j, JValue *a, const JArgs *r) {                                                      \
        return (void)j, (void)r, jbool(jtext_is(a[0].s, test));                                                        \
    }
TEST_METHOD(isalpha, py_alpha)
TEST_METHOD(isalnum, py_alnum)
TEST_METHOD(isdigit, py_digit)
TEST_METHOD(isdecimal, py_decimal)
TEST_METHOD(isnumeric, py_numeric)
TEST_METHOD(isspace, py_space)
static JValue m_isascii(Jinja *j, JValue *a, const JArgs *r) {
    return (void)j, (void)r, jbool(!a[0].s->n || jtext_is(a[0].s, is_ascii));
}
static JValue m_isprintable(Jinja *j, JValue *a, const JArgs *r) {
    return (void)j, (void)r, jbool(!a[0].s->n || jtext_is(a[0].s, py_printable));
}
static JValue m_isupper(Jinja *j, JValue *a, const JArgs *r) {
    return (void)j, (void)r, jbool(jtext_cased(a[0].s, true));
}
static JValue m_islower(Jinja *j, JValue *a, const JArgs *r) {
    return (void)j, (void)r, jbool(jtext_cased(a[0].s, false));
}

/* Parameters without a name are taken by position alone. */
const JRow jinja_str_methods[] = {
    {"capitalize", m_capitalize, 0, false, {NULL}},
    {"casefold", NULL, 0, false, {NULL}},
    {"center", m_center, 1, false, {"", ""}},
    {"count", m_count, 1, false, {"", "", ""}},
    {"encode", NULL, 0, true, {NULL}},
    {"endswith", m_endswith, 1, false, {"", "", ""}},
    {"expandtabs", NULL, 0, true, {NULL}},
    {"find", m_find, 1, false, {"", "", ""}},
    {"format", m_format, 0, true, {NULL}},
    {"format_map", NULL, 0, true, {NULL}},
    {"index", m_index, 1, false, {"", "", ""}},
    {"isalnum", m_isalnum, 0, false, {NULL}},
    {"isalpha", m_isalpha, 0, false, {NULL}},
    {"isascii", m_isascii, 0, false, {NULL}},
    {"isdecimal", m_isdecimal, 0, false, {NULL}},
    {"isdigit", m_isdigit, 0, false, {NULL}},
    {"isidentifier", NULL, 0, false, {NULL}},
    {"islower", m_islower, 0, false, {NULL}},
    {"isnumeric", m_isnumeric, 0, false, {NULL}},
    {"isprintable", m_isprintable, 0, false, {NULL}},
    {"isspace", m_isspace, 0, false, {NULL}},
    {"istitle", NULL, 0, false, {NULL}},
    {"isupper", m_isupper, 0, false, {NULL}},
    {"join", m_join, 1, false, {""}},
    {"ljust", m_ljust, 1, false, {"", ""}},
    {"lower", m_lower, 0, false, {NULL}},
    {"lstrip", m_lstrip, 0, false, {""}},
    {"maketrans", NULL, 0, true, {NULL}},
    {"partition", m_partition, 1, false, {""}},
    {"removeprefix", m_removeprefix, 1, false, {""}},
    {"removesuffix", m_removesuffix, 1, false, {""}},
    {"replace", m_replace, 2, false, {"", "", ""}},
    {"rfind", m_rfind, 1, false, {"", "", ""}},
    {"rindex", m_rindex, 1, false, {"", "", ""}},
    {"rjust", m_rjust, 1, false, {"", ""}},
    {"rpartition", m_rpartition, 1, false, {""}},
    {"rsplit", m_rsplit, 0, false, {"sep", "maxsplit"}},
    {"rstrip", m_rstrip, 0, false, {""}},
    {"split", m_split, 0, false, {"sep", "maxsplit"}},
    {"splitlines", m_splitlines, 0, false, {"keepends"}},
    {"startswith", m_startswith, 1, false, {"", "", ""}},
    {"strip", m_strip, 0, false, {""}},
    {"swapcase", m_swapcase, 0, false, {NULL}},
    {"title", m_title, 0, false, {NULL}},
    {"translate", NULL, 0, true, {NULL}},
    {"upper", m_upper, 0, false, {NULL}},
    {"zfill", m_zfill, 1, false, {""}},
};
const size_t jinja_n_str_methods = COUNT_OF(jinja_str_methods);
