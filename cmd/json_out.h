/* One JSON object on a line: event_begin, members in order, event_end. */
#ifndef CMD_JSON_OUT_H
#define CMD_JSON_OUT_H

#include "core/base.h"

void event_begin(Buf *b, const char *event);
void event_end(Buf *b);
/* A comma where one is needed, then "key": - for values that the caller writes. Words of a key are joined by
 * underscores: "file tables" becomes "file_tables". */
void json_key(Buf *b, const char *key);
void json_str(Buf *b, const char *key, Str value);
void json_int(Buf *b, const char *key, int64_t value);
void json_num(Buf *b, const char *key, double value); /* null where there is no number */
void json_bool(Buf *b, const char *key, bool value);
void json_ids(Buf *b, const char *key, const int32_t *ids, size_t n);
void json_dims(Buf *b, const char *key, const int64_t *dims, int n);

#endif
