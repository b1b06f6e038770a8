/* A tokenizer's description, neutral of any file format: normalise, split, model, post-process, decode.
 *
 * formats/ fills one from tokenizer.json or from GGUF arrays; tokenizer/ compiles it. Everything is borrowed from
 * `arena` or from a mapped file that outlives the spec. A thing that the file asks for and this description cannot say
 * is an error of the reader. */
#ifndef CORE_TOK_SPEC_H
#define CORE_TOK_SPEC_H

#include "core/base.h"

typedef enum TokModel { TOK_BPE } TokModel;

typedef enum SplitKind {
    SPLIT_REGEX,  /* pattern matches become pieces, and so does what lies between them ("Isolated") */
    SPLIT_DIGITS, /* runs of digits; each digit alone when `individual` */
} SplitKind;

typedef struct SplitSpec {
    SplitKind kind;
    const char *pattern; /* SPLIT_REGEX: PCRE2 syntax, UTF and UCP */
    bool individual;     /* SPLIT_DIGITS */
} SplitSpec;

typedef struct AddedToken {
    Str text;
    int32_t id;
    bool special, lstrip, rstrip, normalized, single_word;
} AddedToken;

typedef struct ChatText {
    const char *name, *text;
} ChatText;

typedef struct TokSpec {
    TokModel model;
    bool byte_level;       /* pieces are spelled in GPT-2's byte alphabet; decoding undoes it */
    bool ignore_merges;    /* a whole piece that is in the vocabulary is taken before any merge */
    bool add_prefix_space; /* text between added tokens that does not begin with a space gets one; one split at most */
    bool fuse_unk;         /* unknown symbols that stand together become one unk */
    bool trim_offsets;     /* a token's offsets leave out the white space it begins and ends with ... */
    bool trim_keeps_first; /* ... but not a single space at the beginning of the text */

    Str *vocab; /* [n_vocab] as spelled in the file; n == 0 for an id that has no entry */
    int32_t n_vocab;
    Str (*merges)[2]; /* in rank order */
    int32_t n_merges;

    SplitSpec splits[8]; /* applied one after the other, each inside the pieces of the one before */
    int n_splits;

    AddedToken *added;
    int32_t n_added;

    int32_t bos, eos, unk, pad;   /* -1: none. unk: what a symbol without a token becomes; -1: it is left out */
    int32_t prefix[4], suffix[4]; /* what ADD_SPECIAL puts around the text */
    int n_prefix, n_suffix;
    const char *chat_template; /* the one called "default"; NULL: none */
    ChatText *templates;       /* all of them; "tool_use" is for conversations with tools */
    int32_t n_templates;
    const char *kind; /* for people: "byte-level BPE, 49152 tokens, pre-tokenizer smollm" */
    Arena arena;
} TokSpec;

#endif
