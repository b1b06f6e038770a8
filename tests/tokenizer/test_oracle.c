/* The tokenizers of 24 tiny models of real architectures (make_oracle_data.py): ids, ids with special tokens, offsets
 * and decoded text as the tokenizers package gives them, from tokenizer.json and from tokenizer.model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/llmws.h"
#include "formats/formats.h"
#include "formats/json.h"

static Err err;

static void check_ids(const char *model, Str text, const LlmwsTokens *got, const Value *want) {
    bool same = got->n == value_count(want);
    for (size_t i = 0; i < got->n && same; i++) same = got->ids[i] == value_item(want, i).i;
    if (!same) fail_msg("%s: other ids for '%.*s'", model, STR_ARG(text));
}

static void check_offsets(const char *model, Str text, const LlmwsTokens *got, const Value *want) {
    bool same = 2 * got->n == value_count(want);
    for (size_t i = 0; i < 2 * got->n && same; i++) same = got->offsets[i / 2][i % 2] == value_item(want, i).i;
    if (!same) fail_msg("%s: other offsets for '%.*s'", model, STR_ARG(text));
}

/* whole: a tokenizer.json, which says too what to put around a text, and whose offsets are known. */
static void check_case(const char *model, LlmwsTokenizer *t, const Value *c, bool whole) {
    Str text = value_get(c, "text")->s, want = value_get(c, "decoded")->s;
    LlmwsTokens got;
    size_t n;
    assert_true(llmws_tokenize(t, text.s, text.n, LLMWS_TOK_PARSE_SPECIAL, &got, &err));
    check_ids(model, text, &got, value_get(c, "ids"));
    if (whole) check_offsets(model, text, &got, value_get(c, "offsets"));
    char *decoded = llmws_detokenize(t, got.ids, got.n, LLMWS_TEXT_BEGINS, &n, &err);
    if (!str_eq((Str){decoded, n}, want)) fail_msg("%s: '%.*s' became '%s'", model, STR_ARG(text), decoded);
    free(decoded);
    llmws_tokens_free(&got);
    if (!whole) return;
    assert_true(llmws_tokenize(t, text.s, text.n, LLMWS_TOK_PARSE_SPECIAL | LLMWS_TOK_ADD_SPECIAL, &got, &err));
    check_ids(model, text, &got, value_get(c, "ids_special"));
    llmws_tokens_free(&got);
}

static void check_file(const char *model, const Value *file, const Value *cases, bool whole) {
    Arena a = {0};
    const char *path = arena_printf(&a, "%s/tokenizer/oracle/%.*s", TEST_DATA, STR_ARG(file->s));
    LlmwsTokenizer *t = llmws_tokenizer_open(path, &err);
    if (!t) fail_msg("%s", err.msg);
    assert_true(value_count(cases) > 5);
    for (size_t i = 0; i < cases->array.n; i++) check_case(model, t, &cases->array.items[i], whole);
    llmws_tokenizer_close(t);
    arena_release(&a);
}

static void test_models(void **state) {
    (void)state;
    Arena a = {0};
    Mapping m;
    Value root;
    assert_true(map_file(TEST_DATA "/tokenizer/oracle/cases.json", &m, &err));
    assert_true(json_parse((Str){m.bytes, m.n}, "cases.json", &a, &root, &err));
    const Value *models = value_get(&root, "models"), *cases = value_get(&root, "cases");
    assert_int_equal(models->object.n, 24);
    for (size_t i = 0; i < models->object.n; i++) {
        const char *name = arena_strn(&a, models->object.keys[i].s, models->object.keys[i].n);
        const Value *row = &models->object.items[i];
        Str key = value_get(row, "cases")->s;
        const Value *mine = value_get(cases, arena_strn(&a, key.s, key.n));
        check_file(name, value_get(row, "json"), mine, true);
        if (value_get(row, "model")) check_file(name, value_get(row, "model"), mine, false);
    }
    unmap_file(&m);
    arena_release(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_models)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
