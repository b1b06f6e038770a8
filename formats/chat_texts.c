/* Chat templates as files hold them: one, or several by name. Source: get_chat_template and from_pretrained of
 * transformers.PreTrainedTokenizerBase; tokenizer.chat_template of ggml's docs/gguf.md. */
#include <dirent.h>
#include <errno.h>

#include "formats/formats.h"
#include "formats/hf_tok.h"

enum { MAX_TEMPLATES = 64 };

bool chat_texts_put(TokSpec *spec, Str name, Str text, Err *e) {
    if (memchr(text.s, 0, text.n) || !utf8_valid(text))
        return err_set(e, ERR_INPUT, "chat_template '%.*s' is not valid UTF-8 text", STR_ARG(name));
    if (!spec->templates) spec->templates = ARENA_NEW(&spec->arena, ChatText, MAX_TEMPLATES);
    if (spec->n_templates == MAX_TEMPLATES)
        return err_set(e, ERR_INPUT, "there are more than %d chat templates", MAX_TEMPLATES);
    ChatText *t = &spec->templates[spec->n_templates++];
    t->name = arena_strn(&spec->arena, name.s, name.n);
    t->text = arena_strn(&spec->arena, text.s, text.n);
    if (str_is(name, "default")) spec->chat_template = t->text;
    return true;
}

bool chat_texts_config(const Value *v, TokSpec *spec, Err *e) {
    Str name, text = {"", 0};
    if (!v || v->kind != VALUE_ARRAY) {
        TRY(value_as_str(v, "chat_template", &text, e));
        return !text.n || chat_texts_put(spec, STR("default"), text, e);
    }
    for (size_t i = 0; i < v->array.n; i++) {
        name = text = (Str){"", 0};
        TRY(value_as_str(value_get(&v->array.items[i], "name"), "chat_template.name", &name, e) &&
            value_as_str(value_get(&v->array.items[i], "template"), "chat_template.template", &text, e));
        TRY(chat_texts_put(spec, name, text, e));
    }
    return true;
}

bool chat_texts_gguf(const Value *meta, TokSpec *spec, Err *e) {
    static const char prefix[] = "tokenizer.chat_template";
    for (size_t i = 0; meta->kind == VALUE_OBJECT && i < meta->object.n; i++) {
        Str key = meta->object.keys[i], text = {"", 0};
        if (!str_starts(key, prefix)) continue;
        Str name = {key.s + sizeof prefix, key.n - sizeof prefix}; /* behind the dot */
        if (key.n == sizeof prefix - 1)
            name = STR("default");
        else if (key.s[sizeof prefix - 1] != '.')
            continue;
        TRY(value_as_str(&meta->object.items[i], prefix, &text, e));
        if (text.n) TRY(chat_texts_put(spec, name, text, e));
    }
    return true;
}

static bool put_file(const char *dir, const char *file, TokSpec *spec, Err *e) {
    Arena a = {0};
    Mapping m;
    Str name = {file, strlen(file) - strlen(".jinja")};
    bool ok = map_file(arena_printf(&a, "%s/%s", dir, file), &m, e);
    if (ok) {
        ok = chat_texts_put(spec, name, (Str){m.bytes ? m.bytes : "", m.n}, e);
        unmap_file(&m);
    }
    arena_release(&a);
    return ok;
}

bool chat_texts_dir(const char *dir, bool keep, TokSpec *spec, Err *e) {
    DIR *d = opendir(dir);
    bool ok = true;
    if (!d) return errno == ENOENT || err_set(e, ERR_INPUT, "cannot open '%s': %s", dir, strerror(errno));
    for (struct dirent *x; ok && (x = readdir(d));) {
        if (x->d_name[0] == '.' || !str_ends(str_of(x->d_name), ".jinja")) continue;
        if (!keep) { /* files replace what tokenizer_config.json holds */
            spec->n_templates = 0;
            spec->chat_template = NULL;
            keep = true;
        }
        ok = put_file(dir, x->d_name, spec, e);
    }
    closedir(d);
    return ok;
}
