#include "tokenizer/stop.h"

/* Drops the first n bytes. */
static void drop(Buf *b, size_t n) {
    memmove(b->s, b->s + n, b->n - n);
    b->n -= n;
}

/* Whether the bytes that end at `end` are a stop text; its length, the longest one's, or 0. */
static size_t stop_at(const StopHold *h, size_t end) {
    size_t longest = 0;
    for (size_t i = 0; i < h->n; i++) {
        size_t n = strlen(h->texts[i]);
        if (n > longest && n <= end && memcmp(h->held.s + end - n, h->texts[i], n) == 0) longest = n;
    }
    return longest;
}

/* Bytes at the end that begin a stop text. */
static size_t begun(const StopHold *h) {
    size_t longest = 0;
    for (size_t i = 0; i < h->n; i++)
        for (size_t n = MIN(strlen(h->texts[i]) - 1, h->held.n); n > longest; n--)
            if (memcmp(h->held.s + h->held.n - n, h->texts[i], n) == 0) longest = n;
    return longest;
}

bool stop_push(StopHold *h, Str text, Buf *out) {
    size_t seen = h->held.n;
    if (h->hit || !text.n) return h->hit;
    buf_put(&h->held, text.s, text.n);
    for (size_t end = seen + 1; end <= h->held.n; end++) {
        size_t n = stop_at(h, end);
        if (!n) continue;
        buf_put(out, h->held.s, end - n);
        buf_clear(&h->held);
        return h->hit = true;
    }
    size_t certain = h->held.n - begun(h);
    buf_put(out, h->held.s, certain);
    drop(&h->held, certain);
    return false;
}

void stop_flush(StopHold *h, Buf *out) {
    if (h->held.n) buf_put(out, h->held.s, h->held.n);
    buf_clear(&h->held);
}

void stop_release(StopHold *h) { buf_release(&h->held); }
