/* Looks at every write of a program: writes COMMAND... runs the command with a stdout on which each write(2) is a
 * message of its own, and passes them on. Exit status: the command's (128 + a signal's number), or 99 where a write was
 * not whole characters of UTF-8. How many there were goes to the file that $WRITES names. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base.h"

enum { BAD = 99, MESSAGE_MAX = 1 << 20 };

static int status_of(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv) {
    static char text[MESSAGE_MAX];
    int pair[2], broken = 0;
    long count = 0;
    ssize_t n;
    if (argc < 2 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0) return perror("writes"), BAD;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pair[1], STDOUT_FILENO);
        close(pair[0]);
        close(pair[1]);
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    close(pair[1]);
    while ((n = read(pair[0], text, sizeof text)) > 0) {
        count++;
        if (!utf8_valid((Str){text, (size_t)n}) && !broken++) fprintf(stderr, "write %ld is not whole UTF-8\n", count);
        if (fwrite(text, 1, (size_t)n, stdout) != (size_t)n) return perror("writes"), BAD;
    }
    int status = status_of(pid);
    FILE *told = getenv("WRITES") ? fopen(getenv("WRITES"), "we") : NULL;
    if (told) {
        fprintf(told, "%ld\n", count);
        fclose(told);
    }
    return broken ? BAD : status;
}
