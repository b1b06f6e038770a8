/* The pool: every unit runs once, ops see what earlier ops wrote, any number of threads makes progress. */
#include "backends/cpu/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { UNITS = 97, OPS = 40 };

/* So many areas that no test asks for more. */
static RunMemory memory_new(int threads) {
    RunMemory m = {.scratch_bytes = 64, .stage_bytes = align_up(UNITS * 8, 64)};
    m.scratch = mem_alloc((size_t)(pool_scratch_areas(threads) + pool_stage_areas(threads)), m.scratch_bytes);
    m.stage = mem_alloc((size_t)pool_stage_areas(threads) + 1, m.stage_bytes);
    return m;
}
static void memory_free(RunMemory m) {
    free(m.scratch);
    free(m.stage);
}

static const Step light_step = {.n = 1}, heavy_step = {.n = LIGHT_TOKENS + 1};

static int64_t units_out(const OpArgs *a) { return a->out.ne[0]; }

/* out[u] = 1 + sum of in: right only when all of the op before is done. Counts calls per unit in in[1]. */
static void sum_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    int64_t *mine = scratch;
    *mine += u1 - u0;
    for (int64_t u = u0; u < u1; u++) {
        int64_t sum = 1;
        for (int64_t i = 0; i < a->in[0].ne[0]; i++) sum += ((int64_t *)a->in[0].data)[i] % 1000003;
        ((int64_t *)a->out.data)[u] = sum;
    }
}

static void sum_copy(const OpArgs *a, const char *staged, int64_t u0, int64_t u1) {
    memcpy((int64_t *)a->out.data + u0, staged + u0 * 8, (size_t)(u1 - u0) * 8);
}

static void nothing_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)a, (void)u0, (void)u1, (void)scratch;
}

typedef struct Chain {
    int64_t value[OPS + 1][UNITS];
    ExecOp ops[OPS];
} Chain;

/* Widths go through 97, 1, 1, 2, 97, ...: runs of single units, fewer units than threads, and none at all at the end.
 */
static Chain *chain_new(const Step *step) {
    static const int64_t widths[] = {UNITS, 1, 1, 2, UNITS, 3, 1};
    Chain *c = mem_alloc(1, sizeof *c);
    int64_t before = UNITS;
    for (int k = 0; k < OPS; k++) {
        int64_t n = widths[k % (int)COUNT_OF(widths)];
        c->ops[k] = (ExecOp){.run = sum_run, .units = units_out, .copy = sum_copy, .n_units = n, .node = k};
        c->ops[k].args.step = step;
        c->ops[k].args.in[0] = tensor_dense(DT_i64, 1, &before, c->value[k]);
        c->ops[k].args.out = tensor_dense(DT_i64, 1, &n, c->value[k + 1]);
        before = n;
    }
    return c;
}

static void chain_run(Chain *c, int threads, int runs, int pause_ms) {
    Err e = {0};
    Pool *p = pool_open(threads, &e);
    assert_non_null(p);
    RunMemory m = memory_new(threads);
    for (int r = 0; r < runs; r++) {
        for (int i = 0; i < UNITS; i++) c->value[0][i] = i + r;
        pool_run(p, c->ops, OPS, &m);
        struct timespec t = {0, pause_ms * 1000000L};
        if (pause_ms) nanosleep(&t, NULL);
    }
    int64_t done = 0, all = 0;
    pool_settle(p);
    for (int i = 0; i < pool_scratch_areas(threads) + pool_stage_areas(threads); i++)
        done += *(int64_t *)(void *)(m.scratch + i * 64);
    for (int k = 0; k < OPS; k++) all += c->ops[k].n_units;
    if (c->ops[0].args.step == &heavy_step)
        assert_int_equal(done, all * runs);
    else
        assert_true(done >= all * runs); /* late ones are done twice */
    pool_close(p);
    memory_free(m);
}

static void check_step(int threads, int runs, int pause_ms, const Step *step) {
    Chain *one = chain_new(step), *many = chain_new(step);
    chain_run(one, 1, runs, 0);
    chain_run(many, threads, runs, pause_ms);
    assert_memory_equal(one->value, many->value, sizeof one->value);
    free(one);
    free(many);
}

static void check_threads(int threads, int runs, int pause_ms) {
    check_step(threads, runs, pause_ms, &light_step);
    check_step(threads, runs, pause_ms, &heavy_step);
}

static void test_same_on_any_threads(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads++) check_threads(threads, 20, 0);
}

/* Workers have gone to sleep when the next run comes. */
static void test_wakes(void **state) {
    (void)state;
    check_threads(2, 5, 20);
    check_threads(3, 5, 20);
}

static void test_more_threads_than_cores(void **state) {
    (void)state;
    check_threads(17, 3, 0);
}

static void test_open_close(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        Pool *p = pool_open(1 + i % 4, NULL);
        assert_non_null(p);
        if (i & 1) pool_run(p, NULL, 0, &(RunMemory){0});
        if (i & 2) pool_settle(p);
        pool_close(p);
    }
    pool_close(NULL);
}

/* ---- a helper that the system takes off its core ---- */

static pthread_t leader;

static void slow_helper_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    if (!pthread_equal(pthread_self(), leader)) nanosleep(&(struct timespec){0, 30 * 1000000L}, NULL);
    for (int64_t u = u0; u < u1; u++) ((int64_t *)a->out.data)[u] = *(const int64_t *)a->in[0].data + u;
}

/* The leader takes half a millisecond for each unit, so that helpers do get some. */
static void slow_leader_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    if (pthread_equal(pthread_self(), leader)) nanosleep(&(struct timespec){0, 500000L * (u1 - u0)}, NULL);
    slow_helper_run(a, u0, u1, scratch);
}

/* Ops of a light step go on without the helper that claimed a chunk and fell asleep over it; what it writes when it
 * comes back is not seen. */
static void test_late_helpers(void **state) {
    (void)state;
    enum { N = 12, RUNS = 4 };
    int64_t in = 0, out[UNITS], n = UNITS, one = 1;
    leader = pthread_self();
    ExecOp ops[N];
    for (int k = 0; k < N; k++) {
        ops[k] = (ExecOp){.run = k == 0 ? slow_leader_run : slow_helper_run, .copy = sum_copy, .n_units = UNITS};
        ops[k].args.in[0] = tensor_dense(DT_i64, 1, &one, &in);
        ops[k].args.out = tensor_dense(DT_i64, 1, &n, out);
        ops[k].args.step = &light_step;
    }
    Pool *p = pool_open(3, NULL);
    RunMemory m = memory_new(3);
    int64_t t0 = now_ns();
    for (int r = 0; r < RUNS; r++) {
        in = 1000 * r;
        pool_run(p, ops, N, &m);
        for (int i = 0; i < UNITS; i++) assert_int_equal(out[i], in + i);
    }
    int64_t took = now_ns() - t0;
    memset(out, 0xff, sizeof out);
    pool_settle(p);
    for (int i = 0; i < UNITS; i++) assert_int_equal(out[i], -1);
    print_message("%d ops beside helpers that take 30 ms for a chunk: %.1f ms\n", N * RUNS, (double)took / 1e6);
#if !defined __SANITIZE_THREAD__ /* it waits */
    assert_true(took < (N - 1) * RUNS * 30 * 1000000LL);
#endif
    pool_close(p);
    memory_free(m);
}

/* One thread: a node costs a call. The bound is loose, machines are shared and sanitizers slow. */
static void test_overhead(void **state) {
    (void)state;
    enum { N = 1000 };
    ExecOp *ops = mem_alloc(N, sizeof *ops);
    for (int i = 0; i < N; i++) {
        int64_t n = UNITS;
        ops[i] = (ExecOp){.run = nothing_run, .copy = sum_copy, .n_units = 12};
        ops[i].args.out = tensor_dense(DT_i64, 1, &n, NULL);
    }
    for (int kind = 0; kind < 3; kind++) {
        int threads = 1 + (kind > 0);
        for (int i = 0; i < N; i++) ops[i].args.step = kind == 2 ? &light_step : &heavy_step;
        Pool *p = pool_open(threads, NULL);
        RunMemory m = memory_new(threads);
        int64_t to[UNITS];
        for (int i = 0; i < N; i++) ops[i].args.out.data = to;
        int64_t best = INT64_MAX;
        for (int r = 0; r < 20; r++) {
            int64_t t0 = now_ns();
            pool_run(p, ops, N, &m);
            best = MIN(best, now_ns() - t0);
        }
        print_message("%d thread(s), %s step: %.1f ns a node\n", threads, kind == 2 ? "light" : "heavy",
                      (double)best / N);
        if (threads == 1) assert_true(best < N * 500);
        pool_close(p);
        memory_free(m);
    }
    free(ops);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_on_any_threads),
        cmocka_unit_test(test_wakes),
        cmocka_unit_test(test_more_threads_than_cores),
        cmocka_unit_test(test_open_close),
        cmocka_unit_test(test_late_helpers),
        cmocka_unit_test(test_overhead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
