#include "core/model.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/weights_read.h"

const char *weight_name(Arena *a, const char *pattern, int64_t number) {
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

/* [in, out] -> [out, in], in memory of its own; the file's pages go back to the system. Values of class FLOAT alone
 * stand by themselves. */
static bool turn(Model *m, Weight *w, Err *e) {
    enum { TILE = 16 }; /* rows and columns that the cache holds at once */
    const Tensor from = w->t;
    const DtypeInfo *d = &dtype_info[from.dtype];
    const int64_t in = from.ne[0], out = from.ne[1], ne[2] = {out, in};
    const size_t width = (size_t)d->block_bytes;
    int64_t bytes = 0;
    if (d->block != 1)
        return err_set(e, ERR_INPUT, "'%s': tensor '%s' is %s, which cannot be transposed", m->file.path, w->file_name,
                       d->name);
    if (!tensor_bytes(from.dtype, 2, ne, &bytes))
        return err_set(e, ERR_INPUT, "'%s': tensor '%s' is too large", m->file.path, w->file_name);
    m->turned += bytes;
    w->t = tensor_dense(from.dtype, 2, ne, from.data);
    if (m->file.zeros) return true;
    char *to = w->turned = malloc((size_t)bytes);
    if (!to)
        return err_set(e, ERR_FIT, "memory: no %lld bytes for the turned tensor '%s'", (long long)bytes, w->file_name);
    for (int64_t tile = 0; tile < in; tile += TILE)
        for (int64_t o = 0; o < out; o++)
            for (int64_t i = tile; i < MIN(in, tile + TILE); i++)
                memcpy(to + (size_t)(o * in + i) * width, (const char *)tensor_row(&from, i) + (size_t)o * width,
                       width);
    w->t.data = to;
    pages_drop(&from);
    return true;
}

/* The tensor of a row in the file, by its name or by that without the prefix that some files leave out; -1: none. */
static int32_t find(const Model *m, const char **name) {
    const char *prefix = m->file.format == STORE_HF ? m->arch->hf_prefix : NULL;
    size_t n = prefix ? strlen(prefix) : 0;
    int32_t at = strmap_get(&m->file.index, str_of(*name));
    if (at >= 0 || !n || strncmp(*name, prefix, n) != 0) return at;
    at = strmap_get(&m->file.index, str_of(*name + n));
    if (at >= 0) *name += n;
    return at;
}

/* What the file calls the weight of a row; with a gap where each expert has a tensor. */
static const char *name_in_file(Model *m, const TensorRow *row, int64_t layer) {
    if (m->file.format != STORE_GGUF) return weight_name(&m->arena, row->hf, layer);
    const char *name = weight_name(&m->arena, row->gguf, layer);
    if (!row->gguf_each || find(m, &name) >= 0) return name;
    const char *each = weight_name(&m->arena, row->gguf_each, layer), *first = weight_name(&m->arena, each, 0);
    return find(m, &first) >= 0 ? each : name;
}

/* One weight of the tensors of all experts, each where it stands in the file. */
static bool stack(Model *m, Weight *w, bool *seen, Err *e) {
    const int64_t X = m->cfg.experts;
    const void **parts = ARENA_NEW(&m->arena, const void *, X);
    const NamedTensor *first = NULL;
    const char *gap = strstr(w->file_name, "{}");
    for (int64_t x = 0; x < X; x++) {
        const char *name = weight_name(&m->arena, w->file_name, x);
        int32_t at = find(m, &name);
        if (at < 0) return err_set(e, ERR_INPUT, "'%s': tensor '%s' is missing", m->file.path, name);
        const NamedTensor *t = &m->file.tensors[at];
        TRY(check_shape(m, w->row, 1, t, e));
        if (!first) first = t;
        if (t->t.dtype != first->t.dtype)
            return err_set(e, ERR_INPUT, "'%s': tensor '%s' is %s, but that of the first expert is %s", m->file.path,
                           name, dtype_info[t->t.dtype].name, dtype_info[first->t.dtype].name);
        seen[at] = true;
        parts[x] = t->t.data;
    }
    w->t = tensor_dense(first->t.dtype, 3, (int64_t[]){X, first->t.ne[0], first->t.ne[1]}, NULL);
    w->t.parts = parts;
    w->file_name = arena_printf(&m->arena, "%.*s*%s", (int)(gap - w->file_name), w->file_name, gap + 2);
    return true;
}

/* Some GGUF files have q, k and v as one tensor where the family has three: then *t becomes the rows of the one asked
 * for, and *name that of the whole. */
static int32_t find_in_qkv(const Model *m, const TensorRow *row, NamedTensor *t, const char **name) {
    static const char *const parts[] = {".attn_q.", ".attn_k.", ".attn_v."};
    const int64_t q = arch_dim(&m->cfg, DIM_Q), kv = arch_dim(&m->cfg, DIM_KV), first[] = {0, q, q + kv};
    for (int i = 0; i < 3; i++) {
        const char *part = strstr(*name, parts[i]);
        if (!part || m->file.format != STORE_GGUF) continue;
        char whole[128];
        snprintf(whole, sizeof whole, "%.*s.attn_qkv.%s", (int)(part - *name), *name, part + strlen(parts[i]));
        int32_t at = strmap_get(&m->file.index, str_of(whole));
        if (at < 0) return at;
        *t = m->file.tensors[at];
        if (t->t.ne[0] != q + 2 * kv || (t->t.ndim == 1 && dtype_info[t->t.dtype].block > 1))
            return at; /* check_shape refuses it */
        t->t.data = (char *)t->t.data + first[i] * t->t.stride[0];
        t->t.ne[0] = arch_dim(&m->cfg, row->dims[0]);
        *name = t->name.s;
        return at;
    }
    return -1;
}

/* The one tensor of a weight. */
static bool take(Model *m, Weight *w, bool *seen, Err *e) {
    NamedTensor t = {0};
    int32_t at = find(m, &w->file_name);
    if (at >= 0) t = m->file.tensors[at];
    if (at < 0) at = find_in_qkv(m, w->row, &t, &w->file_name);
    if (at < 0) return err_set(e, ERR_INPUT, "'%s': tensor '%s' is missing", m->file.path, w->file_name);
    TRY(check_shape(m, w->row, 0, &t, e));
    seen[at] = true;
    w->t = t.t.ndim == 1 && t.t.dtype != DT_f32 ? as_f32_vector(&m->arena, &t.t) : t.t;
    if (!w->row->hf_transposed || m->file.format == STORE_GGUF) return true;
    m->file.tensors[at].t.data = NULL; /* nobody reads it again */
    return turn(m, w, e);
}

static bool add_weight(Model *m, const TensorRow *row, int64_t layer, bool *seen, Err *e) {
    bool gguf = m->file.format == STORE_GGUF;
    char name[256];
    Weight *w = &m->weights[m->n++];
    stacked_name(row, layer, name);
    *w = (Weight){.name = arena_strn(&m->arena, name, strlen(name)), .row = row, .layer = layer};
    w->file_name = name_in_file(m, row, layer);
    if (strstr(w->file_name, "{}"))
        TRY(stack(m, w, seen, e));
    else
        TRY(take(m, w, seen, e));
    if (row->gguf_transform == TRANSFORM_ROPE) w->head_dim = m->cfg.head_dim, w->interleaved = gguf;
    if (row->gguf_transform == TRANSFORM_PLUS_ONE && !gguf) w->plus = 1;
    int64_t bytes = 0;
    tensor_bytes(w->t.dtype, w->t.ndim, w->t.ne, &bytes);
    m->bytes += bytes;
    m->params += tensor_count(&w->t);
    strmap_put(&m->index, &m->arena, str_of(w->name), (int32_t)m->n - 1);
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
                if (!arch_has(&m->cfg, r, layer)) continue;
                TRY(add_weight(m, r, layer, seen, e));
            }
        }
    return true;
}

static bool is_ignored(const Model *m, const char *name) {
    if (m->file.format == STORE_GGUF) /* the reader of the rotary positions has them */
        return name_match("rope_{freqs,factors_short,factors_long}.weight", name);
    for (const char *const *p = m->arch->hf_ignored; p && *p; p++)
        if (name_match(*p, name)) return true;
    for (const TensorRow *r = m->arch->tensors; r->hf && m->cfg.tied; r++)
        if (r->part == PART_HEAD && strcmp(name, r->hf) == 0) return true; /* the embedding again */
    return false;
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

bool model_tie(Model *m) {
    size_t n = 0;
    if (m->cfg.tied) return false;
    m->cfg.tied = true;
    m->index = (StrMap){0};
    for (size_t i = 0; i < m->n; i++) {
        const Weight w = m->weights[i];
        int64_t bytes = 0;
        tensor_bytes(w.t.dtype, w.t.ndim, w.t.ne, &bytes);
        if (w.row->part == PART_HEAD) {
            m->params -= tensor_count(&w.t);
            m->bytes -= bytes;
        } else {
            m->weights[n] = w;
            strmap_put(&m->index, &m->arena, str_of(w.name), (int32_t)n++);
        }
    }
    m->n = n;
    return true;
}

void model_release(Model *m) {
    for (size_t i = 0; i < m->n; i++) free(m->weights[i].turned);
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
        if (r->part != part || !arch_has(&m->cfg, r, layer)) continue;
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
