/* Writing GGUF version 3, little-endian, alignment 32. The header is built in memory, the data stream through. */
#include "formats/json.h"
#include "formats/store.h"

static void put_u32(Buf *b, uint32_t v) { buf_put(b, &v, 4); }
static void put_u64(Buf *b, uint64_t v) { buf_put(b, &v, 8); }

static void put_str(Buf *b, Str s) {
    put_u64(b, s.n);
    buf_put(b, s.s, s.n);
}

/* ---- values ---- */

static const GgufType type_of_blob[] = {
    [BLOB_I8] = GGUF_I8,   [BLOB_U8] = GGUF_U8,   [BLOB_I16] = GGUF_I16,   [BLOB_U16] = GGUF_U16,
    [BLOB_I32] = GGUF_I32, [BLOB_U32] = GGUF_U32, [BLOB_I64] = GGUF_I64,   [BLOB_U64] = GGUF_U64,
    [BLOB_F32] = GGUF_F32, [BLOB_F64] = GGUF_F64, [BLOB_BOOL] = GGUF_BOOL, [BLOB_STR] = GGUF_STR};

/* The type that holds every item of an array; GGUF_TYPES where there is none. Numbers that mix are floats. */
static GgufType item_type(const Value *v) {
    GgufType type = GGUF_I32;
    for (size_t i = 0; i < v->array.n; i++) {
        const Value *x = &v->array.items[i];
        GgufType t = x->kind == VALUE_INT     ? (x->i == (int32_t)x->i ? GGUF_I32 : GGUF_I64)
                     : x->kind == VALUE_FLOAT ? GGUF_F32
                     : x->kind == VALUE_BOOL  ? GGUF_BOOL
                     : x->kind == VALUE_STR   ? GGUF_STR
                                              : GGUF_TYPES;
        bool both = i > 0 && t != type, ints = t != GGUF_F32 && type != GGUF_F32;
        if (t == GGUF_TYPES) return t;
        if (both && (t == GGUF_BOOL || t == GGUF_STR || type == GGUF_BOOL || type == GGUF_STR)) return GGUF_TYPES;
        type = both ? (ints ? GGUF_I64 : GGUF_F32) : t;
    }
    return type;
}

static void put_item(Buf *b, GgufType type, const Value *v) {
    int32_t i32 = (int32_t)v->i;
    float f32 = v->kind == VALUE_INT ? (float)v->i : (float)v->f;
    switch (type) {
    case GGUF_I32: buf_put(b, &i32, 4); break;
    case GGUF_I64: buf_put(b, &v->i, 8); break;
    case GGUF_F32: buf_put(b, &f32, 4); break;
    case GGUF_BOOL: buf_char(b, (char)v->b); break;
    default: put_str(b, v->s); break;
    }
}

static bool put_array(Buf *b, const Value *v) {
    GgufType type = item_type(v);
    if (type == GGUF_TYPES) return false;
    put_u32(b, GGUF_ARRAY);
    put_u32(b, type);
    put_u64(b, v->array.n);
    for (size_t i = 0; i < v->array.n; i++) put_item(b, type, &v->array.items[i]);
    return true;
}

/* As JSON text. */
static bool put_object(Buf *b, const Value *v) {
    Buf text = {0};
    json_put_value(&text, v, -1);
    put_u32(b, GGUF_STR);
    put_str(b, buf_view(&text));
    buf_release(&text);
    return true;
}

/* Type and value; false where GGUF has no such thing. */
static bool put_value(Buf *b, const Value *v) {
    bool small = v->kind == VALUE_INT && v->i >= 0 && v->i <= UINT32_MAX;
    float f32 = v->kind == VALUE_FLOAT ? (float)v->f : 0;
    switch (v->kind) {
    case VALUE_BOOL:
        put_u32(b, GGUF_BOOL);
        buf_char(b, (char)v->b);
        return true;
    case VALUE_INT:
        put_u32(b, small ? GGUF_U32 : GGUF_I64);
        buf_put(b, &v->i, small ? 4 : 8);
        return true;
    case VALUE_FLOAT:
        put_u32(b, GGUF_F32);
        buf_put(b, &f32, 4);
        return true;
    case VALUE_STR:
        put_u32(b, GGUF_STR);
        put_str(b, v->s);
        return utf8_valid(v->s);
    case VALUE_BLOB:
        put_u32(b, GGUF_ARRAY);
        put_u32(b, type_of_blob[v->blob.kind]);
        put_u64(b, v->blob.n);
        buf_put(b, v->blob.bytes, v->blob.n_bytes);
        return true;
    case VALUE_ARRAY: return put_array(b, v);
    case VALUE_OBJECT: return put_object(b, v);
    default: return false;
    }
}

/* The alignment of the file that the metadata came from does not hold here. */
static bool is_kept(Str key) { return !str_is(key, "general.alignment"); }

static bool put_pairs(Buf *b, const Value *meta, Err *e) {
    if (meta->kind != VALUE_OBJECT && meta->kind != VALUE_NULL)
        return err_set(e, ERR_INPUT, "the metadata must be an object");
    size_t n = meta->kind == VALUE_OBJECT ? meta->object.n : 0, kept = 0;
    for (size_t i = 0; i < n; i++) kept += is_kept(meta->object.keys[i]);
    put_u64(b, kept);
    for (size_t i = 0; i < n; i++) {
        Str key = meta->object.keys[i];
        if (!is_kept(key)) continue;
        put_str(b, key);
        if (!key.n || !utf8_valid(key) || !put_value(b, &meta->object.items[i]))
            return err_set(e, ERR_INPUT, "GGUF cannot hold the value of '%.*s'", (int)MIN(key.n, 100), key.s);
    }
    return true;
}

/* ---- tensors ---- */

static bool put_infos(Buf *b, const OutTensor *tensors, size_t n, Err *e) {
    uint64_t offset = 0;
    for (size_t i = 0; i < n; i++) {
        const OutTensor *t = &tensors[i];
        int64_t bytes;
        TRY(out_tensor_bytes(t, &bytes, e));
        if (dtype_info[t->dtype].gguf_type < 0 || bytes == 0)
            return err_set(e, ERR_INPUT, "GGUF cannot hold tensor '%s': it %s", t->name,
                           bytes ? "has no such type" : "is empty");
        put_str(b, str_of(t->name));
        put_u32(b, (uint32_t)t->ndim);
        for (int d = t->ndim - 1; d >= 0; d--) put_u64(b, (uint64_t)t->ne[d]); /* innermost first */
        put_u32(b, (uint32_t)dtype_info[t->dtype].gguf_type);
        put_u64(b, offset);
        offset += align_up((size_t)bytes, GGUF_ALIGNMENT);
    }
    return true;
}

static bool put_header(Buf *b, const Value *meta, const OutTensor *tensors, size_t n, Err *e) {
    TRY(out_names_unique(tensors, n, e));
    buf_str(b, "GGUF");
    put_u32(b, GGUF_VERSION);
    put_u64(b, n);
    TRY(put_pairs(b, meta, e) && put_infos(b, tensors, n, e));
    while (b->n % GGUF_ALIGNMENT) buf_char(b, 0);
    return true;
}

bool gguf_write(const char *path, const Value *meta, const OutTensor *tensors, size_t n, Err *e) {
    Buf header = {0};
    bool ok = put_header(&header, meta, tensors, n, e) || err_prefix(e, "cannot write '%s'", path);
    ok = ok && out_file(path, &header, GGUF_ALIGNMENT, tensors, n, e);
    buf_release(&header);
    return ok;
}

bool gguf_write_to(Sink to, const Value *meta, const OutTensor *tensors, size_t n, Err *e) {
    Buf header = {0};
    bool ok = put_header(&header, meta, tensors, n, e) && out_stream(to, &header, GGUF_ALIGNMENT, tensors, n, e);
    buf_release(&header);
    return ok;
}
