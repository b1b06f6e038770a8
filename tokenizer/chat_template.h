/* Conversations to prompts: the model's own chat template, and its tokens.
 *
 * A request is an object: "messages" (a list of objects, at least one), and what else the template may read: "tools",
 * "documents", "add_generation_prompt", "enable_thinking", ... As transformers' apply_chat_template does it, members of
 * messages that are null are left out, "reasoning_content" and "thinking" are filled from each other and from
 * "reasoning", and tools and documents that are not given are none. "continue_final_message" (true, or the name of a
 * member of the last message) ends the prompt where that member's text ends, so that the model goes on with it.
 *
 * BOS: a template writes it itself, so the text is tokenised without anything added around it. Where a template does
 * not, there is none, as in transformers.
 *
 * Special tokens count only where the template wrote them: its text and literals, and the tokenizer's own bos_token,
 * eos_token, ... A message's "role" counts as the template's when it is one word, since templates build tokens from it.
 * Special tokens in messages and tools are plain text. */
#ifndef TOKENIZER_CHAT_TEMPLATE_H
#define TOKENIZER_CHAT_TEMPLATE_H

#include "tokenizer/jinja.h"
#include "tokenizer/tokenizer.h"

/* The template for a request: the one that its "chat_template" names; else "tool_use" where tools are given and there
 * is one; else "default". */
bool chat_template_pick(const TokSpec *spec, const Value *request, Str *out, Err *e);

/* Fills *out (jinja_result_release), which is empty after a failure. */
bool chat_render(const TokSpec *spec, const Value *request, const JinjaOptions *opt, JinjaResult *out, Err *e);

enum { CHAT_ID_SPECIAL = 1, CHAT_ID_ANSWER = 2 }; /* a special token; stands in a {% generation %} block */

/* Appends the ids of a rendered text to *out; *marks receives CHAT_ID_* for each of them (free it). trust_all: special
 * tokens count in messages too. Fails where a special token in a message would come out of its plain text. */
bool chat_encode(const Tokenizer *t, const JinjaResult *r, bool trust_all, TokenList *out, uint8_t **marks, Err *e);

#endif
