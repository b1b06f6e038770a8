/* Choosing experts, and adding up what they give. A unit is a token. */
#include "backends/cpu/expf32.h"
#include "backends/cpu/lanes16.h"
#include "backends/cpu/ref.h"

#include <math.h>

/* The order in which the largest are taken: NaN is above all, as torch.topk has it. */
static float rank(float v) { return isnan(v) ? INFINITY : fabsf(v); }

/* The k highest of v[0, n) by rank; of equals the first. ids receives them ascending. */
static void take_highest(const float *v, int64_t n, int64_t k, int32_t *ids) {
    int64_t have = 0;
    for (int64_t i = 0; i < n; i++) { /* ids so far in falling order */
        if (have == k && rank(v[i]) <= rank(v[ids[k - 1]])) continue;
        int64_t at = have < k ? have++ : k - 1;
        for (; at > 0 && rank(v[i]) > rank(v[ids[at - 1]]); at--) ids[at] = ids[at - 1];
        ids[at] = (int32_t)i;
    }
    for (int64_t i = 1; i < k; i++) {
        int32_t id = ids[i];
        int64_t at = i;
        for (; at > 0 && ids[at - 1] > id; at--) ids[at] = ids[at - 1];
        ids[at] = id;
    }
}

/* Scratch of a token: softmax of its logits, a row to sum up, and the chosen. */
typedef struct Routing {
    float *p, *terms;
    int32_t *ids;
} Routing;

static size_t route_scratch(const OpArgs *a) { return (size_t)(2 * a->in[0].ne[1] + a->params.route.k) * 4; }

static Routing routing_of(const OpArgs *a, const float *x, void *scratch) {
    int64_t X = a->in[0].ne[1];
    float *p = scratch, most = x[0], sum;
    for (int64_t i = 1; i < X; i++) most = x[i] > most ? x[i] : most;
    for (int64_t i = 0; i < X; i++) p[i] = exp_f32(x[i] - most);
    sum = lanes16_sum(p, X);
    for (int64_t i = 0; i < X; i++) p[i] /= sum;
    Routing r = {p, p + X, (int32_t *)(void *)(p + 2 * X)};
    take_highest(p, X, a->params.route.k, r.ids);
    if (!a->params.route.normalise) return r;
    sum = 0;
    for (int s = 0; s < a->params.route.k; s++) sum += p[r.ids[s]];
    for (int s = 0; s < a->params.route.k; s++) p[r.ids[s]] /= sum;
    return r;
}

static void route_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    for (int64_t t = u0; t < u1; t++) {
        float *y = tensor_row(&a->out, t);
        Routing r = routing_of(a, tensor_row(&a->in[0], t), scratch);
        memset(y, 0, (size_t)a->out.ne[1] * 4);
        for (int s = 0; s < a->params.route.k; s++) y[r.ids[s]] = r.p[r.ids[s]];
    }
}

const char takes_route[] = "f>f";
const Kernel ref_route = {"ref", ref_out_rows, route_run, route_scratch};

static void route_dx_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    int k = a->params.route.k;
    for (int64_t t = u0; t < u1; t++) {
        const float *dy = tensor_row(&a->in[0], t);
        float *dx = tensor_row(&a->out, t);
        Routing r = routing_of(a, tensor_row(&a->in[1], t), scratch);
        float *p = r.terms; /* of the chosen, one after the other */
        for (int s = 0; s < k; s++) p[s] = r.p[r.ids[s]], dx[s] = dy[r.ids[s]];
        float c = lanes16_dot(p, dx, k);
        for (int64_t i = 0; i < a->out.ne[1]; i++) dx[i] = a->params.route.normalise ? 0 : r.p[i] * (0 - c);
        for (int s = 0; s < k; s++) dx[r.ids[s]] = p[s] * (dy[r.ids[s]] - c);
    }
}

const char takes_route_dx[] = "ff>f";
const Kernel ref_route_dx = {"ref", ref_out_rows, route_dx_run, route_scratch};

static void route_ids_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t t = u0; t < u1; t++)
        take_highest(tensor_row(&a->in[0], t), a->in[0].ne[1], a->out.ne[1], tensor_row(&a->out, t));
}

const char takes_route_ids[] = "f>i";
const Kernel ref_route_ids = {"ref", ref_out_rows, route_ids_run, NULL};

static void experts_sum_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    int64_t k = a->in[2].ne[1], D = a->out.ne[1];
    for (int64_t t = u0; t < u1; t++) {
        const float *w = tensor_row(&a->in[1], t);
        const int32_t *ids = tensor_row(&a->in[2], t);
        float *sum = tensor_row(&a->out, t);
        memset(sum, 0, (size_t)D * 4);
        for (int64_t s = 0; s < k; s++) {
            const float *y = tensor_row(&a->in[0], t * k + s);
            for (int64_t d = 0; d < D; d++) sum[d] = fmaf(w[ids[s]], y[d], sum[d]);
        }
    }
}

const char takes_experts_sum[] = "ffi>f";
const Kernel ref_experts_sum = {"ref", ref_out_rows, experts_sum_run, NULL};

static int64_t tokens(const OpArgs *a) { return a->out.ne[0]; }

static void experts_sum_dy_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    int64_t k = a->out.ne[1], D = a->out.ne[2];
    for (int64_t t = u0; t < u1; t++) {
        const float *dout = tensor_row(&a->in[0], t), *w = tensor_row(&a->in[1], t);
        const int32_t *ids = tensor_row(&a->in[2], t);
        for (int64_t s = 0; s < k; s++) {
            float *dy = tensor_row(&a->out, t * k + s);
            for (int64_t d = 0; d < D; d++) dy[d] = w[ids[s]] * dout[d];
        }
    }
}

const char takes_experts_sum_dy[] = "ffi>f";
const Kernel ref_experts_sum_dy = {"ref", tokens, experts_sum_dy_run, NULL};

static void experts_sum_dw_run(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    int64_t k = a->in[2].ne[1];
    for (int64_t t = u0; t < u1; t++) {
        const int32_t *ids = tensor_row(&a->in[2], t);
        float *dw = tensor_row(&a->out, t);
        memset(dw, 0, (size_t)a->out.ne[1] * 4);
        for (int64_t s = 0; s < k; s++)
            dw[ids[s]] = lanes16_dot(tensor_row(&a->in[0], t), tensor_row(&a->in[1], t * k + s), a->in[0].ne[1]);
    }
}

const char takes_experts_sum_dw[] = "ffif>f";
const Kernel ref_experts_sum_dw = {"ref", tokens, experts_sum_dw_run, NULL};
