#include "cmd/cmd.h"

static const Cmd *const commands[] = {
#define CMD(name) &cmd_##name,
#include "cmd/cmds.def"
#undef CMD
};

const Cmd *cmd_at(size_t i) { return i < COUNT_OF(commands) ? commands[i] : NULL; }

const Cmd *cmd_find(const char *name) {
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

bool cmd_unknown(const char *name, Err *e) {
    const char *names[COUNT_OF(commands)];
    for (size_t i = 0; i < COUNT_OF(commands); i++) names[i] = commands[i]->name;
    const char *near = nearest_word(name, names, COUNT_OF(commands));
    return near ? err_set(e, ERR_USAGE, "unknown command '%s' (did you mean '%s'?)", name, near)
                : err_set(e, ERR_USAGE, "unknown command '%s'", name);
}

/* Words of text from column *col on, broken before `width`; lines after the first begin at `indent`. */
static void wrap(Buf *out, const char *text, int indent, int width, int *col) {
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (*col > indent && *col + 1 + n > width) {
            buf_printf(out, "\n%*s", indent, "");
            *col = indent;
        } else if (*col > indent) {
            buf_char(out, ' ');
            *col += 1;
        }
        buf_put(out, text, (size_t)n);
        *col += n;
        text += n + (text[n] == ' ');
    }
}

static void paragraph(Buf *out, const char *text, int indent, int width) {
    int col = indent;
    buf_printf(out, "%*s", indent, "");
    wrap(out, text, indent, width, &col);
    buf_char(out, '\n');
}

static void heading(Buf *out, const char *text, bool bold) {
    buf_printf(out, bold ? "\n\033[1m%s:\033[0m\n" : "\n%s:\n", text);
}

static void help_option(Buf *out, const OptRow *r, int width) {
    enum { HELP_COLUMN = 26 };
    size_t start = out->n;
    if (r->letter)
        buf_printf(out, "  -%c, --%s", r->letter, r->name);
    else
        buf_printf(out, "      --%s", r->name);
    if (r->arg) buf_printf(out, " %s", r->arg);
    int col = (int)(out->n - start);
    if (col + 2 > HELP_COLUMN) {
        buf_char(out, '\n');
        col = 0;
    }
    buf_printf(out, "%*s", HELP_COLUMN - col, "");
    col = HELP_COLUMN;
    wrap(out, r->help, HELP_COLUMN, width, &col);
    if (r->kind == OPT_LIST) wrap(out, "(repeatable)", HELP_COLUMN, width, &col);
    if (r->init && r->kind != OPT_FLAG) {
        char text[80] = "(default ";
        strncat(text, r->init, 60);
        strcat(text, ")");
        wrap(out, text, HELP_COLUMN, width, &col);
    }
    if (r->also) {
        wrap(out, "(also", HELP_COLUMN, width, &col);
        for (const char *a = r->also; *a;) {
            char text[80] = "--";
            size_t n = strcspn(a, ",");
            strncat(text, a, MIN(n, (size_t)60));
            strcat(text, a[n] ? "," : ")");
            wrap(out, text, HELP_COLUMN, width, &col);
            a += n + (a[n] == ',');
        }
    }
    buf_char(out, '\n');
}

void help_cmd(Buf *out, const Cmd *cmd, int width, bool bold) {
    int indent = (int)strlen("Usage: llmws  ") + (int)strlen(cmd->name), col = indent;
    buf_printf(out, bold ? "\033[1mUsage:\033[0m llmws %s " : "Usage: llmws %s ", cmd->name);
    wrap(out, cmd->usage, indent, width, &col);
    buf_str(out, "\n\n");
    paragraph(out, cmd->about, 0, width);
    for (const OptTable *const *t = cmd->tables; *t; t++) {
        heading(out, (*t)->title, bold);
        for (size_t i = 0; i < (*t)->n; i++) help_option(out, &(*t)->rows[i], width);
    }
    heading(out, "Examples", bold);
    for (const Example *x = cmd->examples; x->line; x++) {
        paragraph(out, x->what, 2, width);
        buf_printf(out, "    %s\n", x->line);
    }
}

void help_overview(Buf *out, int width, bool bold) {
    buf_str(out, bold ? "\033[1mUsage:\033[0m llmws COMMAND [OPTION]...\n\n" : "Usage: llmws COMMAND [OPTION]...\n\n");
    paragraph(out, "Runs and inspects language models on this machine.", 0, width);
    heading(out, "Commands", bold);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        buf_printf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    heading(out, "Also", bold);
    buf_str(out, "  llmws help COMMAND   options and examples of a command (or COMMAND --help)\n"
                 "  llmws --version      the version\n"
                 "  llmws --install DIR  links named llmws-COMMAND in DIR, each running that command\n");
}
