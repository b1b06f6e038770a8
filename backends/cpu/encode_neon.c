/* quantize_rows with NEON. */
#if defined __ARM_NEON
#include "backends/cpu/vec16.h"

#include "core/encode.h"

QuantizeRows quantize_rows_neon;
bool quantize_rows_neon(Dtype t, const float *src, int64_t rows, int64_t n, const float *importance, void *dst) {
    return encode_rows(t, src, rows, n, importance, dst);
}
#endif
