#include "cmd/line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- lines of a file or a pipe ---- */

bool line_file_open(LineFile *f, const char *path, Err *e) {
    bool from_stdin = strcmp(path, "-") == 0;
    *f = (LineFile){.fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC),
                    .name = from_stdin ? "standard input" : path};
    return f->fd >= 0 || err_set(e, ERR_IO, "cannot open '%s': %s", path, strerror(errno));
}

/* True once a whole line, or the last one, stands there. */
static bool take_line(LineFile *f, Buf *out) {
    size_t left = f->ahead.n - f->seen;
    if (f->at == f->ahead.n) return false;
    const char *from = f->ahead.s + f->at, *end = left ? memchr(f->ahead.s + f->seen, '\n', left) : NULL;
    f->seen = f->ahead.n;
    if (!end && !f->ended) return false;
    size_t n = end ? (size_t)(end - from) : f->ahead.n - f->at;
    f->whole = end != NULL;
    buf_put(out, from, n && from[n - 1] == '\r' ? n - 1 : n);
    f->seen = f->at += n + f->whole;
    return true;
}

/* The lines that were given make room for more. */
static bool read_more(LineFile *f, Err *e) {
    enum { BLOCK = 1 << 16, LIMIT = 64 << 20 };
    char block[BLOCK];
    if (f->at) memmove(f->ahead.s, f->ahead.s + f->at, f->ahead.n - f->at);
    f->ahead.n -= f->at;
    f->seen -= f->at;
    f->at = 0;
    ssize_t n = read(f->fd, block, sizeof block);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    bool gone = n < 0 && errno == EIO && isatty(f->fd); /* the terminal */
    if (n < 0 && !gone) return err_set(e, ERR_IO, "cannot read '%s': %s", f->name, strerror(errno));
    f->ended = n <= 0;
    if (n > 0) buf_put(&f->ahead, block, (size_t)n);
    if (f->ahead.n > LIMIT)
        return err_set(e, ERR_INPUT, "cannot use '%s': a line of more than %d MiB", f->name, LIMIT >> 20);
    return true;
}

LineGot line_file_next(LineFile *f, int ms, Buf *out, Err *e) {
    while (!take_line(f, out)) {
        if (f->ended) return LINE_END;
        if (input_wait(f->fd, ms)) {
            if (!read_more(f, e)) return LINE_FAIL;
        } else if (stop_signal()) {
            return LINE_STOP;
        } else if (ms >= 0) {
            return LINE_NONE;
        }
    }
    return LINE_TEXT;
}

void line_file_release(LineFile *f) {
    if (f->fd > STDERR_FILENO) close(f->fd);
    buf_release(&f->ahead);
}

/* ---- lines of a user ---- */

struct Line {
    const Ui *ui;
    Edit *edit; /* NULL: lines are read as they come */
    bool interactive;
    LineFile plain;
};

Line *line_open(const Ui *ui, bool interactive) {
    Line *l = mem_alloc(1, sizeof *l);
    *l = (Line){.ui = ui,
                .interactive = interactive,
                .edit = interactive ? edit_open(ui) : NULL,
                .plain = {.fd = STDIN_FILENO, .name = "standard input"}};
    return l;
}

/* What a user had not finished when the terminal went is no message. */
static LineGot read_plain(Line *l, const char *prompt, Buf *out, Err *e) {
    if (l->interactive) err_text(l->ui, str_of(prompt));
    LineGot got = line_file_next(&l->plain, -1, out, e);
    return got == LINE_TEXT && l->interactive && !l->plain.whole ? LINE_END : got;
}

LineGot line_read(Line *l, const char *prompt, Buf *out, Err *e) {
    buf_clear(out);
    stop_ask(true);
    LineGot got = l->edit ? edit_read(l->edit, prompt, out, e) : read_plain(l, prompt, out, e);
    stop_ask(false);
    return got;
}

void line_remember(Line *l, Str text) {
    if (l->edit) edit_remember(l->edit, text);
}

void line_close(Line *l) {
    if (!l) return;
    edit_close(l->edit);
    line_file_release(&l->plain);
    free(l);
}
