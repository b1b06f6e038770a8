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

/* Weights fall out exactly where there is something to draw by, input i, and a place of theirs to draw for. */
static bool dropout_fits(const Graph *g, const Node *n, int i, Err *e) {
    const AttnParams *p = &n->params.attn;
    const bool draws = p->dropout.p > 0;
    if (!(p->dropout.p >= 0 && p->dropout.p < 1) || draws != (n->n_in > i) || (draws && p->keys < 1))
        return err_set(e, ERR_FAIL, "%s: dropout %g with %d inputs and %lld keys", op_info[n->op].name,
                       (double)p->dropout.p, n->n_in, (long long)p->keys);
    return !draws || (rule_dtype(g, n, i, DT_i32, e) && rule_ndim(g, n, i, 1, e) && rule_inner(g, n, i, 2, e));
}

bool shape_attention(const Graph *g, Node *n, Err *e) {
    TRY(rule_ndim(g, n, 0, 3, e) && rule_ndim(g, n, 1, 3, e) && rule_same(g, n, 1, 2, e));
    TRY(heads_fit(node_in(g, n, 0), node_in(g, n, 1), e) && dropout_fits(g, n, 3, e));
    return rule_like(g, n, 0);
}

/* One node computes all three gradients side by side, [T, H + 2K, E]; they are slices of it. */
void grad_attention(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    int64_t heads[3], at = 0;
    for (int i = 0; i < 3; i++) heads[i] = gr->g->nodes[n.in[i]].ne[1];
    int in[MAX_IN] = {grad_of(gr, id)};
    memcpy(in + 1, n.in, (size_t)n.n_in * sizeof *in);
    int all = grad_op(gr, OP_attention_dqkv, &n.params, n.n_in + 1, in);
    for (int i = 0; i < 3; at += heads[i++]) {
        OpParams part = {.view = {.slice = true, .begin = at, .ne = {0, heads[i]}}};
        if (grad_wants(gr, id, i)) grad_give(gr, n.in[i], grad_op(gr, OP_view, &part, GRAPH_IN(all)));
    }
}

bool shape_attention_dqkv(const Graph *g, Node *n, Err *e) {
    TRY(rule_same(g, n, 0, 1, e) && rule_same(g, n, 2, 3, e) && heads_fit(node_in(g, n, 1), node_in(g, n, 2), e) &&
        dropout_fits(g, n, 4, e));
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

/* The keys that the kv_store in input 1 stores; NULL with *e: it is none. */
static const Node *stored_keys(const Graph *g, const Node *n, Err *e) {
    const Node *store = node_in(g, n, 1);
    if (store->kind == NODE_OP && store->op == OP_kv_store) return node_in(g, store, 0);
    err_set(e, ERR_FAIL, "%s: input 1 is no kv_store", op_info[n->op].name);
    return NULL;
}

bool shape_attention_kv(const Graph *g, Node *n, Err *e) {
    const Node *keys = stored_keys(g, n, e);
    TRY(keys && rule_ndim(g, n, 0, 3, e) && heads_fit(node_in(g, n, 0), keys, e));
    if (n->n_in > 2) {
        const Node *q = node_in(g, n, 0), *s = node_in(g, n, 2);
        if (s->ndim != 4 || s->ne[1] != q->ne[1] || s->ne[3] != q->ne[2] + 2)
            return err_set(e, ERR_FAIL, "attention_kv: input 2 is no attention_strands of input 0");
    }
    return rule_like(g, n, 0);
}

void grad_attention_kv(Grad *gr, int id) { grad_refuse(gr, id); }

bool shape_attention_strands(const Graph *g, Node *n, Err *e) {
    const Node *q = node_in(g, n, 0), *keys = stored_keys(g, n, e);
    TRY(keys && rule_ndim(g, n, 0, 3, e) && heads_fit(q, keys, e));
    const int64_t ne[] = {ATTN_SPLIT, q->ne[1], ATTN_STRANDS, q->ne[2] + 2};
    n->dtype = DT_f32;
    n->ndim = 4;
    memcpy(n->ne, ne, sizeof ne);
    return true;
}

void grad_attention_strands(Grad *gr, int id) { grad_refuse(gr, id); }

/* ---- with scores that can be seen ---- */

static bool shape_scores(const Graph *g, Node *n, const Node *k, Err *e) {
    TRY(rule_ndim(g, n, 0, 3, e) && heads_fit(node_in(g, n, 0), k, e));
    if (n->params.attn.keys < 1) return err_set(e, ERR_FAIL, "%s: no columns", op_info[n->op].name);
    rule_like(g, n, 0);
    n->ne[2] = n->params.attn.keys;
    return true;
}

bool shape_attn_scores(const Graph *g, Node *n, Err *e) {
    TRY(rule_ndim(g, n, 1, 3, e));
    return shape_scores(g, n, node_in(g, n, 1), e);
}

bool shape_attn_scores_kv(const Graph *g, Node *n, Err *e) {
    const Node *keys = stored_keys(g, n, e);
    return keys && shape_scores(g, n, keys, e);
}

void grad_attn_scores(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    OpParams by = {.scale = {n.params.attn.scale}};
    int d = grad_op(gr, OP_scale, &by, GRAPH_IN(grad_of(gr, id)));
    if (grad_wants(gr, id, 0)) grad_give(gr, n.in[0], grad_op(gr, OP_attn_mix, &n.params, GRAPH_IN(d, n.in[1])));
    if (grad_wants(gr, id, 1))
        grad_give(gr, n.in[1], grad_op(gr, OP_attn_mix_dv, &n.params, GRAPH_IN(d, n.in[0], n.in[1])));
}

bool shape_attn_probs(const Graph *g, Node *n, Err *e) { return rule_ndim(g, n, 0, 3, e) && rule_like(g, n, 0); }

void grad_attn_probs(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    if (grad_wants(gr, id, 0))
        grad_give(gr, n.in[0], grad_op(gr, OP_attn_probs_dx, &n.params, GRAPH_IN(grad_of(gr, id), id)));
}

bool shape_attn_probs_dx(const Graph *g, Node *n, Err *e) {
    return rule_ndim(g, n, 0, 3, e) && rule_same(g, n, 0, 1, e) && rule_like(g, n, 0);
}

static bool mixed_shape(const Graph *g, Node *n, const Node *v, Err *e) {
    const Node *p = node_in(g, n, 0);
    TRY(rule_ndim(g, n, 0, 3, e));
    if (v->ne[1] < 1 || p->ne[1] % v->ne[1])
        return err_set(e, ERR_INPUT, "%s: %lld heads over %lld kv heads", op_info[n->op].name, (long long)p->ne[1],
                       (long long)v->ne[1]);
    rule_like(g, n, 0);
    n->ne[2] = v->ne[2];
    return true;
}

bool shape_attn_mix(const Graph *g, Node *n, Err *e) {
    return rule_ndim(g, n, 1, 3, e) && mixed_shape(g, n, node_in(g, n, 1), e);
}

bool shape_attn_mix_kv(const Graph *g, Node *n, Err *e) {
    const Node *values = stored_keys(g, n, e);
    return values && mixed_shape(g, n, values, e);
}

void grad_attn_mix(Grad *gr, int id) {
    const Node n = gr->g->nodes[id];
    const Node *p = &gr->g->nodes[n.in[0]];
    OpParams plain = {.attn = {.scale = 1, .mask = n.params.attn.mask, .keys = p->ne[2]}};
    int dout = grad_of(gr, id);
    if (grad_wants(gr, id, 0)) grad_give(gr, n.in[0], grad_op(gr, OP_attn_scores, &plain, GRAPH_IN(dout, n.in[1])));
    if (grad_wants(gr, id, 1))
        grad_give(gr, n.in[1], grad_op(gr, OP_attn_mix_dv, &n.params, GRAPH_IN(n.in[0], dout, n.in[1])));
}

bool shape_attn_mix_dv(const Graph *g, Node *n, Err *e) {
    const Node *p = node_in(g, n, 0), *x = node_in(g, n, 1), *v = node_in(g, n, 2);
    TRY(rule_ndim(g, n, 0, 3, e) && rule_ndim(g, n, 1, 3, e) && rule_ndim(g, n, 2, 3, e) && heads_fit(x, v, e));
    if (p->ne[0] != x->ne[0] || p->ne[1] != x->ne[1])
        return err_set(e, ERR_INPUT, "attn_mix_dv: weights of %lld heads, values of %lld", (long long)p->ne[1],
                       (long long)x->ne[1]);
    return rule_like(g, n, 2);
}

void grad_attn_probs_dx(Grad *gr, int id) { grad_refuse(gr, id); }
void grad_attn_mix_dv(Grad *gr, int id) { grad_refuse(gr, id); }
void grad_attn_scores_kv(Grad *gr, int id) { grad_refuse(gr, id); }
void grad_attn_mix_kv(Grad *gr, int id) { grad_refuse(gr, id); }
