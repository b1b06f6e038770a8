/* Grammars: what they take, what they refuse, and the masks of a vocabulary against every token tried one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdlib.h>

#include "core/grammar_ast.h"
#include "core/grammar_mask.h"
#include "core/rng.h"
#include "tests/count_allocs.h"

/* ---- texts that a grammar takes ---- */

typedef enum Taken { REFUSED, BEGUN, WHOLE_TEXT } Taken;

static Taken run(Sets *s, const char *text, size_t n) {
    int32_t set = sets_start(s);
    for (size_t i = 0; i < n; i++) set = sets_step(s, set, (uint8_t)text[i]);
    assert_int_not_equal(set, SET_FULL);
    if (set == SET_DEAD) return REFUSED;
    return s->sets[set].flags & SET_ENDS ? WHOLE_TEXT : BEGUN;
}

static const struct Golden {
    const char *gbnf, *whole[6], *refused[6];
} goldens[] = {
    {"root ::= \"abc\"", {"abc"}, {"abd", "b", "abcd"}},
    {"root ::= \"a\" | \"b\"", {"a", "b"}, {"c", "ab"}},
    {"root ::= \"a\"*", {"", "a", "aaaaaaaa"}, {"b", "ab"}},
    {"root ::= \"a\"+ \"b\"?", {"a", "aab"}, {"b", "abb"}},
    {"root ::= \"a\"{2}", {"aa"}, {"aaa", "b"}},
    {"root ::= \"a\"{2,} \"b\"", {"aab", "aaaaab"}, {"ab", "aabb"}},
    {"root ::= (\"a\" | \"bc\"){1,3}", {"a", "bca", "bcbcbc"}, {"aaaa", "bb"}},
    {"root ::= \"a\"{0}", {""}, {"a"}},
    {"root ::= \"x\" { 1 , 2 }", {"x", "xx"}, {"xxx"}},
    {"root ::= [a-cx_-]+", {"abcx_-"}, {"d", "y"}},
    {"root ::= [^a-c\\n]", {"d", "\xc3\xa9", "\xf0\x9f\x98\x80", "-"}, {"a", "\n", "dd", "\x80", "\xc0\x80"}},
    {"root ::= [\\]\\[\\-\\^]+", {"][-^"}, {"\\"}},
    {"root ::= .", {"a", "\n", "\xe2\x82\xac"}, {"ab", "\xff", "\xed\xa0\x80"}},
    {"root ::= [\xc3\xa0-\xc3\xbf]+",
     {"\xc3\xa9\xc3\xbf"},
     {"\xc3\x97", "a",
      "\xc3\xa9"
      "a"}},
    {"root ::= [\\u0800-\\U0010FFFF]",
     {"\xe0\xa0\x80", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"},
     {"\xe0\x9f\xbf", "\xf4\x90\x80\x80", "\xed\xa0\x80", "\xdf\xbf"}},
    {"root ::= \"\\n\\t\\r\\\"\\\\\\x41\\u00e9\\U0001F600\"", {"\n\t\r\"\\A\xc3\xa9\xf0\x9f\x98\x80"}, {"n"}},
    {"# first\nroot ::= a b # then\n\n  # and\na ::= \"x\"\nb ::= \"y\" |\n  \"z\"\n", {"xy", "xz"}, {"x ", "yx"}},
    {"root ::= (\n \"a\" # one\n \"b\"\n)\n", {"ab"}, {"a\n"}},
    {"root ::= \"a\n\" [b\n]", {"a\nb", "a\n\n"}, {"ab"}}, /* lines may end inside of them */
    {"root ::= \"a\"\n  | \"b\"\n  | \"c\"\n", {"a", "b", "c"}, {"d"}},
    {"root ::= \"[\" (root (\",\" root)*)? \"]\"", {"[]", "[[],[[]]]"}, {"[,", "]", "[[]]]"}},
    {"root ::= list\nlist ::= \"a\" list | \"a\"", {"a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, {"b"}},
    {"root ::= \"a\" root \"b\" | \"\"", {"", "ab", "aaabbb"}, {"b", "abb", "aba"}},
    {"root ::= (\"a\"?)* \"b\"", {"b", "aab"}, {"c"}},
    {"root ::= e*\ne ::= \"\" | \"a\" e \"z\"", {"", "az", "aazzaz"}, {"z", "azz"}},
    {"root ::= \"ab\" | dead\ndead ::= \"a\" dead", {"ab"}, {"aa"}}, /* what never ends is cut off */
    {"root ::= \"\" \"\" | \"\"{9}", {""}, {"a"}},
    {"root ::= a_b-2\na_b-2 ::= \"\\\"\" [^\"]* \"\\\"\"", {"\"x\""}, {"x", "\"\"\""}},
    {"root ::= s s s\ns ::= \"a\"? \"b\"?", {"", "ababab", "aaa", "bb", "abba"}, {"aaaa"}},
    {"root ::= ((\"a\"{2}){3}){2} ", {"aaaaaaaaaaaa"}, {"aaaaaaaaaaaaa"}},
    {"root ::= \"a\"*? \"b\"", {"b", "aab"}, {"ba"}}, /* a quantifier of a quantifier */
    {"root::=\"a\"\r\nb::=\"c\"\r\n", {"a"}, {"c"}},
};

static void takes_and_refuses(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(goldens); i++) {
        const struct Golden *x = &goldens[i];
        Grammar g;
        Sets s;
        Err e = {0};
        if (!grammar_parse(str_of(x->gbnf), &g, &e)) fail_msg("%s: %s", x->gbnf, e.msg);
        sets_init(&s, &g);
        for (size_t k = 0; k < COUNT_OF(x->whole) && x->whole[k]; k++) {
            size_t n = strlen(x->whole[k]);
            if (run(&s, x->whole[k], n) != WHOLE_TEXT) fail_msg("%s: does not take '%s'", x->gbnf, x->whole[k]);
            for (size_t m = 0; m < n; m++) /* all that it begins with may still become something */
                if (run(&s, x->whole[k], m) == REFUSED) fail_msg("%s: dead end in '%s'", x->gbnf, x->whole[k]);
        }
        for (size_t k = 0; k < COUNT_OF(x->refused) && x->refused[k]; k++)
            if (run(&s, x->refused[k], strlen(x->refused[k])) != REFUSED)
                fail_msg("%s: takes '%s'", x->gbnf, x->refused[k]);
        sets_release(&s);
        grammar_release(&g);
    }
}

static void errors_have_places(void **state) {
    static const char *const cases[][2] = {
        {"root ::= \"a", "line 1, column 10: this literal has no closing quote"},
        {"root ::= [a", "line 1, column 10: this class has no closing bracket"},
        {"root ::= []", "line 1, column 10: this class is empty"},
        {"root ::= [z-a]", "line 1, column 11: this range ends before it begins"},
        {"root ::= (\"a\"", "line 1, column 10: this group has no closing parenthesis"},
        {"root ::= \"a\" )", "line 1, column 14: expected the end of the rule"},
        {"root ::= \"a\"\nb = \"c\"", "line 2, column 3: expected ::="},
        {"\xc3\xa9 ::= \"a\"", "line 1, column 1: expected the name of a rule"},
        {"root ::= \"\xc3\xa9\" \"\\q\"", "line 1, column 15: unknown escape"},
        {"root ::= \"\\u12\"", "line 1, column 11: this escape needs 4 hexadecimal digits"},
        {"root ::= \"\\ud800\"", "line 1, column 11: U+D800 is no character"},
        {"root ::= \"\\U00110000\"", "U+110000 is no character"},
        {"root ::= \"a\"{3,2}", "line 1, column 13: at most 2 is less than at least 3"},
        {"root ::= \"a\"{x}", "line 1, column 14: expected a number of repetitions"},
        {"root ::= \"a\"{70000}", "line 1, column 14: more than 65536 repetitions"},
        {"root ::= \"a\"{1", "these repetitions have no closing brace"},
        {"root ::= a\n", "line 1, column 10: rule 'a' is not defined"},
        {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: rule 'root' is defined twice"},
        {"a ::= \"b\"", "no rule 'root'"},
        {"", "no rule 'root'"},
        {"root ::= <[7]>", "line 1, column 10: references to tokens are not supported"},
        {"root ::= !<x>", "line 1, column 10: references to tokens are not supported"},
        {"root ::= root \"a\" | \"b\"", "rule 'root' can begin with itself"},
        {"root ::= \"x\" a\na ::= b\nb ::= \"y\"? a", "can begin with itself (left recursion)"},
        {"root ::= n* root \"a\" | \"b\"\nn ::= \"\"", "rule 'root' can begin with itself"},
        {"root ::= \"a\" root", "no text that comes from 'root' is ever complete"},
        {"root ::= \"a\\xff", "no closing quote"},
        {"root ::= \xff", "line 1, column 10: this is not UTF-8 text"},
        {"root ::= (((\"ab\"{65536}){65536}){65536}){65536}", "it is too large"},
        {"root ::= [ab]* \"a\" [ab]{30}", "it is too large"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Grammar g;
        Err e = {0};
        if (grammar_parse(str_of(cases[i][0]), &g, &e)) fail_msg("taken: %s", cases[i][0]);
        assert_int_equal(e.code, ERR_INPUT);
        if (!strstr(e.msg, cases[i][1])) fail_msg("%s: '%s', not '%s'", cases[i][0], e.msg, cases[i][1]);
    }
}

/* Groups in groups, and rules in rules, deeper than any stack: refused, not followed. */
static void depth_is_bounded(void **state) {
    (void)state;
    Buf b = {0};
    Grammar g;
    Err e = {0};
    buf_str(&b, "root ::= ");
    for (int i = 0; i < 100000; i++) buf_char(&b, '(');
    assert_false(grammar_parse(buf_view(&b), &g, &e));
    buf_clear(&b);
    buf_str(&b, "root ::= r0\n");
    for (int i = 0; i < 15000; i++) buf_printf(&b, "r%d ::= (r%d)\n", i, i + 1);
    buf_str(&b, "r15000 ::= \"a\"\n");
    assert_false(grammar_parse(buf_view(&b), &g, &e));
    assert_non_null(strstr(e.msg, "nested deeper"));
    buf_release(&b);
}

/* ---- a language written out: the texts of a grammar up to a length, from its rules alone ---- */

enum { LEN_MAX = 9, TEXTS_MAX = 60000 };

typedef struct Texts { /* sorted, each once */
    char (*t)[LEN_MAX + 1];
    size_t n;
} Texts;

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

static bool cut; /* some text was too long to be kept */

static void add_text(Buf *b, const char *x, const char *y) {
    char t[LEN_MAX + 1] = "";
    cut = cut || strlen(x) + strlen(y) > LEN_MAX;
    if (strlen(x) + strlen(y) > LEN_MAX) return;
    strcat(strcpy(t, x), y);
    buf_put(b, t, sizeof t);
}

static Texts texts_of(Buf *b) {
    Texts x = {(void *)b->s, b->n / (LEN_MAX + 1)};
    size_t kept = 0;
    if (x.n) qsort(x.t, x.n, sizeof *x.t, by_text);
    for (size_t i = 0; i < x.n; i++)
        if (!kept || strcmp(x.t[i], x.t[kept - 1]) != 0) memmove(x.t[kept++], x.t[i], sizeof *x.t);
    x.n = kept;
    assert_true(kept < TEXTS_MAX);
    return x;
}

static Texts expand(const Ast *a, const Texts *rules);

/* Texts of x and y that fit together; most do not, so lengths are taken once. */
static Texts product(Texts x, Texts y) {
    Buf b = {0};
    size_t *len = mem_alloc(y.n + 1, sizeof *len);
    for (size_t j = 0; j < y.n; j++) len[j] = strlen(y.t[j]);
    for (size_t i = 0; i < x.n; i++)
        for (size_t j = 0, room = LEN_MAX - strlen(x.t[i]); j < y.n; j++)
            if (len[j] <= room)
                add_text(&b, x.t[i], y.t[j]);
            else
                cut = true;
    free(len);
    return texts_of(&b);
}

static Texts expand(const Ast *a, const Texts *rules) {
    Buf b = {0};
    if (a->kind == AST_TEXT) add_text(&b, a->text.s, "");
    for (int32_t i = 0; a->kind == AST_CLASS && i < a->n_ranges; i++)
        for (uint32_t c = a->ranges[i][0]; c <= a->ranges[i][1]; c++) add_text(&b, (char[]){(char)c, 0}, "");
    if (a->kind == AST_RULE)
        for (size_t i = 0; i < rules[a->rule].n; i++) add_text(&b, rules[a->rule].t[i], "");
    if (a->kind == AST_SEQ || a->kind == AST_REPEAT) add_text(&b, "", "");
    Texts all = texts_of(&b);
    if (a->kind == AST_ALT) {
        b = (Buf){0};
        for (const Ast *k = a->first; k; k = k->sibling) {
            Texts x = expand(k, rules);
            for (size_t i = 0; i < x.n; i++) add_text(&b, x.t[i], "");
            free(x.t);
        }
        return texts_of(&b);
    }
    for (const Ast *k = a->kind == AST_SEQ ? a->first : NULL; k; k = k->sibling) {
        Texts x = expand(k, rules), both = product(all, x);
        free(x.t), free(all.t);
        all = both;
    }
    if (a->kind != AST_REPEAT) return all;
    Texts x = expand(a->first, rules);
    b = (Buf){0};
    for (int32_t times = 0; times <= (a->max < 0 ? LEN_MAX + a->min : a->max); times++) {
        for (size_t i = 0; times >= a->min && i < all.n; i++) add_text(&b, all.t[i], "");
        Texts more = product(all, x);
        free(all.t);
        all = more;
    }
    free(all.t), free(x.t);
    return texts_of(&b);
}

/* All texts up to LEN_MAX bytes, by going through the rules until nothing new comes. */
static Texts language(Str gbnf) {
    Arena arena = {0};
    GrammarAst ast = {.arena = &arena};
    Err e = {0};
    assert_true(grammar_read(gbnf, &ast, &e));
    Texts *rules = mem_alloc((size_t)ast.n_rules, sizeof *rules);
    cut = false;
    for (bool changed = true; changed;) {
        changed = false;
        for (int32_t i = 0; i < ast.n_rules; i++) {
            Texts now = expand(ast.rules[i].body, rules);
            changed = changed || now.n != rules[i].n;
            free(rules[i].t);
            rules[i] = now;
        }
    }
    Texts root = rules[ast.root];
    for (int32_t i = 0; i < ast.n_rules; i++)
        if (i != ast.root) free(rules[i].t);
    free(rules), free(ast.rules);
    arena_release(&arena);
    return root;
}

static bool begins_one(Texts all, const char *text) {
    size_t lo = 0, hi = all.n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (strcmp(all.t[mid], text) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < all.n && strncmp(all.t[lo], text, strlen(text)) == 0;
}

static bool is_one(Texts all, const char *text) {
    return all.n && bsearch(text, all.t, all.n, sizeof *all.t, by_text) != NULL;
}

/* ---- masks ---- */

/* All texts of one to three letters out of "abc", long tokens too, one twice, two ends, one that is no text. */
enum { V = 3 + 9 + 27 + 6 };
static char spelled[V][24];
static Str pieces[V];
static const int32_t ends[] = {40, 44};

static int setup(void **state) {
    int32_t id = 0;
    (void)state;
    for (int n = 1, count = 3; n <= 3; n++, count *= 3)
        for (int i = 0; i < count; i++, id++)
            for (int k = 0, x = i; k < n; k++, x /= 3) spelled[id][k] = (char)('a' + x % 3);
    strcpy(spelled[39], "aaaaaaaaaaaaaaaaaaa");
    strcpy(spelled[41], "abababababababababa");
    strcpy(spelled[42], "ab");
    strcpy(spelled[43], "a");
    for (id = 0; id < V; id++) pieces[id] = str_of(spelled[id]);
    return 0;
}

static bool has(const uint64_t *mask, int32_t id) { return mask[id >> 6] >> (id & 63) & 1; }

/* At every step of many random texts, the mask is what trying each token in the written-out language gives. What a text
 * of up to `known` bytes may become has been written out, so that what is missing is wrong; where the language has no
 * text beyond LEN_MAX that is so for all. */
static void check_masks(const char *gbnf, size_t known, int texts) {
    Grammar g;
    TokenTries tries;
    Err e = {0};
    Texts all = language(str_of(gbnf));
    if (!cut) known = LEN_MAX;
    if (!grammar_parse(str_of(gbnf), &g, &e)) fail_msg("%s: %s", gbnf, e.msg);
    token_tries_make(&tries, pieces, V);
    Masker *k = masker_make(&g, &tries, ends, 2);
    Matcher *m = matcher_new(k, &e);
    for (int t = 0; t < texts; t++) {
        char text[64] = "";
        assert_true(matcher_rewind(m, 0, &e));
        for (int step = 0; strlen(text) <= LEN_MAX - 3; step++) {
            int32_t may[V], n = 0;
            const uint64_t *mask = matcher_mask(m, &e);
            if (!mask) fail_msg("%s: after '%s': %s", gbnf, text, e.msg);
            for (int32_t id = 0; id < V; id++) {
                bool end = id == ends[0] || id == ends[1];
                char longer[64];
                strcat(strcpy(longer, text), spelled[id]);
                if (has(mask, id) && !end) may[n++] = id;
                if (strlen(longer) > LEN_MAX) continue;
                bool right = end ? is_one(all, text) : spelled[id][0] && begins_one(all, longer);
                if ((end || right || strlen(longer) <= known) && right != has(mask, id))
                    fail_msg("%s: after '%s', '%s' (%d) must be %s", gbnf, text, spelled[id], (int)id,
                             right ? "allowed" : "forbidden");
            }
            if (!n) break;
            assert_int_equal(matcher_must_end(m), false);
            int32_t id = may[rng_u64(1, (uint64_t)t, (uint64_t)step, RNG_SAMPLE) % (uint64_t)n];
            strcat(text, spelled[id]);
            if (!matcher_accept(m, id, &e)) fail_msg("%s", e.msg);
            if (strlen(text) > LEN_MAX) break;
        }
    }
    matcher_free(m);
    masker_free(k);
    token_tries_release(&tries);
    free(all.t);
}

static void masks_are_every_token_tried(void **state) {
    (void)state;
    check_masks("root ::= [ab]*", 9, 20);
    check_masks("root ::= \"a\" root \"b\" | \"c\"", 4, 40);
    check_masks("root ::= (x \"c\")*\nx ::= \"a\" x \"b\" | \"\"", 4, 40);
    check_masks("root ::= \"a\"{0,7} \"b\"{1,2}", 0, 40);
    check_masks("root ::= l \"c\" l\nl ::= \"a\" l | \"b\" l | \"\"", 8, 40); /* ends everywhere: many places */
    check_masks("root ::= (\"abc\" | \"ab\" | \"bca\"){1,3}", 0, 40);
    check_masks("root ::= x x x\nx ::= \"a\" (x | \"b\") \"c\"?", 3, 40);
    check_masks("root ::= \"a\"{30}", 0, 3);
}

/* Random grammars whose rules only use later ones, so that their languages are small. */
static void put_random(Buf *b, uint64_t seed, uint64_t *at, int depth, int rule) {
    uint64_t r = rng_u64(seed, 1, (*at)++, RNG_SAMPLE);
    static const char *const atoms[] = {
        "\"a\"", "\"b\"", "\"c\"", "\"ab\"", "[bc]", "\"\"", "[^\\x00-a\\x63-\\U0010FFFF]"};
    if (depth == 0 || r % 8 < 3) {
        if (rule < 3 && r % 16 < 2)
            buf_printf(b, "r%d", rule + 1);
        else
            buf_str(b, atoms[r / 16 % COUNT_OF(atoms)]);
        return;
    }
    buf_char(b, '(');
    put_random(b, seed, at, depth - 1, rule);
    buf_str(b, r % 3 ? " " : " | ");
    put_random(b, seed, at, depth - 1, rule);
    buf_str(b, (const char *const[]){")", ")?", ")", "){0,2}"}[r / 64 % 4]);
}

static void random_grammars(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        Buf b = {0};
        uint64_t at = 0;
        for (int rule = 0; rule <= 3; rule++) {
            buf_printf(&b, rule ? "r%d ::= " : "root ::= r1 | ", rule);
            put_random(&b, seed, &at, 3, rule);
            buf_char(&b, '\n');
        }
        check_masks(b.s, 0, 4);
        buf_release(&b);
    }
}

/* ---- UTF-8, places, tables ---- */

static void tokens_may_split_characters(void **state) {
    static const char *const parts[] = {"\xf0",     "\x9f", "\x98\x80", "\xf0\x9f\x98", "\x80",
                                        "\xe2\x82", "\xac", "x\xe2",    "\x80\x80"};
    Str p[COUNT_OF(parts)];
    int32_t end = 9;
    Grammar g;
    TokenTries tries;
    Err e = {0};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(parts); i++) p[i] = str_of(parts[i]);
    token_tries_make(&tries, p, COUNT_OF(parts));
    assert_true(grammar_parse(STR("root ::= [\\U0001F600\\u20ac] \"x\"? [\\u2000-\\u20ac]?"), &g, &e));
    Masker *k = masker_make(&g, &tries, &end, 1);
    Matcher *m = matcher_new(k, &e);
    static const struct {
        int32_t id;
        const char *allowed; /* before it */
    } steps[] = {{0, "0 3 5"}, {1, "1"}, {2, "2"}, {7, "5 7"}, {8, "4 8"}};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        const uint64_t *mask = matcher_mask(m, &e);
        Buf b = {0};
        assert_non_null(mask);
        for (int32_t id = 0; id < (int32_t)COUNT_OF(parts); id++)
            if (has(mask, id)) buf_printf(&b, b.n ? " %d" : "%d", (int)id);
        assert_string_equal(b.s, steps[i].allowed);
        buf_release(&b);
        assert_true(matcher_accept(m, steps[i].id, &e));
    }
    assert_true(matcher_must_end(m));
    assert_null(matcher_mask(m, &e)); /* the end is outside this vocabulary */
    assert_non_null(strstr(e.msg, "no token that ends it"));
    assert_false(matcher_accept(m, 0, &e));
    matcher_free(m);
    masker_free(k);
    token_tries_release(&tries);
}

static void rewind_and_fork(void **state) {
    Grammar g;
    TokenTries tries;
    Err e = {0};
    uint64_t was[20][1];
    (void)state;
    token_tries_make(&tries, pieces, V);
    assert_true(grammar_parse(STR("root ::= \"a\" root \"b\" | \"c\""), &g, &e));
    Masker *k = masker_make(&g, &tries, ends, 2);
    Matcher *m = matcher_new(k, &e);
    for (int i = 0; i < 20; i++) {
        was[i][0] = *matcher_mask(m, &e);
        assert_true(matcher_accept(m, i < 10 ? 0 : i == 10 ? 2 : 1, &e));
    }
    Matcher *f = matcher_fork(m);
    for (int i = 19; i >= 0; i -= 3) {
        assert_true(matcher_rewind(m, (size_t)i, &e));
        assert_true(*matcher_mask(m, &e) == was[i][0]);
        assert_int_equal(matcher_len(m), i);
    }
    assert_false(matcher_rewind(m, 21, &e));
    assert_int_equal(matcher_len(f), 20);
    assert_false(matcher_may_end(f));
    assert_true(matcher_accept(f, 1, &e)); /* now there are ten of each */
    assert_true(matcher_must_end(f));
    assert_false(matcher_accept(f, 1, &e));
    assert_int_equal(matcher_len(f), 21);
    matcher_free(m);
    assert_true(matcher_rewind(f, 10, &e));
    assert_true(*matcher_mask(f, &e) == was[10][0]);
    assert_false(matcher_accept(f, ends[0], &e));
    assert_false(matcher_accept(f, -1, &e) || matcher_accept(f, V, &e));
    matcher_free(f);
    masker_free(k);
    token_tries_release(&tries);
}

/* Masks and steps from the first token on, new sets and states included. */
static void tokens_allocate_nothing(void **state) {
    Grammar g;
    TokenTries tries;
    Err e = {0};
    (void)state;
    token_tries_make(&tries, pieces, V);
    assert_true(grammar_parse(
        STR("root ::= x*\nx ::= \"a\" x{0,3} \"b\" | \"ca\" y \"c\"\ny ::= \"b\" y \"c\" | \"a\"{1,40}"), &g, &e));
    Masker *k = masker_make(&g, &tries, ends, 2);
    Matcher *m = matcher_new(k, &e);
    long before = n_allocs;
    for (uint64_t i = 0; i < 3000; i++) {
        const uint64_t *mask = matcher_mask(m, &e);
        if (!mask) fail_msg("%s", e.msg);
        int32_t id = (int32_t)(rng_u64(3, 0, i, RNG_SAMPLE) % V);
        while (!has(mask, id)) id = (id + 1) % V;
        if (!matcher_accept(m, id, &e)) fail_msg("%s", e.msg);
    }
    if (COUNTS_ALLOCS) assert_int_equal(n_allocs - before, 0);
    matcher_free(m);
    masker_free(k);
    token_tries_release(&tries);
}

/* Nesting without end: every depth is a new set, so the tables fill again and again; masks and rewinding stay right. */
static void tables_start_anew(void **state) {
    Grammar g;
    TokenTries tries;
    Err e = {0};
    enum { DEPTH = 60000 };
    (void)state;
    token_tries_make(&tries, pieces, V);
    assert_true(grammar_parse(STR("root ::= x | y\nx ::= \"a\" x \"b\" | \"c\"\ny ::= \"a\" y \"c\" | \"c\""), &g, &e));
    Masker *k = masker_make(&g, &tries, ends, 2);
    Matcher *m = matcher_new(k, &e), *other = matcher_fork(m);
    assert_true(matcher_accept(other, 0, &e));
    uint64_t open = 0;
    for (int i = 0; i < DEPTH; i++) {
        if (i == 5) open = *matcher_mask(m, &e);
        if (!matcher_accept(m, 0, &e)) fail_msg("%d: %s", i, e.msg);
    }
    assert_true(*matcher_mask(m, &e) == open);
    assert_true(matcher_rewind(m, 5, &e));
    assert_true(*matcher_mask(m, &e) == open);
    assert_true(matcher_accept(other, 2, &e) && matcher_accept(other, 1, &e));
    assert_true(matcher_must_end(other));
    matcher_free(other);
    matcher_free(m);
    masker_free(k);
    token_tries_release(&tries);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_and_refuses), cmocka_unit_test(errors_have_places),
        cmocka_unit_test(depth_is_bounded),  cmocka_unit_test(masks_are_every_token_tried),
        cmocka_unit_test(random_grammars),   cmocka_unit_test(tokens_may_split_characters),
        cmocka_unit_test(rewind_and_fork),   cmocka_unit_test(tokens_allocate_nothing),
        cmocka_unit_test(tables_start_anew),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
