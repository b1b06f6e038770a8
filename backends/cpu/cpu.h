/* The CPU backend: kernels chosen by instruction set, a pool of threads, memory of the host. */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "core/backend.h"

/* Opens the CPU as a backend; close it with (*out)->close(*out). opt->threads 0: one per physical core that this
 * process may use, see host.h. opt->isa NULL: the best of cpuid.h. ERR_USAGE for an isa of no known name or a bad
 * number of threads, ERR_BACKEND for an isa that this CPU lacks, ERR_FAIL when threads cannot be started. */
bool cpu_backend_open(const BackendOptions *opt, Backend **out, Err *e);

/* Bytes per second that `threads` threads (0: as above) read together from memory, the best of a few passes over 256
 * MiB; takes about a tenth of a second. ERR_FIT where that much is not free. */
bool cpu_read_rate(int threads, double *bytes_per_s, Err *e);

#endif
