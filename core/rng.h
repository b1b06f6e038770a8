/* Randomness as a function: the same (seed, stream, index, purpose) gives the same number on every machine, in any
 * order, at any time. Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").
 */
#ifndef CORE_RNG_H
#define CORE_RNG_H

#include <stdint.h>

typedef enum RngPurpose { RNG_SAMPLE, RNG_INIT, RNG_DROPOUT, RNG_SHUFFLE, RNG_XTC, RNG_SPLIT } RngPurpose;

static inline uint64_t rng_u64(uint64_t seed, uint64_t stream, uint64_t index, RngPurpose purpose) {
    uint32_t c[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream,
                     (uint32_t)(stream >> 32) ^ (uint32_t)purpose << 24};
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
        for (int i = 0; i < 4; i++) c[i] = next[i];
    }
    return (uint64_t)c[1] << 32 | c[0];
}

/* Uniform in [0, 1), 53 bits. */
static inline double rng_uniform(uint64_t seed, uint64_t stream, uint64_t index, RngPurpose purpose) {
    return (double)(rng_u64(seed, stream, index, purpose) >> 11) * 0x1p-53;
}

#endif
