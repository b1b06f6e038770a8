/* Weights laid out anew while tokens flow: the same bits before and after, one place for all sessions of a model, the
 * file's pages given back, nothing allocated. */
#include "oracle.h"

#include <pthread.h>
#include <stdio.h>

#include "tests/count_allocs.h"

enum { CTX = 256, TOKENS = 80 }; /* enough that all is laid out on the way */

static Model model;
static Packed *packed;

static int open_model(void **state) {
    (void)state;
    model_load(&model, TEST_DATA "/llama3");
    packed = packed_new(&model);
    return packed == NULL;
}

static int close_model(void **state) {
    (void)state;
    packed_free(packed);
    model_release(&model);
    return 0;
}

typedef struct Timeline {
    Backend *b;
    Session s;
    int seq;
} Timeline;

static void timeline_open(Timeline *t, int threads, Packed *p, bool now) {
    Err e = {0};
    const SessionSpec spec = {.ctx = CTX, .chunk = 32, .parallel = 1, .kv_type = DT_f16, .packed = p, .pack_now = now};
    OK(cpu_backend_open(&(BackendOptions){.threads = threads}, &t->b, &e), e);
    OK(session_prepare(&t->s, &model, t->b, &spec, &e) && session_reserve(&t->s, &e), e);
    t->seq = session_seq_open(&t->s, &e);
}

static void timeline_close(Timeline *t) {
    session_release(&t->s);
    t->b->close(t->b);
}

/* A prompt, then tokens one by one: a hash of all their logits. */
static uint64_t run(Timeline *t) {
    Err e = {0};
    int32_t ids[TOKENS];
    uint64_t h = 0;
    for (int i = 0; i < TOKENS; i++) ids[i] = (i * 37 + 11) % (int32_t)model.cfg.vocab;
    for (int at = 0, n = 21; at < TOKENS; at += n, n = 1) {
        OK(session_eval(&t->s, t->seq, ids + at, (size_t)n, &e), e);
        h = hash_bytes(session_logits(&t->s, t->seq), (size_t)model.cfg.vocab * sizeof(float), h);
    }
    return h;
}

static size_t packed_ops(const Session *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->x.n_ops; i++) n += s->x.ops[i].args.in[1].packed;
    return n;
}

static uint64_t plain_hash(void) {
    Timeline t;
    timeline_open(&t, 2, NULL, false);
    uint64_t h = run(&t);
    assert_int_equal(packed_ops(&t.s), 0);
    timeline_close(&t);
    return h;
}

/* Resident bytes of the mapped model. */
static long file_resident(void) {
    char line[512];
    long sum = 0, kib;
    bool ours = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    if (!f) return -1;
    while (fgets(line, sizeof line, f)) {
        if (strchr(line, '-') && strchr(line, ':') && !strstr(line, "kB")) ours = strstr(line, ".safetensors") != NULL;
        if (ours && sscanf(line, "Rss: %ld kB", &kib) == 1) sum += kib;
    }
    fclose(f);
    return sum * 1024;
}

static void while_tokens_flow(void **state) {
    (void)state;
    const uint64_t want = plain_hash();
    Timeline t;
    timeline_open(&t, 2, packed, false);
    const long before = n_allocs;
    const long resident = file_resident();
    assert_int_equal(packed_ops(&t.s), 0);
    assert_true(run(&t) == want);
    if (COUNTS_ALLOCS) assert_int_equal(n_allocs, before);
    assert_true(packed_ops(&t.s) > 20);
    assert_int_equal(t.s.pack_at, t.s.x.n_ops);
    if (resident > 0) assert_in_range(file_resident(), 0, resident / 2);
    assert_true(session_truncate(&t.s, t.seq, 0, NULL) && run(&t) == want); /* prompts read the new layout, too */
    timeline_close(&t);
}

static void at_once_and_shared(void **state) {
    (void)state;
    const uint64_t want = plain_hash();
    Timeline a, b;
    timeline_open(&a, 1, packed, true);
    timeline_open(&b, 3, packed, false);
    assert_true(packed_ops(&a.s) > 20);
    assert_true(run(&a) == want && run(&b) == want);
    assert_int_equal(packed_ops(&a.s), packed_ops(&b.s));
    for (size_t i = 0; i < a.s.x.n_ops; i++) /* one copy */
        if (a.s.x.ops[i].args.in[1].packed)
            assert_ptr_equal(a.s.x.ops[i].args.in[1].data, b.s.x.ops[i].args.in[1].data);
    timeline_close(&a);
    assert_true(session_truncate(&b.s, b.seq, 0, NULL) && run(&b) == want); /* who laid it out may go */
    timeline_close(&b);
}

static void *run_alone(void *hash) {
    Timeline t;
    timeline_open(&t, 2, packed, false);
    *(uint64_t *)hash = run(&t);
    timeline_close(&t);
    return NULL;
}

static void at_the_same_time(void **state) {
    (void)state;
    enum { SESSIONS = 3 };
    const uint64_t want = plain_hash();
    uint64_t got[SESSIONS];
    pthread_t thread[SESSIONS];
    for (int i = 0; i < SESSIONS; i++) assert_int_equal(pthread_create(&thread[i], NULL, run_alone, &got[i]), 0);
    for (int i = 0; i < SESSIONS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < SESSIONS; i++) assert_true(got[i] == want);
}

/* The reference reads no other layout, whatever is asked for. */
static void not_for_everyone(void **state) {
    (void)state;
    Err e = {0};
    Timeline t = {0};
    const SessionSpec spec = {
        .ctx = CTX, .chunk = 32, .parallel = 1, .kv_type = DT_f16, .packed = packed, .pack_now = true};
    OK(cpu_backend_open(&(BackendOptions){.threads = 2, .isa = "ref"}, &t.b, &e), e);
    OK(session_prepare(&t.s, &model, t.b, &spec, &e) && session_reserve(&t.s, &e), e);
    assert_int_equal(packed_ops(&t.s), 0);
    timeline_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(while_tokens_flow, open_model, close_model),
        cmocka_unit_test_setup_teardown(at_once_and_shared, open_model, close_model),
        cmocka_unit_test_setup_teardown(at_the_same_time, open_model, close_model),
        cmocka_unit_test_setup_teardown(not_for_everyone, open_model, close_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
