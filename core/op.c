#include "core/op.h"

#include "core/rules.h"

enum {
    INPLACE = OPF_INPLACE,
    VIEW = OPF_VIEW,
    NOGRAD = OPF_NOGRAD,
    EFFECT = OPF_EFFECT,
    SUMS = OPF_SUMS,
    SCORES = OPF_SCORES,
    ROWS = OPF_ROWS
};

const OpInfo op_info[OP_COUNT] = {
#define OP(name, params, min_in, max_in, flags) [OP_##name] = {#name, min_in, max_in, flags, shape_##name, grad_##name},
#include "core/ops.def"
#undef OP
};
