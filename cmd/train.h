/* What the parts of the train command share: its options, and the plan of its memory. */
#ifndef CMD_TRAIN_H
#define CMD_TRAIN_H

#include "cmd/run_opts.h"
#include "core/value.h"

typedef struct TrainOpts {
    RunOpts run;
    const char *out, *gpu_mem;
    bool resume, dry_run;
    int64_t preview;
    /* kept in run.json, and may change when a run goes on */
    int64_t log_every, save_every, keep, eval_every;
    bool skip_bad;
    /* kept in run.json */
    const char *lora, *eval;
    LlmwsLora adapter; /* lora, read */
    int64_t steps, batch_size, seq_len, grad_accum, warmup, seed;
    double epochs, lr, weight_decay, clip, eps, dropout, momentum, adamw_lr;
    const char *lr_schedule, *no_decay, *betas, *optimizer, *adjust_lr, *precision, *attention;
    bool grad_checkpoint, no_pack, train_on_prompt;
    const char *arch, *config, *tokenizer; /* of a new model */
    int64_t train_tokenizer;
    bool tie_embeddings;
} TrainOpts;

extern const OptTable *const train_tables[];

/* Gives every option of the run that was not given its value of `stored`, the options of run.json, or where that is
 * NULL its default. With `stored`, one that was given another value is ERR_USAGE where it would change what is learned.
 * Texts are borrowed from both and from the arena. */
bool train_opts_resolve(TrainOpts *o, const Value *stored, Arena *a, Err *e);
/* Appends the options of a run as the members of a JSON object. */
void train_opts_put(const TrainOpts *o, Buf *json);
/* The same for the library, over these data. */
bool train_how(const TrainOpts *o, const OptList *data, LlmwsTrainOptions *how, Err *e);

/* Prints what a training would reserve. Where that is more than `gpu_mem`, a size in words, or without it more than
 * what is free: ERR_FIT, and what would make it fit is printed too. */
bool train_plan_show(const Ui *ui, LlmwsModel *m, const LlmwsTrainOptions *how, const char *gpu_mem, Err *e);

/* The same check for a training that shall begin: prints nothing where it fits, else to stderr, with --json to stdout,
 * what would help. */
bool train_plan_check(const Ui *ui, LlmwsModel *m, const LlmwsTrainOptions *how, Err *e);

#endif
