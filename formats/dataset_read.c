/* Files to rows: blocks of places, shuffled, each sample read when its turn comes. */
#include "formats/dataset_impl.h"

#include <stdlib.h>

#include "core/rng.h"
#include "core/weights_read.h"

enum { TEXT_PART = READER_TEXT, BAD_BYTES = 64 << 10 };

static const uint64_t file_stream = UINT32_MAX; /* of random numbers; blocks have those below */

/* ---- random numbers: functions of the seed and the place alone ---- */

static uint64_t draw(const Reader *r, uint64_t stream, uint64_t index, uint64_t below) {
    uint64_t of = (uint64_t)r->place.stats.epoch << 32 | stream;
    return rng_u64(r->spec->seed, of, index, RNG_SHUFFLE) % below;
}

static int64_t block_size(const Reader *r) {
    int64_t size = r->spec->buffer ? r->spec->buffer : READER_BUFFER;
    if (r->spec->no_shuffle || r->place.n_block) return size;
    return 1 + (int64_t)draw(r, file_stream, UINT32_MAX, (uint64_t)size); /* blocks end elsewhere in every epoch */
}

static void order_files(Reader *r) {
    const size_t n = r->corpus->n_files;
    for (size_t i = 0; i < n; i++) r->order[i] = (int32_t)i;
    for (size_t i = n; i-- > 1 && !r->spec->no_shuffle;) {
        size_t k = (size_t)draw(r, file_stream, i, i + 1);
        int32_t swap = r->order[i];
        r->order[i] = r->order[k];
        r->order[k] = swap;
    }
}

static void shuffle_block(Reader *r) {
    for (int64_t i = r->n_refs; i-- > 1;) {
        int64_t k = (int64_t)draw(r, (uint64_t)r->place.n_block & UINT32_MAX, (uint64_t)i, (uint64_t)i + 1);
        Ref swap = r->refs[i];
        r->refs[i] = r->refs[k];
        r->refs[k] = swap;
    }
}

static bool is_ours(const Reader *r, const Ref *ref) {
    double u = rng_uniform(r->spec->seed, (uint64_t)ref->file, (uint64_t)ref->offset, RNG_SPLIT);
    return r->spec->want_valid == (u < r->spec->valid_part);
}

/* ---- places of samples ---- */

static bool file_bytes(Reader *r, int64_t file, Str *out, Err *e) {
    const DataFile *f = &r->corpus->files[file];
    const size_t slot = (size_t)(file % READER_MAPS);
    if (r->mapped[slot] != file) {
        unmap_file(&r->maps[slot]);
        r->mapped[slot] = -1;
        TRY(map_file(f->path, &r->maps[slot], e));
        if ((int64_t)r->maps[slot].n < f->bytes)
            return err_set(e, ERR_INPUT, "cannot train on '%s': it had %lld bytes, now %zu; start again", f->path,
                           (long long)f->bytes, r->maps[slot].n);
        r->mapped[slot] = file;
    }
    *out = (Str){r->maps[slot].bytes, (size_t)f->bytes};
    return true;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static bool is_blank(Str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!is_space(s.s[i])) return false;
    return true;
}

static size_t line_bytes(Str rest) {
    const char *end = memchr(rest.s, '\n', rest.n);
    return end ? (size_t)(end - rest.s) + 1 : rest.n;
}

/* Where a long text is cut: behind its last run of newlines, else before a space, else between characters. */
static size_t text_bytes(Str rest) {
    if (rest.n <= TEXT_PART + TEXT_PART / 2) return rest.n;
    for (size_t i = TEXT_PART; i > TEXT_PART / 2; i--)
        if (rest.s[i - 1] == '\n' && rest.s[i] != '\n') return i;
    for (size_t i = TEXT_PART; i > TEXT_PART / 2; i--)
        if (rest.s[i] == ' ' && rest.s[i - 1] != ' ') return i;
    size_t at = TEXT_PART;
    while (at > TEXT_PART - 3 && (rest.s[at] & 0xc0) == 0x80) at--;
    return at;
}

static int64_t count_lines(Str s) {
    int64_t n = 0;
    for (const char *p = s.s, *end = s.s + s.n; (p = memchr(p, '\n', (size_t)(end - p))); p++) n++;
    return n;
}

static size_t mark_bytes(Str text) { return text.n >= 3 && memcmp(text.s, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; }

/* Pages behind a reader are given back, a stretch at a time: a corpus may be larger than memory. */
static void drop_pages(Str text, int64_t from, int64_t to) {
    from = from / READER_PAGES * READER_PAGES;
    to = to / READER_PAGES * READER_PAGES;
    if (from < to) pages_drop_bytes(text.s + from, (size_t)(to - from));
}

/* What reading samples has brought of the block, in whatever order: its span, with all that comes along at its sides.
 */
static void drop_block(Reader *r) {
    const Cursor *from = &r->place.block, *to = &r->scan;
    for (int64_t i = from->file; i <= to->file && i < (int64_t)r->corpus->n_files; i++) {
        const int32_t file = r->order[i];
        const int64_t bytes = r->corpus->files[file].bytes, begin = i == from->file ? from->offset : 0;
        const int64_t end = i == to->file ? MIN(to->offset + READER_AROUND, bytes) : bytes;
        const int64_t first = begin / READER_AROUND * READER_AROUND;
        if (r->mapped[file % READER_MAPS] == file && first < end)
            pages_drop_bytes(r->maps[file % READER_MAPS].bytes + first, (size_t)(end - first));
    }
    r->touched = 0;
}

/* The next sample of r->scan's file; false at its end. */
static bool scan_file(Reader *r, Str text, bool is_text, Ref *out) {
    Cursor *at = &r->scan;
    if (at->offset == 0) at->offset = (int64_t)mark_bytes(text);
    while (at->offset < (int64_t)text.n) {
        Str rest = {text.s + at->offset, text.n - (size_t)at->offset};
        Str found = {rest.s, is_text ? text_bytes(rest) : line_bytes(rest)};
        *out = (Ref){at->offset, (int64_t)found.n, at->line, r->order[at->file]};
        at->offset += (int64_t)found.n;
        r->span += (int64_t)found.n;
        at->line += is_text ? count_lines(found) : 1;
        drop_pages(text, at->offset - (int64_t)found.n, at->offset);
        if ((is_text || !is_blank(found)) && is_ours(r, out)) return true;
    }
    return false;
}

static bool stopped(const Reader *r, Err *e) {
    return r->stop && atomic_load(r->stop) && !err_set(e, ERR_INTERRUPT, "reading the data was stopped");
}

static bool load_block(Reader *r, Err *e) {
    const int64_t size = block_size(r);
    r->scan = r->place.block;
    r->n_refs = r->span = 0;
    while (r->n_refs < size && r->scan.file < (int64_t)r->corpus->n_files) {
        const int32_t file = r->order[r->scan.file];
        Str text;
        Ref ref;
        TRY(!stopped(r, e) && file_bytes(r, file, &text, e));
        while (r->n_refs < size && scan_file(r, text, r->corpus->files[file].text, &ref)) {
            if (r->n_refs == r->cap_refs) {
                r->cap_refs = MIN(size, 2 * r->cap_refs + 64);
                r->refs = mem_grow(r->refs, (size_t)r->cap_refs, sizeof *r->refs);
            }
            r->refs[r->n_refs++] = ref;
        }
        if (r->n_refs < size) r->scan = (Cursor){r->scan.file + 1, 0, 1};
    }
    if (!r->spec->no_shuffle) shuffle_block(r);
    r->has_block = true;
    drop_block(r);
    return r->place.taken <= r->n_refs ||
           err_set(e, ERR_INPUT, "the place in the data is not one of these files; start again");
}

/* ---- samples in their order ---- */

/* A line that is wrong: told, and passed over where that is wanted. */
static bool pass_bad(Reader *r, const Ref *ref, int64_t lines, Row *row) {
    err_prefix(&row->err, "%s:%lld", r->corpus->files[ref->file].path, (long long)(ref->line + lines));
    if (!r->spec->skip_bad) return false;
    if (row->bad.n < BAD_BYTES) buf_put(&row->bad, row->err.msg, strlen(row->err.msg) + 1);
    row->err = (Err){0};
    r->place.stats.bad++;
    r->place.taken++;
    return true;
}

/* Reads the sample whose turn it is; *bad: it was passed over. */
static bool read_sample(Reader *r, Row *row, bool *bad) {
    const Ref *ref = &r->refs[r->place.taken];
    const DataFile *f = &r->corpus->files[ref->file];
    int64_t lines = 0;
    Str all;
    TRY(!stopped(r, &row->err) && file_bytes(r, ref->file, &all, &row->err));
    Str own = {all.s + ref->offset, (size_t)ref->bytes};
    if (!f->text && str_ends(own, "\n")) own.n--;
    SampleText part = {own, ref->offset == (int64_t)mark_bytes(all), ref->offset + ref->bytes == f->bytes};
    bool ok = f->text ? sample_text(r->spec, r->texts, &part, &r->sample, &lines, &row->err)
                      : sample_line(r->spec, r->texts, own, &r->sample, &row->err);
    r->touched += ref->bytes + 2 * READER_AROUND;
    if (MIN(r->touched, r->span) > READER_PAGES) drop_block(r);
    *bad = !ok;
    return ok || pass_bad(r, ref, lines, row);
}

/* Makes r->sample the one whose turn it is; *end: there is none in this epoch any more. */
static bool current_sample(Reader *r, Row *row, bool *end) {
    Place *p = &r->place;
    *end = false;
    while (!r->has_sample) {
        if (!r->has_block) TRY(load_block(r, &row->err));
        if ((*end = r->n_refs == 0)) return true;
        if (p->taken == r->n_refs) {
            drop_block(r);
            p->block = r->scan;
            p->n_block++;
            p->taken = 0;
            r->has_block = false;
            continue;
        }
        bool bad;
        TRY(read_sample(r, row, &bad));
        r->has_sample = !bad;
    }
    return true;
}

static void finish_sample(Reader *r) {
    r->place.taken++;
    r->place.at = 0;
    r->has_sample = false;
}

/* ---- rows ---- */

static void put_piece(Reader *r, Row *row, int64_t at, int64_t len) {
    const Sample *s = &r->sample;
    const Ref *ref = &r->refs[r->place.taken];
    DataStats *stats = &r->place.stats;
    if (row->n_docs == row->cap_docs) {
        row->cap_docs = 2 * row->cap_docs + 4;
        row->docs = mem_grow(row->docs, row->cap_docs, sizeof *row->docs);
    }
    row->docs[row->n_docs++] = (DataDoc){row->pack.n, len, r->corpus->files[ref->file].path, ref->line};
    pack_put(&row->pack, s->ids.ids, s->targets.ids, (int64_t)s->ids.n, at, len);
    if (r->place.at == 0) {
        stats->samples++;
        stats->truncated += s->truncated;
        stats->cut += (int64_t)s->ids.n > r->spec->seq_len;
    }
    r->place.at = at + len;
}

static bool fill_row(Reader *r, Row *row, bool *end) {
    const int64_t cap = r->spec->seq_len;
    while (row->pack.n < cap && !(r->spec->no_pack && row->n_docs)) {
        int64_t at = r->place.at, len;
        TRY(current_sample(r, row, end));
        if (*end) return true;
        if (!pack_piece(r->sample.targets.ids, (int64_t)r->sample.ids.n, cap, &at, &len)) {
            r->place.stats.unlearned += r->place.at == 0;
            finish_sample(r);
        } else if (len <= cap - row->pack.n) {
            put_piece(r, row, at, len);
        } else {
            return true;
        }
    }
    return true;
}

static bool end_epoch(Reader *r, Row *row) {
    Place *p = &r->place;
    if (!p->epoch_rows)
        return err_set(&row->err, ERR_INPUT,
                       "nothing to train on: '%s'%s: no %ssample that anything is learned from (%lld bad lines, %lld "
                       "samples without loss)",
                       r->corpus->files[0].path, r->corpus->n_files > 1 ? " and others" : "",
                       r->spec->want_valid ? "held-out " : "", (long long)p->stats.bad, (long long)p->stats.unlearned);
    DataStats stats = p->stats;
    *p = place_start();
    p->stats = stats;
    p->stats.epoch++;
    r->has_block = false;
    order_files(r);
    row->end = true;
    return true;
}

void reader_row(Reader *r, Row *row) {
    bool end = false;
    row->pack.n = row->pack.n_labels = 0;
    row->n_docs = 0;
    row->end = false;
    row->err = (Err){0};
    buf_clear(&row->bad);
    row->failed = !fill_row(r, row, &end);
    if (row->pack.n && !row->failed) {
        r->place.epoch_rows++;
        r->place.stats.rows++;
        r->place.stats.tokens += row->pack.n;
        r->place.stats.labels += row->pack.n_labels;
    } else if (end) {
        row->failed = !end_epoch(r, row);
    }
    row->after = r->place;
}

void row_open(Row *row, int64_t seq_len) {
    *row = (Row){0};
    pack_row_open(&row->pack, seq_len);
}

void row_release(Row *row) {
    pack_row_release(&row->pack);
    free(row->docs);
    buf_release(&row->bad);
}

Place place_start(void) { return (Place){.block = {0, 0, 1}}; }

void reader_open(Reader *r, const DataSpec *spec, const DataTexts *texts, const Corpus *corpus, const Place *from) {
    *r = (Reader){.spec = spec, .texts = texts, .corpus = corpus, .place = *from};
    r->order = mem_alloc(corpus->n_files, sizeof *r->order);
    for (size_t i = 0; i < READER_MAPS; i++) r->mapped[i] = -1;
    order_files(r);
}

void reader_close(Reader *r) {
    for (size_t i = 0; i < READER_MAPS; i++) unmap_file(&r->maps[i]);
    sample_release(&r->sample);
    free(r->refs);
    free(r->order);
}
