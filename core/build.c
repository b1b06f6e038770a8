#include "core/build.h"

#include <math.h>
#include <stdio.h>

typedef struct Builder {
    const Model *m;
    Graph *g;
    BuildSpec spec;
    int64_t layer; /* at hand */
    LayerConfig l; /* of it */
    ModelGraph io;
    StrMap leaves; /* weight name -> node */
    Arena arena;
} Builder;

/* The leaf of a weight, made once however often it is used. */
static int leaf(Builder *b, const Weight *w) {
    int32_t have = strmap_get(&b->leaves, str_of(w->name));
    if (have >= 0) return have;
    Dim dims[MAX_DIMS];
    for (int d = 0; d < w->t.ndim; d++) dims[d] = DIM(w->t.ne[d]);
    int id = graph_leaf(b->g, b->spec.trainable ? NODE_STATE : NODE_WEIGHT, b->spec.trainable ? DT_f32 : w->t.dtype,
                        w->t.ndim, dims, w->name);
    b->g->nodes[id].trainable = b->spec.trainable;
    strmap_put(&b->leaves, &b->arena, str_of(w->name), id);
    return id;
}

/* The weight of a part in the layer at hand, NULL where the family has none. */
static const Weight *has(const Builder *b, Part p) { return model_part(b->m, p, b->layer); }

static const Weight *weight(const Builder *b, Part p) {
    const Weight *w = has(b, p);
    if (!w) BUG("family '%s' lacks part %d", b->m->arch->name, (int)p);
    return w;
}

static int op1(Builder *b, Op op, const OpParams *p, int x) { return graph_op(b->g, op, p, GRAPH_IN(x)); }
static int op2(Builder *b, Op op, const OpParams *p, int x, int y) { return graph_op(b->g, op, p, GRAPH_IN(x, y)); }

/* A module: `out` gets its name, `in` the name's ".input". */
static int module(Builder *b, int out, int in, const char *name) {
    graph_name(b->g, out, "%s", name);
    graph_alias(b->g, in, "%s.input", name);
    return out;
}

static const char *under(Builder *b, const char *path, const char *last) {
    return arena_printf(&b->arena, "%s.%s", path, last);
}

/* "a.b.c" -> "a.b": of a weight its module, of a module the one it stands in. */
static const char *above(Builder *b, const char *name) {
    const char *dot = strrchr(name, '.');
    return arena_strn(&b->arena, name, (size_t)(dot - name));
}

static const Weight *bias_of(Builder *b, const char *module_name) {
    return model_weight(b->m, under(b, module_name, "bias"));
}

static int linear_named(Builder *b, int x, const Weight *w, const Weight *bias, const char *name) {
    int y = op2(b, OP_matmul, NULL, x, leaf(b, w));
    if (bias) y = op2(b, OP_bias, NULL, y, leaf(b, bias));
    if (!b->g->failed && w->interleaved) b->g->nodes[y].interleaved = w->head_dim;
    return module(b, y, x, name);
}

static int linear(Builder *b, int x, Part p) {
    const Weight *w = weight(b, p);
    const char *name = above(b, w->name);
    return linear_named(b, x, w, bias_of(b, name), name);
}

static int norm(Builder *b, int x, Part part) {
    const Weight *w = weight(b, part);
    const char *name = above(b, w->name);
    OpParams p = {.norm = {.eps = (float)b->m->cfg.norm_eps, .plus = w->plus}};
    int y = b->m->arch->layer_norm
                ? graph_op(b->g, OP_layer_norm, &p, GRAPH_IN(x, leaf(b, w), leaf(b, bias_of(b, name))))
                : op2(b, OP_rms_norm, &p, x, leaf(b, w));
    return module(b, y, x, name);
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

/* Queries or keys [T, n, E] as attention wants them: normed and turned, where the family and the layer have it so. */
static int prepared(Builder *b, int x, Part norm_part, const char *name) {
    bool interleaved = !b->g->failed && b->g->nodes[x].interleaved;
    if (has(b, norm_part)) x = norm(b, x, norm_part);
    if (b->l.rotated) {
        OpParams p = {.rope = {.interleaved = interleaved}};
        x = op2(b, OP_rope, &p, x, b->l.local ? b->io.rope_local : b->io.rope);
        if (!b->g->failed && interleaved) b->g->nodes[x].interleaved = b->m->cfg.head_dim;
    }
    if (!b->g->failed && b->g->nodes[x].name)
        graph_alias(b->g, x, "%s", name);
    else
        graph_name(b->g, x, "%s", name);
    return x;
}

/* ---- dropout ---- */

typedef enum DropSite { DROP_EMBED, DROP_PROBS, DROP_ATTN, DROP_MLP, DROP_SITES } DropSite;

/* Each site of each layer draws for itself; numbers from 2^31 on, below are those of adapters. */
static DropoutParams dropout_at(const Builder *b, DropSite site) {
    return (DropoutParams){b->spec.dropout, 1u << 31 | (uint32_t)(b->layer * DROP_SITES + (int)site)};
}

static int dropped(Builder *b, int x, DropSite site) {
    OpParams p = {.dropout = dropout_at(b, site)};
    return b->spec.dropout > 0 ? op2(b, OP_dropout, &p, x, b->io.draw) : x;
}

/* ---- attention ---- */

typedef struct Qkv {
    int q, k, v;
} Qkv;

static int projected(Builder *b, int x, Part p, int64_t n) {
    int y = linear(b, x, p), h = heads(b, y, n);
    if (!b->g->failed) b->g->nodes[h].interleaved = b->g->nodes[y].interleaved;
    return h;
}

/* Columns [begin, begin + n) of dim 1. */
static int slice(Builder *b, int x, int64_t begin, int64_t n) {
    OpParams p = {.view = {.slice = true, .begin = begin, .ne = {0, n}}};
    return op1(b, OP_view, &p, x);
}

static Qkv queries_keys_values(Builder *b, int x, const char *path) {
    const int64_t H = b->m->cfg.heads, K = b->m->cfg.kv_heads;
    Qkv h;
    if (has(b, PART_QKV)) {
        int all = projected(b, x, PART_QKV, H + 2 * K);
        h = (Qkv){slice(b, all, 0, H), slice(b, all, H, K), slice(b, all, H + K, K)};
    } else {
        h.q = projected(b, x, PART_Q, H);
        h.k = projected(b, x, PART_K, K);
        h.v = projected(b, x, PART_V, K);
    }
    h.q = prepared(b, h.q, PART_Q_NORM, under(b, path, "q"));
    h.k = prepared(b, h.k, PART_K_NORM, under(b, path, "k"));
    graph_name(b->g, h.v, "%s", under(b, path, "v"));
    return h;
}

/* Whether a pattern asks for a value by its name. */
static bool asked_for(Builder *b, const char *name) {
    for (const char *const *p = b->spec.visible; p && *p; p++) {
        Str s = str_of(*p);
        if (str_ends(s, ".output")) s.n -= strlen(".output");
        if (s.n && s.s[s.n - 1] != '*' && name_match(arena_strn(&b->arena, s.s, s.n), name)) return true;
    }
    return false;
}

/* In one pass: scores and weights never stand in memory. */
static int attention(Builder *b, Qkv h, OpParams p) {
    if (!(b->spec.dropout > 0)) return graph_op(b->g, OP_attention, &p, GRAPH_IN(h.q, h.k, h.v));
    p.attn.dropout = dropout_at(b, DROP_PROBS);
    return graph_op(b->g, OP_attention, &p, GRAPH_IN(h.q, h.k, h.v, b->io.draw));
}

static int visible_attention(Builder *b, Qkv h, OpParams p, const char *path) {
    OpParams cap = {.cap = {p.attn.softcap}};
    p.attn.softcap = 0;
    int s = op2(b, OP_attn_scores, &p, h.q, h.k);
    if (cap.cap.cap > 0) s = op1(b, OP_softcap, &cap, s);
    int w = op1(b, OP_attn_probs, &p, graph_name(b->g, s, "%s", under(b, path, "scores")));
    w = dropped(b, graph_name(b->g, w, "%s", under(b, path, "probs")), DROP_PROBS);
    return op2(b, OP_attn_mix, &p, w, h.v);
}

static int self_attention(Builder *b, int x) {
    const Config *c = &b->m->cfg;
    const char *path = above(b, above(b, weight(b, PART_O)->name));
    Qkv h = queries_keys_values(b, x, path);
    double scalar = c->query_scalar > 0 ? c->query_scalar : (double)c->head_dim;
    OpParams p = {.attn = {.scale = (float)(1 / sqrt(scalar)),
                           .mask = {b->l.window},
                           .softcap = (float)c->attn_softcap,
                           .keys = b->spec.keys}};
    bool visible = asked_for(b, under(b, path, "scores")) || asked_for(b, under(b, path, "probs"));
    int a = visible ? visible_attention(b, h, p, path) : attention(b, h, p);
    int o = linear(b, flat(b, a, c->heads * c->head_dim), PART_O);
    graph_alias(b->g, o, "%s", path);
    graph_alias(b->g, x, "%s.input", path);
    return o;
}

static int activation(Builder *b, int x, const char *path) {
    const ArchRow *a = b->m->arch;
    return module(b, op1(b, a->act == ACT_GELU ? OP_gelu : OP_silu, NULL, x), x,
                  under(b, path, a->act_name ? a->act_name : "act_fn"));
}

/* What the last projection of the mlp at `path` reads. */
static int mlp_inner(Builder *b, int x, const char *path) {
    const int64_t F = b->m->cfg.ffn;
    if (!has(b, PART_GATE) && !has(b, PART_GATE_UP)) return activation(b, linear(b, x, PART_UP), path);
    int both = has(b, PART_GATE_UP) ? linear(b, x, PART_GATE_UP) : -1;
    int gate = both >= 0 ? slice(b, both, 0, F) : linear(b, x, PART_GATE);
    int act = activation(b, gate, path);
    int up = both >= 0 ? slice(b, both, F, F) : linear(b, x, PART_UP);
    return op2(b, OP_mul, NULL, act, up);
}

/* The product of each token and its experts, as a module. */
static int experts_linear(Builder *b, int x, Part p, int ids) {
    const Weight *w = weight(b, p);
    int y = graph_op(b->g, OP_matmul_experts, NULL, GRAPH_IN(x, leaf(b, w), ids));
    return module(b, y, x, above(b, w->name));
}

/* Each token by a few experts, as its router weighs them. */
static int experts(Builder *b, int x) {
    const Config *c = &b->m->cfg;
    const char *path = above(b, above(b, weight(b, PART_ROUTER)->name)),
               *inside = above(b, above(b, weight(b, PART_EXPERTS_DOWN)->name));
    OpParams p = {.route = {(int)c->experts_used, c->experts_normalised}};
    int routes = graph_name(b->g, op1(b, OP_route, &p, linear(b, x, PART_ROUTER)), "%s", under(b, path, "routes"));
    int ids = op1(b, OP_route_ids, &p, routes);
    int act = activation(b, experts_linear(b, x, PART_EXPERTS_GATE, ids), inside);
    int y = op2(b, OP_mul, NULL, act, experts_linear(b, x, PART_EXPERTS_UP, ids));
    y = experts_linear(b, y, PART_EXPERTS_DOWN, ids);
    y = module(b, graph_op(b->g, OP_experts_sum, NULL, GRAPH_IN(y, routes, ids)), x, inside);
    graph_alias(b->g, y, "%s", path);
    graph_alias(b->g, x, "%s.input", path);
    return y;
}

static int mlp(Builder *b, int x) {
    if (has(b, PART_ROUTER)) return experts(b, x);
    const char *path = above(b, above(b, weight(b, PART_DOWN)->name));
    int down = linear(b, mlp_inner(b, x, path), PART_DOWN);
    graph_alias(b->g, down, "%s", path);
    graph_alias(b->g, x, "%s.input", path);
    return down;
}

/* What a branch adds, normed where the family has it so. */
static int branch(Builder *b, int y, Part post_norm, DropSite site) {
    return dropped(b, has(b, post_norm) ? norm(b, y, post_norm) : y, site);
}

/* Pre-norm block: x + attention(norm(x)), then x + mlp(norm(x)); or both of the same norm(x), added together. */
static int block(Builder *b, int x) {
    const char *path = above(b, above(b, weight(b, PART_ATTN_NORM)->name));
    int normed = norm(b, x, PART_ATTN_NORM);
    int a = branch(b, self_attention(b, normed), PART_ATTN_POST_NORM, DROP_ATTN);
    if (!has(b, PART_FFN_NORM)) {
        int both = op2(b, OP_add, NULL, a, branch(b, mlp(b, normed), PART_FFN_POST_NORM, DROP_MLP));
        return module(b, op2(b, OP_add, NULL, both, x), x, path);
    }
    int mid = graph_name(b->g, op2(b, OP_add, NULL, x, a), "%s.resid_mid", path);
    int m = branch(b, mlp(b, norm(b, mid, PART_FFN_NORM)), PART_FFN_POST_NORM, DROP_MLP);
    return module(b, op2(b, OP_add, NULL, mid, m), x, path);
}

static void inputs(Builder *b) {
    b->io.ids = graph_leaf(b->g, NODE_INPUT, DT_i32, 1, (Dim[]){DIM_T}, "ids");
    bool rotated = false, local = false;
    for (int64_t i = 0; i < b->m->cfg.layers; i++) {
        LayerConfig l = arch_layer(&b->m->cfg, i);
        rotated = rotated || (l.rotated && !l.local), local = local || (l.rotated && l.local);
    }
    b->io.positions = b->io.rope = b->io.rope_local = -1;
    if (has(b, PART_POSITIONS)) b->io.positions = graph_leaf(b->g, NODE_INPUT, DT_i32, 1, (Dim[]){DIM_T}, "positions");
    if (rotated)
        b->io.rope =
            graph_leaf(b->g, NODE_INPUT, DT_f32, 3, (Dim[]){DIM_T, DIM(b->m->cfg.rope.dims / 2), DIM(2)}, "rope");
    if (local)
        b->io.rope_local = graph_leaf(b->g, NODE_INPUT, DT_f32, 3,
                                      (Dim[]){DIM_T, DIM(b->m->cfg.local.dims / 2), DIM(2)}, "rope.local");
    b->io.draw = -1;
    if (b->spec.dropout > 0) b->io.draw = graph_leaf(b->g, NODE_INPUT, DT_i32, 1, (Dim[]){DIM(2)}, DROPOUT_DRAW);
    b->io.out_rows = graph_leaf(b->g, NODE_INPUT, DT_i32, 1, (Dim[]){DIM_O}, "out_rows");
}

static int embedded(Builder *b) {
    const Weight *w = weight(b, PART_EMBED);
    int x = graph_name(b->g, op2(b, OP_embed, NULL, leaf(b, w), b->io.ids), "%s", above(b, w->name));
    if (has(b, PART_POSITIONS)) {
        const Weight *at = weight(b, PART_POSITIONS);
        int y = graph_name(b->g, op2(b, OP_embed, NULL, leaf(b, at), b->io.positions), "%s", above(b, at->name));
        x = op2(b, OP_add, NULL, x, y);
    }
    OpParams p = {.scale = {sqrtf((float)b->m->cfg.width)}};
    return dropped(b, b->m->arch->scaled_embedding ? op1(b, OP_scale, &p, x) : x, DROP_EMBED);
}

/* x after all blocks; blocks may be NULL. */
static int all_blocks(Builder *b, int *blocks) {
    int x = embedded(b);
    for (b->layer = 0; b->layer < b->m->cfg.layers; b->layer++) {
        b->l = arch_layer(&b->m->cfg, b->layer);
        x = block(b, x);
        if (blocks) blocks[b->layer] = x;
    }
    return x;
}

/* Called lm_head whatever the file calls it, and whether or not it has a weight of its own. */
static int head(Builder *b, int x) {
    const Config *c = &b->m->cfg;
    const TensorRow *row = b->m->arch->tensors;
    while (row->hf && row->part != PART_HEAD) row++;
    const Weight *w = weight(b, c->tied ? PART_EMBED : PART_HEAD),
                 *bias = row->hf ? bias_of(b, above(b, row->hf)) : NULL;
    int y = linear_named(b, x, w, bias, "lm_head");
    OpParams p = {.cap = {(float)c->logit_softcap}};
    return c->logit_softcap > 0 ? graph_name(b->g, op1(b, OP_softcap, &p, y), "logits") : y;
}

bool build_model(const Model *m, const BuildSpec *spec, Graph *g, ModelGraph *io, Err *e) {
    Builder b = {.m = m, .g = g, .spec = *spec};
    graph_init(g, spec->max_tokens, spec->max_outputs);
    inputs(&b);
    int x = all_blocks(&b, NULL);
    b.io.logits = head(&b, norm(&b, op2(&b, OP_rows, NULL, x, b.io.out_rows), PART_NORM));
    if (!g->failed) g->nodes[b.io.logits].keep = true;
    arena_release(&b.arena);
    *io = b.io;
    return graph_verify(g, e);
}

bool build_body(const Model *m, const BuildSpec *spec, Graph *g, ModelGraph *io, int *blocks, Err *e) {
    Builder b = {.m = m, .g = g, .spec = *spec};
    graph_init(g, spec->max_tokens, spec->max_outputs);
    inputs(&b);
    b.io.hidden = norm(&b, all_blocks(&b, blocks), PART_NORM);
    arena_release(&b.arena);
    *io = b.io;
    return graph_verify(g, e);
}

int build_head(const Model *m, Graph *g, int x, bool trainable) {
    Builder b = {.m = m, .g = g, .spec = {.trainable = trainable}};
    for (int i = 0; i < g->n; i++) /* weights that the body reads too */
        if (g->nodes[i].kind == NODE_WEIGHT || g->nodes[i].kind == NODE_STATE)
            strmap_put(&b.leaves, &b.arena, str_of(g->nodes[i].name), i);
    int y = head(&b, x);
    arena_release(&b.arena);
    return y;
}
