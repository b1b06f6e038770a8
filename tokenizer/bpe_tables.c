/* What a vocabulary and its merges become before the first piece of text. */
#include "tokenizer/alphabet.h"
#include "tokenizer/bpe.h"

enum { AHEAD = 16 /* merges that are looked up together */ };
#define NO_RANK UINT32_MAX
#define MARK    "\xe2\x96\x81" /* U+2581, SentencePiece's space */

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

/* Where every token has one merge at most, a merge is known by the token that it makes and where it cuts that: there is
 * nothing to look up before a text needs it. False where a token has two. */
static bool build_cuts(const TokSpec *spec, const Vocab *vocab, Arena *arena, Bpe *out, bool *single, Err *e) {
    int32_t next = -1;
    out->cuts = ARENA_NEW(arena, uint32_t, spec->n_vocab);
    out->better = ARENA_NEW(arena, uint32_t, spec->n_vocab);
    *single = true;
    for (int32_t rank = 0; rank < spec->n_merges && *single; rank++, next++) {
        TRY(find_joined(spec, vocab, rank, &next, e));
        uint32_t cut = (uint32_t)spec->merges[rank][0].n;
        *single = !out->cuts[next] || out->cuts[next] == cut;
        out->cuts[next] = cut;
        out->better[next] = (uint32_t)rank;
    }
    return true;
}

static bool build_pairs(const TokSpec *spec, const Vocab *vocab, Arena *arena, Bpe *out, Err *e) {
    bool single = false;
    if (spec->late_merges) TRY(build_cuts(spec, vocab, arena, out, &single, e));
    if (single) return true;
    out->cuts = NULL;
    return build_merges(spec, vocab, arena, out, e);
}

static bool is_mark(const char *s) { return memcmp(s, MARK, 3) == 0; }

/* Whether a join of a and b would span text and a mark behind it. */
static bool spans_cut(Str a, Str b) {
    bool ends = a.n >= 3 && is_mark(a.s + a.n - 3);
    return b.n >= 3 && is_mark(b.s) && a.n && !ends;
}

static bool holds_cut(Str s) {
    for (size_t i = 1; i + 3 <= s.n; i++) {
        const char *at = memchr(s.s + i, MARK[0], s.n - i - 2);
        if (!at) return false;
        i = (size_t)(at - s.s);
        if (is_mark(at) && spans_cut((Str){s.s, i}, (Str){at, 3})) return true;
    }
    return false;
}

static bool can_cut(const TokSpec *spec, const Bpe *b) {
    if (b->symbols != SYM_CHARS || b->whole_first || vocab_find(&b->texts, STR(MARK)) < 0) return false;
    for (int32_t i = 0; i < spec->n_merges && !b->by_text; i++)
        if (spans_cut(spec->merges[i][0], spec->merges[i][1])) return false;
    for (int32_t id = 0; id < spec->n_vocab && b->by_text; id++)
        if (holds_cut(spec->vocab[id])) return false;
    return true;
}

void byte_tokens(const Vocab *texts, int32_t id[256]) {
    char spelled[8] = "<0x00>";
    for (int b = 0; b < 256; b++) {
        spelled[3] = "0123456789ABCDEF"[b >> 4];
        spelled[4] = "0123456789ABCDEF"[b & 15];
        id[b] = vocab_find(texts, (Str){spelled, 6});
    }
}

/* Ids of the symbols that are looked up most. */
static void build_symbols(const Vocab *texts, Bpe *out) {
    char text[4];
    if (out->symbols == SYM_CHARS) byte_tokens(texts, out->byte_id);
    for (int b = 0; b < 256; b++) {
        int n = utf8_encode(out->symbols == SYM_ALPHABET ? alphabet_of_byte((uint8_t)b) : (uint32_t)b, text);
        if (out->symbols == SYM_BYTES) text[0] = (char)b, n = 1;
        int32_t id = vocab_find(texts, (Str){text, (size_t)n});
        if (out->symbols != SYM_CHARS)
            out->byte_id[b] = id;
        else if (b < 128)
            out->ascii_id[b] = id;
    }
}

/* Scores as ranks that are compared as whole numbers: the higher the score, the lower the rank. */
static bool build_ranks(const TokSpec *spec, Arena *a, Bpe *out, Err *e) {
    if (!spec->scores) return true;
    out->better = ARENA_NEW(a, uint32_t, spec->n_vocab);
    for (int32_t id = 0; id < spec->n_vocab; id++) {
        float score = (float)-spec->scores[id] + 0.0f; /* no -0 */
        uint32_t bits;
        if (score != score) return err_set(e, ERR_INPUT, "the score of token %d is not a number", id);
        memcpy(&bits, &score, 4);
        out->better[id] = bits >> 31 ? ~bits : bits | 1u << 31;
        out->better[id] = MIN(out->better[id], NO_RANK - 1);
    }
    return true;
}

/* A token that the model does not know has no name that the model knows by another id. */
static bool one_id(const TokSpec *spec, const Vocab *texts, int32_t id, Err *e) {
    int32_t other = vocab_find(texts, spec->vocab[id]);
    return other < 0 ||
           err_set(e, ERR_INPUT, "token '%.*s' has two ids, %d and %d", STR_ARG(spec->vocab[id]), other, id);
}

bool bpe_build(const TokSpec *spec, const bool *outside, const Trie *user, Arena *a, Bpe *out, Err *e) {
    *out = (Bpe){.symbols = spec->symbols,
                 .by_text = spec->merge_by_text,
                 .types = spec->types,
                 .user = user,
                 .fallback = spec->byte_fallback,
                 .unk = spec->unk,
                 .fuse_unk = spec->fuse_unk,
                 .whole_first = spec->ignore_merges};
    bool keep = out->by_text || out->whole_first || spec->late_merges || out->symbols == SYM_CHARS;
    Arena temporary = {0};
    bool ok = vocab_build(spec->vocab, spec->n_vocab, outside, keep ? a : &temporary, &out->texts, e) &&
              (out->by_text ? build_ranks(spec, a, out, e) : build_pairs(spec, &out->texts, a, out, e));
    for (int32_t id = 0; id < spec->n_vocab && ok; id++) ok = !outside[id] || one_id(spec, &out->texts, id, e);
    if (ok) build_symbols(&out->texts, out);
    for (int32_t id = 0; id < spec->n_vocab && ok; id++) out->text_max = MAX(out->text_max, spec->vocab[id].n);
    out->cut_at_mark = ok && can_cut(spec, out);
    if (!keep) out->texts = (Vocab){0};
    arena_release(&temporary);
    return ok;
}
