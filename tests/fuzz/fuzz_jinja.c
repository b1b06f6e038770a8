/* Input up to the first NUL byte is a template, what follows is JSON for its variables. A template runs in a small
 * budget: it renders valid text whose spans cover it, or is refused with one line. */
#include <stdlib.h>

#include "formats/json.h"
#include "tokenizer/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool holds, const char *what) {
    if (!holds) BUG("%s", what);
}

static void check(const JinjaResult *r) {
    size_t at = 0;
    expect(utf8_valid(buf_view(&r->text)), "the text is not valid UTF-8");
    for (size_t i = 0; i < r->n_spans; i++) {
        expect(r->spans[i].begin == at && r->spans[i].end > at, "the spans do not follow each other");
        at = r->spans[i].end;
    }
    expect(at == r->text.n, "the spans do not cover the text");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char plain[] =
        "{\"s\": \"\xc3\xa9 b\", \"l\": [1, \"x\"], \"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}";
    const uint8_t *nul = n ? memchr(data, 0, n) : NULL;
    Str source = {(const char *)data, nul ? (size_t)(nul - data) : n};
    Str json = {nul ? (const char *)nul + 1 : NULL, nul ? n - source.n - 1 : 0};
    JinjaOptions opt = {.limits = {.steps = 200000, .bytes = 4 << 20}, .now = 1};
    JinjaTemplate *t = NULL;
    JinjaResult r;
    Arena a = {0};
    Value v;
    Err e = {0};
    if (!nul || !json_parse(json, "variables", &a, &v, &e) || v.kind != VALUE_OBJECT)
        expect(json_parse(STR(plain), "variables", &a, &v, &e), "the plain variables are refused");
    JinjaVar *vars = mem_alloc(v.object.n, sizeof *vars);
    for (size_t i = 0; i < v.object.n; i++) {
        Str name = v.object.keys[i];
        vars[i] = (JinjaVar){arena_strn(&a, name.s, name.n), &v.object.items[i], i % 2, "role"};
    }
    e = (Err){0};
    if (jinja_compile(source, &opt, &t, &e) && jinja_render(t, vars, v.object.n, &opt, &r, &e)) {
        check(&r);
        jinja_result_release(&r);
    } else {
        expect(e.code == ERR_INPUT && e.msg[0] && !strchr(e.msg, '\n'), "an error without a line");
    }
    jinja_free(t);
    free(vars);
    arena_release(&a);
    return 0;
}
