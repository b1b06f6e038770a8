/* Any bytes as a saved sequence: of a session over a tiny model, once as they are, and once with the sums made to fit,
 * which otherwise stand in the way of everything behind them. Taken or refused with one line; the session works on. */
#include <stdlib.h>

#include "backends/cpu/cpu.h"
#include "core/session.h"
#include "formats/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool holds, const char *what) {
    if (!holds) BUG("%s", what);
}

typedef struct Bytes {
    const char *s;
    size_t n;
} Bytes;

static bool take(void *ctx, void *out, size_t n, Err *e) {
    Bytes *b = ctx;
    if (n > b->n) return err_set(e, ERR_INPUT, "it ends too early");
    memcpy(out, b->s, n);
    b->s += n;
    b->n -= n;
    return true;
}

static bool keep(void *ctx, const void *bytes, size_t n, Err *e) {
    (void)e;
    buf_put(ctx, bytes, n);
    return true;
}

enum { TOKENS = 3 };

typedef struct Rig {
    Model m;
    Backend *b;
    Session s;
    int seq;
    Buf saved;           /* of TOKENS tokens */
    size_t header, page; /* bytes of the header, and of one layer's page */
} Rig;

/* A stream is header, pages, their sum, ids, their sum; the header ends in its own sum. */
static size_t saved_bytes(Rig *r, Buf *out) {
    Err e = {0};
    buf_clear(out);
    expect(session_save(&r->s, r->seq, (Sink){keep, out}, &e), e.msg);
    return out->n;
}

static void rig_make(Rig *r) {
    static const int32_t ids[TOKENS] = {3, 1, 2};
    TensorFile f;
    Err e = {0};
    expect(tensor_file_open(TEST_DATA "/llama3", &f, &e) && model_init(&r->m, &f, (Log){0}, &e), e.msg);
    expect(cpu_backend_open(&(BackendOptions){.threads = 1, .isa = "ref"}, &r->b, &e), e.msg);
    SessionSpec spec = {.ctx = 64, .chunk = 4, .parallel = 1, .kv_type = DT_f16};
    expect(session_prepare(&r->s, &r->m, r->b, &spec, &e) && session_reserve(&r->s, &e), e.msg);
    r->seq = cache_seq_open(r->s.cache, &e);
    r->header = saved_bytes(r, &r->saved) - 2 * sizeof(uint64_t);
    expect(session_eval(&r->s, r->seq, ids, TOKENS, &e), e.msg);
    size_t pages = saved_bytes(r, &r->saved) - r->header - 2 * sizeof(uint64_t) - sizeof ids;
    r->page = pages / (size_t)r->m.cfg.layers;
}

static void put_sum(char *at, uint64_t sum) { memcpy(at, &sum, sizeof sum); }

/* Puts the sums of one page of tokens where they belong, as far as the bytes go. */
static void repair(const Rig *r, char *s, size_t n, size_t tokens) {
    size_t layers = (size_t)r->m.cfg.layers, at = r->header, ids = tokens * sizeof(int32_t);
    uint64_t sum = 0;
    if (n < at) return;
    put_sum(s + at - 8, hash_bytes(s, at - 8, 0));
    for (size_t l = 0; tokens && l < layers; l++, at += r->page) {
        if (n - at < r->page) return;
        sum = hash_bytes(s + at, r->page, sum);
    }
    if (n - at < 8) return;
    put_sum(s + at, sum);
    at += 8;
    if (n - at >= ids + 8) put_sum(s + at + ids, hash_bytes(s + at, ids, 0));
}

static bool load(Rig *r, const char *s, size_t n) {
    Bytes from = {s, n};
    Err e = {0};
    bool ok = session_load(&r->s, r->seq, (Source){take, &from}, &e);
    int64_t len = cache_seq_len(r->s.cache, r->seq);
    expect(ok ? len >= 0 && len <= r->s.spec.ctx : len == 0, "a length that was never planned");
    expect(ok || ((e.code == ERR_INPUT || e.code == ERR_FIT) && e.msg[0] && !strchr(e.msg, '\n')),
           "an error without a line");
    for (int64_t i = 0; i < len; i++) {
        int32_t id = r->s.history[i];
        expect(id >= 0 && id < r->m.cfg.vocab, "an id outside the vocabulary was taken");
    }
    return ok;
}

/* The first byte chooses: 0 the rest is the stream; else the rest is written over a good stream, from the place that
 * the next two bytes name, and the first byte is the number of tokens that sums are made for. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static Rig rig;
    if (!rig.b) {
        rig_make(&rig);
        repair(&rig, rig.saved.s, rig.saved.n, TOKENS);
        expect(load(&rig, rig.saved.s, rig.saved.n), "sums are made otherwise by now: repair() has to follow");
    }
    if (n && !data[0]) load(&rig, (const char *)data + 1, n - 1);
    if (n < 3 || !data[0]) return 0;
    size_t at = (size_t)data[1] << 8 | data[2], put = n - 3, whole = rig.saved.n;
    char *s = malloc(whole);
    memcpy(s, rig.saved.s, whole);
    if (data[0] & 0x80) at = whole - MIN(at, whole); /* ids stand at the end */
    put = MIN(put, whole - MIN(at, whole));
    if (put) memcpy(s + at, data + 3, put);
    repair(&rig, s, whole, data[0] & 0x7f);
    load(&rig, s, whole);
    free(s);
    return 0;
}
