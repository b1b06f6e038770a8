/* How the next token is chosen: the options, and the settings that follow from them and from the model. */
#ifndef CMD_SAMPLE_OPTS_H
#define CMD_SAMPLE_OPTS_H

#include "cmd/run_opts.h"

typedef struct SampleOpts { /* first field of the options of a command that samples */
    RunOpts run;
    double temp, top_p, min_p, typical, top_n_sigma;
    double repeat_penalty, presence_penalty, frequency_penalty;
    double dry_multiplier, dry_base, xtc_probability, xtc_threshold;
    int64_t top_k, repeat_last_n, dry_allowed_length, dry_last_n, seed;
    bool ignore_eos;
    const char *samplers, *grammar, *schema;
    OptList logit_bias, dry_breakers;
} SampleOpts;

extern const OptTable opts_sampling;

typedef struct Sampling {
    LlmwsSampling how; /* borrows from the two below */
    LlmwsLogitBias *bias;
    unsigned char *breaks;  /* [vocab] */
    LlmwsConstraint *bound; /* what --grammar or --json-schema allows; NULL: everything */
} Sampling;

typedef struct SamplingFor {
    const Ui *ui;
    LlmwsModel *model;
    LlmwsTokenizer *tok;          /* NULL: none */
    const LlmwsConstraint *bound; /* NULL, or one of the same grammar or schema, whose tables are shared then */
} SamplingFor;

/* The options over the model's own values. *s is released after a failure too; before the model is closed. */
bool sampling_take(Sampling *s, const SampleOpts *o, const SamplingFor *of, Err *e);
void sampling_release(Sampling *s);
/* Before a token is drawn: what may come. After it: goes on by it. No-ops without a grammar. */
bool sampling_allow(Sampling *s, Err *e);
bool sampling_accept(Sampling *s, int32_t id, Err *e);
/* The settings in force and where each came from, for -v. */
void sampling_show(const Sampling *s, const SampleOpts *o, const LlmwsModel *model, const Ui *ui);

#endif
