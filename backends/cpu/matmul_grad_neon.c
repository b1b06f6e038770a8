/* Products of gradients, with NEON. */
#if defined __ARM_NEON
#include "backends/cpu/experts_grad.h"
#include "backends/cpu/tuned.h"

const Kernel neon_matmul_dx_f32 = {"neon", dx_units, matmul_dx_f32_run, matmul_f32_scratch};
const Kernel neon_matmul_dw_f32 = {"neon", dw_units, matmul_dw_f32_run, dw_scratch};
const Kernel neon_matmul_dx_bf16 = {"neon", dx_units, matmul_dx_bf16_run, matmul_bf16_scratch};
const Kernel neon_matmul_dw_bf16 = {"neon", dw_units, matmul_dw_bf16_run, dw_scratch};
const Kernel neon_experts_dx_f32 = {"neon", experts_dx_units, experts_dx_f32_run, experts_dx_scratch};
const Kernel neon_experts_dw_f32 = {"neon", experts_dw_units, experts_dw_f32_run, experts_dw_scratch};
const Kernel neon_experts_dx_bf16 = {"neon", experts_dx_units, experts_dx_bf16_run, experts_dx_scratch};
const Kernel neon_experts_dw_bf16 = {"neon", experts_dw_units, experts_dw_bf16_run, experts_dw_scratch};
#endif
