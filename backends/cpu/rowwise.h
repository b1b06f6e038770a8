/* Ops that go row by row: casts, embeddings, rotary positions, the cache. Body of rowwise_<isa>.c. */
#ifndef CPU_ROWWISE_H
#define CPU_ROWWISE_H

#include "backends/cpu/put.h"
#include "core/quant.h"

/* ---- cast ---- */

INLINE V16 plain_values(const void *row, int64_t i, int64_t n) { return values_at(row, i, n); }

static void cast_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t r = u0, n = inner(a); r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r);
        if (a->out.dtype == DT_a8)
            put_a8(x, tensor_row(&a->out, r), n);
        else
            put_row(a->out.dtype, tensor_row(&a->out, r), n, x, plain_values);
    }
}

/* ---- embed: D a multiple of 16 ---- */

INLINE void embed_rows(Dtype t, const OpArgs *a, int64_t u0, int64_t u1) {
    const int32_t *ids = a->in[1].data;
    for (int64_t u = u0, n = inner(a); u < u1; u++) {
        const char *row = tensor_row(&a->in[0], ids[u]);
        float *y = tensor_row(&a->out, u);
        for (int64_t i = 0; i < n; i += LANES) v_store(y + i, decode16(t, row, i));
    }
}

static void embed_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    switch (a->in[0].dtype) {
#define REAL(t)                                                                                                        \
    case DT_##t:                                                                                                       \
        embed_rows(DT_##t, a, u0, u1);                                                                                 \
        break;
#include "core/dtypes_real.def"
    default: BUG("embed of %s", dtype_info[a->in[0].dtype].name);
    }
}

/* ---- experts_sum: D a multiple of 16 ---- */

static void experts_sum_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t t = u0, k = a->in[2].ne[1], n = inner(a); t < u1; t++) {
        const float *w = tensor_row(&a->in[1], t);
        const char *y = (const char *)a->in[0].data + t * a->in[0].stride[0];
        const int32_t *ids = tensor_row(&a->in[2], t);
        float *z = tensor_row(&a->out, t);
        for (int64_t i = 0; i < n; i += LANES) {
            V16 sum = v_zero();
            for (int64_t s = 0; s < k; s++)
                sum = v_fma(v_set1(w[ids[s]]), v_load((const float *)(const void *)(y + s * a->in[0].stride[1]) + i),
                            sum);
            v_store(z + i, sum);
        }
    }
}

/* ---- rope: 32 turned dims at a time ---- */

/* cs: cos and sin of 16 pairs, alternating. */
INLINE void rope16_halves(const float *x, float *y, const float *cs, int64_t half, V16 sign) {
    V16 c, s, a = v_load(x), b = v_load(x + half);
    v_split(v_load(cs), v_load(cs + LANES), &c, &s);
    s = v_xor(s, sign);
    v_store(y, v_fma(a, c, v_neg(v_mul(b, s))));
    v_store(y + half, v_fma(b, c, v_mul(a, s)));
}

/* 8 pairs, alternating as cs are. */
INLINE void rope8_pairs(const float *x, float *y, const float *cs, V16 sign) {
    V16 v = v_load(x), t = v_load(cs);
    v_store(y, v_fma_sub_add(v, v_evens(t), v_mul(v_swap(v), v_xor(v_odds(t), sign))));
}

static void rope_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const Tensor *table = &a->in[1];
    const int64_t half = table->ne[1], E = inner(a);
    const V16 sign = v_set1(a->params.rope.inverse ? -0.0f : 0.0f);
    for (int64_t r = u0; r < u1; r++) {
        const float *x = tensor_row(&a->in[0], r), *cs = tensor_row(table, r / a->out.ne[1] * half);
        float *y = tensor_row(&a->out, r);
        if (a->params.rope.interleaved)
            for (int64_t i = 0; i < 2 * half; i += LANES) rope8_pairs(x + i, y + i, cs + i, sign);
        else
            for (int64_t i = 0; i < half; i += LANES) rope16_halves(x + i, y + i, cs + 2 * i, half, sign);
        for (int64_t i = 2 * half; i < E; i++) y[i] = x[i];
    }
}

/* ---- kv_store: E a multiple of 16; the bits of dtype_info[].encode, in the places that core/op.h says ---- */

static int64_t kv_store_units(const OpArgs *a) { return a->in[0].ne[0] * 2 * a->in[0].ne[1]; }

INLINE void encode16(Dtype t, V16 x, void *out) {
    if (t == DT_f32)
        v_store(out, x);
    else
        h_store(out, t == DT_f16 ? v_to_f16(x) : encode_bf16(x));
}

/* A row into slot of K, or of V, of its head. t, value constants. */
INLINE void store_floats(Dtype t, bool value, const float *x, char *head, int64_t slot, int64_t E) {
    const int64_t bytes = t == DT_f32 ? 4 : 2;
    for (int64_t e = 0; e < E; e += LANES) {
        char key[LANES * 4], *at = head + ((slot / KV_LANES * E + e) * KV_LANES + slot % KV_LANES) * bytes;
        encode16(t, v_load(x + e), value ? head + (slot * E + e) * bytes : key);
        for (int64_t i = 0; i < LANES && !value; i++) memcpy(at + i * KV_LANES * bytes, key + i * bytes, (size_t)bytes);
    }
}

/* To nearest, ties away from 0, |x| < 2^22: half less the least step makes the sum round so. */
INLINE I16 round_away(V16 x) {
    I16 sign = i_and(i_bits(x), i_set1(INT32_MIN));
    return i_trunc(v_add(x, v_bits(i_or(sign, i_bits(v_set1(0x1.fffffep-2f))))));
}

INLINE void encode_q8_0(V16 lo, V16 hi, BlockQ8_0 *b) {
    float d = v_hmax(v_max(v_magnitude(lo), v_magnitude(hi))) / 127, inv = quant_inverse(d);
    b->d = f32_to_f16(d);
    memset(b->q, 0, sizeof b->q);
    if (!(inv > 0)) return;
    b_store(b->q, i_to_i8(round_away(v_mul(lo, v_set1(inv)))));
    b_store(b->q + LANES, i_to_i8(round_away(v_mul(hi, v_set1(inv)))));
}

INLINE void store_q8_0(bool value, const float *x, char *head, int64_t slot, int64_t E) {
    const int64_t P = kv_row_len(DT_q8_0, E), blocks = P / 32, group = slot / KV_LANES, lane = slot % KV_LANES;
    uint16_t *scales = (uint16_t *)(void *)(head + KV_PAGE * P);
    for (int64_t i = 0; i < blocks; i++) {
        BlockQ8_0 b;
        encode_q8_0(v_load(x + 32 * i), 32 * i + LANES < E ? v_load(x + 32 * i + LANES) : v_zero(), &b);
        scales[value ? i * KV_PAGE + slot : (group * blocks + i) * KV_LANES + lane] = b.d;
        char *v = head + (slot / 4 * P + 32 * i) * 4 + slot % 4;
        char *k = head + ((group * P / 4 + 8 * i) * KV_LANES + lane) * 4;
        for (int64_t e = 0; e < 32 && value; e++) v[4 * e] = (char)b.q[e];
        for (int64_t e = 0; e < 32 && !value; e += 4) memcpy(k + e * KV_LANES, b.q + e, 4);
    }
}

INLINE void store_any(Dtype t, bool value, const float *x, char *head, int64_t slot, int64_t E) {
    switch (t) {
    case DT_f32: store_floats(DT_f32, value, x, head, slot, E); break;
    case DT_f16: store_floats(DT_f16, value, x, head, slot, E); break;
    case DT_bf16: store_floats(DT_bf16, value, x, head, slot, E); break;
    default: store_q8_0(value, x, head, slot, E); break;
    }
}

/* A unit is the keys or the values of one kv head of one token. */
static void kv_store_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const Step *s = a->step;
    const int64_t K = a->in[0].ne[1], E = a->in[0].ne[2], head_bytes = KV_PAGE * kv_row_bytes(s->kv_dtype, E);
    if (u0 == 0) *(int32_t *)a->out.data = 0;
    for (int64_t u = u0; u < u1; u++) {
        const int64_t t = u / (2 * K), place = u % (2 * K), j = s->index[t];
        char *page = s->kv[a->params.kv.layer] + s->pages[t][j / KV_PAGE] * s->kv_page_bytes;
        const float *x = tensor_row(&a->in[place >= K], t * K + place % K);
        if (place < K)
            store_any(s->kv_dtype, false, x, page + place * head_bytes, j % KV_PAGE, E);
        else
            store_any(s->kv_dtype, true, x, page + place * head_bytes, j % KV_PAGE, E);
    }
}

#endif
