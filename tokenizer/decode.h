/* Decoders: the text of one token through the steps of a TokSpec. */
#ifndef TOKENIZER_DECODE_H
#define TOKENIZER_DECODE_H

#include "core/tok_spec.h"

/* Refuses steps that would have to see the end of the text. */
bool decode_check(const TokSpec *spec, Err *e);

/* What the steps do at the start of a text. */
int decode_strip(const TokSpec *spec);

/* Appends what a token stands for. */
typedef struct DecodeToken {
    Str text;
    bool first; /* no token came before */
    int *strip; /* what may still be taken off the start */
} DecodeToken;
void decode_token(const TokSpec *spec, const DecodeToken *token, Buf *out);

#endif
