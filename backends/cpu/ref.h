/* The reference kernels: every op of core/ops.def in plain C, in the canonical order of sums written there. Slow and
 * plain; what tuned kernels are held to, and what runs where there is none. */
#ifndef CPU_REF_H
#define CPU_REF_H

#include "core/op.h"

/* takes_<op>: the dtypes that ref_<op> accepts: one letter per input (trailing optional ones may be absent), '>', and
 * one for the output; alternatives are separated by a space. f f32; b bf16; a a8; i i32; d class FLOAT; q class QUANT;
 * r FLOAT or QUANT; v any dtype that `cast` makes. */
#define OP(name, params, min_in, max_in, flags)                                                                        \
    extern const Kernel ref_##name;                                                                                    \
    extern const char takes_##name[];
#include "core/ops.def"
#undef OP

/* Whether the dtypes of a are among those of takes. */
bool ref_takes(const char *takes, const OpArgs *a);

/* Row r of a tensor of class FLOAT or QUANT as f32: where it stands, or decoded into buf. */
static inline const float *ref_row(const Tensor *t, int64_t r, float *buf) {
    const void *row = tensor_row(t, r);
    if (t->dtype == DT_f32) return row;
    dtype_info[t->dtype].decode(row, buf, t->ne[t->ndim - 1]);
    return buf;
}

/* Row r of the output as sums begin it: that of input i, which may be the very same memory, or 0 where there is none.
 */
static inline void *ref_begin_row(const OpArgs *a, int i, int64_t r) {
    void *out = tensor_row(&a->out, r);
    size_t bytes = (size_t)dtype_row_bytes(a->out.dtype, a->out.ne[a->out.ndim - 1]);
    const void *sum = i < a->n_in ? tensor_row(&a->in[i], r) : NULL;
    if (!sum) return memset(out, 0, bytes);
    return out == sum ? out : memcpy(out, sum, bytes);
}

/* f32 values of row r of the output: where they stand, or buf, from where ref_put_row brings them into its dtype. */
static inline float *ref_make_row(const OpArgs *a, int64_t r, float *buf) {
    return a->out.dtype == DT_f32 ? tensor_row(&a->out, r) : buf;
}
static inline void ref_put_row(const OpArgs *a, int64_t r, const float *buf) {
    if (a->out.dtype != DT_f32)
        dtype_info[a->out.dtype].encode(buf, tensor_row(&a->out, r), a->out.ne[a->out.ndim - 1]);
}

static inline int64_t ref_inner(const Tensor *t) { return t->ne[t->ndim - 1]; }
static inline int64_t ref_out_rows(const OpArgs *a) { return tensor_rows(&a->out); }

#endif
