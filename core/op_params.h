/* Typed parameters of ops: what is known when the graph is built. One struct per kind of op, one union of them all in a
 * node. */
#ifndef CORE_OP_PARAMS_H
#define CORE_OP_PARAMS_H

#include "core/dtype.h"
#include "core/mask.h"

typedef struct NoParams {
    char unused;
} NoParams;
typedef struct EmbedParams {
    int64_t vocab;
} EmbedParams;

/* view: without slice, `ne` is the new shape of the dense input (0: copy the input's dim, its symbol included). With
 * slice, columns [begin, begin + ne[1]) of dim 1 are kept, other dims as they are. */
typedef struct ViewParams {
    bool slice;
    int64_t begin;
    int ndim;
    int64_t ne[4];
} ViewParams;

typedef struct CastParams {
    Dtype to;
} CastParams;
typedef struct NormParams {
    float eps;
    float plus; /* added to the weights */
    Dtype to;   /* f32 unless said */
} NormParams;
typedef struct GatedParams {
    bool gelu; /* else silu */
    Dtype to;  /* f32 unless said */
} GatedParams;

typedef struct RouteParams {
    int k;          /* experts of a token */
    bool normalise; /* their weights add up to 1 */
} RouteParams;
typedef struct ExpertsParams {
    int64_t experts;
} ExpertsParams;
enum { MAX_EXPERTS = 4096 }; /* stacked in one weight */

typedef struct ScaleParams {
    float by;
} ScaleParams;
typedef struct DropoutParams {
    float p;         /* in [0, 1) */
    uint32_t stream; /* tells the dropouts of a graph apart */
} DropoutParams;
/* The input that dropouts draw by in training: i32 [2], new numbers for every micro-step. */
#define DROPOUT_DRAW "dropout.draw"

typedef struct CapParams {
    float cap; /* above 0 */
} CapParams;

typedef struct RopeParams {
    bool interleaved; /* pairs (2i, 2i+1), as GGUF's llama files order rows; else (i, i + E/2) as Hugging Face does */
    bool inverse;     /* rotate back: the gradient */
} RopeParams;

typedef struct RopeOrderParams {
    bool to_interleaved; /* half-split -> interleaved, else back */
    int64_t head_dim;
} RopeOrderParams;

typedef struct AttnParams {
    float scale;
    MaskRule mask;
    float softcap;         /* of scores, 0: none */
    int layer;             /* of the cache; those that read it alone */
    int64_t keys;          /* tokens of a sequence at most: columns of scores */
    DropoutParams dropout; /* of weights; p 0: none */
} AttnParams;

typedef struct KvParams {
    int layer;
} KvParams;

typedef struct PatchParams {
    float mul, add;
    int64_t from, to; /* token indices; to < 0: no end */
} PatchParams;

typedef struct MixParams {
    float a, b;
} MixParams;

typedef struct MuonParams {
    float adjust; /* what lr is multiplied with */
} MuonParams;

/* hyper of optimisers: lr, beta1, beta2, eps, weight decay, 1 - beta1^t, 1 - beta2^t, momentum */

#endif
