/* A Hugging Face folder, whole and good, with one file of it changed at a time. */
#include "tests/fault/hostile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/formats.h"

typedef enum Change {
    PART,   /* the text `from`, which is there once or more: its first place becomes `to` */
    WHOLE,  /* the file is `to` */
    CUT,    /* the file ends after `n` bytes; negative: so many are missing */
    LENGTH, /* the stated length of a safetensors header is n */
    DATA,   /* n bytes of 0xff from the beginning of the data: NaN */
    ABSENT,
    REPEAT, /* the file is `from` n times, then `to` */
} Change;

typedef struct Row {
    const char *name;
    Change change;
    Str from, to;
    int64_t n;
    int status;
    const char *names, *says; /* names NULL: the file that was changed */
} Row;

#define S(literal)                                                                                                     \
    { literal, sizeof(literal) - 1 }
#define OK(name, change, ...)                                                                                          \
    { name, change, __VA_ARGS__, .status = 0 }
#define BAD(name, change, ...)                                                                                         \
    { name, change, __VA_ARGS__, .status = 3 }

static void path_of(char out[256], const char *dir, const char *file) { snprintf(out, 256, "%s/%s", dir, file); }

/* ---- one change ---- */

static bool is_safetensors(const char *file) { return strstr(file, ".safetensors") && !strstr(file, ".json"); }

/* Text of a safetensors header is replaced within the header, whose length follows. */
static void put_part(const Row *r, const char *file, Str old, Buf *out) {
    uint64_t n = 0;
    size_t head = is_safetensors(file) ? 8 : 0;
    const char *at = memmem(old.s, old.n, r->from.s, r->from.n);
    must(at != NULL, r->name);
    if (head) memcpy(&n, old.s, 8);
    n += r->to.n - r->from.n;
    if (head) buf_put(out, &n, 8);
    buf_put(out, old.s + head, (size_t)(at - old.s) - head);
    buf_put(out, r->to.s, r->to.n);
    at += r->from.n;
    buf_put(out, at, old.n - (size_t)(at - old.s));
}

static void change(const Row *r, const char *file, Str old, Buf *out) {
    uint64_t head;
    buf_clear(out);
    switch (r->change) {
    case PART: put_part(r, file, old, out); break;
    case WHOLE: buf_put(out, r->to.s, r->to.n); break;
    case CUT: buf_put(out, old.s, r->n < 0 ? old.n - (size_t)-r->n : (size_t)r->n); break;
    case LENGTH:
        buf_put(out, &r->n, 8);
        buf_put(out, old.s + 8, old.n - 8);
        break;
    case DATA:
        buf_put(out, old.s, old.n);
        memcpy(&head, old.s, 8);
        memset(out->s + 8 + head, 0xff, (size_t)r->n);
        break;
    case REPEAT:
        for (int64_t i = 0; i < r->n; i++) buf_put(out, r->from.s, r->from.n);
        buf_put(out, r->to.s, r->to.n);
        break;
    default: break;
    }
}

/* Every row on dir/file, which is as it was afterwards. */
static void judge_rows(const char *dir, const char *file, const Row *rows, size_t n) {
    char path[256], name[160];
    Buf old = {0}, now = {0};
    path_of(path, dir, file);
    get_file(path, &old);
    for (size_t i = 0; i < n; i++) {
        const Row *r = &rows[i];
        change(r, file, buf_view(&old), &now);
        must(unlink(path) == 0, path);
        if (r->change != ABSENT) put_file(path, buf_view(&now));
        snprintf(name, sizeof name, "%s: %s", file, r->name);
        judge_model(name, (Want){r->status, r->names ? r->names : file, r->says}, dir);
        if (r->change == ABSENT) put_file(path, buf_view(&old));
        put_file(path, buf_view(&old));
    }
    buf_release(&old);
    buf_release(&now);
}

/* ---- the cases ---- */

#define LAYERS    "\"num_hidden_layers\": 3"
#define HEAD(key) S("\"" key "\": ")

static const Row configs[] = {
    OK("a key that is not known", PART, S("{"), S("{\"other\": [1, {}], ")),
    OK("generous white space", PART, S("{"), S("\r\n\t { ")),
    OK("an exponent", PART, S("1e-05"), S("0.1E-4")),
    BAD("empty", WHOLE, S(""), S("")),
    BAD("white space", WHOLE, S(""), S(" \n ")),
    BAD("null", WHOLE, S(""), S("null"), .says = "object"),
    BAD("a list", WHOLE, S(""), S("[]"), .says = "object"),
    BAD("a number", WHOLE, S(""), S("17"), .says = "object"),
    BAD("an empty object", WHOLE, S(""), S("{}"), .names = "'hf'", .says = "model_type"),
    BAD("binary", WHOLE, S(""), S("\177ELF\0\1\2\3")),
    BAD("UTF-8 BOM", PART, S("{"), S("\xef\xbb\xbf{"), .says = "byte 0"),
    BAD("UTF-16", WHOLE, S(""), S("\xff\xfe{\0}\0"), .says = "byte 0"),
    BAD("cut", CUT, S(""), S(""), .n = 300, .says = "ends"),
    BAD("the last byte is missing", CUT, S(""), S(""), .n = -2, .says = "ends"),
    BAD("something follows", REPEAT, S("{} "), S("x"), .n = 2, .says = "follows"),
    BAD("a comma too many", PART, S("384,"), S("384,,"), .says = "key"),
    BAD("single quotes", PART, S("\"model_type\""), S("'model_type'"), .says = "quotes"),
    BAD("a comment", PART, S("{"), S("{ // note\n"), .says = "quotes"),
    BAD("nested 10^6 deep", REPEAT, S("["), S(""), .n = 1000000, .says = "nested"),
    BAD("objects nested 10^5 deep", REPEAT, S("{\"a\":"), S("1"), .n = 100000, .says = "nested"),
    BAD("9 MB", REPEAT, S("         "), S("{}"), .n = 1 << 20, .says = "bytes of JSON"),
    BAD("key twice", PART, S("{"), S("{\"vocab_size\": 384, "), .says = "twice"),
    BAD("NUL in a string", PART, S("silu"), S("si\\u0000lu"), .says = "u0000"),
    BAD("raw NUL", PART, S("silu"), S("si\0lu"), .says = "control"),
    BAD("raw newline in a string", PART, S("silu"), S("si\nlu"), .says = "control"),
    BAD("lone surrogate", PART, S("silu"), S("si\\ud800lu"), .says = "surrogate"),
    BAD("broken UTF-8", PART, S("silu"), S("si\xff\xfelu"), .says = "UTF-8"),
    BAD("unknown escape", PART, S("silu"), S("si\\xlu"), .says = "escape"),
    BAD("1e400", PART, S("500000.0"), S("1e400"), .says = "too large"),
    BAD("NaN", PART, S("1e-05"), S("NaN"), .says = "NaN"),
    BAD("-Infinity", PART, S("1e-05"), S("-Infinity"), .says = "NaN"),
    BAD("hexadecimal", PART, S("384"), S("0x180")),
    BAD("a leading zero", PART, S("384"), S("0384"), .says = "superfluous"),
    BAD("a number of 10^6 digits", REPEAT, S("1"), S(""), .n = 1000000, .says = "63 characters"),
    BAD("no family", PART, S("\"model_type\""), S("\"model_kind\""), .names = "'hf'", .says = "model_type"),
    BAD("an unknown family", PART, S("\"llama\""), S("\"nope\""), .names = "'hf'", .says = "'nope'"),
    BAD("a family with ESC", PART, S("\"llama\""), S("\"\\u001b[31m\\u009b1m\\u202e\""), .names = "'hf'",
        .says = "x1b"),
    BAD("a family of newlines", PART, S("\"llama\""), S("\"\\n\\nllmws: fine\\n\""), .names = "'hf'"),
    BAD("family as a number", PART, S("\"llama\""), S("7"), .names = "'hf'", .says = "model_type"),
    BAD("0 layers", PART, S(LAYERS), S("\"num_hidden_layers\": 0"), .names = "'hf'", .says = "layers"),
    BAD("-1 layers", PART, S(LAYERS), S("\"num_hidden_layers\": -1"), .names = "'hf'", .says = "layers"),
    BAD("10^9 layers", PART, S(LAYERS), S("\"num_hidden_layers\": 1000000000"), .names = "'hf'", .says = "layers"),
    BAD("2^63 layers", PART, S(LAYERS), S("\"num_hidden_layers\": 9223372036854775808"), .names = "'hf'"),
    BAD("2.5 layers", PART, S(LAYERS), S("\"num_hidden_layers\": 2.5"), .names = "'hf'", .says = "num_hidden_layers"),
    BAD("layers as text", PART, S(LAYERS), S("\"num_hidden_layers\": \"3\""), .names = "'hf'"),
    BAD("layers as a list", PART, S(LAYERS), S("\"num_hidden_layers\": [3]"), .names = "'hf'"),
    BAD("layers null", PART, S(LAYERS), S("\"num_hidden_layers\": null"), .names = "'hf'", .says = "missing"),
    BAD("no layer count", PART, S("num_hidden_layers"), S("num_layers"), .names = "'hf'", .says = "missing"),
    BAD("a layer fewer", PART, S(LAYERS), S("\"num_hidden_layers\": 2"), .names = "'hf'", .says = "layers.2"),
    BAD("a layer more", PART, S(LAYERS), S("\"num_hidden_layers\": 4"), .names = "'hf'", .says = "layers.3"),
    BAD("width 0", PART, S("\"hidden_size\": 64"), S("\"hidden_size\": 0"), .names = "'hf'", .says = "width"),
    BAD("another width", PART, S("\"hidden_size\": 64"), S("\"hidden_size\": 65"), .names = "'hf'", .says = "expected"),
    BAD("width 2^31-1", PART, S("\"hidden_size\": 64"), S("\"hidden_size\": 2147483647"), .names = "'hf'"),
    BAD("another vocabulary", PART, S("384"), S("383"), .names = "'hf'", .says = "expected"),
    BAD("0 heads", PART, S("attention_heads\": 4"), S("attention_heads\": 0"), .names = "'hf'", .says = "heads"),
    BAD("3 heads", PART, S("attention_heads\": 4"), S("attention_heads\": 3"), .names = "'hf'", .says = "heads"),
    BAD("-4 heads", PART, S("attention_heads\": 4"), S("attention_heads\": -4"), .names = "'hf'", .says = "heads"),
    BAD("2^31-1 heads", PART, S("attention_heads\": 4"), S("attention_heads\": 2147483647"), .names = "'hf'"),
    BAD("odd head dim", PART, S("head_dim\": 16"), S("head_dim\": 15"), .names = "'hf'", .says = "odd"),
    BAD("head dim 2^31-2", PART, S("head_dim\": 16"), S("head_dim\": 2147483646"), .names = "'hf'", .says = "expected"),
    BAD("context 0", PART, S("embeddings\": 512"), S("embeddings\": 0"), .names = "'hf'", .says = "context"),
    BAD("context -1", PART, S("embeddings\": 512"), S("embeddings\": -1"), .names = "'hf'", .says = "context"),
    BAD("context 10^18", PART, S("embeddings\": 512"), S("embeddings\": 1000000000000000000"), .names = "'hf'"),
    OK("context 2^31-1", PART, S("embeddings\": 512"), S("embeddings\": 2147483647")),
    BAD("epsilon 0", PART, S("1e-05"), S("0"), .names = "'hf'", .says = "epsilon"),
    BAD("epsilon -1", PART, S("1e-05"), S("-1.0"), .names = "'hf'", .says = "epsilon"),
    BAD("epsilon 1e300", PART, S("1e-05"), S("1e300"), .names = "'hf'", .says = "epsilon"),
    BAD("epsilon 1e-300", PART, S("1e-05"), S("1e-300"), .names = "'hf'", .says = "epsilon"),
    BAD("rope base 0", PART, S("500000.0"), S("0"), .names = "'hf'", .says = "rope base"),
    BAD("rope base -1", PART, S("500000.0"), S("-1"), .names = "'hf'", .says = "rope base"),
    BAD("rope base as text", PART, S("500000.0"), S("\"x\""), .names = "'hf'", .says = "rope_theta"),
    BAD("rope kind", PART, S("\"llama3\""), S("\"yarn\\u001b[0m\""), .names = "'hf'", .says = "yarn"),
    BAD("rope factor 0", PART, S("\"factor\": 8.0"), S("\"factor\": 0"), .names = "'hf'", .says = "factor"),
    BAD("rope factor -8", PART, S("\"factor\": 8.0"), S("\"factor\": -8"), .names = "'hf'", .says = "factor"),
    BAD("rope frequencies equal", PART, S("\"high_freq_factor\": 4.0"), S("\"high_freq_factor\": 1"), .names = "'hf'"),
    BAD("rope context 0", PART, S("embeddings\": 64"), S("embeddings\": 0"), .names = "'hf'", .says = "original"),
    BAD("rope as a list", PART, S("\"rope_scaling\": {"), S("\"rope_scaling\": [], \"x\": {"), .names = "'hf'"),
    BAD("rope type as a number", PART, S("\"llama3\""), S("3"), .names = "'hf'", .says = "rope_type"),
    BAD("activation", PART, S("silu"), S("gelu"), .names = "'hf'", .says = "gelu"),
    BAD("bias", PART, S("attention_bias\": false"), S("attention_bias\": true"), .names = "'hf'", .says = "bias"),
    BAD("quantisation", PART, S("{"), S("{\"quantization_config\": {\"bits\": 4}, "), .names = "'hf'"),
    BAD("untied", PART, S("embeddings\": true"), S("embeddings\": false"), .names = "'hf'", .says = "lm_head"),
    BAD("tied as a number", PART, S("embeddings\": true"), S("embeddings\": 1"), .names = "'hf'", .says = "tie_word"),
    BAD("eos out of range", PART, S("337,"), S("3370,"), .names = "'hf'", .says = "eos_token_id"),
    BAD("eos negative", PART, S("337,"), S("-2,"), .names = "'hf'", .says = "eos_token_id"),
    BAD("eos as text", PART, S("337,"), S("\"</s>\","), .names = "'hf'", .says = "eos_token_id"),
    BAD("absent", ABSENT, S(""), S(""), .names = "'hf'", .says = "config.json"),
};

static const Row generations[] = {
    OK("absent", ABSENT, S(""), S("")),
    OK("a key that is not known", PART, S("{"), S("{\"other\": 1, ")),
    BAD("empty", WHOLE, S(""), S("")),
    BAD("a list", WHOLE, S(""), S("[1]"), .says = "object"),
    BAD("cut", CUT, S(""), S(""), .n = 20),
    BAD("NaN", PART, S("{"), S("{\"temperature\": NaN, "), .says = "NaN"),
    BAD("temperature as text", PART, S("{"), S("{\"temperature\": \"hot\", "), .names = "'hf'", .says = "temperature"),
    BAD("do_sample as text", PART, S("{"), S("{\"do_sample\": \"no\", "), .names = "'hf'", .says = "do_sample"),
    BAD("eos out of range", PART, S("337"), S("100000"), .names = "'hf'", .says = "eos_token_id"),
    BAD("eos 2^63", PART, S("337"), S("9223372036854775808"), .names = "'hf'", .says = "eos_token_id"),
    BAD("eos as an object", PART, S("337"), S("{}"), .names = "'hf'", .says = "eos_token_id"),
};

#define NORM "\"model.norm.weight\":"

static const Row weights[] = {
    OK("more metadata", PART, S("\"format\":\"pt\""), S("\"format\":\"pt\",\"x\":\"\\u001b[31m\"")),
    OK("no metadata", PART, S("\"__metadata__\":{\"format\":\"pt\"},"), S("")),
    OK("spaces after the header", PART, S("{\"__metadata__\""), S("{  \"__metadata__\"")),
    {"NaN weights", DATA, S(""), S(""), .n = 98304, .status = 1, .names = "NaN"},
    BAD("empty", WHOLE, S(""), S(""), .says = "too few"),
    BAD("7 bytes", CUT, S(""), S(""), .n = 7, .says = "too few"),
    BAD("8 bytes", CUT, S(""), S(""), .n = 8),
    BAD("cut in the header", CUT, S(""), S(""), .n = 100, .says = "cut off"),
    BAD("cut before the data", CUT, S(""), S(""), .n = 3000),
    BAD("cut in the data", CUT, S(""), S(""), .n = 100000, .says = "cut off"),
    BAD("a byte is missing", CUT, S(""), S(""), .n = -1, .says = "cut off"),
    BAD("header of 0 bytes", LENGTH, S(""), S(""), .n = 0),
    BAD("header of 2 bytes", LENGTH, S(""), S(""), .n = 2),
    BAD("header of a byte less", LENGTH, S(""), S(""), .n = 500),
    BAD("header of 2^63-1 bytes", LENGTH, S(""), S(""), .n = INT64_MAX, .says = "cut off"),
    BAD("header of 2^64-1 bytes", LENGTH, S(""), S(""), .n = -1, .says = "cut off"),
    BAD("header of 2^64-8 bytes", LENGTH, S(""), S(""), .n = -8, .says = "cut off"),
    BAD("header over 100 MB", LENGTH, S(""), S(""), .n = (100 << 20) + 1),
    BAD("header is a list", PART, S("{\"__metadata__\""), S("[{\"__metadata__\"")),
    BAD("metadata as a list", PART, S("{\"format\":\"pt\"}"), S("[\"pt\"]"), .says = "__metadata__"),
    BAD("metadata as numbers", PART, S("\"pt\""), S("1"), .says = "__metadata__"),
    BAD("metadata twice", PART, S("{\"__metadata__\""), S("{\"__metadata__\":{},\"__metadata__\""), .says = "twice"),
    BAD("metadata key twice", PART, S("\"format\""), S("\"format\":\"a\",\"format\""), .says = "twice"),
    BAD("entry is a number", PART, S(NORM), S(NORM "1,\"x\":"), .says = "object"),
    BAD("entry is empty", PART, S(NORM), S(NORM "{},\"x\":"), .says = "lacks"),
    BAD("entry twice", PART, S(NORM), S("\"model.embed_tokens.weight\":"), .says = "twice"),
    BAD("nested", PART, S(NORM), S("\"x\":{\"a\":[[[[{}]]]]}," NORM)),
    BAD("dtype is unknown", PART, S("\"F32\""), S("\"F33\\u001b[0m\""), .says = "F33"),
    BAD("dtype is a number", PART, S("\"F32\""), S("32"), .says = "dtype"),
    BAD("another dtype", PART, S("\"F32\""), S("\"F16\""), .says = "shape"),
    BAD("complex numbers", PART, S("\"F32\""), S("\"C64\""), .says = "C64"),
    BAD("dtype twice", PART, S("\"dtype\":\"F32\""), S("\"dtype\":\"F32\",\"dtype\":\"F32\""), .says = "twice"),
    BAD("5 dimensions", PART, S("[384,64]"), S("[384,64,1,1,1]"), .says = "5 dimensions"),
    BAD("negative dimension", PART, S("[384,64]"), S("[-384,-64]"), .says = "negative"),
    BAD("dimension 0", PART, S("[384,64]"), S("[384,0]"), .says = "offsets span"),
    BAD("dimension 2^63", PART, S("[384,64]"), S("[9223372036854775808,1]")),
    BAD("shape over 2^63", PART, S("[384,64]"), S("[4611686018427387904,4]"), .says = "too large"),
    BAD("shape wraps", PART, S("[384,64]"), S("[4294967296,4294967296]"), .says = "too large"),
    BAD("dimension 1.5", PART, S("[384,64]"), S("[384,1.5]")),
    BAD("dimension as text", PART, S("[384,64]"), S("[\"384\",64]")),
    BAD("wrong shape", PART, S("[384,64]"), S("[64,384]"), .names = "'hf'", .says = "expected"),
    BAD("offsets backwards", PART, S("[0,98304]"), S("[98304,0]"), .says = "data_offsets"),
    BAD("one offset", PART, S("[0,98304]"), S("[0]"), .says = "data_offsets"),
    BAD("three offsets", PART, S("[0,98304]"), S("[0,98304,98304]"), .says = "data_offsets"),
    BAD("negative offset", PART, S("[0,98304]"), S("[-98304,0]"), .says = "negative"),
    BAD("offset past the end", PART, S("[0,98304]"), S("[1000000000,1000098304]"), .says = "cut off"),
    BAD("offset 2^63-1", PART, S("[0,98304]"), S("[0,9223372036854775807]"), .says = "span"),
    BAD("offset 2^64", PART, S("[0,98304]"), S("[0,18446744073709551616]")),
    BAD("misaligned", PART, S("[0,98304]"), S("[1,98305]"), .says = "hole"),
    BAD("overlap", PART, S("[98304,98560]"), S("[98048,98304]"), .says = "overlap"),
    BAD("a hole", PART, S(NORM),
        S("\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[1,1]},"
          "\"model.norm.weight2\":")),
    BAD("more data than tensors", REPEAT, S(""), S("\2\0\0\0\0\0\0\0{}data"), .n = 0, .says = "4 bytes of it"),
    BAD("empty name", PART, S(NORM), S("\"\":"), .says = "empty"),
    BAD("name with NUL", PART, S(NORM), S("\"model.norm\\u0000\":"), .says = "NUL"),
    BAD("name with ESC", PART, S(NORM), S("\"\\u001b[2J\":"), .names = "'hf'"),
    BAD("name of broken UTF-8", PART, S(NORM), S("\"\xff\xfe\":"), .says = "UTF-8"),
    BAD("name with a lone surrogate", PART, S(NORM), S("\"\\udfff\":"), .says = "surrogate"),
    BAD("missing tensor", PART, S(NORM), S("\"model.norm.wight\":"), .names = "'hf'", .says = "missing"),
    BAD("unknown field", PART, S("\"dtype\":\"F32\""), S("\"dtipe\":\"F32\""), .says = "lacks"),
    BAD("zip", WHOLE, S(""), S("PK\3\4aaaaaaaaaaaaaaaaaaaaaaa")),
    BAD("absent", ABSENT, S(""), S(""), .names = "'hf'", .says = "model.safetensors"),
};

#define REGEX_HEAD "\"Regex\": \""

static const Row tokenizers[] = {
    OK("a part for other programs", PART, S("\"version\""), S("\"other\": {\"a\": [1]}, \"version\"")),
    BAD("empty", WHOLE, S(""), S("")),
    BAD("null", WHOLE, S(""), S("null"), .says = "object"),
    BAD("an empty object", WHOLE, S(""), S("{}"), .says = "model"),
    BAD("binary", WHOLE, S(""), S("\n\xc1\1\2\3")),
    BAD("cut", CUT, S(""), S(""), .n = 5000),
    BAD("cut in the model", CUT, S(""), S(""), .n = -100, .says = "ends"),
    BAD("something follows", REPEAT, S("{\"model\":{\"vocab\":{},\"merges\":[]}}"), S(""), .n = 2, .says = "follows"),
    BAD("nested 10^6 deep", REPEAT, S("{\"a\":"), S(""), .n = 1000000, .says = "nested"),
    BAD("model is null", WHOLE, S(""), S("{\"model\":null}"), .says = "model"),
    BAD("no vocabulary", WHOLE, S(""), S("{\"model\":{\"type\":\"BPE\",\"merges\":[]}}"), .says = "vocab"),
    BAD("empty vocabulary", WHOLE, S(""), S("{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}"),
        .says = "empty"),
    BAD("vocabulary as a list", PART, S("\"vocab\": {"), S("\"vocab\": [1], \"x\": {"), .says = "vocab"),
    BAD("vocabulary twice", PART, S("\"vocab\": {"), S("\"vocab\": {\"a\":0}, \"vocab\": {"), .says = "twice"),
    BAD("another kind", PART, S("\"BPE\""), S("\"WordPiece\\u001b\""), .says = "WordPiece"),
    BAD("kind as a number", PART, S("\"BPE\""), S("1"), .says = "type"),
    BAD("an id of 2^31", PART, S("\"vocab\": {"), S("\"vocab\": {\"zz\": 2147483648,"), .says = "out of range"),
    BAD("an id of -1", PART, S("\"vocab\": {"), S("\"vocab\": {\"zz\": -1,"), .says = "out of range"),
    BAD("an id of 2^63", PART, S("\"vocab\": {"), S("\"vocab\": {\"zz\": 9223372036854775808,"),
        .says = "whole number"),
    BAD("an id as text", PART, S("\"vocab\": {"), S("\"vocab\": {\"zz\": \"1\","), .says = "whole number"),
    BAD("two tokens of an id", PART, S("\"vocab\": {"), S("\"vocab\": {\"zz\": 0,"), .says = "two tokens"),
    BAD("a token twice", PART, S("\"vocab\": {"), S("\"vocab\": {\"!\": 400,"), .says = "two ids", .names = "'hf'"),
    BAD("merge without a space", PART, S("\"merges\": ["), S("\"merges\": [\"ab\","), .says = "merge 0"),
    BAD("merge of three", PART, S("\"merges\": ["), S("\"merges\": [\"a b c\","), .says = "merge 0"),
    BAD("merge as a number", PART, S("\"merges\": ["), S("\"merges\": [7,"), .says = "merge 0"),
    BAD("merge of one", PART, S("\"merges\": ["), S("\"merges\": [[\"a\"],"), .says = "merge 0"),
    BAD("merge of unknown tokens", PART, S("\"merges\": ["), S("\"merges\": [\"qq\\u001b zz\","), .names = "'hf'",
        .says = "qq"),
    BAD("merges as an object", PART, S("\"merges\": ["), S("\"merges\": {}, \"x\": ["), .says = "merges"),
    BAD("byte fallback", PART, S("\"byte_fallback\": false"), S("\"byte_fallback\": 3"), .says = "byte_fallback"),
    BAD("dropout", PART, S("\"dropout\": null"), S("\"dropout\": 0.1"), .says = "dropout"),
    BAD("unk that is no token", PART, S("\"unk_token\": null"), S("\"unk_token\": \"<unk>\""), .says = "<unk>"),
    BAD("normalizer", PART, S("\"normalizer\": null"), S("\"normalizer\": {\"type\": \"Nope\"}"), .says = "Nope"),
    BAD("normalizer as text", PART, S("\"normalizer\": null"), S("\"normalizer\": \"NFC\""), .says = "normalizer"),
    BAD("added tokens as text", PART, S("\"added_tokens\": ["), S("\"added_tokens\": \"x\", \"x\": ["),
        .says = "added_tok"),
    BAD("added token out of range", PART, S("\"id\": 336"), S("\"id\": 2000000000"), .says = "out of range"),
    BAD("added token negative", PART, S("\"id\": 336"), S("\"id\": -336"), .says = "out of range"),
    BAD("added token without id", PART, S("\"id\": 336"), S("\"ident\": 336"), .says = "out of range"),
    BAD("added token as a number", PART, S("\"content\": \"<|begin_of_text|>\""), S("\"content\": 1"),
        .says = "content"),
    BAD("pattern does not compile", PART, S(REGEX_HEAD), S(REGEX_HEAD "((((("), .names = "'hf'", .says = "pattern"),
    BAD("pattern of a nested set", PART, S(REGEX_HEAD), S(REGEX_HEAD "[a[b]]"), .says = "nested set"),
    BAD("pattern of groups 10^5 deep", PART, S(REGEX_HEAD), S(REGEX_HEAD "\\\\1(?R)"), .says = ""),
    BAD("pattern with NUL", PART, S(REGEX_HEAD), S(REGEX_HEAD "a\\u0000b"), .says = "NUL"),
    BAD("pattern that repeats 65536 times", PART, S(REGEX_HEAD), S(REGEX_HEAD "(a{65535}){65535}|"), .names = "'hf'"),
    BAD("behaviour", PART, S("\"Isolated\""), S("\"Removed\\u009b\""), .says = "Removed"),
    BAD("pre-tokenizer", PART, S("\"type\": \"Split\""), S("\"type\": \"Splat\""), .says = "Splat"),
    BAD("template id out of range", PART, S("336\n"), S("33600\n"), .says = "outside"),
    BAD("template without text", PART, S("\"id\": \"A\""), S("\"id\": \"C\""), .says = "'A'"),
    BAD("decoder", PART, S("\"decoder\": {"), S("\"decoder\": {\"type\": \"x\", \"z\": 1}, \"y\": {"),
        .says = "decoder"),
    BAD("absent", ABSENT, S(""), S("")),
};

static const Row tokenizer_configs[] = {
    OK("absent", ABSENT, S(""), S("")),
    OK("a template with ESC", PART, S("{% for"), S("\\u001b[31m{% for")),
    BAD("empty", WHOLE, S(""), S("")),
    BAD("cut", CUT, S(""), S(""), .n = 200),
    BAD("bos is no token", PART, S("\"bos_token\": \""), S("\"bos_token\": \"\\u001b"), .says = "bos_token"),
    BAD("bos as a number", PART, S("\"bos_token\": \""), S("\"bos_token\": 1, \"x\": \""), .says = "bos_token"),
    BAD("add_bos_token as text", PART, S("{"), S("{\"add_bos_token\": \"yes\","), .says = "add_bos_token"),
    BAD("template as a number", PART, S("\"chat_template\": \""), S("\"chat_template\": 1, \"x\": \""),
        .says = "template"),
    BAD("template with NUL", PART, S("{% for"), S("\\u0000{% for"), .says = "u0000"),
};

#define FIRST "\"model.norm.weight\": \""

static const Row indexes[] = {
    OK("more metadata", PART, S("{"), S("{\"other\": [[]],")),
    BAD("empty", WHOLE, S(""), S("")),
    BAD("a list", WHOLE, S(""), S("[]"), .says = "object"),
    BAD("no map", WHOLE, S(""), S("{}"), .says = "weight_map"),
    BAD("an empty map", WHOLE, S(""), S("{\"weight_map\":{}}"), .says = "weight_map"),
    BAD("map is a list", WHOLE, S(""), S("{\"weight_map\":[]}"), .says = "object"),
    BAD("cut", CUT, S(""), S(""), .n = 200, .says = "ends"),
    BAD("out of the folder", PART, S(FIRST), S(FIRST "../sharded/"), .says = "name a file"),
    BAD("absolute", PART, S(FIRST), S(FIRST "/etc/passwd"), .says = "name a file"),
    BAD("the folder", WHOLE, S(""), S("{\"weight_map\":{\"a\":\"..\"}}"), .says = "name a file"),
    BAD("NUL in a name", WHOLE, S(""), S("{\"weight_map\":{\"a\":\"b\\u0000\"}}"), .says = "name a file"),
    BAD("ESC in a name", WHOLE, S(""), S("{\"weight_map\":{\"\\u001b[2J\":\"\\u001b[31m\\n\"}}"), .names = "\\x1b[31m"),
    BAD("a name of 300 bytes", REPEAT, S("{\"weight_map\":{\"a\":\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"),
        S(""), .n = 7),
    BAD("a number", WHOLE, S(""), S("{\"weight_map\":{\"a\":1}}"), .says = "name a file"),
    BAD("a missing shard", WHOLE, S(""), S("{\"weight_map\":{\"a\":\"gone.safetensors\"}}"),
        .names = "gone.safetensors"),
    BAD("a folder as a shard", WHOLE, S(""), S("{\"weight_map\":{\"a\":\"sub\"}}"), .names = "sub",
        .says = "directory"),
    BAD("the config as a shard", WHOLE, S(""), S("{\"weight_map\":{\"a\":\"config.json\"}}"), .names = "config.json"),
    BAD("a tensor that is nowhere", PART, S(FIRST), S("\"extra\": \"model-00001-of-00002.safetensors\", " FIRST),
        .says = "extra"),
    BAD("a tensor that is not named", PART, S(FIRST), S("\"model.embed_tokens.weight\": \""), .says = ""),
};

/* ---- the folders ---- */

static const char *const parts[] = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                                    "model.safetensors"};

static void copy_good(const char *dir, size_t n) {
    char from[512], to[256];
    Buf b = {0};
    must(mkdir(dir, 0755) == 0, dir);
    for (size_t i = 0; i < n; i++) {
        snprintf(from, sizeof from, TEST_DATA "/llama3/%s", parts[i]);
        path_of(to, dir, parts[i]);
        get_file(from, &b);
        put_file(to, buf_view(&b));
    }
    buf_release(&b);
}

static void make_shards(const char *dir) {
    TensorFile f;
    Err e = {0};
    must(tensor_file_open("hf", &f, &e), e.msg);
    OutTensor *out = mem_alloc(f.n, sizeof *out);
    for (size_t i = 0; i < f.n; i++) {
        const Tensor *t = &f.tensors[i].t;
        out[i] = (OutTensor){.name = f.tensors[i].name.s, .dtype = t->dtype, .ndim = t->ndim, .data = t->data};
        memcpy(out[i].ne, t->ne, sizeof t->ne);
    }
    must(safetensors_write_dir(dir, 300000, out, f.n, &e), e.msg);
    free(out);
    f.close(&f);
}

void hf_cases(void) {
    copy_good("hf", COUNT_OF(parts));
    judge_model("hf: good", (Want){0, NULL, NULL}, "hf");
    judge_rows("hf", "config.json", configs, COUNT_OF(configs));
    judge_rows("hf", "generation_config.json", generations, COUNT_OF(generations));
    judge_rows("hf", "model.safetensors", weights, COUNT_OF(weights));
    judge_rows("hf", "tokenizer.json", tokenizers, COUNT_OF(tokenizers));
    judge_rows("hf", "tokenizer_config.json", tokenizer_configs, COUNT_OF(tokenizer_configs));
    copy_good("sharded", COUNT_OF(parts) - 1);
    make_shards("sharded");
    must(mkdir("sharded/sub", 0755) == 0, "sub");
    judge_model("sharded: good", (Want){0, NULL, NULL}, "sharded");
    judge_rows("sharded", "model.safetensors.index.json", indexes, COUNT_OF(indexes));
}
