/* The options of llmws generate; inspect takes them all too, so that --estimate speaks of the very same run. */
#ifndef CMD_GENERATE_H
#define CMD_GENERATE_H

#include "cmd/capture.h"
#include "cmd/sample_opts.h"

typedef struct GenerateOpts { /* first field of inspect's options */
    SampleOpts sample;
    const char *prompt, *file, *ids, *cache;
    int64_t max_tokens, logprobs;
    bool raw, echo;
    OptList stop;
    CaptureOpts capture;
} GenerateOpts;

extern const OptTable opts_prompt;
extern const OptTable opts_capture; /* in capture.c */

#endif
