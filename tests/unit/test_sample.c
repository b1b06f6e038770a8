/* The sampler against distributions computed the plain way, and its refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "core/rng.h"
#include "core/sample_steps.h"

enum { V = 1000 };

static float logits[V];
static Candidate cand[V];
static int32_t count[V];
static int32_t match[V];
static Sampler sampler = {cand, count, V, match, V};
static const LlmwsSampling off = {.temp = 1, .top_p = 1, .repeat_penalty = 1, .repeat_last_n = 64, .seed = 7};

static int setup(void **state) {
    (void)state;
    for (int i = 0; i < V; i++) logits[i] = (float)(rng_uniform(3, 0, (uint64_t)i, RNG_INIT) * 8 - 4);
    logits[100] = 5, logits[200] = 4.5f, logits[300] = 4.2f;
    return 0;
}

static int32_t pick(LlmwsSampling how, uint64_t index) {
    Err e = {0};
    int32_t id = -1;
    SampleAt at = {.logits = logits, .index = index};
    if (!sampler_pick(&sampler, &how, &at, &id, &e)) fail_msg("%s", e.msg);
    return id;
}

static void greedy(void **state) {
    (void)state;
    LlmwsSampling how = off;
    how.temp = 0;
    assert_int_equal(pick(how, 0), 100);
    how.bias = &(LlmwsLogitBias){100, -INFINITY}, how.n_bias = 1;
    assert_int_equal(pick(how, 0), 200);
    float old = logits[50];
    logits[50] = logits[200]; /* equal logits: the lower id */
    assert_int_equal(pick(how, 0), 50);
    logits[50] = old;
}

/* Tokens outside the bit set of a grammar are out before any step of the chain. */
static void only_what_is_allowed(void **state) {
    (void)state;
    static uint64_t allowed[(V + 63) / 64];
    Err e = {0};
    int32_t id;
    LlmwsSampling how = off;
    allowed[7 / 64] |= (uint64_t)1 << 7 % 64;
    allowed[300 / 64] |= (uint64_t)1 << 300 % 64;
    how.allowed = allowed;
    how.top_k = 2;
    for (uint64_t i = 0; i < 50; i++) {
        id = pick(how, i);
        assert_true(id == 7 || id == 300);
    }
    how.temp = 0;
    assert_int_equal(pick(how, 0), 300);
    how.bias = (LlmwsLogitBias[]){{7, -INFINITY}, {300, -INFINITY}}, how.n_bias = 2;
    assert_false(sampler_pick(&sampler, &how, &(SampleAt){.logits = logits}, &id, &e));
}

/* Frequencies of many draws against the softmax; 5 standard deviations. */
static void follows_the_distribution(void **state) {
    (void)state;
    enum { DRAWS = 20000 };
    static int hits[V];
    double total = 0, temp = 0.7;
    LlmwsSampling how = off;
    how.temp = (float)temp;
    memset(hits, 0, sizeof hits);
    for (int i = 0; i < V; i++) total += exp((double)logits[i] / temp);
    for (int i = 0; i < DRAWS; i++) hits[pick(how, (uint64_t)i)]++;
    for (int i = 0; i < V; i++) {
        double p = exp((double)logits[i] / temp) / total, sd = sqrt(DRAWS * p * (1 - p)) + 1;
        if (fabs(hits[i] - DRAWS * p) > 5 * sd)
            fail_msg("token %d drawn %d times, expected %.1f", i, hits[i], DRAWS * p);
    }
}

static int by_logit(const void *a, const void *b) {
    float x = logits[*(const int *)a], y = logits[*(const int *)b];
    return x < y ? 1 : x > y ? -1 : *(const int *)a - *(const int *)b;
}

/* How often a token outside of `kept` best is drawn: never. And the last of them is drawn sometime. */
static void check_support(LlmwsSampling how, int kept) {
    int order[V], seen_last = 0;
    for (int i = 0; i < V; i++) order[i] = i;
    qsort(order, V, sizeof *order, by_logit);
    for (int i = 0; i < 4000; i++) {
        int32_t id = pick(how, (uint64_t)i);
        int rank = 0;
        while (order[rank] != id) rank++;
        if (rank >= kept) fail_msg("drew rank %d of %d", rank, kept);
        seen_last += rank == kept - 1;
    }
    assert_true(seen_last > 0);
}

static void cuts(void **state) {
    (void)state;
    LlmwsSampling how = off;
    how.top_k = 5;
    check_support(how, 5);
    how.top_k = 1;
    check_support(how, 1);
    how = off;
    how.min_p = 0.3f; /* e^-0.5 = 0.61, e^-0.8 = 0.45 stay; the rest is below e^-1 = 0.37 but above 0.3: count them */
    int kept = 0;
    for (int i = 0; i < V; i++) kept += exp((double)logits[i] - 5) >= 0.3f;
    check_support(how, kept);
    how = off;
    how.top_p = 0.2f;
    int order[V];
    double total = 0, sum = 0;
    for (int i = 0; i < V; i++) order[i] = i, total += exp((double)logits[i]);
    qsort(order, V, sizeof *order, by_logit);
    for (kept = 0; sum < 0.2 * total; kept++) sum += exp((double)logits[order[kept]]);
    check_support(how, kept);
}

static void penalties(void **state) {
    (void)state;
    Err e = {0};
    int32_t history[] = {100, 100, 200, 7}, id;
    LlmwsSampling how = off;
    how.temp = 0;
    SampleAt at = {.logits = logits, .history = history, .n_history = 4};
    how.presence_penalty = 0.6f; /* 5 -> 4.4, 4.5 -> 3.9: 100 still wins */
    assert_true(sampler_pick(&sampler, &how, &at, &id, &e) && id == 100);
    how.frequency_penalty = 0.2f; /* 100 came twice: 4.0; 200 once: 3.7; 300: 4.2 */
    assert_true(sampler_pick(&sampler, &how, &at, &id, &e) && id == 300);
    how.presence_penalty = how.frequency_penalty = 0;
    how.repeat_penalty = 1.2f; /* 5 / 1.2 = 4.17, 4.5 / 1.2 = 3.75 */
    assert_true(sampler_pick(&sampler, &how, &at, &id, &e) && id == 300);
    how.repeat_last_n = 1; /* only token 7 is looked at */
    assert_true(sampler_pick(&sampler, &how, &at, &id, &e) && id == 100);
    how.repeat_last_n = -1;
    assert_true(sampler_pick(&sampler, &how, &at, &id, &e) && id == 300);
    for (int i = 0; i < V; i++) assert_int_equal(count[i], 0);
}

/* ---- the steps, against plain computations ---- */

static bool in_set[V];

/* Draws fall into the set, and nearly all of its weight is drawn: every member likelier than 1 % is seen. */
static void check_set(LlmwsSampling how) {
    static bool seen[V];
    double total = 0;
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < V; i++) total += in_set[i] ? exp((double)logits[i]) : 0;
    for (int i = 0; i < 3000; i++) {
        int32_t id = pick(how, (uint64_t)i);
        if (!in_set[id]) fail_msg("drew token %d, which should have been cut", id);
        seen[id] = true;
    }
    for (int i = 0; i < V; i++)
        if (in_set[i] && exp((double)logits[i]) > 0.01 * total && !seen[i]) fail_msg("token %d never came", i);
}

static double softmax(double p[V]) {
    double total = 0, entropy = 0;
    for (int i = 0; i < V; i++) total += p[i] = exp((double)logits[i]);
    for (int i = 0; i < V; i++) p[i] /= total, entropy -= p[i] * log(p[i]);
    return entropy;
}

static double surprise[V];
static int by_surprise(const void *a, const void *b) {
    double x = surprise[*(const int *)a], y = surprise[*(const int *)b];
    return x < y ? -1 : x > y;
}

static void typical(void **state) {
    (void)state;
    const float masses[] = {0.05f, 0.3f, 0.6f, 0.95f};
    double p[V], entropy = softmax(p);
    int order[V];
    for (int i = 0; i < V; i++) order[i] = i, surprise[i] = fabs(-log(p[i]) - entropy);
    qsort(order, V, sizeof *order, by_surprise);
    for (size_t m = 0; m < COUNT_OF(masses); m++) {
        LlmwsSampling how = off;
        double sum = 0;
        how.typical = masses[m];
        memset(in_set, 0, sizeof in_set);
        for (int i = 0; i < V && sum < (double)masses[m]; i++) in_set[order[i]] = true, sum += p[order[i]];
        check_set(how);
        how.temp = 0; /* the best of what is left: the likeliest token may be gone */
        int32_t best = -1;
        for (int i = 0; i < V; i++)
            if (in_set[i] && (best < 0 || logits[i] > logits[best])) best = i;
        assert_int_equal(pick(how, 0), best);
    }
}

static void top_n_sigma(void **state) {
    (void)state;
    double mean = 0, square = 0;
    for (int i = 0; i < V; i++) mean += (double)logits[i] / V;
    for (int i = 0; i < V; i++) square += ((double)logits[i] - mean) * ((double)logits[i] - mean) / V;
    for (float n = 0.25f; n <= 2; n *= 2) {
        LlmwsSampling how = off;
        how.top_n_sigma = n;
        for (int i = 0; i < V; i++) in_set[i] = (double)logits[i] >= 5 - (double)n * sqrt(square);
        check_set(how);
    }
}

static void xtc(void **state) {
    (void)state;
    double p[V];
    LlmwsSampling how = off;
    softmax(p);
    how.xtc_probability = 1;
    how.xtc_threshold = (float)(p[300] * 0.999); /* 100 and 200 go, 300 is the least likely of three */
    for (int i = 0; i < V; i++) in_set[i] = i != 100 && i != 200;
    check_set(how);
    how.temp = 0;
    assert_int_equal(pick(how, 0), 300);
    how.xtc_threshold = (float)(p[200] * 1.001); /* 100 alone: nothing to leave out */
    assert_int_equal(pick(how, 0), 100);
    how.xtc_threshold = (float)(p[300] * 0.999);
    how.xtc_probability = 0.3f;
    double left_out = 0;
    for (uint64_t i = 0; i < 4000; i++) left_out += pick(how, i) == 300;
    assert_true(fabs(left_out - 1200) < 5 * sqrt(4000 * 0.3 * 0.7));
    how.xtc_probability = 0;
    assert_int_equal(pick(how, 0), 100);
}

/* The longest repeat that each token would lengthen, by comparing everything with everything. */
static void dry_plain(const int32_t *h, int n, const LlmwsSampling *how, double loss[8]) {
    for (int id = 0; id < 8; id++) {
        int longest = 0;
        for (int j = 0; j + 1 < n; j++) {
            int len = 0;
            while (len <= j && h[j - len] == h[n - 1 - len] && !how->dry_breaks[h[n - 1 - len]]) len++;
            if (h[j + 1] == id) longest = MAX(longest, len);
        }
        bool costs = longest && longest >= how->dry_allowed_length && !how->dry_breaks[id];
        loss[id] =
            costs ? (double)how->dry_multiplier * pow((double)how->dry_base, longest - how->dry_allowed_length) : 0;
    }
}

static void dry(void **state) {
    (void)state;
    unsigned char breaks[V] = {[5] = 1};
    int32_t history[60];
    int penalised = 0;
    for (uint64_t round = 0; round < 500; round++) {
        LlmwsSampling how = off;
        how.dry_multiplier = 0.8f, how.dry_base = 1.75f, how.dry_allowed_length = (int)(round % 4),
        how.dry_breaks = breaks;
        how.dry_last_n = round % 5 ? -1 : 20;
        int n = 1 + (int)(round % 60), looked = how.dry_last_n < 0 ? n : MIN(n, 20), symbols = 1 + (int)(round % 7);
        for (int i = 0; i < n; i++)
            history[i] = (int32_t)(rng_u64(9, round, (uint64_t)i, RNG_INIT) % (unsigned)symbols);
        double loss[8];
        dry_plain(history + n - looked, looked, &how, loss);
        SampleAt at = {.logits = logits, .history = history, .n_history = n};
        Chain x = {.c = cand, .n = V, .s = &sampler, .how = &how, .at = &at};
        for (int i = 0; i < V; i++) cand[i] = (Candidate){logits[V - 1 - i], V - 1 - i}; /* any order of candidates */
        assert_true(sample_steps[LLMWS_STEP_DRY].on(&how));
        sample_steps[LLMWS_STEP_DRY].run(&x);
        for (int i = 0; i < V; i++) {
            int id = cand[i].id;
            double want = (double)logits[id] - (id < 8 ? loss[id] : 0);
            if (fabs((double)cand[i].logit - want) > 1e-6 * fabs(want) + 1e-6)
                fail_msg("round %d: token %d has %g, expected %g", (int)round, id, (double)cand[i].logit, want);
            penalised += id < 8 && loss[id] > 0;
            assert_int_equal(count[i], 0);
        }
    }
    assert_true(penalised > 300);
    LlmwsSampling far = off; /* a loss beyond all numbers is still a number */
    far.dry_multiplier = 1e6f, far.dry_base = 1e6f, far.dry_last_n = -1, far.temp = 0;
    for (int i = 0; i < 60; i++) history[i] = 100;
    SampleAt at = {.logits = logits, .history = history, .n_history = 60};
    int32_t id;
    assert_true(sampler_pick(&sampler, &far, &at, &id, NULL) && id == 200);
}

static LlmwsSampling ordered(LlmwsSampling how, const char *list) {
    Err e = {0};
    if (!sampler_order_parse(str_of(list), &how, &e)) fail_msg("%s", e.msg);
    return how;
}

static void order_matters(void **state) {
    (void)state;
    LlmwsSampling how = off;
    how.temp = 0, how.top_k = 1, how.xtc_probability = 1, how.xtc_threshold = 1e-6f;
    assert_int_equal(pick(ordered(how, "top_k;xtc"), 0), 100); /* one candidate: nothing to leave out */
    assert_true(pick(ordered(how, "xtc;top_k"), 0) != 100);
    assert_int_equal(pick(ordered(how, "top_k"), 0), 100); /* what is not named does not run */

    how = off; /* heat first: more tokens reach min-p's share of the likeliest */
    how.temp = 2, how.min_p = 0.5f;
    for (int i = 0; i < V; i++) in_set[i] = logits[i] >= 5 + logf(0.5f);
    for (uint64_t i = 0; i < 500; i++) assert_true(in_set[pick(ordered(how, "min_p;temperature"), i)]);
    int outside = 0;
    for (uint64_t i = 0; i < 500; i++) outside += !in_set[pick(ordered(how, "temp,min-p"), i)];
    assert_true(outside > 0);

    Err e = {0};
    int32_t history[] = {100}, id;
    SampleAt at = {.logits = logits, .history = history, .n_history = 1};
    how = off; /* penalties find their tokens among sorted candidates too */
    how.top_k = 2, how.presence_penalty = 100, how.temp = 0;
    LlmwsSampling late = ordered(how, "top_k;penalties;temperature");
    assert_true(sampler_pick(&sampler, &late, &at, &id, &e) && id == 200);
    late.temp = 1; /* 100 lost e^100 against 200; 300 was cut */
    for (at.index = 0; at.index < 200; at.index++)
        assert_true(sampler_pick(&sampler, &late, &at, &id, &e) && id == 200);
}

static void default_order(void **state) {
    (void)state;
    LlmwsSampling a = off, b;
    a.temp = 1.3f, a.top_k = 50, a.top_p = 0.9f, a.min_p = 0.02f, a.typical = 0.9f, a.top_n_sigma = 2;
    a.xtc_probability = 0.5f, a.xtc_threshold = 0.05f;
    b = ordered(a, "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature");
    assert_int_equal(b.n_order, LLMWS_STEP_COUNT);
    for (int i = 0; i < b.n_order; i++) assert_int_equal(b.order[i], i);
    for (uint64_t i = 0; i < 500; i++) assert_int_equal(pick(a, i), pick(b, i));
    b = ordered(off, "typical,nucleus,typ-p,temp,top-n-sigma");
    const int want[] = {LLMWS_STEP_TYPICAL, LLMWS_STEP_TOP_P, LLMWS_STEP_TYPICAL, LLMWS_STEP_TEMPERATURE,
                        LLMWS_STEP_TOP_N_SIGMA};
    assert_int_equal(b.n_order, COUNT_OF(want));
    assert_memory_equal(b.order, want, sizeof want);
    const char *bad[] = {
        "",    "top_k;",    ";",           "bogus",
        "top", "temp temp", "typ typical", "xtc;xtc;xtc;xtc;xtc;xtc;xtc;xtc;xtc;xtc;xtc;xtc;xtc;xtc;xtc;xtc;xtc"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Err e = {0};
        assert_false(sampler_order_parse(str_of(bad[i]), &b, &e));
        assert_int_equal(e.code, ERR_USAGE);
    }
}

/* However hard the cut, one candidate stays; and a forbidden token never comes. */
static void one_stays(void **state) {
    (void)state;
    static LlmwsLogitBias none[V];
    float old[V];
    LlmwsSampling how = off;
    how.top_p = 1e-6f;
    assert_int_equal(pick(how, 1), 100);
    how.top_p = 1, how.min_p = 1;
    assert_int_equal(pick(how, 1), 100);
    how.min_p = 0, how.top_n_sigma = 1e-6f;
    assert_int_equal(pick(how, 1), 100);
    how.top_n_sigma = -1, how.xtc_probability = 1, how.xtc_threshold = 0; /* all but the least likely go */
    int least = 0;
    for (int i = 0; i < V; i++)
        if (logits[i] < logits[least]) least = i;
    assert_int_equal(pick(how, 1), least);
    how = off, how.typical = 1e-6f;
    pick(how, 1);
    how.typical = 0.5f, how.top_p = 0.5f, how.min_p = 0.5f, how.top_n_sigma = 0.5f, how.top_k = 3;
    how.xtc_probability = 1, how.xtc_threshold = 0.1f;
    memcpy(old, logits, sizeof old);
    for (int i = 0; i < V; i++) logits[i] = 0; /* nothing to tell them apart by */
    for (uint64_t i = 0; i < 50; i++) pick(how, i);
    for (int i = 0; i < V; i++) logits[i] = i % 2 ? -INFINITY : 3e38f;
    logits[10] = INFINITY;
    for (uint64_t i = 0; i < 50; i++) assert_int_equal(pick(how, i) % 2, 0);
    memcpy(logits, old, sizeof old);

    for (int i = 0; i < V; i++) none[i] = (LlmwsLogitBias){i, -INFINITY};
    how = off, how.bias = none, how.n_bias = V - 1;
    assert_int_equal(pick(how, 1), V - 1);
    how.n_bias = V;
    Err e = {0};
    int32_t id;
    SampleAt at = {.logits = logits};
    assert_false(sampler_pick(&sampler, &how, &at, &id, &e));
    assert_non_null(strstr(e.msg, "every token is forbidden"));
}

/* ---- what the model's files say ---- */

static Value number(double x) { return (Value){.kind = VALUE_FLOAT, .f = x}; }
static Value word(const char *z) { return (Value){.kind = VALUE_STR, .s = str_of(z)}; }

static void warned(void *ctx, int level, const char *line) {
    assert_int_equal(level, LLMWS_LOG_WARN);
    assert_non_null(line);
    ++*(int *)ctx;
}

static void model_defaults(void **state) {
    (void)state;
    int warnings = 0;
    Log log = {warned, &warnings};
    Err e = {0};
    SampleDefaults d;
    TensorFile f = {.format = STORE_GGUF};
    Str keys[] = {STR("general.sampling.temp"),           STR("general.sampling.top_k"),
                  STR("general.sampling.penalty_repeat"), STR("general.sampling.top_p"),
                  STR("general.sampling.sequence"),       STR("temperature")};
    Value values[] = {number(0.6), {.kind = VALUE_INT, .i = 20}, number(1.25),
                      number(7),   word("top_k;temperature"),    number(9)};
    assert_true(sample_defaults_read(&d, &f, &log, &e));
    assert_true(d.s.temp == 0.8f && d.s.top_k == 40 && d.s.min_p == 0.05f && d.s.n_order == 0);
    assert_string_equal(sample_defaults_origin(&d, "temp"), "built in");

    f.meta = (Value){.kind = VALUE_OBJECT, .object = {keys, values, COUNT_OF(keys)}};
    assert_true(sample_defaults_read(&d, &f, &log, &e));
    assert_true(d.s.temp == 0.6f && d.s.top_k == 20 && d.s.repeat_penalty == 1.25f);
    assert_string_equal(sample_defaults_origin(&d, "temp"), "general.sampling metadata");
    assert_true(d.s.top_p == 0.95f && warnings == 1); /* out of range */
    assert_string_equal(sample_defaults_origin(&d, "top-p"), "built in");
    assert_true(d.s.n_order == 2 && d.s.order[0] == LLMWS_STEP_TOP_K);
    values[4] = word("top_k;unheard_of");
    assert_true(sample_defaults_read(&d, &f, &log, &e));
    assert_true(d.s.n_order == 0 && warnings == 3);
    assert_string_equal(sample_defaults_origin(&d, "samplers"), "built in");

    f.format = STORE_HF; /* the same tree as generation_config.json: other keys */
    f.generation = f.meta;
    values[5] = number(0.5), values[0] = (Value){.kind = VALUE_BOOL}, keys[0] = STR("do_sample");
    assert_true(sample_defaults_read(&d, &f, &log, &e));
    assert_true(d.s.temp == 0 && d.s.top_k == 40);
    keys[0] = STR("typical_p"), values[0] = number(0.9);
    assert_true(sample_defaults_read(&d, &f, &log, &e));
    assert_true(d.s.temp == 0.5f && d.s.typical == 0.9f);
    assert_string_equal(sample_defaults_origin(&d, "typical"), "generation_config.json");
    values[0] = word("much");
    assert_false(sample_defaults_read(&d, &f, &log, &e));
    assert_non_null(strstr(e.msg, "typical_p"));
}

static void repeatable(void **state) {
    (void)state;
    SampleAt at = {.logits = logits, .stream = 1};
    int32_t id;
    int differ = 0;
    for (at.index = 0; at.index < 200; at.index++) {
        assert_int_equal(pick(off, at.index), pick(off, at.index));
        assert_true(sampler_pick(&sampler, &off, &at, &id, NULL)); /* another sequence draws by itself */
        differ += id != pick(off, at.index);
    }
    assert_true(differ > 50);
}

static void refusals(void **state) {
    (void)state;
    LlmwsSampling bad[] = {off, off, off, off, off, off, off, off, off, off, off, off, off, off};
    int32_t id;
    SampleAt at = {.logits = logits};
    bad[0].temp = -1, bad[1].top_p = 0, bad[2].min_p = 2, bad[3].top_k = -1, bad[4].repeat_penalty = 0,
    bad[5].temp = NAN, bad[6].typical = 2, bad[7].xtc_probability = -1, bad[8].xtc_threshold = NAN;
    bad[9].top_n_sigma = NAN, bad[10].dry_multiplier = -1, bad[11].dry_multiplier = 1, bad[11].dry_base = 0.5f;
    bad[12].n_order = 1, bad[12].order[0] = LLMWS_STEP_COUNT, bad[13].n_order = LLMWS_MAX_STEPS + 1;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Err e = {0};
        assert_false(sampler_pick(&sampler, &bad[i], &at, &id, &e));
        assert_int_equal(e.code, ERR_USAGE);
    }
    Err e = {0};
    LlmwsSampling biased = off;
    biased.bias = &(LlmwsLogitBias){V, 1}, biased.n_bias = 1;
    assert_false(sampler_pick(&sampler, &biased, &at, &id, &e));
    logits[9] = NAN;
    assert_false(sampler_pick(&sampler, &off, &at, &id, &e));
    assert_non_null(strstr(e.msg, "token 9"));
    logits[9] = 0;
}

/* Known answers of Philox4x32-10 (Random123's kat_vectors): counter and key all zero, all ones. */
static void philox(void **state) {
    (void)state;
    assert_true(rng_u64(0, 0, 0, RNG_SAMPLE) == UINT64_C(0xe169c58d6627e8d5));
    assert_true(rng_u64(UINT64_MAX, UINT64_MAX, UINT64_MAX, RNG_SAMPLE) == UINT64_C(0x41c83b0e408f276d));
    double sum = 0;
    for (uint64_t i = 0; i < 100000; i++) sum += rng_uniform(1, 2, i, RNG_SAMPLE);
    assert_true(fabs(sum / 100000 - 0.5) < 5 * sqrt(1.0 / 12 / 100000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy),
        cmocka_unit_test(only_what_is_allowed),
        cmocka_unit_test(follows_the_distribution),
        cmocka_unit_test(cuts),
        cmocka_unit_test(penalties),
        cmocka_unit_test(typical),
        cmocka_unit_test(top_n_sigma),
        cmocka_unit_test(xtc),
        cmocka_unit_test(dry),
        cmocka_unit_test(order_matters),
        cmocka_unit_test(default_order),
        cmocka_unit_test(one_stays),
        cmocka_unit_test(model_defaults),
        cmocka_unit_test(repeatable),
        cmocka_unit_test(refusals),
        cmocka_unit_test(philox),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
