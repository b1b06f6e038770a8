/* SentencePiece's precompiled character map: a double-array trie from texts to texts. Layout: u32 size of the trie in
 * bytes (little endian), its u32 units, then the texts, each closed by a NUL; a unit's fields are those of darts-clone.
 * Sources: sentencepiece, src/normalizer.cc (DecodePrecompiledCharsMap); darts-clone, include/darts.h. */
#ifndef TOKENIZER_CHARSMAP_H
#define TOKENIZER_CHARSMAP_H

#include "core/base.h"

typedef struct Charsmap { /* borrows the file's bytes; n_units == 0: empty */
    const char *units;
    size_t n_units;
    Str texts;
} Charsmap;

bool charsmap_open(Str blob, Charsmap *out, Err *e);
/* The text that the longest (or the shortest) key at the start of s maps to, *used receives the key's length; false: no
 * key stands there. */
bool charsmap_find(const Charsmap *m, Str s, bool shortest, Str *text, size_t *used);

#endif
