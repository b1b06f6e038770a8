/* Schemas -> rules: references, alternatives, and the grammar as a whole. */
#include "formats/json_schema_parts.h"

#include <stdlib.h>

#include "formats/json.h"

bool schema_refuse(Maker *x, const char *keyword, const char *why) {
    Str p = buf_view(&x->path);
    return err_set(x->e, ERR_INPUT, "schema: '#%.*s%s%s': %s", (int)MIN(p.n, 200), p.s, *keyword ? "/" : "", keyword,
                   why);
}

/* ---- the pointer to where we are ---- */

size_t schema_enter(Maker *x, Str step) {
    size_t before = x->path.n;
    buf_char(&x->path, '/');
    for (size_t i = 0; i < step.n; i++)
        if (step.s[i] == '~' || step.s[i] == '/')
            buf_str(&x->path, step.s[i] == '~' ? "~0" : "~1");
        else
            buf_char(&x->path, step.s[i]);
    return before;
}

size_t schema_enter_item(Maker *x, const char *list, size_t i) {
    size_t before = schema_enter(x, str_of(list));
    buf_printf(&x->path, "/%zu", i);
    return before;
}

void schema_leave(Maker *x, size_t before) {
    x->path.n = before;
    if (x->path.s) x->path.s[before] = 0;
}

/* ---- rules ---- */

/* Appends `rN ::= body` and empties body; returns N. */
int schema_add_rule(Maker *x, Buf *body) {
    buf_printf(x->rules, "r%d ::= %s\n", x->n_rules, body->s ? body->s : "\"\"");
    buf_release(body);
    return x->n_rules++;
}

static void put_rule(Buf *out, int rule) { buf_printf(out, " r%d", rule); }

bool schema_rule(Maker *x, const Value *v, int *rule) {
    Buf body = {0};
    if (!schema_put(x, v, &body)) return buf_release(&body), false;
    *rule = schema_add_rule(x, &body);
    return true;
}

/* ---- references ---- */

/* The $ref of a schema that says nothing else. */
static const Value *only_ref(const Value *v) {
    const Value *ref = value_get(v, "$ref");
    for (size_t i = 0; ref && i < v->object.n; i++)
        if (!schema_is_annotation(v->object.keys[i]) && !str_is(v->object.keys[i], "$ref")) return NULL;
    return ref;
}

/* The number is given out before the rule is made, so that schemas may refer to themselves. */
static bool put_ref(Maker *x, const Value *ref, Buf *out) {
    const Value *target;
    Buf body = {0}, path = x->path;
    TRY(schema_resolve(x, ref, &target));
    for (size_t i = 0; i < x->n_refs; i++)
        if (x->refs[i].schema == target) return put_rule(out, x->refs[i].rule), true;
    int rule = x->n_rules++;
    x->refs = mem_grow(x->refs, x->n_refs + 1, sizeof *x->refs);
    x->refs[x->n_refs++] = (Ref){target, rule};
    x->path = (Buf){0};
    buf_put(&x->path, ref->s.s + 1, ref->s.n - 1);
    bool ok = schema_put(x, target, &body);
    if (ok) buf_printf(x->rules, "r%d ::= %s\n", rule, body.s);
    buf_release(&body);
    buf_release(&x->path);
    x->path = path;
    put_rule(out, rule);
    return ok;
}

/* ---- alternatives ---- */

static Facts copy_facts(const Facts *f) {
    Facts c = *f;
    c.props = mem_alloc(f->n_props, sizeof *c.props);
    if (f->n_props) memcpy(c.props, f->props, f->n_props * sizeof *c.props);
    c.kw[KW_anyOf] = c.kw[KW_oneOf] = NULL;
    return c;
}

/* The values that enum or const leave, as a list; NULL: any. */
static const Value *fixed_values(const Value *list, const Value *one, Value *room) {
    if (!one) return list && list->kind == VALUE_ARRAY ? list : NULL;
    *room = (Value){.kind = VALUE_ARRAY};
    room->array.items = (Value *)(uintptr_t)one;
    room->array.n = 1;
    return room;
}

static bool lists_apart(const Value *a, const Value *b) {
    Value x, y;
    size_t i = 0;
    while (a && b && value_next(a, &i, &x))
        for (size_t j = 0; value_next(b, &j, &y);)
            if (!schema_differ(&x, &y)) return false;
    return a && b;
}

/* No value can be both: their types differ, or their fixed values, or those of a member that both require. */
static bool facts_apart(const Facts *a, const Facts *b) {
    Value room[2];
    int ta = a->types | (a->nullable ? T_NULL : 0), tb = b->types | (b->nullable ? T_NULL : 0);
    if (a->never || b->never || !(ta & tb)) return true;
    if (!a->nullable && !b->nullable &&
        lists_apart(fixed_values(a->kw[KW_enum], a->kw[KW_const], &room[0]),
                    fixed_values(b->kw[KW_enum], b->kw[KW_const], &room[1])))
        return true;
    if (ta != T_OBJECT || tb != T_OBJECT) return false;
    for (size_t i = 0; i < a->n_props; i++)
        for (size_t j = 0; j < b->n_props; j++) {
            const Value *u = a->props[i].schema, *v = b->props[j].schema;
            if (!a->props[i].required || !b->props[j].required || !str_eq(a->props[i].name, b->props[j].name)) continue;
            if (u && v &&
                lists_apart(fixed_values(value_get(u, "enum"), value_get(u, "const"), &room[0]),
                            fixed_values(value_get(v, "enum"), value_get(v, "const"), &room[1])))
                return true;
        }
    return false;
}

static bool put_branches(Maker *x, const Value *list, Keyword kw, const Facts *base, Facts *branch, Buf *out) {
    for (size_t i = 0; i < list->array.n; i++) {
        const Value *v = &list->array.items[i];
        size_t before = schema_enter_item(x, schema_keywords[kw], i);
        int rule = -1;
        branch[i] = copy_facts(base);
        TRY(schema_gather(x, v, &branch[i]));
        if (base->any_fact && (branch[i].kw[KW_anyOf] || branch[i].kw[KW_oneOf]))
            return schema_refuse(x, "",
                                 "alternatives inside of alternatives that are joined with more are not supported");
        for (size_t k = 0; k < i && kw == KW_oneOf; k++)
            if (!facts_apart(&branch[k], &branch[i]))
                return schema_refuse(
                    x, "",
                    "nothing tells it apart from another branch of oneOf, so a value might be both; use "
                    "anyOf, or a member with a const that all branches require");
        if (!base->any_fact) {
            TRY(schema_rule(x, v, &rule)); /* by itself, so that it may refer to what holds it */
        } else {
            Buf b = {0};
            if (!schema_put_facts(x, &branch[i], &b)) return buf_release(&b), false;
            rule = schema_add_rule(x, &b);
        }
        buf_str(out, i ? " |" : "");
        put_rule(out, rule);
        schema_leave(x, before);
    }
    if (!list->array.n) buf_str(out, "never");
    return true;
}

static bool put_choice(Maker *x, const Facts *f, Buf *out) {
    Keyword kw = f->kw[KW_anyOf] ? KW_anyOf : KW_oneOf;
    const Value *list = f->kw[kw];
    Facts base = copy_facts(f);
    bool ok = list->kind == VALUE_ARRAY || schema_refuse(x, schema_keywords[kw], "must be a list of schemas");
    if (ok && f->kw[KW_anyOf] && f->kw[KW_oneOf]) ok = schema_refuse(x, "oneOf", "beside anyOf it is not supported");
    size_t n = ok ? list->array.n : 0;
    Facts *branch = mem_alloc(n, sizeof *branch);
    base.any_fact = base.n_props || base.types != T_ALL || base.nullable || base.never;
    for (int i = 0; i < KW_COUNT; i++) base.any_fact = base.any_fact || base.kw[i];
    ok = ok && put_branches(x, list, kw, &base, branch, out);
    for (size_t i = 0; i < n; i++) free(branch[i].props);
    free(branch);
    free(base.props);
    return ok;
}

bool schema_put(Maker *x, const Value *v, Buf *out) {
    Facts f = {.types = T_ALL};
    const Value *ref = v->kind == VALUE_OBJECT ? only_ref(v) : NULL;
    if (ref) return put_ref(x, ref, out);
    int depth = x->depth;
    bool ok = schema_gather(x, v, &f);
    x->depth++;
    if (ok && x->depth > SCHEMA_DEPTH_MAX) ok = schema_refuse(x, "", "schemas nested too deeply");
    ok = ok && (f.kw[KW_anyOf] || f.kw[KW_oneOf] ? put_choice(x, &f, out) : schema_put_facts(x, &f, out));
    x->depth = depth;
    free(f.props);
    return ok;
}

/* ---- all of it ---- */

void gbnf_literal(Buf *out, Str text) {
    buf_char(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.s[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20)
            buf_printf(out, "\\x%02X", c);
        else
            buf_char(out, (char)c);
    }
    buf_char(out, '"');
}

static const char common[] =
    "never ::= \"-\" never\n"
    "ws ::= (\" \" | \"\\n\" \" \"{0,16})?\n"
    "hex ::= [0-9a-fA-F]\n"
    "unit ::= [0-9a-cA-CefEF] hex{3} | [dD] ([0-7] hex{2} | [89abAB] hex{2} \"\\\\u\" [dD] [c-fC-F] hex{2})\n"
    "char ::= [^\\x00-\\x1F\\\"\\\\] | \"\\\\\" ([\\\"\\\\/bfnrt] | \"u\" unit)\n"
    "string ::= \"\\\"\" char* \"\\\"\"\n"
    "integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15})\n"
    "number ::= integer (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?\n"
    "boolean ::= \"true\" | \"false\"\n"
    "member ::= string \":\" \" \"? value\n"
    "object ::= \"{\" ws (member (\",\" ws member)* ws)? \"}\"\n"
    "array ::= \"[\" ws (value (\",\" ws value)* ws)? \"]\"\n"
    "value ::= object | array | string | number | boolean | \"null\"\n";

bool json_schema_to_gbnf(Str schema, const char *what, Buf *out, Err *e) {
    Arena arena = {0};
    Value root;
    Buf body = {0};
    Maker x = {.root = &root, .rules = out, .e = e};
    bool ok = json_parse(schema, what, &arena, &root, e);
    if (ok && !(ok = schema_put(&x, &root, &body))) err_prefix(e, "'%s'", what);
    if (ok) buf_printf(out, "root ::= %s\n%s", body.s, common);
    buf_release(&body);
    buf_release(&x.path);
    free(x.refs);
    arena_release(&arena);
    return ok;
}
