/* The pool: every unit runs once, ops see what earlier ops wrote, any number of threads makes progress. */
#include "backends/cpu/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { UNITS = 97, OPS = 40 };

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

static void nothing_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)a, (void)u0, (void)u1, (void)scratch;
}

typedef struct Chain {
    int64_t value[OPS + 1][UNITS];
    ExecOp ops[OPS];
} Chain;

/* Widths go through 97, 1, 1, 2, 97, ...: runs of single units, fewer units than threads, and none at all at the end.
 */
static Chain *chain_new(void) {
    static const int64_t widths[] = {UNITS, 1, 1, 2, UNITS, 3, 1};
    Chain *c = mem_alloc(1, sizeof *c);
    int64_t before = UNITS;
    for (int k = 0; k < OPS; k++) {
        int64_t n = widths[k % (int)COUNT_OF(widths)];
        c->ops[k] = (ExecOp){.run = sum_run, .units = units_out, .n_units = n, .node = k};
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
    char *scratch = mem_alloc((size_t)threads, 64);
    for (int r = 0; r < runs; r++) {
        for (int i = 0; i < UNITS; i++) c->value[0][i] = i + r;
        pool_run(p, c->ops, OPS, scratch, 64);
        struct timespec t = {0, pause_ms * 1000000L};
        if (pause_ms) nanosleep(&t, NULL);
    }
    int64_t done = 0, all = 0;
    for (int i = 0; i < threads; i++) done += *(int64_t *)(void *)(scratch + i * 64);
    for (int k = 0; k < OPS; k++) all += c->ops[k].n_units;
    assert_int_equal(done, all * runs);
    free(scratch);
    pool_close(p);
}

static void check_threads(int threads, int runs, int pause_ms) {
    Chain *one = chain_new(), *many = chain_new();
    chain_run(one, 1, runs, 0);
    chain_run(many, threads, runs, pause_ms);
    assert_memory_equal(one->value, many->value, sizeof one->value);
    free(one);
    free(many);
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
        if (i & 1) pool_run(p, NULL, 0, NULL, 0);
        pool_close(p);
    }
    pool_close(NULL);
}

/* One thread: a node costs a call. The bound is loose, machines are shared and sanitizers slow. */
static void test_overhead(void **state) {
    (void)state;
    enum { N = 1000 };
    ExecOp *ops = mem_alloc(N, sizeof *ops);
    for (int i = 0; i < N; i++) ops[i] = (ExecOp){.run = nothing_run, .n_units = 3};
    for (int threads = 1; threads <= 2; threads++) {
        Pool *p = pool_open(threads, NULL);
        int64_t best = INT64_MAX;
        for (int r = 0; r < 20; r++) {
            int64_t t0 = now_ns();
            pool_run(p, ops, N, NULL, 0);
            best = MIN(best, now_ns() - t0);
        }
        print_message("%d thread(s): %.1f ns a node\n", threads, (double)best / N);
        if (threads == 1) assert_true(best < N * 500);
        pool_close(p);
    }
    free(ops);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_on_any_threads),
        cmocka_unit_test(test_wakes),
        cmocka_unit_test(test_more_threads_than_cores),
        cmocka_unit_test(test_open_close),
        cmocka_unit_test(test_overhead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
