#include "core/quant.h"

/* ---- 16-bit floats ---- */

float f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 0x1f, man = h & 0x3ff, u;
    float f;
    if (exp == 0) { /* zero or subnormal: man * 2^-24 is exact in f32 */
        f = (float)man * 0x1p-24f;
        return sign ? -f : f;
    }
    u = exp == 31 ? sign | 0x7f800000 | man << 13 : sign | (exp + 112) << 23 | man << 13;
    memcpy(&f, &u, 4);
    return f;
}

uint16_t f32_to_f16(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    uint32_t sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    if (a > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff)); /* NaN, made quiet */
    if (a >= 0x477ff000) return (uint16_t)(sign | 0x7c00);                    /* rounds to 65536 or more: infinity */
    if (a < 0x38800000) { /* below 2^-14: subnormal; the f32 adder rounds for us */
        float m, magic = 0x1p-1f;
        memcpy(&m, &a, 4);
        m += magic; /* ulp of 0.5 is 2^-24, the step of f16 subnormals */
        uint32_t r;
        memcpy(&r, &m, 4);
        return (uint16_t)(sign | (r - 0x3f000000));
    }
    a += 0xfff + (a >> 13 & 1); /* to nearest, ties to even */
    return (uint16_t)(sign | (a - 0x38000000) >> 13);
}

uint16_t f32_to_bf16(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* ---- decode and encode, one row at a time ---- */

static void f32_decode(const void *src, float *dst, int64_t n) { memcpy(dst, src, (size_t)n * 4); }
static void f32_encode(const float *src, void *dst, int64_t n) { memcpy(dst, src, (size_t)n * 4); }

/* As f16_to_f32, without a branch: the bits of h, scaled by the difference of the two formats' exponents. */
static inline float f16_widened(uint16_t h) {
    uint32_t a = (uint32_t)(h & 0x7fff) << 13, u;
    float f;
    memcpy(&f, &a, 4);
    f *= 0x1p112f; /* exact, of subnormals too */
    memcpy(&u, &f, 4);
    u |= (uint32_t)(h & 0x8000) << 16 | (a >= 0x0f800000 ? 0x7f800000 : 0); /* infinities and NaNs stay */
    memcpy(&f, &u, 4);
    return f;
}
static void f16_decode(const void *src, float *dst, int64_t n) {
    enum { LANES = 16 }; /* a fixed count is what a compiler makes vectors of */
    const uint16_t *h = src;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) dst[i + j] = f16_widened(h[i + j]);
    for (; i < n; i++) dst[i] = f16_widened(h[i]);
}
static void f16_encode(const float *src, void *dst, int64_t n) {
    for (int64_t i = 0; i < n; i++) ((uint16_t *)dst)[i] = f32_to_f16(src[i]);
}

static void bf16_decode(const void *src, float *dst, int64_t n) {
    for (int64_t i = 0; i < n; i++) dst[i] = bf16_to_f32(((const uint16_t *)src)[i]);
}
static void bf16_encode(const float *src, void *dst, int64_t n) {
    for (int64_t i = 0; i < n; i++) ((uint16_t *)dst)[i] = f32_to_bf16(src[i]);
}

static void quant_decode(Dtype t, const void *src, float *dst, int64_t n) {
    QuantPart p;
    for (int64_t i = 0; i < n / 32; i++, dst += 32) {
        dtype_info[t].part(src, i, &p);
        for (int j = 0; j < 32; j++) dst[j] = p.d[j / 16] * p.q[j];
        for (int j = 0; j < 32 && p.has_min; j++) dst[j] += p.m[j / 16];
    }
}
#define QUANT(name)                                                                                                    \
    static void name##_decode(const void *src, float *dst, int64_t n) { quant_decode(DT_##name, src, dst, n); }        \
    static void name##_encode(const float *src, void *dst, int64_t n) {                                                \
        quantize_rows(DT_##name, src, 1, n, NULL, dst);                                                                \
    }
QUANT(q4_0)
QUANT(q4_1)
QUANT(q5_0)
QUANT(q5_1)
QUANT(q2_k)
QUANT(q3_k)
QUANT(q4_k)
QUANT(q5_k)
QUANT(q6_k)
QUANT(iq4_nl)
QUANT(iq4_xs)
QUANT(mxfp4)

/* Of the cache, so that of any values: an infinity or NaN makes its block NaN. Else as quantize_rows. */
static void q8_0_decode(const void *src, float *dst, int64_t n) { quant_decode(DT_q8_0, src, dst, n); }
static void q8_0_encode(const float *src, void *dst, int64_t n) {
    BlockQ8_0 *b = dst;
    for (int64_t i = 0; i < n / 32; i++, src += 32) {
        float amax = 0;
        for (int j = 0; j < 32; j++) amax = fmaxf(amax, isnan(src[j]) ? INFINITY : fabsf(src[j]));
        float d = amax / 127, inv = quant_inverse(d);
        b[i].d = f32_to_f16(d);
        for (int j = 0; j < 32; j++) b[i].q[j] = inv > 0 ? (int8_t)roundf(src[j] * inv) : 0;
    }
}

/* a8: round half to even, so that every ISA's conversion instruction agrees with nearbyintf. */
static void a8_decode(const void *src, float *dst, int64_t n) {
    const BlockA8 *b = src;
    for (int64_t i = 0; i < n / 32; i++)
        for (int j = 0; j < 32; j++) dst[32 * i + j] = b[i].d * b[i].q[j];
}
static void a8_encode(const float *src, void *dst, int64_t n) {
    BlockA8 *b = dst;
    for (int64_t i = 0; i < n / 32; i++, src += 32) {
        float amax = 0;
        for (int j = 0; j < 32; j++) amax = fmaxf(amax, isnan(src[j]) ? INFINITY : fabsf(src[j]));
        float inv = a8_inverse(amax);
        b[i].d = a8_scale(amax);
        b[i].sum = 0;
        for (int j = 0; j < 32; j++) b[i].sum += b[i].q[j] = inv > 0 ? (int8_t)nearbyintf(src[j] * inv) : 0;
    }
}

/* Integers hold ids and masks, never reals; only QUANT comes in parts. */
#define i32_decode NULL
#define i32_encode NULL
#define i64_decode NULL
#define i64_encode NULL
#define u8_decode  NULL
#define u8_encode  NULL
#define f32_part   NULL
#define f16_part   NULL
#define bf16_part  NULL
#define a8_part    NULL
#define i32_part   NULL
#define i64_part   NULL
#define u8_part    NULL

const DtypeInfo dtype_info[DT_COUNT] = {
#define DTYPE(name, block, bytes, gguf, tag, class)                                                                    \
    [DT_##name] = {#name, block, bytes, gguf, tag, DTC_##class, name##_decode, name##_encode, name##_part},
#include "core/dtypes.def"
#undef DTYPE
};

bool dtype_from_name(const char *name, Dtype *out) {
    for (*out = 0; *out < DT_COUNT; (*out)++)
        if (strcmp(dtype_info[*out].name, name) == 0) return true;
    return false;
}

bool dtype_from_gguf(uint32_t type, Dtype *out) {
    for (*out = 0; *out < DT_COUNT; (*out)++)
        if (dtype_info[*out].gguf_type >= 0 && (uint32_t)dtype_info[*out].gguf_type == type) return true;
    return false;
}

bool dtype_from_st(Str tag, Dtype *out) {
    for (*out = 0; *out < DT_COUNT; (*out)++)
        if (dtype_info[*out].st_tag && str_is(tag, dtype_info[*out].st_tag)) return true;
    return false;
}
