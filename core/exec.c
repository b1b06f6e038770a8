#include "core/exec.h"

#include <stdlib.h>

static void place(const Exec *x, int id, WeightSource weights, Tensor *t) {
    const PlanSlot *s = &x->plan.slots[id];
    if (!s->used) return;
    char *base = x->block[s->class];
    int64_t offset = s->offset;
    if (s->class == CLASS_WEIGHTS) {
        const Tensor *w = weights.find(weights.ctx, &x->plan.g->nodes[s->root]);
        base = w->data, offset = 0, t->parts = w->parts;
        if (w->parts && s->root != id) BUG("node %d is a view of a weight in parts", id);
    }
    t->data = base ? base + offset + s->view_at : NULL;
}

static size_t count_syms(const Node *n) {
    size_t c = 0;
    for (int d = 0; d < n->ndim; d++) c += n->sym[d] != SYM_NONE;
    return c;
}

static void add_refs(Exec *x, const Node *n, Tensor *t) {
    for (int d = 0; d < n->ndim; d++)
        if (n->sym[d]) x->refs[x->n_refs++] = (SymRef){&t->ne[d], n->sym[d]};
}

static void resolve(Exec *x, WeightSource weights, const Step *step) {
    const Graph *g = x->plan.g;
    size_t n_refs = 0;
    for (int i = 0; i < g->n; i++) {
        n_refs += count_syms(&g->nodes[i]) * 2;
        for (int k = 0; k < g->nodes[i].n_in; k++) n_refs += count_syms(&g->nodes[g->nodes[i].in[k]]);
    }
    x->values = mem_alloc((size_t)MAX(g->n, 1), sizeof *x->values);
    x->ops = mem_alloc((size_t)MAX(x->plan.n_run, 1), sizeof *x->ops);
    x->refs = mem_alloc(MAX(n_refs, (size_t)1), sizeof *x->refs);
    for (int i = 0; i < g->n; i++) {
        const Node *n = &g->nodes[i];
        x->values[i] = plan_tensor(&x->plan, i);
        place(x, i, weights, &x->values[i]);
        add_refs(x, n, &x->values[i]);
        const Kernel *k = &x->plan.kernels[i];
        if (!k->run) continue;
        ExecOp *op = &x->ops[x->n_ops++];
        *op = (ExecOp){.run = k->run,
                       .units = k->units,
                       .copy = k->copy,
                       .takes_packed = k->takes_packed,
                       .node = i,
                       .args = {.params = n->params, .out = x->values[i], .n_in = n->n_in, .step = step}};
        add_refs(x, n, &op->args.out);
        for (int j = 0; j < n->n_in; j++) {
            op->args.in[j] = x->values[n->in[j]];
            add_refs(x, &g->nodes[n->in[j]], &op->args.in[j]);
        }
    }
}

bool exec_open(Exec *x, Plan *plan, Backend *b, WeightSource weights, const Step *step, Err *e) {
    *x = (Exec){.plan = *plan, .b = b};
    *plan = (Plan){0};
    for (int c = 0; c < CLASS_COUNT; c++) {
        if (c == CLASS_WEIGHTS || !x->plan.bytes[c]) continue;
        x->block[c] = b->reserve(b, (size_t)x->plan.bytes[c], e);
        if (!x->block[c]) {
            exec_close(x);
            return err_prefix(e, "reserving memory for %s", plan_class_name[c]);
        }
    }
    x->memory = (RunMemory){
        .scratch = x->block[CLASS_SCRATCH], .scratch_bytes = x->plan.scratch_bytes, .stage_bytes = x->plan.stage_bytes};
    if (x->plan.stage_bytes)
        x->memory.stage = x->memory.scratch + x->plan.scratch_bytes * (size_t)(b->scratch_areas + b->stage_areas);
    resolve(x, weights, step);
    return true;
}

void exec_close(Exec *x) {
    for (int c = 0; c < CLASS_COUNT; c++)
        if (x->block[c]) x->b->release(x->b, x->block[c], (size_t)x->plan.bytes[c]);
    free(x->values);
    free(x->ops);
    free(x->refs);
    plan_release(&x->plan);
    *x = (Exec){0};
}

void exec_bind(Exec *x, int64_t tokens, int64_t outputs) {
    const int64_t *most = x->plan.g->bound;
    if (tokens < 1 || tokens > most[SYM_T] || outputs < 0 || outputs > most[SYM_O])
        BUG("step of %lld tokens, %lld outputs in a plan of %lld, %lld", (long long)tokens, (long long)outputs,
            (long long)most[SYM_T], (long long)most[SYM_O]);
    if (x->bound[SYM_T] == tokens && x->bound[SYM_O] == outputs) return;
    x->bound[SYM_T] = tokens;
    x->bound[SYM_O] = outputs;
    for (size_t i = 0; i < x->n_refs; i++) *x->refs[i].ne = x->bound[x->refs[i].sym];
    for (size_t i = 0; i < x->n_ops; i++) x->ops[i].n_units = x->ops[i].units(&x->ops[i].args);
}

void exec_run(Exec *x) { exec_run_part(x, 0, 1); }

void exec_run_part(Exec *x, size_t i, size_t n) {
    size_t from = x->n_ops * i / n, to = x->n_ops * (i + 1) / n;
    if (from < to) x->b->run(x->b, x->ops + from, to - from, &x->memory);
}

/* The first op of node `id` or a later one. */
static size_t op_from(const Exec *x, int id) {
    size_t lo = 0, hi = x->n_ops;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (x->ops[mid].node < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void exec_run_nodes(Exec *x, int from, int to) {
    size_t i = op_from(x, from), n = op_from(x, to) - i;
    if (n) x->b->run(x->b, x->ops + i, n, &x->memory);
}
