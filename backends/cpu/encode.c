#include "backends/cpu/cpu.h"
#include "backends/cpu/cpuid.h"

#if defined __x86_64__
QuantizeRows quantize_rows_avx2, quantize_rows_avx512;
#elif defined __aarch64__
QuantizeRows quantize_rows_neon;
#endif

QuantizeRows *cpu_quantize_rows(const char *isa) {
    static QuantizeRows *const of[ISA_COUNT] = {
        [ISA_ref] = quantize_rows,
#if defined __x86_64__
        [ISA_avx2] = quantize_rows_avx2,
        [ISA_avx512] = quantize_rows_avx512,
        [ISA_avx512bf16] = quantize_rows_avx512,
#elif defined __aarch64__
        [ISA_neon] = quantize_rows_neon,
        [ISA_dotprod] = quantize_rows_neon,
        [ISA_i8mm] = quantize_rows_neon,
#endif
    };
    Isa best = isa_best(), wanted = best;
    return isa && (!isa_from_name(isa, &wanted) || wanted > best) ? NULL : of[wanted];
}
