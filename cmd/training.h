/* A training while it runs: what the parts of the train command share beside its options. */
#ifndef CMD_TRAINING_H
#define CMD_TRAINING_H

#include "cmd/train.h"
#include "cmd/train_run.h"

typedef struct Training {
    TrainOpts o;
    Ui ui;
    /* the model that a run begins with, of a new one "new FAMILY"; with an adapter it goes on with it */
    const char *base;
    char print[17]; /* its fingerprint as run.json has it, "": none is known */
    OptList data;
    LlmwsTrainOptions how;
    LlmwsModel *model;
    LlmwsTrain *train;
    LlmwsPlan plan;
    Run run;
    int64_t start, saved;                /* steps: where this process began, the last checkpoint */
    int64_t start_ns, logged_ns, tokens; /* since the last event */
    double last_loss;
    LlmwsTrainSamples seen;
    Buf line;
    Progress progress;
    Arena arena;
} Training;

/* ---- train_events.c: a line of events.jsonl, and of stdout with --json ---- */

bool tell_started(Training *t, Err *e);
bool tell_progress(Training *t, const LlmwsTrainStep *s, Err *e);
bool tell_eval(Training *t, const LlmwsTrainEval *v, double seconds, Err *e);
bool tell_saved(Training *t, int64_t step, Err *e);
bool tell_stopped(Training *t, const char *why, Err *e);
bool tell_done(Training *t, Err *e);

/* ---- train_json.c ---- */

/* Writes run.json, which makes the directory a run. */
bool run_json_write(Training *t, Err *e);
/* What run.json says, over what the command line does not; what both say must be the same. */
bool run_json_read(Training *t, Err *e);

/* ---- train_base.c ---- */

/* What the run begins with, by name: the model of -m or $LLMWS_MODEL, or a new one. */
bool base_resolve(Training *t, Err *e);
/* Opens it as t->model, a new one with weights that are all zero. */
bool base_open(Training *t, Err *e);
/* Writes it as a directory of f32 weights. */
bool base_write(Training *t, const char *dir, Err *e);

/* ---- train_loop.c ---- */

/* Opens what is trained, at step 0 or where the run's last checkpoint is. */
bool training_begin(Training *t, Err *e);
bool training_go_on(Training *t, Err *e);
/* All updates that are left, their checkpoints and events. */
bool training_run(Training *t, Err *e);

#endif
