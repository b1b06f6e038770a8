/* The mask is a rule, never a tensor: which keys of its own sequence a token may attend to, always one contiguous
 * range.
 *
 * Causal: keys up to the token itself. A window of W sees the last W of those (itself included). Tokens that share a
 * span (an image) also see each other forward: Step.reach of a token is the end of its span, or 0. */
#ifndef CORE_MASK_H
#define CORE_MASK_H

#include <stdint.h>

typedef struct MaskRule {
    int64_t window; /* 0: none */
} MaskRule;

/* Keys [*lo, *hi) for the token at `index` (0-based) of its sequence whose span ends before `reach`. */
static inline void mask_range(MaskRule rule, int64_t index, int64_t reach, int64_t *lo, int64_t *hi) {
    *hi = reach > index + 1 ? reach : index + 1;
    *lo = rule.window && index + 1 > rule.window ? index + 1 - rule.window : 0;
}

#endif
