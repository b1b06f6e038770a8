/* Which tokens may come next: a grammar held against a vocabulary.
 *
 * What a token does in one state of a rule mostly does not depend on what called the rule. So for each state the tree
 * of tokens is walked once, from an unknown stack: the tokens that stay inside the rule are kept as a bit set, the
 * places of the tree where the rule ended as a list. The mask of a set of states is the union of their bit sets, and of
 * walks that go on from those places, which are few and short, in what the stack says. Short tokens are kept once for
 * all states that look alike over as many bytes (every place inside a long counted string but the last), long tokens,
 * which are few, for each state. A branch whose characters a state takes all alike (the inside of a string) is taken
 * whole. Masks of whole sets are kept too, for a while.
 * The idea of masks that do not depend on the stack: Dong et al. 2024, "XGrammar".
 *
 * A Masker holds all that sequences share, a Matcher is a place in one text. Both are for one thread at a time. All
 * tables have a fixed size, reserved by masker_make and touched as they fill; when one is full it starts anew. */
#ifndef CORE_GRAMMAR_MASK_H
#define CORE_GRAMMAR_MASK_H

#include "core/grammar_runs.h"
#include "core/grammar_sets.h"
#include "core/grammar_trie.h"

typedef struct Masker Masker;
typedef struct Matcher Matcher;

/* Takes *g over, which is empty then; borrows tries. ends[0..n_ends) are the ids that end a text. */
Masker *masker_make(Grammar *g, const TokenTries *tries, const int32_t *ends, size_t n_ends);
/* After the last of its matchers. */
void masker_free(Masker *k);
size_t masker_bytes(const Masker *k); /* reserved, by its matchers too */

/* At the beginning of a text; NULL where the grammar is too ambiguous even for that. Keeps k until matcher_free. */
Matcher *matcher_new(Masker *k, Err *e);
Matcher *matcher_fork(const Matcher *m);
void matcher_free(Matcher *m);
Masker *matcher_masker(const Matcher *m);
int matchers_of(const Masker *k); /* how many there are */

/* Goes on by a token that the mask allows; an id that ends the text leaves the place as it is. On failure too. Up to
 * MATCHER_ROOM tokens nothing is allocated. */
enum { MATCHER_ROOM = 1 << 16 };
bool matcher_accept(Matcher *m, int32_t id, Err *e);
/* Back to after the first n tokens. */
bool matcher_rewind(Matcher *m, size_t n, Err *e);
size_t matcher_len(const Matcher *m); /* tokens so far */
/* The text may end here; nothing but its end may follow. */
bool matcher_may_end(const Matcher *m);
bool matcher_must_end(const Matcher *m);

/* Bit id%64 of word id/64: token id may come next, ends where the text may end. Valid until the next call with the same
 * Masker. NULL: an error, which no token at all is too. */
const uint64_t *matcher_mask(Matcher *m, Err *e);

#endif
