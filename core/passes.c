#include "core/passes.h"

#include <stdlib.h>

/* Rebuilding: every pass that inserts nodes copies the graph node by node into a new one, so that order (invariant 1)
 * comes by itself. map[old] is the new node that stands for an old one. */
typedef struct Rebuild {
    Graph *old;
    Graph g;
    int *map;
} Rebuild;

static void rebuild_begin(Rebuild *r, Graph *old) {
    r->old = old;
    graph_init(&r->g, old->bound[SYM_T], old->bound[SYM_O]);
    r->g.full = old->full;
    r->g.arena = old->arena; /* names move along */
    old->arena = (Arena){0};
    r->map = mem_alloc((size_t)MAX(old->n, 1), sizeof *r->map);
}

/* What a value keeps through every rewrite: node `id` of the new graph stands for node `i` of the old one. */
static int rebuild_carry(Rebuild *r, int i, int id) {
    if (r->g.failed) return 0;
    const Node *a = &r->old->nodes[i];
    Node *b = &r->g.nodes[id];
    b->name = a->name, b->keep = a->keep, b->trainable = a->trainable, b->role = a->role,
    b->interleaved = a->interleaved;
    return r->map[i] = id;
}

/* Copies node i with its inputs mapped. */
static int rebuild_copy(Rebuild *r, int i) {
    const Node *n = &r->old->nodes[i];
    if (n->kind != NODE_OP) {
        Dim dims[MAX_DIMS];
        for (int d = 0; d < n->ndim; d++) dims[d] = (Dim){n->ne[d], (Sym)n->sym[d]};
        return rebuild_carry(r, i, graph_leaf(&r->g, n->kind, n->dtype, n->ndim, dims, n->name ? n->name : ""));
    }
    int in[MAX_IN];
    for (int k = 0; k < n->n_in; k++) in[k] = r->map[n->in[k]];
    return rebuild_carry(r, i, graph_op(&r->g, n->op, &n->params, n->n_in, in));
}

static void map_names(const Rebuild *r, NameList *from, NameList *to) {
    for (int i = 0; i < from->n; i++) from->items[i].id = r->map[from->items[i].id];
    *to = *from;
}

static bool rebuild_end(Rebuild *r, Err *e) {
    map_names(r, &r->old->aliases, &r->g.aliases);
    map_names(r, &r->old->taps, &r->g.taps);
    const NodeRange again = r->old->repeat; /* what a pass puts before the first of them is theirs */
    if (again.to > again.from)
        r->g.repeat = (NodeRange){again.from ? r->map[again.from - 1] + 1 : 0, r->map[again.to - 1] + 1};
    free(r->map);
    free(r->old->nodes);
    *r->old = r->g;
    if (!r->g.failed) return true;
    if (e) *e = r->g.err;
    return false;
}

/* ---- adapters ---- */

typedef struct Adapting {
    Rebuild r;
    const Lora *l;
    bool trainable;
    StrMap leaves; /* A and B that are there: name -> node */
    Arena arena;
} Adapting;

static int lora_leaf(Adapting *x, const LoraMap *map, int which) {
    const char *name = map->leaf[which];
    int32_t have = strmap_get(&x->leaves, str_of(name));
    if (have >= 0) return have;
    const Tensor *t = map->t[which];
    const int64_t *w = map->w->t.ne;
    int id =
        graph_leaf(&x->r.g, x->trainable ? NODE_STATE : NODE_WEIGHT, x->trainable || !t ? DT_f32 : t->dtype, 2,
                   which == LORA_A ? (Dim[]){DIM(map->rank), DIM(w[1])} : (Dim[]){DIM(w[0]), DIM(map->rank)}, name);
    x->r.g.nodes[id].trainable = x->trainable;
    strmap_put(&x->leaves, &x->arena, str_of(name), id);
    return id;
}

static int rope_order(Graph *g, int id, int64_t head_dim, bool to_interleaved);

/* What A reads of the value `in`: with dropout in training a part of it, which each map draws for itself. */
static int dropped(Adapting *x, int in) {
    Graph *g = &x->r.g;
    if (!x->trainable || !(x->l->dropout > 0)) return in;
    int32_t draw = strmap_get(&x->leaves, STR(DROPOUT_DRAW));
    if (draw < 0) {
        draw = graph_leaf(g, NODE_INPUT, DT_i32, 1, (Dim[]){DIM(2)}, DROPOUT_DRAW);
        strmap_put(&x->leaves, &x->arena, STR(DROPOUT_DRAW), draw);
    }
    OpParams p = {.dropout = {x->l->dropout, (uint32_t)g->n}};
    return graph_op(g, OP_dropout, &p, GRAPH_IN(in, draw));
}

/* y + scale * (x A^T) B^T */
static int adapted(Adapting *x, const LoraMap *map, int in, int y) {
    Graph *g = &x->r.g;
    in = dropped(x, in);
    OpParams p = {.scale = {map->scale}};
    int a = lora_leaf(x, map, LORA_A), b = lora_leaf(x, map, LORA_B);
    int down = graph_op(g, OP_scale, &p, GRAPH_IN(graph_op(g, OP_matmul, NULL, GRAPH_IN(in, a))));
    int up = graph_op(g, OP_matmul, NULL, GRAPH_IN(down, b));
    if (map->interleaved != map->w->interleaved) up = rope_order(g, up, map->w->head_dim, map->w->interleaved);
    return graph_op(g, OP_add, NULL, GRAPH_IN(y, up));
}

/* The first map of what node i multiplies with, -1: it is none. */
static int32_t map_of(const Lora *l, const Graph *g, int i) {
    const Node *n = &g->nodes[i];
    if (n->kind != NODE_OP || n->op != OP_matmul || !g->nodes[n->in[1]].name) return -1;
    return strmap_get(&l->by_weight, str_of(g->nodes[n->in[1]].name));
}

bool pass_lora(Graph *g, const Lora *l, int from, bool trainable, int *moved, Err *e) {
    Adapting x = {.l = l, .trainable = trainable};
    const int n = g->n;
    rebuild_begin(&x.r, g);
    for (int i = 0; i < n; i++) {
        int id = rebuild_copy(&x.r, i);
        if (g->nodes[i].kind != NODE_OP) strmap_put(&x.leaves, &x.arena, str_of(g->nodes[i].name), id);
        for (int32_t m = i < from ? -1 : map_of(l, g, i); m >= 0 && !x.r.g.failed; m = l->maps[m].next) {
            int now = adapted(&x, &l->maps[m], x.r.map[g->nodes[i].in[0]], id);
            if (!x.r.g.failed) x.r.g.nodes[id].name = NULL, x.r.g.nodes[id].keep = false;
            id = rebuild_carry(&x.r, i, now);
        }
    }
    if (moved) memcpy(moved, x.r.map, (size_t)n * sizeof *moved);
    arena_release(&x.arena);
    return rebuild_end(&x.r, e);
}

/* ---- taps and patches ---- */

/* The name under which pattern finds node i, NULL where it does not. */
static const char *matched_name(const Graph *g, int i, const char *pattern) {
    size_t len = strlen(pattern);
    char bare[256];
    if (g->nodes[i].kind != NODE_OP) return NULL;
    if (len > 7 && len < sizeof bare && strcmp(pattern + len - 7, ".output") == 0) {
        memcpy(bare, pattern, len - 7);
        bare[len - 7] = 0;
        pattern = bare;
    }
    if (g->nodes[i].name && name_match(pattern, g->nodes[i].name)) return g->nodes[i].name;
    for (int k = 0; k < g->aliases.n; k++)
        if (g->aliases.items[k].id == i && name_match(pattern, g->aliases.items[k].name))
            return g->aliases.items[k].name;
    return NULL;
}

/* Taps and patches speak Hugging Face order: a value in GGUF's rope order is turned, and turned back. */
static int rope_order(Graph *g, int id, int64_t head_dim, bool to_interleaved) {
    OpParams p = {.rope_order = {.to_interleaved = to_interleaved, .head_dim = head_dim}};
    return graph_op(g, OP_rope_order, &p, GRAPH_IN(id));
}

static int apply_patch(Graph *g, int id, const PatchRule *rule, int vec) {
    OpParams p = {.patch = rule->params};
    int64_t turned = g->nodes[id].interleaved;
    int x = turned ? rope_order(g, id, turned, false) : id;
    x = vec < 0 ? graph_op(g, OP_patch, &p, GRAPH_IN(x)) : graph_op(g, OP_patch, &p, GRAPH_IN(x, vec));
    return turned ? rope_order(g, x, turned, true) : x;
}

bool pass_patch(Graph *g, const PatchRule *rules, int n, int *vecs, Err *e) {
    if (!n) return true;
    Rebuild r;
    bool *hit = mem_alloc((size_t)n, sizeof *hit);
    rebuild_begin(&r, g);
    for (int k = 0; k < n; k++) {
        const char *name = arena_printf(&r.g.arena, "patch.%d", k);
        vecs[k] = rules[k].n ? graph_leaf(&r.g, NODE_INPUT, DT_f32, 1, (Dim[]){DIM(rules[k].n)}, name) : -1;
    }
    for (int i = 0; i < g->n; i++) {
        int id = rebuild_copy(&r, i);
        for (int k = 0; k < n && !r.g.failed; k++) {
            if (!matched_name(g, i, rules[k].name)) continue;
            int now = apply_patch(&r.g, id, &rules[k], vecs[k]);
            if (!r.g.failed) r.g.nodes[id].name = NULL, r.g.nodes[id].keep = false;
            id = rebuild_carry(&r, i, now);
            hit[k] = true;
        }
    }
    bool ok = rebuild_end(&r, e);
    for (int k = 0; k < n && ok; k++)
        if (!hit[k])
            ok = err_set(e, ERR_USAGE, "no value is named '%s'; 'llmws inspect MODEL --modules' lists them",
                         rules[k].name);
    free(hit);
    return ok;
}

static void tap(Graph *g, int i, const char *name) {
    int id = g->nodes[i].interleaved ? rope_order(g, i, g->nodes[i].interleaved, false) : i;
    if (g->failed) return;
    g->nodes[id].keep = true;
    name_list_add(&g->taps, name, id);
}

bool pass_tap(Graph *g, const char *const *patterns, Err *e) {
    int n = g->n; /* what taps add at the end is no value of the model */
    for (const char *const *p = patterns; p && *p; p++) {
        bool hit = false;
        for (int i = 0; i < n && !g->failed; i++) {
            const char *name = matched_name(g, i, *p);
            bool again = false;
            for (int k = 0; name && k < g->taps.n; k++) again = again || strcmp(g->taps.items[k].name, name) == 0;
            if (name && !again) tap(g, i, name);
            hit = hit || name;
        }
        if (!hit && !g->failed)
            return err_set(e, ERR_USAGE, "no value matches '%s'; 'llmws inspect MODEL --modules' lists them", *p);
    }
    if (g->failed && e) *e = g->err;
    return !g->failed;
}

/* ---- inference ---- */

/* Ops that read keys or values of the step, and what reads them from the cache. */
static const struct {
    Op op, cached;
} over_cache[] = {{OP_attention, OP_attention_kv}, {OP_attn_scores, OP_attn_scores_kv}, {OP_attn_mix, OP_attn_mix_kv}};

static int cached_op(const Node *n) {
    for (size_t i = 0; i < COUNT_OF(over_cache) && n->kind == NODE_OP; i++)
        if (over_cache[i].op == n->op) return (int)over_cache[i].cached;
    return -1;
}

/* The values that are mixed by what node i makes of the keys; they stand before it. */
static int values_of(const Graph *g, int i) {
    if (g->nodes[i].op == OP_attention) return g->nodes[i].in[2];
    while (g->nodes[i].kind != NODE_OP || g->nodes[i].op != OP_attn_mix) i++;
    return g->nodes[i].in[1];
}

bool pass_cache(Graph *g, Err *e) {
    Rebuild r;
    int layer = -1, store = -1;
    rebuild_begin(&r, g);
    for (int i = 0; i < g->n; i++) {
        const Node *n = &g->nodes[i];
        const int cached = cached_op(n);
        if (cached < 0) {
            rebuild_copy(&r, i);
            continue;
        }
        if (n->op != OP_attn_mix) {
            OpParams kv = {.kv = {.layer = ++layer}};
            store = graph_op(&r.g, OP_kv_store, &kv, GRAPH_IN(r.map[n->in[1]], r.map[values_of(g, i)]));
        }
        OpParams p = n->params;
        p.attn.layer = layer;
        int in[] = {r.map[n->in[0]], store, 0}, n_in = 2;
        if (cached == OP_attention_kv) in[n_in++] = graph_op(&r.g, OP_attention_strands, &p, 2, in);
        rebuild_carry(&r, i, graph_op(&r.g, (Op)cached, &p, n_in, in));
    }
    return rebuild_end(&r, e);
}

/* ---- rows that are wanted ---- */

/* What is left of values of which only some rows are wanted: those that `index` names. */
typedef struct Picking {
    Rebuild r;
    int index; /* old node */
    int *rows; /* [old n] new node with the wanted rows of an old value, 0: none yet */
} Picking;

static bool picks(const Node *n, int index) { return n->kind == NODE_OP && n->op == OP_rows && n->in[1] == index; }

/* alone[i]: all that is read of value i are rows that index picks, from it or from what ops make of it row by row. */
static void find_alone(const Graph *g, int index, bool *alone) {
    enum { UNREAD, ALONE, WHOLE };
    char *read = mem_alloc((size_t)MAX(g->n, 1), sizeof *read);
    for (int i = g->n - 1; i >= 0; i--) {
        const Node *n = &g->nodes[i];
        bool by_rows = n->kind == NODE_OP && op_info[n->op].flags & OPF_ROWS && n->sym[0] == SYM_T;
        alone[i] = by_rows && !n->keep && i > index && read[i] == ALONE;
        for (int k = 0; k < n->n_in; k++) {
            bool some = alone[i] || (k == 0 && picks(n, index));
            read[n->in[k]] = (char)MAX(read[n->in[k]], some ? ALONE : WHOLE);
        }
    }
    free(read);
}

/* The wanted rows of old value x, which stands there whole. Only values of two dims have rows to pick. */
static int picked(Picking *p, int x) {
    Graph *g = &p->r.g;
    const Node *n = &p->r.old->nodes[x];
    OpParams flat = {.view = {.ndim = 2, .ne = {0, 1}}}, back = {.view = {.ndim = n->ndim}};
    if (p->rows[x] || g->failed) return p->rows[x];
    for (int d = 1; d < n->ndim; d++) flat.view.ne[1] *= n->ne[d], back.view.ne[d] = n->ne[d];
    int all = p->r.map[x];
    if (n->ndim > 2) all = graph_op(g, OP_view, &flat, GRAPH_IN(all));
    int some = graph_op(g, OP_rows, NULL, GRAPH_IN(all, p->r.map[p->index]));
    return p->rows[x] = n->ndim > 2 ? graph_op(g, OP_view, &back, GRAPH_IN(some)) : some;
}

/* Node i over the wanted rows of its inputs; weights have no rows of tokens. */
static void pick_after(Picking *p, int i) {
    const Graph *old = p->r.old;
    const Node *n = &old->nodes[i];
    int in[MAX_IN];
    for (int k = 0; k < n->n_in; k++)
        in[k] = old->nodes[n->in[k]].sym[0] == SYM_T ? picked(p, n->in[k]) : p->r.map[n->in[k]];
    p->rows[i] = graph_op(&p->r.g, n->op, &n->params, n->n_in, in);
}

bool pass_rows(Graph *g, int index, Err *e) {
    if (g->bound[SYM_O] == g->bound[SYM_T]) return true;
    Picking p = {.index = index};
    bool *alone = mem_alloc((size_t)MAX(g->n, 1), sizeof *alone);
    p.rows = mem_alloc((size_t)MAX(g->n, 1), sizeof *p.rows);
    find_alone(g, index, alone);
    rebuild_begin(&p.r, g);
    for (int i = 0; i < g->n; i++) {
        const Node *n = &g->nodes[i];
        if (picks(n, index) && alone[n->in[0]])
            rebuild_carry(&p.r, i, p.rows[n->in[0]]);
        else
            rebuild_copy(&p.r, i);
        if (alone[i]) pick_after(&p, i);
    }
    free(p.rows);
    free(alone);
    return rebuild_end(&p.r, e);
}

const char *const compute_names[] = {
    [COMPUTE_AUTO] = "auto", [COMPUTE_F32] = "f32", [COMPUTE_BF16] = "bf16", [COMPUTE_INT8] = "int8", NULL};

bool compute_from_name(const char *name, Compute *out) {
    for (int i = 0; compute_names[i]; i++)
        if (strcmp(name, compute_names[i]) == 0) return *out = (Compute)i, true;
    return false;
}

/* The form in which activations meet a weight. */
static Dtype activation_form(Compute how, Dtype weight) {
    bool quant = dtype_info[weight].class == DTC_QUANT;
    if (quant && (how == COMPUTE_AUTO || how == COMPUTE_INT8)) return DT_a8;
    if (weight == DT_bf16 && (how == COMPUTE_AUTO || how == COMPUTE_BF16)) return DT_bf16;
    return DT_f32;
}

/* Casts of old nodes to other dtypes, each made where it is first asked for. */
typedef struct Casts {
    int (*of)[DT_COUNT]; /* 0: none yet */
} Casts;

static int cast_to(Rebuild *r, Casts *c, int old, Dtype form) {
    int *at = &c->of[old][form];
    OpParams p = {.cast = {.to = form}};
    if (form == r->old->nodes[old].dtype) return r->map[old];
    if (!*at) *at = graph_op(&r->g, OP_cast, &p, GRAPH_IN(r->map[old]));
    return *at;
}

/* Copies node i, its first n inputs in another dtype. */
static void copy_cast(Rebuild *r, Casts *c, int i, int n_cast, Dtype form) {
    const Node *n = &r->old->nodes[i];
    int in[MAX_IN];
    for (int k = 0; k < n->n_in; k++) in[k] = k < n_cast ? cast_to(r, c, n->in[k], form) : r->map[n->in[k]];
    rebuild_carry(r, i, graph_op(&r->g, n->op, &n->params, n->n_in, in));
}

bool pass_compute(Graph *g, Compute how, Err *e) {
    Rebuild r;
    rebuild_begin(&r, g);
    Casts c = {mem_alloc((size_t)MAX(g->n, 1), sizeof *c.of)};
    for (int i = 0; i < g->n; i++) {
        const Node *n = &g->nodes[i];
        bool product = n->kind == NODE_OP && (n->op == OP_matmul || n->op == OP_matmul_experts);
        Dtype form = product ? activation_form(how, g->nodes[n->in[1]].dtype) : DT_f32;
        if (product)
            copy_cast(&r, &c, i, 1, form);
        else
            rebuild_copy(&r, i);
    }
    free(c.of);
    return rebuild_end(&r, e);
}

/* How many inputs of a product of training are activations or gradients, 0: it is none, or not for bf16. */
static int bf16_inputs(const Graph *g, const Node *n) {
    if (n->kind != NODE_OP) return 0;
    if (n->op == OP_matmul_dw || n->op == OP_matmul_experts_dw) return 2;
    bool product =
        n->op == OP_matmul || n->op == OP_matmul_dx || n->op == OP_matmul_experts || n->op == OP_matmul_experts_dx;
    return product && dtype_info[g->nodes[n->in[1]].dtype].class == DTC_FLOAT;
}

bool pass_bf16(Graph *g, int *moved, Err *e) {
    Rebuild r;
    rebuild_begin(&r, g);
    Casts c = {mem_alloc((size_t)MAX(g->n, 1), sizeof *c.of)};
    for (int i = 0; i < g->n; i++) {
        int n = bf16_inputs(g, &g->nodes[i]);
        if (n)
            copy_cast(&r, &c, i, n, DT_bf16);
        else
            rebuild_copy(&r, i);
    }
    memcpy(moved, r.map, (size_t)g->n * sizeof *moved);
    free(c.of);
    return rebuild_end(&r, e);
}
