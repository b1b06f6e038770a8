/* llmws bench --train: how fast a model learns. Whole updates over rows of random ids that are all labels: the forward
 * pass, its gradients, their norm, AdamW. Reading data and saving are left out. */
#include "cmd/bench.h"

#include <inttypes.h>
#include <stdlib.h>

#include "backends/cpu/cpu.h"
#include "core/rng.h"
#include "core/train.h"
#include "formats/formats.h"

typedef struct Training {
    const TrainBench *o;
    Model m;
    Backend *b;
    Trainer t;
    int32_t *ids, *labels, *index; /* [rows * length] */
} Training;

static void make_batch(Training *x) {
    const int64_t n = x->o->length, tokens = n * x->o->rows;
    int32_t **lists[] = {&x->ids, &x->labels, &x->index};
    for (size_t i = 0; i < COUNT_OF(lists); i++) *lists[i] = mem_alloc((size_t)tokens, sizeof **lists[i]);
    for (int64_t i = 0; i < tokens; i++) {
        x->ids[i] = (int32_t)(rng_u64(0, 0, (uint64_t)i, RNG_SAMPLE) % (uint64_t)x->m.cfg.vocab);
        x->index[i] = (int32_t)(i % n);
    }
    for (int64_t i = 0; i < tokens; i++) x->labels[i] = (i + 1) % n ? x->ids[i + 1] : -100;
}

static void describe(const Training *x, const Plan *p, LlmwsPlan *out) {
    *out = (LlmwsPlan){.ctx = x->o->length,
                       .chunk = x->o->length * x->o->rows,
                       .parallel = x->o->rows,
                       .threads = x->b->threads,
                       .isa = x->b->isa,
                       .compute = x->o->precision == PRECISION_BF16 ? "bf16" : "fp32"};
    for (int c = CLASS_STATE; c < CLASS_COUNT; c++) {
        out->rows[out->n++] = (LlmwsPlanRow){plan_class_name[c], x->b->name, false, p->bytes[c]};
        out->total_bytes += p->bytes[c];
    }
}

static bool check_fits(const Training *x, const LlmwsPlan *p, Err *e) {
    const int64_t need = p->total_bytes, free_now = (int64_t)x->b->free_bytes(x->b);
    return need <= free_now || err_set(e, ERR_FIT,
                                       "the training does not fit: %.1f MiB are needed, %.1f MiB are free; give "
                                       "--grad-checkpoint, a smaller --batch or a shorter --prompt",
                                       (double)need / 0x1p20, (double)free_now / 0x1p20);
}

static bool training_open(Training *x, LlmwsPlan *out, Err *e) {
    const LlmwsSessionOptions so = session_options(x->o->run);
    TensorFile file = {0};
    Plan plan;
    TRY(tensor_file_open(x->o->path, &file, e) && model_init(&x->m, &file, (Log){0}, e));
    TRY(cpu_backend_open(&(BackendOptions){.threads = so.threads, .isa = so.isa}, &x->b, e));
    const TrainSpec spec = {.tokens = x->o->rows * x->o->length,
                            .checkpoint = x->o->checkpoint,
                            .precision = x->o->precision,
                            .optimizer = OPTIMIZER_ADAMW};
    TRY(train_prepare(&x->t, &x->m, &spec, x->b, &plan, e));
    describe(x, &plan, out);
    if (!check_fits(x, out, e)) {
        plan_release(&plan);
        return false;
    }
    make_batch(x);
    return train_reserve(&x->t, &plan, x->b, e);
}

static void training_close(Training *x) {
    if (x->t.m) train_close(&x->t);
    if (x->b) x->b->close(x->b);
    model_release(&x->m);
    void *blocks[] = {x->ids, x->labels, x->index};
    for (size_t i = 0; i < COUNT_OF(blocks); i++) free(blocks[i]);
}

static bool update(Training *x, Err *e) {
    const int64_t n = x->o->rows * x->o->length;
    const Hyper how = {.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01, .clip = 1};
    double loss;
    TRY(train_micro(&x->t, &(TrainBatch){x->ids, x->labels, x->index, n}, 1 / (double)n, &loss, e));
    train_norm(&x->t);
    train_update(&x->t, &how);
    return true;
}

static bool measure(Training *x, TrainBenchResult *out, Err *e) {
    TRY(update(x, e));
    for (int64_t i = 0; i < x->o->repeat; i++) {
        int64_t start = now_ns();
        TRY(update(x, e));
        out->rates[i] = (double)(x->o->rows * x->o->length) * 1e9 / (double)MAX(now_ns() - start, 1);
    }
    return true;
}

bool bench_train(const TrainBench *o, TrainBenchResult *out, Err *e) {
    Training x = {.o = o};
    bool ok = training_open(&x, &out->plan, e) && measure(&x, out, e);
    if (ok) plan_rows_note(o->ui, &out->plan);
    training_close(&x);
    return ok;
}
