/* Schemas -> rules. A schema's keywords, those of what it refers to and of all that allOf joins are first gathered into
 * one list of Facts; then each type that they leave becomes an expression. */
#include "formats/json_schema.h"

#include <math.h>
#include <stdlib.h>

#include "formats/json.h"

enum { DEPTH_MAX = 500, PROPERTIES_MAX = 1000, TYPES = 7 };

/* Keywords that say something about values; all that is neither here nor an annotation is refused. */
#define KEYWORDS                                                                                                       \
    X(type)                                                                                                            \
    X(enum)                                                                                                            \
    X(const) X(anyOf) X(oneOf) X(additionalProperties) X(patternProperties) X(minProperties) X(maxProperties) X(items) \
        X(prefixItems) X(minItems) X(maxItems) X(minLength) X(maxLength) X(pattern) X(format) X(minimum) X(maximum)    \
            X(exclusiveMinimum) X(exclusiveMaximum)
#define X(name) KW_##name,
typedef enum Keyword { KEYWORDS KW_COUNT } Keyword;
#undef X
#define X(name) #name,
static const char *const keyword_names[] = {KEYWORDS};
#undef X

static const char *const annotations[] = {
    "title",   "description", "default",  "examples", "example",     "deprecated",       "readOnly",       "writeOnly",
    "$schema", "$id",         "$comment", "$defs",    "definitions", "contentMediaType", "contentEncoding"};

static const char *const type_names[TYPES] = {"object", "array", "string", "number", "integer", "boolean", "null"};
enum {
    T_OBJECT = 1,
    T_ARRAY = 2,
    T_STRING = 4,
    T_NUMBER = 8,
    T_INTEGER = 16,
    T_BOOLEAN = 32,
    T_NULL = 64,
    T_ALL = 127
};

typedef struct Property {
    Str name;
    const Value *schema; /* NULL: any value */
    bool required;
} Property;

typedef struct Facts {
    const Value *kw[KW_COUNT];
    Property *props;          /* on the heap */
    size_t n_props, n_listed; /* listed in `properties`; the others are only required */
    int types;                /* T_*; of `type` */
    const Value *closer;      /* the schema whose additionalProperties is not true */
    bool never, nullable, any_fact;
} Facts;

typedef struct Ref { /* a schema that others refer to, and its rule */
    const Value *schema;
    int rule;
} Ref;

typedef struct Maker {
    const Value *root;
    Buf *rules; /* what is done */
    Buf path;   /* JSON pointer of what is being read */
    Ref *refs;
    size_t n_refs;
    int n_rules, depth;
    Err *e;
} Maker;

static const char two_closers[] = "joined with other schemas that list members it is not supported";

static bool put_schema(Maker *x, const Value *v, Buf *out);

static bool refuse(Maker *x, const char *keyword, const char *why) {
    Str p = buf_view(&x->path);
    return err_set(x->e, ERR_INPUT, "schema: '#%.*s%s%s': %s", (int)MIN(p.n, 200), p.s, *keyword ? "/" : "", keyword,
                   why);
}

/* ---- the pointer to where we are ---- */

static size_t enter(Maker *x, Str step) {
    size_t before = x->path.n;
    buf_char(&x->path, '/');
    for (size_t i = 0; i < step.n; i++)
        if (step.s[i] == '~' || step.s[i] == '/')
            buf_str(&x->path, step.s[i] == '~' ? "~0" : "~1");
        else
            buf_char(&x->path, step.s[i]);
    return before;
}

static size_t enter_item(Maker *x, const char *list, size_t i) {
    size_t before = enter(x, str_of(list));
    buf_printf(&x->path, "/%zu", i);
    return before;
}

static void leave(Maker *x, size_t before) {
    x->path.n = before;
    if (x->path.s) x->path.s[before] = 0;
}

/* ---- rules ---- */

/* Appends `rN ::= body` and empties body; returns N. */
static int add_rule(Maker *x, Buf *body) {
    buf_printf(x->rules, "r%d ::= %s\n", x->n_rules, body->s ? body->s : "\"\"");
    buf_release(body);
    return x->n_rules++;
}

static void put_rule(Buf *out, int rule) { buf_printf(out, " r%d", rule); }

static bool schema_rule(Maker *x, const Value *v, int *rule) {
    Buf body = {0};
    if (!put_schema(x, v, &body)) return buf_release(&body), false;
    *rule = add_rule(x, &body);
    return true;
}

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

static bool resolve(Maker *x, const Value *ref, const Value **target) {
    const Value *v = x->root;
    if (ref->kind != VALUE_STR || !ref->s.n || ref->s.s[0] != '#' || (ref->s.n > 1 && ref->s.s[1] != '/'))
        return refuse(x, "$ref", "only references inside this schema are supported, as in #/$defs/name");
    for (size_t at = 2, n; v && at <= ref->s.n; at += n + 1) {
        for (n = 0; at + n < ref->s.n && ref->s.s[at + n] != '/';) n++;
        v = step_into(v, (Str){ref->s.s + at, n});
    }
    return (*target = v) ? true : refuse(x, "$ref", "what it refers to does not exist");
}

static bool is_annotation(Str key) {
    for (size_t i = 0; i < COUNT_OF(annotations); i++)
        if (str_is(key, annotations[i])) return true;
    return false;
}

/* The $ref of a schema that says nothing else. */
static const Value *only_ref(const Value *v) {
    const Value *ref = value_get(v, "$ref");
    for (size_t i = 0; ref && i < v->object.n; i++)
        if (!is_annotation(v->object.keys[i]) && !str_is(v->object.keys[i], "$ref")) return NULL;
    return ref;
}

/* The number is given out before the rule is made, so that schemas may refer to themselves. */
static bool put_ref(Maker *x, const Value *ref, Buf *out) {
    const Value *target;
    Buf body = {0}, path = x->path;
    TRY(resolve(x, ref, &target));
    for (size_t i = 0; i < x->n_refs; i++)
        if (x->refs[i].schema == target) return put_rule(out, x->refs[i].rule), true;
    int rule = x->n_rules++;
    x->refs = mem_grow(x->refs, x->n_refs + 1, sizeof *x->refs);
    x->refs[x->n_refs++] = (Ref){target, rule};
    x->path = (Buf){0};
    buf_put(&x->path, ref->s.s + 1, ref->s.n - 1);
    bool ok = put_schema(x, target, &body);
    if (ok) buf_printf(x->rules, "r%d ::= %s\n", rule, body.s);
    buf_release(&body);
    buf_release(&x->path);
    x->path = path;
    put_rule(out, rule);
    return ok;
}

/* ---- gathering ---- */

static bool gather(Maker *x, const Value *v, Facts *f);

static bool equal(const Value *a, const Value *b) {
    Buf x = {0}, y = {0};
    json_put_value(&x, a, -1);
    json_put_value(&y, b, -1);
    bool same = str_eq(buf_view(&x), buf_view(&y));
    buf_release(&x);
    buf_release(&y);
    return same;
}

static int type_bit(Str name) {
    for (int i = 0; i < TYPES; i++)
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
            return refuse(x, "type",
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
    if (v->kind != VALUE_OBJECT) return refuse(x, "properties", "must be an object");
    for (size_t i = 0; i < v->object.n; i++) {
        Property *p = property(f, v->object.keys[i]);
        if (p->schema && !equal(p->schema, &v->object.items[i]))
            return refuse(x, "properties", "a member that two joined schemas describe differently is not supported");
        p->schema = &v->object.items[i];
    }
    return f->n_props <= PROPERTIES_MAX || refuse(x, "properties", "more than 1000 members");
}

static bool gather_required(Maker *x, const Value *v, Facts *f) {
    size_t cursor = 0;
    Value item;
    if (v->kind != VALUE_ARRAY) return refuse(x, "required", "must be a list of names");
    while (value_next(v, &cursor, &item)) {
        if (item.kind != VALUE_STR) return refuse(x, "required", "must be a list of names");
        property(f, item.s)->required = true;
    }
    return true;
}

static bool gather_all(Maker *x, const Value *v, Facts *f) {
    if (v->kind != VALUE_ARRAY) return refuse(x, "allOf", "must be a list of schemas");
    for (size_t i = 0; i < v->array.n; i++) {
        size_t before = enter_item(x, "allOf", i);
        TRY(gather(x, &v->array.items[i], f));
        leave(x, before);
    }
    return true;
}

/* Of two bounds the tighter one; of anything else, both must be the same. */
static bool gather_keyword(Maker *x, int kw, const Value *v, Facts *f) {
    const Value *was = f->kw[kw];
    double a = 0, b = 0;
    f->kw[kw] = v;
    f->any_fact = true;
    if (!was || equal(was, v)) return true;
    bool lower = kw == KW_minimum || kw == KW_exclusiveMinimum || kw == KW_minLength || kw == KW_minItems ||
                 kw == KW_minProperties;
    bool upper = kw == KW_maximum || kw == KW_exclusiveMaximum || kw == KW_maxLength || kw == KW_maxItems ||
                 kw == KW_maxProperties;
    if (!lower && !upper) return refuse(x, keyword_names[kw], "two joined schemas that differ in it are not supported");
    TRY(value_as_float(was, keyword_names[kw], &a, x->e) && value_as_float(v, keyword_names[kw], &b, x->e));
    if (lower ? a > b : a < b) f->kw[kw] = was;
    return true;
}

static bool gather_member(Maker *x, Str key, const Value *v, Facts *f) {
    char name[64] = "";
    memcpy(name, key.s, MIN(key.n, sizeof name - 1));
    if (is_annotation(key)) return true;
    if (str_is(key, "type")) return f->any_fact = true, gather_types(x, v, f);
    if (str_is(key, "properties")) return f->any_fact = true, gather_properties(x, v, f);
    if (str_is(key, "required")) return f->any_fact = true, gather_required(x, v, f);
    if (str_is(key, "allOf")) return gather_all(x, v, f);
    if (str_is(key, "$ref")) {
        const Value *target;
        return resolve(x, v, &target) && gather(x, target, f);
    }
    if (str_is(key, "nullable") && v->kind == VALUE_BOOL) return f->nullable = f->nullable || v->b, true;
    if (str_is(key, "uniqueItems") && v->kind == VALUE_BOOL && !v->b) return true;
    for (int kw = 0; kw < KW_COUNT; kw++)
        if (str_is(key, keyword_names[kw])) return gather_keyword(x, kw, v, f);
    return refuse(x, name, "this keyword is not supported");
}

static bool is_open(const Value *additional) {
    return !additional || (additional->kind == VALUE_BOOL && additional->b);
}

static bool gather(Maker *x, const Value *v, Facts *f) {
    if (v->kind == VALUE_BOOL) return f->never = f->never || !v->b, true;
    if (v->kind != VALUE_OBJECT) return refuse(x, "", "a schema must be an object, true or false");
    if (++x->depth > DEPTH_MAX) return refuse(x, "", "schemas nested too deeply, or one that is only itself");
    for (size_t i = 0; i < v->object.n; i++) TRY(gather_member(x, v->object.keys[i], &v->object.items[i], f));
    if (!is_open(value_get(v, "additionalProperties"))) {
        if (f->closer && f->closer != v) return refuse(x, "additionalProperties", two_closers);
        f->closer = v;
    }
    f->n_listed = 0;
    for (size_t i = 0; i < f->n_props; i++) f->n_listed += f->props[i].schema != NULL;
    x->depth--;
    return true;
}

/* additionalProperties speaks of the members that stand beside it only. */
static bool check_closer(Maker *x, const Facts *f) {
    const Value *listed = f->closer ? value_get(f->closer, "properties") : NULL;
    for (size_t i = 0; f->closer && i < f->n_props; i++) {
        bool known = !f->props[i].schema;
        for (size_t k = 0; listed && k < listed->object.n; k++)
            known = known || str_eq(listed->object.keys[k], f->props[i].name);
        if (!known) return refuse(x, "additionalProperties", two_closers);
    }
    return true;
}

/* ---- numbers and strings ---- */

/* A count that must be 0 or more; `none` where the keyword is missing. */
static bool take_count(Maker *x, const Facts *f, Keyword kw, int64_t none, int64_t *n) {
    *n = none;
    if (!f->kw[kw]) return true;
    if (!value_as_int(f->kw[kw], keyword_names[kw], n, NULL) || *n < 0)
        return refuse(x, keyword_names[kw], "must be a whole number, 0 or more");
    return true;
}

/* A bound on numbers as a double that may be infinite. */
static bool take_bound(Maker *x, const Facts *f, Keyword kw, double none, double *bound) {
    *bound = none;
    if (f->kw[kw] && (f->kw[kw]->kind == VALUE_NULL || !value_as_float(f->kw[kw], keyword_names[kw], bound, NULL)))
        return refuse(x, keyword_names[kw], "must be a number");
    return true;
}

static bool put_integer(Maker *x, const Facts *f, Buf *out) {
    double lo, hi, above, below, most = (double)GBNF_INT_MAX;
    TRY(take_bound(x, f, KW_minimum, -most, &lo) && take_bound(x, f, KW_maximum, most, &hi));
    TRY(take_bound(x, f, KW_exclusiveMinimum, -most - 1, &above) &&
        take_bound(x, f, KW_exclusiveMaximum, most + 1, &below));
    if (lo == -most && hi == most && above < -most && below > most) return buf_str(out, "integer"), true;
    lo = MAX(MAX(ceil(lo), floor(above) + 1), -most);
    hi = MIN(MIN(floor(hi), ceil(below) - 1), most);
    if (lo > hi)
        buf_str(out, "never");
    else
        gbnf_int_range(out, (int64_t)lo, (int64_t)hi);
    return true;
}

static bool put_number(Maker *x, const Facts *f, Buf *out) {
    double lo, hi, above, below;
    const double most = (double)GBNF_INT_MAX, inf = (double)INFINITY;
    TRY(take_bound(x, f, KW_minimum, -inf, &lo) && take_bound(x, f, KW_maximum, inf, &hi));
    TRY(take_bound(x, f, KW_exclusiveMinimum, -inf, &above) && take_bound(x, f, KW_exclusiveMaximum, inf, &below));
    NumberRange r = {.lo_open = above >= lo && above > -inf, .hi_open = below <= hi && below < inf};
    lo = MAX(lo, above);
    hi = MIN(hi, below);
    if (lo == -inf && hi == inf) return buf_str(out, "number"), true;
    if ((lo > -inf && lo != floor(lo)) || (hi < inf && hi != floor(hi)))
        return refuse(x, "", "bounds of a number that are no whole numbers are not supported");
    if (lo > most || hi < -most) return buf_str(out, "never"), true;
    if (lo < -most) r.lo_open = false;
    if (hi > most) r.hi_open = false;
    r.lo = (int64_t)MAX(lo, -most);
    r.hi = (int64_t)MIN(hi, most);
    gbnf_number_range(out, r);
    return true;
}

static bool put_pattern(Maker *x, const Value *v, const char *keyword, Buf *out) {
    Err why = {0};
    if (v->kind != VALUE_STR) return refuse(x, keyword, "must be a text");
    return gbnf_of_regex(v->s, out, &why) || refuse(x, keyword, why.msg);
}

static void put_bounds(Buf *out, int64_t min, int64_t max) {
    if (max < 0)
        buf_printf(out, "{%lld,}", (long long)min);
    else
        buf_printf(out, "{%lld,%lld}", (long long)min, (long long)max);
}

static bool put_string(Maker *x, const Facts *f, Buf *out) {
    int64_t min, max;
    const Value *pattern = f->kw[KW_pattern], *format = f->kw[KW_format];
    TRY(take_count(x, f, KW_minLength, 0, &min) && take_count(x, f, KW_maxLength, -1, &max));
    bool counted = min > 0 || max >= 0;
    if (!pattern && !format && !counted) return buf_str(out, "string"), true;
    if (!!pattern + !!format + counted > 1)
        return refuse(x, "", "only one of pattern, format and a length is supported for a string");
    if (max >= 0 && min > max) return buf_str(out, "never"), true;
    buf_str(out, "\"\\\"\" ");
    if (pattern) TRY(put_pattern(x, pattern, "pattern", out));
    if (format) {
        const char *text = format->kind == VALUE_STR ? gbnf_of_format(format->s) : NULL;
        if (!text) return refuse(x, "format", "known are date, time, date-time, uuid, ipv4, email, hostname and uri");
        buf_printf(out, "(%s)", text);
    }
    if (counted) {
        buf_str(out, "char");
        put_bounds(out, min, max);
    }
    buf_str(out, " \"\\\"\"");
    return true;
}

/* ---- arrays ---- */

typedef struct Items {
    int tail; /* rule of the items behind the listed ones, -1: there are none */
    int64_t min, max, listed;
    int *rules; /* [listed] */
} Items;

/* After i > 0 items, up to the end of the array. */
static int more_items(Maker *x, const Items *a, int64_t i) {
    Buf b = {0};
    if (a->max >= 0 && i >= a->max) {
        buf_str(&b, "ws");
    } else if (i < a->listed) {
        int rest = more_items(x, a, i + 1);
        buf_printf(&b, "\",\" ws r%d r%d%s", a->rules[i], rest, i < a->min ? "" : " | ws");
    } else if (a->tail >= 0) {
        buf_printf(&b, "(\",\" ws r%d)", a->tail);
        put_bounds(&b, MAX(a->min - i, 0), a->max < 0 ? -1 : a->max - i);
        buf_str(&b, " ws");
    } else {
        buf_str(&b, i < a->min ? "never" : "ws");
    }
    return add_rule(x, &b);
}

static bool take_items(Maker *x, const Facts *f, Items *a) {
    static const Value any = {.kind = VALUE_BOOL, .b = true};
    const Value *listed = f->kw[KW_prefixItems], *tail = f->kw[KW_items];
    TRY(take_count(x, f, KW_minItems, 0, &a->min) && take_count(x, f, KW_maxItems, -1, &a->max));
    if (listed && listed->kind != VALUE_ARRAY) return refuse(x, "prefixItems", "must be a list of schemas");
    if (tail && tail->kind == VALUE_ARRAY) return refuse(x, "items", "a list of schemas belongs into prefixItems");
    a->listed = listed ? (int64_t)listed->array.n : 0;
    a->rules = mem_alloc((size_t)a->listed, sizeof *a->rules);
    for (int64_t i = 0; i < a->listed; i++) {
        size_t before = enter_item(x, "prefixItems", (size_t)i);
        TRY(schema_rule(x, &listed->array.items[i], &a->rules[i]));
        leave(x, before);
    }
    a->tail = -1;
    if (!tail && (!a->listed || a->min > a->listed)) tail = &any;
    if (!tail || (tail->kind == VALUE_BOOL && !tail->b)) return true;
    size_t before = enter(x, STR("items"));
    TRY(schema_rule(x, tail, &a->tail));
    leave(x, before);
    return true;
}

static bool put_array(Maker *x, const Facts *f, Buf *out) {
    Items a = {0};
    bool ok = take_items(x, f, &a);
    if (ok) {
        int first = a.listed ? a.rules[0] : a.tail;
        bool none = a.max == 0 || first < 0;
        if ((none && a.min > 0) || (a.max >= 0 && a.min > a.max)) {
            buf_str(out, "never");
        } else if (none) {
            buf_str(out, "\"[\" ws \"]\"");
        } else {
            int rest = more_items(x, &a, 1);
            buf_printf(out, "\"[\" ws (r%d r%d)%s \"]\"", first, rest, a.min > 0 ? "" : "?");
        }
    }
    free(a.rules);
    return ok;
}

/* ---- objects ---- */

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
    return add_rule(x, &b);
}

/* The rule of a member that is not listed; -1: there is none. */
static bool other_member(Maker *x, const Facts *f, int *rule) {
    const Value *more = f->kw[KW_additionalProperties], *patterns = f->kw[KW_patternProperties];
    static const Value any = {.kind = VALUE_BOOL, .b = true};
    Buf b = {0};
    int value;
    *rule = -1;
    if (patterns) {
        bool closed = !more || (more->kind == VALUE_BOOL && !more->b);
        if (patterns->kind != VALUE_OBJECT || patterns->object.n != 1 || f->n_props || !closed)
            return refuse(x, "patternProperties", "only one pattern, and no other members beside it, is supported");
        size_t before = enter(x, STR("patternProperties"));
        buf_str(&b, "\"\\\"\" ");
        bool ok = put_pattern(x, &(Value){.kind = VALUE_STR, .s = patterns->object.keys[0]}, "", &b) &&
                  schema_rule(x, &patterns->object.items[0], &value);
        leave(x, before);
        if (!ok) return buf_release(&b), false;
        buf_printf(&b, " \"\\\":\" \" \"? r%d", value);
        *rule = add_rule(x, &b);
        return true;
    }
    if (!more && !f->n_listed) more = &any;
    if (!more || (more->kind == VALUE_BOOL && !more->b)) return true;
    size_t before = enter(x, STR("additionalProperties"));
    TRY(schema_rule(x, more, &value));
    leave(x, before);
    Str *names = mem_alloc(f->n_props, sizeof *names);
    for (size_t i = 0; i < f->n_props; i++) names[i] = f->props[i].name;
    if (f->n_props) qsort(names, f->n_props, sizeof *names, by_text);
    int key = other_key(x, names, f->n_props, 0);
    free(names);
    buf_printf(&b, "\"\\\"\" r%d \":\" \" \"? r%d", key, value);
    *rule = add_rule(x, &b);
    return true;
}

static bool listed_member(Maker *x, const Facts *f, const Property *p, int *rule) {
    static const Value any = {.kind = VALUE_BOOL, .b = true};
    const Value *schema = p->schema, *more = f->kw[KW_additionalProperties];
    Buf b = {0}, key = {0};
    int value = -1;
    size_t before = enter(x, STR("properties"));
    enter(x, p->name);
    if (!schema) schema = more ? more : &any; /* only required */
    TRY(schema_rule(x, schema, &value));
    leave(x, before);
    json_put_str(&key, p->name);
    buf_char(&key, ':');
    gbnf_literal(&b, buf_view(&key));
    buf_printf(&b, " \" \"? r%d", value);
    buf_release(&key);
    *rule = add_rule(x, &b);
    return true;
}

/* The members in their order: rest[i] are those from i on after one was written, start those before any was. */
static bool put_members(Maker *x, const Facts *f, int64_t min, int64_t max, Buf *out) {
    int other, *member = mem_alloc(f->n_props, sizeof *member), rest, start;
    bool ok = other_member(x, f, &other);
    Buf b = {0};
    for (size_t i = 0; i < f->n_props && ok; i++) ok = listed_member(x, f, &f->props[i], &member[i]);
    if (ok) {
        if (other >= 0) buf_printf(&b, "(\",\" ws r%d)", other), put_bounds(&b, 0, max < 0 ? -1 : max - 1);
        buf_str(&b, " ws");
        rest = add_rule(x, &b);
        if (other >= 0 && max != 0) buf_printf(&b, "r%d r%d", other, rest);
        buf_printf(&b, "%s%s", b.n ? " | " : "", min > 0 ? "never" : "\"\"");
        start = add_rule(x, &b);
        for (size_t i = f->n_props; i-- > 0;) {
            bool required = f->props[i].required;
            buf_printf(&b, "r%d r%d", member[i], rest);
            if (!required) buf_printf(&b, " | r%d", start);
            start = add_rule(x, &b);
            buf_printf(&b, "(\",\" ws r%d)%s r%d", member[i], required ? "" : "?", rest);
            rest = add_rule(x, &b);
        }
        buf_printf(out, "\"{\" ws r%d \"}\"", start);
    }
    free(member);
    return ok;
}

/* A number of members can be held where nothing is listed, and where the listed ones decide it. A key may stand twice
 * in what is not listed, so at least two such members cannot be promised. */
static bool put_object(Maker *x, const Facts *f, Buf *out) {
    int64_t min, max, required = 0;
    const Value *more = f->kw[KW_additionalProperties];
    bool open = more && !(more->kind == VALUE_BOOL && !more->b);
    TRY(check_closer(x, f) && take_count(x, f, KW_minProperties, 0, &min) &&
        take_count(x, f, KW_maxProperties, -1, &max));
    for (size_t i = 0; i < f->n_props; i++) required += f->props[i].required;
    if (min > MAX(required, 1)) return refuse(x, "minProperties", "more than the required members is not supported");
    if (f->n_props && max >= 0 && (open || max < (int64_t)f->n_props))
        return refuse(x, "maxProperties", "beside properties it is only supported where it says nothing new");
    return put_members(x, f, required ? 0 : min, f->n_props ? -1 : max, out);
}

/* ---- one schema ---- */

static int types_of_value(const Value *v) {
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

static bool put_values(Maker *x, const Facts *f, Buf *out) {
    const Value *list = f->kw[KW_enum], *one = f->kw[KW_const];
    bool any = false;
    if (list && list->kind != VALUE_ARRAY) return refuse(x, "enum", "must be a list of values");
    for (int kw = 0; kw < KW_COUNT; kw++)
        if (f->kw[kw] && kw != KW_enum && kw != KW_const)
            return refuse(x, keyword_names[kw], "beside enum or const it is not supported");
    if (f->n_props) return refuse(x, "properties", "beside enum or const they are not supported");
    for (size_t i = 0; i < (list ? list->array.n : 1); i++) {
        const Value *v = list ? &list->array.items[i] : one;
        Buf text = {0};
        bool fits = (types_of_value(v) & f->types) && !(list && one && !equal(v, one));
        if (v->kind == VALUE_NULL && f->nullable) fits = true;
        if (!fits) continue;
        json_put_value(&text, v, -1);
        buf_str(out, any ? " | " : "");
        gbnf_literal(out, buf_view(&text));
        buf_release(&text);
        any = true;
    }
    if (!any) buf_str(out, "never");
    return true;
}

/* The types that the keywords speak of, for a schema that names none. */
static int implied_types(const Facts *f) {
    static const struct {
        Keyword from, to; /* inclusive, in the order of KEYWORDS */
        int types;
    } rows[] = {{KW_additionalProperties, KW_maxProperties, T_OBJECT},
                {KW_items, KW_maxItems, T_ARRAY},
                {KW_minLength, KW_format, T_STRING},
                {KW_minimum, KW_exclusiveMaximum, T_NUMBER | T_INTEGER}};
    int types = f->n_props ? T_OBJECT : 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (Keyword kw = rows[i].from; kw <= rows[i].to; kw++)
            if (f->kw[kw]) types |= rows[i].types;
    return types;
}

static bool put_facts(Maker *x, const Facts *f, Buf *out) {
    static bool (*const put[TYPES])(Maker *, const Facts *, Buf *) = {put_object,  put_array, put_string, put_number,
                                                                      put_integer, NULL,      NULL};
    if (f->never) return buf_str(out, "never"), true;
    if (f->kw[KW_enum] || f->kw[KW_const]) return put_values(x, f, out);
    int types = f->types, implied = implied_types(f);
    bool any = false;
    if (types == T_ALL && !implied) return buf_str(out, "value"), true;
    if (types == T_ALL) types = implied;
    if (types & T_NUMBER) types &= ~T_INTEGER;
    if (f->nullable) types |= T_NULL;
    for (int i = 0; i < TYPES; i++) {
        if (!(types & 1 << i)) continue;
        buf_str(out, any ? " | " : "");
        any = true;
        if (put[i])
            TRY(put[i](x, f, out));
        else
            buf_str(out, 1 << i == T_NULL ? "\"null\"" : "boolean");
    }
    if (!any) buf_str(out, "never");
    return true;
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

/* Two values that are surely not equal, however they are written. */
static bool values_differ(const Value *a, const Value *b) {
    int both = types_of_value(a) & types_of_value(b);
    if (both & (T_NUMBER | T_OBJECT | T_ARRAY)) return false;
    return !both || !equal(a, b);
}

static bool lists_apart(const Value *a, const Value *b) {
    Value x, y;
    size_t i = 0;
    while (a && b && value_next(a, &i, &x))
        for (size_t j = 0; value_next(b, &j, &y);)
            if (!values_differ(&x, &y)) return false;
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
        size_t before = enter_item(x, keyword_names[kw], i);
        int rule = -1;
        branch[i] = copy_facts(base);
        TRY(gather(x, v, &branch[i]));
        if (base->any_fact && (branch[i].kw[KW_anyOf] || branch[i].kw[KW_oneOf]))
            return refuse(x, "", "alternatives inside of alternatives that are joined with more are not supported");
        for (size_t k = 0; k < i && kw == KW_oneOf; k++)
            if (!facts_apart(&branch[k], &branch[i]))
                return refuse(x, "",
                              "nothing tells it apart from another branch of oneOf, so a value might be both; use "
                              "anyOf, or a member with a const that all branches require");
        if (!base->any_fact) {
            TRY(schema_rule(x, v, &rule)); /* by itself, so that it may refer to what holds it */
        } else {
            Buf b = {0};
            if (!put_facts(x, &branch[i], &b)) return buf_release(&b), false;
            rule = add_rule(x, &b);
        }
        buf_str(out, i ? " |" : "");
        put_rule(out, rule);
        leave(x, before);
    }
    if (!list->array.n) buf_str(out, "never");
    return true;
}

static bool put_choice(Maker *x, const Facts *f, Buf *out) {
    Keyword kw = f->kw[KW_anyOf] ? KW_anyOf : KW_oneOf;
    const Value *list = f->kw[kw];
    Facts base = copy_facts(f);
    bool ok = list->kind == VALUE_ARRAY || refuse(x, keyword_names[kw], "must be a list of schemas");
    if (ok && f->kw[KW_anyOf] && f->kw[KW_oneOf]) ok = refuse(x, "oneOf", "beside anyOf it is not supported");
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

static bool put_schema(Maker *x, const Value *v, Buf *out) {
    Facts f = {.types = T_ALL};
    const Value *ref = v->kind == VALUE_OBJECT ? only_ref(v) : NULL;
    if (ref) return put_ref(x, ref, out);
    int depth = x->depth;
    bool ok = gather(x, v, &f);
    x->depth++;
    if (ok && x->depth > DEPTH_MAX) ok = refuse(x, "", "schemas nested too deeply");
    ok = ok && (f.kw[KW_anyOf] || f.kw[KW_oneOf] ? put_choice(x, &f, out) : put_facts(x, &f, out));
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
    if (ok && !(ok = put_schema(&x, &root, &body))) err_prefix(e, "'%s'", what);
    if (ok) buf_printf(out, "root ::= %s\n%s", body.s, common);
    buf_release(&body);
    buf_release(&x.path);
    free(x.refs);
    arena_release(&arena);
    return ok;
}
