/* Normalisers: the steps of a TokSpec that change text before it is split, each byte of the result with its place in
 * the input. What they do to characters and to places is what the tokenizers package and SentencePiece do. */
#ifndef TOKENIZER_NORMAL_H
#define TOKENIZER_NORMAL_H

#include "core/tok_spec.h"
#include "tokenizer/aligned.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/regex.h"
#include "tokenizer/trie.h"

typedef struct Normal {
    const NormSpec *steps; /* borrowed */
    int n;
    Regex regex[TOK_STEPS_MAX]; /* of NORM_REPLACE with a pattern; of one grapheme for NORM_CHARSMAP */
    Charsmap map[TOK_STEPS_MAX];
    const Trie *user; /* pieces that NORM_SPM leaves alone; may be empty */
    size_t bytes;
} Normal;

/* `user` is borrowed. A broken map or a pattern that is refused is an error. */
bool normal_build(const TokSpec *spec, const Trie *user, Normal *out, Err *e);
void normal_release(Normal *n);

typedef struct NormalRun { /* all-zero but for regex.text_bytes is ready */
    Aligned made[2];       /* by turns */
    RegexRun regex;
} NormalRun;
void normal_run_release(NormalRun *run);

/* in, normalised: in itself, or a piece that lives in *run until the next call. cp: its first character's code point of
 * the input, looked at where in.at is NULL. */
bool normal_apply(const Normal *n, NormalRun *run, Piece in, int64_t cp, Piece *out, Err *e);

/* NFC and its kin; false where the text is in that form already and *to is not filled. */
bool normal_form(NormKind kind, Piece in, int64_t cp, Aligned *to);

#endif
