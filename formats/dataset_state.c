/* The place in a dataset as a line of JSON: numbers, and what they are numbers of. */
#include "formats/dataset_impl.h"
#include "formats/json.h"

#include <inttypes.h>

enum { STATE_VERSION = 1, STATE_BYTES = 4096, WORD_BYTES = 17 };

typedef struct Number {
    const char *name;
    size_t at; /* in Place */
} Number;

static const Number numbers[] = {
    {"file", offsetof(Place, block.file)},       {"offset", offsetof(Place, block.offset)},
    {"line", offsetof(Place, block.line)},       {"block", offsetof(Place, n_block)},
    {"taken", offsetof(Place, taken)},           {"at", offsetof(Place, at)},
    {"epoch_rows", offsetof(Place, epoch_rows)}, {"epoch", offsetof(Place, stats.epoch)},
    {"samples", offsetof(Place, stats.samples)}, {"rows", offsetof(Place, stats.rows)},
    {"tokens", offsetof(Place, stats.tokens)},   {"labels", offsetof(Place, stats.labels)},
    {"bad", offsetof(Place, stats.bad)},         {"truncated", offsetof(Place, stats.truncated)},
    {"cut", offsetof(Place, stats.cut)},         {"unlearned", offsetof(Place, stats.unlearned)},
};

static int64_t *number_in(Place *p, size_t i) { return (int64_t *)(void *)((char *)p + numbers[i].at); }

/* ---- what a place belongs to ---- */

static void hash_text(const Buf *text, char out[WORD_BYTES]) {
    uint64_t h = hash_bytes(buf_view(text).s, text->n, STATE_VERSION);
    for (int i = 0; i < WORD_BYTES - 1; i++) out[i] = "0123456789abcdef"[h >> (60 - 4 * i) & 15];
    out[WORD_BYTES - 1] = 0;
}

/* All that changes which batches follow, but the files. */
static void hash_options(const DataSpec *s, char out[WORD_BYTES]) {
    Buf b = {0};
    buf_printf(&b, "%" PRId64 " %d %d %" PRIu64 " %" PRId64, s->seq_len, s->no_pack, s->no_shuffle, s->seed, s->buffer);
    buf_printf(&b, " %d %d %d %d ", s->train_on_prompt, s->no_eos, s->no_eos ? 0 : s->eos, s->want_valid);
    json_put_float(&b, s->valid_part);
    hash_text(&b, out);
    buf_release(&b);
}

/* Names without folders: a corpus may move. */
static void hash_files(const Corpus *c, char out[WORD_BYTES]) {
    Buf b = {0};
    for (size_t i = 0; i < c->n_files; i++) {
        const char *slash = strrchr(c->files[i].path, '/');
        buf_printf(&b, "%s\n%" PRId64 " %d\n", slash ? slash + 1 : c->files[i].path, c->files[i].bytes,
                   c->files[i].text);
    }
    hash_text(&b, out);
    buf_release(&b);
}

/* ---- both ways ---- */

void dataset_save(const Dataset *d, Buf *out) {
    char options[WORD_BYTES], files[WORD_BYTES];
    Place place = d->place;
    hash_options(&d->spec, options);
    hash_files(&d->corpus, files);
    buf_printf(out, "{\"version\":%d,\"options\":\"%s\",\"files\":\"%s\"", STATE_VERSION, options, files);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        buf_printf(out, ",\"%s\":%" PRId64, numbers[i].name, *number_in(&place, i));
    buf_str(out, "}\n");
}

static bool check_word(const Value *state, const char *name, const char *want, const char *why, Err *e) {
    Str got = {"", 0};
    TRY(value_as_str(value_get(state, name), name, &got, e));
    return str_is(got, want) || err_set(e, ERR_INPUT, "cannot go on in the data: %s", why);
}

static bool read_place(const Dataset *d, const Value *state, Place *p, Err *e) {
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        int64_t *to = number_in(p, i);
        *to = -1;
        TRY(value_as_int(value_get(state, numbers[i].name), numbers[i].name, to, e));
        if (*to < 0) return err_set(e, ERR_INPUT, "the place in the data is broken: '%s'", numbers[i].name);
    }
    int64_t bytes = 0; /* of the largest file: which one it is depends on the epoch */
    for (size_t i = 0; i < d->corpus.n_files; i++) bytes = MAX(bytes, d->corpus.files[i].bytes);
    if (p->block.file > (int64_t)d->corpus.n_files || p->block.offset > bytes)
        return err_set(e, ERR_INPUT, "the place in the data is broken: it is in none of the files");
    return true;
}

static bool read_state(const Dataset *d, const Value *state, Place *p, Err *e) {
    char options[WORD_BYTES], files[WORD_BYTES];
    int64_t version = 0;
    hash_options(&d->spec, options);
    hash_files(&d->corpus, files);
    TRY(value_as_int(value_get(state, "version"), "version", &version, e));
    if (version != STATE_VERSION)
        return err_set(e, ERR_INPUT, "cannot go on in the data: version %lld of its place is not known",
                       (long long)version);
    TRY(check_word(state, "options", options, "its options are others than they were; give the same", e));
    TRY(check_word(state, "files", files, "its files are others than they were; give the same", e));
    return read_place(d, state, p, e);
}

bool dataset_restore(Dataset *d, Str state, Err *e) {
    Arena a = {0};
    Value v;
    Place place = {0};
    if (state.n > STATE_BYTES) return err_set(e, ERR_INPUT, "the place in the data is broken: it is too long");
    bool ok = json_parse(state, "the place in the data", &a, &v, e) && read_state(d, &v, &place, e);
    arena_release(&a);
    if (!ok) return false;
    dataset_halt(d);
    d->place = place;
    d->err = (Err){0};
    return true;
}

void dataset_mark(Dataset *d) { d->marked = d->place; }

void dataset_back(Dataset *d) {
    dataset_halt(d);
    d->place = d->marked;
    d->err = (Err){0};
}

void dataset_rewind(Dataset *d) {
    dataset_halt(d);
    d->place = place_start();
    d->err = (Err){0};
}
