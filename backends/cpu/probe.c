/* Two roofs: how fast memory can be read, for decoding, which reads every weight once a token; and how fast registers
 * are multiplied, for prompts, which use a weight many times. */
#include "backends/cpu/cpu.h"

#include "backends/cpu/cpuid.h"

enum { PROBE_BYTES = 256 << 20, BLOCK_BYTES = 1 << 20, PASSES = 6 };

static int64_t probe_units(const OpArgs *a) { return a->in[0].ne[0]; }

/* Reserved memory is one shared page of zeros until it is written. */
static void touch(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    memset((char *)a->in[0].data + u0 * BLOCK_BYTES, 1, (size_t)((u1 - u0) * BLOCK_BYTES));
}

/* Sums of eight lanes, so that loads and not a chain of additions set the pace; a sum a block is kept, so that nothing
 * can be left out. */
static void read_blocks(const OpArgs *a, int64_t u0, int64_t u1, void *scratch) {
    (void)scratch;
    for (int64_t u = u0; u < u1; u++) {
        const uint64_t *x = (const uint64_t *)((const char *)a->in[0].data + u * BLOCK_BYTES);
        uint64_t sum[8] = {0};
        for (size_t i = 0; i < BLOCK_BYTES / sizeof *x; i += 8)
            for (size_t j = 0; j < 8; j++) sum[j] += x[i + j];
        uint64_t *out = (uint64_t *)a->out.data + u;
        *out = 0;
        for (size_t j = 0; j < 8; j++) *out += sum[j];
    }
}

bool cpu_read_rate(int threads, double *bytes_per_s, Err *e) {
    enum { BLOCKS = PROBE_BYTES / BLOCK_BYTES };
    uint64_t sums[BLOCKS];
    Backend *b;
    TRY(cpu_backend_open(&(BackendOptions){.threads = threads}, &b, e));
    bool fits = b->free_bytes(b) >= PROBE_BYTES;
    void *block = fits ? b->reserve(b, PROBE_BYTES, e) : NULL;
    if (!fits)
        err_set(e, ERR_FIT, "measuring memory failed: '%d MiB': not free; close other programs", PROBE_BYTES >> 20);
    if (block) {
        OpArgs args = {.in[0] = {.ne = {BLOCKS}, .data = block}, .out = {.data = sums}};
        ExecOp op = {.run = touch, .units = probe_units, .n_units = BLOCKS, .args = args};
        b->run(b, &op, 1, &(RunMemory){0});
        op.run = read_blocks;
        int64_t best = INT64_MAX;
        for (int pass = 0; pass < PASSES; pass++) {
            int64_t start = now_ns();
            b->run(b, &op, 1, &(RunMemory){0});
            best = MIN(best, now_ns() - start);
        }
        *bytes_per_s = PROBE_BYTES * 1e9 / (double)MAX(best, 1);
        b->release(b, block, PROBE_BYTES);
    }
    b->close(b);
    return block != NULL;
}

/* ---- products ---- */

#if defined __x86_64__
extern const PeakLoop avx2_peak[PEAK_COUNT], avx512_peak[PEAK_COUNT], avx512bf16_peak;

static const PeakLoop *peak_loop(Isa isa, PeakKind kind) {
    if (isa == ISA_avx512bf16 && kind == PEAK_bf16) return &avx512bf16_peak;
    return isa >= ISA_avx512 ? &avx512_peak[kind] : isa == ISA_avx2 ? &avx2_peak[kind] : NULL;
}
#else
static const PeakLoop *peak_loop(Isa isa, PeakKind kind) { return (void)isa, (void)kind, NULL; }
#endif

bool cpu_peak_rate(int threads, const char *isa, PeakKind kind, double *ops_per_s, Err *e) {
    enum { UNITS_MAX = 1024, FACTORS = 16 };
    Isa which;
    Backend *b;
    char factors[FACTORS * PEAK_BYTES], sums[UNITS_MAX * PEAK_BYTES];
    *ops_per_s = 0;
    TRY(cpu_backend_open(&(BackendOptions){.threads = threads, .isa = isa}, &b, e));
    const PeakLoop *loop = isa_from_name(b->isa, &which) ? peak_loop(which, kind) : NULL;
    int64_t units = MIN((int64_t)b->threads * 4, (int64_t)UNITS_MAX), best = INT64_MAX;
    memset(factors, 0x3f, sizeof factors); /* about 3/4 as f32 and as bf16; sums of 63 * 63 stay in 32 bits */
    OpArgs args = {.in[0] = {.ne = {units}, .data = factors}, .out = {.data = sums}};
    for (int pass = 0; loop && pass < PASSES; pass++) {
        ExecOp op = {.run = loop->run, .units = probe_units, .n_units = units, .args = args};
        int64_t start = now_ns();
        b->run(b, &op, 1, &(RunMemory){0});
        best = MIN(best, now_ns() - start);
    }
    if (loop) *ops_per_s = (double)units * PEAK_ROUNDS * loop->round_ops * 1e9 / (double)MAX(best, 1);
    b->close(b);
    return true;
}
