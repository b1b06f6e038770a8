/* Weights out of their blocks, once per dtype; everything tuned that reads weights starts here.
 *
 *   decode16     16 consecutive elements of one row as f32: embeddings, products over rows
 *   unpack_f32   16 rows x n columns as an f32 panel [n][16], rows in the lanes: products of f32 activations
 *   unpack_pairs the same of 16-bit elements, two to a lane, undecoded: products of bf16 activations
 *   load_q8_0, load_q4_1   one block of 16 rows as integers and scales: products of a8 activations
 *
 * f32 values are those of dtype_info[].decode, bit for bit. Only bytes of the rows are read. */
#ifndef CPU_UNPACK_H
#define CPU_UNPACK_H

#include "backends/cpu/vec16.h"

/* The 16 rows from n0 on; past the last row it stands in for the missing ones, whose lanes nobody stores. */
INLINE void rows_at(const char *w, int64_t stride, int64_t n0, int64_t n_rows, const char *row[16]) {
    for (int64_t r = 0; r < LANES; r++) row[r] = w + MIN(n0 + r, n_rows - 1) * stride;
}

INLINE uint16_t u16_at(const char *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return h;
}
INLINE int32_t i32_at(const char *p) {
    int32_t x;
    memcpy(&x, p, 4);
    return x;
}
INLINE float f16_at(const char *p) { return _cvtsh_ss(u16_at(p)); }

/* Elements k..k+15 of a row; k is a multiple of 16. t is a constant wherever this is called. */
INLINE V16 decode16(Dtype t, const char *row, int64_t k) {
    if (t == DT_f32) return v_load(row + 4 * k);
    if (t == DT_f16) return v_from_f16(ymm_at(row + 2 * k));
    if (t == DT_bf16) return v_from_bf16(ymm_at(row + 2 * k));
    if (t == DT_q8_0) {
        const char *b = row + k / 32 * (int64_t)sizeof(BlockQ8_0);
        return v_mul(v_from_i8(xmm_at(b + offsetof(BlockQ8_0, q) + k % 32)), v_set1(f16_at(b)));
    }
    const char *b =
        row + k / 32 * (int64_t)sizeof(BlockQ4_1); /* q*d is exact, so the fused sum rounds as decode does */
    __m128i q = xmm_at(b + offsetof(BlockQ4_1, q));
    if (k % 32) q = _mm_srli_epi16(q, 4);
    return v_fma(v_from_i8(_mm_and_si128(q, _mm_set1_epi8(15))), v_set1(f16_at(b)),
                 v_set1(f16_at(b + offsetof(BlockQ4_1, m))));
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
    if (k == n || t == DT_q8_0 || t == DT_q4_1) return;
    RowTails tail;
    rows_tail(&tail, row, k0 + k, n - k, t == DT_f32 ? 4 : 2);
    float whole[16][LANES];
    rows_decode16(t, tail.row, 0, z);
    UNROLL for (int i = 0; i < 16; i++) v_store(whole[i], z[i]);
    memcpy(panel + k * LANES, whole, (size_t)(n - k) * sizeof whole[0]);
}

#define UNPACK_F32(t)                                                                                                  \
    static inline                                                                                                      \
        __attribute__((unused)) void unpack_f32_##t(const char *const row[16], int64_t k0, int64_t n, float *panel) {  \
        unpack_f32_any(DT_##t, row, k0, n, panel);                                                                     \
    }
UNPACK_F32(f32)
UNPACK_F32(f16)
UNPACK_F32(bf16)
UNPACK_F32(q8_0)
UNPACK_F32(q4_1)

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

/* The f16 at byte off of each row. */
INLINE __m256i rows_f16(const char *const row[16], int64_t off) {
#define H(r) (short)u16_at(row[r] + off)
    return _mm256_setr_epi16(H(0), H(1), H(2), H(3), H(4), H(5), H(6), H(7), H(8), H(9), H(10), H(11), H(12), H(13),
                             H(14), H(15));
#undef H
}

/* Block b of 16 rows: byte i of lane r of q[j] is element 4j+i of row r, in w8_form; d the scales. */
INLINE void load_q8_0(const char *const row[16], int64_t b, I16 q[8], V16 *d) {
    int64_t off = b * (int64_t)sizeof(BlockQ8_0);
    rows_load8(row, off + (int64_t)offsetof(BlockQ8_0, q), q);
    UNROLL for (int j = 0; j < 8; j++) q[j] = w8_form(q[j]);
    *d = v_from_f16(rows_f16(row, off));
}

/* The same of q4_1; q in 0..15. */
INLINE void load_q4_1(const char *const row[16], int64_t b, I16 q[8], V16 *d, V16 *m) {
    int64_t off = b * (int64_t)sizeof(BlockQ4_1);
    const I16 low = i_set1(0x0f0f0f0f);
    rows_load4(row, off + (int64_t)offsetof(BlockQ4_1, q), q);
    UNROLL for (int j = 0; j < 4; j++) q[j + 4] = i_and(i_shr4(q[j]), low), q[j] = i_and(q[j], low);
#define D(r) i32_at(row[r] + off)
    __m256i dm0 = _mm256_setr_epi32(D(0), D(1), D(2), D(3), D(4), D(5), D(6), D(7));
    __m256i dm1 = _mm256_setr_epi32(D(8), D(9), D(10), D(11), D(12), D(13), D(14), D(15));
#undef D
    const __m256i half = _mm256_set1_epi32(0xffff);
    __m256i d16 = _mm256_packus_epi32(_mm256_and_si256(dm0, half), _mm256_and_si256(dm1, half));
    __m256i m16 = _mm256_packus_epi32(_mm256_srli_epi32(dm0, 16), _mm256_srli_epi32(dm1, 16));
    *d = v_from_f16(_mm256_permute4x64_epi64(d16, 0xd8)); /* pack works inside 128-bit lanes */
    *m = v_from_f16(_mm256_permute4x64_epi64(m16, 0xd8));
}

#endif
