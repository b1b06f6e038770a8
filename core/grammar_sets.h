/* Where a parse stands: sets of (state, stack of returns), one number each.
 *
 * Stacks are lists that share their tails, sets are kept once, and the step from a set by a byte is looked up where it
 * was taken before: most bytes cost one load. All of it stands in arrays of fixed size; nothing is allocated by a step.
 * When they are full a step gives SET_FULL, and sets_compact makes room by forgetting all but the sets it is told. */
#ifndef CORE_GRAMMAR_SETS_H
#define CORE_GRAMMAR_SETS_H

#include "core/grammar.h"

enum { SET_FULL = 0, SET_DEAD = 1 }; /* what is no set; the set of nothing: no such text */

enum {
    SET_ENDS = 1,  /* the text may end here */
    SET_LEAVES = 2 /* a rule that was entered without knowing from where may end here */
};

enum { STACK_OPEN, STACK_END }; /* bottoms: not known; of the root */

typedef struct StackNode {
    int32_t ret, below; /* state to go on in; stack */
} StackNode;

typedef struct SetItem {
    int32_t state, stack; /* the state takes bytes */
} SetItem;

typedef struct ParseSet {
    uint32_t at; /* of its items */
    int32_t n;
    uint32_t hash;
    uint8_t flags; /* SET_ENDS, SET_LEAVES */
} ParseSet;

typedef struct Sets {
    const Grammar *g;
    StackNode *nodes;
    ParseSet *sets;
    SetItem *items;
    int32_t *steps; /* [cap_sets][n_cls] set, 0: not yet known */
    int32_t n_nodes, n_sets, cap_sets;
    uint32_t n_items;
    int32_t *node_slots, *set_slots, *moved; /* hash tables; work of sets_compact */
    /* the set that is being made: */
    SetItem *work, *found;
    int32_t n_work, n_found;
    uint8_t flags;
    bool full;
    struct SetSeen {
        SetItem item;
        uint32_t stamp;
    } * seen;
    uint32_t stamp;
} Sets;

void sets_init(Sets *s, const Grammar *g); /* borrows g */
void sets_release(Sets *s);
size_t sets_bytes(const Sets *s); /* reserved */

/* A set's number, or SET_FULL. */
int32_t sets_start(Sets *s);                          /* before any text */
int32_t sets_of_state(Sets *s, int32_t state);        /* in the state, on STACK_OPEN */
int32_t sets_leave(Sets *s, int32_t stack);           /* after a rule on this stack ended; not for bottoms */
int32_t sets_miss(Sets *s, int32_t set, uint8_t cls); /* a step that is not in the table */

static inline int32_t sets_step(Sets *s, int32_t set, uint8_t byte) {
    uint8_t cls = s->g->cls[byte];
    int32_t next = s->steps[(int64_t)set * s->g->n_cls + cls];
    return next ? next : sets_miss(s, set, cls);
}

/* Keeps the n sets and renumbers them in place; a set may stand twice. */
void sets_compact(Sets *s, int32_t **keep, size_t n);

#endif
