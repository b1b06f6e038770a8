/* Rows of f32 values, made 16 at a time, put into memory as f32, bf16 or a8: the bits of dtype_info[].encode. */
#ifndef CPU_PUT_H
#define CPU_PUT_H

#include "backends/cpu/rows.h"

INLINE void encode_a8(V16 lo, V16 hi, BlockA8 *b) {
    float amax = v_hmax(v_max(v_magnitude(lo), v_magnitude(hi))), inv = a8_inverse(amax);
    b->d = a8_scale(amax);
    if (!(inv > 0)) {
        memset(b->q, 0, sizeof b->q);
        b->sum = 0;
        return;
    }
    I16 ql = i_round(v_mul(lo, v_set1(inv))), qh = i_round(v_mul(hi, v_set1(inv)));
    b->sum = i_hsum(i_add(ql, qh));
    b_store(b->q, i_to_i8(ql));
    b_store(b->q + LANES, i_to_i8(qh));
}

INLINE void put_a8(const float *x, BlockA8 *b, int64_t n) {
    for (int64_t i = 0; i < n; i += 2 * LANES) encode_a8(v_load(x + i), v_load(x + i + LANES), b++);
}

/* To nearest, ties to even; NaN keeps its upper bits and becomes quiet. */
INLINE H16 encode_bf16(V16 v) {
    I16 u = i_bits(v), high = i_shr16(u);
    I16 rounded = i_shr16(i_add(i_add(u, i_set1(0x7fff)), i_and(high, i_set1(1))));
    return i_low16(i_if_nan(v, i_or(high, i_set1(0x40)), rounded));
}

/* Values i .. i + 15 of a row, of which the first n count: n is LANES but at a row's end. */
typedef V16 Values(const void *row, int64_t i, int64_t n);

INLINE V16 values_at(const float *x, int64_t i, int64_t n) { return n == LANES ? v_load(x + i) : v_load_n(x + i, n); }

enum { MADE = 512 }; /* values that are made before blocks are: in one loop each would wait for the other */

/* The n values of a row into y, which may be where they come from if `to` is f32. Of a8 n is a multiple of 32. */
INLINE void put_row(Dtype to, void *y, int64_t n, const void *row, Values *values) {
    int64_t i = 0;
    if (to == DT_a8) {
        float made[MADE];
        for (; i < n; i += MADE) {
            const int64_t m = MIN(n - i, (int64_t)MADE);
            for (int64_t j = 0; j < m; j += LANES) v_store(made + j, values(row, i + j, LANES));
            put_a8(made, (BlockA8 *)y + i / 32, m);
        }
    } else if (to == DT_bf16) {
        uint16_t *h = y;
        float last[LANES];
        for (; i + LANES <= n; i += LANES) h_store(h + i, encode_bf16(values(row, i, LANES)));
        if (i < n) v_store(last, values(row, i, n - i));
        for (int64_t j = i; j < n; j++) h[j] = f32_to_bf16(last[j - i]);
    } else {
        float *f = y;
        for (; i + LANES <= n; i += LANES) v_store(f + i, values(row, i, LANES));
        if (i < n) v_store_n(f + i, values(row, i, n - i), n - i);
    }
}

#endif
