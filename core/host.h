/* What this process may use of the machine: cores and memory, as the kernel and control groups grant them. */
#ifndef CORE_HOST_H
#define CORE_HOST_H

#include "core/base.h"

/* Physical cores among the CPUs that this process may run on, at most the control group's quota rounded up; at least 1.
 */
int host_cores(void);
/* Bytes that can be allocated without swapping: MemAvailable, at most what the control groups leave (their page cache
 * counts as free). SIZE_MAX when the system does not say. */
size_t host_free_bytes(void);
/* The calling thread, as the system numbers it. */
int host_thread(void);
/* A thread of idle priority runs only where no other wants to. Nothing happens where the system cannot or may not: to
 * come back from there takes a privilege. */
void host_thread_idle(int thread, bool idle);

#endif
