/* New models: values have the mean and the spread that the rule says, whatever is asked for at once; rules are those of
 * the families; settings that are left out are derived. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/init.h"

enum { COUNT = 1 << 18 };

static void moments(const float *x, double *mean, double *var, double *fourth) {
    *mean = *var = *fourth = 0;
    for (int i = 0; i < COUNT; i++) *mean += (double)x[i] / COUNT;
    for (int i = 0; i < COUNT; i++) *var += pow((double)x[i] - *mean, 2) / COUNT;
    for (int i = 0; i < COUNT; i++) *fourth += pow((double)x[i] - *mean, 4) / COUNT;
    *fourth /= *var * *var;
}

/* Five times what the mean, the standard deviation and the fourth moment of COUNT normal values spread by. */
static bool is_normal(const float *x, double std) {
    double mean, var, fourth;
    moments(x, &mean, &var, &fourth);
    return fabs(mean) < 5 * std / sqrt(COUNT) && fabs(sqrt(var) / std - 1) < 5 / sqrt(2.0 * COUNT) &&
           fabs(fourth - 3) < 5 * sqrt(96.0 / COUNT);
}

static void values(void **state) {
    const InitRule rule = {.std = 0.02f};
    float *x = malloc(COUNT * sizeof *x), *y = malloc(COUNT * sizeof *y);
    double both = 0;
    (void)state;
    assert_true(x && y);
    init_values(rule, 7, "a.weight", 0, COUNT, x);
    assert_true(is_normal(x, 0.02));
    assert_false(is_normal(x, 0.0204));
    assert_false(is_normal(x, 0.0196));
    for (int64_t at = 0, n; at < COUNT; at += n) { /* in parts of any size */
        n = MIN(1 + at % 77, COUNT - at);
        init_values(rule, 7, "a.weight", at, n, y + at);
    }
    assert_memory_equal(x, y, COUNT * sizeof *x);
    init_values(rule, 7, "b.weight", 0, COUNT, y);
    for (int i = 0; i < COUNT; i++) both += (double)x[i] * (double)y[i] / COUNT;
    assert_true(is_normal(y, 0.02) && fabs(both) < 5 * 0.02 * 0.02 / sqrt(COUNT));
    init_values(rule, 8, "a.weight", 0, COUNT, y);
    assert_memory_not_equal(x, y, COUNT * sizeof *x);
    init_values((InitRule){.fill = 1}, 7, "a.weight", 0, COUNT, y);
    assert_true(y[0] >= 1 && y[0] <= 1 && y[COUNT - 1] >= 1 && y[COUNT - 1] <= 1);
    free(x);
    free(y);
}

static const ArchRow *family(const char *name) {
    for (size_t i = 0; i < arch_count; i++)
        if (strcmp(arch_table[i].name, name) == 0) return &arch_table[i];
    fail_msg("no family '%s'", name);
    return NULL;
}

static void make(Model *m, const char *name) {
    const Value none = {.kind = VALUE_OBJECT};
    Err e = {0};
    if (!init_model(m, family(name), &none, &(InitDefaults){.vocab = 300, .ctx = 128}, (Log){0}, &e))
        fail_msg("%s: %s", name, e.msg);
}

static void check_rule(const char *name, Part part, double fill, double std) {
    Model m;
    make(&m, name);
    const Weight *w = model_part(&m, part, 0);
    assert_non_null(w);
    const InitRule r = init_rule(&m, w->row);
    if (fabs((double)r.fill - fill) > 0 || fabs((double)r.std - std) > 1e-9)
        fail_msg("%s '%s': %g, std %g", name, w->name, (double)r.fill, (double)r.std);
    model_release(&m);
}

static void rules(void **state) {
    (void)state;
    check_rule("llama", PART_EMBED, 0, 0.02);
    check_rule("llama", PART_DOWN, 0, 0.02);
    check_rule("llama", PART_NORM, 1, 0);
    check_rule("gemma2", PART_NORM, 0, 0); /* it is 1 + w */
    check_rule("gemma3", PART_Q_NORM, 0, 0);
    check_rule("qwen3", PART_K_NORM, 1, 0);
    check_rule("gpt2", PART_ATTN_NORM, 1, 0);
    check_rule("gpt2", PART_POSITIONS, 0, 0.02);
    check_rule("gpt2", PART_O, 0, 0.02 / sqrt(2 * 8)); /* of 8 layers */
    check_rule("gpt2", PART_DOWN, 0, 0.02 / sqrt(2 * 8));
    check_rule("mixtral", PART_ROUTER, 0, 0.02);
}

/* What every family derives is a model that it opens: all tensors there, none too many. */
static void families(void **state) {
    (void)state;
    for (size_t i = 0; i < arch_count; i++) {
        Model m;
        make(&m, arch_table[i].name);
        const Config *c = &m.cfg;
        assert_ptr_equal(m.arch, &arch_table[i]);
        assert_int_equal(c->width, 512);
        assert_int_equal(c->layers, 8);
        assert_int_equal(c->heads, 8);
        assert_int_equal(c->kv_heads, 8);
        assert_int_equal(c->head_dim, 64);
        assert_int_equal(c->vocab, 300);
        assert_int_equal(c->ctx, 128);
        assert_int_equal(c->ffn, arch_has_part(m.arch, PART_GATE) || arch_has_part(m.arch, PART_GATE_UP) ||
                                         arch_has_part(m.arch, PART_EXPERTS_GATE)
                                     ? 1408
                                     : 2048);
        if (!c->tied) {
            const int64_t params = m.params;
            assert_true(model_tie(&m) && m.params == params - 300 * 512);
            assert_null(model_weight(&m, "lm_head.weight"));
            assert_non_null(model_weight(&m, model_part(&m, PART_NORM, 0)->name));
        }
        assert_false(model_tie(&m));
        model_release(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(values), cmocka_unit_test(rules), cmocka_unit_test(families)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
