/* Which variable a name means. As in jinja2.idtracking every scope lists the names it defines and what each of them is
 * when the scope is entered: an outer variable's value, a value of the context, or nothing yet. */
#include "tokenizer/jinja_impl.h"

typedef struct Binder {
    Jinja *j;
    JFrame *frame;
    bool in_loop; /* break and continue have a loop to act on */
    bool soft;    /* inside `if`: an unknown filter is an error only when it is reached */
} Binder;

static bool frame_find(const JFrame *f, Str name, int *hops, int *slot) {
    for (*hops = 0; f; f = f->parent, ++*hops)
        if ((*slot = strmap_get(&f->map, name)) >= 0) return true;
    return false;
}

static JLocal *frame_put(Jinja *j, JFrame *f, Str name, JLoad load) {
    int32_t at = strmap_get(&f->map, name);
    if (at >= 0) return &f->locals[at];
    if (f->n == f->cap) {
        int cap = f->cap ? 2 * f->cap : 8;
        JLocal *more = JINJA_NEW(j, JLocal, cap);
        if (f->n) memcpy(more, f->locals, (size_t)f->n * sizeof *more);
        f->locals = more;
        f->cap = cap;
    }
    jinja_step(j, 0);
    strmap_put(&f->map, j->arena, name, f->n);
    f->locals[f->n] = (JLocal){.name = name, .load = load};
    return &f->locals[f->n++];
}

static int declare_param(Jinja *j, JFrame *f, Str name) {
    frame_put(j, f, name, LOAD_PARAM)->load = LOAD_PARAM;
    return strmap_get(&f->map, name);
}

static void store_name(Jinja *j, JFrame *f, Str name, bool in_if) {
    int hops, slot;
    if (strmap_get(&f->map, name) >= 0) return;
    bool outer = f->parent && frame_find(f->parent, name, &hops, &slot);
    JLocal *l = frame_put(j, f, name, outer ? LOAD_ALIAS : in_if ? LOAD_RESOLVE : LOAD_UNDEFINED);
    if (!outer) return;
    l->hops = hops + 1;
    l->slot = slot;
}

static void load_name(Jinja *j, JFrame *f, Str name) {
    int hops, slot;
    if (!frame_find(f, name, &hops, &slot)) frame_put(j, f, name, LOAD_RESOLVE);
}

static void name_params(Jinja *j, JFrame *f, const JNode *target) {
    if (target->kind == N_NAME) declare_param(j, f, target->name);
    for (size_t i = 0; target->kind == N_TUPLE && i < target->items.n; i++) name_params(j, f, target->items.v[i]);
}

/* ---- first pass over a scope: which names it has. Inner scopes are left for later ---- */

static void find_names(Jinja *j, JFrame *f, const JNode *n, bool in_if);

static void find_in(Jinja *j, JFrame *f, const JNodes *list, bool in_if) {
    for (size_t i = 0; i < list->n; i++) find_names(j, f, list->v[i], in_if);
}

static void find_args(Jinja *j, JFrame *f, const JCallArgs *a, bool in_if) {
    if (!a) return;
    find_in(j, f, &a->pos, in_if);
    find_in(j, f, &a->named, in_if);
    find_names(j, f, a->star, in_if);
    find_names(j, f, a->double_star, in_if);
}

static void find_names(Jinja *j, JFrame *f, const JNode *n, bool in_if) {
    if (!n) return;
    jinja_step(j, 0);
    jinja_enter(j);
    switch (n->kind) {
    case N_NAME:
        if (n->param)
            declare_param(j, f, n->name);
        else if (n->store)
            store_name(j, f, n->name, in_if);
        else
            load_name(j, f, n->name);
        break;
    case N_NSREF: load_name(j, f, n->name); break;
    case N_FOR: find_names(j, f, n->b, in_if); break;
    case N_IF:
        for (;; n = n->other.v[0]) {
            find_names(j, f, n->a, in_if);
            find_in(j, f, &n->body, true);
            if (n->other.n != 1 || n->other.v[0]->kind != N_IF) break;
            in_if = true;
        }
        find_in(j, f, &n->other, true);
        break;
    case N_SET:
        find_names(j, f, n->b, in_if);
        find_names(j, f, n->a, in_if);
        break;
    case N_SET_BLOCK: find_names(j, f, n->a, in_if); break;
    case N_WITH: find_in(j, f, &n->other, in_if); break;
    case N_MACRO: store_name(j, f, n->name, in_if); break;
    case N_CALL_BLOCK: find_names(j, f, n->a, in_if); break;
    case N_FILTER_BLOCK: find_names(j, f, n->b, in_if); break;
    case N_GENERATION: break;
    default:
        find_names(j, f, n->a, in_if);
        find_names(j, f, n->b, in_if);
        find_names(j, f, n->c, in_if);
        find_in(j, f, &n->items, in_if);
        find_args(j, f, n->args, in_if);
        break;
    }
    j->depth++;
}

/* ---- does a body use a name that it does not assign first? ---- */

typedef struct Search {
    Jinja *j;
    const char *name;
    bool found, assigned;
} Search;

static void search(Search *s, const JNode *n);

static void search_in(Search *s, const JNodes *list) {
    for (size_t i = 0; i < list->n; i++) search(s, list->v[i]);
}

static void search(Search *s, const JNode *n) {
    if (!n || s->found || s->assigned) return;
    jinja_step(s->j, 0);
    jinja_enter(s->j);
    if (n->kind == N_NAME && str_is(n->name, s->name)) {
        s->found = !n->store;
        s->assigned = n->store;
    }
    if (n->kind == N_COND || n->kind == N_FILTER_BLOCK) { /* what is evaluated first */
        search_in(s, &n->body);
        search(s, n->b);
    }
    search(s, n->a);
    search(s, n->b);
    if (n->kind != N_FOR) search(s, n->c);
    search_in(s, &n->items);
    if (n->kind == N_WITH || n->kind == N_MACRO || n->kind == N_CALL_BLOCK) search_in(s, &n->other);
    if (n->args) {
        search_in(s, &n->args->pos);
        search_in(s, &n->args->named);
        search(s, n->args->star);
        search(s, n->args->double_star);
    }
    search_in(s, &n->body);
    search_in(s, &n->other);
    if (n->kind == N_FOR) search(s, n->c);
    s->j->depth++;
}

static bool uses(Jinja *j, const JNodes *body, const char *name) {
    Search s = {.j = j, .name = name};
    search_in(&s, body);
    return s.found;
}

/* ---- second pass: every name gets its place; inner scopes are made and done ---- */

static void bind(Binder *b, JNode *n);

static void bind_in(Binder *b, const JNodes *list) {
    for (size_t i = 0; i < list->n; i++) bind(b, list->v[i]);
}

static JFrame *frame_new(Binder *b) {
    JFrame *f = JINJA_NEW(b->j, JFrame, 1);
    f->parent = b->frame;
    return f;
}

static void bind_scope(Binder *b, JFrame *f, const JNodes *body, bool in_loop) {
    Binder inner = {.j = b->j, .frame = f, .in_loop = in_loop};
    find_in(b->j, f, body, false);
    bind_in(&inner, body);
}

static bool assigns_loop(const JNode *n) {
    if (n->kind == N_NAME) return str_is(n->name, "loop");
    for (size_t i = 0; n->kind == N_TUPLE && i < n->items.n; i++)
        if (assigns_loop(n->items.v[i])) return true;
    return false;
}

static void bind_for(Binder *b, JNode *n) {
    JFrame *body = n->frame = frame_new(b), *other = n->other_frame = frame_new(b);
    bind(b, n->b);
    if (assigns_loop(n->a)) {
        b->j->at = n->a->at;
        jinja_fail(b->j, "'loop' cannot be assigned to by a loop");
    }
    name_params(b->j, body, n->a);
    bind(&(Binder){.j = b->j, .frame = body}, n->a);
    if (n->c) { /* the targets have the same places as in the body */
        JFrame *test = n->test_frame = frame_new(b);
        name_params(b->j, test, n->a);
        find_names(b->j, test, n->c, false);
        bind(&(Binder){.j = b->j, .frame = test}, n->c);
    }
    if (n->op || uses(b->j, &n->body, "loop")) n->caller = declare_param(b->j, body, STR("loop"));
    bind_scope(b, body, &n->body, true);
    bind_scope(b, other, &n->other, b->in_loop && !n->op);
}

static void bind_macro(Binder *b, JNode *n) {
    Jinja *j = b->j;
    JFrame *f = n->frame = frame_new(b);
    bool own_caller = false, own_kwargs = false, own_varargs = false;
    for (size_t i = 0; i < n->items.n; i++) {
        Str name = n->items.v[i]->name;
        declare_param(j, f, name);
        own_kwargs |= str_is(name, "kwargs");
        own_varargs |= str_is(name, "varargs");
        if (!str_is(name, "caller")) continue;
        own_caller = true;
        j->at = n->items.v[i]->at;
        if (!n->other.v[i] && uses(j, &n->body, "caller")) jinja_fail(j, "the parameter 'caller' needs a default");
    }
    if (!own_caller && uses(j, &n->body, "caller")) n->caller = declare_param(j, f, STR("caller"));
    if (!own_kwargs && uses(j, &n->body, "kwargs")) n->kwargs = declare_param(j, f, STR("kwargs"));
    if (!own_varargs && uses(j, &n->body, "varargs")) n->varargs = declare_param(j, f, STR("varargs"));
    find_in(j, f, &n->other, false);
    find_in(j, f, &n->body, false);
    Binder inner = {.j = j, .frame = f};
    bind_in(&inner, &n->items);
    bind_in(&inner, &n->other);
    bind_in(&inner, &n->body);
}

static void bind_inner(Binder *b, JNode *n) { /* set block, filter block, with, generation */
    JFrame *f = n->frame = frame_new(b);
    Binder inner = {.j = b->j, .frame = f, .in_loop = b->in_loop && n->kind != N_GENERATION};
    if (n->kind == N_WITH) {
        bind_in(b, &n->other);
        find_in(b->j, f, &n->items, false);
    }
    find_in(b->j, f, &n->body, false);
    if (n->kind != N_WITH) find_names(b->j, f, n->b, false);
    bind_in(&inner, &n->items);
    bind_in(&inner, &n->body);
    bind(&inner, n->b);
}

static void bind_args(Binder *b, const JCallArgs *a) {
    if (!a) return;
    bind_in(b, &a->pos);
    bind_in(b, &a->named);
    bind(b, a->star);
    bind(b, a->double_star);
}

static void bind_place(Binder *b, JNode *n) {
    if (!frame_find(b->frame, n->name, &n->hops, &n->slot)) BUG("a name without a scope");
}

static void bind_row(const Binder *b, const JNode *n) {
    if (n->row || b->soft) return;
    b->j->at = n->at;
    jinja_fail(b->j, "no %s named '%.*s'", n->kind == N_FILTER ? "filter" : "test", (int)MIN(n->name.n, (size_t)60),
               n->name.s);
}

static void bind_if(Binder *b, JNode *n) {
    bool soft = b->soft;
    b->soft = true;
    for (;; n = n->other.v[0]) {
        bind(b, n->a);
        bind_in(b, &n->body);
        if (n->other.n != 1 || n->other.v[0]->kind != N_IF) break;
    }
    bind_in(b, &n->other);
    b->soft = soft;
}

static void bind_parts(Binder *b, JNode *n) {
    bool soft = b->soft;
    if (n->kind == N_FILTER || n->kind == N_TEST) bind_row(b, n);
    b->soft |= n->kind == N_COND;
    bind(b, n->a);
    bind(b, n->b);
    bind(b, n->c);
    bind_in(b, &n->items);
    bind_args(b, n->args);
    b->soft = soft;
}

static void bind(Binder *b, JNode *n) {
    if (!n) return;
    jinja_step(b->j, 0);
    jinja_enter(b->j);
    switch (n->kind) {
    case N_NAME:
    case N_NSREF: bind_place(b, n); break;
    case N_FOR: bind_for(b, n); break;
    case N_IF: bind_if(b, n); break;
    case N_SET_BLOCK:
        bind(b, n->a);
        bind_inner(b, n);
        break;
    case N_WITH:
    case N_FILTER_BLOCK:
    case N_GENERATION: bind_inner(b, n); break;
    case N_MACRO:
        bind_place(b, n);
        bind_macro(b, n);
        break;
    case N_CALL_BLOCK:
        bind(b, n->a);
        bind_macro(b, n);
        break;
    case N_BREAK:
    case N_CONTINUE:
        b->j->at = n->at;
        if (!b->in_loop) jinja_fail(b->j, "there is no loop around this tag");
        break;
    default: bind_parts(b, n); break;
    }
    b->j->depth++;
}

void jinja_resolve(Jinja *j, JinjaTemplate *t) {
    Binder b = {.j = j, .frame = t->frame = JINJA_NEW(j, JFrame, 1)};
    find_in(j, t->frame, &t->body, false);
    bind_in(&b, &t->body);
}
