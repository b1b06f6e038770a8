#include "core/grad.h"

#include <stdlib.h>

int grad_of(const Grad *gr, int id) { return gr->of[id]; }

bool grad_wants(const Grad *gr, int id, int i) { return gr->wanted[gr->g->nodes[id].in[i]]; }

int grad_op(Grad *gr, Op op, const OpParams *params, int n_in, const int *in) {
    int id = graph_op(gr->g, op, params, n_in, in);
    if (!gr->g->failed) gr->g->nodes[id].is_grad = true;
    return id;
}

void grad_give(Grad *gr, int input, int contribution) {
    if (gr->g->failed || !gr->wanted[input]) return;
    int sum = gr->of[input];
    gr->of[input] = sum < 0 ? contribution : grad_op(gr, OP_add, NULL, GRAPH_IN(sum, contribution));
}

void grad_refuse(Grad *gr, int id) {
    if (!gr->failed)
        err_set(gr->e, ERR_INPUT, "gradient: op '%s' has none; only inference uses it",
                op_info[gr->g->nodes[id].op].name);
    gr->failed = true;
}

/* A node is wanted when a trainable leaf lies below it. */
static void mark_wanted(Grad *gr) {
    for (int i = 0; i < gr->n_of; i++) {
        const Node *n = &gr->g->nodes[i];
        gr->wanted[i] = n->trainable;
        for (int k = 0; k < n->n_in; k++) gr->wanted[i] = gr->wanted[i] || gr->wanted[n->in[k]];
    }
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
    Grad gr = {.g = g, .n_of = g->n, .e = e};
    gr.of = mem_alloc((size_t)g->n, sizeof *gr.of);
    gr.wanted = mem_alloc((size_t)g->n, sizeof *gr.wanted);
    for (int i = 0; i < gr.n_of; i++) gr.of[i] = -1;
    mark_wanted(&gr);
    gr.of[loss] = seed;
    for (int i = loss; i >= 0 && !gr.failed && !g->failed; i--)
        if (gr.of[i] >= 0 && gr.wanted[i] && g->nodes[i].kind == NODE_OP) op_info[g->nodes[i].op].grad(&gr, i);
    bool ok = !gr.failed;
    if (ok && g->failed) {
        if (e) *e = g->err;
        ok = false;
    }
    ok = ok && fill_grads(&gr, leaves, n_leaves, grads, e);
    free(gr.of);
    free(gr.wanted);
    return ok;
}
