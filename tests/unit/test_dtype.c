/* What a dtype's bits mean: 16-bit floats exhaustively, block formats within half a step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>

#include "core/dtype.h"

/* Every f16 there and back; rounding of f32 to f16 and bf16 to the nearest, ties to even, checked against exhaustive
 * neighbours. */
static void half_floats(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = f16_to_f32((uint16_t)h);
        if (isnan(f))
            assert_true(isnan(f16_to_f32(f32_to_f16(f))));
        else
            assert_int_equal(f32_to_f16(f), h);
    }
    for (uint32_t h = 0; h < 0x7c00; h++) { /* between neighbours: below, at and above the middle */
        float lo = f16_to_f32((uint16_t)h), hi = h == 0x7bff ? 65536.0f : f16_to_f32((uint16_t)(h + 1)),
              mid = (lo + hi) / 2;
        assert_int_equal(f32_to_f16(nextafterf(mid, 0)), h);
        assert_int_equal(f32_to_f16(nextafterf(mid, 1e9f)), h + 1);
        assert_int_equal(f32_to_f16(mid), h % 2 ? h + 1 : h);
        assert_int_equal(f32_to_f16(-mid), 0x8000 | (h % 2 ? h + 1 : h));
    }
    assert_int_equal(f32_to_bf16(1.00390625f), 0x3f80); /* 1 + 2^-8: a tie, to even */
    assert_int_equal(f32_to_bf16(1.01171875f), 0x3f82); /* 1 + 3 * 2^-8: a tie, to even */
    assert_true(isnan(bf16_to_f32(f32_to_bf16(NAN))) && isinf(bf16_to_f32(f32_to_bf16(INFINITY))));
}

/* What encode loses is at most half a step of formats of 8 bits. */
static void quantisation(void **state) {
    (void)state;
    const Dtype types[] = {DT_q8_0, DT_a8};
    float x[64], y[64];
    char bytes[128];
    for (int round = 0; round < 200; round++) {
        float most = 0;
        for (int i = 0; i < 64; i++) {
            x[i] = (float)((i * 37 + round * 101) % 997) / 100 - 4.5f;
            if (i < 32) most = fmaxf(most, fabsf(x[i]));
        }
        for (size_t t = 0; t < COUNT_OF(types); t++) {
            dtype_info[types[t]].encode(x, bytes, 64);
            dtype_info[types[t]].decode(bytes, y, 64);
            float step = most / 127, slack = most * 0x1p-10f; /* f16 scale */
            for (int i = 0; i < 32; i++)
                if (fabsf(x[i] - y[i]) > step / 2 + slack)
                    fail_msg("%s: %g became %g", dtype_info[types[t]].name, (double)x[i], (double)y[i]);
        }
    }
    memset(x, 0, sizeof x); /* all zeros stay zeros */
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        dtype_info[types[t]].encode(x, bytes, 64);
        dtype_info[types[t]].decode(bytes, y, 64);
        for (int i = 0; i < 64; i++) assert_true(y[i] == 0);
    }
}

/* A block of 8 bits that holds an infinity or NaN is NaN, one of values too small for its scale is zeros; its neighbour
 * does not feel it. */
static void odd_blocks(void **state) {
    (void)state;
    const Dtype types[] = {DT_q8_0, DT_a8};
    const float odd[] = {NAN, INFINITY, -INFINITY, 1e-42f, -1e-39f};
    for (size_t t = 0; t < COUNT_OF(types); t++)
        for (size_t k = 0; k < COUNT_OF(odd); k++) {
            float x[64] = {[3] = odd[k], [40] = 127}, y[64];
            char bytes[128];
            dtype_info[types[t]].encode(x, bytes, 64);
            dtype_info[types[t]].decode(bytes, y, 64);
            for (int i = 0; i < 32; i++) assert_true(k < 3 ? isnan(y[i]) : y[i] == 0);
            for (int i = 32; i < 64; i++) assert_true(y[i] == x[i]);
        }
}

/* Bits of decode over blocks of any bytes, as the Python package gguf (0.19) dequantises them: FNV-1a of the floats.
 * scale_at: where f16 scales stand, whose top exponent bit is cleared so that all is finite. */
static const struct {
    Dtype t;
    int scale_at[2];
    uint64_t hash;
} goldens[] = {
    {DT_q8_0, {0, 0}, 0x5362fb061551979d},     {DT_q4_0, {0, 0}, 0x28e2c7d2f1c58170},
    {DT_q4_1, {0, 2}, 0xb9921b8ec094e1d1},     {DT_q5_0, {0, 0}, 0x5d85fa12b8c480fb},
    {DT_q5_1, {0, 2}, 0xdde418067845e50f},     {DT_q2_k, {80, 82}, 0x46c25829eed7cdb0},
    {DT_q3_k, {108, 108}, 0x1b499bc3d182b831}, {DT_q4_k, {0, 2}, 0x921c79556c200278},
    {DT_q5_k, {0, 2}, 0xb70346207029abe5},     {DT_q6_k, {208, 208}, 0x59556bb8f527445e},
    {DT_iq4_nl, {0, 0}, 0x2bbf520b067125e5},   {DT_iq4_xs, {0, 0}, 0x0759674e54b96c38},
    {DT_mxfp4, {0, 0}, 0xdc8fa19c838277e1},
};

static uint64_t decoded_hash(size_t i, size_t flip) {
    const DtypeInfo *d = &dtype_info[goldens[i].t];
    uint8_t bytes[8 * 256];
    float x[8 * 256];
    uint32_t state = 1;
    uint64_t hash = 0xcbf29ce484222325;
    size_t n = 8 * (size_t)d->block_bytes;
    assert_true(n <= sizeof bytes);
    for (size_t k = 0; k < n; k++) bytes[k] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
    for (int b = 0; b < 8; b++)
        for (int k = 0; k < 2; k++) bytes[b * d->block_bytes + goldens[i].scale_at[k] + 1] &= 0xbf;
    if (flip < n) bytes[flip] ^= 0xff;
    d->decode(bytes, x, 8 * d->block);
    for (size_t k = 0; k < (size_t)d->block * 8 * 4; k++) hash = (hash ^ ((const uint8_t *)x)[k]) * 0x100000001b3;
    return hash;
}

static void golden_blocks(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(goldens); i++) {
        if (decoded_hash(i, SIZE_MAX) != goldens[i].hash) fail_msg("%s", dtype_info[goldens[i].t].name);
        for (size_t k = 0; k < (size_t)dtype_info[goldens[i].t].block_bytes; k++) /* every byte counts */
            if (decoded_hash(i, k) == goldens[i].hash) fail_msg("%s: byte %zu", dtype_info[goldens[i].t].name, k);
    }
}

/* What encode loses of normal random numbers, relative, root mean square: at most 5 % above what it lost when written.
 * llama.cpp's encoders lose 0.0054 (q8_0, the same bytes) to 10 % more (tests/parity/check_rmse.py). */
static const struct {
    Dtype t;
    double loss;
} losses[] = {{DT_q8_0, 0.0054}, {DT_q4_0, 0.0863}, {DT_q4_1, 0.0784}, {DT_q5_0, 0.0429},  {DT_q5_1, 0.038},
              {DT_q4_k, 0.0715}, {DT_q5_k, 0.0358}, {DT_q6_k, 0.0174}, {DT_iq4_nl, 0.0734}};

static void encode_loss(void **state) {
    (void)state;
    enum { N = 256 * 64 };
    static float x[N], y[N];
    static char bytes[N * 2];
    uint64_t s = 1;
    for (int i = 0; i < N; i++) { /* the sum of 12 uniform numbers */
        x[i] = -6;
        for (int k = 0; k < 12; k++)
            x[i] += (float)((s = s * 6364136223846793005u + 1442695040888963407u) >> 40) * 0x1p-24f;
    }
    for (size_t t = 0; t < COUNT_OF(losses); t++) {
        double off = 0, size = 0;
        dtype_info[losses[t].t].encode(x, bytes, N);
        dtype_info[losses[t].t].decode(bytes, y, N);
        for (int i = 0; i < N; i++) {
            off += (double)(x[i] - y[i]) * (double)(x[i] - y[i]), size += (double)x[i] * (double)x[i];
        }
        if (sqrt(off / size) > 1.05 * losses[t].loss)
            fail_msg("%s loses %g", dtype_info[losses[t].t].name, sqrt(off / size));
        memset(x, 0, 256 * sizeof *x); /* zeros stay zeros, beside whatever else */
        dtype_info[losses[t].t].encode(x, bytes, 256);
        dtype_info[losses[t].t].decode(bytes, y, 256);
        for (int i = 0; i < 256; i++) assert_true(y[i] == 0);
        memcpy(x, x + 256, 256 * sizeof *x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(half_floats), cmocka_unit_test(quantisation),
                                       cmocka_unit_test(odd_blocks), cmocka_unit_test(golden_blocks),
                                       cmocka_unit_test(encode_loss)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
