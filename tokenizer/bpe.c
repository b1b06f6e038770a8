#include "tokenizer/bpe.h"

#include <stdlib.h>

#include "tokenizer/alphabet.h"
#include "tokenizer/text.h"

enum {
    SCAN_MAX = 48, /* symbols up to which looking at all pairs beats a heap */
    MEMO_BITS_MIN = 8,
    MEMO_BITS_MAX = 14, /* pairs that one call remembers */
};
#define NO_RANK UINT32_MAX

/* ---- pairs ---- */

typedef struct Pair {
    uint32_t rank; /* NO_RANK: nothing joins them */
    int32_t id;    /* what they become */
} Pair;

typedef struct PairMemo {
    uint64_t key;
    Pair pair;
} PairMemo;

/* The merge of two tokens, from the text of what it would make. */
static Pair find_cut(const Bpe *b, BpeScratch *s, const BpeToken *left, const BpeToken *right) {
    uint64_t key = pair_key(left->id, right->id);
    PairMemo *memo = &s->memo[key_mix(key) >> (64 - s->memo_bits)];
    if (memo->key == key) return memo->pair;
    Str a = b->texts.text[left->id], c = b->texts.text[right->id];
    *memo = (PairMemo){key, {NO_RANK, -1}};
    if (a.n + c.n > b->texts.text_max) return memo->pair;
    buf_clear(&s->spelled);
    buf_put(&s->spelled, a.s, a.n);
    buf_put(&s->spelled, c.s, c.n);
    int32_t id = vocab_find(&b->texts, buf_view(&s->spelled));
    for (uint32_t i = id < 0 ? 0 : b->n_cuts[id]; i-- > 0;) { /* of a merge that stands twice the last counts */
        uint32_t rank = b->first_cut[id] + i;
        if (b->cuts[rank] != a.n) continue;
        memo->pair = (Pair){rank, id};
        break;
    }
    return memo->pair;
}

static Pair find_pair(const Bpe *b, const char *piece, BpeScratch *s, const BpeToken *left, const BpeToken *right) {
    Pair none = {NO_RANK, -1};
    if (b->cuts) return find_cut(b, s, left, right);
    if (!b->by_text) {
        size_t i = pair_slot(b, pair_key(left->id, right->id));
        return b->pairs[i] ? (Pair){b->ranks[i], b->joined[b->ranks[i]]} : none;
    }
    Str text = {piece + left->begin, right->end - left->begin};
    if (left->frozen || right->frozen || text.n > b->texts.text_max) return none;
    int32_t id = vocab_find(&b->texts, text);
    return id < 0 ? none : (Pair){b->better ? b->better[id] : (uint32_t)id, id};
}

/* ---- one piece ---- */

typedef struct BpeNode { /* a symbol; its pair is the one with its right neighbour */
    BpeToken t;
    Pair pair; /* none at the end, and where the symbol is gone */
    uint32_t prev, next;
} BpeNode;

typedef struct BpeSplit { /* an unused piece, and where its right part begins */
    uint32_t begin, mid, end;
} BpeSplit;

static void *room(void *block, size_t *cap, size_t n, size_t size) {
    if (n <= *cap) return block;
    *cap = MAX(n, *cap * 2);
    return mem_grow(block, *cap, size);
}

typedef struct Spelled { /* a place in the piece as the vocabulary spells it */
    const Bpe *b;
    const unsigned char *piece;
    uint32_t byte, begin; /* of the piece; where its spelling begins */
} Spelled;

static uint32_t spelled_len(const Bpe *b, unsigned char byte) {
    return b->symbols == SYM_ALPHABET && !(byte > 0x20 && byte < 0x7f) ? 2 : 1;
}

/* The byte of the piece that is spelled at `at`; asked in order. */
static uint32_t spelled_at(Spelled *s, uint32_t at) {
    for (uint32_t n; at >= s->begin + (n = spelled_len(s->b, s->piece[s->byte])); s->byte++) s->begin += n;
    return s->byte;
}

/* One symbol a byte. Unknown ones become unk or are left out, and those behind them move up, as in the package, where a
 * symbol's place is what its letters and those before it add up to. */
static size_t byte_symbols(const Bpe *b, const char *piece, size_t n, BpeToken *out) {
    size_t k = 0;
    uint32_t at = 0;
    bool last_unk = false;
    Spelled place = {.b = b, .piece = (const unsigned char *)piece};
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = (unsigned char)piece[i];
        int32_t id = b->byte_id[byte];
        bool unk = id < 0;
        if (unk && b->unk < 0) continue;
        uint32_t begin = spelled_at(&place, at), end;
        at += spelled_len(b, byte);
        end = spelled_at(&place, at - 1) + 1;
        if (unk && last_unk && b->fuse_unk)
            out[k - 1].end = end;
        else
            out[k++] = (BpeToken){unk ? b->unk : id, begin, end, false};
        last_unk = unk;
    }
    return k;
}

static uint32_t char_len(const char *s) {
    unsigned char c = (unsigned char)*s;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

static int32_t char_id(const Bpe *b, const char *s, uint32_t len) {
    return len == 1 ? b->ascii_id[(unsigned char)*s] : vocab_find(&b->texts, (Str){s, len});
}

static bool has_bytes(const Bpe *b, const char *s, uint32_t n) {
    bool all = b->fallback;
    for (uint32_t i = 0; i < n && all; i++) all = b->byte_id[(unsigned char)s[i]] >= 0;
    return all;
}

/* One symbol a character, for merges by id: what the vocabulary lacks becomes its bytes, or unk, or is left out. An unk
 * is put when it is certain that no other one joins it, as in the package. */
static size_t char_symbols(const Bpe *b, const char *piece, size_t n, BpeToken *out) {
    size_t k = 0;
    uint32_t at = 0, unk = 0; /* unk: bytes of the one that is waiting */
    for (size_t i = 0; i < n;) {
        uint32_t len = char_len(piece + i);
        int32_t id = char_id(b, piece + i, len);
        bool bytes = id < 0 && has_bytes(b, piece + i, len);
        if (unk && (id >= 0 || (!bytes && !b->fuse_unk))) {
            out[k++] = (BpeToken){b->unk, at, at + unk, false};
            at += unk;
            unk = 0;
        }
        if (id >= 0) {
            out[k++] = (BpeToken){id, at, at + len, false};
            at += len;
        } else if (bytes) {
            for (uint32_t j = 0; j < len; j++, at++)
                out[k++] = (BpeToken){b->byte_id[(unsigned char)piece[i + j]], at, at + 1, false};
        } else if (b->unk >= 0) {
            unk += len;
        }
        i += len;
    }
    if (unk) out[k++] = (BpeToken){b->unk, at, at + unk, false};
    return k;
}

/* Symbols for joins by text: those of the user's pieces are whole, unknown characters have no id yet. */
static size_t text_symbols(const Bpe *b, const char *piece, size_t n, BpeToken *out) {
    size_t k = 0;
    for (size_t i = 0; i < n; k++) {
        size_t end = i;
        int32_t user = trie_longest(b->user, (Str){piece, n}, i, &end);
        uint32_t len = user >= 0 ? (uint32_t)(end - i) : b->symbols == SYM_BYTES ? 1 : char_len(piece + i);
        int32_t id = user >= 0                 ? user
                     : b->symbols == SYM_BYTES ? b->byte_id[(unsigned char)piece[i]]
                                               : char_id(b, piece + i, len);
        out[k] = (BpeToken){id, (uint32_t)i, (uint32_t)i + len, user >= 0};
        i += len;
    }
    return k;
}

static bool is_unused(const Bpe *b, int32_t id) { return b->types && id >= 0 && b->types[id] == TOK_UNUSED; }

/* *left becomes the pair. */
static void join(const Bpe *b, BpeScratch *s, BpeToken *left, const BpeToken *right, int32_t id) {
    if (is_unused(b, id)) {
        s->splits = room(s->splits, &s->splits_cap, s->splits_n + 1, sizeof *s->splits);
        s->splits[s->splits_n++] = (BpeSplit){left->begin, right->begin, right->end};
    }
    left->id = id;
    left->end = right->end;
}

/* Joins s->tokens[0..k) in place, every step a look at all pairs; k <= SCAN_MAX. */
static size_t join_by_scan(const Bpe *b, const char *piece, BpeScratch *s, size_t k) {
    BpeToken *t = s->tokens;
    Pair pair[SCAN_MAX];
    for (size_t i = 0; i + 1 < k; i++) pair[i] = find_pair(b, piece, s, &t[i], &t[i + 1]);
    while (k > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < k; i++)
            if (pair[i].rank < pair[best].rank) best = i;
        if (pair[best].rank == NO_RANK) break;
        join(b, s, &t[best], &t[best + 1], pair[best].id);
        k--;
        memmove(&t[best + 1], &t[best + 2], (k - best - 1) * sizeof *t);
        memmove(&pair[best], &pair[best + 1], (k - best - 1) * sizeof *pair);
        if (best + 1 < k) pair[best] = find_pair(b, piece, s, &t[best], &t[best + 1]);
        if (best > 0) pair[best - 1] = find_pair(b, piece, s, &t[best - 1], &t[best]);
    }
    return k;
}

/* A heap of rank << 32 | node, four children a node. Entries are never removed early: one whose node has another rank
 * by now is passed over. */
static void heap_push(BpeScratch *s, uint64_t key) {
    s->heap = room(s->heap, &s->heap_cap, s->heap_n + 1, sizeof *s->heap);
    size_t i = s->heap_n++;
    for (; i > 0 && s->heap[(i - 1) / 4] > key; i = (i - 1) / 4) s->heap[i] = s->heap[(i - 1) / 4];
    s->heap[i] = key;
}

static uint64_t heap_pop(BpeScratch *s) {
    uint64_t top = s->heap[0], key = s->heap[--s->heap_n];
    size_t i = 0, n = s->heap_n;
    for (size_t child = 1; child < n; child = 4 * i + 1) {
        size_t least = child;
        for (size_t c = child + 1; c < MIN(child + 4, n); c++)
            if (s->heap[c] < s->heap[least]) least = c;
        if (s->heap[least] >= key) break;
        s->heap[i] = s->heap[least];
        i = least;
    }
    s->heap[i] = key;
    return top;
}

static void rank_node(const Bpe *b, const char *piece, BpeScratch *s, uint32_t i) {
    BpeNode *node = &s->nodes[i];
    node->pair.rank = NO_RANK;
    if (node->next != NO_RANK) node->pair = find_pair(b, piece, s, &node->t, &s->nodes[node->next].t);
    if (node->pair.rank != NO_RANK) heap_push(s, (uint64_t)node->pair.rank << 32 | i);
}

static size_t join_by_heap(const Bpe *b, const char *piece, BpeScratch *s, size_t k) {
    s->nodes = room(s->nodes, &s->nodes_cap, k, sizeof *s->nodes);
    s->heap_n = 0;
    for (uint32_t i = 0; i < k; i++)
        s->nodes[i] = (BpeNode){s->tokens[i], {NO_RANK, -1}, i - 1, i + 1 < k ? i + 1 : NO_RANK};
    for (uint32_t i = 0; i < k; i++) rank_node(b, piece, s, i);
    while (s->heap_n) {
        uint64_t top = heap_pop(s);
        uint32_t i = (uint32_t)top;
        BpeNode *node = &s->nodes[i];
        if (node->pair.rank != (uint32_t)(top >> 32)) continue;
        BpeNode *gone = &s->nodes[node->next];
        join(b, s, &node->t, &gone->t, node->pair.id);
        node->next = gone->next;
        gone->pair.rank = NO_RANK;
        if (node->next != NO_RANK) s->nodes[node->next].prev = i;
        rank_node(b, piece, s, i);
        if (i > 0) rank_node(b, piece, s, node->prev);
    }
    size_t out = 0;
    for (uint32_t i = 0; i != NO_RANK; i = s->nodes[i].next) s->tokens[out++] = s->nodes[i].t;
    return out;
}

/* ---- what joining by text leaves to do ---- */

static void spread_put(BpeScratch *s, size_t *n, BpeToken t) {
    s->spread = room(s->spread, &s->spread_cap, *n + 1, sizeof *s->spread);
    s->spread[(*n)++] = t;
}

/* An unused piece goes back to the parts that it was joined from; others stay. Parts wait at the end of s->tokens. */
static void spread_unused(const Bpe *b, const char *piece, BpeScratch *s, BpeToken t, size_t *n) {
    Buf waiting = {0};
    buf_put(&waiting, &t, sizeof t);
    while (waiting.n) {
        BpeToken x;
        memcpy(&x, waiting.s + (waiting.n -= sizeof x), sizeof x);
        const BpeSplit *split = NULL;
        for (size_t i = s->splits_n; i > 0 && !split && is_unused(b, x.id); i--)
            if (s->splits[i - 1].begin == x.begin && s->splits[i - 1].end == x.end) split = &s->splits[i - 1];
        if (!split) {
            spread_put(s, n, x);
            continue;
        }
        BpeToken left = {vocab_find(&b->texts, (Str){piece + x.begin, split->mid - x.begin}), x.begin, split->mid,
                         false};
        BpeToken right = {vocab_find(&b->texts, (Str){piece + split->mid, x.end - split->mid}), split->mid, x.end,
                          false};
        buf_put(&waiting, &right, sizeof right);
        buf_put(&waiting, &left, sizeof left);
    }
    buf_release(&waiting);
}

/* Unknown symbols become their bytes or unk. */
static size_t spread(const Bpe *b, const char *piece, BpeScratch *s, size_t k) {
    size_t n = 0;
    bool last_unk = false;
    for (size_t i = 0; i < k; i++) {
        BpeToken t = s->tokens[i];
        if (t.id >= 0) {
            if (is_unused(b, t.id))
                spread_unused(b, piece, s, t, &n);
            else
                spread_put(s, &n, t);
        } else if (has_bytes(b, piece + t.begin, t.end - t.begin)) {
            for (uint32_t at = t.begin; at < t.end; at++)
                spread_put(s, &n, (BpeToken){b->byte_id[(unsigned char)piece[at]], at, at + 1, false});
        } else if (b->unk >= 0 && last_unk && b->fuse_unk) {
            s->spread[n - 1].end = t.end;
        } else if (b->unk >= 0) {
            spread_put(s, &n, (BpeToken){b->unk, t.begin, t.end, false});
        }
        last_unk = t.id < 0;
    }
    BpeToken *swap = s->tokens;
    size_t cap = s->cap;
    s->tokens = s->spread;
    s->cap = s->spread_cap;
    s->spread = swap;
    s->spread_cap = cap;
    return n;
}

static bool needs_spread(const Bpe *b, const BpeScratch *s, size_t k) {
    if (s->splits_n) return true;
    for (size_t i = 0; i < k; i++)
        if (s->tokens[i].id < 0 || is_unused(b, s->tokens[i].id)) return true;
    return false;
}

/* The id of the token whose text is the whole piece, or -1. */
static int32_t whole_piece(const Bpe *b, const char *piece, size_t n, BpeScratch *s) {
    char spelled[4];
    if (n > b->texts.text_max) return -1;
    if (b->symbols != SYM_ALPHABET) return vocab_find(&b->texts, (Str){piece, n});
    buf_clear(&s->spelled);
    for (size_t i = 0; i < n; i++)
        buf_put(&s->spelled, spelled, (size_t)utf8_encode(alphabet_of_byte((uint8_t)piece[i]), spelled));
    return vocab_find(&b->texts, buf_view(&s->spelled));
}

void bpe_scratch_begin(const Bpe *b, size_t text_bytes, BpeScratch *s) {
    *s = (BpeScratch){.memo_bits = MEMO_BITS_MIN};
    if (!b->cuts) return;
    while (s->memo_bits < MEMO_BITS_MAX && (size_t)1 << s->memo_bits < text_bytes) s->memo_bits++;
    s->memo = mem_alloc((size_t)1 << s->memo_bits, sizeof *s->memo);
}

size_t bpe_encode(const Bpe *b, const char *piece, size_t n, BpeScratch *s) {
    s->tokens = room(s->tokens, &s->cap, n + 1, sizeof *s->tokens);
    int32_t whole = b->whole_first ? whole_piece(b, piece, n, s) : -1;
    if (whole >= 0) {
        s->tokens[0] = (BpeToken){whole, 0, (uint32_t)n, false};
        return 1;
    }
    size_t k = b->by_text                ? text_symbols(b, piece, n, s->tokens)
               : b->symbols == SYM_CHARS ? char_symbols(b, piece, n, s->tokens)
                                         : byte_symbols(b, piece, n, s->tokens);
    s->splits_n = 0;
    if (k > 1) k = k <= SCAN_MAX ? join_by_scan(b, piece, s, k) : join_by_heap(b, piece, s, k);
    return b->by_text && needs_spread(b, s, k) ? spread(b, piece, s, k) : k;
}

void bpe_scratch_release(BpeScratch *s) {
    free(s->tokens);
    free(s->spread);
    free(s->nodes);
    free(s->heap);
    free(s->splits);
    free(s->memo);
    buf_release(&s->spelled);
    *s = (BpeScratch){0};
}
