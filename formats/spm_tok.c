/* tokenizer.model -> TokSpec: SentencePiece's ModelProto, read as protocol buffers' wire format. Field numbers and
 * defaults: sentencepiece, src/sentencepiece_model.proto. Fields that say how a model was trained are passed over. */
#include "formats/hf_tok.h"

#include "formats/formats.h"

#define SPACE_MARK "\xe2\x96\x81" /* U+2581 */

typedef struct Wire { /* one message */
    Str in;
    size_t at;
    uint32_t field;
    int type; /* 0: number, 1: 8 bytes, 2: bytes, 5: 4 bytes */
    uint64_t number;
    Str bytes;
    bool broken;
} Wire;

static bool take_varint(Wire *w, uint64_t *out) {
    *out = 0;
    for (int shift = 0; shift < 64 && w->at < w->in.n; shift += 7) {
        uint8_t b = (uint8_t)w->in.s[w->at++];
        *out |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) return true;
    }
    w->broken = true;
    return false;
}

/* The next field of the message; false at its end, and where it is broken. */
static bool wire_next(Wire *w) {
    uint64_t key, n = 0;
    if (w->broken || w->at == w->in.n || !take_varint(w, &key)) return false;
    w->field = (uint32_t)(key >> 3);
    w->type = (int)(key & 7);
    w->number = 0;
    if (w->type == 0) return take_varint(w, &w->number);
    if (w->type == 2) {
        if (!take_varint(w, &n)) return false;
    } else if (w->type == 1 || w->type == 5) {
        n = w->type == 1 ? 8 : 4;
    }
    w->broken = n > w->in.n - w->at || (w->type != 1 && w->type != 2 && w->type != 5) || key >> 3 > UINT32_MAX;
    if (w->broken) return false;
    w->bytes = (Str){w->in.s + w->at, (size_t)n};
    w->at += (size_t)n;
    for (size_t i = 0; i < n && w->type != 2; i++) w->number |= (uint64_t)(uint8_t)w->bytes.s[i] << 8 * i;
    return true;
}

enum { MODEL_PIECE = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3, MODEL_DENORMALIZER = 5 };
enum { KIND_UNIGRAM = 1, KIND_BPE = 2 };

typedef struct Model {
    TokSpec *spec;
    Err *e;
    Buf texts, scores, types; /* of Str, double, uint8_t */
    NormSpec norm;
    int64_t kind, unk, bos, eos, pad;
    bool byte_fallback, denormalizer;
} Model;

static bool broken(Model *m, const char *what) {
    return err_set(m->e, ERR_INPUT, "%s is broken: it is no SentencePiece model, or it was cut", what);
}

static bool take_piece(Model *m, Str message) {
    Wire w = {.in = message};
    Str text = {"", 0};
    double score = 0;
    uint8_t type = TOK_NORMAL;
    while (wire_next(&w)) {
        uint32_t bits = (uint32_t)w.number;
        float f;
        memcpy(&f, &bits, 4);
        if (w.field == 1 && w.type == 2) text = w.bytes;
        if (w.field == 2 && w.type == 5) score = f;
        if (w.field == 3 && w.type == 0) type = w.number >= TOK_NORMAL && w.number <= TOK_BYTE ? (uint8_t)w.number : 0;
    }
    if (w.broken || !type || !utf8_valid(text)) return broken(m, "a piece of the vocabulary");
    buf_put(&m->texts, &text, sizeof text);
    buf_put(&m->scores, &score, sizeof score);
    buf_put(&m->types, &type, 1);
    return true;
}

static bool take_trainer(Model *m, Str message) {
    Wire w = {.in = message};
    while (wire_next(&w)) {
        int64_t n = (int64_t)w.number;
        if (w.type == 2 && w.field == 44) m->spec->unk_text = w.bytes;
        if (w.type != 0) continue;
        if (w.field == 3) m->kind = n;
        if (w.field == 24) m->norm.space.suffix = n;
        if (w.field == 35) m->byte_fallback = n;
        if (w.field == 40) m->unk = n;
        if (w.field == 41) m->bos = n;
        if (w.field == 42) m->eos = n;
        if (w.field == 43) m->pad = n;
    }
    return !w.broken || broken(m, "trainer_spec");
}

static bool take_normalizer(Model *m, Str message) {
    Wire w = {.in = message};
    while (wire_next(&w)) {
        if (w.field == 2 && w.type == 2) m->norm.charsmap = w.bytes;
        if (w.field == 3 && w.type == 0) m->norm.space.dummy_prefix = w.number;
        if (w.field == 4 && w.type == 0) m->norm.space.remove_extra = w.number;
        if (w.field == 5 && w.type == 0) m->norm.space.escape = w.number;
    }
    return !w.broken || broken(m, "normalizer_spec");
}

static bool take_denormalizer(Model *m, Str message) {
    Wire w = {.in = message};
    while (wire_next(&w)) m->denormalizer |= w.field == 2 && w.type == 2 && w.bytes.n;
    return !w.broken || broken(m, "denormalizer_spec");
}

static bool take_fields(Model *m, Str file) {
    Wire w = {.in = file};
    while (wire_next(&w)) {
        if (w.type != 2) continue;
        if (w.field == MODEL_PIECE) TRY(take_piece(m, w.bytes));
        if (w.field == MODEL_TRAINER) TRY(take_trainer(m, w.bytes));
        if (w.field == MODEL_NORMALIZER) TRY(take_normalizer(m, w.bytes));
        if (w.field == MODEL_DENORMALIZER) TRY(take_denormalizer(m, w.bytes));
    }
    return !w.broken || broken(m, "the file");
}

static void *moved(Arena *a, Buf *from) {
    void *to = arena_alloc(a, from->n, 1);
    if (from->n) memcpy(to, from->s, from->n);
    return to;
}

/* Control pieces and the unknown one are never found in text by SentencePiece itself; here they are added tokens, which
 * are looked for where the caller wants special tokens. */
static void add_controls(TokSpec *spec) {
    int32_t n = 0;
    for (int32_t id = 0; id < spec->n_vocab; id++)
        n += spec->types[id] == TOK_CONTROL || spec->types[id] == TOK_UNKNOWN;
    spec->added = ARENA_NEW(&spec->arena, AddedToken, n);
    for (int32_t id = 0; id < spec->n_vocab; id++) {
        if (spec->types[id] == TOK_UNKNOWN) spec->unk = id;
        if ((spec->types[id] == TOK_CONTROL || spec->types[id] == TOK_UNKNOWN) && spec->vocab[id].n)
            spec->added[spec->n_added++] =
                (AddedToken){.text = spec->vocab[id], .id = id, .special = true, .outside = true};
    }
}

static void add_decodes(const Model *m) {
    TokSpec *spec = m->spec;
    if (m->norm.space.escape)
        spec->decodes[spec->n_decodes++] =
            (DecodeSpec){.kind = DECODE_REPLACE, .from = STR(SPACE_MARK), .text = STR(" ")};
    spec->decodes[spec->n_decodes++] = (DecodeSpec){.kind = DECODE_BYTE_FALLBACK};
    spec->decodes[spec->n_decodes++] = (DecodeSpec){.kind = DECODE_FUSE};
    if (m->norm.space.dummy_prefix || m->norm.space.remove_extra)
        spec->decodes[spec->n_decodes++] = (DecodeSpec){.kind = DECODE_STRIP, .from = STR(" "), .start = 1};
}

static int32_t id_of(const Model *m, int64_t id, TokType type) {
    return id >= 0 && id < m->spec->n_vocab && m->spec->types[id] == type ? (int32_t)id : -1;
}

static bool finish(Model *m) {
    TokSpec *spec = m->spec;
    size_t n = m->types.n;
    if (!n || n > INT32_MAX) return err_set(m->e, ERR_INPUT, "the vocabulary has %zu pieces", n);
    if (m->kind != KIND_UNIGRAM && m->kind != KIND_BPE)
        return err_set(m->e, ERR_INPUT, "model_type %s is not supported (known: UNIGRAM, BPE)",
                       m->kind == 3   ? "WORD"
                       : m->kind == 4 ? "CHAR"
                                      : "of an unknown number");
    if (m->denormalizer) return err_set(m->e, ERR_INPUT, "a denormalizer_spec with a character map is not supported");
    spec->n_vocab = (int32_t)n;
    spec->vocab = moved(&spec->arena, &m->texts);
    spec->scores = moved(&spec->arena, &m->scores);
    spec->types = moved(&spec->arena, &m->types);
    spec->model = m->kind == KIND_BPE ? TOK_BPE : TOK_UNIGRAM;
    spec->merge_by_text = spec->fuse_unk = spec->f32_scores = true;
    spec->byte_fallback = m->byte_fallback;
    add_controls(spec);
    spec->bos = id_of(m, m->bos, TOK_CONTROL);
    spec->eos = id_of(m, m->eos, TOK_CONTROL);
    spec->pad = id_of(m, m->pad, TOK_CONTROL);
    if (spec->bos >= 0)
        spec->prefix[spec->n_prefix++] = spec->bos; /* as the models that come with such a file want it */
    spec->norms[spec->n_norms++] = m->norm;
    add_decodes(m);
    spec->kind = tok_spec_kind(spec);
    return true;
}

bool spm_tok_spec_parse(Str file, TokSpec *spec, Err *e) {
    *spec =
        (TokSpec){.symbols = SYM_CHARS, .bos = -1, .eos = -1, .unk = -1, .pad = -1, .unk_text = STR(" \xe2\x81\x87 ")};
    char *copy = arena_alloc(&spec->arena, file.n + 1, 1);
    if (file.n) memcpy(copy, file.s, file.n);
    Model m = {.spec = spec, .e = e, .kind = KIND_UNIGRAM, .unk = 0, .bos = 1, .eos = 2, .pad = -1};
    m.norm = (NormSpec){.kind = NORM_SPM, .space = {.dummy_prefix = true, .remove_extra = true, .escape = true}};
    bool ok = take_fields(&m, (Str){copy, file.n}) && finish(&m);
    buf_release(&m.texts);
    buf_release(&m.scores);
    buf_release(&m.types);
    if (!ok) tok_spec_release(spec);
    return ok;
}
