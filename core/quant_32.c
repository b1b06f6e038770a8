/* Formats whose blocks are 32 elements with one scale. */
#include "core/quant.h"

/* Element j in the low half of byte j, element j + 16 in its high half. */
static void nibbles_get(const uint8_t bytes[16], int8_t q[32]) {
    for (int j = 0; j < 16; j++) q[j] = (int8_t)(bytes[j] & 15), q[j + 16] = (int8_t)(bytes[j] >> 4);
}

/* Bit 4 of every element, in 32 bits of their own. */
static void fifth_get(const uint8_t qh[4], int8_t q[32]) {
    for (int j = 0; j < 32; j++) q[j] = (int8_t)(q[j] | (qh[j / 8] >> j % 8 & 1) << 4);
}

static void lower(int8_t q[32], int by) {
    for (int j = 0; j < 32; j++) q[j] = (int8_t)(q[j] - by);
}

static void look_up(const int8_t table[16], int8_t q[32]) {
    for (int j = 0; j < 32; j++) q[j] = table[q[j]];
}

static void scale_of(float d, QuantPart *out) {
    out->d[0] = out->d[1] = d, out->m[0] = out->m[1] = 0;
    out->has_min = out->halves = false;
}

static void scale_min_of(uint16_t d, uint16_t m, QuantPart *out) {
    scale_of(f16_to_f32(d), out);
    out->m[0] = out->m[1] = f16_to_f32(m), out->has_min = true;
}

void q8_0_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ8_0 *b = (const BlockQ8_0 *)row + i;
    scale_of(f16_to_f32(b->d), out);
    memcpy(out->q, b->q, 32);
}

void q4_0_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ4_0 *b = (const BlockQ4_0 *)row + i;
    scale_of(f16_to_f32(b->d), out);
    nibbles_get(b->q, out->q);
    lower(out->q, 8);
}

void q4_1_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ4_1 *b = (const BlockQ4_1 *)row + i;
    scale_min_of(b->d, b->m, out);
    nibbles_get(b->q, out->q);
}

void q5_0_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ5_0 *b = (const BlockQ5_0 *)row + i;
    scale_of(f16_to_f32(b->d), out);
    nibbles_get(b->q, out->q);
    fifth_get(b->qh, out->q);
    lower(out->q, 16);
}

void q5_1_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ5_1 *b = (const BlockQ5_1 *)row + i;
    scale_min_of(b->d, b->m, out);
    nibbles_get(b->q, out->q);
    fifth_get(b->qh, out->q);
}

void iq4_nl_part(const void *row, int64_t i, QuantPart *out) {
    static const int8_t table[16] = {UNEVEN};
    const BlockQ4_0 *b = (const BlockQ4_0 *)row + i;
    scale_of(f16_to_f32(b->d), out);
    nibbles_get(b->q, out->q);
    look_up(table, out->q);
}

void mxfp4_part(const void *row, int64_t i, QuantPart *out) {
    static const int8_t table[16] = {FP4_TWICE};
    const BlockMXFP4 *b = (const BlockMXFP4 *)row + i;
    scale_of(ldexpf(1, b->e - 128), out);
    nibbles_get(b->q, out->q);
    look_up(table, out->q);
}

/* ---- packing: q are the integers as stored, 32 of them ---- */

static void nibbles_put(const uint8_t q[32], uint8_t bytes[16]) {
    for (int j = 0; j < 16; j++) bytes[j] = (uint8_t)((q[j] & 15) | q[j + 16] << 4);
}

static void fifth_put(const uint8_t q[32], uint8_t qh[4]) {
    for (int i = 0; i < 4; i++) {
        unsigned bits = 0;
        for (int j = 0; j < 8; j++) bits |= (unsigned)(q[8 * i + j] >> 4) << j;
        qh[i] = (uint8_t)bits;
    }
}

void q8_0_pack(const QuantScales *s, const uint8_t *q, void *block) {
    BlockQ8_0 *b = block;
    b->d = s->d;
    memcpy(b->q, q, 32);
}

void q4_0_pack(const QuantScales *s, const uint8_t *q, void *block) {
    BlockQ4_0 *b = block;
    b->d = s->d;
    nibbles_put(q, b->q);
}

void q4_1_pack(const QuantScales *s, const uint8_t *q, void *block) {
    BlockQ4_1 *b = block;
    b->d = s->d, b->m = s->m;
    nibbles_put(q, b->q);
}

void q5_0_pack(const QuantScales *s, const uint8_t *q, void *block) {
    BlockQ5_0 *b = block;
    b->d = s->d;
    nibbles_put(q, b->q);
    fifth_put(q, b->qh);
}

void q5_1_pack(const QuantScales *s, const uint8_t *q, void *block) {
    BlockQ5_1 *b = block;
    b->d = s->d, b->m = s->m;
    nibbles_put(q, b->q);
    fifth_put(q, b->qh);
}

void iq4_nl_pack(const QuantScales *s, const uint8_t *q, void *block) { q4_0_pack(s, q, block); }

void mxfp4_pack(const QuantScales *s, const uint8_t *q, void *block) {
    BlockMXFP4 *b = block;
    b->e = s->scale[0];
    nibbles_put(q, b->q);
}
