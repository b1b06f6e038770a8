#include "backends/cpu/cpuid.h"

static const char *const names[ISA_COUNT] = {
#define ISA(name) [ISA_##name] = #name,
    ISAS(ISA)
#undef ISA
};

const char *isa_name(Isa isa) { return names[isa]; }

bool isa_from_name(const char *name, Isa *out) {
    for (*out = 0; *out < ISA_COUNT; (*out)++)
        if (strcmp(names[*out], name) == 0) return true;
    return false;
}

#if defined __x86_64__
#include <cpuid.h>

/* Intel SDM vol. 2A, CPUID; vol. 1, 13.3: XCR0 tells which registers the operating system saves. */
static uint64_t xcr0(void) {
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool has_all(uint32_t reg, uint32_t bits) { return (reg & bits) == bits; }

Isa isa_best(void) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has_all(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) return ISA_ref;
    uint64_t saved = xcr0();
    if ((saved & 0x06) != 0x06) return ISA_ref; /* XMM, YMM */
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has_all(b, bit_AVX2)) return ISA_ref;
    if ((saved & 0xe6) != 0xe6) return ISA_avx2; /* opmask, both halves of ZMM */
    if (!has_all(b, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL) || !has_all(c, bit_AVX512VNNI))
        return ISA_avx2;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !has_all(a, bit_AVX512BF16)) return ISA_avx512;
    return ISA_avx512bf16;
}
#elif defined __aarch64__
#include <sys/auxv.h>

/* Bits of the kernel's Documentation/arch/arm64/elf_hwcaps, here by number since older headers lack them. */
enum { HAS_ASIMDDP = 1 << 20, HAS_I8MM = 1 << 13 }; /* of AT_HWCAP, of AT_HWCAP2 */

Isa isa_best(void) {
    if (!(getauxval(AT_HWCAP) & HAS_ASIMDDP)) return ISA_neon;
    return getauxval(AT_HWCAP2) & HAS_I8MM ? ISA_i8mm : ISA_dotprod;
}
#else
Isa isa_best(void) { return ISA_ref; }
#endif
