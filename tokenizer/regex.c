#include "tokenizer/regex.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "tokenizer/scan.h"
#include "tokenizer/text.h"

enum {
    PATTERN_MAX = 16384,    /* bytes of a pattern */
    STEPS_MIN = 10000000,   /* of one match */
    STEPS_PER_BYTE = 16,    /* more, because a long run is a long match */
    HEAP_KIB = 65536,       /* of the interpreter */
    JIT_STACK_MAX = 8 << 20 /* bytes, made when a match first needs it */
};

static ErrCode class_of(int code) {
    return code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED ? ERR_FIT : ERR_INPUT;
}

/* ---- compiling ---- */

static bool compile_pcre(const char *pattern, Regex *out, Err *e) {
    Buf wide = {0};
    int why;
    PCRE2_SIZE at;
    char text[160];
    size_t code = 0, jit = 0;
    pcre2_compile_context *c = pcre2_compile_context_create(NULL);
    regex_widen(pattern, &wide);
    if (c) {
        pcre2_set_newline(c, PCRE2_NEWLINE_LF);
        pcre2_set_max_pattern_length(c, PATTERN_MAX);
    }
    out->code = pcre2_compile((PCRE2_SPTR)buf_view(&wide).s, wide.n, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                              &why, &at, c);
    pcre2_compile_context_free(c);
    buf_release(&wide);
    if (!out->code) {
        pcre2_get_error_message(why, (PCRE2_UCHAR *)text, sizeof text);
        return err_set(e, class_of(why), "the tokenizer's pattern '%.200s' is refused at byte %zu: %s", pattern,
                       (size_t)at, text);
    }
    out->jit = pcre2_jit_compile(out->code, PCRE2_JIT_COMPLETE) == 0; /* else the interpreter runs it */
    pcre2_pattern_info(out->code, PCRE2_INFO_SIZE, &code);
    pcre2_pattern_info(out->code, PCRE2_INFO_JITSIZE, &jit);
    out->bytes = code + jit;
    return true;
}

bool regex_compile(const char *pattern, bool library, Regex *out, Err *e) {
    *out = (Regex){0};
    if (!library) out->scan = scan_compile(pattern);
    out->bytes = scan_bytes(out->scan);
    return out->scan || compile_pcre(pattern, out, e);
}

void regex_release(Regex *r) {
    free(r->scan);
    pcre2_code_free(r->code);
    *r = (Regex){0};
}

void regex_run_release(RegexRun *run) {
    pcre2_match_data_free(run->data);
    pcre2_match_context_free(run->match);
    pcre2_jit_stack_free(run->stack);
    *run = (RegexRun){0};
}

/* ---- running ---- */

static RegexFound too_hard(int code, size_t n, Err *e) {
    char text[160] = "too many steps";
    if (code) pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
    err_set(e, class_of(code), "the tokenizer's pattern gives up on a text of %zu bytes: %s", n, text);
    return REGEX_ERROR;
}

static size_t step_limit(const RegexRun *run) { return STEPS_MIN + run->text_bytes * STEPS_PER_BYTE; }

static RegexFound find_scan(const Regex *r, RegexRun *run, Str s, size_t from, size_t match[2], Err *e) {
    for (size_t at = from; at < s.n; at++) {
        int64_t steps = (int64_t)step_limit(run);
        if (utf8_continues(s.s[at])) continue;
        size_t n = scan_match(r->scan, s, at, &steps);
        if (steps <= 0) return too_hard(0, s.n, e);
        if (!n) continue;
        match[0] = at;
        match[1] = at + n;
        return REGEX_MATCH;
    }
    return REGEX_NONE;
}

static bool run_begin(RegexRun *run) {
    if (run->data && run->match) return true;
    if (!run->data) run->data = pcre2_match_data_create(1, NULL);
    if (!run->match) run->match = pcre2_match_context_create(NULL);
    if (!run->data || !run->match) return false;
    pcre2_set_match_limit(run->match, (uint32_t)MIN(step_limit(run), (size_t)UINT32_MAX));
    pcre2_set_heap_limit(run->match, HEAP_KIB);
    return true;
}

static RegexFound find_pcre(const Regex *r, RegexRun *run, Str s, size_t from, size_t match[2], Err *e) {
    int found;
    if (!run_begin(run)) return too_hard(PCRE2_ERROR_NOMEMORY, s.n, e);
    for (;;) {
        found = r->jit ? pcre2_jit_match(r->code, (PCRE2_SPTR)s.s, s.n, from, PCRE2_NO_UTF_CHECK, run->data, run->match)
                       : pcre2_match(r->code, (PCRE2_SPTR)s.s, s.n, from, PCRE2_NO_UTF_CHECK, run->data, run->match);
        if (found != PCRE2_ERROR_JIT_STACKLIMIT || run->stack) break;
        run->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK_MAX, NULL); /* the machine stack was too small */
        if (!run->stack) break;
        pcre2_jit_stack_assign(run->match, NULL, run->stack);
    }
    if (found == PCRE2_ERROR_NOMATCH) return REGEX_NONE;
    if (found < 0) return too_hard(found, s.n, e);
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(run->data);
    match[0] = ends[0];
    match[1] = ends[1];
    return match[1] < match[0] || match[0] < from ? REGEX_NONE : REGEX_MATCH; /* \K can turn a match round */
}

RegexFound regex_find(const Regex *r, RegexRun *run, Str s, size_t from, size_t match[2], Err *e) {
    return r->scan ? find_scan(r, run, s, from, match, e) : find_pcre(r, run, s, from, match, e);
}

bool regex_parts(const Regex *r, RegexRun *run, Str s, RegexPart *part, void *ctx, Err *e) {
    size_t done = 0, from = 0, match[2];
    bool matched = false; /* a match ended at `from` */
    while (from <= s.n && done < s.n) {
        RegexFound found = regex_find(r, run, s, from, match, e);
        if (found == REGEX_ERROR) return false;
        if (found == REGEX_NONE) break;
        if (match[0] == match[1] && matched && match[0] == from) { /* nothing, after a match: look one character on */
            if (from == s.n) break;
            from++;
            while (from < s.n && utf8_continues(s.s[from])) from++;
            matched = false;
            continue;
        }
        if (match[0] > done) TRY(part(ctx, done, match[0], false, e));
        if (match[1] > match[0]) TRY(part(ctx, match[0], match[1], true, e));
        done = from = match[1];
        matched = true;
    }
    return done == s.n || part(ctx, done, s.n, false, e);
}
