/* A trainer over a model of the oracle, for tests. */
#ifndef TESTS_TRAINING_H
#define TESTS_TRAINING_H

#include "core/train.h"
#include "oracle.h"

enum { BENCH_TOKENS = 256 }; /* of a micro-step at most */

typedef struct Bench {
    Oracle o;
    Model m;
    Backend *b;
    Trainer t;
} Bench;

static inline void bench_open(Bench *x, const char *name, int threads, TrainSpec spec) {
    char dir[256];
    Err e = {0};
    snprintf(dir, sizeof dir, TEST_DATA "/%s", name);
    oracle_open(&x->o, name);
    model_load(&x->m, dir);
    OK(cpu_backend_open(&(BackendOptions){.threads = threads}, &x->b, &e), e);
    OK(train_open(&x->t, &x->m, &spec, x->b, &e), e);
    OK(plan_verify(&x->t.x.plan, &e), e);
}

static inline void bench_close(Bench *x) {
    train_close(&x->t);
    x->b->close(x->b);
    model_release(&x->m);
    oracle_close(&x->o);
}

/* Sequences of lens[0..n) tokens after each other, in one micro-step; returns the sum of their losses times weight. */
static inline double bench_micro(Bench *x, const int32_t *ids, const int64_t *lens, int64_t n, double weight) {
    Err e = {0};
    int32_t labels[BENCH_TOKENS], index[BENCH_TOKENS];
    double loss;
    int64_t at = 0;
    for (int64_t k = 0; k < n; k++)
        for (int64_t i = 0; i < lens[k]; i++, at++)
            index[at] = (int32_t)i, labels[at] = i + 1 < lens[k] ? ids[at + 1] : -100;
    OK(train_micro(&x->t, &(TrainBatch){ids, labels, index, at}, weight, &loss, &e), e);
    return loss * weight;
}

static inline double norm2(const float *x, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)x[i] * (double)x[i];
    return sqrt(s);
}

/* Norm of a - b. */
static inline double distance(const float *a, const float *b, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(s);
}

/* All gradients after each other, in the order of the parameters; free() them. */
static inline float *bench_gradients(const Bench *x) {
    int64_t n = 0;
    for (size_t i = 0; i < x->t.n_params; i++) n += train_count(&x->t, &x->t.params[i]);
    float *all = mem_alloc((size_t)n, sizeof *all), *at = all;
    for (size_t i = 0; i < x->t.n_params; i++) {
        const TrainParam *p = &x->t.params[i];
        memcpy(at, exec_data(&x->t.x, p->grad), (size_t)train_count(&x->t, p) * sizeof *at);
        at += train_count(&x->t, p);
    }
    return all;
}

/* Each parameter's: within part of its norm, and a hundredth of that of the norm of all. */
static inline void same_gradients(const Bench *x, const float *got, const float *want, double part, const char *what) {
    double global = 0;
    int64_t at = 0;
    for (size_t i = 0; i < x->t.n_params; at += train_count(&x->t, &x->t.params[i++])) {
        double r = norm2(want + at, train_count(&x->t, &x->t.params[i]));
        global += r * r;
    }
    at = 0;
    for (size_t i = 0; i < x->t.n_params; at += train_count(&x->t, &x->t.params[i++])) {
        int64_t n = train_count(&x->t, &x->t.params[i]);
        double d = distance(got + at, want + at, n), r = norm2(want + at, n);
        if (!(d <= part * r + part * 0.01 * sqrt(global)))
            fail_msg("%s, %s: gradient of %s is off by %g of %g", x->o.name, what, x->t.params[i].name, d, r);
    }
}

#endif
