/* The checks of test-models: what is sound passes, and each kind of damage is noticed by the check that is there for
 * it. */
#include "core/check.h"
#include "core/llmws_objects.h"
#include "oracle.h"

#include <limits.h>

/* ---- frees that are forgotten ---- */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)
#define CAN_LEAK 1
static atomic_bool forgetful;
void __libc_free(void *p);
void free(void *p) {
    static atomic_int n;
    if (atomic_load(&forgetful) && atomic_fetch_add(&n, 1) % 100 == 0) return;
    __libc_free(p);
}
#else
#define CAN_LEAK 0
#endif

/* ---- a model under test ---- */

static LlmwsModel *open_model(const char *name) {
    Err e;
    char path[PATH_MAX];
    snprintf(path, sizeof path, TEST_DATA "/%s", name);
    LlmwsModel *m = llmws_model_open(path, NULL, &e);
    if (!m) fail_msg("%s", e.msg);
    return m;
}

static CheckReport check(LlmwsModel *m, const CheckRecord *known) {
    CheckReport r = {0};
    check_model(m, &(CheckOptions){.threads = 2, .max_ppl = 200, .known = known}, &r);
    return r;
}

static CheckState state_of(const CheckReport *r, const char *name) {
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->results[i].name, name) == 0) return r->results[i].state;
    fail_msg("there is no check '%s'", name);
    return CHECK_SKIPPED;
}

static void sound(const CheckReport *r) {
    for (size_t i = 0; i < r->n; i++)
        if (r->results[i].state == CHECK_FAILED) fail_msg("%s: %s", r->results[i].name, r->results[i].why);
}

static CheckRecord record_of(const char *name) {
    LlmwsModel *m = open_model(name);
    CheckReport r = check(m, NULL);
    llmws_model_close(m);
    sound(&r);
    assert_int_equal(r.record.n_ids, CHECK_NEW);
    return r.record;
}

/* ---- what must pass ---- */

static void test_sound(void **state) {
    (void)state;
    const char *const names[] = {"llama3", "mistral", "gpt2", "phi3_longrope"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        CheckRecord known = record_of(names[i]);
        LlmwsModel *m = open_model(names[i]);
        CheckReport r = check(m, &known);
        sound(&r);
        assert_int_equal(state_of(&r, "record"), CHECK_PASSED);
        assert_int_equal(state_of(&r, "kernels"), CHECK_PASSED);
        assert_int_equal(state_of(&r, "coherence"), CHECK_SKIPPED); /* nobody trained it */
        llmws_model_close(m);
    }
}

/* ---- damage ---- */

/* Another copy of a weight, at the same place in memory as far as the model is concerned. */
static float *own_weight(LlmwsModel *m, const char *name, Weight **w) {
    size_t n;
    int32_t at = strmap_get(&m->m.index, str_of(name));
    assert_true(at >= 0);
    *w = &m->m.weights[at];
    assert_int_equal((*w)->t.dtype, DT_f32);
    n = (size_t)(tensor_rows(&(*w)->t) * (*w)->t.ne[(*w)->t.ndim - 1]);
    float *copy = mem_alloc(n, sizeof *copy);
    memcpy(copy, (*w)->t.data, n * sizeof *copy);
    (*w)->t.data = copy;
    return copy;
}

static void test_transposed_weight(void **state) {
    (void)state;
    CheckRecord known = record_of("llama3");
    LlmwsModel *m = open_model("llama3");
    Weight *w;
    float *x = own_weight(m, "model.layers.1.self_attn.o_proj.weight", &w);
    const int64_t n = w->t.ne[0];
    assert_int_equal(n, w->t.ne[1]);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < i; k++) {
            float kept = x[i * n + k];
            x[i * n + k] = x[k * n + i];
            x[k * n + i] = kept;
        }
    CheckReport r = check(m, &known);
    assert_int_equal(state_of(&r, "record"), CHECK_FAILED);
    assert_int_equal(state_of(&r, "prefill"), CHECK_PASSED); /* it is wrong in the same way everywhere */
    llmws_model_close(m);
    free(x);
}

static void test_nan(void **state) {
    (void)state;
    LlmwsModel *m = open_model("llama3");
    Weight *w;
    Err e;
    OK(llmws_weights_finite(m, &e), e);
    float *x = own_weight(m, "model.layers.0.mlp.up_proj.weight", &w);
    x[w->t.ne[1] * 3 + 5] = NAN;
    assert_false(llmws_weights_finite(m, &e));
    assert_non_null(strstr(e.msg, "'model.layers.0.mlp.up_proj.weight'"));
    assert_non_null(strstr(e.msg, "row 3, column 5"));
    CheckReport r = check(m, NULL);
    assert_int_equal(state_of(&r, "runs"), CHECK_FAILED);
    llmws_model_close(m);
    free(x);
}

/* A window that is one key too wide, or, where there is none, one that only the last token of the prompt notices. */
static void widen(Graph *g) {
    for (int i = 0; i < g->n; i++) {
        Node *n = &g->nodes[i];
        if (n->kind != NODE_OP || n->op != OP_attention) continue;
        n->params.attn.mask.window = n->params.attn.mask.window ? n->params.attn.mask.window + 1 : 47;
    }
}

static void test_mask_off_by_one(void **state) {
    (void)state;
    const char *const names[] = {"mistral", "llama3"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        CheckRecord known = record_of(names[i]);
        LlmwsModel *m = open_model(names[i]);
        m->rewrite = widen;
        CheckReport r = check(m, &known);
        assert_int_equal(state_of(&r, "record"), CHECK_FAILED);
        llmws_model_close(m);
    }
}

/* Each session has a graph of its own; one of them is not like the others. In the order in which they are opened: the
 * timed one, the reference, plain C, the answer, the answer in pieces, the text. */
static int opened, odd_one;

static void change_odd_one(Graph *g) {
    if (++opened != odd_one) return;
    for (int i = 0; i < g->n; i++)
        if (g->nodes[i].kind == NODE_OP && g->nodes[i].op == OP_attention) g->nodes[i].params.attn.mask.window = 6;
}

static void test_odd_one(void **state) {
    (void)state;
    const char *const names[] = {"kernels", "reference", "pieces"};
    const bool fails[3][3] = {{true}, {false, true, true}, {false, false, true}};
    for (int i = 0; i < 3; i++) {
        LlmwsModel *m = open_model("llama3");
        m->rewrite = change_odd_one;
        opened = 0, odd_one = 3 + i;
        CheckReport r = check(m, NULL);
        for (int k = 0; k < 3; k++) assert_int_equal(state_of(&r, names[k]), fails[i][k] ? CHECK_FAILED : CHECK_PASSED);
        llmws_model_close(m);
    }
}

/* Records of something else: each of their parts counts. */
static void test_swapped(void **state) {
    (void)state;
    CheckRecord known = record_of("llama3"), other = known;
    LlmwsModel *m = open_model("llama3");
    other.templates[7] ^= 1;
    CheckReport r = check(m, &other);
    assert_int_equal(state_of(&r, "template"), CHECK_FAILED);
    other = known;
    other.ppl *= 1.1;
    r = check(m, &other);
    assert_int_equal(state_of(&r, "perplexity"), CHECK_FAILED);
    other = known;
    other.ids[3] ^= 1;
    r = check(m, &other);
    assert_int_equal(state_of(&r, "record"), CHECK_FAILED);
    other = known;
    other.logits[CHECK_PROBES + 9] += 0.05F;
    r = check(m, &other);
    assert_int_equal(state_of(&r, "record"), CHECK_FAILED);
    llmws_model_close(m);
}

static void test_leaks(void **state) {
    (void)state;
    CheckReport r = {0};
    const CheckOptions o = {.threads = 2};
    check_leaks(TEST_DATA "/llama3", &o, &r);
    sound(&r);
    check_leaks(TEST_DATA "/missing", &o, &r);
    assert_int_equal(r.results[1].state, CHECK_FAILED);
#if CAN_LEAK
    atomic_store(&forgetful, true);
    check_leaks(TEST_DATA "/llama3", &o, &r);
    atomic_store(&forgetful, false);
    assert_int_equal(r.results[2].state, CHECK_FAILED);
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sound),   cmocka_unit_test(test_transposed_weight),
                                       cmocka_unit_test(test_nan),     cmocka_unit_test(test_mask_off_by_one),
                                       cmocka_unit_test(test_swapped), cmocka_unit_test(test_odd_one),
                                       cmocka_unit_test(test_leaks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
