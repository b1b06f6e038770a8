/* Statements at work: scopes, loops, macros, output. */
#include "tokenizer/jinja_impl.h"

typedef enum Flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE } Flow;

static Flow exec_all(Jinja *j, const JNodes *body, JScope *s);

/* ---- scopes ---- */

static JScope *scope_new(Jinja *j, const JFrame *f, JScope *parent) {
    JScope *s = JINJA_NEW(j, JScope, 1);
    s->parent = parent;
    s->v = JINJA_NEW(j, JValue, f->n + 1);
    return s;
}

/* Gives the names of a scope the values that they have when it is entered; parameters stay. */
static void scope_enter(Jinja *j, const JFrame *f, JScope *s) {
    for (int i = 0; i < f->n; i++) {
        const JLocal *l = &f->locals[i];
        if (l->load == LOAD_PARAM) continue;
        s->v[i] = J_UNSET_VALUE;
        if (l->load == LOAD_ALIAS) {
            const JScope *from = s;
            for (int h = 0; h < l->hops; h++) from = from->parent;
            s->v[i] = from->v[l->slot];
        } else if (l->load == LOAD_RESOLVE) {
            int32_t at = strmap_get(&j->names, l->name);
            if (at >= 0) s->v[i] = j->values[at];
        }
    }
}

static JScope *scope_open(Jinja *j, const JFrame *f, JScope *parent) {
    JScope *s = scope_new(j, f, parent);
    scope_enter(j, f, s);
    return s;
}

static JValue *place(const JNode *n, JScope *s) {
    for (int h = 0; h < n->hops; h++) s = s->parent;
    return &s->v[n->slot];
}

static void assign(Jinja *j, const JNode *target, JScope *s, JValue v) {
    j->at = target->at;
    if (target->kind == N_NAME) {
        *place(target, s) = v;
    } else if (target->kind == N_NSREF) {
        JValue ns = *place(target, s);
        if (ns.kind != J_NAMESPACE)
            jinja_fail(j, "'%.*s' is no namespace, its attributes cannot be set", STR_ARG(target->name));
        if (str_starts(jtext_view(target->value.s), "_"))
            jinja_fail(j, "a namespace has no attributes that begin with an underscore");
        jdict_put(j, ns.dict, target->value, v);
    } else {
        JIter *it = jiter_of(j, v);
        JValue item;
        for (size_t i = 0; i < target->items.n; i++) {
            j->at = target->at;
            if (!jiter_next(j, it, &item)) jinja_fail(j, "%zu values are needed, there are %zu", target->items.n, i);
            assign(j, target->items.v[i], s, item);
        }
        j->at = target->at;
        if (jiter_next(j, it, &item)) jinja_fail(j, "there are more than the %zu values needed", target->items.n);
    }
}

/* ---- loops ---- */

typedef struct Filtered { /* for ... if: what passes */
    const JNode *node;
    JScope *scope;
    JIter *from;
} Filtered;

static JValue target_value(Jinja *j, const JNode *target, const JScope *s) {
    if (target->kind == N_NAME) return s->v[target->slot];
    JSeq *seq = jseq_new(j, target->items.n);
    for (size_t i = 0; i < target->items.n; i++) jseq_push(j, seq, target_value(j, target->items.v[i], s));
    return jtuple(seq);
}

static bool next_filtered(Jinja *j, JIter *it, JValue *out) {
    Filtered *f = it->state;
    for (JValue item; jiter_next(j, f->from, &item);) {
        scope_enter(j, f->node->test_frame, f->scope);
        assign(j, f->node->a, f->scope, item);
        if (!jtruth(j, jeval(j, f->node->c, f->scope))) continue;
        *out = target_value(j, f->node->a, f->scope);
        return true;
    }
    return false;
}

static JValue filtered(Jinja *j, const JNode *n, JScope *s, JValue over) {
    Filtered *f = JINJA_NEW(j, Filtered, 1);
    *f = (Filtered){n, scope_new(j, n->test_frame, s), jiter_of(j, over)};
    return jiter_value(j, next_filtered, "generator", J_UNSET_VALUE, f);
}

static bool loop_next(Jinja *j, JLoop *loop, JValue *out) {
    if (jgiven(loop->after)) {
        *out = loop->after;
        loop->after = J_UNSET_VALUE;
    } else if (!jiter_next(j, loop->it, out)) {
        return false;
    }
    loop->index0++;
    loop->before = loop->current;
    loop->current = *out;
    return true;
}

static Flow run_loop(Jinja *j, const JNode *n, JScope *s, JValue over, int depth0) {
    j->at = n->b->at;
    if (n->c) over = filtered(j, n, s, over);
    JLoop *loop = JINJA_NEW(j, JLoop, 1);
    *loop = (JLoop){.it = jiter_of(j, over),
                    .over = over,
                    .index0 = -1,
                    .length = -1,
                    .depth0 = depth0,
                    .recursive = n->op ? n : NULL,
                    .scope = s};
    JScope *body = scope_new(j, n->frame, s);
    bool completed = false; /* an iteration came to its end: `else` does not run */
    for (JValue item; loop_next(j, loop, &item);) {
        jinja_step(j, 0);
        assign(j, n->a, body, item);
        if (n->caller >= 0) body->v[n->caller] = (JValue){.kind = J_LOOP, .loop = loop};
        scope_enter(j, n->frame, body);
        Flow flow = exec_all(j, &n->body, body);
        if (flow == FLOW_BREAK) break;
        completed |= flow == FLOW_NEXT;
    }
    return completed || !n->other.n ? FLOW_NEXT : exec_all(j, &n->other, scope_open(j, n->other_frame, s));
}

JValue jloop_render(Jinja *j, const JNode *n, JScope *scope, JValue over, int depth0) {
    JTail *before = j->out;
    jinja_enter(j);
    j->out = jtail_new(j);
    run_loop(j, n, scope, over, depth0);
    JText *text = jtail_done(j, j->out);
    j->out = before;
    j->depth++;
    return jstr(text);
}

/* ---- captured output ---- */

static JText *capture(Jinja *j, const JNodes *body, JScope *s, Flow *flow) {
    JTail *before = j->out;
    j->out = jtail_new(j);
    *flow = exec_all(j, body, s);
    JText *text = jtail_done(j, j->out);
    j->out = before;
    return text;
}

/* Filters of a block: the innermost has no operand, the captured text takes its place. */
static JValue filter_text(Jinja *j, const JNode *filter, JScope *s, JText *text) {
    if (!filter) return jstr(text);
    JNode *first = (JNode *)filter;
    while (first->a) first = first->a;
    JNode given = {.kind = N_CONST, .at = filter->at, .value = jstr(text)}, copy;
    const JNode *chain[32];
    size_t n = 0;
    for (const JNode *f = filter; f; f = f->a) {
        if (n == COUNT_OF(chain)) jinja_fail(j, "more than %zu filters in a row", n);
        chain[n++] = f;
    }
    while (n > 0) { /* the template is shared: evaluate copies */
        copy = *chain[--n];
        copy.a = &given;
        given.value = jeval(j, &copy, s);
    }
    return given.value;
}

static void print(Jinja *j, JValue v) { jtail_all(j, j->out, jto_str(j, v)); }

/* Of a block: jinja2 writes the value as it is, and only text can be written. */
static void print_text(Jinja *j, JValue v) {
    if (v.kind != J_STR) jinja_fail(j, "the block gives a '%s', and only text can be printed", jtype_name(v));
    print(j, v);
}

/* Counts from the start of the rendered text, as the reference does, also where the block stands in a macro. */
static void exec_generation(Jinja *j, const JNode *n, JScope *s) {
    Flow flow;
    JText *text = capture(j, &n->body, scope_open(j, n->frame, s), &flow);
    JinjaSpan span = {j->root_out->n, j->root_out->n + text->n, true};
    jtail_put(j, j->answers, (const char *)&span, sizeof span, true);
    jtail_all(j, j->out, text);
}

/* ---- macros ---- */

static JValue macro_value(Jinja *j, const JNode *n, JScope *s) {
    JMacro *m = JINJA_NEW(j, JMacro, 1);
    *m = (JMacro){n, s};
    return (JValue){.kind = J_MACRO, .macro = m};
}

static int named_index(const JArgs *args, Str name) {
    for (size_t i = 0; i < args->n_named; i++)
        if (str_eq(args->names[i], name)) return (int)i;
    return -1;
}

/* What is left of the named arguments once those at `used` are taken. */
static JValue named_rest(Jinja *j, const JArgs *args, const bool *used, bool allowed, const char *macro) {
    JDict *d = jdict_new(j);
    for (size_t i = 0; i < args->n_named; i++) {
        if (used[i]) continue;
        if (!allowed) jinja_fail(j, "the macro %s takes no argument '%.*s'", macro, STR_ARG(args->names[i]));
        jdict_put(j, d, jstr(jtext_of(j, args->names[i], true)), args->named[i]);
    }
    return jdict(d);
}

static void macro_params(const JNode *n, JScope *s, const JArgs *args, bool *used, bool *caller) {
    for (size_t i = 0; i < n->items.n; i++) {
        Str name = n->items.v[i]->name;
        JValue v = J_UNSET_VALUE;
        if (i < args->n) {
            v = args->v[i];
        } else {
            int at = named_index(args, name);
            if (at >= 0) {
                v = args->named[at];
                used[at] = true;
            }
        }
        *caller |= str_is(name, "caller");
        s->v[n->items.v[i]->slot] = v;
    }
}

static void macro_defaults(Jinja *j, const JNode *n, JScope *s) {
    for (size_t i = 0; i < n->items.n; i++) {
        const JNode *p = n->items.v[i];
        if (jgiven(s->v[p->slot])) continue;
        if (n->other.v[i])
            s->v[p->slot] = jeval(j, n->other.v[i], s);
        else
            s->v[p->slot] = jundefined(j, jinja_printf(j, "the parameter '%.*s' was not given", STR_ARG(p->name)));
    }
}

JValue jcall_macro(Jinja *j, const JMacro *m, const JArgs *args) {
    const JNode *n = m->node;
    const char *name = n->name.s ? jinja_printf(j, "'%.*s'", STR_ARG(n->name)) : "of the call block";
    JScope *s = scope_new(j, n->frame, m->scope);
    bool *used = jinja_alloc(j, args->n_named + 1, 1), own_caller = false;
    Flow flow;
    macro_params(n, s, args, used, &own_caller);
    if (n->caller >= 0 && !own_caller) {
        int at = named_index(args, STR("caller"));
        s->v[n->caller] = at < 0 ? jundefined(j, "there is no caller") : args->named[at];
        if (at >= 0) used[at] = true;
    }
    JValue rest = named_rest(j, args, used, n->kwargs >= 0, name);
    if (n->kwargs >= 0) s->v[n->kwargs] = rest;
    if (n->varargs >= 0) {
        JSeq *more = jseq_new(j, 0);
        for (size_t i = n->items.n; i < args->n; i++) jseq_push(j, more, args->v[i]);
        s->v[n->varargs] = jtuple(more);
    } else if (args->n > n->items.n) {
        jinja_fail(j, "the macro %s takes %zu arguments, not %zu", name, n->items.n, args->n);
    }
    jinja_enter(j);
    scope_enter(j, n->frame, s);
    macro_defaults(j, n, s);
    JText *text = capture(j, &n->body, s, &flow);
    j->depth++;
    return jstr(text);
}

/* The call with the block as its argument `caller`. */
static void exec_call_block(Jinja *j, const JNode *n, JScope *s) {
    JNode call = *n->a, block = {.kind = N_CONST, .at = n->at, .value = macro_value(j, n, s)};
    JCallArgs args = *call.args;
    size_t k = args.named.n;
    Str *names = JINJA_NEW(j, Str, k + 1);
    JNodes named = {0};
    for (size_t i = 0; i < k; i++) {
        names[i] = args.names[i];
        jnodes_push(j, &named, args.named.v[i]);
    }
    names[k] = STR("caller");
    jnodes_push(j, &named, &block);
    args.names = names;
    args.named = named;
    call.args = &args;
    print_text(j, jeval(j, &call, s));
}

/* ---- statements ---- */

static void exec_with(Jinja *j, const JNode *n, JScope *outer, JScope *s) {
    for (size_t i = 0; i < n->items.n; i++) assign(j, n->items.v[i], s, jeval(j, n->other.v[i], outer));
}

static Flow exec_if(Jinja *j, const JNode *n, JScope *s) {
    for (;; n = n->other.v[0]) {
        if (jtruth(j, jeval(j, n->a, s))) return exec_all(j, &n->body, s);
        if (n->other.n != 1 || n->other.v[0]->kind != N_IF) return exec_all(j, &n->other, s);
    }
}

static Flow exec_captured(Jinja *j, const JNode *n, JScope *s) { /* set block, filter block */
    JScope *inner = scope_open(j, n->frame, s);
    Flow flow;
    JText *text = capture(j, &n->body, inner, &flow);
    if (flow != FLOW_NEXT) return flow;
    JValue v = filter_text(j, n->b, inner, text);
    if (n->kind == N_SET_BLOCK)
        assign(j, n->a, s, v);
    else
        print_text(j, v);
    return FLOW_NEXT;
}

static Flow exec_for(Jinja *j, const JNode *n, JScope *s) {
    JValue over = jeval(j, n->b, s);
    if (!n->op) return run_loop(j, n, s, over, 0);
    print(j, jloop_render(j, n, s, over, 0));
    return FLOW_NEXT;
}

static Flow exec(Jinja *j, const JNode *n, JScope *s) {
    jinja_step(j, 0);
    j->at = n->at;
    switch (n->kind) {
    case N_TEXT: jtail_all(j, j->out, n->value.s); break;
    case N_PRINT:
        for (size_t i = 0; i < n->items.n; i++) {
            JValue v = jeval(j, n->items.v[i], s);
            j->at = n->at;
            print(j, v);
        }
        break;
    case N_FOR: return exec_for(j, n, s);
    case N_IF: return exec_if(j, n, s);
    case N_SET: assign(j, n->a, s, jeval(j, n->b, s)); break;
    case N_SET_BLOCK:
    case N_FILTER_BLOCK: return exec_captured(j, n, s);
    case N_WITH: {
        JScope *inner = scope_open(j, n->frame, s);
        exec_with(j, n, s, inner);
        return exec_all(j, &n->body, inner);
    }
    case N_MACRO: *place(n, s) = macro_value(j, n, s); break;
    case N_CALL_BLOCK: exec_call_block(j, n, s); break;
    case N_GENERATION: exec_generation(j, n, s); break;
    case N_BREAK: return FLOW_BREAK;
    case N_CONTINUE: return FLOW_CONTINUE;
    default: BUG("statement %d", (int)n->kind);
    }
    return FLOW_NEXT;
}

static Flow exec_all(Jinja *j, const JNodes *body, JScope *s) {
    Flow flow = FLOW_NEXT;
    jinja_enter(j);
    for (size_t i = 0; i < body->n && flow == FLOW_NEXT; i++) flow = exec(j, body->v[i], s);
    j->depth++;
    return flow;
}

void jexec(Jinja *j, const JinjaTemplate *t) { exec_all(j, &t->body, scope_open(j, t->frame, NULL)); }
