/* Options: one typed table per command says how they are spelled, checked, stored and explained; parsing, help,
 * the manual and the shells' completions read the same rows.
 *
 * A row stores into a field of the command's struct, found by offset. Tables shared by commands belong to a struct that
 * stands first in each of theirs. Spelling: '-' and '_' are the same inside a long name; "--name VALUE",
 * "--name=VALUE", "-nVALUE", "-n VALUE"; "--" ends options. A value may begin with '-'. The last of repeated options
 * counts, except for OPT_LIST, which keeps all. */
#ifndef CMD_OPT_H
#define CMD_OPT_H

#include "core/base.h"

typedef enum OptKind {
    OPT_FLAG,  /* bool */
    OPT_INT,   /* int64_t, OPT_UNSET when not given */
    OPT_FLOAT, /* double, NAN when not given */
    OPT_TEXT,  /* const char *, NULL when not given */
    OPT_ENUM,  /* const char *, one of the words of `arg` */
    OPT_LIST,  /* OptList */
} OptKind;

#define OPT_UNSET INT64_MIN
#define OPT_MAX   0x1p63 /* as `hi`: no upper limit */

typedef struct OptList { /* borrows argv */
    const char **items;
    size_t n;
} OptList;

typedef struct OptRow {
    const char *name;
    char letter;      /* 0: none */
    const char *also; /* other spellings, separated by commas, or NULL */
    OptKind kind;
    const char *arg;  /* what help calls the value; OPT_ENUM: "f32|f16" */
    double lo, hi;    /* inclusive, of OPT_INT and OPT_FLOAT */
    const char *init; /* default, parsed like a given value; NULL: unset */
    size_t at;        /* offsetof the field */
    const char *help; /* one sentence without a full stop */
} OptRow;

typedef struct OptTable {
    const char *title;
    const OptRow *rows;
    size_t n;
} OptTable;

/* Fills every field that the tables (NULL-terminated) know with its default. */
void opt_init(const OptTable *const *tables, void *into);
/* Parses a NULL-terminated argv (no program name) over opt_init's values. What is no option goes to *rest. Values
 * borrow argv; free the lists with opt_release and *rest with free(rest->items). Errors are ERR_USAGE. */
bool opt_parse(const OptTable *const *tables, char *const *argv, void *into, OptList *rest, Err *e);
/* The row of an option by any of its names; NULL, and ERR_USAGE that names the nearest one, where there is none. `what`
 * and a quote begin what it is called: "option '--", "key '". */
const OptRow *opt_find(const OptTable *const *tables, Str name, const char *what, Err *e);
/* Gives a copy of the struct lists of its own, of the same texts; free them with opt_release. */
void opt_own_lists(const OptTable *const *tables, void *into);
/* The name of an option of `tables`, and of none of `except`, whose field no longer is what opt_init made it; NULL:
 * none. */
const char *opt_given(const OptTable *const *tables, const OptTable *const *except, const void *from);
/* Whether argv names, in full, an option of `tables` that `except` has not. */
bool opt_named(const OptTable *const *tables, const OptTable *const *except, char *const *argv);
/* Whether the field of a row no longer is what opt_init made it. */
bool opt_is_given(const OptRow *row, const void *from);
/* Makes the option of that name what opt_init made it. */
bool opt_reset(const OptTable *const *tables, const char *name, void *into, Err *e);
void opt_release(const OptTable *const *tables, void *into);

/* The word of words[0..n) nearest to `word` by edit distance, NULL when none is near enough to be meant. */
const char *nearest_word(const char *word, const char *const *words, size_t n);
/* Whole text as a number in [lo, hi]; `what` names it in errors. */
bool parse_int(const char *text, const char *what, double lo, double hi, int64_t *out, Err *e);
bool parse_float(const char *text, const char *what, double lo, double hi, double *out, Err *e);

#endif
