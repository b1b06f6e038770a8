/* Ops that go row by row, with NEON. */
#if defined __ARM_NEON
#include "backends/cpu/rowwise.h"
#include "backends/cpu/tuned.h"

const Kernel neon_cast_a8 = {"neon", row_units, cast_a8_run, NULL};
const Kernel neon_cast_bf16 = {"neon", row_units, cast_bf16_run, NULL};
const Kernel neon_embed = {"neon", row_units, embed_run, NULL};
const Kernel neon_experts_sum = {"neon", row_units, experts_sum_run, NULL};
const Kernel neon_rope = {"neon", row_units, rope_run, NULL};
const Kernel neon_kv_store = {"neon", kv_store_units, kv_store_run, NULL};
#endif
