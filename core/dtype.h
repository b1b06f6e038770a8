/* Dtypes: size of a block, and the one scalar truth of what its bits mean. Tuned kernels are checked against these. */
#ifndef CORE_DTYPE_H
#define CORE_DTYPE_H

#include <float.h>
#include <math.h>

#include "core/base.h"

typedef enum Dtype {
#define DTYPE(name, block, bytes, gguf, tag, class) DT_##name,
#include "core/dtypes.def"
#undef DTYPE
    DT_COUNT
} Dtype;

typedef enum DtypeClass { DTC_FLOAT, DTC_QUANT, DTC_ACT, DTC_INT } DtypeClass;

/* 32 elements of a row of class QUANT as integers: element j is d[j / 16] * q[j], and + m[j / 16] where has_min says
 * so; that sum is rounded once, the product being exact. */
typedef struct QuantPart {
    int8_t q[32];
    float d[2], m[2];
    bool has_min;
    bool halves; /* each 16 have a scale of their own; else d[0] is d[1] and m[0] is m[1] */
} QuantPart;

typedef struct DtypeInfo {
    const char *name;
    int block, block_bytes;
    int gguf_type;      /* -1: GGUF has none */
    const char *st_tag; /* safetensors; NULL: has none */
    DtypeClass class;
    void (*decode)(const void *src, float *dst, int64_t n);   /* n a multiple of block; NULL for INT */
    void (*encode)(const float *src, void *dst, int64_t n);   /* round to nearest even where the target is a float;
                                                                 else quantize_rows */
    void (*part)(const void *row, int64_t i, QuantPart *out); /* elements 32*i.. of a row; NULL unless QUANT */
} DtypeInfo;

extern const DtypeInfo dtype_info[DT_COUNT];

/* Bytes of a row of n elements; n must be a multiple of the block. */
static inline int64_t dtype_row_bytes(Dtype t, int64_t n) {
    return n / dtype_info[t].block * dtype_info[t].block_bytes;
}
bool dtype_from_name(const char *name, Dtype *out);
bool dtype_from_gguf(uint32_t type, Dtype *out);
bool dtype_from_st(Str tag, Dtype *out);

/* Row by row into t (class FLOAT or QUANT): src [rows, n] to dst [rows, dtype_row_bytes(t, n)]; n a multiple of t's
 * block. importance [n], >= 0, says how much an error in each column costs; NULL: nothing is known. Rows do not depend
 * on each other: any split of them gives the same bytes, on any instruction set. Returns whether the values fit: of
 * QUANT none is NaN or larger than f16, in which scales are; then the bytes are as if it were 0 or the largest. */
typedef bool QuantizeRows(Dtype t, const float *src, int64_t rows, int64_t n, const float *importance, void *dst);
/* In plain C (core/encode.c). Backends have faster ones of the same bytes (backends/cpu/cpu.h). */
QuantizeRows quantize_rows;

/* Block layouts as they stand in files and buffers. */
typedef struct BlockQ8_0 {
    uint16_t d;
    int8_t q[32];
} BlockQ8_0;
typedef struct BlockQ4_0 { /* iq4_nl too */
    uint16_t d;
    uint8_t q[16];
} BlockQ4_0;
typedef struct BlockQ4_1 {
    uint16_t d, m;
    uint8_t q[16];
} BlockQ4_1;
typedef struct BlockQ5_0 {
    uint16_t d;
    uint8_t qh[4], q[16];
} BlockQ5_0;
typedef struct BlockQ5_1 {
    uint16_t d, m;
    uint8_t qh[4], q[16];
} BlockQ5_1;
typedef struct BlockQ2_K {
    uint8_t scales[16], q[64];
    uint16_t d, dmin;
} BlockQ2_K;
typedef struct BlockQ3_K {
    uint8_t qh[32], q[64], scales[12];
    uint16_t d;
} BlockQ3_K;
typedef struct BlockQ4_K {
    uint16_t d, dmin;
    uint8_t scales[12], q[128];
} BlockQ4_K;
typedef struct BlockQ5_K {
    uint16_t d, dmin;
    uint8_t scales[12], qh[32], q[128];
} BlockQ5_K;
typedef struct BlockQ6_K {
    uint8_t ql[128], qh[64];
    int8_t scales[16];
    uint16_t d;
} BlockQ6_K;
typedef struct BlockIQ4_XS {
    uint16_t d;
    uint8_t scales_h[2], scales_l[4], q[128];
} BlockIQ4_XS;
typedef struct BlockMXFP4 {
    uint8_t e, q[16];
} BlockMXFP4;
typedef struct BlockA8 {
    float d;
    int32_t sum;
    int8_t q[32];
} BlockA8;

/* What x is multiplied with to become a8's -127..127; 0 where a block holds nothing that can be represented: all too
 * small (127/amax would overflow), or an infinity or NaN, which the scale then carries on as NaN. */
static inline float a8_inverse(float amax) { return amax >= 0x1p-119f && amax <= FLT_MAX ? 127 / amax : 0; }
static inline float a8_scale(float amax) { return amax <= FLT_MAX ? amax / 127 : NAN; }
/* The same for integers in -32767..32767, which attention makes of queries and weights over q8_0 (core/ops.def). */
static inline float i16_inverse(float amax) { return amax >= 0x1p-110f && amax <= FLT_MAX ? 32767 / amax : 0; }
static inline float i16_scale(float amax) { return amax <= FLT_MAX ? amax / 32767 : NAN; }

float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f); /* round to nearest even, overflow to infinity, subnormals kept */
static inline float bf16_to_f32(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
uint16_t f32_to_bf16(float f); /* round to nearest even, NaN stays NaN */

#endif
