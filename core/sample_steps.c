#include "core/sample_steps.h"

#include <float.h>
#include <math.h>

#include "core/rng.h"

/* ---- what steps share ---- */

Candidate chain_best(const Chain *x) {
    Candidate best = x->c[0];
    for (int64_t i = 1; !x->sorted && i < x->n; i++)
        if (candidate_before(x->c[i], best)) best = x->c[i];
    return best;
}

/* Probability times a constant. Equal first: an infinity less itself is no number. */
static double weight(Candidate a, float top) { return a.logit == top ? 1 : exp((double)a.logit - (double)top); }

static double total_weight(const Chain *x, float top) {
    double total = 0;
    for (int64_t i = 0; i < x->n; i++) total += weight(x->c[i], top);
    return total;
}

/* An order to take candidates in: best first, or nearest to a logit first. */
typedef struct Wanted {
    bool near;
    double middle;
} Wanted;

static bool earlier(Candidate a, Candidate b, Wanted w) {
    double p = fabs((double)a.logit - w.middle), q = fabs((double)b.logit - w.middle);
    return w.near && p != q ? p < q : candidate_before(a, b);
}

/* A heap with the last candidate of the order at its root. */
static void sift_down(Candidate *c, int64_t i, int64_t n, Wanted w) {
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && earlier(c[child], c[child + 1], w)) child++;
        if (!earlier(c[i], c[child], w)) return;
        Candidate t = c[i];
        c[i] = c[child], c[child] = t;
    }
}

/* The first k of n to the front, in order, in place: a heap of k, then heapsort. */
static void first_in_order(Candidate *c, int64_t n, int64_t k, Wanted w) {
    for (int64_t i = k / 2; i-- > 0;) sift_down(c, i, k, w);
    for (int64_t i = k; i < n; i++)
        if (earlier(c[i], c[0], w)) {
            Candidate t = c[i];
            c[i] = c[0], c[0] = t;
            sift_down(c, 0, k, w);
        }
    for (int64_t end = k - 1; end > 0; end--) {
        Candidate last = c[0];
        c[0] = c[end], c[end] = last;
        sift_down(c, 0, end, w);
    }
}

/* Keeps the first candidates of the order that together have the probability `mass`. They are usually few: only as many
 * are sorted as turn out to be needed. */
static void keep_mass(Chain *x, double mass, Wanted w) {
    float top = chain_best(x).logit;
    double want = mass * total_weight(x, top);
    for (int64_t k = MIN(x->n, 256);; k = MIN(x->n, 8 * k)) {
        double sum = 0;
        int64_t taken = 0;
        if (!x->sorted || w.near) first_in_order(x->c, x->n, k, w);
        while (taken < k && sum < want) sum += weight(x->c[taken++], top);
        if (sum < want && k < x->n) continue;
        x->n = MAX(taken, 1);
        x->sorted = !w.near;
        return;
    }
}

/* Keeps the logits from `least` on, in the order that they stand in. The caller knows that the best is among them. */
static void keep_from(Chain *x, double least) {
    int64_t kept = 0;
    for (int64_t i = 0; i < x->n; i++)
        if ((double)x->c[i].logit >= least) x->c[kept++] = x->c[i];
    x->n = kept;
}

static int64_t window(const Chain *x, int last_n) {
    return last_n < 0 ? x->at->n_history : MIN(x->at->n_history, last_n);
}

/* ---- steps that change logits ---- */

static bool penalties_on(const LlmwsSampling *how) {
    return how->repeat_last_n &&
           (how->repeat_penalty != 1 || how->presence_penalty != 0 || how->frequency_penalty != 0);
}

/* Repetition (Keskar et al. 2019, CTRL), presence and frequency (as the OpenAI API defines them), over the last tokens.
 */
static void penalties_run(Chain *x) {
    const LlmwsSampling *how = x->how;
    int64_t n = window(x, how->repeat_last_n);
    const int32_t *last = x->at->history + x->at->n_history - n;
    for (int64_t i = 0; i < n; i++) x->s->count[last[i]]++;
    for (int64_t i = 0; i < x->n; i++) {
        int32_t times = x->s->count[x->c[i].id];
        if (!times) continue;
        float *l = &x->c[i].logit;
        *l = *l > 0 ? *l / how->repeat_penalty : *l * how->repeat_penalty;
        *l -= (float)times * how->frequency_penalty + how->presence_penalty;
    }
    for (int64_t i = 0; i < n; i++) x->s->count[last[i]] = 0;
    x->sorted = false;
}

static bool dry_on(const LlmwsSampling *how) { return how->dry_multiplier > 0 && how->dry_last_n; }

/* z[i], for i from 1: how many tokens, read backwards from `end`, equal those read backwards from i before it. Linear
 * (Gusfield 1997, the Z algorithm). */
static void repeats(const int32_t *end, int64_t n, int32_t *z) {
    for (int64_t i = 1, from = 0, to = 0; i < n; i++) {
        int64_t k = i < to ? MIN(to - i, z[i - from]) : 0;
        while (i + k < n && end[-k] == end[-i - k]) k++;
        z[i] = (int32_t)k;
        if (i + k > to) from = i, to = i + k;
    }
}

/* "Don't repeat yourself" (p-e-w 2024, text-generation-webui PR 5677): where the last tokens stood before, the token
 * that followed them there loses multiplier * base^(length - allowed). A breaker ends the repeat that is looked for,
 * and is never penalised itself. */
static void dry_run(Chain *x) {
    const LlmwsSampling *how = x->how;
    int64_t n = MIN(window(x, how->dry_last_n), x->s->window), limit = 0;
    const int32_t *end = x->at->history + x->at->n_history - 1;
    int32_t *longest = x->s->count;
    while (limit < n && !(how->dry_breaks && how->dry_breaks[end[-limit]])) limit++;
    if (n < 2 || limit < MAX(how->dry_allowed_length, 1)) return;
    repeats(end, n, x->s->match);
    for (int64_t i = 1; i < n; i++) {
        int32_t len = (int32_t)MIN(x->s->match[i], limit), next = end[1 - i];
        if (len >= MAX(how->dry_allowed_length, 1)) longest[next] = MAX(longest[next], len);
    }
    for (int64_t i = 0; i < x->n; i++) {
        int32_t id = x->c[i].id, len = longest[id];
        if (!len || (how->dry_breaks && how->dry_breaks[id])) continue;
        double loss = (double)how->dry_multiplier * pow((double)how->dry_base, len - how->dry_allowed_length);
        x->c[i].logit = (float)MAX((double)x->c[i].logit - loss, -(double)FLT_MAX);
    }
    for (int64_t i = 0; i < n; i++) longest[end[-i]] = 0;
    x->sorted = false;
}

static bool temperature_on(const LlmwsSampling *how) { return how->temp > 0 && how->temp != 1; }

static void temperature_run(Chain *x) {
    for (int64_t i = 0; i < x->n; i++)
        x->c[i].logit =
            (float)MIN(MAX((double)x->c[i].logit / (double)x->how->temp, -(double)FLT_MAX), (double)FLT_MAX);
}

/* ---- steps that drop candidates ---- */

static bool top_n_sigma_on(const LlmwsSampling *how) { return how->top_n_sigma > 0; }

/* Tang et al. 2024, "Top-n sigma: not all logits are you need": logits within n standard deviations of the largest. */
static void top_n_sigma_run(Chain *x) {
    double mean = 0, square = 0;
    for (int64_t i = 0; i < x->n; i++) mean += (double)x->c[i].logit;
    mean /= (double)x->n;
    for (int64_t i = 0; i < x->n; i++) square += ((double)x->c[i].logit - mean) * ((double)x->c[i].logit - mean);
    keep_from(x, (double)chain_best(x).logit - (double)x->how->top_n_sigma * sqrt(square / (double)x->n));
}

static bool top_k_on(const LlmwsSampling *how) { return how->top_k > 0; }

/* Fan, Lewis, Dauphin 2018, "Hierarchical neural story generation". */
static void top_k_run(Chain *x) {
    int64_t k = MIN(x->how->top_k, x->n);
    if (!x->sorted) first_in_order(x->c, x->n, k, (Wanted){0});
    x->n = k;
    x->sorted = true;
}

static bool typical_on(const LlmwsSampling *how) { return how->typical > 0 && how->typical < 1; }

/* Meister et al. 2022, "Locally typical sampling": tokens whose surprise is nearest to the entropy. Surprise is
 * log Z - logit and entropy log Z - E[logit], so their distance is that of the logit from its mean. */
static void typical_run(Chain *x) {
    float top = chain_best(x).logit;
    double mean = 0, total = total_weight(x, top);
    for (int64_t i = 0; i < x->n; i++) {
        double p = weight(x->c[i], top) / total;
        if (p > 0) mean += p * (double)x->c[i].logit;
    }
    keep_mass(x, (double)x->how->typical, (Wanted){true, mean});
}

static bool top_p_on(const LlmwsSampling *how) { return how->top_p < 1; }

/* Holtzman et al. 2020, "The curious case of neural text degeneration". */
static void top_p_run(Chain *x) { keep_mass(x, (double)x->how->top_p, (Wanted){0}); }

static bool min_p_on(const LlmwsSampling *how) { return how->min_p > 0; }

/* Nguyen et al. 2024, "Turning up the heat". */
static void min_p_run(Chain *x) { keep_from(x, (double)chain_best(x).logit + log((double)x->how->min_p)); }

static bool xtc_on(const LlmwsSampling *how) { return how->xtc_probability > 0; }

/* "Exclude top choices" (p-e-w 2024, text-generation-webui PR 6335): with a probability, of all tokens at least as
 * likely as the threshold only the least likely stays. */
static void xtc_run(Chain *x) {
    const LlmwsSampling *how = x->how;
    if (rng_uniform(how->seed, x->at->stream, x->at->index, RNG_XTC) >= (double)how->xtc_probability) return;
    float top = chain_best(x).logit;
    double least = (double)how->xtc_threshold * total_weight(x, top);
    Candidate stays = {0};
    int64_t found = 0, kept = 0;
    for (int64_t i = 0; i < x->n; i++)
        if (weight(x->c[i], top) >= least && (!found++ || candidate_before(stays, x->c[i]))) stays = x->c[i];
    for (int64_t i = 0; found && i < x->n; i++)
        if (weight(x->c[i], top) < least || x->c[i].id == stays.id) x->c[kept++] = x->c[i];
    if (found) x->n = kept;
}

const SampleStep sample_steps[LLMWS_STEP_COUNT] = {
    [LLMWS_STEP_PENALTIES] = {"penalties", "", STEP_EDITS, penalties_on, penalties_run},
    [LLMWS_STEP_DRY] = {"dry", "", STEP_EDITS, dry_on, dry_run},
    [LLMWS_STEP_TOP_N_SIGMA] = {"top_n_sigma", "", STEP_CUTS, top_n_sigma_on, top_n_sigma_run},
    [LLMWS_STEP_TOP_K] = {"top_k", "", STEP_CUTS, top_k_on, top_k_run},
    [LLMWS_STEP_TYPICAL] = {"typ_p", " typ typical typical_p ", STEP_PICKS, typical_on, typical_run},
    [LLMWS_STEP_TOP_P] = {"top_p", " nucleus ", STEP_CUTS, top_p_on, top_p_run},
    [LLMWS_STEP_MIN_P] = {"min_p", "", STEP_CUTS, min_p_on, min_p_run},
    [LLMWS_STEP_XTC] = {"xtc", "", STEP_PICKS, xtc_on, xtc_run},
    [LLMWS_STEP_TEMPERATURE] = {"temperature", " temp ", STEP_EDITS, temperature_on, temperature_run},
};
