/* Files of models: what each format yields is a TensorFile or a TokSpec, what each takes is a tree of values and a list
 * of tensors.
 *
 * Readers check sizes, counts, offsets, nesting and UTF-8 against the bytes that are really there before they use or
 * allocate anything; what a file says wrongly is an ERR_INPUT naming the file, the thing and both numbers. Writers
 * write beside the target, fsync, rename and fsync the folder: a name never holds half a file. */
#ifndef FORMATS_FORMATS_H
#define FORMATS_FORMATS_H

#include "core/store.h"
#include "core/tok_spec.h"

/* ---- reading ---- */

/* A .gguf file (by its magic), a Hugging Face directory (config.json + *.safetensors, sharded or not), or one
 * .safetensors file with config.json beside it, or a builtin model (builtin.h), or a synthetic one (synthetic.h).
 * Weights stay in the mapping (a tensor that lies unaligned in a safetensors file is copied). *f is closed with
 * f->close(f); after a failure it is all zero, and there is nothing to close. A path that cannot be opened is
 * ERR_INPUT, like a bad file. */
bool tensor_file_open(const char *path, TensorFile *f, Err *e);
/* The first part of a model in several GGUF files opens them all. "llmws.config", JSON text in the file, is an object
 * in f->meta. */
bool gguf_open(const char *path, TensorFile *f, Err *e);
/* Tensors of one safetensors file, no configuration needed: meta is its __metadata__. */
bool safetensors_open(const char *path, TensorFile *f, Err *e);
bool hf_open(const char *dir, TensorFile *f, Err *e);

/* The tokenizer of a GGUF file that is open, or of a directory / tokenizer.json / .gguf by path. Borrows from f while
 * it is used. */
bool gguf_tok_spec(const TensorFile *f, TokSpec *spec, Err *e);
bool hf_tok_spec(const char *dir_or_file, TokSpec *spec, Err *e);
/* As hf_tok_spec, from the bytes of a tokenizer.json alone; copies what it keeps. *spec is empty after a failure. */
bool hf_tok_spec_parse(Str json, TokSpec *spec, Err *e);
bool tok_spec_open(const char *path, TokSpec *spec, TensorFile *keep,
                   Err *e); /* keep: filled where path is a GGUF file, else zero */
void tok_spec_release(TokSpec *spec);
/* The pattern that new tokenizers split with: Llama 3's. */
extern const char tok_default_split[];

/* A whole file mapped read-only; regular files only (a FIFO or directory is refused). An empty file is n == 0. The file
 * must not be truncated while it is mapped (SIGBUS); to replace it by rename is safe. */
typedef struct Mapping {
    const char *bytes;
    size_t n;
    bool builtin;   /* nothing to unmap */
    bool in_memory; /* no file on a disk stands behind it */
} Mapping;
bool map_file(const char *path, Mapping *m, Err *e);
/* The same of a model's path, which may also be the name of a builtin one, whose bytes are in the library, or of a
 * synthetic one, which is made now. */
bool map_model(const char *path, Mapping *m, Err *e);
void unmap_file(Mapping *m);
/* False only where nothing bears that name. A link that leads nowhere exists: what is optional and broken is an error.
 */
bool path_exists(const char *path);
/* Of a model's path: a builtin model exists where this build has it, and is no directory. */
bool model_exists(const char *path);
bool path_is_dir(const char *path);

/* How much each column of a matrix matters: mean squares of what it was multiplied with, by the tensor's name in GGUF.
 */
typedef struct ImatrixEntry {
    const char *name;
    float *values; /* [n]: columns, of every expert where the tensor holds several; >= 0 */
    size_t n;
} ImatrixEntry;
typedef struct Imatrix { /* all zero: empty */
    ImatrixEntry *entries;
    size_t n;
    StrMap index;
    Arena arena;
} Imatrix;
bool imatrix_open(const char *path, Imatrix *m, Err *e);
void imatrix_release(Imatrix *m);
const ImatrixEntry *imatrix_find(const Imatrix *m, const char *name); /* NULL: none */

/* A low-rank adapter: what is added to a weight is scale * b * a. */
typedef struct AdapterPair {
    const char *module;  /* of the base model, as the adapter's format names it: "model.layers.0.self_attn.q_proj" */
    const Tensor *a, *b; /* [r, in], [out, r] */
    double alpha;        /* its own, where alpha_pattern has one, or the adapter's */
} AdapterPair;
typedef struct Adapter {
    StoreFormat format;
    const char *path;
    AdapterPair *pairs;
    size_t n;
    double alpha;
    bool root;       /* alpha is divided by the root of the rank, not by the rank (rsLoRA) */
    bool plain;      /* alpha is not used: the scale is 1 */
    Value config;    /* adapter_config.json, or null */
    Str config_text; /* the same as text; n == 0: none */
    TensorFile file;
    Arena arena;
} Adapter;
/* A PEFT directory, or a GGUF file with general.type "adapter". */
bool adapter_open(const char *path, Adapter *x, Err *e);
/* The same of "PATH" or "PATH:SCALE"; *scale is 1 where none is given. */
bool adapter_open_scaled(const char *arg, Adapter *x, double *scale, Err *e);
void adapter_close(Adapter *x);
/* Whether a path looks like one. */
bool adapter_is(const char *path);
double adapter_scale(const Adapter *x, const AdapterPair *p);

/* ---- writing ---- */

/* A file that appears under its name only when it is whole. The mode of a file that it replaces is kept, a symbolic
 * link is followed; a target that is no regular file is refused. An error sticks: commit then fails, and the old file
 * stays. */
typedef struct AtomicFile AtomicFile;
bool atomic_open(const char *path, AtomicFile **out, Err *e);
Sink atomic_sink(AtomicFile *f);
bool atomic_commit(AtomicFile *f, Err *e); /* frees f, on failure too */
void atomic_abort(AtomicFile *f);          /* frees f and removes what was written */

/* Reading a file as a stream, for Cache load. */
typedef struct FileSource FileSource;
bool file_source_open(const char *path, FileSource **out, Err *e);
Source file_source(FileSource *f);
void file_source_close(FileSource *f);

/* Whether p[0..n) lies in a file that f has mapped; its whole pages then leave memory, until they are read again. */
bool tensor_file_forget(const TensorFile *f, const void *p, size_t n);

typedef struct OutTensor {
    const char *name;
    Dtype dtype;
    int ndim;
    int64_t ne[MAX_DIMS];                                                /* outermost first */
    const void *data;                                                    /* dense; or NULL and emit is asked */
    bool (*emit)(void *ctx, const struct OutTensor *t, Sink to, Err *e); /* writes exactly the tensor's bytes */
    void *ctx;
} OutTensor;

/* meta is an object: int -> u32 (i64 where it does not fit), float -> f32, string, bool, blobs as typed arrays, arrays
 * of strings, an object -> its JSON text. */
bool gguf_write(const char *path, const Value *meta, const OutTensor *tensors, size_t n, Err *e);
bool gguf_write_to(Sink to, const Value *meta, const OutTensor *tensors, size_t n, Err *e);
/* metadata: object of strings or NULL. */
bool safetensors_write(const char *path, const Value *metadata, const OutTensor *tensors, size_t n, Err *e);
/* model.safetensors, or shards of at most max_shard bytes (0: one) with model.safetensors.index.json. dir exists or is
 * made. */
bool safetensors_write_dir(const char *dir, int64_t max_shard, const OutTensor *tensors, size_t n, Err *e);
bool write_text_file(const char *path, Str text, Err *e);
/* Appends a tokenizer.json to *out. A step that the format has no word for is an error. Lists the spec's merges where
 * it has none. */
bool hf_tok_write(TokSpec *spec, Buf *out, Err *e);
/* tokenizer_config.json and special_tokens_map.json for a tokenizer that came without. */
void hf_tok_config_write(const TokSpec *spec, int64_t ctx, Buf *config, Buf *special);

/* tokenizer.ggml.* and tokenizer.chat_template*, as llama.cpp reads them. rows: of the embedding, ids beyond the
 * vocabulary are called [PAD123]. pre: NULL, or the tag to write whatever the splits are. Put into *meta, made in a;
 * borrows from the spec, to which missing scores are added. */
bool gguf_tok_write(TokSpec *spec, int64_t rows, const char *pre, Arena *a, Value *meta, Err *e);

#endif
