/* Going over values. Generators are lazy, as Python's: an error inside one appears when its items are asked for. */
#include "tokenizer/jinja_impl.h"

bool jiterable(JValue v) { return v.kind == J_ITER || jhas_length(v); }

static bool next_none(Jinja *j, JIter *it, JValue *out) { return (void)j, (void)it, (void)out, false; }

static bool next_item(Jinja *j, JIter *it, JValue *out) { /* of a list, tuple or range */
    JValue v = it->source;
    int64_t n = v.kind == J_RANGE ? v.range->n : (int64_t)v.seq->n;
    if (it->i >= n) return false;
    *out = jindex_value(j, v, it->i++);
    return true;
}

static bool next_char(Jinja *j, JIter *it, JValue *out) { /* i counts bytes */
    JText *t = it->source.s;
    size_t at = (size_t)it->i;
    int len;
    if (at >= t->n) return false;
    utf8_decode(t->s + at, &len);
    *out = jstr(jtext_slice(j, t, at, at + (size_t)len));
    it->i += len;
    return true;
}

static bool next_pair(Jinja *j, JIter *it, JValue *out) { /* of a view or a dict */
    const JDict *d = it->source.kind == J_VIEW ? it->source.view->dict : it->source.dict;
    if ((size_t)it->i >= d->n) return false;
    const JPair *p = &d->pairs[it->i++];
    JViewKind what = it->source.kind == J_VIEW ? it->source.view->what : VIEW_KEYS;
    *out = what == VIEW_KEYS ? p->key : what == VIEW_VALUES ? p->value : jpair_tuple(j, p->key, p->value);
    return true;
}

static bool next_loop(Jinja *j, JIter *it, JValue *out) {
    (void)out;
    (void)it;
    jinja_fail(j, "a loop cannot be gone over from inside");
}

JValue jiter_value(Jinja *j, JNextFn *next, const char *type, JValue source, void *state) {
    JIter *it = JINJA_NEW(j, JIter, 1);
    *it = (JIter){.next = next, .type = type, .source = source, .state = state};
    return (JValue){.kind = J_ITER, .iter = it};
}

JIter *jiter_of(Jinja *j, JValue v) {
    switch (v.kind) {
    case J_ITER: return v.iter;
    case J_UNDEFINED: return jiter_value(j, next_none, "generator", v, NULL).iter;
    case J_STR: return jiter_value(j, next_char, "str_iterator", v, NULL).iter;
    case J_LIST:
    case J_TUPLE:
    case J_RANGE: return jiter_value(j, next_item, "list_iterator", v, NULL).iter;
    case J_DICT:
    case J_VIEW: return jiter_value(j, next_pair, "dict_keyiterator", v, NULL).iter;
    case J_LOOP: return jiter_value(j, next_loop, "LoopContext", v, NULL).iter;
    default: jinja_fail(j, "'%s' cannot be gone over", jtype_name(v));
    }
}

bool jiter_next(Jinja *j, JIter *it, JValue *out) {
    jinja_step(j, 0);
    jinja_enter(j);
    bool more = it->next(j, it, out);
    j->depth++;
    return more;
}

JSeq *jcollect(Jinja *j, JValue v) {
    JSeq *s = jseq_new(j, v.kind == J_LIST || v.kind == J_TUPLE ? v.seq->n : 0);
    JIter *it = jiter_of(j, v);
    for (JValue item; jiter_next(j, it, &item);) jseq_push(j, s, item);
    return s;
}

JValue jindex_value(Jinja *j, JValue v, int64_t i) {
    if (v.kind == J_RANGE) return jint(v.range->start + i * v.range->step);
    if (v.kind != J_STR) return v.seq->v[i];
    size_t at = jtext_at(j, v.s, i);
    int len;
    utf8_decode(v.s->s + at, &len);
    return jstr(jtext_slice(j, v.s, at, at + (size_t)len));
}

/* ---- the variable `loop` ---- */

static int64_t loop_length(Jinja *j, JLoop *loop) {
    if (loop->length >= 0) return loop->length;
    if (loop->over.kind != J_ITER && jhas_length(loop->over)) return loop->length = jlength(j, loop->over);
    JSeq *rest = jseq_new(j, 0);
    for (JValue v; jiter_next(j, loop->it, &v);) jseq_push(j, rest, v);
    loop->it = jiter_of(j, jlist(rest));
    return loop->length = (int64_t)rest->n + loop->index0 + 1 + jgiven(loop->after);
}

static bool loop_peek(Jinja *j, JLoop *loop) { return jgiven(loop->after) || jiter_next(j, loop->it, &loop->after); }

static JValue loop_cycle(Jinja *j, JValue *a, const JArgs *rest) {
    if (!rest->n) jinja_fail(j, "loop.cycle needs values");
    if (rest->n_named) jinja_fail(j, "loop.cycle takes no named arguments");
    return rest->v[a[0].loop->index0 % (int64_t)rest->n];
}

static JValue loop_changed(Jinja *j, JValue *a, const JArgs *rest) {
    JLoop *loop = a[0].loop;
    if (rest->n_named) jinja_fail(j, "loop.changed takes no named arguments");
    JSeq *now = jseq_new(j, rest->n);
    for (size_t i = 0; i < rest->n; i++) jseq_push(j, now, rest->v[i]);
    bool same = jgiven(loop->changed) && jequal(j, loop->changed, jtuple(now));
    if (!same) loop->changed = jtuple(now);
    return jbool(!same);
}

static const JRow loop_methods[] = {{"cycle", loop_cycle, 0, true, {NULL}}, {"changed", loop_changed, 0, true, {NULL}}};

JValue jloop_attr(Jinja *j, JLoop *loop, Str name) {
    if (str_is(name, "index")) return jint(loop->index0 + 1);
    if (str_is(name, "index0")) return jint(loop->index0);
    if (str_is(name, "length")) return jint(loop_length(j, loop));
    if (str_is(name, "revindex")) return jint(loop_length(j, loop) - loop->index0);
    if (str_is(name, "revindex0")) return jint(loop_length(j, loop) - loop->index0 - 1);
    if (str_is(name, "first")) return jbool(loop->index0 == 0);
    if (str_is(name, "last")) return jbool(!loop_peek(j, loop));
    if (str_is(name, "depth")) return jint(loop->depth0 + 1);
    if (str_is(name, "depth0")) return jint(loop->depth0);
    if (str_is(name, "previtem"))
        return loop->index0 > 0 ? loop->before : jundefined(j, "there is no item before the first");
    if (str_is(name, "nextitem"))
        return loop_peek(j, loop) ? loop->after : jundefined(j, "there is no item after the last");
    const JRow *row = jrow_find(loop_methods, COUNT_OF(loop_methods), name);
    if (!row) return jundefined_name(j, name, "LoopContext");
    JFunc *f = JINJA_NEW(j, JFunc, 1);
    *f = (JFunc){row, {.kind = J_LOOP, .loop = loop}};
    return (JValue){.kind = J_FUNC, .func = f};
}
