/* llmws bench: how fast a model takes a prompt and generates. Random token ids, so no tokenising; nothing is sampled.
 */
#include "cmd/bench.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "cmd/json_out.h"
#include "core/rng.h"

#define AT(field) .at = offsetof(BenchOpts, field)

static const OptRow synthetic_rows[] = {
    {.name = "synthetic",
     .kind = OPT_TEXT,
     .arg = "FAMILY:SIZE",
     AT(synthetic),
     .help =
         "in place of --model: random weights in the shape of a family's published model (llama:1B, qwen3:0.6B, ...; "
         "a wrong size names them all), or of any number of parameters (llama:350M)"},
    {.name = "type",
     .kind = OPT_TEXT,
     .arg = "TYPE",
     AT(type),
     .help =
         "with --synthetic: what the weights are, as convert names it: q4_0, q4_k_m, q8_0, f16, ...; default: bf16"},
};

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

static const OptTable opts_synthetic = {"Synthetic models", synthetic_rows, COUNT_OF(synthetic_rows)};
static const OptTable opts_test = {"Tests", test_rows, COUNT_OF(test_rows)};
static const OptTable opts_train = {"Training", train_rows, COUNT_OF(train_rows)};
static const OptTable opts_quality = {"Quality", quality_rows, COUNT_OF(quality_rows)};
static const OptTable opts_result = {"Results", result_rows, COUNT_OF(result_rows)};
static const OptTable *const tables[] = {&opts_model,  &opts_synthetic, &opts_test,   &opts_train, &opts_quality,
                                         &opts_result, &opts_session,   &opts_output, NULL};

/* ---- the tests ---- */

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
    TRY(time_runs(b, t, take_prompt, t->n, e));
    t->ttft_ms = (double)(t->n * b->o->batch) / t->tok_s * 1e3;
    return true;
}

static bool test_gen(Bench *b, BenchTest *t, Err *e) {
    enum { WARM_STEPS = 16 };
    TRY(time_runs(b, t, generate, MIN(t->n, (int64_t)WARM_STEPS), e));
    t->kv_bytes = bench_kv_bytes(b, t->n);
    t->gb_s = (double)(b->step_bytes + t->kv_bytes) * t->tok_s / (double)b->o->batch * 1e-9;
    return true;
}

/* ---- the command ---- */

static BenchTest test_of(const char *name, int64_t n) {
    const double none = (double)NAN;
    return (BenchTest){name, n, .ttft_ms = none, .gb_s = none, .peak_gflop_s = none, .roof_share = none};
}

/* outputs: how many tokens of a sequence go through the head. */
static bool run_test(Bench *b, BenchTest t, int64_t outputs, bool (*test)(Bench *, BenchTest *, Err *), Err *e) {
    if (!t.n) return true;
    t.flop = bench_flop_sum(b->layer_flop) + bench_flop_sum(b->head_flop) * (double)outputs / (double)t.n;
    TRY(test(b, &t, e));
    bench_share(b, &t);
    return bench_put_test(b, &t, e);
}

/* The model's path: a synthetic one is called by what it is. */
static bool bench_path(Bench *b, const char **path, Err *e) {
    const BenchOpts *o = b->o;
    if (!o->synthetic) return model_path(&o->run, path, e);
    if (o->run.model) return err_set(e, ERR_USAGE, "--model and --synthetic are both given; give one");
    *path = arena_printf(&b->arena, o->type ? "synthetic:%s:%s" : "synthetic:%s", o->synthetic, o->type);
    return true;
}

static bool bench_model(Bench *b, const char **path, Err *e) {
    TRY(backend_check(&b->o->run, e) && bench_path(b, path, e) && model_open(*path, &b->ui, &b->model, e));
    llmws_model_info(b->model, &b->info);
    b->name = bench_name(&b->info, *path);
    return true;
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
    TRY(bench_model(b, &path, e));
    b->session = llmws_session_open(b->model, &so, e);
    if (!b->session) return false;
    llmws_session_plan(b->session, &b->plan);
    plan_note(&b->ui, &b->plan);
    bench_count(b);
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
    bench_roofs(b);
    stop_watch(b->session);
    bool ok = (!b->o->depth || take_prompt(b, b->o->depth, e)) &&
              run_test(b, test_of("prompt", b->o->prompt), 1, test_prompt, e) &&
              run_test(b, test_of("gen", b->o->gen), b->o->gen, test_gen, e);
    stop_watch(NULL);
    return ok && bench_put_end(b, e);
}

/* ---- training ---- */

/* Forward, and back to the input and to the weight: each product three times. */
static bool run_train(Bench *b, const char *path, Precision precision, bool head, Err *e) {
    const BenchOpts *o = b->o;
    TrainBench how = {&o->run, &b->ui, path, o->batch, o->prompt, o->repeat, precision, o->grad_checkpoint};
    TrainBenchResult r = {.rates = b->rates};
    BenchTest t = test_of("train", o->prompt);
    TRY(bench_train(&how, &r, e));
    b->plan = r.plan;
    bench_count(b);
    if (head) bench_put_head(b);
    summarise(b, &t);
    t.mem_bytes = r.plan.total_bytes;
    t.flop = 3 * (bench_flop_sum(b->layer_flop) + bench_flop_sum(b->head_flop));
    bench_share(b, &t);
    return bench_put_test(b, &t, e);
}

static bool train_measure(Bench *b, Err *e) {
    const BenchOpts *o = b->o;
    const char *path;
    if (o->prompt < 2) return err_set(e, ERR_USAGE, "--train needs a --prompt of 2 tokens or more");
    TRY(bench_model(b, &path, e));
    b->plan = (LlmwsPlan){.threads = session_options(&o->run).threads, .isa = o->run.isa};
    bench_roofs(b);
    b->rates = mem_alloc((size_t)o->repeat, sizeof *b->rates);
    static const char *const names[] = {[PRECISION_FP32] = "fp32", [PRECISION_BF16] = "bf16"};
    bool head = true;
    for (Precision p = PRECISION_FP32; p <= PRECISION_BF16; p++) {
        if (o->precision && strcmp(o->precision, names[p])) continue;
        TRY(run_train(b, path, p, head, e));
        head = false;
    }
    return bench_put_end(b, e);
}

/* Options of another test than that of --train or --ppl. */
static bool check_apply(const BenchOpts *o, Err *e) {
    static const char *const of_train[] = {"gen", "depth", "ctx", "kv-type", "compute", "chunk", "lora", NULL},
                             *const of_ppl[] = {"prompt", "gen",   "depth",     "batch",
                                                "repeat", "train", "synthetic", NULL};
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
    if (o->type && !o->synthetic) return err_set(e, ERR_USAGE, "--type goes with --synthetic FAMILY:SIZE");
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
    arena_release(&b.arena);
    return ok;
}

static const Example examples[] = {
    {"A prompt of 512 tokens, then 128 generated ones:", "llmws bench -m model.gguf"},
    {"Generation only, after 4096 tokens, as JSON:",
     "llmws bench -m model.gguf --prompt 0 --gen 64 --depth 4096 --json > after.json"},
    {"A shape of which there is no file:", "llmws bench --synthetic qwen3:5M --type q4_k_m"},
    {"What a quantisation costs on a text:", "llmws bench -m model.gguf --ppl text.txt --against original"},
    {"Training, 2 rows of 256 tokens an update, in fp32 and in bf16:",
     "llmws bench -m model --train --batch 2 --prompt 256"},
    {"What a change brought:", "llmws bench --compare before.json after.json"},
    {NULL, NULL},
};

const Cmd cmd_bench = {
    .name = "bench",
    .summary = "measure how fast a model runs",
    .usage = "[-m MODEL | --synthetic FAMILY:SIZE] [--train] [OPTION]... | --ppl FILE [--against MODEL] | --compare "
             "A.json B.json",
    .about =
        "Times a prompt and generation with random tokens; tokenising and sampling are left out. Beside each rate "
        "stands how many operations its products with weights take a second; for generation also how many bytes of "
        "weights, keys and values it reads. Both are shown as a share of what this machine does at most with as many "
        "threads, measured in the same run before and after each test: reading memory, and multiplying f32, bf16 and "
        "8-bit integers in registers. Synthetic models are made in memory, quantised, from random values that are the "
        "same every time; convert writes one to a file (llmws convert synthetic:llama:1B:q4_0 -o FILE.gguf). A number "
        "of parameters that is no published size becomes the widest model that has no more, as the settings of train "
        "--arch derive it, with a vocabulary of about a 2048th of them.",
    .tables = tables,
    .examples = examples,
    .opts_size = sizeof(BenchOpts),
    .max_args = 2,
    .run = bench_run,
};
