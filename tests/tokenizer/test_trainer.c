/* Training against the tokenizers package's trainer on the same text (make_goldens.py). */
#include "tokenizer/trainer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "formats/formats.h"

static Err err;

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        if (!(call)) fail_msg("%s", err.msg);                                                                          \
    } while (0)

/* The paragraphs of the text, last one first where `backwards`. */
typedef struct Paragraphs {
    Mapping file;
    const char **texts;
    size_t *lengths, n;
} Paragraphs;

static void open_paragraphs(Paragraphs *p, bool backwards) {
    *p = (Paragraphs){0};
    OK(map_file(TEST_DATA "/../parity/text20k.txt", &p->file, &err));
    p->texts = calloc(p->file.n, sizeof *p->texts);
    p->lengths = calloc(p->file.n, sizeof *p->lengths);
    for (Str rest = {p->file.bytes, p->file.n}; rest.s;) {
        const char *end = memmem(rest.s, rest.n, "\n\n", 2);
        size_t n = end ? (size_t)(end - rest.s) : rest.n;
        p->texts[p->n] = rest.s;
        p->lengths[p->n++] = n;
        rest = end ? (Str){end + 2, rest.n - n - 2} : (Str){NULL, 0};
    }
    for (size_t i = 0; backwards && i < p->n / 2; i++) {
        const char *text = p->texts[i];
        size_t n = p->lengths[i], k = p->n - 1 - i;
        p->texts[i] = p->texts[k];
        p->lengths[i] = p->lengths[k];
        p->texts[k] = text;
        p->lengths[k] = n;
    }
}

static void close_paragraphs(Paragraphs *p) {
    unmap_file(&p->file);
    free(p->texts);
    free(p->lengths);
}

static void check_same(const TokSpec *got, const TokSpec *want) {
    assert_int_equal(got->n_vocab, want->n_vocab);
    for (int32_t i = 0; i < want->n_vocab; i++)
        if (!str_eq(got->vocab[i], want->vocab[i]))
            fail_msg("token %d is '%.*s', '%.*s' expected", i, STR_ARG(got->vocab[i]), STR_ARG(want->vocab[i]));
    assert_int_equal(got->n_merges, want->n_merges);
    for (int32_t i = 0; i < want->n_merges; i++)
        for (int k = 0; k < 2; k++) assert_true(str_eq(got->merges[i][k], want->merges[i][k]));
    assert_int_equal(got->n_added, want->n_added);
}

static void test_same(void **state) {
    (void)state;
    static const char *const special[] = {"<s>", "</s>"};
    for (int backwards = 0; backwards < 2; backwards++) {
        Paragraphs p;
        TokSpec got, want;
        open_paragraphs(&p, backwards);
        const char *path = TEST_TMP "/trained.json";
        LlmwsTrainTokenizer opt = {p.texts, p.lengths, p.n, special, 2, 1000, 0};
        OK(llmws_train_tokenizer(&opt, path, &err));
        OK(hf_tok_spec(path, &got, &err));
        OK(hf_tok_spec(TEST_DATA "/tokenizer/trained_1000", &want, &err));
        check_same(&got, &want);
        tok_spec_release(&got);
        tok_spec_release(&want);
        remove(path);
        close_paragraphs(&p);
    }
}

/* Text that runs out of pairs ends the vocabulary early; nothing at all leaves the bytes. */
static void test_ends(void **state) {
    (void)state;
    TokSpec how = {.n_splits = 1, .splits = {{.kind = SPLIT_REGEX, .pattern = tok_default_split}}}, spec;
    TrainerOptions opt = {.how = &how, .vocab = 5000, .min_count = 2};
    Trainer *t;
    OK(trainer_new(&opt, &t, &err));
    OK(trainer_finish(t, &spec, &err));
    assert_true(spec.n_vocab == 256 && spec.n_merges == 0);
    tok_spec_release(&spec);
    trainer_free(t);
    OK(trainer_new(&opt, &t, &err));
    OK(trainer_feed(t, STR("aaaa aaaa \xff once"), &err));
    OK(trainer_feed(t, STR("aaaa"), &err));
    OK(trainer_finish(t, &spec, &err));
    assert_true(spec.n_vocab == 258 && spec.n_merges == 2);
    assert_true(str_is(spec.vocab[256], "aa") && str_is(spec.vocab[257], "aaaa"));
    tok_spec_release(&spec);
    assert_false(trainer_finish(t, &spec, &err));
    trainer_free(t);
}

static void test_refused(void **state) {
    (void)state;
    TokSpec how = {.n_splits = 1, .splits = {{.kind = SPLIT_REGEX, .pattern = tok_default_split}}};
    TrainerOptions opt = {.how = &how, .vocab = 255};
    Trainer *t;
    assert_false(trainer_new(&opt, &t, &err));
    assert_null(t);
    assert_int_equal(err.code, ERR_USAGE);
    opt.vocab = 300;
    opt.max_bytes = 8;
    OK(trainer_new(&opt, &t, &err));
    OK(trainer_feed(t, STR("one"), &err));
    assert_false(trainer_feed(t, STR("another"), &err));
    assert_int_equal(err.code, ERR_FIT);
    trainer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
