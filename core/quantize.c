#include "core/quantize.h"

#include <ctype.h>

/* What llama.cpp's files of each kind are made of, as of 2026. */
const Mix mixes[] = {
    {"f32", DT_f32, 0},
    {"f16", DT_f16, 1},
    {"bf16", DT_bf16, 32},
    {"q8_0", DT_q8_0, 7},
    {"q4_0", DT_q4_0, 2, .down = {{MIX_FIRST_8TH_KNOWN, DT_q4_1}}},
    {"q4_1", DT_q4_1, 3},
    {"q5_0", DT_q5_0, 8, .down = {{MIX_FIRST_8TH_KNOWN, DT_q5_1}}},
    {"q5_1", DT_q5_1, 9},
    {"q2_k",
     DT_q2_k,
     10,
     {{MIX_SHARED, DT_q4_k}, {MIX_ALWAYS, DT_q3_k}},
     {{MIX_EXPERTS_8, DT_q5_k}, {MIX_ALWAYS, DT_q3_k}},
     {{MIX_ALWAYS, DT_q3_k}}},
    {"q2_k_s", DT_q2_k, 21, .value = {{MIX_SHARED, DT_q4_k}}, .down = {{MIX_FIRST_8TH, DT_q4_k}}},
    {"q3_k_s", DT_q3_k, 11, .out = {{MIX_EXPERTS_8, DT_q5_k}}},
    {"q3_k_m",
     DT_q3_k,
     12,
     {{MIX_FIRST_2, DT_q5_k}, {MIX_ALWAYS, DT_q4_k}},
     {{MIX_EXPERTS_8, DT_q5_k}, {MIX_ALWAYS, DT_q4_k}},
     {{MIX_FIRST_16TH, DT_q5_k}, {MIX_ALWAYS, DT_q4_k}}},
    {"q3_k_l",
     DT_q3_k,
     13,
     {{MIX_ALWAYS, DT_q5_k}},
     {{MIX_EXPERTS_8, DT_q3_k}, {MIX_ALWAYS, DT_q5_k}},
     {{MIX_ALWAYS, DT_q5_k}}},
    {"q4_k_s", DT_q4_k, 14, {{MIX_FIRST_4, DT_q5_k}}, {{MIX_EXPERTS_8, DT_q5_k}}, {{MIX_FIRST_8TH, DT_q5_k}}},
    {"q4_k_m", DT_q4_k, 15, {{MIX_SOME, DT_q6_k}}, {{MIX_EXPERTS_8, DT_q5_k}}, {{MIX_SOME, DT_q6_k}}},
    {"q5_k_s", DT_q5_k, 16},
    {"q5_k_m", DT_q5_k, 17, .value = {{MIX_SOME, DT_q6_k}}, .down = {{MIX_SOME, DT_q6_k}}},
    {"q6_k", DT_q6_k, 18},
    {"iq4_nl", DT_iq4_nl, 25, {{MIX_SHARED, DT_q5_k}}, {{MIX_EXPERTS_8, DT_q5_k}}, {{MIX_FIRST_8TH_BLIND, DT_q5_k}}},
    {"iq4_xs", DT_iq4_xs, 30, {{MIX_SHARED, DT_q5_k}}, {{MIX_EXPERTS_8, DT_q5_k}}, {{MIX_FIRST_8TH_BLIND, DT_q5_k}}},
};
const size_t n_mixes = COUNT_OF(mixes);

static bool same_name(const char *a, const char *b) {
    for (; *a && *b; a++, b++)
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
    return *a == *b;
}

const Mix *mix_find(const char *name) {
    static const char *const alias[][2] = {{"q3_k", "q3_k_m"}, {"q4_k", "q4_k_m"}, {"q5_k", "q5_k_m"}};
    for (size_t i = 0; i < COUNT_OF(alias); i++)
        if (same_name(name, alias[i][0])) name = alias[i][1];
    for (size_t i = 0; i < n_mixes; i++)
        if (same_name(name, mixes[i].name)) return &mixes[i];
    return NULL;
}

void mix_names(Buf *out) {
    for (size_t i = 0; i < n_mixes; i++) buf_printf(out, "%s%s", i ? ", " : "", mixes[i].name);
}

static bool rule_holds(MixWhen when, const QuantModel *m, int64_t i) {
    const int64_t n = m->layers;
    switch (when) {
    case MIX_NEVER: return false;
    case MIX_ALWAYS: return true;
    case MIX_FIRST_2: return i < 2;
    case MIX_FIRST_4: return i < 4;
    case MIX_FIRST_16TH: return i < n / 16;
    case MIX_FIRST_8TH: return i < n / 8;
    case MIX_FIRST_8TH_BLIND: return !m->importance && i < n / 8;
    case MIX_FIRST_8TH_KNOWN: return m->importance && i < n / 8;
    case MIX_SOME: return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    case MIX_SHARED: return m->heads >= 4 * m->kv_heads;
    case MIX_EXPERTS_8: return m->experts == 8;
    }
    return false;
}

static Dtype by_rules(Dtype base, const MixRule rule[2], const QuantModel *m, int64_t layer) {
    for (int k = 0; k < 2; k++)
        if (rule_holds(rule[k].when, m, layer)) return rule[k].dtype;
    return base;
}

/* v is small where query heads share it; in the largest such models it gets a bit more. */
static Dtype of_value(const Mix *mix, const QuantModel *m, int64_t layer) {
    Dtype t = by_rules(mix->base, mix->value, m, layer);
    if (m->layers == 80 && m->heads > m->kv_heads && (t == DT_q3_k || t == DT_q4_k)) t = DT_q5_k;
    return m->experts == 8 ? DT_q8_0 : t;
}

/* Every token goes through the head: it is never less than 6 bits. */
static Dtype of_head(const Mix *mix, int64_t width) {
    return mix->base == DT_q8_0 || width % dtype_info[mix->base].block ? DT_q8_0 : DT_q6_k;
}

/* Blocks of 256 do not divide every width: those of 32 with a bit more, or no blocks. */
static Dtype fitting(Dtype t, int64_t width) {
    static const Dtype narrow[DT_COUNT] = {[DT_q2_k] = DT_q4_0, [DT_q3_k] = DT_q4_0, [DT_q4_k] = DT_q5_0,
                                           [DT_q5_k] = DT_q5_1, [DT_q6_k] = DT_q8_0, [DT_iq4_xs] = DT_iq4_nl};
    if (width % dtype_info[t].block && narrow[t]) t = narrow[t];
    return width % dtype_info[t].block ? DT_f16 : t;
}

static bool stays_f32(const QuantTensor *t) {
    switch (t->part) {
    case PART_POSITIONS:
    case PART_ATTN_NORM:
    case PART_Q_NORM:
    case PART_K_NORM:
    case PART_ATTN_POST_NORM:
    case PART_FFN_NORM:
    case PART_FFN_POST_NORM:
    case PART_NORM:
    case PART_ROUTER:
    case PART_BIAS: return true;
    default: return t->ndim < 2;
    }
}

Dtype mix_dtype(const Mix *mix, const QuantModel *m, const QuantTensor *t) {
    Dtype pick = mix->base;
    if (stays_f32(t)) return DT_f32;
    if (dtype_info[pick].class != DTC_QUANT) return pick;
    if (t->part == PART_HEAD || (t->part == PART_EMBED && m->tied))
        pick = of_head(mix, t->width);
    else if (t->part == PART_V || t->part == PART_QKV)
        pick = of_value(mix, m, t->layer);
    else if (t->part == PART_K && m->experts == 8)
        pick = DT_q8_0;
    else if (t->part == PART_O)
        pick = by_rules(pick, mix->out, m, t->layer);
    else if (t->part == PART_DOWN || t->part == PART_EXPERTS_DOWN)
        pick = by_rules(pick, mix->down, m, t->layer);
    return fitting(pick, t->width);
}
