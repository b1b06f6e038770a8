/* Stop texts in a stream: text passes through, held back while it may still become one of them.
 *
 * The first stop text that is complete ends the stream (the longest, where several end at the same character); neither
 * it nor what follows comes out. What comes out does not depend on the pieces that the text arrived in. */
#ifndef TOKENIZER_STOP_H
#define TOKENIZER_STOP_H

#include "core/base.h"

typedef struct StopHold {     /* all zero but `texts`: ready */
    const char *const *texts; /* borrowed; UTF-8, none empty */
    size_t n;
    Buf held;
    bool hit;
} StopHold;

/* Takes text of whole characters, appends to *out what is certain: whole characters too. True once a stop text stood.
 */
bool stop_push(StopHold *h, Str text, Buf *out);
/* The stream ended: what was held back was no stop text. */
void stop_flush(StopHold *h, Buf *out);
void stop_release(StopHold *h);

#endif
