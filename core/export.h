/* A model as another format would hold it: names, shapes, metadata and order of rows from the family's row. formats/
 * writes it. */
#ifndef CORE_EXPORT_H
#define CORE_EXPORT_H

#include "core/model.h"
#include "core/quantize.h"

typedef struct ExportTensor {
    const char *name; /* in the target format */
    Dtype dtype; /* what export_rows yields: the source's. Vectors in GGUF are f32, and so is what the target has no
                    type for (blocks in Hugging Face's files) */
    int ndim;
    int64_t ne[MAX_DIMS]; /* outermost first, as the target stores it */
    const Weight *w;      /* where the values are from; NULL: from data, [ne[0]] (factors of the rotary positions) */
    const float *data;
    int64_t first; /* row of the weight where it begins: of one of the experts, where the target has a tensor of each */
    StoreFormat format; /* of the target */
    bool turned;        /* the target's rows are the weight's columns */
    float plus;         /* added to every value on the way */
} ExportTensor;

typedef struct Export {
    Value meta; /* GGUF: pairs, the tokenizer's included where the model came with some, and "llmws.config", an object
                   that the file holds as JSON text; Hugging Face: config.json */
    ExportTensor *tensors;
    size_t n;
    Arena arena;
} Export;

/* Fill *x, borrowing from m, so that the file that says it is read as the same model. Release with
 * arena_release(&x->arena), after a failure too. */
bool export_gguf(const Model *m, Export *x, Err *e);
/* The config.json that the model came with, as it was, where it still says the same; else made of the family's row,
 * what the old one has beside that kept. */
bool export_hf(const Model *m, Export *x, Err *e);
/* Makes x->meta of the family's row whatever the old one says: every setting stands in it, what the old one has beside
 * them is kept. */
bool export_hf_config(const Model *m, Export *x, Err *e);
/* For a writer that stores Hugging Face's tensors in another float type: puts it into the config. */
void export_hf_dtype(Export *x, Dtype t);

/* What a tensor for GGUF becomes in a file of a mix. importance: of columns is known. */
Dtype export_mixed(const Model *m, const ExportTensor *t, const Mix *mix, bool importance);

/* Rows of a tensor: all dims but the innermost counted as one; of a vector 1. */
int64_t export_row_count(const ExportTensor *t);
/* Rows [first, first + n) as the target has them, dense: as t->dtype, or as f32 for who stores them otherwise. A turned
 * tensor is read once for every call: ask for many rows at a time. */
void export_rows(const ExportTensor *t, int64_t first, int64_t n, void *out);
void export_rows_f32(const ExportTensor *t, int64_t first, int64_t n, float *out);

#endif
