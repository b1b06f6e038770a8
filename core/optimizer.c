#include "core/optimizer.h"

#include <math.h>

const char *const adjust_lr_names[ADJUST_LR_COUNT] = {
    [ADJUST_LR_ORIGINAL] = "original", [ADJUST_LR_MATCH_RMS_ADAMW] = "match_rms_adamw"};

static void build_adamw(Graph *g, const UpdateNodes *u) {
    graph_op(g, OP_adamw, NULL, GRAPH_IN(u->weight, u->grad, u->state[0], u->state[1], u->hyper, u->scale));
}

static void build_sgd(Graph *g, const UpdateNodes *u) {
    graph_op(g, OP_sgd, NULL, GRAPH_IN(u->weight, u->grad, u->hyper, u->scale));
}

static void build_sgd_momentum(Graph *g, const UpdateNodes *u) {
    graph_op(g, OP_sgd, NULL, GRAPH_IN(u->weight, u->grad, u->hyper, u->scale, u->state[0]));
}

/* ---- muon ---- */

enum { NEWTON_SCHULZ_STEPS = 5 };
/* x <- a x + (b s + c s s) x with s = x x^T takes every singular value in (0, 1] to about 1 (Jordan et al. 2024). */
static const float NS_A = 3.4445f, NS_B = -4.7750f, NS_C = 2.0315f;

static int to_bf16(Graph *g, int x) {
    OpParams p = {.cast = {DT_bf16}};
    return graph_op(g, OP_cast, &p, GRAPH_IN(x));
}

/* a x + b y, in bf16. */
static int mix_bf16(Graph *g, int x, float a, int y, float b) {
    OpParams p = {.mix = {a, b}};
    return to_bf16(g, graph_op(g, OP_mix, &p, GRAPH_IN(x, y)));
}

/* The smaller of x x^T and x^T x stands for both sides: s is symmetric, to the bit, so that no product needs a
 * transposed copy. */
static int newton_schulz(Graph *g, int x) {
    const bool tall = g->nodes[x].ne[0] > g->nodes[x].ne[1];
    for (int i = 0; i < NEWTON_SCHULZ_STEPS && !g->failed; i++) {
        int s = to_bf16(g, graph_op(g, tall ? OP_matmul_dw : OP_matmul, NULL, GRAPH_IN(x, x)));
        int by = mix_bf16(g, graph_op(g, OP_matmul, NULL, GRAPH_IN(s, s)), NS_C, s, NS_B);
        int next =
            tall ? graph_op(g, OP_matmul, NULL, GRAPH_IN(x, by)) : graph_op(g, OP_matmul_dx, NULL, GRAPH_IN(by, x));
        x = mix_bf16(g, next, 1, x, NS_A);
    }
    return x;
}

static float adjusted(AdjustLr how, int64_t rows, int64_t cols) {
    const double a = (double)rows, b = (double)cols;
    return (float)(how == ADJUST_LR_MATCH_RMS_ADAMW ? 0.2 * sqrt(fmax(a, b)) : sqrt(fmax(1, a / b)));
}

static void build_muon(Graph *g, const UpdateNodes *u) {
    const int64_t *ne = g->nodes[u->weight].ne;
    OpParams p = {.muon = {adjusted(u->adjust, ne[0], ne[1])}};
    int x = to_bf16(g, graph_op(g, OP_muon_momentum, NULL, GRAPH_IN(u->grad, u->state[0], u->hyper, u->scale)));
    int norm2 = graph_op(g, OP_sum, NULL, GRAPH_IN(graph_op(g, OP_sum_squares, NULL, GRAPH_IN(x))));
    x = newton_schulz(g, to_bf16(g, graph_op(g, OP_muon_unit, NULL, GRAPH_IN(x, norm2))));
    graph_op(g, OP_muon, &p, GRAPH_IN(u->weight, x, u->hyper));
}

/* ---- the table ---- */

static const UpdateRule adamw = {{{"exp_avg", DT_f32}, {"exp_avg_sq", DT_f32}}, 2, build_adamw},
                        sgd = {.build = build_sgd},
                        sgd_momentum = {{{"momentum_buffer", DT_f32}}, 1, build_sgd_momentum},
                        muon = {{{"momentum_buffer", DT_f32}}, 1, build_muon};

const OptimizerRow optimizer_rows[OPTIMIZER_COUNT] = {
    [OPTIMIZER_ADAMW] = {"adamw", &adamw, &adamw},
    [OPTIMIZER_SGD] = {"sgd", &sgd, &sgd},
    [OPTIMIZER_SGD_MOMENTUM] = {"sgd with momentum", &sgd_momentum, &sgd_momentum},
    [OPTIMIZER_MUON] = {"muon", &muon, &adamw},
};

bool optimizer_from_name(const char *name, bool momentum, Optimizer *out) {
    for (int i = OPTIMIZER_NONE + 1; i < OPTIMIZER_COUNT; i++)
        if (strcmp(name, optimizer_rows[i].name) == 0) {
            *out = (Optimizer)i;
            if (i == OPTIMIZER_SGD && momentum) *out = OPTIMIZER_SGD_MOMENTUM;
            return i != OPTIMIZER_SGD_MOMENTUM;
        }
    return false;
}

bool adjust_lr_from_name(const char *name, AdjustLr *out) {
    for (int i = 0; i < ADJUST_LR_COUNT; i++)
        if (strcmp(name, adjust_lr_names[i]) == 0) return *out = (AdjustLr)i, true;
    return false;
}
