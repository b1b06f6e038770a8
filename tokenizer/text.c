#include "tokenizer/text.h"

size_t space_at_start(const char *s, size_t n) {
    size_t i = 0;
    while (i < n) {
        int len;
        if (!cp_is_space(utf8_decode(s + i, &len))) break;
        i += (size_t)len;
    }
    return i;
}

size_t space_at_end(const char *s, size_t n) {
    size_t i = n;
    while (i > 0) {
        size_t at = i - 1;
        int len;
        while (at > 0 && utf8_continues(s[at])) at--;
        if (!cp_is_space(utf8_decode(s + at, &len))) break;
        i = at;
    }
    return n - i;
}
