/* Plays a user at a terminal: pty SCRIPT COMMAND... runs the command on a pseudo-terminal of its own and follows the
 * lines of SCRIPT; all that the terminal shows goes to stdout. Exit status: the command's (128 + a signal's number), or
 * 99 for a line of the script that did not come true.
 *
 *     want TEXT    waits until TEXT is shown, after what earlier lines waited for
 *     type TEXT    keys; \r \n \t \\ and \xHH in both
 *     size R C     another size of the window
 *     none TEXT    TEXT was not shown up to here
 *     last TEXT    keys, again and again until the command ends
 *
 * The waits are long, so that a busy machine fails nothing; nothing waits for time to pass. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, BAD = 99 };

typedef struct Play {
    int tty;
    pid_t pid;
    char *shown; /* all that the terminal showed */
    size_t n, cap, seen;
    int line;
} Play;

/* Appends what the terminal shows; false: nothing came in time, or its end. */
static int more(Play *p, int ms) {
    struct pollfd f = {.fd = p->tty, .events = POLLIN};
    if (p->n + 4096 > p->cap) p->shown = realloc(p->shown, p->cap = p->cap * 2 + 8192);
    if (!p->shown || poll(&f, 1, ms) <= 0) return 0;
    ssize_t n = read(p->tty, p->shown + p->n, 4096);
    if (n <= 0) return 0;
    p->n += (size_t)n;
    return 1;
}

static int end(Play *p, int status) {
    fwrite(p->shown, 1, p->n, stdout);
    free(p->shown);
    if (status == BAD) kill(p->pid, SIGKILL);
    return status;
}

/* In place; returns the length. */
static size_t unescape(char *s) {
    char *out = s, *begin = s;
    for (; *s; s++) {
        if (*s != '\\' || !s[1]) {
            *out++ = *s;
            continue;
        }
        s++;
        if (*s == 'x' && s[1] && s[2]) {
            char hex[3] = {s[1], s[2], 0};
            *out++ = (char)strtol(hex, NULL, 16);
            s += 2;
        } else {
            *out++ = *s == 'r' ? '\r' : *s == 'n' ? '\n' : *s == 't' ? '\t' : *s;
        }
    }
    *out = 0;
    return (size_t)(out - begin);
}

static int want(Play *p, const char *text, size_t n) {
    time_t latest = time(NULL) + PATIENCE_MS / 1000;
    while (time(NULL) <= latest) {
        char *at = p->n > p->seen ? memmem(p->shown + p->seen, p->n - p->seen, text, n) : NULL;
        if (at) {
            p->seen = (size_t)(at - p->shown) + n;
            return 1;
        }
        if (!more(p, PATIENCE_MS)) return 0;
    }
    return 0;
}

static int type(Play *p, const char *text, size_t n) {
    while (n) {
        struct pollfd f = {.fd = p->tty, .events = POLLIN | POLLOUT};
        if (poll(&f, 1, PATIENCE_MS) <= 0) return 0;
        if (f.revents & POLLIN && !more(p, 0)) return 0;
        if (!(f.revents & POLLOUT)) continue;
        ssize_t done = write(p->tty, text, n);
        if (done < 0 && errno != EAGAIN) return 0;
        if (done > 0) text += done, n -= (size_t)done;
    }
    return 1;
}

static int finished(Play *p) {
    int status;
    time_t latest = time(NULL) + PATIENCE_MS / 1000;
    while (more(p, PATIENCE_MS) && time(NULL) <= latest) {}
    for (int ms = 0; ms < PATIENCE_MS; ms += 10) {
        if (waitpid(p->pid, &status, WNOHANG) == p->pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        poll(NULL, 0, 10);
    }
    return BAD;
}

/* Signals that come close together may become one: keys that make signals are typed until they did. */
static int until_end(Play *p, const char *text, size_t n) {
    siginfo_t ended = {0};
    time_t latest = time(NULL) + PATIENCE_MS / 1000;
    while (time(NULL) <= latest) {
        if (waitid(P_PID, (id_t)p->pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == p->pid) return 1;
        if (write(p->tty, text, n) < 0 && errno != EAGAIN && errno != EIO) return 0;
        more(p, 100);
    }
    return 0;
}

static int obey(Play *p, char *line) {
    char *arg = line + strcspn(line, " ");
    if (*arg) *arg++ = 0;
    struct winsize w = {0};
    if (strcmp(line, "size") == 0)
        return sscanf(arg, "%hu %hu", &w.ws_row, &w.ws_col) == 2 && ioctl(p->tty, TIOCSWINSZ, &w) == 0;
    size_t n = unescape(arg);
    if (strcmp(line, "want") == 0) return want(p, arg, n);
    if (strcmp(line, "type") == 0) return type(p, arg, n);
    if (strcmp(line, "last") == 0) return until_end(p, arg, n);
    return strcmp(line, "none") == 0 && !(p->n && memmem(p->shown, p->n, arg, n));
}

int main(int argc, char **argv) {
    char line[65536];
    struct winsize w = {.ws_row = 24, .ws_col = 80};
    Play p = {0};
    FILE *script = argc > 2 ? fopen(argv[1], "re") : NULL;
    if (!script) return fprintf(stderr, "usage: pty SCRIPT COMMAND...\n"), BAD;
    p.pid = forkpty(&p.tty, NULL, NULL, &w);
    if (p.pid < 0) return perror("forkpty"), 77;
    if (p.pid == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    fcntl(p.tty, F_SETFL, O_NONBLOCK);
    while (fgets(line, sizeof line, script)) {
        p.line++;
        line[strcspn(line, "\n")] = 0;
        if (!*line) continue;
        char told[200];
        snprintf(told, sizeof told, "%.190s", line);
        if (obey(&p, line)) continue;
        fprintf(stderr, "%s:%d: did not come true: %s\n", argv[1], p.line, told);
        return end(&p, BAD);
    }
    fclose(script);
    return end(&p, finished(&p));
}
