/* Rules -> automata with choices (Thompson 1968), built from their ends to their beginnings. */
#include <stdlib.h>

#include "core/grammar_ast.h"

enum { NFA_MAX = 1 << 20 };

typedef struct Builder {
    GrammarAst *ast;
    NfaRules *out;
    int32_t name; /* the rule that is being built, for errors */
    int depth;
    Err *e;
} Builder;

static bool node(Builder *b, NfaNode n, int32_t *id) {
    Nfa *nfa = &b->out->nfa;
    Str name = b->ast->rules[b->name].name;
    if (nfa->n == NFA_MAX)
        return err_set(b->e, ERR_INPUT,
                       "grammar: it is too large at rule '%.*s': more than %d states; use smaller numbers of "
                       "repetitions",
                       (int)MIN(name.n, 60), name.s, NFA_MAX);
    if (nfa->n == nfa->cap) {
        nfa->cap = nfa->cap ? nfa->cap * 2 : 1024;
        nfa->nodes = mem_grow(nfa->nodes, (size_t)nfa->cap, sizeof *nfa->nodes);
    }
    nfa->nodes[ *id = nfa->n++] = n;
    return true;
}

static bool bytes(Builder *b, int lo, int hi, int32_t next, int32_t *id) {
    return node(b, (NfaNode){.kind = NFA_BYTES, .lo = (uint8_t)lo, .hi = (uint8_t)hi, .a = next}, id);
}

/* What has been built so far, or n. */
static bool either(Builder *b, int32_t n, int32_t *so_far) {
    if (*so_far < 0) return *so_far = n, true;
    return node(b, (NfaNode){.kind = NFA_SPLIT, .a = n, .b = *so_far}, so_far);
}

/* ---- classes: ranges of code points as UTF-8 (RFC 3629) ---- */

typedef struct Class {
    int32_t tail[4]; /* tail[n]: any n continuation bytes, then what follows; -1: not built */
    int32_t entry;   /* all ranges so far; -1: none */
} Class;

static bool tail(Builder *b, Class *c, int n, int32_t *id) {
    if (c->tail[n] < 0) {
        int32_t rest;
        TRY(tail(b, c, n - 1, &rest) && bytes(b, 0x80, 0xbf, rest, &c->tail[n]));
    }
    *id = c->tail[n];
    return true;
}

/* The sequences from lo to hi, of n bytes each, the last n - at of them. */
static bool sequences(Builder *b, Class *c, const uint8_t *lo, const uint8_t *hi, int n, int32_t *entry) {
    static const uint8_t least[3] = {0x80, 0x80, 0x80}, most[3] = {0xbf, 0xbf, 0xbf};
    int32_t rest, id, all = -1;
    bool low_full = memcmp(lo + 1, least, (size_t)n - 1) == 0, high_full = memcmp(hi + 1, most, (size_t)n - 1) == 0;
    int from = lo[0] + !low_full, to = hi[0] - !high_full;
    if (lo[0] == hi[0] && !(low_full && high_full)) {
        TRY(sequences(b, c, lo + 1, hi + 1, n - 1, &rest));
        return bytes(b, lo[0], lo[0], rest, entry);
    }
    if (from <= to) TRY(tail(b, c, n - 1, &rest) && bytes(b, from, to, rest, &id) && either(b, id, &all));
    if (!low_full)
        TRY(sequences(b, c, lo + 1, most, n - 1, &rest) && bytes(b, lo[0], lo[0], rest, &id) && either(b, id, &all));
    if (!high_full)
        TRY(sequences(b, c, least, hi + 1, n - 1, &rest) && bytes(b, hi[0], hi[0], rest, &id) && either(b, id, &all));
    *entry = all;
    return true;
}

static bool build_class(Builder *b, const Ast *a, int32_t next, int32_t *entry) {
    static const uint32_t ends[] = {0x7f, 0x7ff, 0xffff, 0x10ffff}; /* of one byte, two, ... */
    Class c = {.tail = {next, -1, -1, -1}, .entry = -1};
    for (int32_t i = 0; i < a->n_ranges; i++) {
        uint32_t from = a->ranges[i][0], to = a->ranges[i][1];
        for (int n = 1; n <= 4 && from <= to; n++) {
            uint8_t lo[4], hi[4];
            int32_t id;
            if (from > ends[n - 1]) continue;
            utf8_encode(from, (char *)lo);
            utf8_encode(MIN(to, ends[n - 1]), (char *)hi);
            TRY(sequences(b, &c, lo, hi, n, &id) && either(b, id, &c.entry));
            from = ends[n - 1] + 1;
        }
    }
    if (c.entry < 0) TRY(bytes(b, 1, 0, next, &c.entry)); /* nothing is in the class: a way that no byte goes */
    *entry = c.entry;
    return true;
}

/* ---- structure ---- */

static bool build(Builder *b, const Ast *a, int32_t next, int32_t *entry);

static bool build_text(Builder *b, Str text, int32_t next, int32_t *entry) {
    *entry = next;
    for (size_t i = text.n; i-- > 0;) {
        int c = (unsigned char)text.s[i];
        TRY(bytes(b, c, c, *entry, entry));
    }
    return true;
}

static bool build_repeat(Builder *b, const Ast *a, int32_t next, int32_t *entry) {
    int32_t body;
    *entry = next;
    if (a->max < 0) {
        TRY(node(b, (NfaNode){.kind = NFA_SPLIT, .b = next}, entry) && build(b, a->first, *entry, &body));
        b->out->nfa.nodes[*entry].a = body;
    }
    for (int32_t i = a->min; i < a->max; i++) {
        TRY(build(b, a->first, *entry, &body));
        TRY(node(b, (NfaNode){.kind = NFA_SPLIT, .a = body, .b = next}, entry));
    }
    for (int32_t i = 0, before = -1; i < a->min && before != *entry; i++) { /* until it adds nothing */
        before = *entry;
        TRY(build(b, a->first, *entry, entry));
    }
    return true;
}

/* The kids of a sequence, the last one first. */
static bool build_seq(Builder *b, const Ast *first, int32_t next, int32_t *entry) {
    Buf kids = {0};
    bool ok = true;
    for (const Ast *k = first; k; k = k->sibling) buf_put(&kids, &k, sizeof k);
    *entry = next;
    for (size_t i = kids.n / sizeof first; ok && i-- > 0;) {
        const Ast *k;
        memcpy(&k, kids.s + i * sizeof k, sizeof k);
        ok = build(b, k, *entry, entry);
    }
    buf_release(&kids);
    return ok;
}

/* The automaton of its own that rule r has, wanted from now on. */
static void want(Builder *b, int32_t r) {
    AstRule *rule = &b->ast->rules[r];
    if (rule->first >= 0) return;
    rule->first = b->out->n;
    b->out->rules[b->out->n++] = r;
}

static bool build(Builder *b, const Ast *a, int32_t next, int32_t *entry) {
    int32_t id, all = -1;
    if (++b->depth > GRAMMAR_DEPTH_MAX)
        return err_set(b->e, ERR_INPUT, "grammar: its rules are nested deeper than %d", GRAMMAR_DEPTH_MAX);
    bool ok = true;
    switch (a->kind) {
    case AST_TEXT: ok = build_text(b, a->text, next, entry); break;
    case AST_CLASS: ok = build_class(b, a, next, entry); break;
    case AST_SEQ: ok = build_seq(b, a->first, next, entry); break;
    case AST_REPEAT: ok = build_repeat(b, a, next, entry); break;
    case AST_ALT:
        for (const Ast *k = a->first; k && ok; k = k->sibling) ok = build(b, k, next, &id) && either(b, id, &all);
        *entry = all;
        break;
    case AST_RULE:
        if (b->ast->rules[a->rule].apart) {
            want(b, a->rule);
            ok = node(b, (NfaNode){.kind = NFA_CALL, .a = next, .b = a->rule}, entry);
        } else {
            ok = build(b, b->ast->rules[a->rule].body, next, entry);
        }
    }
    b->depth--;
    return ok;
}

bool nfa_make(GrammarAst *ast, NfaRules *out, Err *e) {
    Builder b = {.ast = ast, .out = out, .e = e};
    out->rules = mem_alloc((size_t)ast->n_rules, sizeof *out->rules);
    out->entry = mem_alloc((size_t)ast->n_rules, sizeof *out->entry);
    for (int32_t i = 0; i < ast->n_rules; i++) ast->rules[i].first = -1;
    want(&b, ast->root);
    for (int32_t i = 0; i < out->n; i++) {
        int32_t final;
        b.name = out->rules[i];
        TRY(node(&b, (NfaNode){.kind = NFA_FINAL}, &final));
        TRY(build(&b, ast->rules[b.name].body, final, &out->entry[i]));
    }
    return true;
}

void nfa_release(NfaRules *r) {
    free(r->nfa.nodes);
    free(r->rules);
    free(r->entry);
    *r = (NfaRules){0};
}
