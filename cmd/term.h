/* The world around the program: standard streams, the terminal's rules, signals. Nothing else in cmd/ writes to a
 * stream or asks the environment how to.
 *
 * stdout carries results only and goes through out_write, which sees every failure at once. stderr carries one-line
 * notes, warnings and the final error. Text from files and models is made inert before a terminal sees it. */
#ifndef CMD_TERM_H
#define CMD_TERM_H

#include "core/base.h"

/* Makes sure that descriptors 0 to 2 are taken, so that no file opened later becomes a standard stream; a closed one
 * stays unusable. */
void term_guard_streams(void);

/* ---- results ---- */

/* All of the text to stdout now. */
bool out_write(Str text, Err *e);
/* As above, and clears the buffer. */
bool out_flush(Buf *b, Err *e);
/* Closes stdout: the last moment at which a full disk or a lost network file shows. */
bool out_close(Err *e);

/* ---- the user's choices about what is shown ---- */

typedef struct Ui {
    bool json, quiet, verbose;
    bool out_tty, err_tty;
    bool out_color, err_color;
    uint64_t said[8]; /* hashes of the last lines of the library */
    size_t n_said;
} Ui;

/* color: "auto", "always" or "never". auto means: a terminal, no $NO_COLOR, $TERM not "dumb". */
Ui ui_make(bool json, bool quiet, bool verbose, const char *color);
/* $COLUMNS, else the columns of the terminal at stdout, 80 where there is none; between 40 and 120. */
int term_width(void);
/* Whether the locale of the environment writes UTF-8. */
bool term_utf8(void);

/* A line on stderr. warn and note are shown on a terminal or with -v, never with -q; detail only with -v. */
void ui_warn(const Ui *ui, const char *fmt, ...) PRINTF(2, 3);
void ui_note(const Ui *ui, const char *fmt, ...) PRINTF(2, 3);
void ui_detail(const Ui *ui, const char *fmt, ...) PRINTF(2, 3);
/* Text as it comes, made inert for a terminal; always. */
void err_text(const Ui *ui, Str text);
/* "llmws: message", always. */
void ui_error(bool color, const char *message);

/* ---- progress ---- */

enum { PHASE_CONVERT = 100 }; /* beside LLMWS_PHASE_*: bytes of a file that is written */

typedef struct Progress { /* one line on stderr, redrawn while something takes longer than half a second */
    const Ui *ui;
    int64_t before,
        total; /* of a prompt given in several evals: tokens before this one and in all; total 0: one eval */
    int phase;
    int64_t start_ns, drawn_ns;
} Progress;

/* An LlmwsProgressFn over a Progress. Draws on a terminal that can redraw, without -q; never stops anything. */
bool progress_show(void *progress, int phase, int64_t done, int64_t total);
/* The same line with these words, for work of many parts: first when it begins, then after every part. */
void progress_tell(Progress *p, const char *fmt, ...) PRINTF(2, 3);
/* Takes the line away, if it stands; whatever else is written does so by itself. */
void progress_clear(void);

/* Appends text with what could steer a terminal (C0 and C1 controls, DEL, broken UTF-8) spelled \xNN; `lines` lets
 * newline and tab through. */
void put_inert(Buf *out, Str text, bool lines);
/* "95.3 MiB"; "134.5 M" for a count. */
void put_bytes(Buf *out, int64_t bytes);
void put_count(Buf *out, int64_t n);

/* ---- memory of this process, for -v ---- */

/* Remembers the resident memory before a phase; memory_phase_end prints "[memory] NAME: before=.. after=.. peak=..". */
int64_t memory_now(void);
void memory_phase_end(const Ui *ui, const char *name, int64_t before);

/* ---- signals ---- */

/* SIGINT and SIGTERM: while a session is watched they ask it to stop and are remembered; otherwise they end the program
 * at once, as does a second one. */
void stop_install(void);
void stop_watch(LlmwsSession *s); /* NULL: none */
int stop_signal(void);            /* the remembered signal, 0: none */
void stop_forget(void);
/* While files are written a signal is only remembered, so that they are removed; a second one ends the program. */
void stop_remember(bool on);
/* While a user is asked something a signal is only remembered, and ends input_wait. */
void stop_ask(bool on);
/* Waits for input at fd, at most ms milliseconds (-1: as long as it takes); only while stop_ask is on. False: none
 * came, or a signal did, a change of the window's size included. */
bool input_wait(int fd, int ms);
/* Threads that are started between these two leave signals to the others. */
void stop_block(bool on);

#endif
