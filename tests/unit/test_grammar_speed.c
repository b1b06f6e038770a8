/* How long masks take with a vocabulary as large as today's models have: 150,000 made-up tokens in their usual
 * proportions. Prints a line for each kind of place; fails only where a mask costs what no cache would explain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/grammar_mask.h"
#include "core/rng.h"
#include "formats/json_schema.h"

enum { V = 150000, END = V - 1 };

static uint64_t drawn;
static uint32_t draw(uint32_t below) { return (uint32_t)(rng_u64(5, 0, drawn++, RNG_INIT) % below); }

/* Words of syllables with and without a space before them, digits, punctuation, runs, other scripts, single bytes. */
static void put_token(Buf *b, int32_t id) {
    static const char *const parts[] = {"er", "in",  "st", "ing", "on", "re", "al",   "th", "ex", "com",
                                        "ly", "ent", "a",  "o",   "s",  "n",  "tion", "pr", "qu", "z",
                                        "un", "ic",  "is", "le",  "ou", "ma", "k",    "w"};
    static const char *const marks[] = {"\"", ",",  ":", "{", "}", "[", "]", " ",
                                        "\n", "\\", "(", ")", ";", ".", "_", "/"};
    if (id < 256) {
        buf_char(b, (char)id);
        return;
    }
    uint32_t kind = draw(100);
    if (kind < 72) {
        if (draw(2)) buf_char(b, ' ');
        for (uint32_t n = 1 + draw(4); n > 0; n--) buf_str(b, parts[draw(COUNT_OF(parts))]);
    } else if (kind < 80) {
        for (uint32_t n = 2 + draw(4); n > 0; n--) buf_str(b, marks[draw(COUNT_OF(marks))]);
    } else if (kind < 82) {
        for (uint32_t n = 2 + draw(100), c = (uint32_t)marks[draw(COUNT_OF(marks))][0]; n > 0; n--)
            buf_char(b, (char)c);
    } else if (kind < 84) {
        for (uint32_t n = 1 + draw(3); n > 0; n--) buf_char(b, (char)('0' + draw(10)));
    } else {
        char utf8[4];
        for (uint32_t n = 1 + draw(3); n > 0; n--) buf_put(b, utf8, (size_t)utf8_encode(0x400 + draw(0x5000), utf8));
    }
}

static TokenTries tries;

static int make_vocabulary(void **state) {
    Buf all = {0};
    Str *pieces = mem_alloc(V, sizeof *pieces);
    (void)state;
    for (int32_t id = 0; id < END; id++) {
        size_t before = all.n;
        put_token(&all, id);
        pieces[id].n = all.n - before;
    }
    for (size_t id = 0, at = 0; id < V; at += pieces[id++].n) pieces[id].s = all.s + at;
    int64_t start = now_ns();
    token_tries_make(&tries, pieces, V);
    printf("vocabulary: %d tokens, trees of %d and %d nodes, %.1f ms\n", V, (int)tries.part[0].n, (int)tries.part[1].n,
           (double)(now_ns() - start) * 1e-6);
    free(pieces);
    buf_release(&all);
    return 0;
}

static int drop_vocabulary(void **state) {
    (void)state;
    token_tries_release(&tries);
    return 0;
}

/* Random tokens out of what is allowed, for some thousand masks: the average, the dearest, and the first. */
static void measure(const char *name, const char *schema) {
    enum { MASKS = 3000 };
    Err e = {0};
    Buf gbnf = {0};
    Grammar g;
    int32_t end = END;
    int64_t total = 0, most = 0, first = 0, start = now_ns(), tokens = 0, texts = 0;
    if (!json_schema_to_gbnf(str_of(schema), name, &gbnf, &e) || !grammar_parse(buf_view(&gbnf), &g, &e))
        fail_msg("%s", e.msg);
    int32_t states = g.n_states;
    Masker *k = masker_make(&g, &tries, &end, 1);
    Matcher *m = matcher_new(k, &e);
    int64_t made = now_ns() - start;
    for (int i = 0; i < MASKS; i++) {
        if (matcher_must_end(m)) assert_true(matcher_rewind(m, 0, &e)), texts++;
        int64_t t = now_ns();
        const uint64_t *mask = matcher_mask(m, &e);
        if (!mask) fail_msg("%s", e.msg);
        t = now_ns() - t;
        int32_t id = (int32_t)draw(END); /* the next allowed one from a random place */
        while (!(mask[id >> 6] >> (id & 63) & 1)) id = (id + 1) % V;
        int64_t u = now_ns();
        if (id == END)
            assert_true(matcher_rewind(m, 0, &e)), texts++;
        else if (!matcher_accept(m, id, &e))
            fail_msg("%s", e.msg);
        t += now_ns() - u;
        if (i == 0) first = t;
        most = MAX(most, t);
        total += t;
        tokens++;
    }
    double average = (double)total / (double)tokens;
    printf("%-18s %6d states, made in %6.2f ms; ns/token: average %8.0f, dearest %9lld, first %9lld; %lld texts\n",
           name, (int)states, (double)made * 1e-6, average, (long long)most, (long long)first, (long long)texts);
    assert_true(average < 3e6); /* twenty times what it should be, for machines that are busy or slow */
    matcher_free(m);
    masker_free(k);
    buf_release(&gbnf);
}

static void any_json(void **state) {
    (void)state;
    measure("any JSON", "{}");
}

static void one_string(void **state) {
    (void)state;
    measure("string", "{\"type\":\"string\"}");
}

static void counted_string(void **state) {
    (void)state;
    measure("string, 200 at most",
            "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":150,\"maxLength\":200}}");
}

static void numbers(void **state) {
    (void)state;
    measure("numbers", "{\"type\":\"array\",\"items\":{\"type\":\"number\",\"minimum\":-50,\"maximum\":12345}}");
}

static void record(void **state) {
    (void)state;
    measure(
        "record",
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":40},"
        "\"id\":{\"type\":\"string\",\"format\":\"uuid\"},\"kind\":{\"enum\":[\"alpha\",\"beta\",\"gamma\"]},"
        "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"maxItems\":5},\"age\":{\"type\":\"integer\","
        "\"minimum\":0,\"maximum\":150},\"child\":{\"$ref\":\"#\"}},\"required\":[\"name\",\"id\",\"kind\"]}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_json), cmocka_unit_test(one_string), cmocka_unit_test(counted_string),
        cmocka_unit_test(numbers),  cmocka_unit_test(record),
    };
    return cmocka_run_group_tests(tests, make_vocabulary, drop_vocabulary);
}
