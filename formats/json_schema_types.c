/* One expression for each type. */
#include "formats/json_schema_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/json.h"

/* ---- numbers and strings ---- */

bool schema_count(Maker *x, const Facts *f, Keyword kw, int64_t none, int64_t *n) {
    *n = none;
    if (!f->kw[kw]) return true;
    if (!value_as_int(f->kw[kw], schema_keywords[kw], n, NULL) || *n < 0)
        return schema_refuse(x, schema_keywords[kw], "must be a whole number, 0 or more");
    return true;
}

typedef struct Bounds {
    double lo, hi; /* infinite: none */
    bool lo_open, hi_open;
} Bounds;

/* A bound on numbers as a double that may be infinite. */
static bool take_bound(Maker *x, const Facts *f, Keyword kw, double none, double *bound) {
    *bound = none;
    if (f->kw[kw] && (f->kw[kw]->kind == VALUE_NULL || !value_as_float(f->kw[kw], schema_keywords[kw], bound, NULL)))
        return schema_refuse(x, schema_keywords[kw], "must be a number");
    return true;
}

/* As many decimals as the bound was written with: it must come out again as the same number. */
static bool take_decimal(Maker *x, double bound, Decimal *d) {
    for (d->places = 0; d->places <= GBNF_PLACES_MAX; d->places++) {
        char text[64];
        snprintf(text, sizeof text, "%.*f", d->places, bound);
        if (strtod(text, NULL) != bound) continue;
        char *point = strchr(text, '.');
        if (point) memmove(point, point + 1, strlen(point));
        d->digits = strtoll(text, NULL, 10);
        return true;
    }
    return schema_refuse(x, "", "bounds of a number with more than 8 decimals are not supported");
}

static bool put_number_range(Maker *x, const Bounds *b, Buf *out) {
    const double most = (double)GBNF_INT_MAX;
    NumberRange r = {.lo_none = b->lo<-most, .hi_none = b->hi> most, .lo_open = b->lo_open, .hi_open = b->hi_open};
    if (b->lo > most || b->hi < -most) return buf_str(out, "never"), true;
    if (r.lo_none && r.hi_none) return buf_str(out, "number"), true;
    if (!r.lo_none) TRY(take_decimal(x, b->lo, &r.lo));
    if (!r.hi_none) TRY(take_decimal(x, b->hi, &r.hi));
    return gbnf_number_range(out, r) || schema_refuse(x, "", "these bounds have too many digits");
}

/* The texts of k * of, least <= k <= most, one by one. */
static void put_few_multiples(Buf *out, int64_t of, int64_t least, int64_t most) {
    for (int64_t k = least; k <= most; k++) buf_printf(out, "%s\"%lld\"", k > least ? " | " : "(", (long long)(k * of));
    buf_char(out, ')');
}

enum { MULTIPLE_DIGITS = 9 };

/* A rule for every remainder and number of digits that may still come: those that leave none. Rule base + remainder *
 * MULTIPLE_DIGITS + digits. The last alternative never comes; a rule that refers to itself is not written out where it
 * is used, which would be in ten others. */
static int add_remainders(Maker *x, int64_t of) {
    if (x->remainders[of]) return x->remainders[of];
    int base = x->n_rules;
    x->n_rules += (int)of * MULTIPLE_DIGITS;
    for (int64_t rest = 0; rest < of; rest++)
        for (int left = 0; left < MULTIPLE_DIGITS; left++) {
            int rule = base + (int)rest * MULTIPLE_DIGITS + left;
            buf_printf(x->rules, "r%d ::= %s", rule, rest ? "" : "\"\" | ");
            for (int d = 0; d < 10 && left > 0; d++)
                buf_printf(x->rules, "\"%d\" r%d | ", d,
                           base + (int)((rest * 10 + d) % of) * MULTIPLE_DIGITS + left - 1);
            buf_printf(x->rules, "never r%d\n", rule);
        }
    return x->remainders[of] = base + MULTIPLE_DIGITS - 1; /* behind the first digit */
}

/* Whole numbers from lo to hi that `of` divides. Without bounds to count them between, by a rule for every remainder;
 * powers of ten end in zeros. */
static bool put_multiples(Maker *x, int64_t of, int64_t lo, int64_t hi, Buf *out) {
    enum { FEW = 256 };
    int64_t least = lo / of + (lo > 0 && lo % of != 0), most = hi / of - (hi < 0 && hi % of != 0), ten = 1;
    int zeros = 0;
    if (least > most) return buf_str(out, "never"), true;
    if (most - least < FEW) return put_few_multiples(out, of, least, most), true;
    for (; ten < of; ten *= 10) zeros++;
    bool below = least < 0;
    bool above = most > 0;
    buf_str(out, least <= 0 && most >= 0 ? "(\"0\" | " : "(");
    if (ten == of) {
        if (below)
            gbnf_int_range(out, least, MIN(most, -1)), buf_printf(out, " \"%0*d\"%s", zeros, 0, above ? " | " : "");
        if (above) gbnf_int_range(out, MAX(least, 1), most), buf_printf(out, " \"%0*d\"", zeros, 0);
    } else {
        if (of > SCHEMA_DIVISOR_MAX || (below && lo > -GBNF_INT_MAX) || (above && hi < GBNF_INT_MAX) || least > 1 ||
            most < -1)
            return schema_refuse(x, "multipleOf",
                                 "it is supported up to 100 without other bounds than 0, for powers of ten, and where "
                                 "bounds leave no more than 256 numbers");
        int first = add_remainders(x, of);
        buf_str(out, !below ? "(" : above ? "\"-\"? (" : "\"-\" (");
        for (int d = 1; d < 10; d++)
            buf_printf(out, "%s\"%d\" r%d", d > 1 ? " | " : "", d, first + (int)(d % of) * MULTIPLE_DIGITS);
        buf_char(out, ')');
    }
    buf_char(out, ')');
    return true;
}

static bool put_whole_range(Maker *x, const Facts *f, const Bounds *b, Buf *out) {
    const double most = (double)GBNF_INT_MAX;
    int64_t of = 1;
    if (f->kw[KW_multipleOf] && (!value_as_int(f->kw[KW_multipleOf], "multipleOf", &of, NULL) || of < 1))
        return schema_refuse(x, "multipleOf", "only whole numbers, 1 or more, are supported");
    double lo = MAX(b->lo_open ? floor(b->lo) + 1 : ceil(b->lo), -most);
    double hi = MIN(b->hi_open ? ceil(b->hi) - 1 : floor(b->hi), most);
    if (lo > hi) return buf_str(out, "never"), true;
    if (of > 1) return put_multiples(x, of, (int64_t)lo, (int64_t)hi, out);
    if (lo == -most && hi == most) return buf_str(out, "integer"), true;
    gbnf_int_range(out, (int64_t)lo, (int64_t)hi);
    return true;
}

static bool take_bounds(Maker *x, const Facts *f, Bounds *b) {
    const double inf = (double)INFINITY;
    double above, below;
    TRY(take_bound(x, f, KW_minimum, -inf, &b->lo) && take_bound(x, f, KW_maximum, inf, &b->hi));
    TRY(take_bound(x, f, KW_exclusiveMinimum, -inf, &above) && take_bound(x, f, KW_exclusiveMaximum, inf, &below));
    b->lo_open = above >= b->lo && above > -inf;
    b->hi_open = below <= b->hi && below < inf;
    b->lo = MAX(b->lo, above);
    b->hi = MIN(b->hi, below);
    return true;
}

static bool put_integer(Maker *x, const Facts *f, Buf *out) {
    Bounds b;
    return take_bounds(x, f, &b) && put_whole_range(x, f, &b, out);
}

static bool put_number(Maker *x, const Facts *f, Buf *out) {
    Bounds b;
    TRY(take_bounds(x, f, &b));
    return f->kw[KW_multipleOf] ? put_whole_range(x, f, &b, out) : put_number_range(x, &b, out);
}

bool schema_put_pattern(Maker *x, const Value *v, const char *keyword, Buf *out) {
    Err why = {0};
    if (v->kind != VALUE_STR) return schema_refuse(x, keyword, "must be a text");
    return gbnf_of_regex(v->s, out, &why) || schema_refuse(x, keyword, why.msg);
}

void schema_put_bounds(Buf *out, int64_t min, int64_t max) {
    if (max < 0)
        buf_printf(out, "{%lld,}", (long long)min);
    else
        buf_printf(out, "{%lld,%lld}", (long long)min, (long long)max);
}

static bool put_string(Maker *x, const Facts *f, Buf *out) {
    int64_t min, max;
    const Value *pattern = f->kw[KW_pattern], *format = f->kw[KW_format];
    TRY(schema_count(x, f, KW_minLength, 0, &min) && schema_count(x, f, KW_maxLength, -1, &max));
    bool counted = min > 0 || max >= 0;
    if (!pattern && !format && !counted) return buf_str(out, "string"), true;
    if (!!pattern + !!format + counted > 1)
        return schema_refuse(x, "", "only one of pattern, format and a length is supported for a string");
    if (max >= 0 && min > max) return buf_str(out, "never"), true;
    buf_str(out, "\"\\\"\" ");
    if (pattern) TRY(schema_put_pattern(x, pattern, "pattern", out));
    if (format) {
        const char *text = format->kind == VALUE_STR ? gbnf_of_format(format->s) : NULL;
        if (!text)
            return schema_refuse(x, "format",
                                 "known are date, time, date-time, duration, uuid, ipv4, ipv6, email, hostname, uri "
                                 "and json-pointer");
        buf_printf(out, "(%s)", text);
    }
    if (counted) {
        buf_str(out, "char");
        schema_put_bounds(out, min, max);
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
        schema_put_bounds(&b, MAX(a->min - i, 0), a->max < 0 ? -1 : a->max - i);
        buf_str(&b, " ws");
    } else {
        buf_str(&b, i < a->min ? "never" : "ws");
    }
    return schema_add_rule(x, &b);
}

static bool take_items(Maker *x, const Facts *f, Items *a) {
    static const Value any = {.kind = VALUE_BOOL, .b = true};
    const Value *listed = f->kw[KW_prefixItems], *tail = f->kw[KW_items];
    TRY(schema_count(x, f, KW_minItems, 0, &a->min) && schema_count(x, f, KW_maxItems, -1, &a->max));
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

/* What may follow once the values of the bits of `used` were written. */
static void put_unused(const Items *a, const Str *texts, int base, int used, Buf *out) {
    int64_t n = 0;
    for (int64_t i = 0; i < a->listed; i++) n += used >> i & 1;
    buf_str(out, n < a->min ? "never" : n ? "ws" : "\"\"");
    for (int64_t i = 0; i < a->listed && (a->max < 0 || n < a->max); i++) {
        if (used >> i & 1) continue;
        buf_str(out, n ? " | \",\" ws " : " | ");
        gbnf_literal(out, texts[i]);
        buf_printf(out, " r%d", base + (used | 1 << i));
    }
}

/* An array in which each of a few fixed values stands once at most: a rule for every set of values. */
static bool put_unique(Maker *x, const Facts *f, Items *a, Buf *out) {
    enum { VALUES_MAX = 10 };
    Facts item = {.types = T_ALL};
    Buf texts[VALUES_MAX] = {{0}}, b = {0};
    Str text[VALUES_MAX];
    size_t before = schema_enter(x, STR("items"));
    bool ok = f->kw[KW_items] && !a->listed && schema_gather(x, f->kw[KW_items], &item);
    const Value *list = item.kw[KW_enum];
    ok = ok && list && !item.kw[KW_const] && schema_put_facts(x, &item, &b); /* refuses what stands beside the list */
    buf_clear(&b);
    schema_leave(x, before);
    for (size_t i = 0; ok && i < list->array.n; i++) {
        const Value *v = &list->array.items[i];
        if (!(schema_types_of(v) & item.types)) continue;
        ok = a->listed < VALUES_MAX;
        for (size_t k = 0; k < i; k++) ok = ok && schema_differ(v, &list->array.items[k]);
        if (ok) json_put_value(&texts[a->listed], v, -1);
        if (ok) text[a->listed] = buf_view(&texts[a->listed]), a->listed++;
    }
    if (ok) {
        int base = x->n_rules;
        x->n_rules += 1 << a->listed;
        for (int used = 0; used < 1 << a->listed; used++) {
            buf_printf(x->rules, "r%d ::= ", base + used);
            put_unused(a, text, base, used, x->rules);
            buf_char(x->rules, '\n');
        }
        buf_printf(out, "\"[\" ws r%d \"]\"", base);
    }
    for (int i = 0; i < VALUES_MAX; i++) buf_release(&texts[i]);
    buf_release(&b);
    free(item.props);
    return ok || schema_refuse(x, "uniqueItems", "it is only supported where items are an enum of up to 10 values");
}

static bool put_array(Maker *x, const Facts *f, Buf *out) {
    Items a = {0};
    const Value *unique = f->kw[KW_uniqueItems];
    bool ok = take_items(x, f, &a);
    if (ok && unique && (unique->kind != VALUE_BOOL || unique->b) && (a.max < 0 || a.max > 1)) {
        ok = put_unique(x, f, &a, out);
    } else if (ok) {
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
        bool fits = (schema_types_of(v) & f->types) && !(list && one && !json_same(v, one));
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
    } rows[] = {{KW_additionalProperties, KW_dependentRequired, T_OBJECT},
                {KW_items, KW_uniqueItems, T_ARRAY},
                {KW_minLength, KW_format, T_STRING},
                {KW_minimum, KW_multipleOf, T_NUMBER | T_INTEGER}};
    int types = f->n_props ? T_OBJECT : 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (Keyword kw = rows[i].from; kw <= rows[i].to; kw++)
            if (f->kw[kw]) types |= rows[i].types;
    return types;
}

bool schema_put_facts(Maker *x, const Facts *f, Buf *out) {
    static bool (*const put[SCHEMA_TYPES])(Maker *, const Facts *, Buf *) = {
        schema_put_object, put_array, put_string, put_number, put_integer, NULL, NULL};
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
