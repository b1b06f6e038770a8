/* Writing safetensors: tensors in the order given, the header padded with spaces so that the data begin at a multiple
 * of 8. */
#include "formats/json.h"
#include "formats/store.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_ALIGN = 8 };

static bool put_metadata(Buf *b, const Value *metadata, Err *e) {
    bool ok = metadata->kind == VALUE_OBJECT;
    for (size_t i = 0; ok && i < metadata->object.n; i++) ok = metadata->object.items[i].kind == VALUE_STR;
    if (!ok) return err_set(e, ERR_INPUT, "the metadata must be an object of strings");
    buf_str(b, "\"__metadata__\":");
    json_put_value(b, metadata, -1);
    buf_char(b, ',');
    return true;
}

static bool put_entry(Buf *b, const OutTensor *t, int64_t *offset, Err *e) {
    int64_t bytes; /* of the tensor, then where it ends */
    TRY(out_tensor_bytes(t, &bytes, e));
    const char *tag = dtype_info[t->dtype].st_tag;
    if (!tag)
        return err_set(e, ERR_INPUT, "safetensors cannot hold tensor '%s' of type %s", t->name,
                       dtype_info[t->dtype].name);
    if (strcmp(t->name, "__metadata__") == 0) return err_set(e, ERR_INPUT, "no tensor can be named '%s'", t->name);
    if (!add_i64(*offset, bytes, &bytes)) return err_set(e, ERR_INPUT, "the tensors are too large together");
    json_put_str(b, str_of(t->name));
    buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", tag);
    for (int d = 0; d < t->ndim; d++) buf_printf(b, d ? ",%lld" : "%lld", (long long)t->ne[d]);
    buf_printf(b, "],\"data_offsets\":[%lld,%lld]},", (long long)*offset, (long long)bytes);
    *offset = bytes;
    return true;
}

/* Length and header: the bytes before the data. */
static bool put_header(Buf *b, const Value *metadata, const OutTensor *tensors, size_t n, Err *e) {
    uint64_t length = 0;
    int64_t offset = 0;
    TRY(out_names_unique(tensors, n, e));
    buf_put(b, &length, 8);
    buf_char(b, '{');
    if (metadata) TRY(put_metadata(b, metadata, e));
    for (size_t i = 0; i < n; i++) TRY(put_entry(b, &tensors[i], &offset, e));
    if (b->s[b->n - 1] == ',') b->n--;
    buf_char(b, '}');
    while (b->n % HEADER_ALIGN) buf_char(b, ' ');
    length = b->n - 8;
    memcpy(b->s, &length, 8);
    return true;
}

bool safetensors_write(const char *path, const Value *metadata, const OutTensor *tensors, size_t n, Err *e) {
    Buf header = {0};
    bool ok = put_header(&header, metadata, tensors, n, e) || err_prefix(e, "cannot write '%s'", path);
    ok = ok && out_file(path, &header, 1, tensors, n, e);
    buf_release(&header);
    return ok;
}

/* ---- directories ---- */

typedef struct Shards {
    const char *dir;
    const OutTensor *tensors;
    size_t n;
    size_t *first; /* [count + 1]: shard s holds tensors first[s] .. first[s + 1] */
    size_t count;
    int64_t total;
    Arena arena;
} Shards;

/* Fills shards one after the other; a tensor larger than a shard gets one of its own. */
static bool cut_shards(Shards *s, int64_t max_shard, Err *e) {
    int64_t here = 0, bytes;
    s->first = ARENA_NEW(&s->arena, size_t, s->n + 2);
    s->count = 1;
    for (size_t i = 0; i < s->n; i++) {
        TRY(out_tensor_bytes(&s->tensors[i], &bytes, e));
        if (!add_i64(s->total, bytes, &s->total)) return err_set(e, ERR_INPUT, "the tensors are too large together");
        if (max_shard > 0 && i > s->first[s->count - 1] && bytes > max_shard - here) {
            s->first[s->count++] = i;
            here = 0;
        }
        here += bytes;
    }
    s->first[s->count] = s->n;
    return true;
}

static const char *shard_name(Shards *s, size_t i) {
    return s->count == 1 ? "model.safetensors"
                         : arena_printf(&s->arena, "model-%05zu-of-%05zu.safetensors", i + 1, s->count);
}

static bool write_index(Shards *s, Err *e) {
    Buf b = {0};
    buf_printf(&b, "{\n  \"metadata\": {\n    \"total_size\": %lld\n  },\n  \"weight_map\": {", (long long)s->total);
    for (size_t k = 0; k < s->count; k++)
        for (size_t i = s->first[k]; i < s->first[k + 1]; i++) {
            buf_str(&b, i ? ",\n    " : "\n    ");
            json_put_str(&b, str_of(s->tensors[i].name));
            buf_str(&b, ": ");
            json_put_str(&b, str_of(shard_name(s, k)));
        }
    buf_str(&b, "\n  }\n}\n");
    bool ok = write_text_file(store_join(&s->arena, s->dir, "model.safetensors.index.json"), buf_view(&b), e);
    buf_release(&b);
    return ok;
}

/* Readers take model.safetensors before an index: an old one would hide the shards. */
static bool check_dir(Shards *s, Err *e) {
    const char *single = store_join(&s->arena, s->dir, "model.safetensors");
    if (mkdir(s->dir, 0777) != 0 && errno != EEXIST)
        return err_set(e, ERR_IO, "cannot make the directory '%s': %s", s->dir, strerror(errno));
    if (s->count > 1 && access(single, F_OK) == 0)
        return err_set(e, ERR_IO, "cannot write shards to '%s': it already holds model.safetensors; remove that first",
                       s->dir);
    return true;
}

/* The index last: with it the shards are all there. */
static bool write_shards(Shards *s, Err *e) {
    Str key = STR("format");
    Value pt = {.kind = VALUE_STR, .s = STR("pt")}, metadata = {.kind = VALUE_OBJECT, .object = {&key, &pt, 1}};
    TRY(out_names_unique(s->tensors, s->n, e) && check_dir(s, e));
    for (size_t k = 0; k < s->count; k++)
        TRY(safetensors_write(store_join(&s->arena, s->dir, shard_name(s, k)), &metadata, s->tensors + s->first[k],
                              s->first[k + 1] - s->first[k], e));
    return s->count == 1 || write_index(s, e);
}

bool safetensors_write_dir(const char *dir, int64_t max_shard, const OutTensor *tensors, size_t n, Err *e) {
    Shards s = {.dir = dir, .tensors = tensors, .n = n};
    bool ok = cut_shards(&s, max_shard, e) && write_shards(&s, e);
    arena_release(&s.arena);
    return ok;
}
