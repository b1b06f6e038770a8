#include "core/sample.h"

#include <float.h>
#include <math.h>

#include "core/rng.h"
#include "core/sample_steps.h"

/* ---- settings ---- */

static bool in_range(const char *what, float value, float lo, float hi, Err *e) {
    if (value >= lo && value <= hi) return true; /* not a NaN */
    return err_set(e, ERR_USAGE, "%s %g must lie in [%g, %g]", what, (double)value, (double)lo, (double)hi);
}

static bool check_dry(const LlmwsSampling *how, Err *e) {
    if (how->dry_multiplier == 0) return true;
    TRY(in_range("DRY multiplier", how->dry_multiplier, 0, FLT_MAX, e) &&
        in_range("DRY base", how->dry_base, 1, FLT_MAX, e));
    if (how->dry_allowed_length >= 0) return true;
    return err_set(e, ERR_USAGE, "DRY allowed length %d must be 0 or more", how->dry_allowed_length);
}

static bool check(const LlmwsSampling *how, int64_t vocab, Err *e) {
    if (!(how->temp >= 0) || !isfinite(how->temp))
        return err_set(e, ERR_USAGE, "temperature %g must be 0 or more", (double)how->temp);
    if (!(how->top_p > 0 && how->top_p <= 1))
        return err_set(e, ERR_USAGE, "top-p %g must lie in (0, 1]", (double)how->top_p);
    TRY(in_range("min-p", how->min_p, 0, 1, e) && in_range("typical", how->typical, 0, 1, e));
    TRY(in_range("XTC probability", how->xtc_probability, 0, 1, e) &&
        in_range("XTC threshold", how->xtc_threshold, 0, 1, e));
    TRY(in_range("top-n-sigma", how->top_n_sigma, -FLT_MAX, FLT_MAX, e) && check_dry(how, e));
    if (how->top_k < 0) return err_set(e, ERR_USAGE, "top-k %d must be 0 or more", how->top_k);
    if (!(how->repeat_penalty > 0))
        return err_set(e, ERR_USAGE, "repeat penalty %g must be positive", (double)how->repeat_penalty);
    if (how->n_order < 0 || how->n_order > LLMWS_MAX_STEPS)
        return err_set(e, ERR_USAGE, "%d samplers are more than %d", how->n_order, LLMWS_MAX_STEPS);
    for (int i = 0; i < how->n_order; i++)
        if (how->order[i] < 0 || how->order[i] >= LLMWS_STEP_COUNT)
            return err_set(e, ERR_USAGE, "sampler %d does not exist", how->order[i]);
    for (size_t i = 0; i < how->n_bias; i++)
        if (how->bias[i].id < 0 || how->bias[i].id >= vocab)
            return err_set(e, ERR_USAGE, "logit bias: token %d is outside the vocabulary of %lld", how->bias[i].id,
                           (long long)vocab);
    return true;
}

const char *sampler_step_name(int step) {
    return step >= 0 && step < LLMWS_STEP_COUNT ? sample_steps[step].name : NULL;
}

static int step_find(Str name) {
    char word[32] = " ";
    if (!name.n || name.n > sizeof word - 3 || memchr(name.s, ' ', name.n)) return -1;
    for (size_t i = 0; i < name.n; i++) word[i + 1] = name.s[i] == '-' ? '_' : name.s[i];
    for (int i = 0; i < LLMWS_STEP_COUNT; i++)
        if (str_eq(str_of(sample_steps[i].name), (Str){word + 1, name.n})) return i;
    word[name.n + 1] = ' ';
    for (int i = 0; i < LLMWS_STEP_COUNT; i++)
        if (strstr(sample_steps[i].also, word)) return i;
    return -1;
}

bool sampler_order_parse(Str list, LlmwsSampling *how, Err *e) {
    how->n_order = 0;
    for (size_t at = 0; at <= list.n;) {
        size_t n = 0;
        while (at + n < list.n && !strchr(";,", list.s[at + n])) n++;
        int step = step_find((Str){list.s + at, n});
        if (step < 0)
            return err_set(e, ERR_USAGE,
                           "samplers: unknown name '%.*s'; known: penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;"
                           "xtc;temperature",
                           (int)MIN(n, 100), list.s + at);
        if (how->n_order == LLMWS_MAX_STEPS)
            return err_set(e, ERR_USAGE, "samplers: more than %d names", LLMWS_MAX_STEPS);
        how->order[how->n_order++] = step;
        at += n + 1;
    }
    return true;
}

/* ---- the choice ---- */

/* Every token that is not forbidden. */
static bool candidates(Chain *x, Err *e) {
    Sampler *s = x->s;
    const uint64_t *allowed = x->how->allowed;
    for (int64_t i = 0; i < s->vocab; i++) s->cand[i] = (Candidate){x->at->logits[i], (int32_t)i};
    for (size_t i = 0; i < x->how->n_bias; i++) s->cand[x->how->bias[i].id].logit += x->how->bias[i].bias;
    for (size_t i = 0; x->how->ignore_eos && i < x->at->n_banned; i++)
        if (x->at->banned[i] >= 0 && x->at->banned[i] < s->vocab) s->cand[x->at->banned[i]].logit = -INFINITY;
    for (int64_t i = 0; i < s->vocab; i++) {
        float logit = s->cand[i].logit;
        if (isnan(x->at->logits[i]) || isnan(logit))
            return err_set(e, ERR_FAIL,
                           "sampling: the logit of token %lld is NaN; the weights or the arithmetic are broken",
                           (long long)i);
        if (allowed && !(allowed[i >> 6] >> (i & 63) & 1)) continue;
        if (logit > -INFINITY) s->cand[x->n++] = (Candidate){MIN(logit, FLT_MAX), (int32_t)i};
    }
    return x->n ? true : err_set(e, ERR_FAIL, "sampling: every token is forbidden; nothing is left to choose from");
}

static int32_t draw(const Chain *x) {
    double top = (double)chain_best(x).logit, total = 0, sum = 0;
    for (int64_t i = 0; i < x->n; i++) total += exp((double)x->c[i].logit - top);
    double target = total * rng_uniform(x->how->seed, x->at->stream, x->at->index, RNG_SAMPLE);
    for (int64_t i = 0; i < x->n; i++)
        if ((sum += exp((double)x->c[i].logit - top)) > target) return x->c[i].id;
    return x->c[x->n - 1].id;
}

bool sampler_pick(Sampler *s, const LlmwsSampling *how, const SampleAt *at, int32_t *id, Err *e) {
    Chain x = {.c = s->cand, .s = s, .how = how, .at = at};
    const SampleStep *steps[LLMWS_MAX_STEPS];
    int n = how->n_order ? how->n_order : LLMWS_STEP_COUNT, on = 0;
    bool best_stays = true;
    TRY(check(how, s->vocab, e) && candidates(&x, e));
    for (int i = 0; i < n; i++) {
        const SampleStep *step = &sample_steps[how->n_order ? how->order[i] : i];
        if (!step->on(how)) continue;
        best_stays = best_stays && step->kind != STEP_PICKS;
        steps[on++] = step;
    }
    bool only_best = how->temp == 0 && best_stays; /* then what cuts the others need not run */
    for (int i = 0; i < on; i++)
        if (!only_best || steps[i]->kind == STEP_EDITS) steps[i]->run(&x);
    *id = how->temp == 0 ? chain_best(&x).id : draw(&x);
    return true;
}
