#include "core/tensor.h"

Tensor tensor_dense(Dtype t, int ndim, const int64_t *ne, void *data) {
    Tensor x = {.dtype = t, .ndim = ndim, .data = data};
    int64_t stride = dtype_info[t].block_bytes;
    for (int d = 0; d < MAX_DIMS; d++) x.ne[d] = d < ndim ? ne[d] : 1;
    for (int d = ndim - 1; d >= 0; d--) {
        x.stride[d] = stride;
        stride *= d == ndim - 1 ? ne[d] / dtype_info[t].block : ne[d];
    }
    return x;
}

int64_t tensor_count(const Tensor *t) {
    int64_t n = 1;
    for (int d = 0; d < t->ndim; d++) n *= t->ne[d];
    return n;
}

bool tensor_bytes(Dtype t, int ndim, const int64_t *ne, int64_t *bytes) {
    int64_t n = dtype_info[t].block_bytes;
    for (int d = 0; d < ndim; d++) {
        if (ne[d] < 0) return false;
        bool inner = d == ndim - 1;
        if (inner && ne[d] % dtype_info[t].block) return false;
        if (!mul_i64(n, inner ? ne[d] / dtype_info[t].block : ne[d], &n)) return false;
    }
    *bytes = n;
    return true;
}

int64_t tensor_rows(const Tensor *t) {
    int64_t n = 1;
    for (int d = 0; d + 1 < t->ndim; d++) n *= t->ne[d];
    return n;
}
