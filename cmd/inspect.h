/* llmws inspect, in parts: the summary and lists (inspect.c), the memory of a training (inspect_train.c), what families
 * there are (inspect_families.c), text and ids (inspect_tok.c), prompts of chat templates (inspect_template.c), one
 * forward pass with values kept (inspect_capture.c), runs of training (inspect_runs.h). */
#ifndef CMD_INSPECT_H
#define CMD_INSPECT_H

#include "cmd/generate.h"

typedef struct InspectOpts {
    union { /* both stand first */
        GenerateOpts generate;
        RunOpts run;
    };
    bool tensors, modules, families, estimate, no_special, runs;
    const char *tokenize, *detokenize, *template;
    const char *status, *of_run, *svg;
    OptList compare;
    int64_t parallel;
} InspectOpts;

/* The model: the word after `inspect`, or -m, or $LLMWS_MODEL. */
bool inspect_path(const RunOpts *o, const char **path, Err *e);

extern const OptTable *const inspect_tables[];
/* inspect --estimate with options of train. */
extern const Cmd inspect_estimate;

void shape_text(char out[96], const int64_t *dims, int n); /* "[64,128]" */

/* A line for every family that this program knows. */
bool inspect_families(const Ui *ui, Err *e);

/* LLMWS_TOK_* as --no-special asks. */
int tokenize_flags(const InspectOpts *o);
bool inspect_tokenize(const InspectOpts *o, const char *path, Err *e);
bool inspect_detokenize(const InspectOpts *o, const char *path, Err *e);
/* The prompt that the model's chat template makes of --template, its ids and spans with --json. */
bool inspect_template(const InspectOpts *o, const Ui *ui, const char *path, Err *e);
/* One forward pass over --ids or -p: a line for every captured value, the arrays to --out. */
bool inspect_capture(const InspectOpts *o, const Ui *ui, LlmwsModel *m, Err *e);

/* Runs of training: one in a few lines, all below a folder, one in full, several side by side. */
bool inspect_status(const InspectOpts *o, const Ui *ui, Err *e);
bool inspect_runs(const InspectOpts *o, const Ui *ui, Err *e);
bool inspect_run_report(const InspectOpts *o, const Ui *ui, Err *e);
bool inspect_compare(const InspectOpts *o, const Ui *ui, Err *e);

#endif
