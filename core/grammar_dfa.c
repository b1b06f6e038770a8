/* Automata with choices -> deterministic ones over classes of bytes (subset construction), one table for all rules. */
#include <stdlib.h>

#include "core/grammar_ast.h"

enum { STATES_MAX = 1 << 18, CELLS_MAX = 1 << 24, ITEMS_MAX = 1 << 22 };

typedef struct Dfa {
    const NfaNode *nodes;
    Grammar *g;
    const GrammarAst *ast;
    int32_t *items; /* sorted nodes of every state */
    size_t n_items, cap_items;
    size_t *item_at; /* [n_states + 1] */
    int32_t cap_states;
    int32_t *slots; /* set of nodes -> state + 1 */
    size_t n_slots;
    int32_t *stack, *set; /* work of a closure */
    size_t n_stack, cap_stack, n_set, cap_set;
    uint32_t *seen, stamp; /* [n nodes] */
    Err *e;
} Dfa;

static void put(int32_t **v, size_t *n, size_t *cap, int32_t x) {
    if (*n == *cap) {
        *cap = *cap ? *cap * 2 : 64;
        *v = mem_grow(*v, *cap, sizeof **v);
    }
    (*v)[(*n)++] = x;
}

/* Bytes that every node takes alike are one class; classes ascend with the bytes. */
static void find_classes(Grammar *g, const Nfa *nfa) {
    bool edge[257] = {true};
    int32_t c = -1;
    for (int32_t i = 0; i < nfa->n; i++)
        if (nfa->nodes[i].kind == NFA_BYTES) edge[nfa->nodes[i].lo] = edge[nfa->nodes[i].hi + 1] = true;
    for (int b = 0; b < 256; b++) g->cls[b] = (uint8_t)(c += edge[b]);
    g->n_cls = c + 1;
}

/* ---- states ---- */

static int by_value(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

static void closure_begin(Dfa *d) {
    d->n_set = 0;
    d->stamp++;
}

/* Adds the nodes that n leads to without a byte: those that take one, call or end. */
static void closure_add(Dfa *d, int32_t n) {
    put(&d->stack, &d->n_stack, &d->cap_stack, n);
    while (d->n_stack) {
        n = d->stack[--d->n_stack];
        if (d->seen[n] == d->stamp) continue;
        d->seen[n] = d->stamp;
        if (d->nodes[n].kind != NFA_SPLIT) {
            put(&d->set, &d->n_set, &d->cap_set, n);
            continue;
        }
        put(&d->stack, &d->n_stack, &d->cap_stack, d->nodes[n].b);
        put(&d->stack, &d->n_stack, &d->cap_stack, d->nodes[n].a);
    }
}

static size_t find_slot(const Dfa *d, const int32_t *set, size_t n) {
    size_t at = hash_bytes(set, n * sizeof *set, 0) & (d->n_slots - 1);
    for (;; at = (at + 1) & (d->n_slots - 1)) {
        int32_t s = d->slots[at] - 1;
        if (s < 0) return at;
        if (d->item_at[s + 1] - d->item_at[s] == n && memcmp(d->items + d->item_at[s], set, n * sizeof *set) == 0)
            return at;
    }
}

static void rehash(Dfa *d) {
    free(d->slots);
    d->n_slots = d->n_slots ? d->n_slots * 2 : 1024;
    d->slots = mem_alloc(d->n_slots, sizeof *d->slots);
    for (int32_t s = 0; s < d->g->n_states; s++) {
        size_t at = find_slot(d, d->items + d->item_at[s], d->item_at[s + 1] - d->item_at[s]);
        d->slots[at] = s + 1;
    }
}

/* The state of the closure in d->set; a new one if need be. */
static bool intern(Dfa *d, int32_t *state) {
    Grammar *g = d->g;
    if (d->n_set) qsort(d->set, d->n_set, sizeof *d->set, by_value);
    if ((size_t)g->n_states * 2 >= d->n_slots) rehash(d);
    size_t at = find_slot(d, d->set, d->n_set);
    if (d->slots[at]) return *state = d->slots[at] - 1, true;
    if (g->n_states == STATES_MAX || (int64_t)(g->n_states + 1) * g->n_cls > CELLS_MAX ||
        d->n_items + d->n_set > ITEMS_MAX)
        return err_set(d->e, ERR_INPUT,
                       "grammar: it is too large: more than %d states; use smaller numbers of repetitions or fewer "
                       "choices that begin alike",
                       g->n_states);
    if (g->n_states == d->cap_states) {
        d->cap_states = d->cap_states ? d->cap_states * 2 : 256;
        d->item_at = mem_grow(d->item_at, (size_t)d->cap_states + 1, sizeof *d->item_at);
        g->next = mem_grow(g->next, (size_t)d->cap_states * (size_t)g->n_cls, sizeof *g->next);
        d->item_at[0] = 0;
    }
    for (size_t i = 0; i < d->n_set; i++) put(&d->items, &d->n_items, &d->cap_items, d->set[i]);
    *state = g->n_states++;
    d->item_at[*state + 1] = d->n_items;
    d->slots[at] = *state + 1;
    return true;
}

/* Where the state goes by every class of bytes. Neighbours often go to the same place. */
static bool expand(Dfa *d, int32_t state) {
    size_t from = d->item_at[state], to = d->item_at[state + 1];
    int32_t next = -1;
    const Grammar *g = d->g;
    for (int32_t c = 0; c < g->n_cls; c++) {
        bool same = c > 0, any = false;
        for (size_t i = from; i < to; i++) {
            const NfaNode *n = &d->nodes[d->items[i]];
            if (n->kind != NFA_BYTES || n->lo > n->hi) continue;
            bool now = c >= g->cls[n->lo] && c <= g->cls[n->hi];
            any = any || now;
            same = same && now == (c - 1 >= g->cls[n->lo] && c - 1 <= g->cls[n->hi]);
        }
        if (!any) next = -1;
        if (any && !same) {
            closure_begin(d);
            for (size_t i = from; i < to; i++) {
                const NfaNode *n = &d->nodes[d->items[i]];
                if (n->kind == NFA_BYTES && c >= g->cls[n->lo] && c <= g->cls[n->hi]) closure_add(d, n->a);
            }
            TRY(intern(d, &next));
        }
        g->next[(int64_t)state * g->n_cls + c] = next;
    }
    return true;
}

/* ---- the grammar ---- */

static bool add_calls(Dfa *d, Buf *calls, int32_t state) {
    Grammar *g = d->g;
    int32_t flags = 0;
    size_t to = d->item_at[state + 1];
    for (size_t i = d->item_at[state]; i < to; i++) {
        const NfaNode *n = &d->nodes[d->items[i]];
        if (n->kind == NFA_FINAL) flags |= GRAMMAR_FINAL;
        if (n->kind != NFA_CALL) continue;
        GrammarCall c = {.callee = n->b};
        closure_begin(d);
        closure_add(d, n->a);
        TRY(intern(d, &c.ret));
        buf_put(calls, &c, sizeof c);
    }
    for (int32_t c = 0; c < g->n_cls; c++)
        if (g->next[(int64_t)state * g->n_cls + c] >= 0) flags |= GRAMMAR_BYTES;
    g->flags[state] = (uint8_t)flags;
    return true;
}

static bool all_states(Dfa *d, const NfaRules *r, Buf *calls, Buf *at) {
    int32_t done = 0;
    for (int32_t i = 0; i < r->n; i++) {
        closure_begin(d);
        closure_add(d, r->entry[i]);
        TRY(intern(d, &d->ast->rules[r->rules[i]].first));
    }
    for (; done < d->g->n_states; done++) { /* states of returns come up on the way */
        d->g->flags = mem_grow(d->g->flags, (size_t)d->cap_states, 1);
        int32_t calls_at = (int32_t)(calls->n / sizeof(GrammarCall));
        buf_put(at, &calls_at, sizeof calls_at);
        TRY(expand(d, done) && add_calls(d, calls, done));
    }
    return true;
}

bool dfa_make(GrammarAst *ast, const NfaRules *r, Grammar *g, Err *e) {
    Dfa d = {.nodes = r->nfa.nodes, .g = g, .ast = ast, .e = e};
    Buf calls = {0}, at = {0};
    d.seen = mem_alloc((size_t)r->nfa.n, sizeof *d.seen);
    find_classes(g, &r->nfa);
    bool ok = all_states(&d, r, &calls, &at);
    int32_t n = (int32_t)(calls.n / sizeof(GrammarCall));
    g->call_at = mem_alloc((size_t)g->n_states + 1, sizeof *g->call_at);
    g->calls = mem_alloc((size_t)n, sizeof *g->calls);
    if (at.n) memcpy(g->call_at, at.s, at.n);
    if (calls.n) memcpy(g->calls, calls.s, calls.n);
    g->call_at[g->n_states] = n;
    for (int32_t i = 0; ok && i < n; i++) g->calls[i].callee = ast->rules[g->calls[i].callee].first;
    g->root = ast->rules[ast->root].first;
    free(d.items), free(d.item_at), free(d.slots), free(d.stack), free(d.set), free(d.seen);
    buf_release(&calls);
    buf_release(&at);
    return ok;
}

static bool state_live(const Grammar *g, const uint8_t *live, int32_t s) {
    if (g->flags[s] & GRAMMAR_FINAL) return true;
    for (int32_t c = 0; c < g->n_cls; c++) {
        int32_t next = g->next[(int64_t)s * g->n_cls + c];
        if (next >= 0 && live[next]) return true;
    }
    for (int32_t i = g->call_at[s]; i < g->call_at[s + 1]; i++)
        if (live[g->calls[i].callee] && live[g->calls[i].ret]) return true;
    return false;
}

bool dfa_prune(Grammar *g) {
    uint8_t *live = mem_alloc((size_t)g->n_states, 1);
    for (bool changed = true; changed;) {
        changed = false;
        for (int32_t s = g->n_states; s-- > 0;) /* ends mostly have high numbers */
            if (!live[s] && state_live(g, live, s)) live[s] = 1, changed = true;
    }
    int32_t kept = 0;
    for (int32_t s = 0, from = 0; s < g->n_states; s++) {
        int32_t *next = g->next + (int64_t)s * g->n_cls, to = g->call_at[s + 1];
        g->flags[s] &= (uint8_t)~GRAMMAR_BYTES;
        for (int32_t c = 0; c < g->n_cls; c++) {
            if (next[c] >= 0 && !live[next[c]]) next[c] = -1;
            if (next[c] >= 0) g->flags[s] |= GRAMMAR_BYTES;
        }
        g->call_at[s] = kept;
        for (; from < to; from++)
            if (live[g->calls[from].callee] && live[g->calls[from].ret]) g->calls[kept++] = g->calls[from];
    }
    g->call_at[g->n_states] = kept;
    bool ok = live[g->root];
    free(live);
    return ok;
}

/* ---- states that behave alike for a while ---- */

typedef struct Grouping {
    const Grammar *g;
    const int32_t *was; /* groups of the round before */
    int32_t *slots, *now;
    size_t n_slots;
} Grouping;

static int32_t group_of(const Grouping *x, int32_t s, int32_t c) {
    int32_t next = x->g->next[(int64_t)s * x->g->n_cls + c];
    return next < 0 ? -1 : x->was[next];
}

/* Ends alike, calls the same, and every byte leads to the same group. */
static bool alike(const Grouping *x, int32_t a, int32_t b) {
    const Grammar *g = x->g;
    int32_t n = g->call_at[a + 1] - g->call_at[a];
    if (g->flags[a] != g->flags[b] || n != g->call_at[b + 1] - g->call_at[b]) return false;
    if (n && memcmp(g->calls + g->call_at[a], g->calls + g->call_at[b], (size_t)n * sizeof *g->calls) != 0)
        return false;
    for (int32_t c = 0; c < g->n_cls; c++)
        if (group_of(x, a, c) != group_of(x, b, c)) return false;
    return true;
}

/* One byte further; returns how many groups there are. */
static int32_t regroup(Grouping *x) {
    const Grammar *g = x->g;
    int32_t n = 0;
    memset(x->slots, 0, x->n_slots * sizeof *x->slots);
    for (int32_t s = 0; s < g->n_states; s++) {
        uint64_t h = g->flags[s];
        for (int32_t c = 0; c < g->n_cls; c++) h = (h ^ (uint32_t)group_of(x, s, c)) * 0x9E3779B97F4A7C15u;
        for (int32_t i = g->call_at[s]; i < g->call_at[s + 1]; i++)
            h = (h ^ ((uint64_t)g->calls[i].callee << 32 | (uint32_t)g->calls[i].ret)) * 0x9E3779B97F4A7C15u;
        size_t at = (h ^ h >> 29) & (x->n_slots - 1);
        while (x->slots[at] && !alike(x, x->slots[at] - 1, s)) at = (at + 1) & (x->n_slots - 1);
        if (!x->slots[at]) x->slots[at] = s + 1, x->now[s] = n++;
        x->now[s] = x->now[x->slots[at] - 1];
    }
    return n;
}

void dfa_group(Grammar *g) {
    Grouping x = {.g = g, .n_slots = 64};
    int32_t *a = mem_alloc((size_t)g->n_states, sizeof *a), *b = mem_alloc((size_t)g->n_states, sizeof *b), n = 1;
    while (x.n_slots < (size_t)g->n_states * 2) x.n_slots *= 2;
    x.slots = mem_alloc(x.n_slots, sizeof *x.slots);
    for (int round = 0; round <= GRAMMAR_REACH; round++) {
        int32_t *was = a, now;
        x.was = a;
        x.now = b;
        now = regroup(&x);
        a = b;
        b = was;
        if (now == n && round) break;
        n = now;
    }
    g->alike = a;
    g->n_alike = n;
    free(b);
    free(x.slots);
}

/* ---- all of it ---- */

bool grammar_parse(Str gbnf, Grammar *g, Err *e) {
    Arena arena = {0};
    GrammarAst ast = {.arena = &arena};
    NfaRules nfa = {0};
    *g = (Grammar){0};
    bool ok =
        grammar_read(gbnf, &ast, e) && grammar_check(&ast, e) && nfa_make(&ast, &nfa, e) && dfa_make(&ast, &nfa, g, e);
    if (ok && !dfa_prune(g))
        ok = err_set(e, ERR_INPUT, "grammar: no text that comes from 'root' is ever complete; give it a way to end");
    if (ok) dfa_group(g);
    nfa_release(&nfa);
    free(ast.rules);
    arena_release(&arena);
    if (!ok) grammar_release(g);
    return ok;
}

void grammar_release(Grammar *g) {
    free(g->next);
    free(g->call_at);
    free(g->calls);
    free(g->flags);
    free(g->alike);
    *g = (Grammar){0};
}
