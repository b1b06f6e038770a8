/* Formats whose blocks are 256 elements: scales of their parts are integers, of which one f16 scale is the unit. */
#include "core/quant.h"

enum { PARTS = 8, PART = 32 };

/* ---- q4_k, q5_k: a scale and a minimum of 6 bits for each 32 ---- */

/* What blocks of both begin with. */
typedef struct Head {
    uint16_t d, dmin;
    uint8_t scales[12];
} Head;

/* Parts 0..3: bytes i and i + 4. Parts 4..7: the halves of byte i + 4, and the upper bits of bytes i - 4 and i. */
static void scales_get(const uint8_t s[12], int64_t i, int *scale, int *min) {
    *scale = i < 4 ? s[i] & 63 : (s[i + 4] & 15) | (s[i - 4] >> 6) << 4;
    *min = i < 4 ? s[i + 4] & 63 : s[i + 4] >> 4 | (s[i] >> 6) << 4;
}

/* Parts 2i and 2i + 1 are the low and the high nibbles of 32 bytes. */
static void part_of(const void *block, const uint8_t *q, int64_t i, QuantPart *out) {
    int scale, min;
    Head h;
    memcpy(&h, block, sizeof h);
    scales_get(h.scales, i, &scale, &min);
    out->d[0] = out->d[1] = f16_to_f32(h.d) * (float)scale;
    out->m[0] = out->m[1] = -(f16_to_f32(h.dmin) * (float)min);
    out->has_min = true, out->halves = false;
    for (int j = 0; j < PART; j++) out->q[j] = (int8_t)(q[i / 2 * PART + j] >> i % 2 * 4 & 15);
}

void q4_k_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ4_K *b = (const BlockQ4_K *)row + i / PARTS;
    part_of(b, b->q, i % PARTS, out);
}
void q5_k_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ5_K *b = (const BlockQ5_K *)row + i / PARTS;
    part_of(b, b->q, i % PARTS, out);
    for (int j = 0; j < PART; j++) out->q[j] = (int8_t)(out->q[j] | (b->qh[j] >> i % PARTS & 1) << 4);
}

/* ---- q2_k, q3_k, q6_k: a scale for each 16 ---- */

/* Parts i, i + 1, i + 2, i + 3 are bits 0, 2, 4, 6 of 32 bytes. */
static void pairs_get(const uint8_t q[64], int64_t i, int8_t out[PART]) {
    for (int j = 0; j < PART; j++) out[j] = (int8_t)(q[i / 4 * PART + j] >> i % 4 * 2 & 3);
}

/* Low nibbles of the 16 bytes are scales, high ones minima. */
void q2_k_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ2_K *b = (const BlockQ2_K *)row + i / PARTS;
    pairs_get(b->q, i % PARTS, out->q);
    for (int j = 0; j < 2; j++) {
        uint8_t s = b->scales[i % PARTS * 2 + j];
        out->d[j] = f16_to_f32(b->d) * (float)(s & 15), out->m[j] = -(f16_to_f32(b->dmin) * (float)(s >> 4));
    }
    out->has_min = out->halves = true;
}

/* Scale k of 16: the low or (from 8 on) the high nibbles of bytes 0..7, and 2 bits of bytes 8..11. */
void q3_k_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ3_K *b = (const BlockQ3_K *)row + i / PARTS;
    pairs_get(b->q, i % PARTS, out->q);
    for (int j = 0; j < PART; j++) out->q[j] = (int8_t)((out->q[j] | (b->qh[j] >> i % PARTS & 1) << 2) - 4);
    for (int j = 0; j < 2; j++) {
        int k = (int)(i % PARTS) * 2 + j;
        int s = (b->scales[k % 8] >> k / 8 * 4 & 15) | (b->scales[8 + k % 4] >> k / 4 * 2 & 3) << 4;
        out->d[j] = f16_to_f32(b->d) * (float)(s - 32), out->m[j] = 0;
    }
    out->has_min = false, out->halves = true;
}

/* Of each 128 elements, 64 bytes hold the lower 4 bits (of parts 0, 1 in low, 2, 3 in high nibbles) and 32 bytes the
 * upper 2 (of part i at bit 2i). */
void q6_k_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ6_K *b = (const BlockQ6_K *)row + i / PARTS;
    int64_t half = i % PARTS / 4, k = i % 4;
    const uint8_t *low = b->ql + 64 * half + k % 2 * PART, *high = b->qh + 32 * half;
    for (int j = 0; j < PART; j++)
        out->q[j] = (int8_t)(((low[j] >> k / 2 * 4 & 15) | (high[j] >> 2 * k & 3) << 4) - 32);
    for (int j = 0; j < 2; j++) out->d[j] = f16_to_f32(b->d) * (float)b->scales[i % PARTS * 2 + j], out->m[j] = 0;
    out->has_min = false, out->halves = true;
}

/* ---- iq4_xs: a scale of 6 bits for each 32, values of iq4_nl ---- */

void iq4_xs_part(const void *row, int64_t i, QuantPart *out) {
    static const int8_t table[16] = {UNEVEN};
    const BlockIQ4_XS *b = (const BlockIQ4_XS *)row + i / PARTS;
    int64_t k = i % PARTS;
    int s = (b->scales_l[k / 2] >> k % 2 * 4 & 15) | (b->scales_h[k / 4] >> k % 4 * 2 & 3) << 4;
    for (int j = 0; j < 16; j++) {
        out->q[j] = table[b->q[16 * k + j] & 15], out->q[j + 16] = table[b->q[16 * k + j] >> 4];
    }
    out->d[0] = out->d[1] = f16_to_f32(b->d) * (float)(s - 32), out->m[0] = out->m[1] = 0;
    out->has_min = out->halves = false;
}

/* ---- packing: q are the integers as stored, 256 of them ---- */

static void scales_put(const QuantScales *s, uint8_t out[12]) {
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(s->scale[i] | s->scale[i + 4] >> 4 << 6);
        out[i + 4] = (uint8_t)(s->min[i] | s->min[i + 4] >> 4 << 6);
        out[i + 8] = (uint8_t)((s->scale[i + 4] & 15) | s->min[i + 4] << 4);
    }
}

static void nibbles_put(const uint8_t *q, uint8_t out[128]) {
    for (int i = 0; i < PARTS / 2; i++, q += 2 * PART)
        for (int j = 0; j < PART; j++) out[i * PART + j] = (uint8_t)((q[j] & 15) | q[j + PART] << 4);
}

void q4_k_pack(const QuantScales *s, const uint8_t *q, void *block) {
    BlockQ4_K *b = block;
    b->d = s->d, b->dmin = s->m;
    scales_put(s, b->scales);
    nibbles_put(q, b->q);
}

/* Bit `from` of each of 256 integers: of part i bit i of 32 bytes. */
static void bits_put(const uint8_t *q, int from, uint8_t out[PART]) {
    memset(out, 0, PART);
    for (int i = 0; i < PARTS; i++)
        for (int j = 0; j < PART; j++) out[j] = (uint8_t)(out[j] | (q[i * PART + j] >> from & 1) << i);
}

void q5_k_pack(const QuantScales *s, const uint8_t *q, void *block) {
    BlockQ5_K *b = block;
    b->d = s->d, b->dmin = s->m;
    scales_put(s, b->scales);
    nibbles_put(q, b->q);
    bits_put(q, 4, b->qh);
}

static void pairs_put(const uint8_t *q, int from, uint8_t out[64]) {
    for (int i = 0; i < 2; i++, q += 4 * PART)
        for (int j = 0; j < PART; j++) {
            const int a = q[j] >> from, b = q[j + PART] >> from, c = q[j + 2 * PART] >> from,
                      d = q[j + 3 * PART] >> from;
            out[i * PART + j] = (uint8_t)((a & 3) | (b & 3) << 2 | (c & 3) << 4 | (d & 3) << 6);
        }
}

void q2_k_pack(const QuantScales *s, const uint8_t *q, void *block) {
    BlockQ2_K *b = block;
    b->d = s->d, b->dmin = s->m;
    for (int k = 0; k < 16; k++) b->scales[k] = (uint8_t)(s->scale[k] | s->min[k] << 4);
    pairs_put(q, 0, b->q);
}

void q3_k_pack(const QuantScales *s, const uint8_t *q, void *block) {
    BlockQ3_K *b = block;
    b->d = s->d;
    memset(b->scales, 0, sizeof b->scales);
    for (int k = 0; k < 16; k++) {
        uint8_t *low = &b->scales[k % 8], *high = &b->scales[8 + k % 4];
        *low = (uint8_t)(*low | (s->scale[k] & 15) << k / 8 * 4);
        *high = (uint8_t)(*high | s->scale[k] >> 4 << k / 4 * 2);
    }
    pairs_put(q, 0, b->q);
    bits_put(q, 2, b->qh);
}

void q6_k_pack(const QuantScales *s, const uint8_t *q, void *block) {
    BlockQ6_K *b = block;
    b->d = s->d;
    memcpy(b->scales, s->scale, sizeof b->scales);
    pairs_put(q, 4, b->qh);
    for (int i = 0; i < 2; i++, q += 4 * PART)
        for (int j = 0; j < 2 * PART; j++) b->ql[i * 2 * PART + j] = (uint8_t)((q[j] & 15) | q[j + 2 * PART] << 4);
}

void iq4_xs_pack(const QuantScales *s, const uint8_t *q, void *block) {
    BlockIQ4_XS *b = block;
    b->d = s->d;
    memset(b->scales_h, 0, sizeof b->scales_h), memset(b->scales_l, 0, sizeof b->scales_l);
    for (int k = 0; k < PARTS; k++, q += PART) {
        b->scales_l[k / 2] = (uint8_t)(b->scales_l[k / 2] | (s->scale[k] & 15) << k % 2 * 4);
        b->scales_h[k / 4] = (uint8_t)(b->scales_h[k / 4] | s->scale[k] >> 4 << k % 4 * 2);
        for (int j = 0; j < 16; j++) b->q[16 * k + j] = (uint8_t)((q[j] & 15) | q[j + 16] << 4);
    }
}
