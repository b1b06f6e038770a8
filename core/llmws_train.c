/* Trainings: options to a specification, the plan, updates. */
#include "core/llmws_train.h"

#include <math.h>
#include <stdlib.h>

/* ---- options ---- */

static bool whole_in(int64_t x, int64_t lo, int64_t hi, const char *what, Err *e) {
    return (x >= lo && x <= hi) || err_set(e, ERR_USAGE, "training: %s %lld is out of range", what, (long long)x);
}

static bool number_in(double x, double lo, double hi, const char *what, Err *e) {
    return (x >= lo && x <= hi) || err_set(e, ERR_USAGE, "training: %s %g is out of range", what, x);
}

static bool check_options(const LlmwsTrainOptions *o, Err *e) {
    int64_t tokens;
    TRY(whole_in(o->batch_size, 1, 1 << 20, "batch size", e) && whole_in(o->seq_len, 2, 1 << 24, "row length", e) &&
        whole_in(o->grad_accum, 1, 1 << 20, "accumulation", e) &&
        whole_in(o->steps, 0, INT64_MAX / 4, "step count", e) && whole_in(o->warmup, 0, INT64_MAX / 4, "warm-up", e));
    TRY(mul_i64(o->batch_size, o->seq_len, &tokens) &&
        whole_in(tokens, 2, INT32_MAX / 2, "tokens of a micro-step:", e));
    TRY(number_in(o->lr, 0, 1e6, "learning rate", e) && number_in(o->beta1, 0, 1 - 0x1p-24, "beta1", e) &&
        number_in(o->beta2, 0, 1 - 0x1p-24, "beta2", e) && number_in(o->eps, 0, 1, "eps", e) &&
        number_in(o->momentum, 0, 1 - 0x1p-24, "momentum", e) &&
        number_in(o->adamw_lr, 0, 1e6, "learning rate of AdamW", e) &&
        number_in(o->weight_decay, 0, 1e6, "weight decay", e) && number_in(o->clip, 0, 1e30, "clipping norm", e) &&
        number_in(o->dropout, 0, 1 - 0x1p-16, "dropout", e));
    TRY(number_in(o->eval_part, 0, 1 - 0x1p-24, "part of the data to evaluate:", e));
    return o->steps || number_in(o->epochs, 1e-9, 1e9, "number of epochs", e);
}

/* Vectors are norms and biases. */
static bool decays(void *ctx, const char *name, int ndim) {
    const char *none = ((const LlmwsTrainOptions *)ctx)->no_decay;
    if (!none) return ndim > 1;
    return strcmp(none, "none") == 0 || !name_match(none, name);
}

static bool read_lora(LlmwsTrain *t, TrainSpec *spec, Err *e) {
    const LlmwsLora *l = &t->o.lora;
    if (!l->rank) return true;
    t->lora_spec =
        (LoraSpec){.rank = l->rank, .alpha = l->alpha, .root = l->root, .targets = l->targets, .dropout = l->dropout};
    spec->lora = &t->lora;
    return lora_new(&t->lora, &t->m->m, &t->lora_spec, e);
}

static bool read_options(LlmwsTrain *t, TrainSpec *spec, Err *e) {
    const LlmwsTrainOptions *o = &t->o;
    TRY(check_options(o, e));
    *spec = (TrainSpec){.tokens = o->batch_size * o->seq_len,
                        .longest = o->seq_len,
                        .dropout = o->dropout,
                        .checkpoint = o->grad_checkpoint,
                        .decays = decays,
                        .decays_ctx = &t->o};
    if (o->precision && strcmp(o->precision, "bf16") == 0)
        spec->precision = PRECISION_BF16;
    else if (o->precision && strcmp(o->precision, "fp32"))
        return err_set(e, ERR_USAGE, "precision '%s' is not supported; supported: fp32, bf16", o->precision);
    if (o->attention && strcmp(o->attention, "manual") == 0)
        spec->attention = ATTENTION_MANUAL;
    else if (o->attention && strcmp(o->attention, "sdpa"))
        return err_set(e, ERR_USAGE, "attention '%s' is not known; known: sdpa, manual", o->attention);
    if (!optimizer_from_name(o->optimizer ? o->optimizer : "adamw", o->momentum > 0, &spec->optimizer))
        return err_set(e, ERR_USAGE, "optimizer '%s' is not known; known: adamw, sgd, muon", o->optimizer);
    if (o->adjust_lr && !adjust_lr_from_name(o->adjust_lr, &spec->adjust_lr))
        return err_set(e, ERR_USAGE,
                       "adjustment '%s' of muon's learning rate is not known; known: original, match_rms_adamw",
                       o->adjust_lr);
    t->schedule = (Schedule){.lr = o->lr, .updates = o->steps, .warmup = o->warmup};
    TRY(read_lora(t, spec, e));
    if (o->lr_schedule && !schedule_from_name(o->lr_schedule, &t->schedule.kind))
        return err_set(e, ERR_USAGE, "schedule '%s' is not known; known: constant, linear, cosine, wsd",
                       o->lr_schedule);
    return true;
}

/* ---- opening ---- */

static LlmwsTrain *train_alloc(LlmwsModel *m, const LlmwsTrainOptions *o) {
    LlmwsTrain *t = mem_alloc(1, sizeof *t);
    t->m = m;
    t->o = *o;
    t->evaluated = t->best = -1;
    pthread_mutex_init(&t->texts, NULL);
    return t;
}

/* Everything but memory and data. */
static LlmwsTrain *train_new(LlmwsModel *m, const LlmwsTrainOptions *o, Err *e) {
    TrainSpec spec;
    LlmwsTrain *t = train_alloc(m, o);
    if (read_options(t, &spec, e) && llmws_backend_open(o->backend, o->threads, o->isa, &t->b, e) &&
        train_prepare(&t->t, &m->m, &spec, t->b, &t->plan, e))
        return t;
    llmws_train_close(t);
    return NULL;
}

bool llmws_train_estimate(LlmwsModel *m, const LlmwsTrainOptions *o, LlmwsPlan *plan, LlmwsErr *e) {
    Err none;
    LlmwsTrain *t = train_new(m, o, e);
    if (!t) return false;
    llmws_model_tokenizer(m, &none); /* its tables are part of what a training reserves */
    llmws_train_plan(t, plan);
    llmws_train_close(t);
    return true;
}

/* Told once: later epochs pass over the same lines. */
static void tell_bad(void *ctx, const char *message) {
    const LlmwsTrain *t = ctx;
    DataStats s;
    dataset_stats(t->data, &s);
    if (t->opened && s.epoch == 0) log_put(&t->m->m.log, LOG_WARN, "%s; the line is left out", message);
}

static bool open_data(LlmwsTrain *t, Err *e) {
    const LlmwsTrainOptions *o = &t->o;
    LlmwsTokenizer *tok = llmws_model_tokenizer(t->m, e);
    if (!tok) return false;
    int32_t eos = tok->spec.eos >= 0 ? tok->spec.eos : t->m->n_ends ? t->m->ends[0] : -1;
    DataSpec spec = {.paths = o->data,
                     .n_paths = o->n_data,
                     .seq_len = o->seq_len,
                     .no_pack = o->no_pack,
                     .seed = o->seed,
                     .train_on_prompt = o->train_on_prompt,
                     .skip_bad = o->skip_bad,
                     .on_bad = tell_bad,
                     .on_bad_ctx = t,
                     .no_eos = eos < 0,
                     .eos = eos,
                     .vocab = (int32_t)t->m->m.cfg.vocab,
                     .valid_part = o->eval ? 0 : o->eval_part};
    DataTexts texts = train_texts(t);
    TRY(dataset_open(&spec, &texts, &t->data, e));
    if (!o->eval && !(o->eval_part > 0)) return true;
    spec.no_shuffle = true;
    spec.ahead = -1; /* it is read between updates alone */
    if (o->eval) spec.paths = &o->eval, spec.n_paths = 1;
    spec.want_valid = !o->eval;
    return dataset_open(&spec, &texts, &t->eval, e);
}

bool llmws_train_preview(LlmwsModel *m, const LlmwsTrainOptions *o, int64_t n, bool json, char **text, LlmwsErr *e) {
    Buf b = {0};
    LlmwsTrain *t = train_alloc(m, o);
    bool ok = check_options(o, e) && open_data(t, e) && dataset_preview(t->data, n, json, &b, e);
    if (ok) buf_put(&b, "", 0);
    *text = ok ? b.s : NULL;
    if (!ok) buf_release(&b);
    llmws_train_close(t);
    return ok;
}

/* That there is something to learn and to evaluate shows now, not after hours. */
static bool try_batch(Dataset *d, int64_t batch, Err *e) {
    DataBatch b;
    TRY(dataset_next(d, batch, &b, e));
    dataset_rewind(d);
    return true;
}

/* How many updates the epochs are: of rows as the first one has them. */
static bool count_steps(LlmwsTrain *t, Err *e) {
    DataBatch b;
    int64_t micro = 0;
    do {
        TRY(dataset_next(t->data, t->o.batch_size, &b, e));
        micro += b.n > 0;
    } while (b.n);
    dataset_rewind(t->data);
    double steps = ceil(t->o.epochs * (double)micro / (double)t->o.grad_accum);
    t->schedule.updates = t->o.steps = MAX((int64_t)steps, 1);
    return true;
}

static bool open_rest(LlmwsTrain *t, Err *e) {
    TRY(train_check_fits(t, e) && open_data(t, e));
    TRY(!t->eval || try_batch(t->eval, t->o.batch_size, e) || err_prefix(e, "evaluation"));
    TRY(t->o.steps ? try_batch(t->data, t->o.batch_size, e) : count_steps(t, e));
    t->opened = true;
    Gathered *n = &t->now;
    const size_t tokens = (size_t)(t->o.grad_accum * t->o.batch_size * t->o.seq_len);
    int32_t **lists[] = {&n->ids, &n->labels, &n->index};
    for (size_t i = 0; i < COUNT_OF(lists); i++) *lists[i] = mem_alloc(tokens, sizeof **lists[i]);
    n->n = mem_alloc((size_t)t->o.grad_accum, sizeof *n->n);
    t->reserved = true;
    return train_reserve(&t->t, &t->plan, t->b, e);
}

LlmwsTrain *llmws_train_open(LlmwsModel *m, const LlmwsTrainOptions *o, LlmwsErr *e) {
    LlmwsTrain *t = train_new(m, o, e);
    if (!t || open_rest(t, e)) return t;
    llmws_train_close(t);
    return NULL;
}

void llmws_train_close(LlmwsTrain *t) {
    if (!t) return;
    if (!t->reserved) plan_release(&t->plan);
    dataset_close(t->data);
    dataset_close(t->eval);
    pthread_mutex_destroy(&t->texts);
    if (t->t.m) train_close(&t->t);
    lora_release(&t->lora);
    if (t->b) t->b->close(t->b);
    void *blocks[] = {t->now.ids, t->now.labels, t->now.index, t->now.n, t->now.docs};
    for (size_t i = 0; i < COUNT_OF(blocks); i++) free(blocks[i]);
    buf_release(&t->beside);
    token_list_release(&t->tokens);
    free(t);
}

int64_t llmws_train_steps(const LlmwsTrain *t) { return t->schedule.updates; }
int64_t llmws_train_at(const LlmwsTrain *t) { return t->t.updates; }

int64_t llmws_train_params(const LlmwsTrain *t) {
    int64_t n = 0;
    for (size_t i = 0; i < t->t.n_params; i++) n += train_count(&t->t, &t->t.params[i]);
    return n;
}

/* ---- an update ---- */

/* Past the end of an epoch into the next one. */
static bool next_batch(LlmwsTrain *t, DataBatch *b, Err *e) {
    do TRY(dataset_next(t->data, t->o.batch_size, b, e));
    while (!b->n);
    return true;
}

static void keep_docs(Gathered *g, const DataBatch *b) {
    if (g->n_docs + b->n_docs > g->cap) {
        g->cap = (g->n_docs + b->n_docs) * 2;
        g->docs = mem_grow(g->docs, g->cap, sizeof *g->docs);
    }
    if (b->n_docs) memcpy(g->docs + g->n_docs, b->docs, b->n_docs * sizeof *b->docs);
    g->n_docs += b->n_docs;
}

/* All micro-steps first: how many labels there are decides what each of them counts. */
static bool gather(LlmwsTrain *t, Err *e) {
    Gathered *g = &t->now;
    g->n_tokens = g->n_labels = 0;
    g->n_docs = 0;
    for (int64_t k = 0; k < t->o.grad_accum; k++) {
        DataBatch b;
        TRY(next_batch(t, &b, e));
        const size_t bytes = (size_t)b.n * sizeof(int32_t);
        memcpy(g->ids + g->n_tokens, b.ids, bytes);
        memcpy(g->labels + g->n_tokens, b.labels, bytes);
        memcpy(g->index + g->n_tokens, b.index, bytes);
        keep_docs(g, &b);
        g->n[k] = b.n;
        g->n_tokens += b.n;
        g->n_labels += b.n_labels;
    }
    return true;
}

static bool gradients(LlmwsTrain *t, double *loss, Err *e) {
    const Gathered *g = &t->now;
    double part, weight = 1 / (double)MAX(g->n_labels, 1);
    *loss = 0;
    for (int64_t k = 0, at = 0; k < t->o.grad_accum; at += g->n[k++]) {
        TrainBatch b = {g->ids + at, g->labels + at, g->index + at, g->n[k]};
        TRY(train_micro(&t->t, &b, weight, &part, e));
        *loss += part;
    }
    *loss *= weight;
    return true;
}

/* Lines of the update's data, as many as a message holds. */
static bool not_finite(LlmwsTrain *t, const LlmwsTrainStep *s, Err *e) {
    enum { ROOM = 260 };
    Buf where = {0};
    size_t shown = 0;
    for (; shown < t->now.n_docs && where.n < ROOM; shown++) {
        const DataDoc *d = &t->now.docs[shown];
        bool same = shown && strcmp(t->now.docs[shown - 1].path, d->path) == 0;
        if (same && t->now.docs[shown - 1].line == d->line) continue;
        if (!same) buf_printf(&where, shown ? " %.160s:" : "%.160s:", d->path);
        buf_printf(&where, same ? ",%lld" : "%lld", (long long)d->line);
    }
    if (shown < t->now.n_docs) buf_printf(&where, " and %zu more", t->now.n_docs - shown);
    err_set(e, ERR_CHECK, "training stopped at step %lld: loss %g, norm of the gradients %g; its data: %s",
            (long long)s->step, s->loss, s->grad_norm, where.s);
    buf_release(&where);
    train_clear(&t->t);
    return false;
}

static bool update(LlmwsTrain *t, LlmwsTrainStep *out, Err *e) {
    TRY(gather(t, e));
    if (!gradients(t, &out->loss, e)) return train_clear(&t->t), false;
    out->step = t->t.updates + 1;
    out->tokens = t->now.n_tokens;
    out->labels = t->now.n_labels;
    out->lr = schedule_lr(&t->schedule, t->t.updates);
    out->grad_norm = train_norm(&t->t);
    if (!isfinite(out->loss) || !isfinite(out->grad_norm)) return not_finite(t, out, e);
    Schedule beside = t->schedule;
    if (t->o.adamw_lr > 0) beside.lr = t->o.adamw_lr;
    train_update(&t->t, &(Hyper){.lr = out->lr,
                                 .adamw_lr = schedule_lr(&beside, t->t.updates),
                                 .momentum = t->o.momentum,
                                 .beta1 = t->o.beta1,
                                 .beta2 = t->o.beta2,
                                 .eps = t->o.eps,
                                 .weight_decay = t->o.weight_decay,
                                 .clip = t->o.clip});
    return true;
}

bool llmws_train_step(LlmwsTrain *t, LlmwsTrainStep *out, LlmwsErr *e) {
    DataStats stats;
    dataset_mark(t->data);
    if (!update(t, out, e)) return dataset_back(t->data), false;
    dataset_stats(t->data, &stats);
    out->epoch = stats.epoch;
    return true;
}

void llmws_train_samples(const LlmwsTrain *t, LlmwsTrainSamples *out) {
    DataStats s;
    dataset_stats(t->data, &s);
    *out = (LlmwsTrainSamples){.used = s.samples, .truncated = s.truncated, .unlearned = s.unlearned, .bad = s.bad};
}

/* ---- evaluation ---- */

static bool eval_all(LlmwsTrain *t, LlmwsTrainEval *out, bool (*go_on)(void *ctx, int64_t tokens), void *ctx, Err *e) {
    DataBatch b;
    double part, sum = 0;
    for (;;) {
        TRY(dataset_next(t->eval, t->o.batch_size, &b, e));
        if (!b.n) break;
        TRY(train_loss(&t->t, &(TrainBatch){b.ids, b.labels, b.index, b.n}, &part, e));
        sum += part;
        out->tokens += b.n;
        out->labels += b.n_labels;
        if (go_on && !go_on(ctx, out->tokens)) return err_set(e, ERR_INTERRUPT, "interrupted");
    }
    out->loss = sum / (double)MAX(out->labels, 1);
    return isfinite(out->loss) ||
           err_set(e, ERR_CHECK, "the evaluation at step %lld gives the loss %g", (long long)out->step, out->loss);
}

bool llmws_train_eval(LlmwsTrain *t, LlmwsTrainEval *out, bool (*go_on)(void *ctx, int64_t tokens), void *ctx,
                      LlmwsErr *e) {
    *out = (LlmwsTrainEval){.step = t->t.updates};
    if (!t->eval) return err_set(e, ERR_USAGE, "training: there are no data to evaluate");
    dataset_rewind(t->eval); /* the one before may have been interrupted */
    TRY(eval_all(t, out, go_on, ctx, e));
    out->best = t->best < 0 || out->loss < t->best_loss;
    if (out->best) t->best = out->step, t->best_loss = out->loss;
    t->evaluated = out->step;
    return true;
}

int64_t llmws_train_evaluated(const LlmwsTrain *t) { return t->evaluated; }
int64_t llmws_train_best(const LlmwsTrain *t) { return t->best; }
