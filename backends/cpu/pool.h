/* The threads that run a plan's ops. The caller leads: it runs every op itself and shares the larger ones with helpers,
 * which are made once, spin while there is work, and sleep otherwise.
 *
 * 1. Units of an op are cut into one share per thread, a share into a few chunks. A chunk is claimed by one thread: its
 * owner, or whoever has finished its own. Who computes a unit never changes a bit, so neither does timing.
 * 2. An op begins when all chunks of the one before are in its output: an op sees whatever earlier ops wrote.
 * 3. In a light step (decoding) nobody waits for a thread that the system has taken off its core. Helpers are of idle
 * priority, make room for everything else, and put what they compute beside the output; the leader moves it there. A
 * chunk that is late is done again by the leader, and what the late helper wrote is never looked at.
 * 4. In other steps chunks are large: helpers of normal priority write to the output, and the leader waits for them.
 * 5. With one thread there are no atomics and no waiting.
 * 6. One run at a time. */
#ifndef CPU_POOL_H
#define CPU_POOL_H

#include "core/backend.h"

typedef struct Pool Pool;

enum { POOL_MAX_THREADS = 1024 };

/* threads in 1..POOL_MAX_THREADS, the caller included. ERR_FAIL when the system refuses one. Free with pool_close. */
Pool *pool_open(int threads, Err *e);
/* Waits for the helpers to end. NULL is allowed. */
void pool_close(Pool *p);
/* Areas of RunMemory that pool_run wants: of scratch the first, and where there is a stage as many of both of the
 * second beside them, for light steps. */
int pool_scratch_areas(int threads);
int pool_stage_areas(int threads);
/* Runs ops in order and returns when all are done. Late helpers may still read what the ops read. */
void pool_run(Pool *p, const ExecOp *ops, size_t n, const RunMemory *m);
/* Returns when no helper reads or writes anything of earlier runs: call it before their memory goes away. */
void pool_settle(Pool *p);

#endif
