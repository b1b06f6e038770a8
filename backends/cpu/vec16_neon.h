/* vec16.h for 64-bit Arm: its words in four registers of 128 bits, lanes 0..3, 4..7, 8..11, 12..15. */
#ifndef CPU_VEC16_NEON_H
#define CPU_VEC16_NEON_H

#include <arm_neon.h>

typedef struct V16 {
    float32x4_t a, b, c, d;
} V16;
typedef struct I16 {
    int32x4_t a, b, c, d;
} I16;
typedef struct H16 {
    uint16x8_t a, b;
} H16;
typedef int8x16_t B16;

/* The same done to all four. */
#define V_ALL1(f, x)    ((V16){f((x).a), f((x).b), f((x).c), f((x).d)})
#define V_ALL2(f, x, y) ((V16){f((x).a, (y).a), f((x).b, (y).b), f((x).c, (y).c), f((x).d, (y).d)})
#define I_ALL1(f, x)    ((I16){f((x).a), f((x).b), f((x).c), f((x).d)})
#define I_ALL2(f, x, y) ((I16){f((x).a, (y).a), f((x).b, (y).b), f((x).c, (y).c), f((x).d, (y).d)})
#define I_ALL3(f, x, y, z)                                                                                             \
    ((I16){f((x).a, (y).a, (z).a), f((x).b, (y).b, (z).b), f((x).c, (y).c, (z).c), f((x).d, (y).d, (z).d)})
#define I_WITH(f, x, y) ((I16){f((x).a, y), f((x).b, y), f((x).c, y), f((x).d, y)})

/* ---- bytes and halves ---- */

INLINE uint8x16_t q_u8(int8x16_t x) { return vreinterpretq_u8_s8(x); }
INLINE int8x16_t q_s8(int32x4_t x) { return vreinterpretq_s8_s32(x); }
INLINE uint32x4_t q_u32(int32x4_t x) { return vreinterpretq_u32_s32(x); }
INLINE int32x4_t q_s32(uint32x4_t x) { return vreinterpretq_s32_u32(x); }

INLINE B16 b_load(const void *p) { return vld1q_s8(p); }
INLINE void b_store(void *p, B16 b) { vst1q_s8(p, b); }
INLINE B16 b_set1(int8_t x) { return vdupq_n_s8(x); }
INLINE B16 b_or(B16 x, B16 y) { return vorrq_s8(x, y); }
INLINE B16 b_sub(B16 x, B16 y) { return vsubq_s8(x, y); }
INLINE B16 b_low4(B16 x) { return vandq_s8(x, vdupq_n_s8(15)); }
INLINE B16 b_high4(B16 x) { return vreinterpretq_s8_u8(vshrq_n_u8(q_u8(x), 4)); }
INLINE B16 b_lookup(B16 q, B16 table) { return vqtbl1q_s8(table, q_u8(q)); }
INLINE B16 b_where(uint16_t bits, B16 x) {
    uint8x8_t bit = vcreate_u8(0x8040201008040201u);
    uint8x8_t lo = vtst_u8(vdup_n_u8((uint8_t)bits), bit), hi = vtst_u8(vdup_n_u8((uint8_t)(bits >> 8)), bit);
    return vandq_s8(x, vreinterpretq_s8_u8(vcombine_u8(lo, hi)));
}
INLINE int32_t b_hsum(B16 x) { return vaddlvq_s8(x); }

INLINE H16 h_load(const void *p) { return (H16){vld1q_u16(p), vld1q_u16((const uint16_t *)p + 8)}; }
INLINE void h_store(void *p, H16 h) { vst1q_u16(p, h.a), vst1q_u16((uint16_t *)p + 8, h.b); }
INLINE H16 h_gather(const char *const row[16], int64_t off) {
    uint16_t h[16];
    UNROLL for (int r = 0; r < 16; r++) h[r] = u16_at(row[r] + off);
    return h_load(h);
}
INLINE float f16_at(const char *p) {
    __fp16 h;
    memcpy(&h, p, 2);
    return h;
}

/* FPCR.FZ. Arm calls a result subnormal by its size before rounding, x86 after: just below 2^-126 they differ. */
INLINE uint64_t mode_flush(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode)::"memory");
    __asm__ volatile("msr fpcr, %0" ::"r"(mode | UINT64_C(1) << 24) : "memory");
    return mode;
}
INLINE void mode_restore(uint64_t mode) { __asm__ volatile("msr fpcr, %0" ::"r"(mode) : "memory"); }

/* ---- floats ---- */

INLINE V16 v_set1(float f) { return (V16){vdupq_n_f32(f), vdupq_n_f32(f), vdupq_n_f32(f), vdupq_n_f32(f)}; }
INLINE V16 v_zero(void) { return v_set1(0); }
INLINE V16 v_load(const void *p) {
    const float *f = p;
    return (V16){vld1q_f32(f), vld1q_f32(f + 4), vld1q_f32(f + 8), vld1q_f32(f + 12)};
}
INLINE void v_store(void *p, V16 v) {
    float *f = p;
    vst1q_f32(f, v.a), vst1q_f32(f + 4, v.b), vst1q_f32(f + 8, v.c), vst1q_f32(f + 12, v.d);
}
INLINE float32x4_t q_load_n(const float *p, int64_t n) {
    if (n >= 4) return vld1q_f32(p);
    float32x4_t v = vdupq_n_f32(0);
    if (n > 0) v = vld1q_lane_f32(p, v, 0);
    if (n > 1) v = vld1q_lane_f32(p + 1, v, 1);
    if (n > 2) v = vld1q_lane_f32(p + 2, v, 2);
    return v;
}
INLINE void q_store_n(float *p, float32x4_t v, int64_t n) {
    if (n >= 4) {
        vst1q_f32(p, v);
        return;
    }
    if (n > 0) vst1q_lane_f32(p, v, 0);
    if (n > 1) vst1q_lane_f32(p + 1, v, 1);
    if (n > 2) vst1q_lane_f32(p + 2, v, 2);
}
INLINE V16 v_load_n(const void *p, int64_t n) {
    const float *f = p;
    return (V16){q_load_n(f, n), q_load_n(f + 4, n - 4), q_load_n(f + 8, n - 8), q_load_n(f + 12, n - 12)};
}
INLINE void v_store_n(void *p, V16 v, int64_t n) {
    float *f = p;
    q_store_n(f, v.a, n), q_store_n(f + 4, v.b, n - 4), q_store_n(f + 8, v.c, n - 8), q_store_n(f + 12, v.d, n - 12);
}
INLINE V16 v_add(V16 x, V16 y) { return V_ALL2(vaddq_f32, x, y); }
INLINE V16 v_sub(V16 x, V16 y) { return V_ALL2(vsubq_f32, x, y); }
INLINE V16 v_mul(V16 x, V16 y) { return V_ALL2(vmulq_f32, x, y); }
INLINE V16 v_div(V16 x, V16 y) { return V_ALL2(vdivq_f32, x, y); }
INLINE V16 v_sqrt(V16 x) { return V_ALL1(vsqrtq_f32, x); }
INLINE V16 v_max(V16 x, V16 y) { return V_ALL2(vmaxq_f32, x, y); }
INLINE V16 v_min(V16 x, V16 y) { return V_ALL2(vminq_f32, x, y); }
INLINE float32x4_t q_if_less(float32x4_t x, float32x4_t y, float32x4_t yes, float32x4_t no) {
    return vbslq_f32(vcltq_f32(x, y), yes, no);
}
INLINE V16 v_if_less(V16 x, V16 y, V16 yes, V16 no) {
    return (V16){q_if_less(x.a, y.a, yes.a, no.a), q_if_less(x.b, y.b, yes.b, no.b), q_if_less(x.c, y.c, yes.c, no.c),
                 q_if_less(x.d, y.d, yes.d, no.d)};
}
INLINE V16 v_fma(V16 x, V16 y, V16 z) {
    return (V16){vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c),
                 vfmaq_f32(z.d, x.d, y.d)};
}
INLINE V16 v_abs(V16 x) { return V_ALL1(vabsq_f32, x); }
INLINE V16 v_neg(V16 x) { return V_ALL1(vnegq_f32, x); }
INLINE V16 v_bits(I16 x) { return V_ALL1(vreinterpretq_f32_s32, x); }
INLINE I16 i_bits(V16 x) { return I_ALL1(vreinterpretq_s32_f32, x); }
INLINE V16 v_xor(V16 x, V16 y) { return v_bits(I_ALL2(veorq_s32, i_bits(x), i_bits(y))); }
INLINE V16 v_evens(V16 x) { return V_ALL2(vtrn1q_f32, x, x); }
INLINE V16 v_odds(V16 x) { return V_ALL2(vtrn2q_f32, x, x); }
INLINE V16 v_swap(V16 x) { return V_ALL1(vrev64q_f32, x); }
INLINE V16 v_fma_sub_add(V16 x, V16 y, V16 z) {
    float32x4_t sign = vreinterpretq_f32_u64(vdupq_n_u64(0x80000000)); /* of the even lanes */
    return v_fma(x, y, v_xor(z, (V16){sign, sign, sign, sign}));
}
INLINE void v_split(V16 x, V16 y, V16 *even, V16 *odd) {
    *even = (V16){vuzp1q_f32(x.a, x.b), vuzp1q_f32(x.c, x.d), vuzp1q_f32(y.a, y.b), vuzp1q_f32(y.c, y.d)};
    *odd = (V16){vuzp2q_f32(x.a, x.b), vuzp2q_f32(x.c, x.d), vuzp2q_f32(y.a, y.b), vuzp2q_f32(y.c, y.d)};
}
INLINE V16 v_exp(V16 x) { return V_ALL1(exp_f32_neon, x); }
INLINE V16 v_from_int(I16 x) { return V_ALL1(vcvtq_f32_s32, x); }
INLINE V16 v_from_f16(H16 h) {
    float16x8_t a = vreinterpretq_f16_u16(h.a), b = vreinterpretq_f16_u16(h.b);
    return (V16){vcvt_f32_f16(vget_low_f16(a)), vcvt_high_f32_f16(a), vcvt_f32_f16(vget_low_f16(b)),
                 vcvt_high_f32_f16(b)};
}
INLINE H16 v_to_f16(V16 x) {
    return (H16){vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(x.a), x.b)),
                 vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(x.c), x.d))};
}
INLINE I16 i_high16(H16 h) { /* in the upper halves of the lanes */
    return (I16){q_s32(vshll_n_u16(vget_low_u16(h.a), 16)), q_s32(vshll_high_n_u16(h.a, 16)),
                 q_s32(vshll_n_u16(vget_low_u16(h.b), 16)), q_s32(vshll_high_n_u16(h.b, 16))};
}
INLINE V16 v_from_bf16(H16 h) { return v_bits(i_high16(h)); }
INLINE I16 i_from_i8(B16 q) {
    int16x8_t a = vmovl_s8(vget_low_s8(q)), b = vmovl_high_s8(q);
    return (I16){vmovl_s16(vget_low_s16(a)), vmovl_high_s16(a), vmovl_s16(vget_low_s16(b)), vmovl_high_s16(b)};
}
INLINE V16 v_from_i8(B16 q) { return v_from_int(i_from_i8(q)); }
INLINE float32x4_t q_keep(float32x4_t v, int64_t lo, int64_t hi, float32x4_t other) {
    const int32x4_t lane = {0, 1, 2, 3};
    uint32x4_t from = vcgeq_s32(lane, vdupq_n_s32((int32_t)MAX(0, MIN(lo, 4))));
    uint32x4_t to = vcltq_s32(lane, vdupq_n_s32((int32_t)MAX(0, MIN(hi, 4))));
    return vbslq_f32(vandq_u32(from, to), v, other);
}
INLINE V16 v_keep(V16 v, int64_t lo, int64_t hi, V16 other) {
    return (V16){q_keep(v.a, lo, hi, other.a), q_keep(v.b, lo - 4, hi - 4, other.b),
                 q_keep(v.c, lo - 8, hi - 8, other.c), q_keep(v.d, lo - 12, hi - 12, other.d)};
}
INLINE float v_fold(V16 x) { return lanes16_fold_neon(x.a, x.b, x.c, x.d); }
INLINE float v_hmax(V16 x) { return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.a, x.b), vmaxq_f32(x.c, x.d))); }

/* ---- integers ---- */

INLINE I16 i_set1(int32_t x) { return (I16){vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x)}; }
INLINE I16 i_zero(void) { return i_set1(0); }
INLINE I16 i_load(const void *p) { /* bytes: the caller's elements may be of any size */
    const int8_t *b = p;
    return (I16){vreinterpretq_s32_s8(vld1q_s8(b)), vreinterpretq_s32_s8(vld1q_s8(b + 16)),
                 vreinterpretq_s32_s8(vld1q_s8(b + 32)), vreinterpretq_s32_s8(vld1q_s8(b + 48))};
}
INLINE void i_store(void *p, I16 v) {
    int8_t *b = p;
    vst1q_s8(b, q_s8(v.a)), vst1q_s8(b + 16, q_s8(v.b)), vst1q_s8(b + 32, q_s8(v.c)), vst1q_s8(b + 48, q_s8(v.d));
}
INLINE I16 i_add(I16 x, I16 y) { return I_ALL2(vaddq_s32, x, y); }
INLINE I16 i_and(I16 x, I16 y) { return I_ALL2(vandq_s32, x, y); }
INLINE I16 i_or(I16 x, I16 y) { return I_ALL2(vorrq_s32, x, y); }
INLINE I16 i_xor(I16 x, I16 y) { return I_ALL2(veorq_s32, x, y); }
INLINE I16 i_mul(I16 x, I16 y) { return I_ALL2(vmulq_s32, x, y); }
INLINE int32x4_t q_shr(int32x4_t x, int n) { return q_s32(vshlq_u32(q_u32(x), vdupq_n_s32(-n))); }
INLINE I16 i_shr(I16 x, int n) { return I_WITH(q_shr, x, n); }
INLINE I16 i_shr4(I16 x) { return i_shr(x, 4); }
INLINE I16 i_shr16(I16 x) { return i_shr(x, 16); }
INLINE I16 i_shl(I16 x, int n) { return I_WITH(vshlq_s32, x, vdupq_n_s32(n)); }
INLINE I16 i_shl16(I16 x) { return i_shl(x, 16); }
INLINE I16 i_top8(I16 x) { return I_WITH(vshrq_n_s32, x, 24); }
INLINE I16 i_round(V16 x) { return I_ALL1(vcvtnq_s32_f32, x); }
INLINE I16 i_trunc(V16 x) { return I_ALL1(vcvtq_s32_f32, x); }
INLINE int32x4_t q_swap_mid(int32x4_t x) { return vzip1q_s32(x, vextq_s32(x, x, 2)); }
INLINE I16 i_swap_mid(I16 x) { return I_ALL1(q_swap_mid, x); }
INLINE int16x8_t q_s16(int32x4_t x) { return vreinterpretq_s16_s32(x); }
INLINE int32x4_t q_odd_i8(int32x4_t x) { return vreinterpretq_s32_s16(vshrq_n_s16(q_s16(x), 8)); }
INLINE int32x4_t q_even_i8(int32x4_t x) { return q_odd_i8(vreinterpretq_s32_s16(vshlq_n_s16(q_s16(x), 8))); }
INLINE I16 i_odd_i8(I16 x) { return I_ALL1(q_odd_i8, x); }
INLINE I16 i_even_i8(I16 x) { return I_ALL1(q_even_i8, x); }
INLINE int32x4_t q_dot2(int32x4_t acc, int32x4_t x, int32x4_t y) {
    int32x4_t lo = vmull_s16(vget_low_s16(q_s16(x)), vget_low_s16(q_s16(y)));
    return vaddq_s32(acc, vpaddq_s32(lo, vmull_high_s16(q_s16(x), q_s16(y))));
}
INLINE I16 i_dot2_i16(I16 acc, I16 x, I16 y) { return I_ALL3(q_dot2, acc, x, y); }
INLINE int32x4_t q_lookup(int32x4_t q, B16 table) { return vreinterpretq_s32_s8(b_lookup(q_s8(q), table)); }
INLINE I16 i_lookup(I16 q, B16 table) { return I_WITH(q_lookup, q, table); }
INLINE H16 i_low16(I16 x) {
    return (H16){vuzp1q_u16(vreinterpretq_u16_s32(x.a), vreinterpretq_u16_s32(x.b)),
                 vuzp1q_u16(vreinterpretq_u16_s32(x.c), vreinterpretq_u16_s32(x.d))};
}
INLINE B16 i_to_i8(I16 x) {
    H16 h = i_low16(x);
    return vuzp1q_s8(vreinterpretq_s8_u16(h.a), vreinterpretq_s8_u16(h.b));
}
INLINE int32x4_t q_if_nan(float32x4_t v, int32x4_t yes, int32x4_t no) { return vbslq_s32(vceqq_f32(v, v), no, yes); }
INLINE I16 i_if_nan(V16 v, I16 yes, I16 no) { return I_ALL3(q_if_nan, v, yes, no); }
INLINE int32_t i_hsum(I16 x) { return vaddvq_s32(vaddq_s32(vaddq_s32(x.a, x.b), vaddq_s32(x.c, x.d))); }

/* By bytes: the four of float i are 4i..4i+3. */
INLINE float32x4_t q_pick(uint8x16x4_t table, int32x4_t at) {
    int32x4_t bytes = vaddq_s32(vmulq_n_s32(at, 0x04040404), vdupq_n_s32(0x03020100));
    return vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_s32(bytes)));
}
INLINE V16 v_pick(V16 t, I16 at) {
    const uint8x16x4_t table = {
        {vreinterpretq_u8_f32(t.a), vreinterpretq_u8_f32(t.b), vreinterpretq_u8_f32(t.c), vreinterpretq_u8_f32(t.d)}};
    return (V16){q_pick(table, at.a), q_pick(table, at.b), q_pick(table, at.c), q_pick(table, at.d)};
}

/* Signed bytes take any w, so both products are one. Without the instruction for it: two products of a byte -128..127
 * with one of -127..127 still fit 16 bits. */
INLINE int32x4_t q_dot4(int32x4_t acc, int32x4_t w, int32x4_t x) {
#if defined __ARM_FEATURE_DOTPROD
    return vdotq_s32(acc, q_s8(w), q_s8(x));
#else
    int16x8_t lo = vmull_s8(vget_low_s8(q_s8(w)), vget_low_s8(q_s8(x))), hi = vmull_high_s8(q_s8(w), q_s8(x));
    return vpadalq_s16(acc, vpaddq_s16(lo, hi));
#endif
}
INLINE I16 i_dot4_u7(I16 acc, I16 w, I16 x) { return I_ALL3(q_dot4, acc, w, x); }
INLINE I16 i_dot4_i8(I16 acc, I16 w, I16 x) { return i_dot4_u7(acc, w, x); }
INLINE I16 w8_form(I16 w) { return w; }
INLINE I16 w8_bias(int32_t sum) { return (void)sum, i_zero(); }

#if defined __ARM_FEATURE_MATMUL_INT8
/* 4 bytes of 16 rows in x, the next 4 in y: become 8 bytes of rows 0..7 in x, of rows 8..15 in y. */
INLINE void i_pair_rows(I16 *x, I16 *y) {
    I16 p = *x, q = *y;
    *x = (I16){vzip1q_s32(p.a, q.a), vzip2q_s32(p.a, q.a), vzip1q_s32(p.b, q.b), vzip2q_s32(p.b, q.b)};
    *y = (I16){vzip1q_s32(p.c, q.c), vzip2q_s32(p.c, q.c), vzip1q_s32(p.d, q.d), vzip2q_s32(p.d, q.d)};
}
INLINE B16 b_join8(const int8_t *lo, const int8_t *hi) { return vcombine_s8(vld1_s8(lo), vld1_s8(hi)); }
/* w: 8 bytes of 8 rows; x: 8 bytes of 2 tokens. Lanes 2r, 2r+1 of acc are row r with either. */
INLINE int32x4_t q_mmla(int32x4_t acc, int32x4_t w, B16 x) { return vmmlaq_s32(acc, q_s8(w), x); }
INLINE I16 i_mmla(I16 acc, I16 w, B16 x) {
    return (I16){q_mmla(acc.a, w.a, x), q_mmla(acc.b, w.b, x), q_mmla(acc.c, w.c, x), q_mmla(acc.d, w.d, x)};
}
INLINE I16 i_alternate(I16 x, I16 y) { return I_ALL2(vzip1q_s32, x, y); }
/* The even lanes of both, then the odd ones. */
INLINE void i_split(I16 x, I16 y, I16 *even, I16 *odd) {
    *odd = (I16){vuzp2q_s32(x.a, x.b), vuzp2q_s32(x.c, x.d), vuzp2q_s32(y.a, y.b), vuzp2q_s32(y.c, y.d)};
    *even = (I16){vuzp1q_s32(x.a, x.b), vuzp1q_s32(x.c, x.d), vuzp1q_s32(y.a, y.b), vuzp1q_s32(y.c, y.d)};
}
#endif

/* ---- rows ---- */

INLINE int32x4_t q_low64(int32x4_t x, int32x4_t y) {
    return vreinterpretq_s32_s64(vtrn1q_s64(vreinterpretq_s64_s32(x), vreinterpretq_s64_s32(y)));
}
INLINE int32x4_t q_high64(int32x4_t x, int32x4_t y) {
    return vreinterpretq_s32_s64(vtrn2q_s64(vreinterpretq_s64_s32(x), vreinterpretq_s64_s32(y)));
}
/* Lane r of column j is lane j of row r. */
INLINE I16 q_transpose4(int32x4_t r0, int32x4_t r1, int32x4_t r2, int32x4_t r3) {
    int32x4_t e = vtrn1q_s32(r0, r1), f = vtrn2q_s32(r0, r1), g = vtrn1q_s32(r2, r3), h = vtrn2q_s32(r2, r3);
    return (I16){q_low64(e, g), q_low64(f, h), q_high64(e, g), q_high64(f, h)};
}

INLINE I16 rows_load1(const char *const row[16], int64_t off) {
    int32_t x[16];
    UNROLL for (int r = 0; r < 16; r++) memcpy(&x[r], row[r] + off, 4);
    return i_load(x);
}

INLINE int32x4_t q_at(const char *p) { return vreinterpretq_s32_s8(b_load(p)); }

/* 16 bytes of rows r..r+3 as columns. */
INLINE I16 rows_quad(const char *const row[4], int64_t off) {
    return q_transpose4(q_at(row[0] + off), q_at(row[1] + off), q_at(row[2] + off), q_at(row[3] + off));
}
/* Column j of each of four such become one vector. */
INLINE void rows_join(I16 p, I16 q, I16 r, I16 s, I16 out[4]) {
    out[0] = (I16){p.a, q.a, r.a, s.a}, out[1] = (I16){p.b, q.b, r.b, s.b};
    out[2] = (I16){p.c, q.c, r.c, s.c}, out[3] = (I16){p.d, q.d, r.d, s.d};
}

INLINE void rows_load4(const char *const row[16], int64_t off, I16 out[4]) {
    rows_join(rows_quad(row, off), rows_quad(row + 4, off), rows_quad(row + 8, off), rows_quad(row + 12, off), out);
}

INLINE void rows_load8(const char *const row[16], int64_t off, I16 out[8]) {
    rows_load4(row, off, out), rows_load4(row, off + 16, out + 4);
}

INLINE void rows_transpose16(I16 z[16]) {
    I16 a[4], b[4], c[4], d[4]; /* columns 0..3 of rows 4i..4i+3, 4..7, 8..11, 12..15 */
    UNROLL for (int i = 0; i < 4; i++) {
        const I16 *r = z + 4 * i;
        a[i] = q_transpose4(r[0].a, r[1].a, r[2].a, r[3].a), b[i] = q_transpose4(r[0].b, r[1].b, r[2].b, r[3].b);
        c[i] = q_transpose4(r[0].c, r[1].c, r[2].c, r[3].c), d[i] = q_transpose4(r[0].d, r[1].d, r[2].d, r[3].d);
    }
    rows_join(a[0], a[1], a[2], a[3], z), rows_join(b[0], b[1], b[2], b[3], z + 4);
    rows_join(c[0], c[1], c[2], c[3], z + 8), rows_join(d[0], d[1], d[2], d[3], z + 12);
}

#endif
