/* The CPU backend: kernels chosen by instruction set, a pool of threads, memory of the host. */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "core/backend.h"

/* Opens the CPU as a backend; close it with (*out)->close(*out). opt->threads 0: one per physical core that this
 * process may use, see host.h. opt->isa NULL: the best of cpuid.h. ERR_USAGE for an isa of no known name or a bad
 * number of threads, ERR_BACKEND for an isa that this CPU lacks, ERR_FAIL when threads cannot be started. */
bool cpu_backend_open(const BackendOptions *opt, Backend **out, Err *e);

/* quantize_rows with the vectors of this instruction set, NULL: the best there is. NULL for one that is unknown or not
 * to be had here. Runs on the calling thread. */
QuantizeRows *cpu_quantize_rows(const char *isa);

/* Bytes per second that `threads` threads (0: as above) read together from memory, the best of a few passes over 256
 * MiB; takes about a tenth of a second. ERR_FIT where that much is not free. */
bool cpu_read_rate(int threads, double *bytes_per_s, Err *e);

/* Kinds of products, by what is multiplied. */
typedef enum PeakKind { PEAK_f32, PEAK_bf16, PEAK_int8, PEAK_COUNT } PeakKind;

/* Operations per second (a multiplication and an addition are two) that `threads` threads do together in registers with
 * this instruction set (NULL: the best there is), the best of a few passes; takes some milliseconds. 0 where there is
 * no loop for it. */
bool cpu_peak_rate(int threads, const char *isa, PeakKind kind, double *ops_per_s, Err *e);

enum { PEAK_ROUNDS = 20000, PEAK_BYTES = 64 };
typedef struct PeakLoop {
    void (*run)(const OpArgs *a, int64_t u0, int64_t u1, void *scratch); /* PEAK_ROUNDS rounds a unit */
    int round_ops;
} PeakLoop;

#endif
