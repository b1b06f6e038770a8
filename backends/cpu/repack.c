#include "backends/cpu/repack.h"

enum { ROWS = 16 };

/* The field of a block that is no dword: where it stands, its bytes; 0 bytes: there is none. bf16 goes in pairs, as
 * products of bf16 want them. */
typedef struct Field {
    int64_t at, bytes;
} Field;

static const Field narrow[DT_COUNT] = {
    [DT_f16] = {0, 2},    [DT_q8_0] = {0, 2},  [DT_q4_0] = {0, 2},   [DT_q5_0] = {0, 2},
    [DT_iq4_nl] = {0, 2}, [DT_mxfp4] = {0, 1}, [DT_q3_k] = {108, 2}, [DT_q6_k] = {208, 2},
};

/* Where a block's 32 fifth bits stand, 0: it has none. */
static const int64_t fifth_at[DT_COUNT] = {[DT_q5_0] = offsetof(BlockQ5_0, qh), [DT_q5_1] = offsetof(BlockQ5_1, qh)};

bool repack_fits(const OpArgs *a) {
    const Tensor *x = &a->in[0], *w = &a->in[1];
    const int64_t N = w->ne[w->ndim - 2], K = w->ne[w->ndim - 1];
    if (w->ndim == 3 && N % ROWS) return false;
    if (x->dtype == DT_a8) return dtype_info[w->dtype].class == DTC_QUANT;
    if (w->dtype == DT_bf16) return K % 2 == 0 && (x->dtype == DT_bf16 || x->dtype == DT_f32);
    return x->dtype == DT_f32 && (w->dtype == DT_f32 || w->dtype == DT_f16);
}

int64_t repack_bytes(const Tensor *w) {
    const int64_t rows = w->ne[w->ndim - 2], all = w->ndim == 3 ? w->ne[0] * rows : div_up(rows, ROWS) * ROWS;
    return all * w->stride[w->ndim - 2];
}

static void put(const char *const row[ROWS], int64_t off, int64_t bytes, char *group) {
    char *to = group + off * ROWS;
    switch (bytes) {
    case 1:
        for (int r = 0; r < ROWS; r++) to[r] = row[r][off];
        break;
    case 2:
        for (int r = 0; r < ROWS; r++) memcpy(to + 2 * r, row[r] + off, 2);
        break;
    default:
        for (int r = 0; r < ROWS; r++) memcpy(to + 4 * r, row[r] + off, 4);
    }
}

/* Bits 4j + i to 8i + j. */
static uint32_t turn_bits(uint32_t x) {
    uint32_t y = 0;
    for (int j = 0; j < 8; j++) y |= ((x >> 4 * j & 15) * 0x00204081u & 0x01010101u) << j; /* four bits to four bytes */
    return y;
}

static void turn_fifths(char *group, int64_t off) {
    for (int r = 0; r < ROWS; r++) {
        uint32_t x;
        char *at = group + off * ROWS + 4 * r;
        memcpy(&x, at, 4);
        x = turn_bits(x);
        memcpy(at, &x, 4);
    }
}

static void put_group(Dtype t, const char *const row[ROWS], int64_t row_bytes, char *group) {
    const Field f = narrow[t];
    const int64_t block = MAX(dtype_info[t].block_bytes, 4);
    for (int64_t b = 0; b < row_bytes; b += block) {
        const int64_t end = MIN(block, row_bytes - b);
        for (int64_t i = 0, n; i < end; i += n) {
            n = t == DT_f16 || (f.bytes && i == f.at) ? f.bytes : 4;
            put(row, b + i, n, group);
        }
        if (fifth_at[t]) turn_fifths(group, b + fifth_at[t]);
    }
}

static int64_t groups_of(const Tensor *w) { return div_up(w->ne[w->ndim - 2], ROWS); }

static int64_t repack_units(const OpArgs *a) {
    const Tensor *w = &a->in[0];
    return groups_of(w) * (w->ndim == 3 ? w->ne[0] : 1);
}

static void repack_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    const Tensor *w = &a->in[0];
    const int64_t groups = groups_of(w), stride = w->stride[w->ndim - 2], N = w->ne[w->ndim - 2];
    for (int64_t u = u0; u < u1; u++) {
        const char *from = w->ndim == 3 ? tensor_place(w, u / groups) : w->data, *row[ROWS];
        for (int64_t r = 0; r < ROWS; r++) row[r] = from + MIN(u % groups * ROWS + r, N - 1) * stride;
        put_group(w->dtype, row, dtype_row_bytes(w->dtype, w->ne[w->ndim - 1]),
                  (char *)a->out.data + u * ROWS * stride);
    }
}

const Kernel repack_kernel = {.name = "repack", .units = repack_units, .run = repack_run};
