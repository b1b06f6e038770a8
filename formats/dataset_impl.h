/* The parts of a dataset, inside formats/ only: the corpus is its files, a sample what a line or a part of a text
 * gives, the reader makes the rows of all epochs from a place on. */
#ifndef FORMATS_DATASET_IMPL_H
#define FORMATS_DATASET_IMPL_H

#include <stdatomic.h>

#include "formats/dataset.h"
#include "formats/formats.h"

/* ---- files ---- */

typedef struct Corpus {
    Arena arena; /* of the strings */
    DataFile *files;
    size_t n_files;
} Corpus;

bool corpus_open(Corpus *c, const char *const *paths, size_t n, Err *e); /* after a failure too, close it */
void corpus_close(Corpus *c);

/* ---- samples ---- */

typedef struct Sample {
    IdList ids, targets; /* as long as each other; see pack_piece */
    bool truncated;
} Sample;

typedef struct SampleText { /* a part of a text file */
    Str text;
    bool begins, ends; /* with it the file */
} SampleText;

/* *s is overwritten. Errors say what is wrong with the line, not which it is. */
bool sample_line(const DataSpec *spec, const DataTexts *texts, Str line, Sample *s, Err *e);
/* *lines receives how many lines into the text an error is. */
bool sample_text(const DataSpec *spec, const DataTexts *texts, const SampleText *t, Sample *s, int64_t *lines, Err *e);
void sample_release(Sample *s);

/* ---- rows ---- */

typedef struct Cursor { /* byte `offset` of the file-th file of an epoch's order; line: the number of the line there */
    int64_t file, offset, line;
} Cursor;

typedef struct Place { /* all that a reader needs to go on */
    Cursor block;      /* where the block of samples begins */
    int64_t n_block;   /* blocks of the epoch before it */
    int64_t taken, at; /* samples of the block, tokens of the next one, that are done */
    int64_t epoch_rows;
    DataStats stats;
} Place;

typedef struct Ref { /* where a sample is */
    int64_t offset, bytes, line;
    int32_t file;
} Ref;

typedef struct Row {
    PackRow pack;
    DataDoc *docs;
    size_t n_docs, cap_docs;
    Buf bad;     /* messages about lines that were skipped on the way, each with its NUL */
    Place after; /* this row */
    bool end;    /* no row, but the end of an epoch; `after` is the beginning of the next */
    bool failed; /* neither: see err */
    Err err;
} Row;

/* Samples of a block, bytes of files that stay in memory, what a touched byte brings along at most (pages that are
 * there already are mapped by so many at once), and the text of which what is made is planned for. */
enum {
    READER_MAPS = 16,
    READER_BUFFER = 4096,
    READER_PAGES = 1 << 20,
    READER_AROUND = 64 << 10,
    READER_TEXT = 64 << 10
};

typedef struct Reader {
    const DataSpec *spec;
    const DataTexts *texts;
    const Corpus *corpus;
    const atomic_bool *stop; /* it fails where that becomes true */
    Place place;
    Cursor scan; /* behind the block */
    Ref *refs;
    int64_t n_refs, cap_refs;
    int32_t *order;        /* [n_files] of the epoch */
    int64_t span, touched; /* bytes of the block; how many of them may be in memory, unless that is more */
    bool has_block, has_sample;
    Sample sample; /* number place.taken of the block */
    Mapping maps[READER_MAPS];
    int64_t mapped[READER_MAPS]; /* which file, -1: none */
} Reader;

Place place_start(void);
void reader_open(Reader *r, const DataSpec *spec, const DataTexts *texts, const Corpus *corpus, const Place *from);
void reader_close(Reader *r);
void reader_row(Reader *r, Row *row); /* the next one; a row that failed comes again */
void row_open(Row *row, int64_t seq_len);
void row_release(Row *row);

struct Dataset {
    DataSpec spec;
    DataTexts texts;
    Corpus corpus;
    Place place;  /* after the last dataset_next */
    Place marked; /* by dataset_mark */
    Err err;      /* sticks */
    PackRow batch;
    DataDoc *docs;
    size_t n_docs, cap_docs;
    struct Ahead *ahead; /* NULL: nothing reads */
};

/* Stops reading; the next dataset_next reads from d->place on. */
void dataset_halt(Dataset *d);

#endif
