/* Which instruction sets this CPU and operating system offer, asked of the CPU itself (valgrind and virtual machines
 * mask there what they cannot run). */
#ifndef CPU_CPUID_H
#define CPU_CPUID_H

#include "core/base.h"

/* Ascending: a CPU that has one has all before it. Kernel files are compiled with exactly these features.
 *   ref         plain C for the baseline of the architecture
 *   avx2        AVX2, FMA, F16C
 *   avx512      AVX-512 F, BW, DQ, VL, VNNI, and avx2
 *   avx512bf16  AVX-512 BF16, and avx512 */
typedef enum Isa { ISA_ref, ISA_avx2, ISA_avx512, ISA_avx512bf16, ISA_COUNT } Isa;

const char *isa_name(Isa isa);
/* By name; false when there is none of that name. */
bool isa_from_name(const char *name, Isa *out);
/* The highest that may be used here. A few hundred cycles: ask once and keep the answer. */
Isa isa_best(void);

#endif
