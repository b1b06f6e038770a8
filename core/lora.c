#include "core/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/rng.h"

void lora_release(Lora *l) {
    free(l->maps);
    arena_release(&l->arena);
    *l = (Lora){0};
}

void lora_begin(Lora *l) { l->adapters++; }

/* ---- which weights ---- */

static bool linear(const Weight *w) {
    return w && w->t.ndim == 2 && w->row->part != PART_EMBED && w->row->part != PART_POSITIONS;
}

/* "a.b.weight" -> "a.b" */
static Str module_of(const char *weight) {
    Str s = str_of(weight);
    const char *end = str_ends(s, ".weight") ? s.s + s.n - strlen(".weight") : s.s + s.n;
    return (Str){weight, (size_t)(end - weight)};
}

static const Weight *by_hf_name(const Model *m, const char *module, Arena *a) {
    const char *prefix = m->arch->hf_prefix ? m->arch->hf_prefix : "";
    const Weight *w = model_weight(m, arena_printf(a, "%s.weight", module));
    if (!w) w = model_weight(m, arena_printf(a, "%s%s.weight", prefix, module));
    if (w) return linear(w) ? w : NULL;
    return m->cfg.tied && strcmp(module, "lm_head") == 0 ? model_part(m, PART_EMBED, 0) : NULL;
}

static const Weight *by_gguf_name(const Model *m, const char *module, Arena *a) {
    const char *name = arena_printf(a, "%s.weight", module);
    for (size_t i = 0; i < m->n; i++) {
        const Weight *w = &m->weights[i];
        if (linear(w) && w->row->gguf && strcmp(weight_name(a, w->row->gguf, w->layer), name) == 0) return w;
    }
    return NULL;
}

const Weight *lora_weight(const Model *m, const char *module, StoreFormat format) {
    Arena a = {0};
    const Weight *w = format == STORE_HF ? by_hf_name(m, module, &a) : by_gguf_name(m, module, &a);
    arena_release(&a);
    return w;
}

/* ---- maps ---- */

static void put_leaf(Lora *l, LoraMap *map, int which) {
    /* the embedding as a linear map is the head */
    Str module = map->w->row->part == PART_EMBED ? STR("lm_head") : module_of(map->w->name);
    char nth[16] = "";
    if (l->adapters > 1) snprintf(nth, sizeof nth, ".%d", l->adapters - 1);
    map->leaf[which] = arena_printf(&l->arena, "base_model.model.%.*s.lora_%c%s.weight", STR_ARG(module),
                                    which == LORA_A ? 'A' : 'B', nth);
    strmap_put(&l->by_leaf, &l->arena, str_of(map->leaf[which]), (int32_t)(map - l->maps) * 2 + which);
}

static bool put_map(Lora *l, LoraMap map, Err *e) {
    const int32_t at = (int32_t)l->n, first = strmap_get(&l->by_weight, str_of(map.w->name));
    if (l->n == l->cap) {
        l->cap = 2 * l->cap + 32;
        l->maps = mem_grow(l->maps, l->cap, sizeof *l->maps);
    }
    l->maps[l->n++] = map;
    put_leaf(l, &l->maps[at], LORA_A), put_leaf(l, &l->maps[at], LORA_B);
    l->maps[at].next = -1;
    if (first < 0) return strmap_put(&l->by_weight, &l->arena, str_of(map.w->name), at), true;
    int32_t last = first;
    while (l->maps[last].next >= 0) last = l->maps[last].next;
    l->maps[last].next = at;
    bool again = strcmp(l->maps[last].leaf[0], l->maps[at].leaf[0]) == 0;
    return !again || err_set(e, ERR_INPUT, "it adapts '%s' twice", map.w->name);
}

bool lora_add(Lora *l, const Model *m, const LoraPair *p, Err *e) {
    const Weight *w = lora_weight(m, p->module, p->format);
    const int64_t *a = p->a->ne, *b = p->b->ne;
    if (!w)
        return err_set(e, ERR_INPUT, "it adapts '%s', and the model '%s' (%s) has no such linear map", p->module,
                       m->file.path, m->arch->name);
    if (p->a->ndim != 2 || p->b->ndim != 2 || a[0] != b[1] || a[1] != w->t.ne[1] || b[0] != w->t.ne[0])
        return err_set(e, ERR_INPUT,
                       "it has for '%s' A [%lld,%lld] and B [%lld,%lld], and the model a weight [%lld,%lld]", p->module,
                       (long long)a[0], (long long)a[1], (long long)b[0], (long long)b[1], (long long)w->t.ne[0],
                       (long long)w->t.ne[1]);
    LoraMap map = {.w = w, .t = {p->a, p->b}, .rank = a[0], .scale = (float)p->scale};
    map.interleaved = p->format == STORE_GGUF && w->head_dim;
    return put_map(l, map, e);
}

/* Whether the module's name is the word or ends in ".word". */
static bool is_called(const Weight *w, Str word) {
    const Str module = module_of(w->name);
    const size_t before = module.n - word.n;
    if (!word.n || word.n > module.n || memcmp(module.s + before, word.s, word.n) != 0) return false;
    return !before || module.s[before - 1] == '.';
}

static bool is_target(Str targets, const Weight *w) {
    bool hit = false;
    if (!linear(w)) return false;
    if (str_is(targets, "all-linear")) return w->row->part != PART_HEAD;
    for (Str word; !hit && str_word(&targets, '+', &word);) hit = is_called(w, word);
    return hit;
}

/* Every word of the targets is some module's. */
static bool check_targets(const Model *m, Str targets, Err *e) {
    if (str_is(targets, "all-linear")) return true;
    for (Str word; str_word(&targets, '+', &word);) {
        bool hit = false;
        for (size_t k = 0; k < m->n && !hit; k++) hit = linear(&m->weights[k]) && is_called(&m->weights[k], word);
        if (!hit)
            return err_set(e, ERR_USAGE, "adapter: the model has no linear map '%.*s'; its family's are %s",
                           STR_ARG(word), m->arch->lora_targets);
    }
    return true;
}

bool lora_new(Lora *l, const Model *m, const LoraSpec *s, Err *e) {
    const Str targets = str_of(s->targets ? s->targets : m->arch->lora_targets);
    if (s->rank < 1 || s->rank > INT32_MAX || !(s->dropout >= 0 && s->dropout < 1))
        return err_set(e, ERR_USAGE, "adapter: rank %lld and dropout %g: the rank is above 0, dropout in [0, 1)",
                       (long long)s->rank, s->dropout);
    TRY(check_targets(m, targets, e));
    lora_begin(l);
    l->dropout = (float)s->dropout;
    const double r = (double)s->rank;
    for (size_t i = 0; i < m->n; i++) {
        const Weight *w = &m->weights[i];
        LoraMap map = {.w = w, .rank = s->rank, .scale = (float)(s->alpha / (s->root ? sqrt(r) : r))};
        if (is_target(targets, w)) TRY(put_map(l, map, e));
    }
    return true;
}

/* ---- values ---- */

static LoraMap *map_of(const Lora *l, const char *leaf, int *which) {
    int32_t at = strmap_get(&l->by_leaf, str_of(leaf));
    if (at >= 0) *which = at % 2;
    return at < 0 ? NULL : &l->maps[at / 2];
}

const Tensor *lora_tensor(const Lora *l, const char *leaf) {
    int which;
    const LoraMap *map = map_of(l, leaf, &which);
    return map ? map->t[which] : NULL;
}

const Tensor *lora_find(void *leaves, const Node *leaf) {
    const LoraLeaves *x = leaves;
    const Tensor *t = x->l ? lora_tensor(x->l, leaf->name) : NULL;
    return t ? t : &model_weight(x->m, leaf->name)->t;
}

void lora_init(const Lora *l, const char *leaf, uint64_t seed, float *out) {
    int which;
    const LoraMap *map = map_of(l, leaf, &which);
    if (!map) BUG("no adapter has a leaf '%s'", leaf);
    const Tensor *t = map->t[which];
    const int64_t in = map->w->t.ne[1], n = which == LORA_A ? map->rank * in : map->w->t.ne[0] * map->rank;
    const uint64_t stream = hash_bytes(leaf, strlen(leaf), 0);
    const double bound = 1 / sqrt((double)in);
    for (int64_t r = 0; t && r < t->ne[0]; r++)
        dtype_info[t->dtype].decode(tensor_row(t, r), out + r * t->ne[1], t->ne[1]);
    for (int64_t i = 0; !t && i < n; i++)
        out[i] = which == LORA_A ? (float)(bound * (2 * rng_uniform(seed, stream, (uint64_t)i, RNG_INIT) - 1)) : 0;
}

int64_t lora_params(const Lora *l) {
    int64_t n = 0;
    for (size_t i = 0; i < l->n; i++) n += l->maps[i].rank * (l->maps[i].w->t.ne[0] + l->maps[i].w->t.ne[1]);
    return n;
}

/* Of the values in files; lies within what was checked when they were opened. */
static int64_t bytes_of(const Tensor *t) {
    int64_t bytes = 0;
    if (t) tensor_bytes(t->dtype, t->ndim, t->ne, &bytes);
    return bytes;
}

int64_t lora_bytes(const Lora *l) {
    int64_t bytes = 0;
    for (size_t i = 0; i < l->n; i++) bytes += bytes_of(l->maps[i].t[LORA_A]) + bytes_of(l->maps[i].t[LORA_B]);
    return bytes;
}

uint64_t lora_fingerprint(const Lora *l) {
    uint64_t h = 0;
    for (size_t i = 0; i < l->n; i++) {
        const LoraMap *map = &l->maps[i];
        const uint64_t head[] = {(uint64_t)map->rank, map->interleaved, 0};
        h = hash_bytes(head, sizeof head, h), h = hash_bytes(&map->scale, sizeof map->scale, h);
        for (int k = 0; k < 2; k++) {
            h = hash_bytes(map->leaf[k], strlen(map->leaf[k]), h);
            if (map->t[k]) h = hash_bytes(map->t[k]->data, (size_t)bytes_of(map->t[k]), h);
        }
    }
    return h;
}

/* ---- merging ---- */

/* Row `row` of the file, to which B's row belongs that has the same number in the weight's order. */
static void merge_row(const LoraMap *map, int64_t row, float *a, float *b, float *out) {
    const Tensor *ta = map->t[LORA_A], *tb = map->t[LORA_B];
    Weight as_b = *map->w;
    as_b.interleaved = map->interleaved;
    int64_t at = weight_row(&as_b, map->w->interleaved ? STORE_GGUF : STORE_HF, row);
    dtype_info[tb->dtype].decode(tensor_row(tb, at), b, map->rank);
    for (int64_t k = 0; k < map->rank; k++) {
        dtype_info[ta->dtype].decode(tensor_row(ta, k), a, ta->ne[1]);
        for (int64_t i = 0; i < ta->ne[1]; i++) out[i] = fmaf(map->scale * b[k], a[i], out[i]);
    }
}

void lora_merge_rows(const Lora *l, const Weight *w, int64_t first, int64_t n, float *rows) {
    const int64_t in = w->t.ne[1];
    float *a = mem_alloc((size_t)in, sizeof *a), *b = NULL;
    for (int32_t m = strmap_get(&l->by_weight, str_of(w->name)); m >= 0; m = l->maps[m].next) {
        b = mem_grow(b, (size_t)l->maps[m].rank, sizeof *b);
        for (int64_t i = 0; i < n; i++) merge_row(&l->maps[m], first + i, a, b, rows + i * in);
    }
    free(a);
    free(b);
}
