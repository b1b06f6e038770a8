/* Weights that a backend laid out anew (Backend.pack), one place for all sessions of a model. They take the place of
 * the file's pages, which are given back one weight after the other: at no time is there more than one copy of the
 * weights and one tensor. */
#ifndef CORE_PACKED_H
#define CORE_PACKED_H

#include "core/backend.h"
#include "core/model.h"

typedef struct Packed Packed;

/* NULL where the weights are in no mapped file, whose pages could be given back. Borrows the model. */
Packed *packed_new(const Model *m);
void packed_free(Packed *p);
/* Bytes that are held twice at most: the largest weight, or all of them where the file is in memory alone. */
int64_t packed_most(const Model *m);
/* Address space for all of them, which takes memory as it is used; false where there is none. */
bool packed_reserve(Packed *p);
/* Makes op, which b would like packed, read its weight so; *spent receives the bytes that were laid out for it. An op
 * that reads no weight of the model stays as it is. False while another session is at work here. */
bool packed_weight(Packed *p, Backend *b, ExecOp *op, int64_t *spent);

#endif
