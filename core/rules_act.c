/* Shape and gradient rules of elementwise ops. */
#include "core/rules.h"

bool shape_add(const Graph *g, Node *n, Err *e) {
    TRY(rule_same(g, n, 0, 1, e));
    return rule_like(g, n, 0);
}

void grad_add(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    for (int i = 0; i < 2; i++)
        if (grad_wants(gr, id, i)) grad_give(gr, n.in[i], grad_of(gr, id));
}

void grad_mul(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    for (int i = 0; i < 2; i++)
        if (grad_wants(gr, id, i))
            grad_give(gr, n.in[i], grad_op(gr, OP_mul, NULL, GRAPH_IN(grad_of(gr, id), n.in[1 - i])));
}

bool shape_mul(const Graph *g, Node *n, Err *e) {
    TRY(rule_same(g, n, 0, 1, e));
    return rule_like(g, n, 0);
}

bool shape_bias(const Graph *g, Node *n, Err *e) {
    const Node *x = node_in(g, n, 0);
    TRY(rule_dtype(g, n, 0, DT_f32, e) && rule_ndim(g, n, 1, 1, e) && rule_inner(g, n, 1, x->ne[last_dim(x)], e));
    return rule_like(g, n, 0);
}

void grad_bias(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    if (grad_wants(gr, id, 0)) grad_give(gr, n.in[0], grad_of(gr, id));
    if (grad_wants(gr, id, 1)) grad_give(gr, n.in[1], grad_op(gr, OP_bias_db, NULL, GRAPH_IN(grad_of(gr, id))));
}

bool shape_bias_db(const Graph *g, Node *n, Err *e) {
    const Node *x = node_in(g, n, 0);
    TRY(rule_dtype(g, n, 0, DT_f32, e));
    n->dtype = DT_f32;
    n->ndim = 1;
    n->ne[0] = x->ne[last_dim(x)];
    return rule_sum(g, n, 1, e);
}

void grad_bias_db(Grad *gr, int id) { grad_refuse(gr, id); }

/* What is computed of each element by itself: of one input of f32; a slope, of dy and x. */
static bool shape_each(const Graph *g, Node *n, Err *e) { return rule_dtype(g, n, 0, DT_f32, e) && rule_like(g, n, 0); }
static bool shape_slope(const Graph *g, Node *n, Err *e) { return rule_same(g, n, 0, 1, e) && rule_like(g, n, 0); }

/* The gradient of f(x) is the op `slope` of dy and x, with the parameters of f. */
static void grad_each(Grad *gr, int id, Op slope) {
    const Node n = gr->g->nodes[id];
    if (grad_wants(gr, id, 0))
        grad_give(gr, n.in[0], grad_op(gr, slope, &n.params, GRAPH_IN(grad_of(gr, id), n.in[0])));
}

bool shape_silu(const Graph *g, Node *n, Err *e) {
    (void)e;
    return rule_like(g, n, 0);
}
void grad_silu(Grad *gr, int id) { grad_each(gr, id, OP_silu_dx); }
bool shape_silu_dx(const Graph *g, Node *n, Err *e) { return shape_slope(g, n, e); }
void grad_silu_dx(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_gelu(const Graph *g, Node *n, Err *e) { return shape_each(g, n, e); }
void grad_gelu(Grad *gr, int id) { grad_each(gr, id, OP_gelu_dx); }
bool shape_gelu_dx(const Graph *g, Node *n, Err *e) { return shape_slope(g, n, e); }
void grad_gelu_dx(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_softcap(const Graph *g, Node *n, Err *e) { return shape_each(g, n, e); }
void grad_softcap(Grad *gr, int id) { grad_each(gr, id, OP_softcap_dx); }
bool shape_softcap_dx(const Graph *g, Node *n, Err *e) { return shape_slope(g, n, e); }
void grad_softcap_dx(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_gated(const Graph *g, Node *n, Err *e) {
    if (n->n_in > 1) TRY(rule_same(g, n, 0, 1, e));
    return rule_cast(g, n, 0, n->params.gated.to, e);
}
void grad_gated(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_scale(const Graph *g, Node *n, Err *e) { return shape_each(g, n, e); }

void grad_scale(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    if (grad_wants(gr, id, 0)) grad_give(gr, n.in[0], grad_op(gr, OP_scale, &n.params, GRAPH_IN(grad_of(gr, id))));
}

bool shape_dropout(const Graph *g, Node *n, Err *e) {
    const float p = n->params.dropout.p;
    if (!(p >= 0 && p < 1)) return err_set(e, ERR_USAGE, "dropout %g is not in [0, 1)", (double)p);
    TRY(rule_dtype(g, n, 0, DT_f32, e) && rule_dtype(g, n, 1, DT_i32, e) && rule_ndim(g, n, 1, 1, e) &&
        rule_inner(g, n, 1, 2, e));
    return rule_like(g, n, 0);
}

void grad_dropout(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    if (grad_wants(gr, id, 0))
        grad_give(gr, n.in[0], grad_op(gr, OP_dropout, &n.params, GRAPH_IN(grad_of(gr, id), n.in[1])));
}

bool shape_patch(const Graph *g, Node *n, Err *e) {
    const Node *x = node_in(g, n, 0);
    TRY(rule_dtype(g, n, 0, DT_f32, e));
    if (x->sym[0] != SYM_T) return err_set(e, ERR_INPUT, "patch: only values with a row per token can be changed");
    int64_t row = 1;
    for (int d = 1; d < x->ndim; d++) row *= x->ne[d];
    if (n->n_in == 2) TRY(rule_ndim(g, n, 1, 1, e) && rule_inner(g, n, 1, row, e));
    return rule_like(g, n, 0);
}

/* The vector is a constant of the experiment; the value's gradient is scaled where the value was. */
void grad_patch(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    OpParams back = {.patch = {.mul = n.params.patch.mul, .from = n.params.patch.from, .to = n.params.patch.to}};
    if (grad_wants(gr, id, 0)) grad_give(gr, n.in[0], grad_op(gr, OP_patch, &back, GRAPH_IN(grad_of(gr, id))));
}
