/* A leader and its helpers at one op: shares, chunks, claims, and what becomes of chunks that are late. The threads
 * themselves are in pool.c. */
#ifndef CPU_CREW_H
#define CPU_CREW_H

#include "core/backend.h"

#include <stdatomic.h>

enum { CREW_CHUNKS = 8 }; /* of a share, at most */

typedef struct Share {                                   /* the part of the op at hand that one thread begins with */
    _Alignas(64) atomic_uint_fast64_t claim;             /* epoch << 32 | chunks << 16 | next chunk */
    _Alignas(64) atomic_uint_fast64_t done[CREW_CHUNKS]; /* epoch << 32 | helper that did it */
} Share;

typedef struct Crew {
    bool late; /* helpers may be: they stage what they compute */
    int threads;
    Share *shares;  /* [threads]; 0 is the leader's */
    uint8_t *mine;  /* [threads] chunks that the leader did, a bit each; of the leader alone */
    RunMemory *mem; /* [1] of the run */
    const ExecOp *op;
    _Alignas(64) atomic_uint epoch; /* of the op at hand; what stands above was written before it rose */
} Crew;

/* The leader: offers op to the helpers ... */
void crew_publish(Crew *c, const ExecOp *op);
/* ... and does it with whatever help comes; returns when all of its output is there. */
void crew_lead(Crew *c, const ExecOp *op);
/* Helper i >= 1: takes chunks of the op of this epoch until none is left or the leader has gone on. */
void crew_help(Crew *c, int i, unsigned epoch);

static inline void cpu_relax(void) {
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

#endif
