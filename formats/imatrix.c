/* Importance matrices as llama.cpp's llama-imatrix writes them: the old .dat, and GGUF with general.type "imatrix".
 * Source of both layouts: tools/imatrix/README.md and the files themselves. */
#include "formats/formats.h"

typedef struct Reader {
    Imatrix *m;
    Buf entries; /* of ImatrixEntry */
    Err *e;
} Reader;

/* Mean squares: sums divided by how often they were added to. A group that was never seen says nothing: all alike. */
static bool add_entry(Reader *r, Str name, const char *sums, size_t n, const float *counts, size_t groups) {
    ImatrixEntry x = {arena_strn(&r->m->arena, name.s, name.n), ARENA_NEW(&r->m->arena, float, n), n};
    memcpy(x.values, sums, n * sizeof *x.values);
    for (size_t i = 0; i < n; i++) {
        float count = counts[i / (n / groups)];
        if (!(x.values[i] >= 0 && x.values[i] <= FLT_MAX) || !(count >= 0 && count <= FLT_MAX))
            return err_set(r->e, ERR_INPUT, "the importance of '%s' has a value below 0, or no number", x.name);
        x.values[i] = count > 0 ? x.values[i] / count : 1;
    }
    if (!strmap_put(&r->m->index, &r->m->arena, str_of(x.name), (int32_t)(r->entries.n / sizeof x)))
        return err_set(r->e, ERR_INPUT, "'%s' stands twice", x.name);
    buf_put(&r->entries, &x, sizeof x);
    return true;
}

/* ---- the old form: a count, then for each tensor its name, number of calls, number of values, values ---- */

static bool take_i32(Str in, size_t *at, int32_t *out) {
    if (in.n - *at < 4) return false;
    memcpy(out, in.s + *at, 4);
    *at += 4;
    return true;
}

static bool read_old(Reader *r, Str in) {
    size_t at = 0;
    int32_t entries, len, calls, n;
    if (!take_i32(in, &at, &entries) || entries < 1 || (size_t)entries > in.n / 12)
        return err_set(r->e, ERR_INPUT, "neither a GGUF file nor an importance matrix");
    for (int32_t i = 0; i < entries; i++) {
        if (!take_i32(in, &at, &len) || len < 1 || (size_t)len > in.n - at)
            return err_set(r->e, ERR_INPUT, "the name of entry %d is cut off: no importance matrix, or damaged", i);
        Str name = {in.s + at, (size_t)len};
        at += name.n;
        if (!utf8_valid(name) || memchr(name.s, 0, name.n) || !take_i32(in, &at, &calls) || !take_i32(in, &at, &n) ||
            n < 1 || (size_t)n > (in.n - at) / 4 || calls < 0)
            return err_set(r->e, ERR_INPUT, "entry %d is cut off or damaged", i);
        float count = calls ? (float)calls : 1;
        TRY(add_entry(r, name, in.s + at, (size_t)n, &count, 1));
        at += (size_t)n * 4;
    }
    return true;
}

/* ---- GGUF: NAME.in_sum2 [groups, n] and NAME.counts [groups, 1] ---- */

static bool read_gguf(Reader *r, const TensorFile *f) {
    static const char sums[] = ".in_sum2";
    Buf name = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < f->n; i++) {
        const NamedTensor *t = &f->tensors[i];
        if (!str_ends(t->name, sums)) continue;
        Str base = {t->name.s, t->name.n - (sizeof sums - 1)};
        buf_clear(&name);
        buf_printf(&name, "%.*s.counts", STR_ARG(base));
        const NamedTensor *c = tensor_file_find(f, buf_view(&name));
        size_t n = (size_t)tensor_count(&t->t), groups = c ? (size_t)tensor_count(&c->t) : 0;
        if (!groups || n % groups || t->t.dtype != DT_f32 || c->t.dtype != DT_f32 || n > INT32_MAX)
            ok = err_set(r->e, ERR_INPUT, "tensor '%s' has no counts that belong to it", t->name.s);
        else
            ok = add_entry(r, base, t->t.data, n, c->t.data, groups);
    }
    buf_release(&name);
    return ok && (r->entries.n || err_set(r->e, ERR_INPUT, "a GGUF file, but no importance matrix"));
}

static bool read_any(Reader *r, const char *path) {
    TensorFile f;
    Mapping m;
    TRY(map_file(path, &m, r->e));
    bool gguf = m.n >= 4 && memcmp(m.bytes, "GGUF", 4) == 0;
    bool ok = gguf || read_old(r, (Str){m.bytes, m.n}) || err_prefix(r->e, "cannot read '%s'", path);
    unmap_file(&m);
    if (!gguf || !ok) return ok;
    TRY(gguf_open(path, &f, r->e));
    ok = read_gguf(r, &f) || err_prefix(r->e, "cannot read '%s'", path);
    f.close(&f);
    return ok;
}

bool imatrix_open(const char *path, Imatrix *m, Err *e) {
    Reader r = {.m = m, .e = e};
    *m = (Imatrix){0};
    bool ok = read_any(&r, path);
    m->n = r.entries.n / sizeof *m->entries;
    m->entries = ARENA_NEW(&m->arena, ImatrixEntry, m->n);
    if (m->n) memcpy(m->entries, r.entries.s, r.entries.n);
    buf_release(&r.entries);
    if (!ok) imatrix_release(m);
    return ok;
}

void imatrix_release(Imatrix *m) {
    arena_release(&m->arena);
    *m = (Imatrix){0};
}

const ImatrixEntry *imatrix_find(const Imatrix *m, const char *name) {
    int32_t i = strmap_get(&m->index, str_of(name));
    return i < 0 ? NULL : &m->entries[i];
}
