/* Attention of training, with NEON. */
#if defined __ARM_NEON
#include "backends/cpu/attention_train.h"
#include "backends/cpu/tuned.h"

const Kernel neon_attention = {"neon", train_units, attention_run, attention_scratch};
const Kernel neon_attention_dqkv = {"neon", train_units, attention_dqkv_run, dqkv_scratch};
#endif
