/* The data of a training: files of samples to batches of ids.
 *
 * A sample is a line of a JSONL file, or a text file, of which every 64 KiB or so are a sample that goes on where the
 * last one ended. Lines, in this order of precedence where one holds several:
 *     {"ids": [..], "labels": [..]}           as they are; labels align with ids, -100: no loss; all where there are
 * none
 *     {"messages": [..], "tools": [..]}       through the chat template; loss on the answers
 *     {"prompt": "..", "completion": ".."}    loss on the completion
 *     {"text": ".."}                          loss on everything
 * Other members mean nothing. The last two and text files end with EOS, which is learned. Lines of white space alone
 * are none. A text or ids longer than a row go on in the next row as another piece; a conversation or completion is
 * truncated at its end.
 *
 * Order. Files come in an order drawn by (seed, epoch), their samples in blocks of `buffer`, each shuffled by (seed,
 * epoch, block). Only the places of a block's samples are held; a sample is read and tokenised when its turn comes, so
 * that a corpus may be larger than memory. A place in an epoch is a few numbers: a restored dataset goes on with the
 * very same batches, and how far the reading is ahead changes nothing.
 *
 * Threads. A thread of the dataset makes rows ahead; the callbacks of DataTexts run in it, or in the caller's, never in
 * both at once. A Dataset is for one thread. Files must not be truncated while it is open. */
#ifndef FORMATS_DATASET_H
#define FORMATS_DATASET_H

#include "core/pack.h"
#include "core/sha256.h"
#include "core/value.h"

typedef struct DataSpec { /* all zero but paths and seq_len: defaults */
    /* Files: .jsonl, .ndjson and .json are JSONL, .txt is text, others are JSONL where they begin with '{'. Folders:
     * all files below, in the order of their names, but those whose name begins with a dot and runs of trainings. */
    const char *const *paths;
    size_t n_paths;
    int64_t seq_len; /* tokens of a row */
    bool no_pack;    /* one document a row */
    bool no_shuffle;
    uint64_t seed;
    int64_t buffer;       /* samples that are shuffled with each other; 0: 4096 */
    bool train_on_prompt; /* loss on everything */
    bool skip_bad;        /* bad lines are told to on_bad and counted; else an error */
    bool no_eos;          /* eos is not put after texts */
    int32_t eos;
    int32_t vocab;     /* {"ids"} and {"labels"} are below; 0: any */
    double valid_part; /* of the samples that are held out, by (seed, file, line); 0: none */
    bool want_valid;   /* the held-out ones instead of the rest */
    int ahead;         /* rows made ahead by a thread; 0: 64, fewer of long ones; -1: no thread */
    /* A line that was skipped, "FILE:LINE: why"; called by dataset_next. May be NULL. */
    void (*on_bad)(void *ctx, const char *message);
    void *on_bad_ctx;
} DataSpec;

typedef struct DataTexts { /* what turns text into ids; an error of theirs is one of the line */
    /* Appends the ids of a text. begin: it begins a document (BOS and the like); else it goes on. */
    bool (*encode)(void *ctx, Str text, bool begin, IdList *out, Err *e);
    /* Appends the ids of a conversation and the ranges of them that the loss is on (of ids in *out, ascending). tools
     * may be NULL. tokenizer/chat_answers.h does the work. NULL: conversations are bad lines. */
    bool (*chat)(void *ctx, const Value *messages, const Value *tools, IdList *out, IdRanges *answers, Err *e);
    /* Appends the text of one id, for dataset_preview. NULL: ids alone are shown. */
    void (*piece)(void *ctx, int32_t id, Buf *out);
    void *ctx;
} DataTexts;

typedef struct DataStats { /* since the beginning, over all epochs, of what dataset_next gave out */
    int64_t epoch;         /* begun, from 0 */
    int64_t samples, rows, tokens, labels;
    int64_t bad;       /* lines */
    int64_t truncated; /* conversations and completions that lost their end */
    int64_t cut;       /* texts and ids in several pieces */
    int64_t unlearned; /* samples left out since nothing in them is learned */
} DataStats;

typedef struct DataDoc { /* tokens [from, from + n) of a batch */
    int64_t from, n;
    const char *path; /* of the file */
    int64_t line;     /* from 1; of a text file: where the sample begins */
} DataDoc;

typedef struct DataBatch { /* belongs to the dataset, until the next call of dataset_next */
    /* [n]: token i is the index[i]-th of its document, labels[i] is what should follow ids[i] or -100. Rows stand one
     * after the other without padding: n is batch * seq_len at most. */
    const int32_t *ids, *labels, *index;
    int64_t n, n_labels, rows;
    const DataDoc *docs; /* in order */
    size_t n_docs;
} DataBatch;

typedef struct DataFile {
    const char *path; /* as found: a path of the spec, or below a folder of it */
    int64_t bytes;
    bool text; /* else JSONL */
} DataFile;

typedef struct Dataset Dataset;

/* What a dataset comes to hold that gives `batch` rows at a time: rows made ahead, places of samples, pages of files.
 * Of the spec its sizes count. */
int64_t dataset_bytes(const DataSpec *spec, int64_t batch);
/* Finds the files and checks that they can be read; *texts is copied, the strings of *spec too. Nothing found, a file
 * that is neither, sizes out of range: errors. */
bool dataset_open(const DataSpec *spec, const DataTexts *texts, Dataset **out, Err *e);
void dataset_close(Dataset *d); /* NULL is fine */

/* The next micro-step: the next `batch` rows, fewer at the end of an epoch; then n == 0, once, and the next epoch
 * begins. An epoch without any row is an error, as is a bad line without skip_bad: ERR_INPUT "FILE:LINE: why". An error
 * comes again with every call. */
bool dataset_next(Dataset *d, int64_t batch, DataBatch *out, Err *e);

/* The place after the last dataset_next, as bytes to be kept in a checkpoint; and a dataset of the same spec put there
 * (ERR_INPUT where files or options are others than they were; batch may differ). dataset_rewind: to the beginning of
 * epoch 0, stats too. */
void dataset_save(const Dataset *d, Buf *out);
bool dataset_restore(Dataset *d, Str state, Err *e);
void dataset_rewind(Dataset *d);
/* Back to the place where dataset_mark was called last. */
void dataset_mark(Dataset *d);
void dataset_back(Dataset *d);

void dataset_stats(const Dataset *d, DataStats *out);
const DataFile *dataset_files(const Dataset *d, size_t *n);                        /* in the order of the spec */
bool dataset_sha256(const Dataset *d, size_t file, char out[SHA256_TEXT], Err *e); /* reads the whole file */

/* The first rows of epoch 0 until n documents are shown, as text: per row what shares it, per document its line and
 * runs of ids with their text: "+" the loss is on them, "-" not. json: an object a line for every document: row, file,
 * line, ids, labels that align with them, -100: no loss, text. The place of dataset_next does not change. */
bool dataset_preview(Dataset *d, int64_t n, bool json, Buf *out, Err *e);

#endif
