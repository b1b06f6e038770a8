/* One expression for each type. */
#include "formats/json_schema_parts.h"

#include <math.h>
#include <stdlib.h>

#include "formats/json.h"

/* ---- numbers and strings ---- */

/* A count that must be 0 or more; `none` where the keyword is missing. */
static bool take_count(Maker *x, const Facts *f, Keyword kw, int64_t none, int64_t *n) {
    *n = none;
    if (!f->kw[kw]) return true;
    if (!value_as_int(f->kw[kw], schema_keywords[kw], n, NULL) || *n < 0)
        return schema_refuse(x, schema_keywords[kw], "must be a whole number, 0 or more");
    return true;
}

/* A bound on numbers as a double that may be infinite. */
static bool take_bound(Maker *x, const Facts *f, Keyword kw, double none, double *bound) {
    *bound = none;
    if (f->kw[kw] && (f->kw[kw]->kind == VALUE_NULL || !value_as_float(f->kw[kw], schema_keywords[kw], bound, NULL)))
        return schema_refuse(x, schema_keywords[kw], "must be a number");
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
        return schema_refuse(x, "", "bounds of a number that are no whole numbers are not supported");
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
    if (v->kind != VALUE_STR) return schema_refuse(x, keyword, "must be a text");
    return gbnf_of_regex(v->s, out, &why) || schema_refuse(x, keyword, why.msg);
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
        return schema_refuse(x, "", "only one of pattern, format and a length is supported for a string");
    if (max >= 0 && min > max) return buf_str(out, "never"), true;
    buf_str(out, "\"\\\"\" ");
    if (pattern) TRY(put_pattern(x, pattern, "pattern", out));
    if (format) {
        const char *text = format->kind == VALUE_STR ? gbnf_of_format(format->s) : NULL;
        if (!text)
            return schema_refuse(x, "format", "known are date, time, date-time, uuid, ipv4, email, hostname and uri");
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
    return schema_add_rule(x, &b);
}

static bool take_items(Maker *x, const Facts *f, Items *a) {
    static const Value any = {.kind = VALUE_BOOL, .b = true};
    const Value *listed = f->kw[KW_prefixItems], *tail = f->kw[KW_items];
    TRY(take_count(x, f, KW_minItems, 0, &a->min) && take_count(x, f, KW_maxItems, -1, &a->max));
    if (listed && listed->kind != VALUE_ARRAY) return schema_refuse(x, "prefixItems", "must be a list of schemas");
    if (tail && tail->kind == VALUE_ARRAY)
        return schema_refuse(x, "items", "a list of schemas belongs into prefixItems");
    a->listed = listed ? (int64_t)listed->array.n : 0;
    a->rules = mem_alloc((size_t)a->listed, sizeof *a->rules);
    for (int64_t i = 0; i < a->listed; i++) {
        size_t before = schema_enter_item(x, "prefixItems", (size_t)i);
        TRY(schema_rule(x, &listed->array.items[i], &a->rules[i]));
        schema_leave(x, before);
    }
    a->tail = -1;
    if (!tail && (!a->listed || a->min > a->listed)) tail = &any;
    if (!tail || (tail->kind == VALUE_BOOL && !tail->b)) return true;
    size_t before = schema_enter(x, STR("items"));
    TRY(schema_rule(x, tail, &a->tail));
    schema_leave(x, before);
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
    return schema_add_rule(x, &b);
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
            return schema_refuse(x, "patternProperties",
                                 "only one pattern, and no other members beside it, is supported");
        size_t before = schema_enter(x, STR("patternProperties"));
        buf_str(&b, "\"\\\"\" ");
        bool ok = put_pattern(x, &(Value){.kind = VALUE_STR, .s = patterns->object.keys[0]}, "", &b) &&
                  schema_rule(x, &patterns->object.items[0], &value);
        schema_leave(x, before);
        if (!ok) return buf_release(&b), false;
        buf_printf(&b, " \"\\\":\" \" \"? r%d", value);
        *rule = schema_add_rule(x, &b);
        return true;
    }
    if (!more && !f->n_listed) more = &any;
    if (!more || (more->kind == VALUE_BOOL && !more->b)) return true;
    size_t before = schema_enter(x, STR("additionalProperties"));
    TRY(schema_rule(x, more, &value));
    schema_leave(x, before);
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
        if (other >= 0) buf_printf(&b, "(\",\" ws r%d)", other), put_bounds(&b, 0, max < 0 ? -1 : max - 1);
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

/* A number of members can be held where nothing is listed, and where the listed ones decide it. A key may stand twice
 * in what is not listed, so at least two such members cannot be promised. */
static bool put_object(Maker *x, const Facts *f, Buf *out) {
    int64_t min, max, required = 0;
    const Value *more = f->kw[KW_additionalProperties];
    bool open = more && !(more->kind == VALUE_BOOL && !more->b);
    TRY(schema_check_closer(x, f) && take_count(x, f, KW_minProperties, 0, &min) &&
        take_count(x, f, KW_maxProperties, -1, &max));
    for (size_t i = 0; i < f->n_props; i++) required += f->props[i].required;
    if (min > MAX(required, 1))
        return schema_refuse(x, "minProperties", "more than the required members is not supported");
    if (f->n_props && max >= 0 && (open || max < (int64_t)f->n_props))
        return schema_refuse(x, "maxProperties", "beside properties it is only supported where it says nothing new");
    return put_members(x, f, required ? 0 : min, f->n_props ? -1 : max, out);
}

/* ---- one schema ---- */

static bool put_values(Maker *x, const Facts *f, Buf *out) {
    const Value *list = f->kw[KW_enum], *one = f->kw[KW_const];
    bool any = false;
    if (list && list->kind != VALUE_ARRAY) return schema_refuse(x, "enum", "must be a list of values");
    for (int kw = 0; kw < KW_COUNT; kw++)
        if (f->kw[kw] && kw != KW_enum && kw != KW_const)
            return schema_refuse(x, schema_keywords[kw], "beside enum or const it is not supported");
    if (f->n_props) return schema_refuse(x, "properties", "beside enum or const they are not supported");
    for (size_t i = 0; i < (list ? list->array.n : 1); i++) {
        const Value *v = list ? &list->array.items[i] : one;
        Buf text = {0};
        bool fits = (schema_types_of(v) & f->types) && !(list && one && !schema_equal(v, one));
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
        Keyword from, to; /* inclusive, in the order of json_schema.def */
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

bool schema_put_facts(Maker *x, const Facts *f, Buf *out) {
    static bool (*const put[SCHEMA_TYPES])(Maker *, const Facts *, Buf *) = {
        put_object, put_array, put_string, put_number, put_integer, NULL, NULL};
    if (f->never) return buf_str(out, "never"), true;
    if (f->kw[KW_enum] || f->kw[KW_const]) return put_values(x, f, out);
    int types = f->types, implied = implied_types(f);
    bool any = false;
    if (types == T_ALL && !implied) return buf_str(out, "value"), true;
    if (types == T_ALL) types = implied;
    if (types & T_NUMBER) types &= ~T_INTEGER;
    if (f->nullable) types |= T_NULL;
    for (int i = 0; i < SCHEMA_TYPES; i++) {
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
