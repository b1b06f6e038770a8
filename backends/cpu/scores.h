/* Attention whose scores can be seen, over the rows of a step: body of scores_<isa>.c. Each sum is that of
 * core/ops.def, whoever shares its tile.
 *
 * A unit is a kv head of some tokens: of SCORE_TOKENS queries, of one query, or of SCORE_KEYS keys that gather. */
#ifndef CPU_SCORES_H
#define CPU_SCORES_H

#include "backends/cpu/rows.h"

enum { SCORE_TOKENS = 64, SCORE_KEYS = 4, SCORE_M = 4 };

/* Tokens [t, end) of one sequence, which has key j in row row0 + j; they see keys within [lo, hi). */
typedef struct Reach {
    int64_t t, end, row0, lo, hi;
} Reach;

INLINE void token_range(const OpArgs *a, int64_t t, int64_t *lo, int64_t *hi) {
    step_keys(a->step, t, a->params.attn.mask, lo, hi);
}

/* Those of t's sequence from t on, before `most`. */
INLINE Reach reach_from(const OpArgs *a, int64_t t, int64_t most) {
    const Step *s = a->step;
    Reach r = {.t = t, .end = t, .row0 = step_row0(s, t), .lo = INT64_MAX};
    for (; r.end < most && s->first_row[r.end] == s->first_row[t]; r.end++) {
        int64_t lo, hi;
        token_range(a, r.end, &lo, &hi);
        r.lo = MIN(r.lo, lo), r.hi = MAX(r.hi, hi);
    }
    return r;
}

/* ---- attn_scores ---- */

static int64_t attn_scores_units(const OpArgs *a) { return a->in[1].ne[1] * div_up(a->out.ne[0], SCORE_TOKENS); }
static size_t attn_scores_scratch(const OpArgs *a) { return (size_t)(a->in[0].ne[2] * LANES) * sizeof(float); }

/* Queries of a tile, and the columns that each sees. */
typedef struct ScoreTile {
    const float *q[SCORE_M];
    float *s[SCORE_M];
    int64_t lo[SCORE_M], hi[SCORE_M], n;
} ScoreTile;

/* Columns j ... j + 15 of the M queries; keys [E][16]. M a constant. */
INLINE void score_tile(int M, const OpArgs *a, const ScoreTile *w, const float *keys, int64_t j) {
    const int64_t E = a->in[0].ne[2];
    V16 sum[SCORE_M];
    UNROLL for (int m = 0; m < M; m++) sum[m] = v_zero();
    for (int64_t e = 0; e < E; e++) {
        const V16 k = v_load(keys + e * LANES);
        UNROLL for (int m = 0; m < M; m++) sum[m] = v_fma(v_set1(w->q[m][e]), k, sum[m]);
    }
    UNROLL for (int m = 0; m < M; m++) {
        V16 s = v_keep(v_mul(v_set1(a->params.attn.scale), sum[m]), w->lo[m] - j, w->hi[m] - j, v_zero());
        v_store_n(w->s[m] + j, s, a->out.ne[2] - j);
    }
}

static void score_any(const OpArgs *a, const ScoreTile *w, const float *keys, int64_t j) {
    switch (w->n) {
    case 1: score_tile(1, a, w, keys, j); break;
    case 2: score_tile(2, a, w, keys, j); break;
    case 3: score_tile(3, a, w, keys, j); break;
    case 4: score_tile(4, a, w, keys, j); break;
    }
}

/* 16 columns of all queries of r in heads [h0, h1). */
static void score_columns(const OpArgs *a, const Reach *r, int64_t h0, int64_t h1, const float *keys, int64_t j) {
    const int64_t H = a->out.ne[1];
    ScoreTile w = {.n = 0};
    for (int64_t t = r->t; t < r->end; t++)
        for (int64_t h = h0; h < h1; h++) {
            w.q[w.n] = tensor_row(&a->in[0], t * H + h), w.s[w.n] = tensor_row(&a->out, t * H + h);
            token_range(a, t, &w.lo[w.n], &w.hi[w.n]);
            w.n += w.lo[w.n] < j + LANES && w.hi[w.n] > j; /* others stay 0 */
            if (w.n == SCORE_M) score_any(a, &w, keys, j), w.n = 0;
        }
    score_any(a, &w, keys, j);
}

static void attn_scores_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const Tensor *k = &a->in[1];
    const int64_t T = a->out.ne[0], H = a->out.ne[1], K = k->ne[1], S = a->out.ne[2], group = H / K;
    const int64_t blocks = div_up(T, SCORE_TOKENS);
    for (int64_t u = u0; u < u1; u++) {
        const int64_t head = u / blocks, t1 = MIN(T, (u % blocks + 1) * SCORE_TOKENS);
        for (int64_t t = u % blocks * SCORE_TOKENS; t < t1;) {
            const Reach r = reach_from(a, t, t1);
            for (; t < r.end; t++)
                for (int64_t h = 0; h < group; h++)
                    memset(tensor_row(&a->out, t * H + head * group + h), 0, (size_t)S * sizeof(float));
            for (int64_t j = r.lo / LANES * LANES; j < r.hi; j += LANES) {
                const char *rows[LANES];
                for (int64_t i = 0; i < LANES; i++) rows[i] = tensor_row(k, (r.row0 + MIN(j + i, r.hi - 1)) * K + head);
                unpack_f32_f32(rows, 0, k->ne[2], scratch);
                score_columns(a, &r, head * group, (head + 1) * group, scratch, j);
            }
        }
    }
}

/* ---- attn_probs, attn_probs_dx: a unit is a row ---- */

/* Columns that are no part of the lane groups of [lo, hi). */
INLINE void clear_beside(float *y, int64_t lo, int64_t hi, int64_t n) {
    const int64_t end = (int64_t)align_up((size_t)hi, LANES);
    memset(y, 0, (size_t)(lo / LANES * LANES) * sizeof *y);
    if (end < n) memset(y + end, 0, (size_t)(n - end) * sizeof *y);
}

INLINE V16 columns(const float *x, int64_t j, int64_t lo, int64_t hi, int64_t n, float other) {
    return v_keep(v_load_n(x + j, n - j), lo - j, hi - j, v_set1(other));
}

static void attn_probs_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t u = u0, n = inner(a), lo, hi; u < u1; u++) {
        const float *s = tensor_row(&a->in[0], u);
        float *p = tensor_row(&a->out, u);
        token_range(a, u / a->out.ne[1], &lo, &hi);
        const int64_t first = lo / LANES * LANES;
        V16 top = v_set1(-INFINITY), lanes = v_zero();
        for (int64_t j = first; j < hi; j += LANES) top = v_max(top, columns(s, j, lo, hi, n, -INFINITY));
        const V16 most = v_set1(v_hmax(top));
        for (int64_t j = first; j < hi; j += LANES) {
            V16 x = v_keep(v_exp(v_sub(columns(s, j, lo, hi, n, 0), most)), lo - j, hi - j, v_zero());
            lanes = v_add(lanes, x);
            v_store_n(p + j, x, n - j);
        }
        const V16 sum = v_set1(v_fold(lanes));
        for (int64_t j = first; j < hi; j += LANES) { /* masked: 0, also where the sum is no number */
            V16 x = v_div(v_load_n(p + j, n - j), sum);
            v_store_n(p + j, v_keep(x, lo - j, hi - j, v_zero()), n - j);
        }
        clear_beside(p, lo, hi, n);
    }
}

static void attn_probs_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t u = u0, n = inner(a), lo, hi; u < u1; u++) {
        const float *g = tensor_row(&a->in[0], u), *p = tensor_row(&a->in[1], u);
        float *d = tensor_row(&a->out, u);
        token_range(a, u / a->out.ne[1], &lo, &hi);
        const int64_t first = lo / LANES * LANES;
        V16 lanes = v_zero();
        for (int64_t j = first; j < hi; j += LANES)
            lanes = v_fma(columns(p, j, lo, hi, n, 0), columns(g, j, lo, hi, n, 0), lanes);
        const V16 D = v_set1(v_fold(lanes));
        for (int64_t j = first; j < hi; j += LANES) {
            V16 x = v_mul(v_load_n(p + j, n - j), v_sub(v_load_n(g + j, n - j), D));
            v_store_n(d + j, v_keep(x, lo - j, hi - j, v_zero()), n - j);
        }
        clear_beside(d, lo, hi, n);
    }
}

/* ---- attn_mix: E a multiple of 16 ---- */

static int64_t attn_mix_units(const OpArgs *a) { return a->out.ne[0] * a->in[1].ne[1]; }

/* G*16 columns from e on of M heads that follow each other. M, G constants. */
INLINE void mix_tile(int M, int G, const OpArgs *a, int64_t row, const char *v, int64_t e) {
    const int64_t stride = a->in[1].stride[0];
    const float *p[SCORE_M];
    V16 o[SCORE_M][SCORE_M];
    int64_t lo, hi;
    token_range(a, row / a->out.ne[1], &lo, &hi);
    UNROLL for (int m = 0; m < M; m++) {
        p[m] = tensor_row(&a->in[0], row + m);
        UNROLL for (int g = 0; g < G; g++) o[m][g] = v_zero();
    }
    for (int64_t j = lo; j < hi; j++) UNROLL for (int g = 0; g < G; g++) {
            const V16 x = v_load(v + j * stride + (e + g * LANES) * (int64_t)sizeof(float));
            UNROLL for (int m = 0; m < M; m++) o[m][g] = v_fma(v_set1(p[m][j]), x, o[m][g]);
        }
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int g = 0; g < G; g++)
        v_store((float *)tensor_row(&a->out, row + m) + e + g * LANES, o[m][g]);
}

static void attn_mix_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const int64_t H = a->out.ne[1], K = a->in[1].ne[1], E = inner(a), group = H / K;
    for (int64_t u = u0; u < u1; u++) {
        const int64_t t = u / K, row = t * H + u % K * group;
        const char *v = tensor_row(&a->in[1], step_row0(a->step, t) * K + u % K);
        int64_t h = 0;
        for (; h + 2 <= group; h += 2) {
            int64_t e = 0;
            for (; e + 2 * LANES <= E; e += 2 * LANES) mix_tile(2, 2, a, row + h, v, e);
            if (e < E) mix_tile(2, 1, a, row + h, v, e);
        }
        for (int64_t e = 0; h < group && e < E;) {
            const bool wide = e + 4 * LANES <= E;
            wide ? mix_tile(1, 4, a, row + h, v, e) : mix_tile(1, 1, a, row + h, v, e);
            e += wide ? 4 * LANES : LANES;
        }
    }
}

/* ---- attn_mix_dv: E a multiple of 16 ---- */

static int64_t attn_mix_dv_units(const OpArgs *a) { return a->out.ne[1] * div_up(a->out.ne[0], SCORE_KEYS); }

/* 16 columns from e on of keys [j, j + N), whose sequence is r; heads [h0, h1). N a constant. */
INLINE void gather_keys(int N, const OpArgs *a, const Reach *r, int64_t j, int64_t head, int64_t e) {
    const int64_t H = a->in[1].ne[1], K = a->out.ne[1], group = H / K;
    V16 sum[SCORE_KEYS];
    UNROLL for (int i = 0; i < N; i++) sum[i] = v_zero();
    for (int64_t h = head * group; h < (head + 1) * group; h++)
        for (int64_t t = r->t; t < r->end; t++) {
            int64_t lo, hi;
            token_range(a, t, &lo, &hi);
            if (lo >= j + N || hi <= j) continue;
            const float *p = (const float *)tensor_row(&a->in[0], t * H + h) + j;
            const V16 x = v_load((const float *)tensor_row(&a->in[1], t * H + h) + e);
            if (lo <= j && hi >= j + N) {
                UNROLL for (int i = 0; i < N; i++) sum[i] = v_fma(v_set1(p[i]), x, sum[i]);
            } else {
                UNROLL for (int i = 0; i < N; i++) if (lo <= j + i && j + i < hi) sum[i] =
                    v_fma(v_set1(p[i]), x, sum[i]);
            }
        }
    UNROLL for (int i = 0; i < N; i++) v_store((float *)tensor_row(&a->out, (r->row0 + j + i) * K + head) + e, sum[i]);
}

static void attn_mix_dv_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const int64_t T = a->out.ne[0], blocks = div_up(T, SCORE_KEYS), E = inner(a);
    for (int64_t u = u0; u < u1; u++) {
        const int64_t end = MIN(T, (u % blocks + 1) * SCORE_KEYS);
        for (int64_t row = u % blocks * SCORE_KEYS, n; row < end; row += n) {
            const Reach r = reach_from(a, a->step->first_row[row], T);
            const bool whole = row + SCORE_KEYS <= MIN(end, r.end);
            n = whole ? SCORE_KEYS : 1;
            for (int64_t e = 0; e < E; e += LANES)
                whole ? gather_keys(SCORE_KEYS, a, &r, row - r.row0, u / blocks, e)
                      : gather_keys(1, a, &r, row - r.row0, u / blocks, e);
        }
    }
}

#endif
