/* Weights laid out anew for products of few tokens, which read every weight once and compute little with it: 16 rows
 * side by side are one stream in memory, and come to the lanes of registers without a transpose.
 *
 * A group of 16 rows keeps its place and size. Inside, what stands `off` bytes behind the begin of each row stands
 * 16 * off bytes behind the begin of the group, row by row: dwords, or where a block has a field of 1 or 2 bytes
 * (a scale; an f16), such fields. Bit 4j + i of the fifth bits of q5_0 and q5_1 becomes bit 8i + j, a shift away from
 * where it belongs. A last group of fewer rows repeats the last row. */
#ifndef CPU_REPACK_H
#define CPU_REPACK_H

#include "core/op.h"

/* Whether the tuned matmul on these operands reads a weight in that layout, too. */
bool repack_fits(const OpArgs *a);
/* Bytes of weight w [N,K], or [X,N,K] with N a multiple of 16, in that layout. */
int64_t repack_bytes(const Tensor *w);
/* Groups [u0, u1) of in[0], a weight, into out, the same tensor packed: a kernel that the pool can run. */
extern const Kernel repack_kernel;

#endif
