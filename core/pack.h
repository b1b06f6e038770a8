/* Samples to rows: what a document is once it is ids, and how documents share a row of a batch.
 *
 * A sample that is longer than a row is cut into pieces of a row's length, wherever it begins; a piece goes whole into
 * a row. So packing decides only which pieces stand side by side: the same pieces, with the same labels, come out
 * without it. */
#ifndef CORE_PACK_H
#define CORE_PACK_H

#include "core/base.h"

enum { LABEL_NONE = -100 }; /* no loss here */

typedef struct IdList { /* growable; all-zero is empty */
    int32_t *ids;
    size_t n, cap;
} IdList;
void id_list_put(IdList *l, const int32_t *ids, size_t n);
void id_list_release(IdList *l);

typedef struct IdRange {
    size_t begin, end;
} IdRange;
typedef struct IdRanges { /* growable; all-zero is empty */
    IdRange *ranges;
    size_t n, cap;
} IdRanges;
void id_ranges_put(IdRanges *r, size_t begin, size_t end); /* joins it with the last one where they touch */
void id_ranges_release(IdRanges *r);

typedef struct PackRow { /* [cap] each; token i is the index[i]-th of its piece, labels[i] is what should follow ids[i]
                          */
    int32_t *ids, *labels, *index;
    int64_t cap, n, n_labels;
} PackRow;
void pack_row_open(PackRow *r, int64_t cap);
void pack_row_release(PackRow *r);

/* The next piece of a sample of n tokens: from *at on, skipping pieces that nothing is learned from. False at the end.
 * targets is [n]: what token i shall be, as the successor of token i - 1, or LABEL_NONE. */
bool pack_piece(const int32_t *targets, int64_t n, int64_t row, int64_t *at, int64_t *len);
/* Appends tokens [at, at + len) of that sample to the row, which has room for them. The label of the last one is the
 * token that the next piece begins with. */
void pack_put(PackRow *r, const int32_t *ids, const int32_t *targets, int64_t n, int64_t at, int64_t len);

#endif
