/* Interrupts through the public interface: an evaluation that is asked to stop does so, a forgotten request stops
 * nothing, and what is computed afterwards is what it would have been. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "core/base.h"

enum { PROMPT = 24, VOCAB_MAX = 1024 };

static const int32_t ids[PROMPT] = {5, 9, 230, 301, 114, 333, 198, 257, 66, 169, 131, 171,
                                    7, 8, 9,   10,  11,  12,  13,  14,  15, 16,  17,  18};

static LlmwsModel *model;
static float expected[VOCAB_MAX];
static size_t row;

static LlmwsSession *open_session(void) {
    Err e;
    LlmwsSessionOptions so = {.ctx = 64, .chunk = 32, .parallel = 2, .threads = 1};
    LlmwsSession *s = llmws_session_open(model, &so, &e);
    if (!s) fail_msg("%s", e.msg);
    return s;
}

static bool by_eval(LlmwsSession *s, int seq, Err *e) { return llmws_eval(s, seq, ids, PROMPT, e); }

static bool by_batch(LlmwsSession *s, int seq, Err *e) {
    int seqs[PROMPT];
    for (int i = 0; i < PROMPT; i++) seqs[i] = seq;
    return llmws_eval_batch(s, seqs, ids, PROMPT, e);
}

static void check(bool (*eval)(LlmwsSession *, int, Err *)) {
    Err e;
    LlmwsSession *s = open_session();
    int seq = llmws_seq_open(s, &e);
    llmws_interrupt(s);
    assert_false(eval(s, seq, &e));
    assert_int_equal(e.code, ERR_INTERRUPT);
    assert_int_equal(llmws_seq_len(s, seq), 0);
    assert_null(llmws_logits(s, seq));
    llmws_interrupt(s);
    llmws_interrupt_clear(s);
    if (!eval(s, seq, &e)) fail_msg("a forgotten interrupt: %s", e.msg);
    assert_memory_equal(llmws_logits(s, seq), expected, row);
    assert_true(llmws_seq_truncate(s, seq, 0, &e));
    assert_true(eval(s, seq, &e)); /* one request stops one evaluation */
    assert_memory_equal(llmws_logits(s, seq), expected, row);
    llmws_session_close(s);
}

static void an_eval(void **state) { (void)state, check(by_eval); }
static void a_batch(void **state) { (void)state, check(by_batch); }

/* ---- a request that comes while a step is computed ---- */

static LlmwsSession *at_work;
static void on_alarm(int sig) { (void)sig, llmws_interrupt(at_work); }
static bool keep_on(void *ctx, int phase, int64_t done, int64_t total) {
    (void)ctx, (void)phase, (void)done, (void)total;
    return true;
}

/* The step of two prompts is dropped whole; what stood before it stays, and goes on as if nothing had been. */
static void inside_a_batch(void **state) {
    enum { LONG = 250 };
    static int seqs[2 * LONG];
    static int32_t both[2 * LONG];
    Err e;
    LlmwsSessionOptions so = {
        .ctx = 512, .chunk = 2 * LONG, .parallel = 2, .threads = 1, .isa = "ref", .progress = keep_on};
    LlmwsSession *s[2] = {llmws_session_open(model, &so, &e), llmws_session_open(model, &so, &e)};
    (void)state;
    for (int i = 0; i < 2; i++) {
        int a = llmws_seq_open(s[i], &e), b = llmws_seq_open(s[i], &e);
        assert_true(a == 0 && b == 1 && llmws_eval(s[i], a, ids, 5, &e));
    }
    for (int i = 0; i < 2 * LONG; i++) {
        seqs[i] = i / LONG;
        both[i] = i % 300;
    }
    at_work = s[0];
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 1000}, {0, 1000}}, NULL);
    bool ok = llmws_eval_batch(s[0], seqs, both, 2 * LONG, &e);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    assert_false(ok);
    assert_int_equal(e.code, ERR_INTERRUPT);
    assert_true(llmws_seq_len(s[0], 0) == 5 && llmws_seq_len(s[0], 1) == 0);
    assert_true(!llmws_logits(s[0], 0) && !llmws_logits(s[0], 1));
    llmws_interrupt_clear(s[0]);
    for (int i = 0; i < 2; i++)
        if (!llmws_eval_batch(s[i], seqs, both, 2 * LONG, &e)) fail_msg("%s", e.msg);
    for (int seq = 0; seq < 2; seq++) assert_memory_equal(llmws_logits(s[0], seq), llmws_logits(s[1], seq), row);
    for (int i = 0; i < 2; i++) llmws_session_close(s[i]);
}

static int setup(void **state) {
    Err e;
    LlmwsModelInfo info;
    (void)state;
    model = llmws_model_open(TEST_DATA "/llama3", NULL, &e);
    if (!model) return -1;
    llmws_model_info(model, &info);
    row = (size_t)info.vocab * sizeof(float);
    LlmwsSession *s = open_session();
    int seq = llmws_seq_open(s, &e);
    bool ok = info.vocab <= VOCAB_MAX && by_eval(s, seq, &e);
    if (ok) memcpy(expected, llmws_logits(s, seq), row);
    llmws_session_close(s);
    return ok ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    llmws_model_close(model);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_eval), cmocka_unit_test(a_batch),
                                       cmocka_unit_test(inside_a_batch)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
