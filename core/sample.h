/* From logits to a token: bias and bans, then the steps of the chain in the order that the settings give, then a draw
 * among the candidates that are left; temperature 0 takes the best of them (the lowest id among equals). A step that
 * is off costs nothing; at least one candidate stays after every step. */
#ifndef CORE_SAMPLE_H
#define CORE_SAMPLE_H

#include "core/store.h"

typedef struct Candidate {
    float logit;
    int32_t id;
} Candidate;

typedef struct Sampler { /* room for one vocabulary, given by the owner; reused for every token */
    Candidate *cand;     /* [vocab] */
    int32_t *count;      /* [vocab] by token; all zero between calls */
    int64_t vocab;
    int32_t *match; /* [window] lengths of repeats; DRY looks back no further than window tokens */
    int64_t window;
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

/* Refuses settings out of range, logits that are NaN, and a choice where every token is forbidden. */
bool sampler_pick(Sampler *s, const LlmwsSampling *how, const SampleAt *at, int32_t *id, Err *e);

/* "top_k;temperature" into how->order; names as in the chain's table, '-' for '_', ',' for ';'. */
bool sampler_order_parse(Str list, LlmwsSampling *how, Err *e);
/* NULL past the last step. */
const char *sampler_step_name(int step);

/* ---- what the model's files say ---- */

enum { SAMPLE_SETTINGS = 9 };

typedef struct SampleDefaults {
    LlmwsSampling s;
    const char *from[SAMPLE_SETTINGS]; /* where a value came from, by row of the table in sample_defaults.c */
    const char *order_from;
} SampleDefaults;

/* Values out of range are warned of and not used; one of a wrong kind is an error. */
bool sample_defaults_read(SampleDefaults *d, const TensorFile *f, const Log *log, Err *e);
/* What `from`, a generation_config.json, says about sampling, as GGUF's general.sampling.*; or the other way round,
 * from a GGUF file's metadata. Members of *to, made in a; values are borrowed. */
void sample_defaults_convert(const Value *from, bool to_gguf, Arena *a, Value *to);
const char *sample_defaults_origin(const SampleDefaults *d, const char *name);

#endif
