#include "backends/cpu/crew.h"

#include <sched.h>

/* A helper that is late reads values which others change meanwhile and then drops its result. The thread sanitizer
 * rightly calls that a race, so under it the leader waits. */
#if defined __SANITIZE_THREAD__
#define MAY_LEAVE_BEHIND 0
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define MAY_LEAVE_BEHIND 0
#endif
#endif
#if !defined MAY_LEAVE_BEHIND
#define MAY_LEAVE_BEHIND 1
#endif

/* A thread that waits longer than this shares its core with somebody: let them run. */
enum { SPINS = 4000 };
/* The leader waits for a late chunk as long as it takes itself for one, and this many turns at least. */
enum { LEAST_PATIENCE = 64 };

/* A clock that costs a few cycles; its unit does not matter here. */
static inline uint64_t ticks(void) {
#if defined __x86_64__
    return __builtin_ia32_rdtsc();
#elif defined __aarch64__
    uint64_t t;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
    return t;
#else
    return (uint64_t)now_ns();
#endif
}

/* ---- how an op is cut ---- */

typedef struct Cut {
    int64_t u0, u1, chunk; /* units of a share, and of its chunks */
} Cut;

/* Products like chunks of whole panels (multiples of 3 units); below 9 units the claims would show. */
static Cut cut_share(const Crew *c, const ExecOp *op, int i) {
    int64_t n = op->n_units, u0 = n * i / c->threads, u1 = n * (i + 1) / c->threads, units = u1 - u0;
    return (Cut){u0, u1, units <= 16 ? 3 : MAX(9, div_up(div_up(units, CREW_CHUNKS), 3) * 3)};
}
static uint64_t cut_chunks(Cut cut) { return (uint64_t)div_up(cut.u1 - cut.u0, cut.chunk); }

static void run_chunk(const ExecOp *op, Cut cut, uint64_t chunk, char *scratch) {
    int64_t u0 = cut.u0 + (int64_t)chunk * cut.chunk;
    op->run(&op->args, u0, MIN(u0 + cut.chunk, cut.u1), scratch);
}

/* The next chunk of share i that nobody has; false when there is none in this epoch. */
static bool claim(Crew *c, int i, unsigned epoch, uint64_t *chunk) {
    atomic_uint_fast64_t *at = &c->shares[i].claim;
    uint64_t now = atomic_load_explicit(at, memory_order_acquire);
    do {
        *chunk = now & 0xffff;
        if (now >> 32 != epoch || *chunk == (now >> 16 & 0xffff)) return false;
    } while (!atomic_compare_exchange_weak_explicit(at, &now, now + 1, memory_order_acq_rel, memory_order_acquire));
    return true;
}

/* ---- the leader ---- */

void crew_publish(Crew *c, const ExecOp *op) {
    unsigned epoch = atomic_load_explicit(&c->epoch, memory_order_relaxed) + 1;
    c->op = op;
    for (int i = 0; i < c->threads; i++) {
        uint64_t chunks = cut_chunks(cut_share(c, op, i));
        atomic_store_explicit(&c->shares[i].claim, (uint64_t)epoch << 32 | chunks << 16, memory_order_release);
        c->mine[i] = 0;
    }
    atomic_store(&c->epoch, epoch);
}

/* The helper that did the chunk, 0 when there is none yet. */
static int done_by(const Crew *c, int i, uint64_t chunk, unsigned epoch) {
    uint64_t d = atomic_load_explicit(&c->shares[i].done[chunk], memory_order_acquire);
    return d >> 32 == epoch ? (int)(d & 0xffff) : 0;
}

static int await_chunk(const Crew *c, int i, uint64_t chunk, unsigned epoch, uint64_t until) {
    int helper;
    for (int spins = 0; !(helper = done_by(c, i, chunk, epoch)); spins++) {
        if (c->late && MAY_LEAVE_BEHIND && spins >= LEAST_PATIENCE && ticks() >= until) return 0;
        if (spins < SPINS)
            cpu_relax();
        else
            sched_yield();
    }
    return helper;
}

static void collect(Crew *c, const ExecOp *op, unsigned epoch, uint64_t until) {
    for (int i = 0; i < c->threads; i++) {
        Cut cut = cut_share(c, op, i);
        for (uint64_t k = 0; k < cut_chunks(cut); k++) {
            if (c->mine[i] >> k & 1) continue;
            int helper = await_chunk(c, i, k, epoch, until);
            int64_t u0 = cut.u0 + (int64_t)k * cut.chunk, u1 = MIN(u0 + cut.chunk, cut.u1);
            if (!helper)
                op->run(&op->args, u0, u1, c->mem->scratch);
            else if (c->late)
                op->copy(&op->args, c->mem->stage + (size_t)(helper - 1) * c->mem->stage_bytes, u0, u1);
        }
    }
}

void crew_lead(Crew *c, const ExecOp *op) {
    unsigned epoch = atomic_load_explicit(&c->epoch, memory_order_relaxed);
    uint64_t begin = ticks(), n = 0, k;
    for (int i = 0; i < c->threads; i++) {
        Cut cut = cut_share(c, op, i);
        for (; claim(c, i, epoch, &k); n++) {
            run_chunk(op, cut, k, c->mem->scratch);
            c->mine[i] |= (uint8_t)(1u << k);
        }
    }
    uint64_t now = ticks();
    collect(c, op, epoch, now + (now - begin) / MAX(n, 1));
}

/* ---- a helper ---- */

/* What the leader published, copied before anything of it is used. Who holds a chunk that the leader waits for may read
 * it freely; a late helper knows that it read what belongs to its epoch if the epoch is still the same afterwards. */
static bool read_op(const Crew *c, unsigned epoch, ExecOp *op, RunMemory *m) {
    *m = *c->mem;
    *op = *c->op;
#if MAY_LEAVE_BEHIND
    atomic_thread_fence(memory_order_acquire);
#endif
    return atomic_load_explicit(&c->epoch, memory_order_relaxed) == epoch;
}

void crew_help(Crew *c, int i, unsigned epoch) {
    ExecOp op;
    RunMemory m;
    char *scratch = NULL;
    for (int at = 0; at < c->threads; at++) {
        int j = (i + at) % c->threads;
        for (uint64_t k; claim(c, j, epoch, &k);) {
            if (!scratch) {
                if (!read_op(c, epoch, &op, &m)) return;
                scratch = m.scratch + (size_t)(c->late ? c->threads + i - 1 : i) * m.scratch_bytes;
                if (c->late) op.args.out.data = m.stage + (size_t)(i - 1) * m.stage_bytes;
            }
            run_chunk(&op, cut_share(c, &op, j), k, scratch);
            atomic_store_explicit(&c->shares[j].done[k], (uint64_t)epoch << 32 | (unsigned)i, memory_order_release);
        }
    }
}
