/* Any bytes as a GGUF file: taken or refused with one line, and all that is taken lies inside the bytes. */
#include "formats/store.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Walks a value to its last byte. */
static uint64_t touch(const Value *v) {
    uint64_t h = 0;
    size_t cursor = 0;
    Value item;
    if (v->kind == VALUE_STR) h = hash_bytes(v->s.s, v->s.n, 0);
    while (value_next(v, &cursor, &item)) h += touch(&item);
    for (size_t i = 0; v->kind == VALUE_OBJECT && i < v->object.n; i++) h += touch(&v->object.items[i]);
    return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    TensorFile f;
    Err e = {0};
    store_begin(&f, STORE_GGUF, "fuzz");
    bool ok = gguf_parse(&f, (Str){(const char *)data, n}, &e);
    if (ok == (e.code != 0) || strchr(e.msg, '\n')) abort();
    uint64_t h = ok ? touch(&f.meta) : 0;
    for (size_t i = 0; ok && i < f.n; i++) {
        const Tensor *t = &f.tensors[i].t;
        int64_t bytes;
        if (!tensor_bytes(t->dtype, t->ndim, t->ne, &bytes) || tensor_file_find(&f, f.tensors[i].name) != &f.tensors[i])
            abort();
        h += hash_bytes(t->data, (size_t)bytes, 0);
    }
    volatile uint64_t seen = h; /* keeps the reads */
    (void)seen;
    f.close(&f);
    return 0;
}
