/* What the views of training runs share: --status and --runs (inspect_runs.c), --run (inspect_run.c), --compare
 * (inspect_compare.c), charts in a terminal (inspect_curve.c). */
#ifndef CMD_INSPECT_RUNS_H
#define CMD_INSPECT_RUNS_H

#include "cmd/inspect.h"
#include "cmd/table.h"
#include "formats/chart.h"
#include "formats/run_read.h"

/* What is shown of a run beside what its files say; NAN and -1: unknown. */
typedef struct RunFacts {
    double percent, tok_s; /* tok_s: lately */
    double eta_s, seconds, age_s;
    int64_t checkpoint, bytes; /* step of the last one; on the disk */
} RunFacts;
RunFacts run_facts(const RunRecord *r);

extern const char *const run_state_names[]; /* by RunState */
extern const char *const run_state_colors[];

/* "12s", "3m07s", "5h02m", "2d03h"; "-" for NAN. */
void put_seconds(Buf *b, double seconds);
/* "2.3456"; "-" for NAN. */
void put_figure(Buf *b, double v);
/* The same as a string in the arena. */
const char *figure(Arena *a, double v);
/* A string of run.json; empty where it is none. */
Str run_text(const RunRecord *r, const char *key);
/* The last parts of the paths of its data, "a.jsonl+b.txt". */
void put_data_names(Buf *b, const RunRecord *r);
/* Members of a run's JSON object. */
void run_json_members(Buf *b, const RunRecord *r, const RunFacts *f);

/* ---- curves of a run; free them with trace_release ---- */

typedef struct Trace {
    double *x, *raw, *smooth; /* [n]: steps, means of buckets, and those of their neighbourhood */
    size_t n;
    double *faint_x, *faint; /* [n_faint]: the lowest and the highest of each bucket */
    size_t n_faint;
    bool smoothed; /* smooth is not raw */
} Trace;
/* Of at most `points` points. */
Trace trace_of(const RunLog *log, RunMetric metric, size_t points);
void trace_release(Trace *t);
/* The smooth curve at a step; NAN beyond its ends. */
double trace_at(const Trace *t, double step);

typedef struct CurveStyle {
    int width;
    bool utf8, color;
} CurveStyle;
CurveStyle curve_style(const Ui *ui);
void curve_put(const Chart *c, const CurveStyle *style, Buf *out);

/* Appears whole or not at all. */
bool write_chart(const char *path, const Chart *c, Err *e);

#endif
