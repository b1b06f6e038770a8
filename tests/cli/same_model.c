/* same_model [--near] A B: whether two models (directories or GGUF files) have the same tensors, bit by bit, and the
 * same settings. --near: values of vectors may differ by 2^-23, which is what is lost where a file has 1 + w. */
#include <math.h>
#include <stdio.h>

#include "formats/formats.h"
#include "formats/json.h"

/* In the same order too: what is kept is kept as it was. */
static bool same_settings(const TensorFile *a, const TensorFile *b) {
    Buf x = {0}, y = {0};
    json_put_value(&x, &a->meta, 0);
    json_put_value(&y, &b->meta, 0);
    size_t at = 0, line = 1;
    while (at < x.n && at < y.n && x.s[at] == y.s[at]) line += x.s[at++] == '\n';
    bool same = x.n == y.n && at == x.n;
    if (!same) printf("settings differ in line %zu: %.80s\n", line, x.s + at);
    buf_release(&x);
    buf_release(&y);
    return same;
}

static bool near_enough(const Tensor *a, const Tensor *b, bool near) {
    int64_t bytes = 0;
    tensor_bytes(a->dtype, a->ndim, a->ne, &bytes);
    if (memcmp(a->data, b->data, (size_t)bytes) == 0) return true;
    if (!near || a->ndim != 1 || a->dtype != DT_f32) return false;
    for (int64_t i = 0; i < a->ne[0]; i++)
        if (!(fabsf(((const float *)a->data)[i] - ((const float *)b->data)[i]) <= 0x1p-23f)) return false;
    return true;
}

static bool same_tensors(const TensorFile *a, const TensorFile *b, bool near) {
    for (size_t i = 0; i < a->n; i++) {
        const NamedTensor *x = &a->tensors[i], *y = tensor_file_find(b, x->name);
        const char *why = !y                                                              ? "is missing"
                          : y->t.dtype != x->t.dtype                                      ? "has another type"
                          : x->t.ndim != y->t.ndim                                        ? "has another shape"
                          : memcmp(x->t.ne, y->t.ne, (size_t)x->t.ndim * sizeof *x->t.ne) ? "has another shape"
                          : !near_enough(&x->t, &y->t, near)                              ? "has other values"
                                                                                          : NULL;
        if (why) return printf("tensor '%s' %s\n", x->name.s, why), false;
    }
    return a->n == b->n || (printf("%zu and %zu tensors\n", a->n, b->n), false);
}

int main(int argc, char **argv) {
    Err e = {0};
    TensorFile a, b;
    bool near = argc == 4 && strcmp(argv[1], "--near") == 0;
    if (argc != 3 + near) return fprintf(stderr, "usage: same_model [--near] A B\n"), 2;
    if (!tensor_file_open(argv[1 + near], &a, &e)) return fprintf(stderr, "%s\n", e.msg), 2;
    if (!tensor_file_open(argv[2 + near], &b, &e)) return a.close(&a), fprintf(stderr, "%s\n", e.msg), 2;
    bool same = same_tensors(&a, &b, near) && same_settings(&a, &b);
    a.close(&a);
    b.close(&b);
    return same ? 0 : 1;
}
