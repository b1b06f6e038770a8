/* --prompt-cache: what a prompt left in the cache, kept in a file for the next run that begins alike. */
#ifndef CMD_PROMPT_CACHE_H
#define CMD_PROMPT_CACHE_H

#include "cmd/run_opts.h"

typedef struct PromptCache {
    const char *path; /* NULL: none; nothing is done then */
    size_t reused;    /* tokens of the prompt that need not be computed */
    bool whole;       /* the file holds exactly this prompt */
} PromptCache;

/* Fills seq, open and empty, with what the file shares with the beginning of the prompt, less the prompt's last token:
 * its logits are wanted. A file that is missing changes nothing; one that is damaged or of another model is warned of,
 * and changes nothing. */
bool prompt_cache_load(PromptCache *c, const Ui *ui, LlmwsSession *s, int seq, const Ids *prompt, Err *e);
/* Once the prompt stands in seq: replaces the file, unless it holds just that. */
bool prompt_cache_save(const PromptCache *c, LlmwsSession *s, int seq, Err *e);

#endif
