/* The bytes of a vocabulary as two trees, of the short tokens and of the others, laid out so that a walk reads forward
 * and skips what is cut off. */
#ifndef CORE_GRAMMAR_TRIE_H
#define CORE_GRAMMAR_TRIE_H

#include "core/grammar.h"

typedef struct TrieNode {
    int32_t skip;   /* the node behind all that begin like this one */
    int32_t tokens; /* where the tokens that end here begin; they end where the next node's begin */
    uint16_t depth; /* bytes so far */
    uint8_t byte;
    uint8_t chars; /* the most characters that follow in a token, or CHARS_BROKEN */
    uint8_t kinds; /* bits of CharKind: the characters that follow */
} TrieNode;

/* What is mostly treated alike. What follows a node that splits a character, or what is not UTF-8, has no kinds. */
typedef enum CharKind {
    CHAR_LOWER,
    CHAR_UPPER,
    CHAR_DIGIT,
    CHAR_SPACE,   /* ' ' */
    CHAR_QUOTE,   /* " and the backslash */
    CHAR_MARK,    /* the other signs of ASCII */
    CHAR_CONTROL, /* below ' ', and U+007F */
    CHAR_WIDE,    /* beyond ASCII */
    CHAR_KINDS
} CharKind;
enum { CHARS_BROKEN = 255 };
CharKind char_kind(unsigned char first_byte);

typedef struct Trie {
    TrieNode *nodes; /* [n + 1]; the first is the empty text, the last only ends */
    int32_t n;
    int32_t *ids;
    int32_t depth; /* of the deepest node */
} Trie;

typedef struct TokenTries {
    Trie part[2];  /* tokens of up to GRAMMAR_REACH bytes; longer ones */
    int32_t vocab; /* ids are below */
    char *bytes;   /* of all tokens */
    uint32_t *at;  /* [vocab + 1] where a token's begin */
} TokenTries;

enum { TOKEN_BYTES_MAX = 4096 }; /* longer tokens never match */

/* pieces[id] are the bytes that a token stands for in text; of none (n == 0) the token is no text. Borrows nothing. */
void token_tries_make(TokenTries *t, const Str *pieces, int32_t vocab);
void token_tries_release(TokenTries *t);
size_t token_tries_bytes(const TokenTries *t);

static inline Str token_bytes(const TokenTries *t, int32_t id) {
    return (Str){t->bytes + t->at[id], t->at[id + 1] - t->at[id]};
}

#endif
