/* Text on its way through the pipeline, and where in the input each byte of it comes from. */
#ifndef TOKENIZER_ALIGNED_H
#define TOKENIZER_ALIGNED_H

#include "core/base.h"

/* A place: the code point of the input that a byte stands for; with PLACE_EMPTY set, the empty place before it. */
#define PLACE_EMPTY UINT32_C(0x80000000)
static inline int64_t place_begin(uint32_t place) { return place & ~PLACE_EMPTY; }
static inline int64_t place_end(uint32_t place) { return (place & ~PLACE_EMPTY) + !(place & PLACE_EMPTY); }

typedef struct Piece { /* valid UTF-8, cut between characters */
    const char *s;
    size_t n;
    const uint32_t *at; /* [n] places; NULL: this is a part of the input itself */
} Piece;

static inline Piece piece_part(Piece p, size_t begin, size_t end) {
    return (Piece){p.s + begin, end - begin, p.at ? p.at + begin : NULL};
}

typedef struct Aligned { /* text that is being made; all-zero is empty */
    Buf text;
    uint32_t *at;
    size_t cap;
} Aligned;
void aligned_release(Aligned *a);
static inline Piece aligned_piece(const Aligned *a) { return (Piece){buf_view(&a->text).s, a->text.n, a->at}; }

/* Makes `to` from a piece, character by character. */
typedef struct Remake {
    Piece in;
    size_t idx;   /* bytes of in that are used up */
    uint32_t cp;  /* code point of the input at idx, where in.at is NULL */
    uint32_t cp0; /* ... at its beginning */
    Aligned *to;
} Remake;

/* cp: of the first character, looked at where in.at is NULL. Clears *to. */
void remake_begin(Remake *r, Piece in, int64_t cp, Aligned *to);
/* The change of a character, as the tokenizers package counts: 1: it is new and shares the place of what stands before
 * it in the piece; 0: it takes the place of the next one; -n: of the next one and the n after that. */
void remake_put(Remake *r, uint32_t c, int change);
/* The same for the bytes of a text that is new. */
void remake_insert(Remake *r, Str text);
void remake_keep(Remake *r, size_t n); /* bytes, whole characters, as they are */
void remake_drop(Remake *r, size_t n); /* bytes, whole characters */
/* Bytes that stand at the place of the next character, which is not used up; `empty`: before it. */
void remake_before(Remake *r, Str text, bool empty);

#endif
