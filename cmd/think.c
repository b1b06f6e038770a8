#include "cmd/think.h"

static const char *const tags[][2] = {{"<think>", "</think>"}, {"[THINK]", "[/THINK]"}};

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

static size_t spaces(Str s) {
    size_t n = 0;
    while (n < s.n && is_space(s.s[n])) n++;
    return n;
}

static void drop(Buf *b, size_t n) {
    if (n) memmove(b->s, b->s + n, b->n - n);
    b->n -= n;
}

static void take(Buf *from, size_t n, Buf *to) {
    buf_put(to, from->s, n);
    drop(from, n);
}

void think_prompt(Think *t, Str prompt) {
    while (prompt.n && is_space(prompt.s[prompt.n - 1])) prompt.n--;
    for (size_t i = 0; i < COUNT_OF(tags); i++) {
        if (!str_ends(prompt, tags[i][0])) continue;
        t->state = THINK_OPENED;
        t->close = tags[i][1];
    }
}

/* White space, then a tag; anything else makes the span never begin. False: more text is needed. */
static bool at_start(Think *t, Buf *rest) {
    size_t at = spaces(buf_view(&t->held)), n = t->held.n - at;
    bool may = n == 0;
    for (size_t i = 0; i < COUNT_OF(tags); i++) {
        size_t len = strlen(tags[i][0]);
        if (memcmp(t->held.s + at, tags[i][0], MIN(n, len)) != 0) continue;
        if (n < len) {
            may = true;
            continue;
        }
        t->state = THINK_OPENED;
        t->close = tags[i][1];
        drop(&t->held, at + len);
        return true;
    }
    if (may) return false;
    t->state = THINK_DONE;
    take(&t->held, t->held.n, rest);
    return true;
}

/* Lets through all that cannot be the closing tag, with the white space before it. */
static bool inside(Think *t, Buf *thought) {
    size_t len = strlen(t->close), at = 0;
    const char *s = t->held.s;
    while (at < t->held.n && memcmp(s + at, t->close, MIN(len, t->held.n - at)) != 0) at++;
    bool closed = t->held.n - at >= len;
    size_t end = at;
    while (end && is_space(s[end - 1])) end--;
    buf_put(thought, s, end);
    drop(&t->held, closed ? at + len : end);
    if (closed) t->state = THINK_AFTER;
    return closed;
}

void think_push(Think *t, Str text, Buf *thought, Buf *rest) {
    if (!text.n) return;
    if (t->state == THINK_DONE) {
        buf_put(rest, text.s, text.n);
        return;
    }
    buf_put(&t->held, text.s, text.n);
    if (t->state == THINK_START && !at_start(t, rest)) return;
    if (t->state == THINK_OPENED) {
        drop(&t->held, spaces(buf_view(&t->held)));
        if (!t->held.n) return;
        t->state = THINK_INSIDE;
    }
    if (t->state == THINK_INSIDE && !inside(t, thought)) return;
    if (t->state != THINK_AFTER) return;
    drop(&t->held, spaces(buf_view(&t->held)));
    if (!t->held.n) return;
    t->state = THINK_DONE;
    take(&t->held, t->held.n, rest);
}

void think_flush(Think *t, Buf *thought, Buf *rest) {
    if (t->held.n) take(&t->held, t->held.n, t->state == THINK_INSIDE ? thought : rest);
}

void think_release(Think *t) {
    buf_release(&t->held);
    *t = (Think){0};
}
