/* Directories that appear whole or not at all, as files do (see AtomicFile): filled beside the target under a hidden
 * name, then renamed. */
#ifndef FORMATS_DIRS_H
#define FORMATS_DIRS_H

#include "core/base.h"

/* The folder that a path lies in, which need not exist itself; a slash at its end does not count. */
const char *dir_of(Arena *a, const char *path);
/* What follows a path's last slash, slashes at its end aside. */
Str path_last(Str path);

/* Makes an empty directory beside `target`; its name lives in the arena. For dir_begin the target must not exist. */
bool dir_begin(const char *target, Arena *a, const char **stage, Err *e);
bool dir_stage(const char *target, Arena *a, const char **stage, Err *e);
/* Ends that. If it was filled it gets the target's name, and the folder that holds it is synced; if not, or where that
 * fails, it is removed. Returns whether all went well; `filled` that is false has set *e. */
bool dir_commit(bool filled, const char *stage, const char *target, Err *e);
/* The same where the target may stand and hold a model or an adapter: what makes it one (config.json, the index,
 * adapter_config.json) goes first and comes last: in between there is none, never half of one. The old one's weights,
 * tokenizer, templates and generation settings go as well, other files stay. Where that fails on the way, `stage` keeps
 * what is not yet in the target, and the error says so. */
bool dir_replace(bool filled, const char *stage, const char *target, Err *e);
/* Removes a directory with all that it holds, as far as that is possible; links are not followed. Where it is not,
 * false with errno. */
bool dir_remove(const char *path);
/* Removes what dir_begin left in a folder when its process was killed. Nobody else may be writing there. */
void dir_sweep(const char *folder);

/* What stands in a model's directory beside the weights and config.json (tokenizer, templates, generation settings), to
 * another one. */
bool dir_copy_beside(const char *from, const char *to, Err *e);
/* What of it belongs to the tokenizer alone, chat templates too. */
bool dir_copy_tokenizer(const char *from, const char *to, Err *e);

#endif
