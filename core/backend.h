/* What core needs of a place where graphs run. One object per opened device; the CPU's owns a thread pool. */
#ifndef CORE_BACKEND_H
#define CORE_BACKEND_H

#include "core/op.h"

typedef struct Backend Backend;

typedef struct ExecOp { /* one resolved node: nothing of it is looked up again while tokens flow */
    void (*run)(const OpArgs *a, int64_t u0, int64_t u1, void *scratch);
    int64_t (*units)(const OpArgs *a);
    void (*copy)(const OpArgs *a, const char *staged, int64_t u0, int64_t u1);
    int64_t n_units; /* of the bound step */
    bool takes_packed;
    OpArgs args;
    int node; /* in the graph, for profiles */
} ExecOp;

/* A step of no more tokens is light: made by threads that never wait for each other (decoding). */
enum { LIGHT_TOKENS = 16 };

typedef struct RunMemory {
    char *scratch, *stage;
    size_t scratch_bytes, stage_bytes; /* of one area; multiples of 64 */
} RunMemory;

typedef struct BackendOptions {
    int threads;     /* 0: one per physical core that this process may use */
    const char *isa; /* NULL: the best */
} BackendOptions;

struct Backend {
    const char *name; /* "cpu" */
    const char *isa;  /* what its kernels use: part of the promise of equal bits */
    int threads;
    /* How many of each a run wants. Light steps want stage_areas of scratch beside those of the others: a plan without
     * a stage has none of them, and runs its steps as the others, however few tokens they have. */
    int scratch_areas, stage_areas;
    /* Picks the kernel for op on these operands (shapes at their bounds); an op it cannot do is an error naming op and
     * dtypes. */
    bool (*kernel)(Backend *b, Op op, const OpArgs *a, Kernel *out, Err *e);
    /* Zero-filled memory of the device, touched only when used; NULL with *e when there is none. */
    void *(*reserve)(Backend *b, size_t bytes, Err *e);
    void (*release)(Backend *b, void *block, size_t bytes);
    size_t (*free_bytes)(Backend *b);
    /* Runs ops in order. An area of stage holds the output of any op with `copy` of a light step. */
    void (*run)(Backend *b, const ExecOp *ops, size_t n, const RunMemory *m);
    /* Bytes of input 1 of op, a weight, laid out as the op reads it fastest; 0: it is that already, or the op reads no
     * other layout. pack: lays w out in to->data, zero-filled memory of so many bytes, and makes *to the tensor to read
     * in its place; first the backend has to settle. settle: returns when nothing of earlier runs is being read. */
    int64_t (*packed_bytes)(Backend *b, const ExecOp *op);
    void (*pack)(Backend *b, const Tensor *w, Tensor *to);
    void (*settle)(Backend *b);
    void (*close)(Backend *b);
};

#endif
