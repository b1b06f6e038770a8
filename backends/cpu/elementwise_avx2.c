/* Elementwise ops, with AVX2. */
#if defined __AVX2__
#include "backends/cpu/elementwise.h"
#include "backends/cpu/tuned.h"

const Kernel avx2_add = {"avx2", row_units, add_run, NULL};
const Kernel avx2_mul = {"avx2", row_units, mul_run, NULL};
const Kernel avx2_scale = {"avx2", row_units, scale_run, NULL};
const Kernel avx2_bias = {"avx2", row_units, bias_run, NULL};
const Kernel avx2_silu = {"avx2", row_units, silu_run, NULL};
const Kernel avx2_silu_dx = {"avx2", row_units, silu_dx_run, NULL};
const Kernel avx2_gelu = {"avx2", row_units, gelu_run, NULL};
const Kernel avx2_gelu_dx = {"avx2", row_units, gelu_dx_run, NULL};
const Kernel avx2_gated = {"avx2", row_units, gated_run, NULL};
const Kernel avx2_softcap = {"avx2", row_units, softcap_run, NULL};
const Kernel avx2_softcap_dx = {"avx2", row_units, softcap_dx_run, NULL};
const Kernel avx2_bias_db = {"avx2", bias_db_units, bias_db_run, NULL};
#endif
