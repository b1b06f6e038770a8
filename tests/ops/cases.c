#include "tests/ops/cases.h"

#include <stdio.h>

/* A table, kept in columns. */
/* clang-format off */
#define OF(dt, ...)        {.dtype = DT_##dt, .ne = {__VA_ARGS__}}
#define F32(...)           OF(f32, __VA_ARGS__)
#define SLICE(...)         {.dtype = DT_f32, .strided = true, .ne = {__VA_ARGS__}}
#define FILL(how, dt, ...) {.dtype = DT_##dt, .fill = FILL_##how, .ne = {__VA_ARGS__}}
#define INDEX(n, most)     {.dtype = DT_i32, .fill = FILL_index, .limit = (most), .ne = {n}}
#define LABELS(n, most)    {.dtype = DT_i32, .fill = FILL_label, .limit = (most), .ne = {n}}
#define NO_LABELS(n)       {.dtype = DT_i32, .fill = FILL_none, .limit = 1, .ne = {n}}
#define ANGLES(T, half)    {.dtype = DT_f32, .fill = FILL_angle, .ne = {T, half, 2}}
#define HYPER              {.dtype = DT_f32, .fill = FILL_hyper, .ne = {8}}
#define TOKEN              INDEX(1, 1)
#define IN(...)            .in = {__VA_ARGS__}

#define EMBED(dt, V, D, T)    {OP_embed, IN(OF(dt, V, D), INDEX(T, V)), .out = F32(T, D)}
#define EMBED_DW(V, D, T)                                                                                              \
    {OP_embed_dw, .params.embed = {V}, IN(F32(T, D), INDEX(T, V)), .out = F32(V, D)},                                  \
        {OP_embed_dw, .params.embed = {V}, IN(F32(T, D), INDEX(T, V), F32(V, D)), .out = F32(V, D)}
#define CAST(how, to, T, D)   {OP_cast, .params.cast = {DT_##to}, IN(FILL(how, f32, T, D)), .out = OF(to, T, D)}

#define MATMUL(x, w, T, K, N)       {OP_matmul, IN(OF(x, T, K), OF(w, N, K)), .out = F32(T, N)}
#define MATMUL_EDGE(x, w, T, K, N)  {OP_matmul, IN(FILL(edge, x, T, K), FILL(edge, w, N, K)), .out = F32(T, N)}
#define MATMUL_BENCH(x, w, T, K, N) {OP_matmul, IN(OF(x, T, K), OF(w, N, K)), .out = F32(T, N), .bench = true}
#define MATMUL_DX(w, T, K, N)                                                                                          \
    {OP_matmul_dx, IN(F32(T, N), OF(w, N, K)), .out = F32(T, K)},                                                      \
        {OP_matmul_dx, IN(OF(bf16, T, N), OF(w, N, K)), .out = F32(T, K)}
#define MATMUL_DW(x, T, K, N)                                                                                          \
    {OP_matmul_dw, IN(OF(x, T, N), OF(x, T, K)), .out = F32(N, K)},                                                      \
        {OP_matmul_dw, IN(OF(x, T, N), OF(x, T, K), F32(N, K)), .out = F32(N, K)}
#define MATMUL_T(x, w, K, N)                                                                                           \
    MATMUL(x, w, 1, K, N), MATMUL(x, w, 2, K, N), MATMUL(x, w, 7, K, N), MATMUL(x, w, 64, K, N)

/* A format of weights with integer products: one block of 256 or fewer (K a multiple), several, and any bits. */
#define MATMUL_QUANT(w, K)                                                                                             \
    MATMUL_T(a8, w, K, 17), MATMUL_T(a8, w, 3 * (K), 50), MATMUL(a8, w, 5, 5 * (K), 131), MATMUL(a8, w, 3, K, 33),     \
        MATMUL(a8, w, 130, K, 67), MATMUL_EDGE(a8, w, 1, K, 64), MATMUL_EDGE(a8, w, 5, K, 33),                         \
        MATMUL_EDGE(a8, w, 9, 3 * (K), 50), MATMUL_EDGE(f32, w, 3, K, 17)

#define SLOTS(T, k, X)     {.dtype = DT_i32, .fill = FILL_slots, .limit = (X), .ne = {T, k}}
#define ROUTE(how, T, X, ...)                                                                                          \
    {OP_route, .params.route = {__VA_ARGS__}, IN(FILL(how, f32, T, X)), .out = F32(T, X)},                             \
    {OP_route_dx, .params.route = {__VA_ARGS__}, IN(F32(T, X), FILL(how, f32, T, X)), .out = F32(T, X)}
#define ROUTE_IDS(how, T, X, k)                                                                                        \
    {OP_route_ids, .params.route = {k}, IN(FILL(how, f32, T, X)), .out = OF(i32, T, k)}
/* Of x a row per token (gate and up), or one per slot (down). */
#define EXPERTS(x, w, T, k, X, K, N)                                                                                   \
    {OP_matmul_experts, IN(OF(x, T, K), OF(w, X, N, K), SLOTS(T, k, X)), .out = F32(T, k, N)},                         \
    {OP_matmul_experts, IN(OF(x, T, k, K), OF(w, X, N, K), SLOTS(T, k, X)), .out = F32(T, k, N)}
#define EXPERTS_EDGE(x, w, T, k, X, K, N)                                                                              \
    {OP_matmul_experts, IN(FILL(edge, x, T, K), FILL(edge, w, X, N, K), SLOTS(T, k, X)), .out = F32(T, k, N)}
#define EXPERTS_BENCH(x, w, T, k, X, K, N)                                                                             \
    {OP_matmul_experts, IN(OF(x, T, K), OF(w, X, N, K), SLOTS(T, k, X)), .out = F32(T, k, N), .bench = true}
#define EXPERTS_DX(dy, w, T, k, X, K, N)                                                                               \
    {OP_matmul_experts_dx, IN(OF(dy, T, k, N), OF(w, X, N, K), SLOTS(T, k, X), F32(T, K)), .out = F32(T, K)},          \
    {OP_matmul_experts_dx, IN(OF(dy, T, k, N), OF(w, X, N, K), SLOTS(T, k, X), F32(T, k, K)), .out = F32(T, k, K)}
#define EXPERTS_DW(x, T, k, X, K, N)                                                                                   \
    {OP_matmul_experts_dw, .params.experts = {X}, IN(OF(x, T, k, N), OF(x, T, K), SLOTS(T, k, X)), .out = F32(X, N, K)}, \
    {OP_matmul_experts_dw, .params.experts = {X}, IN(OF(x, T, k, N), OF(x, T, k, K), SLOTS(T, k, X), F32(X, N, K)),    \
     .out = F32(X, N, K)}
#define EXPERTS_GRAD_BENCH(dt, T, k, X, K, N)                                                                           \
    {OP_matmul_experts_dx, IN(OF(dt, T, k, N), F32(X, N, K), SLOTS(T, k, X), F32(T, K)), .out = F32(T, K),             \
     .bench = true},                                                                                                   \
    {OP_matmul_experts_dw, .params.experts = {X}, IN(OF(dt, T, k, N), OF(dt, T, K), SLOTS(T, k, X)),                   \
     .out = F32(X, N, K), .bench = true}
#define EXPERTS_SUM(T, k, X, D)                                                                                        \
    {OP_experts_sum, IN(F32(T, k, D), F32(T, X), SLOTS(T, k, X)), .out = F32(T, D)},                                   \
    {OP_experts_sum_dy, IN(F32(T, D), F32(T, X), SLOTS(T, k, X)), .out = F32(T, k, D)},                                \
    {OP_experts_sum_dw, IN(F32(T, D), F32(T, k, D), SLOTS(T, k, X), F32(T, X)), .out = F32(T, X)}

#define EPS .params.norm = {1e-5f}
#define NORM(T, D)                                                                                                     \
    {OP_rms_norm, EPS, IN(F32(T, D), F32(D)), .out = F32(T, D)},                                                       \
    {OP_rms_norm_dx, EPS, IN(F32(T, D), F32(T, D), F32(D)), .out = F32(T, D)},                                         \
    {OP_rms_norm_dw, EPS, IN(F32(T, D), F32(T, D)), .out = F32(D)},                                                    \
    {OP_rms_norm_dw, EPS, IN(F32(T, D), F32(T, D), F32(D)), .out = F32(D)}

#define LAYER_NORM(T, D)                                                                                               \
    {OP_layer_norm, EPS, IN(F32(T, D), F32(D), F32(D)), .out = F32(T, D)},                                             \
    {OP_layer_norm_dx, EPS, IN(F32(T, D), F32(T, D), F32(D)), .out = F32(T, D)},                                       \
    {OP_layer_norm_dw, EPS, IN(F32(T, D), F32(T, D)), .out = F32(D)},                                                  \
    {OP_layer_norm_dw, EPS, IN(F32(T, D), F32(T, D), F32(D)), .out = F32(D)}

#define NORM_TO(how, as, T, D)                                                                                         \
    {OP_rms_norm, .params.norm = {1e-5f, 0, DT_##as}, IN(FILL(how, f32, T, D), F32(D)), .out = OF(as, T, D)},          \
    {OP_layer_norm, .params.norm = {1e-5f, 0, DT_##as}, IN(FILL(how, f32, T, D), F32(D), F32(D)), .out = OF(as, T, D)}

#define ROPE(T, H, E, half, ...)                                                                                       \
    {OP_rope, .params.rope = {__VA_ARGS__}, IN(F32(T, H, E), ANGLES(T, half)), .out = F32(T, H, E)}
#define ORDER(to, T, W, E) {OP_rope_order, .params.rope_order = {to, E}, IN(F32(T, W)), .out = F32(T, W)}

#define ATTN(window_) .params.attn = {.scale = 0.125f, .mask = {window_}, .layer = 1}
#define CAPPED        .params.attn = {.scale = 0.5f, .softcap = 2, .layer = 1}
#define SEQS(...)     .seqs = {__VA_ARGS__}
#define ATTENTION(window, T, H, K, E, ...)                                                                             \
    {OP_attention, ATTN(window), IN(F32(T, H, E), F32(T, K, E), F32(T, K, E)), .out = F32(T, H, E),                    \
     SEQS(__VA_ARGS__)},                                                                                               \
    {OP_attention_dqkv, ATTN(window), IN(F32(T, H, E), F32(T, H, E), F32(T, K, E), F32(T, K, E)),                      \
     .out = F32(T, (H) + 2 * (K), E), SEQS(__VA_ARGS__)}
/* Attention op by op, S columns of scores. */
#define VISIBLE(window, S, ...) .params.attn = {.scale = 0.125f, .mask = {window}, .layer = 1, .keys = S}, SEQS(__VA_ARGS__)
#define SCORES(window, T, H, K, E, S, ...)                                                                             \
    {OP_attn_scores, IN(F32(T, H, E), F32(T, K, E)), .out = F32(T, H, S), VISIBLE(window, S, __VA_ARGS__)},            \
    {OP_attn_probs, IN(F32(T, H, S)), .out = F32(T, H, S), VISIBLE(window, S, __VA_ARGS__)},                           \
    {OP_attn_probs_dx, IN(F32(T, H, S), F32(T, H, S)), .out = F32(T, H, S), VISIBLE(window, S, __VA_ARGS__)},          \
    {OP_attn_mix, IN(F32(T, H, S), F32(T, K, E)), .out = F32(T, H, E), VISIBLE(window, S, __VA_ARGS__)},               \
    {OP_attn_mix_dv, IN(F32(T, H, S), F32(T, H, E), F32(T, K, E)), .out = F32(T, K, E),                                \
     VISIBLE(window, S, __VA_ARGS__)}
#define SCORES_KV(as, window, T, H, K, E, S, ...)                                                                      \
    {OP_attn_scores_kv, IN(F32(T, H, E), TOKEN), .out = F32(T, H, S), CACHE(K, as), VISIBLE(window, S, __VA_ARGS__)},  \
    {OP_attn_mix_kv, IN(F32(T, H, S), TOKEN), .out = F32(T, H, E), CACHE(K, as), VISIBLE(window, S, __VA_ARGS__)}
#define DROPS(P, S, window_) .params.attn = {.scale = 0.125f, .mask = {window_}, .keys = S, .dropout = {P, 9}}
#define ATTENTION_DROPS(P, window, T, H, K, E, ...)                                                                    \
    {OP_attention, DROPS(P, T, window), IN(F32(T, H, E), F32(T, K, E), F32(T, K, E), INDEX(2, 100)),                   \
     .out = F32(T, H, E), SEQS(__VA_ARGS__)},                                                                          \
    {OP_attention_dqkv, DROPS(P, T, window),                                                                           \
     IN(F32(T, H, E), F32(T, H, E), F32(T, K, E), F32(T, K, E), INDEX(2, 100)), .out = F32(T, (H) + 2 * (K), E),       \
     SEQS(__VA_ARGS__)}
#define CACHE(K, as)  .kv_heads = (K), .kv_dtype = DT_##as
#define KV(as, window, T, H, K, E, ...)                                                                                \
    {OP_attention_kv, ATTN(window), IN(F32(T, H, E), TOKEN), .out = F32(T, H, E), CACHE(K, as), SEQS(__VA_ARGS__)}
#define KV_ALL(window, T, H, K, E, ...)                                                                                \
    KV(f32, window, T, H, K, E, __VA_ARGS__), KV(f16, window, T, H, K, E, __VA_ARGS__),                                \
        KV(bf16, window, T, H, K, E, __VA_ARGS__), KV(q8_0, window, T, H, K, E, __VA_ARGS__)
/* In strands, and out of them. */
#define STRANDS(as, window, T, H, K, E, ...)                                                                           \
    {OP_attention_strands, ATTN(window), IN(F32(T, H, E), TOKEN), .out = F32(4, H, 8, (E) + 2), CACHE(K, as),          \
     SEQS(__VA_ARGS__)},                                                                                               \
    {OP_attention_kv, ATTN(window), IN(F32(T, H, E), TOKEN, F32(4, H, 8, (E) + 2)), .out = F32(T, H, E),               \
     CACHE(K, as), SEQS(__VA_ARGS__)}
#define STRANDS_ALL(window, T, H, K, E, ...)                                                                           \
    STRANDS(f32, window, T, H, K, E, __VA_ARGS__), STRANDS(f16, window, T, H, K, E, __VA_ARGS__),                      \
        STRANDS(bf16, window, T, H, K, E, __VA_ARGS__), STRANDS(q8_0, window, T, H, K, E, __VA_ARGS__)
#define KV_BENCH(as, T, start)                                                                                         \
    {OP_attention_kv, ATTN(0), IN(F32(T, 9, 64), TOKEN), .out = F32(T, 9, 64), CACHE(3, as), SEQS({start, T}),         \
     .bench = true}
#define STORE(as, T, K, E, ...)                                                                                        \
    {OP_kv_store, .params.kv = {1}, IN(F32(T, K, E), F32(T, K, E)), .out = OF(i32, 1), CACHE(K, as),                   \
     SEQS(__VA_ARGS__)}

#define STORE_FILL(how, as)                                                                                            \
    {OP_kv_store, .params.kv = {1}, IN(FILL(how, f32, 7, 2, 48), FILL(how, f32, 7, 2, 48)), .out = OF(i32, 1),         \
     CACHE(2, as), SEQS({100, 7})}

#define BINARY(op, how, ...)                                                                                           \
    {OP_##op, IN(FILL(how, f32, __VA_ARGS__), FILL(how, f32, __VA_ARGS__)), .out = F32(__VA_ARGS__)}
#define UNARY(op, how, ...) {OP_##op, IN(FILL(how, f32, __VA_ARGS__)), .out = F32(__VA_ARGS__)}
#define BIAS(T, N)                                                                                                     \
    {OP_bias, IN(F32(T, N), F32(N)), .out = F32(T, N)}, {OP_bias_db, IN(F32(T, N)), .out = F32(N)},                   \
        {OP_bias_db, IN(F32(T, N), F32(N)), .out = F32(N)}
#define GATED(as, ...) GATED_FILL(normal, as, __VA_ARGS__)
#define GATED_FILL(how, as, ...)                                                                                       \
    {OP_gated, .params.gated = {false, DT_##as}, IN(FILL(how, f32, __VA_ARGS__), FILL(how, f32, __VA_ARGS__)),         \
     .out = OF(as, __VA_ARGS__)},                                                                                      \
    {OP_gated, .params.gated = {true, DT_##as}, IN(FILL(how, f32, __VA_ARGS__), FILL(how, f32, __VA_ARGS__)),          \
     .out = OF(as, __VA_ARGS__)},                                                                                      \
    {OP_gated, .params.gated = {false, DT_##as}, IN(FILL(how, f32, __VA_ARGS__)), .out = OF(as, __VA_ARGS__)},         \
    {OP_gated, .params.gated = {true, DT_##as}, IN(FILL(how, f32, __VA_ARGS__)), .out = OF(as, __VA_ARGS__)}
#define PATCH(...)          .params.patch = {__VA_ARGS__}

#define LOSS(O, V, how)                                                                                                \
    {OP_cross_entropy, IN(FILL(how, f32, O, V), LABELS(O, V)), .out = F32(O)},                                         \
    {OP_cross_entropy_dx, IN(F32(O), FILL(how, f32, O, V), LABELS(O, V)), .out = F32(O, V)}
#define UNARY1(op, n, ...) {OP_##op, IN(F32(__VA_ARGS__)), .out = F32(n)}
#define ADAMW(...)                                                                                                     \
    {OP_adamw, IN(F32(__VA_ARGS__), F32(__VA_ARGS__), F32(__VA_ARGS__), FILL(square, f32, __VA_ARGS__), HYPER,         \
        FILL(square, f32, 1)),                                                                                         \
     .out = F32(__VA_ARGS__)}
#define SGD(...)                                                                                                       \
    {OP_sgd, IN(F32(__VA_ARGS__), F32(__VA_ARGS__), HYPER, FILL(square, f32, 1)), .out = F32(__VA_ARGS__)},            \
    {OP_sgd, IN(F32(__VA_ARGS__), F32(__VA_ARGS__), HYPER, FILL(square, f32, 1), F32(__VA_ARGS__)),                    \
     .out = F32(__VA_ARGS__)}
#define MUON(...)                                                                                                      \
    {OP_muon_momentum, IN(F32(__VA_ARGS__), F32(__VA_ARGS__), HYPER, FILL(square, f32, 1)), .out = F32(__VA_ARGS__)},  \
    {OP_muon_unit, IN(OF(bf16, __VA_ARGS__), FILL(square, f32, 1)), .out = F32(__VA_ARGS__)},                          \
    {OP_mix, .params.mix = {2.0315f, -4.775f}, IN(F32(__VA_ARGS__), OF(bf16, __VA_ARGS__)), .out = F32(__VA_ARGS__)},  \
    {OP_mix, .params.mix = {1, 3.4445f}, IN(F32(__VA_ARGS__), F32(__VA_ARGS__)), .out = F32(__VA_ARGS__)},             \
    {OP_muon, .params.muon = {1.5f}, IN(F32(__VA_ARGS__), OF(bf16, __VA_ARGS__), HYPER), .out = F32(__VA_ARGS__)}

const Case cases[] = {
    /* -- picking rows -- */
    EMBED(f32, 40, 33, 1),
    EMBED(f32, 40, 33, 7),
    EMBED(bf16, 40, 65, 3),
    EMBED(f16, 40, 65, 3),
    EMBED(q8_0, 40, 96, 5),
    EMBED(q4_0, 40, 96, 5),
    EMBED(q4_1, 40, 96, 5),
    EMBED(q5_0, 40, 96, 5),
    {OP_embed, IN(FILL(edge, q5_0, 9, 64), INDEX(20, 9)), .out = F32(20, 64)},
    EMBED(q5_1, 40, 96, 5),
    {OP_embed, IN(FILL(edge, q5_1, 9, 64), INDEX(20, 9)), .out = F32(20, 64)},
    EMBED(q2_k, 40, 256, 5),
    {OP_embed, IN(FILL(edge, q2_k, 9, 256), INDEX(20, 9)), .out = F32(20, 256)},
    EMBED(q3_k, 40, 256, 5),
    {OP_embed, IN(FILL(edge, q3_k, 9, 256), INDEX(20, 9)), .out = F32(20, 256)},
    EMBED(q4_k, 40, 256, 5),
    {OP_embed, IN(FILL(edge, q4_k, 9, 256), INDEX(20, 9)), .out = F32(20, 256)},
    EMBED(q5_k, 40, 256, 5),
    {OP_embed, IN(FILL(edge, q5_k, 9, 256), INDEX(20, 9)), .out = F32(20, 256)},
    EMBED(q6_k, 40, 256, 5),
    {OP_embed, IN(FILL(edge, q6_k, 9, 256), INDEX(20, 9)), .out = F32(20, 256)},
    EMBED(iq4_nl, 40, 96, 5),
    EMBED(iq4_xs, 40, 256, 5),
    EMBED(mxfp4, 40, 96, 5),
    {OP_embed, IN(FILL(edge, iq4_nl, 9, 96), INDEX(20, 9)), .out = F32(20, 96)},
    {OP_embed, IN(FILL(edge, iq4_xs, 9, 256), INDEX(20, 9)), .out = F32(20, 256)},
    {OP_embed, IN(FILL(edge, mxfp4, 9, 96), INDEX(20, 9)), .out = F32(20, 96)},
    {OP_embed, IN(FILL(edge, q8_0, 9, 64), INDEX(20, 9)), .out = F32(20, 64)},
    {OP_embed, IN(FILL(edge, q4_0, 9, 64), INDEX(20, 9)), .out = F32(20, 64)},
    {OP_embed, IN(FILL(edge, q4_1, 9, 64), INDEX(20, 9)), .out = F32(20, 64)},
    {OP_embed, IN(FILL(edge, f16, 9, 64), INDEX(20, 9)), .out = F32(20, 64)},
    EMBED_DW(40, 33, 1),
    EMBED_DW(600, 16, 64),
    EMBED_DW(3, 17, 64), /* ids come back */
    {OP_rows, IN(F32(9, 33), INDEX(4, 9)), .out = F32(4, 33)},
    {OP_rows, IN(SLICE(9, 33), INDEX(1, 9)), .out = F32(1, 33)},
    {OP_rows, IN(SLOTS(9, 4, 8), INDEX(5, 9)), .out = OF(i32, 5, 4)},
    {OP_rows_dx, IN(F32(4, 33), INDEX(4, 9), F32(9, 33)), .out = F32(9, 33)},
    {OP_rows_dx, IN(F32(20, 16), INDEX(20, 5), F32(5, 16)), .out = F32(5, 16)},
    {OP_rows_dx, IN(F32(20, 16), INDEX(20, 5), F32(5, 16), F32(5, 16)), .out = F32(5, 16)},
    {OP_view_dx, .params.view = {.slice = true, .begin = 5, .ne = {0, 7}}, IN(F32(3, 7), F32(3, 20)),
     .out = F32(3, 20)},
    {OP_view_dx, .params.view = {.slice = true, .begin = 1, .ne = {0, 2}}, IN(F32(3, 2, 5), F32(3, 4, 5)),
     .out = F32(3, 4, 5)},
    {OP_view_dx, .params.view = {.slice = true, .begin = 3, .ne = {0, 1}}, IN(F32(2, 1, 3, 5), F32(2, 4, 3, 5)),
     .out = F32(2, 4, 3, 5)},

    /* -- products -- */
    CAST(normal, bf16, 3, 33),
    CAST(edge, bf16, 3, 33),
    CAST(edge, f16, 3, 33),
    CAST(normal, a8, 1, 32),
    CAST(normal, a8, 7, 576),
    CAST(edge, a8, 9, 96),
    CAST(normal, a8, 7, 1536),
    CAST(edge, a8, 9, 544),
    CAST(tiny, a8, 5, 512),
    CAST(odd, a8, 9, 544),
    CAST(big, a8, 5, 64),
    CAST(tiny, a8, 5, 64),
    CAST(odd, a8, 9, 96),
    CAST(odd, bf16, 5, 33),
    {OP_cast, .params.cast = {DT_a8}, IN(SLICE(5, 64)), .out = OF(a8, 5, 64)},
    MATMUL(f32, f32, 1, 1, 1),
    MATMUL_T(f32, f32, 33, 17),
    MATMUL_T(f32, f32, 64, 50),
    MATMUL(f32, f32, 9, 1030, 17),
    MATMUL(f32, q6_k, 5, 5 * 256, 19),
    MATMUL_T(f32, bf16, 65, 33),
    MATMUL_T(f32, f16, 96, 19),
    MATMUL_T(f32, q8_0, 96, 19),
    MATMUL_T(f32, q4_0, 96, 19),
    MATMUL_T(f32, q4_1, 96, 19),
    MATMUL_T(f32, q5_0, 96, 19),
    MATMUL_T(f32, q5_1, 96, 19),
    MATMUL_T(f32, q2_k, 256, 19),
    MATMUL_T(f32, q3_k, 256, 19),
    MATMUL_T(f32, q4_k, 256, 19),
    MATMUL_T(f32, q5_k, 256, 19),
    MATMUL_T(f32, q6_k, 256, 19),
    MATMUL_T(f32, iq4_nl, 96, 19),
    MATMUL_T(f32, iq4_xs, 256, 19),
    MATMUL_T(f32, mxfp4, 96, 19),
    MATMUL_T(bf16, bf16, 33, 17),
    MATMUL_T(bf16, bf16, 64, 48),
    MATMUL(bf16, bf16, 1, 576, 96),
    MATMUL(bf16, bf16, 19, 576, 96),
    MATMUL_T(a8, q8_0, 32, 17),
    MATMUL_T(a8, q8_0, 96, 48),
    MATMUL_T(a8, q8_0, 288, 50),
    MATMUL_QUANT(q4_0, 96),
    MATMUL_QUANT(q5_0, 96),
    MATMUL_QUANT(q5_1, 96),
    MATMUL_QUANT(q2_k, 256),
    MATMUL_QUANT(q3_k, 256),
    MATMUL_QUANT(q4_k, 256),
    MATMUL_QUANT(q5_k, 256),
    MATMUL_QUANT(q6_k, 256),
    MATMUL_QUANT(iq4_nl, 96),
    MATMUL_QUANT(iq4_xs, 256),
    MATMUL_QUANT(mxfp4, 96),
    MATMUL_T(a8, q4_1, 32, 17),
    MATMUL_T(a8, q4_1, 96, 48),
    MATMUL_T(a8, q4_1, 288, 50),
    MATMUL(a8, q4_1, 5, 576, 130),
    MATMUL(a8, q8_0, 5, 576, 130),
    MATMUL(a8, q4_1, 130, 64, 67),
    MATMUL(a8, q8_0, 130, 64, 67),
    MATMUL_EDGE(f32, f32, 5, 40, 17),
    MATMUL_EDGE(a8, q8_0, 5, 96, 33),
    MATMUL_EDGE(a8, q4_1, 5, 96, 33),
    MATMUL_EDGE(a8, q8_0, 1, 96, 64),
    MATMUL_EDGE(a8, q4_1, 1, 96, 64),
    MATMUL_EDGE(f32, q8_0, 3, 64, 17),
    MATMUL_EDGE(f32, q4_1, 3, 64, 17),
    MATMUL_EDGE(f32, f16, 3, 33, 17),
    {OP_matmul, IN(SLICE(7, 64), F32(18, 64)), .out = F32(7, 18)},
    {OP_matmul, IN(F32(3, 4, 16), F32(18, 16)), .out = F32(3, 4, 18)},
    {OP_matmul, IN(FILL(big, a8, 6, 64), OF(q4_1, 18, 64)), .out = F32(6, 18)},
    MATMUL_BENCH(f32, f32, 1, 576, 1536),
    MATMUL_BENCH(f32, f32, 128, 576, 1536),
    MATMUL_BENCH(bf16, bf16, 1, 576, 1536),
    MATMUL_BENCH(bf16, bf16, 128, 576, 1536),
    MATMUL_BENCH(a8, q8_0, 1, 576, 1536),
    MATMUL_BENCH(a8, q8_0, 128, 576, 1536),
    MATMUL_BENCH(a8, q4_0, 1, 576, 1536),
    MATMUL_BENCH(a8, q4_0, 128, 576, 1536),
    MATMUL_BENCH(a8, q4_1, 1, 576, 1536),
    MATMUL_BENCH(a8, q4_1, 128, 576, 1536),
    MATMUL_BENCH(a8, q5_0, 1, 576, 1536),
    MATMUL_BENCH(a8, q5_0, 128, 576, 1536),
    MATMUL_BENCH(a8, q5_1, 1, 576, 1536),
    MATMUL_BENCH(a8, q5_1, 128, 576, 1536),
    MATMUL_BENCH(a8, q2_k, 1, 1536, 576),
    MATMUL_BENCH(a8, q2_k, 128, 1536, 576),
    MATMUL_BENCH(a8, q3_k, 1, 1536, 576),
    MATMUL_BENCH(a8, q3_k, 128, 1536, 576),
    MATMUL_BENCH(a8, q4_k, 1, 1536, 576),
    MATMUL_BENCH(a8, q4_k, 128, 1536, 576),
    MATMUL_BENCH(a8, q5_k, 1, 1536, 576),
    MATMUL_BENCH(a8, q5_k, 128, 1536, 576),
    MATMUL_BENCH(a8, q6_k, 1, 1536, 576),
    MATMUL_BENCH(a8, q6_k, 128, 1536, 576),
    MATMUL_BENCH(a8, iq4_nl, 1, 1536, 576),
    MATMUL_BENCH(a8, iq4_xs, 1, 1536, 576),
    MATMUL_BENCH(a8, mxfp4, 1, 1536, 576),
    MATMUL_BENCH(a8, iq4_nl, 128, 1536, 576),
    MATMUL_BENCH(a8, iq4_xs, 128, 1536, 576),
    MATMUL_BENCH(a8, mxfp4, 128, 1536, 576),
    MATMUL_DX(f32, 1, 33, 17),
    MATMUL_DX(f32, 7, 130, 40),
    MATMUL_DX(f32, 64, 64, 48),
    MATMUL_DX(bf16, 5, 65, 17),
    MATMUL_DX(f16, 5, 65, 17),
    MATMUL_DX(q8_0, 5, 96, 19),
    MATMUL_DX(q4_0, 5, 96, 19),
    MATMUL_DX(q4_1, 5, 96, 19),
    MATMUL_DX(q5_0, 5, 96, 19),
    MATMUL_DX(q5_1, 5, 96, 19),
    MATMUL_DX(q2_k, 5, 2 * 256, 19),
    MATMUL_DX(q3_k, 5, 2 * 256, 19),
    MATMUL_DX(q4_k, 5, 2 * 256, 19),
    MATMUL_DX(q5_k, 5, 2 * 256, 19),
    MATMUL_DX(q6_k, 5, 2 * 256, 19),
    MATMUL_DX(iq4_nl, 5, 2 * 96, 19),
    MATMUL_DX(iq4_xs, 5, 2 * 256, 19),
    MATMUL_DX(mxfp4, 5, 2 * 96, 19),
    MATMUL_DW(f32, 1, 33, 17),
    MATMUL_DW(f32, 7, 130, 40),
    MATMUL_DW(f32, 64, 64, 48),
    MATMUL_DW(bf16, 5, 33, 17),
    MATMUL_DW(bf16, 64, 64, 48),
    MATMUL_DW(bf16, 19, 130, 41),
    MATMUL_DX(f32, 9, 96, 1030),
    MATMUL_DW(f32, 1030, 49, 7),
    MATMUL_DW(bf16, 1030, 49, 7),
    MATMUL_DW(f32, 9, 170, 200),
    MATMUL_DW(bf16, 9, 600, 513),
    MATMUL_T(bf16, f32, 34, 17),
    MATMUL_T(bf16, f32, 64, 50),
    MATMUL_T(bf16, q8_0, 96, 19),
    MATMUL(bf16, f32, 19, 1090, 50),
    MATMUL_EDGE(bf16, f32, 5, 40, 17),

    /* -- experts -- */
    ROUTE(normal, 1, 4, 2, true),
    ROUTE(normal, 7, 4, 2),
    ROUTE(normal, 5, 33, 8, true),
    ROUTE(normal, 5, 33, 8),
    ROUTE(normal, 3, 5, 5, true),
    ROUTE(big, 3, 1, 1),
    ROUTE(big, 9, 16, 4, true), /* most of the chosen underflow to 0 */
    ROUTE(big, 9, 16, 4),
    ROUTE(odd, 20, 16, 4, true),
    ROUTE(edge, 20, 16, 4, true),
    ROUTE_IDS(normal, 7, 33, 8),
    ROUTE_IDS(edge, 40, 16, 4),
    ROUTE_IDS(odd, 40, 16, 4),
    EXPERTS(f32, f32, 1, 2, 4, 33, 17),
    EXPERTS(f32, f32, 3, 2, 4, 64, 50),
    EXPERTS(f32, f32, 64, 4, 6, 40, 67), /* some have more rows than a tile, and than are gathered at once */
    EXPERTS(f32, f32, 200, 3, 4, 20, 18),
    EXPERTS(f32, bf16, 7, 3, 5, 65, 33),
    EXPERTS(f32, f16, 7, 3, 5, 96, 19),
    EXPERTS(bf16, bf16, 1, 2, 4, 64, 48),
    EXPERTS(bf16, bf16, 19, 3, 8, 66, 50),
    EXPERTS(bf16, bf16, 2, 2, 4, 33, 17),
    EXPERTS(a8, q8_0, 1, 3, 8, 96, 50),
    EXPERTS(a8, q8_0, 17, 3, 8, 96, 50),
    EXPERTS(a8, q4_k, 1, 3, 8, 256, 50),
    EXPERTS(a8, q4_k, 17, 3, 8, 256, 50),
    EXPERTS(a8, q6_k, 17, 3, 8, 512, 33),
    EXPERTS(a8, q4_0, 17, 3, 8, 64, 33),
    EXPERTS(a8, q4_1, 17, 3, 8, 64, 33),
    EXPERTS(a8, q5_0, 17, 3, 8, 64, 33),
    EXPERTS(a8, q5_1, 17, 3, 8, 64, 33),
    EXPERTS(a8, q5_k, 17, 3, 8, 256, 33),
    EXPERTS(a8, iq4_nl, 17, 3, 8, 64, 33),
    EXPERTS(f32, q8_0, 5, 2, 4, 64, 17),
    EXPERTS(f32, q4_k, 5, 2, 4, 256, 17),
    EXPERTS(f32, f32, 4, 1, 1, 32, 16),
    EXPERTS_EDGE(f32, f32, 5, 2, 4, 40, 17),
    EXPERTS_EDGE(a8, q8_0, 9, 2, 3, 96, 33),
    EXPERTS_EDGE(a8, q4_k, 9, 2, 3, 256, 33),
    {OP_matmul_experts, IN(SLICE(7, 64), F32(3, 18, 64), SLOTS(7, 2, 3)), .out = F32(7, 2, 18)},
    {OP_matmul_experts, IN(SLICE(7, 2, 64), F32(3, 18, 64), SLOTS(7, 2, 3)), .out = F32(7, 2, 18)},
    EXPERTS_BENCH(f32, f32, 1, 2, 8, 512, 384),
    EXPERTS_BENCH(f32, f32, 128, 2, 8, 512, 384),
    EXPERTS_BENCH(bf16, bf16, 1, 2, 8, 512, 384),
    EXPERTS_BENCH(bf16, bf16, 128, 2, 8, 512, 384),
    EXPERTS_BENCH(a8, q8_0, 1, 2, 8, 512, 384),
    EXPERTS_BENCH(a8, q8_0, 128, 2, 8, 512, 384),
    EXPERTS_BENCH(a8, q4_k, 1, 2, 8, 512, 384),
    EXPERTS_BENCH(a8, q4_k, 128, 2, 8, 512, 384),
    EXPERTS_GRAD_BENCH(f32, 256, 2, 4, 256, 192),
    EXPERTS_GRAD_BENCH(bf16, 256, 2, 4, 256, 192),
    EXPERTS_DX(f32, f32, 3, 2, 4, 33, 17),
    EXPERTS_DX(f32, f32, 20, 3, 5, 40, 24),
    EXPERTS_DX(f32, f32, 600, 2, 2, 50, 18), /* more than are gathered at once */
    EXPERTS_DX(f32, bf16, 9, 2, 4, 48, 19),
    EXPERTS_DX(f32, q8_0, 5, 2, 4, 64, 19),
    EXPERTS_DX(f32, q4_k, 5, 2, 4, 256, 19),
    EXPERTS_DX(bf16, f32, 3, 2, 4, 33, 17),
    EXPERTS_DX(bf16, f32, 20, 3, 5, 40, 24),
    EXPERTS_DX(bf16, f32, 600, 2, 2, 50, 1),
    EXPERTS_DX(bf16, bf16, 9, 2, 4, 48, 19),
    EXPERTS_DX(bf16, q8_0, 5, 2, 4, 64, 18),
    EXPERTS_DW(f32, 3, 2, 4, 33, 17),
    EXPERTS_DW(f32, 20, 3, 5, 40, 24),
    EXPERTS_DW(f32, 2, 1, 9, 40, 5), /* most experts meet nobody */
    EXPERTS_DW(f32, 600, 2, 2, 50, 18),
    EXPERTS_DW(bf16, 5, 2, 4, 33, 17),
    EXPERTS_DW(bf16, 20, 3, 5, 40, 24),
    EXPERTS_DW(bf16, 2, 1, 9, 40, 5),
    EXPERTS_DW(bf16, 601, 2, 2, 50, 18),
    EXPERTS_SUM(1, 2, 4, 33),
    EXPERTS_SUM(7, 3, 8, 64),
    EXPERTS_SUM(40, 8, 16, 48),
    {OP_experts_sum, IN(FILL(edge, f32, 5, 3, 32), FILL(edge, f32, 5, 8), SLOTS(5, 3, 8)), .out = F32(5, 32)},
    {OP_experts_sum, IN(SLICE(5, 3, 32), F32(5, 8), SLOTS(5, 3, 8)), .out = F32(5, 32)},

    /* -- norms -- */
    NORM(1, 1),
    NORM(1, 16),
    NORM(2, 33),
    NORM(7, 576),
    NORM(64, 47),
    {OP_rms_norm, .params.norm = {1e-5f, 1}, IN(F32(5, 64), F32(64)), .out = F32(5, 64)},
    {OP_rms_norm, .params.norm = {1e-5f, 1}, IN(F32(5, 33), F32(33)), .out = F32(5, 33)},
    {OP_rms_norm_dx, .params.norm = {1e-5f, 1}, IN(F32(5, 33), F32(5, 33), F32(33)), .out = F32(5, 33)},
    {OP_rms_norm, EPS, IN(SLICE(5, 40), F32(40)), .out = F32(5, 40)},
    {OP_rms_norm, EPS, IN(F32(3, 4, 16), OF(bf16, 16)), .out = F32(3, 4, 16)},
    {OP_rms_norm, EPS, IN(FILL(edge, f32, 9, 24), F32(24)), .out = F32(9, 24)},

    NORM_TO(normal, bf16, 7, 576),
    NORM_TO(normal, bf16, 3, 33),
    NORM_TO(normal, a8, 7, 576),
    NORM_TO(normal, a8, 1, 32),
    NORM_TO(edge, bf16, 5, 48),
    NORM_TO(edge, a8, 9, 96),
    NORM_TO(odd, a8, 9, 96),
    NORM_TO(normal, f16, 3, 32),
    {OP_rms_norm, .params.norm = {1e-5f, 1, DT_a8}, IN(SLICE(5, 64), OF(bf16, 64)), .out = OF(a8, 5, 64)},
    {OP_rms_norm, .params.norm = {1e-5f, 1, DT_bf16}, IN(SLICE(5, 64), OF(f16, 64)), .out = OF(bf16, 5, 64)},

    LAYER_NORM(1, 16),
    LAYER_NORM(7, 33),
    {OP_layer_norm, EPS, IN(SLICE(5, 40), OF(bf16, 40), F32(40)), .out = F32(5, 40)},

    /* -- attention -- */
    ROPE(1, 3, 16, 8, 0),
    ROPE(7, 2, 64, 32, 0),
    ROPE(7, 2, 64, 32, .interleaved = true),
    ROPE(7, 2, 64, 32, .inverse = true),
    ROPE(7, 2, 64, 32, .interleaved = true, .inverse = true),
    ROPE(5, 2, 80, 40, 0),
    ROPE(5, 2, 80, 16, 0),
    ROPE(5, 2, 80, 16, .interleaved = true),
    ROPE(3, 1, 6, 3, .interleaved = true),
    {OP_rope, IN(SLICE(5, 3, 16), ANGLES(5, 8)), .out = F32(5, 3, 16)},
    ORDER(true, 5, 32, 16),
    ORDER(false, 5, 32, 16),
    ORDER(true, 3, 80, 80),
    ORDER(false, 3, 6, 6),
    ATTENTION(0, 1, 1, 1, 16, {0, 1}),
    ATTENTION(0, 7, 4, 2, 16, {0, 7}),
    ATTENTION(0, 9, 3, 3, 80, {0, 4}, {0, 5}),
    ATTENTION(5, 20, 6, 2, 64, {0, 20}),
    ATTENTION(0, 20, 2, 1, 24, {0, 12, 3, 9}, {0, 8}),
    ATTENTION(0, 300, 2, 1, 16, {0, 300}),
    ATTENTION(40, 300, 2, 2, 7, {0, 290}, {0, 10}),
    ATTENTION(50, 300, 4, 2, 16, {0, 90}, {0, 160}, {0, 50}),
    {OP_attention, ATTN(0), IN(SLICE(9, 4, 16), SLICE(9, 2, 16), SLICE(9, 2, 16)), .out = F32(9, 4, 16)},
    {OP_attention, ATTN(0), IN(FILL(big, f32, 9, 4, 16), FILL(big, f32, 9, 2, 16), F32(9, 2, 16)),
     .out = F32(9, 4, 16)},
    {OP_attention, CAPPED, IN(F32(9, 4, 16), F32(9, 2, 16), F32(9, 2, 16)), .out = F32(9, 4, 16)},
    {OP_attention_dqkv, CAPPED, IN(F32(9, 4, 16), F32(9, 4, 16), F32(9, 2, 16), F32(9, 2, 16)),
     .out = F32(9, 8, 16)},
    ATTENTION_DROPS(0.5f, 0, 7, 4, 2, 16, {0, 7}),
    ATTENTION_DROPS(0.1f, 5, 20, 6, 2, 7, {0, 20}),
    ATTENTION_DROPS(0.2f, 40, 300, 2, 1, 16, {0, 290}, {0, 10}),
    SCORES(0, 1, 1, 1, 16, 1, {0, 1}),
    SCORES(0, 7, 4, 2, 16, 7, {0, 7}),
    SCORES(0, 9, 3, 3, 80, 17, {0, 4}, {0, 5}),
    SCORES(5, 20, 6, 2, 64, 20, {0, 20}),
    SCORES(0, 20, 5, 1, 24, 20, {0, 12, 3, 9}, {0, 8}),
    SCORES(40, 300, 2, 2, 7, 290, {0, 290}, {0, 10}),
    SCORES(50, 300, 4, 2, 16, 160, {0, 90}, {0, 160}, {0, 50}),
    SCORES(0, 130, 3, 1, 48, 100, {0, 70}, {0, 60}),
    {OP_attn_scores, VISIBLE(0, 9, {0, 9}), IN(SLICE(9, 4, 16), SLICE(9, 2, 16)), .out = F32(9, 4, 9)},
    {OP_attn_probs, VISIBLE(0, 20, {0, 20}), IN(FILL(big, f32, 20, 2, 20)), .out = F32(20, 2, 20)},
    {OP_attn_probs, VISIBLE(0, 20, {0, 20}), IN(FILL(odd, f32, 20, 2, 20)), .out = F32(20, 2, 20)},
    {OP_attn_mix, VISIBLE(0, 9, {0, 9}), IN(F32(9, 4, 9), SLICE(9, 2, 16)), .out = F32(9, 4, 16)},
    SCORES_KV(f32, 0, 1, 4, 2, 16, 131, {130, 1}),
    SCORES_KV(f16, 100, 9, 2, 1, 64, 704, {700, 4}, {50, 5}),
    SCORES_KV(bf16, 0, 7, 4, 4, 80, 70, {60, 7}),
    SCORES_KV(q8_0, 3, 5, 3, 1, 7, 300, {254, 5}),
    SCORES_KV(q8_0, 0, 20, 4, 2, 128, 280, {250, 20, 252, 266}),
    {OP_attention_kv, CAPPED, IN(F32(5, 4, 64), TOKEN), .out = F32(5, 4, 64), CACHE(2, f16), SEQS({260, 5})},
    {OP_attention_kv, CAPPED, IN(F32(5, 4, 64), TOKEN), .out = F32(5, 4, 64), CACHE(2, q8_0), SEQS({260, 5})},
    STRANDS_ALL(0, 1, 9, 3, 64, {130, 1}),
    STRANDS(f16, 0, 3, 2, 1, 16, {2600, 1}, {3, 1}, {513, 1}),
    STRANDS(q8_0, 0, 3, 2, 1, 16, {2600, 1}, {3, 1}, {513, 1}),
    STRANDS(f32, 700, 4, 2, 1, 16, {4900, 4}),
    STRANDS_ALL(3, 4, 3, 1, 7, {254, 4}),
    {OP_attention_strands, ATTN(0), IN(F32(5, 4, 32), TOKEN), .out = F32(4, 4, 8, 34), CACHE(2, f16), SEQS({700, 5})},
    KV(f16, 0, 7, 2, 1, 16, {2500, 7}),
    KV(q8_0, 2400, 5, 2, 1, 16, {4090, 5}),
    KV_ALL(0, 1, 1, 1, 16, {0, 1}),
    KV_ALL(0, 1, 9, 3, 64, {130, 1}),
    KV_ALL(0, 2, 4, 2, 64, {255, 2}),
    KV_ALL(0, 7, 4, 4, 80, {60, 7}),
    KV_ALL(0, 3, 2, 1, 64, {600, 1}, {3, 1}, {255, 1}),
    KV_ALL(0, 64, 2, 1, 16, {300, 64}),
    KV_ALL(100, 9, 2, 1, 64, {700, 4}, {50, 5}),
    KV_ALL(3, 5, 3, 1, 7, {254, 5}),
    KV_ALL(0, 20, 4, 2, 128, {250, 20, 252, 266}),
    {OP_attention_kv, ATTN(0), IN(SLICE(5, 4, 16), TOKEN), .out = F32(5, 4, 16), CACHE(2, f32), SEQS({260, 5})},
    {OP_attention_kv, ATTN(0), IN(FILL(big, f32, 5, 4, 16), TOKEN), .out = F32(5, 4, 16), CACHE(2, f32),
     SEQS({520, 5})},
    {OP_attention_kv, ATTN(0), IN(FILL(big, f32, 5, 4, 64), TOKEN), .out = F32(5, 4, 64), CACHE(2, q8_0),
     SEQS({520, 5})},
    {OP_attention_kv, ATTN(0), IN(FILL(tiny, f32, 5, 4, 64), TOKEN), .out = F32(5, 4, 64), CACHE(2, q8_0),
     SEQS({520, 5})},
    {OP_attention_kv, ATTN(0), IN(FILL(odd, f32, 5, 4, 64), TOKEN), .out = F32(5, 4, 64), CACHE(2, q8_0),
     SEQS({70, 5})},
    {OP_attention_kv, ATTN(0), IN(SLICE(5, 4, 32), TOKEN), .out = F32(5, 4, 32), CACHE(2, q8_0), SEQS({260, 5})},
    KV_BENCH(f32, 1, 7999),
    KV_BENCH(f16, 1, 7999),
    KV_BENCH(bf16, 1, 7999),
    KV_BENCH(q8_0, 1, 7999),
    KV_BENCH(f16, 64, 448),
    KV_BENCH(q8_0, 64, 448),
    STORE(f32, 1, 1, 16, {0, 1}),
    STORE(f32, 7, 2, 64, {61, 7}),
    STORE(f16, 7, 3, 80, {61, 5}, {0, 2}),
    STORE(f16, 64, 1, 7, {30, 64}),
    STORE(bf16, 7, 3, 80, {61, 5}, {0, 2}),
    STORE(bf16, 64, 1, 7, {30, 64}),
    STORE(q8_0, 1, 1, 16, {0, 1}),
    STORE(q8_0, 7, 3, 64, {61, 5}, {0, 2}),
    STORE(q8_0, 7, 2, 80, {61, 7}),
    STORE(q8_0, 64, 1, 7, {30, 64}),
    {OP_kv_store, .params.kv = {1}, IN(SLICE(7, 2, 16), SLICE(7, 2, 16)), .out = OF(i32, 1), CACHE(2, f16),
     SEQS({100, 7})},
    STORE_FILL(edge, f32),
    STORE_FILL(edge, f16),
    STORE_FILL(edge, bf16),
    STORE_FILL(edge, q8_0),
    STORE_FILL(odd, f16),
    STORE_FILL(odd, bf16),
    STORE_FILL(odd, q8_0),
    STORE_FILL(tiny, q8_0),
    STORE_FILL(big, q8_0),

    /* -- elementwise -- */
    BINARY(add, normal, 5, 33),
    BINARY(add, edge, 64, 16),
    BINARY(add, normal, 2, 3, 7),
    BINARY(add, normal, 33),
    {OP_add, IN(SLICE(5, 33), F32(5, 33)), .out = F32(5, 33)},
    BINARY(mul, normal, 5, 33),
    BINARY(mul, edge, 64, 16),
    {OP_mul, IN(F32(5, 33), SLICE(5, 33)), .out = F32(5, 33)},
    BIAS(1, 33),
    BIAS(7, 48),
    {OP_bias, IN(SLICE(5, 33), OF(bf16, 33)), .out = F32(5, 33)},
    {OP_bias, IN(FILL(edge, f32, 3, 2, 16), FILL(edge, f32, 16)), .out = F32(3, 2, 16)},
    GATED(f32, 5, 33),
    GATED(bf16, 5, 33),
    GATED(bf16, 3, 64),
    GATED(a8, 7, 96),
    GATED(a8, 7, 1536),
    GATED_FILL(edge, f32, 3, 95),
    GATED_FILL(edge, bf16, 3, 95),
    GATED_FILL(edge, a8, 3, 96),
    GATED_FILL(odd, a8, 5, 96),
    {OP_gated, .params.gated = {.to = DT_f16}, IN(F32(5, 33), F32(5, 33)), .out = OF(f16, 5, 33)},
    {OP_gated, .params.gated = {.to = DT_a8}, IN(SLICE(5, 64), SLICE(5, 64)), .out = OF(a8, 5, 64)},
    {OP_gated, .params.gated = {.to = DT_a8}, IN(F32(3, 2, 64), F32(3, 2, 64)), .out = OF(a8, 3, 2, 64)},
    UNARY(silu, normal, 5, 33),
    UNARY(silu, big, 64, 16),
    UNARY(silu, edge, 3, 95),
    UNARY(silu, sweep, 8, 2048),
    BINARY(silu_dx, normal, 5, 33),
    BINARY(silu_dx, big, 64, 16),
    UNARY(gelu, normal, 5, 33),
    UNARY(gelu, edge, 3, 95),
    UNARY(gelu, sweep, 8, 2048),
    BINARY(gelu_dx, normal, 5, 33),
    BINARY(gelu_dx, big, 64, 16),
    {OP_scale, .params.scale = {-2.5f}, IN(F32(5, 33)), .out = F32(5, 33)},
    {OP_scale, .params.scale = {8}, IN(SLICE(2, 3, 16)), .out = F32(2, 3, 16)},
    {OP_softcap, .params.cap = {3}, IN(F32(5, 33)), .out = F32(5, 33)},
    {OP_softcap, .params.cap = {30}, IN(FILL(sweep, f32, 8, 64)), .out = F32(8, 64)},
    {OP_softcap_dx, .params.cap = {3}, IN(F32(5, 33), F32(5, 33)), .out = F32(5, 33)},
    {OP_dropout, .params.dropout = {0.5f, 7}, IN(F32(5, 33), INDEX(2, 100)), .out = F32(5, 33)},
    {OP_dropout, .params.dropout = {0.1f, 1}, IN(SLICE(2, 3, 16), INDEX(2, 100)), .out = F32(2, 3, 16)},
    {OP_dropout, .params.dropout = {0, 1}, IN(F32(1, 7), INDEX(2, 100)), .out = F32(1, 7)},
    {OP_dropout, .params.dropout = {0.5f, 7}, IN(F32(5, 33), INDEX(2, 1)), .out = F32(5, 33)},
    {OP_dropout, .params.dropout = {0.9f, 3}, IN(F32(7, 130), INDEX(2, 100)), .out = F32(7, 130)},
    {OP_dropout, .params.dropout = {0.3f, 2}, IN(FILL(edge, f32, 9, 48), INDEX(2, 100)), .out = F32(9, 48)},
    {OP_patch, PATCH(2, -0.5f, 1, 3), IN(F32(5, 33), F32(33)), .out = F32(5, 33)},
    {OP_patch, PATCH(0, 1, 2, -1), IN(F32(5, 2, 16), F32(32)), .out = F32(5, 2, 16)},
    {OP_patch, PATCH(0.5f, 0, 0, 4), IN(F32(6, 33)), .out = F32(6, 33), SEQS({2, 3}, {0, 3})},

    /* -- loss and optimiser -- */
    LOSS(5, 48, normal),
    LOSS(7, 320, big),
    LOSS(1, 2, normal),
    LOSS(7, 100, normal),
    LOSS(5, 1003, big),
    {OP_cross_entropy, IN(F32(3, 10), NO_LABELS(3)), .out = F32(3)},
    {OP_cross_entropy_dx, IN(F32(3), F32(3, 10), NO_LABELS(3)), .out = F32(3, 10)},
    UNARY1(sum_squares, 7, 7, 50),
    UNARY1(sum_squares, 1, 33),
    {OP_sum_squares, IN(OF(bf16, 7, 50)), .out = F32(7)},
    {OP_sum_squares, IN(OF(bf16, 3, 64)), .out = F32(3)},
    UNARY1(sum, 1, 300),
    {OP_clip_scale, IN(FILL(square, f32, 1), FILL(square, f32, 1)), .out = F32(1)},
    UNARY(clear, normal, 7, 50),
    ADAMW(33),
    ADAMW(7, 50),
    SGD(33),
    SGD(7, 50),
    MUON(33),
    MUON(7, 50),
    MUON(5, 64),
};
const size_t n_cases = COUNT_OF(cases);
/* clang-format on */

static const char *const fill_names[] = {[FILL_edge] = " edge", [FILL_big] = " big",     [FILL_tiny] = " tiny",
                                         [FILL_odd] = " odd",   [FILL_sweep] = " sweep", [FILL_none] = " none"};

int shape_ndim(const Shape *s) {
    int n = 0;
    while (n < MAX_DIMS && s->ne[n]) n++;
    return n;
}

int case_n_in(const Case *c) {
    int n = 0;
    while (n < MAX_IN && shape_ndim(&c->in[n])) n++;
    return n;
}

int case_in_place(const Case *c) {
    const OpInfo *op = &op_info[c->op];
    if (op->flags & OPF_INPLACE && c->out.dtype != c->in[0].dtype) return -1; /* no memory of its size */
    return op->flags & OPF_INPLACE ? 0 : op->flags & OPF_SUMS && case_n_in(c) > op->min_in ? case_n_in(c) - 1 : -1;
}

bool case_is_state(const Case *c, int i) {
    switch (c->op) {
    case OP_adamw: return i == 2 || i == 3;
    case OP_sgd: return i == 4;
    case OP_muon_momentum: return i == 1;
    default: return false;
    }
}

static int put_shape(const Shape *s, char *out, size_t cap) {
    int n = snprintf(out, cap, " %s[", dtype_info[s->dtype].name);
    for (int d = 0; d < shape_ndim(s); d++)
        n += snprintf(out + n, cap - (size_t)n, "%s%lld", d ? "," : "", (long long)s->ne[d]);
    const char *fill = s->fill < (int)COUNT_OF(fill_names) && fill_names[s->fill] ? fill_names[s->fill] : "";
    return n + snprintf(out + n, cap - (size_t)n, "]%s%s", fill, s->strided ? " slice" : "");
}

const char *case_name(const Case *c, char *out) {
    char text[512];
    int n = snprintf(text, sizeof text, "%s", op_info[c->op].name);
    for (int i = 0; i < MIN(case_n_in(c), 3); i++) n += put_shape(&c->in[i], text + n, sizeof text - (size_t)n);
    if (c->op == OP_attention_kv || c->op == OP_kv_store)
        n += snprintf(text + n, sizeof text - (size_t)n, " kv %s", dtype_info[c->kv_dtype].name);
    if (c->out.dtype != DT_f32)
        n += snprintf(text + n, sizeof text - (size_t)n, " to %s", dtype_info[c->out.dtype].name);
    snprintf(out, 160, "%.159s", text);
    return out;
}
