/* What the files of a training run say (run.json, events.jsonl), for those who look on: also while they are written.
 *
 * events.jsonl is read from its end, in blocks, and never mapped: a run that is resumed cuts it. Of what stands twice
 * the later counts, so a step that is not below all that were read is passed over; so is a last line without its end,
 * which is being written, and what is no event of ours. Curves are kept in a fixed number of buckets of equal width. */
#ifndef FORMATS_RUN_READ_H
#define FORMATS_RUN_READ_H

#include "core/value.h"

typedef enum RunMetric {
    RUN_LOSS, /* of train_progress, as those below */
    RUN_LR,
    RUN_GRAD_NORM,
    RUN_TOK_S,
    RUN_MEM,
    RUN_EVAL, /* the loss of train_eval */
    RUN_METRICS
} RunMetric;

enum { RUN_BUCKETS = 4096 };

typedef struct RunBucket {
    int64_t n; /* 0: empty */
    double mean, min, max;
} RunBucket;

typedef struct RunSeries {
    int64_t n, missing;                     /* values; steps that have none, or one beyond 1e30 */
    double first, last, min, max;           /* NAN where n is 0 */
    int64_t first_step, min_step, max_step; /* where */
    RunBucket *buckets;                     /* [RUN_BUCKETS]; bucket i holds steps i * RunLog.width and on */
} RunSeries;

typedef struct RunLog {
    RunSeries of[RUN_METRICS];
    int64_t width;                 /* steps of a bucket */
    int64_t step, steps;           /* the last one, -1: none; all, -1: unknown */
    int64_t epoch, saved;          /* of the last step; of the last checkpoint that was told; -1: unknown */
    int64_t params, planned_bytes; /* planned: the most of its processes */
    int64_t step_tokens;           /* at most, in a step; 0: unknown */
    double step_s;                 /* seconds a step took lately, checkpoints included; NAN */
    double seconds;     /* spent on what stands, without what lay between two processes and the last save; NAN */
    double started;     /* seconds since 1970; NAN */
    int64_t resumed;    /* times */
    bool done, stopped; /* that is the last event */
    int64_t bad;        /* lines that could not be read */
    Str family;         /* empty: unknown */
    Arena arena;
} RunLog;

/* Reads events from an open file; *log is zero before, and released after a failure too. ERR_IO. */
bool run_log_read(int fd, RunLog *log, Err *e);
void run_log_release(RunLog *log);

/* The median of the last n buckets that hold anything (0: of all); NAN where none does. */
double run_series_median(const RunSeries *s, int64_t n);

typedef enum RunState {
    RUN_RUNNING,
    RUN_DEAD,    /* killed, or its machine is gone */
    RUN_STOPPED, /* it said that it ends, by Ctrl-C or an error */
    RUN_DONE
} RunState;

typedef struct RunRecord {
    const char *dir;   /* borrowed */
    Value json;        /* run.json, an object */
    RunLog log;        /* empty where there is no events.jsonl */
    RunState state;    /* running: a process holds the run's lock */
    double started;    /* seconds since 1970 */
    double last_event; /* the same */
    Arena arena;
} RunRecord;

/* Whether a directory holds a run.json. */
bool run_is(const char *dir);
/* ERR_INPUT where it is no run. The lock is shared for the instant in which it is tried. *r is zero before; released
 * after a failure too. */
bool run_read(const char *dir, RunRecord *r, Err *e);
void run_record_release(RunRecord *r);

#endif
