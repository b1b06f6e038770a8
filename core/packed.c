#include "core/packed.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/weights_read.h"

enum { ALIGN = 64, ROWS = 16, HUGE_PAGE = 2 << 20 };

struct Packed {
    const Model *m;
    pthread_mutex_t lock; /* of all below */
    char *block;
    size_t bytes, used;
    void **at; /* [m->n] NULL: not yet */
};

static size_t room(const Weight *w) {
    int64_t ne[MAX_DIMS] = {1, 1, 1, 1}, bytes = 0;
    memcpy(ne, w->t.ne, sizeof ne);
    if (w->t.ndim < 2 || w->turned) return 0;
    ne[w->t.ndim - 2] = div_up(ne[w->t.ndim - 2], ROWS) * ROWS;
    return tensor_bytes(w->t.dtype, w->t.ndim, ne, &bytes) ? align_up((size_t)bytes, ALIGN) : 0;
}

Packed *packed_new(const Model *m) {
    if (!m->file.mapped_bytes) return NULL;
    Packed *p = mem_alloc(1, sizeof *p);
    p->m = m;
    p->at = mem_alloc(m->n + 1, sizeof *p->at);
    pthread_mutex_init(&p->lock, NULL);
    for (size_t i = 0; i < m->n; i++) p->bytes += room(&m->weights[i]);
    p->bytes = align_up(p->bytes, HUGE_PAGE);
    return p;
}

void packed_free(Packed *p) {
    if (!p) return;
    if (p->block) munmap(p->block, p->bytes);
    pthread_mutex_destroy(&p->lock);
    free(p->at);
    free(p);
}

int64_t packed_most(const Model *m) {
    size_t most = 0, all = 0;
    for (size_t i = 0; i < m->n; i++) {
        most = MAX(most, room(&m->weights[i]));
        all += room(&m->weights[i]);
    }
    return (int64_t)align_up(m->file.in_memory ? all : most, HUGE_PAGE);
}

bool packed_reserve(Packed *p) {
    pthread_mutex_lock(&p->lock);
    if (!p->block && p->bytes) {
        void *block = mmap(NULL, p->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (block != MAP_FAILED) {
            p->block = block;
            madvise(block, p->bytes, MADV_HUGEPAGE); /* a wish: fewer misses of address translation */
        }
    }
    const bool ok = p->block != NULL;
    pthread_mutex_unlock(&p->lock);
    return ok;
}

/* The weight that t is, m->n: none. */
static size_t find(const Model *m, const Tensor *t) {
    size_t i = 0;
    for (; i < m->n; i++) {
        const Tensor *w = &m->weights[i].t;
        bool same = t->parts ? t->parts == w->parts : !w->parts && t->data == w->data;
        if (same && w->ndim == t->ndim && w->ne[0] == t->ne[0] && !m->weights[i].turned) break;
    }
    return i;
}

bool packed_weight(Packed *p, Backend *b, ExecOp *op, int64_t *spent) {
    Tensor *w = &op->args.in[1], to = *w;
    const size_t i = find(p->m, w), bytes = (size_t)b->packed_bytes(b, op);
    if (i == p->m->n) return true;
    if (pthread_mutex_trylock(&p->lock)) return false;
    b->settle(b); /* a helper that is late would read an op that changes, and memory of another run */
    if (!p->at[i] && p->used + bytes <= p->bytes) {
        to.data = p->block + p->used;
        p->used += align_up(bytes, ALIGN);
        b->pack(b, w, &to);
        pages_drop(&p->m->weights[i].t);
        p->at[i] = to.data;
        *spent = (int64_t)bytes;
    }
    if (p->at[i]) w->data = p->at[i], w->parts = NULL, w->packed = true;
    pthread_mutex_unlock(&p->lock);
    return true;
}
