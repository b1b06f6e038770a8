/* Pre-tokenisers: text cut into pieces that the model never joins. The splits of a TokSpec, each applied inside the
 * pieces of the one before. */
#ifndef TOKENIZER_PRETOK_H
#define TOKENIZER_PRETOK_H

#include "core/tok_spec.h"
#include "tokenizer/aligned.h"
#include "tokenizer/regex.h"

typedef struct Pretok {
    Regex regex[TOK_STEPS_MAX];
    const SplitSpec *splits; /* borrowed */
    int n;
    size_t bytes; /* of the compiled patterns */
} Pretok;

/* Compiles the spec's splits; a pattern that is refused is an error that shows it. */
bool pretok_build(const TokSpec *spec, Pretok *out, Err *e);
void pretok_release(Pretok *p);

/* Calls piece(ctx, p) for every piece, in order; none is empty. */
typedef struct PretokOut {
    bool (*piece)(void *ctx, Piece p, Err *e);
    int64_t (*place)(void *ctx, const char *s); /* code point of the input at s, for pieces that are part of it */
    void *ctx;
} PretokOut;

/* What one thread needs to run them. Borrows the Pretok. */
typedef struct PretokRun {
    const Pretok *pretok;
    PretokOut out;
    RegexRun regex;
    Aligned made[TOK_STEPS_MAX]; /* by the split of that index */
} PretokRun;

void pretok_begin(PretokRun *r, const Pretok *p, PretokOut out, size_t text_bytes);
void pretok_end(PretokRun *r);

/* An error is a pattern that needs more steps than its limit, or one of piece(). */
bool pretok_split(PretokRun *r, Piece p, Err *e);

#endif
