#include "backends/cpu/tuned.h"

/* Each instruction set's kernels stand in files of its own, compiled with its flags; nothing of such a file is called
 * before CPUID said that it may. What they take is asked here, in plain C. */

/* One stride leads from each row to the next, whatever the number of dims. */
static inline bool even_rows(const Tensor *t) {
    for (int d = 0; d + 2 < t->ndim; d++)
        if (t->stride[d] != t->ne[d + 1] * t->stride[d + 1]) return false;
    return true;
}

static inline bool fits_matmul(const OpArgs *a, Dtype x) {
    return a->in[0].dtype == x && even_rows(&a->in[0]) && even_rows(&a->out);
}
static inline bool fits_matmul_f32(const OpArgs *a) { return fits_matmul(a, DT_f32); }
static inline bool fits_matmul_a8(const OpArgs *a) { return fits_matmul(a, DT_a8); }
static inline bool fits_matmul_bf16(const OpArgs *a) { return fits_matmul(a, DT_bf16) && a->in[1].ne[1] % 2 == 0; }

/* ROW(op, isa, form): kernel <isa>_<form>, taken where fits_<form> says so. */
#if defined __x86_64__
#define ROWS_X86(ROW)                                                                                                  \
    ROW(matmul, avx512bf16, matmul_bf16)                                                                               \
    ROW(matmul, avx512, matmul_a8)                                                                                     \
    ROW(matmul, avx512, matmul_f32)                                                                                    \
    ROW(matmul, avx512, matmul_bf16)                                                                                   \
    ROW(matmul, avx2, matmul_a8)                                                                                       \
    ROW(matmul, avx2, matmul_f32)                                                                                      \
    ROW(matmul, avx2, matmul_bf16)
#else
#define ROWS_X86(ROW)
#endif

#define DECLARE(op, isa, form) extern const Kernel isa##_##form;
ROWS_X86(DECLARE)

#define LIST(op, isa, form) {OP_##op, #isa, fits_##form, &isa##_##form},
const TunedRow tuned_rows[] = {
    ROWS_X86(LIST){OP_COUNT, NULL, NULL, NULL}, /* end */
};
const size_t n_tuned_rows = COUNT_OF(tuned_rows) - 1;
