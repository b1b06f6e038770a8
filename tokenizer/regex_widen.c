/* Patterns for a PCRE2 whose Unicode is older than the tokenizers': \\p{L} and its like with the characters that it
 * does not know yet written out. */
#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"

static void put_range(void *ctx, uint32_t first, uint32_t last) {
    buf_printf(ctx, first == last ? "\\x{%x}" : "\\x{%x}-\\x{%x}", first, last);
}

/* Bytes of the property that s begins with, behind \p or \P: {Lu} or L; 0: there is none. */
static size_t property(const char *s, Str *name) {
    const char *end = *s == '{' ? strchr(s, '}') : NULL;
    *name = end ? (Str){s + 1, (size_t)(end - s) - 1} : (Str){s, *s != '{' && *s};
    return end ? (size_t)(end - s) + 1 : name->n;
}

/* \p or \P at s; returns its length. A negated one inside a set stays as it is: nothing can be taken out of a set. */
static size_t put_property(const char *s, bool in_set, Buf *out) {
    Str name;
    size_t n = 2 + property(s + 2, &name);
    bool negated = s[1] == 'P';
    if (name.n && *name.s == '^') negated = !negated, name.s++, name.n--;
    uint32_t mask = category_mask(name);
    if (!mask || mask >> CAT_CN & 1 || (in_set && negated)) return buf_put(out, s, n), n;
    if (!in_set) buf_str(out, negated ? "[^" : "[");
    buf_printf(out, "\\p{%.*s}", STR_ARG(name));
    category_young(mask, put_range, out);
    if (!in_set) buf_char(out, ']');
    return n;
}

void regex_widen(const char *pattern, Buf *out) {
    bool in_set = false;
    for (const char *s = pattern; *s;) {
        if (*s == '\\' && (s[1] == 'p' || s[1] == 'P')) {
            s += put_property(s, in_set, out);
            continue;
        }
        size_t n = *s == '\\' && s[1] ? 2 : 1;
        if (in_set && *s == ']') {
            in_set = false;
        } else if (!in_set && *s == '[') {
            in_set = true;
            n += s[n] == '^';
            n += s[n] == ']'; /* first in the set: itself */
        }
        buf_put(out, s, n);
        s += n;
    }
}
