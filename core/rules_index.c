/* Shape and gradient rules of ops that pick rows or reshape. */
#include "core/rules.h"

bool shape_embed(const Graph *g, Node *n, Err *e) {
    const Node *table = node_in(g, n, 0), *ids = node_in(g, n, 1);
    TRY(rule_ndim(g, n, 0, 2, e) && rule_ndim(g, n, 1, 1, e) && rule_dtype(g, n, 1, DT_i32, e));
    n->dtype = DT_f32;
    n->ndim = 2;
    n->ne[0] = ids->ne[0], n->sym[0] = ids->sym[0];
    n->ne[1] = table->ne[1];
    return true;
}

void grad_embed(Grad *gr, int id) {
    const Node *n = &gr->g->nodes[id];
    OpParams p = {.embed = {.vocab = gr->g->nodes[n->in[0]].ne[0]}};
    int table = n->in[0], ids = n->in[1];
    if (grad_wants(gr, id, 0)) grad_give(gr, table, grad_op(gr, OP_embed_dw, &p, GRAPH_IN(grad_of(gr, id), ids)));
}

bool shape_embed_dw(const Graph *g, Node *n, Err *e) {
    TRY(rule_ndim(g, n, 0, 2, e) && rule_dtype(g, n, 1, DT_i32, e));
    n->dtype = DT_f32;
    n->ndim = 2;
    n->ne[0] = n->params.embed.vocab;
    n->ne[1] = node_in(g, n, 0)->ne[1];
    return rule_sum(g, n, 2, e);
}

void grad_embed_dw(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_rows(const Graph *g, Node *n, Err *e) {
    const Node *index = node_in(g, n, 1);
    TRY(rule_ndim(g, n, 0, 2, e) && rule_ndim(g, n, 1, 1, e) && rule_dtype(g, n, 1, DT_i32, e));
    rule_like(g, n, 0);
    n->ne[0] = index->ne[0], n->sym[0] = index->sym[0];
    return true;
}

void grad_rows(Grad *gr, int id) {
    const Node *n = &gr->g->nodes[id];
    int x = n->in[0], index = n->in[1];
    if (grad_wants(gr, id, 0)) grad_give(gr, x, grad_op(gr, OP_rows_dx, NULL, GRAPH_IN(grad_of(gr, id), index, x)));
}

bool shape_rows_dx(const Graph *g, Node *n, Err *e) {
    TRY(rule_inner(g, n, 0, node_in(g, n, 2)->ne[1], e));
    rule_like(g, n, 2);
    return rule_sum(g, n, 3, e);
}

void grad_rows_dx(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_view(const Graph *g, Node *n, Err *e) {
    const Node *x = node_in(g, n, 0);
    const ViewParams *p = &n->params.view;
    int64_t have = 1, want = 1;
    rule_like(g, n, 0);
    if (p->slice) {
        if (x->ndim < 2 || p->begin < 0 || p->begin + p->ne[1] > x->ne[1])
            return err_set(e, ERR_FAIL, "view: columns outside of its input");
        n->ne[1] = p->ne[1];
        return true;
    }
    n->ndim = p->ndim;
    for (int d = 0; d < MAX_DIMS; d++) {
        bool copied = d < p->ndim && p->ne[d] == 0 && d < x->ndim;
        n->ne[d] = copied ? x->ne[d] : d < p->ndim ? p->ne[d] : 0;
        n->sym[d] = copied ? x->sym[d] : SYM_NONE;
    }
    for (int d = 0; d < x->ndim; d++) have *= x->ne[d];
    for (int d = 0; d < n->ndim; d++) want *= n->ne[d];
    return have == want
               ? true
               : err_set(e, ERR_INPUT, "view: %lld elements cannot be seen as %lld", (long long)have, (long long)want);
}

void grad_view(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    if (!grad_wants(gr, id, 0)) return;
    if (n.params.view.slice) {
        grad_give(gr, n.in[0], grad_op(gr, OP_view_dx, &n.params, GRAPH_IN(grad_of(gr, id), n.in[0])));
        return;
    }
    const Node x = gr->g->nodes[n.in[0]];
    OpParams back = {.view = {.ndim = x.ndim}};
    for (int d = 0; d < x.ndim; d++) back.view.ne[d] = x.sym[d] ? 0 : x.ne[d];
    grad_give(gr, n.in[0], grad_op(gr, OP_view, &back, GRAPH_IN(grad_of(gr, id))));
}

bool shape_view_dx(const Graph *g, Node *n, Err *e) {
    if (!n->params.view.slice) return err_set(e, ERR_FAIL, "view_dx: only for slices");
    return rule_like(g, n, 1);
}

void grad_view_dx(Grad *gr, int id) { grad_refuse(gr, id); }
