#include "tokenizer/pretok.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "tokenizer/text.h"

enum {
    PATTERN_MAX = 16384,    /* bytes of a pattern */
    STEPS_MIN = 10000000,   /* of one match */
    STEPS_PER_BYTE = 16,    /* more, because a long run is a long match */
    HEAP_KIB = 65536,       /* of the interpreter */
    JIT_STACK_MAX = 8 << 20 /* bytes, made when a match first needs it */
};

/* ---- compiling ---- */

static const char *pattern_of(const SplitSpec *s) {
    if (s->kind == SPLIT_DIGITS) return s->individual ? "\\p{N}" : "\\p{N}+";
    return s->pattern;
}

static ErrCode class_of(int code) {
    return code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED ? ERR_FIT : ERR_INPUT;
}

static bool compile_split(const char *pattern, struct PretokSplit *out, Err *e) {
    int why;
    PCRE2_SIZE at;
    char text[160];
    pcre2_compile_context *c = pcre2_compile_context_create(NULL);
    if (c) {
        pcre2_set_newline(c, PCRE2_NEWLINE_LF);
        pcre2_set_max_pattern_length(c, PATTERN_MAX);
    }
    out->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                              PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &why, &at, c);
    pcre2_compile_context_free(c);
    if (!out->code) {
        pcre2_get_error_message(why, (PCRE2_UCHAR *)text, sizeof text);
        return err_set(e, class_of(why), "the pre-tokenizer's pattern '%.200s' is refused at byte %zu: %s", pattern,
                       (size_t)at, text);
    }
    out->jit = pcre2_jit_compile(out->code, PCRE2_JIT_COMPLETE) == 0; /* else the interpreter runs it */
    return true;
}

bool pretok_build(const TokSpec *spec, Pretok *out, Err *e) {
    *out = (Pretok){0};
    for (int i = 0; i < spec->n_splits; i++) {
        size_t code = 0, jit = 0;
        TRY(compile_split(pattern_of(&spec->splits[i]), &out->splits[i], e));
        out->n = i + 1;
        pcre2_pattern_info(out->splits[i].code, PCRE2_INFO_SIZE, &code);
        pcre2_pattern_info(out->splits[i].code, PCRE2_INFO_JITSIZE, &jit);
        out->bytes += code + jit;
    }
    return true;
}

void pretok_release(Pretok *p) {
    for (int i = 0; i < p->n; i++) pcre2_code_free(p->splits[i].code);
    *p = (Pretok){0};
}

/* ---- running ---- */

void pretok_begin(PretokRun *r, const Pretok *p, size_t text_bytes) {
    *r = (PretokRun){.pretok = p};
    if (!p->n) return;
    r->data = pcre2_match_data_create(1, NULL);
    r->match = pcre2_match_context_create(NULL);
    if (!r->data || !r->match) return; /* reported where it is needed */
    pcre2_set_match_limit(r->match, (uint32_t)MIN(STEPS_MIN + text_bytes * STEPS_PER_BYTE, (size_t)UINT32_MAX));
    pcre2_set_heap_limit(r->match, HEAP_KIB);
}

void pretok_end(PretokRun *r) {
    pcre2_match_data_free(r->data);
    pcre2_match_context_free(r->match);
    pcre2_jit_stack_free(r->stack);
    *r = (PretokRun){0};
}

/* The first match at or after `from`: 1, none: 0, an error of PCRE2: negative. */
static int find(PretokRun *r, const struct PretokSplit *split, Str s, size_t from) {
    if (!r->data || !r->match) return PCRE2_ERROR_NOMEMORY;
    int found;
    for (;;) {
        found = split->jit
                    ? pcre2_jit_match(split->code, (PCRE2_SPTR)s.s, s.n, from, PCRE2_NO_UTF_CHECK, r->data, r->match)
                    : pcre2_match(split->code, (PCRE2_SPTR)s.s, s.n, from, PCRE2_NO_UTF_CHECK, r->data, r->match);
        if (found != PCRE2_ERROR_JIT_STACKLIMIT || r->stack) break;
        r->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK_MAX, NULL); /* the machine stack was too small */
        if (!r->stack) break;
        pcre2_jit_stack_assign(r->match, NULL, r->stack);
    }
    return found == PCRE2_ERROR_NOMATCH ? 0 : found < 0 ? found : 1;
}

static bool too_hard(int code, size_t n, Err *e) {
    char text[160];
    pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
    return err_set(e, class_of(code), "the pre-tokenizer's pattern gives up on a text of %zu bytes: %s", n, text);
}

/* Matches of split `level` and what lies between them become pieces of the next level. */
static bool split_level(PretokRun *r, int level, Str s, PretokPiece *piece, void *ctx, Err *e) {
    if (level == r->pretok->n) {
        if (s.n) piece(ctx, s.s, s.n);
        return true;
    }
    const PCRE2_SIZE *match = r->data ? pcre2_get_ovector_pointer(r->data) : NULL;
    size_t done = 0, from = 0;
    bool matched = false; /* a match ended at `from` */
    while (from <= s.n && done < s.n) {
        int found = find(r, &r->pretok->splits[level], s, from);
        if (found < 0) return too_hard(found, s.n, e);
        if (!found) break;
        size_t begin = match[0], end = match[1];
        if (begin < done || end < begin) break;         /* \K can turn a match round: what is left is one piece */
        if (begin == end && matched && begin == from) { /* nothing, right after a match: look one character on */
            if (from == s.n) break;
            from++;
            while (from < s.n && utf8_continues(s.s[from])) from++;
            matched = false;
            continue;
        }
        if (begin > done) TRY(split_level(r, level + 1, (Str){s.s + done, begin - done}, piece, ctx, e));
        if (end > begin) TRY(split_level(r, level + 1, (Str){s.s + begin, end - begin}, piece, ctx, e));
        done = from = end;
        matched = true;
    }
    return done == s.n || split_level(r, level + 1, (Str){s.s + done, s.n - done}, piece, ctx, e);
}

bool pretok_split(PretokRun *r, Str text, PretokPiece *piece, void *ctx, Err *e) {
    return split_level(r, 0, text, piece, ctx, e);
}
