#include "tests/ops/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 4096, FRONT = 256, GAP = 3 };

/* ---- random numbers ---- */

uint64_t rng_next(Rng *r) { /* splitmix64 */
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int64_t rng_below(Rng *r, int64_t n) { return (int64_t)(rng_next(r) % (uint64_t)n); }

float rng_normal(Rng *r) {
    float sum = 0;
    for (int i = 0; i < 4; i++) sum += (float)(rng_next(r) >> 40) * 0x1p-24f - 0.5f;
    return sum * 1.7320508f;
}

static float edge_f32(Rng *r) {
    static const float values[] = {0,     -0.0f,  1,     -1,    1e-40f, -3e-42f, 1.2e-38f,
                                   1e30f, -1e30f, 65504, 65520, 3e-8f,  1e4f};
    return rng_below(r, 3) ? rng_normal(r) : values[rng_below(r, (int64_t)COUNT_OF(values))];
}

static uint16_t edge_f16(Rng *r) {
    static const uint16_t values[] = {0, 0x8000, 0x0001, 0x83ff, 0x0400, 0x7bff, 0xfbff, 0x3c00};
    return values[rng_below(r, (int64_t)COUNT_OF(values))];
}

/* ---- regions ---- */

static void region_make(Region *g, size_t bytes) {
    *g = (Region){.bytes = bytes};
    g->map_bytes = align_up(bytes + FRONT, PAGE);
    g->map = mmap(NULL, g->map_bytes + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->map == MAP_FAILED || mprotect(g->map + g->map_bytes, PAGE, PROT_NONE) != 0) abort();
    memset(g->map, 0xff, g->map_bytes);
    g->data = g->map + g->map_bytes - bytes;
}

static void region_keep(Region *g) {
    g->before = mem_alloc(g->map_bytes, 1);
    memcpy(g->before, g->map, g->map_bytes);
}

static void region_release(Region *g) {
    if (g->map) munmap(g->map, g->map_bytes + PAGE);
    free(g->before);
}

/* ---- filling ---- */

/* Where the f16 scales of a block stand, -1 for none. Any byte is a scale of mxfp4. */
static const struct {
    int d, m;
} scale_at[DT_COUNT] = {
    [DT_q8_0] = {0, -1},   [DT_q4_0] = {0, -1},   [DT_q4_1] = {0, 2},    [DT_q5_0] = {0, -1},   [DT_q5_1] = {0, 2},
    [DT_q4_k] = {0, 2},    [DT_q5_k] = {0, 2},    [DT_q6_k] = {208, -1}, [DT_iq4_nl] = {0, -1}, [DT_q2_k] = {80, 82},
    [DT_q3_k] = {108, -1}, [DT_iq4_xs] = {0, -1}, [DT_mxfp4] = {-1, -1},
};

static void fill_block_row(Dtype t, void *row, int64_t n, Rng *r) { /* any bits, edge scales */
    for (int64_t b = 0; b < n / dtype_info[t].block; b++) {
        uint8_t *block = (uint8_t *)row + b * dtype_info[t].block_bytes;
        for (int i = 0; i < dtype_info[t].block_bytes; i++) block[i] = (uint8_t)rng_next(r);
        uint16_t d = edge_f16(r), m = edge_f16(r);
        if (scale_at[t].d >= 0) memcpy(block + scale_at[t].d, &d, 2);
        if (scale_at[t].m >= 0) memcpy(block + scale_at[t].m, &m, 2);
        if (t == DT_q8_0) block[2 + rng_below(r, 32)] = 0x80; /* -128 */
    }
}

static float fill_one(Fill fill, int64_t i, Rng *r) {
    switch (fill) {
    case FILL_edge: return edge_f32(r);
    case FILL_big: return 40 * rng_normal(r);
    case FILL_tiny: return 1e-39f * rng_normal(r);
    case FILL_odd: return rng_next(r) % 40 ? rng_normal(r) : rng_next(r) % 3 ? NAN : -INFINITY;
    case FILL_sweep: return ((float)(rng_next(r) >> 40) * 0x1p-24f - 0.5f) * 220;
    case FILL_square: return fabsf(rng_normal(r));
    case FILL_angle: return i % 2 ? 0.6f : 0.8f;
    default: return rng_normal(r);
    }
}

static void fill_row(const Shape *s, void *row, int64_t n, Rng *r) {
    static const float hyper[8] = {1e-3f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.271f, 0.002997f, 0.95f};
    if (s->fill == FILL_slots) {
        int64_t left = n;
        for (int64_t i = 0; i < s->limit; i++) /* each with the chance that n of limit stay */
            if (rng_below(r, s->limit - i) < left) ((int32_t *)row)[n - left--] = (int32_t)i;
    } else if (s->dtype == DT_i32) {
        for (int64_t i = 0; i < n; i++) {
            bool none = s->fill == FILL_none || (s->fill == FILL_label && i && rng_below(r, 3) == 0);
            ((int32_t *)row)[i] = none ? -100 : (int32_t)rng_below(r, s->limit);
        }
    } else if (s->fill == FILL_hyper) {
        memcpy(row, hyper, sizeof hyper);
    } else if (s->fill == FILL_edge && dtype_info[s->dtype].class == DTC_QUANT) {
        fill_block_row(s->dtype, row, n, r);
    } else if (s->fill == FILL_edge && s->dtype == DT_f16) {
        for (int64_t i = 0; i < n; i++) ((uint16_t *)row)[i] = edge_f16(r);
    } else {
        float *x = mem_alloc((size_t)n, sizeof *x), turn = rng_normal(r);
        for (int64_t i = 0; i < n; i++) x[i] = fill_one(s->fill, i, r);
        if (s->fill == FILL_angle) x[0] = cosf(turn), x[1] = sinf(turn);
        dtype_info[s->dtype].encode(x, row, n);
        free(x);
    }
}

/* Dense, or with a gap of GAP places of dim 1 behind each place of dim 0. */
static Tensor shape_tensor(const Shape *s, size_t *bytes) {
    Tensor t = tensor_dense(s->dtype, shape_ndim(s), s->ne, NULL);
    if (s->strided) t.stride[0] += GAP * t.stride[1];
    *bytes = (size_t)dtype_row_bytes(s->dtype, t.ne[t.ndim - 1]);
    for (int d = 0; d + 1 < t.ndim; d++) *bytes += (size_t)((t.ne[d] - 1) * t.stride[d]);
    return t;
}

static void operand_make(Tensor *t, Region *g, const Shape *s, Rng *r) {
    size_t bytes;
    *t = shape_tensor(s, &bytes);
    region_make(g, bytes);
    t->data = g->data;
    const int64_t n = t->ne[t->ndim - 1], row_bytes = dtype_row_bytes(s->dtype, n);
    const bool slow = dtype_info[s->dtype].class == DTC_QUANT; /* to encode: later rows are earlier ones, shuffled */
    for (int64_t i = 0; r && i < tensor_rows(t); i++)
        if (slow && i >= 19)
            memcpy(tensor_row(t, i), tensor_row(t, (int64_t)rng_below(r, 19)), (size_t)row_bytes);
        else
            fill_row(s, tensor_row(t, i), n, r);
}

/* ---- the step ---- */

static int64_t fill_sequences(Instance *x, int64_t T, int32_t *index, int32_t *reach, int32_t *first) {
    SeqSpec one = {0, T, 0, 0};
    const SeqSpec *seqs = x->c->seqs[0].len ? x->c->seqs : &one;
    int64_t t = 0, most = 0;
    for (int q = 0; q < (seqs == &one ? 1 : CASE_SEQS); q++) {
        int64_t begin = t;
        for (int64_t i = seqs[q].start; i < seqs[q].start + seqs[q].len; i++, t++) {
            index[t] = (int32_t)i;
            reach[t] = i >= seqs[q].span && i < seqs[q].span_end ? (int32_t)seqs[q].span_end : 0;
            first[t] = (int32_t)begin;
        }
        most = MAX(most, MAX(seqs[q].start + seqs[q].len, seqs[q].span_end));
    }
    if (t != T) abort();
    return most;
}

/* One key and value of one kv head; layout: core/op.h. */
static void put_key(const Step *s, char *page, int64_t K, int64_t E, int64_t slot, Rng *r) {
    const DtypeInfo *d = &dtype_info[s->kv_dtype];
    for (int64_t h = 0; h < K; h++)
        for (int64_t e = 0; e < E; e++) {
            float k = rng_normal(r), v = rng_normal(r);
            d->encode(&k, page + (((h * 4 + slot / 16) * E + e) * 16 + slot % 16) * d->block_bytes, 1);
            d->encode(&v, page + ((K * 64 + h * 64 + slot) * E + e) * d->block_bytes, 1);
        }
}

static void put_key_q8_0(char *page, int64_t K, int64_t E, int64_t slot, Rng *r) {
    int64_t blocks = div_up(E, 32), row = blocks * 34;
    for (int64_t h = 0; h < 2 * K; h++) /* keys, then values */
        for (int64_t b = 0; b < blocks; b++) {
            char *q = page + h * 64 * row, *d = q + 64 * 32 * blocks;
            float x[32] = {0};
            BlockQ8_0 block;
            for (int64_t e = 0; e < MIN(32, E - 32 * b); e++) x[e] = rng_normal(r);
            dtype_info[DT_q8_0].encode(x, &block, 32);
            memcpy(d + 2 * (h < K ? (slot / 16 * blocks + b) * 16 + slot % 16 : b * 64 + slot), &block.d, 2);
            for (int64_t i = 0, e = 32 * b; i < 32; i++, e++)
                q[h < K ? ((slot / 16 * blocks * 8 + e / 4) * 16 + slot % 16) * 4 + e % 4
                        : (slot / 4 * blocks * 32 + e) * 4 + slot % 4] = (char)block.q[i];
        }
}

/* Pages in shuffled order. Keys that no token of the step may see stay NaN. */
static void make_cache(Instance *x, int64_t most, Rng *r) {
    Step *s = &x->step;
    int64_t T = s->n, E = x->c->op == OP_attn_mix_kv ? x->a.out.ne[2] : x->a.in[0].ne[2], K = x->c->kv_heads,
            per_seq = div_up(most, KV_PAGE);
    int32_t n_pages = (int32_t)(per_seq * CASE_SEQS + 2), *ids = ARENA_NEW(&x->arena, int32_t, n_pages);
    const int32_t **pages = ARENA_NEW(&x->arena, const int32_t *, T);
    for (int32_t i = 0; i < n_pages; i++) {
        int64_t j = rng_below(r, i + 1);
        ids[i] = ids[j], ids[j] = i;
    }
    s->kv_dtype = x->c->kv_dtype;
    s->kv_page_bytes = 2 * KV_PAGE * K * kv_row_bytes(s->kv_dtype, E);
    for (int l = 0; l < CASE_LAYERS; l++) {
        region_make(&x->kv[l], (size_t)(n_pages * s->kv_page_bytes));
        x->kv_base[l] = x->kv[l].data;
    }
    s->kv = x->kv_base;
    int64_t seq = -1, lo, hi, filled = 0;
    for (int64_t t = 0; t < T; t++) {
        bool first = s->first_row[t] == t;
        seq += first;
        pages[t] = ids + seq * per_seq;
        if (x->c->op == OP_kv_store) continue;
        mask_range(x->c->params.attn.mask, s->index[t], s->reach[t], &lo, &hi);
        for (filled = first ? lo : MAX(filled, lo); filled < hi; filled++) {
            char *page = x->kv[1].data + pages[t][filled / KV_PAGE] * s->kv_page_bytes;
            if (s->kv_dtype == DT_q8_0)
                put_key_q8_0(page, K, E, filled % KV_PAGE, r);
            else
                put_key(s, page, K, E, filled % KV_PAGE, r);
        }
    }
    s->pages = pages;
}

static void make_step(Instance *x, Rng *r) {
    bool of_in = x->c->op == OP_kv_store || x->c->op == OP_attention_strands; /* that have no row per token */
    int64_t T = of_in ? x->a.in[0].ne[0] : x->a.out.ne[0];
    int32_t *index = ARENA_NEW(&x->arena, int32_t, T), *reach = ARENA_NEW(&x->arena, int32_t, T),
            *first = ARENA_NEW(&x->arena, int32_t, T);
    int64_t most = fill_sequences(x, T, index, reach, first);
    x->step = (Step){.n = T, .index = index, .reach = reach, .first_row = first};
    if (x->c->kv_heads) make_cache(x, most, r);
    x->a.step = &x->step;
}

/* Operands as they are filled: the same ones serve every kernel of a case. */
typedef struct Filled {
    Case c;
    uint64_t seed, after; /* state of the random numbers behind them */
    char *bytes[MAX_IN];
} Filled;

static const Filled *filled(const Case *c, uint64_t seed) {
    enum { KEPT = 4 };
    static Filled kept[KEPT];
    static int next;
    for (int i = 0; i < KEPT; i++)
        if (kept[i].seed == seed && memcmp(&kept[i].c, c, sizeof *c) == 0) return &kept[i];
    Filled *f = &kept[next++ % KEPT];
    for (int i = 0; i < MAX_IN; i++) free(f->bytes[i]);
    *f = (Filled){.seed = seed};
    memcpy(&f->c, c, sizeof *c);
    Rng r = {seed};
    for (int i = 0; i < case_n_in(c); i++) {
        Tensor t;
        Region g;
        operand_make(&t, &g, &c->in[i], &r);
        f->bytes[i] = mem_alloc(g.bytes, 1);
        memcpy(f->bytes[i], g.data, g.bytes);
        region_release(&g);
    }
    f->after = r.state;
    return f;
}

void instance_make(Instance *x, const Case *c, uint64_t seed, bool in_place) {
    *x = (Instance){.c = c, .in_place = in_place};
    const Filled *f = filled(c, seed);
    Rng r = {f->after};
    x->a = (OpArgs){.params = c->params, .n_in = case_n_in(c)};
    for (int i = 0; i < x->a.n_in; i++) {
        operand_make(&x->a.in[i], &x->in[i], &c->in[i], NULL);
        memcpy(x->in[i].data, f->bytes[i], x->in[i].bytes);
    }
    operand_make(&x->a.out, &x->out, &c->out, NULL);
    if (in_place) x->a.out = x->a.in[case_in_place(c)];
    make_step(x, &r);
    for (int i = 0; i < x->a.n_in; i++) region_keep(&x->in[i]);
    region_keep(&x->out);
    for (int l = 0; l < CASE_LAYERS; l++)
        if (x->kv[l].map) region_keep(&x->kv[l]);
}

void instance_release(Instance *x) {
    for (int i = 0; i < MAX_IN; i++) region_release(&x->in[i]);
    region_release(&x->out);
    for (int l = 0; l < CASE_LAYERS; l++) region_release(&x->kv[l]);
    arena_release(&x->arena);
}

/* ---- running ---- */

void args_run(const OpArgs *a, const Kernel *k, uint64_t seed) {
    OpArgs at_plan_time = *a;
    at_plan_time.step = NULL;
    Region scratch;
    region_make(&scratch, align_up(k->scratch ? k->scratch(&at_plan_time) : 0, 64));
    int64_t n = k->units(a);
    if (!seed) {
        if (n) k->run(a, 0, n, scratch.data);
    } else {
        Rng r = {seed};
        int64_t *cut = mem_alloc((size_t)n + 1, sizeof *cut), pieces = 0;
        for (int64_t u = 0; u < n; u++)
            if (u == 0 || rng_below(&r, 3) == 0) cut[pieces++] = u;
        cut[pieces] = n;
        for (int64_t left = pieces; left; left--) { /* a stride that is prime to the number visits each piece once */
            int64_t i = (left * 7919) % pieces;
            memset(scratch.map, 0xff, scratch.map_bytes);
            k->run(a, cut[i], cut[i + 1], scratch.data);
        }
        free(cut);
    }
    for (char *p = scratch.map; p < scratch.data; p++)
        if (*p != (char)0xff) abort(); /* wrote in front of its scratch */
    region_release(&scratch);
}

void instance_run(Instance *x, const Kernel *k, uint64_t seed) { args_run(&x->a, k, seed); }

static void narrow(Tensor *t, int64_t t0, int64_t t1) {
    t->data = (char *)t->data + t0 * t->stride[0];
    t->ne[0] = t1 - t0;
}

void part_make(Part *p, const Instance *x, unsigned in_mask, int64_t t0, int64_t t1) {
    *p = (Part){.a = x->a, .step = x->step};
    for (int i = 0; i < x->a.n_in; i++)
        if (in_mask >> i & 1) narrow(&p->a.in[i], t0, t1);
    narrow(&p->a.out, t0, t1);
    p->first_row = mem_alloc((size_t)(t1 - t0), sizeof *p->first_row);
    for (int64_t t = t0; t < t1; t++) p->first_row[t - t0] = MAX(x->step.first_row[t] - (int32_t)t0, 0);
    p->step.n = t1 - t0;
    p->step.index += t0, p->step.reach += t0;
    p->step.first_row = p->first_row;
    if (p->step.pages) p->step.pages += t0;
    p->a.step = &p->step;
}

void part_release(Part *p) { free(p->first_row); }

/* ---- comparing ---- */

float tensor_at(const Tensor *t, int64_t row, int64_t col) {
    const DtypeInfo *d = &dtype_info[t->dtype];
    float v[256];
    d->decode((const char *)tensor_row(t, row) + col / d->block * d->block_bytes, v, d->block);
    return v[col % d->block];
}

static bool same_f32(float a, float b) { return memcmp(&a, &b, 4) == 0 || (a != a && b != b); }

static bool rows_same(const Instance *x, const Tensor *a, const Tensor *b, Bound *bound, char *why) {
    int64_t n = a->ne[a->ndim - 1];
    for (int64_t r = 0; r < tensor_rows(a); r++) {
        const float *p = tensor_row(a, r), *q = tensor_row(b, r);
        if (memcmp(p, q, (size_t)dtype_row_bytes(a->dtype, n)) == 0) continue;
        if (a->dtype != DT_f32) return snprintf(why, 160, "row %lld differs", (long long)r), false;
        for (int64_t i = 0; i < n; i++) {
            if (same_f32(p[i], q[i])) continue;
            if (bound && fabs((double)p[i] - (double)q[i]) <= bound(x, r, i)) continue;
            snprintf(why, 160, "[%lld][%lld] is %.9g (%a), expected %.9g (%a)", (long long)r, (long long)i,
                     (double)q[i], (double)q[i], (double)p[i], (double)p[i]);
            return false;
        }
    }
    return true;
}

bool instance_same(const Instance *want, const Instance *got, Bound *bound, char *why) {
    if (!rows_same(want, &want->a.out, &got->a.out, bound, why)) return false;
    for (int i = 0; i < want->a.n_in; i++)
        if (case_is_state(want->c, i) && !rows_same(want, &want->a.in[i], &got->a.in[i], NULL, why)) return false;
    for (int l = 0; l < CASE_LAYERS; l++)
        if (want->kv[l].map && memcmp(want->kv[l].data, got->kv[l].data, want->kv[l].bytes) != 0)
            return snprintf(why, 160, "the cache of layer %d differs", l), false;
    return true;
}

/* The region as it was, but for the rows of t when it is not NULL. */
static bool region_intact(const Region *g, const Tensor *t, const char *what, char *why) {
    if (!g->map) return true;
    char *now = mem_alloc(g->map_bytes, 1);
    memcpy(now, g->map, g->map_bytes);
    for (int64_t r = 0; t && r < tensor_rows(t); r++) {
        size_t at = (size_t)((char *)tensor_row(t, r) - g->map);
        memcpy(now + at, g->before + at, (size_t)dtype_row_bytes(t->dtype, t->ne[t->ndim - 1]));
    }
    size_t i = 0;
    while (i < g->map_bytes && now[i] == g->before[i]) i++;
    free(now);
    if (i == g->map_bytes) return true;
    snprintf(why, 160, "%s: a byte was written %lld from its start", what, (long long)i - (g->data - g->map));
    return false;
}

bool instance_intact(const Instance *x, char *why) {
    for (int i = 0; i < x->a.n_in; i++) {
        bool written = (x->in_place && i == case_in_place(x->c)) || case_is_state(x->c, i);
        char what[32];
        snprintf(what, sizeof what, "input %d", i);
        if (!region_intact(&x->in[i], written ? &x->a.in[i] : NULL, what, why)) return false;
    }
    if (!region_intact(&x->out, x->in_place ? NULL : &x->a.out, "output", why)) return false;
    for (int l = 0; l < CASE_LAYERS; l++) {
        bool stored = x->c->op == OP_kv_store && l == x->c->params.kv.layer;
        if (!stored && !region_intact(&x->kv[l], NULL, "cache", why)) return false;
    }
    return true;
}
