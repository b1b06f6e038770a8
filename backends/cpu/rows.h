/* What kernels that go row by row share. */
#ifndef CPU_ROWS_H
#define CPU_ROWS_H

#include "backends/cpu/unpack.h"
#include "core/op.h"

#include <math.h>

INLINE int64_t inner(const OpArgs *a) { return a->out.ne[a->out.ndim - 1]; }
INLINE int64_t row_units(const OpArgs *a) { return tensor_rows(&a->out); }

#endif
