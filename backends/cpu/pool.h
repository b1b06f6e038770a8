/* The threads that run a plan's ops. They are made once, spin inside a run, and sleep between runs.
 *
 * 1. Units of an op are split into one contiguous range per thread by number alone, so the split never depends on
 * timing.
 * 2. All threads pass a barrier after each op: an op sees whatever earlier ops wrote. A row of ops of one unit runs on
 *    the caller with one barrier after the last.
 * 3. With one thread there are no atomics and no waiting.
 * 4. One run at a time; the caller is thread 0. */
#ifndef CPU_POOL_H
#define CPU_POOL_H

#include "core/backend.h"

typedef struct Pool Pool;

enum { POOL_MAX_THREADS = 1024 };

/* threads in 1..POOL_MAX_THREADS, the caller included. ERR_FAIL when the system refuses one. Free with pool_close. */
Pool *pool_open(int threads, Err *e);
/* Waits for the threads to end. NULL is allowed. */
void pool_close(Pool *p);
/* Runs ops in order and returns when all are done. scratch: `threads` areas of scratch_bytes each. */
void pool_run(Pool *p, const ExecOp *ops, size_t n, char *scratch, size_t scratch_bytes);

#endif
