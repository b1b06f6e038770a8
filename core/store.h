/* How a file of weights looks to core, whatever its format: named tensors with borrowed data, and a tree of metadata.
 * formats/ makes a TensorFile; the family's row maps its names and shapes. */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include "core/tensor.h"
#include "core/value.h"

typedef struct NamedTensor {
    Str name; /* as in the file; NUL-terminated too */
    Tensor t; /* dense; outermost dim first in every format (GGUF's order is turned round by its reader) */
    int file; /* index into TensorFile.files */
} NamedTensor;

typedef enum StoreFormat { STORE_HF, STORE_GGUF } StoreFormat;

typedef struct TensorFile {
    StoreFormat format;
    NamedTensor *tensors;
    size_t n;
    StrMap index;             /* name -> position in tensors */
    Value meta;               /* GGUF: object of its key/value pairs. HF: config.json */
    Value generation;         /* HF: generation_config.json, or null */
    const char *path;         /* what the user named */
    const char *const *files; /* the files that hold the tensors */
    size_t n_files;
    bool zeros;           /* all values are 0 until they are drawn, and take no memory */
    bool in_memory;       /* the files are in memory alone: their pages cannot be given back */
    int64_t mapped_bytes; /* of all files: tensors, headers and metadata */
    Arena arena;          /* names and values */
    void *mappings;       /* owned by the format's close */
    void (*close)(struct TensorFile *f);
} TensorFile;

static inline const NamedTensor *tensor_file_find(const TensorFile *f, Str name) {
    int32_t i = strmap_get(&f->index, name);
    return i < 0 ? NULL : &f->tensors[i];
}

#endif
