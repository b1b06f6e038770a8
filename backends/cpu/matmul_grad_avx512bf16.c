/* Products of gradients, with the bf16 instruction. */
#if defined __AVX512BF16__
#include "backends/cpu/experts_grad.h"
#include "backends/cpu/tuned.h"

const Kernel avx512bf16_matmul_dx_bf16 = {"avx512bf16", dx_units, matmul_dx_bf16_run, matmul_bf16_scratch};
const Kernel avx512bf16_matmul_dw_bf16 = {"avx512bf16", dw_units, matmul_dw_bf16_run, dw_scratch};
const Kernel avx512bf16_experts_dx_bf16 = {"avx512bf16", experts_dx_units, experts_dx_bf16_run, experts_dx_scratch};
const Kernel avx512bf16_experts_dw_bf16 = {"avx512bf16", experts_dw_units, experts_dw_bf16_run, experts_dw_scratch};
#endif
