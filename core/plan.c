#include "core/plan.h"

#include <stdlib.h>

const char *const plan_class_name[CLASS_COUNT] = {"weights",     "trained weights",  "optimizer", "inputs",
                                                  "activations", "attention scores", "gradients", "workspace"};

static bool is_view(const Node *n) { return n->kind == NODE_OP && (op_info[n->op].flags & OPF_VIEW); }

/* Strides of a node: dense, but a view of columns keeps the rows of what it slices, and so does its reshaping, which
 * never crosses rows (dim 0 stays; the rest of a row is dense). */
static void node_strides(const Graph *g, int id, int64_t stride[MAX_DIMS]) {
    const Node *n = &g->nodes[id];
    Tensor t = tensor_dense(n->dtype, n->ndim, n->ne, NULL);
    memcpy(stride, t.stride, sizeof t.stride);
    if (!is_view(n)) return;
    int64_t below[MAX_DIMS];
    const Node *x = &g->nodes[n->in[0]];
    node_strides(g, n->in[0], below);
    if (n->params.view.slice)
        memcpy(stride, below, sizeof below);
    else if (n->ne[0] == x->ne[0] && n->ndim > 1 && x->ndim > 1)
        stride[0] = below[0];
    else if (below[0] != tensor_dense(x->dtype, x->ndim, x->ne, NULL).stride[0])
        BUG("view %d crosses the rows of a slice", id);
}

Tensor plan_tensor(const Plan *p, int id) {
    const Node *n = &p->g->nodes[id];
    Tensor t = {.dtype = n->dtype, .ndim = n->ndim};
    for (int d = 0; d < MAX_DIMS; d++) t.ne[d] = d < n->ndim ? n->ne[d] : 1;
    node_strides(p->g, id, t.stride);
    return t;
}

/* It changes what outlives the step: by its kind, or because the sum that it adds to is state. */
static bool has_effect(const Graph *g, int i) {
    const Node *n = &g->nodes[i];
    if (n->kind != NODE_OP) return false;
    if (op_info[n->op].flags & OPF_EFFECT) return true;
    int at = op_info[n->op].flags & OPF_SUMS ? node_in_place(n) : -1;
    return at >= 0 && (g->nodes[n->in[at]].kind == NODE_STATE || has_effect(g, n->in[at]));
}

static void mark_used(const Graph *g, PlanSlot *slots) {
    for (int i = g->n - 1; i >= 0; i--) {
        const Node *n = &g->nodes[i];
        PlanSlot *s = &slots[i];
        if (n->keep || has_effect(g, i)) s->used = true;
        for (int k = 0; s->used && k < n->n_in; k++) slots[n->in[k]].used = true;
    }
}

/* A dense chain of views leads to a slice only from below: a reshape of a slice would need a copy, no rule builds one.
 */
static void set_roots(const Graph *g, PlanSlot *slots) {
    for (int i = 0; i < g->n; i++) {
        const Node *n = &g->nodes[i];
        slots[i].root = i;
        if (!is_view(n)) continue;
        const PlanSlot *base = &slots[n->in[0]];
        slots[i].root = base->root;
        slots[i].view_at = base->view_at;
        if (n->params.view.slice) {
            int64_t stride[MAX_DIMS];
            node_strides(g, n->in[0], stride);
            slots[i].view_at += n->params.view.begin * stride[1];
        }
    }
}

/* What may take the place of scores is as large. */
static bool holds_scores(const PlanSlot *slots, const Node *n) {
    const int flags = n->kind == NODE_OP ? op_info[n->op].flags : 0;
    return flags & OPF_SCORES || (flags & OPF_INPLACE && slots[n->in[0]].class == CLASS_SCORES);
}

static PlanClass class_of(const PlanSlot *slots, const Node *n) {
    if (holds_scores(slots, n)) return CLASS_SCORES;
    switch (n->kind) {
    case NODE_WEIGHT: return CLASS_WEIGHTS;
    case NODE_STATE:
        return n->role == ROLE_GRADIENT ? CLASS_GRADIENTS : n->role == ROLE_OPTIMIZER ? CLASS_OPTIMIZER : CLASS_STATE;
    case NODE_INPUT: return CLASS_INPUTS;
    default: return n->role == ROLE_GRADIENT && n->keep ? CLASS_GRADIENTS : CLASS_ACTIVATIONS;
    }
}

/* Until when value x must stay for node i to read it. Nodes that repeat find it as it was, so none of them may take its
 * place, not even the last. */
static int last_read(const Graph *g, int x, int i) {
    const NodeRange again = g->repeat;
    return x < again.from && i >= again.from && i < again.to ? again.to : i;
}

static void set_lives(const Graph *g, PlanSlot *slots) {
    for (int i = 0; i < g->n; i++) {
        const Node *n = &g->nodes[i];
        if (!slots[i].used) continue;
        slots[i].last = MAX(slots[i].last, i);
        if (n->keep || n->kind != NODE_OP) slots[slots[i].root].last = g->n;
        for (int k = 0; k < n->n_in; k++) slots[n->in[k]].last = MAX(slots[n->in[k]].last, last_read(g, n->in[k], i));
    }
    for (int i = 0; i < g->n; i++) /* a root lives as long as its views */
        if (slots[i].used) slots[slots[i].root].last = MAX(slots[slots[i].root].last, slots[i].last);
}

/* An op that can takes over the memory of an input (node_in_place) where that dies here and is a whole dense value of
 * its own. The roots of later views are resolved through the merge. */
static void merge_in_place(const Graph *g, PlanSlot *slots) {
    for (int i = 0; i < g->n; i++) {
        const Node *n = &g->nodes[i];
        slots[i].root = slots[slots[i].root].root; /* roots stand before: one step is enough */
        int at = node_in_place(n);
        if (!slots[i].used || at < 0 || slots[i].root != i) continue;
        int x = n->in[at], root = slots[x].root;
        const Node *rn = &g->nodes[root];
        if (has_effect(g, i)) { /* updates state where it stands */
            slots[i].root = root, slots[i].view_at = slots[x].view_at;
            continue;
        }
        bool whole = slots[x].view_at == 0 && slots[x].bytes == slots[i].bytes && slots[root].bytes == slots[i].bytes;
        bool shared = false; /* read twice by the same op in different places */
        for (int k = 0; k < n->n_in; k++) shared = shared || (k != at && slots[n->in[k]].root == root);
        if (!whole || shared || rn->kind != NODE_OP || rn->keep || n->keep || slots[root].last != i ||
            rn->role != n->role)
            continue;
        slots[root].last = slots[i].last;
        slots[i].root = root;
    }
}

typedef struct Block {
    int id;
    int64_t bytes;
    int from, to;
} Block;

static int by_size(const void *a, const void *b) {
    const Block *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->id - y->id;
}

static int by_offset(const void *a, const void *b) {
    int64_t x = ((const int64_t *)a)[0], y = ((const int64_t *)b)[0];
    return x < y ? -1 : x > y;
}

/* Offsets of one class: largest first, each at the lowest gap between the blocks that live at the same time. Returns
 * the high-water mark. (Pisarchyk & Lee 2020, "Greedy by size".) */
static int64_t place(PlanSlot *slots, Block *blocks, int n) {
    int64_t high = 0, (*busy)[2] = mem_alloc((size_t)MAX(n, 1), sizeof *busy);
    qsort(blocks, (size_t)n, sizeof *blocks, by_size);
    for (int i = 0; i < n; i++) {
        int n_busy = 0;
        for (int j = 0; j < i; j++) {
            if (blocks[j].to < blocks[i].from || blocks[j].from > blocks[i].to) continue;
            busy[n_busy][0] = slots[blocks[j].id].offset;
            busy[n_busy++][1] = slots[blocks[j].id].offset + blocks[j].bytes;
        }
        qsort(busy, (size_t)n_busy, sizeof *busy, by_offset);
        int64_t at = 0;
        for (int j = 0; j < n_busy && busy[j][0] < at + blocks[i].bytes; j++) at = MAX(at, busy[j][1]);
        slots[blocks[i].id].offset = at;
        high = MAX(high, at + blocks[i].bytes);
    }
    free(busy);
    return high;
}

static void place_all(Plan *p) {
    const Graph *g = p->g;
    Block *blocks = mem_alloc((size_t)MAX(g->n, 1), sizeof *blocks);
    for (int c = 0; c < CLASS_COUNT; c++) {
        int n = 0;
        for (int i = 0; i < g->n; i++) {
            PlanSlot *s = &p->slots[i];
            if (!s->used || s->root != i || (int)s->class != c || c == CLASS_WEIGHTS) continue;
            bool always = g->nodes[i].kind != NODE_OP;
            blocks[n++] = (Block){i, (int64_t)align_up((size_t)s->bytes, PLAN_ALIGN), always ? 0 : i, s->last};
        }
        if (c != CLASS_WEIGHTS && c != CLASS_SCRATCH) p->bytes[c] = place(p->slots, blocks, n);
    }
    free(blocks);
    for (int i = 0; i < g->n; i++)
        if (p->slots[i].root != i)
            p->slots[i].class = p->slots[p->slots[i].root].class,
            p->slots[i].offset = p->slots[p->slots[i].root].offset;
}

/* Of an output of so many rows as a light step can have. */
static size_t light_bytes(const Tensor *t) {
    int64_t rows = t->ndim < 2 ? t->ne[0] : MIN(t->ne[0], LIGHT_TOKENS);
    return align_up((size_t)(rows * t->stride[0]), PLAN_ALIGN);
}

static bool choose_kernels(Plan *p, Backend *b, Err *e) {
    const Graph *g = p->g;
    for (int i = 0; i < g->n; i++) {
        const Node *n = &g->nodes[i];
        if (!p->slots[i].used || n->kind != NODE_OP || is_view(n)) continue;
        OpArgs a = {.params = n->params, .out = plan_tensor(p, i), .n_in = n->n_in};
        for (int k = 0; k < n->n_in; k++) a.in[k] = plan_tensor(p, n->in[k]);
        TRY(b->kernel(b, n->op, &a, &p->kernels[i], e));
        if (p->kernels[i].scratch)
            p->scratch_bytes = MAX(p->scratch_bytes, align_up(p->kernels[i].scratch(&a), PLAN_ALIGN));
        if (p->kernels[i].copy && !g->full) p->stage_bytes = MAX(p->stage_bytes, light_bytes(&a.out));
        p->n_run++;
    }
    const int late = p->stage_bytes ? b->stage_areas : 0;
    p->bytes[CLASS_SCRATCH] = (int64_t)p->scratch_bytes * (b->scratch_areas + late) + (int64_t)p->stage_bytes * late;
    return true;
}

bool plan_make(Plan *p, const Graph *g, Backend *b, Err *e) {
    *p = (Plan){.g = g};
    TRY(graph_verify(g, e));
    p->slots = mem_alloc((size_t)MAX(g->n, 1), sizeof *p->slots);
    p->kernels = mem_alloc((size_t)MAX(g->n, 1), sizeof *p->kernels);
    mark_used(g, p->slots);
    for (int i = 0; i < g->n; i++) {
        const Node *n = &g->nodes[i];
        p->slots[i].class = class_of(p->slots, n);
        if (!tensor_bytes(n->dtype, n->ndim, n->ne, &p->slots[i].bytes)) {
            plan_release(p);
            return err_set(e, ERR_FIT, "plan: '%s' is too large to address", n->name ? n->name : op_info[n->op].name);
        }
        if (n->kind == NODE_WEIGHT && p->slots[i].used) p->bytes[CLASS_WEIGHTS] += p->slots[i].bytes;
    }
    set_roots(g, p->slots);
    set_lives(g, p->slots);
    merge_in_place(g, p->slots);
    place_all(p);
    if (choose_kernels(p, b, e)) return true;
    plan_release(p);
    return false;
}

void plan_release(Plan *p) {
    free(p->slots);
    free(p->kernels);
    *p = (Plan){0};
}

bool plan_verify(const Plan *p, Err *e) {
    const Graph *g = p->g;
    for (int i = 0; i < g->n; i++)
        for (int j = 0; j < i; j++) {
            const PlanSlot *a = &p->slots[j], *b = &p->slots[i];
            if (!a->used || !b->used || a->class != b->class || a->root != j || b->root != i ||
                a->class == CLASS_WEIGHTS)
                continue;
            bool together = g->nodes[i].kind != NODE_OP || a->last >= i;
            if (together && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes)
                return err_set(e, ERR_FAIL, "plan: nodes %d and %d overlap in %s", j, i, plan_class_name[a->class]);
        }
    return true;
}
