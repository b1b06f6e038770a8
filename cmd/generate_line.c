#include "cmd/generate_line.h"

#include <stdlib.h>

#include "formats/json.h"

#define AT(field) .at = offsetof(LineOpts, field)

/* What a line has beside the options of answers. */
static const OptRow line_rows[] = {
    {.name = "prompt", .kind = OPT_TEXT, AT(prompt)},
    {.name = "id"},
    {.name = "messages"},
    {.name = "tools"},
    {.name = "ids"},
};
static const OptTable opts_line = {"Line", line_rows, COUNT_OF(line_rows)};
static const OptTable *const keys[] = {&opts_line, &opts_answer, &opts_sampling, NULL};
static const OptTable *const options[] = {&opts_answer, &opts_sampling, NULL};

static bool wrong_type(const char *name, const char *want, Err *e) {
    return err_set(e, ERR_INPUT, "key '%s' must be %s", name, want);
}

/* ---- keys that are no options ---- */

static bool take_id(LineOpts *o, const Value *v, Err *e) {
    if (v->kind != VALUE_STR && v->kind != VALUE_INT && v->kind != VALUE_FLOAT)
        return wrong_type("id", "a string or a number", e);
    o->id = v;
    return true;
}

/* True: the key was one of these. */
static bool take_list(LineOpts *o, const char *name, const Value *v, bool *ok, Err *e) {
    const Value **into = strcmp(name, "messages") == 0 ? &o->messages
                         : strcmp(name, "tools") == 0  ? &o->tools
                         : strcmp(name, "ids") == 0    ? &o->ids
                                                       : NULL;
    if (!into) return false;
    *ok = v->kind == VALUE_ARRAY || wrong_type(name, "a list", e);
    *into = v;
    return true;
}

/* ---- options ---- */

/* One value as the command line would spell it; NULL: of the wrong type. */
static const char *spelled(OptKind kind, const Value *v, Arena *a) {
    bool number = kind == OPT_INT || kind == OPT_FLOAT || kind == OPT_LIST;
    Buf b = {0};
    if (v->kind == VALUE_STR && kind != OPT_INT && kind != OPT_FLOAT) return arena_strn(a, v->s.s, v->s.n);
    if (!number || (v->kind != VALUE_INT && (v->kind != VALUE_FLOAT || kind == OPT_INT))) return NULL;
    json_put_value(&b, v, -1);
    const char *text = arena_strn(a, b.s, b.n);
    buf_release(&b);
    return text;
}

static bool set_option(LineOpts *o, const OptRow *r, const char *text, Arena *a, Err *e) {
    OptList rest;
    char *word = text ? arena_printf(a, "--%s=%s", r->name, text) : arena_printf(a, "--%s", r->name);
    bool ok = opt_parse(options, (char *[]){word, NULL}, o, &rest, e);
    free(rest.items);
    return ok;
}

/* A text or a list of texts; where they are of the form ID=V, as in logit-bias, an object of such members too. Replaces
 * what the command line gave. */
static bool set_list(LineOpts *o, const OptRow *r, const Value *v, Arena *a, Err *e) {
    const bool pairs = strchr(r->arg, '=') != NULL;
    const char *want = pairs ? "a string, a list of strings or an object" : "a string or a list of strings";
    bool object = v->kind == VALUE_OBJECT, one = v->kind == VALUE_STR;
    size_t n = object ? v->object.n : one ? 1 : v->array.n;
    if (!(object && pairs) && !one && v->kind != VALUE_ARRAY) return wrong_type(r->name, want, e);
    TRY(opt_reset(options, r->name, o, e));
    for (size_t i = 0; i < n; i++) {
        const Value *item = object ? &v->object.items[i] : one ? v : &v->array.items[i];
        const char *text = object || item->kind == VALUE_STR ? spelled(OPT_LIST, item, a) : NULL;
        if (!text) return wrong_type(r->name, want, e);
        if (object) text = arena_printf(a, "%.*s=%s", STR_ARG(v->object.keys[i]), text);
        TRY(set_option(o, r, text, a, e));
    }
    return true;
}

/* A line names no files: a grammar and a schema stand in it themselves. */
static bool set_bound(LineOpts *o, const OptRow *r, const Value *v, Arena *a, Err *e) {
    bool schema = strcmp(r->name, "json-schema") == 0;
    Buf b = {0};
    if (v->kind != (schema ? VALUE_OBJECT : VALUE_STR))
        return wrong_type(r->name, schema ? "the schema itself, an object" : "the grammar itself, a string", e);
    if (schema)
        json_put_value(&b, v, -1);
    else
        buf_put(&b, v->s.s, v->s.n);
    const char *text = arena_strn(a, b.s ? b.s : "", b.n);
    buf_release(&b);
    if (!schema && !strstr(text, "::="))
        return err_set(e, ERR_INPUT, "key '%s': the grammar has no rule 'root ::= ...'", r->name);
    o->answer.sample.grammar = o->answer.sample.schema = NULL; /* the line's own in place of the command line's */
    return set_option(o, r, text, a, e);
}

static bool take_option(LineOpts *o, const OptRow *r, const Value *v, Arena *a, Err *e) {
    static const char *const wants[] = {
        [OPT_FLAG] = "true or false", [OPT_INT] = "a whole number", [OPT_FLOAT] = "a number",
        [OPT_TEXT] = "a string",      [OPT_ENUM] = "a string",      [OPT_LIST] = ""};
    if (r->kind == OPT_LIST) return set_list(o, r, v, a, e);
    if (strcmp(r->name, "json-schema") == 0 || strcmp(r->name, "grammar") == 0) return set_bound(o, r, v, a, e);
    if (r->kind == OPT_FLAG) {
        if (v->kind != VALUE_BOOL) return wrong_type(r->name, wants[OPT_FLAG], e);
        return v->b ? set_option(o, r, NULL, a, e) : opt_reset(options, r->name, o, e);
    }
    const char *text = spelled(r->kind, v, a);
    if (!text) return wrong_type(r->name, wants[r->kind], e);
    if (strcmp(r->name, "system") == 0) o->system = true;
    if (strcmp(r->name, "prompt") == 0) return o->prompt = text, true;
    return set_option(o, r, text, a, e);
}

/* ---- the line ---- */

static bool take_key(LineOpts *o, Str key, const Value *v, Arena *a, Err *e) {
    bool ok = true;
    const OptRow *r = opt_find(keys, key, "key '", e);
    if (!r) return false;
    if (v->kind == VALUE_NULL || strcmp(r->name, "id") == 0) return true;
    if (take_list(o, r->name, v, &ok, e)) return ok;
    return take_option(o, r, v, a, e);
}

static bool check(const LineOpts *o, Err *e) {
    int n = (o->prompt != NULL) + (o->messages != NULL) + (o->ids != NULL);
    if (n != 1)
        return err_set(e, ERR_INPUT,
                       n ? "two of 'prompt', 'messages' and 'ids' are given; a prompt is one of them"
                         : "no prompt: a line has one of 'prompt', 'messages' and 'ids'");
    if (o->tools && !o->messages) return err_set(e, ERR_INPUT, "key 'tools' goes with 'messages'");
    return true;
}

bool line_opts_read(LineOpts *out, const AnswerOpts *over, Str json, Arena *a, Err *e) {
    Value doc;
    *out = (LineOpts){.answer = *over};
    opt_own_lists(options, out);
    TRY(json_parse(json, "the line", a, &doc, e));
    if (doc.kind != VALUE_OBJECT) return err_set(e, ERR_INPUT, "not an object");
    for (size_t i = 0; i < doc.object.n; i++)
        if (str_is(doc.object.keys[i], "id") && doc.object.items[i].kind != VALUE_NULL)
            TRY(take_id(out, &doc.object.items[i], e));
    for (size_t i = 0; i < doc.object.n; i++) TRY(take_key(out, doc.object.keys[i], &doc.object.items[i], a, e));
    return check(out, e);
}

void line_opts_release(LineOpts *o) { opt_release(options, o); }
