/* Shape and gradient rules of products. */
#include "core/rules.h"

bool shape_cast(const Graph *g, Node *n, Err *e) { return rule_cast(g, n, 0, n->params.cast.to, e); }
void grad_cast(Grad *gr, int id) { grad_refuse(gr, id); } /* gradients come from the graph before casts are put in */

bool shape_matmul(const Graph *g, Node *n, Err *e) {
    const Node *x = node_in(g, n, 0), *w = node_in(g, n, 1);
    TRY(rule_ndim(g, n, 1, 2, e) && rule_inner(g, n, 1, x->ne[last_dim(x)], e));
    rule_like(g, n, 0);
    n->dtype = DT_f32;
    n->ne[last_dim(n)] = w->ne[0];
    return true;
}

void grad_matmul(Grad *gr, int id) {
    const Node *n = &gr->g->nodes[id];
    int x = n->in[0], w = n->in[1], dy = grad_of(gr, id);
    bool wants_x = grad_wants(gr, id, 0), wants_w = grad_wants(gr, id, 1);
    if (wants_x) grad_give(gr, x, grad_op(gr, OP_matmul_dx, NULL, GRAPH_IN(dy, w)));
    if (wants_w) grad_give(gr, w, grad_op(gr, OP_matmul_dw, NULL, GRAPH_IN(dy, x)));
}

bool shape_matmul_dx(const Graph *g, Node *n, Err *e) {
    const Node *w = node_in(g, n, 1);
    TRY(rule_ndim(g, n, 1, 2, e) && rule_inner(g, n, 0, w->ne[0], e));
    rule_like(g, n, 0);
    n->dtype = DT_f32;
    n->ne[last_dim(n)] = w->ne[1];
    return true;
}

void grad_matmul_dx(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_matmul_dw(const Graph *g, Node *n, Err *e) {
    const Node *dy = node_in(g, n, 0), *x = node_in(g, n, 1);
    TRY(rule_dtype(g, n, 0, x->dtype, e));
    if (dy->ndim != x->ndim) return err_set(e, ERR_FAIL, "matmul_dw: inputs differ in dims");
    n->dtype = DT_f32;
    n->ndim = 2;
    n->ne[0] = dy->ne[last_dim(dy)];
    n->ne[1] = x->ne[last_dim(x)];
    return rule_sum(g, n, 2, e);
}

void grad_matmul_dw(Grad *gr, int id) { grad_refuse(gr, id); }
