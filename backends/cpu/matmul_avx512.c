/* matmul with AVX-512 F, BW, DQ, VL and VNNI. */
#if defined __AVX512F__
#include "backends/cpu/matmul_a8.h"
#include "backends/cpu/matmul_bf16.h"
#include "backends/cpu/matmul_f32.h"
#include "backends/cpu/tuned.h"

const Kernel avx512_matmul_f32 = {"avx512", mm_units, matmul_f32_run, matmul_f32_scratch, mm_copy, true};
const Kernel avx512_matmul_bf16 = {"avx512", mm_units, matmul_bf16_run, matmul_bf16_scratch, mm_copy, true};
const Kernel avx512_matmul_a8 = {"avx512", mm_units, matmul_a8_run, matmul_a8_scratch, mm_copy, true};
#endif
