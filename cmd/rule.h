/* The little language of --intervene: rules that change named values while a model computes. */
#ifndef CMD_RULE_H
#define CMD_RULE_H

#include "cmd/opt.h"

typedef struct Rules { /* what an OptList of rules says, as patches of a session */
    LlmwsPatch *patches;
    size_t n;
} Rules;

/* "NAME += A*FILE.safetensors:KEY @ WHERE", "NAME = 0", "NAME *= 0.5"; WHERE: all (also when left out), last, prompt,
 * a position or FIRST..LAST. prompt: tokens of the prompt, for "last" and "prompt" (0: many
 * prompts, there is neither); positions stand below `end`, that
 * of the run. *out is released after a failure too. */
bool rules_parse(const OptList *texts, int64_t prompt, int64_t end, Rules *out, Err *e);
void rules_release(Rules *r);

#endif
