/* A line of --batch: an object with a prompt and, under the names of the options, what differs from the command line.
 */
#ifndef CMD_GENERATE_LINE_H
#define CMD_GENERATE_LINE_H

#include "cmd/answer.h"
#include "core/value.h"

typedef struct LineOpts {
    AnswerOpts answer; /* its lists belong to the line */
    const char *prompt;
    const Value *id, *messages, *tools, *ids; /* NULL: not given */
    bool system;                              /* the line itself says answer.system, which is no "@FILE" then */
} LineOpts;

/* Takes an object over the options of the command line, whose lists are copied; texts and values live in the arena.
 * *out is released after a failure too: its id stands there wherever the line is JSON that has one. */
bool line_opts_read(LineOpts *out, const AnswerOpts *over, Str json, Arena *a, Err *e);
void line_opts_release(LineOpts *o);

#endif
