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

/* Length of the piece of a sample of n tokens that begins at `at`: 0 where nothing from there on is learned. targets is
 * [n], the id itself or LABEL_NONE: whether token i is learned, as the successor of token i - 1. */
int64_t pack_piece(const int32_t *targets, int64_t n, int64_t at, int64_t row);
/* Appends tokens [at, at + len) of a sample to the row, which has room for them. The last one's label is the token that
 * the next piece begins with. */
void pack_put(PackRow *r, const int32_t *ids, const int32_t *targets, int64_t n, int64_t at, int64_t len);

#endif
