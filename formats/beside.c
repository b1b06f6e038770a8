#include "formats/beside.h"

#include <errno.h>
#include <sys/stat.h>

#include "core/sample.h"
#include "formats/json.h"
#include "formats/store.h"

const KeptFile kept_files[KEPT_FILES] = {{"generation_config.json", "llmws.generation"},
                                         {"tokenizer_config.json", "llmws.tokenizer_config"},
                                         {"special_tokens_map.json", "llmws.special_tokens_map"},
                                         {"tokenizer.json", "tokenizer.huggingface.json"}};

/* ---- small files ---- */

static bool write_text(const char *dir, const char *name, Str text, Err *e) {
    Arena a = {0};
    bool ok = write_text_file(store_join(&a, dir, name), text, e);
    arena_release(&a);
    return ok;
}

bool beside_json(const char *dir, const char *name, const Value *v, Err *e) {
    Buf text = {0};
    json_put_value(&text, v, 0);
    buf_char(&text, '\n');
    bool ok = write_text(dir, name, buf_view(&text), e);
    buf_release(&text);
    return ok;
}

static bool stands(const char *dir, const char *name) {
    Arena a = {0};
    bool there = path_exists(store_join(&a, dir, name));
    arena_release(&a);
    return there;
}

/* ---- tokenizers ---- */

static bool write_templates(const char *dir, const TokSpec *spec, Err *e) {
    Arena a = {0};
    const char *more = store_join(&a, dir, "additional_chat_templates");
    bool ok = true;
    for (int32_t i = 0; ok && i < spec->n_templates; i++) {
        const ChatText *t = &spec->templates[i];
        bool plain = strcmp(t->name, "default") == 0;
        if (!plain && (strchr(t->name, '/') || t->name[0] == '.'))
            ok = err_set(e, ERR_INPUT, "the chat template '%s' has a name that no file can have", t->name);
        else if (!plain && mkdir(more, 0777) != 0 && errno != EEXIST)
            ok = err_set(e, ERR_IO, "cannot make '%s': %s", more, strerror(errno));
        else
            ok = write_text(plain ? dir : more, plain ? "chat_template.jinja" : arena_printf(&a, "%s.jinja", t->name),
                            str_of(t->text), e);
    }
    arena_release(&a);
    return ok;
}

/* Templates stand in tokenizer_config.json, or in files of their own. */
static bool has_template(const char *dir) {
    Arena a = {0};
    Mapping m;
    Value v;
    bool has = stands(dir, "chat_template.jinja");
    if (!has && map_file(store_join(&a, dir, "tokenizer_config.json"), &m, NULL)) {
        has = json_parse((Str){m.bytes, m.n}, "tokenizer_config.json", &a, &v, NULL) &&
              value_get(&v, "chat_template") && value_get(&v, "chat_template")->kind != VALUE_NULL;
        unmap_file(&m);
    }
    arena_release(&a);
    return has;
}

bool beside_tokenizer(TokSpec *spec, int64_t ctx, const char *dir, Err *e) {
    Buf json = {0}, config = {0}, special = {0};
    hf_tok_config_write(spec, ctx, &config, &special);
    bool ok = stands(dir, "tokenizer.json") ||
              (hf_tok_write(spec, &json, e) && write_text(dir, "tokenizer.json", buf_view(&json), e));
    if (ok && !stands(dir, "tokenizer_config.json"))
        ok = write_text(dir, "tokenizer_config.json", buf_view(&config), e) &&
             (stands(dir, "special_tokens_map.json") ||
              write_text(dir, "special_tokens_map.json", buf_view(&special), e));
    if (ok && !has_template(dir)) ok = write_templates(dir, spec, e);
    buf_release(&json);
    buf_release(&config);
    buf_release(&special);
    return ok;
}

/* ---- from GGUF ---- */

static const Value *kept_text(const TensorFile *f, const char *key) {
    const Value *v = value_get(&f->meta, key);
    return v && v->kind == VALUE_STR && v->s.n ? v : NULL;
}

static bool write_generation(const TensorFile *f, const char *dir, Err *e) {
    static const char *const ids[][2] = {{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                         {"eos_token_id", "tokenizer.ggml.eos_token_id"},
                                         {"pad_token_id", "tokenizer.ggml.padding_token_id"}};
    static const char *const more[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    Arena a = {0};
    Value g = {.kind = VALUE_OBJECT}, ends = {.kind = VALUE_ARRAY, .array = {ARENA_NEW(&a, Value, 3), 0}};
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        const Value *v = value_get(&f->meta, ids[i][1]);
        if (v) value_put(&a, &g, str_of(ids[i][0]), *v);
    }
    if (value_get(&g, "eos_token_id")) ends.array.items[ends.array.n++] = *value_get(&g, "eos_token_id");
    for (size_t i = 0; i < COUNT_OF(more); i++) {
        const Value *v = value_get(&f->meta, more[i]);
        if (v && v->kind == VALUE_INT && ends.array.n && v->i != ends.array.items[0].i)
            ends.array.items[ends.array.n++] = *v;
    }
    if (ends.array.n > 1) value_put(&a, &g, STR("eos_token_id"), ends);
    size_t before = g.object.n;
    sample_defaults_convert(&f->meta, false, &a, &g);
    if (g.object.n > before) value_put(&a, &g, STR("do_sample"), value_bool(true));
    bool ok = !g.object.n || beside_json(dir, "generation_config.json", &g, e);
    arena_release(&a);
    return ok;
}

bool beside_gguf(const TensorFile *f, int64_t ctx, const char *dir, const Log *log, Err *e) {
    TokSpec spec;
    for (size_t i = 0; i < KEPT_FILES; i++) {
        const Value *text = kept_text(f, kept_files[i].key);
        if (text) TRY(write_text(dir, kept_files[i].file, text->s, e));
    }
    if (!stands(dir, "generation_config.json")) TRY(write_generation(f, dir, e));
    if (!value_get(&f->meta, "tokenizer.ggml.model")) {
        log_put(log, LOG_WARN, "'%s' has no tokenizer: the directory will have none either", f->path);
        return true;
    }
    TRY(gguf_tok_spec(f, &spec, e));
    bool ok = beside_tokenizer(&spec, ctx, dir, e) || err_prefix(e, "cannot write the tokenizer of '%s'", f->path);
    tok_spec_release(&spec);
    return ok;
}
