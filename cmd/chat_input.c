#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/chat.h"

/* ---- the editor ---- */

/* Runs the user's editor on a file, as git and crontab do: through the shell, since the variable may hold options. */
static bool run_editor(const char *path, Err *e) {
    const char *editor = getenv("VISUAL");
    if (!editor || !*editor) editor = getenv("EDITOR");
    if (!editor || !*editor) editor = "vi";
    int status = 0;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, was;
    sigaction(SIGINT, &ignore, &was);
    pid_t pid = fork();
    if (pid == 0) {
        sigaction(SIGINT, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        Buf line = {0};
        buf_printf(&line, "%s \"$1\"", editor);
        dup2(STDERR_FILENO, STDOUT_FILENO); /* stdout carries answers */
        execl("/bin/sh", "sh", "-c", line.s, "sh", path, (char *)NULL);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    sigaction(SIGINT, &was, NULL);
    if (pid < 0) return err_set(e, ERR_FAIL, "cannot start the editor: %s", strerror(errno));
    if (status) return err_set(e, ERR_FAIL, "the editor '%s' failed; set $VISUAL or $EDITOR to another one", editor);
    return true;
}

static bool edit_file(int fd, const char *path, Buf *text, Err *e) {
    for (size_t at = 0; at < text->n;) {
        ssize_t n = write(fd, text->s + at, text->n - at);
        if (n < 0 && errno != EINTR) return err_set(e, ERR_IO, "cannot write '%s': %s", path, strerror(errno));
        at += n > 0 ? (size_t)n : 0;
    }
    TRY(run_editor(path, e));
    buf_clear(text);
    TRY(read_text(path, text, e));
    while (text->n && text->s[text->n - 1] == '\n') text->s[--text->n] = 0;
    return true;
}

bool chat_edit(Buf *text, Err *e) {
    const char *dir = getenv("TMPDIR");
    Buf path = {0};
    buf_printf(&path, "%s/llmws-XXXXXX.md", dir && *dir ? dir : "/tmp");
    int fd = mkstemps(path.s, 3);
    bool ok = fd >= 0 || err_set(e, ERR_IO, "cannot make '%s': %s", path.s, strerror(errno));
    if (fd >= 0) {
        ok = edit_file(fd, path.s, text, e);
        close(fd);
        unlink(path.s);
    }
    buf_release(&path);
    return ok;
}

/* ---- what is typed ---- */

/* Ctrl-C: takes back what was typed; at an empty prompt it leaves, the second time. */
static bool on_signal(Chat *c, bool typed, Err *e) {
    enum { AT_ONCE_NS = 1000000000 };
    if (!c->interactive || stop_signal() != SIGINT) {
        c->leave = true;
        return true;
    }
    stop_forget();
    if (!typed && (c->asked || now_ns() - c->stopped_ns < AT_ONCE_NS)) return err_set(e, ERR_INTERRUPT, "interrupted");
    c->asked = !typed;
    if (c->asked) chat_note(c, "(Ctrl-C again leaves; so does /exit)");
    return true;
}

/* One more line behind what stands in c->input; `more` says that there is a message already. */
static LineGot one_line(Chat *c, bool more, Buf *line, Err *e) {
    char prompt[64] = "... ";
    if (!more)
        snprintf(prompt, sizeof prompt, "%lld/%lld > ", (long long)llmws_seq_len(c->session, c->answer.seq),
                 (long long)c->answer.ctx);
    return line_read(c->line, prompt, line, e);
}

typedef enum More { MORE_NO, MORE_LINE, MORE_BLOCK } More; /* does the message go on? */

/* Takes a line into the message: """ begins and ends a block, a backslash at the end goes on. */
static More take_line(Buf *message, Buf *line, More was) {
    static const char marks[] = "\"\"\"";
    More more = was == MORE_BLOCK ? MORE_BLOCK : MORE_NO;
    Str s = buf_view(line);
    if (was == MORE_NO && str_starts(s, marks)) {
        s.s += 3, s.n -= 3;
        more = MORE_BLOCK;
    } else if (was != MORE_NO && message->n) {
        buf_char(message, '\n');
    }
    if (more == MORE_BLOCK && str_ends(s, marks)) {
        s.n -= 3;
        if (!s.n && message->n) message->s[--message->n] = 0; /* the mark has a line of its own */
        more = MORE_NO;
    } else if (more == MORE_NO && str_ends(s, "\\")) {
        s.n--;
        more = MORE_LINE;
    }
    buf_put(message, s.s, s.n);
    return more;
}

bool chat_input(Chat *c, Err *e) {
    Buf line = {0};
    More more = MORE_NO;
    bool ok = true, got_text = false;
    buf_clear(&c->input);
    while (!got_text && !c->leave && ok) {
        switch (one_line(c, more != MORE_NO, &line, e)) {
        case LINE_FAIL: ok = false; break;
        case LINE_STOP:
            ok = on_signal(c, line.n || more != MORE_NO, e);
            buf_clear(&c->input);
            more = MORE_NO;
            break;
        case LINE_NONE: break;
        case LINE_END: c->leave = true; break;
        case LINE_TEXT:
            c->asked = false;
            if (c->interactive)
                more = take_line(&c->input, &line, more);
            else
                buf_put(&c->input, line.s, line.n);
            got_text = more == MORE_NO && c->input.n;
        }
    }
    buf_release(&line);
    if (ok && got_text && c->interactive) line_remember(c->line, buf_view(&c->input));
    return ok && got_text;
}
