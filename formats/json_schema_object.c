/* Objects: members in their order, and those that no list names. */
#include "formats/json_schema_parts.h"

#include <stdlib.h>

#include "formats/json.h"

static int by_text(const void *a, const void *b) {
    const Str *x = a, *y = b;
    int c = memcmp(x->s, y->s, MIN(x->n, y->n));
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* The rest of a key, with its closing quote, that does not become one of names[0..n), which agree in their first `at`
 * bytes. Such keys hold no escapes, so that spelling decides. */
static int other_key(Maker *x, const Str *names, size_t n, size_t at) {
    Buf b = {0};
    bool taken = n && names[0].n == at;
    Buf except = {0};
    buf_str(&b, taken ? "" : "\"\\\"\" | ");
    for (size_t i = taken, to; i < n; i = to) {
        int len;
        uint32_t cp = utf8_decode(names[i].s + at, &len);
        for (to = i + 1; to < n && memcmp(names[to].s + at, names[i].s + at, (size_t)len) == 0;) to++;
        if (cp < 0x20 || cp == '"' || cp == '\\') continue; /* only written with an escape */
        int rest = other_key(x, names + i, to - i, at + (size_t)len);
        buf_printf(&b, "[\\U%08X] r%d | ", cp, rest);
        buf_printf(&except, "\\U%08X", cp);
    }
    buf_printf(&b, "[^\\x00-\\x1F\\\"\\\\%s] [^\\x00-\\x1F\\\"\\\\]* \"\\\"\"", except.s ? except.s : "");
    buf_release(&except);
    return schema_add_rule(x, &b);
}

/* A key, with its quotes, that a schema for texts accepts. */
static bool put_name(Maker *x, const Value *schema, Buf *out) {
    Facts f = {.types = T_ALL};
    size_t before = schema_enter(x, STR("propertyNames"));
    bool ok = schema_gather(x, schema, &f);
    f.types &= T_STRING;
    if (ok && (f.kw[KW_anyOf] || f.kw[KW_oneOf])) ok = schema_refuse(x, "", "alternatives for names are not supported");
    buf_char(out, '(');
    ok = ok && schema_put_facts(x, &f, out);
    buf_char(out, ')');
    schema_leave(x, before);
    free(f.props);
    return ok;
}

/* The rule of a member that is not listed; -1: there is none. */
static bool other_member(Maker *x, const Facts *f, int *rule) {
    const Value *more = f->kw[KW_additionalProperties], *patterns = f->kw[KW_patternProperties];
    static const Value any = {.kind = VALUE_BOOL, .b = true};
    Buf b = {0};
    int value;
    *rule = -1;
    if (patterns) {
        if (f->kw[KW_propertyNames])
            return schema_refuse(x, "propertyNames", "beside patternProperties it is not supported");
        bool closed = !more || (more->kind == VALUE_BOOL && !more->b);
        if (patterns->kind != VALUE_OBJECT || patterns->object.n != 1 || f->n_props || !closed)
            return schema_refuse(x, "patternProperties",
                                 "only one pattern, and no other members beside it, is supported");
        size_t before = schema_enter(x, STR("patternProperties"));
        buf_str(&b, "\"\\\"\" ");
        bool ok = schema_put_pattern(x, &(Value){.kind = VALUE_STR, .s = patterns->object.keys[0]}, "", &b) &&
                  schema_rule(x, &patterns->object.items[0], &value);
        schema_leave(x, before);
        if (!ok) return buf_release(&b), false;
        buf_printf(&b, " \"\\\":\" \" \"? r%d", value);
        *rule = schema_add_rule(x, &b);
        return true;
    }
    if (f->kw[KW_propertyNames] && f->n_props)
        return schema_refuse(x, "propertyNames", "beside members that are listed or required it is not supported");
    if (!more && !f->n_listed) more = &any;
    if (!more || (more->kind == VALUE_BOOL && !more->b)) return true;
    size_t before = schema_enter(x, STR("additionalProperties"));
    TRY(schema_rule(x, more, &value));
    schema_leave(x, before);
    if (f->kw[KW_propertyNames]) {
        if (!put_name(x, f->kw[KW_propertyNames], &b)) return buf_release(&b), false;
        buf_printf(&b, " \":\" \" \"? r%d", value);
        *rule = schema_add_rule(x, &b);
        return true;
    }
    Str *names = mem_alloc(f->n_props, sizeof *names);
    for (size_t i = 0; i < f->n_props; i++) names[i] = f->props[i].name;
    if (f->n_props) qsort(names, f->n_props, sizeof *names, by_text);
    int key = other_key(x, names, f->n_props, 0);
    free(names);
    buf_printf(&b, "\"\\\"\" r%d \":\" \" \"? r%d", key, value);
    *rule = schema_add_rule(x, &b);
    return true;
}

static bool listed_member(Maker *x, const Facts *f, const Property *p, int *rule) {
    static const Value any = {.kind = VALUE_BOOL, .b = true};
    const Value *schema = p->schema, *more = f->kw[KW_additionalProperties];
    Buf b = {0}, key = {0};
    int value = -1;
    size_t before = schema_enter(x, STR("properties"));
    schema_enter(x, p->name);
    if (!schema) schema = more ? more : &any; /* only required */
    TRY(schema_rule(x, schema, &value));
    schema_leave(x, before);
    json_put_str(&key, p->name);
    buf_char(&key, ':');
    gbnf_literal(&b, buf_view(&key));
    buf_printf(&b, " \" \"? r%d", value);
    buf_release(&key);
    *rule = schema_add_rule(x, &b);
    return true;
}

/* The members in their order: rest[i] are those from i on after one was written, start those before any was. */
static bool put_members(Maker *x, const Facts *f, int64_t min, int64_t max, Buf *out) {
    int other, *member = mem_alloc(f->n_props, sizeof *member), rest, start;
    bool ok = other_member(x, f, &other);
    Buf b = {0};
    for (size_t i = 0; i < f->n_props && ok; i++) ok = listed_member(x, f, &f->props[i], &member[i]);
    if (ok) {
        if (other >= 0) buf_printf(&b, "(\",\" ws r%d)", other), schema_put_bounds(&b, 0, max < 0 ? -1 : max - 1);
        buf_str(&b, " ws");
        rest = schema_add_rule(x, &b);
        if (other >= 0 && max != 0) buf_printf(&b, "r%d r%d", other, rest);
        buf_printf(&b, "%s%s", b.n ? " | " : "", min > 0 ? "never" : "\"\"");
        start = schema_add_rule(x, &b);
        for (size_t i = f->n_props; i-- > 0;) {
            bool required = f->props[i].required;
            buf_printf(&b, "r%d r%d", member[i], rest);
            if (!required) buf_printf(&b, " | r%d", start);
            start = schema_add_rule(x, &b);
            buf_printf(&b, "(\",\" ws r%d)%s r%d", member[i], required ? "" : "?", rest);
            rest = schema_add_rule(x, &b);
        }
        buf_printf(out, "\"{\" ws r%d \"}\"", start);
    }
    free(member);
    return ok;
}

static bool lists_name(const Value *list, Str name) {
    size_t cursor = 0;
    Value item;
    while (value_next(list, &cursor, &item))
        if (str_eq(item.s, name)) return true;
    return false;
}

/* Members of which some need others: an alternative for every choice of those that need some, there and not there. */
static bool put_dependents(Maker *x, const Facts *f, int64_t min, int64_t max, Buf *out) {
    static const Value never = {.kind = VALUE_BOOL, .b = false};
    enum { NEEDING_MAX = 4 };
    const Value *needs = f->kw[KW_dependentRequired];
    Property *props = mem_alloc(f->n_props, sizeof *props);
    Facts one = *f;
    bool ok = needs->object.n <= NEEDING_MAX ||
              schema_refuse(x, "dependentRequired", "more than 4 members that need others are not supported");
    one.props = props;
    for (unsigned there = 0; ok && there < 1u << needs->object.n; there++) {
        bool required = false;
        if (f->n_props) memcpy(props, f->props, f->n_props * sizeof *props);
        for (size_t i = 0; i < f->n_props; i++) {
            size_t at = 0;
            while (at < needs->object.n && !str_eq(needs->object.keys[at], props[i].name)) at++;
            if (at < needs->object.n && there >> at & 1) props[i].required = true;
            if (at < needs->object.n && !(there >> at & 1)) props[i].schema = &never;
            for (size_t k = 0; k < needs->object.n; k++)
                if (there >> k & 1) props[i].required |= lists_name(&needs->object.items[k], props[i].name);
            required = required || props[i].required;
        }
        buf_str(out, there ? " | " : "");
        ok = put_members(x, &one, required ? 0 : min, max, out);
    }
    free(props);
    return ok;
}

/* A number of members can be held where nothing is listed, and where the listed ones decide it. A key may stand twice
 * in what is not listed, so at least two such members cannot be promised. */
bool schema_put_object(Maker *x, const Facts *f, Buf *out) {
    int64_t min, max, required = 0;
    const Value *more = f->kw[KW_additionalProperties];
    bool open = more && !(more->kind == VALUE_BOOL && !more->b);
    TRY(schema_check_closer(x, f) && schema_count(x, f, KW_minProperties, 0, &min) &&
        schema_count(x, f, KW_maxProperties, -1, &max));
    for (size_t i = 0; i < f->n_props; i++) required += f->props[i].required;
    if (min > MAX(required, 1))
        return schema_refuse(x, "minProperties", "more than the required members is not supported");
    if (f->n_props && max >= 0 && (open || max < (int64_t)f->n_props))
        return schema_refuse(x, "maxProperties", "beside properties it is only supported where it says nothing new");
    if (f->kw[KW_dependentRequired]) return put_dependents(x, f, min, f->n_props ? -1 : max, out);
    return put_members(x, f, required ? 0 : min, f->n_props ? -1 : max, out);
}
