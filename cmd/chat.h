/* llmws chat, in parts: the loop and the turns (chat.c), what follows a slash (chat_cmd.c), files (chat_file.c), and
 * what is typed (chat_input.c). */
#ifndef CMD_CHAT_H
#define CMD_CHAT_H

#include "cmd/answer.h"
#include "cmd/conversation.h"
#include "cmd/line.h"

typedef struct ChatOpts {
    AnswerOpts answer;
    const char *session;
} ChatOpts;

typedef struct Chat {
    ChatOpts o; /* as given, then as /set changed it; its lists are our own */
    Ui ui;
    LlmwsModel *model;
    LlmwsTokenizer *tok;
    LlmwsSession *session;
    Answer answer;
    Conversation talk;
    Line *line;
    Arena kept;       /* values of /set */
    bool interactive; /* somebody types; else lines come from a pipe */
    bool leave, changed;
    bool asked;         /* Ctrl-C at an empty prompt was the last thing */
    int64_t stopped_ns; /* when Ctrl-C stopped an answer */
    uint64_t retries;
    int64_t answers;
    Buf input;
} Chat;

/* Lets the model answer the last message, which is the user's; the answer joins the conversation. A turn in which
 * nothing was said, or that failed, is taken back. */
bool chat_reply(Chat *c, Err *e);
bool chat_say(Chat *c, Str text, Err *e); /* a message of the user, and the answer */
/* Takes what no longer belongs to the conversation out of the cache. */
bool chat_rewind(Chat *c, Err *e);
/* The sampling settings of c->o. */
bool chat_sampling(Chat *c, Err *e);
/* A note for the user, whether or not stderr is a terminal. */
void chat_note(const Chat *c, const char *fmt, ...) PRINTF(2, 3);

/* The next message or command in c->input. False: the end (c->leave), or an error. */
bool chat_input(Chat *c, Err *e);
/* What $VISUAL or $EDITOR leaves of `text`, in its place. */
bool chat_edit(Buf *text, Err *e);

/* A line that begins with one slash and holds no newline. */
bool chat_is_command(Str line);
bool chat_command(Chat *c, Str line, Err *e);

/* The conversation as JSON to path, and the cache to path.kv beside it; and back. A cache that cannot be used is warned
 * of and computed again. */
bool chat_save(Chat *c, const char *path, Err *e);
bool chat_load(Chat *c, const char *path, Err *e);

#endif
