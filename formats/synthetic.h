/* Models of a family and a size that nobody trained, for measuring speed. Wherever a path names a model,
 * "synthetic:FAMILY:SIZE" or "synthetic:FAMILY:SIZE:TYPE" names one: FAMILY is a row of the family table, SIZE what
 * init_shape knows, TYPE a mix ("q4_k_m"; without it bf16, as most models are published). A file that is really called
 * so is "./synthetic:...".
 *
 * It is a GGUF file in memory, which every reader takes for one on a disk and `convert` writes as it is. Weights begin
 * as those of a new model do (core/init.h), the same at every call. They are not quantised one by one: of each dtype
 * and spread, 65536 normal values are encoded by quantize_rows, whatever the dtype, and every stretch of 256 weights of
 * a row is a copy of a stretch of those, taken from a random block on. So the values of any dtype are what it would
 * make of normal ones, and a model is ready as fast as memory is written. The tokenizer has the 256 bytes and unused
 * tokens. */
#ifndef FORMATS_SYNTHETIC_H
#define FORMATS_SYNTHETIC_H

#include "formats/formats.h"

/* Whether a path names a synthetic model, one that can be made or not. */
bool synthetic_is(const char *path);
/* Makes it. ERR_USAGE for a name that says no model, ERR_FIT where there is not enough free memory. */
bool synthetic_map(const char *path, Mapping *m, Err *e);

#endif
