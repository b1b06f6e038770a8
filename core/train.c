#include "core/train.h"

#include <math.h>
#include <stdlib.h>

#include "core/grad.h"

static int state_like(Graph *g, int id, const char *suffix) {
    Node n = g->nodes[id];
    Dim dims[MAX_DIMS];
    for (int d = 0; d < n.ndim; d++) dims[d] = DIM(n.ne[d]);
    return graph_leaf(g, NODE_STATE, DT_f32, n.ndim, dims, arena_printf(&g->arena, "%s%s", n.name, suffix));
}

static void find_params(Trainer *t) {
    t->params = mem_alloc((size_t)t->g.n, sizeof *t->params);
    t->grads = mem_alloc((size_t)t->g.n, sizeof *t->grads);
    for (int i = 0; i < t->g.n; i++)
        if (t->g.nodes[i].trainable) t->params[t->n_params++] = i;
}

static bool build(Trainer *t, int64_t max_tokens, bool optimise, Err *e) {
    Graph *g = &t->g;
    TRY(build_model(t->m, max_tokens, max_tokens, true, g, &t->io, e));
    find_params(t);
    t->labels = graph_leaf(g, NODE_INPUT, DT_i32, 1, (Dim[]){DIM_O}, "labels");
    t->seed = graph_leaf(g, NODE_INPUT, DT_f32, 1, (Dim[]){DIM(1)}, "dloss");
    t->hyper = graph_leaf(g, NODE_INPUT, DT_f32, 1, (Dim[]){DIM(8)}, "hyper");
    t->loss = graph_name(g, graph_op(g, OP_cross_entropy, NULL, GRAPH_IN(t->io.logits, t->labels)), "loss");
    g->nodes[t->loss].keep = true;
    TRY(grad_build(g, t->loss, t->seed, t->params, t->n_params, t->grads, e));
    for (int i = 0; i < t->n_params; i++) {
        int w = t->params[i], d = t->grads[i];
        if (d < 0) return err_set(e, ERR_FAIL, "training: the loss does not depend on '%s'", g->nodes[w].name);
        g->nodes[d].keep = true;
        if (!optimise) continue;
        int m = state_like(g, w, ".exp_avg"), v = state_like(g, w, ".exp_avg_sq");
        graph_op(g, OP_adamw, NULL, GRAPH_IN(w, d, m, v, t->hyper));
    }
    return graph_verify(g, e);
}

/* Weights begin as the model has them, decoded to f32. */
static void load_params(Trainer *t) {
    for (int i = 0; i < t->n_params; i++) {
        const Weight *w = model_weight(t->m, t->g.nodes[t->params[i]].name);
        float *dst = exec_data(&t->x, t->params[i]);
        int64_t width = w->t.ne[w->t.ndim - 1];
        for (int64_t r = 0; r < tensor_rows(&w->t); r++)
            dtype_info[w->t.dtype].decode(tensor_row(&w->t, r), dst + r * width, width);
    }
}

static bool open(Trainer *t, Backend *b, int64_t max_tokens, bool optimise, Err *e) {
    Plan plan;
    TRY(build(t, max_tokens, optimise, e) && plan_make(&plan, &t->g, b, e));
    t->index = mem_alloc((size_t)max_tokens, sizeof *t->index);
    t->reach = mem_alloc((size_t)max_tokens, sizeof *t->reach);
    t->first_row = mem_alloc((size_t)max_tokens, sizeof *t->first_row);
    t->freq = mem_alloc((size_t)t->m->cfg.rope.dims, sizeof *t->freq);
    t->freq_local = mem_alloc((size_t)t->m->cfg.rope.dims, sizeof *t->freq_local);
    rope_frequencies(&t->m->cfg.rope, t->freq);
    if (t->io.rope_local >= 0) rope_frequencies(&t->m->cfg.local, t->freq_local);
    t->step = (Step){.index = t->index, .reach = t->reach, .first_row = t->first_row};
    TRY(exec_open(&t->x, &plan, b, (WeightSource){0}, &t->step, e));
    load_params(t);
    return true;
}

bool train_open(Trainer *t, const Model *m, Backend *b, int64_t max_tokens, bool optimise, Err *e) {
    *t = (Trainer){.m = m};
    if (open(t, b, max_tokens, optimise, e)) return true;
    train_close(t);
    return false;
}

void train_close(Trainer *t) {
    if (t->x.b) exec_close(&t->x);
    graph_release(&t->g);
    void *blocks[] = {t->params, t->grads, t->index, t->reach, t->first_row, t->freq, t->freq_local};
    for (size_t i = 0; i < COUNT_OF(blocks); i++) free(blocks[i]);
    *t = (Trainer){0};
}

static bool check(const Trainer *t, const int32_t *ids, const int32_t *labels, int64_t n, Err *e) {
    if (n < 1 || n > t->g.bound[SYM_T])
        return err_set(e, ERR_USAGE, "training: a step of %lld tokens, planned were %lld", (long long)n,
                       (long long)t->g.bound[SYM_T]);
    bool any = false;
    for (int64_t i = 0; i < n; i++) {
        bool known = ids[i] >= 0 && ids[i] < t->m->cfg.vocab &&
                     (labels[i] == -100 || (labels[i] >= 0 && labels[i] < t->m->cfg.vocab));
        if (!known)
            return err_set(e, ERR_USAGE, "training: token %lld: id %d, label %d outside the vocabulary", (long long)i,
                           ids[i], labels[i]);
        any = any || labels[i] >= 0;
    }
    return any ? true : err_set(e, ERR_USAGE, "training: no label in the whole step");
}

bool train_step(Trainer *t, const int32_t *ids, const int32_t *labels, int64_t n_seq, int64_t len, const AdamW *how,
                float *loss, Err *e) {
    int64_t n = n_seq * len;
    TRY(check(t, ids, labels, n, e));
    if (t->io.positions >= 0 && len > t->m->cfg.ctx)
        return err_set(e, ERR_FIT, "training: sequences of %lld tokens, the model has %lld positions", (long long)len,
                       (long long)t->m->cfg.ctx);
    memcpy(exec_data(&t->x, t->io.ids), ids, (size_t)n * sizeof *ids);
    memcpy(exec_data(&t->x, t->labels), labels, (size_t)n * sizeof *labels);
    int32_t *out_rows = exec_data(&t->x, t->io.out_rows);
    for (int64_t i = 0; i < n; i++) {
        out_rows[i] = (int32_t)i;
        t->index[i] = (int32_t)(i % len);
        t->first_row[i] = (int32_t)(i - i % len);
    }
    t->step.n = n;
    if (t->io.positions >= 0) memcpy(exec_data(&t->x, t->io.positions), t->index, (size_t)n * sizeof *t->index);
    RopeConfig rope = rope_for(&t->m->cfg.rope, len);
    rope_frequencies(&rope, t->freq);
    if (t->io.rope >= 0)
        rope_table(t->freq, t->m->cfg.rope.dims / 2, rope_attention(&t->m->cfg.rope), t->index, n,
                   exec_data(&t->x, t->io.rope));
    if (t->io.rope_local >= 0)
        rope_table(t->freq_local, t->m->cfg.local.dims / 2, 1, t->index, n, exec_data(&t->x, t->io.rope_local));
    *(float *)exec_data(&t->x, t->seed) = 1;
    if (how) {
        double at = (double)++t->done;
        float *h = exec_data(&t->x, t->hyper);
        h[0] = (float)how->lr, h[1] = (float)how->beta1, h[2] = (float)how->beta2, h[3] = (float)how->eps,
        h[4] = (float)how->weight_decay;
        h[5] = (float)(1 - pow((double)h[1], at)),
        h[6] = (float)(1 - pow((double)h[2], at)); /* of the rounded betas, as used */
    }
    exec_bind(&t->x, n, n);
    exec_run(&t->x);
    *loss = *(float *)exec_data(&t->x, t->loss);
    return true;
}

static int param_of(const Trainer *t, const char *name, int64_t *count) {
    for (int i = 0; i < t->n_params; i++) {
        const Node *n = &t->g.nodes[t->params[i]];
        if (strcmp(n->name, name)) continue;
        *count = 1;
        for (int d = 0; d < n->ndim; d++) *count *= n->ne[d];
        return i;
    }
    return -1;
}

const float *train_grad(const Trainer *t, const char *name, int64_t *count) {
    int i = param_of(t, name, count);
    return i < 0 ? NULL : exec_data(&t->x, t->grads[i]);
}

const float *train_weight(const Trainer *t, const char *name, int64_t *count) {
    int i = param_of(t, name, count);
    return i < 0 ? NULL : exec_data(&t->x, t->params[i]);
}

const float *train_logits(const Trainer *t) { return exec_data(&t->x, t->io.logits); }
