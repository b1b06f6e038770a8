/* Checkpoints of a run of training: RUN/checkpoints/step-N, and the link "best" to one of them. A run stands wherever a
 * model or an adapter may be named, as "RUN" (its last checkpoint), "RUN@step" or "RUN@best". */
#ifndef FORMATS_RUN_FIND_H
#define FORMATS_RUN_FIND_H

#include "core/base.h"

/* "RUN/checkpoints/step-N", in the arena. */
const char *run_checkpoint(Arena *a, const char *dir, int64_t step);
/* Steps of all checkpoints, newest first; returns how many; free *steps. */
size_t run_steps(const char *dir, int64_t **steps);
/* The last checkpoint, -1: none. */
int64_t run_last(const char *dir);
/* The checkpoint that a word names; *path is NULL where it names no run. */
bool run_find(const char *word, Arena *a, const char **path, Err *e);

#endif
