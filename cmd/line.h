/* Lines that a user types or a pipe carries. On a terminal they are edited by libedit, where it is found as the program
 * runs, with a history that is kept in a file; elsewhere they are read as they come. The prompt goes to stderr: stdout
 * carries answers only. */
#ifndef CMD_LINE_H
#define CMD_LINE_H

#include "cmd/term.h"

typedef enum LineGot {
    LINE_TEXT,
    LINE_NONE, /* none came in time */
    LINE_END,  /* Ctrl-D on an empty line, or the end of a file */
    LINE_STOP, /* a signal came, see stop_signal */
    LINE_FAIL,
} LineGot;

/* ---- lines of a file or a pipe ---- */

typedef struct LineFile {
    int fd;
    const char *name;  /* in errors; borrowed */
    bool ended, whole; /* nothing more can be read; the last line had its newline */
    Buf ahead;         /* read; lines up to `at` were given, and none ends before `seen` */
    size_t at, seen;
} LineFile;

/* Opens a file; "-" is stdin. *f is released after a failure too. */
bool line_file_open(LineFile *f, const char *path, Err *e);
/* Appends the next line without its newline, waiting at most ms milliseconds (-1: as long as it takes) for it. Lines
 * are as long as 64 MiB. Only while stop_ask is on. */
LineGot line_file_next(LineFile *f, int ms, Buf *out, Err *e);
void line_file_release(LineFile *f);

/* ---- lines of a user ---- */

typedef struct Line Line;

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
