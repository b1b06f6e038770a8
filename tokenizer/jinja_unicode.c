/* Python's questions about characters, over utf8proc. */
#include <utf8proc.h>

#include "tokenizer/jinja_impl.h"
#include "tokenizer/text.h"

bool py_space(uint32_t c) { return cp_is_space(c) || (c >= 0x1c && c <= 0x1f); }

static int category(uint32_t c) { return (int)utf8proc_category((utf8proc_int32_t)c); }

bool py_alpha(uint32_t c) {
    int k = category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool py_decimal(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

/* Numeric_Type=Digit outside Nd: superscripts, subscripts, circled and dotted digits. */
bool py_digit(uint32_t c) {
    static const uint32_t ranges[][2] = {
        {0xb2, 0xb3},     {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},   {0x2070, 0x2070},
        {0x2074, 0x2079}, {0x2080, 0x2089},   {0x2460, 0x2468},   {0x2474, 0x247c},   {0x2488, 0x2490},
        {0x24ea, 0x24ea}, {0x24f5, 0x24fd},   {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},
        {0x278a, 0x2792}, {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a},
    };
    for (size_t i = 0; i < COUNT_OF(ranges); i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return py_decimal(c);
}

bool py_numeric(uint32_t c) {
    static const uint32_t ranges[][2] = {
        /* Han characters that stand for numbers */
        {0x3405, 0x3405}, {0x3483, 0x3483}, {0x382a, 0x382a}, {0x3b4d, 0x3b4d}, {0x4e00, 0x4e00}, {0x4e03, 0x4e03},
        {0x4e07, 0x4e07}, {0x4e09, 0x4e09}, {0x4e24, 0x4e24}, {0x4e5d, 0x4e5d}, {0x4e8c, 0x4e8c}, {0x4e94, 0x4e94},
        {0x4e96, 0x4e96}, {0x4ebf, 0x4ec0}, {0x4edf, 0x4edf}, {0x4ee8, 0x4ee8}, {0x4f0d, 0x4f0d}, {0x4f70, 0x4f70},
        {0x5104, 0x5104}, {0x5146, 0x5146}, {0x5169, 0x5169}, {0x516b, 0x516b}, {0x516d, 0x516d}, {0x5341, 0x5341},
        {0x5343, 0x5345}, {0x534c, 0x534c}, {0x53c1, 0x53c4}, {0x56db, 0x56db}, {0x58f1, 0x58f1}, {0x58f9, 0x58f9},
        {0x5e7a, 0x5e7a}, {0x5efe, 0x5eff}, {0x5f0c, 0x5f0e}, {0x5f10, 0x5f10}, {0x62fe, 0x62fe}, {0x634c, 0x634c},
        {0x67d2, 0x67d2}, {0x6f06, 0x6f06}, {0x7396, 0x7396}, {0x767e, 0x767e}, {0x8086, 0x8086}, {0x842c, 0x842c},
        {0x8cae, 0x8cae}, {0x8cb3, 0x8cb3}, {0x8d30, 0x8d30}, {0x9621, 0x9621}, {0x9646, 0x9646}, {0x964c, 0x964c},
        {0x9678, 0x9678}, {0x96f6, 0x96f6},
    };
    int k = category(c);
    if (k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO) return true;
    for (size_t i = 0; i < COUNT_OF(ranges); i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

bool py_upper(uint32_t c) { return utf8proc_isupper((utf8proc_int32_t)c); }
bool py_lower(uint32_t c) { return utf8proc_islower((utf8proc_int32_t)c); }

bool py_printable(uint32_t c) {
    int k = category(c);
    if (c == ' ') return true;
    return k != UTF8PROC_CATEGORY_CN && k != UTF8PROC_CATEGORY_CC && k != UTF8PROC_CATEGORY_CF &&
           k != UTF8PROC_CATEGORY_CS && k != UTF8PROC_CATEGORY_CO && k != UTF8PROC_CATEGORY_ZL &&
           k != UTF8PROC_CATEGORY_ZP && k != UTF8PROC_CATEGORY_ZS;
}

/* Mappings to more than one character: SpecialCasing.txt of Unicode, without the conditional ones. The Greek letters
 * with iota below (1f80 to 1fff) are left out: they have no use in prompts. */
static const struct Special {
    uint16_t c;
    uint16_t upper[3], title[3];
} specials[] = {
    {0xdf, {'S', 'S'}, {'S', 's'}},
    {0x149, {0x2bc, 'N'}, {0x2bc, 'N'}},
    {0x1f0, {'J', 0x30c}, {'J', 0x30c}},
    {0x390, {0x399, 0x308, 0x301}, {0x399, 0x308, 0x301}},
    {0x3b0, {0x3a5, 0x308, 0x301}, {0x3a5, 0x308, 0x301}},
    {0x587, {0x535, 0x552}, {0x535, 0x582}},
    {0x1e96, {'H', 0x331}, {'H', 0x331}},
    {0x1e97, {'T', 0x308}, {'T', 0x308}},
    {0x1e98, {'W', 0x30a}, {'W', 0x30a}},
    {0x1e99, {'Y', 0x30a}, {'Y', 0x30a}},
    {0x1e9a, {'A', 0x2be}, {'A', 0x2be}},
    {0xfb00, {'F', 'F'}, {'F', 'f'}},
    {0xfb01, {'F', 'I'}, {'F', 'i'}},
    {0xfb02, {'F', 'L'}, {'F', 'l'}},
    {0xfb03, {'F', 'F', 'I'}, {'F', 'f', 'i'}},
    {0xfb04, {'F', 'F', 'L'}, {'F', 'f', 'l'}},
    {0xfb05, {'S', 'T'}, {'S', 't'}},
    {0xfb06, {'S', 'T'}, {'S', 't'}},
    {0xfb13, {0x544, 0x546}, {0x544, 0x576}},
    {0xfb14, {0x544, 0x535}, {0x544, 0x565}},
    {0xfb15, {0x544, 0x53b}, {0x544, 0x56b}},
    {0xfb16, {0x54e, 0x546}, {0x54e, 0x576}},
    {0xfb17, {0x544, 0x53d}, {0x544, 0x56d}},
};

int py_case(uint32_t c, CaseMap map, uint32_t out[3]) {
    utf8proc_int32_t cp = (utf8proc_int32_t)c;
    if (c == 0x130 && map == CASE_LOWER) return out[0] = 'i', out[1] = 0x307, 2;
    for (size_t i = 0; c >= 0xdf && i < COUNT_OF(specials) && map != CASE_LOWER; i++) {
        if (specials[i].c != c) continue;
        const uint16_t *to = map == CASE_UPPER ? specials[i].upper : specials[i].title;
        int n = 0;
        for (; n < 3 && to[n]; n++) out[n] = to[n];
        return n;
    }
    out[0] = (uint32_t)(map == CASE_UPPER   ? utf8proc_toupper(cp)
                        : map == CASE_LOWER ? utf8proc_tolower(cp)
                                            : utf8proc_totitle(cp));
    return 1;
}

size_t py_strip_start(Str s) {
    size_t at = 0;
    for (int len; at < s.n; at += (size_t)len)
        if (!py_space(utf8_decode(s.s + at, &len))) break;
    return at;
}

size_t py_strip_end(Str s) {
    size_t end = s.n;
    while (end > 0) {
        size_t at = end - 1;
        int len;
        while (at > 0 && utf8_continues(s.s[at])) at--;
        if (!py_space(utf8_decode(s.s + at, &len))) break;
        end = at;
    }
    return end;
}

size_t py_line_end(Str s, size_t at, size_t *next) {
    for (int len; at < s.n; at += (size_t)len) {
        uint32_t c = utf8_decode(s.s + at, &len);
        bool crlf = c == '\r' && at + 1 < s.n && s.s[at + 1] == '\n';
        if ((c >= '\n' && c <= '\r') || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029)
            return *next = at + (size_t)len + crlf, at;
    }
    return *next = s.n;
}
