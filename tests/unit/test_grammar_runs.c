/* Branches of the tree of tokens that are taken whole: masks of a vocabulary with characters of every kind, whole, cut
 * and broken, against every token tried byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdlib.h>

#include "core/grammar_mask.h"
#include "core/rng.h"

enum { V = 4000, END = V - 1 };

static Buf bytes;
static Str pieces[V];
static TokenTries tries;

static uint32_t draw(uint32_t below) {
    static uint64_t drawn;
    return (uint32_t)(rng_u64(11, 0, drawn++, RNG_INIT) % below);
}

/* Up to 25 characters, mostly of one kind, so that branches are uniform for a while. */
static void put_token(Buf *b) {
    static const char *const kinds[] = {"abcxyz", "ABZ", "0189", " ", "\"\\", ",.;:<>{}[]/-", "\n\t\x01\x7f"};
    static const uint32_t wide[] = {0x80, 0x7ff, 0x800, 0xfff, 0x4e2d, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff};
    uint32_t n = draw(12) ? 1 + draw(6) : 10 + draw(16), kind = draw(COUNT_OF(kinds) + 2);
    for (uint32_t i = 0; i < n; i++) {
        char utf8[4];
        if (!draw(6)) kind = draw(COUNT_OF(kinds) + 2);
        if (kind < COUNT_OF(kinds))
            buf_char(b, kinds[kind][draw((uint32_t)strlen(kinds[kind]))]);
        else
            buf_put(b, utf8, (size_t)utf8_encode(wide[draw(COUNT_OF(wide))], utf8));
    }
    if (!draw(8)) b->s[b->n - 1] = (char)(0x80 | draw(0x80)); /* cut or broken */
}

static int make_vocabulary(void **state) {
    (void)state;
    for (int32_t id = 0; id < END; id++) {
        size_t before = bytes.n;
        if (id < 256)
            buf_char(&bytes, (char)id);
        else
            put_token(&bytes);
        pieces[id].n = bytes.n - before;
    }
    for (size_t id = 0, at = 0; id < V; at += pieces[id++].n) pieces[id].s = bytes.s + at;
    token_tries_make(&tries, pieces, V);
    return 0;
}

static int drop_vocabulary(void **state) {
    (void)state;
    token_tries_release(&tries);
    buf_release(&bytes);
    return 0;
}

/* The trees hold every token once, in order. */
static void trees_are_sorted(void **state) {
    int32_t seen = 0;
    (void)state;
    for (int part = 0; part < 2; part++) {
        const Trie *t = &tries.part[part];
        int32_t n = t->nodes[t->n].tokens;
        for (int32_t i = 1; i < n; i++) {
            Str a = pieces[t->ids[i - 1]], b = pieces[t->ids[i]];
            int c = memcmp(a.s, b.s, MIN(a.n, b.n));
            assert_true(c < 0 || (c == 0 && (a.n < b.n || (a.n == b.n && t->ids[i - 1] < t->ids[i]))));
        }
        seen += n;
    }
    assert_int_equal(seen, END);
}

static bool takes(Sets *s, int32_t set, Str text) {
    for (size_t i = 0; i < text.n && set != SET_DEAD; i++) set = sets_step(s, set, (uint8_t)text.s[i]);
    assert_int_not_equal(set, SET_FULL);
    return set != SET_DEAD;
}

static void check(const char *gbnf) {
    enum { TEXTS = 6, STEPS = 25 };
    Grammar g, again;
    Sets s;
    Err e = {0};
    int32_t end = END;
    if (!grammar_parse(str_of(gbnf), &g, &e)) fail_msg("%s: %s", gbnf, e.msg);
    assert_true(grammar_parse(str_of(gbnf), &again, &e));
    sets_init(&s, &again);
    Masker *k = masker_make(&g, &tries, &end, 1);
    Matcher *m = matcher_new(k, &e);
    for (int text = 0; text < TEXTS; text++) {
        int32_t set = sets_start(&s);
        assert_true(matcher_rewind(m, 0, &e));
        for (int step = 0; step < STEPS && !matcher_must_end(m); step++) {
            const uint64_t *mask = matcher_mask(m, &e);
            if (!mask) fail_msg("%s: %s", gbnf, e.msg);
            for (int32_t id = 0; id < END; id++)
                if (takes(&s, set, pieces[id]) != (mask[id >> 6] >> (id & 63) & 1))
                    fail_msg("%s: text %d, step %d: token %d", gbnf, text, step, (int)id);
            int32_t id = (int32_t)draw(END), tries_left = V;
            while (!(mask[id >> 6] >> (id & 63) & 1) && tries_left-- > 0) id = (id + 1) % END;
            if (tries_left < 0) break; /* only the end may come */
            assert_true(matcher_accept(m, id, &e));
            for (size_t i = 0; i < pieces[id].n; i++) set = sets_step(&s, set, (uint8_t)pieces[id].s[i]);
        }
    }
    matcher_free(m);
    masker_free(k);
    sets_release(&s);
    grammar_release(&again);
}

static void masks_are_every_token_tried(void **state) {
    (void)state;
    check("root ::= \"\\\"\" ([^\\x00-\\x1f\\\"\\\\] | \"\\\\\" [\\\"\\\\nt])* \"\\\"\"");
    check("root ::= ([^\\x00-\\x1f\\\"\\\\] | \"\\\\\" [\\\"\\\\nt]){5,12} \"\\\"\"");
    check("root ::= [^<]* \"<\" [a-z]+ \">\"");
    check("root ::= ([a-z]{3} [A-Z0-9]{2})* [^a-z]{30,}");
    check("root ::= [a-z ]* | [a-z0-9]* \"-\" .*");
    check("root ::= [\\u0080-\\uffff]{0,9} [\\U00010000-\\U0010FFFF]* \".\"");
    check("root ::= [\\x00-\\u0fff]{4,} (\"a\" | \"{\" root \"}\")");            /* only some characters beyond ASCII */
    check("root ::= word (\" \" word)* \"\\n\"\nword ::= [a-z]+ | .{2,3} word"); /* ends and calls on the way */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_are_sorted),
        cmocka_unit_test(masks_are_every_token_tried),
    };
    return cmocka_run_group_tests(tests, make_vocabulary, drop_vocabulary);
}
