/* Models that are part of the library: GGUF files of formats/builtin, one of each of some families, which lie page
 * aligned in its read-only data and are used there. Wherever a path names a model, "builtin:llama" names that one and
 * "builtin" the first that this build has. A file that is really called so is "./builtin". */
#ifndef FORMATS_BUILTIN_H
#define FORMATS_BUILTIN_H

#include "core/base.h"

typedef struct Builtin {
    const char *name, *bytes; /* "builtin:llama"; its GGUF file */
    const uint64_t *size;     /* 0: absent from this build */
} Builtin;
extern const Builtin builtin_models[];
extern const size_t builtin_count;

static inline bool builtin_has(const Builtin *b) { return *b->size != 0; }

/* Whether a path names a builtin model, one that exists or not. */
bool builtin_is(const char *path);
/* Its bytes, which live as long as the program. ERR_INPUT, naming those there are, for one that is not known or absent
 * from this build. */
bool builtin_find(const char *path, Str *bytes, Err *e);

#endif
