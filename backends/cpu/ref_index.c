/* Picking rows, and views. */
#include "backends/cpu/ref.h"

enum { ROW_CHUNK = 256 }; /* rows of the output in one unit of what scatters: each unit reads all indices */

static int64_t embed_units(const OpArgs *a) { return a->in[1].ne[0]; }

static void embed_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const int32_t *ids = a->in[1].data;
    for (int64_t t = u0; t < u1; t++)
        dtype_info[a->in[0].dtype].decode(tensor_row(&a->in[0], ids[t]), tensor_row(&a->out, t), a->out.ne[1]);
}

const char takes_embed[] = "ri>f";
const Kernel ref_embed = {"ref", embed_units, embed_run, NULL};

/* Rows [lo, lo + ROW_CHUNK) of the output begin as input `sum`; then row index[i] += row i of input 0, i ascending. */
static void scatter(const OpArgs *a, int64_t lo, int sum) {
    const Tensor *out = &a->out, *from = &a->in[0];
    const int32_t *index = a->in[1].data;
    int64_t width = out->ne[1], hi = MIN(lo + ROW_CHUNK, out->ne[0]);
    for (int64_t r = lo; r < hi; r++) ref_begin_row(a, sum, r);
    for (int64_t i = 0; i < from->ne[0]; i++) {
        if (index[i] < lo || index[i] >= hi) continue;
        const float *src = tensor_row(from, i);
        float *dst = tensor_row(out, index[i]);
        for (int64_t d = 0; d < width; d++) dst[d] += src[d];
    }
}

static int64_t scatter_units(const OpArgs *a) { return div_up(a->out.ne[0], ROW_CHUNK); }

static void embed_dw_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t u = u0; u < u1; u++) scatter(a, u * ROW_CHUNK, 2);
}

const char takes_embed_dw[] = "fif>f";
const Kernel ref_embed_dw = {"ref", scatter_units, embed_dw_run, NULL};

static void rows_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const int32_t *index = a->in[1].data;
    for (int64_t o = u0; o < u1; o++)
        memcpy(tensor_row(&a->out, o), tensor_row(&a->in[0], index[o]), (size_t)a->out.ne[1] * 4);
}

const char takes_rows[] = "fi>f ii>i";
const Kernel ref_rows = {"ref", ref_out_rows, rows_run, NULL};

static void rows_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t u = u0; u < u1; u++) scatter(a, u * ROW_CHUNK, 3);
}

const char takes_rows_dx[] = "fiff>f";
const Kernel ref_rows_dx = {"ref", scatter_units, rows_dx_run, NULL};

/* A view computes nothing and never runs; it stands here so that the list of kernels is whole. */
static int64_t view_units(const OpArgs *a) { return (void)a, 0; }
static void view_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)a, (void)u0, (void)u1, (void)scratch;
}

const char takes_view[] = "";
const Kernel ref_view = {"ref", view_units, view_run, NULL};

/* Row r of x is row r of the view, cut to its columns when they are the innermost dim. */
static void slice_dx_inner(const OpArgs *a, int64_t r) {
    const ViewParams *p = &a->params.view;
    float *dst = tensor_row(&a->out, r);
    memset(dst, 0, (size_t)ref_inner(&a->out) * 4);
    memcpy(dst + p->begin, tensor_row(&a->in[0], r), (size_t)a->in[0].ne[1] * 4);
}

/* With more dims, the slice keeps whole rows: those whose place in dim 1 is inside. */
static void slice_dx_outer(const OpArgs *a, int64_t r) {
    const Tensor *dy = &a->in[0], *out = &a->out;
    int64_t per = out->ndim == 4 ? out->ne[2] : 1; /* rows of one place in dim 1 */
    int64_t place = r / per % out->ne[1] - a->params.view.begin, outer = r / per / out->ne[1];
    size_t bytes = (size_t)ref_inner(out) * 4;
    if (place < 0 || place >= dy->ne[1])
        memset(tensor_row(out, r), 0, bytes);
    else
        memcpy(tensor_row(out, r), tensor_row(dy, (outer * dy->ne[1] + place) * per + r % per), bytes);
}

static void view_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t r = u0; r < u1; r++)
        if (a->out.ndim == 2)
            slice_dx_inner(a, r);
        else
            slice_dx_outer(a, r);
}

const char takes_view_dx[] = "ff>f";
const Kernel ref_view_dx = {"ref", ref_out_rows, view_dx_run, NULL};
