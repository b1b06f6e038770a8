/* Ops that go row by row, with NEON. */
#if defined __ARM_NEON
#include "backends/cpu/rowwise.h"
#include "backends/cpu/tuned.h"

const Kernel neon_cast = {"neon", row_units, cast_run, NULL};
const Kernel neon_embed = {"neon", row_units, embed_run, NULL};
const Kernel neon_experts_sum = {"neon", row_units, experts_sum_run, NULL};
const Kernel neon_rope = {"neon", row_units, rope_run, NULL};
const Kernel neon_kv_store = {"neon", kv_store_units, kv_store_run, NULL};
#endif
