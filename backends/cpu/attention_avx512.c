/* Attention over the cache, with AVX-512. */
#if defined __AVX512F__
#include "backends/cpu/attention.h"
#include "backends/cpu/tuned.h"

const Kernel avx512_attention_kv = {"avx512", attention_kv_units, attention_kv_run, attention_kv_scratch,
                                    attention_kv_copy};
const Kernel avx512_attention_strands = {"avx512", attention_strands_units, attention_strands_run, attention_kv_scratch,
                                         attention_strands_copy};
#endif
