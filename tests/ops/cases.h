/* The one table of op cases: what shapes, dtypes and params each op is tried with. Every mode of test_ops.c and the
 * gradient check read it; adding an op needs a row here, adding a kernel needs none. */
#ifndef TESTS_OPS_CASES_H
#define TESTS_OPS_CASES_H

#include "core/op.h"

typedef enum Fill {
    FILL_normal, /* about N(0, 1) */
    FILL_edge, /* zeros of both signs, subnormals, values whose squares overflow; in blocks any bits under odd scales */
    FILL_big,  /* about N(0, 40^2): products saturate exponentials */
    FILL_tiny, /* about 1e-39: 127 over the largest overflows */
    FILL_odd,  /* infinities and NaNs among ordinary numbers */
    FILL_sweep,  /* even over [-110, 110] */
    FILL_index,  /* i32 in [0, limit) */
    FILL_label,  /* as index, some -100 */
    FILL_none,   /* i32, all -100 */
    FILL_angle,  /* pairs cos, sin */
    FILL_slots,  /* i32, each row distinct numbers below limit, ascending */
    FILL_hyper,  /* those of adamw */
    FILL_square, /* not negative */
} Fill;

typedef struct Shape {
    Dtype dtype;
    Fill fill;
    bool strided; /* a slice of a wider tensor: rows of dim 0 have a gap behind them */
    int64_t limit;
    int64_t ne[MAX_DIMS]; /* up to the first 0 */
} Shape;

/* Tokens of one sequence in the step: indices [start, start + len); keys below start are in the cache. */
typedef struct SeqSpec {
    int64_t start, len;
    int64_t span, span_end; /* tokens with span <= index < span_end see up to span_end */
} SeqSpec;

enum { CASE_SEQS = 3 };

typedef struct Case {
    Op op;
    OpParams params;
    Shape in[MAX_IN];
    Shape out;
    SeqSpec seqs[CASE_SEQS]; /* none: one of as many tokens as the output has rows */
    Dtype kv_dtype;          /* f32 unless said */
    int64_t kv_heads;        /* of the cache */
    bool bench;              /* large: timed by --bench, tested in part of the modes */
} Case;

extern const Case cases[];
extern const size_t n_cases;

/* "matmul a8[7,64] q4_1[17,64]" and what else tells it from others; out has room for 160 bytes. */
const char *case_name(const Case *c, char *out);
int shape_ndim(const Shape *s);
int case_n_in(const Case *c);
int case_in_place(const Case *c);         /* node_in_place of such a node, where the plan may use it */
bool case_is_state(const Case *c, int i); /* the op writes to input i beside its output */

#endif
