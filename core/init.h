/* New models: a family's configuration made whole, the tensors that its row asks for, and the values they begin with.
 * Which tensors there are, and their shapes, only the row says. */
#ifndef CORE_INIT_H
#define CORE_INIT_H

#include "core/model.h"

typedef struct InitDefaults { /* of settings that are left out */
    int64_t vocab, ctx;       /* vocab 0: the settings must say it */
    bool tied;                /* the head is the embedding, whatever the family has by default */
} InitDefaults;

/* Settings of a config.json (an object) to all that a model of the family needs, derived where they are not given:
 *   width 512, layers width / 64; heads as wide as the largest of 64, 32, .. 2 that gives at least four, else one;
 *   keys and values for every head; mlp 8/3 of the width rounded up to 64 where it is gated, else 4 times the width;
 *   8 experts, 2 of a token, where the family has them; vocabulary and context as in *d.
 * hidden_size and its like may stand for the family's own name of the same setting. A key that is neither read nor
 * known to change nothing is an error that names the nearest. *out borrows from given, its lists live in the arena. */
bool init_config(const ArchRow *arch, const Value *given, const InitDefaults *d, Arena *a, Value *out, Err *e);

/* A model of such settings with f32 weights that are all zero and take no memory until they are touched. Borrows given.
 */
bool init_model(Model *m, const ArchRow *arch, const Value *given, const InitDefaults *d, Log log, Err *e);

/* The settings of a family's model of some size, for init_config: of a published one by its name in any case ("0.6B"),
 * or else of about as many parameters as are named ("350M", "2B"). That is the widest model, in steps of 64, which has
 * no more: with a power of two for a vocabulary, about a 2048th of the parameters but 512 to 131072, and the rest as
 * init_config derives it. ERR_USAGE for what is no size. *given lives in the arena. */
bool init_shape(const ArchRow *arch, Str size, Arena *a, Value *given, Err *e);

typedef struct InitRule { /* of one weight */
    float fill;
    float std; /* above 0: drawn from a normal distribution instead */
} InitRule;

/* Biases are 0, norms what leaves their input as it is; the rest is drawn with the config's initializer_range. Where
 * the family scales what is added to the residual stream: over the root of how often that happens. */
InitRule init_rule(const Model *m, const TensorRow *row);
/* Values [first, first + n) of the weight of a name: a function of seed, name and place alone. */
void init_values(InitRule rule, uint64_t seed, const char *name, int64_t first, int64_t n, float *out);

#endif
