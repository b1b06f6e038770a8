/* A matcher for patterns that are alternatives of sequences of character sets: the plain part of PCRE2's syntax. It
 * finds what a backtracking matcher finds. Depth of recursion and memory depend on the pattern only. */
#ifndef TOKENIZER_SCAN_H
#define TOKENIZER_SCAN_H

#include "core/base.h"

typedef struct Scan Scan;

/* NULL: the pattern says something else, or could match nothing. free() it. */
Scan *scan_compile(const char *pattern);
size_t scan_bytes(const Scan *scan);

/* Length of the match that begins at s[at]: 0: none. *steps counts down; at 0 the answer is void. */
size_t scan_match(const Scan *scan, Str s, size_t at, int64_t *steps);

#endif
