/* llmws inspect --estimate with options of train: what that training would reserve. */
#include "cmd/inspect.h"
#include "cmd/train.h"

typedef struct EstimateOpts {
    TrainOpts train; /* RunOpts stand first in it */
    bool estimate;
} EstimateOpts;

static const OptRow rows[] = {
    {.name = "estimate", .kind = OPT_FLAG, .at = offsetof(EstimateOpts, estimate), .help = "the memory of a training"},
};
static const OptTable opts_estimate = {"Estimate", rows, COUNT_OF(rows)};
static const OptTable *const tables[] = {&opts_estimate, NULL};

static bool estimate(TrainOpts *o, Arena *a, Err *e) {
    const OptList no_data = {0};
    const Ui ui = ui_of(&o->run);
    const char *path;
    LlmwsTrainOptions how;
    LlmwsModel *m;
    TRY(inspect_path(&o->run, &path, e) && train_opts_resolve(o, NULL, a, e) && train_how(o, &no_data, &how, e) &&
        model_open(path, &ui, &m, e));
    bool ok = train_plan_show(&ui, m, &how, o->gpu_mem, e);
    llmws_model_close(m);
    return ok;
}

static bool run(const void *opts, Err *e) {
    EstimateOpts o = *(const EstimateOpts *)opts;
    Arena a = {0};
    if (!o.estimate)
        return err_set(e, ERR_USAGE, "--%s is an option of train; here it goes with --estimate",
                       opt_given(train_tables, inspect_tables, &o));
    bool ok = estimate(&o.train, &a, e);
    arena_release(&a);
    return ok;
}

const Cmd inspect_estimate = {.name = "inspect",
                              .tables = tables,
                              .more = train_tables,
                              .opts_size = sizeof(EstimateOpts),
                              .max_args = 1,
                              .run = run};
