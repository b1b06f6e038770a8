#include "core/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/weights_read.h"

/* ---- the plan ---- */

static size_t layout(Session *s, char *base) {
    Carve at = {.base = base};
    s->sampler.vocab = s->m->cfg.vocab;
    CARVE(&at, s->sampler.cand, s->sampler.vocab);
    CARVE(&at, s->sampler.count, s->sampler.vocab);
    s->sampler.window = s->spec.ctx;
    CARVE(&at, s->sampler.match, s->sampler.window);
    CARVE(&at, s->history, s->spec.parallel * s->spec.ctx);
    CARVE(&at, s->logit_row, s->spec.parallel);
    CARVE(&at, s->owed, s->spec.parallel);
    return at.at;
}

void plan_add_row(LlmwsPlan *p, LlmwsPlanRow row) {
    if (p->n == COUNT_OF(p->rows)) BUG("a plan of more than %zu rows", p->n);
    p->rows[p->n++] = row;
    p->total_bytes += row.bytes;
}

void session_plan(const Session *s, LlmwsPlan *plan) {
    const Plan *p = s->x.b ? &s->x.plan : &s->plan;
    int64_t pool = 0, tables = 0;
    cache_bytes(&s->cache_spec, &pool, &tables, NULL);
    *plan = (LlmwsPlan){.ctx = s->spec.ctx,
                        .chunk = s->spec.chunk,
                        .parallel = s->spec.parallel,
                        .threads = s->b->threads,
                        .isa = s->b->isa,
                        .compute = compute_names[s->spec.compute],
                        .kv_type = dtype_info[s->spec.kv_type].name};
    const char *device = s->b->name;
    plan_add_row(plan, (LlmwsPlanRow){"weights", device, s->m->file.mapped_bytes > 0, s->m->bytes - s->m->turned});
    if (s->m->turned) plan_add_row(plan, (LlmwsPlanRow){"weights turned", device, false, s->m->turned});
    if (s->spec.lora) plan_add_row(plan, (LlmwsPlanRow){"adapters", device, true, lora_bytes(s->spec.lora)});
    if (s->spec.packed) plan_add_row(plan, (LlmwsPlanRow){"repacking", device, false, packed_most(s->m)});
    plan_add_row(plan, (LlmwsPlanRow){"cache", device, false, pool});
    plan_add_row(plan, (LlmwsPlanRow){"cache tables", device, false, tables});
    for (int c = CLASS_STATE; c < CLASS_COUNT; c++)
        if (p->bytes[c]) plan_add_row(plan, (LlmwsPlanRow){plan_class_name[c], device, false, p->bytes[c]});
    plan_add_row(plan, (LlmwsPlanRow){"sampling", device, false, (int64_t)s->table_bytes});
}

int64_t session_graph_bytes(const Session *s) {
    const Plan *p = s->x.b ? &s->x.plan : &s->plan;
    size_t node = sizeof(PlanSlot) + sizeof(Kernel) + sizeof(Tensor),
           names = (size_t)(s->g.aliases.cap + s->g.taps.cap) * sizeof(NameRef);
    size_t refs = (size_t)s->g.n * 2 + (size_t)p->n_run * 3; /* about one symbol an operand */
    return (int64_t)((size_t)s->g.cap * sizeof(Node) + (size_t)s->g.n * node + (size_t)p->n_run * sizeof(ExecOp) +
                     refs * sizeof(SymRef) + names + s->g.arena.bytes);
}

/* What is needed beyond the weights: the system can drop mapped pages and read them again, what was turned is there. */
static int64_t needed(const Session *s) {
    LlmwsPlan p;
    session_plan(s, &p);
    return p.total_bytes - s->m->bytes - (s->spec.lora ? lora_bytes(s->spec.lora) : 0);
}

static const char *human(int64_t bytes, char out[24]) {
    double mib = (double)bytes / 1048576;
    snprintf(out, 24, mib >= 1024 ? "%.1f GiB" : "%.1f MiB", mib >= 1024 ? mib / 1024 : mib);
    return out;
}

static void size_cache(Session *s, int64_t ctx) {
    s->spec.ctx = ctx;
    s->cache_spec.ctx = ctx;
    s->table_bytes = layout(s, NULL);
}

static int64_t needed_with(Session *s, int64_t ctx) {
    int64_t old = s->spec.ctx, bytes;
    size_cache(s, ctx);
    bytes = needed(s);
    size_cache(s, old);
    return bytes;
}

/* Too large: says by how much, and what each knob would give back. */
static bool refuse(Session *s, int64_t free_bytes, Err *e) {
    char text[4][24], narrow[64] = "";
    int64_t now = needed(s), half = MAX(s->spec.ctx / 2, 1), pool = 0, tables = 0;
    cache_bytes(&s->cache_spec, &pool, &tables, NULL);
    if (s->spec.kv_type != DT_q8_0) {
        CacheSpec small = s->cache_spec;
        int64_t less = pool;
        small.dtype = DT_q8_0;
        cache_bytes(&small, &less, &tables, NULL);
        if (less < pool) snprintf(narrow, sizeof narrow, ", --kv-type q8_0 %s", human(pool - less, text[0]));
    }
    return err_set(
        e, ERR_FIT, "memory: the session needs %s beside the weights, %s are free; -c %lld would free %s%s%s",
        human(now, text[1]), human(free_bytes, text[2]), (long long)half, human(now - needed_with(s, half), text[3]),
        narrow, s->spec.parallel > 1 ? ", a smaller --parallel its share" : "");
}

static bool fit(Session *s, bool chosen, Err *e) {
    int64_t free_bytes = (int64_t)s->b->free_bytes(s->b), trained = s->m->cfg.ctx;
    const bool dynamic = s->m->cfg.rope.kind == ROPE_DYNAMIC;
    if ((s->io.positions >= 0 || dynamic) && s->spec.ctx > trained)
        return err_set(e, ERR_FIT,
                       "context %lld is above the %lld positions that the model has%s; give at most -c %lld",
                       (long long)s->spec.ctx, (long long)trained,
                       dynamic ? " before rope scaling dynamic moves them all" : "", (long long)trained);
    if (chosen) {
        if (s->spec.ctx > trained)
            log_put(&s->m->log, LOG_WARN, "context %lld is above the trained length %lld; answers may degrade",
                    (long long)s->spec.ctx, (long long)trained);
        return needed(s) <= free_bytes ? true : refuse(s, free_bytes, e);
    }
    while (needed(s) > free_bytes / 10 * 9 && s->spec.ctx > 256) size_cache(s, s->spec.ctx / 2);
    if (s->spec.ctx < trained)
        log_put(&s->m->log, LOG_WARN, "context %lld of the trained %lld: more does not fit into free memory",
                (long long)s->spec.ctx, (long long)trained);
    return needed(s) <= free_bytes ? true : refuse(s, free_bytes, e);
}

/* Weights laid out anew are no file's pages any more: without room for all of them they stay as they are. */
static void may_pack(Session *s) {
    if (!s->spec.packed || (uint64_t)(needed(s) + s->m->bytes) <= s->b->free_bytes(s->b)) return;
    log_put(&s->m->log, LOG_INFO, "weights are read as the file has them: other layouts do not fit into free memory");
    s->spec.packed = NULL;
}

static uint64_t hash_changes(const Session *s, const SessionSpec *spec) {
    uint64_t h = hash_bytes(s->b->isa, strlen(s->b->isa), (uint64_t)spec->compute);
    for (int i = 0; i < s->g.n; i++) { /* layers that are rounded otherwise */
        const Node *n = &s->g.nodes[i];
        if (n->kind == NODE_OP && n->op == OP_attn_scores_kv)
            h = hash_bytes(&n->params.attn.layer, sizeof n->params.attn.layer, h);
    }
    for (size_t i = 0; i < spec->n_patches; i++) {
        const LlmwsPatch *p = &spec->patches[i];
        h = hash_bytes(p->name, strlen(p->name), h);
        h = hash_bytes(p->vec, p->vec ? p->n * sizeof *p->vec : 0, h);
        h = hash_bytes(&p->from, sizeof p->from, h), h = hash_bytes(&p->to, sizeof p->to, h);
        h = hash_bytes(&p->mul, sizeof p->mul, h), h = hash_bytes(&p->add, sizeof p->add, h);
    }
    return h;
}

/* Of everything that decides what the cache holds; reads samples of the weights, so only saving and loading ask for it.
 */
static uint64_t fingerprint(const Session *s) {
    const RopeConfig *r = &s->m->cfg.rope;
    uint64_t h = hash_bytes(&s->changes, sizeof s->changes, model_fingerprint(s->m));
    const uint64_t adapters = s->spec.lora ? lora_fingerprint(s->spec.lora) : 0;
    if (adapters) h = hash_bytes(&adapters, sizeof adapters, h);
    double rope[] = {s->m->cfg.local.theta,
                     r->kind,
                     r->theta,
                     r->factor,
                     r->low_freq,
                     r->high_freq,
                     (double)r->original_ctx,
                     r->beta_fast,
                     r->beta_slow,
                     r->fractional,
                     (double)rope_attention(r)};
    if (r->far_factors) h = hash_bytes(r->far_factors, (size_t)r->dims / 2 * sizeof *r->far_factors, h);
    if (r->factors) h = hash_bytes(r->factors, (size_t)r->dims / 2 * sizeof *r->factors, h);
    return hash_bytes(rope, sizeof rope, h);
}

/* The forward pass; scores of attention stand in it where a tap or a patch names them. */
static bool build_plain(Session *s, const SessionSpec *spec, int64_t outputs, Err *e) {
    size_t n = 0, taps = 0;
    while (spec->taps && spec->taps[taps]) taps++;
    const char **names = mem_alloc(taps + spec->n_patches + 1, sizeof *names);
    for (; n < taps; n++) names[n] = spec->taps[n];
    for (size_t i = 0; i < spec->n_patches; i++) names[n++] = spec->patches[i].name;
    const BuildSpec how = {s->spec.chunk, outputs, .keys = spec->ctx ? spec->ctx : s->m->cfg.ctx,
                           .visible = (const char *const *)names};
    bool ok = build_model(s->m, &how, &s->g, &s->io, e);
    free(names);
    return ok;
}

/* row -> graph -> adapters -> patches -> taps -> cache -> rows -> compute -> fuse */
static bool build(Session *s, const SessionSpec *spec, Err *e) {
    int64_t outputs = spec->all_logits ? s->spec.chunk : MIN(s->spec.parallel, s->spec.chunk);
    PatchRule *rules = mem_alloc(spec->n_patches + 1, sizeof *rules);
    s->n_patches = spec->n_patches;
    s->patch_leaf = mem_alloc(spec->n_patches + 1, sizeof *s->patch_leaf);
    s->patch_vec = mem_alloc(spec->n_patches + 1, sizeof *s->patch_vec);
    for (size_t i = 0; i < spec->n_patches; i++) {
        const LlmwsPatch *p = &spec->patches[i];
        rules[i] = (PatchRule){
            p->name, {.mul = p->mul, .add = p->add, .from = p->from, .to = p->to}, p->vec ? (int64_t)p->n : 0};
        if (!p->vec) continue;
        s->patch_vec[i] = mem_alloc(p->n, sizeof(float));
        memcpy(s->patch_vec[i], p->vec, p->n * sizeof(float));
    }
    bool ok = build_plain(s, spec, outputs, e);
    if (ok && spec->rewrite) spec->rewrite(&s->g);
    if (ok && spec->lora) ok = pass_lora(&s->g, spec->lora, 0, false, NULL, e);
    ok = ok && pass_patch(&s->g, rules, (int)spec->n_patches, s->patch_leaf, e) && pass_tap(&s->g, spec->taps, e) &&
         pass_cache(&s->g, e) && (spec->plain || pass_rows(&s->g, graph_find(&s->g, "out_rows"), e)) &&
         pass_compute(&s->g, s->spec.compute, e) && (spec->plain || pass_fuse(&s->g, e));
    free(rules);
    if (!ok) return false;
    int capped = graph_find(&s->g, "logits");
    s->io = (ModelGraph){.ids = graph_find(&s->g, "ids"),
                         .rope = graph_find(&s->g, "rope"),
                         .positions = graph_find(&s->g, "positions"),
                         .rope_local = graph_find(&s->g, "rope.local"),
                         .out_rows = graph_find(&s->g, "out_rows"),
                         .logits = capped >= 0 ? capped : graph_find(&s->g, "lm_head")};
    for (size_t i = 0; i < spec->n_patches; i++) { /* nodes move in the passes, names do not */
        char name[32];
        snprintf(name, sizeof name, "patch.%zu", i);
        if (s->patch_vec[i]) s->patch_leaf[i] = graph_find(&s->g, name);
    }
    return true;
}

static bool prepare(Session *s, const SessionSpec *spec, Err *e) {
    const Config *c = &s->m->cfg;
    s->spec = *spec;
    s->spec.chunk = MIN(spec->chunk, (spec->ctx ? spec->ctx : c->ctx) * spec->parallel);
    s->spec.taps = NULL, s->spec.patches = NULL, s->spec.n_patches = 0;
    TRY(build(s, spec, e) && plan_make(&s->plan, &s->g, s->b, e));
    s->cache_spec = (CacheSpec){.layers = c->layers,
                                .kv_heads = c->kv_heads,
                                .head_dim = c->head_dim,
                                .dtype = spec->kv_type,
                                .max_seq = spec->parallel,
                                .max_step = s->spec.chunk,
                                .rope = c->rope,
                                .local = c->local};
    s->changes = hash_changes(s, spec);
    size_cache(s, spec->ctx ? spec->ctx : c->ctx);
    int64_t pool, tables;
    TRY(cache_bytes(&s->cache_spec, &pool, &tables, e));
    may_pack(s);
    return fit(s, spec->ctx != 0, e);
}

bool session_prepare(Session *s, const Model *m, Backend *b, const SessionSpec *spec, Err *e) {
    *s = (Session){.m = m, .b = b};
    if (prepare(s, spec, e)) return true;
    session_release(s);
    return false;
}

bool session_reserve(Session *s, Err *e) {
    TRY(cache_new(&s->cache_spec, s->b, &s->cache, e));
    s->tables = s->b->reserve(s->b, s->table_bytes, e);
    if (!s->tables) return err_prefix(e, "reserving room for sampling");
    layout(s, s->tables);
    LoraLeaves leaves = {s->m, s->spec.lora};
    TRY(exec_open(&s->x, &s->plan, s->b, (WeightSource){lora_find, &leaves}, cache_step(s->cache), e));
    for (size_t i = 0; i < s->n_patches; i++)
        if (s->patch_vec[i])
            memcpy(exec_data(&s->x, s->patch_leaf[i]), s->patch_vec[i],
                   (size_t)s->g.nodes[s->patch_leaf[i]].ne[0] * sizeof(float));
    for (int64_t i = 0; i < s->spec.parallel; i++) s->logit_row[i] = -1, s->owed[i] = 0;
    TRY(weights_read(s->m, s->b->free_bytes(s->b), s->spec.progress, s->spec.progress_ctx, e));
    if (s->spec.packed && !packed_reserve(s->spec.packed)) s->spec.packed = NULL;
    if (s->spec.pack_now) session_pack(s, INT64_MAX);
    return true;
}

void session_release(Session *s) {
    if (s->x.b) exec_close(&s->x);
    plan_release(&s->plan);
    cache_free(s->cache);
    if (s->tables) s->b->release(s->b, s->tables, s->table_bytes);
    graph_release(&s->g);
    for (size_t i = 0; i < s->n_patches; i++) free(s->patch_vec[i]);
    free(s->patch_vec);
    free(s->patch_leaf);
    *s = (Session){0};
}

/* ---- other layouts of weights ---- */

void session_pack(Session *s, int64_t bytes) {
    if (!s->spec.packed) return;
    for (; s->pack_at < s->x.n_ops && bytes > 0; s->pack_at++) {
        ExecOp *op = &s->x.ops[s->pack_at];
        int64_t spent = 0;
        if (s->b->packed_bytes(s->b, op) && !packed_weight(s->spec.packed, s->b, op, &spent)) return;
        bytes -= spent;
    }
}

/* A layout costs the time of several tokens and saves a fifth of each one's: who generates few of them never pays, and
 * who does pays it in parts. */
static void light_step(Session *s) {
    enum { PACK_AFTER = 32, PACK_STEPS = 16 };
    if (++s->light > PACK_AFTER) session_pack(s, s->m->bytes / PACK_STEPS);
}

/* ---- steps ---- */

static bool check_ids(const Session *s, const int32_t *ids, size_t n, Err *e) {
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= s->m->cfg.vocab)
            return err_set(e, ERR_USAGE, "token id %d is outside the vocabulary of %lld", ids[i],
                           (long long)s->m->cfg.vocab);
    return true;
}

static bool check_seq(const Session *s, int seq, Err *e) {
    return cache_seq_valid(s->cache, seq) ? true : err_set(e, ERR_USAGE, "sequence %d is not open", seq);
}

/* Gives the graph the step that the cache holds; logits of `rows` of its tokens were asked for in out_rows. */
static void begin_step(Session *s, int64_t rows) {
    const Step *step = cache_step(s->cache);
    if (s->io.positions >= 0)
        memcpy(exec_data(&s->x, s->io.positions), step->index, (size_t)step->n * sizeof *step->index);
    if (s->io.rope >= 0) cache_rope(s->cache, false, exec_data(&s->x, s->io.rope));
    if (s->io.rope_local >= 0) cache_rope(s->cache, true, exec_data(&s->x, s->io.rope_local));
    exec_bind(&s->x, cache_step(s->cache)->n, rows);
    s->last_rows = rows;
}

static bool tell(const Session *s, int64_t done, int64_t total, Err *e) {
    if (!s->spec.progress || total == 1) return true;
    return s->spec.progress(s->spec.progress_ctx, LLMWS_PHASE_PROMPT, done, total) ||
           err_set(e, ERR_INTERRUPT, "interrupted");
}

/* A step of a prompt, of which `done` tokens of `total` are computed (1: nobody is told). A chunk of a large model
 * takes long enough that its parts are told too, and that it may be stopped between them. */
static bool run_step(Session *s, bool prompt, int64_t done, int64_t total, Err *e) {
    enum { PARTS = 16 };
    int64_t n = cache_step(s->cache)->n, parts = s->spec.progress && prompt ? PARTS : 1;
    for (int64_t i = 0; i < parts; i++) {
        TRY(tell(s, done + n * i / parts, total, e));
        if (atomic_exchange(&s->interrupted, false)) return err_set(e, ERR_INTERRUPT, "interrupted");
        exec_run_part(&s->x, (size_t)i, (size_t)parts);
    }
    if (n <= LIGHT_TOKENS) light_step(s);
    return true;
}

static bool add_token(Session *s, int seq, int32_t id, Err *e) {
    int64_t t = cache_step(s->cache)->n, len = cache_seq_len(s->cache, seq);
    TRY(cache_add(s->cache, seq, e));
    ((int32_t *)exec_data(&s->x, s->io.ids))[t] = id;
    s->history[seq * s->spec.ctx + len] = id;
    return true;
}

static bool eval(Session *s, int seq, const int32_t *ids, size_t n, Err *e);

/* Where the sequence with so many tokens has other rotary positions than it has now, it is computed anew with them, so
 * that the same tokens give the same answer however they came. Stopped on the way, it owes the rest. */
static bool choose_positions(Session *s, int seq, int64_t tokens, Err *e) {
    const RopeConfig *r = &s->m->cfg.rope;
    const bool far = r->kind == ROPE_LONG && tokens > r->original_ctx;
    const int64_t len = session_len(s, seq);
    if (cache_seq_far(s->cache, seq) != far) {
        if (len)
            log_put(&s->m->log, LOG_INFO,
                    "sequence %d: %lld tokens are computed anew with positions for %s %lld tokens", seq, (long long)len,
                    far ? "more than" : "at most", (long long)r->original_ctx);
        TRY(cache_seq_truncate(s->cache, seq, 0, e));
        cache_seq_set_far(s->cache, seq, far);
        s->owed[seq] = len;
    }
    const int64_t done = cache_seq_len(s->cache, seq);
    if (done < len) TRY(eval(s, seq, s->history + seq * s->spec.ctx + done, (size_t)(len - done), e));
    s->owed[seq] = 0;
    return true;
}

bool session_eval_batch(Session *s, const int *seqs, const int32_t *ids, size_t n, Err *e) {
    if (!n || n > (size_t)s->spec.chunk)
        return err_set(e, ERR_USAGE, "a step takes 1 to %lld tokens, not %zu", (long long)s->spec.chunk, n);
    TRY(check_ids(s, ids, n, e));
    for (size_t i = 0; i < n; i++) TRY(check_seq(s, seqs[i], e));
    for (size_t i = 0; s->m->cfg.rope.kind == ROPE_LONG && i < n; i++) {
        int64_t tokens = session_len(s, seqs[i]);
        for (size_t k = 0; k < n; k++) tokens += seqs[k] == seqs[i];
        TRY(choose_positions(s, seqs[i], MIN(tokens, s->spec.ctx), e));
    }
    for (int64_t i = 0; i < s->spec.parallel; i++) s->logit_row[i] = -1;
    cache_begin(s->cache);
    int32_t *out_rows = exec_data(&s->x, s->io.out_rows);
    int64_t rows = 0;
    for (size_t i = 0; i < n; i++) {
        if (!add_token(s, seqs[i], ids[i], e)) return cache_abort(s->cache), false;
        bool last = i + 1 == n || seqs[i + 1] != seqs[i];
        if (!last && !s->spec.all_logits) continue;
        if (last && s->logit_row[seqs[i]] >= 0 && !s->spec.all_logits)
            return cache_abort(s->cache),
                   err_set(e, ERR_USAGE, "the tokens of sequence %d do not stand together", seqs[i]);
        s->logit_row[seqs[i]] = rows;
        out_rows[rows++] = (int32_t)i;
    }
    begin_step(s, rows);
    if (run_step(s, n > (size_t)s->spec.parallel, 0, 1, e)) return true;
    for (int64_t i = 0; i < s->spec.parallel; i++) s->logit_row[i] = -1;
    return cache_abort(s->cache), s->last_rows = 0, false;
}

bool session_eval(Session *s, int seq, const int32_t *ids, size_t n, Err *e) {
    TRY(check_seq(s, seq, e) && check_ids(s, ids, n, e));
    int64_t len = session_len(s, seq);
    if (n > (size_t)(s->spec.ctx - len))
        return err_set(e, ERR_FIT, "%zu tokens after %lld are more than the context of %lld holds; give a larger -c", n,
                       (long long)len, (long long)s->spec.ctx);
    return choose_positions(s, seq, n ? len + (int64_t)n : len, e) && eval(s, seq, ids, n, e);
}

static bool eval(Session *s, int seq, const int32_t *ids, size_t n, Err *e) {
    for (size_t at = 0; at < n;) {
        size_t end = MIN(n, at + (size_t)s->spec.chunk);
        cache_begin(s->cache);
        for (size_t i = at; i < end; i++)
            if (!add_token(s, seq, ids[i], e)) return cache_abort(s->cache), false;
        int32_t *out_rows = exec_data(&s->x, s->io.out_rows);
        int64_t rows = s->spec.all_logits ? (int64_t)(end - at) : end == n;
        for (int64_t r = 0; r < rows; r++) out_rows[r] = (int32_t)(s->spec.all_logits ? r : (int64_t)(end - at) - 1);
        for (int64_t i = 0; i < s->spec.parallel; i++) s->logit_row[i] = -1;
        begin_step(s, rows);
        if (!run_step(s, n > 1, (int64_t)at, (int64_t)n, e)) return cache_abort(s->cache), s->last_rows = 0, false;
        s->logit_row[seq] = rows - 1;
        at = end;
    }
    return !n || tell(s, (int64_t)n, (int64_t)n, e);
}

const float *session_logits(const Session *s, int seq) {
    if (!cache_seq_valid(s->cache, seq) || s->logit_row[seq] < 0) return NULL;
    return (const float *)exec_data(&s->x, s->io.logits) + s->logit_row[seq] * s->m->cfg.vocab;
}

bool session_sample(Session *s, int seq, const LlmwsSampling *how, const int32_t *banned, size_t n_banned, int32_t *id,
                    Err *e) {
    const float *logits = session_logits(s, seq);
    if (!logits) return err_set(e, ERR_USAGE, "sequence %d has no logits to sample from; evaluate a token first", seq);
    int64_t len = cache_seq_len(s->cache, seq);
    SampleAt at = {.logits = logits,
                   .history = s->history + seq * s->spec.ctx,
                   .n_history = len,
                   .stream = how->sequence,
                   .index = (uint64_t)len,
                   .banned = banned,
                   .n_banned = n_banned};
    return sampler_pick(&s->sampler, how, &at, id, e);
}

/* ---- sequences ---- */

int64_t session_len(const Session *s, int seq) {
    if (!cache_seq_valid(s->cache, seq)) return cache_seq_len(s->cache, seq);
    return MAX(cache_seq_len(s->cache, seq), s->owed[seq]);
}

int session_seq_open(Session *s, Err *e) {
    int seq = cache_seq_open(s->cache, e);
    if (seq >= 0) s->logit_row[seq] = -1, s->owed[seq] = 0;
    return seq;
}

bool session_truncate(Session *s, int seq, int64_t len, Err *e) {
    TRY(check_seq(s, seq, e));
    const int64_t have = session_len(s, seq), computed = cache_seq_len(s->cache, seq);
    if (len > computed && len <= have) return s->owed[seq] = len, true;
    TRY(cache_seq_truncate(s->cache, seq, len, e));
    if (len != have) s->logit_row[seq] = -1;
    s->owed[seq] = 0;
    return true;
}

int session_fork(Session *s, int seq, Err *e) {
    if (!check_seq(s, seq, e)) return -1;
    int fork = cache_seq_fork(s->cache, seq, e);
    if (fork < 0) return -1;
    memcpy(s->history + fork * s->spec.ctx, s->history + seq * s->spec.ctx,
           (size_t)session_len(s, seq) * sizeof *s->history);
    s->owed[fork] = s->owed[seq];
    s->logit_row[fork] = s->logit_row[seq]; /* the same tokens end in the same logits */
    return fork;
}

/* Behind the cache's own stream: the tokens and their checksum. */
bool session_save(const Session *s, int seq, Sink to, Err *e) {
    TRY(check_seq(s, seq, e));
    if (cache_seq_len(s->cache, seq) < s->owed[seq])
        return err_set(e, ERR_USAGE, "sequence %d was stopped while it was computed anew; evaluate a token first", seq);
    TRY(cache_seq_save(s->cache, seq, fingerprint(s), to, e));
    const int32_t *ids = s->history + seq * s->spec.ctx;
    size_t bytes = (size_t)cache_seq_len(s->cache, seq) * sizeof *ids;
    uint64_t sum = hash_bytes(ids, bytes, 0);
    return to.write(to.ctx, ids, bytes, e) && to.write(to.ctx, &sum, sizeof sum, e);
}

static bool load_history(Session *s, int seq, Source from, Err *e) {
    int32_t *ids = s->history + seq * s->spec.ctx;
    size_t n = (size_t)cache_seq_len(s->cache, seq);
    uint64_t sum;
    TRY(from.read(from.ctx, ids, n * sizeof *ids, e) && from.read(from.ctx, &sum, sizeof sum, e));
    if (sum != hash_bytes(ids, n * sizeof *ids, 0))
        return err_set(e, ERR_INPUT, "saved cache: its tokens are damaged (checksum differs)");
    return check_ids(s, ids, n, e) || err_set(e, ERR_INPUT, "saved cache: it holds ids outside the vocabulary");
}

bool session_load(Session *s, int seq, Source from, Err *e) {
    TRY(check_seq(s, seq, e));
    s->logit_row[seq] = -1, s->owed[seq] = 0;
    if (cache_seq_load(s->cache, seq, fingerprint(s), from, e) && load_history(s, seq, from, e)) return true;
    cache_seq_truncate(s->cache, seq, 0, NULL);
    return false;
}
