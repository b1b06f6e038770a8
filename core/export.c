#include "core/export.h"

#include <stdlib.h>

int64_t export_row_count(const ExportTensor *t) {
    int64_t n = 1;
    for (int d = 0; d + 1 < t->ndim; d++) n *= t->ne[d];
    return n;
}

static bool is_shifted(const ExportTensor *t) { return t->plus < 0 || t->plus > 0; }

/* Elements [first, first + n) of every row of the weight become rows; decoded by whole blocks. */
static void turned_f32(const ExportTensor *t, int64_t first, int64_t n, float *out) {
    const Tensor *from = &t->w->t;
    const DtypeInfo *d = &dtype_info[from->dtype];
    const int64_t columns = t->ne[t->ndim - 1], begin = first / d->block * d->block,
                  count = div_up(first + n - begin, d->block) * d->block;
    float *part = mem_alloc((size_t)count, sizeof *part);
    for (int64_t c = 0; c < columns; c++) {
        d->decode((const char *)tensor_row(from, c) + dtype_row_bytes(from->dtype, begin), part, count);
        for (int64_t r = 0; r < n; r++) out[r * columns + c] = part[first - begin + r];
    }
    free(part);
}

void export_rows_f32(const ExportTensor *t, int64_t first, int64_t n, float *out) {
    const int64_t columns = t->ne[t->ndim - 1];
    if (!t->w) {
        memcpy(out, t->data + first * columns, (size_t)(n * columns) * sizeof *out);
        return;
    }
    if (t->turned)
        turned_f32(t, first, n, out);
    else
        for (int64_t r = 0; r < n; r++)
            dtype_info[t->w->t.dtype].decode(tensor_row(&t->w->t, weight_row(t->w, t->format, t->first + first + r)),
                                             out + r * columns, columns);
    for (int64_t i = 0; is_shifted(t) && i < n * columns; i++) out[i] += t->plus;
}

void export_rows(const ExportTensor *t, int64_t first, int64_t n, void *out) {
    const int64_t columns = t->ne[t->ndim - 1];
    const size_t bytes = (size_t)dtype_row_bytes(t->dtype, columns);
    const bool same = t->w && t->w->t.dtype == t->dtype && !is_shifted(t);
    if (same && !t->turned) {
        for (int64_t r = 0; r < n; r++)
            memcpy((char *)out + (size_t)r * bytes,
                   tensor_row(&t->w->t, weight_row(t->w, t->format, t->first + first + r)), bytes);
        return;
    }
    if (t->dtype == DT_f32) {
        export_rows_f32(t, first, n, out);
        return;
    }
    float *rows = mem_alloc((size_t)(n * columns), sizeof *rows);
    export_rows_f32(t, first, n, rows); /* exact: what is not copied is a float type, whose values f32 holds */
    dtype_info[t->dtype].encode(rows, out, n * columns);
    free(rows);
}
