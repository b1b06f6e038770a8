/* What is learned of a conversation: the answers, by the template's own blocks or by what it writes for each. */
#include "tokenizer/chat_answers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "formats/formats.h"
#include "formats/json.h"

static const char talk[] = "[{\"role\":\"user\",\"content\":\"Who are you?\"},"
                           "{\"role\":\"assistant\",\"content\":\"Nobody.\"},"
                           "{\"role\":\"user\",\"content\":\"Really?\"},"
                           "{\"role\":\"assistant\",\"content\":\"Yes, really!\"}]";

typedef struct Learned {
    TokSpec spec;
    Tokenizer *tok;
    TensorFile file;
    Buf text; /* the answers, a newline after each */
    IdList ids;
    IdRanges answers;
    bool ok;
    Err err;
} Learned;

static void learn(Learned *l, const char *dir, const char *chat_template, const char *messages) {
    static ChatText one;
    Arena a = {0};
    Value v;
    *l = (Learned){0};
    if (!tok_spec_open(dir, &l->spec, &l->file, &l->err) || !tokenizer_new(&l->spec, &l->tok, &l->err) ||
        !json_parse(str_of(messages), "messages", &a, &v, &l->err))
        fail_msg("%s", l->err.msg);
    if (chat_template) {
        one = (ChatText){"default", chat_template};
        l->spec.templates = &one;
        l->spec.n_templates = 1;
        l->spec.chat_template = chat_template;
    }
    id_list_put(&l->ids, &(int32_t){7}, 1); /* stays as it is */
    l->ok = chat_answers(l->tok, &v, NULL, &l->ids, &l->answers, &l->err);
    for (size_t i = 0; i < l->answers.n; i++) {
        TokDecoder d = tokenizer_decoder(l->tok, true, false);
        for (size_t k = l->answers.ranges[i].begin; k < l->answers.ranges[i].end; k++)
            assert_true(tokenizer_decode(&d, l->ids.ids[k], &l->text));
        buf_char(&l->text, '\n');
    }
    assert_int_equal(l->ids.ids[0], 7);
    arena_release(&a);
}

static void forget(Learned *l) {
    id_list_release(&l->ids);
    id_ranges_release(&l->answers);
    buf_release(&l->text);
    tokenizer_free(l->tok);
    tok_spec_release(&l->spec);
    if (l->file.close) l->file.close(&l->file);
}

static void assert_learned(const char *dir, const char *chat_template, const char *messages, const char *want) {
    Learned l;
    learn(&l, dir, chat_template, messages);
    if (!l.ok) fail_msg("%s: %s", dir, l.err.msg);
    assert_string_equal(buf_view(&l.text).s, want);
    forget(&l);
}

#define EACH  "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n"
#define AGAIN "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n{% endif %}"

static const char both[] = "Nobody.<|eot_id|>\nYes, really!<|eot_id|>\n";

/* Without blocks: what comes behind the prompt, less the white space behind it. */
static void test_prefixes(void **state) {
    (void)state;
    assert_learned(TEST_DATA "/llama3", NULL, talk, both);
    assert_learned(TEST_DATA "/llama2", NULL, talk, " Nobody.</s>\n Yes, really!</s>\n");
    assert_learned(TEST_DATA "/llama3", EACH "{{ m.content }}<|eot_id|>\n{% endfor %}" AGAIN, talk, both);
    assert_learned(TEST_DATA "/llama3", EACH "{{ m.content }}<|eot_id|>\n{% endfor %}" AGAIN,
                   "[{\"role\":\"user\",\"content\":\"x\"}]", "");
    /* white space of the answer itself stays */
    assert_learned(TEST_DATA "/llama3", EACH "{{ m.content }}\n\n{% endfor %}" AGAIN,
                   "[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"a \"}]", "a \n");
}

static void test_last_is_other(void **state) {
    (void)state;
    assert_learned(TEST_DATA "/llama3",
                   EACH
                   "{% if loop.last and m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }}<|eot_id|>\n"
                   "{% endfor %}" AGAIN,
                   talk, "Nobody.<|eot_id|>\n<think></think>Yes, really!<|eot_id|>\n");
    Learned l;
    learn(&l, TEST_DATA "/llama3", "{{ messages | length }}" EACH "{{ m.content }}<|eot_id|>\n{% endfor %}" AGAIN,
          talk);
    assert_false(l.ok);
    assert_non_null(strstr(l.err.msg, "message 1: where the answer is cannot be told"));
    forget(&l);
}

static void test_blocks(void **state) {
    (void)state;
    assert_learned(TEST_DATA "/llama3",
                   EACH "{% if m.role == 'user' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}"
                        "{{ m.content }}{% endif %}<|eot_id|>{% endfor %}",
                   talk, "Who are you?\nReally?\n");
}

/* The day that a template writes is the same in every run; no special token comes from a message. */
static void test_same_every_day(void **state) {
    (void)state;
    assert_learned(TEST_DATA "/llama3",
                   "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ strftime_now('%d %B %Y') "
                   "}}{% endgeneration %}{% endif %}{% endfor %}",
                   "[{\"role\":\"assistant\",\"content\":\"\"}]", "01 January 2025\n");
    Learned l;
    learn(&l, TEST_DATA "/llama3", NULL, "[{\"role\":\"assistant\",\"content\":\"a<|eot_id|>b\"}]");
    assert_true(l.ok);
    size_t ends = 0;
    for (size_t i = 0; i < l.ids.n; i++) ends += l.ids.ids[i] == l.ids.ids[l.ids.n - 1];
    assert_int_equal(ends, 1);
    forget(&l);
    learn(&l, TEST_DATA "/llama3", NULL, "[]");
    assert_false(l.ok);
    forget(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_last_is_other),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_same_every_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
