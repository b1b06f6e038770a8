/* A whole tiny model as GGUF, made afresh for every case with one thing about it changed. */
#include "tests/fault/hostile.h"

#include <stdio.h>
#include <stdlib.h>

#include "formats/store.h"

/* ---- the good file ---- */

enum { WIDTH = 32, HEADS = 2, FFN = 64, VOCAB = 260, BYTES = 256 };

typedef struct Pair {
    const char *key;
    GgufType type;
    uint64_t bits; /* of a number; the length of a list of i32, all 1 */
    Str s;
    const Str *list;
    size_t n;
} Pair;

typedef struct Info {
    const char *name;
    uint32_t ndim, type;
    uint64_t dims[2]; /* innermost first */
    size_t bytes;
} Info;

static Str tokens[VOCAB], merges[3] = {{"a b", 3}, {"h e", 3}, {"t he", 4}};
static char token_bytes[BYTES][5];

static const Pair pairs[] = {
    {"general.architecture", GGUF_STR, .s = {"llama", 5}},
    {"general.name", GGUF_STR, .s = {"tiny", 4}},
    {"llama.block_count", GGUF_U32, 1},
    {"llama.context_length", GGUF_U32, 64},
    {"llama.embedding_length", GGUF_U32, WIDTH},
    {"llama.feed_forward_length", GGUF_U32, FFN},
    {"llama.attention.head_count", GGUF_U32, HEADS},
    {"llama.attention.head_count_kv", GGUF_U32, HEADS},
    {"llama.attention.layer_norm_rms_epsilon", GGUF_F32, 0x3727c5ac}, /* 1e-5 */
    {"llama.rope.freq_base", GGUF_F32, 0x461c4000},                   /* 10000 */
    {"llama.rope.dimension_count", GGUF_U32, WIDTH / HEADS},
    {"tokenizer.ggml.model", GGUF_STR, .s = {"gpt2", 4}},
    {"tokenizer.ggml.pre", GGUF_STR, .s = {"smollm", 6}},
    {"tokenizer.ggml.tokens", GGUF_ARRAY, .list = tokens, .n = VOCAB},
    {"tokenizer.ggml.token_type", GGUF_ARRAY, VOCAB},
    {"tokenizer.ggml.merges", GGUF_ARRAY, .list = merges, .n = COUNT_OF(merges)},
    {"tokenizer.ggml.bos_token_id", GGUF_U32, VOCAB - 1},
    {"tokenizer.ggml.eos_token_id", GGUF_U32, VOCAB - 1},
};

static const Info infos[] = {
    {"token_embd.weight", 2, 0, {WIDTH, VOCAB}, WIDTH *VOCAB * 4},
    {"blk.0.attn_norm.weight", 1, 0, {WIDTH}, WIDTH * 4},
    {"blk.0.attn_q.weight", 2, 0, {WIDTH, WIDTH}, WIDTH *WIDTH * 4},
    {"blk.0.attn_k.weight", 2, 0, {WIDTH, WIDTH}, WIDTH *WIDTH * 4},
    {"blk.0.attn_v.weight", 2, 0, {WIDTH, WIDTH}, WIDTH *WIDTH * 4},
    {"blk.0.attn_output.weight", 2, 0, {WIDTH, WIDTH}, WIDTH *WIDTH * 4},
    {"blk.0.ffn_norm.weight", 1, 0, {WIDTH}, WIDTH * 4},
    {"blk.0.ffn_gate.weight", 2, 0, {WIDTH, FFN}, WIDTH *FFN * 4},
    {"blk.0.ffn_up.weight", 2, 0, {WIDTH, FFN}, WIDTH *FFN * 4},
    {"blk.0.ffn_down.weight", 2, 0, {FFN, WIDTH}, WIDTH *FFN * 4},
    {"output_norm.weight", 1, 0, {WIDTH}, WIDTH * 4},
};

static void make_tokens(void) {
    static const char *const last[] = {"ab", "he", "the", "<|end|>"};
    for (uint32_t b = 0; b < BYTES; b++) { /* GPT-2's byte alphabet */
        bool plain = (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad);
        uint32_t cp = plain ? b : b <= 0x20 ? 0x100 + b : b == 0xad ? 0x143 : 0x121 + b - 0x7f;
        tokens[b] = (Str){token_bytes[b], (size_t)utf8_encode(cp, token_bytes[b])};
    }
    for (int i = 0; i < 4; i++) tokens[BYTES + i] = str_of(last[i]);
}

/* ---- one change ---- */

typedef enum Change {
    NONE,
    MAGIC,
    VERSION,
    TENSORS, /* count in the header */
    PAIRS,
    PAIR_BITS, /* the value of a number */
    PAIR_TYPE, /* its type, with the old bytes after it */
    PAIR_TEXT, /* text as the value: the type becomes a string, or the bytes of a number of type v */
    PAIR_DROP,
    PAIR_TWICE,
    PAIR_KEY,   /* another key, v its stated length (0: the true one) */
    PAIR_COUNT, /* the stated length of a string or array */
    PAIR_NEW,   /* a pair more, `at` its key: a string, or type v with these bytes */
    ITEM_TYPE,  /* of an array */
    TOKEN,      /* token v is another text */
    MERGE,
    TYPES, /* token types are v instead of 1 */
    INFO_NAME,
    INFO_NAME_LEN,
    INFO_NDIM,
    INFO_DIM0,
    INFO_DIM1,
    INFO_TYPE,
    INFO_OFFSET,
    INFO_DROP,
    INFO_TWICE,
    INFO_DATA, /* first f32 of the tensor has these bits */
    CUT_DATA,  /* v bytes off the end */
    CUT_AT,    /* after v bytes */
    CUT_INFO,  /* before the info of tensor v */
    CUT_PAIR,  /* before pair v */
    MORE,      /* v zero bytes at the end */
} Change;

typedef struct Row {
    const char *name;
    Change change;
    const char *at; /* key or tensor */
    uint64_t v;
    Str text;
    int status;
    const char *says;
} Row;

typedef struct Build {
    const Row *row;
    Buf out, offsets;
    uint64_t offset;
} Build;

static bool here(const Row *r, Change c, const char *at) { return r->change == c && strcmp(r->at, at) == 0; }
static uint64_t pick(const Row *r, Change c, const char *at, uint64_t good) { return here(r, c, at) ? r->v : good; }
static void u32(Buf *b, uint64_t v) { buf_put(b, &v, 4); }
static void u64(Buf *b, uint64_t v) { buf_put(b, &v, 8); }

static void text(Buf *b, Str s, uint64_t stated) {
    u64(b, stated);
    buf_put(b, s.s, s.n);
}

static void put_array(Buf *b, const Row *r, const Pair *p) {
    size_t n = p->list ? p->n : (size_t)p->bits;
    bool is_tokens = p->list == tokens;
    u32(b, pick(r, ITEM_TYPE, p->key, p->list ? GGUF_STR : GGUF_I32));
    u64(b, pick(r, PAIR_COUNT, p->key, n));
    for (size_t i = 0; i < n; i++) {
        bool other = p->list && r->change == (is_tokens ? TOKEN : MERGE) && i == r->v;
        Str s = other ? r->text : p->list ? p->list[i] : STR("");
        if (p->list)
            text(b, s, s.n);
        else
            u32(b, r->change == TYPES ? r->v : i == VOCAB - 1 ? 3 : 1);
    }
}

static void put_pair(Buf *b, const Row *r, const Pair *p) {
    static const uint8_t width[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    bool key = here(r, PAIR_KEY, p->key), other = here(r, PAIR_TEXT, p->key);
    Str k = key ? r->text : str_of(p->key);
    text(b, k, key && r->v ? r->v : k.n);
    u32(b, other ? (r->v ? r->v : GGUF_STR) : pick(r, PAIR_TYPE, p->key, p->type));
    if (other && r->v) {
        buf_put(b, r->text.s, r->text.n);
    } else if (other || p->type == GGUF_STR) {
        Str s = other ? r->text : p->s;
        text(b, s, pick(r, PAIR_COUNT, p->key, s.n));
    } else if (p->type == GGUF_ARRAY) {
        put_array(b, r, p);
    } else {
        uint64_t bits = pick(r, PAIR_BITS, p->key, p->bits);
        buf_put(b, &bits, width[p->type]);
    }
}

static void put_info(Buf *b, const Row *r, const Info *t, uint64_t offset) {
    Str name = here(r, INFO_NAME, t->name) ? r->text : str_of(t->name);
    uint64_t ndim = pick(r, INFO_NDIM, t->name, t->ndim);
    text(b, name, pick(r, INFO_NAME_LEN, t->name, name.n));
    u32(b, ndim);
    for (uint64_t d = 0; d < MIN(ndim, 8); d++)
        u64(b, pick(r, d == 0 ? INFO_DIM0 : INFO_DIM1, t->name, d < t->ndim ? t->dims[d] : 1));
    u32(b, pick(r, INFO_TYPE, t->name, t->type));
    u64(b, pick(r, INFO_OFFSET, t->name, offset));
}

static void put_data(Buf *b, const Row *r, const Info *t) {
    for (size_t i = 0; i < t->bytes / 4; i++) {
        float x = t->ndim == 1 ? 1 : (float)((int)(i * 7 % 23) - 11) / 64;
        if (i == 0 && here(r, INFO_DATA, t->name)) memcpy(&x, &r->v, 4);
        buf_put(b, &x, 4);
    }
}

static void build(const Row *r, Buf *b) {
    size_t n_pairs = COUNT_OF(pairs), n_infos = COUNT_OF(infos), cut = SIZE_MAX;
    uint64_t offset = 0;
    buf_clear(b);
    n_pairs += r->change == PAIR_TWICE || r->change == PAIR_NEW;
    n_pairs -= r->change == PAIR_DROP;
    n_infos += r->change == INFO_TWICE;
    n_infos -= r->change == INFO_DROP;
    u32(b, r->change == MAGIC ? r->v : 0x46554747);
    u32(b, r->change == VERSION ? r->v : 3);
    u64(b, r->change == TENSORS ? r->v : n_infos);
    u64(b, r->change == PAIRS ? r->v : n_pairs);
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        if (r->change == CUT_PAIR && i == r->v) cut = b->n;
        for (int k = here(r, PAIR_DROP, pairs[i].key); k < 1 + here(r, PAIR_TWICE, pairs[i].key); k++)
            put_pair(b, r, &pairs[i]);
    }
    if (r->change == PAIR_NEW) {
        text(b, str_of(r->at), strlen(r->at));
        u32(b, r->v ? r->v : GGUF_STR);
        if (!r->v) u64(b, r->text.n);
        buf_put(b, r->text.s, r->text.n);
    }
    for (size_t i = 0; i < COUNT_OF(infos); i++) {
        if (r->change == CUT_INFO && i == r->v) cut = b->n;
        for (int k = here(r, INFO_DROP, infos[i].name); k < 1 + here(r, INFO_TWICE, infos[i].name); k++)
            put_info(b, r, &infos[i], offset);
        offset += infos[i].bytes;
    }
    while (b->n % 32) buf_char(b, 0);
    for (size_t i = 0; i < COUNT_OF(infos); i++) put_data(b, r, &infos[i]);
    for (uint64_t i = 0; r->change == MORE && i < r->v; i++) buf_char(b, 0);
    if (r->change == CUT_DATA) cut = b->n - (size_t)r->v;
    if (r->change == CUT_AT) cut = (size_t)r->v;
    b->n = MIN(b->n, cut);
}

/* ---- the cases ---- */

#define S(literal)                                                                                                     \
    { literal, sizeof(literal) - 1 }

static const Row rows[] = {
    {"good", NONE, .status = 0},
    {"version 2", VERSION, .v = 2},
    {"data after the end", MORE, .v = 4096},
    {"a key that is not known", PAIR_NEW, "other.key", .text = S("value")},
    {"an empty array", PAIR_NEW, "other.key", GGUF_ARRAY, S("\x08\0\0\0\0\0\0\0\0\0\0\0")},
    {"NaN weight", INFO_DATA, "token_embd.weight", 0x7fc00000, .status = 1, .says = "NaN"},
    {"infinite weight", INFO_DATA, "token_embd.weight", 0x7f800000},
    {"no eos", PAIR_BITS, "tokenizer.ggml.eos_token_id", 5},
    {"a token of broken UTF-8", TOKEN, .v = 5, .text = S("\xff\xfe")},

    {"magic", MAGIC, .v = 0x46554746, .status = 3, .says = "neither"},
    {"version 0", VERSION, .v = 0, .status = 3, .says = "version 0"},
    {"version 1", VERSION, .v = 1, .status = 3, .says = "version 1"},
    {"version 4", VERSION, .v = 4, .status = 3, .says = "version 4"},
    {"version 2^32-1", VERSION, .v = 0xffffffff, .status = 3, .says = "version"},
    {"big-endian", VERSION, .v = 0x03000000, .status = 3, .says = "big-endian"},
    {"no tensors", TENSORS, .v = 0, .status = 3, .says = "vocabulary"},
    {"a tensor fewer", TENSORS, .v = COUNT_OF(infos) - 1, .status = 3, .says = ""},
    {"a tensor more", TENSORS, .v = COUNT_OF(infos) + 1, .status = 3, .says = ""},
    {"2^60 tensors", TENSORS, .v = 1ull << 60, .status = 3, .says = "tensors"},
    {"2^64-1 tensors", TENSORS, .v = ~0ull, .status = 3, .says = "tensors"},
    {"no pairs", PAIRS, .v = 0, .status = 3, .says = ""},
    {"a pair fewer", PAIRS, .v = COUNT_OF(pairs) - 1, .status = 3, .says = ""},
    {"a pair more", PAIRS, .v = COUNT_OF(pairs) + 1, .status = 3, .says = ""},
    {"2^60 pairs", PAIRS, .v = 1ull << 60, .status = 3, .says = "pairs"},
    {"2^64-1 pairs", PAIRS, .v = ~0ull, .status = 3, .says = "pairs"},
    {"2^63 pairs", PAIRS, .v = 1ull << 63, .status = 3, .says = "pairs"},

    {"empty key", PAIR_KEY, "general.name", .text = S(""), .status = 3, .says = "empty"},
    {"key of 2^63", PAIR_KEY, "general.name", 1ull << 63, S("k"), 3, "cut off"},
    {"key of 2^64-1", PAIR_KEY, "general.name", ~0ull, S("k"), 3, "cut off"},
    {"key of 2^32", PAIR_KEY, "general.name", 1ull << 32, S("k"), 3, "cut off"},
    {"key with NUL", PAIR_KEY, "general.name", 0, S("a\0b"), 3, "UTF-8"},
    {"key of broken UTF-8", PAIR_KEY, "general.name", 0, S("\xc3\x28"), 3, "UTF-8"},
    {"key with ESC, twice", PAIR_KEY, "general.name", 0, S("general.architecture"), 3, "twice"},
    {"key twice", PAIR_TWICE, "llama.block_count", .status = 3, .says = "twice"},
    {"string of 2^63", PAIR_COUNT, "general.name", 1ull << 63, .status = 3, .says = "cut off"},
    {"string of 2^64-1", PAIR_COUNT, "general.name", ~0ull, .status = 3, .says = "cut off"},
    {"string of 2^64-8", PAIR_COUNT, "general.name", ~0ull - 7, .status = 3, .says = "cut off"},
    {"name of broken UTF-8", PAIR_TEXT, "general.name", 0, S("\xed\xa0\x80"), 3, "UTF-8"},
    {"type 13", PAIR_TYPE, "llama.block_count", 13, .status = 3, .says = "type 13"},
    {"type 2^32-1", PAIR_TYPE, "llama.block_count", 0xffffffff, .status = 3, .says = "unknown"},
    {"truth value 2", PAIR_NEW, "flag", GGUF_BOOL, S("\2"), 3, "truth value"},
    {"number over 2^63", PAIR_NEW, "large", GGUF_U64, S("\xff\xff\xff\xff\xff\xff\xff\xff"), 3, "larger"},
    {"array of 2^61 strings", PAIR_COUNT, "tokenizer.ggml.tokens", 1ull << 61, .status = 3, .says = "cannot lie"},
    {"array of 2^63 strings", PAIR_COUNT, "tokenizer.ggml.tokens", 1ull << 63, .status = 3, .says = "cannot lie"},
    {"array of 2^62 i32", PAIR_COUNT, "tokenizer.ggml.token_type", 1ull << 62, .status = 3, .says = "cannot lie"},
    {"array of u8 of 2^63", PAIR_NEW, "blob", GGUF_ARRAY, S("\0\0\0\0\0\0\0\0\0\0\0\x80"), 3, "cannot lie"},
    {"array of type 13", ITEM_TYPE, "tokenizer.ggml.tokens", 13, .status = 3, .says = "unknown type"},
    {"array of arrays", ITEM_TYPE, "tokenizer.ggml.tokens", GGUF_ARRAY, .status = 3, .says = ""},
    {"array of 2^60 arrays", PAIR_NEW, "deep", GGUF_ARRAY, S("\x09\0\0\0\0\0\0\0\0\0\0\x10"), 3, "cannot lie"},

    {"alignment 0", PAIR_NEW, "general.alignment", GGUF_U32, S("\0\0\0\0"), 3, "alignment"},
    {"alignment 1", PAIR_NEW, "general.alignment", GGUF_U32, S("\1\0\0\0"), 3, "alignment"},
    {"alignment 3", PAIR_NEW, "general.alignment", GGUF_U32, S("\3\0\0\0"), 3, "alignment"},
    {"alignment 2^31", PAIR_NEW, "general.alignment", GGUF_U32, S("\0\0\0\x80"), 3, "alignment"},
    {"alignment as text", PAIR_NEW, "general.alignment", 0, S("32"), 3, "alignment"},

    {"no architecture", PAIR_DROP, "general.architecture", .status = 3, .says = "missing"},
    {"family with ESC", PAIR_TEXT, "general.architecture", 0, S("\033[31mred"), 3, "x1b"},
    {"family with newlines", PAIR_TEXT, "general.architecture", 0, S("a\n\nllmws: b\r\n"), 3, "family"},
    {"family with C1", PAIR_TEXT, "general.architecture", 0, S("\xc2\x9bK"), 3, "family"},
    {"family with an override", PAIR_TEXT, "general.architecture", 0, S("\xe2\x80\xaexyz"), 3, "family"},
    {"family with NUL", PAIR_TEXT, "general.architecture", 0, S("llama\0x"), 3, "family"},
    {"family as a number", PAIR_TEXT, "general.architecture", GGUF_U32, S("\1\0\0\0"), 3, "general.architecture"},
    {"0 layers", PAIR_BITS, "llama.block_count", 0, .status = 3, .says = "layers"},
    {"10^9 layers", PAIR_BITS, "llama.block_count", 1000000000, .status = 3, .says = "layers"},
    {"2^32-1 layers", PAIR_BITS, "llama.block_count", 0xffffffff, .status = 3, .says = "layers"},
    {"a layer too many", PAIR_BITS, "llama.block_count", 2, .status = 3, .says = "blk.1"},
    {"layers as text", PAIR_TEXT, "llama.block_count", 0, S("1"), 3, "block_count"},
    {"layers 1.5", PAIR_TEXT, "llama.block_count", GGUF_F32, S("\0\0\xc0\x3f"), 3, "block_count"},
    {"no layer count", PAIR_DROP, "llama.block_count", .status = 3, .says = "block_count"},
    {"context 0", PAIR_BITS, "llama.context_length", 0, .status = 3, .says = "context"},
    {"context 2^32-1", PAIR_BITS, "llama.context_length", 0xffffffff, .status = 3, .says = "context"},
    {"width 0", PAIR_BITS, "llama.embedding_length", 0, .status = 3, .says = "width"},
    {"width 33", PAIR_BITS, "llama.embedding_length", 33, .status = 3, .says = ""},
    {"width 2^32-2", PAIR_BITS, "llama.embedding_length", 0xfffffffe, .status = 3, .says = ""},
    {"ffn 0", PAIR_BITS, "llama.feed_forward_length", 0, .status = 3, .says = "ffn"},
    {"ffn 65", PAIR_BITS, "llama.feed_forward_length", 65, .status = 3, .says = "ffn_gate"},
    {"0 heads", PAIR_BITS, "llama.attention.head_count", 0, .status = 3, .says = "heads"},
    {"3 heads", PAIR_BITS, "llama.attention.head_count", 3, .status = 3, .says = "heads"},
    {"2^31 heads", PAIR_BITS, "llama.attention.head_count", 1u << 31, .status = 3, .says = "heads"},
    {"32 heads of 1", PAIR_BITS, "llama.attention.head_count", 32, .status = 3, .says = "odd"},
    {"3 kv heads", PAIR_BITS, "llama.attention.head_count_kv", 3, .status = 3, .says = "kv heads"},
    {"2^32-1 kv heads", PAIR_BITS, "llama.attention.head_count_kv", 0xffffffff, .status = 3, .says = "kv heads"},
    {"epsilon 0", PAIR_BITS, "llama.attention.layer_norm_rms_epsilon", 0, .status = 3, .says = "epsilon"},
    {"epsilon -1", PAIR_BITS, "llama.attention.layer_norm_rms_epsilon", 0xbf800000, .status = 3, .says = "epsilon"},
    {"epsilon NaN", PAIR_BITS, "llama.attention.layer_norm_rms_epsilon", 0x7fc00000, .status = 3, .says = "epsilon"},
    {"epsilon infinite", PAIR_BITS, "llama.attention.layer_norm_rms_epsilon", 0x7f800000, .status = 3, .says = "epsil"},
    {"rope base 0", PAIR_BITS, "llama.rope.freq_base", 0, .status = 3, .says = "rope base"},
    {"rope base -1", PAIR_BITS, "llama.rope.freq_base", 0xbf800000, .status = 3, .says = "rope base"},
    {"rope base NaN", PAIR_BITS, "llama.rope.freq_base", 0x7fc00000, .status = 3, .says = "rope base"},
    {"rope base infinite", PAIR_BITS, "llama.rope.freq_base", 0x7f800000, .status = 3, .says = "rope base"},
    {"rope dims 0", PAIR_BITS, "llama.rope.dimension_count", 0, .status = 3, .says = "rotated"},
    {"rope dims 2^32-1", PAIR_BITS, "llama.rope.dimension_count", 0xffffffff, .status = 3, .says = "rotated"},
    {"rope kind", PAIR_NEW, "llama.rope.scaling.type", 0, S("yarn"), 3, "yarn"},
    {"experts", PAIR_NEW, "llama.expert_count", GGUF_U32, S("\x08\0\0\0"), 3, "expert_used_count"},
    {"part 2 of 1", PAIR_NEW, "split.no", GGUF_U32, S("\1\0\0\0"), 3, "split.no"},
    {"2 parts, no number", PAIR_NEW, "split.count", GGUF_U32, S("\2\0\0\0"), 3, "-00001-of-00002"},
    {"-1 parts", PAIR_NEW, "split.count", GGUF_I32, S("\xff\xff\xff\xff"), 3, "split.count"},

    {"empty tensor name", INFO_NAME, "blk.0.attn_q.weight", .text = S(""), .status = 3, .says = "empty"},
    {"tensor name with NUL", INFO_NAME, "blk.0.attn_q.weight", 0, S("blk.0\0attn_q"), 3, "UTF-8"},
    {"tensor name with ESC", INFO_NAME, "blk.0.attn_q.weight", 0, S("\033]0;title\a"), 3, ""},
    {"tensor name with newline", INFO_NAME, "blk.0.attn_q.weight", 0, S("a\nb"), 3, ""},
    {"tensor name of 2^40", INFO_NAME_LEN, "blk.0.attn_q.weight", 1ull << 40, .status = 3, .says = "cut off"},
    {"0 dimensions", INFO_NDIM, "blk.0.attn_q.weight", 0, .status = 3, .says = ""},
    {"5 dimensions", INFO_NDIM, "blk.0.attn_q.weight", 5, .status = 3, .says = "5 dimensions"},
    {"2^32-1 dimensions", INFO_NDIM, "blk.0.attn_q.weight", 0xffffffff, .status = 3, .says = "dimensions"},
    {"dimension 0", INFO_DIM0, "blk.0.attn_q.weight", 0, .status = 3, .says = "dimension"},
    {"dimension 2^63", INFO_DIM0, "blk.0.attn_q.weight", 1ull << 63, .status = 3, .says = "dimension"},
    {"dimension 2^64-1", INFO_DIM1, "blk.0.attn_q.weight", ~0ull, .status = 3, .says = "dimension"},
    {"shape over 2^63", INFO_DIM1, "blk.0.attn_q.weight", 1ull << 62, .status = 3, .says = "too large"},
    {"shape wraps to 0", INFO_DIM1, "blk.0.attn_q.weight", 1ull << 57, .status = 3, .says = ""},
    {"wrong shape", INFO_DIM1, "blk.0.attn_q.weight", 31, .status = 3, .says = "expected"},
    {"vocabulary of 2^40", INFO_DIM1, "token_embd.weight", 1ull << 40, .status = 3, .says = "cut off"},
    {"a smaller vocabulary", INFO_DIM1, "token_embd.weight", 4, .status = 3, .says = "vocabulary"},
    {"type IQ2_XXS", INFO_TYPE, "blk.0.attn_q.weight", 16, .status = 3, .says = "IQ2_XXS"},
    {"type 1000", INFO_TYPE, "blk.0.attn_q.weight", 1000, .status = 3, .says = "type 1000"},
    {"type 2^32-1", INFO_TYPE, "blk.0.attn_q.weight", 0xffffffff, .status = 3, .says = "unknown"},
    {"rows of half blocks", INFO_TYPE, "blk.0.attn_q.weight", 12, .status = 3, .says = "whole blocks"},
    {"integers as weights", INFO_TYPE, "blk.0.attn_q.weight", 26, .status = 3, .says = ""},
    {"offset 1", INFO_OFFSET, "blk.0.attn_q.weight", 1, .status = 3, .says = "multiple"},
    {"offset of another", INFO_OFFSET, "blk.0.attn_q.weight", 0, .status = 3, .says = "overlap"},
    {"offset past the end", INFO_OFFSET, "blk.0.attn_q.weight", 1ull << 40, .status = 3, .says = "cut off"},
    {"offset wraps", INFO_OFFSET, "blk.0.attn_q.weight", ~0ull - 31, .status = 3, .says = "offset"},
    {"offset 2^63", INFO_OFFSET, "blk.0.attn_q.weight", 1ull << 63, .status = 3, .says = "offset"},
    {"a tensor is missing", INFO_DROP, "blk.0.attn_q.weight", .status = 3, .says = "attn_q"},
    {"a tensor stands twice", INFO_TWICE, "blk.0.attn_q.weight", .status = 3, .says = "twice"},
    {"a tensor too many", INFO_NAME, "output_norm.weight", 0, S("blk.0.extra.weight"), 3, "output_norm"},

    {"cut in the magic", CUT_AT, .v = 3, .status = 3},
    {"cut after the magic", CUT_AT, .v = 4, .status = 3, .says = "cut off"},
    {"cut in the counts", CUT_AT, .v = 20, .status = 3, .says = "cut off"},
    {"cut after the header", CUT_AT, .v = 24, .status = 3, .says = "pairs"},
    {"cut before a pair", CUT_PAIR, .v = 3, .status = 3},
    {"cut before the tokens", CUT_PAIR, .v = 13, .status = 3},
    {"cut before the merges", CUT_PAIR, .v = 15, .status = 3},
    {"cut before the tensors", CUT_INFO, .v = 0, .status = 3},
    {"cut in the tensors", CUT_INFO, .v = 5, .status = 3},
    {"cut in the data", CUT_DATA, .v = 4096, .status = 3, .says = "cut off"},
    {"a byte is missing", CUT_DATA, .v = 1, .status = 3, .says = "cut off"},

    {"no tokenizer", PAIR_DROP, "tokenizer.ggml.model", .status = 3, .says = "no tokenizer"},
    {"tokenizer kind", PAIR_TEXT, "tokenizer.ggml.model", 0, S("rwkv\033[0m"), 3, "rwkv"},
    {"pre-tokenizer", PAIR_TEXT, "tokenizer.ggml.pre", 0, S("no-such\n"), 3, "no-such"},
    {"no tokens", PAIR_DROP, "tokenizer.ggml.tokens", .status = 3, .says = "tokens"},
    {"tokens as a text", PAIR_TEXT, "tokenizer.ggml.tokens", 0, S("abc"), 3, "tokens"},
    {"0 tokens", PAIR_TEXT, "tokenizer.ggml.tokens", GGUF_ARRAY, S("\x08\0\0\0\0\0\0\0\0\0\0\0"), 3, "0 tokens"},
    {"tokens as numbers", PAIR_TEXT, "tokenizer.ggml.tokens", GGUF_ARRAY, S("\0\0\0\0\1\0\0\0\0\0\0\0\x07"), 3, ""},
    {"a token twice", TOKEN, .v = 257, .text = S("ab"), .status = 3, .says = "two ids"},
    {"no merges", PAIR_DROP, "tokenizer.ggml.merges", .status = 3, .says = "merges"},
    {"merge without a space", MERGE, .v = 1, .text = S("he"), .status = 3, .says = "merge 1"},
    {"merge of nothing", MERGE, .v = 1, .text = S("h "), .status = 3, .says = "merge 1"},
    {"merge of unknown tokens", MERGE, .v = 1, .text = S("qq zz"), .status = 3, .says = "qq"},
    {"merge with ESC", MERGE, .v = 1, .text = S("\033[31m"), .status = 3, .says = "merge 1"},
    {"token types missing", PAIR_DROP, "tokenizer.ggml.token_type", .status = 3, .says = "token_type"},
    {"token types cut", PAIR_TEXT, "tokenizer.ggml.token_type", GGUF_ARRAY, S("\5\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0"), 3,
     "token_type"},
    {"bos out of range", PAIR_BITS, "tokenizer.ggml.bos_token_id", VOCAB, .status = 3, .says = "bos_token_id"},
    {"bos 2^31", PAIR_BITS, "tokenizer.ggml.bos_token_id", 1u << 31, .status = 3, .says = "bos_token_id"},
    {"eos out of range", PAIR_BITS, "tokenizer.ggml.eos_token_id", 1000000, .status = 3, .says = "eos_token_id"},
    {"eos as text", PAIR_TEXT, "tokenizer.ggml.eos_token_id", 0, S("5"), 3, "eos_token_id"},
    {"eot out of range", PAIR_NEW, "tokenizer.ggml.eot_token_id", GGUF_I32, S("\xfe\xff\xff\xff"), 3, "eot_token_id"},
    {"template with NUL", PAIR_NEW, "tokenizer.chat_template", 0, S("a\0b"), 3, "chat_template"},
    {"temperature as text", PAIR_NEW, "general.sampling.temp", 0, S("hot"), 3, "general.sampling.temp"},
};

/* A name that would steer the terminal is shown, but inert. */
static void shown(void) {
    static const Row evil = {"", PAIR_TEXT, "general.name", 0, S("\033[2J\033]0;x\a\r\nname\xc2\x9bK")};
    static const char *const lists[] = {"--tensors", "--modules", "--estimate", "--json", "-q"};
    Buf b = {0};
    build(&evil, &b);
    put_file("model.gguf", buf_view(&b));
    buf_release(&b);
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        judge(lists[i], (Want){0, NULL, NULL}, (const char *const[]){"inspect", "model.gguf", lists[i], NULL});
}

/* The tokenizer alone, as inspect opens it. */
static void tokenizer_alone(void) {
    static const Row changes[] = {
        {"gguf: a tokenizer alone", NONE},
        {"gguf: a token outside the byte alphabet", TOKEN, .v = 5, .text = S("\xe6\x97\xa5\033")},
        {"gguf: no tokenizer alone", PAIR_DROP, "tokenizer.ggml.model", .status = 3, .says = "no tokenizer"},
    };
    Buf b = {0};
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        Row r = changes[i];
        if (!r.at) r.at = "";
        build(&r, &b);
        put_file("model.gguf", buf_view(&b));
        judge(r.name, (Want){r.status, "model.gguf", r.says},
              (const char *const[]){"inspect", "model.gguf", i == 0 ? "--tokenize" : "--detokenize", "5", "--json",
                                    NULL});
    }
    build(&(Row){.at = ""}, &b);
    put_file("model.gguf", buf_view(&b)); /* good, for those who come after */
    buf_release(&b);
}

void gguf_cases(void) {
    Buf b = {0};
    make_tokens();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char name[100];
        Row r = rows[i];
        if (!r.at) r.at = "";
        build(&r, &b);
        put_file("model.gguf", buf_view(&b));
        snprintf(name, sizeof name, "gguf: %s", r.name);
        judge_model(name, (Want){r.status, r.status == 3 ? "model.gguf" : NULL, r.says}, "model.gguf");
    }
    buf_release(&b);
    shown();
    tokenizer_alone();
}
