/* The sizes of published models by the names that people give them, and a rule for any other size. */
#include <stdlib.h>
#include <strings.h>

#include "core/init.h"

typedef struct Shape {
    const char *family, *size;
    int64_t layers, width, heads, kv_heads, head_dim, ffn, vocab; /* 0: the family has no such setting, or derives it */
    bool tied;
    int64_t experts, experts_used, expert_ffn;
    int64_t window; /* 0: what the family does, -1: none */
} Shape;

/* From their config.json: SmolLM2, Llama 2 to 3.3, TinyLlama, Mistral v0.3, Nemo, Mixtral, Qwen2.5, Qwen3, SmolLM3,
 * Phi-3-mini, Phi-4, Gemma 2, Gemma 3 (without its eyes), Phi-1.5, Phi-2, GPT-2. */
static const Shape shapes[] = {
    {"llama", "135M", 30, 576, 9, 3, 64, 1536, 49152, true},
    {"llama", "360M", 32, 960, 15, 5, 64, 2560, 49152, true},
    {"llama", "1B", 16, 2048, 32, 8, 64, 8192, 128256, true},
    {"llama", "1.1B", 22, 2048, 32, 4, 64, 5632, 32000, false},
    {"llama", "1.7B", 24, 2048, 32, 32, 64, 8192, 49152, true},
    {"llama", "3B", 28, 3072, 24, 8, 128, 8192, 128256, true},
    {"llama", "7B", 32, 4096, 32, 32, 128, 11008, 32000, false},
    {"llama", "8B", 32, 4096, 32, 8, 128, 14336, 128256, false},
    {"llama", "13B", 40, 5120, 40, 40, 128, 13824, 32000, false},
    {"llama", "70B", 80, 8192, 64, 8, 128, 28672, 128256, false},
    {"mistral", "7B", 32, 4096, 32, 8, 128, 14336, 32768, false, .window = -1},
    {"mistral", "12B", 40, 5120, 32, 8, 128, 14336, 131072, false, .window = -1},
    {"mixtral", "8x7B", 32, 4096, 32, 8, 128, 14336, 32000, false, .experts = 8, .experts_used = 2, .window = -1},
    {"qwen2", "0.5B", 24, 896, 14, 2, 64, 4864, 151936, true},
    {"qwen2", "1.5B", 28, 1536, 12, 2, 128, 8960, 151936, true},
    {"qwen2", "3B", 36, 2048, 16, 2, 128, 11008, 151936, true},
    {"qwen2", "7B", 28, 3584, 28, 4, 128, 18944, 152064, false},
    {"qwen2", "14B", 48, 5120, 40, 8, 128, 13824, 152064, false},
    {"qwen2", "32B", 64, 5120, 40, 8, 128, 27648, 152064, false},
    {"qwen3", "0.6B", 28, 1024, 16, 8, 128, 3072, 151936, true},
    {"qwen3", "1.7B", 28, 2048, 16, 8, 128, 6144, 151936, true},
    {"qwen3", "4B", 36, 2560, 32, 8, 128, 9728, 151936, true},
    {"qwen3", "8B", 36, 4096, 32, 8, 128, 12288, 151936, false},
    {"qwen3", "14B", 40, 5120, 40, 8, 128, 17408, 151936, false},
    {"qwen3", "32B", 64, 5120, 64, 8, 128, 25600, 151936, false},
    {"qwen3_moe", "30B", 48, 2048, 32, 4, 128, 6144, 151936, false, 128, 8, 768},
    {"smollm3", "3B", 36, 2048, 16, 4, 128, 11008, 128256, true},
    {"phi3", "3.8B", 32, 3072, 32, 32, 96, 8192, 32064, false},
    {"phi3", "14B", 40, 5120, 40, 10, 128, 17920, 100352, false},
    {"gemma2", "2B", 26, 2304, 8, 4, 256, 9216, 256000, true},
    {"gemma2", "9B", 42, 3584, 16, 8, 256, 14336, 256000, true},
    {"gemma3", "270M", 18, 640, 4, 1, 256, 2048, 262144, true, .window = 512},
    {"gemma3", "1B", 26, 1152, 4, 1, 256, 6912, 262144, true, .window = 512},
    {"gemma3", "4B", 34, 2560, 8, 4, 256, 10240, 262144, true, .window = 1024},
    {"gemma3", "12B", 48, 3840, 16, 8, 256, 15360, 262144, true, .window = 1024},
    {"phi", "1.3B", 24, 2048, 32, 32, 64, 8192, 51200, false},
    {"phi", "2.7B", 32, 2560, 32, 32, 80, 10240, 51200, false},
    {"gpt2", "124M", 12, 768, 12, 0, 0, 3072, 50257, true},
    {"gpt2", "355M", 24, 1024, 16, 0, 0, 4096, 50257, true},
    {"gpt2", "774M", 36, 1280, 20, 0, 0, 5120, 50257, true},
    {"gpt2", "1.5B", 48, 1600, 25, 0, 0, 6400, 50257, true},
};

static const Shape *shape_find(const ArchRow *arch, Str size) {
    for (const Shape *s = shapes; s < shapes + COUNT_OF(shapes); s++)
        if (strcmp(s->family, arch->name) == 0 && strlen(s->size) == size.n &&
            strncasecmp(s->size, size.s, size.n) == 0)
            return s;
    return NULL;
}

static void shape_names(const ArchRow *arch, Buf *out) {
    size_t n = 0;
    for (const Shape *s = shapes; s < shapes + COUNT_OF(shapes); s++)
        if (strcmp(s->family, arch->name) == 0) buf_printf(out, "%s%s", n++ ? ", " : "", s->size);
}

static void put_number(Arena *a, Value *given, const char *key, int64_t n) {
    if (n) value_put(a, given, str_of(key), n > 0 ? value_int(n) : (Value){.kind = VALUE_NULL});
}

/* Learned positions are weights, as many as GPT-2 has; others cost nothing. */
static void put_context(const ArchRow *arch, Arena *a, Value *given) {
    put_number(a, given, "max_position_embeddings", arch_has_part(arch, PART_POSITIONS) ? 1024 : 32768);
}

static void put_shape(const Shape *s, Arena *a, Value *given) {
    const struct {
        const char *key;
        int64_t n;
    } numbers[] = {{"num_hidden_layers", s->layers},
                   {"hidden_size", s->width},
                   {"num_attention_heads", s->heads},
                   {"num_key_value_heads", s->kv_heads},
                   {"head_dim", s->head_dim},
                   {"intermediate_size", s->ffn},
                   {"vocab_size", s->vocab},
                   {"num_local_experts", s->experts},
                   {"num_experts_per_tok", s->experts_used},
                   {"moe_intermediate_size", s->expert_ffn},
                   {"sliding_window", s->window}};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) put_number(a, given, numbers[i].key, numbers[i].n);
    value_put(a, given, STR("tie_word_embeddings"), value_bool(s->tied));
}

/* ---- any other size ---- */

enum { WIDTH_STEP = 64, WIDTH_STEPS = 512 };

/* "350M", "2.5b" */
static bool read_count(Str size, double *count) {
    char text[32], *end;
    if (!size.n || size.n >= sizeof text) return false;
    memcpy(text, size.s, size.n);
    text[size.n] = 0;
    *count = strtod(text, &end);
    const double unit = strcasecmp(end, "K") == 0 ? 1e3 : strcasecmp(end, "M") == 0 ? 1e6 : 1e9;
    if (end == text || (unit >= 1e9 && strcasecmp(end, "B") != 0)) return false;
    *count *= unit;
    return *count >= 1 && *count < 1e15;
}

/* A power of two, so that the embedding is a smaller part of larger models. */
static int64_t vocab_for(double count) {
    int64_t vocab = 512;
    while (vocab < 131072 && (double)vocab * 2 * 2048 <= count) vocab *= 2;
    return vocab;
}

static void put_width(const ArchRow *arch, int64_t width, int64_t vocab, Arena *a, Value *given) {
    *given = (Value){.kind = VALUE_OBJECT};
    put_number(a, given, "hidden_size", width);
    put_number(a, given, "vocab_size", vocab);
    put_context(arch, a, given);
}

static bool params_of(const ArchRow *arch, int64_t width, int64_t vocab, int64_t *params, Err *e) {
    Arena a = {0};
    Value given;
    Model m;
    put_width(arch, width, vocab, &a, &given);
    const bool ok = init_model(&m, arch, &given, &(InitDefaults){.ctx = 1}, (Log){0}, e);
    if (ok) *params = m.params, model_release(&m);
    arena_release(&a);
    return ok;
}

static bool derive(const ArchRow *arch, double count, Arena *a, Value *given, Err *e) {
    const int64_t vocab = vocab_for(count);
    int64_t lo = 1, hi = WIDTH_STEPS + 1, params;
    TRY(params_of(arch, WIDTH_STEP, vocab, &params, e));
    if ((double)params > count)
        return err_set(e, ERR_USAGE, "a model of family '%s' has at least %lld parameters", arch->name,
                       (long long)params);
    while (hi - lo > 1) { /* lo fits, hi is too wide */
        const int64_t middle = (lo + hi) / 2;
        const bool fits = params_of(arch, middle * WIDTH_STEP, vocab, &params, NULL) && (double)params <= count;
        *(fits ? &lo : &hi) = middle;
    }
    put_width(arch, lo * WIDTH_STEP, vocab, a, given);
    return true;
}

bool init_shape(const ArchRow *arch, Str size, Arena *a, Value *given, Err *e) {
    const Shape *known = shape_find(arch, size);
    double count;
    *given = (Value){.kind = VALUE_OBJECT};
    if (known) {
        put_shape(known, a, given);
        put_context(arch, a, given);
        return true;
    }
    if (read_count(size, &count)) return derive(arch, count, a, given, e);
    Buf names = {0};
    shape_names(arch, &names);
    err_set(e, ERR_USAGE, "'%.*s' is no size of family '%s'; known: %s, or a number of parameters such as 350M or 2B",
            (int)MIN(size.n, (size_t)40), size.s, arch->name, names.s);
    buf_release(&names);
    return false;
}
