/* Attention whose scores can be seen, with AVX-512. */
#if defined __AVX512F__
#include "backends/cpu/scores.h"
#include "backends/cpu/tuned.h"

const Kernel avx512_attn_scores = {"avx512", attn_scores_units, attn_scores_run, attn_scores_scratch};
const Kernel avx512_attn_probs = {"avx512", row_units, attn_probs_run, NULL};
const Kernel avx512_attn_probs_dx = {"avx512", row_units, attn_probs_dx_run, NULL};
const Kernel avx512_attn_mix = {"avx512", attn_mix_units, attn_mix_run, NULL};
const Kernel avx512_attn_mix_dv = {"avx512", attn_mix_dv_units, attn_mix_dv_run, NULL};
#endif
