/* The roof of products with AVX2. */
#if defined __AVX2__
#include "backends/cpu/peak.h"

const PeakLoop avx2_peak[PEAK_COUNT] = {[PEAK_f32] = PEAK_F32, [PEAK_bf16] = PEAK_BF16, [PEAK_int8] = PEAK_INT8};
#endif
