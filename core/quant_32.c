/* Formats whose blocks are 32 elements with one scale. */
#include "core/quant.h"

/* Element j in the low half of byte j, element j + 16 in its high half. */
static void nibbles_get(const uint8_t bytes[16], int8_t q[32]) {
    for (int j = 0; j < 16; j++) q[j] = (int8_t)(bytes[j] & 15), q[j + 16] = (int8_t)(bytes[j] >> 4);
}
static void nibbles_put(const int q[32], uint8_t bytes[16]) {
    for (int j = 0; j < 16; j++) bytes[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}

/* The value of largest magnitude, with its sign. */
static float extreme(const float x[32]) {
    float most = x[0];
    for (int j = 1; j < 32; j++)
        if (fabsf(x[j]) > fabsf(most)) most = x[j];
    return most;
}

void q8_0_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ8_0 *b = (const BlockQ8_0 *)row + i;
    out->d[0] = out->d[1] = f16_to_f32(b->d), out->has_min = false;
    memcpy(out->q, b->q, 32);
}
void q8_0_encode(const float *src, void *dst, int64_t n) {
    BlockQ8_0 *b = dst;
    for (int64_t i = 0; i < n / 32; i++, src += 32) {
        float amax = 0;
        for (int j = 0; j < 32; j++) amax = fmaxf(amax, fabsf(src[j]));
        float d = amax / 127, inv = d != 0 ? 1 / d : 0;
        b[i].d = f32_to_f16(d);
        for (int j = 0; j < 32; j++) b[i].q[j] = (int8_t)roundf(src[j] * inv);
    }
}

static int floor_in(float x, int most) { return !(x > 0) ? 0 : x >= (float)most ? most : (int)x; }

/* The extreme value gets the integer -2^(bits-1), which has no positive twin: the step is then the smallest possible.
 */
static float symmetric_fit(const float x[32], int half, int q[32]) {
    float d = extreme(x) / (float)-half, inv = quant_inverse(d);
    for (int j = 0; j < 32; j++) q[j] = floor_in(x[j] * inv + ((float)half + 0.5f), 2 * half - 1);
    return d;
}

static float affine_fit(const float x[32], int most, int q[32], float *min) {
    float lo = x[0], hi = x[0];
    for (int j = 1; j < 32; j++) lo = fminf(lo, x[j]), hi = fmaxf(hi, x[j]);
    float d = (hi - lo) / (float)most, inv = quant_inverse(d);
    for (int j = 0; j < 32; j++) q[j] = floor_in((x[j] - lo) * inv + 0.5f, most);
    *min = lo;
    return d;
}

void q4_0_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ4_0 *b = (const BlockQ4_0 *)row + i;
    out->d[0] = out->d[1] = f16_to_f32(b->d), out->has_min = false;
    nibbles_get(b->q, out->q);
    for (int j = 0; j < 32; j++) out->q[j] = (int8_t)(out->q[j] - 8);
}
void q4_0_encode(const float *src, void *dst, int64_t n) {
    BlockQ4_0 *b = dst;
    int q[32];
    for (int64_t i = 0; i < n / 32; i++) {
        b[i].d = f32_to_f16(symmetric_fit(src + 32 * i, 8, q));
        nibbles_put(q, b[i].q);
    }
}

void q4_1_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ4_1 *b = (const BlockQ4_1 *)row + i;
    out->d[0] = out->d[1] = f16_to_f32(b->d), out->m = f16_to_f32(b->m), out->has_min = true;
    nibbles_get(b->q, out->q);
}
void q4_1_encode(const float *src, void *dst, int64_t n) {
    BlockQ4_1 *b = dst;
    int q[32];
    for (int64_t i = 0; i < n / 32; i++) {
        float m;
        b[i].d = f32_to_f16(affine_fit(src + 32 * i, 15, q, &m)), b[i].m = f32_to_f16(m);
        nibbles_put(q, b[i].q);
    }
}

/* Bit 4 of every element, in 32 bits of their own. */
static void fifth_get(const uint8_t qh[4], int8_t q[32]) {
    for (int j = 0; j < 32; j++) q[j] = (int8_t)(q[j] | (qh[j / 8] >> j % 8 & 1) << 4);
}
static void fifth_put(const int q[32], uint8_t qh[4]) {
    memset(qh, 0, 4);
    for (int j = 0; j < 32; j++) qh[j / 8] = (uint8_t)(qh[j / 8] | q[j] >> 4 << j % 8);
}

void q5_0_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ5_0 *b = (const BlockQ5_0 *)row + i;
    out->d[0] = out->d[1] = f16_to_f32(b->d), out->has_min = false;
    nibbles_get(b->q, out->q);
    fifth_get(b->qh, out->q);
    for (int j = 0; j < 32; j++) out->q[j] = (int8_t)(out->q[j] - 16);
}
void q5_0_encode(const float *src, void *dst, int64_t n) {
    BlockQ5_0 *b = dst;
    int q[32];
    for (int64_t i = 0; i < n / 32; i++) {
        b[i].d = f32_to_f16(symmetric_fit(src + 32 * i, 16, q));
        nibbles_put(q, b[i].q);
        fifth_put(q, b[i].qh);
    }
}

void q5_1_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ5_1 *b = (const BlockQ5_1 *)row + i;
    out->d[0] = out->d[1] = f16_to_f32(b->d), out->m = f16_to_f32(b->m), out->has_min = true;
    nibbles_get(b->q, out->q);
    fifth_get(b->qh, out->q);
}
void q5_1_encode(const float *src, void *dst, int64_t n) {
    BlockQ5_1 *b = dst;
    int q[32];
    for (int64_t i = 0; i < n / 32; i++) {
        float m;
        b[i].d = f32_to_f16(affine_fit(src + 32 * i, 31, q, &m)), b[i].m = f32_to_f16(m);
        nibbles_put(q, b[i].q);
        fifth_put(q, b[i].qh);
    }
}
