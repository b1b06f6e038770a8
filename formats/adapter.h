/* Adapters' files and the maps of a model (core/lora.h). */
#ifndef FORMATS_ADAPTER_H
#define FORMATS_ADAPTER_H

#include "core/lora.h"
#include "core/train.h"
#include "formats/formats.h"

/* The two files of a PEFT directory. */
#define ADAPTER_CONFIG  "adapter_config.json"
#define ADAPTER_WEIGHTS "adapter_model.safetensors"

/* Adds it to *l, which borrows its tensors; `scale` is what the user gave beside the adapter's own. */
bool adapter_lora(const Adapter *x, const Model *m, double scale, Lora *l, Err *e);

/* ---- writing ---- */

typedef struct AdapterConfig {
    const char *base; /* the model's path, NULL: unknown */
    int64_t rank;     /* of most pairs */
    double alpha, dropout;
    bool root;           /* rsLoRA */
    bool transposed;     /* Hugging Face stores the weights [in, out] */
    const char *targets; /* "q_proj+mlp.c_proj"; NULL: the last words of the tensors' modules */
} AdapterConfig;

/* An adapter_config.json for tensors that are called as PEFT calls them; made in *a. */
Value adapter_config(Arena *a, const AdapterConfig *c, const OutTensor *tensors, size_t n);
/* A PEFT directory, which is made where it is missing: the tensors first, then the configuration; each appears whole.
 */
bool adapter_write(const char *dir, Str config, const OutTensor *tensors, size_t n, Err *e);
/* The same of what a trainer has trained: its values are f32. spec: what the adapter was made by. */
bool adapter_save(const char *dir, const Trainer *t, const LoraSpec *spec, const char *base, Err *e);

#endif
