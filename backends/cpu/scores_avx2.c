/* Attention whose scores can be seen, with AVX2. */
#if defined __AVX2__
#include "backends/cpu/scores.h"
#include "backends/cpu/tuned.h"

const Kernel avx2_attn_scores = {"avx2", attn_scores_units, attn_scores_run, attn_scores_scratch};
const Kernel avx2_attn_probs = {"avx2", row_units, attn_probs_run, NULL};
const Kernel avx2_attn_probs_dx = {"avx2", row_units, attn_probs_dx_run, NULL};
const Kernel avx2_attn_mix = {"avx2", attn_mix_units, attn_mix_run, NULL};
const Kernel avx2_attn_mix_dv = {"avx2", attn_mix_dv_units, attn_mix_dv_run, NULL};
#endif
