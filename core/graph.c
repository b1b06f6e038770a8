#include "core/graph.h"

#include <stdio.h>
#include <stdlib.h>

void graph_init(Graph *g, int64_t max_tokens, int64_t max_outputs) {
    *g = (Graph){.bound = {[SYM_T] = max_tokens, [SYM_O] = max_outputs}};
}

void graph_release(Graph *g) {
    free(g->nodes);
    free(g->aliases.items);
    free(g->taps.items);
    arena_release(&g->arena);
    *g = (Graph){0};
}

static int graph_push(Graph *g, Node n) {
    if (g->n == g->cap) {
        g->cap = g->cap ? g->cap * 2 : 256;
        g->nodes = mem_grow(g->nodes, (size_t)g->cap, sizeof *g->nodes);
    }
    g->nodes[g->n] = n;
    return g->n++;
}

int graph_leaf(Graph *g, NodeKind kind, Dtype t, int ndim, const Dim *dims, const char *name) {
    Node n = {.kind = kind, .dtype = t, .ndim = ndim, .name = arena_strn(&g->arena, name, strlen(name))};
    for (int d = 0; d < ndim; d++) {
        n.sym[d] = (uint8_t)dims[d].sym;
        n.ne[d] = dims[d].sym ? g->bound[dims[d].sym] : dims[d].n;
    }
    return graph_push(g, n);
}

static void node_label(const Graph *g, const Node *n, char *out, size_t cap) {
    const Node *first = n->n_in ? &g->nodes[n->in[0]] : NULL;
    if (n->name)
        snprintf(out, cap, "%s", n->name);
    else if (first && first->name)
        snprintf(out, cap, "%s of %s", op_info[n->op].name, first->name);
    else
        snprintf(out, cap, "%s", op_info[n->op].name);
}

int graph_op(Graph *g, Op op, const OpParams *params, int n_in, const int *in) {
    if (g->failed) return 0;
    Node n = {.kind = NODE_OP, .op = op, .n_in = n_in};
    if (params) n.params = *params;
    if (n_in < op_info[op].min_in || n_in > op_info[op].max_in) BUG("op %s given %d inputs", op_info[op].name, n_in);
    for (int i = 0; i < n_in; i++) {
        if (in[i] < 0 || in[i] >= g->n) BUG("op %s: input %d is node %d of %d", op_info[op].name, i, in[i], g->n);
        n.in[i] = in[i];
    }
    if (!op_info[op].shape(g, &n, &g->err)) {
        char label[160];
        node_label(g, &n, label, sizeof label);
        err_prefix(&g->err, "building the graph: '%s'", label);
        g->failed = true;
        return 0;
    }
    return graph_push(g, n);
}

static const char *format_name(Graph *g, const char *fmt, va_list ap) {
    char name[256];
    int n = vsnprintf(name, sizeof name, fmt, ap);
    return arena_strn(&g->arena, name, (size_t)MIN(n, (int)sizeof name - 1));
}

int graph_name(Graph *g, int id, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    if (!g->failed) g->nodes[id].name = format_name(g, fmt, ap);
    va_end(ap);
    return id;
}

void name_list_add(NameList *l, const char *name, int id) {
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->items = mem_grow(l->items, (size_t)l->cap, sizeof *l->items);
    }
    l->items[l->n++] = (NameRef){name, id};
}

void graph_alias(Graph *g, int id, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    if (!g->failed) name_list_add(&g->aliases, format_name(g, fmt, ap), id);
    va_end(ap);
}

static bool name_is(const char *have, const char *want, size_t n) {
    return have && strlen(have) == n && memcmp(have, want, n) == 0;
}

int graph_find(const Graph *g, const char *name) {
    size_t n = strlen(name);
    if (n > 7 && strcmp(name + n - 7, ".output") == 0) n -= 7; /* a module is its output */
    for (int i = 0; i < g->n; i++)
        if (name_is(g->nodes[i].name, name, n)) return i;
    for (int i = 0; i < g->aliases.n; i++)
        if (name_is(g->aliases.items[i].name, name, n)) return g->aliases.items[i].id;
    return -1;
}

bool graph_verify(const Graph *g, Err *e) {
    if (g->failed) {
        if (e) *e = g->err;
        return false;
    }
    StrMap names = {0};
    Arena arena = {0};
    bool ok = true;
    for (int i = 0; i < g->n && ok; i++) {
        const Node *n = &g->nodes[i];
        if (n->name && !strmap_put(&names, &arena, str_of(n->name), i))
            ok = err_set(e, ERR_FAIL, "graph: two nodes are named '%s'", n->name);
        if (n->kind != NODE_OP) continue;
        for (int k = 0; k < n->n_in && ok; k++)
            if (n->in[k] < 0 || n->in[k] >= i)
                ok = err_set(e, ERR_FAIL, "graph: node %d (%s) reads node %d", i, op_info[n->op].name, n->in[k]);
        Node again = *n;
        ok = ok && op_info[n->op].shape(g, &again, e);
        if (ok && (again.dtype != n->dtype || again.ndim != n->ndim || memcmp(again.ne, n->ne, sizeof n->ne) ||
                   memcmp(again.sym, n->sym, sizeof n->sym)))
            ok = err_set(e, ERR_FAIL, "graph: node %d (%s) is not shaped as its rule says", i, op_info[n->op].name);
    }
    arena_release(&arena);
    return ok;
}

const char *graph_shape_text(const Graph *g, int id, char out[64]) {
    const Node *n = &g->nodes[id];
    int at = snprintf(out, 64, "[");
    for (int d = 0; d < n->ndim && at < 40; d++) {
        const char *comma = d ? "," : "";
        if (n->sym[d])
            at += snprintf(out + at, 64 - (size_t)at, "%s%s", comma, n->sym[d] == SYM_T ? "T" : "O");
        else
            at += snprintf(out + at, 64 - (size_t)at, "%s%lld", comma, (long long)n->ne[d]);
    }
    snprintf(out + at, 64 - (size_t)at, "]");
    return out;
}
