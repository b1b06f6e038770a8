/* Quantises rows of float32 from stdin, writes their blocks to stdout and the processor time that it took, in seconds,
 * to stderr; for check_rmse.py.
 *
 *     quantize_rows DTYPE WIDTH ISA < rows.f32 > blocks
 *
 * From a build tree:  cc -O2 -I. -o quantize_rows tests/parity/quantize_rows.c build/libllmws.a $LIBS
 * With -DPEER, DTYPE is a number of GGUF, ISA is not looked at and llama.cpp does it. With S its source and B the tree
 * it was built in:
 *
 *     cc -O2 -DPEER -I S/ggml/include -c -o peer.o tests/parity/quantize_rows.c
 *     c++ -o peer_rows peer.o B/ggml/src/libggml-base.a -fopenmp -lpthread */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined PEER
#include "ggml.h"

static size_t row_bytes(const char *type, int64_t n) { return ggml_row_size((enum ggml_type)atoi(type), n); }
static bool quantize(const char *type, const char *isa, const float *x, int64_t rows, int64_t n, void *out) {
    (void)isa;
    return ggml_quantize_chunk((enum ggml_type)atoi(type), x, out, 0, rows, n, NULL) > 0;
}
#else
#include "backends/cpu/cpu.h"

static size_t row_bytes(const char *type, int64_t n) {
    Dtype t;
    return dtype_from_name(type, &t) ? (size_t)dtype_row_bytes(t, n) : 0;
}
static bool quantize(const char *type, const char *isa, const float *x, int64_t rows, int64_t n, void *out) {
    Dtype t;
    QuantizeRows *f = cpu_quantize_rows(*isa ? isa : NULL);
    return f && dtype_from_name(type, &t) && f(t, x, rows, n, NULL, out);
}
#endif

int main(int argc, char **argv) {
    static float x[1 << 20];
    if (argc != 4) return fprintf(stderr, "usage: quantize_rows DTYPE WIDTH ISA\n"), 2;
    int64_t n = atoll(argv[2]), rows = (int64_t)(fread(x, 4, 1 << 20, stdin) / (size_t)n);
    size_t size = row_bytes(argv[1], n) * (size_t)rows;
    void *out = malloc(size + 1);
    clock_t best = 0;
    for (int i = 0; i < 3; i++) { /* the quickest of three */
        clock_t begin = clock();
        if (!out || !quantize(argv[1], argv[3], x, rows, n, out)) return fprintf(stderr, "cannot quantise\n"), 1;
        if (i == 0 || clock() - begin < best) best = clock() - begin;
    }
    fprintf(stderr, "%g\n", (double)best / CLOCKS_PER_SEC);
    return fwrite(out, 1, size, stdout) != size;
}
