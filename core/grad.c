#include "core/grad.h"

#include <stdlib.h>

int grad_of(const Grad *gr, int id) { return gr->of[id]; }

bool grad_wants(const Grad *gr, int id, int i) { return gr->wanted[gr->g->nodes[id].in[i]]; }

int grad_op(Grad *gr, Op op, const OpParams *params, int n_in, const int *in) {
    int id = graph_op(gr->g, op, params, n_in, in);
    if (!gr->g->failed) gr->g->nodes[id].role = ROLE_GRADIENT;
    return id;
}

/* The contribution goes on from the sum so far. */
static bool add_on(Graph *g, int contribution, int sum) {
    Node *n = &g->nodes[contribution];
    const OpInfo *op = n->kind == NODE_OP ? &op_info[n->op] : NULL;
    if (!op || !(op->flags & OPF_SUMS) || n->n_in > op->min_in || sum > contribution) return false;
    n->in[n->n_in++] = sum;
    return true;
}

void grad_give(Grad *gr, int input, int contribution) {
    if (gr->g->failed || !gr->wanted[input]) return;
    int sum = gr->of[input];
    gr->of[input] = sum < 0                            ? contribution
                    : add_on(gr->g, contribution, sum) ? contribution
                                                       : grad_op(gr, OP_add, NULL, GRAPH_IN(sum, contribution));
}

void grad_refuse(Grad *gr, int id) {
    if (!gr->failed)
        err_set(gr->e, ERR_INPUT, "gradient: op '%s' has none; only inference uses it",
                op_info[gr->g->nodes[id].op].name);
    gr->failed = true;
}

/* Makes room for the nodes that came since. A node is wanted when a trainable leaf lies below it. */
static void take_in(Grad *gr) {
    const Graph *g = gr->g;
    if (g->n > gr->cap) {
        gr->cap = MAX(g->n, 2 * gr->cap);
        gr->of = mem_grow(gr->of, (size_t)gr->cap, sizeof *gr->of);
        gr->wanted = mem_grow(gr->wanted, (size_t)gr->cap, sizeof *gr->wanted);
    }
    for (int i = gr->n; i < g->n; i++) {
        const Node *n = &g->nodes[i];
        gr->of[i] = -1;
        gr->wanted[i] = n->trainable;
        for (int k = 0; k < n->n_in; k++) gr->wanted[i] = gr->wanted[i] || gr->wanted[n->in[k]];
    }
    gr->n = g->n;
}

void grad_open(Grad *gr, Graph *g, Err *e) {
    *gr = (Grad){.g = g, .e = e};
    take_in(gr);
}

void grad_close(Grad *gr) {
    free(gr->of);
    free(gr->wanted);
    *gr = (Grad){0};
}

void grad_seed(Grad *gr, int id, int gradient) {
    take_in(gr);
    gr->of[id] = gradient;
}

bool grad_walk(Grad *gr, int from, int to) {
    Graph *g = gr->g;
    take_in(gr);
    for (int i = from; i >= to && !gr->failed && !g->failed; i--)
        if (gr->of[i] >= 0 && gr->wanted[i] && g->nodes[i].kind == NODE_OP) op_info[g->nodes[i].op].grad(gr, i);
    if (!gr->failed && g->failed && gr->e) *gr->e = g->err;
    gr->failed = gr->failed || g->failed;
    return !gr->failed;
}

static bool fill_grads(const Grad *gr, const int *leaves, int n_leaves, int *grads, Err *e) {
    const Graph *g = gr->g;
    for (int i = 0; i < n_leaves; i++) {
        grads[i] = gr->of[leaves[i]];
        const Node *leaf = &g->nodes[leaves[i]], *d = grads[i] < 0 ? leaf : &g->nodes[grads[i]];
        if (memcmp(leaf->ne, d->ne, sizeof d->ne))
            return err_set(e, ERR_FAIL, "gradient of '%s' has another shape than the weight", leaf->name);
    }
    return true;
}

bool grad_build(Graph *g, int loss, int seed, const int *leaves, int n_leaves, int *grads, Err *e) {
    Grad gr;
    grad_open(&gr, g, e);
    grad_seed(&gr, loss, seed);
    bool ok = grad_walk(&gr, loss, 0) && fill_grads(&gr, leaves, n_leaves, grads, e);
    grad_close(&gr);
    return ok;
}
