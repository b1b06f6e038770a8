#include "core/grammar_mask.h"

#include <stdlib.h>

enum {
    BITS_BYTES = 16 << 20, /* of bit sets of states */
    LIST_MAX = 1 << 19,    /* ids that states keep, and places */
    WHOLE = 32,            /* masks of sets; a power of two */
    ITEMS_ASKED = 4,       /* of a set, for a run */
    PLACES_DIRECT = 8192,  /* with more places to go on from, one walk from the set itself is less work */
};

typedef struct Kept {                     /* of a state and one of the two trees */
    int32_t bits;                         /* number of its bit set + 1; 0: its tokens stand in the list of ids */
    int32_t ids, n_ids, places, n_places; /* in the lists; places are nodes whose children go on elsewhere */
    bool known;
} Kept;

struct Masker {
    Grammar g;
    const TokenTries *tries;
    const int32_t *ends;
    size_t n_ends;
    Sets sets;
    Runs runs;
    size_t words;  /* of a bit set */
    Kept *kept[2]; /* [n_alike], [n_states] */
    uint64_t *bits;
    int32_t n_bits, cap_bits;
    int32_t *ids, n_ids, *places, n_places; /* lists, [LIST_MAX] */
    uint64_t *whole;                        /* [WHOLE][words] */
    int32_t whole_set[WHOLE];
    int32_t *path;   /* [depth] sets on the way down a tree */
    int32_t **alive; /* [cap_alive] of all matchers, for sets_compact */
    Matcher *first;
    int count;
};

struct Matcher {
    Masker *k;
    Matcher *next, *prev;
    int32_t set;
    int32_t *ids, *sets; /* sets[i]: before ids[i], where known */
    size_t n, cap;
    size_t known; /* sets[i] are known from here on */
};

static const char *const full_text =
    "grammar: too many ways to read the text so far; write rules that begin differently, or nest less";

/* ---- what sequences share ---- */

Masker *masker_make(Grammar *g, const TokenTries *tries, const int32_t *ends, size_t n_ends) {
    Masker *k = mem_alloc(1, sizeof *k);
    k->g = *g;
    *g = (Grammar){0};
    k->tries = tries;
    int32_t *copy = mem_alloc(n_ends, sizeof *copy);
    if (n_ends) memcpy(copy, ends, n_ends * sizeof *copy);
    k->ends = copy;
    k->n_ends = n_ends;
    sets_init(&k->sets, &k->g);
    runs_init(&k->runs, &k->g);
    k->words = ((size_t)tries->vocab + 63) / 64;
    k->cap_bits = (int32_t)MIN(MAX(BITS_BYTES / (k->words * 8 + 1), 8), (size_t)k->g.n_alike);
    k->kept[0] = mem_alloc((size_t)k->g.n_alike, sizeof *k->kept[0]);
    k->kept[1] = mem_alloc((size_t)k->g.n_states, sizeof *k->kept[1]);
    k->bits = mem_alloc((size_t)k->cap_bits, k->words * 8);
    k->ids = mem_alloc(LIST_MAX, sizeof *k->ids);
    k->places = mem_alloc(LIST_MAX, sizeof *k->places);
    k->whole = mem_alloc(WHOLE, k->words * 8);
    k->path = mem_alloc((size_t)MAX(tries->part[0].depth, tries->part[1].depth) + 1, sizeof *k->path);
    return k;
}

void masker_free(Masker *k) {
    if (!k) return;
    if (k->first) BUG("a masker is freed before its matchers");
    sets_release(&k->sets);
    runs_release(&k->runs);
    grammar_release(&k->g);
    free(k->kept[0]), free(k->kept[1]), free(k->bits), free(k->ids), free(k->places);
    free(k->whole), free(k->path), free(k->alive);
    free((void *)(uintptr_t)k->ends);
    free(k);
}

static size_t grammar_bytes(const Grammar *g) {
    size_t states = (size_t)g->n_states;
    return states * ((size_t)g->n_cls * sizeof *g->next + sizeof *g->flags + sizeof *g->alike) +
           (states + 1) * sizeof *g->call_at + (size_t)g->call_at[g->n_states] * sizeof *g->calls;
}

size_t masker_bytes(const Masker *k) {
    size_t kept = (size_t)(k->g.n_alike + k->g.n_states) * sizeof(Kept);
    size_t bits = (size_t)(k->cap_bits + WHOLE) * k->words * sizeof *k->bits, lists = LIST_MAX * 2 * sizeof *k->ids;
    size_t bytes = grammar_bytes(&k->g) + sets_bytes(&k->sets) + runs_bytes(&k->runs) + kept + bits + lists;
    for (const Matcher *m = k->first; m; m = m->next) bytes += m->cap * (sizeof *m->ids + sizeof *m->sets);
    return bytes;
}

int matchers_of(const Masker *k) { return k->count; }

/* Forgets all sets but those that matchers stand in. */
static void make_room(Masker *k) {
    size_t n = 0;
    for (Matcher *m = k->first; m; m = m->next) {
        k->alive[n++] = &m->set;
        m->known = m->n;
    }
    sets_compact(&k->sets, k->alive, n);
    memset(k->whole_set, 0, sizeof k->whole_set);
}

static void forget_states(Masker *k) {
    memset(k->kept[0], 0, (size_t)k->g.n_alike * sizeof *k->kept[0]);
    memset(k->kept[1], 0, (size_t)k->g.n_states * sizeof *k->kept[1]);
    k->n_bits = k->n_ids = k->n_places = 0;
}

/* ---- walks down a tree ---- */

typedef enum Outcome { WALKED, SETS_FULL, LIST_FULL } Outcome;

static void set_bit(uint64_t *bits, int32_t id) { bits[id >> 6] |= (uint64_t)1 << (id & 63); }

static Outcome list_add(int32_t *list, int32_t *n, const int32_t *from, int32_t count) {
    if (*n + count > LIST_MAX) return LIST_FULL;
    memcpy(list + *n, from, (size_t)count * sizeof *list);
    *n += count;
    return WALKED;
}

/* One of the set's items is enough. */
static bool takes_all(Masker *k, const ParseSet *p, const TrieNode *x) {
    for (int32_t i = 0; i < MIN(p->n, ITEMS_ASKED); i++)
        if (runs_all(&k->runs, k->sets.items[p->at + (uint32_t)i].state, x)) return true;
    return false;
}

/* The children of a node, from the set that stands there. Tokens go to bits, or where that is NULL to the list of ids.
 * From a stack that is known no place is ever listed. */
static Outcome walk(Masker *k, const Trie *t, int32_t node, int32_t set, uint64_t *bits) {
    int32_t end = t->nodes[node].skip, *path = k->path;
    path[t->nodes[node].depth] = set;
    for (int32_t i = node + 1; i < end;) {
        const TrieNode *x = &t->nodes[i];
        int32_t to = sets_step(&k->sets, path[x->depth - 1], x->byte), n = x[1].tokens - x->tokens;
        if (to == SET_DEAD) {
            i = x->skip;
            continue;
        }
        if (to == SET_FULL) return SETS_FULL;
        const ParseSet *p = &k->sets.sets[to];
        bool whole = x->skip > i + 1 && takes_all(k, p, x);
        if (whole) n = t->nodes[x->skip].tokens - x->tokens;
        if (bits)
            for (int32_t j = 0; j < n; j++) set_bit(bits, t->ids[x->tokens + j]);
        else if (n && list_add(k->ids, &k->n_ids, t->ids + x->tokens, n) != WALKED)
            return LIST_FULL;
        if ((p->flags & SET_LEAVES) && x->skip > i + 1 && !whole && list_add(k->places, &k->n_places, &i, 1) != WALKED)
            return LIST_FULL;
        path[x->depth] = to;
        i = p->n && !whole ? i + 1 : x->skip;
    }
    return WALKED;
}

/* What a state does with the tokens of one tree, wherever its rule was called. */
static Outcome learn(Masker *k, int32_t state, int part, Kept *kept) {
    int32_t set = sets_of_state(&k->sets, state);
    uint64_t *bits = NULL;
    *kept = (Kept){.ids = k->n_ids, .places = k->n_places};
    if (set == SET_FULL) return SETS_FULL;
    if (part == 0) {
        if (k->n_bits == k->cap_bits) return LIST_FULL;
        bits = k->bits + (size_t)k->n_bits * k->words;
        memset(bits, 0, k->words * 8);
    }
    Outcome o = walk(k, &k->tries->part[part], 0, set, bits);
    if (o != WALKED) return o;
    kept->n_ids = k->n_ids - kept->ids;
    kept->n_places = k->n_places - kept->places;
    if (bits) kept->bits = ++k->n_bits;
    kept->known = true;
    return WALKED;
}

static Kept *kept_of(Masker *k, int32_t state, int part) {
    return part == 0 ? &k->kept[0][k->g.alike[state]] : &k->kept[1][state];
}

/* Adds what one item of a set allows. */
static Outcome add_item(Masker *k, SetItem x, int part, uint64_t *mask) {
    const Kept *kept = kept_of(k, x.state, part);
    if (kept->bits) {
        const uint64_t *bits = k->bits + (size_t)(kept->bits - 1) * k->words;
        for (size_t i = 0; i < k->words; i++) mask[i] |= bits[i];
    }
    for (int32_t i = 0; i < kept->n_ids; i++) set_bit(mask, k->ids[kept->ids + i]);
    if (!kept->n_places || x.stack == STACK_END) return WALKED;
    int32_t set = sets_leave(&k->sets, x.stack);
    if (set == SET_FULL) return SETS_FULL;
    for (int32_t i = 0; i < kept->n_places; i++) {
        Outcome o = walk(k, &k->tries->part[part], k->places[kept->places + i], set, mask);
        if (o != WALKED) return o;
    }
    return WALKED;
}

/* From the set itself, without what was learnt of its states. */
static Outcome mask_direct(Masker *k, int32_t set, int part, uint64_t *mask) {
    return walk(k, &k->tries->part[part], 0, set, mask);
}

static Outcome mask_items(Masker *k, int32_t set, int part, uint64_t *mask) {
    ParseSet p = k->sets.sets[set];
    int64_t places = 0;
    Outcome o = WALKED;
    for (int32_t i = 0; i < p.n && o == WALKED; i++) {
        SetItem x = k->sets.items[p.at + (uint32_t)i];
        Kept *kept = kept_of(k, x.state, part);
        if (!kept->known) o = learn(k, x.state, part, kept);
        if (x.stack != STACK_END) places += kept->n_places;
    }
    if (o == WALKED && places > PLACES_DIRECT) return mask_direct(k, set, part, mask);
    for (int32_t i = 0; i < p.n && o == WALKED; i++) o = add_item(k, k->sets.items[p.at + (uint32_t)i], part, mask);
    return o;
}

/* A table that is full starts anew; where that is not enough, the mask is made without those of states. */
static bool mask_of(Masker *k, const int32_t *set, uint64_t *mask, Err *e) {
    Outcome o = SETS_FULL;
    for (int round = 0; round < 4 && o != WALKED; round++) {
        memset(mask, 0, k->words * 8);
        o = WALKED;
        for (int part = 0; part < 2 && o == WALKED; part++)
            o = round < 2 ? mask_items(k, *set, part, mask) : mask_direct(k, *set, part, mask);
        if (o == SETS_FULL) make_room(k);
        if (o == LIST_FULL) forget_states(k);
    }
    if (o != WALKED) return err_set(e, ERR_FAIL, "%s", full_text);
    if (k->sets.sets[*set].flags & SET_ENDS)
        for (size_t i = 0; i < k->n_ends; i++)
            if (k->ends[i] >= 0 && k->ends[i] < k->tries->vocab) set_bit(mask, k->ends[i]);
    return true;
}

/* ---- places in a text ---- */

static Matcher *attach(Masker *k, size_t cap) {
    Matcher *m = mem_alloc(1, sizeof *m);
    m->k = k;
    m->cap = cap;
    m->ids = mem_alloc(cap, sizeof *m->ids);
    m->sets = mem_alloc(cap, sizeof *m->sets);
    m->next = k->first;
    if (k->first) k->first->prev = m;
    k->first = m;
    k->alive = mem_grow(k->alive, (size_t)++k->count, sizeof *k->alive);
    m->set = SET_DEAD;
    return m;
}

Matcher *matcher_new(Masker *k, Err *e) {
    Matcher *m = attach(k, MATCHER_ROOM);
    if (matcher_rewind(m, 0, e)) return m;
    matcher_free(m);
    return NULL;
}

Matcher *matcher_fork(const Matcher *m) {
    Matcher *f = attach(m->k, m->cap);
    memcpy(f->ids, m->ids, m->n * sizeof *f->ids);
    memcpy(f->sets, m->sets, m->n * sizeof *f->sets);
    f->n = m->n;
    f->known = m->known;
    f->set = m->set;
    return f;
}

void matcher_free(Matcher *m) {
    if (!m) return;
    if (m->next) m->next->prev = m->prev;
    *(m->prev ? &m->prev->next : &m->k->first) = m->next;
    m->k->count--;
    free(m->ids);
    free(m->sets);
    free(m);
}

Masker *matcher_masker(const Matcher *m) { return m->k; }
size_t matcher_len(const Matcher *m) { return m->n; }
bool matcher_may_end(const Matcher *m) { return m->k->sets.sets[m->set].flags & SET_ENDS; }
bool matcher_must_end(const Matcher *m) { return matcher_may_end(m) && m->k->sets.sets[m->set].n == 0; }

static bool ends_text(const Masker *k, int32_t id) {
    for (size_t i = 0; i < k->n_ends; i++)
        if (k->ends[i] == id) return true;
    return false;
}

/* A place in front of all text; the set is a new one. */
static bool go_start(Matcher *m, Err *e) {
    for (int round = 0; round < 2; round++) {
        if ((m->set = sets_start(&m->k->sets)) != SET_FULL) return true;
        m->set = SET_DEAD;
        make_room(m->k);
    }
    return err_set(e, ERR_FAIL, "%s", full_text);
}

static int32_t set_after(Matcher *m, Str text) {
    int32_t set = m->set;
    for (size_t i = 0; i < text.n && set != SET_FULL; i++) set = sets_step(&m->k->sets, set, (uint8_t)text.s[i]);
    return set;
}

static bool go_on(Matcher *m, int32_t id, Err *e) {
    Str text = token_bytes(m->k->tries, id);
    int32_t set = set_after(m, text);
    if (set == SET_FULL) {
        make_room(m->k);
        set = set_after(m, text);
    }
    if (set == SET_FULL) return err_set(e, ERR_FAIL, "%s", full_text);
    if (set == SET_DEAD || !text.n)
        return err_set(e, ERR_FAIL, "grammar: token %d cannot come after the first %zu", (int)id, m->n);
    if (m->n == m->cap) {
        m->cap *= 2;
        m->ids = mem_grow(m->ids, m->cap, sizeof *m->ids);
        m->sets = mem_grow(m->sets, m->cap, sizeof *m->sets);
    }
    m->sets[m->n] = m->set;
    m->ids[m->n++] = id;
    m->set = set;
    return true;
}

bool matcher_accept(Matcher *m, int32_t id, Err *e) {
    if (id < 0 || id >= m->k->tries->vocab)
        return err_set(e, ERR_USAGE, "grammar: token %d is outside the vocabulary", (int)id);
    if (!ends_text(m->k, id)) return go_on(m, id, e);
    return matcher_may_end(m) || err_set(e, ERR_FAIL, "grammar: the text may not end after %zu tokens", m->n);
}

bool matcher_rewind(Matcher *m, size_t n, Err *e) {
    if (n > m->n) return err_set(e, ERR_USAGE, "grammar: cannot go back to %zu tokens, there are %zu", n, m->n);
    if (n == m->n && m->set != SET_DEAD) return true;
    if (n < m->n && n >= m->known) {
        m->set = m->sets[n];
        m->n = n;
        return true;
    }
    m->n = m->known = 0;
    TRY(go_start(m, e));
    while (m->n < n) TRY(go_on(m, m->ids[m->n], e));
    return true;
}

const uint64_t *matcher_mask(Matcher *m, Err *e) {
    Masker *k = m->k;
    int32_t slot = m->set & (WHOLE - 1);
    uint64_t *mask = k->whole + (size_t)slot * k->words, any = 0;
    if (k->whole_set[slot] != m->set) {
        k->whole_set[slot] = SET_FULL;
        if (!mask_of(k, &m->set, mask, e)) return NULL;
        if ((m->set & (WHOLE - 1)) == slot) k->whole_set[slot] = m->set; /* else it was renumbered */
    }
    for (size_t i = 0; i < k->words; i++) any |= mask[i];
    if (any) return mask;
    err_set(e, ERR_FAIL, "grammar: %s",
            matcher_may_end(m) ? "the text must end here, but the model has no token that ends it"
                               : "no token of the vocabulary can come next, and the text may not end here");
    return NULL;
}
