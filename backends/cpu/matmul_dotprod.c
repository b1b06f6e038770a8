/* matmul of integers with SDOT. */
#if defined __ARM_FEATURE_DOTPROD
#include "backends/cpu/matmul_a8.h"
#include "backends/cpu/tuned.h"

const Kernel dotprod_matmul_a8 = {"dotprod", mm_units, matmul_a8_run, matmul_a8_scratch, mm_copy, true};
#endif
