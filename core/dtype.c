#include "core/dtype.h"

#include <math.h>

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

static void f16_decode(const void *src, float *dst, int64_t n) {
    for (int64_t i = 0; i < n; i++) dst[i] = f16_to_f32(((const uint16_t *)src)[i]);
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

static void q8_0_decode(const void *src, float *dst, int64_t n) {
    const BlockQ8_0 *b = src;
    for (int64_t i = 0; i < n / 32; i++)
        for (int j = 0; j < 32; j++) dst[32 * i + j] = f16_to_f32(b[i].d) * b[i].q[j];
}
static void q8_0_encode(const float *src, void *dst, int64_t n) {
    BlockQ8_0 *b = dst;
    for (int64_t i = 0; i < n / 32; i++, src += 32) {
        float amax = 0;
        for (int j = 0; j < 32; j++) amax = fmaxf(amax, fabsf(src[j]));
        float d = amax / 127, inv = d != 0 ? 1 / d : 0;
        b[i].d = f32_to_f16(d);
        for (int j = 0; j < 32; j++) b[i].q[j] = (int8_t)roundf(src[j] * inv);
    }
}

static void q4_1_decode(const void *src, float *dst, int64_t n) {
    const BlockQ4_1 *b = src;
    for (int64_t i = 0; i < n / 32; i++) {
        float d = f16_to_f32(b[i].d), m = f16_to_f32(b[i].m);
        for (int j = 0; j < 16; j++) {
            dst[32 * i + j] = (float)(b[i].q[j] & 15) * d + m;
            dst[32 * i + j + 16] = (float)(b[i].q[j] >> 4) * d + m;
        }
    }
}
static void q4_1_encode(const float *src, void *dst, int64_t n) {
    BlockQ4_1 *b = dst;
    for (int64_t i = 0; i < n / 32; i++, src += 32) {
        float lo = src[0], hi = src[0];
        for (int j = 1; j < 32; j++) lo = fminf(lo, src[j]), hi = fmaxf(hi, src[j]);
        float d = (hi - lo) / 15, inv = d != 0 ? 1 / d : 0;
        b[i].d = f32_to_f16(d), b[i].m = f32_to_f16(lo);
        for (int j = 0; j < 16; j++) {
            int a = (int)((src[j] - lo) * inv + 0.5f), c = (int)((src[j + 16] - lo) * inv + 0.5f);
            b[i].q[j] = (uint8_t)(MIN(a, 15) | MIN(c, 15) << 4);
        }
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

/* Integers hold ids and masks, never reals. */
#define i32_decode NULL
#define i32_encode NULL
#define i64_decode NULL
#define i64_encode NULL
#define u8_decode  NULL
#define u8_encode  NULL

const DtypeInfo dtype_info[DT_COUNT] = {
#define DTYPE(name, block, bytes, gguf, tag, class)                                                                    \
    [DT_##name] = {#name, block, bytes, gguf, tag, DTC_##class, name##_decode, name##_encode},
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
