/* Kernels that replace the reference where they can, by instruction set. */
#ifndef CPU_TUNED_H
#define CPU_TUNED_H

#include "core/op.h"

/* A tuned kernel of op. isa is a name of backends/cpu/cpuid.h: the least this kernel needs. fits says whether it takes
 * these operands (dtypes, shapes at their bounds; a->step is not filled yet); NULL: whatever the reference takes. It
 * gives the bits that core/ops.def writes down for op, as the reference does; tests/ops holds it to that. */
typedef struct TunedRow {
    Op op;
    const char *isa;
    bool (*fits)(const OpArgs *a);
    const Kernel *kernel;
} TunedRow;

/* For each op the first row that fits wins, so the best comes first. */
extern const TunedRow tuned_rows[];
extern const size_t n_tuned_rows;

#endif
