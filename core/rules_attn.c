/* Shape and gradient rules of rotary positions, attention and its cache. */
#include "core/rules.h"

bool shape_rope(const Graph *g, Node *n, Err *e) {
    const Node *x = node_in(g, n, 0), *table = node_in(g, n, 1);
    TRY(rule_ndim(g, n, 0, 3, e) && rule_ndim(g, n, 1, 3, e) && rule_dtype(g, n, 1, DT_f32, e));
    if (table->ne[1] * 2 > x->ne[2])
        return err_set(e, ERR_INPUT, "rope: %lld rotated dims of %lld", (long long)table->ne[1] * 2,
                       (long long)x->ne[2]);
    return rule_like(g, n, 0);
}

void grad_rope(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    OpParams back = n.params;
    back.rope.inverse = !back.rope.inverse; /* a rotation's transpose turns back */
    if (grad_wants(gr, id, 0)) grad_give(gr, n.in[0], grad_op(gr, OP_rope, &back, GRAPH_IN(grad_of(gr, id), n.in[1])));
}

bool shape_rope_order(const Graph *g, Node *n, Err *e) {
    const Node *x = node_in(g, n, 0);
    int64_t width = x->ne[last_dim(x)], head = n->params.rope_order.head_dim;
    if (head < 2 || head % 2 || width % head)
        return err_set(e, ERR_INPUT, "rope_order: width %lld in heads of %lld", (long long)width, (long long)head);
    return rule_like(g, n, 0);
}

void grad_rope_order(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    OpParams back = n.params;
    back.rope_order.to_interleaved = !back.rope_order.to_interleaved;
    if (grad_wants(gr, id, 0)) grad_give(gr, n.in[0], grad_op(gr, OP_rope_order, &back, GRAPH_IN(grad_of(gr, id))));
}

static bool heads_fit(const Node *q, const Node *k, Err *e) {
    if (q->ne[2] == k->ne[2] && k->ne[1] > 0 && q->ne[1] % k->ne[1] == 0) return true;
    return err_set(e, ERR_INPUT, "attention: %lld heads of %lld over %lld kv heads of %lld", (long long)q->ne[1],
                   (long long)q->ne[2], (long long)k->ne[1], (long long)k->ne[2]);
}

bool shape_attention(const Graph *g, Node *n, Err *e) {
    TRY(rule_ndim(g, n, 0, 3, e) && rule_ndim(g, n, 1, 3, e) && rule_same(g, n, 1, 2, e));
    TRY(heads_fit(node_in(g, n, 0), node_in(g, n, 1), e));
    return rule_like(g, n, 0);
}

/* One node computes all three gradients side by side, [T, H + 2K, E]; they are slices of it. */
void grad_attention(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    int64_t heads[3], at = 0;
    for (int i = 0; i < 3; i++) heads[i] = gr->g->nodes[n.in[i]].ne[1];
    int all = grad_op(gr, OP_attention_dqkv, &n.params, GRAPH_IN(grad_of(gr, id), n.in[0], n.in[1], n.in[2]));
    for (int i = 0; i < 3; at += heads[i++]) {
        OpParams part = {.view = {.slice = true, .begin = at, .ne = {0, heads[i]}}};
        if (grad_wants(gr, id, i)) grad_give(gr, n.in[i], grad_op(gr, OP_view, &part, GRAPH_IN(all)));
    }
}

bool shape_attention_dqkv(const Graph *g, Node *n, Err *e) {
    TRY(rule_same(g, n, 0, 1, e) && rule_same(g, n, 2, 3, e) && heads_fit(node_in(g, n, 1), node_in(g, n, 2), e));
    rule_like(g, n, 1);
    n->ne[1] += 2 * node_in(g, n, 2)->ne[1];
    return true;
}

void grad_attention_dqkv(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_kv_store(const Graph *g, Node *n, Err *e) {
    TRY(rule_ndim(g, n, 0, 3, e) && rule_same(g, n, 0, 1, e));
    n->dtype = DT_i32;
    n->ndim = 1;
    n->ne[0] = 1;
    return true;
}

void grad_kv_store(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_attention_kv(const Graph *g, Node *n, Err *e) {
    const Node *store = node_in(g, n, 1);
    TRY(rule_ndim(g, n, 0, 3, e));
    if (store->kind != NODE_OP || store->op != OP_kv_store)
        return err_set(e, ERR_FAIL, "attention_kv: input 1 is no kv_store");
    TRY(heads_fit(node_in(g, n, 0), node_in(g, store, 0), e));
    return rule_like(g, n, 0);
}

void grad_attention_kv(Grad *gr, int id) { grad_refuse(gr, id); }
