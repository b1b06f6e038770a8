#include "core/train.h"

#include <math.h>
#include <stdlib.h>

#include "core/rng.h"
#include "core/train_graph.h"
#include "core/weights_read.h"

enum { HEAD_TOKENS = 256 };

bool train_prepare(Trainer *t, const Model *m, const TrainSpec *spec, Backend *b, Plan *plan, Err *e) {
    *t = (Trainer){.m = m, .spec = *spec};
    if (t->spec.head_tokens <= 0) t->spec.head_tokens = HEAD_TOKENS;
    if (t->spec.longest <= 0) t->spec.longest = t->spec.tokens;
    if (train_graph(t, e) && plan_make(plan, &t->g, b, e)) return true;
    train_close(t);
    return false;
}

static void load_weight(const Weight *w, float *dst) {
    int64_t width = w->t.ne[w->t.ndim - 1];
    for (int64_t r = 0; r < tensor_rows(&w->t); r++)
        dtype_info[w->t.dtype].decode(tensor_row(&w->t, r), dst + r * width, width);
}

/* Weights begin as the model has them, decoded to f32; the file's pages are not read again. */
static void load_params(Trainer *t) {
    for (size_t i = 0; i < t->n_params; i++) {
        const char *name = t->params[i].name;
        float *dst = exec_data(&t->x, t->params[i].weight);
        if (t->spec.lora)
            lora_init(t->spec.lora, name, t->spec.seed, dst);
        else
            load_weight(model_weight(t->m, name), dst);
    }
    if (!t->spec.lora) weights_drop(t->m);
}

bool train_reserve(Trainer *t, Plan *plan, Backend *b, Err *e) {
    const size_t n = (size_t)t->spec.tokens, half = (size_t)MAX(t->m->cfg.rope.dims / 2, 1);
    t->index = mem_alloc(n, sizeof *t->index);
    t->reach = mem_alloc(n, sizeof *t->reach);
    t->first_row = mem_alloc(n, sizeof *t->first_row);
    for (int i = 0; i < 2; i++) t->freq[i] = mem_alloc(half, sizeof *t->freq[i]);
    t->freq_local = mem_alloc((size_t)MAX(t->m->cfg.local.dims / 2, 1), sizeof *t->freq_local);
    RopeConfig near = rope_for(&t->m->cfg.rope, 1), far = rope_for(&t->m->cfg.rope, INT64_MAX);
    if (t->io.rope >= 0) rope_frequencies(&near, t->freq[0]), rope_frequencies(&far, t->freq[1]);
    if (t->io.rope_local >= 0) rope_frequencies(&t->m->cfg.local, t->freq_local);
    t->step = (Step){.index = t->index, .reach = t->reach, .first_row = t->first_row};
    LoraLeaves leaves = {.m = t->m};
    if (!exec_open(&t->x, plan, b, (WeightSource){lora_find, &leaves}, &t->step, e)) return false;
    load_params(t);
    return true;
}

bool train_open(Trainer *t, const Model *m, const TrainSpec *spec, Backend *b, Err *e) {
    Plan plan;
    TRY(train_prepare(t, m, spec, b, &plan, e));
    if (train_reserve(t, &plan, b, e)) return true;
    train_close(t);
    return false;
}

void train_close(Trainer *t) {
    if (t->x.b) exec_close(&t->x);
    graph_release(&t->g);
    void *blocks[] = {t->params, t->index, t->reach, t->first_row, t->freq[0], t->freq[1], t->freq_local};
    for (size_t i = 0; i < COUNT_OF(blocks); i++) free(blocks[i]);
    *t = (Trainer){0};
}

/* ---- a micro-step ---- */

static bool check(const Trainer *t, const TrainBatch *b, Err *e) {
    if (b->n < 1 || b->n > t->spec.tokens)
        return err_set(e, ERR_USAGE, "training: a step of %lld tokens, planned were %lld", (long long)b->n,
                       (long long)t->spec.tokens);
    const int64_t vocab = t->m->cfg.vocab;
    for (int64_t i = 0; i < b->n; i++) {
        bool follows = b->index[i] == 0 || (i > 0 && b->index[i] == b->index[i - 1] + 1);
        if (b->ids[i] < 0 || b->ids[i] >= vocab || b->labels[i] < -100 || b->labels[i] >= vocab || !follows)
            return err_set(e, ERR_USAGE,
                           "training: token %lld: id %d, label %d, index %d: outside of %lld, or no sequence",
                           (long long)i, b->ids[i], b->labels[i], b->index[i], (long long)vocab);
        if (b->index[i] >= t->spec.longest)
            return err_set(e, ERR_USAGE, "training: a sequence of more than %lld tokens, which is what was planned",
                           (long long)t->spec.longest);
        if (t->io.positions >= 0 && b->index[i] >= t->m->cfg.ctx)
            return err_set(e, ERR_FIT,
                           "training: a sequence of more than %lld tokens, the model has no further positions",
                           (long long)t->m->cfg.ctx);
    }
    return true;
}

/* What is missing of a whole step is filled with sequences of one token. */
static void put_tokens(Trainer *t, const TrainBatch *b) {
    int32_t *ids = exec_data(&t->x, t->io.ids);
    t->step.n = t->spec.tokens;
    for (int64_t i = 0; i < t->step.n; i++) {
        ids[i] = i < b->n ? b->ids[i] : 0;
        t->index[i] = i < b->n ? b->index[i] : 0;
        t->first_row[i] = t->index[i] ? t->first_row[i - 1] : (int32_t)i;
    }
    if (t->io.positions >= 0) memcpy(exec_data(&t->x, t->io.positions), t->index, (size_t)t->step.n * sizeof *t->index);
}

/* What falls out depends on the seed, the update and the micro-step alone. */
static uint64_t draw_key(uint64_t seed, uint64_t stream, uint64_t index) {
    return MAX(rng_u64(seed, stream, index, RNG_DROPOUT), 1);
}

/* 0: nothing falls out. */
static void put_draw(Trainer *t, uint64_t key) {
    if (t->draw >= 0) memcpy(exec_data(&t->x, t->draw), (uint32_t[]){(uint32_t)key, (uint32_t)(key >> 32)}, sizeof key);
}

/* Sequence by sequence: those beyond the original context may have other frequencies. */
static void put_rope(Trainer *t) {
    const int64_t half = t->m->cfg.rope.dims / 2, n = t->step.n;
    const float scale = rope_attention(&t->m->cfg.rope);
    const float *far = rope_for(&t->m->cfg.rope, INT64_MAX).factors;
    float *table = t->io.rope >= 0 ? exec_data(&t->x, t->io.rope) : NULL;
    for (int64_t i = 0, end; i < n && table; i = end) {
        for (end = i + 1; end < n && t->index[end];) end++;
        const bool beyond = rope_for(&t->m->cfg.rope, end - i).factors == far;
        rope_table(t->freq[beyond], half, scale, t->index + i, end - i, table + i * half * 2);
    }
    if (t->io.rope_local >= 0)
        rope_table(t->freq_local, t->m->cfg.local.dims / 2, 1, t->index, n, exec_data(&t->x, t->io.rope_local));
}

/* The next rows with a label from *at on, as many as meet the head at once; false: none are left. */
static bool next_rows(Trainer *t, const TrainBatch *b, int64_t *at) {
    const int64_t most = t->g.nodes[t->head.rows].ne[0];
    int32_t *rows = exec_data(&t->x, t->head.rows), *labels = exec_data(&t->x, t->head.labels);
    int64_t n = 0;
    for (; *at < b->n && n < most; ++*at)
        if (b->labels[*at] >= 0) rows[n] = (int32_t)*at, labels[n++] = b->labels[*at];
    const bool some = n > 0;
    for (; n < most; n++) rows[n] = 0, labels[n] = -100;
    return some;
}

static double sum_losses(const Trainer *t) {
    const float *losses = exec_data(&t->x, t->head.loss);
    double sum = 0;
    for (int64_t k = 0; k < t->g.nodes[t->head.loss].ne[0]; k++) sum += (double)losses[k];
    return sum;
}

/* Body and head of a batch that is in order, the head up to node `end`; returns the sum of the losses. Each run of the
 * head draws by a key of its own, as its values are others. */
static double run_to_head(Trainer *t, const TrainBatch *batch, float weight, uint64_t key, int end) {
    const NodeRange head = t->g.repeat;
    double sum = 0;
    put_tokens(t, batch);
    put_rope(t);
    put_draw(t, key);
    for (int64_t i = 0, n = t->g.nodes[t->head.weights].ne[0]; i < n; i++)
        ((float *)exec_data(&t->x, t->head.weights))[i] = weight;
    exec_bind(&t->x, t->step.n, t->step.n);
    exec_run_nodes(&t->x, 0, head.from);
    for (int64_t at = 0; next_rows(t, batch, &at); sum += sum_losses(t)) {
        put_draw(t, key ? draw_key(key, (uint64_t)at, 0) : 0);
        exec_run_nodes(&t->x, head.from, end);
    }
    put_draw(t, key);
    return sum;
}

bool train_micro(Trainer *t, const TrainBatch *batch, double weight, double *loss, Err *e) {
    TRY(check(t, batch, e));
    const NodeRange head = t->g.repeat;
    const uint64_t key = draw_key(t->spec.seed, (uint64_t)t->updates, (uint64_t)t->micros++);
    *loss = run_to_head(t, batch, (float)weight, key, head.to);
    exec_run_nodes(&t->x, head.to, t->step_end);
    return true;
}

bool train_loss(Trainer *t, const TrainBatch *batch, double *loss, Err *e) {
    TRY(check(t, batch, e));
    *loss = run_to_head(t, batch, 0, 0, t->head.loss + 1);
    return true;
}

double train_norm(Trainer *t) {
    exec_run_nodes(&t->x, t->step_end, t->norm_end);
    return sqrt((double)*(const float *)exec_data(&t->x, t->norm2));
}

void train_update(Trainer *t, const Hyper *how) {
    double at = (double)++t->updates;
    t->micros = 0;
    for (int i = 0; i < GROUP_COUNT; i++) {
        float *h = exec_data(&t->x, t->hyper[i]);
        if (!h) continue; /* no weight is of this group */
        h[0] = (float)(i & GROUP_BESIDE ? how->adamw_lr : how->lr);
        h[1] = (float)how->beta1, h[2] = (float)how->beta2, h[3] = (float)how->eps;
        h[4] = i & GROUP_NO_DECAY ? 0 : (float)how->weight_decay;
        h[5] = (float)(1 - pow((double)h[1], at)), h[6] = (float)(1 - pow((double)h[2], at)); /* of the rounded betas */
        h[7] = (float)how->momentum;
    }
    *(float *)exec_data(&t->x, t->clip) = (float)how->clip;
    exec_run_nodes(&t->x, t->norm_end, t->g.n);
}

void train_clear(Trainer *t) {
    t->micros = 0;
    exec_run_nodes(&t->x, t->update_end, t->g.n);
}

/* ---- what it holds ---- */

const TrainParam *train_param(const Trainer *t, const char *name) {
    for (size_t i = 0; i < t->n_params; i++)
        if (strcmp(t->params[i].name, name) == 0) return &t->params[i];
    return NULL;
}

int64_t train_count(const Trainer *t, const TrainParam *p) { return tensor_count(&t->x.values[p->weight]); }
