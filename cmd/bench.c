/* llmws bench: how fast a model takes a prompt and generates. Random token ids, so no tokenising; nothing is sampled.
 */
#include "cmd/bench.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "backends/cpu/cpu.h"
#include "cmd/json_out.h"
#include "core/rng.h"

#define AT(field) .at = offsetof(BenchOpts, field)

static const OptRow test_rows[] = {
    {.name = "prompt",
     .letter = 'p',
     .also = "n-prompt",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 0,
     .hi = 1 << 24,
     AT(prompt),
     .init = "512",
     .help = "take a prompt of N tokens; 0: leave this test out"},
    {.name = "gen",
     .letter = 'n',
     .also = "n-gen",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 0,
     .hi = 1 << 24,
     AT(gen),
     .init = "128",
     .help = "generate N tokens, one after the other; 0: leave this test out"},
    {.name = "depth",
     .letter = 'd',
     .also = "n-depth",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 0,
     .hi = 1 << 24,
     AT(depth),
     .init = "0",
     .help = "begin each test after N tokens that are not timed"},
    {.name = "batch",
     .letter = 'b',
     .kind = OPT_INT,
     .arg = "N",
     .lo = 1,
     .hi = 4096,
     AT(batch),
     .init = "1",
     .help = "sequences at once; rates are those of all together"},
    {.name = "repeat",
     .letter = 'r',
     .also = "repetitions",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 1,
     .hi = 10000,
     AT(repeat),
     .init = "5",
     .help = "timed runs of each test, after one that is not"},
};

static const OptRow train_rows[] = {
    {.name = "train",
     .kind = OPT_FLAG,
     AT(train),
     .help = "in place of these: whole updates of --batch rows of --prompt tokens: forward, backward, norm, AdamW"},
    {.name = "precision",
     .kind = OPT_ENUM,
     .arg = "fp32|bf16",
     AT(precision),
     .help = "with --train: of products; default: one test each"},
    {.name = "grad-checkpoint",
     .kind = OPT_FLAG,
     AT(grad_checkpoint),
     .help = "with --train: keep the input of each block alone and compute the block again"},
};

static const OptRow quality_rows[] = {
    {.name = "ppl",
     .kind = OPT_TEXT,
     .arg = "FILE|-",
     AT(ppl),
     .help = "no timing: the perplexity of a text, in windows of -c tokens (512) that do not overlap, the second half "
             "of each scored, as llama-perplexity does"},
    {.name = "against",
     .kind = OPT_TEXT,
     .arg = "MODEL",
     AT(against),
     .help = "with --ppl: also the KL divergence from this model, which is computed in f32 with f32 keys and values"},
};

static const OptRow result_rows[] = {
    {.name = "csv", .kind = OPT_FLAG, AT(csv), .help = "comma-separated values, a line of names first"},
    {.name = "compare",
     .kind = OPT_FLAG,
     AT(compare),
     .help = "no measuring: two files of --json results side by side, given as A.json B.json"},
};

static const OptTable opts_test = {"Tests", test_rows, COUNT_OF(test_rows)};
static const OptTable opts_train = {"Training", train_rows, COUNT_OF(train_rows)};
static const OptTable opts_quality = {"Quality", quality_rows, COUNT_OF(quality_rows)};
static const OptTable opts_result = {"Results", result_rows, COUNT_OF(result_rows)};
static const OptTable *const tables[] = {&opts_model,  &opts_test,    &opts_train,  &opts_quality,
                                         &opts_result, &opts_session, &opts_output, NULL};

/* ---- the model's work ---- */

/* As --compute says and `auto` means it. */
static PeakKind product_kind(const Bench *b, const char *dtype) {
    const char *how = b->plan.compute;
    bool any = strcmp(how, "auto") == 0, bf16 = strcmp(dtype, "bf16") == 0;
    bool quantised = !bf16 && strcmp(dtype, "f16") != 0 && strcmp(dtype, "f32") != 0;
    if (quantised && (any || strcmp(how, "int8") == 0)) return PEAK_int8;
    return bf16 && (any || strcmp(how, "bf16") == 0) ? PEAK_bf16 : PEAK_f32;
}

static double sum_kinds(const double flop[PEAK_COUNT]) {
    double sum = 0;
    for (int k = 0; k < PEAK_COUNT; k++) sum += flop[k];
    return sum;
}

/* An embedding is a look-up of single rows, unless it serves as the head too. A token meets a part of the experts, a
 * step those that any of its tokens meet: of tokens that choose at random, all but (1 - part)^batch. */
static void count_work(Bench *b) {
    LlmwsTensorInfo t;
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

static void random_ids(Bench *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        b->ids[i] = (int32_t)(rng_u64(0, 0, (uint64_t)i, RNG_SAMPLE) % (uint64_t)b->info.vocab);
}

/* n tokens into every sequence: one sequence as a prompt is, several together in steps of whole chunks. */
static bool take_prompt(Bench *b, int64_t n, Err *e) {
    int64_t batch = b->o->batch, total = n * batch;
    if (batch == 1) return llmws_eval(b->session, b->seq[0], b->ids, (size_t)n, e);
    for (int64_t at = 0; at < total;) {
        int64_t end = MIN(total, at + b->plan.chunk);
        for (int64_t i = at; i < end; i++) b->step_seq[i - at] = b->seq[i / n];
        TRY(llmws_eval_batch(b->session, b->step_seq, b->ids + at, (size_t)(end - at), e));
        at = end;
    }
    return true;
}

static bool generate(Bench *b, int64_t n, Err *e) {
    int64_t batch = b->o->batch;
    for (int64_t t = 0; t < n; t++) TRY(llmws_eval_batch(b->session, b->seq, b->ids + t * batch, (size_t)batch, e));
    return true;
}

static bool rewind_to_depth(Bench *b, Err *e) {
    for (int64_t i = 0; i < b->o->batch; i++) TRY(llmws_seq_truncate(b->session, b->seq[i], b->o->depth, e));
    return true;
}

/* ---- timing ---- */

/* The better of what was measured before and after a test: memory that others use at the moment is no roof. */
static void read_rate(const Bench *b, double *gb_s) {
    double rate;
    Err e;
    if (!cpu_read_rate(b->plan.threads, &rate, &e)) {
        ui_warn(&b->ui, "%s; no share of the roof is shown", e.msg);
        return;
    }
    if (!(*gb_s >= rate * 1e-9)) *gb_s = rate * 1e-9;
}

/* Seconds that a core at its peak would take for the products of one token of a prompt of n; NAN where the peak is not
 * known. */
static double peak_seconds(const Bench *b, double n) {
    double seconds = 0;
    for (PeakKind k = 0; k < PEAK_COUNT; k++) {
        double flop = b->layer_flop[k] + b->head_flop[k] / n, rate = 0;
        Err e;
        if (flop <= 0) continue;
        if (!cpu_peak_rate(b->plan.threads, b->plan.isa, k, &rate, &e)) ui_warn(&b->ui, "%s", e.msg);
        seconds += rate > 0 ? flop / rate : (double)NAN;
    }
    return seconds;
}

static void summarise(Bench *b, BenchTest *t) {
    int64_t n = b->o->repeat;
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += b->rates[i];
    t->tok_s = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += (b->rates[i] - t->tok_s) * (b->rates[i] - t->tok_s);
    t->sd = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
}

/* Warm-up, then the timed runs, each from the same depth. */
static bool time_runs(Bench *b, BenchTest *t, bool (*run)(Bench *, int64_t, Err *), int64_t warm, Err *e) {
    TRY(run(b, warm, e) && rewind_to_depth(b, e));
    for (int64_t i = 0; i < b->o->repeat; i++) {
        int64_t start = now_ns();
        TRY(run(b, t->n, e));
        int64_t ns = MAX(now_ns() - start, 1);
        b->rates[i] = (double)(t->n * b->o->batch) * 1e9 / (double)ns;
        TRY(rewind_to_depth(b, e));
    }
    summarise(b, t);
    return true;
}

static bool test_prompt(Bench *b, BenchTest *t, Err *e) {
    double n = (double)t->n, flop = sum_kinds(b->layer_flop) + sum_kinds(b->head_flop) / n;
    double before = peak_seconds(b, n);
    TRY(time_runs(b, t, take_prompt, t->n, e));
    double roof = MIN(before, peak_seconds(b, n)); /* the better of two, as for reading */
    t->ttft_ms = n * (double)b->o->batch / t->tok_s * 1e3;
    t->gflop_s = flop * t->tok_s * 1e-9;
    if (!(roof > 0)) return true;
    t->peak_gflop_s = flop / roof * 1e-9;
    t->roof_share = t->gflop_s / t->peak_gflop_s;
    return true;
}

static bool test_gen(Bench *b, BenchTest *t, Err *e) {
    enum { WARM_STEPS = 16 };
    read_rate(b, &t->read_gb_s);
    TRY(time_runs(b, t, generate, MIN(t->n, (int64_t)WARM_STEPS), e));
    if (!isnan(t->read_gb_s)) read_rate(b, &t->read_gb_s);
    t->gb_s = (double)b->step_bytes * t->tok_s / (double)b->o->batch * 1e-9;
    t->gflop_s = (sum_kinds(b->layer_flop) + sum_kinds(b->head_flop)) * t->tok_s * 1e-9;
    t->roof_share = t->gb_s / t->read_gb_s;
    return true;
}

/* ---- the command ---- */

static bool run_test(Bench *b, const char *name, int64_t n, bool (*test)(Bench *, BenchTest *, Err *), Err *e) {
    const double none = (double)NAN;
    BenchTest t = {name, n, .ttft_ms = none, .gb_s = none, .read_gb_s = none, .peak_gflop_s = none, .roof_share = none};
    if (!n) return true;
    TRY(test(b, &t, e));
    return bench_put_test(b, &t, e);
}

static bool bench_open(Bench *b, Err *e) {
    const BenchOpts *o = b->o;
    const char *path;
    LlmwsSessionOptions so = session_options(&o->run);
    int64_t need = o->depth + MAX(o->prompt, o->gen);
    if (!o->prompt && !o->gen) return err_set(e, ERR_USAGE, "nothing to measure: --prompt and --gen are both 0");
    if (so.ctx && so.ctx < need)
        return err_set(e, ERR_FIT, "the tests do not fit: %" PRId64 " tokens, -c %" PRId64 " holds fewer; leave -c out",
                       need, so.ctx);
    if (o->batch > so.chunk)
        return err_set(e, ERR_USAGE, "--batch %" PRId64 ": a step takes at most --chunk %" PRId64 " tokens", o->batch,
                       so.chunk);
    if (!so.ctx) so.ctx = need;
    so.parallel = o->batch;
    if (strcmp(o->run.repack, "auto") == 0) so.repack = "now"; /* what is measured does not change meanwhile */
    TRY(backend_check(&o->run, e) && model_path(&o->run, &path, e) && model_open(path, &b->ui, &b->model, e));
    llmws_model_info(b->model, &b->info);
    b->name = bench_name(&b->info, path);
    b->session = llmws_session_open(b->model, &so, e);
    if (!b->session) return false;
    llmws_session_plan(b->session, &b->plan);
    plan_note(&b->ui, &b->plan);
    count_work(b);
    int64_t most = MAX(o->depth, MAX(o->prompt, o->gen)) * o->batch;
    b->seq = mem_alloc((size_t)o->batch, sizeof *b->seq);
    b->step_seq = mem_alloc((size_t)b->plan.chunk, sizeof *b->step_seq);
    b->ids = mem_alloc((size_t)most, sizeof *b->ids);
    b->rates = mem_alloc((size_t)o->repeat, sizeof *b->rates);
    random_ids(b, most);
    for (int64_t i = 0; i < o->batch; i++)
        if ((b->seq[i] = llmws_seq_open(b->session, e)) < 0) return false;
    return true;
}

static bool bench_measure(Bench *b, Err *e) {
    TRY(bench_open(b, e));
    bench_put_head(b);
    TRY(out_flush(&b->line, e));
    stop_watch(b->session);
    bool ok = (!b->o->depth || take_prompt(b, b->o->depth, e)) && run_test(b, "prompt", b->o->prompt, test_prompt, e) &&
              run_test(b, "gen", b->o->gen, test_gen, e);
    stop_watch(NULL);
    return ok;
}

/* ---- training ---- */

/* Forward, and back to the input and to the weight: each product three times. */
static bool run_train(Bench *b, const char *path, Precision precision, bool head, Err *e) {
    const BenchOpts *o = b->o;
    TrainBench how = {&o->run, &b->ui, path, o->batch, o->prompt, o->repeat, precision, o->grad_checkpoint};
    TrainBenchResult r = {.rates = b->rates};
    const double none = (double)NAN;
    BenchTest t = {"train", o->prompt, .ttft_ms = none, .gb_s = none, .read_gb_s = none};
    TRY(bench_train(&how, &r, e));
    b->plan = r.plan;
    if (head) bench_put_head(b);
    summarise(b, &t);
    t.mem_bytes = r.plan.total_bytes;
    t.gflop_s = 3 * (sum_kinds(b->layer_flop) + sum_kinds(b->head_flop)) * t.tok_s * 1e-9;
    t.peak_gflop_s = r.peak > 0 ? r.peak * 1e-9 : none;
    t.roof_share = t.gflop_s / t.peak_gflop_s;
    return bench_put_test(b, &t, e);
}

static bool train_measure(Bench *b, Err *e) {
    const BenchOpts *o = b->o;
    const char *path;
    if (o->prompt < 2) return err_set(e, ERR_USAGE, "--train needs a --prompt of 2 tokens or more");
    TRY(backend_check(&o->run, e) && model_path(&o->run, &path, e) && model_open(path, &b->ui, &b->model, e));
    llmws_model_info(b->model, &b->info);
    b->name = bench_name(&b->info, path);
    b->plan.compute = "fp32";
    count_work(b);
    b->rates = mem_alloc((size_t)o->repeat, sizeof *b->rates);
    static const char *const names[] = {[PRECISION_FP32] = "fp32", [PRECISION_BF16] = "bf16"};
    bool head = true;
    for (Precision p = PRECISION_FP32; p <= PRECISION_BF16; p++) {
        if (o->precision && strcmp(o->precision, names[p])) continue;
        TRY(run_train(b, path, p, head, e));
        head = false;
    }
    return true;
}

/* Options of another test than that of --train or --ppl. */
static bool check_apply(const BenchOpts *o, Err *e) {
    static const char *const of_train[] = {"gen", "depth", "ctx", "kv-type", "compute", "chunk", "lora", NULL},
                             *const of_ppl[] = {"prompt", "gen", "depth", "batch", "repeat", "train", NULL};
    for (const char *const *name = o->ppl ? of_ppl : of_train; (o->ppl || o->train) && *name; name++) {
        const OptRow *row = opt_find(tables, str_of(*name), "option '--", e);
        if (row && opt_is_given(row, o))
            return err_set(e, ERR_USAGE, "--%s does not go with --%s", *name, o->ppl ? "ppl" : "train");
    }
    return true;
}

static bool bench_run(const void *opts, Err *e) {
    const BenchOpts *o = opts;
    Bench b = {.o = o, .ui = ui_of(&o->run)};
    size_t files = o->run.args.n;
    if (o->csv && o->run.json) return err_set(e, ERR_USAGE, "--json and --csv are both given; give one");
    if (o->compare && files != 2) return err_set(e, ERR_USAGE, "--compare needs two files, A.json and B.json");
    if (o->compare) return bench_compare(&b.ui, o->csv, o->run.args.items[0], o->run.args.items[1], e);
    if (files) return err_set(e, ERR_USAGE, "unexpected argument '%s'; a model is -m MODEL", o->run.args.items[0]);
    if (o->against && !o->ppl) return err_set(e, ERR_USAGE, "--against goes with --ppl FILE, the text to compare on");
    TRY(check_apply(o, e));
    if (o->csv && o->ppl) return err_set(e, ERR_USAGE, "--csv has no columns for --ppl; use --json");
    if (o->ppl) return bench_ppl(&(PplOpts){&o->run, &b.ui, o->ppl, o->against}, e);
    if (!o->train && (o->precision || o->grad_checkpoint))
        return err_set(e, ERR_USAGE, "%s goes with --train", o->precision ? "--precision" : "--grad-checkpoint");
    bool ok = o->train ? train_measure(&b, e) : bench_measure(&b, e);
    llmws_session_close(b.session);
    llmws_model_close(b.model);
    free(b.seq);
    free(b.step_seq);
    free(b.ids);
    free(b.rates);
    buf_release(&b.line);
    return ok;
}

static const Example examples[] = {
    {"A prompt of 512 tokens, then 128 generated ones:", "llmws bench -m model.gguf"},
    {"Generation only, after 4096 tokens, as JSON:",
     "llmws bench -m model.gguf --prompt 0 --gen 64 --depth 4096 --json > after.json"},
    {"What a quantisation costs on a text:", "llmws bench -m model.gguf --ppl text.txt --against original"},
    {"Training, 2 rows of 256 tokens an update, in fp32 and in bf16:",
     "llmws bench -m model --train --batch 2 --prompt 256"},
    {"What a change brought:", "llmws bench --compare before.json after.json"},
    {NULL, NULL},
};

const Cmd cmd_bench = {
    .name = "bench",
    .summary = "measure how fast a model runs",
    .usage = "[-m MODEL] [--train] [OPTION]... | --ppl FILE [--against MODEL] | --compare A.json B.json",
    .about =
        "Times a prompt and generation with random tokens; tokenising and sampling are left out. Generation also "
        "shows how fast the weights are read, beside the fastest that this machine reads memory at the moment; a "
        "prompt, how many operations its products take a second, beside what the instruction set does in registers.",
    .tables = tables,
    .examples = examples,
    .opts_size = sizeof(BenchOpts),
    .max_args = 2,
    .run = bench_run,
};
