/* A Llama of any size with random weights, as a Hugging Face directory: for what needs a larger model than those of the
 * tests' data, and no meaning. Its tokenizer is the small llama3's. */
#ifndef TESTS_RANDOM_MODEL_H
#define TESTS_RANDOM_MODEL_H

#include "core/rng.h"
#include "oracle.h"

typedef struct RandomModel {
    int64_t layers, width, heads, kv_heads, ffn, vocab, ctx;
    bool tied;
} RandomModel;

static bool emit_random(void *ctx, const OutTensor *t, Sink to, Err *e) {
    enum { PART = 1 << 14 };
    float part[PART];
    int64_t n = t->ndim == 1 ? t->ne[0] : t->ne[0] * t->ne[1];
    for (int64_t at = 0; at < n; at += PART) {
        int64_t here = MIN(n - at, PART);
        for (int64_t i = 0; i < here; i++)
            part[i] = t->ndim == 1 ? 1 : 0.07f * (float)(rng_uniform((uint64_t)ctx, 0, (uint64_t)(at + i), 0) - 0.5);
        TRY(to.write(to.ctx, part, (size_t)here * sizeof *part, e));
    }
    return true;
}

typedef struct RandomTensors {
    OutTensor *v;
    size_t n;
    Arena *a;
} RandomTensors;

static void random_tensor(RandomTensors *r, const char *name, int64_t rows, int64_t cols) {
    r->v[r->n] = (OutTensor){.name = name,
                             .dtype = DT_f32,
                             .ndim = rows ? 2 : 1,
                             .ne = {rows ? rows : cols, rows ? cols : 1, 1, 1},
                             .emit = emit_random,
                             .ctx = (void *)(uintptr_t)r->n};
    r->n++;
}

static void random_layer(RandomTensors *r, const RandomModel *m, int64_t layer) {
    const int64_t kv = m->width / m->heads * m->kv_heads, D = m->width, F = m->ffn;
    const struct {
        const char *name;
        int64_t rows, cols;
    } parts[] = {{"input_layernorm", 0, D},   {"self_attn.q_proj", D, D}, {"self_attn.k_proj", kv, D},
                 {"self_attn.v_proj", kv, D}, {"self_attn.o_proj", D, D}, {"post_attention_layernorm", 0, D},
                 {"mlp.gate_proj", F, D},     {"mlp.up_proj", F, D},      {"mlp.down_proj", D, F}};
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        random_tensor(r, arena_printf(r->a, "model.layers.%d.%s.weight", (int)layer, parts[i].name), parts[i].rows,
                      parts[i].cols);
}

static inline void random_model_write(const RandomModel *m, const char *dir) {
    Arena a = {0};
    Buf config = {0};
    Err e = {0};
    RandomTensors r = {ARENA_NEW(&a, OutTensor, m->layers * 9 + 3), 0, &a};
    random_tensor(&r, "model.embed_tokens.weight", m->vocab, m->width);
    for (int64_t i = 0; i < m->layers; i++) random_layer(&r, m, i);
    random_tensor(&r, "model.norm.weight", 0, m->width);
    if (!m->tied) random_tensor(&r, "lm_head.weight", m->vocab, m->width);
    OK(safetensors_write_dir(dir, 0, r.v, r.n, &e), e);
    buf_printf(&config,
               "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"vocab_size\": %d, "
               "\"hidden_size\": %d, \"intermediate_size\": %d, \"num_hidden_layers\": %d, \"num_attention_heads\": "
               "%d, \"num_key_value_heads\": %d, \"max_position_embeddings\": %d, \"rms_norm_eps\": 1e-05, "
               "\"rope_theta\": 10000.0, \"hidden_act\": \"silu\", \"tie_word_embeddings\": %s, \"bos_token_id\": 336, "
               "\"eos_token_id\": 337}\n",
               (int)m->vocab, (int)m->width, (int)m->ffn, (int)m->layers, (int)m->heads, (int)m->kv_heads, (int)m->ctx,
               m->tied ? "true" : "false");
    OK(write_text_file(arena_printf(&a, "%s/config.json", dir), buf_view(&config), &e), e);
    static const char *const beside[] = {"tokenizer.json", "tokenizer_config.json"};
    for (size_t i = 0; i < COUNT_OF(beside); i++) {
        Mapping file;
        OK(map_file(arena_printf(&a, TEST_DATA "/llama3/%s", beside[i]), &file, &e), e);
        OK(write_text_file(arena_printf(&a, "%s/%s", dir, beside[i]), (Str){file.bytes, file.n}, &e), e);
        unmap_file(&file);
    }
    buf_release(&config);
    arena_release(&a);
}

#endif
