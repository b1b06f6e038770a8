#include "core/init.h"

#include <math.h>
#include <sys/mman.h>

#include "core/rng.h"

/* ---- tensors without values ---- */

enum { MOST_TENSORS = 1 << 20 }; /* as in the readers of files */

typedef struct Zeros {
    void *base;
    size_t n;
} Zeros;

static void close_zeros(TensorFile *f) {
    Zeros *z = f->mappings;
    if (z && z->base) munmap(z->base, z->n);
    arena_release(&f->arena);
    *f = (TensorFile){0};
}

/* Tensors that a row stands for: one a layer, one an expert. */
static int64_t count_of(const TensorRow *r, const Config *c) {
    const char *gap = strstr(r->hf, "{}");
    return !gap ? 1 : c->layers * (strstr(gap + 2, "{}") ? c->experts : 1);
}

static void add_tensor(TensorFile *f, const TensorRow *r, const Config *c, const char *name, bool each) {
    NamedTensor *t = &f->tensors[f->n];
    const DimName *dims = r->dims + each;
    int n = 0;
    while (n + each < MAX_DIMS && dims[n]) n++;
    t->name = str_of(name);
    t->t.ndim = n;
    for (int d = 0; d < n; d++) t->t.ne[d] = arch_dim(c, dims[r->hf_transposed ? n - 1 - d : d]);
    strmap_put(&f->index, &f->arena, t->name, (int32_t)f->n++);
}

static void add_row(TensorFile *f, const TensorRow *r, const Config *c) {
    for (int64_t layer = 0; layer < (strstr(r->hf, "{}") ? c->layers : 1); layer++) {
        if (!arch_has(c, r, layer)) continue;
        const char *name = weight_name(&f->arena, r->hf, layer);
        const bool each = strstr(name, "{}") != NULL;
        for (int64_t x = 0; x < (each ? c->experts : 1); x++)
            add_tensor(f, r, c, weight_name(&f->arena, name, x), each);
    }
}

/* Every tensor where it would lie in a file. */
static bool place_tensors(TensorFile *f, Err *e) {
    Zeros *z = f->mappings = ARENA_NEW(&f->arena, Zeros, 1);
    int64_t total = 0, bytes;
    for (size_t i = 0; i < f->n; i++)
        if (!tensor_bytes(DT_f32, f->tensors[i].t.ndim, f->tensors[i].t.ne, &bytes) || !add_i64(total, bytes, &total))
            return err_set(e, ERR_FIT, "a model of this size does not fit: tensor '%s' is too large",
                           f->tensors[i].name.s);
    void *base = mmap(NULL, (size_t)total, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return err_set(e, ERR_FIT, "a model of this size does not fit: no room for %.1f MiB of weights",
                       (double)total / 0x1p20);
    *z = (Zeros){base, (size_t)total};
    char *at = base;
    for (size_t i = 0; i < f->n; i++) {
        Tensor *t = &f->tensors[i].t;
        tensor_bytes(DT_f32, t->ndim, t->ne, &bytes);
        *t = tensor_dense(DT_f32, t->ndim, t->ne, at);
        at += bytes;
    }
    f->mapped_bytes = total;
    return true;
}

static bool make_file(TensorFile *f, const ArchRow *a, const Value *given, const InitDefaults *d, Err *e) {
    Config c;
    int64_t n = 0;
    TRY(init_config(a, given, d, &f->arena, &f->meta, e) && arch_config(a, f, &c, e));
    for (const TensorRow *r = a->tensors; r->hf; r++) n = MIN(n + count_of(r, &c), MOST_TENSORS + 1);
    if (n > MOST_TENSORS)
        return err_set(e, ERR_FIT, "a model of %lld layers does not fit: more than %d tensors", (long long)c.layers,
                       MOST_TENSORS);
    f->tensors = ARENA_NEW(&f->arena, NamedTensor, n);
    for (const TensorRow *r = a->tensors; r->hf; r++) add_row(f, r, &c);
    return place_tensors(f, e);
}

bool init_model(Model *m, const ArchRow *arch, const Value *given, const InitDefaults *d, Log log, Err *e) {
    TensorFile f = {.format = STORE_HF, .path = "a new model", .zeros = true, .close = close_zeros};
    if (make_file(&f, arch, given, d, e)) return model_init(m, &f, log, e);
    f.close(&f);
    return false;
}

/* ---- values ---- */

static bool is_norm(Part p) {
    return p == PART_ATTN_NORM || p == PART_Q_NORM || p == PART_K_NORM || p == PART_ATTN_POST_NORM ||
           p == PART_FFN_NORM || p == PART_FFN_POST_NORM || p == PART_NORM;
}

/* Sums of L layers with two branches each grow as the root of 2L (Radford et al. 2019). */
static bool is_added(Part p) { return p == PART_O || p == PART_DOWN || p == PART_EXPERTS_DOWN; }

InitRule init_rule(const Model *m, const TensorRow *row) {
    double std = 0.02;
    if (row->part == PART_BIAS) return (InitRule){0};
    if (is_norm(row->part)) return (InitRule){.fill = row->gguf_transform == TRANSFORM_PLUS_ONE ? 0 : 1};
    value_as_float(value_get(&m->file.meta, "initializer_range"), "initializer_range", &std, NULL);
    if (m->arch->scaled_residual && is_added(row->part)) std /= sqrt(2 * (double)m->cfg.layers);
    return (InitRule){.std = (float)std};
}

/* Two of them at once (Box and Muller 1958): the places 2k and 2k + 1. */
static void normal_pair(uint64_t bits, float out[2]) {
    const float u = ((float)(bits >> 40) + 0.5f) * 0x1p-24f, turn = (float)(bits & 0xffffff) * 0x1p-24f;
    const float r = sqrtf(-2 * logf(u)), angle = turn * 6.28318530717958648f;
    out[0] = r * cosf(angle);
    out[1] = r * sinf(angle);
}

void init_values(InitRule rule, uint64_t seed, const char *name, int64_t first, int64_t n, float *out) {
    const uint64_t stream = hash_bytes(name, strlen(name), 0) >> 8; /* the purpose has the uppermost bits */
    float pair[2];
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = first + i;
        if (rule.std > 0 && (i == 0 || at % 2 == 0))
            normal_pair(rng_u64(seed, stream, (uint64_t)at / 2, RNG_INIT), pair);
        out[i] = rule.std > 0 ? rule.std * pair[at % 2] : rule.fill;
    }
}
