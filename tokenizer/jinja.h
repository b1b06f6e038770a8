/* Jinja as chat templates use it: the language, filters, tests and methods of jinja2's ImmutableSandboxedEnvironment
 * with trim_blocks, lstrip_blocks, loop controls, `generation` blocks and the tojson filter of transformers.
 *
 * Provenance: every byte of the result is known to be the template's (its text, its literals, values given as trusted)
 * or the caller's (messages, tools), whatever filters, slices and joins it went through. A tokenizer takes special
 * tokens only from bytes of the template.
 *
 * Budget: steps, bytes and depth of one run are bounded; a template that loops, nests or multiplies strings without end
 * is an error, soon and in little memory. What cannot be done as jinja2 does it is an error that says so, never another
 * result. Errors are ERR_INPUT and name line and column of the template. A template never changes after it was compiled
 * and may be shared by threads.
 *
 * Source: the behaviour of jinja2 3.1 and of transformers.utils.chat_template_utils 5.x, checked by
 * tests/parity/check_templates.py. */
#ifndef TOKENIZER_JINJA_H
#define TOKENIZER_JINJA_H

#include "core/value.h"

typedef struct JinjaTemplate JinjaTemplate;

typedef struct JinjaLimits { /* 0: the default */
    int64_t steps;           /* evaluated nodes, items, and each 32 bytes of text that are looked at */
    size_t bytes;            /* memory of one compilation or rendering */
    int depth;               /* nested expressions, blocks, calls */
} JinjaLimits;

typedef struct JinjaVar { /* a name that the template can read; all of it is borrowed while it renders */
    const char *name;
    const Value *value;
    bool trusted;         /* its strings count as the template's */
    const char *word_key; /* or NULL: members of this name that are one word of letters, digits, '_' and '-' count as
                             the template's: "role" of a message, which templates build special tokens from */
} JinjaVar;

typedef struct JinjaSpan { /* bytes [begin, end) */
    size_t begin, end;
    bool trusted; /* the template's */
} JinjaSpan;

typedef struct JinjaResult {
    Buf text;         /* UTF-8 */
    JinjaSpan *spans; /* neighbours differ in `trusted`, together they cover the text */
    size_t n_spans;
    JinjaSpan *answers; /* what stands in {% generation %} blocks, in the order of rendering */
    size_t n_answers;
} JinjaResult;

typedef struct JinjaOptions { /* all zero: defaults */
    JinjaLimits limits;
    int64_t now; /* seconds since 1970 that strftime_now shows, in the local time zone; 0: the clock's */
} JinjaOptions;

/* `source` is copied; valid UTF-8 of at most 1 MiB. */
bool jinja_compile(Str source, const JinjaOptions *opt, JinjaTemplate **out, Err *e);
void jinja_free(JinjaTemplate *t);
Str jinja_source(const JinjaTemplate *t);

/* *out is overwritten; release it with jinja_result_release, on failure it is empty. */
bool jinja_render(const JinjaTemplate *t, const JinjaVar *vars, size_t n, const JinjaOptions *opt, JinjaResult *out,
                  Err *e);
void jinja_result_release(JinjaResult *r);

#endif
