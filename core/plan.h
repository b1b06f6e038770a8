/* The plan: where every value of a graph lies, decided before anything runs. The plan is the allocation: each class of
 * memory is one block, reserved once with exactly the planned size; nothing else is allocated while tokens flow.
 *
 * 1. Two values that live at the same time never overlap, except an output that takes its dying first input's place
 * (INPLACE) and views. 2. A value lives from its node to its last reader, from before nodes that repeat to their end
 * where one of them reads it; kept ones to the end; inputs and states always. 3. Offsets are multiples of
 * PLAN_ALIGN. 4. What no effect, kept value or output needs is not computed. */
#ifndef CORE_PLAN_H
#define CORE_PLAN_H

#include "core/backend.h"
#include "core/graph.h"

enum { PLAN_ALIGN = 64 };

typedef enum PlanClass {
    CLASS_WEIGHTS,
    CLASS_STATE,
    CLASS_OPTIMIZER,
    CLASS_INPUTS,
    CLASS_ACTIVATIONS,
    CLASS_SCORES,
    CLASS_GRADIENTS,
    CLASS_SCRATCH,
    CLASS_COUNT
} PlanClass;
extern const char *const plan_class_name[CLASS_COUNT];

typedef struct PlanSlot {
    bool used; /* computed or bound at all */
    PlanClass class;
    int64_t offset; /* in its class; CLASS_WEIGHTS: bound by the caller, no offset */
    int64_t bytes;
    int root;        /* the node whose memory this is: itself, or what it is a view of or in place of */
    int64_t view_at; /* bytes from the root's offset */
    int last;        /* last node that reads it; graph.n for kept ones */
} PlanSlot;

typedef struct Plan {
    const Graph *g;
    PlanSlot *slots; /* [g->n] */
    int n_run;       /* ops that run */
    int64_t bytes[CLASS_COUNT];
    size_t scratch_bytes; /* of one area: the backend says how many it wants */
    size_t stage_bytes;   /* likewise, for outputs of light steps; 0: there are none */
    Kernel *kernels;      /* [g->n] */
} Plan;

/* Fills *p for g on a backend (which decides kernels and scratch); fails where an op has no kernel. g must stay. */
bool plan_make(Plan *p, const Graph *g, Backend *b, Err *e);
void plan_release(Plan *p);
/* Checks invariant 1 pair by pair; for tests. */
bool plan_verify(const Plan *p, Err *e);
/* Strides of a node's value at the bounds, data NULL. */
Tensor plan_tensor(const Plan *p, int id);

#endif
