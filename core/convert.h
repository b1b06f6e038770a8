/* Rows of tensors turned into another dtype, in parallel and never many at a time: threads prepare blocks of rows
 * ahead, the caller takes them in order and writes them. Which thread does a block never changes a byte of it.
 *
 * 1. Blocks of all tensors stand in one line. They are claimed in that order, taken in that order, and at most `slots`
 * of them are between the two: that, and nothing of a tensor's size, bounds the memory.
 * 2. Who takes also works: it never waits while there is a block to claim.
 * 3. The first row in the order of the file that cannot be converted is the error, however many threads there are. */
#ifndef CORE_CONVERT_H
#define CORE_CONVERT_H

#include "core/export.h"
#include "core/quantize.h"

typedef struct ConvertTensor { /* borrowed by the converter, all of it */
    const ExportTensor *from;
    Dtype to; /* FLOAT or QUANT; its block divides the width */
    /* Changes row r, counted as the target does, where it is decoded; from many threads. NULL: none. */
    void (*adjust)(const void *by, int64_t r, float *row);
    const void *by;
    const float *importance; /* [groups, width] of columns, see quantize_rows; NULL: not known */
    int64_t group;           /* rows that share a row of importance; 0: all */
} ConvertTensor;

typedef struct ConvertSpec {
    int threads;            /* >= 1, the caller included */
    bool allow_nonfinite;   /* NaN, infinities and values that overflow go through; else they are an ERR_INPUT */
    QuantizeRows *quantize; /* NULL: quantize_rows */
    /* Bytes of the source that will not be read again, told by the caller's thread; NULL: nobody wants to know. */
    void (*used)(void *ctx, const void *bytes, size_t n);
    /* Output bytes written so far, told between blocks; false stops with ERR_INTERRUPT. NULL: none. */
    bool (*progress)(void *ctx, int64_t done, int64_t total);
    void *ctx; /* of both */
} ConvertSpec;

typedef struct Converter Converter;

/* tensors[0..n) in the order in which they will be written. ERR_FAIL when the system refuses a thread. */
bool convert_open(const ConvertTensor *tensors, size_t n, const ConvertSpec *spec, Converter **out, Err *e);
/* Writes tensor i, all rows of it. To be called for 0, 1, ..., n - 1. */
bool convert_write(Converter *c, size_t i, Sink to, Err *e);
/* Ends the threads, wherever they are. NULL is allowed. */
void convert_close(Converter *c);

#endif
