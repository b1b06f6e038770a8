/* What a run begins with: a model that there is, or a new one. */
#include <stdlib.h>

#include "cmd/training.h"
#include "formats/formats.h"
#include "formats/json.h"

static bool is_new(const TrainOpts *o) { return o->arch || o->config; }

bool base_resolve(Training *t, Err *e) {
    const TrainOpts *o = &t->o;
    const bool tokenizer = o->tokenizer, trained = o->train_tokenizer != OPT_UNSET;
    if (!is_new(o)) {
        if (tokenizer || trained)
            return err_set(e, ERR_USAGE, "--%s is for new models; give --arch FAMILY",
                           tokenizer ? "tokenizer" : "train-tokenizer");
        if (o->tie_embeddings && o->lora)
            return err_set(e, ERR_USAGE, "--tie-embeddings changes the model, which --lora leaves as it is; give one");
        return model_path(&o->run, &t->base, e);
    }
    if (o->run.model)
        return err_set(e, ERR_USAGE, "--model and --%s are both given; --arch and --config begin a new model",
                       o->arch ? "arch" : "config");
    if (tokenizer && trained)
        return err_set(e, ERR_USAGE, "--tokenizer and --train-tokenizer are both given; give one");
    if (!tokenizer && !trained && (t->data.n || !o->dry_run))
        return err_set(e, ERR_USAGE, "a new model needs --tokenizer DIR|FILE or --train-tokenizer VOCAB");
    if (o->lora)
        return err_set(e, ERR_USAGE, "--lora is an adapter of a model that there is; give -m MODEL, not --arch");
    t->base = arena_printf(&t->arena, "new %s", o->arch ? o->arch : "model");
    return true;
}

/* ---- settings ---- */

/* Up to a comma that stands outside of brackets and texts. */
static size_t pair_bytes(const char *s) {
    int depth = 0;
    bool text = false;
    size_t i = 0;
    for (; s[i] && (s[i] != ',' || depth > 0 || text); i++) {
        if (text && s[i] == '\\' && s[i + 1])
            i++;
        else if (s[i] == '"')
            text = !text;
        else if (!text)
            depth += (s[i] == '[' || s[i] == '{') - (s[i] == ']' || s[i] == '}');
    }
    return i;
}

/* A value that is no JSON is a text. */
static void put_value(Buf *json, Str value) {
    Arena a = {0};
    Value v;
    if (json_parse(value, "--config", &a, &v, NULL))
        buf_put(json, value.s, value.n);
    else
        json_put_str(json, value);
    arena_release(&a);
}

/* "a=1,b=[2,3]" -> {"a":1,"b":[2,3]} */
static bool pairs_to_json(const char *pairs, Buf *json, Err *e) {
    buf_char(json, '{');
    for (const char *at = pairs; *at;) {
        const size_t n = pair_bytes(at);
        const char *equals = memchr(at, '=', n);
        if (!equals || equals == at)
            return err_set(e, ERR_USAGE, "--config: '%.*s' must be KEY=VALUE, such as hidden_size=256",
                           (int)MIN(n, 100), at);
        if (at > pairs) buf_char(json, ',');
        json_put_str(json, (Str){at, (size_t)(equals - at)});
        buf_char(json, ':');
        put_value(json, (Str){equals + 1, n - (size_t)(equals - at) - 1});
        at += n + (at[n] == ',');
    }
    buf_char(json, '}');
    return true;
}

static bool read_config(const char *config, Buf *json, Err *e) {
    if (!config) return buf_str(json, "{}"), true;
    return strchr(config, '=') && !path_exists(config) ? pairs_to_json(config, json, e) : read_text(config, json, e);
}

/* ---- models ---- */

static LlmwsNewModel new_model(const Training *t, const char *config) {
    const TrainOpts *o = &t->o;
    return (LlmwsNewModel){.family = o->arch,
                           .config = config,
                           .tokenizer = o->tokenizer,
                           .train_tokenizer = o->train_tokenizer == OPT_UNSET ? 0 : o->train_tokenizer,
                           .data = t->data.items,
                           .n_data = t->data.n,
                           .ctx = o->seq_len,
                           .tied = o->tie_embeddings,
                           .seed = (uint64_t)o->seed};
}

static bool open_new(Training *t, Err *e) {
    Buf json = {0};
    if (read_config(t->o.config, &json, e)) {
        const LlmwsNewModel how = new_model(t, json.s);
        t->model = llmws_model_new(&how, &(LlmwsModelOptions){.log = ui_log, .log_ctx = &t->ui}, e);
    }
    buf_release(&json);
    return t->model != NULL;
}

static bool open_old(Training *t, Err *e) {
    TRY(model_open(t->base, &t->ui, &t->model, e));
    if (t->o.tie_embeddings && llmws_model_tie(t->model))
        ui_warn(&t->ui, "'%s' has a head of its own: it is dropped, and the embedding takes its place", t->base);
    return true;
}

bool base_open(Training *t, Err *e) { return is_new(&t->o) ? open_new(t, e) : open_old(t, e); }

bool base_write(Training *t, const char *dir, Err *e) {
    TRY(base_open(t, e));
    const LlmwsNewModel how = new_model(t, NULL); /* its settings are the model's by now */
    bool ok =
        train_plan_check(&t->ui, t->model, &t->how, e) &&
        (is_new(&t->o) ? llmws_model_create(t->model, &how, dir, e) : llmws_model_save_hf(t->model, dir, "f32", 0, e));
    llmws_model_close(t->model);
    t->model = NULL;
    return ok;
}
