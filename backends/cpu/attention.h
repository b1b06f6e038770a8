/* attention_kv over pages of f32, f16, bf16 or q8_0 keys and values, E a multiple of 16: body of attention_<isa>.c.
 *
 * A unit is one head of a block of tokens. Units that follow each other and share a kv head are done together: keys and
 * values are read once for a tile of up to ATTN_M queries, whichever tokens and heads they are. A partition of 256 keys
 * stays in the caches while all queries of the block pass over it. The order of sums is that of core/ops.def for each
 * query alone, so who shares its tile never shows. */
#ifndef CPU_ATTENTION_H
#define CPU_ATTENTION_H

#include "backends/cpu/drop.h"
#include "backends/cpu/unpack.h"
#include "core/op.h"

/* Queries of a tile; groups of 16 keys, and of 16 columns of values, that it holds in registers. */
#if defined __AVX512F__
enum { ATTN_M = 6, ATTN_G = 4, ATTN_G8 = 2 };
#else
enum { ATTN_M = 6, ATTN_G = 1, ATTN_G8 = 1 };
#endif
enum { ATTN_TOKENS = 16, PAGE_GROUPS = KV_PAGE / KV_LANES, PARTITION_PAGES = ATTN_PARTITION / KV_PAGE };
enum { AHEAD = 1 }; /* pages that memory brings while another is used; more gain nothing */

typedef struct Sum { /* over some of the keys: M, L, O in core/ops.def */
    float max, sum, *o;
} Sum;

typedef struct Query {
    const float *q;
    const int16_t *n; /* over q8_0: q as integers, as to_i16 leaves it, and its scales */
    const float *d;
    Sum all, strand;
    int64_t lo, hi; /* keys */
    int64_t row;    /* of in[0] */
} Query;

typedef struct Attn { /* what the queries at hand share */
    const OpArgs *a;
    const int32_t *pages;
    int64_t E, P; /* P as core/op.h has it */
    int64_t head_bytes, kv_heads, kv_head;
    Query *query; /* [n] */
    int64_t n;
    float *p;                                       /* [ATTN_M][ATTN_PARTITION] scores, then weights */
    float *o;                                       /* [ATTN_M][E] sums of one partition */
    const char *reads[2 * PARTITION_PAGES + AHEAD]; /* keys, then values of the partition's pages, and what follows */
    const char *next;                               /* of these what is to be asked for */
    float *strand, *d;                              /* behind Query */
    int16_t *ints;
} Attn;

typedef struct AttnTile {
    Query *query[ATTN_M];
    int64_t lo[ATTN_M], hi[ATTN_M]; /* keys inside the partition */
    int64_t n, base;
    int64_t page, pages; /* of the partition, that any of them sees */
} AttnTile;

INLINE const char *page_at(const Attn *c, int64_t j) {
    const Step *s = c->a->step;
    return s->kv[c->a->params.attn.layer] + c->pages[j / KV_PAGE] * s->kv_page_bytes;
}
INLINE const char *k_at(const Attn *c, int64_t j) { return page_at(c, j) + c->kv_head * c->head_bytes; }
INLINE const char *v_at(const Attn *c, int64_t j) { return page_at(c, j) + (c->kv_heads + c->kv_head) * c->head_bytes; }

/* With few queries memory sets the pace, and pages stand anywhere: while one is used, part i of a later one is asked
 * for. M, bytes constants. A prefetch never faults. */
INLINE void ask_ahead(int M, const Attn *c, int64_t i, int64_t bytes) {
    if (M > 4) return;
    UNROLL for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(c->next + i * bytes + at, 0, 2);
}

/* ---- scores ---- */

/* Scores of M queries with the keys of one page, 16*G at a time. t, M constants. */
INLINE void scores_page(Dtype t, int M, const Attn *c, const AttnTile *w, int64_t j) {
    const char *k = k_at(c, j);
    const int64_t group = c->E * KV_LANES; /* elements */
    const V16 scale = v_set1(c->a->params.attn.scale);
    for (int64_t g0 = 0; g0 < PAGE_GROUPS; g0 += ATTN_G) {
        V16 s[ATTN_M][ATTN_G];
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G; g++) s[m][g] = v_zero();
        for (int64_t e = 0; e < c->E; e++) {
            V16 ke[ATTN_G];
            ask_ahead(M, c, g0 / ATTN_G * c->E + e, ATTN_G * LANES * (t == DT_f32 ? 4 : 2));
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
    V16 top = v_set1(-INFINITY), lanes = v_zero(), cap = v_set1(c->a->params.attn.softcap);
    for (int64_t i = first; i < hi && c->a->params.attn.softcap > 0; i += LANES)
        v_store(p + i, v_mul(cap, v_tanh(v_div(v_load(p + i), cap))));
    for (int64_t i = first; i < hi; i += LANES) top = v_max(top, v_keep(v_load(p + i), lo - i, hi - i, top));
    *max = v_hmax(top);
    for (int64_t i = first; i < hi; i += LANES) {
        V16 v = v_keep(v_exp(v_sub(v_load(p + i), v_set1(*max))), lo - i, hi - i, v_zero());
        lanes = v_add(lanes, v);
        v_store(p + i, v);
    }
    *sum = v_fold(lanes);
}

/* What dropout leaves of the weights, in training alone. */
static void drop_weights(const Attn *c, const AttnTile *w) {
    const AttnParams *p = &c->a->params.attn;
    for (int64_t m = 0; m < w->n; m++)
        drop_values(p->dropout, c->a->in[3].data, w->query[m]->row * p->keys + w->lo[m],
                    c->p + m * ATTN_PARTITION + w->lo[m] - w->base, w->hi[m] - w->lo[m]);
}

/* ---- values ---- */

/* o of queries [m0, m0 + M) += weights times values for keys [j0, j1) of one page, all columns. t, M constants. */
INLINE void values_page(Dtype t, int M, const Attn *c, const AttnTile *w, int m0, int64_t j0, int64_t j1) {
    const char *v = v_at(c, j0);
    const float *p = c->p + m0 * ATTN_PARTITION - w->base;
    for (int64_t e = 0; e < c->E; e += ATTN_G * LANES) {
        float *at = c->o + m0 * c->E + e;
        int64_t left = (c->E - e) / LANES;
        V16 o[ATTN_M][ATTN_G];
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G; g++) o[m][g] =
            g < left ? v_load(at + m * c->E + g * LANES) : v_zero();
        for (int64_t j = j0; j < j1; j++) {
            V16 vj[ATTN_G];
            ask_ahead(M, c, e / (ATTN_G * LANES) * KV_PAGE + j % KV_PAGE, ATTN_G * LANES * (t == DT_f32 ? 4 : 2));
            UNROLL for (int g = 0; g < ATTN_G; g++) vj[g] =
                decode16(t, v, j % KV_PAGE * c->E + e + (g < left ? g : 0) * LANES);
            UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G; g++) o[m][g] =
                v_fma(v_set1(p[m * ATTN_PARTITION + j]), vj[g], o[m][g]);
        }
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G; g++) if (g < left)
            v_store(at + m * c->E + g * LANES, o[m][g]);
    }
}

/* ---- both, over q8_0 ---- */

/* The floats of n vectors as i16 of core/ops.def has them, with 1 and 2 of every 4 swapped; returns their scale. */
INLINE float to_i16(const V16 *x, int n, int16_t *out) {
    V16 top = v_zero();
    UNROLL for (int i = 0; i < n; i++) top = v_max(top, v_magnitude(x[i]));
    float amax = v_hmax(top), inv = i16_inverse(amax);
    UNROLL for (int i = 0; i < n; i++)
        i_store16(out + i * LANES, inv > 0 ? i_swap_mid(i_round(v_mul(x[i], v_set1(inv)))) : i_zero());
    return i16_scale(amax);
}

/* sum[m][g] += integers 4i..4i+3 of n[m] times the 4 bytes of each lane at q + g * step. M, G constants. */
INLINE void dot_bytes(int M, int G, const char *q, int64_t step, const int16_t *const n[ATTN_M], int64_t i,
                      I16 sum[ATTN_M][ATTN_G8]) {
    I16 even[ATTN_G8], odd[ATTN_G8];
    UNROLL for (int g = 0; g < G; g++) {
        I16 bytes = i_load(q + g * step);
        even[g] = i_even_i8(bytes), odd[g] = i_odd_i8(bytes);
    }
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++) {
        const char *four = (const char *)(n[m] + 4 * i);
        sum[m][g] = i_dot2_i16(sum[m][g], even[g], i_set1(i32_at(four)));
        sum[m][g] = i_dot2_i16(sum[m][g], odd[g], i_set1(i32_at(four + 4)));
    }
}

/* The scales that stand behind the integers of a page of keys or values; ask_ahead counts what is in front of them. */
INLINE void ask_scales(int M, const Attn *c) {
    const char *d = c->next + KV_PAGE * c->P;
    for (int64_t at = 0; M <= 4 && at < KV_PAGE * c->P / 16; at += 64) __builtin_prefetch(d + at, 0, 2);
}

INLINE void scores8_page(int M, const Attn *c, const AttnTile *w, int64_t j) {
    const char *k = k_at(c, j), *d = k + KV_PAGE * c->P;
    const int64_t blocks = c->P / 32;
    const V16 scale = v_set1(c->a->params.attn.scale);
    const int16_t *n[ATTN_M];
    UNROLL for (int m = 0; m < M; m++) n[m] = w->query[m]->n;
    ask_scales(M, c);
    for (int64_t g0 = 0; g0 < PAGE_GROUPS; g0 += ATTN_G8) {
        V16 s[ATTN_M][ATTN_G8];
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G8; g++) s[m][g] = v_zero();
        for (int64_t b = 0; b < blocks; b++) {
            I16 sum[ATTN_M][ATTN_G8];
            UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G8; g++) sum[m][g] = i_zero();
            for (int64_t i = 8 * b; i < 8 * b + 8; i++) {
                ask_ahead(M, c, g0 / ATTN_G8 * c->P / 4 + i, ATTN_G8 * 64);
                dot_bytes(M, ATTN_G8, k + (g0 * c->P + 4 * i) * KV_LANES, c->P * KV_LANES, n, i, sum);
            }
            UNROLL for (int g = 0; g < ATTN_G8; g++) {
                V16 dk = v_from_f16(h_load(d + ((g0 + g) * blocks + b) * KV_LANES * 2));
                UNROLL for (int m = 0; m < M; m++) s[m][g] =
                    v_fma(v_mul(v_set1(w->query[m]->d[b]), dk), v_from_int(sum[m][g]), s[m][g]);
            }
        }
        float *p = c->p + (j - w->base) + g0 * KV_LANES;
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G8; g++)
            v_store(p + m * ATTN_PARTITION + g * KV_LANES, v_mul(scale, s[m][g]));
    }
}

/* The weights of keys [lo, hi) of a page, p[0] being that of its first, with the scales d of a block of columns. */
INLINE float weights8(const float *p, const char *d, int64_t lo, int64_t hi, int16_t out[KV_PAGE]) {
    V16 x[PAGE_GROUPS];
    UNROLL for (int i = 0; i < PAGE_GROUPS; i++) {
        const int64_t at = i * LANES;
        x[i] = v_keep(v_mul(v_load(p + at), v_from_f16(h_load(d + 2 * at))), lo - at, hi - at, v_zero());
    }
    return to_i16(x, PAGE_GROUPS, out);
}

/* o of all queries += weights times values of the page of key j. A query that sees none of them has weights of 0. */
INLINE void values8_page(int M, const Attn *c, const AttnTile *w, int64_t j) {
    const char *v = v_at(c, j), *d = v + KV_PAGE * c->P;
    int16_t weight[ATTN_M][KV_PAGE];
    const int16_t *n[ATTN_M];
    float scale[ATTN_M];
    UNROLL for (int m = 0; m < M; m++) n[m] = weight[m];
    ask_scales(M, c);
    for (int64_t b = 0; b < c->P / 32; b++, d += 2 * KV_PAGE) {
        for (int m = 0; m < M; m++)
            scale[m] = weights8(c->p + m * ATTN_PARTITION + (j - w->base), d, w->lo[m] - j, w->hi[m] - j, weight[m]);
        for (int64_t e = 32 * b; e < MIN(32 * b + 32, c->E); e += ATTN_G8 * LANES) {
            const int64_t left = (c->E - e) / LANES;
            I16 sum[ATTN_M][ATTN_G8];
            UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G8; g++) sum[m][g] = i_zero();
            for (int64_t i = 0; i < KV_PAGE / 4; i++) {
                ask_ahead(M, c, e / (ATTN_G8 * LANES) * (KV_PAGE / 4) + i, ATTN_G8 * 64);
                dot_bytes(M, ATTN_G8, v + (i * c->P + e) * 4, 4 * LANES, n, i, sum);
            }
            UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G8; g++) {
                float *o = c->o + m * c->E + e + g * LANES;
                if (g < left) v_store(o, v_fma(v_set1(scale[m]), v_from_int(sum[m][g]), v_load(o)));
            }
        }
    }
}

#define ATTN_CASES(call)                                                                                               \
    case 1: call(1); break;                                                                                            \
    case 2: call(2); break;                                                                                            \
    case 3: call(3); break;                                                                                            \
    case 4: call(4); break;                                                                                            \
    case 5: call(5); break;                                                                                            \
    default: call(6); break;

INLINE void scores(Dtype t, Attn *c, const AttnTile *w, int64_t lo, int64_t hi) {
    for (int64_t j = lo / KV_PAGE * KV_PAGE; j < hi; j += KV_PAGE) {
        c->next = c->reads[(j - w->base) / KV_PAGE - w->page + AHEAD];
        _Static_assert(ATTN_M == 6, "the cases below");
#define CALL(M) t == DT_q8_0 ? scores8_page(M, c, w, j) : scores_page(t, M, c, w, j)
        switch (w->n) { ATTN_CASES(CALL) }
#undef CALL
    }
}

INLINE void values(Dtype t, Attn *c, const AttnTile *w, int m0, int64_t n, int64_t lo, int64_t hi) {
    for (int64_t j = lo, end; j < hi; j = end) {
        end = MIN(hi, (j / KV_PAGE + 1) * KV_PAGE);
        c->next = c->reads[w->pages + (j - w->base) / KV_PAGE - w->page + AHEAD];
#define CALL(M) values_page(t, M, c, w, m0, j, end)
        switch (n) { ATTN_CASES(CALL) }
#undef CALL
    }
}

INLINE void values8(Attn *c, const AttnTile *w, int64_t lo, int64_t hi) {
    for (int64_t j = lo / KV_PAGE * KV_PAGE; j < hi; j += KV_PAGE) {
        c->next = c->reads[w->pages + (j - w->base) / KV_PAGE - w->page + AHEAD];
#define CALL(M) values8_page(M, c, w, j)
        switch (w->n) { ATTN_CASES(CALL) }
#undef CALL
    }
}

/* Keys that all queries of the tile see are read once; those before and after by each query alone. */
INLINE void values_tile(Dtype t, Attn *c, const AttnTile *w) {
    int64_t lo = w->lo[0], hi = w->hi[0];
    for (int64_t m = 1; m < w->n; m++) lo = MAX(lo, w->lo[m]), hi = MIN(hi, w->hi[m]);
    hi = MAX(lo, hi);
    for (int m = 0; m < w->n; m++) values(t, c, w, m, 1, w->lo[m], MIN(lo, w->hi[m]));
    values(t, c, w, 0, w->n, lo, hi);
    for (int m = 0; m < w->n; m++) values(t, c, w, m, 1, MAX(hi, w->lo[m]), w->hi[m]);
}

/* ---- a partition, and all of them ---- */

static void join(const Attn *c, Sum *to, const float *o, float max, float sum) {
    float n = max > to->max ? max : to->max, a = exp_f32(to->max - n), b = exp_f32(max - n);
    to->sum = fmaf(to->sum, a, sum * b);
    to->max = n;
    for (int64_t e = 0; e < c->E; e += LANES)
        v_store(to->o + e, v_fma(v_load(to->o + e), v_set1(a), v_mul(v_load(o + e), v_set1(b))));
}

static Sum sum_empty(const Attn *c, float *o) {
    memset(o, 0, (size_t)c->E * 4);
    return (Sum){-INFINITY, 0, o};
}

/* The order in which scores and values read pages for keys [lo, hi), and then the strand's next partition. */
static void order_reads(Attn *c, AttnTile *w, int64_t lo, int64_t hi) {
    const int64_t more = w->base + ATTN_STRANDS * ATTN_PARTITION;
    w->page = (lo - w->base) / KV_PAGE, w->pages = div_up(hi - w->base, KV_PAGE) - w->page;
    for (int64_t i = 0; i < w->pages; i++) {
        const int64_t j = w->base + (w->page + i) * KV_PAGE;
        c->reads[i] = k_at(c, j), c->reads[w->pages + i] = v_at(c, j);
    }
    for (int64_t i = 0; i < AHEAD; i++) {
        const int64_t j = more + i * KV_PAGE;
        c->reads[2 * w->pages + i] = j < w->query[0]->hi ? k_at(c, j) : c->reads[0];
    }
}

INLINE void attend_tile(Dtype t, Attn *c, AttnTile *w) {
    int64_t lo = w->lo[0], hi = w->hi[0];
    float max[ATTN_M], sum[ATTN_M];
    for (int64_t m = 1; m < w->n; m++) lo = MIN(lo, w->lo[m]), hi = MAX(hi, w->hi[m]);
    order_reads(c, w, lo, hi);
    scores(t, c, w, lo, hi);
    for (int m = 0; m < w->n; m++) soften(c, w, m, &max[m], &sum[m]);
    if (c->a->params.attn.dropout.p > 0) drop_weights(c, w);
    memset(c->o, 0, (size_t)(w->n * c->E) * 4);
    if (t == DT_q8_0)
        values8(c, w, lo, hi);
    else
        values_tile(t, c, w);
    for (int m = 0; m < w->n; m++) join(c, &w->query[m]->strand, c->o + m * c->E, max[m], sum[m]);
}

/* The partitions of a strand, into each query's. */
INLINE void attend_any(Dtype t, Attn *c, int strand) {
    int64_t lo = INT64_MAX, hi = 0;
    for (int64_t i = 0; i < c->n; i++) lo = MIN(lo, c->query[i].lo), hi = MAX(hi, c->query[i].hi);
    for (int64_t base = strand_first(lo, strand) * ATTN_PARTITION; base < hi; base += ATTN_STRANDS * ATTN_PARTITION) {
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

static void attend_f32(Attn *c, int strand) { attend_any(DT_f32, c, strand); }
static void attend_f16(Attn *c, int strand) { attend_any(DT_f16, c, strand); }
static void attend_bf16(Attn *c, int strand) { attend_any(DT_bf16, c, strand); }
static void attend_q8_0(Attn *c, int strand) { attend_any(DT_q8_0, c, strand); }

static void attend_strand(Dtype t, Attn *c, int strand) {
    switch (t) {
    case DT_f32: attend_f32(c, strand); break;
    case DT_f16: attend_f16(c, strand); break;
    case DT_bf16: attend_bf16(c, strand); break;
    default: attend_q8_0(c, strand); break;
    }
}

/* A sum that is joined with an empty one stays as it is, so strands of one partition each need no sum of their own. */
static void attend(Dtype t, Attn *c) {
    int64_t lo = INT64_MAX, hi = 0;
    for (int64_t i = 0; i < c->n; i++) lo = MIN(lo, c->query[i].lo), hi = MAX(hi, c->query[i].hi);
    const bool single = div_up(hi, ATTN_PARTITION) - lo / ATTN_PARTITION <= ATTN_STRANDS;
    for (int64_t i = 0; i < c->n; i++) c->query[i].strand = c->query[i].all;
    for (int s = 0; s < ATTN_STRANDS; s++) {
        for (int64_t i = 0; i < c->n && !single; i++) c->query[i].strand = sum_empty(c, c->strand + i * c->E);
        attend_strand(t, c, s);
        for (int64_t i = 0; i < c->n && !single; i++) {
            Query *q = &c->query[i];
            if (!strand_empty(q->lo, q->hi, s)) join(c, &q->all, q->strand.o, q->strand.max, q->strand.sum);
        }
    }
    for (int64_t i = 0; i < c->n && single; i++) c->query[i].all = c->query[i].strand;
}

/* ---- units ---- */

static int64_t attn_block(const OpArgs *a) { return MIN(MAX(a->out.ne[0] / 8, 1), ATTN_TOKENS); }

static inline int64_t attention_kv_units(const OpArgs *a) { return div_up(a->out.ne[0], attn_block(a)) * a->out.ne[1]; }

/* p and o; queries, their scales and their integers. */
static size_t attention_layout(const OpArgs *a, char *base, Attn *c) {
    Carve at = {.base = base};
    const int64_t E = a->in[0].ne[2], queries = ATTN_TOKENS * a->in[0].ne[1], P = kv_row_len(DT_q8_0, E);
    CARVE(&at, c->p, ATTN_M * ATTN_PARTITION);
    CARVE(&at, c->o, ATTN_M * E);
    CARVE(&at, c->query, queries);
    CARVE(&at, c->d, queries * P / 32);
    CARVE(&at, c->ints, queries * P);
    CARVE(&at, c->strand, queries * E);
    return at.at;
}

static inline size_t attention_kv_scratch(const OpArgs *a) { return attention_layout(a, NULL, &(Attn){0}); }

/* Later tokens see more keys. Units come as first block, last, second, last but one, ..., so that an even split of them
 * is an even split of the work. */
static int64_t block_of(int64_t i, int64_t n) { return i % 2 ? n - 1 - i / 2 : i / 2; }

/* Fills n and d of query i. */
static void query_to_i16(const Attn *c, int64_t i) {
    int16_t *n = c->ints + i * c->P;
    float *d = c->d + i * c->P / 32;
    for (int64_t b = 0; b < c->P / 32; b++) {
        const float *x = c->query[i].q + 32 * b;
        V16 block[2] = {v_load(x), 32 * b + LANES < c->E ? v_load(x + LANES) : v_zero()};
        d[b] = to_i16(block, 2, n + 32 * b);
    }
    c->query[i].n = n, c->query[i].d = d;
}

/* One more query, of head h of token t; out [E] is for its sum. */
static void add_query(Attn *c, int64_t t, int64_t h, float *out) {
    const OpArgs *a = c->a;
    const int64_t row = t * a->in[0].ne[1] + h;
    Query *q = &c->query[c->n++];
    *q = (Query){.q = tensor_row(&a->in[0], row), .row = row};
    q->all = sum_empty(c, out);
    step_keys(a->step, t, a->params.attn.mask, &q->lo, &q->hi);
    if (a->step->kv_dtype == DT_q8_0) query_to_i16(c, c->n - 1);
}

/* out = its sum over all keys, as weights that add up to 1. */
static void finish(const Attn *c, const Sum *s) {
    for (int64_t e = 0; e < c->E; e += LANES) v_store(s->o + e, v_div(v_load(s->o + e), v_set1(s->sum)));
}

/* Heads [h0, h1), all of one kv head, of tokens [t0, t1): sequence by sequence. */
static void attend_block(Attn *c, int64_t t0, int64_t t1, int64_t h0, int64_t h1) {
    const OpArgs *a = c->a;
    const Step *s = a->step;
    for (int64_t t = t0; t < t1;) {
        c->pages = s->pages[t];
        for (c->n = 0; t < t1 && s->pages[t] == c->pages; t++)
            for (int64_t h = h0; h < h1; h++) add_query(c, t, h, tensor_row(&a->out, t * a->out.ne[1] + h));
        attend(s->kv_dtype, c);
        for (int64_t i = 0; i < c->n; i++) finish(c, &c->query[i].all);
    }
}

static inline void attention_kv_copy(const OpArgs *a, const char *staged, int64_t u0, int64_t u1) {
    int64_t T = a->out.ne[0], H = a->out.ne[1], block = attn_block(a), blocks = div_up(T, block);
    for (int64_t u = u0; u < u1; u++) {
        int64_t t0 = block_of(u / H, blocks) * block;
        for (int64_t t = t0; t < MIN(T, t0 + block); t++) {
            char *to = tensor_row(&a->out, t * H + u % H);
            memcpy(to, staged + (to - (char *)a->out.data), (size_t)a->out.ne[2] * 4);
        }
    }
}

/* The cache as the step of these operands has it. */
static Attn attn_of(const OpArgs *a, void *scratch) {
    const Step *s = a->step;
    const int64_t E = a->in[0].ne[2], head_bytes = KV_PAGE * kv_row_bytes(s->kv_dtype, E);
    Attn c = {.a = a,
              .E = E,
              .P = kv_row_len(s->kv_dtype, E),
              .head_bytes = head_bytes,
              .kv_heads = s->kv_page_bytes / (2 * head_bytes)};
    attention_layout(a, scratch, &c);
    return c;
}

/* A head of a token out of its strands. */
static void join_strands(const OpArgs *a, int64_t u0, int64_t u1) {
    const Attn c = {.a = a, .E = a->out.ne[2]};
    const int64_t T = a->out.ne[0], H = a->out.ne[1];
    for (int64_t u = u0; u < u1; u++) {
        const int64_t t = block_of(u / H, T), row = t * H + u % H;
        Sum all = sum_empty(&c, tensor_row(&a->out, row));
        int64_t lo, hi;
        step_keys(a->step, t, a->params.attn.mask, &lo, &hi);
        for (int s = 0; s < ATTN_STRANDS; s++) {
            const float *o = tensor_row(&a->in[2], row * ATTN_STRANDS + s);
            if (!strand_empty(lo, hi, s)) join(&c, &all, o, o[c.E], o[c.E + 1]);
        }
        finish(&c, &all);
    }
}

static inline void attention_kv_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    int64_t T = a->out.ne[0], H = a->out.ne[1], block = attn_block(a), blocks = div_up(T, block);
    if (a->n_in > 2 && T <= ATTN_SPLIT) { /* blocks of one token each */
        join_strands(a, u0, u1);
        return;
    }
    Attn c = attn_of(a, scratch);
    const int64_t per = H / c.kv_heads;
    for (int64_t u = u0, n; u < u1; u += n) {
        int64_t t0 = block_of(u / H, blocks) * block, h = u % H;
        n = MIN(u1 - u, per - h % per);
        c.kv_head = h / per;
        attend_block(&c, t0, MIN(T, t0 + block), h, h + n);
    }
}

/* ---- strands: a unit is one of them, of one head of one token; those of a kv head and strand follow each other ----
 */

static inline int64_t attention_strands_units(const OpArgs *a) {
    return a->in[0].ne[0] <= ATTN_SPLIT ? a->in[0].ne[0] * a->in[0].ne[1] * ATTN_STRANDS : 0;
}

typedef struct StrandUnit {
    int64_t t, h; /* of the first unit of this kv head and strand */
    int64_t from; /* which of its heads this is */
    int strand;
} StrandUnit;

/* per: heads of a kv head. */
static inline StrandUnit strand_unit(int64_t u, int64_t heads, int64_t per) {
    const int64_t group = u / per, kv_heads = heads / per, kv_head = group / ATTN_STRANDS;
    return (StrandUnit){kv_head / kv_heads, kv_head % kv_heads * per, u % per, (int)(group % ATTN_STRANDS)};
}

static inline int64_t heads_per(const OpArgs *a) {
    const Step *s = a->step;
    return a->in[0].ne[1] * 2 * KV_PAGE * kv_row_bytes(s->kv_dtype, a->in[0].ne[2]) / s->kv_page_bytes;
}

static inline void attention_strands_copy(const OpArgs *a, const char *staged, int64_t u0, int64_t u1) {
    for (int64_t u = u0, per = heads_per(a); u < u1; u++) {
        const StrandUnit at = strand_unit(u, a->in[0].ne[1], per);
        int64_t lo, hi;
        step_keys(a->step, at.t, a->params.attn.mask, &lo, &hi);
        if (strand_empty(lo, hi, at.strand)) continue;
        char *to = tensor_row(&a->out, (at.t * a->in[0].ne[1] + at.h + at.from) * ATTN_STRANDS + at.strand);
        memcpy(to, staged + (to - (char *)a->out.data), (size_t)a->out.ne[3] * 4);
    }
}

static inline void attention_strands_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const int64_t H = a->in[0].ne[1], per = heads_per(a);
    Attn c = attn_of(a, scratch);
    for (int64_t u = u0, n; u < u1; u += n) {
        const StrandUnit at = strand_unit(u, H, per);
        int64_t lo, hi;
        n = MIN(u1 - u, per - at.from);
        step_keys(a->step, at.t, a->params.attn.mask, &lo, &hi);
        if (strand_empty(lo, hi, at.strand)) continue;
        c.kv_head = at.h / per;
        c.pages = a->step->pages[at.t];
        c.n = 0;
        for (int64_t h = at.h + at.from; h < at.h + at.from + n; h++)
            add_query(&c, at.t, h, tensor_row(&a->out, (at.t * H + h) * ATTN_STRANDS + at.strand));
        for (int64_t i = 0; i < n; i++) c.query[i].strand = c.query[i].all;
        attend_strand(a->step->kv_dtype, &c, at.strand);
        for (int64_t i = 0; i < n; i++) {
            const Sum *s = &c.query[i].strand;
            s->o[c.E] = s->max, s->o[c.E + 1] = s->sum;
        }
    }
}

#endif
