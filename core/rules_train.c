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

bool shape_sum_squares(const Graph *g, Node *n, Err *e) {
    const Node *x = node_in(g, n, 0);
    TRY(rule_dtype(g, n, 0, DT_f32, e) && one_number(n));
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

bool shape_adamw(const Graph *g, Node *n, Err *e) {
    for (int i = 1; i < 4; i++) TRY(rule_same(g, n, 0, i, e) && rule_dtype(g, n, i, DT_f32, e));
    TRY(rule_dtype(g, n, 0, DT_f32, e) && rule_dtype(g, n, 4, DT_f32, e) && rule_inner(g, n, 4, 8, e));
    TRY(rule_dtype(g, n, 5, DT_f32, e) && rule_inner(g, n, 5, 1, e));
    return rule_like(g, n, 0);
}

void grad_adamw(Grad *gr, int id) { grad_refuse(gr, id); }
