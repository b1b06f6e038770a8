/* Pre-tokenisers: text cut into pieces that the model never joins. The splits of a TokSpec, each applied inside the
 * pieces of the one before. A new kind of SplitSpec is a row of its pattern here.
 *
 * Which code points are letters or numbers is PCRE2's knowledge (Unicode 14 in its version 10.42); characters that are
 * younger are neither. */
#ifndef TOKENIZER_PRETOK_H
#define TOKENIZER_PRETOK_H

#include "core/tok_spec.h"

typedef struct Pretok {
    struct PretokSplit {
        void *code; /* pcre2_code */
        bool jit;
    } splits[COUNT_OF(((TokSpec *)0)->splits)];
    int n;
    size_t bytes; /* of the compiled patterns */
} Pretok;

/* Compiles the spec's splits; a pattern that PCRE2 refuses is an error that shows it. */
bool pretok_build(const TokSpec *spec, Pretok *out, Err *e);
void pretok_release(Pretok *p);

/* What one thread needs to run them. Borrows the Pretok. */
typedef struct PretokRun {
    const Pretok *pretok;
    void *data, *match, *stack; /* pcre2_match_data, pcre2_match_context, pcre2_jit_stack */
} PretokRun;

void pretok_begin(PretokRun *r, const Pretok *p, size_t text_bytes);
void pretok_end(PretokRun *r);

/* Calls piece(ctx, s, n) for every piece of the valid UTF-8 text, in order; no piece is empty. An error is a pattern
 * that needs more steps than its limit. */
typedef void PretokPiece(void *ctx, const char *s, size_t n);
bool pretok_split(PretokRun *r, Str text, PretokPiece *piece, void *ctx, Err *e);

#endif
