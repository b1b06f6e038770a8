/* Characters that a state takes all alike: whole branches of the tree of tokens need no walk then. */
#ifndef CORE_GRAMMAR_RUNS_H
#define CORE_GRAMMAR_RUNS_H

#include "core/grammar_trie.h"

typedef struct Run { /* over characters of these kinds */
    int32_t state;   /* + 1; 0: none */
    uint8_t kinds, chars;
} Run;

typedef struct Runs {
    const Grammar *g;
    int32_t (*to)[CHAR_KINDS]; /* [n_states] where every character of a kind leads, or RUN_* */
    Run *kept;                 /* what was asked last, by a hash of both */
} Runs;

void runs_init(Runs *r, const Grammar *g); /* borrows g */
void runs_release(Runs *r);
size_t runs_bytes(const Runs *r); /* reserved */

/* All that follows node x in its tree is taken from `state` on, whatever else the rule could do on the way. */
bool runs_all(Runs *r, int32_t state, const TrieNode *x);

#endif
