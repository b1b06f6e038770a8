/* Quantising weights: which dtype each tensor of a file gets. Rows of floats go into it by quantize_rows
 * (core/dtype.h). */
#ifndef CORE_QUANTIZE_H
#define CORE_QUANTIZE_H

#include "core/arch.h"
#include "core/dtype.h"

/* ---- mixes: a kind of file, as llama.cpp names them, is a base dtype and what some tensors get instead ---- */

typedef enum MixWhen { /* i: the layer, L: their number */
                       MIX_NEVER,
                       MIX_ALWAYS,
                       MIX_FIRST_2,
                       MIX_FIRST_4,
                       MIX_FIRST_16TH,
                       MIX_FIRST_8TH,
                       MIX_FIRST_8TH_BLIND, /* where no importance is known */
                       MIX_FIRST_8TH_KNOWN, /* where it is */
                       MIX_SOME,            /* the first and the last eighth, and every third between */
                       MIX_SHARED,          /* 4 query heads or more to a kv head */
                       MIX_EXPERTS_8
} MixWhen;

typedef struct MixRule {
    MixWhen when;
    Dtype dtype;
} MixRule;

typedef struct Mix {
    const char *name;                  /* "q4_k_m" */
    Dtype base;                        /* of most matrices */
    int gguf_file_type;                /* general.file_type */
    MixRule value[2], out[2], down[2]; /* of v and qkv, of o, of down: the first that holds, else the base */
} Mix;

extern const Mix mixes[];
extern const size_t n_mixes;

/* The mix of a name in any case ("Q4_K_M"; "q4_k" is q4_k_m), NULL: there is none. */
const Mix *mix_find(const char *name);
/* The mixes by name, comma separated, for messages. */
void mix_names(Buf *out);

typedef struct QuantModel { /* what of a model decides */
    int64_t layers, heads, kv_heads;
    int64_t experts; /* 0: none */
    bool tied;       /* the head is the embedding */
    bool importance; /* the importance of columns is known (an importance matrix) */
} QuantModel;

typedef struct QuantTensor {
    Part part;
    int64_t layer; /* 0 outside the layers */
    int64_t width; /* columns: the innermost dim */
    int ndim;
} QuantTensor;

/* The dtype of a tensor in a file of this mix: what llama-quantize picks for it, f32 for what it leaves alone (norms,
 * biases, positions, routers, whatever has one dim). Always one that has encode, of blocks that divide the width. */
Dtype mix_dtype(const Mix *mix, const QuantModel *m, const QuantTensor *t);

#endif
