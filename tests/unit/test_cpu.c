/* The CPU backend's object: instruction sets by name, threads, memory, and which kernel an op gets. */
#include "backends/cpu/cpu.h"
#include "backends/cpu/cpuid.h"
#include "backends/cpu/ref.h"
#include "backends/cpu/tuned.h"
#include "core/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static Backend *open_with(const char *isa, int threads) {
    Err e = {0};
    Backend *b = NULL;
    if (!cpu_backend_open(&(BackendOptions){.threads = threads, .isa = isa}, &b, &e)) fail_msg("%s", e.msg);
    return b;
}

static void test_isa_names(void **state) {
    (void)state;
    Isa best = isa_best(), back;
    for (Isa i = 0; i < ISA_COUNT; i++) {
        assert_true(isa_from_name(isa_name(i), &back));
        assert_int_equal(back, i);
        Err e = {0};
        Backend *b = NULL;
        bool ok = cpu_backend_open(&(BackendOptions){.threads = 1, .isa = isa_name(i)}, &b, &e);
        assert_int_equal(ok, i <= best);
        if (ok) {
            assert_string_equal(b->isa, isa_name(i));
            b->close(b);
        } else {
            assert_int_equal(e.code, ERR_BACKEND);
        }
    }
    Backend *b = open_with(NULL, 1);
    assert_string_equal(b->isa, isa_name(best));
    b->close(b);
}

static void test_bad_options(void **state) {
    (void)state;
    Backend *b = NULL;
    Err e = {0};
    assert_false(cpu_backend_open(&(BackendOptions){.isa = "avx1024"}, &b, &e));
    assert_int_equal(e.code, ERR_USAGE);
    for (Isa i = 0; i < ISA_COUNT; i++) assert_non_null(strstr(e.msg, isa_name(i)));
    assert_false(cpu_backend_open(&(BackendOptions){.threads = -1}, &b, &e));
    assert_int_equal(e.code, ERR_USAGE);
    assert_false(cpu_backend_open(&(BackendOptions){.threads = 1 << 20}, &b, &e));
    assert_int_equal(e.code, ERR_USAGE);
}

static void test_threads(void **state) {
    (void)state;
    int cores = host_cores();
    assert_true(cores >= 1);
    Backend *b = open_with(NULL, 0);
    assert_int_equal(b->threads, cores);
    b->close(b);
}

static void test_memory(void **state) {
    (void)state;
    Backend *b = open_with(NULL, 1);
    size_t room = b->free_bytes(b);
    assert_true(room > 1 << 20 && room < SIZE_MAX);
    Err e = {0};
    size_t bytes = (size_t)1 << 36; /* far more than is there: only what is touched counts */
    unsigned char *p = b->reserve(b, bytes, &e);
    assert_non_null(p);
    assert_int_equal(p[0] | p[bytes / 2] | p[bytes - 1], 0);
    p[bytes - 1] = 1;
    b->release(b, p, bytes);
    p = b->reserve(b, 0, &e);
    assert_non_null(p);
    b->release(b, p, 0);
    assert_null(b->reserve(b, SIZE_MAX, &e));
    assert_int_equal(e.code, ERR_FIT);
    b->close(b);
}

static Tensor of(Dtype t, int64_t rows, int64_t cols) { return tensor_dense(t, 2, (int64_t[]){rows, cols}, NULL); }

static void test_kernel_choice(void **state) {
    (void)state;
    Backend *b = open_with("ref", 1);
    Err e = {0};
    Kernel k;
    OpArgs a = {.in = {of(DT_a8, 2, 64), of(DT_q4_1, 8, 64)}, .n_in = 2, .out = of(DT_f32, 2, 8)};
    assert_true(b->kernel(b, OP_matmul, &a, &k, &e));
    assert_ptr_equal(k.run, ref_matmul.run);
    a.in[1].dtype = DT_f16;
    assert_false(b->kernel(b, OP_matmul, &a, &k, &e));
    assert_int_equal(e.code, ERR_BACKEND);
    assert_non_null(strstr(e.msg, "'matmul'"));
    assert_non_null(strstr(e.msg, "a8, f16"));
    a.in[0].dtype = DT_f32;
    assert_true(b->kernel(b, OP_matmul, &a, &k, &e));
    a.out.dtype = DT_bf16;
    assert_false(b->kernel(b, OP_matmul, &a, &k, &e));
    b->close(b);
}

/* A row below a better one that takes the same is never reached; each names an instruction set that exists. */
static void test_tuned_order(void **state) {
    (void)state;
    Isa worst[OP_COUNT];
    for (int op = 0; op < OP_COUNT; op++) worst[op] = ISA_COUNT;
    for (size_t i = 0; i < n_tuned_rows; i++) {
        Isa isa;
        assert_true(isa_from_name(tuned_rows[i].isa, &isa));
        assert_true(isa > ISA_ref && isa <= worst[tuned_rows[i].op]);
        worst[tuned_rows[i].op] = isa;
        assert_non_null(tuned_rows[i].kernel->run);
        assert_non_null(tuned_rows[i].kernel->units);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_isa_names), cmocka_unit_test(test_bad_options),   cmocka_unit_test(test_threads),
        cmocka_unit_test(test_memory),    cmocka_unit_test(test_kernel_choice), cmocka_unit_test(test_tuned_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
