#include "backends/cpu/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

static inline void cpu_relax(void) {
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

/* A thread that waits longer than this in a barrier shares its core with somebody: let them run. */
enum { SPINS_IN_RUN = 4000 };
/* Between runs: about the time in which a caller draws a token and comes back, then sleep. */
enum { SPINS_BETWEEN_RUNS = 20000 };

typedef struct Worker {
    _Alignas(64) atomic_uint passed; /* barriers reached; on a line of its own, which only this thread writes */
    Pool *pool;
    int index;
    pthread_t thread;
} Worker;

struct Pool {
    int threads, started;
    Worker *workers; /* [threads]; 0 is the caller and has no thread */

    /* The run at hand: written by the caller before `run` rises, read by workers after. */
    const ExecOp *ops;
    size_t n;
    char *scratch;
    size_t scratch_bytes;
    bool stop;

    pthread_mutex_t lock; /* of going to sleep */
    pthread_cond_t wake;

    _Alignas(64) atomic_uint run; /* number of the run */
    atomic_uint asleep;
};

/* Each thread says that it is here and waits for all others to have said so: no shared counter, so two threads exchange
 * one cache line each way. */
static void barrier(Pool *p, int i) {
    unsigned here = atomic_load_explicit(&p->workers[i].passed, memory_order_relaxed) + 1;
    atomic_store_explicit(&p->workers[i].passed, here, memory_order_release);
    int spins = 0;
    for (int j = 0; j < p->threads; j++)
        while ((int)(atomic_load_explicit(&p->workers[j].passed, memory_order_acquire) - here) < 0)
            if (spins < SPINS_IN_RUN)
                spins++, cpu_relax();
            else
                sched_yield();
}

static void work(Pool *p, int i) {
    const ExecOp *ops = p->ops;
    char *scratch = p->scratch + (size_t)i * p->scratch_bytes;
    for (size_t k = 0, n = p->n; k < n; k++) {
        int64_t units = ops[k].n_units, u0 = units * i / p->threads, u1 = units * (i + 1) / p->threads;
        if (units == 1) u0 = 0, u1 = i == 0; /* always the caller: see the next line */
        if (u0 < u1) ops[k].run(&ops[k].args, u0, u1, scratch);
        if (units <= 1 && k + 1 < n && ops[k + 1].n_units <= 1) continue;
        barrier(p, i);
    }
}

/* Waits for a run other than `seen`. Who is counted in `asleep` is woken: either it sees the new number after counting
 * itself, or the caller sees the count after writing the number (both sequentially consistent). */
static unsigned await_run(Pool *p, unsigned seen) {
    unsigned run;
    for (int spins = 0; spins < SPINS_BETWEEN_RUNS; spins++, cpu_relax())
        if ((run = atomic_load_explicit(&p->run, memory_order_acquire)) != seen) return run;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->asleep, 1);
    while ((run = atomic_load(&p->run)) == seen) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->asleep, 1);
    pthread_mutex_unlock(&p->lock);
    return run;
}

static void start_run(Pool *p) {
    atomic_fetch_add(&p->run, 1);
    if (atomic_load(&p->asleep)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
}

static void *worker_main(void *arg) {
    Worker *w = arg;
    for (unsigned run = 0;;) {
        run = await_run(w->pool, run);
        if (w->pool->stop) return NULL;
        work(w->pool, w->index);
    }
}

Pool *pool_open(int threads, Err *e) {
    size_t bytes = sizeof(Pool) + (size_t)threads * sizeof(Worker); /* both are multiples of 64 */
    Pool *p = aligned_alloc(64, bytes);
    if (!p) return err_set(e, ERR_FAIL, "starting threads failed: '%d': no memory", threads), NULL;
    memset(p, 0, bytes);
    p->threads = threads;
    p->workers = (Worker *)(p + 1);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (p->started = 1; p->started < threads; p->started++) {
        Worker *w = &p->workers[p->started];
        w->pool = p, w->index = p->started;
        int code = pthread_create(&w->thread, NULL, worker_main, w);
        if (!code) continue;
        err_set(e, ERR_FAIL, "starting threads failed: '%d': the system allows %d (%s); ask for fewer", threads,
                p->started, strerror(code));
        pool_close(p);
        return NULL;
    }
    return p;
}

void pool_close(Pool *p) {
    if (!p) return;
    p->stop = true;
    start_run(p);
    for (int i = 1; i < p->started; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void pool_run(Pool *p, const ExecOp *ops, size_t n, char *scratch, size_t scratch_bytes) {
    if (p->threads == 1) {
        for (size_t k = 0; k < n; k++)
            if (ops[k].n_units > 0) ops[k].run(&ops[k].args, 0, ops[k].n_units, scratch);
        return;
    }
    if (!n) return; /* no barrier would hold the workers back */
    p->ops = ops, p->n = n;
    p->scratch = scratch, p->scratch_bytes = scratch_bytes;
    start_run(p);
    work(p, 0);
}
