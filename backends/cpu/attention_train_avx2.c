/* Attention of training, with AVX2 and FMA. */
#if defined __AVX2__
#include "backends/cpu/attention_train.h"
#include "backends/cpu/tuned.h"

const Kernel avx2_attention = {"avx2", train_units, attention_run, attention_scratch};
const Kernel avx2_attention_dqkv = {"avx2", train_units, attention_dqkv_run, dqkv_scratch};
#endif
