#include "core/score.h"

#include <math.h>

static float largest(const float *x, int64_t n) {
    float top = x[0];
    for (int64_t i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
    return top;
}

static double log_sum(const float *x, int64_t n, float top) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - (double)top);
    return log(sum);
}

double score_nll(const float *logits, int64_t n, int32_t target) {
    float top = largest(logits, n);
    return log_sum(logits, n, top) - ((double)logits[target] - (double)top);
}

double score_kl(const float *p, const float *q, int64_t n) {
    double p_top = (double)largest(p, n), q_top = (double)largest(q, n), p_sum = 0, q_sum = 0, apart = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = (double)p[i] - p_top, y = (double)q[i] - q_top, w = exp(x);
        p_sum += w;
        q_sum += exp(y);
        if (w > 0) apart += w * (x - y);
    }
    return apart / p_sum - log(p_sum) + log(q_sum);
}

int32_t score_top(const float *logits, int64_t n, float *gap) {
    int64_t top = 0;
    float second = -INFINITY;
    for (int64_t i = 1; i < n; i++)
        if (logits[i] > logits[top])
            second = logits[top], top = i;
        else if (logits[i] > second)
            second = logits[i];
    if (gap) *gap = logits[top] - second;
    return (int32_t)top;
}

double mean_of(const Mean *m) { return m->n > 0 ? m->sum / m->n : (double)NAN; }

double mean_error(const Mean *m) {
    if (m->n < 2) return 0;
    double mean = mean_of(m), variance = m->squares / m->n - mean * mean;
    return variance > 0 ? sqrt(variance / (m->n - 1)) : 0;
}
