#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/inspect.h"
#include "cmd/json_out.h"

typedef struct Pieces { /* ids and where in the text (code points) each stands */
    const int32_t *ids;
    int64_t (*offsets)[2];
    size_t n;
    Str text;
    bool tokenized; /* the text was given, not made */
} Pieces;

static void pieces_json(Buf *b, const Pieces *p) {
    event_begin(b, "tokens");
    json_ids(b, "ids", p->ids, p->n);
    json_key(b, "offsets");
    buf_char(b, '[');
    for (size_t i = 0; i < p->n; i++)
        buf_printf(b, i ? ",[%" PRId64 ",%" PRId64 "]" : "[%" PRId64 ",%" PRId64 "]", p->offsets[i][0],
                   p->offsets[i][1]);
    buf_char(b, ']');
    if (!p->tokenized) json_str(b, "text", p->text);
    event_end(b);
}

static void pieces_table(Buf *b, LlmwsTokenizer *t, const Pieces *p) {
    for (size_t i = 0; i < p->n; i++) {
        char span[48];
        snprintf(span, sizeof span, "%" PRId64 "..%" PRId64, p->offsets[i][0], p->offsets[i][1]);
        buf_printf(b, "%8" PRId32 "  %-14s ", p->ids[i], span);
        put_inert(b, str_of(llmws_token_piece(t, p->ids[i])), false);
        buf_char(b, '\n');
    }
}

int tokenize_flags(const InspectOpts *o) {
    return LLMWS_TOK_PARSE_SPECIAL | (o->no_special ? 0 : LLMWS_TOK_ADD_SPECIAL);
}

static bool tokenize(const InspectOpts *o, LlmwsTokenizer *t, Buf *text, Err *e) {
    LlmwsTokens got;
    Buf b = {0};
    TRY(read_text_or_file(o->tokenize, text, e));
    TRY(llmws_tokenize(t, text->s ? text->s : "", text->n, tokenize_flags(o), &got, e));
    Pieces p = {.ids = got.ids, .offsets = got.offsets, .n = got.n, .tokenized = true};
    if (o->run.json)
        pieces_json(&b, &p);
    else
        pieces_table(&b, t, &p);
    llmws_tokens_free(&got);
    bool ok = out_flush(&b, e);
    buf_release(&b);
    return ok;
}

bool inspect_tokenize(const InspectOpts *o, const char *path, Err *e) {
    LlmwsTokenizer *t = llmws_tokenizer_open(path, e);
    if (!t) return false;
    Buf text = {0};
    bool ok = tokenize(o, t, &text, e);
    buf_release(&text);
    llmws_tokenizer_close(t);
    return ok;
}

static int64_t code_points(const char *s, size_t n) {
    int64_t count = 0;
    for (size_t i = 0; i < n; i++) count += ((unsigned char)s[i] & 0xc0) != 0x80;
    return count;
}

/* The text of ids and the part of it that each one completes. */
static void decode_pieces(LlmwsTokenizer *t, Pieces *p, Buf *text) {
    LlmwsDecoder *d = llmws_decoder_open(t, LLMWS_TEXT_SPECIAL | LLMWS_TEXT_BEGINS);
    int64_t at = 0;
    for (size_t i = 0; i <= p->n; i++) {
        size_t n;
        const char *s = i < p->n ? llmws_decoder_push(d, p->ids[i], &n) : llmws_decoder_flush(d, &n);
        buf_put(text, s, n);
        if (i < p->n) p->offsets[i][0] = at;
        at += code_points(s, n);
        if (i < p->n) p->offsets[i][1] = at;
    }
    if (p->n) p->offsets[p->n - 1][1] = at; /* what flush gave belongs to the last */
    p->text = buf_view(text);
    llmws_decoder_close(d);
}

static bool detokenize(const InspectOpts *o, LlmwsTokenizer *t, Ids *ids, Buf *text, Err *e) {
    TRY(ids_parse(o->detokenize, ids, e) && ids_check(ids, llmws_token_count(t), e));
    Pieces p = {.ids = ids->v, .offsets = mem_alloc(ids->n, sizeof *p.offsets), .n = ids->n};
    Buf b = {0};
    decode_pieces(t, &p, text);
    if (o->run.json) {
        pieces_json(&b, &p);
    } else {
        if (ui_of(&o->run).out_tty)
            put_inert(&b, p.text, true);
        else
            buf_put(&b, p.text.s, p.text.n);
        buf_char(&b, '\n');
    }
    free(p.offsets);
    bool ok = out_flush(&b, e);
    buf_release(&b);
    return ok;
}

bool inspect_detokenize(const InspectOpts *o, const char *path, Err *e) {
    LlmwsTokenizer *t = llmws_tokenizer_open(path, e);
    if (!t) return false;
    Buf text = {0};
    Ids ids = {0};
    bool ok = detokenize(o, t, &ids, &text, e);
    buf_release(&text);
    ids_release(&ids);
    llmws_tokenizer_close(t);
    return ok;
}
