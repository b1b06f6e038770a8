/* Any bytes as a safetensors file: taken or refused with one line, and all that is taken lies inside the bytes. */
#include "formats/store.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    TensorFile f;
    Buf list = {0};
    Err e = {0};
    int64_t total = 0, bytes;
    store_begin(&f, STORE_HF, "fuzz");
    bool ok = safetensors_parse(&f, (Str){(const char *)data, n}, 0, &list, &f.meta, &e);
    if (ok == (e.code != 0) || strchr(e.msg, '\n')) abort();
    if (ok) store_take_list(&f, &list);
    uint64_t h = 0;
    for (size_t i = 0; ok && i < f.n; i++) {
        const Tensor *t = &f.tensors[i].t;
        if (!tensor_bytes(t->dtype, t->ndim, t->ne, &bytes) || tensor_file_find(&f, f.tensors[i].name) != &f.tensors[i])
            abort();
        total += bytes;
        h += hash_bytes(t->data, (size_t)bytes, 0);
    }
    if (ok && (size_t)total > n) abort(); /* no byte twice */
    buf_release(&list);
    volatile uint64_t seen = h; /* keeps the reads */
    (void)seen;
    f.close(&f);
    return 0;
}
