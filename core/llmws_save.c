/* Models as Hugging Face directories: config.json, weights, and what stood beside the weights they came from. */
#include "core/llmws_save.h"

#include <stdlib.h>

#include "formats/beside.h"
#include "formats/dirs.h"
#include "formats/hf_tok.h"

enum { PART = 4 << 20 }; /* bytes that are written at a time */

/* Some rows at a time: a turned tensor is read once for each part. */
static bool emit_rows(void *ctx, const OutTensor *t, Sink to, Err *e) {
    const ExportTensor *x = ctx;
    const bool same = x->dtype == t->dtype;
    const int64_t rows = export_row_count(x), width = t->ne[t->ndim - 1];
    const int64_t bytes = dtype_row_bytes(t->dtype, width);
    const int64_t most = MIN(rows, MAX(1, PART / (width * (int64_t)sizeof(float))));
    char *out = mem_alloc((size_t)most, (size_t)bytes);
    float *wide = same ? NULL : mem_alloc((size_t)(most * width), sizeof *wide);
    bool ok = true;
    for (int64_t r = 0; ok && r < rows; r += most) {
        int64_t n = MIN(rows - r, most);
        if (same) {
            export_rows(x, r, n, out);
        } else {
            export_rows_f32(x, r, n, wide);
            dtype_info[t->dtype].encode(wide, out, n * width);
        }
        ok = to.write(to.ctx, out, (size_t)(n * bytes), e);
    }
    free(wide);
    free(out);
    return ok;
}

int64_t model_write_bytes(const Model *m) {
    int64_t most = 0;
    for (size_t i = 0; i < m->n; i++) most = MAX(most, tensor_count(&m->weights[i].t) * (int64_t)sizeof(float));
    return MIN(most, PART);
}

/* The folder of the model's own files: some are opened by the name of the file of weights. */
bool model_write_beside(const Model *m, const char *from, const char *dir, Err *e) {
    Arena a = {0};
    if (m->file.format == STORE_GGUF) return beside_gguf(&m->file, m->cfg.ctx, dir, &m->log, e);
    if (!from) from = path_is_dir(m->file.path) ? m->file.path : dir_of(&a, m->file.path);
    bool ok = dir_copy_beside(from, dir, e);
    arena_release(&a);
    return ok;
}

bool model_write_hf(const Model *m, const char *dir, const SaveSpec *s, Err *e) {
    Export x;
    bool ok = export_hf(m, &x, e);
    OutTensor *out = mem_alloc(x.n + 1, sizeof *out);
    for (size_t i = 0; ok && i < x.n; i++) {
        ExportTensor *t = &x.tensors[i];
        out[i] = (OutTensor){
            .name = t->name, .dtype = s->dtype ? *s->dtype : t->dtype, .ndim = t->ndim, .emit = emit_rows, .ctx = t};
        memcpy(out[i].ne, t->ne, sizeof out[i].ne);
    }
    if (ok && s->dtype) export_hf_dtype(&x, *s->dtype);
    ok = ok && safetensors_write_dir(dir, s->max_shard, out, x.n, e) && beside_json(dir, "config.json", &x.meta, e) &&
         model_write_beside(m, s->beside, dir, e);
    free(out);
    arena_release(&x.arena);
    return ok;
}

bool llmws_model_save_hf(const LlmwsModel *m, const char *dir, const char *dtype, int64_t max_shard, LlmwsErr *e) {
    Arena a = {0};
    Dtype t = DT_f32;
    const char *stage = NULL;
    const SaveSpec s = {.dtype = dtype ? &t : NULL, .max_shard = max_shard};
    if (dtype && (!dtype_from_name(dtype, &t) || !dtype_info[t].st_tag || !dtype_info[t].encode))
        return err_set(e, ERR_USAGE, "dtype '%s' is not supported; supported: f32, f16, bf16", dtype);
    const bool ok = dir_begin(dir, &a, &stage, e) && dir_commit(model_write_hf(&m->m, stage, &s, e), stage, dir, e);
    arena_release(&a);
    return ok;
}
