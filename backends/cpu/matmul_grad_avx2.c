/* Products of gradients, with AVX2 and FMA. */
#if defined __AVX2__
#include "backends/cpu/experts_grad.h"
#include "backends/cpu/tuned.h"

const Kernel avx2_matmul_dx_f32 = {"avx2", dx_units, matmul_dx_f32_run, matmul_f32_scratch};
const Kernel avx2_matmul_dw_f32 = {"avx2", dw_units, matmul_dw_f32_run, dw_scratch};
const Kernel avx2_matmul_dx_bf16 = {"avx2", dx_units, matmul_dx_bf16_run, matmul_bf16_scratch};
const Kernel avx2_matmul_dw_bf16 = {"avx2", dw_units, matmul_dw_bf16_run, dw_scratch};
const Kernel avx2_experts_dx_f32 = {"avx2", experts_dx_units, experts_dx_f32_run, experts_dx_scratch};
const Kernel avx2_experts_dw_f32 = {"avx2", experts_dw_units, experts_dw_f32_run, experts_dw_scratch};
const Kernel avx2_experts_dx_bf16 = {"avx2", experts_dx_units, experts_dx_bf16_run, experts_dx_scratch};
const Kernel avx2_experts_dw_bf16 = {"avx2", experts_dw_units, experts_dw_bf16_run, experts_dw_scratch};
#endif
