/* Pairs of ops that are one. */
#include "core/passes.h"

#include <stdlib.h>

/* What `fused` is told of two ops, the second of which reads the first. */
typedef OpParams Told(const Node *first, const Node *second);

static OpParams told_gate(const Node *first, const Node *second) {
    const Dtype to = second->op == OP_cast ? second->params.cast.to : DT_f32;
    return (OpParams){.gated = {.gelu = first->op == OP_gelu, .to = to}};
}

static OpParams told_gate_to(const Node *first, const Node *second) {
    return (OpParams){.gated = {.gelu = first->params.gated.gelu, .to = second->params.cast.to}};
}

static OpParams told_norm_to(const Node *first, const Node *second) {
    OpParams p = first->params;
    p.norm.to = second->params.cast.to;
    return p;
}

/* second(first(x, ..), ..) is fused(x, .., ..): all inputs of the first, then those of the second but its first. */
typedef struct Fusion {
    Op first, second, fused;
    Told *told;
} Fusion;

static const Fusion fusions[] = {
    {OP_silu, OP_mul, OP_gated, told_gate},
    {OP_gelu, OP_mul, OP_gated, told_gate},
    {OP_gelu, OP_cast, OP_gated, told_gate},
    {OP_gated, OP_cast, OP_gated, told_gate_to},
    {OP_rms_norm, OP_cast, OP_rms_norm, told_norm_to},
    {OP_layer_norm, OP_cast, OP_layer_norm, told_norm_to},
};

static const Fusion *fusion_of(const Node *first, const Node *second) {
    for (const Fusion *f = fusions; f < fusions + COUNT_OF(fusions); f++)
        if (first->op == f->first && second->op == f->second) return f;
    return NULL;
}

/* Node i in one with the node that it reads first. */
static bool fuse(Graph *g, int i, const Fusion *f, Err *e) {
    const Node *first = &g->nodes[g->nodes[i].in[0]];
    Node n = g->nodes[i];
    n.op = f->fused, n.params = f->told(first, &g->nodes[i]), n.n_in = 0;
    for (int k = 0; k < first->n_in; k++) n.in[n.n_in++] = first->in[k];
    for (int k = 1; k < g->nodes[i].n_in; k++) n.in[n.n_in++] = g->nodes[i].in[k];
    TRY(op_info[n.op].shape(g, &n, e));
    g->nodes[i] = n;
    return true;
}

/* The first of two stays in the graph, unread. */
bool pass_fuse(Graph *g, Err *e) {
    int *readers = mem_alloc((size_t)MAX(g->n, 1), sizeof *readers);
    bool ok = true;
    for (int i = 0; i < g->n; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++) readers[g->nodes[i].in[k]]++;
    for (int i = 0; i < g->n && ok; i++) {
        const Node *n = &g->nodes[i], *first = n->kind == NODE_OP ? &g->nodes[n->in[0]] : NULL;
        if (!first || first->kind != NODE_OP || first->keep || readers[n->in[0]] != 1) continue;
        const Fusion *f = fusion_of(first, n);
        if (f) ok = fuse(g, i, f, e);
    }
    free(readers);
    return ok;
}
