/* What a training reserves: the classes of its plan, and all that stands beside them. */
#include "core/llmws_save.h"
#include "core/llmws_train.h"

static void add_row(LlmwsPlan *plan, const char *name, int64_t bytes) {
    plan_add_row(plan, (LlmwsPlanRow){name, "cpu", false, bytes});
}

/* Nodes and what is known of each; names. */
static int64_t graph_bytes(const LlmwsTrain *t, const Plan *p) {
    const Graph *g = &t->t.g;
    size_t node = sizeof(PlanSlot) + sizeof(Kernel) + sizeof(Tensor), refs = 0;
    for (int i = 0; i < g->n; i++)
        for (int d = 0; d < g->nodes[i].ndim; d++) refs += g->nodes[i].sym[d] != SYM_NONE;
    refs = refs * 2 + (size_t)p->n_run * 3; /* about one symbol an operand */
    return (int64_t)((size_t)g->cap * sizeof(Node) + (size_t)g->n * node + (size_t)p->n_run * sizeof(ExecOp) +
                     refs * sizeof(SymRef) + g->arena.bytes);
}

static bool evaluates(const LlmwsTrainOptions *o) { return o->eval || o->eval_part > 0; }

/* Ids, labels and places: of an update as it is gathered, of a micro-step as it runs, of an evaluation. */
static int64_t batch_bytes(const LlmwsTrainOptions *o) {
    return (o->grad_accum + 1 + evaluates(o)) * o->batch_size * o->seq_len * 3 * (int64_t)sizeof(int32_t);
}

/* What is learned from, and beside it what is evaluated. */
static int64_t data_bytes(const LlmwsTrainOptions *o) {
    const DataSpec data = {.seq_len = o->seq_len}, eval = {.seq_len = o->seq_len, .ahead = -1};
    return dataset_bytes(&data, o->batch_size) + (evaluates(o) ? dataset_bytes(&eval, o->batch_size) : 0);
}

/* The weights that are read where the file has them: none where all are trained, which are copied. */
static void add_weights(LlmwsPlan *plan, const LlmwsTrain *t, int64_t bytes) {
    const Model *m = &t->m->m;
    if (bytes > m->turned)
        plan_add_row(plan, (LlmwsPlanRow){"base model", t->b->name, m->file.mapped_bytes > 0, bytes - m->turned});
    if (m->turned) plan_add_row(plan, (LlmwsPlanRow){"weights turned", t->b->name, false, m->turned});
}

void llmws_train_plan(const LlmwsTrain *t, LlmwsPlan *plan) {
    const Plan *p = t->reserved ? &t->t.x.plan : &t->plan;
    const LlmwsTrainOptions *o = &t->o;
    *plan = (LlmwsPlan){.ctx = o->seq_len,
                        .chunk = o->batch_size * o->seq_len,
                        .parallel = o->batch_size,
                        .threads = t->b->threads,
                        .isa = t->b->isa,
                        .compute = t->t.spec.precision == PRECISION_BF16 ? "bf16" : "fp32"};
    add_weights(plan, t, p->bytes[CLASS_WEIGHTS]);
    for (int c = CLASS_STATE; c < CLASS_COUNT; c++)
        if (p->bytes[c])
            plan_add_row(plan, (LlmwsPlanRow){c == CLASS_STATE ? "weights" : plan_class_name[c], t->b->name, false,
                                              p->bytes[c]});
    /* the program's tables from here on */
    add_row(plan, "batches", batch_bytes(o));
    add_row(plan, "data", data_bytes(o));
    if (!o->lora.rank) add_row(plan, "checkpoint", model_write_bytes(&t->m->m));
    add_row(plan, "graph", graph_bytes(t, p));
    plan_add_tables(plan, t->m);
}

bool train_check_fits(const LlmwsTrain *t, Err *e) {
    LlmwsPlan plan;
    llmws_train_plan(t, &plan);
    int64_t need = plan.total_bytes - t->m->program_bytes, room = (int64_t)t->b->free_bytes(t->b);
    return need <= room || err_set(e, ERR_FIT,
                                   "the training does not fit: %.1f MiB are missing of %.1f MiB; --dry-run says what "
                                   "would make it fit",
                                   (double)(need - room) / 0x1p20, (double)need / 0x1p20);
}
