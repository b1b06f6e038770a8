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

size_t value_count(const Value *v) {
    return !v ? 0 : v->kind == VALUE_ARRAY ? v->array.n : v->kind == VALUE_BLOB ? v->blob.n : 0;
}

static const uint8_t blob_width[] = {
    [BLOB_I8] = 1,  [BLOB_U8] = 1,  [BLOB_I16] = 2, [BLOB_U16] = 2, [BLOB_I32] = 4, [BLOB_U32] = 4,
    [BLOB_I64] = 8, [BLOB_U64] = 8, [BLOB_F32] = 4, [BLOB_F64] = 8, [BLOB_BOOL] = 1};

/* One element at byte offset *at; advances it. */
static Value blob_read(const Value *v, size_t *at) {
    const uint8_t *p = v->blob.bytes + *at;
    uint64_t raw = 0;
    float f32;
    double f64;
    if (v->blob.kind == BLOB_STR) {
        memcpy(&raw, p, 8);
        *at += 8 + (size_t)raw;
        return (Value){.kind = VALUE_STR, .s = {(const char *)p + 8, (size_t)raw}};
    }
    size_t width = blob_width[v->blob.kind];
    memcpy(&raw, p, width);
    *at += width;
    switch (v->blob.kind) {
    case BLOB_F32: return memcpy(&f32, p, 4), (Value){.kind = VALUE_FLOAT, .f = (double)f32};
    case BLOB_F64: return memcpy(&f64, p, 8), (Value){.kind = VALUE_FLOAT, .f = f64};
    case BLOB_BOOL: return (Value){.kind = VALUE_BOOL, .b = raw != 0};
    case BLOB_I8: return (Value){.kind = VALUE_INT, .i = (int8_t)raw};
    case BLOB_I16: return (Value){.kind = VALUE_INT, .i = (int16_t)raw};
    case BLOB_I32: return (Value){.kind = VALUE_INT, .i = (int32_t)raw};
    default: return (Value){.kind = VALUE_INT, .i = (int64_t)raw};
    }
}

bool value_next(const Value *v, size_t *cursor, Value *item) {
    if (v && v->kind == VALUE_ARRAY) {
        if (*cursor >= v->array.n) return false;
        return *item = v->array.items[(*cursor)++], true;
    }
    if (!v || v->kind != VALUE_BLOB || *cursor >= v->blob.n_bytes) return false;
    return *item = blob_read(v, cursor), true;
}

Value value_item(const Value *v, size_t i) {
    if (v->kind == VALUE_ARRAY) return v->array.items[i];
    size_t at = 0;
    if (v->blob.kind == BLOB_STR)
        for (; i; i--) blob_read(v, &at);
    else
        at = i * blob_width[v->blob.kind];
    return blob_read(v, &at);
}
