/* Adapters: to and from GGUF, and added to the weights of a model. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/convert.h"
#include "formats/adapter.h"
#include "formats/json.h"

/* ---- pairs and weights ---- */

/* The weight that a pair belongs to. */
static const Weight *pair_weight(const Model *m, const Adapter *x, const AdapterPair *p, Err *e) {
    char name[320];
    const Weight *w = NULL;
    snprintf(name, sizeof name, "%s.weight", p->module);
    if (x->format == STORE_HF) w = model_weight(m, name);
    Arena a = {0};
    for (size_t i = 0; x->format == STORE_GGUF && !w && i < m->n; i++)
        if (strcmp(weight_name(&a, m->weights[i].row->gguf, m->weights[i].layer), name) == 0) w = &m->weights[i];
    arena_release(&a);
    if (!w)
        return err_set(e, ERR_INPUT, "'%s' has the module '%s', which the base model '%s' (%s) has not", x->path,
                       p->module, m->file.path, m->arch->name),
               NULL;
    if (w->t.ndim == 2 && p->b->ne[0] == w->t.ne[0] && p->a->ne[1] == w->t.ne[1]) return w;
    err_set(e, ERR_INPUT, "'%s': '%s' is for a weight [%lld,%lld], which is not that of '%s'", x->path, p->module,
            (long long)p->b->ne[0], (long long)p->a->ne[1], m->file.path);
    return NULL;
}

/* Where row r of B, counted as `to` does, stands in the adapter: B's rows are the weight's. */
static int64_t b_row(const Adapter *x, const Weight *w, StoreFormat to, int64_t r) {
    Weight as = *w;
    as.interleaved = x->format == STORE_GGUF;
    return weight_row(&as, to, r);
}

/* All rows of t as f32, in the arena; B in the order of `to`, where w is given. */
static float *rows_f32(Arena *arena, const Adapter *x, const Tensor *t, const Weight *w, StoreFormat to) {
    const int64_t width = t->ne[1];
    float *out = ARENA_NEW(arena, float, t->ne[0] * width);
    for (int64_t r = 0; r < t->ne[0]; r++)
        dtype_info[t->dtype].decode(tensor_row(t, w ? b_row(x, w, to, r) : r), out + r * width, width);
    return out;
}

/* ---- merging ---- */

typedef struct Delta Delta;
struct Delta {
    const float *a, *b; /* [r, in]; [out, r] in the target's order of rows, times the scale */
    int64_t rank, in, out;
    bool turned;
    const Delta *next;
};

/* Row i of b * a; or its column i, which is the row of a turned weight. */
static void add_delta(const void *by, int64_t i, float *row) {
    for (const Delta *d = by; d; d = d->next)
        for (int64_t k = 0; k < d->rank; k++) {
            if (d->turned)
                for (int64_t o = 0; o < d->out; o++) row[o] = fmaf(d->b[o * d->rank + k], d->a[k * d->in + i], row[o]);
            else
                for (int64_t c = 0; c < d->in; c++) row[c] = fmaf(d->b[i * d->rank + k], d->a[k * d->in + c], row[c]);
        }
}

static bool merge_pair(Job *j, const Adapter *x, const AdapterPair *p, double scale, Err *e) {
    const Weight *w = pair_weight(&j->m, x, p, e);
    const StoreFormat to = j->to_gguf ? STORE_GGUF : STORE_HF;
    if (!w) return false;
    float *b = rows_f32(&j->arena, x, p->b, w, to);
    for (int64_t i = 0; i < p->b->ne[0] * p->b->ne[1]; i++) b[i] = (float)(scale * (double)b[i]);
    for (size_t i = 0; i < j->x.n; i++) {
        ConvertTensor *t = &j->tensors[i];
        if (t->from->w != w) continue;
        Delta *d = ARENA_NEW(&j->arena, Delta, 1);
        *d = (Delta){
            rows_f32(&j->arena, x, p->a, NULL, to), b, p->a->ne[0], p->a->ne[1], p->b->ne[0], t->from->turned, t->by};
        t->adjust = add_delta;
        t->by = d;
    }
    return true;
}

static bool merge_all(Job *j, const char *arg, Adapter *x, Err *e) {
    double scale;
    bool ok = adapter_open_scaled(arg, x, &scale, e);
    for (size_t i = 0; ok && i < x->n; i++)
        ok = merge_pair(j, x, &x->pairs[i], scale * adapter_scale(x, &x->pairs[i]), e);
    return ok;
}

bool plan_merges(Job *j, Err *e) {
    Adapter x = {0};
    for (size_t i = 0; i < j->o->lora.n; i++) {
        bool ok = merge_all(j, j->o->lora.items[i], &x, e);
        adapter_close(&x);
        TRY(ok);
    }
    return true;
}

/* ---- converting ---- */

/* --base, or what adapter_config.json names, where that is a path; beside the adapter or from here. */
static bool open_base(Job *j, const Adapter *x, Err *e) {
    Str name = {"", 0};
    TensorFile f = {0};
    Arena a = {0};
    const char *path = j->o->base;
    TRY(value_as_str(value_get(&x->config, "base_model_name_or_path"), "base_model_name_or_path", &name, e));
    if (!path && name.n) {
        const char *given = arena_strn(&a, name.s, name.n), *beside = store_join(&a, x->path, given);
        path = model_exists(given) ? given : given[0] != '/' && path_exists(beside) ? beside : NULL;
    }
    bool ok = path || err_set(e, ERR_USAGE,
                              "the base model of the adapter '%s' is needed for its names and the order of its rows%s"
                              "%.*s%s; give --base MODEL",
                              x->path, name.n ? ", and '" : "", STR_ARG(name), name.n ? "' is not here" : "");
    ok = ok && tensor_file_open(path, &f, e) && model_init(&j->m, &f, (Log){ui_log, &j->ui}, e);
    arena_release(&a);
    return ok;
}

/* One tensor of a pair as the other format has it. */
static bool plan_half(Job *j, const Adapter *x, const char *name, const Tensor *t, const Weight *w, Err *e) {
    const StoreFormat to = j->to_gguf ? STORE_GGUF : STORE_HF;
    const Dtype was = dtype_info[t->dtype].class == DTC_FLOAT ? t->dtype : DT_f32, type = j->mix ? j->mix->base : was;
    const int64_t n = t->ne[0] * t->ne[1];
    float *rows = rows_f32(&j->arena, x, t, w, to);
    for (int64_t i = 0; i < n && !j->o->allow_nan; i++)
        if (!isfinite(rows[i]))
            return err_set(e, ERR_INPUT, "'%s' has a value in '%s', row %lld, that is not finite", x->path, name,
                           (long long)(i / t->ne[1]));
    void *data = arena_alloc(&j->arena, (size_t)n, (size_t)dtype_info[type].block_bytes);
    dtype_info[type].encode(rows, data, n);
    OutTensor *out = &j->outs[j->x.n++];
    *out = (OutTensor){.name = name, .dtype = type, .ndim = 2, .ne = {t->ne[0], t->ne[1], 1, 1}, .data = data};
    j->bytes_before += n * dtype_info[t->dtype].block_bytes / dtype_info[t->dtype].block;
    j->bytes_after += n * dtype_info[type].block_bytes;
    j->m.params += n;
    return true;
}

static bool plan_pairs(Job *j, const Adapter *x, Err *e) {
    Arena *a = &j->arena;
    j->m.params = 0; /* from here on those of the adapter */
    j->outs = ARENA_NEW(a, OutTensor, 2 * x->n);
    for (size_t i = 0; i < x->n; i++) {
        const AdapterPair *p = &x->pairs[i];
        const Weight *w = pair_weight(&j->m, x, p, e);
        if (!w) return false;
        const char *name = j->to_gguf ? weight_name(a, w->row->gguf, w->layer) : w->name;
        int n = (int)(strlen(name) - strlen(".weight"));
        const char *fmt = j->to_gguf ? "%.*s.weight.lora_%c" : "base_model.model.%.*s.lora_%c.weight";
        TRY(plan_half(j, x, arena_printf(a, fmt, n, name, j->to_gguf ? 'a' : 'A'), p->a, NULL, e) &&
            plan_half(j, x, arena_printf(a, fmt, n, name, j->to_gguf ? 'b' : 'B'), p->b, w, e));
    }
    return true;
}

static bool adapter_gguf(Job *j, const Adapter *x, Err *e) {
    Arena *a = &j->x.arena;
    Value *meta = &j->x.meta;
    double alpha = x->pairs[0].alpha;
    *meta = (Value){.kind = VALUE_OBJECT};
    for (size_t i = 0; x->root && i < x->n; i++)
        if (x->pairs[i].a->ne[0] != x->pairs[0].a->ne[0])
            return err_set(e, ERR_INPUT, "'%s': GGUF has no form for rsLoRA with more than one rank", x->path);
    for (size_t i = 0; i < x->n && !x->plain; i++)
        if (x->pairs[i].alpha < alpha || x->pairs[i].alpha > alpha)
            return err_set(e, ERR_INPUT, "'%s': GGUF has no form for more than one alpha", x->path);
    if (x->root) alpha *= sqrt((double)x->pairs[0].a->ne[0]);
    if (!j->m.arch->gguf) return err_set(e, ERR_INPUT, "family '%s' has no name in GGUF", j->m.arch->name);
    value_put(a, meta, STR("general.architecture"), value_str(str_of(j->m.arch->gguf)));
    value_put(a, meta, STR("general.type"), value_str(STR("adapter")));
    value_put(a, meta, STR("adapter.type"), value_str(STR("lora")));
    value_put(a, meta, STR("adapter.lora.alpha"), value_float(alpha));
    value_put(a, meta, STR("general.quantization_version"), value_int(2));
    if (x->config_text.n) value_put(a, meta, STR("llmws.adapter_config"), value_str(x->config_text));
    return target_fits(j, j->bytes_after, e) && gguf_write(j->out, meta, j->outs, j->x.n, e);
}

static bool adapter_peft(Job *j, const Adapter *x, Err *e) {
    const char *stage = NULL;
    Buf text = {0};
    const int64_t rank = x->pairs[0].a->ne[0];
    const AdapterConfig c = {.base = j->o->base, .rank = rank, .alpha = x->plain ? (double)rank : x->alpha};
    Value made = adapter_config(&j->arena, &c, j->outs, j->x.n);
    if (x->config_text.n)
        buf_put(&text, x->config_text.s, x->config_text.n);
    else
        json_put_value(&text, &made, 0);
    const bool ok = target_fits(j, j->bytes_after, e) && dir_stage(j->out, &j->arena, &stage, e) &&
                    dir_replace(adapter_write(stage, buf_view(&text), j->outs, j->x.n, e), stage, j->out, e);
    buf_release(&text);
    return ok;
}

bool convert_adapter(Job *j, Err *e) {
    Adapter x;
    if (j->o->lora.n || j->o->imatrix)
        return err_set(e, ERR_USAGE, "--lora and --imatrix are for models, and '%s' is an adapter", j->in);
    if (j->mix && dtype_info[j->mix->base].class != DTC_FLOAT)
        return err_set(e, ERR_USAGE, "--type %s: an adapter is f32, f16 or bf16", j->o->type);
    TRY(adapter_open(j->in, &x, e));
    bool ok = open_base(j, &x, e) && target_check(j, e) && plan_pairs(j, &x, e) &&
              (j->to_gguf ? adapter_gguf(j, &x, e) : adapter_peft(j, &x, e)) && convert_report(j, e);
    adapter_close(&x);
    return ok;
}
