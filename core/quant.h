/* The formats of quantised weights, core/quant_*.c, as the table in core/dtype.c takes them. */
#ifndef CORE_QUANT_H
#define CORE_QUANT_H

#include "core/dtype.h"

#define QUANT(name)                                                                                                    \
    void name##_part(const void *row, int64_t i, QuantPart *out);                                                      \
    void name##_encode(const float *src, void *dst, int64_t n);
QUANT(q8_0)
QUANT(q4_0)
QUANT(q4_1)
QUANT(q5_0)
QUANT(q5_1)
QUANT(q4_k)
QUANT(q5_k)
QUANT(q6_k)
QUANT(iq4_nl)
#undef QUANT

static inline float quant_inverse(float d) { return fabsf(d) >= 0x1p-120f && fabsf(d) <= FLT_MAX ? 1 / d : 0; }

#endif
