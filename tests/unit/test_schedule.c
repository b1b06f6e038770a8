/* Learning rates: the ends, the middle and the warm-up of every curve. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/schedule.h"

static void at(ScheduleKind kind, int64_t i, double want) {
    const Schedule s = {.kind = kind, .lr = 2, .updates = 110, .warmup = 10};
    double got = schedule_lr(&s, i);
    if (!(fabs(got - want) <= 1e-12)) fail_msg("%s at %d: %.15g, not %.15g", schedule_names[kind], (int)i, got, want);
}

static void curves(void **state) {
    (void)state;
    for (int k = 0; k < SCHEDULE_COUNT; k++) {
        at((ScheduleKind)k, 0, 0.2);
        at((ScheduleKind)k, 4, 1);
        at((ScheduleKind)k, 9, 2);
        at((ScheduleKind)k, 10, 2);
    }
    at(SCHEDULE_CONSTANT, 109, 2);
    at(SCHEDULE_CONSTANT, 1000, 2);
    at(SCHEDULE_LINEAR, 60, 1);
    at(SCHEDULE_LINEAR, 109, 0.02);
    at(SCHEDULE_LINEAR, 110, 0);
    at(SCHEDULE_COSINE, 35, 1 + sqrt(0.5));
    at(SCHEDULE_COSINE, 60, 1);
    at(SCHEDULE_COSINE, 85, 1 - sqrt(0.5));
    at(SCHEDULE_COSINE, 200, 0);
    at(SCHEDULE_WSD, 87, 2);
    at(SCHEDULE_WSD, 88, 2);
    at(SCHEDULE_WSD, 99, 1);
    at(SCHEDULE_WSD, 110, 0);
}

/* A warm-up as long as the run, or longer, and a run of one update. */
static void edges(void **state) {
    (void)state;
    for (int k = 0; k < SCHEDULE_COUNT; k++) {
        Schedule s = {.kind = (ScheduleKind)k, .lr = 1, .updates = 4, .warmup = 8};
        assert_true(schedule_lr(&s, 3) <= 0.5 && schedule_lr(&s, 3) >= 0.5);
        s = (Schedule){.kind = (ScheduleKind)k, .lr = 1, .updates = 1};
        assert_true(schedule_lr(&s, 0) >= 1 && schedule_lr(&s, 0) <= 1);
    }
}

static void names(void **state) {
    (void)state;
    ScheduleKind k;
    assert_true(schedule_from_name("wsd", &k) && k == SCHEDULE_WSD);
    assert_true(schedule_from_name("constant", &k) && k == SCHEDULE_CONSTANT);
    assert_false(schedule_from_name("cos", &k));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(curves), cmocka_unit_test(edges), cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
