/* Shape and gradient rules of norms. */
#include "core/rules.h"

bool shape_rms_norm(const Graph *g, Node *n, Err *e) {
    const Node *x = node_in(g, n, 0);
    TRY(rule_ndim(g, n, 1, 1, e) && rule_inner(g, n, 1, x->ne[last_dim(x)], e));
    return rule_cast(g, n, 0, n->params.norm.to, e);
}

void grad_rms_norm(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    if (n.dtype != DT_f32) {
        grad_refuse(gr, id);
        return;
    }
    int dy = grad_of(gr, id);
    if (grad_wants(gr, id, 0))
        grad_give(gr, n.in[0], grad_op(gr, OP_rms_norm_dx, &n.params, GRAPH_IN(dy, n.in[0], n.in[1])));
    if (grad_wants(gr, id, 1)) grad_give(gr, n.in[1], grad_op(gr, OP_rms_norm_dw, &n.params, GRAPH_IN(dy, n.in[0])));
}

bool shape_rms_norm_dx(const Graph *g, Node *n, Err *e) {
    TRY(rule_same(g, n, 0, 1, e));
    return rule_like(g, n, 1);
}

void grad_rms_norm_dx(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_rms_norm_dw(const Graph *g, Node *n, Err *e) {
    const Node *x = node_in(g, n, 1);
    TRY(rule_same(g, n, 0, 1, e));
    n->dtype = DT_f32;
    n->ndim = 1;
    n->ne[0] = x->ne[last_dim(x)];
    return rule_sum(g, n, 2, e);
}

void grad_rms_norm_dw(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_layer_norm(const Graph *g, Node *n, Err *e) {
    const Node *x = node_in(g, n, 0);
    for (int i = 1; i < 3; i++) TRY(rule_ndim(g, n, i, 1, e) && rule_inner(g, n, i, x->ne[last_dim(x)], e));
    return rule_cast(g, n, 0, n->params.norm.to, e);
}

void grad_layer_norm(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    if (n.dtype != DT_f32) {
        grad_refuse(gr, id);
        return;
    }
    int dy = grad_of(gr, id);
    if (grad_wants(gr, id, 0))
        grad_give(gr, n.in[0], grad_op(gr, OP_layer_norm_dx, &n.params, GRAPH_IN(dy, n.in[0], n.in[1])));
    if (grad_wants(gr, id, 1)) grad_give(gr, n.in[1], grad_op(gr, OP_layer_norm_dw, &n.params, GRAPH_IN(dy, n.in[0])));
    if (grad_wants(gr, id, 2)) grad_give(gr, n.in[2], grad_op(gr, OP_bias_db, NULL, GRAPH_IN(dy)));
}

bool shape_layer_norm_dx(const Graph *g, Node *n, Err *e) { return shape_rms_norm_dx(g, n, e); }
void grad_layer_norm_dx(Grad *gr, int id) { grad_refuse(gr, id); }
bool shape_layer_norm_dw(const Graph *g, Node *n, Err *e) { return shape_rms_norm_dw(g, n, e); }
void grad_layer_norm_dw(Grad *gr, int id) { grad_refuse(gr, id); }
