/* Shape and gradient rules of what each token does with a few of many experts. */
#include "core/rules.h"

static bool check_k(const Node *n, int64_t experts, Err *e) {
    int64_t k = n->params.route.k;
    return k >= 1 && k <= experts ? true
                                  : err_set(e, ERR_INPUT, "%s: %lld of %lld experts", op_info[n->op].name, (long long)k,
                                            (long long)experts);
}

bool shape_route(const Graph *g, Node *n, Err *e) {
    TRY(rule_ndim(g, n, 0, 2, e) && rule_dtype(g, n, 0, DT_f32, e) && check_k(n, node_in(g, n, 0)->ne[1], e));
    return rule_like(g, n, 0);
}

void grad_route(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    if (grad_wants(gr, id, 0))
        grad_give(gr, n.in[0], grad_op(gr, OP_route_dx, &n.params, GRAPH_IN(grad_of(gr, id), n.in[0])));
}

bool shape_route_dx(const Graph *g, Node *n, Err *e) {
    TRY(rule_ndim(g, n, 0, 2, e) && rule_same(g, n, 0, 1, e) && check_k(n, node_in(g, n, 0)->ne[1], e));
    return rule_like(g, n, 0);
}

void grad_route_dx(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_route_ids(const Graph *g, Node *n, Err *e) {
    TRY(rule_ndim(g, n, 0, 2, e) && rule_dtype(g, n, 0, DT_f32, e) && check_k(n, node_in(g, n, 0)->ne[1], e));
    rule_like(g, n, 0);
    n->dtype = DT_i32;
    n->ne[1] = n->params.route.k;
    return true;
}

void grad_route_ids(Grad *gr, int id) { grad_refuse(gr, id); }

/* Input `ids` is [T,k] for the tokens of input i. */
static bool check_ids(const Graph *g, const Node *n, int ids, int i, Err *e) {
    const Node *k = node_in(g, n, ids), *x = node_in(g, n, i);
    TRY(rule_ndim(g, n, ids, 2, e) && rule_dtype(g, n, ids, DT_i32, e));
    if (k->ne[0] == x->ne[0] && k->sym[0] == x->sym[0] && (x->ndim < 3 || x->ne[1] == k->ne[1])) return true;
    return err_set(e, ERR_INPUT, "%s: experts of %lld tokens, %lld each, for another shape", op_info[n->op].name,
                   (long long)k->ne[0], (long long)k->ne[1]);
}

/* The output is f32 [T,k,width], T and k those of input `ids`. */
static bool by_slots(const Graph *g, Node *n, int ids, int64_t width) {
    rule_like(g, n, ids);
    n->dtype = DT_f32;
    n->ndim = 3;
    n->ne[2] = width;
    return true;
}

bool shape_matmul_experts(const Graph *g, Node *n, Err *e) {
    const Node *x = node_in(g, n, 0), *w = node_in(g, n, 1);
    TRY(rule_ndim(g, n, 1, 3, e) && rule_inner(g, n, 1, x->ne[last_dim(x)], e) && check_ids(g, n, 2, 0, e));
    if (x->ndim != 2) TRY(rule_ndim(g, n, 0, 3, e));
    if (w->ne[0] > MAX_EXPERTS)
        return err_set(e, ERR_INPUT, "matmul_experts: %lld experts, at most %d are supported", (long long)w->ne[0],
                       MAX_EXPERTS);
    return by_slots(g, n, 2, w->ne[1]);
}

void grad_matmul_experts(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    int dy = grad_of(gr, id), x = n.in[0], w = n.in[1], ids = n.in[2];
    OpParams p = {.experts = {gr->g->nodes[w].ne[0]}};
    if (grad_wants(gr, id, 0)) grad_give(gr, x, grad_op(gr, OP_matmul_experts_dx, NULL, GRAPH_IN(dy, w, ids, x)));
    if (grad_wants(gr, id, 1)) grad_give(gr, w, grad_op(gr, OP_matmul_experts_dw, &p, GRAPH_IN(dy, x, ids)));
}

bool shape_matmul_experts_dx(const Graph *g, Node *n, Err *e) {
    const Node *w = node_in(g, n, 1);
    TRY(rule_ndim(g, n, 0, 3, e) && rule_ndim(g, n, 1, 3, e) && rule_inner(g, n, 0, w->ne[1], e));
    TRY(rule_inner(g, n, 3, w->ne[2], e) && check_ids(g, n, 2, 0, e) && check_ids(g, n, 2, 3, e));
    rule_like(g, n, 3);
    n->dtype = DT_f32;
    return true;
}

void grad_matmul_experts_dx(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_matmul_experts_dw(const Graph *g, Node *n, Err *e) {
    const Node *dy = node_in(g, n, 0), *x = node_in(g, n, 1);
    TRY(rule_ndim(g, n, 0, 3, e) && rule_dtype(g, n, 0, node_in(g, n, 1)->dtype, e));
    TRY(check_ids(g, n, 2, 0, e) && check_ids(g, n, 2, 1, e));
    n->dtype = DT_f32;
    n->ndim = 3;
    n->ne[0] = n->params.experts.experts;
    n->ne[1] = dy->ne[2];
    n->ne[2] = x->ne[last_dim(x)];
    return rule_sum(g, n, 3, e);
}

void grad_matmul_experts_dw(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_experts_sum(const Graph *g, Node *n, Err *e) {
    const Node *y = node_in(g, n, 0);
    TRY(rule_ndim(g, n, 0, 3, e) && rule_ndim(g, n, 1, 2, e));
    TRY(check_ids(g, n, 2, 0, e) && check_ids(g, n, 2, 1, e));
    rule_like(g, n, 0);
    n->ndim = 2;
    n->ne[1] = y->ne[2], n->ne[2] = 0;
    return true;
}

void grad_experts_sum(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    int dout = grad_of(gr, id), y = n.in[0], routes = n.in[1], ids = n.in[2];
    if (grad_wants(gr, id, 0)) grad_give(gr, y, grad_op(gr, OP_experts_sum_dy, NULL, GRAPH_IN(dout, routes, ids)));
    if (grad_wants(gr, id, 1))
        grad_give(gr, routes, grad_op(gr, OP_experts_sum_dw, NULL, GRAPH_IN(dout, y, ids, routes)));
}

bool shape_experts_sum_dy(const Graph *g, Node *n, Err *e) {
    TRY(rule_ndim(g, n, 0, 2, e) && rule_ndim(g, n, 1, 2, e));
    TRY(check_ids(g, n, 2, 0, e) && check_ids(g, n, 2, 1, e));
    return by_slots(g, n, 2, node_in(g, n, 0)->ne[1]);
}

void grad_experts_sum_dy(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_experts_sum_dw(const Graph *g, Node *n, Err *e) {
    TRY(rule_ndim(g, n, 0, 2, e) && rule_ndim(g, n, 1, 3, e) && rule_ndim(g, n, 3, 2, e));
    TRY(rule_inner(g, n, 0, node_in(g, n, 1)->ne[2], e) && check_ids(g, n, 2, 1, e) && check_ids(g, n, 2, 3, e));
    return rule_like(g, n, 3);
}

void grad_experts_sum_dw(Grad *gr, int id) { grad_refuse(gr, id); }
