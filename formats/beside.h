/* The files beside the weights of a Hugging Face directory, made of what another place says: the tokenizer with its
 * chat templates, and generation settings. Each is written into a directory that exists. */
#ifndef FORMATS_BESIDE_H
#define FORMATS_BESIDE_H

#include "formats/formats.h"

enum { KEPT_FILES = 4 };
typedef struct KeptFile {
    const char *file, *key;
} KeptFile;
/* Files that a GGUF file of llmws keeps as they were, for the way back: their names and the keys of their texts. */
extern const KeptFile kept_files[KEPT_FILES];

/* All that a GGUF file says, kept files as they were. A file without a tokenizer is no error, but a warning. ctx: of
 * the model. */
bool beside_gguf(const TensorFile *f, int64_t ctx, const char *dir, const Log *log, Err *e);
/* The tokenizer of a description, with its templates; files of the same names that stand there already stay. */
bool beside_tokenizer(TokSpec *spec, int64_t ctx, const char *dir, Err *e);
/* One JSON file, indented. */
bool beside_json(const char *dir, const char *name, const Value *v, Err *e);

#endif
