#include "core/train_graph.h"

#include <stdlib.h>

#include "core/grad.h"
#include "core/passes.h"

static int input(Graph *g, Dtype t, int64_t n, const char *name) {
    return graph_leaf(g, NODE_INPUT, t, 1, (Dim[]){DIM(n)}, name);
}

/* State shaped as node id, named after it. */
static int state_like(Graph *g, int id, const char *suffix, Dtype dtype, NodeRole role) {
    Node n = g->nodes[id];
    Dim dims[MAX_DIMS];
    for (int d = 0; d < n.ndim; d++) dims[d] = DIM(n.ne[d]);
    int s = graph_leaf(g, NODE_STATE, dtype, n.ndim, dims, arena_printf(&g->arena, "%s.%s", n.name, suffix));
    if (!g->failed) g->nodes[s].role = role;
    return s;
}

/* Adapters on what was built from node `from` on: ids[0..n) of it move. */
static bool adapt(Trainer *t, int from, int *ids, int64_t n, Err *e) {
    if (!t->spec.lora || t->g.failed) return true;
    int *moved = mem_alloc((size_t)t->g.n, sizeof *moved);
    bool ok = pass_lora(&t->g, t->spec.lora, from, true, moved, e);
    for (int64_t i = 0; i < n; i++) ids[i] = moved[ids[i]];
    free(moved);
    return ok;
}

static const char *const all_scores[] = {"**.scores", NULL};

/* All but the head; blocks[i] is the output of layer i. */
static bool body(Trainer *t, int *blocks, Err *e) {
    const int64_t L = t->m->cfg.layers;
    const BuildSpec how = {t->spec.tokens,
                           t->spec.tokens,
                           .trainable = !t->spec.lora,
                           .keys = t->spec.longest,
                           .visible = t->spec.attention == ATTENTION_MANUAL ? all_scores : NULL,
                           .dropout = (float)t->spec.dropout};
    TRY(build_body(t->m, &how, &t->g, &t->io, blocks, e));
    blocks[L] = t->io.hidden; /* the inputs stand before all products, and stay */
    TRY(adapt(t, 0, blocks, L + 1, e));
    t->io.hidden = blocks[L];
    return true;
}

/* ---- gradients ---- */

static void add_params(Trainer *t, Grad *gr, int from, int to) {
    for (int i = from; i < to; i++) {
        if (!t->g.nodes[i].trainable) continue;
        t->params = mem_grow(t->params, t->n_params + 1, sizeof *t->params);
        int grad = state_like(&t->g, i, "grad", DT_f32, ROLE_GRADIENT);
        t->params[t->n_params++] = (TrainParam){.name = t->g.nodes[i].name, .weight = i, .grad = grad};
        grad_seed(gr, i, grad);
    }
}

/* Logits of some rows of the hidden state, their loss, and back to the gradient of those rows. All that the next rows
 * go on from is state: gradients of weights and of the hidden state. */
static void head(Trainer *t, Grad *gr) {
    Graph *g = &t->g;
    HeadNodes *h = &t->head;
    const int64_t rows = MIN(t->spec.head_tokens, t->spec.tokens);
    const int from = g->n;
    h->rows = input(g, DT_i32, rows, "rows");
    h->labels = input(g, DT_i32, rows, "labels");
    h->weights = input(g, DT_f32, rows, "weights");
    int x = graph_op(g, OP_rows, NULL, GRAPH_IN(t->io.hidden, h->rows)), first = g->n;
    int logits = build_head(t->m, g, x, !t->spec.lora);
    if (!adapt(t, first, &logits, 1, gr->e)) gr->failed = true;
    add_params(t, gr, first, g->n);
    h->loss = graph_name(g, graph_op(g, OP_cross_entropy, NULL, GRAPH_IN(logits, h->labels)), "loss");
    if (!g->failed) {
        g->nodes[h->loss].keep = true;
        grad_seed(gr, h->loss, h->weights);
        grad_walk(gr, h->loss, from);
    }
    g->repeat = (NodeRange){from, g->n};
}

/* Costs less to compute again, of what is kept anyway, than to keep from the forward pass to the backward one. */
static bool is_cheap(Op op) {
    return op == OP_mul || op == OP_silu || op == OP_gelu || op == OP_rms_norm || op == OP_layer_norm ||
           op == OP_dropout;
}

/* Computes nodes (before, last], or the cheap ones of them, once more at the end of the graph; map[i - before - 1] is
 * what then stands for node i. */
static void again(Graph *g, int before, int last, bool cheap, int *map) {
    for (int i = before + 1; i <= last && !g->failed; i++) {
        const Node n = g->nodes[i];
        int in[MAX_IN];
        for (int k = 0; k < n.n_in; k++) in[k] = n.in[k] > before ? map[n.in[k] - before - 1] : n.in[k];
        const bool anew = n.kind == NODE_OP && (!cheap || is_cheap(n.op));
        map[i - before - 1] = anew ? graph_op(g, n.op, &n.params, n.n_in, in) : i;
    }
}

/* Gradients of nodes (before, last], a block: what they read of its inside is computed again, with checkpointing all of
 * it. (Chen et al. 2016, "Training deep nets with sublinear memory cost".) */
static void walk_block(Trainer *t, Grad *gr, int before, int last) {
    Graph *g = &t->g;
    int *map = mem_alloc((size_t)(last - before), sizeof *map);
    again(g, before, last, !t->spec.checkpoint, map);
    int from = g->n;
    grad_walk(gr, last, before + 1);
    for (int i = from; i < g->n && !g->failed; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++) {
            int *in = &g->nodes[i].in[k];
            if (*in > before && *in <= last) *in = map[*in - before - 1];
        }
    free(map);
}

static void walk_body(Trainer *t, Grad *gr, const int *blocks) {
    int64_t L = t->m->cfg.layers;
    grad_walk(gr, t->io.hidden, blocks[L - 1] + 1);
    for (int64_t i = L - 1; i > 0; i--) walk_block(t, gr, blocks[i - 1], blocks[i]);
    walk_block(t, gr, -1, blocks[0]); /* the embedding with it */
}

/* ---- the update ---- */

static void norm(Trainer *t) {
    Graph *g = &t->g;
    int total = -1;
    for (size_t i = 0; i < t->n_params; i++) {
        int s = graph_op(g, OP_sum, NULL, GRAPH_IN(graph_op(g, OP_sum_squares, NULL, GRAPH_IN(t->params[i].grad))));
        total = total < 0 ? s : graph_op(g, OP_add, NULL, GRAPH_IN(total, s));
    }
    t->norm2 = graph_name(g, total, "grad_norm_squared");
    if (!g->failed) g->nodes[t->norm2].keep = true;
}

/* Whether a weight is a matrix between the embeddings and the head. */
static bool is_hidden_matrix(const Trainer *t, int weight) {
    const Graph *g = &t->g;
    for (int i = weight; i < g->repeat.from; i++)
        if (g->nodes[i].kind == NODE_OP && g->nodes[i].op == OP_embed && g->nodes[i].in[0] == weight) return false;
    return weight < g->repeat.from && g->nodes[weight].ndim == 2;
}

static void update_param(Trainer *t, TrainParam *p, int scale) {
    Graph *g = &t->g;
    const OptimizerRow *row = &optimizer_rows[t->spec.optimizer];
    const bool beside = row->others != row->matrices && !is_hidden_matrix(t, p->weight);
    const bool decays = !t->spec.decays || t->spec.decays(t->spec.decays_ctx, p->name, g->nodes[p->weight].ndim);
    p->rule = beside ? row->others : row->matrices;
    UpdateNodes u = {.weight = p->weight,
                     .grad = p->grad,
                     .hyper = t->hyper[(beside ? GROUP_BESIDE : 0) + (decays ? 0 : GROUP_NO_DECAY)],
                     .scale = scale,
                     .adjust = t->spec.adjust_lr};
    for (int k = 0; k < p->rule->n_states; k++)
        u.state[k] = p->state[k] =
            state_like(g, p->weight, p->rule->states[k].name, p->rule->states[k].dtype, ROLE_OPTIMIZER);
    p->rule->build(g, &u);
}

static void update(Trainer *t) {
    int scale = graph_op(&t->g, OP_clip_scale, NULL, GRAPH_IN(t->norm2, t->clip));
    for (size_t i = 0; i < t->n_params; i++) update_param(t, &t->params[i], scale);
}

/* ---- casts ---- */

/* Node numbers after a pass; a range begins behind what stands before it. */
static void move(const int *moved, int *id) {
    if (*id >= 0) *id = moved[*id];
}
static void move_end(const int *moved, int *end) { *end = moved[*end - 1] + 1; }

static void move_all(Trainer *t, const int *moved) {
    HeadNodes *h = &t->head;
    int *ids[] = {&t->io.ids, &t->io.rope, &t->io.rope_local, &t->io.positions, &t->io.hidden, &t->clip,
                  &t->norm2,  &t->draw,    &h->rows,          &h->labels,       &h->loss,      &h->weights};
    int *ends[] = {&t->step_end, &t->norm_end, &t->update_end};
    for (size_t i = 0; i < COUNT_OF(ids); i++) move(moved, ids[i]);
    for (size_t i = 0; i < COUNT_OF(ends); i++) move_end(moved, ends[i]);
    for (int i = 0; i < GROUP_COUNT; i++) move(moved, &t->hyper[i]);
    for (size_t i = 0; i < t->n_params; i++) {
        TrainParam *p = &t->params[i];
        move(moved, &p->weight), move(moved, &p->grad);
        for (int k = 0; p->rule && k < p->rule->n_states; k++) move(moved, &p->state[k]);
    }
}

static bool in_bf16(Trainer *t, Err *e) {
    int *moved = mem_alloc((size_t)t->g.n, sizeof *moved);
    bool ok = pass_bf16(&t->g, moved, e);
    if (ok) move_all(t, moved);
    free(moved);
    return ok;
}

bool train_graph(Trainer *t, Err *e) {
    Graph *g = &t->g;
    Grad gr;
    int *blocks = mem_alloc((size_t)t->m->cfg.layers + 1, sizeof *blocks);
    bool ok = body(t, blocks, e);
    if (ok) {
        g->full = true; /* what a batch has not is filled up */
        grad_open(&gr, g, e);
        add_params(t, &gr, 0, g->n);
        for (int i = 0; i < GROUP_COUNT; i++) t->hyper[i] = input(g, DT_f32, 8, arena_printf(&g->arena, "hyper.%d", i));
        t->clip = input(g, DT_f32, 1, "clip");
        Dim dims[] = {DIM(t->spec.tokens), DIM(t->m->cfg.width)};
        int back = graph_leaf(g, NODE_STATE, DT_f32, 2, dims, "hidden.grad");
        if (!g->failed) g->nodes[back].role = ROLE_GRADIENT;
        graph_op(g, OP_clear, NULL, GRAPH_IN(back));
        grad_seed(&gr, t->io.hidden, back);
        head(t, &gr);
        if (!gr.failed) walk_body(t, &gr, blocks);
        t->step_end = g->n;
        t->draw = graph_find(g, DROPOUT_DRAW);
        ok = !gr.failed;
        grad_close(&gr);
    }
    free(blocks);
    if (!ok) return false;
    norm(t);
    t->norm_end = g->n;
    if (t->spec.optimizer) update(t);
    t->update_end = g->n;
    for (size_t i = 0; i < t->n_params; i++) graph_op(g, OP_clear, NULL, GRAPH_IN(t->params[i].grad));
    if (t->spec.precision == PRECISION_BF16 && !g->failed) TRY(in_bf16(t, e));
    return graph_verify(g, e);
}
