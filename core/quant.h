/* The formats of quantised weights, core/quant_*.c, as the table in core/dtype.c takes them. */
#ifndef CORE_QUANT_H
#define CORE_QUANT_H

#include "core/dtype.h"

static inline float quant_inverse(float d) { return fabsf(d) >= 0x1p-120f && fabsf(d) <= FLT_MAX ? 1 / d : 0; }

/* The scales of a block as stored: f16, and the integers of its parts. */
typedef struct QuantScales {
    uint16_t d, m;
    uint8_t scale[16], min[16];
} QuantScales;

/* part: see DtypeInfo. pack: one block of the integers q [block], as they are stored. */
#define QUANT(name)                                                                                                    \
    void name##_part(const void *row, int64_t i, QuantPart *out);                                                      \
    void name##_pack(const QuantScales *s, const uint8_t *q, void *block);
QUANT(q8_0)
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
#undef QUANT

/* The values that the 16 integers of iq4_nl and iq4_xs stand for, closer to each other around 0 (llama.cpp's table). */
#define UNEVEN    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
/* Twice the floats of 4 bits of mxfp4 (Open Compute Project, microscaling formats, 2023). */
#define FP4_TWICE 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12

#endif
