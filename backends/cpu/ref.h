/* The reference kernels: every op of core/ops.def in plain C, in the canonical order of sums written there. Slow and
 * plain; what tuned kernels are held to, and what runs where there is none. */
#ifndef CPU_REF_H
#define CPU_REF_H

#include "core/op.h"

/* takes_<op>: the dtypes that ref_<op> accepts, one letter per input (an optional input may be absent), '>' and one for
 * the output. f f32; r any real dtype (class FLOAT or QUANT); d FLOAT; i i32; x f32, bf16 or a8; * any. */
#define OP(name, params, min_in, max_in, flags)                                                                        \
    extern const Kernel ref_##name;                                                                                    \
    extern const char takes_##name[];
#include "core/ops.def"
#undef OP

#endif
