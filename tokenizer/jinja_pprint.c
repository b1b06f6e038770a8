/* Values over several lines, as Python's pprint.pformat writes them: lines of 80 characters, containers one item a line
 * and texts cut between words where they do not fit. */
#include "tokenizer/jinja_impl.h"

enum { WIDTH = 80 };

typedef struct Place {
    int64_t indent;    /* characters before it on its line */
    int64_t allowance; /* that must still fit behind it: closing brackets, a comma */
    int level;         /* containers around it */
} Place;

static void pretty(Jinja *j, JTail *out, JValue v, Place at);

static void put(Jinja *j, JTail *out, const char *z) { jtail_put(j, out, z, strlen(z), true); }

static JText *repr_of(Jinja *j, JValue v) {
    JTail *t = jtail_new(j);
    jrepr(j, t, v, true);
    return jtail_done(j, t);
}

static int64_t repr_chars(Jinja *j, JText *t) { return jtext_chars(j, repr_of(j, jstr(t))); }

static void new_line(Jinja *j, JTail *out, int64_t indent) {
    put(j, out, "\n");
    jtail_repeat(j, out, jtext_of(j, STR(" "), true), indent);
}

static void pretty_items(Jinja *j, JTail *out, const JSeq *s, Place at) {
    at.indent++;
    for (size_t i = 0; i < s->n; i++) {
        Place item = at;
        if (i) put(j, out, ","), new_line(j, out, at.indent);
        if (i + 1 < s->n) item.allowance = 1;
        pretty(j, out, s->v[i], item);
    }
}

static void pretty_dict(Jinja *j, JTail *out, const JDict *d, Place at) {
    const JSeq *order = jsorted_pairs(j, d);
    at.indent++;
    for (size_t i = 0; i < d->n; i++) {
        const JPair *p = &d->pairs[order->v[i].i];
        JText *key = repr_of(j, p->key);
        Place item = at;
        if (i) put(j, out, ","), new_line(j, out, at.indent);
        jtail_all(j, out, key);
        put(j, out, ": ");
        item.indent += jtext_chars(j, key) + 2;
        if (i + 1 < d->n) item.allowance = 1;
        pretty(j, out, p->value, item);
    }
}

/* ---- texts ---- */

typedef struct Pieces {
    JSeq *done;
    int64_t width;     /* of a piece, quotes included */
    int64_t allowance; /* less for the last one */
} Pieces;

/* Words with the white space behind them, as many to a piece as fit. */
static void cut_line(Jinja *j, Pieces *p, const JText *line, bool last) {
    size_t from = 0, at = 0;
    while (at < line->n) {
        size_t end = at;
        int len = 0;
        while (end < line->n && !py_space(utf8_decode(line->s + end, &len))) end += (size_t)len;
        while (end < line->n && py_space(utf8_decode(line->s + end, &len))) end += (size_t)len;
        int64_t width = p->width - (last && end == line->n ? p->allowance : 0);
        jinja_step(j, end - from);
        if (repr_chars(j, jtext_slice(j, line, from, end)) > width && at > from) {
            jseq_push(j, p->done, jstr(jtext_slice(j, line, from, at)));
            from = at;
        }
        at = end;
    }
    jseq_push(j, p->done, jstr(jtext_slice(j, line, from, at)));
}

static void pretty_text(Jinja *j, JTail *out, JText *t, Place at) {
    bool alone = at.level == 1;
    at.indent += alone;
    at.allowance += alone;
    JSeq *lines = jtext_lines(j, t, true);
    Pieces p = {jseq_new(j, 0), WIDTH - at.indent, at.allowance};
    for (size_t i = 0; i < lines->n; i++) {
        bool last = i + 1 == lines->n;
        JText *line = lines->v[i].s;
        if (repr_chars(j, line) <= p.width - (last ? p.allowance : 0))
            jseq_push(j, p.done, lines->v[i]);
        else
            cut_line(j, &p, line, last);
    }
    bool brackets = alone && p.done->n > 1;
    put(j, out, brackets ? "(" : "");
    for (size_t i = 0; i < p.done->n; i++) {
        if (i) new_line(j, out, at.indent);
        jrepr(j, out, p.done->v[i], true);
    }
    put(j, out, brackets ? ")" : "");
}

/* ---- all ---- */

static void pretty(Jinja *j, JTail *out, JValue v, Place at) {
    JText *line = repr_of(j, v);
    bool container = v.kind == J_DICT || v.kind == J_LIST || v.kind == J_TUPLE;
    if (jtext_chars(j, line) <= WIDTH - at.indent - at.allowance ||
        !(container || (v.kind == J_STR && !v.s->markup && v.s->n))) {
        jtail_all(j, out, line);
        return;
    }
    jinja_enter(j);
    at.level++;
    if (v.kind == J_STR) {
        pretty_text(j, out, v.s, at);
    } else {
        bool one = v.kind == J_TUPLE && v.seq->n == 1;
        at.allowance += one ? 2 : 1;
        put(j, out, v.kind == J_DICT ? "{" : v.kind == J_LIST ? "[" : "(");
        if (v.kind == J_DICT)
            pretty_dict(j, out, v.dict, at);
        else
            pretty_items(j, out, v.seq, at);
        put(j, out, v.kind == J_DICT ? "}" : v.kind == J_LIST ? "]" : one ? ",)" : ")");
    }
    j->depth++;
}

JText *jpretty(Jinja *j, JValue v) {
    JTail *out = jtail_new(j);
    pretty(j, out, v, (Place){0});
    return jtail_done(j, out);
}
