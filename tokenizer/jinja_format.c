/* The two ways in which Python formats: "%s" % x and "{}".format(x). Both end in the same fields. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tokenizer/jinja_impl.h"

typedef struct Field {
    JText *fill; /* NULL: a space */
    char align;  /* 0: as the type has it; '<', '>', '^', '=' */
    char sign;   /* 0, '+', ' ' */
    bool alt, zero;
    char group; /* 0, ',', '_' */
    int64_t width;
    int64_t precision; /* -1: none */
    char type;         /* 0: none */
} Field;

enum { MAX_PRECISION = 400 };

void jpad(Jinja *j, JTail *out, JText *t, int64_t width, const JText *fill, char align) {
    int64_t lack = MAX(width - jtext_chars(j, t), 0), left = align == '>' ? lack : align == '^' ? lack / 2 : 0;
    JText space = {.s = " ", .n = 1, .chars = 1, .trusted = true};
    jtail_repeat(j, out, fill ? fill : &space, left);
    jtail_all(j, out, t);
    jtail_repeat(j, out, fill ? fill : &space, lack - left);
}

/* ---- numbers ---- */

static void group_digits(char *text, size_t cap, char sep, int every) {
    char digits[512], *end = digits;
    size_t n = strspn(text, "0123456789abcdefABCDEF"), rest = strlen(text + n);
    if (n + n / (size_t)every + rest + 1 > MIN(cap, sizeof digits)) return;
    for (size_t i = 0; i < n; i++) {
        if (i && (n - i) % (size_t)every == 0) *end++ = sep;
        *end++ = text[i];
    }
    memcpy(end, text + n, rest + 1);
    memcpy(text, digits, (size_t)(end - digits) + rest + 1);
}

static void put_number(Jinja *j, JTail *out, const Field *f, bool negative, const char *prefix, const char *digits) {
    char sign = negative ? '-' : f->sign;
    JTail *all = jtail_new(j);
    int64_t n = (sign != 0) + (int64_t)strlen(prefix) + (int64_t)strlen(digits);
    bool inside = f->align == '=' || (f->zero && !f->align);
    if (sign) jtail_put(j, all, &sign, 1, true);
    jtail_put(j, all, prefix, strlen(prefix), true);
    if (inside) {
        JText zero = {.s = "0", .n = 1, .chars = 1, .trusted = true},
              space = {.s = " ", .n = 1, .chars = 1, .trusted = true};
        jtail_repeat(j, all, f->zero && !f->fill ? &zero : f->fill ? f->fill : &space, f->width - n);
    }
    jtail_put(j, all, digits, strlen(digits), true);
    jpad(j, out, jtail_done(j, all), inside ? 0 : f->width, f->fill, f->align ? f->align : '>');
}

static void format_int(Jinja *j, JTail *out, int64_t v, const Field *f) {
    char text[512];
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    size_t at = sizeof text - 1;
    uint64_t base = f->type == 'x' || f->type == 'X' ? 16 : f->type == 'o' ? 8 : f->type == 'b' ? 2 : 10;
    const char *digits = f->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    text[at] = 0;
    do text[--at] = digits[u % base];
    while (u /= base);
    int64_t zeros = MIN(f->precision, MAX_PRECISION) - (int64_t)(sizeof text - 1 - at);
    for (; zeros > 0; zeros--) text[--at] = '0';
    memmove(text, text + at, sizeof text - at);
    if (f->group && f->zero && f->width) jinja_fail(j, "zero padding with digit groups is not supported");
    if (f->group) group_digits(text, sizeof text, f->group, base == 10 ? 3 : 4);
    const char *prefix = !f->alt      ? ""
                         : base == 16 ? f->type == 'X' ? "0X" : "0x"
                         : base == 8  ? "0o"
                         : base == 2  ? "0b"
                                      : "";
    put_number(j, out, f, v < 0, prefix, text);
}

/* As %g, or where `dot` is set as repr with that many digits: at least one behind the point. */
static void general(double v, int precision, bool alt, bool dot, char *text, size_t cap) {
    snprintf(text, cap, "%.*e", MAX(precision, 1) - 1, v);
    int exp = atoi(strchr(text, 'e') + 1);
    if (dot && exp >= precision - 1 && exp < precision) { /* %g would take no exponent yet */
        char *e = strchr(text, 'e'), *end = e;
        char tail[16];
        snprintf(tail, sizeof tail, "%s", e);
        if (memchr(text, '.', (size_t)(e - text)))
            while (end > text && (end[-1] == '0' || end[-1] == '.'))
                if (*--end == '.') break;
        memcpy(end, tail, strlen(tail) + 1);
        return;
    }
    snprintf(text, cap, alt ? "%#.*g" : "%.*g", precision, v);
    if (dot && !strpbrk(text, ".e")) snprintf(text + strlen(text), cap - strlen(text), ".0");
}

static void format_float(Jinja *j, JTail *out, double v, const Field *f) {
    char text[1024], fmt[8], type = f->type;
    bool negative = signbit(v) && !isnan(v);
    int precision = f->precision < 0 ? 6 : (int)MIN(f->precision, (int64_t)MAX_PRECISION + 1);
    if (precision > MAX_PRECISION) jinja_fail(j, "a precision above %d is not supported", MAX_PRECISION);
    double a = fabs(v);
    if (type == '%') a *= 100;
    if (type == 'n') type = 'g';
    if (!isfinite(a)) {
        snprintf(text, sizeof text, "%s", isnan(a) ? "nan" : "inf");
        for (char *c = text; *c && type && strchr("EFG", type); c++) *c = (char)(*c - 32);
    } else if (!type && f->precision < 0) {
        py_float_repr(a, text);
    } else if (!type) {
        general(a, MAX(precision, 1), f->alt, true, text, sizeof text);
    } else {
        snprintf(fmt, sizeof fmt, f->alt ? "%%#.*%c" : "%%.*%c", type == '%' ? 'f' : type);
        snprintf(text, sizeof text, fmt, precision, a);
    }
    if (f->type == '%') snprintf(text + strlen(text), sizeof text - strlen(text), "%%");
    if (f->group && f->zero && f->width) jinja_fail(j, "zero padding with digit groups is not supported");
    if (f->group) group_digits(text, sizeof text, f->group, 3);
    put_number(j, out, f, negative, "", text);
}

static void put_text(Jinja *j, JTail *out, JText *t, const Field *f) {
    if (f->precision >= 0) t = jtext_slice(j, t, 0, jtext_at(j, t, f->precision));
    jpad(j, out, t, f->width, f->fill, f->align ? f->align : '<');
}

/* repr() with what is not ASCII escaped */
static JText *ascii_repr(Jinja *j, JValue v) {
    JTail *out = jtail_new(j), *plain = jtail_new(j);
    jrepr(j, out, v, false);
    JText *t = jtail_done(j, out);
    for (size_t at = 0; at < t->n;) {
        int len;
        char code[16];
        uint32_t c = utf8_decode(t->s + at, &len);
        if (c < 0x80) {
            jtail_text(j, plain, t, at, at + 1);
        } else {
            int n = snprintf(code, sizeof code, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
            jtail_put(j, plain, code, (size_t)n, jtext_trusted(t, at));
        }
        at += (size_t)len;
    }
    return jtail_done(j, plain);
}

static JText *convert(Jinja *j, JValue v, char how) {
    if (how == 's') return jto_str(j, v);
    if (how == 'a') return ascii_repr(j, v);
    JTail *out = jtail_new(j);
    jrepr(j, out, v, false);
    return jtail_done(j, out);
}

static void put_code_point(Jinja *j, JTail *out, int64_t c, const Field *f, char align) {
    if (c < 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) jinja_fail(j, "%" PRId64 " is no character", c);
    JTail *one = jtail_new(j);
    jtail_char(j, one, (uint32_t)c, true);
    jpad(j, out, jtail_done(j, one), f->width, f->fill, align);
}

/* ---- format(v, spec) ---- */

static int64_t spec_int(Jinja *j, Str s, size_t *at) {
    int64_t v = 0;
    for (; *at < s.n && s.s[*at] >= '0' && s.s[*at] <= '9'; ++*at)
        if (!mul_i64(v, 10, &v) || !add_i64(v, s.s[*at] - '0', &v)) jinja_fail(j, "the width is too large");
    return v;
}

static bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

static Field parse_spec(Jinja *j, Str s) {
    Field f = {.precision = -1};
    size_t at = 0;
    int len = s.n ? utf8_len(s.s, s.n) : 0;
    if (len > 0 && (size_t)len < s.n && is_align(s.s[len])) {
        f.fill = jtext_of(j, (Str){s.s, (size_t)len}, true);
        f.align = s.s[len];
        at = (size_t)len + 1;
    } else if (s.n && is_align(s.s[0])) {
        f.align = s.s[at++];
    }
    if (at < s.n && strchr("+- ", s.s[at])) {
        f.sign = s.s[at] == '-' ? 0 : s.s[at];
        at++;
    }
    if (at < s.n && s.s[at] == '#') f.alt = true, at++;
    if (at < s.n && s.s[at] == '0') f.zero = true, at++;
    f.width = spec_int(j, s, &at);
    if (at < s.n && (s.s[at] == ',' || s.s[at] == '_')) f.group = s.s[at++];
    if (at < s.n && s.s[at] == '.') {
        size_t from = ++at;
        f.precision = spec_int(j, s, &at);
        if (at == from) jinja_fail(j, "the format '%.*s' has no precision behind its point", STR_ARG(s));
    }
    if (at < s.n) f.type = s.s[at++];
    if (at < s.n) jinja_fail(j, "the format '%.*s' is not understood", STR_ARG(s));
    return f;
}

void jformat_spec(Jinja *j, JTail *out, JValue v, Str spec) {
    if (!spec.n) {
        jtail_all(j, out, jto_str(j, v));
        return;
    }
    if (v.kind != J_STR && !jis_number(v))
        jinja_fail(j, "a '%s' cannot be formatted with '%.*s'", jtype_name(v), STR_ARG(spec));
    Field f = parse_spec(j, spec);
    bool is_float_type = f.type && strchr("eEfFgG%", f.type);
    if (v.kind == J_STR && (!f.type || f.type == 's') && !f.sign && f.align != '=' && !f.group && !f.alt) {
        JText zero = {.s = "0", .n = 1, .chars = 1, .trusted = true};
        if (f.zero && !f.fill) f.fill = &zero;
        put_text(j, out, v.s, &f);
    } else if (jis_int(v) && f.type == 'c' && f.precision < 0 && !f.sign) {
        put_code_point(j, out, jas_int(v), &f, f.align ? f.align : '<');
    } else if (jis_int(v) && (!f.type || strchr("dbxXon", f.type)) && f.precision < 0) {
        format_int(j, out, jas_int(v), &f);
    } else if (jis_number(v) && (is_float_type || (v.kind == J_FLOAT && (!f.type || f.type == 'n')))) {
        format_float(j, out, jas_float(v), &f);
    } else {
        jinja_fail(j, "a '%s' cannot be formatted with '%.*s'", jtype_name(v), STR_ARG(spec));
    }
}

/* ---- "{}".format ---- */

typedef struct Formatter {
    Jinja *j;
    const JArgs *args;
    int64_t next; /* automatic number; -1 once a field gave its own */
} Formatter;

static void format_into(Formatter *f, JTail *out, const JText *t, int level);

static JValue field_root(Formatter *f, Str name) {
    Jinja *j = f->j;
    size_t at = 0;
    int64_t i = spec_int(j, name, &at);
    if (!name.n || at == name.n) {
        if (name.n ? f->next > 0 : f->next < 0)
            jinja_fail(j, "numbered and unnumbered fields cannot be mixed in a format");
        if (!name.n)
            i = f->next++;
        else
            f->next = -1;
        if ((size_t)i >= f->args->n)
            jinja_fail(j, "the format asks for argument %" PRId64 ", there are %zu", i, f->args->n);
        return f->args->v[i];
    }
    for (size_t k = 0; k < f->args->n_named; k++)
        if (str_eq(f->args->names[k], name)) return f->args->named[k];
    jinja_fail(j, "the format asks for '%.*s', which is not given", STR_ARG(name));
}

static JValue field_value(Formatter *f, Str path) {
    size_t at = 0;
    Jinja *j = f->j;
    while (at < path.n && path.s[at] != '.' && path.s[at] != '[') at++;
    JValue v = field_root(f, (Str){path.s, at});
    while (at < path.n) {
        size_t from = ++at;
        if (path.s[at - 1] == '.') {
            while (at < path.n && path.s[at] != '.' && path.s[at] != '[') at++;
            v = jget_attr(j, v, (Str){path.s + from, at - from});
        } else {
            while (at < path.n && path.s[at] != ']') at++;
            Str key = {path.s + from, at - from};
            size_t end = 0;
            int64_t i = spec_int(j, key, &end);
            if (at == path.n || !key.n || (at + 1 < path.n && path.s[at + 1] != '.' && path.s[at + 1] != '['))
                jinja_fail(j, "the field '{%.*s}' is not understood", STR_ARG(path));
            v = jget_item(j, v, end == key.n ? jint(i) : jstr(jtext_of(j, key, true)));
            at++;
        }
        if (at == from) jinja_fail(j, "the field '{%.*s}' is not understood", STR_ARG(path));
    }
    return v;
}

/* The field behind the '{' at `at`; returns where it ends. */
static size_t format_field(Formatter *f, JTail *out, const JText *t, size_t at, int level) {
    Jinja *j = f->j;
    size_t from = at, deep = 0, colon = 0, bang = 0, bracket = 0;
    for (;; at++) {
        if (at >= t->n) jinja_fail(j, "the format has a '{' without a '}'");
        char c = t->s[at];
        if (!colon && !bang && (c == '[' || c == ']')) bracket = c == '[';
        if (bracket) continue;
        if (c == '}' && !deep--) break;
        deep += c == '{';
        if (!colon && !deep && c == '!' && !bang) bang = at;
        if (!colon && !deep && c == ':') colon = at;
    }
    size_t end = at, name_end = bang ? bang : colon ? colon : end;
    if (bang && (colon ? colon : end) != bang + 2) jinja_fail(j, "the conversion behind '!' is one letter");
    if (memchr(t->s + from, '{', name_end - from)) jinja_fail(j, "a field's name cannot hold a '{'");
    JValue v = field_value(f, (Str){t->s + from, name_end - from});
    if (bang) {
        char how = t->s[bang + 1];
        if (how != 's' && how != 'r' && how != 'a') jinja_fail(j, "the conversion '!%c' is not known", how);
        v = jstr(convert(j, v, how));
    }
    JTail *spec = jtail_new(j);
    if (colon) format_into(f, spec, jtext_slice(j, t, colon + 1, end), level + 1);
    jformat_spec(j, out, v, (Str){spec->s ? spec->s : "", spec->n});
    return end + 1;
}

static void format_into(Formatter *f, JTail *out, const JText *t, int level) {
    if (level > 2) jinja_fail(f->j, "the fields of a format are nested too deeply");
    for (size_t at = 0, from = 0; at <= t->n;) {
        char c = at < t->n ? t->s[at] : 0;
        if (at < t->n && c != '{' && c != '}') {
            at++;
            continue;
        }
        jtail_text(f->j, out, t, from, at);
        if (at == t->n) return;
        if (at + 1 < t->n && t->s[at + 1] == c) {
            from = at + 1; /* a doubled brace stands for one */
            at += 2;
        } else if (c == '}') {
            jinja_fail(f->j, "the format has a '}' without a '{'");
        } else {
            from = at = format_field(f, out, t, at + 1, level);
        }
    }
}

JText *jformat(Jinja *j, const JText *format, const JArgs *args) {
    Formatter f = {j, args, 0};
    JTail *out = jtail_new(j);
    format_into(&f, out, format, 1);
    return jtail_done(j, out);
}

/* ---- "%s" % x ---- */

typedef struct Percent {
    Jinja *j;
    JValue args;
    size_t used; /* of a tuple, or 1 once the single value was taken */
    bool by_name;
} Percent;

static JValue next_arg(Percent *p) {
    size_t n = p->args.kind == J_TUPLE ? p->args.seq->n : 1;
    if (p->used >= n) jinja_fail(p->j, "there are fewer arguments than the format has fields");
    size_t i = p->used++;
    return p->args.kind == J_TUPLE ? p->args.seq->v[i] : p->args;
}

static int64_t star_or_int(Percent *p, Str s, size_t *at) {
    if (*at >= s.n || s.s[*at] != '*') return spec_int(p->j, s, at);
    ++*at;
    return jarg_int(p->j, next_arg(p), "'*'");
}

static void percent_value(Percent *p, JTail *out, JValue v, Field *f) {
    Jinja *j = p->j;
    if (strchr("diuxXo", f->type)) {
        if (v.kind == J_UNDEFINED) jinja_fail_undefined(j, v);
        if (v.kind == J_FLOAT && strchr("diu", f->type) && fabs(v.f) < 0x1p63) v = jint((int64_t)v.f);
        if (!jis_int(v)) jinja_fail(j, "%%%c needs an integer, not '%s'", f->type, jtype_name(v));
        f->type = f->type == 'i' || f->type == 'u' ? 'd' : f->type;
        format_int(j, out, jas_int(v), f);
    } else if (strchr("eEfFgG", f->type)) {
        if (v.kind == J_UNDEFINED) jinja_fail_undefined(j, v);
        if (!jis_number(v)) jinja_fail(j, "%%%c needs a number, not '%s'", f->type, jtype_name(v));
        format_float(j, out, jas_float(v), f);
    } else if (f->type == 'c') {
        if (v.kind == J_STR && jtext_chars(j, v.s) == 1)
            jpad(j, out, v.s, f->width, NULL, f->align ? f->align : '>');
        else
            put_code_point(j, out, jarg_int(j, v, "%c"), f, f->align ? f->align : '>');
    } else {
        if (!f->align) f->align = '>';
        put_text(j, out, convert(j, v, f->type), f);
    }
}

static size_t percent_field(Percent *p, JTail *out, const JText *t, size_t at) {
    Jinja *j = p->j;
    Str s = jtext_view(t);
    Field f = {.precision = -1};
    JValue v = J_UNSET_VALUE;
    if (at < s.n && s.s[at] == '(') {
        const char *close = memchr(s.s + at, ')', s.n - at);
        if (!close) jinja_fail(j, "the format has a '%%(' without a ')'");
        if (p->args.kind != J_DICT) jinja_fail(j, "'%%(name)' needs a dict, not '%s'", jtype_name(p->args));
        JText *key = jtext_slice(j, t, at + 1, (size_t)(close - s.s));
        const JValue *have = jdict_get(j, p->args.dict, jstr(key));
        if (!have) jinja_fail(j, "the format asks for '%.*s', which is not given", STR_ARG(jtext_view(key)));
        v = *have;
        p->by_name = true;
        at = (size_t)(close - s.s) + 1;
    }
    for (; at < s.n && strchr("#0- +", s.s[at]); at++) {
        f.alt |= s.s[at] == '#';
        f.zero |= s.s[at] == '0';
        if (s.s[at] == '-') f.align = '<';
        if (s.s[at] == '+' || (s.s[at] == ' ' && !f.sign)) f.sign = s.s[at];
    }
    f.width = star_or_int(p, s, &at);
    if (f.width < 0) f.align = '<', f.width = f.width == INT64_MIN ? INT64_MAX : -f.width;
    if (at < s.n && s.s[at] == '.') {
        at++;
        f.precision = star_or_int(p, s, &at);
        f.precision = MAX(f.precision, 0);
    }
    if (at < s.n && strchr("hlL", s.s[at])) at++;
    f.type = at < s.n ? s.s[at] : 0;
    if (f.type == '%') return jtail_put(j, out, "%", 1, true), at + 1;
    if (!f.type || !strchr("diuxXoeEfFgGcrsa", f.type)) jinja_fail(j, "the format has a '%%' that is not understood");
    if (strchr("crsa", f.type)) f.zero = false;
    percent_value(p, out, jgiven(v) ? v : next_arg(p), &f);
    return at + 1;
}

JText *jpercent(Jinja *j, const JText *format, JValue args) {
    Percent p = {.j = j, .args = args};
    JTail *out = jtail_new(j);
    for (size_t at = 0, from = 0; at <= format->n;) {
        if (at < format->n && format->s[at] != '%') {
            at++;
            continue;
        }
        jtail_text(j, out, format, from, at);
        if (at == format->n) break;
        from = at = percent_field(&p, out, format, at + 1);
    }
    bool mapping = args.kind == J_DICT || args.kind == J_LIST || args.kind == J_UNDEFINED || args.kind == J_RANGE;
    if (!mapping && !p.by_name && p.used < (args.kind == J_TUPLE ? args.seq->n : 1))
        jinja_fail(j, "there are more arguments than the format has fields");
    return jtail_done(j, out);
}
