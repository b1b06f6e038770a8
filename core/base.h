/* What every room may include: errors as values, arenas, byte buffers, string slices, checked integers, logging,
 * storage streams.
 *
 * Errors. A fallible function returns false (or NULL) and fills its last parameter, an Err. The message is one line
 * without a program name: "what failed: 'subject': why; what to do". Three classes: Err is the world or the user; BUG()
 * is an invariant of ours, prints and aborts; running out of memory for a small block calls the hook set by
 * oom_set_hook and does not return.
 *
 * Memory has three lifetimes: an Arena (freed whole), buffers of a plan, and borrowed mappings of files. Buf is the one
 * growable heap block, for text and bytes whose length is not known beforehand.
 *
 * Shape letters used everywhere: B batch, T new tokens, S cached tokens, O rows of output, L layers, D width, H heads,
 * K kv heads, E head dim, F ffn width, V vocabulary, R rank. */
#ifndef CORE_BASE_H
#define CORE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/llmws.h"

#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define COUNT_OF(a)       (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)         ((a) < (b) ? (a) : (b))
#define MAX(a, b)         ((a) > (b) ? (a) : (b))

/* ---- errors ---- */

typedef LlmwsErr Err;

typedef enum ErrCode {
    ERR_NONE,
#define ERROR(name, exit_status, text) ERR_##name,
#include "core/errs.def"
#undef ERROR
} ErrCode;

/* Fills *e and returns false, so that "return err_set(...)" forwards. Control bytes and broken UTF-8 in the formatted
 * text become \xNN: what a file says can never steer a terminal. e may be NULL. */
bool err_set(Err *e, ErrCode code, const char *fmt, ...) PRINTF(3, 4);
/* Puts "what: " before the message that is already there; returns false. */
bool err_prefix(Err *e, const char *fmt, ...) PRINTF(2, 3);
/* Exit status of the program for an error code. */
int err_exit_status(int code);

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        if (!(call)) return false;                                                                                     \
    } while (0)

/* Our own invariant does not hold: one line on stderr, then abort. Stays on in release builds. Never for file contents.
 */
#define BUG(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void bug_at(const char *file, int line, const char *fmt, ...) PRINTF(3, 4);

/* Called when a small allocation fails; must not return. The default aborts. Set once at start-up. */
void oom_set_hook(void (*hook)(size_t bytes));

/* ---- memory ---- */

/* malloc that never returns NULL (see oom_set_hook); zero-filled. Free with free(). */
void *mem_alloc(size_t count, size_t size);
void *mem_grow(void *block, size_t count, size_t size);

typedef struct ArenaBlock ArenaBlock;
typedef struct Arena {
    ArenaBlock *head;
    size_t bytes; /* reserved so far, block headers included */
} Arena;

/* Zero-filled, aligned to 16. Lives until arena_release. */
void *arena_alloc(Arena *a, size_t count, size_t size);
char *arena_strn(Arena *a, const char *s, size_t n); /* copy, NUL-terminated */
char *arena_printf(Arena *a, const char *fmt, ...) PRINTF(2, 3);
void arena_release(Arena *a);
#define ARENA_NEW(a, type, count) ((type *)arena_alloc((a), (size_t)(count), sizeof(type)))

/* One block carved into arrays by the function that also sizes it: run it over base NULL for the size, then over the
 * block. Every array begins at a multiple of 64. */
typedef struct Carve {
    char *base; /* NULL: only count */
    size_t at;
} Carve;
static inline void *carve_bytes(Carve *c, size_t n) {
    void *p = c->base ? c->base + c->at : NULL;
    c->at += (n + 63) / 64 * 64;
    return p;
}
#define CARVE(c, pointer, count) ((pointer) = carve_bytes((c), (size_t)(count) * sizeof *(pointer)))

/* ---- slices and buffers ---- */

typedef struct Str { /* borrowed bytes, not NUL-terminated, may hold NULs */
    const char *s;
    size_t n;
} Str;

#define STR(literal) ((Str){(literal), sizeof(literal) - 1})
#define STR_ARG(x)   (int)(x).n, (x).s /* for "%.*s" */
static inline Str str_of(const char *z) { return (Str){z, strlen(z)}; }
static inline bool str_eq(Str a, Str b) { return a.n == b.n && (a.n == 0 || memcmp(a.s, b.s, a.n) == 0); }
static inline bool str_is(Str a, const char *z) { return str_eq(a, str_of(z)); }
bool str_starts(Str a, const char *prefix);
bool str_ends(Str a, const char *suffix);
/* The words of "a+b+c", empty ones too: each call cuts one off *rest, which ends as NULL; false: there are no more. */
bool str_word(Str *rest, char separator, Str *word);
/* True when `name` matches `pattern`: '*' any run without '.', '**' any run, '{8,12}' one of, '8..16' an inclusive
 * number range. */
bool name_match(const char *pattern, const char *name);

/* Edits from a to b: insertions, deletions, substitutions and swaps of neighbours; '_' is '-'. Of more than WORD_MAX
 * characters: WORD_MAX. */
enum { WORD_MAX = 64 };
size_t edit_distance(const char *a, const char *b);

typedef struct Buf { /* growable heap bytes; all-zero is empty; always NUL-terminated once written */
    char *s;
    size_t n, cap;
} Buf;

void buf_put(Buf *b, const void *bytes, size_t n);
void buf_str(Buf *b, const char *z);
void buf_char(Buf *b, char c);
void buf_printf(Buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_vprintf(Buf *b, const char *fmt, va_list ap);
void buf_clear(Buf *b); /* keeps the block */
void buf_release(Buf *b);
static inline Str buf_view(const Buf *b) { return (Str){b->s ? b->s : "", b->n}; }

/* Name -> int32 index; open addressing in an arena. Keys are borrowed. */
typedef struct StrMap {
    struct StrSlot {
        Str key;
        int32_t value;
        uint32_t hash;
    } * slots;
    size_t cap, n;
} StrMap;

/* False when the key is already there (its value is kept). */
bool strmap_put(StrMap *m, Arena *a, Str key, int32_t value);
int32_t strmap_get(const StrMap *m, Str key); /* -1 when absent */

/* ---- UTF-8 ---- */

/* Length of the valid UTF-8 sequence at s (RFC 3629: no surrogates, no overlong forms), 0 when invalid, -1 when s ends
 * inside one. */
int utf8_len(const char *s, size_t n);
bool utf8_valid(Str s);
/* Code point of the valid sequence at s; *len receives its length. */
uint32_t utf8_decode(const char *s, int *len);
int utf8_encode(uint32_t cp, char out[4]);

/* What a file says, made harmless to a terminal: the first character of s in out, control bytes, broken UTF-8 and
 * overrides of the writing direction spelled \xNN (newline and tab only unless `lines`). Returns how many bytes of s it
 * stands for. */
enum { INERT_MAX = 17 };
size_t inert_char(const char *s, size_t n, bool lines, char out[INERT_MAX]);

/* ---- checked integers, hashing, time ---- */

static inline bool mul_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool add_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool add_size(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline size_t align_up(size_t x, size_t a) { return (x + a - 1) / a * a; } /* caller knows that it cannot wrap */

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed); /* 64 bits, not cryptographic, the same on every machine */
int64_t now_ns(void);                                        /* monotonic */

/* ---- progress and messages of the library ---- */

typedef enum LogLevel { LOG_WARN = LLMWS_LOG_WARN, LOG_INFO = LLMWS_LOG_INFO, LOG_DEBUG = LLMWS_LOG_DEBUG } LogLevel;
typedef struct Log {
    LlmwsLogFn *fn; /* NULL: silent */
    void *ctx;
} Log;
void log_put(const Log *log, LogLevel level, const char *fmt, ...) PRINTF(3, 4);

/* ---- storage, as core sees it: formats/ gives these to core ---- */

typedef struct Sink {
    bool (*write)(void *ctx, const void *bytes, size_t n, Err *e);
    void *ctx;
} Sink;

typedef struct Source {
    bool (*read)(void *ctx, void *bytes, size_t n, Err *e); /* exactly n, or an error */
    void *ctx;
} Source;

#endif
