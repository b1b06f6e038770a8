/* Ops that go row by row, with AVX-512. */
#if defined __AVX512F__
#include "backends/cpu/rowwise.h"
#include "backends/cpu/tuned.h"

const Kernel avx512_cast = {"avx512", row_units, cast_run, NULL};
const Kernel avx512_embed = {"avx512", row_units, embed_run, NULL};
const Kernel avx512_experts_sum = {"avx512", row_units, experts_sum_run, NULL};
const Kernel avx512_rope = {"avx512", row_units, rope_run, NULL};
const Kernel avx512_kv_store = {"avx512", kv_store_units, kv_store_run, NULL};
#endif
