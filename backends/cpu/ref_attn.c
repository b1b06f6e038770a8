/* Attention. attention and attention_kv differ only in where a key is found: see Keys. */
#include "backends/cpu/expf32.h"
#include "backends/cpu/lanes16.h"
#include "backends/cpu/ref.h"

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

/* ---- where keys and values stand ---- */

/* Keys of the sequence of token t, kv head `head`: rows of in[1], in[2] from row0 (key j in row row0 + j), or pages. */
typedef struct Keys {
    const OpArgs *a;
    int64_t t, head, n_heads, E, row0;
    int layer; /* -1: rows */
} Keys;

/* Page of key j. Layout: core/op.h. */
static char *key_page(const Step *s, int layer, int64_t t, int64_t j) {
    return s->kv[layer] + s->pages[t][j / KV_PAGE] * s->kv_page_bytes;
}
/* Element e of slot j of a head inside a page, for K and for V. */
static int64_t k_at(int64_t head, int64_t j, int64_t e, int64_t E) {
    return ((head * (KV_PAGE / KV_LANES) + j / KV_LANES) * E + e) * KV_LANES + j % KV_LANES;
}
static int64_t v_at(int64_t n_heads, int64_t head, int64_t j, int64_t E) {
    return (n_heads * KV_PAGE + head * KV_PAGE + j) * E;
}

static const float *key_row(const Keys *k, int64_t j, float *buf) {
    if (k->layer < 0) return tensor_row(&k->a->in[1], (k->row0 + j) * k->n_heads + k->head);
    const Step *s = k->a->step;
    const char *page = key_page(s, k->layer, k->t, j);
    const DtypeInfo *d = &dtype_info[s->kv_dtype];
    for (int64_t e = 0; e < k->E; e++)
        d->decode(page + k_at(k->head, j % KV_PAGE, e, k->E) * d->block_bytes, &buf[e], 1);
    return buf;
}

static const float *value_row(const Keys *k, int64_t j, float *buf) {
    if (k->layer < 0) return tensor_row(&k->a->in[2], (k->row0 + j) * k->n_heads + k->head);
    const Step *s = k->a->step;
    const DtypeInfo *d = &dtype_info[s->kv_dtype];
    d->decode(key_page(s, k->layer, k->t, j) + v_at(k->n_heads, k->head, j % KV_PAGE, k->E) * d->block_bytes, buf,
              k->E);
    return buf;
}

static float dot(const float *a, const float *b, int64_t n) {
    float y = 0;
    for (int64_t i = 0; i < n; i++) y = fmaf(a[i], b[i], y);
    return y;
}

/* ---- forward ---- */

typedef struct Scratch {
    float p[ATTN_PARTITION];
    float row[]; /* [2E]: a decoded key or value; the sum of one partition */
} Scratch;

static size_t attention_scratch(const OpArgs *a) { return sizeof(Scratch) + 2 * (size_t)a->out.ne[2] * 4; }

/* Keys [lo, hi) of the partition that begins at base: fills w->p and o, returns max and sum. */
static void attend_partition(const Keys *k, const float *q, int64_t base, int64_t lo, int64_t hi, Scratch *w, float *m,
                             float *l) {
    float scale = k->a->params.attn.scale, *o = w->row + k->E;
    *m = -INFINITY;
    for (int64_t j = base; j < hi; j++) {
        w->p[j - base] = j < lo ? 0 : scale * dot(q, key_row(k, j, w->row), k->E);
        if (j >= lo && w->p[j - base] > *m) *m = w->p[j - base];
    }
    float lane[16] = {0};
    memset(o, 0, (size_t)k->E * 4);
    for (int64_t j = lo; j < hi; j++) {
        float p = exp_f32(w->p[j - base] - *m);
        lane[j % 16] += p;
        const float *v = value_row(k, j, w->row);
        for (int64_t e = 0; e < k->E; e++) o[e] = fmaf(p, v[e], o[e]);
    }
    *l = lanes16_fold(lane);
}

static void attend(const Keys *k, const float *q, float *out, Scratch *w) {
    const Step *s = k->a->step;
    int64_t lo, hi;
    mask_range(k->a->params.attn.mask, s->index[k->t], s->reach[k->t], &lo, &hi);
    float M = -INFINITY, L = 0, *o = w->row + k->E;
    memset(out, 0, (size_t)k->E * 4);
    for (int64_t base = lo / ATTN_PARTITION * ATTN_PARTITION; base < hi; base += ATTN_PARTITION) {
        float m, l;
        attend_partition(k, q, base, MAX(lo, base), MIN(hi, base + ATTN_PARTITION), w, &m, &l);
        float n = m > M ? m : M, a = exp_f32(M - n), b = exp_f32(m - n);
        L = fmaf(L, a, l * b);
        for (int64_t e = 0; e < k->E; e++) out[e] = fmaf(out[e], a, o[e] * b);
        M = n;
    }
    for (int64_t e = 0; e < k->E; e++) out[e] /= L;
}

static int64_t attention_units(const OpArgs *a) { return a->out.ne[0] * a->out.ne[1]; }

/* Keys of token t for query head h, among the step's own rows. */
static Keys keys_in_rows(const OpArgs *a, int64_t t, int64_t kv_head) {
    int64_t first = a->step->first_row[t];
    return (Keys){a, t, kv_head, a->in[1].ne[1], a->in[1].ne[2], first - a->step->index[first], -1};
}

static void attention_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    int64_t H = a->out.ne[1], group = H / a->in[1].ne[1];
    for (int64_t u = u0; u < u1; u++) {
        Keys k = keys_in_rows(a, u / H, u % H / group);
        attend(&k, tensor_row(&a->in[0], u), tensor_row(&a->out, u), scratch);
    }
}

const char takes_attention[] = "fff>f";
const Kernel ref_attention = {"ref", attention_units, attention_run, attention_scratch};

static void attention_kv_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    const Step *s = a->step;
    int64_t H = a->out.ne[1], E = a->out.ne[2];
    int64_t K = s->kv_page_bytes / (2 * KV_PAGE * E * dtype_info[s->kv_dtype].block_bytes);
    for (int64_t u = u0; u < u1; u++) {
        Keys k = {a, u / H, u % H / (H / K), K, E, 0, a->params.attn.layer};
        attend(&k, tensor_row(&a->in[0], u), tensor_row(&a->out, u), scratch);
    }
}

const char takes_attention_kv[] = "fi>f";
const Kernel ref_attention_kv = {"ref", attention_units, attention_kv_run, attention_scratch};

/* ---- the cache ---- */

static int64_t kv_store_units(const OpArgs *a) { return a->in[0].ne[0]; }

static void kv_store_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const Step *s = a->step;
    int64_t K = a->in[0].ne[1], E = a->in[0].ne[2];
    const DtypeInfo *d = &dtype_info[s->kv_dtype];
    if (u0 == 0) *(int32_t *)a->out.data = 0;
    for (int64_t t = u0; t < u1; t++) {
        char *page = key_page(s, a->params.kv.layer, t, s->index[t]);
        int64_t slot = s->index[t] % KV_PAGE;
        for (int64_t h = 0; h < K; h++) {
            const float *k = tensor_row(&a->in[0], t * K + h), *v = tensor_row(&a->in[1], t * K + h);
            for (int64_t e = 0; e < E; e++) d->encode(&k[e], page + k_at(h, slot, e, E) * d->block_bytes, 1);
            d->encode(v, page + v_at(K, h, slot, E) * d->block_bytes, E);
        }
    }
}

const char takes_kv_store[] = "ff>i";
const Kernel ref_kv_store = {"ref", kv_store_units, kv_store_run, NULL};

/* ---- backward ---- */

/* A unit is a kv head with its query heads: dk and dv of a head sum over them. */
static int64_t dqkv_units(const OpArgs *a) { return a->in[2].ne[1]; }

/* Two rows of numbers by key: p and g of the query at hand. */
static size_t dqkv_scratch(const OpArgs *a) { return 2 * ((size_t)a->out.ne[0] + KV_LANES) * 4; }

/* The four operands of one query head h of token t, found by name. */
typedef struct DqkvRow {
    const float *dout, *q;
    float *dq;
    int64_t lo, hi, base; /* keys; base is lo rounded down to a lane group, so that p[j - base] is in lane j % 16 */
} DqkvRow;

/* p[j - base] = softmax, g[j - base] = its derivative's d_j. */
static void dqkv_scores(const Keys *k, const DqkvRow *r, float *p, float *g) {
    float scale = k->a->params.attn.scale, M = -INFINITY;
    int64_t n = r->hi - r->base;
    memset(p, 0, (size_t)n * 4);
    memset(g, 0, (size_t)n * 4);
    for (int64_t j = r->lo; j < r->hi; j++) {
        p[j - r->base] = scale * dot(r->q, key_row(k, j, NULL), k->E);
        if (p[j - r->base] > M) M = p[j - r->base];
        g[j - r->base] = dot(r->dout, value_row(k, j, NULL), k->E);
    }
    float lane[16] = {0};
    for (int64_t j = r->lo; j < r->hi; j++) lane[j % 16] += p[j - r->base] = exp_f32(p[j - r->base] - M);
    float L = lanes16_fold(lane);
    for (int64_t i = r->lo - r->base; i < n; i++) p[i] /= L;
    float D = lanes16_dot(p, g, n);
    for (int64_t i = r->lo - r->base; i < n; i++) g[i] = scale * (p[i] * (g[i] - D));
}

static void dqkv_head(const OpArgs *a, int64_t h, int64_t kv_head, float *p, float *g) {
    const Tensor *out = &a->out;
    int64_t T = out->ne[0], H = a->in[1].ne[1], K = a->in[2].ne[1];
    for (int64_t t = 0; t < T; t++) {
        /* in[2], in[3] hold k, v here; Keys reads in[1], in[2] */
        OpArgs forward = *a;
        forward.in[1] = a->in[2], forward.in[2] = a->in[3];
        Keys k = keys_in_rows(&forward, t, kv_head);
        DqkvRow r = {tensor_row(&a->in[0], t * H + h),
                     tensor_row(&a->in[1], t * H + h),
                     tensor_row(out, t * (H + 2 * K) + h),
                     0,
                     0,
                     0};
        mask_range(a->params.attn.mask, a->step->index[t], a->step->reach[t], &r.lo, &r.hi);
        r.base = r.lo / KV_LANES * KV_LANES;
        dqkv_scores(&k, &r, p, g);
        memset(r.dq, 0, (size_t)k.E * 4);
        for (int64_t j = r.lo; j < r.hi; j++) {
            const float *kj = key_row(&k, j, NULL);
            float *dk = tensor_row(out, (k.row0 + j) * (H + 2 * K) + H + kv_head);
            float *dv = tensor_row(out, (k.row0 + j) * (H + 2 * K) + H + K + kv_head);
            float pj = p[j - r.base], dj = g[j - r.base];
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
    float *p = scratch, *g = p + T + KV_LANES;
    for (int64_t u = u0; u < u1; u++) {
        for (int64_t t = 0; t < T; t++)
            for (int side = 0; side < 2; side++)
                memset(tensor_row(out, t * (H + 2 * K) + H + side * K + u), 0, (size_t)E * 4);
        for (int64_t h = u * group; h < (u + 1) * group; h++) dqkv_head(a, h, u, p, g);
    }
}

const char takes_attention_dqkv[] = "ffff>f";
const Kernel ref_attention_dqkv = {"ref", dqkv_units, dqkv_run, dqkv_scratch};
