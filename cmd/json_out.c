#include "cmd/json_out.h"

#include <inttypes.h>

#include "formats/json.h"

void json_key(Buf *b, const char *key) {
    if (b->n && b->s[b->n - 1] != '{' && b->s[b->n - 1] != '[') buf_char(b, ',');
    const size_t from = b->n;
    json_put_str(b, str_of(key));
    for (size_t i = from; i < b->n; i++)
        if (b->s[i] == ' ') b->s[i] = '_';
    buf_char(b, ':');
}

void event_begin(Buf *b, const char *event) {
    buf_char(b, '{');
    json_str(b, "event", str_of(event));
}

void event_end(Buf *b) { buf_str(b, "}\n"); }

void json_str(Buf *b, const char *key, Str value) {
    json_key(b, key);
    json_put_str(b, value);
}

void json_int(Buf *b, const char *key, int64_t value) {
    json_key(b, key);
    buf_printf(b, "%" PRId64, value);
}

void json_num(Buf *b, const char *key, double value) {
    json_key(b, key);
    json_put_float(b, value);
}

void json_bool(Buf *b, const char *key, bool value) {
    json_key(b, key);
    buf_str(b, value ? "true" : "false");
}

void json_ids(Buf *b, const char *key, const int32_t *ids, size_t n) {
    json_key(b, key);
    buf_char(b, '[');
    for (size_t i = 0; i < n; i++) buf_printf(b, i ? ",%" PRId32 : "%" PRId32, ids[i]);
    buf_char(b, ']');
}

void json_dims(Buf *b, const char *key, const int64_t *dims, int n) {
    json_key(b, key);
    buf_char(b, '[');
    for (int i = 0; i < n; i++) buf_printf(b, i ? ",%" PRId64 : "%" PRId64, dims[i]);
    buf_char(b, ']');
}
