/* A grammar as it is written: what the parser gives to the compiler. */
#ifndef CORE_GRAMMAR_AST_H
#define CORE_GRAMMAR_AST_H

#include "core/grammar.h"

enum {
    GRAMMAR_RULES_MAX = 20000,
    GRAMMAR_DEPTH_MAX = 20000,  /* of one function inside another, over all rules */
    GRAMMAR_GROUPS_MAX = 100,   /* of parentheses in parentheses */
    GRAMMAR_REPEAT_MAX = 65536, /* {m,n} */
};

typedef enum AstKind {
    AST_TEXT,   /* bytes */
    AST_CLASS,  /* one code point out of ranges */
    AST_SEQ,    /* kids one after the other; none: the empty text */
    AST_ALT,    /* one of the kids */
    AST_REPEAT, /* the kid, min to max times; max < 0: no end */
    AST_RULE,   /* what another rule says */
} AstKind;

typedef struct Ast Ast;
struct Ast {
    AstKind kind;
    Ast *first, *sibling; /* kids are a list */
    Str text;
    uint32_t (*ranges)[2]; /* inclusive, ascending, apart, no surrogates */
    int32_t n_ranges;
    int32_t min, max;
    int32_t rule;
};

typedef struct AstRule {
    Str name;
    Ast *body;         /* NULL: used and not yet defined */
    size_t used;       /* byte of the text where the name first stood */
    bool nullable;     /* may be empty */
    bool apart;        /* has an automaton of its own; otherwise written out where it is used */
    int32_t weight;    /* about as many states */
    int32_t first, at; /* for the compiler: the automaton's first state, the way through the list of rules */
} AstRule;

typedef struct GrammarAst {
    AstRule *rules;
    int32_t n_rules, cap_rules, root;
    Arena *arena;
} GrammarAst;

/* rules stand on the heap: free(ast->rules), after a failure too. */
bool grammar_read(Str gbnf, GrammarAst *ast, Err *e);
/* Refuses left recursion; fills nullable, apart, weight. */
bool grammar_check(GrammarAst *ast, Err *e);

/* ---- the automaton before it is deterministic ---- */

typedef enum NfaKind { NFA_BYTES, NFA_SPLIT, NFA_CALL, NFA_FINAL } NfaKind;

typedef struct NfaNode {
    uint8_t kind, lo, hi; /* NFA_BYTES: inclusive */
    int32_t a, b;         /* where to; NFA_SPLIT both ways, NFA_CALL: b is the rule */
} NfaNode;

typedef struct Nfa {
    NfaNode *nodes;
    int32_t n, cap;
} Nfa;

/* The rules that have automata of their own and are used: entry[i] is the node that rules[i] begins with. Free with
 * nfa_release. */
typedef struct NfaRules {
    Nfa nfa;
    int32_t *rules, *entry;
    int32_t n;
} NfaRules;

bool nfa_make(GrammarAst *ast, NfaRules *out, Err *e);
void nfa_release(NfaRules *r);
/* nfa -> *g, all but root. ast->rules[].first become states. */
bool dfa_make(GrammarAst *ast, const NfaRules *r, Grammar *g, Err *e);
/* Cuts off what can never be completed; false: nothing can. */
bool dfa_prune(Grammar *g);
/* Fills g->alike. */
void dfa_group(Grammar *g);

#endif
