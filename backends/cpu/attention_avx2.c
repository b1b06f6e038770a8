/* Attention over the cache, with AVX2. */
#if defined __AVX2__
#include "backends/cpu/attention.h"
#include "backends/cpu/tuned.h"

const Kernel avx2_attention_kv = {"avx2", attention_kv_units, attention_kv_run, attention_kv_scratch,
                                  attention_kv_copy};
const Kernel avx2_attention_strands = {"avx2", attention_strands_units, attention_strands_run, attention_kv_scratch,
                                       attention_strands_copy};
#endif
