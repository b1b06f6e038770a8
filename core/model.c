#include "core/model.h"

#include <stdio.h>

/* "model.layers.{}.x" with a number put in for the first gap. */
static const char *numbered(Arena *a, const char *pattern, int64_t number) {
    const char *gap = strstr(pattern, "{}");
    if (!gap) return pattern;
    return arena_printf(a, "%.*s%lld%s", (int)(gap - pattern), pattern, (long long)number, gap + 2);
}

/* The name of a row's weight in a layer: without the gap for experts, which are one weight. */
static void stacked_name(const TensorRow *row, int64_t layer, char out[256]) {
    const char *gap = strstr(row->hf, "{}"), *each = gap ? strstr(gap + 2, "{}.") : NULL;
    if (!gap)
        snprintf(out, 256, "%s", row->hf);
    else if (!each)
        snprintf(out, 256, "%.*s%lld%s", (int)(gap - row->hf), row->hf, (long long)layer, gap + 2);
    else
        snprintf(out, 256, "%.*s%lld%.*s%s", (int)(gap - row->hf), row->hf, (long long)layer, (int)(each - gap - 2),
                 gap + 2, each + 3);
}

static bool applies(const Model *m, const TensorRow *row, int64_t layer) {
    switch (row->when) {
    case WHEN_UNTIED: return !m->cfg.tied;
    case WHEN_DENSE: return !arch_layer(&m->cfg, layer).experts;
    case WHEN_EXPERTS: return arch_layer(&m->cfg, layer).experts;
    default: return true;
    }
}

/* Of dims [from ..] of the row. */
static bool check_shape(const Model *m, const TensorRow *row, int from, const NamedTensor *t, Err *e) {
    int ndim = 0, n_dims = 0;
    bool same = true, turned = row->hf_transposed && m->file.format == STORE_HF;
    const DimName *dims = row->dims + from;
    while (n_dims + from < MAX_DIMS && dims[n_dims]) n_dims++;
    char want[64] = "[", have[64] = "[";
    for (; ndim < n_dims; ndim++) {
        int64_t n = arch_dim(&m->cfg, dims[turned ? n_dims - 1 - ndim : ndim]);
        same = same && ndim < t->t.ndim && t->t.ne[ndim] == n;
        snprintf(want + strlen(want), sizeof want - strlen(want), "%s%lld", ndim ? "," : "", (long long)n);
    }
    for (int d = 0; d < t->t.ndim; d++)
        snprintf(have + strlen(have), sizeof have - strlen(have), "%s%lld", d ? "," : "", (long long)t->t.ne[d]);
    if (same && t->t.ndim == ndim && dtype_info[t->t.dtype].class <= DTC_QUANT) return true;
    return err_set(e, ERR_INPUT, "'%s': tensor '%s' is %s %s], expected %s] of real numbers", m->file.path, t->name.s,
                   dtype_info[t->t.dtype].name, have, want);
}

/* Vectors are small and read by every kernel: they become f32 once, here. */
static Tensor as_f32_vector(Arena *a, const Tensor *t) {
    float *data = ARENA_NEW(a, float, t->ne[0]);
    dtype_info[t->dtype].decode(t->data, data, t->ne[0]);
    return tensor_dense(DT_f32, 1, t->ne, data);
}

/* [in, out] -> [out, in]. Values of class FLOAT alone stand by themselves. */
static bool transpose(Model *m, const NamedTensor *t, Tensor *out, Err *e) {
    const DtypeInfo *d = &dtype_info[t->t.dtype];
    const int64_t in = t->t.ne[0], ne[2] = {t->t.ne[1], in};
    int64_t bytes = 0;
    if (d->block != 1)
        return err_set(e, ERR_INPUT, "'%s': tensor '%s' is %s, which cannot be transposed", m->file.path, t->name.s,
                       d->name);
    if (!tensor_bytes(t->t.dtype, 2, ne, &bytes))
        return err_set(e, ERR_INPUT, "'%s': tensor '%s' is too large", m->file.path, t->name.s);
    char *data = arena_alloc(&m->arena, (size_t)bytes, 1);
    for (int64_t r = 0; r < ne[0]; r++)
        for (int64_t c = 0; c < in; c++)
            memcpy(data + (r * in + c) * d->block_bytes, (const char *)tensor_row(&t->t, c) + r * d->block_bytes,
                   (size_t)d->block_bytes);
    *out = tensor_dense(t->t.dtype, 2, ne, data);
    return true;
}

/* The file's tensor of this name, which may lack the family's prefix; NULL with *e when there is none. */
static const NamedTensor *find(const Model *m, const char *name, Err *e) {
    const NamedTensor *t = tensor_file_find(&m->file, str_of(name));
    const char *prefix = m->file.format == STORE_GGUF ? NULL : m->arch->hf_prefix;
    if (!t && prefix && strncmp(name, prefix, strlen(prefix)) == 0)
        t = tensor_file_find(&m->file, str_of(name + strlen(prefix)));
    if (!t) err_set(e, ERR_INPUT, "'%s': tensor '%s' is missing", m->file.path, name);
    return t;
}

/* What the file calls the weight of a row; with a gap where each expert has a tensor. */
static const char *name_in_file(Model *m, const TensorRow *row, int64_t layer) {
    if (m->file.format != STORE_GGUF) return numbered(&m->arena, row->hf, layer);
    const char *name = numbered(&m->arena, row->gguf, layer);
    if (!row->gguf_each || find(m, name, NULL)) return name;
    const char *each = numbered(&m->arena, row->gguf_each, layer);
    return find(m, numbered(&m->arena, each, 0), NULL) ? each : name;
}

/* One weight of the tensors of all experts, each where it stands in the file. */
static bool stack(Model *m, Weight *w, bool *seen, Err *e) {
    const int64_t X = m->cfg.experts;
    const void **parts = ARENA_NEW(&m->arena, const void *, X);
    const NamedTensor *first = NULL;
    const char *gap = strstr(w->file_name, "{}");
    for (int64_t x = 0; x < X; x++) {
        char name[256];
        snprintf(name, sizeof name, "%.*s%lld%s", (int)(gap - w->file_name), w->file_name, (long long)x, gap + 2);
        const NamedTensor *t = find(m, name, e);
        TRY(t && check_shape(m, w->row, 1, t, e));
        if (!first) first = t;
        if (t->t.dtype != first->t.dtype)
            return err_set(e, ERR_INPUT, "'%s': tensor '%s' is %s, but that of the first expert is %s", m->file.path,
                           name, dtype_info[t->t.dtype].name, dtype_info[first->t.dtype].name);
        seen[t - m->file.tensors] = true;
        parts[x] = t->t.data;
    }
    w->t = tensor_dense(first->t.dtype, 3, (int64_t[]){X, first->t.ne[0], first->t.ne[1]}, NULL);
    w->t.parts = parts;
    w->file_name = arena_printf(&m->arena, "%.*s*%s", (int)(gap - w->file_name), w->file_name, gap + 2);
    return true;
}

static bool add_weight(Model *m, const TensorRow *row, int64_t layer, bool *seen, Err *e) {
    bool gguf = m->file.format == STORE_GGUF;
    char name[256];
    Weight *w = &m->weights[m->n];
    stacked_name(row, layer, name);
    *w = (Weight){.name = arena_strn(&m->arena, name, strlen(name)), .row = row};
    w->file_name = name_in_file(m, row, layer);
    if (strstr(w->file_name, "{}")) {
        TRY(stack(m, w, seen, e));
    } else {
        const NamedTensor *t = find(m, w->file_name, e);
        TRY(t && check_shape(m, row, 0, t, e));
        seen[t - m->file.tensors] = true;
        w->file_name = t->name.s, w->t = t->t;
        if (t->t.ndim == 1 && t->t.dtype != DT_f32) w->t = as_f32_vector(&m->arena, &t->t);
        if (row->hf_transposed && !gguf) TRY(transpose(m, t, &w->t, e));
    }
    if (row->gguf_transform == TRANSFORM_ROPE) w->head_dim = m->cfg.head_dim, w->interleaved = gguf;
    int64_t bytes = 0;
    tensor_bytes(w->t.dtype, w->t.ndim, w->t.ne, &bytes);
    m->bytes += bytes;
    m->params += tensor_count(&w->t);
    strmap_put(&m->index, &m->arena, str_of(w->name), (int32_t)m->n++);
    return true;
}

static bool add_weights(Model *m, bool *seen, Err *e) {
    size_t rows = 0;
    for (const TensorRow *r = m->arch->tensors; r->hf; r++) rows++;
    if ((size_t)m->cfg.layers > m->file.n) /* before anything is sized by it */
        return err_set(e, ERR_INPUT, "'%s': %lld layers, but only %zu tensors", m->file.path, (long long)m->cfg.layers,
                       m->file.n);
    m->weights = ARENA_NEW(&m->arena, Weight, rows * (size_t)m->cfg.layers);
    for (int pass = 0; pass < 3; pass++) /* before, in and after the layers, as the row lists them */
        for (int64_t layer = 0; layer < (pass == 1 ? m->cfg.layers : 1); layer++) {
            bool past = false;
            for (const TensorRow *r = m->arch->tensors; r->hf; r++) {
                bool layered = strstr(r->hf, "{}") != NULL;
                past = past || layered;
                if (layered != (pass == 1) || (!layered && past != (pass == 2))) continue;
                if (!applies(m, r, layer)) continue;
                TRY(add_weight(m, r, layer, seen, e));
            }
        }
    return true;
}

static bool is_ignored(const Model *m, const char *name) {
    if (m->file.format == STORE_GGUF) return strcmp(name, "rope_freqs.weight") == 0 && m->cfg.rope.kind == ROPE_FACTORS;
    for (const char *const *p = m->arch->hf_ignored; *p; p++)
        if (name_match(*p, name)) return true;
    /* a tied head that the file repeats is the embedding again */
    return m->cfg.tied && strcmp(name, "lm_head.weight") == 0;
}

uint64_t model_fingerprint(const Model *m) {
    uint64_t h = hash_bytes(m->arch->name, strlen(m->arch->name), 1);
    for (size_t i = 0; i < m->n; i++) {
        const Weight *w = &m->weights[i];
        int64_t bytes = 0, step, part = w->t.parts ? w->t.stride[0] : INT64_MAX;
        tensor_bytes(w->t.dtype, w->t.ndim, w->t.ne, &bytes);
        h = hash_bytes(w->name, strlen(w->name), h);
        h = hash_bytes(w->t.ne, sizeof w->t.ne, h + w->t.dtype);
        step = MAX(bytes / 4, 64);
        for (int64_t at = 0; at < bytes; at += step) {
            const char *p = w->t.parts ? tensor_place(&w->t, at / part) : w->t.data;
            h = hash_bytes(p + at % part, (size_t)MIN(64, MIN(bytes - at, part - at % part)), h);
        }
    }
    return h;
}

static bool init(Model *m, Err *e) {
    m->arch = arch_find(&m->file, e);
    TRY(m->arch && arch_config(m->arch, &m->file, &m->cfg, e));
    Buf unused = {0};
    arch_unused(m->arch, &m->file, &unused);
    if (unused.n) log_put(&m->log, LOG_INFO, "settings that change nothing here: %s", unused.s);
    buf_release(&unused);
    bool *seen = ARENA_NEW(&m->arena, bool, m->file.n + 1);
    TRY(add_weights(m, seen, e));
    for (size_t i = 0; i < m->file.n; i++)
        if (!seen[i] && !is_ignored(m, m->file.tensors[i].name.s))
            return err_set(e, ERR_INPUT, "'%s': tensor '%s' is not part of family '%s' with this configuration",
                           m->file.path, m->file.tensors[i].name.s, m->arch->name);
    return true;
}

bool model_init(Model *m, TensorFile *file, Log log, Err *e) {
    *m = (Model){.file = *file, .log = log};
    *file = (TensorFile){0};
    if (init(m, e)) return true;
    model_release(m);
    return false;
}

void model_release(Model *m) {
    if (m->file.close) m->file.close(&m->file);
    arena_release(&m->arena);
    *m = (Model){0};
}

const Weight *model_weight(const Model *m, const char *name) {
    int32_t i = strmap_get(&m->index, str_of(name));
    return i < 0 ? NULL : &m->weights[i];
}

const Weight *model_part(const Model *m, Part part, int64_t layer) {
    char name[256];
    for (const TensorRow *r = m->arch->tensors; r->hf; r++) {
        if (r->part != part || !applies(m, r, layer)) continue;
        stacked_name(r, layer, name);
        return model_weight(m, name);
    }
    return NULL;
}

int64_t weight_row(const Weight *w, StoreFormat format, int64_t r) {
    bool wanted = format == STORE_GGUF;
    if (!w->head_dim || wanted == w->interleaved) return r;
    int64_t half = w->head_dim / 2, head = r / w->head_dim * w->head_dim, i = r % w->head_dim;
    return head + (wanted ? i % 2 * half + i / 2 : i % half * 2 + i / half);
}
