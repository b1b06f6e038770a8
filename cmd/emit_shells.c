/* Completions of bash, zsh and fish: options of each command, the words that an option takes, files where it takes one.
 */
#include "cmd/emit.h"

static void put_program_names(Buf *out) {
    const Cmd *cmd;
    buf_str(out, "llmws");
    for (size_t i = 0; (cmd = cmd_at(i)); i++) buf_printf(out, " llmws-%s", cmd->name);
}

/* ---- what an option takes ---- */

typedef enum Takes { TAKES_NOTHING, TAKES_WORDS, TAKES_FILE, TAKES_OTHER } Takes;

static Takes takes(const OptRow *r) {
    if (r->kind == OPT_FLAG) return TAKES_NOTHING;
    if (r->kind == OPT_ENUM) return TAKES_WORDS;
    bool upper = false;
    for (const char *c = r->arg; *c; c++) upper |= *c >= 'A' && *c <= 'Z';
    if (!upper && strchr(r->arg, '|')) return TAKES_WORDS; /* "auto|cpu", of a text that may also be something else */
    bool file = strcmp(r->arg, "FILE") == 0 || strcmp(r->arg, "MODEL") == 0 || strncmp(r->arg, "OUT", 3) == 0;
    return file ? TAKES_FILE : TAKES_OTHER;
}

static void put_words(Buf *out, const OptRow *r) {
    for (const char *c = r->arg; *c; c++) buf_char(out, *c == '|' ? ' ' : *c);
}

static void put_escaped(Buf *out, const char *text, const char *special, const char *quote) {
    for (; *text; text++) {
        if (*text == '\'') {
            buf_str(out, quote);
            continue;
        }
        if (strchr(special, *text)) buf_char(out, '\\');
        buf_char(out, *text);
    }
}

/* ---- bash ---- */

static void bash_pattern(Buf *out, const OptRow *r) {
    if (r->letter) buf_printf(out, "-%c | ", r->letter);
    buf_printf(out, "--%s", r->name);
}

static void bash_row(Buf *out, const OptRow *r) {
    Takes t = takes(r);
    if (t == TAKES_NOTHING) return;
    buf_str(out, "        ");
    bash_pattern(out, r);
    buf_str(out, t == TAKES_WORDS ? ") words='" : t == TAKES_FILE ? ") kind=file" : ") kind=none");
    if (t == TAKES_WORDS) {
        put_words(out, r);
        buf_char(out, '\'');
    }
    buf_str(out, " ;;\n");
}

static void bash_cmd(Buf *out, const Cmd *cmd) {
    buf_printf(out, "    %s)\n        options='", cmd->name);
    const char *gap = "";
    for (const OptTable *const *t = cmd->tables; *t; t++)
        for (size_t i = 0; i < (*t)->n; i++, gap = " ") buf_printf(out, "%s--%s", gap, (*t)->rows[i].name);
    buf_str(out, "'\n        case $before in\n");
    for (const OptTable *const *t = cmd->tables; *t; t++)
        for (size_t i = 0; i < (*t)->n; i++) bash_row(out, &(*t)->rows[i]);
    buf_str(out, "        esac\n        ;;\n");
}

void emit_bash(Buf *out) {
    const Cmd *cmd;
    buf_str(
        out,
        "# Completion of llmws in bash. Written by 'llmws __emit bash'; change the tables of the commands instead.\n"
        "_llmws() {\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} cmd=${COMP_WORDS[1]}\n"
        "    local options='' words='' kind=''\n"
        "    COMPREPLY=()\n"
        "    if [[ $word == = ]]; then\n"
        "        word=''\n"
        "    elif [[ $before == = ]]; then\n"
        "        before=${COMP_WORDS[COMP_CWORD - 2]}\n"
        "    fi\n"
        "    if [[ ${COMP_WORDS[0]##*/} == llmws-* ]]; then\n"
        "        cmd=${COMP_WORDS[0]##*/llmws-}\n"
        "        cmd=${cmd#llmws-}\n"
        "    elif ((COMP_CWORD == 1)) || [[ $cmd == help ]]; then\n"
        "        mapfile -t COMPREPLY < <(compgen -W '");
    for (size_t i = 0; (cmd = cmd_at(i)); i++) buf_printf(out, "%s ", cmd->name);
    buf_str(out, "help --help --version --install' -- \"$word\")\n"
                 "        return\n"
                 "    fi\n"
                 "    case $cmd in\n");
    for (size_t i = 0; (cmd = cmd_at(i)); i++) bash_cmd(out, cmd);
    buf_str(out, "    esac\n"
                 "    if [[ $words ]]; then\n"
                 "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
                 "    elif [[ ! $kind && $word == -* ]]; then\n"
                 "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
                 "    elif [[ $kind != none ]]; then\n"
                 "        compopt -o filenames 2>/dev/null\n"
                 "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
                 "    fi\n"
                 "}\n"
                 "complete -F _llmws ");
    put_program_names(out);
    buf_char(out, '\n');
}

/* ---- zsh ---- */

static void zsh_text(Buf *out, const char *text) { put_escaped(out, text, "[]:\\", "'\\''"); }

static void zsh_row(Buf *out, const OptRow *r) {
    Takes t = takes(r);
    bool many = r->kind == OPT_LIST, value = t != TAKES_NOTHING;
    buf_str(out, " \\\n        ");
    if (r->letter && many)
        buf_printf(out, "'*'{-%c+,--%s=}'[", r->letter, r->name);
    else if (r->letter)
        buf_printf(out, "'(-%c --%s)'{-%c%s,--%s%s}'[", r->letter, r->name, r->letter, value ? "+" : "", r->name,
                   value ? "=" : "");
    else
        buf_printf(out, "'%s--%s%s[", many ? "*" : "", r->name, value ? "=" : "");
    zsh_text(out, r->help);
    buf_char(out, ']');
    if (value) {
        buf_char(out, ':');
        zsh_text(out, r->arg);
        buf_str(out, t == TAKES_FILE ? ":_files" : t == TAKES_WORDS ? ":(" : ": ");
        if (t == TAKES_WORDS) {
            put_words(out, r);
            buf_char(out, ')');
        }
    }
    buf_char(out, '\'');
}

static void zsh_cmd(Buf *out, const Cmd *cmd) {
    buf_printf(out, "\n_llmws_%s() {\n    _arguments -s -S", cmd->name);
    for (const OptTable *const *t = cmd->tables; *t; t++)
        for (size_t i = 0; i < (*t)->n; i++) zsh_row(out, &(*t)->rows[i]);
    buf_str(out, cmd->max_args ? " \\\n        '*:file:_files'\n}\n" : "\n}\n");
}

void emit_zsh(Buf *out) {
    const Cmd *cmd;
    buf_str(out, "#compdef ");
    put_program_names(out);
    buf_str(
        out,
        "\n# Completion of llmws in zsh. Written by 'llmws __emit zsh'; change the tables of the commands instead.\n");
    for (size_t i = 0; (cmd = cmd_at(i)); i++) zsh_cmd(out, cmd);
    buf_str(out, "\n_llmws() {\n"
                 "    local name=${words[1]:t}\n"
                 "    local -a commands=(");
    for (size_t i = 0; (cmd = cmd_at(i)); i++) {
        buf_printf(out, "\n        '%s:", cmd->name);
        zsh_text(out, cmd->summary);
        buf_char(out, '\'');
    }
    buf_str(out, "\n        'help:explain a command'\n    )\n"
                 "    if [[ $name == llmws-* ]]; then\n"
                 "        name=${name#llmws-}\n"
                 "    elif (( CURRENT == 2 )) || [[ $words[2] == help ]]; then\n"
                 "        _describe command commands\n"
                 "        return\n"
                 "    else\n"
                 "        name=$words[2]\n"
                 "        shift words\n"
                 "        (( CURRENT-- ))\n"
                 "    fi\n"
                 "    (( $+functions[_llmws_$name] )) && _llmws_$name\n"
                 "}\n\n_llmws \"$@\"\n");
}

/* ---- fish ---- */

static void fish_text(Buf *out, const char *text) { put_escaped(out, text, "\\", "\\'"); }

static void fish_row(Buf *out, const Cmd *cmd, const OptRow *r) {
    Takes t = takes(r);
    buf_printf(out, "complete -c llmws -n '__fish_seen_subcommand_from %s' -l %s", cmd->name, r->name);
    if (r->letter) buf_printf(out, " -s %c", r->letter);
    if (t != TAKES_NOTHING) buf_str(out, t == TAKES_FILE ? " -r -F" : " -x");
    if (t == TAKES_WORDS) {
        buf_str(out, " -a '");
        put_words(out, r);
        buf_char(out, '\'');
    }
    buf_str(out, " -d '");
    fish_text(out, r->help);
    buf_str(out, "'\n");
}

void emit_fish(Buf *out) {
    const Cmd *cmd;
    buf_str(
        out,
        "# Completion of llmws in fish. Written by 'llmws __emit fish'; change the tables of the commands instead.\n");
    for (size_t i = 0; (cmd = cmd_at(i)); i++) {
        buf_printf(out, "complete -c llmws -n __fish_use_subcommand -f -a %s -d '", cmd->name);
        fish_text(out, cmd->summary);
        buf_str(out, "'\n");
    }
    buf_str(out, "complete -c llmws -n __fish_use_subcommand -f -a help -d 'explain a command'\n");
    for (size_t i = 0; (cmd = cmd_at(i)); i++) {
        for (const OptTable *const *t = cmd->tables; *t; t++)
            for (size_t k = 0; k < (*t)->n; k++) fish_row(out, cmd, &(*t)->rows[k]);
        buf_printf(out, "complete -c llmws-%s -w 'llmws %s'\n", cmd->name, cmd->name);
    }
}

/* ---- which of them ---- */

bool emit(char *const *args, Buf *out, Err *e) {
    static const struct {
        const char *name;
        void (*put)(Buf *out);
    } forms[] = {{"man", emit_man_overview}, {"bash", emit_bash}, {"zsh", emit_zsh}, {"fish", emit_fish}};
    const char *form = args[0] ? args[0] : "", *name = args[0] ? args[1] : NULL;
    const Cmd *cmd = name ? cmd_find(name) : NULL;
    if (name && !cmd) return cmd_unknown(name, e);
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        if (strcmp(forms[i].name, form) != 0) continue;
        if (cmd && i > 0)
            return err_set(e, ERR_USAGE, "__emit %s: one file serves all commands; leave '%s' out", form, name);
        if (cmd)
            emit_man(out, cmd);
        else
            forms[i].put(out);
        return true;
    }
    return err_set(e, ERR_USAGE, "__emit: '%s' must be one of man, bash, zsh, fish", form);
}
