/* quantize_rows in plain C. */
#include "core/vec16_plain.h"

#include "core/encode.h"

bool quantize_rows(Dtype t, const float *src, int64_t rows, int64_t n, const float *importance, void *dst) {
    return encode_rows(t, src, rows, n, importance, dst);
}
