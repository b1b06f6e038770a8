/* A conversation: what the system was told, then messages of user and model in turn. Kept in files as {"messages":
 * [...]}, which every reader of chat messages takes. */
#ifndef CMD_CONVERSATION_H
#define CMD_CONVERSATION_H

#include "core/base.h"

typedef enum Role { ROLE_USER, ROLE_MODEL } Role;

typedef struct Message {
    Role role;
    Buf content, reasoning; /* reasoning: the thinking before a model's answer */
} Message;

typedef struct Conversation { /* all zero: empty */
    Buf system;               /* empty: none */
    Message *items;
    size_t n;
} Conversation;

/* Copies the text, in which NUL becomes U+FFFD; the message is valid until the next one is added. */
Message *conversation_add(Conversation *c, Role role, Str content);
void conversation_reasoning(Message *m, Str text);
/* Forgets the messages from the n-th on. */
void conversation_cut(Conversation *c, size_t n);
/* Appends {"messages": [...]}, one message a line. */
void conversation_write(const Conversation *c, Buf *out);
/* Replaces *c; ERR_INPUT, and *c as it was, for what is no such conversation. `what` names it. */
bool conversation_read(Conversation *c, Str json, const char *what, Err *e);
/* The prompt that the model's template makes of it; reply: with the model's answer about to begin. */
bool conversation_render(const Conversation *c, LlmwsTokenizer *t, bool reply, LlmwsPrompt *out, Err *e);
void conversation_release(Conversation *c);

#endif
