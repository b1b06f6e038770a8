/* A model as another format would hold it: names, shapes, metadata and row order from the family's row. formats/ writes
 * it. */
#ifndef CORE_EXPORT_H
#define CORE_EXPORT_H

#include "core/model.h"

typedef struct ExportTensor {
    const char *name;  /* in the target format */
    const Weight *w;   /* its rows in the target's order: weight_row(w, format, r) */
    const float *data; /* instead of w: a computed f32 vector of n values (rope_freqs) */
    int64_t n;
} ExportTensor;

typedef struct Export {
    Value meta; /* GGUF: key/value pairs, the tokenizer's included where the model came with some */
    ExportTensor *tensors;
    size_t n;
    Arena arena;
} Export;

/* Fills *x, borrowing from m. Release with arena_release(&x->arena). */
bool export_gguf(const Model *m, Export *x, Err *e);

#endif
