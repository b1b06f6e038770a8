/* Regular expressions of tokenizers. The patterns that published tokenizers split with are alternatives of sequences of
 * character sets: those are matched here, over the tables of unicode.h. Whatever else a pattern says goes to PCRE2,
 * with the characters that are younger than its Unicode written out. */
#ifndef TOKENIZER_REGEX_H
#define TOKENIZER_REGEX_H

#include "core/base.h"

typedef struct Regex {
    struct Scan *scan; /* NULL: PCRE2 */
    void *code;        /* pcre2_code */
    bool jit;
    size_t bytes; /* that it keeps */
} Regex;

/* Appends pattern so that it means the same to any PCRE2 from Unicode 14 on. */
void regex_widen(const char *pattern, Buf *out);

/* pattern: PCRE2 syntax, UTF and UCP. `library`: through PCRE2 in any case. */
bool regex_compile(const char *pattern, bool library, Regex *out, Err *e);
void regex_release(Regex *r);

typedef struct RegexRun { /* what one thread needs; all-zero but for text_bytes is ready */
    size_t text_bytes;    /* of the whole input: a long text may take more steps */
    void *data, *match, *stack;
} RegexRun;
void regex_run_release(RegexRun *run);

/* The first match in s at or after byte `from`. An error is a pattern that needs more steps than its limit. */
typedef enum RegexFound { REGEX_ERROR = -1, REGEX_NONE, REGEX_MATCH } RegexFound;
RegexFound regex_find(const Regex *r, RegexRun *run, Str s, size_t from, size_t match[2], Err *e);

/* All matches and what lies between them, as part(ctx, begin, end, is_match), in order; none is empty. */
typedef bool RegexPart(void *ctx, size_t begin, size_t end, bool is_match, Err *e);
bool regex_parts(const Regex *r, RegexRun *run, Str s, RegexPart *part, void *ctx, Err *e);

#endif
