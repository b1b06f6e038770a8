/* llmws inspect, in four files: the summary and lists (inspect.c), text and ids (inspect_tok.c), one forward pass with
 * values kept (inspect_capture.c), rules that change values (rule.c). */
#ifndef CMD_INSPECT_H
#define CMD_INSPECT_H

#include "cmd/run_opts.h"

typedef struct InspectOpts {
    RunOpts run;
    bool tensors, modules, estimate, no_special;
    const char *tokenize, *detokenize;
    const char *ids, *prompt, *out;
    OptList capture, intervene;
    int64_t parallel;
} InspectOpts;

/* The model: the word after `inspect`, or -m, or $LLMWS_MODEL. */
bool inspect_path(const InspectOpts *o, const char **path, Err *e);

void shape_text(char out[96], const int64_t *dims, int n); /* "[64,128]" */

/* LLMWS_TOK_* as --no-special asks. */
int tokenize_flags(const InspectOpts *o);
bool inspect_tokenize(const InspectOpts *o, const char *path, Err *e);
bool inspect_detokenize(const InspectOpts *o, const char *path, Err *e);
/* One forward pass over --ids or -p: a line for every captured value, the arrays to `out`. */
bool inspect_capture(const InspectOpts *o, const Ui *ui, LlmwsModel *m, Err *e);

/* A rule of --intervene as a patch; `vec` is owned here. T: tokens of the run, for "last" and "prompt". */
typedef struct Rule {
    LlmwsPatch patch;
    char *name;
    float *vec;
} Rule;
/* "NAME += A*FILE.safetensors:KEY @ WHERE", "NAME = 0", "NAME *= 0.5"; WHERE: all (also when left out), last, prompt,
 * a position or FIRST..LAST. */
bool rule_parse(const char *text, int64_t T, Rule *out, Err *e);
void rule_release(Rule *r);

#endif
