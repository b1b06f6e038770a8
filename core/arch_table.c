/* The families. One row each; read it beside core/ops.def and core/build.c and you know every model. */
#include "core/arch.h"

#define FIELD(name) offsetof(Config, name)
#define NAMES(...)                                                                                                     \
    (const char *const[]) { __VA_ARGS__, NULL }

/* ---- llama: Llama 1-3, SmolLM, SmolLM2, TinyLlama and all that kept the shape ---- */

static const KeyRow llama_keys[] = {
    {"num_hidden_layers", "block_count", KEY_INT, FIELD(layers), .required = true},
    {"hidden_size", "embedding_length", KEY_INT, FIELD(width), .required = true},
    {"intermediate_size", "feed_forward_length", KEY_INT, FIELD(ffn), .required = true},
    {"num_attention_heads", "attention.head_count", KEY_INT, FIELD(heads), .required = true},
    {"num_key_value_heads", "attention.head_count_kv", KEY_INT, FIELD(kv_heads)},
    {"head_dim", "attention.key_length", KEY_INT, FIELD(head_dim)},
    {"vocab_size", "vocab_size", KEY_INT, FIELD(vocab)},
    {"max_position_embeddings", "context_length", KEY_INT, FIELD(ctx)},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", KEY_FLOAT, FIELD(norm_eps)},
    {"tie_word_embeddings", NULL, KEY_BOOL, FIELD(tied)},
    {"hidden_act", NULL, KEY_MUST, .must = "silu"},
    {"attention_bias", NULL, KEY_MUST, .must = "false"},
    {"mlp_bias", NULL, KEY_MUST, .must = "false"},
    {"quantization_config", NULL, KEY_MUST, .must = "null"},
    {NULL, "expert_count", KEY_MUST, .must = "0"},
    {0},
};

static const TensorRow llama_tensors[] = {
    {"model.embed_tokens.weight", "token_embd.weight", {DIM_VOCAB, DIM_WIDTH}},
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", {DIM_WIDTH}},
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", {DIM_Q, DIM_WIDTH}, TRANSFORM_ROPE},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", {DIM_KV, DIM_WIDTH}, TRANSFORM_ROPE},
    {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight", {DIM_KV, DIM_WIDTH}},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight", {DIM_WIDTH, DIM_Q}},
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight", {DIM_WIDTH}},
    {"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight", {DIM_FFN, DIM_WIDTH}},
    {"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight", {DIM_FFN, DIM_WIDTH}},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight", {DIM_WIDTH, DIM_FFN}},
    {"model.norm.weight", "output_norm.weight", {DIM_WIDTH}},
    {"lm_head.weight", "output.weight", {DIM_VOCAB, DIM_WIDTH}, .when = WHEN_UNTIED},
    {0},
};

const ArchRow arch_table[] = {
    {
        .name = "llama",
        .hf_models = NAMES("llama"),
        .gguf = "llama",
        .keys = llama_keys,
        .tensors = llama_tensors,
        .hf_ignored = NAMES("model.layers.*.self_attn.rotary_emb.inv_freq"),
        .lora_targets = "q_proj+k_proj+v_proj+o_proj+gate_proj+up_proj+down_proj",
    },
};
const size_t arch_count = COUNT_OF(arch_table);
