#include "backends/cpu/tuned.h"

/* Each instruction set's kernels stand in files of its own, compiled with its flags; nothing of such a file is called,
 * its fits included, before CPUID said that it may. */
const TunedRow tuned_rows[] = {
    {OP_COUNT, NULL, NULL, NULL}, /* end */
};
const size_t n_tuned_rows = COUNT_OF(tuned_rows) - 1;
