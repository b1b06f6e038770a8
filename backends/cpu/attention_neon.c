/* Attention over the cache, with NEON. */
#if defined __ARM_NEON
#include "backends/cpu/attention.h"
#include "backends/cpu/tuned.h"

const Kernel neon_attention_kv = {"neon", attention_kv_units, attention_kv_run, attention_kv_scratch,
                                  attention_kv_copy};
const Kernel neon_attention_strands = {"neon", attention_strands_units, attention_strands_run, attention_kv_scratch,
                                       attention_strands_copy};
#endif
