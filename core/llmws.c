/* The facade: the one file that may tie all rooms together, behind the public header. */
#include "core/llmws.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/cpu/cpu.h"
#include "core/export.h"
#include "core/grammar_mask.h"
#include "core/session.h"
#include "formats/formats.h"
#include "formats/json.h"
#include "formats/json_schema.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/trainer.h"

enum { MAX_ENDS = 16 };

struct LlmwsTokenizer {
    TokSpec spec;
    TensorFile file; /* of a tokenizer opened alone from a .gguf file */
    Tokenizer *tok;
    Buf piece;
};

struct LlmwsModel {
    Model m;
    LlmwsTokenizer *tok;
    int32_t ends[MAX_ENDS];
    size_t n_ends;
    SampleDefaults defaults;
    int64_t program_bytes; /* resident before the model came */
    char *dtypes;
    const char *rope;
    TokenTries tries;      /* of the vocabulary, once a constraint wanted it */
    LlmwsConstraint *open; /* constraints, a list */
    Graph graph;           /* for listing its values */
    NameList modules;
    Arena arena;
};

struct LlmwsSession {
    Session s;
    LlmwsModel *m;
    Backend *b;
};

struct LlmwsDecoder {
    TokDecoder tokens;
    Utf8Hold hold;
    Buf bytes, text;
};

int llmws_exit_status(int code) { return err_exit_status(code); }
const char *llmws_version(void) { return LLMWS_VERSION; }
void llmws_set_oom_hook(void (*hook)(size_t bytes)) { oom_set_hook(hook); }

/* ---- tokenizer ---- */

static LlmwsTokenizer *tokenizer_finish(LlmwsTokenizer *t, const char *path, Err *e) {
    if (tokenizer_new(&t->spec, &t->tok, e)) return t;
    llmws_tokenizer_close(t);
    err_prefix(e, "cannot use the tokenizer of '%s'", path);
    return NULL;
}

LlmwsTokenizer *llmws_tokenizer_open(const char *path, LlmwsErr *e) {
    LlmwsTokenizer *t = mem_alloc(1, sizeof *t);
    if (tok_spec_open(path, &t->spec, &t->file, e)) return tokenizer_finish(t, path, e);
    free(t);
    return NULL;
}

void llmws_tokenizer_close(LlmwsTokenizer *t) {
    if (!t) return;
    tokenizer_free(t->tok);
    tok_spec_release(&t->spec);
    if (t->file.close) t->file.close(&t->file);
    buf_release(&t->piece);
    free(t);
}

bool llmws_tokenize(LlmwsTokenizer *t, const char *text, size_t n, int flags, LlmwsTokens *out, LlmwsErr *e) {
    TokenList list = {0};
    if (!tokenizer_encode(t->tok, (Str){text, n}, flags, &list, e)) return token_list_release(&list), false;
    *out = (LlmwsTokens){list.ids, list.offsets, list.n};
    return true;
}

void llmws_tokens_free(LlmwsTokens *tokens) {
    free(tokens->ids);
    free(tokens->offsets);
    *tokens = (LlmwsTokens){0};
}

char *llmws_detokenize(LlmwsTokenizer *t, const int32_t *ids, size_t n, int flags, size_t *len, LlmwsErr *e) {
    TokDecoder d = tokenizer_decoder(t->tok, flags & LLMWS_TEXT_SPECIAL, flags & LLMWS_TEXT_BEGINS);
    Buf out = {0};
    buf_put(&out, "", 0);
    for (size_t i = 0; i < n; i++)
        if (!tokenizer_decode(&d, ids[i], &out)) {
            buf_release(&out);
            err_set(e, ERR_USAGE, "token id %d is outside the vocabulary of %d", ids[i], t->spec.n_vocab);
            return NULL;
        }
    *len = out.n;
    return out.s;
}

int32_t llmws_token_count(const LlmwsTokenizer *t) { return t->spec.n_vocab; }
const char *llmws_tokenizer_kind(const LlmwsTokenizer *t) { return t->spec.kind; }
bool llmws_tokenizer_has_template(const LlmwsTokenizer *t) { return t->spec.n_templates > 0; }

const char *llmws_token_piece(LlmwsTokenizer *t, int32_t id) {
    buf_clear(&t->piece);
    if (id >= 0 && id < t->spec.n_vocab) buf_put(&t->piece, t->spec.vocab[id].s, t->spec.vocab[id].n);
    return t->piece.s ? t->piece.s : "";
}

static bool train_texts(Trainer *t, const LlmwsTrainTokenizer *opt, const char *path, Err *e) {
    TokSpec spec;
    Buf json = {0};
    for (size_t i = 0; i < opt->n; i++) TRY(trainer_feed(t, (Str){opt->texts[i], opt->lengths[i]}, e));
    TRY(trainer_finish(t, &spec, e));
    bool ok = hf_tok_write(&spec, &json, e) && write_text_file(path, buf_view(&json), e);
    buf_release(&json);
    tok_spec_release(&spec);
    return ok;
}

bool llmws_train_tokenizer(const LlmwsTrainTokenizer *opt, const char *path, LlmwsErr *e) {
    TokSpec how = {.n_splits = 1, .splits = {{.kind = SPLIT_REGEX, .pattern = tok_default_split}}};
    Trainer *t;
    if (opt->vocab < 1 || opt->vocab > INT32_MAX / 2 || opt->n_special > (size_t)opt->vocab)
        return err_set(e, ERR_USAGE, "cannot train a tokenizer of %lld tokens", (long long)opt->vocab);
    Str *special = mem_alloc(opt->n_special + 1, sizeof *special);
    for (size_t i = 0; i < opt->n_special; i++) special[i] = str_of(opt->special[i]);
    TrainerOptions to = {.how = &how,
                         .special = special,
                         .n_special = (int32_t)opt->n_special,
                         .vocab = (int32_t)opt->vocab,
                         .min_count = opt->min_count ? opt->min_count : 2};
    bool ok = trainer_new(&to, &t, e);
    if (ok) ok = train_texts(t, opt, path, e);
    trainer_free(t);
    free(special);
    return ok;
}

/* ---- conversations ---- */

/* One object of both documents; `over` may be NULL, its members count first. */
static bool chat_request(const char *messages, const char *over, Arena *a, Value *out, Err *e) {
    Value more = {.kind = VALUE_OBJECT}, list;
    TRY(json_parse(str_of(messages), "the messages", a, out, e));
    TRY(!over || json_parse(str_of(over), "the options of the chat template", a, &more, e));
    if (more.kind != VALUE_OBJECT) return err_set(e, ERR_INPUT, "the options of the chat template are no JSON object");
    if (out->kind != VALUE_OBJECT) {
        list = *out;
        *out = (Value){.kind = VALUE_OBJECT};
        out->object.keys = ARENA_NEW(a, Str, 1);
        out->object.items = ARENA_NEW(a, Value, 1);
        out->object.keys[out->object.n] = STR("messages");
        out->object.items[out->object.n++] = list;
    }
    Value both = {.kind = VALUE_OBJECT};
    both.object.keys = ARENA_NEW(a, Str, out->object.n + more.object.n);
    both.object.items = ARENA_NEW(a, Value, out->object.n + more.object.n);
    const Value *from[] = {&more, out};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < from[k]->object.n; i++) {
            if (k && value_get(&more, arena_strn(a, from[k]->object.keys[i].s, from[k]->object.keys[i].n))) continue;
            both.object.keys[both.object.n] = from[k]->object.keys[i];
            both.object.items[both.object.n++] = from[k]->object.items[i];
        }
    *out = both;
    return true;
}

/* Of a text of len bytes: jinja2 counts answers inside of macros from where the macro is not yet written. */
static LlmwsTextSpan *text_spans(const JinjaSpan *spans, size_t n, size_t len) {
    LlmwsTextSpan *out = mem_alloc(n, sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i] = (LlmwsTextSpan){MIN(spans[i].begin, len), MIN(spans[i].end, len), spans[i].trusted};
    return out;
}

static bool chat_prompt(LlmwsTokenizer *t, const JinjaResult *r, int flags, LlmwsPrompt *out, Err *e) {
    TokenList ids = {0};
    if (!chat_encode(t->tok, r, flags & LLMWS_CHAT_TRUST_TEXT, &ids, &out->marks, e)) {
        token_list_release(&ids);
        return false;
    }
    out->ids = ids.ids;
    out->offsets = ids.offsets;
    out->n = ids.n;
    out->len = r->text.n;
    out->text = mem_alloc(r->text.n + 1, 1);
    memcpy(out->text, r->text.s, r->text.n);
    out->n_spans = r->n_spans;
    out->spans = text_spans(r->spans, r->n_spans, out->len);
    out->n_answers = r->n_answers;
    out->answers = text_spans(r->answers, r->n_answers, out->len);
    return true;
}

bool llmws_chat_render(LlmwsTokenizer *t, const char *messages, const char *options, int flags, LlmwsPrompt *out,
                       LlmwsErr *e) {
    Arena a = {0};
    Value request;
    JinjaResult r = {0};
    *out = (LlmwsPrompt){0};
    bool ok = chat_request(messages, options, &a, &request, e) && chat_render(&t->spec, &request, NULL, &r, e) &&
              chat_prompt(t, &r, flags, out, e);
    jinja_result_release(&r);
    arena_release(&a);
    return ok;
}

void llmws_prompt_free(LlmwsPrompt *p) {
    free(p->text);
    free(p->spans);
    free(p->answers);
    free(p->ids);
    free(p->offsets);
    free(p->marks);
    *p = (LlmwsPrompt){0};
}

LlmwsDecoder *llmws_decoder_open(LlmwsTokenizer *t, int flags) {
    LlmwsDecoder *d = mem_alloc(1, sizeof *d);
    d->tokens = tokenizer_decoder(t->tok, flags & LLMWS_TEXT_SPECIAL, flags & LLMWS_TEXT_BEGINS);
    return d;
}

const char *llmws_decoder_push(LlmwsDecoder *d, int32_t id, size_t *len) {
    buf_clear(&d->bytes);
    buf_clear(&d->text);
    tokenizer_decode(&d->tokens, id, &d->bytes);
    utf8_hold_push(&d->hold, d->bytes.s, d->bytes.n, &d->text);
    *len = d->text.n;
    return d->text.s ? d->text.s : "";
}

const char *llmws_decoder_flush(LlmwsDecoder *d, size_t *len) {
    buf_clear(&d->text);
    utf8_hold_flush(&d->hold, &d->text);
    *len = d->text.n;
    return d->text.s ? d->text.s : "";
}

void llmws_decoder_close(LlmwsDecoder *d) {
    if (!d) return;
    buf_release(&d->bytes);
    buf_release(&d->text);
    free(d);
}

/* ---- model ---- */

static bool add_ends(LlmwsModel *m, const Value *v, const char *what, Err *e) {
    if (!v || v->kind == VALUE_NULL) return true;
    Value item = *v;
    size_t cursor = 0;
    bool list = v->kind == VALUE_ARRAY || v->kind == VALUE_BLOB;
    while (list ? value_next(v, &cursor, &item) : !cursor++) {
        int64_t id = -1;
        TRY(value_as_int(&item, what, &id, e));
        if (id < 0 || id >= m->m.cfg.vocab)
            return err_set(e, ERR_INPUT, "'%s' %lld is outside the vocabulary", what, (long long)id);
        if (m->n_ends < MAX_ENDS) m->ends[m->n_ends++] = (int32_t)id;
    }
    return true;
}

static bool read_ends(LlmwsModel *m, Err *e) {
    const Value *meta = &m->m.file.meta, *gen = &m->m.file.generation;
    if (m->m.file.format == STORE_HF)
        return add_ends(m, value_get(meta, "eos_token_id"), "eos_token_id", e) &&
               add_ends(m, value_get(gen, "eos_token_id"), "eos_token_id", e);
    const char *keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < COUNT_OF(keys); i++) TRY(add_ends(m, value_get(meta, keys[i]), keys[i], e));
    return true;
}

static void describe(LlmwsModel *m) {
    int count[DT_COUNT] = {0};
    Buf text = {0};
    for (size_t i = 0; i < m->m.n; i++) count[m->m.weights[i].t.dtype]++;
    for (int t = 0; t < DT_COUNT; t++)
        if (count[t]) buf_printf(&text, "%s%s %d", text.n ? ", " : "", dtype_info[t].name, count[t]);
    m->dtypes = arena_strn(&m->arena, text.s, text.n);
    m->rope = rope_text(&m->m.cfg.rope, &m->arena);
    buf_release(&text);
}

/* What the process holds already: its code, libraries, stacks. 0 where the system does not tell. */
static int64_t resident_bytes(void) {
    long total, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    if (fscanf(f, "%ld %ld", &total, &resident) != 2) resident = 0;
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

static bool model_open(LlmwsModel *m, const char *path, Log log, Err *e) {
    TensorFile file = {0};
    TRY(tensor_file_open(path, &file, e) && model_init(&m->m, &file, log, e));
    if (!read_ends(m, e) || !sample_defaults_read(&m->defaults, &m->m.file, &m->m.log, e))
        return err_prefix(e, "'%s'", path);
    describe(m);
    return true;
}

LlmwsModel *llmws_model_open(const char *path, const LlmwsModelOptions *opt, LlmwsErr *e) {
    LlmwsModel *m = mem_alloc(1, sizeof *m);
    m->program_bytes = resident_bytes();
    Log log = opt ? (Log){opt->log, opt->log_ctx} : (Log){0};
    if (model_open(m, path, log, e)) return m;
    llmws_model_close(m);
    return NULL;
}

void llmws_model_close(LlmwsModel *m) {
    if (!m) return;
    llmws_tokenizer_close(m->tok); /* borrows from the file */
    token_tries_release(&m->tries);
    graph_release(&m->graph);
    free(m->modules.items);
    model_release(&m->m);
    arena_release(&m->arena);
    free(m);
}

LlmwsTokenizer *llmws_model_tokenizer(LlmwsModel *m, LlmwsErr *e) {
    if (m->tok) return m->tok;
    LlmwsTokenizer *t = mem_alloc(1, sizeof *t);
    bool ok = m->m.file.format == STORE_GGUF ? gguf_tok_spec(&m->m.file, &t->spec, e)
                                             : hf_tok_spec(m->m.file.path, &t->spec, e);
    if (!ok) return free(t), NULL;
    return m->tok = tokenizer_finish(t, m->m.file.path, e);
}

bool llmws_token_ends(const LlmwsModel *m, int32_t id) {
    for (size_t i = 0; i < m->n_ends; i++)
        if (m->ends[i] == id) return true;
    return m->tok && m->tok->spec.eos == id;
}

void llmws_model_info(const LlmwsModel *m, LlmwsModelInfo *info) {
    const Config *c = &m->m.cfg;
    *info = (LlmwsModelInfo){.family = m->m.arch->name,
                             .name = c->name,
                             .format = m->m.file.format == STORE_GGUF ? "gguf" : "safetensors",
                             .dtypes = m->dtypes,
                             .rope = m->rope,
                             .params = m->m.params,
                             .bytes = m->m.bytes,
                             .layers = c->layers,
                             .width = c->width,
                             .heads = c->heads,
                             .kv_heads = c->kv_heads,
                             .head_dim = c->head_dim,
                             .ffn = c->ffn,
                             .vocab = c->vocab,
                             .ctx = c->ctx,
                             .files = (int64_t)m->m.file.n_files,
                             .tied = c->tied};
}

size_t llmws_tensor_count(const LlmwsModel *m) { return m->m.n; }

void llmws_tensor_info(const LlmwsModel *m, size_t i, LlmwsTensorInfo *info) {
    const Weight *w = &m->m.weights[i];
    *info = (LlmwsTensorInfo){
        .name = w->name, .file_name = w->file_name, .dtype = dtype_info[w->t.dtype].name, .ndim = w->t.ndim};
    memcpy(info->shape, w->t.ne, sizeof info->shape);
    tensor_bytes(w->t.dtype, w->t.ndim, w->t.ne, &info->bytes);
}

/* Every value with a name, in graph order; a module's ".input" is another's output and not listed again. */
static void list_modules(LlmwsModel *m) {
    ModelGraph io;
    Graph *g = &m->graph;
    if (g->n || !build_model(&m->m, 1, 1, false, g, &io, NULL)) return;
    for (int i = 0; i < g->n; i++) {
        if (g->nodes[i].kind == NODE_OP && g->nodes[i].name) name_list_add(&m->modules, g->nodes[i].name, i);
        for (int k = 0; k < g->aliases.n; k++) {
            const NameRef *a = &g->aliases.items[k];
            if (a->id == i && !str_ends(str_of(a->name), ".input")) name_list_add(&m->modules, a->name, i);
        }
    }
}

size_t llmws_module_count(LlmwsModel *m) {
    list_modules(m);
    return (size_t)m->modules.n;
}

void llmws_module_info(LlmwsModel *m, size_t i, LlmwsModuleInfo *info) {
    char shape[64];
    const NameRef *r = &m->modules.items[i];
    graph_shape_text(&m->graph, r->id, shape);
    *info = (LlmwsModuleInfo){.name = r->name, .op = op_info[m->graph.nodes[r->id].op].name};
    info->shape = arena_strn(&m->arena, shape, strlen(shape));
}

void llmws_sampling_defaults(const LlmwsModel *m, LlmwsSampling *s) { *s = m->defaults.s; }

const char *llmws_sampling_origin(const LlmwsModel *m, const char *name) {
    return sample_defaults_origin(&m->defaults, name);
}

const char *llmws_step_name(int step) { return sampler_step_name(step); }

bool llmws_sampling_order(LlmwsSampling *s, const char *list, LlmwsErr *e) {
    return sampler_order_parse(str_of(list), s, e);
}

int64_t llmws_dry_breaker(LlmwsTokenizer *t, const char *text, unsigned char *breaks, int64_t vocab) {
    int64_t found = 0;
    for (int32_t id = 0; id < MIN(vocab, t->spec.n_vocab); id++) {
        buf_clear(&t->piece);
        if (!*text || !tokenizer_token_bytes(t->tok, id, true, &t->piece) || !t->piece.n) continue;
        if (memmem(t->piece.s, t->piece.n, text, strlen(text))) breaks[id] = 1, found++;
    }
    return found;
}

/* Rows of a weight in the target's order. */
static bool emit_weight(void *ctx, const OutTensor *t, Sink to, Err *e) {
    const Weight *w = ctx;
    (void)t;
    size_t bytes = (size_t)dtype_row_bytes(w->t.dtype, w->t.ne[w->t.ndim - 1]);
    for (int64_t r = 0; r < tensor_rows(&w->t); r++)
        TRY(to.write(to.ctx, tensor_row(&w->t, weight_row(w, STORE_GGUF, r)), bytes, e));
    return true;
}

bool llmws_model_save_gguf(const LlmwsModel *m, const char *path, LlmwsErr *e) {
    Export x;
    bool ok = export_gguf(&m->m, &x, e);
    OutTensor *out = mem_alloc(x.n + 1, sizeof *out);
    for (size_t i = 0; ok && i < x.n; i++) {
        const ExportTensor *t = &x.tensors[i];
        if (t->data) {
            out[i] = (OutTensor){.name = t->name, .dtype = DT_f32, .ndim = 1, .ne = {t->n}, .data = t->data};
            continue;
        }
        out[i] = (OutTensor){.name = t->name,
                             .dtype = t->w->t.dtype,
                             .ndim = t->w->t.ndim,
                             .emit = emit_weight,
                             .ctx = (void *)(uintptr_t)t->w};
        memcpy(out[i].ne, t->w->t.ne, sizeof out[i].ne);
    }
    ok = ok && gguf_write(path, &x.meta, out, x.n, e);
    free(out);
    arena_release(&x.arena);
    return ok;
}

/* ---- constraints ---- */

struct LlmwsConstraint {
    LlmwsModel *m;
    Matcher *at;
    LlmwsConstraint *next, **link; /* link: what points here */
};

static LlmwsConstraint *constraint_new(LlmwsModel *m, Matcher *at) {
    LlmwsConstraint *c = mem_alloc(1, sizeof *c);
    *c = (LlmwsConstraint){m, at, m->open, &m->open};
    if (c->next) c->next->link = &c->next;
    return m->open = c;
}

/* What open constraints hold; those that were forked share a masker. */
static size_t constraints_bytes(const LlmwsModel *m) {
    size_t bytes = m->open ? token_tries_bytes(&m->tries) : 0;
    for (const LlmwsConstraint *c = m->open; c; c = c->next) {
        const LlmwsConstraint *one = m->open;
        while (matcher_masker(one->at) != matcher_masker(c->at)) one = one->next;
        if (one == c) bytes += masker_bytes(matcher_masker(c->at));
    }
    return bytes;
}

/* The bytes of all tokens that are text: not special ones, nor those that end an answer or stand for unknown text. */
static bool vocabulary(LlmwsModel *m, Err *e) {
    if (m->tries.vocab) return true;
    LlmwsTokenizer *t = llmws_model_tokenizer(m, e);
    if (!t) return false;
    int32_t vocab = (int32_t)m->m.cfg.vocab, known = MIN(vocab, t->spec.n_vocab);
    Str *pieces = mem_alloc((size_t)vocab, sizeof *pieces);
    Buf all = {0};
    buf_put(&all, "", 0);
    for (int32_t id = 0; id < known; id++) {
        size_t before = all.n;
        if (id != t->spec.unk && !llmws_token_ends(m, id)) tokenizer_token_bytes(t->tok, id, false, &all);
        pieces[id].n = all.n - before;
    }
    const char *s = all.s;
    for (int32_t id = 0; id < vocab; s += pieces[id++].n) pieces[id].s = s;
    token_tries_make(&m->tries, pieces, vocab);
    buf_release(&all);
    free(pieces);
    return true;
}

LlmwsConstraint *llmws_constraint_open(LlmwsModel *m, const char *gbnf, size_t n, LlmwsErr *e) {
    Grammar g;
    int32_t ends[MAX_ENDS + 1];
    if (!vocabulary(m, e) || !grammar_parse((Str){gbnf, n}, &g, e)) return NULL;
    memcpy(ends, m->ends, m->n_ends * sizeof *ends);
    ends[m->n_ends] = m->tok->spec.eos;
    Masker *k = masker_make(&g, &m->tries, ends, m->n_ends + 1);
    Matcher *at = matcher_new(k, e);
    if (!at) return masker_free(k), NULL;
    return constraint_new(m, at);
}

char *llmws_schema_grammar(const char *json, size_t n, const char *what, LlmwsErr *e) {
    Buf out = {0};
    if (json_schema_to_gbnf((Str){json, n}, what, &out, e)) return out.s;
    buf_release(&out);
    return NULL;
}

LlmwsConstraint *llmws_constraint_fork(const LlmwsConstraint *c) { return constraint_new(c->m, matcher_fork(c->at)); }

void llmws_constraint_close(LlmwsConstraint *c) {
    if (!c) return;
    Masker *k = matcher_masker(c->at);
    matcher_free(c->at);
    if (!matchers_of(k)) masker_free(k);
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    free(c);
}

const uint64_t *llmws_constraint_allowed(LlmwsConstraint *c, LlmwsErr *e) { return matcher_mask(c->at, e); }
bool llmws_constraint_accept(LlmwsConstraint *c, int32_t id, LlmwsErr *e) { return matcher_accept(c->at, id, e); }
bool llmws_constraint_rewind(LlmwsConstraint *c, size_t n, LlmwsErr *e) { return matcher_rewind(c->at, n, e); }
size_t llmws_constraint_len(const LlmwsConstraint *c) { return matcher_len(c->at); }
bool llmws_constraint_must_end(const LlmwsConstraint *c) { return matcher_must_end(c->at); }

size_t llmws_constraint_bytes(const LlmwsConstraint *c) {
    return masker_bytes(matcher_masker(c->at)) + token_tries_bytes(&c->m->tries);
}

/* ---- session ---- */

static bool backend_open(const LlmwsSessionOptions *o, Backend **b, Err *e) {
    const char *name = o->backend ? o->backend : "auto";
    if (strcmp(name, "auto") && strcmp(name, "cpu"))
        return err_set(e, ERR_BACKEND, "backend '%s' is not available here; available: cpu", name);
    return cpu_backend_open(&(BackendOptions){.threads = o->threads, .isa = o->isa}, b, e);
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
    if (o->compute && !compute_from_name(o->compute, &s->compute))
        return err_set(e, ERR_USAGE, "compute '%s' is unknown; known: auto, f32, bf16, int8", o->compute);
    return true;
}

static LlmwsSession *session_new(LlmwsModel *m, const LlmwsSessionOptions *opt, Err *e) {
    const LlmwsSessionOptions none = {0};
    SessionSpec spec;
    LlmwsSession *s = mem_alloc(1, sizeof *s);
    s->m = m;
    if (!opt) opt = &none;
    if (session_spec(opt, &spec, e) && backend_open(opt, &s->b, e) && session_prepare(&s->s, &m->m, s->b, &spec, e))
        return s;
    llmws_session_close(s);
    return NULL;
}

static void add_row(LlmwsPlan *p, const char *name, int64_t bytes) {
    p->rows[p->n++] = (LlmwsPlanRow){name, bytes};
    p->total_bytes += bytes;
}

/* The session's classes, and what stands beside them: tables of names, headers of files, the program itself. */
static void full_plan(const LlmwsSession *s, LlmwsPlan *plan) {
    const Model *m = &s->m->m;
    session_plan(&s->s, plan);
    add_row(plan, "graph", session_graph_bytes(&s->s));
    if (s->m->tok) add_row(plan, "tokenizer", (int64_t)(tokenizer_bytes(s->m->tok->tok) + s->m->tok->spec.arena.bytes));
    if (s->m->open) add_row(plan, "grammar", (int64_t)constraints_bytes(s->m));
    int64_t weights = 0;
    for (size_t i = 0; i < m->file.n; i++) {
        int64_t bytes = 0;
        tensor_bytes(m->file.tensors[i].t.dtype, m->file.tensors[i].t.ndim, m->file.tensors[i].t.ne, &bytes);
        weights += bytes;
    }
    add_row(plan, "file tables",
            MAX(m->file.mapped_bytes - weights, 0) +
                (int64_t)(m->file.arena.bytes + m->arena.bytes + s->m->arena.bytes));
    add_row(plan, "program", s->m->program_bytes);
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
    free(s);
}

void llmws_session_plan(const LlmwsSession *s, LlmwsPlan *plan) { full_plan(s, plan); }

int llmws_seq_open(LlmwsSession *s, LlmwsErr *e) {
    int seq = cache_seq_open(s->s.cache, e);
    if (seq >= 0) s->s.logit_row[seq] = -1;
    return seq;
}

int llmws_seq_fork(LlmwsSession *s, int seq, LlmwsErr *e) { return session_fork(&s->s, seq, e); }
void llmws_seq_close(LlmwsSession *s, int seq) { cache_seq_close(s->s.cache, seq); }
int64_t llmws_seq_len(const LlmwsSession *s, int seq) { return cache_seq_len(s->s.cache, seq); }

const int32_t *llmws_seq_tokens(const LlmwsSession *s, int seq, size_t *n) {
    *n = 0;
    if (!cache_seq_valid(s->s.cache, seq)) return NULL;
    *n = (size_t)cache_seq_len(s->s.cache, seq);
    return s->s.history + seq * s->s.spec.ctx;
}

bool llmws_seq_truncate(LlmwsSession *s, int seq, int64_t len, LlmwsErr *e) {
    if (!cache_seq_valid(s->s.cache, seq)) return err_set(e, ERR_USAGE, "sequence %d is not open", seq);
    if (len != cache_seq_len(s->s.cache, seq)) s->s.logit_row[seq] = -1;
    return cache_seq_truncate(s->s.cache, seq, len, e);
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

bool llmws_save_arrays(const char *path, const LlmwsArray *arrays, size_t n, LlmwsErr *e) {
    OutTensor *out = mem_alloc(n + 1, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        out[i] = (OutTensor){.name = arrays[i].name, .dtype = DT_f32, .ndim = arrays[i].ndim, .data = arrays[i].data};
        memcpy(out[i].ne, arrays[i].dims, sizeof out[i].ne);
    }
    bool ok = safetensors_write(path, NULL, out, n, e);
    free(out);
    return ok;
}
