/* Scores of logits against sums that are written out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>

#include "core/score.h"

static void near(double a, double b) {
    if (!(fabs(a - b) <= 1e-12 * (1 + fabs(b)))) fail_msg("%.17g is not %.17g", a, b);
}

/* Probabilities 1/7, 2/7, 4/7, whatever is added to all logits. */
static void test_nll(void **state) {
    (void)state;
    for (int k = -1; k <= 1; k++) {
        float x[3];
        for (int i = 0; i < 3; i++) x[i] = (float)(300 * k) + (float)i;
        double z = 1 + exp(1) + exp(2);
        near(score_nll(x, 3, 0), log(z));
        near(score_nll(x, 3, 1), log(z) - 1);
        near(score_nll(x, 3, 2), log(z) - 2);
    }
    assert_true(isnan(score_nll((float[]){0, NAN, 1}, 3, 0)));
}

static void test_kl(void **state) {
    (void)state;
    const float p[4] = {0, 1, 2, 3}, q[4] = {3, -1, 0.5F, 2};
    double zp = 0, zq = 0, kl = 0;
    for (int i = 0; i < 4; i++) zp += exp((double)p[i]), zq += exp((double)q[i]);
    for (int i = 0; i < 4; i++) kl += exp((double)p[i]) / zp * ((double)p[i] - log(zp) - (double)q[i] + log(zq));
    near(score_kl(p, q, 4), kl);
    near(score_kl(p, p, 4), 0);
    /* what p forbids costs nothing */
    near(score_kl((float[]){-INFINITY, 0}, (float[]){5, 0}, 2), log(1 + exp(5)));
}

static void test_top(void **state) {
    (void)state;
    float gap;
    assert_int_equal(score_top((float[]){1, 4, 2, 3.5F}, 4, &gap), 1);
    near((double)gap, 0.5);
    assert_int_equal(score_top((float[]){2, 2, 1}, 3, &gap), 0);
    near((double)gap, 0);
    assert_int_equal(score_top((float[]){5, 1, 2}, 3, &gap), 0);
    near((double)gap, 3);
}

static void test_mean(void **state) {
    (void)state;
    Mean m = {0};
    assert_true(isnan(mean_of(&m)));
    for (int i = 1; i <= 5; i++) mean_add(&m, i);
    near(mean_of(&m), 3);
    near(mean_error(&m), sqrt(2.0 / 4));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nll), cmocka_unit_test(test_kl),
                                       cmocka_unit_test(test_top), cmocka_unit_test(test_mean)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
