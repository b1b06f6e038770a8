#include "backends/cpu/cpu.h"

#include "backends/cpu/cpuid.h"
#include "backends/cpu/pool.h"
#include "backends/cpu/ref.h"
#include "backends/cpu/repack.h"
#include "backends/cpu/tuned.h"
#include "core/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

typedef struct CpuBackend {
    Backend base; /* first: a Backend * is a CpuBackend * */
    Isa isa;
    Pool *pool;
} CpuBackend;

/* ---- choosing kernels ---- */

static const struct {
    const char *name;
    const Kernel *kernel;
    const char *takes;
} ref_of[OP_COUNT] = {
#define OP(name, params, min_in, max_in, flags) [OP_##name] = {#name, &ref_##name, takes_##name},
#include "core/ops.def"
#undef OP
};

static bool letter_takes(char letter, Dtype t) {
    DtypeClass class = dtype_info[t].class;
    switch (letter) {
    case 'f': return t == DT_f32;
    case 'b': return t == DT_bf16;
    case 'a': return t == DT_a8;
    case 'i': return t == DT_i32;
    case 'd': return class == DTC_FLOAT;
    case 'q': return class == DTC_QUANT;
    case 'r': return class == DTC_FLOAT || class == DTC_QUANT;
    case 'v': return dtype_info[t].encode != NULL;
    default: BUG("no letter '%c' of dtypes", letter);
    }
}

/* One alternative, up to its space or end. */
static bool alternative_takes(const char *letters, const OpArgs *a) {
    for (int i = 0; i < a->n_in && a->in[i].ndim; i++, letters++)
        if (*letters == '>' || !letter_takes(*letters, a->in[i].dtype)) return false;
    while (*letters && *letters != '>') letters++; /* absent inputs */
    return *letters && letter_takes(letters[1], a->out.dtype);
}

bool ref_takes(const char *takes, const OpArgs *a) {
    for (const char *p = takes; p; p = strchr(p, ' '), p += p != NULL)
        if (alternative_takes(p, a)) return true;
    return false;
}

static bool refuse(Op op, const OpArgs *a, Err *e) {
    char dtypes[128];
    size_t n = 0;
    for (int i = 0; i < a->n_in && n < sizeof dtypes; i++)
        n += (size_t)snprintf(dtypes + n, sizeof dtypes - n, "%s%s", i ? ", " : "",
                              a->in[i].ndim ? dtype_info[a->in[i].dtype].name : "none");
    return err_set(e, ERR_BACKEND,
                   "choosing a kernel failed: '%s': the CPU has none for (%s) -> %s; convert the weights",
                   ref_of[op].name, dtypes, dtype_info[a->out.dtype].name);
}

static bool cpu_kernel(Backend *b, Op op, const OpArgs *a, Kernel *out, Err *e) {
    if (!ref_takes(ref_of[op].takes, a)) return refuse(op, a, e);
    *out = *ref_of[op].kernel;
    for (size_t i = 0; i < n_tuned_rows; i++) {
        const TunedRow *row = &tuned_rows[i];
        Isa needs;
        if (row->op != op) continue;
        if (!isa_from_name(row->isa, &needs)) BUG("a tuned kernel of %s needs unknown '%s'", ref_of[op].name, row->isa);
        if (needs > ((CpuBackend *)b)->isa || (row->fits && !row->fits(a))) continue;
        *out = *row->kernel;
        break;
    }
    return true;
}

/* ---- memory ---- */

static size_t whole_pages(size_t bytes) { return align_up(MAX(bytes, (size_t)1), 4096); }

static void *cpu_reserve(Backend *b, size_t bytes, Err *e) {
    (void)b;
    void *p = MAP_FAILED;
    if (bytes <= SIZE_MAX / 2)
        p = mmap(NULL, whole_pages(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p != MAP_FAILED) return p;
    err_set(e, ERR_FIT, "reserving memory failed: '%zu bytes': %s; lower the context or the batch", bytes,
            strerror(bytes <= SIZE_MAX / 2 ? errno : ENOMEM));
    return NULL;
}

static void cpu_release(Backend *b, void *block, size_t bytes) {
    if (!block) return;
    pool_settle(((CpuBackend *)b)->pool);
    munmap(block, whole_pages(bytes));
}

static size_t cpu_free_bytes(Backend *b) { return (void)b, host_free_bytes(); }

/* ---- opening and running ---- */

static void cpu_run(Backend *b, const ExecOp *ops, size_t n, const RunMemory *m) {
    pool_run(((CpuBackend *)b)->pool, ops, n, m);
}

/* ---- other layouts ---- */

static int64_t cpu_packed_bytes(Backend *b, const ExecOp *op) {
    (void)b;
    const bool reads = op->takes_packed && !op->args.in[1].packed && repack_fits(&op->args);
    return reads ? repack_bytes(&op->args.in[1]) : 0;
}

static void cpu_pack(Backend *b, const Tensor *w, Tensor *to) {
    const OpArgs args = {.out = *to, .in[0] = *w, .n_in = 1};
    const ExecOp op = {.run = repack_kernel.run, .n_units = repack_kernel.units(&args), .args = args};
    cpu_run(b, &op, 1, &(RunMemory){0});
    void *data = to->data;
    *to = *w;
    to->data = data, to->parts = NULL, to->packed = true;
}

static void cpu_settle(Backend *b) { pool_settle(((CpuBackend *)b)->pool); }

static void cpu_close(Backend *b) {
    pool_close(((CpuBackend *)b)->pool);
    free(b);
}

static bool choose_isa(const char *name, Isa *out, Err *e) {
    Isa best = isa_best();
    *out = best;
    if (!name) return true;
    if (!isa_from_name(name, out)) {
        char known[128] = "";
        size_t n = 0;
        for (Isa i = 0; i < ISA_COUNT; i++)
            n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", isa_name(i));
        return err_set(e, ERR_USAGE, "opening the CPU failed: '%s': no such instruction set; use one of %s", name,
                       known);
    }
    if (*out > best)
        return err_set(e, ERR_BACKEND, "opening the CPU failed: '%s': this CPU has at most %s; leave --isa out", name,
                       isa_name(best));
    return true;
}

bool cpu_backend_open(const BackendOptions *opt, Backend **out, Err *e) {
    Isa isa;
    TRY(choose_isa(opt->isa, &isa, e));
    if (opt->threads < 0 || opt->threads > POOL_MAX_THREADS)
        return err_set(e, ERR_USAGE, "opening the CPU failed: '%d' threads: not in 1..%d; 0 means one per core",
                       opt->threads, POOL_MAX_THREADS);
    int threads = opt->threads ? opt->threads : MIN(host_cores(), (int)POOL_MAX_THREADS);
    Pool *pool = pool_open(threads, e);
    if (!pool) return false;
    CpuBackend *c = mem_alloc(1, sizeof *c);
    *c = (CpuBackend){.isa = isa, .pool = pool};
    c->base = (Backend){.name = "cpu",
                        .isa = isa_name(isa),
                        .threads = threads,
                        .scratch_areas = pool_scratch_areas(threads),
                        .stage_areas = pool_stage_areas(threads),
                        .kernel = cpu_kernel,
                        .reserve = cpu_reserve,
                        .release = cpu_release,
                        .free_bytes = cpu_free_bytes,
                        .run = cpu_run,
                        .packed_bytes = cpu_packed_bytes,
                        .pack = cpu_pack,
                        .settle = cpu_settle,
                        .close = cpu_close};
    *out = &c->base;
    return true;
}
