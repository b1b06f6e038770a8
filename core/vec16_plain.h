/* The words of backends/cpu/vec16.h that core/encode.h uses, in plain C: sixteen lanes of 32 bits in an array. Each
 * does in every lane what the instruction of its name does there, so that both give the same bits. */
#ifndef CORE_VEC16_PLAIN_H
#define CORE_VEC16_PLAIN_H

#include "core/dtype.h"

#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL

enum { LANES = 16 };

typedef struct V16 {
    float f[16];
} V16;
typedef struct I16 {
    int32_t i[16];
} I16;
typedef struct H16 {
    uint16_t h[16];
} H16;
typedef struct B16 {
    int8_t b[16];
} B16;

#define EACH(type, member, value)                                                                                      \
    type out;                                                                                                          \
    for (int l = 0; l < LANES; l++) out.member[l] = value;                                                             \
    return out;

INLINE V16 v_set1(float x){EACH(V16, f, x)} INLINE V16 v_zero(void) { return v_set1(0); }
INLINE V16 v_load(const void *p) {
    V16 out;
    memcpy(&out, p, sizeof out);
    return out;
}
INLINE void v_store(void *p, V16 v) { memcpy(p, &v, sizeof v); }
INLINE V16 v_add(V16 a, V16 b){EACH(V16, f, a.f[l] + b.f[l])} INLINE V16
    v_sub(V16 a, V16 b){EACH(V16, f, a.f[l] - b.f[l])} INLINE V16
    v_mul(V16 a, V16 b){EACH(V16, f, a.f[l] * b.f[l])} INLINE V16
    v_div(V16 a, V16 b){EACH(V16, f, a.f[l] / b.f[l])} INLINE V16
    v_max(V16 a, V16 b){EACH(V16, f, a.f[l] > b.f[l] ? a.f[l] : b.f[l])} INLINE V16
    v_min(V16 a, V16 b){EACH(V16, f, a.f[l] < b.f[l] ? a.f[l] : b.f[l])} INLINE V16
    v_abs(V16 a){EACH(V16, f, fabsf(a.f[l]))} INLINE V16
    v_if_less(V16 a, V16 b, V16 yes, V16 no){EACH(V16, f, a.f[l] < b.f[l] ? yes.f[l] : no.f[l])} INLINE V16
    v_from_int(I16 a){EACH(V16, f, (float)a.i[l])} INLINE V16
    v_from_f16(H16 h){EACH(V16, f, f16_to_f32(h.h[l]))} INLINE H16
    v_to_f16(V16 a){EACH(H16, h, f32_to_f16(a.f[l]))} INLINE void h_store(void *p, H16 h) {
    memcpy(p, &h, sizeof h);
}
INLINE V16 v_pick(V16 table, I16 at){EACH(V16, f, table.f[at.i[l]])} INLINE float v_hmax(V16 v) {
    float most = v.f[0];
    for (int l = 1; l < LANES; l++) most = fmaxf(most, v.f[l]);
    return most;
}
/* To nearest, ties to even: at this size floats have no fraction left. For |a| < 2^22. */
INLINE I16 i_round(V16 a){EACH(I16, i, (int32_t)(a.f[l] + 0x1.8p23f - 0x1.8p23f))} INLINE I16
    i_trunc(V16 a){EACH(I16, i, (int32_t)a.f[l])} INLINE I16 i_bits(V16 a) {
    I16 out;
    memcpy(&out, &a, sizeof out);
    return out;
}
INLINE V16 v_bits(I16 a) { return v_load(&a); }
INLINE B16 i_to_i8(I16 a){EACH(B16, b, (int8_t)a.i[l])} INLINE void b_store(void *p, B16 b) { memcpy(p, &b, sizeof b); }
INLINE void rows_transpose16(I16 z[16]) {
    for (int r = 0; r < 16; r++)
        for (int l = 0; l < r; l++) {
            int32_t t = z[r].i[l];
            z[r].i[l] = z[l].i[r], z[l].i[r] = t;
        }
}

#undef EACH

#endif
