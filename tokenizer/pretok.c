#include "tokenizer/pretok.h"

#include "tokenizer/text.h"

bool pretok_build(const TokSpec *spec, Pretok *out, Err *e) {
    *out = (Pretok){.splits = spec->splits};
    for (int i = 0; i < spec->n_splits; i++, out->n = i) {
        if (spec->splits[i].kind != SPLIT_REGEX) continue;
        TRY(regex_compile(spec->splits[i].pattern, false, &out->regex[i], e));
        out->bytes += out->regex[i].bytes;
    }
    return true;
}

void pretok_release(Pretok *p) {
    for (int i = 0; i < p->n; i++) regex_release(&p->regex[i]);
    *p = (Pretok){0};
}

void pretok_begin(PretokRun *r, const Pretok *p, PretokOut out, size_t text_bytes) {
    *r = (PretokRun){.pretok = p, .out = out, .regex = {.text_bytes = text_bytes}};
}

void pretok_end(PretokRun *r) {
    regex_run_release(&r->regex);
    for (size_t i = 0; i < COUNT_OF(r->made); i++) aligned_release(&r->made[i]);
}

/* ---- what becomes of matches ---- */

typedef struct Cut { /* one split at work on one piece */
    PretokRun *run;
    int level;
    Piece p;
    size_t begin, end; /* held back, because what comes may belong to it; begin == end: nothing */
    bool match;        /* what is held is, or ends with, a match */
} Cut;

static bool split_level(PretokRun *r, int level, Piece p, Err *e);

static bool cut_flush(Cut *c, Err *e) {
    size_t begin = c->begin, end = c->end;
    c->begin = c->end;
    return begin == end || split_level(c->run, c->level + 1, piece_part(c->p, begin, end), e);
}

/* One match, or what lies between two. Whether it joins what is held: the rules of the tokenizers package's
 * SplitDelimiterBehavior, left to right. */
static bool cut_part(void *ctx, size_t begin, size_t end, bool match, Err *e) {
    Cut *c = ctx;
    const SplitSpec *split = &c->run->pretok->splits[c->level];
    bool held = c->begin < c->end, join = false;
    match ^= split->invert;
    switch (split->behavior) {
    case SPLIT_ISOLATED: break;
    case SPLIT_REMOVED:
        if (match) return true;
        break;
    case SPLIT_WITH_PREVIOUS: join = match && !c->match; break;
    case SPLIT_WITH_NEXT: join = !match && c->match; break;
    case SPLIT_CONTIGUOUS: join = match == c->match; break;
    }
    if (held && !join) TRY(cut_flush(c, e));
    if (!held || !join) c->begin = begin;
    c->end = end;
    c->match = match;
    if (split->behavior == SPLIT_ISOLATED || split->behavior == SPLIT_REMOVED) return cut_flush(c, e);
    return true;
}

static bool cut_text(Cut *c, Str text, Err *e) {
    const char *from = c->p.s, *end = c->p.s + c->p.n;
    for (const char *at; (at = memmem(from, (size_t)(end - from), text.s, text.n)); from = at + text.n) {
        if (at > from) TRY(cut_part(c, (size_t)(from - c->p.s), (size_t)(at - c->p.s), false, e));
        TRY(cut_part(c, (size_t)(at - c->p.s), (size_t)(at - c->p.s) + text.n, true, e));
    }
    return from == end || cut_part(c, (size_t)(from - c->p.s), c->p.n, false, e);
}

/* ---- splits that change text ---- */

static Remake remake_of(PretokRun *r, int level, Piece p) {
    Remake m;
    remake_begin(&m, p, p.at ? 0 : r->out.place(r->out.ctx, p.s), &r->made[level]);
    return m;
}

static bool replace(PretokRun *r, int level, Piece p, Err *e) {
    const SplitSpec *split = &r->pretok->splits[level];
    if (!memmem(p.s, p.n, split->text.s, split->text.n)) return split_level(r, level + 1, p, e);
    Remake m = remake_of(r, level, p);
    while (m.idx < p.n) {
        const char *at = memmem(p.s + m.idx, p.n - m.idx, split->text.s, split->text.n);
        remake_keep(&m, at ? (size_t)(at - p.s) - m.idx : p.n - m.idx);
        if (!at) break;
        remake_drop(&m, split->text.n);
        remake_insert(&m, split->with);
    }
    return split_level(r, level + 1, aligned_piece(m.to), e);
}

static bool prepend(PretokRun *r, int level, Piece p, Err *e) {
    const SplitSpec *split = &r->pretok->splits[level];
    int64_t place = p.at ? place_begin(p.at[0]) : r->out.place(r->out.ctx, p.s);
    bool has = p.n >= split->text.n && memcmp(p.s, split->text.s, split->text.n) == 0;
    if (has || (split->first && place > 0)) return split_level(r, level + 1, p, e);
    Remake m = remake_of(r, level, p);
    remake_before(&m, split->text, false);
    remake_keep(&m, p.n);
    return split_level(r, level + 1, aligned_piece(m.to), e);
}

/* Depth is the number of splits. */
static bool split_level(PretokRun *r, int level, Piece p, Err *e) {
    if (level == r->pretok->n) return !p.n || r->out.piece(r->out.ctx, p, e);
    const SplitSpec *split = &r->pretok->splits[level];
    Cut c = {.run = r, .level = level, .p = p};
    switch (split->kind) {
    case SPLIT_REPLACE: return replace(r, level, p, e);
    case SPLIT_PREPEND: return prepend(r, level, p, e);
    case SPLIT_TEXT: TRY(cut_text(&c, split->text, e)); break;
    case SPLIT_REGEX: TRY(regex_parts(&r->pretok->regex[level], &r->regex, (Str){p.s, p.n}, cut_part, &c, e)); break;
    }
    return cut_flush(&c, e);
}

bool pretok_split(PretokRun *r, Piece p, Err *e) { return !p.n || split_level(r, 0, p, e); }
