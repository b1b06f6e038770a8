/* The sampler against distributions computed the plain way, and its refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "core/rng.h"
#include "core/sample.h"

enum { V = 1000 };

static float logits[V];
static Candidate cand[V];
static int32_t count[V];
static Sampler sampler = {cand, count, V};
static const LlmwsSampling off = {.temp = 1, .top_p = 1, .repeat_penalty = 1, .repeat_last_n = 64, .seed = 7};

static int setup(void **state) {
    (void)state;
    for (int i = 0; i < V; i++) logits[i] = (float)(rng_uniform(3, 0, (uint64_t)i, RNG_INIT) * 8 - 4);
    logits[100] = 5, logits[200] = 4.5f, logits[300] = 4.2f;
    return 0;
}

static int32_t pick(LlmwsSampling how, uint64_t index) {
    Err e = {0};
    int32_t id = -1;
    SampleAt at = {.logits = logits, .index = index};
    if (!sampler_pick(&sampler, &how, &at, &id, &e)) fail_msg("%s", e.msg);
    return id;
}

static void greedy(void **state) {
    (void)state;
    LlmwsSampling how = off;
    how.temp = 0;
    assert_int_equal(pick(how, 0), 100);
    how.bias = &(LlmwsLogitBias){100, -INFINITY}, how.n_bias = 1;
    assert_int_equal(pick(how, 0), 200);
    float old = logits[50];
    logits[50] = logits[200]; /* equal logits: the lower id */
    assert_int_equal(pick(how, 0), 50);
    logits[50] = old;
}

/* Frequencies of many draws against the softmax; 5 standard deviations. */
static void follows_the_distribution(void **state) {
    (void)state;
    enum { DRAWS = 20000 };
    static int hits[V];
    double total = 0, temp = 0.7;
    LlmwsSampling how = off;
    how.temp = (float)temp;
    memset(hits, 0, sizeof hits);
    for (int i = 0; i < V; i++) total += exp((double)logits[i] / temp);
    for (int i = 0; i < DRAWS; i++) hits[pick(how, (uint64_t)i)]++;
    for (int i = 0; i < V; i++) {
        double p = exp((double)logits[i] / temp) / total, sd = sqrt(DRAWS * p * (1 - p)) + 1;
        if (fabs(hits[i] - DRAWS * p) > 5 * sd)
            fail_msg("token %d drawn %d times, expected %.1f", i, hits[i], DRAWS * p);
    }
}

static int by_logit(const void *a, const void *b) {
    float x = logits[*(const int *)a], y = logits[*(const int *)b];
    return x < y ? 1 : x > y ? -1 : *(const int *)a - *(const int *)b;
}

/* How often a token outside of `kept` best is drawn: never. And the last of them is drawn sometime. */
static void check_support(LlmwsSampling how, int kept) {
    int order[V], seen_last = 0;
    for (int i = 0; i < V; i++) order[i] = i;
    qsort(order, V, sizeof *order, by_logit);
    for (int i = 0; i < 4000; i++) {
        int32_t id = pick(how, (uint64_t)i);
        int rank = 0;
        while (order[rank] != id) rank++;
        if (rank >= kept) fail_msg("drew rank %d of %d", rank, kept);
        seen_last += rank == kept - 1;
    }
    assert_true(seen_last > 0);
}

static void cuts(void **state) {
    (void)state;
    LlmwsSampling how = off;
    how.top_k = 5;
    check_support(how, 5);
    how.top_k = 1;
    check_support(how, 1);
    how = off;
    how.min_p = 0.3f; /* e^-0.5 = 0.61, e^-0.8 = 0.45 stay; the rest is below e^-1 = 0.37 but above 0.3: count them */
    int kept = 0;
    for (int i = 0; i < V; i++) kept += exp((double)logits[i] - 5) >= 0.3f;
    check_support(how, kept);
    how = off;
    how.top_p = 0.2f;
    int order[V];
    double total = 0, sum = 0;
    for (int i = 0; i < V; i++) order[i] = i, total += exp((double)logits[i]);
    qsort(order, V, sizeof *order, by_logit);
    for (kept = 0; sum < 0.2 * total; kept++) sum += exp((double)logits[order[kept]]);
    check_support(how, kept);
}

static void penalties(void **state) {
    (void)state;
    Err e = {0};
    int32_t history[] = {100, 100, 200, 7}, id;
    LlmwsSampling how = off;
    how.temp = 0;
    SampleAt at = {.logits = logits, .history = history, .n_history = 4};
    how.presence_penalty = 0.6f; /* 5 -> 4.4, 4.5 -> 3.9: 100 still wins */
    assert_true(sampler_pick(&sampler, &how, &at, &id, &e) && id == 100);
    how.frequency_penalty = 0.2f; /* 100 came twice: 4.0; 200 once: 3.7; 300: 4.2 */
    assert_true(sampler_pick(&sampler, &how, &at, &id, &e) && id == 300);
    how.presence_penalty = how.frequency_penalty = 0;
    how.repeat_penalty = 1.2f; /* 5 / 1.2 = 4.17, 4.5 / 1.2 = 3.75 */
    assert_true(sampler_pick(&sampler, &how, &at, &id, &e) && id == 300);
    how.repeat_last_n = 1; /* only token 7 is looked at */
    assert_true(sampler_pick(&sampler, &how, &at, &id, &e) && id == 100);
    how.repeat_last_n = -1;
    assert_true(sampler_pick(&sampler, &how, &at, &id, &e) && id == 300);
    for (int i = 0; i < V; i++) assert_int_equal(count[i], 0);
}

static void repeatable(void **state) {
    (void)state;
    SampleAt at = {.logits = logits, .stream = 1};
    int32_t id;
    int differ = 0;
    for (at.index = 0; at.index < 200; at.index++) {
        assert_int_equal(pick(off, at.index), pick(off, at.index));
        assert_true(sampler_pick(&sampler, &off, &at, &id, NULL)); /* another sequence draws by itself */
        differ += id != pick(off, at.index);
    }
    assert_true(differ > 50);
}

static void refusals(void **state) {
    (void)state;
    LlmwsSampling bad[] = {off, off, off, off, off, off};
    int32_t id;
    SampleAt at = {.logits = logits};
    bad[0].temp = -1, bad[1].top_p = 0, bad[2].min_p = 2, bad[3].top_k = -1, bad[4].repeat_penalty = 0,
    bad[5].temp = NAN;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Err e = {0};
        assert_false(sampler_pick(&sampler, &bad[i], &at, &id, &e));
        assert_int_equal(e.code, ERR_USAGE);
    }
    Err e = {0};
    LlmwsSampling biased = off;
    biased.bias = &(LlmwsLogitBias){V, 1}, biased.n_bias = 1;
    assert_false(sampler_pick(&sampler, &biased, &at, &id, &e));
    logits[9] = NAN;
    assert_false(sampler_pick(&sampler, &off, &at, &id, &e));
    assert_non_null(strstr(e.msg, "token 9"));
    logits[9] = 0;
}

/* Known answers of Philox4x32-10 (Random123's kat_vectors): counter and key all zero, all ones. */
static void philox(void **state) {
    (void)state;
    assert_true(rng_u64(0, 0, 0, RNG_SAMPLE) == UINT64_C(0xe169c58d6627e8d5));
    assert_true(rng_u64(UINT64_MAX, UINT64_MAX, UINT64_MAX, RNG_SAMPLE) == UINT64_C(0x41c83b0e408f276d));
    double sum = 0;
    for (uint64_t i = 0; i < 100000; i++) sum += rng_uniform(1, 2, i, RNG_SAMPLE);
    assert_true(fabs(sum / 100000 - 0.5) < 5 * sqrt(1.0 / 12 / 100000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy),     cmocka_unit_test(follows_the_distribution),
        cmocka_unit_test(cuts),       cmocka_unit_test(penalties),
        cmocka_unit_test(repeatable), cmocka_unit_test(refusals),
        cmocka_unit_test(philox),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
