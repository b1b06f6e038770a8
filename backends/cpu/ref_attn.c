/* Attention. attention and attention_kv differ only in where a key is found: see Keys. */
#include "backends/cpu/drop.h"
#include "backends/cpu/expf32.h"
#include "backends/cpu/lanes16.h"
#include "backends/cpu/ref_keys.h"

/* A unit is one head of one token, in the order of out's rows. */
static int64_t rope_units(const OpArgs *a) { return tensor_rows(&a->out); }

static void rope_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const Tensor *table = &a->in[1];
    int64_t half = table->ne[1], E = a->out.ne[2];
    bool inter = a->params.rope.interleaved;
    for (int64_t r = u0; r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r);
        float *y = tensor_row(&a->out, r);
        for (int64_t i = 0; i < half; i++) {
            const float *cs = tensor_row(table, r / a->out.ne[1] * half + i);
            int64_t at = inter ? 2 * i : i, to = inter ? 2 * i + 1 : i + half;
            float c = cs[0], s = a->params.rope.inverse ? -cs[1] : cs[1], lo = x[at], hi = x[to];
            y[at] = fmaf(lo, c, -(hi * s));
            y[to] = fmaf(hi, c, lo * s);
        }
        memmove(y + 2 * half, x + 2 * half, (size_t)(E - 2 * half) * 4);
    }
}

const char takes_rope[] = "ff>f";
const Kernel ref_rope = {"ref", rope_units, rope_run, NULL};

static void rope_order_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    int64_t E = a->params.rope_order.head_dim, half = E / 2;
    for (int64_t r = u0; r < u1; r++)
        for (int64_t at = 0; at < ref_inner(&a->out); at += E) {
            const float *x = (float *)tensor_row(&a->in[0], r) + at;
            float *y = (float *)tensor_row(&a->out, r) + at;
            for (int64_t i = 0; i < half; i++)
                if (a->params.rope_order.to_interleaved)
                    y[2 * i] = x[i], y[2 * i + 1] = x[i + half];
                else
                    y[i] = x[2 * i], y[i + half] = x[2 * i + 1];
        }
}

const char takes_rope_order[] = "f>f";
const Kernel ref_rope_order = {"ref", ref_out_rows, rope_order_run, NULL};

/* ---- forward ---- */

typedef struct Scratch {
    float *p;       /* [ATTN_PARTITION] scores, then weights */
    float *row, *o; /* [E] a decoded key or value, the sum of one partition */
    float *strand;  /* [E] that of one strand */
    int16_t *n;     /* [P] the query over q8_0 */
    float *d;       /* [P/32] its scales */
} Scratch;

static size_t scratch_layout(const OpArgs *a, char *base, Scratch *w) {
    Carve at = {.base = base};
    const int64_t E = a->in[0].ne[2], P = kv_row_len(DT_q8_0, E);
    CARVE(&at, w->p, ATTN_PARTITION);
    CARVE(&at, w->row, E);
    CARVE(&at, w->o, E);
    CARVE(&at, w->strand, E);
    CARVE(&at, w->n, P);
    CARVE(&at, w->d, P / 32);
    return at.at;
}

static size_t attention_scratch(const OpArgs *a) { return scratch_layout(a, NULL, &(Scratch){0}); }

/* i16 in core/ops.def; returns the scale. */
static float to_i16(const float *x, int64_t n, int16_t *out) {
    float amax = 0;
    for (int64_t i = 0; i < n; i++) amax = fmaxf(amax, isnan(x[i]) ? INFINITY : fabsf(x[i]));
    float inv = i16_inverse(amax);
    for (int64_t i = 0; i < n; i++) out[i] = inv > 0 ? (int16_t)nearbyintf(x[i] * inv) : 0;
    return i16_scale(amax);
}

static void query_to_i16(const float *q, int64_t E, Scratch *w) {
    for (int64_t b = 0; b < kv_row_len(DT_q8_0, E) / 32; b++) {
        float x[32] = {0};
        memcpy(x, q + 32 * b, (size_t)MIN(32, E - 32 * b) * 4);
        w->d[b] = to_i16(x, 32, w->n + 32 * b);
    }
}

/* The query times key j of q8_0. */
static float dot_q8_0(const Keys *k, int64_t j, const Scratch *w) {
    const char *at = key_head(k, j, false);
    int64_t P = kv_row_len(DT_q8_0, k->E);
    float s = 0;
    for (int64_t b = 0; b < P / 32; b++) {
        int32_t sum = 0;
        uint16_t d;
        for (int64_t e = 32 * b; e < 32 * b + 32; e++) sum += w->n[e] * (int8_t)at[k8_at(j % KV_PAGE, e, P)];
        memcpy(&d, at + k8_scale_at(j % KV_PAGE, b, P), 2);
        s = fmaf(w->d[b] * f16_to_f32(d), (float)sum, s);
    }
    return s;
}

/* w->o += weights times values of q8_0, for keys [j0, j1) of one page and a block of columns. */
static void add_values_q8_0(const Keys *k, int64_t base, int64_t j0, int64_t j1, int64_t b, const Scratch *w) {
    const char *at = key_head(k, j0, true);
    int64_t P = kv_row_len(DT_q8_0, k->E);
    float x[KV_PAGE];
    int16_t n[KV_PAGE];
    for (int64_t j = j0; j < j1; j++) {
        uint16_t d;
        memcpy(&d, at + v8_scale_at(j % KV_PAGE, b, P), 2);
        x[j - j0] = w->p[j - base] * f16_to_f32(d);
    }
    float scale = to_i16(x, j1 - j0, n);
    for (int64_t e = 32 * b; e < MIN(32 * b + 32, k->E); e++) {
        int32_t sum = 0;
        for (int64_t j = j0; j < j1; j++) sum += n[j - j0] * (int8_t)at[v8_at(j % KV_PAGE, e, P)];
        w->o[e] = fmaf(scale, (float)sum, w->o[e]);
    }
}

static void add_values(const Keys *k, int64_t base, int64_t lo, int64_t hi, const Scratch *w) {
    if (!keys_are_q8_0(k)) {
        for (int64_t j = lo; j < hi; j++) {
            const float *v = value_row(k, j, w->row);
            for (int64_t e = 0; e < k->E; e++) w->o[e] = fmaf(w->p[j - base], v[e], w->o[e]);
        }
        return;
    }
    for (int64_t j = lo, end; j < hi; j = end) {
        end = MIN(hi, (j / KV_PAGE + 1) * KV_PAGE);
        for (int64_t b = 0; 32 * b < k->E; b++) add_values_q8_0(k, base, j, end, b, w);
    }
}

/* What dropout leaves of the weights of query u for keys [lo, hi). */
static void drop_weights(const Keys *k, int64_t u, int64_t base, int64_t lo, int64_t hi, const Scratch *w) {
    const AttnParams *p = &k->a->params.attn;
    if (!(p->dropout.p > 0)) return;
    drop_values(p->dropout, k->a->in[3].data, u * p->keys + lo, w->p + (lo - base), hi - lo);
}

/* Keys [lo, hi) of the partition that begins at base: fills w->p, returns max and sum. */
static void weigh_partition(const Keys *k, const float *q, int64_t base, int64_t lo, int64_t hi, Scratch *w, float *m,
                            float *l) {
    float scale = k->a->params.attn.scale, cap = k->a->params.attn.softcap;
    *m = -INFINITY;
    for (int64_t j = lo; j < hi; j++) {
        w->p[j - base] = scale * (keys_are_q8_0(k) ? dot_q8_0(k, j, w) : key_dot(q, key_row(k, j, w->row), k->E));
        if (cap > 0) w->p[j - base] = cap * tanh_f32(w->p[j - base] / cap);
        if (w->p[j - base] > *m) *m = w->p[j - base];
    }
    float lane[16] = {0};
    for (int64_t j = lo; j < hi; j++) lane[j % 16] += w->p[j - base] = exp_f32(w->p[j - base] - *m);
    *l = lanes16_fold(lane);
}

/* What is known of some of the keys, as core/ops.def has it. */
typedef struct Part {
    float M, L, *O;
} Part;

static Part part_empty(float *O, int64_t E) {
    memset(O, 0, (size_t)E * 4);
    return (Part){-INFINITY, 0, O};
}

static void part_join(Part *p, int64_t E, float m, float l, const float *o) {
    const float n = m > p->M ? m : p->M, a = exp_f32(p->M - n), b = exp_f32(m - n);
    p->L = fmaf(p->L, a, l * b);
    for (int64_t e = 0; e < E; e++) p->O[e] = fmaf(p->O[e], a, o[e] * b);
    p->M = n;
}

/* The partitions of a strand of query u. */
static Part attend_strand(const Keys *k, int64_t u, int strand, float *O, Scratch *w) {
    const float *q = tensor_row(&k->a->in[0], u);
    int64_t lo, hi;
    keys_range(k, &lo, &hi);
    Part p = part_empty(O, k->E);
    if (keys_are_q8_0(k)) query_to_i16(q, k->E, w);
    for (int64_t base = strand_first(lo, strand) * ATTN_PARTITION; base < hi; base += ATTN_STRANDS * ATTN_PARTITION) {
        const int64_t from = MAX(lo, base), to = MIN(hi, base + ATTN_PARTITION);
        float m, l;
        weigh_partition(k, q, base, from, to, w, &m, &l);
        drop_weights(k, u, base, from, to, w);
        memset(w->o, 0, (size_t)k->E * 4);
        add_values(k, base, from, to, w);
        part_join(&p, k->E, m, l, w->o);
    }
    return p;
}

/* Query u of in[0]; strands: [8][E+2] of it, NULL: they are computed. */
static void attend(const Keys *k, int64_t u, const float *strands, Scratch *w) {
    const int64_t E = k->E;
    int64_t lo, hi;
    keys_range(k, &lo, &hi);
    Part all = part_empty(tensor_row(&k->a->out, u), E);
    for (int s = 0; s < ATTN_STRANDS; s++) {
        if (strand_empty(lo, hi, s)) continue;
        const float *at = strands ? strands + s * (E + 2) : NULL;
        Part p = at ? (Part){at[E], at[E + 1], NULL} : attend_strand(k, u, s, w->strand, w);
        part_join(&all, E, p.M, p.L, at ? at : p.O);
    }
    for (int64_t e = 0; e < E; e++) all.O[e] /= all.L;
}

static int64_t attention_units_of(const Tensor *q) { return q->ne[0] * q->ne[1]; }
static int64_t attention_units(const OpArgs *a) { return attention_units_of(&a->out); }

static void attention_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    int64_t H = a->out.ne[1], group = H / a->in[1].ne[1];
    Scratch w;
    scratch_layout(a, scratch, &w);
    for (int64_t u = u0; u < u1; u++) {
        Keys k = keys_in_rows(a, &a->in[1], &a->in[2], u / H, u % H / group);
        attend(&k, u, NULL, &w);
    }
}

const char takes_attention[] = "fffi>f";
const Kernel ref_attention = {"ref", attention_units, attention_run, attention_scratch};

static void attention_kv_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    int64_t H = a->out.ne[1], E = a->out.ne[2];
    Scratch w;
    const bool joins = a->n_in > 2 && a->step->n <= ATTN_SPLIT;
    scratch_layout(a, scratch, &w);
    for (int64_t u = u0; u < u1; u++) {
        Keys k = keys_in_cache(a, u / H, u % H, H, E);
        attend(&k, u, joins ? tensor_row(&a->in[2], u * ATTN_STRANDS) : NULL, &w);
    }
}

/* A unit is one head of one token. */
static int64_t strands_units(const OpArgs *a) {
    return a->in[0].ne[0] <= ATTN_SPLIT ? attention_units_of(&a->in[0]) : 0;
}

static void strands_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    int64_t H = a->in[0].ne[1], E = a->in[0].ne[2], lo, hi;
    Scratch w;
    scratch_layout(a, scratch, &w);
    for (int64_t u = u0; u < u1; u++) {
        Keys k = keys_in_cache(a, u / H, u % H, H, E);
        keys_range(&k, &lo, &hi);
        for (int s = 0; s < ATTN_STRANDS; s++) {
            if (strand_empty(lo, hi, s)) continue;
            float *to = tensor_row(&a->out, u * ATTN_STRANDS + s);
            Part p = attend_strand(&k, u, s, to, &w);
            to[E] = p.M, to[E + 1] = p.L;
        }
    }
}

const char takes_attention_strands[] = "fi>f";
const Kernel ref_attention_strands = {"ref", strands_units, strands_run, attention_scratch};

const char takes_attention_kv[] = "fif>f";
const Kernel ref_attention_kv = {"ref", attention_units, attention_kv_run, attention_scratch};

/* ---- the cache ---- */

static int64_t kv_store_units(const OpArgs *a) { return a->in[0].ne[0]; }
static size_t kv_store_scratch(const OpArgs *a) {
    int64_t P = kv_row_len(DT_q8_0, a->in[0].ne[2]);
    return (size_t)(P * 4 + dtype_row_bytes(DT_q8_0, P));
}

static void store_float(const Step *s, const float *row, char *head, int64_t slot, int64_t E, bool value) {
    const DtypeInfo *d = &dtype_info[s->kv_dtype];
    if (value)
        d->encode(row, head + slot * E * d->block_bytes, E);
    else
        for (int64_t e = 0; e < E; e++) d->encode(&row[e], head + k_at(slot, e, E) * d->block_bytes, 1);
}

static void store_q8_0(const float *row, char *head, int64_t slot, int64_t E, bool value, void *scratch) {
    int64_t P = kv_row_len(DT_q8_0, E);
    float *whole = scratch;
    BlockQ8_0 *b = (BlockQ8_0 *)(whole + P);
    memset(whole, 0, (size_t)P * 4);
    memcpy(whole, row, (size_t)E * 4);
    dtype_info[DT_q8_0].encode(whole, b, P);
    for (int64_t i = 0; i < P / 32; i++)
        memcpy(head + (value ? v8_scale_at(slot, i, P) : k8_scale_at(slot, i, P)), &b[i].d, 2);
    for (int64_t e = 0; e < P; e++) head[value ? v8_at(slot, e, P) : k8_at(slot, e, P)] = (char)b[e / 32].q[e % 32];
}

static void kv_store_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const Step *s = a->step;
    int64_t K = a->in[0].ne[1], E = a->in[0].ne[2];
    if (u0 == 0) *(int32_t *)a->out.data = 0;
    for (int64_t t = u0; t < u1; t++) {
        char *page = s->kv[a->params.kv.layer] + s->pages[t][s->index[t] / KV_PAGE] * s->kv_page_bytes;
        int64_t slot = s->index[t] % KV_PAGE;
        for (int64_t place = 0; place < 2 * K; place++) {
            bool value = place >= K;
            const float *row = tensor_row(&a->in[value], t * K + place % K);
            char *head = page + place * KV_PAGE * kv_row_bytes(s->kv_dtype, E);
            if (s->kv_dtype == DT_q8_0)
                store_q8_0(row, head, slot, E, value, scratch);
            else
                store_float(s, row, head, slot, E, value);
        }
    }
}

const char takes_kv_store[] = "ff>i";
const Kernel ref_kv_store = {"ref", kv_store_units, kv_store_run, kv_store_scratch};

/* ---- backward ---- */

/* A unit is a kv head with its query heads: dk and dv of a head sum over them. */
static int64_t dqkv_units(const OpArgs *a) { return a->in[2].ne[1]; }

/* Three rows of numbers by key: p, g and the cap's slope of the query at hand. */
static size_t dqkv_scratch(const OpArgs *a) { return 3 * ((size_t)a->out.ne[0] + KV_LANES) * 4; }

/* The four operands of one query head h of token t, found by name. */
typedef struct DqkvRow {
    const float *dout, *q;
    float *dq;
    int64_t lo, hi, base; /* keys; base is lo rounded down to a lane group, so that p[j - base] is in lane j % 16 */
    uint64_t first;       /* the number that dropout gives weight 0 */
    Drop drop;
} DqkvRow;

static float dropped(const Keys *k, DqkvRow *r, int64_t j, float x) {
    return k->a->params.attn.dropout.p > 0 ? drop_value(&r->drop, r->first + (uint64_t)j, x) : x;
}

/* p[j - base] = softmax, g[j - base] = its derivative's d_j; slope is room for a row. */
static void dqkv_scores(const Keys *k, DqkvRow *r, float *p, float *g, float *slope) {
    float scale = k->a->params.attn.scale, cap = k->a->params.attn.softcap, M = -INFINITY;
    int64_t n = r->hi - r->base;
    memset(p, 0, (size_t)n * 4);
    memset(g, 0, (size_t)n * 4);
    for (int64_t j = r->lo; j < r->hi; j++) {
        p[j - r->base] = scale * key_dot(r->q, key_row(k, j, NULL), k->E);
        if (cap > 0) {
            float t = tanh_f32(p[j - r->base] / cap);
            p[j - r->base] = cap * t;
            slope[j - r->base] = fmaf(-t, t, 1);
        }
        if (p[j - r->base] > M) M = p[j - r->base];
        g[j - r->base] = dropped(k, r, j, key_dot(r->dout, value_row(k, j, NULL), k->E));
    }
    float lane[16] = {0};
    for (int64_t j = r->lo; j < r->hi; j++) lane[j % 16] += p[j - r->base] = exp_f32(p[j - r->base] - M);
    float L = lanes16_fold(lane);
    for (int64_t i = r->lo - r->base; i < n; i++) p[i] /= L;
    float D = lanes16_dot(p, g, n);
    for (int64_t i = r->lo - r->base; i < n; i++) {
        g[i] = scale * (p[i] * (g[i] - D));
        if (cap > 0) g[i] *= slope[i];
    }
}

static void dqkv_head(const OpArgs *a, int64_t h, int64_t kv_head, float *p, float *g, float *slope) {
    const Tensor *out = &a->out;
    int64_t T = out->ne[0], H = a->in[1].ne[1], K = a->in[2].ne[1];
    for (int64_t t = 0; t < T; t++) {
        Keys k = keys_in_rows(a, &a->in[2], &a->in[3], t, kv_head);
        DqkvRow r = {.dout = tensor_row(&a->in[0], t * H + h),
                     .q = tensor_row(&a->in[1], t * H + h),
                     .dq = tensor_row(out, t * (H + 2 * K) + h),
                     .first = (uint64_t)((t * H + h) * a->params.attn.keys)};
        if (a->n_in > 4) r.drop = drop_begin(a->params.attn.dropout, a->in[4].data);
        keys_range(&k, &r.lo, &r.hi);
        r.base = r.lo / KV_LANES * KV_LANES;
        dqkv_scores(&k, &r, p, g, slope);
        memset(r.dq, 0, (size_t)k.E * 4);
        for (int64_t j = r.lo; j < r.hi; j++) {
            const float *kj = key_row(&k, j, NULL);
            float *dk = tensor_row(out, (k.row0 + j) * (H + 2 * K) + H + kv_head);
            float *dv = tensor_row(out, (k.row0 + j) * (H + 2 * K) + H + K + kv_head);
            float pj = dropped(&k, &r, j, p[j - r.base]), dj = g[j - r.base];
            for (int64_t e = 0; e < k.E; e++) {
                r.dq[e] = fmaf(dj, kj[e], r.dq[e]);
                dk[e] = fmaf(dj, r.q[e], dk[e]);
                dv[e] = fmaf(pj, r.dout[e], dv[e]);
            }
        }
    }
}

static void dqkv_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const Tensor *out = &a->out;
    int64_t T = out->ne[0], E = out->ne[2], H = a->in[1].ne[1], K = a->in[2].ne[1], group = H / K;
    float *p = scratch, *g = p + T + KV_LANES, *slope = g + T + KV_LANES;
    for (int64_t u = u0; u < u1; u++) {
        for (int64_t t = 0; t < T; t++)
            for (int side = 0; side < 2; side++)
                memset(tensor_row(out, t * (H + 2 * K) + H + side * K + u), 0, (size_t)E * 4);
        for (int64_t h = u * group; h < (u + 1) * group; h++) dqkv_head(a, h, u, p, g, slope);
    }
}

const char takes_attention_dqkv[] = "ffffi>f";
const Kernel ref_attention_dqkv = {"ref", dqkv_units, dqkv_run, dqkv_scratch};
