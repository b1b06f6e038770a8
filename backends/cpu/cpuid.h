/* Which instruction sets this CPU and operating system offer, asked of the CPU itself (valgrind and virtual machines
 * mask there what they cannot run) or, on Arm, of the kernel. */
#ifndef CPU_CPUID_H
#define CPU_CPUID_H

#include "core/base.h"

/* Ascending: a CPU that has one has all before it. Kernel files are compiled with exactly these features.
 *   ref         plain C for the baseline of the architecture
 *   avx2        AVX2, FMA, F16C
 *   avx512      AVX-512 F, BW, DQ, VL, VNNI, and avx2
 *   avx512bf16  AVX-512 BF16, and avx512
 *   neon        Advanced SIMD of ARMv8.0, which every 64-bit Arm has
 *   dotprod     SDOT, and neon
 *   i8mm        SMMLA, and dotprod */
#if defined __x86_64__
#define ISAS(ISA) ISA(ref) ISA(avx2) ISA(avx512) ISA(avx512bf16)
#elif defined __aarch64__
#define ISAS(ISA) ISA(ref) ISA(neon) ISA(dotprod) ISA(i8mm)
#else
#define ISAS(ISA) ISA(ref)
#endif
#define ISA(name) ISA_##name,
typedef enum Isa { ISAS(ISA) ISA_COUNT } Isa;
#undef ISA

const char *isa_name(Isa isa);
/* By name; false when this architecture has none of that name. */
bool isa_from_name(const char *name, Isa *out);
/* The highest that may be used here. A few hundred cycles: ask once and keep the answer. */
Isa isa_best(void);

#endif
