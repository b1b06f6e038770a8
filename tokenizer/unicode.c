#include "tokenizer/unicode.h"

#include <utf8proc.h>

#include "tokenizer/unicode_tables.h"

Category cp_category(uint32_t cp) {
    uint32_t mid = category_top[cp >> 13] * 64u + (cp >> 7 & 63);
    return (Category)(category_block[category_mid[mid]][cp & 127] - 'a');
}

uint32_t category_mask(Str name) {
    static const char names[CATEGORIES - 1][3] = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
                                                  "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc",
                                                  "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn"};
    uint32_t mask = 0;
    for (int i = 0; i < CATEGORIES - 1; i++)
        if ((name.n == 2 && memcmp(names[i], name.s, 2) == 0) || (name.n == 1 && names[i][0] == name.s[0]))
            mask |= UINT32_C(1) << i;
    return mask & 1u << CAT_CC ? mask | 1u << CAT_NEL : mask;
}

void category_young(uint32_t mask, void (*range)(void *ctx, uint32_t first, uint32_t last), void *ctx) {
    for (size_t i = 0; i < COUNT_OF(young); i++)
        for (uint32_t first = young[i][0], last; first <= young[i][1]; first = last + 1) {
            bool in = mask >> cp_category(first) & 1;
            for (last = first; last < young[i][1] && (mask >> cp_category(last + 1) & 1) == in;) last++;
            if (in) range(ctx, first, last);
        }
}

static bool in_ranges(const uint32_t (*ranges)[2], size_t n, uint32_t cp) {
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (cp > ranges[mid][1])
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && cp >= ranges[lo][0];
}

bool cp_is_accent(uint32_t cp) { return in_ranges(accents, COUNT_OF(accents), cp); }

bool cp_is_word(uint32_t cp) { return in_ranges(words, COUNT_OF(words), cp); }

int cp_combining(uint32_t cp) {
    if (cp < ordered_marks[0][0]) return 0;
    /* U+0345 and its like are the last class of all: the table cannot tell them by what they move before */
    int class = utf8proc_get_property((utf8proc_int32_t)cp)->combining_class;
    return class == 240 || in_ranges(ordered_marks, COUNT_OF(ordered_marks), cp) ? class : 0;
}

int cp_decompose(uint32_t cp, bool compat, uint32_t out[DECOMPOSED_MAX]) {
    int bounds = UTF8PROC_BOUNDCLASS_START;
    utf8proc_int32_t to[DECOMPOSED_MAX];
    utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compat ? UTF8PROC_COMPAT : 0);
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, to, DECOMPOSED_MAX, how, &bounds);
    bool whole = n < 1 || n > DECOMPOSED_MAX || (n == 1 && to[0] == (utf8proc_int32_t)cp);
    if (whole || !in_ranges(decomposables, COUNT_OF(decomposables), cp)) return out[0] = cp, 1;
    for (int i = 0; i < n; i++) out[i] = (uint32_t)to[i];
    return (int)n;
}

uint32_t cp_compose(uint32_t a, uint32_t b) {
    utf8proc_int32_t pair[3] = {(utf8proc_int32_t)a, (utf8proc_int32_t)b, 0};
    if (utf8proc_normalize_utf32(pair, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE) != 1) return 0;
    return in_ranges(decomposables, COUNT_OF(decomposables), (uint32_t)pair[0]) ? (uint32_t)pair[0] : 0;
}

uint32_t cp_lower(uint32_t cp) {
    size_t lo = 0, hi = COUNT_OF(lowercase);
    if (cp < 128) return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (cp > lowercase[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    bool in =
        lo < COUNT_OF(lowercase) && cp >= lowercase[lo].first && (cp - lowercase[lo].first) % lowercase[lo].step == 0;
    return in ? (uint32_t)((int32_t)cp + lowercase[lo].add) : cp;
}
