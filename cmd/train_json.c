/* run.json: what a run is. */
#include <sys/utsname.h>
#include <unistd.h>

#include "cmd/json_out.h"
#include "cmd/training.h"
#include "formats/formats.h"
#include "formats/json.h"
#include "formats/store.h"

static void put_machine(Buf *b) {
    struct utsname u;
    json_key(b, "machine");
    buf_char(b, '{');
    if (uname(&u) == 0) {
        json_str(b, "system", str_of(u.sysname));
        json_str(b, "release", str_of(u.release));
        json_str(b, "cpu", str_of(u.machine));
    }
    buf_char(b, '}');
}

/* What paths of run.json are relative to. */
static void put_folder(Buf *b) {
    char folder[4096];
    if (getcwd(folder, sizeof folder)) json_str(b, "folder", str_of(folder));
}

static bool put_files(Training *t, Buf *b, Err *e) {
    json_key(b, "files");
    buf_char(b, '[');
    LlmwsTrainFile f;
    for (size_t i = 0;; i++) {
        TRY(llmws_train_file(t->train, i, &f, e));
        if (!f.path) break;
        if (i) buf_char(b, ',');
        buf_char(b, '{');
        json_str(b, "path", str_of(f.path));
        json_int(b, "bytes", f.bytes);
        json_str(b, "sha256", str_of(f.sha256));
        buf_char(b, '}');
    }
    buf_char(b, ']');
    return true;
}

bool run_json_write(Training *t, Err *e) {
    Buf b = {0};
    buf_char(&b, '{');
    json_str(&b, "llmws", str_of(llmws_version()));
    put_folder(&b);
    json_str(&b, "model", str_of(t->base));
    if (t->how.lora.rank) json_str(&b, "fingerprint", str_of(t->print));
    json_key(&b, "data");
    buf_char(&b, '[');
    for (size_t i = 0; i < t->data.n; i++) {
        if (i) buf_char(&b, ',');
        json_put_str(&b, str_of(t->data.items[i]));
    }
    buf_char(&b, ']');
    json_key(&b, "options");
    buf_char(&b, '{');
    if (t->o.steps == OPT_UNSET) t->o.epochs = t->how.epochs; /* what the steps come of */
    t->o.steps = llmws_train_steps(t->train);
    train_opts_put(&t->o, &b);
    buf_char(&b, '}');
    bool ok = put_files(t, &b, e);
    json_str(&b, "isa", str_of(t->plan.isa));
    json_int(&b, "threads", t->plan.threads);
    put_machine(&b);
    buf_str(&b, "}\n");
    ok = ok && write_text_file(t->run.json, buf_view(&b), e);
    buf_release(&b);
    return ok;
}

static bool same_data(const Training *t, const Value *stored) {
    bool same = stored->array.n == t->data.n;
    for (size_t i = 0; same && i < t->data.n; i++)
        same = stored->array.items[i].kind == VALUE_STR && str_is(stored->array.items[i].s, t->data.items[i]);
    return same;
}

/* A path of run.json, seen from where the run began if there is nothing of that name here. */
static const char *path_of(Training *t, const Value *v, Str path) {
    const Value *folder = value_get(v, "folder");
    const char *here = arena_strn(&t->arena, path.s, path.n);
    if (!folder || folder->kind != VALUE_STR || model_exists(here) || here[0] == '/') return here;
    const char *there = store_join(&t->arena, arena_strn(&t->arena, folder->s.s, folder->s.n), here);
    return path_exists(there) ? there : here;
}

/* The model, which with an adapter is needed on: it may have moved, then its fingerprint tells whether it is that one.
 */
static bool read_base(Training *t, const Value *v, const Value *model, Err *e) {
    Str print = {"", 0};
    TRY(value_as_str(value_get(v, "fingerprint"), "fingerprint", &print, e));
    if (print.n >= sizeof t->print || (t->o.lora && !print.n))
        return err_set(e, ERR_INPUT, "cannot use '%s': fingerprint", t->run.json);
    memcpy(t->print, print.s, print.n);
    t->base = t->o.lora && t->o.run.model ? t->o.run.model : path_of(t, v, model->s);
    if (t->o.run.model && !t->o.lora && strcmp(t->base, t->o.run.model))
        return err_set(e, ERR_USAGE, "--model: the run '%s' began with '%s'; leave it out with --resume", t->o.out,
                       t->base);
    return true;
}

static bool read_data(Training *t, const Value *v, const Value *data, Err *e) {
    if (t->data.n && !same_data(t, data))
        return err_set(e, ERR_USAGE, "the run '%s' began with other data; leave them out with --resume", t->o.out);
    t->data = (OptList){ARENA_NEW(&t->arena, const char *, data->array.n), data->array.n};
    for (size_t i = 0; i < data->array.n; i++) {
        Value item = value_item(data, i);
        if (item.kind != VALUE_STR) return err_set(e, ERR_INPUT, "cannot use '%s': data", t->run.json);
        t->data.items[i] = path_of(t, v, item.s);
    }
    return true;
}

/* Keeps what was changed, for the next time. */
static bool keep_options(Training *t, Value *v, Err *e) {
    Buf now = {0};
    Value options;
    buf_char(&now, '{');
    train_opts_put(&t->o, &now);
    buf_char(&now, '}');
    bool ok = json_parse(buf_view(&now), t->run.json, &t->arena, &options, e);
    if (ok && !json_same(value_get(v, "options"), &options)) {
        value_put(&t->arena, v, STR("options"), options);
        buf_clear(&now);
        json_put_value(&now, v, -1);
        buf_char(&now, '\n');
        ok = write_text_file(t->run.json, buf_view(&now), e);
    }
    buf_release(&now);
    return ok;
}

bool run_json_read(Training *t, Err *e) {
    Buf text = {0};
    Value v;
    bool ok = read_text(t->run.json, &text, e) && json_parse(buf_view(&text), t->run.json, &t->arena, &v, e);
    buf_release(&text);
    if (!ok) return false;
    const Value *model = value_get(&v, "model"), *data = value_get(&v, "data"), *options = value_get(&v, "options"),
                *isa = value_get(&v, "isa");
    if (!model || model->kind != VALUE_STR || !data || data->kind != VALUE_ARRAY || !options ||
        options->kind != VALUE_OBJECT || !isa || isa->kind != VALUE_STR)
        return err_set(e, ERR_INPUT, "cannot use '%s': it is no run's description", t->run.json);
    return train_opts_resolve(&t->o, options, &t->arena, e) && read_base(t, &v, model, e) &&
           read_data(t, &v, data, e) && keep_options(t, &v, e) &&
           (!t->o.eval || (t->o.eval = path_of(t, &v, str_of(t->o.eval)), true));
}
