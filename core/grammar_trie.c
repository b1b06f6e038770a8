#include "core/grammar_trie.h"

#include <stdlib.h>

typedef struct Entry {
    uint64_t head; /* the first bytes, so that most comparisons need no more */
    Str text;
    int32_t id;
} Entry;

static int by_bytes(const void *a, const void *b) {
    const Entry *x = a, *y = b;
    if (x->head != y->head) return x->head < y->head ? -1 : 1;
    int c = memcmp(x->text.s, y->text.s, MIN(x->text.n, y->text.n));
    if (c == 0 && x->text.n != y->text.n) c = x->text.n < y->text.n ? -1 : 1;
    return c ? c : x->id < y->id ? -1 : 1;
}

static uint64_t head_of(Str s) {
    uint64_t h = 0;
    for (size_t i = 0; i < 8; i++) h = h << 8 | (i < s.n ? (unsigned char)s.s[i] : 0);
    return h;
}

/* By the first eight bytes one at a time, last one first; then what begins alike. */
static void sort_entries(Entry *e, Entry *room, size_t n) {
    for (int shift = 0; shift < 64; shift += 8) {
        size_t at[257] = {0};
        for (size_t i = 0; i < n; i++) at[(e[i].head >> shift & 0xff) + 1]++;
        for (int b = 0; b < 256; b++) at[b + 1] += at[b];
        for (size_t i = 0; i < n; i++) room[at[e[i].head >> shift & 0xff]++] = e[i];
        Entry *sorted = room;
        room = e;
        e = sorted;
    }
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && e[end].head == e[i].head;) end++;
        if (end - i > 1) qsort(e + i, end - i, sizeof *e, by_bytes);
    }
}

CharKind char_kind(unsigned char c) {
    if (c >= 0x80) return CHAR_WIDE;
    if (c >= 'a' && c <= 'z') return CHAR_LOWER;
    if (c >= 'A' && c <= 'Z') return CHAR_UPPER;
    if (c >= '0' && c <= '9') return CHAR_DIGIT;
    if (c == ' ') return CHAR_SPACE;
    if (c == '"' || c == '\\') return CHAR_QUOTE;
    return c < ' ' || c == 0x7f ? CHAR_CONTROL : CHAR_MARK;
}

/* Tells the nodes on the way to a token, last character first, what follows them. */
static void note_chars(TrieNode *nodes, const int32_t *open, Str text) {
    uint8_t kinds = 0, chars = 0;
    for (size_t end = text.n, at; end > 0; end = at) {
        at = end - 1;
        while (at > 0 && end - at < 4 && ((unsigned char)text.s[at] & 0xc0) == 0x80) at--;
        bool whole = chars < CHARS_BROKEN && utf8_len(text.s + at, end - at) == (int)(end - at);
        for (size_t i = at + 1; i < end; i++) nodes[open[i]].chars = CHARS_BROKEN;
        kinds |= (uint8_t)(1 << char_kind((unsigned char)text.s[at]));
        chars = whole ? (uint8_t)(chars + 1) : CHARS_BROKEN;
        nodes[open[at]].kinds |= kinds;
        nodes[open[at]].chars = MAX(nodes[open[at]].chars, chars);
    }
}

/* Entries sorted by their bytes -> nodes before what begins like them. */
static void trie_fill(Trie *t, const Entry *e, int32_t n) {
    int32_t *open = mem_alloc(TOKEN_BYTES_MAX + 1, sizeof *open), depth = 0; /* nodes on the way to the last token */
    int32_t bytes = 1;
    for (int32_t i = 0; i < n; i++) bytes += (int32_t)e[i].text.n; /* more than the nodes */
    t->nodes = mem_alloc((size_t)bytes + 1, sizeof *t->nodes);
    t->ids = mem_alloc((size_t)n, sizeof *t->ids);
    t->n = 1;
    for (int32_t i = 0; i < n; i++) {
        int32_t same = 0, len = (int32_t)e[i].text.n;
        while (same < depth && same < len && t->nodes[open[same + 1]].byte == (uint8_t)e[i].text.s[same]) same++;
        for (; depth > same; depth--) t->nodes[open[depth]].skip = t->n;
        for (; depth < len; depth++) {
            open[depth + 1] = t->n;
            t->nodes[t->n++] =
                (TrieNode){.tokens = i, .depth = (uint16_t)(depth + 1), .byte = (uint8_t)e[i].text.s[depth]};
        }
        t->depth = MAX(t->depth, depth);
        t->ids[i] = e[i].id;
        note_chars(t->nodes, open, e[i].text);
    }
    for (; depth > 0; depth--) t->nodes[open[depth]].skip = t->n;
    t->nodes[0].skip = t->n;
    t->nodes[t->n] = (TrieNode){.tokens = n};
    t->nodes = mem_grow(t->nodes, (size_t)t->n + 1, sizeof *t->nodes);
    free(open);
}

void token_tries_make(TokenTries *t, const Str *pieces, int32_t vocab) {
    Entry *e = mem_alloc((size_t)vocab, sizeof *e), *room = mem_alloc((size_t)vocab, sizeof *room);
    *t = (TokenTries){.vocab = vocab, .at = mem_alloc((size_t)vocab + 1, sizeof *t->at)};
    for (int32_t id = 0; id < vocab; id++)
        t->at[id + 1] = t->at[id] + (pieces[id].n <= TOKEN_BYTES_MAX ? (uint32_t)pieces[id].n : 0);
    t->bytes = mem_alloc(t->at[vocab], 1);
    for (int32_t id = 0; id < vocab; id++)
        if (t->at[id + 1] > t->at[id]) memcpy(t->bytes + t->at[id], pieces[id].s, pieces[id].n);
    for (int part = 0; part < 2; part++) {
        int32_t n = 0;
        for (int32_t id = 0; id < vocab; id++) {
            Str piece = token_bytes(t, id);
            bool longer = piece.n > GRAMMAR_REACH;
            if (piece.n && longer == part) e[n++] = (Entry){head_of(piece), piece, id};
        }
        sort_entries(e, room, (size_t)n);
        trie_fill(&t->part[part], e, n);
    }
    free(e);
    free(room);
}

void token_tries_release(TokenTries *t) {
    for (int i = 0; i < 2; i++) free(t->part[i].nodes), free(t->part[i].ids);
    free(t->bytes);
    free(t->at);
    *t = (TokenTries){0};
}

size_t token_tries_bytes(const TokenTries *t) {
    size_t bytes = t->at[t->vocab] + ((size_t)t->vocab + 1) * sizeof *t->at;
    for (int i = 0; i < 2; i++)
        bytes += (size_t)(t->part[i].n + 1) * sizeof(TrieNode) + (size_t)t->part[i].nodes[t->part[i].n].tokens * 4;
    return bytes;
}
