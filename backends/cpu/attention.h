/* attention_kv over pages of f32, f16 or bf16 keys and values, E a multiple of 16: body of attention_<isa>.c.
 *
 * A unit is one head of a block of tokens. Units that follow each other and share a kv head are done together: keys and
 * values are read once for a tile of up to ATTN_M queries, whichever tokens and heads they are. A partition of 256 keys
 * stays in the caches while all queries of the block pass over it. The order of sums is that of core/ops.def for each
 * query alone, so who shares its tile never shows. */
#ifndef CPU_ATTENTION_H
#define CPU_ATTENTION_H

#include "backends/cpu/unpack.h"
#include "core/op.h"

/* Queries of a tile; groups of 16 keys, and of 16 columns of values, that it holds in registers. */
#if defined __AVX512F__
enum { ATTN_M = 6, ATTN_G = 4 };
#else
enum { ATTN_M = 6, ATTN_G = 1 };
#endif
enum { ATTN_TOKENS = 16, PAGE_GROUPS = KV_PAGE / KV_LANES };

typedef struct Query {
    const float *q;
    float *out;     /* the sum so far, O in core/ops.def */
    int64_t lo, hi; /* keys */
    float max, sum;
} Query;

typedef struct Attn { /* what the queries at hand share */
    const OpArgs *a;
    const int32_t *pages;
    int64_t E, kv_heads, kv_head;
    Query *query; /* [n] */
    int64_t n;
    float *p; /* [ATTN_M][ATTN_PARTITION] scores, then weights */
    float *o; /* [ATTN_M][E] sums of one partition */
} Attn;

typedef struct AttnTile {
    Query *query[ATTN_M];
    int64_t lo[ATTN_M], hi[ATTN_M]; /* keys inside the partition */
    int64_t n, base;
} AttnTile;

INLINE const char *page_at(const Attn *c, int64_t j) {
    const Step *s = c->a->step;
    return s->kv[c->a->params.attn.layer] + c->pages[j / KV_PAGE] * s->kv_page_bytes;
}
INLINE int64_t kv_bytes(Dtype t) { return t == DT_f32 ? 4 : 2; }

/* ---- scores ---- */

/* Scores of M queries with the keys of one page, 16*G at a time. t, M constants. */
INLINE void scores_page(Dtype t, int M, const Attn *c, const AttnTile *w, int64_t j) {
    const char *k = page_at(c, j) + c->kv_head * KV_PAGE * c->E * kv_bytes(t);
    const int64_t group = c->E * KV_LANES; /* elements */
    const V16 scale = v_set1(c->a->params.attn.scale);
    for (int64_t g0 = 0; g0 < PAGE_GROUPS; g0 += ATTN_G) {
        V16 s[ATTN_M][ATTN_G];
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G; g++) s[m][g] = v_zero();
        for (int64_t e = 0; e < c->E; e++) {
            V16 ke[ATTN_G];
            UNROLL for (int g = 0; g < ATTN_G; g++) ke[g] = decode16(t, k, (g0 + g) * group + e * KV_LANES);
            UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G; g++) s[m][g] =
                v_fma(v_set1(w->query[m]->q[e]), ke[g], s[m][g]);
        }
        float *p = c->p + (j - w->base) + g0 * KV_LANES;
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G; g++)
            v_store(p + m * ATTN_PARTITION + g * KV_LANES, v_mul(scale, s[m][g]));
    }
}

/* Turns the scores of query m into weights, 0 outside of its keys; returns their maximum and sum. */
INLINE void soften(const Attn *c, const AttnTile *w, int m, float *max, float *sum) {
    float *p = c->p + m * ATTN_PARTITION;
    int64_t lo = w->lo[m] - w->base, hi = w->hi[m] - w->base, first = lo / LANES * LANES;
    V16 top = v_set1(-INFINITY), lanes = v_zero();
    for (int64_t i = first; i < hi; i += LANES) top = v_max(top, v_keep(v_load(p + i), lo - i, hi - i, top));
    *max = v_hmax(top);
    for (int64_t i = first; i < hi; i += LANES) {
        V16 v = v_keep(v_exp(v_sub(v_load(p + i), v_set1(*max))), lo - i, hi - i, v_zero());
        lanes = v_add(lanes, v);
        v_store(p + i, v);
    }
    *sum = v_fold(lanes);
}

/* ---- values ---- */

/* o of queries [m0, m0 + M) += weights times values for keys [j0, j1) of one page, all columns. t, M constants. */
INLINE void values_page(Dtype t, int M, const Attn *c, const AttnTile *w, int m0, int64_t j0, int64_t j1) {
    const char *v = page_at(c, j0) + (c->kv_heads + c->kv_head) * KV_PAGE * c->E * kv_bytes(t);
    const float *p = c->p + m0 * ATTN_PARTITION - w->base;
    for (int64_t e = 0; e < c->E; e += ATTN_G * LANES) {
        float *at = c->o + m0 * c->E + e;
        int64_t left = (c->E - e) / LANES;
        V16 o[ATTN_M][ATTN_G];
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G; g++) o[m][g] =
            g < left ? v_load(at + m * c->E + g * LANES) : v_zero();
        for (int64_t j = j0; j < j1; j++) {
            V16 vj[ATTN_G];
            UNROLL for (int g = 0; g < ATTN_G; g++) vj[g] =
                decode16(t, v, j % KV_PAGE * c->E + e + (g < left ? g : 0) * LANES);
            UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G; g++) o[m][g] =
                v_fma(v_set1(p[m * ATTN_PARTITION + j]), vj[g], o[m][g]);
        }
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G; g++) if (g < left)
            v_store(at + m * c->E + g * LANES, o[m][g]);
    }
}

#define ATTN_CASES(call)                                                                                               \
    case 1: call(1); break;                                                                                            \
    case 2: call(2); break;                                                                                            \
    case 3: call(3); break;                                                                                            \
    case 4: call(4); break;                                                                                            \
    case 5: call(5); break;                                                                                            \
    default: call(6); break;

INLINE void scores(Dtype t, const Attn *c, const AttnTile *w, int64_t lo, int64_t hi) {
    for (int64_t j = lo / KV_PAGE * KV_PAGE; j < hi; j += KV_PAGE) {
        _Static_assert(ATTN_M == 6, "the cases below");
#define CALL(M) scores_page(t, M, c, w, j)
        switch (w->n) { ATTN_CASES(CALL) }
#undef CALL
    }
}

INLINE void values(Dtype t, const Attn *c, const AttnTile *w, int m0, int64_t n, int64_t lo, int64_t hi) {
    for (int64_t j = lo, end; j < hi; j = end) {
        end = MIN(hi, (j / KV_PAGE + 1) * KV_PAGE);
#define CALL(M) values_page(t, M, c, w, m0, j, end)
        switch (n) { ATTN_CASES(CALL) }
#undef CALL
    }
}

/* Keys that all queries of the tile see are read once; those before and after by each query alone. */
INLINE void values_tile(Dtype t, const Attn *c, const AttnTile *w) {
    int64_t lo = w->lo[0], hi = w->hi[0];
    for (int64_t m = 1; m < w->n; m++) lo = MAX(lo, w->lo[m]), hi = MIN(hi, w->hi[m]);
    hi = MAX(lo, hi);
    for (int m = 0; m < w->n; m++) values(t, c, w, m, 1, w->lo[m], MIN(lo, w->hi[m]));
    values(t, c, w, 0, w->n, lo, hi);
    for (int m = 0; m < w->n; m++) values(t, c, w, m, 1, MAX(hi, w->lo[m]), w->hi[m]);
}

/* ---- a partition, and all of them ---- */

static void join(const Attn *c, Query *q, const float *o, float max, float sum) {
    float n = max > q->max ? max : q->max, a = exp_f32(q->max - n), b = exp_f32(max - n);
    q->sum = fmaf(q->sum, a, sum * b);
    q->max = n;
    for (int64_t e = 0; e < c->E; e += LANES)
        v_store(q->out + e, v_fma(v_load(q->out + e), v_set1(a), v_mul(v_load(o + e), v_set1(b))));
}

INLINE void attend_tile(Dtype t, const Attn *c, const AttnTile *w) {
    int64_t lo = w->lo[0], hi = w->hi[0];
    float max[ATTN_M], sum[ATTN_M];
    for (int64_t m = 1; m < w->n; m++) lo = MIN(lo, w->lo[m]), hi = MAX(hi, w->hi[m]);
    scores(t, c, w, lo, hi);
    for (int m = 0; m < w->n; m++) soften(c, w, m, &max[m], &sum[m]);
    memset(c->o, 0, (size_t)(w->n * c->E) * 4);
    values_tile(t, c, w);
    for (int m = 0; m < w->n; m++) join(c, w->query[m], c->o + m * c->E, max[m], sum[m]);
}

INLINE void attend_any(Dtype t, const Attn *c) {
    int64_t lo = INT64_MAX, hi = 0;
    for (int64_t i = 0; i < c->n; i++) lo = MIN(lo, c->query[i].lo), hi = MAX(hi, c->query[i].hi);
    for (int64_t base = lo / ATTN_PARTITION * ATTN_PARTITION; base < hi; base += ATTN_PARTITION) {
        AttnTile w = {.base = base};
        for (int64_t i = 0; i < c->n; i++) {
            Query *q = &c->query[i];
            w.query[w.n] = q;
            w.lo[w.n] = MAX(q->lo, base), w.hi[w.n] = MIN(q->hi, base + ATTN_PARTITION);
            w.n += w.lo[w.n] < w.hi[w.n]; /* queries that see nothing of this partition leave no trace */
            if (w.n == ATTN_M || (w.n && i + 1 == c->n)) {
                attend_tile(t, c, &w);
                w.n = 0;
            }
        }
    }
}

static void attend_f32(const Attn *c) { attend_any(DT_f32, c); }
static void attend_f16(const Attn *c) { attend_any(DT_f16, c); }
static void attend_bf16(const Attn *c) { attend_any(DT_bf16, c); }

/* ---- units ---- */

static int64_t attn_block(const OpArgs *a) { return MIN(MAX(a->out.ne[0] / 8, 1), ATTN_TOKENS); }

static int64_t attention_kv_units(const OpArgs *a) { return div_up(a->out.ne[0], attn_block(a)) * a->out.ne[1]; }

static size_t attention_kv_scratch(const OpArgs *a) {
    size_t floats = ATTN_M * (ATTN_PARTITION + (size_t)a->out.ne[2]);
    return align_up(floats * 4, 64) + ATTN_TOKENS * (size_t)a->out.ne[1] * sizeof(Query);
}

/* Later tokens see more keys. Units come as first block, last, second, last but one, ..., so that an even split of them
 * is an even split of the work. */
static int64_t block_of(int64_t i, int64_t n) { return i % 2 ? n - 1 - i / 2 : i / 2; }

/* Heads [h0, h1), all of one kv head, of tokens [t0, t1): sequence by sequence. */
static void attend_block(Attn *c, int64_t t0, int64_t t1, int64_t h0, int64_t h1) {
    const OpArgs *a = c->a;
    const Step *s = a->step;
    for (int64_t t = t0; t < t1;) {
        c->pages = s->pages[t];
        for (c->n = 0; t < t1 && s->pages[t] == c->pages; t++)
            for (int64_t h = h0; h < h1; h++) {
                int64_t row = t * a->out.ne[1] + h;
                Query *q = &c->query[c->n++];
                *q = (Query){.q = tensor_row(&a->in[0], row), .out = tensor_row(&a->out, row), .max = -INFINITY};
                mask_range(a->params.attn.mask, s->index[t], s->reach[t], &q->lo, &q->hi);
                memset(q->out, 0, (size_t)c->E * 4);
            }
        (s->kv_dtype == DT_f32 ? attend_f32 : s->kv_dtype == DT_f16 ? attend_f16 : attend_bf16)(c);
        for (int64_t i = 0; i < c->n; i++)
            for (int64_t e = 0; e < c->E; e += LANES) {
                float *o = c->query[i].out + e;
                v_store(o, v_div(v_load(o), v_set1(c->query[i].sum)));
            }
    }
}

static void attention_kv_copy(const OpArgs *a, const char *staged, int64_t u0, int64_t u1) {
    int64_t T = a->out.ne[0], H = a->out.ne[1], block = attn_block(a), blocks = div_up(T, block);
    for (int64_t u = u0; u < u1; u++) {
        int64_t t0 = block_of(u / H, blocks) * block;
        for (int64_t t = t0; t < MIN(T, t0 + block); t++) {
            char *to = tensor_row(&a->out, t * H + u % H);
            memcpy(to, staged + (to - (char *)a->out.data), (size_t)a->out.ne[2] * 4);
        }
    }
}

static void attention_kv_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const Step *s = a->step;
    int64_t T = a->out.ne[0], H = a->out.ne[1], E = a->out.ne[2], block = attn_block(a), blocks = div_up(T, block);
    int64_t kv_heads = s->kv_page_bytes / (2 * KV_PAGE * E * kv_bytes(s->kv_dtype)), per = H / kv_heads;
    size_t floats = ATTN_M * (ATTN_PARTITION + (size_t)E);
    Attn c = {.a = a, .E = E, .kv_heads = kv_heads, .p = scratch};
    c.o = c.p + ATTN_M * ATTN_PARTITION;
    c.query = (Query *)(void *)((char *)scratch + align_up(floats * 4, 64));
    for (int64_t u = u0, n; u < u1; u += n) {
        int64_t t0 = block_of(u / H, blocks) * block, h = u % H;
        n = MIN(u1 - u, per - h % per);
        c.kv_head = h / per;
        attend_block(&c, t0, MIN(T, t0 + block), h, h + n);
    }
}

#endif
