/* Methods of everything but str, and the global functions. */
#include <math.h>
#include <time.h>

#include "tokenizer/jinja_impl.h"

const JRow *jrow_find(const JRow *rows, size_t n, Str name) {
    for (size_t i = 0; i < n; i++)
        if (str_is(name, rows[i].name)) return &rows[i];
    return NULL;
}

/* ---- lists and tuples ---- */

static JValue m_count(Jinja *j, JValue *a, const JArgs *r) {
    int64_t n = 0;
    (void)r;
    for (size_t i = 0; i < a[0].seq->n; i++) n += jsame(a[0].seq->v[i], a[1]) || jequal(j, a[0].seq->v[i], a[1]);
    return jint(n);
}

static JValue m_index(Jinja *j, JValue *a, const JArgs *r) {
    int64_t n = (int64_t)a[0].seq->n, from = jgiven(a[2]) ? jarg_int(j, a[2], "a position") : 0;
    int64_t to = jgiven(a[3]) ? jarg_int(j, a[3], "a position") : n;
    (void)r;
    from = from < 0 ? MAX(from + n, 0) : from;
    to = to < 0 ? to + n : MIN(to, n);
    for (int64_t i = from; i < to; i++)
        if (jsame(a[0].seq->v[i], a[1]) || jequal(j, a[0].seq->v[i], a[1])) return jint(i);
    jinja_fail(j, "the list does not hold the value");
}

static JValue m_copy(Jinja *j, JValue *a, const JArgs *r) { return (void)r, jlist(jcollect(j, a[0])); }

/* ---- dicts ---- */

static JValue m_get(Jinja *j, JValue *a, const JArgs *r) {
    const JValue *v = jdict_get(j, a[0].dict, a[1]);
    (void)r;
    return v ? *v : jgiven(a[2]) ? a[2] : J_NONE_VALUE;
}

static JValue view(Jinja *j, JValue *a, JViewKind what) {
    JView *v = JINJA_NEW(j, JView, 1);
    v->dict = a[0].dict;
    v->what = what;
    return (JValue){.kind = J_VIEW, .view = v};
}
static JValue m_keys(Jinja *j, JValue *a, const JArgs *r) { return (void)r, view(j, a, VIEW_KEYS); }
static JValue m_values(Jinja *j, JValue *a, const JArgs *r) { return (void)r, view(j, a, VIEW_VALUES); }
static JValue m_items(Jinja *j, JValue *a, const JArgs *r) { return (void)r, view(j, a, VIEW_ITEMS); }

/* Puts what dict(v) holds. */
static void put_pairs(Jinja *j, JDict *d, JValue v) {
    if (v.kind == J_UNDEFINED) jinja_fail_undefined(j, v);
    if (v.kind == J_DICT) {
        for (size_t i = 0; i < v.dict->n; i++) jdict_put(j, d, v.dict->pairs[i].key, v.dict->pairs[i].value);
        return;
    }
    JIter *it = jiter_of(j, v);
    for (JValue item; jiter_next(j, it, &item);) {
        JSeq *pair = jcollect(j, item);
        if (pair->n != 2) jinja_fail(j, "a dict is made of pairs, not of %zu values", pair->n);
        jdict_put(j, d, pair->v[0], pair->v[1]);
    }
}

static JValue m_dict_copy(Jinja *j, JValue *a, const JArgs *r) {
    JDict *d = jdict_new(j);
    (void)r;
    put_pairs(j, d, a[0]);
    return jdict(d);
}

static JValue m_is_integer(Jinja *j, JValue *a, const JArgs *r) {
    return (void)j, (void)r, jbool(isfinite(a[0].f) && a[0].f == floor(a[0].f));
}

/* ---- cycler ---- */

static JValue m_next(Jinja *j, JValue *a, const JArgs *r) {
    JCycler *c = a[0].cycler;
    JValue v = c->items.seq->v[c->at];
    (void)j;
    (void)r;
    c->at = (c->at + 1) % c->items.seq->n;
    return v;
}
static JValue m_reset(Jinja *j, JValue *a, const JArgs *r) {
    return (void)j, (void)r, a[0].cycler->at = 0, J_NONE_VALUE;
}

/* ---- who has what; a NULL function: Python has it, we refuse ---- */

static const JRow list_methods[] = {
    {"copy", m_copy, 0, false, {NULL}}, {"count", m_count, 1, false, {""}}, {"index", m_index, 1, false, {"", "", ""}}};
static const JRow dict_methods[] = {{"copy", m_dict_copy, 0, false, {NULL}}, {"fromkeys", NULL, 0, true, {NULL}},
                                    {"get", m_get, 1, false, {"", ""}},      {"items", m_items, 0, false, {NULL}},
                                    {"keys", m_keys, 0, false, {NULL}},      {"values", m_values, 0, false, {NULL}}};
static const JRow view_methods[] = {{"isdisjoint", NULL, 0, true, {NULL}}, {"mapping", NULL, 0, true, {NULL}}};
static const JRow int_methods[] = {{"as_integer_ratio", NULL, 0, true, {NULL}},
                                   {"bit_count", NULL, 0, true, {NULL}},
                                   {"bit_length", NULL, 0, true, {NULL}},
                                   {"conjugate", NULL, 0, true, {NULL}},
                                   {"denominator", NULL, 0, true, {NULL}},
                                   {"from_bytes", NULL, 0, true, {NULL}},
                                   {"imag", NULL, 0, true, {NULL}},
                                   {"numerator", NULL, 0, true, {NULL}},
                                   {"real", NULL, 0, true, {NULL}},
                                   {"to_bytes", NULL, 0, true, {NULL}}};
static const JRow float_methods[] = {{"is_integer", m_is_integer, 0, false, {NULL}},
                                     {"as_integer_ratio", NULL, 0, true, {NULL}},
                                     {"conjugate", NULL, 0, true, {NULL}},
                                     {"fromhex", NULL, 0, true, {NULL}},
                                     {"hex", NULL, 0, true, {NULL}},
                                     {"imag", NULL, 0, true, {NULL}},
                                     {"real", NULL, 0, true, {NULL}}};
static const JRow range_methods[] = {{"count", NULL, 0, true, {NULL}}, {"index", NULL, 0, true, {NULL}}};
static const JRow cycler_methods[] = {{"next", m_next, 0, false, {NULL}},
                                      {"reset", m_reset, 0, false, {NULL}},
                                      {"items", NULL, 0, true, {NULL}},
                                      {"pos", NULL, 0, true, {NULL}}};
static const JRow macro_methods[] = {{"arguments", NULL, 0, true, {NULL}},
                                     {"catch_kwargs", NULL, 0, true, {NULL}},
                                     {"catch_varargs", NULL, 0, true, {NULL}},
                                     {"caller", NULL, 0, true, {NULL}},
                                     {"explicit_caller", NULL, 0, true, {NULL}}};

const JRow *jmethod_find(JValue v, Str name, bool *refused) {
    static const char *const list_changes[] = {"append", "clear", "pop",    "reverse",
                                               "insert", "sort",  "extend", "remove"};
    static const char *const dict_changes[] = {"clear", "pop", "popitem", "setdefault", "update"};
    for (size_t i = 0; v.kind == J_LIST && i < COUNT_OF(list_changes); i++) *refused |= str_is(name, list_changes[i]);
    for (size_t i = 0; v.kind == J_DICT && i < COUNT_OF(dict_changes); i++) *refused |= str_is(name, dict_changes[i]);
#define FIND(rows) jrow_find(rows, COUNT_OF(rows), name)
    switch (v.kind) {
    case J_STR: return jrow_find(jinja_str_methods, jinja_n_str_methods, name);
    case J_LIST: return FIND(list_methods);
    case J_TUPLE: return jrow_find(list_methods + 1, COUNT_OF(list_methods) - 1, name);
    case J_DICT: return FIND(dict_methods);
    case J_VIEW: return FIND(view_methods);
    case J_BOOL:
    case J_INT: return FIND(int_methods);
    case J_FLOAT: return FIND(float_methods);
    case J_RANGE: return FIND(range_methods);
    case J_CYCLER: return FIND(cycler_methods);
    case J_MACRO: return FIND(macro_methods);
    default: return NULL;
    }
#undef FIND
}

/* ---- globals ---- */

enum { MAX_RANGE = 100000 }; /* of jinja2's sandbox */

static JValue g_range(Jinja *j, JValue *a, const JArgs *r) {
    int64_t first = jarg_int(j, a[1], "an end of the range"), start = jgiven(a[2]) ? first : 0;
    int64_t stop = jgiven(a[2]) ? jarg_int(j, a[2], "an end of the range") : first;
    int64_t step = jgiven(a[3]) ? jarg_int(j, a[3], "the step of the range") : 1, span, n = 0;
    (void)r;
    if (step == 0) jinja_fail(j, "the step of the range is zero");
    if (__builtin_sub_overflow(step > 0 ? stop : start, step > 0 ? start : stop, &span) || step == INT64_MIN)
        jinja_fail(j, "the range is too large");
    if (span > 0) n = (span - 1) / (step > 0 ? step : -step) + 1;
    if (n > MAX_RANGE) jinja_fail(j, "the range has more than %d items", MAX_RANGE);
    JRange *range = JINJA_NEW(j, JRange, 1);
    *range = (JRange){start, stop, step, n};
    return (JValue){.kind = J_RANGE, .range = range};
}

static JDict *dict_of(Jinja *j, const JArgs *r) {
    JDict *d = jdict_new(j);
    if (r->n > 1) jinja_fail(j, "a dict is made of at most one value, not %zu", r->n);
    if (r->n) put_pairs(j, d, r->v[0]);
    for (size_t i = 0; i < r->n_named; i++) jdict_put(j, d, jstr(jtext_of(j, r->names[i], true)), r->named[i]);
    return d;
}

static JValue g_dict(Jinja *j, JValue *a, const JArgs *r) { return (void)a, jdict(dict_of(j, r)); }

static JValue g_namespace(Jinja *j, JValue *a, const JArgs *r) {
    JDict *d = dict_of(j, r);
    (void)a;
    for (size_t i = 0; i < d->n; i++)
        if (d->pairs[i].key.kind == J_STR && str_starts(jtext_view(d->pairs[i].key.s), "_"))
            jinja_fail(j, "a namespace has no attributes that begin with an underscore");
    return (JValue){.kind = J_NAMESPACE, .dict = d};
}

static JValue cycler_new(Jinja *j, JKind kind, JValue items) {
    JCycler *c = JINJA_NEW(j, JCycler, 1);
    c->items = items;
    return (JValue){.kind = kind, .cycler = c};
}

static JValue g_cycler(Jinja *j, JValue *a, const JArgs *r) {
    (void)a;
    if (!r->n || r->n_named) jinja_fail(j, "a cycler needs values");
    JSeq *items = jseq_new(j, r->n);
    for (size_t i = 0; i < r->n; i++) jseq_push(j, items, r->v[i]);
    return cycler_new(j, J_CYCLER, jlist(items));
}

static JValue g_joiner(Jinja *j, JValue *a, const JArgs *r) {
    (void)r;
    return cycler_new(j, J_JOINER, jgiven(a[1]) ? a[1] : jstr_of(j, ", "));
}

static JValue g_raise(Jinja *j, JValue *a, const JArgs *r) {
    Str why = jtext_view(jto_str(j, a[1]));
    (void)r;
    jinja_fail(j, "the template refuses this conversation: %.*s", (int)MIN(why.n, (size_t)300), why.s);
}

static JValue g_strftime(Jinja *j, JValue *a, const JArgs *r) {
    const JText *format = jarg_str(j, a[1], "the format of the date");
    time_t now = j->now ? (time_t)j->now : time(NULL);
    char text[1024], fmt[256];
    struct tm tm;
    (void)r;
    if (format->n >= sizeof fmt || memchr(format->s, 0, format->n)) jinja_fail(j, "the format of the date is too long");
    memcpy(fmt, format->s, format->n);
    fmt[format->n] = 0;
    localtime_r(&now, &tm);
    size_t n = strftime(text, sizeof text, fmt, &tm);
    if (!n && format->n) jinja_fail(j, "the date does not fit in %zu bytes", sizeof text);
    JTail *out = jtail_new(j);
    jtail_put(j, out, text, n, format->trusted && !format->marks);
    return jstr(jtail_done(j, out));
}

const JRow jinja_globals[] = {
    {"cycler", g_cycler, 0, true, {NULL}},       {"dict", g_dict, 0, true, {NULL}},
    {"joiner", g_joiner, 0, false, {"sep"}},     {"lipsum", NULL, 0, true, {NULL}},
    {"namespace", g_namespace, 0, true, {NULL}}, {"raise_exception", g_raise, 1, false, {"message"}},
    {"range", g_range, 1, false, {"", "", ""}},  {"strftime_now", g_strftime, 1, false, {"format"}},
};
const size_t jinja_n_globals = COUNT_OF(jinja_globals);
