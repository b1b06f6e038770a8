/* Checkpoints of trainings, and the texts of their data. trainer_state is a safetensors file of the optimiser's moments
 * (none before the first update); its metadata are the counters and the place in the data. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/llmws_save.h"
#include "core/llmws_train.h"
#include "formats/dirs.h"
#include "formats/store.h"
#include "tokenizer/chat_answers.h"

static const char state_name[] = "trainer_state", state_format[] = "llmws trainer state 1";

/* ---- texts ---- */

static bool encode(void *ctx, Str text, bool begin, IdList *out, Err *e) {
    LlmwsTrain *t = ctx;
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

static bool chat(void *ctx, const Value *messages, const Value *tools, IdList *out, IdRanges *answers, Err *e) {
    return chat_answers(((LlmwsTrain *)ctx)->m->tok->tok, messages, tools, out, answers, e);
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
    size_t n;
    const DataFile *files = dataset_files(t->data, &n);
    *out = (LlmwsTrainFile){0};
    if (i >= n) return true;
    out->path = files[i].path;
    out->bytes = files[i].bytes;
    return dataset_sha256(t->data, i, out->sha256, e);
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

static bool write_state(const LlmwsTrain *t, const char *dir, int64_t mark, Err *e) {
    static const char *const suffix[] = {"exp_avg", "exp_avg_sq"};
    Arena a = {0};
    Buf place = {0}, hex = {0};
    Value meta = {.kind = VALUE_OBJECT};
    OutTensor *out = mem_alloc(t->t.n_params * 2 + 1, sizeof *out);
    size_t n = 0;
    for (size_t i = 0; i < t->t.n_params * 2 && t->t.updates; i++) {
        const TrainParam *p = &t->t.params[i / 2];
        const Tensor *x = &t->t.x.values[p->state[i % 2]];
        out[n] = (OutTensor){.name = arena_printf(&a, "%s.%s", p->name, suffix[i % 2]),
                             .dtype = DT_f32,
                             .ndim = x->ndim,
                             .data = x->data};
        memcpy(out[n++].ne, x->ne, sizeof x->ne);
    }
    dataset_save(t->data, &place);
    put_hex(&hex, &place);
    value_put(&a, &meta, STR("format"), value_str(str_of(state_format)));
    put_number(&a, &meta, "updates", t->t.updates);
    put_number(&a, &meta, "steps", t->schedule.updates);
    put_number(&a, &meta, "mark", mark);
    value_put(&a, &meta, STR("data"), value_str(buf_view(&hex)));
    value_put(&a, &meta, STR("isa"), value_str(str_of(t->b->isa)));
    bool ok = safetensors_write(store_join(&a, dir, state_name), &meta, out, n, e);
    free(out);
    buf_release(&place);
    buf_release(&hex);
    arena_release(&a);
    return ok;
}

bool llmws_train_save(LlmwsTrain *t, const char *dir, int64_t mark, LlmwsErr *e) {
    const Dtype f32 = DT_f32;
    Arena a = {0};
    const char *stage = NULL;
    Model m = trained_model(t, &a);
    SaveSpec s = {.dtype = &f32, .beside = t->beside.n ? t->beside.s : t->m->m.file.path};
    bool ok = dir_begin(dir, &a, &stage, e);
    if (ok && !(model_write_hf(&m, stage, &s, e) && write_state(t, stage, mark, e) && dir_commit(stage, dir, e))) {
        dir_remove(stage);
        ok = false;
    }
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

static bool read_moments(LlmwsTrain *t, const TensorFile *f, Err *e) {
    static const char *const suffix[] = {"exp_avg", "exp_avg_sq"};
    if (f->n != (t->t.updates ? t->t.n_params * 2 : 0)) return err_set(e, ERR_INPUT, "it has %zu tensors", f->n);
    for (size_t i = 0; i < f->n; i++) {
        const TrainParam *p = &t->t.params[i / 2];
        Tensor *x = &t->t.x.values[p->state[i % 2]];
        char name[512];
        snprintf(name, sizeof name, "%s.%s", p->name, suffix[i % 2]);
        const NamedTensor *from = tensor_file_find(f, str_of(name));
        if (!from || from->t.dtype != DT_f32 || tensor_count(&from->t) != tensor_count(x))
            return err_set(e, ERR_INPUT, "tensor '%s' is missing or of another shape", name);
        memcpy(x->data, from->t.data, (size_t)tensor_count(x) * sizeof(float));
    }
    return true;
}

static bool read_state(LlmwsTrain *t, const TensorFile *f, int64_t *mark, Err *e) {
    Buf place = {0};
    int64_t steps = 0;
    const Value *format = value_get(&f->meta, "format");
    if (!format || format->kind != VALUE_STR || !str_is(format->s, state_format))
        return err_set(e, ERR_INPUT, "it is no '%s'", state_format);
    bool ok = read_number(&f->meta, "updates", &t->t.updates, e) && read_number(&f->meta, "steps", &steps, e) &&
              read_number(&f->meta, "mark", mark, e) && read_moments(t, f, e) &&
              read_hex(value_get(&f->meta, "data"), &place, e) && dataset_restore(t->data, buf_view(&place), e);
    buf_release(&place);
    if (ok && steps != t->schedule.updates)
        ok = err_set(e, ERR_USAGE, "it is of a run of %lld steps, not %lld", (long long)steps,
                     (long long)t->schedule.updates);
    return ok;
}

bool llmws_train_load(LlmwsTrain *t, const char *dir, int64_t *mark, LlmwsErr *e) {
    Arena a = {0};
    TensorFile f = {0};
    const char *path = store_join(&a, dir, state_name);
    bool ok = safetensors_open(path, &f, e);
    if (ok) {
        ok = read_state(t, &f, mark, e) || err_prefix(e, "cannot continue '%s'", path);
        f.close(&f);
    }
    arena_release(&a);
    return ok;
}
