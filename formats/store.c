#include "formats/store.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- ownership ---- */

typedef struct Maps {
    Mapping *maps;
    const char **names;
    size_t n;
} Maps;

static void store_close(TensorFile *f) {
    Maps *m = f->mappings;
    for (size_t i = 0; i < m->n; i++) unmap_file(&m->maps[i]);
    free(m->maps);
    free(m->names);
    free(m);
    arena_release(&f->arena);
    *f = (TensorFile){0};
}

void store_begin(TensorFile *f, StoreFormat format, const char *path) {
    *f = (TensorFile){.format = format, .close = store_close, .mappings = mem_alloc(1, sizeof(Maps))};
    f->path = arena_strn(&f->arena, path, strlen(path));
}

bool store_map(TensorFile *f, const char *path, Mapping *m, Err *e) {
    Maps *all = f->mappings;
    TRY(map_model(path, m, e));
    all->maps = mem_grow(all->maps, all->n + 1, sizeof *all->maps);
    all->names = mem_grow(all->names, all->n + 1, sizeof *all->names);
    all->maps[all->n] = *m;
    all->names[all->n++] = arena_strn(&f->arena, path, strlen(path));
    f->files = all->names;
    f->n_files = all->n;
    f->mapped_bytes += (int64_t)m->n;
    f->in_memory = f->in_memory || m->in_memory;
    return true;
}

bool tensor_file_forget(const TensorFile *f, const void *p, size_t n) {
    const Maps *all = f->mappings;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)p;
    for (size_t i = 0; i < all->n; i++) {
        const Mapping *m = &all->maps[i];
        uintptr_t base = (uintptr_t)m->bytes;
        if (from < base || from + n > base + m->n) continue;
        uintptr_t lo = (from + page - 1) / page * page, hi = (from + n) / page * page;
        if (lo < hi) madvise((void *)lo, hi - lo, MADV_DONTNEED); /* the mapping is private and never written to */
        return true;
    }
    return false;
}

bool store_end(TensorFile *f, bool ok) {
    if (!ok) f->close(f);
    return ok;
}

const char *store_join(Arena *a, const char *dir, const char *name) {
    size_t n = strlen(dir);
    return arena_printf(a, n && dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

void store_take_list(TensorFile *f, const Buf *list) {
    f->n = list->n / sizeof *f->tensors;
    f->tensors = ARENA_NEW(&f->arena, NamedTensor, f->n);
    if (f->n) memcpy(f->tensors, list->s, list->n);
}

/* ---- spans, names ---- */

static int compare_span(const void *a, const void *b) {
    const Span *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return (x->i > y->i) - (x->i < y->i);
}

void spans_sort(Span *spans, size_t n) { qsort(spans, n, sizeof *spans, compare_span); }

static int compare_str(const void *a, const void *b) {
    const Str *x = a, *y = b;
    int c = memcmp(x->s, y->s, MIN(x->n, y->n));
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

bool strs_unique(const Str *strs, size_t n, Str *twice) {
    bool unique = true;
    Str *sorted = mem_alloc(n, sizeof *sorted);
    if (n) memcpy(sorted, strs, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_str);
    for (size_t i = 1; i < n && unique; i++)
        if (str_eq(sorted[i - 1], sorted[i])) unique = false, *twice = sorted[i];
    free(sorted);
    return unique;
}

/* ---- writing ---- */

bool out_tensor_bytes(const OutTensor *t, int64_t *bytes, Err *e) {
    if (!t->name[0] || !utf8_valid(str_of(t->name)))
        return err_set(e, ERR_INPUT, "the tensor name '%s' is empty or no valid UTF-8", t->name);
    if (t->ndim < 1 || t->ndim > MAX_DIMS)
        return err_set(e, ERR_INPUT, "tensor '%s' has %d dimensions, not 1 to %d", t->name, t->ndim, MAX_DIMS);
    if (!tensor_bytes(t->dtype, t->ndim, t->ne, bytes))
        return err_set(e, ERR_INPUT, "the shape of tensor '%s' does not fit its type %s", t->name,
                       dtype_info[t->dtype].name);
    return true;
}

typedef struct Counter {
    Sink to;
    int64_t left;
} Counter;

static bool counted_write(void *ctx, const void *bytes, size_t n, Err *e) {
    Counter *c = ctx;
    if (n > (uint64_t)c->left) return err_set(e, ERR_FAIL, "more bytes than its shape has were given");
    c->left -= (int64_t)n;
    return c->to.write(c->to.ctx, bytes, n, e);
}

/* An emit that gives more or fewer bytes than the shape has is an error. */
static bool write_tensor(const OutTensor *t, Sink to, size_t align, Err *e) {
    static const char zeros[64];
    Counter c = {.to = to};
    TRY(out_tensor_bytes(t, &c.left, e));
    size_t bytes = (size_t)c.left, pad = align_up(bytes, align) - bytes;
    if (t->data) {
        TRY(to.write(to.ctx, t->data, bytes, e));
    } else if (bytes) {
        if (!t->emit(t->ctx, t, (Sink){counted_write, &c}, e)) return err_prefix(e, "tensor '%s'", t->name);
        if (c.left) return err_set(e, ERR_FAIL, "tensor '%s': %lld bytes were not given", t->name, (long long)c.left);
    }
    return pad == 0 || to.write(to.ctx, zeros, pad, e);
}

bool out_stream(Sink to, const Buf *header, size_t align, const OutTensor *tensors, size_t n, Err *e) {
    bool ok = to.write(to.ctx, header->s, header->n, e);
    for (size_t i = 0; ok && i < n; i++) ok = write_tensor(&tensors[i], to, align, e);
    return ok;
}

bool out_file(const char *path, const Buf *header, size_t align, const OutTensor *tensors, size_t n, Err *e) {
    AtomicFile *file;
    TRY(atomic_open(path, &file, e));
    if (out_stream(atomic_sink(file), header, align, tensors, n, e)) return atomic_commit(file, e);
    atomic_abort(file);
    return false;
}

bool out_names_unique(const OutTensor *tensors, size_t n, Err *e) {
    Str *names = mem_alloc(n, sizeof *names), twice;
    for (size_t i = 0; i < n; i++) names[i] = str_of(tensors[i].name);
    bool unique = strs_unique(names, n, &twice);
    if (!unique) err_set(e, ERR_INPUT, "two tensors are named '%.*s'", STR_ARG(twice));
    free(names);
    return unique;
}
