/* quantize_rows with AVX2. */
#if defined __AVX2__
#include "backends/cpu/vec16.h"

#include "core/encode.h"

QuantizeRows quantize_rows_avx2;
bool quantize_rows_avx2(Dtype t, const float *src, int64_t rows, int64_t n, const float *importance, void *dst) {
    return encode_rows(t, src, rows, n, importance, dst);
}
#endif
