#include "cmd/term.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

void term_guard_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) /* the wrong direction, so that using it still fails */
            if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) _exit(1);
}

/* ---- results ---- */

static bool out_failed(int why, Err *e) {
    if (why == EPIPE) { /* the reader has left and SIGPIPE was ignored: end as if it had not been */
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    return err_set(e, ERR_IO, "writing to standard output failed: %s", strerror(why));
}

bool out_write(Str text, Err *e) {
    progress_clear();
    while (text.n) {
        ssize_t n = write(STDOUT_FILENO, text.s, text.n);
        if (n > 0) {
            text = (Str){text.s + n, text.n - (size_t)n};
        } else if (n < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, -1);
        } else if (n == 0 || errno != EINTR) {
            return out_failed(n == 0 ? EIO : errno, e);
        }
    }
    return true;
}

bool out_flush(Buf *b, Err *e) {
    bool ok = out_write(buf_view(b), e);
    buf_clear(b);
    return ok;
}

bool out_close(Err *e) { return close(STDOUT_FILENO) == 0 || errno == EINTR || out_failed(errno, e); }

/* ---- what is shown ---- */

static bool color_at(int fd, const char *when) {
    if (strcmp(when, "auto") != 0) return strcmp(when, "always") == 0;
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

Ui ui_make(bool json, bool quiet, bool verbose, const char *color) {
    return (Ui){.json = json,
                .quiet = quiet,
                .verbose = verbose,
                .out_tty = isatty(STDOUT_FILENO),
                .err_tty = isatty(STDERR_FILENO),
                .out_color = !json && color_at(STDOUT_FILENO, color),
                .err_color = color_at(STDERR_FILENO, color)};
}

int term_width(void) {
    struct winsize w = {0};
    const char *told = getenv("COLUMNS");
    long columns = told ? strtol(told, NULL, 10) : 0;
    if (columns <= 0 && isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0) columns = w.ws_col;
    return columns <= 0 ? 80 : (int)MAX(40, MIN(columns, 120));
}

bool term_utf8(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *locale = getenv(names[i]);
        if (locale && *locale) return strcasestr(locale, "utf-8") || strcasestr(locale, "utf8");
    }
    return false;
}

/* One write, so that lines of several processes do not mix. Messages on stderr have nowhere else to complain to. */
static void err_line(bool color, const char *head, const char *style, const char *text) {
    Buf b = {0};
    if (head && color)
        buf_printf(&b, "\033[%sm%s\033[0m ", style, head);
    else if (head)
        buf_printf(&b, "%s ", head);
    put_inert(&b, str_of(text), false);
    buf_char(&b, '\n');
    progress_clear();
    if (write(STDERR_FILENO, b.s, b.n) < 0) errno = 0;
    buf_release(&b);
}

void err_text(const Ui *ui, Str text) {
    Buf b = {0};
    if (ui->err_tty)
        put_inert(&b, text, true);
    else
        buf_put(&b, text.s, text.n);
    progress_clear();
    if (write(STDERR_FILENO, b.s, b.n) < 0) errno = 0;
    buf_release(&b);
}

static void err_vline(const Ui *ui, const char *head, const char *fmt, va_list ap) {
    Buf b = {0};
    buf_vprintf(&b, fmt, ap);
    err_line(ui->err_color, head, "33", b.s);
    buf_release(&b);
}

void ui_warn(const Ui *ui, const char *fmt, ...) {
    if (ui->quiet || !(ui->err_tty || ui->verbose)) return;
    va_list ap;
    va_start(ap, fmt);
    err_vline(ui, "llmws: warning:", fmt, ap);
    va_end(ap);
}

void ui_note(const Ui *ui, const char *fmt, ...) {
    if (ui->quiet || !(ui->err_tty || ui->verbose)) return;
    va_list ap;
    va_start(ap, fmt);
    err_vline(ui, NULL, fmt, ap);
    va_end(ap);
}

void ui_detail(const Ui *ui, const char *fmt, ...) {
    if (!ui->verbose) return;
    va_list ap;
    va_start(ap, fmt);
    err_vline(ui, NULL, fmt, ap);
    va_end(ap);
}

void ui_error(bool color, const char *message) { err_line(color, "llmws:", "31", message); }

void put_inert(Buf *out, Str text, bool lines) {
    char one[INERT_MAX];
    for (size_t i = 0; i < text.n;) {
        i += inert_char(text.s + i, text.n - i, lines, one);
        buf_str(out, one);
    }
}

void put_bytes(Buf *out, int64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 1000 && u + 1 < COUNT_OF(units); u++) v /= 1024;
    buf_printf(out, u == 0 ? "%.0f %s" : v < 10 ? "%.2f %s" : "%.1f %s", v, units[u]);
}

void put_count(Buf *out, int64_t n) {
    static const char *const units[] = {"", " K", " M", " G", " T"};
    double v = (double)n;
    size_t u = 0;
    for (; v >= 1000 && u + 1 < COUNT_OF(units); u++) v /= 1000;
    buf_printf(out, u == 0 ? "%.0f%s" : "%.1f%s", v, units[u]);
}

/* ---- progress ---- */

static atomic_bool line_stands; /* of progress: also a signal that ends the program at once takes it away */

void progress_clear(void) {
    static const char clear[] = "\r\033[K";
    if (atomic_exchange(&line_stands, false) && write(STDERR_FILENO, clear, sizeof clear - 1) < 0) errno = 0;
}

static void put_progress(Buf *b, const Progress *p, int64_t done, int64_t total) {
    double seconds = (double)(p->drawn_ns - p->start_ns) * 1e-9, rate = (double)done / seconds;
    if (p->phase == PHASE_CONVERT) {
        enum { WIDTH = 24 };
        int full = (int)(total ? done * WIDTH / total : 0);
        buf_printf(b, "converting [%.*s%.*s] %lld %%, ", full, "########################", WIDTH - full,
                   "                        ", (long long)(total ? done * 100 / total : 0));
        put_bytes(b, (int64_t)rate);
        buf_str(b, "/s");
    } else if (p->phase == LLMWS_PHASE_WEIGHTS) {
        buf_str(b, "reading weights ");
        put_bytes(b, done);
        buf_str(b, " of ");
        put_bytes(b, total);
        buf_str(b, ", ");
        put_bytes(b, (int64_t)rate);
        buf_str(b, "/s");
    } else {
        buf_printf(b, "prompt %lld/%lld tokens, %.0f tok/s", (long long)done, (long long)total, rate);
    }
    if (done) buf_printf(b, ", %.0f s left", ceil((double)(total - done) / rate));
}

static bool can_draw(const Progress *p) {
    const char *term = getenv("TERM");
    return !p->ui->quiet && p->ui->err_tty && term && strcmp(term, "dumb") != 0;
}

/* Is it time for the line? Not in the first half second, nor more often than the eye follows. */
static bool draws_now(Progress *p, int64_t now) {
    enum { PATIENCE_NS = 500000000, REDRAW_NS = 100000000 };
    if (now - p->start_ns < PATIENCE_NS || now - p->drawn_ns < REDRAW_NS) return false;
    p->drawn_ns = now;
    return true;
}

static void cut_out(Buf *b, size_t from, size_t to) {
    memmove(b->s + from, b->s + to, b->n - to + 1);
    b->n -= to - from;
}

/* "[####    ] ": it shrinks by so many columns, or goes where little of it would be left. */
static void shrink_bar(Buf *b, size_t by) {
    enum { LEAST = 8 };
    char *open = b->s;
    size_t width = 0;
    while ((open = strchr(open, '[')) && open[1 + (width = strspn(open + 1, "# "))] != ']') open++;
    if (!open || !width) return;
    const size_t at = (size_t)(open - b->s), full = strspn(open + 1, "#");
    if (width < by + LEAST) return cut_out(b, at, at + width + 2 + (open[width + 2] == ' '));
    cut_out(b, at + 1, at + 1 + by);
    memset(b->s + at + 1, ' ', width - by);
    memset(b->s + at + 1, '#', full * (width - by) / width);
}

/* Of "WHAT n/m, .., .., TIME left" the parts before the last give way first. */
static bool drop_part(Buf *b) {
    char *last = NULL, *before = NULL;
    for (char *c = b->s; (c = strstr(c, ", ")); c += 2) before = last, last = c;
    if (!last) return false;
    cut_out(b, (size_t)((before ? before : last) - b->s), before ? (size_t)(last - b->s) : b->n);
    return true;
}

/* To so many columns, with whole words and numbers alone. */
static void fit_line(Buf *b, size_t columns) {
    if (b->n > columns) shrink_bar(b, b->n - columns);
    while (b->n > columns && drop_part(b)) {}
    while (b->n > columns) {
        const char *space = memrchr(b->s, ' ', b->n);
        cut_out(b, space ? (size_t)(space - b->s) : 0, b->n);
    }
}

static void draw(Buf *line) {
    struct winsize w = {.ws_col = 80};
    Buf b = {0};
    ioctl(STDERR_FILENO, TIOCGWINSZ, &w);
    fit_line(line, (size_t)MAX((w.ws_col ? w.ws_col : 80) - 1, 1));
    buf_printf(&b, "\r%s\033[K", line->s);
    atomic_store(&line_stands, true);
    if (write(STDERR_FILENO, b.s, b.n) < 0) errno = 0;
    buf_release(&b);
}

bool progress_show(void *progress, int phase, int64_t done, int64_t total) {
    Progress *p = progress;
    if (!can_draw(p)) return true;
    if (p->total) done += p->before, total = p->total;
    int64_t now = now_ns();
    if (!done || phase != p->phase) p->phase = phase, p->start_ns = done ? p->start_ns : now, p->drawn_ns = now;
    if (done >= total) return progress_clear(), true;
    if (!draws_now(p, now)) return true;
    Buf line = {0};
    put_progress(&line, p, done, total);
    draw(&line);
    buf_release(&line);
    return true;
}

void progress_tell(Progress *p, const char *fmt, ...) {
    int64_t now = now_ns();
    if (!can_draw(p)) return;
    if (!p->start_ns) p->start_ns = p->drawn_ns = now;
    if (!draws_now(p, now)) return;
    Buf line = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&line, fmt, ap);
    va_end(ap);
    draw(&line);
    buf_release(&line);
}

/* ---- memory of this process ---- */

static int64_t status_kib(const char *key) {
    char line[256];
    long long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    if (!f) return 0;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0) kib = strtoll(line + strlen(key), NULL, 10);
    fclose(f);
    return kib;
}

int64_t memory_now(void) { return status_kib("VmRSS:") * 1024; }

void memory_phase_end(const Ui *ui, const char *name, int64_t before) {
    if (!ui->verbose) return;
    double mib = 1.0 / (1 << 20);
    ui_detail(ui, "[memory] %s: before=%.1fMiB after=%.1fMiB peak=%.1fMiB", name, (double)before * mib,
              (double)memory_now() * mib, (double)status_kib("VmHWM:") / 1024);
}

/* ---- signals ---- */

static _Atomic(LlmwsSession *) watched;
static atomic_int caught;
static atomic_bool asking, remembering;

static void on_stop(int sig) {
    LlmwsSession *s = watched;
    if (asking) {
        caught = sig;
        return;
    }
    if (remembering && !caught) {
        caught = sig;
        return;
    }
    if (!s || caught) {
        progress_clear();
        _exit(128 + sig);
    }
    caught = sig;
    llmws_interrupt(s);
}

void stop_install(void) {
    struct sigaction act = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

/* A signal that came after the last step of an answer stopped nothing; the next answer is not what it was for. */
void stop_watch(LlmwsSession *s) {
    if (s) llmws_interrupt_clear(s);
    watched = s;
}
int stop_signal(void) { return caught; }
void stop_remember(bool on) { remembering = on; }
void stop_forget(void) { caught = 0; }

static void on_change(int sig) { (void)sig; } /* only so that a wait ends */

void stop_block(bool on) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGWINCH);
    sigaddset(&set, SIGCONT);
    pthread_sigmask(on ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* Blocked but for the moments of waiting: none is missed between a look and a wait. */
void stop_ask(bool on) {
    struct sigaction act = {.sa_handler = on ? on_change : SIG_DFL};
    sigemptyset(&act.sa_mask);
    if (on) stop_block(true);
    asking = on;
    sigaction(SIGWINCH, &act, NULL);
    sigaction(SIGCONT, &act, NULL);
    if (!on) stop_block(false);
}

bool input_wait(int fd, int ms) {
    sigset_t none;
    sigemptyset(&none);
    struct timespec limit = {ms / 1000, ms % 1000 * 1000000L};
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return !caught && ppoll(&p, 1, ms < 0 ? NULL : &limit, &none) > 0;
}
