/* How good logits are: what they give to the token that came, and how far two of them lie apart. All sums in f64. */
#ifndef CORE_SCORE_H
#define CORE_SCORE_H

#include "core/base.h"

/* -log p(target) of softmax(logits[0..n)), in nats. */
double score_nll(const float *logits, int64_t n, int32_t target);
/* Kullback-Leibler divergence of q from p, sum p (log p - log q), both as logits [n]; nats, 0 or more but for rounding.
 */
double score_kl(const float *p, const float *q, int64_t n);
/* The likeliest token, the lowest id of equals; *gap: by how much its logit is above the second, NULL: not asked. */
int32_t score_top(const float *logits, int64_t n, float *gap);

typedef struct Mean { /* of what was added, with its standard error; all-zero is empty */
    double n, sum, squares;
} Mean;

static inline void mean_add(Mean *m, double x) { m->n++, m->sum += x, m->squares += x * x; }
double mean_of(const Mean *m);    /* NAN of nothing */
double mean_error(const Mean *m); /* of the mean: sqrt(variance / (n - 1)); 0 of less than two */

#endif
