/* Grammars that bound what a model may say: llama.cpp's GBNF, compiled to a pushdown automaton over bytes.
 *
 * Every rule that cannot be written out where it is used becomes a deterministic automaton over classes of bytes, whose
 * states may also call the first state of another rule: a call goes on in `ret` when the called rule has ended. Code
 * points are spelled as UTF-8, so that tokens may hold parts of characters. A Grammar never changes after it was made.
 *
 * Taken: rules, "literals", [classes], [^classes], '.', groups, '|', ? * + {m} {m,} {m,n}, # comments, and the escapes
 * \n \r \t \" \\ \[ \] \- \^ \xNN \uNNNN \UNNNNNNNN. The text comes from the rule `root`. A rule ends with its line,
 * except inside a group, after '|', and before a line that begins with '|'.
 * Refused: left recursion, names without a rule, token references such as <[7]>, a root that can never end. What can
 * never be completed is cut off, so no prefix that the automaton takes is a dead end.
 * Source: grammars/README.md of llama.cpp. */
#ifndef CORE_GRAMMAR_H
#define CORE_GRAMMAR_H

#include "core/base.h"

enum {
    GRAMMAR_FINAL = 1, /* the rule may end here */
    GRAMMAR_BYTES = 2, /* some byte goes on from here */
    GRAMMAR_REACH = 16 /* bytes; see Grammar.alike */
};

typedef struct GrammarCall {
    int32_t callee, ret; /* states */
} GrammarCall;

typedef struct Grammar {
    int32_t n_states, n_cls, root; /* root: a state */
    uint8_t cls[256];              /* class of a byte, below n_cls */
    int32_t *next;                 /* [n_states][n_cls] state, -1: none */
    int32_t *call_at;              /* [n_states + 1] where a state's calls begin */
    GrammarCall *calls;
    uint8_t *flags; /* [n_states] */
    int32_t *alike; /* [n_states] states of one number behave the same over the next GRAMMAR_REACH bytes */
    int32_t n_alike;
} Grammar;

/* *g is released after a failure too. Errors tell the line and column, or the rule. */
bool grammar_parse(Str gbnf, Grammar *g, Err *e);
void grammar_release(Grammar *g);

#endif
