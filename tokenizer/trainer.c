#include "tokenizer/trainer.h"

#include <stdlib.h>

#include "tokenizer/alphabet.h"
#include "tokenizer/normal.h"
#include "tokenizer/pretok.h"
#include "tokenizer/text.h"
#include "tokenizer/vocab.h"

enum { BYTES = 256 };

typedef struct Word { /* n == 0: free */
    size_t at;        /* in Trainer.bytes; while it trains, in Trainer.symbols */
    uint32_t n, hash;
    int64_t count;
} Word;

typedef struct Count { /* of a pair; key 0: free */
    uint64_t key;
    int64_t count;
} Count;

typedef struct Place { /* a word in which a pair came to stand */
    uint64_t pair;
    uint32_t word;
} Place;

typedef struct Candidate { /* a pair that may be joined in the words[0..n) in which it came to stand at one time */
    uint64_t pair;
    int64_t count;
    uint32_t *words, n;
} Candidate;

struct Trainer {
    TrainerOptions opt;
    Normal normal;
    Pretok pretok;
    Trie none;
    Word *words; /* a table until it trains, then a list */
    size_t slots, n_words;
    Buf bytes;
    int32_t *symbols;
    Count *counts;
    size_t n_counts, count_slots;
    Candidate *heap;
    size_t n_heap, heap_cap;
    Place *places;
    size_t n_places, places_cap;
    Str *texts; /* [vocab] spelled in the byte alphabet */
    int32_t n_texts;
    Arena arena;
};

/* ---- counting words ---- */

bool trainer_new(const TrainerOptions *opt, Trainer **out, Err *e) {
    Trainer *t = mem_alloc(1, sizeof *t);
    *out = NULL;
    t->opt = *opt;
    if (!t->opt.max_bytes) t->opt.max_bytes = (size_t)1 << 30;
    t->opt.min_count = MAX(t->opt.min_count, 1);
    t->slots = 1 << 12;
    t->words = mem_alloc(t->slots, sizeof *t->words);
    bool ok = opt->vocab >= opt->n_special + BYTES ||
              err_set(e, ERR_USAGE, "a vocabulary of %d has no room for %d special tokens and 256 bytes", opt->vocab,
                      opt->n_special);
    ok = ok && normal_build(opt->how, &t->none, &t->normal, e) && pretok_build(opt->how, &t->pretok, e);
    if (ok)
        *out = t;
    else
        trainer_free(t);
    return ok;
}

void trainer_free(Trainer *t) {
    if (!t) return;
    normal_release(&t->normal);
    pretok_release(&t->pretok);
    for (size_t i = 0; i < t->n_heap; i++) free(t->heap[i].words);
    free(t->heap);
    free(t->words);
    free(t->symbols);
    free(t->counts);
    free(t->places);
    buf_release(&t->bytes);
    arena_release(&t->arena);
    free(t);
}

static Word *word_slot(Word *words, size_t slots, const char *bytes, Str s, uint32_t hash) {
    for (size_t i = hash & (slots - 1);; i = (i + 1) & (slots - 1)) {
        Word *w = &words[i];
        if (!w->n || (w->hash == hash && w->n == s.n && memcmp(bytes + w->at, s.s, s.n) == 0)) return w;
    }
}

static void grow_words(Trainer *t) {
    size_t slots = t->slots * 2;
    Word *words = mem_alloc(slots, sizeof *words);
    for (size_t i = 0; i < t->slots; i++)
        if (t->words[i].n)
            *word_slot(words, slots, t->bytes.s, (Str){t->bytes.s + t->words[i].at, t->words[i].n}, t->words[i].hash) =
                t->words[i];
    free(t->words);
    t->words = words;
    t->slots = slots;
}

static bool count_word(void *ctx, Piece p, Err *e) {
    Trainer *t = ctx;
    uint32_t hash = (uint32_t)(hash_bytes(p.s, p.n, 0) >> 20);
    Word *w = word_slot(t->words, t->slots, t->bytes.s, (Str){p.s, p.n}, hash);
    if (w->n) return w->count++, true;
    if (t->bytes.n + p.n > t->opt.max_bytes || t->n_words == UINT32_MAX)
        return err_set(e, ERR_FIT, "the different words of the text are more than %zu bytes; train on a sample",
                       t->opt.max_bytes);
    *w = (Word){t->bytes.n, (uint32_t)p.n, hash, 1};
    buf_put(&t->bytes, p.s, p.n);
    if (++t->n_words * 2 > t->slots) grow_words(t);
    return true;
}

static int64_t no_place(void *ctx, const char *s) { return (void)ctx, (void)s, 0; }

bool trainer_feed(Trainer *t, Str text, Err *e) {
    Buf whole = {0};
    NormalRun normal = {.regex = {.text_bytes = text.n}};
    PretokRun pretok;
    if (text.n > INT32_MAX) return err_set(e, ERR_FIT, "a text of %zu bytes is too long; feed it in parts", text.n);
    if (utf8_valid_prefix(text.s, text.n) < text.n) {
        utf8_replace(text, &whole);
        text = buf_view(&whole);
    }
    Piece p = {text.s, text.n, NULL};
    pretok_begin(&pretok, &t->pretok, (PretokOut){count_word, no_place, t}, text.n);
    bool ok = normal_apply(&t->normal, &normal, p, 0, &p, e) && pretok_split(&pretok, p, e);
    pretok_end(&pretok);
    normal_run_release(&normal);
    buf_release(&whole);
    return ok;
}

/* ---- pairs and how often they stand ---- */

static uint64_t pair_of(int32_t a, int32_t b) { return ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) + 1; }
static int32_t left_of(uint64_t pair) { return (int32_t)((pair - 1) >> 32); }
static int32_t right_of(uint64_t pair) { return (int32_t)((pair - 1) & 0xffffffff); }

static Count *count_slot(Count *counts, size_t slots, uint64_t key) {
    size_t i = (key_mix(key) >> 20) & (slots - 1);
    while (counts[i].key && counts[i].key != key) i = (i + 1) & (slots - 1);
    return &counts[i];
}

static void add_count(Trainer *t, uint64_t pair, int64_t n) {
    if (t->n_counts * 2 >= t->count_slots) {
        size_t slots = MAX(t->count_slots * 2, 1 << 12);
        Count *counts = mem_alloc(slots, sizeof *counts);
        for (size_t i = 0; i < t->count_slots; i++)
            if (t->counts[i].key) *count_slot(counts, slots, t->counts[i].key) = t->counts[i];
        free(t->counts);
        t->counts = counts;
        t->count_slots = slots;
    }
    Count *c = count_slot(t->counts, t->count_slots, pair);
    if (!c->key) t->n_counts++;
    c->key = pair;
    c->count += n;
}

static int64_t count_of(const Trainer *t, uint64_t pair) { return count_slot(t->counts, t->count_slots, pair)->count; }

static void add_place(Trainer *t, uint64_t pair, uint32_t word) {
    if (t->n_places == t->places_cap)
        t->places = mem_grow(t->places, t->places_cap = t->places_cap * 2 + 256, sizeof *t->places);
    t->places[t->n_places++] = (Place){pair, word};
}

/* ---- the queue ---- */

static bool before(const Candidate *a, const Candidate *b) {
    return a->count != b->count ? a->count > b->count : a->pair < b->pair;
}

static void heap_put(Trainer *t, Candidate c) {
    if (t->n_heap == t->heap_cap) t->heap = mem_grow(t->heap, t->heap_cap = t->heap_cap * 2 + 256, sizeof *t->heap);
    size_t i = t->n_heap++;
    for (; i > 0 && before(&c, &t->heap[(i - 1) / 2]); i = (i - 1) / 2) t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = c;
}

static Candidate heap_take(Trainer *t) {
    Candidate top = t->heap[0], last = t->heap[--t->n_heap];
    size_t i = 0;
    for (size_t child = 1; child < t->n_heap; child = 2 * i + 1) {
        if (child + 1 < t->n_heap && before(&t->heap[child + 1], &t->heap[child])) child++;
        if (!before(&t->heap[child], &last)) break;
        t->heap[i] = t->heap[child];
        i = child;
    }
    if (t->n_heap) t->heap[i] = last;
    return top;
}

static int by_place(const void *a, const void *b) {
    const Place *x = a, *y = b;
    if (x->pair != y->pair) return x->pair < y->pair ? -1 : 1;
    return (x->word > y->word) - (x->word < y->word);
}

/* The places that came up, each pair with its words as one candidate. */
static void queue_places(Trainer *t) {
    if (t->n_places) qsort(t->places, t->n_places, sizeof *t->places, by_place);
    for (size_t i = 0, end; i < t->n_places; i = end) {
        uint64_t pair = t->places[i].pair;
        for (end = i; end < t->n_places && t->places[end].pair == pair;) end++;
        Candidate c = {.pair = pair, .count = count_of(t, pair)};
        if (c.count <= 0) continue;
        c.words = mem_alloc(end - i, sizeof *c.words);
        for (size_t k = i; k < end; k++)
            if (k == i || t->places[k].word != t->places[k - 1].word) c.words[c.n++] = t->places[k].word;
        heap_put(t, c);
    }
    t->n_places = 0;
}

/* ---- training ---- */

static int32_t add_text(Trainer *t, Str text) {
    t->texts[t->n_texts] = text;
    return t->n_texts++;
}

/* The bytes in the order of their letters, which is the package's order of an alphabet. */
static void add_alphabet(Trainer *t, int32_t id[BYTES]) {
    for (uint32_t cp = 0; cp < 0x144; cp++) {
        int byte = byte_of_alphabet(cp);
        char text[4];
        if (byte < 0) continue;
        size_t n = (size_t)utf8_encode(cp, text);
        id[byte] = add_text(t, (Str){arena_strn(&t->arena, text, n), n});
    }
}

static void begin_words(Trainer *t, const int32_t id[BYTES]) {
    size_t n = 0;
    t->symbols = mem_alloc(t->bytes.n + 1, sizeof *t->symbols);
    for (size_t i = 0; i < t->bytes.n; i++) t->symbols[i] = id[(unsigned char)t->bytes.s[i]];
    for (size_t i = 0; i < t->slots; i++)
        if (t->words[i].n) t->words[n++] = t->words[i];
    buf_release(&t->bytes);
    for (size_t w = 0; w < n; w++) {
        const int32_t *s = t->symbols + t->words[w].at;
        for (uint32_t i = 0; i + 1 < t->words[w].n; i++) {
            add_count(t, pair_of(s[i], s[i + 1]), t->words[w].count);
            add_place(t, pair_of(s[i], s[i + 1]), (uint32_t)w);
        }
    }
    queue_places(t);
}

/* Joins a pair in one word and counts what that changes for its neighbours. The pair's own count stays, as in the
 * package: it is not asked again, unless the pair comes up anew. */
static void join(Trainer *t, uint32_t word, uint64_t pair, int32_t id) {
    Word *w = &t->words[word];
    int32_t *s = t->symbols + w->at, a = left_of(pair), b = right_of(pair);
    uint32_t out = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        if (s[i] != a || i + 1 >= w->n || s[i + 1] != b) {
            s[out++] = s[i];
            continue;
        }
        if (out) {
            add_count(t, pair_of(s[out - 1], a), -w->count);
            add_count(t, pair_of(s[out - 1], id), w->count);
            add_place(t, pair_of(s[out - 1], id), word);
        }
        s[out++] = id;
        i++;
        if (i + 1 < w->n) {
            add_count(t, pair_of(b, s[i + 1]), -w->count);
            add_count(t, pair_of(id, s[i + 1]), w->count);
            add_place(t, pair_of(id, s[i + 1]), word);
        }
    }
    w->n = out;
}

/* The token that a pair becomes: one that is spelled so already, or a new one. */
static int32_t joined_id(Trainer *t, StrMap *known, uint64_t pair) {
    Str a = t->texts[left_of(pair)], b = t->texts[right_of(pair)];
    char *text = arena_alloc(&t->arena, a.n + b.n + 1, 1);
    memcpy(text, a.s, a.n);
    memcpy(text + a.n, b.s, b.n);
    Str both = {text, a.n + b.n};
    int32_t id = strmap_get(known, both);
    if (id >= 0) return id;
    id = add_text(t, both);
    strmap_put(known, &t->arena, both, id);
    return id;
}

static void train(Trainer *t, Buf *merges) {
    StrMap known = {0};
    for (int32_t i = 0; i < t->n_texts; i++) strmap_put(&known, &t->arena, t->texts[i], i);
    while (t->n_texts < t->opt.vocab && t->n_heap) {
        Candidate top = heap_take(t);
        int64_t count = count_of(t, top.pair);
        if (top.count != count) {
            top.count = count;
            heap_put(t, top);
            continue;
        }
        if (count < t->opt.min_count) {
            free(top.words);
            break;
        }
        int32_t id = joined_id(t, &known, top.pair);
        buf_put(merges, &top.pair, sizeof top.pair);
        for (uint32_t i = 0; i < top.n; i++) join(t, top.words[i], top.pair, id);
        free(top.words);
        queue_places(t);
    }
}

static Str keep(TokSpec *spec, Str s) { return (Str){arena_strn(&spec->arena, s.s, s.n), s.n}; }

static void put_result(Trainer *t, const Buf *merges, TokSpec *out) {
    size_t n = merges->n / sizeof(uint64_t);
    const TokSpec *how = t->opt.how;
    out->vocab = ARENA_NEW(&out->arena, Str, t->n_texts);
    for (; out->n_vocab < t->n_texts; out->n_vocab++) out->vocab[out->n_vocab] = keep(out, t->texts[out->n_vocab]);
    out->merges = arena_alloc(&out->arena, n, sizeof *out->merges);
    for (size_t i = 0; i < n; i++) {
        uint64_t pair;
        memcpy(&pair, merges->s + i * sizeof pair, sizeof pair);
        out->merges[i][0] = out->vocab[left_of(pair)];
        out->merges[i][1] = out->vocab[right_of(pair)];
    }
    out->n_merges = (int32_t)n;
    out->added = ARENA_NEW(&out->arena, AddedToken, t->opt.n_special);
    for (; out->n_added < t->opt.n_special; out->n_added++)
        out->added[out->n_added] = (AddedToken){.text = out->vocab[out->n_added], .id = out->n_added, .special = true};
    memcpy(out->norms, how->norms, sizeof out->norms);
    out->n_norms = how->n_norms;
    memcpy(out->splits, how->splits, sizeof out->splits);
    out->n_splits = how->n_splits;
    for (int i = 0; i < out->n_splits; i++)
        if (out->splits[i].pattern)
            out->splits[i].pattern = arena_strn(&out->arena, how->splits[i].pattern, strlen(how->splits[i].pattern));
    out->decodes[out->n_decodes++].kind = DECODE_ALPHABET;
    out->kind = arena_printf(&out->arena, "byte-level BPE, %d tokens", out->n_vocab);
}

bool trainer_finish(Trainer *t, TokSpec *out, Err *e) {
    int32_t id[BYTES];
    Buf merges = {0};
    *out = (TokSpec){.symbols = SYM_ALPHABET, .bos = -1, .eos = -1, .unk = -1, .pad = -1};
    if (t->symbols) return err_set(e, ERR_USAGE, "this trainer has finished before");
    t->texts = ARENA_NEW(&t->arena, Str, t->opt.vocab);
    for (int32_t i = 0; i < t->opt.n_special; i++) add_text(t, t->opt.special[i]);
    add_alphabet(t, id);
    begin_words(t, id);
    train(t, &merges);
    put_result(t, &merges, out);
    buf_release(&merges);
    return true;
}
