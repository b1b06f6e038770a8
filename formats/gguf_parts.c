/* Opening GGUF files: one, or the parts of a model that llama.cpp's llama-gguf-split made. The first part holds the
 * metadata and says how many there are; all lie beside it under NAME-00001-of-00003.gguf and so on. */
#include "formats/json.h"
#include "formats/store.h"

#include <stdio.h>

static bool read_part(TensorFile *f, const char *path, Buf *list, GgufSplit *split, Err *e) {
    Mapping m;
    TRY(store_map(f, path, &m, e));
    return gguf_parse(f, (Str){m.bytes, m.n}, list, split, e) || err_prefix(e, "cannot read '%s'", path);
}

/* The name of part no in the place of part `from`'s; NULL where the path is not named as a part. */
static const char *part_path(Arena *a, Str path, int64_t from, int64_t no, int64_t count) {
    char end[64];
    snprintf(end, sizeof end, "-%05lld-of-%05lld.gguf", (long long)from + 1, (long long)count);
    if (!str_ends(path, end)) return NULL;
    return arena_printf(a, "%.*s-%05lld-of-%05lld.gguf", (int)(path.n - strlen(end)), path.s, (long long)no + 1,
                        (long long)count);
}

static bool not_first(TensorFile *f, const GgufSplit *s, Err *e) {
    const char *first = part_path(&f->arena, str_of(f->path), s->no, 0, s->count);
    return err_set(e, ERR_INPUT, "cannot open '%s': part %lld of %lld of a model; open the first%s%s%s", f->path,
                   (long long)s->no + 1, (long long)s->count, first ? ", '" : "", first ? first : "", first ? "'" : "");
}

static bool check_part(const char *path, const GgufSplit *first, const GgufSplit *part, int64_t no, Err *e) {
    if (part->no == no && part->count == first->count && part->tensors == first->tensors) return true;
    return err_set(e, ERR_INPUT,
                   "cannot read '%s': it is part %lld of %lld of a model with %lld tensors, not part %lld of %lld with "
                   "%lld",
                   path, (long long)part->no + 1, (long long)part->count, (long long)part->tensors, (long long)no + 1,
                   (long long)first->count, (long long)first->tensors);
}

static bool read_others(TensorFile *f, const GgufSplit *first, Buf *list, Err *e) {
    GgufSplit part;
    for (int64_t no = 1; no < first->count; no++) {
        const char *path = part_path(&f->arena, str_of(f->path), 0, no, first->count);
        if (!path)
            return err_set(e, ERR_INPUT,
                           "cannot open '%s': the first of %lld parts, but its name does not end in "
                           "-00001-of-%05lld.gguf, so the others cannot be found",
                           f->path, (long long)first->count, (long long)first->count);
        TRY(read_part(f, path, list, &part, e) && check_part(path, first, &part, no, e));
    }
    long long n = (long long)(list->n / sizeof(NamedTensor));
    if (first->tensors < 0 || n == first->tensors) return true;
    return err_set(e, ERR_INPUT, "cannot read '%s': split.tensors.count is %lld, its files hold %lld tensors", f->path,
                   (long long)first->tensors, n);
}

/* What llmws wrote as text is a tree again. */
static bool read_config(TensorFile *f, Err *e) {
    for (size_t i = 0; i < f->meta.object.n; i++) {
        Value *v = &f->meta.object.items[i], tree;
        if (!str_is(f->meta.object.keys[i], "llmws.config") || v->kind != VALUE_STR) continue;
        TRY(json_parse(v->s, "llmws.config", &f->arena, &tree, e));
        if (tree.kind != VALUE_OBJECT) return err_set(e, ERR_INPUT, "'llmws.config' is no object");
        *v = tree;
    }
    return true;
}

bool gguf_open(const char *path, TensorFile *f, Err *e) {
    GgufSplit split;
    Buf list = {0};
    store_begin(f, STORE_GGUF, path);
    bool ok = read_part(f, path, &list, &split, e) && (split.no == 0 || not_first(f, &split, e)) &&
              read_others(f, &split, &list, e) && (read_config(f, e) || err_prefix(e, "'%s'", path));
    if (ok) store_take_list(f, &list);
    buf_release(&list);
    return store_end(f, ok);
}
