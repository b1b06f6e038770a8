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
        for (int j = 0; j < 32; j++) amax = fmaxf(amax, isnan(src[j]) ? INFINITY : fabsf(src[j]));
        float d = amax / 127, inv = quant_inverse(d);
        b[i].d = f32_to_f16(d);
        for (int j = 0; j < 32; j++) b[i].q[j] = inv > 0 ? (int8_t)roundf(src[j] * inv) : 0;
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

/* The values that the 16 integers of iq4_nl stand for, closer to each other around 0 (llama.cpp's table). */
static const int8_t uneven[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

void iq4_nl_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ4_0 *b = (const BlockQ4_0 *)row + i;
    out->d[0] = out->d[1] = f16_to_f32(b->d), out->has_min = false;
    nibbles_get(b->q, out->q);
    for (int j = 0; j < 32; j++) out->q[j] = uneven[out->q[j]];
}

static int uneven_near(float x) {
    int k = 0;
    while (k < 15 && x > (float)(uneven[k] + uneven[k + 1]) / 2) k++;
    return k;
}

/* Among some steps that put the extreme value near either end of the table, the scale that keeps most of x: the largest
 * (x.v)^2 / v.v of the values v. */
static float uneven_fit(const float x[32]) {
    float best = 0, kept = 0, most = extreme(x);
    for (int step = -8; step <= 8; step++)
        for (int end = 0; end < 16; end += 15) {
            float inv = quant_inverse(most / ((float)uneven[end] * (1 + 0.02f * (float)step))), sxv = 0, svv = 0;
            for (int j = 0; j < 32; j++) {
                float v = uneven[uneven_near(x[j] * inv)];
                sxv += x[j] * v, svv += v * v;
            }
            if (sxv * (sxv / svv) > kept) kept = sxv * (sxv / svv), best = sxv / svv;
        }
    return best;
}

void iq4_nl_encode(const float *src, void *dst, int64_t n) {
    BlockQ4_0 *b = dst;
    int q[32];
    for (int64_t i = 0; i < n / 32; i++) {
        b[i].d = f32_to_f16(uneven_fit(src + 32 * i));
        float inv = quant_inverse(f16_to_f32(b[i].d));
        for (int j = 0; j < 32; j++) q[j] = uneven_near(src[32 * i + j] * inv);
        nibbles_put(q, b[i].q);
    }
}
