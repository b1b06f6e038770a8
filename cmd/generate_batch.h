/* generate --batch: many prompts at once. Lines of JSON become answers, written as lines of JSON in the order of the
 * input; up to --parallel of them are at work, each in a sequence of its own, and all of them take every step together.
 * What a line gives does not depend on the others: the bits of a step do not, and every line draws from its own seed.
 */
#ifndef CMD_GENERATE_BATCH_H
#define CMD_GENERATE_BATCH_H

#include "cmd/answer.h"
#include "cmd/line.h"

typedef struct BatchOf {
    const Answer *like; /* opened as for one answer, its sampling that of the command line; no sequence is open */
    LineFile *in;
    size_t parallel;
    bool chat;
} BatchOf;

/* To the end of the input, or a signal. ERR_INPUT, once all else is done, where a line was bad. */
bool batch_run(const BatchOf *of, Err *e);

#endif
