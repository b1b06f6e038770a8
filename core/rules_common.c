#include "core/rules.h"

static const char *label(const Graph *g, const Node *n, int i) {
    const char *name = node_in(g, n, i)->name;
    return name ? name : op_info[n->op].name;
}

bool rule_like(const Graph *g, Node *n, int i) {
    const Node *x = node_in(g, n, i);
    n->dtype = x->dtype;
    n->ndim = x->ndim;
    memcpy(n->ne, x->ne, sizeof n->ne);
    memcpy(n->sym, x->sym, sizeof n->sym);
    return true;
}

bool rule_dtype(const Graph *g, const Node *n, int i, Dtype want, Err *e) {
    Dtype have = node_in(g, n, i)->dtype;
    if (have == want) return true;
    return err_set(e, ERR_INPUT, "%s: input %d ('%s') is %s, expected %s", op_info[n->op].name, i, label(g, n, i),
                   dtype_info[have].name, dtype_info[want].name);
}

bool rule_same(const Graph *g, const Node *n, int i, int j, Err *e) {
    const Node *a = node_in(g, n, i), *b = node_in(g, n, j);
    if (a->ndim == b->ndim && memcmp(a->ne, b->ne, sizeof a->ne) == 0 && memcmp(a->sym, b->sym, sizeof a->sym) == 0)
        return true;
    char x[64], y[64];
    return err_set(e, ERR_INPUT, "%s: '%s' is %s but '%s' is %s", op_info[n->op].name, label(g, n, i),
                   graph_shape_text(g, n->in[i], x), label(g, n, j), graph_shape_text(g, n->in[j], y));
}

bool rule_inner(const Graph *g, const Node *n, int i, int64_t want, Err *e) {
    const Node *x = node_in(g, n, i);
    if (x->ne[last_dim(x)] == want) return true;
    char t[64];
    return err_set(e, ERR_INPUT, "%s: '%s' is %s, its innermost dim should be %lld", op_info[n->op].name,
                   label(g, n, i), graph_shape_text(g, n->in[i], t), (long long)want);
}

bool rule_cast(const Graph *g, Node *n, int i, Dtype to, Err *e) {
    const Node *x = node_in(g, n, i);
    TRY(rule_dtype(g, n, i, DT_f32, e) && rule_like(g, n, i));
    n->dtype = to;
    if (x->ne[last_dim(x)] % dtype_info[to].block == 0) return true;
    return err_set(e, ERR_INPUT, "%s to %s: width %lld is no multiple of %d", op_info[n->op].name, dtype_info[to].name,
                   (long long)x->ne[last_dim(x)], dtype_info[to].block);
}

bool rule_ndim(const Graph *g, const Node *n, int i, int want, Err *e) {
    const Node *x = node_in(g, n, i);
    if (x->ndim == want) return true;
    char t[64];
    return err_set(e, ERR_INPUT, "%s: '%s' is %s, expected %d dims", op_info[n->op].name, label(g, n, i),
                   graph_shape_text(g, n->in[i], t), want);
}

bool rule_sum(const Graph *g, const Node *n, int i, Err *e) {
    if (i >= n->n_in) return true;
    const Node *x = node_in(g, n, i);
    bool same = x->ndim == n->ndim && memcmp(x->ne, n->ne, sizeof x->ne) == 0 && x->dtype == n->dtype;
    char t[64];
    return same ? true
                : err_set(e, ERR_INPUT, "%s: the sum '%s' is %s, the result is not", op_info[n->op].name,
                          label(g, n, i), graph_shape_text(g, n->in[i], t));
}
