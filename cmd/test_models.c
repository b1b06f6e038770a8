/* llmws test-models: do the models of this machine work here? */
#include "cmd/test_models.h"

#include <stdlib.h>

#include "core/arch.h"
#include "formats/builtin.h"

typedef struct TestOpts {
    RunOpts run; /* its session options are told here in fewer words */
    bool quick, verify, markdown;
    const char *record;
} TestOpts;

#define AT(field) .at = offsetof(TestOpts, field)

static const OptRow test_rows[] = {
    {.name = "quick",
     .kind = OPT_FLAG,
     AT(quick),
     .help = "seconds a model: fewer tokens, no hashes, not every weight; the smoke test after a roll-out"},
    {.name = "verify",
     .kind = OPT_FLAG,
     AT(verify),
     .help = "only the files: SHA-256 against a record, no NaN or infinity in any weight"},
    {.name = "record",
     .kind = OPT_TEXT,
     .arg = "FILE",
     AT(record),
     .help = "keep hashes, logits, answer and perplexity of the models that pass; a later run given this .json file "
             "compares"},
    {.name = "markdown",
     .kind = OPT_FLAG,
     AT(markdown),
     .help = "the matrix of families and formats instead of a table"},
};

static const OptRow where_rows[] = {
    {.name = "backend",
     .kind = OPT_ENUM,
     .arg = "all|cpu|cuda",
     AT(run.backend),
     .init = "all",
     .help = "where to test; all: each that the machine file names; one that is absent here is skipped"},
    OPT_THREADS_ROW,
    {.name = "kv-type",
     .kind = OPT_ENUM,
     .arg = "f32|f16|bf16|q8_0",
     AT(run.kv_type),
     .init = "f16",
     .help = "how keys and values are cached in the answer that is tested"},
    {.name = "compute",
     .kind = OPT_ENUM,
     .arg = "auto|f32|bf16|int8",
     AT(run.compute),
     .init = "auto",
     .help = "its arithmetic; the reference is always f32"},
    {.name = "isa",
     .kind = OPT_TEXT,
     .arg = "NAME",
     AT(run.isa),
     .help = "its instruction set; default: the best here"},
};

static const OptTable opts_test = {"Tests", test_rows, COUNT_OF(test_rows)};
static const OptTable opts_where = {"Where", where_rows, COUNT_OF(where_rows)};
static const OptTable *const tables[] = {&opts_model, &opts_test, &opts_where, &opts_output, NULL};

typedef struct Tests {
    const TestOpts *o;
    Ui ui;
    TestPlan plan;
    TestRows all;
    Records known, made;
} Tests;

static void row_ends(TestRow *r, CheckState state, const char *why) {
    r->state = state;
    size_t n = MIN(strlen(why), sizeof r->why - 1);
    memcpy(r->why, why, n);
    r->why[n] = 0;
}

/* ---- one model ---- */

/* What the file says that it is. A family that is not known, or no weights at all, is nothing to test. */
static bool identify(TestRow *r, TensorFile *f, Err *e) {
    const char *path = r->model->path;
    if (!model_exists(path)) {
        row_ends(r, CHECK_SKIPPED, builtin_is(path) ? "it is not in this build" : "it is not on this machine");
        return false;
    }
    if (!tensor_file_open(path, f, e)) {
        check_note(&r->report, "load", CHECK_FAILED, "%s", e->msg);
        return false;
    }
    r->format = f->format == STORE_GGUF ? "gguf" : "safetensors";
    const ArchRow *arch = arch_find(f, e);
    if (arch && f->n) return r->family = arch->name, true;
    row_ends(r, CHECK_SKIPPED, arch ? "it holds no weights" : e->msg);
    return false;
}

static void compare_files(CheckReport *r, const ModelRecord *known, const FileHash *files, size_t n) {
    for (size_t k = 0; k < known->n_files; k++) {
        const FileHash *want = &known->files[k], *got = NULL;
        for (size_t i = 0; i < n; i++)
            if (strcmp(files[i].name, want->name) == 0) got = &files[i];
        if (got && strcmp(got->sha256, want->sha256) == 0) continue;
        check_note(r, "files", CHECK_FAILED,
                   got ? "'%s' is not the file that was recorded: SHA-256 %.16s..., not "
                         "%.16s..."
                       : "'%s' was recorded and is missing",
                   want->name, got ? got->sha256 : "", want->sha256);
        return;
    }
    check_note(r, "files", CHECK_PASSED, "%s", "");
}

static void test_files(Tests *t, TestRow *r, const TensorFile *f, const ModelRecord *known, ModelRecord *made) {
    Arena a = {0};
    FileHash *files;
    size_t n;
    Err e;
    if ((!known && !made) || (t->o->quick && !t->o->verify && !made)) return;
    if (!hash_files(f, made ? &t->made.arena : &a, &files, &n, &e)) {
        check_note(&r->report, "files", CHECK_FAILED, "%s", e.msg);
    } else {
        if (known) compare_files(&r->report, known, files, n);
        if (made) made->files = files, made->n_files = n;
    }
    arena_release(&a);
}

static void test_speed(TestRow *r, const TestBounds *all) {
    const TestBounds *own = &r->model->bounds;
    const CheckReport *c = &r->report;
    double prompt = own->min_prompt_tok_s > 0 ? own->min_prompt_tok_s : all->min_prompt_tok_s;
    double decode = own->min_decode_tok_s > 0 ? own->min_decode_tok_s : all->min_decode_tok_s;
    if (!(prompt > 0) && !(decode > 0)) return;
    bool ok = c->prompt_tok_s >= prompt && c->decode_tok_s >= decode;
    check_note(&r->report, "speed", ok ? CHECK_PASSED : CHECK_FAILED,
               "%.1f tok/s of a prompt, at least %.1f are asked for; %.1f generated, at least %.1f", c->prompt_tok_s,
               prompt, c->decode_tok_s, decode);
}

static void test_run(Tests *t, TestRow *r, LlmwsModel *m, const ModelRecord *known) {
    const TestOpts *o = t->o;
    int threads = o->run.threads == OPT_UNSET ? t->plan.threads : (int)o->run.threads;
    CheckOptions how = {.backend = r->backend,
                        .isa = o->run.isa,
                        .compute = o->run.compute,
                        .kv_type = o->run.kv_type,
                        .threads = threads,
                        .quick = o->quick,
                        .max_ppl = r->model->bounds.max_ppl > 0 ? r->model->bounds.max_ppl : t->plan.bounds.max_ppl,
                        .known = known ? &known->check : NULL};
    check_model(m, &how, &r->report);
    if (check_failed(&r->report)) return;
    test_speed(r, &t->plan.bounds);
    check_leaks(r->model->path, &how, &r->report);
}

static void test_open(Tests *t, TestRow *r, const ModelRecord *known) {
    LlmwsModelInfo info;
    LlmwsModel *m;
    Err e;
    if (!model_open(r->model->path, &t->ui, &m, &e)) {
        check_note(&r->report, "load", CHECK_FAILED, "%s", e.msg);
        return;
    }
    llmws_model_info(m, &info);
    r->params = info.params;
    strncat(r->dtypes, info.dtypes, sizeof r->dtypes - 1);
    check_note(&r->report, "load", CHECK_PASSED, "%s", "");
    if (!t->o->verify) test_run(t, r, m, known);
    if (t->o->quick && !t->o->verify)
        check_note(&r->report, "weights", CHECK_SKIPPED, "not all are read by --quick");
    else if (llmws_weights_finite(m, &e))
        check_note(&r->report, "weights", CHECK_PASSED, "%s", "");
    else
        check_note(&r->report, "weights", CHECK_FAILED, "%s", e.msg);
    llmws_model_close(m);
}

static bool test_model(Tests *t, TestRow *r, Err *e) {
    const ModelRecord *known = records_find(&t->known, r->model->path);
    ModelRecord made = {0};
    TensorFile f = {0};
    Err why = {0};
    const int64_t start = now_ns();
    if (strcmp(r->backend, "cpu") != 0) {
        r->absent = true;
        return row_ends(r, CHECK_SKIPPED, "this build computes on the CPU"), true;
    }
    bool found = identify(r, &f, &why);
    if (found) test_files(t, r, &f, known, t->o->record ? &made : NULL);
    if (f.close) f.close(&f);
    if (found) test_open(t, r, known);
    r->seconds = (double)(now_ns() - start) * 1e-9;
    for (size_t i = 0; i < r->report.n && r->state == CHECK_PASSED; i++)
        if (r->report.results[i].state == CHECK_FAILED) row_ends(r, CHECK_FAILED, r->report.results[i].why);
    if (!found || r->state != CHECK_PASSED || !t->o->record) return true;
    ModelRecord *kept;
    TRY(records_add(&t->made, r->model->path, &kept, e));
    kept->files = made.files, kept->n_files = made.n_files, kept->check = r->report.record;
    return true;
}

/* ---- all of them ---- */

static bool test_all(Tests *t, Err *e) {
    const TestOpts *o = t->o;
    const char *backends[2];
    size_t n = 0;
    bool all = strcmp(o->run.backend, "all") == 0, table = !o->markdown;
    if (all ? t->plan.cpu : strcmp(o->run.backend, "cpu") == 0) backends[n++] = "cpu";
    if (all ? t->plan.cuda : strcmp(o->run.backend, "cuda") == 0) backends[n++] = "cuda";
    t->all.rows = mem_alloc(t->plan.n * n + 1, sizeof *t->all.rows);
    t->all.name_width = (int)strlen("model");
    for (size_t i = 0; i < t->plan.n; i++)
        t->all.name_width = MAX(t->all.name_width, MIN((int)strlen(path_end(t->plan.models[i].path)), 40));
    if (table) TRY(put_test_head(&t->all, &t->ui, e));
    for (size_t i = 0; i < t->plan.n * n; i++) {
        TestRow *r = &t->all.rows[t->all.n++];
        size_t model = i % t->plan.n, backend = i / t->plan.n;
        *r = (TestRow){.model = &t->plan.models[model], .backend = backends[backend], .family = "-", .format = "-"};
        TRY(test_model(t, r, e));
        t->all.count[r->state]++;
        if (table) TRY(put_test_row(&t->all, r, &t->ui, e));
    }
    return table ? put_test_end(&t->all, &t->ui, e) : put_support(&t->all, e);
}

static bool test_judge(const Tests *t, Err *e) {
    const size_t *count = t->all.count;
    if (!t->plan.n)
        return err_set(e, ERR_CHECK,
                       "no models to test: name models or folders, or list them in .llmws-test.json here or in "
                       "llmws/test.json of $XDG_CONFIG_HOME");
    if (count[CHECK_FAILED]) return err_set(e, ERR_CHECK, "%zu of %zu tests failed", count[CHECK_FAILED], t->all.n);
    return count[CHECK_PASSED] || err_set(e, ERR_CHECK, "nothing passed: all of %zu tests were skipped", t->all.n);
}

static bool test_check(const TestOpts *o, Err *e) {
    if (o->record && (o->quick || o->verify))
        return err_set(e, ERR_USAGE, "--record keeps what the whole test finds; leave --%s out",
                       o->quick ? "quick" : "verify");
    if (o->markdown && o->run.json) return err_set(e, ERR_USAGE, "--markdown and --json are both given; give one");
    return true;
}

static bool test_models_run(const void *opts, Err *e) {
    Tests t = {.o = opts};
    TRY(test_check(t.o, e));
    t.ui = ui_of(&t.o->run);
    bool ok = test_plan_make(&t.plan, &t.o->run, e) && (!t.plan.record || records_read(&t.known, t.plan.record, e)) &&
              test_all(&t, e) && (!t.o->record || records_write(&t.made, t.o->record, e)) && test_judge(&t, e);
    free(t.all.rows);
    records_release(&t.known);
    records_release(&t.made);
    test_plan_release(&t.plan);
    return ok;
}

static const Example examples[] = {
    {"Does llmws work on this machine?", "llmws test-models"},
    {"Does this model?", "llmws test-models model.gguf"},
    {"Everything below a folder, in seconds each:", "llmws test-models --quick models"},
    {"Keep what a model gives today:", "llmws test-models model.gguf --record record.json"},
    {"Later, or elsewhere: is it still that model, and does it still give that?",
     "llmws test-models record.json model.gguf"},
    {"Only the files, against the record:", "llmws test-models --verify record.json model.gguf"},
    {NULL, NULL},
};

const Cmd cmd_test_models = {
    .name = "test-models",
    .summary = "prove that models work on this machine",
    .usage = "[DIR|MODEL|RECORD.json]... [OPTION]...",
    .about =
        "Each model is loaded, its template rendered, and one prompt answered in several ways that must agree to the "
        "bit: at once, token by token, in pieces, on another number of threads. Its logits are held to a reference in "
        "float32 and that to plain C; its language to what English should be worth to it; its memory to the plan. "
        "Without arguments the models come from .llmws-test.json in this folder, or from llmws/test.json in "
        "$XDG_CONFIG_HOME; without these files, $LLMWS_MODEL or else the builtin models are tested. What is absent "
        "here is skipped and said so. "
        "Exit status 6 if anything fails or nothing "
        "passes.",
    .tables = tables,
    .examples = examples,
    .opts_size = sizeof(TestOpts),
    .max_args = 4096,
    .run = test_models_run,
};
