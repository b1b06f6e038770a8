#include "formats/synthetic.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/export.h"
#include "core/host.h"
#include "core/init.h"
#include "core/rng.h"
#include "formats/store.h"

enum { POOL_VALUES = 1 << 16, STRETCH = 256, PART_BYTES = 1 << 20, SEED = 0 };

typedef struct Pool { /* encoded normal values */
    Dtype dtype;
    float std;
    char *bytes; /* [POOL_VALUES] */
    struct Pool *next;
} Pool;

typedef struct Drawn { /* how a tensor is filled */
    const Pool *pool;  /* NULL: with one value, f32 */
    float fill;
} Drawn;

typedef struct Maker {
    Str family, size;
    const ArchRow *arch;
    const Mix *mix;
    Model m; /* with zeros for weights */
    Export x;
    OutTensor *outs; /* [x.n] */
    Drawn *drawn;    /* [x.n] */
    Pool *pools;
    TokSpec tok;
    int64_t bytes; /* of all tensors */
    Arena arena;
} Maker;

/* ---- names ---- */

static const char prefix[] = "synthetic:";

bool synthetic_is(const char *path) { return strncmp(path, prefix, sizeof prefix - 1) == 0; }

static bool find_mix(Maker *k, Str type, Err *e) {
    Buf names = {0};
    k->mix = mix_find(arena_strn(&k->arena, type.s, type.n));
    if (k->mix) return true;
    mix_names(&names);
    err_set(e, ERR_USAGE, "'%.*s' is no type of weights; known: %s", (int)MIN(type.n, (size_t)40), type.s, names.s);
    buf_release(&names);
    return false;
}

static bool read_name(Maker *k, const char *path, Err *e) {
    Str rest = str_of(path + sizeof prefix - 1), type = STR("bf16"), more;
    const bool two = str_word(&rest, ':', &k->family) && str_word(&rest, ':', &k->size);
    if (two && rest.s) str_word(&rest, ':', &type);
    if (!two || str_word(&rest, ':', &more))
        return err_set(e, ERR_USAGE, "a synthetic model is FAMILY:SIZE or FAMILY:SIZE:TYPE, such as llama:1B:q4_0");
    k->arch = arch_named(arena_strn(&k->arena, k->family.s, k->family.n), e);
    if (!k->arch && e) e->code = ERR_USAGE;
    return k->arch && find_mix(k, type, e);
}

/* ---- weights ---- */

static const Pool *pool_for(Maker *k, Dtype dtype, float std) {
    for (const Pool *p = k->pools; p; p = p->next)
        if (p->dtype == dtype && p->std >= std && p->std <= std) return p;
    Pool *p = ARENA_NEW(&k->arena, Pool, 1);
    float *values = mem_alloc(POOL_VALUES, sizeof *values);
    *p = (Pool){dtype, std, arena_alloc(&k->arena, (size_t)dtype_row_bytes(dtype, POOL_VALUES), 1), k->pools};
    init_values((InitRule){.std = std}, SEED, dtype_info[dtype].name, 0, POOL_VALUES, values);
    quantize_rows(dtype, values, 1, POOL_VALUES, NULL, p->bytes);
    free(values);
    return k->pools = p;
}

typedef struct Stretches { /* of one tensor, in order */
    const Pool *pool;
    uint64_t stream, n;
} Stretches;

static void draw_row(Stretches *s, int64_t width, char *row) {
    const Dtype t = s->pool->dtype;
    const int64_t block = dtype_info[t].block, places = (POOL_VALUES - STRETCH) / block + 1;
    for (int64_t at = 0; at < width; at += STRETCH) {
        const int64_t from = (int64_t)(rng_u64(SEED, s->stream, s->n++, RNG_INIT) % (uint64_t)places) * block;
        memcpy(row + dtype_row_bytes(t, at), s->pool->bytes + dtype_row_bytes(t, from),
               (size_t)dtype_row_bytes(t, MIN(width - at, (int64_t)STRETCH)));
    }
}

static void fill_rows(const Drawn *d, Stretches *s, int64_t rows, int64_t width, char *out) {
    for (int64_t r = 0; d->pool && r < rows; r++) draw_row(s, width, out + r * dtype_row_bytes(d->pool->dtype, width));
    for (int64_t i = 0; !d->pool && i < rows * width; i++) memcpy(out + i * 4, &d->fill, 4);
}

static bool emit_drawn(void *ctx, const OutTensor *t, Sink to, Err *e) {
    const Drawn *d = ctx;
    const int64_t width = t->ne[t->ndim - 1], row = dtype_row_bytes(t->dtype, width);
    Stretches s = {d->pool, hash_bytes(t->name, strlen(t->name), SEED) >> 8, 0};
    int64_t rows = 1;
    for (int i = 0; i + 1 < t->ndim; i++) rows *= t->ne[i];
    const int64_t most = MIN(MAX(PART_BYTES / row, 1), rows);
    char *part = mem_alloc((size_t)most, (size_t)row);
    bool ok = true;
    for (int64_t r = 0, n; ok && r < rows; r += n) {
        n = MIN(most, rows - r);
        fill_rows(d, &s, n, width, part);
        ok = to.write(to.ctx, part, (size_t)(n * row), e);
    }
    free(part);
    return ok;
}

static bool plan_tensors(Maker *k, Err *e) {
    k->outs = ARENA_NEW(&k->arena, OutTensor, k->x.n);
    k->drawn = ARENA_NEW(&k->arena, Drawn, k->x.n);
    for (size_t i = 0; i < k->x.n; i++) {
        const ExportTensor *t = &k->x.tensors[i];
        OutTensor *o = &k->outs[i];
        *o = (OutTensor){.name = t->name, .dtype = export_mixed(&k->m, t, k->mix, false), .ndim = t->ndim};
        memcpy(o->ne, t->ne, sizeof o->ne);
        o->data = t->data;
        if (t->w) {
            const InitRule rule = init_rule(&k->m, t->w->row);
            k->drawn[i] = (Drawn){rule.std > 0 ? pool_for(k, o->dtype, rule.std) : NULL, rule.fill + t->plus};
            o->emit = emit_drawn, o->ctx = &k->drawn[i];
        }
        int64_t bytes = 0;
        if (!tensor_bytes(o->dtype, o->ndim, o->ne, &bytes) || !add_i64(k->bytes, bytes, &k->bytes))
            return err_set(e, ERR_FIT, "memory: tensor '%s' is too large", o->name);
    }
    return true;
}

/* ---- what stands beside them ---- */

/* SentencePiece's pieces for unknown, begin and end, and one for each byte. */
static void make_tokenizer(Maker *k) {
    enum { FIRST = 3, PIECES = FIRST + 256 };
    static const char *const special[FIRST] = {"<unk>", "<s>", "</s>"};
    TokSpec *t = &k->tok;
    *t = (TokSpec){.symbols = SYM_CHARS, .merge_by_text = true, .byte_fallback = true, .bos = 1, .eos = 2, .pad = -1};
    t->n_vocab = PIECES;
    t->vocab = ARENA_NEW(&t->arena, Str, PIECES);
    t->types = ARENA_NEW(&t->arena, uint8_t, PIECES);
    for (int i = 0; i < PIECES; i++) {
        t->vocab[i] = str_of(i < FIRST ? special[i] : arena_printf(&t->arena, "<0x%02X>", i - FIRST));
        t->types[i] = i >= FIRST ? TOK_BYTE : i ? TOK_CONTROL : TOK_UNKNOWN;
    }
    t->norms[t->n_norms++] = (NormSpec){.kind = NORM_SPM, .space = {.dummy_prefix = true, .escape = true}};
    t->prefix[t->n_prefix++] = t->bos;
}

static bool put_meta(Maker *k, Err *e) {
    Arena *a = &k->x.arena;
    Value *meta = &k->x.meta;
    value_put(a, meta, STR("general.type"), value_str(STR("model")));
    value_put(a, meta, STR("general.name"),
              value_str(str_of(arena_printf(a, "synthetic %.*s %.*s", STR_ARG(k->family), STR_ARG(k->size)))));
    value_put(a, meta, STR("general.file_type"), value_int(k->mix->gguf_file_type));
    value_put(a, meta, STR("general.quantization_version"), value_int(2));
    make_tokenizer(k);
    return gguf_tok_write(&k->tok, k->m.cfg.vocab, NULL, a, meta, e);
}

/* ---- the file ---- */

static bool check_fits(const Maker *k, Err *e) {
    const size_t room = host_free_bytes();
    return (uint64_t)k->bytes <= room ||
           err_set(e, ERR_FIT,
                   "memory: the weights need %.2f GiB, %.2f GiB are free; a smaller size or type needs less",
                   (double)k->bytes / 0x1p30, (double)room / 0x1p30);
}

static bool prepare(Maker *k, const char *path, Err *e) {
    Value given;
    TRY(read_name(k, path, e) && init_shape(k->arch, k->size, &k->arena, &given, e));
    TRY(init_model(&k->m, k->arch, &given, &(InitDefaults){.ctx = 1}, (Log){0}, e) && export_gguf(&k->m, &k->x, e));
    return plan_tensors(k, e) && check_fits(k, e) && put_meta(k, e);
}

static bool write_all(void *ctx, const void *bytes, size_t n, Err *e) {
    for (const char *at = bytes; n;) {
        const ssize_t w = write(*(const int *)ctx, at, n);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) return err_set(e, ERR_FIT, "memory: the weights cannot be held: %s", strerror(w ? errno : ENOMEM));
        at += w, n -= (size_t)w;
    }
    return true;
}

static bool map_made(const Maker *k, int fd, Mapping *m, Err *e) {
    TRY(gguf_write_to((Sink){write_all, &fd}, &k->x.meta, k->outs, k->x.n, e));
    const off_t n = lseek(fd, 0, SEEK_CUR);
    void *p = n > 0 ? mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (p == MAP_FAILED) return err_set(e, ERR_FIT, "memory: the weights cannot be mapped: %s", strerror(errno));
    *m = (Mapping){.bytes = p, .n = (size_t)n, .in_memory = true};
    return true;
}

bool synthetic_map(const char *path, Mapping *m, Err *e) {
    Maker k = {0};
    *m = (Mapping){.bytes = ""};
    bool ok = prepare(&k, path, e);
    if (ok) {
        int fd = memfd_create("llmws-synthetic", MFD_CLOEXEC);
        ok = fd < 0 ? err_set(e, ERR_IO, "no file in memory: %s", strerror(errno)) : map_made(&k, fd, m, e);
        if (fd >= 0) close(fd);
    }
    if (!ok) err_prefix(e, "cannot make '%s'", path);
    arena_release(&k.x.arena);
    tok_spec_release(&k.tok);
    model_release(&k.m);
    arena_release(&k.arena);
    return ok;
}
