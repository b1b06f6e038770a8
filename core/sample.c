#include "core/sample.h"

#include <math.h>

#include "core/rng.h"

static bool check(const LlmwsSampling *how, int64_t vocab, Err *e) {
    if (!(how->temp >= 0) || !isfinite(how->temp))
        return err_set(e, ERR_USAGE, "temperature %g must be 0 or more", (double)how->temp);
    if (!(how->top_p > 0 && how->top_p <= 1))
        return err_set(e, ERR_USAGE, "top-p %g must lie in (0, 1]", (double)how->top_p);
    if (!(how->min_p >= 0 && how->min_p <= 1))
        return err_set(e, ERR_USAGE, "min-p %g must lie in [0, 1]", (double)how->min_p);
    if (how->top_k < 0) return err_set(e, ERR_USAGE, "top-k %d must be 0 or more", how->top_k);
    if (!(how->repeat_penalty > 0))
        return err_set(e, ERR_USAGE, "repeat penalty %g must be positive", (double)how->repeat_penalty);
    for (size_t i = 0; i < how->n_bias; i++)
        if (how->bias[i].id < 0 || how->bias[i].id >= vocab)
            return err_set(e, ERR_USAGE, "logit bias: token %d is outside the vocabulary of %lld", how->bias[i].id,
                           (long long)vocab);
    return true;
}

/* Repetition (Keskar et al. 2019, CTRL), presence and frequency (as the OpenAI API defines them), over the last tokens.
 */
static void penalise(Sampler *s, const LlmwsSampling *how, const SampleAt *at) {
    int64_t n = how->repeat_last_n < 0 ? at->n_history : MIN(at->n_history, how->repeat_last_n);
    if (how->repeat_penalty == 1 && how->presence_penalty == 0 && how->frequency_penalty == 0) return;
    const int32_t *last = at->history + at->n_history - n;
    for (int64_t i = 0; i < n; i++) s->count[last[i]]++;
    for (int64_t i = 0; i < n; i++) {
        int32_t id = last[i], times = s->count[id];
        if (!times) continue; /* seen already */
        float *l = &s->cand[id].logit;
        *l = *l > 0 ? *l / how->repeat_penalty : *l * how->repeat_penalty;
        *l -= (float)times * how->frequency_penalty + how->presence_penalty;
        s->count[id] = 0;
    }
}

/* Descending by logit, ascending by id: a total order, so that every way of sorting agrees. */
static bool before(Candidate a, Candidate b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; }

/* A heap with the worst candidate at its root. */
static void sift_down(Candidate *c, int64_t i, int64_t n) {
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(c[child], c[child + 1])) child++;
        if (!before(c[i], c[child])) return;
        Candidate t = c[i];
        c[i] = c[child], c[child] = t;
    }
}

/* The k best of n to the front, best first, in place: a heap of k, then heapsort. */
static void best_first(Candidate *c, int64_t n, int64_t k) {
    for (int64_t i = k / 2; i-- > 0;) sift_down(c, i, k);
    for (int64_t i = k; i < n; i++)
        if (before(c[i], c[0])) {
            c[0] = c[i];
            sift_down(c, 0, k);
        }
    for (int64_t end = k - 1; end > 0; end--) {
        Candidate worst = c[0];
        c[0] = c[end], c[end] = worst;
        sift_down(c, 0, end);
    }
}

/* How many of the n sorted candidates top-p (Holtzman et al. 2020) and min-p (Nguyen et al. 2024) leave; at least one.
 */
static int64_t keep_likely(const Candidate *c, int64_t n, const LlmwsSampling *how) {
    double total = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) total += exp((double)(c[i].logit - c[0].logit));
    if (how->top_p < 1)
        for (int64_t i = 0; i < n; i++)
            if ((sum += exp((double)(c[i].logit - c[0].logit))) >= (double)how->top_p * total) n = i + 1;
    if (how->min_p > 0)
        while (n > 1 && exp((double)(c[n - 1].logit - c[0].logit)) < (double)how->min_p) n--;
    return n;
}

static int32_t draw(const Candidate *c, int64_t n, double temp, double u) {
    double total = 0;
    for (int64_t i = 0; i < n; i++) total += exp((double)(c[i].logit - c[0].logit) / temp);
    double target = u * total, sum = 0;
    for (int64_t i = 0; i < n; i++)
        if ((sum += exp((double)(c[i].logit - c[0].logit) / temp)) > target) return c[i].id;
    return c[n - 1].id;
}

bool sampler_pick(Sampler *s, const LlmwsSampling *how, const SampleAt *at, int32_t *id, Err *e) {
    TRY(check(how, s->vocab, e));
    for (int64_t i = 0; i < s->vocab; i++) {
        s->cand[i] = (Candidate){at->logits[i], (int32_t)i};
        if (isnan(at->logits[i]))
            return err_set(e, ERR_FAIL,
                           "sampling: the logit of token %lld is NaN; the weights or the arithmetic are broken",
                           (long long)i);
    }
    for (size_t i = 0; i < how->n_bias; i++) s->cand[how->bias[i].id].logit += how->bias[i].bias;
    for (size_t i = 0; how->ignore_eos && i < at->n_banned; i++)
        if (at->banned[i] >= 0 && at->banned[i] < s->vocab) s->cand[at->banned[i]].logit = -INFINITY;
    penalise(s, how, at);
    if (how->temp == 0) {
        Candidate best = s->cand[0];
        for (int64_t i = 1; i < s->vocab; i++)
            if (before(s->cand[i], best)) best = s->cand[i];
        return *id = best.id, true;
    }
    int64_t n = how->top_k && how->top_k < s->vocab ? how->top_k : s->vocab;
    best_first(s->cand, s->vocab, n);
    n = keep_likely(s->cand, n, how);
    *id = draw(s->cand, n, (double)how->temp, rng_uniform(how->seed, at->stream, at->index, RNG_SAMPLE));
    return true;
}
