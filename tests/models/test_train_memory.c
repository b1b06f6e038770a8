/* The plan of a training is what its process really uses: the most that was ever resident over some updates and a
 * checkpoint, for many settings. Each run is a process of its own. LLMWS_LONG runs all settings, not some. */
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/llmws.h"
#include "random_model.h"

#define DIR_NAME TEST_TMP "/train_memory"
#define MIB      1048576.0

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHADOWED 1 /* shadow memory is resident too: the figures mean nothing */
#else
#define SHADOWED 0
#endif

typedef struct Knobs {
    int64_t batch, seq, accum;
    const char *precision;
    bool checkpoint, no_pack;
    int64_t rank; /* of an adapter, 0: the weights are trained */
    const char *attention, *optimizer;
    bool eval;
} Knobs;

typedef struct Figures {
    LlmwsPlan plan;
    char names[COUNT_OF(((LlmwsPlan *)0)->rows)][24]; /* the plan's die with the process */
    double peak, own;                                 /* bytes: resident, and without pages of files */
    double code; /* pages of programs and libraries that came after the model was opened */
    bool ok;
} Figures;

static double status_bytes(const char *key) {
    char line[256];
    long v = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0) v = atol(line + strlen(key));
    if (f) fclose(f);
    return (double)v * 1024;
}

/* Resident pages of the files that are no model and no data: of the program and its libraries. How many the kernel
 * brings in with the ones that run follows what the page cache holds, so it is measured here, not planned there. */
static double code_bytes(void) {
    char line[4352];
    long kib = 0, v;
    bool code = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    while (f && fgets(line, sizeof line, f)) {
        const char *path = strchr(line, '/');
        if (strchr("0123456789abcdef", line[0])) code = path && !strstr(path, "/train_memory/");
        if (code && sscanf(line, "Rss: %ld", &v) == 1) kib += v;
        if (code && sscanf(line, "Anonymous: %ld", &v) == 1) kib -= v;
    }
    if (f) fclose(f);
    return (double)kib * 1024;
}

typedef struct Watch { /* the kernel keeps no peak of RssAnon */
    atomic_bool stop;
    double most;
} Watch;

static void *watch(void *arg) {
    Watch *w = arg;
    while (!atomic_load(&w->stop)) {
        w->most = fmax(w->most, status_bytes("RssAnon:"));
        usleep(2000);
    }
    return NULL;
}

/* As the program: weights as f32 first, then a training of those; an adapter beside the model as it is. */
static LlmwsModel *base_of(const Knobs *k, double *code, Err *e) {
    const char *base = DIR_NAME "/model", *first = DIR_NAME "/run/step-0";
    *code = code_bytes();
    LlmwsModel *m = llmws_model_open(base, NULL, e);
    if (!m || k->rank) return m;
    bool ok = llmws_model_save_hf(m, first, "f32", 0, e);
    llmws_model_close(m);
    *code = code_bytes();
    return ok ? llmws_model_open(first, NULL, e) : NULL;
}

static bool train(const Knobs *k, Figures *out, Err *e) {
    const char *last = DIR_NAME "/run/step-2", *data = DIR_NAME "/data.jsonl";
    double code;
    LlmwsModel *m = base_of(k, &code, e);
    if (!m) return false;
    LlmwsTrainOptions o = {.threads = 2,
                           .data = &data,
                           .n_data = 1,
                           .batch_size = k->batch,
                           .seq_len = k->seq,
                           .grad_accum = k->accum,
                           .steps = 2,
                           .precision = k->precision,
                           .grad_checkpoint = k->checkpoint,
                           .no_pack = k->no_pack,
                           .eval_part = k->eval ? 0.1 : 0,
                           .lora = {.rank = k->rank, .alpha = 16},
                           .attention = k->attention,
                           .optimizer = k->optimizer,
                           .momentum = 0.9,
                           .lr = 1e-4,
                           .beta1 = 0.9,
                           .beta2 = 0.999,
                           .eps = 1e-8,
                           .clip = 1};
    LlmwsTrain *t = llmws_train_open(m, &o, e);
    LlmwsTrainStep s;
    if (t) llmws_train_plan(t, &out->plan);
    for (size_t i = 0; t && i < out->plan.n; i++)
        snprintf(out->names[i], sizeof out->names[i], "%s", out->plan.rows[i].name);
    LlmwsTrainEval eval;
    bool ok = t && llmws_train_step(t, &s, e) && (!k->eval || llmws_train_eval(t, &eval, NULL, NULL, e)) &&
              llmws_train_step(t, &s, e) && llmws_train_save(t, last, 0, e);
    out->code = code_bytes() - code;
    llmws_train_close(t);
    llmws_model_close(m);
    return ok;
}

static void child(const Knobs *k, int fd) {
    Figures out = {0};
    Watch w = {0};
    Err e = {0};
    pthread_t thread;
    if (pthread_create(&thread, NULL, watch, &w) != 0) _exit(1);
    out.ok = train(k, &out, &e);
    out.peak = status_bytes("VmHWM:");
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    out.own = w.most;
    if (!out.ok) fprintf(stderr, "%s\n", e.msg);
    _exit(write(fd, &out, sizeof out) != (ssize_t)sizeof out);
}

static void clear(const char *dir) {
    DIR *d = opendir(dir);
    char path[1024];
    for (struct dirent *f; d && (f = readdir(d));) {
        if (f->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
        if (unlink(path) != 0) clear(path), rmdir(path);
    }
    if (d) closedir(d);
}

static Figures run(const Knobs *k) {
    int fd[2];
    Figures out = {0};
    clear(DIR_NAME "/run");
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) child(k, fd[1]);
    close(fd[1]);
    assert_int_equal(read(fd[0], &out, sizeof out), sizeof out);
    close(fd[0]);
    waitpid(pid, NULL, 0);
    assert_true(out.ok);
    return out;
}

/* Bytes of the plan that are memory of the process's own: not of the model's file, nor of the program's. */
static double planned_own(const Figures *f) {
    double bytes = 0;
    for (size_t i = 0; i < f->plan.n; i++)
        if (!f->plan.rows[i].mapped && strcmp(f->names[i], "program") != 0) bytes += (double)f->plan.rows[i].bytes;
    return bytes;
}

static void describe(const Knobs *k, const Figures *f) {
    const double own = planned_own(f), all = (double)f->plan.total_bytes;
    printf("%ld x %ld x %ld %s%s%s%s%s, %s%s: planned %.2f MiB, peak %.2f (%+.2f, %+.2f %%), of it later code %.2f; of "
           "its own %.2f, %.2f (%+.2f, %+.2f %%)\n",
           (long)k->batch, (long)k->accum, (long)k->seq, k->precision, k->checkpoint ? ", checkpoints" : "",
           k->no_pack ? ", unpacked" : "", k->rank ? ", an adapter" : "", k->attention ? ", manual" : "",
           k->optimizer ? k->optimizer : "adamw", k->eval ? ", evaluated" : "", all / MIB, f->peak / MIB,
           (f->peak - all) / MIB, 100 * (f->peak / all - 1), f->code / MIB, own / MIB, f->own / MIB,
           (f->own - own) / MIB, 100 * (f->own / own - 1));
    for (size_t i = 0; i < f->plan.n && getenv("LLMWS_LONG"); i++)
        printf("    %-16s %10.3f\n", f->names[i], (double)f->plan.rows[i].bytes / MIB);
}

/* Whether a plan says what is used. Small runs have room for what no plan has: a heap that rounds. */
static bool agree(double planned, double least, double most) {
    const double room = fmax(0.02 * planned, 2 * MIB);
    return most >= planned - room && least <= planned + room;
}

/* Memory of its own is the same wherever the process runs. All that was resident has pages of code, too, of which the
 * plan counts those that were there when the model came; how many come later is the page cache's affair, and they are
 * taken off. These data do not fill the pages that are planned for them, 1 MiB a reader. */
static Figures check(const Knobs *k) {
    Figures f = run(k);
    describe(k, &f);
    const double unread = (k->eval ? 2 : 1) * MIB, peak = f.peak - f.code;
    assert_true(agree(planned_own(&f), f.own, f.own + unread));
    assert_true(agree((double)f.plan.total_bytes, peak, peak + unread));
    return f;
}

/* Of the plan's row "data". */
static int64_t data_bytes(const Figures *f) {
    int64_t bytes = 0;
    for (size_t i = 0; i < f->plan.n; i++)
        if (strcmp(f->names[i], "data") == 0) bytes += f->plan.rows[i].bytes;
    return bytes;
}

static void some(void **state) {
    (void)state;
    const Knobs all[] = {
        {2, 128, 1, "fp32", false, false, 0, NULL, NULL},      {4, 128, 2, "bf16", false, false, 0, NULL, "sgd"},
        {4, 128, 1, "fp32", true, false, 0, NULL, "muon"},     {1, 256, 4, "bf16", true, true, 0, NULL, NULL},
        {1, 512, 1, "fp32", false, true, 0, NULL, NULL},       {4, 128, 1, "fp32", false, false, 8, NULL, NULL},
        {4, 128, 2, "bf16", true, false, 64, NULL, NULL},      {2, 256, 1, "fp32", false, false, 0, "manual", NULL},
        {4, 128, 1, "bf16", false, false, 0, NULL, NULL, true}};
    int64_t data = 0;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        const Figures f = check(&all[i]);
        if (all[i].eval) assert_true(data_bytes(&f) > 3 * data / 2); /* a second reader, of no rows ahead */
        if (all[i].seq == 128 && all[i].batch == 4) data = data_bytes(&f);
    }
}

/* Every shape with all of the rest in turns. */
static void every(void **state) {
    (void)state;
    const int64_t shapes[][3] = {{1, 64, 1}, {4, 64, 1}, {1, 256, 3}, {4, 256, 1}, {8, 128, 2}, {2, 512, 1}};
    const char *optimizers[] = {"adamw", "sgd", "muon"};
    for (size_t i = 0; i < COUNT_OF(shapes) * 8; i++) {
        const int64_t *shape = shapes[i / 8];
        const bool adapter = (i ^ i / 8) & 4;
        check(&(Knobs){shape[0], shape[1], shape[2], i & 1 ? "bf16" : "fp32", i & 2, i / 3 & 1, adapter ? 16 : 0,
                       i % 5 == 0 ? "manual" : NULL, optimizers[i % 3]});
    }
}

static void brief(void **state) {
    (void)state;
    run(&(Knobs){2, 64, 1, "fp32", false, false, 0, NULL, NULL});
}

static int setup(void **state) {
    (void)state;
    const RandomModel small = {8, 256, 4, 2, 688, 4096, 1024, true};
    Buf data = {0};
    Err e = {0};
    mkdir(DIR_NAME, 0777), mkdir(DIR_NAME "/run", 0777), mkdir(DIR_NAME "/model", 0777);
    clear(DIR_NAME "/model");
    random_model_write(&small, DIR_NAME "/model");
    for (int line = 0; line < 400; line++) {
        buf_str(&data, "{\"ids\":[");
        for (int i = 0, n = 20 + line * 7919 % 400; i < n; i++)
            buf_printf(&data, i ? ",%d" : "%d", (line * 31 + i * 7) % 4096);
        buf_str(&data, "]}\n");
    }
    OK(write_text_file(DIR_NAME "/data.jsonl", buf_view(&data), &e), e);
    buf_release(&data);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    clear(DIR_NAME);
    return rmdir(DIR_NAME);
}

int main(void) {
    /* One run where other memory is resident too: for the sanitizer's own eyes, or with an emulator's own. */
    if (SHADOWED || getenv("LLMWS_EMULATOR")) {
        print_message("peaks are not looked at here: not all that is resident is this program's\n");
        const struct CMUnitTest tests[] = {cmocka_unit_test(brief)};
        return cmocka_run_group_tests(tests, setup, teardown);
    }
    const struct CMUnitTest tests[] = {getenv("LLMWS_LONG") ? (struct CMUnitTest)cmocka_unit_test(every)
                                                            : (struct CMUnitTest)cmocka_unit_test(some)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
