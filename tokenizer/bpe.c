#include "tokenizer/bpe.h"

#include <stdlib.h>

#include "tokenizer/alphabet.h"

enum {
    SCAN_MAX = 48, /* symbols up to which looking at all pairs beats a heap */
    AHEAD = 16,    /* merges that are looked up together */
};
#define NO_RANK UINT32_MAX

/* ---- tables ---- */

static uint64_t pair_key(int32_t a, int32_t b) { return ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) + 1; }

static size_t pair_slot(const Bpe *b, uint64_t key) {
    size_t mask = ((size_t)1 << (64 - b->shift)) - 1;
    for (size_t i = key_mix(key) >> b->shift;; i = (i + 1) & mask)
        if (!b->pairs[i] || b->pairs[i] == key) return i;
}

static uint32_t pair_rank(const Bpe *b, int32_t left, int32_t right) {
    uint64_t key = pair_key(left, right);
    size_t i = pair_slot(b, key);
    return b->pairs[i] ? b->ranks[i] : NO_RANK;
}

static bool no_token(const TokSpec *spec, int32_t rank, Str text, Err *e) {
    return err_set(e, ERR_INPUT, "merge %d ('%.*s' + '%.*s') needs the token '%.*s', which the vocabulary lacks", rank,
                   STR_ARG(spec->merges[rank][0]), STR_ARG(spec->merges[rank][1]), STR_ARG(text));
}

/* True when token id is spelled a + b. */
static bool is_joined(const TokSpec *spec, int32_t id, Str a, Str b) {
    if (id < 0 || id >= spec->n_vocab || spec->vocab[id].n != a.n + b.n) return false;
    return memcmp(spec->vocab[id].s, a.s, a.n) == 0 && memcmp(spec->vocab[id].s + a.n, b.s, b.n) == 0;
}

typedef struct MergeKeys { /* of a merge that is being looked up */
    uint64_t part[2], pair;
} MergeKeys;

/* The pairs of merges[from..from+n) as keys of the pair table; memory is waited for together. */
static bool find_pairs(const TokSpec *spec, const Vocab *vocab, int32_t from, int32_t n, MergeKeys *keys, const Bpe *b,
                       Err *e) {
    Str(*merges)[2] = spec->merges + from;
    for (int32_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            keys[i].part[k] = vocab_key(merges[i][k]);
            vocab_prefetch(vocab, keys[i].part[k]);
        }
    for (int32_t i = 0; i < n; i++) {
        int32_t left = vocab_find_key(vocab, keys[i].part[0], merges[i][0]);
        int32_t right = vocab_find_key(vocab, keys[i].part[1], merges[i][1]);
        if (left < 0 || right < 0) return no_token(spec, from + i, merges[i][left >= 0], e);
        keys[i].pair = pair_key(left, right);
        __builtin_prefetch(&b->pairs[key_mix(keys[i].pair) >> b->shift]);
    }
    return true;
}

/* What merge `rank` makes; *next is the id after the one of the merge before: trainers mostly number in order. */
static bool find_joined(const TokSpec *spec, const Vocab *vocab, int32_t rank, int32_t *next, Err *e) {
    Str a = spec->merges[rank][0], b = spec->merges[rank][1];
    Buf both = {0};
    if (is_joined(spec, *next, a, b)) return true;
    buf_put(&both, a.s, a.n);
    buf_put(&both, b.s, b.n);
    *next = vocab_find(vocab, buf_view(&both));
    if (*next < 0) no_token(spec, rank, buf_view(&both), e);
    buf_release(&both);
    return *next >= 0;
}

static bool build_merges(const TokSpec *spec, const Vocab *vocab, Arena *arena, Bpe *out, Err *e) {
    MergeKeys keys[AHEAD];
    int32_t next = -1;
    int bits = 4;
    while ((int64_t)1 << bits < spec->n_merges + (int64_t)spec->n_merges / 2) bits++;
    out->shift = 64 - bits;
    out->pairs = ARENA_NEW(arena, uint64_t, (size_t)1 << bits);
    out->ranks = ARENA_NEW(arena, uint32_t, (size_t)1 << bits);
    out->joined = ARENA_NEW(arena, int32_t, spec->n_merges);
    for (int32_t from = 0; from < spec->n_merges; from += AHEAD) {
        int32_t n = MIN((int32_t)AHEAD, spec->n_merges - from);
        TRY(find_pairs(spec, vocab, from, n, keys, out, e));
        for (int32_t i = 0; i < n; i++) {
            TRY(find_joined(spec, vocab, from + i, &next, e));
            size_t slot = pair_slot(out, keys[i].pair);
            out->pairs[slot] = keys[i].pair;
            /* of a merge that stands twice the last counts, as in the tokenizers package */
            out->ranks[slot] = (uint32_t)(from + i);
            out->joined[from + i] = next++;
        }
    }
    return true;
}

bool bpe_build(const TokSpec *spec, const bool *added, Arena *a, Bpe *out, Err *e) {
    Vocab vocab;
    char spelled[4];
    *out = (Bpe){.unk = spec->unk, .fuse_unk = spec->fuse_unk, .whole_first = spec->ignore_merges};
    Arena temporary = {0};
    bool ok =
        vocab_build(spec->vocab, spec->n_vocab, NULL, &temporary, &vocab, e) && build_merges(spec, &vocab, a, out, e);
    for (int byte = 0; byte < 256 && ok; byte++) {
        int n = utf8_encode(alphabet_of_byte((uint8_t)byte), spelled);
        out->byte_id[byte] = vocab_find(&vocab, (Str){spelled, (size_t)n});
    }
    if (ok && out->whole_first) ok = vocab_build(spec->vocab, spec->n_vocab, added, a, &out->whole, e);
    for (int32_t id = 0; id < spec->n_vocab; id++) out->whole_max = MAX(out->whole_max, spec->vocab[id].n);
    arena_release(&temporary);
    return ok;
}

/* ---- one piece ---- */

typedef struct BpeNode { /* a symbol; its pair is the one with its right neighbour */
    BpeToken t;
    uint32_t rank; /* of the pair; NO_RANK at the end, where nothing joins them, or where the symbol is gone */
    uint32_t prev, next;
} BpeNode;

static void *room(void *block, size_t *cap, size_t n, size_t size) {
    if (n <= *cap) return block;
    *cap = MAX(n, *cap * 2);
    return mem_grow(block, *cap, size);
}

/* One symbol a byte. Unknown ones become unk or are left out. */
static size_t first_symbols(const Bpe *b, const char *piece, size_t n, BpeToken *out) {
    size_t k = 0;
    bool last_unk = false;
    for (uint32_t i = 0; i < n; i++) {
        int32_t id = b->byte_id[(unsigned char)piece[i]];
        bool unk = id < 0;
        if (unk && b->unk < 0) continue;
        if (unk && last_unk && b->fuse_unk)
            out[k - 1].end = i + 1;
        else
            out[k++] = (BpeToken){unk ? b->unk : id, i, i + 1};
        last_unk = unk;
    }
    return k;
}

/* Joins t[0..k) in place, every step a look at all pairs; k <= SCAN_MAX. */
static size_t join_by_scan(const Bpe *b, BpeToken *t, size_t k) {
    uint32_t rank[SCAN_MAX];
    for (size_t i = 0; i + 1 < k; i++) rank[i] = pair_rank(b, t[i].id, t[i + 1].id);
    while (k > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < k; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == NO_RANK) break;
        t[best].id = b->joined[rank[best]];
        t[best].end = t[best + 1].end;
        k--;
        memmove(&t[best + 1], &t[best + 2], (k - best - 1) * sizeof *t);
        memmove(&rank[best], &rank[best + 1], (k - best - 1) * sizeof *rank);
        if (best + 1 < k) rank[best] = pair_rank(b, t[best].id, t[best + 1].id);
        if (best > 0) rank[best - 1] = pair_rank(b, t[best - 1].id, t[best].id);
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

static void rank_node(const Bpe *b, BpeScratch *s, uint32_t i) {
    BpeNode *node = &s->nodes[i];
    node->rank = node->next == NO_RANK ? NO_RANK : pair_rank(b, node->t.id, s->nodes[node->next].t.id);
    if (node->rank != NO_RANK) heap_push(s, (uint64_t)node->rank << 32 | i);
}

static size_t join_by_heap(const Bpe *b, BpeScratch *s, size_t k) {
    s->nodes = room(s->nodes, &s->nodes_cap, k, sizeof *s->nodes);
    s->heap_n = 0;
    for (uint32_t i = 0; i < k; i++) s->nodes[i] = (BpeNode){s->tokens[i], NO_RANK, i - 1, i + 1 < k ? i + 1 : NO_RANK};
    for (uint32_t i = 0; i < k; i++) rank_node(b, s, i);
    while (s->heap_n) {
        uint64_t top = heap_pop(s);
        uint32_t i = (uint32_t)top;
        BpeNode *node = &s->nodes[i];
        if (node->rank != (uint32_t)(top >> 32)) continue;
        BpeNode *gone = &s->nodes[node->next];
        node->t.id = b->joined[node->rank];
        node->t.end = gone->t.end;
        node->next = gone->next;
        gone->rank = NO_RANK;
        if (node->next != NO_RANK) s->nodes[node->next].prev = i;
        rank_node(b, s, i);
        if (i > 0) rank_node(b, s, node->prev);
    }
    size_t out = 0;
    for (uint32_t i = 0; i != NO_RANK; i = s->nodes[i].next) s->tokens[out++] = s->nodes[i].t;
    return out;
}

/* The id of the token whose text is the whole piece, or -1. */
static int32_t whole_piece(const Bpe *b, const char *piece, size_t n, BpeScratch *s) {
    char spelled[4];
    if (n > b->whole_max) return -1;
    buf_clear(&s->spelled);
    for (size_t i = 0; i < n; i++)
        buf_put(&s->spelled, spelled, (size_t)utf8_encode(alphabet_of_byte((uint8_t)piece[i]), spelled));
    return vocab_find(&b->whole, buf_view(&s->spelled));
}

size_t bpe_encode(const Bpe *b, const char *piece, size_t n, BpeScratch *s) {
    s->tokens = room(s->tokens, &s->cap, n + 1, sizeof *s->tokens);
    int32_t whole = b->whole_first ? whole_piece(b, piece, n, s) : -1;
    if (whole >= 0) {
        s->tokens[0] = (BpeToken){whole, 0, (uint32_t)n};
        return 1;
    }
    size_t k = first_symbols(b, piece, n, s->tokens);
    if (k < 2) return k;
    return k <= SCAN_MAX ? join_by_scan(b, s->tokens, k) : join_by_heap(b, s, k);
}

void bpe_scratch_release(BpeScratch *s) {
    free(s->tokens);
    free(s->nodes);
    free(s->heap);
    buf_release(&s->spelled);
    *s = (BpeScratch){0};
}
