/* The roof of products with AVX-512. */
#if defined __AVX512F__
#include "backends/cpu/peak.h"

const PeakLoop avx512_peak[PEAK_COUNT] = {[PEAK_f32] = PEAK_F32, [PEAK_bf16] = PEAK_BF16, [PEAK_int8] = PEAK_INT8};
#endif
