/* Writing JSON: what a terminal or a log shows of it is inert, what a reader takes back is the same value. */
#include "formats/json.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void put_escape(Buf *b, uint32_t cp) {
    static const char named[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
    const char *at = cp && cp < 0x80 ? strchr(named, (int)cp) : NULL;
    if (at)
        buf_printf(b, "\\%c", letters[at - named]);
    else
        buf_printf(b, "\\u%04x", cp);
}

/* Length of the longest beginning of a character at s[0..n), at least 1: what one U+FFFD stands for. */
static size_t broken_len(const char *s, size_t n) {
    size_t k = 1;
    while (k < n && utf8_len(s, k) == -1 && utf8_len(s, k + 1) == -1) k++;
    return k;
}

void json_put_str(Buf *b, Str s) {
    size_t from = 0, i = 0; /* s[from..i) is copied as it stands */
    buf_char(b, '"');
    while (i < s.n) {
        int len = utf8_len(s.s + i, s.n - i);
        uint32_t cp = len > 0 ? utf8_decode(s.s + i, &len) : 0xfffd;
        bool escape = cp < 0x20 || cp == '"' || cp == '\\' || (cp >= 0x7f && cp < 0xa0);
        size_t step = len > 0 ? (size_t)len : broken_len(s.s + i, s.n - i);
        if (escape || len <= 0) {
            buf_put(b, s.s + from, i - from);
            if (escape)
                put_escape(b, cp);
            else
                buf_str(b, "\xef\xbf\xbd");
            from = i + step;
        }
        i += step;
    }
    if (s.n > from) buf_put(b, s.s + from, s.n - from);
    buf_char(b, '"');
}

void json_put_float(Buf *b, double f) {
    char text[40];
    if (!isfinite(f)) {
        buf_str(b, "null");
        return;
    }
    /* 15 digits always come back from a normal double, so what needs fewer is printed with fewer; subnormals have less
     * than that. */
    for (int digits = fabs(f) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, f);
        if (strtod(text, NULL) == f) break;
    }
    const char *point = localeconv()->decimal_point, *at = strstr(text, point);
    if (at) { /* a locale may spell the point otherwise */
        buf_put(b, text, (size_t)(at - text));
        buf_printf(b, ".%s", at + strlen(point));
    } else {
        buf_str(b, text);
        if (!strchr(text, 'e')) buf_str(b, ".0");
    }
}

static void put_break(Buf *b, int indent) {
    if (indent >= 0) buf_printf(b, "\n%*s", 2 * indent, "");
}

static void put_items(Buf *b, const Value *v, int indent) {
    int inner = indent < 0 ? indent : indent + 1;
    size_t cursor = 0;
    bool first = true;
    Value item;
    buf_char(b, '[');
    for (; value_next(v, &cursor, &item); first = false) {
        if (!first) buf_char(b, ',');
        put_break(b, inner);
        json_put_value(b, &item, inner);
    }
    if (!first) put_break(b, indent);
    buf_char(b, ']');
}

static void put_members(Buf *b, const Value *v, int indent) {
    int inner = indent < 0 ? indent : indent + 1;
    buf_char(b, '{');
    for (size_t i = 0; i < v->object.n; i++) {
        if (i) buf_char(b, ',');
        put_break(b, inner);
        json_put_str(b, v->object.keys[i]);
        buf_str(b, indent < 0 ? ":" : ": ");
        json_put_value(b, &v->object.items[i], inner);
    }
    if (v->object.n) put_break(b, indent);
    buf_char(b, '}');
}

void json_put_value(Buf *b, const Value *v, int indent) {
    switch (v->kind) {
    case VALUE_NULL: buf_str(b, "null"); break;
    case VALUE_BOOL: buf_str(b, v->b ? "true" : "false"); break;
    case VALUE_INT: buf_printf(b, "%lld", (long long)v->i); break;
    case VALUE_FLOAT: json_put_float(b, v->f); break;
    case VALUE_STR: json_put_str(b, v->s); break;
    case VALUE_ARRAY:
    case VALUE_BLOB: put_items(b, v, indent); break;
    case VALUE_OBJECT: put_members(b, v, indent); break;
    }
}

bool json_same(const Value *a, const Value *b) {
    Buf x = {0}, y = {0};
    json_put_value(&x, a, -1);
    json_put_value(&y, b, -1);
    const bool same = str_eq(buf_view(&x), buf_view(&y));
    buf_release(&x);
    buf_release(&y);
    return same;
}
