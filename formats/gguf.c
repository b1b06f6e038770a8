/* The bytes of one GGUF file, versions 2 and 3, little-endian (ggml/docs/gguf.md): magic, version, counts, key/value
 * pairs, tensor infos, padding, data. Everything stays in the mapping; the arena holds names and small values. */
#include "formats/store.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARRAY_DEPTH = 4, ALIGNMENT_MAX = 64 << 10, KEY_MAX = 65535, PAIRS_MAX = 1 << 16 };
/* The least that a key/value pair and a tensor info take: counts are held against the bytes left. */
enum { PAIR_MIN = 8 + 1 + 4 + 1, INFO_MIN = 8 + 1 + 4 + 4 + 8 };

static const struct GgufScalar {
    uint8_t width; /* 0: no scalar */
    BlobKind kind;
} scalar_of[GGUF_TYPES] = {
    [GGUF_U8] = {1, BLOB_U8},   [GGUF_I8] = {1, BLOB_I8},     [GGUF_U16] = {2, BLOB_U16}, [GGUF_I16] = {2, BLOB_I16},
    [GGUF_U32] = {4, BLOB_U32}, [GGUF_I32] = {4, BLOB_I32},   [GGUF_F32] = {4, BLOB_F32}, [GGUF_BOOL] = {1, BLOB_BOOL},
    [GGUF_STR] = {0, BLOB_STR}, [GGUF_ARRAY] = {0, BLOB_STR}, [GGUF_U64] = {8, BLOB_U64}, [GGUF_I64] = {8, BLOB_I64},
    [GGUF_F64] = {8, BLOB_F64}};

/* Names of ggml's types, for saying which one is not supported. */
static const char *const ggml_type_name[] = {
    "F32",    "F16",      "Q4_0",     "Q4_1",     "Q4_2",  "Q4_3",  "Q5_0",       "Q5_1",       "Q8_0",       "Q8_1",
    "Q2_K",   "Q3_K",     "Q4_K",     "Q5_K",     "Q6_K",  "Q8_K",  "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",    "IQ1_S",
    "IQ4_NL", "IQ3_S",    "IQ2_S",    "IQ4_XS",   "I8",    "I16",   "I32",        "I64",        "F64",        "IQ1_M",
    "BF16",   "Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8", "TQ1_0", "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4"};

typedef struct Reader {
    TensorFile *f;
    Buf *list;
    Value meta;
    const char *bytes;
    size_t n, at;
    const char *part; /* what is being read, and of which name: for errors */
    Str name;
    uint64_t nested; /* arrays inside arrays so far */
    Err *e;
} Reader;

#define SHORT(x) (int)MIN((x).n, 100), (x).s /* for "%.*s" in messages */

static bool bad(Reader *r, const char *why) {
    if (!r->name.n) return err_set(r->e, ERR_INPUT, "a %s: %s", r->part, why);
    return err_set(r->e, ERR_INPUT, "%s '%.*s': %s", r->part, SHORT(r->name), why);
}

static size_t left(const Reader *r) { return r->n - r->at; }

static const char *take(Reader *r, size_t n) {
    if (n > left(r)) {
        char why[120];
        snprintf(why, sizeof why, "the file is cut off here: %zu bytes are needed at byte %zu of %zu", n, r->at, r->n);
        bad(r, why);
        return NULL;
    }
    r->at += n;
    return r->bytes + (r->at - n);
}

static bool take_u32(Reader *r, uint32_t *out) {
    const char *p = take(r, 4);
    if (p) memcpy(out, p, 4);
    return p != NULL;
}

static bool take_u64(Reader *r, uint64_t *out) {
    const char *p = take(r, 8);
    if (p) memcpy(out, p, 8);
    return p != NULL;
}

static bool take_str(Reader *r, Str *out) {
    uint64_t n;
    TRY(take_u64(r, &n));
    out->s = take(r, (size_t)n);
    out->n = (size_t)n;
    return out->s != NULL;
}

/* A name: not empty, valid UTF-8, no NUL, not longer than the format allows. */
static bool take_name(Reader *r, Str *out) {
    r->name = STR("");
    TRY(take_str(r, out));
    r->name = *out;
    if (out->n == 0 || out->n > KEY_MAX)
        return r->name = STR(""), bad(r, "its name is empty or longer than 65535 bytes");
    if (!utf8_valid(*out) || memchr(out->s, 0, out->n)) return bad(r, "its name is no valid UTF-8 text");
    return true;
}

/* ---- values ---- */

static bool check_items(Reader *r, uint32_t type, const char *p, uint64_t n) {
    for (uint64_t i = 0; type == GGUF_BOOL && i < n; i++)
        if ((uint8_t)p[i] > 1) return bad(r, "a truth value is neither 0 nor 1");
    for (uint64_t i = 0; type == GGUF_U64 && i < n; i++)
        if (p[8 * i + 7] & 0x80) return bad(r, "a number is larger than 2^63 - 1");
    return true;
}

/* Steps over n texts. Where they go from one to the next is all that is read of long vocabularies here. */
static bool skip_texts(Reader *r, uint64_t n) {
    const char *at = r->bytes + r->at, *end = r->bytes + r->n;
    Str cut;
    for (uint64_t len; n && (size_t)(end - at) >= sizeof len; n--) {
        memcpy(&len, at, sizeof len);
        if (len > (size_t)(end - at) - sizeof len) break;
        at += sizeof len + len;
    }
    r->at = (size_t)(at - r->bytes);
    return !n || take_str(r, &cut); /* which says what is cut off */
}

static bool read_array(Reader *r, int depth, Value *out) {
    uint32_t type;
    uint64_t n;
    TRY(take_u32(r, &type) && take_u64(r, &n));
    if (type >= GGUF_TYPES) return bad(r, "an array of an unknown type");
    size_t least = type == GGUF_STR ? 8 : type == GGUF_ARRAY ? 12 : scalar_of[type].width;
    if (n > left(r) / least)
        return err_set(r->e, ERR_INPUT, "%s '%.*s': an array of %llu items cannot lie in the %zu bytes that are left",
                       r->part, SHORT(r->name), (unsigned long long)n, left(r));
    if (type == GGUF_ARRAY) {
        if (depth == ARRAY_DEPTH) return bad(r, "arrays are nested deeper than 4");
        if ((r->nested += n) > PAIRS_MAX) return bad(r, "too many nested arrays");
        *out = (Value){.kind = VALUE_ARRAY, .array = {ARENA_NEW(&r->f->arena, Value, n), (size_t)n}};
        for (uint64_t i = 0; i < n; i++) TRY(read_array(r, depth + 1, &out->array.items[i]));
        return true;
    }
    size_t from = r->at;
    if (type == GGUF_STR) {
        TRY(skip_texts(r, n));
    } else {
        const char *p = take(r, (size_t)n * scalar_of[type].width);
        TRY(p && check_items(r, type, p, n));
    }
    *out = (Value){.kind = VALUE_BLOB,
                   .blob = {(const uint8_t *)r->bytes + from, (size_t)n, r->at - from, scalar_of[type].kind}};
    return true;
}

static bool read_value(Reader *r, uint32_t type, int depth, Value *out) {
    if (type >= GGUF_TYPES)
        return err_set(r->e, ERR_INPUT, "%s '%.*s': its type %u is unknown", r->part, SHORT(r->name), type);
    if (type == GGUF_ARRAY) return read_array(r, depth, out);
    if (type == GGUF_STR) {
        *out = (Value){.kind = VALUE_STR};
        return take_str(r, &out->s) && (utf8_valid(out->s) || bad(r, "its text is no valid UTF-8"));
    }
    const char *p = take(r, scalar_of[type].width);
    TRY(p && check_items(r, type, p, 1));
    Value one = {.kind = VALUE_BLOB, .blob = {(const uint8_t *)p, 1, scalar_of[type].width, scalar_of[type].kind}};
    *out = value_item(&one, 0);
    return true;
}

static bool read_pairs(Reader *r, uint64_t n) {
    Str twice;
    r->part = "key", r->name = STR("");
    if (n > left(r) / PAIR_MIN || n > PAIRS_MAX)
        return err_set(r->e, ERR_INPUT, "the header counts %llu key/value pairs, the file has %zu bytes",
                       (unsigned long long)n, r->n);
    Value *items = ARENA_NEW(&r->f->arena, Value, n);
    Str *keys = ARENA_NEW(&r->f->arena, Str, n);
    for (uint64_t i = 0; i < n; i++) {
        uint32_t type;
        TRY(take_name(r, &keys[i]) && take_u32(r, &type) && read_value(r, type, 1, &items[i]));
    }
    if (!strs_unique(keys, (size_t)n, &twice)) return r->name = twice, bad(r, "it stands twice");
    r->meta = (Value){.kind = VALUE_OBJECT, .object = {keys, items, (size_t)n}};
    return true;
}

static bool read_alignment(Reader *r, size_t *out) {
    const Value *v = value_get(&r->meta, "general.alignment");
    int64_t a = GGUF_ALIGNMENT;
    TRY(value_as_int(v, "general.alignment", &a, r->e));
    if (a < 8 || a > ALIGNMENT_MAX || (a & (a - 1)))
        return err_set(r->e, ERR_INPUT, "general.alignment is %lld, not a power of two from 8 to %d", (long long)a,
                       ALIGNMENT_MAX);
    *out = (size_t)a;
    return true;
}

/* llama.cpp's llama-gguf-split. */
static bool read_split(const Value *meta, GgufSplit *out, Err *e) {
    *out = (GgufSplit){.no = 0, .count = 1, .tensors = -1};
    TRY(value_as_int(value_get(meta, "split.no"), "split.no", &out->no, e) &&
        value_as_int(value_get(meta, "split.count"), "split.count", &out->count, e) &&
        value_as_int(value_get(meta, "split.tensors.count"), "split.tensors.count", &out->tensors, e));
    if (out->count == 0) out->count = 1;
    if (out->count < 1 || out->count > GGUF_PARTS_MAX || out->no < 0 || out->no >= out->count)
        return err_set(e, ERR_INPUT, "split.no %lld of split.count %lld is no part of a model", (long long)out->no,
                       (long long)out->count);
    return true;
}

/* ---- tensors ---- */

static bool read_shape(Reader *r, Tensor *t) {
    uint32_t n;
    uint64_t dim;
    TRY(take_u32(r, &n));
    if (n > MAX_DIMS)
        return err_set(r->e, ERR_INPUT, "tensor '%.*s' has %u dimensions, at most %d are supported", SHORT(r->name), n,
                       MAX_DIMS);
    t->ndim = n ? (int)n : 1; /* no dimension at all: one number */
    t->ne[0] = 1;
    for (int d = (int)n - 1; d >= 0; d--) { /* the file has the innermost first */
        TRY(take_u64(r, &dim));
        if (dim == 0 || dim > INT64_MAX) return bad(r, "a dimension is 0 or too large");
        t->ne[d] = (int64_t)dim;
    }
    return true;
}

static bool read_info(Reader *r, NamedTensor *t, Span *span, size_t align) {
    Str name;
    uint32_t type;
    uint64_t offset;
    int64_t bytes;
    TRY(take_name(r, &name) && read_shape(r, &t->t) && take_u32(r, &type) && take_u64(r, &offset));
    t->name = (Str){arena_strn(&r->f->arena, name.s, name.n), name.n};
    if (!dtype_from_gguf(type, &t->t.dtype))
        return err_set(r->e, ERR_INPUT, "tensor '%.*s' has GGUF type %u (%s), which is not supported", SHORT(name),
                       type, type < COUNT_OF(ggml_type_name) ? ggml_type_name[type] : "unknown");
    if (t->t.ne[t->t.ndim - 1] % dtype_info[t->t.dtype].block)
        return bad(r, "its rows are no whole blocks of its type");
    if (!tensor_bytes(t->t.dtype, t->t.ndim, t->t.ne, &bytes)) return bad(r, "its shape is too large");
    if (offset % align)
        return err_set(r->e, ERR_INPUT, "tensor '%.*s': its offset %llu is no multiple of %zu", SHORT(name),
                       (unsigned long long)offset, align);
    span->begin = offset;
    if (__builtin_add_overflow(offset, (uint64_t)bytes, &span->end) || span->end > INT64_MAX)
        return bad(r, "its offset is too large");
    return true;
}

/* Every span lies in the data section and none in another. */
static bool check_spans(Reader *r, const NamedTensor *tensors, Span *spans, size_t n, size_t start) {
    uint64_t end = 0, needed;
    for (size_t i = 0; i < n; i++) end = MAX(end, spans[i].end);
    if (__builtin_add_overflow(end, (uint64_t)start, &needed) || needed > r->n)
        return err_set(r->e, ERR_INPUT,
                       "the file is cut off or damaged: its tensors end at byte %llu, it has %zu bytes",
                       (unsigned long long)needed, r->n);
    spans_sort(spans, n);
    for (size_t i = 1; i < n; i++)
        if (spans[i].begin < spans[i - 1].end)
            return err_set(r->e, ERR_INPUT, "the data of tensors '%.80s' and '%.80s' overlap",
                           tensors[spans[i - 1].i].name.s, tensors[spans[i].i].name.s);
    return true;
}

static bool read_infos(Reader *r, Span *spans, size_t n, size_t align) {
    TensorFile *f = r->f;
    size_t first = r->list->n / sizeof(NamedTensor);
    r->part = "tensor";
    for (size_t i = 0; i < n; i++) {
        NamedTensor t = {.file = MAX((int)f->n_files - 1, 0)};
        spans[i].i = i;
        TRY(read_info(r, &t, &spans[i], align));
        if (!strmap_put(&f->index, &f->arena, t.name, (int32_t)(first + i))) return bad(r, "it stands twice");
        buf_put(r->list, &t, sizeof t);
    }
    if (n == 0) return true;
    NamedTensor *tensors = (NamedTensor *)(void *)r->list->s + first;
    size_t start = align_up(r->at, align);
    TRY(check_spans(r, tensors, spans, n, start));
    for (size_t i = 0; i < n; i++) {
        Tensor *t = &tensors[spans[i].i].t;
        *t = tensor_dense(t->dtype, t->ndim, t->ne, (void *)(uintptr_t)(r->bytes + start + spans[i].begin));
    }
    return true;
}

static bool read_tensors(Reader *r, uint64_t n, size_t align) {
    if (n > left(r) / INFO_MIN || n > STORE_TENSORS_MAX - r->list->n / sizeof(NamedTensor))
        return err_set(r->e, ERR_INPUT, "the header counts %llu tensors, the file has %zu bytes", (unsigned long long)n,
                       r->n);
    Span *spans = mem_alloc((size_t)n, sizeof *spans);
    bool ok = read_infos(r, spans, (size_t)n, align);
    free(spans);
    return ok;
}

static bool check_version(Reader *r, uint32_t version) {
    if (version == 2 || version == 3) return true;
    if (version && (version & 0xffff) == 0)
        return err_set(r->e, ERR_INPUT, "a big-endian GGUF file, which is not supported; convert the model again");
    return err_set(r->e, ERR_INPUT, "GGUF version %u is not supported, 2 and 3 are; convert the model again", version);
}

bool gguf_parse(TensorFile *f, Str bytes, Buf *list, GgufSplit *split, Err *e) {
    Reader r = {.f = f, .list = list, .bytes = bytes.s, .n = bytes.n, .part = "header", .e = e};
    uint32_t version;
    uint64_t n_tensors, n_pairs;
    size_t align = GGUF_ALIGNMENT;
    const char *magic = take(&r, 4);
    TRY(magic);
    if (memcmp(magic, "GGUF", 4) != 0) return err_set(e, ERR_INPUT, "not a GGUF file: it does not begin with 'GGUF'");
    TRY(take_u32(&r, &version) && check_version(&r, version));
    TRY(take_u64(&r, &n_tensors) && take_u64(&r, &n_pairs));
    TRY(read_pairs(&r, n_pairs) && read_alignment(&r, &align) && read_split(&r.meta, split, e));
    if (split->no == 0) f->meta = r.meta;
    return read_tensors(&r, n_tensors, align);
}
