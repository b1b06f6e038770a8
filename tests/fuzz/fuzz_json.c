/* Any bytes as JSON. What the two builders take they take alike, and what is written of it reads back the same. */
#include "formats/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool read_tree(Str text, Arena *a, Value *v) {
    Json j;
    Err e = {0};
    json_begin(&j, text);
    bool ok = json_value(&j, a, v, &e) && json_next(&j) == JSON_DONE;
    if (!ok && (!j.err.code || strchr(j.err.msg, '\n'))) abort();
    json_end(&j);
    return ok;
}

static bool skip_all(Str text) {
    Json j;
    json_begin(&j, text);
    bool ok = json_skip(&j) && json_next(&j) == JSON_DONE;
    json_end(&j);
    return ok;
}

static void print(Buf *b, const Value *v, int indent) {
    buf_clear(b);
    json_put_value(b, v, indent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    Str text = {(const char *)data, n};
    Arena a = {0};
    Buf first = {0}, again = {0};
    Value v, w;
    Err e = {0};
    bool tree = read_tree(text, &a, &v);
    if (tree) {
        if (!skip_all(text)) abort();
        print(&first, &v, 0);
        if (!read_tree(buf_view(&first), &a, &w)) abort();
        print(&again, &w, 0);
        if (!str_eq(buf_view(&first), buf_view(&again))) abort();
    }
    bool small = json_parse(text, "fuzz", &a, &w, &e);
    if (small == (e.code != 0) || (small && !tree)) abort();
    if (small) {
        print(&again, &w, 0);
        if (!str_eq(buf_view(&first), buf_view(&again))) abort();
    }
    buf_release(&first);
    buf_release(&again);
    arena_release(&a);
    return 0;
}
