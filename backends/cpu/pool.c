#include "backends/cpu/pool.h"

#include "backends/cpu/crew.h"
#include "core/host.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

/* Turns that a helper spins for the next op before it sleeps: about the time in which a caller draws a token and comes
 * back. */
enum { SPINS_FOR_WORK = 20000 };

typedef struct Helper {
    _Alignas(64) atomic_uint busy;   /* reads or writes what belongs to a run */
    _Alignas(64) atomic_uint asleep; /* on a line of its own: the leader reads it at every op */
    sem_t wake;
    Crew *crew;
    atomic_bool *stop;
    atomic_int id; /* host_thread */
    int index;
    pthread_t thread;
} Helper;

/* Two crews, which never work at the same time: one for light steps, one for the others. */
enum { LIGHT, HEAVY, CREWS };

struct Pool {
    int threads;
    Crew crew[CREWS];
    Helper *helpers[CREWS]; /* [threads]; 0 is the caller's place and no thread */
    int started[CREWS];
    RunMemory mem;
    atomic_bool stop;
};

int pool_scratch_areas(int threads) { return threads; }
int pool_stage_areas(int threads) { return threads - 1; }

/* ---- sleeping and waking: no lock, which a helper of idle priority might hold while it is off its core ---- */

static void wake(Helper *h) {
    if (atomic_load(&h->asleep) && atomic_exchange(&h->asleep, 0)) sem_post(&h->wake);
}

/* Either the helper sees the new epoch after it said that it sleeps, or the leader sees `asleep` after it wrote the
 * epoch (both sequentially consistent). Who takes `asleep` back decides whether there is a post to wait for. */
static void fall_asleep(Helper *h, unsigned seen) {
    atomic_store(&h->asleep, 1);
    if (atomic_load(&h->crew->epoch) != seen && atomic_exchange(&h->asleep, 0)) return;
    while (sem_wait(&h->wake)) continue; /* interrupted */
}

static unsigned await_work(Helper *h, unsigned seen) {
    unsigned epoch;
    for (int spins = 0; (epoch = atomic_load(&h->crew->epoch)) == seen; spins++)
        if (spins < SPINS_FOR_WORK)
            cpu_relax();
        else
            fall_asleep(h, seen), spins = 0;
    return epoch;
}

/* ---- helpers ---- */

static void *helper_main(void *arg) {
    Helper *h = arg;
    atomic_store(&h->id, host_thread());
    if (h->crew->late) host_thread_idle(h->id, true);
    for (unsigned epoch = 0;;) {
        epoch = await_work(h, epoch);
        if (atomic_load(h->stop)) return NULL;
        atomic_store(&h->busy, 1);
        crew_help(h->crew, h->index, epoch);
        atomic_store_explicit(&h->busy, 0, memory_order_release);
    }
}

static bool start_crew(Pool *p, int which, Err *e) {
    Crew *c = &p->crew[which];
    c->late = which == LIGHT;
    c->threads = p->threads;
    c->mem = &p->mem;
    c->shares = aligned_alloc(64, (size_t)p->threads * sizeof(Share));
    c->mine = calloc((size_t)p->threads, 1);
    p->helpers[which] = aligned_alloc(64, (size_t)p->threads * sizeof(Helper));
    if (!c->shares || !c->mine || !p->helpers[which]) return err_set(e, ERR_FAIL, "starting threads failed: no memory");
    memset(c->shares, 0, (size_t)p->threads * sizeof(Share));
    memset(p->helpers[which], 0, (size_t)p->threads * sizeof(Helper));
    for (int *i = &p->started[which]; *i + 1 < p->threads; ++*i) {
        Helper *h = &p->helpers[which][*i + 1];
        h->crew = c, h->stop = &p->stop, h->index = *i + 1;
        if (sem_init(&h->wake, 0, 0)) return err_set(e, ERR_FAIL, "starting threads failed: %s", strerror(errno));
        int code = pthread_create(&h->thread, NULL, helper_main, h);
        if (!code) continue;
        sem_destroy(&h->wake);
        return err_set(e, ERR_FAIL, "starting threads failed: '%d': the system allows %d (%s); ask for fewer",
                       p->threads, *i + 1, strerror(code));
    }
    return true;
}

/* A helper of idle priority may wait for long where all cores are taken; while the leader waits for it, it need not. */
static void hurry(Helper *h, bool yes) {
    int id = atomic_load(&h->id); /* 0: it has not begun */
    if (h->crew->late && id) host_thread_idle(id, !yes);
}

static void await_helper(Helper *h) {
    if (!atomic_load(&h->busy)) return;
    hurry(h, true);
    while (atomic_load(&h->busy)) nanosleep(&(struct timespec){0, 50000}, NULL); /* its core may be ours */
    hurry(h, false);
}

static void end_crew(Pool *p, int which) {
    atomic_fetch_add(&p->crew[which].epoch, 1);
    for (int i = 1; i <= p->started[which]; i++) {
        hurry(&p->helpers[which][i], true);
        wake(&p->helpers[which][i]);
    }
    for (int i = 1; i <= p->started[which]; i++) {
        pthread_join(p->helpers[which][i].thread, NULL);
        sem_destroy(&p->helpers[which][i].wake);
    }
    free(p->helpers[which]);
    free(p->crew[which].shares);
    free(p->crew[which].mine);
}

Pool *pool_open(int threads, Err *e) {
    Pool *p = aligned_alloc(64, sizeof(Pool));
    if (!p) return err_set(e, ERR_FAIL, "starting threads failed: '%d': no memory", threads), NULL;
    memset(p, 0, sizeof *p);
    p->threads = threads;
    if (threads == 1 || (start_crew(p, LIGHT, e) && start_crew(p, HEAVY, e))) return p;
    pool_close(p);
    return NULL;
}

void pool_close(Pool *p) {
    if (!p) return;
    atomic_store(&p->stop, true);
    for (int which = 0; which < CREWS; which++) end_crew(p, which);
    free(p);
}

/* ---- the caller ---- */

static bool may_share(const Crew *c, const ExecOp *op) {
    if (op->n_units < 2 || !c->late) return op->n_units >= 2;
    const Tensor *out = &op->args.out;
    size_t bytes = (size_t)out->ne[0] * (size_t)out->stride[0];
    return op->copy && bytes <= c->mem->stage_bytes;
}

static void run_alone(const ExecOp *op, char *scratch) {
    if (op->n_units > 0) op->run(&op->args, 0, op->n_units, scratch);
}

void pool_run(Pool *p, const ExecOp *ops, size_t n, const RunMemory *m) {
    const Step *step = n ? ops[0].args.step : NULL;
    int which = step && step->n <= LIGHT_TOKENS && m->stage_bytes ? LIGHT : HEAVY;
    Crew *c = &p->crew[which];
    p->mem = *m;
    for (size_t k = 0; k < n; k++) {
        if (p->threads == 1 || !may_share(c, &ops[k])) {
            run_alone(&ops[k], m->scratch);
            continue;
        }
        crew_publish(c, &ops[k]);
        for (int i = 1; i < p->threads; i++) wake(&p->helpers[which][i]);
        crew_lead(c, &ops[k]);
    }
}

/* All chunks of past ops are claimed, and who claimed one had said before that it is busy. */
void pool_settle(Pool *p) {
    for (int which = 0; p->threads > 1 && which < CREWS; which++)
        for (int i = 1; i < p->threads; i++) await_helper(&p->helpers[which][i]);
}
