/* matmul with AVX2, FMA and F16C. */
#if defined __AVX2__
#include "backends/cpu/matmul_a8.h"
#include "backends/cpu/matmul_bf16.h"
#include "backends/cpu/matmul_f32.h"
#include "backends/cpu/tuned.h"

const Kernel avx2_matmul_f32 = {"avx2", mm_units, matmul_f32_run, matmul_f32_scratch, mm_copy, true};
const Kernel avx2_matmul_bf16 = {"avx2", mm_units, matmul_bf16_run, matmul_bf16_scratch, mm_copy, true};
const Kernel avx2_matmul_a8 = {"avx2", mm_units, matmul_a8_run, matmul_a8_scratch, mm_copy, true};
#endif
