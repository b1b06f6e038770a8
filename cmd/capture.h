/* --capture: values of the graph kept while a model runs, in memory of a fixed size, and written as a safetensors file
 * of one row a token. What the memory does not hold waits in an unnamed file beside the result. */
#ifndef CMD_CAPTURE_H
#define CMD_CAPTURE_H

#include "cmd/rule.h"
#include "cmd/run_opts.h"
#include "core/dtype.h"

typedef struct CaptureOpts {
    OptList patterns, rules;
    const char *out, *buffer, *reduce, *dtype;
    int64_t last, every;
} CaptureOpts;

typedef struct Captured { /* one value */
    const char *name;
    int ndim;
    int64_t dims[4];  /* as kept, tokens first; dims[0] is not used */
    int64_t n;        /* elements that a token has in the graph */
    size_t row_bytes; /* of a token as kept */
    size_t at;        /* where its rows begin in a block */
} Captured;

typedef struct Capture {
    const CaptureOpts *o;
    LlmwsSession *session;
    const char **patterns; /* NULL-terminated; NULL: nothing is captured, and every function does nothing */
    Captured *values;
    size_t n;
    Dtype dtype;
    int64_t seen, rows; /* tokens met; rows kept, those included that --capture-last dropped again */
    int64_t block_rows;
    size_t buffer_bytes, token_bytes;
    char *block; /* [value][block_rows] rows */
    int spill;   /* a file of blocks that were full; -1: none */
} Capture;

/* Checks the options and asks of the session what they need (taps, logits of every token), before it is opened. */
bool capture_plan(Capture *c, const CaptureOpts *o, LlmwsSessionOptions *so, Err *e);
/* Reserves the buffer, once the session is open. ERR_FIT where it does not hold a token, or not --capture-last. */
bool capture_open(Capture *c, LlmwsSession *s, Err *e);
/* Adds the buffer to a session's plan. */
void capture_plan_row(const Capture *c, LlmwsPlan *plan);
/* Keeps what the session's last step computed for its n tokens. */
bool capture_step(Capture *c, size_t n, Err *e);
int64_t capture_rows(const Capture *c); /* in hand */
/* The rows of value i in order, as c->dtype. */
bool capture_read(const Capture *c, size_t i, Sink to, Err *e);
/* Writes o->out, if it is given. */
bool capture_save(const Capture *c, Err *e);
void capture_release(Capture *c);

#endif
