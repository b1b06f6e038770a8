/* The steps of the sampling chain, one row each: how it is called, when it is on, what it does to the candidates. */
#ifndef CORE_SAMPLE_STEPS_H
#define CORE_SAMPLE_STEPS_H

#include "core/sample.h"

typedef struct Chain { /* one choice under way */
    Candidate *c;      /* those that are left, in any order: ids tell who is who */
    int64_t n;         /* at least 1 */
    bool sorted;       /* best first */
    Sampler *s;
    const LlmwsSampling *how;
    const SampleAt *at;
} Chain;

typedef enum StepKind {
    STEP_EDITS, /* changes logits */
    STEP_CUTS,  /* drops candidates, never the best */
    STEP_PICKS, /* may drop the best too */
} StepKind;

typedef struct SampleStep {
    const char *name, *also; /* llama.cpp's name; other spellings between spaces */
    StepKind kind;
    bool (*on)(const LlmwsSampling *how);
    void (*run)(Chain *x);
} SampleStep;

extern const SampleStep sample_steps[LLMWS_STEP_COUNT]; /* in the default order */

/* Descending by logit, ascending by id: a total order, so that every way of sorting agrees. */
static inline bool candidate_before(Candidate a, Candidate b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}
Candidate chain_best(const Chain *x);

#endif
