/* Manual pages, in the man macros of groff and mandoc (man(7)). */
#include <stdio.h>

#include "cmd/emit.h"

static const char written_by[] = ".\\\" Written by 'llmws __emit man'; change the tables of the command instead.\n";

/* Text that roff shows as it stands: no hyphen is turned into a dash, no quote into a curly one, no line is a request.
 */
static void put_roff(Buf *out, const char *text) {
    if (*text == '.' || *text == '\'') buf_str(out, "\\&");
    for (; *text; text++) switch (*text) {
        case '\\': buf_str(out, "\\e"); break;
        case '-': buf_str(out, "\\-"); break;
        case '\'': buf_str(out, "\\(aq"); break;
        case '`': buf_str(out, "\\(ga"); break;
        case '^': buf_str(out, "\\(ha"); break;
        case '~': buf_str(out, "\\(ti"); break;
        case '"': buf_str(out, "\\(dq"); break;
        default: buf_char(out, *text);
        }
}

static void put_font(Buf *out, char font, const char *text) {
    buf_printf(out, "\\f%c", font);
    put_roff(out, text);
    buf_str(out, "\\fR");
}

/* A help text as a sentence of its own: a capital, a full stop. */
static void put_sentence(Buf *out, const char *text) {
    if (*text >= 'a' && *text <= 'z') buf_char(out, (char)(*text++ - 'a' + 'A'));
    put_roff(out, text);
    buf_str(out, str_ends(str_of(text), ".") ? "\n" : ".\n");
}

static void put_title(Buf *out, const char *upper, const char *name, const char *summary) {
    buf_str(out, written_by);
    buf_printf(out, ".TH %s 1 \"\" \"llmws %s\" \"User Commands\"\n.SH NAME\n%s \\- ", upper, llmws_version(), name);
    put_roff(out, summary);
    buf_char(out, '\n');
}

static void put_option(Buf *out, const OptRow *r) {
    buf_str(out, ".TP\n");
    if (r->letter) {
        put_font(out, 'B', (char[]){'-', r->letter, 0});
        buf_str(out, ", ");
    }
    put_font(out, 'B', "--");
    put_font(out, 'B', r->name);
    if (r->arg) {
        buf_char(out, ' ');
        put_font(out, 'I', r->arg);
    }
    buf_char(out, '\n');
    put_sentence(out, r->help);
    if (r->kind == OPT_LIST) buf_str(out, "May be repeated.\n");
    if (r->init && r->kind != OPT_FLAG) {
        buf_str(out, "Default: ");
        put_roff(out, r->init);
        buf_str(out, ".\n");
    }
    if (!r->also) return;
    buf_str(out, "Also: ");
    for (const char *a = r->also; *a;) {
        size_t n = strcspn(a, ",");
        char name[80] = "--";
        strncat(name, a, MIN(n, (size_t)70));
        put_font(out, 'B', name);
        a += n + (a[n] == ',');
        buf_str(out, *a ? ", " : ".\n");
    }
}

static void put_exit_status(Buf *out) {
    static const struct {
        int status;
        const char *text;
    } rows[] = {
        {0, "done"},
#define ERROR(name, status, text) {status, text},
#include "core/errs.def"
#undef ERROR
    };
    buf_str(out, ".SH EXIT STATUS\n");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bool same = i && rows[i].status == rows[i - 1].status;
        if (!same) buf_printf(out, ".TP\n.B %d\n", rows[i].status);
        put_roff(out, rows[i].text);
        buf_str(out, i + 1 < COUNT_OF(rows) && rows[i + 1].status == rows[i].status ? ", or\n" : ".\n");
    }
}

static void put_environment(Buf *out) {
    buf_str(out, ".SH ENVIRONMENT\n"
                 ".TP\n.B LLMWS_MODEL\nThe model where the command line names none.\n"
                 ".TP\n.B NO_COLOR\nWhen set, no colours unless \\fB\\-\\-color\\fR asks for them.\n");
}

static void put_examples(Buf *out, const Cmd *cmd) {
    buf_str(out, ".SH EXAMPLES\n");
    for (const Example *x = cmd->examples; x->line; x++) {
        buf_str(out, ".PP\n");
        put_roff(out, x->what);
        buf_str(out, "\n.PP\n.RS 4\n.nf\n");
        put_roff(out, x->line);
        buf_str(out, "\n.fi\n.RE\n");
    }
}

void emit_man(Buf *out, const Cmd *cmd) {
    char upper[64] = "LLMWS-", name[64];
    size_t n = strlen(upper);
    for (const char *c = cmd->name; *c && n + 1 < sizeof upper; c++)
        upper[n++] = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    snprintf(name, sizeof name, "llmws\\-%s", cmd->name);
    put_title(out, upper, name, cmd->summary);
    buf_str(out, ".SH SYNOPSIS\n");
    put_font(out, 'B', "llmws ");
    put_font(out, 'B', cmd->name);
    buf_char(out, ' ');
    put_roff(out, cmd->usage);
    buf_str(out, "\n.SH DESCRIPTION\n");
    put_roff(out, cmd->about);
    buf_str(out, "\n.SH OPTIONS\nInside a long name \\- and _ are the same; \\fB\\-\\-\\fIname value\\fR and "
                 "\\fB\\-\\-\\fIname\\fB=\\fIvalue\\fR both work; \\fB\\-\\-\\fR ends the options.\n");
    for (const OptTable *const *t = cmd->tables; *t; t++) {
        buf_str(out, ".SS ");
        put_roff(out, (*t)->title);
        buf_char(out, '\n');
        for (size_t i = 0; i < (*t)->n; i++) put_option(out, &(*t)->rows[i]);
    }
    put_exit_status(out);
    put_environment(out);
    put_examples(out, cmd);
    buf_str(out, ".SH SEE ALSO\n.BR llmws (1)\n");
}

void emit_man_overview(Buf *out) {
    const Cmd *cmd;
    put_title(out, "LLMWS", "llmws", "run and inspect language models on this machine");
    buf_str(out, ".SH SYNOPSIS\n\\fBllmws\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]...\n"
                 ".SH DESCRIPTION\nRuns and inspects language models on this machine. Each command has a page of its "
                 "own. A link to the program\nthat is named \\fBllmws\\-\\fICOMMAND\\fR runs that command.\n"
                 ".SH COMMANDS\n");
    for (size_t i = 0; (cmd = cmd_at(i)); i++) {
        buf_printf(out, ".TP\n.BR llmws\\-%s (1)\n", cmd->name);
        put_sentence(out, cmd->summary);
    }
    buf_str(
        out,
        ".SH OPTIONS\n"
        ".TP\n\\fBhelp\\fR \\fICOMMAND\\fR, \\fICOMMAND\\fR \\fB\\-\\-help\\fR\nOptions and examples of a command.\n"
        ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nThe list of commands.\n"
        ".TP\n\\fB\\-\\-version\\fR\nThe version.\n"
        ".TP\n\\fB\\-\\-install\\fR \\fIDIR\\fR\nMakes links named \\fBllmws\\-\\fICOMMAND\\fR in \\fIDIR\\fR, "
        "each running that command.\n");
    put_exit_status(out);
    put_environment(out);
    buf_str(out, ".SH SEE ALSO\n");
    for (size_t i = 0; (cmd = cmd_at(i)); i++)
        buf_printf(out, ".BR llmws\\-%s (1)%s\n", cmd->name, cmd_at(i + 1) ? "," : "");
}
