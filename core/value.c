#include "core/value.h"

static const Value *object_find(const Value *v, Str key) {
    if (!v || v->kind != VALUE_OBJECT) return NULL;
    for (size_t i = 0; i < v->object.n; i++)
        if (str_eq(v->object.keys[i], key)) return &v->object.items[i];
    return NULL;
}

const Value *value_get(const Value *v, const char *key) { return object_find(v, str_of(key)); }

const Value *value_path(const Value *v, const char *path) {
    const Value *whole = value_get(v, path);
    if (whole) return whole;
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
        const Value *head = object_find(v, (Str){path, (size_t)(dot - path)});
        const Value *found = head ? value_path(head, dot + 1) : NULL;
        if (found) return found;
    }
    return NULL;
}

static bool absent(const Value *v) { return !v || v->kind == VALUE_NULL; }

bool value_as_int(const Value *v, const char *what, int64_t *out, Err *e) {
    if (absent(v)) return true;
    if (v->kind == VALUE_FLOAT && v->f >= -0x1p53 && v->f <= 0x1p53 && v->f == (double)(int64_t)v->f)
        return *out = (int64_t)v->f, true;
    if (v->kind != VALUE_INT) return err_set(e, ERR_INPUT, "'%s' must be a whole number", what);
    return *out = v->i, true;
}

bool value_as_float(const Value *v, const char *what, double *out, Err *e) {
    if (absent(v)) return true;
    if (v->kind == VALUE_INT) return *out = (double)v->i, true;
    if (v->kind != VALUE_FLOAT) return err_set(e, ERR_INPUT, "'%s' must be a number", what);
    return *out = v->f, true;
}

bool value_as_bool(const Value *v, const char *what, bool *out, Err *e) {
    if (absent(v)) return true;
    if (v->kind != VALUE_BOOL) return err_set(e, ERR_INPUT, "'%s' must be true or false", what);
    return *out = v->b, true;
}

bool value_as_str(const Value *v, const char *what, Str *out, Err *e) {
    if (absent(v)) return true;
    if (v->kind != VALUE_STR) return err_set(e, ERR_INPUT, "'%s' must be a string", what);
    return *out = v->s, true;
}

void value_put(Arena *a, Value *o, Str key, Value v) {
    enum { FEWEST = 16 };
    const size_t n = o->object.n;
    for (size_t i = 0; i < n; i++)
        if (str_eq(o->object.keys[i], key)) {
            o->object.items[i] = v;
            return;
        }
    if (n >= o->object.cap) {
        o->object.cap = MAX(2 * n, FEWEST);
        Str *keys = ARENA_NEW(a, Str, o->object.cap);
        Value *items = ARENA_NEW(a, Value, o->object.cap);
        if (n) memcpy(keys, o->object.keys, n * sizeof *keys), memcpy(items, o->object.items, n * sizeof *items);
        o->object.keys = keys, o->object.items = items;
    }
    o->object.keys[n] = key;
    o->object.items[n] = v;
    o->object.n = n + 1;
}

size_t value_count(const Value *v) {
    return !v ? 0 : v->kind == VALUE_ARRAY ? v->array.n : v->kind == VALUE_BLOB ? v->blob.n : 0;
}

static const uint8_t blob_width[] = {
    [BLOB_I8] = 1,  [BLOB_U8] = 1,  [BLOB_I16] = 2, [BLOB_U16] = 2, [BLOB_I32] = 4, [BLOB_U32] = 4,
    [BLOB_I64] = 8, [BLOB_U64] = 8, [BLOB_F32] = 4, [BLOB_F64] = 8, [BLOB_BOOL] = 1};

/* One element at byte offset *at, which moves on. Written where it is wanted: a copy would wait for its own stores. */
static void blob_read(const Value *v, size_t *at, Value *out) {
    const uint8_t *p = v->blob.bytes + *at;
    uint64_t raw = 0;
    float f32;
    double f64;
    if (v->blob.kind == BLOB_STR) {
        memcpy(&raw, p, 8);
        *at += 8 + (size_t)raw;
        out->kind = VALUE_STR;
        out->s = (Str){(const char *)p + 8, (size_t)raw};
        return;
    }
    size_t width = blob_width[v->blob.kind];
    memcpy(&raw, p, width);
    *at += width;
    switch (v->blob.kind) {
    case BLOB_F32: memcpy(&f32, p, 4), out->kind = VALUE_FLOAT, out->f = (double)f32; break;
    case BLOB_F64: memcpy(&f64, p, 8), out->kind = VALUE_FLOAT, out->f = f64; break;
    case BLOB_BOOL: out->kind = VALUE_BOOL, out->b = raw != 0; break;
    case BLOB_I8: out->kind = VALUE_INT, out->i = (int8_t)raw; break;
    case BLOB_I16: out->kind = VALUE_INT, out->i = (int16_t)raw; break;
    case BLOB_I32: out->kind = VALUE_INT, out->i = (int32_t)raw; break;
    default: out->kind = VALUE_INT, out->i = (int64_t)raw; break;
    }
}

bool value_next(const Value *v, size_t *cursor, Value *item) {
    if (v && v->kind == VALUE_ARRAY) {
        if (*cursor >= v->array.n) return false;
        return *item = v->array.items[(*cursor)++], true;
    }
    if (!v || v->kind != VALUE_BLOB || *cursor >= v->blob.n_bytes) return false;
    return blob_read(v, cursor, item), true;
}

Value value_item(const Value *v, size_t i) {
    if (v->kind == VALUE_ARRAY) return v->array.items[i];
    size_t at = 0;
    Value item = {.kind = VALUE_NULL};
    if (v->blob.kind == BLOB_STR)
        for (; i; i--) blob_read(v, &at, &item);
    else
        at = i * blob_width[v->blob.kind];
    blob_read(v, &at, &item);
    return item;
}
