/* llmws test-models, in four files: the command and its loop (test_models.c), which models and bounds a machine has
 * (test_models_find.c), hashes and records (test_models_record.c), table, JSON and the support matrix
 * (test_models_out.c). What is asked of a model is core/check.h. */
#ifndef CMD_TEST_MODELS_H
#define CMD_TEST_MODELS_H

#include "cmd/run_opts.h"
#include "core/check.h"
#include "formats/formats.h"

typedef struct TestBounds { /* 0: none */
    double max_ppl, min_prompt_tok_s, min_decode_tok_s;
} TestBounds;

typedef struct TestModel {
    const char *path;
    TestBounds bounds;
} TestModel;

typedef struct TestPlan { /* what is to be tested on this machine; all text in the arena */
    TestModel *models;
    size_t n;
    bool cpu, cuda;
    int threads;
    TestBounds bounds;
    const char *record; /* to compare with; NULL: none */
    Arena arena;
} TestPlan;

/* From -m and the words of the command line (models, folders, one record); without any from the machine file of the
 * folder or of the user; without one from $LLMWS_MODEL, else the builtin models. A folder's own machine file counts for
 * it. No models at all is no error. */
bool test_plan_make(TestPlan *p, const RunOpts *o, Err *e);
void test_plan_release(TestPlan *p);

typedef struct FileHash {
    const char *name; /* without its folder */
    int64_t bytes;
    char sha256[SHA256_TEXT];
} FileHash;

typedef struct ModelRecord {
    const char *model; /* last part of its path */
    FileHash *files;
    size_t n_files;
    CheckRecord check;
} ModelRecord;

typedef struct Records {
    ModelRecord *models;
    size_t n;
    Arena arena;
} Records;

bool records_read(Records *r, const char *path, Err *e);
bool records_write(const Records *r, const char *path, Err *e);
const ModelRecord *records_find(const Records *r, const char *model_path); /* NULL: none */
/* An empty record of that model; ERR_USAGE where there is one of its name. */
bool records_add(Records *r, const char *model_path, ModelRecord **out, Err *e);
void records_release(Records *r);
/* Hashes of the files that make up an open model, in the order of their names. */
bool hash_files(const TensorFile *f, Arena *a, FileHash **out, size_t *n, Err *e);

typedef struct TestRow { /* a model on a backend */
    const TestModel *model;
    const char *backend, *family, *format;
    char dtypes[96], why[300]; /* why: of what was skipped, or the first failure */
    int64_t params;
    CheckState state;
    bool absent; /* the whole backend is: one line of the table for all models */
    double seconds;
    CheckReport report;
} TestRow;

typedef struct TestRows {
    TestRow *rows;
    size_t n, count[3]; /* by CheckState */
    int name_width;
} TestRows;

const char *path_end(const char *path); /* its last part: "b.gguf", "b" of "a/b/" */
bool put_test_head(const TestRows *t, const Ui *ui, Err *e);
bool put_test_row(const TestRows *t, const TestRow *r, const Ui *ui, Err *e);
bool put_test_end(const TestRows *t, const Ui *ui, Err *e);
/* man/MODEL_SUPPORT.md: families x formats x backends, by the table of families and by what passed in this run. */
bool put_support(const TestRows *t, Err *e);

#endif
