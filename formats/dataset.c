/* A dataset: a reader, whose rows a thread makes ahead, and the place that its user has come to. */
#include "formats/dataset_impl.h"

#include <pthread.h>
#include <stdlib.h>

enum { AHEAD = 64, AHEAD_TOKENS = 1 << 18, AHEAD_MAX = 1 << 16, SEQ_LEN_MAX = 1 << 24 };

/* Rows that are made: a ring, of which the thread fills rows[to] and the user takes rows[from]. */
typedef struct Ahead {
    Reader reader;
    Row *rows;
    int n_rows; /* 1 without a thread */
    bool threaded;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* one side at most waits, so that one condition serves both */
    int64_t from, to;       /* under the lock; counted without wrapping round */
    atomic_bool stop;
} Ahead;

/* ---- rows ahead ---- */

/* The row to be filled next, NULL where reading ends. */
static Row *await_room(Ahead *a) {
    pthread_mutex_lock(&a->lock);
    while (a->to - a->from == a->n_rows && !atomic_load(&a->stop)) pthread_cond_wait(&a->changed, &a->lock);
    Row *row = atomic_load(&a->stop) ? NULL : &a->rows[a->to % a->n_rows];
    pthread_mutex_unlock(&a->lock);
    return row;
}

static void move_on(Ahead *a, int64_t *counter) {
    pthread_mutex_lock(&a->lock);
    ++*counter;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static void *read_ahead(void *arg) {
    Ahead *a = arg;
    for (Row *row; (row = await_room(a));) {
        reader_row(&a->reader, row);
        bool failed = row->failed;
        move_on(a, &a->to);
        if (failed) break;
    }
    return NULL;
}

/* The next row: stays until drop_row. */
static Row *next_row(Ahead *a) {
    if (!a->threaded) {
        if (a->to == a->from) reader_row(&a->reader, &a->rows[0]), a->to++;
        return &a->rows[0];
    }
    pthread_mutex_lock(&a->lock);
    while (a->to == a->from) pthread_cond_wait(&a->changed, &a->lock);
    Row *row = &a->rows[a->from % a->n_rows];
    pthread_mutex_unlock(&a->lock);
    return row;
}

static void drop_row(Ahead *a) {
    if (a->threaded)
        move_on(a, &a->from);
    else
        a->from++;
}

static int rows_ahead(const DataSpec *s) {
    if (s->ahead) return MAX(s->ahead, 1);
    return (int)MAX(2, MIN(AHEAD, AHEAD_TOKENS / s->seq_len));
}

static bool start_reading(Dataset *d, Err *e) {
    if (d->ahead) return true;
    Ahead *a = d->ahead = mem_alloc(1, sizeof *a);
    const bool threaded = d->spec.ahead >= 0;
    a->n_rows = rows_ahead(&d->spec);
    a->rows = mem_alloc((size_t)a->n_rows, sizeof *a->rows);
    for (int i = 0; i < a->n_rows; i++) row_open(&a->rows[i], d->spec.seq_len);
    reader_open(&a->reader, &d->spec, &d->texts, &d->corpus, &d->place);
    a->reader.stop = &a->stop;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    if (!threaded) return true;
    int code = pthread_create(&a->thread, NULL, read_ahead, a);
    a->threaded = !code;
    return !code || err_set(e, ERR_FAIL, "starting a thread that reads the data failed: %s", strerror(code));
}

void dataset_halt(Dataset *d) {
    Ahead *a = d->ahead;
    if (!a) return;
    if (a->threaded) {
        pthread_mutex_lock(&a->lock);
        atomic_store(&a->stop, true);
        pthread_cond_signal(&a->changed);
        pthread_mutex_unlock(&a->lock);
        pthread_join(a->thread, NULL);
    }
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    reader_close(&a->reader);
    for (int i = 0; i < a->n_rows; i++) row_release(&a->rows[i]);
    free(a->rows);
    free(a);
    d->ahead = NULL;
}

/* ---- open, close ---- */

int64_t dataset_bytes(const DataSpec *s, int64_t batch) {
    const int64_t token = 3 * (int64_t)sizeof(int32_t), refs = s->buffer ? s->buffer : READER_BUFFER;
    return (int64_t)sizeof(Dataset) + (int64_t)sizeof(Ahead) + (batch + rows_ahead(s)) * s->seq_len * token +
           rows_ahead(s) * (int64_t)sizeof(Row) + refs * (int64_t)sizeof(Ref) + READER_PAGES +
           READER_TEXT * (int64_t)sizeof(int64_t);
}

static bool check_spec(const DataSpec *s, Err *e) {
    if (s->seq_len < 2 || s->seq_len > SEQ_LEN_MAX)
        return err_set(e, ERR_USAGE, "rows of %lld tokens: must be 2 to %d", (long long)s->seq_len, SEQ_LEN_MAX);
    if (s->buffer < 0) return err_set(e, ERR_USAGE, "a shuffle buffer of %lld samples", (long long)s->buffer);
    if (s->ahead < -1 || s->ahead > AHEAD_MAX)
        return err_set(e, ERR_USAGE, "%d rows ahead: must be -1 to %d", s->ahead, AHEAD_MAX);
    if (!(s->valid_part >= 0 && s->valid_part < 1))
        return err_set(e, ERR_USAGE, "a part of %g held out: must be 0 or more and less than 1", s->valid_part);
    return true;
}

bool dataset_open(const DataSpec *spec, const DataTexts *texts, Dataset **out, Err *e) {
    *out = NULL;
    TRY(check_spec(spec, e));
    Dataset *d = mem_alloc(1, sizeof *d);
    d->spec = *spec;
    d->texts = *texts;
    d->place = place_start();
    if (!corpus_open(&d->corpus, spec->paths, spec->n_paths, e)) return dataset_close(d), false;
    d->spec.paths = NULL; /* the corpus has its own */
    *out = d;
    return true;
}

void dataset_close(Dataset *d) {
    if (!d) return;
    dataset_halt(d);
    corpus_close(&d->corpus);
    pack_row_release(&d->batch);
    free(d->docs);
    free(d);
}

/* ---- batches ---- */

static void tell_bad(const Dataset *d, const Row *row) {
    for (size_t i = 0; i < row->bad.n; i += strlen(row->bad.s + i) + 1)
        if (d->spec.on_bad) d->spec.on_bad(d->spec.on_bad_ctx, row->bad.s + i);
}

static void add_row(Dataset *d, const Row *row) {
    PackRow *to = &d->batch;
    const PackRow *from = &row->pack;
    const size_t bytes = (size_t)from->n * sizeof *from->ids;
    memcpy(to->ids + to->n, from->ids, bytes);
    memcpy(to->labels + to->n, from->labels, bytes);
    memcpy(to->index + to->n, from->index, bytes);
    if (d->n_docs + row->n_docs > d->cap_docs) {
        d->cap_docs = 2 * d->cap_docs + row->n_docs;
        d->docs = mem_grow(d->docs, d->cap_docs, sizeof *d->docs);
    }
    for (size_t i = 0; i < row->n_docs; i++) {
        d->docs[d->n_docs] = row->docs[i];
        d->docs[d->n_docs++].from += to->n;
    }
    to->n += from->n;
    to->n_labels += from->n_labels;
}

static bool begin_batch(Dataset *d, int64_t batch, Err *e) {
    int64_t cap;
    if (batch < 1 || !mul_i64(batch, d->spec.seq_len, &cap) || cap > INT32_MAX)
        return err_set(e, ERR_USAGE, "a batch of %lld rows of %lld tokens: must be 1 to %d tokens", (long long)batch,
                       (long long)d->spec.seq_len, INT32_MAX);
    if (cap > d->batch.cap) {
        pack_row_release(&d->batch);
        pack_row_open(&d->batch, cap);
    }
    d->batch.n = d->batch.n_labels = 0;
    d->n_docs = 0;
    return start_reading(d, e);
}

/* *after: the place behind the batch. */
static bool gather(Dataset *d, int64_t batch, int64_t *rows, Place *after, Err *e) {
    TRY(begin_batch(d, batch, e));
    for (*rows = 0; *rows < batch; ++*rows) {
        const Row *row = next_row(d->ahead);
        if (row->end && *rows) return true;
        tell_bad(d, row);
        if (row->failed) return *e = row->err, false;
        *after = row->after;
        bool end = row->end;
        if (!end) add_row(d, row);
        drop_row(d->ahead);
        if (end) return true;
    }
    return true;
}

bool dataset_next(Dataset *d, int64_t batch, DataBatch *out, Err *e) {
    int64_t rows = 0;
    *out = (DataBatch){0};
    Place after = d->place;
    if (d->err.code || !gather(d, batch, &rows, &after, &d->err)) {
        if (e) *e = d->err;
        return false;
    }
    d->place = after; /* all of the batch or nothing: rows before one that failed are not lost to who goes on */
    const PackRow *b = &d->batch;
    *out = (DataBatch){b->ids, b->labels, b->index, b->n, b->n_labels, rows, d->docs, d->n_docs};
    return true;
}

void dataset_stats(const Dataset *d, DataStats *out) { *out = d->place.stats; }

const DataFile *dataset_files(const Dataset *d, size_t *n) {
    *n = d->corpus.n_files;
    return d->corpus.files;
}

bool dataset_sha256(const Dataset *d, size_t file, char out[SHA256_TEXT], Err *e) {
    Mapping m;
    Sha256 s;
    TRY(map_file(d->corpus.files[file].path, &m, e));
    sha256_begin(&s);
    sha256_add(&s, m.bytes, m.n);
    sha256_end(&s, out);
    unmap_file(&m);
    return true;
}
