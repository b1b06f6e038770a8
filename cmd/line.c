#include "cmd/line.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct Line {
    const Ui *ui;
    Edit *edit; /* NULL: lines are read as they come */
    bool interactive, ended;
    Buf ahead; /* read, not yet given */
};

Line *line_open(const Ui *ui, bool interactive) {
    Line *l = mem_alloc(1, sizeof *l);
    *l = (Line){.ui = ui, .interactive = interactive, .edit = interactive ? edit_open(ui) : NULL};
    return l;
}

/* True once a whole line stands in *ahead. */
static bool take_line(Line *l, Buf *out) {
    char *end = l->ahead.n ? memchr(l->ahead.s, '\n', l->ahead.n) : NULL;
    if (!end && !(l->ended && l->ahead.n)) return false;
    size_t n = end ? (size_t)(end - l->ahead.s) : l->ahead.n, next = n + (end != NULL);
    buf_put(out, l->ahead.s, n && l->ahead.s[n - 1] == '\r' ? n - 1 : n);
    memmove(l->ahead.s, l->ahead.s + next, l->ahead.n - next);
    l->ahead.n -= next;
    return true;
}

static LineGot read_plain(Line *l, const char *prompt, Buf *out, Err *e) {
    enum { BLOCK = 4096, LIMIT = 64 << 20 };
    char block[BLOCK];
    if (l->interactive) err_text(l->ui, str_of(prompt));
    while (!take_line(l, out)) {
        if (l->ended) return LINE_END;
        if (!input_wait(STDIN_FILENO, -1)) {
            if (stop_signal()) return LINE_STOP;
            continue;
        }
        ssize_t n = read(STDIN_FILENO, block, sizeof block);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0 && errno != EIO) {
            err_set(e, ERR_IO, "cannot read 'standard input': %s", strerror(errno));
            return LINE_FAIL;
        }
        l->ended = n <= 0; /* EIO: the terminal has gone */
        if (n > 0) buf_put(&l->ahead, block, (size_t)n);
        if (l->ahead.n > LIMIT) {
            err_set(e, ERR_INPUT, "cannot use 'standard input': a line of more than %d MiB", LIMIT >> 20);
            return LINE_FAIL;
        }
        if (l->ended && l->interactive) l->ahead.n = 0;
    }
    return LINE_TEXT;
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
    buf_release(&l->ahead);
    free(l);
}
