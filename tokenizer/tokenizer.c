#include "tokenizer/tokenizer.h"

#include <stdlib.h>

#include "tokenizer/added.h"
#include "tokenizer/bpe.h"
#include "tokenizer/decode.h"
#include "tokenizer/normal.h"
#include "tokenizer/pretok.h"
#include "tokenizer/text.h"
#include "tokenizer/unigram.h"

enum { MARK_ADDED = 1, MARK_SPECIAL = 2, MARK_RENAMED = 4 /* a normalised one has another text */ };

struct Tokenizer {
    const TokSpec *spec;
    Trie user; /* pieces that are one symbol wherever they stand in text */
    Normal normal;
    Added added;
    Pretok pretok;
    Bpe bpe;
    Unigram unigram;
    uint8_t *marks;         /* [n_vocab] MARK_* */
    const Str *added_texts; /* [n_added] as they are looked for */
    Arena arena;
};

/* ---- making one ---- */

static bool check_id(const TokSpec *spec, const char *what, int32_t id, bool may_lack, Err *e) {
    if ((id == -1 && may_lack) || (id >= 0 && id < spec->n_vocab)) return true;
    return err_set(e, ERR_INPUT, "the %s id is %d, outside the vocabulary of %d tokens", what, id, spec->n_vocab);
}

static bool check_spec(const TokSpec *spec, Err *e) {
    if (spec->n_vocab <= 0) return err_set(e, ERR_INPUT, "the vocabulary is empty");
    TRY(check_id(spec, "bos", spec->bos, true, e) && check_id(spec, "eos", spec->eos, true, e) &&
        check_id(spec, "unk", spec->unk, true, e) && check_id(spec, "pad", spec->pad, true, e));
    for (int i = 0; i < spec->n_prefix; i++) TRY(check_id(spec, "prefix token's", spec->prefix[i], false, e));
    for (int i = 0; i < spec->n_suffix; i++) TRY(check_id(spec, "suffix token's", spec->suffix[i], false, e));
    for (int32_t i = 0; i < spec->n_added; i++) TRY(check_id(spec, "added token's", spec->added[i].id, false, e));
    for (int i = 0; i < spec->n_splits; i++)
        if ((spec->splits[i].kind == SPLIT_TEXT || spec->splits[i].kind == SPLIT_REPLACE) && !spec->splits[i].text.n)
            return err_set(e, ERR_INPUT, "a pre-tokenizer looks for an empty text");
    for (int i = 0; i < spec->n_norms; i++)
        if (spec->norms[i].kind == NORM_REPLACE && !spec->norms[i].pattern && !spec->norms[i].from.n)
            return err_set(e, ERR_INPUT, "a normalizer looks for an empty text");
    return decode_check(spec, e);
}

static bool build_user(Tokenizer *t, Err *e) {
    const TokSpec *spec = t->spec;
    size_t bytes = 0;
    for (int32_t id = 0; id < spec->n_vocab && spec->types; id++)
        if (spec->types[id] == TOK_USER && !(t->marks[id] & MARK_ADDED)) bytes += spec->vocab[id].n;
    if (!bytes) return true;
    if (!trie_begin(&t->user, bytes, &t->arena))
        return err_set(e, ERR_INPUT, "the user's pieces are %zu bytes of text, too many", bytes);
    for (int32_t id = 0; id < spec->n_vocab; id++)
        if (spec->types[id] == TOK_USER && !(t->marks[id] & MARK_ADDED)) trie_put(&t->user, spec->vocab[id], id);
    return true;
}

/* Added tokens that are looked for in normalised text are normalised themselves. */
static bool build_added(Tokenizer *t, Err *e) {
    const TokSpec *spec = t->spec;
    Str *texts = ARENA_NEW(&t->arena, Str, spec->n_added);
    NormalRun run = {0};
    bool ok = true;
    for (int32_t i = 0; i < spec->n_added && ok; i++) {
        const AddedToken *a = &spec->added[i];
        Piece p = {a->text.s, a->text.n, NULL};
        if (a->normalized) ok = normal_apply(&t->normal, &run, p, 0, &p, e);
        texts[i] = p.s == a->text.s ? a->text : (Str){arena_strn(&t->arena, p.s, p.n), p.n};
        if (!str_eq(texts[i], a->text)) t->marks[a->id] |= MARK_RENAMED;
    }
    t->added_texts = texts;
    normal_run_release(&run);
    return ok && added_build(spec, texts, &t->arena, &t->added, e);
}

static bool build_model(Tokenizer *t, const bool *outside, Err *e) {
    const TokSpec *spec = t->spec;
    return spec->model == TOK_BPE ? bpe_build(spec, outside, &t->user, &t->arena, &t->bpe, e)
                                  : unigram_build(spec, outside, &t->arena, &t->unigram, e);
}

static bool build(Tokenizer *t, Err *e) {
    const TokSpec *spec = t->spec;
    TRY(check_spec(spec, e));
    bool *outside = mem_alloc((size_t)spec->n_vocab, sizeof *outside);
    t->marks = ARENA_NEW(&t->arena, uint8_t, spec->n_vocab);
    for (int32_t i = 0; i < spec->n_added; i++) {
        const AddedToken *a = &spec->added[i];
        t->marks[a->id] |= a->special ? MARK_ADDED | MARK_SPECIAL : MARK_ADDED;
        outside[a->id] |= a->outside;
    }
    for (int32_t id = 0; id < spec->n_vocab && spec->types; id++)
        outside[id] |= spec->types[id] == TOK_UNKNOWN || spec->types[id] == TOK_CONTROL;
    bool ok = build_user(t, e) && normal_build(spec, &t->user, &t->normal, e) && build_added(t, e) &&
              pretok_build(spec, &t->pretok, e) && build_model(t, outside, e);
    free(outside);
    return ok;
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
    normal_release(&t->normal);
    arena_release(&t->arena);
    free(t);
}

const TokSpec *tokenizer_spec(const Tokenizer *t) { return t->spec; }
size_t tokenizer_bytes(const Tokenizer *t) { return sizeof *t + t->arena.bytes + t->pretok.bytes + t->normal.bytes; }

/* ---- the list of tokens ---- */

void token_list_release(TokenList *l) {
    free(l->ids);
    free(l->offsets);
    *l = (TokenList){0};
}

static void list_put(TokenList *l, int32_t id, int64_t begin, int64_t end) {
    if (l->n == l->cap) {
        l->cap = l->cap * 2 + 32;
        l->ids = mem_grow(l->ids, l->cap, sizeof *l->ids);
        l->offsets = mem_grow(l->offsets, l->cap, sizeof *l->offsets);
    }
    l->ids[l->n] = id;
    l->offsets[l->n][0] = begin;
    l->offsets[l->n++][1] = end;
}

/* ---- words that were seen ---- */

/* Words come again and again: the tokens of a short one are kept until another one takes its place, all of them are
 * forgotten when the pool is full. */
typedef struct SeenWord {
    uint32_t text, tokens; /* where in the pools they begin */
    uint16_t n, n_tokens;  /* n == 0: free */
    uint32_t hash;
} SeenWord;

enum { SEEN_BITS_MIN = 4, SEEN_BITS_MAX = 15, SEEN_BYTES = 64, SEEN_POOL = 4 << 20 };

typedef struct Seen {
    SeenWord *words;
    int bits;
    Buf text, tokens;
} Seen;

static void seen_begin(Seen *s, size_t text_bytes) {
    s->bits = SEEN_BITS_MIN;
    while (s->bits < SEEN_BITS_MAX && (size_t)8 << s->bits < text_bytes) s->bits++;
    s->words = mem_alloc((size_t)1 << s->bits, sizeof *s->words);
}

static void seen_release(Seen *s) {
    free(s->words);
    buf_release(&s->text);
    buf_release(&s->tokens);
}

static const BpeToken *seen_tokens(const Seen *s, const SeenWord *w) {
    return (const BpeToken *)(const void *)(s->tokens.s + w->tokens);
}

static void seen_put(Seen *s, SeenWord *w, uint32_t hash, Piece p, const BpeToken *tokens, size_t k) {
    if (s->text.n + p.n > SEEN_POOL || s->tokens.n + k * sizeof *tokens > SEEN_POOL) {
        memset(s->words, 0, sizeof *s->words << s->bits);
        buf_clear(&s->text);
        buf_clear(&s->tokens);
    }
    *w = (SeenWord){(uint32_t)s->text.n, (uint32_t)s->tokens.n, (uint16_t)p.n, (uint16_t)k, hash};
    buf_put(&s->text, p.s, p.n);
    buf_put(&s->tokens, tokens, k * sizeof *tokens);
}

/* ---- encoding ---- */

typedef struct Encoder { /* one call of tokenizer_encode */
    const Tokenizer *t;
    TokenList *out;
    size_t first; /* tokens that were in the list before the text's */
    bool special;
    const char *at; /* in the input, `cp` code points from its start */
    int64_t cp;
    NormalRun normal;
    PretokRun pretok;
    BpeScratch bpe;
    UnigramScratch unigram;
    Seen seen;
} Encoder;

/* Code point of the input at s; asked in order. */
static int64_t place_of(void *ctx, const char *s) {
    Encoder *en = ctx;
    en->cp += utf8_count(en->at, (size_t)(s - en->at));
    en->at = s;
    return en->cp;
}

/* Offsets without the white space at the ends of a token. As in the tokenizers package (process_offsets), white space
 * that is all of the token counts at both ends. */
static void trim(const Encoder *en, int64_t lead, int64_t trail, int64_t o[2]) {
    bool first = en->out->n == en->first || o[0] == 0;
    if (first && en->t->spec->trim_keeps_first && lead == 1) lead = 0;
    o[0] = MIN(o[0] + lead, o[1]);
    if (trail > 0 && o[1] >= trail) o[1] = MAX(o[1] - trail, o[0]);
}

/* Where the bytes p.s[begin..end) come from; those of one piece are asked in order, and may share characters. */
static void places(Encoder *en, Piece p, size_t begin, size_t end, int64_t o[2]) {
    if (begin == end || end > p.n) {
        o[0] = o[1] = p.at ? place_begin(p.at[0]) : place_of(en, p.s);
    } else if (p.at) {
        o[0] = place_begin(p.at[begin]);
        o[1] = place_end(p.at[end - 1]);
    } else { /* back to the character that the first byte belongs to */
        size_t from = en->at > p.s ? (size_t)(en->at - p.s) : 0, last = end - 1;
        while (utf8_continues(p.s[begin]) && begin > from) begin--;
        while (utf8_continues(p.s[last]) && last > begin) last--;
        o[0] = place_of(en, p.s + begin);
        o[1] = place_of(en, p.s + last) + 1;
    }
}

static void put_token(Encoder *en, Piece p, const BpeToken *token) {
    int64_t o[2];
    places(en, p, token->begin, token->end, o);
    if (en->t->spec->trim_offsets) {
        uint32_t lead = token->begin, trail = token->end;
        while (lead < token->end && p.s[lead] == ' ') lead++;
        while (trail > token->begin && p.s[trail - 1] == ' ') trail--;
        trim(en, lead - token->begin, token->end - trail, o);
    }
    list_put(en->out, token->id, o[0], o[1]);
}

static void put_added(Encoder *en, const AddedToken *a, Piece p) {
    int64_t o[2];
    places(en, p, 0, p.n, o);
    if (en->t->spec->trim_offsets) {
        size_t lead = space_at_start(p.s, p.n), trail = space_at_end(p.s, p.n);
        trim(en, utf8_count(p.s, lead), utf8_count(p.s + p.n - trail, trail), o);
    }
    list_put(en->out, a->id, o[0], o[1]);
}

static void put_piece(Encoder *en, Piece p) {
    const Tokenizer *t = en->t;
    SeenWord *w = NULL;
    uint32_t hash = 0;
    if (p.n <= SEEN_BYTES) {
        uint64_t h = hash_bytes(p.s, p.n, 0);
        hash = (uint32_t)h;
        w = &en->seen.words[h >> (64 - en->seen.bits)];
        if (w->n == p.n && w->hash == hash && memcmp(en->seen.text.s + w->text, p.s, p.n) == 0) {
            const BpeToken *tokens = seen_tokens(&en->seen, w);
            for (size_t i = 0; i < w->n_tokens; i++) put_token(en, p, &tokens[i]);
            return;
        }
    }
    bool bpe = t->spec->model == TOK_BPE;
    size_t k = bpe ? bpe_encode(&t->bpe, p.s, p.n, &en->bpe) : unigram_encode(&t->unigram, p.s, p.n, &en->unigram);
    const BpeToken *tokens = bpe ? en->bpe.tokens : en->unigram.tokens;
    if (w && k <= UINT16_MAX) seen_put(&en->seen, w, hash, p, tokens, k);
    for (size_t i = 0; i < k; i++) put_token(en, p, &tokens[i]);
}

/* The first place behind `from` where the piece can be cut: before a mark that follows no mark and nothing that joins
 * it. */
static size_t cut_before_mark(const Tokenizer *t, Piece p, size_t from) {
    static const char mark[] = "\xe2\x96\x81";
    for (size_t at = from + 1; at < p.n; at += 3) {
        const char *found = memmem(p.s + at, p.n - at, mark, 3);
        if (!found) break;
        at = (size_t)(found - p.s);
        bool after_mark = at >= 3 && memcmp(found - 3, mark, 3) == 0;
        if (!after_mark && !t->bpe.mark_joins[(uint8_t)found[-1]]) return at;
    }
    return p.n;
}

/* A piece of text to the model; where that changes nothing, word by word. */
static bool take_piece(void *ctx, Piece p, Err *e) {
    Encoder *en = ctx;
    (void)e;
    if (en->t->spec->model == TOK_BPE && en->t->bpe.cut_at_mark) {
        size_t from = 0;
        for (size_t end = cut_before_mark(en->t, p, 0); end < p.n; end = cut_before_mark(en->t, p, end)) {
            if (end > from) put_piece(en, piece_part(p, from, end));
            from = end;
        }
        p = piece_part(p, from, p.n);
    }
    if (p.n) put_piece(en, p);
    return true;
}

/* Level 0 looks for the added tokens that are not normalised, level 1 for the others in what is left, normalised. */
static bool encode_level(Encoder *en, int level, Piece p, Err *e) {
    const Added *added = &en->t->added;
    if (!p.n) return true;
    if (level == 2) return pretok_split(&en->pretok, p, e);
    if (level == 1 && en->t->normal.n) TRY(normal_apply(&en->t->normal, &en->normal, p, place_of(en, p.s), &p, e));
    const Trie *set = level == 0 ? &added->plain : &added->normalized;
    size_t done = 0, from = 0;
    for (;;) {
        AddedMatch m = added_next(added, set, (Str){p.s, p.n}, from, done, en->special);
        if (!m.token) return encode_level(en, level + 1, piece_part(p, done, p.n), e);
        TRY(encode_level(en, level + 1, piece_part(p, done, m.begin), e));
        put_added(en, m.token, piece_part(p, m.begin, m.end));
        done = m.end;
        from = m.core_end;
    }
}

static bool encode_text(const Tokenizer *t, Str text, bool special, TokenList *out, Err *e) {
    Encoder en = {.t = t, .out = out, .first = out->n, .special = special, .at = text.s};
    en.normal.regex.text_bytes = text.n;
    seen_begin(&en.seen, text.n);
    if (t->spec->model == TOK_BPE) bpe_scratch_begin(&t->bpe, text.n, &en.bpe);
    pretok_begin(&en.pretok, &t->pretok, (PretokOut){take_piece, place_of, &en}, text.n);
    bool ok = encode_level(&en, 0, (Piece){text.s, text.n, NULL}, e);
    pretok_end(&en.pretok);
    normal_run_release(&en.normal);
    bpe_scratch_release(&en.bpe);
    unigram_scratch_release(&en.unigram);
    seen_release(&en.seen);
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

TokDecoder tokenizer_decoder(const Tokenizer *t, bool keep_special, bool begins) {
    return (TokDecoder){t, keep_special, !begins, begins ? decode_strip(t->spec) : 0};
}

/* What the decoder starts from; a token that was found normalised is that text, as in the package. */
static Str text_of(const Tokenizer *t, int32_t id) {
    const TokSpec *spec = t->spec;
    if (id == spec->unk && spec->unk_text.n) return spec->unk_text;
    for (int32_t i = 0; i < spec->n_added && t->marks[id] & MARK_RENAMED; i++)
        if (spec->added[i].id == id) return t->added_texts[i];
    return spec->vocab[id];
}

bool tokenizer_decode(TokDecoder *d, int32_t id, Buf *out) {
    const Tokenizer *t = d->t;
    if (id < 0 || id >= t->spec->n_vocab) return false;
    if (t->marks[id] & MARK_SPECIAL && !d->keep_special) return true;
    decode_token(t->spec, &(DecodeToken){text_of(t, id), !d->inside, &d->strip}, out);
    d->inside = true;
    return true;
}

bool tokenizer_token_bytes(const Tokenizer *t, int32_t id, bool keep_special, Buf *out) {
    TokDecoder d = tokenizer_decoder(t, keep_special, false);
    return tokenizer_decode(&d, id, out);
}
