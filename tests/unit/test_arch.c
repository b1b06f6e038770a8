/* config.json in both forms, GGUF metadata, and all that must be refused because it would change the maths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "core/arch.h"
#include "formats/json.h"

#define BASE                                                                                                           \
    "\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":3,"                   \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":384,\"rms_norm_eps\":1e-5"

static bool read(const char *json, TensorFile *f, Config *c, Err *e) {
    *f = (TensorFile){.format = STORE_HF, .path = "test"};
    if (!json_parse(str_of(json), "config.json", &f->arena, &f->meta, e)) fail_msg("%s", e->msg);
    const ArchRow *a = arch_find(f, e);
    return a && arch_config(a, f, c, e);
}

static void accepts(const char *json, Config *c) {
    TensorFile f;
    Err e = {0};
    if (!read(json, &f, c, &e)) fail_msg("%s: %s", json, e.msg);
    arena_release(&f.arena);
}

static void refuses(const char *json, const char *says) {
    TensorFile f;
    Config c;
    Err e = {0};
    if (read(json, &f, &c, &e)) fail_msg("accepted %s", json);
    if (e.code != ERR_INPUT || !strstr(e.msg, says)) fail_msg("%s: '%s' does not say '%s'", json, e.msg, says);
    arena_release(&f.arena);
}

static void both_forms(void **state) {
    (void)state;
    Config a, b;
    accepts("{" BASE ",\"rope_theta\":500000.0,\"torch_dtype\":\"float32\",\"rope_scaling\":{\"rope_type\":\"llama3\","
            "\"factor\":8.0,"
            "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64}}",
            &a);
    accepts(
        "{" BASE
        ",\"dtype\":\"float32\",\"rope_parameters\":{\"rope_theta\":500000.0,\"rope_type\":\"llama3\",\"factor\":8.0,"
        "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64}}",
        &b);
    assert_int_equal(a.head_dim, 16);
    assert_int_equal(a.rope.kind, ROPE_LLAMA3);
    float fa[8], fb[8];
    rope_frequencies(&a.rope, fa), rope_frequencies(&b.rope, fb);
    assert_memory_equal(fa, fb, sizeof fa);
    accepts("{" BASE ",\"rope_scaling\":null}", &a);
    assert_true(a.rope.theta == 10000 && a.rope.kind == ROPE_DEFAULT);
    accepts("{" BASE ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":4}}", &a); /* the older key */
    rope_frequencies(&a.rope, fa);
    assert_true(fa[0] == 0.25f);
    accepts("{" BASE ",\"pretraining_tp\":1,\"use_cache\":true,\"some_new_key\":[1,2]}", &a); /* harmless */
    accepts("{" BASE ",\"tie_word_embeddings\":true,\"head_dim\":32}", &a);
    assert_true(a.tied && a.head_dim == 32 && arch_dim(&a, DIM_Q) == 128 && arch_dim(&a, DIM_KV) == 64);
}

/* Meta's published rule for Llama 3.1, worked by hand for a wave on each side of the thresholds. */
static void llama3_frequencies(void **state) {
    (void)state;
    RopeConfig r = {.kind = ROPE_LLAMA3,
                    .theta = 500000,
                    .factor = 8,
                    .low_freq = 1,
                    .high_freq = 4,
                    .original_ctx = 8192,
                    .dims = 128};
    float f[64], plain[64];
    rope_frequencies(&r, f);
    r.kind = ROPE_DEFAULT;
    rope_frequencies(&r, plain);
    assert_true(f[0] == plain[0]);                           /* wavelength 6 of 8192: kept */
    assert_true(fabsf(f[63] / (plain[63] / 8) - 1) < 1e-6f); /* wavelength 2.6 million: slowed 8 times */
    for (int i = 0; i < 64; i++) {
        double wave = 2 * M_PI / (double)plain[i], blend = (8192 / wave - 1) / 3;
        double want = blend >= 1   ? (double)plain[i]
                      : blend <= 0 ? (double)plain[i] / 8
                                   : ((1 - blend) / 8 + blend) * (double)plain[i];
        assert_true(fabs((double)f[i] / want - 1) < 1e-6);
    }
}

static void refusals(void **state) {
    (void)state;
    refuses("{\"model_type\":\"mamba\"}", "'mamba' is not supported; supported: llama");
    refuses("{\"model_type\":\"llama4\"}", "'llama4' is not supported; nearest: llama; supported: llama");
    refuses("{\"model_type\":\"qwen2_vl\"}", "nearest: qwen2;");
    refuses("{\"model_type\":\"lama\"}", "nearest: llama;");
    refuses("{}", "'model_type' is missing");
    refuses("{\"model_type\":7}", "'model_type' must be a string");
    refuses("{\"model_type\":\"llama\"}", "'num_hidden_layers' is missing");
    refuses("{" BASE ",\"hidden_act\":\"gelu\"}", "'hidden_act' is gelu");
    refuses("{" BASE ",\"attention_bias\":true}", "'attention_bias' is true");
    refuses("{" BASE ",\"mlp_bias\":true}", "'mlp_bias' is true");
    refuses("{" BASE ",\"quantization_config\":{\"bits\":4}}", "'quantization_config'");
    refuses("{" BASE ",\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4}}",
            "quantised by 'gptq', which is not supported; nearest: the same model as GGUF in q4_0");
    refuses("{" BASE ",\"quantization_config\":{\"quant_method\":\"awq_marlin\"}}", "as GGUF in q4_1");
    refuses("{" BASE ",\"rope_scaling\":{\"rope_type\":\"yarn2\",\"factor\":2}}",
            "'yarn2' is not supported; nearest: yarn; supported: default, linear, dynamic, llama3, yarn, longrope");
    refuses("{" BASE ",\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":0.5}}", "rope factor 0.5");
    refuses("{" BASE ",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":0}}", "rope factor 0");
    refuses("{" BASE ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}", "low_freq_factor");
    refuses("{" BASE ",\"rope_scaling\":\"linear\"}", "'rope_scaling' must be an object");
    refuses("{" BASE ",\"rope_theta\":-1}", "rope base -1");
    refuses("{" BASE ",\"partial_rotary_factor\":0.5}", "'partial_rotary_factor' is 0.5");
    refuses("{" BASE ",\"head_dim\":15}", "head dim 15 is odd");
    refuses("{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":3,\"num_"
            "attention_heads\":4,"
            "\"num_key_value_heads\":3,\"vocab_size\":384}",
            "4 heads are no multiple of 3 kv heads");
    refuses("{\"model_type\":\"llama\",\"hidden_size\":65,\"intermediate_size\":128,\"num_hidden_layers\":3,\"num_"
            "attention_heads\":4,\"vocab_size\":384}",
            "width 65 is no multiple of 4 heads");
    refuses("{\"model_type\":\"llama\",\"hidden_size\":\"64\",\"intermediate_size\":128,\"num_hidden_layers\":3,\"num_"
            "attention_heads\":4}",
            "'hidden_size' must be a whole number");
    refuses("{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":-3,\"num_"
            "attention_heads\":4,\"vocab_size\":9}",
            "layers of -3");
    refuses("{\"model_type\":\"llama\",\"hidden_size\":9e18,\"intermediate_size\":128,\"num_hidden_layers\":3,\"num_"
            "attention_heads\":4}",
            "whole number");
    refuses("{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":3,\"num_"
            "attention_heads\":0,\"vocab_size\":9}",
            "heads of 0");
}

#define SIZES                                                                                                          \
    "\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":3,\"num_attention_heads\":4,"                  \
    "\"num_key_value_heads\":2,\"vocab_size\":384"

/* Which layers have a window, rotary positions, experts: "w", "r", "e" by layer. */
static void layers(const char *json, const char *want) {
    Config c;
    TensorFile f;
    Err e = {0};
    Buf text = {0};
    if (!read(json, &f, &c, &e)) fail_msg("%s: %s", json, e.msg);
    for (int64_t i = 0; i < c.layers; i++) {
        LayerConfig l = arch_layer(&c, i);
        buf_printf(&text, "%s%s%s%s%s", i ? " " : "", l.window ? "w" : "", l.rotated ? "r" : "", l.local ? "l" : "",
                   l.experts ? "e" : "");
    }
    if (strcmp(text.s, want)) fail_msg("%s: '%s', expected '%s'", json, text.s, want);
    buf_release(&text);
    arena_release(&f.arena);
}

static void layer_settings(void **state) {
    (void)state;
    layers("{\"model_type\":\"mistral\"," SIZES ",\"sliding_window\":16}", "wr wr wr");
    layers("{\"model_type\":\"mistral\"," SIZES ",\"sliding_window\":null}", "r r r");
    layers("{\"model_type\":\"qwen2\"," SIZES ",\"sliding_window\":16,\"max_window_layers\":1}", "r r r");
    layers("{\"model_type\":\"qwen2\"," SIZES
           ",\"sliding_window\":16,\"max_window_layers\":1,\"use_sliding_window\":true}",
           "r wr wr");
    layers("{\"model_type\":\"gemma2\"," SIZES "}", "wr r wr");
    layers("{\"model_type\":\"gemma3_text\"," SIZES ",\"sliding_window_pattern\":2}", "wrl r wrl");
    layers("{\"model_type\":\"gemma3_text\"," SIZES
           ",\"layer_types\":[\"full_attention\",\"sliding_attention\",\"full_attention\"]}",
           "r wrl r");
    layers("{\"model_type\":\"smollm3\"," SIZES ",\"no_rope_layer_interval\":2}", "r  r");
    layers("{\"model_type\":\"smollm3\"," SIZES ",\"no_rope_layers\":[0,1,1]}", " r r");
    refuses("{\"model_type\":\"gemma3_text\"," SIZES ",\"layer_types\":[\"full_attention\"]}", "lists 1 layers of 3");
    refuses("{\"model_type\":\"gemma3_text\"," SIZES
            ",\"layer_types\":[\"full_attention\",\"chunked_attention\",\"x\"]}",
            "'layer_types' has 'chunked_attention'");
    refuses("{\"model_type\":\"smollm3\"," SIZES ",\"no_rope_layers\":[0,1,\"1\"]}", "'no_rope_layers'");
    refuses("{\"model_type\":\"smollm3\"," SIZES ",\"use_sliding_window\":true}", "'use_sliding_window' is true");
    refuses("{\"model_type\":\"mistral\"," SIZES ",\"sliding_window\":-4}", "a window of -4");
    refuses("{\"model_type\":\"gemma2\"," SIZES ",\"hidden_activation\":\"gelu\"}", "'hidden_activation' is gelu");
    refuses("{\"model_type\":\"gemma2\"," SIZES ",\"attn_logit_softcapping\":-1}", "soft cap");
    refuses("{\"model_type\":\"phi3\"," SIZES ",\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1],"
            "\"long_factor\":[1]},\"original_max_position_embeddings\":64}",
            "'short_factor' lists 1 factors of 8");
    refuses("{\"model_type\":\"phi3\"," SIZES ",\"partial_rotary_factor\":1.5}", "'partial_rotary_factor' is 1.5");
}

/* ---- GGUF ---- */

#define GGUF_SIZES(a)                                                                                                  \
    "\"general.architecture\":\"" a "\",\"" a ".embedding_length\":96,\"" a ".feed_forward_length\":128,\"" a          \
    ".attention.head_count\":4,\"" a ".attention.key_length\":32,\"" a ".vocab_size\":384,\"" a                        \
    ".attention.layer_norm_rms_epsilon\":1e-5"

/* As GGUF metadata: the row's name and the window, rotation and local base of each layer; "" where refused. */
static void gguf(const char *want, const char *json, Config *c, Err *e) {
    TensorFile f = {.format = STORE_GGUF, .path = "test"};
    Buf b = {0};
    if (!json_parse(str_of(json), "meta", &f.arena, &f.meta, e)) fail_msg("%s", e->msg);
    const ArchRow *a = arch_find(&f, e);
    bool ok = a && arch_config(a, &f, c, e);
    if (ok) buf_str(&b, a->name);
    for (int64_t i = 0; ok && i < MIN(c->layers, 6); i++) {
        LayerConfig l = arch_layer(c, i);
        buf_printf(&b, " %s%s%s", l.window ? "w" : "", l.rotated ? "r" : "", l.local ? "l" : "");
    }
    if (!str_is(buf_view(&b), want)) fail_msg("%s: '%s', expected '%s'", json, b.s ? b.s : e->msg, want);
    buf_release(&b);
    arena_release(&f.arena);
}

/* What no key says is what llama.cpp takes for granted, not transformers. */
static void gguf_alone(void **state) {
    (void)state;
    Config c;
    Err e = {0};
    gguf("gemma2 wr r wr r", "{" GGUF_SIZES("gemma2") ",\"gemma2.block_count\":4}", &c, &e);
    assert_true(c.window == 4096 && !(c.query_scalar > 0));
    gguf("gemma2 wr r wr r wr r", "{" GGUF_SIZES("gemma2") ",\"gemma2.block_count\":46}", &c, &e);
    assert_true(c.query_scalar == 24);
    gguf("gemma3 r r r", "{" GGUF_SIZES("gemma3") ",\"gemma3.block_count\":3}", &c, &e);
    gguf("gemma3 wrl wrl wrl wrl wrl r",
         "{" GGUF_SIZES("gemma3") ",\"gemma3.block_count\":6,\"gemma3.attention.sliding_window\":8}", &c, &e);
    gguf("gemma3 r wrl r",
         "{" GGUF_SIZES("gemma3") ",\"gemma3.block_count\":3,\"gemma3.attention.sliding_window\":8,"
                                  "\"gemma3.attention.sliding_window_pattern\":[false,true,false]}",
         &c, &e);
    gguf("",
         "{" GGUF_SIZES("gemma3") ",\"gemma3.block_count\":3,\"gemma3.attention.sliding_window\":8,"
                                  "\"gemma3.attention.sliding_window_pattern\":[true]}",
         &c, &e);
    assert_non_null(strstr(e.msg, "lists 1 layers of 3"));
    gguf("", "{" GGUF_SIZES("llama") ",\"llama.block_count\":2,\"llama.rope.scaling.type\":\"longrope\"}", &c, &e);
    assert_non_null(strstr(e.msg, "'rope_factors_short.weight'"));
}

/* llmws.config says which family it was and what GGUF has no key for; GGUF's keys stand above it. */
static void gguf_with_config(void **state) {
    (void)state;
#define CONFIG(...) "{" GGUF_SIZES("llama") ",\"llama.block_count\":3," __VA_ARGS__ "}}"
    Config c;
    Err e = {0};
    gguf("mistral r r r", CONFIG("\"llmws.config\":{\"model_type\":\"mistral\""), &c, &e);
    gguf("mistral wr wr wr",
         CONFIG("\"llama.attention.sliding_window\":8,\"llmws.config\":{\"model_type\":\"mistral\","
                "\"sliding_window\":null"),
         &c, &e);
    gguf("llama r r r", CONFIG("\"llmws.config\":{\"model_type\":\"qwen2\""), &c, &e);
    gguf("llama r r r",
         CONFIG("\"llama.rope.freq_base\":1e6,\"llmws.config\":{\"model_type\":\"llama\","
                "\"rope_theta\":5e5,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}"),
         &c, &e);
    assert_true(c.rope.theta == 1e6 && c.rope.kind == ROPE_DEFAULT);
    gguf(
        "llama r r r",
        CONFIG("\"llama.rope.freq_base\":1e6,\"llmws.config\":{\"model_type\":\"llama\",\"max_position_embeddings\":64,"
               "\"rope_theta\":1e6,\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}"),
        &c, &e);
    assert_true(c.rope.kind == ROPE_DYNAMIC && c.ctx == 64);
    gguf("smollm3  r r ",
         "{" GGUF_SIZES("smollm3") ",\"smollm3.block_count\":4,\"llmws.config\":"
                                   "{\"no_rope_layers\":[0,1,1,0]}}",
         &c, &e);
    gguf("", "{" GGUF_SIZES("llama") ",\"llama.block_count\":2,\"llmws.config\":{\"hidden_act\":\"relu\"}}", &c, &e);
    assert_non_null(strstr(e.msg, "'hidden_act' is relu"));
}

#define QWEN3_MOE                                                                                                      \
    "{\"model_type\":\"qwen3_moe\"," SIZES                                                                             \
    ",\"num_experts_per_tok\":2,\"moe_intermediate_size\":32,\"norm_topk_prob\":true"
#define MIXTRAL "{\"model_type\":\"mixtral\"," SIZES

static void expert_settings(void **state) {
    (void)state;
    Config c;
    layers(QWEN3_MOE ",\"num_experts\":4}", "re re re");
    layers(QWEN3_MOE ",\"num_local_experts\":4,\"mlp_only_layers\":[]}", "re re re");
    layers(QWEN3_MOE ",\"num_experts\":4,\"decoder_sparse_step\":2}", "r re r");
    layers(QWEN3_MOE ",\"num_experts\":4,\"mlp_only_layers\":[0,2]}", "r re r");
    layers(QWEN3_MOE ",\"num_experts\":4,\"decoder_sparse_step\":2,\"mlp_only_layers\":[1]}", "r r r");
    layers(QWEN3_MOE ",\"num_experts\":4,\"use_sliding_window\":true,\"sliding_window\":8}", "wre wre wre");
    layers(MIXTRAL ",\"num_local_experts\":8,\"num_experts_per_tok\":2}", "re re re");
    accepts(MIXTRAL ",\"num_local_experts\":8,\"num_experts_per_tok\":2}", &c);
    assert_true(c.experts_normalised && arch_dim(&c, DIM_EXPERTS) == 8 && arch_dim(&c, DIM_EXPERT_FFN) == 128);
    refuses(MIXTRAL ",\"num_local_experts\":8}", "'num_experts_per_tok' is missing");
    refuses(MIXTRAL ",\"num_experts_per_tok\":2}", "2 of 0 experts");
    refuses(MIXTRAL ",\"num_local_experts\":1,\"num_experts_per_tok\":2}", "2 of 1 experts");
    refuses(MIXTRAL ",\"num_local_experts\":5000,\"num_experts_per_tok\":2}", "2 of 5000 experts");
    refuses(MIXTRAL ",\"num_local_experts\":4,\"num_experts_per_tok\":0}", "0 of 4 experts");
    refuses(QWEN3_MOE ",\"num_experts\":4,\"decoder_sparse_step\":-1}", "every -1th layer");
    refuses(QWEN3_MOE ",\"num_experts\":4,\"mlp_only_layers\":[\"1\"]}", "'mlp_only_layers'");
    refuses("{\"model_type\":\"qwen3_moe\"," SIZES
            ",\"num_experts\":4,\"num_experts_per_tok\":2,\"moe_intermediate_size\":32}",
            "'norm_topk_prob' is missing");
}

static void unused_settings(void **state) {
    (void)state;
    TensorFile f;
    Config c;
    Err e = {0};
    Buf text = {0};
    assert_true(read("{" BASE ",\"use_cache\":true,\"torch_dtype\":\"float32\",\"attention_dropout\":0.0,"
                     "\"hidden_dropout\":0.1,\"rope_theta\":1e4,\"novel\":{\"x\":1}}",
                     &f, &c, &e));
    arch_unused(&arch_table[0], &f, &text);
    assert_string_equal(text.s, "hidden_dropout, novel");
    buf_release(&text);
    arena_release(&f.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_forms),      cmocka_unit_test(llama3_frequencies),
                                       cmocka_unit_test(refusals),        cmocka_unit_test(layer_settings),
                                       cmocka_unit_test(expert_settings), cmocka_unit_test(unused_settings),
                                       cmocka_unit_test(gguf_alone),      cmocka_unit_test(gguf_with_config)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
