/* The Jinja interpreter: against what transformers' environment makes of the same templates
 * (data/templates/cases.jsonl, written by tests/parity/make_template_goldens.py), and on its own promises: provenance,
 * budget, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/formats.h"
#include "formats/json.h"
#include "tokenizer/jinja.h"

enum { MAX_VARS = 40 };

typedef struct Vars {
    JinjaVar v[MAX_VARS];
    size_t n;
    Arena arena;
} Vars;

static void vars_of(Vars *vars, const char *json) {
    Value v;
    Err e = {0};
    *vars = (Vars){0};
    if (!json_parse(str_of(json), "context", &vars->arena, &v, &e)) fail_msg("%s", e.msg);
    assert_true(v.object.n <= MAX_VARS);
    Value *kept = ARENA_NEW(&vars->arena, Value, 1);
    *kept = v;
    for (size_t i = 0; i < kept->object.n; i++) {
        Str name = kept->object.keys[i];
        vars->v[vars->n++] = (JinjaVar){arena_strn(&vars->arena, name.s, name.n), &kept->object.items[i],
                                        str_ends(name, "_token"), "role"};
    }
}

static bool run(const char *source, const Vars *vars, const JinjaOptions *opt, JinjaResult *out, Err *e) {
    JinjaTemplate *t = NULL;
    *out = (JinjaResult){0};
    bool ok = jinja_compile(str_of(source), opt, &t, e) && jinja_render(t, vars->v, vars->n, opt, out, e);
    jinja_free(t);
    return ok;
}

/* ---- goldens ---- */

static void check_answers(const Value *want, const JinjaResult *r) {
    assert_int_equal(value_count(want), r->n_answers);
    for (size_t i = 0; i < r->n_answers; i++) { /* code points there, bytes here */
        int64_t range[2] = {0, 0};
        for (size_t k = 0; k < r->answers[i].end; k++) {
            bool first = ((unsigned char)r->text.s[k] & 0xc0) != 0x80;
            range[0] += first && k < r->answers[i].begin;
            range[1] += first;
        }
        assert_int_equal(want->array.items[i].array.items[0].i, range[0]);
        assert_int_equal(want->array.items[i].array.items[1].i, range[1]);
    }
}

static void check_spans(const JinjaResult *r) {
    size_t at = 0;
    for (size_t i = 0; i < r->n_spans; i++) {
        assert_int_equal(r->spans[i].begin, at);
        assert_true(r->spans[i].end > at);
        assert_true(i == 0 || r->spans[i].trusted != r->spans[i - 1].trusted);
        at = r->spans[i].end;
    }
    assert_int_equal(at, r->text.n);
}

static void check_case(const Value *c, const Vars *vars) {
    const char *source = value_get(c, "t")->s.s;
    const Value *text = value_get(c, "x"), *reason = value_get(c, "r"), *answers = value_get(c, "a");
    JinjaOptions opt = {.now = 1721995200};
    JinjaResult r;
    Err e = {0};
    bool ok = run(source, vars, &opt, &r, &e);
    if (ok != !!text) fail_msg("%s\n  %s", source, ok ? r.text.s : e.msg);
    if (text && !str_eq(text->s, buf_view(&r.text))) fail_msg("%s\n  gave %s\n  not  %s", source, r.text.s, text->s.s);
    if (reason && !strstr(e.msg, reason->s.s)) fail_msg("%s\n  %s", source, e.msg);
    if (!ok) {
        assert_int_equal(e.code, ERR_INPUT);
        assert_non_null(strstr(e.msg, "chat template: line "));
        assert_null(strchr(e.msg, '\n'));
    }
    if (answers) check_answers(answers, &r);
    check_spans(&r);
    jinja_result_release(&r);
}

static void goldens(void **state) {
    (void)state;
    Mapping m;
    Err e = {0};
    Vars vars = {0};
    size_t n = 0;
    if (!map_file(TEST_DATA "/templates/cases.jsonl", &m, &e)) fail_msg("%s", e.msg);
    for (const char *at = m.bytes, *end = at + m.n; at < end; n++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(newline);
        Arena a = {0};
        Value line;
        if (!json_parse((Str){at, (size_t)(newline - at)}, "case", &a, &line, &e)) fail_msg("%s", e.msg);
        if (n == 0) {
            Buf context = {0};
            json_put_value(&context, value_get(&line, "context"), -1);
            vars_of(&vars, context.s);
            buf_release(&context);
        } else {
            check_case(&line, &vars);
        }
        arena_release(&a);
        at = newline + 1;
    }
    assert_true(n > 800);
    arena_release(&vars.arena);
    unmap_file(&m);
}

/* ---- provenance ---- */

/* The text with what is the caller's in <...>. */
static void marked(const char *source, const char *context, const char *want) {
    JinjaResult r;
    Vars vars;
    Err e = {0};
    Buf got = {0};
    vars_of(&vars, context);
    if (!run(source, &vars, NULL, &r, &e)) fail_msg("%s: %s", source, e.msg);
    check_spans(&r);
    for (size_t i = 0; i < r.n_spans; i++) {
        if (!r.spans[i].trusted) buf_char(&got, '<');
        buf_put(&got, r.text.s + r.spans[i].begin, r.spans[i].end - r.spans[i].begin);
        if (!r.spans[i].trusted) buf_char(&got, '>');
    }
    buf_char(&got, 0);
    assert_string_equal(got.s, want);
    buf_release(&got);
    jinja_result_release(&r);
    arena_release(&vars.arena);
}

static void provenance(void **state) {
    (void)state;
    static const char context[] =
        "{\"s\": \"ab c\", \"bos_token\": \"BOS\", \"n\": 12, \"l\": [\"x\", \"y\"], \"d\": {\"k\": \"v\"},"
        "\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"us er|\"}]}";
    static const struct {
        const char *source, *want;
    } cases[] = {
        {"a{{ s }}b", "a<ab c>b"},
        {"{{ bos_token }}{{ bos_token[1:] }}{{ n }}", "BOSOS12"},
        {"{{ ('[' ~ s ~ ']')[1:4] }}", "<ab >"},
        {"{{ ('[' + s + ']') | upper }}", "[<AB C>]"},
        {"{{ ('[' + s + ']') | reverse }}", "]<c ba>["},
        {"{{ s | replace('b', 'X') }}", "<a>X< c>"},
        {"{{ 'aXc' | replace('X', s) }}", "a<ab c>c"},
        {"{{ s | trim }}{{ s.split() | join('-') }}", "<ab cab>-<c>"},
        {"{{ l | join(', ') }}", "<x>, <y>"},
        {"{{ '%s|%5s' % (s, s[0]) }}", "<ab c>|    <a>"},
        {"{{ '{}={:>3}'.format(s, l[0]) }}", "<ab c>=  <x>"},
        {"{{ d | tojson }}", "{\"<k>\": \"<v>\"}"},
        {"{{ d }}{{ [s] }}", "{'<k>': '<v>'}['<ab c>']"},
        {"{{ s | title }}{{ s | capitalize }}{{ s | center(6, ) }}", "<Ab CAb c> <ab c> "},
        {"{{ s | indent(2, true) }}{{ s | truncate(3, true, '.', 0) }}", "  <ab cab>."},
        {"{{ (s ~ '&') | e }}", "<ab c>&amp;"},
        {"{% set x %}[{{ s }}]{% endset %}{{ x }}{{ x[0] }}", "[<ab c>]["},
        {"{% macro m(a) %}({{ a }}){% endmacro %}{{ m(s) }}{{ m('t') }}", "(<ab c>)(t)"},
        {"{% for c in s ~ 'z' %}{{ c }}{% endfor %}", "<ab c>z"},
        {"{{ messages[0].role }}{{ messages[1].role }}{{ messages[0].content }}", "user<us er|hi>"},
        {"{{ '<|' + messages[0]['role'] + '|>' }}", "<|user|>"},
        {"{{ s ~ s | length }}{{ s | urlencode }}{{ s | int }}", "<ab c>4<ab%20c>0"},
        {"{{ dict(k=s).k }}{{ namespace(q=s).q }}{{ (s, 1)[0] }}{{ s or 'x' }}", "<ab cab cab cab c>"},
        {"{{ s.partition(' ')[1] }}{{ s * 2 }}{{ s.upper().lower().zfill(6) }}", "< ab cab c>00<ab c>"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) marked(cases[i].source, context, cases[i].want);
}

/* ---- budget ---- */

static void refused(const char *source, const char *part) {
    JinjaResult r;
    Vars vars;
    Err e = {0};
    vars_of(&vars, "{\"s\": \"ab\", \"nil\": null}");
    if (run(source, &vars, NULL, &r, &e)) fail_msg("%.60s: rendered", source);
    if (!strstr(e.msg, part)) fail_msg("%.60s: '%s' has no '%s'", source, e.msg, part);
    assert_int_equal(e.code, ERR_INPUT);
    arena_release(&vars.arena);
}

static void nested(const char *open, const char *inner, const char *close) {
    Buf b = {0};
    if (*open != '{') buf_str(&b, "{{ ");
    for (int i = 0; i < 20000; i++) buf_str(&b, open);
    buf_str(&b, inner);
    for (int i = 0; i < 20000; i++) buf_str(&b, close);
    if (*open != '{') buf_str(&b, " }}");
    refused(b.s, "nested too deeply");
    buf_release(&b);
}

static void budget(void **state) {
    (void)state;
#define LOOP4 "{% for a in r %}{% for b in r %}{% for c in r %}{% for d in r %}"
#define END4  "{% endfor %}{% endfor %}{% endfor %}{% endfor %}"
    int64_t before = now_ns();
    refused("{% set r = range(1000) %}" LOOP4 END4, "too many steps");
    refused("{% set r = range(1000) %}" LOOP4 "{{ s }}" END4, "too many steps");
    refused("{{ 'x' * 10**9 }}", "memory");
    refused("{{ [0] * 10**9 }}", "memory");
    refused("{{ 'x'.center(10**9) }}", "memory");
    refused("{{ '%1000000000s' % 1 }}", "memory");
    refused("{{ '%*s' % (10**9, 1) }}", "memory");
    refused("{{ '%.1000000000f' % 1 }}", "precision");
    refused("{{ '{:1000000000}'.format(1) }}", "memory");
    refused("{{ 'a\\nb' | indent(10**9) }}", "memory");
    refused("{{ [1] | tojson(indent=10**9) }}", "memory");
    refused("{{ '1'.zfill(10**9) }}", "memory");
    refused("{% set ns = namespace(t='x') %}{% for i in range(100) %}{% set ns.t = ns.t + ns.t %}{% endfor %}",
            "memory");
    refused(
        "{% set ns = namespace(t=[1]) %}{% for i in range(100) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t }}",
        "");
    refused("{{ ('ab' * 1000000).replace('', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') }}", "m");
    refused("{{ 10**10 }}{{ 10**19 }}", "64 bits");
    refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested too deeply");
    refused("{% for x in [[[1]]] recursive %}{{ loop([[1]]) }}{% endfor %}", "nested too deeply");
    nested("(", "1", ")");
    nested("[", "1", "");
    nested("{% if 1 %}", "x", "{% endif %}");
    nested(" not ", "1", "");
    nested("-", "1", "");
    refused("{{ s.__class__.__mro__ }}", "has no '__class__'");
    assert_true(now_ns() - before < 60000000000); /* each alone is far below a second; a machine may be busy */
}

/* A text that is put together piece by piece costs what its length is, not its square. */
static void collecting(void **state) {
    (void)state;
    JinjaResult r;
    Vars vars;
    Err e = {0};
    vars_of(&vars, "{\"s\": \"0123456789012345678901234567890123456789\"}");
    static const char source[] =
        "{% set ns = namespace(t='') %}{% for i in range(50000) %}{% set ns.t = ns.t + s %}{% endfor "
        "%}{{ ns.t }}";
    if (!run(source, &vars, NULL, &r, &e)) fail_msg("%s", e.msg);
    assert_int_equal(r.text.n, 2000000);
    assert_int_equal(r.n_spans, 1);
    assert_false(r.spans[0].trusted);
    jinja_result_release(&r);
    arena_release(&vars.arena);
}

/* Texts that share a tail stay what they were when one of them grows. */
static void shared_tails(void **state) {
    (void)state;
    marked("{% set a = 'x' ~ s %}{% set b = a ~ '1' %}{% set c = a ~ '2' %}{{ a }}|{{ b }}|{{ c }}|{{ a ~ a }}",
           "{\"s\": \"q\"}", "x<q>|x<q>1|x<q>2|x<q>x<q>");
}

/* ---- errors ---- */

static void errors(void **state) {
    (void)state;
    refused("a\n b{{ nosuch.x }}", "cannot render the chat template: line 2, column 12: 'nosuch' is undefined");
    refused("\xc3\xa9{{ 1 + }}",
            "cannot compile the chat template: line 1, column 9: an expression is expected, not the end "
            "of the tag");
    refused("{% if 1 %}\n{% endfor %}", "line 2, column 4: no tag 'endfor' can stand here");
    refused("{% if 1 %}", "line 1, column 11: 'endif' expected, not the end of the template");
    refused("{{ s | nosuch }}", "line 1, column 8: no filter named 'nosuch'");
    refused("{{ s.append }}{{ raise_exception('it is\nso') }}", "the template refuses this conversation: it is");
    refused("{{ 'a'.nosuch() }}", "a 'str' has no 'nosuch'");
    refused("{{ [].append(1) }}", "'append' would change a value, which is not allowed");
    refused("{{ s | urlize }}", "'urlize' is not supported");
    refused("{% include 'x' %}", "the tag 'include' is not supported");
    refused("\xff", "not valid UTF-8");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens),    cmocka_unit_test(provenance),   cmocka_unit_test(budget),
        cmocka_unit_test(collecting), cmocka_unit_test(shared_tails), cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
