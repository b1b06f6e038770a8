/* A tensor is a view: dtype, shape, strides, address. It never owns. */
#ifndef CORE_TENSOR_H
#define CORE_TENSOR_H

#include "core/dtype.h"

enum { MAX_DIMS = 4 };

typedef struct Tensor {
    Dtype dtype;
    int ndim;
    int64_t ne[MAX_DIMS];     /* outermost first, as [T, D]; unused dims are 1 */
    int64_t stride[MAX_DIMS]; /* bytes; the innermost dim is always dense, so its stride is that of one block */
    void *data;
    const void *const *parts; /* [ne[0]] where each place of the outermost of 3 or more dims stands, dense in itself;
                                 NULL: at data, by stride */
    bool packed; /* a weight that its backend laid out anew (Backend.repack): only products read it, not by rows */
} Tensor;

/* Fills strides for a dense tensor; the innermost dim must be a multiple of the dtype's block. */
Tensor tensor_dense(Dtype t, int ndim, const int64_t *ne, void *data);
int64_t tensor_count(const Tensor *t);
/* Bytes of the dense form; false when it overflows or the innermost dim is no multiple of the block. */
bool tensor_bytes(Dtype t, int ndim, const int64_t *ne, int64_t *bytes);
/* Number of rows (all dims but the innermost), and the address of row r in that order. */
int64_t tensor_rows(const Tensor *t);
static inline char *tensor_place(const Tensor *t, int64_t i) { /* of the outermost dim */
    return t->parts ? (char *)(uintptr_t)t->parts[i] : (char *)t->data + i * t->stride[0];
}
static inline void *tensor_row(const Tensor *t, int64_t r) {
    if (t->ndim <= 2) return (char *)t->data + r * t->stride[0];
    int64_t off = 0;
    for (int d = t->ndim - 2; d > 0; d--) {
        off += r % t->ne[d] * t->stride[d];
        r /= t->ne[d];
    }
    return tensor_place(t, r) + off;
}

#endif
