/* Ops that go row by row, with AVX2. */
#if defined __AVX2__
#include "backends/cpu/rowwise.h"
#include "backends/cpu/tuned.h"

const Kernel avx2_cast = {"avx2", row_units, cast_run, NULL};
const Kernel avx2_embed = {"avx2", row_units, embed_run, NULL};
const Kernel avx2_experts_sum = {"avx2", row_units, experts_sum_run, NULL};
const Kernel avx2_rope = {"avx2", row_units, rope_run, NULL};
const Kernel avx2_kv_store = {"avx2", kv_store_units, kv_store_run, NULL};
#endif
