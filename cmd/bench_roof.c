/* What a model's work is, what this machine could do at most, and how near the one comes to the other. */
#include <math.h>

#include "cmd/bench.h"
#include "core/dtype.h"

/* ---- the model's work ---- */

/* As --compute says and `auto` means it; a training has one precision. */
static PeakKind product_kind(const Bench *b, const char *dtype) {
    const char *how = b->plan.compute;
    if (b->o->train) return strcmp(how, "bf16") == 0 ? PEAK_bf16 : PEAK_f32;
    bool any = strcmp(how, "auto") == 0, bf16 = strcmp(dtype, "bf16") == 0;
    bool quantised = !bf16 && strcmp(dtype, "f16") != 0 && strcmp(dtype, "f32") != 0;
    if (quantised && (any || strcmp(how, "int8") == 0)) return PEAK_int8;
    return bf16 && (any || strcmp(how, "bf16") == 0) ? PEAK_bf16 : PEAK_f32;
}

double bench_flop_sum(const double flop[PEAK_COUNT]) {
    double sum = 0;
    for (int k = 0; k < PEAK_COUNT; k++) sum += flop[k];
    return sum;
}

/* An embedding is a look-up of single rows, unless it serves as the head too. A token meets a part of the experts, a
 * step those that any of its tokens meet: of tokens that choose at random, all but (1 - part)^batch. */
void bench_count(Bench *b) {
    LlmwsTensorInfo t;
    b->step_bytes = 0;
    memset(b->layer_flop, 0, sizeof b->layer_flop);
    memset(b->head_flop, 0, sizeof b->head_flop);
    double part = b->info.experts ? (double)b->info.experts_used / (double)b->info.experts : 1;
    for (size_t i = 0; i < llmws_tensor_count(b->model); i++) {
        llmws_tensor_info(b->model, i, &t);
        bool embedding = str_ends(str_of(t.name), "embed_tokens.weight");
        if (embedding && !b->info.tied) continue;
        double read = t.ndim == 3 ? 1 - pow(1 - part, (double)b->o->batch) : 1;
        b->step_bytes += (int64_t)(read * (double)t.bytes);
        if (t.ndim < 2) continue;
        double flop = 2 * (double)t.shape[0] * (double)t.shape[1];
        if (t.ndim == 3) flop *= part * (double)t.shape[2];
        bool head = embedding || strcmp(t.name, "lm_head.weight") == 0;
        (head ? b->head_flop : b->layer_flop)[product_kind(b, t.dtype)] += flop;
    }
}

/* Windowed layers read no more than their window. */
int64_t bench_kv_bytes(const Bench *b, int64_t n) {
    const LlmwsModelInfo *m = &b->info;
    Dtype t;
    if (!b->plan.kv_type || !dtype_from_name(b->plan.kv_type, &t)) return 0;
    const int64_t keys = b->o->depth + (n + 1) / 2, near = m->window ? MIN(keys, m->window) : keys;
    const int64_t seen = (m->layers - m->windowed) * keys + m->windowed * near;
    return b->o->batch * seen * 2 * dtype_row_bytes(t, m->kv_heads * m->head_dim);
}

/* ---- roofs ---- */

void bench_roofs(Bench *b) {
    double rate = 0;
    Err e;
    b->last = (Roofs){0};
    if (cpu_read_rate(b->plan.threads, &rate, &e))
        b->last.read_gb_s = rate * 1e-9;
    else if (!b->read_warned)
        ui_warn(&b->ui, "%s; no share of that roof is shown", e.msg), b->read_warned = true;
    for (PeakKind k = 0; k < PEAK_COUNT; k++)
        if (cpu_peak_rate(b->plan.threads, b->plan.isa, k, &rate, &e)) b->last.gflop_s[k] = rate * 1e-9;
}

static Roofs better(const Roofs *a, const Roofs *b) {
    Roofs r = {.read_gb_s = MAX(a->read_gb_s, b->read_gb_s)};
    for (PeakKind k = 0; k < PEAK_COUNT; k++) r.gflop_s[k] = MAX(a->gflop_s[k], b->gflop_s[k]);
    return r;
}

/* The rate at which the products of a test would be done, each kind at its own roof; NAN where one is not known. */
static double peak_of(const Bench *b, const BenchTest *t) {
    const double layers = bench_flop_sum(b->layer_flop), head = bench_flop_sum(b->head_flop);
    const bool train = t->mem_bytes > 0;
    const double outputs = train || head <= 0 ? 1 : (t->flop - layers) / head;
    double seconds = 0;
    for (PeakKind k = 0; k < PEAK_COUNT; k++) {
        const double gflop = (b->layer_flop[k] + b->head_flop[k] * outputs) * 1e-9;
        if (gflop > 0) seconds += t->roofs.gflop_s[k] > 0 ? gflop / t->roofs.gflop_s[k] : (double)NAN;
    }
    return (layers + head * outputs) * 1e-9 / seconds;
}

void bench_share(Bench *b, BenchTest *t) {
    const Roofs before = b->last;
    bench_roofs(b);
    t->roofs = better(&before, &b->last);
    b->best = better(&b->best, &t->roofs);
    t->gflop_s = t->flop * t->tok_s * 1e-9;
    t->peak_gflop_s = peak_of(b, t);
    t->roof_share = t->gflop_s / t->peak_gflop_s;
    const double reading = t->roofs.read_gb_s > 0 ? t->gb_s / t->roofs.read_gb_s : (double)NAN;
    if (!(t->roof_share >= reading)) t->roof_share = isnan(reading) ? t->roof_share : reading;
}
