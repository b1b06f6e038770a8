/* What a session promises, on a tiny model, or on the one that LLMWS_TEST_MODEL names: the same bits however the work
 * is cut, memory that is what was planned, nothing allocated while tokens flow. */
#include "backends/cpu/cpuid.h"
#include "oracle.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/weights_read.h"
#include "tests/count_allocs.h"

static const char *model_path(void) {
    const char *p = getenv("LLMWS_TEST_MODEL");
    return p ? p : TEST_DATA "/llama3";
}

/* ---- a session on the model under test ---- */

typedef struct Fix {
    Backend *b;
    Session s;
} Fix;

static Model model;

static int load(void **state) {
    (void)state;
    model_load(&model, model_path());
    return 0;
}

static int unload(void **state) {
    (void)state;
    model_release(&model);
    return 0;
}

static void fix_open(Fix *f, int threads, const char *isa, SessionSpec spec) {
    Err e = {0};
    OK(cpu_backend_open(&(BackendOptions){.threads = threads, .isa = isa}, &f->b, &e), e);
    OK(session_prepare(&f->s, &model, f->b, &spec, &e), e);
    OK(session_reserve(&f->s, &e), e);
}

static void fix_close(Fix *f) {
    session_release(&f->s);
    f->b->close(f->b);
}

enum { PROMPT = 150, MORE = 6 };

static void make_prompt(int32_t *ids, int n, uint32_t seed) {
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        ids[i] = (int32_t)(seed >> 8) % (int32_t)model.cfg.vocab;
        if (ids[i] < 0) ids[i] = -ids[i];
    }
}

static const SessionSpec plain = {.ctx = 256, .chunk = 256, .parallel = 1, .kv_type = DT_f16, .all_logits = true};

static uint64_t hash_rows(const Fix *f, int64_t rows, uint64_t h) {
    const float *logits = exec_data(&f->s.x, f->s.io.logits);
    for (int64_t r = 0; r < rows; r++)
        h = hash_bytes(logits + r * model.cfg.vocab, (size_t)model.cfg.vocab * sizeof *logits, h);
    return h;
}

static const Dtype kv_types[] = {DT_f16, DT_f32, DT_bf16, DT_q8_0};
static SessionSpec plain_with(Dtype kv_type) {
    SessionSpec spec = plain;
    spec.kv_type = kv_type;
    return spec;
}

/* Hash of every logit of a prompt evaluated in pieces, and of MORE further tokens one by one. */
static uint64_t bits(int threads, const char *isa, int piece, SessionSpec spec) {
    Fix f;
    Err e = {0};
    int32_t ids[PROMPT + MORE];
    uint64_t h = 0;
    make_prompt(ids, PROMPT + MORE, 1);
    fix_open(&f, threads, isa, spec);
    int seq = cache_seq_open(f.s.cache, &e);
    for (int at = 0; at < PROMPT + MORE;) {
        int n = at < PROMPT ? MIN(piece, PROMPT - at) : 1;
        OK(session_eval(&f.s, seq, ids + at, (size_t)n, &e), e);
        h = hash_rows(&f, n, h);
        at += n;
    }
    fix_close(&f);
    return h;
}

static void threads_and_pieces(void **state) {
    (void)state;
    const int threads[] = {1, 2, 7}, pieces[] = {PROMPT, 1, 7, 64};
    uint64_t seen[COUNT_OF(kv_types) * 2];
    for (size_t kind = 0; kind < COUNT_OF(seen); kind++) {
        SessionSpec spec = plain_with(kv_types[kind / 2]);
        spec.compute = kind % 2 ? COMPUTE_F32 : COMPUTE_AUTO;
        uint64_t want = seen[kind] = bits(1, NULL, PROMPT, spec);
        for (size_t t = 0; t < COUNT_OF(threads); t++) assert_true(bits(threads[t], NULL, PROMPT, spec) == want);
        for (size_t p = 0; p < COUNT_OF(pieces); p++) assert_true(bits(2, NULL, pieces[p], spec) == want);
    }
    for (size_t i = 0; i < COUNT_OF(kv_types); i++) /* the hash does see a difference */
        for (size_t j = 0; j < i; j++) assert_true(seen[2 * i] != seen[2 * j]);
}

/* Instruction sets differ in how tiles are cut and loaded, not in the order of sums. */
static void instruction_sets(void **state) {
    (void)state;
    for (size_t k = 0; k < COUNT_OF(kv_types); k++) {
        uint64_t want = bits(2, NULL, PROMPT, plain_with(kv_types[k]));
        for (Isa i = 0; i < isa_best(); i++) assert_true(bits(2, isa_name(i), 64, plain_with(kv_types[k])) == want);
    }
}

static void check_batch(SessionSpec spec) {
    enum { SEQS = 8, LEN = 40 };
    Fix f;
    Err e = {0};
    int32_t ids[SEQS][LEN], flat[SEQS * LEN];
    int seqs[SEQS * LEN];
    uint64_t alone[SEQS];
    for (int s = 0; s < SEQS; s++) {
        make_prompt(ids[s], LEN, 100 + (uint32_t)s);
        fix_open(&f, 2, NULL, spec);
        int seq = cache_seq_open(f.s.cache, &e);
        OK(session_eval(&f.s, seq, ids[s], LEN - 1 - (size_t)s, &e), e);
        OK(session_eval(&f.s, seq, ids[s] + LEN - 1, 1, &e), e);
        alone[s] = hash_rows(&f, 1, 0);
        fix_close(&f);
    }
    spec.parallel = SEQS;
    spec.chunk = SEQS * LEN;
    spec.all_logits = false;
    fix_open(&f, 2, NULL, spec);
    int n = 0;
    for (int s = 0; s < SEQS; s++) {
        assert_int_equal(cache_seq_open(f.s.cache, &e), s);
        for (int i = 0; i < LEN - 1 - s; i++) flat[n] = ids[s][i], seqs[n++] = s; /* of different lengths */
    }
    OK(session_eval_batch(&f.s, seqs, flat, (size_t)n, &e), e);
    for (int s = 0; s < SEQS; s++) flat[s] = ids[s][LEN - 1], seqs[s] = s;
    OK(session_eval_batch(&f.s, seqs, flat, SEQS, &e), e);
    for (int s = 0; s < SEQS; s++) {
        const float *row = session_logits(&f.s, s);
        assert_true(hash_bytes(row, (size_t)model.cfg.vocab * sizeof *row, 0) == alone[s]);
    }
    fix_close(&f);
}

static void alone_or_in_a_batch(void **state) {
    (void)state;
    for (size_t k = 0; k < COUNT_OF(kv_types); k++) check_batch(plain_with(kv_types[k]));
}

/* ---- the cache ---- */

static uint64_t eval_hash(Fix *f, int seq, const int32_t *ids, int n) {
    Err e = {0};
    OK(session_eval(&f->s, seq, ids, (size_t)n, &e), e);
    return hash_rows(f, n, 0);
}

static void check_saved(SessionSpec spec, SessionSpec other) {
    const char *path = TEST_TMP "/session.kv";
    Fix f;
    Err e = {0};
    AtomicFile *out;
    FileSource *in;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 3);
    fix_open(&f, 2, NULL, spec);
    int seq = cache_seq_open(f.s.cache, &e);
    eval_hash(&f, seq, ids, 100);
    OK(atomic_open(path, &out, &e) && session_save(&f.s, seq, atomic_sink(out), &e) && atomic_commit(out, &e), e);
    uint64_t want = eval_hash(&f, seq, ids + 100, 50);
    fix_close(&f);

    fix_open(&f, 1, NULL, spec);
    seq = cache_seq_open(f.s.cache, &e);
    OK(file_source_open(path, &in, &e) && session_load(&f.s, seq, file_source(in), &e), e);
    file_source_close(in);
    assert_int_equal(cache_seq_len(f.s.cache, seq), 100);
    assert_true(eval_hash(&f, seq, ids + 100, 50) == want);
    fix_close(&f);

    fix_open(&f, 1, NULL, other); /* another KV type is refused, and leaves the sequence empty */
    seq = cache_seq_open(f.s.cache, &e);
    OK(file_source_open(path, &in, &e), e);
    assert_false(session_load(&f.s, seq, file_source(in), &e));
    assert_int_equal(e.code, ERR_INPUT);
    file_source_close(in);
    assert_int_equal(cache_seq_len(f.s.cache, seq), 0);
    fix_close(&f);
    remove(path);
}

static void saved_and_loaded(void **state) {
    (void)state;
    for (size_t k = 0; k < COUNT_OF(kv_types); k++)
        check_saved(plain_with(kv_types[k]), plain_with(kv_types[(k + 1) % COUNT_OF(kv_types)]));
}

static bool put_bytes(void *ctx, const void *bytes, size_t n, Err *e) {
    (void)e;
    buf_put(ctx, bytes, n);
    return true;
}

static void save_to(const Fix *f, int seq, Buf *out) {
    Err e = {0};
    out->n = 0;
    OK(session_save(&f->s, seq, (Sink){put_bytes, out}, &e), e);
}

/* Whatever stood in its pages before: the same tokens, the same file. */
static void saved_bytes(void **state) {
    (void)state;
    for (size_t k = 0; k < COUNT_OF(kv_types); k++) {
        Fix f;
        Err e = {0};
        Buf want = {0}, got = {0};
        int32_t ids[120];
        SessionSpec spec = plain_with(kv_types[k]);
        spec.parallel = 3;
        make_prompt(ids, 120, 21);
        fix_open(&f, 2, NULL, spec);
        int fresh = cache_seq_open(f.s.cache, &e), cut = cache_seq_open(f.s.cache, &e), fork;
        eval_hash(&f, fresh, ids, 70);
        save_to(&f, fresh, &want);
        eval_hash(&f, cut, ids, 120);
        save_to(&f, cut, &got);
        assert_true(got.n != want.n || memcmp(got.s, want.s, got.n) != 0);
        OK((fork = session_fork(&f.s, cut, &e)) >= 0, e);
        for (int s = 0; s < 2; s++) {
            OK(cache_seq_truncate(f.s.cache, s ? fork : cut, 70, &e), e);
            save_to(&f, s ? fork : cut, &got);
            assert_int_equal(got.n, want.n);
            assert_memory_equal(got.s, want.s, want.n);
        }
        eval_hash(&f, cut, ids + 70, 50); /* saving left the cache alone */
        save_to(&f, cut, &got);
        eval_hash(&f, fresh, ids + 70, 50);
        save_to(&f, fresh, &want);
        assert_int_equal(got.n, want.n);
        assert_memory_equal(got.s, want.s, want.n);
        buf_release(&want);
        buf_release(&got);
        fix_close(&f);
    }
}

/* Each byte of the saved file flipped, each length cut: refused, never a crash, the sequence stays empty. */
static void damaged_cache_files(void **state) {
    (void)state;
    const char *path = TEST_TMP "/damaged.kv";
    Fix f;
    Err e = {0};
    AtomicFile *out;
    Mapping m;
    int32_t ids[8];
    make_prompt(ids, 8, 5);
    fix_open(&f, 1, NULL, plain);
    int seq = cache_seq_open(f.s.cache, &e);
    eval_hash(&f, seq, ids, 8);
    OK(atomic_open(path, &out, &e) && session_save(&f.s, seq, atomic_sink(out), &e) && atomic_commit(out, &e), e);
    OK(map_file(path, &m, &e), e);
    size_t n = m.n;
    char *bytes = malloc(n);
    memcpy(bytes, m.bytes, n);
    unmap_file(&m);
    for (int round = 0; round < 200; round++) {
        size_t at = round < 80 ? (size_t)round : n * (size_t)round / 200, size = round % 2 ? n : at;
        char old = bytes[at];
        bytes[at] = (char)(old ^ 0x41);
        OK(write_text_file(path, (Str){bytes, size}, &e), e);
        bytes[at] = old;
        FileSource *in;
        OK(file_source_open(path, &in, &e), e);
        if (session_load(&f.s, seq, file_source(in), &e))
            fail_msg("accepted a cache file with byte %zu of %zu changed, %zu kept", at, n, size);
        file_source_close(in);
        assert_int_equal(cache_seq_len(f.s.cache, seq), 0);
    }
    free(bytes);
    fix_close(&f);
    remove(path);
}

static void check_fork(SessionSpec spec) {
    Fix f;
    Err e = {0};
    int32_t a[PROMPT], b[20], c[20];
    spec.parallel = 3;
    make_prompt(a, PROMPT, 7), make_prompt(b, 20, 8), make_prompt(c, 20, 9);
    fix_open(&f, 2, NULL, spec);
    int base = cache_seq_open(f.s.cache, &e), fork;
    eval_hash(&f, base, a, 100); /* ends inside a page, which both then write to */
    OK((fork = session_fork(&f.s, base, &e)) >= 0, e);
    uint64_t hb = eval_hash(&f, base, b, 20), hc = eval_hash(&f, fork, c, 20);
    OK(cache_seq_truncate(f.s.cache, base, 100, &e) && cache_seq_truncate(f.s.cache, fork, 100, &e), e);
    assert_true(eval_hash(&f, fork, b, 20) == hb);
    assert_true(eval_hash(&f, base, c, 20) == hc);
    int alone = cache_seq_open(f.s.cache, &e);
    eval_hash(&f, alone, a, 100);
    assert_true(eval_hash(&f, alone, b, 20) == hb);
    assert_int_equal(cache_seq_open(f.s.cache, &e), -1); /* three were planned */
    assert_int_equal(e.code, ERR_FIT);
    cache_seq_close(f.s.cache, fork);
    assert_int_equal(cache_seq_open(f.s.cache, &e), fork);
    assert_int_equal(cache_seq_len(f.s.cache, fork), 0);
    fix_close(&f);
}

static void forked_and_truncated(void **state) {
    (void)state;
    for (size_t k = 0; k < COUNT_OF(kv_types); k++) check_fork(plain_with(kv_types[k]));
}

static void full_context(void **state) {
    (void)state;
    Fix f;
    Err e = {0};
    int32_t ids[257];
    make_prompt(ids, 257, 11);
    fix_open(&f, 1, NULL, plain);
    int seq = cache_seq_open(f.s.cache, &e);
    assert_false(session_eval(&f.s, seq, ids, 257, &e));
    assert_int_equal(e.code, ERR_FIT);
    assert_non_null(strstr(e.msg, "257"));
    assert_non_null(strstr(e.msg, "256"));
    OK(session_eval(&f.s, seq, ids, 256, &e), e);
    assert_false(session_eval(&f.s, seq, ids, 1, &e));
    assert_int_equal(cache_seq_len(f.s.cache, seq), 256);
    ids[0] = (int32_t)model.cfg.vocab;
    OK(cache_seq_truncate(f.s.cache, seq, 10, &e), e);
    assert_false(session_eval(&f.s, seq, ids, 1, &e));
    assert_int_equal(e.code, ERR_USAGE);
    fix_close(&f);
}

/* ---- memory ---- */

static int64_t reserved;
static void *(*real_reserve)(Backend *, size_t, Err *);
static void *counting_reserve(Backend *b, size_t bytes, Err *e) {
    reserved += (int64_t)bytes;
    return real_reserve(b, bytes, e);
}

static void planned_is_reserved(void **state) {
    (void)state;
    size_t round = 0;
    for (int64_t ctx = 128; ctx <= 32768; ctx *= 2)
        for (int parallel = 1; parallel <= 8; parallel += 7) {
            Fix f;
            Err e = {0};
            LlmwsPlan plan;
            SessionSpec spec = {
                .ctx = ctx, .chunk = 512, .parallel = parallel, .kv_type = kv_types[round++ / 2 % COUNT_OF(kv_types)]};
            OK(cpu_backend_open(&(BackendOptions){.threads = 2}, &f.b, &e), e);
            real_reserve = f.b->reserve;
            f.b->reserve = counting_reserve;
            reserved = 0;
            OK(session_prepare(&f.s, &model, f.b, &spec, &e), e);
            OK(plan_verify(&f.s.plan, &e), e);
            session_plan(&f.s, &plan);
            assert_int_equal(reserved, 0);
            OK(session_reserve(&f.s, &e), e);
            assert_int_equal(reserved, plan.total_bytes - model.bytes);
            fix_close(&f);
        }
}

static int64_t resident(void) {
    long pages = 0, total = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &total, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

/* A thousand sessions, opened, used and closed, leave nothing behind. */
static void thousand_sessions(void **state) {
    (void)state;
    int64_t before = 0;
    int rounds = getenv("LLMWS_TEST_MODEL") ? 1000 : 300;
    for (int i = 0; i < rounds; i++) {
        Fix f;
        Err e = {0};
        int32_t ids[4] = {1, 2, 3, 4};
        SessionSpec spec = {.ctx = 64, .chunk = 8, .parallel = 1, .kv_type = DT_f16};
        fix_open(&f, 1 + i % 2, NULL, spec);
        OK(session_eval(&f.s, cache_seq_open(f.s.cache, &e), ids, 4, &e), e);
        fix_close(&f);
        if (i == rounds / 10) before = resident();
    }
    int64_t grown = resident() - before;
    printf("%d sessions: resident grew by %lld bytes since the first tenth\n", rounds, (long long)grown);
#if COUNTS_ALLOCS
    if (!getenv("LLMWS_EMULATOR")) assert_true(grown < 256 * 1024); /* else it holds what the emulator keeps, too */
#endif
}

static void nothing_allocated(void **state) {
    (void)state;
    Fix f;
    Err e = {0};
    SessionSpec spec = {.ctx = 256, .chunk = 64, .parallel = 1, .kv_type = DT_f16};
    LlmwsSampling how = {.temp = 0.8f,
                         .top_k = 0,
                         .top_p = 0.95f,
                         .min_p = 0.05f,
                         .repeat_penalty = 1.1f,
                         .repeat_last_n = -1,
                         .typical = 0.95f,
                         .top_n_sigma = 3,
                         .xtc_probability = 0.5f,
                         .xtc_threshold = 0.1f,
                         .dry_multiplier = 0.8f,
                         .dry_base = 1.75f,
                         .dry_last_n = -1,
                         .seed = 1};
    int32_t ids[100], id;
    make_prompt(ids, 100, 13);
    fix_open(&f, 2, NULL, spec);
    int seq = cache_seq_open(f.s.cache, &e);
    long before = n_allocs;
    OK(session_eval(&f.s, seq, ids, 100, &e), e);
    for (int i = 0; i < 32; i++)
        OK(session_sample(&f.s, seq, &how, NULL, 0, &id, &e) && session_eval(&f.s, seq, &id, 1, &e), e);
    printf("allocations in 100 prompt and 32 sampled tokens: %ld\n", n_allocs - before);
    assert_int_equal(n_allocs - before, 0);
    fix_close(&f);
    if (COUNTS_ALLOCS) assert_true(n_allocs > 0); /* the counter does count */
}

static void no_work(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)a, (void)u0, (void)u1, (void)scratch;
}

/* The executor itself: the same array of nodes with kernels that do nothing. */
static void overhead(void **state) {
    (void)state;
    Fix f;
    Err e = {0};
    int32_t id = 1;
    for (int threads = 1; threads <= 2; threads++) {
        SessionSpec spec = {.ctx = 64, .chunk = 8, .parallel = 1, .kv_type = DT_f16};
        fix_open(&f, threads, NULL, spec);
        OK(session_eval(&f.s, cache_seq_open(f.s.cache, &e), &id, 1, &e), e);
        for (size_t i = 0; i < f.s.x.n_ops; i++) f.s.x.ops[i].run = no_work;
        double best = 1e9;
        for (int round = 0; round < 50; round++) {
            int64_t t = now_ns();
            for (int i = 0; i < 20; i++) exec_run(&f.s.x);
            best = fmin(best, (double)(now_ns() - t) / 20 / (double)f.s.x.n_ops);
        }
        printf("executor, %d thread(s): %.1f ns a node (%zu nodes)\n", threads, best, f.s.x.n_ops);
        fix_close(&f);
    }
}

/* ---- taps and patches ---- */

static void patches(void **state) {
    (void)state;
    Err e = {0};
    Fix f;
    int32_t ids[20];
    int64_t width = model.cfg.width;
    float *vec = mem_alloc((size_t)width, sizeof *vec), *before = mem_alloc((size_t)width * 20, sizeof *before);
    char name[64];
    make_prompt(ids, 20, 17);
    snprintf(name, sizeof name, "model.layers.%lld", (long long)model.cfg.layers - 1);
    for (int64_t i = 0; i < width; i++) vec[i] = (float)(i % 7) - 3;
    SessionSpec spec = plain;
    spec.taps = (const char *const[]){name, NULL};
    fix_open(&f, 2, NULL, spec);
    eval_hash(&f, cache_seq_open(f.s.cache, &e), ids, 20);
    memcpy(before, exec_data(&f.s.x, f.s.g.taps.items[0].id), (size_t)width * 20 * sizeof *before);
    uint64_t plain_bits = hash_rows(&f, 20, 0);
    fix_close(&f);

    LlmwsPatch patch = {.name = name, .mul = 0.5f, .add = 2, .vec = vec, .n = (size_t)width, .from = 5, .to = 15};
    spec.patches = &patch, spec.n_patches = 1;
    fix_open(&f, 2, NULL, spec);
    eval_hash(&f, cache_seq_open(f.s.cache, &e), ids, 20);
    assert_true(hash_rows(&f, 20, 0) != plain_bits);
    const float *after = exec_data(&f.s.x, f.s.g.taps.items[0].id);
    for (int64_t t = 0; t < 20; t++)
        for (int64_t i = 0; i < width; i++) {
            float x = before[t * width + i], want = t >= 5 && t < 15 ? fmaf(2, vec[i], 0.5f * x) : x;
            assert_true(after[t * width + i] == want);
        }
    fix_close(&f);

    patch.name = "model.layers.9999";
    Backend *b;
    OK(cpu_backend_open(&(BackendOptions){.threads = 1}, &b, &e), e);
    assert_false(session_prepare(&f.s, &model, b, &spec, &e));
    assert_int_equal(e.code, ERR_USAGE);
    b->close(b);
    free(vec);
    free(before);
}

/* What is captured is in Hugging Face order from a GGUF file too, where q and k stand interleaved. */
static void same_names_same_values(void **state) {
    (void)state;
    const char *gguf = TEST_TMP "/session.test.gguf",
               *names[] = {"model.layers.*.self_attn.{q,k,v,q_proj,k_proj}", "model.layers.*.mlp.input", NULL};
    Err e = {0};
    Model turned;
    Fix a, b;
    int32_t ids[20];
    if (getenv("LLMWS_TEST_MODEL")) return;
    LlmwsModel *m = llmws_model_open(model_path(), NULL, &e);
    if (!m) fail_msg("%s", e.msg);
    OK(llmws_model_save_gguf(m, gguf, &e), e);
    llmws_model_close(m);
    make_prompt(ids, 20, 19);
    SessionSpec spec = plain;
    spec.compute = COMPUTE_F32, spec.kv_type = DT_f32;
    spec.taps = names;
    fix_open(&a, 1, NULL, spec);
    eval_hash(&a, cache_seq_open(a.s.cache, &e), ids, 20);
    Model straight = model;
    model_load(&turned, gguf);
    model = turned;
    fix_open(&b, 1, NULL, spec);
    eval_hash(&b, cache_seq_open(b.s.cache, &e), ids, 20);
    assert_int_equal(a.s.g.taps.n, b.s.g.taps.n);
    assert_int_equal(a.s.g.taps.n, 6 * straight.cfg.layers);
    for (int i = 0; i < a.s.g.taps.n; i++) {
        const Tensor *x = &a.s.x.values[a.s.g.taps.items[i].id], *y = &b.s.x.values[b.s.g.taps.items[i].id];
        assert_string_equal(a.s.g.taps.items[i].name, b.s.g.taps.items[i].name);
        if (!(max_diff(x->data, y->data, 20 * x->stride[0] / 4) <= 1e-4))
            fail_msg("'%s' differs between formats", a.s.g.taps.items[i].name);
    }
    fix_close(&a);
    fix_close(&b);
    model_release(&turned);
    model = straight;
    remove(gguf);
}

/* ---- progress ---- */

typedef struct Heard {
    int64_t calls[2], last[2], total[2], stop_at; /* by phase; calls after which to stop, 0: never */
    bool went_back;
} Heard;

static bool hear(void *ctx, int phase, int64_t done, int64_t total) {
    Heard *h = ctx;
    h->went_back |= h->calls[phase] && (done < h->last[phase] || total != h->total[phase]);
    h->calls[phase]++, h->last[phase] = done, h->total[phase] = total;
    return !h->stop_at || h->calls[phase] < h->stop_at;
}

/* Being told changes no bits; a prompt that is stopped inside a chunk leaves what stood there before. */
static void progress(void **state) {
    (void)state;
    Err e = {0};
    Heard h = {0};
    Fix a, b;
    int32_t ids[PROMPT];
    for (int i = 0; i < PROMPT; i++) ids[i] = i % (int)model.cfg.vocab;
    SessionSpec spec = {.ctx = 2 * PROMPT, .chunk = 40, .parallel = 1, .kv_type = DT_f16};
    fix_open(&a, 2, NULL, spec);
    spec.progress = hear, spec.progress_ctx = &h;
    fix_open(&b, 2, NULL, spec);
    int x = cache_seq_open(a.s.cache, &e), y = cache_seq_open(b.s.cache, &e);
    OK(session_eval(&a.s, x, ids, PROMPT, &e), e);
    h = (Heard){.stop_at = 20}; /* in the second chunk */
    assert_false(session_eval(&b.s, y, ids, PROMPT, &e));
    assert_int_equal(e.code, ERR_INTERRUPT);
    assert_int_equal(cache_seq_len(b.s.cache, y), 40);
    assert_null(session_logits(&b.s, y));
    OK(cache_seq_truncate(b.s.cache, y, 0, &e), e);
    h = (Heard){0};
    OK(session_eval(&b.s, y, ids, PROMPT, &e), e);
    assert_false(h.went_back);
    assert_int_equal(h.last[LLMWS_PHASE_PROMPT], PROMPT);
    assert_int_equal(h.total[LLMWS_PHASE_PROMPT], PROMPT);
    assert_memory_equal(session_logits(&a.s, x), session_logits(&b.s, y), (size_t)model.cfg.vocab * sizeof(float));
    int64_t calls = h.calls[LLMWS_PHASE_PROMPT];
    OK(session_eval(&b.s, y, ids, 1, &e), e);
    assert_int_equal(h.calls[LLMWS_PHASE_PROMPT], calls); /* one token is no prompt */
    fix_close(&a);
    fix_close(&b);
}

/* Weights that the system was asked to forget are read again, and said so; it may keep them, though. */
static void weights_are_read(void **state) {
    (void)state;
    Err e = {0};
    Heard h = {0};
    const NamedTensor *first = &model.file.tensors[0];
    uintptr_t page = (uintptr_t)first->t.data & ~(uintptr_t)4095;
    madvise((void *)page, 4096, MADV_DONTNEED);
    for (size_t i = 0; i < model.file.n_files; i++) {
        int fd = open(model.file.files[i], O_RDONLY);
        assert_true(fd >= 0);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
    OK(weights_read(&model, SIZE_MAX, hear, &h, &e), e);
    assert_false(h.went_back);
    if (h.calls[LLMWS_PHASE_WEIGHTS]) {
        assert_true(h.calls[LLMWS_PHASE_WEIGHTS] >= 2 && h.last[LLMWS_PHASE_WEIGHTS] > 0);
        assert_int_equal(h.last[LLMWS_PHASE_WEIGHTS], h.total[LLMWS_PHASE_WEIGHTS]);
    }
    h = (Heard){0};
    OK(weights_read(&model, SIZE_MAX, hear, &h, &e), e);
    /* Nothing is missing now; qemu drops the request to read ahead, though. */
    if (!getenv("LLMWS_EMULATOR")) assert_int_equal(h.calls[LLMWS_PHASE_WEIGHTS], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_and_pieces),
        cmocka_unit_test(instruction_sets),
        cmocka_unit_test(alone_or_in_a_batch),
        cmocka_unit_test(saved_and_loaded),
        cmocka_unit_test(saved_bytes),
        cmocka_unit_test(damaged_cache_files),
        cmocka_unit_test(forked_and_truncated),
        cmocka_unit_test(full_context),
        cmocka_unit_test(planned_is_reserved),
        cmocka_unit_test(thousand_sessions),
        cmocka_unit_test(nothing_allocated),
        cmocka_unit_test(overhead),
        cmocka_unit_test(patches),
        cmocka_unit_test(same_names_same_values),
        cmocka_unit_test(progress),
        cmocka_unit_test(weights_are_read),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
