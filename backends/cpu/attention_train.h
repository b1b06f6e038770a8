/* Attention of training and its gradient, E a multiple of 16: body of attention_train_<isa>.c. Keys and values are rows
 * of the step; those of one sequence and one kv head are first laid out as the registers want them.
 *
 * Forward a unit is a kv head of a block of tokens: its keys become pages of f32, and attention.h does the rest.
 * Backward a unit is a kv head of all sequences that begin in a block of rows: whole sequences, since dk and dv sum
 * over their tokens. */
#ifndef CPU_ATTENTION_TRAIN_H
#define CPU_ATTENTION_TRAIN_H

#include "backends/cpu/attention.h"

enum { TRAIN_BLOCK = 128 };

/* The end of the rows of t's sequence, no further than `most`. */
INLINE int64_t sequence_end(const Step *s, int64_t t, int64_t most) {
    int64_t end = t + 1;
    while (end < most && s->first_row[end] == s->first_row[t]) end++;
    return end;
}

/* Head h of rows [row, row + n) of x turned round: [n/16][E][16], the last group filled up with the last row. */
static void turn(const Tensor *x, int64_t h, int64_t row, int64_t n, float *out) {
    const int64_t H = x->ne[1], E = x->ne[2];
    for (int64_t g = 0; g < n; g += LANES) {
        const char *rows[16];
        V16 z[16];
        for (int64_t r = 0; r < LANES; r++) rows[r] = tensor_row(x, (row + MIN(g + r, n - 1)) * H + h);
        for (int64_t e = 0; e < E; e += LANES) {
            rows_decode16(DT_f32, rows, e, z);
            UNROLL for (int i = 0; i < LANES; i++) v_store(out + (g * E + (e + i) * LANES), z[i]);
        }
    }
}

static void copy_rows(const Tensor *x, int64_t h, int64_t row, int64_t n, float *out) {
    const int64_t H = x->ne[1], E = x->ne[2];
    for (int64_t r = 0; r < n; r++) memcpy(out + r * E, tensor_row(x, (row + r) * H + h), (size_t)E * 4);
}

/* Tokens that a sequence has at most. */
INLINE int64_t most_keys(const OpArgs *a) {
    const int64_t T = a->out.ne[0], keys = a->params.attn.keys;
    return keys > 0 ? MIN(keys, T) : T;
}

/* Of the last input but what dropout draws by. */
static int64_t train_units(const OpArgs *a) {
    const Tensor *k = &a->in[a->n_in - 1 - (a->params.attn.dropout.p > 0)];
    return k->ne[1] * div_up(k->ne[0], TRAIN_BLOCK);
}

/* ---- forward ---- */

typedef struct Forward {
    Attn c;
    OpArgs a;
    Step step;
    const int32_t **pages; /* [T] */
    int32_t *identity;     /* [pages of the longest sequence] */
    char *kv, *attn;       /* pages; what Attn needs */
} Forward;

static size_t forward_layout(const OpArgs *a, char *base, Forward *f) {
    Carve at = {.base = base};
    const int64_t T = a->out.ne[0], E = a->out.ne[2], n_pages = div_up(most_keys(a), KV_PAGE);
    CARVE(&at, f->pages, T);
    CARVE(&at, f->identity, n_pages);
    CARVE(&at, f->kv, n_pages * 2 * KV_PAGE * E * (int64_t)sizeof(float));
    CARVE(&at, f->attn, (int64_t)attention_layout(a, NULL, &(Attn){0}));
    return at.at;
}

static size_t attention_scratch(const OpArgs *a) { return forward_layout(a, NULL, &(Forward){0}); }

/* Keys [0, n) of the sequence of token t. */
static void make_pages(Forward *f, const OpArgs *a, int64_t t, int64_t kv_head, int64_t n) {
    const int64_t E = a->out.ne[2];
    for (int64_t j = 0; j < n; j += KV_PAGE) {
        float *page = (float *)(void *)(f->kv + j / KV_PAGE * f->step.kv_page_bytes);
        const int64_t row = step_row0(a->step, t) + j, m = MIN(KV_PAGE, n - j);
        turn(&a->in[1], kv_head, row, m, page);
        copy_rows(&a->in[2], kv_head, row, m, page + KV_PAGE * E);
    }
}

/* Tokens [t, end) of one sequence. */
static void attend_sequence(Forward *f, const OpArgs *a, int64_t t, int64_t end, int64_t kv_head) {
    const int64_t per = a->out.ne[1] / a->in[1].ne[1];
    int64_t keys = 0, lo, hi;
    for (int64_t i = t; i < end; i++) {
        step_keys(a->step, i, a->params.attn.mask, &lo, &hi);
        keys = MAX(keys, hi);
        f->pages[i] = f->identity;
    }
    make_pages(f, a, t, kv_head, keys);
    for (int64_t i = t; i < end; i += ATTN_TOKENS)
        attend_block(&f->c, i, MIN(end, i + ATTN_TOKENS), kv_head * per, (kv_head + 1) * per);
}

static void attention_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const int64_t T = a->out.ne[0], E = a->out.ne[2], blocks = div_up(T, TRAIN_BLOCK);
    Forward f = {.a = *a, .step = *a->step};
    forward_layout(a, scratch, &f);
    for (int64_t i = 0; i < div_up(most_keys(a), KV_PAGE); i++) f.identity[i] = (int32_t)i;
    f.step.kv = &f.kv, f.step.pages = f.pages, f.step.kv_dtype = DT_f32;
    f.step.kv_page_bytes = 2 * KV_PAGE * E * (int64_t)sizeof(float);
    f.a.step = &f.step, f.a.params.attn.layer = 0;
    f.c = (Attn){.a = &f.a, .E = E, .P = kv_row_len(DT_f32, E), .head_bytes = f.step.kv_page_bytes / 2, .kv_heads = 1};
    attention_layout(a, f.attn, &f.c);
    for (int64_t u = u0; u < u1; u++) {
        const int64_t t1 = MIN(T, (u % blocks + 1) * TRAIN_BLOCK);
        for (int64_t t = u % blocks * TRAIN_BLOCK, end; t < t1; t = end) {
            end = sequence_end(a->step, t, t1);
            attend_sequence(&f, a, t, end, u / blocks);
        }
    }
}

/* ---- backward ---- */

typedef struct Backward { /* a sequence of n rows from `row` on, one kv head */
    const OpArgs *a;
    int64_t row, n, E, room; /* room: of a line of weights, n rounded up to whole groups */
    float *k;                /* [n][E] */
    float *kt, *vt;          /* [n/16][E][16] */
    float *dk, *dv;          /* [n][E] */
    float *p, *g, *slope;    /* [ATTN_M][room] */
} Backward;

typedef struct DqkvTile { /* M queries of one head, of tokens that follow each other */
    const float *q[ATTN_M], *dout[ATTN_M];
    float *dq[ATTN_M];
    int64_t lo[ATTN_M], hi[ATTN_M];
    int64_t row[ATTN_M]; /* of q */
    int64_t n;
} DqkvTile;

static size_t backward_layout(const OpArgs *a, char *base, Backward *b) {
    Carve at = {.base = base};
    const int64_t n = (int64_t)align_up((size_t)most_keys(a), LANES * ATTN_G), E = a->out.ne[2];
    b->room = n;
    CARVE(&at, b->k, n * E);
    CARVE(&at, b->kt, n * E);
    CARVE(&at, b->vt, n * E);
    CARVE(&at, b->dk, n * E);
    CARVE(&at, b->dv, n * E);
    CARVE(&at, b->p, ATTN_M * n);
    CARVE(&at, b->g, ATTN_M * n);
    CARVE(&at, b->slope, ATTN_M * n);
    return at.at;
}

static size_t dqkv_scratch(const OpArgs *a) { return backward_layout(a, NULL, &(Backward){0}); }

/* out[m][j] = scale * (q[m] . key j) for groups of keys that hold [lo, hi). M a constant. */
INLINE void dots(int M, const Backward *b, const float *const q[ATTN_M], const float *keys, V16 scale, int64_t lo,
                 int64_t hi, float *out) {
    for (int64_t j = lo / LANES * LANES; j < hi; j += LANES * ATTN_G) {
        V16 s[ATTN_M][ATTN_G];
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G; g++) s[m][g] = v_zero();
        for (int64_t e = 0; e < b->E; e++) {
            V16 ke[ATTN_G];
            UNROLL for (int g = 0; g < ATTN_G; g++) ke[g] = v_load(keys + (j + g * LANES) * b->E + e * LANES);
            UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G; g++) s[m][g] =
                v_fma(v_set1(q[m][e]), ke[g], s[m][g]);
        }
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < ATTN_G; g++)
            v_store(out + m * b->room + j + g * LANES, v_mul(scale, s[m][g]));
    }
}

/* Scores and products with dout become weights p and their derivatives g; both 0 outside of [lo, hi). */
static void soften_dqkv(const Backward *b, const DqkvTile *w, int m) {
    float *p = b->p + m * b->room, *g = b->g + m * b->room, *slope = b->slope + m * b->room;
    const int64_t lo = w->lo[m], hi = w->hi[m], first = lo / LANES * LANES;
    const AttnParams *a = &b->a->params.attn;
    const V16 cap = v_set1(a->softcap), one = v_set1(1);
    V16 top = v_set1(-INFINITY), lanes = v_zero(), dot = v_zero();
    for (int64_t j = first; j < hi && a->softcap > 0; j += LANES) {
        V16 t = v_tanh(v_div(v_load(p + j), cap));
        v_store(p + j, v_mul(cap, t));
        v_store(slope + j, v_fma(v_neg(t), t, one));
    }
    for (int64_t j = first; j < hi; j += LANES) top = v_max(top, v_keep(v_load(p + j), lo - j, hi - j, top));
    const V16 max = v_set1(v_hmax(top));
    for (int64_t j = first; j < hi; j += LANES) {
        V16 x = v_keep(v_exp(v_sub(v_load(p + j), max)), lo - j, hi - j, v_zero());
        lanes = v_add(lanes, x);
        v_store(p + j, x);
    }
    const V16 sum = v_set1(v_fold(lanes));
    for (int64_t j = first; j < hi; j += LANES) {
        V16 x = v_div(v_load(p + j), sum);
        dot = v_fma(x, v_keep(v_load(g + j), lo - j, hi - j, v_zero()), dot);
        v_store(p + j, x);
    }
    const V16 D = v_set1(v_fold(dot)), scale = v_set1(a->scale);
    for (int64_t j = first; j < hi; j += LANES) {
        V16 d = v_mul(scale, v_mul(v_load(p + j), v_sub(v_load(g + j), D)));
        if (a->softcap > 0) d = v_mul(d, v_load(slope + j));
        v_store(g + j, v_keep(d, lo - j, hi - j, v_zero()));
    }
}

/* dq[m] += g * keys [j0, j1). M a constant. */
INLINE void add_keys(int M, const Backward *b, const DqkvTile *w, int m0, int64_t j0, int64_t j1) {
    for (int64_t e = 0; e < b->E; e += LANES) {
        V16 o[ATTN_M];
        UNROLL for (int m = 0; m < M; m++) o[m] = v_load(w->dq[m0 + m] + e);
        for (int64_t j = j0; j < j1; j++) {
            V16 k = v_load(b->k + j * b->E + e);
            UNROLL for (int m = 0; m < M; m++) o[m] = v_fma(v_set1(b->g[(m0 + m) * b->room + j]), k, o[m]);
        }
        UNROLL for (int m = 0; m < M; m++) v_store(w->dq[m0 + m] + e, o[m]);
    }
}

/* dk, dv of keys [j0, j1) += what the queries give, in their order. M a constant. */
INLINE void add_queries(int M, const Backward *b, const DqkvTile *w, int m0, int64_t j0, int64_t j1) {
    for (int64_t e = 0; e < b->E; e += LANES) {
        V16 q[ATTN_M], dout[ATTN_M];
        UNROLL for (int m = 0; m < M; m++) q[m] = v_load(w->q[m0 + m] + e), dout[m] = v_load(w->dout[m0 + m] + e);
        for (int64_t j = j0; j < j1; j++) {
            float *dk = b->dk + j * b->E + e, *dv = b->dv + j * b->E + e;
            V16 sum_k = v_load(dk), sum_v = v_load(dv);
            UNROLL for (int m = 0; m < M; m++) {
                sum_k = v_fma(v_set1(b->g[(m0 + m) * b->room + j]), q[m], sum_k);
                sum_v = v_fma(v_set1(b->p[(m0 + m) * b->room + j]), dout[m], sum_v);
            }
            v_store(dk, sum_k), v_store(dv, sum_v);
        }
    }
}

INLINE void add_both(const Backward *b, const DqkvTile *w, int m0, int64_t n, int64_t j0, int64_t j1) {
#define CALL(M) add_keys(M, b, w, m0, j0, j1), add_queries(M, b, w, m0, j0, j1)
    if (j0 < j1) switch (n) {
            ATTN_CASES(CALL)
        }
#undef CALL
}

/* What dropout leaves of a row for each query: of the derivatives of its weights, then of those. */
static void drop_rows(const Backward *b, const DqkvTile *w, float *x) {
    const AttnParams *p = &b->a->params.attn;
    for (int64_t m = 0; m < w->n && p->dropout.p > 0; m++)
        drop_values(p->dropout, b->a->in[4].data, w->row[m] * p->keys + w->lo[m], x + m * b->room + w->lo[m],
                    w->hi[m] - w->lo[m]);
}

static void dqkv_tile(const Backward *b, const DqkvTile *w) {
    int64_t lo = w->lo[0], hi = w->hi[0], least = lo, most = hi;
    for (int64_t m = 1; m < w->n; m++) {
        lo = MAX(lo, w->lo[m]), hi = MIN(hi, w->hi[m]);
        least = MIN(least, w->lo[m]), most = MAX(most, w->hi[m]);
    }
    const V16 scale = v_set1(b->a->params.attn.scale), one = v_set1(1);
#define CALL(M) dots(M, b, w->q, b->kt, scale, least, most, b->p), dots(M, b, w->dout, b->vt, one, least, most, b->g)
    switch (w->n) { ATTN_CASES(CALL) }
#undef CALL
    drop_rows(b, w, b->g);
    for (int m = 0; m < w->n; m++) soften_dqkv(b, w, m);
    drop_rows(b, w, b->p);
    hi = MAX(lo, hi); /* keys that all of them see are done together; a key's queries still come in their order */
    for (int m = 0; m < w->n; m++) add_both(b, w, m, 1, w->lo[m], MIN(lo, w->hi[m]));
    add_both(b, w, 0, w->n, lo, hi);
    for (int m = 0; m < w->n; m++) add_both(b, w, m, 1, MAX(hi, w->lo[m]), w->hi[m]);
}

static void dqkv_head(const Backward *b, int64_t h) {
    const OpArgs *a = b->a;
    const int64_t H = a->in[1].ne[1], K = a->in[2].ne[1];
    for (int64_t t = b->row; t < b->row + b->n;) {
        DqkvTile w = {.n = 0};
        for (; w.n < ATTN_M && t < b->row + b->n; t++, w.n++) {
            w.dout[w.n] = tensor_row(&a->in[0], t * H + h);
            w.q[w.n] = tensor_row(&a->in[1], t * H + h);
            w.dq[w.n] = tensor_row(&a->out, t * (H + 2 * K) + h);
            w.row[w.n] = t * H + h;
            memset(w.dq[w.n], 0, (size_t)b->E * 4);
            step_keys(a->step, t, a->params.attn.mask, &w.lo[w.n], &w.hi[w.n]);
        }
        dqkv_tile(b, &w);
    }
}

static void dqkv_sequence(Backward *b, int64_t kv_head) {
    const OpArgs *a = b->a;
    const int64_t H = a->in[1].ne[1], K = a->in[2].ne[1], bytes = b->n * b->E * 4;
    copy_rows(&a->in[2], kv_head, b->row, b->n, b->k);
    turn(&a->in[2], kv_head, b->row, b->n, b->kt);
    turn(&a->in[3], kv_head, b->row, b->n, b->vt);
    memset(b->dk, 0, (size_t)bytes), memset(b->dv, 0, (size_t)bytes);
    for (int64_t h = kv_head * (H / K); h < (kv_head + 1) * (H / K); h++) dqkv_head(b, h);
    for (int64_t r = 0; r < b->n; r++) {
        const int64_t row = (b->row + r) * (H + 2 * K) + H + kv_head;
        memcpy(tensor_row(&a->out, row), b->dk + r * b->E, (size_t)b->E * 4);
        memcpy(tensor_row(&a->out, row + K), b->dv + r * b->E, (size_t)b->E * 4);
    }
}

static void attention_dqkv_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const int64_t T = a->out.ne[0], blocks = div_up(T, TRAIN_BLOCK);
    Backward b = {.a = a, .E = a->out.ne[2]};
    backward_layout(a, scratch, &b);
    for (int64_t u = u0; u < u1; u++) {
        const int64_t begin = u % blocks * TRAIN_BLOCK;
        for (int64_t t = begin; t < MIN(T, begin + TRAIN_BLOCK); t++) {
            if (a->step->first_row[t] != t) continue;
            b.row = t, b.n = sequence_end(a->step, t, T) - t;
            dqkv_sequence(&b, u / blocks);
        }
    }
}

#endif
