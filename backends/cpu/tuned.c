#include "backends/cpu/tuned.h"

/* Each instruction set's kernels stand in files of its own, compiled with its flags; nothing of such a file is called
 * before isa_best said that it may. What they take is asked here, in plain C. */

#if defined __x86_64__ || defined __aarch64__
/* One stride leads from each row to the next, whatever the number of dims. */
static inline bool even_rows(const Tensor *t) {
    for (int d = 0; d + 2 < t->ndim; d++)
        if (t->stride[d] != t->ne[d + 1] * t->stride[d + 1]) return false;
    return true;
}

static inline bool fits_matmul(const OpArgs *a, Dtype x) {
    return a->in[0].dtype == x && even_rows(&a->in[0]) && even_rows(&a->out);
}
static inline bool fits_matmul_f32(const OpArgs *a) { return fits_matmul(a, DT_f32); }
static inline bool fits_matmul_a8(const OpArgs *a) { return fits_matmul(a, DT_a8); }
static inline bool fits_matmul_bf16(const OpArgs *a) {
    bool known = a->in[1].dtype == DT_bf16 || a->in[1].dtype == DT_f32;
    return fits_matmul(a, DT_bf16) && known && a->in[1].ne[a->in[1].ndim - 1] % 2 == 0;
}

static inline bool fits_dx(const OpArgs *a, Dtype dy) {
    const Tensor *w = &a->in[1];
    return fits_matmul(a, dy) && (w->dtype == DT_f32 || w->ne[w->ndim - 1] % 16 == 0);
}
static inline bool fits_matmul_dx_f32(const OpArgs *a) { return fits_dx(a, DT_f32); }
static inline bool fits_matmul_dx_bf16(const OpArgs *a) { return fits_dx(a, DT_bf16); }
static inline bool fits_dw(const OpArgs *a, Dtype t) {
    return a->in[0].dtype == t && a->in[1].dtype == t && even_rows(&a->in[0]) && even_rows(&a->in[1]);
}
static inline bool fits_matmul_dw_f32(const OpArgs *a) { return fits_dw(a, DT_f32); }
static inline bool fits_matmul_dw_bf16(const OpArgs *a) { return fits_dw(a, DT_bf16); }
#define fits_experts_dx_f32  fits_matmul_dx_f32
#define fits_experts_dx_bf16 fits_matmul_dx_bf16
#define fits_experts_dw_f32  fits_matmul_dw_f32
#define fits_experts_dw_bf16 fits_matmul_dw_bf16

static inline bool put_form(const OpArgs *a) { /* what put_row makes */
    return a->out.dtype == DT_f32 || a->out.dtype == DT_bf16 || a->out.dtype == DT_a8;
}
static inline bool fits_cast(const OpArgs *a) { return put_form(a); }
static inline bool fits_gated(const OpArgs *a) { return put_form(a); }
static inline bool whole_lanes(const OpArgs *a) { return a->out.ne[a->out.ndim - 1] % 16 == 0; }
static inline bool fits_embed(const OpArgs *a) { return whole_lanes(a); }
static inline bool fits_experts_sum(const OpArgs *a) { return whole_lanes(a); }
static inline bool fits_rms_norm(const OpArgs *a) { return whole_lanes(a) && put_form(a); }
static inline bool fits_rope(const OpArgs *a) { return a->in[1].ne[1] % (a->params.rope.interleaved ? 8 : 16) == 0; }
static inline bool fits_kv_store(const OpArgs *a) { return a->in[0].ne[2] % 16 == 0; }
static inline bool fits_attention_kv(const OpArgs *a) { return whole_lanes(a); }
static inline bool fits_attention_strands(const OpArgs *a) { return a->in[0].ne[2] % 16 == 0; }
static inline bool f32_from(const OpArgs *a, int i) { /* input i and those behind it */
    while (i < a->n_in && a->in[i].dtype == DT_f32) i++;
    return i == a->n_in;
}
static inline bool fits_bias(const OpArgs *a) { return f32_from(a, 1); }
static inline bool fits_layer_norm(const OpArgs *a) { return whole_lanes(a) && put_form(a) && f32_from(a, 1); }
static inline bool fits_cross_entropy(const OpArgs *a) { return a->in[0].ne[1] % 16 == 0; }
static inline bool fits_any(const OpArgs *a) { return (void)a, true; }
#define fits_cross_entropy_dx whole_lanes
#define fits_sum_squares      fits_any
#define fits_adamw            fits_any
#define fits_sgd              fits_any
#define fits_muon_momentum    fits_any
#define fits_muon_unit        fits_any
#define fits_mix              fits_any
#define fits_muon             fits_any
#define fits_dropout          fits_any
#define fits_attention        whole_lanes
#define fits_attention_dqkv   whole_lanes
#define fits_attn_scores      fits_any
#define fits_attn_probs       fits_any
#define fits_attn_probs_dx    fits_any
#define fits_attn_mix         whole_lanes
#define fits_attn_mix_dv      whole_lanes
#define fits_add              fits_any
#define fits_mul              fits_any
#define fits_scale            fits_any
#define fits_silu             fits_any
#define fits_silu_dx          fits_any
#define fits_gelu             fits_any
#define fits_gelu_dx          fits_any
#define fits_softcap          fits_any
#define fits_softcap_dx       fits_any
#define fits_bias_db          fits_any
#define fits_rms_norm_dx      fits_layer_norm
#define fits_rms_norm_dw      whole_lanes
#define fits_layer_norm_dx    fits_layer_norm
#define fits_layer_norm_dw    whole_lanes

/* ROW(op, isa, form): kernel <isa>_<form>, taken where fits_<form> says so. */
#define ROWS_ALL(ROW, isa)                                                                                             \
    ROW(matmul, isa, matmul_a8)                                                                                        \
    ROW(matmul, isa, matmul_f32)                                                                                       \
    ROW(matmul, isa, matmul_bf16)                                                                                      \
    ROW(matmul_experts, isa, matmul_a8)                                                                                \
    ROW(matmul_experts, isa, matmul_f32)                                                                               \
    ROW(matmul_experts, isa, matmul_bf16)                                                                              \
    ROW(matmul_dx, isa, matmul_dx_f32)                                                                                 \
    ROW(matmul_dx, isa, matmul_dx_bf16)                                                                                \
    ROW(matmul_dw, isa, matmul_dw_f32)                                                                                 \
    ROW(matmul_dw, isa, matmul_dw_bf16)                                                                                \
    ROW(matmul_experts_dx, isa, experts_dx_f32)                                                                        \
    ROW(matmul_experts_dx, isa, experts_dx_bf16)                                                                       \
    ROW(matmul_experts_dw, isa, experts_dw_f32)                                                                        \
    ROW(matmul_experts_dw, isa, experts_dw_bf16)                                                                       \
    ROW(cast, isa, cast)                                                                                               \
    ROW(embed, isa, embed)                                                                                             \
    ROW(rms_norm, isa, rms_norm)                                                                                       \
    ROW(rope, isa, rope)                                                                                               \
    ROW(kv_store, isa, kv_store)                                                                                       \
    ROW(attention_kv, isa, attention_kv)                                                                               \
    ROW(attention_strands, isa, attention_strands)                                                                     \
    ROW(experts_sum, isa, experts_sum)                                                                                 \
    ROW(attention, isa, attention)                                                                                     \
    ROW(attention_dqkv, isa, attention_dqkv)                                                                           \
    ROW(attn_scores, isa, attn_scores)                                                                                 \
    ROW(attn_probs, isa, attn_probs)                                                                                   \
    ROW(attn_probs_dx, isa, attn_probs_dx)                                                                             \
    ROW(attn_mix, isa, attn_mix)                                                                                       \
    ROW(attn_mix_dv, isa, attn_mix_dv)                                                                                 \
    ROW(cross_entropy, isa, cross_entropy)                                                                             \
    ROW(cross_entropy_dx, isa, cross_entropy_dx)                                                                       \
    ROW(sum_squares, isa, sum_squares)                                                                                 \
    ROW(adamw, isa, adamw)                                                                                             \
    ROW(sgd, isa, sgd)                                                                                                 \
    ROW(muon_momentum, isa, muon_momentum)                                                                             \
    ROW(muon_unit, isa, muon_unit)                                                                                     \
    ROW(mix, isa, mix)                                                                                                 \
    ROW(muon, isa, muon)                                                                                               \
    ROW(dropout, isa, dropout)                                                                                         \
    ROW(rms_norm_dx, isa, rms_norm_dx)                                                                                 \
    ROW(rms_norm_dw, isa, rms_norm_dw)                                                                                 \
    ROW(layer_norm, isa, layer_norm)                                                                                   \
    ROW(layer_norm_dx, isa, layer_norm_dx)                                                                             \
    ROW(layer_norm_dw, isa, layer_norm_dw)                                                                             \
    ROW(add, isa, add)                                                                                                 \
    ROW(mul, isa, mul)                                                                                                 \
    ROW(scale, isa, scale)                                                                                             \
    ROW(bias, isa, bias)                                                                                               \
    ROW(bias_db, isa, bias_db)                                                                                         \
    ROW(silu, isa, silu)                                                                                               \
    ROW(silu_dx, isa, silu_dx)                                                                                         \
    ROW(gelu, isa, gelu)                                                                                               \
    ROW(gelu_dx, isa, gelu_dx)                                                                                         \
    ROW(gated, isa, gated)                                                                                             \
    ROW(softcap, isa, softcap)                                                                                         \
    ROW(softcap_dx, isa, softcap_dx)
#endif

#if defined __x86_64__
#define ROWS(ROW)                                                                                                      \
    ROW(matmul, avx512bf16, matmul_bf16)                                                                               \
    ROW(matmul_experts, avx512bf16, matmul_bf16)                                                                       \
    ROW(matmul_dx, avx512bf16, matmul_dx_bf16)                                                                         \
    ROW(matmul_dw, avx512bf16, matmul_dw_bf16)                                                                         \
    ROW(matmul_experts_dx, avx512bf16, experts_dx_bf16)                                                                \
    ROW(matmul_experts_dw, avx512bf16, experts_dw_bf16)                                                                \
    ROWS_ALL(ROW, avx512) ROWS_ALL(ROW, avx2)
#elif defined __aarch64__
#define ROWS(ROW)                                                                                                      \
    ROW(matmul, i8mm, matmul_a8)                                                                                       \
    ROW(matmul_experts, i8mm, matmul_a8)                                                                               \
    ROW(matmul, dotprod, matmul_a8)                                                                                    \
    ROW(matmul_experts, dotprod, matmul_a8)                                                                            \
    ROWS_ALL(ROW, neon)
#else
#define ROWS(ROW)
#endif

#define DECLARE(op, isa, form) extern const Kernel isa##_##form;
ROWS(DECLARE)

#define LIST(op, isa, form) {OP_##op, #isa, fits_##form, &isa##_##form},
const TunedRow tuned_rows[] = {
    ROWS(LIST){OP_COUNT, NULL, NULL, NULL}, /* end */
};
const size_t n_tuned_rows = COUNT_OF(tuned_rows) - 1;
