/* llmws bench, in four files: measuring speed (bench.c), that of training (bench_train.c), how well a text is foretold
 * (bench_ppl.c) and holding two results side by side (bench_compare.c). */
#ifndef CMD_BENCH_H
#define CMD_BENCH_H

#include "cmd/run_opts.h"
#include "core/train.h"

typedef struct PplOpts {
    const RunOpts *run;
    const Ui *ui;
    const char *file;    /* the text, "-": standard input */
    const char *against; /* another model, computed in f32 with f32 keys and values; NULL: none */
} PplOpts;

/* Perplexity of the model over the text, and its divergence from the other one: one result. */
bool bench_ppl(const PplOpts *o, Err *e);

typedef struct TrainBench { /* updates of `rows` sequences of `length` random tokens */
    const RunOpts *run;
    const Ui *ui;
    const char *path; /* of the model */
    int64_t rows, length, repeat;
    Precision precision;
    bool checkpoint;
} TrainBench;

typedef struct TrainBenchResult {
    LlmwsPlan plan;
    double *rates; /* [repeat] tokens per second of each timed update; the caller's */
    double peak;   /* operations per second of products in registers; 0: not known */
} TrainBenchResult;

/* Times whole updates, after one that is not timed. ERR_FIT where they need more memory than is free. */
bool bench_train(const TrainBench *o, TrainBenchResult *out, Err *e);

/* Members of a result's JSON object: which model, on what, how. */
void bench_put_setting(Buf *l, const LlmwsModelInfo *m, const LlmwsPlan *p);

/* Two files that `bench --json` wrote: a row for every test that both hold; ERR_INPUT where there is none. */
bool bench_compare(const Ui *ui, bool csv, const char *path_a, const char *path_b, Err *e);

#endif
