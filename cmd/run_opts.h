/* What the commands share: the options that every one of them has, opening what they name, reading prompts and ids. */
#ifndef CMD_RUN_OPTS_H
#define CMD_RUN_OPTS_H

#include "cmd/cmd.h"
#include "cmd/term.h"

typedef struct RunOpts { /* first field of every command's options */
    bool help, json, quiet, verbose;
    const char *color, *model;
    const char *backend, *kv_type, *compute, *isa, *repack;
    int64_t threads, ctx, chunk;
    OptList lora;
    OptList args; /* words that are no options; filled by main */
} RunOpts;

/* Rows of what every command that computes has. */
#define OPT_BACKEND_ROW                                                                                                \
    {                                                                                                                  \
        .name = "backend", .kind = OPT_TEXT, .arg = "auto|cpu", .at = offsetof(RunOpts, backend), .init = "auto",      \
        .help = "where to compute; auto takes the best that works here"                                                \
    }
#define OPT_THREADS_ROW                                                                                                \
    {                                                                                                                  \
        .name = "threads", .letter = 't', .kind = OPT_INT, .arg = "N", .lo = 1, .hi = 1024,                            \
        .at = offsetof(RunOpts, threads),                                                                              \
        .help = "worker threads; default: one per physical core that the program may use"                              \
    }

extern const OptTable opts_model; /* -m */
extern const OptTable opts_session;
extern const OptTable opts_threads; /* -t alone */
extern const OptTable opts_output;  /* --json -q -v --color -h */

Ui ui_of(const RunOpts *o);

/* The model's path: -m, else $LLMWS_MODEL, else "builtin". */
bool model_path(const RunOpts *o, const char **path, Err *e);
/* Opens it; warnings and messages of the library go through *ui, which must outlive the model. */
bool model_open(const char *path, const Ui *ui, LlmwsModel **out, Err *e);
/* An LlmwsLogFn over a Ui. What was said lately is not said again. */
void ui_log(void *ui, int level, const char *line);
/* A path that is no model: was another one meant? A near name beside it, or a GGUF file in the folder, is put into the
 * error. */
void suggest_model(const char *path, Err *e);
/* ERR_BACKEND for a backend that this build lacks, ERR_USAGE for one that does not exist. */
bool backend_check(const RunOpts *o, Err *e);
LlmwsSessionOptions session_options(const RunOpts *o);
/* "500000", "64K", "1.5G" or "64MiB" (powers of 1024) as bytes; `what` names it in errors. */
bool parse_bytes(const char *text, const char *what, size_t *out, Err *e);
void plan_note(const Ui *ui, const LlmwsPlan *plan); /* settings and rows of the plan, for -v */
void plan_rows_note(const Ui *ui, const LlmwsPlan *plan);

/* Appends a whole file (a FIFO too; "-" is stdin) of at most 256 MiB. */
bool read_text(const char *path, Buf *out, Err *e);
/* Appends `text`, or the file behind "@FILE". */
bool read_text_or_file(const char *text, Buf *out, Err *e);

typedef struct Ids { /* growable; free with ids_release */
    int32_t *v;
    size_t n, cap;
} Ids;
void ids_put(Ids *ids, int32_t id);
void ids_release(Ids *ids);
/* Appends "1,2,3" (commas, white space and brackets separate) or what stands in "@FILE". */
bool ids_parse(const char *list, Ids *ids, Err *e);
/* Appends the ids of a text, flags as LLMWS_TOK_*; no ids at all is an error. */
bool ids_of_text(LlmwsTokenizer *t, Str text, int flags, Ids *ids, Err *e);
/* ERR_USAGE for one outside the vocabulary. */
bool ids_check(const Ids *ids, int64_t vocab, Err *e);

#endif
