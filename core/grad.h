/* Reverse-mode differentiation as a rewrite of the graph: walking the nodes backwards, each op's rule adds the nodes
 * that compute what its output's gradient contributes to its inputs. Nothing is hand-written per model.
 *
 * What a rule reads of the forward pass it simply names as input of the nodes it adds; liveness then keeps it as long
 * as needed. */
#ifndef CORE_GRAD_H
#define CORE_GRAD_H

#include "core/graph.h"

struct Grad {
    Graph *g;
    int *of;      /* [n] gradient of a forward node so far, -1 for none */
    bool *wanted; /* [n] a trainable leaf lies below */
    int n, cap;   /* nodes that were there when last asked */
    Err *e;
    bool failed;
};

/* The walk may go in parts, so that the gradient of one part of the graph is taken before the next part is built and
 * the memory of what lies between is free again: seed a value, walk from it down to where the part begins, build on. */
void grad_open(Grad *gr, Graph *g, Err *e);
void grad_close(Grad *gr);
/* The gradient of node id is `gradient` (of the same shape). Of a leaf: where its gradients are added up; that is
 * state, and stays so over many walks. */
void grad_seed(Grad *gr, int id, int gradient);
/* Takes the nodes from `from` down to `to` backwards. */
bool grad_walk(Grad *gr, int from, int to);

/* All at once: extends g with the gradients of the scalar `loss` [1] with respect to every trainable leaf; `seed` is a
 * leaf [1] holding dloss. grads[i] receives the node of leaf i's gradient (same shape, f32), -1 where the loss does not
 * depend on it. */
bool grad_build(Graph *g, int loss, int seed, const int *leaves, int n_leaves, int *grads, Err *e);

/* For rules: the gradient of node id's output (there is one whenever the rule is called); whether input i of it is
 * wanted; adding a contribution to an input's gradient (a second one is summed, by its own op where that can). */
int grad_of(const Grad *gr, int id);
bool grad_wants(const Grad *gr, int id, int i);
void grad_give(Grad *gr, int input, int contribution);
/* An op node of the backward pass. */
int grad_op(Grad *gr, Op op, const OpParams *params, int n_in, const int *in);
void grad_refuse(Grad *gr, int id); /* the op has no gradient: an error naming it */

#endif
