/* Small questions about UTF-8 text that the steps of the pipeline share. Text is valid UTF-8 unless said otherwise. */
#ifndef TOKENIZER_TEXT_H
#define TOKENIZER_TEXT_H

#include "core/base.h"

/* Bytes of s, from its start, that are whole valid characters. */
size_t utf8_valid_prefix(const char *s, size_t n);
/* Appends text, which may hold any bytes, with U+FFFD for each maximal broken part (Unicode 15, section 3.9). */
void utf8_replace(Str text, Buf *out);

static inline bool utf8_continues(char c) { return ((unsigned char)c & 0xc0) == 0x80; }

/* Code points that begin in s[0..n). */
static inline int64_t utf8_count(const char *s, size_t n) {
    int64_t count = 0;
    for (size_t i = 0; i < n; i++) count += !utf8_continues(s[i]);
    return count;
}

/* Unicode's White_Space property. */
static inline bool cp_is_space(uint32_t c) {
    return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Bytes of white space that s begins with, or ends with. */
size_t space_at_start(const char *s, size_t n);
size_t space_at_end(const char *s, size_t n);

#endif
