/* Which command runs, and how the program ends: exit status, the one line of an error, stdout closed and checked. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/emit.h"
#include "cmd/run_opts.h"

static void out_of_memory(size_t bytes) {
    char line[96];
    int n = snprintf(line, sizeof line, "llmws: out of memory: %zu bytes were refused; close other programs\n", bytes);
    if (write(STDERR_FILENO, line, (size_t)n) < 0) errno = 0;
    _exit(4);
}

typedef struct Ran {   /* what the end of the program needs to know of its beginning */
    const Cmd *cmd;    /* NULL: none was found */
    const char *color; /* --color */
} Ran;

enum { TABLES_MAX = 16 };

/* All that a command takes: its own tables, then those of another. */
static void all_tables(const Cmd *cmd, const OptTable *all[TABLES_MAX]) {
    size_t n = 0;
    for (const OptTable *const *t = cmd->tables; *t; t++) all[n++] = *t;
    for (const OptTable *const *t = cmd->more; t && *t; t++) all[n++] = *t;
    if (n >= TABLES_MAX) BUG("%s has %zu tables of options", cmd->name, n);
    all[n] = NULL;
}

static bool run_cmd(const Cmd *cmd, char **argv, Ran *ran, Err *e) {
    ran->cmd = cmd;
    const Cmd *shown = cmd;
    const OptTable *tables[TABLES_MAX], *others[TABLES_MAX];
    all_tables(cmd, tables);
    if (cmd->other) {
        all_tables(cmd->other, others);
        if (opt_named(others, tables, argv)) {
            cmd = cmd->other;
            memcpy(tables, others, sizeof tables);
        }
    }
    RunOpts *opts = mem_alloc(1, cmd->opts_size);
    opt_init(tables, opts);
    OptList rest;
    bool ok = opt_parse(tables, argv, opts, &rest, e);
    opts->args = rest;
    ran->color = opts->color;
    if (ok && opts->help) {
        Buf b = {0};
        help_cmd(&b, shown, term_width(), ui_of(opts).out_color);
        ok = out_flush(&b, e);
        buf_release(&b);
    } else if (ok && rest.n > cmd->max_args) {
        ok =
            err_set(e, ERR_USAGE, "unexpected argument '%s'; quote values that hold spaces", rest.items[cmd->max_args]);
    } else if (ok) {
        ok = cmd->run(opts, e);
    }
    free(rest.items);
    opt_release(tables, opts);
    free(opts);
    return ok;
}

static bool overview(Err *e) {
    Buf b = {0};
    help_overview(&b, term_width(), ui_make(false, false, false, "auto").out_color);
    bool ok = out_flush(&b, e);
    buf_release(&b);
    return ok;
}

/* For man/ and completions/; hidden, since only those who change the tables need it. */
static bool emitted(char *const *args, Err *e) {
    Buf b = {0};
    bool ok = emit(args, &b, e) && out_flush(&b, e);
    buf_release(&b);
    return ok;
}

/* A link for every command, named llmws-COMMAND; an older link of that name is replaced, a file is not. */
static bool install_links(const char *dir, Err *e) {
    char self[4096], path[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0) return err_set(e, ERR_IO, "cannot find the program's own file: %s", strerror(errno));
    self[n] = 0;
    const Cmd *cmd;
    for (size_t i = 0; (cmd = cmd_at(i)); i++) {
        struct stat st;
        int len = snprintf(path, sizeof path, "%s/llmws-%s", dir, cmd->name);
        if (len < 0 || (size_t)len >= sizeof path) return err_set(e, ERR_IO, "cannot make links: '%s': too long", dir);
        if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) unlink(path);
        if (symlink(self, path) != 0) return err_set(e, ERR_IO, "cannot make the link '%s': %s", path, strerror(errno));
    }
    return true;
}

/* What stands before a command, or in its place. */
static bool run_plain(char **argv, Ran *ran, Err *e) {
    const char *a = argv[1];
    if (!a) return overview(e);
    if (strcmp(a, "--version") == 0) {
        Buf b = {0};
        buf_printf(&b, "llmws %s\n", llmws_version());
        bool ok = out_flush(&b, e);
        buf_release(&b);
        return ok;
    }
    if (strcmp(a, "__emit") == 0) return emitted(argv + 2, e);
    if (strcmp(a, "--install") == 0)
        return argv[2] ? install_links(argv[2], e) : err_set(e, ERR_USAGE, "--install needs a directory");
    bool help = strcmp(a, "help") == 0 || strcmp(a, "-h") == 0 || strcmp(a, "--help") == 0;
    if (help && (!argv[2] || strcmp(argv[2], "help") == 0)) return overview(e);
    if (!help && a[0] == '-') return err_set(e, ERR_USAGE, "unknown option '%s'; options follow the command", a);
    const Cmd *cmd = cmd_find(help ? argv[2] : a);
    if (!cmd) return cmd_unknown(help ? argv[2] : a, e);
    return run_cmd(cmd, help ? (char *[]){(char[]){"--help"}, NULL} : argv + 2, ran, e);
}

static int report(const Err *e, const Ran *ran) {
    Buf line = {0};
    buf_str(&line, e->msg);
    if (e->code == ERR_USAGE)
        buf_printf(&line, ran->cmd ? "; see 'llmws %s --help'" : "; see 'llmws%s --help'",
                   ran->cmd ? ran->cmd->name : "");
    ui_error(ui_make(false, false, false, ran->color).err_color, line.s);
    buf_release(&line);
    return llmws_exit_status(e->code);
}

int main(int argc, char **argv) {
    term_guard_streams();
    llmws_set_oom_hook(out_of_memory);
    stop_install();
    Err e = {0};
    Ran ran = {.color = "auto"};
    if (argc < 1) argv = (char *[]){(char[]){"llmws"}, NULL};
    const char *name = argv[0], *slash = strrchr(name, '/');
    if (slash) name = slash + 1;
    const Cmd *cmd = strncmp(name, "llmws-", 6) == 0 ? cmd_find(name + 6) : NULL;
    bool ok = cmd ? run_cmd(cmd, argv + 1, &ran, &e) : run_plain(argv, &ran, &e);
    Err late;
    progress_clear();
    if (!out_close(&late) && ok) {
        ok = false;
        e = late;
    }
    if (!ok && e.code != ERR_INTERRUPT) return report(&e, &ran);
    return stop_signal() ? 128 + stop_signal() : llmws_exit_status(ok ? 0 : e.code);
}
