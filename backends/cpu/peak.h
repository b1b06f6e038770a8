/* The roof of products: loops that multiply and add in registers and do nothing else, in the words of the tuned
 * matmuls; body of peak_<isa>.c. More chains than an instruction takes cycles, so that none waits for its own result;
 * each begins differently, since equal ones would be computed once. */
#ifndef CPU_PEAK_H
#define CPU_PEAK_H

#include "backends/cpu/cpu.h"
#include "backends/cpu/vec16.h"

#if defined __AVX512F__
enum { CHAINS = 12 };
#else
enum { CHAINS = 4 }; /* of several registers each */
#endif

/* Factors are read anew in each round: known ones would be multiplied once. */
#define PEAK_LOOP(name, Sum, begin, step, save)                                                                        \
    static void name(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {                                         \
        const char *from = a->in[0].data;                                                                              \
        Sum sum[CHAINS];                                                                                               \
        (void)scratch;                                                                                                 \
        UNROLL for (int c = 0; c < CHAINS; c++) sum[c] = begin;                                                        \
        for (int64_t i = 0; i < (u1 - u0) * PEAK_ROUNDS; i++) {                                                        \
            __asm__ volatile("" ::: "memory");                                                                         \
            I16 x = i_load(from);                                                                                      \
            UNROLL for (int c = 0; c < CHAINS; c++) sum[c] = step;                                                     \
        }                                                                                                              \
        UNROLL for (int c = 0; c < CHAINS; c++) save((char *)a->out.data + u0 * PEAK_BYTES, sum[c]);                   \
    }

PEAK_LOOP(peak_bf16, V16, v_set1((float)c), v_dpbf16(sum[c], x, x), v_store)

/* Multiplications and additions of one round: lanes, products a lane, two each. */
#define PEAK_BF16                                                                                                      \
    { peak_bf16, CHAINS *LANES * 2 * 2 }

#if !defined __AVX512BF16__ /* that file has the one loop */
PEAK_LOOP(peak_f32, V16, v_set1((float)c), v_fma(v_bits(x), v_bits(x), sum[c]), v_store)
PEAK_LOOP(peak_int8, I16, i_set1(c), i_dot4_u7(sum[c], i_load(from + PEAK_BYTES * (c + 1)), x), i_store)

#define PEAK_F32                                                                                                       \
    { peak_f32, CHAINS *LANES * 2 }
#define PEAK_INT8                                                                                                      \
    { peak_int8, CHAINS *LANES * 4 * 2 }
#endif

#endif
