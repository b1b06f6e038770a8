#include "tokenizer/normal.h"

#include "tokenizer/text.h"
#include "tokenizer/unicode.h"

#define SPACE_MARK "\xe2\x96\x81" /* U+2581 */

bool normal_build(const TokSpec *spec, const Trie *user, Normal *out, Err *e) {
    *out = (Normal){.steps = spec->norms, .user = user};
    for (int i = 0; i < spec->n_norms; i++, out->n = i) {
        const NormSpec *step = &spec->norms[i];
        if (step->pattern) TRY(regex_compile(step->pattern, false, &out->regex[i], e));
        if (step->kind == NORM_CHARSMAP) TRY(regex_compile("\\X", true, &out->regex[i], e));
        out->bytes += out->regex[i].bytes;
        if (!charsmap_open(step->charsmap, &out->map[i], e)) return regex_release(&out->regex[i]), false;
    }
    return true;
}

void normal_release(Normal *n) {
    for (int i = 0; i < n->n; i++) regex_release(&n->regex[i]);
    *n = (Normal){0};
}

void normal_run_release(NormalRun *run) {
    for (int i = 0; i < 2; i++) aligned_release(&run->made[i]);
    regex_run_release(&run->regex);
}

/* ---- character by character ---- */

static void lowercase(Remake *m) {
    static const uint32_t dotted[] = {'i', 0x307}; /* U+0130 is the one letter that becomes two */
    while (m->idx < m->in.n) {
        int len;
        uint32_t c = utf8_decode(m->in.s + m->idx, &len);
        remake_put(m, c == 0x130 ? dotted[0] : cp_lower(c), 0);
        if (c == 0x130) remake_put(m, dotted[1], 1);
    }
}

static void strip_accents(Remake *m) {
    while (m->idx < m->in.n) {
        int len;
        if (cp_is_accent(utf8_decode(m->in.s + m->idx, &len)))
            remake_drop(m, (size_t)len);
        else
            remake_keep(m, (size_t)len);
    }
}

/* The tokenizers package's Nmt: some controls are dropped, some characters become a space. */
static void nmt(Remake *m) {
    while (m->idx < m->in.n) {
        int len;
        uint32_t c = utf8_decode(m->in.s + m->idx, &len);
        if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f)
            remake_drop(m, (size_t)len);
        else if (c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 || (c >= 0x200b && c <= 0x200f) ||
                 c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd)
            remake_put(m, ' ', 0);
        else
            remake_keep(m, (size_t)len);
    }
}

static void strip(const NormSpec *step, Remake *m) {
    size_t lead = step->left ? space_at_start(m->in.s, m->in.n) : 0;
    size_t trail = step->right ? space_at_end(m->in.s + lead, m->in.n - lead) : 0;
    remake_drop(m, lead);
    remake_keep(m, m->in.n - lead - trail);
}

/* ---- matches ---- */

static void replace_text(const NormSpec *step, Remake *m) {
    while (m->idx < m->in.n) {
        const char *at = memmem(m->in.s + m->idx, m->in.n - m->idx, step->from.s, step->from.n);
        remake_keep(m, at ? (size_t)(at - m->in.s) - m->idx : m->in.n - m->idx);
        if (!at) return;
        remake_drop(m, step->from.n);
        remake_insert(m, step->text);
    }
}

typedef struct Replace {
    Remake *m;
    Str text;
} Replace;

static bool replace_part(void *ctx, size_t begin, size_t end, bool match, Err *e) {
    Replace *r = ctx;
    (void)e;
    if (!match) return remake_keep(r->m, end - begin), true;
    remake_drop(r->m, end - begin);
    remake_insert(r->m, r->text);
    return true;
}

/* ---- character maps ---- */

typedef struct Graphemes {
    Remake *m;
    const Charsmap *map;
    uint32_t last; /* the character that was mapped last and its change: waits for what is removed behind it */
    int change;
    bool waits;
} Graphemes;

static void put_last(Graphemes *g) {
    if (g->waits) remake_put(g->m, g->last, g->change);
    g->waits = false;
}

static void put_later(Graphemes *g, uint32_t c, int change) {
    put_last(g);
    g->last = c;
    g->change = change;
    g->waits = true;
}

/* `old` characters become text: one by one, then what is over is added, or removed. As in the package, where nothing is
 * left the change goes to the character before, and at the very start to none: the places behind it are one early. */
static void put_mapped(Graphemes *g, Str text, int old) {
    int new = (int)utf8_count(text.s, text.n), k = 0;
    if (!new) g->change -= old;
    for (size_t i = 0; i < text.n; k++) {
        int len;
        uint32_t c = utf8_decode(text.s + i, &len);
        i += (size_t)len;
        put_later(g, c, k >= old ? 1 : k == new - 1 ? new - old : 0);
    }
}

/* As the package does it: a short grapheme whole, by its shortest key; else each character. */
static bool map_grapheme(void *ctx, size_t begin, size_t end, bool match, Err *e) {
    Graphemes *g = ctx;
    const char *s = g->m->in.s;
    Str text;
    size_t used;
    (void)match, (void)e;
    if (end - begin < 6 && charsmap_find(g->map, (Str){s + begin, end - begin}, true, &text, &used))
        return put_mapped(g, text, (int)utf8_count(s + begin, end - begin)), true;
    for (int len; begin < end; begin += (size_t)len) {
        uint32_t c = utf8_decode(s + begin, &len);
        if (charsmap_find(g->map, (Str){s + begin, (size_t)len}, true, &text, &used))
            put_mapped(g, text, 1);
        else
            put_later(g, c, 0);
    }
    return true;
}

static bool map_graphemes(const Normal *n, int i, NormalRun *run, Remake *m, Err *e) {
    Graphemes g = {.m = m, .map = &n->map[i]};
    TRY(regex_parts(&n->regex[i], &run->regex, (Str){m->in.s, m->in.n}, map_grapheme, &g, e));
    return put_last(&g), true;
}

typedef struct Spm {
    const NormSpec *step;
    const Charsmap *map;
    const Trie *user;
    Remake *m;
    bool after_space;
} Spm;

/* What stands at m->idx, mapped; *used receives how much of the input it is. */
static Str spm_next(const Spm *s, size_t *used) {
    const Piece *in = &s->m->in;
    Str rest = {in->s + s->m->idx, in->n - s->m->idx}, text;
    size_t end = 0;
    int len;
    if (trie_longest(s->user, rest, 0, &end) >= 0) return *used = end, (Str){rest.s, end};
    if (charsmap_find(s->map, rest, false, &text, used)) return text;
    utf8_decode(rest.s, &len);
    *used = (size_t)len;
    return (Str){rest.s, *used};
}

static void spm_put(Spm *s, Str text, size_t used) {
    bool remove = s->step->space.remove_extra;
    while (remove && s->after_space && text.n && text.s[0] == ' ') text.s++, text.n--;
    for (size_t i = 0; i < text.n;) {
        const char *space = memchr(text.s + i, ' ', text.n - i);
        size_t n = space ? (size_t)(space - text.s) - i : text.n - i;
        remake_before(s->m, (Str){text.s + i, n}, false);
        i += n;
        if (space) remake_before(s->m, s->step->space.escape ? STR(SPACE_MARK) : STR(" "), false), i++;
    }
    if (text.n) s->after_space = text.s[text.n - 1] == ' ';
    remake_drop(s->m, used);
}

/* Bytes at m->idx that no map, no piece and no rule about spaces changes: they are kept at once. */
static size_t spm_plain(const Spm *s) {
    const Remake *m = s->m;
    size_t i = m->idx;
    if (s->map->n_units || s->user->n) return 0;
    while (i < m->in.n && m->in.s[i] != ' ') i++;
    return i - m->idx;
}

static void spm(Spm *s) {
    Remake *m = s->m;
    bool remove = s->step->space.remove_extra, dummy = s->step->space.dummy_prefix, suffix = s->step->space.suffix;
    Str mark = s->step->space.escape ? STR(SPACE_MARK) : STR(" ");
    Buf *text = &m->to->text;
    size_t used;
    while (remove && m->idx < m->in.n && str_is(spm_next(s, &used), " ")) remake_drop(m, used);
    if (m->idx == m->in.n) return;
    if (!suffix && dummy) remake_before(m, mark, true);
    s->after_space = remove;
    while (m->idx < m->in.n) {
        size_t plain = spm_plain(s);
        if (plain) remake_keep(m, plain), s->after_space = false;
        if (m->idx == m->in.n) break;
        Str next = spm_next(s, &used);
        spm_put(s, next, used);
    }
    while (remove && str_ends(buf_view(text), mark.s)) text->n -= mark.n;
    if (suffix && dummy) remake_before(m, mark, true);
}

/* ---- the steps ---- */

/* True for text that the step does not change: the common case, found without copying. */
static bool changes_nothing(const NormSpec *step, Str s) {
    switch (step->kind) {
    case NORM_REPLACE: return !step->pattern && !memmem(s.s, s.n, step->from.s, step->from.n);
    case NORM_STRIP: return !(step->left && space_at_start(s.s, s.n)) && !(step->right && space_at_end(s.s, s.n));
    case NORM_PREPEND: return !step->text.n;
    default: return false;
    }
}

static bool apply_step(const Normal *n, int i, NormalRun *run, Remake *m, Err *e) {
    const NormSpec *step = &n->steps[i];
    switch (step->kind) {
    case NORM_LOWERCASE: lowercase(m); break;
    case NORM_STRIP: strip(step, m); break;
    case NORM_STRIP_ACCENTS: strip_accents(m); break;
    case NORM_NMT: nmt(m); break;
    case NORM_PREPEND:
        remake_before(m, step->text, false);
        remake_keep(m, m->in.n);
        break;
    case NORM_REPLACE:
        if (step->pattern)
            return regex_parts(&n->regex[i], &run->regex, (Str){m->in.s, m->in.n}, replace_part,
                               &(Replace){m, step->text}, e);
        replace_text(step, m);
        break;
    case NORM_CHARSMAP: return map_graphemes(n, i, run, m, e);
    case NORM_SPM: spm(&(Spm){.step = step, .map = &n->map[i], .user = n->user, .m = m}); break;
    default: BUG("a normal form is no step of characters");
    }
    return true;
}

bool normal_apply(const Normal *n, NormalRun *run, Piece in, int64_t cp, Piece *out, Err *e) {
    int turn = 0;
    *out = in;
    for (int i = 0; i < n->n && out->n; i++) {
        Aligned *to = &run->made[turn];
        if (n->steps[i].kind <= NORM_NFKD) {
            if (!normal_form(n->steps[i].kind, *out, cp, to)) continue;
        } else {
            Remake m;
            if (changes_nothing(&n->steps[i], (Str){out->s, out->n})) continue;
            remake_begin(&m, *out, cp, to);
            TRY(apply_step(n, i, run, &m, e));
        }
        *out = aligned_piece(to);
        turn ^= 1;
    }
    return true;
}
