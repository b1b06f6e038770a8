/* llmws bench, in six files: measuring speed (bench.c), that of training (bench_train.c), what the machine could do
 * (bench_roof.c), results (bench_out.c), how well a text is foretold (bench_ppl.c) and holding two results side by side
 * (bench_compare.c). */
#ifndef CMD_BENCH_H
#define CMD_BENCH_H

#include "backends/cpu/cpu.h"
#include "cmd/run_opts.h"
#include "core/train.h"

typedef struct BenchOpts {
    RunOpts run;
    int64_t prompt, gen, depth, batch, repeat;
    const char *synthetic, *type;
    const char *ppl, *against;
    const char *precision;
    bool csv, compare, train, grad_checkpoint;
} BenchOpts;

typedef struct Roofs { /* the most that this machine does, 1e9 bytes and operations a second; 0: not known */
    double read_gb_s, gflop_s[PEAK_COUNT];
} Roofs;

typedef struct BenchTest { /* one line of the results; numbers that do not apply are NAN */
    const char *name;      /* "prompt", "gen", "train" */
    int64_t n;             /* tokens of each sequence */
    double flop;           /* of the products with weights, a token */
    double tok_s, sd, ttft_ms, gb_s, gflop_s;
    Roofs roofs;         /* the better of before and after: what others use at the moment is no roof */
    double peak_gflop_s; /* of just these products */
    double roof_share;   /* of the roof that is nearer: reading memory, or products */
    int64_t kv_bytes;    /* keys and values that a step of generation reads, in the mean */
    int64_t mem_bytes;   /* planned, of training */
} BenchTest;

typedef struct Bench {
    const BenchOpts *o;
    Ui ui;
    LlmwsModel *model;
    LlmwsSession *session;
    LlmwsModelInfo info;
    Str name;
    LlmwsPlan plan;
    int *seq;           /* [batch] */
    int *step_seq;      /* [chunk] whose the tokens of a step are */
    int32_t *ids;       /* random, as many as the longest test takes */
    int64_t step_bytes; /* weights that one step of generation reads */
    /* of the products with weights, by how they are computed: a token; a token whose logits are asked for */
    double layer_flop[PEAK_COUNT], head_flop[PEAK_COUNT];
    double *rates;    /* [repeat] tok/s */
    Roofs last, best; /* measured last, of this run */
    bool read_warned;
    Buf line;
    Arena arena;
} Bench;

/* Counts what a token and a step cost: fills step_bytes, layer_flop and head_flop. */
void bench_count(Bench *b);
double bench_flop_sum(const double flop[PEAK_COUNT]);
/* Keys and values that a step of all sequences reads in the mean of n steps. */
int64_t bench_kv_bytes(const Bench *b, int64_t n);
/* Measures all roofs into b->last; about a fifth of a second. */
void bench_roofs(Bench *b);
/* The better of b->last before the test and after it, and the shares of it. */
void bench_share(Bench *b, BenchTest *t);

/* The lines before the first result, and after the last; nothing where results are JSON. */
void bench_put_head(Bench *b);
bool bench_put_test(Bench *b, const BenchTest *t, Err *e);
bool bench_put_end(Bench *b, Err *e);

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
} TrainBenchResult;

/* Times whole updates, after one that is not timed. ERR_FIT where they need more memory than is free. */
bool bench_train(const TrainBench *o, TrainBenchResult *out, Err *e);

/* What a model is called, or where it does not say that the last part of its path. */
Str bench_name(const LlmwsModelInfo *m, const char *path);
/* Members of a result's JSON object: which model, on what, how. */
void bench_put_setting(Buf *l, Str name, const LlmwsModelInfo *m, const LlmwsPlan *p);
/* A comma and a quoted field of CSV. */
void bench_put_csv(Buf *l, Str text);

/* Two files that `bench --json` wrote: a row for every test that both hold; ERR_INPUT where there is none. */
bool bench_compare(const Ui *ui, bool csv, const char *path_a, const char *path_b, Err *e);

#endif
