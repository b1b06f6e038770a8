/* Line editing by libedit, which is loaded when a terminal is there to edit on. Keys come through input(): it knows
 * bracketed paste, so that pasted lines are one message, and waits so that signals are seen. What libedit cannot do
 * while it waits for a key it is asked for by the key ACTION, to which on_action is bound. */
#include "cmd/line.h"

#ifndef LLMWS_LIBEDIT
Edit *edit_open(const Ui *ui) { return (void)ui, NULL; }
LineGot edit_read(Edit *ed, const char *prompt, Buf *out, Err *e) {
    (void)ed, (void)prompt, (void)out, (void)e;
    return LINE_END;
}
void edit_remember(Edit *ed, Str text) { (void)ed, (void)text; }
void edit_close(Edit *ed) { (void)ed; }
#else

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define FUNCTIONS(F)                                                                                                   \
    F(el_init)                                                                                                         \
    F(el_end)                                                                                                          \
    F(el_gets)                                                                                                         \
    F(el_set)                                                                                                          \
    F(el_line)                                                                                                         \
    F(el_resize)                                                                                                       \
    F(el_insertstr)                                                                                                    \
    F(el_cursor)                                                                                                       \
    F(el_source)                                                                                                       \
    F(history_init)                                                                                                    \
    F(history_end)                                                                                                     \
    F(history)

enum { ACTION = 0x1e, HISTORY_MAX = 1000 };
enum { CTRL_D = 4 }; /* typed during an answer, while the terminal reads lines, it comes as NUL */

struct Edit {
#define F(name) __typeof__(name) *name;
    FUNCTIONS(F)
#undef F
    EditLine *el;
    History *history_of;
    FILE *in, *out;
    const char *prompt;
    Buf keys, typed; /* bytes that were read, not yet given; what stood in the line as a signal came */
    Buf paste;
    char *path; /* of the history's file; NULL: none */
    enum { DO_NOTHING, DO_PASTE, DO_STOP, DO_REFRESH, DO_REDRAW } action;
    bool stopped; /* a signal ends the line */
};

/* The editor at work: libedit's callbacks carry nothing that could lead to it without the library's own functions. */
static Edit *editing;

/* Told to the terminal: whether pasted text is to be marked. */
static const char paste_on[] = "\033[?2004h", paste_off[] = "\033[?2004l";

static void tell_terminal(Edit *ed, const char *text) {
    fputs(text, ed->out);
    fflush(ed->out);
}

/* ---- keys ---- */

static const char paste_begin[] = "\033[200~", paste_end[] = "\033[201~";

static void drop_keys(Edit *ed, size_t n) {
    memmove(ed->keys.s, ed->keys.s + n, ed->keys.n - n);
    ed->keys.n -= n;
}

/* Reads more keys. False: a signal, or (0 <= ms) nothing came; errno is EINTR then, else the terminal has gone. */
static bool more_keys(Edit *ed, int ms) {
    char block[4096];
    errno = EINTR;
    if (!input_wait(STDIN_FILENO, ms)) return errno = EINTR, false;
    ssize_t n = read(STDIN_FILENO, block, sizeof block);
    if (n > 0) buf_put(&ed->keys, block, (size_t)n);
    if (n == 0) errno = EIO;
    return n > 0;
}

/* What was pasted, as text: newlines, tabs and no other control characters; no newline at the end. */
static void put_pasted(Buf *out, Str text) {
    for (size_t i = 0; i < text.n;) {
        int n = utf8_len(text.s + i, text.n - i);
        unsigned char c = (unsigned char)text.s[i];
        if (c == '\r') {
            buf_char(out, '\n');
            i += i + 1 < text.n && text.s[i + 1] == '\n' ? 2 : 1;
            continue;
        }
        if (n > 0 && (c >= ' ' || c == '\n' || c == '\t') && c != 0x7f) buf_put(out, text.s + i, (size_t)n);
        i += (size_t)MAX(n, 1);
    }
    while (out->n && out->s[out->n - 1] == '\n') out->s[--out->n] = 0;
}

/* The keys begin with a paste: takes all of it, once it is there. */
static bool take_paste(Edit *ed) {
    size_t head = sizeof paste_begin - 1, tail = sizeof paste_end - 1;
    char *end = memmem(ed->keys.s + head, ed->keys.n - head, paste_end, tail);
    if (!end) return false;
    buf_clear(&ed->paste);
    put_pasted(&ed->paste, (Str){ed->keys.s + head, (size_t)(end - ed->keys.s) - head});
    drop_keys(ed, (size_t)(end - ed->keys.s) + tail);
    return true;
}

/* The next key, if the bytes in hand tell it: 1; 0: more bytes are needed; -1: perhaps, if none follow soon. */
static int take_key(Edit *ed, wchar_t *key) {
    Buf *b = &ed->keys;
    size_t head = sizeof paste_begin - 1;
    if (!b->n) return 0;
    if (b->n >= head && memcmp(b->s, paste_begin, head) == 0) {
        if (!take_paste(ed)) return 0;
        ed->action = DO_PASTE;
        return *key = ACTION, 1;
    }
    if (memcmp(b->s, paste_begin, MIN(b->n, head)) == 0) return -1;
    int n = utf8_len(b->s, b->n);
    if (n < 0) return 0;
    int len = 1;
    *key = n > 0 ? (wchar_t)utf8_decode(b->s, &len) : L'\ufffd';
    if (!*key) *key = CTRL_D;
    drop_keys(ed, (size_t)len);
    return 1;
}

static int stop_line(Edit *ed, wchar_t *key) {
    const LineInfo *line = ed->el_line(ed->el);
    buf_clear(&ed->typed);
    buf_put(&ed->typed, line->buffer, (size_t)(line->lastchar - line->buffer));
    ed->action = DO_STOP;
    return *key = ACTION, 1;
}

/* The window may have changed its size, or the program was stopped and goes on: the terminal is what the shell made of
 * it then, and the line is no longer there. */
static int take_terminal(Edit *ed, wchar_t *key) {
    struct termios t;
    bool lost = tcgetattr(STDIN_FILENO, &t) == 0 && (t.c_lflag & ICANON);
    if (lost) {
        ed->el_set(ed->el, EL_PREP_TERM, 0);
        ed->el_set(ed->el, EL_PREP_TERM, 1);
        tell_terminal(ed, paste_on);
    }
    ed->el_resize(ed->el);
    ed->action = lost ? DO_REDRAW : DO_REFRESH;
    return *key = ACTION, 1;
}

static int input(EditLine *el, wchar_t *key) {
    enum { ESCAPE_MS = 300 };
    Edit *ed = editing;
    (void)el;
    if (ed->stopped) return errno = EINTR, -1;
    for (;;) {
        int got = take_key(ed, key);
        if (got > 0) return 1;
        if (more_keys(ed, got < 0 ? ESCAPE_MS : -1)) continue;
        if (stop_signal()) return stop_line(ed, key);
        if (errno != EINTR && errno != EAGAIN) return 0;
        if (got < 0) {
            *key = (unsigned char)ed->keys.s[0];
            drop_keys(ed, 1);
            return 1;
        }
        return take_terminal(ed, key);
    }
}

static unsigned char on_action(EditLine *el, int key) {
    Edit *ed = editing;
    int action = (int)ed->action;
    (void)key;
    ed->action = DO_NOTHING;
    if (action == DO_PASTE) return ed->paste.n && ed->el_insertstr(el, ed->paste.s) == 0 ? CC_REFRESH : CC_NORM;
    if (action == DO_STOP) {
        ed->stopped = true;
        ed->el_cursor(el, INT32_MAX / 2); /* what follows stands below the whole line */
    }
    return action == DO_NOTHING ? CC_NORM : action == DO_REDRAW ? CC_REDISPLAY : CC_REFRESH;
}

static char *prompt_of(EditLine *el) { return (void)el, (char *)(uintptr_t)editing->prompt; }

/* ---- history ---- */

/* "$XDG_STATE_HOME/llmws/history", folders made on the way; NULL: nowhere. */
static char *history_path(void) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    Buf b = {0};
    if (state && state[0] == '/')
        buf_printf(&b, "%s/llmws/history", state);
    else if (home && home[0] == '/')
        buf_printf(&b, "%s/.local/state/llmws/history", home);
    else
        return NULL;
    for (char *at = b.s + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(b.s, 0700);
        *at = '/';
    }
    return b.s;
}

/* The last HISTORY_MAX messages in place of a file that grew beyond them twice. */
static void history_trim(Edit *ed) {
    Buf beside = {0};
    HistEvent ev;
    struct stat st;
    enum { BYTES_MAX = 1 << 20 };
    if (stat(ed->path, &st) != 0 || st.st_size < BYTES_MAX) return;
    buf_printf(&beside, "%s.%ld", ed->path, (long)getpid());
    if (ed->history(ed->history_of, &ev, H_SAVE, beside.s) < 0 || rename(beside.s, ed->path) != 0) unlink(beside.s);
    buf_release(&beside);
}

static void history_start(Edit *ed) {
    HistEvent ev;
    ed->history_of = ed->history_init();
    if (!ed->history_of) return;
    ed->history(ed->history_of, &ev, H_SETSIZE, HISTORY_MAX);
    ed->history(ed->history_of, &ev, H_SETUNIQUE, 1);
    ed->el_set(ed->el, EL_HIST, ed->history, ed->history_of);
    ed->path = history_path();
    if (!ed->path) return;
    ed->history(ed->history_of, &ev, H_LOAD, ed->path);
    history_trim(ed);
}

/* At the file's end, so that programs that run at once do not take each other's away; as a history of its own, since
 * H_NSAVE_FP writes one entry more than it is asked for. */
static void history_append(Edit *ed, const char *text) {
    HistEvent ev;
    int fd = open(ed->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "a");
    History *one = f ? ed->history_init() : NULL;
    if (one) {
        fseek(f, 0, SEEK_END); /* libedit begins an empty file with its mark */
        ed->history(one, &ev, H_SETSIZE, 1);
        ed->history(one, &ev, H_ENTER, text);
        ed->history(one, &ev, H_SAVE_FP, f);
        ed->history_end(one);
    }
    if (f)
        fclose(f);
    else if (fd >= 0)
        close(fd);
}

void edit_remember(Edit *ed, Str text) {
    HistEvent ev;
    if (!ed->history_of || !text.n || memchr(text.s, 0, text.n)) return;
    if (ed->history(ed->history_of, &ev, H_ENTER, text.s) > 0 && ed->path) history_append(ed, text.s);
}

/* ---- the editor ---- */

static bool load(Edit *ed) {
    void *lib = dlopen("libedit.so.2", RTLD_NOW | RTLD_LOCAL); /* stays: terminfo keeps what it read */
    if (!lib) lib = dlopen("libedit.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!lib) return false;
    void *p;
#define F(name)                                                                                                        \
    if (!(p = dlsym(lib, #name))) return false;                                                                        \
    memcpy(&ed->name, &p, sizeof p);
    FUNCTIONS(F)
#undef F
    return true;
}

/* One stream for all that the editor draws, with a buffer that holds a screen: whole characters in every write. */
static bool streams(Edit *ed) {
    enum { SCREEN = 1 << 16 };
    int out = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    ed->out = out < 0 ? NULL : fdopen(out, "w");
    if (!ed->out && out >= 0) close(out);
    if (ed->out) setvbuf(ed->out, NULL, _IOFBF, SCREEN);
    int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    ed->in = in < 0 ? NULL : fdopen(in, "r");
    if (!ed->in && in >= 0) close(in);
    return ed->in && ed->out;
}

static void bind_keys(Edit *ed) {
    static const char *const keys[][2] = {
        {"\x1e", "llmws-action"},      {"^R", "em-inc-search-prev"},  {"\033[3~", "ed-delete-next-char"},
        {"\033[H", "ed-move-to-beg"},  {"\033[F", "ed-move-to-end"},  {"\033[1~", "ed-move-to-beg"},
        {"\033[4~", "ed-move-to-end"}, {"\033[1;5D", "ed-prev-word"}, {"\033[1;5C", "em-next-word"}};
    for (size_t i = 0; i < COUNT_OF(keys); i++) ed->el_set(ed->el, EL_BIND, keys[i][0], keys[i][1], NULL);
}

Edit *edit_open(const Ui *ui) {
    const char *term = getenv("TERM");
    if (!term || !*term || strcmp(term, "dumb") == 0 || !ui->err_tty) return NULL;
    Edit *ed = mem_alloc(1, sizeof *ed);
    editing = ed;
    if (!setlocale(LC_CTYPE, "C.UTF-8")) setlocale(LC_CTYPE, "");
    bool ok = load(ed) && streams(ed) && (ed->el = ed->el_init("llmws", ed->in, ed->out, ed->out));
    if (!ok) {
        edit_close(ed);
        return NULL;
    }
    ed->el_set(ed->el, EL_PROMPT, prompt_of);
    ed->el_set(ed->el, EL_EDITOR, "emacs");
    ed->el_set(ed->el, EL_ADDFN, "llmws-action", "what the program does by itself", on_action);
    ed->el_set(ed->el, EL_GETCFN, input);
    history_start(ed);
    ed->el_source(ed->el, NULL);
    bind_keys(ed);
    return ed;
}

LineGot edit_read(Edit *ed, const char *prompt, Buf *out, Err *e) {
    int n = 0;
    (void)e;
    ed->prompt = prompt;
    ed->stopped = false;
    ed->el_set(ed->el, EL_PREP_TERM, 1); /* before the prompt is seen: nothing typed at it is echoed by the terminal */
    tell_terminal(ed, paste_on);
    const char *got = ed->el_gets(ed->el, &n);
    tell_terminal(ed, paste_off);
    if (ed->stopped) {
        tell_terminal(ed, "\n");
        buf_put(out, ed->typed.s, ed->typed.n);
        return LINE_STOP;
    }
    if (!got || n <= 0) {
        tell_terminal(ed, "\n");
        return LINE_END;
    }
    buf_put(out, got, (size_t)n - (got[n - 1] == '\n'));
    return LINE_TEXT;
}

void edit_close(Edit *ed) {
    if (!ed) return;
    if (ed->history_of) ed->history_end(ed->history_of);
    if (ed->el) ed->el_end(ed->el);
    if (ed->in) fclose(ed->in);
    if (ed->out) fclose(ed->out);
    free(ed->path);
    buf_release(&ed->keys);
    buf_release(&ed->typed);
    buf_release(&ed->paste);
    free(ed);
    editing = NULL;
}
#endif
