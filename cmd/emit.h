/* What the option tables say, in the forms that man and shells read: man/ and completions/ hold this output, and a test
 * fails when they differ from it. `llmws __emit man|bash|zsh|fish [COMMAND]` prints it. */
#ifndef CMD_EMIT_H
#define CMD_EMIT_H

#include "cmd/cmd.h"

void emit_man_overview(Buf *out); /* llmws.1 */
void emit_man(Buf *out, const Cmd *cmd);
void emit_bash(Buf *out);
void emit_zsh(Buf *out);
void emit_fish(Buf *out);

/* args: what follows __emit, NULL-terminated. */
bool emit(char *const *args, Buf *out, Err *e);

#endif
