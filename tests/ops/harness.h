/* A case made flesh: guarded operands filled from a seed, kernels run on them, results compared.
 *
 * Each operand ends where an unreadable page begins, so reading past it is a fault; in front of it, and in the gaps of
 * a slice, stand bytes (NaN as a float) that must be the same afterwards. */
#ifndef TESTS_OPS_HARNESS_H
#define TESTS_OPS_HARNESS_H

#include "tests/ops/cases.h"

typedef struct Region {
    char *map, *data;
    size_t map_bytes, bytes; /* map_bytes without the guard page */
    char *before;            /* copy of the map as it was filled */
} Region;

enum { CASE_LAYERS = 2 };

typedef struct Instance {
    const Case *c;
    OpArgs a; /* a.step points to step */
    Step step;
    Region in[MAX_IN], out, kv[CASE_LAYERS];
    char *kv_base[CASE_LAYERS];
    bool in_place; /* out stands in in[0] */
    Arena arena;
} Instance;

/* The same case and seed give the same bytes. */
void instance_make(Instance *x, const Case *c, uint64_t seed, bool in_place);
void instance_release(Instance *x);
/* seed 0: all units at once; else in random pieces in random order. Scratch is full of NaN each time. */
void instance_run(Instance *x, const Kernel *k, uint64_t seed);

/* The args of tokens [t0, t1) alone. in_mask: bit i is set when input i has a row per token. */
typedef struct Part {
    OpArgs a;
    Step step;
    int32_t *first_row;
} Part;
void part_make(Part *p, const Instance *x, unsigned in_mask, int64_t t0, int64_t t1);
void part_release(Part *p);
void args_run(const OpArgs *a, const Kernel *k, uint64_t seed);

/* How far out[row][col] may be off; NULL: not at all (NaN equals NaN). */
typedef double Bound(const Instance *x, int64_t row, int64_t col);

/* Whether everything an op writes is the same in both; if not, why (160 bytes) says where. */
bool instance_same(const Instance *want, const Instance *got, Bound *bound, char *why);
/* Whether nothing was written that the op does not write. */
bool instance_intact(const Instance *x, char *why);

/* Element of a row of a real tensor as f32. */
float tensor_at(const Tensor *t, int64_t row, int64_t col);

typedef struct Rng {
    uint64_t state;
} Rng;
uint64_t rng_next(Rng *r);
int64_t rng_below(Rng *r, int64_t n);
float rng_normal(Rng *r); /* roughly: a sum of uniforms, |x| < 3.5 */

#endif
