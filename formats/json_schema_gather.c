/* The keywords of a schema and of all that belongs to it, in one list. */
#include "formats/json_schema_parts.h"

#include <math.h>
#include <stdlib.h>

#include "formats/json.h"

const char *const schema_keywords[KW_COUNT] = {
#define KEYWORD(name) #name,
#include "formats/json_schema.def"
#undef KEYWORD
};

static const char *const annotations[] = {
    "title",   "description", "default",  "examples", "example",     "deprecated",       "readOnly",       "writeOnly",
    "$schema", "$id",         "$comment", "$defs",    "definitions", "contentMediaType", "contentEncoding"};

static const char *const type_names[SCHEMA_TYPES] = {"object",  "array",   "string", "number",
                                                     "integer", "boolean", "null"};
static const char two_closers[] = "joined with other schemas that list members it is not supported";

/* ---- references ---- */

static const Value *step_into(const Value *v, Str step) {
    Buf name = {0};
    const Value *found = NULL;
    for (size_t i = 0; i < step.n; i++)
        if (step.s[i] == '~' && i + 1 < step.n)
            buf_char(&name, step.s[++i] == '0' ? '~' : '/');
        else if (step.s[i] == '%' && i + 2 < step.n)
            buf_char(&name, (char)strtol((char[]){step.s[i + 1], step.s[i + 2], 0}, NULL, 16)), i += 2;
        else
            buf_char(&name, step.s[i]);
    if (!name.s) buf_str(&name, "");
    if (v->kind == VALUE_ARRAY && name.n && strspn(name.s, "0123456789") == name.n && name.n < 9) {
        size_t at = (size_t)atoi(name.s);
        found = at < v->array.n ? &v->array.items[at] : NULL;
    }
    for (size_t i = 0; v->kind == VALUE_OBJECT && i < v->object.n; i++)
        if (str_eq(v->object.keys[i], buf_view(&name))) found = &v->object.items[i];
    buf_release(&name);
    return found;
}

bool schema_resolve(Maker *x, const Value *ref, const Value **target) {
    const Value *v = x->root;
    if (ref->kind != VALUE_STR || !ref->s.n || ref->s.s[0] != '#' || (ref->s.n > 1 && ref->s.s[1] != '/'))
        return schema_refuse(x, "$ref", "only references inside this schema are supported, as in #/$defs/name");
    for (size_t at = 2, n; v && at <= ref->s.n; at += n + 1) {
        for (n = 0; at + n < ref->s.n && ref->s.s[at + n] != '/';) n++;
        v = step_into(v, (Str){ref->s.s + at, n});
    }
    return (*target = v) ? true : schema_refuse(x, "$ref", "what it refers to does not exist");
}

bool schema_is_annotation(Str key) {
    for (size_t i = 0; i < COUNT_OF(annotations); i++)
        if (str_is(key, annotations[i])) return true;
    return false;
}

/* ---- gathering ---- */

bool schema_differ(const Value *a, const Value *b) {
    int both = schema_types_of(a) & schema_types_of(b);
    double x = 0, y = 0;
    if (a->kind == VALUE_INT && b->kind == VALUE_INT) return a->i != b->i;
    if (both & T_NUMBER) return value_as_float(a, "", &x, NULL) && value_as_float(b, "", &y, NULL) && x != y;
    if (both & (T_OBJECT | T_ARRAY)) return false;
    return !both || !json_same(a, b);
}

static int type_bit(Str name) {
    for (int i = 0; i < SCHEMA_TYPES; i++)
        if (str_is(name, type_names[i])) return 1 << i;
    return 0;
}

static bool gather_types(Maker *x, const Value *v, Facts *f) {
    int types = 0;
    size_t cursor = 0;
    Value item = *v;
    for (bool more = true; more; more = v->kind == VALUE_ARRAY) {
        if (v->kind == VALUE_ARRAY && !value_next(v, &cursor, &item)) break;
        int bit = item.kind == VALUE_STR ? type_bit(item.s) : 0;
        if (!bit)
            return schema_refuse(x, "type",
                                 "must be object, array, string, number, integer, boolean, null or a list of these");
        types |= bit;
    }
    if (types & T_NUMBER) types |= T_INTEGER;
    f->types &= types;
    return true;
}

static Property *property(Facts *f, Str name) {
    for (size_t i = 0; i < f->n_props; i++)
        if (str_eq(f->props[i].name, name)) return &f->props[i];
    f->props = mem_grow(f->props, f->n_props + 1, sizeof *f->props);
    f->props[f->n_props] = (Property){.name = name};
    return &f->props[f->n_props++];
}

static bool gather_properties(Maker *x, const Value *v, Facts *f) {
    if (v->kind != VALUE_OBJECT) return schema_refuse(x, "properties", "must be an object");
    for (size_t i = 0; i < v->object.n; i++) {
        Property *p = property(f, v->object.keys[i]);
        if (p->schema && !json_same(p->schema, &v->object.items[i]))
            return schema_refuse(x, "properties",
                                 "a member that two joined schemas describe differently is not supported");
        p->schema = &v->object.items[i];
    }
    return f->n_props <= SCHEMA_MEMBERS_MAX || schema_refuse(x, "properties", "more than 1000 members");
}

static bool gather_required(Maker *x, const Value *v, Facts *f) {
    size_t cursor = 0;
    Value item;
    if (v->kind != VALUE_ARRAY) return schema_refuse(x, "required", "must be a list of names");
    while (value_next(v, &cursor, &item)) {
        if (item.kind != VALUE_STR) return schema_refuse(x, "required", "must be a list of names");
        property(f, item.s)->required = true;
    }
    return true;
}

/* The names only: which need which is seen when the object is written. */
static bool gather_dependents(Maker *x, const Value *v, Facts *f) {
    static const char list[] = "must be an object of lists of names";
    if (v->kind != VALUE_OBJECT) return schema_refuse(x, "dependentRequired", list);
    for (size_t i = 0; i < v->object.n; i++) {
        size_t cursor = 0;
        Value name;
        if (v->object.items[i].kind != VALUE_ARRAY) return schema_refuse(x, "dependentRequired", list);
        property(f, v->object.keys[i]);
        while (value_next(&v->object.items[i], &cursor, &name)) {
            if (name.kind != VALUE_STR) return schema_refuse(x, "dependentRequired", list);
            property(f, name.s);
        }
    }
    return true;
}

static bool gather_all(Maker *x, const Value *v, Facts *f) {
    if (v->kind != VALUE_ARRAY) return schema_refuse(x, "allOf", "must be a list of schemas");
    for (size_t i = 0; i < v->array.n; i++) {
        size_t before = schema_enter_item(x, "allOf", i);
        TRY(schema_gather(x, &v->array.items[i], f));
        schema_leave(x, before);
    }
    return true;
}

/* Of two bounds the tighter one; of anything else, both must be the same. */
static bool gather_keyword(Maker *x, int kw, const Value *v, Facts *f) {
    const Value *was = f->kw[kw];
    double a = 0, b = 0;
    f->kw[kw] = v;
    f->any_fact = true;
    if (!was || json_same(was, v)) return true;
    bool lower = kw == KW_minimum || kw == KW_exclusiveMinimum || kw == KW_minLength || kw == KW_minItems ||
                 kw == KW_minProperties;
    bool upper = kw == KW_maximum || kw == KW_exclusiveMaximum || kw == KW_maxLength || kw == KW_maxItems ||
                 kw == KW_maxProperties;
    if (!lower && !upper)
        return schema_refuse(x, schema_keywords[kw], "two joined schemas that differ in it are not supported");
    TRY(value_as_float(was, schema_keywords[kw], &a, x->e) && value_as_float(v, schema_keywords[kw], &b, x->e));
    if (lower ? a > b : a < b) f->kw[kw] = was;
    return true;
}

static bool gather_member(Maker *x, Str key, const Value *v, Facts *f) {
    char name[64] = "";
    memcpy(name, key.s, MIN(key.n, sizeof name - 1));
    if (schema_is_annotation(key)) return true;
    if (str_is(key, "type")) return f->any_fact = true, gather_types(x, v, f);
    if (str_is(key, "properties")) return f->any_fact = true, gather_properties(x, v, f);
    if (str_is(key, "required")) return f->any_fact = true, gather_required(x, v, f);
    if (str_is(key, "allOf")) return gather_all(x, v, f);
    if (str_is(key, "$ref")) {
        const Value *target;
        return schema_resolve(x, v, &target) && schema_gather(x, target, f);
    }
    if (str_is(key, "nullable") && v->kind == VALUE_BOOL) return f->nullable = f->nullable || v->b, true;
    if (str_is(key, "uniqueItems") && v->kind == VALUE_BOOL && !v->b) return true;
    if (str_is(key, "dependentRequired")) TRY(gather_dependents(x, v, f));
    for (int kw = 0; kw < KW_COUNT; kw++)
        if (str_is(key, schema_keywords[kw])) return gather_keyword(x, kw, v, f);
    return schema_refuse(x, name, "this keyword is not supported");
}

static bool is_open(const Value *additional) {
    return !additional || (additional->kind == VALUE_BOOL && additional->b);
}

bool schema_gather(Maker *x, const Value *v, Facts *f) {
    if (v->kind == VALUE_BOOL) return f->never = f->never || !v->b, true;
    if (v->kind != VALUE_OBJECT) return schema_refuse(x, "", "a schema must be an object, true or false");
    if (++x->depth > SCHEMA_DEPTH_MAX)
        return schema_refuse(x, "", "schemas nested too deeply, or one that is only itself");
    for (size_t i = 0; i < v->object.n; i++) TRY(gather_member(x, v->object.keys[i], &v->object.items[i], f));
    if (!is_open(value_get(v, "additionalProperties"))) {
        if (f->closer && f->closer != v) return schema_refuse(x, "additionalProperties", two_closers);
        f->closer = v;
    }
    f->n_listed = 0;
    for (size_t i = 0; i < f->n_props; i++) f->n_listed += f->props[i].schema != NULL;
    x->depth--;
    return true;
}

/* additionalProperties speaks of the members that stand beside it only. */
bool schema_check_closer(Maker *x, const Facts *f) {
    const Value *listed = f->closer ? value_get(f->closer, "properties") : NULL;
    for (size_t i = 0; f->closer && i < f->n_props; i++) {
        bool known = !f->props[i].schema;
        for (size_t k = 0; listed && k < listed->object.n; k++)
            known = known || str_eq(listed->object.keys[k], f->props[i].name);
        if (!known) return schema_refuse(x, "additionalProperties", two_closers);
    }
    return true;
}

int schema_types_of(const Value *v) {
    switch (v->kind) {
    case VALUE_OBJECT: return T_OBJECT;
    case VALUE_ARRAY: return T_ARRAY;
    case VALUE_STR: return T_STRING;
    case VALUE_BOOL: return T_BOOLEAN;
    case VALUE_NULL: return T_NULL;
    case VALUE_FLOAT: return v->f == floor(v->f) ? T_NUMBER | T_INTEGER : T_NUMBER;
    default: return T_NUMBER | T_INTEGER;
    }
}
