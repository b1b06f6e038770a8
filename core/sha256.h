/* SHA-256 (FIPS 180-4), to tell whether files are the ones that were recorded. */
#ifndef CORE_SHA256_H
#define CORE_SHA256_H

#include "core/base.h"

typedef struct Sha256 {
    uint32_t h[8];
    uint64_t bytes;
    uint8_t block[64]; /* bytes % 64 of it are waiting */
} Sha256;

enum { SHA256_TEXT = 65 }; /* 64 hexadecimal digits and a NUL */

void sha256_begin(Sha256 *s);
void sha256_add(Sha256 *s, const void *bytes, size_t n);
void sha256_end(Sha256 *s, char out[SHA256_TEXT]);

#endif
