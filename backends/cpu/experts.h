/* matmul_experts by the tiles of matmul, and kernels that do both.
 *
 * A slot is a row of y: of a token and one of its experts. The slots of an expert are one product with its weight;
 * their rows of x stand here and there, so they are gathered, and scattered from a narrow panel of y. The d-th expert
 * that has slots makes units [d, d + 1) * groups, a unit being 16 of its columns; no more experts can have any than
 * there are slots. */
#ifndef CPU_EXPERTS_H
#define CPU_EXPERTS_H

#include "backends/cpu/matmul.h"

enum { GATHER = 128, PANEL_N = GROUPS * LANES }; /* rows gathered at once; columns of a panel */

/* Slots by expert: those of x are slot[begin[x]] .. slot[begin[x + 1] - 1], ascending. */
typedef struct Slots {
    char *x, *y; /* room for `most` rows each, as wide as was asked for */
    int64_t x_bytes, y_bytes;
    int32_t *id, *slot; /* [n] */
    int32_t *begin;     /* [X + 1] */
    int64_t n, X, k, most;
    void *panel; /* scratch of the body */
} Slots;

INLINE int64_t gathered_bytes(Dtype t, int64_t n) { return (int64_t)align_up((size_t)dtype_row_bytes(t, n), 64); }

/* Lays the parts of s, of which X, the most rows and their bytes are set, out from `at` on, which may be NULL; returns
 * the bytes they take. */
static size_t slots_layout(const Tensor *ids, char *at, Slots *s) {
    s->n = tensor_count(ids), s->k = ids->ne[1];
    s->most = MIN(s->most, ids->ne[0]);
    int64_t x = s->most * s->x_bytes, y = s->most * s->y_bytes;
    int64_t all = x + y + 2 * s->n * 4 + (s->X + 1) * 4;
    size_t bytes = align_up((size_t)all, 64);
    if (!at) return bytes;
    s->x = at, s->y = at + x;
    s->id = (int32_t *)(void *)(s->y + y), s->slot = s->id + s->n, s->begin = s->slot + s->n;
    s->panel = at + bytes;
    return bytes;
}

/* A late helper may read any bits for ids, and others each time: they are read once, and none that is out of range
 * counts. */
static void slots_sort(const Tensor *ids, Slots *s) {
    memset(s->begin, 0, (size_t)(s->X + 1) * 4);
    for (int64_t t = 0; t < ids->ne[0]; t++) memcpy(s->id + t * s->k, tensor_row(ids, t), (size_t)s->k * 4);
    for (int64_t i = 0; i < s->n; i++)
        if ((uint32_t)s->id[i] < (uint32_t)s->X) s->begin[s->id[i]]++;
    for (int64_t i = 0, sum = 0; i <= s->X; i++) s->begin[i] = (int32_t)(sum += s->begin[i]); /* ends, so far */
    for (int64_t i = s->n - 1; i >= 0; i--)
        if ((uint32_t)s->id[i] < (uint32_t)s->X) s->slot[--s->begin[s->id[i]]] = (int32_t)i;
}

/* Row of slot i in a tensor that has rows per token or per slot. */
INLINE char *slot_at(const Tensor *t, int64_t i, int64_t k) {
    return (char *)t->data + i / k * t->stride[0] + (t->ndim == 3 ? i % k * t->stride[1] : 0);
}

/* One or two rows have one stride, wherever they stand. */
static Mm slots_pair(const OpArgs *a, Mm mm, const int32_t *slot, int64_t k) {
    const int32_t last = slot[mm.T - 1];
    mm.x = slot_at(&a->in[0], slot[0], k), mm.y = slot_at(&a->out, slot[0], k);
    mm.x_stride = slot_at(&a->in[0], last, k) - mm.x;
    mm.y_stride = slot_at(&a->out, last, k) - mm.y;
    return mm;
}

/* Columns of groups [g0, g1) for n slots of the expert whose weight is mm.w. */
static void slots_product(const OpArgs *a, const MmBody *body, Mm mm, const Slots *s, const int32_t *slot, int64_t g0,
                          int64_t g1) {
    const int64_t step = mm.T <= SMALL_T ? 1 : GROUPS, row_bytes = dtype_row_bytes(a->in[0].dtype, mm.K);
    if (mm.T <= 2) {
        mm = slots_pair(a, mm, slot, s->k);
        for (int64_t g = g0; g < g1; g++) body->small(&mm, g * LANES, s->panel);
        return;
    }
    mm.x = s->x, mm.x_stride = s->x_bytes;
    mm.y = s->y, mm.y_stride = s->y_bytes;
    for (int64_t i = 0; i < mm.T; i++)
        memcpy(s->x + i * mm.x_stride, slot_at(&a->in[0], slot[i], s->k), (size_t)row_bytes);
    for (int64_t g = g0; g < g1; g += step) {
        Mm part = mm;
        part.w += g * LANES * mm.w_stride, part.N -= g * LANES;
        if (step == 1)
            body->small(&part, 0, s->panel);
        else
            body->panel(&part, 0, MIN(step, g1 - g), s->panel);
        const int64_t width = MIN(part.N, MIN(step, g1 - g) * LANES);
        for (int64_t i = 0; i < mm.T; i++)
            memcpy(slot_at(&a->out, slot[i], s->k) + g * LANES * 4, s->y + i * mm.y_stride, (size_t)width * 4);
    }
}

INLINE int64_t expert_groups(const OpArgs *a) { return div_up(a->in[1].ne[1], LANES); }

static int64_t experts_units(const OpArgs *a) {
    return MIN(tensor_count(&a->in[2]), a->in[1].ne[0]) * expert_groups(a);
}

/* Rows of x; a panel of sums. */
INLINE Slots product_slots(const OpArgs *a) {
    return (Slots){.most = GATHER,
                   .X = a->in[1].ne[0],
                   .x_bytes = gathered_bytes(a->in[0].dtype, a->in[1].ne[2]),
                   .y_bytes = PANEL_N * 4};
}

static void experts_run(const OpArgs *a, const MmBody *body, int64_t u0, int64_t u1, void *scratch) {
    const Tensor *w = &a->in[1];
    const int64_t groups = expert_groups(a);
    Slots s = product_slots(a);
    slots_layout(&a->in[2], scratch, &s);
    slots_sort(&a->in[2], &s);
    for (int64_t x = 0, u = 0; x < s.X && u < u1; x++) {
        int64_t n = s.begin[x + 1] - s.begin[x];
        if (!n) continue;
        int64_t g0 = MAX(u0 - u, 0), g1 = MIN(u1 - u, groups);
        for (int64_t i = 0; i < n && g0 < g1; i += s.most) {
            Mm mm = {.T = MIN(n - i, s.most), .N = w->ne[1], .K = w->ne[2], .w_dtype = w->dtype};
            mm.w = tensor_place(w, x), mm.w_stride = w->stride[1], mm.packed = w->packed;
            slots_product(a, body, mm, &s, s.slot + s.begin[x] + i, g0, g1);
        }
        u += groups;
    }
}

static void experts_copy(const OpArgs *a, const char *staged, int64_t u0, int64_t u1) {
    const int64_t groups = expert_groups(a), k = a->in[2].ne[1], n = tensor_count(&a->in[2]);
    uint8_t used[MAX_EXPERTS] = {0};
    for (int64_t i = 0; i < n; i++) used[((const int32_t *)tensor_row(&a->in[2], i / k))[i % k]] = 1;
    for (int32_t x = 0, u = 0; x < a->in[1].ne[0] && u < u1; x++) {
        if (!used[x]) continue;
        int64_t g0 = MAX(u0 - u, 0), g1 = MIN(u1 - u, groups), n1 = MIN(g1 * LANES, a->in[1].ne[1]);
        for (int64_t i = 0; i < n && g0 < g1; i++) {
            if (((const int32_t *)tensor_row(&a->in[2], i / k))[i % k] != x) continue;
            char *y = slot_at(&a->out, i, k) + g0 * LANES * 4;
            memcpy(y, staged + (y - (char *)a->out.data), (size_t)(n1 - g0 * LANES) * 4);
        }
        u += (int32_t)groups;
    }
}

/* ---- the same kernels do matmul and matmul_experts, whose weights are stacked ---- */

INLINE bool has_experts(const OpArgs *a) { return a->in[1].ndim == 3; }

static inline int64_t mm_units(const OpArgs *a) { return has_experts(a) ? experts_units(a) : dense_units(a); }

/* With room for a panel of so many bytes. */
static inline size_t mm_scratch(const OpArgs *a, size_t panel) {
    if (!has_experts(a)) return panel;
    Slots s = product_slots(a);
    return panel + slots_layout(&a->in[2], NULL, &s);
}

static inline void mm_copy(const OpArgs *a, const char *staged, int64_t u0, int64_t u1) {
    if (has_experts(a))
        experts_copy(a, staged, u0, u1);
    else
        dense_copy(a, staged, u0, u1);
}

static inline void mm_run(const OpArgs *a, const MmBody *body, int64_t u0, int64_t u1, void *scratch) {
    if (has_experts(a))
        experts_run(a, body, u0, u1, scratch);
    else
        dense_run(a, body, u0, u1, scratch);
}

#endif
