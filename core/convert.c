#include "core/convert.h"

#include <pthread.h>
#include <stdlib.h>

enum { BLOCK_VALUES = 64 << 10, SLOTS_A_THREAD = 4 };

typedef struct Slot { /* what became of block b, while b % slots is its index */
    char *bytes;
    bool done, failed;
    Err err;
} Slot;

typedef struct Line { /* of blocks: where the next one is */
    size_t tensor;
    int64_t row, block; /* its first row; its number */
} Line;

typedef struct Worker {
    Converter *c;
    float *values; /* [most values of a block] */
    pthread_t thread;
    bool runs;
} Worker;

struct Converter {
    const ConvertTensor *tensors;
    size_t n;
    ConvertSpec spec;
    Worker *workers; /* [threads]; 0 is the caller */
    Slot *slots;
    int64_t n_slots;
    int64_t written, total; /* output bytes */
    /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t work, ready;
    Line next;     /* to be claimed */
    int64_t taken; /* blocks below are written */
    bool quit;
};

/* ---- blocks ---- */

typedef struct Block {
    const ConvertTensor *t;
    int64_t r0, r1, number;
} Block;

static int64_t width_of(const ConvertTensor *t) { return t->from->ne[t->from->ndim - 1]; }
static int64_t rows_of(const ConvertTensor *t) { return export_row_count(t->from); }

/* A turned tensor is read whole for every block of it: larger ones. */
static int64_t block_rows(const ConvertTensor *t) {
    return MIN(MAX(1, (t->from->turned ? 16 : 1) * BLOCK_VALUES / width_of(t)), rows_of(t));
}

static size_t block_bytes(const Block *b) {
    return (size_t)((b->r1 - b->r0) * dtype_row_bytes(b->t->to, width_of(b->t)));
}

/* The block at `at`, which moves on. */
static Block line_take(const Converter *c, Line *at) {
    const ConvertTensor *t = &c->tensors[at->tensor];
    const int64_t rows = rows_of(t);
    Block b = {t, at->row, MIN(at->row + block_rows(t), rows), at->block++};
    at->row = b.r1;
    if (b.r1 == rows) at->tensor++, at->row = 0;
    return b;
}

/* All values are of less magnitude than limit: their bits without the sign are as numbers. */
static bool all_below(const float *x, int64_t n, float limit) {
    enum { LANES = 16 };
    int32_t most[LANES] = {0}, last = 0, bound;
    int64_t i = 0;
    memcpy(&bound, &limit, sizeof bound);
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            int32_t v;
            memcpy(&v, &x[i + j], sizeof v);
            v &= INT32_MAX;
            most[j] = v > most[j] ? v : most[j];
        }
    for (; i < n; i++) {
        memcpy(&last, &x[i], sizeof last);
        most[0] = MAX(most[0], last & INT32_MAX);
    }
    for (int j = 0; j < LANES; j++) last = MAX(last & INT32_MAX, most[j]);
    return last < bound;
}

/* What a value must stay below: f16 rounds to infinity from 65520 on, bf16 from just below 2^128. */
static float limit_of(Dtype t) { return t == DT_f16 ? 65520 : t == DT_bf16 ? 0x1.ffp+127f : INFINITY; }

static bool bad_row(const ConvertTensor *t, int64_t r, const float *row, Err *e) {
    for (int64_t i = 0; i < width_of(t); i++)
        if (!isfinite(row[i]))
            return err_set(e, ERR_INPUT, "tensor '%s' has %s in row %lld, column %lld", t->from->name,
                           isnan(row[i]) ? "NaN" : "an infinity", (long long)r, (long long)i);
    return err_set(e, ERR_INPUT, "tensor '%s' has a value in row %lld that %s cannot hold", t->from->name, (long long)r,
                   dtype_info[t->to].name);
}

static bool check_rows(const Block *b, const float *values, Err *e) {
    const int64_t width = width_of(b->t);
    for (int64_t r = b->r0; r < b->r1; r++, values += width)
        if (!all_below(values, width, limit_of(b->t->to))) return bad_row(b->t, r, values, e);
    return true;
}

static bool quantize_block(const Converter *c, const Block *b, const float *values, char *out, Err *e) {
    const ConvertTensor *t = b->t;
    const int64_t width = width_of(t), bytes = dtype_row_bytes(t->to, width);
    QuantizeRows *quantize = c->spec.quantize ? c->spec.quantize : quantize_rows;
    for (int64_t r = b->r0, n; r < b->r1; r += n, values += n * width, out += n * bytes) { /* of one group each */
        int64_t group = t->group ? r / t->group : 0;
        n = t->group ? MIN(b->r1 - r, (group + 1) * t->group - r) : b->r1 - r;
        const float *importance = t->importance ? t->importance + group * width : NULL;
        if (!quantize(t->to, values, n, width, importance, out) && !c->spec.allow_nonfinite)
            return err_set(e, ERR_INPUT, "tensor '%s' has a value in rows %lld to %lld that %s cannot hold",
                           t->from->name, (long long)r, (long long)(r + n - 1), dtype_info[t->to].name);
    }
    return true;
}

static bool convert_rows(const Converter *c, const Block *b, float *values, char *out, Err *e) {
    const ConvertTensor *t = b->t;
    const int64_t n = b->r1 - b->r0, width = width_of(t);
    const bool copied = t->from->dtype == t->to && !t->adjust;
    if (copied) {
        export_rows(t->from, b->r0, n, out);
        if (c->spec.allow_nonfinite) return true;
        dtype_info[t->to].decode(out, values, n * width);
    } else {
        export_rows_f32(t->from, b->r0, n, values);
        for (int64_t i = 0; t->adjust && i < n; i++) t->adjust(t->by, b->r0 + i, values + i * width);
    }
    if (!c->spec.allow_nonfinite) TRY(check_rows(b, values, e));
    if (!copied && dtype_info[t->to].class == DTC_QUANT) return quantize_block(c, b, values, out, e);
    if (!copied) dtype_info[t->to].encode(values, out, n * width);
    return true;
}

/* ---- threads ---- */

/* Under the lock. */
static bool may_claim(const Converter *c) { return c->next.tensor < c->n && c->next.block - c->taken < c->n_slots; }

/* Under the lock, which is given up meanwhile. */
static void work_once(Converter *c, Worker *w) {
    Block b = line_take(c, &c->next);
    Slot *s = &c->slots[b.number % c->n_slots];
    s->done = false;
    pthread_mutex_unlock(&c->lock);
    s->failed = !convert_rows(c, &b, w->values, s->bytes, &s->err);
    pthread_mutex_lock(&c->lock);
    s->done = true;
    pthread_cond_signal(&c->ready);
}

static void *helper(void *arg) {
    Worker *w = arg;
    Converter *c = w->c;
    pthread_mutex_lock(&c->lock);
    while (!c->quit)
        if (may_claim(c))
            work_once(c, w);
        else
            pthread_cond_wait(&c->work, &c->lock);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void size_up(const Converter *c, size_t *values, size_t *bytes, int64_t *total) {
    *values = *bytes = 1;
    *total = 0;
    for (size_t i = 0; i < c->n; i++) {
        const ConvertTensor *t = &c->tensors[i];
        Block b = {t, 0, block_rows(t), 0};
        *values = MAX(*values, (size_t)(b.r1 * width_of(t)));
        *bytes = MAX(*bytes, block_bytes(&b));
        *total += rows_of(t) * dtype_row_bytes(t->to, width_of(t));
    }
}

bool convert_open(const ConvertTensor *tensors, size_t n, const ConvertSpec *spec, Converter **out, Err *e) {
    Converter *c = mem_alloc(1, sizeof *c);
    size_t values, bytes;
    *c = (Converter){.tensors = tensors, .n = n, .spec = *spec, .n_slots = (int64_t)spec->threads * SLOTS_A_THREAD};
    size_up(c, &values, &bytes, &c->total);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    pthread_cond_init(&c->ready, NULL);
    c->slots = mem_alloc((size_t)c->n_slots, sizeof *c->slots);
    for (int64_t i = 0; i < c->n_slots; i++) c->slots[i].bytes = mem_alloc(bytes, 1);
    c->workers = mem_alloc((size_t)spec->threads, sizeof *c->workers);
    for (int i = 0; i < spec->threads; i++) {
        Worker *w = &c->workers[i];
        *w = (Worker){.c = c, .values = mem_alloc(values, sizeof(float))};
        int why = i ? pthread_create(&w->thread, NULL, helper, w) : 0;
        w->runs = i && !why;
        if (!why) continue;
        convert_close(c);
        return err_set(e, ERR_FAIL, "cannot start thread %d of %d: %s", i + 1, spec->threads, strerror(why));
    }
    *out = c;
    return true;
}

void convert_close(Converter *c) {
    if (!c) return;
    pthread_mutex_lock(&c->lock);
    c->quit = true;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < c->spec.threads; i++) {
        if (c->workers[i].runs) pthread_join(c->workers[i].thread, NULL);
        free(c->workers[i].values);
    }
    for (int64_t i = 0; i < c->n_slots; i++) free(c->slots[i].bytes);
    pthread_cond_destroy(&c->ready);
    pthread_cond_destroy(&c->work);
    pthread_mutex_destroy(&c->lock);
    free(c->workers);
    free(c->slots);
    free(c);
}

/* ---- taking ---- */

static Slot *await_block(Converter *c, int64_t number) {
    Slot *s = &c->slots[number % c->n_slots];
    pthread_mutex_lock(&c->lock);
    while (c->next.block <= number || !s->done)
        if (may_claim(c))
            work_once(c, &c->workers[0]);
        else
            pthread_cond_wait(&c->ready, &c->lock);
    pthread_mutex_unlock(&c->lock);
    return s;
}

static void give_back(Converter *c) {
    pthread_mutex_lock(&c->lock);
    c->taken++;
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->lock);
}

/* From the first to the last byte of the source that the block was made of; what others lie between is read again. */
static void tell_used(const Converter *c, const Block *b) {
    const ExportTensor *x = b->t->from;
    if (!x->w || x->turned || x->w->t.ndim != x->ndim) return;
    const int64_t row = dtype_row_bytes(x->w->t.dtype, width_of(b->t));
    const char *lo = NULL, *hi = NULL;
    for (int64_t r = b->r0; r < b->r1; r++) {
        const char *at = tensor_row(&x->w->t, weight_row(x->w, x->format, r));
        if (!lo || at < lo) lo = at;
        if (!hi || at + row > hi) hi = at + row;
    }
    c->spec.used(c->spec.ctx, lo, (size_t)(hi - lo));
}

bool convert_write(Converter *c, size_t i, Sink to, Err *e) {
    const ConvertTensor *t = &c->tensors[i];
    for (Line at = {i, 0, c->taken}; at.tensor == i;) {
        Block b = line_take(c, &at);
        const Slot *s = await_block(c, b.number);
        if (s->failed) return *e = s->err, false;
        TRY(to.write(to.ctx, s->bytes, block_bytes(&b), e));
        c->written += (int64_t)block_bytes(&b);
        if (c->spec.used) tell_used(c, &b);
        give_back(c);
        if (c->spec.progress && !c->spec.progress(c->spec.ctx, c->written, c->total))
            return err_set(e, ERR_INTERRUPT, "interrupted while converting '%s'", t->from->name);
    }
    return true;
}
