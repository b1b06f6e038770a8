/* Sessions: options to a specification, the full plan, sequences, evaluation. */
#include <stdlib.h>

#include "backends/cpu/cpu.h"
#include "core/llmws_objects.h"
#include "formats/adapter.h"

bool llmws_backend_open(const char *name, int threads, const char *isa, Backend **b, Err *e) {
    if (name && strcmp(name, "auto") && strcmp(name, "cpu"))
        return err_set(e, ERR_BACKEND, "backend '%s' is not available here; available: cpu", name);
    return cpu_backend_open(&(BackendOptions){.threads = threads, .isa = isa}, b, e);
}

static bool session_spec(const LlmwsSessionOptions *o, SessionSpec *s, Err *e) {
    *s = (SessionSpec){.ctx = o->ctx,
                       .chunk = o->chunk ? o->chunk : 512,
                       .parallel = o->parallel ? o->parallel : 1,
                       .kv_type = DT_f16,
                       .all_logits = o->all_logits,
                       .taps = o->taps,
                       .patches = o->patches,
                       .n_patches = o->n_patches,
                       .progress = o->progress,
                       .progress_ctx = o->progress_ctx};
    if (s->ctx < 0 || s->ctx > INT32_MAX)
        return err_set(e, ERR_USAGE, "context %lld is out of range", (long long)s->ctx);
    if (s->chunk < 1 || s->chunk > INT32_MAX)
        return err_set(e, ERR_USAGE, "chunk %lld is out of range", (long long)s->chunk);
    if (s->parallel < 1 || s->parallel > 4096)
        return err_set(e, ERR_USAGE, "%lld parallel sequences are out of range", (long long)s->parallel);
    if (o->kv_type && (!dtype_from_name(o->kv_type, &s->kv_type) || !cache_takes(s->kv_type)))
        return err_set(e, ERR_USAGE, "KV type '%s' is not supported; supported: " CACHE_DTYPES, o->kv_type);
    if (o->repack && strcmp(o->repack, "auto") && strcmp(o->repack, "now") && strcmp(o->repack, "off"))
        return err_set(e, ERR_USAGE, "repack '%s' is unknown; known: auto, now, off", o->repack);
    if (o->compute && !compute_from_name(o->compute, &s->compute))
        return err_set(e, ERR_USAGE, "compute '%s' is unknown; known: auto, f32, bf16, int8", o->compute);
    return true;
}

static bool adapters_open(LlmwsSession *s, const LlmwsSessionOptions *o, Err *e) {
    if (o->n_adapters) s->adapters = mem_alloc(o->n_adapters, sizeof *s->adapters);
    for (size_t i = 0; i < o->n_adapters; i++) {
        Adapter *x = &s->adapters[i];
        double scale;
        TRY(adapter_open_scaled(o->adapters[i], x, &scale, e));
        s->n_adapters++;
        TRY(adapter_lora(x, &s->m->m, scale, &s->lora, e));
        log_put(&s->m->m.log, LOG_INFO, "adapter '%s': on %zu linear maps, scale %g", x->path, x->n, scale);
    }
    return true;
}

static LlmwsSession *session_new(LlmwsModel *m, const LlmwsSessionOptions *opt, Err *e) {
    const LlmwsSessionOptions none = {0};
    SessionSpec spec;
    LlmwsSession *s = mem_alloc(1, sizeof *s);
    s->m = m;
    if (!opt) opt = &none;
    if (session_spec(opt, &spec, e) && llmws_backend_open(opt->backend, opt->threads, opt->isa, &s->b, e) &&
        adapters_open(s, opt, e)) {
        spec.rewrite = m->rewrite;
        if (!opt->repack || strcmp(opt->repack, "off")) spec.packed = m->packed;
        spec.pack_now = opt->repack && strcmp(opt->repack, "now") == 0;
        spec.lora = s->n_adapters ? &s->lora : NULL;
        if (session_prepare(&s->s, &m->m, s->b, &spec, e)) return s;
    }
    llmws_session_close(s);
    return NULL;
}

/* What stands in this process, whatever the device. */
static void add_row(LlmwsPlan *p, const char *name, int64_t bytes) {
    plan_add_row(p, (LlmwsPlanRow){name, "cpu", false, bytes});
}

void plan_add_tables(LlmwsPlan *plan, const LlmwsModel *lm) {
    const Model *m = &lm->m;
    if (lm->tok) add_row(plan, "tokenizer", (int64_t)(tokenizer_bytes(lm->tok->tok) + lm->tok->spec.arena.bytes));
    if (lm->open) add_row(plan, "grammar", (int64_t)constraints_bytes(lm));
    int64_t weights = 0;
    for (size_t i = 0; i < m->file.n; i++) {
        int64_t bytes = 0;
        tensor_bytes(m->file.tensors[i].t.dtype, m->file.tensors[i].t.ndim, m->file.tensors[i].t.ne, &bytes);
        weights += bytes;
    }
    add_row(plan, "file tables",
            MAX(m->file.mapped_bytes - weights, 0) + (int64_t)(m->file.arena.bytes + m->arena.bytes + lm->arena.bytes));
    add_row(plan, "program", lm->program_bytes);
}

/* The session's classes, and what stands beside them. */
static void full_plan(const LlmwsSession *s, LlmwsPlan *plan) {
    session_plan(&s->s, plan);
    add_row(plan, "graph", session_graph_bytes(&s->s));
    plan_add_tables(plan, s->m);
    size_t tables = s->lora.arena.bytes;
    for (size_t i = 0; i < s->n_adapters; i++) tables += s->adapters[i].file.arena.bytes + s->adapters[i].arena.bytes;
    if (s->n_adapters) add_row(plan, "adapter tables", (int64_t)tables);
}

bool llmws_estimate(LlmwsModel *m, const LlmwsSessionOptions *opt, LlmwsPlan *plan, LlmwsErr *e) {
    LlmwsSession *s = session_new(m, opt, e);
    if (!s) return false;
    full_plan(s, plan);
    llmws_session_close(s);
    return true;
}

LlmwsSession *llmws_session_open(LlmwsModel *m, const LlmwsSessionOptions *opt, LlmwsErr *e) {
    LlmwsSession *s = session_new(m, opt, e);
    if (!s || session_reserve(&s->s, e)) return s;
    llmws_session_close(s);
    return NULL;
}

void llmws_session_close(LlmwsSession *s) {
    if (!s) return;
    if (s->s.m) session_release(&s->s);
    if (s->b) s->b->close(s->b);
    lora_release(&s->lora);
    for (size_t i = 0; i < s->n_adapters; i++) adapter_close(&s->adapters[i]);
    free(s->adapters);
    free(s);
}

void llmws_session_plan(const LlmwsSession *s, LlmwsPlan *plan) { full_plan(s, plan); }

int llmws_seq_open(LlmwsSession *s, LlmwsErr *e) { return session_seq_open(&s->s, e); }
int llmws_seq_fork(LlmwsSession *s, int seq, LlmwsErr *e) { return session_fork(&s->s, seq, e); }
void llmws_seq_close(LlmwsSession *s, int seq) { cache_seq_close(s->s.cache, seq); }
int64_t llmws_seq_len(const LlmwsSession *s, int seq) { return session_len(&s->s, seq); }

const int32_t *llmws_seq_tokens(const LlmwsSession *s, int seq, size_t *n) {
    *n = 0;
    if (!cache_seq_valid(s->s.cache, seq)) return NULL;
    *n = (size_t)session_len(&s->s, seq);
    return s->s.history + seq * s->s.spec.ctx;
}

bool llmws_seq_truncate(LlmwsSession *s, int seq, int64_t len, LlmwsErr *e) {
    return session_truncate(&s->s, seq, len, e);
}

bool llmws_seq_save(LlmwsSession *s, int seq, const char *path, LlmwsErr *e) {
    AtomicFile *f;
    TRY(atomic_open(path, &f, e));
    if (session_save(&s->s, seq, atomic_sink(f), e)) return atomic_commit(f, e);
    atomic_abort(f);
    return err_prefix(e, "'%s'", path);
}

bool llmws_seq_load(LlmwsSession *s, int seq, const char *path, LlmwsErr *e) {
    FileSource *f;
    TRY(file_source_open(path, &f, e));
    bool ok = session_load(&s->s, seq, file_source(f), e);
    file_source_close(f);
    return ok || err_prefix(e, "'%s'", path);
}

bool llmws_eval(LlmwsSession *s, int seq, const int32_t *ids, size_t n, LlmwsErr *e) {
    return session_eval(&s->s, seq, ids, n, e);
}

bool llmws_eval_batch(LlmwsSession *s, const int *seqs, const int32_t *ids, size_t n, LlmwsErr *e) {
    return session_eval_batch(&s->s, seqs, ids, n, e);
}

const float *llmws_logits(const LlmwsSession *s, int seq) { return session_logits(&s->s, seq); }

const float *llmws_logits_row(const LlmwsSession *s, size_t i) {
    if ((int64_t)i >= s->s.last_rows) return NULL;
    return (const float *)exec_data(&s->s.x, s->s.io.logits) + (int64_t)i * s->m->m.cfg.vocab;
}

bool llmws_sample(LlmwsSession *s, int seq, const LlmwsSampling *how, int32_t *id, LlmwsErr *e) {
    return session_sample(&s->s, seq, how, s->m->ends, s->m->n_ends, id, e);
}

size_t llmws_tap_count(const LlmwsSession *s) { return (size_t)s->s.g.taps.n; }

bool llmws_tap(LlmwsSession *s, size_t i, LlmwsTap *tap) {
    if (i >= llmws_tap_count(s)) return false;
    const Graph *g = &s->s.g;
    const Tensor *t = &s->s.x.values[g->taps.items[i].id];
    *tap = (LlmwsTap){.name = g->taps.items[i].name, .data = t->data, .ndim = t->ndim};
    memcpy(tap->dims, t->ne, sizeof tap->dims);
    return true;
}

void llmws_interrupt(LlmwsSession *s) { atomic_store(&s->s.interrupted, true); }
void llmws_interrupt_clear(LlmwsSession *s) { atomic_store(&s->s.interrupted, false); }
