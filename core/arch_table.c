/* The families. One row each; read it beside core/ops.def and core/build.c and you know every model. */
#include "core/arch.h"

#define FIELD(name) offsetof(Config, name)
#define NAMES(...)                                                                                                     \
    (const char *const[]) { __VA_ARGS__, NULL }

#define BASE     .norm_eps = 1e-6, .ctx = 2048, .rope = {.theta = 10000, .factor = 1}
#define LORA_ALL "q_proj+k_proj+v_proj+o_proj+gate_proj+up_proj+down_proj"

#define SIZE_KEYS                                                                                                      \
    {"num_hidden_layers", "block_count", KEY_INT, FIELD(layers), .required = true},                                    \
        {"hidden_size", "embedding_length", KEY_INT, FIELD(width), .required = true},                                  \
        {"intermediate_size", "feed_forward_length", KEY_INT, FIELD(ffn), .required = true},                           \
        {"num_attention_heads", "attention.head_count", KEY_INT, FIELD(heads), .required = true},                      \
        {"num_key_value_heads", "attention.head_count_kv", KEY_INT, FIELD(kv_heads)},                                  \
        {"head_dim", "attention.key_length", KEY_INT, FIELD(head_dim)},                                                \
        {"vocab_size", "vocab_size", KEY_INT, FIELD(vocab)},                                                           \
        {"max_position_embeddings", "context_length", KEY_INT, FIELD(ctx)},                                            \
        {"tie_word_embeddings", NULL, KEY_BOOL, FIELD(tied)}, {                                                        \
        "quantization_config", NULL, KEY_MUST, .must = "null"                                                          \
    }
#define RMS_KEY                                                                                                        \
    { "rms_norm_eps", "attention.layer_norm_rms_epsilon", KEY_FLOAT, FIELD(norm_eps) }
#define SILU_KEY                                                                                                       \
    { "hidden_act", NULL, KEY_MUST, .must = "silu" }

/* ---- llama: Llama 1-3, SmolLM, SmolLM2, TinyLlama and all that kept the shape ---- */

static const KeyRow llama_keys[] = {
    SIZE_KEYS,
    RMS_KEY,
    SILU_KEY,
    {NULL, "attention.sliding_window", KEY_INT, FIELD(window)},
    {"attention_bias", NULL, KEY_MUST, .must = "false"},
    {"mlp_bias", NULL, KEY_MUST, .must = "false"},
    {NULL, "expert_count", KEY_MUST, .must = "0"},
    {0},
};

#define EMBED_ROW                                                                                                      \
    {                                                                                                                  \
        PART_EMBED, "model.embed_tokens.weight", "token_embd.weight", { DIM_VOCAB, DIM_WIDTH }                         \
    }
#define QKV_ROWS(order)                                                                                                \
    {PART_Q, "model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", {DIM_Q, DIM_WIDTH}, order},            \
        {PART_K, "model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", {DIM_KV, DIM_WIDTH}, order}, {     \
        PART_V, "model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight", { DIM_KV, DIM_WIDTH }               \
    }
#define O_ROW                                                                                                          \
    {                                                                                                                  \
        PART_O, "model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight", { DIM_WIDTH, DIM_Q }           \
    }
#define ATTN_NORM_ROW(...)                                                                                             \
    { PART_ATTN_NORM, "model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", {DIM_WIDTH}, __VA_ARGS__ }
#define FFN_NORM_ROW                                                                                                   \
    {                                                                                                                  \
        PART_FFN_NORM, "model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight", { DIM_WIDTH }      \
    }
#define GATED_ROWS                                                                                                     \
    {PART_GATE, "model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight", {DIM_FFN, DIM_WIDTH}},               \
        {PART_UP, "model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight", {DIM_FFN, DIM_WIDTH}}, DOWN_ROW
#define DOWN_ROW                                                                                                       \
    {                                                                                                                  \
        PART_DOWN, "model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight", { DIM_WIDTH, DIM_FFN }            \
    }
#define NORM_ROW(...)                                                                                                  \
    { PART_NORM, "model.norm.weight", "output_norm.weight", {DIM_WIDTH}, __VA_ARGS__ }
#define HEAD_ROW                                                                                                       \
    { PART_HEAD, "lm_head.weight", "output.weight", {DIM_VOCAB, DIM_WIDTH}, .when = WHEN_UNTIED }

static const TensorRow llama_tensors[] = {
    EMBED_ROW, ATTN_NORM_ROW(0), QKV_ROWS(TRANSFORM_ROPE), O_ROW, FFN_NORM_ROW, GATED_ROWS, NORM_ROW(0), HEAD_ROW, {0},
};

/* ---- mistral: llama's shape with a window; Nemo has heads of a size of their own ---- */

static const KeyRow mistral_keys[] = {
    SIZE_KEYS, RMS_KEY, SILU_KEY, {"sliding_window", "attention.sliding_window", KEY_INT, FIELD(window), .none = true},
    {0},
};

const ArchRow arch_table[] = {
    {
        .name = "llama",
        .hf_models = NAMES("llama"),
        .gguf = "llama",
        .keys = llama_keys,
        .tensors = llama_tensors,
        .defaults = {BASE, .windows = true},
        .block = "model.layers.{}",
        .hf_ignored = NAMES("model.layers.*.self_attn.rotary_emb.inv_freq"),
        .lora_targets = LORA_ALL,
    },
    {
        .name = "mistral",
        .hf_models = NAMES("mistral"),
        .gguf = "llama",
        .keys = mistral_keys,
        .tensors = llama_tensors,
        .defaults = {BASE, .windows = true, .window = 4096, .kv_heads = 8},
        .block = "model.layers.{}",
        .hf_ignored = NAMES(NULL),
        .lora_targets = LORA_ALL,
    },
};
const size_t arch_count = COUNT_OF(arch_table);
