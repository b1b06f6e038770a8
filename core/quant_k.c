/* Formats whose blocks are 256 elements: scales of their parts are integers, of which one f16 scale is the unit. */
#include "core/quant.h"

enum { PARTS = 8, PART = 32 };

/* The integer nearest to x of lo..hi; lo for NaN. */
static int near_in(float x, int lo, int hi) { return !(x > (float)lo) ? lo : x >= (float)hi ? hi : (int)nearbyintf(x); }

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

static void scales_put(const int scale[PARTS], const int min[PARTS], uint8_t s[12]) {
    for (int i = 0; i < 4; i++) {
        s[i] = (uint8_t)(scale[i] | (scale[i + 4] >> 4) << 6);
        s[i + 4] = (uint8_t)(min[i] | (min[i + 4] >> 4) << 6);
        s[i + 8] = (uint8_t)((scale[i + 4] & 15) | (min[i + 4] & 15) << 4);
    }
}

/* Parts 2i and 2i + 1 are the low and the high nibbles of 32 bytes. */
static void part_of(const void *block, const uint8_t *q, int64_t i, QuantPart *out) {
    int scale, min;
    Head h;
    memcpy(&h, block, sizeof h);
    scales_get(h.scales, i, &scale, &min);
    out->d[0] = out->d[1] = f16_to_f32(h.d) * (float)scale;
    out->m = -(f16_to_f32(h.dmin) * (float)min), out->has_min = true;
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

/* x = d*q - m, m >= 0 */
typedef struct Fit {
    float d, m, error;
} Fit;

/* The integers of d and m, then the best d and m of these integers by least squares, and what they leave. */
static Fit refit(const float x[PART], int most, Fit f) {
    float inv = quant_inverse(f.d), sq = 0, sqq = 0, sx = 0, sxq = 0;
    int q[PART];
    for (int j = 0; j < PART; j++) {
        q[j] = near_in((x[j] + f.m) * inv, 0, most);
        float k = (float)q[j];
        sq += k, sqq += k * k, sx += x[j], sxq += x[j] * k;
    }
    float det = PART * sqq - sq * sq;
    Fit g = f;
    if (det > 0) g.d = (PART * sxq - sq * sx) / det, g.m = (sq * sxq - sqq * sx) / det;
    if (!(g.m >= 0)) g.m = 0, g.d = sqq > 0 ? sxq / sqq : 0;
    g.error = 0;
    for (int j = 0; j < PART; j++) {
        float off = x[j] - (g.d * (float)q[j] - g.m);
        g.error += off * off;
    }
    return g;
}

/* Steps somewhat narrower than the whole range clip an outlier and serve the others; the best of some is taken. */
static Fit fit_affine(const float x[PART], int most) {
    float lo = 0, hi = x[0];
    for (int j = 0; j < PART; j++) lo = fminf(lo, x[j]), hi = fmaxf(hi, x[j]);
    Fit best = {0, -lo, INFINITY};
    if (!(hi - lo > 0)) return best;
    for (int step = 0; step <= 20; step++) {
        Fit f = refit(x, most, (Fit){(hi - lo) / ((float)most - 1 + 0.1f * (float)step), -lo, 0});
        if (f.d > 0 && f.error < best.error) best = f;
    }
    return best;
}

/* Everything of a block but where its q stand. */
static void encode_parts(const float *x, int most, void *block, int q[PARTS][PART]) {
    Fit fit[PARTS];
    Head head;
    int scale[PARTS], min[PARTS];
    float d = 0, m = 0;
    for (int i = 0; i < PARTS; i++) {
        fit[i] = fit_affine(x + i * PART, most);
        d = fmaxf(d, fit[i].d), m = fmaxf(m, fit[i].m);
    }
    head.d = f32_to_f16(d / 63), head.dmin = f32_to_f16(m / 63);
    d = f16_to_f32(head.d), m = f16_to_f32(head.dmin);
    for (int i = 0; i < PARTS; i++) {
        scale[i] = near_in(fit[i].d * quant_inverse(d), 0, 63);
        min[i] = near_in(fit[i].m * quant_inverse(m), 0, 63);
        float inv = quant_inverse(d * (float)scale[i]);
        for (int j = 0; j < PART; j++) q[i][j] = near_in((x[i * PART + j] + m * (float)min[i]) * inv, 0, most);
    }
    scales_put(scale, min, head.scales);
    memcpy(block, &head, sizeof head);
}

static void pack_nibbles(int q[PARTS][PART], uint8_t *bytes) {
    for (int i = 0; i < PARTS / 2; i++)
        for (int j = 0; j < PART; j++)
            bytes[i * PART + j] = (uint8_t)((q[2 * i][j] & 15) | (q[2 * i + 1][j] & 15) << 4);
}

void q4_k_encode(const float *src, void *dst, int64_t n) {
    BlockQ4_K *b = dst;
    int q[PARTS][PART];
    for (int64_t i = 0; i < n / 256; i++) {
        encode_parts(src + 256 * i, 15, &b[i], q);
        pack_nibbles(q, b[i].q);
    }
}

void q5_k_encode(const float *src, void *dst, int64_t n) {
    BlockQ5_K *b = dst;
    int q[PARTS][PART];
    for (int64_t i = 0; i < n / 256; i++) {
        encode_parts(src + 256 * i, 31, &b[i], q);
        pack_nibbles(q, b[i].q);
        memset(b[i].qh, 0, sizeof b[i].qh);
        for (int k = 0; k < PARTS; k++)
            for (int j = 0; j < PART; j++) b[i].qh[j] = (uint8_t)(b[i].qh[j] | q[k][j] >> 4 << k);
    }
}

/* ---- q6_k: a scale of 8 bits for each 16, no minimum ---- */

/* Of each 128 elements, 64 bytes hold the lower 4 bits (of parts 0, 1 in low, 2, 3 in high nibbles) and 32 bytes the
 * upper 2 (of part i at bit 2i). */
void q6_k_part(const void *row, int64_t i, QuantPart *out) {
    const BlockQ6_K *b = (const BlockQ6_K *)row + i / PARTS;
    int64_t half = i % PARTS / 4, k = i % 4;
    const uint8_t *low = b->ql + 64 * half + k % 2 * PART, *high = b->qh + 32 * half;
    for (int j = 0; j < PART; j++)
        out->q[j] = (int8_t)(((low[j] >> k / 2 * 4 & 15) | (high[j] >> 2 * k & 3) << 4) - 32);
    for (int j = 0; j < 2; j++) out->d[j] = f16_to_f32(b->d) * (float)b->scales[i % PARTS * 2 + j];
    out->has_min = false;
}

/* The scale whose integers -32..31 keep most of x: that with the largest (x.q)^2 / q.q, for some steps around. */
static float fit_symmetric(const float x[16]) {
    float most = 0, best = 0, kept = 0;
    for (int j = 0; j < 16; j++)
        if (fabsf(x[j]) > fabsf(most)) most = x[j];
    for (int step = -9; step <= 9 && most != 0; step++) {
        float inv = quant_inverse(most / -(32 + 0.1f * (float)step)), sxq = 0, sqq = 0;
        for (int j = 0; j < 16; j++) {
            float k = (float)near_in(x[j] * inv, -32, 31);
            sxq += x[j] * k, sqq += k * k;
        }
        if (sqq > 0 && sxq * (sxq / sqq) > kept) kept = sxq * (sxq / sqq), best = sxq / sqq;
    }
    return best;
}

static void q6_k_pack(int q[16][16], BlockQ6_K *b) {
    memset(b->ql, 0, sizeof b->ql), memset(b->qh, 0, sizeof b->qh);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, k = i / 32 % 4, j = i % 32, v = q[i / 16][i % 16];
        uint8_t *low = &b->ql[64 * half + k % 2 * 32 + j], *high = &b->qh[32 * half + j];
        *low = (uint8_t)(*low | (v & 15) << k / 2 * 4);
        *high = (uint8_t)(*high | v >> 4 << 2 * k);
    }
}

void q6_k_encode(const float *src, void *dst, int64_t n) {
    BlockQ6_K *b = dst;
    for (int64_t i = 0; i < n / 256; i++, src += 256, b++) {
        float fit[16], most = 0;
        int q[16][16];
        for (int k = 0; k < 16; k++) {
            fit[k] = fit_symmetric(src + 16 * k);
            if (fabsf(fit[k]) > fabsf(most)) most = fit[k];
        }
        b->d = f32_to_f16(most / -128);
        float d = f16_to_f32(b->d);
        for (int k = 0; k < 16; k++) {
            b->scales[k] = (int8_t)near_in(fit[k] * quant_inverse(d), -128, 127);
            float inv = quant_inverse(d * b->scales[k]);
            for (int j = 0; j < 16; j++) q[k][j] = near_in(src[16 * k + j] * inv, -32, 31) + 32;
        }
        q6_k_pack(q, b);
    }
}
