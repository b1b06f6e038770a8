#include "core/grammar_sets.h"

#include <stdlib.h>

enum {
    NODES_MAX = 1 << 17,
    ITEMS_MAX = 1 << 19,
    SETS_MAX = 1 << 15,
    STEPS_MAX = 1 << 21, /* cells of the table, which with many classes bounds the sets */
    FOUND_MAX = 1 << 12, /* items of one set */
};

void sets_init(Sets *s, const Grammar *g) {
    *s = (Sets){.g = g, .cap_sets = MIN(SETS_MAX, STEPS_MAX / g->n_cls)};
    s->nodes = mem_alloc(NODES_MAX, sizeof *s->nodes);
    s->node_slots = mem_alloc(NODES_MAX * 2, sizeof *s->node_slots);
    s->items = mem_alloc(ITEMS_MAX, sizeof *s->items);
    s->sets = mem_alloc((size_t)s->cap_sets, sizeof *s->sets);
    s->set_slots = mem_alloc(SETS_MAX * 2, sizeof *s->set_slots);
    s->steps = mem_alloc((size_t)s->cap_sets * (size_t)g->n_cls, sizeof *s->steps);
    s->moved = mem_alloc(NODES_MAX, sizeof *s->moved);
    s->work = mem_alloc(FOUND_MAX, sizeof *s->work);
    s->found = mem_alloc(FOUND_MAX, sizeof *s->found);
    s->seen = mem_alloc(FOUND_MAX * 2, sizeof *s->seen);
    sets_compact(s, NULL, 0);
}

void sets_release(Sets *s) {
    free(s->nodes), free(s->node_slots), free(s->items), free(s->sets), free(s->set_slots);
    free(s->steps), free(s->moved), free(s->work), free(s->found), free(s->seen);
    *s = (Sets){0};
}

size_t sets_bytes(const Sets *s) {
    return NODES_MAX * (sizeof *s->nodes + 2 * sizeof *s->node_slots + sizeof *s->moved) +
           ITEMS_MAX * sizeof *s->items + SETS_MAX * 2 * sizeof *s->set_slots +
           FOUND_MAX * (2 * sizeof *s->work + 2 * sizeof *s->seen) +
           (size_t)s->cap_sets * (sizeof *s->sets + (size_t)s->g->n_cls * sizeof *s->steps);
}

/* ---- what is kept once ---- */

static uint32_t mix(uint32_t h, uint32_t x) {
    h = (h ^ x) * 0x9E3779B1u;
    return h ^ h >> 15;
}

static int32_t node_slot(const Sets *s, StackNode n) {
    uint32_t mask = NODES_MAX * 2 - 1, at = mix(mix(1, (uint32_t)n.ret), (uint32_t)n.below) & mask;
    for (; s->node_slots[at]; at = (at + 1) & mask) {
        const StackNode *x = &s->nodes[s->node_slots[at]];
        if (x->ret == n.ret && x->below == n.below) break;
    }
    return (int32_t)at;
}

static int32_t node_of(Sets *s, StackNode n) {
    int32_t at = node_slot(s, n);
    if (s->node_slots[at]) return s->node_slots[at];
    if (s->n_nodes == NODES_MAX) return s->full = true, STACK_OPEN;
    s->nodes[s->n_nodes] = n;
    return s->node_slots[at] = s->n_nodes++;
}

static uint32_t hash_found(const Sets *s) {
    uint32_t h = s->flags + 1u;
    for (int32_t i = 0; i < s->n_found; i++) h = mix(mix(h, (uint32_t)s->found[i].state), (uint32_t)s->found[i].stack);
    return h;
}

static bool before(SetItem a, SetItem b) { return a.state != b.state ? a.state < b.state : a.stack < b.stack; }

/* Shell sort: mostly of a handful, and unlike qsort it never allocates. */
static void sort_items(SetItem *v, int32_t n) {
    static const int32_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};
    for (size_t g = 0; g < COUNT_OF(gaps); g++)
        for (int32_t i = gaps[g]; i < n; i++) {
            SetItem x = v[i];
            int32_t at = i;
            for (; at >= gaps[g] && before(x, v[at - gaps[g]]); at -= gaps[g]) v[at] = v[at - gaps[g]];
            v[at] = x;
        }
}

/* The number of what begin and push put together. */
static int32_t set_of_found(Sets *s) {
    if (s->full) return SET_FULL;
    sort_items(s->found, s->n_found);
    uint32_t hash = hash_found(s), mask = SETS_MAX * 2 - 1, at = hash & mask;
    size_t bytes = (size_t)s->n_found * sizeof *s->found;
    for (; s->set_slots[at]; at = (at + 1) & mask) {
        const ParseSet *x = &s->sets[s->set_slots[at]];
        if (x->hash == hash && x->flags == s->flags && x->n == s->n_found &&
            memcmp(s->items + x->at, s->found, bytes) == 0)
            return s->set_slots[at];
    }
    if (s->n_sets == s->cap_sets || s->n_items + (uint32_t)s->n_found > ITEMS_MAX) return SET_FULL;
    memcpy(s->items + s->n_items, s->found, bytes);
    s->sets[s->n_sets] = (ParseSet){s->n_items, s->n_found, hash, s->flags};
    s->n_items += (uint32_t)s->n_found;
    return s->set_slots[at] = s->n_sets++;
}

/* ---- steps ---- */

static void begin(Sets *s) {
    s->n_found = s->n_work = 0;
    s->flags = 0;
    s->full = false;
    if (++s->stamp == 0) {
        memset(s->seen, 0, FOUND_MAX * 2 * sizeof *s->seen);
        s->stamp = 1;
    }
}

static void want(Sets *s, int32_t state, int32_t stack) {
    uint32_t mask = FOUND_MAX * 2 - 1, at = mix(mix(2, (uint32_t)state), (uint32_t)stack) & mask;
    for (; s->seen[at].stamp == s->stamp; at = (at + 1) & mask)
        if (s->seen[at].item.state == state && s->seen[at].item.stack == stack) return;
    if (s->n_work == FOUND_MAX) {
        s->full = true;
        return;
    }
    s->seen[at].item = s->work[s->n_work++] = (SetItem){state, stack};
    s->seen[at].stamp = s->stamp;
}

/* A rule ended on this stack. */
static void leave(Sets *s, int32_t stack) {
    if (stack == STACK_OPEN)
        s->flags |= SET_LEAVES;
    else if (stack == STACK_END)
        s->flags |= SET_ENDS;
    else
        want(s, s->nodes[stack].ret, s->nodes[stack].below);
}

/* All that what is wanted leads to without a byte. A call whose return has nothing left to do leaves no trace on the
 * stack, so that lists written with recursion at their end keep it short. */
static int32_t finish(Sets *s) {
    const Grammar *g = s->g;
    for (int32_t i = 0; i < s->n_work && !s->full; i++) { /* it grows meanwhile */
        SetItem x = s->work[i];
        if (g->flags[x.state] & GRAMMAR_BYTES) s->found[s->n_found++] = x;
        if (g->flags[x.state] & GRAMMAR_FINAL) leave(s, x.stack);
        for (int32_t c = g->call_at[x.state]; c < g->call_at[x.state + 1] && !s->full; c++) {
            int32_t ret = g->calls[c].ret;
            bool last = g->flags[ret] == GRAMMAR_FINAL && g->call_at[ret] == g->call_at[ret + 1];
            want(s, g->calls[c].callee, last ? x.stack : node_of(s, (StackNode){ret, x.stack}));
        }
    }
    return set_of_found(s);
}

int32_t sets_start(Sets *s) {
    begin(s);
    want(s, s->g->root, STACK_END);
    return finish(s);
}

int32_t sets_of_state(Sets *s, int32_t state) {
    begin(s);
    s->found[s->n_found++] = (SetItem){state, STACK_OPEN};
    return set_of_found(s);
}

int32_t sets_leave(Sets *s, int32_t stack) {
    begin(s);
    leave(s, stack);
    return finish(s);
}

int32_t sets_miss(Sets *s, int32_t set, uint8_t cls) {
    const ParseSet *from = &s->sets[set];
    begin(s);
    for (int32_t i = 0; i < from->n; i++) {
        SetItem x = s->items[from->at + (uint32_t)i];
        int32_t next = s->g->next[(int64_t)x.state * s->g->n_cls + cls];
        if (next >= 0) want(s, next, x.stack);
    }
    return s->steps[(int64_t)set * s->g->n_cls + cls] = finish(s);
}

/* ---- room ---- */

static int by_number(const void *a, const void *b) {
    int32_t x = **(int32_t *const *)a, y = **(int32_t *const *)b;
    return x < y ? -1 : x > y;
}

/* Marks the stacks of the kept sets; a node stands behind the one below it. */
static void keep_nodes(Sets *s, int32_t **keep, size_t n) {
    int32_t old = s->n_nodes;
    memset(s->moved, 0, (size_t)old * sizeof *s->moved);
    for (size_t k = 0; k < n; k++)
        for (int32_t i = 0; i < s->sets[*keep[k]].n; i++)
            s->moved[s->items[s->sets[*keep[k]].at + (uint32_t)i].stack] = 1;
    for (int32_t i = old; i-- > 2;)
        if (s->moved[i]) s->moved[s->nodes[i].below] = 1;
    memset(s->node_slots, 0, NODES_MAX * 2 * sizeof *s->node_slots);
    s->n_nodes = 2;
    s->moved[STACK_OPEN] = STACK_OPEN;
    s->moved[STACK_END] = STACK_END;
    for (int32_t i = 2; i < old; i++)
        if (s->moved[i]) s->moved[i] = node_of(s, (StackNode){s->nodes[i].ret, s->moved[s->nodes[i].below]});
}

void sets_compact(Sets *s, int32_t **keep, size_t n) {
    if (n) {
        qsort(keep, n, sizeof *keep, by_number);
        keep_nodes(s, keep, n);
    }
    if (!n) memset(s->node_slots, 0, NODES_MAX * 2 * sizeof *s->node_slots), s->n_nodes = 2;
    memset(s->set_slots, 0, SETS_MAX * 2 * sizeof *s->set_slots);
    memset(s->steps, 0, (size_t)s->n_sets * (size_t)s->g->n_cls * sizeof *s->steps);
    s->n_sets = 1;
    s->n_items = 0;
    begin(s);
    set_of_found(s); /* SET_DEAD */
    for (size_t k = 0, same = 0; k < n; k++) {
        if (k && *keep[k] == (int32_t)same) {
            *keep[k] = *keep[k - 1];
            continue;
        }
        same = (size_t)*keep[k];
        ParseSet x = s->sets[same];
        begin(s);
        s->flags = x.flags;
        for (int32_t i = 0; i < x.n; i++) {
            SetItem item = s->items[x.at + (uint32_t)i];
            s->found[s->n_found++] = (SetItem){item.state, s->moved[item.stack]};
        }
        *keep[k] = set_of_found(s);
    }
}
