/* Weights out of their blocks, once per dtype; everything tuned that reads weights starts here.
 *
 *   decode16     16 consecutive elements of one row as f32: embeddings, products over rows
 *   unpack_f32   16 rows x n columns as an f32 panel [n][16], rows in the lanes: products of f32 activations
 *   unpack_pairs the same of 16-bit elements, two to a lane, undecoded: products of bf16 activations
 *   load_blocks  one or two blocks of 16 rows as integers and scales: products of a8 activations
 *
 * f32 values are those of dtype_info[].decode, bit for bit. Only bytes of the rows are read. */
#ifndef CPU_UNPACK_H
#define CPU_UNPACK_H

#include "backends/cpu/vec16.h"
#include "core/quant.h"

/* The 16 rows from n0 on; past the last row it stands in for the missing ones, whose lanes nobody stores. */
INLINE void rows_at(const char *w, int64_t stride, int64_t n0, int64_t n_rows, const char *row[16]) {
    for (int64_t r = 0; r < LANES; r++) row[r] = w + MIN(n0 + r, n_rows - 1) * stride;
}

INLINE int32_t i32_at(const char *p) {
    int32_t x;
    memcpy(&x, p, 4);
    return x;
}

/* Bytes that 32 elements take, on average: a constant where t is one. */
INLINE int64_t part_bytes(Dtype t) {
    switch (t) {
#define DTYPE(name, block, bytes, gguf, tag, class)                                                                    \
    case DT_##name:                                                                                                    \
        return (bytes)*32 / (block);
#include "core/dtypes.def"
#undef DTYPE
    default: return 0;
    }
}

INLINE bool in_pairs(Dtype t) {
    return t == DT_q2_k || t == DT_q3_k || t == DT_q4_k || t == DT_q5_k || t == DT_q6_k || t == DT_iq4_xs;
}
INLINE bool in_blocks(Dtype t) { return t != DT_f32 && t != DT_f16 && t != DT_bf16; }

/* 16 of the nibbles of 16 bytes: the low ones, or the high ones. */
INLINE B16 nibbles(const char *p, bool high) { return high ? b_high4(b_load(p)) : b_low4(b_load(p)); }

/* ---- 16 elements of a row from k on ---- */

INLINE V16 decode16_q8_0(const char *row, int64_t k) {
    const char *b = row + k / 32 * (int64_t)sizeof(BlockQ8_0);
    return v_mul(v_from_i8(b_load(b + offsetof(BlockQ8_0, q) + k % 32)), v_set1(f16_at(b)));
}

INLINE V16 decode16_q4_0(const char *row, int64_t k) {
    const char *b = row + k / 32 * (int64_t)sizeof(BlockQ4_0);
    B16 q = nibbles(b + offsetof(BlockQ4_0, q), k % 32);
    return v_mul(v_from_i8(b_sub(q, b_set1(8))), v_set1(f16_at(b)));
}

/* q*d is exact, so the fused sum rounds as decode does. */
INLINE V16 decode16_q4_1(const char *row, int64_t k) {
    const char *b = row + k / 32 * (int64_t)sizeof(BlockQ4_1);
    B16 q = nibbles(b + offsetof(BlockQ4_1, q), k % 32);
    return v_fma(v_from_i8(q), v_set1(f16_at(b)), v_set1(f16_at(b + offsetof(BlockQ4_1, m))));
}

/* The fifth bits of 16 elements, where they belong. */
INLINE B16 fifths(const char *qh) { return b_where(u16_at(qh), b_set1(16)); }

INLINE V16 decode16_q5_0(const char *row, int64_t k) {
    const char *b = row + k / 32 * (int64_t)sizeof(BlockQ5_0);
    B16 q = nibbles(b + offsetof(BlockQ5_0, q), k % 32);
    q = b_or(q, fifths(b + offsetof(BlockQ5_0, qh) + k % 32 / 8));
    return v_mul(v_from_i8(b_sub(q, b_set1(16))), v_set1(f16_at(b)));
}

INLINE V16 decode16_q5_1(const char *row, int64_t k) {
    const char *b = row + k / 32 * (int64_t)sizeof(BlockQ5_1);
    B16 q = nibbles(b + offsetof(BlockQ5_1, q), k % 32);
    q = b_or(q, fifths(b + offsetof(BlockQ5_1, qh) + k % 32 / 8));
    return v_fma(v_from_i8(q), v_set1(f16_at(b)), v_set1(f16_at(b + offsetof(BlockQ5_1, m))));
}

/* The values of iq4_nl and iq4_xs. */
INLINE B16 uneven_table(void) {
    static const int8_t table[16] = {UNEVEN};
    return b_load(table);
}
INLINE B16 fp4_table(void) {
    static const int8_t table[16] = {FP4_TWICE};
    return b_load(table);
}

INLINE V16 decode16_iq4_nl(const char *row, int64_t k) {
    const char *b = row + k / 32 * (int64_t)sizeof(BlockQ4_0);
    B16 q = nibbles(b + offsetof(BlockQ4_0, q), k % 32);
    return v_mul(v_from_i8(b_lookup(q, uneven_table())), v_set1(f16_at(b)));
}

/* The others keep what core/quant_*.c does with their scales. */
INLINE V16 decode16_part(Dtype t, const char *row, int64_t k) {
    QuantPart p;
    dtype_info[t].part(row, k / 32, &p);
    V16 q = v_from_i8(b_load((const char *)p.q + k % 32));
    return p.has_min ? v_fma(q, v_set1(p.d[k % 32 / 16]), v_set1(p.m[k % 32 / 16]))
                     : v_mul(q, v_set1(p.d[k % 32 / 16]));
}

/* Elements k..k+15 of a row; k is a multiple of 16. t is a constant wherever this is called. */
INLINE V16 decode16(Dtype t, const char *row, int64_t k) {
    if (t == DT_f32) return v_load(row + 4 * k);
    if (t == DT_f16) return v_from_f16(h_load(row + 2 * k));
    if (t == DT_bf16) return v_from_bf16(h_load(row + 2 * k));
    switch (t) {
    case DT_q8_0: return decode16_q8_0(row, k);
    case DT_q4_0: return decode16_q4_0(row, k);
    case DT_q5_0: return decode16_q5_0(row, k);
    case DT_q5_1: return decode16_q5_1(row, k);
    case DT_iq4_nl: return decode16_iq4_nl(row, k);
    case DT_q4_1: return decode16_q4_1(row, k);
    default: return decode16_part(t, row, k);
    }
}

/* Lane r of out[i] is element k+i of row r. */
INLINE void rows_decode16(Dtype t, const char *const row[16], int64_t k, V16 out[16]) {
    I16 z[16];
    UNROLL for (int r = 0; r < 16; r++) z[r] = i_bits(decode16(t, row[r], k));
    rows_transpose16(z);
    UNROLL for (int i = 0; i < 16; i++) out[i] = v_bits(z[i]);
}

/* The last n < 16 elements (of `bytes` bytes each) of every row, moved to where 64 bytes can be read. */
typedef struct RowTails {
    char bytes[16][64];
    const char *row[16];
} RowTails;

INLINE void rows_tail(RowTails *s, const char *const row[16], int64_t k, int64_t n, int64_t bytes) {
    memset(s->bytes, 0, sizeof s->bytes);
    for (int r = 0; r < 16; r++) {
        memcpy(s->bytes[r], row[r] + k * bytes, (size_t)(n * bytes));
        s->row[r] = s->bytes[r];
    }
}

/* ---- panels ---- */

/* Columns [k0, k0 + n) of 16 rows into panel [n][16]; k0 a multiple of 16, of the block for quants as is n. */
typedef void UnpackF32(const char *const row[16], int64_t k0, int64_t n, float *panel);

INLINE void unpack_f32_any(Dtype t, const char *const row[16], int64_t k0, int64_t n, float *panel) {
    V16 z[16];
    int64_t k = 0;
    for (; k + 16 <= n; k += 16) {
        rows_decode16(t, row, k0 + k, z);
        UNROLL for (int i = 0; i < 16; i++) v_store(panel + (k + i) * LANES, z[i]);
    }
    if (k == n || in_blocks(t)) return;
    RowTails tail;
    rows_tail(&tail, row, k0 + k, n - k, t == DT_f32 ? 4 : 2);
    float whole[16][LANES];
    rows_decode16(t, tail.row, 0, z);
    UNROLL for (int i = 0; i < 16; i++) v_store(whole[i], z[i]);
    memcpy(panel + k * LANES, whole, (size_t)(n - k) * sizeof whole[0]);
}

#define REAL(t)                                                                                                        \
    static inline                                                                                                      \
        __attribute__((unused)) void unpack_f32_##t(const char *const row[16], int64_t k0, int64_t n, float *panel) {  \
        unpack_f32_any(DT_##t, row, k0, n, panel);                                                                     \
    }
#include "core/dtypes_real.def"

/* Column k of a group that was repacked; t is a constant. */
INLINE V16 group16(Dtype t, const char *group, int64_t k) {
    if (t == DT_f32) return v_load(group + k * 4 * LANES);
    if (t == DT_f16) return v_from_f16(h_load(group + k * 2 * LANES));
    I16 pair = i_load(group + k / 2 * 4 * LANES);
    return v_bits(k % 2 ? i_and(pair, i_set1((int32_t)0xffff0000)) : i_shl16(pair));
}

INLINE void unpack_group(Dtype t, const char *group, int64_t k0, int64_t n, float *panel) {
    for (int64_t k = 0; k < n; k++) v_store(panel + k * LANES, group16(t, group, k0 + k));
}

/* Pairs k, k+1 of columns [k0, k0 + n) of 16 rows of 16-bit elements into panel [n/2][16]; k0, n even. */
INLINE void unpack_pairs(const char *const row[16], int64_t k0, int64_t n, uint32_t *panel) {
    int64_t k = 0;
    for (; k + 32 <= n; k += 32) {
        I16 z[16];
        UNROLL for (int r = 0; r < 16; r++) z[r] = i_load(row[r] + 2 * (k0 + k));
        rows_transpose16(z);
        UNROLL for (int i = 0; i < 16; i++) i_store(panel + (k / 2 + i) * LANES, z[i]);
    }
    for (; k < n; k += 2)
        for (int r = 0; r < LANES; r++) panel[k / 2 * LANES + r] = (uint32_t)i32_at(row[r] + 2 * (k0 + k));
}

/* ---- blocks of integers ---- */

/* How the integers of a dtype meet those of x (matmul_a8.h): signed ones, in w8_form; unsigned ones of 7 bits or less
 * that stand a8_offset too high; unsigned ones with a minimum; as these two, 16 elements to a scale. */
typedef enum A8Form { A8_SIGNED, A8_OFFSET, A8_MIN, A8_HALVES, A8_HALVES_MIN } A8Form;

INLINE A8Form a8_form(Dtype t) {
    if (t == DT_q8_0 || t == DT_iq4_nl || t == DT_iq4_xs || t == DT_mxfp4) return A8_SIGNED;
    if (t == DT_q2_k) return A8_HALVES_MIN;
    if (t == DT_q3_k || t == DT_q6_k) return A8_HALVES;
    return t == DT_q4_0 || t == DT_q5_0 ? A8_OFFSET : A8_MIN;
}
INLINE int32_t a8_offset(Dtype t) {
    return t == DT_q3_k ? 4 : t == DT_q4_0 ? 8 : t == DT_q5_0 ? 16 : t == DT_q6_k ? 32 : 0;
}

/* Sixteen rows as they lie in a tensor, or the group that repacking made of them (backends/cpu/repack.h), where what
 * stands `off` bytes behind the begin of each row stands side by side. `packed` is a constant wherever this is used. */
typedef struct Rows {
    bool packed;
    const char *row[16], *group;
} Rows;

/* The 16 rows from n0 on, a multiple of 16. */
INLINE void rows_open(bool packed, const char *w, int64_t stride, int64_t n0, int64_t n_rows, Rows *out) {
    *out = (Rows){.packed = packed, .group = w + n0 * stride};
    if (!packed) rows_at(w, stride, n0, n_rows, out->row);
}

/* What stands `off` bytes behind the begin of each row: a byte, 2 bytes, 4, and 4 or 8 times 4. */
INLINE I16 dwords1(const Rows *w, int64_t off) {
    return w->packed ? i_load(w->group + off * LANES) : rows_load1(w->row, off);
}
INLINE I16 bytes1(const Rows *w, int64_t off) {
    I16 wide = w->packed ? i_from_i8(b_load(w->group + off * LANES)) : rows_load1(w->row, off);
    return i_and(wide, i_set1(255));
}
INLINE H16 halves(const Rows *w, int64_t off) {
    return w->packed ? h_load(w->group + off * LANES) : h_gather(w->row, off);
}
INLINE void dwords4(const Rows *w, int64_t off, I16 out[4]) {
    if (w->packed)
        UNROLL for (int j = 0; j < 4; j++) out[j] = dwords1(w, off + 4 * j);
    else
        rows_load4(w->row, off, out);
}
INLINE void dwords8(const Rows *w, int64_t off, I16 out[8]) {
    if (w->packed)
        UNROLL for (int j = 0; j < 8; j++) out[j] = dwords1(w, off + 4 * j);
    else
        rows_load8(w->row, off, out);
}

/* 32 elements of each of 16 rows: byte i of lane r of q[j] is element 4j+i of row r. */
typedef struct RowBlock {
    I16 q[8];
    V16 d[2], m[2]; /* scales, minima; the second ones only of halves, minima only where there are any */
} RowBlock;

INLINE void load_q8_0(const Rows *row, int64_t b, RowBlock *out) {
    int64_t off = b * (int64_t)sizeof(BlockQ8_0);
    dwords8(row, off + (int64_t)offsetof(BlockQ8_0, q), out->q);
    UNROLL for (int j = 0; j < 8; j++) out->q[j] = w8_form(out->q[j]);
    out->d[0] = v_from_f16(halves(row, off));
}

/* q[0..3]: the bytes of two elements each. */
INLINE void split_nibbles(const I16 q[4], I16 out[8]) {
    const I16 low = i_set1(0x0f0f0f0f);
    UNROLL for (int j = 0; j < 4; j++) out[j] = i_and(q[j], low), out[j + 4] = i_and(i_shr4(q[j]), low);
}

INLINE void load_q4_0(const Rows *row, int64_t b, RowBlock *out) {
    int64_t off = b * (int64_t)sizeof(BlockQ4_0);
    I16 q[4];
    dwords4(row, off + (int64_t)offsetof(BlockQ4_0, q), q);
    split_nibbles(q, out->q);
    out->d[0] = v_from_f16(halves(row, off));
}

/* Blocks b and b + 1: 36 bytes a row, the first 32 of which hold both scales; the first block's bytes lie across its
 * dwords. */
INLINE void load_q4_0_pair(const Rows *row, int64_t b, RowBlock out[2]) {
    int64_t off = b * (int64_t)sizeof(BlockQ4_0);
    I16 head[8], tail[4], q[4];
    dwords8(row, off, head);
    dwords4(row, off + 20, tail);
    UNROLL for (int j = 0; j < 4; j++) q[j] = i_or(i_shr16(head[j]), i_shl16(head[j + 1]));
    split_nibbles(q, out[0].q);
    split_nibbles(tail, out[1].q);
    out[0].d[0] = v_from_f16(i_low16(head[0]));
    out[1].d[0] = v_from_f16(i_low16(i_shr16(head[4])));
}

/* dm: d and m of each row. */
INLINE void split_q4_1(I16 dm, const I16 q[4], RowBlock *out) {
    split_nibbles(q, out->q);
    out->d[0] = v_from_f16(i_low16(dm));
    out->m[0] = v_from_f16(i_low16(i_shr16(dm)));
}

INLINE void load_q4_1(const Rows *row, int64_t b, RowBlock *out) {
    int64_t off = b * (int64_t)sizeof(BlockQ4_1);
    I16 q[4];
    dwords4(row, off + (int64_t)offsetof(BlockQ4_1, q), q);
    split_q4_1(dwords1(row, off), q, out);
}

/* Blocks b and b + 1: their 10 dwords a row come out of two transposes, the scales among them, which costs less than to
 * pick the scales one by one. */
INLINE void load_q4_1_pair(const Rows *row, int64_t b, RowBlock out[2]) {
    int64_t off = b * (int64_t)sizeof(BlockQ4_1);
    I16 head[8], tail[4]; /* dwords 0..7, 6..9 */
    dwords8(row, off, head);
    dwords4(row, off + 24, tail);
    split_q4_1(head[0], head + 1, &out[0]);
    split_q4_1(head[5], tail, &out[1]);
}

/* Bit 4j + i of qh, packed bit 8i + j, becomes bit 4 of byte i of q[j]: four in a row spread by a product that adds no
 * two of them. */
INLINE void join_fifth(bool packed, I16 qh, I16 q[8]) {
    UNROLL for (int j = 0; j < 8; j++) {
        I16 bits = packed ? (j < 4 ? i_shl(qh, 4 - j) : i_shr(qh, j - 4))
                          : i_mul(i_and(i_shr(qh, 4 * j), i_set1(15)), i_set1(0x02040810));
        q[j] = i_or(q[j], i_and(bits, i_set1(0x10101010)));
    }
}

INLINE void load_q5_0(const Rows *row, int64_t b, RowBlock *out) {
    int64_t off = b * (int64_t)sizeof(BlockQ5_0);
    I16 q[4];
    dwords4(row, off + (int64_t)offsetof(BlockQ5_0, q), q);
    split_nibbles(q, out->q);
    join_fifth(row->packed, dwords1(row, off + (int64_t)offsetof(BlockQ5_0, qh)), out->q);
    out->d[0] = v_from_f16(halves(row, off));
}

/* Blocks b and b + 1: 44 bytes a row, dwords 0..7 and 7..10. The first block's bytes lie across its dwords. */
INLINE void load_q5_0_pair(const Rows *row, int64_t b, RowBlock out[2]) {
    int64_t off = b * (int64_t)sizeof(BlockQ5_0);
    I16 w[8], tail[4], q[4];
    dwords8(row, off, w);
    dwords4(row, off + 28, tail);
    UNROLL for (int j = 0; j < 4; j++) q[j] = i_or(i_shr16(w[j + 1]), i_shl16(w[j + 2]));
    split_nibbles(q, out[0].q);
    split_nibbles(tail, out[1].q);
    join_fifth(false, i_or(i_shr16(w[0]), i_shl16(w[1])), out[0].q);
    join_fifth(false, w[6], out[1].q);
    out[0].d[0] = v_from_f16(i_low16(w[0]));
    out[1].d[0] = v_from_f16(i_low16(i_shr16(w[5])));
}

INLINE void load_q5_1(const Rows *row, int64_t b, RowBlock *out) {
    int64_t off = b * (int64_t)sizeof(BlockQ5_1);
    I16 w[8];
    dwords4(row, off, w);
    dwords4(row, off + 8, w + 4);
    split_q4_1(w[0], w + 4, out);
    join_fifth(row->packed, w[1], out->q);
}

INLINE void load_iq4_nl(const Rows *row, int64_t b, RowBlock *out) {
    load_q4_0(row, b, out);
    UNROLL for (int j = 0; j < 8; j++) out->q[j] = w8_form(i_lookup(out->q[j], uneven_table()));
}

INLINE void load_mxfp4(const Rows *row, int64_t b, RowBlock *out) {
    int64_t off = b * (int64_t)sizeof(BlockMXFP4);
    I16 q[4], e = bytes1(row, off), half = i_and(i_shr(e, 1), i_set1(127));
    dwords4(row, off + (int64_t)offsetof(BlockMXFP4, q), q);
    split_nibbles(q, out->q);
    UNROLL for (int j = 0; j < 8; j++) out->q[j] = w8_form(i_lookup(out->q[j], fp4_table()));
    /* 2^(e - 128) may be subnormal: as a product of two that are not */
    V16 upper = v_bits(i_shl(i_add(i_add(e, i_mul(half, i_set1(-1))), i_set1(62)), 23));
    out->d[0] = v_mul(v_bits(i_shl(i_add(half, i_set1(64)), 23)), upper);
}

/* ---- formats of 256: pairs begin at an even b, so that both are of the same 32 bytes of nibbles ---- */

/* head: the first 16 bytes of each row's block. Scale and minimum of part i, as core/quant_k.c has them. */
INLINE void scales_k(const I16 head[4], int i, RowBlock *out) {
    const int at = i % 4 * 8;
    const I16 s = i_shr(head[1], at), m = i_shr(head[2], at), both = i_shr(head[3], at);
    const I16 upper = i_set1(0x30), lower = i_set1(15), six = i_set1(63);
    const I16 scale = i < 4 ? i_and(s, six) : i_or(i_and(both, lower), i_and(i_shr(s, 2), upper));
    const I16 min = i < 4 ? i_and(m, six) : i_or(i_and(i_shr4(both), lower), i_and(i_shr(m, 2), upper));
    out->d[0] = v_mul(v_from_f16(i_low16(head[0])), v_from_int(scale));
    out->m[0] = v_neg(v_mul(v_from_f16(i_low16(i_shr16(head[0]))), v_from_int(min)));
}

INLINE void load_k_pair(Dtype t, const Rows *row, int64_t b, RowBlock out[2]) {
    const int64_t off = b / 8 * (t == DT_q5_k ? (int64_t)sizeof(BlockQ5_K) : (int64_t)sizeof(BlockQ4_K));
    const int64_t q_at = t == DT_q5_k ? (int64_t)offsetof(BlockQ5_K, q) : (int64_t)offsetof(BlockQ4_K, q);
    const int i = (int)(b % 8);
    I16 head[4], q[8], high[8];
    dwords4(row, off, head);
    dwords8(row, off + q_at + i / 2 * 32, q);
    if (t == DT_q5_k) dwords8(row, off + (int64_t)offsetof(BlockQ5_K, qh), high);
    UNROLL for (int j = 0; j < 8; j++) {
        out[0].q[j] = i_and(q[j], i_set1(0x0f0f0f0f));
        out[1].q[j] = i_and(i_shr4(q[j]), i_set1(0x0f0f0f0f));
        if (t != DT_q5_k) continue;
        I16 bits = i_shr(high[j], i); /* bits i, i + 1 of each byte are now 0, 1 */
        out[0].q[j] = i_or(out[0].q[j], i_and(i_shl(bits, 4), i_set1(0x10101010)));
        out[1].q[j] = i_or(out[1].q[j], i_and(i_shl(bits, 3), i_set1(0x10101010)));
    }
    scales_k(head, i, &out[0]);
    scales_k(head, i + 1, &out[1]);
}

INLINE void load_q6_k_pair(const Rows *row, int64_t b, RowBlock out[2]) {
    const int64_t off = b / 8 * (int64_t)sizeof(BlockQ6_K), half = b % 8 / 4;
    const int k = (int)(b % 4); /* 0 or 2 */
    const V16 d = v_from_f16(halves(row, off + (int64_t)offsetof(BlockQ6_K, d)));
    const I16 scales = dwords1(row, off + (int64_t)offsetof(BlockQ6_K, scales) + b % 8 * 2);
    I16 high[8];
    dwords8(row, off + (int64_t)offsetof(BlockQ6_K, qh) + 32 * half, high);
    UNROLL for (int p = 0; p < 2; p++) {
        dwords8(row, off + 64 * half + 32 * p, out[p].q);
        UNROLL for (int j = 0; j < 8; j++) {
            I16 low = i_and(i_shr(out[p].q[j], 2 * k), i_set1(0x0f0f0f0f));
            I16 bits = i_shl(i_and(i_shr(high[j], 2 * (k + p)), i_set1(0x03030303)), 4);
            out[p].q[j] = i_or(low, bits);
        }
        UNROLL for (int h = 0; h < 2; h++) out[p].d[h] =
            v_mul(d, v_from_int(i_top8(i_shl(scales, 24 - 16 * p - 8 * h))));
    }
}

/* The 2 bits of parts k, k + 1 (k: 0 or 2) of 32 bytes of each row. */
INLINE void split_twos(const Rows *row, int64_t off, int k, RowBlock out[2]) {
    I16 q[8];
    dwords8(row, off, q);
    UNROLL for (int j = 0; j < 8; j++) UNROLL for (int p = 0; p < 2; p++) out[p].q[j] =
        i_and(i_shr(q[j], 2 * (k + p)), i_set1(0x03030303));
}

INLINE void load_q2_k_pair(const Rows *row, int64_t b, RowBlock out[2]) {
    const int64_t off = b / 8 * (int64_t)sizeof(BlockQ2_K);
    const I16 scales = dwords1(row, off + b % 8 * 2);
    const I16 dm = dwords1(row, off + (int64_t)offsetof(BlockQ2_K, d)), low = i_set1(15);
    const V16 d = v_from_f16(i_low16(dm)), m = v_neg(v_from_f16(i_low16(i_shr16(dm))));
    split_twos(row, off + (int64_t)offsetof(BlockQ2_K, q) + b % 8 / 4 * 32, (int)(b % 4), out);
    UNROLL for (int p = 0; p < 2; p++) UNROLL for (int h = 0; h < 2; h++) {
        const I16 s = i_shr(scales, 16 * p + 8 * h);
        out[p].d[h] = v_mul(d, v_from_int(i_and(s, low)));
        out[p].m[h] = v_mul(m, v_from_int(i_and(i_shr4(s), low)));
    }
}

INLINE void load_q3_k_pair(const Rows *row, int64_t b, RowBlock out[2]) {
    const int64_t off = b / 8 * (int64_t)sizeof(BlockQ3_K), at = off + (int64_t)offsetof(BlockQ3_K, scales);
    const int i = (int)(b % 8), k = 2 * i; /* k: the first of four scales */
    const V16 d = v_from_f16(halves(row, off + (int64_t)offsetof(BlockQ3_K, d)));
    const I16 low = i_and(i_shr(dwords1(row, at + k % 8), k / 8 * 4), i_set1(0x0f0f0f0f));
    const I16 scales = i_or(low, i_shl(i_and(i_shr(dwords1(row, at + 8), k / 4 * 2), i_set1(0x03030303)), 4));
    I16 high[8];
    split_twos(row, off + (int64_t)offsetof(BlockQ3_K, q) + b % 8 / 4 * 32, (int)(b % 4), out);
    dwords8(row, off, high);
    UNROLL for (int p = 0; p < 2; p++) {
        UNROLL for (int j = 0; j < 8; j++) out[p].q[j] =
            i_or(out[p].q[j], i_shl(i_and(i_shr(high[j], i + p), i_set1(0x01010101)), 2));
        UNROLL for (int h = 0; h < 2; h++) {
            const I16 s = i_and(i_shr(scales, 16 * p + 8 * h), i_set1(63));
            out[p].d[h] = v_mul(d, v_from_int(i_add(s, i_set1(-32))));
        }
    }
}

INLINE void load_iq4_xs_pair(const Rows *row, int64_t b, RowBlock out[2]) {
    const int64_t off = b / 8 * (int64_t)sizeof(BlockIQ4_XS);
    const int i = (int)(b % 8);
    const I16 head = dwords1(row, off), low = dwords1(row, off + (int64_t)offsetof(BlockIQ4_XS, scales_l));
    const V16 d = v_from_f16(i_low16(head));
    UNROLL for (int p = 0; p < 2; p++) {
        I16 q[4], s = i_and(i_shr(low, 4 * (i + p)), i_set1(15));
        dwords4(row, off + (int64_t)offsetof(BlockIQ4_XS, q) + 16 * (i + p), q);
        split_nibbles(q, out[p].q);
        UNROLL for (int j = 0; j < 8; j++) out[p].q[j] = w8_form(i_lookup(out[p].q[j], uneven_table()));
        s = i_or(s, i_shl(i_and(i_shr(head, 16 + 2 * (i + p)), i_set1(3)), 4));
        out[p].d[0] = v_mul(d, v_from_int(i_add(s, i_set1(-32))));
    }
}

INLINE void load_block(Dtype t, const Rows *row, int64_t b, RowBlock *out) {
    switch (t) {
    case DT_q8_0: load_q8_0(row, b, out); break;
    case DT_q4_0: load_q4_0(row, b, out); break;
    case DT_q5_0: load_q5_0(row, b, out); break;
    case DT_q5_1: load_q5_1(row, b, out); break;
    case DT_iq4_nl: load_iq4_nl(row, b, out); break;
    case DT_mxfp4: load_mxfp4(row, b, out); break;
    case DT_q4_1: load_q4_1(row, b, out); break;
    default: break; /* formats of 256 come in pairs */
    }
}

/* n = 1 or 2 times 32 elements from number 32*b on; t and n are constants. */
INLINE void load_blocks(Dtype t, int n, const Rows *row, int64_t b, RowBlock *out) {
    const bool apart = !row->packed; /* what lies side by side gains nothing from coming in pairs */
    if (apart && n == 2 && t == DT_q4_0)
        load_q4_0_pair(row, b, out);
    else if (apart && n == 2 && t == DT_q4_1)
        load_q4_1_pair(row, b, out);
    else if (apart && n == 2 && t == DT_q5_0)
        load_q5_0_pair(row, b, out);
    else if (n == 2 && t == DT_q2_k)
        load_q2_k_pair(row, b, out);
    else if (n == 2 && t == DT_q3_k)
        load_q3_k_pair(row, b, out);
    else if (n == 2 && t == DT_iq4_xs)
        load_iq4_xs_pair(row, b, out);
    else if (n == 2 && (t == DT_q4_k || t == DT_q5_k))
        load_k_pair(t, row, b, out);
    else if (n == 2 && t == DT_q6_k)
        load_q6_k_pair(row, b, out);
    else
        UNROLL for (int i = 0; i < n; i++) load_block(t, row, b + i, &out[i]);
}

#endif
