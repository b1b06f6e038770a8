#include "tokenizer/decode.h"

#include "tokenizer/alphabet.h"

/* The step that joins all tokens to one text, or the number of steps. */
static int fuse_of(const TokSpec *spec) {
    int i = 0;
    while (i < spec->n_decodes && spec->decodes[i].kind != DECODE_FUSE) i++;
    return i;
}

static bool is_one_char(Str s) { return s.n && utf8_len(s.s, s.n) == (int)s.n; }

bool decode_check(const TokSpec *spec, Err *e) {
    for (int i = fuse_of(spec) + 1; i < spec->n_decodes; i++) {
        const DecodeSpec *d = &spec->decodes[i];
        if (d->kind == DECODE_STRIP && d->stop)
            return err_set(e, ERR_INPUT, "a decoder that strips the end of the whole text is not supported");
        if (d->kind != DECODE_STRIP && d->kind != DECODE_FUSE && !(d->kind == DECODE_REPLACE && is_one_char(d->from)))
            return err_set(e, ERR_INPUT,
                           "a decoder after Fuse is not supported, only Strip and Replace of one character");
    }
    for (int i = 0; i < spec->n_decodes; i++) {
        const DecodeSpec *d = &spec->decodes[i];
        bool needs = d->kind == DECODE_REPLACE || d->kind == DECODE_STRIP || d->kind == DECODE_METASPACE;
        if (needs && !d->from.n) return err_set(e, ERR_INPUT, "a decoder looks for an empty text");
    }
    return true;
}

int decode_strip(const TokSpec *spec) {
    for (int i = fuse_of(spec) + 1; i < spec->n_decodes; i++)
        if (spec->decodes[i].kind == DECODE_STRIP) return spec->decodes[i].start;
    return 0;
}

static int hex(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* The byte of <0x41>, or -1. */
static int byte_of(Str s) {
    if (s.n != 6 || memcmp(s.s, "<0x", 3) != 0 || s.s[5] != '>' || hex(s.s[3]) < 0 || hex(s.s[4]) < 0) return -1;
    return hex(s.s[3]) * 16 + hex(s.s[4]);
}

static void replace(Str s, Str from, Str to, Buf *out) {
    for (const char *at; s.n && (at = memmem(s.s, s.n, from.s, from.n));) {
        size_t n = (size_t)(at - s.s);
        buf_put(out, s.s, n);
        buf_put(out, to.s, to.n);
        s = (Str){at + from.n, s.n - n - from.n};
    }
    buf_put(out, s.s, s.n);
}

static Str strip(Str s, const DecodeSpec *d) {
    for (int i = 0; i < d->start && s.n >= d->from.n && memcmp(s.s, d->from.s, d->from.n) == 0; i++)
        s = (Str){s.s + d->from.n, s.n - d->from.n};
    for (int i = 0; i < d->stop && s.n >= d->from.n && memcmp(s.s + s.n - d->from.n, d->from.s, d->from.n) == 0; i++)
        s.n -= d->from.n;
    return s;
}

/* Takes off what still may be taken off the start of the text. */
static Str strip_start(Str s, const DecodeSpec *d, int *left) {
    while (*left > 0 && s.n >= d->from.n && memcmp(s.s, d->from.s, d->from.n) == 0) {
        s = (Str){s.s + d->from.n, s.n - d->from.n};
        --*left;
    }
    if (s.n) *left = 0;
    return s;
}

typedef struct Step { /* a token's text between two steps */
    Str s;
    bool byte; /* no text but one byte: steps on text pass it over */
    char value;
    Buf made[2];
    int turn;
} Step;

static void run_step(const TokSpec *spec, int i, const DecodeToken *token, Step *x) {
    const DecodeSpec *d = &spec->decodes[i];
    Buf *to = &x->made[x->turn];
    int byte;
    buf_clear(to);
    switch (d->kind) {
    case DECODE_ALPHABET: alphabet_decode(x->s, to); break;
    case DECODE_BYTE_FALLBACK:
        byte = byte_of(x->s);
        if (byte < 0) return;
        x->byte = true;
        buf_char(to, (char)byte);
        break;
    case DECODE_REPLACE: replace(x->s, d->from, d->text, to); break;
    case DECODE_METASPACE: replace(x->s, d->from, token->first && d->start ? STR("") : STR(" "), to); break;
    case DECODE_FUSE: return;
    case DECODE_STRIP: x->s = i > fuse_of(spec) ? strip_start(x->s, d, token->strip) : strip(x->s, d); return;
    case DECODE_JOIN:
        if (token->first) return;
        buf_char(to, ' ');
        buf_put(to, x->s.s, x->s.n);
        break;
    }
    x->s = buf_view(to);
    x->turn ^= 1;
}

void decode_token(const TokSpec *spec, const DecodeToken *token, Buf *out) {
    Step x = {.s = token->text};
    for (int i = 0; i < spec->n_decodes; i++)
        if (!x.byte || spec->decodes[i].kind == DECODE_STRIP || spec->decodes[i].kind == DECODE_JOIN)
            run_step(spec, i, token, &x);
    buf_put(out, x.s.s, x.s.n);
    buf_release(&x.made[0]);
    buf_release(&x.made[1]);
}
