/* Values as text: Python's str() and repr(), and json.dumps. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tokenizer/jinja_impl.h"

static void put(Jinja *j, JTail *out, const char *z) { jtail_put(j, out, z, strlen(z), true); }

/* The shortest digits that read back as the same double; an exponent outside 1e-4 .. 1e16. */
int py_float_repr(double f, char out[32]) {
    char e[40], digits[24];
    int n = 0, exp, at = 0;
    if (!isfinite(f)) return snprintf(out, 32, "%s", isnan(f) ? "nan" : f > 0 ? "inf" : "-inf");
    for (int prec = 0; prec < 17; prec++) {
        snprintf(e, sizeof e, "%.*e", prec, f);
        if (strtod(e, NULL) == f) break;
    }
    const char *c = e;
    if (*c == '-') out[at++] = *c++;
    for (; *c != 'e'; c++)
        if (*c != '.') digits[n++] = *c;
    exp = atoi(c + 1);
    while (n > 1 && digits[n - 1] == '0') n--;
    digits[n] = 0;
    if (exp < -4 || exp >= 16)
        return at + snprintf(out + at, (size_t)(32 - at), "%c%s%se%c%02d", digits[0], n > 1 ? "." : "", digits + 1,
                             exp < 0 ? '-' : '+', abs(exp));
    if (exp < 0) return at + snprintf(out + at, (size_t)(32 - at), "0.%.*s%s", -exp - 1, "000", digits);
    for (int i = 0; i <= exp; i++) out[at++] = i < n ? digits[i] : '0';
    return at + snprintf(out + at, (size_t)(32 - at), ".%s", n > exp + 1 ? digits + exp + 1 : "0");
}

static void put_float(Jinja *j, JTail *out, double f) {
    char text[32];
    py_float_repr(f, text);
    put(j, out, text);
}

static void put_int(Jinja *j, JTail *out, int64_t i) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, i);
    put(j, out, text);
}

/* ---- repr ---- */

static void repr_text(Jinja *j, JTail *out, const JText *t) {
    if (t->markup) put(j, out, "Markup(");
    bool single = t->n && memchr(t->s, '\'', t->n), twice = t->n && memchr(t->s, '"', t->n);
    char quote = single && !twice ? '"' : '\'', code[16];
    jtail_put(j, out, &quote, 1, true);
    for (size_t at = 0, from = 0; at <= t->n;) {
        int len = 1;
        uint32_t c = at < t->n ? utf8_decode(t->s + at, &len) : 0;
        bool plain = at < t->n && c != (uint32_t)quote && c != '\\' && (c < 0x7f ? c >= ' ' : py_printable(c));
        if (plain) {
            at += (size_t)len;
            continue;
        }
        jtail_text(j, out, t, from, at);
        if (at == t->n) break;
        const char *fmt = c == '\n'                           ? "\\n"
                          : c == '\r'                         ? "\\r"
                          : c == '\t'                         ? "\\t"
                          : c == '\\' || c == (uint32_t)quote ? "\\%c"
                          : c < 0x100                         ? "\\x%02x"
                          : c < 0x10000                       ? "\\u%04x"
                                                              : "\\U%08x";
        int n = snprintf(code, sizeof code, fmt, c);
        jtail_put(j, out, code, (size_t)n, jtext_trusted(t, at));
        from = at += (size_t)len;
    }
    jtail_put(j, out, &quote, 1, true);
    if (t->markup) put(j, out, ")");
}

static void repr_items(Jinja *j, JTail *out, const JSeq *s, bool sorted) {
    for (size_t i = 0; i < s->n; i++) {
        if (i) put(j, out, ", ");
        jrepr(j, out, s->v[i], sorted);
    }
}

JSeq *jsorted_pairs(Jinja *j, const JDict *d) {
    JSeq *order = jseq_new(j, d->n), *keys = jseq_new(j, d->n);
    for (size_t i = 0; i < d->n; i++) {
        jseq_push(j, order, jint((int64_t)i));
        jseq_push(j, keys, d->pairs[i].key);
    }
    jsort(j, order->v, keys->v, d->n, false);
    return order;
}

static void repr_dict(Jinja *j, JTail *out, const JDict *d, bool sorted) {
    const JSeq *order = sorted ? jsorted_pairs(j, d) : NULL;
    put(j, out, "{");
    for (size_t i = 0; i < d->n; i++) {
        const JPair *p = &d->pairs[order ? (size_t)order->v[i].i : i];
        if (i) put(j, out, ", ");
        jrepr(j, out, p->key, sorted);
        put(j, out, ": ");
        jrepr(j, out, p->value, sorted);
    }
    put(j, out, "}");
}

static void repr_range(Jinja *j, JTail *out, const JRange *r) {
    put(j, out, "range(");
    put_int(j, out, r->start);
    put(j, out, ", ");
    put_int(j, out, r->stop);
    if (r->step != 1) {
        put(j, out, ", ");
        put_int(j, out, r->step);
    }
    put(j, out, ")");
}

static void repr_macro(Jinja *j, JTail *out, const JMacro *m) {
    put(j, out, "<Macro ");
    if (m->node->name.s)
        repr_text(j, out, jtext_of(j, m->node->name, true));
    else
        put(j, out, "anonymous");
    put(j, out, ">");
}

static void repr_loop(Jinja *j, JTail *out, JLoop *loop) {
    put(j, out, "<LoopContext ");
    put_int(j, out, loop->index0 + 1);
    put(j, out, "/");
    put_int(j, out, jloop_attr(j, loop, STR("length")).i);
    put(j, out, ">");
}

static void repr_container(Jinja *j, JTail *out, JValue v, bool sorted) {
    switch (v.kind) {
    case J_LIST:
        put(j, out, "[");
        repr_items(j, out, v.seq, sorted);
        put(j, out, "]");
        break;
    case J_TUPLE:
        put(j, out, "(");
        repr_items(j, out, v.seq, sorted);
        put(j, out, v.seq->n == 1 ? ",)" : ")");
        break;
    case J_DICT: repr_dict(j, out, v.dict, sorted); break;
    case J_NAMESPACE:
        put(j, out, "<Namespace ");
        repr_dict(j, out, v.dict, false); /* pprint sorts only what it knows */
        put(j, out, ">");
        break;
    case J_VIEW:
        put(j, out, jtype_name(v));
        put(j, out, "(");
        jrepr(j, out, jlist(jcollect(j, v)), false);
        put(j, out, ")");
        break;
    default: jinja_fail(j, "a '%s' has no text; if it is a sequence, make it a list first", jtype_name(v));
    }
}

void jrepr(Jinja *j, JTail *out, JValue v, bool sorted) {
    jinja_step(j, 0);
    switch (v.kind) {
    case J_UNSET:
    case J_UNDEFINED: put(j, out, "Undefined"); break;
    case J_NONE: put(j, out, "None"); break;
    case J_BOOL: put(j, out, v.b ? "True" : "False"); break;
    case J_INT: put_int(j, out, v.i); break;
    case J_FLOAT: put_float(j, out, v.f); break;
    case J_STR: repr_text(j, out, v.s); break;
    case J_RANGE: repr_range(j, out, v.range); break;
    case J_MACRO: repr_macro(j, out, v.macro); break;
    case J_LOOP: repr_loop(j, out, v.loop); break;
    default:
        jinja_enter(j);
        repr_container(j, out, v, sorted);
        j->depth++;
    }
}

JText *jto_str(Jinja *j, JValue v) {
    if (v.kind == J_STR) return v.s;
    JTail *out = jtail_new(j);
    if (v.kind != J_UNDEFINED) jrepr(j, out, v, false);
    return jtail_done(j, out);
}

/* ---- JSON ---- */

static void json_unit(Jinja *j, JTail *out, uint32_t unit, bool trusted) {
    char code[12];
    snprintf(code, sizeof code, "\\u%04x", unit & 0xffff);
    jtail_put(j, out, code, 6, trusted);
}

static void json_escape(Jinja *j, JTail *out, uint32_t c, bool trusted) {
    static const char *const names = "\"\"\\\\\nn\rr\tt\bb\ff"; /* a character, then its letter */
    const char *at = c && c < 0x80 ? strchr(names, (int)c) : NULL;
    for (const char *p = names; *p && at; p += 2)
        if (*p == (char)c) return jtail_put(j, out, "\\", 1, trusted), jtail_put(j, out, p + 1, 1, trusted);
    if (c > 0xffff) {
        json_unit(j, out, 0xd800 + ((c - 0x10000) >> 10), trusted);
        c = 0xdc00 + ((c - 0x10000) & 0x3ff);
    }
    json_unit(j, out, c, trusted);
}

static void json_text(Jinja *j, JTail *out, const JText *t, bool ascii) {
    size_t from = 0, at = 0;
    put(j, out, "\"");
    while (at < t->n) {
        int len;
        uint32_t c = utf8_decode(t->s + at, &len);
        if (c >= ' ' && c != '"' && c != '\\' && (!ascii || c < 0x7f)) {
            at += (size_t)len;
            continue;
        }
        jtail_text(j, out, t, from, at);
        json_escape(j, out, c, jtext_trusted(t, at));
        from = at += (size_t)len;
    }
    jtail_text(j, out, t, from, at);
    put(j, out, "\"");
}

static void json_number(Jinja *j, JTail *out, JValue v) {
    if (v.kind == J_NONE)
        put(j, out, "null");
    else if (v.kind == J_BOOL)
        put(j, out, v.b ? "true" : "false");
    else if (v.kind == J_INT)
        put_int(j, out, v.i);
    else if (isnan(v.f))
        put(j, out, "NaN");
    else if (!isfinite(v.f))
        put(j, out, v.f > 0 ? "Infinity" : "-Infinity");
    else
        put_float(j, out, v.f);
}

static bool is_scalar(JValue v) { return v.kind == J_NONE || jis_number(v); }

static void json_line(Jinja *j, JTail *out, const JsonStyle *style, int level) {
    if (!style->indent) return;
    put(j, out, "\n");
    jtail_repeat(j, out, style->indent, level);
}

static void json_pair(Jinja *j, JTail *out, const JPair *p, const JsonStyle *style, int level) {
    if (p->key.kind == J_STR) {
        json_text(j, out, p->key.s, style->ascii);
    } else if (is_scalar(p->key)) {
        put(j, out, "\"");
        json_number(j, out, p->key);
        put(j, out, "\"");
    } else {
        jinja_fail(j, "a key of type '%s' cannot be written as JSON", jtype_name(p->key));
    }
    jtail_all(j, out, style->colon);
    jto_json(j, out, p->value, style, level);
}

static void json_items(Jinja *j, JTail *out, JValue v, const JsonStyle *style, int level) {
    bool dict = v.kind == J_DICT;
    size_t n = dict ? v.dict->n : v.seq->n;
    const JSeq *order = dict && style->sorted ? jsorted_pairs(j, v.dict) : NULL;
    put(j, out, dict ? "{" : "[");
    for (size_t i = 0; i < n; i++) {
        if (i) jtail_all(j, out, style->comma);
        json_line(j, out, style, level + 1);
        if (dict)
            json_pair(j, out, &v.dict->pairs[order ? (size_t)order->v[i].i : i], style, level + 1);
        else
            jto_json(j, out, v.seq->v[i], style, level + 1);
    }
    if (n) json_line(j, out, style, level);
    put(j, out, dict ? "}" : "]");
}

void jto_json(Jinja *j, JTail *out, JValue v, const JsonStyle *style, int level) {
    jinja_step(j, 0);
    if (v.kind == J_UNDEFINED) jinja_fail_undefined(j, v);
    if (v.kind == J_STR) {
        json_text(j, out, v.s, style->ascii);
    } else if (is_scalar(v)) {
        json_number(j, out, v);
    } else if (v.kind == J_LIST || v.kind == J_TUPLE || v.kind == J_DICT) {
        jinja_enter(j);
        json_items(j, out, v, style, level);
        j->depth++;
    } else {
        jinja_fail(j, "a '%s' cannot be written as JSON", jtype_name(v));
    }
}
