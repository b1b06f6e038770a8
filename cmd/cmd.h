/* A subcommand: what it is called, which options it has, what runs. One per file, listed in cmds.def. */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include "cmd/opt.h"

typedef struct Example {
    const char *what, *line;
} Example;

typedef struct Cmd {
    const char *name;
    const char *summary;           /* one line, no full stop */
    const char *usage;             /* what follows the name */
    const char *about;             /* a paragraph, wrapped by help */
    const OptTable *const *tables; /* NULL-terminated; the first field of the options struct is a RunOpts */
    const OptTable *const *more;   /* options of another command that are taken too and explained there; NULL: none */
    const struct Cmd *other;       /* takes the words in its place where an option is named that it alone has */
    const Example *examples;       /* ends with a NULL line */
    size_t opts_size;
    size_t max_args; /* words that are no options; their list is RunOpts.args */
    /* true: exit status 0, or that of a caught signal. */
    bool (*run)(const void *opts, Err *e);
} Cmd;

#define CMD(name) extern const Cmd cmd_##name;
#include "cmd/cmds.def"
#undef CMD

/* Help texts, from the tables; width in columns, bold: mark headings for a terminal. */
void help_overview(Buf *out, int width, bool bold);
void help_cmd(Buf *out, const Cmd *cmd, int width, bool bold);
const Cmd *cmd_find(const char *name);
const Cmd *cmd_at(size_t i); /* in the order of cmds.def; NULL behind the last */
/* ERR_USAGE naming the command that was probably meant. */
bool cmd_unknown(const char *name, Err *e);

#endif
