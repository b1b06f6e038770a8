/* Text with provenance. Slices share bytes; joining extends a text in place where it ends its tail, so that a template
 * that collects its output in a variable stays linear. */
#include <stdio.h>
#include <stdlib.h>

#include "tokenizer/jinja_impl.h"
#include "tokenizer/text.h"

static JText *text_new(Jinja *j, const char *s, size_t n, const uint8_t *marks, bool trusted) {
    JText *t = JINJA_NEW(j, JText, 1);
    *t = (JText){.s = s ? s : "", .marks = n ? marks : NULL, .n = n, .chars = n ? -1 : 0, .trusted = trusted || !n};
    return t;
}

JText *jtext_of(Jinja *j, Str s, bool trusted) { return text_new(j, s.s, s.n, NULL, trusted); }

JValue jstr_of(Jinja *j, const char *z) { return jstr(jtext_of(j, str_of(z), true)); }

JValue jstr_printf(Jinja *j, const char *fmt, ...) {
    char small[400]; /* numbers and names of types: never longer */
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    JTail *b = jtail_new(j);
    jtail_put(j, b, small, MIN((size_t)n, sizeof small - 1), true);
    return jstr(jtail_done(j, b));
}

int64_t jtext_chars(Jinja *j, JText *t) {
    if (t->chars < 0) {
        jinja_step(j, t->n);
        t->chars = utf8_count(t->s, t->n);
    }
    return t->chars;
}

size_t jtext_at(Jinja *j, JText *t, int64_t i) {
    if (i >= jtext_chars(j, t)) return t->n;
    if (t->chars == (int64_t)t->n) return (size_t)i;
    size_t at = 0;
    jinja_step(j, (size_t)i);
    for (; i > 0; i--)
        for (at++; at < t->n && utf8_continues(t->s[at]);) at++;
    return at;
}

JText *jtext_slice(Jinja *j, const JText *t, size_t from, size_t to) {
    JText *out = text_new(j, t->s + from, to - from, t->marks ? t->marks + from : NULL, t->trusted);
    if (t->chars == (int64_t)t->n) out->chars = (int64_t)out->n;
    out->tail = t->tail;
    return out;
}

/* ---- tails ---- */

JTail *jtail_new(Jinja *j) {
    JTail *b = JINJA_NEW(j, JTail, 1);
    b->trusted = true;
    return b;
}

static void tail_room(Jinja *j, JTail *b, size_t more) {
    size_t need;
    if (!add_size(b->n, more, &need) || need > j->bytes_max) jinja_fail(j, "the text grows beyond the memory allowed");
    if (need <= b->cap) return;
    size_t cap = MAX(need, b->cap ? 2 * b->cap : 0);
    char *s = jinja_alloc(j, cap, 1);
    if (b->n) memcpy(s, b->s, b->n);
    if (b->marks) {
        uint8_t *marks = jinja_alloc(j, cap, 1);
        memcpy(marks, b->marks, b->n);
        b->marks = marks;
    }
    b->s = s;
    b->cap = cap;
}

static void tail_mark(Jinja *j, JTail *b) {
    if (b->marks) return;
    b->marks = jinja_alloc(j, b->cap, 1);
    memset(b->marks, b->trusted, b->n);
}

void jtail_put(Jinja *j, JTail *b, const char *s, size_t n, bool trusted) {
    if (!n) return;
    jinja_step(j, n);
    tail_room(j, b, n);
    if (!b->n) b->trusted = trusted;
    if (b->trusted != trusted) tail_mark(j, b);
    memcpy(b->s + b->n, s, n);
    if (b->marks) memset(b->marks + b->n, trusted, n);
    b->n += n;
}

void jtail_text(Jinja *j, JTail *b, const JText *t, size_t from, size_t to) {
    size_t n = to - from;
    if (!t->marks || !n) {
        jtail_put(j, b, t->s + from, n, t->trusted);
        return;
    }
    jinja_step(j, n);
    tail_room(j, b, n);
    tail_mark(j, b);
    memcpy(b->s + b->n, t->s + from, n);
    memcpy(b->marks + b->n, t->marks + from, n);
    b->n += n;
}

void jtail_all(Jinja *j, JTail *b, const JText *t) { jtail_text(j, b, t, 0, t->n); }

void jtail_char(Jinja *j, JTail *b, uint32_t cp, bool trusted) {
    char c[4];
    jtail_put(j, b, c, (size_t)utf8_encode(cp, c), trusted);
}

void jtail_repeat(Jinja *j, JTail *b, const JText *t, int64_t times) {
    size_t bytes;
    if (times <= 0 || !t->n) return;
    if (!mul_size((size_t)times, t->n, &bytes)) bytes = SIZE_MAX;
    tail_room(j, b, bytes); /* refuses before the first copy */
    for (; times > 0; times--) jtail_all(j, b, t);
}

JText *jtail_done(Jinja *j, JTail *b) {
    JText *t = text_new(j, b->s, b->n, b->marks, b->trusted);
    t->tail = b;
    return t;
}

JText *jtext_concat(Jinja *j, JText *a, JText *b) {
    if (!a->n) return b;
    if (!b->n) return a;
    JTail *tail = a->tail;
    if (!tail || tail->s + tail->n != a->s + a->n) {
        tail = jtail_new(j);
        tail_room(j, tail, a->n + b->n);
        jtail_all(j, tail, a);
    }
    size_t begin = tail->n - a->n;
    jtail_all(j, tail, b);
    JText *out = text_new(j, tail->s + begin, tail->n - begin, tail->marks ? tail->marks + begin : NULL, tail->trusted);
    if (a->chars >= 0 && b->chars >= 0) out->chars = a->chars + b->chars;
    out->tail = tail;
    return out;
}
