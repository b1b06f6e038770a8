/* Attention of training, with AVX-512. */
#if defined __AVX512F__
#include "backends/cpu/attention_train.h"
#include "backends/cpu/tuned.h"

const Kernel avx512_attention = {"avx512", train_units, attention_run, attention_scratch};
const Kernel avx512_attention_dqkv = {"avx512", train_units, attention_dqkv_run, dqkv_scratch};
#endif
