/* Sixteen lanes of 32 bits in whatever registers the file is compiled for: one zmm under AVX-512, two ymm under AVX2,
 * four vectors under NEON (vec16_neon.h).
 * Tuned kernels are written once in these words and compiled once per instruction set; each function below is one or
 * two instructions, except where it says otherwise. Nothing here rounds differently from one set to the other.
 *
 * V16 holds floats, I16 the same 64 bytes as integers, H16 sixteen values of 16 bits, B16 sixteen bytes. "rows"
 * functions take the bytes of 16 rows and return columns: lane r of out[j] is dword j of row r. */
#ifndef CPU_VEC16_H
#define CPU_VEC16_H

#include "backends/cpu/expf32.h"
#include "backends/cpu/lanes16.h"
#include "core/dtype.h"

#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL _Pragma("GCC unroll 32")

enum { LANES = 16 };

INLINE uint16_t u16_at(const char *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return h;
}

#if defined __AVX2__
#include <immintrin.h>

typedef __m256i H16;
typedef __m128i B16;

INLINE B16 b_load(const void *p) { return _mm_loadu_si128(p); }
INLINE void b_store(void *p, B16 b) { _mm_storeu_si128(p, b); }
INLINE B16 b_set1(char c) { return _mm_set1_epi8(c); }
INLINE B16 b_or(B16 a, B16 b) { return _mm_or_si128(a, b); }
INLINE B16 b_sub(B16 a, B16 b) { return _mm_sub_epi8(a, b); }
/* The low nibble of each byte, the high one. */
INLINE B16 b_low4(B16 a) { return _mm_and_si128(a, _mm_set1_epi8(15)); }
INLINE B16 b_high4(B16 a) { return b_low4(_mm_srli_epi16(a, 4)); }
/* Each byte of q, 0..15, becomes that byte of table. */
INLINE B16 b_lookup(B16 q, B16 table) { return _mm_shuffle_epi8(table, q); }
/* b in bytes whose bit is set, else 0. */
INLINE B16 b_where(uint16_t bits, B16 b) {
    const __m128i bit = _mm_set1_epi64x((long long)0x8040201008040201u);
    __m128i h = _mm_unpacklo_epi64(_mm_set1_epi8((char)(bits & 0xff)), _mm_set1_epi8((char)(bits >> 8)));
    return _mm_and_si128(_mm_cmpeq_epi8(_mm_and_si128(h, bit), bit), b);
}
/* The sum of signed bytes. */
INLINE int32_t b_hsum(B16 a) {
    __m128i up = _mm_xor_si128(a, _mm_set1_epi8(-128)); /* a + 128 */
    __m128i sum = _mm_sad_epu8(up, _mm_setzero_si128());
    return _mm_cvtsi128_si32(sum) + _mm_extract_epi32(sum, 2) - 16 * 128;
}

INLINE H16 h_load(const void *p) { return _mm256_loadu_si256(p); }
INLINE void h_store(void *p, H16 h) { _mm256_storeu_si256(p, h); }
/* The value at byte off of each row. */
INLINE H16 h_gather(const char *const row[16], int64_t off) {
#define H(r) (short)u16_at(row[r] + off)
    return _mm256_setr_epi16(H(0), H(1), H(2), H(3), H(4), H(5), H(6), H(7), H(8), H(9), H(10), H(11), H(12), H(13),
                             H(14), H(15));
#undef H
}
INLINE float f16_at(const char *p) { return _cvtsh_ss(u16_at(p)); }

/* From here to `mode_restore`, subnormal operands and results are 0. Returns the mode before. */
INLINE uint64_t mode_flush(void) {
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
    return mode;
}
INLINE void mode_restore(uint64_t mode) { _mm_setcsr((unsigned)mode); }

INLINE __m256i ymm_at(const char *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE __m128i xmm_at(const char *p) { return _mm_loadu_si128((const __m128i *)p); }

INLINE __m256i ymm_gather(const char *const row[8], int64_t off) {
    int32_t d[8];
    UNROLL for (int r = 0; r < 8; r++) memcpy(&d[r], row[r] + off, 4);
    return _mm256_setr_epi32(d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]);
}

#endif

#if defined __AVX512F__

typedef __m512 V16;
typedef __m512i I16;

INLINE V16 v_zero(void) { return _mm512_setzero_ps(); }
INLINE V16 v_set1(float f) { return _mm512_set1_ps(f); }
INLINE V16 v_load(const void *p) { return _mm512_loadu_ps(p); }
INLINE void v_store(void *p, V16 v) { _mm512_storeu_ps(p, v); }
/* The first n lanes only, n <= 0: none; the others load as 0. Bytes of other lanes are not touched. */
INLINE __mmask16 v_mask_n(int64_t n) { return (__mmask16)(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1); }
INLINE V16 v_load_n(const void *p, int64_t n) { return _mm512_maskz_loadu_ps(v_mask_n(n), p); }
INLINE void v_store_n(void *p, V16 v, int64_t n) { _mm512_mask_storeu_ps(p, v_mask_n(n), v); }
INLINE V16 v_add(V16 a, V16 b) { return _mm512_add_ps(a, b); }
INLINE V16 v_sub(V16 a, V16 b) { return _mm512_sub_ps(a, b); }
INLINE V16 v_mul(V16 a, V16 b) { return _mm512_mul_ps(a, b); }
INLINE V16 v_div(V16 a, V16 b) { return _mm512_div_ps(a, b); }
INLINE V16 v_sqrt(V16 a) { return _mm512_sqrt_ps(a); }
INLINE V16 v_max(V16 a, V16 b) { return _mm512_max_ps(a, b); }
INLINE V16 v_min(V16 a, V16 b) { return _mm512_min_ps(a, b); }
/* yes in lanes where a < b, no elsewhere and where either is NaN. */
INLINE V16 v_if_less(V16 a, V16 b, V16 yes, V16 no) {
    return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), yes);
}
/* Lane at[l] of table, at in 0..15. */
INLINE V16 v_pick(V16 table, I16 at) { return _mm512_permutexvar_ps(at, table); }
INLINE V16 v_fma(V16 a, V16 b, V16 c) { return _mm512_fmadd_ps(a, b, c); }
INLINE V16 v_abs(V16 a) { return _mm512_abs_ps(a); }
INLINE V16 v_neg(V16 a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
INLINE V16 v_xor(V16 a, V16 b) { return _mm512_xor_ps(a, b); }
/* Lanes in pairs 2i, 2i+1: both the even one, both the odd one, swapped. */
INLINE V16 v_evens(V16 a) { return _mm512_moveldup_ps(a); }
INLINE V16 v_odds(V16 a) { return _mm512_movehdup_ps(a); }
INLINE V16 v_swap(V16 a) { return _mm512_permute_ps(a, 0xb1); }
INLINE V16 v_fma_sub_add(V16 a, V16 b, V16 c) { return _mm512_fmaddsub_ps(a, b, c); } /* even lanes a*b - c, odd + c */
/* The even and the odd ones of 32 consecutive values. */
INLINE void v_split(V16 a, V16 b, V16 *even, V16 *odd) {
    const __m512i at = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_ps(a, at, b);
    *odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(at, _mm512_set1_epi32(1)), b);
}
INLINE V16 v_exp(V16 a) { return exp_f32_avx512(a); }
INLINE V16 v_from_int(I16 a) { return _mm512_cvtepi32_ps(a); }
INLINE V16 v_from_f16(H16 h) { return _mm512_cvtph_ps(h); }
INLINE H16 v_to_f16(V16 a) { return _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT); } /* ties to even */
INLINE V16 v_from_bf16(H16 h) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }
INLINE I16 i_from_i8(B16 q) { return _mm512_cvtepi8_epi32(q); }
INLINE V16 v_from_i8(B16 q) { return _mm512_cvtepi32_ps(i_from_i8(q)); }
INLINE V16 v_bits(I16 a) { return _mm512_castsi512_ps(a); }
INLINE I16 i_bits(V16 a) { return _mm512_castps_si512(a); }
/* v in lanes lo <= lane < hi, other elsewhere. */
INLINE V16 v_keep(V16 v, int64_t lo, int64_t hi, V16 other) {
    return _mm512_mask_mov_ps(other, (__mmask16)(v_mask_n(hi) & ~v_mask_n(lo)), v);
}
INLINE float v_fold(V16 v) { return lanes16_fold_avx512(v); }
INLINE float v_hmax(V16 v) { return _mm512_reduce_max_ps(v); }

INLINE I16 i_zero(void) { return _mm512_setzero_si512(); }
INLINE I16 i_set1(int32_t x) { return _mm512_set1_epi32(x); }
INLINE I16 i_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE void i_store(void *p, I16 v) { _mm512_storeu_si512(p, v); }
INLINE I16 i_add(I16 a, I16 b) { return _mm512_add_epi32(a, b); }
INLINE I16 i_and(I16 a, I16 b) { return _mm512_and_si512(a, b); }
INLINE I16 i_xor(I16 a, I16 b) { return _mm512_xor_si512(a, b); }
INLINE I16 i_shr4(I16 a) { return _mm512_srli_epi32(a, 4); }
INLINE I16 i_shl16(I16 a) { return _mm512_slli_epi32(a, 16); }
INLINE I16 i_round(V16 a) { return _mm512_cvtps_epi32(a); } /* to nearest, ties to even */
INLINE B16 i_to_i8(I16 a) { return _mm512_cvtepi32_epi8(a); }
INLINE I16 i_or(I16 a, I16 b) { return _mm512_or_si512(a, b); }
INLINE I16 i_shr16(I16 a) { return _mm512_srli_epi32(a, 16); }
INLINE I16 i_shr(I16 a, int n) { return _mm512_srl_epi32(a, _mm_cvtsi32_si128(n)); }
INLINE I16 i_top8(I16 a) { return _mm512_srai_epi32(a, 24); } /* the highest byte, signed */
INLINE I16 i_shl(I16 a, int n) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128(n)); }
/* Each byte of q, 0..15, becomes that byte of table. */
INLINE I16 i_lookup(I16 q, B16 table) { return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), q); }
INLINE I16 i_mul(I16 a, I16 b) { return _mm512_mullo_epi32(a, b); }
INLINE H16 i_low16(I16 a) { return _mm512_cvtepi32_epi16(a); } /* the low halves */
/* yes in lanes where v is NaN, no elsewhere. */
INLINE I16 i_if_nan(V16 v, I16 yes, I16 no) {
    return _mm512_mask_mov_epi32(no, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), yes);
}
INLINE int32_t i_hsum(I16 a) { return _mm512_reduce_add_epi32(a); }
INLINE I16 i_trunc(V16 a) { return _mm512_cvttps_epi32(a); }           /* towards zero */
INLINE I16 i_swap_mid(I16 a) { return _mm512_shuffle_epi32(a, 0xd8); } /* of every 4 lanes, 1 and 2 change places */
/* Bytes 0 and 2 of each lane, bytes 1 and 3, signed, in the lane's two 16-bit halves. */
INLINE I16 i_even_i8(I16 a) { return _mm512_srai_epi16(_mm512_slli_epi16(a, 8), 8); }
INLINE I16 i_odd_i8(I16 a) { return _mm512_srai_epi16(a, 8); }
/* acc + the product of the low 16-bit halves + that of the high ones, signed. */
INLINE I16 i_dot2_i16(I16 acc, I16 a, I16 b) {
#if defined __AVX512VNNI__
    return _mm512_dpwssd_epi32(acc, a, b);
#else
    return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
#endif
}

/* Products of 8-bit weights w with 8-bit activations x in -127..127, summed by fours and added to acc, exactly.
 * dot4_u7: w in 0..127. dot4_i8: w as w8_form made it of any int8; acc starts from w8_bias(sum of all x of the block).
 */
INLINE I16 w8_form(I16 w) { return _mm512_xor_si512(w, _mm512_set1_epi8(-128)); } /* w + 128 as unsigned */
/* A helper that comes late may read any sum of blocks that others write: it wraps. */
INLINE I16 w8_bias(int32_t sum) { return _mm512_set1_epi32((int32_t)(-128u * (uint32_t)sum)); }
#if defined __AVX512VNNI__
INLINE I16 i_dot4_u7(I16 acc, I16 w, I16 x) { return _mm512_dpbusd_epi32(acc, w, x); }
INLINE I16 i_dot4_i8(I16 acc, I16 w, I16 x) { return _mm512_dpbusd_epi32(acc, w, x); }
#endif

/* Pairs of bf16 as core/ops.def has them: acc + x1*w1, then + x0*w0. */
#if defined __AVX512BF16__
INLINE V16 v_dpbf16(V16 acc, I16 x, I16 w) { return _mm512_dpbf16_ps(acc, (__m512bh)x, (__m512bh)w); }
#endif

INLINE I16 i_of_ymm(__m256i lo, __m256i hi) { return _mm512_inserti64x4(_mm512_castsi256_si512(lo), hi, 1); }

/* Every 4 vectors a 4x4 transpose of dwords inside each 128-bit lane. */
INLINE void i_transpose4(I16 z[4]) {
    I16 a = _mm512_unpacklo_epi32(z[0], z[1]), b = _mm512_unpackhi_epi32(z[0], z[1]);
    I16 c = _mm512_unpacklo_epi32(z[2], z[3]), d = _mm512_unpackhi_epi32(z[2], z[3]);
    z[0] = _mm512_unpacklo_epi64(a, c), z[1] = _mm512_unpackhi_epi64(a, c);
    z[2] = _mm512_unpacklo_epi64(b, d), z[3] = _mm512_unpackhi_epi64(b, d);
}

/* 4 bytes of each of 16 rows, off bytes behind row[r]. */
INLINE I16 rows_load1(const char *const row[16], int64_t off) {
    return i_of_ymm(ymm_gather(row, off), ymm_gather(row + 8, off));
}

/* 16 bytes of each. */
INLINE void rows_load4(const char *const row[16], int64_t off, I16 out[4]) {
    UNROLL for (int i = 0; i < 4; i++) {
        I16 z = _mm512_castsi128_si512(xmm_at(row[i] + off));
        z = _mm512_inserti32x4(z, xmm_at(row[i + 4] + off), 1);
        z = _mm512_inserti32x4(z, xmm_at(row[i + 8] + off), 2);
        out[i] = _mm512_inserti32x4(z, xmm_at(row[i + 12] + off), 3);
    }
    i_transpose4(out);
}

/* 32 bytes of each. */
INLINE void rows_load8(const char *const row[16], int64_t off, I16 out[8]) {
    I16 p[4], q[4]; /* rows 0..3 | 4..7, and 8..11 | 12..15 */
    UNROLL for (int i = 0; i < 4; i++) {
        p[i] = i_of_ymm(ymm_at(row[i] + off), ymm_at(row[i + 4] + off));
        q[i] = i_of_ymm(ymm_at(row[i + 8] + off), ymm_at(row[i + 12] + off));
    }
    i_transpose4(p), i_transpose4(q);
    UNROLL for (int i = 0; i < 4; i++) {
        out[i] = _mm512_shuffle_i64x2(p[i], q[i], 0x88);
        out[i + 4] = _mm512_shuffle_i64x2(p[i], q[i], 0xdd);
    }
}

/* z[r] is row r on entry, column r on return. */
INLINE void rows_transpose16(I16 z[16]) {
    UNROLL for (int g = 0; g < 16; g += 4) i_transpose4(z + g);
    UNROLL for (int i = 0; i < 4; i++) { /* 4x4 transpose of the 128-bit lanes of z[i], z[i+4], z[i+8], z[i+12] */
        I16 a = _mm512_shuffle_i64x2(z[i], z[i + 4], 0x88), b = _mm512_shuffle_i64x2(z[i], z[i + 4], 0xdd);
        I16 c = _mm512_shuffle_i64x2(z[i + 8], z[i + 12], 0x88), d = _mm512_shuffle_i64x2(z[i + 8], z[i + 12], 0xdd);
        z[i] = _mm512_shuffle_i64x2(a, c, 0x88), z[i + 8] = _mm512_shuffle_i64x2(a, c, 0xdd);
        z[i + 4] = _mm512_shuffle_i64x2(b, d, 0x88), z[i + 12] = _mm512_shuffle_i64x2(b, d, 0xdd);
    }
}

#elif defined __AVX2__

typedef struct V16 {
    __m256 a, b; /* lanes 0..7, 8..15 */
} V16;
typedef struct I16 {
    __m256i a, b;
} I16;

#define V16_OF(ea, eb) ((V16){(ea), (eb)})
#define I16_OF(ea, eb) ((I16){(ea), (eb)})

INLINE V16 v_zero(void) { return V16_OF(_mm256_setzero_ps(), _mm256_setzero_ps()); }
INLINE V16 v_set1(float f) { return V16_OF(_mm256_set1_ps(f), _mm256_set1_ps(f)); }
INLINE V16 v_load(const void *p) { return V16_OF(_mm256_loadu_ps(p), _mm256_loadu_ps((const float *)p + 8)); }
INLINE void v_store(void *p, V16 v) { _mm256_storeu_ps(p, v.a), _mm256_storeu_ps((float *)p + 8, v.b); }
INLINE __m256i v_mask_n(int64_t n) { /* of 8 lanes */
    int32_t m = (int32_t)(n < 0 ? 0 : n > 8 ? 8 : n);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(m), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE V16 v_load_n(const void *p, int64_t n) {
    return V16_OF(_mm256_maskload_ps(p, v_mask_n(n)), _mm256_maskload_ps((const float *)p + 8, v_mask_n(n - 8)));
}
INLINE void v_store_n(void *p, V16 v, int64_t n) {
    _mm256_maskstore_ps(p, v_mask_n(n), v.a);
    _mm256_maskstore_ps((float *)p + 8, v_mask_n(n - 8), v.b);
}
INLINE V16 v_add(V16 x, V16 y) { return V16_OF(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)); }
INLINE V16 v_sub(V16 x, V16 y) { return V16_OF(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)); }
INLINE V16 v_mul(V16 x, V16 y) { return V16_OF(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)); }
INLINE V16 v_div(V16 x, V16 y) { return V16_OF(_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)); }
INLINE V16 v_sqrt(V16 x) { return V16_OF(_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)); }
INLINE V16 v_max(V16 x, V16 y) { return V16_OF(_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)); }
INLINE V16 v_min(V16 x, V16 y) { return V16_OF(_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)); }
INLINE V16 v_if_less(V16 x, V16 y, V16 yes, V16 no) {
    return V16_OF(_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
                  _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)));
}
INLINE __m256 ymm_pick(V16 table, __m256i at) { /* bit 3 says which half */
    __m256 lo = _mm256_permutevar8x32_ps(table.a, at), hi = _mm256_permutevar8x32_ps(table.b, at);
    return _mm256_blendv_ps(lo, hi, _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)));
}
INLINE V16 v_pick(V16 table, I16 at) { return V16_OF(ymm_pick(table, at.a), ymm_pick(table, at.b)); }
INLINE V16 v_fma(V16 x, V16 y, V16 z) { return V16_OF(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)); }
INLINE V16 v_abs(V16 x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return V16_OF(_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b));
}
INLINE V16 v_neg(V16 x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return V16_OF(_mm256_xor_ps(sign, x.a), _mm256_xor_ps(sign, x.b));
}
INLINE V16 v_xor(V16 x, V16 y) { return V16_OF(_mm256_xor_ps(x.a, y.a), _mm256_xor_ps(x.b, y.b)); }
INLINE V16 v_evens(V16 x) { return V16_OF(_mm256_moveldup_ps(x.a), _mm256_moveldup_ps(x.b)); }
INLINE V16 v_odds(V16 x) { return V16_OF(_mm256_movehdup_ps(x.a), _mm256_movehdup_ps(x.b)); }
INLINE V16 v_swap(V16 x) { return V16_OF(_mm256_permute_ps(x.a, 0xb1), _mm256_permute_ps(x.b, 0xb1)); }
INLINE V16 v_fma_sub_add(V16 x, V16 y, V16 z) {
    return V16_OF(_mm256_fmaddsub_ps(x.a, y.a, z.a), _mm256_fmaddsub_ps(x.b, y.b, z.b));
}
INLINE __m256 ymm_order(__m256 v) { /* 64-bit pieces 0, 2, 1, 3: what a shuffle of two vectors leaves to do */
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8));
}
INLINE void v_split(V16 x, V16 y, V16 *even, V16 *odd) {
    *even = V16_OF(ymm_order(_mm256_shuffle_ps(x.a, x.b, 0x88)), ymm_order(_mm256_shuffle_ps(y.a, y.b, 0x88)));
    *odd = V16_OF(ymm_order(_mm256_shuffle_ps(x.a, x.b, 0xdd)), ymm_order(_mm256_shuffle_ps(y.a, y.b, 0xdd)));
}
INLINE V16 v_exp(V16 x) { return V16_OF(exp_f32_avx2(x.a), exp_f32_avx2(x.b)); }
INLINE V16 v_from_int(I16 x) { return V16_OF(_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)); }
INLINE V16 v_from_f16(H16 h) {
    return V16_OF(_mm256_cvtph_ps(_mm256_castsi256_si128(h)), _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1)));
}
INLINE H16 v_to_f16(V16 x) {
    return _mm256_setr_m128i(_mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT),
                             _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
INLINE V16 v_from_bf16(H16 h) {
    __m256i a = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(h));
    __m256i b = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(h, 1));
    return V16_OF(_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(b, 16)));
}
INLINE I16 i_from_i8(B16 q) { return I16_OF(_mm256_cvtepi8_epi32(q), _mm256_cvtepi8_epi32(_mm_srli_si128(q, 8))); }
INLINE V16 v_from_i8(B16 q) {
    I16 wide = i_from_i8(q);
    return V16_OF(_mm256_cvtepi32_ps(wide.a), _mm256_cvtepi32_ps(wide.b));
}
INLINE V16 v_bits(I16 x) { return V16_OF(_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)); }
INLINE I16 i_bits(V16 x) { return I16_OF(_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)); }
INLINE V16 v_keep(V16 v, int64_t lo, int64_t hi, V16 other) {
    __m256i ma = _mm256_andnot_si256(v_mask_n(lo), v_mask_n(hi));
    __m256i mb = _mm256_andnot_si256(v_mask_n(lo - 8), v_mask_n(hi - 8));
    return V16_OF(_mm256_blendv_ps(other.a, v.a, _mm256_castsi256_ps(ma)),
                  _mm256_blendv_ps(other.b, v.b, _mm256_castsi256_ps(mb)));
}
INLINE float v_fold(V16 x) { return lanes16_fold_avx2(x.a, x.b); }
INLINE float v_hmax(V16 x) {
    __m256 y = _mm256_max_ps(x.a, x.b);
    __m128 z = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    z = _mm_max_ps(z, _mm_movehl_ps(z, z));
    return _mm_cvtss_f32(_mm_max_ss(z, _mm_movehdup_ps(z)));
}

INLINE I16 i_zero(void) { return I16_OF(_mm256_setzero_si256(), _mm256_setzero_si256()); }
INLINE I16 i_set1(int32_t x) { return I16_OF(_mm256_set1_epi32(x), _mm256_set1_epi32(x)); }
INLINE I16 i_load(const void *p) {
    return I16_OF(_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)p + 1));
}
INLINE void i_store(void *p, I16 v) {
    _mm256_storeu_si256((__m256i *)p, v.a), _mm256_storeu_si256((__m256i *)p + 1, v.b);
}
INLINE I16 i_add(I16 x, I16 y) { return I16_OF(_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)); }
INLINE I16 i_and(I16 x, I16 y) { return I16_OF(_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)); }
INLINE I16 i_xor(I16 x, I16 y) { return I16_OF(_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)); }
INLINE I16 i_shr4(I16 x) { return I16_OF(_mm256_srli_epi32(x.a, 4), _mm256_srli_epi32(x.b, 4)); }
INLINE I16 i_shl16(I16 x) { return I16_OF(_mm256_slli_epi32(x.a, 16), _mm256_slli_epi32(x.b, 16)); }
INLINE I16 i_round(V16 x) { return I16_OF(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)); }
INLINE I16 i_or(I16 x, I16 y) { return I16_OF(_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)); }
INLINE I16 i_shr16(I16 x) { return I16_OF(_mm256_srli_epi32(x.a, 16), _mm256_srli_epi32(x.b, 16)); }
INLINE I16 i_shr(I16 x, int n) {
    return I16_OF(_mm256_srl_epi32(x.a, _mm_cvtsi32_si128(n)), _mm256_srl_epi32(x.b, _mm_cvtsi32_si128(n)));
}
INLINE I16 i_shl(I16 x, int n) {
    return I16_OF(_mm256_sll_epi32(x.a, _mm_cvtsi32_si128(n)), _mm256_sll_epi32(x.b, _mm_cvtsi32_si128(n)));
}
INLINE I16 i_top8(I16 x) { return I16_OF(_mm256_srai_epi32(x.a, 24), _mm256_srai_epi32(x.b, 24)); }
INLINE I16 i_lookup(I16 q, B16 table) {
    __m256i t = _mm256_broadcastsi128_si256(table);
    return I16_OF(_mm256_shuffle_epi8(t, q.a), _mm256_shuffle_epi8(t, q.b));
}
INLINE I16 i_mul(I16 x, I16 y) { return I16_OF(_mm256_mullo_epi32(x.a, y.a), _mm256_mullo_epi32(x.b, y.b)); }
INLINE H16 i_low16(I16 x) {
    const __m256i low = _mm256_set1_epi32(0xffff);
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(_mm256_and_si256(x.a, low), _mm256_and_si256(x.b, low)), 0xd8);
}
INLINE I16 i_if_nan(V16 v, I16 yes, I16 no) {
    __m256i a = _mm256_castps_si256(_mm256_cmp_ps(v.a, v.a, _CMP_UNORD_Q));
    __m256i b = _mm256_castps_si256(_mm256_cmp_ps(v.b, v.b, _CMP_UNORD_Q));
    return I16_OF(_mm256_blendv_epi8(no.a, yes.a, a), _mm256_blendv_epi8(no.b, yes.b, b));
}
INLINE B16 i_to_i8(I16 x) { /* for values that fit */
    __m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8);
    return _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
}
INLINE int32_t i_hsum(I16 x) {
    __m256i y = _mm256_add_epi32(x.a, x.b);
    __m128i z = _mm_add_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
    z = _mm_add_epi32(z, _mm_shuffle_epi32(z, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(z, _mm_shuffle_epi32(z, 0xb1)));
}
INLINE I16 i_trunc(V16 x) { return I16_OF(_mm256_cvttps_epi32(x.a), _mm256_cvttps_epi32(x.b)); }
INLINE I16 i_swap_mid(I16 x) { return I16_OF(_mm256_shuffle_epi32(x.a, 0xd8), _mm256_shuffle_epi32(x.b, 0xd8)); }
INLINE I16 i_odd_i8(I16 x) { return I16_OF(_mm256_srai_epi16(x.a, 8), _mm256_srai_epi16(x.b, 8)); }
INLINE I16 i_even_i8(I16 x) { return i_odd_i8(I16_OF(_mm256_slli_epi16(x.a, 8), _mm256_slli_epi16(x.b, 8))); }
INLINE I16 i_dot2_i16(I16 acc, I16 x, I16 y) {
    return i_add(acc, I16_OF(_mm256_madd_epi16(x.a, y.a), _mm256_madd_epi16(x.b, y.b)));
}

INLINE __m256i ymm_dot4_u8(__m256i acc, __m256i w, __m256i x) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), _mm256_set1_epi16(1)));
}
INLINE I16 i_dot4_u7(I16 acc, I16 w, I16 x) {
    return I16_OF(ymm_dot4_u8(acc.a, w.a, x.a), ymm_dot4_u8(acc.b, w.b, x.b));
}
/* |w| * (x with the sign of w): a pair is at most 2*128*127, below the saturation of maddubs; x is never -128, so its
 * sign can be turned. */
INLINE __m256i ymm_dot4_i8(__m256i acc, __m256i w, __m256i x) {
    return ymm_dot4_u8(acc, _mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}
INLINE I16 i_dot4_i8(I16 acc, I16 w, I16 x) {
    return I16_OF(ymm_dot4_i8(acc.a, w.a, x.a), ymm_dot4_i8(acc.b, w.b, x.b));
}
INLINE I16 w8_form(I16 w) { return w; }
INLINE I16 w8_bias(int32_t sum) { return (void)sum, i_zero(); }

INLINE void ymm_transpose4(__m256i z[4]) { /* inside each 128-bit lane */
    __m256i a = _mm256_unpacklo_epi32(z[0], z[1]), b = _mm256_unpackhi_epi32(z[0], z[1]);
    __m256i c = _mm256_unpacklo_epi32(z[2], z[3]), d = _mm256_unpackhi_epi32(z[2], z[3]);
    z[0] = _mm256_unpacklo_epi64(a, c), z[1] = _mm256_unpackhi_epi64(a, c);
    z[2] = _mm256_unpacklo_epi64(b, d), z[3] = _mm256_unpackhi_epi64(b, d);
}

INLINE void ymm_transpose8(__m256i z[8]) {
    ymm_transpose4(z), ymm_transpose4(z + 4);
    UNROLL for (int i = 0; i < 4; i++) {
        __m256i p = z[i], q = z[i + 4];
        z[i] = _mm256_permute2x128_si256(p, q, 0x20);
        z[i + 4] = _mm256_permute2x128_si256(p, q, 0x31);
    }
}

INLINE I16 rows_load1(const char *const row[16], int64_t off) {
    return I16_OF(ymm_gather(row, off), ymm_gather(row + 8, off));
}

INLINE void rows_load4(const char *const row[16], int64_t off, I16 out[4]) {
    __m256i p[4], q[4];
    UNROLL for (int i = 0; i < 4; i++) {
        p[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(xmm_at(row[i] + off)), xmm_at(row[i + 4] + off), 1);
        q[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(xmm_at(row[i + 8] + off)), xmm_at(row[i + 12] + off), 1);
    }
    ymm_transpose4(p), ymm_transpose4(q);
    UNROLL for (int i = 0; i < 4; i++) out[i] = I16_OF(p[i], q[i]);
}

INLINE void rows_load8(const char *const row[16], int64_t off, I16 out[8]) {
    __m256i p[8], q[8];
    UNROLL for (int i = 0; i < 8; i++) p[i] = ymm_at(row[i] + off), q[i] = ymm_at(row[i + 8] + off);
    ymm_transpose8(p), ymm_transpose8(q);
    UNROLL for (int i = 0; i < 8; i++) out[i] = I16_OF(p[i], q[i]);
}

INLINE void rows_transpose16(I16 z[16]) {
    __m256i p[8], q[8], r[8], s[8];
    UNROLL for (int i = 0; i < 8; i++) p[i] = z[i].a, q[i] = z[i].b, r[i] = z[i + 8].a, s[i] = z[i + 8].b;
    ymm_transpose8(p), ymm_transpose8(q), ymm_transpose8(r), ymm_transpose8(s);
    UNROLL for (int i = 0; i < 8; i++) z[i] = I16_OF(p[i], r[i]), z[i + 8] = I16_OF(q[i], s[i]);
}

#elif defined __ARM_NEON
#include "backends/cpu/vec16_neon.h"
#endif

/* The low halves of all lanes, 32 bytes. */
INLINE void i_store16(void *p, I16 v) { h_store(p, i_low16(v)); }
/* |x|, infinity for NaN: v_max alone would drop a NaN. */
INLINE V16 v_magnitude(V16 x) { return v_bits(i_if_nan(x, i_set1(0x7f800000), i_bits(v_abs(x)))); }
/* tanh_f32 in every lane. */
INLINE V16 v_tanh(V16 x) {
    V16 e = v_exp(v_mul(v_set1(-2), v_abs(x))), one = v_set1(1);
    return v_xor(v_div(v_sub(one, e), v_add(one, e)), v_bits(i_and(i_bits(x), i_set1(INT32_MIN))));
}

#if !defined __AVX512BF16__
INLINE V16 v_dpbf16(V16 acc, I16 x, I16 w) {
    const I16 high = i_set1((int32_t)0xffff0000);
    acc = v_fma(v_bits(i_and(x, high)), v_bits(i_and(w, high)), acc);
    return v_fma(v_bits(i_shl16(x)), v_bits(i_shl16(w)), acc);
}
#endif

#endif
