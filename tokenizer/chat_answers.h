/* Conversations to learn from: all their ids, and which of them the assistant says. */
#ifndef TOKENIZER_CHAT_ANSWERS_H
#define TOKENIZER_CHAT_ANSWERS_H

#include "core/pack.h"
#include "tokenizer/chat_template.h"

/* Appends the ids of the conversation, as the model's chat template writes it, and the ranges of them (in *out) that
 * stand in {% generation %} blocks. Where the template has none, an answer is what it writes for a message of the
 * assistant after the prompt for it: the conversation up to there, rendered with and without the message. The white
 * space that the template puts after an answer does not count. Fails where the one does not begin with the other. tools
 * may be NULL. */
bool chat_answers(const Tokenizer *t, const Value *messages, const Value *tools, IdList *out, IdRanges *answers,
                  Err *e);

#endif
