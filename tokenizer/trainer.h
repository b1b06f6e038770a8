/* A byte-level BPE vocabulary from text: the pair of neighbours that stands most often becomes a token, again and
 * again. The result is that of the tokenizers package's BpeTrainer on the same text: of pairs that stand equally often
 * the one of lower ids is the first. Source: Sennrich, Haddow, Birch 2016. */
#ifndef TOKENIZER_TRAINER_H
#define TOKENIZER_TRAINER_H

#include "core/tok_spec.h"

typedef struct Trainer Trainer;

typedef struct TrainerOptions {
    const TokSpec *how; /* norms and splits that text goes through; borrowed until trainer_free */
    const Str *special; /* [n_special] tokens that come first; borrowed */
    int32_t n_special;
    int32_t vocab;     /* tokens to end with, special ones and the 256 bytes included */
    int64_t min_count; /* a pair that stands less often is never joined; at least 1 */
    size_t max_bytes;  /* of different words; 0: 1 GiB */
} TrainerOptions;

/* A vocabulary that has no room for the special tokens and the bytes, and splits that are refused, are errors. */
bool trainer_new(const TrainerOptions *opt, Trainer **out, Err *e);
void trainer_free(Trainer *t);

/* Counts the words of one text; broken UTF-8 is read as U+FFFD. ERR_FIT when the different words are more than
 * max_bytes. */
bool trainer_feed(Trainer *t, Str text, Err *e);

/* Fills vocab, merges, added, norms and splits of *out, in its own arena; bos, eos, unk and pad are -1. Once per
 * trainer. */
bool trainer_finish(Trainer *t, TokSpec *out, Err *e);

#endif
