#include "core/cache.h"

#include <stdlib.h>

typedef struct Seq {
    bool open, far;
    int64_t len;
    int32_t *pages; /* [max_pages] */
} Seq;

struct Cache {
    CacheSpec spec;
    Backend *b;
    int64_t max_pages;  /* of a sequence */
    int64_t n_pages;    /* of the pool */
    int64_t page_bytes; /* of one layer */
    char *pool, *tables;
    int64_t pool_bytes;
    size_t table_bytes;
    char **layers; /* [L] into the pool */
    Seq *seqs;
    int32_t *refs;    /* [n_pages] */
    int32_t *page_of; /* [max_seq * max_pages] behind Seq.pages */
    int64_t low_free; /* no free page below */
    int64_t n_free;
    float *freq, *freq_local, *freq_far; /* [dims/2] */
    /* the step */
    Step step;
    int32_t *seq_of, *index, *reach, *first_row;
    const int32_t **pages;
};

/* ---- sizes ---- */

static int64_t layer_page_bytes(const CacheSpec *s) {
    return 2 * s->kv_heads * KV_PAGE * kv_row_bytes(s->dtype, s->head_dim);
}

bool cache_takes(Dtype t) { return t == DT_f32 || t == DT_f16 || t == DT_bf16 || t == DT_q8_0; }

/* Sizes that hold for both the estimate and the cache itself. */
static bool dimension(Cache *c, const CacheSpec *s, Err *e) {
    *c = (Cache){.spec = *s, .max_pages = div_up(s->ctx, KV_PAGE), .page_bytes = layer_page_bytes(s)};
    if (!cache_takes(s->dtype))
        return err_set(e, ERR_USAGE, "cache: keys and values in %s are not supported; supported: " CACHE_DTYPES,
                       dtype_info[s->dtype].name);
    if (!mul_i64(c->max_pages, s->max_seq, &c->n_pages) || c->n_pages > INT32_MAX ||
        !mul_i64(c->n_pages, s->layers * c->page_bytes, &c->pool_bytes))
        return err_set(e, ERR_FIT, "cache: %lld sequences of %lld tokens are too many to address",
                       (long long)s->max_seq, (long long)s->ctx);
    return true;
}

static size_t layout(Cache *c, char *base) {
    Carve at = {.base = base};
    CARVE(&at, c->layers, c->spec.layers);
    CARVE(&at, c->seqs, c->spec.max_seq);
    CARVE(&at, c->page_of, c->n_pages);
    CARVE(&at, c->refs, c->n_pages);
    CARVE(&at, c->freq, c->spec.rope.dims / 2);
    CARVE(&at, c->freq_far, c->spec.rope.kind == ROPE_LONG ? c->spec.rope.dims / 2 : 0);
    CARVE(&at, c->freq_local, c->spec.local.theta > 0 ? c->spec.local.dims / 2 : 0);
    CARVE(&at, c->seq_of, c->spec.max_step);
    CARVE(&at, c->index, c->spec.max_step);
    CARVE(&at, c->reach, c->spec.max_step);
    CARVE(&at, c->first_row, c->spec.max_step);
    CARVE(&at, c->pages, c->spec.max_step);
    return at.at;
}

bool cache_bytes(const CacheSpec *spec, int64_t *pool, int64_t *tables, Err *e) {
    Cache c;
    TRY(dimension(&c, spec, e));
    *pool = c.pool_bytes;
    *tables = (int64_t)layout(&c, NULL);
    return true;
}

bool cache_new(const CacheSpec *spec, Backend *b, Cache **out, Err *e) {
    Cache *c = mem_alloc(1, sizeof *c);
    if (!dimension(c, spec, e)) return free(c), false;
    c->b = b;
    c->table_bytes = layout(c, NULL);
    c->pool = b->reserve(b, (size_t)c->pool_bytes, e);
    c->tables = c->pool ? b->reserve(b, c->table_bytes, e) : NULL;
    if (!c->tables) {
        cache_free(c);
        return err_prefix(e, "reserving the cache");
    }
    layout(c, c->tables);
    c->n_free = c->n_pages;
    for (int64_t l = 0; l < spec->layers; l++) c->layers[l] = c->pool + l * c->n_pages * c->page_bytes;
    for (int64_t s = 0; s < spec->max_seq; s++) c->seqs[s].pages = c->page_of + s * c->max_pages;
    rope_frequencies(&spec->rope, c->freq);
    RopeConfig far = rope_for(&spec->rope, INT64_MAX);
    if (far.kind == ROPE_LONG) rope_frequencies(&far, c->freq_far);
    if (spec->local.theta > 0) rope_frequencies(&spec->local, c->freq_local);
    c->step = (Step){.index = c->index,
                     .reach = c->reach,
                     .first_row = c->first_row,
                     .pages = c->pages,
                     .kv = c->layers,
                     .kv_page_bytes = c->page_bytes,
                     .kv_dtype = spec->dtype};
    *out = c;
    return true;
}

void cache_free(Cache *c) {
    if (!c) return;
    if (c->tables) c->b->release(c->b, c->tables, c->table_bytes);
    if (c->pool) c->b->release(c->b, c->pool, (size_t)c->pool_bytes);
    free(c);
}

/* ---- pages ---- */

static int32_t page_take(Cache *c) { /* n_free > 0 */
    while (c->refs[c->low_free]) c->low_free++;
    c->refs[c->low_free] = 1;
    c->n_free--;
    return (int32_t)c->low_free;
}

static void page_drop(Cache *c, int32_t page) {
    if (--c->refs[page]) return;
    c->n_free++;
    c->low_free = MIN(c->low_free, page);
}

static void page_copy(Cache *c, int32_t to, int32_t from) {
    for (int64_t l = 0; l < c->spec.layers; l++)
        memcpy(c->layers[l] + to * c->page_bytes, c->layers[l] + from * c->page_bytes, (size_t)c->page_bytes);
}

/* The page that token `len` of seq will be written to is there and seq's alone. */
static bool page_ready(Cache *c, Seq *s, Err *e) {
    int64_t j = s->len / KV_PAGE;
    bool fresh = s->len % KV_PAGE == 0;
    if (!fresh && c->refs[s->pages[j]] == 1) return true;
    if (!c->n_free)
        return err_set(e, ERR_FIT,
                       "cache: all %lld pages of %d tokens are in use; give more context or fewer sequences",
                       (long long)c->n_pages, KV_PAGE);
    int32_t page = page_take(c);
    if (!fresh) {
        page_copy(c, page, s->pages[j]);
        page_drop(c, s->pages[j]);
    }
    s->pages[j] = page;
    return true;
}

/* ---- sequences ---- */

bool cache_seq_valid(const Cache *c, int seq) { return seq >= 0 && seq < c->spec.max_seq && c->seqs[seq].open; }
int64_t cache_seq_len(const Cache *c, int seq) { return cache_seq_valid(c, seq) ? c->seqs[seq].len : 0; }

bool cache_seq_far(const Cache *c, int seq) { return c->seqs[seq].far; }
void cache_seq_set_far(Cache *c, int seq, bool far) { c->seqs[seq].far = far; }

int cache_seq_open(Cache *c, Err *e) {
    for (int s = 0; s < c->spec.max_seq; s++)
        if (!c->seqs[s].open) {
            c->seqs[s].open = true;
            c->seqs[s].len = 0;
            c->seqs[s].far = false;
            return s;
        }
    err_set(e, ERR_FIT, "cache: %lld sequences are open, as many as were planned", (long long)c->spec.max_seq);
    return -1;
}

int cache_seq_fork(Cache *c, int seq, Err *e) {
    int s = cache_seq_open(c, e);
    if (s < 0) return -1;
    c->seqs[s].len = c->seqs[seq].len;
    c->seqs[s].far = c->seqs[seq].far;
    for (int64_t j = 0; j < div_up(c->seqs[s].len, KV_PAGE); j++)
        c->refs[c->seqs[s].pages[j] = c->seqs[seq].pages[j]]++;
    return s;
}

static void drop_tail(Cache *c, Seq *s, int64_t len) {
    for (int64_t j = div_up(len, KV_PAGE); j < div_up(s->len, KV_PAGE); j++) page_drop(c, s->pages[j]);
    s->len = len;
}

void cache_seq_close(Cache *c, int seq) {
    if (!cache_seq_valid(c, seq)) return;
    drop_tail(c, &c->seqs[seq], 0);
    c->seqs[seq].open = false;
}

bool cache_seq_truncate(Cache *c, int seq, int64_t len, Err *e) {
    if (len < 0 || len > c->seqs[seq].len)
        return err_set(e, ERR_USAGE, "cache: sequence %d has %lld tokens, cannot be cut to %lld", seq,
                       (long long)c->seqs[seq].len, (long long)len);
    drop_tail(c, &c->seqs[seq], len);
    return true;
}

/* ---- the step ---- */

void cache_begin(Cache *c) { c->step.n = 0; }

bool cache_add(Cache *c, int seq, Err *e) {
    Seq *s = &c->seqs[seq];
    int64_t t = c->step.n;
    if (t >= c->spec.max_step)
        return err_set(e, ERR_FIT, "step: more than the planned %lld tokens", (long long)c->spec.max_step);
    if (s->len >= c->spec.ctx)
        return err_set(e, ERR_FIT, "context is full: sequence %d has %lld tokens of %lld", seq, (long long)s->len,
                       (long long)c->spec.ctx);
    TRY(page_ready(c, s, e));
    bool goes_on = t > 0 && c->seq_of[t - 1] == seq;
    c->seq_of[t] = seq;
    c->index[t] = (int32_t)s->len++;
    c->reach[t] = 0;
    c->first_row[t] = goes_on ? c->first_row[t - 1] : (int32_t)t;
    c->pages[t] = s->pages;
    c->step.n++;
    return true;
}

void cache_abort(Cache *c) {
    for (int64_t t = c->step.n - 1; t >= 0; t--) drop_tail(c, &c->seqs[c->seq_of[t]], c->index[t]);
    c->step.n = 0;
}

const Step *cache_step(const Cache *c) { return &c->step; }

void cache_rope(const Cache *c, bool local, float *out) {
    const RopeConfig *r = local ? &c->spec.local : &c->spec.rope;
    const int64_t half = r->dims / 2;
    if (!local && r->kind == ROPE_LONG) { /* token by token: sequences of both lengths may be in a step */
        for (int64_t t = 0; t < c->step.n; t++)
            rope_table(c->seqs[c->seq_of[t]].far ? c->freq_far : c->freq, half, rope_attention(r), &c->index[t], 1,
                       out + t * 2 * half);
        return;
    }
    rope_table(local ? c->freq_local : c->freq, half, rope_attention(r), c->index, c->step.n, out);
}

/* ---- save and load ---- */

/* Stream: header, then for each page each layer's bytes. The last page is whole; places behind the last token, where
 * forgotten ones may stand, are zero. */
typedef struct SeqHeader {
    char magic[8];
    uint64_t fingerprint;
    int64_t layers, kv_heads, head_dim, dtype, page, len, checksum; /* checksum of the fields before it */
} SeqHeader;

static const char magics[2][9] = {"LLMWSKV1", "LLMWSKVL"}; /* the second: far positions */

static SeqHeader seq_header(const Cache *c, uint64_t fingerprint, int64_t len, bool far) {
    SeqHeader h = {.fingerprint = fingerprint,
                   .layers = c->spec.layers,
                   .kv_heads = c->spec.kv_heads,
                   .head_dim = c->spec.head_dim,
                   .dtype = c->spec.dtype,
                   .page = KV_PAGE,
                   .len = len};
    memcpy(h.magic, magics[far], sizeof h.magic);
    h.checksum = (int64_t)hash_bytes(&h, offsetof(SeqHeader, checksum), 0);
    return h;
}

/* One array of a kv head in a page (core/op.h), [groups][rows][lanes] places of so many bytes; the key in group g and
 * lane i is g * lanes + i. */
typedef struct Area {
    int64_t groups, rows, lanes, bytes;
} Area;

static char *area_clear(const Area *a, char *at, int64_t n) {
    for (int64_t r = 0; r < a->groups * a->rows; r++, at += a->lanes * a->bytes) {
        int64_t keep = MIN(MAX(n - r / a->rows * a->lanes, 0), a->lanes);
        memset(at + keep * a->bytes, 0, (size_t)((a->lanes - keep) * a->bytes));
    }
    return at;
}

/* Zeros in all places of a page's keys from n on. */
static void page_clear(const CacheSpec *s, char *page, int64_t n) {
    const int64_t P = kv_row_len(s->dtype, s->head_dim), row = kv_row_bytes(s->dtype, s->head_dim);
    const Area floats[2][2] = {{{KV_PAGE / KV_LANES, P, KV_LANES, row / P}}, {{KV_PAGE, 1, 1, row}}};
    const Area q8_0[2][2] = {
        {{KV_PAGE / KV_LANES, P / 4, KV_LANES, 4}, {KV_PAGE / KV_LANES, P / 32, KV_LANES, 2}},
        {{KV_PAGE / 4, P, 4, 1}, {1, P / 32, KV_PAGE, 2}},
    };
    for (int64_t place = 0; place < 2 * s->kv_heads; place++)
        for (int i = 0; i < 2; i++)
            page = area_clear(&(s->dtype == DT_q8_0 ? q8_0 : floats)[place >= s->kv_heads][i], page, n);
}

static bool write_pages(const Cache *c, const Seq *s, char *last, Sink to, Err *e) {
    uint64_t sum = 0;
    for (int64_t j = 0; j < div_up(s->len, KV_PAGE); j++)
        for (int64_t l = 0; l < c->spec.layers; l++) {
            const char *bytes = c->layers[l] + s->pages[j] * c->page_bytes;
            if (s->len - j * KV_PAGE < KV_PAGE) {
                bytes = memcpy(last, bytes, (size_t)c->page_bytes);
                page_clear(&c->spec, last, s->len - j * KV_PAGE);
            }
            sum = hash_bytes(bytes, (size_t)c->page_bytes, sum);
            TRY(to.write(to.ctx, bytes, (size_t)c->page_bytes, e));
        }
    return to.write(to.ctx, &sum, sizeof sum, e);
}

bool cache_seq_save(const Cache *c, int seq, uint64_t fingerprint, Sink to, Err *e) {
    const Seq *s = &c->seqs[seq];
    SeqHeader h = seq_header(c, fingerprint, s->len, s->far);
    TRY(to.write(to.ctx, &h, sizeof h, e));
    char *last = mem_alloc((size_t)c->page_bytes, 1);
    bool ok = write_pages(c, s, last, to, e);
    free(last);
    return ok;
}

static bool read_pages(Cache *c, Seq *s, int64_t len, Source from, Err *e) {
    uint64_t sum = 0, want;
    for (int64_t j = 0; j < div_up(len, KV_PAGE); j++) {
        s->len = j * KV_PAGE;
        TRY(page_ready(c, s, e));
        s->len = MIN(len, (j + 1) * KV_PAGE);
        for (int64_t l = 0; l < c->spec.layers; l++) {
            char *bytes = c->layers[l] + s->pages[j] * c->page_bytes;
            TRY(from.read(from.ctx, bytes, (size_t)c->page_bytes, e));
            sum = hash_bytes(bytes, (size_t)c->page_bytes, sum);
        }
    }
    TRY(from.read(from.ctx, &want, sizeof want, e));
    return sum == want ? true : err_set(e, ERR_INPUT, "saved cache: its contents are damaged (checksum differs)");
}

bool cache_seq_load(Cache *c, int seq, uint64_t fingerprint, Source from, Err *e) {
    SeqHeader h;
    TRY(from.read(from.ctx, &h, sizeof h, e));
    const bool far = memcmp(h.magic, magics[1], 8) == 0;
    if (!far && memcmp(h.magic, magics[0], 8)) return err_set(e, ERR_INPUT, "saved cache: not a cache file");
    SeqHeader want = seq_header(c, fingerprint, h.len, far);
    if (h.fingerprint != want.fingerprint || h.dtype != want.dtype)
        return err_set(e, ERR_INPUT,
                       "saved cache: made with other weights, KV type, changes or instruction set; recompute it");
    if (memcmp(&h, &want, sizeof h)) return err_set(e, ERR_INPUT, "saved cache: its header is damaged");
    if (h.len < 0 || h.len > c->spec.ctx)
        return err_set(e, ERR_FIT, "saved cache: holds %lld tokens, the context is %lld", (long long)h.len,
                       (long long)c->spec.ctx);
    Seq *s = &c->seqs[seq];
    drop_tail(c, s, 0);
    s->far = far;
    if (read_pages(c, s, h.len, from, e)) return true;
    drop_tail(c, s, 0);
    return false;
}
