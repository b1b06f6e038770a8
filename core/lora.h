/* Low-rank adapters (LoRA; Hu et al. 2021): beside y = x W^T of a module stands scale * (x A^T) B^T. Which modules have
 * that and with which values says a Lora; pass_lora (core/passes.h) puts it into a graph, for inference and training
 * alike. The weights themselves are not touched. */
#ifndef CORE_LORA_H
#define CORE_LORA_H

#include "core/graph.h"
#include "core/model.h"

enum { LORA_A, LORA_B };

typedef struct LoraMap {
    const Weight *w;     /* [out, in], in the base model */
    const char *leaf[2]; /* A [rank, in] and B [out, rank], as PEFT calls them: "base_model.model.MODULE.lora_A.weight";
                            of the second adapter and later ones "lora_A.1.weight" */
    const Tensor *t[2];  /* their values, borrowed; NULL: new, see lora_init */
    int64_t rank;
    float scale;
    bool interleaved; /* rows of B stand in GGUF's order */
    int next;         /* map of the same weight, of a later adapter; -1: none */
} LoraMap;

typedef struct Lora { /* all zero: none */
    LoraMap *maps;    /* in the order in which they were added */
    size_t n, cap;
    int adapters;              /* that were begun */
    float dropout;             /* of what A reads, in training: the part of the values that are left out */
    StrMap by_weight, by_leaf; /* first map of a weight; 2 * map + LORA_A or LORA_B */
    Arena arena;
} Lora;

void lora_release(Lora *l);

/* The weight of a linear map by its module's name in `format`; Hugging Face's may lack the family's prefix, and lm_head
 * of a tied model is the embedding. NULL: the model has no such linear map. */
const Weight *lora_weight(const Model *m, const char *module, StoreFormat format);

/* What is added from here on belongs to another adapter than what was added before. */
void lora_begin(Lora *l);

typedef struct LoraPair { /* of an adapter's file */
    const char *module;   /* in `format`, which also tells the order of B's rows */
    StoreFormat format;
    const Tensor *a, *b; /* [rank, in], [out, rank], any float or block dtype; borrowed */
    double scale;
} LoraPair;
bool lora_add(Lora *l, const Model *m, const LoraPair *pair, Err *e);

typedef struct LoraSpec { /* a new adapter */
    int64_t rank;
    double alpha;        /* the scale is alpha / rank, */
    bool root;           /* or alpha / sqrt(rank) (rsLoRA; Kalajdzievski 2023) */
    const char *targets; /* "q_proj+v_proj": modules by their last word; NULL: the family's; "all-linear": all but the
                            head */
    double dropout;      /* in [0, 1) */
} LoraSpec;
/* A map for each module; a target that matches none is an error. */
bool lora_new(Lora *l, const Model *m, const LoraSpec *spec, Err *e);

/* The values that a leaf begins with, dense f32: those of the file, or of a new adapter A uniform in +-1/sqrt(in) by
 * seed and name (Kaiming with a = sqrt(5), as PEFT), B zero. */
void lora_init(const Lora *l, const char *leaf, uint64_t seed, float *out);
/* Tensor of a leaf that has values; NULL: unknown or new. */
const Tensor *lora_tensor(const Lora *l, const char *leaf);

int64_t lora_bytes(const Lora *l);        /* of the values */
int64_t lora_params(const Lora *l);       /* how many there are */
uint64_t lora_fingerprint(const Lora *l); /* of names, scales and values, all read */

/* For WeightSource.find (core/exec.h): the values of a leaf of a graph, the model's or the adapters'. */
typedef struct LoraLeaves {
    const Model *m;
    const Lora *l; /* NULL: none */
} LoraLeaves;
const Tensor *lora_find(void *leaves, const Node *leaf);

/* rows[i] += scale * B A of the weight's row first + i in the file's order, n rows of f32; of all adapters, in order.
 * Needs values. */
void lora_merge_rows(const Lora *l, const Weight *w, int64_t first, int64_t n, float *rows);

#endif
