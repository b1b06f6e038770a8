/* What kernels that go row by row share. */
#ifndef CPU_ROWS_H
#define CPU_ROWS_H

#include "backends/cpu/unpack.h"
#include "core/op.h"

#include <math.h>

INLINE int64_t inner(const OpArgs *a) { return a->out.ne[a->out.ndim - 1]; }
/* Columns i ... i + 15 of what a sum of columns begins with: input k, or 0 where there is none. */
INLINE V16 begin16(const OpArgs *a, int k, int64_t i) {
    return k < a->n_in ? v_load_n((const float *)a->in[k].data + i, inner(a) - i) : v_zero();
}
INLINE int64_t row_units(const OpArgs *a) { return tensor_rows(&a->out); }

#endif
