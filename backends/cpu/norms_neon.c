/* Norms, with NEON. */
#if defined __ARM_NEON
#include "backends/cpu/norms.h"
#include "backends/cpu/tuned.h"

const Kernel neon_rms_norm = {"neon", row_units, rms_norm_run, NULL};
const Kernel neon_rms_norm_dx = {"neon", row_units, rms_norm_dx_run, NULL};
const Kernel neon_layer_norm = {"neon", row_units, layer_norm_run, NULL};
const Kernel neon_layer_norm_dx = {"neon", row_units, layer_norm_dx_run, NULL};
const Kernel neon_rms_norm_dw = {"neon", column_units, rms_norm_dw_run, rms_dw_scratch};
const Kernel neon_layer_norm_dw = {"neon", column_units, layer_norm_dw_run, layer_dw_scratch};
#endif
