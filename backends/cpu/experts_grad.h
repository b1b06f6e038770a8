/* Gradients of matmul_experts by the kernels of matmul's: part of matmul_grad_<isa>.c. The rows of an expert's slots
 * are gathered, up to GRAD_GATHER at a time, and are then the operands of a plain product whose sums go on from those
 * before. */
#ifndef CPU_EXPERTS_GRAD_H
#define CPU_EXPERTS_GRAD_H

#include "backends/cpu/matmul_grad.h"

enum { GRAD_GATHER = 512 }; /* sums are read and written again, and weights unpacked, for each so many */

typedef void DenseRun(const OpArgs *a, int64_t u0, int64_t u1, void *scratch);

INLINE Tensor rows_tensor(Dtype t, int64_t rows, int64_t width, void *data, int64_t stride) {
    return (Tensor){.dtype = t, .ndim = 2, .ne = {rows, width, 1, 1}, .stride = {stride}, .data = data};
}

/* Bytes [at, at + n) of the rows of slots, one to a row of lines. */
INLINE void gather(const Tensor *t, const Slots *s, const int32_t *slot, const Tensor *lines, int64_t at, int64_t n) {
    for (int64_t i = 0; i < lines->ne[0]; i++)
        memcpy((char *)tensor_row(lines, i) + at, slot_at(t, slot[i], s->k) + at, (size_t)n);
}

/* ---- dx: a unit is 16 columns of every row, so that a token's slots follow each other in it ---- */

INLINE Slots dx_slots(const OpArgs *a) {
    const Tensor *w = &a->in[1];
    return (Slots){.most = GRAD_GATHER,
                   .X = w->ne[0],
                   .x_bytes = gathered_bytes(a->in[0].dtype, w->ne[1]),
                   .y_bytes = gathered_bytes(DT_f32, w->ne[2])};
}

static int64_t experts_dx_units(const OpArgs *a) { return div_up(a->in[1].ne[2], LANES); }

static inline void experts_dx_run(const OpArgs *a, DenseRun *dense, int64_t u0, int64_t u1, void *scratch) {
    const Tensor *w = &a->in[1];
    const int64_t K = w->ne[2], at = u0 * LANES * 4, bytes = MIN(u1 * LANES, K) * 4 - at;
    const bool sums = a->out.ndim == 2;
    Slots s = dx_slots(a);
    slots_layout(&a->in[2], scratch, &s);
    slots_sort(&a->in[2], &s);
    for (int64_t t = 0; sums && t < a->out.ne[0]; t++) memset((char *)tensor_row(&a->out, t) + at, 0, (size_t)bytes);
    for (int64_t x = 0; x < s.X; x++)
        for (int64_t i = s.begin[x]; i < s.begin[x + 1]; i += s.most) {
            const int64_t n = MIN(s.begin[x + 1] - i, s.most);
            OpArgs b = {.n_in = sums ? 3 : 2, .out = rows_tensor(DT_f32, n, K, s.y, s.y_bytes)};
            b.in[0] = rows_tensor(a->in[0].dtype, n, w->ne[1], s.x, s.x_bytes);
            b.in[1] = rows_tensor(w->dtype, w->ne[1], K, tensor_place(w, x), w->stride[1]);
            b.in[2] = b.out;
            gather(&a->in[0], &s, s.slot + i, &b.in[0], 0, dtype_row_bytes(b.in[0].dtype, w->ne[1]));
            if (sums) gather(&a->out, &s, s.slot + i, &b.out, at, bytes);
            dense(&b, u0, u1, s.panel);
            for (int64_t r = 0; r < n; r++)
                memcpy(slot_at(&a->out, s.slot[i + r], s.k) + at, s.y + r * s.y_bytes + at, (size_t)bytes);
        }
}

static inline void experts_dx_f32_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    experts_dx_run(a, matmul_dx_f32_run, u0, u1, scratch);
}
static void experts_dx_bf16_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    experts_dx_run(a, matmul_dx_bf16_run, u0, u1, scratch);
}

static inline size_t experts_dx_scratch(const OpArgs *a) {
    Slots s = dx_slots(a);
    return slots_layout(&a->in[2], NULL, &s) + MAX(sizeof(PanelF32), sizeof(PanelBf16));
}

/* ---- dw: the units of every expert's own product, one expert after the other ---- */

INLINE Slots dw_slots(const OpArgs *a) {
    return (Slots){.most = GRAD_GATHER,
                   .X = a->out.ne[0],
                   .x_bytes = gathered_bytes(a->in[0].dtype, a->out.ne[1]),
                   .y_bytes = gathered_bytes(a->in[1].dtype, a->out.ne[2])};
}

INLINE Tensor expert_of(const Tensor *t, int64_t x) {
    return rows_tensor(t->dtype, t->ne[1], t->ne[2], tensor_place(t, x), t->stride[1]);
}

INLINE int64_t expert_dw_units(const OpArgs *a) {
    const OpArgs b = {.out = expert_of(&a->out, 0)};
    return dw_units(&b);
}
static int64_t experts_dw_units(const OpArgs *a) { return a->out.ne[0] * expert_dw_units(a); }

/* Units [u0, u1) of expert x; also where no token met it: its sum is then that of no rows. */
static inline void expert_dw(const OpArgs *a, DenseRun *dense, const Slots *s, int64_t x, int64_t u0, int64_t u1) {
    const Tensor *dy = &a->in[0], *in = &a->in[1];
    const int64_t N = a->out.ne[1], K = a->out.ne[2], end = s->begin[x + 1];
    OpArgs b = {.n_in = a->n_in > 3 ? 3 : 2, .out = expert_of(&a->out, x)};
    if (a->n_in > 3) b.in[2] = expert_of(&a->in[3], x);
    for (int64_t i = s->begin[x], n; i == s->begin[x] || i < end; i += s->most) {
        n = MIN(end - i, s->most);
        b.in[0] = rows_tensor(dy->dtype, n, N, s->x, s->x_bytes);
        b.in[1] = rows_tensor(in->dtype, n, K, s->y, s->y_bytes);
        gather(dy, s, s->slot + i, &b.in[0], 0, dtype_row_bytes(dy->dtype, N));
        gather(in, s, s->slot + i, &b.in[1], 0, dtype_row_bytes(in->dtype, K));
        dense(&b, u0, u1, s->panel);
        b.in[2] = b.out, b.n_in = 3; /* GRAD_GATHER is even: pairs stay together */
    }
}

static inline void experts_dw_run(const OpArgs *a, DenseRun *dense, int64_t u0, int64_t u1, void *scratch) {
    const int64_t per = expert_dw_units(a);
    Slots s = dw_slots(a);
    slots_layout(&a->in[2], scratch, &s);
    slots_sort(&a->in[2], &s);
    for (int64_t x = u0 / per; x * per < u1; x++)
        expert_dw(a, dense, &s, x, MAX(u0 - x * per, 0), MIN(u1 - x * per, per));
}

static inline void experts_dw_f32_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    experts_dw_run(a, matmul_dw_f32_run, u0, u1, scratch);
}
static void experts_dw_bf16_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    experts_dw_run(a, matmul_dw_bf16_run, u0, u1, scratch);
}

static inline size_t experts_dw_scratch(const OpArgs *a) {
    Slots s = dw_slots(a);
    return slots_layout(&a->in[2], NULL, &s) + dw_scratch(a);
}

#endif
