/* What the readers and writers of weight files share, inside formats/ only: ownership of mappings, the parsers that
 * work on bytes in memory (for hf.c, the tests and the fuzzers), spans of a data section, and streaming a tensor out.
 */
#ifndef FORMATS_STORE_H
#define FORMATS_STORE_H

#include "formats/formats.h"

/* More tensors than any model has; bounds what a hostile file makes us allocate. */
enum { STORE_TENSORS_MAX = 1 << 20 };

/* ---- ownership ---- */

/* Zeroes f and makes it ready for the calls below; from here on f->close(f) releases what was added. */
void store_begin(TensorFile *f, StoreFormat format, const char *path);
/* Maps a file as the next of f->files; f unmaps it when it is closed. */
bool store_map(TensorFile *f, const char *path, Mapping *m, Err *e);
/* Closes and zeroes f where ok is false; returns ok. */
bool store_end(TensorFile *f, bool ok);
/* dir/name, in the arena. */
const char *store_join(Arena *a, const char *dir, const char *name);

/* One .safetensors file with its config.json beside it. */
bool hf_open_file(const char *path, TensorFile *f, Err *e);

/* ---- parsers ---- */

typedef struct GgufSplit { /* split.no, split.count, split.tensors.count; 0, 1 and -1 where the file says nothing */
    int64_t no, count, tensors;
} GgufSplit;

/* Appends the tensors of one GGUF file to *list (NamedTensor each; released by the caller) and to f->index, all
 * borrowing from the bytes; part 0 fills f->meta too. 0 <= split->no < split->count. Errors do not name the file. */
bool gguf_parse(TensorFile *f, Str bytes, Buf *list, GgufSplit *split, Err *e);

/* Appends the tensors of one safetensors file to *list (NamedTensor each; released by the caller) and to f->index.
 * A tensor that does not lie aligned to its elements is copied to the arena, all others borrow from the bytes.
 * metadata receives __metadata__ or null. */
bool safetensors_parse(TensorFile *f, Str bytes, int file, Buf *list, Value *metadata, Err *e);
/* Makes the collected list f->tensors. */
void store_take_list(TensorFile *f, const Buf *list);

/* ---- spans, names ---- */

typedef struct Span { /* bytes [begin, end) of a data section, of tensor i */
    uint64_t begin, end;
    size_t i;
} Span;
void spans_sort(Span *spans, size_t n); /* by begin, then end, then i */

/* False when a string stands twice; *twice receives it. Sorts a copy: no set of strings makes it slow. */
bool strs_unique(const Str *strs, size_t n, Str *twice);

/* ---- writing ---- */

/* Bytes of a tensor to be written; its name, shape and dtype are checked. */
bool out_tensor_bytes(const OutTensor *t, int64_t *bytes, Err *e);
/* A whole file: the header, then each tensor followed by zeros up to a multiple of align (at most 64). */
bool out_stream(Sink to, const Buf *header, size_t align, const OutTensor *tensors, size_t n, Err *e);
bool out_file(const char *path, const Buf *header, size_t align, const OutTensor *tensors, size_t n, Err *e);
/* Names of tensors are unique. */
bool out_names_unique(const OutTensor *tensors, size_t n, Err *e);

/* ---- GGUF's numbers (ggml/docs/gguf.md) ---- */

enum { GGUF_ALIGNMENT = 32, GGUF_VERSION = 3, GGUF_PARTS_MAX = 99999 /* what their names can count */ };

typedef enum GgufType {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STR,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPES
} GgufType;

#endif
