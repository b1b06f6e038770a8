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
    int draw;               /* i32 [2]: what dropout draws by, -1: there is none */
    int out_rows;           /* i32 [O]: rows of the step whose logits are wanted */
    int hidden;             /* f32 [T, D]: what the head reads, of all tokens; of build_body alone */
    int logits;             /* f32 [O, V], kept */
} ModelGraph;

typedef struct BuildSpec {
    int64_t max_tokens, max_outputs;
    bool trainable; /* weights are f32 state, else leaves of the dtype that the file has */
    int64_t keys;   /* tokens of a sequence at most */
    /* Patterns (name_match; NULL-terminated, or NULL). An attention whose `scores` or `probs` one of them asks for is
     * built of ops that have these values, [T, heads, keys]. A pattern that ends in a star does not ask for them. */
    const char *const *visible;
    float dropout; /* of the embedding, the weights of attention and what its branches add to the residual; 0: none */
} BuildSpec;

/* Fills *g with the forward pass of m in its plain form: attention over the step's own keys, f32 activations. Names are
 * module paths. */
bool build_model(const Model *m, const BuildSpec *spec, Graph *g, ModelGraph *io, Err *e);

/* The same in parts, for training. The body: all up to the last norm, of every token; blocks[i] receives the output of
 * layer i. The head: logits of rows x [O, D]. */
bool build_body(const Model *m, const BuildSpec *spec, Graph *g, ModelGraph *io, int *blocks, Err *e);
int build_head(const Model *m, Graph *g, int x, bool trainable);

#endif
