/* Training: the forward graph with a loss, its gradients and the optimiser as one graph and one plan. A step is one run
 * of it. */
#ifndef CORE_TRAIN_H
#define CORE_TRAIN_H

#include "core/build.h"
#include "core/exec.h"

typedef struct AdamW { /* Loshchilov & Hutter 2019, decoupled weight decay on every parameter */
    double lr, beta1, beta2, eps, weight_decay;
} AdamW;

typedef struct Trainer {
    const Model *m;
    Graph g;
    ModelGraph io;
    Exec x;
    int labels, loss, seed, hyper; /* nodes */
    int *params, *grads;           /* [n_params] */
    int n_params;
    Step step;
    int32_t *index, *reach, *first_row; /* [max_tokens] */
    float *freq, *freq_local;
    int64_t done; /* optimiser steps */
} Trainer;

/* Plans and reserves a step of at most max_tokens tokens: f32 copies of the weights, activations, gradients, and with
 * `optimise` the moments and updates of AdamW. m and b are borrowed. */
bool train_open(Trainer *t, const Model *m, Backend *b, int64_t max_tokens, bool optimise, Err *e);
void train_close(Trainer *t);

/* One run over n_seq sequences of `len` tokens each, ids and labels [n_seq * len]; labels[i] is what should follow
 * ids[i], -100 for no loss. Returns the mean loss before the update. how is NULL where the trainer does not optimise.
 */
bool train_step(Trainer *t, const int32_t *ids, const int32_t *labels, int64_t n_seq, int64_t len, const AdamW *how,
                float *loss, Err *e);

/* Gradient of a weight in the last step, and the weight itself: f32 in the file's row order; NULL for an unknown name.
 */
const float *train_grad(const Trainer *t, const char *name, int64_t *count);
const float *train_weight(const Trainer *t, const char *name, int64_t *count);
const float *train_logits(const Trainer *t); /* [tokens, V] of the last step */

#endif
