#include "tokenizer/unigram.h"

#include <stdio.h>
#include <stdlib.h>

#include "tokenizer/text.h"

#define UNK_PENALTY  10.0 /* below the lowest score */
#define REBASE_BELOW -100000.0

static bool is_piece(const Unigram *u, int32_t id) {
    int type = u->types ? u->types[id] : TOK_NORMAL;
    return type == TOK_NORMAL || type == TOK_USER || type == TOK_UNUSED;
}

static void build_bytes(const TokSpec *spec, Unigram *out) {
    for (int b = 0; b < 256; b++) out->byte_id[b] = -1;
    for (int32_t id = 0; id < spec->n_vocab; id++) {
        unsigned b;
        char text[8] = "", close;
        if (spec->vocab[id].n != 6 || memcmp(spec->vocab[id].s, "<0x", 3) != 0) continue;
        memcpy(text, spec->vocab[id].s, 6);
        if (sscanf(text, "<0x%2X%c", &b, &close) == 2 && close == '>') out->byte_id[b] = id;
    }
}

bool unigram_build(const TokSpec *spec, const bool *outside, Arena *a, Unigram *out, Err *e) {
    size_t bytes = 0;
    double min = 0, max = 0;
    bool any = false;
    *out = (Unigram){.scores = spec->scores,
                     .types = spec->types,
                     .unk = spec->unk,
                     .fallback = spec->byte_fallback,
                     .fuse_unk = spec->fuse_unk,
                     .f32 = spec->f32_scores};
    if (!spec->scores || spec->unk < 0)
        return err_set(e, ERR_INPUT, "a unigram model without %s cannot be used",
                       spec->scores ? "an unknown token" : "scores");
    for (int32_t id = 0; id < spec->n_vocab; id++) {
        bytes += spec->vocab[id].n;
        out->text_max = MAX(out->text_max, spec->vocab[id].n);
    }
    if (!trie_begin(&out->trie, bytes, a))
        return err_set(e, ERR_INPUT, "the vocabulary is %zu bytes of text, too many", bytes);
    for (int32_t id = 0; id < spec->n_vocab; id++) {
        double score = spec->scores[id];
        if (outside[id] || !is_piece(out, id)) continue;
        if (score != score) return err_set(e, ERR_INPUT, "the score of token %d is not a number", id);
        trie_put(&out->trie, spec->vocab[id], id);
        if (out->types && out->types[id] != TOK_NORMAL) continue;
        min = any ? MIN(min, score) : score;
        max = any ? MAX(max, score) : score;
        any = true;
    }
    out->unk_score = min - UNK_PENALTY;
    out->max_score = max;
    if (out->f32) out->unk_score = (float)out->unk_score;
    build_bytes(spec, out);
    return true;
}

typedef struct UnigramBest { /* of all spellings that end at a byte */
    double score;
    uint32_t begin;
    int32_t id; /* -1: none ends here yet */
} UnigramBest;

static void *room(void *block, size_t *cap, size_t n, size_t size) {
    if (n <= *cap) return block;
    *cap = MAX(n, *cap * 2);
    return mem_grow(block, *cap, size);
}

static void offer(const Unigram *u, UnigramBest *to, double score, size_t begin, int32_t id) {
    if (u->f32) score = (float)score;
    if (to->id >= 0 && score <= to->score) return;
    *to = (UnigramBest){score, (uint32_t)begin, id};
}

/* A piece of the user's own has a score that always wins (SentencePiece: its length times the best score). */
static double score_of(const Unigram *u, int32_t id, size_t n) {
    bool user = u->types && u->types[id] == TOK_USER;
    return user ? (double)n * u->max_score - 0.1 : u->scores[id];
}

static void extend(const Unigram *u, Str s, size_t at, size_t len, UnigramBest *best) {
    double till = best[at].score;
    bool single = false;
    int32_t node = 0;
    for (size_t i = at; i < s.n; i++) {
        const struct TrieEdge *edge = trie_edge(&u->trie, node, (unsigned char)s.s[i]);
        if (!edge) break;
        node = edge->node;
        int32_t id = edge->value_1 - 1;
        if (id < 0 || (u->types && u->types[id] == TOK_UNUSED)) continue;
        offer(u, &best[i + 1], score_of(u, id, i + 1 - at) + till, at, id);
        single |= i + 1 - at == len;
    }
    if (!single) offer(u, &best[at + len], u->unk_score + till, at, u->unk);
}

/* The path that ends at n, as tokens in reverse order. */
static size_t trace(const Unigram *u, const UnigramBest *best, size_t n, BpeToken *out) {
    size_t k = 0;
    for (size_t end = n; end > 0; end = best[end].begin) {
        BpeToken t = {best[end].id, best[end].begin, (uint32_t)end, false};
        if (t.id == u->unk && u->fuse_unk && k && out[k - 1].id == u->unk)
            out[k - 1].begin = t.begin;
        else
            out[k++] = t;
    }
    return k;
}

/* A long text's sums would run out of digits: from time to time, what is known of the n places from here is counted
 * anew, as SentencePiece does since 0.2.2. */
static void rebase(UnigramBest *best, size_t n) {
    double base = best->score;
    for (size_t i = 0; i < n; i++) best[i].score = (float)(best[i].score - base);
}

static bool has_bytes(const Unigram *u, const char *s, size_t n) {
    bool all = u->fallback;
    for (size_t i = 0; i < n && all; i++) all = u->byte_id[(unsigned char)s[i]] >= 0;
    return all;
}

/* Unknown stretches as bytes, each with the place of the whole, as in the tokenizers package. */
static size_t spread(const Unigram *u, const char *piece, const BpeToken *from, size_t k, UnigramScratch *s) {
    size_t n = 0;
    for (size_t i = k; i-- > 0;) {
        BpeToken t = from[i];
        size_t len = t.end - t.begin;
        bool bytes = t.id == u->unk && has_bytes(u, piece + t.begin, len);
        s->tokens = room(s->tokens, &s->cap, n + len + 1, sizeof *s->tokens);
        for (size_t j = 0; j < (bytes ? len : 1); j++, n++) {
            s->tokens[n] = t;
            if (bytes) s->tokens[n].id = u->byte_id[(unsigned char)piece[t.begin + j]];
        }
    }
    return n;
}

size_t unigram_encode(const Unigram *u, const char *piece, size_t n, UnigramScratch *s) {
    int len;
    s->best = room(s->best, &s->best_cap, n + 1, sizeof *s->best);
    for (size_t i = 0; i <= n; i++) s->best[i].id = -1;
    s->best[0].score = 0;
    for (size_t at = 0; at < n; at += (size_t)len) {
        utf8_decode(piece + at, &len);
        if (u->f32 && s->best[at].score < REBASE_BELOW) rebase(s->best + at, MIN(n - at, u->text_max) + 1);
        extend(u, (Str){piece, n}, at, (size_t)len, s->best);
    }
    BpeToken *path = mem_alloc(n + 1, sizeof *path);
    size_t k = spread(u, piece, path, trace(u, s->best, n, path), s);
    free(path);
    return k;
}

void unigram_scratch_release(UnigramScratch *s) {
    free(s->best);
    free(s->tokens);
    *s = (UnigramScratch){0};
}
