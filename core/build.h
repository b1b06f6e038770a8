/* From a family's row to its graph. */
#ifndef CORE_BUILD_H
#define CORE_BUILD_H

#include "core/graph.h"
#include "core/model.h"

typedef struct ModelGraph { /* nodes that the caller fills or reads */
    int ids;                /* i32 [T] */
    int rope;               /* f32 [T, dims/2, 2]: cos and sin of each token's angles, -1: no layer has them */
    int rope_local;         /* the same of windowed layers with a base of their own, -1: none */
    int positions;          /* i32 [T]: index of each token, -1: no learned positions */
    int out_rows;           /* i32 [O]: rows of the step whose logits are wanted */
    int hidden;             /* f32 [T, D]: what the head reads, of all tokens; of build_body alone */
    int logits;             /* f32 [O, V], kept */
} ModelGraph;

/* Fills *g with the forward pass of m in its plain form: attention over the step's own keys, f32 activations. Weights
 * are leaves of the dtype that the file has; with `trainable` they are f32 state. Names are module paths. */
bool build_model(const Model *m, int64_t max_tokens, int64_t max_outputs, bool trainable, Graph *g, ModelGraph *io,
                 Err *e);

/* The same in parts, for training. The body: all up to the last norm, of every token; blocks[i] receives the output of
 * layer i. The head: logits of rows x [O, D], as often as it is wanted; `nth` tells the names of its values apart. */
bool build_body(const Model *m, int64_t max_tokens, int64_t max_outputs, bool trainable, Graph *g, ModelGraph *io,
                int *blocks, Err *e);
int build_head(const Model *m, Graph *g, int x, bool trainable, int nth);

#endif
