/* Added tokens: texts that are one token wherever they stand, cut out before anything else happens. Of those that begin
 * at the leftmost place the longest is taken. Semantics of the flags: the AddedToken class of the tokenizers package.
 */
#ifndef TOKENIZER_ADDED_H
#define TOKENIZER_ADDED_H

#include "core/tok_spec.h"
#include "tokenizer/trie.h"

typedef struct Added {
    Trie plain, normalized; /* by the flag: which text they are looked for in */
    const AddedToken *tokens;
} Added;

typedef struct AddedMatch {
    const AddedToken *token; /* NULL: no further one */
    size_t begin, end;       /* bytes, stripped white space included */
    size_t core_end;         /* end of the token's own text: where the search goes on */
} AddedMatch;

/* texts[i]: of added token i as it is looked for: a normalised one in normalised text. */
bool added_build(const TokSpec *spec, const Str *texts, Arena *a, Added *out, Err *e);

/* The next token of `set` in s, searched from byte `from`; `taken`: end of the match before, which stripping leaves
 * alone. Without `special` the special ones are passed over, and what they cover with them. */
AddedMatch added_next(const Added *added, const Trie *set, Str s, size_t from, size_t taken, bool special);

#endif
