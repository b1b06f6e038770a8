/* matmul with NEON. */
#if defined __ARM_NEON
#include "backends/cpu/matmul_a8.h"
#include "backends/cpu/matmul_bf16.h"
#include "backends/cpu/matmul_f32.h"
#include "backends/cpu/tuned.h"

const Kernel neon_matmul_f32 = {"neon", mm_units, matmul_f32_run, matmul_f32_scratch, mm_copy, true};
const Kernel neon_matmul_bf16 = {"neon", mm_units, matmul_bf16_run, matmul_bf16_scratch, mm_copy, true};
const Kernel neon_matmul_a8 = {"neon", mm_units, matmul_a8_run, matmul_a8_scratch, mm_copy, true};
#endif
