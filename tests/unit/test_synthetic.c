/* Synthetic models: shapes of published models have their parameters, every family and every type can be made, values
 * are those of a new model, the same at every call. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/init.h"
#include "core/quantize.h"
#include "formats/synthetic.h"

static bool params_of(const char *family, const char *size, int64_t *params, Err *e) {
    Arena a = {0};
    Value given;
    Model m;
    const ArchRow *arch = arch_named(family, e);
    bool ok = arch && init_shape(arch, str_of(size), &a, &given, e) &&
              init_model(&m, arch, &given, &(InitDefaults){.ctx = 1}, (Log){0}, e);
    if (ok) *params = m.params, model_release(&m);
    arena_release(&a);
    return ok;
}

/* As counted in the published files. */
static const struct {
    const char *family, *size;
    int64_t params;
} published[] = {
    {"llama", "135M", 134515008},     {"llama", "360M", 361821120},      {"llama", "1B", 1235814400},
    {"llama", "1.1B", 1100048384},    {"llama", "1.7B", 1711376384},     {"llama", "3B", 3212749824},
    {"llama", "7B", 6738415616},      {"llama", "8b", 8030261248},       {"llama", "13B", 13015864320},
    {"llama", "70B", 70553706496},    {"mistral", "7B", 7248023552},     {"mistral", "12B", 12247782400},
    {"mixtral", "8x7B", 46702792704}, {"qwen2", "0.5B", 494032768},      {"qwen2", "1.5B", 1543714304},
    {"qwen2", "3B", 3085938688},      {"qwen2", "7B", 7615616512},       {"qwen2", "14B", 14770033664},
    {"qwen2", "32B", 32763876352},    {"qwen3", "0.6B", 596049920},      {"qwen3", "1.7B", 1720574976},
    {"qwen3", "4B", 4022468096},      {"qwen3", "8B", 8190735360},       {"qwen3", "14B", 14768307200},
    {"qwen3", "32B", 32762123264},    {"qwen3_moe", "30B", 30532122624}, {"smollm3", "3B", 3075098624},
    {"phi3", "3.8B", 3821079552},     {"phi3", "14B", 14659507200},      {"gemma2", "2B", 2614341888},
    {"gemma2", "9B", 9241705984},     {"gemma3", "270M", 268098176},     {"gemma3", "1B", 999885952},
    {"gemma3", "4B", 3880099328},     {"gemma3", "12B", 11765788416},    {"phi", "1.3B", 1418270720},
    {"phi", "2.7B", 2779683840},      {"gpt2", "124M", 124439808},       {"gpt2", "355M", 354823168},
    {"gpt2", "774M", 774030080},      {"gpt2", "1.5B", 1557611200},
};

static void sizes(void **state) {
    Err e;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(published); i++) {
        int64_t params = 0;
        if (!params_of(published[i].family, published[i].size, &params, &e)) fail_msg("%s", e.msg);
        if (params != published[i].params)
            fail_msg("%s %s: %lld parameters, not %lld", published[i].family, published[i].size, (long long)params,
                     (long long)published[i].params);
    }
    for (size_t i = 0; i < arch_count; i++) { /* any other: not more, and not much less */
        int64_t less = 0, more = 0;
        if (!params_of(arch_table[i].name, "60M", &less, &e)) fail_msg("%s", e.msg);
        if (!params_of(arch_table[i].name, "6b", &more, &e)) fail_msg("%s", e.msg);
        assert_true(less <= 60000000 && less > 40000000 && more <= 6000000000 && more > 5400000000);
    }
}

static void no_sizes(void **state) {
    static const char *const bad[] = {"",    "B",  "x",    "-1B",
                                      "1",   "1Q", "nanB", "1e30B",
                                      "1BB", "1K", "8x7B", "111111111111111111111111111111111111111111M"};
    int64_t params;
    Err e;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_false(params_of("llama", bad[i], &params, &e));
        assert_int_equal(e.code, ERR_USAGE);
    }
}

/* All finite; of matrices mean and spread are those of the rule, but for what the dtype rounds away; norms are 1. */
static void check_weight(const Model *m, const Weight *w) {
    const int64_t width = w->t.ne[w->t.ndim - 1], rows = tensor_rows(&w->t);
    const bool matrix = w->t.ndim > 1;
    float *row = malloc((size_t)width * sizeof *row);
    double sum = 0, squares = 0, n = (double)(rows * width);
    assert_non_null(row);
    for (int64_t r = 0; r < rows; r++) {
        dtype_info[w->t.dtype].decode(tensor_row(&w->t, r), row, width);
        for (int64_t i = 0; i < width; i++) {
            assert_true(isfinite(row[i]));
            sum += (double)row[i], squares += (double)row[i] * (double)row[i];
        }
    }
    if (matrix && (fabs(sum / n) > 0.001 || fabs(sqrt(squares / n) / 0.02 - 1) > 0.05))
        fail_msg("%s %s: mean %g, root of squares %g", m->file.path, w->name, sum / n, sqrt(squares / n));
    if (!matrix && w->row->part != PART_BIAS) assert_true(fabs(sum - n) < 1e-6 && fabs(squares - n) < 1e-6);
    if (w->row->part == PART_BIAS) assert_true(fabs(sum) + squares <= 0);
    free(row);
}

static void check_model(const char *name, Dtype main) {
    TensorFile f;
    Model m;
    TokSpec tok;
    Err e;
    bool any = false;
    if (!tensor_file_open(name, &f, &e) || !model_init(&m, &f, (Log){0}, &e)) fail_msg("%s", e.msg);
    for (size_t i = 0; i < m.n; i++) {
        any = any || m.weights[i].t.dtype == main;
        if (!m.arch->scaled_residual) check_weight(&m, &m.weights[i]);
    }
    assert_true(any);
    assert_true(gguf_tok_spec(&m.file, &tok, &e) && tok.n_vocab == m.cfg.vocab);
    tok_spec_release(&tok);
    model_release(&m);
}

static void families(void **state) {
    (void)state;
    for (size_t i = 0; i < arch_count; i++) {
        char name[64];
        snprintf(name, sizeof name, "synthetic:%s:8M:q4_0", arch_table[i].name);
        check_model(name, DT_q4_0);
    }
}

static void types(void **state) {
    (void)state;
    for (size_t i = 0; i < n_mixes; i++) {
        char name[64];
        snprintf(name, sizeof name, "synthetic:llama:6M:%s", mixes[i].name);
        check_model(name, mixes[i].base); /* 256 columns */
    }
    check_model("synthetic:llama:1M", DT_bf16);
}

static void same(void **state) {
    Mapping a, b;
    Err e;
    (void)state;
    assert_true(synthetic_map("synthetic:qwen3:2M:q4_k_m", &a, &e) &&
                synthetic_map("synthetic:qwen3:2M:q4_k_m", &b, &e));
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.bytes, b.bytes, a.n);
    unmap_file(&a);
    unmap_file(&b);
}

static void names(void **state) {
    static const struct {
        const char *name;
        ErrCode code;
        const char *says;
    } bad[] = {{"synthetic:", ERR_USAGE, "FAMILY:SIZE"},
               {"synthetic:llama", ERR_USAGE, "FAMILY:SIZE"},
               {"synthetic:llama:1M:q4_0:x", ERR_USAGE, "FAMILY:SIZE"},
               {"synthetic:lama:1M", ERR_USAGE, "'lama'"},
               {"synthetic:llama:1M:", ERR_USAGE, "known: f32, "},
               {"synthetic:llama:1M:q9", ERR_USAGE, "'q9'"},
               {"synthetic:qwen3:1Z", ERR_USAGE, "0.6B, 1.7B, "},
               {"synthetic:llama:3000B:f32", ERR_FIT, "cannot make"}};
    Mapping m;
    Err e;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_false(synthetic_map(bad[i].name, &m, &e));
        if (e.code != (int)bad[i].code || !strstr(e.msg, bad[i].says)) fail_msg("%s: %s", bad[i].name, e.msg);
    }
    assert_false(synthetic_is("synthetic") || synthetic_is("./synthetic:llama:1M") || path_is_dir("synthetic:llama"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(no_sizes), cmocka_unit_test(families),
                                       cmocka_unit_test(types), cmocka_unit_test(same),     cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
