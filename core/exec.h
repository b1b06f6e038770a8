/* A plan made flesh: memory reserved, every node resolved into {function, arguments}. Running a step looks nothing up
 * and allocates nothing: bind the number of tokens and outputs, run the array. */
#ifndef CORE_EXEC_H
#define CORE_EXEC_H

#include "core/plan.h"

typedef struct SymRef {
    int64_t *ne;
    uint8_t sym;
} SymRef;

typedef struct Exec {
    Plan plan;
    Backend *b;
    void *block[CLASS_COUNT]; /* CLASS_WEIGHTS is borrowed per tensor */
    Tensor *values;           /* [g->n] at the bound sizes */
    ExecOp *ops;
    size_t n_ops;
    SymRef *refs; /* every dim that follows a symbol */
    size_t n_refs;
    int64_t bound[SYM_COUNT];
    RunMemory memory;
} Exec;

/* Where a weight leaf's data is, which has the leaf's dtype and shape. */
typedef struct WeightSource {
    const Tensor *(*find)(void *ctx, const Node *leaf);
    void *ctx;
} WeightSource;

/* Takes the plan over (even on failure) and reserves plan->bytes[c] of each class, no more. Every op's step is set to
 * `step`. */
bool exec_open(Exec *x, Plan *plan, Backend *b, WeightSource weights, const Step *step, Err *e);
void exec_close(Exec *x);
/* Sets the sizes of this step; 1 <= tokens <= bound. */
void exec_bind(Exec *x, int64_t tokens, int64_t outputs);
void exec_run(Exec *x);
/* Part i of n of the ops: all parts in order are exec_run. */
void exec_run_part(Exec *x, size_t i, size_t n);
/* The ops of nodes [from, to). */
void exec_run_nodes(Exec *x, int from, int to);
static inline void *exec_data(const Exec *x, int id) { return x->values[id].data; }

#endif
