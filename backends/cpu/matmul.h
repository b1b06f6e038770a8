/* What the tuned products share: operands as plain rows, and how the output is cut into units.
 *
 * A unit is 16 rows of w, for all tokens. Up to SMALL_T tokens (decoding) the rows go from their blocks to registers
 * and are used at once. With more, up to GROUPS units that follow each other are one panel: it is unpacked to scratch,
 * a chunk of columns at a time, and multiplied in register tiles; sums wait in the output between chunks. Neither
 * choice shows in the result: every output is one chain of fma over k ascending. */
#ifndef CPU_MATMUL_H
#define CPU_MATMUL_H

#include "backends/cpu/unpack.h"
#include "core/op.h"

enum { SMALL_T = 4, GROUPS = 3, PACKED_AHEAD = 4096 };

/* Tokens and groups of 16 columns in a register tile of f32 sums, of a8 sums. */
#if defined __AVX512F__
enum { F32_M = 8, F32_G = 3, A8_M = 4, A8_G = 3 };
#else
enum { F32_M = 6, F32_G = 1, A8_M = 2, A8_G = 1 };
#endif

typedef struct Mm { /* y[t][n] = x[t] . w[n]; strides in bytes */
    int64_t T, N, K;
    Dtype w_dtype;
    const char *x, *w;
    char *y;
    int64_t x_stride, w_stride, y_stride;
    bool more;   /* sums begin with what stands in y */
    bool packed; /* w is: its groups of 16 rows have the same places */
} Mm;

/* The tile of tokens [t, t + M) and columns from n on; rows of the panel begin at column k of x. */
typedef struct Tile {
    const char *x;
    float *y;
    int64_t x_stride, y_stride; /* bytes */
    int64_t width;              /* columns of y that exist, from here on */
    bool first;                 /* sums start at 0, else at y */
} Tile;

INLINE int64_t row_stride(const Tensor *t) { return t->ndim < 2 ? 0 : t->stride[t->ndim - 2]; }

INLINE Mm mm_of(const OpArgs *a) {
    const Tensor *x = &a->in[0], *w = &a->in[1];
    return (Mm){.T = tensor_rows(x),
                .N = w->ne[0],
                .K = w->ne[1],
                .w_dtype = w->dtype,
                .x = x->data,
                .w = w->data,
                .y = a->out.data,
                .x_stride = row_stride(x),
                .w_stride = w->stride[0],
                .y_stride = row_stride(&a->out),
                .packed = w->packed};
}

/* x_bytes: of the elements of x before column k. */
INLINE Tile mm_tile(const Mm *mm, int64_t t, int64_t n, int64_t x_bytes, bool first) {
    return (Tile){mm->x + t * mm->x_stride + x_bytes,
                  (float *)(void *)(mm->y + t * mm->y_stride) + n,
                  mm->x_stride,
                  mm->y_stride,
                  mm->N - n,
                  first && !mm->more};
}

INLINE const char *tile_x(const Tile *c, int m) { return c->x + m * c->x_stride; }
INLINE const float *tile_f32(const Tile *c, int m) { return (const float *)(const void *)tile_x(c, m); }
INLINE float *tile_y(const Tile *c, int m, int g) {
    return (float *)(void *)((char *)c->y + m * c->y_stride) + g * LANES;
}
INLINE V16 tile_load(const Tile *c, int m, int g) {
    return c->first ? v_zero() : v_load_n(tile_y(c, m, g), c->width - g * LANES);
}
INLINE void tile_store(const Tile *c, int m, int g, V16 v) { v_store_n(tile_y(c, m, g), v, c->width - g * LANES); }

/* How one pair of dtypes does the rows of w from n0 on: 16, or `groups` times 16. */
typedef struct MmBody {
    void (*small)(const Mm *mm, int64_t n0, void *scratch);
    void (*panel)(const Mm *mm, int64_t n0, int64_t groups, void *scratch);
} MmBody;

static inline int64_t dense_units(const OpArgs *a) { return div_up(a->in[1].ne[0], LANES); }

/* A unit is 16 columns of every row. */
static inline void dense_copy(const OpArgs *a, const char *staged, int64_t u0, int64_t u1) {
    const Mm mm = mm_of(a);
    int64_t n0 = u0 * LANES, n1 = MIN(u1 * LANES, mm.N);
    for (int64_t t = 0; t < mm.T; t++)
        memcpy(mm.y + t * mm.y_stride + n0 * 4, staged + t * mm.y_stride + n0 * 4, (size_t)(n1 - n0) * 4);
}

static void dense_run(const OpArgs *a, const MmBody *body, int64_t u0, int64_t u1, void *scratch) {
    const Mm mm = mm_of(a);
    if (mm.T <= SMALL_T)
        for (int64_t u = u0; u < u1; u++) body->small(&mm, u * LANES, scratch);
    else
        for (int64_t u = u0; u < u1; u += GROUPS) body->panel(&mm, u * LANES, MIN(GROUPS, u1 - u), scratch);
}

/* `bytes` of these 16 rows are about to be read: ask for the same stretch of rows to come, in this tensor or the next.
 * A prefetch never faults. Into L2, since L1 has too few slots for misses under way to hold what memory delivers; into
 * L1 only what then comes from L2 and leaves room. */
INLINE void mm_prefetch(bool packed, const Mm *mm, int64_t n0, int64_t done_bytes, int64_t bytes) {
    if (packed) { /* one stream from here on */
        const char *ahead = mm->w + n0 * mm->w_stride + done_bytes + PACKED_AHEAD;
        for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(ahead + i, 0, 2);
        return;
    }
    const int64_t group = LANES * mm->w_stride;
    const char *next = mm->w + n0 * mm->w_stride + group + done_bytes, *later = next + (group <= 65536 ? group : 0);
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(later + i, 0, 2);
    if (group > 8192) return;
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(next + i, 0, 3);
}

#endif
