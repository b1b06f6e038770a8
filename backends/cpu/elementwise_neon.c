/* Elementwise ops, with NEON. */
#if defined __ARM_NEON
#include "backends/cpu/elementwise.h"
#include "backends/cpu/tuned.h"

const Kernel neon_add = {"neon", row_units, add_run, NULL};
const Kernel neon_mul = {"neon", row_units, mul_run, NULL};
const Kernel neon_scale = {"neon", row_units, scale_run, NULL};
const Kernel neon_bias = {"neon", row_units, bias_run, NULL};
const Kernel neon_silu = {"neon", row_units, silu_run, NULL};
const Kernel neon_silu_dx = {"neon", row_units, silu_dx_run, NULL};
const Kernel neon_gelu = {"neon", row_units, gelu_run, NULL};
const Kernel neon_gelu_dx = {"neon", row_units, gelu_dx_run, NULL};
const Kernel neon_gated = {"neon", row_units, gated_run, NULL};
const Kernel neon_softcap = {"neon", row_units, softcap_run, NULL};
const Kernel neon_softcap_dx = {"neon", row_units, softcap_dx_run, NULL};
const Kernel neon_bias_db = {"neon", bias_db_units, bias_db_run, NULL};
#endif
