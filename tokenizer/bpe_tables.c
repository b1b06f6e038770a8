/* What a vocabulary and its merges become before the first piece of text. */
#include "tokenizer/alphabet.h"
#include "tokenizer/bpe.h"

enum { AHEAD = 32 /* merges that are looked up together */ };
#define NO_RANK UINT32_MAX
#define MARK    "\xe2\x96\x81" /* U+2581, SentencePiece's space */

static bool no_token(const Str both[2], int32_t rank, Str text, Err *e) {
    return err_set(e, ERR_INPUT, "merge %d ('%.*s' + '%.*s') needs the token '%.*s', which the vocabulary lacks", rank,
                   STR_ARG(both[0]), STR_ARG(both[1]), STR_ARG(text));
}

/* True when token id is spelled a + b. */
static bool is_joined(const TokSpec *spec, int32_t id, Str a, Str b) {
    if (id < 0 || id >= spec->n_vocab || spec->vocab[id].n != a.n + b.n) return false;
    if (b.s == a.s + a.n) return memcmp(spec->vocab[id].s, a.s, a.n + b.n) == 0; /* as readers keep them */
    return memcmp(spec->vocab[id].s, a.s, a.n) == 0 && memcmp(spec->vocab[id].s + a.n, b.s, b.n) == 0;
}

static bool find_parts(const TokSpec *spec, const Vocab *vocab, int32_t from, int32_t n, int32_t (*parts)[2], Err *e) {
    uint64_t keys[AHEAD][2];
    for (int32_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            keys[i][k] = vocab_key(spec->merges[from + i][k]);
            vocab_prefetch(vocab, keys[i][k]);
        }
    for (int32_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            Str text = spec->merges[from + i][k];
            parts[i][k] = vocab_find_key(vocab, keys[i][k], text);
            if (parts[i][k] < 0) return no_token(spec->merges[from + i], from + i, text, e);
        }
    return true;
}

/* As find_parts, without the ids: what has the same tag as a token is taken for one. Such a merge of something else
 * would never be used. */
static bool check_parts(const TokSpec *spec, const Vocab *vocab, int32_t from, int32_t n, Err *e) {
    uint64_t keys[AHEAD][2];
    for (int32_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            keys[i][k] = vocab_key(spec->merges[from + i][k]);
            vocab_prefetch(vocab, keys[i][k]);
        }
    for (int32_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            Str text = spec->merges[from + i][k];
            if (!text.n || !vocab_may_have(vocab, keys[i][k]))
                return no_token(spec->merges[from + i], from + i, text, e);
        }
    return true;
}

/* The token that a + b makes: -1 with an error where there is none. near: the one of the merge before; trainers mostly
 * number in order. */
static int32_t find_joined(const TokSpec *spec, const Vocab *vocab, int32_t rank, const Str both[2], int32_t near,
                           Err *e) {
    for (int32_t id = near + 1; id >= near; id--)
        if (is_joined(spec, id, both[0], both[1])) return id;
    if (both[1].s == both[0].s + both[0].n) { /* as readers keep them */
        int32_t id = vocab_find(vocab, (Str){both[0].s, both[0].n + both[1].n});
        if (id >= 0) return id;
    }
    Buf text = {0};
    buf_put(&text, both[0].s, both[0].n);
    buf_put(&text, both[1].s, both[1].n);
    int32_t id = vocab_find(vocab, buf_view(&text));
    if (id < 0) no_token(both, rank, buf_view(&text), e);
    buf_release(&text);
    return id;
}

/* ---- merges by the token that they make ---- */

/* s[0..n) as a number, its first byte the lowest; n <= 8. */
static inline uint64_t load_short(const char *s, size_t n) {
    uint32_t head, tail;
    if (n < 4)
        return (uint64_t)(uint8_t)s[0] | (uint64_t)(uint8_t)s[n / 2] << 8 * (n / 2) |
               (uint64_t)(uint8_t)s[n - 1] << 8 * (n - 1);
    memcpy(&head, s, 4);
    memcpy(&tail, s + n - 4, 4);
    return head | (uint64_t)tail >> 8 * (8 - n) << 32;
}

/* Where line[0..n] leaves token[0..n): at n where it does not. */
static inline size_t first_difference(const char *token, const char *line, size_t n) {
    size_t i = 0;
    for (uint64_t a, b; i + 8 <= n; i += 8) {
        memcpy(&a, token + i, 8);
        memcpy(&b, line + i, 8);
        if (a != b) return i + (size_t)__builtin_ctzll(a ^ b) / 8;
    }
    while (i < n && token[i] == line[i]) i++;
    return i;
}

static inline uint64_t load8(const char *s) {
    uint64_t w;
    memcpy(&w, s, 8);
    return w;
}

/* line_cut for tokens of 8 to 16 bytes, by words that overlap: branches would be guessed wrong as often as not. */
static inline size_t line_cut_16(Str token, Str line) {
    size_t last = token.n - 8; /* where the token's last word begins */
    uint64_t head = load8(token.s) ^ load8(line.s), tail = load8(token.s + last) ^ load8(line.s + last);
    size_t from = head ? 0 : last;
    uint64_t apart = head ? head : tail;
    if (!apart) return 0;
    size_t cut = from + (size_t)__builtin_ctzll(apart) / 8, right = MIN(cut, last);
    uint64_t differs = (load8(token.s + right) ^ load8(line.s + right + 1)) |
                       (right == last ? 0 : load8(token.s + last) ^ load8(line.s + last + 1));
    return line.s[cut] == ' ' && !(differs >> 8 * (cut - right)) ? cut : 0;
}

/* Bytes of a token's left part, where line is its text with a space put in; 0: it is not. */
static inline size_t line_cut(Str token, Str line) {
    if (line.n != token.n + 1 || token.n < 2) return 0;
    if (token.n < 8) {
        uint64_t t = load_short(token.s, token.n), l = load_short(line.s, line.n);
        size_t cut = (size_t)__builtin_ctzll(t ^ l) / 8; /* line's last byte, at least, is no byte of t */
        uint64_t rest = l >> 8 * cut;
        return (rest & 0xff) == ' ' && rest >> 8 == t >> 8 * cut && cut < token.n ? cut : 0;
    }
    if (token.n <= 16) return line_cut_16(token, line);
    size_t cut = first_difference(token.s, line.s, token.n);
    if (cut == 0 || cut == token.n || line.s[cut] != ' ') return 0;
    return memcmp(token.s + cut, line.s + cut + 1, token.n - cut) == 0 ? cut : 0;
}

static Str next_line(const uint8_t **at) {
    uint64_t n;
    memcpy(&n, *at, sizeof n);
    Str line = {(const char *)*at + sizeof n, (size_t)n};
    *at += sizeof n + n;
    return line;
}

static bool split_line(Str line, int32_t rank, Str both[2], Err *e) {
    const char *space = line.n > 1 ? memchr(line.s + 1, ' ', line.n - 1) : NULL;
    size_t head = space ? (size_t)(space - line.s) : 0;
    if (!space || head + 1 == line.n)
        return err_set(e, ERR_INPUT, "merge %d, '%.*s', is not two texts with a space between", rank, STR_ARG(line));
    both[0] = (Str){line.s, head};
    both[1] = (Str){space + 1, line.n - head - 1};
    return true;
}

/* The next merge in rank order: what it makes, and where that is cut. */
static bool next_cut(const TokSpec *spec, const Vocab *vocab, int32_t rank, const uint8_t **line_at, int32_t *id,
                     size_t *cut, Err *e) {
    Str both[2];
    if (spec->late_merges) {
        Str line = next_line(line_at);
        for (int32_t near = *id + 1; near >= MAX(*id, 0); near--)
            if (near < spec->n_vocab && (*cut = line_cut(spec->vocab[near], line))) return *id = near, true;
        TRY(split_line(line, rank, both, e));
    } else {
        memcpy(both, spec->merges[rank], sizeof both);
    }
    *id = find_joined(spec, vocab, rank, both, *id, e);
    *cut = both[0].n;
    return *id >= 0;
}

/* Where the merges that make a token stand together, a merge is known by that token and the place where it cuts it:
 * there is nothing to look up before a text needs it. *together: they do. */
static bool build_cuts(const TokSpec *spec, const Vocab *vocab, Arena *arena, Bpe *out, bool *together, Err *e) {
    const uint8_t *line_at = spec->late_merges ? spec->late_merges->blob.bytes : NULL;
    int32_t id = -1;
    size_t cut = 0;
    out->cuts = ARENA_NEW(arena, uint16_t, spec->n_merges);
    out->first_cut = ARENA_NEW(arena, uint32_t, spec->n_vocab);
    out->n_cuts = ARENA_NEW(arena, uint16_t, spec->n_vocab);
    *together = true;
    for (int32_t rank = 0; rank < spec->n_merges && *together; rank++) {
        TRY(next_cut(spec, vocab, rank, &line_at, &id, &cut, e));
        if (!out->n_cuts[id]) out->first_cut[id] = (uint32_t)rank;
        *together =
            out->first_cut[id] + out->n_cuts[id] == (uint32_t)rank && cut <= UINT16_MAX && out->n_cuts[id] < UINT16_MAX;
        out->n_cuts[id]++;
        out->cuts[rank] = (uint16_t)cut;
    }
    return true;
}

/* ---- merges by their parts ---- */

static void begin_pairs(int32_t n_merges, Arena *arena, Bpe *out) {
    int bits = 4;
    while ((int64_t)1 << bits < n_merges + (int64_t)n_merges / 2) bits++;
    out->shift = 64 - bits;
    out->pairs = ARENA_NEW(arena, uint64_t, (size_t)1 << bits);
    out->ranks = ARENA_NEW(arena, uint32_t, (size_t)1 << bits);
    out->joined = ARENA_NEW(arena, int32_t, n_merges);
}

static bool build_pairs(const TokSpec *spec, const Vocab *vocab, Arena *arena, Bpe *out, Err *e) {
    int32_t parts[AHEAD][2], id = -1;
    begin_pairs(spec->n_merges, arena, out);
    for (int32_t from = 0; from < spec->n_merges; from += AHEAD) {
        int32_t n = MIN((int32_t)AHEAD, spec->n_merges - from);
        TRY(find_parts(spec, vocab, from, n, parts, e));
        for (int32_t i = 0; i < n; i++)
            __builtin_prefetch(&out->pairs[key_mix(pair_key(parts[i][0], parts[i][1])) >> out->shift]);
        for (int32_t i = 0; i < n; i++) {
            TRY((id = find_joined(spec, vocab, from + i, spec->merges[from + i], id, e)) >= 0);
            size_t slot = pair_slot(out, pair_key(parts[i][0], parts[i][1]));
            out->pairs[slot] = pair_key(parts[i][0], parts[i][1]);
            /* of a merge that stands twice the last counts, as in the tokenizers package */
            out->ranks[slot] = (uint32_t)(from + i);
            out->joined[from + i] = id;
        }
    }
    return true;
}

static bool build_merges(const TokSpec *spec, const Vocab *vocab, Arena *arena, Bpe *out, Err *e) {
    bool together = true;
    TokSpec listed = *spec;
    for (int32_t from = 0; from < spec->n_merges && !spec->late_merges; from += AHEAD)
        TRY(check_parts(spec, vocab, from, MIN((int32_t)AHEAD, spec->n_merges - from), e));
    TRY(build_cuts(spec, vocab, arena, out, &together, e));
    if (together) return true;
    out->cuts = NULL;
    if (spec->late_merges) {
        const uint8_t *at = spec->late_merges->blob.bytes;
        listed.merges = arena_alloc(arena, (size_t)spec->n_merges, sizeof *listed.merges);
        for (int32_t i = 0; i < spec->n_merges; i++) TRY(split_line(next_line(&at), i, listed.merges[i], e));
    }
    return build_pairs(&listed, vocab, arena, out, e);
}

/* ---- places where a piece can be cut ---- */

static bool is_mark(const char *s) { return memcmp(s, MARK, 3) == 0; }

/* A join of a and b would span the end of a and a mark. */
static void note_join(Bpe *b, Str left, Str right) {
    bool ends = left.n >= 3 && is_mark(left.s + left.n - 3);
    if (right.n >= 3 && is_mark(right.s) && left.n && !ends) b->mark_joins[(uint8_t)left.s[left.n - 1]] = true;
}

static void note_text(Bpe *b, Str s) {
    for (size_t i = 1; i + 3 <= s.n; i++) {
        const char *at = memchr(s.s + i, MARK[0], s.n - i - 2);
        if (!at) return;
        i = (size_t)(at - s.s);
        if (is_mark(at)) note_join(b, (Str){s.s, i}, (Str){at, 3});
    }
}

/* A token that stands for a byte: its own text says nothing of what it joins. */
static bool is_byte_name(Str s) { return s.n == 6 && str_starts(s, "<0x") && s.s[5] == '>'; }

/* Whatever joins text and a mark behind it makes a token that holds both. */
static bool find_cuts(const TokSpec *spec, Bpe *b) {
    if (b->symbols != SYM_CHARS || b->whole_first || vocab_find(&b->texts, STR(MARK)) < 0) return false;
    for (int32_t id = 0; id < spec->n_vocab; id++) note_text(b, spec->vocab[id]);
    for (int32_t i = 0; i < spec->n_merges && b->fallback && !b->by_text; i++)
        if (is_byte_name(spec->merges[i][0]) || is_byte_name(spec->merges[i][1])) return false;
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
    bool ok = vocab_build(spec->vocab, spec->n_vocab, outside, a, &out->texts, e) &&
              (out->by_text ? build_ranks(spec, a, out, e) : build_merges(spec, &out->texts, a, out, e));
    for (int32_t id = 0; id < spec->n_vocab && ok; id++) ok = !outside[id] || one_id(spec, &out->texts, id, e);
    if (ok) build_symbols(&out->texts, out);
    out->cut_at_mark = ok && find_cuts(spec, out);
    return ok;
}
