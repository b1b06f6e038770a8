/* From logits to a token. Order: bias and bans, penalties, top-k, top-p, min-p, temperature, draw; temperature 0 takes
 * the largest after the penalties (the lowest id among equals). */
#ifndef CORE_SAMPLE_H
#define CORE_SAMPLE_H

#include "core/base.h"

typedef struct Candidate {
    float logit;
    int32_t id;
} Candidate;

typedef struct Sampler { /* room for one vocabulary, given by the owner; reused for every token */
    Candidate *cand;     /* [vocab] */
    int32_t *count;      /* [vocab] occurrences in the window; all zero between calls */
    int64_t vocab;
} Sampler;

/* What one choice depends on besides the settings. */
typedef struct SampleAt {
    const float *logits;    /* [V] */
    const int32_t *history; /* tokens so far, the prompt's included */
    int64_t n_history;
    uint64_t stream, index; /* of the random number */
    const int32_t *banned;  /* ids that must not come, for ignore_eos */
    size_t n_banned;
} SampleAt;

/* Refuses settings out of range and logits that are NaN. */
bool sampler_pick(Sampler *s, const LlmwsSampling *how, const SampleAt *at, int32_t *id, Err *e);

#endif
