#include "core/build.h"

#include <math.h>
#include <stdio.h>

typedef struct Builder {
    const Model *m;
    Graph *g;
    bool trainable;
    ModelGraph io;
    StrMap leaves; /* weight name -> node */
    Arena arena;
} Builder;

/* The leaf of a weight, made once however often it is used. */
static int weight(Builder *b, const char *name) {
    int32_t have = strmap_get(&b->leaves, str_of(name));
    if (have >= 0) return have;
    const Weight *w = model_weight(b->m, name);
    if (!w) BUG("family '%s' has no weight '%s'", b->m->arch->name, name);
    Dim dims[MAX_DIMS];
    for (int d = 0; d < w->t.ndim; d++) dims[d] = DIM(w->t.ne[d]);
    int id = graph_leaf(b->g, b->trainable ? NODE_STATE : NODE_WEIGHT, b->trainable ? DT_f32 : w->t.dtype, w->t.ndim,
                        dims, name);
    b->g->nodes[id].trainable = b->trainable;
    strmap_put(&b->leaves, &b->arena, str_of(w->name), id);
    return id;
}

static int op1(Builder *b, Op op, const OpParams *p, int x) { return graph_op(b->g, op, p, GRAPH_IN(x)); }
static int op2(Builder *b, Op op, const OpParams *p, int x, int y) { return graph_op(b->g, op, p, GRAPH_IN(x, y)); }

/* A module: `out` gets its name, `in` the name's ".input". */
static int module(Builder *b, int out, int in, const char *name) {
    graph_name(b->g, out, "%s", name);
    graph_alias(b->g, in, "%s.input", name);
    return out;
}

static const char *under(Builder *b, const char *path, const char *leaf) {
    return arena_printf(&b->arena, "%s.%s", path, leaf);
}

static int linear_with(Builder *b, int x, const char *name, const char *weight_name) {
    int y = op2(b, OP_matmul, NULL, x, weight(b, weight_name));
    const Weight *w = model_weight(b->m, weight_name);
    if (!b->g->failed && w->interleaved) b->g->nodes[y].interleaved = w->head_dim;
    return module(b, y, x, name);
}

static int linear(Builder *b, int x, const char *path, const char *leaf) {
    const char *name = under(b, path, leaf);
    return linear_with(b, x, name, under(b, name, "weight"));
}

static int norm(Builder *b, int x, const char *name) {
    OpParams p = {.norm = {.eps = (float)b->m->cfg.norm_eps}};
    return module(b, op2(b, OP_rms_norm, &p, x, weight(b, under(b, name, "weight"))), x, name);
}

/* [T, n*E] seen as [T, n, E], or back. */
static int heads(Builder *b, int x, int64_t n) {
    OpParams p = {.view = {.ndim = 3, .ne = {0, n, b->m->cfg.head_dim}}};
    return op1(b, OP_view, &p, x);
}

static int flat(Builder *b, int x, int64_t width) {
    OpParams p = {.view = {.ndim = 2, .ne = {0, width}}};
    return op1(b, OP_view, &p, x);
}

static int rotate(Builder *b, int x, int64_t n, const char *name) {
    bool interleaved = !b->g->failed && b->g->nodes[x].interleaved;
    OpParams p = {.rope = {.interleaved = interleaved}};
    int y = op2(b, OP_rope, &p, heads(b, x, n), b->io.rope);
    if (!b->g->failed && interleaved) b->g->nodes[y].interleaved = b->m->cfg.head_dim;
    return graph_name(b->g, y, "%s", name);
}

static int self_attention(Builder *b, int x, const char *path) {
    const Config *c = &b->m->cfg;
    int q = rotate(b, linear(b, x, path, "q_proj"), c->heads, under(b, path, "q"));
    int k = rotate(b, linear(b, x, path, "k_proj"), c->kv_heads, under(b, path, "k"));
    int v = graph_name(b->g, heads(b, linear(b, x, path, "v_proj"), c->kv_heads), "%s", under(b, path, "v"));
    OpParams p = {.attn = {.scale = (float)(1 / sqrt((double)c->head_dim))}};
    int a = graph_op(b->g, OP_attention, &p, GRAPH_IN(q, k, v));
    int o = linear(b, flat(b, a, c->heads * c->head_dim), path, "o_proj");
    graph_alias(b->g, o, "%s", path);
    graph_alias(b->g, x, "%s.input", path);
    return o;
}

static int gated_mlp(Builder *b, int x, const char *path) {
    int gate = linear(b, x, path, "gate_proj");
    int act = module(b, op1(b, OP_silu, NULL, gate), gate, under(b, path, "act_fn"));
    int h = op2(b, OP_mul, NULL, act, linear(b, x, path, "up_proj"));
    int down = linear(b, h, path, "down_proj");
    graph_alias(b->g, down, "%s", path);
    graph_alias(b->g, x, "%s.input", path);
    return down;
}

/* Pre-norm block: x + attention(norm(x)), then x + mlp(norm(x)). */
static int block(Builder *b, int x, const char *path) {
    int a = self_attention(b, norm(b, x, under(b, path, "input_layernorm")), under(b, path, "self_attn"));
    int mid = graph_name(b->g, op2(b, OP_add, NULL, x, a), "%s.resid_mid", path);
    int m = gated_mlp(b, norm(b, mid, under(b, path, "post_attention_layernorm")), under(b, path, "mlp"));
    return module(b, op2(b, OP_add, NULL, mid, m), x, path);
}

static void leaves(Builder *b) {
    b->io.ids = graph_leaf(b->g, NODE_INPUT, DT_i32, 1, (Dim[]){DIM_T}, "ids");
    b->io.rope = graph_leaf(b->g, NODE_INPUT, DT_f32, 3, (Dim[]){DIM_T, DIM(b->m->cfg.rope.dims / 2), DIM(2)}, "rope");
    b->io.out_rows = graph_leaf(b->g, NODE_INPUT, DT_i32, 1, (Dim[]){DIM_O}, "out_rows");
}

bool build_model(const Model *m, int64_t max_tokens, int64_t max_outputs, bool trainable, Graph *g, ModelGraph *io,
                 Err *e) {
    Builder b = {.m = m, .g = g, .trainable = trainable};
    graph_init(g, max_tokens, max_outputs);
    leaves(&b);
    int x = op2(&b, OP_embed, NULL, weight(&b, "model.embed_tokens.weight"), b.io.ids);
    graph_name(g, x, "model.embed_tokens");
    for (int64_t i = 0; i < m->cfg.layers; i++)
        x = block(&b, x, arena_printf(&b.arena, "model.layers.%lld", (long long)i));
    x = norm(&b, op2(&b, OP_rows, NULL, x, b.io.out_rows), "model.norm");
    b.io.logits = linear_with(&b, x, "lm_head", m->cfg.tied ? "model.embed_tokens.weight" : "lm_head.weight");
    if (!g->failed) g->nodes[b.io.logits].keep = true;
    arena_release(&b.arena);
    *io = b.io;
    return graph_verify(g, e);
}
