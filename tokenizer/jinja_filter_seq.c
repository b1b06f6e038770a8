/* Filters over sequences and dicts, and those that take any value. a[0] is what the filter is applied to. */
#include "tokenizer/jinja_impl.h"

#define FILTER(name) static JValue f_##name(Jinja *j, JValue *a, const JArgs *r)

static bool flag(Jinja *j, JValue v) { return jgiven(v) && jtruth(j, v); }
static bool absent(JValue v) { return !jgiven(v) || v.kind == J_NONE; }

/* ---- attributes by path: "a.b.0" ---- */

static bool all_digits(Str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.s[i] < '0' || s.s[i] > '9') return false;
    return s.n > 0;
}

static JValue path_part(Jinja *j, const JText *path, size_t from, size_t to) {
    JText *part = jtext_slice(j, path, from, to);
    int64_t i = 0;
    if (all_digits(jtext_view(part)) && jtext_to_int(j, part, 10, &i)) return jint(i);
    return jstr(part);
}

static JValue walk(Jinja *j, JValue v, JValue part, JValue missing) {
    v = jget_item(j, v, part);
    return v.kind == J_UNDEFINED && !absent(missing) ? missing : v;
}

static JValue by_path(Jinja *j, JValue v, JValue path, JValue missing) {
    if (absent(path)) return v;
    if (path.kind != J_STR) return walk(j, v, path, missing);
    const JText *t = path.s;
    for (size_t at = 0, from = 0; at <= t->n; at++) {
        if (at < t->n && t->s[at] != '.') continue;
        v = walk(j, v, path_part(j, t, from, at), missing);
        from = at + 1;
    }
    return v;
}

static JValue fold(Jinja *j, JValue v, bool case_sensitive) {
    return v.kind == J_STR && !case_sensitive ? jstr(jtext_case(j, v.s, RULE_LOWER)) : v;
}

/* ---- ends, lengths, order ---- */

FILTER(default) {
    bool use = a[0].kind == J_UNDEFINED || (flag(j, a[2]) && !jtruth(j, a[0]));
    (void)r;
    return !use ? a[0] : jgiven(a[1]) ? a[1] : jstr_of(j, "");
}

FILTER(length) { return (void)r, jint(jlength(j, a[0])); }
FILTER(list) { return (void)r, jlist(jcollect(j, a[0])); }

FILTER(first) {
    JValue v;
    (void)r;
    return jiter_next(j, jiter_of(j, a[0]), &v) ? v : jundefined(j, "the sequence is empty, there is no first item");
}

static bool reversible(JValue v) { return jhas_length(v) && v.kind != J_LOOP; }

FILTER(last) {
    (void)r;
    if (!reversible(a[0])) jinja_fail(j, "a '%s' has no last item; make it a list first", jtype_name(a[0]));
    if (a[0].kind != J_DICT && a[0].kind != J_VIEW && a[0].kind != J_UNDEFINED) {
        int64_t n = jlength(j, a[0]);
        if (n) return jindex_value(j, a[0], n - 1);
    } else {
        JSeq *s = jcollect(j, a[0]);
        if (s->n) return s->v[s->n - 1];
    }
    return jundefined(j, "the sequence is empty, there is no last item");
}

static bool next_back(Jinja *j, JIter *it, JValue *out) {
    if (it->i <= 0) return false;
    *out = jindex_value(j, it->source, --it->i);
    return true;
}

static JSeq *reversed(Jinja *j, JValue v) {
    JSeq *from = jcollect(j, v), *to = jseq_new(j, from->n);
    for (size_t i = from->n; i > 0; i--) jseq_push(j, to, from->v[i - 1]);
    return to;
}

FILTER(reverse) {
    (void)r;
    if (a[0].kind == J_STR) return jstr(jtext_reverse(j, a[0].s));
    if (!jiterable(a[0])) jinja_fail(j, "a '%s' cannot be reversed", jtype_name(a[0]));
    if (!reversible(a[0])) return jlist(reversed(j, a[0]));
    JValue s = a[0].kind == J_LIST || a[0].kind == J_TUPLE || a[0].kind == J_RANGE ? a[0] : jlist(jcollect(j, a[0]));
    JValue it = jiter_value(j, next_back, "list_reverseiterator", s, NULL);
    it.iter->i = jlength(j, s);
    return it;
}

/* Attributes "a,b.c" as a list to order by. */
static JValue sort_key(Jinja *j, JValue v, JValue paths, bool case_sensitive) {
    JSeq *key = jseq_new(j, 1);
    if (paths.kind != J_STR) {
        jseq_push(j, key, fold(j, by_path(j, v, paths, J_UNSET_VALUE), case_sensitive));
        return jlist(key);
    }
    for (size_t at = 0, from = 0; at <= paths.s->n; at++) {
        if (at < paths.s->n && paths.s->s[at] != ',') continue;
        JValue path = jstr(jtext_slice(j, paths.s, from, at));
        jseq_push(j, key, fold(j, by_path(j, v, path, J_UNSET_VALUE), case_sensitive));
        from = at + 1;
    }
    return jlist(key);
}

FILTER(sort) {
    JSeq *s = jcollect(j, a[0]), *keys = jseq_new(j, s->n), *out = jseq_new(j, s->n);
    (void)r;
    for (size_t i = 0; i < s->n; i++) {
        jseq_push(j, keys, sort_key(j, s->v[i], a[3], flag(j, a[2])));
        jseq_push(j, out, s->v[i]);
    }
    jsort(j, out->v, keys->v, s->n, flag(j, a[1]));
    return jlist(out);
}

FILTER(dictsort) {
    JSeq *pairs = jseq_new(j, 0), *keys = jseq_new(j, 0);
    JText *by = jgiven(a[2]) ? jarg_str(j, a[2], "what is sorted by") : jstr_of(j, "key").s;
    bool value = str_is(jtext_view(by), "value");
    (void)r;
    if (!value && !str_is(jtext_view(by), "key")) jinja_fail(j, "a dict is sorted by 'key' or by 'value'");
    if (a[0].kind == J_UNDEFINED) jinja_fail_undefined(j, a[0]);
    if (a[0].kind != J_DICT) jinja_fail(j, "'dictsort' needs a dict, not '%s'", jtype_name(a[0]));
    for (size_t i = 0; i < a[0].dict->n; i++) {
        const JPair *p = &a[0].dict->pairs[i];
        jseq_push(j, pairs, jpair_tuple(j, p->key, p->value));
        jseq_push(j, keys, fold(j, value ? p->value : p->key, flag(j, a[1])));
    }
    jsort(j, pairs->v, keys->v, pairs->n, flag(j, a[3]));
    return jlist(pairs);
}

static JValue extreme(Jinja *j, JValue *a, JOrder better) {
    JIter *it = jiter_of(j, a[0]);
    JValue best = J_UNSET_VALUE, best_key = best;
    for (JValue v; jiter_next(j, it, &v);) {
        JValue key = fold(j, by_path(j, v, a[2], J_UNSET_VALUE), flag(j, a[1]));
        if (jgiven(best) && !jorder(j, key, best_key, better)) continue;
        best = v;
        best_key = key;
    }
    return jgiven(best) ? best : jundefined(j, "the sequence is empty");
}
FILTER(min) { return (void)r, extreme(j, a, ORDER_LT); }
FILTER(max) { return (void)r, extreme(j, a, ORDER_GT); }

FILTER(sum) {
    JValue total = jgiven(a[2]) ? a[2] : jint(0);
    JIter *it = jiter_of(j, a[0]);
    (void)r;
    if (total.kind == J_STR) jinja_fail(j, "texts are joined, not summed");
    for (JValue v; jiter_next(j, it, &v);) total = jarith(j, OP_ADD, total, by_path(j, v, a[1], J_UNSET_VALUE));
    return total;
}

FILTER(join) {
    JTail *out = jtail_new(j);
    JText *between = jgiven(a[1]) ? jto_str(j, a[1]) : NULL;
    JIter *it = jiter_of(j, a[0]);
    bool first = true;
    (void)r;
    for (JValue v; jiter_next(j, it, &v); first = false) {
        if (!first && between) jtail_all(j, out, between);
        jtail_all(j, out, jto_str(j, by_path(j, v, a[2], J_UNSET_VALUE)));
    }
    return jstr(jtail_done(j, out));
}

FILTER(attr) {
    JText *name = jarg_str(j, a[1], "the name of the attribute");
    bool refused = false;
    (void)r;
    if (a[0].kind == J_UNDEFINED) jinja_fail_undefined(j, a[0]);
    if (a[0].kind == J_DICT && !jmethod_find(a[0], jtext_view(name), &refused))
        return jundefined_name(j, jtext_view(name), "dict");
    return jget_attr(j, a[0], jtext_view(name));
}

/* ---- generators ---- */

typedef struct Each { /* what a generator does with every item */
    const JRow *row;  /* filter of map, test of select; NULL: none */
    JArgs args;
    JValue path, missing;
    bool keep; /* select keeps what the test holds for */
    bool case_sensitive;
    JDict *seen;
    int64_t size, left, extra;
    JValue fill;
    JSeq *all;
} Each;

static JValue generator(Jinja *j, JNextFn *next, JValue source, Each each) {
    Each *state = JINJA_NEW(j, Each, 1);
    *state = each;
    JValue v = jiter_value(j, next, "generator", source, state);
    return v;
}

/* The items of the source, begun when the first is asked for. */
static bool from_source(Jinja *j, JIter *it, JValue *out) {
    if (!it->inner) it->inner = jiter_of(j, it->source);
    return jiter_next(j, it->inner, out);
}

static bool next_mapped(Jinja *j, JIter *it, JValue *out) {
    const Each *e = it->state;
    JValue v;
    if (!jtruth(j, it->source) || !from_source(j, it, &v)) return false;
    *out = e->row ? jcall_row(j, e->row, v, &e->args) : by_path(j, v, e->path, e->missing);
    return true;
}

static bool next_selected(Jinja *j, JIter *it, JValue *out) {
    const Each *e = it->state;
    if (!jtruth(j, it->source)) return false;
    while (from_source(j, it, out)) {
        JValue v = by_path(j, *out, e->path, J_UNSET_VALUE);
        if (jtruth(j, e->row ? jcall_row(j, e->row, v, &e->args) : v) == e->keep) return true;
    }
    return false;
}

static JArgs args_after(const JArgs *r, size_t skip) {
    JArgs out = *r;
    out.v += skip;
    out.n -= skip;
    return out;
}

FILTER(map) {
    Each e = {0};
    if (!r->n && r->n_named) {
        for (size_t i = 0; i < r->n_named; i++) {
            if (str_is(r->names[i], "attribute"))
                e.path = r->named[i];
            else if (str_is(r->names[i], "default"))
                e.missing = r->named[i];
            else
                jinja_fail(j, "'map' takes no argument '%.*s'", STR_ARG(r->names[i]));
        }
        if (!jgiven(e.path)) jinja_fail(j, "'map' needs a filter or attribute=...");
        return generator(j, next_mapped, a[0], e);
    }
    if (!r->n) jinja_fail(j, "'map' needs a filter or attribute=...");
    Str name = jtext_view(jarg_str(j, r->v[0], "the name of the filter"));
    e.row = jfilter_find(name);
    e.args = args_after(r, 1);
    if (!e.row) jinja_fail(j, "no filter named '%.*s'", (int)MIN(name.n, (size_t)60), name.s);
    return generator(j, next_mapped, a[0], e);
}

static JValue select_items(Jinja *j, JValue *a, const JArgs *r, bool by_attr, bool keep) {
    Each e = {.keep = keep};
    if (by_attr && !r->n) jinja_fail(j, "the name of the attribute is missing");
    if (by_attr) e.path = r->v[0];
    if (r->n > by_attr) {
        Str name = jtext_view(jarg_str(j, r->v[by_attr], "the name of the test"));
        e.row = jtest_find(name);
        e.args = args_after(r, by_attr + 1u);
        if (!e.row) jinja_fail(j, "no test named '%.*s'", (int)MIN(name.n, (size_t)60), name.s);
    }
    return generator(j, next_selected, a[0], e);
}
FILTER(select) { return select_items(j, a, r, false, true); }
FILTER(reject) { return select_items(j, a, r, false, false); }
FILTER(selectattr) { return select_items(j, a, r, true, true); }
FILTER(rejectattr) { return select_items(j, a, r, true, false); }

static bool next_unique(Jinja *j, JIter *it, JValue *out) {
    Each *e = it->state;
    while (from_source(j, it, out)) {
        JValue key = fold(j, by_path(j, *out, e->path, J_UNSET_VALUE), e->case_sensitive);
        if (jdict_get(j, e->seen, key)) continue;
        jdict_put(j, e->seen, key, J_NONE_VALUE);
        return true;
    }
    return false;
}
FILTER(unique) {
    (void)r;
    return generator(j, next_unique, a[0], (Each){.seen = jdict_new(j), .case_sensitive = flag(j, a[1]), .path = a[2]});
}

static bool next_batch(Jinja *j, JIter *it, JValue *out) {
    const Each *e = it->state;
    JSeq *s = jseq_new(j, 0);
    for (JValue v; (s->n == 0 || (int64_t)s->n != e->size) && from_source(j, it, &v);) jseq_push(j, s, v);
    if (!s->n) return false;
    while (!absent(e->fill) && (int64_t)s->n < e->size) jseq_push(j, s, e->fill);
    *out = jlist(s);
    return true;
}
FILTER(batch) {
    (void)r;
    return generator(j, next_batch, a[0], (Each){.size = jarg_int(j, a[1], "the size of a batch"), .fill = a[2]});
}

static bool next_slice(Jinja *j, JIter *it, JValue *out) {
    Each *e = it->state;
    if (!e->all) {
        e->all = jcollect(j, it->source);
        if (e->size == 0) jinja_fail(j, "the number of slices is zero");
        e->left = (int64_t)e->all->n / e->size;
        e->extra = (int64_t)e->all->n % e->size;
    }
    int64_t i = it->i++, from = i * e->left + MIN(i, e->extra), to = (i + 1) * e->left + MIN(i + 1, e->extra);
    if (i >= e->size) return false;
    JSeq *s = jseq_new(j, 0);
    for (; from < to; from++) jseq_push(j, s, e->all->v[from]);
    if (!absent(e->fill) && i >= e->extra) jseq_push(j, s, e->fill);
    *out = jlist(s);
    return true;
}
FILTER(slice) {
    (void)r;
    return generator(j, next_slice, a[0], (Each){.size = jarg_int(j, a[1], "the number of slices"), .fill = a[2]});
}

static bool next_pair(Jinja *j, JIter *it, JValue *out) {
    if (it->source.kind == J_UNDEFINED) return false;
    if (it->source.kind != J_DICT) jinja_fail(j, "'items' needs a dict, not '%s'", jtype_name(it->source));
    if ((size_t)it->i >= it->source.dict->n) return false;
    const JPair *p = &it->source.dict->pairs[it->i++];
    *out = jpair_tuple(j, p->key, p->value);
    return true;
}
FILTER(items) { return (void)r, generator(j, next_pair, a[0], (Each){0}); }

FILTER(groupby) {
    JSeq *s = jcollect(j, a[0]), *keys = jseq_new(j, s->n), *items = jseq_new(j, s->n), *out = jseq_new(j, 0);
    bool case_sensitive = flag(j, a[3]);
    JValue last = J_UNSET_VALUE;
    (void)r;
    for (size_t i = 0; i < s->n; i++) {
        jseq_push(j, keys, fold(j, by_path(j, s->v[i], a[1], a[2]), case_sensitive));
        jseq_push(j, items, s->v[i]);
    }
    jsort(j, items->v, keys->v, s->n, false);
    for (size_t i = 0; i < items->n; i++) {
        if (!jgiven(last) || !jequal(j, last, keys->v[i])) {
            JValue group = jpair_tuple(j, by_path(j, items->v[i], a[1], a[2]), jlist(jseq_new(j, 0)));
            group.seq->group = true;
            jseq_push(j, out, group);
            last = keys->v[i];
        }
        jseq_push(j, out->v[out->n - 1].seq->v[1].seq, items->v[i]);
    }
    return jlist(out);
}

const JRow jinja_seq_filters[] = {
    {"attr", f_attr, 1, false, {"name"}},
    {"batch", f_batch, 1, false, {"linecount", "fill_with"}},
    {"count", f_length, 0, false, {NULL}},
    {"d", f_default, 0, false, {"default_value", "boolean"}},
    {"default", f_default, 0, false, {"default_value", "boolean"}},
    {"dictsort", f_dictsort, 0, false, {"case_sensitive", "by", "reverse"}},
    {"first", f_first, 0, false, {NULL}},
    {"groupby", f_groupby, 1, false, {"attribute", "default", "case_sensitive"}},
    {"items", f_items, 0, false, {NULL}},
    {"join", f_join, 0, false, {"d", "attribute"}},
    {"last", f_last, 0, false, {NULL}},
    {"length", f_length, 0, false, {NULL}},
    {"list", f_list, 0, false, {NULL}},
    {"map", f_map, 0, true, {NULL}},
    {"max", f_max, 0, false, {"case_sensitive", "attribute"}},
    {"min", f_min, 0, false, {"case_sensitive", "attribute"}},
    {"random", f_first, 0, false, {NULL}}, /* any item will do, and the same one makes the same prompt again */
    {"reject", f_reject, 0, true, {NULL}},
    {"rejectattr", f_rejectattr, 0, true, {NULL}},
    {"reverse", f_reverse, 0, false, {NULL}},
    {"select", f_select, 0, true, {NULL}},
    {"selectattr", f_selectattr, 0, true, {NULL}},
    {"slice", f_slice, 1, false, {"slices", "fill_with"}},
    {"sort", f_sort, 0, false, {"reverse", "case_sensitive", "attribute"}},
    {"sum", f_sum, 0, false, {"attribute", "start"}},
    {"unique", f_unique, 0, false, {"case_sensitive", "attribute"}},
};
const size_t jinja_n_seq_filters = COUNT_OF(jinja_seq_filters);

const JRow *jfilter_find(Str name) {
    const JRow *row = jrow_find(jinja_text_filters, jinja_n_text_filters, name);
    return row ? row : jrow_find(jinja_seq_filters, jinja_n_seq_filters, name);
}
