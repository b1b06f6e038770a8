/* Weights are mapped files: a page that is not in memory is read when a kernel first touches it, one after the other
 * and in the order of the kernels. Reading them ahead, in the order of the file and in large pieces, is several times
 * as fast on most disks, and can be watched and stopped. */
#ifndef CORE_WEIGHTS_READ_H
#define CORE_WEIGHTS_READ_H

#include "core/model.h"

/* Brings what is missing of the weights into memory, telling after every piece; does nothing where all seems to be
 * there, where the system does not tell, or where more is missing than free_bytes. Fails with ERR_INTERRUPT when `tell`
 * (may be NULL) says so, and with ERR_IO when the file cannot be read. */
bool weights_read(const Model *m, size_t free_bytes, LlmwsProgressFn *tell, void *ctx, Err *e);
/* Gives the pages of a tensor that is not read again back to the system. */
void pages_drop(const Tensor *t);
void pages_drop_bytes(const void *at, size_t n); /* the same of n bytes of a mapped file */
/* Those of all weights, where they have been copied. */
void weights_drop(const Model *m);

#endif
