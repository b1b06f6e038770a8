/* Values: truth, equality, order, containers. */
#include "tokenizer/jinja_impl.h"

#include <math.h>

const char *jtype_name(JValue v) {
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items"};
    switch (v.kind) {
    case J_UNSET:
    case J_UNDEFINED: return "Undefined";
    case J_NONE: return "NoneType";
    case J_BOOL: return "bool";
    case J_INT: return "int";
    case J_FLOAT: return "float";
    case J_STR: return "str";
    case J_LIST: return "list";
    case J_TUPLE: return "tuple";
    case J_DICT: return "dict";
    case J_RANGE: return "range";
    case J_VIEW: return views[v.view->what];
    case J_NAMESPACE: return "Namespace";
    case J_ITER: return v.iter->type;
    case J_FUNC: return "function";
    case J_MACRO: return "Macro";
    case J_LOOP: return "LoopContext";
    case J_CYCLER: return "Cycler";
    case J_JOINER: return "Joiner";
    }
    return "value";
}

static JValue undefined_new(Jinja *j, JUndefined u) {
    JUndefined *p = JINJA_NEW(j, JUndefined, 1);
    *p = u;
    return (JValue){.kind = J_UNDEFINED, .undefined = p};
}

JValue jundefined(Jinja *j, const char *hint) { return undefined_new(j, (JUndefined){.hint = hint}); }
JValue jundefined_name(Jinja *j, Str name, const char *of) {
    return undefined_new(j, (JUndefined){.name = name, .of = of});
}

bool jtruth(Jinja *j, JValue v) {
    switch (v.kind) {
    case J_UNSET:
    case J_UNDEFINED:
    case J_NONE: return false;
    case J_BOOL: return v.b;
    case J_INT: return v.i != 0;
    case J_FLOAT: return v.f != 0;
    case J_STR: return v.s->n != 0;
    default: return !jhas_length(v) || jlength(j, v) != 0;
    }
}

bool jhas_length(JValue v) {
    switch (v.kind) {
    case J_UNDEFINED:
    case J_STR:
    case J_LIST:
    case J_TUPLE:
    case J_DICT:
    case J_RANGE:
    case J_VIEW:
    case J_LOOP: return true;
    default: return false;
    }
}

int64_t jlength(Jinja *j, JValue v) {
    switch (v.kind) {
    case J_UNDEFINED: return 0;
    case J_STR: return jtext_chars(j, v.s);
    case J_LIST:
    case J_TUPLE: return (int64_t)v.seq->n;
    case J_DICT: return (int64_t)v.dict->n;
    case J_RANGE: return v.range->n;
    case J_VIEW: return (int64_t)v.view->dict->n;
    case J_LOOP: return jloop_attr(j, v.loop, STR("length")).i;
    default: jinja_fail(j, "an object of type '%s' has no length", jtype_name(v));
    }
}

/* ---- equality and order ---- */

static bool same_items(Jinja *j, const JSeq *a, const JSeq *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!jsame(a->v[i], b->v[i]) && !jequal(j, a->v[i], b->v[i])) return false;
    return true;
}

static bool same_pairs(Jinja *j, const JDict *a, const JDict *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const JValue *v = jdict_get(j, b, a->pairs[i].key);
        if (!v || (!jsame(a->pairs[i].value, *v) && !jequal(j, a->pairs[i].value, *v))) return false;
    }
    return true;
}

static int compare_numbers(JValue a, JValue b) { /* 2: not comparable, a NaN */
    if (jis_int(a) && jis_int(b)) return (jas_int(a) > jas_int(b)) - (jas_int(a) < jas_int(b));
    if (jis_int(a)) {
        int c = compare_numbers(b, a);
        return c == 2 ? 2 : -c;
    }
    if (isnan(a.f)) return 2;
    if (b.kind == J_FLOAT) return isnan(b.f) ? 2 : (a.f > b.f) - (a.f < b.f);
    if (a.f >= 0x1p63) return 1; /* exactly, where the integer has more bits than a double */
    if (a.f < -0x1p63) return -1;
    int64_t whole = (int64_t)a.f, i = jas_int(b);
    if (whole != i) return whole > i ? 1 : -1;
    return (a.f > (double)whole) - (a.f < (double)whole);
}

bool jequal(Jinja *j, JValue a, JValue b) {
    jinja_step(j, 0);
    if (jis_number(a) && jis_number(b)) return compare_numbers(a, b) == 0;
    if (a.kind != b.kind) return false;
    bool same;
    switch (a.kind) {
    case J_UNDEFINED:
    case J_NONE: return true;
    case J_STR: jinja_step(j, MIN(a.s->n, b.s->n)); return str_eq(jtext_view(a.s), jtext_view(b.s));
    case J_LIST:
    case J_TUPLE:
    case J_DICT:
        jinja_enter(j);
        same = a.kind == J_DICT ? same_pairs(j, a.dict, b.dict) : same_items(j, a.seq, b.seq);
        j->depth++;
        return same;
    case J_RANGE:
        return a.range->n == b.range->n && (!a.range->n || (a.range->start == b.range->start &&
                                                            (a.range->n == 1 || a.range->step == b.range->step)));
    case J_VIEW:
        if (a.view->what != VIEW_VALUES && b.view->what != VIEW_VALUES)
            jinja_fail(j, "views of a dict cannot be compared here; make them lists");
        return a.view == b.view;
    default: return jsame(a, b);
    }
}

bool jsame(JValue a, JValue b) {
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case J_UNSET:
    case J_NONE: return true;
    case J_BOOL: return a.b == b.b;
    case J_INT: return a.i == b.i;
    case J_FLOAT: return memcmp(&a.f, &b.f, sizeof a.f) == 0;
    case J_STR: return a.s == b.s || (a.s->s == b.s->s && a.s->n == b.s->n);
    case J_FUNC: return a.func == b.func || (!jgiven(a.func->self) && a.func->row == b.func->row);
    default: return a.seq == b.seq;
    }
}

static bool holds(int c, JOrder how) {
    switch (how) {
    case ORDER_LT: return c == -1;
    case ORDER_LE: return c == -1 || c == 0;
    case ORDER_GT: return c == 1;
    case ORDER_GE: return c == 1 || c == 0;
    }
    return false;
}

static bool order_items(Jinja *j, const JSeq *a, const JSeq *b, JOrder how) {
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (!jsame(a->v[i], b->v[i]) && !jequal(j, a->v[i], b->v[i])) return jorder(j, a->v[i], b->v[i], how);
    return holds((a->n > b->n) - (a->n < b->n), how);
}

bool jorder(Jinja *j, JValue a, JValue b, JOrder how) {
    jinja_step(j, 0);
    if (jis_number(a) && jis_number(b)) return holds(compare_numbers(a, b), how);
    if (a.kind == J_UNDEFINED) jinja_fail_undefined(j, a);
    if (b.kind == J_UNDEFINED) jinja_fail_undefined(j, b);
    if (a.kind == J_STR && b.kind == J_STR) { /* bytes of UTF-8 are in the order of code points */
        size_t n = MIN(a.s->n, b.s->n);
        int c = n ? memcmp(a.s->s, b.s->s, n) : 0;
        jinja_step(j, n);
        if (!c) c = (a.s->n > b.s->n) - (a.s->n < b.s->n);
        return holds((c > 0) - (c < 0), how);
    }
    if (a.kind != b.kind || (a.kind != J_LIST && a.kind != J_TUPLE))
        jinja_fail(j, "'%s' and '%s' have no order", jtype_name(a), jtype_name(b));
    jinja_enter(j);
    bool yes = order_items(j, a.seq, b.seq, how);
    j->depth++;
    return yes;
}

bool jcontains(Jinja *j, JValue box, JValue item) {
    if (box.kind == J_STR) {
        Str in = jtext_view(box.s), what = jtext_view(jarg_str(j, item, "what is looked for in a string"));
        jinja_step(j, in.n);
        return !what.n || memmem(in.s, in.n, what.s, what.n) != NULL;
    }
    if (box.kind == J_DICT || (box.kind == J_VIEW && box.view->what == VIEW_KEYS))
        return jdict_get(j, box.kind == J_DICT ? box.dict : box.view->dict, item) != NULL;
    if (!jiterable(box)) jinja_fail(j, "'in' needs something to look in, not '%s'", jtype_name(box));
    JIter *it = jiter_of(j, box);
    for (JValue v; jiter_next(j, it, &v);)
        if (jsame(v, item) || jequal(j, v, item)) return true;
    return false;
}

/* Stable, as Python's: only a < b is asked. */
static bool sort_less(Jinja *j, JValue a, JValue b, bool reverse) {
    return reverse ? jorder(j, b, a, ORDER_LT) : jorder(j, a, b, ORDER_LT);
}

void jsort(Jinja *j, JValue *v, JValue *keys, size_t n, bool reverse) {
    JValue *v2 = JINJA_NEW(j, JValue, n + 1), *k2 = JINJA_NEW(j, JValue, n + 1);
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            size_t mid = MIN(begin + width, n), end = MIN(begin + 2 * width, n), a = begin, b = mid;
            for (size_t to = begin; to < end; to++) {
                size_t from = b < end && (a >= mid || sort_less(j, keys[b], keys[a], reverse)) ? b++ : a++;
                v2[to] = v[from];
                k2[to] = keys[from];
            }
        }
        memcpy(v, v2, n * sizeof *v);
        memcpy(keys, k2, n * sizeof *keys);
    }
}

/* ---- containers ---- */

JSeq *jseq_new(Jinja *j, size_t cap) {
    JSeq *s = JINJA_NEW(j, JSeq, 1);
    s->v = cap ? JINJA_NEW(j, JValue, cap) : NULL;
    s->cap = cap;
    return s;
}

void jseq_push(Jinja *j, JSeq *s, JValue v) {
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 4;
        JValue *more = JINJA_NEW(j, JValue, cap);
        if (s->n) memcpy(more, s->v, s->n * sizeof *more);
        s->v = more;
        s->cap = cap;
    }
    jinja_step(j, 0);
    s->v[s->n++] = v;
}

JValue jpair_tuple(Jinja *j, JValue a, JValue b) {
    JSeq *s = jseq_new(j, 2);
    s->v[0] = a;
    s->v[1] = b;
    s->n = 2;
    return jtuple(s);
}

JDict *jdict_new(Jinja *j) { return JINJA_NEW(j, JDict, 1); }

bool jhashable(JValue v) {
    for (size_t i = 0; v.kind == J_TUPLE && i < v.seq->n; i++)
        if (!jhashable(v.seq->v[i])) return false;
    return v.kind != J_LIST && v.kind != J_DICT && v.kind != J_VIEW;
}

/* Equal keys have equal hashes: numbers by value, whatever their type. */
static uint64_t hash_key(Jinja *j, JValue v) {
    uint64_t h = 7;
    switch (v.kind) {
    case J_STR: jinja_step(j, v.s->n); return hash_bytes(v.s->s, v.s->n, 1);
    case J_BOOL:
    case J_INT: h = (uint64_t)jas_int(v); return hash_bytes(&h, sizeof h, 2);
    case J_FLOAT:
        if (v.f >= -0x1p63 && v.f < 0x1p63 && v.f == (double)(int64_t)v.f) return hash_key(j, jint((int64_t)v.f));
        return hash_bytes(&v.f, sizeof v.f, 3);
    case J_TUPLE:
        jinja_enter(j);
        for (size_t i = 0; i < v.seq->n; i++) h = h * 31 + hash_key(j, v.seq->v[i]);
        j->depth++;
        return h;
    case J_LIST:
    case J_DICT:
    case J_VIEW: jinja_fail(j, "a '%s' cannot be a key, or be told apart by its value", jtype_name(v));
    default: return (uint64_t)v.kind;
    }
}

static const JPair *find_pair(Jinja *j, const JDict *d, JValue key, uint64_t hash) {
    if (!d->slots) {
        for (size_t i = 0; i < d->n; i++)
            if (d->pairs[i].hash == hash && (jsame(d->pairs[i].key, key) || jequal(j, d->pairs[i].key, key)))
                return &d->pairs[i];
        return NULL;
    }
    for (size_t at = hash & d->mask; d->slots[at]; at = (at + 1) & d->mask) {
        const JPair *p = &d->pairs[d->slots[at] - 1];
        jinja_step(j, 0);
        if (p->hash == hash && (jsame(p->key, key) || jequal(j, p->key, key))) return p;
    }
    return NULL;
}

static void fill_slots(Jinja *j, JDict *d) {
    d->mask = 4 * d->cap - 1;
    d->slots = JINJA_NEW(j, uint32_t, d->mask + 1);
    for (size_t i = 0; i < d->n; i++) {
        size_t at = d->pairs[i].hash & d->mask;
        while (d->slots[at]) at = (at + 1) & d->mask;
        d->slots[at] = (uint32_t)i + 1;
    }
}

static void dict_grow(Jinja *j, JDict *d) {
    size_t cap = d->cap ? 2 * d->cap : 4;
    JPair *pairs = JINJA_NEW(j, JPair, cap);
    if (cap > UINT32_MAX / 8) jinja_fail(j, "a dict grows too large");
    if (d->n) memcpy(pairs, d->pairs, d->n * sizeof *pairs);
    d->pairs = pairs;
    d->cap = cap;
    if (cap > 8) fill_slots(j, d);
}

void jdict_put(Jinja *j, JDict *d, JValue key, JValue value) {
    uint64_t hash = hash_key(j, key);
    JPair *have = (JPair *)find_pair(j, d, key, hash);
    if (have) {
        have->value = value;
        return;
    }
    if (d->n == d->cap) dict_grow(j, d);
    d->pairs[d->n++] = (JPair){key, value, hash};
    if (!d->slots) return;
    size_t at = hash & d->mask;
    while (d->slots[at]) at = (at + 1) & d->mask;
    d->slots[at] = (uint32_t)d->n;
}

const JValue *jdict_get(Jinja *j, const JDict *d, JValue key) {
    const JPair *p = find_pair(j, d, key, hash_key(j, key));
    return p ? &p->value : NULL;
}

const JValue *jdict_find(Jinja *j, const JDict *d, Str key) {
    JText t = {.s = key.s, .n = key.n, .chars = -1, .trusted = true};
    return jdict_get(j, d, jstr(&t));
}
