/* The families. One row each; read it beside core/ops.def and core/build.c and you know every model. */
#include "core/arch.h"

#define FIELD(name) offsetof(Config, name)
#define NAMES(...)                                                                                                     \
    (const char *const[]) { __VA_ARGS__, NULL }

#define BASE(base, eps) .norm_eps = (eps), .rope = {.theta = (base), .factor = 1, .beta_fast = 32, .beta_slow = 1}
#define LORA_ALL        "q_proj+k_proj+v_proj+o_proj+gate_proj+up_proj+down_proj"

#define SIZE_KEYS                                                                                                      \
    {"num_hidden_layers", "block_count", KEY_INT, FIELD(layers), .required = true},                                    \
        {"hidden_size", "embedding_length", KEY_INT, FIELD(width), .required = true},                                  \
        {"intermediate_size", "feed_forward_length", KEY_INT, FIELD(ffn), .required = true},                           \
        {"num_attention_heads", "attention.head_count", KEY_INT, FIELD(heads), .required = true},                      \
        {"num_key_value_heads", "attention.head_count_kv", KEY_INT, FIELD(kv_heads)},                                  \
        {NULL, "attention.value_length", KEY_INT, FIELD(head_dim)},                                                    \
        {"head_dim", "attention.key_length", KEY_INT, FIELD(head_dim)},                                                \
        {"vocab_size", "vocab_size", KEY_INT, FIELD(vocab)},                                                           \
        {"max_position_embeddings", "context_length", KEY_INT, FIELD(ctx)},                                            \
        {"tie_word_embeddings", NULL, KEY_BOOL, FIELD(tied)}, {                                                        \
        "quantization_config", NULL, KEY_SCHEME, 0                                                                     \
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
#define GATED_ROWS(...)                                                                                                \
    {PART_GATE, "model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight", {DIM_FFN, DIM_WIDTH}, __VA_ARGS__},  \
        {PART_UP, "model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight", {DIM_FFN, DIM_WIDTH}, __VA_ARGS__},    \
        DOWN_ROW(__VA_ARGS__)
#define DOWN_ROW(...)                                                                                                  \
    { PART_DOWN, "model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight", {DIM_WIDTH, DIM_FFN}, __VA_ARGS__ }
#define NORM_ROW(...)                                                                                                  \
    { PART_NORM, "model.norm.weight", "output_norm.weight", {DIM_WIDTH}, __VA_ARGS__ }
#define HEAD_ROW                                                                                                       \
    { PART_HEAD, "lm_head.weight", "output.weight", {DIM_VOCAB, DIM_WIDTH}, .when = WHEN_UNTIED }

static const TensorRow llama_tensors[] = {
    EMBED_ROW, ATTN_NORM_ROW(0), QKV_ROWS(TRANSFORM_ROPE), O_ROW, FFN_NORM_ROW, GATED_ROWS(0), NORM_ROW(0), HEAD_ROW,
    {0},
};

/* ---- mistral: llama's shape with a window; Nemo has heads of a size of their own ---- */

static const KeyRow mistral_keys[] = {
    SIZE_KEYS, RMS_KEY, SILU_KEY, {"sliding_window", "attention.sliding_window", KEY_INT, FIELD(window), .none = true},
    {0},
};

/* ---- qwen2: llama's shape with biases of q, k and v; windows from a layer on where they are switched on ---- */

#define QWEN_WINDOW_KEYS                                                                                               \
    {"sliding_window", NULL, KEY_INT, FIELD(window), .none = true},                                                    \
        {"use_sliding_window", NULL, KEY_BOOL, FIELD(windows)},                                                        \
        {"max_window_layers", NULL, KEY_INT, FIELD(window_from)}, {                                                    \
        "layer_types", NULL, KEY_LIST, FIELD(kinds)                                                                    \
    }

static const KeyRow qwen2_keys[] = {SIZE_KEYS, RMS_KEY, SILU_KEY, QWEN_WINDOW_KEYS, {0}};

#define QKV_BIAS_ROWS                                                                                                  \
    {PART_BIAS, "model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias", {DIM_Q}},                               \
        {PART_BIAS, "model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias", {DIM_KV}}, {                        \
        PART_BIAS, "model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias", { DIM_KV }                           \
    }

static const TensorRow qwen2_tensors[] = {
    EMBED_ROW,    ATTN_NORM_ROW(0), QKV_ROWS(0), QKV_BIAS_ROWS, O_ROW,
    FFN_NORM_ROW, GATED_ROWS(0),    NORM_ROW(0), HEAD_ROW,      {0},
};

/* ---- qwen3: norms of each head's queries and keys instead of biases ---- */

static const KeyRow qwen3_keys[] = {
    SIZE_KEYS, RMS_KEY, SILU_KEY, QWEN_WINDOW_KEYS, {"attention_bias", NULL, KEY_MUST, .must = "false"}, {0},
};

#define QK_NORM_ROWS(...)                                                                                              \
    {PART_Q_NORM, "model.layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight", {DIM_HEAD}, __VA_ARGS__}, {  \
        PART_K_NORM, "model.layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight", {DIM_HEAD}, __VA_ARGS__   \
    }

static const TensorRow qwen3_tensors[] = {
    EMBED_ROW,    ATTN_NORM_ROW(0), QKV_ROWS(0), QK_NORM_ROWS(0), O_ROW,
    FFN_NORM_ROW, GATED_ROWS(0),    NORM_ROW(0), HEAD_ROW,        {0},
};

/* ---- mixtral, qwen3_moe: in place of the mlp a router and experts, of which each token meets a few ---- */

/* The count stands under either name in config.json. */
#define EXPERT_KEYS                                                                                                    \
    {"num_local_experts", "expert_count", KEY_INT, FIELD(experts)},                                                    \
        {"num_experts", "expert_count", KEY_INT, FIELD(experts)}, {                                                    \
        "num_experts_per_tok", "expert_used_count", KEY_INT, FIELD(experts_used), .required = true                     \
    }
#define EXPERT_ROWS(at, gate, up, down)                                                                                \
    {PART_ROUTER, at "gate.weight", "blk.{}.ffn_gate_inp.weight", {DIM_EXPERTS, DIM_WIDTH}, .when = WHEN_EXPERTS},     \
        {PART_EXPERTS_GATE,                                                                                            \
         at "experts.{}." gate ".weight",                                                                              \
         "blk.{}.ffn_gate_exps.weight",                                                                                \
         {DIM_EXPERTS, DIM_EXPERT_FFN, DIM_WIDTH},                                                                     \
         .when = WHEN_EXPERTS,                                                                                         \
         .gguf_each = "blk.{}.ffn_gate.{}.weight"},                                                                    \
        {PART_EXPERTS_UP,                                                                                              \
         at "experts.{}." up ".weight",                                                                                \
         "blk.{}.ffn_up_exps.weight",                                                                                  \
         {DIM_EXPERTS, DIM_EXPERT_FFN, DIM_WIDTH},                                                                     \
         .when = WHEN_EXPERTS,                                                                                         \
         .gguf_each = "blk.{}.ffn_up.{}.weight"},                                                                      \
    {                                                                                                                  \
        PART_EXPERTS_DOWN, at "experts.{}." down ".weight", "blk.{}.ffn_down_exps.weight",                             \
            {DIM_EXPERTS, DIM_WIDTH, DIM_EXPERT_FFN}, .when = WHEN_EXPERTS, .gguf_each = "blk.{}.ffn_down.{}.weight"   \
    }
#define LORA_ATTENTION "q_proj+k_proj+v_proj+o_proj"

static const KeyRow mixtral_keys[] = {
    SIZE_KEYS,
    RMS_KEY,
    SILU_KEY,
    EXPERT_KEYS,
    {"sliding_window", "attention.sliding_window", KEY_INT, FIELD(window), .none = true},
    {0},
};

static const TensorRow mixtral_tensors[] = {
    EMBED_ROW,   ATTN_NORM_ROW(0), QKV_ROWS(TRANSFORM_ROPE),
    O_ROW,       FFN_NORM_ROW,     EXPERT_ROWS("model.layers.{}.block_sparse_moe.", "w1", "w3", "w2"),
    NORM_ROW(0), HEAD_ROW,         {0},
};

/* GGUF's family has experts in all layers, their weights normalised. */
static const KeyRow qwen3_moe_keys[] = {
    SIZE_KEYS,
    RMS_KEY,
    SILU_KEY,
    EXPERT_KEYS,
    {"moe_intermediate_size", "expert_feed_forward_length", KEY_INT, FIELD(expert_ffn), .required = true},
    {"norm_topk_prob", NULL, KEY_BOOL, FIELD(experts_normalised), .required = true},
    {"decoder_sparse_step", NULL, KEY_INT, FIELD(experts_period)},
    {"mlp_only_layers", NULL, KEY_LIST, FIELD(dense)},
    {"sliding_window", NULL, KEY_INT, FIELD(window), .none = true},
    {"use_sliding_window", NULL, KEY_BOOL, FIELD(windows)},
    {"attention_bias", NULL, KEY_MUST, .must = "false"},
    {0},
};

static const TensorRow qwen3_moe_tensors[] = {
    EMBED_ROW,
    ATTN_NORM_ROW(0),
    QKV_ROWS(0),
    QK_NORM_ROWS(0),
    O_ROW,
    FFN_NORM_ROW,
    EXPERT_ROWS("model.layers.{}.mlp.", "gate_proj", "up_proj", "down_proj"),
    GATED_ROWS(.when = WHEN_DENSE),
    NORM_ROW(0),
    HEAD_ROW,
    {0},
};

/* ---- smollm3: every fourth layer without rotary positions ---- */

static const KeyRow smollm3_keys[] = {
    SIZE_KEYS,
    RMS_KEY,
    SILU_KEY,
    {"use_sliding_window", NULL, KEY_MUST, .must = "false"},
    {"layer_types", NULL, KEY_MUST_ALL, .must = "full_attention"},
    {"no_rope_layer_interval", NULL, KEY_INT, FIELD(nope_period)},
    {"no_rope_layers", NULL, KEY_LIST, FIELD(rotated)},
    {"attention_bias", NULL, KEY_MUST, .must = "false"},
    {"mlp_bias", NULL, KEY_MUST, .must = "false"},
    {0},
};

/* ---- phi3: Phi-3, Phi-3.5, Phi-4; q, k, v and gate, up are one weight each ---- */

static const KeyRow phi3_keys[] = {
    SIZE_KEYS,
    RMS_KEY,
    SILU_KEY,
    {"sliding_window", "attention.sliding_window", KEY_INT, FIELD(window), .none = true},
    {"attention_bias", NULL, KEY_MUST, .must = "false"},
    {0},
};

static const TensorRow phi3_tensors[] = {
    EMBED_ROW,
    ATTN_NORM_ROW(0),
    {PART_QKV, "model.layers.{}.self_attn.qkv_proj.weight", "blk.{}.attn_qkv.weight", {DIM_QKV, DIM_WIDTH}},
    O_ROW,
    FFN_NORM_ROW,
    {PART_GATE_UP, "model.layers.{}.mlp.gate_up_proj.weight", "blk.{}.ffn_up.weight", {DIM_FFN2, DIM_WIDTH}},
    DOWN_ROW(0),
    NORM_ROW(0),
    HEAD_ROW,
    {0},
};

/* ---- gemma2, gemma3: norms with 1 + w before and after each branch, scaled embedding, windows in most layers ---- */

#define GEMMA_KEYS                                                                                                     \
    {"hidden_activation", NULL, KEY_MUST, .must = "gelu_pytorch_tanh"},                                                \
        {"attention_bias", NULL, KEY_MUST, .must = "false"},                                                           \
        {"query_pre_attn_scalar", NULL, KEY_FLOAT, FIELD(query_scalar)},                                               \
        {"attn_logit_softcapping", "attn_logit_softcapping", KEY_FLOAT, FIELD(attn_softcap), .none = true},            \
        {"final_logit_softcapping", "final_logit_softcapping", KEY_FLOAT, FIELD(logit_softcap), .none = true},         \
        {"sliding_window", "attention.sliding_window", KEY_INT, FIELD(window), .none = true},                          \
        {"layer_types", NULL, KEY_LIST, FIELD(kinds)}, {                                                               \
        "use_bidirectional_attention", NULL, KEY_MUST, .must = "false"                                                 \
    }

static const KeyRow gemma2_keys[] = {
    SIZE_KEYS, RMS_KEY, GEMMA_KEYS, {NULL, "attention.sliding_window_pattern", KEY_PATTERN, FIELD(window_period)}, {0},
};

static const KeyRow gemma3_keys[] = {
    SIZE_KEYS,
    RMS_KEY,
    GEMMA_KEYS,
    {"sliding_window_pattern", "attention.sliding_window_pattern", KEY_PATTERN, FIELD(window_period)},
    {"rope_local_base_freq", "rope.freq_base_swa", KEY_FLOAT, FIELD(local.theta)},
    {"rope_parameters.sliding_attention.rope_theta", "rope.freq_base_swa", KEY_FLOAT, FIELD(local.theta)},
    {"rope_parameters.sliding_attention.rope_type", NULL, KEY_MUST, .must = "default"},
    {0},
};

#define GEMMA_NORM_ROWS                                                                                                \
    {PART_ATTN_POST_NORM,                                                                                              \
     "model.layers.{}.post_attention_layernorm.weight",                                                                \
     "blk.{}.post_attention_norm.weight",                                                                              \
     {DIM_WIDTH},                                                                                                      \
     TRANSFORM_PLUS_ONE},                                                                                              \
        {PART_FFN_NORM,                                                                                                \
         "model.layers.{}.pre_feedforward_layernorm.weight",                                                           \
         "blk.{}.ffn_norm.weight",                                                                                     \
         {DIM_WIDTH},                                                                                                  \
         TRANSFORM_PLUS_ONE},                                                                                          \
    {                                                                                                                  \
        PART_FFN_POST_NORM, "model.layers.{}.post_feedforward_layernorm.weight", "blk.{}.post_ffw_norm.weight",        \
            {DIM_WIDTH}, TRANSFORM_PLUS_ONE                                                                            \
    }

static const TensorRow gemma2_tensors[] = {
    EMBED_ROW,     ATTN_NORM_ROW(TRANSFORM_PLUS_ONE), QKV_ROWS(0), O_ROW, GEMMA_NORM_ROWS,
    GATED_ROWS(0), NORM_ROW(TRANSFORM_PLUS_ONE),      HEAD_ROW,    {0},
};

static const TensorRow gemma3_tensors[] = {
    EMBED_ROW,     ATTN_NORM_ROW(TRANSFORM_PLUS_ONE),
    QKV_ROWS(0),   QK_NORM_ROWS(TRANSFORM_PLUS_ONE),
    O_ROW,         GEMMA_NORM_ROWS,
    GATED_ROWS(0), NORM_ROW(TRANSFORM_PLUS_ONE),
    HEAD_ROW,      {0},
};

/* ---- phi: Phi-1, Phi-1.5, Phi-2; layer norms, biases, attention and mlp side by side ---- */

static const KeyRow phi_keys[] = {
    SIZE_KEYS,
    {"layer_norm_eps", "attention.layer_norm_epsilon", KEY_FLOAT, FIELD(norm_eps)},
    {"hidden_act", NULL, KEY_MUST, .must = "gelu_new"},
    {"qk_layernorm", NULL, KEY_MUST, .must = "false"},
    {0},
};

static const TensorRow phi_tensors[] = {
    EMBED_ROW,
    ATTN_NORM_ROW(0),
    {PART_BIAS, "model.layers.{}.input_layernorm.bias", "blk.{}.attn_norm.bias", {DIM_WIDTH}},
    QKV_ROWS(0),
    QKV_BIAS_ROWS,
    {PART_O, "model.layers.{}.self_attn.dense.weight", "blk.{}.attn_output.weight", {DIM_WIDTH, DIM_Q}},
    {PART_BIAS, "model.layers.{}.self_attn.dense.bias", "blk.{}.attn_output.bias", {DIM_WIDTH}},
    {PART_UP, "model.layers.{}.mlp.fc1.weight", "blk.{}.ffn_up.weight", {DIM_FFN, DIM_WIDTH}},
    {PART_BIAS, "model.layers.{}.mlp.fc1.bias", "blk.{}.ffn_up.bias", {DIM_FFN}},
    {PART_DOWN, "model.layers.{}.mlp.fc2.weight", "blk.{}.ffn_down.weight", {DIM_WIDTH, DIM_FFN}},
    {PART_BIAS, "model.layers.{}.mlp.fc2.bias", "blk.{}.ffn_down.bias", {DIM_WIDTH}},
    {PART_NORM, "model.final_layernorm.weight", "output_norm.weight", {DIM_WIDTH}},
    {PART_BIAS, "model.final_layernorm.bias", "output_norm.bias", {DIM_WIDTH}},
    HEAD_ROW,
    {PART_BIAS, "lm_head.bias", "output.bias", {DIM_VOCAB}},
    {0},
};

/* ---- gpt2: learned positions, one weight of q, k and v, weights stored the other way round ---- */

static const KeyRow gpt2_keys[] = {
    {"n_layer", "block_count", KEY_INT, FIELD(layers), .required = true},
    {"n_embd", "embedding_length", KEY_INT, FIELD(width), .required = true},
    {"n_inner", "feed_forward_length", KEY_INT, FIELD(ffn)},
    {"n_head", "attention.head_count", KEY_INT, FIELD(heads), .required = true},
    {"vocab_size", "vocab_size", KEY_INT, FIELD(vocab)},
    {"n_positions", "context_length", KEY_INT, FIELD(ctx)},
    {"layer_norm_epsilon", "attention.layer_norm_epsilon", KEY_FLOAT, FIELD(norm_eps)},
    {"tie_word_embeddings", NULL, KEY_BOOL, FIELD(tied)},
    {"activation_function", NULL, KEY_MUST, .must = "gelu_new"},
    {"scale_attn_weights", NULL, KEY_MUST, .must = "true"},
    {"scale_attn_by_inverse_layer_idx", NULL, KEY_MUST, .must = "false"},
    {"add_cross_attention", NULL, KEY_MUST, .must = "false"},
    {"quantization_config", NULL, KEY_SCHEME, 0},
    {0},
};

#define GPT2(name) "transformer.h.{}." name

static const TensorRow gpt2_tensors[] = {
    {PART_EMBED, "transformer.wte.weight", "token_embd.weight", {DIM_VOCAB, DIM_WIDTH}},
    {PART_POSITIONS, "transformer.wpe.weight", "position_embd.weight", {DIM_CTX, DIM_WIDTH}},
    {PART_ATTN_NORM, GPT2("ln_1.weight"), "blk.{}.attn_norm.weight", {DIM_WIDTH}},
    {PART_BIAS, GPT2("ln_1.bias"), "blk.{}.attn_norm.bias", {DIM_WIDTH}},
    {PART_QKV, GPT2("attn.c_attn.weight"), "blk.{}.attn_qkv.weight", {DIM_QKV, DIM_WIDTH}, .hf_transposed = true},
    {PART_BIAS, GPT2("attn.c_attn.bias"), "blk.{}.attn_qkv.bias", {DIM_QKV}},
    {PART_O, GPT2("attn.c_proj.weight"), "blk.{}.attn_output.weight", {DIM_WIDTH, DIM_Q}, .hf_transposed = true},
    {PART_BIAS, GPT2("attn.c_proj.bias"), "blk.{}.attn_output.bias", {DIM_WIDTH}},
    {PART_FFN_NORM, GPT2("ln_2.weight"), "blk.{}.ffn_norm.weight", {DIM_WIDTH}},
    {PART_BIAS, GPT2("ln_2.bias"), "blk.{}.ffn_norm.bias", {DIM_WIDTH}},
    {PART_UP, GPT2("mlp.c_fc.weight"), "blk.{}.ffn_up.weight", {DIM_FFN, DIM_WIDTH}, .hf_transposed = true},
    {PART_BIAS, GPT2("mlp.c_fc.bias"), "blk.{}.ffn_up.bias", {DIM_FFN}},
    {PART_DOWN, GPT2("mlp.c_proj.weight"), "blk.{}.ffn_down.weight", {DIM_WIDTH, DIM_FFN}, .hf_transposed = true},
    {PART_BIAS, GPT2("mlp.c_proj.bias"), "blk.{}.ffn_down.bias", {DIM_WIDTH}},
    {PART_NORM, "transformer.ln_f.weight", "output_norm.weight", {DIM_WIDTH}},
    {PART_BIAS, "transformer.ln_f.bias", "output_norm.bias", {DIM_WIDTH}},
    HEAD_ROW,
    {0},
};

const ArchRow arch_table[] = {
    {
        .name = "llama",
        .hf_models = NAMES("llama"),
        .hf_class = "LlamaForCausalLM",
        .gguf = "llama",
        .keys = llama_keys,
        .tensors = llama_tensors,
        .defaults = {BASE(10000, 1e-6), .windows = true},
        .hf_ignored = NAMES("model.layers.*.self_attn.rotary_emb.inv_freq"),
        .lora_targets = LORA_ALL,
    },
    {
        .name = "mistral",
        .hf_models = NAMES("mistral"),
        .hf_class = "MistralForCausalLM",
        .gguf = "llama",
        .keys = mistral_keys,
        .tensors = llama_tensors,
        .defaults = {BASE(10000, 1e-6), .windows = true, .window = 4096, .kv_heads = 8},
        .lora_targets = LORA_ALL,
    },
    {
        .name = "mixtral",
        .hf_models = NAMES("mixtral"),
        .hf_class = "MixtralForCausalLM",
        .gguf = "llama",
        .gguf_when = "expert_count",
        .keys = mixtral_keys,
        .tensors = mixtral_tensors,
        .defaults = {BASE(1e6, 1e-5), .windows = true, .kv_heads = 8, .experts_normalised = true},
        .lora_targets = LORA_ATTENTION,
    },
    {
        .name = "qwen2",
        .hf_models = NAMES("qwen2"),
        .hf_class = "Qwen2ForCausalLM",
        .gguf = "qwen2",
        .keys = qwen2_keys,
        .tensors = qwen2_tensors,
        .defaults = {BASE(10000, 1e-6), .window = 4096, .window_from = 28},
        .lora_targets = LORA_ALL,
    },
    {
        .name = "qwen3",
        .hf_models = NAMES("qwen3"),
        .hf_class = "Qwen3ForCausalLM",
        .gguf = "qwen3",
        .keys = qwen3_keys,
        .tensors = qwen3_tensors,
        .defaults = {BASE(10000, 1e-6), .head_dim = 128, .window = 4096, .window_from = 28},
        .lora_targets = LORA_ALL,
    },
    {
        .name = "qwen3_moe",
        .hf_models = NAMES("qwen3_moe"),
        .hf_class = "Qwen3MoeForCausalLM",
        .gguf = "qwen3moe",
        .keys = qwen3_moe_keys,
        .tensors = qwen3_moe_tensors,
        .defaults = {BASE(10000, 1e-6), .window = 4096, .experts_normalised = true, .experts_period = 1},
        .lora_targets = LORA_ATTENTION,
    },
    {
        .name = "smollm3",
        .hf_models = NAMES("smollm3"),
        .hf_class = "SmolLM3ForCausalLM",
        .gguf = "smollm3",
        .keys = smollm3_keys,
        .tensors = llama_tensors,
        .defaults = {BASE(2e6, 1e-6), .tied = true, .nope_period = 4},
        .lora_targets = LORA_ALL,
    },
    {
        .name = "phi3",
        .act_name = "activation_fn",
        .hf_models = NAMES("phi3"),
        .hf_class = "Phi3ForCausalLM",
        .gguf = "phi3",
        .keys = phi3_keys,
        .tensors = phi3_tensors,
        .defaults = {BASE(10000, 1e-6), .windows = true},
        .partial_rope = 1,
        .lora_targets = "qkv_proj+o_proj+gate_up_proj+down_proj",
    },
    {
        .name = "gemma2",
        .hf_models = NAMES("gemma2"),
        .hf_class = "Gemma2ForCausalLM",
        .gguf = "gemma2",
        .keys = gemma2_keys,
        .tensors = gemma2_tensors,
        .gguf_window = 4096,
        .wide_scale = 46,
        .defaults = {BASE(10000, 1e-6), .tied = true, .head_dim = 256, .query_scalar = 256, .attn_softcap = 50,
                     .logit_softcap = 30, .windows = true, .window = 4096, .window_period = 2},
        .act = ACT_GELU,
        .scaled_embedding = true,
        .lora_targets = LORA_ALL,
    },
    {
        .name = "gemma3",
        .hf_models = NAMES("gemma3_text"),
        .hf_class = "Gemma3ForCausalLM",
        .gguf = "gemma3",
        .keys = gemma3_keys,
        .tensors = gemma3_tensors,
        .wide_scale = 62,
        .defaults = {BASE(1e6, 1e-6), .local = {.theta = 10000, .factor = 1}, .tied = true, .head_dim = 256,
                     .query_scalar = 256, .windows = true, .window = 4096, .window_period = 6},
        .act = ACT_GELU,
        .scaled_embedding = true,
        .lora_targets = LORA_ALL,
    },
    {
        .name = "phi",
        .hf_models = NAMES("phi"),
        .hf_class = "PhiForCausalLM",
        .gguf = "phi2",
        .keys = phi_keys,
        .tensors = phi_tensors,
        .defaults = {BASE(10000, 1e-5)},
        .layer_norm = true,
        .act = ACT_GELU,
        .act_name = "activation_fn",
        .partial_rope = 0.5,
        .lora_targets = "q_proj+k_proj+v_proj+dense+fc1+fc2",
    },
    {
        .name = "gpt2",
        .hf_models = NAMES("gpt2"),
        .hf_class = "GPT2LMHeadModel",
        .gguf = "gpt2",
        .keys = gpt2_keys,
        .tensors = gpt2_tensors,
        .defaults = {BASE(10000, 1e-5), .tied = true, .nope_period = 1, .ctx = 1024},
        .layer_norm = true,
        .act = ACT_GELU,
        .act_name = "act",
        .hf_prefix = "transformer.",
        .hf_ignored = NAMES("h.*.attn.bias", "h.*.attn.masked_bias", "transformer.h.*.attn.bias",
                            "transformer.h.*.attn.masked_bias"),
        .lora_targets = "c_attn+c_proj+c_fc",
        .scaled_residual = true,
    },
};
const size_t arch_count = COUNT_OF(arch_table);
