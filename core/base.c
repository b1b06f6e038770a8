#include "core/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- errors ---- */

static const int exit_status_of[] = {
#define ERROR(name, exit_status, text) [ERR_##name] = exit_status,
#include "core/errs.def"
#undef ERROR
};

int err_exit_status(int code) {
    return code > 0 && code < (int)COUNT_OF(exit_status_of) ? exit_status_of[code] : code != 0;
}

size_t inert_char(const char *s, size_t n, bool lines, char out[INERT_MAX]) {
    int len = utf8_len(s, n), bytes = MAX(len, 1);
    uint32_t cp = len > 0 ? utf8_decode(s, &len) : 0;
    bool control = cp < 0x20 ? !(lines && (cp == '\n' || cp == '\t')) : cp >= 0x7f && cp < 0xa0;
    bool override = (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069); /* of the writing direction */
    if (len > 0 && !control && !override) {
        memcpy(out, s, (size_t)len);
        out[len] = 0;
    } else {
        for (int i = 0; i < bytes; i++) snprintf(out + 4 * i, 5, "\\x%02x", (unsigned char)s[i]);
    }
    return (size_t)bytes;
}

static void put_inert(char *dst, size_t cap, const char *src, size_t n) {
    char one[INERT_MAX];
    size_t o = 0;
    for (size_t i = 0, len; i < n; o += len) {
        i += inert_char(src + i, n - i, false, one);
        len = strlen(one);
        if (o + len + 1 > cap) break;
        memcpy(dst + o, one, len);
    }
    dst[o] = 0;
}

static void err_vset(Err *e, int code, const char *fmt, va_list ap) {
    char raw[1024];
    int n = vsnprintf(raw, sizeof raw, fmt, ap);
    e->code = code;
    put_inert(e->msg, sizeof e->msg, raw, MIN((size_t)MAX(n, 0), sizeof raw - 1));
}

bool err_set(Err *e, ErrCode code, const char *fmt, ...) {
    if (!e) return false;
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, (int)code, fmt, ap);
    va_end(ap);
    return false;
}

bool err_prefix(Err *e, const char *fmt, ...) {
    if (!e) return false;
    char head[300], old[sizeof e->msg], both[sizeof head + sizeof old + 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(head, sizeof head, fmt, ap);
    va_end(ap);
    memcpy(old, e->msg, sizeof old);
    snprintf(both, sizeof both, "%s: %s", head, old);
    put_inert(e->msg, sizeof e->msg, both, strlen(both));
    return false;
}

_Noreturn void bug_at(const char *file, int line, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "llmws: bug: %s:%d: ", file, line);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}

/* ---- memory ---- */

static void oom_abort(size_t bytes) { BUG("out of memory for %zu bytes", bytes); }
static void (*oom_hook)(size_t) = oom_abort;

void oom_set_hook(void (*hook)(size_t bytes)) { oom_hook = hook ? hook : oom_abort; }

static size_t checked_size(size_t count, size_t size) {
    size_t n;
    if (!mul_size(count, size, &n)) oom_hook(SIZE_MAX);
    return n ? n : 1;
}

void *mem_alloc(size_t count, size_t size) {
    void *p = calloc(1, checked_size(count, size));
    if (!p) oom_hook(count * size);
    return p;
}

void *mem_grow(void *block, size_t count, size_t size) {
    void *p = realloc(block, checked_size(count, size));
    if (!p) oom_hook(count * size);
    return p;
}

struct ArenaBlock {
    ArenaBlock *next;
    size_t used, cap;
    _Alignas(16) char data[];
};

void *arena_alloc(Arena *a, size_t count, size_t size) {
    size_t n = align_up(MIN(checked_size(count, size), SIZE_MAX / 2), 16);
    ArenaBlock *b = a->head;
    if (!b || b->cap - b->used < n) {
        size_t cap =
            MAX(n, MIN(MAX(a->bytes, (size_t)4096), (size_t)1 << 20)); /* grow with use: small arenas stay small */
        ArenaBlock *fresh = mem_alloc(1, sizeof *fresh + cap);
        fresh->cap = cap;
        a->bytes += sizeof *fresh + cap;
        if (b && n > 4096 &&
            b->cap - b->used > 256) { /* keep filling the current block, the large one is full anyway */
            fresh->next = b->next;
            b->next = fresh;
        } else {
            fresh->next = b;
            a->head = fresh;
        }
        b = fresh;
    }
    void *p = b->data + b->used;
    b->used += n;
    return p;
}

char *arena_strn(Arena *a, const char *s, size_t n) {
    char *p = arena_alloc(a, n + 1, 1);
    if (n) memcpy(p, s, n);
    return p;
}

char *arena_printf(Arena *a, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = arena_alloc(a, (size_t)MAX(n, 0) + 1, 1);
    vsnprintf(p, (size_t)MAX(n, 0) + 1, fmt, again);
    va_end(again);
    return p;
}

void arena_release(Arena *a) {
    for (ArenaBlock *b = a->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (Arena){0};
}

/* ---- slices and buffers ---- */

bool str_starts(Str a, const char *prefix) {
    size_t n = strlen(prefix);
    return a.n >= n && memcmp(a.s, prefix, n) == 0;
}

bool str_ends(Str a, const char *suffix) {
    size_t n = strlen(suffix);
    return a.n >= n && memcmp(a.s + a.n - n, suffix, n) == 0;
}

bool str_word(Str *rest, char separator, Str *word) {
    if (!rest->s) return false;
    const char *end = memchr(rest->s, separator, rest->n);
    *word = (Str){rest->s, end ? (size_t)(end - rest->s) : rest->n};
    *rest = end ? (Str){end + 1, rest->n - word->n - 1} : (Str){0};
    return true;
}

static void buf_room(Buf *b, size_t extra) {
    size_t need = b->n + extra + 1;
    if (need < extra) oom_hook(SIZE_MAX);
    if (need > b->cap) {
        b->cap = MAX(need, b->cap * 2 + 64);
        b->s = mem_grow(b->s, b->cap, 1);
    }
}

void buf_put(Buf *b, const void *bytes, size_t n) {
    buf_room(b, n);
    if (n) memcpy(b->s + b->n, bytes, n);
    b->n += n;
    b->s[b->n] = 0;
}

void buf_str(Buf *b, const char *z) { buf_put(b, z, strlen(z)); }
void buf_char(Buf *b, char c) { buf_put(b, &c, 1); }

void buf_vprintf(Buf *b, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap); /* not inside MAX: a va_list is read once */
    n = MAX(n, 0);
    buf_room(b, (size_t)n);
    vsnprintf(b->s + b->n, (size_t)n + 1, fmt, again);
    va_end(again);
    b->n += (size_t)n;
}

void buf_printf(Buf *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_clear(Buf *b) {
    b->n = 0;
    if (b->s) b->s[0] = 0;
}

void buf_release(Buf *b) {
    free(b->s);
    *b = (Buf){0};
}

static bool strmap_find(const StrMap *m, Str key, uint32_t hash, size_t *at) {
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        *at = i;
        if (!m->slots[i].key.s) return false;
        if (m->slots[i].hash == hash && str_eq(m->slots[i].key, key)) return true;
    }
}

bool strmap_put(StrMap *m, Arena *a, Str key, int32_t value) {
    if (m->n * 2 >= m->cap) {
        StrMap bigger = {.cap = m->cap ? m->cap * 2 : 32};
        bigger.slots = ARENA_NEW(a, struct StrSlot, bigger.cap);
        for (size_t i = 0, at; i < m->cap; i++)
            if (m->slots[i].key.s && !strmap_find(&bigger, m->slots[i].key, m->slots[i].hash, &at))
                bigger.slots[at] = m->slots[i];
        bigger.n = m->n;
        *m = bigger;
    }
    uint32_t hash = (uint32_t)hash_bytes(key.s, key.n, 0);
    size_t at;
    if (strmap_find(m, key, hash, &at)) return false;
    m->slots[at] = (struct StrSlot){{key.s ? key.s : "", key.n}, value, hash};
    m->n++;
    return true;
}

int32_t strmap_get(const StrMap *m, Str key) {
    size_t at;
    return m->cap && strmap_find(m, key, (uint32_t)hash_bytes(key.s, key.n, 0), &at) ? m->slots[at].value : -1;
}

/* ---- name patterns ---- */

static const char *parse_number(const char *s, int64_t *v) {
    if (*s < '0' || *s > '9') return NULL;
    for (*v = 0; *s >= '0' && *s <= '9' && *v < 1000000000; s++) *v = *v * 10 + (*s - '0');
    return s;
}

bool name_match(const char *p, const char *s) {
    int64_t lo, hi, v;
    const char *q, *end;
    if (!*p) return !*s;
    if (*p == '*') {
        bool deep = p[1] == '*';
        for (const char *rest = p + 1 + deep;; s++) {
            if (name_match(rest, s)) return true;
            if (!*s || (*s == '.' && !deep)) return false;
        }
    }
    if (*p == '{') {
        const char *close = strchr(p, '}');
        if (!close) return false;
        for (q = p + 1; q <= close; q = end + 1) {
            end = q + strcspn(q, ",}");
            if (strncmp(q, s, (size_t)(end - q)) == 0 && name_match(close + 1, s + (end - q))) return true;
        }
        return false;
    }
    if ((q = parse_number(p, &lo)) && q[0] == '.' && q[1] == '.' && (q = parse_number(q + 2, &hi)))
        return (end = parse_number(s, &v)) && v >= lo && v <= hi && name_match(q, end);
    return *p == *s && name_match(p + 1, s + 1);
}

static char fold(char c) { return c == '_' ? '-' : c; }

/* Restricted Damerau-Levenshtein. */
size_t edit_distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b), rows[3][WORD_MAX + 1];
    if (n > WORD_MAX || m > WORD_MAX) return WORD_MAX;
    for (size_t j = 0; j <= m; j++) rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            bool same = fold(a[i - 1]) == fold(b[j - 1]);
            now[j] = MIN(MIN(up[j], now[j - 1]) + 1, up[j - 1] + !same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) now[j] = MIN(now[j], up2[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

/* ---- UTF-8 (RFC 3629) ---- */

int utf8_len(const char *s, size_t n) {
    const unsigned char *u = (const unsigned char *)s;
    if (!n) return -1;
    if (u[0] < 0x80) return 1;
    int len = u[0] >= 0xc2 && u[0] <= 0xdf ? 2 : (u[0] & 0xf0) == 0xe0 ? 3 : u[0] >= 0xf0 && u[0] <= 0xf4 ? 4 : 0;
    if (!len) return 0;
    for (int i = 1; i < len; i++) {
        if ((size_t)i >= n) return -1;
        unsigned lo = 0x80, hi = 0xbf; /* the second byte carries the overlong, surrogate and range limits */
        if (i == 1) {
            if (u[0] == 0xe0) lo = 0xa0;
            if (u[0] == 0xed) hi = 0x9f;
            if (u[0] == 0xf0) lo = 0x90;
            if (u[0] == 0xf4) hi = 0x8f;
        }
        if (u[i] < lo || u[i] > hi) return 0;
    }
    return len;
}

bool utf8_valid(Str t) {
    for (size_t i = 0; i < t.n;) {
        int len = utf8_len(t.s + i, t.n - i);
        if (len <= 0) return false;
        i += (size_t)len;
    }
    return true;
}

uint32_t utf8_decode(const char *s, int *len) {
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] < 0x80) return *len = 1, u[0];
    if (u[0] < 0xe0) return *len = 2, (uint32_t)(u[0] & 0x1f) << 6 | (u[1] & 0x3f);
    if (u[0] < 0xf0) return *len = 3, (uint32_t)(u[0] & 0x0f) << 12 | (uint32_t)(u[1] & 0x3f) << 6 | (u[2] & 0x3f);
    return *len = 4,
           (uint32_t)(u[0] & 7) << 18 | (uint32_t)(u[1] & 0x3f) << 12 | (uint32_t)(u[2] & 0x3f) << 6 | (u[3] & 0x3f);
}

int utf8_encode(uint32_t cp, char out[4]) {
    if (cp < 0x80) return out[0] = (char)cp, 1;
    if (cp < 0x800) return out[0] = (char)(0xc0 | cp >> 6), out[1] = (char)(0x80 | (cp & 0x3f)), 2;
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12), out[1] = (char)(0x80 | (cp >> 6 & 0x3f)), out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | cp >> 18), out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f)), out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

/* ---- hashing, time, messages ---- */

static uint64_t mix64(uint64_t x) { /* the finaliser of splitmix64 (Steele, Lea, Flood 2014) */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed) {
    const unsigned char *u = p;
    uint64_t h = mix64(seed ^ (n * 0x9e3779b97f4a7c15u)), w;
    for (; n >= 8; n -= 8, u += 8) {
        memcpy(&w, u, 8);
        h = (h ^ mix64(w + 0x9e3779b97f4a7c15u)) * 0x9fb21c651e98df25u;
    }
    w = 0;
    if (n) memcpy(&w, u, n);
    return mix64(h ^ mix64(w + n));
}

int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

void log_put(const Log *log, LogLevel level, const char *fmt, ...) {
    if (!log || !log->fn) return;
    char raw[1024], line[1200];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    put_inert(line, sizeof line, raw, MIN((size_t)MAX(n, 0), sizeof raw - 1));
    log->fn(log->ctx, (int)level, line);
}
