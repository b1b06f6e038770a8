/* Norms, with AVX2. */
#if defined __AVX2__
#include "backends/cpu/norms.h"
#include "backends/cpu/tuned.h"

const Kernel avx2_rms_norm = {"avx2", row_units, rms_norm_run, NULL};
const Kernel avx2_rms_norm_dx = {"avx2", row_units, rms_norm_dx_run, NULL};
const Kernel avx2_layer_norm = {"avx2", row_units, layer_norm_run, NULL};
const Kernel avx2_layer_norm_dx = {"avx2", row_units, layer_norm_dx_run, NULL};
const Kernel avx2_rms_norm_dw = {"avx2", column_units, rms_norm_dw_run, rms_dw_scratch};
const Kernel avx2_layer_norm_dw = {"avx2", column_units, layer_norm_dw_run, layer_dw_scratch};
#endif
