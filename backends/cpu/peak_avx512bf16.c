/* The roof of products of bf16 with the instruction made for them. */
#if defined __AVX512BF16__
#include "backends/cpu/peak.h"

const PeakLoop avx512bf16_peak = PEAK_BF16;
#endif
