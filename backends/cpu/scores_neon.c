/* Attention whose scores can be seen, with NEON. */
#if defined __ARM_NEON
#include "backends/cpu/scores.h"
#include "backends/cpu/tuned.h"

const Kernel neon_attn_scores = {"neon", attn_scores_units, attn_scores_run, attn_scores_scratch};
const Kernel neon_attn_probs = {"neon", row_units, attn_probs_run, NULL};
const Kernel neon_attn_probs_dx = {"neon", row_units, attn_probs_dx_run, NULL};
const Kernel neon_attn_mix = {"neon", attn_mix_units, attn_mix_run, NULL};
const Kernel neon_attn_mix_dv = {"neon", attn_mix_dv_units, attn_mix_dv_run, NULL};
#endif
