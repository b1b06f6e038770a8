/* The sum called lanes16 in core/ops.def: lane j sums v[j], v[j+16], ... ascending from +0, then lanes fold by adding
 * lane j+8, j+4, j+2, j+1. A short tail adds nothing to its missing lanes; adding +0 to them gives the same bits,
 * since a sum that starts at +0 is never -0. */
#ifndef CPU_LANES16_H
#define CPU_LANES16_H

#include <math.h>
#include <stdint.h>

/* Folds l in place and returns the sum. */
static inline float lanes16_fold(float l[16]) {
    for (int half = 8; half; half /= 2)
        for (int j = 0; j < half; j++) l[j] += l[j + half];
    return l[0];
}

/* lanes16 of a[i]*b[i], each product fused into its lane. */
static inline float lanes16_dot(const float *a, const float *b, int64_t n) {
    float l[16] = {0};
    for (int64_t i = 0; i < n; i++) l[i % 16] = fmaf(a[i], b[i], l[i % 16]);
    return lanes16_fold(l);
}

static inline float lanes16_sum(const float *a, int64_t n) {
    float l[16] = {0};
    for (int64_t i = 0; i < n; i++) l[i % 16] += a[i];
    return lanes16_fold(l);
}

#if defined __AVX2__
#include <immintrin.h>

static inline float lanes16_fold_8(__m256 l) { /* the steps j+4, j+2, j+1 */
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(l), _mm256_extractf128_ps(l, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    x = _mm_add_ss(x, _mm_movehdup_ps(x));
    return _mm_cvtss_f32(x);
}

/* Lanes 0..7 in lo, 8..15 in hi. */
static inline float lanes16_fold_avx2(__m256 lo, __m256 hi) { return lanes16_fold_8(_mm256_add_ps(lo, hi)); }
#endif

#if defined __AVX512F__ && defined __AVX512DQ__
static inline float lanes16_fold_avx512(__m512 l) {
    return lanes16_fold_avx2(_mm512_castps512_ps256(l), _mm512_extractf32x8_ps(l, 1));
}
#endif

#if defined __ARM_NEON
#include <arm_neon.h>

/* Lanes 0..3 in a, and so on. */
static inline float lanes16_fold_neon(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d) {
    float32x4_t x = vaddq_f32(vaddq_f32(a, c), vaddq_f32(b, d));
    float32x2_t y = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(y, 0) + vget_lane_f32(y, 1);
}
#endif

#endif
