/* Checkpoints of trainings, and the texts of their data. trainer_state is a safetensors file of the optimiser's states
 * (none before the first update); its metadata are the counters and the place in the data. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/llmws_save.h"
#include "core/llmws_train.h"
#include "formats/adapter.h"
#include "formats/dirs.h"
#include "formats/store.h"
#include "tokenizer/chat_answers.h"

static const char state_name[] = "trainer_state", state_format[] = "llmws trainer state 1";

/* ---- texts ---- */

static bool encode_alone(LlmwsTrain *t, Str text, bool begin, IdList *out, Err *e) {
    t->tokens.n = 0;
    TRY(tokenizer_encode(t->m->tok->tok, text, begin ? LLMWS_TOK_ADD_SPECIAL : 0, &t->tokens, e));
    size_t n = t->tokens.n;
    /* what stands behind a text is the dataset's affair: it puts the EOS that is learned */
    while (n && t->tokens.ids[n - 1] == t->m->tok->spec.eos &&
           t->tokens.offsets[n - 1][0] == t->tokens.offsets[n - 1][1])
        n--;
    id_list_put(out, t->tokens.ids, n);
    return true;
}

static bool encode(void *ctx, Str text, bool begin, IdList *out, Err *e) {
    LlmwsTrain *t = ctx;
    pthread_mutex_lock(&t->texts);
    bool ok = encode_alone(t, text, begin, out, e);
    pthread_mutex_unlock(&t->texts);
    return ok;
}

static bool chat(void *ctx, const Value *messages, const Value *tools, IdList *out, IdRanges *answers, Err *e) {
    LlmwsTrain *t = ctx;
    pthread_mutex_lock(&t->texts);
    bool ok = chat_answers(t->m->tok->tok, messages, tools, out, answers, e);
    pthread_mutex_unlock(&t->texts);
    return ok;
}

static void piece(void *ctx, int32_t id, Buf *out) {
    LlmwsTrain *t = ctx;
    if (id >= 0 && id < t->m->tok->spec.n_vocab) tokenizer_token_bytes(t->m->tok->tok, id, true, out);
}

DataTexts train_texts(LlmwsTrain *t) {
    return (DataTexts){
        .encode = encode, .chat = llmws_tokenizer_has_template(t->m->tok) ? chat : NULL, .piece = piece, .ctx = t};
}

bool llmws_train_file(LlmwsTrain *t, size_t i, LlmwsTrainFile *out, LlmwsErr *e) {
    Dataset *const sets[] = {t->data, t->o.eval ? t->eval : NULL}; /* a part that is held out is of the same files */
    *out = (LlmwsTrainFile){0};
    for (size_t k = 0; k < COUNT_OF(sets) && sets[k]; k++) {
        size_t n;
        const DataFile *files = dataset_files(sets[k], &n);
        if (i < n) {
            out->path = files[i].path;
            out->bytes = files[i].bytes;
            return dataset_sha256(sets[k], i, out->sha256, e);
        }
        i -= n;
    }
    return true;
}

/* ---- saving ---- */

static void put_hex(Buf *out, const Buf *bytes) {
    for (size_t i = 0; i < bytes->n; i++) buf_printf(out, "%02x", (unsigned)(unsigned char)bytes->s[i]);
}

static void put_number(Arena *a, Value *meta, const char *key, int64_t n) {
    const char *text = arena_printf(a, "%" PRId64, n);
    value_put(a, meta, str_of(key), value_str(str_of(text)));
}

/* The model with the weights of the trainer in place of its file's. */
static Model trained_model(const LlmwsTrain *t, Arena *a) {
    Model m = t->m->m;
    m.weights = ARENA_NEW(a, Weight, m.n);
    memcpy(m.weights, t->m->m.weights, m.n * sizeof *m.weights);
    for (size_t i = 0; i < t->t.n_params; i++) {
        const TrainParam *p = &t->t.params[i];
        Weight *w = &m.weights[strmap_get(&m.index, str_of(p->name))];
        w->t = t->t.x.values[p->weight];
    }
    return m;
}

/* State k of a parameter, under its name in the file. */
static OutTensor state_tensor(const LlmwsTrain *t, const TrainParam *p, int k, Arena *a) {
    const Tensor *x = &t->t.x.values[p->state[k]];
    OutTensor out = {.name = arena_printf(a, "%s.%s", p->name, p->rule->states[k].name),
                     .dtype = x->dtype,
                     .ndim = x->ndim,
                     .data = x->data};
    memcpy(out.ne, x->ne, sizeof x->ne);
    return out;
}

static bool write_state(const LlmwsTrain *t, const char *dir, int64_t mark, Err *e) {
    Arena a = {0};
    Buf place = {0}, hex = {0};
    Value meta = {.kind = VALUE_OBJECT};
    OutTensor *out = mem_alloc(t->t.n_params * MAX_STATES + 1, sizeof *out);
    size_t n = 0;
    for (size_t i = 0; i < t->t.n_params && t->t.updates; i++)
        for (int k = 0; k < t->t.params[i].rule->n_states; k++) out[n++] = state_tensor(t, &t->t.params[i], k, &a);
    dataset_save(t->data, &place);
    put_hex(&hex, &place);
    value_put(&a, &meta, STR("format"), value_str(str_of(state_format)));
    value_put(&a, &meta, STR("optimizer"), value_str(str_of(optimizer_rows[t->t.spec.optimizer].name)));
    put_number(&a, &meta, "updates", t->t.updates);
    put_number(&a, &meta, "steps", t->schedule.updates);
    put_number(&a, &meta, "mark", mark);
    if (t->best >= 0) {
        put_number(&a, &meta, "evaluated", t->evaluated);
        put_number(&a, &meta, "best", t->best);
        value_put(&a, &meta, STR("best_loss"), value_str(str_of(arena_printf(&a, "%.17g", t->best_loss))));
    }
    value_put(&a, &meta, STR("data"), value_str(buf_view(&hex)));
    value_put(&a, &meta, STR("isa"), value_str(str_of(t->b->isa)));
    bool ok = safetensors_write(store_join(&a, dir, state_name), &meta, out, n, e);
    free(out);
    buf_release(&place);
    buf_release(&hex);
    arena_release(&a);
    return ok;
}

/* Weights or adapter, and what stands beside them. */
static bool write_model(const LlmwsTrain *t, const char *dir, const char *beside, Err *e) {
    const Dtype f32 = DT_f32;
    const Model *base = &t->m->m;
    Arena a = {0};
    bool ok;
    if (t->t.spec.lora) {
        ok = model_write_beside(base, beside, dir, e) && adapter_save(dir, &t->t, &t->lora_spec, base->file.path, e);
    } else {
        Model m = trained_model(t, &a);
        SaveSpec s = {.dtype = &f32, .beside = beside};
        ok = model_write_hf(&m, dir, &s, e);
    }
    arena_release(&a);
    return ok;
}

bool llmws_train_save(LlmwsTrain *t, const char *dir, int64_t mark, LlmwsErr *e) {
    const char *stage = NULL, *beside = t->beside.n ? t->beside.s : NULL;
    Arena a = {0};
    const bool ok = dir_begin(dir, &a, &stage, e) &&
                    dir_commit(write_model(t, stage, beside, e) && write_state(t, stage, mark, e), stage, dir, e);
    if (ok) buf_clear(&t->beside), buf_str(&t->beside, dir);
    arena_release(&a);
    return ok;
}

/* ---- loading ---- */

static bool read_number(const Value *meta, const char *key, int64_t *out, Err *e) {
    const Value *v = value_get(meta, key);
    char text[32], *end;
    if (!v || v->kind != VALUE_STR || !v->s.n || v->s.n >= sizeof text)
        return err_set(e, ERR_INPUT, "it has no number '%s'", key);
    memcpy(text, v->s.s, v->s.n);
    text[v->s.n] = 0;
    *out = strtoll(text, &end, 10);
    return (!*end && *out >= 0) || err_set(e, ERR_INPUT, "%s is '%s', no number", key, text);
}

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

static bool read_hex(const Value *v, Buf *out, Err *e) {
    bool ok = v && v->kind == VALUE_STR && v->s.n % 2 == 0;
    for (size_t i = 0; ok && i < v->s.n; i += 2) {
        int high = hex_digit(v->s.s[i]), low = hex_digit(v->s.s[i + 1]);
        ok = high >= 0 && low >= 0;
        buf_char(out, (char)(high * 16 + low));
    }
    return ok || err_set(e, ERR_INPUT, "its place in the data cannot be read");
}

static bool read_tensor(const TensorFile *f, const char *name, Tensor *to, Err *e) {
    int64_t bytes;
    const NamedTensor *from = tensor_file_find(f, str_of(name));
    if (!from || from->t.dtype != to->dtype || tensor_count(&from->t) != tensor_count(to) ||
        !tensor_bytes(to->dtype, to->ndim, to->ne, &bytes))
        return err_set(e, ERR_INPUT, "tensor '%s' is missing or of another shape", name);
    memcpy(to->data, from->t.data, (size_t)bytes);
    return true;
}

static bool read_state_tensors(LlmwsTrain *t, const TensorFile *f, const TrainParam *p, Err *e) {
    Arena a = {0};
    bool ok = true;
    for (int k = 0; ok && k < p->rule->n_states; k++)
        ok = read_tensor(f, state_tensor(t, p, k, &a).name, &t->t.x.values[p->state[k]], e);
    arena_release(&a);
    return ok;
}

static bool read_states(LlmwsTrain *t, const TensorFile *f, Err *e) {
    const char *name = optimizer_rows[t->t.spec.optimizer].name;
    const Value *of = value_get(&f->meta, "optimizer");
    size_t want = 0;
    if (!of || of->kind != VALUE_STR) return err_set(e, ERR_INPUT, "it names no optimizer");
    if (!str_is(of->s, name)) return err_set(e, ERR_USAGE, "its optimizer is %.*s, not %s", STR_ARG(of->s), name);
    for (size_t i = 0; i < t->t.n_params && t->t.updates; i++) want += (size_t)t->t.params[i].rule->n_states;
    if (f->n != want) return err_set(e, ERR_INPUT, "it has %zu tensors, not %zu", f->n, want);
    for (size_t i = 0; i < t->t.n_params && t->t.updates; i++) TRY(read_state_tensors(t, f, &t->t.params[i], e));
    return true;
}

static bool read_evals(LlmwsTrain *t, const Value *meta, Err *e) {
    const Value *loss = value_get(meta, "best_loss");
    char text[40], *end;
    if (!loss) return true;
    if (loss->kind != VALUE_STR || !loss->s.n || loss->s.n >= sizeof text)
        return err_set(e, ERR_INPUT, "its best_loss cannot be read");
    memcpy(text, loss->s.s, loss->s.n);
    text[loss->s.n] = 0;
    t->best_loss = strtod(text, &end);
    if (*end) return err_set(e, ERR_INPUT, "best_loss is '%s', no number", text);
    return read_number(meta, "evaluated", &t->evaluated, e) && read_number(meta, "best", &t->best, e);
}

static bool read_state(LlmwsTrain *t, const TensorFile *f, int64_t *mark, Err *e) {
    Buf place = {0};
    int64_t steps = 0;
    const Value *format = value_get(&f->meta, "format");
    if (!format || format->kind != VALUE_STR || !str_is(format->s, state_format))
        return err_set(e, ERR_INPUT, "it is no '%s'", state_format);
    bool ok = read_number(&f->meta, "updates", &t->t.updates, e) && read_number(&f->meta, "steps", &steps, e) &&
              read_number(&f->meta, "mark", mark, e) && read_evals(t, &f->meta, e) && read_states(t, f, e) &&
              read_hex(value_get(&f->meta, "data"), &place, e) && dataset_restore(t->data, buf_view(&place), e);
    buf_release(&place);
    if (ok && steps != t->schedule.updates)
        ok = err_set(e, ERR_USAGE, "it is of a run of %lld steps, not %lld", (long long)steps,
                     (long long)t->schedule.updates);
    return ok;
}

/* The values of an adapter; weights are there with the model. */
static bool read_values(LlmwsTrain *t, const char *dir, Err *e) {
    Arena a = {0};
    TensorFile f = {0};
    bool ok = safetensors_open(store_join(&a, dir, ADAPTER_WEIGHTS), &f, e);
    for (size_t i = 0; ok && i < t->t.n_params; i++)
        ok = read_tensor(&f, t->t.params[i].name, &t->t.x.values[t->t.params[i].weight], e);
    if (f.close) f.close(&f);
    arena_release(&a);
    return ok;
}

bool llmws_train_load(LlmwsTrain *t, const char *dir, int64_t *mark, LlmwsErr *e) {
    Arena a = {0};
    TensorFile f = {0};
    bool ok = safetensors_open(store_join(&a, dir, state_name), &f, e);
    if (ok) {
        ok = (!t->t.spec.lora || read_values(t, dir, e)) && read_state(t, &f, mark, e);
        if (!ok) err_prefix(e, "cannot continue '%s'", dir);
        f.close(&f);
    }
    if (ok) buf_clear(&t->beside), buf_str(&t->beside, dir);
    arena_release(&a);
    return ok;
}
