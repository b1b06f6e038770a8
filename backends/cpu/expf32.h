/* The one exponential of the CPU backend: e^x for f32, the same bits from the scalar form and from those of 4, 8
 * and 16 lanes.
 *
 * (Not expf32: glibc has a function of that name.) x = n*ln2 + r with |r| <= ln2/2; e^r by a polynomial of degree 6
 * (weighted least squares towards the smallest relative error, constant and linear term fixed at 1: off by 3.1e-9
 * before rounding); times 2^n. At most 1 ulp off on
 * [-104, 88.72] (tests/ops/test_kernels.c sweeps it), subnormal results included; 0 below -104, infinity above 88.73,
 * NaN stays NaN.
 *
 * The forms agree because every step is one IEEE operation in the same order and the last one rounds once: y*2^k1 is
 * exact, so y*2^k1*2^k2 is scalef(y, n). */
#ifndef CPU_EXPF32_H
#define CPU_EXPF32_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define EXPF32_LO     (-110.0f) /* e^x rounds to 0 well before, to infinity well after */
#define EXPF32_HI     100.0f
#define EXPF32_LOG2E  0x1.715476p+0f
#define EXPF32_MAGIC  0x1.8p+23f /* adding it rounds to an integer, kept in the low bits */
#define EXPF32_LN2_HI 0x1.62e43p-1f
#define EXPF32_LN2_LO (-0x1.05c61p-29f)
#define EXPF32_C2     0x1.fffffcp-2f
#define EXPF32_C3     0x1.555492p-3f
#define EXPF32_C4     0x1.5558f2p-5f
#define EXPF32_C5     0x1.1239e2p-7f
#define EXPF32_C6     0x1.6a2434p-10f

static inline float expf32_pow2(int32_t k) { /* 2^k, -126 <= k <= 127 */
    uint32_t u = ((uint32_t)k + 127) << 23;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static inline float exp_f32(float x) {
    if (x != x) return x;
    x = x < EXPF32_LO ? EXPF32_LO : x;
    x = x > EXPF32_HI ? EXPF32_HI : x;
    float n = fmaf(x, EXPF32_LOG2E, EXPF32_MAGIC) - EXPF32_MAGIC;
    float r = fmaf(-n, EXPF32_LN2_HI, x);
    r = fmaf(-n, EXPF32_LN2_LO, r);
    float y = fmaf(EXPF32_C6, r, EXPF32_C5);
    y = fmaf(y, r, EXPF32_C4);
    y = fmaf(y, r, EXPF32_C3);
    y = fmaf(y, r, EXPF32_C2);
    y = fmaf(y, r, 1.0f);
    y = fmaf(y, r, 1.0f);
    int32_t k = (int32_t)n, k1 = k / 2;
    return y * expf32_pow2(k1) * expf32_pow2(k - k1);
}

/* tanh, absolute error below 1.2e-7: e = exp_f32(-2|x|), (1 - e) / (1 + e) with the sign of x. */
static inline float tanh_f32(float x) {
    float e = exp_f32(-2 * fabsf(x));
    return copysignf((1 - e) / (1 + e), x);
}

#if defined __AVX2__ && defined __FMA__
#include <immintrin.h>

static inline __m256 exp_f32_avx2(__m256 x) {
    const __m256 magic = _mm256_set1_ps(EXPF32_MAGIC), one = _mm256_set1_ps(1.0f);
    x = _mm256_max_ps(_mm256_set1_ps(EXPF32_LO), x); /* in this operand order NaN passes through */
    x = _mm256_min_ps(_mm256_set1_ps(EXPF32_HI), x);
    __m256 n = _mm256_sub_ps(_mm256_fmadd_ps(x, _mm256_set1_ps(EXPF32_LOG2E), magic), magic);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(EXPF32_LN2_HI), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(EXPF32_LN2_LO), r);
    __m256 y = _mm256_fmadd_ps(_mm256_set1_ps(EXPF32_C6), r, _mm256_set1_ps(EXPF32_C5));
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(EXPF32_C4));
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(EXPF32_C3));
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(EXPF32_C2));
    y = _mm256_fmadd_ps(y, r, one);
    y = _mm256_fmadd_ps(y, r, one);
    __m256i k = _mm256_cvttps_epi32(n), k1 = _mm256_srai_epi32(k, 1), k2 = _mm256_sub_epi32(k, k1);
    __m256i bias = _mm256_set1_epi32(127);
    __m256 p1 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(k1, bias), 23));
    __m256 p2 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(k2, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(y, p1), p2);
}
#endif

#if defined __AVX512F__
#include <immintrin.h>

static inline __m512 exp_f32_avx512(__m512 x) {
    const __m512 magic = _mm512_set1_ps(EXPF32_MAGIC), one = _mm512_set1_ps(1.0f);
    x = _mm512_max_ps(_mm512_set1_ps(EXPF32_LO), x);
    x = _mm512_min_ps(_mm512_set1_ps(EXPF32_HI), x);
    __m512 n = _mm512_sub_ps(_mm512_fmadd_ps(x, _mm512_set1_ps(EXPF32_LOG2E), magic), magic);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(EXPF32_LN2_HI), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(EXPF32_LN2_LO), r);
    __m512 y = _mm512_fmadd_ps(_mm512_set1_ps(EXPF32_C6), r, _mm512_set1_ps(EXPF32_C5));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(EXPF32_C4));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(EXPF32_C3));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(EXPF32_C2));
    y = _mm512_fmadd_ps(y, r, one);
    y = _mm512_fmadd_ps(y, r, one);
    return _mm512_scalef_ps(y, n);
}
#endif

#if defined __ARM_NEON
#include <arm_neon.h>

static inline float32x4_t exp_f32_neon(float32x4_t x) {
    const float32x4_t magic = vdupq_n_f32(EXPF32_MAGIC), one = vdupq_n_f32(1);
    x = vmaxq_f32(vdupq_n_f32(EXPF32_LO), x); /* NaN passes through */
    x = vminq_f32(vdupq_n_f32(EXPF32_HI), x);
    float32x4_t n = vsubq_f32(vfmaq_f32(magic, x, vdupq_n_f32(EXPF32_LOG2E)), magic);
    float32x4_t r = vfmsq_f32(x, n, vdupq_n_f32(EXPF32_LN2_HI));
    r = vfmsq_f32(r, n, vdupq_n_f32(EXPF32_LN2_LO));
    float32x4_t y = vfmaq_f32(vdupq_n_f32(EXPF32_C5), vdupq_n_f32(EXPF32_C6), r);
    y = vfmaq_f32(vdupq_n_f32(EXPF32_C4), y, r);
    y = vfmaq_f32(vdupq_n_f32(EXPF32_C3), y, r);
    y = vfmaq_f32(vdupq_n_f32(EXPF32_C2), y, r);
    y = vfmaq_f32(one, y, r);
    y = vfmaq_f32(one, y, r);
    int32x4_t k = vcvtq_s32_f32(n), k1 = vshrq_n_s32(k, 1), k2 = vsubq_s32(k, k1), bias = vdupq_n_s32(127);
    float32x4_t p1 = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(k1, bias), 23));
    float32x4_t p2 = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(k2, bias), 23));
    return vmulq_f32(vmulq_f32(y, p1), p2);
}
#endif

#endif
