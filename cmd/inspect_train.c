/* llmws inspect --estimate with options of train: what that training would reserve. */
#include "cmd/inspect.h"
#include "cmd/training.h"

typedef struct EstimateOpts {
    TrainOpts train; /* RunOpts stand first in it */
    bool estimate;
} EstimateOpts;

static const OptRow rows[] = {
    {.name = "estimate", .kind = OPT_FLAG, .at = offsetof(EstimateOpts, estimate), .help = "the memory of a training"},
};
static const OptTable opts_estimate = {"Estimate", rows, COUNT_OF(rows)};
static const OptTable *const tables[] = {&opts_estimate, NULL};

/* A dry run without data: a new model has the vocabulary that its settings or --train-tokenizer say. */
static bool estimate(Training *t, Err *e) {
    TrainOpts *o = &t->o;
    const OptList no_data = {0};
    const char *model;
    if (o->resume || o->preview != OPT_UNSET)
        return err_set(e, ERR_USAGE, "--%s looks into a run or its data, which --estimate has not; use llmws train",
                       o->resume ? "resume" : "preview");
    if (o->run.args.n) {
        TRY(inspect_path(&o->run, &model, e));
        o->run.model = model;
    }
    o->dry_run = true;
    TRY(train_opts_resolve(o, NULL, &t->arena, e) && base_resolve(t, e) && train_how(o, &no_data, &t->how, e) &&
        base_open(t, e));
    return train_plan_show(&t->ui, t->model, &t->how, o->gpu_mem, e);
}

static bool run(const void *opts, Err *e) {
    const EstimateOpts *o = opts;
    Training t = {.o = o->train, .ui = ui_of(&o->train.run)};
    if (!o->estimate)
        return err_set(e, ERR_USAGE, "--%s is an option of train; here it goes with --estimate",
                       opt_given(train_tables, inspect_tables, o));
    bool ok = estimate(&t, e);
    llmws_model_close(t.model);
    arena_release(&t.arena);
    return ok;
}

const Cmd inspect_estimate = {.name = "inspect",
                              .tables = tables,
                              .more = train_tables,
                              .opts_size = sizeof(EstimateOpts),
                              .max_args = 1,
                              .run = run};
