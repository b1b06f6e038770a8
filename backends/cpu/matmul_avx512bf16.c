/* matmul of bf16 with the instruction made for it. */
#if defined __AVX512BF16__
#include "backends/cpu/matmul_bf16.h"
#include "backends/cpu/tuned.h"

const Kernel avx512bf16_matmul_bf16 = {"avx512bf16", mm_units, matmul_bf16_run, matmul_bf16_scratch, mm_copy, true};
#endif
