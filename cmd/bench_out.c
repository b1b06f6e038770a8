/* Results of llmws bench: for people, as JSON lines, as CSV. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "cmd/bench.h"
#include "cmd/json_out.h"
#include "formats/dirs.h"

static double rounded(double x) { return round(x * 1000) / 1000; }

Str bench_name(const LlmwsModelInfo *m, const char *path) {
    return m->name && *m->name ? str_of(m->name) : path_last(str_of(path));
}

void bench_put_setting(Buf *l, Str name, const LlmwsModelInfo *m, const LlmwsPlan *p) {
    json_str(l, "model", name);
    json_str(l, "dtypes", str_of(m->dtypes));
    json_int(l, "params", m->params);
    json_int(l, "threads", p->threads);
    json_str(l, "isa", str_of(p->isa));
    json_str(l, "compute", str_of(p->compute));
    if (p->kv_type) json_str(l, "kv_type", str_of(p->kv_type));
    json_int(l, "chunk", p->chunk);
    json_str(l, "version", str_of(llmws_version()));
}

static const char *const peak_names[PEAK_COUNT] = {"f32", "bf16", "int8"};

/* Absent: not known. */
static void put_known(Buf *l, const char *key, double x) {
    if (!isnan(x) && fabs(x) > 0) json_num(l, key, rounded(x));
}

static void put_json(Bench *b, const BenchTest *t) {
    Buf *l = &b->line;
    event_begin(l, "bench");
    json_str(l, "test", str_of(t->name));
    json_int(l, "n", t->n);
    json_int(l, "depth", b->o->depth);
    json_int(l, "batch", b->o->batch);
    json_int(l, "repeat", b->o->repeat);
    json_num(l, "tok_s", rounded(t->tok_s));
    json_num(l, "sd", rounded(t->sd));
    put_known(l, "ttft_ms", t->ttft_ms);
    json_num(l, "gflop_s", rounded(t->gflop_s));
    put_known(l, "peak_gflop_s", t->peak_gflop_s);
    if (!isnan(t->gb_s)) {
        json_int(l, "weight_bytes", b->step_bytes);
        json_int(l, "kv_bytes", t->kv_bytes);
        json_num(l, "gb_s", rounded(t->gb_s));
    }
    put_known(l, "roof_share", t->roof_share);
    put_known(l, "read_gb_s", t->roofs.read_gb_s);
    for (PeakKind k = 0; k < PEAK_COUNT; k++) {
        char key[32];
        snprintf(key, sizeof key, "%s_gflop_s", peak_names[k]);
        put_known(l, key, t->roofs.gflop_s[k]);
    }
    if (t->mem_bytes) {
        json_int(l, "mem_bytes", t->mem_bytes);
        json_bool(l, "grad_checkpoint", b->o->grad_checkpoint);
    }
    bench_put_setting(l, b->name, &b->info, &b->plan);
    event_end(l);
}

static void csv_num(Buf *l, double x) {
    buf_char(l, ',');
    if (!isnan(x) && fabs(x) > 0) buf_printf(l, "%.3f", x);
}

/* A quoted field of CSV (RFC 4180). */
void bench_put_csv(Buf *l, Str text) {
    buf_str(l, ",\"");
    for (size_t i = 0; i < text.n; i++) {
        if (text.s[i] == '"') buf_char(l, '"');
        buf_char(l, text.s[i]);
    }
    buf_char(l, '"');
}

static void put_csv(Bench *b, const BenchTest *t) {
    Buf *l = &b->line;
    buf_printf(l, "%s,%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, t->name, t->n, b->o->depth, b->o->batch,
               b->o->repeat);
    const double numbers[] = {t->tok_s,
                              t->sd,
                              t->ttft_ms,
                              t->gflop_s,
                              t->gb_s,
                              t->peak_gflop_s,
                              t->roof_share,
                              t->roofs.read_gb_s,
                              t->roofs.gflop_s[PEAK_f32],
                              t->roofs.gflop_s[PEAK_bf16],
                              t->roofs.gflop_s[PEAK_int8]};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) csv_num(l, numbers[i]);
    buf_printf(l, ",%d,%s,%s,%s,%" PRId64, b->plan.threads, b->plan.isa, b->plan.compute,
               b->plan.kv_type ? b->plan.kv_type : "", b->plan.chunk);
    bench_put_csv(l, b->name);
    buf_char(l, '\n');
}

static void put_text(Bench *b, const BenchTest *t) {
    Buf *l = &b->line;
    buf_printf(l, "%-6s %6" PRId64 " %6" PRId64 " %6" PRId64 " %10.1f ± %-7.1f %8.1f", t->name, t->n, b->o->depth,
               b->o->batch, t->tok_s, t->sd, t->gflop_s);
    if (!isnan(t->peak_gflop_s))
        buf_printf(l, ", %.0f %% of %.0f", 100 * t->gflop_s / t->peak_gflop_s, t->peak_gflop_s);
    if (!isnan(t->ttft_ms)) buf_printf(l, "   first token after %.1f ms", t->ttft_ms);
    if (!isnan(t->gb_s)) buf_printf(l, "   reads %.1f GB/s", t->gb_s);
    if (!isnan(t->gb_s) && t->roofs.read_gb_s > 0)
        buf_printf(l, ", %.0f %% of %.1f", 100 * t->gb_s / t->roofs.read_gb_s, t->roofs.read_gb_s);
    if (t->mem_bytes) {
        buf_printf(l, "   %s, ", b->plan.compute);
        put_bytes(l, t->mem_bytes);
    }
    buf_char(l, '\n');
}

void bench_put_head(Bench *b) {
    Buf *l = &b->line, size = {0}, count = {0};
    if (b->ui.json) return;
    if (b->o->csv) {
        buf_str(l, "test,n,depth,batch,repeat,tok_s,sd,ttft_ms,gflop_s,gb_s,peak_gflop_s,roof_share,read_gb_s,"
                   "f32_gflop_s,bf16_gflop_s,int8_gflop_s,threads,isa,compute,kv_type,chunk,model\n");
        return;
    }
    put_bytes(&size, b->info.bytes);
    put_count(&count, b->info.params);
    put_inert(l, b->name, false);
    buf_printf(l, ": %s parameters, %s (%s)\n", count.s, size.s, b->info.dtypes);
    buf_printf(l, "%d thread%s, isa %s", b->plan.threads, b->plan.threads == 1 ? "" : "s", b->plan.isa);
    if (b->plan.kv_type)
        buf_printf(l, ", compute %s, kv-type %s, chunk %" PRId64, b->plan.compute, b->plan.kv_type, b->plan.chunk);
    buf_printf(l, "; mean ± sd of %" PRId64 " run%s\n\n", b->o->repeat, b->o->repeat == 1 ? "" : "s");
    buf_printf(l, b->ui.out_color ? "\033[1m%s\033[0m\n" : "%s\n",
               "test        n  depth  batch      tok/s ± sd       GFLOP/s");
    buf_release(&size);
    buf_release(&count);
}

bool bench_put_test(Bench *b, const BenchTest *t, Err *e) {
    if (b->ui.json)
        put_json(b, t);
    else if (b->o->csv)
        put_csv(b, t);
    else
        put_text(b, t);
    return out_flush(&b->line, e);
}

bool bench_put_end(Bench *b, Err *e) {
    const Roofs *r = &b->best;
    Buf *l = &b->line;
    if (b->ui.json || b->o->csv) return true;
    buf_str(l, "\nroofs of this run:");
    if (r->read_gb_s > 0) buf_printf(l, " reading %.1f GB/s", r->read_gb_s);
    for (PeakKind k = 0; k < PEAK_COUNT; k++)
        if (r->gflop_s[k] > 0)
            buf_printf(l, "%s%s %.0f",
                       k                  ? ", "
                       : r->read_gb_s > 0 ? "; GFLOP/s of "
                                          : " GFLOP/s of ",
                       peak_names[k], r->gflop_s[k]);
    buf_char(l, '\n');
    return out_flush(l, e);
}
