/* Expressions at work, and calls. */
#include "tokenizer/jinja_impl.h"

static JValue eval_name(Jinja *j, const JNode *n, const JScope *s) {
    for (int h = 0; h < n->hops; h++) s = s->parent;
    JValue v = s->v[n->slot];
    return jgiven(v) ? v : jundefined_name(j, n->name, NULL);
}

static JSeq *eval_all(Jinja *j, const JNodes *list, JScope *s) {
    JSeq *seq = jseq_new(j, list->n);
    for (size_t i = 0; i < list->n; i++) jseq_push(j, seq, jeval(j, list->v[i], s));
    return seq;
}

static JValue eval_dict(Jinja *j, const JNode *n, JScope *s) {
    JDict *d = jdict_new(j);
    for (size_t i = 0; i + 1 < n->items.n; i += 2) {
        JValue key = jeval(j, n->items.v[i], s), value = jeval(j, n->items.v[i + 1], s);
        j->at = n->items.v[i]->at;
        jdict_put(j, d, key, value);
    }
    return jdict(d);
}

static bool compare(Jinja *j, JCompare op, JValue a, JValue b) {
    switch (op) {
    case CMP_EQ: return jequal(j, a, b);
    case CMP_NE: return !jequal(j, a, b);
    case CMP_LT: return jorder(j, a, b, ORDER_LT);
    case CMP_LE: return jorder(j, a, b, ORDER_LE);
    case CMP_GT: return jorder(j, a, b, ORDER_GT);
    case CMP_GE: return jorder(j, a, b, ORDER_GE);
    case CMP_IN: return jcontains(j, b, a);
    case CMP_NOT_IN: return !jcontains(j, b, a);
    }
    return false;
}

static JValue eval_compare(Jinja *j, const JNode *n, JScope *s) { /* a < b < c: as long as all hold */
    JValue left = jeval(j, n->a, s);
    for (size_t i = 0; i < n->items.n; i++) {
        const JNode *o = n->items.v[i];
        JValue right = jeval(j, o->a, s);
        j->at = o->at;
        if (!compare(j, (JCompare)o->op, left, right)) return jbool(false);
        left = right;
    }
    return jbool(true);
}

static JValue eval_concat(Jinja *j, const JNode *n, JScope *s) {
    JText *text = jto_str(j, jeval(j, n->items.v[0], s));
    for (size_t i = 1; i < n->items.n; i++) text = jtext_concat(j, text, jto_str(j, jeval(j, n->items.v[i], s)));
    return jstr(text);
}

static JValue eval_item(Jinja *j, const JNode *n, JScope *s) {
    JValue obj = jeval(j, n->a, s);
    if (n->b->kind != N_SLICE) {
        JValue key = jeval(j, n->b, s);
        j->at = n->at;
        return jget_item(j, obj, key);
    }
    JValue part[3] = {J_NONE_VALUE, J_NONE_VALUE, J_NONE_VALUE};
    const JNode *from[3] = {n->b->a, n->b->b, n->b->c};
    for (int i = 0; i < 3; i++)
        if (from[i]) part[i] = jeval(j, from[i], s);
    j->at = n->at;
    return jslice(j, obj, part[0], part[1], part[2]);
}

/* ---- arguments ---- */

static void spread_named(Jinja *j, JArgs *a, JValue v) {
    if (v.kind != J_DICT && v.kind != J_NAMESPACE) jinja_fail(j, "'**' needs a dict, not '%s'", jtype_name(v));
    size_t n = a->n_named + v.dict->n;
    Str *names = JINJA_NEW(j, Str, n + 1);
    JValue *named = JINJA_NEW(j, JValue, n + 1);
    if (a->n_named) {
        memcpy(names, a->names, a->n_named * sizeof *names);
        memcpy(named, a->named, a->n_named * sizeof *named);
    }
    a->names = names;
    a->named = named;
    for (size_t i = 0; i < v.dict->n; i++) {
        JPair *p = &v.dict->pairs[i];
        if (p->key.kind != J_STR) jinja_fail(j, "the names of arguments must be strings");
        for (size_t k = 0; k < a->n_named; k++)
            if (str_eq(names[k], jtext_view(p->key.s)))
                jinja_fail(j, "the argument '%.*s' is given twice", STR_ARG(names[k]));
        names[a->n_named] = jtext_view(p->key.s);
        named[a->n_named++] = p->value;
    }
}

static JArgs eval_args(Jinja *j, const JCallArgs *from, JScope *s) {
    JArgs a = {0};
    if (!from) return a;
    JSeq *pos = eval_all(j, &from->pos, s), *named = eval_all(j, &from->named, s);
    if (from->star) {
        JIter *it = jiter_of(j, jeval(j, from->star, s));
        for (JValue v; jiter_next(j, it, &v);) jseq_push(j, pos, v);
    }
    a = (JArgs){pos->v, pos->n, from->names, named->v, named->n};
    if (from->double_star) spread_named(j, &a, jeval(j, from->double_star, s));
    return a;
}

int64_t jarg_int(Jinja *j, JValue v, const char *what) {
    if (v.kind == J_UNDEFINED) jinja_fail_undefined(j, v);
    if (!jis_int(v)) jinja_fail(j, "%s must be an integer, not '%s'", what, jtype_name(v));
    return jas_int(v);
}

JText *jarg_str(Jinja *j, JValue v, const char *what) {
    if (v.kind == J_UNDEFINED) jinja_fail_undefined(j, v);
    if (v.kind != J_STR) jinja_fail(j, "%s must be a string, not '%s'", what, jtype_name(v));
    return v.s;
}

static int n_params(const JRow *row) {
    int n = 0;
    while (n < J_PARAMS && row->params[n]) n++;
    return n;
}

static int param_index(const JRow *row, Str name) {
    for (int i = 0; name.n && i < n_params(row); i++)
        if (str_is(name, row->params[i])) return i;
    return -1;
}

JValue jcall_row(Jinja *j, const JRow *row, JValue self, const JArgs *args) {
    JValue a[J_PARAMS + 1] = {self};
    int n = n_params(row);
    JArgs rest = {0};
    jinja_step(j, 0);
    if (!row->fn) jinja_fail(j, "'%s' is not supported in a chat template here", row->name);
    for (int i = 0; i < n; i++) a[i + 1] = (size_t)i < args->n ? args->v[i] : J_UNSET_VALUE;
    if (args->n > (size_t)n) {
        if (!row->rest) jinja_fail(j, "'%s' takes at most %d arguments, not %zu", row->name, n, args->n);
        rest.v = args->v + n;
        rest.n = args->n - (size_t)n;
    }
    if (row->rest) {
        rest.names = args->names;
        rest.named = args->named;
        rest.n_named = args->n_named;
    }
    for (size_t i = 0; i < args->n_named && !row->rest; i++) {
        int at = param_index(row, args->names[i]);
        if (at < 0) jinja_fail(j, "'%s' takes no argument '%.*s'", row->name, STR_ARG(args->names[i]));
        if (jgiven(a[at + 1])) jinja_fail(j, "'%s' is given the argument '%s' twice", row->name, row->params[at]);
        a[at + 1] = args->named[i];
    }
    for (int i = 0; i < row->need; i++)
        if (!jgiven(a[i + 1])) jinja_fail(j, "'%s' needs %d arguments", row->name, row->need);
    JValue out = row->fn(j, a, &rest);
    bool method = row >= jinja_str_methods && row < jinja_str_methods + jinja_n_str_methods;
    return method && self.s->markup ? jkeep_markup(j, out) : out;
}

static JValue call_joiner(Jinja *j, JCycler *c, const JArgs *args) {
    if (args->n || args->n_named) jinja_fail(j, "a joiner takes no arguments");
    return c->at++ ? c->items : jstr_of(j, "");
}

JValue jcall(Jinja *j, JValue fn, const JArgs *args) {
    switch (fn.kind) {
    case J_FUNC: return jcall_row(j, fn.func->row, fn.func->self, args);
    case J_MACRO: return jcall_macro(j, fn.macro, args);
    case J_JOINER: return call_joiner(j, fn.cycler, args);
    case J_UNDEFINED: jinja_fail_undefined(j, fn);
    case J_LOOP:
        if (!fn.loop->recursive) jinja_fail(j, "only a loop that is marked 'recursive' can be called");
        if (args->n != 1 || args->n_named) jinja_fail(j, "loop() takes one argument");
        return jloop_render(j, fn.loop->recursive, fn.loop->scope, args->v[0], fn.loop->depth0 + 1);
    default: jinja_fail(j, "'%s' cannot be called", jtype_name(fn));
    }
}

static JValue eval_call(Jinja *j, const JNode *n, JScope *s) {
    JValue fn = jeval(j, n->a, s);
    JArgs args = eval_args(j, n->args, s);
    j->at = n->at;
    return jcall(j, fn, &args);
}

static JValue eval_row(Jinja *j, const JNode *n, JScope *s) { /* filter, test */
    JValue v = jeval(j, n->a, s);
    JArgs args = eval_args(j, n->args, s);
    j->at = n->at;
    if (!n->row)
        jinja_fail(j, "no %s named '%.*s'", n->kind == N_FILTER ? "filter" : "test", (int)MIN(n->name.n, (size_t)60),
                   n->name.s);
    JValue out = jcall_row(j, n->row, v, &args);
    j->at = n->at;
    return out;
}

static JValue eval_cond(Jinja *j, const JNode *n, JScope *s) {
    if (jtruth(j, jeval(j, n->b, s))) return jeval(j, n->a, s);
    return n->c ? jeval(j, n->c, s) : jundefined(j, "the inline if was false and has no else");
}

static JValue eval_arith(Jinja *j, const JNode *n, JScope *s) {
    JValue a = jeval(j, n->a, s), b = jeval(j, n->b, s);
    j->at = n->at;
    return jarith(j, (JOp)n->op, a, b);
}

static JValue eval_sign(Jinja *j, const JNode *n, JScope *s) {
    JValue v = jeval(j, n->a, s);
    j->at = n->at;
    return jnegate(j, v, n->kind == N_NEG);
}

static JValue eval_attr(Jinja *j, const JNode *n, JScope *s) {
    JValue v = jeval(j, n->a, s);
    j->at = n->at;
    return jget_attr(j, v, n->name);
}

static JValue eval(Jinja *j, const JNode *n, JScope *s) {
    JValue v;
    switch (n->kind) {
    case N_CONST: return n->value;
    case N_NAME: return eval_name(j, n, s);
    case N_LIST: return jlist(eval_all(j, &n->items, s));
    case N_TUPLE: return jtuple(eval_all(j, &n->items, s));
    case N_DICT: return eval_dict(j, n, s);
    case N_COND: return eval_cond(j, n, s);
    case N_OR: return v = jeval(j, n->a, s), jtruth(j, v) ? v : jeval(j, n->b, s);
    case N_AND: return v = jeval(j, n->a, s), jtruth(j, v) ? jeval(j, n->b, s) : v;
    case N_NOT: return jbool(!jtruth(j, jeval(j, n->a, s)));
    case N_COMPARE: return eval_compare(j, n, s);
    case N_ARITH: return eval_arith(j, n, s);
    case N_NEG:
    case N_POS: return eval_sign(j, n, s);
    case N_CONCAT: return eval_concat(j, n, s);
    case N_ATTR: return eval_attr(j, n, s);
    case N_ITEM: return eval_item(j, n, s);
    case N_CALL: return eval_call(j, n, s);
    case N_FILTER:
    case N_TEST: return eval_row(j, n, s);
    default: BUG("expression %d", (int)n->kind);
    }
}

JValue jeval(Jinja *j, const JNode *n, JScope *s) {
    jinja_step(j, 0);
    jinja_enter(j);
    j->at = n->at;
    JValue v = eval(j, n, s);
    j->depth++;
    return v;
}
