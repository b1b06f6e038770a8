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

/* What encode loses is at most half a step of the format. */
static void quantisation(void **state) {
    (void)state;
    const Dtype types[] = {DT_q8_0, DT_q4_1, DT_a8};
    float x[64], y[64];
    char bytes[128];
    for (int round = 0; round < 200; round++) {
        float lo = 0, hi = 0, most = 0;
        for (int i = 0; i < 64; i++) {
            x[i] = (float)((i * 37 + round * 101) % 997) / 100 - 4.5f;
            if (i < 32)
                lo = fminf(i ? lo : x[0], x[i]), hi = fmaxf(i ? hi : x[0], x[i]), most = fmaxf(most, fabsf(x[i]));
        }
        for (size_t t = 0; t < COUNT_OF(types); t++) {
            dtype_info[types[t]].encode(x, bytes, 64);
            dtype_info[types[t]].decode(bytes, y, 64);
            float step = types[t] == DT_q4_1 ? (hi - lo) / 15 : most / 127,
                  slack = fmaxf(most, hi - lo) * 0x1p-10f; /* f16 scale */
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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(half_floats), cmocka_unit_test(quantisation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
