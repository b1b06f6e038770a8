/* From what a user gives to the ids that a model goes on from. */
#ifndef CMD_GENERATE_PROMPT_H
#define CMD_GENERATE_PROMPT_H

#include "cmd/run_opts.h"
#include "core/value.h"

typedef struct PromptFrom { /* a text or messages */
    Str text;
    Str system;
    bool chat;                     /* the text is what a user says */
    const Value *messages, *tools; /* lists, for the chat template; NULL: none */
} PromptFrom;

/* Appends the ids, and to *text what they stand for: of a conversation that is what the chat template made of it. The
 * system text comes before messages that do not begin with one. */
bool prompt_make(const PromptFrom *from, LlmwsTokenizer *tok, Ids *ids, Buf *text, Err *e);
/* ERR_FIT with both numbers for more tokens than the context holds. */
bool prompt_fits(size_t n, int64_t ctx, Err *e);

#endif
