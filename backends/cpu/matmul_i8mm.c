/* matmul of integers with SMMLA for many tokens, SDOT for few. */
#if defined __ARM_FEATURE_MATMUL_INT8
#include "backends/cpu/matmul_a8.h"
#include "backends/cpu/tuned.h"

const Kernel i8mm_matmul_a8 = {"i8mm", mm_units, matmul_a8_run, matmul_a8_scratch, mm_copy, true};
#endif
