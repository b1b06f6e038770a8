/* Elementwise ops, with AVX-512. */
#if defined __AVX512F__
#include "backends/cpu/elementwise.h"
#include "backends/cpu/tuned.h"

const Kernel avx512_add = {"avx512", row_units, add_run, NULL};
const Kernel avx512_mul = {"avx512", row_units, mul_run, NULL};
const Kernel avx512_scale = {"avx512", row_units, scale_run, NULL};
const Kernel avx512_bias = {"avx512", row_units, bias_run, NULL};
const Kernel avx512_silu = {"avx512", row_units, silu_run, NULL};
const Kernel avx512_silu_dx = {"avx512", row_units, silu_dx_run, NULL};
const Kernel avx512_gelu = {"avx512", row_units, gelu_run, NULL};
const Kernel avx512_gelu_dx = {"avx512", row_units, gelu_dx_run, NULL};
const Kernel avx512_gated = {"avx512", row_units, gated_run, NULL};
const Kernel avx512_softcap = {"avx512", row_units, softcap_run, NULL};
const Kernel avx512_softcap_dx = {"avx512", row_units, softcap_dx_run, NULL};
const Kernel avx512_bias_db = {"avx512", bias_db_units, bias_db_run, NULL};
#endif
