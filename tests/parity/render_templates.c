/* Renders templates for check_templates.py: a JSON object {"template", "context"} on every line of stdin, on stdout a
 * line {"text", "spans", "answers"} or {"error"} for each. The clock stands at 2024-07-26 12:00 UTC. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/json.h"
#include "tokenizer/jinja.h"

static void put_spans(Buf *b, const char *name, const JinjaSpan *s, size_t n) {
    buf_printf(b, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) buf_printf(b, "%s[%zu,%zu,%d]", i ? "," : "", s[i].begin, s[i].end, s[i].trusted);
    buf_char(b, ']');
}

static bool render(const Value *job, Buf *b, Err *e) {
    const Value *source = value_get(job, "template"), *context = value_get(job, "context");
    JinjaOptions opt = {.now = 1721995200};
    JinjaVar *vars = mem_alloc(context->object.n, sizeof *vars);
    Buf *names = mem_alloc(context->object.n, sizeof *names);
    JinjaTemplate *t = NULL;
    JinjaResult r = {0};
    for (size_t i = 0; i < context->object.n; i++) {
        Str name = context->object.keys[i];
        buf_put(&names[i], name.s, name.n);
        vars[i] = (JinjaVar){names[i].s, &context->object.items[i], str_ends(name, "_token"), "role"};
    }
    bool ok = jinja_compile(source->s, &opt, &t, e) && jinja_render(t, vars, context->object.n, &opt, &r, e);
    if (ok) {
        buf_str(b, "{\"text\":");
        json_put_str(b, buf_view(&r.text));
        put_spans(b, "spans", r.spans, r.n_spans);
        put_spans(b, "answers", r.answers, r.n_answers);
        buf_char(b, '}');
    }
    jinja_result_release(&r);
    jinja_free(t);
    for (size_t i = 0; i < context->object.n; i++) buf_release(&names[i]);
    free(names);
    free(vars);
    return ok;
}

int main(void) {
    char *line = NULL;
    size_t cap = 0;
    Buf out = {0};
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        Arena a = {0};
        Value job;
        Err e = {0};
        buf_clear(&out);
        if (!json_parse((Str){line, (size_t)n}, "a job", &a, &job, &e) || !render(&job, &out, &e)) {
            buf_clear(&out);
            buf_str(&out, "{\"error\":");
            json_put_str(&out, str_of(e.msg));
            buf_char(&out, '}');
        }
        puts(out.s);
        fflush(stdout);
        arena_release(&a);
    }
    buf_release(&out);
    free(line);
    return 0;
}
