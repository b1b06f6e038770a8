/* What must hold before a grammar can become an automaton, and which rules get one of their own. */
#include "core/grammar_ast.h"

enum { WEIGHT_APART = 128, WEIGHT_MAX = 1 << 20 };

/* ---- which rules may be empty ---- */

static bool ast_nullable(const GrammarAst *g, const Ast *a) {
    switch (a->kind) {
    case AST_TEXT: return a->text.n == 0;
    case AST_CLASS: return false;
    case AST_REPEAT: return a->min == 0 || ast_nullable(g, a->first);
    case AST_RULE: return g->rules[a->rule].nullable;
    default: break;
    }
    bool any = a->kind == AST_ALT; /* of an alternative one kid is enough, of a sequence it takes all */
    for (const Ast *k = a->first; k; k = k->sibling)
        if (ast_nullable(g, k) == any) return any;
    return !any;
}

static void find_nullable(GrammarAst *g) {
    for (bool changed = true; changed;) {
        changed = false;
        for (int32_t i = g->n_rules; i-- > 0;) { /* a rule mostly uses later ones */
            AstRule *r = &g->rules[i];
            if (r->nullable || !ast_nullable(g, r->body)) continue;
            r->nullable = changed = true;
        }
    }
}

/* ---- walks along the rules ---- */

enum { WALK_NEW, WALK_OPEN, WALK_DONE };

typedef struct Walk {
    GrammarAst *g;
    uint8_t *state; /* [n_rules] WALK_* */
    int depth;
    Err *e;
} Walk;

static bool walk_down(Walk *w) {
    if (++w->depth <= GRAMMAR_DEPTH_MAX) return true;
    return err_set(w->e, ERR_INPUT, "grammar: its rules are nested deeper than %d", GRAMMAR_DEPTH_MAX);
}

/* Follows what can stand first. */
static bool no_left(Walk *w, const Ast *a) {
    TRY(walk_down(w));
    if (a->kind == AST_RULE) {
        AstRule *r = &w->g->rules[a->rule];
        if (w->state[a->rule] == WALK_OPEN)
            return err_set(w->e, ERR_INPUT,
                           "grammar: rule '%.*s' can begin with itself (left recursion); put what comes first before "
                           "it, as in a ::= b (\",\" b)*",
                           (int)MIN(r->name.n, 60), r->name.s);
        if (w->state[a->rule] == WALK_NEW) {
            w->state[a->rule] = WALK_OPEN;
            TRY(no_left(w, r->body));
            w->state[a->rule] = WALK_DONE;
        }
    }
    for (const Ast *k = a->max == 0 && a->kind == AST_REPEAT ? NULL : a->first; k; k = k->sibling) {
        TRY(no_left(w, k));
        if (a->kind == AST_SEQ && !ast_nullable(w->g, k)) break;
    }
    w->depth--;
    return true;
}

static int32_t weight_sum(int64_t a, int64_t b) { return (int32_t)MIN(a + b, WEIGHT_MAX); }

/* About as many states as the automaton of a will have. On every circle of rules one is apart: that which a walk meets
 * while it is open. */
static bool weigh(Walk *w, const Ast *a, int32_t *weight) {
    int32_t sum = a->kind == AST_TEXT ? (int32_t)MIN(a->text.n, WEIGHT_MAX) : 1, part;
    TRY(walk_down(w));
    if (a->kind == AST_CLASS) sum = a->n_ranges && a->ranges[a->n_ranges - 1][1] >= 0x80 ? 12 : a->n_ranges;
    if (a->kind == AST_RULE) {
        AstRule *r = &w->g->rules[a->rule];
        if (w->state[a->rule] == WALK_OPEN) r->apart = true;
        if (w->state[a->rule] == WALK_NEW) {
            w->state[a->rule] = WALK_OPEN;
            TRY(weigh(w, r->body, &r->weight));
            w->state[a->rule] = WALK_DONE;
            if (r->weight > WEIGHT_APART) r->apart = true;
        }
        sum = r->apart ? 1 : r->weight;
    }
    for (const Ast *k = a->first; k; k = k->sibling) {
        TRY(weigh(w, k, &part));
        sum = weight_sum(sum, part);
    }
    if (a->kind == AST_REPEAT) sum = (int32_t)MIN((int64_t)sum * MAX(MAX(a->min, a->max), 1), WEIGHT_MAX);
    *weight = sum;
    w->depth--;
    return true;
}

bool grammar_check(GrammarAst *g, Err *e) {
    Arena arena = {0};
    Walk w = {.g = g, .state = ARENA_NEW(&arena, uint8_t, g->n_rules), .e = e};
    AstRule *root = &g->rules[g->root];
    bool ok = true;
    find_nullable(g);
    for (int32_t i = 0; i < g->n_rules && ok; i++) ok = no_left(&w, &(Ast){.kind = AST_RULE, .rule = i});
    w.state = ARENA_NEW(&arena, uint8_t, g->n_rules);
    w.depth = 0;
    w.state[g->root] = WALK_OPEN;
    ok = ok && weigh(&w, root->body, &root->weight);
    root->apart = true;
    arena_release(&arena);
    return ok;
}
