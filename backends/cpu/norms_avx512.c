/* Norms, with AVX-512. */
#if defined __AVX512F__
#include "backends/cpu/norms.h"
#include "backends/cpu/tuned.h"

const Kernel avx512_rms_norm = {"avx512", row_units, rms_norm_run, NULL};
const Kernel avx512_rms_norm_dx = {"avx512", row_units, rms_norm_dx_run, NULL};
const Kernel avx512_layer_norm = {"avx512", row_units, layer_norm_run, NULL};
const Kernel avx512_layer_norm_dx = {"avx512", row_units, layer_norm_dx_run, NULL};
const Kernel avx512_rms_norm_dw = {"avx512", column_units, rms_norm_dw_run, rms_dw_scratch};
const Kernel avx512_layer_norm_dw = {"avx512", column_units, layer_norm_dw_run, layer_dw_scratch};
#endif
