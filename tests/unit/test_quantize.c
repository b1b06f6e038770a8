/* Quantising: mixes against what llama-quantize picks, rows against each other on every instruction set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/cpu/cpu.h"
#include "backends/cpu/cpuid.h"
#include "core/quantize.h"

/* ---- mixes ---- */

typedef struct Shape {
    QuantModel m;
    int64_t width, ffn;
} Shape;

static bool part_named(const char *name, Part *out) {
    static const struct {
        const char *name;
        Part part;
    } parts[] = {{"embed", PART_EMBED}, {"head", PART_HEAD}, {"q", PART_Q},       {"k", PART_K},   {"v", PART_V},
                 {"qkv", PART_QKV},     {"o", PART_O},       {"gate", PART_GATE}, {"up", PART_UP}, {"down", PART_DOWN}};
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (strcmp(name, parts[i].name) == 0) return *out = parts[i].part, true;
    return false;
}

/* "q4_k*2,q6_k*1": the dtypes of layers from 0 on. */
static void check_runs(const char *line, const Shape *s, const Mix *mix, Part part, const char *runs) {
    int64_t layer = 0;
    for (const char *p = runs; *p; p += strcspn(p, ","), p += *p == ',') {
        char name[16];
        int count;
        assert_int_equal(sscanf(p, "%15[^*]*%d", name, &count), 2);
        for (int i = 0; i < count; i++, layer++) {
            QuantTensor t = {part, layer, part == PART_DOWN ? s->ffn : s->width, 2};
            const char *got = dtype_info[mix_dtype(mix, &s->m, &t)].name;
            if (strcmp(got, name) != 0) fail_msg("%s, layer %d: %s: %s", mix->name, (int)layer, got, line);
        }
    }
    assert_int_equal(layer, part == PART_EMBED || part == PART_HEAD ? 1 : s->m.layers);
}

static void test_mixes(void **state) {
    (void)state;
    char line[2048], copy[2048], name[16], mix_name[16];
    int n_lines = 0, tied, at;
    FILE *f = fopen(TEST_DATA "/mixes.txt", "r");
    assert_non_null(f);
    for (; fgets(line, sizeof line, f); n_lines++) {
        Shape s = {{0}, 0, 0};
        assert_int_equal(
            sscanf(line, "%15s %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %d %" SCNd64 " %" SCNd64 " %15s%n", name,
                   &s.m.layers, &s.m.heads, &s.m.kv_heads, &s.m.experts, &tied, &s.width, &s.ffn, mix_name, &at),
            9);
        s.m.tied = tied;
        const Mix *mix = mix_find(mix_name);
        if (!mix) fail_msg("no mix %s", mix_name);
        strcpy(copy, line);
        for (char *word = strtok(copy + at, " \n"); word; word = strtok(NULL, " \n")) {
            char *runs = strchr(word, '=');
            Part part = PART_EMBED;
            *runs++ = 0;
            if (!part_named(word, &part)) fail_msg("no part %s", word);
            check_runs(line, &s, mix, part, runs);
        }
    }
    fclose(f);
    assert_int_equal(n_lines, 11 * 19);
}

static void test_mix_edges(void **state) {
    (void)state;
    const QuantModel m = {.layers = 16, .heads = 8, .kv_heads = 8, .importance = true};
    const Part left[] = {PART_ATTN_NORM, PART_BIAS, PART_POSITIONS, PART_ROUTER};
    for (size_t i = 0; i < n_mixes; i++) {
        for (size_t k = 0; k < COUNT_OF(left); k++)
            assert_int_equal(mix_dtype(&mixes[i], &m, &(QuantTensor){left[k], 0, 256, 2}), DT_f32);
        assert_int_equal(mix_dtype(&mixes[i], &m, &(QuantTensor){PART_UP, 0, 256, 1}), DT_f32);
        Dtype odd = mix_dtype(&mixes[i], &m, &(QuantTensor){PART_UP, 0, 80, 2});
        assert_int_equal(odd, dtype_info[mixes[i].base].class == DTC_QUANT ? DT_f16 : mixes[i].base);
        assert_ptr_equal(mix_find(mixes[i].name), &mixes[i]);
    }
    assert_string_equal(mix_find("Q4_K")->name, "q4_k_m");
    assert_string_equal(mix_find("Iq4_XS")->name, "iq4_xs");
    assert_true(!mix_find("q4") && !mix_find("q4_k_x") && !mix_find(""));
    /* where importance is known: early rows of down get a minimum, and those of iq4_nl no more bits */
    const QuantTensor down = {PART_DOWN, 1, 256, 2}, late = {PART_DOWN, 2, 256, 2};
    assert_int_equal(mix_dtype(mix_find("q4_0"), &m, &down), DT_q4_1);
    assert_int_equal(mix_dtype(mix_find("q5_0"), &m, &down), DT_q5_1);
    assert_int_equal(mix_dtype(mix_find("q4_0"), &m, &late), DT_q4_0);
    assert_int_equal(mix_dtype(mix_find("q4_0"), &m, &(QuantTensor){PART_EXPERTS_DOWN, 1, 256, 3}), DT_q4_1);
    assert_int_equal(mix_dtype(mix_find("iq4_nl"), &m, &down), DT_iq4_nl);
    Buf names = {0};
    mix_names(&names);
    buf_char(&names, 0);
    assert_memory_equal(names.s, "f32, f16, bf16, q8_0", 20);
    buf_release(&names);
}

/* ---- rows ---- */

enum { ROWS = 5, WIDTH = 768 };

static float x[ROWS * WIDTH], importance[WIDTH];
static uint8_t bytes[ROWS * WIDTH * 4 + 1], other[ROWS * WIDTH * 4 + 1];

static float uniform(uint64_t *s) { /* -1..1 */
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(*s >> 32) * 0x1p-31f;
}

/* Rows of ordinary size, with a row of every odd kind of block. */
static void fill(uint64_t seed) {
    uint64_t s = seed;
    for (int i = 0; i < ROWS * WIDTH; i++) x[i] = uniform(&s) * uniform(&s) * 0.1f;
    for (int i = 0; i < WIDTH; i++) importance[i] = expf(4 * uniform(&s));
    memset(x + WIDTH, 0, 64 * sizeof *x);
    for (int i = 64; i < 512; i++) {
        float *at = &x[WIDTH + i];
        *at = i < 96    ? 0.5f
              : i < 128 ? -0.5f
              : i < 160 ? (i == 140 ? 3.0f : 0)
              : i < 192 ? *at * 1e-40f
              : i < 256 ? *at * 1e-6f
                        : *at;
        if (i >= 256) *at = i < 288 ? fabsf(*at) : i < 320 ? -fabsf(*at) : i < 352 ? *at * 6e5f : (float)(i % 7) - 3;
    }
}

static double weighted_error(Dtype t, const uint8_t *from) {
    static float y[ROWS * WIDTH];
    double sum = 0;
    for (int r = 0; r < ROWS; r++) {
        dtype_info[t].decode(from + r * dtype_row_bytes(t, WIDTH), y, WIDTH);
        for (int i = 0; i < WIDTH; i++) {
            double off = (double)(y[i] - x[r * WIDTH + i]);
            sum += off * off * (double)importance[i];
        }
    }
    return sum;
}

static void test_same_everywhere(void **state) {
    (void)state;
    for (Dtype t = 0; t < DT_COUNT; t++)
        for (int how = 0; how < 2 && dtype_info[t].class <= DTC_QUANT; how++) {
            const float *imp = how ? importance : NULL;
            const size_t row = (size_t)dtype_row_bytes(t, WIDTH);
            fill(t + 1);
            assert_true(quantize_rows(t, x, ROWS, WIDTH, imp, bytes));
            for (int r = 0; r < ROWS; r++) quantize_rows(t, x + r * WIDTH, 1, WIDTH, imp, other + (size_t)r * row);
            if (memcmp(bytes, other, ROWS * row) != 0) fail_msg("%s: rows feel each other", dtype_info[t].name);
            for (Isa isa = 0; isa <= isa_best(); isa++) {
                memset(other, 0xaa, sizeof other);
                assert_true(cpu_quantize_rows(isa_name(isa))(t, x, ROWS, WIDTH, imp, other));
                if (memcmp(bytes, other, ROWS * row) != 0) fail_msg("%s on %s", dtype_info[t].name, isa_name(isa));
                assert_int_equal(other[ROWS * row], 0xaa);
            }
        }
    assert_null(cpu_quantize_rows("z80"));
    assert_non_null(cpu_quantize_rows(NULL));
}

/* q8_0 of clean rows is what the cache makes. */
static void test_q8_0(void **state) {
    (void)state;
    fill(9);
    for (int i = 0; i < 64; i++) x[i] = ((float)(i % 32) - 15.5f) * 127 / 15.5f; /* halves of a step */
    quantize_rows(DT_q8_0, x, ROWS, WIDTH, NULL, bytes);
    dtype_info[DT_q8_0].encode(x, other, ROWS * WIDTH);
    assert_memory_equal(bytes, other, (size_t)dtype_row_bytes(DT_q8_0, ROWS * WIDTH));
}

/* Knowing what columns cost helps, whatever its unit; nothing known is not all 0. */
static void test_importance(void **state) {
    (void)state;
    for (Dtype t = 0; t < DT_COUNT; t++) {
        if (dtype_info[t].class != DTC_QUANT || t == DT_q8_0) continue;
        fill(t + 100);
        uint64_t s = t + 100;
        for (int i = 0; i < ROWS * WIDTH; i++) x[i] = uniform(&s) + uniform(&s);
        quantize_rows(t, x, ROWS, WIDTH, NULL, bytes);
        quantize_rows(t, x, ROWS, WIDTH, importance, other);
        double before = weighted_error(t, bytes), after = weighted_error(t, other);
        if (!(after < 0.97 * before)) fail_msg("%s: %g, with importance %g", dtype_info[t].name, before, after);
        for (int i = 0; i < WIDTH; i++) importance[i] *= 0x1p-30f;
        quantize_rows(t, x, ROWS, WIDTH, importance, bytes);
        assert_memory_equal(bytes, other, (size_t)dtype_row_bytes(t, ROWS * WIDTH));
        memset(importance, 0, sizeof importance);
        quantize_rows(t, x, ROWS, WIDTH, importance, other);
        quantize_rows(t, x, ROWS, WIDTH, NULL, bytes);
        assert_memory_equal(bytes, other, (size_t)dtype_row_bytes(t, ROWS * WIDTH));
    }
}

/* What no scale can hold is told, and stands as 0 or as the largest; other blocks do not feel it. */
static void test_unfit(void **state) {
    (void)state;
    const float odd[] = {NAN, INFINITY, -INFINITY, 65536, -1e30f, 65504, -65504};
    for (Dtype t = 0; t < DT_COUNT; t++)
        for (size_t k = 0; k < COUNT_OF(odd) && dtype_info[t].class == DTC_QUANT; k++) {
            float y[WIDTH];
            fill(t + 200);
            x[300] = odd[k];
            for (Isa isa = 0; isa <= isa_best(); isa++)
                assert_int_equal(cpu_quantize_rows(isa_name(isa))(t, x, 1, WIDTH, NULL, bytes), k >= 5);
            x[300] = k == 0 ? 0 : copysignf(65504, odd[k]);
            assert_true(quantize_rows(t, x, 1, WIDTH, NULL, other));
            assert_memory_equal(bytes, other, (size_t)dtype_row_bytes(t, WIDTH));
            dtype_info[t].decode(bytes, y, WIDTH);
            for (int i = 0; i < WIDTH; i++) assert_true(isfinite(y[i]));
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mixes),           cmocka_unit_test(test_mix_edges),
                                       cmocka_unit_test(test_same_everywhere), cmocka_unit_test(test_q8_0),
                                       cmocka_unit_test(test_importance),      cmocka_unit_test(test_unfit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
