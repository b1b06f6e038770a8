/* The tokenizer: a TokSpec compiled to tables, and text through them both ways.
 *
 * Pipeline: added tokens are cut out of the text first (those flagged `normalized` after normalisation), the rest is
 * split by the pre-tokenisers, every piece goes through the model, the post-processor adds its tokens. A Tokenizer
 * never changes after it was made and may be shared by threads. */
#ifndef TOKENIZER_TOKENIZER_H
#define TOKENIZER_TOKENIZER_H

#include "core/tok_spec.h"

typedef struct Tokenizer Tokenizer;

/* Keeps borrowing from *spec, which must outlive the tokenizer. A pattern that is refused, a vocabulary with an id
 * twice, merges that name no token and steps in an order that cannot be streamed are errors. */
bool tokenizer_new(const TokSpec *spec, Tokenizer **out, Err *e);
void tokenizer_free(Tokenizer *t);
const TokSpec *tokenizer_spec(const Tokenizer *t);
size_t tokenizer_bytes(const Tokenizer *t); /* memory of its tables, for the plan */

typedef struct TokenList { /* growable; all-zero is empty */
    int32_t *ids;
    int64_t (*offsets)[2]; /* code points of the original text */
    size_t n, cap;
} TokenList;
void token_list_release(TokenList *l);

/* Appends the ids of text to *out; flags are LLMWS_TOK_*. An offset is where the token's first and last characters come
 * from, as the tokenizers package counts. Invalid UTF-8 is read as U+FFFD, one per maximal broken part,
 * as Python's errors="replace" does. At worst O(n log n) in the length of the text, which is below 2 GiB; a pattern
 * that backtracks beyond its limit is an error. */
bool tokenizer_encode(const Tokenizer *t, Str text, int flags, TokenList *out, Err *e);

/* Ids back to text, one after the other: the decoder's steps need to know what came before. */
typedef struct TokDecoder {
    const Tokenizer *t;
    bool keep_special;
    bool inside; /* a token came before: what the decoder does at the start of a text is over */
    int strip;   /* characters that may still be taken off the start */
} TokDecoder;

/* keep_special: special tokens are text too. begins: the ids are those of a whole text, which loses what the tokenizer
 * puts before one; else they go on where others ended. */
TokDecoder tokenizer_decoder(const Tokenizer *t, bool keep_special, bool begins);
/* Appends the bytes of one token (they may be part of a character). False for an id outside the vocabulary. */
bool tokenizer_decode(TokDecoder *d, int32_t id, Buf *out);
/* The same for one token that stands inside a text. */
bool tokenizer_token_bytes(const Tokenizer *t, int32_t id, bool keep_special, Buf *out);

/* Streaming: bytes in, whole characters out. */
typedef struct Utf8Hold {
    char held[4];
    int n;
} Utf8Hold;
/* Appends to *out what is complete of held + bytes (invalid parts as U+FFFD) and holds the rest back. */
void utf8_hold_push(Utf8Hold *h, const char *bytes, size_t n, Buf *out);
void utf8_hold_flush(Utf8Hold *h, Buf *out); /* the rest, as one U+FFFD */

#endif
