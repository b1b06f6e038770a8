/* What shape and gradient rules (core/rules_*.c) are written with. */
#ifndef CORE_RULES_H
#define CORE_RULES_H

#include "core/grad.h"
#include "core/graph.h"

#define OP(name, params, min_in, max_in, flags)                                                                        \
    bool shape_##name(const Graph *g, Node *n, Err *e);                                                                \
    void grad_##name(Grad *gr, int id);
#include "core/ops.def"
#undef OP

static inline const Node *node_in(const Graph *g, const Node *n, int i) { return &g->nodes[n->in[i]]; }
static inline int last_dim(const Node *n) { return n->ndim - 1; }

/* The output is shaped and typed like input i. */
bool rule_like(const Graph *g, Node *n, int i);
/* Input i has this dtype; inputs i and j have the same shape; the innermost dim of input i is want. */
bool rule_dtype(const Graph *g, const Node *n, int i, Dtype want, Err *e);
bool rule_same(const Graph *g, const Node *n, int i, int j, Err *e);
bool rule_inner(const Graph *g, const Node *n, int i, int64_t want, Err *e);
/* Input i, where there is one, is shaped as the output. */
bool rule_sum(const Graph *g, const Node *n, int i, Err *e);
/* The output is shaped like input i, an f32 one, and of dtype `to`. */
bool rule_cast(const Graph *g, Node *n, int i, Dtype to, Err *e);
bool rule_ndim(const Graph *g, const Node *n, int i, int want, Err *e);

#endif
