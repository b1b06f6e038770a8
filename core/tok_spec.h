/* A tokenizer's description, neutral of any file format: normalise, split, model, post-process, decode.
 *
 * formats/ fills one from tokenizer.json, tokenizer.model, tekken.json or GGUF arrays; tokenizer/ compiles it.
 * Everything is borrowed from `arena` or from a mapped file that outlives the spec. A thing that the file asks for and
 * this description cannot say is an error of the reader. */
#ifndef CORE_TOK_SPEC_H
#define CORE_TOK_SPEC_H

#include "core/value.h"

typedef enum TokModel { TOK_BPE, TOK_UNIGRAM } TokModel;

typedef enum TokSymbols {               /* what a piece of text is made of before the first merge */
                          SYM_ALPHABET, /* bytes; the vocabulary spells them in GPT-2's byte alphabet */
                          SYM_BYTES,    /* bytes; the vocabulary holds them as they are */
                          SYM_CHARS,    /* characters */
} TokSymbols;

typedef enum TokType { /* SentencePiece's and GGUF's numbers */
                       TOK_NORMAL = 1,
                       TOK_UNKNOWN,
                       TOK_CONTROL,
                       TOK_USER,
                       TOK_UNUSED,
                       TOK_BYTE,
} TokType;

typedef enum NormKind {
    NORM_NFC,
    NORM_NFD,
    NORM_NFKC,
    NORM_NFKD,
    NORM_LOWERCASE,
    NORM_STRIP, /* white space at the ends: left, right */
    NORM_STRIP_ACCENTS,
    NORM_NMT,
    NORM_PREPEND,  /* text before what is not empty */
    NORM_REPLACE,  /* every match of from (or of pattern, where it is not NULL) by text */
    NORM_CHARSMAP, /* a precompiled map, as the tokenizers package applies it: grapheme by grapheme */
    NORM_SPM,      /* SentencePiece's own: the map at every place, then white space as the flags say */
} NormKind;

typedef struct NormSpec {
    NormKind kind;
    Str from, text;
    const char *pattern; /* PCRE2 */
    bool left, right;    /* NORM_STRIP */
    Str charsmap;        /* trie and texts; n == 0: none */
    struct {             /* NORM_SPM; `user` pieces of the vocabulary are left as they are */
        bool dummy_prefix, remove_extra, escape, suffix;
    } space;
} NormSpec;

typedef enum SplitKind {
    SPLIT_REGEX,   /* pieces are matches of pattern and what lies between them */
    SPLIT_TEXT,    /* as SPLIT_REGEX, for the very text */
    SPLIT_REPLACE, /* no split: text becomes `with` */
    SPLIT_PREPEND, /* no split: a piece that does not begin with text gets it; first: at the start of the input only */
} SplitKind;

typedef enum SplitBehavior { /* what becomes of a match */
                             SPLIT_ISOLATED,
                             SPLIT_REMOVED,
                             SPLIT_WITH_PREVIOUS,
                             SPLIT_WITH_NEXT,
                             SPLIT_CONTIGUOUS, /* matches that touch are one piece */
} SplitBehavior;

typedef struct SplitSpec {
    SplitKind kind;
    const char *pattern; /* SPLIT_REGEX: PCRE2 syntax, UTF and UCP */
    Str text, with;
    SplitBehavior behavior;
    bool invert, first;
} SplitSpec;

typedef enum DecodeKind {
    DECODE_ALPHABET,      /* a token whose letters are all of GPT-2's alphabet is those bytes */
    DECODE_BYTE_FALLBACK, /* <0x41> is the byte 0x41 */
    DECODE_REPLACE,       /* every `from` by text, in each token */
    DECODE_FUSE,          /* what follows sees one text */
    DECODE_STRIP,         /* up to `start` and `stop` times `from` at the ends of each token, or of the fused text */
    DECODE_METASPACE,     /* `from` is a space; in the first token nothing, where `start` */
    DECODE_JOIN,          /* a space between tokens */
} DecodeKind;

typedef struct DecodeSpec {
    DecodeKind kind;
    Str from, text;
    int start, stop;
} DecodeSpec;

typedef struct AddedToken {
    Str text;
    int32_t id;
    bool special, lstrip, rstrip, normalized, single_word;
    bool outside; /* the model itself does not know it */
} AddedToken;

enum { TOK_STEPS_MAX = 12, TOK_AROUND_MAX = 4 };

typedef struct ChatText {
    const char *name, *text;
} ChatText;

typedef struct TokSpec {
    TokModel model;
    TokSymbols symbols;
    bool ignore_merges; /* a whole piece that is in the vocabulary is taken before any merge */
    bool
        merge_by_text; /* no merges are listed: any two neighbours that are spelled like a token join, the best first */
    bool byte_fallback;    /* a character without a token becomes its bytes, <0x41> each */
    bool fuse_unk;         /* unknown symbols that stand together become one unk */
    bool f32_scores;       /* sums of scores are rounded as SentencePiece does */
    bool trim_offsets;     /* a token's offsets leave out the white space it begins and ends with ... */
    bool trim_keeps_first; /* ... but not a single space at the beginning of the text */

    Str *vocab;     /* [n_vocab] as spelled in the file; n == 0 for an id that has no entry */
    double *scores; /* [n_vocab] or NULL; the higher the better. Without: the lower id is the better */
    uint8_t *types; /* [n_vocab] TokType, or NULL: what is no added token is TOK_NORMAL */
    int32_t n_vocab;
    Str (*merges)[2]; /* in rank order */
    int32_t n_merges;
    const Value *late_merges; /* or NULL: instead of `merges`, [n_merges] texts "left right" as the file has them; one
                                 of parts that are no tokens is no error */

    NormSpec norms[TOK_STEPS_MAX];
    int n_norms;
    SplitSpec splits[TOK_STEPS_MAX]; /* applied one after the other, each inside the pieces of the one before */
    int n_splits;
    DecodeSpec decodes[TOK_STEPS_MAX];
    int n_decodes;

    AddedToken *added;
    int32_t n_added;

    int32_t bos, eos, unk, pad; /* -1: none. unk: what a symbol without a token becomes; -1: it is left out */
    int32_t prefix[TOK_AROUND_MAX], suffix[TOK_AROUND_MAX]; /* what ADD_SPECIAL puts around the text */
    int n_prefix, n_suffix;
    Str unk_text;              /* what unk decodes to; n == 0: as it is spelled */
    const char *chat_template; /* the one called "default"; NULL: none */
    ChatText *templates;       /* all of them; "tool_use" is for conversations with tools */
    int32_t n_templates;
    const char *kind; /* for people: "byte-level BPE, 49152 tokens, pre-tokenizer smollm" */
    Arena arena;
} TokSpec;

#endif
