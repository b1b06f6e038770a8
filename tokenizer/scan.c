#include "tokenizer/scan.h"

#include <stdlib.h>

#include "tokenizer/text.h"
#include "tokenizer/unicode.h"

enum { SETS = 64, NODES = 128, BRANCHES = 31, EXTRAS = 8, DEPTH = 8, NOWHERE = -1 };

typedef struct CharSet {
    uint64_t ascii[2];
    uint32_t categories; /* beyond ASCII, a bit each */
    struct {
        uint32_t lo, hi;
    } extra[EXTRAS]; /* beyond ASCII: other than their category says */
    int n_extra;
    bool negated;
} CharSet;

typedef enum NodeKind { NODE_SET, NODE_EITHER, NODE_LOOK, NODE_JOIN, NODE_END } NodeKind;
typedef struct Node {
    NodeKind kind;
    bool negated, greedy_only; /* NODE_LOOK; a run that gives nothing back */
    int set, next, other;      /* other: what NODE_EITHER tries second */
    uint32_t min, max;
} Node;

struct Scan {
    CharSet sets[SETS];
    Node nodes[NODES];
    int n_sets, n_nodes;
    int branches[BRANCHES]; /* entry nodes, in the order in which they are tried */
    int n_branches;
    uint32_t ascii_first[128], category_first[CATEGORIES]; /* branches that can begin so, a bit each */
};

size_t scan_bytes(const Scan *scan) { return scan ? sizeof *scan : 0; }

/* ---- sets ---- */

static void set_add(CharSet *set, uint32_t lo, uint32_t hi, bool *ok) {
    for (uint32_t c = lo; c <= MIN(hi, 127u); c++) set->ascii[c >> 6] |= UINT64_C(1) << (c & 63);
    if (hi < 128) return;
    if (set->n_extra == EXTRAS) {
        *ok = false;
        return;
    }
    set->extra[set->n_extra].lo = MAX(lo, 128u);
    set->extra[set->n_extra++].hi = hi;
}

static void set_add_categories(CharSet *set, uint32_t mask) {
    set->categories |= mask;
    for (uint32_t c = 0; c < 128; c++)
        if (mask >> cp_category(c) & 1) set->ascii[c >> 6] |= UINT64_C(1) << (c & 63);
}

static void set_negate(CharSet *set) {
    set->ascii[0] = ~set->ascii[0];
    set->ascii[1] = ~set->ascii[1];
    set->categories = ~set->categories;
    set->negated = !set->negated;
}

/* The character at s, which is not empty; *len receives its length. */
static inline bool set_has(const CharSet *set, const char *s, size_t *len) {
    unsigned char c = (unsigned char)*s;
    if (c < 128) {
        *len = 1;
        return set->ascii[c >> 6] >> (c & 63) & 1;
    }
    int n;
    uint32_t cp = utf8_decode(s, &n);
    *len = (size_t)n;
    for (int i = 0; i < set->n_extra; i++)
        if (cp >= set->extra[i].lo && cp <= set->extra[i].hi) return !set->negated;
    return set->categories >> cp_category(cp) & 1;
}

/* ---- compiling ---- */

typedef struct Parse {
    Scan *out;
    const char *at;
    bool fold; /* inside (?i: */
    int depth;
    bool ok;
} Parse;

static int give_up(Parse *p) {
    p->ok = false;
    return 0;
}

static int new_node(Parse *p, Node node) {
    if (p->out->n_nodes == NODES) return give_up(p);
    p->out->nodes[p->out->n_nodes] = node;
    return p->out->n_nodes++;
}

static int new_set(Parse *p) {
    if (p->out->n_sets == SETS) return give_up(p);
    return p->out->n_sets++;
}

static bool take(Parse *p, const char *text) {
    size_t n = strlen(text);
    if (strncmp(p->at, text, n) != 0) return false;
    p->at += n;
    return true;
}

/* \p{..} after its backslash; the mask of its categories. */
static uint32_t parse_property(Parse *p) {
    bool negated = *p->at++ == 'P';
    const char *end = *p->at == '{' ? strchr(p->at, '}') : NULL;
    if (!end) return (uint32_t)give_up(p);
    Str name = {p->at + 1, (size_t)(end - p->at) - 1};
    p->at = end + 1;
    if (name.n && *name.s == '^') negated = !negated, name.s++, name.n--;
    uint32_t mask = category_mask(name);
    if (str_is(name, "White_Space"))
        mask = 1u << CAT_ZS | 1u << CAT_ZL | 1u << CAT_ZP | 1u << CAT_NEL;
    else if (!mask)
        give_up(p);
    return negated ? ~mask : mask;
}

/* White space is the one property that splits a category within ASCII. */
static void add_property(Parse *p, CharSet *set) {
    bool space = strncmp(p->at + 1, "{White_Space}", 13) == 0, not_space = space && *p->at == 'P';
    uint32_t mask = parse_property(p);
    CharSet part = {{0}};
    set_add_categories(&part, mask);
    for (uint32_t c = 9; space && c <= 13; c++)
        if (not_space)
            part.ascii[0] &= ~(UINT64_C(1) << c);
        else
            part.ascii[0] |= UINT64_C(1) << c;
    set->ascii[0] |= part.ascii[0];
    set->ascii[1] |= part.ascii[1];
    set->categories |= part.categories;
}

/* One character, escaped or not, as it stands at p->at. */
static uint32_t parse_char(Parse *p) {
    static const char letters[] = "rntfae", codes[] = "\r\n\t\f\a\033";
    if (*p->at != '\\') {
        int len = utf8_len(p->at, strlen(p->at));
        if (len <= 0) return (uint32_t)give_up(p);
        uint32_t cp = utf8_decode(p->at, &len);
        p->at += len;
        return cp;
    }
    const unsigned char c = (unsigned char)*++p->at;
    const char *letter = c ? strchr(letters, c) : NULL;
    if (c == 'x' && p->at[1] == '{') {
        char *end;
        unsigned long cp = strtoul(p->at + 2, &end, 16);
        if (*end != '}' || end == p->at + 2 || cp > 0x10ffff) return (uint32_t)give_up(p);
        p->at = end + 1;
        return (uint32_t)cp;
    }
    if (!c || (!letter && (c > 127 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))))
        return (uint32_t)give_up(p);
    p->at++;
    return letter ? (uint32_t)codes[letter - letters] : (uint32_t)c;
}

static void add_char(Parse *p, CharSet *set, uint32_t c) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    set_add(set, c, c, &p->ok);
    if (!p->fold) return;
    if (c > 127) give_up(p);
    if (!letter) return;
    set_add(set, c ^ 32, c ^ 32, &p->ok);
    if ((c | 32) == 's') set_add(set, 0x17f, 0x17f, &p->ok); /* long s and the sign of kelvin fold to them */
    if ((c | 32) == 'k') set_add(set, 0x212a, 0x212a, &p->ok);
}

/* [..] after its bracket. */
static void parse_set(Parse *p, CharSet *set) {
    bool negated = take(p, "^");
    while (p->ok && *p->at != ']') {
        if (p->at[0] == '\\' && (p->at[1] == 'p' || p->at[1] == 'P')) {
            p->at++;
            add_property(p, set);
            continue;
        }
        if (*p->at == '[') give_up(p);
        uint32_t lo = parse_char(p), hi = lo;
        if (p->at[0] == '-' && p->at[1] != ']') {
            p->at++;
            hi = parse_char(p);
            if (p->fold || hi < lo) give_up(p);
            set_add(set, lo, hi, &p->ok);
        } else {
            add_char(p, set, lo);
        }
    }
    take(p, "]");
    /* a property and a range that overlap beyond ASCII are told apart by `negated` alone */
    if (negated) set_negate(set);
}

static int parse_one_set(Parse *p) {
    int index = new_set(p);
    CharSet *set = &p->out->sets[index];
    if (take(p, "["))
        parse_set(p, set);
    else if (p->at[0] == '\\' && (p->at[1] == 'p' || p->at[1] == 'P'))
        p->at++, add_property(p, set);
    else if (!*p->at || strchr("^$.|()?*+{", *p->at))
        give_up(p);
    else
        add_char(p, set, parse_char(p));
    return index;
}

/* ? * + {n} {n,} {n,m}, then perhaps + */
static bool parse_times(Parse *p, uint32_t *min, uint32_t *max) {
    *min = *max = 1;
    if (take(p, "?"))
        *min = 0;
    else if (take(p, "*"))
        *min = 0, *max = UINT32_MAX;
    else if (take(p, "+"))
        *max = UINT32_MAX;
    else if (*p->at == '{' && p->at[1] >= '0' && p->at[1] <= '9') {
        char *end;
        *min = *max = (uint32_t)strtoul(p->at + 1, &end, 10);
        if (*end == ',') {
            const char *from = end + 1;
            *max = *from == '}' ? UINT32_MAX : (uint32_t)strtoul(from, &end, 10);
            if (*from == '}') end = (char *)(uintptr_t)from;
        }
        if (*end != '}' || *max < *min || *min > 1000) give_up(p);
        p->at = end + (*end == '}');
    } else
        return false;
    if (*p->at == '?') give_up(p);
    return true;
}

typedef struct Part { /* entry node, and the node whose next is still open */
    int entry, exit;
} Part;

static Part parse_alternatives(Parse *p);

static Part parse_look(Parse *p, bool negated) {
    int set = parse_one_set(p);
    if (!take(p, ")")) give_up(p);
    int node = new_node(p, (Node){.kind = NODE_LOOK, .set = set, .negated = negated, .next = NOWHERE});
    return (Part){node, node};
}

static Part parse_group(Parse *p) {
    bool fold = p->fold;
    uint32_t min, max;
    if (take(p, "(?!")) return parse_look(p, true);
    if (take(p, "(?=")) return parse_look(p, false);
    if (take(p, "(?i:"))
        p->fold = true;
    else if (!take(p, "(?:"))
        give_up(p);
    Part inner = p->ok && ++p->depth < DEPTH ? parse_alternatives(p) : (Part){give_up(p), 0};
    p->depth--;
    p->fold = fold;
    if (!take(p, ")")) give_up(p);
    if (!p->ok || !parse_times(p, &min, &max)) return inner;
    if (min != 0 || max != 1 || *p->at == '+') give_up(p);
    int either = new_node(p, (Node){.kind = NODE_EITHER, .next = inner.entry, .other = inner.exit});
    return (Part){either, inner.exit};
}

static Part parse_item(Parse *p) {
    Node node = {.kind = NODE_SET, .next = NOWHERE};
    if (*p->at == '(') return parse_group(p);
    node.set = parse_one_set(p);
    if (p->ok && parse_times(p, &node.min, &node.max)) node.greedy_only = take(p, "+");
    int index = new_node(p, node);
    return (Part){index, index};
}

static Part parse_sequence(Parse *p) {
    int join = new_node(p, (Node){.kind = NODE_JOIN, .next = NOWHERE});
    Part all = {join, join};
    while (p->ok && *p->at && *p->at != '|' && *p->at != ')') {
        Part item = parse_item(p);
        if (!p->ok) break;
        p->out->nodes[all.exit].next = item.entry;
        all.exit = item.exit;
    }
    return all;
}

static Part parse_alternatives(Parse *p) {
    Part all = parse_sequence(p);
    int exit = new_node(p, (Node){.kind = NODE_JOIN, .next = NOWHERE}), last = NOWHERE;
    if (p->ok) p->out->nodes[all.exit].next = exit;
    while (p->ok && take(p, "|")) {
        Part more = parse_sequence(p);
        if (!p->ok) break;
        p->out->nodes[more.exit].next = exit;
        int *from = last == NOWHERE ? &all.entry : &p->out->nodes[last].other;
        int either = new_node(p, (Node){.kind = NODE_EITHER, .next = *from, .other = more.entry});
        *from = last = either;
    }
    return (Part){all.entry, exit};
}

/* ---- what a branch can begin with ---- */

typedef struct First {
    uint64_t ascii[2];
    uint32_t categories;
    bool anything; /* it may match nothing */
} First;

static void first_of(const Scan *scan, int node, First *out) {
    for (;;) {
        const Node *x = &scan->nodes[node];
        if (x->kind == NODE_END) {
            out->anything = true;
            return;
        }
        if (x->kind == NODE_EITHER) first_of(scan, x->other, out);
        if (x->kind == NODE_SET) {
            const CharSet *set = &scan->sets[x->set];
            out->ascii[0] |= set->ascii[0];
            out->ascii[1] |= set->ascii[1];
            out->categories |= set->n_extra && !set->negated ? UINT32_MAX : set->categories;
            if (x->min) return;
        }
        node = x->next;
    }
}

static bool find_firsts(Scan *scan) {
    for (int i = 0; i < scan->n_branches; i++) {
        First f = {{0}};
        first_of(scan, scan->branches[i], &f);
        if (f.anything) return false;
        for (int c = 0; c < 128; c++) scan->ascii_first[c] |= (uint32_t)(f.ascii[c >> 6] >> (c & 63) & 1) << i;
        for (int c = 0; c < CATEGORIES; c++) scan->category_first[c] |= (f.categories >> c & 1) << i;
    }
    return true;
}

Scan *scan_compile(const char *pattern) {
    Scan *scan = mem_alloc(1, sizeof *scan);
    Parse p = {.out = scan, .at = pattern, .ok = true};
    int end = new_node(&p, (Node){.kind = NODE_END});
    do {
        Part branch = parse_sequence(&p);
        if (scan->n_branches == BRANCHES) give_up(&p);
        if (!p.ok) break;
        scan->nodes[branch.exit].next = end;
        scan->branches[scan->n_branches++] = branch.entry;
    } while (take(&p, "|"));
    if (p.ok && !*p.at && find_firsts(scan)) return scan;
    free(scan);
    return NULL;
}

/* ---- matching ---- */

typedef struct Match {
    const Scan *scan;
    Str s;
    int64_t *steps;
} Match;

enum { NO_MATCH = -1 };

static int64_t match_at(const Match *m, int node, size_t at);

/* A run of a set: the longest first, then shorter ones while what follows does not match. */
static int64_t match_run(const Match *m, const Node *x, size_t at) {
    const CharSet *set = &m->scan->sets[x->set];
    size_t end = at, len;
    uint32_t n = 0;
    for (; n < x->max && end < m->s.n && set_has(set, m->s.s + end, &len); n++) end += len;
    *m->steps -= n;
    while (n >= x->min && *m->steps > 0) {
        int64_t found = match_at(m, x->next, end);
        if (found >= 0 || x->greedy_only || n == 0) return found;
        for (n--, end--; utf8_continues(m->s.s[end]); end--) {}
    }
    return NO_MATCH;
}

static int64_t match_at(const Match *m, int node, size_t at) {
    size_t len;
    for (--*m->steps;;) {
        const Node *x = &m->scan->nodes[node];
        switch (x->kind) {
        case NODE_END: return (int64_t)at;
        case NODE_JOIN: break;
        case NODE_LOOK:
            if ((at < m->s.n && set_has(&m->scan->sets[x->set], m->s.s + at, &len)) == x->negated) return NO_MATCH;
            break;
        case NODE_EITHER: {
            int64_t found = match_at(m, x->next, at);
            if (found >= 0) return found;
            node = x->other;
            continue;
        }
        case NODE_SET:
            if (x->max != 1 || !x->min) return match_run(m, x, at);
            if (at >= m->s.n || !set_has(&m->scan->sets[x->set], m->s.s + at, &len)) return NO_MATCH;
            at += len;
            break;
        }
        node = x->next;
    }
}

size_t scan_match(const Scan *scan, Str s, size_t at, int64_t *steps) {
    Match m = {scan, s, steps};
    unsigned char c = (unsigned char)s.s[at];
    int len;
    uint32_t may = c < 128 ? scan->ascii_first[c] : scan->category_first[cp_category(utf8_decode(s.s + at, &len))];
    for (; may; may &= may - 1) {
        int64_t end = match_at(&m, scan->branches[__builtin_ctz(may)], at);
        if (end >= 0) return (size_t)end - at;
    }
    return 0;
}
