#include "tokenizer/tokenizer.h"

#include <stdlib.h>

#include "tokenizer/added.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pretok.h"
#include "tokenizer/text.h"

struct Tokenizer {
    const TokSpec *spec;
    Bpe bpe;
    Added added;
    Pretok pretok;
    bool *is_added, *is_special; /* [n_vocab] */
    Arena arena;
};

/* ---- making one ---- */

static bool check_id(const TokSpec *spec, const char *what, int32_t id, bool may_lack, Err *e) {
    if ((id == -1 && may_lack) || (id >= 0 && id < spec->n_vocab)) return true;
    return err_set(e, ERR_INPUT, "the %s id is %d, outside the vocabulary of %d tokens", what, id, spec->n_vocab);
}

static bool check_spec(const TokSpec *spec, Err *e) {
    if (spec->n_vocab <= 0) return err_set(e, ERR_INPUT, "the vocabulary is empty");
    if (!spec->byte_level || spec->model != TOK_BPE)
        return err_set(e, ERR_INPUT, "only byte-level BPE tokenizers are supported");
    if (spec->add_prefix_space && spec->n_splits > 1)
        return err_set(e, ERR_INPUT, "a prefix space after another pre-tokenizer is not supported");
    TRY(check_id(spec, "bos", spec->bos, true, e) && check_id(spec, "eos", spec->eos, true, e) &&
        check_id(spec, "unk", spec->unk, true, e) && check_id(spec, "pad", spec->pad, true, e));
    for (int i = 0; i < spec->n_prefix; i++) TRY(check_id(spec, "prefix token's", spec->prefix[i], false, e));
    for (int i = 0; i < spec->n_suffix; i++) TRY(check_id(spec, "suffix token's", spec->suffix[i], false, e));
    for (int32_t i = 0; i < spec->n_added; i++) TRY(check_id(spec, "added token's", spec->added[i].id, false, e));
    return true;
}

static bool build(Tokenizer *t, Err *e) {
    const TokSpec *spec = t->spec;
    TRY(check_spec(spec, e));
    t->is_added = ARENA_NEW(&t->arena, bool, spec->n_vocab);
    t->is_special = ARENA_NEW(&t->arena, bool, spec->n_vocab);
    for (int32_t i = 0; i < spec->n_added; i++) {
        t->is_added[spec->added[i].id] = true;
        t->is_special[spec->added[i].id] |= spec->added[i].special;
    }
    return bpe_build(spec, t->is_added, &t->arena, &t->bpe, e) && added_build(spec, &t->arena, &t->added, e) &&
           pretok_build(spec, &t->pretok, e);
}

bool tokenizer_new(const TokSpec *spec, Tokenizer **out, Err *e) {
    Tokenizer *t = mem_alloc(1, sizeof *t);
    t->spec = spec;
    *out = NULL;
    if (!build(t, e)) {
        tokenizer_free(t);
        return false;
    }
    *out = t;
    return true;
}

void tokenizer_free(Tokenizer *t) {
    if (!t) return;
    pretok_release(&t->pretok);
    added_release(&t->added);
    arena_release(&t->arena);
    free(t);
}

const TokSpec *tokenizer_spec(const Tokenizer *t) { return t->spec; }
size_t tokenizer_bytes(const Tokenizer *t) { return sizeof *t + t->arena.bytes + t->pretok.bytes; }

/* ---- encoding ---- */

void token_list_release(TokenList *l) {
    free(l->ids);
    free(l->offsets);
    *l = (TokenList){0};
}

static void list_room(TokenList *l, size_t more) {
    if (l->cap - l->n >= more) return;
    l->cap = MAX(l->n + more, l->cap * 2 + 32);
    l->ids = mem_grow(l->ids, l->cap, sizeof *l->ids);
    l->offsets = mem_grow(l->offsets, l->cap, sizeof *l->offsets);
}

static void list_put(TokenList *l, int32_t id, int64_t begin, int64_t end) {
    list_room(l, 1);
    l->ids[l->n] = id;
    l->offsets[l->n][0] = begin;
    l->offsets[l->n++][1] = end;
}

/* Words come again and again: the tokens of one are copied from where they stand in the list already. */
typedef struct SeenPiece {
    const char *s; /* NULL: free */
    uint32_t n, n_tokens;
    size_t at;  /* in the list */
    int64_t cp; /* where the piece began */
} SeenPiece;

enum { SEEN_BITS_MIN = 4, SEEN_BITS_MAX = 13, SEEN_BYTES = 64 };

typedef struct Encoder { /* one call of tokenizer_encode */
    const Tokenizer *t;
    TokenList *out;
    size_t first; /* tokens that were in the list before the text's */
    bool special;
    int64_t cp; /* code points before the piece to come */
    PretokRun run;
    BpeScratch bpe;
    SeenPiece *seen;
    int seen_bits;
    Buf spaced;         /* a stretch of text with a space put before it ... */
    const char *origin; /* ... which stands here; NULL: the pieces are of the text itself */
    Err *e;
} Encoder;

/* Offsets without the white space at the ends of a token. As in the tokenizers package (process_offsets), white space
 * that is all of the token counts at both ends. */
static void trim(const Encoder *en, int64_t lead, int64_t trail, int64_t o[2]) {
    bool first = en->out->n == en->first || o[0] == 0;
    if (first && en->t->spec->trim_keeps_first && lead == 1) lead = 0;
    o[0] = MIN(o[0] + lead, o[1]);
    if (trail > 0 && o[1] >= trail) o[1] = MAX(o[1] - trail, o[0]);
}

static void put_added(Encoder *en, int32_t id, const char *s, size_t n) {
    int64_t o[2] = {en->cp, en->cp + utf8_count(s, n)};
    en->cp = o[1];
    if (en->t->spec->trim_offsets) {
        size_t lead = space_at_start(s, n), trail = space_at_end(s, n);
        trim(en, utf8_count(s, lead), utf8_count(s + n - trail, trail), o);
    }
    list_put(en->out, id, o[0], o[1]);
}

/* The k tokens of the piece at s. `virtual`: its first byte is a space that is not in the text, whose place is that of
 * the character after it. */
static void put_tokens(Encoder *en, const char *s, size_t k, bool virtual) {
    size_t at = 0;
    int64_t chars = 0; /* that begin in s[0..at) */
    for (size_t i = 0; i < k; i++) {
        const BpeToken *tok = &en->bpe.tokens[i];
        int64_t o[2];
        for (; at <= tok->begin; at++) chars += !utf8_continues(s[at]);
        o[0] = en->cp + MAX(chars - 1 - virtual, 0);
        for (; at < tok->end; at++) chars += !utf8_continues(s[at]);
        o[1] = en->cp + (virtual ? MAX(chars - 1, 1) : chars);
        if (en->t->spec->trim_offsets) {
            uint32_t lead = tok->begin, trail = tok->end;
            while (lead < tok->end && s[lead] == ' ') lead++;
            while (trail > tok->begin && s[trail - 1] == ' ') trail--;
            trim(en, lead - tok->begin, tok->end - trail, o);
        }
        list_put(en->out, tok->id, o[0], o[1]);
    }
}

static void repeat_tokens(TokenList *l, const SeenPiece *seen, int64_t shift) {
    list_room(l, seen->n_tokens);
    for (size_t i = seen->at; i < seen->at + seen->n_tokens; i++) {
        l->ids[l->n] = l->ids[i];
        l->offsets[l->n][0] = l->offsets[i][0] + shift;
        l->offsets[l->n++][1] = l->offsets[i][1] + shift;
    }
}

static void put_piece(void *ctx, const char *s, size_t n) {
    Encoder *en = ctx;
    bool virtual = en->origin && s == en->spaced.s;
    if (en->origin && !virtual) s = en->origin + (s - en->spaced.s) - 1;
    int64_t chars = utf8_count(s, n) - virtual;
    SeenPiece *seen = NULL;
    if (n > 1 && n <= SEEN_BYTES && en->cp > 0 && !virtual) { /* trimming treats the first piece differently */
        seen = &en->seen[hash_bytes(s, n, 0) >> (64 - en->seen_bits)];
        if (seen->s && seen->n == n && memcmp(seen->s, s, n) == 0) {
            repeat_tokens(en->out, seen, en->cp - seen->cp);
            en->cp += chars;
            return;
        }
    }
    size_t k = bpe_encode(&en->t->bpe, s, n, &en->bpe);
    if (seen) *seen = (SeenPiece){s, (uint32_t)n, (uint32_t)k, en->out->n, en->cp};
    put_tokens(en, s, k, virtual);
    en->cp += chars;
}

static bool encode_plain(Encoder *en, Str s) {
    en->origin = NULL;
    if (en->t->spec->add_prefix_space && s.s[0] != ' ') {
        en->origin = s.s;
        buf_clear(&en->spaced);
        buf_char(&en->spaced, ' ');
        buf_put(&en->spaced, s.s, s.n);
        s = buf_view(&en->spaced);
    }
    return pretok_split(&en->run, s, put_piece, en, en->e);
}

/* Level 0 looks for the added tokens that are not normalised, level 1 for the others in what is left. */
static bool encode_level(Encoder *en, int level, Str s) {
    const Added *added = &en->t->added;
    if (!s.n) return true;
    if (level == 2) return encode_plain(en, s);
    const AddedSet *set = level == 0 ? &added->plain : &added->normalized;
    size_t done = 0, from = 0;
    for (;;) {
        AddedMatch m = added_next(added, set, s, from, done, en->special);
        if (!m.token) return encode_level(en, level + 1, (Str){s.s + done, s.n - done});
        TRY(encode_level(en, level + 1, (Str){s.s + done, m.begin - done}));
        put_added(en, m.token->id, s.s + m.begin, m.end - m.begin);
        done = m.end;
        from = m.core_end;
    }
}

static bool encode_text(const Tokenizer *t, Str text, bool special, TokenList *out, Err *e) {
    Encoder en = {.t = t, .out = out, .first = out->n, .special = special, .e = e, .seen_bits = SEEN_BITS_MIN};
    while (en.seen_bits < SEEN_BITS_MAX && (size_t)8 << en.seen_bits < text.n) en.seen_bits++;
    en.seen = mem_alloc((size_t)1 << en.seen_bits, sizeof *en.seen);
    pretok_begin(&en.run, &t->pretok, text.n);
    bool ok = encode_level(&en, 0, text);
    pretok_end(&en.run);
    bpe_scratch_release(&en.bpe);
    buf_release(&en.spaced);
    free(en.seen);
    return ok;
}

bool tokenizer_encode(const Tokenizer *t, Str text, int flags, TokenList *out, Err *e) {
    const TokSpec *spec = t->spec;
    bool add = flags & LLMWS_TOK_ADD_SPECIAL, ok;
    size_t before = out->n;
    Buf whole = {0};
    if (text.n <= INT32_MAX && utf8_valid_prefix(text.s, text.n) < text.n) {
        utf8_replace(text, &whole);
        text = buf_view(&whole);
    }
    for (int i = 0; i < spec->n_prefix && add; i++) list_put(out, spec->prefix[i], 0, 0);
    if (text.n > INT32_MAX)
        ok =
            err_set(e, ERR_FIT, "cannot tokenize a text of %zu bytes: at most %d at once; split it", text.n, INT32_MAX);
    else
        ok = encode_text(t, text, flags & LLMWS_TOK_PARSE_SPECIAL, out, e);
    for (int i = 0; i < spec->n_suffix && add; i++) list_put(out, spec->suffix[i], 0, 0);
    if (!ok) out->n = before;
    buf_release(&whole);
    return ok;
}

/* ---- decoding ---- */

bool tokenizer_token_bytes(const Tokenizer *t, int32_t id, bool keep_special, Buf *out) {
    if (id < 0 || id >= t->spec->n_vocab) return false;
    Str piece = t->spec->vocab[id];
    if (t->is_special[id] && !keep_special) return true;
    if (t->is_added[id]) /* spelled as it stands in text */
        buf_put(out, piece.s, piece.n);
    else
        alphabet_decode(piece, out);
    return true;
}
