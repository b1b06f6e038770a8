#include "core/pack.h"

#include <stdlib.h>

static void *room_for(void *block, size_t *cap, size_t n, size_t size) {
    if (n <= *cap) return block;
    *cap = MAX(n, *cap + *cap / 2 + 16);
    return mem_grow(block, *cap, size);
}

void id_list_put(IdList *l, const int32_t *ids, size_t n) {
    if (!n) return;
    l->ids = room_for(l->ids, &l->cap, l->n + n, sizeof *l->ids);
    memcpy(l->ids + l->n, ids, n * sizeof *ids);
    l->n += n;
}

void id_list_release(IdList *l) {
    free(l->ids);
    *l = (IdList){0};
}

void id_ranges_put(IdRanges *r, size_t begin, size_t end) {
    if (begin >= end) return;
    if (r->n && r->ranges[r->n - 1].end == begin) {
        r->ranges[r->n - 1].end = end;
        return;
    }
    r->ranges = room_for(r->ranges, &r->cap, r->n + 1, sizeof *r->ranges);
    r->ranges[r->n++] = (IdRange){begin, end};
}

void id_ranges_release(IdRanges *r) {
    free(r->ranges);
    *r = (IdRanges){0};
}

void pack_row_open(PackRow *r, int64_t cap) {
    int32_t *block = mem_alloc((size_t)cap, 3 * sizeof(int32_t));
    *r = (PackRow){.ids = block, .labels = block + cap, .index = block + 2 * cap, .cap = cap};
}

void pack_row_release(PackRow *r) {
    free(r->ids);
    *r = (PackRow){0};
}

bool pack_piece(const int32_t *targets, int64_t n, int64_t row, int64_t *at, int64_t *len) {
    for (; *at < n; *at += *len) {
        *len = MIN(row, n - *at);
        for (int64_t i = *at + 1; i <= *at + *len && i < n; i++)
            if (targets[i] != LABEL_NONE) return true;
    }
    return false;
}

void pack_put(PackRow *r, const int32_t *ids, const int32_t *targets, int64_t n, int64_t at, int64_t len) {
    for (int64_t i = 0; i < len; i++, r->n++) {
        r->ids[r->n] = ids[at + i];
        r->labels[r->n] = at + i + 1 < n ? targets[at + i + 1] : LABEL_NONE;
        r->index[r->n] = (int32_t)i;
        r->n_labels += r->labels[r->n] != LABEL_NONE;
    }
}
