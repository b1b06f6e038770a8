/* Bytes that may be broken or cut in the middle, made into whole characters. */
#include "tokenizer/text.h"
#include "tokenizer/tokenizer.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* Length of the part of s that one U+FFFD stands for: the longest beginning of a character, at least one byte. s does
 * not begin with a valid sequence. */
static size_t broken_len(const char *s, size_t n) {
    size_t len = 1;
    while (len < MIN(n, 3) && utf8_len(s, len + 1) < 0) len++;
    return len;
}

size_t utf8_valid_prefix(const char *s, size_t n) {
    size_t i = 0;
    while (i < n) {
        uint64_t w;
        if (n - i >= 8 && (memcpy(&w, s + i, 8), (w & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        int len = utf8_len(s + i, n - i);
        if (len <= 0) break;
        i += (size_t)len;
    }
    return i;
}

void utf8_replace(Str text, Buf *out) {
    for (size_t i = 0;;) {
        size_t good = utf8_valid_prefix(text.s + i, text.n - i);
        buf_put(out, text.s + i, good);
        i += good;
        if (i == text.n) return;
        buf_put(out, replacement, 3);
        i += broken_len(text.s + i, text.n - i);
    }
}

/* Bytes at the end of s that begin a character without ending it. */
static size_t cut_off(const char *s, size_t n) {
    for (size_t back = 1; back <= MIN(n, 3); back++)
        if (((unsigned char)s[n - back] & 0xc0) != 0x80) return utf8_len(s + n - back, back) < 0 ? back : 0;
    return 0;
}

void utf8_hold_push(Utf8Hold *h, const char *bytes, size_t n, Buf *out) {
    size_t used = 0;
    if (!n) return;            /* a token without text; bytes may be NULL */
    while (h->n && used < n) { /* finish the character that is held, or find out that it is broken */
        h->held[h->n++] = bytes[used++];
        int len = utf8_len(h->held, (size_t)h->n);
        if (len < 0) continue;
        if (len > 0) {
            buf_put(out, h->held, (size_t)len);
        } else {
            buf_put(out, replacement, 3);
            used--; /* the byte that broke it begins something new */
        }
        h->n = 0;
    }
    if (h->n) return;
    size_t rest = cut_off(bytes + used, n - used);
    utf8_replace((Str){bytes + used, n - used - rest}, out);
    memcpy(h->held, bytes + n - rest, rest);
    h->n = (int)rest;
}

void utf8_hold_flush(Utf8Hold *h, Buf *out) {
    if (h->n) buf_put(out, replacement, 3);
    h->n = 0;
}
