#include "core/weights_read.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14; older ones answer EINVAL */
#endif

enum { PIECE_BYTES = 8 << 20, PAGES_MAX = PIECE_BYTES / 4096, SAMPLE_BYTES = 256 << 10 };

/* Whole pages of one piece of one tensor. */
typedef struct Piece {
    char *at;
    size_t n;
} Piece;

typedef struct Walk {
    const Model *m;
    size_t tensor, at, page;
} Walk;

static bool walk_next(Walk *w, Piece *out) {
    for (; w->tensor < w->m->file.n; w->tensor++, w->at = 0) {
        const Tensor *t = &w->m->file.tensors[w->tensor].t;
        int64_t bytes = 0;
        if (!t->data || !tensor_bytes(t->dtype, t->ndim, t->ne, &bytes) || w->at >= (size_t)bytes) continue;
        uintptr_t begin = (uintptr_t)t->data + w->at, end = (uintptr_t)t->data + (size_t)bytes;
        uintptr_t first = begin / w->page * w->page, last = MIN(end, first + PIECE_BYTES);
        w->at = last - (uintptr_t)t->data;
        *out = (Piece){(char *)first, align_up((size_t)(last - first), w->page)};
        return true;
    }
    return false;
}

/* Bytes of a piece that are not in memory; 0 where the system does not tell. */
static int64_t missing(const Piece *p, size_t page) {
    unsigned char here[PAGES_MAX + 1];
    int64_t pages = 0;
    if (p->n / page > sizeof here || mincore(p->at, p->n, here) != 0) return 0;
    for (size_t i = 0; i < p->n / page; i++) pages += !(here[i] & 1);
    return pages * (int64_t)page;
}

/* Whether the first page of every SAMPLE_BYTES is in memory. To ask for every page takes a tenth of the time that a
 * small model's first token takes; systems read and drop long stretches, and a page that is missed here is read when it
 * is touched. */
static bool seems_here(const Piece *p, size_t page) {
    for (size_t at = 0; at < p->n; at += SAMPLE_BYTES)
        if (missing(&(Piece){p->at + at, page}, page)) return false;
    return true;
}

static Walk walk_of(const Model *m) { return (Walk){.m = m, .page = (size_t)sysconf(_SC_PAGESIZE)}; }

static bool told(LlmwsProgressFn *tell, void *ctx, int64_t done, int64_t total, Err *e) {
    return !tell || tell(ctx, LLMWS_PHASE_WEIGHTS, done, total) || err_set(e, ERR_INTERRUPT, "interrupted");
}

bool weights_read(const Model *m, size_t free_bytes, LlmwsProgressFn *tell, void *ctx, Err *e) {
    Piece p;
    int64_t total = 0, done = 0;
    bool here = true;
    for (Walk w = walk_of(m); here && walk_next(&w, &p);) here = seems_here(&p, w.page);
    if (here) return true;
    for (Walk w = walk_of(m); walk_next(&w, &p);) total += missing(&p, w.page);
    if (!total || (uint64_t)total > free_bytes) return true;
    TRY(told(tell, ctx, 0, total, e));
    for (Walk w = walk_of(m); walk_next(&w, &p) && done < total;) {
        int64_t bytes = missing(&p, w.page);
        if (!bytes) continue;
        if (madvise(p.at, p.n, MADV_POPULATE_READ) != 0) {
            if (errno == EFAULT || errno == EIO)
                return err_set(e, ERR_IO, "cannot read '%s': %s", m->file.path, strerror(EIO));
            return told(tell, ctx, total, total, e); /* an older system: pages come as they are touched */
        }
        done = MIN(done + bytes, total - 1);
        TRY(told(tell, ctx, done, total, e));
    }
    return told(tell, ctx, total, total, e);
}

void pages_drop_bytes(const void *at, size_t n) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)at + page - 1) / page * page, end = ((uintptr_t)at + n) / page * page;
    if (first < end) madvise((void *)first, end - first, MADV_DONTNEED); /* a wish: what comes of it changes nothing */
}

void pages_drop(const Tensor *t) {
    int64_t bytes = 0;
    for (int64_t i = 0; t->parts && i < t->ne[0]; i++) pages_drop_bytes(t->parts[i], (size_t)t->stride[0]);
    if (t->data && tensor_bytes(t->dtype, t->ndim, t->ne, &bytes)) pages_drop_bytes(t->data, (size_t)bytes);
}

void weights_drop(const Model *m) {
    for (size_t i = 0; i < m->file.n; i++) pages_drop(&m->file.tensors[i].t);
}
