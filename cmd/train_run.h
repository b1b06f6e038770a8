/* The directory of a run: run.json (what it is), events.jsonl (what happened), checkpoints/step-N/, where there were
 * evaluations a link checkpoints/best to the best of them, and a lock.
 *
 * 1. One process at a time has a run. 2. run.json stands once checkpoints/step-0 does, the weights before the first
 * update; a step-0 without run.json is of a run that was killed as it began. 3. A checkpoint knows how long
 * events.jsonl was: going on from it cuts off what came later. */
#ifndef CMD_TRAIN_RUN_H
#define CMD_TRAIN_RUN_H

#include "cmd/term.h"
#include "formats/run_find.h"

typedef struct Run {
    const char *dir;
    const char *checkpoints; /* "RUN/checkpoints" */
    const char *json;        /* "RUN/run.json" */
    int lock, events;        /* descriptors, -1: none */
    int64_t length;          /* bytes of events.jsonl */
    bool begun;              /* it had a run.json */
    bool made, held;         /* run_open made the directory; has the lock */
    Arena arena;
} Run;

/* Makes the directory where it is not there, takes the lock, removes what a killed process left half done. */
bool run_open(Run *r, const char *dir, Err *e);
/* Where no run.json came about, what was made on the way to it goes too. */
void run_close(Run *r);

/* Removes one, where it is. */
void run_drop(Run *r, int64_t step);
/* Makes the link checkpoints/best lead to that of a step; false, with a message, where links cannot be made. */
bool run_link_best(Run *r, int64_t step, Err *e);
/* Removes all but the newest `keep` and the best; keep 0: none, best -1: there is none. */
void run_prune(Run *r, int64_t keep, int64_t best);
/* A model's fingerprint as run.json has it. */
void model_print(const LlmwsModel *m, char out[17]);

/* Cuts events.jsonl to a length. */
bool run_truncate(Run *r, int64_t length, Err *e);
/* Appends lines. */
bool run_event(Run *r, const Buf *lines, Err *e);
/* What was appended is on the disk. */
bool run_sync(Run *r, Err *e);

#endif
