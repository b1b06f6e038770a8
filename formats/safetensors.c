/* Reading safetensors (huggingface/safetensors, README "Format"): u64 length of the header, the header (a JSON object),
 * the data. Offsets count from the start of the data; the tensors fill it without holes or overlap. */
#include "formats/json.h"
#include "formats/store.h"

#include <stdlib.h>

enum { HEADER_MAX = 100 << 20, METADATA_MAX = 1 << 16 };

#define SHORT(x) (int)MIN((x).n, 100), (x).s /* for "%.*s" in messages */

typedef struct Reader {
    TensorFile *f;
    int file;
    Json json;
    const char *data;
    size_t n_data;
    Buf spans; /* Span each, i counts in *list */
    Buf *list;
    Value *metadata;
    Err *e;
} Reader;

/* What the reader of JSON found wrong; or, where its event was merely not the expected one, `why`. */
static bool bad_header(Reader *r, JsonEvent ev, const char *why) {
    if (ev != JSON_FAIL) return err_set(r->e, ERR_INPUT, "header, before byte %zu: %s", r->json.at, why);
    if (r->e) *r->e = r->json.err;
    return err_prefix(r->e, "header");
}

static bool bad(Reader *r, Str name, const char *why) {
    return err_set(r->e, ERR_INPUT, "tensor '%.*s': %s", SHORT(name), why);
}

static Str copy_str(Arena *a, Str s) { return (Str){arena_strn(a, s.s, s.n), s.n}; }

/* ---- one entry: {"dtype":"F32","shape":[2,3],"data_offsets":[0,24]} ---- */

/* Non-negative numbers into out[0..max); *n counts them all, also those beyond max. */
static bool read_counts(Reader *r, int64_t *out, size_t max, size_t *n) {
    JsonEvent ev = json_next(&r->json);
    if (ev != JSON_ARRAY) return bad_header(r, ev, "expected an array of numbers");
    for (*n = 0; (ev = json_next(&r->json)) != JSON_ARRAY_END; ++*n) {
        if (ev != JSON_INT || r->json.i < 0) return bad_header(r, ev, "expected a whole number that is not negative");
        if (*n < max) out[*n] = r->json.i;
    }
    return true;
}

static bool read_dtype(Reader *r, Str name, Dtype *out) {
    JsonEvent ev = json_next(&r->json);
    if (ev != JSON_STR) return bad_header(r, ev, "dtype must be a string");
    if (dtype_from_st(r->json.str, out)) return true;
    return err_set(r->e, ERR_INPUT, "tensor '%.*s' has dtype '%.*s', which is not supported", SHORT(name),
                   (int)MIN(r->json.str.n, 20), r->json.str.s);
}

static bool read_shape(Reader *r, Str name, Tensor *t) {
    size_t n;
    TRY(read_counts(r, t->ne, MAX_DIMS, &n));
    if (n > MAX_DIMS)
        return err_set(r->e, ERR_INPUT, "tensor '%.*s' has %zu dimensions, at most %d are supported", SHORT(name), n,
                       MAX_DIMS);
    if (n == 0) t->ne[0] = 1; /* a scalar */
    t->ndim = n ? (int)n : 1;
    return true;
}

static bool read_offsets(Reader *r, Str name, Span *span) {
    int64_t offsets[2];
    size_t n;
    TRY(read_counts(r, offsets, 2, &n));
    if (n != 2 || offsets[0] > offsets[1]) return bad(r, name, "data_offsets are no [begin, end]");
    *span = (Span){.begin = (uint64_t)offsets[0], .end = (uint64_t)offsets[1], .i = span->i};
    return true;
}

static bool read_entry(Reader *r, Str name, Tensor *t, Span *span) {
    static const char *const fields[] = {"dtype", "shape", "data_offsets"};
    unsigned seen = 0;
    JsonEvent ev = json_next(&r->json);
    if (ev != JSON_OBJECT) return bad_header(r, ev, "the entry of a tensor must be an object");
    while ((ev = json_next(&r->json)) == JSON_KEY) {
        unsigned k = 0;
        while (k < COUNT_OF(fields) && !str_is(r->json.str, fields[k])) k++;
        if (seen >> k & 1) return bad(r, name, "a field of its entry stands twice");
        if (k < COUNT_OF(fields)) seen |= 1u << k;
        switch (k) {
        case 0: TRY(read_dtype(r, name, &t->dtype)); break;
        case 1: TRY(read_shape(r, name, t)); break;
        case 2: TRY(read_offsets(r, name, span)); break;
        default:
            if (!json_skip(&r->json)) return bad_header(r, JSON_FAIL, "");
        }
    }
    if (ev != JSON_OBJECT_END) return bad_header(r, ev, "");
    return seen == 7 || bad(r, name, "its entry lacks dtype, shape or data_offsets");
}

/* ---- the header ---- */

static bool check_size(Reader *r, const NamedTensor *t, const Span *span) {
    int64_t bytes;
    if (!tensor_bytes(t->t.dtype, t->t.ndim, t->t.ne, &bytes)) return bad(r, t->name, "its shape is too large");
    if ((uint64_t)bytes != span->end - span->begin)
        return err_set(r->e, ERR_INPUT, "tensor '%.*s': its shape and dtype need %lld bytes, its offsets span %llu",
                       SHORT(t->name), (long long)bytes, (unsigned long long)(span->end - span->begin));
    if (span->end > r->n_data)
        return err_set(r->e, ERR_INPUT, "the file is cut off: tensor '%.*s' ends at byte %llu of the data, it has %zu",
                       SHORT(t->name), (unsigned long long)span->end, r->n_data);
    return true;
}

static bool read_tensor(Reader *r) {
    NamedTensor t = {.file = r->file};
    Span span = {.i = r->list->n / sizeof t};
    Str name = r->json.str;
    if (name.n == 0 || memchr(name.s, 0, name.n)) return bad(r, name, "its name is empty or holds a NUL");
    t.name = copy_str(&r->f->arena, name);
    TRY(read_entry(r, t.name, &t.t, &span) && check_size(r, &t, &span));
    if (span.i >= STORE_TENSORS_MAX) return err_set(r->e, ERR_INPUT, "more than %d tensors", STORE_TENSORS_MAX);
    if (!strmap_put(&r->f->index, &r->f->arena, t.name, (int32_t)span.i)) return bad(r, t.name, "it stands twice");
    t.t = tensor_dense(t.t.dtype, t.t.ndim, t.t.ne, (void *)(uintptr_t)(r->data + span.begin));
    buf_put(r->list, &t, sizeof t);
    buf_put(&r->spans, &span, sizeof span);
    return true;
}

static bool read_metadata_pairs(Reader *r, Buf *keys, Buf *items) {
    JsonEvent ev = json_next(&r->json);
    if (ev != JSON_OBJECT) return bad_header(r, ev, "'__metadata__' must be an object");
    while ((ev = json_next(&r->json)) == JSON_KEY) {
        Str key = copy_str(&r->f->arena, r->json.str);
        if ((ev = json_next(&r->json)) != JSON_STR) return bad_header(r, ev, "'__metadata__' must hold strings");
        Value item = {.kind = VALUE_STR, .s = copy_str(&r->f->arena, r->json.str)};
        buf_put(keys, &key, sizeof key);
        buf_put(items, &item, sizeof item);
        if (keys->n / sizeof key > METADATA_MAX) return bad_header(r, JSON_STR, "'__metadata__' is too long");
    }
    return ev == JSON_OBJECT_END || bad_header(r, ev, "");
}

static bool read_metadata(Reader *r) {
    Buf keys = {0}, items = {0};
    Str twice;
    bool ok = r->metadata->kind == VALUE_NULL || bad_header(r, JSON_KEY, "'__metadata__' stands twice");
    ok = ok && read_metadata_pairs(r, &keys, &items);
    if (ok) {
        size_t n = keys.n / sizeof(Str);
        Value *v = r->metadata;
        *v = (Value){.kind = VALUE_OBJECT,
                     .object = {ARENA_NEW(&r->f->arena, Str, n), ARENA_NEW(&r->f->arena, Value, n), n}};
        if (n) memcpy(v->object.keys, keys.s, keys.n), memcpy(v->object.items, items.s, items.n);
        if (!strs_unique(v->object.keys, n, &twice))
            ok = err_set(r->e, ERR_INPUT, "header: key '%.*s' of '__metadata__' stands twice", SHORT(twice));
    }
    buf_release(&keys);
    buf_release(&items);
    return ok;
}

static bool read_header(Reader *r) {
    JsonEvent ev = json_next(&r->json);
    if (ev != JSON_OBJECT) return bad_header(r, ev, "the header must be a JSON object");
    while ((ev = json_next(&r->json)) == JSON_KEY)
        TRY(str_is(r->json.str, "__metadata__") ? read_metadata(r) : read_tensor(r));
    if (ev == JSON_OBJECT_END) ev = json_next(&r->json);
    return ev == JSON_DONE || bad_header(r, ev, "");
}

/* ---- the data ---- */

/* The spans tile the data: no byte twice, none unclaimed. */
static bool check_tiling(Reader *r) {
    Span *spans = (Span *)(void *)r->spans.s;
    size_t n = r->spans.n / sizeof *spans;
    const NamedTensor *t = (const NamedTensor *)(void *)r->list->s;
    uint64_t at = 0;
    if (n) spans_sort(spans, n);
    for (size_t i = 0; i < n; i++) {
        if (spans[i].begin < at) return bad(r, t[spans[i].i].name, "its data overlap another tensor's");
        if (spans[i].begin > at) return bad(r, t[spans[i].i].name, "there is a hole in the data before it");
        at = spans[i].end;
    }
    if (at != r->n_data)
        return err_set(r->e, ERR_INPUT, "the tensors end at byte %llu of the data, the file has %zu bytes of it",
                       (unsigned long long)at, r->n_data);
    return true;
}

/* Old writers did not align the header. Kernels want elements at their natural alignment, so such a tensor is copied.
 */
static void align_data(Reader *r, size_t first) {
    NamedTensor *t = (NamedTensor *)(void *)r->list->s;
    for (size_t i = first; i < r->list->n / sizeof *t; i++) {
        size_t unit = (size_t)dtype_info[t[i].t.dtype].block_bytes;
        int64_t bytes = tensor_count(&t[i].t) * (int64_t)unit;
        if ((uintptr_t)t[i].t.data % unit == 0) continue;
        void *copy = arena_alloc(&r->f->arena, (size_t)bytes, 1);
        if (bytes) memcpy(copy, t[i].t.data, (size_t)bytes);
        t[i].t.data = copy;
    }
}

static bool parse_header(Reader *r, Str bytes) {
    uint64_t n;
    if (bytes.n < 8) return err_set(r->e, ERR_INPUT, "%zu bytes are too few for a safetensors file", bytes.n);
    memcpy(&n, bytes.s, 8);
    if (n > HEADER_MAX || n > bytes.n - 8)
        return err_set(r->e, ERR_INPUT,
                       "no safetensors file, or cut off: its header should have %llu bytes (at most %d), %zu follow",
                       (unsigned long long)n, HEADER_MAX, bytes.n - 8);
    if (n == 0 || bytes.s[8] != '{') return err_set(r->e, ERR_INPUT, "the header does not begin with '{'");
    r->data = bytes.s + 8 + n;
    r->n_data = bytes.n - 8 - (size_t)n;
    json_begin(&r->json, (Str){bytes.s + 8, (size_t)n});
    return read_header(r) && check_tiling(r);
}

bool safetensors_parse(TensorFile *f, Str bytes, int file, Buf *list, Value *metadata, Err *e) {
    Reader r = {.f = f, .file = file, .list = list, .metadata = metadata, .e = e};
    size_t first = list->n / sizeof(NamedTensor);
    *metadata = (Value){.kind = VALUE_NULL};
    bool ok = parse_header(&r, bytes);
    if (ok) align_data(&r, first);
    json_end(&r.json);
    buf_release(&r.spans);
    return ok;
}

bool safetensors_open(const char *path, TensorFile *f, Err *e) {
    Mapping m;
    Buf list = {0};
    store_begin(f, STORE_HF, path);
    bool ok = store_map(f, path, &m, e);
    if (ok && !safetensors_parse(f, (Str){m.bytes, m.n}, 0, &list, &f->meta, e))
        ok = err_prefix(e, "cannot read '%s'", path);
    if (ok) store_take_list(f, &list);
    buf_release(&list);
    return store_end(f, ok);
}
