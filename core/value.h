/* A neutral value tree: what a JSON document, GGUF metadata and a template's variables all are.
 *
 * Values live in the Arena they were made in and are never changed afterwards. Long typed arrays of a file
 * (vocabularies, merges) stay where they are: a VALUE_BLOB borrows the mapped bytes. */
#ifndef CORE_VALUE_H
#define CORE_VALUE_H

#include "core/base.h"

typedef enum ValueKind {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_STR,
    VALUE_ARRAY,
    VALUE_OBJECT,
    VALUE_BLOB,
} ValueKind;

typedef enum BlobKind {
    BLOB_I8,
    BLOB_U8,
    BLOB_I16,
    BLOB_U16,
    BLOB_I32,
    BLOB_U32,
    BLOB_I64,
    BLOB_U64,
    BLOB_F32,
    BLOB_F64,
    BLOB_BOOL,
    BLOB_STR
} BlobKind;

typedef struct Value Value;
struct Value {
    ValueKind kind;
    union {
        bool b;
        int64_t i;
        double f;
        Str s;
        struct {
            Value *items;
            size_t n;
        } array;
        struct {
            Str *keys;
            Value *items;
            size_t n, cap; /* cap: room that value_put has made, 0: none */
        } object;          /* in file order, keys unique */
        struct {
            const uint8_t *bytes; /* little-endian; BLOB_STR: u64 length + bytes, each checked to lie inside */
            size_t n, n_bytes;
            BlobKind kind;
        } blob;
    };
};

/* Member of an object, NULL when v is no object or has none. */
const Value *value_get(const Value *v, const char *key);
/* As above through "a.b.c"; a key that itself holds dots is tried whole first. */
const Value *value_path(const Value *v, const char *path);

/* What a value is worth as ...; the default where v is NULL or null; false with an error naming `what` where the kind
 * is wrong. */
bool value_as_int(const Value *v, const char *what, int64_t *out, Err *e);
bool value_as_float(const Value *v, const char *what, double *out, Err *e);
bool value_as_bool(const Value *v, const char *what, bool *out, Err *e);
bool value_as_str(const Value *v, const char *what, Str *out, Err *e);

/* Sets a member of an object, wherever it comes from: replaces the one of that key, or appends. The key is borrowed. */
void value_put(Arena *a, Value *object, Str key, Value v);
static inline Value value_int(int64_t i) { return (Value){.kind = VALUE_INT, .i = i}; }
static inline Value value_float(double f) { return (Value){.kind = VALUE_FLOAT, .f = f}; }
static inline Value value_bool(bool b) { return (Value){.kind = VALUE_BOOL, .b = b}; }
static inline Value value_str(Str s) { return (Value){.kind = VALUE_STR, .s = s}; }

/* Number of items of an array or blob, 0 for others. */
size_t value_count(const Value *v);
/* Item i as a small Value, for arrays and blobs alike. Strings of a blob: walk with value_next instead, this one is
 * linear. */
Value value_item(const Value *v, size_t i);
/* Walks an array or blob: start with *cursor = 0, false at the end. */
bool value_next(const Value *v, size_t *cursor, Value *item);

#endif
