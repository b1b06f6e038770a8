/* A graph is a list of nodes in an order in which they can run. Leaves are inputs of the step, weights, and state; all
 * others are ops.
 *
 * 1. A node's inputs stand before it. 2. Every node has one output. 3. Shapes are known when a node is added; a dim
 * that changes from step to step carries a symbol and its largest value. 4. Names are unique; a named value keeps its
 * name through every rewrite.
 * 5. Nodes are never removed, only left unread; the planner drops what nobody reads. */
#ifndef CORE_GRAPH_H
#define CORE_GRAPH_H

#include "core/op.h"

typedef enum Sym { SYM_NONE, SYM_T, SYM_O, SYM_COUNT } Sym; /* T tokens of a step, O rows of output */

typedef enum NodeKind {
    NODE_OP,
    NODE_INPUT,  /* filled by the caller before a step */
    NODE_WEIGHT, /* bound to the model's tensor of the same name */
    NODE_STATE,  /* lives from step to step: moments of the optimiser, trainable copies */
} NodeKind;

typedef enum NodeRole { ROLE_VALUE, ROLE_GRADIENT, ROLE_OPTIMIZER } NodeRole;

struct Node {
    NodeKind kind;
    Op op;
    OpParams params;
    int in[MAX_IN], n_in; /* node ids */
    Dtype dtype;
    int ndim;
    int64_t ne[MAX_DIMS]; /* at the bounds */
    uint8_t sym[MAX_DIMS];
    const char *name; /* NULL: anonymous */
    bool keep;        /* its memory is its own until the end of the step: outputs, taps */
    bool trainable;   /* leaf whose gradient is wanted */
    NodeRole role;    /* what the plan counts it as */
    int64_t
        interleaved; /* head dim, where the rows of each head stand in GGUF order: taps and patches turn them; else 0 */
};

/* The input whose memory the output may take, -1: none. */
static inline int node_in_place(const Node *n) {
    if (n->kind != NODE_OP) return -1;
    const OpInfo *op = &op_info[n->op];
    return op->flags & OPF_INPLACE ? 0 : op->flags & OPF_SUMS && n->n_in > op->min_in ? n->n_in - 1 : -1;
}

typedef struct NameRef {
    const char *name;
    int id;
} NameRef;

typedef struct NameList {
    NameRef *items;
    int n, cap;
} NameList;

typedef struct NodeRange {
    int from, to; /* [from, to) */
} NodeRange;

struct Graph {
    Node *nodes;
    int n, cap;
    NameList aliases;         /* further names of values: "model.layers.0.mlp.input" is its norm's output */
    NameList taps;            /* values that were asked for, under the names by which they were */
    int64_t bound[SYM_COUNT]; /* largest value of each symbol */
    bool full;                /* every step has these */
    NodeRange repeat;         /* nodes that may run more than once in a step before those behind them: a pass keeps them
                                 together, and the plan what they read of before. Empty: none */
    Arena arena;              /* names */
    Err err;                  /* the first error; later adds do nothing and return 0 */
    bool failed;
};

void graph_init(Graph *g, int64_t max_tokens, int64_t max_outputs);
void graph_release(Graph *g);

typedef struct Dim {
    int64_t n;
    Sym sym;
} Dim; /* sym given: n is ignored */
#define DIM(n) ((Dim){(n), SYM_NONE})
#define DIM_T  ((Dim){0, SYM_T})
#define DIM_O  ((Dim){0, SYM_O})

/* A leaf. name is copied. */
int graph_leaf(Graph *g, NodeKind kind, Dtype t, int ndim, const Dim *dims, const char *name);
/* An op node. Checks arity and shapes; on an error notes it in g->err and returns 0, so that builders need no checks in
 * between. */
int graph_op(Graph *g, Op op, const OpParams *params, int n_in, const int *in);
#define GRAPH_IN(...)                                                                                                  \
    (int)COUNT_OF(((const int[]){__VA_ARGS__})), (const int[]) { __VA_ARGS__ }

/* Names a value ("model.layers.0.mlp"). Names are formatted into the graph's arena. */
int graph_name(Graph *g, int id, const char *fmt, ...) PRINTF(3, 4);
/* A further name of a value. */
void graph_alias(Graph *g, int id, const char *fmt, ...) PRINTF(3, 4);
int graph_find(const Graph *g, const char *name); /* by name, alias, or name + ".output"; -1 */
void name_list_add(NameList *l, const char *name, int id);
/* Checks invariants 1-4 and that each node's shape is what its rule says; the message names the node. */
bool graph_verify(const Graph *g, Err *e);
/* Text of a shape: "[T,576]". */
const char *graph_shape_text(const Graph *g, int id, char out[64]);

#endif
