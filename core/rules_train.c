/* Shape and gradient rules of the loss and the optimiser. */
#include "core/rules.h"

static bool one_number(Node *n) {
    n->dtype = DT_f32;
    n->ndim = 1;
    n->ne[0] = 1;
    return true;
}

bool shape_cross_entropy(const Graph *g, Node *n, Err *e) {
    TRY(rule_ndim(g, n, 0, 2, e) && rule_dtype(g, n, 0, DT_f32, e) && rule_dtype(g, n, 1, DT_i32, e) &&
        rule_ndim(g, n, 1, 1, e) && rule_inner(g, n, 1, node_in(g, n, 0)->ne[0], e));
    rule_like(g, n, 0);
    n->ndim = 1;
    n->ne[1] = 0;
    return true;
}

void grad_cross_entropy(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    if (grad_wants(gr, id, 0))
        grad_give(gr, n.in[0], grad_op(gr, OP_cross_entropy_dx, NULL, GRAPH_IN(grad_of(gr, id), n.in[0], n.in[1])));
}

bool shape_cross_entropy_dx(const Graph *g, Node *n, Err *e) {
    TRY(rule_dtype(g, n, 0, DT_f32, e) && rule_dtype(g, n, 2, DT_i32, e) && rule_same(g, n, 0, 2, e));
    return rule_like(g, n, 1);
}

void grad_cross_entropy_dx(Grad *gr, int id) { grad_refuse(gr, id); }

/* Input i is f32 or bf16. */
static bool single_or_half(const Graph *g, const Node *n, int i, Err *e) {
    return node_in(g, n, i)->dtype == DT_bf16 || rule_dtype(g, n, i, DT_f32, e);
}

bool shape_sum_squares(const Graph *g, Node *n, Err *e) {
    const Node *x = node_in(g, n, 0);
    TRY(single_or_half(g, n, 0, e) && one_number(n));
    for (int d = 0; d < last_dim(x); d++) n->ne[0] *= x->ne[d];
    return true;
}
void grad_sum_squares(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_sum(const Graph *g, Node *n, Err *e) {
    return rule_dtype(g, n, 0, DT_f32, e) && rule_ndim(g, n, 0, 1, e) && one_number(n);
}
void grad_sum(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_clip_scale(const Graph *g, Node *n, Err *e) {
    for (int i = 0; i < 2; i++) TRY(rule_dtype(g, n, i, DT_f32, e) && rule_inner(g, n, i, 1, e));
    return one_number(n);
}
void grad_clip_scale(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_clear(const Graph *g, Node *n, Err *e) { return rule_dtype(g, n, 0, DT_f32, e) && rule_like(g, n, 0); }
void grad_clear(Grad *gr, int id) { grad_refuse(gr, id); }

/* Input i is f32 [count]. */
static bool numbers(const Graph *g, const Node *n, int i, int64_t count, Err *e) {
    return rule_dtype(g, n, i, DT_f32, e) && rule_ndim(g, n, i, 1, e) && rule_inner(g, n, i, count, e);
}

/* Inputs 0 and i are f32 of one shape. */
static bool beside(const Graph *g, const Node *n, int i, Err *e) {
    return rule_dtype(g, n, 0, DT_f32, e) && rule_dtype(g, n, i, DT_f32, e) && rule_same(g, n, 0, i, e);
}

bool shape_adamw(const Graph *g, Node *n, Err *e) {
    for (int i = 1; i < 4; i++) TRY(beside(g, n, i, e));
    return numbers(g, n, 4, 8, e) && numbers(g, n, 5, 1, e) && rule_like(g, n, 0);
}

void grad_adamw(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_sgd(const Graph *g, Node *n, Err *e) {
    TRY(beside(g, n, 1, e) && numbers(g, n, 2, 8, e) && numbers(g, n, 3, 1, e));
    return (n->n_in < 5 || beside(g, n, 4, e)) && rule_like(g, n, 0);
}

void grad_sgd(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_muon_momentum(const Graph *g, Node *n, Err *e) {
    return beside(g, n, 1, e) && numbers(g, n, 2, 8, e) && numbers(g, n, 3, 1, e) && rule_like(g, n, 0);
}

void grad_muon_momentum(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_muon_unit(const Graph *g, Node *n, Err *e) {
    TRY(rule_dtype(g, n, 0, DT_bf16, e) && numbers(g, n, 1, 1, e) && rule_like(g, n, 0));
    n->dtype = DT_f32;
    return true;
}

void grad_muon_unit(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_mix(const Graph *g, Node *n, Err *e) {
    TRY(rule_dtype(g, n, 0, DT_f32, e) && single_or_half(g, n, 1, e) && rule_same(g, n, 0, 1, e));
    return rule_like(g, n, 0);
}

void grad_mix(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_muon(const Graph *g, Node *n, Err *e) {
    TRY(rule_dtype(g, n, 0, DT_f32, e) && rule_dtype(g, n, 1, DT_bf16, e) && rule_same(g, n, 0, 1, e));
    return numbers(g, n, 2, 8, e) && rule_like(g, n, 0);
}

void grad_muon(Grad *gr, int id) { grad_refuse(gr, id); }
