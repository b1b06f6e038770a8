/* Option tables: spelling, values, ranges, errors. The parser is built into this program, cmd/ being no library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/opt.c"

typedef struct Opts {
    bool flag, quiet;
    int64_t n, free_n, big;
    double x;
    const char *text, *word;
    OptList list;
} Opts;

#define AT(field) .at = offsetof(Opts, field)

static const OptRow first_rows[] = {
    {.name = "flag", .letter = 'F', .kind = OPT_FLAG, AT(flag), .help = "h"},
    {.name = "quiet", .letter = 'q', .kind = OPT_FLAG, AT(quiet), .help = "h"},
    {.name = "max-tokens",
     .letter = 'n',
     .also = "n-predict,predict",
     .kind = OPT_INT,
     .lo = -1,
     .hi = 100,
     AT(n),
     .init = "7"},
    {.name = "threads", .kind = OPT_INT, .lo = 1, .hi = 8, AT(free_n)},
    {.name = "seed", .kind = OPT_INT, .lo = 0, .hi = OPT_MAX, AT(big)},
};
static const OptRow second_rows[] = {
    {.name = "temp", .also = "temperature", .kind = OPT_FLOAT, .lo = -2, .hi = 2, AT(x)},
    {.name = "prompt", .letter = 'p', .kind = OPT_TEXT, AT(text)},
    {.name = "kv-type", .kind = OPT_ENUM, .arg = "f32|f16", AT(word), .init = "f16"},
    {.name = "logit-bias", .letter = 'b', .kind = OPT_LIST, AT(list)},
};
static const OptTable first = {"First", first_rows, COUNT_OF(first_rows)};
static const OptTable second = {"Second", second_rows, COUNT_OF(second_rows)};
static const OptTable *const tables[] = {&first, &second, NULL};

/* What the words of a line, split at spaces, parse to. */
typedef struct Parsed {
    Opts o;
    OptList rest;
    Err e;
    bool ok;
    char *argv[16], text[200];
} Parsed;

static void parse(Parsed *p, const char *line) {
    memset(p, 0, sizeof *p);
    snprintf(p->text, sizeof p->text, "%s", line);
    int n = 0;
    for (char *w = strtok(p->text, " "); w && n < 15; w = strtok(NULL, " ")) p->argv[n++] = w;
    opt_init(tables, &p->o);
    p->ok = opt_parse(tables, p->argv, &p->o, &p->rest, &p->e);
}

static void done(Parsed *p) {
    opt_release(tables, &p->o);
    free(p->rest.items);
}

static void defaults(void **state) {
    (void)state;
    Parsed p;
    parse(&p, "");
    assert_true(p.ok);
    assert_false(p.o.flag);
    assert_int_equal(p.o.n, 7);
    assert_true(p.o.free_n == OPT_UNSET);
    assert_true(isnan(p.o.x));
    assert_null(p.o.text);
    assert_string_equal(p.o.word, "f16");
    assert_int_equal(p.o.list.n, 0);
    done(&p);
}

static void spellings(void **state) {
    (void)state;
    static const char *const same[] = {
        "--max-tokens 5", "--max_tokens 5", "--max-tokens=5", "--max_tokens=5", "-n 5",     "-n5",
        "--n-predict 5",  "--n_predict=5",  "--predict 5",    "-qn5",           "-n9 -n 5", "--seed 3 -Fqn 5"};
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        Parsed p;
        parse(&p, same[i]);
        assert_true(p.ok);
        assert_int_equal(p.o.n, 5);
        assert_int_equal(p.rest.n, 0);
        done(&p);
    }
}

static void values_may_begin_with_a_dash(void **state) {
    (void)state;
    Parsed p;
    parse(&p, "--temp -0.5 -n -1 -p - -b -5 --logit_bias=-inf");
    assert_true(p.ok);
    assert_true(p.o.x == -0.5);
    assert_int_equal(p.o.n, -1);
    assert_string_equal(p.o.text, "-");
    assert_int_equal(p.o.list.n, 2);
    assert_string_equal(p.o.list.items[0], "-5");
    assert_string_equal(p.o.list.items[1], "-inf");
    done(&p);
    parse(&p, "--prompt=--temp --temp=1");
    assert_true(p.ok);
    assert_string_equal(p.o.text, "--temp");
    assert_true(p.o.x == 1);
    done(&p);
}

static void dash_dash_ends_options(void **state) {
    (void)state;
    Parsed p;
    parse(&p, "a -q -- -n --max-tokens -- -");
    assert_true(p.ok);
    assert_true(p.o.quiet);
    assert_int_equal(p.o.n, 7);
    assert_int_equal(p.rest.n, 5);
    assert_string_equal(p.rest.items[0], "a");
    assert_string_equal(p.rest.items[1], "-n");
    assert_string_equal(p.rest.items[3], "--");
    done(&p);
}

static void numbers_at_their_limits(void **state) {
    (void)state;
    Parsed p;
    parse(&p, "-n 100 --threads 8 --seed 9223372036854775807 --temp 2");
    assert_true(p.ok);
    assert_true(p.o.big == INT64_MAX);
    done(&p);
    static const char *const wrong[] = {"-n 101",
                                        "-n -2",
                                        "-n 5x",
                                        "-n 1.5",
                                        "-n 0x5",
                                        "--threads 0",
                                        "-n=5",
                                        "--seed -1",
                                        "--temp nan",
                                        "--temp inf",
                                        "--temp 2.01",
                                        "--temp 1,5",
                                        "--seed 9223372036854775808",
                                        "--temp 1e400"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        parse(&p, wrong[i]);
        assert_false(p.ok);
        assert_int_equal(p.e.code, ERR_USAGE);
        assert_non_null(strstr(p.e.msg, "must be a"));
        done(&p);
    }
    char *argv[] = {(char[]){"-n"}, (char[]){""}, NULL};
    opt_init(tables, &p.o);
    assert_false(opt_parse(tables, argv, &p.o, &p.rest, &p.e));
}

static void errors_say_what_to_do(void **state) {
    (void)state;
    static const struct {
        const char *line, *part;
    } cases[] = {
        {"--tmp 1", "did you mean '--temp'"},
        {"--max-toknes 1", "did you mean '--max-tokens'"},
        {"--max_token=1", "did you mean '--max-tokens'"},
        {"--kv", "did you mean '--kv-type'"},
        {"--zzzzzz", "unknown option '--zzzzzz'"},
        {"-temp 1", "did you mean '--temp'"},
        {"-x", "unknown option '-x'"},
        {"-qx", "unknown option '-x'"},
        {"--flag=1", "takes no value"},
        {"--max-tokens", "needs a value"},
        {"-n", "needs a value"},
        {"--prompt --temp 1", "needs a value, but '--temp' follows"},
        {"--kv-type q8", "must be one of f32|f16"},
        {"--kv-type f3", "must be one of f32|f16"},
        {"--threads 9", "from 1 to 8"},
        {"--seed x", "0 or more"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Parsed p;
        parse(&p, cases[i].line);
        assert_false(p.ok);
        assert_int_equal(p.e.code, ERR_USAGE);
        if (!strstr(p.e.msg, cases[i].part)) fail_msg("'%s' gave '%s'", cases[i].line, p.e.msg);
        done(&p);
    }
}

static void given(void **state) {
    (void)state;
    static const OptTable *const second_only[] = {&second, NULL}, *const none[] = {NULL};
    static const struct {
        const char *line, *name;
    } cases[] = {
        {"-q -n 3", NULL},
        {"--temp 0", "temp"},
        {"--kv-type f32", "kv-type"},
        {"--kv-type f16", "kv-type"},
        {"--prompt x -q", "prompt"},
        {"-b 1 -b 2", "logit-bias"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Parsed p;
        parse(&p, cases[i].line);
        assert_true(p.ok);
        const char *name = opt_given(second_only, none, &p.o);
        assert_true(name ? cases[i].name && strcmp(name, cases[i].name) == 0 : !cases[i].name);
        assert_null(opt_given(second_only, second_only, &p.o));
        done(&p);
    }
}

static void nearest(void **state) {
    (void)state;
    static const char *const words[] = {"generate", "inspect", "help"};
    assert_string_equal(nearest_word("genrate", words, 3), "generate");
    assert_string_equal(nearest_word("gen", words, 3), "generate");
    assert_string_equal(nearest_word("hepl", words, 3), "help");
    assert_null(nearest_word("xylophone", words, 3));
    assert_null(nearest_word("", words, 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(spellings),
        cmocka_unit_test(values_may_begin_with_a_dash),
        cmocka_unit_test(dash_dash_ends_options),
        cmocka_unit_test(numbers_at_their_limits),
        cmocka_unit_test(errors_say_what_to_do),
        cmocka_unit_test(given),
        cmocka_unit_test(nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
