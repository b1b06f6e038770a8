/* A model: the family's row, its configuration, and every weight under its Hugging Face name. Immutable after
 * model_init. */
#ifndef CORE_MODEL_H
#define CORE_MODEL_H

#include "core/arch.h"

typedef struct Weight {
    const char *name;      /* "model.layers.3.mlp.up_proj.weight" */
    const char *file_name; /* as in the file; * for the experts where each has a tensor */
    Tensor t;              /* in the file's layout, but for `turned`; vectors are f32 whatever the file has */
    void *turned; /* owned: the data, where the file has the transposed weight (hf_transposed in core/arch.h) */
    const TensorRow *row;
    int64_t layer;    /* 0 outside of the layers */
    int64_t head_dim; /* of a weight whose rows GGUF orders its own way (TRANSFORM_ROPE); else 0 */
    bool interleaved; /* the file has that order */
    float plus;       /* a norm adds it: 1 where the family's norms are of 1 + w and the file holds w, else 0 */
} Weight;

typedef struct Model {
    const ArchRow *arch;
    Config cfg;
    Weight *weights; /* in the row's order, layer by layer */
    size_t n;
    StrMap index; /* name -> position */
    TensorFile file;
    int64_t params, bytes;
    int64_t turned; /* of the bytes those in memory of their own, not in the file's mapping */
    Arena arena;
    Log log;
} Model;

/* Takes the file over (closes it on failure). Every tensor of the file is used exactly once or is an error; every
 * tensor the row asks for is there with the right shape or is an error. */
bool model_init(Model *m, TensorFile *file, Log log, Err *e);
void model_release(Model *m);
/* Makes the embedding the head and leaves out the head's own weights; before anything was built of m. False where that
 * is so already. */
bool model_tie(Model *m);
/* Of names, shapes, dtypes and samples of the data: tells models apart without reading them whole. */
uint64_t model_fingerprint(const Model *m);
const Weight *model_weight(const Model *m, const char *name); /* NULL: none */
/* The weight of a part in a layer (any number where it stands outside of the layers); NULL: the family has none. */
const Weight *model_part(const Model *m, Part part, int64_t layer);

/* "model.layers.{}.x" with a number put in for the first gap; lives in the arena or is the pattern itself. */
const char *weight_name(Arena *a, const char *pattern, int64_t number);
/* Where row r of the weight, counted in the order of `format`, stands in the file: the transform and its inverse in
 * one. */
int64_t weight_row(const Weight *w, StoreFormat format, int64_t r);

#endif
