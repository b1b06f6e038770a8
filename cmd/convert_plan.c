/* What each tensor becomes. */
#include <stdio.h>

#include "cmd/convert.h"

/* In a GGUF file these are f32, whatever they were. */
static bool is_vector(const ExportTensor *t) { return t->ndim < 2; }

static Dtype hf_dtype(const Job *j, const ExportTensor *t) {
    const Value *vectors = value_get(&j->m.file.meta, "llmws.vectors");
    bool quantised = t->w && dtype_info[t->w->t.dtype].class == DTC_QUANT;
    Dtype was = t->dtype;
    char name[16];
    if (j->mix) return j->mix->base;
    if (quantised) return DT_f16;
    if (!is_vector(t) || !vectors || vectors->kind != VALUE_STR) return t->dtype;
    snprintf(name, sizeof name, "%.*s", STR_ARG(vectors->s));
    return dtype_from_name(name, &was) && dtype_info[was].class == DTC_FLOAT ? was : t->dtype;
}

static Dtype gguf_dtype(const Job *j, const ExportTensor *t) {
    return j->mix ? export_mixed(&j->m, t, j->mix, j->imatrix.n > 0) : t->dtype;
}

/* The type that most of the weights have. */
static Dtype main_dtype(const Job *j) {
    int64_t count[DT_COUNT] = {0};
    Dtype most = DT_f32;
    for (size_t i = 0; i < j->x.n; i++) {
        const ExportTensor *t = j->tensors[i].from;
        count[j->tensors[i].to] += export_row_count(t) * t->ne[t->ndim - 1];
    }
    for (Dtype d = 0; d < DT_COUNT; d++)
        if (count[d] > count[most]) most = d;
    return most;
}

static void put_file_type(Job *j) {
    Arena *a = &j->x.arena;
    const Dtype most = main_dtype(j);
    int type = j->mix ? j->mix->gguf_file_type : -1;
    for (size_t i = 0; i < n_mixes && type < 0; i++)
        if (mixes[i].base == most) type = mixes[i].gguf_file_type;
    if (j->mix || !value_get(&j->x.meta, "general.file_type"))
        value_put(a, &j->x.meta, STR("general.file_type"), value_int(type));
    value_put(a, &j->x.meta, STR("general.quantization_version"), value_int(2));
    if (!j->imatrix.n) return;
    const char *slash = strrchr(j->o->imatrix, '/');
    value_put(a, &j->x.meta, STR("quantize.imatrix.file"), value_str(str_of(slash ? slash + 1 : j->o->imatrix)));
    value_put(a, &j->x.meta, STR("quantize.imatrix.entries_count"), value_int((int64_t)j->imatrix.n));
}

/* All vectors of the directory are of one type, and GGUF makes them f32: remembered for the way back. */
static void put_vectors(Job *j) {
    Dtype all = DT_COUNT;
    if (j->m.file.format == STORE_GGUF) return;
    for (size_t i = 0; i < j->m.n; i++) {
        const NamedTensor *t = tensor_file_find(&j->m.file, str_of(j->m.weights[i].file_name));
        if (!t || t->t.ndim != 1) continue;
        if (all != DT_COUNT && t->t.dtype != all) return;
        all = t->t.dtype;
    }
    if (all != DT_COUNT && all != DT_f32)
        value_put(&j->x.arena, &j->x.meta, STR("llmws.vectors"), value_str(str_of(dtype_info[all].name)));
}

/* Importance of the columns of t, and how many rows share one. */
static bool find_importance(Job *j, ConvertTensor *t, Err *e) {
    const ExportTensor *x = t->from;
    const ImatrixEntry *entry = imatrix_find(&j->imatrix, x->name);
    if (!entry || !x->w) return true;
    const size_t width = (size_t)x->ne[x->ndim - 1], groups = x->ndim > 2 ? (size_t)x->ne[0] : 1;
    if (entry->n != width * groups)
        return err_set(e, ERR_INPUT,
                       "'%s' has %zu values for tensor '%s', which has %zu columns; it is of another model",
                       j->o->imatrix, entry->n, x->name, width * groups);
    t->importance = entry->values;
    t->group = groups > 1 ? export_row_count(x) / x->ne[0] : 0;
    return true;
}

static bool use_imatrix(Job *j, Err *e) {
    Buf missing = {0};
    size_t n = 0, quantised = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < j->x.n; i++) {
        ConvertTensor *t = &j->tensors[i];
        if (dtype_info[t->to].class != DTC_QUANT) continue;
        ok = find_importance(j, t, e);
        quantised++;
        if (t->importance) continue;
        if (n++ < 3) buf_printf(&missing, "%s%s", missing.n ? ", " : "", t->from->name);
    }
    if (ok && n == quantised && n)
        ok = err_set(e, ERR_INPUT, "'%s' has none of the tensors that are quantised (%s, ...); it is of another model",
                     j->o->imatrix, missing.s);
    else if (ok && n)
        ui_warn(&j->ui, "the importance matrix has nothing for %zu of %zu quantised tensors: %s%s", n, quantised,
                missing.s, n > 3 ? ", ..." : "");
    buf_release(&missing);
    j->unimportant = (int64_t)n;
    return ok;
}

static void warn_requantised(const Job *j) {
    for (size_t i = 0; j->mix && i < j->x.n; i++) {
        const ConvertTensor *t = &j->tensors[i];
        Dtype was = t->from->w ? t->from->w->t.dtype : DT_f32;
        if (dtype_info[was].class != DTC_QUANT || was == t->to || dtype_info[t->to].class != DTC_QUANT) continue;
        ui_warn(&j->ui, "'%s' is quantised already (%s): quantising again loses more than from F16 or F32", j->in,
                dtype_info[was].name);
        return;
    }
}

static void plan_tensor(Job *j, size_t i) {
    const ExportTensor *x = &j->x.tensors[i];
    ConvertTensor *t = &j->tensors[i];
    *t = (ConvertTensor){.from = x, .to = j->to_gguf ? gguf_dtype(j, x) : hf_dtype(j, x)};
    j->outs[i] = (OutTensor){.name = x->name, .dtype = t->to, .ndim = x->ndim};
    memcpy(j->outs[i].ne, x->ne, sizeof x->ne);
    Buf shape = {0};
    for (int d = 0; d < x->ndim; d++) buf_printf(&shape, d ? ",%lld" : "%lld", (long long)x->ne[d]);
    ui_detail(&j->ui, "%s [%s] %s -> %s", x->name, shape.s, dtype_info[x->w ? x->w->t.dtype : x->dtype].name,
              dtype_info[t->to].name);
    buf_release(&shape);
}

bool plan_tensors(Job *j, Err *e) {
    if (j->mix && !j->to_gguf && dtype_info[j->mix->base].class != DTC_FLOAT)
        return err_set(e, ERR_USAGE, "--type %s: a directory holds f32, f16 or bf16; name a .gguf file with -o",
                       j->o->type);
    j->tensors = ARENA_NEW(&j->arena, ConvertTensor, j->x.n);
    j->outs = ARENA_NEW(&j->arena, OutTensor, j->x.n);
    for (size_t i = 0; i < j->x.n; i++) plan_tensor(j, i);
    if (j->imatrix.n) TRY(use_imatrix(j, e));
    warn_requantised(j);
    if (j->to_gguf) {
        put_vectors(j);
        put_file_type(j);
    } else if (j->tensors[0].to != j->x.tensors[0].dtype) {
        export_hf_dtype(&j->x, main_dtype(j));
    }
    for (size_t i = 0; i < j->x.n; i++) {
        int64_t bytes;
        TRY(tensor_bytes(j->outs[i].dtype, j->outs[i].ndim, j->outs[i].ne, &bytes) ||
            err_set(e, ERR_INPUT, "tensor '%s' cannot be %s", j->outs[i].name, dtype_info[j->outs[i].dtype].name));
        j->bytes_after += bytes;
    }
    return true;
}
