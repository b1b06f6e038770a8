/* Lines that a user types or a pipe carries. On a terminal they are edited by libedit, where it is found as the program
 * runs, with a history that is kept in a file; elsewhere they are read as they come. The prompt goes to stderr: stdout
 * carries answers only. */
#ifndef CMD_LINE_H
#define CMD_LINE_H

#include "cmd/term.h"

typedef struct Line Line;

typedef enum LineGot {
    LINE_TEXT,
    LINE_END,  /* Ctrl-D on an empty line, or the end of a file */
    LINE_STOP, /* a signal came, see stop_signal */
    LINE_FAIL,
} LineGot;

/* interactive: stdin is a terminal and somebody sees the prompt. */
Line *line_open(const Ui *ui, bool interactive);
/* A line without its newline; text that was pasted or recalled may hold newlines. After LINE_STOP *out is what had been
 * typed. *out is replaced. */
LineGot line_read(Line *l, const char *prompt, Buf *out, Err *e);
/* Puts a message into the history and its file. */
void line_remember(Line *l, Str text);
void line_close(Line *l);

/* ---- the editor behind it, NULL and unused where there is none ---- */

typedef struct Edit Edit;
Edit *edit_open(const Ui *ui);
LineGot edit_read(Edit *ed, const char *prompt, Buf *out, Err *e);
void edit_remember(Edit *ed, Str text);
void edit_close(Edit *ed);

#endif
