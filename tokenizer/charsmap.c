#include "tokenizer/charsmap.h"

static uint32_t u32_at(const char *s) {
    uint8_t b[4];
    memcpy(b, s, 4);
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

bool charsmap_open(Str blob, Charsmap *out, Err *e) {
    *out = (Charsmap){0};
    if (!blob.n) return true;
    uint32_t n = blob.n >= 4 ? u32_at(blob.s) : UINT32_MAX;
    if (n > blob.n - MIN(blob.n, 4) || n % 4 || n == 0)
        return err_set(e, ERR_INPUT, "the normalizer's character map of %zu bytes names a trie of %u", blob.n, n);
    *out = (Charsmap){blob.s + 4, n / 4, {blob.s + 4 + n, blob.n - 4 - n}};
    if (!out->texts.n || out->texts.s[out->texts.n - 1])
        return err_set(e, ERR_INPUT, "the texts of the normalizer's character map do not end with a NUL");
    if (!utf8_valid(out->texts)) return err_set(e, ERR_INPUT, "the normalizer's character map is not valid UTF-8");
    return true;
}

static uint32_t unit_at(const Charsmap *m, size_t i) { return i < m->n_units ? u32_at(m->units + 4 * i) : 0; }
static size_t offset_of(uint32_t unit) { return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6); }

bool charsmap_find(const Charsmap *m, Str s, bool shortest, Str *text, size_t *used) {
    size_t node = 0, n = 0, value = 0;
    if (!m->n_units) return false;
    uint32_t unit = unit_at(m, 0);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.s[i];
        node ^= offset_of(unit) ^ c;
        if (node >= m->n_units || !c) break;
        unit = unit_at(m, node);
        if ((unit & (1u << 31 | 0xff)) != c) break;
        if (!(unit >> 8 & 1)) continue;
        value = unit_at(m, node ^ offset_of(unit)) & 0x7fffffff;
        n = i + 1;
        if (shortest) break;
    }
    if (!n || value >= m->texts.n) return false;
    *used = n;
    *text = str_of(m->texts.s + value);
    return !(text->n && ((unsigned char)*text->s & 0xc0) == 0x80); /* a value that points into a character */
}
