/* Where attention finds keys and values: rows of the step, or pages of the cache. */
#ifndef CPU_REF_KEYS_H
#define CPU_REF_KEYS_H

#include "backends/cpu/ref.h"

/* Keys of the sequence of token t, kv head `head`: rows of k, v from row0 (key j in row row0 + j), or pages. */
typedef struct Keys {
    const OpArgs *a;
    int64_t t, head, n_heads, E;
    const Tensor *k, *v; /* NULL: pages, of layer a->params.attn.layer */
    int64_t row0;
} Keys;

/* Keys of token t for a kv head, among the step's own rows. */
static inline Keys keys_in_rows(const OpArgs *a, const Tensor *k, const Tensor *v, int64_t t, int64_t kv_head) {
    return (Keys){a, t, kv_head, k->ne[1], k->ne[2], k, v, step_row0(a->step, t)};
}

/* Keys of E values of token t for query head h of H, in the cache. */
static inline Keys keys_in_cache(const OpArgs *a, int64_t t, int64_t h, int64_t H, int64_t E) {
    const Step *s = a->step;
    const int64_t K = s->kv_page_bytes / (2 * KV_PAGE * kv_row_bytes(s->kv_dtype, E));
    return (Keys){a, t, h / (H / K), K, E, NULL, NULL, 0};
}

static inline void keys_range(const Keys *k, int64_t *lo, int64_t *hi) {
    step_keys(k->a->step, k->t, k->a->params.attn.mask, lo, hi);
}

static inline bool keys_are_q8_0(const Keys *k) { return !k->k && k->a->step->kv_dtype == DT_q8_0; }

/* K (or V) of the head in the page of key j. Layout: core/op.h. */
static inline const char *key_head(const Keys *k, int64_t j, bool value) {
    const Step *s = k->a->step;
    const char *page = s->kv[k->a->params.attn.layer] + s->pages[k->t][j / KV_PAGE] * s->kv_page_bytes;
    return page + (value * k->n_heads + k->head) * KV_PAGE * kv_row_bytes(s->kv_dtype, k->E);
}

/* Inside of K or V of a head: where element e of slot j is. Of q8_0 its integer, and the scale of block b. */
static inline int64_t k_at(int64_t j, int64_t e, int64_t E) { return (j / KV_LANES * E + e) * KV_LANES + j % KV_LANES; }
static inline int64_t k8_at(int64_t j, int64_t e, int64_t P) {
    return (j / KV_LANES * P / 4 + e / 4) * KV_LANES * 4 + j % KV_LANES * 4 + e % 4;
}
static inline int64_t k8_scale_at(int64_t j, int64_t b, int64_t P) {
    return KV_PAGE * P + ((j / KV_LANES * P / 32 + b) * KV_LANES + j % KV_LANES) * 2;
}
static inline int64_t v8_at(int64_t j, int64_t e, int64_t P) { return (j / 4 * P + e) * 4 + j % 4; }
static inline int64_t v8_scale_at(int64_t j, int64_t b, int64_t P) { return KV_PAGE * P + (b * KV_PAGE + j) * 2; }

/* A row of q8_0 as f32. */
static inline const float *key_row_q8_0(const Keys *k, int64_t j, bool value, float *buf) {
    const char *at = key_head(k, j, value);
    const int64_t P = kv_row_len(DT_q8_0, k->E), slot = j % KV_PAGE;
    for (int64_t e = 0; e < k->E; e++) {
        uint16_t d;
        memcpy(&d, at + (value ? v8_scale_at(slot, e / 32, P) : k8_scale_at(slot, e / 32, P)), 2);
        buf[e] = f16_to_f32(d) * (float)(int8_t)at[value ? v8_at(slot, e, P) : k8_at(slot, e, P)];
    }
    return buf;
}

/* Key j as f32: where it stands, or decoded into buf [E]. */
static inline const float *key_row(const Keys *k, int64_t j, float *buf) {
    if (k->k) return tensor_row(k->k, (k->row0 + j) * k->n_heads + k->head);
    if (keys_are_q8_0(k)) return key_row_q8_0(k, j, false, buf);
    const char *at = key_head(k, j, false);
    const DtypeInfo *d = &dtype_info[k->a->step->kv_dtype];
    for (int64_t e = 0; e < k->E; e++) d->decode(at + k_at(j % KV_PAGE, e, k->E) * d->block_bytes, &buf[e], 1);
    return buf;
}

static inline const float *value_row(const Keys *k, int64_t j, float *buf) {
    if (k->v) return tensor_row(k->v, (k->row0 + j) * k->n_heads + k->head);
    if (keys_are_q8_0(k)) return key_row_q8_0(k, j, true, buf);
    const DtypeInfo *d = &dtype_info[k->a->step->kv_dtype];
    d->decode(key_head(k, j, true) + j % KV_PAGE * k->E * d->block_bytes, buf, k->E);
    return buf;
}

static inline float key_dot(const float *a, const float *b, int64_t n) {
    float y = 0;
    for (int64_t i = 0; i < n; i++) y = fmaf(a[i], b[i], y);
    return y;
}

#endif
