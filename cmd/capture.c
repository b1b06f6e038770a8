#include "cmd/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/generate.h"
#include "formats/formats.h"

#define AT(field) .at = offsetof(GenerateOpts, capture.field)

static const OptRow option_rows[] = {
    {.name = "capture",
     .kind = OPT_LIST,
     .arg = "PATTERN",
     AT(patterns),
     .help = "keep these values of every token: a name of 'llmws inspect MODEL --modules', with * ** {8,12} 8..16; "
             "lm_head is the logits"},
    {.name = "out",
     .letter = 'o',
     .also = "output",
     .kind = OPT_TEXT,
     .arg = "OUT.safetensors",
     AT(out),
     .help = "save what was captured, one row a token"},
    {.name = "capture-last",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 1,
     .hi = 1 << 30,
     AT(last),
     .help = "keep the last N tokens only"},
    {.name = "capture-every",
     .kind = OPT_INT,
     .arg = "N",
     .lo = 1,
     .hi = 1 << 30,
     AT(every),
     .init = "1",
     .help = "keep every Nth token: positions 0, N, 2N, ..."},
    {.name = "reduce",
     .kind = OPT_ENUM,
     .arg = "mean|norm|max|none",
     AT(reduce),
     .init = "none",
     .help = "keep one number for each row of a value: its mean, Euclidean norm or largest element"},
    {.name = "capture-dtype",
     .kind = OPT_ENUM,
     .arg = "f32|f16|bf16",
     AT(dtype),
     .init = "f32",
     .help = "how it is kept"},
    {.name = "capture-buffer",
     .kind = OPT_TEXT,
     .arg = "BYTES",
     AT(buffer),
     .init = "64M",
     .help = "memory for it, with K, M or G; what is more waits on disk, beside OUT"},
    {.name = "intervene",
     .kind = OPT_LIST,
     .arg = "RULE",
     AT(rules),
     .help = "change a value: 'NAME += A*FILE.safetensors:KEY @ WHERE', 'NAME = 0', 'NAME *= 0.5'; WHERE is all, last "
             "(of the prompt), prompt, 5 or 3..7"},
};

const OptTable opts_capture = {"Looking inside", option_rows, COUNT_OF(option_rows)};

static bool wants_logits(const CaptureOpts *o) {
    for (size_t i = 0; i < o->patterns.n; i++)
        if (name_match(o->patterns.items[i], "lm_head") || strcmp(o->patterns.items[i], "lm_head.output") == 0)
            return true;
    return false;
}

bool capture_plan(Capture *c, const CaptureOpts *o, LlmwsSessionOptions *so, Err *e) {
    *c = (Capture){.o = o, .spill = -1};
    if (!dtype_from_name(o->dtype, &c->dtype)) BUG("no dtype '%s'", o->dtype);
    TRY(parse_bytes(o->buffer, "--capture-buffer", &c->buffer_bytes, e));
    if (!o->patterns.n) return true;
    c->patterns = mem_alloc(o->patterns.n + 1, sizeof *c->patterns);
    memcpy(c->patterns, o->patterns.items, o->patterns.n * sizeof *c->patterns);
    so->taps = c->patterns;
    so->all_logits = wants_logits(o);
    return true;
}

/* Rows of a value with the given dims, tokens first, as they are kept. */
static Captured captured_of(const Capture *c, const LlmwsTap *t) {
    Captured v = {.name = t->name, .ndim = t->ndim, .dims = {0}, .n = 1};
    for (int d = 1; d < t->ndim; d++) v.n *= v.dims[d] = t->dims[d];
    int64_t kept = v.n;
    if (strcmp(c->o->reduce, "none") != 0 && v.ndim > 1) kept /= v.dims[--v.ndim];
    v.row_bytes = (size_t)dtype_row_bytes(c->dtype, kept);
    return v;
}

bool capture_open(Capture *c, LlmwsSession *s, Err *e) {
    if (!c->patterns) return true;
    c->session = s;
    c->values = mem_alloc(llmws_tap_count(s) + 1, sizeof *c->values);
    for (LlmwsTap t; llmws_tap(s, c->n, &t); c->n++) {
        c->values[c->n] = captured_of(c, &t);
        c->token_bytes += c->values[c->n].row_bytes;
    }
    c->block_rows = (int64_t)(c->buffer_bytes / MAX(c->token_bytes, (size_t)1));
    if (c->block_rows < 1 || (c->o->last != OPT_UNSET && c->o->last > c->block_rows)) {
        size_t rows = c->o->last == OPT_UNSET ? 1 : (size_t)c->o->last;
        return err_set(e, ERR_FIT, "the capture does not fit: %zu bytes a token, --capture-buffer is %zu; give %zu",
                       c->token_bytes, c->buffer_bytes, rows * c->token_bytes);
    }
    if (c->o->last != OPT_UNSET) c->block_rows = c->o->last;
    size_t at = 0;
    for (size_t i = 0; i < c->n; i++) {
        c->values[i].at = at;
        at += c->values[i].row_bytes * (size_t)c->block_rows;
    }
    c->block = mem_alloc(c->buffer_bytes, 1);
    return true;
}

void capture_plan_row(const Capture *c, LlmwsPlan *plan) {
    if (!c->patterns || plan->n == COUNT_OF(plan->rows)) return;
    plan->rows[plan->n++] = (LlmwsPlanRow){"capture", "cpu", false, (int64_t)c->buffer_bytes};
    plan->total_bytes += (int64_t)c->buffer_bytes;
}

/* ---- keeping ---- */

static bool spill_failed(const char *what, Err *e) {
    return err_set(e, ERR_IO, "cannot %s the file that holds what --capture-buffer does not: %s", what,
                   strerror(errno));
}

/* A file without a name in the folder of the result, or where temporary files go. */
static bool spill_open(Capture *c, Err *e) {
    const char *out = c->o->out, *slash = out ? strrchr(out, '/') : NULL;
    Buf path = {0};
    if (slash)
        buf_put(&path, out, (size_t)(slash - out) + 1);
    else
        buf_str(&path, out ? "./" : P_tmpdir "/");
    buf_str(&path, ".llmws-capture-XXXXXX");
    c->spill = mkostemp(path.s, O_CLOEXEC);
    if (c->spill >= 0) unlink(path.s);
    buf_release(&path);
    return c->spill >= 0 || spill_failed("make", e);
}

static size_t block_bytes(const Capture *c) { return c->token_bytes * (size_t)c->block_rows; }

static bool spill_block(Capture *c, Err *e) {
    if (c->spill < 0) TRY(spill_open(c, e));
    for (size_t at = 0; at < block_bytes(c);) {
        ssize_t n = write(c->spill, c->block + at, block_bytes(c) - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return spill_failed("write", e);
        at += (size_t)n;
    }
    return true;
}

/* One number for each of `rows` rows of n elements; sums in double, so that their order does not show. */
static void reduce_rows(const char *how, const float *x, int64_t rows, int64_t n, float *out) {
    for (int64_t r = 0; r < rows; r++, x += n) {
        double sum = 0, squares = 0, most = (double)x[0];
        for (int64_t i = 0; i < n; i++) {
            sum += (double)x[i];
            squares += (double)x[i] * (double)x[i];
            if (!(most >= (double)x[i])) most = (double)x[i]; /* a NaN stays */
        }
        out[r] = (float)(how[0] == 'n' ? sqrt(squares) : how[1] == 'e' ? sum / (double)n : most);
    }
}

/* Row `slot` of the block takes token t of the tap; reduced numbers pass through `few`. */
static void keep_token(Capture *c, const Captured *v, const LlmwsTap *tap, int64_t t, int64_t slot) {
    const float *x = tap->data + t * v->n;
    char *out = c->block + v->at + (size_t)slot * v->row_bytes;
    int64_t kept = v->n;
    float *few = NULL;
    if (v->ndim < tap->ndim) {
        int64_t width = tap->dims[tap->ndim - 1];
        kept = v->n / width;
        few = mem_alloc((size_t)kept, sizeof *few);
        reduce_rows(c->o->reduce, x, kept, width, few);
        x = few;
    }
    dtype_info[c->dtype].encode(x, out, kept);
    free(few);
}

static bool keep_step(Capture *c, size_t n, Err *e) {
    LlmwsTap *taps = mem_alloc(c->n + 1, sizeof *taps);
    bool ok = true;
    for (size_t i = 0; i < c->n; i++) {
        llmws_tap(c->session, i, &taps[i]);
        if (taps[i].dims[0] != (int64_t)n)
            BUG("'%s' has %lld rows in a step of %zu", taps[i].name, (long long)taps[i].dims[0], n);
    }
    for (size_t t = 0; t < n && ok; t++) {
        if ((c->seen + (int64_t)t) % c->o->every) continue;
        int64_t slot = c->rows % c->block_rows;
        if (c->rows && !slot && c->o->last == OPT_UNSET) ok = spill_block(c, e);
        for (size_t i = 0; i < c->n && ok; i++) keep_token(c, &c->values[i], &taps[i], (int64_t)t, slot);
        c->rows += ok;
    }
    free(taps);
    return ok;
}

bool capture_step(Capture *c, size_t n, Err *e) {
    if (c->patterns) TRY(keep_step(c, n, e));
    c->seen += (int64_t)n;
    return true;
}

/* ---- giving back ---- */

int64_t capture_rows(const Capture *c) { return c->o->last == OPT_UNSET ? c->rows : MIN(c->rows, c->o->last); }

static bool read_spilled(const Capture *c, int64_t block, size_t at, char *out, size_t n, Err *e) {
    while (n) {
        ssize_t got = pread(c->spill, out, n, (off_t)((size_t)block * block_bytes(c) + at));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return spill_failed("read", e);
        out += got, at += (size_t)got, n -= (size_t)got;
    }
    return true;
}

bool capture_read(const Capture *c, size_t i, Sink to, Err *e) {
    const Captured *v = &c->values[i];
    const char *kept = c->block + v->at;
    size_t row = v->row_bytes, block = row * (size_t)c->block_rows;
    int64_t full = c->rows ? (c->rows - 1) / c->block_rows : 0, rest = c->rows - full * c->block_rows;
    if (c->o->last != OPT_UNSET) { /* a ring: the oldest row follows the newest */
        size_t oldest = full ? (size_t)(rest % c->block_rows) * row : 0, end = full ? block : (size_t)rest * row;
        return to.write(to.ctx, kept + oldest, end - oldest, e) && to.write(to.ctx, kept, oldest, e);
    }
    char *piece = mem_alloc(full ? block : 1, 1);
    bool ok = true;
    for (int64_t b = 0; b < full && ok; b++)
        ok = read_spilled(c, b, v->at, piece, block, e) && to.write(to.ctx, piece, block, e);
    free(piece);
    return ok && to.write(to.ctx, kept, (size_t)rest * row, e);
}

typedef struct Saving { /* what emit knows of a value */
    const Capture *c;
    size_t i;
} Saving;

static bool emit_value(void *ctx, const OutTensor *t, Sink to, Err *e) {
    const Saving *s = ctx;
    (void)t;
    return capture_read(s->c, s->i, to, e);
}

/* Which tokens the rows are: metadata, as the rows alone do not tell. */
static bool write_values(const Capture *c, const OutTensor *out, Err *e) {
    char first[24], every[24];
    int64_t rows = capture_rows(c);
    snprintf(first, sizeof first, "%lld", (long long)((c->rows - rows) * c->o->every));
    snprintf(every, sizeof every, "%lld", (long long)c->o->every);
    Str keys[] = {STR("first_position"), STR("every"), STR("reduce")};
    Value items[] = {{.kind = VALUE_STR, .s = str_of(first)},
                     {.kind = VALUE_STR, .s = str_of(every)},
                     {.kind = VALUE_STR, .s = str_of(c->o->reduce)}};
    Value meta = {.kind = VALUE_OBJECT, .object = {keys, items, COUNT_OF(keys)}};
    return safetensors_write(c->o->out, &meta, out, c->n, e);
}

bool capture_save(const Capture *c, Err *e) {
    if (!c->patterns || !c->o->out) return true;
    OutTensor *out = mem_alloc(c->n + 1, sizeof *out);
    Saving *from = mem_alloc(c->n + 1, sizeof *from);
    for (size_t i = 0; i < c->n; i++) {
        const Captured *v = &c->values[i];
        from[i] = (Saving){c, i};
        out[i] = (OutTensor){.name = v->name, .dtype = c->dtype, .ndim = v->ndim, .emit = emit_value, .ctx = &from[i]};
        memcpy(out[i].ne, v->dims, sizeof v->dims);
        out[i].ne[0] = capture_rows(c);
    }
    bool ok = write_values(c, out, e);
    free(out);
    free(from);
    return ok;
}

void capture_release(Capture *c) {
    free(c->patterns);
    free(c->values);
    free(c->block);
    if (c->o && c->spill >= 0) close(c->spill);
    *c = (Capture){0};
}
