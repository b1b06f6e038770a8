/* Spans of reasoning at the beginning of an answer: <think> ... </think>, or [THINK] ... [/THINK]. An answer thinks
 * where it begins with the opening tag, or where the prompt ended with it; later tags are text like any other. */
#ifndef CMD_THINK_H
#define CMD_THINK_H

#include "core/base.h"

typedef struct Think { /* all zero: at the beginning of an answer */
    enum { THINK_START, THINK_OPENED, THINK_INSIDE, THINK_AFTER, THINK_DONE } state;
    const char *close; /* the tag that ends the span */
    Buf held;
} Think;

/* The prompt's text: does it end with an opening tag? */
void think_prompt(Think *t, Str prompt);
/* Takes text of whole characters; appends what is certain: thinking to one, the rest to the other. Tags and the white
 * space around them belong to neither. */
void think_push(Think *t, Str text, Buf *thought, Buf *rest);
/* The answer ended: what was held back was text. */
void think_flush(Think *t, Buf *thought, Buf *rest);
void think_release(Think *t);

#endif
