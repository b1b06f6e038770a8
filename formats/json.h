/* JSON, both ways. Two readers: a pull reader that streams a large document (tokenizer.json, safetensors headers)
 * without building it, and json_parse for small ones (config.json), which goes through cJSON into a Value tree. Both
 * refuse invalid UTF-8, raw control characters, NaN and Infinity, numbers of more than 63 characters, and nesting
 * deeper than 64; json_parse also refuses duplicate keys and NUL escapes. */
#ifndef FORMATS_JSON_H
#define FORMATS_JSON_H

#include "core/value.h"

typedef enum JsonEvent {
    JSON_FAIL, /* see Json.err */
    JSON_DONE, /* after the one value of the document, nothing but white space follows */
    JSON_NULL,
    JSON_BOOL,
    JSON_INT, /* fits int64 */
    JSON_FLOAT,
    JSON_STR,
    JSON_KEY, /* Json.str is the key; its value follows */
    JSON_ARRAY,
    JSON_ARRAY_END,
    JSON_OBJECT,
    JSON_OBJECT_END,
} JsonEvent;

typedef struct Json {
    Str text;
    size_t at; /* byte offset of what comes next: named in errors */
    Str str;   /* of JSON_STR and JSON_KEY, unescaped; valid until the next event */
    int64_t i;
    double f;
    bool b;
    Err err;
    /* private */
    Buf unescaped;
    uint64_t stack; /* a bit a level: object or array */
    int depth, state;
} Json;

void json_begin(Json *j, Str text); /* text must stay */
JsonEvent json_next(Json *j);
bool json_skip(Json *j); /* the value that comes next, whole */
void json_end(Json *j);

/* The value that comes next, built in the arena (strings copied). Refuses duplicate keys. */
bool json_value(Json *j, Arena *a, Value *out, Err *e);
/* A small document through cJSON. `what` names it in errors (the file's path). */
bool json_parse(Str text, const char *what, Arena *a, Value *out, Err *e);

/* Writing: appends to a Buf. Strings are escaped, invalid UTF-8 becomes U+FFFD, floats round-trip (shortest form). */
void json_put_str(Buf *b, Str s);
void json_put_float(Buf *b, double f); /* null where f is NaN or infinite */
void json_put_value(Buf *b, const Value *v,
                    int indent); /* indent < 0: one line; else pretty, two spaces a level, starting at indent */
/* Whether both are written the same: members in one order, 1 unlike 1.0. */
bool json_same(const Value *a, const Value *b);

#endif
