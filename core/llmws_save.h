/* Shared by the parts of the facade that write models. */
#ifndef CORE_LLMWS_SAVE_H
#define CORE_LLMWS_SAVE_H

#include "core/export.h"
#include "core/llmws_objects.h"

typedef struct SaveSpec {
    const Dtype *dtype; /* of all tensors, a FLOAT; NULL: as they are */
    int64_t max_shard;  /* bytes of a file; 0: all in one */
    const char *beside; /* directory whose other files are copied; NULL: what the model's file says */
} SaveSpec;

/* Into a directory that exists. */
bool model_write_hf(const Model *m, const char *dir, const SaveSpec *s, Err *e);
/* What stands beside the weights alone: copied from `from`, NULL: what the model's file says. */
bool model_write_beside(const Model *m, const char *from, const char *dir, Err *e);
/* Memory that model_write_hf takes for a while, beside tables of names: part of a tensor. */
int64_t model_write_bytes(const Model *m);

#endif
