/* What falls out where: the draws of op dropout (core/ops.def), one value after the other. */
#ifndef CPU_DROP_H
#define CPU_DROP_H

#include "core/op_params.h"
#include "core/rng.h"

typedef struct Drop {
    uint64_t key, stream, below, block, bits; /* bits of values 4*block ... 4*block + 3 */
    float kept;                               /* what stays is multiplied with it */
} Drop;

static inline Drop drop_begin(DropoutParams p, const uint32_t *draw) {
    const uint64_t key = (uint64_t)draw[1] << 32 | draw[0], below = key ? (uint64_t)(p.p * 65536) : 0;
    return (Drop){.key = key,
                  .stream = p.stream,
                  .below = below,
                  .block = UINT64_MAX,
                  .kept = (float)(65536 / (double)(65536 - below))};
}

/* Value number `at` as dropout leaves it. */
static inline float drop_value(Drop *d, uint64_t at, float x) {
    if (at / 4 != d->block) {
        d->block = at / 4;
        d->bits = rng_u64(d->key, d->stream, d->block, RNG_DROPOUT);
    }
    return (d->bits >> at % 4 * 16 & 0xffff) < d->below ? 0 : x * d->kept;
}

/* Values number at ... at + n - 1, where they stand. */
static inline void drop_values(DropoutParams p, const uint32_t *draw, int64_t at, float *x, int64_t n) {
    Drop d = drop_begin(p, draw);
    for (int64_t i = 0; i < n && d.below; i++) x[i] = drop_value(&d, (uint64_t)(at + i), x[i]);
}

#endif
