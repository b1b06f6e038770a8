/* The options of llmws generate; inspect takes them all too, so that --estimate speaks of the very same run. */
#ifndef CMD_GENERATE_H
#define CMD_GENERATE_H

#include "cmd/answer.h"

typedef struct GenerateOpts { /* first field of inspect's options */
    AnswerOpts answer;
    const char *prompt, *file, *ids, *cache, *batch;
    bool raw, chat, echo;
    int64_t parallel; /* of --batch */
    CaptureOpts capture;
} GenerateOpts;

extern const OptTable opts_prompt;
extern const OptTable opts_capture; /* in capture.c */

#endif
